"""Finds what is to be told: thresholds of pools, overage of days, findings.

Use is what is connected in `live`, as far as the ledger has read, looked at whenever `run_once` is called: a threshold that was reached and
left again between two looks is not told. Overage is not missed so: what no look has seen is told when its day is closed, from the figures.

States of thresholds and the notices that tell them are written in one transaction, and a notice's id follows from what it is about: a process
that dies at any point tells nothing twice, and loses nothing.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.billing.stretch import Shape
from gateway.domain.catalogue import Customer
from gateway.domain.contract import POOL_OF_GROUP, customer_limits
from gateway.domain.days import DAY_MS, Day, day, day_at, instant
from gateway.domain.history import held_of
from gateway.domain.plans.special_offer import SpecialOffer
from gateway.ledger import schema
from gateway.ledger.database import Database
from gateway.ledger.lease import Lease
from gateway.ledger.thresholds import CEILING, DAILY, EXCESS, OVERAGE, Bounds, Raised, changes
from gateway.ledger.upserts import insert_new, listed, put
from gateway.stored_record import decode_record


LOOKED_BACK_DAYS = 3
"""Closed days and findings that are older are told no more, where they never were."""

THRESHOLD_KIND, FINDING_KIND = "usage.threshold_reached", "finding.opened"
KINDS = {CEILING: "usage.ceiling_reached", OVERAGE: "usage.overage_began", EXCESS: "usage.excess"}

_SHAPE = msgspec.json.Decoder(Shape)

Pool = tuple[str, str]
"""Customer and pool."""


class _Found(NamedTuple):
    """Rows of `thresholds` and `deliveries` to write."""

    states: list[dict[str, Any]]
    notices: list[dict[str, Any]]


class _Known(NamedTuple):
    """The bounds of a customer's pools, by the version and the day that they are of."""

    version: int
    day: int
    bounds: dict[str, Bounds]


class Notices:
    """`run_once` writes what is to be told; who delivers it is another matter (`deliveries`)."""

    def __init__(self, database: Database, lease: Lease) -> None:
        self._database = database
        self._lease = lease
        self._known: dict[str, _Known] = {}

    async def run_once(self, now_ms: int) -> int:
        """How many notices were written. Raises LedgerUnavailable, LeaseLost: none was."""
        async with self._database.reading() as connection:
            found = await self._find(connection, now_ms)
        if not found.states and not found.notices:
            return 0
        async with self._database.writing() as connection:
            await self._lease.hold(connection)
            # Again, now that nobody else can write: another process may have told it just before the lease was ours.
            states, notices = await self._find(connection, now_ms)
            await put(connection, schema.thresholds, states)
            await insert_new(connection, schema.deliveries, notices)
        return len(notices)

    async def _find(self, connection: AsyncConnection, now_ms: int) -> _Found:
        today = day_at(now_ms)
        bounds = await self._bounds(connection, today)
        used, states = await _used(connection), await _states(connection)
        found = _Found([], [])
        for customer, pool in sorted({*bounds, *states}):
            stated = bounds.get((customer, pool), Bounds(None, None))
            count = used.get((customer, pool), 0)
            becomes, told = changes(count, stated, states.get((customer, pool), {}), now_ms)
            found.states.extend(
                {"customer": customer, "pool": pool, "threshold": name, **state._asdict()}
                for name, state in becomes.items()
            )
            figures = {"used": count, "committed": stated.committed, "ceiling": stated.ceiling}
            found.notices.extend(_of_use(customer, pool, name, today, now_ms, figures) for name in told)
        known = {notice["id"] for notice in found.notices}
        late = [*await _of_closed_days(connection, bounds, today, now_ms), *await _of_findings(connection, now_ms)]
        wanted = [notice for notice in late if notice["id"] not in known]
        found.notices.extend(await _untold(connection, wanted))
        return found

    async def _bounds(self, connection: AsyncConnection, today: Day) -> dict[Pool, Bounds]:
        """Of the newest version of each customer that is known, which is read and decoded only where it, or the day, is another one."""
        table = schema.versions
        newest = await connection.execute(
            select(table.c.customer, func.max(table.c.version))
            .where(table.c.document != b"")  # without one, nobody knows what it changed
            .group_by(table.c.customer)
        )
        for customer, version in newest.all():
            known = self._known.get(customer)
            if known is None or known[:2] != (version, today.ordinal):
                document = await connection.execute(
                    select(table.c.document).where(table.c.customer == customer, table.c.version == version)
                )
                # A customer may have 100,000 hosts.
                bounds = await asyncio.to_thread(_bounds_of, version, bytes(document.scalar_one()), today.ordinal)
                self._known[customer] = _Known(version, today.ordinal, bounds)
        return {
            (customer, pool): bounds for customer, known in self._known.items() for pool, bounds in known.bounds.items()
        }


def bounds_of(customer: Customer | None, ordinal: int) -> dict[str, Bounds]:
    """What each metered pool of a customer is measured against on a day (T1.5, T10.3)."""
    active = [held for held in customer.subscriptions if held.active(ordinal)] if customer else []
    offered = {
        held.pool for held in held_of(customer, SpecialOffer) if held.enforcement == "notify" and held.active(ordinal)
    }
    return {
        POOL_OF_GROUP[group]: Bounds(found.limit.committed, found.limit.ceiling, group in offered)
        for group, found in customer_limits(active).items()
        if group in POOL_OF_GROUP
    }


