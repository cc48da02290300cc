"""Read back what a sub-text claims: counts, regions, shares, lengths, types, patterns.

The reader knows a closed set of phrases: those the `measured` annotator writes, with the common paraphrases of language
models. It is tolerant to case, punctuation and the spaces of WordPiece decoding ("upper - left", "40 %"), and it
returns only what it recognised; nothing recognised gives `{}`.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final, Literal, TypedDict, cast

from knowlip.language.categories import TARGET_NOUNS, category_in, types_in
from knowlip.language.dimensions import DIMENSIONS, InstructionSet
from knowlip.language.silent import without_silent
from knowlip.language.words import (
    GROUPS,
    NUMBERS,
    axis_of,
    covers_of,
    forms_of,
    lone_share_of,
    normalise,
    number_of,
    plain_words,
    regions_of,
    shares_of,
    unique,
    where_of,
)

UNMEASURED: Final = ("relief", "arrangement", "edges")
"""Claims that no truth of ours can bear out: simulated land is flat, and its map knows covers and no styles."""


class Claims(TypedDict, total=False):
    """What a sub-text claims; only what was recognised is there."""

    count: int
    count_range: list[int]
    """Least and largest number, where no exact one is claimed."""
    category: str
    """"ship" or "aircraft"."""
    regions: list[int]
    """Region numbers, 0 to 8."""
    shape: str
    """"elongated", "compact" or "cross"."""
    axis_deg: float
    """0, 45, 90 or 135 degrees clockwise from north."""
    length_m: float
    types: list[str]
    """Names in `SHIP_TYPES` or `AIRCRAFT_TYPES`, the main one first."""
    pattern: str
    """"single", "row", "cluster" or "scattered"."""
    shares: dict[str, float]
    """Cover -> 0 to 1."""
    covers: list[str]
    open_water: bool
    main: str
    """The cover that is named first."""
    second: str
    function: str
    where: dict[str, list[int]]
    """Cover -> regions."""
    layout: str
    """"uniform", "two-part" or "mosaic"."""
    between: list[str]
    """Two covers that share a boundary."""
    side: str
    """Where the first of them lies: "left", "right", "above" or "below"."""
    no_boundary: bool
    amount: str
    """Of buildings: "none", "few", "some" or "many"."""
    roads: bool
    water: bool
    relief: list[str]
    """Of "plain", "hills", "mountains", "valley"; not measured."""
    arrangement: list[str]
    """Of "grid", "linear", "radial", "centralised", "network", "scattered", "irregular"; not measured."""
    edges: list[str]
    """Of "sharp", "gradual", "straight", "winding"; not measured."""


_LANDFORM: Final = dict.fromkeys(("runway", "apron", "grass", "pavement"), "airfield")


def parse_claims(instruction_set: str, dimension: str, text: str) -> Claims:
    """Read the claims of one sub-text.

    Args:
        instruction_set: "ground", "marine" or "terrain"; decides how
            "Distribution" is read and the default category.
        dimension: name in `dimensions.DIMENSIONS`; an unknown one gives `{}`.
        text: the sub-text, ours or a language model's.

    Returns:
        Those of the claims that were recognised.
    """
    found = _parsed(str(instruction_set), dimension, text)
    return cast(
        Claims, {name: value.copy() if isinstance(value, list | dict) else value for name, value in found.items()}
    )


@lru_cache(maxsize=1 << 16)
def _parsed(instruction_set: str, dimension: str, text: str) -> Claims:
    terrain = instruction_set == InstructionSet.TERRAIN
    reader = (_TERRAIN_READERS if terrain else _TARGET_READERS).get(dimension)
    if reader is None:
        return {}
    words = normalise(without_silent(text))
    claims = reader(words)
    if claims and not terrain and dimension not in ("Region", "Environment"):
        usual = "aircraft" if instruction_set == InstructionSet.GROUND else "ship"
        claims["category"] = category_in(words) or usual
    return claims


def say_the_same(instruction_set: str, dimension: str, one: str, other: str) -> bool:
    """Whether two sub-texts say the same: the same claims, or where none can be read the same words."""
    claims = [parse_claims(instruction_set, dimension, text) for text in (one, other)]
    return claims[0] == claims[1] if any(claims) else plain_words(one) == plain_words(other)


_NUMBER: Final = r"(\d{1,3}|" + "|".join(NUMBERS) + ")"
RANGE: Final = re.compile(
    rf"\b(?:between )?{_NUMBER} (?:and(?: at most)?|(?:up )?to|or) {_NUMBER}\b(?! ?(?:%|m\b|meters|km))", re.IGNORECASE
)
"""Two numbers between which a third lies."""


def _count(text: str) -> Claims:
    if re.search(rf"\b(no|zero) (?:[a-z]+ )?({TARGET_NOUNS})\b|^none\b", text):
        return {"count": 0}
    if match := RANGE.search(text):
        low, high = (number_of(word) for word in match.groups())
        if low < high:
            return {"count_range": [low, high]}
    if match := re.search(r"\b(\d{1,3})\b(?! ?(?:%|km\b|m\b|meters|\.\d))", text):
        return {"count": int(match.group(1))}
    if match := re.search(r"\b(" + "|".join(NUMBERS) + r")\b", text):
        return {"count": NUMBERS.index(match.group(1))}
    if match := re.search(r"\b(" + "|".join(GROUPS) + r")\b", text):
        return {"count": GROUPS[match.group(1)]}
    if re.search(rf"\b(a|single|an|lone|solitary|sole) (?:[a-z]+ )?({TARGET_NOUNS})\b", text):
        return {"count": 1}
    return {}


def _location(text: str) -> Claims:
    regions = regions_of(text)
    return {"regions": regions} if regions else {}


def _first(text: str, *meanings: tuple[str, str]) -> str | None:
    """The first of some (name, words) that a text speaks of."""
    return next((name for name, words in meanings if re.search(rf"\b({words})\b", text)), None)


def _feature(text: str) -> Claims:
    claims: Claims = {}
    shape = _first(
        text,
        ("cross", r"cross|crosses|cruciform|wings?|wingtips?|fuselages?|t shaped?|y shaped?|airframes?"),
        ("elongated", r"elongated|long|longer|oblongs?|slender|hulls?|spindle|cigar|strip"),
        ("compact", r"compact|points?|pinpoint|spots?|specks?|blobs?|dots?|small|tiny"),
    )
    if shape is not None:
        claims["shape"] = shape
    if (axis := axis_of(text)) is not None:
        claims["axis_deg"] = axis
    return claims


def _size(text: str) -> Claims:
    if match := re.search(r"\btypically (?:about |around )?(\d+(?:\.\d+)?) ?(?:m\b|meters)", text):
        return {"length_m": float(match.group(1))}
    if match := re.search(r"\b(\d+(?:\.\d+)?) ?(?:to|and) (\d+(?:\.\d+)?) ?(?:m\b|meters)", text):
        return {"length_m": (float(match.group(1)) + float(match.group(2))) / 2}
    if match := re.search(r"\b(\d+(?:\.\d+)?) ?(?:m\b|meters)", text):
        return {"length_m": float(match.group(1))}
    return {}


def _types(text: str) -> Claims:
    types = types_in(text)
    return {"types": types} if types else {}


def _pattern(text: str) -> Claims:
    pattern = _first(
        text,
        (
            "single",
            r"single(?! file)|alone|isolated|lone|(?:only|just|nothing but) one|sole|solitary|unaccompanied|by itself",
        ),
        ("row", r"rows?|line|lined|aligned|string|collinear|single file|queued?"),
        (
            "cluster",
            r"clusters?|clustered|grouped|grouping|group|dense|densely|closely|side by side|"
            r"close (?:together|to each other|to one another|pair)|bunched|gathered|massed|huddled?|tightly|knot",
        ),
        ("scattered", r"scattered|scatter|dispersed|spread|far apart|apart|irregularly|strewn|sprinkled|wide gaps"),
    )
    return {"pattern": pattern} if pattern else {}


def _region_shares(text: str) -> Claims:
    shares = shares_of(text)
    return {"shares": shares} if shares else {}


def _environment(text: str) -> Claims:
    claims: Claims = {}
    if re.search(r"\bopen (water|sea|ocean)\b", text):
        claims["open_water"] = True
    covers = [name for _, name in covers_of(text) if name != "land"]
    if claims and "water" in covers:
        covers.remove("water")
    if covers:
        claims["covers"] = unique(covers)
    return claims | _where(text)


def _where(text: str) -> Claims:
    where = where_of(text)
    return {"where": where} if where else {}


def _forms(forms: dict[str, str]) -> dict[str, re.Pattern[str]]:
    return {name: re.compile(rf"\b(?:{words})\b") for name, words in forms.items()}


_RELIEF: Final = _forms(
    {
        "plain": r"plains?|flatland|lowlands?",
        "hills": r"hill(?:s|y|ock|ocks|side|sides)?|uplands?",
        "mountains": r"mountains?|mountainous|ridges?",
        "valley": r"valleys?|gorges?|canyons?",
    }
)
_ARRANGEMENT: Final = _forms(
    {
        "grid": r"grids?|gridded|rectilinear|rectangular blocks?|regular blocks?",
        "linear": r"linear|linearly|ribbon",
        "radial": r"radial|radiating|concentric",
        "centralised": r"centrali[sz]ed",
        "network": r"network|networked|dendritic|branching",
        "scattered": r"scattered|dispersed|diffuse|sporadic",
        "irregular": r"irregular|irregularly|organic|unstructured",
    }
)
_EDGES: Final = _forms(
    {
        "sharp": r"sharp|sharply|sharper|abrupt|abruptly|distinct|crisp|clear|clearly|well defined",
        "gradual": r"gradual|gradually|smooth|soft|softly|diffuse|blurred|transitional",
        "straight": r"straight|linear|rectilinear|geometric",
        "winding": r"winding|meandering|curved|curvilinear|curving|sinuous|irregular",
    }
)


def _named(name: Literal["relief", "arrangement", "edges"], text: str, forms: dict[str, re.Pattern[str]]) -> Claims:
    found, claims = forms_of(text, forms), Claims()
    if found:
        claims[name] = found
    return claims


def _terrain(text: str) -> Claims:
    covers = unique(_LANDFORM.get(name, name) for _, name in covers_of(text) if name != "land")
    claims: Claims = {}
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


def _functionality(text: str) -> Claims:
    """The earliest function word decides; what follows "near" tells of the surroundings, not of the tile."""
    text = re.sub(r"\bnear\b.*", "", text)
    hits = [(match.start(), name) for name, words in _FUNCTIONS if (match := re.search(rf"\b({words})\b", text))]
    return {"function": min(hits)[1]} if hits else {}


def _layout(text: str) -> Claims:
    claims = Claims()
    layout = _first(
        text,
        ("mosaic", r"mosaic|patchwork|mixed|fragmented|several (?:uses|types|covers|landforms)|interspersed"),
        (
            "two-part",
            r"two (?:[a-z]+ )?(?:parts|zones|halves|areas)|split|divided|division into|partitioned between|bipartite|"
            r"twofold|bisected(?! by)|parted|two part",
        ),
        ("uniform", r"uniform|homogeneous|continuous|dominated|(?:single|one) (?:[a-z]+ )?(?:zone|block|area|expanse)"),
    )
    if layout:
        claims["layout"] = layout
        if covers := unique(name for _, name in covers_of(text) if name != "land"):
            claims["covers"] = covers
    return claims | _named("arrangement", text, _ARRANGEMENT)


_LIMIT: Final = "(?:boundary|boundaries|edge|border|shoreline|demarcation|(?:dividing|separating) line)"
_NO_BOUNDARY: Final = re.compile(
    rf"\bno (?:(?:clear|sharp|visible|major|internal) )?{_LIMIT}\b|"
    rf"\b(?:without any|free of)(?: (?:internal|marked|noticeable|appreciable))? (?:boundary|boundaries|borders)\b|"
    rf"\b(?:boundaries|borders) are (?:absent|lacking|missing)\b|\bnowhere does a {_LIMIT}\b"
)


def _boundary(text: str) -> Claims:
    if _NO_BOUNDARY.search(text):
        return {"no_boundary": True} | _named("edges", text, _EDGES)
    covers = unique(name for _, name in covers_of(text) if name != "land")
    if len(covers) < 2:
        return _named("edges", text, _EDGES)
    claims: Claims = {"between": covers[:2]}
    side = _first(
        text,
        ("left", r"left|west"),
        ("right", r"right|east"),
        ("above", r"above|north|upper|top"),
        ("below", r"below|south|lower|bottom"),
    )
    if side:
        claims["side"] = side
    return claims | _named("edges", text, _EDGES)


def _buildings(text: str) -> Claims:
    claims = Claims()
    amount = _first(
        text,
        ("none", r"no|absent|without|free of"),
        ("few", r"few|sparse|sparsely|isolated|minor|little|hardly"),
        ("some", r"some|moderate|several|moderately|medium (?:density|share|amount|extent)"),
        ("many", r"many|dense|densely|numerous|prominent|extensive|abundant|high"),
    )
    if amount:
        claims["amount"] = amount
        if amount != "none" and (regions := regions_of(text)):
            claims["regions"] = regions
    return claims


def _roads(text: str) -> Claims:
    if re.search(r"\b(no|without|absent|hardly any)\b", text):
        return {"roads": False}
    if not re.search(r"\b(roads?|streets?|highways?|motorways?)\b", text):
        return {}
    claims: Claims = {"roads": True}
    if regions := regions_of(text):
        claims["regions"] = regions
    return claims


_NO_WATER: Final = re.compile(
    r"\b(?:no|nor)\b(?: [a-z]+)?(?: [a-z]+)? (?:water|river|lake|sea)\b|\bdry\b|\bwithout (?:visible |any )?water\b|"
    r"\bwaters?(?: (?:bodies|surfaces))?(?: are| is)?(?: likely| probably| possibly| perhaps)? (?:absent|lacking)\b|"
    r"\bnor open water\b"
)


def _water(text: str) -> Claims:
    if _NO_WATER.search(text):
        return {"water": False}
    shares = shares_of(text) or lone_share_of(text, "water")
    if not covers_of(text):
        return {}
    claims: Claims = {"water": True}
    if "water" in shares:
        claims["shares"] = {"water": shares["water"]}
    if regions := regions_of(text):
        claims["regions"] = regions
    return claims


_Reader = Callable[[str], Claims]
_TARGET_READERS: Final[dict[str, _Reader]] = dict(
    zip(
        DIMENSIONS[InstructionSet.MARINE],
        (_count, _location, _feature, _size, _types, _pattern, _region_shares, _environment),
        strict=True,
    )
)
_TERRAIN_READERS: Final[dict[str, _Reader]] = dict(
    zip(
        DIMENSIONS[InstructionSet.TERRAIN],
        (_terrain, _functionality, _where, _layout, _boundary, _buildings, _roads, _water),
        strict=True,
    )
)
