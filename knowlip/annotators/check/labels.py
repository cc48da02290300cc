"""Rules that hold sub-texts against boxes, labels, the window and the sizes of things."""

import math
import re
from collections.abc import Iterator
from typing import Final

from knowlip.annotators.check.tile import Finding, TileTexts
from knowlip.base.vocabulary import AIRCRAFT_TYPES, SHIP_TYPES, region_of
from knowlip.dataset.mentions import Box
from knowlip.language.definitions import COUNT_TOLERANCE, LENGTH_TOLERANCE, count_holds

_DIAGONAL: Final = math.sqrt(2.0)
_LENGTHS: Final = {"ship": (3.0, 460.0), "aircraft": (5.0, 90.0)}
"""Shortest and longest that there are, in metres: a boat, the Seawise Giant (458 m); a light aircraft, the An-225."""
_TYPES: Final = {kind.name: kind.length_m for kind in (*SHIP_TYPES, *AIRCRAFT_TYPES)}
_PIXELS: Final = re.compile(r"\b(\d+(?:\.\d+)?) ?(?:px|pixels)\b")


def against_labels(tile: TileTexts) -> Iterator[Finding]:
    """All rules of this file."""
    yield from counts(tile)
    yield from directions(tile)
    yield from sizes(tile)


def counts(tile: TileTexts) -> Iterator[Finding]:
    """Counts in words against the annotator's own numbers and boxes, and against labels."""
    count, category = tile.claim("Count", "count"), tile.claim("Count", "category")
    if count is None:
        return
    if tile.mention is not None:
        number = tile.mention.counts.get(category)
        if number is not None and number != count and not _about(tile, count, number):
            yield tile.finding("Count", "count-mention", f"{count} in words, {number} as a number")
        boxes = sum(box.category == category for box in tile.mention.boxes)
        if boxes > count and not _about(tile, count, boxes):
            yield tile.finding("Count", "count-boxes", f"{count} in words, {boxes} boxes")
    if tile.labels is not None:
        true = sum(thing.category == category for thing in tile.labels)
        if not count_holds(count, true):
            yield tile.finding("Count", "count-labels", f"{count} in words, {true} labelled")


def _about(tile: TileTexts, count: int, number: int) -> bool:
    """Whether the sentence rounds, and a number fits it."""
    sentence = tile.sentence("Count")
    rounded = sentence is not None and re.search(r"\b(about|around|some|nearly|roughly)\b", sentence.text.lower())
    return bool(rounded) and abs(count - number) <= COUNT_TOLERANCE * number


def directions(tile: TileTexts) -> Iterator[Finding]:
    """Less than half of the boxes, or of the labelled objects, lie in the regions that Location names.

    A box lies in every region that it touches: what the tile cuts off has its centre elsewhere than its box.
    """
    regions, category = tile.claim("Location", "regions"), tile.claim("Location", "category")
    if not regions:
        return
    if tile.mention is not None:
        touched = [_touched(box) for box in tile.mention.boxes if box.category == category]
        if touched and sum(bool(at & set(regions)) for at in touched) * 2 < len(touched):
            yield tile.finding("Location", "direction-boxes", "most boxes lie in other regions")
    at = [region_of(thing.x, thing.y) for thing in tile.labels or () if thing.category == category]
    if at and sum(region in regions for region in at) * 2 < len(at):
        yield tile.finding("Location", "direction-labels", "most labelled objects lie in other regions")


def _touched(box: Box) -> set[int]:
    first, last = region_of(box.x, box.y), region_of(box.x + box.width, box.y + box.height)
    return {row * 3 + column for row in range(first // 3, last // 3 + 1) for column in range(first % 3, last % 3 + 1)}


def sizes(tile: TileTexts) -> Iterator[Finding]:
    """Lengths that the window, the resolution, the category or the named type do not allow."""
    length = tile.claim("Size", "length_m")
    sentence = tile.sentence("Size")
    sides = list(tile.row.get("proj:shape", ()))
    for found in _PIXELS.findall(sentence.text.lower()) if sentence and sides else ():
        if float(found) > math.hypot(*sides):
            yield tile.finding("Size", "size-window", f"{found} pixels in a tile of {max(sides)}")
    if length is None:
        return
    window, resolution = tile.number("window_m"), tile.number("resolution_m")
    if length > window * _DIAGONAL:
        yield tile.finding("Size", "size-window", f"{length:g} m in a window of {window:g} m")
    if length < max(resolution, tile.number("metres_per_pixel")):
        yield tile.finding("Size", "size-resolution", f"{length:g} m is less than a pixel")
    category = tile.claim("Size", "category")
    shortest, longest = _LENGTHS.get(category, (0.0, math.inf))
    if not shortest <= length <= longest:
        yield tile.finding("Size", "size-category", f"{length:g} m, {category}")
        return
    ranges = [_TYPES[name] for name in tile.claim("Category", "types") or []]
    if ranges:
        low = min(low for low, _ in ranges) * (1 - LENGTH_TOLERANCE)
        high = max(high for _, high in ranges) * (1 + LENGTH_TOLERANCE)
        if not low <= length <= high:
            named = " or ".join(tile.claim("Category", "types"))
            yield tile.finding("Size", "size-type", f"{length:g} m, {named}", "Category")
