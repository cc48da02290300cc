"""The rules of `knowlip text check`, in three groups.

Sub-texts of one tile that cannot all be true, whatever the image shows; sub-texts against boxes, labels, the window and
the sizes of things; and wording: places instead of sights, sentences that are cut off, too long, empty or repeated.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from knowlip.annotators.check.tile import Finding, TileTexts
from knowlip.base.vocabulary import AIRCRAFT_TYPES, SHIP_TYPES, region_of
from knowlip.dataset.mentions import Box
from knowlip.language.categories import CATEGORY_OF_TYPE
from knowlip.language.claims import parse_claims
from knowlip.language.definitions import COUNT_TOLERANCE, LENGTH_TOLERANCE, count_holds
from knowlip.language.dimensions import DIMENSIONS, InstructionSet
from knowlip.language.phrases import UNKNOWN
from knowlip.language.words import COVER_WORDS, normalise

# ---- contradictions --------------------------------------------------------------------------------------------------

_SHARE: Final = re.compile(r"(\d+(?:\.\d+)?) ?(?:%|per ?cent)")
_OVER: Final = 1.05
"""Shares are rounded; beyond this they add up to too much."""
_OPEN_LEAST: Final = 0.6
"""Water share below which "open water" contradicts."""
_MAIN_LEAST, _MAIN_MOST = 0.15, 0.7
"""A main cover has at least the first share; a cover with more than the second is the main one."""
_ABSENT: Final = "is said to be absent"


def contradictions(tile: TileTexts) -> Iterator[Finding]:
    """Sub-texts that cannot all be true."""
    yield from over_hundred(tile)
    if tile.instruction_set == InstructionSet.TERRAIN:
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


# ---- labels and sizes ------------------------------------------------------------------------------------------------

_DIAGONAL: Final = math.sqrt(2.0)
_LENGTHS: Final = {"ship": (3.0, 460.0), "aircraft": (5.0, 90.0)}
"""Shortest and longest that there are, in metres: a boat, the Seawise Giant (458 m); a light aircraft, the An-225."""
_TYPES: Final = {kind.name: kind.length_m for kind in (*SHIP_TYPES, *AIRCRAFT_TYPES)}
_PIXELS: Final = re.compile(r"\b(\d+(?:\.\d+)?) ?(?:px|pixels)\b")


def against_labels(tile: TileTexts) -> Iterator[Finding]:
    """Sub-texts that boxes, labels or sizes do not allow."""
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
    # A length in pixels makes no claim, and one that no ship or aircraft has says nothing of the type.
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


# ---- wording ---------------------------------------------------------------------------------------------------------

_PLACE_COLUMNS: Final = ("country", "region", "city", "airport", "port")
_GENERIC: Final = re.compile(
    r"\b(?:[A-Z][\w'-]+ )+(?:International )?(?:Airport|Harbou?r|Port|Airfield|Air Base|Naval Base|Bay|City|Island)\b"
    r"|\b(?:Port|Harbou?r|City|Gulf|Bay) of [A-Z][\w'-]+"
)
"""Proper names by their form; only names count, not "a port"."""
_NAME_ENDINGS: Final = re.compile(r" (International Airport|Airport|Airfield|Air Base|Harbou?r|Port)$")
_SIGHTS: Final = re.compile(
    r"\b(bright|dark|grey|gray|points?|spots?|lines?|linear|strips?|texture|shapes?|shadow|rectangular|elongated|compact|"
    r"strong|scatter\w*|reflect\w*|visible|seen|image|scene|center|left|right|upper|lower|ships?|vessels?|aircraft|"
    r"planes?|roads?|streets?|bridges?|tanks?|hills?|mountains?|plain|flat|slopes?|coast\w*|shore\w*|"
    + "|".join(word for words in COVER_WORDS.values() for word in words)
    + r")\b"
)
"""Words of what an image shows, beside the claims that can be read."""
_NEARBY: Final = re.compile(
    r"\b(near|close to|next to|outside|in|at) (a|an|the)? ?(large |major )?(city|port|airport|harbou?r)\b"
)
_DANGLING: Final = re.compile(
    r"(?:\.\.\.|…|[,;:(\-–])$|\b(?:and|or|the|a|an|of|with|in|on|at|to|(?<!close )by|from|near|about|is|are|between)$"
)

_INDIRECT: Final = re.compile(r"\b(?:how|what|where|which|who)\b.*\b(?:is|are)$")
"""An indirect question, whose last word is its verb: "decide how bright water is"."""


def place_names(rows: Iterable[Any]) -> set[str]:
    """All names of places in index rows, airports and ports also without that word."""
    names = {str(row.get(column) or "") for row in rows for column in _PLACE_COLUMNS}
    names |= {_NAME_ENDINGS.sub("", name) for name in names}
    return {name for name in names if len(name) > 2 and name[0].isupper()}


def place_pattern(names: Iterable[str]) -> re.Pattern[str] | None:
    """One pattern that finds any of the names as whole words."""
    ordered = sorted(names, key=lambda name: (-len(name), name))
    return re.compile(r"\b(" + "|".join(map(re.escape, ordered)) + r")\b") if ordered else None


def named_place(text: str, known: re.Pattern[str] | None) -> str:
    """The first name of a place in a text, "" for none. A single word that opens the text is not counted: "Reading" and
    "Nice" are words too."""
    found = _GENERIC.search(text)
    for match in known.finditer(text) if known else ():
        if match.start() > 0 or " " in match.group() or text == match.group():
            return match.group()
    return found.group() if found else ""


def shows_something(tile: TileTexts, dimension: str, text: str, place: str) -> bool:
    """Whether a text says anything of the image beside the place's name."""
    rest = text.replace(place, " ")
    rest = _NEARBY.sub(" ", rest)
    claims = parse_claims(tile.instruction_set, dimension, rest)
    return bool(claims.keys() - {"category"}) or bool(_SIGHTS.search(normalise(rest)))


def wording(tile: TileTexts, length: Callable[[str], int], limit: int) -> Iterator[Finding]:
    """Empty, repeated, cut off and too long sub-texts, and dimensions that are not there.

    Args:
        tile: with its texts.
        length: of a text, in words or tokens.
        limit: longest text that is read whole; 0 for any.
    """
    there = {one.dimension for one in tile.sentences}
    for slot, dimension in enumerate(DIMENSIONS.get(tile.instruction_set, ()), 1):
        if dimension not in there:
            yield Finding(tile.tile_id, slot, dimension, "missing", "", "the tile has no such sub-text")
    seen: dict[str, str] = {}
    for one in tile.sentences:
        text = normalise(one.text)
        if not re.search(r"[a-z0-9]", text):
            yield tile.finding(one.dimension, "empty", "no word")
            continue
        if text != UNKNOWN and text in seen:
            yield tile.finding(one.dimension, "duplicate-sentence", f"as {seen[text]}", seen[text])
        seen.setdefault(text, one.dimension)
        ending = one.text.strip().lower()
        if _DANGLING.search(ending) and not _INDIRECT.search(ending):
            yield tile.finding(one.dimension, "cut-off", "ends in the middle of a sentence")
        if limit and (size := length(one.text)) > limit:
            yield tile.finding(one.dimension, "too-long", f"{size} of at most {limit}")
