"""Policy: compiles a join to claims, by what its customer holds on one day.

Levels follow from the join alone, so that a change of plans loses no count; a plan only attaches a limit to a level. Only the level of the
licence (`hosts`, `events`) is bound when a meeting goes live. The chains are

    meeting -> host -> hosts      ports          (service meeting)          pstn        china
    meeting -> host -> hosts      teams_ports    (service teams)            room_leg -> room
    attendees -> events           panel          (service event; moderators alone rehearse: they make no event live, T11.1)

Policy is pure: the same record, day, join and facts give the same claims on every gateway.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from gateway.domain.addresses import normal_address
from gateway.domain.checks import Situation, alternative
from gateway.domain.claims import Alternative, Claims, Deny, Facts, group_name
from gateway.domain.contract import Contract, ServiceTerms
from gateway.domain.join import Endpoint, Join, Role, Service
from gateway.domain.licensing import Licence
from gateway.domain.limits import Limit
from gateway.domain.reasons import Reason
from gateway.domain.record import Record


TEAMS_ENDPOINTS = frozenset({Endpoint.H323, Endpoint.SIP})
"""Room systems, the only ones that the Teams gateway brings in (T7.1)."""

RESTRICTED_FEATURES = {
    Service.MEETING: frozenset({"streaming"}),
    Service.TEAMS: frozenset({"one_touch", "relay", "streaming"}),
    Service.EVENT: frozenset({"streaming"}),
}
"""Features that must be in an order of the service (T1.3, T10.2)."""

CALLING_TO_LICENSE = frozenset({"call_me", "premium"})


class Policy:
    """A record on one day, ready to compile joins."""

    def __init__(self, record: Record, day: int) -> None:
        self.record = record
        self.day = day
        self.contract = Contract(record.customer, day) if record.customer else None
        self._shadow = record.customer is not None and record.customer.mode == "shadow"
        self.mode = "shadow" if self._shadow else "enforce"

    def claims(self, join: Join, live: Facts | None = None, *, exempt: bool = False) -> Claims:
        """The claims of a join, in the order of reasons; a single `Deny` where policy refuses by itself.

        `live` are the facts of the meeting where it is live; they take the place of what the join says (terms: "host"). `exempt`: the leg
        comes from another meeting of the same owner; it waits for no host (T4.4).
        """
        host = self.owner(join, live)
        if live is not None:
            join = msgspec.structs.replace(join, host=live.host, department=live.department)
        facts = live or Facts(host, join.department if join.service is Service.EVENT else None)
        status = self._status_denial()
        if status is not None:
            return self._claims(join, live, (_denial(status, facts),), shadow=False)
        assert self.contract is not None, "an unknown customer was denied"
        found = self._licences(join, facts, self.contract)
        if isinstance(found, Reason):
            return self._claims(join, live, (_denial(found, facts),), shadow=self._shadow)
        terms, licences = found
        situation = Situation(self.contract, self.day, facts, terms.streaming, exempt)
        alternatives = tuple([alternative(join, licence, situation) for licence in licences])
        return self._claims(join, live, alternatives, shadow=self._shadow)

    def limit(self, group: str) -> Limit | None:
        """Bounds of a group that is counted for the whole customer, for reports; None: no subscription states any."""
        found = self.contract.limits.get(group) if self.contract else None
        stated = found is not None and found.limit != Limit()
        return found.limit if found is not None and stated else None

    @staticmethod
    def owner(join: Join, live: Facts | None) -> str | None:
        """Whose meeting it is: fixed while it is live, otherwise as the join says (terms: "host")."""
        if live is not None:
            return live.host
        return normal_address(join.host) if join.host else None

    def _claims(
        self,
        join: Join,
        live: Facts | None,
        alternatives: tuple[Alternative, ...],
        *,
        shadow: bool,
    ) -> Claims:
        person = None
        if join.person and join.service is not Service.TEAMS:
            person = f"{group_name('person', join.service, join.meeting)}\x1f{normal_address(join.person)}"
        return Claims(
            version=self.record.version,
            day=self.day,
            alternatives=alternatives,
            bind_group=bind_group(join),
            live_facts=live,
            person_group=person,
            audio=_audio(join),
            shadow=shadow,
        )

    def _status_denial(self) -> Reason | None:
        """T20.1; these hold in shadow mode too."""
        if self.record.customer is None:
            return Reason.CUSTOMER_UNKNOWN
        if self.record.status == "terminated":
            return Reason.CUSTOMER_TERMINATED
        if self.record.status == "suspended":
            return Reason.CUSTOMER_SUSPENDED
        return None

    def _licences(
        self, join: Join, facts: Facts, contract: Contract
    ) -> tuple[ServiceTerms, Sequence[Licence]] | Reason:
        """The licences that the meeting may run under, or the first reason for which policy refuses by itself."""
        terms = contract.service(join.service)
        if isinstance(terms, Reason):  # T1.1
            return terms
        refused = _refusal(join, contract, terms)
        if refused is not None:
            return refused
        licences = terms.licences(join, facts.licence)
        if isinstance(licences, Reason):
            return licences
        if facts.host in self.record.suspended_hosts:  # T20.1
            return Reason.HOST_SUSPENDED
        return _room_refusal(join, contract) or (terms, licences)


def _refusal(join: Join, contract: Contract, terms: ServiceTerms) -> Reason | None:
    """Features, access, numbers, endpoint; in the order of reasons."""
    if join.calling in CALLING_TO_LICENSE and not contract.allows_calling:  # T15.1
        return Reason.FEATURE_NOT_LICENSED
    if join.features and (RESTRICTED_FEATURES[join.service] & set(join.features)) - terms.features:  # T1.3, T10.2
        return Reason.FEATURE_NOT_INCLUDED
    if join.access == "china" and contract.access_refusal is not None:  # T17.1, T17.2
        return contract.access_refusal
    # The person's number of a Call Me, the access number of a dial-in.
    number = join.number if join.calling == "call_me" else join.access_number
    if number is not None and contract.calling is not None and contract.calling.blocks(number):  # T15.2
        return Reason.NUMBER_BLOCKED
    if join.service is Service.TEAMS and join.endpoint not in TEAMS_ENDPOINTS:  # T7.1
        return Reason.ENDPOINT_NOT_SUPPORTED
    return None


def _room_refusal(join: Join, contract: Contract) -> Reason | None:
    """T13.1, T13.2; a join without a room is not checked."""
    if join.room is None:
        return None
    if normal_address(join.room) not in contract.rooms:
        return Reason.ROOM_NOT_LICENSED
    return Reason.ROOM_CANNOT_HOST if join.role in {Role.HOST, Role.MODERATOR} else None


def bind_group(join: Join) -> str:
    """The group that keeps the facts of the meeting: live with it."""
    return group_name("attendees" if join.service is Service.EVENT else "meeting", join.service, join.meeting)


def _denial(reason: Reason, facts: Facts) -> Alternative:
    return Alternative(checks=(Deny(reason),), facts=facts)


def _audio(join: Join) -> Literal["no", "alone", "yes"]:
    """T1.2: audio-only, or a telephone that may turn out to be somebody's second leg."""
    if join.service is Service.TEAMS:
        return "no"
    if join.media == "audio":
        return "yes"
    if join.endpoint is Endpoint.PSTN:
        return "alone" if join.person else "yes"
    return "no"
