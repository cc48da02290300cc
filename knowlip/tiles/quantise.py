"""Dynamic range compression to 8 bit: a named quantiser with stored parameters. 0 is nodata, 1 to 255 are data."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit

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

    def __post_init__(self) -> None:
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
_NAMES = {
    "percentile": "db-percentile-v1({0:g},{1:g})",
    "window": "db-window-v1({0:g},{1:g})",
    "sigma": "log-sigma-v1({0:g})",
    "sqrt": "sqrt-percentile-v1({0:g},{1:g})",
}
_NARROWEST_DB = 1.0
"""A scene of one value still gets a range."""


class PowerHistogram:
    """Streaming histogram of linear power over valid pixels, fine enough for dB percentiles, in constant memory."""

    def __init__(self) -> None:
        self.counts = np.zeros(_BINS, np.int64)

    def add(self, power: np.ndarray, valid: np.ndarray | None = None) -> None:
        """Count the valid pixels (None: all) of a block of power (float32). Zero power is left out: it has no dB."""
        power = np.ascontiguousarray(power, np.float32).reshape(-1)
        if valid is None:
            _count(power.view(np.uint32), self.counts)
        else:
            _count_valid(power.view(np.uint32), np.ascontiguousarray(valid).reshape(-1), self.counts)

    def add_stored(self, values: np.ndarray, table: np.ndarray, valid: np.ndarray | None = None) -> None:
        """Count stored numbers whose power is `table[value]`; the same counts as `add` gives for their power."""
        found = np.zeros(len(table), np.int64)
        values = np.ascontiguousarray(values).reshape(-1)
        if valid is None:
            _count_values(values, found)
        else:
            _count_values(values[np.ascontiguousarray(valid).reshape(-1)], found)
        some = (found > 0) & (table > 0)
        np.add.at(self.counts, table[some].view(np.uint32) >> _SHIFT, found[some])

    def merge(self, other: "PowerHistogram") -> None:
        """Add the counts of another histogram."""
        self.counts += other.counts

    @property
    def total(self) -> int:
        return int(self.counts.sum())

    def percentile_db(self, percent: float) -> float:
        """Level in dB below which `percent` of the valid pixels lie.

        Raises:
            ValueError: nothing was counted.
        """
        self._require()
        cumulative = np.cumsum(self.counts)
        found = int(np.searchsorted(cumulative, max(1, np.ceil(percent / 100 * self.total))))
        return float(_bins_db(np.array([found]))[0])

    def moments_db(self) -> tuple[float, float]:
        """Mean and standard deviation of the valid pixels in dB (each pixel within 0.017 dB).

        Raises:
            ValueError: nothing was counted.
        """
        self._require()
        some = np.flatnonzero(self.counts)
        share, level = self.counts[some] / self.total, _bins_db(some)
        mean = float(share @ level)
        return mean, float(np.sqrt(share @ (level - mean) ** 2))

    def _require(self) -> None:
        if not self.counts.any():
            raise ValueError("No valid pixel above zero power: the scene has no dynamic range to quantise.")


def _bins_db(bins: np.ndarray) -> np.ndarray:
    """Middle of histogram bins in dB."""
    middle = ((bins.astype(np.uint32) << _SHIFT) + np.uint32(1 << (_SHIFT - 1))).view(np.float32)
    result: np.ndarray = 10 * np.log10(middle.astype(float))
    return result


@dataclass(frozen=True)
class Quantiser:
    """Linear between `lo_db` (level 1) and `hi_db` (level 255), clipped outside: in dB, or in amplitude where the name
    begins with "sqrt-". Both limits are in dB whatever the name.

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
        return np.power(10.0, self._db_at(np.arange(254) + 0.5) / 10).astype(np.float32)

    @cached_property
    def lut_sha256(self) -> str:
        """SHA-256 of the thresholds (little-endian float32)."""
        return hashlib.sha256(self.thresholds.astype("<f4").tobytes()).hexdigest()

    @cached_property
    def _level_of_bin(self) -> np.ndarray:
        starts = (np.arange(_BINS, dtype=np.uint32) << np.uint32(_SHIFT)).view(np.float32)
        starts = np.nan_to_num(starts, nan=np.inf)
        return np.searchsorted(self.thresholds, starts, side="right").astype(np.uint8)

    @cached_property
    def _limit_of_level(self) -> np.ndarray | None:
        """(255,) float32: where each level ends, NaN for the last; None where a bin holds more than one threshold."""
        if np.bincount(self.thresholds.view(np.uint32) >> _SHIFT).max() > 1:
            return None
        return np.append(self.thresholds, np.float32(np.nan))

    def __call__(self, power: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
        """Power float32 (any shape) and valid mask (None: all) -> uint8 levels of the same shape."""
        power = np.ascontiguousarray(power, np.float32)
        level = np.empty(power.shape, np.uint8)
        flat = power.reshape(-1)
        bits, limits = flat.view(np.uint32), self._limit_of_level
        if limits is not None:
            _levels_of_fine_bins(flat, bits, self._level_of_bin, limits, level.reshape(-1))
        else:
            _levels(flat, bits, self._level_of_bin, self.thresholds, level.reshape(-1))
        if valid is not None:
            level *= valid
        return level

    def to_db(self, level: np.ndarray) -> np.ndarray:
        """Levels 1 to 255 -> dB at the middle of the level; NaN for 0."""
        level = np.asarray(level, float)
        return np.where(level > 0, self._db_at(np.maximum(level, 1) - 1), np.nan)

    def _db_at(self, step: np.ndarray) -> np.ndarray:
        """dB at `step` (0 to 254) of 254 steps between the limits."""
        if not self.name.startswith("sqrt-"):
            return self.lo_db + step * ((self.hi_db - self.lo_db) / 254)
        lo, hi = 10 ** (self.lo_db / 20), 10 ** (self.hi_db / 20)
        result: np.ndarray = 20 * np.log10(lo + step * ((hi - lo) / 254))
        return result


def make_quantiser(histogram: PowerHistogram, config: QuantiseConfig) -> Quantiser:
    """The quantiser of a scene. Limits are rounded to 0.01 dB and at least 1 dB apart.

    Args:
        histogram: of the scene's valid pixels.
        config: method and its parameters, which become part of the name.

    Raises:
        ValueError: nothing was counted.
    """
    histogram._require()
    parameters = config.percentiles
    if config.method == "window":
        parameters = lo, hi = config.window_db
    elif config.method == "sigma":
        mean, deviation = histogram.moments_db()
        lo, hi = mean - config.sigmas * deviation, mean + config.sigmas * deviation
        parameters = config.sigmas, 0.0
    else:
        lo, hi = (histogram.percentile_db(percent) for percent in config.percentiles)
    lo, hi = round(lo, 2), round(hi, 2)
    return Quantiser(_NAMES[config.method].format(*parameters), lo, max(hi, lo + _NARROWEST_DB))


def percentile_quantiser(histogram: PowerHistogram, low: float, high: float) -> Quantiser:
    """Linear in dB between two percentiles of a scene's valid pixels."""
    return make_quantiser(histogram, QuantiseConfig("percentile", (low, high)))


@njit(nogil=True, cache=True)
def _count(bits, counts):  # type: ignore[no-untyped-def]
    for i in range(bits.size):
        if 0 < bits[i] < 0x7F800000:
            counts[bits[i] >> _SHIFT] += 1


@njit(nogil=True, cache=True)
def _count_valid(bits, valid, counts):  # type: ignore[no-untyped-def]
    for i in range(bits.size):
        if valid[i] and 0 < bits[i] < 0x7F800000:
            counts[bits[i] >> _SHIFT] += 1


@njit(nogil=True, cache=True)
def _count_values(values, counts):  # type: ignore[no-untyped-def]
    for i in range(values.size):
        counts[values[i]] += 1


@njit(nogil=True, cache=True)
def _levels(power, bits, level_of_bin, thresholds, out):  # type: ignore[no-untyped-def]
    """Level 1 to 255: the table gives that of the bin's beginning; thresholds inside the bin are looked at singly."""
    for i in range(power.size):
        level = np.int64(level_of_bin[(bits[i] & np.uint32(0x7FFFFFFF)) >> _SHIFT])
        while level < 254 and power[i] >= thresholds[level]:
            level += 1
        out[i] = level + 1


@njit(nogil=True, cache=True)
def _levels_of_fine_bins(power, bits, level_of_bin, limits, out):  # type: ignore[no-untyped-def]
    """`_levels` where a bin holds one threshold at most: without a branch, which speckle would mislead."""
    for i in range(power.size):
        level = np.int64(level_of_bin[(bits[i] & np.uint32(0x7FFFFFFF)) >> _SHIFT])
        out[i] = level + 1 + (power[i] >= limits[level])
