"""`gateway ledger status`, `gaps` and `findings`: what the ledger knows of itself, and what it is not sure of."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.client import Json
from gateway.cli.ledger_tables import Csv, DataDir, Ledger, LedgerUrl, at, tell_json, tell_rows


if TYPE_CHECKING:
    from gateway.ledger.database import Database

GAP_COLUMNS = ("bucket", "epoch", "first", "last", "from", "until", "found", "cause")
FINDING_COLUMNS = (
    "customer", "day", "pool", "kind", "replayed", "registered", "remembered", "opened", "closed", "detail",
)  # fmt: skip


def status(
    ledger_url: LedgerUrl = None,
    data_dir: DataDir = None,
    count: Annotated[bool, typer.Option("--count", help="Also count all stretches, which may take a while.")] = False,
    as_json: Json = False,
) -> None:
    """How far the ledger is: who writes it, how far each outbox was read, what is missing, how large it is."""
    ledger = Ledger("status", ledger_url, data_dir)

    async def work(database: "Database") -> dict[str, Any]:
        return await _status(database, ledger.now_ms, count=count)

    found = ledger.read(work)
    if as_json:
        tell_json(found)
        return
    positions = found.pop("positions")
    sizes = found.pop("sizes")
    for name, value in {**found, **sizes}.items():
        typer.echo(f"{name.replace('_', ' '):<16} {'-' if value is None else value}")
    typer.echo(f"{'outboxes read':<16} {len(positions)}")
    doubtful = [each for each in positions if each["doubt_since"] is not None]
    if doubtful:
        columns = ("bucket", "epoch", "number", "at", "doubt_since")
        tell_rows(columns, [[each[column] for column in columns] for each in doubtful], as_csv=False)


def gaps(ledger_url: LedgerUrl = None, data_dir: DataDir = None, as_json: Json = False, as_csv: Csv = False) -> None:
    """Entries that were never read: which, and between which instants they happened."""
    ledger = Ledger("gaps", ledger_url, data_dir)
    ledger.forms(as_json, as_csv)
    rows = ledger.read(_gaps)
    _tell(GAP_COLUMNS, rows, as_json=as_json, as_csv=as_csv)


def findings(
    customer: Annotated[str | None, typer.Argument(help="Only this customer.", metavar="[CUSTOMER]")] = None,
    closed: Annotated[bool, typer.Option("--all", help="Also those that were closed.")] = False,
    ledger_url: LedgerUrl = None,
    data_dir: DataDir = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Differences between replay, registers and what gateways remember, with all three values."""
    ledger = Ledger("findings", ledger_url, data_dir)
    ledger.forms(as_json, as_csv)

    async def work(database: "Database") -> list[list[object]]:
        return await _findings(database, customer, closed=closed)

    _tell(FINDING_COLUMNS, ledger.read(work, customer), as_json=as_json, as_csv=as_csv)


def _tell(columns: tuple[str, ...], rows: list[list[object]], *, as_json: bool, as_csv: bool) -> None:
    if as_json:
        tell_json([dict(zip(columns, row, strict=True)) for row in rows])
        return
    tell_rows(columns, rows, as_csv=as_csv)


async def _status(database: "Database", now_ms: int, *, count: bool) -> dict[str, Any]:
    from sqlalchemy import func, select, text  # noqa: PLC0415

    from gateway.ledger import schema  # noqa: PLC0415
    from gateway.ledger.lease import writer_at  # noqa: PLC0415
    from gateway.ledger.status import read_status  # noqa: PLC0415

    known = await read_status(database)
    counted = {"live": schema.live, "versions": schema.versions} | ({"stretches": schema.legs} if count else {})
    size = (
        "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
        if database.kind == "sqlite"
        else "SELECT pg_database_size(current_database())"
    )
    positions = schema.positions
    async with database.reading() as connection:
        rows = (await connection.execute(select(positions).order_by(positions.c.bucket))).all()
        sizes = {"bytes": (await connection.execute(text(size))).scalar_one()}
        for name, table in counted.items():
            sizes[name] = (await connection.execute(select(func.count()).select_from(table))).scalar_one()
    return {
        "id": known.id or None,
        "database": database.shown,
        "writer": await writer_at(database, now_ms),
        "read_until": at(known.read_ms or None),
        "lag_s": round(known.lag_s(now_ms), 1) if known.read_ms else None,
        "gaps": known.gaps,
        "doubts": known.doubts,
        "findings": known.findings,
        "deliveries": known.deliveries,
        "sizes": sizes,
        "positions": [
            {
                "bucket": row.bucket, "epoch": row.epoch, "number": row.number, "at": at(row.at_ms),
                "doubt_since": at(row.doubt_ms),
            }
            for row in rows
        ],
    }  # fmt: skip


async def _gaps(database: "Database") -> list[list[object]]:
    from sqlalchemy import select  # noqa: PLC0415

    from gateway.ledger import schema  # noqa: PLC0415

    table = schema.gaps
    async with database.reading() as connection:
        rows = await connection.execute(select(table).order_by(table.c.until_ms, table.c.bucket, table.c.first))
    return [
        [row.bucket, row.epoch, row.first, row.last, at(row.from_ms), at(row.until_ms), at(row.found_ms), row.cause]
        for row in rows
    ]


async def _findings(database: "Database", customer: str | None, *, closed: bool) -> list[list[object]]:
    from sqlalchemy import select  # noqa: PLC0415

    from gateway.domain.days import day  # noqa: PLC0415
    from gateway.ledger import schema  # noqa: PLC0415

    table = schema.findings
    statement = select(table).order_by(table.c.customer, table.c.day, table.c.pool, table.c.kind)
    if customer is not None:
        statement = statement.where(table.c.customer == customer)
    if not closed:
        statement = statement.where(table.c.closed_ms.is_(None))
    async with database.reading() as connection:
        rows = await connection.execute(statement)
    return [
        [
            row.customer, day(row.day).date.isoformat(), row.pool, row.kind, row.replayed, row.registered, row.remembered,
            at(row.opened_ms), at(row.closed_ms), row.detail,
        ]
        for row in rows
    ]  # fmt: skip