def _bounds_of(version: int, document: bytes, ordinal: int) -> dict[str, Bounds]:
    return bounds_of(decode_record(version, document).customer, ordinal)


async def _used(connection: AsyncConnection) -> dict[Pool, int]:
    """Legs that are connected now, by customer and pool; one that gave up its seat and may come back is not."""
    live, shapes = schema.live, schema.shapes
    # Counted by number first: there are many legs, and few shapes.
    counted = (
        select(live.c.customer, live.c.shape, func.count().label("legs"))
        .where(live.c.connected_ms.is_not(None), live.c.freed_ms.is_(None))
        .group_by(live.c.customer, live.c.shape)
        .subquery()
    )
    rows = await connection.execute(
        select(counted.c.customer, shapes.c.shape, counted.c.legs).join(shapes, shapes.c.id == counted.c.shape)
    )
    used: dict[Pool, int] = defaultdict(int)
    for customer, shape, legs in rows:
        for group in _SHAPE.decode(shape).pools:
            if group in POOL_OF_GROUP:
                used[customer, POOL_OF_GROUP[group]] += legs
    return used


async def _states(connection: AsyncConnection) -> dict[Pool, dict[str, Raised]]:
    states: dict[Pool, dict[str, Raised]] = defaultdict(dict)
    for row in await connection.execute(select(schema.thresholds)):
        states[row.customer, row.pool][row.threshold] = Raised(row.raised, row.at_ms)
    return states


async def _of_closed_days(
    connection: AsyncConnection, bounds: Mapping[Pool, Bounds], today: Day, now_ms: int
) -> list[dict[str, Any]]:
    """T4.3, T10.3: what was above the commitment in days that were closed lately. Most of it was told when it happened."""
    table = schema.days
    rows = await connection.execute(
        select(table).where(
            table.c.customer.in_(select(schema.versions.c.customer)),
            table.c.day >= today.ordinal - LOOKED_BACK_DAYS,
            table.c.overage > 0,
        )
    )
    found: list[dict[str, Any]] = []
    for row in rows:
        offered = bounds.get((row.customer, row.pool), Bounds(None, None)).offered
        figures = {
            "used": row.committed + row.overage, "committed": row.committed, "overage": row.overage,
            "began_by": instant(row.overage_at_ms),
        }  # fmt: skip
        names = DAILY if offered else (OVERAGE,)
        found.extend(_of_use(row.customer, row.pool, name, day(row.day), now_ms, figures) for name in names)
    return found


async def _of_findings(connection: AsyncConnection, now_ms: int) -> list[dict[str, Any]]:
    table = schema.findings
    rows = await connection.execute(
        select(table).where(table.c.opened_ms > now_ms - LOOKED_BACK_DAYS * DAY_MS, table.c.closed_ms.is_(None))
    )
    return [
        _notice(
            f"{row.customer}/{row.pool}/{row.kind}/{day(row.day).date}/{row.opened_ms}",
            FINDING_KIND,
            row.customer,
            now_ms,
            # Not the sentence of the finding: it is for people who may see names.
            {
                "day": str(day(row.day).date), "pool": row.pool, "finding": row.kind, "opened_at": instant(row.opened_ms),
                "replayed": row.replayed, "registered": row.registered, "remembered": row.remembered,
            },
        )
        for row in rows
    ]  # fmt: skip


async def _untold(connection: AsyncConnection, notices: Sequence[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    if not notices:
        return ()
    ids = schema.deliveries.c.id
    wanted = listed(connection, [(notice["id"],) for notice in notices], ("id",))
    rows = await connection.execute(select(ids).join(wanted, ids == wanted.c.id))
    told = set(rows.scalars())
    return [notice for notice in notices if notice["id"] not in told]


def _of_use(
    customer: str, pool: str, threshold: str, of_day: Day, now_ms: int, figures: dict[str, Any]
) -> dict[str, Any]:
    # What is told once a day is named after the day, the others after the instant.
    when = str(of_day.date) if threshold in DAILY else str(now_ms)
    data: dict[str, Any] = {"pool": pool, "day": str(of_day.date)}
    if threshold not in KINDS:
        data["percent"] = int(threshold)
    return _notice(
        f"{customer}/{pool}/{threshold}/{when}",
        KINDS.get(threshold, THRESHOLD_KIND),
        customer,
        now_ms,
        {**data, **figures},
    )


def _notice(id_: str, kind: str, customer: str, now_ms: int, data: dict[str, Any]) -> dict[str, Any]:
    id_ = id_.replace(".", "%2E")  # whoever verifies a signature splits at full stops
    body = {"id": id_, "type": kind, "customer": customer, "at": instant(now_ms), "data": data}
    return {
        "id": id_, "kind": kind, "customer": customer, "body": msgspec.json.encode(body).decode(), "made_ms": now_ms,
        "due_ms": now_ms, "attempts": 0, "delivered_ms": None, "failure": None,
    }  # fmt: skip
