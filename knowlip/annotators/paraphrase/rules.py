"""When other words say the same: what must be read back from a reworded sentence before it takes the old one's place.

A sentence is kept only where something speaks for it: its claims, or the numbers and names that it holds. What neither
claims nor names anything cannot be checked, and stays.
"""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

from knowlip.language.claims import parse_claims
from knowlip.language.marks import Sentence
from knowlip.language.words import GROUPS, NUMBERS, normalise

REASONS: Final[dict[str, str]] = {
    "no answer": "the endpoint gave none",
    "form": "empty, several lines or sentences, or a heading",
    "same words": "nothing was changed",
    "length": "less than half as many words, or more than a third and three words more",
    "repetition": "it says a word twice that stood there once",
    "numbers": "other numbers",
    "names": "other names",
    "directions": "other directions or regions",
    "doubt": "doubt came, went or changed",
    "negation": "a negation came or went",
    "claims": "other claims are read back",
    "unchecked": "it claims and names nothing by which it could be checked",
}
"""Why the old words stay -> what that means."""

_DIRECTIONS: Final = {
    **{word: word for word in ("north", "south", "east", "west", "left", "right", "upper", "lower", "center")},
    **{f"{word}ern": word for word in ("north", "south", "east", "west")},
    **{f"{word}ward": word for word in ("north", "south", "east", "west")},
    **{f"{word}wards": word for word in ("north", "south", "east", "west")},
    **{"top": "upper", "bottom": "lower", "middle": "center", "central": "center", "centre": "center"},
}
_HALVES: Final = re.compile(r"\b(north|south)(?=(?:east|west)(?:ern|wards?)?\b)")
_DOUBTS: Final = (
    frozenset("likely probably probable presumably seemingly apparently suggests suggesting".split()),
    frozenset("possibly possible perhaps maybe conceivably potentially tentatively may might could".split()),
    frozenset("unlikely uncertain unclear".split()),
)
"""Words of one degree of doubt."""
_NEGATION: Final = frozenset("no not none without never nor neither lacks lacking absent nothing free cannot".split())
_NUMBER_WORDS: Final = {
    **{word: float(number) for number, word in enumerate(NUMBERS) if number > 1},
    **{word: float(number) for word, number in GROUPS.items()},
}
_PLAIN_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?")
_FORM: Final = re.compile(r"[\n:;]|\. |[.!?]$")


def tidied(answer: str) -> str:
    """A model's answer without quotes, list marks and the full stop around it."""
    text = re.sub(r"^\s*(?:[-*]|\d+[.)])\s+", "", answer.strip())
    return text.strip().strip("\"'`“”").strip().removesuffix(".").strip()


def refusal(instruction_set: str, dimension: str, old: Sentence, new: str, places: Iterable[str] = ()) -> str:
    """Why a sentence may not take the place of another; "" where it may.

    Args:
        instruction_set, dimension: of the sub-text.
        old: the sentence.
        new: other words for it, see :func:`tidied`.
        places: names that stand for places of the tile.

    Returns:
        A name in `REASONS`.
    """
    before, after = normalise(old.text), normalise(new)
    count = len(before.split()), len(after.split())
    claims = [parse_claims(instruction_set, dimension, text) for text in (old.text, new)]
    speaks = bool(claims[0]) if old.evidence == "visual" else bool(numbers(before) or names(old.text, places))
    # Cheap and telling ones first: the reason is what is counted.
    checks = (
        ("form", bool(_FORM.search(new)) or not after),
        ("same words", before == after),
        ("length", not 0.5 * count[0] <= count[1] <= 1.34 * count[0] + 3),
        ("repetition", _repeats(before, after)),
        ("numbers", numbers(before) != numbers(after)),
        ("names", not _same_names(old.text, new, places)),
        ("directions", directions(before) != directions(after)),
        ("doubt", any(_any(before, words) != _any(after, words) for words in _DOUBTS)),
        ("negation", _any(before, _NEGATION) != _any(after, _NEGATION)),
        ("claims", claims[0] != claims[1]),
        ("unchecked", not speaks),
    )
    return next((reason for reason, found in checks if found), "")


def numbers(text: str) -> list[float]:
    """All numbers of a text in lower case, in digits or words, sorted; "one" and "a" are none."""
    found = [float(number) for number in _PLAIN_NUMBER.findall(text)]
    return sorted(found + [_NUMBER_WORDS[word] for word in re.findall(r"[a-z]+", text) if word in _NUMBER_WORDS])


def directions(text: str) -> set[str]:
    """The directions that a text in lower case names; "north-east" is north and east."""
    words = re.findall(r"[a-z]+", _HALVES.sub(r"\1 ", text))
    return {_DIRECTIONS[word] for word in words if word in _DIRECTIONS}


def names(text: str, places: Iterable[str] = ()) -> set[str]:
    """Names in a text: words with a capital behind the first word, and the names of places that it holds."""
    return _capitals(text) | {place for place in places if _holds(text, place)}


def _capitals(text: str) -> set[str]:
    words = [word.strip(",()'\"’") for word in text.split()]
    return {word for word in words[1:] if word[:1].isupper()}


def _first(text: str) -> str:
    return text.split()[0].strip(",()'\"’") if text.split() else ""


def _holds(text: str, place: str) -> bool:
    return bool(place) and re.search(rf"(?<!\w){re.escape(place)}(?!\w)", text) is not None


def _same_names(old: str, new: str, places: Iterable[str]) -> bool:
    """Whether both hold the same names; the first word has a capital anyway, so it may or may not be one."""
    places = list(places)
    if {place for place in places if _holds(old, place)} != {place for place in places if _holds(new, place)}:
        return False
    one, other = _capitals(old), _capitals(new)
    return one <= other | {_first(new)} and other <= one | {_first(old)}


def _repeats(old: str, new: str) -> bool:
    """Whether a word of four letters and more stands there twice and did not before."""
    before, after = (Counter(re.findall(r"[a-z]{4,}", text)) for text in (old, new))
    return any(count > max(1, before[word]) for word, count in after.items())


def _any(text: str, words: frozenset[str]) -> bool:
    return not words.isdisjoint(re.findall(r"[a-z]+", text))
