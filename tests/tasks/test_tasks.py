"""Tasks with a model that knows everything (perfect scores) and one that knows nothing (chance)."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from knowlip.language.questions import QUESTION_TYPES, Question, make_questions
from knowlip.language.tile_facts import Facts
from knowlip.language.truth import judge
from knowlip.tasks import answers as vqa
from knowlip.tasks import caption, ranking, retrieve, screening
from knowlip.tasks.bench import Bench
from knowlip.tasks.images import EncodedImages
from knowlip.tasks.metrics import CaptionScorer
from knowlip.tasks.metrics.captions import RAW
from tests.benchmark.fakes import NumberedImages, Oracle
from tests.language.test_questions import truth_of

COUNT = 120
TILES = [f"t{n}" for n in range(COUNT)]
BLOCKS = [f"b{n // 8}" for n in range(COUNT)]
# Every fifth image shares its text with others.
TEXTS = [f"Count: {n if n % 5 else 'no'} ships." for n in range(COUNT)]


def run_retrieval(noise: float, k_test: int = 8) -> tuple[dict[str, ranking.Direction], list[str]]:
    model = Oracle(TEXTS, noise=noise)
    images = EncodedImages(model, NumberedImages(), TILES)
    return retrieve.retrieval(model, images, TEXTS, BLOCKS, k_test, 40)


def by_cosine(direction: ranking.Direction) -> ranking.Recalls:
    return ranking.recalls(direction)


def test_an_oracle_retrieves_everything_and_duplicates_are_right() -> None:
    directions, gallery = run_retrieval(0.0)
    assert len(gallery) == 97
    for direction in directions.values():
        found = ranking.reranking(direction)[1]
        assert by_cosine(direction).at[1].value == found.reranked.value == 1.0
        assert (found.reranked.n, found.difference.value, found.helps) == (40, 0.0, "unclear")
    images, texts = (by_cosine(directions[name]) for name in ("image_to_text", "text_to_image"))
    assert (images.at[1].n, texts.at[1].n) == (COUNT, 97)
    assert images.chance[1] == pytest.approx(1 / 97)
    # 96 texts have one image of 120, one text has 24.
    assert texts.chance[1] == pytest.approx((96 * 1 + 24) / 120 / 97)


def test_a_random_model_is_at_chance() -> None:
    for direction in run_retrieval(1.0)[0].values():
        found = by_cosine(direction)
        assert found.at[10].value == pytest.approx(found.chance[10], abs=0.08)
        assert found.at[10].ci is not None
        low, high = found.at[10].ci
        assert low <= found.at[10].value <= high


def test_matching_reorders_the_best_only() -> None:
    directions, gallery = run_retrieval(0.6, k_test=8)
    found = ranking.reranking(directions["image_to_text"])
    assert found[1].reranked.value > found[1].cosine.value
    assert found[1].difference.value == pytest.approx(found[1].reranked.value - found[1].cosine.value)
    low, high = found[1].difference.ci or (0.0, 0.0)
    assert low <= found[1].difference.value <= high
    # What stays in the same eight cannot leave or enter the first ten by more than it was moved within them.
    assert found[10].reranked.value == found[10].cosine.value
    for direction in directions.values():
        for query in direction.matched:
            scores = direction.scores(query)
            assert set(np.argsort(-scores)[:8]) == set(np.argsort(-direction.cosine([query])[0], kind="stable")[:8])
    shown = retrieve.examples({"image_to_text": directions["image_to_text"]}, gallery, TILES, count=5)
    assert len(shown) == 5
    for example in shown:
        first = [place for place, item in enumerate(example.given, 1) if item.right]
        assert not first or example.note == f"right answer at rank {first[0]}"
        assert all(0 <= float(item.note.split("match ")[1].split(",")[0]) <= 1 for item in example.given)
        assert example.asked.tile_id in TILES
        assert {item.text for item in (*example.given, *example.wanted)} <= set(gallery)


def test_re_ranking_that_is_wrong_or_right_for_sure_is_told() -> None:
    """Cosine finds the right one of 3 for every second query; matching finds it always, or never."""
    count = 40
    right = np.zeros(count, int)
    cosine = np.where(np.arange(count)[:, None] % 2 == 0, [0.9, 0.5, 0.1], [0.5, 0.9, 0.1])
    clusters = np.array([f"b{n // 5}" for n in range(count)])
    for order, value, said in (([0.999, 0.5, 0.001], 0.5, "yes"), ([0.001, 0.5, 0.999], -0.5, "no")):
        matched = {i: dict(enumerate(order)) for i in range(count)}
        direction = ranking.Direction(cosine, np.eye(3), right, np.arange(3), clusters, matched)
        found = ranking.reranking(direction)
        assert found[1].difference.value == pytest.approx(value)
        assert found[1].helps == said
        assert (found[1].cosine.value, found[5].helps) == (0.5, "unclear")


def test_ranks_are_the_same_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for direction in run_retrieval(0.5)[0].values():
        every = np.arange(len(direction))
        whole = direction.ranks()
        cosine, positive = direction.cosine(every), direction.positive(every)
        expected = [1 + int(((row >= row[right].max()) & ~right).sum()) for row, right in zip(cosine, positive)]
        assert whole.tolist() == expected
        assert direction.positives_Q.tolist() == positive.sum(1).tolist()
        with monkeypatch.context() as small:
            small.setattr(ranking, "_MOST_SCORES", 3 * direction.gallery + 1)
            assert [len(part) for part in ranking.parts_of(len(direction), direction.gallery)][:2] == [3, 3]
            assert direction.ranks().tolist() == expected


def test_an_identical_text_is_right_and_in_its_own_rows_wrong() -> None:
    """An oracle finds every text; of the 24 images with the same one, it cannot say which text is whose."""
    directions, _ = run_retrieval(0.0, k_test=0)
    bench = SimpleBench()
    rows = {row.metric: row.value for row in retrieve._pair_rows(bench, "oracle", directions["image_to_text"])}  # type: ignore[arg-type]
    for words in ("image to text", "text to image"):
        assert rows[f"{words} R@1, identical texts wrong"] == pytest.approx(96 / 120)
        assert rows[f"{words} R@10, identical texts wrong"] == pytest.approx(96 / 120)


class SimpleBench:
    """Makes rows of nothing but what they are given."""

    name, split = "set", "test"
    row = Bench.row


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


def answer_all(questions: list[Question], noise: float, mode: str = "rank") -> vqa.Asked:
    model = Oracle(TEXTS, questions, noise)
    train, test = ([q for q in questions if (int(q.tile_id[1:]) < 60) == early] for early in (True, False))
    asked, answers = vqa.choose_questions(test, 50), vqa.candidates(train)
    given = vqa.answer(model, EncodedImages(model, NumberedImages(), TILES), asked, answers, mode)
    return vqa.Asked(asked, given, train, answers)


def test_questions_oracle_and_chance(questions: list[Question]) -> None:
    for mode in ("rank", "generate"):
        asked = answer_all(questions, 0.0, mode)
        assert all(asked.hits(kind) == [True] * 50 for kind in QUESTION_TYPES)
    asked = answer_all(questions, 1.0)
    assert np.mean(asked.hits("recognition")) == pytest.approx(1 / 3, abs=0.2)
    floors = vqa.floors_of(asked, "recognition")
    assert floors["majority answer"] == pytest.approx(1 / 3, abs=0.05)
    assert floors["chance"] == pytest.approx(1 / 3)
    floors = vqa.floors_of(asked, "regional_landform")
    assert (floors["blind, by subject"] or 0) >= (floors["majority answer"] or 1)


def test_reading_the_wording_is_a_floor_of_its_own() -> None:
    """Training answers one wording always "1" and another always "2"; a third was never asked."""
    train = [
        Question(f"t{n}", "count", "how many?" if n % 2 else "count!", "1" if n % 2 else "2", "ship") for n in (1, 2, 3)
    ]
    test = [
        Question("t9", "count", text, answer, "ship")
        for text, answer in (("how many?", "1"), ("count!", "2"), ("?", "1"))
    ]
    floors = vqa.floors_of(vqa.Asked(test, ["", "", ""], train, {"count": ["1", "2"]}), "count")
    assert floors == {"chance": 0.5, "majority answer": 2 / 3, "blind, by subject": 2 / 3, "blind, by wording": 1.0}


def test_the_annotator_answers_what_its_sentences_say() -> None:
    said = {
        "Count": "two ships are visible in the scene",
        "Location": "the ships lie in the upper left",
        "Category": "the ships are tankers",
    }
    texts = pd.DataFrame(
        {"tile_id": "t1", "instruction_set": "marine", "dimension": list(said), "text": list(said.values())}
    )
    asked = [
        Question("t1", "count", "", "2", "ship"),
        Question("t1", "recognition", "", "tanker", "ship"),
        Question("t1", "position", "", "upper left", "ship"),
        Question("t1", "count", "", "0", "aircraft"),
        Question("t1", "main_landform", "", "water"),
        Question("t2", "count", "", "1", "ship"),
    ]
    assert vqa.annotator_answers(asked, texts) == ["2", "tanker", "upper left", "", "", ""]


def test_an_annotator_answers_by_number_where_the_question_does() -> None:
    facts = Facts(regions={"ship": 0}, grid=("water",) * 9)
    asked = {
        ("position", "ship", "region 1"): "region 1",
        ("position", "ship", "upper left"): "upper left",
        ("regional_landform", "region 3", "water"): "water",
        ("regional_landform", "upper right", "water"): "water",
        ("weather", "", "rain"): None,
    }
    for (kind, subject, answer), expected in asked.items():
        assert vqa._claimed(Question("t", kind, "?", answer, subject), facts) == expected


def test_types_without_training_questions() -> None:
    assert "all_landforms" not in vqa.candidates([])
    assert vqa.candidates([])["main_landform"][0] == "water"
    assert vqa.floors_of(vqa.Asked([], [], [], {}), "count") == {}


def test_claims_of_captions_are_judged() -> None:
    text = "count : two ships are visible . location : in the upper left . Environment: open water."

    def judge(instruction_set: str, dimension: str, text: str, truth: Any, window_m: float) -> bool | None:
        return {"Count": True, "Location": False}.get(dimension)

    claims = caption.judged_claims(text, "marine", {}, 256.0, judge)
    assert [claim.true for claim in claims] == [True, False, None]
    share = caption.true_share([claims], ["b0"])
    assert share is not None
    assert (share.value, share.n) == (0.5, 2)
    assert caption.true_share([[]], ["b0"]) is None


def test_a_caption_is_judged_under_the_set_that_its_labels_give_away() -> None:
    """A terrain text of a ship tile counts under terrain; a ship text of the same tile under marine."""
    truth: Any = truth_of([("tanker", 0.5, 0.5)] * 2, {"water": 0.9, "quay": 0.1})
    terrain = caption.judged_claims("Water: no water is visible.", "marine", truth, 256.0, judge)
    assert [(one.group, one.true) for one in terrain] == [("terrain Water", False)]
    marine = caption.judged_claims("Count: two ships are visible.", "marine", truth, 256.0, judge)
    assert [(one.group, one.true) for one in marine] == [("marine Count", True)]


def test_an_oracle_captions_perfectly() -> None:
    texts = [f"Count: {n} ships lie in row {n * 7} of the port." for n in range(COUNT)]
    model = Oracle(texts)
    images = EncodedImages(model, NumberedImages(), TILES)
    generated = caption.write_captions(model, images, list(range(COUNT)), 50)
    assert generated == texts
    scorer = CaptionScorer([[text] for text in texts], BLOCKS)
    scores, fixed = scorer.scores(generated), scorer.scores(["Count: no ships."] * COUNT)
    assert scores["BLEU-4" + RAW].value == pytest.approx(1.0)
    assert (fixed["CIDEr" + RAW].value or 0) < (scores["CIDEr" + RAW].value or 0)


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
    assert result["rewritten"] == {"n": 4, "corrected": 2, "broken": 1, "unverifiable": 0}
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
