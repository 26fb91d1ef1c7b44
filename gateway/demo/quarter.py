"""A quarter of an hour at the top of the hour, played faster: people arrive, talk and leave; some are above the commitment, some too many."""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gateway.demo.media_servers import MediaServers
from gateway.demo.scenes import Join, event, hosted, meeting, teams, telephone


QUARTER_S = 900.0


@dataclass(frozen=True, slots=True)
class Stay:
    """One connection: when it asks to join, how long it would stay (seconds of the quarter), what it says, and where it moves half way."""

    at_s: float
    for_s: float
    customer: str
    join: Join
    moves_to: Join | None = None


@dataclass(frozen=True, slots=True)
class Crowd:
    """Connections that come to one meeting around an instant; `choices` are what one of them may say beside it."""

    customer: str
    number: int
    peak_s: float
    join: Join
    choices: tuple[Join, ...] = ({},)


def quarter(seed: int) -> list[Stay]:
    """Everybody who comes, in order of arrival; the same for the same seed."""
    dice = random.Random(seed)  # noqa: S311 - a play, no secret
    stays = [*_acme(dice), *_named_hosts(dice), *_hosts(dice), *_crowds(dice)]
    return sorted(stays, key=lambda stay: stay.at_s)


def _acme(dice: random.Random) -> Iterator[Stay]:
    for number in range(6):
        host = f"host{number}@acme.example"
        opens = 30.0 + 25 * number
        yield Stay(opens, 780 - opens, "acme", hosted(f"acme-{number}", host))
        for guest in range(dice.randint(4, 8)):
            joins = meeting(f"acme-{number}", host, dice.choice(["web", "web", "app", "pstn", "sip", "h323"]))
            breakout = {**joins, "meeting": f"acme-{number}-breakout"} if guest < 2 else None
            yield Stay(opens + dice.uniform(-15, 240), dice.uniform(120, 600), "acme", joins, breakout)


def _named_hosts(dice: random.Random) -> Iterator[Stay]:
    for number, name in enumerate(["alice", "bruno", "chiara", "dirk", "alice"]):
        host = f"{name}@globex.example"
        opens = 60.0 + 70 * number
        yield Stay(opens, dice.uniform(180, 420), "globex", hosted(f"globex-{number}", host))
        for _ in range(dice.randint(2, 6)):
            guest = meeting(f"globex-{number}", host)
            yield Stay(opens + dice.uniform(5, 90), dice.uniform(90, 300), "globex", guest)


HOSTS = {
    "hooli": ("emma", "yara", "training2", "emma"),
    "stark": ("farid", "greta", "hana", "ines", "farid"),
    "cyberdyne": ("ivan", "karl", "julia", "ivan"),
    "dunder": ("nadia", "oscar", "dan"),
}
"""Who hosts at customers whose meetings are licensed by their owners; some of them may not."""


def _hosts(dice: random.Random) -> Iterator[Stay]:
    for customer, names in HOSTS.items():
        for number, name in enumerate(names):
            host = f"{name}@{customer}.example"
            opens = dice.uniform(20, 400)
            yield Stay(opens, dice.uniform(150, 400), customer, hosted(f"{customer}-{number}", host))
            for _ in range(dice.randint(1, 4)):
                guest = meeting(f"{customer}-{number}", host)
                yield Stay(opens + dice.uniform(5, 120), dice.uniform(60, 240), customer, guest)


OPENED: tuple[tuple[str, Join], ...] = (
    ("umbrella", event("results", "finance", role="moderator")),
    ("umbrella", event("results", "finance", role="presenter")),
    ("aperture", event("keynote", role="presenter")),
    ("sterling", event("pitch", role="presenter")),
    ("wayne", hosted("cave", "bruce@wayne.example")),
    ("wonka", hosted("plant", "willy@wonka.example")),
    ("bluth", hosted("stand", "rita@bluth.example")),
    ("duff", hosted("brew", "sami@duff.example")),
    ("monarch", hosted("ape", "tara@monarch.example")),
    ("massive", hosted("fringe", "uma@massive.example", features=["streaming"])),
)
"""Who comes first, and stays."""

ROOMS: tuple[Join, ...] = ({}, {"endpoint": "h323"})
TELEPHONES: tuple[Join, ...] = (
    {},
    telephone("stand", "toll"),
    telephone("stand", "call_me"),
    telephone("stand", "premium"),
)

CROWDS = (
    Crowd("umbrella", 30, 280, event("results", "finance")),
    Crowd("umbrella", 3, 400, event("outlook", "finance")),
    Crowd("oscorp", 9, 300, event("a", "media"), ({}, {"meeting": "b"}, {"meeting": "c"})),
    Crowd("aperture", 7, 250, event("keynote")),
    Crowd("aperture", 4, 450, event("launch"), ({}, {"meeting": "encore"})),
    Crowd("sterling", 12, 350, event("pitch")),
    Crowd("wayne", 8, 400, meeting("cave")),
    Crowd("initech", 16, 300, teams("board"), (*ROOMS, *ROOMS, {"meeting": "budget"}, {"endpoint": "web"})),
    Crowd("soylent", 5, 300, teams("menu", "lena@soylent.example"), (*ROOMS, {"meeting": "farm"})),
    Crowd("tyrell", 6, 350, teams("owls", "sara@tyrell.example"), ROOMS),
    Crowd("vandelay", 9, 300, teams("import"), (*ROOMS, {"features": ["one_touch"]})),
    Crowd("wonka", 5, 300, meeting("plant", endpoint="sip", room="river-room"), ({}, {"meeting": "tour"})),
    Crowd("wonka", 8, 320, meeting("plant")),
    Crowd("dunder", 3, 300, meeting("dunder-0", "nadia@dunder.example", "h323", room="annex")),
    Crowd("bluth", 12, 300, meeting("stand"), TELEPHONES),
    Crowd("duff", 20, 350, telephone("brew", "toll"), ({}, {"calling": "call_me"})),
    Crowd("monarch", 10, 320, meeting("ape"), ({}, {"access": "china"})),
    Crowd("massive", 6, 300, meeting("fringe")),
)


def _crowds(dice: random.Random) -> Iterator[Stay]:
    for number, (customer, join) in enumerate(OPENED):
        yield Stay(10.0 + 5 * number, 820, customer, join)
    for crowd in CROWDS:
        for _ in range(crowd.number):
            at_s = min(max(dice.gauss(crowd.peak_s, 110), 70.0), QUARTER_S - 60)
            join = {**crowd.join, **dice.choice(crowd.choices)}
            yield Stay(at_s, dice.uniform(120, 420), crowd.customer, join)


async def play(servers: MediaServers, stays: list[Stay], *, duration_s: float) -> None:
    """Plays the quarter in `duration_s` seconds; every connection that got in is released."""
    pace = duration_s / QUARTER_S
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def until(at_s: float) -> None:
        await asyncio.sleep(max(0.0, began + min(at_s, QUARTER_S) * pace - loop.time()))

    async def live(number: int, stay: Stay) -> None:
        leg: dict[str, Any] = {"customer": stay.customer, "connection": f"{stay.customer}-{number}@media.example"}
        await until(stay.at_s)
        decision = await servers.admit(**leg, **stay.join)
        if decision["decision"] == "deny":
            return
        if stay.moves_to is not None:
            await until(stay.at_s + stay.for_s / 2)
            await servers.move(**leg, **stay.moves_to, **{"from": stay.join["meeting"]})
        await until(stay.at_s + stay.for_s)
        await servers.release(**leg)

    async with asyncio.TaskGroup() as group:
        for number, stay in enumerate(stays):
            group.create_task(live(number, stay))
