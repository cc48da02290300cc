"""Dynamic range compression to 8 bit: a named quantiser with stored parameters. 0 is nodata, 1 to 255 are data."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

METHODS = ("percentile", "window", "sigma", "sqrt")


@dataclass(frozen=True)
class QuantiseConfig:
    """How the power of a scene becomes grey levels 1 to 255. One quantiser a scene, from its valid pixels."""

    method: str = "percentile"
    """"percentile": linear in dB between two percentiles; "window": linear in dB between two fixed levels;
    "sigma": linear in dB within mean +- sigmas standard deviations of the dB values; "sqrt": linear in amplitude
    between two percentiles."""
    percentiles: tuple[float, float] = (0.5, 99.8)
    """Percentiles of valid pixels that become levels 1 and 255 (percentile, sqrt)."""
    window_db: tuple[float, float] = (-25.0, 5.0)
    """Levels in dB that become 1 and 255 (window)."""
    sigmas: float = 3.0
    """Half width in standard deviations (sigma)."""

    def check(self) -> None:
        """Raise `ValueError` for values that cannot work, naming the key."""
        if self.method not in METHODS:
            raise ValueError(f"quantise.method must be one of {', '.join(METHODS)}, not {self.method!r}.")
        if not 0 <= self.percentiles[0] < self.percentiles[1] <= 100:
            raise ValueError(f"quantise.percentiles must rise within 0 to 100, not {self.percentiles}.")
        if not (np.isfinite(self.window_db).all() and self.window_db[0] < self.window_db[1]):
            raise ValueError(f"quantise.window_db must be two rising levels in dB, not {self.window_db}.")
        if not (np.isfinite(self.sigmas) and self.sigmas > 0):
            raise ValueError(f"quantise.sigmas must be positive, not {self.sigmas}.")


_SHIFT = 15
_BINS = 1 << (31 - _SHIFT)
"""A positive float32 ordered by its leading 16 bits: bins of at most 0.034 dB over the whole range of the type."""


class PowerHistogram:
    """Streaming histogram of linear power over valid pixels, fine enough for dB percentiles, in constant memory."""

    def __init__(self) -> None:
        self.counts = np.zeros(_BINS, np.int64)

    def add(self, power: np.ndarray, valid: np.ndarray) -> None:
        """Count the valid pixels of a block of power (float32). Zero power is left out: it has no dB."""
        bits = power[valid & (power > 0)].view(np.uint32) >> _SHIFT
        self.counts += np.bincount(bits, minlength=_BINS)

    @property
    def total(self) -> int:
        return int(self.counts.sum())

    def percentile_db(self, percent: float) -> float:
        """Level in dB below which `percent` of the valid pixels lie.

        Raises:
            ValueError: nothing was counted.
        """
        if not self.total:
            raise ValueError("No valid pixel above zero power: the scene has no dynamic range to quantise.")
        cumulative = np.cumsum(self.counts)
        found = int(np.searchsorted(cumulative, max(1, np.ceil(percent / 100 * self.total))))
        middle = np.array([(found << _SHIFT) + (1 << (_SHIFT - 1))], np.uint32).view(np.float32)[0]
        return float(10 * np.log10(float(middle)))


@dataclass(frozen=True)
class Quantiser:
    """Linear in dB between `lo_db` (level 1) and `hi_db` (level 255), clipped outside.

    Defined by its 254 thresholds in power, so a pixel's level never depends on rounding in a logarithm.
    """

    name: str
    lo_db: float
    hi_db: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.lo_db) and np.isfinite(self.hi_db) and self.lo_db < self.hi_db):
            raise ValueError(f"A quantiser needs lo < hi in dB, not {self.lo_db} and {self.hi_db}.")

    @cached_property
    def thresholds(self) -> np.ndarray:
        """(254,) float32 powers; level n + 1 starts at thresholds[n - 1]."""
        step = (self.hi_db - self.lo_db) / 254
        levels_db = self.lo_db + step * (np.arange(254) + 0.5)
        return np.power(10.0, levels_db / 10).astype(np.float32)

    @cached_property
    def lut_sha256(self) -> str:
        """SHA-256 of the thresholds (little-endian float32)."""
        return hashlib.sha256(self.thresholds.astype("<f4").tobytes()).hexdigest()

    @cached_property
    def _level_of_bin(self) -> np.ndarray:
        starts = (np.arange(_BINS, dtype=np.uint32) << np.uint32(_SHIFT)).view(np.float32)
        starts = np.nan_to_num(starts, nan=np.inf)
        return np.searchsorted(self.thresholds, starts, side="right").astype(np.uint8)

    def __call__(self, power: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Power float32 (any shape) and valid mask -> uint8 levels of the same shape."""
        power = np.ascontiguousarray(power, np.float32)
        if self.hi_db - self.lo_db < 10:  # several thresholds may share a bin of the table
            level = np.searchsorted(self.thresholds, power, side="right").astype(np.uint8)
        else:
            level = self._level_of_bin[power.view(np.uint32) >> _SHIFT]
            following = np.append(self.thresholds, np.float32(np.inf))
            level += power >= following[level]
        return np.where(valid, level + np.uint8(1), np.uint8(0))

    def to_db(self, level: np.ndarray) -> np.ndarray:
        """Levels 1 to 255 -> dB at the middle of the level; NaN for 0."""
        level = np.asarray(level, float)
        decibel = self.lo_db + (level - 1) / 254 * (self.hi_db - self.lo_db)
        return np.where(level > 0, decibel, np.nan)


def percentile_quantiser(histogram: PowerHistogram, low: float, high: float) -> Quantiser:
    """Quantiser from two percentiles of a scene's valid pixels, limits rounded to 0.01 dB and at least 1 dB apart."""
    lo, hi = round(histogram.percentile_db(low), 2), round(histogram.percentile_db(high), 2)
    return Quantiser(f"db-percentile-v1({low:g},{high:g})", lo, max(hi, lo + 1.0))
