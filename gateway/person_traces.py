"""What the store holds of one person (T21.4): live legs, the record of the customer, marks that are remembered, and entries of the outbox."""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from gateway.domain.addresses import normal_address
from gateway.domain.billing.entry import EntryId
from gateway.domain.changes import with_people
from gateway.domain.checks import FOREIGN_OWNERS, HOSTS_SEEN
from gateway.domain.person import Person, Rewriting, full_names_of, mentions
from gateway.domain.record import Record
from gateway.entitlements import Entitlements
from gateway.kernel import scripts
from gateway.kernel.kernel import Kernel
from gateway.kernel.keys import bucket_key, bucket_of, keys_of
from gateway.kernel.outbox import OtherLedger, Outbox
from gateway.kernel.outcomes import Leg
from gateway.kernel.store import Store
from gateway.legs import LegInfo, info_of
from gateway.stored_record import encode_record


OF_PEOPLE = frozenset({HOSTS_SEEN, FOREIGN_OWNERS})
"""Sets whose members are people."""
PAGE = 500
RENAMED_AT_ONCE = 200
TIMEOUT_S = 5.0


class Seen(NamedTuple):
    """A mark of the person: in which set, and when it was made (Unix ms)."""

    set: str
    member: str
    made_ms: int

    @property
    def field(self) -> str:
        """As it is stored."""
        return f"={self.set}\x1f{self.member}"


class PersonTraces:
    """Reads and renames. All raise StoreError."""

    def __init__(self, store: Store, kernel: Kernel, entitlements: Entitlements) -> None:
        loaded = scripts.load()
        self._store = store
        self._kernel = kernel
        self._entitlements = entitlements
        self._rename = loaded["rename"]
        self._outbox = Outbox(store, loaded)

    def now_ms(self) -> int:
        """The clock of the store."""
        return self._kernel.store_now_ms()

    async def record(self, customer: str) -> Record:
        """The record as the store has it now."""
        return (await self._entitlements.load(customer)).record

    async def live(self, customer: str, address: str) -> list[tuple[Leg, LegInfo]]:
        """Live legs of the person, and of meetings that it owns."""
        found: dict[str, tuple[Leg, LegInfo]] = {}
        async for page in self._kernel.leg_pages(customer, PAGE):
            for leg in page:
                info = info_of(leg.info)
                if any(who is not None and normal_address(who) == address for who in (info.person, info.host)):
                    found[leg.connection] = (leg, info)
        return list(found.values())

    async def marks(self, customer: str, address: str) -> list[Seen]:
        """Marks of the person: a host of a cycle (T3.3), an owner outside the domains (T4.5)."""
        found: set[Seen] = set()
        async for name, value in self._kernel.fields(customer, "past", "=*", PAGE):
            of, _, member = name[1:].partition("\x1f")
            if of.partition(" ")[0] in OF_PEOPLE and normal_address(member) == address:
                found.add(Seen(of, member, int(value.split(" ")[0])))
        return sorted(found)

    async def rename_marks(self, customer: str, seen: Sequence[Seen], alias: str) -> int:
        """Puts another name in their place; sets keep their sizes, unless that one is in them already."""
        renamed = 0
        for at in range(0, len(seen), RENAMED_AT_ONCE):
            pairs = [
                text
                for each in seen[at : at + RENAMED_AT_ONCE]
                for text in (each.field, Seen(each.set, alias, 0).field)
            ]
            keys = keys_of(customer, self._rename.keys)
            answer = await self._store.call(self._rename, keys, ("0", *pairs), TIMEOUT_S)
            renamed += answer[2]
        return renamed

    async def rewrite_record(self, customer: str, how: Rewriting, change: str, by: str) -> bool:
        """Changes people in the record, where it names them; says whether it did. Raises CatalogueInvalid."""
        record = await self.record(customer)
        changed = with_people(how)
        if await asyncio.to_thread(changed, record, 0) == record:  # a customer may have 100,000 hosts
            return False
        await self._entitlements.change(customer, changed, change, by)
        return True

    async def last_entry(self, customer: str) -> EntryId | None:
        """The last entry in the outbox of the customer's bucket; None: there is none."""
        key = bucket_key("outbox", bucket_of(customer))
        found = await self._store.command("XREVRANGE", key, "+", "-", "COUNT", 1, timeout_s=TIMEOUT_S)
        return EntryId.parse(found[0][0].decode()) if found else None

    async def cut_outbox(self, customer: str, through: EntryId, ledger: str) -> int | None:
        """Drops the entries of the bucket that the ledger has stored; how many are left. None: another ledger reads it."""
        answer = await self._outbox.trim(bucket_of(customer), through, ledger, 0)
        return None if isinstance(answer, OtherLedger) else answer.left

    async def empty_outbox(self, customer: str) -> None:
        """Drops all entries of the bucket, where nobody reads them."""
        key = bucket_key("outbox", bucket_of(customer))
        await self._store.command("XTRIM", key, "MAXLEN", 0, timeout_s=TIMEOUT_S)


def named_in(record: Record, address: str) -> tuple[Person, list[tuple[str, Any]]]:
    """The person with the full names that stand in the record, and all places of it that name the person."""
    document = msgspec.json.decode(encode_record(record))
    person = Person(address, frozenset(full_names_of(document, address)))
    return person, list(mentions(document, person))


def hosted_by(record: Record, address: str) -> list[str]:
    """Subscriptions of the current catalogue that list the person as a host."""
    held = record.customer.subscriptions if record.customer else ()
    return [each.id for each in held if any(host.address == address for host in getattr(each, "hosts", ()))]
