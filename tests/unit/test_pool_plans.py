"""The plans of connection pools (T4, T8, T10): limits of the pool, the licence it gives, and what is refused when it is provisioned."""

import datetime as dt
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.domain.contract import CustomerLimit, customer_limits
from gateway.domain.customer import CustomerBase, Fault
from gateway.domain.join import Endpoint, Join, Role, Service
from gateway.domain.licensing import Licence, PlanTerms
from gateway.domain.limits import Limit
from gateway.domain.plans import TERMS, AnySubscription
from gateway.domain.plans.concurrent_connections import Pool


PORTS, TEAMS, OFFER = "meetings.concurrent_connections", "teams.concurrent_connections", "teams.special_offer"
OFFERED = {"committed": 2, "signed_on": "2026-01-01", "company_group": "acme-group"}
ADAPTER: TypeAdapter[Any] = TypeAdapter(AnySubscription)


def acme(**fields: Any) -> CustomerBase:
    """A customer."""
    return CustomerBase.model_validate(
        {"id": "acme", "name": "Acme Corporation", "domains": ["acme.example"], **fields}
    )


def held(plan: str, first: str = "2026-01-01", last: str = "2026-12-31", **fields: Any) -> Pool:
    """A subscription of a pool."""
    defaults = OFFERED if plan == OFFER else {"committed": 10, "enforcement": "metered"}
    data = {"plan": plan, "term": {"from": first, "to": last}, **defaults, **fields}
    subscription: Pool = ADAPTER.validate_python(data)
    return subscription


def terms(*subscriptions: Pool) -> PlanTerms:
    """What subscriptions of one plan mean on a day."""
    return TERMS[type(subscriptions[0])](subscriptions, acme())


def faults(subscription: Pool, **customer: Any) -> list[Fault]:
    """What is refused when it is provisioned."""
    return list(subscription.faults(acme(**customer), "$"))


def join(service: Service, host: str | None) -> Join:
    """A join of a meeting that this host owns."""
    return Join(
        customer="acme",
        connection="c1",
        service=service,
        meeting="m1",
        endpoint=Endpoint.SIP,
        role=Role.PARTICIPANT,
        host=host,
    )


@pytest.mark.parametrize(
    ("plan", "pool", "fields", "limit"),
    [
        (PORTS, "ports", {}, Limit(ceiling=None, committed=10)),
        (PORTS, "ports", {"ceiling": 15}, Limit(ceiling=15, committed=10)),
        (PORTS, "ports", {"enforcement": "hard"}, Limit(ceiling=10, committed=10)),
        (PORTS, "ports", {"committed": 0, "enforcement": "hard"}, Limit(ceiling=0, committed=0)),
        (TEAMS, "teams_ports", {}, Limit(ceiling=None, committed=10)),
        (TEAMS, "teams_ports", {"ceiling": 10}, Limit(ceiling=10, committed=10)),
        (TEAMS, "teams_ports", {"enforcement": "hard"}, Limit(ceiling=10, committed=10)),
        (OFFER, "teams_ports", {}, Limit(ceiling=None, committed=2)),
        (OFFER, "teams_ports", {"enforcement": "hard"}, Limit(ceiling=2, committed=2)),
    ],
)
def test_T4_1_T8_1_T10_3_a_pool_is_metered_or_refuses(
    plan: str, pool: str, fields: dict[str, Any], limit: Limit
) -> None:
    """Metered up to a ceiling if there is one, hard at what was ordered; the offer lets in, or refuses."""
    subscription = held(plan, id="held", **fields)
    assert {pool: limit} == subscription.limits()
    assert {pool: CustomerLimit(limit, ("held",))} == customer_limits([subscription])


@pytest.mark.parametrize(("plan", "pool"), [(PORTS, "ports"), (TEAMS, "teams_ports"), (OFFER, "teams_ports")])
def test_T4_3_T8_2_overage_is_measured_against_what_was_ordered(plan: str, pool: str) -> None:
    """Each subscription commits to its pool, and the customer to all of them together."""
    one, two = held(plan, id="one", committed=2), held(plan, id="two", committed=5)
    assert [2, 5] == [one.limits()[pool].committed, two.limits()[pool].committed]
    assert 7 == customer_limits([one, two])[pool].limit.committed


@pytest.mark.parametrize(
    ("ceilings", "limit"),
    [((15, 25), Limit(ceiling=40, committed=20)), ((15, None), Limit(ceiling=None, committed=20))],
)
def test_T1_5_subscriptions_of_one_pool_add_up(ceilings: tuple[int | None, ...], limit: Limit) -> None:
    """Commitments and ceilings; one without a ceiling leaves none. All are counted in, the one that ends first licenses."""
    later, sooner = (
        held(PORTS, last=last, id=name, ceiling=ceiling)
        for name, last, ceiling in zip(("later", "sooner"), ("2026-12-31", "2026-06-30"), ceilings, strict=True)
    )
    answer = terms(later, sooner).license(join(Service.MEETING, None))
    assert {"ports": CustomerLimit(limit, ("later", "sooner"))} == customer_limits([later, sooner])
    assert (Licence("sooner", {"meeting": Limit(ceiling=100)}, host_begins=True),) == answer


@pytest.mark.parametrize("host", ["alice@acme.example", "bruno@globex.example", None])
def test_T4_1_T4_4_ports_license_any_meeting_that_a_host_begins(host: str | None) -> None:
    """Whoever owns it, with as many endpoints as the order states (T4.5, T2.6), and no bound of the host's."""
    answer = terms(held(PORTS, max_endpoints=12)).license(join(Service.MEETING, host))
    assert (Licence(PORTS, {"meeting": Limit(ceiling=12)}, host_begins=True),) == answer


