"""Read back what a sub-text claims: counts, regions, shares, lengths, types, patterns.

The reader knows a closed set of phrases: those the `measured` annotator writes, with the common paraphrases of language
models. It is tolerant to case, punctuation and the spaces of WordPiece decoding ("upper - left", "40 %"), and it
returns only what it recognised; nothing recognised gives `{}`.
"""

import re
from typing import Any, Final

from knowlip.language.claim_words import (
    AXES,
    COVER_WORDS,
    NUMBERS,
    axis_of,
    covers_of,
    forms_of,
    normalise,
    regions_of,
    shares_of,
    unique,
    where_of,
)

__all__ = ["AXES", "COVER_WORDS", "NUMBERS", "UNMEASURED", "normalise", "parse_claims"]

UNMEASURED: Final[tuple[str, ...]] = ("relief", "arrangement", "edges")
"""Claims that no truth of ours can bear out: simulated land is flat, and its map knows covers and no styles."""

_LANDFORM: Final = dict.fromkeys(("runway", "apron", "grass", "pavement"), "airfield")
_COUNTED: Final = {
    "ship": r"ships?|vessels?|boats?|tankers?|carriers?",
    "aircraft": r"aircrafts?|airplanes?|planes?|airliners?|jets?|fighters?|turboprops?",
}
TYPE_WORDS: Final[dict[str, tuple[str, ...]]] = {
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
_TYPE_OF: Final = {phrase: name for name, phrases in TYPE_WORDS.items() for phrase in phrases}
_TYPE: Final = re.compile(r"\b(" + "|".join(sorted(_TYPE_OF, key=len, reverse=True)) + r")\b")


def parse_claims(instruction_set: str, dimension: str, text: str) -> dict[str, Any]:
    """Read the claims of one sub-text.

    Args:
        instruction_set: "ground", "marine" or "terrain"; decides how
            "Distribution" is read and the default category.
        dimension: name in `dimensions.DIMENSIONS`; an unknown one gives `{}`.
        text: the sub-text, ours or a language model's.

    Returns:
        A dict with those of these keys that were recognised:
        `count` (int), `category` ("ship"|"aircraft"), `regions` (list of region numbers 0 to 8),
        `shape` ("elongated"|"compact"|"cross"), `axis_deg` (0|45|90|135), `length_m`, `types` (list, main one first),
        `pattern` ("single"|"row"|"cluster"|"scattered"), `shares` (cover -> 0 to 1), `covers` (cover names),
        `open_water` (bool), `main` and `second` (cover names), `function` (str), `where` (cover -> regions),
        `layout` ("uniform"|"two-part"|"mosaic"), `between` (two cover names),
        `side` ("left"|"right"|"above"|"below"), `no_boundary` (bool), `amount` ("none"|"few"|"some"|"many"),
        `roads` (bool), `water` (bool);
        and of `UNMEASURED` `relief` (list of "plain", "hills", "mountains", "valley"),
        `arrangement` (list of "grid", "linear", "radial", "centralised", "network", "scattered", "irregular") and
        `edges` (list of "sharp", "gradual", "straight", "winding").
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
    regions = regions_of(text)
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
    if (axis := axis_of(text)) is not None:
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
    types = unique(_TYPE_OF[match.group(1)] for match in _TYPE.finditer(text))
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
    shares = shares_of(text)
    return {"shares": shares} if shares else {}


def _environment(text: str) -> dict[str, Any]:
    claims: dict[str, Any] = {}
    if re.search(r"\bopen (water|sea|ocean)\b", text):
        claims["open_water"] = True
    covers = [name for _, name in covers_of(text) if name != "land"]
    if claims and "water" in covers:
        covers.remove("water")
    if covers:
        claims["covers"] = unique(covers)
    return claims | where_of(text)


def _forms(forms: dict[str, str]) -> dict[str, re.Pattern[str]]:
    return {name: re.compile(rf"\b(?:{words})\b") for name, words in forms.items()}


_RELIEF: Final = _forms({
    "plain": r"plains?|flatland|lowlands?", "hills": r"hill(?:s|y|ock|ocks|side|sides)?|uplands?",
    "mountains": r"mountains?|mountainous|ridges?", "valley": r"valleys?|gorges?|canyons?",
})  # fmt: skip
_ARRANGEMENT: Final = _forms({
    "grid": r"grids?|gridded|rectilinear|rectangular blocks?|regular blocks?", "linear": r"linear|linearly|ribbon",
    "radial": r"radial|radiating|concentric", "centralised": r"centrali[sz]ed",
    "network": r"network|networked|dendritic|branching",
    "scattered": r"scattered|dispersed|diffuse|sporadic", "irregular": r"irregular|irregularly|organic|unstructured",
})  # fmt: skip
_EDGES: Final = _forms({
    "sharp": r"sharp|sharply|sharper|abrupt|abruptly|distinct|crisp|clear|clearly|well defined",
    "gradual": r"gradual|gradually|smooth|soft|softly|diffuse|blurred|transitional",
    "straight": r"straight|linear|rectilinear|geometric",
    "winding": r"winding|meandering|curved|curvilinear|curving|sinuous|irregular",
})  # fmt: skip


def _named(name: str, text: str, forms: dict[str, re.Pattern[str]]) -> dict[str, Any]:
    found = forms_of(text, forms)
    return {name: found} if found else {}


def _terrain(text: str) -> dict[str, Any]:
    covers = unique(_LANDFORM.get(name, name) for _, name in covers_of(text) if name != "land")
    claims: dict[str, Any] = {}
    if covers:
        claims["main"] = covers[0]
        if len(covers) > 1:
            claims["second"] = covers[1]
    return claims | _named("relief", text, _RELIEF)


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


def _layout(text: str) -> dict[str, Any]:
    for layout, words in (
        ("mosaic", r"mosaic|patchwork|mixed|fragmented|several (?:uses|types|covers|landforms)|interspersed"),
        ("two-part", r"two (?:[a-z]+ )?(?:parts|zones|halves|areas)|split|divided|two part"),
        ("uniform", r"uniform|homogeneous|continuous|dominated|(?:single|one) (?:[a-z]+ )?(?:zone|block|area|expanse)"),
    ):
        if re.search(rf"\b({words})\b", text):
            covers = unique(name for _, name in covers_of(text) if name != "land")
            claims = {"layout": layout, "covers": covers} if covers else {"layout": layout}
            return claims | _named("arrangement", text, _ARRANGEMENT)
    return _named("arrangement", text, _ARRANGEMENT)


def _boundary(text: str) -> dict[str, Any]:
    if re.search(r"\bno (?:clear |sharp |visible |major )?(?:boundary|boundaries|edge|border|shoreline)\b", text):
        return {"no_boundary": True} | _named("edges", text, _EDGES)
    covers = unique(name for _, name in covers_of(text) if name != "land")
    if len(covers) < 2:
        return _named("edges", text, _EDGES)
    claims: dict[str, Any] = {"between": covers[:2]}
    for side, words in (
        ("left", r"left|west"), ("right", r"right|east"), ("above", r"above|north"), ("below", r"below|south"),
    ):  # fmt: skip
        if re.search(rf"\b({words})\b", text):
            claims["side"] = side
            break
    return claims | _named("edges", text, _EDGES)


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
    if claims and claims["amount"] != "none" and (regions := regions_of(text)):
        claims["regions"] = regions
    return claims


def _roads(text: str) -> dict[str, Any]:
    if re.search(r"\b(no|without|absent|hardly any)\b", text):
        return {"roads": False}
    if not re.search(r"\b(roads?|streets?|highways?|motorways?)\b", text):
        return {}
    claims: dict[str, Any] = {"roads": True}
    if regions := regions_of(text):
        claims["regions"] = regions
    return claims


def _water(text: str) -> dict[str, Any]:
    if re.search(r"\bno\b(?: [a-z]+)?(?: [a-z]+)? (water|river|lake|sea)\b|\bdry\b|\bwithout water\b", text):
        return {"water": False}
    shares = shares_of(text)
    if not covers_of(text):
        return {}
    claims: dict[str, Any] = {"water": True}
    if "water" in shares:
        claims["shares"] = {"water": shares["water"]}
    if regions := regions_of(text):
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
    ("terrain", "Distribution"): where_of,
    ("terrain", "Layout"): _layout,
    ("terrain", "Boundary"): _boundary,
    ("terrain", "Buildings"): _buildings,
    ("terrain", "Roads"): _roads,
    ("terrain", "Water"): _water,
}
