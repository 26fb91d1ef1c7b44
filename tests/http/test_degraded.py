"""Joins while the store is away: refused, admitted or admitted within a bound, as the customer says; and all of it is made good afterwards."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from disk_files import ask, reach
from fault_proxy import BLACK_HOLE, CALM, NO_REPLIES, REFUSING
from http_client import PROBLEM, Answer, Request, json_request, send
from outposts import SOON_S, Outpost, outpost
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis
from redis_processes import Standalone, until
from support import (
    RunningGateway,
    customer,
    customer_data,
    install,
    join,
    join_data,
    named_hosts,
    ports,
    verify_everything,
)

from gateway.core import Core
from gateway.kernel.errors import StoreUnavailable
from gateway.kernel.keys import bucket_key, bucket_of, keys_of, node_key
from gateway.load import BEHIND_S, WINDOW


MakeGateway = Callable[..., Awaitable[RunningGateway]]
BUDGET = {"GATEWAY_DECISION_BUDGET_MS": "150"}
QUICK_S = 1.0
"""Well above the budget of a decision, and below every other time that something waits."""


# Gateways in processes of their own, on a Redis that is stopped or killed.


@pytest.fixture
async def redis() -> AsyncIterator[Standalone]:
    """A Redis to break. When the test is over it is whole, and so is what it holds."""
    async with Standalone() as server:
        yield server
        await verify_everything(server.url)


class Site:
    """Calls to one gateway about customers with different words on what to do without the store."""

    def __init__(self, gateway: RunningGateway) -> None:
        self.gateway = gateway
        self.slowest_s = 0.0

    async def hold(self, name: str, store_failure: str, *subscriptions: dict[str, Any]) -> None:
        """The customer holds these from now on."""
        data = customer_data(*subscriptions, id=name, domains=[f"{name}.example"], store_failure=store_failure)
        answer = await send(self.gateway.admin_url, json_request("PUT", f"/v1/customers/{name}", data))
        assert answer.status in {200, 201}, answer.text

    async def post(self, verb: str, body: dict[str, Any]) -> Answer:
        """The answer of the admission listener."""
        began = time.monotonic()
        answer = await send(self.gateway.url, json_request("POST", f"/v1/{verb}", body))
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        return answer

    async def admit(self, customer: str, connection: str, **fields: Any) -> str:
        """The reason of a decision; the kind of problem where there is none."""
        answer = await self.post("admit", join_data(connection, customer=customer, **fields))
        body = answer.json()
        return str(body["reason"] if answer.status == 200 else body["type"].rpartition(":")[2])

    async def release(self, customer: str, connection: str, **fields: Any) -> Any:
        """What became of a release."""
        return (await self.post("release", {"customer": customer, "connection": connection, **fields})).json()

    async def live(self, customer: str) -> set[str] | None:
        """The connections that are live; None while nobody can tell."""
        answer = await send(self.gateway.admin_url, Request("GET", f"/v1/customers/{customer}/connections"))
        return {each["connection"] for each in answer.json()["connections"]} if answer.status == 200 else None

    async def until_live(self, customer: str, *connections: str) -> None:
        """Waits until exactly these are live."""

        async def are_live() -> bool:
            return await self.live(customer) == set(connections)

        await until(are_live, f"live of {customer} are {connections}", SOON_S)

    async def metric(self, name: str, **labels: str) -> float | None:
        """One sample."""
        text = (await send(self.gateway.admin_url, Request("GET", "/metrics"))).body.decode()
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return next((each.value for each in samples if each.name == name and each.labels == labels), None)


async def test_each_customer_is_answered_as_it_said(make_gateway: MakeGateway, redis: Standalone) -> None:
    """With Redis stopped: 503 that names no limit; 200 that says it is degraded; or exactly what was left. Soon after, every count is right."""
    site = Site(await make_gateway(env=BUDGET, redis_url=redis.url))
    for name, store_failure in (("acme", "deny"), ("globex", "admit"), ("labs", "bounded")):
        await site.hold(name, store_failure, ports(10))
        assert ["admitted"] * 4 == [await site.admit(name, f"before-{number}") for number in range(4)]

    redis.pause()
    refused = [await site.post("admit", join_data(f"deny-{number}")) for number in range(3)]
    let_in = await site.post("admit", join_data("admit-0", customer="globex", lease_s=60))
    others = [await site.admit("globex", f"admit-{number}", node="media-1") for number in range(1, 12)]
    bounded = [await site.admit("labs", f"bounded-{number}") for number in range(8)]
    again = [await site.admit("labs", f"bounded-{number}") for number in (0, 5, 6)]
    given_back = await site.release("labs", "bounded-0")
    after = [await site.admit("labs", f"after-{number}") for number in range(2)]
    unknown = await site.admit("nobody", "x")
    nothing = [await site.post(verb, {**join_data("before-0"), **more}) for verb, more in (
        ("preview", {}), ("move", {"from": "m1", "meeting": "m2"}), ("confirm", {}), ("preview", {"customer": "globex"}),
    )]  # fmt: skip
    beat = await site.post("nodes/media-1/heartbeat", {"connections": {"globex": ["before-0"]}})
    waiting = await site.metric("gateway_journal_entries")
    redis.resume()

    for answer in (*refused, *nothing, beat):
        assert (503, PROBLEM, "2") == (answer.status, answer.content_type, answer.headers["retry-after"]), answer.text
        told = answer.json()
        assert ("deny", "store_unavailable", 2, None) == (
            told["decision"],
            told["reason"],
            told["retry_after_s"],
            told.get("limits"),
        )
        assert "urn:admission-gateway:problem:store-unavailable" == told["type"]
    body = let_in.json()
    assert body.pop("decided_at")
    assert {
        "decision": "admit", "reason": "degraded", "customer": "globex", "connection": "admit-0", "overage": False, "mode": "enforce",
        "licensed_by": "meetings.concurrent_connections", "counted_in": ["meetings.concurrent_connections"], "limits": [],
        "lease": {"state": "provisional", "expires_in_s": 60},
    } == body  # fmt: skip
    assert ["degraded"] * 11 == others
    assert ["degraded"] * 6 + ["store-unavailable"] * 2 == bounded
    assert ["degraded", "degraded", "store-unavailable"] == again
    assert ({"released": True}, ["degraded", "store-unavailable"]) == (given_back, after)
    assert "store-unavailable" == unknown
    assert site.slowest_s < QUICK_S

    before = [f"before-{number}" for number in range(4)]
    await site.until_live("labs", *before, *[f"bounded-{number}" for number in range(1, 6)], "after-0")
    await site.until_live("globex", *before, "admit-0")
    await site.until_live("acme", *before)
    labels = {"operation": "admit", "service": "meeting", "endpoint": "web", "decision": "admit", "reason": "degraded"}
    assert 1 + 11 + 6 + 2 + 1 == await site.metric("gateway_decisions_total", **labels)
    assert waiting is not None
    assert waiting >= 1 + 8 + 1 + 1, (
        "each answer that was let in without a node, and the release; more for what is not known"
    )

    async def is_drained() -> bool:
        return await site.metric("gateway_journal_entries") == 0

    await until(is_drained, "the journal is empty", SOON_S)
    # Legs with a node are brought in by it.
    listed = [f"admit-{number}" for number in range(1, 12)]
    missing = (await site.post("nodes/media-1/heartbeat", {"connections": {"globex": listed}})).json()["unknown"][
        "globex"
    ]
    assert listed == missing
    results = [
        (await site.post("confirm", join_data(leg, customer="globex", node="media-1"))).json()["result"]
        for leg in listed
    ]
    assert ["adopted"] * 11 == results
    assert "ports_full" == await site.admit("globex", "one more")


async def test_what_was_decided_without_the_store_survives_the_gateway(
    make_gateway: MakeGateway, redis: Standalone, tmp_path: Path
) -> None:
    """Redis is killed, then the gateway; the next one knows customers from disk, and carries all out in order when Redis is back."""
    site = Site(await make_gateway(env=BUDGET, redis_url=redis.url))
    await site.hold("acme", "admit", ports(10), named_hosts("alice"))
    await site.hold("globex", "deny", ports(10))
    assert ["admitted"] * 2 == [await site.admit("acme", leg) for leg in ("stays", "goes")]
    remembered = "SELECT customer FROM entitlements ORDER BY customer"
    await reach(lambda: [("acme",), ("globex",)] == ask(tmp_path / "data" / "memory-0.db", remembered))

    redis.kill()
    began_ms = time.time() * 1000
    reasons = [await site.admit("acme", leg, lease_s=600) for leg in ("kept", "gone", "again")]
    reasons += [await site.admit("acme", "listed", node="media-1")]
    gone = [await site.release("acme", leg) for leg in ("goes", "gone", "again")]
    unknown = await site.admit("globex", "refused")
    await site.gateway.stop(signal.SIGKILL)
    site = Site(await make_gateway(env=BUDGET, redis_url=redis.url))
    waiting = await site.metric("gateway_journal_entries")
    later = [await site.admit(name, "later", lease_s=600) for name in ("acme", "globex", "nobody")]
    await redis.start()
    await site.until_live("acme", "stays", "kept", "later")

    assert ["degraded"] * 4 == reasons
    assert [{"released": True}] * 3 == gone
    assert "store-unavailable" == unknown
    assert ["degraded", "store-unavailable", "store-unavailable"] == later
    assert site.slowest_s < QUICK_S
    assert 6 == waiting, "three let in without a node, three released"
    leases = await redis.command("ZRANGE", keys_of("acme", ("leases",))[0], 0, -1, "WITHSCORES")
    ends_ms = dict(zip(leases[::2], map(float, leases[1::2]), strict=True))
    assert 600_000 <= ends_ms["kept"] - began_ms < 600_000 + 1000 * QUICK_S, "the lease that was left is kept"
    assert ["already_released"] * 3 == [await site.admit("acme", leg, lease_s=600) for leg in ("goes", "gone", "again")]
    assert "admitted" == await site.admit("globex", "refused")


@pytest.mark.slow
async def test_two_gateways_have_half_each_of_what_was_left(
    make_gateway: MakeGateway, redis: Standalone, tmp_path: Path
) -> None:
    """Each learns within seconds that the other is there."""
    sites = [
        Site(await make_gateway(env={**BUDGET, "GATEWAY_DATA_DIR": str(tmp_path / name)}, redis_url=redis.url))
        for name in ("one", "other")
    ]
    await sites[0].hold("labs", "bounded", ports(10))
    await _both_have_heard(redis)
    for at, site in enumerate(sites):
        assert "admitted" == await site.admit("labs", f"before-{at}")
    redis.pause()
    found = [[await site.admit("labs", f"{at}-{number}") for number in range(6)] for at, site in enumerate(sites)]
    redis.resume()

    assert [["degraded"] * 4 + ["store-unavailable"] * 2] * 2 == found
    legs = [f"{at}-{number}" for at in range(2) for number in range(4)]
    await sites[0].until_live("labs", "before-0", "before-1", *legs)


async def _both_have_heard(redis: Standalone) -> None:
    """Waits until each gateway has said that it is there while the other was: that is every five seconds."""
    since: set[float] = set()

    async def have_heard() -> bool:
        nonlocal since
        flat = await redis.command("ZRANGE", node_key("gateways"), 0, -1, "WITHSCORES")
        said = {float(each) for each in flat[1::2]}
        since = since or (said if len(said) == 2 else set())
        return bool(since) and not since & said

    await until(have_heard, "both gateways have heard of the other", SOON_S)


# Gateways of this process, on a way to the store that loses requests, replies and connections.


@pytest.fixture
async def post(store_url: str, tmp_path: Path, core: Core) -> AsyncIterator[Outpost]:
    """A gateway that remembers on disk; `core` is another, with a way of its own to the same store."""
    await install(core.entitlements, customer(ports(3)))
    async with outpost(store_url, tmp_path / "post.db") as found:
        yield found


async def live(core: Core) -> set[str]:
    """Connections of the customer that are live."""
    _, legs = await core.reports.connections("acme", 0, 100)
    return {leg.connection for leg, _ in legs}


async def test_a_seat_that_was_taken_by_a_join_that_was_refused_is_given_back(post: Outpost, core: Core) -> None:
    """The reply was lost: the caller heard 503. The id may be used again at once: there is no tombstone."""
    assert ["admitted"] == await post.telling("a")
    await post.under(NO_REPLIES)
    assert ["OutcomeUnknown"] == await post.telling("b")
    assert {"a", "b"} == await live(core)

    await post.under(CALM)
    assert 1 == await post.drain()

    assert {"a"} == await live(core)
    assert ["admitted", "replayed"] == await post.telling("b", "a")
    assert {"a", "b"} == await live(core)


async def test_a_join_that_was_asked_again_and_answered_keeps_its_seat(post: Outpost, core: Core) -> None:
    """Its first answer was lost, its second was not; only the join that nobody heard of is taken back."""
    assert ["admitted"] == await post.telling("a")
    await post.under(NO_REPLIES)
    assert ["OutcomeUnknown"] * 2 == await post.telling("b", "c")
    assert {"a", "b", "c"} == await live(core)
    await post.under(CALM)
    assert ["replayed"] == await post.telling("b")

    assert 2 == await post.drain()

    assert {"a", "b"} == await live(core)


async def test_a_join_that_never_arrived_and_was_asked_again_keeps_its_seat(post: Outpost, core: Core) -> None:
    """The request was lost, so the second one took the seat; what is taken back is the first, which took none."""
    assert ["admitted"] == await post.telling("a")
    await post.under(BLACK_HOLE)
    assert ["OutcomeUnknown"] == await post.telling("b")
    await post.under(CALM)
    assert ["admitted"] == await post.telling("b")

    assert 1 == await post.drain()

    assert {"a", "b"} == await live(core)


async def test_a_seat_is_given_back_also_where_the_second_attempt_found_no_store(
    store_url: str, tmp_path: Path, core: Core
) -> None:
    """The connection was lost with the reply, and could not be made again: what the first attempt took is not forgotten."""
    await install(core.entitlements, customer(ports(3)))
    async with outpost(store_url, tmp_path / "patient.db", budget_s=1.0) as post:
        assert ["admitted"] == await post.telling("a")
        await post.under(NO_REPLIES)
        asked = asyncio.create_task(post.told("b"))

        async def is_taken() -> bool:
            return await live(core) == {"a", "b"}

        await until(is_taken, "the store has done it", pause_s=0.005)
        await post.under(REFUSING)
        assert (await asked) in {"StoreUnavailable", "OutcomeUnknown"}
        assert 1 == post.journal.pending()
        await post.under(CALM)
        assert 1 == await post.drain()
    assert {"a"} == await live(core)


async def test_each_gateway_takes_its_share_of_what_it_saw(store_url: str, tmp_path: Path, core: Core) -> None:
    """Six places are left for two gateways: each lets in three, and then no more, whether the legs have nodes or not."""
    await install(core.entitlements, customer(ports(10), store_failure="bounded"))
    async with outpost(store_url, tmp_path / "one.db") as one, outpost(store_url, tmp_path / "other.db") as other:
        for each in (one, other):
            each.core.degraded.gateways = 2
        assert ["admitted"] * 4 == [
            await each.told(f"before-{number}") for number, each in enumerate((one, one, one, other))
        ]
        for each in (one, other):
            await each.under(REFUSING)

        assert ["degraded"] * 3 + ["StoreUnavailable"] == await one.telling("a", "b", "c", "d", node="media-1")
        assert ["degraded"] * 3 + ["StoreUnavailable"] == await other.telling("e", "f", "g", "h")
        assert ["degraded", "StoreUnavailable"] == [await one.told("b", node="media-1"), await one.told("i")]
        await other.core.admission.release("acme", "f")
        assert ["degraded", "StoreUnavailable"] == await other.telling("j", "k")

        for each in (one, other):
            await each.under(CALM)
        assert [0, 5] == [await one.drain(), await other.drain()]
    assert {f"before-{number}" for number in range(4)} | {"e", "g", "j"} == await live(core)


async def test_a_limit_that_was_seen_full_leaves_nothing(post: Outpost, core: Core) -> None:
    """A denial tells as much as an admission; and after an outage nothing is known until the store has told it again."""
    await install(core.entitlements, customer(ports(1), store_failure="bounded"))
    assert ["admitted"] == await post.telling("a")
    await core.admission.release("acme", "a")
    assert ["admitted"] == [(await core.admission.admit(join("b"), wait_s=30.0)).reason.value]
    assert ["ports_full"] == await post.telling("c")
    await post.under(REFUSING)
    assert ["StoreUnavailable"] == await post.telling("d")


async def test_heartbeats_come_sooner_while_nodes_bring_back_what_the_store_lost(
    post: Outpost, store_url: str, core: Core
) -> None:
    """After it was emptied: one second; a join is answered as the customer says, and counted at once."""
    await install(core.entitlements, customer(ports(3), store_failure="admit"))
    assert ["admitted"] == await post.telling("a")
    store: Any = Redis.from_url(store_url, protocol=2)
    await store.flushdb()
    await store.aclose()

    beat = await post.core.heartbeats.beat("media-1", {"acme": ["a"]}, page=1, pages=1)
    await until(post.core.kernel.customers, "the gateway has put back what it remembers", SOON_S)

    assert (0, {"acme": ["a"]}, 1) == (beat.renewed, beat.unknown, beat.next_in_s)
    assert ["degraded"] * 2 == await post.telling("b", "c")
    assert {"b", "c"} == await live(post.core)
    assert 0 == post.journal.pending()


async def test_a_leg_whose_claims_are_old_is_counted_all_the_same(post: Outpost, core: Core, store_url: str) -> None:
    """While the store recovers, through a gateway that has not heard of the newest entitlements: from the journal."""
    await install(core.entitlements, customer(ports(3), store_failure="admit"))
    assert ["admitted"] == await post.telling("a")
    await install(core.entitlements, customer(ports(4), store_failure="admit"))
    store: Any = Redis.from_url(store_url, protocol=2)
    recovering_ms = int(time.time() * 1000) + 20_000
    await store.hset(bucket_key("meta", bucket_of("acme")), "recovering", recovering_ms)
    await store.aclose()

    assert ["degraded"] == await post.telling("b")
    assert 1 == await post.drain()
    assert {"a", "b"} == await live(core)


async def test_shadow_mode_refuses_nothing_without_the_store_either(post: Outpost, core: Core) -> None:
    """What would be denied is let in, and recorded when the store is back; so is what no headroom was seen for."""
    for mode in ("admit", "bounded"):
        await install(core.entitlements, customer(ports(0), store_failure=mode, mode="shadow"))
        assert ["shadow"] == await post.telling(f"before-{mode}")
        await post.under(REFUSING)
        assert ["degraded"] * 2 == [
            await post.told(f"{mode}-1"),
            await post.told(f"{mode}-2", service="teams", role="participant"),
        ]
        await post.under(CALM)
        assert 2 == await post.drain()
    _, legs = await core.reports.connections("acme", 0, 100)
    assert {"ports_full": 4, "service_not_licensed": 2} == {
        reason: sum(leg.would_deny == reason for leg, _ in legs) for reason in {leg.would_deny for leg, _ in legs}
    }


async def test_a_gateway_that_is_behind_decides_as_if_the_store_were_away(post: Outpost, core: Core) -> None:
    """Joins do not reach the store; confirms, releases and heartbeats do."""
    await install(core.entitlements, customer(ports(3), store_failure="admit"))
    assert ["admitted"] == await post.telling("a", node="media-1")
    for _ in range(WINDOW):
        post.core.load.note(2 * BEHIND_S)

    assert ["degraded"] == await post.telling("b", node="media-1")
    with pytest.raises(StoreUnavailable):
        await post.core.admission.preview(join("c"))
    assert "confirmed" == (await post.core.admission.confirm(join("a", node="media-1"))).result
    beat = await post.core.heartbeats.beat("media-1", {"acme": ["a", "b"]}, page=1, pages=1)
    assert (1, {"acme": ["b"]}) == (beat.renewed, beat.unknown)
    await post.core.admission.release("acme", "a")
    assert set() == await live(core)
    post.core.load.note(0.0)
    assert ["admitted"] == await post.telling("d", node="media-1")


async def test_what_cannot_be_kept_is_not_let_in(post: Outpost, core: Core) -> None:
    """Without a disk that takes the journal: a leg that no node would bring in is refused, one with a node is not, and a release fails."""
    await install(core.entitlements, customer(ports(3), store_failure="bounded"))
    assert ["admitted"] == await post.telling("a")
    await post.journal.close()
    await post.under(REFUSING)

    assert ["StoreUnavailable"] * 3 == await post.telling("b", "c", "d")
    assert ["degraded"] * 2 == await post.telling("e", "f", node="media-1"), "what was refused has taken nothing"
    with pytest.raises(StoreUnavailable):
        await post.core.admission.release("acme", "a")
