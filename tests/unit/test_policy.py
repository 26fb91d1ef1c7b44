"""How joins compile to claims, plan by plan."""

from datetime import date
from typing import Any

import pytest
from support import customer, events, join, named_hosts, ports, teams_ports, term

from gateway.domain.claims import Claims, Count, Deny, Require
from gateway.domain.join import Join
from gateway.domain.policy import Policy, Record, Status
from gateway.domain.reasons import ADVICE, Reason


TODAY = date(2026, 6, 10).toordinal()
DENIALS = [reason for reason in Reason if reason.rank <= Reason.STORE_UNAVAILABLE.rank]


def claims_of(asked: Join, *subscriptions: dict[str, Any], status: Status = "active", **fields: Any) -> Claims:
    """The claims of a join for a customer that holds these."""
    return Policy(Record(1, customer(*subscriptions, **fields), status), TODAY).claims(asked)


def denial(claims: Claims) -> Reason | None:
    """Why policy refuses by itself."""
    return claims.checks[0].reason if isinstance(claims.checks[0], Deny) else None


def ceilings(claims: Claims) -> dict[str, int | None]:
    """Ceiling by group."""
    return {check.group: check.ceiling for check in claims.checks if isinstance(check, Count)}


def test_T1_1_a_service_never_held_is_not_licensed() -> None:
    """Events are not part of ports."""
    assert Reason.SERVICE_NOT_LICENSED == denial(claims_of(join("a", service="event", department="x"), ports(1)))


def test_T1_1_a_service_held_in_another_term_is_inactive() -> None:
    """The term ended the day before."""
    assert Reason.SUBSCRIPTION_INACTIVE == denial(claims_of(join("a"), ports(1, **term("2026-01-01", "2026-06-09"))))


def test_T1_5_active_subscriptions_of_one_plan_add_up() -> None:
    """Committed and ceilings are sums; the licence is drawn from the one that ends first."""
    later = ports(5, enforcement="metered", ceiling=7, id="later", **term("2026-01-01", "2027-12-31"))
    sooner = ports(10, enforcement="metered", ceiling=15, id="sooner", **term("2026-01-01", "2026-12-31"))
    over = ports(99, enforcement="hard", id="over", **term("2025-01-01", "2025-12-31"))

    claims = claims_of(join("a"), later, sooner, over)

    pool = next(check for check in claims.checks if isinstance(check, Count) and check.group == "ports")
    assert (15, 22) == (pool.committed, pool.ceiling)
    assert ("sooner", ("later", "sooner")) == (claims.licensed_by, claims.counted_in)


def test_T2_2_a_meeting_without_a_provisioned_host_is_refused() -> None:
    """Somebody else's address, and none at all."""
    for host in ("mallory@acme.example", None):
        assert Reason.HOST_NOT_LICENSED == denial(claims_of(join("a", host=host), named_hosts("alice")))


def test_T2_2_addresses_of_hosts_compare_case_folded_and_without_plus_tags() -> None:
    """Alice is Alice."""
    claims = claims_of(join("a", host="Alice+zoom@ACME.example"), named_hosts("alice"))

    assert "host:meeting:alice@acme.example" in ceilings(claims)


def test_T2_3_T2_6_T2_7_a_named_host_has_one_meeting_of_limited_size_among_limited_hosts() -> None:
    """Each limit stands at its level, in the order of reasons."""
    claims = claims_of(
        join("a", host="alice@acme.example"), named_hosts("alice", simultaneous_hosts=1, max_endpoints=25)
    )

    expected = {"host:meeting:alice@acme.example": 1, "hosts:meeting": 1, "meeting:meeting:m1": 25, "ports": None}
    assert expected == ceilings(claims)
    assert list(expected) == list(ceilings(claims))


def test_T4_1_ports_license_a_meeting_whose_host_no_host_plan_covers() -> None:
    """With both plans Alice is under hers, anybody else under the ports."""
    held = (named_hosts("alice", id="hosts"), ports(5, id="ports"))

    assert "hosts" == claims_of(join("a", host="alice@acme.example"), *held).licensed_by
    assert "ports" == claims_of(join("a", host="bob@acme.example"), *held).licensed_by
    assert "ports" == claims_of(join("a"), *held).licensed_by


def test_T4_1_legs_of_a_named_host_count_in_the_ports_too() -> None:
    """All legs of the service together, whichever plan licenses the host."""
    claims = claims_of(join("a", host="alice@acme.example"), named_hosts("alice"), ports(5, id="ports"))

    assert 5 == ceilings(claims)["ports"]
    assert ("ports",) == claims.counted_in


@pytest.mark.parametrize("endpoint", ["web", "app", "pstn", "h323", "sip", "other"])
def test_T4_2_every_endpoint_counts_one(endpoint: str) -> None:
    """A leg is a leg."""
    assert {"meeting:meeting:m1": 100, "ports": 5} == ceilings(claims_of(join("a", endpoint=endpoint), ports(5)))


