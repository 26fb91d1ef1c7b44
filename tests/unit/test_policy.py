"""How joins compile to claims, plan by plan, and the order in which reasons are told."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plans import china, corporate, dolby_rooms, per_event, premium_calling, special_offer, teams_enterprise
from support import customer, events, join, named_hosts, ports, teams_ports, term

from gateway.domain.claims import Age, Alternative, Attend, Before, Check, Claims, Count, Deny, Facts, Mark, Require
from gateway.domain.join import ROLES, Endpoint, Join, Service, Telephone
from gateway.domain.messages import ADVICE
from gateway.domain.policy import Policy
from gateway.domain.reasons import DENIALS, Reason
from gateway.domain.record import Record, Status, Suspension


TODAY = date(2026, 6, 10).toordinal()
ALICE, MALLORY = "alice@acme.example", "mallory@acme.example"
LATER = term("2026-01-02", "2026-12-31")
"""The special offer is for those who held nothing before it (T10.1)."""

SUSPENDED = {MALLORY: Suspension("abuse", 1)}
KEPT = "hash:0a1b2c3d:00112233445566778899aabbccddeeff"


def policy_of(*subscriptions: dict[str, Any], status: Status = "active", **fields: Any) -> Policy:
    """The policy of a customer that holds these."""
    return Policy(Record(1, customer(*subscriptions, **fields), status, suspended_hosts=SUSPENDED), TODAY)


def claims_of(asked: Join, *subscriptions: dict[str, Any], live: Facts | None = None, **fields: Any) -> Claims:
    """The claims of a join for a customer that holds these."""
    return policy_of(*subscriptions, **fields).claims(asked, live)


def only(claims: Claims) -> Alternative:
    """The one way in which the join may be licensed."""
    (found,) = claims.alternatives
    return found


def denial(claims: Claims) -> str | None:
    """Why policy refuses by itself."""
    first = only(claims).checks[0]
    return first.reason.value if isinstance(first, Deny) else None


def counts(claims: Claims) -> dict[str, Count]:
    """Counters by group, in their order."""
    return {check.group: check for check in only(claims).checks if isinstance(check, Count)}


def ceilings(claims: Claims) -> dict[str, int | None]:
    """Ceiling by group."""
    return {group: check.ceiling for group, check in counts(claims).items()}


def test_T1_1_a_service_never_held_is_not_licensed() -> None:
    """Events are not part of ports."""
    assert "service_not_licensed" == denial(claims_of(join("a", service="event", department="x"), ports(1)))


def test_T1_1_a_service_held_in_another_term_is_inactive() -> None:
    """The term ended the day before."""
    assert "subscription_inactive" == denial(claims_of(join("a"), ports(1, **term("2026-01-01", "2026-06-09"))))


def test_T1_3_a_meeting_that_streams_has_the_lower_of_its_limits_and_ends_with_its_minutes() -> None:
    """From the first leg that says so; later legs know since when. A meeting that does not stream has neither."""
    held = ports(500, features=["streaming"], streaming={"max_minutes": 60, "max_endpoints": 40})
    first = claims_of(join("a", features=("streaming",)), held)
    later = claims_of(join("b"), held, live=Facts(streaming_since_ms=1_000))
    plain = claims_of(join("c"), held, live=Facts())

    assert [40, 40, 100] == [ceilings(claims)["meeting:meeting:m1"] for claims in (first, later, plain)]
    befores = [
        [check for check in only(claims).checks if isinstance(check, Before)] for claims in (first, later, plain)
    ]
    assert [[], [Before(3_601_000, "meeting:meeting:m1", Reason.STREAMING_OVER_TIME)], []] == befores
    assert [True, False, False] == [only(claims).facts.streams_now for claims in (first, later, plain)]
    assert 1_000 == only(later).facts.streaming_since_ms


def test_T1_5_active_subscriptions_of_one_plan_add_up() -> None:
    """Committed and ceilings are sums; the licence is drawn from the one that ends first."""
    later = ports(5, enforcement="metered", ceiling=7, id="later", **term("2026-01-01", "2027-12-31"))
    sooner = ports(10, enforcement="metered", ceiling=15, id="sooner", **term("2026-01-01", "2026-12-31"))
    over = ports(99, enforcement="hard", id="over", **term("2025-01-01", "2025-12-31"))

    claims = claims_of(join("a"), later, sooner, over)

    pool = counts(claims)["ports"]
    assert (15, 22) == (pool.committed, pool.ceiling)
    assert ("sooner", ("later", "sooner")) == (only(claims).licensed_by, only(claims).counted_in)


def test_T1_5_a_subscription_that_counts_a_leg_twice_is_told_once() -> None:
    """A telephone in the ports and in the PSTN limit of one order; in an event and in its PSTN limit."""
    asked = join("a", endpoint="pstn")
    assert ("ports",) == only(claims_of(asked, ports(9, pstn_limit=3, id="ports"))).counted_in
    asked = join("a", "e1", service="event", endpoint="pstn")
    assert ("pack",) == only(claims_of(asked, per_event(pstn_limit=3, id="pack"))).counted_in


def test_T2_2_a_meeting_without_a_provisioned_host_is_refused() -> None:
    """Somebody else's address, and none at all."""
    for host in ("bob@acme.example", None):
        assert "host_not_licensed" == denial(claims_of(join("a", host=host), named_hosts("alice")))


