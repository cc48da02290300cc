"""A leaderboard as Markdown, CSV and LaTeX. Names come from anywhere: each format escapes them in its own way."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Final

from knowlip.benchmark.efficiency import Efficiency
from knowlip.benchmark.leaderboard.beside import Part
from knowlip.benchmark.leaderboard.boards import BoardTable
from knowlip.benchmark.leaderboard.printed import PRINTED, SOURCE, PrintedTable, n_told, printed_cell
from knowlip.benchmark.leaderboard.shown import LEGEND, LEVEL_MARK, ShownBoard, ShownCell

_LATEX: Final = {
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "–": "--",
    "▲": r"$\blacktriangle$",
    "▼": r"$\blacktriangledown$",
    "≈": r"$\approx$",
    "≠": r"$\neq$",
    "↓": r"$\downarrow$",
    "→": r"$\rightarrow$",
    "∅": r"$\varnothing$",
    "−": "$-$",
    "±": r"$\pm$",
    # Behind the end of a line of a table both would be taken for its arguments, and be gone.
    "[": "{[}",
    "*": "{*}",
}
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a table program takes for the start of a formula."""


class Leaderboard:
    """Everything that is written.

    Args:
        tables: of the paper, with what was measured for them.
        boards: in words, by the place of their board.
        parts: by sensor and resolution.
        efficiency: of encoders.
        files: name of each file read -> what it is.
        gaps: what is missing, in sentences.
    """

    def __init__(
        self,
        tables: Sequence[BoardTable],
        boards: Mapping[int, ShownBoard],
        parts: Sequence[Part],
        efficiency: Mapping[str, Efficiency],
        files: Mapping[str, str],
        gaps: Sequence[str],
    ) -> None:
        self.tables, self.boards, self.parts = tables, boards, parts
        self.efficiency, self.files, self.gaps = efficiency, files, gaps

    def of(self, table: BoardTable) -> list[ShownBoard]:
        """Boards of a table in words."""
        return [self.boards[id(board)] for board in table.boards]

    def printed(self, number: int) -> PrintedTable | None:
        """What the paper prints in its table of this number."""
        return next((one for one in PRINTED if one.number == number), None)


def title_of(table: BoardTable) -> str:
    """Of a table of the leaderboard."""
    return f"Table {table.number}: {table.title}" if table.number else table.title


# ---- Markdown -------------------------------------------------------------------------------------------------------


def markdown(found: Leaderboard) -> str:
    """All of it as Markdown."""
    lines = ["# Leaderboard", "", *(f"{one}.  " for one in LEGEND), ""]
    for table in found.tables:
        lines += [f"## {title_of(table)}", ""]
        for shown in found.of(table):
            lines += [f"### {_md(shown.board.name)}", "", *_md_board(shown), ""]
            lines += [f"- {_md(one)}" for one in (*shown.says, *shown.board.notes, *unrun(shown))] + [""]
        if printed := found.printed(table.number):
            lines += [f"### printed in {SOURCE}, Table {printed.number}; other images, not measured here", ""]
            lines += [*_md_printed(printed), ""]
    if found.efficiency:
        lines += ["## Efficiency", "", *_md_table(EFFICIENCY_HEAD, efficiency_rows(found.efficiency)), ""]
    if found.parts:
        lines += ["## By sensor and resolution", "", *_md_table(PARTS_HEAD, parts_rows(found.parts)), ""]
    if found.gaps:
        lines += ["## Missing", "", *(f"- {_md(one)}" for one in found.gaps), ""]
    files = [f"- {_md(name)}: {_md(what)}" for name, what in found.files.items()]
    return "\n".join([*lines, "## Read", "", *files, ""])


def _md(text: str) -> str:
    """Text that is no markup, neither of Markdown nor of HTML."""
    text = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#+!|~-])", r"\\\1", text)


def _md_cell(cell: ShownCell) -> str:
    value = _md(cell.value)
    value = f"**{value}**" if cell.bold else f"<u>{value}</u>" if cell.underlined else value
    rest = _md(cell.words.removeprefix(cell.value).strip())
    return f"{value} {rest}".strip()


def _md_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    top = [f"| {' | '.join(_md(one) for one in head)} |", f"|{'---|' * len(head)}"]
    return [*top, *(f"| {' | '.join(_md(one) for one in row)} |" for row in rows)]


