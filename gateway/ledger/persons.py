"""What the ledger keeps about one person, to export it and to correct it (T21.4)."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Row, Select, Table, and_, func, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.billing.stretch import Shape
from gateway.domain.person import Person, mentions
from gateway.ledger import schema
from gateway.ledger.database import Database
from gateway.ledger.erasure import (
    Erased,
    Spelt,
    add_audit,
    count_forgetting,
    not_beside_the_writer,
    of_person,
    rewrite_versions,
    spelt,
)
from gateway.ledger.interning import PERSON, key_of, pseudonym
from gateway.ledger.versions import StoredVersion, stored_versions


NOTICES_MAX = 1_000
"""Findings, notices and rows of the audit in an export, each."""


class Place(NamedTuple):
    """Where a page of stretches ends: they come by the beginning, and by their first entry."""

    held_ms: int
    epoch: int
    number: int


class KeptLeg(msgspec.Struct, frozen=True):
    """A stretch of the person's, or of a meeting that it owns; names as they are known now. Instants in Unix milliseconds."""

    connection: str
    held_ms: int
    connected_ms: int | None
    until_ms: int | None
    freed_ms: int | None
    cause: str
    meeting: str
    host: str | None
    person: str | None
    node: str | None
    shape: Shape
    place: Place


class KeptMention(msgspec.Struct, frozen=True):
    """What stands about the person at one place of the entitlements, in all versions from `first` to `last`."""

    first: int
    last: int
    path: str
    value: Any


class KeptNotice(msgspec.Struct, frozen=True):
    """A finding, a notice, or something that was done to the person's data or by the person."""

    kind: str
    at_ms: int
    text: str


