"""Epochs: a store that is another one, or has lost something, is found out; what was lost comes back, and nothing acknowledged is forgotten."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from live_legs import BUCKET, NOON_MS, Life, living
from redis_processes import until
from stage import TODAY, day_of
from support import CLOCK_FRAGMENT, Clock, admit, customer, install, join, ports, set_status, told

from gateway.core import Core, Telemetry, build_core
from gateway.domain.days import day
from gateway.domain.reasons import Reason
from gateway.events import EpochBegan, Event, Recovered, Restored
from gateway.journal import Journal
from gateway.kernel.errors import StoreRecovering, StoreUnavailable
from gateway.kernel.keys import bucket_key, bucket_of
from gateway.kernel.liveness import RegisterRow
from gateway.kernel.outcomes import DayOver, Register
from gateway.kernel.verify import verify
from gateway.memory import Memory


LEASE_S = 30
META = bucket_key("meta", BUCKET)
OUTBOX = bucket_key("outbox", BUCKET)


class Ears(Telemetry):
    """Telemetry that also keeps what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Event] = []

    def emit(self, event: Event) -> None:
        """Keeps it, and tells everybody."""
        self.heard.append(event)
        super().emit(event)


@dataclass
class Gateway:
    """A gateway with what it remembers on disk."""

    core: Core
    memory: Memory
    ears: Ears

    def heard(self, kind: type[Event]) -> list[Any]:
        """Events of a kind, of the bucket that the tests are about."""
        return [each for each in self.ears.heard if isinstance(each, kind) and getattr(each, "bucket", 0) == BUCKET]


Start = Callable[[str], Awaitable[Gateway]]


@pytest.fixture
async def start(store_url: str, tmp_path: Path) -> AsyncIterator[Start]:
    """Starts gateways by name; one that is started again has the memory of the first."""
    running: dict[str, contextlib.AsyncExitStack] = {}

    async def begin(name: str) -> Gateway:
        if name in running:
            await running.pop(name).aclose()
        stack = running[name] = contextlib.AsyncExitStack()
        path, ears = tmp_path / f"{name}.db", Ears()
        memory = await Memory.open(path)
        stack.push_async_callback(memory.close)
        journal = await Journal.open(path)
        stack.push_async_callback(journal.close)
        core = build_core(store_url, budget_s=5.0, telemetry=ears, clock=CLOCK_FRAGMENT, memory=memory, journal=journal)
        stack.push_async_callback(core.close)
        assert await core.start(), core.store.last_error
        return Gateway(core, memory, ears)

    yield begin
    for stack in running.values():
        await stack.aclose()


@pytest.fixture
async def one(start: Start) -> Gateway:
    """A gateway that remembers."""
    return await start("one")


@pytest.fixture
async def life(one: Gateway, clock: Clock, store_url: str) -> Life:
    """Noon of an ordinary day, as that gateway sees it."""
    return await living(one.core, clock, store_url)


async def copy_of(life: Life) -> dict[bytes, bytes]:
    """All keys of the bucket, as they are now."""
    return {key: await life.redis("DUMP", key) for key in await life.redis("KEYS", f"gateway:{{b{BUCKET:02d}}}:*")}


async def fail_over(life: Life, copied: dict[bytes, bytes] | None = None) -> None:
    """The bucket is on another server from now on: with all that it held, or with what was copied."""
    if copied is not None:
        await life.redis("DEL", *await life.redis("KEYS", f"gateway:{{b{BUCKET:02d}}}:*"))
        for key, dump in copied.items():
            await life.redis("RESTORE", key, 0, dump)
    await life.redis("HSET", META, "server", "another")


async def lose_everything(life: Life) -> None:
    """The server has begun again with nothing; the time goes on."""
    await life.redis("FLUSHDB")
    await life.redis("SET", "test:clock", life.now_ms)


async def last_entry(life: Life) -> tuple[int, int]:
    """Epoch and number of the last entry of the outbox."""
    flat = await life.redis("XINFO", "STREAM", OUTBOX)
    epoch, _, number = flat[flat.index(b"last-generated-id") + 1].decode().partition("-")
    return int(epoch), int(number)


