"""How long it is kept who somebody was (T21.2, T21.3).

- T21.2: stretches that ended more than the customer's `retention_days` ago (of 24 h each) are pseudonymised: who, whose, where and by what
  number point to a row of the same pseudonym without a name, and the id of the connection is gone. A name that nothing points to any more goes
  within a day, so that a pseudonym leads back to somebody only as long as that somebody is still met, or by the customer's key.
- T21.3: 180 days after a host left the catalogue its names are forgotten, also in old versions of the entitlements; 180 days after a customer
  was deleted, terminated, or out of term, all of its people are, with the key of their pseudonyms.

Figures count by pseudonym, so they never change. Everything is done in transactions of a bounded size, each complete in itself; a mark per
customer says how far it is, so that a run with nothing to do costs two queries, and one for each customer with a retention.
"""

import asyncio

import msgspec
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.days import DAY_MS
from gateway.domain.departure import PEOPLE_KEPT_MS
from gateway.kernel.keys import bucket_of
from gateway.ledger import schema
from gateway.ledger.database import Database
from gateway.ledger.departures import Standing, forget_customer, forget_hosts, standing_of
from gateway.ledger.facts import put_fact
from gateway.ledger.lease import Lease
from gateway.ledger.pseudonyms import Window, forget_unused, is_due, pseudonymise
from gateway.ledger.versions import greatest_versions


MARKS = "retention:"
"""Facts with marks begin so; the customer follows."""

BATCHES_MAX = 40
"""Transactions of one run, so that reading goes on in between."""

LATE_MS = DAY_MS
"""What ended is in the ledger so long after the entries around it at the latest: 2 h in which it may be adopted again, and clocks."""


class Mark(msgspec.Struct):
    """How far a customer is."""

    version: int = -1
    """The newest version that was looked into."""
    standing: Standing = msgspec.field(default_factory=Standing)
    done_ms: int = 0
    """Stretches that ended before are pseudonymised, as far as they were known."""
    read_ms: int = 0
    """The instant to which the outbox had been read then."""
    until_ms: int | None = None
    """Where the pass that goes on will be done."""
    after_ms: int = 0
    """It has come to stretches that began then."""
    changed: bool = False
    """Something was pseudonymised since names that nothing leads to were looked for."""
    unused_ms: int = 0
    """When that was."""
    hosts_from: int = -1
    """The oldest version whose hosts still count, when hosts were forgotten last."""
    forgotten: bool = False
    """T21.3: nobody of the customer is known any more."""


