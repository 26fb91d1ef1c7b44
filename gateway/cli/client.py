"""Calls of the command line to a running gateway, and how their faults are told."""

import asyncio
import os
from typing import Annotated, Any

import typer


AdminUrl = Annotated[
    str, typer.Option("--admin-url", envvar="GATEWAY_ADMIN_URL", help="Admin listener of a running gateway.")
]
ADMIN_URL = "http://127.0.0.1:9090"
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
TIMEOUT_S = 30


class CallError(Exception):
    """A call that failed, in words for the terminal."""


def call(method: str, base: str, path: str, *, body: Any = None, headers: dict[str, str] | None = None) -> Any:
    """The JSON answer of one call; ends the command with exit code 1 where it fails."""
    try:
        return asyncio.run(request(method, base, path, body=body, headers=headers))
    except CallError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


async def request(method: str, base: str, path: str, *, body: Any = None, headers: dict[str, str] | None = None) -> Any:
    """The JSON answer of one call. Raises CallError."""
    import aiohttp  # noqa: PLC0415 - keeps `gateway --help` fast
    from yarl import URL  # noqa: PLC0415

    token = os.environ.get("GATEWAY_TOKEN")
    sent = dict(headers or {}) | ({"Authorization": f"Bearer {token}"} if token else {})
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    try:
        url = URL(base.rstrip("/") + path, encoded=True)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(method, url, json=body, headers=sent) as response,
        ):
            answer = await response.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise CallError(f"no gateway answers at {base}: {error or 'timeout'}; is `gateway serve` running?") from None
    if response.status >= 400:
        raise CallError(_told(answer))
    return answer


def _told(problem: dict[str, Any]) -> str:
    lines = [f"{problem.get('title', 'failed')}: {problem.get('detail', '')}".rstrip(": ")]
    for error in problem.get("errors", ()):
        rule = f" [{error['rule']}]" if "rule" in error else ""
        lines.append(f"  {error['path']}: {error['message']}{rule}")
    return "\n".join(lines)