def test_T2_2_addresses_of_hosts_compare_case_folded_and_without_plus_tags() -> None:
    """Alice is Alice."""
    claims = claims_of(join("a", host="Alice+zoom@ACME.example"), named_hosts("alice"))

    assert "host:meeting:alice@acme.example" in ceilings(claims)


def test_T2_3_T2_6_T2_7_a_named_host_has_one_meeting_of_limited_size_among_limited_hosts() -> None:
    """Each limit stands at its level, in the order of reasons."""
    claims = claims_of(join("a", host=ALICE), named_hosts("alice", simultaneous_hosts=1, max_endpoints=25))

    expected = {"host:meeting:alice@acme.example": 1, "hosts:meeting": 1, "meeting:meeting:m1": 25, "ports": None}
    assert expected == ceilings(claims)
    assert list(expected) == list(ceilings(claims))


def test_T2_3_claims_of_a_live_meeting_are_those_of_its_owner() -> None:
    """Whoever the join names: the owner is fixed until the meeting empties, and also that it has none."""
    held = (named_hosts("alice", "bob"), ports(5))
    for named in ("bob@acme.example", None):
        claims = claims_of(join("a", host=named), *held, live=Facts(host=ALICE))
        assert "host:meeting:alice@acme.example" in ceilings(claims)
    unowned = claims_of(join("a", host=ALICE), *held, live=Facts())
    assert ["meeting:meeting:m1", "ports"] == list(ceilings(unowned))


@pytest.mark.parametrize("plan", [corporate(anchor_day=15, id="plan"), teams_enterprise(anchor_day=15, id="plan")])
def test_T3_3_hosts_of_the_current_cycle_are_remembered_once_their_meeting_is_connected(plan: dict[str, Any]) -> None:
    """In the cycle of the subscription's anchor day; nothing is refused for it."""
    service = "teams" if plan["plan"].startswith("teams") else "meeting"
    claims = claims_of(join("a", service=service, endpoint="sip", host=ALICE), plan)

    mark = Mark("hosts plan 2026-05", ALICE, f"host:{service}:{ALICE}", Reason.HOST_NOT_LICENSED)
    assert [mark] == [check for check in only(claims).checks if isinstance(check, Mark)]


def test_T4_1_ports_license_a_meeting_whose_host_no_host_plan_covers() -> None:
    """With both plans Alice is under hers, anybody else under the ports."""
    held = (named_hosts("alice", id="hosts"), ports(5, id="ports"))

    for host, licence in ((ALICE, "hosts"), ("bob@acme.example", "ports"), (None, "ports")):
        assert licence == only(claims_of(join("a", host=host), *held)).licensed_by


