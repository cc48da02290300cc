"""Every wording is read back as what it says: as written, as a decoder spaces it, and on turned pixels."""

import random
import re
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from knowlip.language.claims import Claims, parse_claims
from knowlip.language.corruption import _EDITS, is_wrong
from knowlip.language.dimensions import DIMENSIONS, InstructionSet
from knowlip.language.direction_words import turn_words
from knowlip.language.directions import Turn
from knowlip.language.grammar import Grammar
from knowlip.language.grammar.meaning import claims_of, dimension_of
from knowlip.language.grammar.rendering import fits, rendered
from knowlip.language.grammar.samples import named, sampled, set_of
from knowlip.language.silent import is_silent, without_silent
from knowlip.language.statements import Statement
from knowlip.language.topics import CLAIMING
from knowlip.language.truth import judge
from tests.language.test_truth import make_truth

GRAMMAR = Grammar.standard()
SILENT = tuple(name for name in GRAMMAR.topics if name not in CLAIMING)
PLACES = {"regions", "where", "axis_deg", "side"}
STEPS = {"left": (-1, 0), "right": (1, 0), "above": (0, -1), "below": (0, 1)}


def statements(topic: str, number: int) -> Iterator[tuple[Statement, str, random.Random]]:
    """Statements that fit each wording of a topic in turn, and the wording's rendering."""
    for wording in GRAMMAR.topic(topic).wordings:
        chance, found = random.Random(wording.text), 0
        for _ in range(2000):
            statement = sampled(topic, chance)
            if not fits(wording, statement):
                continue
            yield statement, rendered(wording, statement, chance, found % 3), chance
            found += 1
            if found == number:
                break
        assert found, wording.text


def read(statement: Statement, text: str) -> Claims:
    instruction_set = set_of(statement)
    dimension = dimension_of(statement.topic, instruction_set)
    assert dimension in DIMENSIONS[instruction_set]
    return parse_claims(instruction_set, dimension, text)


def decoded(text: str) -> str:
    """As WordPiece gives it back."""
    return " ".join(re.findall(r"\w+|[^\w\s]", text.lower()))


def turned(claims: Claims, turn: Turn) -> dict[str, Any]:
    new: dict[str, Any] = dict(claims)
    if "regions" in new:
        new["regions"] = sorted(turn.region(number) for number in new["regions"])
    if "where" in new:
        new["where"] = {name: sorted(map(turn.region, regions)) for name, regions in new["where"].items()}
    if "axis_deg" in new:
        new["axis_deg"] = turn.azimuth(new["axis_deg"]) % 180
    if "side" in new:
        new["side"] = next(name for name, step in STEPS.items() if step == turn.step(STEPS[new["side"]]))
    return new


@pytest.mark.parametrize("topic", CLAIMING)
def test_round_trip(topic: str) -> None:
    for statement, text, _ in statements(topic, 6):
        wanted = claims_of(statement)
        assert wanted
        for written in (text, decoded(text), f"{text[:1].upper()}{text[1:]}."):
            assert read(statement, written) == wanted, written
        assert not is_silent(text), text
        assert text == " ".join(text.split())
        assert not re.search(r"[.:;]\s|[.:;]$|,$|\[|\{|<|\ba [aeio]\w*[bcdfg]", text), text


@pytest.mark.parametrize("topic", CLAIMING)
def test_words_follow_the_pixels(topic: str) -> None:
    for statement, text, chance in statements(topic, 3):
        turn = Turn.of(chance.randrange(1, 8))
        new = turn_words(text, turn)
        assert new is not None, text
        assert turned(read(statement, new), Turn()) == turned(claims_of(statement), turn), new


def test_each_of_the_eight_turns() -> None:
    for topic in ("location", "feature-elongated", "where", "boundary", "roads"):
        for statement, text, _ in statements(topic, 1):
            for turn in map(Turn.of, range(8)):
                new = turn_words(text, turn)
                assert new is not None
                assert turned(read(statement, new), Turn()) == turned(claims_of(statement), turn), new


@pytest.mark.parametrize("topic", CLAIMING)
def test_no_wording_changes_a_truth(topic: str) -> None:
    chance, rng = random.Random(topic), np.random.default_rng(len(topic))
    for _ in range(4):
        statement = sampled(topic, chance)
        kind = set_of(statement)
        dimension = str(dimension_of(topic, kind))
        truths = [make_truth(rng, kind) for _ in range(3)]
        verdicts = set()
        for wording in GRAMMAR.fitting(statement):
            text = rendered(wording, statement, chance, chance.randrange(3))
            verdicts.add(tuple(judge(kind, dimension, text, truth, 512.0) for truth in truths))
        assert len(verdicts) == 1
        assert None not in verdicts.pop()


@pytest.mark.parametrize("topic", SILENT)
def test_wordings_without_claims_are_dropped(topic: str) -> None:
    for wording in GRAMMAR.topic(topic).wordings:
        chance = random.Random(wording.text)
        text = rendered(wording, named(wording, topic, chance), chance)
        for written in (text, f"{text[:1].upper()}{text[1:]}."):
            assert not without_silent(written).strip(" ."), written