def test_T4_4_a_leg_that_is_no_host_needs_a_live_meeting() -> None:
    """In meetings that ports license; a host plan needs no host present."""
    guest = join("a", role="participant", host="alice@acme.example")

    required = [check for check in claims_of(guest, ports(5)).checks if isinstance(check, Require)]
    assert [Require("meeting:meeting:m1", Reason.HOST_NOT_PRESENT)] == required
    assert not [check for check in claims_of(join("a"), ports(5)).checks if isinstance(check, Require)]
    assert not [
        check for check in claims_of(guest, ports(5), named_hosts("alice")).checks if isinstance(check, Require)
    ]


@pytest.mark.parametrize("endpoint", ["web", "app", "pstn", "other"])
def test_T7_1_the_teams_gateway_takes_room_systems_only(endpoint: str) -> None:
    """Everything else joins Teams by itself."""
    assert Reason.ENDPOINT_NOT_SUPPORTED == denial(
        claims_of(join("a", service="teams", endpoint=endpoint), teams_ports(5))
    )


def test_T8_1_teams_legs_count_in_a_pool_of_their_own() -> None:
    """Ports and Teams ports do not share."""
    claims = claims_of(join("a", service="teams", endpoint="sip"), teams_ports(3, enforcement="metered"), ports(5))

    assert {"meeting:teams:m1": None, "teams_ports": None} == ceilings(claims)


def test_T11_2_T11_4_moderators_are_on_the_panel_and_no_attendees() -> None:
    """A presenter is both, an attendee only attends; moderators alone make no event live."""
    held = events(50, attendees_enforcement="hard")
    groups = {
        role: list(ceilings(claims_of(join("a", "e1", service="event", department="finance", role=role), held)))
        for role in ("moderator", "presenter", "attendee")
    }

    live = ["events:event", "live:event:e1"]
    assert {
        "moderator": ["panel:event:e1"],
        "presenter": [*live, "panel:event:e1", "attendees:event:e1"],
        "attendee": [*live, "attendees:event:e1"],
    } == groups


def test_T11_3_attendees_are_metered_or_hard() -> None:
    """Metered, the maximum is a commitment; hard, it refuses."""
    asked = join("a", "e1", service="event", department="finance")
    for enforcement, ceiling in (("metered", None), ("hard", 50)):
        claims = claims_of(asked, events(50, attendees_enforcement=enforcement))
        attendees = next(check for check in claims.checks if isinstance(check, Count) and check.limit == "attendees")
        assert (50, ceiling) == (attendees.committed, attendees.ceiling)


def test_T12_1_live_events_of_all_departments_are_at_most_all_licences() -> None:
    """Two of finance and one of sales are three."""
    claims = claims_of(
        join("a", "e1", service="event", department="sales"), events(departments={"finance": 2, "sales": 1})
    )

    assert 3 == ceilings(claims)["events:event"]


def test_T12_1_a_department_without_a_licence_is_refused() -> None:
    """Another department, and none."""
    for department in ("legal", None):
        asked = join("a", "e1", service="event", department=department)
        assert Reason.DEPARTMENT_NOT_LICENSED == denial(claims_of(asked, events()))


@pytest.mark.parametrize(
    ("status", "reason"), [("suspended", "customer_suspended"), ("terminated", "customer_terminated")]
)
def test_T20_1_suspended_and_terminated_customers_are_refused_in_shadow_too(status: Status, reason: str) -> None:
    """Shadow mode lets in what limits would refuse, not what an operator has ended."""
    claims = claims_of(join("a"), ports(5), status=status, mode="shadow")

    assert (reason, False) == (denial(claims), claims.shadow)


def test_an_unknown_customer_is_refused() -> None:
    """Nothing was ever installed."""
    assert Reason.CUSTOMER_UNKNOWN == denial(Policy(Record(0), 0).claims(join("a")))


def test_checks_stand_in_the_order_of_reasons() -> None:
    """For every service and role, whatever is held."""
    held = (ports(5), teams_ports(5), events(), named_hosts("alice", simultaneous_hosts=1))
    for service, roles in {
        "meeting": ("host", "participant"),
        "teams": ("host",),
        "event": ("moderator", "presenter", "attendee"),
    }.items():
        for role in roles:
            asked = join(
                "a", service=service, endpoint="sip", role=role, host="alice@acme.example", department="finance"
            )
            ranks = [check.reason.rank for check in claims_of(asked, *held).checks]
            assert sorted(ranks) == ranks


@pytest.mark.parametrize("reason", DENIALS)
def test_every_denial_tells_the_person_something_without_ids_or_figures(reason: Reason) -> None:
    """A sentence that may be shown or spoken."""
    message = ADVICE[reason].message

    assert message.endswith(".")
    assert not any(character.isdigit() or character == "_" for character in message)