def test_T4_1_legs_of_a_named_host_count_in_the_ports_too() -> None:
    """All legs of the service together, whichever plan licenses the host."""
    claims = claims_of(join("a", host=ALICE), named_hosts("alice"), ports(5, id="ports"))

    assert 5 == ceilings(claims)["ports"]
    assert ("ports",) == only(claims).counted_in


@pytest.mark.parametrize("endpoint", ["web", "app", "h323", "sip", "other"])
def test_T4_2_every_endpoint_counts_one(endpoint: str) -> None:
    """A leg is a leg."""
    assert {"meeting:meeting:m1": 100, "ports": 5} == ceilings(claims_of(join("a", endpoint=endpoint), ports(5)))


@pytest.mark.parametrize("calling", ["toll", "toll_free", "international", "call_me", "premium", None])
def test_T4_2_T15_3_a_telephone_counts_one_whatever_its_calling(calling: str | None) -> None:
    """In the ports like any leg, and among the telephones of its service."""
    claims = claims_of(join("a", endpoint="pstn", calling=calling), ports(5), premium_calling())
    assert {"meeting:meeting:m1": 100, "pstn:meeting": None, "ports": 5} == ceilings(claims)


def test_T4_4_a_leg_that_is_no_host_waits_for_one() -> None:
    """In meetings that ports license; not from another meeting of the owner, and a host plan needs no host present."""
    guest, policy = join("a", role="participant", host=ALICE), policy_of(ports(5))
    waits = Require("meeting:meeting:m1", Reason.HOST_NOT_PRESENT)

    assert waits in only(policy.claims(guest)).checks
    assert waits in only(policy.claims(guest, Facts(host=ALICE))).checks
    for claims in (
        policy.claims(guest, exempt=True),
        policy.claims(join("a", host=ALICE)),
        claims_of(guest, ports(5), named_hosts("alice")),
    ):
        assert not [check for check in only(claims).checks if isinstance(check, Require)]


@pytest.mark.parametrize("exempt", [False, True])
def test_T4_4_host_legs_attend_the_meeting(*, exempt: bool) -> None:
    """Under any plan, as ports may take over; that none does is remembered where ports license the meeting."""
    found: list[list[Check]] = []
    for held, role in (
        (ports(5), "host"),
        (ports(5), "participant"),
        (corporate(), "host"),
        (corporate(), "participant"),
    ):
        checks = only(policy_of(held).claims(join("a", role=role, host=ALICE), exempt=exempt)).checks
        found.append([check for check in checks if isinstance(check, Attend)])

    watched, noted = (Attend("hosting:meeting:m1", "meeting:meeting:m1", watched=watched) for watched in (True, False))
    assert [[watched], [], [noted], []] == found


def test_T4_5_an_owner_outside_the_customers_domains_is_remembered() -> None:
    """Where ports license the meeting; an address of the customer, a name that is no address and no host at all are not."""
    found: list[list[Check]] = []
    for host in ("ann@globex.example", ALICE, "reception", None):
        checks = only(claims_of(join("a", host=host), ports(5))).checks
        found.append([check for check in checks if isinstance(check, Mark)])

    mark = Mark("foreign 2026-06", "ann@globex.example", "meeting:meeting:m1", Reason.HOST_NOT_LICENSED)
    assert [[mark], [], [], []] == found


@pytest.mark.parametrize("endpoint", ["web", "app", "pstn", "other"])
def test_T7_1_the_teams_gateway_takes_room_systems_only(endpoint: str) -> None:
    """Everything else joins Teams by itself."""
    asked = join("a", service="teams", endpoint=endpoint)
    assert "endpoint_not_supported" == denial(claims_of(asked, teams_ports(5)))


def test_T8_1_teams_legs_count_in_a_pool_of_their_own() -> None:
    """Ports and Teams ports do not share."""
    claims = claims_of(join("a", service="teams", endpoint="sip"), teams_ports(3, enforcement="metered"), ports(5))

    assert {"meeting:teams:m1": None, "teams_ports": None} == ceilings(claims)