@pytest.mark.parametrize("plan", [TEAMS, OFFER])
@pytest.mark.parametrize("host", ["alice@acme.example", None])
def test_T8_1_T10_3_teams_connections_license_any_teams_meeting(plan: str, host: str | None) -> None:
    """Without a bound of its size or of its host, and without a host that comes first."""
    assert (Licence(plan),) == terms(held(plan)).license(join(Service.TEAMS, host))


@pytest.mark.parametrize(("enforcement", "ceiling"), [("metered", None), ("hard", 3)])
def test_T15_3_a_pstn_limit_is_a_commitment_beside_the_pool(enforcement: str, ceiling: int | None) -> None:
    """Both of one order; hard, it refuses too, whatever the pool does."""
    limits = held(PORTS, pstn_limit=3, pstn_enforcement=enforcement).limits()
    assert {"ports": Limit(committed=10), "pstn:meeting": Limit(ceiling, committed=3)} == limits


def test_T10_2_the_offer_includes_only_what_was_bought() -> None:
    """The paid plan includes both features of the gateway, Ports only streaming where it was ordered (T1.3)."""
    subscriptions = [held(OFFER), held(OFFER, features=["relay"]), held(TEAMS), held(PORTS, features=["streaming"])]
    assert [[], ["relay"], ["one_touch", "relay"], ["streaming"]] == [
        sorted(subscription.included_features) for subscription in subscriptions
    ]


@pytest.mark.parametrize(
    ("committed", "rules"), [(0, ["T10.1"]), (1, ["T10.1"]), (2, []), (3, ["T10.1"]), (5, []), (6, ["T10.1"])]
)
def test_T10_1_the_offer_is_for_2_or_5_connections(committed: int, rules: list[str]) -> None:
    """Any other number is refused."""
    found = faults(held(OFFER, committed=committed, employee_count=1000))
    assert rules == [fault.rule for fault in found]
    assert {"$.committed"} >= {fault.path for fault in found}


@pytest.mark.parametrize(
    ("own", "customer", "told"),
    [
        (None, None, "none are stated"),
        (999, None, "999 are stated"),
        (None, 999, "999 are stated"),
        (1000, None, None),
        (None, 1000, None),
        (10, 1000, None),
    ],
)
def test_T10_1_five_connections_need_1000_employees(own: int | None, customer: int | None, told: str | None) -> None:
    """Stated with the order or of the customer; two connections need none."""
    found = faults(held(OFFER, committed=5, employee_count=own), employee_count=customer)
    message = f"5 connections are offered from 1000 employees; {told}"
    assert ([Fault("$.employee_count", message, "T10.1")] if told else []) == found
    assert [] == faults(held(OFFER, committed=2, employee_count=own), employee_count=customer)


@pytest.mark.parametrize(
    ("signed", "first", "last", "good"),
    [
        ("2026-01-01", "2026-01-01", "2026-12-31", True),
        ("2026-03-15", "2026-03-15", "2027-03-14", True),
        ("2024-02-29", "2024-02-29", "2025-02-28", True),
        ("2024-02-29", "2024-02-29", "2025-02-27", False),
        ("2023-03-01", "2023-03-01", "2024-02-29", True),
        ("2026-03-15", "2026-03-16", "2027-03-14", False),
        ("2026-03-15", "2026-03-15", "2027-03-15", False),
        ("2026-03-15", "2026-03-15", "2027-03-13", False),
        ("9999-12-31", "9999-12-31", "9999-12-31", True),
    ],
)
def test_T10_1_the_offer_is_for_12_months_from_signing(signed: str, first: str, last: str, *, good: bool) -> None:
    """From the day of signing to the day before its anniversary, exactly."""
    found = faults(held(OFFER, first, last, signed_on=signed))
    assert ([] if good else [("$.term", "T10.1")]) == [(fault.path, fault.rule) for fault in found]


def test_T10_3_the_offer_may_be_ended_on_notice() -> None:
    """It is in force up to and with `ends_on`, and within its term."""
    ended = held(OFFER, ends_on="2026-06-30")
    days = [dt.date(2025, 12, 31), dt.date(2026, 1, 1), dt.date(2026, 6, 30), dt.date(2026, 7, 1)]
    assert [False, True, True, False] == [ended.active(day.toordinal()) for day in days]
    assert [False, True, True, True] == [held(OFFER).active(day.toordinal()) for day in days]


@pytest.mark.parametrize(
    ("plan", "fields", "place"),
    [
        (OFFER, {"enforcement": "metered"}, "enforcement"),
        (OFFER, {"ceiling": 5}, "ceiling"),
        (OFFER, {"features": ["streaming"]}, 0),
        (OFFER, {"signed_on": "2026"}, "signed_on"),
        (OFFER, {"company_group": None}, "company_group"),
        (TEAMS, {"max_endpoints": 10}, "max_endpoints"),
        (TEAMS, {"features": ["relay"]}, "features"),
        (TEAMS, {"enforcement": "notify"}, "enforcement"),
        (PORTS, {"features": ["one_touch"]}, 0),
        (PORTS, {"ceiling": 9}, PORTS),
        (PORTS, {"ceiling": 10, "enforcement": "hard"}, PORTS),
    ],
)
def test_the_shape_of_an_order_is_checked(plan: str, fields: dict[str, Any], place: str | int) -> None:
    """A field of another plan, and a value that it cannot have, is one fault at its place."""
    with pytest.raises(ValidationError) as caught:
        held(plan, **fields)
    assert [place] == [error["loc"][-1] for error in caught.value.errors()]
