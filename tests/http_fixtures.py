"""What tests of the API share, as a plugin of pytest: one gateway in a process of its own, and who calls it."""

from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from callers import Callers
from http_people import People
from support import RunningGateway


@pytest.fixture
async def gateway(make_gateway: Callable[..., Awaitable[RunningGateway]]) -> RunningGateway:
    """One gateway."""
    return await make_gateway()


@pytest.fixture
def callers(gateway: RunningGateway, http: aiohttp.ClientSession) -> Callers:
    """Media servers that call it."""
    return Callers(http, gateway)


@pytest.fixture
def acme(gateway: RunningGateway) -> str:
    """The URL of the customer."""
    return f"{gateway.admin_url}/v1/customers/acme"


@pytest.fixture
def people(gateway: RunningGateway) -> People:
    """Operators and account people that call it."""
    return People(gateway)
