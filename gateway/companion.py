"""The process that writes the ledger, beside a gateway: started with it, started again when it ends, ended after it."""

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import structlog

from gateway.processes import end_with_parent
from gateway.settings import Settings


PAUSE_MIN_S, PAUSE_MAX_S = 0.5, 30.0
STEADY_S = 30.0
STOP_TIMEOUT_S = 20.0

_log = structlog.get_logger("gateway.companion")


@contextlib.asynccontextmanager
async def ledger_process(settings: Settings, redis_url: str) -> AsyncIterator[None]:
    """Keeps `gateway ledger run` going as long as the context lasts; then lets it read what is left, and ends it."""
    stopping = asyncio.Event()
    keeper = asyncio.create_task(_keep(_environment(settings, redis_url), stopping), name="ledger process")
    try:
        yield
    finally:
        stopping.set()
        await keeper


async def _keep(environment: Mapping[str, str], stopping: asyncio.Event) -> None:
    pause_s, loop = PAUSE_MIN_S, asyncio.get_running_loop()
    while not stopping.is_set():
        began = loop.time()
        try:
            process = await asyncio.create_subprocess_exec(
                *_command(), env=environment, start_new_session=True, preexec_fn=end_with_parent()
            )
        except OSError as error:
            _log.error("ledger_process.not_started", error=str(error))
        else:
            await _until_ended(process, stopping)
            if not stopping.is_set():
                _log.error("ledger_process.restarted", exit_code=process.returncode, pause_s=pause_s)
        pause_s = PAUSE_MIN_S if loop.time() - began > STEADY_S else min(2 * pause_s, PAUSE_MAX_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await stopping.wait()


async def _until_ended(process: Process, stopping: asyncio.Event) -> None:
    """Waits until the process ends by itself, or has been ended."""
    ended, told = asyncio.create_task(process.wait()), asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait((ended, told), return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await asyncio.wait((ended,), timeout=STOP_TIMEOUT_S)
        if not ended.done():
            _log.error("ledger_process.killed", pid=process.pid)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await ended
    finally:
        told.cancel()


def _command() -> list[str]:
    """As this process was run: `python -m` would look for modules in the working directory first."""
    isolated = [] if {"", str(Path.cwd())} & set(sys.path) else ["-P"]
    return [sys.executable, *isolated, "-m", "gateway", "ledger", "run"]


def _environment(settings: Settings, redis_url: str) -> dict[str, str]:
    """The settings that the ledger needs; a command line could be read by everybody on the machine."""
    wanted = {"data_dir", "ledger_url", "outbox_max", "log_level", "log_format", "webhook_url", "webhook_secret_file"}
    values = settings.model_dump(mode="json", include=wanted, exclude_none=True)
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith("GATEWAY_") or name.upper() == "GATEWAY_WEBHOOK_SECRET"
    }
    return {
        **inherited,
        **{f"GATEWAY_{name.upper()}": str(value) for name, value in values.items()},
        "GATEWAY_REDIS_URL": redis_url,
    }
