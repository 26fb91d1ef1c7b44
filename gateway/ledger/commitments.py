"""What customers were committed to, from the versions of their entitlements."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.billing.commitment import CommitmentTimeline, Version, timelines
from gateway.domain.billing.entry import EntryId
from gateway.ledger import schema
from gateway.stored_record import decode_record


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
            wanted = (table.c.version, table.c.at_ms, table.c.epoch, table.c.number, table.c.document)
            rows = (await connection.execute(select(*wanted).where(table.c.customer == customer))).all()
            known = (count, newest), await asyncio.to_thread(_timelines, rows)
            self._known[customer] = known
        self._known.move_to_end(customer)
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)
        return known[1]


def _timelines(rows: Iterable[Any]) -> Timelines:
    # Of a version without a document nobody knows what it changed: it was installed while nobody read the outbox.
    return timelines(
        Version(row.at_ms, decode_record(row.version, row.document).customer, EntryId(row.epoch, row.number))
        for row in rows
        if row.document
    )
