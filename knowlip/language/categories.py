"""The words for kinds of targets and for land-cover classes: in sentences, in labels and in masks."""

import re
from typing import Final

from knowlip.base.vocabulary import AIRCRAFT_TYPES, SHIP_TYPES

_COUNTED: Final = {
    "ship": r"ships?|vessels?|boats?|tankers?|carriers?|craft|watercraft",
    "aircraft": r"aircrafts?|airplanes?|planes?|airframes?|airliners?|jets?|fighters?|turboprops?",
}
TARGET_NOUNS: Final = "|".join(_COUNTED.values())
"""Pattern of the nouns that targets are counted by."""
_LABELS: Final = {
    "ship": re.compile(r"ships?|vessels?|boats?|marine targets?"),
    "aircraft": re.compile(r"aircrafts?|airplanes?|aeroplanes?|planes?|airliners?|jets?"),
}
_SINGULAR: Final[dict[str, str]] = {
    "container ship": "container ship, container vessel, container carrier, boxship",
    "tanker": "oil tanker, tanker, tanker vessel, tank ship",
    "bulk carrier": "bulk carrier, bulker, bulk freighter",
    "cargo ship": "cargo ship, cargo vessel, freighter",
    "fishing boat": "fishing boat, fishing vessel, fishing craft",
    "wide-body airliner": "wide body airliner, wide body jet, wide body, widebody, twin aisle airliner",
    "narrow-body airliner": "narrow body airliner, narrow body jet, narrow body, narrowbody, single aisle airliner",
    "regional turboprop": "regional turboprop, turboprop airliner, commuter turboprop, turboprop",
    "business jet": "business jet, corporate jet, executive jet",
    "fighter": "fighter jet, fighter, combat jet",
}
TYPE_WORDS: Final[dict[str, tuple[str, ...]]] = {
    name: tuple(word + ending for word in words.split(", ") for ending in ("", "s"))
    for name, words in _SINGULAR.items()
}
"""Type -> the phrases that name it in a normalised text."""
TYPE_OF: Final = {phrase: name for name, phrases in TYPE_WORDS.items() for phrase in phrases}
_TYPE: Final = re.compile(r"\b(" + "|".join(sorted(TYPE_OF, key=len, reverse=True)) + r")\b")
CATEGORY_OF_TYPE: Final = {
    **{kind.name: "ship" for kind in SHIP_TYPES},
    **{kind.name: "aircraft" for kind in AIRCRAFT_TYPES},
}
"""Type -> "ship" or "aircraft"."""

IGNORED: Final = (
    *("ignore", "ignored", "ignore region", "ignore regions", "ignored region", "ignored regions"),
    *("dontcare", "dont care", "don't care"),
)
"""Names of categories that mark a part of an image in which nobody has labelled what there is."""
_OF_NO_KIND: Final = "unknown|unspecified|undefined|unclassified|unidentified|unsure"
_THING: Final = (
    "types?|kinds?|class(?:es)?|categor(?:y|ies)|objects?|targets?|ships?|vessels?|boats?|aircrafts?|air ?planes?|"
    "planes?|vehicles?|land|land ?covers?|land ?use|cover|area|terrain"
)
_UNKNOWN: Final = re.compile(rf"(?:{_OF_NO_KIND})(?: (?:{_THING}))?")
_UNTYPED: Final = re.compile(rf"(?:others?|misc|miscellaneous|{_OF_NO_KIND})(?: (?:{_THING}))?")

_KINDS: Final = {
    "ship": r"ferry|ferries|barges?|frigates?|destroyers?|cruisers?|corvettes?|submarines?|dredgers?|yachts?|trawlers?|"
    r"tugs?|tug ?boats?|freighters?",
    "aircraft": r"helicopters?|bombers?|drones?|gliders?",
}
"""What is of a category by another name than the nouns that it is counted by."""

_CLASSES: Final[dict[str, str]] = {
    "water": r"water|sea|ocean|river|lake|flood(ed)?",
    "field": r"fields?|farm\w*|crop\w*|agricultur\w*|wheat|rice|maize|corn",
    "wood": r"woods?|woodland|forests?|trees?",
    "built-up": r"built up|urban|buildings?|houses?|residential|city|town|developed|settlements?",
    "road": r"roads?|streets?|highways?",
    "runway": r"runways?",
    "apron": r"aprons?",
    "grass": r"grass|grassland|meadows?",
    "bridge": r"bridges?",
    "quay": r"quays?|docks?|wharf|port",
}
"""Cover -> words in the class name of a mask that mean it, the first that fits."""
_LAND: Final = re.compile(r"land|dry land|not water|non water|no water")
_DENIED: Final = re.compile(r"\b(?:no|non|not|un) (?:built up|\w+)")
_NO_CLASS: Final = re.compile(r"no ?data|background|unlabell?ed|ignored?|unknown|none|clutter")


def category_in(text: str) -> str | None:
    """The category that a normalised text counts or describes, "ship" before "aircraft"."""
    return next((name for name, words in _COUNTED.items() if re.search(rf"\b({words})\b", text)), None)


def types_in(text: str) -> list[str]:
    """The types that a normalised text names, in order of mention."""
    return list(dict.fromkeys(TYPE_OF[match.group(1)] for match in _TYPE.finditer(text)))


def category_of(name: str) -> str:
    """The category that a label or a model's word means: "ship", "aircraft", or the word itself in lower case."""
    words = " ".join(name.lower().replace("_", " ").replace("-", " ").split())
    return next((category for category, pattern in _LABELS.items() if pattern.fullmatch(words)), words)


def is_kind_of(name: str, other: str) -> bool:
    """Whether what is of one category is of another one too, by their words: a "warship" and a "fishing ship" are
    ships, a "fighter" is an aircraft. Whoever counts "ships" may or may not count them.

    Args:
        name, other: categories as :func:`category_of` gives them.
    """
    by_name = other in _KINDS and bool(re.search(rf"\b(?:{_KINDS[other]})\b", name))
    return name != other and (by_name or category_in(name) == other or (len(other) > 2 and name.endswith(other)))


def untyped(name: str) -> bool:
    """Whether a category or type, however it is written, does not say what a target is ("", "other ship")."""
    words = category_of(name)
    return not words or words in IGNORED or bool(_UNTYPED.fullmatch(words))


def unknown(name: str) -> bool:
    """Whether a target of such a category may be of any of the others: nobody has said what it is."""
    words = category_of(name)
    return not words or bool(_UNKNOWN.fullmatch(words))


def cover_of(name: str) -> str | None:
    """The cover that a mask's class means, its own name where there is none, None for a class that says nothing."""
    words = re.sub(r"[\W_]+", " ", name.lower()).strip()
    if not words or _NO_CLASS.fullmatch(words) or _UNTYPED.fullmatch(words):
        return None
    if _LAND.fullmatch(words):
        return "land"
    # "Road non-flooded" is road, "not flooded" is land: what a name denies it is not.
    said = " ".join(_DENIED.sub(" ", words).split())
    if not said and re.search(rf"\b({_CLASSES['water']})\b", words):
        return "land"
    return next((cover for cover, known in _CLASSES.items() if re.search(rf"\b({known})\b", said)), words)
