"""Mistakes as an annotator makes them: a second source of wrong sub-texts, for measuring only.

Screening is calibrated on the injected noise of :mod:`knowlip.language.corruption`. How well it finds errors of another
kind is measured on these. Neither file uses the other, and nothing that trains or calibrates may import this one (a
test holds both): a figure on these mistakes is one on an unseen generator.

Kinds:

    factor     numbers off by a factor: counts and lengths doubled or halved, two shares exchanged
    shift      places one region too far
    confusion  a type beside the true one in size; a cover that looks alike to radar, wherever it is named
    omission   what is there is overlooked: its absence is claimed
    neighbour  what is true of a tile nearby, as by looking at the wrong one

Of sub-texts of several sentences one that rests on the image is changed, the others stay word for word.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from knowlip.base.vocabulary import REGIONS
from knowlip.language.categories import TYPE_WORDS
from knowlip.language.claims import Claims, parse_claims
from knowlip.language.definitions import LENGTH_TOLERANCE, count_holds
from knowlip.language.dimensions import SLOTS
from knowlip.language.marks import Sentence, joined, sentences_of
from knowlip.language.statements import SEEN
from knowlip.language.words import COVER_WORDS, NUMBERS

MISTAKE_KINDS: Final = ("factor", "shift", "confusion", "omission", "neighbour")
_SHARES_DIFFER: Final = 0.3
"""By so much shares must differ to be a mistake: twice what counts as right."""


@dataclass(frozen=True)
class Mistake:
    """One wrong sub-text."""

    row: int
    """Tile row of the table."""
    slot: int
    """Position, 0 to 7."""
    kind: str
    """One of :data:`MISTAKE_KINDS`."""
    text: str
    """What is claimed now."""
    marks: str = ""
    """Of this text, see :mod:`knowlip.language.marks`."""


class _SubText(NamedTuple):
    instruction_set: str
    dimension: str
    text: str
    marks: str
    evidence: Any


def mistakes(
    texts: pd.DataFrame,
    rows: Sequence[int],
    rng: np.random.Generator,
    kinds: Sequence[str] = MISTAKE_KINDS,
    nearby: Mapping[int, Sequence[int]] | None = None,
) -> list[Mistake]:
    """At most one mistaken sub-text in each of some tiles; where no kind is possible, none.

    Args:
        texts: eight rows a tile in the order of slots (instruction_set, slot, dimension, text, evidence, marks); they
            are taken for true.
        rows: numbers of tiles.
        rng: source of chance.
        kinds: which kinds, all equally probable.
        nearby: tile -> tiles nearby (parent, siblings, children, ...); without it there is no kind `neighbour`.

    Raises:
        ValueError: an unknown kind.
    """
    if strange := set(kinds) - {*MISTAKE_KINDS}:
        raise ValueError(f"There is no mistake of kind {min(strange)!r}: take some of {', '.join(MISTAKE_KINDS)}.")
    columns = (texts[name] for name in ("instruction_set", "dimension", "text", "marks", "evidence"))
    said = [_SubText(*values) for values in zip(*columns)]
    absent = _absences(said)
    found = []
    for row in map(int, rows):
        near = list((nearby or {}).get(row, ()))
        if (one := _mistake(row, said, near, absent, rng, kinds)) is not None:
            found.append(one)
    return found


def _mistake(
    row: int,
    said: Sequence[_SubText],
    near: Sequence[int],
    absent: Mapping[tuple[str, str], str],
    rng: np.random.Generator,
    kinds: Sequence[str],
) -> Mistake | None:
    """The first kind, and the first sub-text, at which a mistake is possible, in an order drawn by chance."""
    for kind in rng.permutation(list(kinds)):
        for slot in rng.permutation(SLOTS):
            old = said[row * SLOTS + slot]
            sentences = sentences_of(old.text, old.marks, old.evidence)
            at = next((at for at, one in enumerate(sentences) if _claims(old, one)), None)
            if at is None:
                continue
            was = sentences[at]
            if kind == "neighbour":
                others = [_first_seen(said[other * SLOTS + slot]) for other in near if _alike(said, other, row)]
                new = str(rng.choice(others)) if others else ""
            elif kind == "omission":
                new = absent.get((old.instruction_set, old.dimension), "")
            else:
                new = _EDITS[str(kind)](was.text, rng)
            if new and _wrong(old, was.text, new):
                sentences[at] = was._replace(text=new)
                text, marks = joined(sentences) if old.marks else (new, "")
                return Mistake(row, int(slot), str(kind), text, marks)
    return None


def _claims(old: _SubText, sentence: Sentence) -> bool:
    """Whether a sentence rests on the image and makes claims."""
    return sentence.evidence in SEEN and bool(parse_claims(old.instruction_set, old.dimension, sentence.text))


def _alike(said: Sequence[_SubText], one: int, other: int) -> bool:
    return said[one * SLOTS].instruction_set == said[other * SLOTS].instruction_set


def _first_seen(one: _SubText) -> str:
    return next((part.text for part in sentences_of(one.text, one.marks, one.evidence) if part.evidence in SEEN), "")


def _wrong(old: _SubText, sentence: str, new: str) -> bool:
    """Whether the new sentence and the old one make claims that cannot both be right."""
    was, now = (parse_claims(old.instruction_set, old.dimension, words) for words in (sentence, new))
    return bool(was) and bool(now) and _exclude(was, now)


def _exclude(was: Claims, now: Claims) -> bool:
    # Numbers and places within what counts as right are no mistake; of what has no tolerance any difference is.
    if was.get("category") != now.get("category"):
        return False
    if "count" in was and "count" in now:
        return not count_holds(now["count"], was["count"])
    if "count_range" in was and "count_range" in now:
        return now["count_range"][0] > was["count_range"][1] or now["count_range"][1] < was["count_range"][0]
    if "length_m" in was and "length_m" in now:
        longer, shorter = sorted((was["length_m"], now["length_m"]), reverse=True)
        return longer > (1 + LENGTH_TOLERANCE) * shorter
    if "shares" in was and "shares" in now:
        both = was["shares"].keys() & now["shares"].keys()
        return any(abs(was["shares"][name] - now["shares"][name]) >= _SHARES_DIFFER for name in both)
    if "where" in was and "where" in now:
        both = was["where"].keys() & now["where"].keys()
        apart = [name for name in both if not {*was["where"][name]} & {*now["where"][name]}]
        return bool(apart) or not both
    if "regions" in was and "regions" in now:
        return not {*was["regions"]} & {*now["regions"]}
    if "types" in was and "types" in now:
        return was["types"][0] != now["types"][0]
    if "main" in was and "main" in now:
        return was["main"] != now["main"]
    names = ("pattern", "function", "layout", "amount", "roads", "water", "shape", "side", "axis_deg")
    if any(was.get(name) != now.get(name) for name in names if name in was and name in now):
        return True
    if was.get("no_boundary", False) != now.get("no_boundary", False):
        return True
    return any(name in was and name in now and not {*was[name]} & {*now[name]} for name in ("covers", "between"))


# ---- off by a factor -------------------------------------------------------------------------------------------------

_NUMBER: Final = re.compile(r"\b(\d+|" + "|".join(NUMBERS[2:]) + r")\b(?! ?(?:degrees|GHz|looks))", re.IGNORECASE)
_PERCENT: Final = re.compile(r"\b\d{1,3}(?= ?(?:%|per ?cent))")


def _factor(text: str, rng: np.random.Generator) -> str:
    """Every number doubled or halved, or two shares exchanged; nothing is halved to one, which has other nouns."""
    if shares := _PERCENT.findall(text):
        if len(shares) != 2:
            return ""
        exchanged = iter(reversed(shares))
        return _PERCENT.sub(lambda _: next(exchanged), text)
    values = [_value(match.group()) for match in _NUMBER.finditer(text)]
    if not values:
        return ""
    doubled = min(values) < 4 or bool(rng.integers(2))
    return _NUMBER.sub(lambda match: _scaled(match.group(), doubled), text)


def _value(word: str) -> int:
    return int(word) if word.isdigit() else NUMBERS.index(word.lower())


def _scaled(word: str, doubled: bool) -> str:
    value = _value(word) * 2 if doubled else _value(word) // 2
    spelt = not word.isdigit() and value < len(NUMBERS)
    new = NUMBERS[value] if spelt else str(value)
    return new.capitalize() if word[:1].isupper() else new


# ---- one region too far ----------------------------------------------------------------------------------------------

_ROW: Final = {"upper": 0, "top": 0, "center": 1, "central": 1, "middle": 1, "lower": 2, "bottom": 2}
_COLUMN: Final = {"left": 0, "center": 1, "right": 2}
_CELL: Final = re.compile(rf"\b({'|'.join(_ROW)})[ -]({'|'.join(_COLUMN)})\b", re.IGNORECASE)
_BAND: Final = re.compile(r"\b(?:left|right|upper|lower|top|bottom) (side|third|part|half|edge|portion|strip)\b", re.I)


def _shift(text: str, rng: np.random.Generator) -> str:
    """All regions moved one step the same way, at the edge back inwards; sides become the middle."""
    step = int(rng.choice([-1, 1]))
    along_rows = bool(rng.integers(2))

    def moved(at: int) -> int:
        return at + step if 0 <= at + step <= 2 else at - step

    def cell(match: re.Match[str]) -> str:
        row, column = _ROW[match[1].lower()], _COLUMN[match[2].lower()]
        row, column = (moved(row), column) if along_rows else (row, moved(column))
        return REGIONS[3 * row + column]

    if _CELL.search(text):
        return _CELL.sub(cell, text)
    return _BAND.sub(r"central \1", text) if _BAND.search(text) else ""


# ---- taken for something alike ---------------------------------------------------------------------------------------

_BESIDE: Final = (
    ("container ship", "tanker", "bulk carrier", "cargo ship", "fishing boat"),
    ("wide-body airliner", "narrow-body airliner", "regional turboprop", "business jet", "fighter"),
)
"""Types by falling size."""
_LOOKS_LIKE: Final = {
    "water": "paved ground",
    "pavement": "water",
    "field": "grass",
    "grass": "fields",
    "wood": "urban fabric",
    "built-up": "woodland",
    "quay": "urban fabric",
    "airfield": "fields",
}
"""Cover -> what it is taken for: smooth for smooth, rough for rough."""


def _words_of(phrases: Sequence[str]) -> re.Pattern[str]:
    longest = sorted(phrases, key=len, reverse=True)
    return re.compile(r"\b(?:(an?) )?(" + "|".join(words.replace(" ", "[ -]") for words in longest) + r")\b", re.I)


_TYPE_PATTERNS: Final = {name: _words_of(words) for name, words in TYPE_WORDS.items()}
_COVER_PATTERNS: Final = {name: _words_of(COVER_WORDS[name]) for name in _LOOKS_LIKE}


def _confusion(text: str, rng: np.random.Generator) -> str:
    """The first type that is named, by the one above or below it in size; else one cover, wherever it is named."""
    for order in _BESIDE:
        for at, name in enumerate(order):
            if match := _TYPE_PATTERNS[name].search(text):
                beside = [other for other in (at - 1, at + 1) if 0 <= other < len(order)]
                new = order[int(rng.choice(beside))] + "s" * match[2].lower().endswith("s")
                article = "a " if match[1] else ""
                return text[: match.start()] + _capital(article + new, match.group()) + text[match.end() :]
    if re.search(r"\b(?:no|without|absent|nor)\b", text, re.IGNORECASE):
        return ""
    named = [name for name, pattern in _COVER_PATTERNS.items() if pattern.search(text)]
    usable = [name for name in named if not _COVER_PATTERNS[name].search(_LOOKS_LIKE[name]) and _new(name, named)]
    if not usable:
        return ""
    name = str(rng.choice(usable))
    return _COVER_PATTERNS[name].sub(lambda match: _capital(_LOOKS_LIKE[name], match.group()), text)


def _new(name: str, named: Sequence[str]) -> bool:
    """Whether what a cover is taken for is not named already."""
    return not any(_COVER_PATTERNS[other].fullmatch(_LOOKS_LIKE[name]) for other in named)


def _capital(new: str, old: str) -> str:
    return new[:1].upper() + new[1:] if old[:1].isupper() else new


# ---- overlooked ------------------------------------------------------------------------------------------------------

_ABSENCE: Final[Mapping[str, Callable[[Claims], bool]]] = {
    "Count": lambda claims: claims.get("count") == 0,
    "Boundary": lambda claims: claims.get("no_boundary", False),
    "Buildings": lambda claims: claims.get("amount") == "none",
    "Roads": lambda claims: claims.get("roads") is False,
    "Water": lambda claims: claims.get("water") is False,
}
"""Dimension -> whether claims say that there is nothing."""
_SAID: Final = {
    "Boundary": "No clear boundary is visible",
    "Buildings": "No buildings are visible",
    "Roads": "No roads are visible",
    "Water": "No water is visible",
}
"""What is said where the texts never claim an absence."""


def _absences(said: Sequence[_SubText]) -> dict[tuple[str, str], str]:
    """(Instruction set, dimension) -> the most frequent sentence that claims an absence."""
    often: dict[tuple[str, str], Counter[str]] = {}
    for one in said:
        rule = _ABSENCE.get(one.dimension)
        if rule is None:
            continue
        counts = often.setdefault((one.instruction_set, one.dimension), Counter())
        sentence = _first_seen(one)
        if rule(parse_claims(one.instruction_set, one.dimension, sentence)):
            counts[sentence] += 1
    found = {key: counts.most_common(1)[0][0] if counts else _SAID.get(key[1], "") for key, counts in often.items()}
    return {key: words for key, words in found.items() if words}


_EDITS: Final[dict[str, Callable[[str, np.random.Generator], str]]] = {
    "factor": _factor,
    "shift": _shift,
    "confusion": _confusion,
}
