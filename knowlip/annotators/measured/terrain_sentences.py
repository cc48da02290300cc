"""The eight sentences of the terrain instruction set."""

from collections.abc import Callable
from typing import Final

import numpy as np

from knowlip.annotators.measured.evidence import TileEvidence
from knowlip.annotators.measured.lines import running
from knowlip.annotators.types import SubText
from knowlip.language.definitions import (
    BUILDING_AMOUNTS,
    adjacent,
    cover_share,
    layout_margins,
    layout_shares,
    regions_with,
    side_of,
)
from knowlip.language.dimensions import DIMENSIONS, InstructionSet
from knowlip.language.phrases import COVER_NAME, in_regions, percent, region_phrase, side_phrase
from knowlip.language.statements import Evidence

_SOME: Final = 0.07
"""Smallest share that is worth a word."""
_CLEARLY: Final = 1.3
"""A region is named when its share exceeds by this factor what the word asks for."""
_ONE_SIDE: Final = 0.25
"""Distance of two centres of mass, in regions, from which one cover is said to lie on a side of the other."""
_TERRAIN_NAME: Final[dict[str, str]] = {
    "water": "open water surface",
    "field": "flat farmland with fields",
    "wood": "woodland",
    "built-up": "built-up land",
    "airfield": "level airfield ground",
    "quay": "port land with quays",
}
_FUNCTION_TEXT: Final[dict[str, str]] = {
    "airport": "airport area for air transport",
    "port": "port area for shipping and cargo",
    "farmland": "agricultural area with farmland",
    "forest": "forest area with natural vegetation",
    "open water": "open water area",
    "urban": "urban area with residential and commercial use",
    "mixed": "mixed area without one main use",
}


def terrain_sentences(evidence: TileEvidence, near: str, inherited: str | None) -> tuple[SubText, ...]:
    """Write the eight sub-texts about the land.

    Args:
        evidence: what was seen.
        near: a place phrase such as "near a port", "" for none; it ends up in Functionality.
        inherited: function of the larger tile around this one (a key of the functions that texts know), None unknown.
    """
    function, source, sure = function_of(evidence, inherited)
    functionality = _FUNCTION_TEXT[function] + (f", {near}" if near else "")
    written: list[tuple[str, str, float, Evidence]] = [("Functionality", functionality, sure, source)]
    for dimension, write in _WRITERS.items():
        text, confidence = write(evidence)
        written.append((dimension, text, confidence, "visual"))
    order = DIMENSIONS[InstructionSet.TERRAIN].index
    written.sort(key=lambda one: order(one[0]))
    return tuple(SubText(dimension, text, _bounded(confidence), by) for dimension, text, confidence, by in written)


def _bounded(value: float) -> float:
    return round(min(1.0, max(0.0, value)), 3)


def _margin(larger: float, smaller: float) -> float:
    """0.5 for a tie, towards 1 as the gap grows."""
    return min(1.0, 0.5 + 2.0 * (larger - smaller))


def function_of(evidence: TileEvidence, inherited: str | None) -> tuple[str, Evidence, float]:
    """What the area serves: (function, where the knowledge comes from, confidence).

    What is seen decides where it is clear; the larger tile's function decides where this tile shows nothing against it.
    """
    forms = evidence.landforms
    pavement = cover_share("pavement", evidence.shares)
    seen = {
        "airport": 4.0 * pavement,
        "port": 4.0 * forms["quay"],
        "farmland": forms["field"],
        "forest": forms["wood"],
        "open water": 0.9 * forms["water"],
        "urban": 1.2 * forms["built-up"],
    }
    least = {"airport": 0.08, "port": 0.08, "farmland": 0.3, "forest": 0.3, "open water": 0.54, "urban": 0.24}
    seen = {name: score if score >= least[name] else 0.0 for name, score in seen.items()}
    seen["mixed"] = 0.1
    best = max(seen, key=lambda name: seen[name])
    if inherited in ("port", "airport") and best != inherited and seen[inherited] >= 0.1:
        return str(inherited), "parent", 0.6
    rest = max(score for name, score in seen.items() if name != best)
    sure = evidence.sure(*[name for name, share in forms.items() if share >= _SOME])
    if inherited == best:
        return best, "visual", min(1.0, 0.2 + _margin(seen[best], rest) * sure)
    return best, "visual", _margin(seen[best], rest) * sure


def _terrain(evidence: TileEvidence) -> tuple[str, float]:
    names = list(evidence.landforms)
    shares = list(evidence.landforms.values())
    confidence = _margin(shares[0], shares[1]) * evidence.sure(names[0])
    text = f"mainly {_TERRAIN_NAME[names[0]]}"
    if shares[1] >= 0.1:
        text += f", with {'some' if shares[1] < 0.25 else 'extensive'} {COVER_NAME[names[1]]}"
    if confidence < 0.5:
        text = f"possibly {text}"
    return text, confidence


