"""The servers that are measured over HTTP, each a process of its own."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common import CHECKOUT, START_TIMEOUT_S, RedisProcess, cpu_seconds, stop
from gateway.domain.catalogue import Customer


@dataclass(slots=True)
class HttpServer:
    """A server that answers, and the Redis that it uses."""

    name: str
    url: str
    admin_url: str
    process: subprocess.Popen[str]
    redis: RedisProcess
    customers: Sequence[Customer]

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the admission listener."""
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return host, int(port)

    def cpu_seconds(self) -> tuple[float, float]:
        """Processor time used so far by the server and by its Redis."""
        return cpu_seconds(self.process.pid), cpu_seconds(self.redis.process.pid)

    def live(self) -> int:
        """Connections that are live by the server's own account."""
        total = 0
        for customer in self.customers:
            with urllib.request.urlopen(f"{self.admin_url}/v1/customers/{customer.id}/usage", timeout=10) as answer:
                total += json.load(answer)["live"]
        return total


@contextlib.contextmanager
def gateway(redis: RedisProcess, customers: Sequence[Customer]) -> Iterator[HttpServer]:
    """`gateway serve` as it is shipped."""
    with contextlib.ExitStack() as stack:
        path = stack.enter_context(_catalogue(customers))
        listen = ("gateway", "serve", "--port", "0", "--admin-port", "0", "--log-level", "error")
        store = ("--redis-url", redis.url, "--catalogue", str(path), "--data-dir", str(path.parent))
        yield stack.enter_context(_server("gateway", (*listen, *store), redis, customers))


@contextlib.contextmanager
def one_call_per_request(redis: RedisProcess, customers: Sequence[Customer]) -> Iterator[HttpServer]:
    """The same with one call of redis-py per operation."""
    with contextlib.ExitStack() as stack:
        module = ("benchmarks.one_call_server", redis.url, str(stack.enter_context(_catalogue(customers))))
        yield stack.enter_context(_server("one call per request", module, redis, customers))


@contextlib.contextmanager
def _catalogue(customers: Sequence[Customer]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder:
        path = Path(folder) / "catalogue.json"
        path.write_text(json.dumps({"customers": [customer.document() for customer in customers]}))
        yield path


@contextlib.contextmanager
def _server(
    name: str, module: Sequence[str], redis: RedisProcess, customers: Sequence[Customer]
) -> Iterator[HttpServer]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GATEWAY_")}
    environment["GATEWAY_DRAIN_S"] = "0"
    process = subprocess.Popen(
        [sys.executable, "-m", *module], cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        urls: dict[str, str] = {}
        until = time.monotonic() + START_TIMEOUT_S
        assert process.stdout is not None, "it is a pipe"
        while len(urls) < 2:
            words = process.stdout.readline().split()
            if not words or time.monotonic() > until:
                raise RuntimeError(f"{name} did not start")
            if words[0] in {"admission", "admin"}:
                urls[words[0]] = words[1]
        yield HttpServer(name, urls["admission"], urls["admin"], process, redis, customers)
    finally:
        stop(process)
        if process.stdout is not None:
            process.stdout.close()
