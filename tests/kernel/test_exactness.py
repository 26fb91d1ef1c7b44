"""Limits are exact under simultaneous joins through several gateways."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from support import admit, customer, join, ports, told

from gateway.app import Core


MakeCore = Callable[[], Awaitable[Core]]
ROUNDS = 10


async def test_T4_1_simultaneous_joins_fill_hard_ports_exactly(make_core: MakeCore) -> None:
    """Of 400 joins against 100 hard ports through two gateways exactly 100 are admitted, in every round."""
    gateways = [await make_core(), await make_core()]
    await gateways[0].entitlements.replace(customer(ports(100)))

    for round_number in range(ROUNDS):
        joins = [join(f"{round_number}-{n}", meeting=f"m{n % 10}") for n in range(400)]
        decisions = await asyncio.gather(*[admit(gateways[n % 2], asked) for n, asked in enumerate(joins)])

        assert {"admitted": 100, "ports_full": 300} == Counter(map(told, decisions))

        admitted = [decision.join.connection for decision in decisions if decision.admitted]
        await asyncio.gather(*[gateways[n % 2].admission.release("acme", leg) for n, leg in enumerate(admitted)])
        assert 0 == (await gateways[0].reports.usage("acme")).snapshot.live
