"""Kamailio and SIPp as processes, on free ports of the loopback interface."""

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import socket
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path


HERE = Path(__file__).parent
CONFIGURATION = HERE.parents[1] / "deploy" / "kamailio" / "kamailio.cfg"
SCENARIOS = HERE / "scenarios"
LOOPBACK = "127.0.0.1"
PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
TOOLS = ("kamailio", "sipp")
IN_ANY_ORDER = "all,-abortunexp"
"""A ringing that its answer has overtaken is no fault of a call: UDP keeps no order. What never comes is waited for in vain."""

READY_S, STOP_S, CALL_S = 15.0, 10.0, 15.0

_names = itertools.count()


def missing_tools() -> list[str]:
    """Programs that these tests need and this machine lacks."""
    return [tool for tool in TOOLS if not shutil.which(tool, path=PATH)]


def free_ports(count: int) -> list[int]:
    """UDP ports that nobody holds at this moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [int(each.getsockname()[1]) for each in sockets]


@dataclass(frozen=True, slots=True)
class Call:
    """A call to place: whom, and one header of the INVITE."""

    user: str
    header: str = "X-Nothing: 0"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The final answer to an INVITE."""

    status: int
    retry_after: str = ""
    reason: str = ""


def host(meeting: str) -> Call:
    """A call that begins a meeting."""
    return Call(meeting, "X-Meeting-Role: host")


class Site:
    """The SIP side of a test: a signalling server, the conference that it leads to, its callers; logs lie in `folder`."""

    def __init__(self, folder: Path, domain: str) -> None:
        self._folder = folder
        self._domain = domain
        self._stack = contextlib.AsyncExitStack()
        self.port, self._callee_port = free_ports(2)

    async def start(self, gateway_url: str, *, callee: str = "callee_answers", **defines: str) -> None:
        """Starts Kamailio with the configuration as it is shipped, and a conference that behaves as `callee` says."""
        given = {
            "SIP_LISTEN": f"udp:{LOOPBACK}:{self.port}",
            "NEXT_HOP": f'"sip:{LOOPBACK}:{self._callee_port}"',
            "GATEWAY_URL": f'"{gateway_url}"',
            "TRUSTED_UPSTREAMS": f'"{LOOPBACK}"',
            "RELEASE_PAUSE_S": "1",
            **defines,
        }
        runtime = self._folder / "run"
        runtime.mkdir()
        options = [option for name, value in given.items() for option in ("-A", f"{name}={value}")]
        command = ("kamailio", "-DD", "-E", "-f", str(CONFIGURATION), "-Y", str(runtime), *options)
        await self._stack.enter_async_context(_running(self._folder / "kamailio.log", *command))
        arguments = ("-sf", str(SCENARIOS / f"{callee}.xml"), "-p", str(self._callee_port), *self._logs("callee"))
        await self._stack.enter_async_context(_running(self._folder / "callee.out", *_sipp(*arguments)))
        async with asyncio.timeout(READY_S):
            await _until_answered(self.port)
            await _until_bound(self._callee_port)

    async def stop(self) -> None:
        """Ends what was started, and prints the logs, which a test that fails then shows."""
        await self._stack.aclose()
        for log in sorted(self._folder.glob("*.log")):
            text = log.read_text(errors="replace")
            print(f"--- {log.name}\n{text}")  # noqa: T201 - shown by pytest with a failure

    async def place(
        self, *calls: Call, scenario: str = "caller_talks", rate: int = 10, talk_s: float = 0.0, ids: str | None = None
    ) -> list[Outcome]:
        """Places calls, `rate` in a second, and waits until they are over. Final answers in the order of their arrival.

        Call-IDs and tags are made of `ids`, so that they can be repeated; otherwise they are new.
        """
        name = f"{scenario}-{next(_names)}"
        injected = self._folder / f"{name}.csv"
        injected.write_text("SEQUENTIAL\n" + "".join([f"{call.user};{call.header}\n" for call in calls]))
        (port,) = free_ports(1)
        options = _sipp(
            f"{LOOPBACK}:{self.port}", "-sf", str(SCENARIOS / f"{scenario}.xml"), "-p", str(port),
            "-inf", str(injected), "-key", "domain", self._domain, "-key", "leg", ids or name,
            "-cid_str", f"%u-{ids or name}", "-m", str(len(calls)), "-l", str(len(calls)), "-r", str(rate),
            "-d", str(int(talk_s * 1000)), "-default_behaviors", IN_ANY_ORDER, *self._logs(name),
        )  # fmt: skip
        async with _running(self._folder / f"{name}.out", *options) as process:
            code = await asyncio.wait_for(process.wait(), CALL_S + talk_s + len(calls) / rate)
        assert 0 == code, f"SIPp ended with {code}: {self._read(f'{name}.errors.log')}"
        return [_outcome(line) for line in self._read(f"{name}.actions.log").splitlines() if line]

    def invited(self) -> list[tuple[str, str]]:
        """Of each INVITE that reached the conference: its Route and its X-Meeting-Role."""
        lines = [line.split("|") for line in self._read("callee.actions.log").splitlines() if "|" in line]
        return [(route.strip(), role.strip()) for _, route, role, _ in lines]

    def _logs(self, name: str) -> tuple[str, ...]:
        actions, errors = self._folder / f"{name}.actions.log", self._folder / f"{name}.errors.log"
        return ("-trace_logs", "-log_file", str(actions), "-trace_err", "-error_file", str(errors))

    def _read(self, name: str) -> str:
        path = self._folder / name
        return path.read_text(errors="replace") if path.exists() else ""


