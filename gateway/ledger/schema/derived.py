"""What was made of it: figures, findings, notices; and what the ledger knows of itself."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, Table, Text, UniqueConstraint

from gateway.ledger.schema.base import metadata


days = Table(
    "days",
    metadata,
    Column("customer", Text, primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("pool", Text, primary_key=True),
    Column("committed", Integer, nullable=False),
    Column("peak", Integer, nullable=False),
    Column("peak_at_ms", BigInteger, nullable=False),
    Column("overage", Integer, nullable=False),
    Column("overage_at_ms", BigInteger, nullable=False),
    Column("held_peak", Integer, nullable=False),
    Column("adopted", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("computed_ms", BigInteger, nullable=False),
)
"""Figures of days that are `closed` (2 h after their end) or `final` (24 h after): what was final is never written again."""

closings = Table(
    "closings",
    metadata,
    Column("customer", Text, primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)
"""Which days of a customer have been closed, or made final, also those without any figure."""

adjustments = Table(
    "adjustments",
    metadata,
    Column("customer", Text, primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("pool", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("peak", Integer, nullable=False),
    Column("overage", Integer, nullable=False),
    Column("cause", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)
"""What a figure that was final would be with what became known since: the values as of now, in the order of finding out."""

remembered = Table(
    "remembered",
    metadata,
    Column("customer", Text, primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("pool", Text, primary_key=True),
    Column("peak", Integer, nullable=False),
    Column("overage", Integer, nullable=False),
)
"""The greatest counts of a day that gateways were told, from their own disks."""

findings = Table(
    "findings",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("customer", Text, nullable=False),
    Column("day", Integer, nullable=False),
    Column("pool", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("replayed", Integer),
    Column("registered", Integer),
    Column("remembered", Integer),
    Column("detail", Text, nullable=False),
    Column("opened_ms", BigInteger, nullable=False),
    Column("closed_ms", BigInteger),
    UniqueConstraint("customer", "day", "pool", "kind"),
)
"""Differences between replay, registers and what gateways remember."""

rate_cards = Table(
    "rate_cards",
    metadata,
    Column("id", Text, primary_key=True),
    Column("effective_from", Integer, primary_key=True, autoincrement=False),
    Column("document", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)
"""Rates of calling, from a day on (T15.4)."""

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("customer", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("made_ms", BigInteger, nullable=False),
    Column("due_ms", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("delivered_ms", BigInteger),
    Column("failure", Text),
    Index("ix_deliveries_due", "delivered_ms", "due_ms"),
)
"""Notices for the webhook; an id says what it is about, so that nothing is told twice."""

thresholds = Table(
    "thresholds",
    metadata,
    Column("customer", Text, primary_key=True),
    Column("pool", Text, primary_key=True),
    Column("threshold", Text, primary_key=True),
    Column("raised", Boolean, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)
"""Which thresholds were told and not left again."""

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
)
"""Who may write: one at a time."""

facts = Table(
    "facts",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
"""Facts about the ledger itself: its `id`, how often names were forgotten, how far it lags."""

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("customer", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("subject", Text, nullable=False),
)
"""Exports, corrections and erasures: by whom and when; the subject is a pseudonym."""
