"""Tables in the terminal; plain text where nobody looks at them through one."""

import sys
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table


PIPED_WIDTH = 240


def show(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints a table; numbers stand on the right."""
    # Where nobody looks through a terminal there is no edge at which to break lines.
    Console(width=None if sys.stdout.isatty() else PIPED_WIDTH).print(table(columns, rows))


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str | None = None) -> Table:
    """A table of text and numbers; None is shown as a dash."""
    made = Table(title=title, title_justify="left", header_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for position, column in enumerate(columns):
        numeric = bool(rows) and all(row[position] is None or isinstance(row[position], int) for row in rows)
        made.add_column(column.replace("_", " "), justify="right" if numeric else "left", overflow="fold")  # nothing is cut off
    for row in rows:
        made.add_row(*["-" if value is None else escape(str(value)) for value in row])
    return made
