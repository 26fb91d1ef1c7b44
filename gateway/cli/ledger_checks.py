"""`gateway ledger verify`, `explain` and `what-if`: whether figures hold, why they are what they are, and what they would have been."""

import contextlib
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli import ledger_explained
from gateway.cli.client import Json
from gateway.cli.ledger_tables import (
    Csv,
    CustomerArgument,
    DataDir,
    First,
    Last,
    Ledger,
    LedgerUrl,
    date_of,
    progress,
    tell_json,
    tell_rows,
)


if TYPE_CHECKING:
    from gateway.ledger.checking import Verified
    from gateway.ledger.database import Database
    from gateway.ledger.explaining import Explanation
    from gateway.ledger.what_if import WhatIf

QUANTITY_MAX, LEGS_MAX = 10_000_000, 1_000_000
DIFFERENCE_COLUMNS = ("customer", "day", "pool", "kind", "replayed", "registered", "remembered", "detail")
WHAT_IF_COLUMNS = ("day", "peak_then", "committed_then", "overage_then", "peak", "overage", "denied")


def verify(
    customer: Annotated[
        str | None, typer.Argument(help="Only this customer. [default: all]", metavar="[CUSTOMER]")
    ] = None,
    first: First = None,
    last: Last = None,
    redis_url: Annotated[
        str | None, typer.Option(help="Compare with the registers of this store as well. [default: without a store]")
    ] = None,
    ledger_url: LedgerUrl = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Recompute days that are over, and compare with what was written, registered and remembered; exit code 1 where anything differs."""
    ledger = Ledger("verify", ledger_url, data_dir)
    days = ledger.days(first, last)

    async def work(database: "Database") -> "Verified":
        from gateway.ledger.checking import Check  # noqa: PLC0415 - keeps `gateway --help` fast
        from gateway.ledger.figures import Figures  # noqa: PLC0415
        from gateway.ledger.registers import registers_at  # noqa: PLC0415

        async with contextlib.AsyncExitStack() as stack:
            store = await stack.enter_async_context(registers_at(redis_url)) if redis_url else None
            check = Check(Figures(database), None, store.of if store else None)
            bar = stack.enter_context(progress())
            task = bar.add_task("days", total=None)
            return await check.verify(
                customer, *days, ledger.now_ms, lambda done, total: bar.update(task, completed=done, total=total)
            )

    found = ledger.read_with_store(work, customer)
    rows = [
        [of, date_of(one.day), one.pool, *[getattr(one, name) for name in DIFFERENCE_COLUMNS[3:]]]
        for of, one in found.differences
    ]
    if as_json:
        differences = [dict(zip(DIFFERENCE_COLUMNS, row, strict=True)) for row in rows]
        tell_json({"days": found.days, "in_doubt": found.doubtful, "differences": differences})
    else:
        if rows:
            tell_rows(DIFFERENCE_COLUMNS, rows, as_csv=False)
        if found.doubtful:
            typer.echo(
                f"not compared, as the ledger still settles what was lost: {', '.join(found.doubtful)}", err=True
            )
        typer.echo(f"{found.days} days of customers recomputed, {len(rows)} differences")
    if rows:
        raise typer.Exit(1)


def explain(
    customer: CustomerArgument,
    day: Annotated[str, typer.Argument(help="YYYY-MM-DD, Pacific.", metavar="DAY")],
    pool: Annotated[str, typer.Argument(help="ports, teams_ports, china, pstn or event_pstn.", metavar="POOL")],
    legs: Annotated[int, typer.Option(help="How many legs are listed.")] = 100,
    ledger_url: LedgerUrl = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Why a figure is what it is: its commitment, its instant, and the legs that were connected then."""
    ledger = Ledger("explain", ledger_url, data_dir)
    ordinal, pool = ledger.day("DAY", day), ledger.pool("POOL", pool)
    if not 0 <= legs <= LEGS_MAX:
        raise ledger.refused("--legs", f"is not a number from 0 to {LEGS_MAX}")

    async def work(database: "Database") -> "Explanation":
        from gateway.ledger.explaining import explain  # noqa: PLC0415
        from gateway.ledger.figures import Figures  # noqa: PLC0415

        return await explain(Figures(database), customer, ordinal, pool, ledger.now_ms, legs_max=legs)

    found = ledger.read(work, customer)
    if as_json:
        tell_json(ledger_explained.body(found))
    else:
        ledger_explained.tell(found)


def what_if(
    customer: CustomerArgument,
    committed: Annotated[int, typer.Option(help="What would have been ordered.")],
    ceiling: Annotated[
        int | None, typer.Option(help="Past which joins would have been refused. [default: none]")
    ] = None,
    pool: Annotated[str, typer.Option(help="ports, teams_ports, china, pstn or event_pstn.")] = "ports",
    first: First = None,
    last: Last = None,
    ledger_url: LedgerUrl = None,
    data_dir: DataDir = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Replay a customer's past against another contract: days over, overage, what would have been denied.

    It cannot know who was refused then: how long they would have stayed, nothing tells.
    """
    ledger = Ledger("what-if", ledger_url, data_dir)
    ledger.forms(as_json, as_csv)
    pool = ledger.pool("--pool", pool)
    for name, number, least in (("--committed", committed, 0), ("--ceiling", ceiling, 1)):
        if number is not None and not least <= number <= QUANTITY_MAX:
            raise ledger.refused(name, f"is not a number from {least} to {QUANTITY_MAX}")
    if ceiling is not None and ceiling < committed:
        raise ledger.refused("--ceiling", "lies below --committed")
    days = ledger.days(first, last)
    from gateway.ledger.what_if import OtherContract  # noqa: PLC0415
    from gateway.ledger.what_if import what_if as replay  # noqa: PLC0415

    other = OtherContract(committed, ceiling)
    found = ledger.read(lambda database: replay(database, customer, pool, other, *days, ledger.now_ms), customer)
    rows = _compared(found)
    if as_json:
        tell_json({
            "customer": customer, "pool": pool, "committed": committed, "ceiling": ceiling,
            "days": [dict(zip(WHAT_IF_COLUMNS, row, strict=True)) for row in rows], "totals": _totals(found),
            "denied_then": found.denied_then,
        })  # fmt: skip
        return
    tell_rows(WHAT_IF_COLUMNS, rows, as_csv=as_csv)
    if as_csv:
        return
    typer.echo(", ".join([f"{name.replace('_', ' ')} {value}" for name, value in _totals(found).items()]))
    if found.denied_then:
        reasons = ", ".join([f"{reason} {count}" for reason, count in found.denied_then.items()])
        typer.echo(f"refused then, by reason, all pools; how long they would have stayed is not known: {reasons}")


def _compared(found: "WhatIf") -> list[list[object]]:
    rows: list[list[object]] = []
    for each in found.days:
        then = [each.then.peak, each.then.committed, each.then.overage] if each.then else [None, None, None]
        rows.append([date_of(each.day), *then, each.other.peak, each.other.overage, each.denied])
    return rows


def _totals(found: "WhatIf") -> dict[str, int]:
    names = ("days_over_then", "days_over", "overage_then", "overage", "denied")
    return {name: getattr(found, name) for name in names}
