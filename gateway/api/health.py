"""Health on both listeners: alive (the loop turns), ready (decisions can be made)."""

from collections.abc import Callable

from aiohttp import web

from gateway.api.http import json_response


CHECKS: web.AppKey[Callable[[], dict[str, str]]] = web.AppKey("CHECKS")
"""Named components with `ok` or what is wrong."""


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