def _places(name: str, evidence: TileEvidence) -> list[int]:
    """Regions that clearly hold a cover, strongest first, at most three unless it is nearly everywhere."""
    share = {region: cover_share(name, evidence.grid[region]) for region in range(9)}
    held = sorted(regions_with(name, evidence.land), key=lambda region: -share[region])
    if len(held) >= 7:
        return held
    least = _CLEARLY * max(0.02, min(0.25, cover_share(name, evidence.shares)))
    return [region for region in held[:3] if share[region] >= least] or held[:1]


def _distribution(evidence: TileEvidence) -> tuple[str, float]:
    names = [name for name, share in evidence.landforms.items() if share >= _SOME][:2] or list(evidence.landforms)[:1]
    parts = [f"{COVER_NAME[name]} {in_regions(places)}" for name in names if (places := _places(name, evidence))]
    if not parts:
        parts = [f"{COVER_NAME[names[0]]} over most of the scene"]
    return ", ".join(parts), 0.9 * evidence.sure(*names)


def _layout(evidence: TileEvidence) -> tuple[str, float]:
    """The layout whose conditions are met by the widest margin."""
    margins = layout_margins(*layout_shares(evidence.shares))
    layout = max(margins, key=lambda name: margins[name])
    one, two, three = (COVER_NAME[name] for name in list(evidence.landforms)[:3])
    text = {
        "uniform": f"one continuous expanse of {one}",
        "two-part": f"split into two parts, {one} and {two}",
        "mosaic": f"mosaic of {one}, {two} and {three}",
    }[layout]
    return text, _sure(margins[layout])


def _sure(margin: float) -> float:
    """0.6 where a claim's condition is just met, towards 0.95 with the margin."""
    return 0.6 + 0.35 * float(np.clip(margin, -1.0, 1.0))


def _boundary(evidence: TileEvidence) -> tuple[str, float]:
    _, second, _ = layout_shares(evidence.shares)
    names = list(evidence.landforms)
    pairs = [(names[0], other) for other in names[1:] if evidence.landforms[other] >= _SOME]
    pairs = [pair for pair in pairs if adjacent(*pair, evidence.land)]
    if second < 0.10 or not pairs:
        return "no clear boundary inside the scene", _sure((0.15 - second) / 0.05)
    one, other = (pairs[0][1], pairs[0][0]) if pairs[0][1] == "water" else pairs[0]
    edge = "shoreline" if one == "water" else "edge"
    text = f"{edge} between {COVER_NAME[one]} and {COVER_NAME[other]}"
    if side := side_of(one, other, evidence.land, _ONE_SIDE):
        text += f", {COVER_NAME[one]} {side_phrase(side)}"
    return text, _sure((min(evidence.landforms[one], evidence.landforms[other]) - 0.06) / 0.15)


def _buildings(evidence: TileEvidence) -> tuple[str, float]:
    share = cover_share("built-up", evidence.shares)
    amount = next(name for name, (low, high) in BUILDING_AMOUNTS.items() if low <= share < high)
    sure = evidence.sure("built-up")
    if amount == "none":
        return "no buildings are visible in the scene", sure
    places = _places("built-up", evidence)
    text = {"few": "few scattered buildings", "some": "some buildings", "many": "many dense buildings"}[amount]
    if not places:
        return f"{text} in the scene", 0.9 * sure
    if len(places) >= 7:
        return f"{text} over {region_phrase(places)}", 0.9 * sure
    return f"{text}, mostly {in_regions(places)}", 0.9 * sure


def _roads(evidence: TileEvidence) -> tuple[str, float]:
    share = cover_share("road", evidence.shares)
    sure = evidence.sure("road")
    if share < 0.01:
        return "no clear road is visible", min(0.8, sure)
    places = _places("road", evidence)
    kind = "a road crosses" if share < 0.03 else "several roads cross"
    ending = running(evidence.axes.get("road"), "mainly running")
    if not places:
        return f"{kind} the scene{ending}", 0.8 * sure
    return f"{kind} {region_phrase(places) if len(places) >= 7 else 'the ' + region_phrase(places)}{ending}", sure


def _water(evidence: TileEvidence) -> tuple[str, float]:
    share = cover_share("water", evidence.shares)
    sure = evidence.sure("water")
    if share < 0.03:
        return "no open water is visible", sure
    covered = f"about {max(5, percent(share))} percent of the scene"
    places = _places("water", evidence)
    if not places or len(places) >= 7:
        return f"water covers {covered}", sure
    return f"water covers {covered}, {in_regions(places)}", sure


_WRITERS: Final[dict[str, Callable[[TileEvidence], tuple[str, float]]]] = {
    "Terrain": _terrain,
    "Distribution": _distribution,
    "Layout": _layout,
    "Boundary": _boundary,
    "Buildings": _buildings,
    "Roads": _roads,
    "Water": _water,
}
