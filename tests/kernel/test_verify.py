"""Verification finds what is wrong, and repairs it only when nobody is writing."""

import pytest
from support import admit, customer, events, install, join, named_hosts, ports

from gateway.core import Core
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
        ("hosting:meeting:m1", 1, "2"),
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


async def three_events(core: Core) -> tuple[bytes, bytes]:
    """A connected, a provisional and a past event of two subscriptions. The keys of the groups and of what is remembered."""
    per_event = {**events(), "plan": "events.per_event", "id": "small", "quantity": 9}
    del per_event["departments"]
    await install(core.entitlements, customer(per_event, ports(9)))
    for leg, event, node in (("a", "e1", None), ("b", "e2", "media-1"), ("c", "e3", None)):
        await admit(core, join(leg, meeting=event, service="event", node=node))
    await core.admission.release("acme", "c")
    await admit(core, join("d", meeting="m1", person="pat@acme.example", endpoint="pstn"))
    groups, past = keys_of("acme", ("groups", "past"))
    return groups, past


@pytest.mark.parametrize("legs_max", [5000, 2], ids=["in one script", "in pages"])
async def test_what_is_remembered_rightly_shows_no_difference(core: Core, legs_max: int) -> None:
    """Final and pending marks, ages that run and that are over, a telephone that is alone."""
    await three_events(core)

    assert () == (await verify(core.kernel, "acme", legs_max=legs_max)).differences


@pytest.mark.parametrize("legs_max", [5000, 2], ids=["in one script", "in pages"])
@pytest.mark.parametrize(
    ("key", "field", "wrong", "found"),
    [
        ("past", "+events small", "4", {"+events small"}),
        ("past", "+events gone", "1", {"+events gone"}),
        ("past", "+~", "1", {"+~"}),
        ("past", "=events small\x1fe9", "5 5", {"+events small"}),
        ("past", "=events small\x1fe3", "5 0", {"=events small\x1fe3"}),
        ("past", "@attendees:event:e3", "5 5 0 1 5 1 small", {"@attendees:event:e3"}),
        ("past", "@attendees:event:e9", "5 5 0 1 5 1 small", {"@attendees:event:e9"}),
        ("past", "=events small\x1fe2", None, {"=events small\x1fe2", "+events small"}),
        ("past", "@attendees:event:e2", None, {"@attendees:event:e2"}),
        ("groups", "*attendees:event:e1", None, {"@attendees:event:e1"}),
        ("groups", "*attendees:event:e3", "@attendees:event:e3", {"*attendees:event:e3"}),
        ("groups", "^person:meeting:m9\x1fpat@acme.example", "739777", {"^person:meeting:m9\x1fpat@acme.example"}),
        ("groups", "?meeting:meeting:m9", "5", {"?meeting:meeting:m9"}),
        ("groups", "&hosting:meeting:m9", "meeting:meeting:m9", {"&hosting:meeting:m9"}),
        ("groups", "%meeting:meeting:m9", "1", {"%meeting:meeting:m9"}),
    ],
)
async def test_what_is_remembered_wrongly_is_found(
    core: Core, key: str, field: str, wrong: str | None, found: set[str], legs_max: int
) -> None:
    """A size that is not the number of marks, what runs or is pending without a live group that ends it, words about groups that are gone."""
    groups, past = await three_events(core)
    name = past if key == "past" else groups
    before = await core.store.command("HGET", name, field)
    await core.store.command(*(("HDEL", name, field) if wrong is None else ("HSET", name, field, wrong)))

    differences = (await verify(core.kernel, "acme", legs_max=legs_max)).differences

    assert found == {difference.field for difference in differences}
    await core.store.command(*(("HDEL", name, field) if before is None else ("HSET", name, field, before)))
