"""What the ledger keeps about a person under another name: erased, under a fresh one that nobody can tell, or corrected (T21.4).

Who somebody is stands in `names`; all else that could name a person is what people provisioned or wrote: versions of entitlements, findings,
notices. Figures count by pseudonym and never change. Everything here may be done again: what was done is not found any more.
"""

import asyncio
import dataclasses
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Any

import msgspec
from sqlalchemy import Table, and_, bindparam, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.addresses import normal_address
from gateway.domain.person import Person, Rewriting, as_pseudonym, full_names_of, rewritten
from gateway.ledger import schema
from gateway.ledger.database import Database
from gateway.ledger.facts import FORGETTINGS, fact, put_fact
from gateway.ledger.interning import MEETING, PERSON, pseudonym
from gateway.ledger.lease import WRITER
from gateway.ledger.versions import StoredVersion, page_of_versions, stored_versions


LEGS_AT_ONCE = 1_000

FORGOTTEN_CONNECTION = "~"
"""In place of the id of a leg whose person was erased. Not empty: retention has still to come."""


class Erased(msgspec.Struct, frozen=True):
    """How much there was."""

    legs: int = 0
    """Stretches of the person, and of meetings that it owned; also those that go on."""
    names: int = 0
    meetings: int = 0
    """Those that were called by the address."""
    versions: int = 0
    """Versions of entitlements."""
    notices: int = 0
    """Findings and notices."""
    audit: int = 0


class Spelt(msgspec.Struct, frozen=True):
    """A person as the ledger knows it: numbers of its names, how they are spelt, and the pseudonym; None: it was never met."""

    ids: tuple[int, ...] = ()
    spellings: tuple[str, ...] = ()
    pseudonym: str | None = None


def fresh_alias() -> str:
    """A pseudonym that no key leads to."""
    return as_pseudonym(secrets.token_bytes(16))


async def spelt(connection: AsyncConnection, customer: str, address: str) -> Spelt:
    """The rows of a person's names: those of its pseudonym, named or not."""
    keys, names = schema.pseudonym_keys, schema.names
    key = (await connection.execute(select(keys.c.key).where(keys.c.customer == customer))).scalar_one_or_none()
    if key is None:
        return Spelt()
    known_as = pseudonym(bytes(key), PERSON, address)
    rows = (await connection.execute(select(names.c.id, names.c.name).where(_people(customer, known_as)))).all()
    spellings = tuple([row.name for row in rows if row.name is not None])
    return Spelt(tuple([row.id for row in rows]), spellings, known_as)


async def known_person(database: Database, customer: str, address: str) -> Person:
    """The person with the full names that stand beside the address in any version. Raises LedgerUnavailable."""
    compared, found = normal_address(address), set[str]()
    async for page in stored_versions(database, customer):
        found.update(await asyncio.to_thread(_full_names, [each.document for each in page], compared))
    return Person(compared, frozenset(found))


async def erase(database: Database, customer: str, person: Person, alias: str, by: str, now_ms: int) -> Erased:
    """Nothing names the person any more; all of it stands under the alias. Raises LedgerUnavailable."""
    async with database.reading() as connection:
        known = await spelt(connection, customer, person.address)
    how = person.replaced_by(alias)
    versions = await rewrite_versions(database, customer, how)
    legs = await _forget_connections(database, customer, known.ids)
    async with database.writing() as connection:
        await not_beside_the_writer(connection)
        known = await spelt(connection, customer, person.address)
        names = schema.names
        forgotten = await connection.execute(
            names.update().where(_people(customer, known.pseudonym or alias)).values(name=None, pseudonym=alias)
        )
        meetings = await _forget_meetings(connection, customer, person)
        notices = await _rewrite_texts(connection, customer, how)
        audited = await _rewrite_audit(connection, customer, person, known.pseudonym, alias)
        await count_forgetting(connection)
        await add_audit(connection, customer, by, "erase", alias, now_ms)
    return Erased(legs, forgotten.rowcount, meetings, versions, notices, audited)


async def rewrite_versions(
    database: Database,
    customer: str,
    how: Rewriting,
    *,
    below: int | None = None,
    hold: Callable[[AsyncConnection], Awaitable[None]] | None = None,
) -> int:
    """Other people in all versions, or those below one; how many were changed. Raises LedgerUnavailable.

    `hold` is what the writer begins each of its transactions with.
    """
    table, after, changed = schema.versions, -1, 0
    while True:
        async with database.writing() as connection:
            await (hold(connection) if hold else not_beside_the_writer(connection))
            rows = await page_of_versions(connection, customer, after, below)
            if not rows:
                return changed
            after = rows[-1].version
            new = await asyncio.to_thread(_rewritten, rows, how)
            changed += len(new)
            if new:
                key = (table.c.customer == customer) & (table.c.version == bindparam("of_version"))
                changes = table.update().where(key).values(by=bindparam("new_by"), document=bindparam("new_document"))
                await connection.execute(changes, new)


async def not_beside_the_writer(connection: AsyncConnection) -> None:
    """Waits until no batch is being written, so that it and what is forgotten come one after the other."""
    table = schema.leases
    await connection.execute(select(table.c.name).where(table.c.name == WRITER).with_for_update())


