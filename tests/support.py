"""What tests share: entitlements to test with, joins, a clock that can be set, gateways as processes."""

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, Process
from dataclasses import dataclass
from datetime import date
from typing import Any

from redis.asyncio import Redis
from zygote import Forked

from gateway.core import Core, Telemetry, build_core
from gateway.domain.catalogue import Customer, parse_customer
from gateway.domain.changes import replaced, with_status
from gateway.domain.join import ROLES, Decision, Endpoint, Join, Role, Service
from gateway.domain.record import Status
from gateway.entitlements import Entitlements
from gateway.kernel.verify import verify


ALWAYS = {"from": "2020-01-01", "to": "2099-12-31"}

CLOCK_KEY = "test:clock"
CLOCK_FRAGMENT = f"""
local function clock()
  local set = redis.call('GET', '{CLOCK_KEY}')
  if set then return tonumber(set) end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
"""
START_TIMEOUT_S = 30.0
SERVE = ("serve", "--port", "0", "--admin-port", "0")


class Clock:
    """The time of the kernels under test."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def set(self, now_ms: int) -> None:
        """From now on it is `now_ms`, and stays so."""
        store = Redis.from_url(self._url, protocol=2)
        await store.set(CLOCK_KEY, now_ms)
        await store.aclose()


def ports(committed: int, *, enforcement: str = "hard", ceiling: int | None = None, **fields: Any) -> dict[str, Any]:
    """A subscription of concurrent connections."""
    bounds = {"ceiling": ceiling} if ceiling is not None else {}
    return {
        "plan": "meetings.concurrent_connections",
        "term": ALWAYS,
        "committed": committed,
        "enforcement": enforcement,
        **bounds,
        **fields,
    }


def teams_ports(committed: int, *, enforcement: str = "hard", **fields: Any) -> dict[str, Any]:
    """A subscription of Teams gateway connections."""
    return {
        "plan": "teams.concurrent_connections",
        "term": ALWAYS,
        "committed": committed,
        "enforcement": enforcement,
        **fields,
    }


def named_hosts(*names: str, quantity: int | None = None, **fields: Any) -> dict[str, Any]:
    """A subscription of named hosts: `alice` becomes `alice@acme.example`."""
    hosts = [{"id": f"{name}@acme.example", "given_name": name.title(), "family_name": "Example"} for name in names]
    return {
        "plan": "meetings.named_host",
        "term": ALWAYS,
        "quantity": quantity or max(len(names), 1),
        "hosts": hosts,
        **fields,
    }


def events(max_attendees: int = 1000, departments: dict[str, int] | None = None, **fields: Any) -> dict[str, Any]:
    """A subscription of unlimited events."""
    held = departments or {"finance": 1}
    return {"plan": "events.unlimited", "term": ALWAYS, "departments": held, "max_attendees": max_attendees, **fields}


def customer_data(*subscriptions: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A customer `acme` that holds these."""
    return {
        "id": "acme",
        "name": "Acme Corporation",
        "domains": ["acme.example"],
        "subscriptions": list(subscriptions),
        **fields,
    }


def customer(*subscriptions: dict[str, Any], **fields: Any) -> Customer:
    """A customer `acme` that holds these, parsed."""
    return parse_customer(customer_data(*subscriptions, **fields))


def term(first: date | str, last: date | str) -> dict[str, Any]:
    """A licence term."""
    return {"term": {"from": str(first), "to": str(last)}}


def join_data(connection: str, meeting: str = "m1", **fields: Any) -> dict[str, Any]:
    """The body of a join that needs no host to be present."""
    body = {
        "customer": "acme",
        "connection": connection,
        "service": "meeting",
        "meeting": meeting,
        "endpoint": "web",
        **fields,
    }
    if body["service"] != "event":
        body.setdefault("role", "host")
    return body


def join(connection: str, meeting: str = "m1", **fields: Any) -> Join:
    """A join that needs no host to be present."""
    body = join_data(connection, meeting, **fields)
    service = Service(body.pop("service"))
    role = Role(body.pop("role", ROLES[service][0]))
    return Join(service=service, endpoint=Endpoint(body.pop("endpoint")), role=role, **body)


async def install(entitlements: Entitlements, held: Customer, *, expected: int | None = None) -> int:
    """Replaces what a customer holds; the new version."""
    return (await entitlements.change(held.id, replaced(held, expected), "install", "test")).version


async def set_status(entitlements: Entitlements, status: Status, *, reason: str | None = "test") -> None:
    """Suspends, resumes or terminates customer `acme`."""
    await entitlements.change("acme", with_status("acme", status, reason, "test"), "status", "test")


async def admit(core: Core, asked: Join) -> Decision:
    """Asks a gateway, with all the time in the world."""
    return await core.admission.admit(asked, wait_s=30.0)


def told(decision: Decision) -> str:
    """The reason of a decision, as text that reads well in a failing test."""
    return decision.reason.value


async def verify_everything(url: str) -> None:
    """Fails unless the counters of every customer in the database are what its connection records say."""
    core = build_core(url, budget_s=10.0, telemetry=Telemetry())
    assert await core.start(10.0), core.store.last_error
    try:
        for name in await core.kernel.customers():
            found = await verify(core.kernel, name)
            assert found.conclusive, f"{name}: busy after the test"
            assert not found.differences, f"{name}: {found.differences}"
    finally:
        await core.close()


@dataclass(slots=True)
class RunningGateway:
    """A gateway in a process of its own."""

    process: Process | Forked
    url: str
    admin_url: str

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Ends it and gives its exit code."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        await asyncio.wait_for(self.process.communicate(), START_TIMEOUT_S)
        assert self.process.returncode is not None, "communicate waits for the end"
        return self.process.returncode


async def start_gateway(python: str, *options: str, env: dict[str, str]) -> RunningGateway:
    """Starts `gateway serve` on free ports and waits until it says where it listens."""
    arguments = ("-m", "gateway", *SERVE, *options)
    process = await asyncio.create_subprocess_exec(python, *arguments, stdout=PIPE, env={**os.environ, **env})
    return await listening(process)


async def listening(process: Process | Forked) -> RunningGateway:
    """The gateway of a process, when it listens."""
    assert process.stdout is not None, "it is a pipe"
    urls: list[str] = []
    async with asyncio.timeout(START_TIMEOUT_S):
        while len(urls) < 2:
            line = (await process.stdout.readline()).decode()
            assert line, f"the gateway ended with {await process.wait()} before it listened"
            if line.startswith(("admission ", "admin ")):
                urls.append(line.split()[1])
    return RunningGateway(process, *urls)
