"""The composition root: everything is built here, and nothing connects before it is told to."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import structlog
from aiohttp import web

from gateway.admission import Admission
from gateway.api import (
    addressed,
    assists,
    customers,
    decisions,
    employee_counts,
    health,
    http,
    openapi,
    operators,
    reports,
)
from gateway.api.protocol import Runner
from gateway.api.provisioning import offer_faults, with_numbers_kept
from gateway.compliance_reports import ComplianceReports
from gateway.domain.catalogue import CatalogueInvalid, Customer, offer_groups
from gateway.domain.changes import VersionMismatch, replaced
from gateway.domain.telephones import Telephones
from gateway.embedded import EmbeddedRedis
from gateway.entitlements import Entitlements
from gateway.event_reports import EventReports
from gateway.events import Event, StoreConnected, StoreLost
from gateway.housekeeping import Housekeeping
from gateway.kernel import scripts
from gateway.kernel.connection import StoreConnection
from gateway.kernel.errors import StoreError
from gateway.kernel.kernel import Kernel
from gateway.number_key import number_key
from gateway.reports import Reports
from gateway.settings import Settings
from gateway.telemetry import metrics
from gateway.telemetry.customers import CustomerMetrics
from gateway.telemetry.findings import FindingMetrics
from gateway.telemetry.logs import Logs
from gateway.tokens import Tokens


KEEPALIVE_S = 75.0
"""aiohttp's own default here is an hour; it is also the time that headers may take."""

SHUTDOWN_S = 10.0
TOKENS_REFRESH_S = 1.0
HOUSEKEEPING_S = 6 * 3600.0

_log = structlog.get_logger("gateway")


class Telemetry:
    """Passes events on to all listeners; the core has one function to call."""

    def __init__(self) -> None:
        self.metrics = metrics.Metrics()
        self._listeners = (self.metrics.listen, Logs().listen)

    def emit(self, event: Event) -> None:
        """Tells everybody."""
        for listen in self._listeners:
            listen(event)

    def store_connected(self, version: str) -> None:
        """The store connection is ready."""
        self.emit(StoreConnected(version))

    def store_lost(self, error: str) -> None:
        """The store connection was lost."""
        self.emit(StoreLost(error))


@dataclass(slots=True)
class Core:
    """The gateway without its listeners."""

    store: StoreConnection
    kernel: Kernel
    entitlements: Entitlements
    admission: Admission
    reports: Reports
    compliance: ComplianceReports
    events: EventReports
    draining: bool = False

    def checks(self) -> dict[str, str]:
        """Readiness by component."""
        return {
            "store": "ok" if self.store.is_ready else f"not connected: {self.store.last_error or 'connecting'}",
            "gateway": "draining" if self.draining else "ok",
        }


@dataclass(slots=True)
class Gateway:
    """A running gateway and where it listens."""

    core: Core
    url: str
    admin_url: str
    redis: str
    embedded: EmbeddedRedis | None = field(default=None)


def build_core(url: str, *, budget_s: float, telemetry: Telemetry, clock: str | None = None) -> Core:
    """The parts of a gateway on the store at `url`. `clock` is for tests that control time."""
    loaded = scripts.load(clock)
    store = StoreConnection(url, loaded.values(), telemetry)
    kernel = Kernel(store, loaded, decision_timeout_s=budget_s, emit=telemetry.emit)
    entitlements = Entitlements(kernel, telemetry.emit)
    admission = Admission(kernel, entitlements, telemetry.emit, budget_s=budget_s)
    reports = Reports(kernel, entitlements)
    return Core(
        store,
        kernel,
        entitlements,
        admission,
        reports,
        ComplianceReports(kernel, reports),
        EventReports(kernel, entitlements),
    )


def build_apps(
    core: Core, telemetry: Telemetry, tokens: Tokens, telephones: Telephones, *, metrics_customers_max: int
) -> tuple[web.Application, web.Application]:
    """The admission application and the admin application."""
    apps = []
    for _ in range(2):
        app = web.Application(middlewares=[http.problems], client_max_size=http.LARGE_BODY_BYTES_MAX + 1)
        app[http.TOKENS] = tokens
        app[http.TELEPHONES] = telephones
        app[health.CHECKS] = core.checks
        app[decisions.ADMISSION] = core.admission
        app.add_routes(health.routes())
        apps.append(app)
    admission, admin = apps
    admission.add_routes(decisions.routes())
    admin[addressed.ENTITLEMENTS] = core.entitlements
    admin[addressed.REPORTS] = core.reports
    admin[reports.COMPLIANCE] = core.compliance
    admin[reports.EVENTS] = core.events
    for group in (customers, operators, reports, employee_counts, assists, openapi):
        admin.add_routes(group.routes())
    findings = FindingMetrics(core.compliance, core.reports, metrics_customers_max)
    admin.on_cleanup.append(findings.stop)
    admin.add_routes(metrics.routes(telemetry.metrics, CustomerMetrics(core.reports, metrics_customers_max), findings))
    return admission, admin


@contextlib.asynccontextmanager
async def running(settings: Settings, catalogue: Sequence[Customer] = ()) -> AsyncIterator[Gateway]:
    """A gateway that serves as long as the context lasts.

    Raises:
        EmbeddedRedisError: the embedded Redis cannot be started.
        OSError: a port is taken.
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
        core = build_core(url, budget_s=settings.decision_budget_ms / 1000, telemetry=telemetry)
        stack.push_async_callback(core.store.close)
        if await core.store.start():
            await _check_offers(core, catalogue)
            await install(core.entitlements, catalogue)
        elif catalogue:
            _log.warning(
                "catalogue.deferred",
                detail="the store is away; start again to load the catalogue",
                error=core.store.last_error,
            )
        admission, admin = build_apps(core, telemetry, tokens, telephones, metrics_customers_max=settings.metrics_customers_max)
        urls = [
            await _listen(stack, admission, settings.host, settings.port),
            await _listen(stack, admin, settings.admin_host, settings.admin_port),
        ]
        for name, work in {"tokens": _refresh_tokens(tokens), "housekeeping": _keep_house(core)}.items():
            stack.callback(asyncio.create_task(work, name=name).cancel)
        redis = f"embedded Redis {embedded.server.version}" if embedded and embedded.server else "external Redis"
        yield Gateway(core, urls[0], urls[1], redis, embedded)
        core.draining = True


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


async def _listen(stack: contextlib.AsyncExitStack, app: web.Application, host: str, port: int) -> str:
    runner = Runner(
        app, access_log=None, auto_decompress=False, keepalive_timeout=KEEPALIVE_S, shutdown_timeout=SHUTDOWN_S
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, host, port).start()
    address = runner.addresses[0]
    shown = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"http://{shown}:{address[1]}"


async def _keep_house(core: Core) -> None:
    """Forgets, every now and then, what nothing asks for any more."""
    housekeeping = Housekeeping(core.kernel, core.entitlements)
    while True:
        await asyncio.sleep(HOUSEKEEPING_S)
        try:
            _log.info("housekeeping.done", forgotten=await housekeeping.run())
        except StoreError:
            continue  # the core has told of it; the next time is early enough
        except Exception:  # noqa: BLE001 - logged with its trace; a fault in one customer must not end it for all and for ever
            _log.exception("housekeeping.failed")


async def _refresh_tokens(tokens: Tokens) -> None:
    """Takes over changes of the file of tokens, so that one can be revoked without a restart."""
    while True:
        await asyncio.sleep(TOKENS_REFRESH_S)
        try:
            tokens.refresh()
        except (OSError, ValueError) as error:
            _log.error("tokens.unreadable", error=str(error))
