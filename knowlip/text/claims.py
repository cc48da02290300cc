"""Read back what a sub-text claims: counts, regions, shares, lengths, types, patterns.

The reader knows a closed set of phrases: those the `rules` annotator writes, with the common paraphrases of language
models. It is tolerant to case, punctuation and the spaces of WordPiece decoding ("upper - left", "40 %"), and it
returns only what it recognised; nothing recognised gives `{}`.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

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

_COVER_OF: Final = {phrase: name for name, phrases in COVER_WORDS.items() for phrase in phrases}
_COVER: Final = re.compile(r"\b(" + "|".join(sorted(_COVER_OF, key=len, reverse=True)) + r")\b")
_LANDFORM: Final = dict.fromkeys(("runway", "apron", "grass", "pavement"), "airfield")
_NEGATION: Final = re.compile(r"\b(no|without|nor|free of|lacks|lacking|absence of|away from)\b")
_COUNTED: Final = {
    "ship": r"ships?|vessels?|boats?|tankers?|carriers?",
    "aircraft": r"aircrafts?|airplanes?|planes?|airliners?|jets?|fighters?|turboprops?",
}
_TYPE_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "container ship": ("container ship", "container ships", "container vessel", "container vessels"),
    "tanker": ("oil tanker", "oil tankers", "tanker", "tankers"),
    "bulk carrier": ("bulk carrier", "bulk carriers", "bulker", "bulkers"),
    "cargo ship": ("cargo ship", "cargo ships", "cargo vessel", "cargo vessels", "freighter", "freighters"),
    "fishing boat": ("fishing boat", "fishing boats", "fishing vessel", "fishing vessels"),
    "wide-body airliner": ("wide body airliner", "wide body airliners", "wide body", "widebody"),
    "narrow-body airliner": ("narrow body airliner", "narrow body airliners", "narrow body", "narrowbody"),
    "regional turboprop": ("regional turboprop", "regional turboprops", "turboprop", "turboprops"),
    "business jet": ("business jet", "business jets"),
    "fighter": ("fighter jet", "fighter jets", "fighter", "fighters"),
}
_TYPE_OF: Final = {phrase: name for name, phrases in _TYPE_WORDS.items() for phrase in phrases}
_TYPE: Final = re.compile(r"\b(" + "|".join(sorted(_TYPE_OF, key=len, reverse=True)) + r")\b")
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


def parse_claims(instruction_set: str, dimension: str, text: str) -> dict[str, Any]:
    """Read the claims of one sub-text.

    Args:
        instruction_set: "ground", "marine" or "terrain"; decides how
            "Distribution" is read and the default category.
        dimension: name in `vocabulary.DIMENSIONS`; an unknown one gives `{}`.
        text: the sub-text, ours or a language model's.

    Returns:
        A dict with those of these keys that were recognised:
        `count` (int), `category` ("ship"|"aircraft"), `regions` (list of region numbers 0 to 8),
        `shape` ("elongated"|"compact"|"cross"), `axis_deg` (0|45|90|135), `length_m`, `types` (list, main one first),
        `pattern` ("single"|"row"|"cluster"|"scattered"), `shares` (cover -> 0 to 1), `covers` (cover names),
        `open_water` (bool), `main` and `second` (cover names), `function` (str), `where` (cover -> regions),
        `layout` ("uniform"|"two-part"|"mosaic"), `between` (two cover names),
        `side` ("left"|"right"|"above"|"below"), `no_boundary` (bool), `amount` ("none"|"few"|"some"|"many"),
        `roads` (bool), `water` (bool).
    """
    reader = _READERS.get((("terrain" if instruction_set == "terrain" else "target"), dimension))
    if reader is None:
        return {}
    claims = reader(normalise(text))
    if claims and instruction_set != "terrain" and dimension not in ("Region", "Environment"):
        claims["category"] = _category(normalise(text)) or ("aircraft" if instruction_set == "ground" else "ship")
    return claims


def _category(text: str) -> str | None:
    for category, words in _COUNTED.items():
        if re.search(rf"\b({words})\b", text):
            return category
    return None


def _regions(text: str) -> list[int]:
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


def _axis(text: str) -> float | None:
    for first, second in _AXIS.findall(text):
        if _opposite(first, second):
            return _COMPASS[first] % 180.0
    return None


def _covers(text: str) -> list[tuple[int, str]]:
    """Positions and names of land covers that are not negated, in order of mention."""
    found = []
    for match in _COVER.finditer(text):
        clause = text[: match.start()].rsplit(",", 1)[-1]
        if not _NEGATION.search(clause):
            found.append((match.start(), _COVER_OF[match.group(1)]))
    return found


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _shares(text: str) -> dict[str, float]:
    """Each share goes to the nearest cover named before it in its clause, else to the first one after it."""
    marks = [(match.start(), min(100, int(match.group(1))) / 100) for match in _SHARE.finditer(text)]
    if not marks:
        marks = [(match.start(), share) for pattern, share in _WORD_SHARE for match in pattern.finditer(text)][:1]
    covers = [(match.start(), _COVER_OF[match.group(1)]) for match in _COVER.finditer(text)]
    shares: dict[str, float] = {}
    for at, share in marks:
        clause = text.rfind(",", 0, at)
        before = [name for position, name in covers if clause < position < at]
        after = [name for position, name in covers if position > at]
        follows = next((name for position, name in covers if re.fullmatch(r"\d+ ?% ?", text[at:position])), None)
        name = follows or (before[-1] if before else after[0] if after else None)
        if name is not None:
            shares.setdefault(name, share)
    for match in re.finditer(r"\bno (?:visible |clear |open |obvious )?(" + "|".join(_COVER_OF) + r")\b", text):
        shares.setdefault(_COVER_OF[match.group(1)], 0.0)
    return shares


def _count(text: str) -> dict[str, Any]:
    nouns = "|".join(_COUNTED.values())
    if re.search(rf"\b(no|zero) (?:[a-z]+ )?({nouns})\b|^none\b", text):
        return {"count": 0}
    if match := re.search(r"\b(\d{1,3})\b(?! ?%)", text):
        return {"count": int(match.group(1))}
    if match := re.search(r"\b(" + "|".join(NUMBERS) + r")\b", text):
        return {"count": NUMBERS.index(match.group(1))}
    if re.search(r"\b(pair|couple)\b", text):
        return {"count": 2}
    if re.search(rf"\b(a|single|an) (?:[a-z]+ )?({nouns})\b", text):
        return {"count": 1}
    return {}


def _location(text: str) -> dict[str, Any]:
    regions = _regions(text)
    return {"regions": regions} if regions else {}


def _feature(text: str) -> dict[str, Any]:
    claims: dict[str, Any] = {}
    for shape, words in (
        ("cross", r"cross|crosses|wings?|fuselages?|t shaped?|y shaped?"),
        ("elongated", r"elongated|long|hulls?|spindle|strip"),
        ("compact", r"compact|points?|spots?|blobs?|dots?|small"),
    ):
        if re.search(rf"\b({words})\b", text):
            claims["shape"] = shape
            break
    if (axis := _axis(text)) is not None:
        claims["axis_deg"] = axis
    return claims


def _size(text: str) -> dict[str, Any]:
    if match := re.search(r"\btypically (?:about |around )?(\d+(?:\.\d+)?) ?(?:m\b|meters)", text):
        return {"length_m": float(match.group(1))}
    if match := re.search(r"\b(\d+(?:\.\d+)?) ?(?:to|and) (\d+(?:\.\d+)?) ?(?:m\b|meters)", text):
        return {"length_m": (float(match.group(1)) + float(match.group(2))) / 2}
    if match := re.search(r"\b(\d+(?:\.\d+)?) ?(?:m\b|meters)", text):
        return {"length_m": float(match.group(1))}
    return {}


def _types(text: str) -> dict[str, Any]:
    types = _unique(_TYPE_OF[match.group(1)] for match in _TYPE.finditer(text))
    return {"types": types} if types else {}


def _pattern(text: str) -> dict[str, Any]:
    for pattern, words in (
        ("single", r"single|alone|isolated|lone|only one"),
        ("row", r"rows?|line|lined|aligned|string"),
        ("cluster", r"clusters?|clustered|grouped|group|dense|densely|close together|closely|side by side"),
        ("scattered", r"scattered|dispersed|spread|far apart|apart|irregularly"),
    ):
        if re.search(rf"\b({words})\b", text):
            return {"pattern": pattern}
    return {}


def _region_shares(text: str) -> dict[str, Any]:
    shares = _shares(text)
    return {"shares": shares} if shares else {}


def _environment(text: str) -> dict[str, Any]:
    claims: dict[str, Any] = {}
    if re.search(r"\bopen (water|sea|ocean)\b", text):
        claims["open_water"] = True
    covers = [name for _, name in _covers(text) if name != "land"]
    if claims and "water" in covers:
        covers.remove("water")
    if covers:
        claims["covers"] = _unique(covers)
    return claims | _where(text)


def _terrain(text: str) -> dict[str, Any]:
    covers = _unique(_LANDFORM.get(name, name) for _, name in _covers(text) if name != "land")
    claims: dict[str, Any] = {}
    if covers:
        claims["main"] = covers[0]
        if len(covers) > 1:
            claims["second"] = covers[1]
    return claims


_FUNCTIONS: Final = (
    ("mixed", r"mixed|without one main use"),
    ("airport", r"airports?|airfields?|aviation|air transport|air base"),
    ("port", r"ports?|harbou?rs?|docks?|shipping|maritime"),
    ("farmland", r"farming|farmland|agricultur\w*|rural|cropland"),
    ("forest", r"forest\w*|woodland"),
    ("open water", r"open water|open sea|waterway|water area|marine area"),
    ("urban", r"urban|residential|city|town|settlement|industrial|built up|commercial"),
)


def _functionality(text: str) -> dict[str, Any]:
    """The earliest function word decides; what follows "near" tells of the surroundings, not of the tile."""
    text = re.sub(r"\bnear\b.*", "", text)
    hits = [(match.start(), name) for name, words in _FUNCTIONS if (match := re.search(rf"\b({words})\b", text))]
    return {"function": min(hits)[1]} if hits else {}


def _where(text: str) -> dict[str, Any]:
    """Each cover takes the regions named between it and the next cover."""
    covers = _covers(text)
    where: dict[str, list[int]] = {}
    for number, (start, name) in enumerate(covers):
        end = covers[number + 1][0] if number + 1 < len(covers) else len(text)
        regions = _regions(text[start:end])
        if regions:
            where[name] = _unique_numbers(where.get(name, []) + regions)
    return {"where": where} if where else {}


def _unique_numbers(values: Iterable[int]) -> list[int]:
    return list(dict.fromkeys(values))


def _layout(text: str) -> dict[str, Any]:
    for layout, words in (
        ("mosaic", r"mosaic|patchwork|mixed|fragmented|several (?:uses|types|covers|landforms)|interspersed"),
        ("two-part", r"two (?:[a-z]+ )?(?:parts|zones|halves|areas)|split|divided|two part"),
        ("uniform", r"uniform|homogeneous|continuous|dominated|(?:single|one) (?:[a-z]+ )?(?:zone|block|area|expanse)"),
    ):
        if re.search(rf"\b({words})\b", text):
            covers = _unique(name for _, name in _covers(text) if name != "land")
            return {"layout": layout, "covers": covers} if covers else {"layout": layout}
    return {}


def _boundary(text: str) -> dict[str, Any]:
    if re.search(r"\bno (?:clear |sharp |visible |major )?(?:boundary|boundaries|edge|border|shoreline)\b", text):
        return {"no_boundary": True}
    covers = _unique(name for _, name in _covers(text) if name != "land")
    if len(covers) < 2:
        return {}
    claims: dict[str, Any] = {"between": covers[:2]}
    for side, words in (
        ("left", r"left|west"), ("right", r"right|east"), ("above", r"above|north"), ("below", r"below|south"),
    ):  # fmt: skip
        if re.search(rf"\b({words})\b", text):
            claims["side"] = side
            break
    return claims


def _buildings(text: str) -> dict[str, Any]:
    claims: dict[str, Any] = {}
    for amount, words in (
        ("none", r"no|absent|without|free of"),
        ("few", r"few|sparse|sparsely|isolated|minor|little|hardly"),
        ("some", r"some|moderate|several|moderately"),
        ("many", r"many|dense|densely|numerous|prominent|extensive|abundant"),
    ):
        if re.search(rf"\b({words})\b", text):
            claims["amount"] = amount
            break
    if claims and claims["amount"] != "none" and (regions := _regions(text)):
        claims["regions"] = regions
    return claims


def _roads(text: str) -> dict[str, Any]:
    if re.search(r"\b(no|without|absent|hardly any)\b", text):
        return {"roads": False}
    if not re.search(r"\b(roads?|streets?|highways?|motorways?)\b", text):
        return {}
    claims: dict[str, Any] = {"roads": True}
    if regions := _regions(text):
        claims["regions"] = regions
    return claims


def _water(text: str) -> dict[str, Any]:
    if re.search(r"\bno\b(?: [a-z]+)?(?: [a-z]+)? (water|river|lake|sea)\b|\bdry\b|\bwithout water\b", text):
        return {"water": False}
    shares = _shares(text)
    if not _covers(text):
        return {}
    claims: dict[str, Any] = {"water": True}
    if "water" in shares:
        claims["shares"] = {"water": shares["water"]}
    if regions := _regions(text):
        claims["regions"] = regions
    return claims


_READERS: Final = {
    ("target", "Count"): _count,
    ("target", "Location"): _location,
    ("target", "Feature"): _feature,
    ("target", "Size"): _size,
    ("target", "Category"): _types,
    ("target", "Distribution"): _pattern,
    ("target", "Region"): _region_shares,
    ("target", "Environment"): _environment,
    ("terrain", "Terrain"): _terrain,
    ("terrain", "Functionality"): _functionality,
    ("terrain", "Distribution"): _where,
    ("terrain", "Layout"): _layout,
    ("terrain", "Boundary"): _boundary,
    ("terrain", "Buildings"): _buildings,
    ("terrain", "Roads"): _roads,
    ("terrain", "Water"): _water,
}
