"""The plans of hosts (T2, T3, T5, T6, T7, T9): who may host, under which limits, and what is refused when it is provisioned."""

import time
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.domain.contract import customer_limits
from gateway.domain.customer import CustomerBase, Fault
from gateway.domain.enterprise import Host
from gateway.domain.join import Endpoint, Join, Role, Service
from gateway.domain.licensing import Licence, PlanTerms
from gateway.domain.limits import Limit
from gateway.domain.plans import TERMS, AnySubscription
from gateway.domain.plans.hosts import HostPlan
from gateway.domain.reasons import Reason


ACME = CustomerBase.model_validate({"id": "acme", "name": "Acme Corporation", "domains": ["Acme.example"]})
NOT_LICENSED = Reason.HOST_NOT_LICENSED
NO_INDIVIDUAL = (
    "is not an individual: a generic address, or given_name or family_name missing; "
    "`individual: true` overrides where that was audited"
)
OUTSIDE = "is outside the customer's domains, and no approval is on record"
OUTSIDE_ENTERPRISE = (
    "is outside the domains of the customer and of entities it controls by 50 % or more, and no approval is on record"
)
TWICE = "is listed twice (addresses compare case-folded, plus-tags removed)"
ENTITIES = [
    {"name": "Globex", "domains": ["globex.example", "Globex.test"], "controlled_percent": 50},
    {"name": "Initech", "domains": ["initech.example"], "controlled_percent": 49},
]
FIELDS: dict[str, dict[str, Any]] = {
    "meetings.named_host": {"quantity": 100},
    "teams.named_host": {"quantity": 100},
    "meetings.corporate_access": {},
    "meetings.active_host_enterprise": {},
    "meetings.active_host_group": {"department": "finance"},
    "teams.enterprise": {},
}
EVERY_EMPLOYEE = ["meetings.corporate_access", "meetings.active_host_enterprise", "teams.enterprise"]
NAMED = ["meetings.named_host", "teams.named_host"]
ADAPTER: TypeAdapter[Any] = TypeAdapter(AnySubscription)


def held(plan: str, last: str = "2026-12-31", **fields: Any) -> HostPlan:
    """A subscription of a plan of hosts."""
    data = {"plan": plan, "term": {"from": "2026-01-01", "to": last}, **FIELDS[plan], **fields}
    subscription: HostPlan = ADAPTER.validate_python(data)
    return subscription


def person(address: str, **fields: Any) -> dict[str, Any]:
    """A listed host with both names."""
    return {"id": address, "given_name": "Alice", "family_name": "Moreau", **fields}


def approval(address: str) -> dict[str, str]:
    """An approval on record."""
    return {"id": address, "approved_by": "Dana", "approved_on": "2026-01-01"}


def terms(*subscriptions: HostPlan) -> PlanTerms:
    """What subscriptions of one plan mean on a day."""
    return TERMS[type(subscriptions[0])](subscriptions, ACME)


def ask(plan: PlanTerms, host: str | None) -> Licence | Reason:
    """The answer to a join of a meeting that this host owns."""
    join = Join(
        customer="acme",
        connection="c1",
        service=Service.MEETING,
        meeting="m1",
        endpoint=Endpoint.SIP,
        role=Role.HOST,
        host=host,
    )
    answer = plan.license(join)
    if isinstance(answer, Reason):
        return answer
    assert 1 == len(answer)
    return answer[0]


def may_host(plan: PlanTerms, hosts: Sequence[str | None]) -> list[str | None]:
    """Those of the hosts that are licensed; the others are for the one reason that there is."""
    answers = [(host, ask(plan, host)) for host in hosts]
    assert {NOT_LICENSED} >= {answer for _, answer in answers if isinstance(answer, Reason)}
    return [host for host, answer in answers if isinstance(answer, Licence)]


def faults(subscription: HostPlan) -> list[Fault]:
    """What is refused when it is provisioned."""
    return list(subscription.faults(ACME, "$"))


