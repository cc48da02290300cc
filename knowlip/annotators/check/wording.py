"""Rules on the wording: places instead of sights, sentences cut off or too long, empty and repeated ones."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from knowlip.annotators.check.tile import Finding, TileTexts
from knowlip.language.claims import parse_claims
from knowlip.language.dimensions import DIMENSIONS
from knowlip.language.phrases import UNKNOWN
from knowlip.language.words import COVER_WORDS, normalise

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
    r"(?:\.\.\.|…|[,;:(\-–])$|\b(?:and|or|the|a|an|of|with|in|on|at|to|by|from|near|about|is|are|between)$"
)


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
        if _DANGLING.search(one.text.strip().lower()):
            yield tile.finding(one.dimension, "cut-off", "ends in the middle of a sentence")
        if limit and (size := length(one.text)) > limit:
            yield tile.finding(one.dimension, "too-long", f"{size} of at most {limit}")
