"""What is said of a tile of coarse pixels: the dimensions of the terrain instruction set, in water, built-up and open
land."""

from typing import Final

import numpy as np

from knowlip.annotators.measured.coarse import CoarseEvidence
from knowlip.language.definitions import (
    BUILDING_AMOUNTS,
    adjacent,
    cover_share,
    layout_margins,
    layout_shares,
    regions_with,
    side_of,
)
from knowlip.language.phrases import percent
from knowlip.language.statements import Layer, Slots, Statement

_SOME: Final = 0.07
"""Smallest share that is worth a word."""
_ONE_SIDE: Final = 0.25
"""Distance of two centres of mass, in regions, from which one cover is said to lie on a side of the other."""
_OF_POINTS: Final = 0.6
"""Probability that a bright point on water is a ship: the rest are buoys, piers, rigs and ghosts of ships."""
_OF_RELIEF: Final = 0.75


def coarse_statements(evidence: CoarseEvidence) -> dict[str, Statement]:
    """What is said under each dimension of the terrain set; nothing that coarse pixels leave open is claimed."""
    return {
        "Terrain": _terrain(evidence),
        "Functionality": _function(evidence),
        "Distribution": _distribution(evidence),
        "Layout": _layout(evidence),
        "Boundary": _boundary(evidence),
        "Buildings": _settlement(evidence),
        "Roads": Statement("roads-unresolved", layer=Layer.CALIBRATION),
        "Water": _water(evidence),
    }


def coarse_additions(evidence: CoarseEvidence) -> list[tuple[Statement, tuple[str, ...]]]:
    """What else coarse pixels show, each with the dimensions that it may stand under, first things first."""
    found: list[tuple[Statement, tuple[str, ...]]] = []
    if evidence.points:
        found.append(
            (
                Statement("points-on-water", {"number": len(evidence.points)}, confidence=_OF_POINTS),
                ("Water", "Terrain"),
            )
        )
    if evidence.relief:
        found.append((Statement("relief-coarse", confidence=_OF_RELIEF), ("Terrain", "Layout")))
    found.append((Statement("buildings-unresolved", layer=Layer.CALIBRATION), ("Buildings",)))
    return found


def _bounded(value: float) -> float:
    return round(min(1.0, max(0.0, value)), 3)


def _sure(evidence: CoarseEvidence, *names: str) -> float:
    return min((evidence.certainty.get(name, 1.0) for name in names), default=1.0)


def _terrain(evidence: CoarseEvidence) -> Statement:
    main, second = evidence.ordered[:2]
    gap = evidence.shares[main] - evidence.shares[second]
    named = evidence.shares[second] >= 0.1
    slots: Slots = {
        "main": main,
        "second": second if named else None,
        "extent": None if not named else "some" if evidence.shares[second] < 0.25 else "extensive",
    }
    # With shares that nearly tie, either may be the larger one, however sure each pixel is.
    sure = _sure(evidence, main) * min(1.0, 0.6 + 2.0 * gap)
    return Statement("land-coarse", slots, confidence=_bounded(sure))


def _function(evidence: CoarseEvidence) -> Statement:
    for name, cover, least in (("open water", "water", 0.7), ("urban", "built-up", 0.4)):
        if evidence.shares[cover] >= least:
            return Statement("function", {"function": name}, confidence=_bounded(_sure(evidence, cover)))
    metres = round(evidence.metres_per_pixel, 1 if evidence.metres_per_pixel < 10 else 0)
    return Statement("limit-function", {"metres": float(metres)}, "prior", Layer.CALIBRATION)


def _places(name: str, evidence: CoarseEvidence) -> list[int]:
    """Regions that hold a cover: the three with most of it, or all where it is nearly everywhere."""
    held = sorted(regions_with(name, evidence.land), key=lambda region: -cover_share(name, evidence.grid[region]))
    return sorted(held if len(held) >= 7 else held[:3])


def _distribution(evidence: CoarseEvidence) -> Statement:
    names = [name for name in evidence.ordered if evidence.shares[name] >= _SOME][:2]
    covers: dict[str, object] = {name: places for name in names if (places := _places(name, evidence))}
    where = covers or {evidence.ordered[0]: list(range(9))}
    return Statement("where", {"covers": where}, confidence=_bounded(0.9 * _sure(evidence, *names)))


def _layout(evidence: CoarseEvidence) -> Statement:
    margins = layout_margins(*layout_shares(evidence.shares, coarse=True))
    layout = max(margins, key=lambda name: margins[name])
    parts = {"uniform": 1, "two-part": 2, "mosaic": 3}[layout]
    named = [name for name in evidence.ordered[:parts] if evidence.shares[name] >= 0.05]
    return Statement(f"layout-{layout}", {"covers": named}, confidence=_of_margin(margins[layout]))


def _of_margin(margin: float) -> float:
    """0.6 where a claim's condition is just met, towards 0.95 with the margin."""
    return _bounded(0.6 + 0.35 * float(np.clip(margin, -1.0, 1.0)))


def _boundary(evidence: CoarseEvidence) -> Statement:
    _, second, _ = layout_shares(evidence.shares, coarse=True)
    first = evidence.ordered[0]
    pairs = [(first, other) for other in evidence.ordered[1:] if evidence.shares[other] >= _SOME]
    pairs = [pair for pair in pairs if adjacent(*pair, evidence.land)]
    if second < 0.10 or not pairs:
        return Statement("boundary-none", confidence=_of_margin((0.15 - second) / 0.05))
    one, other = (pairs[0][1], pairs[0][0]) if pairs[0][1] == "water" else pairs[0]
    side = side_of(one, other, evidence.land, _ONE_SIDE)
    sure = _of_margin((min(evidence.shares[one], evidence.shares[other]) - 0.06) / 0.15)
    return Statement("boundary", {"one": one, "two": other, "side": side}, confidence=sure)


def _settlement(evidence: CoarseEvidence) -> Statement:
    share = evidence.shares["built-up"]
    amount = next(name for name, (low, high) in BUILDING_AMOUNTS.items() if low <= share < high)
    if amount == "none":
        return Statement("settlement-none", confidence=_bounded(_sure(evidence, "open land")))
    places = _places("built-up", evidence)
    slots: Slots = {"regions": [] if len(places) >= 7 else places}
    return Statement(f"settlement-{amount}", slots, confidence=_bounded(0.9 * _sure(evidence, "built-up")))


def _water(evidence: CoarseEvidence) -> Statement:
    share = evidence.shares["water"]
    if share < 0.03:
        return Statement("water-none", confidence=_bounded(_sure(evidence, *evidence.ordered[:1])))
    places = _places("water", evidence)
    full = percent(share) == 100
    regions = [] if full or len(places) >= 7 else places
    slots: Slots = {"percent": max(5, percent(share)), "regions": regions, "full": full}
    return Statement("water", slots, confidence=_bounded(_sure(evidence, "water")))
