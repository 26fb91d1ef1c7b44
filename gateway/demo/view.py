"""What `gateway demo` shows while it plays: the fullest pools, the last decisions, and how many there were of each reason."""

import textwrap
from collections import Counter
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from gateway.api.bodies import usage_body
from gateway.core import Core
from gateway.demo.media_servers import MediaServers
from gateway.demo.scenes import outcome_of


LINES_MIN, COLUMNS = 24, 80
TALLY_LINES = 3
FIXED_LINES = TALLY_LINES + 7
"""Of a screen, beside the rows of its two tables: a title, two headers, two empty lines, and two on which the cursor comes to stand."""


@dataclass(frozen=True, slots=True)
class Row:
    """A pool of a customer, or a customer that has none; `refused` counts the joins of the whole customer."""

    customer: str
    pool: str | None
    used: int
    committed: int | None
    ceiling: int | None
    peak: int | None
    overage: int | None
    refused: int

    @property
    def fullness(self) -> tuple[float, int]:
        """The share of what was ordered that is in use, then how much that is; what has no bound comes last."""
        bound = self.ceiling if self.committed is None else self.committed
        return (self.used / bound if bound else 0.0, self.used)


async def look(core: Core) -> list[Row]:
    """All pools of all customers, in the order of their names."""
    found: list[Row] = []
    for customer in sorted(await core.reports.customers()):
        body = usage_body(customer, await core.reports.usage(customer))
        refused = sum(body.denied.values()) + sum(body.would_deny.values())
        if not body.pools:
            found.append(Row(customer, None, 0, None, None, None, None, refused))
        for pool in body.pools:
            committed, ceiling, peak, overage = [
                value if isinstance(value, int) else None
                for value in (pool.committed, pool.ceiling, pool.peak, pool.overage)
            ]
            found.append(Row(customer, pool.pool, pool.used, committed, ceiling, peak, overage, refused))
    return found


def screen(rows: list[Row], servers: MediaServers, lines: int) -> RenderableType:
    """A picture that fits in so many lines of 80 columns: the fullest pools, the latest decisions."""
    left = max(lines, LINES_MIN) - FIXED_LINES
    recent = list(servers.recent)[-(left * 2 // 5) :]
    fullest = sorted(rows, key=lambda row: row.fullness, reverse=True)[: left - left * 2 // 5]
    # In the order of names, so that rows stay where they are as long as they are shown.
    shown = [row for row in rows if row in fullest]
    return Group(
        pools(shown, f"The fullest {len(shown)} of {len(rows)} pools"),
        "",
        _decisions(recent),
        "",
        _tally(servers.decisions),
    )


def pools(rows: list[Row], title: str) -> Table:
    """Pools with their use now and today; what was refused stands once for each customer."""
    table = _table(title, ("customer", "pool"), ("used", "committed", "ceiling", "peak today", "overage", "refused"))
    told_of: set[str] = set()
    for row in rows:
        refused = None if row.customer in told_of else row.refused
        told_of.add(row.customer)
        numbers = (row.used if row.pool else None, row.committed, row.ceiling, row.peak, row.overage, refused)
        table.add_row(row.customer, row.pool or "-", *["-" if number is None else str(number) for number in numbers])
    return table


def told(decisions: Counter[str]) -> str:
    """How many decisions there were of each reason, in one line."""
    return "decisions: " + ", ".join([f"{reason} {count}" for reason, count in sorted(decisions.items())])


def _decisions(recent: list[dict[str, Any]]) -> Table:
    table = _table(None, ("customer", "meeting", "endpoint", "decision", "reason"), ())
    for entry in recent:
        outcome = f"shadow ({entry['would_deny']})" if "would_deny" in entry else outcome_of(entry)
        table.add_row(entry["customer"], entry["meeting"], entry["endpoint"], entry["decision"], outcome)
    return table


def _tally(decisions: Counter[str]) -> str:
    """The most frequent reasons, as many as stand in the lines for them."""
    text = ",  ".join([f"{reason}\N{NO-BREAK SPACE}{count}" for reason, count in decisions.most_common()])
    return "\n".join(textwrap.wrap(text, COLUMNS - 1)[:TALLY_LINES])


def _table(title: str | None, names: tuple[str, ...], numbers: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold", box=None, padding=(0, 2, 0, 0))
    for name in names:
        table.add_column(name, no_wrap=True, max_width=28 if name == "reason" else 16)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table
