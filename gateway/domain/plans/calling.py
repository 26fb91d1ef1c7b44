"""Calling on premium numbers and Call Me: `calling.premium` (T15) and `calling.global_audio` (T16).

- T15.1: `call_me` and `premium` need one of the two.
- T15.2: the administrator can disable numbers and country codes; numbers are kept as keyed hashes only (T21.1).
- T16.1: T16 replaces T15 from its first day, and a replaced T15 does not come back.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StrictInt, WithJsonSchema

from gateway.domain.customer import Identifier, Quantity, Subscription
from gateway.domain.join import KEPT_NUMBER, Telephone


BLOCKED_MAX = 10_000

E164 = r"\+[1-9][0-9]{6,14}"
CALLING_CODE = r"\+?[1-9][0-9]{0,2}"


def _blocked_number(number: str) -> str:
    if not re.fullmatch(f"{E164}|{KEPT_NUMBER}", number):
        raise ValueError("is neither a telephone number as in E.164 (+ and 7 to 15 digits) nor the kept form of one")
    return number


def _calling_code(code: str) -> str:
    if not re.fullmatch(CALLING_CODE, code):
        raise ValueError("is not a country code as it is dialled, such as '33' or '+33'")
    return code


BlockedNumber = Annotated[
    str,
    AfterValidator(_blocked_number),
    WithJsonSchema({"type": "string", "pattern": rf"^({E164}|{KEPT_NUMBER})$(?!\n)"}),
]
"""A number to disable, in the clear (`+14155550100`) or as it is kept; faults do not tell it (T21.1)."""

CallingCode = Annotated[
    str,
    AfterValidator(_calling_code),
    WithJsonSchema({"type": "string", "pattern": rf"^{CALLING_CODE}$(?!\n)"}),
]


class CallingSubscription(Subscription):
    """What both calling plans state."""

    blocked_numbers: Annotated[tuple[BlockedNumber, ...], Field(max_length=BLOCKED_MAX)] = ()
    """Access numbers and numbers of persons that are disabled (T15.2)."""
    blocked_country_codes: Annotated[tuple[CallingCode, ...], Field(max_length=1000)] = ()
    """Country codes that are disabled, as they are dialled (T15.2)."""
    rate_card: Identifier | None = None
    """The rates by which minutes are charged (T15.4)."""


class PremiumCalling(CallingSubscription):
    """`calling.premium` (T15)."""

    plan: Literal["calling.premium"]


class GlobalAudio(CallingSubscription):
    """`calling.global_audio` (T16)."""

    plan: Literal["calling.global_audio"]
    discount: Annotated[StrictInt, Field(ge=0, le=100)] = 0
    """Per cent off the gross calling fees (T16.2)."""
    annual_fee: Quantity | None = None
    """In whole units of the rate card's currency; a twelfth of it is the most that a month's deduction can be (T16.2)."""


@dataclass(frozen=True, slots=True)
class CallingTerms:
    """The calling subscriptions of a customer that are in force on one day."""

    blocked_numbers: frozenset[str]
    """As they are kept. One that is still in the clear blocks nothing, as no join tells its number."""
    blocked_country_codes: frozenset[int]

    def blocks(self, telephone: Telephone | None) -> bool:
        """Whether the administrator has disabled this number or its country code (T15.2)."""
        if telephone is None:
            return False
        return telephone.hash in self.blocked_numbers or telephone.calling_code in self.blocked_country_codes


def calling_terms(subscriptions: Iterable[Subscription], day: int) -> CallingTerms | None:
    """T15 and T16 on a day (an ordinal); None where neither is in force (T15.1).

    `subscriptions` are all of the customer's, also those of other days: T15 is out of force from the first day of any T16 (T16.1).
    """
    calling = [held for held in subscriptions if isinstance(held, CallingSubscription)]
    replaced = any(isinstance(held, GlobalAudio) and held.term.first.toordinal() <= day for held in calling)
    in_force = [held for held in calling if held.active(day) and not (replaced and isinstance(held, PremiumCalling))]
    if not in_force:
        return None
    return CallingTerms(
        frozenset([number for held in in_force for number in held.blocked_numbers]),
        frozenset([int(code) for held in in_force for code in held.blocked_country_codes]),
    )
