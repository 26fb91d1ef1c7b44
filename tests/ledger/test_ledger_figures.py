"""Overage from the ledger: worked by hand, and against plain models."""

import random
from dataclasses import dataclass, field

import pytest
from billing_model import Change, PlainRegister, Row, brute_force
from ledger_days import Bucket, at, metered, on
from plans import china
from support import customer, named_hosts, term

from gateway.domain.billing.concurrency import Interval
from gateway.domain.billing.entry import EntryId
from gateway.domain.billing.stretch import READOPTION_MS
from gateway.domain.catalogue import Customer
from gateway.domain.contract import REPORTED_POOLS, commitments
from gateway.domain.days import DAY_MS, HOUR_MS, MINUTE_MS, Day, day, day_at
from gateway.ledger.database import Database
from gateway.ledger.explaining import explain
from gateway.ledger.figures import DayRow, Figures


DAY = on("2026-11-20")
NEXT = day(DAY.ordinal + 1)
POOLS = ("ports", "china")
ON_ONE = pytest.mark.parametrize("ledger_kind", ["sqlite"], indirect=True)
"""Tests of what is the same on every database, by statements that others here run on both."""


async def figures_of(database: Database, ordinal: int = DAY.ordinal, now_ms: int = NEXT.end_ms) -> list[DayRow]:
    """The figures of a day of acme."""
    return await Figures(database).overage("acme", ordinal, ordinal, now_ms)


async def test_T4_3_overage_is_the_greatest_count_above_the_commitment(ledger_database: Database) -> None:
    """Four legs, three of them at one time from 10:00 to 11:00, with two ports: one above, first at 10:00."""
    acme = await Bucket.open(ledger_database)
    acme.install(metered(2), at(DAY, -9))
    acme.admit("a", at(DAY, 8))
    acme.admit("b", at(DAY, 9))
    acme.admit("c", at(DAY, 10))
    acme.release("a", at(DAY, 11))
    acme.release("b", at(DAY, 12))
    acme.admit("d", at(DAY, 12))
    await acme.write()

    row = DayRow(DAY.ordinal, "ports", 2, 3, 1, at(DAY, 10), 3, 0, "provisional", (), at(DAY, 10))
    assert [row] == await figures_of(ledger_database)


@ON_ONE
async def test_T4_3_a_leg_is_billed_from_connected_and_to_its_last_sign_of_life(ledger_database: Database) -> None:
    """One rings from 8:00 to 9:00 and is reclaimed at 12:00, unheard of since 10:00; another is connected from 10:00: one billed, two held."""
    acme = await Bucket.open(ledger_database)
    acme.install(metered(2), at(DAY, 0))
    acme.admit("a", at(DAY, 8), connected=False)
    acme.confirm("a", at(DAY, 9))
    acme.admit("b", at(DAY, 10))
    acme.reclaim("a", at(DAY, 12), at(DAY, 10))
    await acme.write()
    found = await figures_of(ledger_database)

    assert [(1, at(DAY, 9), 2, 0)] == [(row.peak, row.peak_at_ms, row.held_peak, row.overage) for row in found]


@ON_ONE
@pytest.mark.parametrize("text", ["2026-11-01", "2026-03-08", "2026-12-31"])
async def test_T4_3_a_leg_over_midnight_counts_at_the_first_instant_of_the_new_day(
    ledger_database: Database, text: str
) -> None:
    """Also at the end of a day of 25 or 23 hours and of a year; with nothing else on the new day, its peak is at 00:00."""
    first = on(text)
    second = day(first.ordinal + 1)
    acme = await Bucket.open(ledger_database)
    acme.install(metered(0), at(first, 0))
    acme.admit("a", first.end_ms - 1)
    acme.release("a", second.start_ms + 1)
    await acme.write()
    rows = await Figures(ledger_database).overage("acme", first.ordinal, second.ordinal, second.end_ms)

    assert [(first.ordinal, 1, first.end_ms - 1), (second.ordinal, 1, second.start_ms)] == [
        (row.day, row.overage, row.overage_at_ms) for row in rows
    ]


