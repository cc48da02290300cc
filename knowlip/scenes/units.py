"""Units of pixels that nothing states, and numbers that stand for no data without being declared: what the distribution
of sampled pixels says of them. Every decision is a note."""

from pathlib import Path

import numpy as np

from knowlip.scenes.errors import NotStated
from knowlip.scenes.raster import LARGEST_VALUE, Raster

_LOWEST_FILL = -99.0
"""Whole numbers from here downwards that come again and again are no measurements: the noise floor of a radar lies
above -60 dB, and noise that was subtracted from power does not leave the same whole number twice."""
_MOST_FILLS = 3
_SPIKE = 20
"""Zeros in dB are no data where they are so many times as frequent as any other value, and fill a thousandth."""
_LIKE_POWER = -1.0
"""Where the lowest hundredth of the values lies above this, negative ones are noise that was subtracted from power:
levels in dB reach below."""
_BALANCE = 4.0
"""Levels in dB of which some are positive reach about as far down as up; power less its noise does not."""
_HIGHEST_DB = 100.0
"""No level of a product in dB is higher: 16-bit amplitudes end at 96."""
_SOME = 0.01


def settle(raster: Raster, stated: str = "") -> list[str]:
    """Give a raster the units that are stated, or those that its pixels speak for, and find numbers that stand for no
    data though nothing declares them (-9999, -999; zeros in dB), which are kept in `raster.fills`.

    Args:
        raster: `units` "complex", or not decided yet.
        stated: units that the user, the file or its name states; "": none does.

    Returns:
        A note of every guess.

    Raises:
        NotStated: the numbers fit several units.
    """
    if raster.units == "complex":
        return []
    values = raster.samples()
    notes = []
    for fill, share in _fills(values).items():
        raster.fills += (fill,)
        notes.append(f"{share:.1%} of the sampled pixels hold {fill:g}, which nothing declares: taken as no data.")
    values = values[~np.isin(values, raster.fills)]
    raster.units = stated
    if not stated:
        whole = values.dtype.kind != "f" and not raster.scaled
        guess = _units_of_whole_numbers if whole else _units_of_numbers
        raster.units, why = guess(raster.physical(values), raster.path)
        notes += [f"Units are not stated: {why}."] if why else []
    if raster.units == "db" and raster.nodata is None and not raster.scaled and (share := _zeros(values)):
        raster.fills += (0.0,)
        notes.append(f"{share:.1%} of the sampled pixels are exactly 0 dB, which is no level: taken as no data.")
    return notes


def _fills(values: np.ndarray) -> dict[float, float]:
    """Repeated whole numbers far below all that is measured -> their share."""
    if values.dtype.kind not in "if":
        return {}
    found, counts = np.unique(values[values <= _LOWEST_FILL], return_counts=True)
    kept = (counts > 1) & (found == np.round(found))
    shares = {float(value): int(count) / values.size for value, count in zip(found[kept], counts[kept])}
    return shares if len(shares) <= _MOST_FILLS else {}


def _zeros(values: np.ndarray) -> float:
    """Share of exact zeros where they are no level among others, else 0."""
    zeros = int(np.count_nonzero(values == 0))
    if values.dtype.kind != "f" or zeros * 1000 <= values.size:
        return 0.0
    others = np.unique(values[values != 0], return_counts=True)[1]
    return zeros / values.size if zeros > _SPIKE * others.max(initial=0) else 0.0


def _units_of_whole_numbers(values: np.ndarray, path: Path) -> tuple[str, str]:
    """Amplitudes, see :func:`settle`."""
    if values.size and np.mean(values < 0) > _SOME:
        raise NotStated(
            f"{path} states no units, and {np.mean(values < 0):.1%} of its whole numbers are negative: say what they "
            "are by the setting units (db, or intensity and amplitude, of which negative ones are no data)."
        )
    return "dn", "whole numbers are taken as amplitudes"


def _units_of_numbers(values: np.ndarray, path: Path) -> tuple[str, str]:
    """By the distribution, of which single pixels are no part: power has no negative values but those that a
    subtraction of noise left, which are small; levels in dB are mostly negative, or reach as far down as up."""
    values = values[np.abs(values) < LARGEST_VALUE].astype(float)
    if not values.size:
        return "intensity", ""
    negative = float(np.mean(values < 0))
    if not negative:
        return "intensity", "taken as power (intensity), as no sampled value is negative"
    lowest, low, middle, high = np.percentile(values, [0, 1, 50, 99])
    if low > _LIKE_POWER or high > _HIGHEST_DB:
        few = f"{negative:.2%} of the sampled values are negative, down to {lowest:.4g}"
        return "intensity", f"taken as power (intensity) less noise; {few}, and not valid"
    if middle < 0 or -low * _BALANCE > high:
        return "db", f"taken as dB, as {negative:.0%} of the sampled values are negative, down to {lowest:.4g}"
    raise NotStated(
        f"{path} states no units, and its values ({lowest:.4g} to {values.max():.4g}, {negative:.2%} negative) fit "
        "power and dB alike: say which by the setting units (intensity or db)."
    )
