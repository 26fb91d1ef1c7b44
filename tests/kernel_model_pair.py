"""The model beside the real thing: two gateways on one store, and every operation on both sides, with the same answer."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from kernel_draws import customer_of
from kernel_model import Model, Verdict
from kernel_model_held import Held
from kernel_model_leases import alive_ms
from support import CLOCK_FRAGMENT, CLOCK_KEY, admit, install, set_status

from gateway.admission import ConnectionConflict, ConnectionUnknown
from gateway.core import Core, Telemetry, build_core
from gateway.domain.changes import host_resumed, host_suspended
from gateway.domain.claims import group_name
from gateway.domain.contract import METERED_POOLS, REPORTED_POOLS
from gateway.domain.days import day
from gateway.domain.join import Decision, Join, Service
from gateway.kernel.keys import bucket_key, bucket_of, keys_of
from gateway.kernel.past import read_past
from gateway.kernel.verify import verify


T = TypeVar("T")

BUCKET = bucket_of("acme")

SEEN: Counter[str] = Counter()
"""Answers that the model gave; a comparison that never meets a rule proves nothing of it."""


class Pair:
    """Begins at noon of the day `beginning` (an ordinal), with nothing installed."""

    def __init__(self, url: str, beginning: int) -> None:
        self._runner = asyncio.Runner()
        self.beginning = beginning
        self.gateways = [self.run(_started(url)) for _ in range(2)]
        self.model = Model(day(beginning).start_ms + 12 * 3_600_000)
        self.release("nobody")  # the first word with a store; a bucket that begins reclaims nothing for a while
        self.model.tombstones.clear()
        self._set_clock(self.model.now_ms)

    def run(self, awaitable: Awaitable[T]) -> T:
        """Runs on the loop of this pair."""

        async def main() -> T:
            return await awaitable

        return self._runner.run(main())

    def close(self) -> None:
        """Closes the gateways."""
        for core in self.gateways:
            self.run(core.close())
        self._runner.close()

    def admit(self, wanted: Join, gateway: int = 0) -> None:
        """A join is decided."""
        expected = self.model.admit(wanted)
        SEEN[expected.would_deny or expected.reason] += 1
        found = self.run(_answer(lambda: admit(self.gateways[gateway], wanted)))
        assert expected == found, f"{expected} != {found}: {wanted}"

    def preview(self, asked: Join, gateway: int = 0) -> None:
        """A preview says what would be decided."""
        expected = self.model.decide(asked)
        found = self.run(_answer(lambda: self.gateways[gateway].admission.preview(asked)))
        assert expected == found, f"{expected} != {found}: {asked}"

    def move(self, wanted: Join, origin: str, gateway: int = 0) -> None:
        """A leg goes from the meeting `origin` to another meeting or role."""
        expected = self.model.move(wanted, origin)
        SEEN[expected.would_deny or expected.reason] += 1
        SEEN[f"move {expected.reason}"] += 1
        admission = self.gateways[gateway].admission
        found = self.run(_answer(lambda: admission.move(wanted, origin, wait_s=30.0)))
        assert expected == found, f"{expected} != {found}: {wanted}"

    def release(self, connection: str, gateway: int = 0) -> None:
        """A leg ends."""
        expected = self.model.release(connection)
        outcome = self.run(self.gateways[gateway].admission.release("acme", connection))
        assert expected == hasattr(outcome, "admitted_ms"), connection

    def confirm(self, wanted: Join, gateway: int = 0) -> None:
        """A leg is connected."""
        expected = self.model.confirm(wanted)
        SEEN[expected] += 1
        found = self.run(_confirmed(self.gateways[gateway], wanted))
        left_s = 0
        if expected in {"confirmed", "adopted"}:
            left_s = (self.model.world.legs[wanted.connection].lease_end_ms - self.model.now_ms) // 1000
        _same((expected, left_s), found)

    def beat(self, connections: Sequence[str], gateway: int = 0) -> None:
        """A node lists legs."""
        unknown = self.model.beat(connections)
        live = sum(connection in self.model.world.legs for connection in connections)
        heartbeats = self.gateways[gateway].heartbeats
        beat = self.run(heartbeats.beat("media-1", {"acme": connections}, page=1, pages=1))
        _same((live, unknown, {}), (beat.renewed, list(beat.unknown.get("acme", [])), beat.drop))

    def sweep(self, gateway: int = 0) -> None:
        """Both gateways sweep, one after the other; the first reclaims all that has lapsed and may be reclaimed."""
        reclaimed = self.model.sweep()
        SEEN["lapsed"] += len(reclaimed)
        SEEN["held"] += self.model.lapses.held_ms is not None
        self._command("HDEL", bucket_key("meta", BUCKET), "round")  # somebody swept just now
        for core, legs in ((self.gateways[gateway], len(reclaimed)), (self.gateways[1 - gateway], 0)):
            _same(legs, self.run(core.sweeper.sweep(BUCKET)))
        expected = [(leg.join.connection, "lapsed", alive_ms(leg, self.model.now_ms)) for leg in reclaimed]
        _same(expected, self._reclaimed(len(expected)))

    def leave(self, node: str, gateway: int = 0) -> None:
        """A node says that it has left."""
        expected = {leg.join.connection for leg in self.model.world.legs.values() if leg.node == node}
        SEEN["departed"] += len(expected)
        _same(len(expected), self.run(self.gateways[gateway].heartbeats.leave(node)))
        told = self._reclaimed(len(expected))
        _same({(connection, "departed", self.model.now_ms) for connection in expected}, set(told))
        self.model.reclaim([connection for connection, _, _ in told])

    def _reclaimed(self, number: int) -> list[tuple[str, str, int]]:
        """So many last entries of the outbox, in their order: connection, cause, last sign of life."""
        key = bucket_key("outbox", BUCKET)
        told = self._command("XREVRANGE", key, "+", "-", "COUNT", max(number, 1))
        entries = [dict(zip(flat[::2], flat[1::2], strict=True)) for _, flat in told][:number]
        _same({b"reclaim"} if number else set(), {entry[b"op"] for entry in entries})
        found = [(entry[b"connection"].decode(), entry[b"cause"].decode(), int(entry[b"alive"])) for entry in entries]
        return found[::-1]

    def change(self, held: Held, gateway: int = 0) -> None:
        """Other plans."""
        self.model.change(held)
        self.run(install(self.gateways[gateway].entitlements, customer_of(held)))

    def suspend(self, suspended: bool, gateway: int = 0) -> None:
        """The customer is suspended or resumed (T20.1)."""
        self.model.suspended = suspended
        status = "suspended" if suspended else "active"
        self.run(set_status(self.gateways[gateway].entitlements, status, reason="test"))  # type: ignore[arg-type]

    def suspend_host(self, host: str, gateway: int = 0) -> None:
        """One host is suspended; or resumed, if it was (T20.1)."""
        entitlements, address, hosts = self.gateways[gateway].entitlements, host.lower(), self.model.suspended_hosts
        change = host_resumed("acme", host) if address in hosts else host_suspended("acme", host, "aup", "test")
        hosts ^= {address}
        self.run(entitlements.change("acme", change, "host"))

    def advance(self, now_ms: int) -> None:
        """Time passes."""
        self.model.advance(now_ms)
        self._set_clock(now_ms)

    def verify(self) -> None:
        """The kernel's own verification."""
        found = self.run(verify(self.gateways[0].kernel, "acme"))
        assert found.conclusive
        assert () == found.differences, found.differences

    def compare(self) -> None:
        """Everything that can be read is what the model says."""
        self.compare_use()
        self.compare_days()
        self.compare_joined()
        self.compare_events()
        self.compare_noted()
        self.compare_leases()

    def compare_leases(self) -> None:
        """When each leg lapses, and whose it is."""
        (key,) = keys_of("acme", ("leases",))
        flat = self._command("ZRANGE", key, 0, -1, "WITHSCORES")
        found = {name.decode(): int(end) for name, end in zip(flat[::2], flat[1::2], strict=True) if name}
        legs = self.model.world.legs
        _same({name: leg.lease_end_ms for name, leg in legs.items()}, found)
        stored = self.run(_legs(self.gateways[0]))
        _same({name: (leg.node, leg.lease_ms, leg.connected) for name, leg in legs.items()}, stored)

    def compare_use(self) -> None:
        """Live figures and tallies."""
        usage = self.run(self.gateways[0].reports.usage("acme"))
        model, snapshot = self.model, usage.snapshot
        world = model.world
        _same(len(world.legs), snapshot.live)
        _same(sum(bool(leg.would_deny) for leg in world.legs.values()), snapshot.shadow_live)
        _same({reason: count for reason, count in model.denied.items() if count}, dict(snapshot.denied))
        _same(dict(model.would_deny), dict(snapshot.would_deny))
        expected = {
            **{name: world.pool(name) for name in METERED_POOLS},
            "hosts": world.hosts(Service.MEETING),
            "teams_hosts": world.hosts(Service.TEAMS),
            "events": len(world.concurrent),
        }
        _same(expected, {name: snapshot.groups[group][0] for name, group in REPORTED_POOLS.items()})

    def compare_days(self) -> None:
        """Registers of every day."""
        reported = self.run(self.gateways[1].reports.overage("acme", self.beginning, self.model.today))
        registers = {(row.day, row.pool): row.register for row in reported}
        found = {key: (each.committed, each.peak, each.peak_at_ms, each.overage) for key, each in registers.items()}
        rows = self.model.all_rows()
        expected = {key: (each.committed, each.peak, each.peak_at_ms, each.overage) for key, each in rows.items()}
        _same(expected, found)

    def compare_joined(self) -> None:
        """Legs that joined on every day, audio-only ones among them (T1.2)."""
        model, core = self.model, self.gateways[1]
        snapshot = self.run(core.reports.usage("acme")).snapshot
        found = self.run(core.kernel.joined("acme", range(self.beginning - 1, model.today)))
        found[model.today] = (snapshot.joined, snapshot.audio)
        days = [each for each, count in model.past.joined.items() if count or each == model.today]
        expected = {each: (model.past.joined[each], model.past.audio[each]) for each in {*days, model.today}}
        _same(expected, found)

    def compare_events(self) -> None:
        """Events that were used (T11.1), with peaks and live times (T11.2 - T11.5)."""
        past, remembered, now_ms = (
            self.run(read_past(self.gateways[0].kernel, "acme")),
            self.model.past,
            self.model.now_ms,
        )
        used = {
            of: {mark.member: mark.connected_ms is not None for mark in made}
            for of, made in past.marks.items()
            if of.startswith("events ")
        }
        _same({f"events {sub}": held for sub, held in remembered.used.items() if held}, used)
        ages = {
            age.group: (age.first_ms, age.licensed_by, age.peak, age.peak_at_ms, age.joined, age.live_ms(now_ms))
            for age in past.ages
            if age.group.startswith("attendees:")
        }
        expected = {
            group_name("attendees", Service.EVENT, event): (
                held.first_ms, held.licensed_by, held.peak, held.peak_at_ms, held.joined, held.live_ms(now_ms),
            )
            for event, held in remembered.events.items()
        }  # fmt: skip
        _same(expected, ages)
        panels = {
            group_name("panel", Service.EVENT, event): peak for event, (_, peak) in remembered.panel_peaks.items()
        }
        _same(panels, {age.group: age.peak for age in past.ages if age.group.startswith("panel:")})

    def compare_noted(self) -> None:
        """What findings are made of (T3.3, T4.4, T4.5, T13.5)."""
        past, remembered = self.run(read_past(self.gateways[0].kernel, "acme")), self.model.past
        noted = {
            (*of.split(" "), mark.member)
            for of, made in past.marks.items()
            for mark in made
            if mark.connected_ms is not None and not of.startswith("events ")
        }
        _same(remembered.noted, noted)
        spells = {**remembered.spells, **dict.fromkeys(remembered.alone_since.items())}
        expected = {(group_name("meeting", *place), since): until for (place, since), until in spells.items()}
        _same(expected, {(spell.group, spell.since_ms): spell.until_ms for spell in past.spells})

    def _command(self, *parts: Any) -> Any:
        async def main() -> Any:
            return await self.gateways[0].store.command(*parts)

        return self.run(main())

    def _set_clock(self, now_ms: int) -> None:
        async def main() -> None:
            await self.gateways[0].store.command("SET", CLOCK_KEY, now_ms)
            # As if somebody had swept all the while, and found nothing: what lapses may be reclaimed.
            meta = bucket_key("meta", BUCKET)
            await self.gateways[0].store.command("HSET", meta, "swept", now_ms, "grace", 0, "round", 0)
            for core in self.gateways:
                await core.kernel.entitlements("acme")  # carries the new time to the gateway, as any answer does

        self.run(main())


