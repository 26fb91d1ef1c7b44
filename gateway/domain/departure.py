"""When a customer is none any more, and for how long it is kept who its people were (T21.3)."""

from datetime import date

from gateway.domain.customer import EndsOnNotice, Subscription
from gateway.domain.days import DAY_MS, day
from gateway.domain.record import Record


PEOPLE_KEPT_MS = 180 * DAY_MS
"""After a customer is terminated or out of term, or a host has left the catalogue."""

FOREVER = date.max.toordinal()
"""The last day of the calendar stands for a term without an end."""


def over_ms(record: Record) -> int | None:
    """Since when the customer is terminated or out of term, or from when on it will be; None where nothing says so."""
    if record.customer is None:
        return None
    last = max([_last_day(held) for held in record.customer.subscriptions], default=FOREVER)
    ends = [] if last == FOREVER else [day(last).end_ms]
    if record.status == "terminated" and record.status_at_ms is not None:
        ends.append(record.status_at_ms)
    return min(ends, default=None)


def _last_day(held: Subscription) -> int:
    last = held.term.last.toordinal()
    ends_on = held.ends_on if isinstance(held, EndsOnNotice) else None
    return last if ends_on is None else min(last, ends_on.toordinal())