class Retention:
    """Runs within the ledger's process, beside its writer."""

    def __init__(self, database: Database, lease: Lease) -> None:
        self._database = database
        self._lease = lease
        self._batches = 0

    async def run_once(self, now_ms: int) -> int:
        """Does what is due, at most BATCHES_MAX transactions of it; how many there were, 0: nothing is left to do.

        Raises LedgerUnavailable, LeaseLost; what was done stays done.
        """
        self._batches = 0
        for customer, (mark, version, read_ms) in (await self._marks()).items():
            if self._batches >= BATCHES_MAX:
                break
            await self._of_customer(customer, mark, version, read_ms, now_ms)
        return self._batches

    async def _marks(self) -> dict[str, tuple[Mark, int, int]]:
        """Of all customers: their mark, newest version, and how far their outboxes were read."""
        facts, positions = schema.facts, schema.positions
        async with self._database.reading() as connection:
            newest = await greatest_versions(connection)
            known = await connection.execute(
                select(facts.c.name, facts.c.value).where(facts.c.name.startswith(MARKS, autoescape=True))
            )
            read = await connection.execute(select(positions.c.bucket, positions.c.at_ms))
            marks = {name.removeprefix(MARKS): msgspec.json.decode(value, type=Mark) for name, value in known}
            until = {row.bucket: row.at_ms for row in read}
            return {
                customer: (marks.get(customer, Mark()), version, until.get(bucket_of(customer), 0))
                for customer, version in newest.items()
            }

    async def _of_customer(self, customer: str, mark: Mark, version: int, read_ms: int, now_ms: int) -> None:
        if mark.version != version:
            mark.standing = await self._standing(customer, version)
            mark.version = version
            await self._save(customer, mark)
        over_ms, days = mark.standing.over_ms, mark.standing.retention_days
        if over_ms is not None and now_ms - over_ms > PEOPLE_KEPT_MS:
            if not mark.forgotten:
                mark.done_ms = mark.read_ms = 0  # also what retention was never asked for
            await self._pseudonymise(customer, mark, read_ms, now_ms)
            if mark.until_ms is None and (mark.changed or not mark.forgotten):
                self._batches += await forget_customer(self._database, self._lease, customer, now_ms)
                mark.forgotten, mark.changed = True, False
                await self._save(customer, mark)
            return
        mark.forgotten = False
        if days is not None:
            await self._pseudonymise(customer, mark, read_ms, now_ms - days * DAY_MS)
            await self._forget_unused(customer, mark, now_ms)
        await self._forget_hosts(customer, mark, now_ms)

    async def _standing(self, customer: str, version: int) -> Standing:
        table = schema.versions
        async with self._database.reading() as connection:
            rows = await connection.execute(
                select(table.c.at_ms, table.c.document).where(table.c.customer == customer, table.c.version == version)
            )
            at_ms, document = rows.one()
        return await asyncio.to_thread(standing_of, bytes(document), at_ms)

    async def _pseudonymise(self, customer: str, mark: Mark, read_ms: int, until_ms: int) -> None:
        """T21.2, for stretches that ended before an instant; goes on where the last run had to stop."""
        from_ms = min(mark.done_ms, mark.read_ms - LATE_MS)
        if mark.until_ms is None:
            async with self._database.reading() as connection:
                due = await is_due(connection, Window(customer, from_ms, until_ms))
            if not due:
                if (
                    until_ms - mark.done_ms > DAY_MS
                ):  # else not worth a transaction: to look once more at so little is cheap
                    mark.done_ms, mark.read_ms = until_ms, read_ms
                    await self._save(customer, mark)
                return
            mark.until_ms, mark.after_ms = until_ms, 0
        until_ms = mark.until_ms
        while self._batches < BATCHES_MAX:
            self._batches += 1
            async with self._database.writing() as connection:
                await self._lease.hold(connection)
                window = Window(customer, from_ms, until_ms, mark.after_ms)
                done, mark.after_ms = await pseudonymise(connection, window)
                mark.changed |= done > 0
                if not done:
                    mark.done_ms, mark.read_ms = max(until_ms, mark.done_ms), read_ms
                    mark.until_ms, mark.after_ms = None, 0
                await _put(connection, customer, mark)
            if not done:
                return

    async def _forget_unused(self, customer: str, mark: Mark, now_ms: int) -> None:
        """Names that nothing leads to any more; looks at all stretches that have names, so it is done once a day."""
        if not mark.changed or mark.until_ms is not None or now_ms - mark.unused_ms < DAY_MS:
            return
        async with self._database.writing() as connection:
            await self._lease.hold(connection)
            await forget_unused(connection, customer)
            mark.changed, mark.unused_ms = False, now_ms
            await _put(connection, customer, mark)
        self._batches += 1

    async def _forget_hosts(self, customer: str, mark: Mark, now_ms: int) -> None:
        """T21.3 of hosts: when the oldest version that still counts is another one than before."""
        table = schema.versions
        async with self._database.reading() as connection:
            counts = await connection.execute(
                select(func.max(table.c.version)).where(
                    table.c.customer == customer, table.c.at_ms < now_ms - PEOPLE_KEPT_MS
                )
            )
            oldest = counts.scalar_one_or_none()
        if oldest is None or oldest == mark.hosts_from:
            return
        self._batches += await forget_hosts(self._database, self._lease, customer, oldest)
        mark.hosts_from = oldest
        await self._save(customer, mark)

    async def _save(self, customer: str, mark: Mark) -> None:
        async with self._database.writing() as connection:
            await self._lease.hold(connection)
            await _put(connection, customer, mark)


async def _put(connection: AsyncConnection, customer: str, mark: Mark) -> None:
    value = msgspec.json.encode(mark).decode()
    await put_fact(connection, f"{MARKS}{customer}", value)