async def count_forgetting(connection: AsyncConnection) -> None:
    """Tells who keeps names in memory that some are not to be known any more."""
    await put_fact(connection, FORGETTINGS, str(int(await fact(connection, FORGETTINGS) or 0) + 1))


async def add_audit(connection: AsyncConnection, customer: str, by: str, what: str, subject: str, now_ms: int) -> None:
    """Who did what, and when; the subject is a pseudonym."""
    values = {"customer": customer, "at_ms": now_ms, "by": by, "what": what, "subject": subject}
    await connection.execute(schema.audit.insert(), [values])


def of_person(table: Table, ids: Collection[int]) -> Any:
    """Rows of `legs` or `live` in which one of these stands, as who joined or as owner."""
    return or_(table.c.person.in_(ids), table.c.host.in_(ids))


async def _forget_connections(database: Database, customer: str, ids: Collection[int]) -> int:
    """Counts the stretches of a person, and takes the ids of its own legs away: other systems know them too."""
    if not ids:
        return 0
    legs, live = schema.legs, schema.live
    async with database.reading() as connection:
        rows = [
            (await connection.execute(select(func.count()).where(table.c.customer == customer, of_person(table, ids))))
            for table in (legs, live)
        ]
        count = sum(row.scalar_one() for row in rows)
    after = -1
    while True:
        async with database.writing() as connection:
            await not_beside_the_writer(connection)
            own = legs.c.customer == customer, legs.c.person.in_(ids), legs.c.held_ms >= after
            kept = legs.c.connection.not_in(("", FORGOTTEN_CONNECTION))
            found = await connection.execute(
                select(legs.c.held_ms, legs.c.epoch, legs.c.number)
                .where(*own, kept)
                .order_by(legs.c.held_ms)
                .limit(LEGS_AT_ONCE)
            )
            rows_found = [tuple(row) for row in found]
            if not rows_found:
                return count
            after = rows_found[-1][0]
            places = [dict(zip(("at", "of_epoch", "of_number"), row, strict=True)) for row in rows_found]
            await connection.execute(_one_leg(customer).values(connection=FORGOTTEN_CONNECTION), places)


def _one_leg(customer: str) -> Any:
    legs = schema.legs
    return legs.update().where(
        and_(
            legs.c.customer == customer,
            legs.c.held_ms == bindparam("at"),
            legs.c.epoch == bindparam("of_epoch"),
            legs.c.number == bindparam("of_number"),
        )
    )


async def _forget_meetings(connection: AsyncConnection, customer: str, person: Person) -> int:
    """Meetings that are called by the address: each is another one from now on, under a pseudonym of its own."""
    local, _, domain = person.address.rpartition("@")
    pattern = dataclasses.replace(person, full_names=frozenset()).pattern()
    if pattern is None:
        return 0
    names = schema.names
    like = names.c.name.icontains(local, autoescape=True) & names.c.name.icontains(domain, autoescape=True)
    found = await connection.execute(
        select(names.c.id, names.c.name, names.c.pseudonym).where(
            names.c.customer == customer, names.c.kind == MEETING, like
        )
    )
    meant = [row for row in found if pattern.search(row.name)]
    for row in meant:
        same = (names.c.customer == customer) & (names.c.kind == MEETING) & (names.c.pseudonym == row.pseudonym)
        await connection.execute(names.update().where(same).values(name=None, pseudonym=fresh_alias()))
    return len(meant)


async def _rewrite_texts(connection: AsyncConnection, customer: str, how: Rewriting) -> int:
    """Findings and notices in which the person stands."""
    changed = 0
    for table, column in ((schema.findings, "detail"), (schema.deliveries, "body")):
        rows = await connection.execute(select(table.c.id, table.c[column]).where(table.c.customer == customer))
        new = [(row[0], how.text(row[1])) for row in rows if how.text(row[1]) != row[1]]
        for id_, text in new:
            await connection.execute(table.update().where(table.c.id == id_).values({column: text}))
        changed += len(new)
    return changed


async def _rewrite_audit(
    connection: AsyncConnection, customer: str, person: Person, known_as: str | None, alias: str
) -> int:
    """What was done to the person before, and what it did itself."""
    table, changed = schema.audit, 0
    rows = await connection.execute(select(table.c.id, table.c.by, table.c.subject).where(table.c.customer == customer))
    for row in rows.all():
        by = alias if person.is_meant_by(row.by) else row.by
        subject = alias if known_as is not None and row.subject == known_as else row.subject
        if (by, subject) != (row.by, row.subject):
            await connection.execute(table.update().where(table.c.id == row.id).values({"by": by, "subject": subject}))
            changed += 1
    return changed


def _people(customer: str, known_as: str) -> Any:
    names = schema.names
    return and_(names.c.customer == customer, names.c.kind == PERSON, names.c.pseudonym == known_as)


def _full_names(documents: list[bytes], address: str) -> set[str]:
    return {
        name for document in documents if document for name in full_names_of(msgspec.json.decode(document), address)
    }


def _rewritten(rows: Iterable[StoredVersion], how: Rewriting) -> list[dict[str, Any]]:
    new = []
    for version, by, document in rows:
        before = msgspec.json.decode(document) if document else None
        after = rewritten(before, how)
        new_by = how.by(by)
        if after != before or new_by != by:
            told = msgspec.json.encode(after) if after != before else document
            new.append({"of_version": version, "new_by": new_by, "new_document": told})
    return new
