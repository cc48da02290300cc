"""One scene -> its tiles: two passes over the large windows, the first for the quantiser, the second for the pixels.

Windows are cut by several threads: reading, averaging, quantising, judging and encoding hold no lock. Results come in
the order of the windows, so the number of threads changes no byte.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from knowlip.base.files import sha256
from knowlip.base.progress import lines
from knowlip.base.vocabulary import SCALES
from knowlip.dataset.png import encode_png
from knowlip.tiles.ground import Ground
from knowlip.tiles.plan import BuildConfig
from knowlip.tiles.quality import STATISTICS, reject_reason, statistics
from knowlip.tiles.quantise import PowerHistogram, Quantiser, make_quantiser
from knowlip.tiles.resample import Level, count_power, levels_of
from knowlip.tiles.screen import window_score
from knowlip.tiles.windows import Window, family

A = TypeVar("A")
B = TypeVar("B")
_LONGEST_RUN = 512
THUMBNAIL = 32
"""Side of the thumbnail of a large window."""


@dataclass(frozen=True)
class CutTile:
    """A cut tile."""

    window: Window
    png: bytes  # (tile_px, tile_px) uint8, 0 = nodata; empty where the tile is rejected.
    png_sha256: str  # Computed by the thread that encoded it.
    valid_fraction: float
    statistics: dict[str, Any]  # None where they were not measured, because the whole region was screened out.
    reject_reason: str  # "" when accepted.


@dataclass(frozen=True)
class Family:
    """A large window and its 20 descendants."""

    root: Window
    tiles: list[CutTile]
    score: float  # How much there is to see, 0 to 1.
    thumbnail: np.ndarray  # (32, 32) float32 mean power.
    cog: str  # Where its native pixels are stored, relative to the data set; "" where they are not.


def cut(
    ground: Ground,
    roots: list[Window],
    config: BuildConfig,
    threads: int = 1,
    store: Callable[[Window], str] | None = None,
) -> tuple[Quantiser, Iterator[Family]]:
    """Quantiser of a scene and its tiles, one family at a time.

    Args:
        ground: the scene.
        roots: its large windows.
        config: tile size, dynamic range compression (its statistics are over the valid pixels at the finest averaged
            scale), filter and screening.
        threads: cores to use.
        store: keeps the native pixels of a large window of which a tile is accepted, and says where.

    Raises:
        ValueError: no large window holds data, or pixels cannot be read.
    """
    histogram = PowerHistogram()
    chunks, title = _chunks(roots, threads), f"{ground.scene.scene_id}: parts whose levels are counted"
    counted = in_order(lambda chunk: _histogram(ground, chunk, config.tile_px), chunks, threads)
    for part in lines(counted, title, len(chunks)):
        histogram.merge(part)
    if not histogram.total:
        raise ValueError(f"{ground.scene.path} holds no power above zero in any window.")
    quantiser = make_quantiser(histogram, config.quantise)
    return quantiser, in_order(lambda root: _family(ground, root, quantiser, config, store), roots, threads)


def in_order(function: Callable[[A], B], items: Iterable[A], threads: int) -> Iterator[B]:
    """`map` by several threads: results in the order of the items, few of them waiting."""
    if threads <= 1:
        yield from map(function, items)
        return
    waiting: deque[Future[B]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _chunks(roots: list[Window], threads: int) -> list[list[Window]]:
    """Runs of neighbouring windows, a few for each thread."""
    size = min(_LONGEST_RUN, max(1, -(-len(roots) // (4 * threads))))
    return [roots[start : start + size] for start in range(0, len(roots), size)]


def _histogram(ground: Ground, roots: list[Window], tile_px: int) -> PowerHistogram:
    histogram = PowerHistogram()
    for root in roots:
        count_power(ground, root, tile_px, histogram)
    return histogram


def _family(
    ground: Ground, root: Window, quantiser: Quantiser, config: BuildConfig, store: Callable[[Window], str] | None
) -> Family:
    """Cut one large window."""
    levels = levels_of(ground, root, config.tile_px)
    score = window_score(levels)
    thumbnail = _thumbnail(levels[0])
    if score < config.screen.threshold:
        return Family(root, [_screened(root, window, levels, config) for window in family(root)], score, thumbnail, "")
    stored = [quantiser(level.power, None if level.whole else level.valid) for level in levels]
    pixel = abs(ground.transform.a)
    tiles = [_tile(root, window, levels, stored, pixel, config) for window in family(root)]
    accepted = any(not tile.reject_reason for tile in tiles)
    return Family(root, tiles, score, thumbnail, store(root) if store is not None and accepted else "")


def _tile(
    root: Window, window: Window, levels: list[Level], stored: list[np.ndarray], pixel: float, config: BuildConfig
) -> CutTile:
    number = SCALES.index(window.scale)
    here = _place(root, window, config.tile_px)
    pixels = np.ascontiguousarray(stored[number][here])
    valid_fraction = _valid_fraction(levels[number], here)
    numbers = statistics(pixels, config.quality)
    enlarged = config.tile_px * pixel / window.side
    reason = reject_reason(numbers, valid_fraction, config.min_valid, config.quality, enlarged)
    png = b"" if reason else encode_png(pixels)
    return CutTile(window, png, sha256(png) if png else "", valid_fraction, numbers, reason)


def _screened(root: Window, window: Window, levels: list[Level], config: BuildConfig) -> CutTile:
    """A tile of a region that is not worth cutting: it stays in the index, without pixels."""
    level = levels[SCALES.index(window.scale)]
    valid_fraction = _valid_fraction(level, _place(root, window, config.tile_px))
    return CutTile(window, b"", "", valid_fraction, dict.fromkeys(STATISTICS), "screened")


def _place(root: Window, window: Window, tile_px: int) -> tuple[slice, slice]:
    """Rows and columns of a window in the level of its scale."""
    times = 2 ** SCALES.index(window.scale)
    row, column = (window.row - root.row * times) * tile_px, (window.column - root.column * times) * tile_px
    return slice(row, row + tile_px), slice(column, column + tile_px)


def _valid_fraction(level: Level, here: tuple[slice, slice]) -> float:
    return 1.0 if level.whole else round(float(level.coverage[here].mean(dtype=np.float64)), 4)


def _thumbnail(level: Level) -> np.ndarray:
    """Mean power of (32, 32) blocks; what does not divide is left out at the edges."""
    block = len(level.power) // THUMBNAIL
    side = block * THUMBNAIL
    parts = level.power[:side, :side].reshape(THUMBNAIL, block, THUMBNAIL, block)
    return parts.mean(axis=(1, 3), dtype=np.float32)


def metadata(tile: CutTile, family: Family, ground: Ground, quantiser: Quantiser, tile_px: int) -> dict[str, Any]:
    """The columns of the index that follow from the cut itself."""
    # In the names of STAC's projection extension, so that geopandas and STAC tools place a tile without a word of ours.
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
        "proj:code": ground.code,
        "proj:transform": [float(value) for value in transform[:6]],
        "proj:shape": [tile_px, tile_px],
        "metres_per_pixel": window.side / ground.unit_per_metre / tile_px,
        "quantiser": quantiser.name,
        "quantiser_lo": quantiser.lo_db,
        "quantiser_hi": quantiser.hi_db,
        "lut_sha256": quantiser.lut_sha256,
        "png_sha256": tile.png_sha256,
        "valid_fraction": tile.valid_fraction,
        **tile.statistics,
        "screen_score": family.score,
        "accepted": not tile.reject_reason,
        "reject_reason": tile.reject_reason,
        "cog": family.cog,
    }
