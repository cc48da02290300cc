"""The words that claims are made of: numbers, regions, covers, shares, axes and forms, in a normalised text."""

import re
from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

from knowlip.language.directions import COMPASS

T = TypeVar("T")

_TO_TWENTY = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
NUMBERS: Final = tuple(_TO_TWENTY.split())

GROUPS: Final = {"pair": 2, "couple": 2, "duo": 2, "trio": 3, "quartet": 4}
"""Word for a group -> how many."""

HEDGES: Final[tuple[tuple[str, ...], ...]] = (
    ("",),
    ("likely", "probably"),
    ("possibly", "perhaps"),
)
"""What doubt is spoken with, by level: none, more likely than not, open."""

COVER_WORDS: Final[dict[str, tuple[str, ...]]] = {
    cover: tuple(phrases.split(", "))
    for cover, phrases in {
        "water": "open water, open sea, waters, water, sea, ocean, river, lake, basin",
        "field": "cultivated fields, crop fields, fields, field, farmland, cropland, agricultural land, cropfields, "
        "arable land, farm plots",
        "wood": "woodland, woods, wood, forest, forests, trees, tree cover, tree stands, wooded ground",
        "built-up": "built up land, built up areas, built up area, built up, urban fabric, urban blocks, urban, "
        "residential, settlement, buildings, houses, housing, town, city blocks",
        "quay": "quays, quay, quayside, docks, dock, wharf, wharves, pier, piers, port land",
        "pavement": "runway and apron, runways and aprons, apron and runway, pavement, paved ground, paved surfaces, "
        "tarmac",
        "airfield": "airfield, airfield ground, airfield surfaces, aerodrome ground, airport ground, airport land, "
        "aerodrome",
        "runway": "runway, runways, taxiway, taxiways",
        "apron": "apron, aprons",
        "grass": "grass, mown grass, grassland, grassy ground, turf",
        "land": "dry land, land",
        "open land": "unbuilt land, undeveloped land, unbuilt ground, non urban land",
    }.items()
}
"""Land cover -> the phrases that name it, longest first where one holds another."""

COVER_OF: Final = {phrase: name for name, phrases in COVER_WORDS.items() for phrase in phrases}
_COVER: Final = re.compile(r"\b(" + "|".join(sorted(COVER_OF, key=len, reverse=True)) + r")\b")
_NEGATION: Final = re.compile(r"\b(no|without|nor|free of|lacks|lacking|absence of|away from)\b")
_CLAUSE: Final = re.compile(r",|\bbut\b|\bonly\b")
_WIND: Final = r"(north(?:east|west)?|east|west|south(?:east|west)?)"
_AXIS: Final = re.compile(rf"\b{_WIND} (?:to |and |through )?{_WIND}\b")
_EVERYWHERE: Final = re.compile(
    r"\b((?:(?:the )?whole|entire|(?:most|much|nearly all|almost all|(?:most|all) parts) of the) "
    r"(?:scene|image|tile|area|frame|window)|throughout|everywhere)\b"
)
_SHARE: Final = re.compile(r"\b(\d{1,3}) ?%")
_WORD_SHARE: Final = (
    (re.compile(r"\b(?:entire|whole) view\b"), 1.0),
    (re.compile(r"\b(almost all|nearly all|almost the entire|almost entirely|almost the whole)\b"), 0.95),
    (re.compile(r"\b(about half|half)\b"), 0.5),
)


def number_of(word: str) -> int:
    """The number that a word of `NUMBERS` or digits mean."""
    return int(word) if word.isdigit() else NUMBERS.index(word)


def plain_words(text: str) -> str:
    """A sub-text without case, spaces around it and the full stop, as a decoder may have changed them."""
    return text.lower().strip(" .")


def normalise(text: str) -> str:
    """Lower case, hyphens and most punctuation to spaces, commas kept as tokens, American spelling, `%` for percent."""
    text = re.sub(r" ?##", "", text.lower())
    text = re.sub(r"per ?cent\b", "%", text)
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    text = re.sub(r"(?<=\d) \. (?=\d)", ".", text)
    text = re.sub(r"[,;:]", " , ", text)
    text = re.sub(r"[^a-z0-9%,.]", " ", text)
    text = re.sub(r"\.(?!\d)", " , ", text)
    text = re.sub(r"\bcentre\b|\bcentral\b|\bmiddle\b|\bmid\b", "center", text)
    text = re.sub(r"\bmetres?\b|\bmeter\b", "meters", text)
    text = re.sub(r"\b(north|south) (east|west)(ern)?\b", r"\1\2", text)
    text = re.sub(r"\b((?:north|south)?(?:east|west)|north|south)ern\b", r"\1", text)
    return re.sub(r"\s+", " ", text).strip(" ,")


