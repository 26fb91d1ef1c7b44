"""What subscriptions of events mean for a join: T11 and T12."""

from typing import Any

import pytest
from support import events, join

from gateway.domain.contract import CustomerLimit, customer_limits
from gateway.domain.customer import CustomerBase
from gateway.domain.join import Join
from gateway.domain.licensing import Licence
from gateway.domain.limits import Limit
from gateway.domain.plans.events_unlimited import EventsUnlimited, EventsUnlimitedTerms
from gateway.domain.plans.per_event import EventsPerEvent, PerEventTerms
from gateway.domain.reasons import Reason


ACME = CustomerBase(id="acme", name="Acme")
HOUR_MS = 3_600_000


def per_event(id: str = "pack", *, to: str = "2026-12-31", **fields: Any) -> EventsPerEvent:  # noqa: A002
    """Five events of 100 attendees, to be held in 2026."""
    given = {"quantity": 5, "max_attendees": 100, **fields}
    term = {"from": "2026-01-01", "to": to}
    return EventsPerEvent.model_validate({"id": id, "plan": "events.per_event", "term": term, **given})


def unlimited(id: str = "unlimited", departments: dict[str, int] | None = None, **fields: Any) -> EventsUnlimited:  # noqa: A002
    """One licence of the department finance, 1000 attendees."""
    return EventsUnlimited.model_validate(events(departments=departments, id=id, **fields))


def event(department: str | None = None) -> Join:
    """An attendee of an event."""
    return join("c1", "e1", service="event", department=department)


def licence_of(terms: EventsUnlimitedTerms, department: str | None = "finance") -> Licence:
    """The licence that T12 prefers for a department."""
    answer = terms.license(event(department))
    assert not isinstance(answer, Reason)
    return answer[0]


def licences_of(*subscriptions: EventsPerEvent) -> list[Licence]:
    """All licences that T11 gives to an event."""
    answer = PerEventTerms(subscriptions, ACME).license(event())
    assert not isinstance(answer, Reason)
    return list(answer)


def test_T11_1_a_subscription_licenses_as_many_events_as_its_quantity() -> None:
    """The licence says how many events may be held under it, is drawn on by the event, and knows nothing of events at one time."""
    (licence,) = licences_of(per_event(quantity=7))
    assert ("pack", ("pack",), 7) == (licence.subscription, licence.counts_in, licence.events_held)
    assert not licence.concurrent
    assert not licence.fallback


def test_T11_1_events_need_no_department() -> None:
    """Whoever holds the event, the licences are the same."""
    terms = PerEventTerms([per_event()], ACME)
    assert terms.license(event()) == terms.license(event("sales"))


def test_T1_5_events_are_drawn_from_the_subscription_that_ends_first() -> None:
    """Licences stand in the order of the last days, then of the ids; each has its own quantity and bounds."""
    held = [
        per_event("c", to="2027-06-30"),
        per_event("b", quantity=2, max_attendees=50),
        per_event("d", to="2026-03-31"),
        per_event("a"),
    ]
    found = [
        (given.subscription, given.events_held, given.limits["attendees"].committed) for given in licences_of(*held)
    ]
    assert [("d", 5, 100), ("a", 5, 100), ("b", 2, 50), ("c", 5, 100)] == found


def test_T11_3_attendees_are_metered_unless_the_order_says_hard() -> None:
    """Metered, `max_attendees` marks overage and refuses nobody; hard, it refuses."""
    (metered,) = licences_of(per_event())
    (hard,) = licences_of(per_event(attendees_enforcement="hard"))
    assert Limit(ceiling=None, committed=100) == metered.limits["attendees"]
    assert Limit(ceiling=100, committed=100) == hard.limits["attendees"]


def test_T11_4_a_panel_has_at_most_100() -> None:
    """Moderators and presenters together, under both plans and whatever is enforced."""
    (licence,) = licences_of(per_event())
    assert Limit(ceiling=100) == licence.limits["panel"]
    assert Limit(ceiling=100) == licence_of(EventsUnlimitedTerms([unlimited()], ACME)).limits["panel"]


