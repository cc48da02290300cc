"""Sentences of the grammar that make no claims about the pixels, known by their wordings: the reader drops them.

"The nearest port, Kiel, is 12 km away" counts nothing and says nothing of quays. A sentence is compared with the
wordings of all topics that make no claims; whatever stands where a slot is fits.
"""

import re
from collections import defaultdict
from functools import lru_cache
from typing import Final

from knowlip.language.topics import CLAIMING
from knowlip.language.wordings import OneOf, Piece, Slot, standard_topics
from knowlip.language.words import normalise

_SLOT: Final = r"(?:[ ,]+[a-z0-9%.]+){0,9}?"
"""Whatever a slot is filled with, in a normalised text: names lose their accents there, and may vanish."""
_END: Final = re.compile(r"(?<=[a-z0-9%)])\s*[.!?]\s+(?=\D)", re.IGNORECASE)
_WORD: Final = re.compile(r"[a-z]+")


def sentences_in(text: str) -> list[str]:
    """The sentences of a sub-text, as written or as a decoder spaces them ("visible . nearest port")."""
    return [part for part in _END.split(text) if part.strip(" .")]


@lru_cache(maxsize=1 << 16)
def without_silent(text: str) -> str:
    """The text without those of its sentences that are wordings of a topic that makes no claims."""
    sentences = sentences_in(text)
    kept = [sentence for sentence in sentences if not _is_silent(normalise(sentence))]
    return text if len(kept) == len(sentences) else ". ".join(kept)


def _is_silent(sentence: str) -> bool:
    patterns = _patterns()
    for word in set(_WORD.findall(sentence)) & patterns.keys():
        for pattern in patterns[word]:
            if _compiled(pattern).fullmatch(f" {sentence}"):
                return True
    return False


@lru_cache(maxsize=1)
def _patterns() -> dict[str, list[str]]:
    """One word of each wording that none of its renderings lacks -> patterns of wordings; "" for those without one."""
    # A sentence is tried only against the wordings whose rarest sure word it holds: a few of some thousand.
    wordings = [
        wording.piece
        for topic in standard_topics().values()
        if topic.name not in CLAIMING
        for wording in topic.wordings
    ]
    sure = [_sure_words(piece) for piece in wordings]
    often: dict[str, int] = defaultdict(int)
    for words in sure:
        for word in words:
            often[word] += 1
    found: dict[str, list[str]] = defaultdict(list)
    for piece, words in zip(wordings, sure):
        for word in _keys(piece, words, often):
            found[word].append(_pattern(piece))
    return dict(found)


def _keys(piece: Piece, sure: set[str], often: dict[str, int]) -> set[str]:
    """The rarest sure word, or where there is none all words, some of which each rendering has."""
    return {min(sure, key=lambda word: (often[word], word))} if sure else _words(piece)


def _words(piece: Piece) -> set[str]:
    found: set[str] = set()
    for part in piece:
        if isinstance(part, OneOf):
            found |= set().union(*map(_words, part.pieces))
        elif isinstance(part, str):
            found |= set(_WORD.findall(normalise(part)))
    return found


def _sure_words(piece: Piece) -> set[str]:
    """Words that stand in every rendering."""
    found: set[str] = set()
    for part in piece:
        if isinstance(part, OneOf):
            found |= set.intersection(*map(_sure_words, part.pieces))
        elif isinstance(part, str):
            found |= set(_WORD.findall(normalise(part)))
    return found


def _pattern(piece: Piece) -> str:
    return "".join(map(_part_pattern, piece))


def _part_pattern(part: str | Slot | OneOf) -> str:
    if isinstance(part, Slot):
        return _SLOT
    if isinstance(part, OneOf):
        return "(?:" + "|".join(map(_pattern, part.pieces)) + ")"
    return "".join(rf"[ ,]+{re.escape(word)}" for word in normalise(part).replace(",", " ").split())


@lru_cache(maxsize=1 << 13)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"{pattern}[ ,]*")
