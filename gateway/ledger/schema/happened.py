"""What happened, and what is live."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text, UniqueConstraint, text

from gateway.domain.days import DAY_MS
from gateway.ledger.schema.base import COUNTED, metadata


def _what() -> tuple[Column[int], ...]:
    """What a leg is: ids in `shapes` and `names`."""
    return (
        Column("shape", Integer, nullable=False),
        Column("meeting", BigInteger, nullable=False),
        Column("host", BigInteger),
        Column("person", BigInteger),
        Column("node", BigInteger),
        Column("telephone", BigInteger),
    )


legs = Table(
    "legs",
    metadata,
    Column("customer", Text, primary_key=True),
    Column("held_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("freed_ms", BigInteger, nullable=False),
    Column("freed_epoch", BigInteger, nullable=False),
    Column("freed_number", BigInteger, nullable=False),
    Column("connected_ms", BigInteger),
    Column("until_ms", BigInteger),
    Column("cause", Text, nullable=False),
    Column("connection", Text, nullable=False),
    *_what(),
    sqlite_with_rowid=False,
)
"""Stretches that are over (`gateway.domain.billing.stretch`), in the order in which reports read them."""

LONG = text(f"freed_ms - held_ms > {DAY_MS}")
"""Stretches longer than this are found by an index of their own, so that a report of days looks back no further than one."""

Index("ix_legs_long", legs.c.customer, legs.c.freed_ms, sqlite_where=LONG, postgresql_where=LONG)

live = Table(
    "live",
    metadata,
    Column("customer", Text, primary_key=True),
    Column("connection", Text, primary_key=True),
    Column("bucket", Integer, nullable=False),
    Column("held_ms", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("connected_ms", BigInteger),
    Column("freed_ms", BigInteger),
    Column("freed_epoch", BigInteger),
    Column("freed_number", BigInteger),
    Column("until_ms", BigInteger),
    Column("cause", Text),
    *_what(),
    Index("ix_live_bucket", "bucket", "freed_ms"),
)
"""Stretches that go on. With `freed_ms`: one that was reclaimed or lost, and is kept until it is adopted again or 2 h have passed."""

shapes = Table(
    "shapes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("customer", Text, nullable=False),
    Column("shape", Text, nullable=False),
    UniqueConstraint("customer", "shape"),
)
"""What legs are, apart from who, where and when; JSON of `gateway.domain.billing.stretch.Shape`."""

names = Table(
    "names",
    metadata,
    Column("id", COUNTED, primary_key=True),
    Column("customer", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text),
    Column("pseudonym", Text, nullable=False),
    UniqueConstraint("customer", "kind", "name"),
    Index("ix_names_pseudonym", "customer", "kind", "pseudonym"),
)
"""People, meetings, nodes, numbers by name; `name` is null where it was forgotten. Rows of one pseudonym are one (T21.2 - T21.4)."""

pseudonym_keys = Table(
    "pseudonym_keys",
    metadata,
    Column("customer", Text, primary_key=True),
    Column("key", LargeBinary),
    Column("made_ms", BigInteger, nullable=False),
    Column("destroyed_ms", BigInteger),
)
"""Pseudonyms of a customer are made with its key; without the key nobody can make them again."""

positions = Table(
    "positions",
    metadata,
    Column("bucket", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("doubt_ms", BigInteger),
)
"""How far each bucket's outbox was read; moves in the transaction that writes what was read.

`doubt_ms`: entries are missing, or the store has lost something, so that legs may have ended unheard of; until when they were known to live.
"""

gaps = Table(
    "gaps",
    metadata,
    Column("bucket", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, primary_key=True, autoincrement=False),
    Column("first", BigInteger, primary_key=True, autoincrement=False),
    Column("last", BigInteger),
    Column("from_ms", BigInteger),
    Column("until_ms", BigInteger),
    Column("found_ms", BigInteger, nullable=False),
    Column("cause", Text, nullable=False),
)
"""Entries that were never read: numbers `first` to `last` (null: nobody knows how many) of an epoch, somewhere between two instants."""

versions = Table(
    "versions",
    metadata,
    Column("customer", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("change", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("document", LargeBinary, nullable=False),
)
"""Entitlements, every version."""

denials = Table(
    "denials",
    metadata,
    Column("customer", Text, primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("reason", Text, primary_key=True),
    Column("count", BigInteger, nullable=False),
)
"""Refused joins by day and reason."""
