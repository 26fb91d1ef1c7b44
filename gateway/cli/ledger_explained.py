"""An explanation of a figure, as it is printed."""

from typing import TYPE_CHECKING, Any

import typer

from gateway.cli.ledger_tables import at, date_of, tell_rows


if TYPE_CHECKING:
    from gateway.ledger.explaining import Explanation

LEG_COLUMNS = ("connection", "endpoint", "meeting", "host", "connected", "until", "cause", "entry", "adopted")
FINDING_COLUMNS = ("kind", "pool", "replayed", "registered", "remembered", "detail", "opened", "closed")


def body(found: "Explanation") -> dict[str, Any]:
    """The explanation as plain data."""
    import msgspec  # noqa: PLC0415 - keeps `gateway --help` fast

    from gateway.api.report_bodies import ledger_overage_body  # noqa: PLC0415

    committed = found.commitment
    return {
        "customer": found.customer,
        "day": date_of(found.day),
        "pool": found.pool,
        "figure": msgspec.to_builtins(ledger_overage_body(found.figure)) if found.figure else None,
        "at": at(found.at_ms),
        "commitment": {
            "committed": committed.committed, "since": at(committed.since_ms), "ended": at(committed.ended_ms),
            "version": committed.version, "by": committed.by, "subscriptions": dict(committed.subscriptions),
        } if committed else None,
        "connected": found.connected,
        "legs": [dict(zip(LEG_COLUMNS, row, strict=True)) for row in _legs(found)],
        "left_out": found.left_out,
        "gap": found.gap,
        "findings": [dict(zip(FINDING_COLUMNS, row, strict=True)) for row in _findings(found)],
    }  # fmt: skip


def tell(found: "Explanation") -> None:
    """Prints it for people."""
    figure, held = found.figure, found.commitment
    typer.echo(f"{found.customer}, {date_of(found.day)}, {found.pool}")
    if figure is None:
        typer.echo("nothing to report: the pool had no commitment on that day, or nobody was in it")
    else:
        typer.echo(
            f"peak {figure.peak}, overage {figure.overage} above {figure.committed} committed; {figure.state}; "
            f"seats held at most {figure.held_peak}; decided at {at(found.at_ms)}"
        )
    if held is not None:
        parts = " + ".join([f"{name} {part}" for name, part in held.subscriptions]) or "no subscription"
        ended = f", held since {at(held.ended_ms)}, when the last term ended (T1.4)" if held.ended_ms else ""
        typer.echo(f"committed {held.committed} = {parts}; version {held.version} by {held.by or '?'}{ended}")
    for each in figure.adjustments if figure else ():
        typer.echo(f"adjusted at {at(each.at_ms)}: peak {each.peak}, overage {each.overage}: {each.cause}")
    if found.gap:
        typer.echo(f"entries are missing: {found.gap}")
    if found.legs:
        tell_rows(LEG_COLUMNS, _legs(found), as_csv=False)
    if figure is not None:
        more = f", {found.left_out} of them not listed" if found.left_out else ""
        typer.echo(f"{found.connected} legs were connected then{more}")
    if found.findings:
        tell_rows(FINDING_COLUMNS, _findings(found), as_csv=False)


def _legs(found: "Explanation") -> list[list[object]]:
    return [
        [
            leg.connection, leg.endpoint, leg.meeting, leg.host, at(leg.connected_ms), at(leg.until_ms), leg.cause,
            str(leg.entry), leg.adopted,
        ]
        for leg in found.legs
    ]  # fmt: skip


def _findings(found: "Explanation") -> list[list[object]]:
    return [
        [
            each.kind, each.pool, each.replayed, each.registered, each.remembered, each.detail, at(each.opened_ms),
            at(each.closed_ms),
        ]
        for each in found.findings
    ]  # fmt: skip
