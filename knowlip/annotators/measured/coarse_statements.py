"""What is said of a tile of coarse pixels: the dimensions of the terrain instruction set, in water, built-up and open
land."""

from typing import Final

from knowlip.annotators.measured.coarse import CoarseEvidence
from knowlip.annotators.measured.land_statements import SOME, boundary, bounded, main_slots, of_margin, water
from knowlip.annotators.measured.limits import not_shown
from knowlip.language.definitions import (
    building_amount,
    cover_share,
    layout_margins,
    layout_shares,
    regions_with,
)
from knowlip.language.statements import Layer, Slots, Statement

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


def _terrain(evidence: CoarseEvidence) -> Statement:
    slots = main_slots(evidence.forms)
    first, second = list(evidence.forms.values())[:2]
    # With shares that nearly tie, either may be the larger one, however sure each pixel is.
    sure = evidence.sure(str(slots["main"])) * min(1.0, 0.6 + 2.0 * (first - second))
    return Statement("land-coarse", slots, confidence=bounded(sure))


def _function(evidence: CoarseEvidence) -> Statement:
    for name, cover, least in (("open water", "water", 0.7), ("urban", "built-up", 0.4)):
        if evidence.shares[cover] >= least:
            return Statement("function", {"function": name}, confidence=bounded(evidence.sure(cover)))
    return not_shown("limit-function", evidence.shown_m)


def _places(name: str, evidence: CoarseEvidence) -> list[int]:
    """Regions that hold a cover: the three with most of it, or all where it is nearly everywhere."""
    held = sorted(regions_with(name, evidence.land), key=lambda region: -cover_share(name, evidence.grid[region]))
    return sorted(held if len(held) >= 7 else held[:3])


def _distribution(evidence: CoarseEvidence) -> Statement:
    names = [name for name in evidence.ordered if evidence.shares[name] >= SOME][:2]
    covers: dict[str, object] = {name: places for name in names if (places := _places(name, evidence))}
    where = covers or {evidence.ordered[0]: list(range(9))}
    return Statement("where", {"covers": where}, confidence=bounded(0.9 * evidence.sure(*names)))


def _layout(evidence: CoarseEvidence) -> Statement:
    margins = layout_margins(*layout_shares(evidence.shares, coarse=True))
    layout = max(margins, key=lambda name: margins[name])
    parts = {"uniform": 1, "two-part": 2, "mosaic": 3}[layout]
    named = [name for name in evidence.ordered[:parts] if evidence.shares[name] >= 0.05]
    return Statement(f"layout-{layout}", {"covers": named}, confidence=of_margin(margins[layout]))


def _boundary(evidence: CoarseEvidence) -> Statement:
    _, second, _ = layout_shares(evidence.shares, coarse=True)
    return boundary(evidence.forms, evidence.land, second)


def _settlement(evidence: CoarseEvidence) -> Statement:
    share = evidence.shares["built-up"]
    amount = building_amount(share)
    if amount == "none":
        return Statement("settlement-none", confidence=bounded(evidence.sure("open land")))
    places = _places("built-up", evidence)
    slots: Slots = {"regions": [] if len(places) >= 7 else places}
    return Statement(f"settlement-{amount}", slots, confidence=bounded(0.9 * evidence.sure("built-up")))


def _water(evidence: CoarseEvidence) -> Statement:
    share = evidence.shares["water"]
    if share < 0.03:
        return Statement("water-none", confidence=bounded(evidence.sure(evidence.ordered[0])))
    return water(share, _places("water", evidence), evidence.sure("water"))
