"""Decisions over HTTP: peak throughput, latency at given rates, and what many calls in one write bring.

`python -m benchmarks.bench_http`. Half of the requests are admits, half are releases. Exit code 3: figures were refused, because the load
generator itself was late or an answer was wrong, or an assertion failed.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.common import REFUSED, RedisProcess, Result, Spread, heading, redis_process, servers
from benchmarks.load import Load, Run, has_wrk, own, wrk
from benchmarks.servers import HttpServer, gateway, one_call_per_request
from benchmarks.traffic import customers
from gateway.domain.catalogue import Customer


Start = Callable[[RedisProcess, Sequence[Customer]], AbstractContextManager[HttpServer]]


@dataclass(slots=True)
class Measured:
    """Runs by what was run, one per repetition."""

    runs: dict[str, list[Run]] = field(default_factory=dict)

    def add(self, name: str, run: Run) -> Run:
        """Keeps a run and says what it showed."""
        self.runs.setdefault(name, []).append(run)
        latency = run.latency_ms.get("admit") or run.latency_ms["all"]
        figures = f"{run.per_s:9,.0f}/s    p99 {latency['99.0']:8.2f} ms    gateway {run.gateway_cpu_us:6.1f} us"
        print(f"  {name:42}{figures}", flush=True)
        return run

    def spread(self, name: str, of: Callable[[Run], float]) -> Spread:
        """One figure of the runs with that name."""
        return Spread.of([of(run) for run in self.runs[name]])


def main() -> None:
    """Measures, prints, and judges."""
    options = _options()
    result = Result("http", vars(options))
    print(heading("http", result))
    print(
        f"{options.repetitions} repetitions; each run {options.seconds:g} s, {options.connections} connections in closed loops, "
        f"{options.processes} sending process(es)"
    )
    measured = Measured()
    for number in range(options.repetitions):
        print(f"repetition {number + 1}")
        _repetition(options, measured, number, result)
    _report(measured)
    result.figures = {name: [asdict(run) for run in runs] for name, runs in measured.runs.items()}
    result.refused = _objections(measured, options)
    result.write(options.json)
    for objection in result.refused:
        print(f"REFUSED: {objection}", file=sys.stderr)
    sys.exit(REFUSED if result.refused else 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of each run [%(default)s]")
    parser.add_argument("--repetitions", type=int, default=3, help="[%(default)s]")
    parser.add_argument("--connections", type=int, default=64, help="HTTP connections of closed loops [%(default)s]")
    parser.add_argument(
        "--open-connections", type=int, default=256, help="HTTP connections of open loops, at most [%(default)s]"
    )
    parser.add_argument("--processes", type=int, default=1, help="sending processes [%(default)s]")
    parser.add_argument("--customers", type=int, default=10, help="[%(default)s]")
    parser.add_argument(
        "--fractions", type=_numbers, default=[0.25, 0.5, 0.75], help="of the peak, for open loops [0.25,0.5,0.75]"
    )
    parser.add_argument(
        "--per-s", type=_numbers, default=[], help="rates of open loops in requests per second, instead of fractions"
    )
    parser.add_argument("--no-comparison", action="store_true", help="leave out the server with one call per request")
    parser.add_argument(
        "--appendonly", action="store_true", help="Redis appends every write to a file, synced each second"
    )
    parser.add_argument(
        "--lag-p99-ms-max", type=float, default=5.0, help="a result is refused if the generator is later [%(default)s]"
    )
    parser.add_argument(
        "--assert-p99-ms", type=float, help="exit 3 if the median p99 of admits is above, at any of the rates"
    )
    parser.add_argument("--json", type=Path, help="file for the result")
    return parser.parse_args()


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def _repetition(options: argparse.Namespace, measured: Measured, number: int, result: Result) -> None:
    closed = Load(options.seconds, options.connections, options.processes, options.customers)
    opened = Load(options.seconds, options.open_connections, options.processes, options.customers)
    with _started(gateway, options, result) as server:
        peak = _peaks(server, closed, measured, number)
        rates = [(f"{rate:g}/s", rate) for rate in options.per_s]
        rates = rates or [(f"{part:.0%} of the peak", part * peak) for part in options.fractions]
        for step, (name, rate) in enumerate(rates):
            measured.add(f"gateway, open loop, {name}", own(server, opened, f"o{number}{step}", rate))
    if not options.no_comparison:
        with _started(one_call_per_request, options, result) as server:
            _peaks(server, closed, measured, number)


@contextmanager
def _started(start: Start, options: argparse.Namespace, result: Result) -> Iterator[HttpServer]:
    """A server on a Redis of its own, so that none finds what another has left."""
    with redis_process(servers()[0], appendonly=options.appendonly) as redis:
        result.machine["redis"] = f"{redis.version} ({redis.origin})"
        with start(redis, customers(options.customers)) as server:
            yield server


def _peaks(server: HttpServer, load: Load, measured: Measured, number: int) -> float:
    """The greatest rates that closed loops reach; that of the own generator, which open loops are made of too."""
    if has_wrk():
        measured.add(f"{server.name}, closed loop, wrk", wrk(server, load, f"w{number}"))
    return measured.add(f"{server.name}, closed loop, own", own(server, load, f"c{number}")).per_s


def _report(measured: Measured) -> None:
    print(f"\n{'median (least - greatest)':42}{'requests/s':>26}{'gateway CPU, us':>22}{'Redis CPU, us':>20}")
    for name in measured.runs:
        per_s = measured.spread(name, lambda run: run.per_s).text(0)
        gateway_us = measured.spread(name, lambda run: run.gateway_cpu_us).text()
        redis_us = measured.spread(name, lambda run: run.redis_cpu_us).text()
        print(f"{name:42}{per_s:>26}{gateway_us:>22}{redis_us:>20}")
    print(f"\n{'admits, from when they were due, ms':42}{'p50':>22}{'p99':>22}{'p99.9':>24}{'lag p99':>22}")
    for name in _open_loops(measured):
        shown = [
            measured.spread(name, _latency("admit", percentile)).text(2) for percentile in ("50.0", "99.0", "99.9")
        ]
        lag = measured.spread(name, lambda run: run.lag_ms["99.0"]).text(2)
        print(f"{name:42}{shown[0]:>22}{shown[1]:>22}{shown[2]:>24}{lag:>22}")
    for loop in ("wrk", "own"):
        _report_ratio(measured, loop)


def _report_ratio(measured: Measured, loop: str) -> None:
    ours = measured.runs.get(f"gateway, closed loop, {loop}")
    theirs = measured.runs.get(f"one call per request, closed loop, {loop}")
    if ours and theirs:
        pairs = list(zip(ours, theirs, strict=True))
        rates = Spread.of([one.per_s / other.per_s for one, other in pairs])
        cpu = Spread.of([other.gateway_cpu_us / one.gateway_cpu_us for one, other in pairs])
        print(
            f"\ngateway to one call per request, {loop}: {rates.text(2)} times the requests/s; the latter takes {cpu.text(2)} times the CPU"
        )


def _latency(kind: str, percentile: str) -> Callable[[Run], float]:
    return lambda run: run.latency_ms[kind][percentile]


def _open_loops(measured: Measured) -> list[str]:
    return [name for name in measured.runs if "open loop" in name]


def _objections(measured: Measured, options: argparse.Namespace) -> list[str]:
    """Why figures must not be used."""
    found = []
    for name, runs in measured.runs.items():
        found += [f"{name}: {count} x {told}" for run in runs for told, count in run.unexpected.items()]
    for name in _open_loops(measured):
        lag = measured.spread(name, lambda run: run.lag_ms["99.0"])
        if lag.high > options.lag_p99_ms_max:
            late = f"the generator was late, p99 {lag.high:.1f} ms in one run; at most {options.lag_p99_ms_max:g} ms is taken"
            found.append(f"{name}: {late}")
        p99 = measured.spread(name, _latency("admit", "99.0"))
        if options.assert_p99_ms is not None and p99.median > options.assert_p99_ms:
            slow = f"p99 of admits is {p99.median:.1f} ms; asserted was at most {options.assert_p99_ms:g} ms"
            found.append(f"{name}: {slow}")
    return found


if __name__ == "__main__":
    main()
