"""From statements to eight sub-texts: which of the layers speak on a tile, where, and in which words."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from knowlip.annotators.types import Annotation, SubText
from knowlip.base.files import sha256
from knowlip.language.dimensions import DIMENSIONS, InstructionSet
from knowlip.language.grammar import Grammar
from knowlip.language.marks import Sentence
from knowlip.language.statements import Layer, Statement

PLAIN_FROM: Final = 0.8
"""Probability from which a claim is made without a word of doubt."""
LIKELY_FROM: Final = 0.55
"""Probability from which it is called likely; below, possible."""
_SPREAD: Final = 6
"""Captions end up to so many words before and behind the number that is asked for."""
_ROOM: Final = 16
"""So many words more may be told of what was measured and how the scene was taken."""
_SENTENCES: Final = 3
"""Most sentences of a sub-text."""
_LEADING: Final[Mapping[str, tuple[Layer, ...]]] = {
    "large": (Layer.EARTH, Layer.SOCIAL, Layer.EARTH, Layer.RADAR, Layer.CALIBRATION),
    "medium": (Layer.EARTH, Layer.RADAR, Layer.SOCIAL, Layer.CALIBRATION),
    "small": (Layer.SOCIAL, Layer.RADAR, Layer.SOCIAL, Layer.EARTH, Layer.CALIBRATION),
}
"""Scale -> the layers in the order in which they may add a sentence, over and over; where on this round a tile begins
is drawn, so that all layers come to speak though a text has room for few sentences."""


_ROADS_HIDDEN: Final = "roads-unresolved"
_OF_ROADS: Final = re.compile(r"\b(?:road|street|highway|motorway)s?\b", re.IGNORECASE)
"""Words that no other sentence holds where the main one on roads says that the pixels are too coarse for them."""
_OF_EVERY_TILE: Final = ("sensor",)
"""Topics that each text tells first, whatever the larger tile's has told."""
_BEFORE: Final[Mapping[str, tuple[Layer, ...]]] = {
    "large": (Layer.EARTH, Layer.SOCIAL, Layer.EARTH),
    "medium": (Layer.EARTH,),
}
"""Scale -> layers that speak before what was measured is told: on large tiles place and people come first."""


_NAMED: Final = ("airport-", "port-", "town-", "city-")
"""Beginnings of the topics that name something near the tile."""
_MOST_NAMED: Final[Mapping[str, int]] = {"large": 2}
"""Scale -> how many of them a caption holds; 1 for the others."""


@dataclass(frozen=True)
class TextOptions:
    """How the measured annotator speaks."""

    layers: tuple[int, ...] = (1, 2, 3, 4, 5)
    """Layers of the chain of thought that speak: 1 earth cognition, 2 social prior, 3 SAR theory, 4 instances, 5
    calibration. The main sentence of each sub-text is of layer 4 and always there."""
    words: int = 110
    """Words that a caption is filled up to, by what the other layers have to say; 0 leaves the main sentences alone."""
    seed: int = 0
    """Draws the wordings, together with the tile's name."""
    wordings: Path | None = None
    """A YAML file with your own wordings, docs/language.md."""

    def __post_init__(self) -> None:
        if strange := set(self.layers) - set(Layer):
            raise ValueError(f"There is no layer {min(strange)}; use 1 to 5.")
        if not 0 <= self.words <= 400:
            raise ValueError(f"A caption of {self.words} words cannot be asked for; use 0 to 400.")


STANDARD: Final = TextOptions()
VERSION: Final = 3
"""Raised whenever the same tile would get another text: a run is finished by the version that began it."""


def text_settings(options: TextOptions, grammar: Grammar | None = None) -> dict[str, Any]:
    """Options as JSON values, with fingerprints of the words and weights: texts of one run are made of the same.

    Args:
        options: how to speak.
        grammar: what is spoken with; that of the options as their file is now where not given.
    """
    grammar = grammar or grammar_of(options.wordings)
    words = sha256(repr([grammar.topic(name) for name in sorted(grammar.topics)]).encode())[:16]
    weights = (
        Path(__file__).with_name(name).read_bytes() for name in ("weights.onnx", "overall.npy", "calibration.json")
    )
    return {
        "layers": sorted(options.layers),
        "words": options.words,
        "seed": options.seed,
        "grammar": words,
        "weights": sha256(b"".join(weights))[:16],
        "version": VERSION,
    }


def grammar_of(wordings: Path | None) -> Grammar:
    """The standard grammar, or that of a file as it is now; an annotator reads it once and keeps to it."""
    return Grammar.standard() if wordings is None else Grammar.with_file(wordings)


@dataclass
class _Caption:
    """A caption while it is put together."""

    said: dict[str, list[Sentence]] = field(default_factory=dict)
    """Dimension -> sentences."""
    words: list[str] = field(default_factory=list)

    def add(self, dimension: str, sentence: Sentence) -> None:
        self.said.setdefault(dimension, []).append(sentence)
        self.words += sentence.text.lower().replace(",", " ").split()