def test_T10_3_a_paid_subscription_adds_to_the_offer() -> None:
    """Both commitments make the pool, and the features of either are included."""
    asked = join("a", service="teams", endpoint="sip", features=("relay",))
    offered, paid = special_offer(id="offer"), teams_ports(3, enforcement="metered", id="paid", **LATER)

    assert "feature_not_included" == denial(claims_of(asked, offered))
    claims = claims_of(asked, offered, paid)
    assert 5 == counts(claims)["teams_ports"].committed
    assert ("offer", "paid") == only(claims).counted_in


def test_T11_1_an_event_is_marked_as_used_by_who_makes_it_live() -> None:
    """By a presenter or an attendee, in the set of the subscription it is drawn from; moderators rehearse."""
    held = per_event(3, id="pack")
    mark = Mark("events pack", "e1", "attendees:event:e1", Reason.EVENTS_EXHAUSTED, 3)
    for role, expected in (("presenter", [mark]), ("attendee", [mark]), ("moderator", [])):
        checks = only(claims_of(join("a", "e1", service="event", role=role), held)).checks
        assert expected == [check for check in checks if isinstance(check, Mark)]


def test_T11_1_T1_5_events_left_in_any_subscription_are_alternatives_until_the_event_is_live() -> None:
    """The one that ends first is tried first; a live event stays under its own, and under another when that has ended."""
    sooner, later = per_event(1, id="sooner", **term("2026-01-01", "2026-12-31")), per_event(1, id="later")
    policy, asked = policy_of(later, sooner), join("a", "e1", service="event")

    assert ["sooner", "later"] == [each.licensed_by for each in policy.claims(asked).alternatives]
    assert ["later"] == [each.licensed_by for each in policy.claims(asked, Facts(licence="later")).alternatives]
    assert ["sooner", "later"] == [
        each.licensed_by for each in policy.claims(asked, Facts(licence="gone")).alternatives
    ]


def test_T11_2_T11_4_moderators_are_on_the_panel_and_no_attendees() -> None:
    """A presenter is both, an attendee only attends; moderators alone make no event live."""
    held = events(50, attendees_enforcement="hard")
    groups = {
        role: list(ceilings(claims_of(join("a", "e1", service="event", department="finance", role=role), held)))
        for role in ("moderator", "presenter", "attendee")
    }

    assert {
        "moderator": ["panel:event:e1"],
        "presenter": ["events:event", "panel:event:e1", "attendees:event:e1"],
        "attendee": ["events:event", "attendees:event:e1"],
    } == groups


def test_T11_3_attendees_are_metered_or_hard() -> None:
    """Metered, the maximum is a commitment; hard, it refuses."""
    asked = join("a", "e1", service="event", department="finance")
    for enforcement, ceiling in (("metered", None), ("hard", 50)):
        attendees = counts(claims_of(asked, events(50, attendees_enforcement=enforcement)))["attendees:event:e1"]
        assert (50, ceiling) == (attendees.committed, attendees.ceiling)


@pytest.mark.parametrize(("plan", "hours"), [(per_event, 2), (events, 8)])
def test_T11_5_T12_2_live_time_refuses_only_where_the_order_says_hard(plan: Any, hours: int) -> None:
    """It is remembered either way."""
    asked = join("a", "e1", service="event", department="finance")
    for enforcement, limit_ms in (("metered", None), ("hard", hours * 3_600_000)):
        checks = only(claims_of(asked, plan(duration_enforcement=enforcement))).checks
        age = Age("attendees:event:e1", Reason.EVENT_OVER_TIME, limit_ms)
        assert [age] == [check for check in checks if isinstance(check, Age)]


def test_T12_1_live_events_of_all_departments_are_at_most_all_licences() -> None:
    """Two of finance and one of sales are three."""
    asked = join("a", "e1", service="event", department="sales")
    claims = claims_of(asked, events(departments={"finance": 2, "sales": 1}))

    assert 3 == ceilings(claims)["events:event"]


