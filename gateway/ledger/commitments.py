"""What customers were committed to, from the versions of their entitlements."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.billing.commitment import CommitmentTimeline, Version, timelines
from gateway.ledger import schema
from gateway.ledger.versions import versions_of


KNOWN_MAX = 1_000
"""Customers whose commitments are held in memory."""

Timelines = Mapping[str, CommitmentTimeline]
"""By pool, as reports name it."""


class Commitments:
    """Commitments over time. Those of a customer are made anew when it has another version; which ones it has never changes otherwise."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[tuple[int, int], Timelines]] = OrderedDict()

    async def of(self, connection: AsyncConnection, customer: str) -> Timelines:
        """The commitments of all metered pools (T1.4, T1.5)."""
        table = schema.versions
        counted = select(func.count(), func.max(table.c.version)).where(table.c.customer == customer)
        count, newest = (await connection.execute(counted)).one()
        known = self._known.get(customer)
        if known is None or known[0] != (count, newest):
            held = await versions_of(connection, customer)
            known = (count, newest), await asyncio.to_thread(timelines, in_order(held))
            self._known[customer] = known
        self._known.move_to_end(customer)
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)
        return known[1]


def in_order(held: Iterable[Version]) -> list[Version]:
    """Versions with entries in the same order: one that was found in the store, and no entry tells it, came after the one before."""
    ordered: list[Version] = []
    for version in held:
        told = version.entry.epoch or not ordered
        ordered.append(version if told else version._replace(entry=ordered[-1].entry))
    return ordered
