"""What it means that a request was refused well: a problem of the right status that names the field, and nothing else happened."""

import asyncio
import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from http_client import PROBLEM, Answer, Request, lasting_in, send
from http_inputs import DIGITS
from support import RunningGateway


Listener = Literal["admission", "admin"]

AT_ONCE = 20
GATEWAY_FAULTS = ("request.failed", "Traceback", "Unhandled exception")
"""What a gateway's log shows where a request met a fault of the gateway itself."""


@dataclass(frozen=True, slots=True)
class Case:
    """A request, and the problem that it must come to; `path` is where the answer says that the fault is."""

    name: str
    request: Request
    status: int = 422
    path: str | None = None
    listener: Listener = "admission"
    allow: str | None = None


def complaints(case: Case, answer: Answer) -> Iterator[str]:
    """What is wrong with the answer to a case."""
    if answer.status != case.status:
        yield f"status is {answer.status} instead of {case.status}"
    if answer.content_type != PROBLEM:
        yield f"is {answer.content_type or 'nothing'} instead of a problem"
    elif case.request.method != "HEAD":
        yield from _body_complaints(case, answer)
    if answer.headers.get("allow") != case.allow:
        yield f"allows {answer.headers.get('allow')} instead of {case.allow}"
    for forbidden in (DIGITS, "Traceback", '.py"'):
        if forbidden in answer.text:
            yield f"shows {forbidden}"


def path_complaints(path: str, problem: dict[str, Any]) -> Iterator[str]:
    """What is wrong unless an error of the problem stands at the path, or below it (an item of a list)."""
    named = [error["path"] for error in problem.get("errors", ())]
    if not any(name == path or name.startswith((f"{path}.", f"{path}[")) for name in named):
        yield f"names {named} instead of {path}"


def _body_complaints(case: Case, answer: Answer) -> Iterator[str]:
    problem = answer.json()
    if problem.get("status") != answer.status or not problem.get("title"):
        yield "is no problem with its status and title"
    if not str(problem.get("type")).startswith("urn:admission-gateway:problem:"):
        yield f"is of the type {problem.get('type')}"
    if case.path is not None:
        yield from path_complaints(case.path, problem)


@dataclass(frozen=True, slots=True)
class Target:
    """A gateway, the store behind it, and what the gateway logs."""

    gateway: RunningGateway
    store_url: str
    log: Path

    async def refuses(self, cases: Iterable[Case]) -> int:
        """Sends all cases, and fails unless each is refused as it must be and nothing at all has changed. How many there were."""
        sent = list(cases)
        before = await lasting_in(self.store_url)
        gate = asyncio.Semaphore(AT_ONCE)

        async def complain(case: Case) -> list[str]:
            url = self.gateway.url if case.listener == "admission" else self.gateway.admin_url
            async with gate:
                answer = await send(url, case.request)
            return [f"{case.name}: {text}" for text in complaints(case, answer)]

        found = [text for texts in await asyncio.gather(*map(complain, sent)) for text in texts]
        assert not found, f"{len(found)} complaints about {len(sent)} requests:\n" + "\n".join(found)
        await self.unchanged_since(before)
        return len(sent)

    async def unchanged_since(self, before: dict[str, Any]) -> None:
        """Fails unless the store is as it was, and no log line shows a fault of the gateway or the telephone number."""
        after = await lasting_in(self.store_url)
        moved = {key: after.get(key) for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        assert not moved, f"the store has changed: {moved}"
        lines = self.log.read_text().splitlines()
        assert lines, "the log is written to this file"
        shown = [line for line in lines if any(text in line for text in (*GATEWAY_FAULTS, DIGITS))]
        assert not shown, "the log shows\n" + "\n".join(shown)


@contextlib.contextmanager
def standard_error_in(path: Path) -> Iterator[None]:
    """Processes that are started meanwhile write their standard error to this file, as long as they live."""
    ours = os.dup(2)
    with path.open("ab") as file:
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(ours, 2)
        os.close(ours)
