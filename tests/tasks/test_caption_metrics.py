"""Scores of captions against pycocoevalcap's own classes, and what cannot be measured."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from knowlip.models import TextTokenizer
from knowlip.tasks.caption import _score_rows
from knowlip.tasks.captioning import caption_rows
from knowlip.tasks.metrics import CaptionScorer, java, rouge_l
from knowlip.tasks.metrics.captions import METRICS, RAW, one_spelling

needs_java = pytest.mark.skipif(bool(java.no_java()), reason=java.no_java() or "Java is there")
WORDS = "a the Two ships, lie at quay; port's 30.5 m (built-up) land: near water. no-one's U.S. 1,000 can't".split()


def corpus(count: int = 60) -> tuple[list[str], list[list[str]], list[str]]:
    chance = np.random.default_rng(0)
    references = [[" ".join(chance.choice(WORDS, 12)), " ".join(chance.choice(WORDS, 9))] for _ in range(count)]
    generated = [
        " ".join(np.where(chance.random(12) < 0.8, texts[0].split(), "port")[: 8 + n % 5])
        for n, texts in enumerate(references)
    ]
    return generated, references, [f"b{n // 5}" for n in range(count)]


def numbered(texts: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[dict, dict]:  # type: ignore[type-arg]
    return {n: [text] for n, text in enumerate(texts)}, {n: list(one) for n, one in enumerate(references)}


def test_equal_and_unrelated_texts() -> None:
    references = [["Two ships lie at the quay of the port."], ["Fields and woods fill the whole image here."]]
    scorer = CaptionScorer(references)
    same = scorer.scores([texts[0] for texts in references])
    swapped = scorer.scores([references[1][0], references[0][0]])
    for name, best in (("BLEU-4", 1.0), ("CIDEr", 10.0), ("ROUGE-L", 1.0)):
        assert same[name + RAW].value == pytest.approx(best, abs=1e-6)
        assert (swapped[name + RAW].value or 0) < 0.25 * best
    one = CaptionScorer(references[:1]).scores(references[0])
    assert one["BLEU-4" + RAW].value == pytest.approx(1.0, abs=1e-6)
    assert one["CIDEr" + RAW].value is None
    assert "two images that differ" in one["CIDEr" + RAW].reason
    assert CaptionScorer([references[0]] * 3).scores([references[0][0]] * 3)["CIDEr" + RAW].value is None
    with pytest.raises(ValueError, match="1 texts were written for 2 images"):
        scorer.scores(["one"])


def test_raw_strings_have_the_scores_of_pycocoevalcap() -> None:
    generated, references, places = corpus()
    said, truth = numbered(generated, references)
    found = CaptionScorer(references, places).scores(generated)
    assert found["BLEU-4" + RAW].value == pytest.approx(Bleu(4).compute_score(truth, said, verbose=0)[0][3], rel=1e-9)
    assert found["CIDEr" + RAW].value == pytest.approx(Cider().compute_score(truth, said)[0], rel=1e-9)
    assert found["ROUGE-L" + RAW].value == pytest.approx(Rouge().compute_score(truth, said)[0], rel=1e-9)
    for name in ("BLEU-4", "CIDEr", "ROUGE-L"):
        figure = found[name + RAW].figure
        assert figure is not None
        assert figure.ci is not None
        assert figure.ci[0] < figure.value < figure.ci[1]
    alone = CaptionScorer(references).scores(generated)["BLEU-4" + RAW].figure
    assert alone is not None
    assert alone.ci is None


def test_rouge_of_random_words_is_that_of_pycocoevalcap() -> None:
    chance = np.random.default_rng(3)
    for _ in range(200):
        texts = [" ".join(chance.choice(list("abcde"), chance.integers(1, 40))) for _ in range(3)]
        assert rouge_l(texts[0], texts[1:]) == pytest.approx(Rouge().calc_score(texts[:1], texts[1:]), rel=1e-12)


@needs_java
def test_ptb_tokens_and_their_scores_are_those_of_pycocoevalcap() -> None:
    generated, references, places = corpus()
    generated[3], generated[7] = "", "120 120 120 Zw\u00f6lf Schiffe \u2014 \u201cim Hafen\u201d"
    scorer = CaptionScorer(references, places, generated)
    found = scorer.scores(generated)
    said, truth = (
        PTBTokenizer().tokenize({n: [{"caption": text} for text in texts] for n, texts in one.items()})
        for one in numbered(generated, references)
    )
    assert java.ptb(generated) == [texts[0] for texts in said.values()]
    assert found["BLEU-4"].value == pytest.approx(Bleu(4).compute_score(truth, said, verbose=0)[0][3], rel=1e-9)
    assert found["CIDEr"].value == pytest.approx(Cider().compute_score(truth, said)[0], rel=1e-9)
    assert found["ROUGE-L"].value == pytest.approx(Rouge().compute_score(truth, said)[0], rel=1e-9)
    assert found["METEOR"].value == pytest.approx(Meteor().compute_score(truth, said)[0], abs=1e-9)
    assert found["SPICE"].value is None
    assert "nothing is fetched" in found["SPICE"].reason


@needs_java
def test_a_text_of_several_lines_does_not_shift_the_others() -> None:
    texts = ["one\ntwo", "", "three\u2028four\x0bfive\x85six", " ", "last one"]
    assert java.ptb(texts) == ["one two", "", "three four five six", "", "last one"]
    assert java.meteor(["a ||| b", "c\nd"], [["a b"], ["c d"]]) == pytest.approx(
        java.meteor(["a b", "c d"], [["a b"], ["c d"]])
    )


def test_without_java_the_rest_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java.shutil, "which", lambda name: None)
    java.no_java.cache_clear()
    try:
        found = CaptionScorer([["two ships"], ["no ships"]]).scores(["two ships", "a ship"])
    finally:
        java.no_java.cache_clear()
    assert {found[name].reason for name in METRICS} == {"It needs Java (a `java` on the path)."}
    assert found["CIDEr" + RAW].value is not None


@needs_java
def test_what_java_gives_back_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    from pycocoevalcap.tokenizer import ptbtokenizer

    monkeypatch.setattr(ptbtokenizer, "STANFORD_CORENLP_3_4_1_JAR", "none.jar")
    with pytest.raises(RuntimeError, match="gave 0 of 1 texts"):
        java.ptb(["one"])


def test_what_is_written_and_what_it_is_compared_with_have_one_spelling() -> None:
    texts = [
        "The pier is 30.5 m long and 1,200 m from the airport.",
        "A U-shaped quay (about 12.75 ha) with 3-4 ships; no. 7: 50%!",
        "The runway's width is 45.0 m, it doesn't end [here].",
        "In 2019, 3 ships lay 0.8 km apart, oil/gas tanks_2.",
    ]
    tokenizer = TextTokenizer.train([text.lower() for text in texts], 400)
    assert tokenizer.text(tokenizer.ids(texts[0])) != texts[0].lower()
    for text in texts:
        assert one_spelling(tokenizer.text(tokenizer.ids(text))) == one_spelling(text)
        assert one_spelling(one_spelling(text)) == one_spelling(text)
    assert [one_spelling(text) for text in texts[:3]] == [text.lower() for text in texts[:3]]


def test_a_perfect_writer_has_the_highest_score_and_the_note_says_what_the_vocabulary_allows() -> None:
    texts = [f"The pier is {n}.5 m long and {n},200 m from café no. {n}." for n in range(10, 22)]
    tokenizer = TextTokenizer.train([text.replace("café", "cafe") for text in texts], 400)
    plain = [text.replace("é", "e") for text in texts]
    said = [tokenizer.text(tokenizer.ids(text)) for text in plain]
    ids = [str(n) for n in range(12)]
    table = pd.DataFrame({"tile_id": ids, "group": ids, "said": said, "perfect": said, "other": None})
    table["references"] = [[text, "A pier."] for text in plain]
    found = {row.metric: row for row in caption_rows(table, "d", "test", "m")}["BLEU-4, raw strings"]
    assert found.value == pytest.approx(1.0)
    assert "perfect writer" not in found.note
    table["references"] = [[text] for text in texts]  # the accent is lost
    found = {row.metric: row for row in caption_rows(table, "d", "test", "m")}["BLEU-4, raw strings"]
    assert found.value is not None
    assert 0.4 < found.value < 0.95
    assert f"A perfect writer of the model's vocabulary would reach {found.value:.3f}." in found.note


def test_evaluate_says_what_a_perfect_writer_would_reach() -> None:
    bench: Any = SimpleNamespace(row=lambda task, who, metric, figure, floors, note, unit: (metric, figure, note))
    texts, groups = [f"A quay of {n}.5 m, No. {n}." for n in range(10, 22)], [str(n) for n in range(12)]
    written = [text.replace(".5", " . 5").lower() for text in texts]
    rows = {metric: rest for metric, *rest in _score_rows(bench, "m", written, texts, groups, {"f": "A."}, written)}
    assert rows["BLEU-4, raw strings"] == [rows["BLEU-4, raw strings"][0], ""]
    assert rows["BLEU-4, raw strings"][0].value == pytest.approx(1.0)
    worse = [text.replace("quay", "") for text in written]
    rows = {metric: rest for metric, *rest in _score_rows(bench, "m", written, texts, groups, {"f": "A."}, worse)}
    assert "A perfect writer of the model's vocabulary would reach 0." in rows["BLEU-4, raw strings"][1]