def _region_phrases() -> dict[str, tuple[int, ...]]:
    """Phrase -> region numbers: a row and a column beside each other are one region, either by itself is three."""
    rows = {"upper": 0, "top": 0, "north": 0, "lower": 2, "bottom": 2, "south": 2}
    columns = {"left": 0, "right": 2, "west": 0, "east": 2}
    phrases: dict[str, tuple[int, ...]] = {"northwest": (0,), "northeast": (2,), "southwest": (6,), "southeast": (8,)}
    phrases["center"] = (4,)
    for row, y in rows.items():
        phrases[row] = (3 * y, 3 * y + 1, 3 * y + 2)
        phrases[f"{row} center"] = phrases[f"center {row}"] = (3 * y + 1,)
        for column, x in columns.items():
            phrases[f"{row} {column}"] = phrases[f"{column} {row}"] = (3 * y + x,)
    for column, x in columns.items():
        phrases[column] = (x, 3 + x, 6 + x)
        phrases[f"{column} center"] = phrases[f"center {column}"] = (3 + x,)
    return phrases


REGION_PHRASES: Final = _region_phrases()
_REGION: Final = re.compile(r"\b(?:" + "|".join(sorted(REGION_PHRASES, key=len, reverse=True)) + r")\b")


def regions_of(text: str) -> list[int]:
    """Region numbers named in a normalised text, in order of mention."""
    text = _AXIS.sub(lambda match: " " if _opposite(*match.groups()) else match.group(0), text)
    if _EVERYWHERE.search(text):
        return list(range(9))
    return unique(region for match in _REGION.finditer(text) for region in REGION_PHRASES[match.group()])


def _opposite(first: str, second: str) -> bool:
    return abs(COMPASS.index(first) - COMPASS.index(second)) == 4


def axis_of(text: str) -> float | None:
    """The axis that two opposite directions name, degrees clockwise from north."""
    for first, second in _AXIS.findall(text):
        if _opposite(first, second):
            return 45.0 * (COMPASS.index(first) % 4)
    return None


def covers_of(text: str) -> list[tuple[int, str]]:
    """Positions and names of land covers that are not negated, in order of mention."""
    found = []
    for match in _COVER.finditer(text):
        clause = text[: match.start()].rsplit(",", 1)[-1]
        if not _NEGATION.search(clause):
            found.append((match.start(), COVER_OF[match.group(1)]))
    return found


def unique(values: Iterable[T]) -> list[T]:
    """Each value once, in order."""
    return list(dict.fromkeys(values))


def forms_of(text: str, forms: Mapping[str, re.Pattern[str]]) -> list[str]:
    """Names of the forms that a normalised text speaks of and does not deny, in order of mention."""
    found = []
    for name, pattern in forms.items():
        for match in pattern.finditer(text):
            if not _NEGATION.search(_CLAUSE.split(text[: match.start()])[-1]):
                found.append((match.start(), name))
                break
    return [name for _, name in sorted(found)]


def shares_of(text: str) -> dict[str, float]:
    """Cover -> share: each goes to the nearest cover named before it in its clause, else to the first one after it."""
    # "40 % water" names the cover right behind the number, which goes before all others
    marks = [(match.start(), min(100, int(match.group(1))) / 100) for match in _SHARE.finditer(text)]
    if not marks:
        marks = [(match.start(), share) for pattern, share in _WORD_SHARE for match in pattern.finditer(text)][:1]
    covers = [(match.start(), COVER_OF[match.group(1)]) for match in _COVER.finditer(text)]
    shares: dict[str, float] = {}
    for at, share in marks:
        clause = text.rfind(",", 0, at)
        before = [name for position, name in covers if clause < position < at]
        after = [name for position, name in covers if position > at]
        follows = next((name for position, name in covers if re.fullmatch(r"\d+ ?% ?", text[at:position])), None)
        name = follows or (before[-1] if before else after[0] if after else None)
        if name is not None:
            shares.setdefault(name, share)
    for match in re.finditer(r"\bno (?:visible |clear |open |obvious )?(" + "|".join(COVER_OF) + r")\b", text):
        shares.setdefault(COVER_OF[match.group(1)], 0.0)
    return shares


def lone_share_of(text: str, name: str) -> dict[str, float]:
    """The share of a cover where the text holds one percentage and no other cover."""
    marks = _SHARE.findall(text)
    alone = len(marks) == 1 and {cover for _, cover in covers_of(text)} == {name}
    return {name: min(100, int(marks[0])) / 100} if alone else {}


def where_of(text: str) -> dict[str, list[int]]:
    """Cover -> regions: each cover takes the regions named between it and the next cover."""
    covers = covers_of(text)
    where: dict[str, list[int]] = {}
    for number, (start, name) in enumerate(covers):
        end = covers[number + 1][0] if number + 1 < len(covers) else len(text)
        regions = regions_of(text[start:end])
        if regions:
            where[name] = unique(where.get(name, []) + regions)
    return where
