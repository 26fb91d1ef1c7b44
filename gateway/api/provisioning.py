"""What is checked of a customer beyond its own document: how its blocked numbers are kept, and what other customers hold.

- T15.2, T21.1: a blocked number is stored as a keyed hash, under the key of this gateway.
- T10.1: the special offer is held once per company group, whichever customer holds it.
"""

import asyncio
from collections.abc import Mapping

from gateway.domain.catalogue import CatalogueInvalid, Customer, blocked_in_clear, offer_groups, with_kept_numbers
from gateway.domain.customer import Fault
from gateway.domain.plans.calling import CallingSubscription
from gateway.domain.plans.special_offer import SpecialOffer
from gateway.domain.telephones import Telephones, is_kept
from gateway.entitlements import Entitlements
from gateway.reports import Reports


READS_AT_ONCE = 50
"""Customers that are read from the store at one time."""


def with_numbers_kept(customer: Customer, telephones: Telephones, path: str = "$") -> Customer:
    """The customer as it may be stored: every blocked number hashed (T15.2). `path` is where it stands in its catalogue.

    Takes up to 40 µs for each number.

    Raises:
        NumberKeyMissing: a number is given, and there is no key to hash it with.
        CatalogueInvalid: a number is kept under another key, so that it would block nothing.
    """
    faults = [
        Fault(
            f"{path}.subscriptions[{position}].blocked_numbers[{place}]",
            "is kept under another key than that of this gateway; give the number itself",
            "T15.2",
        )
        for position, held in enumerate(customer.subscriptions)
        if isinstance(held, CallingSubscription)
        for place, number in enumerate(held.blocked_numbers)
        if is_kept(number) and not telephones.knows(number)
    ]
    if faults:
        raise CatalogueInvalid(faults)
    return with_kept_numbers(customer, telephones.keep) if blocked_in_clear(customer) else customer


async def offer_faults(
    customer: Customer, entitlements: Entitlements, reports: Reports, path: str = "$"
) -> list[Fault]:
    """T10.1: special offers of the customer that another customer of the same company group has. Reads all customers where it has one.

    Who the other is, is not told: the caller may be bound to this customer. Raises StoreError.
    """
    groups = offer_groups(customer)
    if not groups:
        return []
    known = await reports.customers()
    others = sorted(known.keys() - {customer.id})
    taken: set[str] = set()
    for at in range(0, len(others), READS_AT_ONCE):
        names = others[at : at + READS_AT_ONCE]
        held = await asyncio.gather(*[_groups_of(name, known, entitlements) for name in names])
        taken.update(*held)
    return [
        Fault(
            f"{path}.subscriptions[{position}].company_group",
            "has a special offer already, with another customer",
            "T10.1",
        )
        for position, held in enumerate(customer.subscriptions)
        if isinstance(held, SpecialOffer) and held.company_group.casefold() in taken
    ]


async def _groups_of(name: str, versions: Mapping[str, int], entitlements: Entitlements) -> set[str]:
    """Company groups with an offer of a customer; the copy at hand will do where it has the version that the store names."""
    policy = await entitlements.policy(name)
    if policy.record.version != versions[name]:
        policy = await entitlements.load(name)
    return offer_groups(policy.record.customer) if policy.record.customer else set()
