"""Faults of the network: answers are lost, late, cut, repeated, out of order; clients go away; storms of retries (F18, F19, F28 - F30)."""

import asyncio
import random
import time
from collections import Counter
from urllib.parse import urlsplit

import pytest
from fault_media import Answer, MediaServer
from fault_play import HARD, OPEN, judged, play
from fault_proxy import BLACK_HOLE, CALM, NO_REPLIES, REFUSING, ChaosProxy, Weather
from fault_world import Pool, World, world
from redis_processes import Standalone
from support import join_data


pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

BEAT_S = 1.0
SILENCE_S = 1.2


def paths(scene: World) -> list[ChaosProxy]:
    """The ways from the gateways to the store."""
    return [site.path for site in scene.sites if site.path is not None]


def doors(scene: World) -> list[ChaosProxy]:
    """The ways from the media servers to the gateways."""
    return [site.door for site in scene.sites]


async def weather(ways: list[ChaosProxy], now: Weather, for_s: float) -> None:
    """That weather on these ways, and then calm."""
    for way in ways:
        way.weather = now
    await asyncio.sleep(for_s)
    for way in ways:
        way.weather = CALM


@pytest.mark.parametrize("ways", [1, 2])
async def test_F18_answers_of_redis_that_are_lost_cost_no_seat_and_count_nothing_twice(ways: int) -> None:
    """Every operation is executed and none is answered, to one gateway or to both: what was refused gives its seat back."""
    async with Standalone() as store, world(store, name=f"F18-{ways}") as scene:
        outcome = await judged(
            await play(scene, lambda: weather(paths(scene)[:ways], NO_REPLIES, SILENCE_S), beat_s=BEAT_S),
            store.url,
            store.port,
        )

    assert outcome.reasons(HARD.customer, meanwhile=True)["store_unavailable"] > 0
    assert (outcome.reasons(HARD.customer, meanwhile=True)["admitted"] > 0) == (ways == 1)
    assert {} == outcome.beyond_bounds()


async def test_F18_answers_of_a_gateway_that_are_lost_are_given_again_by_the_other() -> None:
    """Executed and not heard: asked again with the same id through the other gateway, each join has one decision."""
    async with Standalone() as store, world(store, name="F18-doors") as scene:
        outcome = await judged(
            await play(scene, lambda: weather(doors(scene)[:1], NO_REPLIES, SILENCE_S), beat_s=BEAT_S),
            store.url,
            store.port,
        )

    assert outcome.reasons()["replayed"] > 0
    assert outcome.reasons()["none"] == 0
    assert {} == outcome.beyond_bounds()


@pytest.mark.parametrize(
    ("what", "decides"),
    [
        (Weather(delay_s=0.02, jitter_s=0.03), True),
        (Weather(delay_s=0.2, jitter_s=0.1), False),
        (Weather(bytes_per_s=100_000), True),
        (REFUSING, False),
        (BLACK_HOLE, False),
    ],
    ids=["slow", "slower than the budget", "little bandwidth", "refusing", "black hole"],
)
async def test_F19_a_bad_way_to_redis_delays_no_answer_beyond_the_budget(what: Weather, *, decides: bool) -> None:
    """Within the budget decisions are made; beyond it policy answers, in time, and nothing is left of it."""
    async with Standalone() as store, world(store, name=f"F19-{what.delay_s}-{what.connects}") as scene:
        outcome = await judged(
            await play(scene, lambda: weather(paths(scene), what, 2.0), beat_s=BEAT_S), store.url, store.port
        )

    heard = outcome.reasons(HARD.customer, meanwhile=True)
    assert decides == (heard["admitted"] + heard["ports_full"] > 0)
    assert decides or heard["store_unavailable"] > 0
    assert 0.6 > sorted(call.ended - call.began for call in outcome.meanwhile)[-2]
    assert {} == outcome.beyond_bounds()


async def test_F19_connections_that_are_reset_in_the_middle_of_an_answer_cost_no_seat() -> None:
    """To Redis and to the gateways: cut after some hundred bytes, reset between, over and over."""
    async with Standalone() as store, world(store, name="F19-cuts") as scene:
        dice = random.Random(19)

        async def fault() -> None:
            until = time.monotonic() + 2.5
            while time.monotonic() < until:
                for way in (*paths(scene), *doors(scene)):
                    way.weather = Weather(cut_after=dice.randrange(1, 2000))
                await asyncio.sleep(0.2)
                dice.choice([*paths(scene), *doors(scene)]).reset()
            for way in (*paths(scene), *doors(scene)):
                way.weather = CALM

        outcome = await judged(await play(scene, fault, beat_s=BEAT_S), store.url, store.port)

    assert outcome.reasons(meanwhile=True)["admitted"] > 0
    assert {} == outcome.beyond_bounds()


