"""What lies near a point (country, region, nearest town, airport and sea port), and where a named place lies."""

import difflib
import re
import unicodedata
from functools import cache
from typing import Any, NamedTuple, TypedDict

import numpy as np
from numpy.typing import ArrayLike

from knowlip.tiles.gazetteers import Gazetteer, airports, country_code, country_name, distance_km, ports, towns
from knowlip.tiles.gazetteers import unit_vectors as unit_vectors

__all__ = ["UNKNOWN_PLACE", "country_name", "describe_places", "resolve_place"]


class NearbyPlaces(TypedDict):
    """What lies near a point; names are "" and distances None where its place is unknown."""

    country: str
    region: str
    city: str
    city_km: float | None
    airport: str
    airport_km: float | None
    port: str
    port_km: float | None


UNKNOWN_PLACE = NearbyPlaces(
    country="", region="", city="", city_km=None, airport="", airport_km=None, port="", port_km=None
)
"""The description of a point whose place is unknown."""

_SAME_TOWN_KM = 10.0
_PART_OF_TOWN_KM = 50.0
"""A port or airport with a town's own name, this near to the town, is no other place than the town."""
_SUGGESTIONS = 5
_AIRPORT_WORDS = re.compile(r"\b(international|regional|municipal|airport|airfield)\b")


def describe_places(lons: ArrayLike, lats: ArrayLike) -> list[NearbyPlaces]:
    """Describe points by what lies nearest to them, whatever the distance: how near is near is the caller's choice.

    Args:
        lons: longitudes in degrees, shape (N,); any multiple of 360 may be added.
        lats: latitudes in degrees, -90 to 90, shape (N,).

    Returns:
        N places: `country` (English name) and `region` (first-level division) are those of the nearest town. Distances
        are great-circle kilometres to the gazetteer's point, always finite and never negative; names are never null.

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
    points = unit_vectors(lon, lat)
    known = (towns(), airports(), ports())
    (town, town_km), (airport, airport_km), (port, port_km) = (g.nearest(points) for g in known)
    return [
        {
            "country": country_name(known[0].countries[town[i]]),
            "region": known[0].regions[town[i]],
            "city": known[0].names[town[i]],
            "city_km": round(float(town_km[i]), 3),
            "airport": known[1].names[airport[i]],
            "airport_km": round(float(airport_km[i]), 3),
            "port": known[2].names[port[i]],
            "port_km": round(float(port_km[i]), 3),
        }
        for i in range(len(lon))
    ]


class _Entry(NamedTuple):
    """A named point, ordered by what it is: towns first, then ports, then airports."""

    kind: str
    name: str
    region: str
    country: str
    lon: float
    lat: float

    @property
    def label(self) -> str:
        """How the place is named without doubt, in the form that :func:`resolve_place` reads."""
        name = f"{self.kind} {self.name}" if self.kind == "port" else self.name
        return ", ".join(part for part in (name, self.region, country_name(self.country)) if part)


def resolve_place(text: str) -> tuple[str, float, float]:
    """Where a named place lies.

    Args:
        text: a town ("Rotterdam, Netherlands"), a port ("port of Antwerpen", "NLRTM"), an airport ("Schiphol", "AMS",
            "EHAM"), with its region or country (name or code) after commas where the name alone is not unique; or
            "lon,lat" in degrees. Case and accents do not matter, except that a code without a country is in capitals.

    Returns:
        The place's name with region and country, its longitude and latitude in degrees.

    Raises:
        ValueError: no such place, or several; the sentence names up to five candidates.
    """
    point = _coordinates(text)
    if point is not None:
        return f"{point[0]:g},{point[1]:g}", *point
    parts = [part.strip() for part in text.split(",")]
    if not parts[0]:
        raise ValueError(f"{text!r} names no place; give a town, port or airport such as 'Rotterdam, Netherlands'.")
    for length in range(len(parts), 0, -1):  # a few names hold commas themselves
        name, qualifiers = ", ".join(parts[:length]), parts[length:]
        found = _candidates(name)
        if found:
            break
    where = ", ".join(qualifiers)
    chosen = [e for e in found if _lies_in(e, where) or all(_lies_in(e, part) for part in qualifiers if part)]
    places = _distinct(chosen)
    if len(places) == 1:
        entry = places[0]
        return entry.label, entry.lon, entry.lat
    if places:
        raise ValueError(f"There are {len(places)} places named {text!r}; say which: {_list(places)}.")
    if found:
        raise ValueError(f"There is no {name!r} in {where!r}; known are {_list(_distinct(found))}.")
    similar = _similar(name)
    hint = f"; did you mean {_list(similar)}?" if similar else "; give a town, a port or an airport, or 'lon,lat'."
    raise ValueError(f"The gazetteer knows no place named {text!r}{hint}")


def _list(entries: list[_Entry]) -> str:
    names = list(dict.fromkeys(entry.label for entry in entries))
    if len(names) < 2 <= len(entries):  # two towns of one name in one region: only the point tells them apart
        return "; ".join(f"'{entry.lon:g},{entry.lat:g}' ({entry.label})" for entry in entries[:_SUGGESTIONS])
    more = f" and {len(names) - _SUGGESTIONS} more" if len(names) > _SUGGESTIONS else ""
    return "; ".join(f"'{name}'" for name in names[:_SUGGESTIONS]) + more


def _coordinates(text: str) -> tuple[float, float] | None:
    parts = text.split(",")
    if len(parts) != 2:
        return None
    try:
        lon, lat = float(parts[0]), float(parts[1])
    except ValueError:
        return None
    if not (abs(lon) <= 180 and abs(lat) <= 90):
        raise ValueError(f"{text!r} is no place: longitude (-180 to 180) comes first, then latitude (-90 to 90).")
    return lon, lat


def fold(name: str) -> str:
    """Lower case without accents, hyphens and doubled spaces."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c)).casefold()
    return re.sub(r"[\s\-’'.,]+", " ", plain.replace("ß", "ss")).strip()


