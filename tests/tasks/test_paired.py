"""Fine-tuning on captions and questions with all losses: what is true of two images is wrong of neither, and a run
leaves rows beside their floors."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from knowlip.base.rows import read_results
from knowlip.language.definitions import TileTruth
from knowlip.language.directions import Turn
from knowlip.language.questions import Posed, askables
from knowlip.language.tile_facts import facts_from_truth
from knowlip.models import load_model
from knowlip.tasks.answering import ANSWERING, PairedAnswering, VqaConfig, answer_questions
from knowlip.tasks.asking import QuestionSampler, example_of
from knowlip.tasks.captioning import CAPTIONING, CaptioningConfig, describe
from knowlip.tasks.described import Describing
from knowlip.tasks.items import Caption, Items, write_items
from knowlip.tasks.items.records import question_of
from knowlip.tasks.paired import PairBatches
from knowlip.tasks.retrieve import BENCH as RETRIEVAL
from knowlip.tasks.retrieve import RetrievingConfig, learn_retrieval
from knowlip.tasks.retrieving import spelled_once
from knowlip.tasks.runs import METRICS
from knowlip.training.augment import AugmentConfig
from knowlip.training.losses import _positives
from tests.inference.tiny_model import tiny_model
from tests.tasks.test_asking import truth_of
from tests.tasks.test_items import ships  # noqa: F401

TURNS = AugmentConfig(flips=0.5, rotations=0.75)


def test_texts_that_are_true_of_an_image_are_no_wrong_texts_of_it() -> None:
    batch = SimpleNamespace(
        image_id_B=torch.tensor([1, 2, 3]),
        text_hash_B=torch.tensor([10, 20, 30]),
        true_BM=torch.tensor([[10, 20], [20, -1], [30, 10]]),
    )
    ids, hashes = torch.tensor([1, 2, 3, 9, -1]), torch.tensor([10, 20, 30, 20, 0])  # then two of the queue
    of_image, of_text = _positives(cast(Any, batch), ids, hashes)
    assert of_image.int().tolist() == [[1, 1, 0, 1, 0], [0, 1, 0, 1, 0], [1, 0, 1, 0, 0]]
    # Text 10 is true of the images 1 and 3, 20 of 1 and 2; of the queue's images only the very text counts.
    assert of_text.int().tolist() == [[1, 0, 1, 0, 0], [1, 1, 0, 1, 0], [0, 0, 1, 0, 0]]


def test_a_question_of_a_file_is_asked_in_all_of_our_wordings() -> None:
    for numbered in (False, True):
        for one in askables({"t": facts_from_truth(cast(TileTruth, truth_of(3, least=2)))}):
            form = one.by_number() if numbered else one
            if form is not None:
                example = example_of(question_of("t", form.wordings[1], form.answer, form.type, form.subject))
                assert {*example.wordings} == {*form.wordings}
    own = example_of(question_of("t", "Is it cold?", "yes", "weather"))
    assert (own.wordings, own.type) == (("Is it cold?",), "weather")


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("In which region of the 3x3 grid is the ship, 1 to 9?", "1"),
        ("Where is it?", "region 10"),
        ("Where is it?", "region no. 3"),
        ("Where is it?", "quadrant #1"),
        ("Where is it?", "[0.1, 0.2, 0.3, 0.4]"),
        ("Where is it?", "x=0.2"),
        ("Where is it?", "row 1, column 3"),
        ("Where is it?", "regions 1-3"),
        ("Where is it?", "regions 1, 2 and 14"),
        ("Where is it?", "cell 3 and 12"),
    ],
)
def test_places_in_other_words_than_ours_are_not_turned(question: str, answer: str) -> None:
    posed = Posed(question, answer)
    assert posed.turned(Turn()) == posed
    assert {posed.turned(Turn.of(turn)) for turn in range(1, 8)} == {None}


def test_a_region_by_number_turns_and_other_types_may_answer_with_one() -> None:
    assert Posed("Where is it?", "regions 1 and 3").turned(Turn(quarters=2)) == Posed("Where is it?", "regions 9 and 7")
    for kind, answer, subject in (("recognition", "region 5", "ship"), ("main_landform", "water", "region of water")):
        assert example_of(question_of("t", "What is it?", answer, kind, subject)).wordings == ("What is it?",)


def test_texts_that_are_cut_to_the_same_are_the_same(model: Path) -> None:
    tokenizer = load_model(model).tokenizer
    same, other = "two ships lie at the quay", "two ships lie at the pier"
    for longest, alike in ((6, True), (64, False)):
        task = SimpleNamespace(model=SimpleNamespace(tokenizer=tokenizer), longest=longest, config=None)
        batches = PairBatches(cast(Any, task), 0, 1)
        assert (batches._hashed(same) == batches._hashed(other)) is alike


def test_texts_that_the_vocabulary_cannot_spell_are_not_true_of_each_other(
    ships: Any,  # noqa: F811
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    task = SimpleNamespace(model=load_model(model), longest=64, config=None)
    batches = PairBatches(cast(Any, task), 0, 1)
    assert batches._hashed("船") != batches._hashed("机")
    path = tmp_path / "items.json"
    captions = [Caption(tile, "船" if n % 3 else "A ship.") for n, tile in enumerate(ships.tiles()["tile_id"])]
    write_items(path, Items(tuple(captions)), ships)
    base: Any = {"dataset": ships.path, "encoder": str(model), "items": path, **SMALL, "k_test": 0, "steps": 0}
    learn_retrieval(RetrievingConfig(**base, out=tmp_path / "out"))
    assert "1 of 2 texts have words that the model's vocabulary cannot spell" in capsys.readouterr().err


def test_what_is_drawn_of_a_tile_is_true_of_it() -> None:
    """Question and answer, or caption, as one text is always among the texts that are true of the turned tile."""
    rng, truths = np.random.default_rng(0), {f"t{n}": truth_of(n) for n in range(6)}
    facts = {tile: facts_from_truth(truth) for tile, truth in truths.items()}
    examples = [
        example_of(question_of(one.tile_id, one.wordings[0], one.answer, one.type, one.subject))
        for one in askables(facts)
    ]
    asking = cast(
        Any, SimpleNamespace(asking=QuestionSampler(examples, 0.5, 4, 6), config=SimpleNamespace(augment=TURNS))
    )
    said = cast(
        Any,
        SimpleNamespace(
            captions=[["A ship in the upper left."]] * 6, still=set(), config=SimpleNamespace(augment=TURNS)
        ),
    )
    said.captions[5] = ["South Holland.", "A ship in the upper left."]
    rows = np.arange(6)
    for _ in range(50):
        drawn = PairedAnswering.draw(asking, rows, rng)
        assert all(one.text in one.true and one.posed for one in drawn)
        assert all(len(one.true) <= PairedAnswering.most_true(asking, rows) for one in drawn)
        captions = Describing.draw(said, rows, rng)
        assert all(one.text in one.true for one in captions)
        assert captions[5].true == tuple(said.captions[5])  # it names a direction that is not understood
    assert {one.text for _ in range(40) for one in Describing.draw(said, rows[:1], rng)} >= {
        "A ship in the upper left.",
        "A ship in the lower right.",
    }


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model") / "model")


SMALL: Any = {"steps": 2, "batch_size": 4, "loggers": (), "workers": 0}


def test_answers_are_learned_and_measured(ships: Any, model: Path, tmp_path: Path) -> None:  # noqa: F811
    config = VqaConfig(dataset=ships.path, encoder=str(model), out=tmp_path, split="test", augment=TURNS, **SMALL)
    result = answer_questions(config)
    found = read_results(tmp_path / METRICS)
    assert {one.encoder.partition(":")[0] for one in found.rows} >= {"floor", "other-image", str(model)}
    assert {one.metric for one in found.rows} >= {"count accuracy, ranked", "count mean absolute error, ranked"}
    again = ANSWERING.rows([tmp_path], ships.path.resolve().name, "test", str(model))
    assert again == found.rows
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {
        "answers.png",
        "risk over coverage.png",
        "confusion of counts.png",
    }
    assert result["steps"] == 2
    with pytest.raises(ValueError, match="questions_per_image"):
        answer_questions(VqaConfig(**{**vars(config), "questions_per_image": 2}))


def test_captions_are_learned_and_measured(ships: Any, model: Path, tmp_path: Path) -> None:  # noqa: F811
    config = CaptioningConfig(dataset=ships.path, encoder=str(model), out=tmp_path, max_tokens=20, **SMALL)
    describe(config)
    rows = read_results(tmp_path / METRICS).rows
    blind = next(one for one in rows if one.encoder == "floor:frequent text" and one.metric == "BLEU-4, raw strings")
    own = next(one for one in rows if one.encoder == str(model) and one.metric == "BLEU-4, raw strings")
    assert own.floor == max(one.value or 0 for one in rows if "floor:" in one.encoder and one.metric == own.metric)
    assert 0 < (blind.value or 0) < 1
    assert CAPTIONING.rows([tmp_path], ships.path.resolve().name, "test", str(model)) == rows


def test_retrieval_is_learned_and_measured(ships: Any, model: Path, tmp_path: Path) -> None:  # noqa: F811
    config = RetrievingConfig(dataset=ships.path, encoder=str(model), out=tmp_path, rerank_queries=3, **SMALL)
    learn_retrieval(config)
    rows = read_results(tmp_path / METRICS).rows
    hard = {*ships.annotations()[ships.annotations()["difficult"]]["tile_id"]}  # no caption counts what may be none
    measured = len({*ships.tiles("test")["tile_id"]} - hard)
    at = {one.metric: one for one in rows if one.encoder == str(model)}
    assert at["image to text R@1, cosine"].n == 5 * measured
    assert at["image to text R@1, re-ranked"].n == 5 * 3
    assert at["mean recall, cosine"].floor_name == "frequent texts and chance"
    assert RETRIEVAL.rows([tmp_path], ships.path.resolve().name, "test", str(model)) == rows


def test_no_step_measures_the_model_as_it_is_and_other_items_are_refused(
    ships: Any,  # noqa: F811
    model: Path,
    tmp_path: Path,
) -> None:
    path = tmp_path / "items.json"
    tiles = ships.tiles()
    captions = [Caption(tile, f"Image {n % 3}.") for n, tile in enumerate(tiles["tile_id"])]
    write_items(path, Items(tuple(captions)), ships)
    base: Any = {"dataset": ships.path, "encoder": str(model), "items": path, **SMALL, "k_test": 0}
    learn_retrieval(RetrievingConfig(**base | {"out": tmp_path / "zero", "steps": 0}))
    before, after = (load_model(folder).state_dict() for folder in (model, tmp_path / "zero" / "model"))
    assert all(torch.equal(before[name], after[name]) for name in before)
    at = {one.metric: one for one in read_results(tmp_path / "zero" / METRICS).rows if one.encoder == str(model)}
    assert "image to text R@1, re-ranked" not in at
    assert at["image to text R@5, cosine"].value == 1.0  # three texts: any order finds the right one
    learn_retrieval(RetrievingConfig(**base | {"out": tmp_path / "two"}))
    write_items(path, Items(tuple(captions[::-1])), ships)
    with pytest.raises(ValueError, match="other captions or questions"):
        learn_retrieval(RetrievingConfig(**base | {"out": tmp_path / "two"}))


def test_texts_that_only_training_cuts_are_noted(
    ships: Any,  # noqa: F811
    model: Path,
    tmp_path: Path,
) -> None:
    tiles = ships.tiles()["tile_id"]
    path, long = tmp_path / "items.json", "one two three four five six seven"
    write_items(path, Items(tuple(Caption(tile, f"{long} {n}") for n, tile in enumerate(tiles))), ships)
    base: Any = {"dataset": ships.path, "encoder": str(model), "items": path, **SMALL, "k_test": 0, "steps": 0}
    result = learn_retrieval(RetrievingConfig(**base, out=tmp_path / "cut", max_tokens=8))
    assert "Trained on texts cut behind 8 tokens" in result["note"]
    rows = [one for one in read_results(tmp_path / "cut" / METRICS).rows if one.encoder == str(model)]
    assert rows
    assert all("cut behind 8 tokens" in one.note for one in rows)


def test_what_cannot_work_is_refused(ships: Any, model: Path, tmp_path: Path) -> None:  # noqa: F811
    base: Any = {"dataset": ships.path, "encoder": str(model), "out": tmp_path / "out", **SMALL}
    for wrong in ({"itc": -1}, {"itc": 0, "itm": 0, "infill": 0}, {"max_tokens": 3}, {"batch_size": 1}, {"alpha": 2}):
        with pytest.raises(ValueError, match=r"\w"):
            VqaConfig(**{**base, **wrong})
    with pytest.raises(ValueError, match="reads and writes no texts"):
        answer_questions(VqaConfig(**{**base, "encoder": "pixels:32"}))
    with pytest.raises(ValueError, match="are needed"):
        answer_questions(VqaConfig(**{**base, "batch_size": 64}))


def test_answers_that_no_decoder_has_room_for_are_left_out_before_training(
    ships: Any,  # noqa: F811
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of 40 questions ten have answers of a hundred words: neither ranked nor written, and no crash after training."""
    long = "three ships are visible " * 25
    said = [("Who?", long if n % 4 == 0 else "ships") for n, _ in enumerate(ships.tiles()["tile_id"])]
    questions = [question_of(tile, *one, "x") for tile, one in zip(ships.tiles()["tile_id"], said)]
    write_items(tmp_path / "items.json", Items((), tuple(questions)), ships)
    base: Any = {"dataset": ships.path, "encoder": str(model), "items": tmp_path / "items.json", **SMALL}
    answer_questions(VqaConfig(**base | {"steps": 1}, out=tmp_path / "out"))
    found = read_results(tmp_path / "out" / METRICS)
    told = "10 questions whose answers are longer than the model writes are left out."
    assert told in capsys.readouterr().err
    assert all(told in one.note for one in found.rows if one.encoder == str(model))
    left_out = found.details["vqa"]["left_out"]
    assert left_out == {"questions": {"its answer has more than 23 tokens": 10}}
    measured = sum(one.tile_id in {*ships.tiles("test")["tile_id"]} and one.answer == "ships" for one in questions)
    (row,) = [one for one in found.rows if one.encoder == str(model) and one.metric == "x accuracy, ranked"]
    assert row.n == measured