def _same(expected: object, found: object) -> None:
    """The modules that tests share do without pytest's explanations."""
    assert expected == found, f"{expected} != {found}"


async def _started(url: str) -> Core:
    core = build_core(url, budget_s=20.0, telemetry=Telemetry(), clock=CLOCK_FRAGMENT)
    assert await core.start(10), core.store.last_error
    return core


async def _confirmed(core: Core, wanted: Join) -> tuple[str, int]:
    try:
        confirmation = await core.admission.confirm(wanted)
    except ConnectionConflict:
        return "conflict", 0
    return confirmation.result, confirmation.lease.expires_in_s if confirmation.lease else 0


async def _legs(core: Core) -> dict[str, tuple[str, int, bool]]:
    return {
        leg.connection: (leg.node, leg.lease_ms, leg.connected_ms is not None)
        async for page in core.kernel.leg_pages("acme", 1000)
        for leg in page
    }


async def _answer(ask: Callable[[], Awaitable[Decision]]) -> Verdict:
    try:
        decision = await ask()
    except ConnectionConflict:
        return Verdict("conflict")
    except ConnectionUnknown:
        return Verdict("unknown")
    if decision.would_deny:
        return Verdict(decision.reason.value, would_deny=decision.would_deny.value, overage=decision.overage)
    counted_in = tuple(sorted(decision.counted_in))
    return Verdict(decision.reason.value, decision.licensed_by, counted_in, decision.overage)
