"""Health on both listeners: alive (the loop turns), ready (decisions can be made)."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from gateway.api.http import json_response


CHECKS: web.AppKey[Callable[[], dict[str, str]]] = web.AppKey("CHECKS")
"""Named components with `ok` or what is wrong."""

Prepare = Callable[[web.Request, web.StreamResponse], Awaitable[None]]


def routes() -> list[web.RouteDef]:
    """Routes of both listeners; they need no token."""
    return [web.get("/livez", livez), web.get("/readyz", readyz)]


async def livez(_: web.Request) -> web.Response:
    """The process answers."""
    return json_response({"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    """503 as long as a component is not ready; says which."""
    checks = request.app[CHECKS]()
    ready = all(state == "ok" for state in checks.values())
    return json_response({"status": "ok" if ready else "unavailable", "checks": checks}, 200 if ready else 503)


def moving_on(draining: Callable[[], bool]) -> Prepare:
    """What is done to every answer (`on_response_prepare`): while draining it ends its connection, so that its caller moves on."""

    async def prepare(_: web.Request, response: web.StreamResponse) -> None:
        if draining() and response.status >= 200:  # below it another protocol begins, which has a farewell of its own
            response.force_close()
            response.headers["Connection"] = "close"  # aiohttp has written its own by now

    return prepare
