"""Sentences of the grammar that make no claims about the pixels, known by their wordings: the reader drops them.

"The nearest port, Kiel, is 12 km away" counts nothing and says nothing of quays. A sentence is compared with the
wordings of all topics that make no claims; whatever stands where a slot is fits, but where little else than slots has
fitted ("situated in ..."), not what speaks of places in the image or in the words of claims.
"""

import re
from collections import defaultdict
from functools import lru_cache
from typing import Final

from knowlip.language.categories import TARGET_NOUNS, TYPE_OF
from knowlip.language.topics import CLAIMING
from knowlip.language.wordings import OneOf, Piece, Slot, parts_of, standard_topics
from knowlip.language.words import COVER_OF, HEDGES, NUMBERS, REGION_PHRASES, normalise

_SLOT: Final = r"((?:[ ,]+[a-z0-9%.]+){{0,{}}}?)"
"""Whatever a slot is filled with, in a normalised text: names lose their accents there, and may vanish."""
_MOST_WORDS: Final = {"facts": 14}
"""Slot -> the most words of its values; of names and others, nine."""
_END: Final = re.compile(r"(?<=[a-z)%])\s*[.!?]\s+|(?<=\d)\s*[.!?]\s+(?=\D)", re.IGNORECASE)
_WORD: Final = re.compile(r"[a-z]+")
_SURE: Final = 2
"""Words beside its slots, small ones left out, from which a wording is known whatever its slots hold."""
_SMALL: Final = frozenset(
    "a an the of in on at to and or by with within inside as is are was were it its this that from for near".split()
)
_NAME: Final = re.compile(r"(?<=[a-z,] )[A-Z][a-z]")
"""A capital within a sentence, where no decoder has lost it: what fills a slot is a name."""
_USUAL: Final = (
    "some smaller patches pockets modest areas scattered extensive sizable wide stretches large tracts broad swathes "
    "area sector portion section zone part parts corner image scene tile frame all nearly almost most least located "
    "situated positioned placed found seen detected visible lies lying set arranged close surrounded"
)
"""Words that claims are made with, in fillings and in free texts."""
_PLACE: Final = re.compile(
    r"\b(?:upper|lower|top|bottom) (?:left|right|center)\b|\bcenter (?:left|right)\b|"
    r"\b(?:left|right|upper|lower|top|bottom|north|south|east|west|(?:north|south)(?:east|west)) "
    r"(?:hand|part|side|corner|half|third|edge)\b"
)
"""A place in the image, for certain: "the western side", but not "Western Region"."""


def sentences_in(text: str) -> list[str]:
    """The sentences of a sub-text, as written or as a decoder spaces them ("visible . nearest port")."""
    return [part for part in _END.split(text) if part.strip(" .")]


@lru_cache(maxsize=1 << 16)
def without_silent(text: str) -> str:
    """The text without those of its sentences that are wordings of a topic that makes no claims."""
    sentences = sentences_in(text)
    kept = [sentence for sentence in sentences if not is_silent(sentence)]
    return text if len(kept) == len(sentences) else ". ".join(kept)


def is_silent(sentence: str) -> bool:
    """Whether a sentence is a wording of a topic that makes no claims."""
    words = f" {normalise(sentence)}"
    patterns = _patterns()
    for word in set(_WORD.findall(words)) & patterns.keys():
        for pattern in patterns[word]:
            if (match := _compiled(pattern).fullmatch(words)) and (_NAME.search(sentence) or _is_known(match)):
                return True
    return False


def _is_known(match: re.Match[str]) -> bool:
    """Whether enough of the sentence is the wording itself, or its slots hold something else than claims do."""
    in_slots = [word for slot in match.groups() for word in _WORD.findall(slot or "")]
    beside = [word for word in _WORD.findall(match.string) if word not in _SMALL]
    if len(beside) - sum(word not in _SMALL for word in in_slots) >= _SURE:
        return True
    of_claims = in_slots and all(word in _words_of_claims() for word in in_slots)
    return not of_claims and not any(_PLACE.search(slot or "") for slot in match.groups())


@lru_cache(maxsize=1)
def _words_of_claims() -> frozenset[str]:
    """The words with which claims are made."""
    literal = (
        part
        for topic in standard_topics().values()
        if topic.name in CLAIMING
        for wording in topic.wordings
        for part in parts_of(wording.piece)
        if isinstance(part, str)
    )
    hedges = (word for level in HEDGES for word in level)
    phrases = " ".join(
        (*literal, *hedges, _USUAL, *COVER_OF, *REGION_PHRASES, *TYPE_OF, *NUMBERS, *TARGET_NOUNS.split("|"))
    )
    return frozenset(_WORD.findall(normalise(phrases))) | _SMALL


@lru_cache(maxsize=1)
def _patterns() -> dict[str, list[str]]:
    """A word that a wording has for certain -> patterns of such wordings."""
    # A sentence is tried only against the wordings whose rarest sure word it holds: a few of some thousand. A wording
    # without one, all of whose words are alternatives, stands under each of them.
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
        keys = {min(words, key=lambda word: (often[word], word))} if words else _all_words(piece)
        for word in keys:
            found[word].append(_pattern(piece))
    return dict(found)


def _all_words(piece: Piece) -> set[str]:
    return {word for part in parts_of(piece) if isinstance(part, str) for word in _WORD.findall(normalise(part))}


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
        return _SLOT.format(_MOST_WORDS.get(part.name, 9))
    if isinstance(part, OneOf):
        return "(?:" + "|".join(map(_pattern, part.pieces)) + ")"
    return "".join(rf"[ ,]+{re.escape(word)}" for word in normalise(part).replace(",", " ").split())


@lru_cache(maxsize=1 << 13)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"{pattern}[ ,]*")
