"""A first quality filter: statistics of a tile's pixels, and the reason to reject it, if any."""

from dataclasses import dataclass

import numpy as np


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

    def check(self) -> None:
        """Raise `ValueError` for values that cannot work, naming the key."""


STATISTICS = ("q_mean", "q_std", "q_entropy", "q_edge", "q_saturated", "q_dark")


def statistics(tile: np.ndarray) -> dict[str, float]:
    """Statistics of a tile (H, W) uint8 over its data pixels; all 0 where there are none. Rounded to 4 decimals."""
    counts = np.bincount(tile.ravel(), minlength=256)[1:].astype(float)
    total = counts.sum()
    if not total:
        return dict.fromkeys(STATISTICS, 0.0)
    share = counts / total
    levels = np.arange(1, 256)
    mean = float(share @ levels)
    variance = float(share @ (levels - mean) ** 2)
    some = share[share > 0]
    return {
        "q_mean": round(mean, 4),
        "q_std": round(max(variance, 0.0) ** 0.5, 4),
        "q_entropy": round(float(-(some * np.log2(some)).sum()) + 0.0, 4),
        "q_edge": round(_edge(tile), 4),
        "q_saturated": round(float(share[254]), 4),
        "q_dark": round(float(share[0]), 4),
    }


def reject_reason(stats: dict[str, float], valid_fraction: float, min_valid: float, config: QualityConfig) -> str:
    """Why the tile is unfit, "" if it is fit."""
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
    return ""


def _edge(tile: np.ndarray) -> float:
    """Mean absolute difference between neighbours of the 2 x 2 averaged tile, pairs of data pixels only."""
    rows, columns = tile.shape[0] // 2 * 2, tile.shape[1] // 2 * 2
    t = tile[:rows, :columns]
    blocks = (t[0::2, 0::2].astype(np.float32) + t[0::2, 1::2] + t[1::2, 0::2] + t[1::2, 1::2]) / 4
    valid = (t[0::2, 0::2] > 0) & (t[0::2, 1::2] > 0) & (t[1::2, 0::2] > 0) & (t[1::2, 1::2] > 0)
    total, pairs = 0.0, 0
    for axis in (0, 1):
        difference = np.abs(np.diff(blocks, axis=axis))
        both = valid[1:] & valid[:-1] if axis == 0 else valid[:, 1:] & valid[:, :-1]
        total += float(difference[both].sum())
        pairs += int(both.sum())
    return total / pairs if pairs else 0.0