@cache
def _names() -> dict[str, list[_Entry]]:
    """Folded name -> the places with that name: towns, ports, airports; those with more traffic first."""
    index: dict[str, list[_Entry]] = {}
    for kind, gazetteer in _kinds():
        for i in np.argsort(-gazetteer.weights, kind="stable"):
            name = gazetteer.names[i]
            keys = {fold(name)}
            if kind == "airport":
                keys |= {fold(_AIRPORT_WORDS.sub(" ", fold(name))), *(fold(part) for part in name.split())} - {""}
                keys = {key for key in keys if not _AIRPORT_WORDS.fullmatch(key)}
            for key in keys:
                index.setdefault(key, []).append(_entry(kind, gazetteer, i))
    return index


@cache
def _codes() -> dict[str, list[_Entry]]:
    """IATA and ICAO codes of airports, UN/LOCODEs of ports."""
    index: dict[str, list[_Entry]] = {}
    for kind, gazetteer in _kinds()[1:]:
        for i, codes in enumerate(gazetteer.codes):
            for code in codes:
                index.setdefault(code, []).append(_entry(kind, gazetteer, i))
    return index


def _kinds() -> list[tuple[str, Gazetteer]]:
    return [("town", towns()), ("port", ports()), ("airport", airports())]


def _entry(kind: str, gazetteer: Gazetteer, i: Any) -> _Entry:
    names = gazetteer.names[i], gazetteer.regions[i], gazetteer.countries[i]
    return _Entry(kind, *names, float(gazetteer.lons[i]), float(gazetteer.lats[i]))


def _candidates(name: str) -> list[_Entry]:
    """Places of a name or code. A town is preferred to airports that merely carry its name as a part of theirs."""
    if name.isupper() and name in _codes():
        return _codes()[name]
    folded = fold(name)
    wanted = re.fullmatch(r"(?:the )?(port|airport)(?: of)? (.+)|(.+) (port|airport)", folded)
    if wanted:
        kind, inner = wanted[1] or wanted[4], wanted[2] or wanted[3]
        found = [entry for entry in _names().get(inner, []) if entry.kind == kind]
        exact = [entry for entry in _names().get(folded, []) if entry.kind in (kind, "town")]
        if found or exact:
            return [*exact, *found]
    found = _names().get(folded, [])
    whole = [entry for entry in found if entry.kind != "airport"]
    return whole or found or _codes().get(name.upper(), [])


def _lies_in(entry: _Entry, part: str) -> bool:
    """Whether a place lies in a country or region."""
    code = country_code(part)
    return entry.country in (code, part.upper()) or fold(entry.region) == fold(part)


def _distinct(entries: list[_Entry]) -> list[_Entry]:
    """Without the ports and airports of a town that is there, and without doubled towns."""
    kept: list[_Entry] = []
    for entry in dict.fromkeys(entries):
        for other in kept:
            same = entry.kind == other.kind == "town"
            near = float(distance_km(entry.lon, entry.lat, other.lon, other.lat))
            if near <= (_SAME_TOWN_KM if same else _PART_OF_TOWN_KM):
                break
        else:
            kept.append(entry)
    return kept


def _similar(name: str) -> list[_Entry]:
    """Places of similar names; the first letter is taken to be right, so that few names are compared."""
    folded = fold(name)
    names = [key for key in _names() if key[:1] == folded[:1] and abs(len(key) - len(folded)) <= 3]
    close = difflib.get_close_matches(folded, names, _SUGGESTIONS, 0.75)
    return [_distinct(_names()[key])[0] for key in close]
