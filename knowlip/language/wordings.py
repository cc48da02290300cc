"""Wordings: the many ways in which the topics of the grammar can be put, as YAML files hold them (docs/language.md).

In a wording, `[near|close to|]` is one of several pieces (they may nest and may be empty), `{city}` a slot that a
statement fills, and `<is|are>` the first for one target, the second for more.
"""

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Final, cast

from knowlip.base.documents import parse_yaml
from knowlip.base.files import regular_file
from knowlip.language.statements import EVIDENCE, Evidence, Layer

STANDARD: Final = Path(__file__).parent / "grammar"
"""The folder of the standard wordings, one file a field of knowledge."""
MOST_BYTES: Final = 1 << 20
MOST_WORDINGS: Final = 200
MOST_CHARACTERS: Final = 400
"""Sizes that a file, a topic and a wording must not exceed: the file may come from anywhere."""
_MOST_TOPICS: Final = 500
_TOPIC: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_SLOT: Final = re.compile(r"[a-z]+(?:_[a-z]+)*")
_TOUCHING: Final = re.compile(r"[^\W_]+[\[{<]|[\]}>][^\W_]+")
_FORBIDDEN: Final = re.compile(r"\.(?:\s|$)|:\s|;|[!?\n]")


@dataclass(frozen=True)
class Slot:
    """A place that a statement fills."""

    name: str


@dataclass(frozen=True)
class OneOf:
    """Pieces one of which is said."""

    pieces: "tuple[Piece, ...]"
    by_number: bool = False
    """Whether the first is for one target and the second for more."""


Part = str | Slot | OneOf
Piece = tuple[Part, ...]


@dataclass(frozen=True)
class Wording:
    """One way to put a topic."""

    text: str
    """As the file has it."""
    piece: Piece
    when: Mapping[str, bool | str]
    """Slot -> whether it must have a value (that is not False) or must have none; or the very value."""

    @property
    def slots(self) -> set[str]:
        """Names of the slots in it."""
        return {part.name for part in parts_of(self.piece) if isinstance(part, Slot)}


@dataclass(frozen=True)
class Topic:
    """Something that can be said, and the ways to put it."""

    name: str
    evidence: Evidence
    layer: Layer
    wordings: tuple[Wording, ...]


def parts_of(piece: Piece) -> Iterator[Part]:
    """The parts of a wording, those within alternatives as well."""
    for part in piece:
        yield part
        if isinstance(part, OneOf):
            for inner in part.pieces:
                yield from parts_of(inner)


def drawn(piece: Piece, one: bool, chance: random.Random) -> Iterator[str | Slot]:
    """The parts that are said when each alternative is drawn by chance.

    Args:
        piece: of a wording.
        one: whether it speaks of one target.
        chance: source of chance.
    """
    for part in piece:
        if isinstance(part, OneOf):
            inner = part.pieces[0 if one else 1] if part.by_number else chance.choice(part.pieces)
            yield from drawn(inner, one, chance)
        else:
            yield part


def parse(text: str) -> Piece:
    """Read a wording.

    Raises:
        ValueError: brackets that do not fit, a slot without a proper name, or what one sentence must not hold; the
            sentence begins with "it", for the caller to say which wording.
    """
    if not text.strip() or len(text) > MOST_CHARACTERS:
        raise ValueError(f"it has {len(text)} characters, and must have 1 to {MOST_CHARACTERS}")
    if found := _FORBIDDEN.search(text):
        raise ValueError(f"it holds {found.group().strip()!r}: a wording is one sentence without . : ; ! ? at its end")
    if found := _TOUCHING.search(text):
        raise ValueError(f"it has a bracket that touches a word, at {found.group()!r}: alternatives are whole words")
    if text[0] in " ." or text[-1] in " .":
        raise ValueError("it begins or ends with a space or a full stop")
    piece, rest = _parse(text, "")
    assert not rest
    return piece


_CLOSING: Final = {"[": "]", "<": ">"}


def _parse(text: str, closing: str) -> tuple[Piece, str]:
    """One piece up to "|" or the closing bracket, and what is left of the text from there."""
    parts: list[Part] = []
    while text:
        if closing and text[0] in ("|", closing):
            return tuple(parts), text
        plain = re.match(r"[^\[\]<>{}|]+", text)
        if plain:
            parts.append(plain.group())
            text = text[plain.end() :]
        elif text[0] == "{":
            name, brace, text = text[1:].partition("}")
            if not brace or not _SLOT.fullmatch(name):
                raise ValueError(f"it has a slot {{{name[:40]}}} that is not closed or not lower-case letters and _")
            parts.append(Slot(name))
        elif text[0] in _CLOSING:
            alternatives, text = _alternatives(text[1:], _CLOSING[text[0]])
            parts.append(alternatives)
        else:
            raise ValueError(f"it has a bracket or a | that stands alone, at {text[:20]!r}")
    if closing:
        raise ValueError(f"it has a bracket that no {closing} closes")
    return tuple(parts), ""


