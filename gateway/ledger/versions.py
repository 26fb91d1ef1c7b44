"""Entitlements as they were: what a customer held, version by version."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.domain.billing.commitment import Version
from gateway.domain.billing.entry import EntryId
from gateway.domain.customer import Subscription
from gateway.ledger import schema
from gateway.stored_record import decode_record


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
