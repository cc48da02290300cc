"""The quality filter: statistics and texture of a tile's pixels, a vote of its k nearest neighbours (kNN) among tiles
of known quality, and the reason to reject it, if any."""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from knowlip.tiles.glcm import FEATURES as GLCM_FEATURES
from knowlip.tiles.glcm import glcm_array
from knowlip.tiles.reference import VOTED, load_reference


@dataclass(frozen=True)
class QualityConfig:
    """Thresholds of the filter. Grey levels are those of the stored tile (1 to 255)."""

    min_std: float = 4.0
    """Smallest standard deviation in grey levels: below it the tile is blank."""
    min_entropy: float = 2.5
    """Smallest entropy of the grey levels in bits."""
    min_edge: float = 0.5
    """Smallest mean gradient of the 2 x 2 averaged tile in grey levels per pixel."""
    max_saturated: float = 0.5
    """Largest share of pixels at level 255."""
    max_dark: float = 0.9
    """Largest share of pixels at level 1."""
    min_good: float = 0.3
    """Smallest share of good ones among the nearest neighbours in the reference set: below it the tile is poor.
    0 turns this judgement off. Tiles with more than three pixels for one of the sensor are not judged by it."""
    neighbours: int = 9
    """How many neighbours vote."""
    reference: str = ""
    """File of tiles known to be good or bad, as `knowlip dataset label --export` writes it. Empty: the one that comes
    with the package."""

    def __post_init__(self) -> None:
        for name in ("max_saturated", "max_dark", "min_good"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"quality.{name} must be 0 to 1, not {value}.")
        for name in ("min_std", "min_entropy", "min_edge"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"quality.{name} must be 0 or more, not {value}.")

    def check_files(self) -> None:
        """Raise `ValueError` for a reference that cannot be read, or has fewer tiles than `neighbours`."""
        size = len(load_reference(self.reference).good)
        if not 1 <= self.neighbours <= size:
            raise ValueError(
                f"quality.neighbours must be 1 to {size}, the size of the reference, not {self.neighbours}."
            )


_GLCM = tuple(f"g_{name}" for name in GLCM_FEATURES if name != "asm")  # asm is the square of energy
_KEPT = np.array([i for i, name in enumerate(GLCM_FEATURES) if name != "asm"])
STATISTICS = ("q_mean", "q_std", "q_entropy", "q_edge", "q_saturated", "q_dark", "q_stripe", *_GLCM, "q_good")
_VOTED_AT = np.array([STATISTICS.index(name) for name in VOTED])
_DEFAULT = QualityConfig()


def statistics(tile: np.ndarray, config: QualityConfig = _DEFAULT) -> dict[str, float]:
    """What the filter knows of a tile (H, W) uint8, over its data pixels; all 0 where there are none.

    Args:
        tile: 0 = nodata, 1 to 255 data.
        config: names the reference set and the number of neighbours.

    Returns:
        `STATISTICS` by name, rounded to 4 (`q_`) and 6 decimals (`g_`). `q_stripe`, 0 to 1: how far neighbouring rows
        or columns differ as a whole, relative to how much single pixels do. `g_`: grey-level co-occurrence, see `glcm`.
        `q_good`: share of good tiles among the nearest neighbours in the reference set.

    Raises:
        ValueError: the tile is not (H, W) uint8, or the reference cannot be read.
    """
    numbers = measure(tile)
    if numbers is None:
        return dict.fromkeys(STATISTICS, 0.0)
    good = load_reference(config.reference).vote(numbers[_VOTED_AT], config.neighbours)
    return dict(zip(STATISTICS, [*numbers.tolist(), round(good, 4)]))


def measure(tile: np.ndarray) -> np.ndarray | None:
    """The numbers of `statistics` without the vote, float64 in the order of `STATISTICS`; None without data."""
    texture = glcm_array(tile)[_KEPT]  # refuses what is no tile
    tile = np.ascontiguousarray(tile)
    counts = _histogram(tile)[1:].astype(float)
    total = counts.sum()
    if not total:
        return None
    share = counts / total
    mean = float(share @ _LEVELS)
    variance = float(share @ (_LEVELS - mean) ** 2)
    some = share[share > 0]
    entropy = float(-(some * np.log2(some)).sum()) + 0.0
    edge, stripe = _edge(tile), _stripe(tile)
    first = [mean, max(variance, 0.0) ** 0.5, entropy, edge, share[254], share[0], stripe]
    return np.concatenate([np.round(first, 4), np.round(texture, 6)])


