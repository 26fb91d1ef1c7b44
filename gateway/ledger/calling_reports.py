"""Calling of a customer from what happened: minutes and charges of a cycle (T15.4, T16.2)."""

import asyncio
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.billing.calling import CallingMonth, CallingUse, calling_months
from gateway.domain.billing.commitment import Version
from gateway.domain.billing.rate_card import RateCard
from gateway.domain.billing.stretch import Shape, Stretch
from gateway.domain.cycles import Cycle
from gateway.domain.days import DAY_MS, day
from gateway.ledger.chains import whole_legs
from gateway.ledger.database import Database
from gateway.ledger.host_reports import cycle_named
from gateway.ledger.rate_cards import read_cards
from gateway.ledger.reading import read_stretches
from gateway.ledger.versions import removed_by, subscriptions_between, versions_of


UNSTATED = "unstated"
"""The calling kind, or the number's class, where the join did not say it. Only rates of every class apply to it."""

CALL_ME = "call_me"


class CallingReports:
    """Reads calling."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def calling(self, customer: str, cycle: str, now_ms: int) -> list[CallingMonth]:
        """The calling of a cycle, which begins on the first of the month, by subscription. Raises as `HostReports.active_hosts`."""
        month = cycle_named(cycle)
        async with self._database.reading() as connection:
            versions = await versions_of(connection, customer)
            legs = await _legs(connection, customer, month, now_ms)
            cards = await read_cards(connection)
        return await asyncio.to_thread(_months, versions, legs, cards, month, now_ms)


def _months(
    versions: Sequence[Version],
    legs: Sequence[Sequence[Stretch]],
    cards: Sequence[RateCard],
    month: Cycle,
    now_ms: int,
) -> list[CallingMonth]:
    start_ms, until_ms = day(month.first).start_ms, min(day(month.last).end_ms, now_ms + 1)
    held, removed = subscriptions_between(versions, start_ms, until_ms), removed_by(versions, until_ms)
    return calling_months(held, [use_of(leg) for leg in legs], cards, month, now_ms, removed)


def use_of(leg: Sequence[Stretch]) -> CallingUse:
    """A telephone leg as it is rated: by the person's number where the service called it, otherwise by the number that was dialled.

    It is what it was when it was connected, also where it has moved since.
    """
    first, shape = leg[0], leg[0].shape
    assert first.connected_ms is not None, "only billed stretches are legs here"
    called = shape.calling == CALL_ME
    country = shape.number_country if called else shape.access_country
    number_class = shape.number_class if called else shape.access_class
    return CallingUse(
        country=country,
        calling=shape.calling or UNSTATED,
        number_class=number_class or UNSTATED,
        from_ms=first.connected_ms,
        until_ms=leg[-1].until_ms,
    )


async def _legs(connection: AsyncConnection, customer: str, month: Cycle, now_ms: int) -> list[list[Stretch]]:
    """The telephone legs that were connected in the cycle, whole: also what they went on with after it."""
    start_ms, end_ms = day(month.first).start_ms, day(month.last).end_ms
    until_ms = end_ms
    while True:
        # One that moved into the cycle is known by what it goes on with, which was there right before.
        found = await read_stretches(connection, customer, start_ms - 1, until_ms, _is_telephone)
        whole = await asyncio.to_thread(whole_legs, found)
        legs = [leg for leg in whole if leg[0].connected_ms is not None and leg[0].connected_ms >= start_ms]
        if until_ms > now_ms or not any(_may_go_on(leg[-1], until_ms) for leg in legs):
            return legs
        until_ms += DAY_MS


def _may_go_on(last: Stretch, until_ms: int) -> bool:
    return last.until_ms is not None and last.until_ms >= until_ms


def _is_telephone(shape: Shape) -> bool:
    return shape.endpoint == "pstn" and not shape.would_deny
