"""What is changed through one gateway governs the very next decision of the other: there is no window."""

from collections import Counter
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from callers import Callers
from support import RunningGateway, named_hosts, ports


pytestmark = pytest.mark.timeout(240)

MakeGateway = Callable[..., Awaitable[RunningGateway]]
TRIES = 1000


@pytest.fixture
async def callers(make_gateway: MakeGateway, http: aiohttp.ClientSession) -> Callers:
    """Callers of two gateways."""
    return Callers(http, await make_gateway(), await make_gateway())


async def test_a_limit_changed_through_one_gateway_governs_the_next_decision_of_the_other(callers: Callers) -> None:
    """One port, then none, then one again: in 1,000 of 1,000 tries the other gateway decides by it at once."""
    seen: Counter[str] = Counter()
    for number in range(TRIES // 2):
        await callers.install(ports(1), through=number % 2)
        seen[(await callers.admit(f"a{number}", through=number + 1))["reason"]] += 1
        await callers.release(f"a{number}")
        await callers.install(ports(0), through=number % 2)
        seen[(await callers.admit(f"b{number}", through=number + 1))["reason"]] += 1

    assert {"admitted": TRIES // 2, "ports_full": TRIES // 2} == seen


async def test_T2_1_a_host_changed_through_one_gateway_governs_the_next_decision_of_the_other(callers: Callers) -> None:
    """Alice, then Bob, then Alice: in 1,000 of 1,000 tries the other gateway knows who may host."""
    seen: Counter[str] = Counter()
    for number in range(TRIES // 2):
        for name, other in (("alice", "bob"), ("bob", "alice")):
            await callers.install(named_hosts(name), through=number % 2)
            leg = f"{name}{number}"
            seen[(await callers.admit(leg, host=f"{name}@acme.example", through=number + 1))["reason"]] += 1
            await callers.release(leg)
            seen[(await callers.preview(f"{leg}-x", host=f"{other}@acme.example", through=number + 1))["reason"]] += 1

    assert {"admitted": TRIES, "host_not_licensed": TRIES} == seen


async def test_T20_1_a_suspension_through_one_gateway_governs_the_next_decision_of_the_other(callers: Callers) -> None:
    """Suspended and resumed: in 1,000 of 1,000 tries the other gateway decides by it at once."""
    await callers.install(ports(1))
    seen: Counter[str] = Counter()
    for number in range(TRIES // 2):
        await callers.change("suspend", through=number % 2)
        seen[(await callers.admit(f"a{number}", through=number + 1))["reason"]] += 1
        await callers.change("resume", through=number % 2)
        seen[(await callers.admit(f"b{number}", through=number + 1))["reason"]] += 1
        await callers.release(f"b{number}")

    assert {"customer_suspended": TRIES // 2, "admitted": TRIES // 2} == seen
