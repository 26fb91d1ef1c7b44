"""Writes what was read: a batch of entries in one transaction, with the position that they lead to."""

import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Container, Mapping, Sequence

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import now_ms
from gateway.domain.billing.stretch import READOPTION_MS
from gateway.domain.days import day_at
from gateway.ledger import schema
from gateway.ledger.continuity import Gap, Position, following, gaps_before
from gateway.ledger.database import Database
from gateway.ledger.entries import Change, Denial, Entry, EpochBegan, LegEntry
from gateway.ledger.interning import Interned
from gateway.ledger.lease import Lease
from gateway.ledger.live_rows import closed_row, going_row, names_of, read_ended, read_going, read_where
from gateway.ledger.stretches import Key, Stretches, unheard_of
from gateway.ledger.upserts import add_to, insert_new, put


class Writer:
    """Writes batches. Keeps in memory where the database stands; after a failure `load` reads that again."""

    def __init__(self, database: Database, lease: Lease) -> None:
        self._database = database
        self._lease = lease
        self.interned = Interned()
        self.positions: dict[int, Position] = {}
        self.is_unsure = True
        """Whether the database has to tell where it stands: it was never asked, or what became of a transaction is not known."""
        self.doubts: dict[int, int] = {}
        """Buckets whose live legs are to be compared with the store, and until when these were known to live."""

    async def load(self) -> None:
        """Where the database stands. Raises LedgerUnavailable."""
        table = schema.positions
        async with self._database.reading() as connection:
            rows = (await connection.execute(select(table))).all()
        self.interned.clear()
        self.positions = {row.bucket: Position.of(row.epoch, row.number, row.at_ms) for row in rows}
        self.doubts = {row.bucket: row.doubt_ms for row in rows if row.doubt_ms is not None}
        self.is_unsure = False

    async def write(self, batches: Mapping[int, Sequence[Entry]]) -> list[Gap]:
        """Writes entries of buckets, each in its order; the gaps before and between them.

        Raises:
            LedgerUnavailable: whether anything was written is not known; `load` tells.
            LeaseLost: somebody else writes.
        """
        batch = _Batch(self.positions, self.doubts)
        for bucket, entries in batches.items():
            batch.sort_out(bucket, entries)
        async with self._transaction() as connection:
            going = await read_going(connection, {(entry.customer, entry.connection) for entry in batch.of_legs})
            stretches = Stretches(dict(going), ended=await read_ended(connection, unheard_of(batch.of_legs, going)))
            for entry in batch.of_legs:
                stretches.apply(entry)
            await self.put_stretches(connection, going.keys(), stretches)
            await _put_rest(connection, batch)
        self.positions, self.doubts = batch.positions, batch.doubts
        return batch.gaps

    async def settle(self, bucket: int, stretches: Stretches, before: Container[Key]) -> None:
        """Writes what a comparison with the store has found; the bucket is in doubt no more. Raises LedgerUnavailable, LeaseLost."""
        async with self._transaction() as connection:
            await self.put_stretches(connection, before, stretches)
            table = schema.positions
            await connection.execute(table.update().where(table.c.bucket == bucket).values(doubt_ms=None))
        self.doubts.pop(bucket, None)

    async def give_up(self, now_ms: int) -> int:
        """Ends what has waited for 2 h to be adopted again; how many. Raises LedgerUnavailable, LeaseLost."""
        waited = schema.live.c.freed_ms <= now_ms - READOPTION_MS
        async with self._database.reading() as connection:
            if (await connection.execute(select(schema.live.c.customer).where(waited).limit(1))).first() is None:
                return 0  # asked for every few seconds, and a transaction that writes is dear
        async with self._transaction() as connection:
            # Read here: a name that is forgotten meanwhile must not come back with the stretch.
            going = await read_where(connection, waited)
            stretches = Stretches(dict(going))
            stretches.give_up(now_ms)
            await self.put_stretches(connection, going.keys(), stretches)
        return len(stretches.over)

    @contextlib.asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._database.writing() as connection:
                await self._lease.hold(connection)
                await self.interned.refresh(connection)
                yield connection
        except BaseException:
            # It may have been written all the same, and what was interned in it may not: the commit is the last that can fail.
            self.is_unsure = True
            raise

    async def put_stretches(self, connection: AsyncConnection, before: Container[Key], stretches: Stretches) -> None:
        """Writes what became of stretches; `before` are the keys of those that the database has as live."""
        gone = [key for key in stretches.touched if key in before]
        here = [stretches.going[key] for key in stretches.touched if key in stretches.going]
        both = [*here, *stretches.over]
        names = await self.interned.names(connection, [name for going in both for name in names_of(going)])
        shapes = await self.interned.shapes(connection, {(going.customer, going.seen.shape) for going in both})
        await _delete_live(connection, gone)
        if here:
            await connection.execute(schema.live.insert(), [going_row(going, names, shapes) for going in here])
        await insert_new(connection, schema.legs, [closed_row(going, names, shapes) for going in stretches.over])


