"""Rows as a table in the terminal."""

from itertools import groupby
from typing import Final

from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from knowlip.base.progress import console
from knowlip.base.rows import MARKS, MARKS_TOLD, Results, Row, Standing

_STYLES: Final[dict[Standing | None, str]] = {"above": "bold green", "level": "yellow", "below": "red", None: ""}


def print_table(results: Results) -> None:
    """Print the results beside their highest floors to the terminal, one section a task, notes below."""
    table = Table(title="Results on places that training never saw", box=SIMPLE)
    for name in ("measure", "value", "", "95 % interval", "highest floor", "n"):
        table.add_column(name, justify="right" if name in ("value", "95 % interval", "n") else "left")
    notes: dict[str, int] = {}
    for task, group in groupby(results.rows, key=lambda row: row.task):
        rows = list(group)
        table.add_section()
        table.add_row(f"[bold]{escape(task)}[/]: {escape(rows[0].encoder)}")
        for row in rows:
            note = f" [{notes.setdefault(row.note, len(notes) + 1)}]" if row.note else ""
            table.add_row(
                *_cells(row, f"  {row.metric}" if row.encoder == rows[0].encoder else f"    {row.encoder}", note)
            )
    console.print(table)
    console.print(f"{MARKS_TOLD}.")
    for note, number in notes.items():
        console.print(f"[{number}] {note}", markup=False)


def _cells(row: Row, title: str, note: str) -> list[str]:
    """Cells of a row; what stands in a file of results is not read as markup."""
    cells = [
        title + note,
        row.shown(row.value),
        MARKS[row.standing],
        row.shown_ci,
        "–" if row.floor is None else f"{row.shown(row.floor)} {row.floor_name}",
        f"{row.n:,}",
    ]
    cells = [escape(cell) for cell in cells]
    if style := _STYLES[row.standing]:
        cells[1:3] = [f"[{style}]{cell}[/]" for cell in cells[1:3]]
    return cells