@ON_ONE
async def test_T4_3_a_leg_that_ends_at_midnight_held_its_seat_then_and_is_not_billed(ledger_database: Database) -> None:
    """Asked for by itself, the new day has a peak of 0 billed, and of one seat: the store opens the day before it takes the release."""
    acme = await Bucket.open(ledger_database)
    acme.install(metered(0), at(DAY, 0))
    acme.admit("a", at(DAY, 9))
    acme.release("a", DAY.end_ms)
    await acme.write()
    found = await figures_of(ledger_database, NEXT.ordinal)

    assert [(0, 0, 1)] == [(row.peak, row.overage, row.held_peak) for row in found]


async def test_a_leg_that_is_adopted_again_is_billed_without_a_gap(ledger_database: Database) -> None:
    """Reclaimed at 10:00 and adopted again 90 minutes later: with another from 10:30 to 11:00 two are billed, though one seat was held."""
    acme = await Bucket.open(ledger_database)
    acme.install(metered(1), at(DAY, 0))
    acme.admit("a", at(DAY, 9))
    acme.reclaim("a", at(DAY, 10), at(DAY, 9.9))
    acme.admit("b", at(DAY, 10.5))
    acme.release("b", at(DAY, 11))
    acme.admit("a", at(DAY, 11.5), adopted=True)
    await acme.write()
    found = await figures_of(ledger_database)

    assert [(2, at(DAY, 10.5), 1, 0)] == [(row.peak, row.overage_at_ms, row.held_peak, row.adopted) for row in found]


async def test_T1_4_who_stays_after_the_term_counts_and_who_comes_does_not(ledger_database: Database) -> None:
    """Two stay over the end of the term, one of them moves, a third joins on the next day: two are held at the last commitment of 1."""
    acme = await Bucket.open(ledger_database)
    acme.install(metered(1, **term("2026-01-01", str(DAY.date))), at(DAY, 0))
    acme.admit("a", at(DAY, 10))
    acme.admit("b", at(DAY, 11))
    acme.admit("c", at(NEXT, 1))
    acme.move("b", at(NEXT, 2))
    await acme.write()
    third = day(NEXT.ordinal + 1)
    found = [await figures_of(ledger_database, each, third.end_ms) for each in (NEXT.ordinal, third.ordinal)]

    assert [(NEXT.ordinal, 2, 1, 2), (third.ordinal, 2, 1, 2)] == [
        (row.day, row.peak, row.overage, row.held_peak) for rows in found for row in rows
    ]
    explained = await explain(Figures(ledger_database), "acme", third.ordinal, "ports", third.end_ms)
    assert ["a", "b"] == [leg.connection for leg in explained.legs]
    assert explained.commitment
    assert (DAY.end_ms, (("ports", 1),)) == (explained.commitment.ended_ms, explained.commitment.subscriptions)


@ON_ONE
async def test_a_day_is_open_and_then_provisional_as_long_as_nobody_closes_it(ledger_database: Database) -> None:
    """Until its last millisecond it is open; days that have not begun have no row."""
    acme = await Bucket.open(ledger_database)
    acme.install(metered(1), at(DAY, 0))
    await acme.write()
    instants = (DAY.start_ms - 1, DAY.start_ms, DAY.end_ms - 1, DAY.end_ms, DAY.end_ms + 9 * DAY_MS)
    states = [[row.state for row in await figures_of(ledger_database, DAY.ordinal, ms)] for ms in instants]

    assert [[], ["open"], ["open"], ["provisional"], ["provisional"]] == states


