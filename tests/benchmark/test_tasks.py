"""Tasks with a model that knows everything (perfect scores) and one that knows nothing (chance)."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from knowlip.language.questions import Question, make_questions
from knowlip.tasks import caption, retrieve, screening
from knowlip.tasks import vqa_measure as vqa
from knowlip.tasks.images import EncodedImages
from tests.benchmark.fakes import NumberedImages, Oracle
from tests.language.test_questions import truth_of

COUNT = 120
TILES = [f"t{n}" for n in range(COUNT)]
BLOCKS = [f"b{n // 8}" for n in range(COUNT)]
# Every fifth image shares its text with others.
TEXTS = [f"Count: {n if n % 5 else 'no'} ships." for n in range(COUNT)]


def run_retrieval(noise: float, k_test: int = 8) -> tuple[dict[str, Any], list[str], dict[str, retrieve.Direction]]:
    model = Oracle(TEXTS, noise=noise)
    images = EncodedImages(model, NumberedImages(), TILES)
    directions, gallery = retrieve.retrieval(model, images, TEXTS, BLOCKS, k_test, 40)
    return {name: retrieve.summary(d, k_test) for name, d in directions.items()}, gallery, directions


def test_an_oracle_retrieves_everything_and_duplicates_are_right() -> None:
    scores, gallery, _ = run_retrieval(0.0)
    assert len(gallery) == 97
    for direction in scores.values():
        assert direction["r1"] == direction["reranked"]["r1"] == 1.0
        assert direction["reranked"]["n"] == 40
    assert scores["image_to_text"]["n"] == COUNT
    assert scores["text_to_image"]["n"] == 97
    assert scores["image_to_text"]["chance_r1"] == pytest.approx(1 / 97)
    # 96 texts have one image of 120, one text has 24.
    assert scores["text_to_image"]["chance_r1"] == pytest.approx((96 * 1 + 24) / 120 / 97)


def test_a_random_model_is_at_chance() -> None:
    scores, _, _ = run_retrieval(1.0)
    for direction in scores.values():
        assert direction["r10"] == pytest.approx(direction["chance_r10"], abs=0.08)
        low, high = direction["ci"]["r10"]
        assert low <= direction["r10"] <= high


def test_matching_reorders_the_best_only() -> None:
    scores, gallery, directions = run_retrieval(0.6, k_test=8)
    again = scores["image_to_text"]["reranked"]
    assert again["r1"] > again["cosine_same_queries"]["r1"]
    for direction in directions.values():
        for query, after in direction.reranked.items():
            assert set(np.argsort(-after)[:8]) == set(np.argsort(-direction.cosine[query], kind="stable")[:8])
    rows = retrieve.examples(directions, gallery, TILES, count=5)["image_to_text"]
    assert len(rows) == 5
    for row in rows:
        first = [i for i, item in enumerate(row["top"]) if item["right"]]
        assert not first or row["rank"] == first[0] + 1
        assert all(0 <= item["match"] <= 1 for item in row["top"])


def test_images_are_encoded_again_where_tokens_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("knowlip.tasks.images._MOST_KEPT_BYTES", 10)
    images = EncodedImages(Oracle(TEXTS), NumberedImages(), TILES)
    assert images.tokens([5, 90, 5]).reshape(-1).tolist() == [5, 90, 5]


@pytest.fixture(scope="module")
def questions() -> list[Question]:
    kinds = ["tanker", "cargo ship", "fishing boat"]
    covers = ["water", "field", "wood"]
    return make_questions(
        {
            tile: truth_of([(kinds[n % 3], (n % 3) / 3 + 0.1, 0.5)] * (n % 4 + 1), {covers[n % 3]: 0.8, "quay": 0.2})
            for n, tile in enumerate(TILES)
        }
    )


def answer_all(questions: list[Question], noise: float, mode: str = "rank") -> dict[str, Any]:
    model = Oracle(TEXTS, questions, noise)
    train, test = ([q for q in questions if (int(q.tile_id[1:]) < 60) == early] for early in (True, False))
    asked = vqa.choose_questions(test, 50)
    given = vqa.answer(model, EncodedImages(model, NumberedImages(), TILES), asked, vqa.candidates(train), mode)
    return vqa.score(asked, given, train, dict(zip(TILES, BLOCKS)))


def test_questions_oracle_and_chance(questions: list[Question]) -> None:
    for mode in ("rank", "generate"):
        scores = answer_all(questions, 0.0, mode)
        assert all(row["accuracy"] == 1.0 and row["n"] == 50 for row in scores.values())
    scores = answer_all(questions, 1.0)
    assert scores["recognition"]["accuracy"] == pytest.approx(1 / 3, abs=0.2)
    assert scores["recognition"]["majority"] == pytest.approx(1 / 3, abs=0.05)
    assert scores["regional_landform"]["blind"] >= scores["regional_landform"]["majority"]


def test_types_without_training_questions() -> None:
    assert "all_landforms" not in vqa.candidates([])
    assert vqa.candidates([])["main_landform"][0] == "water"
    empty = vqa.score([], [], [], {})
    assert empty["count"]["accuracy"] is None
    assert empty["count"]["reason"]


def test_claims_of_captions_are_judged() -> None:
    text = "count : two ships are visible . location : in the upper left . Environment: open water."

    def judge(instruction_set: str, dimension: str, text: str, truth: Any, window_m: float) -> bool | None:
        return {"Count": True, "Location": False}.get(dimension)

    claims = caption.judged_claims(text, "marine", {}, 256.0, judge)
    assert [c["true"] for c in claims] == [True, False, None]
    scores = caption.score_claims([claims], ["b0"])
    assert (scores["true"], scores["n"]) == (0.5, 2)
    assert caption.score_claims([[]], ["b0"])["true"] is None


def test_an_oracle_captions_perfectly() -> None:
    texts = [f"Count: {n} ships lie in row {n * 7} of the port." for n in range(COUNT)]
    model = Oracle(texts)
    images = EncodedImages(model, NumberedImages(), TILES)
    generated = caption.write_captions(model, images, list(range(COUNT)), 50)
    scores = caption.score_captions(generated, texts, "Count: no ships.", BLOCKS)
    assert scores["bleu4"] == pytest.approx(1.0)
    assert scores["exact"] == scores["distinct"] == 1.0
    assert scores["baseline_cider"] < scores["cider"]


def word_judge(instruction_set: str, dimension: str, text: str, truth: Any, window_m: float) -> bool | None:
    return {"right": True, "wrong": False}.get(text)


def texts_of(words: list[str], decisions: list[str], revision: int = 0) -> pd.DataFrame:
    count = len(words)
    return pd.DataFrame(
        {
            "tile_id": [f"t{n // 8}" for n in range(count)],
            "slot": [n % 8 + 1 for n in range(count)],
            "revision": revision,
            "instruction_set": "marine",
            "dimension": ["Count", "Location"] * (count // 2),
            "text": words,
            "decision": decisions,
            "delta_itc": 0.0,
            "delta_itm": 0.0,
        }
    )


def test_screening_is_scored_on_the_first_decision_and_verifiable_texts() -> None:
    words = ["wrong", "right", "right", "unknown", "wrong", "right", "wrong", "right"]
    original = texts_of(words, ["annotated"] * 8)
    decisions = texts_of(words, ["screened", "kept", "screened", "screened", "kept", "kept", "screened", "kept"], 1)
    decisions["delta_itc"] = [-3.0, 1.0, -1.0, 0.0, -0.5, 2.0, -2.0, 3.0]
    decisions["delta_itm"] = [0.3, -0.1, 0.1, 0.0, 0.05, -0.2, 0.2, -0.3]
    later = texts_of(words, ["kept"] * 8, 2).iloc[4:5].assign(decision="rewritten")
    truths, windows = {"t0": {}}, {"t0": 256.0}
    scores = screening.screening(original, pd.concat([later, decisions]), truths, windows, word_judge)
    assert scores["n"] == 7
    assert scores["precision"] == pytest.approx(2 / 3)
    assert scores["recall"] == pytest.approx(2 / 3)
    assert scores["recall_ever"] == 1.0
    assert scores["base_rate"] == pytest.approx(3 / 7)
    assert scores["auroc"] == pytest.approx(11 / 12)  # of 3 x 4 pairs one is in the wrong order
    assert set(scores["per_dimension"]) == {"marine Count", "marine Location"}


def test_screening_says_why_it_has_no_score() -> None:
    original = texts_of(["right"] * 8, ["annotated"] * 8)
    assert (
        "No revision" in screening.screening(original, original.iloc[:0], {"t0": {}}, {"t0": 1.0}, word_judge)["reason"]
    )
    assert "no truth" in screening.screening(original, original, {}, {}, word_judge)["reason"]
    assert screening.text_accuracy(original, original, {}, {}, word_judge, {})["reason"]


def test_text_accuracy_before_and_after() -> None:
    before = ["wrong", "right", "wrong", "unknown", "wrong", "right", "right", "right"]
    after = ["right", "right", "right", "right", "wrong", "right", "wrong", "right"]
    original = texts_of(before, ["annotated"] * 8)
    latest = texts_of(after, ["rewritten"] * 4 + ["screened"] + ["kept", "rewritten", "kept"], 2)
    result = screening.text_accuracy(original, latest, {"t0": {}}, {"t0": 256.0}, word_judge, {"t0": "b0"})
    assert result["before"] == pytest.approx(4 / 7)
    assert result["after"] == pytest.approx(6 / 8)
    assert result["after_without_screened"] == pytest.approx(6 / 7)
    assert result["rewritten"] == {"n": 4, "mended": 2, "spoiled": 1, "blurred": 0}
    count = result["per_dimension"]["marine Count"]
    assert (count["before"], count["after"], count["n"], count["before_ci"]) == (0.25, 0.5, 4, None)
    assert count["difference"] == pytest.approx(0.25)
    assert result["falls"] == []


def test_evidence_of_a_revision_is_scored_with_intervals() -> None:
    rng = np.random.default_rng(0)
    words = np.where(rng.random(320) < 0.3, "wrong", "right").tolist()
    noise = np.where(np.array(words) == "wrong", 1.0, 0.0) + rng.normal(0, 0.5, 320)
    decisions = texts_of(words, np.where(noise > 1, "screened", "kept").tolist(), 1)
    decisions = decisions.assign(noise=noise, nll=rng.normal(0, 1, 320), delta_itm=np.nan)
    tiles = [f"t{n}" for n in range(40)]
    truths: dict[str, Any] = {tile: {} for tile in tiles}
    windows = dict.fromkeys(tiles, 256.0)
    roots = {tile: f"r{n // 2}" for n, tile in enumerate(tiles)}
    scores = screening.screening(texts_of(words, ["annotated"] * 320), decisions, truths, windows, word_judge, roots)
    assert scores["auroc"] > 0.85
    assert "auroc_itm" not in scores
    assert set(scores["evidence"]) == {"noise score", "nll"}
    low, high = scores["evidence"]["noise score"]["auroc"]["ci"]
    assert low < scores["auroc"] < high
    with pytest.raises(ValueError, match="without a noise score"):
        screening.screening(
            texts_of(words, ["annotated"] * 320), decisions.drop(columns="noise"), truths, windows, word_judge
        )
