"""Identities of people: addresses, domains, and names that are nobody's.

Addresses compare case-folded, with plus-tags removed; domains compare exactly (terms: "words").
"""

import functools
import re


GENERIC_LOCAL_PARTS = frozenset({
    "admin", "administrator", "boardroom", "conference", "contact", "events", "guest", "hello", "help", "helpdesk", "host", "hr", "huddle",
    "info", "it", "mail", "marketing", "meeting", "meetings", "office", "postmaster", "reception", "room", "sales", "service", "shared",
    "support", "team", "test", "training", "user", "webinar", "webmaster",
})  # fmt: skip
"""Local parts that name a function or a room instead of an individual (T2.4)."""


@functools.lru_cache(maxsize=16384)
def normal_address(address: str) -> str:
    """The form in which addresses are compared: case-folded, without a plus-tag."""
    folded = address.strip().casefold()
    local, at, domain = folded.rpartition("@")
    if not at:
        return folded
    return f"{local.partition('+')[0] or local}@{domain}"


def domain_of(address: str) -> str:
    """The domain of an address, case-folded; empty where there is none."""
    return address.strip().casefold().rpartition("@")[2] if "@" in address else ""


def is_generic(address: str) -> bool:
    """Whether the local part is a generic name, with or without digits and separators around them (T2.4)."""
    local = normal_address(address).rpartition("@")[0]
    return re.sub(r"[-_.]*\d+$", "", local) in GENERIC_LOCAL_PARTS