@pytest.mark.parametrize("plan", NAMED)
def test_T2_1_at_most_the_quantity_of_hosts_is_provisioned(plan: str) -> None:
    """As many as were bought are accepted, one more is refused."""
    hosts = [person("alice@acme.example"), person("bruno@acme.example")]
    assert [] == faults(held(plan, quantity=2, hosts=hosts))
    assert [Fault("$.hosts", "2 hosts for a quantity of 1", "T2.1")] == faults(held(plan, quantity=1, hosts=hosts))


@pytest.mark.parametrize("plan", NAMED)
def test_T2_1_an_address_outside_the_domains_needs_an_approval(plan: str) -> None:
    """A subdomain is outside; the approval counts whatever case and plus-tag it is written with."""
    hosts = [person("alice@eu.acme.example"), person("bruno+x@globex.example"), person("chiara@ACME.example")]
    found = faults(held(plan, hosts=hosts, approvals=[approval("Bruno@Globex.example")]))
    assert [Fault("$.hosts[0].id", OUTSIDE, "T2.1")] == found


@pytest.mark.parametrize(("plan", "rule"), [(plan, "T2.1" if plan in NAMED else "T3.1") for plan in FIELDS])
def test_T2_1_an_individual_is_listed_once(plan: str, rule: str) -> None:
    """Two spellings of one address are one individual."""
    found = faults(held(plan, hosts=[person("alice@acme.example"), person("Alice+x@Acme.example")]))
    assert [Fault("$.hosts[1].id", TWICE, rule)] == found


@pytest.mark.parametrize("plan", NAMED)
def test_T2_2_a_meeting_runs_under_a_provisioned_host(plan: str) -> None:
    """Whatever case and plus-tag the owner is written with; an employee who is not listed does not host, nor does nobody."""
    hosts = [person("alice@acme.example")]
    asked = ["ALICE+work@acme.example", "bruno@acme.example", "alice", "", None]
    assert asked[:1] == may_host(terms(held(plan, hosts=hosts)), asked)


@pytest.mark.parametrize(
    ("plan", "limits"),
    [
        ("meetings.named_host", {"host": Limit(ceiling=1), "meeting": Limit(ceiling=100)}),
        ("teams.named_host", {"host": Limit(ceiling=1)}),
        ("meetings.corporate_access", {"host": Limit(ceiling=1), "meeting": Limit(ceiling=100)}),
        ("meetings.active_host_enterprise", {"host": Limit(ceiling=1), "meeting": Limit(ceiling=100)}),
        ("meetings.active_host_group", {"host": Limit(ceiling=1), "meeting": Limit(ceiling=100)}),
        ("teams.enterprise", {"host": Limit(ceiling=1)}),
    ],
)
def test_T2_3_T2_6_a_host_has_one_meeting_of_100_endpoints(plan: str, limits: dict[str, Limit]) -> None:
    """The licence is the host's; in Teams no number of endpoints is stated; plans of enterprises remember who hosted."""
    subscription = held(plan, hosts=[person("alice@acme.example", department="finance")])
    licence = Licence(plan, limits, by_host=True, counts_hosts=plan not in NAMED)
    assert licence == ask(terms(subscription), "alice@acme.example")


@pytest.mark.parametrize("plan", [plan for plan in FIELDS if plan.startswith("meetings.")])
def test_T2_6_the_order_may_state_another_size(plan: str) -> None:
    """`max_endpoints` takes the place of 100, in both directions."""
    for size in (12, 250):
        hosts = [person("alice@acme.example", department="finance")]
        licence = ask(terms(held(plan, hosts=hosts, max_endpoints=size)), "alice@acme.example")
        assert isinstance(licence, Licence)
        assert Limit(ceiling=size) == licence.limits["meeting"]


