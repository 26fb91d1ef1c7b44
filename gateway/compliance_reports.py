"""Findings of a customer, from its entitlements and from what the store has seen of it."""

from datetime import date

from gateway.domain.checks import ABROAD, FOREIGN_OWNERS, HOSTS_SEEN
from gateway.domain.claims import member_of
from gateway.domain.compliance import Finding, Observed, findings
from gateway.domain.cycles import cycle_of
from gateway.domain.plans.enterprise_hosts import EnterprisePlan
from gateway.domain.plans.special_offer import SpecialOffer
from gateway.domain.record import Record
from gateway.kernel.kernel import Kernel
from gateway.kernel.outcomes import Past
from gateway.kernel.past import read_past
from gateway.reports import Reports


LOOKED_BACK_DAYS = 35
"""Days of audio and excess that findings are made of: a billing month, and some days to act."""


class ComplianceReports:
    """Reads what findings are made of."""

    def __init__(self, kernel: Kernel, reports: Reports) -> None:
        self._kernel = kernel
        self._reports = reports

    async def findings(self, customer: str) -> list[Finding]:
        """All findings of today, in the order of rules; none for a customer that is not there. Raises StoreError."""
        usage = await self._reports.usage(customer)
        record, today = usage.policy.record, usage.snapshot.day
        if record.customer is None:
            return []
        past = await read_past(self._kernel, customer)
        days = await self._kernel.joined(customer, range(today - LOOKED_BACK_DAYS, today))
        days[today] = (usage.snapshot.joined, usage.snapshot.audio)
        observed = Observed(
            hosts_seen=_hosts_seen(record, today, past),
            audio_days=days,
            unhosted=tuple([(member_of(spell.group), spell.since_ms, spell.until_ms) for spell in past.spells]),
            foreign_owners={owner: seen_ms for _, owner, seen_ms in _members(past, FOREIGN_OWNERS)},
            abroad={_room_and_country(member): seen_ms for _, member, seen_ms in _members(past, ABROAD)},
            excess=await self._excess(record, today),
        )
        return findings(record, date.fromordinal(today), observed)

    async def _excess(self, record: Record, today: int) -> dict[int, tuple[int, int]]:
        assert record.customer is not None, "looked at before"
        if not any(isinstance(held, SpecialOffer) for held in record.customer.subscriptions):
            return {}
        rows = await self._reports.overage(record.customer.id, today - LOOKED_BACK_DAYS, today)
        return {
            row.day: (row.register.overage, row.register.overage_at_ms) for row in rows if row.pool == "teams_ports"
        }


def _hosts_seen(record: Record, today: int, past: Past) -> dict[str, tuple[int, ...]]:
    """T3.3: of the current cycle of each subscription that counts them; a host of no connected leg is none."""
    assert record.customer is not None, "looked at before"
    found: dict[str, tuple[int, ...]] = {}
    for held in record.customer.subscriptions:
        if isinstance(held, EnterprisePlan):
            marks = past.marks.get(f"{HOSTS_SEEN} {held.id} {cycle_of(today, held.anchor_day).name}", ())
            found[held.id] = tuple([mark.connected_ms for mark in marks if mark.connected_ms is not None])
    return found


def _members(past: Past, of: str) -> list[tuple[str, str, int]]:
    """Members of all sets of a kind, the earliest last, so that it stands where one is in several."""
    found = [
        (name, mark.member, mark.made_ms)
        for name, marks in past.marks.items()
        for mark in marks
        if name.split(" ")[0] == of and mark.connected_ms is not None
    ]
    return sorted(found, key=lambda entry: -entry[2])


def _room_and_country(member: str) -> tuple[str, str]:
    room, _, country = member.rpartition(" ")
    return room, country
