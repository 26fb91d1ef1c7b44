"""Verification finds what is wrong, and repairs it only when nobody is writing."""

import pytest
from support import admit, customer, install, join, named_hosts, ports

from gateway.app import Core
from gateway.kernel.keys import keys_of
from gateway.kernel.verify import Difference, verify


async def three_legs(core: Core) -> bytes:
    """Two meetings of Alice's and Bob's, three legs. The key of the groups."""
    await install(core.entitlements, customer(ports(10), named_hosts("alice", "bob")))
    for leg, meeting, host in (("a", "m1", "alice"), ("b", "m1", "alice"), ("c", "m2", "bob")):
        await admit(core, join(leg, meeting=meeting, host=f"{host}@acme.example"))
    (key,) = keys_of("acme", ("groups",))
    return key


@pytest.mark.parametrize("legs_max", [5000, 2], ids=["in one script", "in pages"])
async def test_counters_that_are_right_show_no_difference(core: Core, legs_max: int) -> None:
    """First groups, parents and their parents are recomputed."""
    await three_legs(core)

    found = await verify(core.kernel, "acme", legs_max=legs_max)

    assert (3, (), True) == (found.legs, found.differences, found.conclusive)


@pytest.mark.parametrize("legs_max", [5000, 2], ids=["in one script", "in pages"])
@pytest.mark.parametrize(
    ("field", "wrong", "right"),
    [
        ("ports", 7, "3"),
        ("hosts:meeting", 1, "2"),
        ("meeting:meeting:m1", 1, "2"),
        ("!legs", 4, "3"),
        ("meeting:meeting:ghost", 1, "0"),
    ],
)
async def test_a_wrong_counter_is_found_and_repaired(
    core: Core, field: str, wrong: int, right: str, legs_max: int
) -> None:
    """Whatever counter is wrong is named with what it should be, and is right afterwards."""
    key = await three_legs(core)
    await core.store.command("HSET", key, field, wrong)

    found = await verify(core.kernel, "acme", repair=True, legs_max=legs_max)

    assert (Difference(field, str(wrong), right),) == found.differences
    assert found.repaired
    assert () == (await verify(core.kernel, "acme")).differences


async def test_nothing_is_repaired_once_something_has_changed(core: Core) -> None:
    """A repair that was computed before a join is refused after it."""
    key = await three_legs(core)
    await core.store.command("HSET", key, "ports", 7)
    mark = (await core.kernel.dump("acme", 5000))[1]
    await admit(core, join("d", meeting="m1"))

    assert not await core.kernel.repair("acme", mark, {"ports": 3})
    assert b"8" == await core.store.command("HGET", key, "ports")
    assert (await verify(core.kernel, "acme", repair=True)).repaired


async def test_a_lease_without_its_leg_is_found(core: Core) -> None:
    """Legs and leases must be the same set."""
    await three_legs(core)
    (key,) = keys_of("acme", ("leases",))
    await core.store.command("ZADD", key, 1, "ghost")

    assert [Difference("lease of ghost", "present", "")] == list((await verify(core.kernel, "acme")).differences)
    await core.store.command("ZREM", key, "ghost")