def test_T12_1_a_department_without_a_licence_is_refused() -> None:
    """Another department, and none."""
    for department in ("legal", None):
        asked = join("a", "e1", service="event", department=department)
        assert "department_not_licensed" == denial(claims_of(asked, events()))


def test_T12_1_the_department_of_a_live_event_is_fixed() -> None:
    """Who joins may name another one, or none."""
    live = Facts(department="finance", licence="events.unlimited")
    for department in ("legal", None):
        chosen = only(claims_of(join("a", "e1", service="event", department=department), events(), live=live))
        assert ("events.unlimited", "finance") == (chosen.licensed_by, chosen.facts.department)


def test_T12_2_with_both_plans_a_licence_is_tried_first_and_T11_only_with_fallback() -> None:
    """A department without a licence is T11's in any case: no licence can be tried for it."""
    found: list[list[str | None]] = []
    for fallback, department in (("per_event", "finance"), (None, "finance"), (None, "legal")):
        asked = join("a", "e1", service="event", department=department)
        claims = claims_of(asked, events(id="unlimited", fallback=fallback), per_event(id="pack"))
        found.append([each.licensed_by for each in claims.alternatives])

    assert [["unlimited", "pack"], ["unlimited"], ["pack"]] == found


def test_T13_1_a_rooms_legs_are_counted_by_meeting_under_the_room() -> None:
    """The room has one meeting at a time; a join without a room is not checked."""
    held = (ports(5), dolby_rooms("Boardroom"))
    claims = claims_of(join("a", role="participant", room="boardroom"), *held, live=Facts())

    leg = counts(claims)["room_leg:meeting:m1\x1fboardroom"]
    assert (1, "room:boardroom", True) == (ceilings(claims)["room:boardroom"], leg.parent, leg.first)
    assert ["meeting:meeting:m1", "ports"] == list(ceilings(claims_of(join("a"), *held)))


def test_T13_5_a_country_outside_the_territory_is_remembered() -> None:
    """Inside, and unknown, it is not."""
    live = Facts()
    found: list[list[Check]] = []
    for country in ("FR", "US", None):
        asked = join("a", role="participant", room="boardroom", country=country)
        checks = only(claims_of(asked, ports(5), dolby_rooms("boardroom"), live=live)).checks
        found.append([check for check in checks if isinstance(check, Mark)])

    mark = Mark("abroad 2026-06", "boardroom FR", "room:boardroom", Reason.ROOM_IN_USE)
    assert [[mark], [], []] == found


def test_T17_1_a_leg_from_china_counts_in_both_pools() -> None:
    """In the China pool and in its service's."""
    claims = claims_of(join("a", access="china"), ports(5, id="ports"), china(2, id="china"))

    assert {"meeting:meeting:m1": 100, "china": 2, "ports": 5} == ceilings(claims)
    assert ("china", "ports") == only(claims).counted_in


@pytest.mark.parametrize(
    ("status", "reason"), [("suspended", "customer_suspended"), ("terminated", "customer_terminated")]
)
def test_T20_1_suspended_and_terminated_customers_are_refused_in_shadow_too(status: Status, reason: str) -> None:
    """Shadow mode lets in what limits would refuse, not what an operator has ended."""
    claims = claims_of(join("a"), ports(5), status=status, mode="shadow")

    assert (reason, False) == (denial(claims), claims.shadow)


def test_T20_1_a_suspended_host_is_refused_under_any_plan() -> None:
    """Also where ports license the meeting, and where it is live already."""
    for held in (ports(5), corporate()):
        assert "host_suspended" == denial(claims_of(join("a", host="Mallory+x@acme.example"), held))
        assert "host_suspended" == denial(claims_of(join("a"), held, live=Facts(host=MALLORY)))


def test_an_unknown_customer_is_refused() -> None:
    """Nothing was ever installed."""
    assert "customer_unknown" == denial(Policy(Record(0), 0).claims(join("a")))


# The order of reasons: one join that breaks everything, with one thing put right after the other.

