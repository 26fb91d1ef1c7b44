"""Starts gateways in a fraction of the time: a process that has imported everything forks one for each request.

Importing takes half a second of processor time, and the suite starts hundreds of gateways. A forked gateway is a process like any other, with
its own memory, signals and files; only the imports were made before. Tests that are about starting and stopping itself start real ones.

`python zygote.py SOCKET` listens. A request is one JSON message with the arguments and the environment, and the descriptors of standard output
and standard error. Answers are the process id, and later the exit code.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path


REQUEST_BYTES_MAX = 1 << 20
START_TIMEOUT_S = 30.0


class Forked:
    """A gateway that was forked; as much of `asyncio.subprocess.Process` as tests use."""

    def __init__(
        self, connection: socket.socket, pid: int, stdout: asyncio.StreamReader, pipe: asyncio.ReadTransport
    ) -> None:
        self._connection = connection
        self._pipe = pipe
        self.pid = pid
        self.stdout = stdout
        self.returncode: int | None = None

    def send_signal(self, number: int) -> None:
        """Sends a signal."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    async def wait(self) -> int:
        """Its exit code, once it has ended; negative for a signal."""
        if self.returncode is None:
            told = await asyncio.get_running_loop().sock_recv(self._connection, 64)
            self._connection.close()
            self.returncode = int(told)
        return self.returncode

    async def communicate(self) -> tuple[bytes, None]:
        """What is left of its output, when it has ended."""
        said = await self.stdout.read()
        await self.wait()
        self._pipe.close()
        await asyncio.sleep(0)  # it closes with the next turn
        return said, None


class Zygote:
    """The process that forks gateways."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "zygote.sock"
        self._process = subprocess.Popen([sys.executable, __file__, self._path])
        until = time.monotonic() + START_TIMEOUT_S
        while not self._path.exists():
            assert self._process.poll() is None, "it ended before it listened"
            assert time.monotonic() < until, "it does not listen"
            time.sleep(0.01)

    def close(self) -> None:
        """Ends it; gateways that it has forked are ended by who asked for them."""
        self._process.terminate()
        self._process.wait(START_TIMEOUT_S)

    async def fork(self, *arguments: str, env: dict[str, str]) -> Forked:
        """Runs `gateway` with these arguments."""
        loop = asyncio.get_running_loop()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.setblocking(False)
        await loop.sock_connect(connection, str(self._path))
        reading, writing = os.pipe()
        request = json.dumps({"arguments": arguments, "env": env}).encode()
        socket.send_fds(connection, [request], [writing, 2])
        os.close(writing)
        stdout = asyncio.StreamReader()
        pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdout), os.fdopen(reading, "rb"))
        return Forked(connection, int(await loop.sock_recv(connection, 64)), stdout, pipe)


def serve(path: str) -> None:
    """Forks a keeper for each request, until it is ended."""
    import uvloop  # noqa: F401, PLC0415

    import gateway.app  # noqa: PLC0415 - what takes the time
    import gateway.cli.catalogue  # noqa: PLC0415
    import gateway.cli.main  # noqa: PLC0415
    import gateway.cli.serve  # noqa: PLC0415
    import gateway.workers  # noqa: F401, PLC0415

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers are not waited for
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(path)
    listener.listen(64)
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _keep(connection)
        connection.close()


def _keep(connection: socket.socket) -> None:
    """Forks the gateway, tells its id, waits for its end and tells its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    message, descriptors, _, _ = socket.recv_fds(connection, REQUEST_BYTES_MAX, 2)
    request = json.loads(message)
    pid = os.fork()
    if pid == 0:
        connection.close()
        _become(request["arguments"], request["env"], descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    connection.send(str(pid).encode())
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(OSError):
        connection.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(arguments: Sequence[str], env: dict[str, str], descriptors: Sequence[int]) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for target, descriptor in enumerate(descriptors, 1):
        os.dup2(descriptor, target)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["gateway", *arguments]
    code = 1
    try:
        from gateway.__main__ import main  # noqa: PLC0415

        main()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        serve(sys.argv[1])
