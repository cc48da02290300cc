"""A leaderboard as one self-contained HTML page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from knowlip.benchmark.leaderboard.beside import Panel, RadarAxes
from knowlip.benchmark.leaderboard.printed import SOURCE, PrintedTable, n_told, printed_cell
from knowlip.benchmark.leaderboard.shown import LEGEND, LEVEL_MARK
from knowlip.benchmark.leaderboard.written import (
    EFFICIENCY_HEAD,
    PARTS_HEAD,
    Leaderboard,
    efficiency_rows,
    parts_rows,
    title_of,
    unrun,
)
from knowlip.pages.radar import radar_chart, radar_colours
from knowlip.pages.render import picture_uri, render

_MOST_PIXELS = 40_000_000
_SIDE = 340


def page(
    found: Leaderboard, radar: RadarAxes | None, no_radar: str, panels: Sequence[Panel], no_panels: Sequence[str]
) -> str:
    """The page."""
    tables = []
    for table in found.tables:
        shown = found.of(table)
        printed = found.printed(table.number)
        tables.append(
            {
                "number": table.number,
                "title": title_of(table),
                "boards": shown,
                "unrun": [unrun(one) for one in shown],
                "printed": None if printed is None else _printed(printed),
            }
        )
    # Only the chart comes as markup: every name of a file is escaped by the template.
    chart = None if radar is None else radar_chart(radar.axes, radar.lines, radar.floors, "Radar of all boards")
    return render(
        "leaderboard.html",
        title="Leaderboard",
        tables=tables,
        boards=sum(len(table.boards) for table in found.tables),
        legend=LEGEND,
        level_mark=LEVEL_MARK,
        source=SOURCE,
        radar=chart,
        radar_axes=() if radar is None else [name.replace("\n", ", ") for name in radar.axes],
        radar_key=[] if radar is None else radar_colours(list(radar.lines)),
        no_radar=no_radar,
        efficiency=efficiency_rows(found.efficiency),
        efficiency_head=EFFICIENCY_HEAD,
        parts=parts_rows(found.parts),
        parts_head=PARTS_HEAD,
        panels=[_panel(one) for one in panels],
        no_panels=no_panels,
        gaps=found.gaps,
        files=list(found.files.items()),
    )


def _printed(printed: PrintedTable) -> dict[str, Any]:
    columns = [(column, n_told(column)) for column in printed.columns]
    rows = [
        (model, [printed_cell(column, value) for column, value in zip(printed.columns, values)])
        for model, values in printed.rows.items()
    ]
    return {"columns": columns, "rows": rows}


def _panel(panel: Panel) -> dict[str, Any]:
    rows = [(tile, [_picture(panel.pictures.get((tile, line))) for line in panel.lines]) for tile in panel.tiles]
    return {"title": panel.title, "board": panel.board, "lines": panel.lines, "rows": rows}


def _picture(path: Path | None) -> str:
    """A picture of a run folder, small; "" where there is none that can be read."""
    if path is None:
        return ""
    try:
        with Image.open(path) as opened:
            if opened.width * opened.height > _MOST_PIXELS:
                return ""
            return picture_uri(opened.convert("RGB"), _SIDE if opened.width < 4 * _SIDE else 3 * _SIDE)
    except (OSError, ValueError, Image.DecompressionBombError):
        return ""
