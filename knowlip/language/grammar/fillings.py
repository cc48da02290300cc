"""What slots are filled with: numbers, nouns, regions, axes and land covers in words that are read back exactly."""

import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from knowlip.language.directions import AXES
from knowlip.language.phrases import listing, number_word
from knowlip.language.statements import Value

FILLED_BY: Final = {
    "a_category": "category",
    "categories": "category",
    "in_regions": "regions",
    "axis": "axis_deg",
    "around": "covers",
    "where": "covers",
}
"""Slot of a wording -> the slot of the statement that it is filled from, where the names differ."""
_NOUNS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "ship": (("ship", "ships"), ("vessel", "vessels")),
    "aircraft": (("aircraft", "aircraft"), ("airplane", "airplanes"), ("plane", "planes")),
}
_COVER: Final[dict[str, tuple[str, ...]]] = {
    "water": ("water",),
    "field": ("fields", "farmland", "cropland"),
    "wood": ("woodland", "forest", "woods"),
    "built-up": ("built-up land", "buildings", "houses"),
    "airfield": ("airfield ground", "airport ground"),
    "quay": ("quays", "docks", "piers"),
    "grass": ("grass", "grassland"),
    "runway": ("runway",),
    "apron": ("apron",),
    "pavement": ("runway and apron", "pavement", "paved ground"),
    "land": ("land",),
}
_ROWS: Final = (("upper", "top", "north"), ("center",) * 3, ("lower", "bottom", "south"))
_COLUMNS: Final = (("left", "left", "west"), ("center",) * 3, ("right", "right", "east"))
_SIDES: Final[dict[tuple[int, ...], tuple[tuple[str, ...], ...]]] = {
    (0, 1, 2): (("upper part", "upper third"), ("top", "top third"), ("northern part", "north", "northern third")),
    (6, 7, 8): (("lower part", "lower third"), ("bottom", "bottom third"), ("southern part", "south")),
    (0, 3, 6): (("left side", "left part"), ("left", "left third"), ("western side", "west", "western third")),
    (2, 5, 8): (("right side", "right part"), ("right", "right third"), ("eastern side", "east", "eastern third")),
}
_EVERYWHERE: Final = ("most of the scene", "most of the image", "most of the tile")


def fill(name: str, slots: Mapping[str, Value], one: bool, style: float, chance: random.Random) -> str:
    """The words for a slot.

    Args:
        name: of the slot in the wording.
        slots: of the statement.
        one: whether it speaks of one target.
        style: 0 to 1, the same for all slots of a sentence: which words for directions it uses.
        chance: source of chance.
    """
    value: Any = slots[FILLED_BY.get(name, name)]
    filler = _FILLERS.get(name)
    if filler is not None:
        return filler(value, one, style, chance)
    if isinstance(value, str):
        return chance.choice(_COVER[value]) if value in _COVER else _on_one_line(value)
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Sequence):
        return listing([_on_one_line(str(item)) for item in value])
    return str(value)


def _on_one_line(value: str) -> str:
    """A name without what would end a sentence: "St. Louis" -> "St Louis"."""
    return " ".join(re.sub(r"[.:;!?]+(?=\s|$)|[\[\]{}<>|]", " ", value).split())


def _number(value: int, one: bool, style: float, chance: random.Random) -> str:
    return number_word(value)


def _noun(category: str, plural: bool, chance: random.Random) -> str:
    return chance.choice(_NOUNS[category])[plural]


def _category(value: str, one: bool, style: float, chance: random.Random) -> str:
    return _noun(value, not one, chance)


def _a_category(value: str, one: bool, style: float, chance: random.Random) -> str:
    noun = _noun(value, False, chance)
    return f"{'an' if noun[0] == 'a' else 'a'} {noun}"


def _categories(value: str, one: bool, style: float, chance: random.Random) -> str:
    return _noun(value, True, chance)


def _types(value: Sequence[str], one: bool, style: float, chance: random.Random) -> str:
    return f"a {value[0]}" if one else listing([name + "s" for name in value])


def _region(number: int, style: int) -> str:
    row, column = _ROWS[number // 3][style], _COLUMNS[number % 3][style]
    if row == column:
        return "center"
    if style == 2 and "center" not in (row, column):
        return row + column
    return f"{row} {column}"


def _regions(value: Iterable[int], one: bool, style: float, chance: random.Random) -> str:
    """With the article: "the upper left and center"."""
    chosen = sorted(set(value))
    if len(chosen) >= 7:
        return chance.choice(_EVERYWHERE)
    family = int(style * 3)
    if side := _SIDES.get(tuple(chosen)):
        return f"the {chance.choice(side[family])}"
    return "the " + listing([_region(number, family) for number in chosen])


def _in_regions(value: Iterable[int], one: bool, style: float, chance: random.Random) -> str:
    phrase = _regions(value, one, style, chance)
    return f"{chance.choice(('over', 'across'))} {phrase}" if phrase.startswith("most") else f"in {phrase}"


def _axis(value: float, one: bool, style: float, chance: random.Random) -> str:
    return min(AXES, key=lambda name: abs((value - AXES[name] + 90.0) % 180.0 - 90.0))


def _shares(value: Mapping[str, int], one: bool, style: float, chance: random.Random) -> str:
    return listing([f"{share} percent {chance.choice(_COVER[name])}" for name, share in value.items()])


def _covers_in_regions(value: Any, one: bool, style: float, chance: random.Random) -> str:
    if not isinstance(value, Mapping):
        return listing([chance.choice(_COVER[name]) for name in value])
    return listing(
        [
            chance.choice(_COVER[name]) + (f" {_in_regions(regions, one, style, chance)}" if regions else "")
            for name, regions in value.items()
        ]
    )


_FILLERS: Final[dict[str, Callable[[Any, bool, float, random.Random], str]]] = {
    "number": _number,
    "category": _category,
    "a_category": _a_category,
    "categories": _categories,
    "types": _types,
    "regions": _regions,
    "in_regions": _in_regions,
    "axis": _axis,
    "shares": _shares,
    "around": _covers_in_regions,
    "where": _covers_in_regions,
    "covers": _covers_in_regions,
}
