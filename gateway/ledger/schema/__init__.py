"""The tables of the ledger.

What happened is only ever added: a stretch of a leg is written when it is over, a version of entitlements when it was installed. What is live
is a small table of its own. Figures of days are written once; later facts make adjustments. Who somebody is stands in one place, `names`, so
that a person can be forgotten without touching a bill.

Instants are Unix milliseconds, days Pacific ordinals (`gateway.domain.days`). Changes of a table are migrations (`migrations/versions`).
"""

from gateway.ledger.schema.base import metadata
from gateway.ledger.schema.derived import (
    adjustments,
    audit,
    closings,
    days,
    deliveries,
    facts,
    findings,
    leases,
    rate_cards,
    remembered,
    thresholds,
)
from gateway.ledger.schema.happened import (
    LONG,
    denials,
    gaps,
    legs,
    live,
    names,
    positions,
    pseudonym_keys,
    shapes,
    versions,
)


__all__ = [
    "LONG",
    "adjustments",
    "audit",
    "closings",
    "days",
    "deliveries",
    "denials",
    "facts",
    "findings",
    "gaps",
    "leases",
    "legs",
    "live",
    "metadata",
    "names",
    "positions",
    "pseudonym_keys",
    "rate_cards",
    "remembered",
    "shapes",
    "thresholds",
    "versions",
]
