"""Layer 1, earth cognition: where on Earth the tile lies."""

import math
from collections.abc import Sequence
from typing import Final

from knowlip.annotators.measured.evidence import TileEvidence
from knowlip.annotators.measured.knowledge.surroundings import Near, Surroundings, rounded_km, surroundings_of
from knowlip.annotators.types import TileRequest
from knowlip.language.definitions import PRESENT, cover_share
from knowlip.language.statements import Layer, Statement, Value

AIRPORT_SAID_KM: Final = 25.0
PORT_SAID_KM: Final = 25.0
"""Distances within which an airport or a port is named."""
REMOTE_KM: Final = 25.0
"""Distance to the nearest town from which a place is called remote."""
SHORE_KM: Final = 5.0
"""Distance to the sea within which a place is on the coast: the map knows it to 4 km."""
_CLOSE_KM: Final = 4.0
"""Distance to the point of an airport or port below which the tile may lie within it: no number is said."""
_ALL_WATER: Final = 0.85
COAST_SAID_KM: Final = 60.0
"""Distance up to which the sea is part of what is said before all else."""

_CLIMATES: Final = {
    "climate-rainforest": "Af",
    "climate-monsoon": "Am",
    "climate-savanna": "Aw As",
    "climate-steppe-hot": "BSh",
    "climate-steppe-cold": "BSk",
    "climate-desert-hot": "BWh",
    "climate-desert-cold": "BWk",
    "climate-subtropical": "Cfa Cwa",
    "climate-oceanic": "Cfb Cfc",
    "climate-highland": "Cwb Cwc",
    "climate-mediterranean": "Csa Csb Csc",
    "climate-continental": "Dfa Dfb Dwa Dwb Dsa Dsb",
    "climate-boreal": "Dfc Dfd Dwc Dwd Dsc Dsd",
    "climate-tundra": "ET",
    "climate-ice": "EF",
}
_CLIMATE_OF: Final = {zone: topic for topic, zones in _CLIMATES.items() for zone in zones.split()}
_TROPICS: Final = 25.0
_BELTS: Final = (
    (8.0, "latitude-equatorial"),
    (23.4, "latitude-tropical"),
    (35.0, "latitude-subtropical"),
    (57.0, "latitude-middle"),
    (66.6, "latitude-high"),
    (90.1, "latitude-polar"),
)
"""Absolute latitude up to which a belt reaches -> its topic."""


def statements(request: TileRequest) -> list[Statement]:
    """What is known of the place, what is most worth saying first; nothing where the place is not known."""
    place = surroundings_of(request)
    if place is None:
        return []
    port = _port(place)
    first = [_airport(place), port] if _is_nearer(place.airport, place.port) else [port, _airport(place)]
    found = [
        *first,
        _country(place),
        _town(place),
        *_coast(place),
        _said(topic) if (topic := climate_topic(place)) else None,
        _principal(place),
        _said("place-part", part=place.part) if place.part else None,
        _said(next(topic for limit, topic in _BELTS if abs(place.lat) < limit)),
        _utm_zone(place),
    ]
    return [statement for statement in found if statement is not None]


def fitting(known: Sequence[Statement], evidence: TileEvidence) -> list[Statement]:
    """What of a place is worth saying beside what was seen.

    Args:
        known: of :func:`statements`.
        evidence: what was seen: airports go with aircraft and airfield ground, ports and seas with water.
    """
    flying = evidence.category == "aircraft" or evidence.landforms.get("airfield", 0.0) >= PRESENT
    water = cover_share("water", evidence.shares)
    sailing = water >= PRESENT and evidence.category != "aircraft"
    found = []
    for one in known:
        if (one.topic.startswith("airport-") and not flying) or (one.topic.startswith("port-") and not sailing):
            continue
        if one.topic == "sea-name" and water < PRESENT:
            continue
        if one.topic in ("coast-near", "coast-inland") and water >= _ALL_WATER:
            continue
        if one.topic == "coast-offshore" and water < _ALL_WATER:
            continue
        found.append(one)
    return found