def test_texts_beyond_the_model_are_noted(ships: Any, model: Path, tmp_path: Path) -> None:  # noqa: F811
    """Behind the model's own limit all texts look alike: whoever reads a recall must know."""
    long = "three ships are visible " * 20
    captions = [Caption(tile, f"{long} {n}") for n, tile in enumerate(ships.tiles()["tile_id"])]
    write_items(tmp_path / "items.json", Items(tuple(captions)), ships)
    base: Any = {"dataset": ships.path, "encoder": str(model), "items": tmp_path / "items.json", **SMALL}
    result = learn_retrieval(RetrievingConfig(**base | {"steps": 0, "k_test": 0}, out=tmp_path / "out"))
    assert "40 of 40 texts are longer than the 24 tokens that the model reads." in result["note"]


def test_a_text_is_no_wrong_one_for_its_capitals(ships: Any, model: Path, tmp_path: Path) -> None:  # noqa: F811
    """All captions are "A ship" in some spelling: each finds its image, whatever the model."""
    forms = ("A ship.", "a ship", "A  SHIP .")
    captions = [Caption(tile, forms[n % 3]) for n, tile in enumerate(ships.tiles()["tile_id"])]
    write_items(tmp_path / "items.json", Items(tuple(captions)), ships)
    base: Any = {"dataset": ships.path, "encoder": str(model), "items": tmp_path / "items.json", **SMALL}
    learn_retrieval(RetrievingConfig(**base | {"steps": 0, "k_test": 0}, out=tmp_path / "out"))
    rows = [one for one in read_results(tmp_path / "out" / METRICS).rows if one.encoder == str(model)]
    assert {one.value for one in rows} == {1.0}
    assert {one.floor for one in rows} == {1.0}
    assert spelled_once([["B", "a."], ["b.", "A", "c"]]) == [["B", "a."], ["B", "a.", "c"]]


