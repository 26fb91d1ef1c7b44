"""What one decision costs inside Redis, and how many the core makes without HTTP.

`python -m benchmarks.bench_kernel`. Each phase runs one script only, so the times that Redis keeps of EVALSHA are those of that script.
"""

import argparse
import asyncio
import contextlib
import itertools
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.common import REFUSED, RedisProcess, Result, Spread, cpu_seconds, heading, redis_process, servers
from benchmarks.workload import FULL_AT, Case, cases, full_case
from gateway.core import Core, Telemetry, build_core
from gateway.domain.changes import replaced
from gateway.domain.join import Join
from gateway.kernel import outcomes
from gateway.kernel.keys import bucket_key, bucket_of
from gateway.telemetry import logs


AT_ONCE = 100
ONE_BY_ONE = 1_000
BUDGET_S = 10.0


@dataclass(frozen=True, slots=True)
class Phase:
    """One operation, many times."""

    in_script_us: float
    """Time in the script, by Redis's own account of EVALSHA."""
    redis_cpu_us: float
    """Processor time of Redis with reading the call and writing the answer."""
    per_s: float
    """Operations per second of one gateway process, HTTP left out, with `AT_ONCE` under way."""
    alone_us: float
    """Time from call to answer when nothing else is under way."""


class Bench:
    """A core on a Redis, and the phases that run on them."""

    def __init__(self, core: Core, redis: RedisProcess) -> None:
        self._core = core
        self._redis = redis
        self._client = redis.client()

    def clear(self) -> None:
        """Forgets everything that is stored, and what is known of it."""
        self._client.flushall()

    async def install(self, case: Case) -> None:
        """Makes the customer of a case known."""
        await self._core.entitlements.change(case.customer.id, replaced(case.customer, 0), "install")

    async def admit(self, joins: Iterable[Join]) -> str:
        """Admits all of these; what came of them."""
        return await self._all(self._ask(join) for join in joins)

    async def phase(self, calls: Iterable[Callable[[], Awaitable[str]]], expected: str) -> Phase:
        """Measures: first `ONE_BY_ONE` calls alone, then the others at `AT_ONCE`."""
        remaining = iter(calls)
        alone_us = await self._alone(itertools.islice(remaining, ONE_BY_ONE))
        waiting = list(remaining)
        self._client.config_resetstat()
        cpu = cpu_seconds(self._redis.process.pid)
        began = time.perf_counter()
        told = await self._all(waiting)
        seconds = time.perf_counter() - began
        cpu = cpu_seconds(self._redis.process.pid) - cpu
        stats = self._client.info("commandstats")["cmdstat_evalsha"]
        if told != expected or stats["calls"] != len(waiting):
            raise RuntimeError(f"wanted {len(waiting)} x {expected}, got {told} by {stats['calls']} calls")
        return Phase(stats["usec"] / len(waiting), cpu / len(waiting) * 1e6, len(waiting) / seconds, alone_us)

    def admits(self, joins: Iterable[Join]) -> list[Callable[[], Awaitable[str]]]:
        """Calls that admit."""
        return [self._ask(join) for join in joins]

    def releases(self, joins: Iterable[Join]) -> list[Callable[[], Awaitable[str]]]:
        """Calls that release."""
        return [self._give_back(join) for join in joins]

    def memory(self) -> int:
        """Bytes that Redis has allocated."""
        return int(self._client.info("memory")["used_memory"])

    def drop_outbox(self, case: Case) -> int:
        """Empties the outbox of a customer's bucket; how many entries it had."""
        return int(self._client.xtrim(bucket_key("outbox", bucket_of(case.customer.id)), maxlen=0, approximate=False))

    def _ask(self, join: Join) -> Callable[[], Awaitable[str]]:
        async def call() -> str:
            return (await self._core.admission.admit(join, wait_s=BUDGET_S)).reason.value

        return call

    def _give_back(self, join: Join) -> Callable[[], Awaitable[str]]:
        async def call() -> str:
            outcome = await self._core.admission.release(join.customer, join.connection)
            return "released" if isinstance(outcome, outcomes.Released) else "not released"

        return call

    async def _alone(self, calls: Iterable[Callable[[], Awaitable[str]]]) -> float:
        began, count = time.perf_counter(), 0
        for call in calls:
            await call()
            count += 1
        return (time.perf_counter() - began) / max(count, 1) * 1e6

    async def _all(self, calls: Iterable[Callable[[], Awaitable[str]]]) -> str:
        """Runs all calls, `AT_ONCE` at a time, begun in their order; the one answer, or all with their counts."""
        told: Counter[str] = Counter()
        remaining = iter(calls)

        async def work() -> None:
            for call in remaining:
                told[await call()] += 1

        await asyncio.gather(*[work() for _ in range(AT_ONCE)])
        return next(iter(told)) if len(told) == 1 else str(dict(told))


@contextlib.asynccontextmanager
async def bench_on(redis: RedisProcess) -> AsyncIterator[Bench]:
    """A core that is connected to a Redis."""
    core = build_core(redis.url, budget_s=BUDGET_S, telemetry=Telemetry())
    if not await core.start():
        raise RuntimeError(core.store.last_error)
    try:
        yield Bench(core, redis)
    finally:
        await core.close()


