"""Statements drawn by chance: with them it is checked that a wording is read back as what it says."""

import random
import re
from collections.abc import Callable, Mapping
from typing import Final

from knowlip.base.vocabulary import AIRCRAFT_TYPES, LANDFORMS, SHIP_TYPES
from knowlip.language.definitions import BUILDING_AMOUNTS
from knowlip.language.dimensions import InstructionSet
from knowlip.language.directions import AXES
from knowlip.language.statements import Statement, Value
from knowlip.language.topics import CLAIMING, TARGET_TOPICS
from knowlip.language.wordings import Wording

_AMONG: Final = {
    "ship": ("water", "field", "wood", "built-up", "quay"),
    "aircraft": ("airfield", "grass", *LANDFORMS[:4]),
}
_COARSE: Final = ("water", "built-up", "land")
_FUNCTIONS: Final = ("airport", "port", "farmland", "forest", "open water", "urban", "mixed")
_SIDES: Final = ((0, 1, 2), (6, 7, 8), (0, 3, 6), (2, 5, 8))
_NAMES: Final = ("Kiel", "St Louis", "Las Palmas", "Haifa", "Two Rivers")
Slots = dict[str, Value]


def sampled(topic: str, chance: random.Random) -> Statement:
    """A statement of a topic that makes claims, with values as annotators give them.

    Raises:
        KeyError: the topic makes no claims.
    """
    category = chance.choice(tuple(_AMONG))
    slots: Slots = {"category": category, "one": chance.random() < 0.4} if topic in TARGET_TOPICS else {}
    return Statement(topic, slots | _SAMPLERS[topic](chance, category, bool(slots.get("one"))))


def named(wording: Wording, topic: str, chance: random.Random) -> Statement:
    """A statement that fills the slots of any wording: with names, and numbers where a unit stands behind them."""
    slots: Slots = {slot: value for slot, value in wording.when.items() if value is not False}
    for slot in wording.slots:
        numeric = slot in ("number", "km", "metres", "percent", "degrees") or re.search(
            rf"{{{slot}}} (?:k|m |deg)", wording.text
        )
        slots[slot] = chance.choice((3, 12, 250)) if numeric else chance.choice(_NAMES)
    return Statement(topic, slots | ({"category": "ship"} if wording.slots & {"category", "categories"} else {}))


def set_of(statement: Statement) -> InstructionSet:
    """An instruction set that the statement's topic belongs to."""
    if statement.topic not in TARGET_TOPICS:
        return InstructionSet.TERRAIN
    return InstructionSet.GROUND if statement.slots["category"] == "aircraft" else InstructionSet.MARINE


def _regions(chance: random.Random) -> list[int]:
    if chance.random() < 0.2:
        return list(chance.choice(_SIDES))
    return sorted(chance.sample(range(9), chance.choice((1, 1, 1, 2, 2, 3, 7, 9))))


def _maybe_regions(chance: random.Random) -> list[int]:
    return _regions(chance) if chance.random() < 0.6 else []


def _axis(chance: random.Random) -> float | None:
    return chance.choice((None, *AXES.values()))


def _number(chance: random.Random, category: str, one: bool) -> Slots:
    return {"number": chance.randint(1, 30), "one": False}


def _range(chance: random.Random, category: str, one: bool) -> Slots:
    low = chance.randint(1, 20)
    high = low + chance.randint(1, 8)
    return {"low": low, "high": high, "next": high == low + 1, "one": False}


def _location(chance: random.Random, category: str, one: bool) -> Slots:
    return {"regions": _regions(chance), "most": not one and chance.random() < 0.5}


def _elongated(chance: random.Random, category: str, one: bool) -> Slots:
    return {"category": "ship", "axis_deg": _axis(chance)}


def _types(chance: random.Random, category: str, one: bool) -> Slots:
    table = SHIP_TYPES if category == "ship" else AIRCRAFT_TYPES
    return {"types": chance.sample([kind.name for kind in table], 1 if one else chance.choice((1, 2)))}


