"""When a gateway is behind, and what it takes then."""

import asyncio
import time

import pytest

from gateway.events import Event, LoadShed
from gateway.kernel.errors import StoreUnavailable
from gateway.load import BEHIND_S, DECISIONS_MAX, PERIOD_S, WINDOW, Load


LATE_S = BEHIND_S * 1.01


class Watched:
    """A load, and what it has told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.load = Load(self.events.append)

    def note(self, *late_s: float) -> list[bool]:
        """Whether it is behind, after each of these looks."""
        found = []
        for each in late_s:
            self.load.note(each)
            found.append(self.load.is_behind)
        return found


@pytest.fixture
def watched() -> Watched:
    """A load that nothing was noted of."""
    return Watched()


def begins(found: Load, number: int = 1) -> int:
    """How many of so many decisions may begin; they go on."""
    for begun in range(number):
        try:
            found.begin()
        except StoreUnavailable:
            return begun
    return number


def test_only_a_lag_that_lasts_is_an_overload(watched: Watched) -> None:
    """Behind from the fifth look in a row that was too late; a single look in time ends it at once."""
    assert [False, False, False, False, True, True] == watched.note(*[LATE_S] * 6)
    assert [False, False, False, False, False, True] == watched.note(0.0, *[LATE_S] * 5)
    assert [LoadShed(behind=True), LoadShed(behind=False), LoadShed(behind=True)] == watched.events


@pytest.mark.parametrize(
    "late_s",
    [[BEHIND_S] * 20, [10.0, 10.0, 10.0, 10.0, 0.0] * 4, [0.0] * 20, [-0.001] * 20],
    ids=["just in time", "bursts", "idle", "early"],
)
def test_what_is_no_overload(watched: Watched, late_s: list[float]) -> None:
    """However late single looks are; nobody is told of anything."""
    assert [False] * 20 == watched.note(*late_s)
    assert [] == watched.events


def test_a_gateway_that_is_behind_decides_nothing_more(watched: Watched) -> None:
    """A decision that is under way goes on; new ones are refused as an outage until the gateway has caught up."""
    assert 1 == begins(watched.load)
    watched.note(*[LATE_S] * WINDOW)
    assert 0 == begins(watched.load)
    watched.load.end()
    assert 0 == begins(watched.load)
    watched.note(0.0)
    assert 1 == begins(watched.load)


def test_so_many_decisions_are_under_way_and_no_more(watched: Watched) -> None:
    """The one above the bound is refused and takes no room; each that ends makes room for one."""
    assert DECISIONS_MAX == begins(watched.load, DECISIONS_MAX + 1)
    assert 0 == begins(watched.load)
    for _ in range(3):
        watched.load.end()
    assert 3 == begins(watched.load, 5)
    assert [] == watched.events, "the bound is no lag"


async def test_the_event_loop_is_watched(watched: Watched) -> None:
    """A loop that stands still again and again is noticed, and so is that it runs freely."""
    watching = asyncio.create_task(watched.load.watch())
    async with asyncio.timeout(10):
        while not watched.load.is_behind:
            time.sleep(PERIOD_S + LATE_S)  # noqa: ASYNC251 - what must not happen, happens
            await asyncio.sleep(0)
        while watched.load.is_behind:  # noqa: ASYNC110 - the watcher knows
            await asyncio.sleep(PERIOD_S)
    watching.cancel()
    assert [LoadShed(behind=True), LoadShed(behind=False)] == watched.events[:2]
