"""Injected label noise: sub-texts that are wrong on purpose, to calibrate and judge screening without truth.

Kinds:

    swap       the sub-text of another tile, same instruction set and dimension, other claims
    count      another number of targets
    direction  another place, side or axis (the words that a flip or quarter turn would give)
    category   another type of ship or aircraft, or another land cover

An edit changes that claim alone; all else stays word for word. Of sub-texts of several sentences those that rest on the
image are changed, or swapped against such sentences; the others stay.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from knowlip.language.categories import TARGET_NOUNS, TYPE_OF, TYPE_WORDS
from knowlip.language.claims import RANGE, Claims, parse_claims
from knowlip.language.definitions import count_holds
from knowlip.language.dimensions import SLOTS
from knowlip.language.direction_words import turn_words
from knowlip.language.directions import Turn
from knowlip.language.marks import Sentence, joined, resting_on, sentences_of
from knowlip.language.phrases import number_word
from knowlip.language.statements import SEEN
from knowlip.language.words import COVER_OF, GROUPS, NUMBERS, number_of

CORRUPTION_KINDS: Final = ("swap", "count", "direction", "category")
_NUMBERS: Final = ("count", "count_range")
_PLACES: Final = ("regions", "axis_deg", "where", "side")
_NAMES_OF_NUMBERS: Final = "|".join(NUMBERS)
_COUNTED: Final = re.compile(
    r"\b(?P<about>(?:about|around|roughly|some|approximately|nearly) )?"
    rf"(?:(?P<number>\d{{1,3}}(?! ?-?(?:%|percent|k?m\b|met))|{_NAMES_OF_NUMBERS})\b|"
    rf"(?:an? )?(?P<group>{'|'.join(GROUPS)})(?: of)?\b|"
    rf"(?:an?|the) (?:single|lone|solitary|sole)\b(?= (?:{TARGET_NOUNS})\b))",
    re.IGNORECASE,
)
"""A number of targets, and the word that makes it an estimate."""
_ABOUT_FROM: Final = 3
"""Numbers up to here are not called approximate."""
_NOUN_AND_VERB: Final = re.compile(
    rf"(?P<between> (?:[a-z]+ )?)(?P<noun>{TARGET_NOUNS}|targets?)\b(?:(?P<space> )(?P<verb>[a-z]+)\b)?", re.IGNORECASE
)
_SINGULAR: Final = {
    "is": "are",
    "was": "were",
    **{f"{verb}s": verb for verb in ("stand", "show", "rise", "make", "lie", "appear", "occur")},
}
_VERBS: Final = _SINGULAR | {plural: singular for singular, plural in _SINGULAR.items()}
_COVER_NAMES: Final = {"water": "water", "field": "fields", "wood": "woodland", "built-up": "built-up land"}


def _any_of(phrases: Sequence[str]) -> re.Pattern[str]:
    """The phrases, longest first, spaces or hyphens between their words."""
    ways = (phrase.replace(" ", "[- ]") for phrase in sorted(phrases, key=len, reverse=True))
    return re.compile(r"\b(?:" + "|".join(ways) + r")\b", re.IGNORECASE)


_TYPE: Final = _any_of(list(TYPE_OF))
_COVER: Final = _any_of([phrase for phrase, name in COVER_OF.items() if name in _COVER_NAMES])


@dataclass(frozen=True)
class Corruption:
    """One wrong sub-text."""

    row: int
    """Tile row of the corpus."""
    slot: int
    """Position, 0 to 7."""
    kind: str
    """One of :data:`CORRUPTION_KINDS`."""
    text: str
    """What is claimed now."""
    marks: str = ""
    """Of this text, see :mod:`knowlip.language.marks`."""


def corrupt(
    texts: pd.DataFrame,
    rows: Sequence[int],
    rng: np.random.Generator,
    kinds: Sequence[str] = CORRUPTION_KINDS,
    only_seen: bool = False,
) -> list[Corruption]:
    """At most one wrong sub-text in each of some tiles.

    For each tile a kind is drawn, then a sub-text at which it is possible; where it is at none, another kind.

    Args:
        texts: eight rows a tile in the order of slots (instruction_set, slot, dimension, text, evidence, marks), as a
            corpus' `table`; they are taken for true.
        rows: numbers of tiles.
        rng: source of chance.
        kinds: which kinds, all equally probable.
        only_seen: leave sub-texts of one sentence alone too that do not rest on the image.

    Raises:
        ValueError: an unknown kind.
    """
    if strange := set(kinds) - {*CORRUPTION_KINDS}:
        raise ValueError(
            f"There is no injected noise of kind {min(strange)!r}: take some of {', '.join(CORRUPTION_KINDS)}."
        )
    facts = [texts[name] for name in ("text", "marks", "evidence")]
    table = texts.assign(
        seen=[
            resting_on(text, marks, evidence, SEEN) if marks or (only_seen and evidence not in SEEN) else text
            for text, marks, evidence in zip(*facts)
        ]
    )
    donors = {key: group.to_numpy() for key, group in table.groupby(["instruction_set", "slot"])["seen"]}
    found = []
    for row in rows:
        one = _corrupt(int(row), table.iloc[int(row) * SLOTS : (int(row) + 1) * SLOTS], donors, rng, kinds)
        if one is not None:
            found.append(one)
    return found


def _corrupt(
    row: int, texts: pd.DataFrame, donors: dict[Any, np.ndarray], rng: np.random.Generator, kinds: Sequence[str]
) -> Corruption | None:
    names = ("instruction_set", "slot", "dimension", "seen", "text", "marks")
    columns = list(zip(*(texts[name] for name in names)))
    for kind in rng.permutation(list(kinds)):
        for slot in rng.permutation(SLOTS):
            instruction_set, number, dimension, seen, text, marks = columns[slot]
            if not seen:
                continue
            if kind == "swap":
                new: str | None = str(rng.choice(donors[instruction_set, number]))
            else:
                new = _EDITS[str(kind)](seen, rng)
            if new is not None and is_wrong(str(kind), instruction_set, dimension, seen, new):
                return Corruption(row, int(slot), str(kind), *with_seen(text, marks, new))
    return None


def with_seen(text: str, marks: str, new: str) -> tuple[str, str]:
    """A sub-text and its marks with other words in place of the sentences that rest on the image."""
    if not marks:
        return new, ""
    old = sentences_of(text, marks)
    first = next(at for at, one in enumerate(old) if one.evidence in SEEN)
    changed = Sentence(new, "visual", old[first].topic)
    others = [one for one in old[first + 1 :] if one.evidence not in SEEN]
    return joined([*old[:first], changed, *others])


def is_wrong(kind: str, instruction_set: str, dimension: str, text: str, new: str) -> bool:
    """Whether `new` claims something else than `text`, and (but for a swap) something else of that kind alone."""
    was, now = (parse_claims(instruction_set, dimension, words) for words in (text, new))
    if not now or was == now:
        return False
    if kind == "count":
        return _but(was, _NUMBERS) == _but(now, _NUMBERS) and _counts_differ(was, now)
    if kind == "direction":
        return _but(was, _PLACES) == _but(now, _PLACES)
    return kind == "swap" or was.keys() == now.keys()


def _counts_differ(was: Claims, now: Claims) -> bool:
    """Whether two counts, or two ranges, cannot both be true."""
    if "count_range" in was and "count_range" in now:
        (low, high), (new_low, new_high) = was["count_range"], now["count_range"]
        return new_high < low or high < new_low
    return "count" in was and "count" in now and not count_holds(now["count"], was["count"])


def _but(claims: Claims, names: Sequence[str]) -> dict[str, object]:
    return {name: value for name, value in claims.items() if name not in names}


_WORDS_UP_TO: Final = 10
"""Larger numbers are written in digits."""


def _other_count(text: str, rng: np.random.Generator) -> str | None:
    if match := RANGE.search(text):
        return _other_range(text, match, rng)
    found = _COUNTED.search(text)
    if found is None:
        return None
    words = found["number"] or found["group"] or "one"
    number = GROUPS[words.lower()] if found["group"] else number_of(words.lower())
    near = [value for value in range(1, min(20, max(4, 2 * number)) + 1) if not count_holds(value, number)]
    new = int(rng.choice(near))
    # Words up to ten and digits beyond, as texts have it: another style would give the wrong number away.
    digits = new > _WORDS_UP_TO or (words.isdigit() and number <= _WORDS_UP_TO)
    name = str(new) if digits else NUMBERS[new]
    about = "" if new <= _ABOUT_FROM else found["about"] or ""
    counted = _agreeing(text[found.end() :], number != 1, new != 1)
    return _like(about + name, found.group(), text[: found.start()]) + counted


def _other_range(text: str, match: re.Match[str], rng: np.random.Generator) -> str | None:
    """A range of the same width, wholly above or wholly below."""
    low, high = (number_of(word.lower()) for word in match.groups())
    if low >= high:
        return None
    lows = [value for value in (low - (high - low) - 1, high + 1, high + 2) if value > 0]
    new = int(rng.choice(lows))
    ends = (new, new + high - low)
    names = [str(value) if ends[1] > _WORDS_UP_TO else number_word(value) for value in ends]
    (start, stop), (start_high, stop_high) = match.span(1), match.span(2)
    return _like(names[0], match.group(1), text[:start]) + text[stop:start_high] + names[1] + text[stop_high:]


def _like(words: str, old: str, before: str) -> str:
    """The text before, and words with a capital where the old ones had it."""
    return before + (words[:1].upper() + words[1:] if old[:1].isupper() else words)


def _agreeing(rest: str, was_many: bool, many: bool) -> str:
    """What follows a number, with the noun and its verb in the new number."""
    if was_many == many:
        return rest
    match = _NOUN_AND_VERB.match(rest)
    if match is None:
        return rest
    noun, verb = match["noun"], match["verb"] or ""
    if not noun.lower().endswith(("craft", "target")) or noun.lower() == "target":
        noun = noun + "s" if many else noun.removesuffix("s")
    if verb in _VERBS:
        verb = _VERBS[verb]
    return match["between"] + noun + (match["space"] or "") + verb + rest[match.end() :]


def _other_direction(text: str, rng: np.random.Generator) -> str | None:
    return turn_words(text, Turn.of(int(rng.integers(1, 8))))


def _other_category(text: str, rng: np.random.Generator) -> str | None:
    """Another type, or another land cover where one is named once."""
    if found := _TYPE.search(text):
        name = TYPE_OF[found.group(0).lower().replace("-", " ")]
        names = list(TYPE_WORDS)
        alike = names[:5] if name in names[:5] else names[5:]
        new = str(rng.choice([other for other in alike if other != name]))
        before = re.sub(r"\b(a)n?(?= $)", r"\1", text[: found.start()], flags=re.IGNORECASE)
        return _like(new + "s" * found.group(0).endswith("s"), found.group(), before) + text[found.end() :]
    covers = [(match, COVER_OF[match.group(0).lower().replace("-", " ")]) for match in _COVER.finditer(text)]
    names = [name for _, name in covers]
    once = [match for match, name in covers if names.count(name) == 1]
    others = [phrase for name, phrase in _COVER_NAMES.items() if name not in names]
    if not once or not others or re.search(r"\b(?:no|without)\b", text, re.IGNORECASE):
        return None
    match = once[int(rng.integers(len(once)))]
    return _like(str(rng.choice(others)), match.group(), text[: match.start()]) + text[match.end() :]


_EDITS: Final[dict[str, Callable[[str, np.random.Generator], str | None]]] = {
    "count": _other_count,
    "direction": _other_direction,
    "category": _other_category,
}