async def measure_case(redis: RedisProcess, case: Case, legs: int) -> dict[str, Phase]:
    """Fills a customer, and empties it again."""
    async with bench_on(redis) as bench:
        bench.clear()
        await bench.install(case)
        joins = list(case.joins(legs))
        found = {
            f"admit, {case.name}, each a new peak": await bench.phase(bench.admits(joins), "admitted"),
            f"release, {case.name}": await bench.phase(bench.releases(joins), "released"),
        }
        later = list(case.joins(legs, first=legs))
        found[f"admit, {case.name}"] = await bench.phase(bench.admits(later), "admitted")
        if case.name == "ports":
            found["replay, ports"] = await bench.phase(bench.admits(later), "replayed")
        return found


async def measure_denial(redis: RedisProcess, asked: int) -> dict[str, Phase]:
    """Joins that find the hard limit reached."""
    case = full_case()
    async with bench_on(redis) as bench:
        bench.clear()
        await bench.install(case)
        await bench.admit(case.joins(FULL_AT))
        return {"denial, ports full": await bench.phase(bench.admits(case.joins(asked, first=FULL_AT)), "ports_full")}


async def measure_memory(redis: RedisProcess, case: Case, legs: int) -> dict[str, float]:
    """Bytes of Redis per live connection."""
    async with bench_on(redis) as bench:
        bench.clear()
        await bench.install(case)
        empty = bench.memory()
        await bench.admit(case.joins(legs))
        full = bench.memory()
        entries = bench.drop_outbox(case)
        without = bench.memory()
        return {
            "with outbox": (full - empty) / legs,
            "without outbox": (without - empty) / legs,
            "outbox entry": (full - without) / max(entries, 1),
        }


def measure_once(redis: RedisProcess, legs: int) -> dict[str, Phase]:
    """Every case once."""
    found: dict[str, Phase] = {}
    for case in cases(legs):
        found.update(uvloop.run(measure_case(redis, case, legs)))
    found.update(uvloop.run(measure_denial(redis, legs)))
    return found


def measure_server(redis: RedisProcess, options: argparse.Namespace) -> dict[str, Any]:
    """Every case several times."""
    print(f"\nRedis {redis.version} ({redis.origin})")
    runs = [measure_once(redis, options.legs) for _ in range(options.repetitions)]
    figures: dict[str, Any] = {}
    print(f"{'':36}{'in the script, us':>24}{'Redis CPU, us':>24}{'operations/s of a core':>32}{'alone, us':>24}")
    for name in runs[0]:
        spreads = {each.name: Spread.of([getattr(run[name], each.name) for run in runs]) for each in fields(Phase)}
        figures[name] = {key: asdict(spread) for key, spread in spreads.items()}
        texts = [spread.text(0 if key == "per_s" else 1) for key, spread in spreads.items()]
        print(f"{name:36}{texts[0]:>24}{texts[1]:>24}{texts[2]:>32}{texts[3]:>24}")
    return {
        "version": redis.version,
        "origin": redis.origin,
        "phases": figures,
        "memory_bytes": measure_memories(redis, options),
    }


def measure_memories(redis: RedisProcess, options: argparse.Namespace) -> dict[str, Any]:
    """Memory of every case, several times."""
    print(f"\nbytes of Redis per live connection, at {options.memory_legs:,} of one customer")
    figures: dict[str, Any] = {}
    for case in cases(options.memory_legs):
        runs = [uvloop.run(measure_memory(redis, case, options.memory_legs)) for _ in range(options.repetitions)]
        spreads = {key: Spread.of([run[key] for run in runs]) for key in runs[0]}
        figures[case.name] = {key: asdict(spread) for key, spread in spreads.items()}
        print(f"{case.name:24}" + "".join([f"{key}: {spread.text(0):24}" for key, spread in spreads.items()]))
    return figures


def main() -> None:
    """Runs everything and prints it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--legs", type=int, default=10_000, help="operations per phase [%(default)s]")
    parser.add_argument(
        "--memory-legs", type=int, default=50_000, help="live connections for the memory figures [%(default)s]"
    )
    parser.add_argument("--repetitions", type=int, default=3, help="[%(default)s]")
    parser.add_argument(
        "--appendonly", action="store_true", help="Redis appends every write to a file, synced each second"
    )
    parser.add_argument("--json", type=Path, help="file for the result")
    options = parser.parse_args()
    logs.configure("error", "json")
    result = Result("kernel", vars(options))
    print(heading("kernel", result))
    print(
        f"median (least - greatest) of {options.repetitions} runs of {options.legs:,} operations, {AT_ONCE} under way"
    )
    found = []
    for server in servers():
        with redis_process(server, appendonly=options.appendonly) as redis:
            found.append(measure_server(redis, options))
    result.figures["servers"] = found
    result.write(options.json)
    for objection in result.refused:
        print(f"REFUSED: {objection}", file=sys.stderr)
    sys.exit(REFUSED if result.refused else 0)


if __name__ == "__main__":
    main()
