"""The command: files of results in, tables out.

OUT/leaderboard.html   one page, nothing loaded from elsewhere
OUT/leaderboard.md, leaderboard.csv, leaderboard.tex
"""

from collections.abc import Mapping
from typing import Any, Final

from knowlip.base.files import whole_file
from knowlip.benchmark.leaderboard.beside import panels_of, parts_of, radar_of
from knowlip.benchmark.leaderboard.boards import tables_of
from knowlip.benchmark.leaderboard.compare import compared
from knowlip.benchmark.leaderboard.page import page
from knowlip.benchmark.leaderboard.shown import ShownBoard, shown_board
from knowlip.benchmark.leaderboard.sources import read_sources
from knowlip.benchmark.leaderboard.written import Leaderboard, as_csv, latex, markdown
from knowlip.benchmark.settings import LeaderboardConfig

NAME: Final = "leaderboard"


def leaderboard(config: LeaderboardConfig) -> dict[str, Any]:
    """Read, compare, write.

    Returns:
        `boards`: name, leading line and whether it is apart; `files` that were read; `out`.

    Raises:
        ValueError: a file is missing, broken, too large or of no known kind.
    """
    # Everything is read before anything is written: a broken file leaves no half of a leaderboard.
    sources = read_sources(config.rows)
    tables = tables_of(sources)
    shown: dict[int, ShownBoard] = {}
    told = []
    for table in tables:
        for board in table.boards:
            standings, comparisons = compared(board)
            shown[id(board)] = shown_board(board, standings, comparisons)
            first = board.columns[0]
            if first.ranked:
                line, entry = first.ranked[0]
                apart = standings[first.metric].best == line
                figure = f"{first.metric} {entry.row.shown(entry.row.value)}"
                told.append({"board": board.name, "leads": line, "figure": figure, "apart": apart})
    parts, no_parts = parts_of(tables)
    panels, no_panels = panels_of(tables)
    radar, no_radar = radar_of(tables)
    gaps = [
        f"{one.task} on {one.data}, {one.model}: {one.state}{f' ({one.reason})' if one.reason else ''}."
        for one in sources.missing
    ]
    if not parts:
        few = "no part of a board's trials is large enough"
        gaps += [f"By sensor and resolution: {one}." for one in no_parts or [few]]
    if not sources.efficiency:
        gaps.append("Efficiency: no suite with a baseline was given.")
    found = Leaderboard(tables, shown, parts, sources.efficiency, sources.files, gaps)
    config.out.mkdir(parents=True, exist_ok=True)
    contents = {
        "html": page(found, radar, no_radar, panels, no_panels),
        "md": markdown(found),
        "csv": as_csv(found),
        "tex": latex(found),
    }
    for suffix, content in contents.items():
        with whole_file(config.out / f"{NAME}.{suffix}") as part:
            part.write_text(content, encoding="utf-8")
    return {"boards": told, "files": sources.files, "out": str(config.out)}


def show(result: Mapping[str, Any]) -> str:
    """Who leads where, and whether that is a difference."""
    lines = [
        f"{one['board']}: {one['leads']}, {one['figure']}{'' if one['apart'] else ' (not apart, or alone)'}"
        for one in result["boards"]
    ]
    return "\n".join([*lines, f"{result['out']}/{NAME}.html"])
