"""What slots are filled with: numbers, nouns, regions, axes and land covers in words that are read back exactly."""

import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from knowlip.language.phrases import axis_word, listing, number_word
from knowlip.language.statements import Value

FILLED_BY: Final = {
    "categories": "category",
    "in_regions": "regions",
    "axis": "axis_deg",
    "around": "covers",
    "where": "covers",
    "cover": "shares",
}
"""Slot of a wording -> the slot of the statement that it is filled from, where the names differ."""
_MANY: Final = 6
"""Larger numbers are said to be about right."""
_IN_WORDS: Final = 10
"""Larger numbers are written in digits."""
_ABOUT: Final = ("about", "around", "roughly", "approximately")
_NOUNS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "ship": (("ship", "ships"), ("vessel", "vessels")),
    "aircraft": (("aircraft", "aircraft"), ("airplane", "airplanes"), ("plane", "planes")),
}
_TYPES: Final[dict[str, tuple[str, ...]]] = {
    "container ship": ("container ship", "container vessel", "container carrier"),
    "tanker": ("tanker",),
    "bulk carrier": ("bulk carrier", "bulker"),
    "cargo ship": ("cargo ship", "cargo vessel", "freighter", "general cargo vessel"),
    "fishing boat": ("fishing boat", "fishing vessel", "fishing craft"),
    "wide-body airliner": ("wide-body airliner", "wide-body jet", "twin-aisle airliner"),
    "narrow-body airliner": ("narrow-body airliner", "narrow-body jet", "single-aisle airliner"),
    "regional turboprop": ("regional turboprop", "turboprop airliner", "turboprop", "commuter turboprop"),
    "business jet": ("business jet", "corporate jet", "executive jet"),
    "fighter": ("fighter jet", "fighter", "combat jet"),
}
_COVER: Final[dict[str, tuple[str, ...]]] = {
    "water": ("water", "open water"),
    "field": ("fields", "farmland", "cropland", "crop fields", "cultivated fields", "arable land", "agricultural land"),
    "wood": ("woodland", "forest", "woods", "tree cover", "trees", "wooded ground"),
    "built-up": ("built-up land", "buildings", "housing", "urban fabric", "city blocks"),
    "airfield": ("airfield ground", "airport ground", "airport land"),
    "quay": ("quays", "docks", "piers", "wharves", "quayside"),
    "grass": ("grass", "grassland", "grassy ground", "turf"),
    "runway": ("runway", "runway surface"),
    "apron": ("apron", "apron surface"),
    "pavement": ("pavement", "paved ground", "paved surfaces"),
    "land": ("land", "dry land"),
    "open land": ("undeveloped land", "unbuilt land", "unbuilt ground"),
}
_EXTENT: Final = {"some": ("some", "smaller areas of"), "extensive": ("large areas of", "sizable areas of")}
_SIDE: Final = {
    "left": ("on the left", "on the left side", "in the west"),
    "right": ("on the right", "on the right side", "in the east"),
    "above": ("in the upper part", "at the top", "in the north"),
    "below": ("in the lower part", "at the bottom", "in the south"),
}
_ROWS: Final = (("upper", "top", "north"), ("center",) * 3, ("lower", "bottom", "south"))
_COLUMNS: Final = (("left", "left", "west"), ("center",) * 3, ("right", "right", "east"))
_SIDES: Final[dict[tuple[int, ...], tuple[tuple[str, ...], ...]]] = {
    (0, 1, 2): (("upper part", "upper third"), ("top part", "top third"), ("north", "northern part")),
    (6, 7, 8): (("lower part", "lower third"), ("bottom part", "bottom third"), ("south", "southern part")),
    (0, 3, 6): (("left side", "left third"), ("left side", "left-hand side"), ("west", "western part")),
    (2, 5, 8): (("right side", "right third"), ("right side", "right-hand side"), ("east", "eastern part")),
}
"""Regions in a row or column -> names in each family of direction words."""
_IN_MOST: Final = ("most parts of the scene", "most parts of the image")
_IN_ALL: Final = ("all parts of the scene", "all parts of the image")


