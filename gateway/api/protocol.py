"""What is answered to bytes that are no HTTP.

aiohttp's parser puts what it could not read into its answer; a telephone number could stand in it, and is not echoed (T21.1). No hook of
aiohttp leads there, so the class of the protocol is replaced.
"""

from aiohttp import web

from gateway.api.problems import Problem


class _Protocol(web.RequestHandler):
    """One connection."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        super().handle_error(request, status, exc, message)  # logs it, or raises where an answer is under way
        problem = Problem("malformed", "This is no HTTP.") if status < 500 else Problem("internal")
        response = problem.response()
        response.force_close()
        return response


class _Server(web.Server):
    """Makes a protocol for each connection."""

    def __call__(self) -> web.RequestHandler:
        return _Protocol(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """Runs an application, as `web.AppRunner` does, and echoes nothing that it cannot read."""

    __slots__ = ()

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        server.__class__ = _Server
        return server