def _shares(chance: random.Random, category: str, one: bool) -> Slots:
    first, second = ("water", "land") if category == "ship" else ("pavement", "grass")
    share = chance.randrange(10, 101, 10)
    both = chance.random() < 0.7 and share < 100
    return {
        "shares": {first: share, second: 100 - share} if both else {first: share},
        "axis_deg": _axis(chance) if category == "aircraft" else None,
        "full": share == 100,
        "one": False,
    }


def _around(chance: random.Random, category: str, one: bool) -> Slots:
    return {
        "covers": {name: _maybe_regions(chance) for name in chance.sample(_AMONG[category], chance.choice((1, 2, 3)))}
    }


def _covers(chance: random.Random, number: int) -> list[str]:
    return chance.sample(LANDFORMS if chance.random() < 0.7 else _COARSE, number)


def _layout(number: int) -> "Callable[[random.Random, str, bool], Slots]":
    return lambda chance, category, one: {"covers": _covers(chance, number)}


def _terrain(chance: random.Random, category: str, one: bool) -> Slots:
    main, second = chance.sample(LANDFORMS, 2)
    return {"main": main} | _second(second, chance)


def _coarse(chance: random.Random, category: str, one: bool) -> Slots:
    main, second = chance.sample(_COARSE, 2)
    return {"main": main} | _second(second, chance)


def _second(name: str, chance: random.Random) -> Slots:
    return {"second": name, "extent": chance.choice(("some", "extensive"))} if chance.random() < 0.6 else {}


def _pattern(chance: random.Random, category: str, one: bool) -> Slots:
    return {"two": chance.random() < 0.3, "one": False}


def _water(chance: random.Random, category: str, one: bool) -> Slots:
    percent = chance.randrange(5, 101, 5)
    return {"percent": percent, "full": percent == 100} | (_placed(chance, category, one) if percent < 100 else {})


def _boundary(chance: random.Random, category: str, one: bool) -> Slots:
    first, second = _covers(chance, 2)
    return {"one": first, "two": second, "side": chance.choice((None, "left", "right", "above", "below"))}


def _placed(chance: random.Random, category: str, one: bool) -> Slots:
    return {"regions": _maybe_regions(chance)}


def _roads(chance: random.Random, category: str, one: bool) -> Slots:
    return {"regions": _maybe_regions(chance), "axis_deg": _axis(chance), "several": chance.random() < 0.5}


_AMOUNTS: Final = tuple(name for name in BUILDING_AMOUNTS if name != "none")
_SAMPLERS: Final[Mapping[str, Callable[[random.Random, str, bool], Slots]]] = {
    **dict.fromkeys(CLAIMING, lambda chance, category, one: {}),
    "count": _number,
    "count-range": _range,
    "location": _location,
    "feature-elongated": _elongated,
    "feature-cross": lambda chance, category, one: {"category": "aircraft"},
    "size": lambda chance, category, one: {"length_m": chance.choice((5, 15, 25, 60, 120, 240, 310))},
    "category": _types,
    **dict.fromkeys(("pattern-row", "pattern-cluster", "pattern-scattered"), _pattern),
    "shares": _shares,
    "around": _around,
    "open-water": lambda chance, category, one: {"category": "ship"},
    "terrain": _terrain,
    "land-coarse": _coarse,
    "function": lambda chance, category, one: {"function": chance.choice(_FUNCTIONS)},
    "where": lambda chance, category, one: {"covers": {name: _regions(chance) for name in _covers(chance, 2)}},
    "layout-uniform": _layout(1),
    "layout-two-part": _layout(2),
    "layout-mosaic": _layout(3),
    "boundary": _boundary,
    **{f"{kind}-{name}": _placed for kind in ("buildings", "settlement") for name in _AMOUNTS},
    "roads": _roads,
    "water": _water,
}
