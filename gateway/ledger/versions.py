"""Entitlements as they were: what a customer held, version by version."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.billing.commitment import Version
from gateway.domain.billing.entry import EntryId
from gateway.domain.customer import Subscription
from gateway.domain.days import day_at
from gateway.ledger import schema
from gateway.ledger.database import Database
from gateway.stored_record import decode_record


DOCUMENTS_AT_ONCE = 20
"""Read, or rewritten, in one transaction."""


class StoredVersion(NamedTuple):
    """A version as it is stored; the document is empty where nobody knows what it changed."""

    version: int
    by: str
    document: bytes


async def customers_of(connection: AsyncConnection) -> list[str]:
    """All customers that the ledger knows, in order."""
    table = schema.versions
    return list((await connection.execute(select(table.c.customer).distinct().order_by(table.c.customer))).scalars())


async def page_of_versions(
    connection: AsyncConnection, customer: str, after: int, below: int | None = None
) -> list[StoredVersion]:
    """The versions that follow one, in their order, and are below another: documents may be large, so that a few are read at a time."""
    table = schema.versions
    rows = select(table.c.version, table.c.by, table.c.document).where(
        table.c.customer == customer, table.c.version > after
    )
    if below is not None:
        rows = rows.where(table.c.version < below)
    page = await connection.execute(rows.order_by(table.c.version).limit(DOCUMENTS_AT_ONCE))
    return [StoredVersion(row.version, row.by, bytes(row.document)) for row in page]


async def stored_versions(database: Database, customer: str) -> AsyncIterator[list[StoredVersion]]:
    """All versions of a customer, page by page, each read in a transaction of its own. Raises LedgerUnavailable."""
    after = -1
    while True:
        async with database.reading() as connection:
            page = await page_of_versions(connection, customer, after)
        if not page:
            return
        yield page
        after = page[-1].version


async def versions_of(connection: AsyncConnection, customer: str) -> list[Version]:
    """All versions of a customer's entitlements, in their order; none for one that the ledger has never heard of."""
    table = schema.versions
    rows = await connection.execute(
        select(table.c.version, table.c.at_ms, table.c.epoch, table.c.number, table.c.document)
        .where(table.c.customer == customer)
        .order_by(table.c.version)
    )
    # A customer with many listed hosts is a large document.
    return await asyncio.to_thread(_decoded, rows.all())


async def greatest_versions(connection: AsyncConnection) -> dict[str, int]:
    """The greatest version of each customer."""
    table = schema.versions
    rows = await connection.execute(
        select(table.c.customer, func.max(table.c.version).label("greatest")).group_by(table.c.customer)
    )
    return {row.customer: row.greatest for row in rows}


async def newest_version(connection: AsyncConnection, customer: str) -> tuple[int, bytes] | None:
    """The greatest version of a customer, and its document; None for one that the ledger has never heard of."""
    table = schema.versions
    newest = select(table.c.version, table.c.document).where(table.c.customer == customer)
    row = (await connection.execute(newest.order_by(table.c.version.desc()).limit(1))).first()
    return (row.version, bytes(row.document)) if row else None


def subscriptions_between(held: Sequence[Version], from_ms: int, until_ms: int) -> list[Subscription]:
    """The subscriptions of all versions in force at any time of [from_ms, until_ms), each as it stands in the last of them."""
    found: dict[str, Subscription] = {}
    for version in in_force_between(held, from_ms, until_ms):
        if version.customer is not None:
            found.update({each.id: each for each in version.customer.subscriptions})
    return list(found.values())


def removed_by(held: Sequence[Version], until_ms: int) -> dict[str, int]:
    """By subscription, the day (ordinal) on which it was removed for good, as far as is known at an instant."""
    found: dict[str, int] = {}
    before: set[str] = set()
    for version in in_force_between(held, 0, until_ms):
        now = {each.id for each in version.customer.subscriptions} if version.customer else set[str]()
        found.update(dict.fromkeys(before - now, day_at(version.since_ms).ordinal))
        for id_ in now:
            found.pop(id_, None)
        before = now
    return found


def in_force_between(held: Sequence[Version], from_ms: int, until_ms: int) -> list[Version]:
    """The versions that were in force at any time of [from_ms, until_ms), in order."""
    ends: list[int | None] = [following.since_ms for following in held[1:]]
    return [
        version
        for version, end_ms in zip(held, [*ends, None], strict=False)
        if version.since_ms < until_ms and (end_ms is None or end_ms > from_ms)
    ]


def _decoded(rows: Iterable[Any]) -> list[Version]:
    # Of a version without a document nobody knows what it changed.
    return [
        Version(row.at_ms, decode_record(row.version, bytes(row.document)).customer, EntryId(row.epoch, row.number))
        for row in rows
        if row.document
    ]