PHONE: dict[str, Any] = {
    "calling": "call_me",
    "number": Telephone(hash=KEPT),
    "access": "china",
    "features": ("streaming",),
}
WORST = {"endpoint": "pstn", "host": "nobody@globex.example", "room": "lobby", "role": "host", **PHONE}
STREAMING = {"features": ["streaming"], "id": "hosts"}
BLOCKING, ENDED = premium_calling(blocked_numbers=[KEPT]), china(ends_on="2026-06-09")
OLD, HOSTS = corporate(**term("2025-01-01", "2025-12-31")), corporate(id="hosts")
ALL = (corporate(**STREAMING), dolby_rooms("boardroom"))


@pytest.mark.parametrize(
    ("reason", "fields", "held", "status"),
    [
        ("customer_terminated", {}, (), "terminated"),
        ("customer_suspended", {}, (), "suspended"),
        ("service_not_licensed", {}, (), "active"),
        ("subscription_inactive", {}, (OLD,), "active"),
        ("feature_not_licensed", {}, (HOSTS,), "active"),
        ("feature_not_included", {}, (HOSTS, BLOCKING), "active"),
        ("access_not_licensed", {}, (corporate(**STREAMING), BLOCKING), "active"),
        ("access_ended", {}, (corporate(**STREAMING), BLOCKING, ENDED), "active"),
        ("number_blocked", {}, (corporate(**STREAMING), BLOCKING, china()), "active"),
        ("host_not_licensed", {}, (corporate(**STREAMING), premium_calling(), china()), "active"),
        ("host_suspended", {"host": MALLORY}, (*ALL, premium_calling(), china()), "active"),
        ("room_not_licensed", {"host": ALICE}, (*ALL, premium_calling(), china()), "active"),
        ("room_cannot_host", {"host": ALICE, "room": "boardroom"}, (*ALL, premium_calling(), china()), "active"),
        (None, {"host": ALICE, "room": None}, (*ALL, premium_calling(), china()), "active"),
    ],
)
def test_the_first_check_that_fails_is_the_reason(
    reason: str | None, fields: dict[str, Any], held: tuple[dict[str, Any], ...], status: Status
) -> None:
    """A meeting's join that breaks all of these rules at once, and each time one more of them is kept."""
    assert reason == denial(claims_of(join("a", **{**WORST, **fields}), *held, status=status))


OFFER, BESIDE = special_offer(), ports(1, **LATER)
BLOCKS, CALLS = premium_calling(blocked_numbers=[KEPT], **LATER), premium_calling(**LATER)


@pytest.mark.parametrize(
    ("reason", "fields", "held"),
    [
        ("feature_not_licensed", {}, (OFFER, BLOCKS)),
        ("feature_not_included", {}, (OFFER, BESIDE, BLOCKS)),
        ("access_not_licensed", {"features": ()}, (OFFER, BESIDE, BLOCKS)),
        ("number_blocked", {"features": ()}, (OFFER, BESIDE, BLOCKS, china(**LATER))),
        ("endpoint_not_supported", {"features": ()}, (OFFER, BESIDE, CALLS, china(**LATER))),
        ("room_not_licensed", {"features": (), "endpoint": "sip"}, (OFFER, BESIDE, CALLS, china(**LATER))),
    ],
)
def test_the_first_check_that_fails_is_the_reason_in_teams(
    reason: str, fields: dict[str, Any], held: tuple[dict[str, Any], ...]
) -> None:
    """A join of a Teams meeting; calling needs Meetings or Events beside its own plan (T15.1)."""
    asked = join("a", service="teams", **{**WORST, "features": ("relay",), **fields})
    assert reason == denial(claims_of(asked, *held))


