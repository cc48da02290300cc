"""What was said of images and windows, as a file: CSV, GeoJSON, GeoParquet, or one page that loads nothing."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import geopandas
import pandas as pd
from PIL import Image
from shapely.geometry.base import BaseGeometry

from knowlip.base.files import whole_file
from knowlip.inference.geojson import write_geojson
from knowlip.pages.maps import points_map
from knowlip.pages.render import picture_uri, render

ENDINGS: Final = (".csv", ".geojson", ".parquet", ".html")
MOST_SHOWN: Final = 200
"""Windows with a picture on a page; the others are counted."""
_SIDE: Final = 192


class ToldRow(NamedTuple):
    """What was said of an image or a window."""

    facts: Mapping[str, Any]
    shape: BaseGeometry | None
    """In longitude and latitude; None where the place is not known."""
    picture: Image.Image | None = None
    """For pages."""


def check_ending(path: Path | None) -> None:
    """Raise `ValueError` for a name that says no format, before anything is computed for it."""
    if path is not None and path.suffix.lower() not in ENDINGS:
        raise ValueError(f"--out is {path}: give a name that ends in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}.")
    if path is not None and path.is_dir():
        raise ValueError(f"--out {path} is a folder: give the name of a file.")


def small_picture(pixels: Any) -> Image.Image:
    """Pixels (H, W) uint8 as they stand on a page."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
    return picture


def write_told(path: Path, title: str, rows: Sequence[ToldRow], failed: Sequence[Mapping[str, str]]) -> None:
    """Write rows as the ending of a path says. An image that could not be used is a row with its reason and without a
    place.

    Args:
        path: one of `ENDINGS`.
        title: of a page.
        rows: what was said.
        failed: {"image", "reason"}.
    """
    # One table whatever the format: what was left out stands in it, so that a count of rows hides nothing.
    said = [dict(row.facts) for row in rows] + [{"image": one["image"], "reason": one["reason"]} for one in failed]
    shapes = [row.shape for row in rows] + [None] * len(failed)
    table = pd.DataFrame(said)
    kind = path.suffix.lower()
    with whole_file(path) as part:
        if kind == ".csv":
            table.to_csv(part, index=False)
        elif kind == ".parquet":
            geopandas.GeoDataFrame(table, geometry=shapes, crs=4326).to_parquet(part, index=False)
        elif kind == ".geojson":
            write_geojson(part, shapes, said)
        else:
            part.write_text(_page(title, rows, failed), encoding="utf-8")


def _page(title: str, rows: Sequence[ToldRow], failed: Sequence[Mapping[str, str]]) -> str:
    shown = [(number, row) for number, row in enumerate(rows, 1) if row.picture is not None][:MOST_SHOWN]
    places = [(number, row.shape.centroid.x, row.shape.centroid.y) for number, row in shown if row.shape is not None]
    cards = [
        {"number": number, "facts": row.facts, "picture": picture_uri(row.picture.copy(), _SIDE)}
        for number, row in shown
        if row.picture is not None
    ]
    left = len(rows) - len(cards)
    chart = points_map(places) if places else ""
    return render("told.html", title=title, cards=cards, left=left, failed=failed, map=chart)
