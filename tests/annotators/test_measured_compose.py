"""How statements become eight sub-texts: layers, length, what the parent has said, doubt, wordings of one's own."""

import re
from dataclasses import replace

import pytest

from knowlip.annotators.measured.compose import (
    LIKELY_FROM,
    PLAIN_FROM,
    TextOptions,
    compose,
    grammar_of,
    hedge_of,
    text_settings,
)
from knowlip.annotators.measured.evidence import Target, TileEvidence
from knowlip.annotators.measured.limits import more_likely_true, within_limits
from knowlip.annotators.measured.target_statements import target_statements
from knowlip.annotators.measured.terrain_statements import terrain_statements
from knowlip.annotators.types import Annotation, SubText
from knowlip.language.claims import parse_claims
from knowlip.language.dimensions import DIMENSIONS, InstructionSet
from knowlip.language.grammar import Grammar
from knowlip.language.marks import resting_on
from knowlip.language.statements import Layer, Statement

LAND = {"field": 0.6, "wood": 0.4}
EVIDENCE = TileEvidence(1024.0, (), LAND, (LAND,) * 9)
GRAMMAR = Grammar.standard()
MAINS = terrain_statements(EVIDENCE, None)
COUNTRY = Statement("place-country", {"country": "Kenya"}, "geo", Layer.EARTH)
CLIMATE = Statement("climate-savanna", {}, "geo", Layer.EARTH)
FARMS = Statement("farm-routine", {}, "prior", Layer.SOCIAL)
OTHERS = [(COUNTRY, ("Terrain", "Layout")), (CLIMATE, ("Terrain",)), (FARMS, ("Functionality",))]


def written(
    scale: str = "large", parent: Annotation | None = None, others: object = OTHERS, **settings: object
) -> tuple[SubText, ...]:
    options = TextOptions(**settings)  # type: ignore[arg-type]
    return compose("tile", scale, InstructionSet.TERRAIN, MAINS, others, parent, options, grammar_of(options.wordings))  # type: ignore[arg-type]


def topics(sub_texts: tuple[SubText, ...]) -> set[str]:
    return {sentence.topic for sub in sub_texts for sentence in sub.sentences}


def test_the_first_sentence_of_each_sub_text_is_what_it_is_about() -> None:
    sub_texts = written()
    assert [sub.dimension for sub in sub_texts] == list(DIMENSIONS["terrain"])
    for sub in sub_texts:
        first = sub.sentences[0]
        assert first.evidence == sub.evidence == "visual"
        assert first.topic == MAINS[sub.dimension].topic
    assert {"place-country", "climate-savanna", "farm-routine"} <= topics(sub_texts)


def test_other_sentences_change_no_claim() -> None:
    plain = {sub.dimension: sub.text for sub in written(words=0)}
    for sub in written():
        seen = resting_on(sub.text, sub.marks, sub.evidence, ("visual",))
        claims = parse_claims("terrain", sub.dimension, sub.text)
        assert claims == parse_claims("terrain", sub.dimension, seen)
        assert claims == parse_claims("terrain", sub.dimension, plain[sub.dimension])


def test_layers_are_a_setting() -> None:
    assert "farm-routine" not in topics(written(layers=(1, 3, 4, 5)))
    assert "place-country" not in topics(written(layers=(2, 4)))
    assert topics(written(layers=(4,))) == topics(written(words=0)) == {main.topic for main in MAINS.values()}


def test_captions_stop_near_their_length() -> None:
    long = sum(len(sub.text.split()) for sub in written(words=400))
    short = sum(len(sub.text.split()) for sub in written(words=0))
    assert short < long
    assert len(topics(written(words=400))) > len(topics(written(words=0)))


def test_a_child_does_not_repeat_its_parent() -> None:
    parent = Annotation("parent", InstructionSet.TERRAIN, written())
    said = topics(written("medium", parent))
    assert not said & {"place-country", "climate-savanna", "farm-routine"}
    assert {main.topic for main in MAINS.values()} <= said, "what is seen is said of each tile anew"


def test_the_same_tile_and_seed_give_the_same_words_and_another_seed_others() -> None:
    assert written() == written()
    assert written(seed=1) != written()
    assert [parse_claims("terrain", sub.dimension, sub.text) for sub in written(seed=1)] == [
        parse_claims("terrain", sub.dimension, sub.text) for sub in written()
    ]


@pytest.mark.parametrize(("confidence", "level"), [(PLAIN_FROM, 0), (LIKELY_FROM, 1), (0.3, 2)])
def test_doubt_is_spoken(confidence: float, level: int) -> None:
    assert hedge_of(Statement("water-none", confidence=confidence)) == level


