import asyncio
import json
from collections import defaultdict
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plans import special_offer
from sqlalchemy import select
from support import customer, ports, teams_ports, term

from gateway.domain.billing.entry import EntryId
from gateway.domain.billing.stretch import Shape
from gateway.domain.catalogue import Customer
from gateway.domain.days import DAY_MS, HOUR_MS, day_at
from gateway.domain.record import Record
from gateway.kernel.keys import bucket_of
from gateway.ledger import schema
from gateway.ledger.database import Database
from gateway.ledger.entries import Change, LegEntry, Seen
from gateway.ledger.lease import Lease, LeaseLost
from gateway.ledger.notices import Notices
from gateway.ledger.thresholds import Bounds, Level, Raised, changes, levels
from gateway.ledger.writer import Writer
from gateway.stored_record import encode_record


NOON_MS = 1_795_204_800_000
"""2026-11-20 12:00 Pacific."""
NEXT_DAY_MS = day_at(NOON_MS).end_ms
TODAY = "2026-11-20"


def run_of(bounds: Bounds, uses: list[int], step_ms: int = 60_000) -> list[tuple[str, ...]]:
    """What is told at each use in turn."""
    states: dict[str, Raised] = {}
    told = []
    for number, used in enumerate(uses):
        becomes, names = changes(used, bounds, states, NOON_MS + number * step_ms)
        states.update(becomes)
        told.append(names)
    return told


def test_a_threshold_is_told_when_it_is_reached_and_again_only_after_use_fell_five_points_below() -> None:
    """80 % of 100 is reached at 80 and left at 75."""
    assert [(), ("80",), (), (), (), (), ("80",)] == run_of(Bounds(100, None), [79, 80, 85, 76, 80, 75, 80])


def test_use_that_jumps_tells_every_threshold_that_it_passes_the_lowest_first() -> None:
    """From nothing to above the ceiling in one look."""
    assert [("80", "90", "100", "ceiling", "overage")] == run_of(Bounds(100, 150), [150])


def test_a_small_commitment_is_left_one_connection_below() -> None:
    """Of 2, all percentages are reached at 2, and 1 is below each of them by more than 5 points."""
    assert {name: Level(2, 1) for name in ("80", "90", "100")} == levels(Bounds(2, None))
    assert [("80", "90", "100"), (), ("80", "90", "100")] == run_of(Bounds(2, None), [2, 1, 2])


@pytest.mark.parametrize("committed", [1, 3, 7, 19, 20, 21, 99, 1000])
def test_a_threshold_is_left_at_least_one_connection_below_and_never_less_than_five_points(committed: int) -> None:
    """For any commitment, by whole numbers alone."""
    for percent, (reached, left) in ((int(name), level) for name, level in levels(Bounds(committed, None)).items()):
        assert (reached - 1) * 100 < percent * committed <= reached * 100
        assert left < reached
        assert left * 100 <= (percent - 5) * committed or left == 0


def test_without_a_commitment_no_use_is_told() -> None:
    """There is nothing that it could be a percentage of, or above."""
    assert [(), ()] == run_of(Bounds(None, None), [0, 1000])


def test_a_commitment_of_0_has_no_percentages_and_the_first_connection_is_overage() -> None:
    """T4.3 with nothing committed."""
    assert [(), ("overage",), ()] == run_of(Bounds(0, None), [0, 1, 2])


def test_a_ceiling_of_0_is_reached_by_a_connection_only() -> None:
    """An empty pool is not told to be full."""
    assert [(), ("ceiling", "overage"), (), ("ceiling",)] == run_of(Bounds(0, 0), [0, 1, 0, 1])


def test_a_ceiling_without_a_commitment_is_told_with_hysteresis() -> None:
    """Reached at 40, left at 38."""
    assert [("ceiling",), (), (), ("ceiling",)] == run_of(Bounds(None, 40), [40, 39, 38, 40])


