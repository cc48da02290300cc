"""The topics of the grammar that make claims: which sub-text they are the main sentence of."""

from typing import Final

CLAIMING: Final[dict[str, str]] = {
    "count": "Count",
    "count-range": "Count",
    "location": "Location",
    "feature-elongated": "Feature",
    "feature-compact": "Feature",
    "feature-cross": "Feature",
    "size": "Size",
    "category": "Category",
    "pattern-single": "Distribution",
    "pattern-row": "Distribution",
    "pattern-cluster": "Distribution",
    "pattern-scattered": "Distribution",
    "shares": "Region",
    "around": "Environment",
    "open-water": "Environment",
    "terrain": "Terrain",
    "land-coarse": "Terrain",
    "function": "Functionality",
    "where": "Distribution",
    "layout-uniform": "Layout",
    "layout-two-part": "Layout",
    "layout-mosaic": "Layout",
    "boundary": "Boundary",
    "boundary-none": "Boundary",
    "buildings-none": "Buildings",
    "buildings-few": "Buildings",
    "buildings-some": "Buildings",
    "buildings-many": "Buildings",
    "settlement-none": "Buildings",
    "settlement-few": "Buildings",
    "settlement-some": "Buildings",
    "settlement-many": "Buildings",
    "roads-none": "Roads",
    "roads": "Roads",
    "water-none": "Water",
    "water": "Water",
}
"""Topic -> its dimension. Sentences of all other topics claim nothing that pixels could bear out."""
TARGET_TOPICS: Final = tuple(CLAIMING)[: tuple(CLAIMING).index("terrain")]
"""Those of the ground and marine instruction sets; the others are of the terrain set."""