async def hears(*gateways: Gateway) -> None:
    """Gateways hear of the time that has passed, as by any answer."""
    for gateway in gateways:
        await gateway.core.kernel.entitlements("acme")


async def told_of(gateway: Gateway) -> tuple[int, int] | None:
    """What the gateway was told last."""
    return gateway.memory.last_told(BUCKET)


async def restored(gateway: Gateway, times: int = 1) -> None:
    """Waits until the gateway has put something back so many times."""

    async def has() -> bool:
        return len(gateway.heard(Restored)) >= times

    await until(has, "something is put back")


def refused() -> Any:
    """What a join is answered while limits cannot be judged."""
    return pytest.raises(StoreRecovering)


# Another server


async def test_a_bucket_on_another_server_begins_a_new_epoch(life: Life, one: Gateway) -> None:
    """Nothing is missing: the join that meets it is decided, and nobody's lease ends before a whole one has passed."""
    await life.hold(ports(9))
    await life.ask("a")
    first, _ = await last_entry(life)
    await life.later(5)
    await fail_over(life)

    assert "admitted" == await life.told("b")

    assert (life.now_ms, 1) == await last_entry(life)
    guards = await life.guards()
    assert (life.now_ms, life.now_ms + 30_000, first, 2) == (
        guards["epoch"], guards["grace"], guards["prior_epoch"], guards["prior_number"]
    )  # fmt: skip
    assert "recovering" not in guards
    assert [EpochBegan(BUCKET, life.now_ms, lost=False)] == one.heard(EpochBegan)
    assert ["0", "0"] == [each["lost"] for each in await life.entries("epoch")]
    assert 2 == (await life.counts())["ports"]


async def test_the_first_gateway_of_all_begins_the_first_epoch_and_says_nothing(life: Life, one: Gateway) -> None:
    """There was nothing before that could be missing."""
    await life.hold(ports(9))

    assert [] == one.heard(EpochBegan)
    assert 1 == len(await life.entries("epoch"))
    assert "recovering" not in await life.guards()


async def test_many_operations_of_several_gateways_begin_one_epoch(life: Life, one: Gateway, start: Start) -> None:
    """Sixty joins at one time over three gateways: ten seats, ten are let in, each counted once."""
    gateways = [one, await start("two"), await start("three")]
    await life.hold(ports(10))
    for gateway in gateways:
        await gateway.core.entitlements.load("acme")
    await life.later(1)
    await fail_over(life)

    asked = [admit(gateways[each % 3].core, join(f"leg{each}")) for each in range(60)]
    decisions = await asyncio.gather(*asked)

    assert 10 == sum(decision.admitted for decision in decisions)
    assert 10 == (await life.counts())["ports"]
    assert 2 == len(await life.entries("epoch"))
    assert 50 == (await life.core.reports.usage("acme")).snapshot.denied[Reason.PORTS_FULL]


async def test_nothing_lapses_for_a_lease_after_a_change_of_servers(life: Life) -> None:
    """Whatever the leases say: nodes may have been cut off as long as gateways were."""
    await life.watched()
    await life.hold(ports(9))
    await life.ask("a", lease_s=6)
    await life.swept_later(5)
    await fail_over(life)

    assert 0 == await life.sweep()
    assert 0 == await life.swept_later(LEASE_S - 1)

    assert 1 == await life.swept_later(2)


async def test_an_epoch_is_later_than_any_before_also_where_the_clock_is_behind(life: Life, one: Gateway) -> None:
    """A server an hour behind, and one that has lost everything besides: numbers go on upwards, for those who remember them."""
    await life.hold(ports(9))
    await life.ask("a")
    first, _ = await last_entry(life)
    await life.clock_back(3600)
    await fail_over(life)
    await life.ask("b")
    second, _ = await last_entry(life)
    await lose_everything(life)

    with refused():
        await life.ask("c")

    third, _ = await last_entry(life)
    assert [first + 1, first + 2] == [second, third]
    assert [False, True] == [each.lost for each in one.heard(EpochBegan)]