async def test_explaining_lists_exactly_the_legs_of_the_instant(ledger_database: Database) -> None:
    """Of five legs the three that were connected at 10:00, in order, with what they were, and the two subscriptions that add up to 2."""
    acme = await Bucket.open(ledger_database)
    acme.install(metered(9), at(DAY, -1))
    held = metered(1)
    more = held.subscriptions[1].model_copy(update={"id": "more"})
    acme.install(held.model_copy(update={"subscriptions": (*held.subscriptions, more)}), at(DAY, 1))
    acme.admit("gone", at(DAY, 6))
    acme.release("gone", at(DAY, 7.5))
    second = acme.admit("b", at(DAY, 8), endpoint="sip", meeting="m7")
    first = acme.admit("a", at(DAY, 7))
    acme.admit("rings", at(DAY, 9), connected=False)
    third = acme.admit("c", at(DAY, 10), adopted=True)
    acme.release("a", at(DAY, 11))
    acme.admit("late", at(DAY, 11))
    await acme.write()
    found = await explain(Figures(ledger_database), "acme", DAY.ordinal, "ports", NEXT.end_ms)

    assert found.figure
    assert found.commitment
    assert (3, 1, at(DAY, 10), 3, 0) == (
        found.figure.peak, found.figure.overage, found.at_ms, found.connected, found.left_out
    )  # fmt: skip
    assert (2, 2, "operator", (("ports", 1), ("more", 1))) == (
        found.commitment.committed, found.commitment.version, found.commitment.by, found.commitment.subscriptions
    )  # fmt: skip
    assert [
        ("a", "web", "m1", at(DAY, 7), at(DAY, 11), "released", first, False),
        ("b", "sip", "m7", at(DAY, 8), None, "", second, False),
        ("c", "web", "m1", at(DAY, 10), None, "", third, True),
    ] == [
        (
            leg.connection, leg.endpoint, leg.meeting, leg.connected_ms, leg.until_ms, leg.cause, leg.entry, leg.adopted
        )
        for leg in found.legs
    ]  # fmt: skip
    assert {"alice@acme.example"} == {leg.host for leg in found.legs}
    short = await explain(Figures(ledger_database), "acme", DAY.ordinal, "ports", NEXT.end_ms, legs_max=1)
    assert (["a"], 3, 2) == ([leg.connection for leg in short.legs], short.connected, short.left_out)


@ON_ONE
async def test_there_is_nothing_to_explain_where_nothing_was_held(ledger_database: Database) -> None:
    """A pool without a commitment has no figure; nor has a customer that nobody knows."""
    acme = await Bucket.open(ledger_database)
    acme.install(metered(1), at(DAY, 0))
    await acme.write()
    figures = Figures(ledger_database)
    found = [
        (await explain(figures, name, DAY.ordinal, pool, NEXT.end_ms)).figure
        for name, pool in (("acme", "china"), ("globex", "ports"))
    ]

    assert [None, None] == found


