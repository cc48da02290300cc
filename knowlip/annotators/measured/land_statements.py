"""What fine and coarse pixels say of land in the same way: extents, boundaries, water, and how sure a margin makes."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from knowlip.language.definitions import Land, adjacent, side_of
from knowlip.language.phrases import percent
from knowlip.language.statements import Slots, Statement

SOME: Final = 0.07
"""Smallest share that is worth a word."""
_ONE_SIDE: Final = 0.25
"""Distance of two centres of mass, in regions, from which one cover is said to lie on a side of the other."""


def bounded(confidence: float) -> float:
    """A probability, to three digits."""
    return round(min(1.0, max(0.0, confidence)), 3)


def of_margin(margin: float) -> float:
    """How sure a claim is: 0.6 where its condition is just met, towards 0.95 with the margin."""
    return bounded(0.6 + 0.35 * float(np.clip(margin, -1.0, 1.0)))


def main_slots(forms: Mapping[str, float]) -> Slots:
    """The main cover, and the second with its extent where it is a tenth of the tile.

    Args:
        forms: cover -> share, largest first.
    """
    (main, _), (second, share) = list(forms.items())[:2]
    named = share >= 0.1
    extent = None if not named else "some" if share < 0.25 else "extensive"
    return {"main": main, "second": second if named else None, "extent": extent}


def boundary(forms: Mapping[str, float], land: Land, second: float) -> Statement:
    """Where the main cover meets another, and on which side it lies.

    Args:
        forms: cover -> share, largest first.
        land: of the tile.
        second: the second largest share among all covers together.
    """
    first, *others = forms
    pairs = [(first, other) for other in others if forms[other] >= SOME and adjacent(first, other, land)]
    if second < 0.10 or not pairs:
        return Statement("boundary-none", confidence=of_margin((0.15 - second) / 0.05))
    one, other = (pairs[0][1], pairs[0][0]) if pairs[0][1] == "water" else pairs[0]
    slots: Slots = {"one": one, "two": other, "side": side_of(one, other, land, _ONE_SIDE)}
    return Statement("boundary", slots, confidence=of_margin((min(forms[one], forms[other]) - 0.06) / 0.15))


def water(share: float, places: Sequence[int], confidence: float) -> Statement:
    """How much water there is, and where unless it is nearly everywhere."""
    full = percent(share) == 100
    slots: Slots = {
        "percent": max(5, percent(share)),
        "regions": [] if full or len(places) >= 7 else places,
        "full": full,
    }
    return Statement("water", slots, confidence=bounded(confidence))
