"""What a customer holds on one day, ready to be asked: the terms of each service, and what is counted for the customer as a whole."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.domain.catalogue import Customer
from gateway.domain.claims import group_name
from gateway.domain.customer import Order, Streaming, Subscription
from gateway.domain.join import Join, Service
from gateway.domain.licensing import Licence, PlanTerms
from gateway.domain.limits import Limit, total
from gateway.domain.plans import TERMS
from gateway.domain.plans.calling import calling_terms
from gateway.domain.plans.china import ChinaAccess, china_refusal
from gateway.domain.plans.enterprise_hosts import EnterprisePlan
from gateway.domain.plans.rooms import RoomSubscription, room_licences
from gateway.domain.reasons import Reason


POOLS = {Service.MEETING: ("ports", Reason.PORTS_FULL), Service.TEAMS: ("teams_ports", Reason.TEAMS_PORTS_FULL)}
"""The pool in which every leg of a service counts (T4.1, T8.1)."""

CHINA = "china"

REPORTED_POOLS = {
    "ports": "ports",
    "teams_ports": "teams_ports",
    CHINA: CHINA,
    "pstn": group_name("pstn", Service.MEETING),
    "event_pstn": group_name("pstn", Service.EVENT),
    "hosts": group_name("hosts", Service.MEETING),
    "teams_hosts": group_name("hosts", Service.TEAMS),
    "events": group_name("events", Service.EVENT),
}
"""Groups that count for a whole customer, by the names under which reports show them, in their order."""

METERED_POOLS = ("ports", "teams_ports", CHINA, "pstn", "event_pstn")
"""Those of them that have a commitment, and so a register of each day."""

POOL_OF_GROUP = {REPORTED_POOLS[pool]: pool for pool in METERED_POOLS}
"""Metered pools by the groups that they are."""


class ServiceTerms:
    """The active subscriptions that license meetings of one service, in the order in which they may."""

    def __init__(self, subscriptions: Sequence[Subscription], plans: Sequence[PlanTerms]) -> None:
        self._plans = plans
        self.features = frozenset().union(*[held.included_features for held in subscriptions])
        self.streaming = _widest(
            [held.streaming for held in subscriptions if isinstance(held, Order) and "streaming" in held.features]
        )

    def licences(self, join: Join, licence: str | None = None) -> Sequence[Licence] | Reason:
        """The licences under which the meeting may run, the preferred first, else the reason of the first plan that gives none.

        A meeting that is live keeps its `licence`, as long as that is in force. The next plan is asked where one gives no licence, or leaves
        to it what it has no room for (T12.2).
        """
        if licence is None:
            answer = self._plans[0].license(join)
            if not isinstance(answer, Reason) and not answer[-1].fallback:
                return answer  # by far the most joins
        found: list[Licence] = []
        refused: Reason | None = None
        for plan in self._plans:
            answer = plan.license(join)
            if isinstance(answer, Reason):
                refused = refused or answer
                continue
            kept = next((each for each in answer if each.subscription == licence), None)
            if kept is not None:
                return (kept,)
            if not found or found[-1].fallback:
                found += answer
            if licence is None and not answer[-1].fallback:
                break
        assert found or refused, "a service has a plan"
        return found or refused  # type: ignore[return-value]  # the assertion says that one of them is there


@dataclass(frozen=True, slots=True)
class CustomerLimit:
    """Bounds of a group that is counted for the whole customer, and the subscriptions that they come from."""

    limit: Limit
    counted_in: tuple[str, ...]


class Contract:
    """A customer's active subscriptions on a day."""

    def __init__(self, customer: Customer, day: int) -> None:
        held = customer.subscriptions
        active = [subscription for subscription in held if subscription.active(day)]
        self._services_held = frozenset([subscription.service for subscription in held])
        self.domains = customer.own_domains
        self.anchor_days = {each.id: each.anchor_day for each in active if isinstance(each, EnterprisePlan)}
        plans = _plans(active, customer)
        self._services = {
            service: ServiceTerms([each for each in active if each.service is service], terms)
            for service, terms in plans.items()
        }
        self.limits = customer_limits(active)
        self.rooms = room_licences([each for each in active if isinstance(each, RoomSubscription)])
        self.calling = calling_terms(held, day)
        self.access_refusal = china_refusal([each for each in held if isinstance(each, ChinaAccess)], day)

    def service(self, service: Service) -> ServiceTerms | Reason:
        """The terms of a service, or why there are none (T1.1)."""
        terms = self._services.get(service)
        if terms is not None:
            return terms
        return Reason.SUBSCRIPTION_INACTIVE if service in self._services_held else Reason.SERVICE_NOT_LICENSED

    @property
    def allows_calling(self) -> bool:
        """Whether `call_me` and `premium` are licensed: by T15 or T16, beside a Meetings or Events subscription (T15.1)."""
        return self.calling is not None and not self._services.keys().isdisjoint({Service.MEETING, Service.EVENT})


def commitments(customer: Customer | None, day: int) -> dict[str, int]:
    """Commitment of each metered group on a day (T1.5, T4.3, T8.2).

    One without an active subscription has none; legs that outlive the term are held at its last commitment, which the register keeps (T1.4).
    """
    limits = customer_limits([held for held in customer.subscriptions if held.active(day)] if customer else ())
    return {group: found.limit.committed for group, found in limits.items() if found.limit.committed is not None}


def customer_limits(active: Iterable[Subscription]) -> dict[str, CustomerLimit]:
    """Bounds by group, added up over the subscriptions that state them (T1.5)."""
    parts: dict[str, list[tuple[Limit, str]]] = defaultdict(list)
    for subscription in active:
        for group, limit in subscription.limits().items():
            parts[group].append((limit, subscription.id))
    return {
        group: CustomerLimit(
            Limit(total([limit.ceiling for limit, _ in stated]), total([limit.committed for limit, _ in stated])),
            tuple([subscription for limit, subscription in stated if limit.committed is not None]),
        )
        for group, stated in parts.items()
    }


def _plans(active: Sequence[Subscription], customer: Customer) -> dict[Service, list[PlanTerms]]:
    plans: dict[Service, list[PlanTerms]] = defaultdict(list)
    for kind, terms in TERMS.items():
        held = [subscription for subscription in active if isinstance(subscription, kind)]
        if held and held[0].service is not None:
            plans[held[0].service].append(terms(held, customer))
    return plans


def _widest(streaming: Sequence[Streaming]) -> Streaming:
    """How far a meeting may stream where several orders include it: as far as the widest of them (T1.3)."""
    minutes = [each.max_minutes for each in streaming]
    endpoints = [each.max_endpoints for each in streaming]
    return Streaming(
        max_minutes=None if None in minutes else max([each for each in minutes if each], default=None),
        max_endpoints=None if None in endpoints else max([each for each in endpoints if each], default=None),
    )
