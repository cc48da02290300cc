"""What pixels of a given size can show: whether a claim is said plainly, hedged, or left out.

What decides is how many pixels there are across what is claimed. The limits are those of the measured annotator on
simulated scenes that were averaged to 0.2 to 30 m a pixel (`benchmarks/visible_by_resolution.py`, table in
docs/measured-annotator.md): plain where four claims of five are true, left out where not even one of two is, or where a
text of another tile is as often true.
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


COARSE_FROM_M: Final = 5.0
"""Pixels of at least this size show water, built-up and other land, relief and bright points on water, and no more."""

LIMITS: Final[Mapping[Claim, Limit]] = {
    "ship": Limit(100.0, 8.0, 3.0, said_below_m=COARSE_FROM_M),
    "ship-count": Limit(100.0, 16.0, 5.0, said_below_m=5.0),
    "ship-location": Limit(100.0, 8.0, 3.0, said_below_m=COARSE_FROM_M),
    "ship-pattern": Limit(100.0, 12.0, 5.0, said_below_m=5.0),
    "ship-length": Limit(100.0, 12.0, 5.0, said_below_m=5.0, hidden_from_m=COARSE_FROM_M),
    "ship-shape": Limit(100.0, 12.0, 5.0, said_below_m=5.0, hidden_from_m=COARSE_FROM_M),
    "ship-type": Limit(100.0, 30.0, 10.0, said_below_m=4.0, hidden_from_m=COARSE_FROM_M),
    "aircraft": Limit(30.0, 8.0, 5.0, hidden_from_m=5.0),
    "aircraft-count": Limit(30.0, 16.0, 6.0, hidden_from_m=5.0),
    "aircraft-location": Limit(30.0, 8.0, 5.0, hidden_from_m=5.0),
    "aircraft-pattern": Limit(30.0, 12.0, 6.0, hidden_from_m=5.0),
    "aircraft-length": Limit(30.0, 12.0, 6.0, hidden_from_m=5.0),
    "aircraft-shape": Limit(30.0, 12.0, 6.0, hidden_from_m=5.0),
    "aircraft-type": Limit(30.0, 16.0, 8.0, hidden_from_m=5.0),
    "building": Limit(15.0, 5.0, 3.0, hidden_from_m=COARSE_FROM_M),
    "road": Limit(10.0, 3.0, 2.0, hidden_from_m=COARSE_FROM_M),
    "runway": Limit(45.0, 10.0, 6.0, hidden_from_m=COARSE_FROM_M),
    "bridge": Limit(15.0, 5.0, 2.0, hidden_from_m=COARSE_FROM_M),
    "quay": Limit(60.0, 15.0, 10.0, hidden_from_m=COARSE_FROM_M),
    "field": Limit(150.0, 40.0, 25.0, hidden_from_m=COARSE_FROM_M),
    "wood": Limit(150.0, 40.0, 25.0, hidden_from_m=COARSE_FROM_M),
    "water": Limit(100.0, 25.0, 3.0),
    "built-up": Limit(100.0, 25.0, 3.0),
    "boundary": Limit(100.0, 25.0, 3.0),
    "layout": Limit(150.0, 40.0, 4.0),
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
