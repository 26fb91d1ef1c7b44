"""Gateways of the fault suite are forked from a process that has everything imported."""

from collections.abc import Iterator

import fault_world
import pytest
from zygote import Zygote


@pytest.fixture(scope="session", autouse=True)
def _forked_gateways(zygote: Zygote) -> Iterator[None]:
    fault_world.forks_from(zygote)
    yield
    fault_world.forks_from(None)