def test_T4_3_overage_is_told_once_in_each_pacific_day() -> None:
    """However often it comes and goes; use that stays above at midnight is the new day's first overage."""
    bounds = Bounds(0, None)

    assert [("overage",), (), (), (), (), ("overage",), (), ()] == run_of(
        bounds, [1, 0, 1, 1, 1, 1, 0, 1], 2 * HOUR_MS + HOUR_MS // 2
    )


def test_overage_is_not_told_again_where_the_clock_was_set_back_to_the_day_before() -> None:
    """The day that was told last is the latest."""
    states = {"overage": Raised(True, NEXT_DAY_MS)}

    assert ({}, ()) == changes(1, Bounds(0, None), states, NEXT_DAY_MS - 1)


def test_T10_3_an_offer_that_does_not_refuse_gives_an_excess_notice_once_a_day() -> None:
    """Beside the overage, above the quantity, not at it."""
    assert [("80", "90", "100"), ("overage", "excess"), ()] == run_of(Bounds(2, None, offered=True), [2, 3, 4])


def test_a_bound_that_is_gone_lowers_its_thresholds_in_silence() -> None:
    """Where the bound comes back, it is told again."""
    states = {"ceiling": Raised(True, NOON_MS)}

    assert ({"ceiling": Raised(False, NOON_MS + 1)}, ()) == changes(5, Bounds(None, None), states, NOON_MS + 1)


def test_a_greater_commitment_lowers_what_use_is_far_below_now() -> None:
    """100 of 200 is 50 %."""
    before = {name: Raised(True, NOON_MS) for name in ("80", "90", "100")}

    assert (dict.fromkeys(before, Raised(False, NOON_MS + 1)), ()) == changes(
        100, Bounds(200, None), before, NOON_MS + 1
    )


@settings(max_examples=200, deadline=None, print_blob=True)
@given(
    committed=st.integers(0, 40),
    over=st.none() | st.integers(0, 20),
    steps=st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9 * HOUR_MS)), max_size=60),
)
def test_nothing_is_told_twice_without_use_having_fallen_between_and_nothing_reached_is_left_untold(
    committed: int, over: int | None, steps: list[tuple[int, int]]
) -> None:
    """Any course of use against any bounds, told by the words of the rule."""
    ceiling = None if over is None else committed + over
    bounds = Bounds(committed, ceiling)
    marks = {name: (percent, committed) for name, percent in (("80", 80), ("90", 90), ("100", 100)) if committed}
    marks |= {"ceiling": (100, ceiling)} if ceiling else {}
    states: dict[str, Raised] = {}
    course: dict[str, list[tuple[bool, bool, bool]]] = defaultdict(list)
    overage_days: list[int] = []
    days_above: set[int] = set()
    now_ms = NOON_MS
    for used, pause_ms in steps:
        now_ms += pause_ms
        becomes, told = changes(used, bounds, states, now_ms)
        states.update(becomes)
        for name, (percent, bound) in marks.items():
            reached = used * 100 >= percent * bound
            course[name].append((name in told, reached, not reached and used * 100 <= (percent - 5) * bound))
        if used > committed:
            days_above.add(day_at(now_ms).ordinal)
        overage_days += [day_at(now_ms).ordinal] * ("overage" in told)

    assert sorted(days_above) == overage_days
    for seen in course.values():
        up = False
        for told_now, reached, fallen in seen:
            assert told_now == (reached and not up)
            up = reached or (up and not fallen)


