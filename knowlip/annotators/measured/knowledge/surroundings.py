"""What the gazetteers and maps know of the place of a tile; all layers ask here."""

import math
import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from knowlip.annotators.measured.knowledge.names import clean_name
from knowlip.annotators.measured.knowledge.world import region_of_country, sea_off
from knowlip.annotators.types import TileRequest
from knowlip.tiles.earth_map import Coast, climate_zone, coast
from knowlip.tiles.gazetteers import (
    airports,
    chord,
    country_name,
    ports,
    principal_cities,
    towns,
    unit_vectors,
)

AirportKind = Literal["international", "civil", "field", "military"]
PortKind = Literal["hub", "liner", "small", "inland"]

SETTLED_KM: Final = 25.0
"""Radius within which towns are counted."""
PRINCIPAL_KM: Final = 40.0
"""Radius within which a principal city is looked for."""
AIRPORT_KM: Final = 60.0
PORT_KM: Final = 60.0
"""Radius within which airports and ports belong to the surroundings."""
COUNTRY_KM: Final = 60.0
"""Distance to the nearest town beyond which no country is named: waters and border lands belong to nobody's town."""
_SHORE_KM: Final = 60.0
_WITH_ARTICLE: Final = frozenset("AE BS CC CF DO FK FO GB GM KM KY MH MP MV NL PH SB TC UM US VG VI".split())
"""Countries whose names bear an article."""
_HUB: Final = 15.0
"""Countries that a port is linked to, from which it is called a hub."""
_INLAND_KM: Final = 60.0
"""Distance to the sea from which a port is called inland."""
_MILITARY: Final = re.compile(
    r"\b(air base|airbase|afb|air force|naval|nas|army|aaf|raf|mcas|marine corps|military|air station|base aerea)\b",
    re.I,
)
_CLOSED: Final = frozenset("FADN ZSSL EDDT EDDI LGAT VHHX LTBA OTBD SEQU".split())
"""ICAO codes of airports that the file still lists and that are closed to airlines today."""
_INTERNATIONAL: Final = re.compile(r"\b(international|intl|intcntl|intercontinental)\b", re.I)


@dataclass(frozen=True)
class Near:
    """A named point of a gazetteer."""

    name: str
    km: float
    kind: str = ""
    """`AirportKind` or `PortKind`."""
    code: str = ""
    """IATA code of an airport, UN/LOCODE of a port; "" without."""
    links: int = 0
    """Countries that a port is linked to by liner services."""


@dataclass(frozen=True)
class Surroundings:
    """What lies at and around a point. Names are clean; "" and None where nothing can be said."""

    lon: float
    lat: float
    country: str
    neighbour: str
    """A second country, where the border is so near that the side cannot be told; then `country` is one of both."""
    region: str
    """First-level division."""
    part: str
    """Part of the world, e.g. "Eastern Africa"."""
    continent: str
    town: Near | None
    """Nearest place above a thousand people, whatever the distance."""
    principal: Near | None
    settlements: int
    """Places above a thousand people within `SETTLED_KM`."""
    airports: tuple[Near, ...]
    """Within `AIRPORT_KM`, nearest first, at most five."""
    ports: tuple[Near, ...]
    """Within `PORT_KM`, nearest first, at most twelve: big ports have many parts."""
    coast: Coast
    sea: str
    """Of a point at sea or near its coast."""
    climate: str
    """Koeppen-Geiger zone; "" at sea."""

    @property
    def airport(self) -> Near | None:
        """The nearest one."""
        return self.airports[0] if self.airports else None

    @property
    def port(self) -> Near | None:
        """The nearest one."""
        return self.ports[0] if self.ports else None

    @property
    def at_sea(self) -> bool:
        """Whether the map shows sea there, farther from land than it may be wrong."""
        return self.coast.km < -5.0


def surroundings_of(request: TileRequest) -> Surroundings | None:
    """The surroundings of a tile; None where its place is not known."""
    known = bool(request.place.get("city") or request.place.get("country"))
    if not (known and math.isfinite(request.lon) and math.isfinite(request.lat) and abs(request.lat) <= 90.0):
        return None
    return surroundings((request.lon + 180.0) % 360.0 - 180.0, request.lat)


