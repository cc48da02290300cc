"""A board as it is shown: each cell in words, the best bold and the second underlined only where they are apart."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from knowlip.base.rows import MARKS_TOLD
from knowlip.benchmark.leaderboard.boards import Board, Column, is_model
from knowlip.benchmark.leaderboard.compare import METHOD, Comparison, Standings
from knowlip.tasks.runs import FLOOR

LEVEL_MARK: Final = "tied"
_NAMED: Final = 6
"""Comparisons that a sentence tells."""
LEGEND: Final = (
    f"{MARKS_TOLD}; ∅ no floor is known",
    f"Bold: apart from all others of the column; underlined: apart from the best and from all behind it; {LEVEL_MARK}: "
    "not apart from the leading one, or nothing tells whether it is, so that there is no best. n≠: other number of "
    "trials than the column, compared with nothing",
    METHOD,
)


@dataclass(frozen=True)
class ShownCell:
    """A cell of a board."""

    value: str
    """"–" where there is none."""
    interval: str = ""
    """"" where there is none; of a floor its name."""
    mark: str = ""
    """Where it stands to its floor."""
    bold: bool = False
    underlined: bool = False
    level: bool = False
    """Not apart from the leading one."""
    n: str = ""
    """Where it is another than the column's."""
    why: str = ""
    """Why there is no value."""

    @property
    def words(self) -> str:
        """All of it as text, the value without emphasis."""
        parts = [self.value, f"({self.interval})" if self.interval else "", self.mark, LEVEL_MARK if self.level else ""]
        return " ".join(one for one in (*parts, f"n≠ {self.n}" if self.n else "", self.why and f"[{self.why}]") if one)


class ShownLine(NamedTuple):
    """A line of a board."""

    name: str
    kind: str
    """"model", "reference" (annotator, other image, blind), or "floor"."""
    cells: tuple[ShownCell, ...]


class ShownBoard(NamedTuple):
    """A board in words."""

    board: Board
    head: tuple[str, ...]
    """Metric and n of each column."""
    lines: tuple[ShownLine, ...]
    says: tuple[str, ...]
    """What its differences come to, in sentences."""
    comparisons: tuple[Comparison, ...]


def shown_board(board: Board, standings: dict[str, Standings], comparisons: list[Comparison]) -> ShownBoard:
    """A board in words."""
    lines = []
    for line in board.lines:
        if not any(line in column.entries for column in board.columns):
            continue
        row = next(column.entries[line].row for column in board.columns if line in column.entries)
        kind = "model" if is_model(row) else "floor" if row.encoder.startswith(FLOOR) else "reference"
        cells = tuple(_cell(board, column, line, standings[column.metric]) for column in board.columns)
        lines.append(ShownLine(line, kind, cells))
    if floor := _highest(board, {line.name for line in lines}):
        lines.append(floor)
    head = tuple(
        f"{column.metric}{' ↓' if column.better == 'lower' else ''}, n {column.n:,}" for column in board.columns
    )
    of: dict[str, dict[tuple[str, str], Comparison]] = {column.metric: {} for column in board.columns}
    for one in comparisons:
        of[one.column][one.better, one.other] = one
    says = [
        sentence for column in board.columns if (sentence := _says(column, standings[column.metric], of[column.metric]))
    ]
    return ShownBoard(board, head, tuple(lines), tuple(says), tuple(comparisons))


def _cell(board: Board, column: Column, line: str, standing: Standings) -> ShownCell:
    entry = column.entries.get(line)
    if entry is None or entry.row.value is None:
        return ShownCell("–", why=board.why_none(line, column))
    row = entry.row
    return ShownCell(
        row.shown(row.value),
        "" if row.ci is None else row.shown_ci,
        entry.mark,
        standing.best == line,
        standing.second == line,
        line in standing.level,
        f"{row.n:,}" if entry.other_n else "",
    )


def _highest(board: Board, there: set[str]) -> ShownLine | None:
    """The highest floor of each column, where floors have no lines of their own."""
    if any(name.startswith(FLOOR) for name in there) or not any(column.floor for column in board.columns):
        return None
    cells = []
    for column in board.columns:
        if column.floor is None:
            cells.append(ShownCell("–", why="no floor is known"))
            continue
        entry = next(iter(column.entries.values()))
        cells.append(ShownCell(entry.row.shown(column.floor[0]), column.floor[1]))
    return ShownLine("highest floor", "floor", tuple(cells))


def _says(column: Column, standing: Standings, of: Mapping[tuple[str, str], Comparison]) -> str:
    """A sentence on a column."""
    if standing.alone:
        return ""
    if standing.best:
        nearest = of[standing.best, column.ranked[1][0]]
        told = _told(column, nearest)
        return f"{column.metric}: {standing.best} is apart from all others; the nearest: {told}; {nearest.method}."
    pairs = [of[standing.level[0], line] for line in standing.level[1:]]
    said = []
    for what, some in (
        ("no difference is shown from {} to", [one for one in pairs if one.p is not None]),
        ("nothing tells whether {} differs from", [one for one in pairs if one.p is None]),
    ):
        if some:
            more = f"; and {len(some) - _NAMED} more" if len(some) > _NAMED else ""
            how = " / ".join(dict.fromkeys(one.method for one in some))
            named = "; ".join(_told(column, one) for one in some[:_NAMED])
            said.append(f"{what.format(standing.level[0])} {named}{more}; {how}")
    return f"{column.metric}: {'; '.join(said)}."


def _told(column: Column, one: Comparison) -> str:
    unit = next(iter(column.entries.values())).row.unit
    scale, word = (100, " points") if unit == "share" else (1, "")
    digits = 1 if unit == "share" else 3
    ends = "" if one.ci is None else f", {scale * one.ci[0]:.{digits}f} to {scale * one.ci[1]:.{digits}f}"
    p = "" if one.corrected is None else f", p {one.corrected:.3g}" if one.corrected >= 0.001 else ", p < 0.001"
    return f"{one.other} ({scale * one.difference:.{digits}f}{word}{ends}{p})"
