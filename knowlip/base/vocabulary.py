"""The closed vocabularies that simulator, annotators, truth and questions share.

Everything that two folders must spell alike stands here once: land-cover codes, the names of the nine image regions,
the instruction sets with their eight dimensions, and the tables of ship and aircraft sizes.
"""

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


def landform_shares(land_cover: dict[str, float]) -> dict[str, float]:
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


REGIONS: Final[tuple[str, ...]] = (
    "upper left", "upper center", "upper right",
    "center left", "center", "center right",
    "lower left", "lower center", "lower right",
)  # fmt: skip
"""The nine regions of a 3 x 3 grid in row-major order. Region number = position + 1."""


def region_of(x: float, y: float) -> int:
    """Number (0 to 8) of the region that holds a point given as fractions of width and height (0, 0 = upper left)."""
    return min(2, max(0, int(y * 3))) * 3 + min(2, max(0, int(x * 3)))


InstructionSet = Literal["ground", "marine", "terrain"]

DIMENSIONS: Final[dict[str, tuple[str, ...]]] = {
    "ground": ("Count", "Location", "Feature", "Size", "Category", "Distribution", "Region", "Environment"),
    "marine": ("Count", "Location", "Feature", "Size", "Category", "Distribution", "Region", "Environment"),
    "terrain": ("Terrain", "Functionality", "Distribution", "Layout", "Boundary", "Buildings", "Roads", "Water"),
}
"""Instruction set -> its eight sub-texts in order (paper, section 3.2)."""

SLOTS: Final = 8
"""Sub-texts of a tile."""


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
