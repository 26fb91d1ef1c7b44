"""What a customer holds, read as its catalogue states it: what is in force on a day, whom it covers, what it adds up to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

from gateway.domain.join import Endpoint, Join, Role, Service


Sub = Mapping[str, Any]
"""A subscription as it stands in the catalogue."""

NAMED, EVERYONE, PORTS = "meetings.named_host", "meetings.corporate_access", "meetings.concurrent_connections"
TEAMS_NAMED, TEAMS_PORTS, OFFER = "teams.named_host", "teams.concurrent_connections", "teams.special_offer"
UNLIMITED, PER_EVENT = "events.unlimited", "events.per_event"
PLANS_OF = {
    Service.MEETING: (NAMED, EVERYONE, PORTS),
    Service.TEAMS: (TEAMS_NAMED, TEAMS_PORTS, OFFER),
    Service.EVENT: (UNLIMITED, PER_EVENT),
}
"""Who licenses a meeting, in that order."""

HOST_PLANS = {NAMED, EVERYONE, TEAMS_NAMED}
ENDPOINTS_MAX, PANEL_MAX = 100, 100
GENERIC = {"training"}
OWN_DOMAIN = "acme.example"
HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Pool:
    """What is bought of a pool: added up over `subs`."""

    committed: int
    ceiling: int | None
    subs: tuple[str, ...]


@dataclass(frozen=True)
class Held:
    """What a customer holds."""

    subs: tuple[Sub, ...] = ()
    shadow: bool = False

    def active(self, today: int, *plans: str) -> list[Sub]:
        """Subscriptions of the plans that are in force, the one that ends first before the others (T1.5)."""
        found = [sub for sub in self.subs if sub["plan"] in plans and in_force(sub, today)]
        return sorted(found, key=lambda sub: (sub["term"]["to"], sub["id"]))

    def orders(self, today: int, service: Service) -> list[Sub]:
        """Subscriptions in force that license meetings of the service."""
        return self.active(today, *PLANS_OF[service])

    def pools(self, today: int) -> dict[str, Pool]:
        """Pools of the whole customer that are bought, by name (T4.1, T8.1, T10.3, T15.3, T17.1)."""
        bought = {
            "ports": [_bought(sub) for sub in self.active(today, PORTS)],
            "teams_ports": [_bought(sub) for sub in self.active(today, TEAMS_PORTS, OFFER)],
            "china": [_bought(sub) for sub in self.active(today, "access.china")],
            "pstn": self._pstn(today, Service.MEETING),
            "event_pstn": self._pstn(today, Service.EVENT),
        }
        return {
            name: Pool(
                sum(pool.committed for pool in parts),
                total(pool.ceiling for pool in parts),
                tuple([sub for pool in parts for sub in pool.subs]),
            )
            for name, parts in bought.items()
            if parts
        }

    def _pstn(self, today: int, service: Service) -> list[Pool]:
        stated = [sub for sub in self.orders(today, service) if "pstn_limit" in sub]
        return [
            Pool(sub["pstn_limit"], sub["pstn_limit"] if sub["pstn_enforcement"] == "hard" else None, (sub["id"],))
            for sub in stated
        ]

    def hosts_limit(self, today: int, service: Service) -> int | None:
        """Hosts that may have a live meeting at one time (T2.7); none where a plan of hosts states none."""
        plans = [plan for plan in PLANS_OF[service] if plan in HOST_PLANS]
        return total(sub.get("simultaneous_hosts") for sub in self.active(today, *plans))

    def streaming(self, today: int, service: Service, bound: str) -> int | None:
        """`max_minutes` or `max_endpoints` of the widest order that includes streaming (T1.3)."""
        bounds = [
            sub.get("streaming", {}).get(bound)
            for sub in self.orders(today, service)
            if "streaming" in sub.get("features", ())
        ]
        return max(bounds, default=None) if None not in bounds else None


@lru_cache(maxsize=4096)
def _ordinal(text: str) -> int:
    return date.fromisoformat(text).toordinal()


def in_term(sub: Sub, today: int) -> bool:
    """Whether the day is in the term."""
    return _ordinal(sub["term"]["from"]) <= today <= _ordinal(sub["term"]["to"])


def in_force(sub: Sub, today: int) -> bool:
    """In the term, and not ended on notice (T10.3, T17.2)."""
    return in_term(sub, today) and ("ends_on" not in sub or today <= _ordinal(sub["ends_on"]))


def begun(sub: Sub, today: int) -> bool:
    """Whether the term has begun."""
    return _ordinal(sub["term"]["from"]) <= today


def total(values: Iterable[int | None]) -> int | None:
    """Quantities added up; no bound where one has none (T1.5)."""
    found = list(values)
    return None if None in found else sum(value or 0 for value in found)


def _bought(sub: Sub) -> Pool:
    hard = sub["enforcement"] == "hard"
    return Pool(sub["committed"], sub["committed"] if hard else sub.get("ceiling"), (sub["id"],))


def counts_in(pool: str, join: Join) -> bool:
    """Whether a leg counts in a pool (T4.1, T4.2, T8.1, T15.3, T17.1)."""
    match pool:
        case "ports":
            return join.service is Service.MEETING
        case "teams_ports":
            return join.service is Service.TEAMS
        case "china":
            return join.access == "china"
        case "pstn":
            return join.service is Service.MEETING and join.endpoint is Endpoint.PSTN
    return join.service is Service.EVENT and join.endpoint is Endpoint.PSTN


def normal(address: str) -> str:
    """Addresses compare case-folded, plus-tags removed."""
    local, at, domain = address.casefold().rpartition("@")
    return f"{local.split('+')[0]}@{domain}" if at else domain


def owner_said(join: Join) -> str | None:
    """Whose meeting the caller says it is."""
    return normal(join.host) if join.host else None


def attends(join: Join) -> bool:
    """Presenters and attendees make an event live, moderators rehearse (T11.1)."""
    return join.role is not Role.MODERATOR


def covers(sub: Sub, owner: str | None) -> bool:
    """Whether a plan of hosts covers an owner (T2.2, T3.1, T2.4)."""
    if owner is None:
        return False
    if owner in [normal(host["id"]) for host in sub.get("hosts", ())]:
        return True
    local, _, domain = owner.rpartition("@")
    generic = local in GENERIC and sub.get("one_meeting_per_host", True)
    return sub["plan"] == EVERYONE and domain == OWN_DOMAIN and not generic


def rooms(held: Held, today: int) -> dict[str, Sub]:
    """Licensed rooms (T13.1) with what is said of each."""
    active = held.active(today, "rooms.dolby_raas", "rooms.network_room")
    return {normal(room["id"]): room for sub in active for room in sub["rooms"]}


def calling(held: Held, today: int) -> list[Sub]:
    """Calling plans in force; T15 is not from the first day of T16 on (T15.1, T16.1)."""
    replaced = any(sub["plan"] == "calling.global_audio" and begun(sub, today) for sub in held.subs)
    return held.active(today, "calling.global_audio", *([] if replaced else ["calling.premium"]))


def china_refusal(held: Held, today: int) -> str | None:
    """Why nobody joins by way of China (T17.1, T17.2)."""
    sold = [sub for sub in held.subs if sub["plan"] == "access.china"]
    if any(in_force(sub, today) for sub in sold):
        return None
    return "access_ended" if any(in_term(sub, today) for sub in sold) else "access_not_licensed"