def climate_topic(place: Surroundings) -> str:
    """The topic of a place's climate; "" at sea."""
    topic = _CLIMATE_OF.get(place.climate, "")
    # Within the tropics it is altitude, not the ocean, that makes a temperate climate.
    return "climate-highland" if topic == "climate-oceanic" and abs(place.lat) < _TROPICS else topic


def _said(topic: str, **slots: Value) -> Statement:
    return Statement(topic, {name: value for name, value in slots.items() if value is not None}, "geo", Layer.EARTH)


def _is_nearer(one: Near | None, other: Near | None) -> bool:
    return other is None or (one is not None and one.km <= other.km)


def _country(place: Surroundings) -> Statement | None:
    if not place.country:
        return None
    if place.neighbour:
        return _said("place-border", country=place.country, neighbour=place.neighbour)
    if place.region and place.region != place.country:
        return _said("place-region", region=place.region, country=place.country)
    return _said("place-country", country=place.country)


def _town(place: Surroundings) -> Statement | None:
    town = place.town
    if town is None:
        return None
    if town.name == place.country or town.name in place.region:  # its point says nothing of how far it reaches
        return None
    km = rounded_km(town.km)
    if km is None:
        return _said("town-in", city=town.name)
    return _said("town-remote" if town.km >= REMOTE_KM else "town-near", city=town.name, km=km)


def _principal(place: Surroundings) -> Statement | None:
    city = place.principal
    if city is None or (place.town is not None and city.name == place.town.name):
        return None
    if city.name == place.country or city.name in place.region:
        return None
    km = rounded_km(city.km)
    return _said("city-principal", city=city.name, km=km) if km else _said("city-principal-in", city=city.name)


def _airport(place: Surroundings) -> Statement | None:
    """The nearest airport within 2 km, else the most important one that is not twice as far as the nearest."""
    near = [airport for airport in place.airports if airport.km <= AIRPORT_SAID_KM]
    if not near:
        return None
    rank = ("international", "civil", "military", "field")
    candidates = [airport for airport in near if airport.km <= max(2.0, 2.0 * near[0].km)]
    chosen = near[0] if near[0].km <= 2.0 else min(candidates, key=lambda airport: rank.index(airport.kind))
    return _said(f"airport-{chosen.kind}", airport=chosen.name, km=_far(chosen))


def _far(near: Near) -> str | None:
    return rounded_km(near.km) if near.km >= _CLOSE_KM else None


def _port(place: Surroundings) -> Statement | None:
    """The nearest port within 2 km, else the one with most links that is not thrice as far as the nearest. Of inland
    "ports", many of which are depots for trains, only near ones are named."""
    near = [port for port in place.ports if port.km <= (PORT_SAID_KM if port.kind != "inland" else 5.0)]
    if not near:
        return None
    candidates = [port for port in near if port.km <= max(2.0, 3.0 * near[0].km)]
    chosen = max(candidates, key=lambda port: (port.links, -port.km))
    slots: dict[str, Value] = {"port": chosen.name, "km": _far(chosen)}
    if chosen.kind == "hub":
        slots |= {"links": chosen.links}
    return _said(f"port-{chosen.kind}", **slots)


def _coast(place: Surroundings) -> list[Statement]:
    """How the place lies to the sea, and which sea it is."""
    # Towns tell where the map is wrong: new land and small islands are sea there.
    km, settled = place.coast.km, place.town is not None and place.town.km < 5.0
    found = []
    if km < -SHORE_KM and settled:
        return []
    if abs(km) <= SHORE_KM:
        found.append(_said("coast-shore"))
    elif math.isinf(km):
        found.append(_said("coast-inland" if km > 0 else "coast-ocean"))
    else:
        found.append(_said("coast-near" if km > 0 else "coast-offshore", km=rounded_km(abs(km))))
    if place.sea and km <= COAST_SAID_KM:
        found.insert(0 if km < 0 else len(found), _said("sea-name", sea=place.sea))
    if place.coast.island and km > -SHORE_KM:
        found.append(_said("coast-island"))
    return found


def _utm_zone(place: Surroundings) -> Statement | None:
    """The zone of UTM where it is the plain one: not at the poles, nor where Norway shifts it."""
    if not -80.0 <= place.lat <= 56.0:
        return None
    return _said("utm-zone", zone=str(int((place.lon + 180.0) // 6.0) % 60 + 1))