@pytest.mark.parametrize("topic", [name for name in SILENT if GRAMMAR.evidence_of(name) != "geo"])
def test_they_hold_no_direction_that_would_turn(topic: str) -> None:
    for wording in GRAMMAR.topic(topic).wordings:
        chance = random.Random(wording.text)
        for _ in range(4):
            text = rendered(wording, named(wording, topic, chance), chance)
            assert {turn_words(text, Turn.of(number)) for number in range(8)} == {text}


def test_sentences_of_other_layers_add_no_claims() -> None:
    chance = random.Random(0)
    others = [wording for topic in SILENT for wording in GRAMMAR.topic(topic).wordings]
    for topic in CLAIMING:
        for _ in range(8):
            statement, other = sampled(topic, chance), chance.choice(others)
            tail = rendered(other, named(other, topic, chance), chance)
            main = GRAMMAR.say(statement, str(chance.random()))
            text = f"{main[:1].upper()}{main[1:]}. {tail[:1].upper()}{tail[1:]}"
            assert read(statement, text) == claims_of(statement), text
            assert read(statement, f"{text}.") == claims_of(statement), text


@pytest.mark.parametrize(
    ("dimension", "text", "claims"),
    [
        ("Location", "Situated within the upper right and lower center", {"regions": [2, 7]}),
        ("Location", "Located inside the upper left of the busy anchorage", {"regions": [0]}),
        ("Location", "Situated within West Java", {}),
        ("Distribution", "Lying in a row", {"pattern": "row"}),
    ],
)
def test_free_texts_that_look_like_a_wording_of_place(dimension: str, text: str, claims: dict[str, Any]) -> None:
    found: dict[str, Any] = dict(parse_claims("marine", dimension, text))
    found.pop("category", None)
    assert found == claims


@pytest.mark.parametrize(
    ("topic", "kind", "least"),
    [
        ("count", "count", 0.99),
        ("count-range", "count", 0.99),
        ("location", "direction", 0.7),
        ("feature-elongated", "direction", 0.9),
        ("category", "category", 0.99),
        ("around", "category", 0.75),
        ("terrain", "category", 0.75),
        ("where", "direction", 0.75),
        ("where", "category", 0.7),
        ("layout-mosaic", "category", 0.9),
        ("boundary", "category", 0.8),
        ("boundary", "direction", 0.9),
    ],
)
def test_injected_noise_is_possible(topic: str, kind: str, least: float) -> None:
    rng, done, possible = np.random.default_rng(0), 0, 0
    for statement, text, _ in statements(topic, 8):
        if kind == "direction" and not PLACES & claims_of(statement).keys():
            continue
        written = text[:1].upper() + text[1:]
        instruction_set = set_of(statement)
        dimension = str(dimension_of(topic, instruction_set))
        edits = (_EDITS[kind](written, rng) for _ in range(3))
        done += 1
        possible += any(new and is_wrong(kind, instruction_set, dimension, written, new) for new in edits)
    assert possible / done >= least


@pytest.mark.parametrize(
    ("kind", "text", "pattern"),
    [
        ("count", "A trio of vessels can be made out", r"(\w+) (vessels?) can be made out"),
        ("count", "A lone vessel is visible", r"(\w+) vessels are visible"),
        ("count", "One vessel stands out here", r"(\w+) vessels stand out here"),
        ("count", "About sixteen craft were counted", r"(About )?\w+ craft (was|were) counted"),
        ("count", "Between three and five ships are visible", r"Between (\w+) and (\w+) ships are visible"),
        ("category", "An executive jet, judging by outline", r"A [\w -]+, judging by outline"),
    ],
)
def test_noise_keeps_to_grammar(kind: str, text: str, pattern: str) -> None:
    for seed in range(12):
        new = _EDITS[kind](text, np.random.default_rng(seed))
        assert new is not None
        if kind == "count" and new.startswith("One "):
            assert re.search(r"One (vessel|craft)\b", new)
        else:
            assert re.fullmatch(pattern, new), new


def test_reading_takes_no_time() -> None:
    captions = [
        (set_of(statement), str(dimension_of(topic, set_of(statement))), text)
        for topic in CLAIMING
        for statement, text, _ in statements(topic, 1)
    ]
    for _ in range(2):  # the second time all wordings are compiled, and texts known
        started = time.process_time()
        for caption in captions:
            parse_claims(*caption)
        took = time.process_time() - started
    assert took / len(captions) < 1e-4


def test_dimension_of() -> None:
    assert dimension_of("count", "marine") == dimension_of("count", "ground") == "Count"
    assert dimension_of("count", "terrain") is None
    assert dimension_of("where", InstructionSet.TERRAIN) == "Distribution"
    assert dimension_of("where", "marine") is None
    assert dimension_of("place-country", "marine") is None
    assert claims_of(Statement("place-country", {"country": "Japan"}, "geo")) == {}
