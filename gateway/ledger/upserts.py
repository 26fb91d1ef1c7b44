"""What both databases can do, each in its own words: inserts that know what to do with a row that is there, and lists of keys."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import FromClause, Table, Text, case, cast, func, literal, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection


def listed(connection: AsyncConnection, rows: Iterable[Sequence[str]], names: Sequence[str]) -> FromClause:
    """Rows of texts to join with, as columns `names`. They travel as one JSON text, however many they are."""
    text = msgspec.json.encode(list(rows)).decode()
    if connection.dialect.name == "sqlite":
        row = func.json_each(text).table_valued("value")
        columns = [func.json_extract(row.c.value, f"$[{place}]").label(name) for place, name in enumerate(names)]
    else:
        row = func.jsonb_array_elements(cast(literal(text, Text), postgresql.JSONB)).table_valued(
            "value", joins_implicitly=True
        )
        value = cast(row.c.value, postgresql.JSONB)
        columns = [value.op("->>")(place).label(name) for place, name in enumerate(names)]
    return select(*columns).select_from(row).subquery()


def _insert(connection: AsyncConnection, table: Table) -> Any:
    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)


async def insert_new(connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows whose keys are not there yet; the others stay as they are."""
    if rows:
        await connection.execute(_insert(connection, table).on_conflict_do_nothing(), list(rows))


async def put(connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows that take the place of those with the same key."""
    names = [column.name for column in table.columns if not column.primary_key and rows and column.name in rows[0]]
    await _merge(connection, table, names, rows, lambda _, new: new)


async def add_to(connection: AsyncConnection, table: Table, column: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows whose `column` is added to what is there."""
    await _merge(connection, table, [column], rows, lambda old, new: old + new)


async def raise_to(
    connection: AsyncConnection, table: Table, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> None:
    """Rows whose `columns` become the greater of what is there and what is given, each by itself."""
    await _merge(connection, table, columns, rows, lambda old, new: case((new > old, new), else_=old))


async def _merge(
    connection: AsyncConnection,
    table: Table,
    columns: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    merged: Callable[[Any, Any], Any],
) -> None:
    if rows:
        statement = _insert(connection, table)
        values = {name: merged(table.c[name], statement.excluded[name]) for name in columns}
        await connection.execute(
            statement.on_conflict_do_update(index_elements=table.primary_key, set_=values), list(rows)
        )
