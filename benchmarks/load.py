"""Runs of load against a server: wrk, and the own generator in closed and in open loop."""

import contextlib
import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from hdrh.histogram import HdrHistogram

from benchmarks.common import CHECKOUT
from benchmarks.sender import DIGITS, DRAIN_S, HIGHEST_US, Plan
from benchmarks.servers import HttpServer


WRK_SCRIPT = Path(__file__).with_name("wrk.lua")
SENDER_START_S = 1.5
"""Time in which every process of the generator is ready."""

PERCENTILES = (50.0, 99.0, 99.9)


@dataclass(slots=True)
class Load:
    """How load is made."""

    seconds: float
    connections: int
    processes: int
    customers: int
    warm_up_s: float = 1.0
    live: int = 1000
    """Connections that are live at a time, roughly, per process."""


@dataclass(slots=True)
class Run:
    """What one run showed. Latencies in milliseconds by percentile, those of admits and of releases apart where they are known."""

    per_s: float
    latency_ms: dict[str, dict[str, float]]
    gateway_cpu_us: float
    redis_cpu_us: float
    unexpected: dict[str, int] = field(default_factory=dict)
    """Answers that are neither admitted nor released, and seats that the server counts and the generator does not."""
    waited: int = 0
    """Requests that were due while every connection was taken; the wait is in their latency."""
    lag_ms: dict[str, float] = field(default_factory=dict)
    encoded: dict[str, str] = field(default_factory=dict)
    """HdrHistograms of all processes together, in microseconds."""


def has_wrk() -> bool:
    """Whether wrk is installed."""
    return shutil.which("wrk") is not None


def wrk(server: HttpServer, load: Load, prefix: str) -> Run:
    """wrk, closed loop. Its connections all have a request under way at all times, so its latencies say nothing about a given rate."""
    _wrk(server, load, f"{prefix}w", load.warm_up_s)
    before = server.cpu_seconds()
    requests, micros, p50, p99, p999, errors = _wrk(server, load, prefix, load.seconds)
    gateway_us, redis_us = _spent_us(before, server.cpu_seconds(), requests)
    latency = {"all": {"50.0": p50 / 1000, "99.0": p99 / 1000, "99.9": p999 / 1000}}
    return Run(requests / micros * 1e6, latency, gateway_us, redis_us, {"error": errors} if errors else {})


def _wrk(server: HttpServer, load: Load, prefix: str, seconds: float) -> list[int]:
    done = subprocess.run(
        [
            "wrk", "-t1", f"-c{load.connections}", f"-d{max(1, round(seconds))}s", "-s", WRK_SCRIPT, server.url,
            "--", prefix, str(load.customers),
        ],
        capture_output=True, text=True, check=True, timeout=seconds + 30,
    )  # fmt: skip
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    return [int(word) for word in line.split()[1:]]


def own(server: HttpServer, load: Load, prefix: str, rate: float | None = None) -> Run:
    """The own generator: closed loop, or open loop at `rate` requests per second of all processes together."""
    begin = time.monotonic() + SENDER_START_S
    count_from, end = begin + load.warm_up_s, begin + load.warm_up_s + load.seconds
    host, port = server.address
    plans = [
        Plan(
            host, port, load.connections // load.processes, begin, count_from, end, f"{prefix}{number}", load.customers, load.live,
            None if rate is None else rate / load.processes,
        )
        for number in range(load.processes)
    ]  # fmt: skip
    live_before = server.live()
    with _senders(plans) as senders:
        time.sleep(max(0.0, count_from - time.monotonic()))
        before = server.cpu_seconds()
        time.sleep(max(0.0, end - time.monotonic()))
        after = server.cpu_seconds()
        found = [json.loads(sender.communicate(timeout=DRAIN_S + 30)[0]) for sender in senders]
    run = _summary(found, load, before, after)
    lost = server.live() - live_before - sum(each["live"] for each in found)
    if lost:
        run.unexpected["seats"] = lost
    return run


@contextlib.contextmanager
def _senders(plans: list[Plan]) -> Iterator[list[subprocess.Popen[bytes]]]:
    senders: list[subprocess.Popen[bytes]] = []
    try:
        for plan in plans:
            arguments = [sys.executable, "-m", "benchmarks.sender"]
            sender = subprocess.Popen(arguments, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            senders.append(sender)
            assert sender.stdin is not None, "it is a pipe"
            sender.stdin.write(msgspec.json.encode(plan))
            sender.stdin.close()
            sender.stdin = None  # so that communicate does not flush it
        yield senders
    finally:
        for sender in senders:
            if sender.poll() is None:
                sender.kill()
                sender.communicate()


def _summary(found: list[dict[str, Any]], load: Load, before: tuple[float, float], after: tuple[float, float]) -> Run:
    answers: Counter[str] = Counter()
    histograms = {kind: HdrHistogram(1, HIGHEST_US, DIGITS) for kind in ("admit", "release", "lag")}
    for each in found:
        answers.update(each["answers"])
        answers["unanswered"] += each["unanswered"]
        for kind, histogram in histograms.items():
            histogram.decode_and_add(each["histograms"][kind])
    good = answers["admitted"] + answers["released"]
    gateway_us, redis_us = _spent_us(before, after, good)
    lag = histograms["lag"]
    return Run(
        per_s=good / load.seconds,
        latency_ms={kind: _percentiles_ms(histograms[kind]) for kind in ("admit", "release")},
        gateway_cpu_us=gateway_us,
        redis_cpu_us=redis_us,
        waited=sum(each["waited_for_connection"] for each in found),
        unexpected={told: count for told, count in answers.items() if told not in {"admitted", "released"} and count},
        lag_ms=_percentiles_ms(lag) if lag.get_total_count() else {},
        encoded={kind: histogram.encode().decode() for kind, histogram in histograms.items()},
    )


def _percentiles_ms(histogram: Any) -> dict[str, float]:
    return {str(percentile): histogram.get_value_at_percentile(percentile) / 1000 for percentile in PERCENTILES}


def _spent_us(before: tuple[float, float], after: tuple[float, float], requests: int) -> tuple[float, float]:
    """Processor time per request of the server and of Redis."""
    first, second = [(late - early) / max(requests, 1) * 1e6 for early, late in zip(before, after, strict=True)]
    return first, second
