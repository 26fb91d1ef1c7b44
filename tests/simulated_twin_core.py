"""A gateway's core on a `Twin`, and random operations on it: every script runs on the model and on a real Redis."""

import contextlib
import random
from typing import TYPE_CHECKING, Any

from kernel_draws import ALICE, BOB, CALLING, ENDPOINTS, FEATURES, HOSTS, MEETINGS, PERSONS, ROOMS
from plans import china, network_rooms, per_event, premium_calling
from simulated_disk import SimulatedDisk
from simulated_twin import Twin
from support import customer, events, install, named_hosts, ports, teams_ports

from gateway.admission import Admission, ConnectionConflict, ConnectionUnknown
from gateway.degraded import Degraded
from gateway.domain.join import ROLES, Endpoint, Join, Service, Telephone
from gateway.entitlements import Entitlements
from gateway.events import Decided, Event
from gateway.housekeeping import Housekeeping
from gateway.kernel import scripts
from gateway.kernel.kernel import Kernel
from gateway.kernel.keys import bucket_of, keys_of
from gateway.kernel.liveness import Liveness
from gateway.kernel.outbox import Outbox
from gateway.kernel.outcomes import Age, Mark
from gateway.kernel.reminders import Reminders
from gateway.kernel.verify import verify
from gateway.load import Load
from gateway.nodes.heartbeats import Heartbeats
from gateway.nodes.recovery import Recovery
from gateway.nodes.sweeper import Sweeper


if TYPE_CHECKING:
    from gateway.domain.reasons import Reason


HOUR_MS = 3_600_000
CONNECTIONS = [f"c{number}" for number in range(40)]
HELD: list[list[dict[str, Any]]] = [
    [ports(3), teams_ports(2), events(2, attendees_enforcement="hard"), china(1)],
    [ports(2, enforcement="metered", ceiling=4), named_hosts("alice", "bob"), per_event(2, 3), network_rooms("boardroom")],
    [named_hosts("alice", simultaneous_hosts=1), premium_calling(blocked_country_codes=["33"]), events(3, {"finance": 2})],
]  # fmt: skip


