"""Renderings: which wordings fit a statement, and the words that come of them."""

import random
import re
from typing import Final

from knowlip.language.grammar.fillings import FILLED_BY, Manner, fill
from knowlip.language.statements import Statement, Value
from knowlip.language.wordings import Slot, Wording, drawn
from knowlip.language.words import HEDGES

HEDGE: Final = "hedge"
"""The slot where a hedge stands; in a wording without it, which only a user's file uses for it, it comes first."""
_OF_ONE: Final = ("pattern-single",)


def fits(wording: Wording, statement: Statement) -> bool:
    """Whether a wording names each slot that has a value, and no other, under its own condition."""
    given = {name for name, value in statement.slots.items() if has_value(value)}
    for slot, wanted in wording.when.items():
        if (statement.slots.get(slot) if isinstance(wanted, str) else slot in given) != wanted:
            return False
    named = {FILLED_BY.get(slot, slot) for slot in wording.slots} - {HEDGE}
    told = {name for name in given if statement.slots[name] is not True} - {"category"}
    return named <= given and told - named <= wording.when.keys()


def has_value(value: Value) -> bool:
    """Whether a slot is filled: None, False and what is empty are nothing to say; 0 is."""
    return value is not None and value is not False and (not hasattr(value, "__len__") or len(value) > 0)


def rendered(
    wording: Wording, statement: Statement, chance: random.Random, hedge: int = 0, style: float | None = None
) -> str:
    """One rendering of a wording: alternatives and fillings drawn by chance.

    Args:
        wording: one that fits.
        statement: what is said.
        chance: source of chance.
        hedge: with how much doubt, 0 to 2.
        style: 0 to 1, which words for directions; None draws it.
    """
    one = statement.slots.get("one") is True or statement.slots.get("number") == 1 or statement.topic in _OF_ONE
    hedging = chance.choice(HEDGES[hedge])
    manner = Manner(one, chance.random() if style is None else style, bool(hedging), chance)
    pieces = []
    for part in drawn(wording.piece, one, chance):
        if not isinstance(part, Slot):
            pieces.append(part)
        elif part.name == HEDGE:
            pieces.append(hedging)
        else:
            pieces.append(fill(part.name, statement.slots, manner))
    text = "".join(pieces)
    if hedging and HEDGE not in wording.slots:
        text = f"{hedging} {text}"
    return _tidied(text)


def _tidied(text: str) -> str:
    """Single spaces, none before a comma, no comma at an end, "an" before a vowel."""
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r" ?(?:, )+,?|,(?=[^\s\d])| ,", ", ", text)
    text = re.sub(r"\ba (?=[aeio](?!ne\b|u)|un(?!i)|eight|11\b|18\b|8\d?\b)", "an ", text)
    return re.sub(r" {2,}", " ", text).strip(" ,")
