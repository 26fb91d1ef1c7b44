"""Arrows point one way, and modules stay small enough to read."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import gateway


ROOT = Path(gateway.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
LINES_MAX, FUNCTION_LINES_MAX = 300, 50

OUTSIDE = ("aiohttp", "redis", "hiredis", "prometheus_client", "structlog")
ABOVE = ("gateway.api", "gateway.telemetry", "gateway.core", "gateway.app", "gateway.cli", "gateway.demo")

FORBIDDEN = {
    "domain": (
        *OUTSIDE,
        *ABOVE,
        "asyncio",
        "gateway.kernel",
        "gateway.events",
        "gateway.admission",
        "gateway.entitlements",
    ),
    "kernel": (
        "aiohttp",
        "prometheus_client",
        "structlog",
        *ABOVE,
        "gateway.admission",
        "gateway.entitlements",
        "gateway.reports",
    ),
    "api": (
        "redis",
        "hiredis",
        "prometheus_client",
        "gateway.kernel.keys",
        "gateway.kernel.scripts",
        "gateway.app",
        "gateway.cli",
    ),
    "telemetry": ("redis", "hiredis", "gateway.kernel.keys", "gateway.kernel.connection", "gateway.app", "gateway.cli"),
    "admission.py": (*OUTSIDE, *ABOVE),
    "entitlements.py": ("aiohttp", "redis", "hiredis", "prometheus_client", *ABOVE),
    "reports.py": (*OUTSIDE, *ABOVE),
    "compliance_reports.py": (*OUTSIDE, *ABOVE),
    "event_reports.py": (*OUTSIDE, *ABOVE),
    "housekeeping.py": (*OUTSIDE, *ABOVE),
    "decisions.py": (*OUTSIDE, *ABOVE),
    "legs.py": (*OUTSIDE, *ABOVE),
    "facts.py": (*OUTSIDE, *ABOVE),
    "stored_record.py": (*OUTSIDE, *ABOVE),
    "number_key.py": (*OUTSIDE, *ABOVE),
    "compilation.py": (*OUTSIDE, *ABOVE),
    "degraded.py": ("aiohttp", "redis", "hiredis", "prometheus_client", *ABOVE),
    "load.py": (*OUTSIDE, *ABOVE),
    "nodes": ("aiohttp", "redis", "hiredis", "prometheus_client", *ABOVE),
    "replay.py": ("aiohttp", "redis", "hiredis", "prometheus_client", *ABOVE),
    "memory.py": ("aiohttp", "redis", "hiredis", "prometheus_client", *ABOVE),
    "journal.py": ("aiohttp", "redis", "hiredis", "prometheus_client", *ABOVE),
    "remembered.py": (*OUTSIDE, *ABOVE),
    "disk.py": ("aiohttp", "redis", "hiredis", "prometheus_client", *ABOVE),
    "ledger": ("redis", "hiredis", "prometheus_client", "aiohttp.web", *ABOVE),
    "companion.py": ("aiohttp", "redis", "hiredis", "prometheus_client", *ABOVE),
    "people.py": ("redis", "hiredis", "prometheus_client", *ABOVE),
    "person_traces.py": ("redis", "hiredis", "prometheus_client", *ABOVE),
    "recollection.py": (*OUTSIDE, *ABOVE, "gateway.ledger", "gateway.kernel"),
    "client": ("redis", "hiredis", "prometheus_client", "structlog", "gateway.kernel", "gateway.domain", *ABOVE),
    "processes.py": (*OUTSIDE, *ABOVE),
    "workers.py": ("aiohttp", "redis", "hiredis", "prometheus_client", *ABOVE),
}


def imported(module: Path) -> Iterator[str]:
    """Names of all modules that a module imports, wherever it does."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("room", sorted(FORBIDDEN))
def test_a_room_knows_no_room_above_it(room: str) -> None:
    """The domain knows nobody, the kernel the domain, and so on outwards."""
    path = ROOT / room
    modules = [path] if path.is_file() else sorted(path.rglob("*.py"))
    found = [
        f"{module.relative_to(ROOT)} imports {name}"
        for module in modules
        for name in imported(module)
        for forbidden in FORBIDDEN[room]
        if name == forbidden or name.startswith(f"{forbidden}.")
    ]

    assert modules
    assert [] == found


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(ROOT)))
def test_a_module_is_described_and_small(module: Path) -> None:
    """A docstring, at most 300 lines, no function over 50."""
    text = module.read_text(encoding="utf-8")
    tree = ast.parse(text)
    long = [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= FUNCTION_LINES_MAX
        and module.parent.name != "versions"  # a migration is a list of what it makes
    ]

    assert ast.get_docstring(tree)
    assert text.count("\n") <= LINES_MAX
    assert [] == long