@lru_cache(maxsize=512)
def surroundings(lon: float, lat: float) -> Surroundings:
    """The surroundings of a point in degrees."""
    # Five towns are asked for, not one: near a border they tell that the side cannot be told.
    point = unit_vectors(lon, lat)
    gazetteer = towns()
    chords, nearest = gazetteer.tree.query(point, 5)
    km = _km(chords)
    around = np.asarray(gazetteer.tree.query_ball_point(point, chord(PRINCIPAL_KM)), dtype=np.intp)
    distance = _km(np.linalg.norm(gazetteer.tree.data[around] - point, axis=-1)) if len(around) else np.zeros(0)
    country, neighbour = _countries([gazetteer.countries[i] for i in nearest], km, point)
    part, continent = region_of_country(country)
    region = gazetteer.regions[nearest[0]] if not neighbour and km[0] <= COUNTRY_KM / 2 and country else ""
    if gazetteer.countries[nearest[0]] != country:
        region = ""
    shore = coast(lon, lat)
    town = clean_name(gazetteer.names[nearest[0]])
    return Surroundings(
        lon,
        lat,
        _country_name(country),
        _country_name(neighbour),
        clean_name(region),
        part,
        continent,
        Near(town, float(km[0])) if town else None,
        _principal(around, distance),
        int((distance <= SETTLED_KM).sum()),
        _airports(point),
        _ports(point),
        shore,
        sea_off(lon, lat) if shore.km <= _SHORE_KM else "",
        climate_zone(lon, lat) if shore.km > -5.0 else "",
    )


def _km(chords: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(2.0 * 6371.0088 * np.arcsin(np.clip(np.asarray(chords) / 2.0, 0.0, 1.0)))


def _countries(codes: list[str], km: NDArray[np.float64], point: NDArray[np.float64]) -> tuple[str, str]:
    """The country of a point, and a second one where towns, airports and ports about as near lie in another."""
    # Towns are dense only where people live: an airport on the shore may have its nearest town across the strait.
    if km[0] > COUNTRY_KM:
        return "", ""
    found = list(zip(km.tolist(), codes))
    for gazetteer in (airports(), ports()):
        index, distance = gazetteer.nearest(point)
        found.append((float(distance), gazetteer.countries[int(index)]))
    found.sort()
    first, code = found[0]
    others = [(distance, other) for distance, other in found if other != code]
    if others and others[0][0] <= 2.0 * first + 2.0:
        return code, others[0][1]
    return code, ""


def _country_name(code: str) -> str:
    """As a sentence has it: "Kenya", "the Netherlands"; "" for no code."""
    name = clean_name(country_name(code)) if code else ""
    return f"the {name}" if code in _WITH_ARTICLE else name


@cache
def _principal_mask() -> NDArray[np.bool_]:
    """(N,) which towns are principal cities."""
    principal, gazetteer = principal_cities(), towns()
    return np.array([pair in principal for pair in zip(gazetteer.countries, gazetteer.names)])


def _principal(around: NDArray[np.intp], distance: NDArray[np.float64]) -> Near | None:
    chosen = np.flatnonzero(_principal_mask()[around]) if len(around) else np.zeros(0, np.intp)
    if not len(chosen):
        return None
    best = int(chosen[distance[chosen].argmin()])
    name = clean_name(towns().names[int(around[best])])
    return Near(name, float(distance[best])) if name else None


def _airports(point: NDArray[np.float64]) -> tuple[Near, ...]:
    gazetteer = airports()
    chords, index = gazetteer.tree.query(point, 6, distance_upper_bound=chord(AIRPORT_KM))
    found = []
    for length, i in zip(np.asarray(chords), np.asarray(index)):
        if math.isfinite(length) and (name := clean_name(gazetteer.names[i])) and not _CLOSED & {*gazetteer.codes[i]}:
            iata = next((code for code in gazetteer.codes[i] if len(code) == 3), "")
            found.append(Near(name, float(_km(length)), airport_kind(gazetteer.names[i], iata), iata))
    return tuple(found[:5])


def airport_kind(name: str, iata: str) -> AirportKind:
    """What kind of airport a name and an IATA code ("" without) speak of."""
    if _MILITARY.search(name):
        return "military"
    if _INTERNATIONAL.search(name):
        return "international"
    return "civil" if iata else "field"


def _ports(point: NDArray[np.float64]) -> tuple[Near, ...]:
    gazetteer = ports()
    chords, index = gazetteer.tree.query(point, 12, distance_upper_bound=chord(PORT_KM))
    found = []
    for length, i in zip(np.asarray(chords), np.asarray(index)):
        if math.isfinite(length) and (name := clean_name(gazetteer.names[i])):
            links = int(gazetteer.weights[i])
            found.append(Near(name, float(_km(length)), _port_kind(int(i), links), gazetteer.codes[i][0], links))
    return tuple(found)


@lru_cache(maxsize=512)
def _port_kind(index: int, links: int) -> PortKind:
    gazetteer = ports()
    if coast(float(gazetteer.lons[index]), float(gazetteer.lats[index])).km > _INLAND_KM:
        return "inland"
    return "hub" if links >= _HUB else "liner" if links else "small"


def rounded_km(km: float) -> str | None:
    """A distance as it is said: whole kilometres to 20, fives to 100, then tens; None below 1.5 km, which a gazetteer's
    point cannot tell from nothing."""
    if km < 1.5:
        return None
    step = 1 if km < 20.0 else 5 if km < 100.0 else 10
    return str(int(km / step + 0.5) * step)