async def test_F28_repeated_and_reordered_requests_count_once() -> None:
    """Each request three times, through both gateways, in any order, releases before their admits: what is left is what is live."""
    async with Standalone() as store, world(store, name="F28") as scene:
        await scene.install(OPEN)
        (server,) = await scene.media_servers(1)
        dice = random.Random(28)
        await asyncio.gather(*[repeated(server, dice, f"twice-{number}", ends=number % 2 == 0) for number in range(40)])
        await asyncio.gather(*[overtaken(server, dice, f"late-{number}") for number in range(40)])
        stored = (await scene.differences(OPEN.customer)).get(OPEN.customer, set())

    assert set() == stored
    heard = Counter(call.reason for call in scene.history.calls("admit"))
    assert {"admitted": 40, "replayed": 80, "already_released": 120} == heard


async def repeated(server: MediaServer, dice: random.Random, connection: str, *, ends: bool) -> None:
    """An admit three times at once; then, if it ends, a release three times at once."""
    body = join_data(connection, customer=OPEN.customer, node=server.node)
    copies = [sent_late(server, dice, "admit", body) for _ in range(3)]
    assert {"admit"} == {answer.decision for answer in await asyncio.gather(*copies)}
    server.takes(OPEN.customer, connection, body)
    if ends:
        server.end_quietly(OPEN.customer, connection)
        gone = {"customer": OPEN.customer, "connection": connection}
        answers = await asyncio.gather(*[sent_late(server, dice, "release", gone) for _ in range(3)])
        assert [False, False, True] == sorted(answer.body["released"] for answer in answers)


async def overtaken(server: MediaServer, dice: random.Random, connection: str) -> None:
    """A release, and only then the admit, three times."""
    body = join_data(connection, customer=OPEN.customer, node=server.node)
    await sent_late(server, dice, "release", {"customer": OPEN.customer, "connection": connection})
    await asyncio.gather(*[sent_late(server, dice, "admit", body) for _ in range(3)])


async def sent_late(server: MediaServer, dice: random.Random, operation: str, body: dict[str, str]) -> Answer:
    """A request after a while, through any gateway."""
    await asyncio.sleep(dice.uniform(0, 0.05))
    server.history.add("invoke", server.node, OPEN.customer, body["connection"], operation=operation)
    answer = await server.post(dice.randrange(2), f"/v1/{operation}", body)
    server.history.add(
        "ok", server.node, OPEN.customer, body["connection"], operation=operation, status=answer.status,
        decision=answer.decision, reason=answer.reason,
    )  # fmt: skip
    return answer


async def test_F29_a_storm_of_retries_at_the_limit_leaves_others_their_decisions() -> None:
    """Forty callers ask again without a pause for a customer that is full: another customer gets all of its decisions, quickly."""
    async with Standalone() as store, world(store, name="F29") as scene:
        storm: Counter[str] = Counter()

        async def fault() -> None:
            await scene.install(Pool("full", 1))
            (server,) = await scene.media_servers(1, name="storm")
            await server.join("full")
            await asyncio.gather(*[refused_again_and_again(server, number, storm) for number in range(40)])

        outcome = await judged(await play(scene, fault, pools=[OPEN]), store.url, store.port)

    calm = [call.ended - call.began for call in outcome.world.history.calls("admit") if call.customer == OPEN.customer]
    assert storm.keys() == {"ports_full"}
    assert storm.total() > 1000
    assert {"admitted"} == outcome.reasons(OPEN.customer).keys()
    assert 0.25 > sorted(calm)[len(calm) * 99 // 100]


async def refused_again_and_again(server: MediaServer, number: int, heard: Counter[str]) -> None:
    """One caller of the storm: two seconds, a new id at each try."""
    until = time.monotonic() + 2.0
    for attempt in range(10_000):
        if time.monotonic() > until:
            break
        body = join_data(f"again-{number}-{attempt}", customer="full", node=server.node)
        answer = await server.post(number % 2, "/v1/admit", body)
        heard[answer.reason or f"{answer.status} {answer.body}"] += 1


async def test_F30_what_a_client_did_not_wait_for_is_held_by_nobody_once_it_says_so() -> None:
    """Forty clients hang up right after they asked; their releases, sent elsewhere, leave no seat, whichever came first."""
    async with Standalone() as store, world(store, name="F30") as scene:
        await scene.install(HARD)
        (server,) = await scene.media_servers(1)
        await asyncio.gather(*[asked_and_gone(scene.sites[0].gateway.url, f"gone-{number}") for number in range(40)])
        await asyncio.gather(*[server.release_until_known(HARD.customer, f"gone-{number}") for number in range(40)])
        took = await scene.counts_agree(HARD.customer)

    assert 2.0 > took


async def asked_and_gone(url: str, connection: str) -> None:
    """An admit whose caller is gone before the answer comes."""
    address = urlsplit(url)
    body = b'{"customer":"hard","connection":"%b","service":"meeting","meeting":"m","endpoint":"web","role":"host","node":"media-0"}'
    content = body % connection.encode()
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(b"POST /v1/admit HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(content), content))
    with_grace = random.Random(connection).uniform(0, 0.004)
    await asyncio.sleep(with_grace)
    writer.transport.abort()
