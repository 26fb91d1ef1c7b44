"""Subscriptions of every plan as a catalogue holds them, for tests; `ports`, `teams_ports`, `named_hosts` and `events` are in `support`.

All are in force always, unless a test says `term(...)`; `fields` add to the order, or take the place of what stands here.
"""

from collections.abc import Iterable
from datetime import date
from typing import Any

from support import ALWAYS

from gateway.domain.plans.special_offer import twelve_months_from


def person(name: str, **fields: Any) -> dict[str, Any]:
    """A listed host: `alice` is Alice Example, `alice@acme.example`."""
    return {"id": f"{name}@acme.example", "given_name": name.title(), "family_name": "Example", **fields}


def corporate(**fields: Any) -> dict[str, Any]:
    """T3: every employee of `acme.example` may host meetings."""
    return {"plan": "meetings.corporate_access", "term": ALWAYS, **fields}


def active_enterprise(**fields: Any) -> dict[str, Any]:
    """T5: every employee of `acme.example` may host meetings, billed by the active hosts."""
    return {"plan": "meetings.active_host_enterprise", "term": ALWAYS, **fields}


def active_group(*names: str, department: str = "finance", **fields: Any) -> dict[str, Any]:
    """T6: these members of one department may host meetings."""
    hosts = [person(name, department=department) for name in names]
    return {
        "plan": "meetings.active_host_group",
        "term": ALWAYS,
        "department": department,
        "hosts": hosts,
        **fields,
    }


def teams_hosts(*names: str, quantity: int | None = None, **fields: Any) -> dict[str, Any]:
    """T7: these individuals may host Teams meetings."""
    hosts = [person(name) for name in names]
    return {
        "plan": "teams.named_host",
        "term": ALWAYS,
        "quantity": quantity or max(len(names), 1),
        "hosts": hosts,
        **fields,
    }


def teams_enterprise(**fields: Any) -> dict[str, Any]:
    """T9: every employee of `acme.example` may host Teams meetings."""
    return {"plan": "teams.enterprise", "term": ALWAYS, **fields}


def special_offer(committed: int = 2, *, signed_on: date | str = "2026-01-01", **fields: Any) -> dict[str, Any]:
    """T10: Teams connections for the 12 months from signing; above them legs are let in with a notice."""
    first = date.fromisoformat(str(signed_on))
    return {
        "plan": "teams.special_offer",
        "term": {"from": str(first), "to": str(twelve_months_from(first))},
        "committed": committed,
        "signed_on": str(first),
        "company_group": "acme-group",
        "employee_count": 1000,
        **fields,
    }


def per_event(quantity: int = 1, max_attendees: int = 1000, **fields: Any) -> dict[str, Any]:
    """T11: a number of events that may be held in the term."""
    return {
        "plan": "events.per_event",
        "term": ALWAYS,
        "quantity": quantity,
        "max_attendees": max_attendees,
        **fields,
    }


def dolby_rooms(*rooms: str, territory: Iterable[str] = ("US",), **fields: Any) -> dict[str, Any]:
    """T13: licences of these rooms, which may stand in the territory."""
    held = [{"id": room, "territory": list(territory)} for room in rooms]
    return {"plan": "rooms.dolby_raas", "term": ALWAYS, "quantity": max(len(rooms), 1), "rooms": held, **fields}


def network_rooms(*rooms: str, **fields: Any) -> dict[str, Any]:
    """T14: licences of these rooms."""
    held = [{"id": room} for room in rooms]
    return {"plan": "rooms.network_room", "term": ALWAYS, "quantity": max(len(rooms), 1), "rooms": held, **fields}


def premium_calling(**fields: Any) -> dict[str, Any]:
    """T15: calling on premium numbers, and Call Me."""
    return {"plan": "calling.premium", "term": ALWAYS, **fields}


def global_audio(**fields: Any) -> dict[str, Any]:
    """T16: calling that replaces T15 from its first day."""
    return {"plan": "calling.global_audio", "term": ALWAYS, **fields}


def china(committed: int = 5, *, enforcement: str = "hard", **fields: Any) -> dict[str, Any]:
    """T17: a pool of connections by way of Premium Access China."""
    return {"plan": "access.china", "term": ALWAYS, "committed": committed, "enforcement": enforcement, **fields}


def meeting_assist(**fields: Any) -> dict[str, Any]:
    """T18: assists of meetings can be booked."""
    return {"plan": "assist.meeting", "term": ALWAYS, **fields}


def event_assist(**fields: Any) -> dict[str, Any]:
    """T19: assists of events can be booked."""
    return {"plan": "assist.event", "term": ALWAYS, **fields}