@pytest.mark.parametrize(
    ("reason", "fields", "held"),
    [
        ("number_blocked", {}, (events(features=["streaming"]), BLOCKING, china())),
        ("department_not_licensed", {}, (events(features=["streaming"]), premium_calling(), china())),
        ("host_suspended", {"department": "finance"}, (events(features=["streaming"]), premium_calling(), china())),
        (
            "room_cannot_host",
            {"department": "finance", "host": ALICE, "room": "boardroom"},
            (events(features=["streaming"]), premium_calling(), china(), dolby_rooms("boardroom")),
        ),
    ],
)
def test_the_first_check_that_fails_is_the_reason_in_events(
    reason: str, fields: dict[str, Any], held: tuple[dict[str, Any], ...]
) -> None:
    """A join of an event as its moderator."""
    worst = {**WORST, "role": "moderator", "host": MALLORY}
    assert reason == denial(claims_of(join("a", "e1", service="event", **{**worst, **fields}), *held))


COMBINED = policy_of(
    named_hosts("alice", "bob", simultaneous_hosts=2),
    corporate(one_meeting_per_host=False, features=["streaming"], streaming={"max_minutes": 5, "max_endpoints": 9}),
    ports(5, pstn_limit=2, pstn_enforcement="hard"),
    teams_ports(5),
    teams_enterprise(simultaneous_hosts=1),
    events(50, duration_enforcement="hard", attendees_enforcement="hard", fallback="per_event"),
    per_event(2, duration_enforcement="hard", features=["streaming"], streaming={"max_minutes": 5}),
    dolby_rooms("boardroom"),
    premium_calling(),
    china(2),
)


@st.composite
def joins(draw: st.DrawFn) -> Join:
    """Any join of a customer that holds everything."""
    service = draw(st.sampled_from(Service))
    choose = {
        "endpoint": st.sampled_from(Endpoint),
        "role": st.sampled_from(ROLES[service]),
        "host": st.sampled_from([None, ALICE, "carol@acme.example", "ann@globex.example"]),
        "room": st.sampled_from([None, "boardroom"]),
        "country": st.sampled_from([None, "US", "FR"]),
        "department": st.sampled_from([None, "finance", "legal"]),
        "access": st.sampled_from([None, "china"]),
        "features": st.sampled_from([(), ("streaming",)]),
        "media": st.sampled_from(["audio", "video"]),
        "person": st.sampled_from([None, ALICE]),
    }
    return join("a", service=service, **{name: draw(values) for name, values in choose.items()})


FACTS = st.none() | st.builds(
    Facts,
    host=st.sampled_from([None, ALICE, "ann@globex.example"]),
    department=st.sampled_from([None, "finance"]),
    licence=st.sampled_from([None, "events.per_event", "events.unlimited", "gone"]),
    streaming_since_ms=st.sampled_from([None, 1]),
)


@settings(max_examples=400, deadline=None)
@given(asked=joins(), live=FACTS, exempt=st.booleans())
def test_checks_stand_in_the_order_of_reasons(*, asked: Join, live: Facts | None, exempt: bool) -> None:
    """Of every alternative, those that can refuse; groups that others name are there, and a join that is refused takes nothing."""
    for alternative in COMBINED.claims(asked, live, exempt=exempt).alternatives:
        checks = alternative.checks
        ranks = [check.reason.rank for check in checks if not isinstance(check, Attend) and _refuses(check)]
        assert sorted(ranks) == ranks
        groups = {check.group for check in checks if isinstance(check, Count)}
        ends_in_denial = isinstance(checks[-1], Deny)
        named = {check.group for check in checks if isinstance(check, Mark | Age)}
        named |= {check.parent for check in checks if isinstance(check, Count) and check.parent}
        assert ends_in_denial or named <= groups
        assert len(alternative.counted_in) == len(set(alternative.counted_in))


def _refuses(check: Check) -> bool:
    """Whether it can deny at all; marks and ages without a bound are only remembered."""
    match check:
        case Mark(ceiling=None) | Age(limit_ms=None) | Attend():
            return False
    return True


@pytest.mark.parametrize("reason", DENIALS)
def test_every_denial_tells_the_person_something_without_ids_or_figures(reason: Reason) -> None:
    """A sentence that may be shown or spoken."""
    message = ADVICE[reason].message

    assert message.endswith(".")
    assert not any(character.isdigit() or character == "_" for character in message)
