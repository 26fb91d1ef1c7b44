"""Identities of people: addresses, domains, and names that are nobody's.

Addresses compare case-folded, with plus-tags removed; domains compare exactly (terms: "words").
"""

import functools
import re


GENERIC_WORDS = frozenset({
    "admin", "administrator", "all", "boardroom", "conf", "conference", "contact", "demo", "events", "guest", "guests", "hello", "help",
    "helpdesk", "host", "hosts", "hr", "huddle", "info", "it", "kiosk", "lobby", "mail", "marketing", "meeting", "meetingroom", "meetings",
    "noreply", "office", "postmaster", "reception", "room", "rooms", "sales", "service", "services", "shared", "staff", "support", "team",
    "teams", "test", "training", "user", "users", "video", "vc", "webinar", "webmaster",
})  # fmt: skip
"""Words that name a function or a room instead of an individual (T2.4)."""


@functools.lru_cache(maxsize=16384)
def normal_address(address: str) -> str:
    """The form in which addresses are compared: case-folded, without a plus-tag."""
    folded = address.strip().casefold()
    local, at, domain = folded.rpartition("@")
    if not at:
        return folded
    return f"{local.partition('+')[0] or local}@{domain}"


def domain_of(address: str) -> str:
    """The domain of an address, case-folded; empty where there is none, or where it is no address."""
    local, _, domain = address.strip().casefold().rpartition("@")
    return domain if local else ""


def is_generic(address: str) -> bool:
    """Whether the local part is of generic words alone, with or without digits and separators at and between them (T2.4)."""
    normal = normal_address(address)
    words = [word for word in re.split(r"[-_.\d]+", normal.rpartition("@")[0] or normal) if word]
    return bool(words) and GENERIC_WORDS.issuperset(words)
