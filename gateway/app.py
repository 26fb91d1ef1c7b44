"""The composition root: everything is built here, and nothing connects before it is told to."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import structlog
from aiohttp import web

from gateway.api import (
    addressed,
    assists,
    customers,
    decisions,
    employee_counts,
    health,
    http,
    ledger_reports,
    nodes,
    openapi,
    operators,
    persons,
    reports,
)
from gateway.api.protocol import Runner
from gateway.api.provisioning import offer_faults, with_numbers_kept
from gateway.companion import ledger_process
from gateway.core import Core, Telemetry, build_core
from gateway.domain.catalogue import CatalogueInvalid, Customer, offer_groups
from gateway.domain.changes import VersionMismatch, replaced
from gateway.domain.telephones import Telephones
from gateway.embedded import EmbeddedRedis
from gateway.entitlements import Entitlements
from gateway.ledger.database import Database
from gateway.ledger.telling import tell_what_is_remembered
from gateway.number_key import number_key
from gateway.on_disk import open_files
from gateway.people import People
from gateway.person_traces import PersonTraces
from gateway.settings import Settings
from gateway.telemetry import metrics
from gateway.telemetry.customers import CustomerMetrics
from gateway.telemetry.findings import FindingMetrics
from gateway.telemetry.ledger import LedgerMetrics
from gateway.tokens import Tokens


KEEPALIVE_S = 75.0
"""aiohttp's own default here is an hour; it is also the time that headers may take."""

LINGER_S = 1.0
"""How long what is left of a refused body is read, so that its sender hears the refusal; aiohttp's own default is ten seconds."""

SHUTDOWN_S = 10.0
TOKENS_REFRESH_S = 1.0

_log = structlog.get_logger("gateway")


@dataclass(slots=True)
class Gateway:
    """A running gateway and where it listens."""

    core: Core
    url: str
    admin_url: str
    redis: str
    embedded: EmbeddedRedis | None = field(default=None)


def build_apps(
    core: Core,
    telemetry: Telemetry,
    tokens: Tokens,
    telephones: Telephones,
    database: Database | None = None,
    *,
    metrics_customers_max: int,
) -> tuple[web.Application, web.Application]:
    """The admission application and the admin application."""
    apps = []
    for _ in range(2):
        app = web.Application(middlewares=[http.problems], client_max_size=http.LARGE_BODY_BYTES_MAX + 1)
        app[http.TOKENS] = tokens
        app[http.TELEPHONES] = telephones
        app[health.CHECKS] = core.checks
        app[decisions.ADMISSION] = core.admission
        app.on_response_prepare.append(health.moving_on(lambda: core.draining))
        app[nodes.HEARTBEATS] = core.heartbeats
        app.add_routes(health.routes())
        apps.append(app)
    admission, admin = apps
    admission.add_routes(decisions.routes())
    admission.add_routes(nodes.routes())
    admin[addressed.ENTITLEMENTS] = core.entitlements
    admin[addressed.REPORTS] = core.reports
    admin[reports.COMPLIANCE] = core.compliance
    admin[reports.EVENTS] = core.events
    admin[ledger_reports.LEDGER] = ledger_reports.LedgerAccess.to(database)
    admin[persons.PEOPLE] = People(PersonTraces(core.store, core.kernel, core.entitlements), database)
    admin.add_routes(nodes.admin_routes())
    for group in (customers, operators, reports, ledger_reports, employee_counts, assists, persons, openapi):
        admin.add_routes(group.routes())
    findings = FindingMetrics(core.compliance, core.reports, metrics_customers_max)
    admin.on_cleanup.append(findings.stop)
    customer_metrics = CustomerMetrics(core.reports, metrics_customers_max)
    admin.add_routes(metrics.routes(telemetry.metrics, customer_metrics, findings, LedgerMetrics(database)))
    return admission, admin


@contextlib.asynccontextmanager
async def running(settings: Settings, catalogue: Sequence[Customer] = ()) -> AsyncIterator[Gateway]:
    """A gateway that serves as long as the context lasts.

    Raises:
        EmbeddedRedisError: the embedded Redis cannot be started.
        OSError: a port is taken.
        MemoryFailed: what the gateway remembers on disk cannot be opened.
        NumberKeyError: the key of telephone numbers cannot be used.
        NumberKeyMissing: the catalogue blocks numbers, and there is no key.
        CatalogueInvalid: it holds numbers under another key, or an offer that a customer of the store has (T10.1).
    """
    telemetry = Telemetry()
    tokens = Tokens(settings.tokens, required=settings.listens_beyond_loopback)
    telephones = Telephones(number_key(settings))
    catalogue = [
        with_numbers_kept(customer, telephones, f"$.customers[{place}]") for place, customer in enumerate(catalogue)
    ]
    async with contextlib.AsyncExitStack() as stack:
        embedded = None
        url = settings.redis_url
        if url is None:
            embedded = EmbeddedRedis(settings.data_dir)
            stack.push_async_callback(embedded.stop)
            url = await embedded.start()
        database = await _ledger(settings, url, stack)
        memory, journal = await open_files(settings.data_dir, settings.worker, settings.workers, stack)
        budget_s = settings.decision_budget_ms / 1000
        core = build_core(
            url, budget_s=budget_s, telemetry=telemetry, lanes=2, memory=memory, journal=journal,
            outbox_max=settings.outbox_max if settings.has_ledger else None,
        )  # fmt: skip
        stack.push_async_callback(core.close)
        await _start(core, catalogue)
        admission, admin = build_apps(
            core, telemetry, tokens, telephones, database, metrics_customers_max=settings.metrics_customers_max
        )
        work = {"tokens": _refresh_tokens(tokens), **core.background()}
        if database is not None:
            work["telling"] = tell_what_is_remembered(memory, database)
        for name, each in work.items():
            task = asyncio.create_task(each, name=name)
            task.add_done_callback(_told)
            stack.push_async_callback(_stop, task)
        urls = await _listen_both(stack, settings, admission, admin)
        redis = f"embedded Redis {embedded.server.version}" if embedded and embedded.server else "external Redis"
        yield Gateway(core, urls[0], urls[1], redis, embedded)
        core.draining = True


