"""What the truth of a tile says, as numbers that an image encoder can be taught: as :mod:`knowlip.language.groundings`
has them from texts, where an annotator may err.

Truth settles what it has an answer for and leaves all else unknown: lengths, patterns and functions have definitions in
words, and stay what texts claim.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from knowlip.base.vocabulary import REGIONS, TARGET_CATEGORIES, region_of
from knowlip.language.closed import CLOSED, HOLDS, MAPPED, MOST, PLACES
from knowlip.language.definitions import TileTruth, TrueObject, cover_share, holds
from knowlip.language.directions import Turn
from knowlip.language.groundings import Grounding, nothing
from knowlip.language.tile_facts import facts_from_truth

_SHARES: Final = ("water", "grass", "pavement")


def turned_truth(truth: TileTruth, turn: Turn) -> TileTruth:
    """The truth of turned pixels: places, outlines, headings and regions."""

    def moved(one: TrueObject) -> TrueObject:
        x, y = turn.place(one["x"], one["y"])
        polygon = [[*turn.place(*corner)] for corner in one["polygon"]]
        return {**one, "x": x, "y": y, "polygon": polygon, "heading_deg": turn.azimuth(one["heading_deg"])}

    grid: list[Mapping[str, float]] = [{}] * len(truth["grid"])
    for region, shares in enumerate(truth["grid"]):
        grid[turn.region(region)] = shares
    return {**truth, "objects": [moved(one) for one in truth["objects"]], "grid": grid}


def true_answers(truth: TileTruth) -> dict[str, str]:
    """Closed question -> its answer, for those that truth settles: number, region and type of the category with most
    targets, the main landform where one leads clearly, the shares of covers, and which landforms there are."""
    facts = facts_from_truth(truth)
    counts = facts.counts or {}
    category = max(counts, key=lambda name: counts[name])
    found = {"count": str(min(MOST, counts[category]))}
    if category in (facts.regions or {}):
        found["region"] = REGIONS[(facts.regions or {})[category]]
    if kind := (facts.types or {}).get(category):
        found["type"] = kind
    if facts.main:
        found["main"] = facts.main
    for name in _SHARES:
        percents = [int(one.removesuffix(" %")) for one in CLOSED[PLACES[name]].answers]
        share = 100 * cover_share(name, truth["shares"])
        found[name] = f"{min(percents, key=lambda percent: abs(percent - share))} %"
    for name, question in HOLDS.items():
        found[question] = "yes" if name in (facts.landforms or ()) else "no"
    return {name: true for name, true in found.items() if true in CLOSED[PLACES[name]].answers}


def true_grounding(truth: TileTruth) -> Grounding:
    """What truth settles, all else unknown."""
    result = nothing()
    for name, answer in true_answers(truth).items():
        result.answers_QK[PLACES[name], CLOSED[PLACES[name]].answers.index(answer)] = True
    for row, name in enumerate(MAPPED):
        if name in TARGET_CATEGORIES:
            at = {region_of(one["x"], one["y"]) for one in truth["objects"] if one["category"] == name}
            result.regions_M9[row] = [region in at for region in range(9)]
        else:
            result.regions_M9[row] = [holds(name, region, truth) for region in range(9)]
    return result


def put_right(claimed: Grounding, truth: TileTruth) -> Grounding:
    """What texts claim, with truth in the place of all that it settles."""
    true = true_grounding(truth)
    answers = np.where(true.answers_QK.any(1, keepdims=True), true.answers_QK, claimed.answers_QK)
    return Grounding(answers, np.where(true.regions_M9 >= 0, true.regions_M9, claimed.regions_M9))