async def test_every_entry_is_told(life: Life, one: Gateway) -> None:
    """Whatever an operation writes, the gateway knows its number: that is what it can miss later."""
    assert (await told_of(one)) is None
    await life.hold(ports(1))
    held = [await told_of(one) == await last_entry(life)]

    async def does(operation: Awaitable[Any]) -> None:
        await operation
        held.append(await told_of(one) == await last_entry(life))

    await does(life.ask("a", node="media-1"))
    await does(life.ask("b"))
    await does(life.confirm("a", node="media-1"))
    await does(life.confirm("c", node="media-1"))
    await does(life.moved("c", "m2", "m1"))
    await does(life.leave("c"))
    await does(set_status(life.core.entitlements, "suspended"))
    await does(life.core.heartbeats.leave("media-1"))
    await does(life.core.liveness.assert_registers("acme", [row(7)]))
    await life.later(24 * 3600)
    await does(life.ask("d"))
    assert [True] * 11 == held
    assert {
        "install",
        "admit",
        "deny",
        "confirm",
        "adopt",
        "move",
        "release",
        "status",
        "reclaim",
        "assert",
        "roll",
    } == {
        each["op"]
        for each in await life.entries(
            "install", "admit", "deny", "confirm", "adopt", "move", "release", "status", "reclaim", "assert", "roll"
        )
    }


# A store that has lost something


async def test_a_store_that_has_lost_its_last_writes_recovers_for_a_lease(life: Life, one: Gateway) -> None:
    """A leg is missing, so no limit can be judged; releases, confirmations and heartbeats go on; after a lease joins are decided again."""
    await life.hold(ports(2))
    await life.ask("a", node="media-1")
    copied = await copy_of(life)
    await life.ask("b", node="media-1")
    await life.later(1)
    await fail_over(life, copied)

    with refused():
        await life.ask("c")
    with refused():
        await life.core.admission.preview(join("c"))
    assert [EpochBegan(BUCKET, life.now_ms, lost=True)] == one.heard(EpochBegan)
    assert life.now_ms + 30_000 == (await life.guards())["recovering"]
    assert "replayed" == await life.told("a", node="media-1")
    assert (1, ["b"], []) == await life.beat("a", "b")
    assert "adopted" == (await life.confirm("b", node="media-1")).result
    await life.later(LEASE_S - 0.001)
    with refused():
        await life.ask("c")
    await life.later(0.001)

    assert "ports_full" == await life.told("c")
    await life.leave("a")
    assert "admitted" == await life.told("c")


async def test_a_store_that_has_lost_what_nobody_was_told_is_not_missed(life: Life, one: Gateway, start: Start) -> None:
    """Only the gateway that was told knows: when it comes, the bucket recovers, for the rest of the lease in which it began."""
    two = await start("two")
    await life.hold(ports(9))
    copied = await copy_of(life)
    await admit(two.core, join("b", node="media-1"))
    await life.later(1)
    began_ms = life.now_ms
    await fail_over(life, copied)

    assert "admitted" == await life.told("a")
    await life.later(20)
    assert "admitted" == await life.told("c")
    await hears(two)
    with refused():
        await admit(two.core, join("d"))

    assert [False] == [each.lost for each in one.heard(EpochBegan)]
    assert [True] == [each.lost for each in two.heard(EpochBegan)]
    assert began_ms + 30_000 == (await life.guards())["recovering"]
    with refused():
        await life.ask("d")
    await life.later(10)
    assert "admitted" == await life.told("d")


async def test_what_is_missing_for_two_leases_is_not_missed_any_more(life: Life, start: Start) -> None:
    """Nodes have brought back long since what they had."""
    two = await start("two")
    await life.hold(ports(9))
    copied = await copy_of(life)
    await admit(two.core, join("b", node="media-1"))
    await life.later(1)
    await fail_over(life, copied)
    await life.ask("a")
    await life.later(2 * LEASE_S)
    await hears(two)

    assert "admitted" == told(await admit(two.core, join("d")))

    assert [False] == [each.lost for each in two.heard(EpochBegan)]