@pytest.mark.parametrize("plan", FIELDS)
def test_T2_7_simultaneous_hosts_add_up_where_all_state_them(plan: str) -> None:
    """Two subscriptions of one plan add up (T1.5); one that states none leaves no bound."""
    one, two, free = (
        held(plan, id=name, simultaneous_hosts=number) for name, number in (("one", 2), ("two", 3), ("free", None))
    )
    hosts = f"hosts:{one.service}"
    for subscriptions, expected in (
        ([one], Limit(ceiling=2)),
        ([one, two], Limit(ceiling=5)),
        ([one, free], Limit()),
    ):
        found = customer_limits(subscriptions)
        assert expected == found[hosts].limit
        assert () == found[hosts].counted_in


@pytest.mark.parametrize("plan", [plan for plan in FIELDS if plan != "teams.enterprise"])
def test_T2_4_generic_names_are_refused_when_provisioned(plan: str) -> None:
    """A generic address or a missing name is refused, and an audited individual is not."""
    hosts = [
        person("room12@acme.example"),
        person("alice@acme.example", given_name=None),
        person("bruno@acme.example", family_name=None),
        {"id": "training@acme.example", "individual": True},
    ]
    found = faults(held(plan, hosts=hosts))
    assert [Fault(f"$.hosts[{position}]", NO_INDIVIDUAL, "T2.4") for position in range(3)] == found


@pytest.mark.parametrize("plan", ["meetings.corporate_access", "meetings.active_host_enterprise"])
def test_T2_4_a_generic_name_met_through_a_domain_does_not_host(plan: str) -> None:
    """Unless it is listed as an audited individual; an approval is no such audit."""
    subscription = held(
        plan, hosts=[{"id": "room1@acme.example", "individual": True}], approvals=[approval("info@globex.example")]
    )
    asked = ["room1@acme.example", "room2@acme.example", "info@globex.example"]
    assert asked[:1] == may_host(terms(subscription), asked)


@pytest.mark.parametrize("plan", EVERY_EMPLOYEE)
def test_T3_1_T5_1_T9_1_every_employee_may_host(plan: str) -> None:
    """By the customer's domains, by those of entities it controls by 50 %, by listing or by approval; exactly, whatever the case."""
    subscription = held(
        plan,
        entities=ENTITIES,
        hosts=[person("dora@elsewhere.example")],
        approvals=[approval("dora@elsewhere.example"), approval("emil@elsewhere.example")],
    )
    employees = [
        "Alice@Acme.example",
        "bruno+x@globex.example",
        "chiara@globex.TEST",
        "dora@elsewhere.example",
        "Emil@elsewhere.example",
    ]
    others = ["f@eu.acme.example", "g@initech.example", "h@elsewhere.example", "alice", "@acme.example", "", None]
    assert employees == may_host(terms(subscription), [*employees, *others])


def test_T3_1_a_host_that_is_listed_need_not_be_an_address() -> None:
    """What is no address is in no domain; it hosts where it is listed, which takes an approval."""
    subscription = held("meetings.corporate_access", hosts=[person("alice")], approvals=[approval("alice")])
    assert [] == faults(subscription)
    assert ["Alice"] == may_host(terms(subscription), ["Alice", "bruno"])


def test_T3_1_without_one_meeting_per_host_neither_T2_3_nor_T2_4_holds() -> None:
    """No bound of a host's meetings, and generic names host; T2.6 and T2.7 still hold."""
    subscription = held(
        "meetings.corporate_access",
        one_meeting_per_host=False,
        simultaneous_hosts=4,
        hosts=[{"id": "room1@acme.example"}],
        approvals=[approval("info@globex.example")],
    )
    assert [] == faults(subscription)
    asked = ["room1@acme.example", "room2@acme.example", "info@globex.example"]
    assert asked == may_host(terms(subscription), asked)
    limits = {"meeting": Limit(ceiling=100)}
    assert Licence(subscription.id, limits, by_host=True, counts_hosts=True) == ask(terms(subscription), asked[1])
    assert {"hosts:meeting": Limit(ceiling=4)} == subscription.limits()


