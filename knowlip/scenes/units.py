"""Units of pixels, stated ones held against the numbers, and numbers that stand for no data without being declared:
what the distribution of sampled pixels says of them. Every decision is a note."""

from collections.abc import Sequence
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
_BEYOND = 1e3
"""So many times as large as the others, or as small, is no number of one image."""
_LOWEST_MEDIAN_DB = -60.0
_HIGHEST_MEDIAN_DB = 30.0
"""Of calibrated levels, and of bytes; uncalibrated ones end at `_HIGHEST_DB`."""
_NARROW_DB = 3.0
"""Levels are no pixels of a radar where none is negative and 99 % lie below this: speckle alone spreads them wider."""
_BEYOND_DB = 1e5
"""Larger ones are no numbers of a thousandth of a decibel either, but stand for no data."""
_LIKE = {"dn": "amplitude"}


def settle(raster: Raster, stated: str = "", quantity: str = "") -> list[str]:
    """Give a raster the units that are stated, or those that its pixels speak for, and find numbers that stand for no
    data though nothing declares them (-9999, -999; zeros in dB), which are kept in `raster.fills`.

    Args:
        raster: `units` "complex", or not decided yet.
        stated: units that the user, the file or its name states; "": none does.
        quantity: what the levels are of ("sigma0"), where they are said to be calibrated.

    Returns:
        A note of every guess.

    Raises:
        NotStated: the numbers fit several units, or cannot be in the stated ones.
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
    floor, share = _floor(values) if raster.units != "db" else (0.0, 0.0)
    if share:
        notes.append(
            f"{share:.1%} of the sampled pixels hold exactly {floor:.3g}, as filled or clipped ones do: taken as data; "
            f"where they are none, declare it (gdal_edit.py -a_nodata {floor:.6g})."
        )
    if raster.units == "db" and raster.nodata is None and (share := _zeros(values)):
        raster.fills += (0.0,)
        what = "a stored 0, which no other level comes near" if raster.scaled else "exactly 0 dB, which is no level"
        notes.append(f"{share:.1%} of the sampled pixels are {what}: taken as no data.")
        values = values[values != 0]
    # Last, without what is no data: a statement is a claim too, and the numbers may rule it out.
    if stated and (why := _misfit(raster, values, stated, quantity)):
        ask = "say what they are by the setting units (--read.units db where they are levels)"
        if stated == "db":
            ask = (
                "say what they are by the setting units (--read.units intensity, amplitude or dn), or declare the "
                "scale and offset that make levels of them (gdal_edit.py -scale 0.01 -offset 0)"
            )
        raise NotStated(f"{raster.path} cannot hold {_shown(stated)}, though that is stated: {why}; {ask}.")
    return notes


def agreed(
    raster: Raster, asked: str, held: Sequence[str], quantity: str = "", sure: bool = False
) -> tuple[str, list[str]]:
    """The units to read by: those that are asked for, else those that the file states; where statements contradict each
    other, the one that the numbers fit, with a note.

    Args:
        raster: not read yet.
        asked: by the user; "": none.
        held: what the file states, in several places perhaps.
        quantity: as in :func:`settle`.
        sure: whoever asks also names the band, and is believed.

    Raises:
        NotStated: the numbers do not tell which of several statements is true.
    """
    said = list(dict.fromkeys(units for units in (asked, *held) if units))
    first = said[0] if said else ""
    # Amplitudes and plain numbers are read alike, so they are no contradiction; whoever names the band knows it.
    if raster.units == "complex" or (asked and sure) or len({_LIKE.get(units, units) for units in said}) < 2:
        return first, []
    values = raster.samples()
    values = values[~np.isin(values, tuple(_fills(values)))]
    fitting = [units for units in said if not _misfit(raster, values, units, quantity)]
    if asked and asked not in fitting:
        return asked, []
    alike = [_LIKE.get(units, units) for units in fitting]
    others = [units for units in said if _LIKE.get(units, units) not in alike[:1]]
    if len(set(alike)) == 1:
        read, left = _shown(fitting[0]), " and ".join(map(_shown, others))
        return fitting[0], [f"Read as {read}, though the file states {left} too, which its numbers do not fit."]
    states = " and ".join(_shown(units) for units in said if units != asked)
    if asked:
        raise NotStated(
            f"{raster.path} states {states}, and {_shown(asked)} is asked for: leave units out, or name the band as "
            f"well (--read.raster_band 1 --read.units {asked}) where the file is wrong."
        )
    raise NotStated(f"{raster.path} states {states}, which cannot both be: say which by the setting units.")


def _shown(units: str) -> str:
    return {"db": "dB", "dn": "plain numbers"}.get(units, units)


def _misfit(raster: Raster, values: np.ndarray, units: str, quantity: str) -> str:
    """Why stored values cannot be in these units, "" where they can."""
    numbers = raster.physical(values).astype(float)
    numbers = numbers[np.abs(numbers) < (_BEYOND_DB if units == "db" else LARGEST_VALUE)]
    if not numbers.size:
        return ""
    lowest, low, middle, high, highest = np.percentile(numbers, [0, 1, 50, 99, 100])
    if units != "db":
        negative = middle < 0 and low <= _LIKE_POWER
        return f"most sampled values are negative (median {middle:.4g})" if negative else ""
    grey = raster.dtype == "uint8" and not raster.scaled
    most = _HIGHEST_MEDIAN_DB if quantity or grey else _HIGHEST_DB
    if not _LOWEST_MEDIAN_DB <= middle <= most:
        return f"the median of the sampled values is {middle:.4g}, outside {_LOWEST_MEDIAN_DB:g} to {most:g} dB"
    if lowest >= 0 and high < _NARROW_DB and highest > lowest:
        return f"no sampled value is negative, and 99 % are below {high:.2g}, as those of power or of a picture"
    return ""


def _fills(values: np.ndarray) -> dict[float, float]:
    """Repeated whole numbers far below all that is measured -> their share."""
    if values.dtype.kind not in "if":
        return {}
    found, counts = np.unique(values[values <= _LOWEST_FILL], return_counts=True)
    kept = (counts > 1) & (found == np.round(found))
    shares = {float(value): int(count) / values.size for value, count in zip(found[kept], counts[kept])}
    shares = shares if len(shares) <= _MOST_FILLS else {}
    # Whole numbers saturate at their greatest; of others one that comes again and again is no measurement.
    if values.dtype.kind == "f" and values.size:
        most = values.max()
        others, share = values[values < most], float(np.mean(values == most))
        if others.size and share >= _SOME and most > _BEYOND * np.percentile(others, 99) > 0:
            shares[float(most)] = share
    return shares


def _floor(values: np.ndarray) -> tuple[float, float]:
    """The least positive number where it comes again and again far below all others, and its share; else 0."""
    held = values[values > 0]
    if held.dtype.kind != "f" or not held.size:
        return 0.0, 0.0
    least, share = float(held.min()), float(np.mean(values == held.min()))
    return (least, share) if share >= _SOME and least * _BEYOND < np.median(held) else (0.0, 0.0)


def _zeros(values: np.ndarray) -> float:
    """Share of exact zeros where they are no level among others, else 0."""
    zeros = int(np.count_nonzero(values == 0))
    if zeros * 1000 <= values.size:
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
