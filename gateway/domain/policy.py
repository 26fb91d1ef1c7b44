"""Policy: compiles a join to claims, by the subscriptions of its customer that are active on one day.

Levels follow from the join alone, so that a change of plans loses no count; a plan only attaches a limit to a level (`licensing.PlanTerms`).
The chains are

    meeting -> host -> hosts      ports            (service meeting)
    meeting -> host -> hosts      teams_ports      (service teams)
    live -> events      panel      attendees       (service event; moderators alone rehearse: they make no event live, T11.1)

Policy is pure: the same record, day and join give the same claims on every gateway.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from gateway.domain.addresses import normal_address
from gateway.domain.catalogue import Customer
from gateway.domain.claims import Binding, Check, Claims, Count, Deny, Require, group_name
from gateway.domain.join import Endpoint, Join, Role, Service
from gateway.domain.licensing import Licence, Limit, PlanTerms
from gateway.domain.plans import TERMS
from gateway.domain.plans.concurrent_connections import ConcurrentConnections
from gateway.domain.reasons import Reason


Status = Literal["active", "suspended", "terminated"]

POOLS: dict[Service, tuple[str, Reason]] = {
    Service.MEETING: ("ports", Reason.PORTS_FULL),
    Service.TEAMS: ("teams_ports", Reason.TEAMS_PORTS_FULL),
}
"""The pool in which every leg of a service counts (T4.1, T8.1)."""

TEAMS_ENDPOINTS = frozenset({Endpoint.H323, Endpoint.SIP})
"""Room systems, the only ones that the Teams gateway brings in (T7.1)."""

REPORTED_POOLS = {
    "ports": "ports",
    "teams_ports": "teams_ports",
    "hosts": "hosts:meeting",
    "teams_hosts": "hosts:teams",
    "events": "events:event",
}
"""Groups that count for a whole customer, by the names under which reports show them, in their order."""

_UNBOUNDED = Limit()


@dataclass(frozen=True, slots=True)
class Record:
    """What the store holds of a customer at one version; `customer` is None where there is none (any more)."""

    version: int
    customer: Customer | None = None
    status: Status = "active"
    status_reason: str | None = None
    status_at_ms: int | None = None
    status_by: str | None = None


class Policy:
    """A record on one day, ready to compile joins."""

    def __init__(self, record: Record, day: int) -> None:
        self.record = record
        self.day = day
        self._services = _services(record.customer, day) if record.customer else {}
        self._shadow = record.customer is not None and record.customer.mode == "shadow"
        self.mode = "shadow" if self._shadow else "enforce"
        self.limits = {
            group: limit
            for service, terms in self._services.items()
            for group, limit in terms.reported_limits(service).items()
        }
        """Limits of the customer by group, for reports."""

    def claims(self, join: Join, facts: str | None = None) -> Claims:
        """The claims of a join, in the order of reasons; a single `Deny` where policy refuses by itself.

        `facts` are those that the meeting was bound to when it went live; they take the place of what the join says (terms: "host").
        """
        if facts is not None:
            host, department = Binding.parse(facts)
            join = msgspec.structs.replace(join, host=host, department=department)
        binding = _binding(join, live=facts is not None)
        status = self._status_denial()
        if status is not None:
            return self._denied(binding, status, shadow=False)
        licence = self._licence(join)
        if isinstance(licence, Reason):
            return self._denied(binding, licence, shadow=self._shadow)
        terms = self._services[join.service]
        limits = {**terms.limits, **licence.limits}
        checks = (
            _event_checks(join, limits) if join.service is Service.EVENT else _meeting_checks(join, limits, licence)
        )
        return Claims(
            version=self.record.version,
            day=self.day,
            checks=checks,
            binding=binding,
            licensed_by=licence.subscription,
            counted_in=terms.counted_in + licence.counts_in,
            shadow=self._shadow,
        )

    def _denied(self, binding: Binding, reason: Reason, *, shadow: bool) -> Claims:
        return Claims(version=self.record.version, day=self.day, checks=(Deny(reason),), binding=binding, shadow=shadow)

    def _status_denial(self) -> Reason | None:
        """T20.1; these hold in shadow mode too."""
        if self.record.customer is None:
            return Reason.CUSTOMER_UNKNOWN
        if self.record.status == "terminated":
            return Reason.CUSTOMER_TERMINATED
        if self.record.status == "suspended":
            return Reason.CUSTOMER_SUSPENDED
        return None

    def _licence(self, join: Join) -> Licence | Reason:
        """The first plan that licenses the meeting, else the reason of the first that does not."""
        customer = self.record.customer
        assert customer is not None, "status was checked before"
        terms = self._services.get(join.service)
        if terms is None:  # T1.1
            held = any(subscription.service is join.service for subscription in customer.subscriptions)
            return Reason.SUBSCRIPTION_INACTIVE if held else Reason.SERVICE_NOT_LICENSED
        if join.service is Service.TEAMS and join.endpoint not in TEAMS_ENDPOINTS:  # T7.1
            return Reason.ENDPOINT_NOT_SUPPORTED
        answers = [plan.license(join) for plan in terms.plans]
        licences = [answer for answer in answers if isinstance(answer, Licence)]
        return licences[0] if licences else answers[0]


def commitments(customer: Customer | None, day: int) -> dict[str, int]:
    """Commitment of each metered pool on a day (T1.5, T4.3, T8.2); a pool without an active subscription has none."""
    found: dict[str, int] = {}
    for subscription in customer.subscriptions if customer else ():
        if isinstance(subscription, ConcurrentConnections) and subscription.term.contains(day):
            found[subscription.pool] = found.get(subscription.pool, 0) + subscription.committed
    return found


@dataclass(frozen=True, slots=True)
class _ServiceTerms:
    """All active plans of one service, in the order in which they may license a meeting."""

    plans: tuple[PlanTerms, ...]
    limits: Mapping[str, Limit]
    counted_in: tuple[str, ...]

    def reported_limits(self, service: Service) -> dict[str, Limit]:
        """Limits of groups that count for the whole customer."""
        pool = POOLS.get(service, ("", None))[0]
        return {level if level == pool else group_name(level, service): limit for level, limit in self.limits.items()}


def _services(customer: Customer, day: int) -> dict[Service, _ServiceTerms]:
    """Terms of each service with at least one active subscription (T1.1)."""
    services: dict[Service, list[PlanTerms]] = defaultdict(list)
    for kind, terms in TERMS.items():
        active = [held for held in customer.subscriptions if isinstance(held, kind) and held.term.contains(day)]
        if active:
            services[active[0].service].append(terms(active))
    return {
        service: _ServiceTerms(
            plans=tuple(plans),
            limits={level: limit for plan in plans for level, limit in plan.limits.items()},
            counted_in=tuple([subscription for plan in plans for subscription in plan.counted_in]),
        )
        for service, plans in services.items()
    }


def _binding(join: Join, *, live: bool) -> Binding:
    """What the leg that makes the meeting live fixes: its owner, and of an event the department (T12.1)."""
    host = normal_address(join.host) if join.host else None
    if join.service is Service.EVENT:
        return Binding(group_name("live", join.service, join.meeting), host, join.department, live)
    return Binding(group_name("meeting", join.service, join.meeting), host, None, live)


def _meeting_checks(join: Join, limits: Mapping[str, Limit], licence: Licence) -> tuple[Check, ...]:
    """Checks of services meeting and teams, in the order of reasons."""
    checks: list[Check] = []
    service = join.service
    meeting = group_name("meeting", service, join.meeting)
    host = group_name("host", service, normal_address(join.host)) if join.host else None
    if host:
        hosts = group_name("hosts", service)
        checks.append(_count(host, Reason.HOST_BUSY, limits, parent=hosts, first=False))
        checks.append(_count(hosts, Reason.HOSTS_FULL, limits, first=False))
    if licence.host_begins and join.role is not Role.HOST:
        checks.append(Require(meeting, Reason.HOST_NOT_PRESENT))  # T4.4
    checks.append(_count(meeting, Reason.MEETING_FULL, limits, parent=host))
    pool, reason = POOLS[service]
    checks.append(_count(pool, reason, limits))
    return tuple(checks)


def _event_checks(join: Join, limits: Mapping[str, Limit]) -> tuple[Check, ...]:
    """Checks of events, in the order of reasons (T11.1 - T11.4, T12.1)."""
    checks: list[Check] = []
    service, event = join.service, join.meeting
    if join.role is not Role.MODERATOR:
        events = group_name("events", service)
        checks.append(_count(events, Reason.EVENTS_CONCURRENT_FULL, limits, first=False))
        checks.append(_count(group_name("live", service, event), Reason.EVENTS_CONCURRENT_FULL, limits, parent=events))
    if join.role is not Role.ATTENDEE:
        checks.append(_count(group_name("panel", service, event), Reason.PANEL_FULL, limits))
    if join.role is not Role.MODERATOR:
        checks.append(_count(group_name("attendees", service, event), Reason.EVENT_FULL, limits))
    return tuple(checks)


def _count(
    group: str, reason: Reason, limits: Mapping[str, Limit], *, parent: str | None = None, first: bool = True
) -> Count:
    limit = limits.get(group.partition(":")[0], _UNBOUNDED)
    return Count(group, reason, limit.ceiling, limit.committed, parent, first)
