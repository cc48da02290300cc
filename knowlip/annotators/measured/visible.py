"""What pixels of a given size can show: whether a claim is said plainly, hedged, or left out.

What decides is how many pixels there are across what is claimed. The limits are those of the measured annotator on
simulated scenes that were averaged to 0.2 to 30 m a pixel (`benchmarks/visible_by_resolution.py`, table in
docs/measured-annotator.md): plain from where more pixels make a claim hardly truer, left out where not even one of two
is true.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from knowlip.annotators.types import TileRequest

Claim = Literal[
    "ship",
    "ship-count",
    "ship-location",
    "ship-pattern",
    "ship-length",
    "ship-shape",
    "ship-type",
    "aircraft",
    "aircraft-count",
    "aircraft-location",
    "aircraft-pattern",
    "aircraft-length",
    "aircraft-shape",
    "aircraft-type",
    "building",
    "road",
    "runway",
    "bridge",
    "quay",
    "field",
    "wood",
    "water",
    "built-up",
    "boundary",
    "layout",
]
"""What may be claimed: that there is one; of targets how many, where, in which pattern, how long, what shape and type;
of land a single thing ("building", "road", "bridge"), a cover's share and place, or how covers lie together."""


class Visibility(StrEnum):
    """How a claim is made."""

    SAID = "said"
    HEDGED = "hedged"
    """With "possibly" or "likely"."""
    HIDDEN = "hidden"
    """Not at all, and not denied either: what cannot be seen may still be there."""


@dataclass(frozen=True)
class Limit:
    """From how many pixels across a thing is said, and from how many it is hedged."""

    size_m: float
    """Extent of what is claimed where the claim gives none: a usual length, width or width of a parcel."""
    said_px: float
    hedged_px: float
    said_below_m: float = float("inf")
    """Pixels of at least this size make it hedged, whatever its extent."""
    hidden_from_m: float = float("inf")
    """Pixels of at least this size hide it, whatever its extent."""


COARSE_FROM_M: Final = 7.0
"""Pixels of at least this size show water, built-up and other land, relief and bright points on water, and no more: at
10 m four of five main covers of the network are wrong, at 5 m one of three."""
_SHIP_HEDGED_FROM_M: Final = 5.0
_LAND_HEDGED_FROM_M: Final = 2.5
"""At 2 m four of five texts on land are true, at 3 m two of three."""


def _of_land(size_m: float, said_px: float, hedged_px: float) -> Limit:
    return Limit(size_m, said_px, hedged_px, _LAND_HEDGED_FROM_M, COARSE_FROM_M)


def _of_targets(size_m: float, said_px: float, hedged_px: float, hidden_from_m: float = COARSE_FROM_M) -> Limit:
    return Limit(size_m, said_px, hedged_px, _SHIP_HEDGED_FROM_M, hidden_from_m)


LIMITS: Final[Mapping[Claim, Limit]] = {
    "ship": _of_targets(100.0, 6.0, 3.0, hidden_from_m=float("inf")),
    "ship-count": _of_targets(100.0, 12.0, 6.0),
    "ship-location": _of_targets(100.0, 6.0, 3.0),
    "ship-pattern": _of_targets(100.0, 12.0, 6.0),
    "ship-length": _of_targets(100.0, 40.0, 6.0),
    "ship-shape": _of_targets(100.0, 24.0, 6.0),
    "ship-type": _of_targets(100.0, 48.0, 6.0),
    "aircraft": _of_targets(30.0, 3.0, 1.5),
    "aircraft-count": _of_targets(30.0, 20.0, 5.0),
    "aircraft-location": _of_targets(30.0, 6.0, 3.0),
    "aircraft-pattern": _of_targets(30.0, 12.0, 4.0),
    "aircraft-length": _of_targets(30.0, 18.0, 3.0),
    "aircraft-shape": _of_targets(30.0, 18.0, 3.0),
    "aircraft-type": _of_targets(30.0, 24.0, 10.0),
    "building": _of_land(15.0, 7.0, 2.5),
    "road": _of_land(10.0, 4.0, 2.0),
    "runway": _of_land(45.0, 12.0, 6.0),
    "bridge": _of_land(15.0, 5.0, 2.0),
    "quay": _of_land(60.0, 20.0, 8.0),
    "field": _of_land(150.0, 50.0, 20.0),
    "wood": _of_land(150.0, 50.0, 20.0),
    "water": Limit(100.0, 20.0, 3.0),
    "built-up": Limit(100.0, 20.0, 3.0),
    "boundary": Limit(100.0, 40.0, 3.0),
    "layout": Limit(150.0, 60.0, 4.0),
}


def visible(claim: Claim, metres_per_pixel: float, size_m: float | None = None) -> Visibility:
    """How a claim about something of a given size is made.

    Args:
        claim: one of `LIMITS`.
        metres_per_pixel: of the finest pixels that were looked at, see :func:`seen_metres`.
        size_m: extent of what is claimed in metres: length of the ship or aircraft, width of the road, shorter side of
            the parcel or of the water; None for the usual one.

    Raises:
        ValueError: an unknown claim, or a size that is not positive.
    """
    if claim not in LIMITS:
        raise ValueError(f"There is no claim {claim!r}; use {', '.join(LIMITS)}.")
    limit = LIMITS[claim]
    size = limit.size_m if size_m is None else size_m
    if not metres_per_pixel > 0 or not size > 0:
        raise ValueError(f"Pixels and sizes must be positive, not {metres_per_pixel} and {size} m.")
    across = size / metres_per_pixel
    if metres_per_pixel >= limit.hidden_from_m or across < limit.hedged_px:
        return Visibility.HIDDEN
    if metres_per_pixel >= limit.said_below_m or across < limit.said_px:
        return Visibility.HEDGED
    return Visibility.SAID


def seen_metres(request: TileRequest) -> float:
    """Metres a pixel that a tile really shows: of the finer of image and detail, but no finer than its scene."""
    # A tile of a 10 m scene may be stored in pixels of 4 m; interpolation adds pixels and no ground.
    finest = request.metres_per_pixel
    if request.detail is not None:
        finest = min(finest, finest * request.image.shape[1] / request.detail.shape[1])
    return max(finest, request.resolution_m or 0.0)


def is_coarse(request: TileRequest) -> bool:
    """Whether only what :mod:`knowlip.annotators.measured.coarse` tells is to be said."""
    return seen_metres(request) >= COARSE_FROM_M