@pytest.mark.parametrize("pause_s", [1, 61, 24 * 3600])
async def test_a_gateway_that_comes_back_with_an_old_memory_misses_nothing(
    life: Life, start: Start, pause_s: int
) -> None:
    """The store was on another server meanwhile, and everything went on; what the gateway was told is in what came before."""
    two = await start("two")
    await life.hold(ports(9))
    await admit(two.core, join("b"))
    await life.ask("a")
    await fail_over(life)
    await life.ask("c")
    await life.later(pause_s)

    two = await start("two")
    assert "admitted" == told(await admit(two.core, join("d")))

    assert [False] == [each.lost for each in two.heard(EpochBegan)]
    assert "recovering" not in await life.guards()


async def test_a_gateway_that_was_away_over_several_changes_of_servers_misses_nothing(life: Life, start: Start) -> None:
    """Where the last of them is two leases ago."""
    two = await start("two")
    await life.hold(ports(9))
    await admit(two.core, join("b"))
    for connection in ("a", "c", "d"):
        await life.later(100)
        await fail_over(life)
        await life.ask(connection)
    await life.later(2 * LEASE_S)

    two = await start("two")
    assert "admitted" == told(await admit(two.core, join("e")))

    assert "recovering" not in await life.guards()
    assert 5 == (await life.counts())["ports"]


async def test_a_gateway_that_begins_again_on_the_same_store_says_nothing(life: Life, start: Start) -> None:
    """It knows the epoch from its memory."""
    await life.hold(ports(9))
    await life.ask("a")

    one = await start("one")
    assert "admitted" == told(await admit(one.core, join("b")))

    assert [] == one.heard(EpochBegan)


async def test_a_gateway_that_begins_again_on_a_store_that_lost_something_finds_it_out(
    life: Life, start: Start
) -> None:
    """What it was told before is on its disk; without that, nobody would know."""
    await life.hold(ports(9))
    copied = await copy_of(life)
    await life.ask("a", node="media-1")
    await fail_over(life, copied)

    one = await start("one")
    with refused():
        await admit(one.core, join("b"))

    assert [True] == [each.lost for each in one.heard(EpochBegan)]


async def test_a_store_without_what_an_operator_did_recovers_as_well(life: Life, one: Gateway) -> None:
    """Any entry that was told counts, also a denial or a release."""
    await life.hold(ports(1))
    await life.ask("a")
    copied = await copy_of(life)
    await life.leave("a")
    await fail_over(life, copied)

    with refused():
        await life.ask("b")

    assert [True] == [each.lost for each in one.heard(EpochBegan)]


# Nodes bring back the legs


