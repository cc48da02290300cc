"""What a tile's resolution leaves of the statements: said, spoken with doubt, or replaced by what is not seen."""

from collections.abc import Mapping
from dataclasses import replace
from math import ceil, floor
from typing import Final, cast

from knowlip.annotators.measured.compose import PLAIN_FROM
from knowlip.annotators.measured.evidence import TileEvidence
from knowlip.annotators.measured.visible import Claim, Visibility, visible
from knowlip.language.statements import Layer, Slots, Statement

_TARGET_CLAIMS: Final[Mapping[str, tuple[Claim, ...]]] = {
    "ship": ("ship-count", "ship-location", "ship-shape", "ship-length", "ship-type", "ship-pattern"),
    "aircraft": (
        "aircraft-count",
        "aircraft-location",
        "aircraft-shape",
        "aircraft-length",
        "aircraft-type",
        "aircraft-pattern",
    ),
}
"""What is claimed under the first six dimensions of targets."""
_CLAIM_OF: Final[Mapping[str, Claim]] = {
    "buildings-few": "building",
    "buildings-some": "built-up",
    "buildings-many": "built-up",
    "buildings-none": "building",
    "roads": "road",
    "roads-none": "road",
    "boundary": "boundary",
    "layout-two-part": "layout",
    "layout-mosaic": "layout",
    "water": "water",
}
"""Topic of land -> what it claims."""
_UNSEEN: Final = {
    "Feature": "limit-feature",
    "Size": "limit-size",
    "Category": "limit-category",
    "Distribution": "limit-pattern",
    "Buildings": "buildings-unresolved",
    "Roads": "roads-unresolved",
    "Boundary": "limit-boundary",
}
"""Dimension -> what is said where its claim is hidden. The others are only ever spoken with doubt."""
DOUBTED: Final = PLAIN_FROM - 0.01
"""Highest confidence of what is barely resolved, or spoken against by another layer."""
SAID_FROM: Final = 0.5
"""Probability from which something is claimed of targets at all: what is more likely false than true is not."""
_UNCLEAR: Final = {
    "Location": "unclear-location",
    "Feature": "unclear-feature",
    "Size": "unclear-size",
    "Category": "unclear-category",
    "Distribution": "unclear-pattern",
}
"""Dimension of targets -> what is said instead; of a count its range is."""
_RANGE: Final = (0.6, 1.6)
"""Bounds of that range, as parts of the likeliest number."""
_RANGE_SURE: Final = 0.9
"""How often such a range held the true number, on scenes that nothing was fitted on or is measured on."""


def more_likely_true(statements: Mapping[str, Statement]) -> dict[str, Statement]:
    """The statements on targets without claims that are more likely false than true: a range stands in for a number,
    and for the others that they are open.

    Args:
        statements: dimension -> statement.
    """
    left = dict(statements)
    if "Size" in left and left["Size"].confidence < SAID_FROM:  # a type rests on the size
        type_ = left["Category"]
        statements = {**statements, "Category": replace(type_, confidence=min(type_.confidence, SAID_FROM - 0.01))}
    for dimension, statement in statements.items():
        if statement.confidence >= SAID_FROM:
            continue
        if statement.topic == "count":
            number = int(cast(int, statement.slots["number"]))
            low, high = max(1, floor(_RANGE[0] * number)), ceil(_RANGE[1] * number)
            slots: Slots = {"category": statement.slots["category"], "low": low, "high": high, "next": high == low + 1}
            left[dimension] = Statement("count-range", slots, confidence=_RANGE_SURE)
            pattern = statements.get("Distribution")
            if pattern is not None and (pattern.topic == "pattern-single" or pattern.slots.get("two")):
                left["Distribution"] = Statement(_UNCLEAR["Distribution"], layer=Layer.CALIBRATION)
        elif dimension in _UNCLEAR and statement.layer is Layer.INSTANCE:
            left[dimension] = Statement(_UNCLEAR[dimension], layer=Layer.CALIBRATION)
    return left


def within_limits(
    statements: Mapping[str, Statement], evidence: TileEvidence, metres_per_pixel: float
) -> dict[str, Statement]:
    """The statements as far as pixels of this size show what they claim.

    Args:
        statements: dimension -> statement.
        evidence: that they were made from.
        metres_per_pixel: what the tile really shows, see :func:`visible.seen_metres`.
    """
    category, overall = evidence.category, evidence.overall
    length = None if overall is None else overall.length_m
    left = {}
    for number, (dimension, statement) in enumerate(statements.items()):
        size = None
        if category is not None and number < len(_TARGET_CLAIMS[category]):
            claim: Claim | None = _TARGET_CLAIMS[category][number]
            size = length
        else:
            claim = _CLAIM_OF.get(statement.topic)
        shown = Visibility.SAID if claim is None else visible(claim, metres_per_pixel, size)
        if shown is Visibility.HIDDEN and dimension in _UNSEEN and statement.topic != "pattern-single":
            left[dimension] = _unseen(dimension, metres_per_pixel)
        elif shown is Visibility.SAID or statement.layer is Layer.CALIBRATION:
            left[dimension] = statement
        else:
            left[dimension] = replace(statement, confidence=min(statement.confidence, DOUBTED))
    return left


def _unseen(dimension: str, metres_per_pixel: float) -> Statement:
    topic = _UNSEEN[dimension]
    if topic.startswith("limit-"):
        return not_shown(topic, metres_per_pixel)
    return Statement(topic, layer=Layer.CALIBRATION)


def not_shown(topic: str, metres_per_pixel: float) -> Statement:
    """That pixels of this size, to a decimal below 10 m, do not show something."""
    metres = round(metres_per_pixel, 1 if metres_per_pixel < 10 else 0)
    return Statement(topic, {"metres": float(metres)}, "prior", Layer.CALIBRATION)