async def _start(core: Core, catalogue: Sequence[Customer]) -> None:
    """Connects, and loads the catalogue if the store is there."""
    if await core.start():
        await _check_offers(core, catalogue)
        await install(core.entitlements, catalogue)
    elif catalogue:
        _log.warning(
            "catalogue.deferred",
            detail="the store is away; start again to load the catalogue",
            error=core.store.last_error,
        )


async def _ledger(settings: Settings, redis_url: str, stack: contextlib.AsyncExitStack) -> Database | None:
    """The database of the ledger, and the process that writes it, unless who supervises this one has started that."""
    if (url := settings.ledger) is None:
        return None
    if not settings.is_supervised:
        await stack.enter_async_context(ledger_process(settings, redis_url))
    database = Database.later(url)
    stack.push_async_callback(database.close)
    return database


def _told(task: asyncio.Task[None]) -> None:
    """None of what goes on beside requests ends by itself."""
    if not task.cancelled():
        _log.error("background.ended", task=task.get_name(), exc_info=task.exception())


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def install(entitlements: Entitlements, catalogue: Sequence[Customer]) -> tuple[int, int]:
    """Installs customers that the store does not know; those it knows were changed through the API and stay. How many of each."""
    installed = 0
    for customer in catalogue:
        with contextlib.suppress(VersionMismatch):
            await entitlements.change(customer.id, replaced(customer, 0), "install", "catalogue")
            installed += 1
    if catalogue:
        _log.info("catalogue.loaded", installed=installed, kept=len(catalogue) - installed)
    return installed, len(catalogue) - installed


async def _check_offers(core: Core, catalogue: Sequence[Customer]) -> None:
    """T10.1 of the customers that are to be installed. Raises CatalogueInvalid."""
    if not any(offer_groups(customer) for customer in catalogue):
        return
    known = await core.reports.customers()
    faults = [
        fault
        for place, customer in enumerate(catalogue)
        if customer.id not in known
        for fault in await offer_faults(customer, core.entitlements, core.reports, f"$.customers[{place}]")
    ]
    if faults:
        raise CatalogueInvalid(faults)


async def _listen_both(
    stack: contextlib.AsyncExitStack, settings: Settings, admission: web.Application, admin: web.Application
) -> tuple[str, str]:
    """Serves both applications until the stack is left; their URLs."""
    runners: list[Runner] = []
    stack.push_async_callback(_close, runners)
    return (
        await _listen(runners, admission, settings.host, settings.port, settings.listen_fds),
        await _listen(runners, admin, settings.admin_host, settings.admin_port),
    )


async def _listen(
    runners: list[Runner], app: web.Application, host: str, port: int, inherited: Sequence[int] = ()
) -> str:
    """Serves the application, on inherited sockets where there are some; its URL."""
    runner = Runner(
        app,
        access_log=None,
        auto_decompress=False,
        keepalive_timeout=KEEPALIVE_S,
        lingering_time=LINGER_S,
        shutdown_timeout=SHUTDOWN_S,
    )
    await runner.setup()
    runners.append(runner)
    for descriptor in inherited:
        await web.SockSite(runner, socket.socket(fileno=descriptor)).start()
    if not inherited:
        await web.TCPSite(runner, host, port).start()
    address = runner.addresses[0]
    shown = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"http://{shown}:{address[1]}"


async def _close(runners: Sequence[Runner]) -> None:
    """Ends all listeners, then the requests under way, within SHUTDOWN_S."""
    await asyncio.gather(*[runner.cleanup() for runner in runners])


async def _refresh_tokens(tokens: Tokens) -> None:
    """Takes over changes of the file of tokens, so that one can be revoked without a restart."""
    while True:
        await asyncio.sleep(TOKENS_REFRESH_S)
        try:
            tokens.refresh()
        except (OSError, ValueError) as error:
            _log.error("tokens.unreadable", error=str(error))