@pytest.fixture
async def watching(one: Gateway, life: Life, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    """The gateway watches over its recovery, more often than it would, and has heard of two nodes."""
    monkeypatch.setattr("gateway.nodes.recovery.LOOK_S", 0.02)
    monkeypatch.setattr("gateway.nodes.recovery.PRESENT_EVERY_S", 0.1)
    for node in ("media-1", "media-2"):
        await life.beat(node=node)
    running = asyncio.create_task(one.core.recovery.run())

    await looked_twice(life)
    yield one
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def recovered(gateway: Gateway) -> None:
    """Waits until the gateway says that the bucket has recovered."""

    async def has() -> bool:
        return bool(gateway.heard(Recovered))

    await until(has, "the bucket has recovered")


async def looked_twice(life: Life) -> None:
    """Waits until the gateway has asked for the nodes twice more: it has seen what is there now."""

    async def asked() -> int:
        return int((await life.redis("INFO", "commandstats"))["cmdstat_hgetall"]["calls"])

    before = await asked()

    async def again() -> bool:
        return await asked() >= before + 2

    await until(again, "two looks")


async def test_recovering_ends_when_all_nodes_have_said_what_they_have(life: Life, watching: Gateway) -> None:
    """Every node known before, in a heartbeat in which nothing was unknown; then limits are judged, with all legs counted."""
    await life.hold(ports(2))
    copied = await copy_of(life)
    for leg, node in (("a", "media-1"), ("b", "media-2")):
        await life.ask(leg, node=node)
        await life.confirm(leg, node=node)
    await life.later(1)
    await fail_over(life, copied)
    with refused():
        await life.ask("c")
    await life.later(1)

    assert (0, ["a"], []) == await life.beat("a", node="media-1")
    await life.confirm("a", node="media-1")
    await life.later(1)
    assert (1, [], []) == await life.beat("a", node="media-1")
    await looked_twice(life)
    assert [] == watching.heard(Recovered)
    assert (0, ["b"], []) == await life.beat("b", node="media-2")
    await life.confirm("b", node="media-2")
    await looked_twice(life)
    assert [] == watching.heard(Recovered)
    await life.later(1)
    await life.beat("b", node="media-2")
    await recovered(watching)

    assert "ports_full" == await life.told("c")
    assert 1 == len(await life.entries("recovered"))
    assert "recovering" not in await life.guards()


async def test_a_node_that_is_silent_delays_recovering_by_a_lease_at_most(life: Life, watching: Gateway) -> None:
    """Its legs are gone by then, as after any lease."""
    await life.hold(ports(2))
    copied = await copy_of(life)
    await life.ask("a", node="media-1")
    await life.later(1)
    await fail_over(life, copied)
    with refused():
        await life.ask("c")
    await life.later(1)
    await life.beat(node="media-1")
    await looked_twice(life)
    assert [] == watching.heard(Recovered)
    await life.later(LEASE_S - 1)

    assert "admitted" == await life.told("c")
    assert [] == watching.heard(Recovered)


async def test_a_node_that_was_silent_before_is_not_waited_for(life: Life, watching: Gateway) -> None:
    """Not heard of for two leases when the store was lost, it has nothing to bring back."""
    await life.hold(ports(2))
    await life.later(2 * LEASE_S + 1)
    await life.beat(node="media-1")
    copied = await copy_of(life)
    await life.ask("a", node="media-1")

    await looked_twice(life)
    await life.later(1)
    await fail_over(life, copied)
    with refused():
        await life.ask("c")
    await life.later(1)
    await life.beat(node="media-1")
    await recovered(watching)

    assert "admitted" == await life.told("c")


async def test_T4_4_no_host_is_asked_for_while_nodes_bring_back_the_legs(life: Life) -> None:
    """A guest that moves into the meeting of a host whose leg was lost is let in; without a loss it is not."""
    await life.hold(ports(9))
    await life.ask("host 1", "m1")
    await life.ask("guest", "m1", role="participant")
    copied = await copy_of(life)
    assert "host_not_present" == told(await life.moved("guest", "m2", "m1", role="participant"))
    await life.ask("host 2", "m2", node="media-1")
    await life.later(1)
    await fail_over(life, copied)
    with refused():
        await life.ask("c")

    assert "admitted" == told(await life.moved("guest", "m2", "m1", role="participant"))

    await life.later(LEASE_S)
    assert "host_not_present" == told(await life.moved("guest", "m3", "m2", role="participant"))
    assert "host_not_present" == await life.told("other", "m2", role="participant")


# What gateways put back


def row(peak: int, *, committed: int = 2, ordinal: int = TODAY.ordinal, group: str = "ports") -> RegisterRow:
    """A register as it was told at noon."""
    return RegisterRow(ordinal, group, Register(committed, peak, NOON_MS, max(peak - committed, 0), NOON_MS))


async def test_a_store_that_lost_everything_gets_it_back(life: Life, one: Gateway) -> None:
    """Entitlements and registers from the gateway's memory, legs from their node; then the limits hold, and the peak of the day stands."""
    await life.hold(ports(3, enforcement="metered", id="p"))
    await life.fill(5)
    await life.leave(*[f"fill{number}" for number in range(5)])
    await life.ask("a", node="media-1")
    await life.hold(ports(2, enforcement="metered", ceiling=4, id="p"))
    await life.later(1)
    await lose_everything(life)

    with refused():
        await life.ask("b")
    await restored(one)

    assert [Restored(BUCKET, 1, 1)] == one.heard(Restored)
    assert {"acme": 2} == await life.core.kernel.customers()
    assert {("2026-06-10", "ports"): (2, 5, 2)} == await life.overage(TODAY, TODAY)
    assert (0, ["a"], []) == await life.beat("a")
    assert "adopted" == (await life.confirm("a", node="media-1")).result
    await life.later(LEASE_S)
    await life.beat("a")
    await life.fill(3, prefix="new")
    assert "ports_full" == await life.told("c")


@pytest.mark.parametrize("first", ["knows less", "knows more"])
async def test_of_two_gateways_the_greatest_version_stands(life: Life, one: Gateway, start: Start, first: str) -> None:
    """Whichever meets the empty store first; a gateway that knows less has learnt the rest from the store."""
    two = await start("two")
    await life.hold(ports(1, id="old"))
    await two.core.entitlements.load("acme")
    await life.hold(ports(2, id="new"))
    await set_status(life.core.entitlements, "suspended")
    await life.later(1)
    await hears(one, two)
    await lose_everything(life)
    order = [two, one] if first == "knows less" else [one, two]

    for gateway in order:
        with contextlib.suppress(StoreRecovering):
            await admit(gateway.core, join("a"))

        async def is_back(version: int = 3 if gateway is one or first == "knows more" else 1) -> bool:
            return {"acme": version} == await life.core.kernel.customers()

        await until(is_back, "the version is back")

    await life.later(LEASE_S)
    await hears(one, two)
    assert ["customer_suspended"] * 2 == [told(await admit(each.core, join("b"))) for each in (one, two)]
    assert {"acme": 3} == await life.core.kernel.customers()


async def test_a_gateway_with_an_older_version_does_not_put_it_back(life: Life, start: Start) -> None:
    """It takes what the store has."""
    await start("two")
    await life.hold(ports(1))
    two = await start("two")
    await two.core.entitlements.load("acme")
    await life.hold(ports(2))
    await fail_over(life)
    await life.told("a")

    assert "admitted" == told(await admit(two.core, join("b")))

    assert {"acme": 2} == await life.core.kernel.customers()
    assert [] == await life.entries("restore")


async def test_changes_go_on_from_the_version_that_was_lost(life: Life) -> None:
    """Versions never go back: a change after a loss is of a greater version than the one that was lost."""
    await life.hold(ports(1))
    copied = await copy_of(life)
    await life.hold(ports(2))
    await life.hold(ports(3))
    await fail_over(life, copied)

    assert 4 == await install(life.core.entitlements, customer(ports(4)))

    assert {"acme": 4} == await life.core.kernel.customers()


async def test_registers_that_were_greater_are_put_back(life: Life, one: Gateway) -> None:
    """Of the running day and of days before; each maximum for itself, and what the store has in greater numbers stands."""
    await life.hold(ports(2, enforcement="metered"))
    copied = await copy_of(life)
    await life.fill(4)
    await life.leave(*[f"fill{number}" for number in range(4)])
    await life.at(day(TODAY.ordinal + 1).start_ms)
    await life.fill(3, prefix="next")
    days = await life.overage(TODAY, day_of("2026-06-11"))
    assert {("2026-06-10", "ports"): (2, 4, 2), ("2026-06-11", "ports"): (2, 3, 1)} == days
    await fail_over(life, copied)

    with refused():
        await life.ask("a")
    await restored(one)

    assert days == await life.overage(TODAY, day_of("2026-06-11"))
    assert [Restored(BUCKET, 0, 2)] == one.heard(Restored)


async def test_T4_3_asserting_registers_raises_and_never_lowers(life: Life) -> None:
    """The greater of both stands, of each maximum; a second time changes nothing; days to come are not opened."""
    await life.hold(ports(2, enforcement="metered"))
    await life.fill(3)
    told_rows = [row(2), row(5, ordinal=TODAY.ordinal - 1), row(9, ordinal=TODAY.ordinal + 1)]
    liveness = life.core.liveness

    assert 1 == await liveness.assert_registers("acme", told_rows)
    assert 0 == await liveness.assert_registers("acme", told_rows)
    assert 1 == await liveness.assert_registers("acme", [row(4)])

    assert {("2026-06-09", "ports"): (2, 5, 3), ("2026-06-10", "ports"): (2, 4, 2)} == await life.overage(
        day_of("2026-06-09"), TODAY
    )
    assert ["1", "1"] == [each["raised"] for each in await life.entries("assert")]


async def test_T4_3_registers_are_asserted_on_a_new_day_after_it_was_opened(life: Life) -> None:
    """The day that is over is closed first, so that it is known which one is open."""
    await life.hold(ports(2, enforcement="metered"))
    await life.at(day(TODAY.ordinal + 1).start_ms)

    assert isinstance(await life.core.liveness.assert_registers("acme", [row(4)]), DayOver)

    await life.overage(TODAY, day_of("2026-06-11"))
    assert 1 == await life.core.liveness.assert_registers("acme", [row(4)])
    assert 0 == await life.core.liveness.assert_registers("nobody", [row(4)])


# Joins while limits cannot be judged


async def degrade(life: Life, failure: str, *subscriptions: dict[str, Any]) -> None:
    """The customer wants that where the store cannot judge, and the store has lost something."""
    await life.hold(*subscriptions, store_failure=failure)
    await life.fill(4)
    copied = await copy_of(life)
    await life.ask("lost", node="media-1")
    await life.leave("fill0")
    await life.later(1)
    await fail_over(life, copied)
    with contextlib.suppress(StoreUnavailable):
        await life.core.admission.preview(join("x"))


async def test_deny_refuses_while_limits_cannot_be_judged(life: Life, one: Gateway) -> None:
    """Nothing is counted, and nothing is kept for later."""
    await degrade(life, "deny", ports(9))
    before = await life.counts()

    with refused():
        await life.ask("a")

    assert before == await life.counts()
    assert one.core.replay is not None
    assert [] == await life.entries("deny")


@pytest.mark.parametrize(
    ("said", "left_s", "connected"),
    [({"node": "media-1"}, 30, False), ({"lease_s": 50}, 50, False), ({}, 12 * 3600, True)],
    ids=["node", "lease", "neither"],
)
async def test_admit_lets_in_and_counts_while_limits_cannot_be_judged(
    life: Life, said: dict[str, Any], left_s: int, connected: bool
) -> None:
    """Above the limit too; the store counts the leg at once, as one that nobody has checked, with the lease that it would have had."""
    await degrade(life, "admit", ports(4))

    decision = await life.ask("a", **said)

    assert (True, "degraded", not connected, left_s) == (
        decision.admitted, told(decision), decision.lease and decision.lease.provisional, decision.lease and decision.lease.expires_in_s
    )  # fmt: skip
    leg = await life.leg("a")
    assert leg is not None
    assert (True, connected, 5) == (leg.adopted, leg.connected_ms is not None, (await life.counts())["ports"])
    assert left_s == (await life.leases())["a"]
    assert "replayed" == await life.told("a", **said)
    await life.later(LEASE_S)
    assert "ports_full" == await life.told("b")


@pytest.mark.parametrize(
    "said",
    [
        {"node": "media-1"},
        {"lease_s": 50},
        {},
    ],
    ids=["node", "lease", "neither"],
)
async def test_T1_2_a_leg_that_was_let_in_without_a_check_has_joined(life: Life, said: dict[str, Any]) -> None:
    """Other than one that was there before, it counts among those that joined today, whether it is connected at once or later."""
    await degrade(life, "admit", ports(4))
    before, _ = await life.tallies()

    await life.ask("a", **said)

    assert (before + 1, 0) == await life.tallies()


async def test_admit_lets_in_the_first_join_after_everything_was_lost_and_it_is_counted(
    life: Life, one: Gateway
) -> None:
    """Also where its customer is not yet put back: with nothing that would bring it in, the journal does."""
    await life.hold(ports(4), store_failure="admit")
    await life.ask("lost", node="media-1")
    await life.later(1)
    await lose_everything(life)

    assert "degraded" == await life.told("a")

    await restored(one)
    assert one.core.replay is not None
    await one.core.replay.drain()
    (left_s,) = (await life.leases()).values()
    assert 12 * 3600 - 20 < left_s <= 12 * 3600
    assert {"ports": 1, "meeting:meeting:m1": 1, "hosting:meeting:m1": 1} == await life.counts()


async def test_bounded_lets_in_this_gateways_share_while_limits_cannot_be_judged(life: Life, one: Gateway) -> None:
    """Six seats were free when the limit was seen last; of two gateways each lets in three, and no more."""
    await degrade(life, "bounded", ports(10))
    one.core.degraded.gateways = 2

    answers = []
    for number in range(5):
        try:
            answers.append(await life.told(f"leg{number}", node="media-1"))
        except StoreRecovering:
            answers.append("refused")

    share = (10 - 5) // 2
    assert ["degraded"] * share + ["refused"] * (5 - share) == answers
    assert 4 + share == (await life.counts())["ports"]


async def test_bounded_lets_in_again_when_the_store_is_lost_once_more(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the two losses the store had counted all, and told how much is left."""
    monkeypatch.setattr("gateway.degraded.BROUGHT_IN_S", 0.0)
    await degrade(life, "bounded", ports(10))
    for number in range(5):
        assert "degraded" == await life.told(f"leg{number}", node="media-1")
    await life.later(LEASE_S)
    await life.leave(*[f"leg{number}" for number in range(5)])
    for number in range(2):
        assert "admitted" == await life.told(f"back{number}")
    copied = await copy_of(life)
    await life.ask("lost again", node="media-1")
    await life.later(1)
    await fail_over(life, copied)

    assert "degraded" == await life.told("again", node="media-1")


async def test_a_released_leg_is_not_let_in_while_limits_cannot_be_judged(life: Life) -> None:
    """What the store knows of an id it still says: released, or something else."""
    await degrade(life, "admit", ports(10))
    await life.leave("fill1")

    assert "already_released" == await life.told("fill1")

    assert 3 == (await life.counts())["ports"]


async def test_T20_1_a_denial_that_is_no_limit_is_one_without_the_store_too(life: Life) -> None:
    """Nobody is let in who would be refused by what is known."""
    await degrade(life, "admit", ports(10))

    with refused():
        await life.ask("a", access="china")


# Everything at once


async def test_after_any_number_of_losses_the_counts_are_what_the_legs_say(life: Life, start: Start) -> None:
    """Three gateways, joins and releases, and a store that changes servers or loses its last writes at every turn."""
    gateways = [await start(name) for name in ("two", "three", "four")]
    await life.hold(ports(50, enforcement="metered"), store_failure="admit")
    numbers = itertools.count()
    for turn in range(6):
        copied = await copy_of(life) if turn % 2 else None
        await asyncio.gather(
            *[
                admit(gateway.core, join(f"leg{next(numbers)}", f"m{turn}", node="media-1"))
                for gateway in gateways
                for _ in range(10)
            ]
        )
        await life.later(7)
        await fail_over(life, copied)
        await asyncio.gather(
            *[gateway.core.admission.release("acme", f"leg{next(numbers) - 1}") for gateway in gateways]
        )

    found = await verify(life.core.kernel, "acme")
    assert (True, ()) == (found.conclusive, found.differences)
    assert found.legs == len(await life.leases())
    assert bucket_of("acme") == BUCKET
