"""Rules on sub-texts of one tile that cannot all be true, whatever the image shows."""

import re
from collections.abc import Iterator
from typing import Final

from knowlip.annotators.check.tile import Finding, TileTexts
from knowlip.language.categories import CATEGORY_OF_TYPE

_SHARE: Final = re.compile(r"(\d+(?:\.\d+)?) ?(?:%|per ?cent)")
_OVER: Final = 1.05
"""Shares are rounded; beyond this they add up to too much."""
_OPEN_LEAST: Final = 0.6
"""Water share below which "open water" contradicts."""
_MAIN_LEAST, _MAIN_MOST = 0.15, 0.7
"""A main cover has at least the first share; a cover with more than the second is the main one."""
_ABSENT: Final = "is said to be absent"


def contradictions(tile: TileTexts) -> Iterator[Finding]:
    """All rules of this file."""
    yield from over_hundred(tile)
    if tile.instruction_set == "terrain":
        yield from absent_cover(tile)
        yield from main_cover(tile)
        yield from terrain_directions(tile)
    else:
        yield from count_and_distribution(tile)
        yield from count_and_category(tile)
        yield from count_and_place(tile)
        yield from open_water(tile)


def count_and_distribution(tile: TileTexts) -> Iterator[Finding]:
    """One target is no row, several are not single, none have no order."""
    count, pattern = tile.claim("Count", "count"), tile.claim("Distribution", "pattern")
    if count is None or pattern is None:
        return
    least = {"single": 1, "row": 2, "cluster": 2, "scattered": 2}[pattern]
    if count < least or (pattern == "single" and count > 1):
        yield tile.finding("Distribution", "count-distribution", f"{count} counted, arranged as {pattern}", "Count")


def count_and_category(tile: TileTexts) -> Iterator[Finding]:
    """Types of another category than was counted; types or sizes of nothing; two types of one target."""
    count, types = tile.claim("Count", "count"), tile.claim("Category", "types") or []
    if count == 0:
        for dimension, name in (("Category", "types"), ("Size", "length_m")):
            if tile.claim(dimension, name):
                yield tile.finding(dimension, "count-category", "nothing counted, yet described", "Count")
    elif count == 1 and len(types) > 1:
        sentence = tile.sentence("Category")
        if sentence and not re.search(r"\b(or|possibly|perhaps|maybe|either|likely)\b", sentence.text.lower()):
            yield tile.finding("Category", "count-category", f"one counted, {len(types)} types named", "Count")
    counted = tile.claim("Count", "category")
    if count and types and counted and CATEGORY_OF_TYPE[types[0]] != counted:
        yield tile.finding("Category", "count-category", f"{counted} counted, {types[0]} named", "Count")


def count_and_place(tile: TileTexts) -> Iterator[Finding]:
    """Nothing has no place, and one target lies not in two regions that do not touch."""
    count, regions = tile.claim("Count", "count"), tile.claim("Location", "regions") or []
    if count == 0 and regions:
        yield tile.finding("Location", "count-location", "nothing counted, yet located", "Count")
    elif count == 1 and 1 < len(regions) < 9 and not _touching(regions):
        yield tile.finding("Location", "direction-conflict", "one target in regions that do not touch", "Count")


def _touching(regions: list[int]) -> bool:
    """Whether regions hang together, corners included."""
    reached, left = [regions[0]], set(regions[1:])
    while reached:
        here = reached.pop()
        near = {other for other in left if max(abs(other // 3 - here // 3), abs(other % 3 - here % 3)) <= 1}
        left -= near
        reached.extend(near)
    return not left


def open_water(tile: TileTexts) -> Iterator[Finding]:
    """ "Open water" where Region gives water a small share."""
    shares = tile.claim("Region", "shares") or {}
    water = shares.get("water", 1.0 - shares["land"] if "land" in shares else None)
    if tile.claim("Environment", "open_water") and water is not None and water < _OPEN_LEAST:
        yield tile.finding("Environment", "water-environment", f"open water, but {water:.0%} water", "Region")


def over_hundred(tile: TileTexts) -> Iterator[Finding]:
    """Shares of one sentence that add up to more than everything, or one that is more than everything."""
    for one in tile.sentences:
        if any(float(number) > 100 for number in _SHARE.findall(one.text)):
            yield tile.finding(one.dimension, "shares-over-100", "a share over 100 %")
            continue
        shares = tile.claim(one.dimension, "shares") or {}
        apart = sum(share for name, share in shares.items() if name not in ("land", "airfield"))
        total = max(apart, shares.get("water", 0.0) + shares.get("land", 0.0))
        if total > _OVER:
            yield tile.finding(one.dimension, "shares-over-100", f"shares add up to {total:.0%}")


def _named(tile: TileTexts, cover: str) -> Iterator[str]:
    """Dimensions that name a cover as being there."""
    function = {"water": "open water", "built-up": "urban"}.get(cover)
    places = {
        "Terrain": [tile.claim("Terrain", "main"), tile.claim("Terrain", "second")],
        "Functionality": [cover] if function and tile.claim("Functionality", "function") == function else [],
        "Distribution": list(tile.claim("Distribution", "where") or {}),
        "Layout": tile.claim("Layout", "covers") or [],
        "Boundary": tile.claim("Boundary", "between") or [],
    }
    yield from (dimension for dimension, covers in places.items() if cover in covers)


def absent_cover(tile: TileTexts) -> Iterator[Finding]:
    """ "No water" or "no buildings", and another sub-text that names them."""
    if tile.claim("Water", "water") is False:
        for dimension in _named(tile, "water"):
            yield tile.finding(dimension, "no-water", f"water {_ABSENT}", "Water")
    if tile.claim("Buildings", "amount") == "none":
        for dimension in _named(tile, "built-up"):
            yield tile.finding(dimension, "no-buildings", f"built-up land {_ABSENT}", "Buildings")


def main_cover(tile: TileTexts) -> Iterator[Finding]:
    """Water as the main cover with a small share, or with a large one and another main cover."""
    main, share = tile.claim("Terrain", "main"), (tile.claim("Water", "shares") or {}).get("water")
    if main is None or share is None:
        return
    if (main == "water" and share < _MAIN_LEAST) or (main != "water" and share > _MAIN_MOST):
        yield tile.finding("Terrain", "water-share", f"mainly {main}, with {share:.0%} water", "Water")


def terrain_directions(tile: TileTexts) -> Iterator[Finding]:
    """A cover is in one part by Distribution and only in others by the sentence about it."""
    where = tile.claim("Distribution", "where") or {}
    for cover, dimension in (("water", "Water"), ("built-up", "Buildings")):
        one, other = set(where.get(cover, [])), set(tile.claim(dimension, "regions") or [])
        if one and other and not one & other:
            yield tile.finding(dimension, "direction-conflict", f"{cover} in other parts than there", "Distribution")