@dataclass(frozen=True)
class Manner:
    """How the slots of one sentence are filled."""

    one: bool
    """Whether it speaks of one target."""
    style: float
    """0 to 1: which words for directions it uses."""
    hedged: bool
    chance: random.Random
    said: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Cover or category -> its name in this sentence, for one and for more: a thing is not called by two names."""

    def named(self, thing: str, names: Sequence[tuple[str, str]]) -> tuple[str, str]:
        """One of some names, the same each time."""
        return self.said.setdefault(thing, self.chance.choice(names))


def fill(name: str, slots: Mapping[str, Value], manner: Manner) -> str:
    """The words for a slot.

    Args:
        name: of the slot in the wording.
        slots: of the statement.
        manner: of the sentence.
    """
    value: Any = slots[FILLED_BY.get(name, name)]
    if name in ("low", "high") and isinstance(value, int):  # both in words or both in digits
        return _bare_number(value) if cast(int, slots["high"]) <= _IN_WORDS else str(value)
    filler = _FILLERS.get(name)
    if filler is not None:
        return filler(value, manner)
    if isinstance(value, str):
        return _on_one_line(value)
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Sequence):
        return listing([_on_one_line(str(item)) for item in value])
    return str(value)


def _on_one_line(value: str) -> str:
    """A name without what would end a sentence: "St. Louis" -> "St Louis"."""
    return " ".join(re.sub(r"[.:;!?]+(?=\s|$)|[\[\]{}<>|]", " ", value).split())


def _number(value: int, manner: Manner) -> str:
    about = value > _IN_WORDS or (value > _MANY and not manner.hedged)  # so no sentence begins with digits
    return (f"{manner.chance.choice(_ABOUT)} " if about else "") + _bare_number(value)


def _bare_number(value: int) -> str:
    return number_word(value) if value <= _IN_WORDS else str(value)


def _category(value: str, manner: Manner) -> str:
    return manner.named(value, _NOUNS[value])[not manner.one]


def _categories(value: str, manner: Manner) -> str:
    return manner.named(value, _NOUNS[value])[1]


def _types(value: Sequence[str], manner: Manner) -> str:
    names = [manner.chance.choice(_TYPES[name]) for name in value]
    return f"a {names[0]}" if manner.one else listing([_plural(name) for name in names])


def _plural(name: str) -> str:
    return name + "s" if not name.endswith("craft") else name


def _cover(value: str, manner: Manner) -> str:
    name = "open land" if value == "land" else value
    return manner.named(name, [(phrase, phrase) for phrase in _COVER[name]])[0]


def _extent(value: str, manner: Manner) -> str:
    return manner.chance.choice(_EXTENT[value])


def _side(value: str, manner: Manner) -> str:
    return _SIDE[value][int(manner.style * 3)]


def _region(number: int, family: int) -> str:
    row, column = _ROWS[number // 3][family], _COLUMNS[number % 3][family]
    if row == column:
        return "center"
    if family == 2:
        return row + column if "center" not in (row, column) else f"{row.replace('center', column)}-central part"
    return f"{row} {column}"


def _regions(value: Iterable[int], manner: Manner) -> str:
    """With the article: "the upper left and center"."""
    chosen = sorted(set(value))
    if len(chosen) >= 7:
        return manner.chance.choice(_IN_ALL if len(chosen) == 9 else _IN_MOST)
    family = int(manner.style * 3)
    if side := _SIDES.get(tuple(chosen)):
        return f"the {manner.chance.choice(side[family])}"
    if len(chosen) > 1:
        names = [_region(number, family) for number in chosen]
        if family == 2 and (len(chosen) == 2 or chosen[-2] + chosen[-1] == 8):  # "northwest and southeast" is an axis
            names[-1] = f"the {names[-1]}"
        return "the " + listing(names)
    name = _region(chosen[0], family)
    if name == "center":
        return "the " + manner.chance.choice(("center", "middle", "central part"))
    if name.endswith("part"):
        return f"the {name}"
    corner = chosen[0] % 2 == 0
    part = "ern part" if family == 2 else " part"
    area = manner.chance.choice(("", " corner", part) if corner else (" part", " area", " section", " sector"))
    return "the " + (name.replace(" ", "-") if area else name) + area


def _in_regions(value: Iterable[int], manner: Manner) -> str:
    phrase = _regions(value, manner)
    return f"{'on' if phrase.endswith('side') else 'in'} {phrase}"


def _axis(value: float, manner: Manner) -> str:
    return axis_word(value)


def _shares(value: Mapping[str, int], manner: Manner) -> str:
    """ "about 60 percent water and 40 percent land"."""
    about = "about" if manner.hedged else manner.chance.choice(_ABOUT)
    return f"{about} " + listing(
        [f"{share} percent {manner.chance.choice(_COVER[name])}" for name, share in value.items()]
    )


def _only_cover(value: Mapping[str, int], manner: Manner) -> str:
    """The name of the cover that takes up all."""
    return manner.chance.choice(_COVER[next(iter(value))])


def places_last(covers: Mapping[str, Any]) -> dict[str, Any]:
    """Covers with their regions, those without regions first: so "in the north" behind one goes with no other."""
    return {name: regions for placed in (False, True) for name, regions in covers.items() if bool(regions) is placed}


def _covers(value: Any, manner: Manner) -> str:
    """Land covers, each with its regions where they are known: "water, fields in the north, and quays in the south"."""
    if not isinstance(value, Mapping):
        return listing([_cover(name, manner) for name in value])
    covers = places_last(value)
    phrases = [
        _cover(name, manner) + (f" {_in_regions(regions, manner)}" if regions else "")
        for name, regions in covers.items()
    ]
    if len(phrases) < 2 or not any(covers.values()):
        return listing(phrases)
    return ", ".join(phrases[:-1]) + f", and {phrases[-1]}"


def _around(value: Any, manner: Manner) -> str:
    """Open water all around is a claim of its own, so water is called water here."""
    return _covers(value, manner).replace("open water", "water")


_FILLERS: Final[dict[str, Callable[[Any, Manner], str]]] = {
    "number": _number,
    "category": _category,
    "categories": _categories,
    "types": _types,
    "regions": _regions,
    "in_regions": _in_regions,
    "axis": _axis,
    "side": _side,
    "shares": _shares,
    "cover": _only_cover,
    "around": _around,
    "where": _covers,
    "covers": _covers,
    "main": _cover,
    "second": _cover,
    "one": _cover,
    "two": _cover,
    "extent": _extent,
}
