"""Replay and the registers of a real store, entry by entry: what the store counted is what the ledger computes."""

import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import pytest
from live_legs import Life, living
from plans import china
from sqlalchemy import func, select
from sqlalchemy.engine import URL
from stage import TODAY
from support import CLOCK_FRAGMENT, Clock, customer, install, named_hosts, ports, term

from gateway.core import Telemetry, build_core
from gateway.domain.days import day_at
from gateway.kernel import scripts
from gateway.kernel.outbox import Outbox
from gateway.kernel.outcomes import Register
from gateway.ledger import schema
from gateway.ledger.checking import Check
from gateway.ledger.closing import Closing
from gateway.ledger.database import Database
from gateway.ledger.figures import Figures
from gateway.ledger.lease import Lease
from gateway.ledger.reader import ReadByAnother, Reader
from gateway.ledger.writer import Writer


pytestmark = pytest.mark.parametrize("ledger_kind", ["sqlite"], indirect=True)
STEPS = 120


@pytest.fixture
async def life(store_url: str, clock: Clock) -> AsyncIterator[Life]:
    """A gateway whose outbox a ledger reads."""
    core = build_core(store_url, budget_s=5.0, telemetry=Telemetry(), clock=CLOCK_FRAGMENT, outbox_max=100_000)
    assert await core.start(), core.store.last_error
    yield await living(core, clock, store_url)
    await core.close()


HOSTS = named_hosts("ann", "bob", "cyd")


async def entitle(life: Life, rng: random.Random) -> None:
    """Ports, sometimes with the China pool, sometimes for today only."""
    until = term("2020-01-01", day_at(life.now_ms).date) if rng.random() < 0.3 else {}
    held = [ports(rng.randrange(4), enforcement="metered", **until), china(2, enforcement="metered")]
    await install(life.core.entitlements, customer(HOSTS, *held[: rng.randrange(3)]))


async def live_on(life: Life, rng: random.Random) -> None:
    """Joins, confirms, moves, releases, lapses and adoptions over some days; what is refused is refused."""
    asked: dict[str, dict[str, Any]] = {}
    for number in range(STEPS):
        await life.later(rng.choice([0, 1, 60, 100]))
        chosen = rng.choice(sorted(asked)) if asked else ""
        name = rng.choice(["ann", "bob", "cyd"])
        fields: dict[str, Any]
        match rng.choice(["ask", "ask", "ask", "confirm", "confirm", "move", "leave", "lapse", "entitle", "night"]):
            case "ask":
                fields = {"meeting": f"of-{name}", "host": f"{name}@acme.example", "lease_s": 300}
                asked[f"c{number}"] = {**fields, **({"access": "china"} if rng.random() < 0.3 else {})}
                await life.ask(f"c{number}", **asked[f"c{number}"])
            case "confirm" if chosen:
                await life.confirm(chosen, **asked[chosen])
            case "move" if chosen and await life.leg(chosen):
                fields = {**asked[chosen], "host": f"{name}@acme.example"}
                origin = fields.pop("meeting")
                if (await life.moved(chosen, f"of-{name}", origin, **fields)).admitted:
                    asked[chosen] = {**fields, "meeting": f"of-{name}"}
            case "leave" if chosen:
                await life.core.admission.release("acme", chosen)
                del asked[chosen]
            case "lapse":
                await life.swept_later(300)
            case "entitle":
                await entitle(life, rng)
            case "night" if rng.random() < 0.5:
                await life.later(rng.choice([6, 30]) * 3600)


@pytest.mark.parametrize("seed", [0, *[pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 21)]])
async def test_T4_3_seats_by_replay_are_the_registers_of_the_store(
    life: Life, ledger_database: Database, seed: int
) -> None:
    """Joins, moves over nights, lapses and other entitlements by a real gateway: nothing differs, on any day, in any pool."""
    rng = random.Random(seed)
    await install(life.core.entitlements, customer(HOSTS, ports(1, enforcement="metered"), china(1)))
    await live_on(life, rng)
    await life.later(2 * 24 * 3600)
    await life.core.reports.usage("acme")  # rolls the days

    lease = Lease("test")
    assert await lease.acquire(ledger_database)
    writer = Writer(ledger_database, lease)
    reader = Reader(
        Outbox(life.core.store, scripts.load(CLOCK_FRAGMENT)), writer, "test", life.core.kernel.store_now_ms
    )
    while await reader.run_once():
        pass
    figures = Figures(ledger_database)

    async def of_store(name: str, days: Sequence[int]) -> Mapping[tuple[int, str], Register]:
        rows = await life.core.reports.overage(name, days[0], days[-1])
        return {(row.day, row.pool): row.register for row in rows if row.final}

    now_ms = life.now_ms
    closed = await Closing(figures, lease, reader.read_until_ms).run_once(now_ms)
    found = await Check(figures, lease, of_store).verify("acme", TODAY.ordinal, TODAY.ordinal + 60, now_ms)
    registers = await of_store("acme", [TODAY.ordinal, day_at(now_ms).ordinal])

    assert () == found.differences, f"seed {seed}"
    assert (0, True) == (len(found.doubtful), closed > 1), f"seed {seed}"
    assert max([register.peak for register in registers.values()]) > 1, f"seed {seed}"


async def test_a_second_ledger_of_a_store_stores_nothing_before_it_says_whose_the_store_is(
    life: Life, ledger_database: Database, make_url: Callable[[bool], URL]
) -> None:
    """Else gateways beside it would report what it happened to find as all there was; told to take over, it reads."""
    await install(life.core.entitlements, customer(HOSTS, ports(3)))
    outbox, clock = Outbox(life.core.store, scripts.load(CLOCK_FRAGMENT)), life.core.kernel.store_now_ms
    other_database = await Database.open(make_url(True))
    writers = []
    for database in (ledger_database, other_database):
        lease = Lease("test")
        assert await lease.acquire(database)
        writers.append(Writer(database, lease))
    await Reader(outbox, writers[0], "first", clock).run_once()
    with pytest.raises(ReadByAnother, match="read by the ledger first, and this is second"):
        await Reader(outbox, writers[1], "second", clock).run_once()
    stored = await versions_in(other_database)
    await Reader(outbox, writers[1], "second", clock, take_over=True).run_once()
    taken = await versions_in(other_database)
    await other_database.close()

    assert (0, 1, 1) == (stored, taken, await versions_in(ledger_database))


async def versions_in(database: Database) -> int:
    """How many versions of entitlements were read."""
    async with database.reading() as connection:
        return int((await connection.execute(select(func.count()).select_from(schema.versions))).scalar_one())
