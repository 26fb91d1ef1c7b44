"""Structured logs: `event` is `noun.verb`, everything else a key. No telephone number, no token, no person ever stands in one."""

import logging
import sys
import time
from typing import Literal

import structlog

from gateway.events import (
    CustomerChanged,
    Decided,
    EpochBegan,
    Event,
    LegsReclaimed,
    LoadShed,
    OutboxPressed,
    Recovered,
    Restored,
    StoreConnected,
    StoreFailed,
    StoreLost,
    StoreStalled,
    SweepHeld,
)


LINES_PER_SECOND_MAX = 50
"""Denials and store failures that are logged each second; a storm must not turn into a storm of writes."""


def configure(level: str, form: Literal["json", "console"]) -> None:
    """Sets up structlog for the process: JSON lines for machines, or coloured text, on standard error."""
    renderer = (
        structlog.processors.JSONRenderer()
        if form == "json"
        # The default would show the variables of each function, and so people.
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    # aiohttp tells of every malformed request with a traceback and the request line: a scan would flood the log, and ids stand in URLs.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            *([structlog.processors.format_exc_info] if form == "json" else []),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


class Logs:
    """Writes events that a person may have to look into; those that can come in storms within a bound per second."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("gateway")
        self._second = 0
        self._lines = 0
        self._suppressed = 0

    def listen(self, event: Event) -> None:
        """Logs an event."""
        match event:
            case Decided(operation="admit" | "move", decision=decision) if not decision.admitted or decision.would_deny:
                if self._may_write(logging.INFO):
                    self._log.info(
                        "join.denied" if not decision.admitted else "join.would_deny",
                        operation=event.operation,
                        customer=decision.join.customer,
                        connection=decision.join.connection,
                        service=decision.join.service.value,
                        endpoint=decision.join.endpoint.value,
                        reason=(decision.would_deny or decision.reason).value,
                    )
            case StoreFailed():
                if self._may_write(logging.WARNING):
                    self._log.warning(
                        "store.failed", operation=event.operation, unknown=event.unknown, error=event.error
                    )
            case StoreConnected():
                self._log.info("store.connected", version=event.version)
            case StoreLost():
                if self._may_write(logging.WARNING):
                    self._log.warning("store.lost", error=event.error)
            case CustomerChanged():
                self._log.info(
                    "customer.changed", customer=event.customer, change=event.change, version=event.version, by=event.by
                )
            case _:
                self._listen_to_liveness(event)

    def _listen_to_liveness(self, event: Event) -> None:
        match event:
            case LegsReclaimed() if self._may_write(logging.INFO):
                self._log.info("legs.reclaimed", customer=event.customer, legs=event.legs, cause=event.cause)
            case SweepHeld() if self._may_write(logging.WARNING):
                self._log.warning("sweep.held", bucket=event.bucket, lapsed=event.lapsed, legs=event.legs)
            case EpochBegan() if self._may_write(logging.WARNING):
                level = logging.ERROR if event.lost else logging.WARNING
                self._log.log(level, "epoch.began", bucket=event.bucket, epoch=event.epoch, lost=event.lost)
            case Restored():
                self._log.warning(
                    "bucket.restored", bucket=event.bucket, customers=event.customers, registers=event.registers
                )
            case Recovered():
                self._log.info("bucket.recovered", bucket=event.bucket)
            case StoreStalled() if self._may_write(logging.WARNING):
                self._log.warning("store.stalled" if event.stalled else "store.answers")
            case LoadShed():
                self._log.warning("load.shed" if event.behind else "load.kept_up")
            case OutboxPressed() if self._may_write(logging.ERROR):
                level = logging.INFO if event.now == "none" else logging.ERROR
                self._log.log(level, "outbox.pressed", bucket=event.bucket, pressure=event.now, entries=event.entries)

    def _may_write(self, level: int) -> bool:
        if not self._log.is_enabled_for(level):
            return False
        second = int(time.monotonic())
        if second != self._second:
            if self._suppressed:
                self._log.warning("log.suppressed", lines=self._suppressed)
            self._second, self._lines, self._suppressed = second, 0, 0
        self._lines += 1
        if self._lines > LINES_PER_SECOND_MAX:
            self._suppressed += 1
            return False
        return True