def _alternatives(text: str, closing: str) -> tuple[OneOf, str]:
    pieces: list[Piece] = []
    while True:
        piece, text = _parse(text, closing)
        pieces.append(piece)
        if text[0] == closing:
            break
        text = text[1:]
    if closing == ">" and len(pieces) != 2:
        raise ValueError(f"it has {len(pieces)} pieces between < and >, which take two: for one target, for more")
    return OneOf(tuple(pieces), closing == ">"), text[1:]


def topics_in(stated: object, where: str) -> tuple[dict[str, Topic], set[str]]:
    """The topics of a parsed file.

    Args:
        stated: what the YAML holds.
        where: how errors name the file.

    Returns:
        Name -> topic, and the names of those that say `add: true`.

    Raises:
        ValueError: anything that is not of the form, named with topic and wording.
    """
    if not isinstance(stated, dict) or not stated or len(stated) > _MOST_TOPICS:
        raise ValueError(f"{where} must hold 1 to {_MOST_TOPICS} topics, each with evidence, layer and wordings.")
    topics = {str(name): _topic(str(name), body, where) for name, body in stated.items()}
    return topics, {str(name) for name, body in stated.items() if body.get("add")}


def _topic(name: str, body: Any, where: str) -> Topic:
    if not _TOPIC.fullmatch(name):
        raise ValueError(f"{where} has a topic {name[:60]!r}: use lower-case letters, digits and hyphens.")
    if not isinstance(body, dict) or body.keys() - {"evidence", "layer", "wordings", "add"}:
        raise ValueError(f"{where}: the topic {name} must hold evidence, layer, wordings, and add: true where it adds.")
    evidence, layer, wordings = body.get("evidence"), body.get("layer"), body.get("wordings")
    if evidence not in EVIDENCE or not isinstance(layer, int) or not 1 <= layer <= 5:
        raise ValueError(f"{where}: the topic {name} needs an evidence ({', '.join(EVIDENCE)}) and a layer, 1 to 5.")
    if not isinstance(body.get("add", False), bool) or not isinstance(wordings, list):
        raise ValueError(f"{where}: the topic {name} needs a list of wordings, and add is true or false.")
    found = tuple(islice(_wordings(name, wordings, where), MOST_WORDINGS + 1))
    if not 1 <= len(found) <= MOST_WORDINGS:
        raise ValueError(f"{where}: the topic {name} has {len(found)} wordings, it must have 1 to {MOST_WORDINGS}.")
    return Topic(name, cast(Evidence, evidence), Layer(layer), found)


def _wordings(topic: str, stated: Sequence[Any], where: str, when: str = "") -> Iterator[Wording]:
    conditions: dict[str, bool | str] = {}
    for condition in filter(None, map(str.strip, when.split(","))):
        slot, equal, value = condition.removeprefix("not ").partition("=")
        if not _SLOT.fullmatch(slot):
            raise ValueError(f"{where}: the topic {topic} has a condition {condition!r}, which names no slot.")
        conditions[slot] = value if equal else not condition.startswith("not ")
    for text in stated:
        if isinstance(text, dict) and not when:
            if text.keys() != {"when", "say"} or not isinstance(text["say"], list) or not str(text["when"]).strip():
                raise ValueError(f"{where}: the topic {topic} has wordings under a condition without when and say.")
            yield from _wordings(topic, text["say"], where, str(text["when"]))
            continue
        if not isinstance(text, str):
            raise ValueError(f"{where}: the topic {topic} has the wording {text!r}, no text; set it in quotes.")
        try:
            yield Wording(text, parse(text), conditions)
        except ValueError as error:
            raise ValueError(f"{where}: the topic {topic} has the wording {text!r}, but {error}.") from None


def topics_of(path: Path) -> tuple[dict[str, Topic], set[str]]:
    """The topics of a YAML file, see :func:`topics_in`.

    Raises:
        ValueError: no such file, one that is too large or no YAML, or as :func:`topics_in`.
    """
    try:
        content = regular_file(path).read_bytes()
    except OSError as error:
        raise ValueError(f"The wordings {path} cannot be read: {error.strerror}.") from None
    if len(content) > MOST_BYTES:
        raise ValueError(f"The wordings {path} have {len(content)} bytes; at most {MOST_BYTES} are read.")
    names = re.findall(rb"(?m)^([a-z0-9-]+) *:", content)
    if len(set(names)) < len(names):
        twice = next(name.decode() for name in names if names.count(name) > 1)
        raise ValueError(f"The wordings {path} have the topic {twice} twice.")
    return topics_in(parse_yaml(content, f"The file of wordings {path}"), path.name)


@lru_cache(maxsize=1)
def standard_topics() -> dict[str, Topic]:
    """The topics that come with KnowLIP, from all files of `STANDARD`."""
    topics: dict[str, Topic] = {}
    for path in sorted(STANDARD.glob("*.yaml")):
        found, _ = topics_of(path)
        if twice := topics.keys() & found.keys():
            raise ValueError(f"{path.name} has the topic {min(twice)}, which another file has as well.")
        topics |= found
    return topics
