"""Which cities of the world are worth a scene: ports, airports and dense towns, spread over the Earth.

GeoNames as bundled has no populations, so a city is a town that an airport or a sea port is named after, and its
importance is read from what lies around it. Every number is a function of the gazetteers alone: the same packages give
the same cities.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from knowlip.tiles.gazetteers import (
    airports,
    chord,
    distance_km,
    metropolitan_airports,
    ports,
    principal_cities,
    towns,
    unit_vectors,
)
from knowlip.tiles.places import fold

PORT_KM, AIRPORT_KM, TOWNS_KM = 30.0, 40.0, 30.0
"""How near a port, an airport and other towns belong to a city."""
_NAMED_KM = 60.0
_MANY_LINKS, _MANY_AIRPORTS, _MANY_TOWNS, _MUCH_NAMED = 80, 4, 150, 8
"""What scores 1: countries linked to a port, airports, towns, things named after a city."""
_SUBURB_KM = 40.0
_COUNTRY_SHARE = 8.0
"""With this many cities chosen in a country, its other cities count half."""


@dataclass(frozen=True)
class Candidates:
    """Cities of the world, (N,) each."""

    town: NDArray[np.intp]  # Index into :func:`knowlip.tiles.gazetteers.towns`.
    port: NDArray[np.intp]  # Its most linked port within 30 km, or -1.
    airport: NDArray[np.intp]  # Its main airport within 40 km, or -1.
    port_score: NDArray[np.float64]  # log(1 + countries linked to the port) / log(81), at most 1.
    airport_score: NDArray[np.float64]  # Half for an international airport, half for four airports or more.
    urban_score: NDArray[np.float64]  # log(1 + towns within 30 km) / log(151), at most 1.
    name_score: NDArray[np.float64]
    """How much is named after the city, out of 8, at most 1: 1 for each airport, 1 to 3 for a port by its links, 3 for
    being a metropolis with several airports or the city of a time zone, 1 for being named as its region."""

    def score(self, theme: str) -> NDArray[np.float64]:
        """Importance, 0 to 1: two thirds the theme and one third the name, or the mean of all four for ""."""
        scores = {"port": self.port_score, "airport": self.airport_score, "urban": self.urban_score}
        if not theme:
            return np.asarray(np.mean([*scores.values(), self.name_score], axis=0))
        return np.where(scores[theme] > 0, (2 * scores[theme] + self.name_score) / 3, 0.0)


@cache
def candidates() -> Candidates:
    """Towns that an airport with an IATA code serves by name or that a port is named after, without suburbs."""
    t, a, p = towns(), airports(), ports()
    named = _named_after()
    chosen = _without_suburbs(named)
    points = unit_vectors(t.lons[chosen], t.lats[chosen])
    count = np.array([len(near) for near in t.tree.query_ball_point(points, chord(TOWNS_KM))])
    port, airport = np.full(len(chosen), -1, np.intp), np.full(len(chosen), -1, np.intp)
    port_score, airport_score = np.zeros(len(chosen)), np.zeros(len(chosen))
    major = np.array(["international" in name.lower() for name in a.names])
    major |= np.array([bool(metropolitan_airports().intersection(codes)) for codes in a.codes])
    for i, near in enumerate(p.tree.query_ball_point(points, chord(PORT_KM))):
        if near:
            port[i] = min(near, key=lambda k: (-p.weights[k], _to(points[i], p.lons[k], p.lats[k]), k))
            port_score[i] = min(1.0, float(np.log1p(p.weights[port[i]]) / np.log1p(_MANY_LINKS)))
    for i, near in enumerate(a.tree.query_ball_point(points, chord(AIRPORT_KM))):
        coded = [k for k in near if a.weights[k]]
        if coded:
            airport[i] = min(coded, key=lambda k: (not major[k], _to(points[i], a.lons[k], a.lats[k]), k))
            airport_score[i] = 0.5 * major[airport[i]] + 0.5 * min(1.0, len(coded) / _MANY_AIRPORTS)
    urban_score = np.minimum(1.0, np.log1p(count) / np.log1p(_MANY_TOWNS))
    name_score = np.minimum(1.0, np.array([named[i] for i in chosen.tolist()]) / _MUCH_NAMED)
    return Candidates(chosen, port, airport, port_score, airport_score, urban_score, name_score)


def _to(point: NDArray[np.float64], lon: ArrayLike, lat: ArrayLike) -> float:
    return float(np.linalg.norm(point - unit_vectors(lon, lat)))


def _named_after() -> dict[int, float]:
    """Town -> how much is named after it (see `Candidates.name_score`). Of the towns of one name within 60 km of an
    airport or port, the nearest is meant."""
    t = towns()
    named: dict[tuple[str, str], list[int]] = {}
    for i, name in enumerate(t.names):
        named.setdefault((t.countries[i], _plain(name)), []).append(i)
    principal = {(country, _plain(name)) for country, name in principal_cities()}
    found: dict[int, float] = {}
    for gazetteer in (airports(), ports()):
        for k, name in enumerate(gazetteer.serves):
            key = (gazetteer.countries[k], _plain(name))
            same = named.get(key, [])
            if not same or (gazetteer is airports() and not gazetteer.weights[k]):
                continue
            far = distance_km(gazetteer.lons[k], gazetteer.lats[k], t.lons[same], t.lats[same])
            if far.min() <= _NAMED_KM:
                town = same[int(np.argmin(far))]
                if town not in found:
                    found[town] = 3.0 * (key in principal) + (_plain(t.regions[town]) == key[1])
                links = gazetteer.weights[k] if gazetteer is ports() else 0.0
                found[town] += 1.0 + 2.0 * min(1.0, float(np.log1p(links) / np.log1p(_MANY_LINKS)))
    return found


def _without_suburbs(named: dict[int, float]) -> NDArray[np.intp]:
    """Towns without those that lie within 40 km of one that more is named after; in the gazetteer's order."""
    t = towns()
    town = np.array(sorted(named), np.intp)
    weight = np.array([named[i] for i in town])
    points = unit_vectors(t.lons[town], t.lats[town])
    free = np.ones(len(town), bool)
    kept = []
    for i in np.argsort(-weight, kind="stable"):
        if free[i]:
            kept.append(town[i])
            free &= np.linalg.norm(points - points[i], axis=1) > chord(_SUBURB_KM)
    return np.array(sorted(kept), np.intp)