@dataclass
class Told:
    """A random history, told to the writer and to plain models at the same time."""

    rng: random.Random
    bucket: Bucket
    first: Day
    now_ms: int
    intervals: dict[str, list[Interval]] = field(default_factory=lambda: {pool: [] for pool in POOLS})
    registers: dict[str, PlainRegister] = field(default_factory=dict)
    versions: list[tuple[int, Customer | None]] = field(default_factory=list)
    held: dict[str, tuple[str, ...]] = field(default_factory=dict)
    connected: dict[str, int] = field(default_factory=dict)
    origin: dict[str, EntryId] = field(default_factory=dict)
    lapsed: dict[str, tuple[int, dict[str, Interval]]] = field(default_factory=dict)

    def committed(self, pool: str, ordinal: int) -> int | None:
        """Of the newest version."""
        return commitments(self.versions[-1][1], ordinal).get(REPORTED_POOLS[pool]) if self.versions else None

    def pass_time(self, now_ms: int) -> None:
        """Rolls the registers over the midnights between."""
        self.now_ms = now_ms
        for pool in POOLS:
            register = self.registers.setdefault(pool, PlainRegister(self.first))
            while now_ms >= register.day.end_ms:
                following = day(register.day.ordinal + 1)
                register.roll(following, self.committed(pool, following.ordinal))

    def install(self) -> None:
        """Other entitlements, sometimes with a term that ends within the days."""
        until = day(self.first.ordinal + self.rng.randrange(5)).date
        ports = metered(self.rng.randrange(4), **(term("2026-01-01", until) if self.rng.random() < 0.4 else {}))
        held = self.rng.choice([ports, metered(1, china(1)), customer(named_hosts("alice")), None])
        self.versions.append((self.now_ms, held))
        self.bucket.install(held, self.now_ms)
        for pool in POOLS:
            self.registers[pool].install(self.committed(pool, day_at(self.now_ms).ordinal), self.now_ms)

    def take(self, name: str, pools: tuple[str, ...], before: tuple[str, ...] = ()) -> None:
        """A leg holds seats in these pools, and not any more in those it had."""
        for pool in POOLS:
            register = self.registers[pool]
            if pool in pools and pool in before:
                register.stay(self.now_ms)
            elif pool in pools:
                register.take(self.now_ms)
            elif pool in before:
                register.give()
        self.held[name] = pools

    def end(self, name: str, until_ms: int) -> dict[str, Interval]:
        """What a stretch was billed, by pool."""
        since_ms = self.connected.pop(name, None)
        if since_ms is None:
            return {}
        made = {
            pool: Interval(since_ms, max(until_ms, since_ms), False, self.origin[name]) for pool in self.held[name]
        }  # fmt: skip
        for pool, interval in made.items():
            self.intervals[pool].append(interval)
        return made

    def begin(self, name: str, *, adopted: bool, connected: bool) -> None:
        """A leg comes."""
        pools = self.rng.choice([("ports",), ("ports", "china")])
        self.origin[name] = self.bucket.admit(name, self.now_ms, *pools, connected=connected, adopted=adopted)
        self.take(name, pools)
        if connected:
            self.connected[name] = self.now_ms

    def readopt(self, name: str) -> None:
        """A leg that was reclaimed comes again; the time between is billed."""
        freed_ms, made = self.lapsed.pop(name)
        assert self.now_ms < freed_ms + READOPTION_MS
        for pool, interval in made.items():
            self.intervals[pool].remove(interval)
            self.intervals[pool].append(interval._replace(until_ms=self.now_ms))
        origin = self.origin[name]
        self.begin(name, adopted=True, connected=True)
        self.origin[name] = origin if made else self.origin[name]

    def change(self, name: str) -> None:
        """Something happens to a leg that is there."""
        match self.rng.choice(["confirm", "move", "release", "reclaim"]):
            case "confirm" if name not in self.connected:
                self.bucket.confirm(name, self.now_ms)
                self.connected[name] = self.now_ms
            case "move":
                pools = self.rng.choice([("ports",), ("ports", "china"), ("teams_ports",)])
                was_connected = name in self.connected
                self.end(name, self.now_ms)
                self.bucket.move(name, self.now_ms, *pools)
                self.take(name, tuple(pool for pool in pools if pool in POOLS), self.held[name])
                if was_connected:
                    self.connected[name] = self.now_ms
            case "release":
                self.end(name, self.now_ms)
                self.bucket.release(name, self.now_ms)
                self.take(name, (), self.held.pop(name))
                del self.held[name]
            case "reclaim":
                alive_ms = self.now_ms - self.rng.randrange(HOUR_MS)
                made = self.end(name, alive_ms)
                self.bucket.reclaim(name, self.now_ms, alive_ms)
                self.take(name, (), self.held.pop(name))
                del self.held[name]
                self.lapsed[name] = self.now_ms, made

    async def step(self, number: int) -> None:
        """The next thing happens, somewhat later or at the same instant."""
        self.pass_time(self.now_ms + self.rng.choice([0, 0, 1, MINUTE_MS, HOUR_MS, 3 * HOUR_MS]))
        what = self.rng.random()
        again = [name for name, (freed_ms, _) in self.lapsed.items() if self.now_ms < freed_ms + READOPTION_MS]
        if what < 0.08 or not self.versions:
            self.install()
        elif again and what < 0.3:
            self.readopt(self.rng.choice(again))
        elif what < 0.55 or not self.held:
            self.begin(f"c{number}", adopted=False, connected=self.rng.random() < 0.7)
        else:
            self.change(self.rng.choice(sorted(self.held)))
        if self.rng.random() < 0.1:
            await self.bucket.write()

    def model(self, pool: str, ordinal: int) -> tuple[int, int, int, int, int | None] | None:
        """What is billed of a day."""
        midnights = [day(self.first.ordinal + n).start_ms for n in range(9)]
        instants = sorted(
            {*[at_ms for at_ms, _ in self.versions], *[ms for ms in midnights if ms >= self.versions[0][0]]}
        )
        changes: list[Change] = []
        for ms in instants:
            held = [each for at_ms, each in self.versions if at_ms <= ms][-1]
            changes.append((ms, commitments(held, day_at(ms).ordinal).get(REPORTED_POOLS[pool])))
        going = [
            Interval(since_ms, None, False, self.origin[name])
            for name, since_ms in self.connected.items()
            if pool in self.held[name]
        ]
        row = brute_force([*self.intervals[pool], *going], day(ordinal), changes, self.now_ms)
        if row is None:
            return None
        return (row.committed, row.peak, row.peak_at_ms, row.overage, row.overage_at_ms)


