"""A table for a terminal of any width: columns that say least go before a word is cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Row = tuple[tuple[str, ...], str]
"""The cells of a row, and its style."""


def fitting_table(
    console: Console, columns: Sequence[str], rows: Sequence[Row], spare: Sequence[str]
) -> Table:
    """The table, without as many of the `spare` columns, in their order, as have to go so that
    every word of the others stands whole. A column without any text goes too.
    """
    shown = [c for i, c in enumerate(columns) if any(cells[i] for cells, _ in rows)]
    for column in spare:
        if _least(console, _table(columns, rows, shown)) <= console.width:
            break
        shown = [name for name in shown if name != column]
    table = _table(columns, rows, shown)
    left = console.width - _least(console, table)
    if left >= 0:
        # Left to itself, rich breaks the words of one column before it wraps those of another.
        for index, name in enumerate(shown):
            place = columns.index(name)
            texts = [name, *(cells[place] for cells, _ in rows)]
            least = max(len(word) for text in texts for word in text.split() or [""])
            more = min(left, max(map(len, texts)) - least)
            table.columns[index].width = least + more
            left -= more
    return table


def _least(console: Console, table: Table) -> int:
    """The width at which every word of a table stands whole."""
    from rich.measure import Measurement

    wide = console.options.update(width=10_000, max_width=10_000)
    return Measurement.get(console, wide, table).minimum


def _table(columns: Sequence[str], rows: Sequence[Row], shown: Sequence[str]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for name in shown:
        table.add_column(name, overflow="fold")  # narrower still: cut nowhere, but broken
    places = [columns.index(name) for name in shown]
    for cells, style in rows:
        table.add_row(*(cells[place] for place in places), style=style)
    return table
