"""Forgetting: what is remembered of customers beside their bills goes when nothing asks for it any more (T21.3)."""

import asyncio
import secrets
from datetime import date, timedelta

from gateway.domain.changes import forgotten, with_people
from gateway.domain.checks import ABROAD, EVENTS_USED, FOREIGN_OWNERS, HOSTS_SEEN
from gateway.domain.cycles import cycle_of
from gateway.domain.days import DAY_MS, day_at
from gateway.domain.departure import PEOPLE_KEPT_MS, over_ms
from gateway.domain.person import PSEUDONYM, as_pseudonym, everybody_by, hosts_of
from gateway.domain.record import Record
from gateway.entitlements import Entitlements
from gateway.kernel.kernel import Kernel
from gateway.kernel.past import drop_past


MONTHS_KEPT = 3
"""Hosts of a cycle, and what findings of a month were made of."""
TERM_KEPT_DAYS = 400
"""Events that were held under a subscription, after its term."""
SPELL_KEPT_DAYS = 100


class Housekeeping:
    """Forgets for one customer after the other. Any number of gateways may do it at one time."""

    def __init__(self, kernel: Kernel, entitlements: Entitlements) -> None:
        self._kernel = kernel
        self._entitlements = entitlements

    async def run(self) -> int:
        """Once for all customers; how many fields were forgotten. Raises StoreError."""
        dropped = 0
        for customer in sorted(await self._kernel.customers()):
            dropped += await self.of_customer(customer)
            await asyncio.sleep(0)
        return dropped

    async def of_customer(self, customer: str) -> int:
        """Once for one customer; how many fields were forgotten. Raises StoreError."""
        policy = await self._entitlements.load(customer)
        record, now_ms = policy.record, self._kernel.store_now_ms()
        today = day_at(now_ms).date
        if record.customer is not None and forgotten(record, now_ms) != record:
            await self._entitlements.change(customer, forgotten, "forget")
        if _keeps_people_too_long(record, now_ms):
            await self._entitlements.change(customer, with_people(everybody_by(_stranger)), "forget")
        held = kept_subscriptions(record, today)
        oldest = oldest_month(today)
        return await drop_past(
            self._kernel,
            customer,
            is_over=lambda name: set_is_over(name, held, oldest),
            licence_is_over=lambda licence: licence not in held,
            spells_before_ms=now_ms - SPELL_KEPT_DAYS * DAY_MS,
        )


def _keeps_people_too_long(record: Record, now_ms: int) -> bool:
    """T21.3: the customer is over for 180 days, and somebody is still named."""
    over = over_ms(record)
    if record.customer is None or over is None or now_ms - over <= PEOPLE_KEPT_MS:
        return False
    return any(not PSEUDONYM.fullmatch(address) for address in hosts_of(record.customer.document()))


def _stranger(_: str) -> str:
    return as_pseudonym(secrets.token_bytes(16))


def kept_subscriptions(record: Record, today: date) -> frozenset[str]:
    """Subscriptions whose events are still remembered."""
    held = record.customer.subscriptions if record.customer else ()
    return frozenset([each.id for each in held if each.term.last >= today - timedelta(days=TERM_KEPT_DAYS)])


def oldest_month(today: date) -> str:
    """The first month, such as `2026-09`, of which sets are kept."""
    ordinal = today.toordinal()
    for _ in range(MONTHS_KEPT):
        ordinal = cycle_of(ordinal, 1).first - 1
    return cycle_of(max(ordinal, 1), 1).name


def set_is_over(name: str, held: frozenset[str], oldest: str) -> bool:
    """Whether nothing asks for a set of marks any more, by its name."""
    kind, _, rest = name.partition(" ")
    if kind == EVENTS_USED:
        return rest not in held
    if kind in {HOSTS_SEEN, FOREIGN_OWNERS, ABROAD}:
        return rest.rpartition(" ")[2] < oldest
    return False