def _md_board(shown: ShownBoard) -> list[str]:
    top = [f"| | {' | '.join(_md(one) for one in shown.head)} |", f"|{'---|' * (len(shown.head) + 1)}"]
    return [*top, *(f"| {_md(line.name)} | {' | '.join(map(_md_cell, line.cells))} |" for line in shown.lines)]


def _md_printed(printed: PrintedTable) -> list[str]:
    head = ["model (printed)", *printed_head(printed)]
    return _md_table(head, printed_rows(printed))


# ---- what all formats share -----------------------------------------------------------------------------------------

EFFICIENCY_HEAD: Final = (
    "encoder",
    "parameters",
    "GFLOPs an image",
    "input px",
    "images/s",
    "ratio",
    "beside",
    "machine",
)
PARTS_HEAD: Final = ("board", "model", "metric", "by", "part", "value", "95 % interval", "n")


def printed_head(printed: PrintedTable) -> list[str]:
    """Data, metric and test size of each column."""
    return [", ".join(one for one in (f"{col.data} {col.metric}", n_told(col)) if one) for col in printed.columns]


def printed_rows(printed: PrintedTable) -> list[list[str]]:
    """Model, then value and interval of each column."""
    rows = []
    for model, values in printed.rows.items():
        cells = [printed_cell(column, value) for column, value in zip(printed.columns, values)]
        rows.append([model, *(f"{one.value} ({one.interval})" if one.interval else one.value for one in cells)])
    return rows


def efficiency_rows(efficiency: Mapping[str, Efficiency]) -> list[list[str]]:
    """One encoder a row."""
    return [
        [
            name,
            f"{one.parameters / 1e6:.2f} M",
            "–" if one.flops is None else f"{one.flops / 1e9:.2f}",
            str(one.size),
            f"{one.images_per_second:.1f}",
            f"{one.ratio:.2f} ({one.spread[0]:.2f}–{one.spread[1]:.2f})",
            one.baseline,
            one.machine,
        ]
        for name, one in efficiency.items()
    ]


def parts_rows(parts: Sequence[Part]) -> list[list[str]]:
    """One part a row."""
    return [[one.board, one.line, one.metric, one.by, one.part, one.shown, one.interval, f"{one.n:,}"] for one in parts]


def unrun(shown: ShownBoard) -> list[str]:
    """Sentences on cells of a suite that have no line."""
    return [
        f"{one.model}: {one.state}{f' ({one.reason})' if one.reason else ''}, {one.task}, {one.protocol or 'as it is'}."
        for one in shown.board.unrun
    ]


# ---- CSV ------------------------------------------------------------------------------------------------------------

CSV_HEAD: Final = (
    *("table", "task", "data", "split", "version", "line", "kind", "metric", "value", "low", "high", "n", "floor"),
    *("floor_name", "unit", "better", "standing", "best", "level", "missing", "config", "source", "note"),
)


def as_csv(found: Leaderboard) -> str:
    """All measured figures, those below the tables too, and the printed ones as kind "printed"."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(CSV_HEAD)
    for table in found.tables:
        for shown in found.of(table):
            for row in _csv_rows(table.number, shown):
                writer.writerow([_csv(one) for one in row])
    for printed in PRINTED:
        for model, values in printed.rows.items():
            for column, value in zip(printed.columns, values):
                if value is not None:
                    cell = printed_cell(column, value)
                    ends = cell.interval.split("–") if cell.interval[:1].isdigit() else ["", ""]
                    head = (printed.number, "", column.data, "the paper's", "", model, "printed", column.metric, value)
                    why = "" if ends[0] else cell.interval
                    n = "" if column.n is None else column.n
                    rest = ("", "", "per cent", "higher", "", "", "", "", "", SOURCE, why)
                    writer.writerow([_csv(one) for one in (*head, *ends, n, *rest)])
    return stream.getvalue()


def _csv(value: object) -> object:
    """A value that no table program takes for a formula."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