def _plain(name: str) -> str:
    """ "New York City" and "New York" are one."""
    return fold(name).removesuffix(" city")


def pick(allowed: NDArray[np.bool_], theme: str, number: int, min_distance_km: float) -> list[int]:
    """Choose cities one by one: each time the most important one that is far enough from those chosen, where the
    importance of a country's cities falls with the number of them chosen already.

    Args:
        allowed: (N,) candidates that may be chosen.
        theme: "port", "airport", "urban" or "" for all three.
        number: how many.
        min_distance_km: smallest distance between two of them.

    Returns:
        Indices into :func:`candidates`, in the order of choice; fewer than `number` where no more fit.
    """
    t, all_of_them = towns(), candidates()
    lons, lats = t.lons[all_of_them.town], t.lats[all_of_them.town]
    countries = np.array([t.countries[i] for i in all_of_them.town])
    score = all_of_them.score(theme)
    free = allowed & (score > 0)
    taken = dict.fromkeys(countries.tolist(), 0)
    chosen: list[int] = []
    # equally important cities: more towns around first, then in the order of the gazetteer
    tie = all_of_them.urban_score * 1e-6
    while len(chosen) < number and free.any():
        share = np.array([_COUNTRY_SHARE / (_COUNTRY_SHARE + taken[code]) for code in countries])
        best = int(np.argmax(np.where(free, score * share + tie, -1.0)))
        chosen.append(best)
        taken[str(countries[best])] += 1
        free &= distance_km(lons, lats, lons[best], lats[best]) >= max(min_distance_km, 1e-6)
        free[best] = False
    return chosen