class Gateways:
    """What gateways told: entitlements and legs, written by the real writer."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.lease = Lease("test")
        self._writer = Writer(database, self.lease)
        self._numbers: dict[int, int] = defaultdict(int)
        self._versions: dict[str, int] = defaultdict(int)

    async def begin(self) -> "Gateways":
        """Takes the lease."""
        assert await self.lease.acquire(self.database)
        await self._writer.load()
        return self

    def _id(self, name: str) -> EntryId:
        bucket = bucket_of(name)
        self._numbers[bucket] += 1
        return EntryId(1, self._numbers[bucket] - 1)

    async def install(self, held: Customer | None, name: str = "acme") -> None:
        """Another version."""
        self._versions[name] += 1
        version = self._versions[name]
        document = encode_record(Record(version, held))
        change = Change(self._id(name), NOON_MS, name, version, "install", "test", document)
        await self._writer.write({bucket_of(name): [change]})

    async def legs(
        self, op: str, *connections: str, pool: str = "ports", connected: bool = True, name: str = "acme"
    ) -> None:
        """Something happens to legs."""
        shape = msgspec.json.encode(Shape("meeting", "web", "participant", (pool,))).decode()
        seen = Seen(
            shape, NOON_MS, NOON_MS if connected else None, "m1", "alice@acme.example", "bob@acme.example", "n1", None
        )
        entries = [LegEntry(self._id(name), op, NOON_MS, name, each, seen, op) for each in connections]
        await self._writer.write({bucket_of(name): entries})

    async def told(self) -> list[dict[str, Any]]:
        """The bodies of all notices, by id."""
        async with self.database.reading() as connection:
            rows = await connection.execute(select(schema.deliveries).order_by(schema.deliveries.c.id))
            found = [(row.id, row.kind, row.customer, json.loads(row.body)) for row in rows]
        assert [(id_, kind, name) for id_, kind, name, _ in found] == [
            (body["id"], body["type"], body["customer"]) for *_, body in found
        ]
        return [body for *_, body in found]


@pytest.fixture
async def gateways(ledger_database: Database) -> Gateways:
    """Gateways whose ledger is this database."""
    return await Gateways(ledger_database).begin()


async def test_a_notice_tells_the_pool_and_its_figures_and_is_named_after_what_it_is_about(gateways: Gateways) -> None:
    """4 of 5 connections are 80 %; a leg that is not connected, or was reclaimed, does not count."""
    await gateways.install(customer(ports(5, enforcement="metered", ceiling=8)))
    await gateways.legs("admit", "c1", "c2", "c3", "c4", "gone")
    await gateways.legs("admit", "waiting", connected=False)
    await gateways.legs("reclaim", "gone")

    assert 1 == await Notices(gateways.database, gateways.lease).run_once(NOON_MS)
    assert [
        {
            "id": f"acme/ports/80/{NOON_MS}",
            "type": "usage.threshold_reached",
            "customer": "acme",
            "at": "2026-11-20T20:00:00.000Z",
            "data": {"pool": "ports", "day": TODAY, "percent": 80, "used": 4, "committed": 5, "ceiling": 8},
        }
    ] == await gateways.told()


async def test_what_was_told_is_not_told_again_by_another_process(gateways: Gateways) -> None:
    """The states lie in the database, not in the memory of who told."""
    await gateways.install(customer(ports(1)))
    await gateways.legs("admit", "c1")

    assert [4, 0, 0] == [await Notices(gateways.database, gateways.lease).run_once(NOON_MS + look) for look in range(3)]
    assert ["100", "80", "90", "ceiling"] == [body["id"].split("/")[2] for body in await gateways.told()]


async def test_two_that_look_at_one_time_tell_it_once(gateways: Gateways) -> None:
    """What one has written while the other waited to write is seen by the other."""
    await gateways.install(customer(ports(1)))
    await gateways.legs("admit", "c1")

    made = await asyncio.gather(
        *[Notices(gateways.database, gateways.lease).run_once(NOON_MS + look) for look in range(2)]
    )

    assert [0, 4] == sorted(made)
    assert 4 == len(await gateways.told())


async def test_it_is_told_again_after_use_fell_and_rose(gateways: Gateways) -> None:
    """Under another id, that of another instant."""
    notices = Notices(gateways.database, gateways.lease)
    await gateways.install(customer(ports(5, enforcement="metered")))
    made = []
    for look, (op, leg) in enumerate([("admit", "c4"), ("release", "c4"), ("admit", "c5")]):
        await gateways.legs(op, *(["c1", "c2", "c3", leg] if look == 0 else [leg]))
        made.append(await notices.run_once(NOON_MS + look))

    assert [1, 0, 1] == made
    assert [f"acme/ports/80/{NOON_MS}", f"acme/ports/80/{NOON_MS + 2}"] == [
        body["id"] for body in await gateways.told()
    ]


async def test_T10_3_the_excess_of_an_offer_is_told_with_the_customer_to_contact(gateways: Gateways) -> None:
    """A third connection of an offer for two; a paid pool without an offer gives overage alone."""
    await gateways.install(customer(special_offer(2)))
    await gateways.legs("admit", "t1", "t2", "t3", pool="teams_ports")

    await Notices(gateways.database, gateways.lease).run_once(NOON_MS)

    assert [
        "usage.excess",
        "usage.overage_began",
        "usage.threshold_reached",
        "usage.threshold_reached",
        "usage.threshold_reached",
    ] == sorted(body["type"] for body in await gateways.told())
    assert {f"acme/teams_ports/excess/{TODAY}", f"acme/teams_ports/overage/{TODAY}"} <= {
        body["id"] for body in await gateways.told()
    }


async def test_T1_4_the_day_after_a_term_has_its_own_bounds(gateways: Gateways) -> None:
    """Legs that stay are above no commitment that is in force: their overage is told when the day is closed."""
    notices = Notices(gateways.database, gateways.lease)
    await gateways.install(customer(ports(1, enforcement="metered", **term("2026-01-01", TODAY))))
    await gateways.legs("admit", "c1", "c2")

    assert [4, 0] == [await notices.run_once(NOON_MS), await notices.run_once(NEXT_DAY_MS)]


async def test_a_new_version_is_measured_against_its_own_bounds(gateways: Gateways) -> None:
    """The commitment rises above use, and falls to it; the customer is removed."""
    notices = Notices(gateways.database, gateways.lease)
    await gateways.install(customer(ports(1, enforcement="metered"), teams_ports(9)))
    await gateways.legs("admit", "c1", "c2")
    first = await notices.run_once(NOON_MS)
    await gateways.install(customer(ports(100, enforcement="metered")))
    second = await notices.run_once(NOON_MS + 1)
    await gateways.install(customer(ports(2, enforcement="metered")))
    third = await notices.run_once(NOON_MS + 2)
    await gateways.install(None)
    fourth = await notices.run_once(NOON_MS + 3)

    assert [4, 0, 3, 0] == [first, second, third, fourth]


async def test_a_version_of_which_only_the_number_is_known_changes_nothing(gateways: Gateways) -> None:
    """Use is measured against the newest one whose document is there."""
    await gateways.install(customer(ports(1, enforcement="metered")))
    row = {"version": 2, "at_ms": NOON_MS, "epoch": 0, "number": 0, "change": "", "by": "", "document": b""}
    async with gateways.database.writing() as connection:
        await connection.execute(schema.versions.insert(), [{"customer": "acme", **row}])
    await gateways.legs("admit", "c1")

    assert 3 == await Notices(gateways.database, gateways.lease).run_once(NOON_MS)


async def test_overage_that_no_look_has_seen_is_told_when_the_day_is_closed(gateways: Gateways) -> None:
    """By its figures, once; overage that was told when it happened is not told again, nor is what is long past."""
    await gateways.install(customer(ports(5, enforcement="metered")))
    today = day_at(NOON_MS).ordinal
    day = {
        "customer": "acme", "pool": "ports", "committed": 5, "peak": 7, "peak_at_ms": NOON_MS, "overage": 2,
        "overage_at_ms": NOON_MS, "held_peak": 7, "adopted": 0, "state": "closed", "computed_ms": NEXT_DAY_MS,
    }  # fmt: skip
    async with gateways.database.writing() as connection:
        await connection.execute(
            schema.days.insert(),
            [{**day, "day": today}, {**day, "day": today - 9}, {**day, "day": today - 1, "overage": 0}],
        )
    made = [await Notices(gateways.database, gateways.lease).run_once(NEXT_DAY_MS + look) for look in range(2)]

    assert [1, 0] == made
    assert [
        {
            "pool": "ports", "day": TODAY, "used": 7, "committed": 5, "overage": 2, "began_by": "2026-11-20T20:00:00.000Z",
        }
    ] == [body["data"] for body in await gateways.told()]  # fmt: skip


async def test_a_finding_is_told_once_and_again_when_it_is_opened_again(gateways: Gateways) -> None:
    """Without its sentence, which is for people; one that was closed before anybody looked is not told."""
    row = {
        "customer": "acme", "day": day_at(NOON_MS).ordinal, "pool": "ports", "kind": "register", "replayed": 3,
        "registered": 4, "remembered": None, "detail": "alice@acme.example", "opened_ms": NOON_MS, "closed_ms": None,
    }  # fmt: skip
    notices, table = Notices(gateways.database, gateways.lease), schema.findings
    async with gateways.database.writing() as connection:
        await connection.execute(table.insert(), [row, {**row, "kind": "gap", "closed_ms": NOON_MS + 1}])
    made = [await notices.run_once(NOON_MS + 2), await notices.run_once(NOON_MS + 3)]
    async with gateways.database.writing() as connection:
        await connection.execute(table.update().where(table.c.kind == "register").values(opened_ms=NOON_MS + 4))
    made.append(await notices.run_once(NOON_MS + 5))

    assert [1, 0, 1] == made
    assert ["finding.opened"] * 2 == [body["type"] for body in await gateways.told()]
    assert {
        "day": TODAY, "pool": "ports", "finding": "register", "opened_at": "2026-11-20T20:00:00.000Z", "replayed": 3,
        "registered": 4, "remembered": None,
    } == (await gateways.told())[0]["data"]  # fmt: skip
    assert "example" not in json.dumps(await gateways.told())


async def test_an_id_has_no_full_stop_where_the_customer_has_one(gateways: Gateways) -> None:
    """What is signed is id, timestamp and body with full stops between."""
    held = customer(ports(1, enforcement="metered"), id="acme.emea")
    await gateways.install(held, "acme.emea")
    await gateways.legs("admit", "c1", name="acme.emea")
    await Notices(gateways.database, gateways.lease).run_once(NOON_MS)

    assert [f"acme%2Eemea/ports/{percent}/{NOON_MS}" for percent in (100, 80, 90)] == [
        body["id"] for body in await gateways.told()
    ]


async def test_who_has_lost_the_lease_tells_nothing(gateways: Gateways) -> None:
    """Neither a state nor a notice is written."""
    await gateways.install(customer(ports(1, enforcement="metered")))
    await gateways.legs("admit", "c1")

    with pytest.raises(LeaseLost):
        await Notices(gateways.database, Lease("other")).run_once(NOON_MS)
    async with gateways.database.reading() as connection:
        states = (await connection.execute(select(schema.thresholds))).all()
    assert ([], []) == (states, await gateways.told())


async def test_a_finding_of_long_ago_is_not_told(gateways: Gateways) -> None:
    """Where a webhook is set up, it is not flooded with the past."""
    row = {
        "customer": "acme", "day": 1, "pool": "ports", "kind": "register", "detail": "", "opened_ms": NOON_MS - 3 * DAY_MS,
    }  # fmt: skip
    async with gateways.database.writing() as connection:
        await connection.execute(schema.findings.insert(), [row])

    assert 0 == await Notices(gateways.database, gateways.lease).run_once(NOON_MS)
