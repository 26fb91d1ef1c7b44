"""A worker's file on disk as others see it: what is in it, and what happens while another process holds it."""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path


WAIT_S = 10.0


def ask(path: Path, question: str) -> list[tuple[object, ...]]:
    """What another reader finds on disk."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(question).fetchall()


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Another writer's transaction, which changes nothing."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


async def reach(condition: Callable[[], bool]) -> None:
    """Waits until something holds; fails after WAIT_S."""
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


async def turns(count: int) -> None:
    """Lets the event loop go round."""
    for _ in range(count):
        await asyncio.sleep(0)