@pytest.mark.parametrize("plan", [*EVERY_EMPLOYEE, "meetings.active_host_group"])
def test_T3_4_affiliates_and_contractors_need_an_approval(plan: str) -> None:
    """A listed host outside the enterprise is refused; an entity that is not controlled is outside."""
    hosts = [person(f"{name}.example") for name in ("a@acme", "b@globex", "c@initech", "d@elsewhere", "e@elsewhere")]
    found = faults(held(plan, hosts=hosts, entities=ENTITIES, approvals=[approval("e@elsewhere.example")]))
    assert [Fault(f"$.hosts[{position}].id", OUTSIDE_ENTERPRISE, "T3.4") for position in (2, 3)] == found


def test_T1_5_the_subscription_that_ends_first_gives_the_licence() -> None:
    """Of those that cover the owner, by address or by domain, whatever their order."""
    later = held("meetings.corporate_access", "2026-12-31", id="later", hosts=[person("alice@acme.example")])
    sooner = held("meetings.corporate_access", "2026-06-30", id="sooner")
    generic = held("meetings.corporate_access", "2027-12-31", id="generic", one_meeting_per_host=False)
    for compiled in (terms(later, generic, sooner), terms(sooner, later, generic)):
        asked = ("alice@acme.example", "bruno@acme.example", "room1@acme.example")
        answers = [ask(compiled, host) for host in asked]
        assert ["sooner", "sooner", "generic"] == [
            answer.subscription for answer in answers if isinstance(answer, Licence)
        ]


def test_T5_3_subscription_periods_divide_the_term() -> None:
    """They begin with the term's first day, follow each other without a gap, and end with its last."""

    def found(*periods: tuple[str, str]) -> list[tuple[str, str | None]]:
        terms_of = [{"from": f"2026-{first}", "to": f"2026-{last}"} for first, last in periods]
        subscription = held("meetings.active_host_enterprise", base_percentage=20, subscription_periods=terms_of)
        return [(fault.path.removeprefix("$.subscription_periods"), fault.rule) for fault in faults(subscription)]

    assert [] == found()
    assert [] == found(("01-01", "06-30"), ("07-01", "12-31"))
    assert [("[0].from", "T5.3")] == found(("01-02", "12-31"))
    assert [("[1].from", "T5.3")] == found(("01-01", "06-30"), ("07-02", "12-31"))
    assert [("[1].from", "T5.3")] == found(("01-01", "07-01"), ("07-01", "12-31"))
    assert [("[0].to", "T5.3")] == found(("01-01", "12-30"))


def test_T5_3_a_period_may_end_on_the_last_day_of_the_calendar() -> None:
    """No day follows it, and a period after it is a fault like any other."""
    period = {"from": "2026-01-01", "to": "9999-12-31"}
    one = held("meetings.active_host_group", "9999-12-31", subscription_periods=[period])
    two = held("meetings.active_host_group", "9999-12-31", subscription_periods=[period, period])
    assert [0, 1] == [len(faults(one)), len(faults(two))]


def test_T6_1_only_listed_members_of_the_department_host() -> None:
    """Neither another department's, nor employees by domain, nor who is only approved."""
    subscription = held(
        "meetings.active_host_group",
        entities=ENTITIES,
        hosts=[
            person("alice@acme.example", department="finance"),
            person("bruno@acme.example", department="legal"),
            person("chiara@acme.example"),
        ],
        approvals=[approval("dora@globex.example")],
    )
    asked = [f"{name}.example" for name in ("Alice@acme", "bruno@acme", "chiara@acme", "emil@acme", "dora@globex")]
    assert asked[:1] == may_host(terms(subscription), asked)


def test_T6_1_the_department_is_stated() -> None:
    """An order for a department says which."""
    with pytest.raises(ValidationError, match="department"):
        ADAPTER.validate_python(
            {"plan": "meetings.active_host_group", "term": {"from": "2026-01-01", "to": "2026-12-31"}}
        )


