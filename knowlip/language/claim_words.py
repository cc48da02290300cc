"""The words that claims are made of: regions, covers, shares, axes and forms, in a normalised text."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

T = TypeVar("T")

AXES: Final[dict[str, float]] = {
    "north-south": 0.0,
    "northeast-southwest": 45.0,
    "east-west": 90.0,
    "northwest-southeast": 135.0,
}
"""Orientation in compass words -> degrees clockwise from north, modulo 180."""

NUMBERS: Final[tuple[str, ...]] = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)  # fmt: skip

COVER_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "water": ("open water", "open sea", "water", "sea", "ocean", "river", "lake", "basin"),
    "field": ("fields", "field", "farmland", "cropland", "agricultural land", "cropfields"),
    "wood": ("woodland", "woods", "wood", "forest", "forests", "trees"),
    "built-up": ("built up land", "built up areas", "built up area", "built up", "urban", "residential", "settlement",
                 "buildings", "houses", "town", "city blocks"),
    "quay": ("quays", "quay", "docks", "dock", "wharf", "wharves", "pier", "piers", "port land"),
    "pavement": ("runway and apron", "runways and aprons", "apron and runway", "pavement", "paved ground"),
    "airfield": ("airfield", "airfield ground", "airport ground"),
    "runway": ("runway", "runways", "taxiway", "taxiways"),
    "apron": ("apron", "aprons"),
    "grass": ("grass", "grassland"),
    "land": ("land",),
}  # fmt: skip
"""Land cover -> the phrases that name it, longest first where one holds another."""

COVER_OF: Final = {phrase: name for name, phrases in COVER_WORDS.items() for phrase in phrases}
_COVER: Final = re.compile(r"\b(" + "|".join(sorted(COVER_OF, key=len, reverse=True)) + r")\b")
_NEGATION: Final = re.compile(r"\b(no|without|nor|free of|lacks|lacking|absence of|away from)\b")
_CLAUSE: Final = re.compile(r",|\bbut\b|\bonly\b")
_AXIS: Final = re.compile(
    r"\b(north(?:east|west)?|east|west|south(?:east|west)?) (?:to |and |through )?"
    r"(north(?:east|west)?|east|west|south(?:east|west)?)\b"
)
_COMPASS: Final = {
    "north": 0.0, "northeast": 45.0, "east": 90.0, "southeast": 135.0,
    "south": 180.0, "southwest": 225.0, "west": 270.0, "northwest": 315.0,
}  # fmt: skip
_EVERYWHERE: Final = re.compile(r"\b((whole|entire|most of the) (scene|image|tile|area)|throughout|everywhere)\b")
_SHARE: Final = re.compile(r"\b(\d{1,3}) ?%")
_WORD_SHARE: Final = (
    (re.compile(r"\b(almost all|nearly all|almost the entire|almost entirely|almost the whole)\b"), 0.95),
    (re.compile(r"\b(about half|half)\b"), 0.5),
)


def normalise(text: str) -> str:
    """Lower case, hyphens and most punctuation to spaces, commas kept as tokens, American spelling, `%` for percent."""
    text = re.sub(r" ?##", "", text.lower())
    text = re.sub(r"per ?cent\b", "%", text)
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    text = re.sub(r"[,;:]", " , ", text)
    text = re.sub(r"[^a-z0-9%,.]", " ", text)
    text = re.sub(r"\.(?!\d)", " , ", text)
    text = re.sub(r"\bcentre\b|\bcentral\b|\bmiddle\b|\bmid\b", "center", text)
    text = re.sub(r"\bmetres?\b|\bmeter\b", "meters", text)
    text = re.sub(r"\b(north|south) (east|west)(ern)?\b", r"\1\2", text)
    text = re.sub(r"\b((?:north|south)?(?:east|west)|north|south)ern\b", r"\1", text)
    return re.sub(r"\s+", " ", text).strip(" ,")


def regions_of(text: str) -> list[int]:
    """Region numbers named in a normalised text, in order of mention."""
    text = _AXIS.sub(lambda match: " " if _opposite(*match.groups()) else match.group(0), text)
    if _EVERYWHERE.search(text):
        return list(range(9))
    rows = {"upper": 0, "top": 0, "north": 0, "lower": 2, "bottom": 2, "south": 2}
    columns = {"left": 0, "right": 2, "west": 0, "east": 2}
    corners = {"northwest": 0, "northeast": 2, "southwest": 6, "southeast": 8}
    words = text.split()
    found: list[int] = []
    position = 0
    while position < len(words):
        word, after = words[position], words[position + 1] if position + 1 < len(words) else ""
        step = 1
        if word in corners:
            found.append(corners[word])
        elif word in rows:
            if after in columns:
                found.append(rows[word] * 3 + columns[after])
                step = 2
            elif after == "center":
                found.append(rows[word] * 3 + 1)
                step = 2
            else:
                found.extend(range(rows[word] * 3, rows[word] * 3 + 3))
        elif word == "center":
            if after in columns:
                found.append(3 + columns[after])
                step = 2
            elif after in rows:
                found.append(rows[after] * 3 + 1)
                step = 2
            else:
                found.append(4)
        elif word in columns:
            if after in rows:
                found.append(rows[after] * 3 + columns[word])
                step = 2
            elif after == "center":
                found.append(3 + columns[word])
                step = 2
            else:
                found.extend(range(columns[word], 9, 3))
        position += step
    return list(dict.fromkeys(found))


def _opposite(first: str, second: str) -> bool:
    return abs(_COMPASS[first] - _COMPASS[second]) == 180.0


def axis_of(text: str) -> float | None:
    """The axis that two opposite directions name, degrees clockwise from north."""
    for first, second in _AXIS.findall(text):
        if _opposite(first, second):
            return _COMPASS[first] % 180.0
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


def where_of(text: str) -> dict[str, Any]:
    """Each cover takes the regions named between it and the next cover."""
    covers = covers_of(text)
    where: dict[str, list[int]] = {}
    for number, (start, name) in enumerate(covers):
        end = covers[number + 1][0] if number + 1 < len(covers) else len(text)
        regions = regions_of(text[start:end])
        if regions:
            where[name] = unique(where.get(name, []) + regions)
    return {"where": where} if where else {}
