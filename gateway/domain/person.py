"""People in what is stored of a customer: where they stand in a record as plain JSON data, and the same data without them.

A person is known by an address. It stands as the id of a host or an approval, as who did something, as the key of suspended hosts and of seats,
and it may stand in a few texts that people write. Names of individuals stand beside the address.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from gateway.domain.addresses import normal_address


LISTS = frozenset({"hosts", "approvals"})
"""Lists of people, each with an `id`."""
WHO = frozenset({"approved_by", "certified_by", "by", "status_by"})
"""Who did something: an address, or a name as people write it."""
TEXTS = frozenset({"name", "reason", "status_reason", "partner"})
"""What people write."""
NAMES = frozenset({"given_name", "family_name"})
SUSPENDED, HISTORY = "suspended_hosts", "history"

PSEUDONYM = re.compile("~[0-9a-f]{32}")
"""Stands for somebody, or something, that is not to be known any more."""
NOBODY = "~"
"""In place of who did something, where nobody is to be known any more."""

AliasOf = Callable[[str], str | None]


def as_pseudonym(digest: bytes) -> str:
    """A pseudonym, of 16 bytes or more that say nothing."""
    return "~" + digest.hex()[:32]


@dataclass(frozen=True, slots=True)
class Rewriting:
    """What becomes of people. `alias_of` an address: what stands for it from now on, None: it stays."""

    alias_of: AliasOf
    who: AliasOf
    """The same of who did something."""
    text: Callable[[str], str] = field(default=lambda text: text)
    by: Callable[[str], str] = field(default=lambda by: by)
    """The same of the token under which a change was made."""
    keeps_names: bool = False
    """Whether given and family names stay: the person is the same, only the address is another one."""


@dataclass(frozen=True, slots=True)
class Person:
    """One person, by the normal form of the address; `full_names` as they were written, case-folded."""

    address: str
    full_names: frozenset[str] = frozenset()

    def is_meant_by(self, address: str) -> bool:
        """Whether it is the person's address, however it is spelt."""
        return normal_address(address) == self.address

    def did(self, who: str) -> bool:
        """Whether it is the person, by address or by full name."""
        return self.is_meant_by(who) or who.strip().casefold() in self.full_names

    def pattern(self) -> re.Pattern[str] | None:
        """The address in any spelling, and the full names, within a text; None: it could be any word."""
        local, _, domain = self.address.rpartition("@")
        parts = [re.escape(name) for name in self.full_names]
        if local and domain:
            parts.append(rf"{re.escape(local)}(?:\+[^@\s]*)?@{re.escape(domain)}")
        return re.compile(rf"(?<![\w.])(?:{'|'.join(parts)})(?![\w-])", re.IGNORECASE) if parts else None

    def replaced_by(self, alias: str, *, keeps_names: bool = False) -> Rewriting:
        """The person goes under an alias from now on."""
        pattern = (Person(self.address) if keeps_names else self).pattern()
        return Rewriting(
            alias_of=lambda address: alias if self.is_meant_by(address) else None,
            who=lambda who: alias if (self.is_meant_by(who) if keeps_names else self.did(who)) else None,
            text=lambda text: pattern.sub(lambda _: alias, text) if pattern else text,
            by=lambda by: alias if self.is_meant_by(by) else by,
            keeps_names=keeps_names,
        )


def everybody_by(alias_of: Callable[[str], str]) -> Rewriting:
    """All people go under their aliases, and nobody did anything."""
    return Rewriting(alias_of=alias_of, who=lambda _: NOBODY)


def rewritten(value: Any, how: Rewriting, within: str = "") -> Any:
    """The data with other people in it; `within` is the field in which it stands."""
    if isinstance(value, str):
        return _text(value, how, within)
    if isinstance(value, list | tuple):
        return [rewritten(each, how, within) for each in value]
    if not isinstance(value, dict):
        return value
    if within in LISTS:
        return _listed(value, how)
    if within == SUSPENDED:
        return {how.alias_of(host) or host: rewritten(each, how) for host, each in value.items()}
    if within == HISTORY:
        return {name: _seats(each, how) if isinstance(each, dict) else each for name, each in value.items()}
    return {name: rewritten(each, how, name) for name, each in value.items()}


def mentions(value: Any, person: Person) -> Iterator[tuple[str, Any]]:
    """Where the person stands in the data, as JSONPath, and what stands there."""
    yield from _mentions(value, person, person.pattern(), "$", "")


def _mentions(
    value: Any, person: Person, pattern: re.Pattern[str] | None, path: str, within: str
) -> Iterator[tuple[str, Any]]:
    if isinstance(value, str):
        if (within in WHO and person.did(value)) or (within in TEXTS and pattern and pattern.search(value)):
            yield path, value
    elif isinstance(value, list | tuple):
        for place, each in enumerate(value):
            yield from _mentions(each, person, pattern, f"{path}[{place}]", within)
    elif isinstance(value, dict):
        if within in LISTS and person.is_meant_by(str(value.get("id", ""))):
            yield path, value
            return
        for name, each in value.items():
            if within in {SUSPENDED, HISTORY} and person.is_meant_by(name):
                yield f"{path}[{name!r}]", each
            else:
                yield from _mentions(each, person, pattern, f"{path}.{name}", within if within == HISTORY else name)


def full_names_of(value: Any, address: str, within: str = "") -> Iterator[str]:
    """Given with family name, case-folded, as they stand beside an address in the data."""
    if isinstance(value, list):
        for each in value:
            yield from full_names_of(each, address, within)
    elif isinstance(value, dict):
        if within in LISTS:
            names = [value[name] for name in ("given_name", "family_name") if value.get(name)]
            if len(names) == len(NAMES) and normal_address(str(value.get("id", ""))) == address:
                yield " ".join(names).casefold()
            return
        for name, each in value.items():
            yield from full_names_of(each, address, name)


def hosts_of(value: Any, within: str = "") -> Iterator[str]:
    """Addresses of all hosts and approvals in the data, as they are spelt."""
    if isinstance(value, list):
        for each in value:
            yield from hosts_of(each, within)
    elif isinstance(value, dict):
        if within in LISTS:
            yield str(value.get("id", ""))
            return
        for name, each in value.items():
            yield from hosts_of(each, name)


def _text(value: str, how: Rewriting, within: str) -> str:
    if within in WHO:
        return how.who(value) or how.text(value)
    return how.text(value) if within in TEXTS else value


def _listed(value: dict[str, Any], how: Rewriting) -> dict[str, Any]:
    alias = how.alias_of(str(value.get("id", "")))
    others = {name: rewritten(each, how, name) for name, each in value.items() if name != "id"}
    if alias is None:
        return {**value, **others}
    return {"id": alias, **{name: each for name, each in others.items() if how.keeps_names or name not in NAMES}}


def _seats(seats: dict[str, Any], how: Rewriting) -> dict[str, Any]:
    return {how.alias_of(holder) or holder: seat for holder, seat in seats.items()}
