"""Several gateways on one port, as child processes that are started again when they end.

Every worker has listening sockets of its own, all on the same address (SO_REUSEPORT); the system spreads connections over them. They are made
and held here and inherited, so that connections that wait for a worker that crashed are taken by the one that follows it.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import structlog

from gateway.processes import end_with_parent
from gateway.settings import Settings


STEADY_S = 10.0
"""A worker that ran so long did not fail for a reason that a new one meets at once."""

PAUSE_MIN_S, PAUSE_MAX_S = 0.1, 5.0
STOP_TIMEOUT_S = 45.0
"""How long workers may take to end, beyond `drain_s`; then they are killed."""

_log = structlog.get_logger("gateway.workers")


class WorkerFailed(Exception):
    """A worker ended before it was ready. `exit_code`: 1 failed, 2 wrong settings, as of the command line."""

    def __init__(self, index: int, returned: int) -> None:
        super().__init__(f"worker {index} did not start (exit code {returned})")
        self.exit_code: Literal[1, 2] = 2 if returned == 2 else 1


@dataclass(slots=True)
class Worker:
    """One child and where it listens."""

    index: int
    sockets: Sequence[socket.socket]
    process: Process | None = None
    url: str = ""
    admin_url: str = ""
    keeper: asyncio.Task[None] | None = field(default=None)

    def signal(self, number: int) -> None:
        """Sends it a signal, if it is there."""
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)


class Workers:
    """All workers of a port. `start` makes them, `stop` tells them to end, `ended` waits until they have."""

    def __init__(self, settings: Settings, sockets: Sequence[Sequence[socket.socket]]) -> None:
        """`settings` are those of the whole, with the URL of the store; `sockets` those of each worker."""
        self._settings = settings
        self._stopped_by: int | None = None
        self._stopping = asyncio.Event()
        self.workers = [Worker(index, each) for index, each in enumerate(sockets)]

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    async def start(self) -> None:
        """Starts all and waits until they are ready; the first one before the others where it loads a catalogue.

        Raises:
            OSError: a process cannot be started.
            WorkerFailed: one of them did not start; it has told why.
        """
        waiting = self.workers
        if self._settings.catalogue is not None:
            first, *waiting = self.workers
            await self._start(first, self._settings)
        started = await asyncio.gather(*[self._start(each) for each in waiting], return_exceptions=True)
        for failure in started:
            if failure is not None:
                raise failure
        for worker in self.workers:
            if worker.process is not None:  # else we were told to stop meanwhile
                worker.keeper = asyncio.create_task(self._keep(worker, worker.process), name=f"worker {worker.index}")

    def stop(self, number: int) -> None:
        """Passes the signal on; from now on no worker is started again. The second time the workers are killed."""
        again = self._stopping.is_set()
        self._stopped_by = signal.SIGKILL if again else number
        self._stopping.set()
        for worker in self.workers:
            worker.signal(self._stopped_by)
            for each in worker.sockets:  # the worker's own copy stays open until it has drained
                each.close()

    async def ended(self) -> bool:
        """Waits until all have ended after `stop`; whether each had done its work."""
        await self._stopping.wait()
        keepers = [worker.keeper for worker in self.workers if worker.keeper]
        if keepers:
            _, late = await asyncio.wait(keepers, timeout=self._settings.drain_s + STOP_TIMEOUT_S)
            if late:
                _log.error("worker.killed", workers=[task.get_name() for task in late])
                self.stop(signal.SIGKILL)
        await asyncio.gather(*keepers)
        done = (0, -signal.SIGTERM, -signal.SIGINT)  # a signal ends one that has not begun
        return all(worker.process is None or worker.process.returncode in done for worker in self.workers)

    async def abandon(self) -> None:
        """Kills what is there, and waits for it."""
        self.stop(signal.SIGKILL)
        for worker in self.workers:
            if worker.keeper:
                await worker.keeper
            elif worker.process:
                await worker.process.communicate()

    async def _start(self, worker: Worker, settings: Settings | None = None) -> None:
        """Starts a process for the worker and waits until it is ready. Raises OSError, WorkerFailed.

        Without the catalogue, unless `settings` have one: a worker that takes the place of another brings back nothing that was removed since.
        """
        if self._stopping.is_set():
            return
        descriptors = [each.fileno() for each in worker.sockets]
        worker.process = process = await asyncio.create_subprocess_exec(
            *command(),
            stdout=PIPE,
            env=environment(
                settings or self._settings.model_copy(update={"catalogue": None}), worker.index, descriptors
            ),
            pass_fds=descriptors,
            start_new_session=True,  # an interrupt at the terminal is for the parent, which passes it on
            preexec_fn=end_with_parent(),
        )
        if self._stopped_by is not None:  # meanwhile
            worker.signal(self._stopped_by)
        assert process.stdout is not None, "it is a pipe"
        line = (await process.stdout.readline()).decode().split()
        if len(line) == 2:
            worker.url, worker.admin_url = line
        elif not self._stopping.is_set():
            raise WorkerFailed(worker.index, await process.wait())

    async def _keep(self, worker: Worker, process: Process) -> None:
        """Starts the worker again whenever it ends, at once or, if it keeps ending, after a pause; until `stop`."""
        pause, loop = 0.0, asyncio.get_running_loop()
        began = loop.time()
        while True:
            await process.communicate()
            if self._stopping.is_set():
                return
            if loop.time() - began > STEADY_S:
                pause = 0.0
            _log.error("worker.restarted", worker=worker.index, exit_code=process.returncode, pause_s=pause)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            pause = min(max(2 * pause, PAUSE_MIN_S), PAUSE_MAX_S)
            began = loop.time()
            try:
                await self._start(worker)
            except (OSError, WorkerFailed):
                pass  # the next turn sees that it has ended
            except Exception:  # noqa: BLE001 - logged with its trace; a worker that says something strange is started again
                _log.exception("worker.failed", worker=worker.index)
            process = worker.process or process


@contextlib.asynccontextmanager
async def running(settings: Settings, sockets: Sequence[Sequence[socket.socket]]) -> AsyncIterator[Workers]:
    """Workers that can be started; none is left when the context ends."""
    workers = Workers(settings, sockets)
    try:
        yield workers
    finally:
        await workers.abandon()


def command() -> list[str]:
    """Runs a worker as this process was run: `python -m` would look for modules in the working directory first."""
    isolated = [] if {"", str(Path.cwd())} & set(sys.path) else ["-P"]
    return [sys.executable, *isolated, "-m", "gateway", "serve"]


def environment(settings: Settings, index: int, descriptors: Sequence[int]) -> dict[str, str]:
    """The environment of worker `index`, with its settings: a command line could be read by everybody on the machine."""
    own = settings.model_copy(
        update={
            "admin_port": settings.admin_port + index if settings.admin_port else 0,
            "workers": 1,
            "worker": index,
        }
    )
    values = own.model_dump(mode="json", exclude={"listen_fds", "number_key", "webhook_secret"}, exclude_none=True)
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith("GATEWAY_") or name.upper() == "GATEWAY_NUMBER_KEY"
    }
    return {
        **inherited,
        **{f"GATEWAY_{name.upper()}": str(value) for name, value in values.items()},
        "GATEWAY_LISTEN_FDS": str(list(descriptors)),
    }


def bound_sockets(host: str, port: int, count: int) -> list[list[socket.socket]]:
    """For each of `count` workers a socket on each address of `host`, all on the same port. Raises OSError where it is taken."""
    addresses = {
        (family, address[0])
        for family, _, _, _, address in socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    }
    if port:
        for family, address in addresses:
            _bound(
                family, str(address), port, shared=False
            ).close()  # else another gateway's port could be shared unnoticed
    bound: list[list[socket.socket]] = [[] for _ in range(count)]
    for family, address in sorted(addresses):
        own_port = port
        for sockets in bound:
            sockets.append(_bound(family, str(address), own_port, shared=True))
            own_port = sockets[-1].getsockname()[1]
    return bound


def _bound(family: int, address: str, port: int, *, shared: bool) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((address, port))
    except OSError as error:
        made.close()
        raise OSError(
            error.errno, f"port {port} of {address} cannot be listened on: {os.strerror(error.errno or 0)}"
        ) from None
    return made
