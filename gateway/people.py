"""Exporting, correcting and erasing what is kept about one person (T21.4), in the store and in the ledger.

First the store forgets, then the ledger reads what the store still had to tell, then the ledger forgets, then the outbox is cut off. So nothing
comes back from what was on its way, and whatever ends in between is done by asking again.
"""

import asyncio
import time
from dataclasses import replace
from typing import Any

import msgspec

from gateway.domain.addresses import normal_address
from gateway.domain.billing.entry import EntryId
from gateway.domain.person import Person
from gateway.kernel.outcomes import Leg
from gateway.ledger.database import Database
from gateway.ledger.erasure import Erased, erase, fresh_alias, known_person
from gateway.ledger.facts import ID, fact
from gateway.ledger.persons import KeptLeg, KeptMention, KeptNotice, Persons, Place
from gateway.ledger.positions import read_through
from gateway.ledger.scrub import scrub
from gateway.legs import LegInfo
from gateway.person_traces import PersonTraces, Seen, hosted_by, named_in


WAIT_S = 10.0
"""How long an erasure waits for the ledger to read."""
LOOK_S = 0.1
CUTS_MAX = 20


class NotYet(Exception):
    """Something has to be done first, by the caller; says what."""


class NotDone(Exception):
    """It could not be done wholly; to ask again in a while goes on with it. Says why."""


class Export(msgspec.Struct, frozen=True):
    """Everything that is kept about a person; of a later page only `legs`. `place`: where the next page begins."""

    legs: list[KeptLeg]
    place: Place | None
    live: list[tuple[Leg, LegInfo]] = []
    record: list[tuple[str, Any]] = []
    marks: list[Seen] = []
    mentions: list[KeptMention] = []
    notices: list[KeptNotice] = []
    pseudonym: str | None = None

    @property
    def is_empty(self) -> bool:
        """Nothing is kept."""
        kept = (self.legs, self.live, self.record, self.marks, self.mentions, self.notices)
        return self.pseudonym is None and not any(kept)


class Done(msgspec.Struct, frozen=True):
    """What a correction or an erasure changed: in the store, and in the ledger."""

    pseudonym: str | None
    entitlements: int
    marks: int
    ledger: Erased

    @property
    def is_nothing(self) -> bool:
        """Nothing was there to change."""
        return not (self.entitlements or self.marks or self.ledger.names or self.ledger.versions)


class People:
    """Of one gateway. Raises StoreError, LedgerUnavailable, NotYet, NotDone."""

    def __init__(self, traces: PersonTraces, database: Database | None) -> None:
        self._traces = traces
        self._database = database

    async def export(self, customer: str, address: str, after: Place | None, count: int, by: str) -> Export:
        """A page of everything that is kept; the first is noted in the audit."""
        compared, ledger = normal_address(address), self._database
        legs = await Persons(ledger).legs(customer, compared, after, count) if ledger else []
        place = legs[-1].place if len(legs) == count else None
        if after is not None:
            return Export(legs, place)
        person, record = await asyncio.to_thread(named_in, await self._traces.record(customer), compared)
        live = await self._traces.live(customer, compared)
        marks = await self._traces.marks(customer, compared)
        if ledger is None:
            return Export(legs, place, live, record, marks)
        person = replace(
            person, full_names=person.full_names | (await known_person(ledger, customer, compared)).full_names
        )
        persons = Persons(ledger)
        known = await persons.known(customer, compared)
        export = Export(
            legs,
            place,
            live,
            record,
            marks,
            await persons.mentions(customer, person),
            await persons.notices(customer, person),
            known.pseudonym if known.ids else None,
        )
        if not export.is_empty:
            await persons.told(customer, compared, by, self._traces.now_ms())
        return export

    async def correct(self, customer: str, address: str, new: str, by: str) -> Done:
        """The person goes by another address, in what is and in what was. Raises CatalogueInvalid."""
        compared = normal_address(address)
        await self._refuse_live(customer, compared)
        how = Person(compared).replaced_by(new, keeps_names=True)
        changed = await self._traces.rewrite_record(customer, how, "correct", by)
        marks = await self._traces.rename_marks(
            customer, await self._traces.marks(customer, compared), normal_address(new)
        )
        if self._database is None:
            await self._traces.empty_outbox(customer)
            return Done(None, int(changed), marks, Erased())
        await self._all_read(customer, self._database)
        done = await Persons(self._database).correct(customer, Person(compared), new, by, self._traces.now_ms())
        await self._cut_outbox(customer, self._database)
        return Done(None, int(changed), marks, done)

    async def erase(self, customer: str, address: str, by: str) -> Done:
        """Nobody can tell any more that it was this person; everything stands under the pseudonym that is answered."""
        compared, alias, ledger = normal_address(address), fresh_alias(), self._database
        await self._refuse_live(customer, compared)
        record = await self._traces.record(customer)
        if held := hosted_by(record, compared):
            names = ", ".join(held)
            raise NotYet(f"The person is a host of {names}: take it out of the customer's catalogue first.")
        person, _ = await asyncio.to_thread(named_in, record, compared)
        if ledger is not None:
            person = replace(
                person, full_names=person.full_names | (await known_person(ledger, customer, compared)).full_names
            )
        changed = await self._traces.rewrite_record(customer, person.replaced_by(alias), "erase", by)
        marks = await self._traces.rename_marks(customer, await self._traces.marks(customer, compared), alias)
        if ledger is None:
            await self._traces.empty_outbox(customer)
            return Done(alias, int(changed), marks, Erased())
        await self._all_read(customer, ledger)
        spellings = (await Persons(ledger).known(customer, compared)).spellings
        by = alias if person.is_meant_by(by) else by
        erased = await erase(ledger, customer, person, alias, by, self._traces.now_ms())
        await self._cut_outbox(customer, ledger)
        if not await scrub(ledger, {compared, *spellings}):
            raise NotDone("The ledger is being read by others, so that its files could not be cleaned yet.")
        return Done(alias, int(changed), marks, erased)

    async def _refuse_live(self, customer: str, address: str) -> None:
        live = len(await self._traces.live(customer, address))
        if live:
            raise NotYet(f"The person is in, or owns the meeting of, {live} live connections: end them first.")

    async def _all_read(self, customer: str, ledger: Database) -> None:
        """Until the ledger has read what the outbox holds now."""
        last = await self._traces.last_entry(customer)
        until = time.monotonic() + WAIT_S
        while last is not None:
            read = await _position(ledger, customer)
            if read is not None and read >= last:
                return
            if time.monotonic() >= until:
                raise NotDone("The ledger has not read yet what the store holds.")
            await asyncio.sleep(LOOK_S)

    async def _cut_outbox(self, customer: str, ledger: Database) -> None:
        """The last entries go too. While others come all the time, a page of the stream may keep some bytes until it is full and read."""
        async with ledger.reading() as connection:
            ledger_id = await fact(connection, ID)
        for _ in range(CUTS_MAX):
            read = await _position(ledger, customer)
            if ledger_id is None or read is None:
                return
            left = await self._traces.cut_outbox(customer, read, ledger_id)
            if left is None:
                raise NotDone("Another ledger reads the store, so that its outbox could not be cut off.")
            if not left:
                return
            await asyncio.sleep(LOOK_S)


async def _position(ledger: Database, customer: str) -> EntryId | None:
    async with ledger.reading() as connection:
        return await read_through(connection, customer)
