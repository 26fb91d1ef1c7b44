"""Fixtures of the chain SIPp - Kamailio - gateway."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support import RunningGateway, customer_data

from e2e.provider import ACME, Provider
from e2e.sip import Site, missing_tools


@pytest.fixture(autouse=True)
def _sip_tools() -> None:
    """Without Kamailio or SIPp nothing can be proved here: skipped on a workstation, a failure where CI is to prove it."""
    missing = missing_tools()
    if missing and os.environ.get("CI"):
        pytest.fail(f"CI needs {' and '.join(missing)} for the tests of SIP")
    if missing:
        pytest.skip(f"NOT TESTED: real SIP, because of missing {' and '.join(missing)} (Debian: kamailio, sip-tester)")


@pytest.fixture
async def make_provider(
    make_gateway: Callable[..., Awaitable[RunningGateway]], http: aiohttp.ClientSession
) -> Callable[..., Awaitable[Provider]]:
    """Starts a gateway and installs the customer with these subscriptions; `token` is one that may administer."""

    async def make(
        *subscriptions: dict[str, Any], token: str | None = None, env: dict[str, str] | None = None
    ) -> Provider:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        provider = Provider(await make_gateway(env=env), http, headers)
        await provider.install(customer_data(*subscriptions, id=ACME))
        return provider

    return make


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """The SIP side; started by the test, ended with it."""
    folder = tmp_path / "sip"
    folder.mkdir()
    found = Site(folder, ACME)
    yield found
    await found.stop()