def test_T11_5_an_event_includes_2_hours() -> None:
    """Joins are refused after them only where the order says hard; what is included is known either way."""
    (metered,) = licences_of(per_event())
    (hard,) = licences_of(per_event(duration_enforcement="hard"))
    assert (None, 2 * HOUR_MS) == (metered.duration_ms, hard.duration_ms)
    assert 2 * HOUR_MS == EventsPerEvent.duration_ms


def test_T12_1_licences_of_all_departments_bound_the_events_at_one_time() -> None:
    """The ceiling of `events` adds up all licences of all subscriptions, and holds for events of every department."""
    held = [unlimited("a", {"finance": 2, "sales": 1}), unlimited("b", {"finance": 1, "legal": 3})]
    terms = EventsUnlimitedTerms(held, ACME)
    found = [licence_of(terms, department).concurrent for department in ("finance", "sales", "legal")]
    assert [True] * 3 == found
    assert {"events:event": CustomerLimit(Limit(ceiling=7), ())} == customer_limits(held)


@pytest.mark.parametrize("department", [None, "sales", "Finance"])
def test_T12_1_a_department_without_a_licence_is_refused(department: str | None) -> None:
    """No department, one that holds none, and one that is written differently."""
    terms = EventsUnlimitedTerms([unlimited()], ACME)
    assert Reason.DEPARTMENT_NOT_LICENSED == terms.license(event(department))


def test_T12_1_a_departments_event_is_drawn_from_the_subscription_that_ends_first() -> None:
    """Of the subscriptions that hold the department, with the attendees that one states; any number of events may be held."""
    held = [
        unlimited("long", max_attendees=500),
        unlimited("short", term={"from": "2026-01-01", "to": "2026-12-31"}, max_attendees=50),
        unlimited("others", {"sales": 1}, term={"from": "2026-01-01", "to": "2026-06-30"}),
    ]
    licence = licence_of(EventsUnlimitedTerms(held, ACME))
    assert ("short", ("short",), None) == (licence.subscription, licence.counts_in, licence.events_held)
    assert Limit(committed=50) == licence.limits["attendees"]


def test_T12_2_attendees_are_metered_unless_the_order_says_hard() -> None:
    """As T11.3 has it."""
    hard = licence_of(EventsUnlimitedTerms([unlimited(attendees_enforcement="hard")], ACME))
    metered = licence_of(EventsUnlimitedTerms([unlimited()], ACME))
    assert Limit(ceiling=1000, committed=1000) == hard.limits["attendees"]
    assert Limit(ceiling=None, committed=1000) == metered.limits["attendees"]


def test_T12_2_an_event_includes_8_hours() -> None:
    """Joins are refused after them only where the order says hard; what is included is known either way."""
    metered = licence_of(EventsUnlimitedTerms([unlimited()], ACME))
    hard = licence_of(EventsUnlimitedTerms([unlimited(duration_enforcement="hard")], ACME))
    assert (None, 8 * HOUR_MS) == (metered.duration_ms, hard.duration_ms)
    assert 8 * HOUR_MS == EventsUnlimited.duration_ms


def test_T12_2_a_full_plan_falls_back_only_where_the_order_says_so() -> None:
    """`fallback: per_event` leaves the event that finds no licence free to T11."""
    assert not licence_of(EventsUnlimitedTerms([unlimited()], ACME)).fallback
    assert licence_of(EventsUnlimitedTerms([unlimited(fallback="per_event")], ACME)).fallback


def test_T15_3_both_plans_state_a_telephone_limit() -> None:
    """It is the commitment of all telephone legs of events; an order that states none adds nothing."""
    assert Limit(committed=20) == per_event(pstn_limit=20).limits()["pstn:event"]
    assert Limit(committed=0) == unlimited(pstn_limit=0).limits()["pstn:event"]
    assert {} == per_event().limits()