def test_questions_that_training_gave_no_answer_for_are_noted(
    ships: Any,  # noqa: F811
    model: Path,
    tmp_path: Path,
) -> None:
    """Two types of which training knows one, and a measured answer that no training tile has."""
    held = {*ships.tiles("test")["tile_id"]}
    questions = []
    for n, tile in enumerate(ships.tiles()["tile_id"]):
        questions.append(question_of(tile, "Who?", "new" if tile in held and n % 2 else "ships", "x"))
        if tile in held:
            questions.append(question_of(tile, "Why?", "because", "y"))
    write_items(tmp_path / "items.json", Items((), tuple(questions)), ships)
    base: Any = {"dataset": ships.path, "encoder": str(model), "items": tmp_path / "items.json", **SMALL}
    answer_questions(VqaConfig(**base | {"steps": 0}, out=tmp_path / "out"))
    found = read_results(tmp_path / "out" / METRICS)
    new = sum(one.answer == "new" for one in questions)
    told = (
        f"{len(held)} questions of types without training (y) are not asked. "
        f"{new} right answers were never given in training: no ranking chooses them."
    )
    own = [one for one in found.rows if one.encoder == str(model)]
    assert own
    assert all(told in one.note for one in own)
    assert found.details["vqa"]["questions_of_types_without_training"] == len(held)
    assert ANSWERING.rows([tmp_path / "out"], ships.path.resolve().name, "test", str(model)) == found.rows