def _csv_rows(number: int, shown: ShownBoard) -> list[list[object]]:
    # Figures below the table are figures too: nothing that was read is left out of the file.
    board = shown.board
    of = {(line.name, column.metric): cell for line in shown.lines for column, cell in zip(board.columns, line.cells)}
    kinds = {line.name: line.kind for line in shown.lines}
    rows: list[list[object]] = []
    for column in (*board.columns, *board.rest):
        for line in board.lines:
            cell, entry = of.get((line, column.metric)), column.entries.get(line)
            head = [
                number or "",
                board.task,
                board.data,
                board.split,
                board.version,
                line,
                kinds.get(line, ""),
                column.metric,
            ]
            if entry is None:
                if cell is not None:
                    rows.append([*head, *[""] * 11, cell.why, "", "", ""])
                continue
            row = entry.row
            ends = ("", "") if row.ci is None else row.ci
            floor, named = entry.floor or ("", "")
            figures = ["" if row.value is None else row.value, *ends, row.n, floor]
            marks = [entry.standing or "", bool(cell and cell.bold), bool(cell and cell.level)]
            missing = row.note if row.value is None else ""
            told = [missing, entry.told.config, entry.told.source, row.note]
            rows.append([*head, *figures, named, row.unit, row.better, *marks, *told])
    return rows


# ---- LaTeX ----------------------------------------------------------------------------------------------------------


def latex(found: Leaderboard) -> str:
    """A document of its own with all tables; needs no packages but those of every TeX."""
    # Every text passes `_tex` exactly once, cells with their emphasis around it.
    lines = [
        r"\documentclass[10pt]{article}",
        r"\usepackage[T1]{fontenc}\usepackage[utf8]{inputenc}\usepackage{amssymb,booktabs,graphicx}",
        r"\usepackage[a4paper,landscape,margin=12mm]{geometry}",
        r"\begin{document}",
        r"\section*{Leaderboard}",
        *(rf"{_tex(one)}.\par" for one in LEGEND),
    ]
    for table in found.tables:
        lines.append(rf"\section*{{{_tex(title_of(table))}}}")
        for shown in found.of(table):
            rows = [[_tex(line.name), *map(_tex_cell, line.cells)] for line in shown.lines]
            lines += _tex_table(shown.board.name, ["", *shown.head], rows)
            lines += [rf"{_tex(one)}\par" for one in (*shown.says, *shown.board.notes, *unrun(shown))]
        if printed := found.printed(table.number):
            head = ["model (printed)", *printed_head(printed)]
            rows = [[_tex(one) for one in row] for row in printed_rows(printed)]
            lines += _tex_table(f"printed in {SOURCE}, Table {printed.number}; not measured here", head, rows)
    if found.efficiency:
        rows = [[_tex(one) for one in row] for row in efficiency_rows(found.efficiency)]
        lines += _tex_table("Efficiency", EFFICIENCY_HEAD, rows)
    if found.parts:
        lines += _tex_table(
            "By sensor and resolution", PARTS_HEAD, [[_tex(x) for x in row] for row in parts_rows(found.parts)]
        )
    lines += [rf"{_tex(one)}\par" for one in found.gaps]
    return "\n".join([*lines, r"\end{document}", ""])


def _tex(text: str) -> str:
    """Text that TeX prints as it is; letters that its standard fonts lack become a question mark."""
    plain = " ".join(str(text).split())
    known = (char.isprintable() and (char.isascii() or "\u00a1" <= char <= "\u00ff") for char in plain)
    return "".join(_LATEX.get(char, char if there else "?") for char, there in zip(plain, known))


def _tex_cell(cell: ShownCell) -> str:
    value = _tex(cell.value)
    value = rf"\textbf{{{value}}}" if cell.bold else rf"\underline{{{value}}}" if cell.underlined else value
    small = " ".join(
        one
        for one in (f"({cell.interval})" if cell.interval else "", cell.why, f"n≠ {cell.n}" if cell.n else "")
        if one
    )
    marks = " ".join(one for one in (cell.mark, LEVEL_MARK if cell.level else "") if one)
    return " ".join(one for one in (value, rf"{{\scriptsize {_tex(small)}}}" if small else "", _tex(marks)) if one)


def _tex_table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table as wide as the page; `rows` are escaped already."""
    return [
        r"\begin{center}",
        rf"\textbf{{{_tex(caption)}}}\\[2pt]",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
        r"\toprule",
        " & ".join(_tex(one) for one in head) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}}",
        r"\end{center}",
    ]