def compose(
    tile_id: str,
    scale: str,
    kind: InstructionSet,
    mains: Mapping[str, Statement],
    others: Sequence[tuple[Statement, tuple[str, ...]]],
    parent: Annotation | None,
    options: TextOptions,
    grammar: Grammar,
) -> tuple[SubText, ...]:
    """Put statements into words.

    Args:
        tile_id: draws the wordings, with the seed.
        scale: "large", "medium" or "small": which layers come first.
        kind: the instruction set.
        mains: dimension -> what it is about.
        others: what the other layers have to say, each with the dimensions that it may stand under, first things
            first.
        parent: the larger tile's annotation; what it says of place, people and radar is not said again.
        options: how to speak.
        grammar: of these options, see :func:`grammar_of`.

    Returns:
        The eight sub-texts in order.
    """
    # Main sentences come first, so that the room that is left is known; each wording is chosen against the words that
    # the caption holds already.
    caption = _Caption()
    hidden = any(main.topic == _ROADS_HIDDEN for main in mains.values())
    avoid = _OF_ROADS if hidden else None
    for dimension in DIMENSIONS[kind]:
        main = mains[dimension]
        shunned = None if main.topic == _ROADS_HIDDEN else avoid
        key = f"{options.seed} {tile_id} {main.topic}"
        words = grammar.say(main, key, caption.words, hedge_of(main), shunned)
        caption.add(dimension, Sentence(words, main.evidence, main.topic))
    known = _topics(parent)
    goal = options.words + _chance(f"{options.seed} {tile_id} length", 2 * _SPREAD + 1) - _SPREAD
    allowed = [other for other in others if other[0].layer in options.layers and other[0].topic not in known]
    seen = [other for other in allowed if _tells_tiles_apart(other[0])]
    unseen = [other for other in allowed if not _tells_tiles_apart(other[0])]
    # What was measured and how the scene was taken tells tiles apart: the longest captions have room for it too.
    most = options.words + _ROOM if options.words else 0
    named = 0
    first = _firsts(unseen, _BEFORE.get(scale, ()))
    rest = [other for other in unseen if other not in first]
    for number, (statement, dimensions) in enumerate([*first, *seen, *_in_turn(rest, scale, tile_id)]):
        limit = most if number < len(first) + len(seen) else goal
        if len(caption.words) >= limit:
            continue
        here = [name for name in dimensions if name in caption.said and len(caption.said[name]) < _SENTENCES]
        of_name = statement.topic.startswith(_NAMED)
        if not here or (of_name and named >= _MOST_NAMED.get(scale, 1)):
            continue
        where = min(here, key=lambda name: len(caption.said[name]))
        words = grammar.say(statement, f"{options.seed} {tile_id} {statement.topic}", caption.words, avoid=avoid)
        if hidden and _OF_ROADS.search(words):  # a topic of roads has no other words
            continue
        if len(caption.words) + len(words.split()) <= limit + 4:
            caption.add(where, Sentence(words, statement.evidence, statement.topic))
            named += of_name
    return tuple(SubText.of(name, caption.said[name], mains[name].confidence) for name in DIMENSIONS[kind])


def _tells_tiles_apart(statement: Statement) -> bool:
    """Whether it was measured in the tile, or says how the scene was taken."""
    return statement.evidence == "visual" or statement.topic in _OF_EVERY_TILE


def _firsts(
    others: Sequence[tuple[Statement, tuple[str, ...]]], layers: Sequence[Layer]
) -> list[tuple[Statement, tuple[str, ...]]]:
    """The first statement of each layer, the next where a layer is named again."""
    found: list[tuple[Statement, tuple[str, ...]]] = []
    for layer in layers:
        found += [other for other in others if other[0].layer is layer and other not in found][:1]
    return found


def hedge_of(statement: Statement) -> int:
    """How much doubt a statement is spoken with: 0 none, 1 likely, 2 possible."""
    if statement.confidence >= PLAIN_FROM:
        return 0
    return 1 if statement.confidence >= LIKELY_FROM else 2


def _topics(parent: Annotation | None) -> set[str]:
    """What the larger tile's text has told of all but its own pixels."""
    if parent is None:
        return set()
    sentences = (sentence for sub_text in parent.sub_texts for sentence in sub_text.sentences)
    told = {sentence.topic for sentence in sentences if sentence.topic and sentence.evidence != "visual"}
    return told - {*_OF_EVERY_TILE}


def _in_turn(
    others: Sequence[tuple[Statement, tuple[str, ...]]], scale: str, tile_id: str
) -> Iterator[tuple[Statement, tuple[str, ...]]]:
    """The statements with layers taking turns as the scale wants it, each layer in its own order."""
    waiting = {layer: [other for other in others if other[0].layer == layer] for layer in Layer}
    order = _LEADING.get(scale, _LEADING["medium"])
    start = _chance(f"{tile_id} layers", len(order))
    while any(waiting.values()):
        before = sum(map(len, waiting.values()))
        for layer in (*order[start:], *order[:start]):
            if waiting[layer]:
                yield waiting[layer].pop(0)
        if sum(map(len, waiting.values())) == before:  # only layers that have no turn are left
            for layer in Layer:
                yield from waiting[layer]
                waiting[layer] = []


def _chance(key: str, outcomes: int) -> int:
    """A number from 0 to `outcomes` - 1 that the key decides."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % outcomes