async def tell(database: Database, seed: int, steps: int) -> Told:
    """A random history of acme in the days around a change of clocks."""
    first = on("2026-10-31")
    told = Told(random.Random(seed), await Bucket.open(database), first, first.start_ms)
    for number in range(steps):
        await told.step(number)
    await told.bucket.write()
    return told


async def check(database: Database, seed: int, steps: int) -> None:
    """Days asked for one by one and all at once are what the models say."""
    told = await tell(database, seed, steps)
    ordinals = range(told.first.ordinal, day_at(told.now_ms).ordinal + 1)
    figures = Figures(database)
    whole = await figures.replayed("acme", ordinals[0], ordinals[-1], told.now_ms)
    single = [row for each in ordinals for row in await figures.replayed("acme", each, each, told.now_ms)]
    expected = {
        (ordinal, pool): row for ordinal in ordinals for pool in POOLS if (row := told.model(pool, ordinal)) is not None
    }
    found = {
        (row.day, row.pool): (row.committed, row.peak, row.peak_at_ms, row.overage, row.overage_at_ms) for row in whole
    }
    assert expected == found, f"seed {seed}"
    assert whole == single, f"seed {seed}"
    held = await figures.held("acme", ordinals[0], ordinals[-1], told.now_ms)
    alone = [await figures.held("acme", each, each, told.now_ms) for each in ordinals]
    registers: dict[tuple[int, str], Row] = {
        (ordinal, pool): row for pool in POOLS for ordinal, row in told.registers[pool].all_rows().items()
    }
    assert registers == {
        place: (row.committed, row.peak, row.peak_at_ms, row.overage, row.overage_at_ms) for place, row in held.items()
    }, f"seed {seed}"
    assert held == {place: row for rows in alone for place, row in rows.items()}, f"seed {seed}"


@pytest.mark.parametrize("seed", range(2))
async def test_T4_3_random_histories_are_what_plain_models_say(ledger_database: Database, seed: int) -> None:
    """A hundred and fifty entries over a change of clocks: what is billed instant by instant, and the registers entry by entry."""
    await check(ledger_database, seed, 150)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 140))
async def test_T4_3_many_random_histories_are_what_plain_models_say(ledger_database: Database, seed: int) -> None:
    """The same for longer histories."""
    await check(ledger_database, seed, 300)
