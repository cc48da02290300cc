"""One scene -> its tiles: two passes over the large windows, the first for the quantiser, the second for the pixels."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from knowlip.tiles.ground import Ground
from knowlip.tiles.quality import QualityConfig, reject_reason, statistics
from knowlip.tiles.quantise import PowerHistogram, QuantiseConfig, Quantiser, percentile_quantiser
from knowlip.tiles.resample import Level, levels_of
from knowlip.tiles.windows import Window, family
from knowlip.vocabulary import SCALES

_KEPT_ROOTS = 12
"""Scenes of at most this many large windows are read once and kept (8 MB a window); larger ones are read twice."""


@dataclass(frozen=True)
class Tile:
    """A cut tile."""

    window: Window
    pixels: np.ndarray
    """(tile_px, tile_px) uint8, 0 = nodata."""
    valid_fraction: float
    statistics: dict[str, float]
    reject_reason: str
    """"" when accepted."""


def cut(
    ground: Ground,
    roots: list[Window],
    tile_px: int,
    quantise: QuantiseConfig,
    min_valid: float,
    quality: QualityConfig,
) -> tuple[Quantiser, Iterator[tuple[Window, list[Tile]]]]:
    """Quantiser of a scene and its tiles, one family (a large window and its 20 descendants) at a time.

    Args:
        ground: the scene.
        roots: its large windows.
        tile_px: side of a stored tile in pixels.
        quantise: dynamic range compression; its statistics are over the valid pixels at the finest averaged scale.
        min_valid: tiles with a smaller share of valid ground are rejected.
        quality: thresholds of the quality filter.

    Raises:
        ValueError: no large window holds data, or pixels cannot be read.
    """
    kept: dict[str, list[Level]] = {}
    histogram = PowerHistogram()
    for root in roots:
        levels = levels_of(ground, root, tile_px)
        finest = next((level for level in reversed(levels) if level.averaged), levels[0])
        histogram.add(finest.power, finest.valid)
        if len(roots) <= _KEPT_ROOTS:
            kept[root.tile_id] = levels
    if not histogram.total:
        raise ValueError(f"{ground.scene.path} holds no power above zero in any window.")
    quantiser = percentile_quantiser(histogram, *quantise.percentiles)

    def families() -> Iterator[tuple[Window, list[Tile]]]:
        for root in roots:
            levels = kept.pop(root.tile_id, None) or levels_of(ground, root, tile_px)
            yield root, _family_tiles(root, levels, tile_px, quantiser, min_valid, quality)

    return quantiser, families()


def _family_tiles(
    root: Window, levels: list[Level], tile_px: int, quantiser: Quantiser, min_valid: float, quality: QualityConfig
) -> list[Tile]:
    stored = [quantiser(level.power, level.valid) for level in levels]
    tiles = []
    for window in family(root):
        level = SCALES.index(window.scale)
        row = (window.row - root.row * 2**level) * tile_px
        column = (window.column - root.column * 2**level) * tile_px
        here = slice(row, row + tile_px), slice(column, column + tile_px)
        pixels = np.ascontiguousarray(stored[level][here])
        valid_fraction = round(float(levels[level].coverage[here].mean(dtype=np.float64)), 4)
        numbers = statistics(pixels)
        tiles.append(
            Tile(window, pixels, valid_fraction, numbers, reject_reason(numbers, valid_fraction, min_valid, quality))
        )
    return tiles


def metadata(tile: Tile, ground: Ground, quantiser: Quantiser, tile_px: int) -> dict[str, Any]:
    """The columns of the index that follow from the cut itself."""
    window = tile.window
    transform = window.transform(tile_px)
    return {
        "tile_id": window.tile_id,
        "id": window.tile_id,
        "root_id": window.root_id,
        "parent_id": window.parent_id,
        "scale": window.scale,
        "window_m": window.side / ground.unit_per_metre,
        "native_px": round(window.side / abs(ground.transform.a), 4),
        "proj:code": f"EPSG:{ground.crs.to_epsg()}" if ground.located else "",
        "proj:transform": [float(value) for value in transform[:6]],
        "proj:shape": [tile_px, tile_px],
        "metres_per_pixel": window.side / ground.unit_per_metre / tile_px,
        "quantiser": quantiser.name,
        "quantiser_lo": quantiser.lo_db,
        "quantiser_hi": quantiser.hi_db,
        "lut_sha256": quantiser.lut_sha256,
        "valid_fraction": tile.valid_fraction,
        **tile.statistics,
        "accepted": not tile.reject_reason,
        "reject_reason": tile.reject_reason,
    }