def _sipp(*options: str) -> Sequence[str]:
    (control,) = free_ports(1)
    return ("sipp", *options, "-i", LOOPBACK, "-ci", LOOPBACK, "-cp", str(control), "-nostdin")


def _outcome(line: str) -> Outcome:
    status, retry_after, reason, _ = line.split("|")
    return Outcome(int(status), retry_after.strip(), reason.strip())


@contextlib.asynccontextmanager
async def _running(output: Path, *command: str) -> AsyncIterator[Process]:
    """A process and its children in a group of their own, ended with the context."""
    program = shutil.which(command[0], path=PATH)
    assert program, f"{command[0]} is missing"
    with output.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            program, *command[1:], stdin=DEVNULL, stdout=file, stderr=file, start_new_session=True, cwd=output.parent,
            env={**os.environ, "TERM": "dumb"},
        )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            # SIPp as callee takes no notice of SIGTERM.
            process.send_signal(signal.SIGKILL if command[0] == "sipp" else signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


async def _until_answered(port: int) -> None:
    """Returns when a SIP server answers on that port."""
    request = (
        f"OPTIONS sip:{LOOPBACK}:{port} SIP/2.0\r\nVia: SIP/2.0/UDP {LOOPBACK}:{{mine}};branch=z9hG4bK-ready\r\n"
        f"From: <sip:test@{LOOPBACK}>;tag=1\r\nTo: <sip:{LOOPBACK}>\r\nCall-ID: ready\r\nCSeq: 1 OPTIONS\r\n"
        "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((LOOPBACK, port))
        probe.setblocking(False)
        message = request.format(mine=probe.getsockname()[1]).encode()
        while True:
            with contextlib.suppress(OSError):
                probe.send(message)
                await asyncio.sleep(0.02)
                if probe.recv(4096):
                    return
            await asyncio.sleep(0.02)


async def _until_bound(port: int) -> None:
    """Returns when a process has bound that UDP port."""
    while True:
        if _is_bound(port):
            return
        await asyncio.sleep(0.02)


def _is_bound(port: int) -> bool:
    return f":{port:04X} " in Path("/proc/net/udp").read_text()