def test_what_pixels_do_not_show_is_not_claimed() -> None:
    ship = Target("ship", 0.5, 0.5, 60.0, 12.0, 30.0, "fishing boat")
    evidence = replace(EVIDENCE, targets=(ship,), shares={"water": 1.0}, grid=({"water": 1.0},) * 9)
    mains = target_statements(evidence)
    assert within_limits(mains, evidence, 0.5) == mains
    coarse = within_limits(mains, evidence, 8.0)
    assert coarse["Category"].topic == "limit-category"
    sub_texts = compose("tile", "small", InstructionSet.MARINE, coarse, [], None, TextOptions(), GRAMMAR)
    texts = {sub.dimension: sub.text for sub in sub_texts}
    assert parse_claims("marine", "Category", texts["Category"]) == {}
    assert "8" in texts["Category"]


def test_no_sentence_speaks_of_streets_beside_pixels_that_show_none() -> None:
    use = Statement("function", {"function": "urban"}, confidence=0.5)
    mains = {**MAINS, "Functionality": use, "Roads": Statement("roads-unresolved", layer=Layer.CALIBRATION)}
    theory = Statement("theory-corner", {}, "prior", Layer.RADAR)
    shifted = Statement("theory-layover", {}, "prior", Layer.RADAR)
    routine = Statement("urban-routine", {}, "prior", Layer.SOCIAL)
    traces = Statement("theory-road", {}, "prior", Layer.RADAR)
    others = [(one, ("Buildings", "Layout", "Terrain", "Boundary")) for one in (theory, shifted, routine, traces)]
    spoken = re.compile(r"\b(road|street|highway)s?\b", re.IGNORECASE)
    held = {True: 0, False: 0}
    for seed in range(60):
        for hidden, main in ((True, mains), (False, {**mains, "Roads": Statement("roads-none")})):
            options = TextOptions(seed=seed, words=150)
            sub_texts = compose("tile", "large", InstructionSet.TERRAIN, main, others, None, options, GRAMMAR)
            held[hidden] += any(spoken.search(sub.text) for sub in sub_texts if sub.dimension != "Roads")
            assert {"theory-corner", "urban-routine"} <= topics(sub_texts)
    assert held[True] == 0
    assert held[False] > 30


def test_wordings_of_ones_own_are_said_and_change_what_a_run_is_made_of(tmp_path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text('water-none:\n  evidence: visual\n  layer: 4\n  wordings: ["no water whatsoever"]\n')
    texts = {sub.dimension: sub.text for sub in written(wordings=path)}
    assert texts["Water"].startswith("No water whatsoever")
    assert text_settings(TextOptions(wordings=path)) != text_settings(TextOptions())


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="layer 7"):
        TextOptions(layers=(1, 7))
    with pytest.raises(ValueError, match="0 to 400"):
        TextOptions(words=1000)


def test_of_targets_nothing_is_claimed_that_is_more_likely_false() -> None:
    ship = Target("ship", 0.5, 0.5, 60.0, 12.0, 30.0, "fishing boat", 0.4)
    evidence = replace(EVIDENCE, targets=(ship,) * 4, shares={"water": 1.0}, grid=({"water": 1.0},) * 9)
    said = target_statements(evidence)
    left = more_likely_true(said)
    assert left["Count"].topic == "count-range"
    assert (left["Count"].slots["low"], left["Count"].slots["high"]) == (2, 7)
    assert left["Size"].topic == "unclear-size"
    assert left["Region"] == said["Region"]
    sub_texts = compose("tile", "small", InstructionSet.MARINE, left, [], None, TextOptions(), GRAMMAR)
    texts = {sub.dimension: sub.text for sub in sub_texts}
    assert parse_claims("marine", "Count", texts["Count"])["count_range"] == [2, 7]
    for dimension in ("Location", "Size", "Category", "Distribution"):
        assert parse_claims("marine", dimension, texts[dimension]) == {}
    sure = replace(evidence, targets=(replace(ship, certainty=0.99),))
    assert more_likely_true(target_statements(sure)) == target_statements(sure)


def test_a_wordings_file_that_changes_is_read_again(tmp_path) -> None:
    path = tmp_path / "mine.yaml"
    form = 'water-none:\n  evidence: visual\n  layer: 4\n  wordings: ["{}"]\n'
    path.write_text(form.format("no water whatsoever"))
    before = text_settings(TextOptions(wordings=path))
    path.write_text(form.format("no water at all"))
    assert text_settings(TextOptions(wordings=path)) != before
    texts = {sub.dimension: sub.text for sub in written(wordings=path)}
    assert texts["Water"].startswith("No water at all")
