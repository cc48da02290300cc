"""What a statement claims: the other way round to :func:`knowlip.language.claims.parse_claims`, from the slots."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from knowlip.language.claims import Claims
from knowlip.language.definitions import BUILDING_AMOUNTS
from knowlip.language.dimensions import InstructionSet
from knowlip.language.directions import AXES
from knowlip.language.grammar.fillings import places_last
from knowlip.language.phrases import axis_word
from knowlip.language.statements import Statement
from knowlip.language.topics import CLAIMING, TARGET_TOPICS

_EVERYWHERE: Final = list(range(9))
_WIDE: Final = 7
"""Regions from which a cover is said to lie over most of the scene."""


def dimension_of(topic: str, instruction_set: str) -> str | None:
    """The sub-text that a topic is the main sentence of; None for a topic that makes no claims, or one of the other
    instruction sets."""
    of_targets = InstructionSet(instruction_set).of_targets
    return CLAIMING.get(topic) if (topic in TARGET_TOPICS) == of_targets else None


def claims_of(statement: Statement) -> Claims:
    """What a statement claims, as :func:`knowlip.language.claims.parse_claims` reads it from any of its wordings.

    Args:
        statement: of any topic; {} for those that make no claims.
    """
    if statement.topic not in CLAIMING:
        return {}
    slots: Mapping[str, Any] = {name: value for name, value in statement.slots.items() if value is not None}
    claims = _MEANINGS[statement.topic](slots)
    if statement.topic in TARGET_TOPICS and CLAIMING[statement.topic] not in ("Region", "Environment"):
        claims["category"] = slots["category"]
    return claims


def _regions(numbers: Any) -> list[int]:
    chosen = sorted(set(numbers))
    return _EVERYWHERE if len(chosen) >= _WIDE else chosen


def _cover(name: str) -> str:
    """ "land" of the land topics is what is neither water nor built up."""
    return "open land" if name == "land" else name


def _with_regions(claims: Claims, slots: Mapping[str, Any]) -> Claims:
    if slots.get("regions"):
        claims["regions"] = _regions(slots["regions"])
    return claims


def _feature(shape: str) -> Callable[[Mapping[str, Any]], Claims]:
    def meaning(slots: Mapping[str, Any]) -> Claims:
        claims: Claims = {"shape": shape}
        if "axis_deg" in slots:
            claims["axis_deg"] = AXES[axis_word(slots["axis_deg"])]
        return claims

    return meaning


def _where(slots: Mapping[str, Any]) -> Claims:
    return {"where": {_cover(name): _regions(regions) for name, regions in slots["covers"].items() if regions}}


def _around(slots: Mapping[str, Any]) -> Claims:
    claims: Claims = {"covers": [_cover(name) for name in places_last(slots["covers"])]}
    where = _where(slots)
    return claims | where if where["where"] else claims


def _terrain(slots: Mapping[str, Any]) -> Claims:
    claims: Claims = {"main": _cover(slots["main"])}
    if "second" in slots:
        claims["second"] = _cover(slots["second"])
    return claims


def _boundary(slots: Mapping[str, Any]) -> Claims:
    claims: Claims = {"between": [_cover(slots["one"]), _cover(slots["two"])]}
    if "side" in slots:
        claims["side"] = slots["side"]
    return claims


def _layout(name: str) -> Callable[[Mapping[str, Any]], Claims]:
    return lambda slots: {"layout": name, "covers": [_cover(cover) for cover in slots["covers"]]}


def _amount(name: str) -> Callable[[Mapping[str, Any]], Claims]:
    return lambda slots: _with_regions({"amount": name}, slots)


def _water(slots: Mapping[str, Any]) -> Claims:
    return _with_regions({"water": True, "shares": {"water": slots["percent"] / 100}}, slots)


_MEANINGS: Final[dict[str, Callable[[Mapping[str, Any]], Claims]]] = {
    "count": lambda slots: {"count": slots["number"]},
    "count-range": lambda slots: {"count_range": [slots["low"], slots["high"]]},
    "location": lambda slots: _with_regions({}, slots),
    "feature-elongated": _feature("elongated"),
    "feature-compact": _feature("compact"),
    "feature-cross": _feature("cross"),
    "size": lambda slots: {"length_m": float(slots["length_m"])},
    "category": lambda slots: {"types": list(slots["types"])},
    "pattern-single": lambda slots: {"pattern": "single"},
    "pattern-row": lambda slots: {"pattern": "row"},
    "pattern-cluster": lambda slots: {"pattern": "cluster"},
    "pattern-scattered": lambda slots: {"pattern": "scattered"},
    "shares": lambda slots: {"shares": {name: share / 100 for name, share in slots["shares"].items()}},
    "around": _around,
    "open-water": lambda slots: {"open_water": True},
    "terrain": _terrain,
    "land-coarse": _terrain,
    "function": lambda slots: {"function": slots["function"]},
    "where": _where,
    "layout-uniform": _layout("uniform"),
    "layout-two-part": _layout("two-part"),
    "layout-mosaic": _layout("mosaic"),
    "boundary": _boundary,
    "boundary-none": lambda slots: {"no_boundary": True},
    **{f"{word}-{name}": _amount(name) for word in ("buildings", "settlement") for name in BUILDING_AMOUNTS},
    "roads-none": lambda slots: {"roads": False},
    "roads": lambda slots: _with_regions({"roads": True}, slots),
    "water-none": lambda slots: {"water": False},
    "water": _water,
}
