"""The customers and joins that are measured."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gateway.domain.catalogue import Customer, parse_customer
from gateway.domain.join import Endpoint, Join, Role, Service


LEGS_PER_MEETING = 10
LEGS_PER_EVENT = 100
PANEL_PER_EVENT = 5
FULL_AT = 100
PLENTY = 1_000_000
TERM = {"from": "2020-01-01", "to": "2099-12-31"}
NAMES_MAX = 100_000


def connection_id(number: int) -> str:
    """Ids of the length that media servers use: 36 characters."""
    return str(uuid.UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128))


def ports(committed: int, *, enforcement: str = "metered", **fields: Any) -> dict[str, Any]:
    """A subscription of concurrent connections."""
    plan = {"plan": "meetings.concurrent_connections", "term": TERM}
    return {**plan, "committed": committed, "enforcement": enforcement, **fields}


def customer(name: str, *subscriptions: dict[str, Any]) -> Customer:
    """A customer that holds these."""
    domains = ["acme.example"]
    return parse_customer({"id": name, "name": name.title(), "domains": domains, "subscriptions": list(subscriptions)})


def _rooms(quantity: int) -> dict[str, Any]:
    rooms = [{"id": f"room-{number}"} for number in range(quantity)]
    return {"plan": "rooms.network_room", "term": TERM, "quantity": quantity, "rooms": rooms}


def _named_hosts(quantity: int, **fields: Any) -> dict[str, Any]:
    hosts = [
        {"id": f"owner{n}@acme.example", "given_name": f"Owner{n}", "family_name": "Example"} for n in range(quantity)
    ]
    return {"plan": "meetings.named_host", "term": TERM, "quantity": quantity, "hosts": hosts, **fields}


def _teams(committed: int) -> dict[str, Any]:
    return {"plan": "teams.concurrent_connections", "term": TERM, "committed": committed, "enforcement": "metered"}


def _events(licences: int) -> dict[str, Any]:
    return {
        "plan": "events.unlimited",
        "term": TERM,
        "departments": {"finance": licences},
        "max_attendees": LEGS_PER_EVENT,
    }


@dataclass(frozen=True, slots=True)
class Case:
    """A customer and the joins that it gets."""

    name: str
    customer: Customer
    service: Service
    endpoint: Endpoint = Endpoint.WEB
    hosts: int = 0
    """How many named hosts the meetings are spread over; 0: meetings have no host."""
    all_hosts: bool = False
    """Whether every leg has the role host, so that none waits for one (T4.4)."""
    combined: bool = False
    """Whether every leg is a telephone call from a licensed room by way of the China access: as many levels as a join can take."""

    def joins(self, count: int, *, first: int = 0) -> Iterator[Join]:
        """Joins in the order in which they are asked about; numbers from `first` on."""
        for number in range(first, first + count):
            yield self._event_join(number) if self.service is Service.EVENT else self._meeting_join(number)

    def _meeting_join(self, number: int) -> Join:
        meeting, seat = divmod(number, LEGS_PER_MEETING)
        return Join(
            customer=self.customer.id, connection=connection_id(number), service=self.service, meeting=f"meeting-{meeting:07d}",
            endpoint=self.endpoint, role=Role.HOST if (seat == 0 or self.all_hosts) and not self.combined else Role.PARTICIPANT,
            host=f"owner{meeting % self.hosts}@acme.example" if self.hosts else None, person=f"person-{number:07d}",
            room=f"room-{number % NAMES_MAX}" if self.combined else None, access="china" if self.combined else None,
        )  # fmt: skip

    def _event_join(self, number: int) -> Join:
        event, seat = divmod(number, LEGS_PER_EVENT)
        panel = Role.MODERATOR if seat == 0 else Role.PRESENTER
        return Join(
            customer=self.customer.id, connection=connection_id(number), service=self.service, meeting=f"event-{event:07d}",
            endpoint=self.endpoint, role=panel if seat < PANEL_PER_EVENT else Role.ATTENDEE, department="finance",
            person=f"person-{number:07d}",
        )  # fmt: skip


def cases(legs: int) -> list[Case]:
    """What is measured at up to `legs` live connections."""
    hosts = min(NAMES_MAX, legs // LEGS_PER_MEETING + 1)
    return [
        Case("ports", customer("ports", ports(PLENTY)), Service.MEETING),
        Case("ports + named host", customer("hosts", ports(PLENTY), _named_hosts(hosts)), Service.MEETING, hosts=hosts),
        Case(
            "everything",
            customer(
                "everything",
                ports(PLENTY, pstn_limit=PLENTY),
                _named_hosts(hosts, pstn_limit=PLENTY, simultaneous_hosts=hosts),
                _rooms(NAMES_MAX),
                {"plan": "access.china", "term": TERM, "committed": PLENTY, "enforcement": "metered"},
            ),
            Service.MEETING,
            Endpoint.PSTN,
            hosts=hosts,
            combined=True,
        ),
        Case("Teams", customer("teams", _teams(PLENTY)), Service.TEAMS, Endpoint.SIP),
        Case("event", customer("events", _events(legs // LEGS_PER_EVENT + 1)), Service.EVENT),
    ]


def full_case() -> Case:
    """A customer whose hard limit is reached."""
    return Case("full", customer("full", ports(FULL_AT, enforcement="hard")), Service.MEETING, all_hosts=True)
