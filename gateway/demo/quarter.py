"""A quarter of an hour at the top of the hour, played faster: people arrive, talk and leave; some are above the commitment, some too many."""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gateway.demo.media_servers import MediaServers


QUARTER_S = 900.0


@dataclass(frozen=True, slots=True)
class Stay:
    """One connection: when it asks to join, how long it would stay (seconds of the quarter), and what it says."""

    at_s: float
    for_s: float
    customer: str
    join: dict[str, Any]


def quarter(seed: int) -> list[Stay]:
    """Everybody who comes, in order of arrival; the same for the same seed."""
    dice = random.Random(seed)  # noqa: S311 - a play, no secret
    stays = [*_meetings(dice), *_hosts(dice), *_rooms(dice), *_event(dice), *_trial(dice)]
    return sorted(stays, key=lambda stay: stay.at_s)


def _arrival(dice: random.Random, peak_s: float, spread_s: float) -> float:
    """Most come around the full hour."""
    return min(max(dice.gauss(peak_s, spread_s), 5.0), QUARTER_S - 60)


def _meetings(dice: random.Random) -> Iterator[Stay]:
    for number in range(6):
        meeting = {"service": "meeting", "meeting": f"acme-{number}"}
        opens = 30.0 + 25 * number
        host = f"host{number}@acme.example"
        yield Stay(opens, 780 - opens, "acme", {**meeting, "endpoint": "app", "role": "host", "host": host})
        for _ in range(dice.randint(4, 8)):
            endpoint = dice.choice(["web", "web", "app", "pstn", "sip", "h323"])
            at_s = opens + dice.uniform(-15, 240)
            yield Stay(at_s, dice.uniform(120, 600), "acme", {**meeting, "endpoint": endpoint})


def _hosts(dice: random.Random) -> Iterator[Stay]:
    for number, name in enumerate(["alice", "bruno", "chiara", "dirk", "alice"]):
        meeting = {"service": "meeting", "meeting": f"globex-{number}", "host": f"{name}@globex.example"}
        opens = 60.0 + 70 * number
        yield Stay(opens, dice.uniform(180, 420), "globex", {**meeting, "endpoint": "app", "role": "host"})
        for _ in range(dice.randint(2, 6)):
            yield Stay(opens + dice.uniform(5, 90), dice.uniform(90, 300), "globex", {**meeting, "endpoint": "web"})


def _rooms(dice: random.Random) -> Iterator[Stay]:
    for number in range(11):
        endpoint = "web" if number == 7 else dice.choice(["sip", "h323"])
        join = {"service": "teams", "meeting": f"board-{number % 3}", "endpoint": endpoint}
        yield Stay(_arrival(dice, 300, 150), dice.uniform(150, 400), "initech", join)


def _event(dice: random.Random) -> Iterator[Stay]:
    event = {"service": "event", "meeting": "results", "department": "finance"}
    yield Stay(20, 800, "umbrella", {**event, "endpoint": "app", "role": "moderator"})
    yield Stay(90, 700, "umbrella", {**event, "endpoint": "app", "role": "presenter"})
    for _ in range(32):
        yield Stay(_arrival(dice, 280, 90), dice.uniform(200, 450), "umbrella", {**event, "endpoint": "web"})
    for _ in range(3):
        yield Stay(dice.uniform(300, 500), 60, "umbrella", {**event, "endpoint": "web", "meeting": "outlook"})


def _trial(dice: random.Random) -> Iterator[Stay]:
    meeting = {"service": "meeting", "meeting": "cave", "role": "host", "host": "bruce@wayne.example"}
    for _ in range(9):
        yield Stay(_arrival(dice, 400, 150), dice.uniform(100, 300), "wayne", {**meeting, "endpoint": "web"})


async def play(servers: MediaServers, stays: list[Stay], *, duration_s: float) -> None:
    """Plays the quarter in `duration_s` seconds; every connection that got in is released."""
    pace = duration_s / QUARTER_S
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def live(number: int, stay: Stay) -> None:
        await asyncio.sleep(max(0.0, began + stay.at_s * pace - loop.time()))
        connection = f"{stay.customer}-{number}@media.example"
        decision = await servers.admit(customer=stay.customer, connection=connection, **stay.join)
        if decision["decision"] == "admit":
            leaves = min(stay.at_s + stay.for_s, QUARTER_S)
            await asyncio.sleep(max(0.0, began + leaves * pace - loop.time()))
            await servers.release(stay.customer, connection)

    async with asyncio.TaskGroup() as group:
        for number, stay in enumerate(stays):
            group.create_task(live(number, stay))