def reject_reason(
    stats: dict[str, float], valid_fraction: float, min_valid: float, config: QualityConfig, enlarged: float = 1.0
) -> str:
    """Why the tile is unfit, "" if it is fit: nodata, saturated, dark, blank, structureless or poor.

    Args:
        stats: of the tile, see :func:`statistics`.
        valid_fraction: share of valid ground in the tile.
        min_valid: smallest such share.
        config: thresholds.
        enlarged: pixels of the tile for one of the sensor. Beyond three the neighbours are not asked: the samples know
            no such tiles, and interpolation looks like defocus to them.
    """
    if valid_fraction < min_valid:
        return "nodata"
    if stats["q_saturated"] > config.max_saturated:
        return "saturated"
    if stats["q_dark"] > config.max_dark:
        return "dark"
    if stats["q_std"] < config.min_std:
        return "blank"
    if stats["q_entropy"] < config.min_entropy or stats["q_edge"] < config.min_edge:
        return "structureless"
    if stats["q_good"] < config.min_good and enlarged < _MOST_ENLARGED:
        return "poor"
    return ""


_MOST_ENLARGED = 3.1
_LEVELS = np.arange(1, 256)


@njit(nogil=True, cache=True)
def _histogram(tile):  # type: ignore[no-untyped-def]
    """Counts of the 256 values, by two counters in turn so that runs of one value do not wait for each other."""
    flat = tile.ravel()
    even, odd = np.zeros(256, np.int64), np.zeros(256, np.int64)
    for i in range(0, flat.size - 1, 2):
        even[flat[i]] += 1
        odd[flat[i + 1]] += 1
    if flat.size % 2:
        even[flat[flat.size - 1]] += 1
    return even + odd


@njit(nogil=True, cache=True)
def _edge(tile):  # type: ignore[no-untyped-def]
    """Mean absolute difference between neighbours of the 2 x 2 averaged tile, pairs of data pixels only."""
    rows, columns = tile.shape[0] // 2, tile.shape[1] // 2
    before, here = np.zeros(columns, np.int32), np.zeros(columns, np.int32)
    whole_before, whole = np.zeros(columns, np.int32), np.zeros(columns, np.int32)
    total, pairs = np.int64(0), np.int64(0)
    for y in range(rows):
        for x in range(columns):
            a, b = np.int32(tile[2 * y, 2 * x]), np.int32(tile[2 * y, 2 * x + 1])
            c, d = np.int32(tile[2 * y + 1, 2 * x]), np.int32(tile[2 * y + 1, 2 * x + 1])
            here[x] = a + b + c + d
            whole[x] = np.int32(min(min(a, b), min(c, d)) > 0)
        for x in range(columns):
            both = whole[x] * whole_before[x]
            total += both * abs(here[x] - before[x])
            pairs += both
        for x in range(columns - 1):
            both = whole[x] * whole[x + 1]
            total += both * abs(here[x + 1] - here[x])
            pairs += both
        before, here = here, before
        whole_before, whole = whole, whole_before
    return total / 4.0 / pairs if pairs else 0.0


@njit(nogil=True, cache=True)
def _stripe(tile):  # type: ignore[no-untyped-def]
    """Share of the difference between neighbouring rows (or columns, whichever is more) that whole lines share.

    What speckle has by chance, 1 / sqrt(side), is taken off, so that the size of the tile does not matter much: 0 in
    speckle, 1 where lines differ and are constant along themselves.
    """
    # One pass over the rows serves both directions: differences along a column are summed as they come by.
    rows, columns = tile.shape
    across, across_pairs = np.zeros(columns, np.int32), np.zeros(columns, np.int32)
    pairs_rows, some_rows, pairs_columns, some_columns = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    total_rows, lines_rows, total_columns, lines_columns = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    for y in range(rows):
        signed, absolute, pairs = np.int64(0), np.int64(0), np.int64(0)
        if y + 1 < rows:
            for x in range(columns):
                a, b = np.int32(tile[y, x]), np.int32(tile[y + 1, x])
                both = np.int32(min(a, b) > 0)
                signed += (b - a) * both
                absolute += abs(b - a) * both
                pairs += both
            total_rows += absolute
            lines_rows += abs(signed)
            pairs_rows += pairs
            some_rows += np.int64(pairs > 0)
        absolute = np.int64(0)
        for x in range(columns - 1):
            a, b = np.int32(tile[y, x]), np.int32(tile[y, x + 1])
            both = np.int32(min(a, b) > 0)
            across[x] += (b - a) * both
            across_pairs[x] += both
            absolute += abs(b - a) * both
        total_columns += absolute
    for x in range(columns):
        lines_columns += abs(across[x])
        pairs_columns += across_pairs[x]
        some_columns += np.int64(across_pairs[x] > 0)
    by_row = lines_rows / total_rows if total_rows else 0.0
    by_column = lines_columns / total_columns if total_columns else 0.0
    chance_row = 1.0 / np.sqrt(max(float(pairs_rows) / max(float(some_rows), 1.0), 2.0))
    chance_column = 1.0 / np.sqrt(max(float(pairs_columns) / max(float(some_columns), 1.0), 2.0))
    by_row = (by_row - chance_row) / (1.0 - chance_row)
    by_column = (by_column - chance_column) / (1.0 - chance_column)
    return max(by_row, by_column, 0.0)
