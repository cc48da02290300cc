"""The closed vocabularies that simulator, annotators, truth and questions share.

Everything that two folders must spell alike stands here once: land-cover codes, the names of the nine image regions,
the decisions on texts, and the tables of ship and aircraft sizes. What texts are about stands in
:mod:`knowlip.language.dimensions`.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Literal, NamedTuple

Scale = Literal["large", "medium", "small"]
SCALES: Final[tuple[Scale, ...]] = ("large", "medium", "small")

LAND_COVER: Final[dict[int, str]] = {
    0: "nodata",
    1: "water",
    2: "field",
    3: "wood",
    4: "built-up",
    5: "road",
    6: "runway",
    7: "apron",
    8: "grass",
    9: "bridge",
    10: "quay",
}
"""Code in a land-cover raster -> name. `built-up` is the plot, houses included; `quay` is paved port land."""

LANDFORMS: Final[tuple[str, ...]] = ("water", "field", "wood", "built-up", "airfield", "quay")
"""The landforms that texts and questions speak of, see :func:`landform_shares`."""

_LANDFORM_OF: Final[dict[str, str]] = {
    "water": "water",
    "field": "field",
    "wood": "wood",
    "built-up": "built-up",
    "runway": "airfield",
    "apron": "airfield",
    "grass": "airfield",
    "quay": "quay",
}


def landform_shares(land_cover: Mapping[str, float]) -> dict[str, float]:
    """Fold land-cover shares into landform shares (roads and bridges belong to no landform).

    Args:
        land_cover: name in `LAND_COVER` -> share of the area, 0 to 1.

    Returns:
        Name in `LANDFORMS` -> share, every landform present. Shares do not add up to 1 where there are roads.
    """
    shares = dict.fromkeys(LANDFORMS, 0.0)
    for name, share in land_cover.items():
        if name in _LANDFORM_OF:
            shares[_LANDFORM_OF[name]] += share
    return shares


_ROWS, _COLUMNS = ("upper", "center", "lower"), ("left", "center", "right")
REGIONS: Final[tuple[str, ...]] = tuple(
    "center" if row == column else f"{row} {column}" for row in _ROWS for column in _COLUMNS
)
"""The nine regions of a 3 x 3 grid in row-major order. Region number = position + 1."""


def region_of(x: float, y: float) -> int:
    """Number (0 to 8) of the region that holds a point given as fractions of width and height (0, 0 = upper left)."""
    return min(2, max(0, int(y * 3))) * 3 + min(2, max(0, int(x * 3)))


class Decision(StrEnum):
    """What was decided on a sub-text: column `decision` of texts.parquet and of the revisions."""

    ANNOTATED = "annotated"
    """As the annotator said it."""
    KEPT = "kept"
    """Looked at, and left as it was."""
    SCREENED = "screened"
    """Called noise, not yet written anew."""
    REWRITTEN = "rewritten"
    """The model's words took the place of the old ones."""
    REJECTED = "rejected"
    """Called noise; the model's words were not clearly better, so the old ones stay."""
    PARAPHRASED = "paraphrased"
    """Other words for the same, by a language model."""


DISTRUSTED: Final = (Decision.SCREENED, Decision.REJECTED)
"""Decisions after which the words stay in the text without being believed: never a target of infilling."""


class TargetType(NamedTuple):
    """Outer dimensions of a ship or aircraft type in metres, as ranges over the real vessels or airframes of the
    type."""

    name: str
    length_m: tuple[float, float]
    width_m: tuple[float, float]
    """Beam of a ship, wingspan of an aircraft."""
    height_m: float


SHIP_TYPES: Final[tuple[TargetType, ...]] = (
    TargetType("container ship", (180.0, 340.0), (28.0, 48.0), 30.0),
    TargetType("tanker", (130.0, 280.0), (22.0, 46.0), 18.0),
    TargetType("bulk carrier", (120.0, 230.0), (20.0, 36.0), 20.0),
    TargetType("cargo ship", (70.0, 120.0), (11.0, 18.0), 14.0),
    TargetType("fishing boat", (15.0, 40.0), (5.0, 9.0), 6.0),
)

AIRCRAFT_TYPES: Final[tuple[TargetType, ...]] = (
    TargetType("wide-body airliner", (60.0, 74.0), (60.0, 68.0), 17.0),
    TargetType("narrow-body airliner", (36.0, 45.0), (34.0, 36.0), 12.0),
    TargetType("regional turboprop", (22.0, 30.0), (24.0, 29.0), 8.0),
    TargetType("business jet", (14.0, 20.0), (14.0, 20.0), 6.0),
    TargetType("fighter", (15.0, 20.0), (10.0, 14.0), 5.0),
)

TARGET_CATEGORIES: Final[tuple[str, ...]] = ("ship", "aircraft")