@pytest.mark.parametrize("plan", ["teams.named_host", "teams.enterprise"])
def test_T7_2_T9_1_the_gateway_includes_its_features(plan: str) -> None:
    """One-touch and relay are part of the paid plans (T10.2 is of the offer alone)."""
    assert frozenset({"one_touch", "relay"}) == held(plan).included_features


@pytest.mark.parametrize("plan", [plan for plan in FIELDS if plan.startswith("meetings.")])
def test_T1_3_streaming_is_included_where_it_was_ordered(plan: str) -> None:
    """And only there."""
    assert frozenset() == held(plan).included_features
    assert frozenset({"streaming"}) == held(plan, features=["streaming"]).included_features


def test_T9_1_generic_names_host_in_teams() -> None:
    """T2.4 does not hold, neither when provisioned nor at a join."""
    subscription = held("teams.enterprise", hosts=[{"id": "room1@acme.example"}], teams_licence="company_wide")
    asked = ["room1@acme.example", "room2@acme.example"]
    assert [] == faults(subscription)
    assert asked == may_host(terms(subscription), asked)


@pytest.mark.parametrize(
    ("plan", "fields", "place"),
    [
        ("meetings.named_host", {"department": "finance"}, "department"),
        ("teams.named_host", {"max_endpoints": 10}, "max_endpoints"),
        ("teams.named_host", {"pstn_limit": 10}, "pstn_limit"),
        ("teams.enterprise", {"teams_licence": "some"}, "teams_licence"),
        ("teams.enterprise", {"one_meeting_per_host": False}, "one_meeting_per_host"),
        ("meetings.corporate_access", {"one_meeting_per_host": "no"}, "one_meeting_per_host"),
        ("meetings.corporate_access", {"anchor_day": 32}, "anchor_day"),
        ("meetings.corporate_access", {"anchor_day": 0}, "anchor_day"),
        ("meetings.active_host_enterprise", {"base_percentage": 101}, "base_percentage"),
        ("meetings.active_host_enterprise", {"base_percentage": 0}, "base_percentage"),
        ("meetings.active_host_enterprise", {"one_meeting_per_host": True}, "one_meeting_per_host"),
        ("meetings.corporate_access", {"entities": [{**ENTITIES[0], "controlled_percent": 101}]}, "controlled_percent"),
        ("meetings.corporate_access", {"entities": [{**ENTITIES[0], "domains": []}]}, "domains"),
        ("meetings.corporate_access", {"certifications": [{"certified_on": "2026-01-01"}]}, "count"),
    ],
)
def test_the_shape_of_an_order_is_checked(plan: str, fields: dict[str, Any], place: str) -> None:
    """A field of another plan, and a value that it cannot have, is one fault at its place."""
    with pytest.raises(ValidationError) as caught:
        held(plan, **fields)
    assert [place] == [error["loc"][-1] for error in caught.value.errors()]


@pytest.mark.parametrize("plan", ["meetings.named_host", "meetings.active_host_enterprise"])
def test_a_hundred_thousand_hosts_are_compiled_within_a_second(plan: str) -> None:
    """Terms are compiled for every version and day, and looking up a host does not depend on how many there are."""
    people = [person(f"p{number}@acme.example") for number in range(100_000)]
    subscription = held(plan, quantity=100_000, hosts=people)
    begun = time.process_time()
    compiled = terms(subscription)
    assert time.process_time() - begun < 1
    begun = time.process_time()
    assert 1000 == len(may_host(compiled, [f"p{number}@acme.example" for number in range(0, 100_000, 100)]))
    assert time.process_time() - begun < 1


def test_a_host_that_was_looked_at_is_still_the_same_value() -> None:
    """What is kept for speed is no part of the value and of its document."""
    one, other = (Host.model_validate(person("Alice@Acme.example")) for _ in range(2))
    assert "alice@acme.example" == one.address
    assert one == other
    assert one.model_dump() == other.model_dump()
