"""What is said of the land: one statement for each dimension of the terrain instruction set."""

from collections.abc import Callable
from typing import Final

import numpy as np

from knowlip.annotators.measured.evidence import TileEvidence
from knowlip.annotators.measured.land_statements import SOME, boundary, bounded, main_slots, of_margin, water
from knowlip.annotators.measured.lines import worth_a_word
from knowlip.language.definitions import (
    building_amount,
    cover_share,
    layout_margins,
    layout_shares,
    regions_with,
)
from knowlip.language.statements import Evidence, Layer, Slots, Statement

_SHORE: Final = 0.03
"""Smallest share of water that is told, and with which quays are those of a port."""
_HALF: Final = 0.5
"""Of the score of the use that is seen best, what the larger tile's use must reach in this one to be told."""
_CLEARLY: Final = 1.3
"""A region is named when its share exceeds by this factor what the word asks for."""
_NO_ROAD_BELOW: Final = 0.004
_ROAD_FROM: Final = 0.006
"""Shares of road that are seen: below the first there is none, from the second there is one."""
_ROAD_PLACED_FROM: Final = 0.02
"""Share of road from which its place is told."""
_NO_ROAD: Final = ((0.0005, 0.0015, 0.003), (0.95, 0.84, 0.81))
_ROAD: Final = ((0.005, 0.007, 0.0115, 0.018, 0.025, 0.04, 0.075), (0.5, 0.65, 0.73, 0.79, 0.91, 0.94, 0.99))
"""How often there was none, or one, by the share that was seen: on scenes that nothing was fitted on or is measured
on."""


def terrain_statements(evidence: TileEvidence, inherited: str | None) -> dict[str, Statement]:
    """What is said under each dimension.

    Args:
        evidence: what was seen.
        inherited: function of the larger tile around this one (a key of the functions that texts know), None unknown.
    """
    function, source, sure = function_of(evidence, inherited)
    return {
        "Terrain": _terrain(evidence),
        "Functionality": Statement("function", {"function": function}, evidence=source, confidence=bounded(sure)),
        **{dimension: write(evidence) for dimension, write in _WRITERS.items()},
    }


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
        "port": 4.0 * forms["quay"] if forms["water"] >= _SHORE else 0.0,
        "farmland": forms["field"],
        "forest": forms["wood"],
        "open water": 0.9 * forms["water"],
        "urban": forms["built-up"],
    }
    least = {"airport": 0.08, "port": 0.08, "farmland": 0.3, "forest": 0.3, "open water": 0.54, "urban": 0.2}
    seen = {name: score if score >= least[name] else 0.0 for name, score in seen.items()}
    seen["mixed"] = 0.1
    best = max(seen, key=lambda name: seen[name])
    if next(iter(forms)) == "airfield" and best in ("farmland", "forest", "urban", "open water"):
        best = "airport" if seen["airport"] else "mixed"  # airfield ground has been called the main cover
    if inherited in ("port", "airport") and best != inherited and seen[inherited] >= _HALF * seen[best]:
        return str(inherited), "parent", 0.6
    rest = max(score for name, score in seen.items() if name != best)
    sure = evidence.sure(*[name for name, share in forms.items() if share >= SOME])
    if inherited == best:
        return best, "visual", min(1.0, 0.2 + _margin(seen[best], rest) * sure)
    return best, "visual", _margin(seen[best], rest) * sure


def _terrain(evidence: TileEvidence) -> Statement:
    slots = main_slots(evidence.landforms)
    main, second = list(evidence.landforms.values())[:2]
    return Statement("terrain", slots, confidence=bounded(_margin(main, second) * evidence.sure(str(slots["main"]))))


def _places(name: str, evidence: TileEvidence) -> list[int]:
    """Regions that clearly hold a cover, strongest first, at most three unless it is nearly everywhere."""
    share = {region: cover_share(name, evidence.grid[region]) for region in range(9)}
    held = sorted(regions_with(name, evidence.land), key=lambda region: -share[region])
    if len(held) >= 7:
        return sorted(held)
    least = _CLEARLY * max(0.02, min(0.25, cover_share(name, evidence.shares)))
    return sorted([region for region in held[:3] if share[region] >= least] or held[:1])


def _distribution(evidence: TileEvidence) -> Statement:
    names = [name for name, share in evidence.landforms.items() if share >= SOME][:2] or list(evidence.landforms)[:1]
    covers: dict[str, object] = {name: places for name in names if (places := _places(name, evidence))}
    where = covers or {names[0]: list(range(9))}
    if len(where) > 1:  # beside another cover it is not in all parts
        where = {name: _most_of(name, regions, evidence) for name, regions in where.items()}
    return Statement("where", {"covers": where}, confidence=bounded(0.9 * evidence.sure(*names)))


def _most_of(name: str, regions: object, evidence: TileEvidence) -> object:
    """All nine regions without the one that holds least of a cover."""
    if not isinstance(regions, list) or len(regions) < 9:
        return regions
    least = min(range(9), key=lambda region: cover_share(name, evidence.grid[region]))
    return [region for region in regions if region != least]


def _layout(evidence: TileEvidence) -> Statement:
    """The layout whose conditions are met by the widest margin."""
    margins = layout_margins(*layout_shares(evidence.shares))
    layout = max(margins, key=lambda name: margins[name])
    parts = {"uniform": 1, "two-part": 2, "mosaic": 3}[layout]
    slots: Slots = {"covers": list(evidence.landforms)[:parts]}
    return Statement(f"layout-{layout}", slots, confidence=of_margin(margins[layout]))


def _boundary(evidence: TileEvidence) -> Statement:
    _, second, _ = layout_shares(evidence.shares)
    return boundary(evidence.landforms, evidence.land, second)


def _buildings(evidence: TileEvidence) -> Statement:
    share = cover_share("built-up", evidence.shares)
    amount = building_amount(share)
    sure = evidence.sure("built-up")
    if amount == "none":
        return Statement("buildings-none", confidence=bounded(sure))
    slots: Slots = {"regions": _places("built-up", evidence)}
    return Statement(f"buildings-{amount}", slots, confidence=bounded(0.9 * sure))


def _roads(evidence: TileEvidence) -> Statement:
    """Roads, none, or neither where the share that was seen bears out neither."""
    share = cover_share("road", evidence.shares)
    if share < _NO_ROAD_BELOW:
        return Statement("roads-none", confidence=bounded(float(np.interp(share, *_NO_ROAD))))
    if share < _ROAD_FROM:
        return Statement("roads-unclear", layer=Layer.CALIBRATION)
    places = _places("road", evidence) if share >= _ROAD_PLACED_FROM else []
    slots: Slots = {
        "regions": places,
        "axis_deg": worth_a_word(evidence.axes.get("road")),
        "several": share >= 0.03,
    }
    sure = float(np.interp(share, *_ROAD))
    return Statement("roads", slots, confidence=bounded(sure * evidence.sure("road") if places else sure))


def _water(evidence: TileEvidence) -> Statement:
    share, sure = cover_share("water", evidence.shares), evidence.sure("water")
    if share < _SHORE:
        return Statement("water-none", confidence=bounded(sure))
    return water(share, _places("water", evidence), sure)


_WRITERS: Final[dict[str, Callable[[TileEvidence], Statement]]] = {
    "Distribution": _distribution,
    "Layout": _layout,
    "Boundary": _boundary,
    "Buildings": _buildings,
    "Roads": _roads,
    "Water": _water,
}