class Persons:
    """Reads and corrects. All raise LedgerUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def known(self, customer: str, address: str) -> Spelt:
        """How the person is known; no pseudonym: it was never met."""
        async with self._database.reading() as connection:
            return await spelt(connection, customer, address)

    async def legs(self, customer: str, address: str, after: Place | None, count: int) -> list[KeptLeg]:
        """A page of stretches, the oldest first, those that go on too."""
        async with self._database.reading() as connection:
            known = await spelt(connection, customer, address)
            found = [
                row
                for table in (schema.legs, schema.live)
                for row in await connection.execute(_stretches(table, customer, known.ids, after, count))
            ]
        return sorted([_leg(row) for row in found], key=lambda leg: leg.place)[:count]

    async def mentions(self, customer: str, person: Person) -> list[KeptMention]:
        """Where the person stands in the versions of entitlements; the same in versions that follow each other is told once."""
        last_read = -1
        running: dict[tuple[str, bytes], KeptMention] = {}
        told: list[KeptMention] = []
        async for page in stored_versions(self._database, customer):
            for version, found in await asyncio.to_thread(_mentions, page, person):
                ended = [key for key, each in running.items() if key not in found or each.last != last_read]
                told += [running.pop(key) for key in ended]
                for key, (path, value) in found.items():
                    first = running[key].first if key in running else version
                    running[key] = KeptMention(first, version, path, value)
                last_read = version
        return sorted([*told, *running.values()], key=lambda each: (each.first, each.path))

    async def notices(self, customer: str, person: Person) -> list[KeptNotice]:
        """Findings, notices and audit in which the person stands."""
        pattern, audit = person.pattern(), schema.audit
        found: list[KeptNotice] = []
        async with self._database.reading() as connection:
            known = await spelt(connection, customer, person.address)
            for table, kind, at, text in (
                (schema.findings, "finding", "opened_ms", "detail"),
                (schema.deliveries, "notice", "made_ms", "body"),
            ):
                rows = await connection.execute(select(table.c[at], table.c[text]).where(table.c.customer == customer))
                found += [KeptNotice(kind, row[0], row[1]) for row in rows if pattern and pattern.search(row[1])]
            rows = await connection.execute(
                select(audit.c.at_ms, audit.c.what, audit.c.by, audit.c.subject).where(audit.c.customer == customer)
            )
            found += [
                KeptNotice("audit", row.at_ms, f"{row.what} by {row.by}")
                for row in rows
                if row.subject == known.pseudonym or person.is_meant_by(row.by)
            ]
        return sorted(found, key=lambda each: each.at_ms)[-NOTICES_MAX:]

    async def told(self, customer: str, address: str, by: str, now_ms: int) -> None:
        """Notes that everything was exported."""
        async with self._database.writing() as connection:
            subject = pseudonym(await key_of(connection, customer), PERSON, address)
            await add_audit(connection, customer, by, "export", subject, now_ms)

    async def correct(self, customer: str, person: Person, new: str, by: str, now_ms: int) -> Erased:
        """The person goes by another address from now on, also in what was; where that one is known, the two are one."""
        versions = await rewrite_versions(self._database, customer, person.replaced_by(new, keeps_names=True))
        async with self._database.writing() as connection:
            await not_beside_the_writer(connection)
            known = await spelt(connection, customer, person.address)
            alias = pseudonym(await key_of(connection, customer), PERSON, new)
            legs = await _count(connection, customer, known.ids)
            await _rename(connection, customer, known, new, alias)
            audit = schema.audit
            same = and_(audit.c.customer == customer, audit.c.subject == known.pseudonym)
            audited = await connection.execute(audit.update().where(same).values(subject=alias))
            await count_forgetting(connection)
            if known.ids or versions:
                await add_audit(connection, customer, by, "correct", alias, now_ms)
        return Erased(legs, len(known.ids), 0, versions, 0, audited.rowcount)


async def _count(connection: AsyncConnection, customer: str, ids: Sequence[int]) -> int:
    counts = [
        await connection.execute(select(func.count()).where(table.c.customer == customer, of_person(table, ids)))
        for table in (schema.legs, schema.live)
    ]
    return sum(count.scalar_one() for count in counts)


async def _rename(connection: AsyncConnection, customer: str, known: Spelt, new: str, alias: str) -> None:
    """One name of those that the person had is the new one, the others are none; what was pseudonymised stays so."""
    names = schema.names
    own = and_(names.c.customer == customer, names.c.kind == PERSON)
    rows = (await connection.execute(select(names.c.id, names.c.name).where(own, names.c.id.in_(known.ids)))).all()
    named = [row.id for row in rows if row.name is not None]
    there = (await connection.execute(select(names.c.id).where(own, names.c.name == new))).scalar_one_or_none()
    target = there if there is not None else next(iter(named), None)
    others = [id_ for id_ in named if id_ != target]
    await connection.execute(names.update().where(own, names.c.id.in_(known.ids)).values(pseudonym=alias))
    if others:
        await connection.execute(names.update().where(own, names.c.id.in_(others)).values(name=None))
        for table in (schema.legs, schema.live):
            for column in ("person", "host"):
                mine = and_(table.c.customer == customer, table.c[column].in_(others))
                await connection.execute(table.update().where(mine).values({column: target}))
    if target is not None:
        await connection.execute(names.update().where(own, names.c.id == target).values(name=new, pseudonym=alias))


def _stretches(table: Table, customer: str, ids: Sequence[int], after: Place | None, count: int) -> Select[Any]:
    """Stretches with the names that stand in them, in the order of their places."""
    of = {column: schema.names.alias() for column in ("meeting", "host", "person", "node")}
    joined = table.join(schema.shapes, schema.shapes.c.id == table.c.shape)
    for column, name in of.items():
        joined = joined.outerjoin(name, name.c.id == table.c[column])
    place = [table.c[column] for column in Place._fields]
    own = ("connection", "connected_ms", "until_ms", "freed_ms", "cause")
    shown = [func.coalesce(name.c.name, name.c.pseudonym).label(column) for column, name in of.items()]
    columns = [*place, *[table.c[column] for column in own], schema.shapes.c.shape, *shown]
    wanted = select(*columns).select_from(joined).where(table.c.customer == customer, of_person(table, ids))
    if after is not None:
        wanted = wanted.where(
            table.c.held_ms >= after.held_ms, tuple_(*place) > tuple_(*[literal(each) for each in after])
        )
    return wanted.order_by(*place).limit(count)


def _leg(row: Row[Any]) -> KeptLeg:
    return KeptLeg(
        row.connection, row.held_ms, row.connected_ms, row.until_ms, row.freed_ms, row.cause or "", row.meeting, row.host,
        row.person, row.node, msgspec.json.decode(row.shape, type=Shape), Place(row.held_ms, row.epoch, row.number),
    )  # fmt: skip


def _mentions(
    page: Iterable[StoredVersion], person: Person
) -> list[tuple[int, dict[tuple[str, bytes], tuple[str, Any]]]]:
    found = []
    for version, by, document in page:
        places = list(mentions(msgspec.json.decode(document), person)) if document else []
        if person.is_meant_by(by):
            places.append(("by", by))
        found.append((version, {(path, msgspec.json.encode(value)): (path, value) for path, value in places}))
    return found
