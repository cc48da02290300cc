"""Small pieces of wording that annotators share and :mod:`knowlip.language.claims` reads back."""

from collections.abc import Iterable, Sequence
from typing import Final

from knowlip.base.vocabulary import REGIONS
from knowlip.language.directions import AXES
from knowlip.language.words import NUMBERS

UNKNOWN: Final = "not known from the labels"
"""Stands for what is not known; it makes no claim."""

COVER_NAME: Final[dict[str, str]] = {
    "water": "water",
    "field": "fields",
    "wood": "woodland",
    "built-up": "built-up land",
    "airfield": "airfield ground",
    "quay": "quays",
    "grass": "grass",
    "runway": "runway",
    "apron": "apron",
    "pavement": "runway and apron",
    "land": "land",
}
_SIDES: Final = {
    frozenset((0, 1, 2)): "upper part",
    frozenset((6, 7, 8)): "lower part",
    frozenset((0, 3, 6)): "left side",
    frozenset((2, 5, 8)): "right side",
}


def listing(names: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def plural(name: str) -> str:
    """Of a category or type; names of models stay, and what is one already ("aircraft", "A320", "buildings")."""
    if not name[-1:].isalpha() or name != name.lower() or name.endswith("craft"):
        return name
    if name.endswith(("ss", "us", "x", "z", "ch", "sh")):
        return name + "es"
    if name.endswith("y") and name[-2:-1] not in "aeiou":
        return name[:-1] + "ies"
    return name if name.endswith("s") else name + "s"


def region_phrase(regions: Iterable[int]) -> str:
    """Region numbers (0 to 8) in words: "upper left and center", "left side", "most of the scene" from seven on."""
    chosen = list(dict.fromkeys(regions))
    if not chosen:
        raise ValueError("A region phrase needs at least one region.")
    if len(chosen) >= 7:
        return "most of the scene"
    return _SIDES.get(frozenset(chosen)) or listing([REGIONS[region] for region in sorted(chosen)])


def in_regions(regions: Iterable[int]) -> str:
    """The same with its preposition: "on the left side"."""
    phrase = region_phrase(regions)
    if phrase.startswith("most"):
        return f"over {phrase}"
    return f"{'on' if phrase.endswith('side') else 'in'} the {phrase}"


def side_phrase(side: str) -> str:
    """ "to the left", "to the right", "above", "below"."""
    return f"to the {side}" if side in ("left", "right") else side


def number_word(count: int) -> str:
    """Words up to twenty, digits beyond."""
    return NUMBERS[count] if count < len(NUMBERS) else str(count)


def percent(share: float) -> int:
    """A share rounded to 10 %."""
    return int(share * 10 + 0.5) * 10


def axis_word(degrees: float) -> str:
    """Nearest of the four compass axes for an orientation in degrees clockwise from north."""
    return min(AXES, key=lambda name: abs((degrees - AXES[name] + 90.0) % 180.0 - 90.0))


def round_length(length_m: float) -> int:
    """A length rounded to 10 m; below 30 m to 5 m, because 10 m would be a third of it."""
    step = 5 if length_m < 30.0 else 10
    return max(step, int(length_m / step + 0.5) * step)
