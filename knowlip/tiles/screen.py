"""Region screening: which large windows of a scene are worth a tile at all."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import shapely
from PIL import Image, ImageDraw

from knowlip.base.files import whole_file
from knowlip.tiles.area import read_area
from knowlip.tiles.cues import window_cues
from knowlip.tiles.gazetteers import distance_km
from knowlip.tiles.ground import Ground
from knowlip.tiles.places import resolve_place
from knowlip.tiles.resample import Level
from knowlip.tiles.windows import Window, centers, footprints

SUGGESTED = 0.5
"""Threshold that the score is fitted for."""


@dataclass(frozen=True)
class ScreenConfig:
    """Which regions are kept. Without any setting, all are."""

    threshold: float = 0.0
    """Smallest score (0 to 1) of a large window: most windows with ports, airports, towns and roads lie above 0.5, most
    open water and uniform grassland below it. 0 keeps every window; the score is stored either way."""
    area: Path | None = None
    """GeoJSON with polygons in longitude and latitude: only large windows that touch one are cut."""
    near: list[str] = field(default_factory=list)
    """Names of towns, ports or airports of the gazetteer: only large windows near one of them are cut."""
    near_km: float = 15.0
    """How near, in kilometres from the window's centre."""

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"screen.threshold must be 0 to 1, not {self.threshold}.")
        if not (math.isfinite(self.near_km) and self.near_km > 0):
            raise ValueError(f"screen.near_km must be positive, not {self.near_km}.")

    def check_files(self) -> None:
        """Raise `ValueError` for an area that cannot be read, or a place that is not known."""
        if self.area is not None:
            read_area(self.area)
        for name in self.near:
            resolve_place(name)


_WEIGHTS = np.array([3.469, -3.581, -2.46, 0.03, 2.707, -4.52, 3.414, 5.849, -1.218, -0.402])
_OFFSET = 17.036
"""Logistic regression on simulated scenes with known land cover, by `python -m benchmarks.fit_screen`. Woods vary
everywhere without edges, fields have edges everywhere: hence the signs."""

_MAP_PX, _LEGEND_PX = 960, 48


def window_score(levels: list[Level]) -> float:
    """How much there is to see in a large window, 0 to 1.

    A logistic function of the cues of `window_cues`, which are blind to calibration. Only the coarsest level is looked
    at.

    Args:
        levels: of a large window, coarsest first. Windows with next to no valid ground score 0.
    """
    cues = window_cues(levels[0].power, levels[0].valid)
    if cues is None:
        return 0.0
    return round(1.0 / (1.0 + math.exp(-float(cues @ _WEIGHTS) - _OFFSET)), 4)


def select_roots(config: ScreenConfig, ground: Ground, roots: list[Window]) -> list[Window]:
    """The large windows that touch the area and lie near one of the places; all of them without such settings.

    Raises:
        ValueError: none is left, the place of the scene is unknown, or a name or the GeoJSON cannot be understood.
    """
    if config.area is None and not config.near:
        return roots
    path = ground.scene.path
    if not ground.located:
        raise ValueError(f"{path} has no known place: screen.area and screen.near cannot be used with it.")
    kept = np.ones(len(roots), bool)
    what = []
    if config.area is not None:
        area = read_area(config.area)
        shapely.prepare(area)
        kept &= shapely.intersects(area, np.array(footprints(ground.crs, roots), object))
        what.append(f"touches {config.area}")
    if config.near:
        lons, lats = centers(ground.crs, roots)
        places = [resolve_place(name) for name in config.near]
        kept &= np.any([distance_km(lons, lats, lon, lat) <= config.near_km for _, lon, lat in places], axis=0)
        what.append(f"lies within {config.near_km:g} km of {' or '.join(label for label, _, _ in places)}")
    chosen = [root for root, keep in zip(roots, kept.tolist()) if keep]
    if not chosen:
        raise ValueError(f"No large window of {path} {' and '.join(what)}.")
    return chosen


def thumbnail_px(roots: list[Window]) -> int:
    """Side of the thumbnails that a map of these large windows needs: 32, or 8 where it shows them no larger."""
    return 8 if _layout(roots)[-1] <= 8 else 32


def _layout(roots: list[Window]) -> tuple[float, float, float, float, int]:
    """Left and top of the map of large windows, its columns and rows of windows, and pixels of a window's side."""
    left, top, side = min(root.left for root in roots), max(root.top for root in roots), roots[0].side
    columns = (max(root.left for root in roots) - left) / side + 1
    rows = (top - min(root.top for root in roots)) / side + 1
    return left, top, columns, rows, int(min(96, max(4, _MAP_PX / max(rows, columns))))


def draw_map(
    path: Path,
    ground: Ground,
    roots: list[Window],
    scores: list[float],
    threshold: float,
    thumbnails: list[np.ndarray],
) -> None:
    """Picture of a scene's large windows in dB: kept ones framed, dropped ones dimmed, each with its score.

    Args:
        path: PNG to write, whole or not at all.
        ground: the scene.
        roots: N large windows.
        scores: of each.
        threshold: smallest score that is kept.
        thumbnails: (S, S) float power of each, 0 = nodata, see :func:`thumbnail_px`.
    """
    # Drawn by Pillow: a chart library would take longer to import than the picture to draw, and a scene has one each.
    left, top, columns, rows, cell = _layout(roots)
    side = roots[0].side
    width, height = math.ceil(columns * cell), math.ceil(rows * cell)
    every = np.concatenate([thumbnail[thumbnail > 0] for thumbnail in thumbnails] or [np.ones(1)])
    low, high = np.percentile(10 * np.log10(every), [1, 99]) if every.size else (0.0, 1.0)
    picture = Image.new("RGB", (max(width, 330), height + _LEGEND_PX), (20, 20, 24))
    draw = ImageDraw.Draw(picture)
    for root, score, thumbnail in zip(roots, scores, thumbnails):
        kept = score >= threshold
        decibel = 10 * np.log10(np.where(thumbnail > 0, thumbnail, 1.0))
        grey = np.clip((decibel - low) / max(high - low, 1.0), 0, 1) * (255 if kept else 90) * (thumbnail > 0)
        x, y = round((root.left - left) / side * cell), round((top - root.top) / side * cell)
        picture.paste(Image.fromarray(grey.astype(np.uint8)).resize((cell, cell)).convert("RGB"), (x, y))
        if kept:
            draw.rectangle((x, y, x + cell - 1, y + cell - 1), outline=(255, 190, 40))
        if cell >= 24:
            draw.rectangle((x + 1, y + 1, x + 28, y + 13), fill=(20, 20, 24))
            draw.text((x + 3, y + 2), f"{score:.2f}", fill=(255, 220, 120) if kept else (150, 150, 155))
    count = sum(score >= threshold for score in scores)
    draw.rectangle((8, height + 8, 22, height + 22), outline=(255, 190, 40))
    draw.text((28, height + 9), f"kept: score >= {threshold:g} ({count} of {len(roots)} windows)", fill=(230, 230, 230))
    draw.text(
        (8, height + 28),
        f"{ground.scene.scene_id}, windows of {side / ground.unit_per_metre:g} m, dB",
        fill=(170, 170, 175),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part:
        picture.save(part, "PNG", compress_level=1)