class TwinCore:
    """One gateway and customer `acme`."""

    def __init__(self, twin: Twin, seed: int) -> None:
        self._twin = twin
        self._chance = random.Random(seed)
        self._disk = SimulatedDisk()
        self.reasons: set[Reason] = set()
        store: Any = twin
        kernel = self._kernel = Kernel(
            store, scripts.load(), decision_timeout_s=30.0, emit=self._heard, told=self._disk.memory
        )
        memory: Any = self._disk.memory
        self._liveness = Liveness(kernel.urgent)
        self._entitlements = Entitlements(kernel, self._heard, memory)
        self._sweeper = Sweeper(self._liveness, self._entitlements, self._heard)
        self._heartbeats = Heartbeats(kernel, self._liveness, self._entitlements, self._heard)
        self._recovery = Recovery(kernel, self._liveness, self._entitlements, memory, self._heard)
        self._housekeeping = Housekeeping(kernel, self._entitlements)
        degraded = Degraded(kernel, self._entitlements, None, self._heard, budget_s=30.0)
        self._admission = Admission(
            kernel, self._entitlements, self._sweeper, degraded, Load(self._heard), self._heard, budget_s=30.0
        )

    async def begin(self) -> None:
        """The customer holds something."""
        await self.change()

    async def operate(self) -> None:
        """One random operation."""
        operations = [
            (30, self.admit), (12, self.leave), (8, self.move), (8, self.confirm), (4, self.preview), (8, self.beat), (6, self.sweep),
            (4, self.time_passes), (2, self.change), (1, self.another_server), (1, self.node_leaves), (1, self.keep_house), (2, self.read),
            (1, self.ledger_reminds), (1, self.ledger_trims), (1, self.somebody_is_renamed),
        ]  # fmt: skip
        (operation,) = self._chance.choices([each for _, each in operations], [weight for weight, _ in operations])
        with contextlib.suppress(ConnectionConflict, ConnectionUnknown):
            await operation()

    async def admit(self) -> None:
        """A join, or one again."""
        await self._admission.admit(self._drawn(), wait_s=30.0)

    async def preview(self) -> None:
        """What would be decided."""
        await self._admission.preview(self._drawn())

    async def confirm(self) -> None:
        """A leg that is known, or not."""
        await self._admission.confirm(self._drawn())

    async def move(self) -> None:
        """From any meeting to any other."""
        await self._admission.move(self._drawn(), self._chance.choice(MEETINGS), wait_s=30.0)

    async def leave(self) -> None:
        """A release, of what is there and of what is not, for each of its causes."""
        cause = self._chance.choice(["released", "released", "operator", "unanswered"])
        node = self._chance.choice(["", "", "media-1"])
        if cause == "unanswered":
            await self._kernel.release("acme", self._chance.choice(CONNECTIONS), cause=cause)
        else:
            await self._admission.release("acme", self._chance.choice(CONNECTIONS), node=node, cause=cause)

    async def beat(self) -> None:
        """A heartbeat that lists some of the legs, and some that are not there."""
        listed = self._chance.sample(CONNECTIONS, self._chance.randrange(1, 30))
        pages = self._chance.randrange(1, 3)
        await self._heartbeats.beat("media-1", {"acme": listed}, page=self._chance.randrange(1, pages + 1), pages=pages)

    async def sweep(self) -> None:
        """What has lapsed is reclaimed."""
        await self._sweeper.sweep(bucket_of("acme"))
        await self._liveness.present(f"gateway-{self._chance.randrange(3)}")

    async def node_leaves(self) -> None:
        """A node says that it leaves."""
        await self._heartbeats.leave("media-1")

    async def time_passes(self) -> None:
        """Seconds, mostly; a day, sometimes."""
        passed_ms = self._chance.choice([1, 500, 2_000, 11_000, 31_000, 31_000, 125_000, HOUR_MS, 25 * HOUR_MS])
        await self._twin.set_clock(self._twin.store_now_ms() + passed_ms)

    async def another_server(self) -> None:
        """The store is another one, with all data."""
        self._twin.run_id += "'"

    async def change(self) -> None:
        """The customer holds something else."""
        mode = self._chance.choice(["enforce", "enforce", "enforce", "shadow"])
        await install(self._entitlements, customer(*self._chance.choice(HELD), mode=mode))

    async def keep_house(self) -> None:
        """What nothing asks for is forgotten."""
        await self._housekeeping.of_customer("acme")

    async def ledger_reminds(self) -> None:
        """A ledger tells of marks and of an age, whatever the store has of them."""
        chance, now_ms = self._chance, self._twin.store_now_ms()
        earlier = [now_ms - chance.randrange(HOUR_MS) for _ in range(5)]
        marks = [Mark(chance.choice(MEETINGS), each, chance.choice([None, each + 5])) for each in earlier[:2]]
        since = chance.choice([None, earlier[2]])
        licence = chance.choice(["events.unlimited", "events.per_event"])
        age = Age(
            f"attendees:event:{MEETINGS[0]}", earlier[3], since, chance.randrange(HOUR_MS), 3, earlier[4], 5, licence
        )
        await Reminders(self._kernel.urgent).remind("acme", {"events events.per_event": marks}, [age])

    async def ledger_trims(self) -> None:
        """A ledger has stored some of the entries; now and then it is another one."""
        outbox, bucket = Outbox(self._kernel.urgent.store, scripts.load()), bucket_of("acme")
        entries = await outbox.read(bucket, None, self._chance.randrange(1, 30))
        if entries:
            ledger = self._chance.choice(["one", "one", "another"])
            keep, take_over = self._chance.randrange(20), self._chance.random() < 0.3
            await outbox.trim(bucket, entries[-1].id, ledger, keep, take_over=take_over)

    async def somebody_is_renamed(self) -> None:
        """A member of a set goes by another name, whether it is there or not."""
        script, chance = scripts.load()["rename"], self._chance
        pair = [f"=events events.per_event\x1f{chance.choice(MEETINGS)}" for _ in range(2)]
        await self._kernel.urgent.store.call(script, keys_of("acme", script.keys), ("0", *pair), 30.0)

    async def read(self) -> None:
        """Reports read, and verification finds nothing."""
        await self._liveness.nodes()
        await self._kernel.snapshot("acme", ["ports", "teams_ports"])
        found = await verify(self._kernel, "acme")
        assert not found.differences, found.differences

    async def close(self) -> None:
        """Ends what is under way."""
        await self._recovery.close()

    def _drawn(self) -> Join:
        chance = self._chance
        service = chance.choice([Service.MEETING, Service.MEETING, Service.EVENT, Service.TEAMS])
        endpoint = chance.choice(ENDPOINTS[service])
        fields: dict[str, Any] = {}
        if endpoint is Endpoint.PSTN:
            fields = {
                "calling": chance.choice(CALLING[:4]),
                "access_number": Telephone(calling_code=chance.choice([1, 33])),
            }
        return Join(
            customer="acme", connection=chance.choice(CONNECTIONS), service=service, endpoint=endpoint,
            meeting=chance.choice(MEETINGS), role=chance.choice(ROLES[service]), host=chance.choice([ALICE, BOB, *HOSTS]),
            person=chance.choice(PERSONS), department=chance.choice(["finance", "finance", None]),
            features=chance.choice(FEATURES), room=chance.choice(ROOMS), access=chance.choice([None, None, "china"]),
            media=chance.choice(["video", "video", "audio"]), node=chance.choice([None, "media-1", "media-2"]),
            lease_s=chance.choice([None, None, 20]), **fields,
        )  # fmt: skip

    def _heard(self, event: Event) -> None:
        if isinstance(event, Decided):
            self.reasons.add(event.decision.reason)
