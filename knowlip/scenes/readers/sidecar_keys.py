"""The keys of a `*.scene.yaml`, checked one by one."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from knowlip.base.documents import read_yaml
from knowlip.scenes.calibration import QUANTITIES
from knowlip.scenes.errors import DamagedProduct
from knowlip.scenes.names import slug
from knowlip.scenes.scene import UNITS

BANDS = (("P", 0.25), ("L", 1), ("S", 2), ("C", 4), ("X", 8), ("Ku", 12), ("Ka", 27), ("W", 75))
"""Radar bands and the frequency in GHz where each begins (IEEE 521; what lies between Ku and Ka counts as Ku)."""
LOCATIONS = ("crs", "corners", "gcps", "center", "rpc", "unlocated")
"""Keys that begin a statement of place; at most one of them."""


class _Wrong(ValueError):
    """What a value must be, as the end of a sentence."""


@dataclass(frozen=True)
class Power:
    """What the numbers mean: `quantity = factor * power`, with power = amplitude squared."""

    quantity: str
    factor: float


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _Wrong("must be a text")
    return value.strip()


def _texts(value: Any) -> list[str]:
    return [_text(item) for item in value] if isinstance(value, list) and value else [_text(value)]


def _choice(*names: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        for name in names:
            if isinstance(value, str) and value.lower() == name.lower():
                return name
        raise _Wrong(f"must be one of {', '.join(names)}")

    return check


def _number(value: Any) -> float:
    if isinstance(value, str):  # YAML 1.1 takes 1e-5 for a text
        try:
            value = float(value)
        except ValueError:
            raise _Wrong("must be a number") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Wrong("must be a number")
    return float(value)


def _between(low: float, high: float) -> Callable[[Any], float]:
    def check(value: Any) -> float:
        number = _number(value)
        if not low < number < high:
            raise _Wrong(f"must lie between {low:g} and {high:g}")
        return number

    return check


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Wrong("must be true or false")
    return value


def _numbers(count: int, what: str) -> Callable[[Any], tuple[float, ...]]:
    def check(value: Any) -> tuple[float, ...]:
        if not isinstance(value, list) or len(value) != count:
            raise _Wrong(f"must be {what}")
        numbers = tuple(_number(item) for item in value)
        if not all(map(math.isfinite, numbers)):
            raise _Wrong(f"must be {what}")
        return numbers

    return check


def _lonlat(value: Any) -> tuple[float, ...]:
    lon, lat = _numbers(2, "[longitude, latitude]")(value)
    if not (-180 <= lon <= 360 and -90 <= lat <= 90):
        raise _Wrong("must be [longitude, latitude] in degrees")
    return lon, lat


def _corners(value: Any) -> list[tuple[float, ...]]:
    if not isinstance(value, list) or len(value) != 4:
        raise _Wrong("must be four pairs [longitude, latitude]: upper left, upper right, lower right, lower left")
    return [_lonlat(item) for item in value]


def _gcps(value: Any) -> list[tuple[float, ...]]:
    what = "a list of at least four [column, row, longitude, latitude]"
    if not isinstance(value, list) or len(value) < 4:
        raise _Wrong(f"must be {what}")
    points = [_numbers(4, what)(item) for item in value]
    for point in points:
        _lonlat(list(point[2:]))
    return points


def _spacing(value: Any) -> tuple[float, ...]:
    pair = _numbers(2, "metres, or [by row, by column]")(value) if isinstance(value, list) else (_number(value),) * 2
    if not all(0 < item < 1e5 for item in pair):
        raise _Wrong("must be positive metres")
    return pair


def _day(value: Any) -> str:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, date):
        return value.isoformat()
    try:
        datetime.fromisoformat(_text(value))
    except ValueError:
        raise _Wrong("must be an ISO date or date and time") from None
    return _text(value)


def _polarisation(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[HVRL]{2}", value.upper()):
        raise _Wrong("must be HH, HV, VH, VV or two of R, L, H, V")
    return value.upper()


def _power(value: Any) -> Power:
    what = "must be {quantity: sigma0, factor: NUMBER} (of power) or {quantity: sigma0, amplitude_factor: NUMBER}"
    if not isinstance(value, dict) or set(value) not in ({"quantity", "factor"}, {"quantity", "amplitude_factor"}):
        raise _Wrong(what)
    factor = _number(value["factor"] if "factor" in value else value["amplitude_factor"])
    if not (math.isfinite(factor) and factor > 0):
        raise _Wrong("needs a positive factor")
    quantity = _choice(*QUANTITIES[1:])(value["quantity"])
    return Power(quantity, factor if "factor" in value else factor**2)


KEYS: dict[str, Callable[[Any], Any]] = {
    "files": _texts,
    "sensor": lambda value: slug(_text(value)),
    "band": _choice(*(name for name, _ in BANDS)),
    "frequency_ghz": _between(0, 1000),
    "polarisation": _polarisation,
    "units": _choice(*UNITS),
    "calibration": _power,
    "radiometry": _choice("calibrated", "relative", "simulated"),
    "raster_band": lambda value: int(_between(0, 1e6)(value)),
    "nodata": _number,
    "date": _day,
    "looks": _between(0, 1e6),
    "incidence_deg": _between(0, 90),
    "look_azimuth_deg": lambda value: _between(-360, 720)(value) % 360,
    "look_side": _choice("left", "right"),
    "orbit": _choice("ascending", "descending"),
    "mode": _text,
    "product_type": _text,
    "projection": _choice("map", "ground", "slant"),
    "group": _text,
    "crs": lambda value: f"EPSG:{value}" if isinstance(value, int) else _text(value),
    "transform": _numbers(6, "six numbers [a, b, c, d, e, f]: x = a column + b row + c, y = d column + e row + f"),
    "corners": _corners,
    "gcps": _gcps,
    "center": _lonlat,
    "spacing_m": _spacing,
    "heading_deg": _between(-360, 360.0001),
    "rpc": _text,
    "unlocated": _flag,
}
"""Key -> check that returns the value in its final form."""


def read_keys(path: Path) -> dict[str, Any]:
    """Read and check a sidecar.

    Returns:
        The keys that it states, in their final form.

    Raises:
        DamagedProduct: broken YAML, an unknown key, a value that cannot be, or two statements of place.
    """
    try:
        stated = read_yaml(path)
    except ValueError as error:
        raise DamagedProduct(str(error)) from None
    if not isinstance(stated, dict) or not stated:
        raise DamagedProduct(f"{path} must hold keys such as `files:` and `sensor:` (docs/scenes.md).")
    known: dict[str, Any] = {}
    for key, value in stated.items():
        if key not in KEYS:
            raise DamagedProduct(f"{path} has a key {key!r} that does not exist; there are {', '.join(KEYS)}.")
        try:
            known[key] = KEYS[key](value)
        except _Wrong as wrong:
            raise DamagedProduct(f"{path}: {key} {wrong}, not {_short(value)}.") from None
    _check_place(path, known)
    if "band" not in known and "frequency_ghz" in known:
        known["band"] = [name for name, begin in BANDS if known["frequency_ghz"] >= begin][-1:] or [""]
        known["band"] = known["band"][0]
    return known


def _check_place(path: Path, known: dict[str, Any]) -> None:
    if known.get("unlocated") is False:
        del known["unlocated"]
    begun = [key for key in LOCATIONS if key in known]
    if len(begun) > 1:
        raise DamagedProduct(f"{path} states the place twice, by {begun[0]} and by {begun[1]}; keep one.")
    needs = {"crs": ["transform"], "center": ["spacing_m", "heading_deg"], "unlocated": ["spacing_m"]}
    for key in begun:
        for other in needs.get(key, []):
            if other not in known:
                raise DamagedProduct(f"{path}: {key} needs {other} beside it.")
    for other, key in (("transform", "crs"), ("heading_deg", "center")):
        if other in known and key not in known:
            raise DamagedProduct(f"{path}: {other} needs {key} beside it.")
    if "spacing_m" in known and not {"center", "unlocated"} & set(begun):
        raise DamagedProduct(
            f"{path}: spacing_m alone does not place the image; add center and heading_deg, or unlocated: true."
        )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 50 else f"{text[:47]}..."
