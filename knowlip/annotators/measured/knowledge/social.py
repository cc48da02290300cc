"""Layer 2, social prior: what people usually do in such a place. Knowledge of the world, said as such."""

from typing import Final, Literal

from knowlip.annotators.measured.knowledge.earth import climate_topic
from knowlip.annotators.measured.knowledge.surroundings import SETTLED_KM, Near, Surroundings, surroundings_of
from knowlip.annotators.types import TileRequest
from knowlip.language.statements import Evidence, Layer, Statement, Value

Function = Literal["airport", "port", "farmland", "forest", "open water", "urban", "mixed"]

_ON_SITE_KM: Final = 8.0
"""Distance within which an airport or port of the gazetteer is taken to be the one in the tile."""
_DENSE: Final = 50
"""Places above a thousand people within 25 km from which their number is said."""
_FARMS: Final = {
    "climate-rainforest": "farm-wet-tropics",
    "climate-monsoon": "farm-wet-tropics",
    "climate-savanna": "farm-savanna",
    "climate-steppe-hot": "farm-dry",
    "climate-steppe-cold": "farm-steppe",
    "climate-desert-hot": "farm-oasis",
    "climate-desert-cold": "farm-oasis",
    "climate-subtropical": "farm-subtropical",
    "climate-oceanic": "farm-oceanic",
    "climate-highland": "farm-highland",
    "climate-mediterranean": "farm-mediterranean",
    "climate-continental": "farm-continental",
    "climate-boreal": "farm-cold",
    "climate-tundra": "farm-cold",
}
_WOODS: Final = {
    "climate-rainforest": "woods-tropical",
    "climate-monsoon": "woods-tropical",
    "climate-savanna": "woods-dry",
    "climate-steppe-hot": "woods-dry",
    "climate-subtropical": "woods-subtropical",
    "climate-oceanic": "woods-temperate",
    "climate-mediterranean": "woods-mediterranean",
    "climate-continental": "woods-temperate",
    "climate-boreal": "woods-boreal",
}


def statements(request: TileRequest, function: Function) -> list[Statement]:
    """What such an area serves and how densely people live around it, what is most worth saying first.

    Args:
        request: the tile; a place that is not known leaves what holds of all such areas.
        function: what the area seems to serve.
    """
    place = surroundings_of(request)
    found = [_use(function, place)]
    if place is not None:
        found += _settled(place)
    found += [_said(topic) for topic in _EVERYWHERE[function]]
    return found


_EVERYWHERE: Final[dict[Function, tuple[str, ...]]] = {
    "airport": ("airport-routine",),
    "port": ("port-routine",),
    "farmland": ("farm-routine",),
    "forest": ("woods-routine",),
    "open water": ("water-routine",),
    "urban": ("urban-routine",),
    "mixed": ("mixed-routine",),
}


def _use(function: Function, place: Surroundings | None) -> Statement:
    """What an area of this function is used for, as closely as its place tells."""
    if function == "airport":
        near = _on_site(place.airports) if place else None
        named = near is not None and near.kind in ("international", "military")
        return _said(f"use-airport-{near.kind}" if near and named else "use-airport")
    if function == "port":
        return _said(_port_use(place))
    climate = climate_topic(place) if place else ""
    if function == "farmland":
        return _said(_FARMS.get(climate, "use-farm"))
    if function == "forest":
        return _said(_WOODS.get(climate, "use-woods"))
    if function == "open water":
        return _said(_water_use(place))
    if function == "urban":
        big = place is not None and place.principal is not None and place.principal.km <= 20.0
        return _said("use-metropolis" if big else "use-town")
    return _said("use-mixed")


def _port_use(place: Surroundings | None) -> str:
    """By the liner services of the port with most of them around; a port without any in the gazetteer may be big."""
    near = [port for port in place.ports if port.kind != "inland"] if place else []
    for kind in ("hub", "liner"):
        ranked = [port.km for port in near if port.kind == kind]
        if ranked:
            return f"use-port-{kind}" if min(ranked) <= 2 * _ON_SITE_KM else "use-port"
    return "use-port"


def _on_site(airports: tuple[Near, ...]) -> Near | None:
    return airports[0] if airports and airports[0].km <= _ON_SITE_KM else None


def _water_use(place: Surroundings | None) -> str:
    """Where a port is near, ships wait and turn; near the sea, coastal traffic; far inland, a lake or river."""
    if place is None:
        return "use-water"
    if any(port.kind in ("hub", "liner") and port.km <= 30.0 for port in place.ports):
        return "use-roadstead"
    if place.coast.km < -100.0:
        return "use-ocean"
    if place.at_sea or place.coast.km <= 5.0:
        return "use-sea"
    return "use-inland-water" if place.coast.km > 60.0 else "use-water"


def _settled(place: Surroundings) -> list[Statement]:
    """How many towns are around, where they are many: few in the gazetteer do not mean few people."""
    if place.at_sea:
        return []
    if place.settlements >= _DENSE:
        return [_said("settled-dense", "geo", n=place.settlements, radius=int(SETTLED_KM))]
    lonely = place.settlements == 0 and place.principal is None
    return [_said("settled-none", "geo", radius=int(SETTLED_KM))] if lonely else []


def _said(topic: str, evidence: Evidence = "prior", **slots: Value) -> Statement:
    return Statement(topic, slots, evidence, Layer.SOCIAL)
