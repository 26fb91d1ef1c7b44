"""Work that many wait for is done once."""

import asyncio

import pytest

from gateway.shared import Shared


async def test_many_that_ask_at_one_time_share_one_go() -> None:
    """Three ask for the same, one for something else: two goes; who asks after that begins another one."""
    begun: list[str] = []
    shared: Shared[str, str] = Shared()

    async def work(name: str) -> str:
        begun.append(name)
        await asyncio.sleep(0)
        return name.upper()

    asked = [shared.once(name, lambda name=name: work(name)) for name in ("a", "a", "b", "a")]  # type: ignore[misc]
    assert ["A", "A", "B", "A"] == await asyncio.gather(*asked)
    assert ["a", "b"] == begun
    assert "A" == await shared.once("a", lambda: work("a"))
    assert ["a", "b", "a"] == begun


async def test_one_that_gives_up_does_not_end_it_for_the_others() -> None:
    """The first caller is cancelled; the second gets the answer of the same go."""
    going, begun = asyncio.Event(), 0
    shared: Shared[str, int] = Shared()

    async def work() -> int:
        nonlocal begun
        begun += 1
        await going.wait()
        return begun

    first, second = asyncio.create_task(shared.once("a", work)), asyncio.create_task(shared.once("a", work))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    going.set()
    assert 1 == await second


async def test_an_error_is_that_of_all_who_wait_and_the_next_one_tries_again() -> None:
    """Two get the error of one go; a third begins another."""
    begun = 0
    shared: Shared[str, int] = Shared()

    async def fails_once() -> int:
        nonlocal begun
        begun += 1
        await asyncio.sleep(0)
        if begun == 1:
            raise ValueError("no")
        return begun

    answers = await asyncio.gather(shared.once("a", fails_once), shared.once("a", fails_once), return_exceptions=True)
    assert [ValueError, ValueError] == [type(answer) for answer in answers]
    assert 2 == await shared.once("a", fails_once)
