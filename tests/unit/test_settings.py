"""Settings: what is taken, and what is said of what is not."""

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.settings import Settings


def test_a_gateway_drains_for_five_seconds_and_is_alone() -> None:
    """What holds where nothing is said."""
    settings = Settings()

    assert (5.0, 1, 0, False) == (settings.drain_s, settings.workers, settings.worker, settings.is_supervised)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"drain_s": -1}, "Input should be greater than or equal to 0"),
        ({"drain_s": 301}, "Input should be less than or equal to 300"),
        ({"drain_s": "nan"}, "Input should be a finite number"),
        ({"workers": 0}, "Input should be greater than or equal to 1"),
        ({"workers": 65}, "Input should be less than or equal to 64"),
        ({"workers": 3, "admin_port": 65534}, "3 admin listeners from port 65534 on would pass port 65535"),
        ({"redis_url": "http://127.0.0.1"}, "the scheme is not one of redis, rediss, unix, redis+sentinel"),
    ],
)
def test_what_cannot_be_is_told_with_its_name(given: dict[str, Any], told: str) -> None:
    """One fault, under the name of the last setting given or of the one that breaks the bound."""
    with pytest.raises(ValidationError) as caught:
        Settings(**given)

    (fault,) = caught.value.errors()
    assert (next(iter(given)),) == fault["loc"]
    assert told in fault["msg"]


@pytest.mark.parametrize(
    "given", [{"workers": 64, "admin_port": 0}, {"workers": 2, "admin_port": 65534}, {"drain_s": 0}]
)
def test_the_bounds_themselves_are_taken(given: dict[str, Any]) -> None:
    """The last port, no wait, all workers on ports that the system chooses."""
    settings = Settings(**given)

    assert given == {name: getattr(settings, name) for name in given}


@pytest.mark.parametrize(
    "url",
    [
        "redis://store.example:6379/0",
        "rediss://store.example:6379",
        "unix:///run/redis.sock",
        "redis+sentinel://a.example:26379,b.example:26379/main",
        "rediss+sentinel://a.example:26379/main",
        "redis+cluster://a.example:6379,b.example:6379",
        "rediss+cluster://a.example:6379",
    ],
)
def test_every_kind_of_store_can_be_named(url: str) -> None:
    """One server, Sentinel or Cluster, with TLS or without."""
    assert url == Settings(redis_url=url).redis_url