class _Batch:
    """Entries of all buckets by what becomes of them."""

    def __init__(self, positions: Mapping[int, Position], doubts: Mapping[int, int]) -> None:
        self.positions = dict(positions)
        self.doubts = dict(doubts)
        self.moved: set[int] = set()
        self.of_legs: list[LegEntry] = []
        self.changes: list[Change] = []
        self.denials: dict[tuple[str, int, str], int] = defaultdict(int)
        self.gaps: list[Gap] = []
        self.buckets_of_gaps: list[int] = []

    def sort_out(self, bucket: int, entries: Sequence[Entry]) -> None:
        """Takes the entries of a bucket; those that were read before do not count."""
        position = self.positions.get(bucket)
        for entry in entries:
            if position is not None and entry.id <= position.id:
                continue
            gaps = gaps_before(position, entry)
            self.gaps += gaps
            self.buckets_of_gaps += [bucket] * len(gaps)
            if gaps or (isinstance(entry, EpochBegan) and _has_lost(entry, position)):
                self.doubts[bucket] = min(
                    self.doubts.get(bucket, entry.at_ms), position.at_ms if position else entry.at_ms
                )
            if isinstance(entry, LegEntry):
                self.of_legs.append(entry)
            elif isinstance(entry, Denial):
                self.denials[entry.customer, day_at(entry.at_ms).ordinal, entry.reason] += 1
            elif isinstance(entry, Change) and entry.document:  # without a ledger entries carry none
                self.changes.append(entry)
            position = following(position, entry)
        if position is not None:
            self.positions[bucket] = position
            self.moved.add(bucket)


def _has_lost(began: EpochBegan, position: Position | None) -> bool:
    """Whether the store lacks something that somebody was told, or that was read from it."""
    return began.lost or (position is not None and (began.prior is None or began.prior < position.id))


async def _put_rest(connection: AsyncConnection, batch: _Batch) -> None:
    found_ms = now_ms()
    await insert_new(
        connection,
        schema.versions,
        [
            {
                "customer": change.customer, "version": change.version, "at_ms": change.at_ms, "epoch": change.id.epoch,
                "number": change.id.number, "change": change.change, "by": change.by, "document": change.document,
            }
            for change in batch.changes
        ],
    )  # fmt: skip
    await add_to(
        connection,
        schema.denials,
        "count",
        [
            {"customer": customer, "day": day, "reason": reason, "count": count}
            for (customer, day, reason), count in batch.denials.items()
        ],
    )
    await insert_new(
        connection,
        schema.gaps,
        [
            {
                "bucket": bucket, "epoch": gap.epoch, "first": gap.first, "last": gap.last, "from_ms": gap.from_ms,
                "until_ms": gap.until_ms, "found_ms": found_ms, "cause": gap.cause,
            }
            for bucket, gap in zip(batch.buckets_of_gaps, batch.gaps, strict=True)
        ],
    )  # fmt: skip
    await put(
        connection,
        schema.positions,
        [
            {
                "bucket": bucket, "epoch": batch.positions[bucket].id.epoch, "number": batch.positions[bucket].id.number,
                "at_ms": batch.positions[bucket].at_ms, "doubt_ms": batch.doubts.get(bucket),
            }
            for bucket in sorted(batch.moved)
        ],
    )  # fmt: skip


async def _delete_live(connection: AsyncConnection, keys: Sequence[Key]) -> None:
    if keys:
        table = schema.live
        mine = (table.c.customer == bindparam("of_customer")) & (table.c.connection == bindparam("of_connection"))
        await connection.execute(
            table.delete().where(mine), [{"of_customer": customer, "of_connection": name} for customer, name in keys]
        )
