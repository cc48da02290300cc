"""What fine-tuning asks: turned with the tile, as often as it should, the same for any number of processes."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from knowlip.language.definitions import TileTruth
from knowlip.language.directions import Turn
from knowlip.language.questions import Askable, Question, QuestionType, askables, sentences
from knowlip.language.tile_facts import facts_from_truth
from knowlip.models.tokenizer import TextTokenizer
from knowlip.tasks.asking import Example, Posed, QuestionSampler, by_type, example_of
from knowlip.tasks.vqa import Answering, FinetuneConfig, QuestionBatches
from knowlip.training.augment import AugmentConfig, GreyScale
from knowlip.training.order import Order

TURNS = AugmentConfig(flips=0.5, rotations=0.75)


def truth_of(seed: int, least: int = 0, most: int = 8) -> TileTruth:
    """A tile with targets anywhere and nine regions of their own."""
    rng = np.random.default_rng(seed)
    category = ("ship", "aircraft")[seed % 2]
    kinds = (("tanker", "fishing boat"), ("fighter", "business jet"))[seed % 2]
    covers = ("water", "field", "wood", "built-up", "grass", "quay")
    grid = [dict(zip(covers, rng.dirichlet([0.3] * 6).tolist())) for _ in range(9)]
    objects = [
        {"category": category, "type": str(rng.choice(kinds)), "x": x, "y": y, "length_m": 50.0}
        for x, y in rng.random((rng.integers(least, most), 2)).tolist()
    ]
    shares = {name: float(np.mean([cell[name] for cell in grid])) for name in covers}
    return cast(TileTruth, {"objects": objects, "shares": shares, "grid": grid, "buildings": 0})


def turned_truth(truth: TileTruth, turn: Turn) -> TileTruth:
    """What is true of the turned tile: places move, nothing else changes."""
    grid: list[Any] = [None] * 9
    for region, cell in enumerate(truth["grid"]):
        x, y = turn.place((region % 3 + 0.5) / 3, (region // 3 + 0.5) / 3)
        grid[int(y * 3) * 3 + int(x * 3)] = cell
    objects = [item | dict(zip("xy", turn.place(item["x"], item["y"]))) for item in truth["objects"]]
    return cast(TileTruth, {**truth, "grid": grid, "objects": objects})


def examples(truths: dict[str, TileTruth]) -> list[Example]:
    return [
        Example(one.tile_id, one.wordings[0], one.answer, one.type, one.wordings[1:], one.rate)
        for one in askables({tile_id: facts_from_truth(truth) for tile_id, truth in truths.items()})
    ]


def groups(asked: list[Example]) -> dict[Posed, tuple[str, str]]:
    """What is asked -> type and answer."""
    return {Posed(words, one.answer): one.group for one in asked for words in (one.question, *one.others)}


def posed(asked: list[Example]) -> set[Posed]:
    return set(groups(asked))


@pytest.mark.parametrize("number", range(8))
def test_turned_questions_are_those_of_turned_truth(number: int) -> None:
    turn, answers = Turn.of(number), set[str]()
    only = AugmentConfig(flips=float(turn.mirrored), rotations=float(turn.quarters > 0))
    for seed in range(10):
        truth = truth_of(seed)
        asking = QuestionSampler(examples({"t": truth}), 0.0, 1.0, 20)
        expected = posed(examples({"t": turned_truth(truth, turn)}))
        assert asking.cannot_turn(TURNS)[0] == 0
        found: set[Posed] = set()
        rng = np.random.default_rng(seed)
        for _ in range(30 if seed else 1000):
            [(drawn, questions)] = asking.draw(np.zeros(1, int), rng, only)
            if drawn == turn:
                assert set(questions) <= expected
                found |= set(questions)
        if seed == 0:
            assert found == expected, "in the end every question in every wording"
        answers |= {answer for _, answer in found}
    assert len(answers) > 20


def test_what_cannot_be_turned_is_counted_and_leaves_its_tile() -> None:
    asked = [
        Example("a", "Is there water in South Holland?", "yes"),
        Example("a", "Is there water in the upper left?", "yes"),
        Example("b", "Where is the ship?", "30 km north of Kiel"),
        Example("c", "Is there a quay?", "at the right"),
    ]
    row = Example("d", "Which row is it in?", "the second row")  # nobody says that its words are ours
    assert QuestionSampler([*asked, row], 0.0, 1.0, 1).cannot_turn(TURNS) == (3, 5)
    asking = QuestionSampler(asked, 0.0, 1.0, 1)
    assert asking.cannot_turn(TURNS) == (2, 4)
    assert asking.cannot_turn(AugmentConfig()) == (0, 4)
    turns: dict[str, set[int]] = {}
    for seed in range(200):
        for turn, [one] in asking.draw(np.arange(3), np.random.default_rng(seed), TURNS):
            number = next(n for n in range(8) if Turn.of(n) == turn)
            key = {"yes": "a", "30 km north of Kiel": "b"}.get(one.answer, "c")
            turns.setdefault("holland" if "Holland" in one.question else key, set()).add(number)
    assert turns == {"holland": {0}, "b": {0}, "a": set(range(8)), "c": set(range(8))}


def test_a_file_that_says_its_words_are_ours_is_not_believed() -> None:
    where = "In which region are most of the ships?"
    assert where in Askable("", QuestionType.POSITION, "center", "ship").wordings
    for question, answer, sure in (
        (where, "upper left", True),
        (where, "5", False),
        (where, "the second row", False),
        ("Which row holds the ship?", "the second row", False),
        ("Is a ship in the upper left?", "yes", True),
    ):
        asked = Question("a", QuestionType.POSITION, question, answer, "ship", "labels")
        assert example_of(asked).sure is sure, (question, answer)


def test_at_balance_0_a_tile_is_asked_one_question_of_each_type() -> None:
    truths = {f"t{seed}": truth_of(seed, least=1) for seed in range(12)}
    asking = QuestionSampler(examples(truths), 0.0, 4.0, 6)
    np.testing.assert_allclose(asking.weights, 1)
    regions: dict[int, set[str]] = {}
    for seed in range(50):
        rng = np.random.default_rng(seed)
        for row, (_, questions) in enumerate(asking.draw(np.arange(12), rng, AugmentConfig())):
            kind = groups(asking.of_tile[row])
            types = Counter(kind[one][0] for one in questions)
            assert set(types.values()) == {1}
            assert set(types) == {one.type for one in asking.of_tile[row]}, "targets in every pass of a tile"
            regions.setdefault(row, set()).update(one.question for one in questions if "region" in one.question)
    assert min(map(len, regions.values())) > 3, "not always the same regions in the same words"


@pytest.mark.parametrize("balance", [0.0, 0.7, 1.0])
def test_questions_are_asked_as_often_as_said(balance: float) -> None:
    """40 tiles with targets among 160 without: positions and types are rare as they come."""
    truths = {f"t{seed:03d}": truth_of(seed, 1, 5) if seed < 40 else truth_of(seed, 0, 1) for seed in range(200)}
    asking = QuestionSampler(examples(truths), balance, 4.0, 6)
    order = Order(200, 8, 0, weights=asking.weights)
    expected, come = asking.asked(order.times), asking.as_they_come()
    drawn: Counter[tuple[str, str]] = Counter()
    tiles: Counter[int] = Counter()
    epochs = 12
    for step in range(epochs * order.steps_per_epoch):
        rows = order.rows(step)
        tiles.update(rows.tolist())
        for row, (_, questions) in zip(rows, asking.draw(rows, np.random.default_rng(step), AugmentConfig())):
            kind = groups(asking.of_tile[row])
            drawn.update(kind[one] for one in questions)
            assert 1 <= len(set(questions)) == len(questions) <= 6
    for group, number in expected.items():
        assert drawn[group] / epochs == pytest.approx(number, abs=0.1 * number + 1.0), group
    assert max(tiles.values()) <= 4 * epochs
    assert len(tiles) == 200
    share = {kind: number / sum(by_type(expected).values()) for kind, number in by_type(expected).items()}
    natural = {kind: number / sum(by_type(come).values()) for kind, number in by_type(come).items()}
    growth = {kind: share[kind] / natural[kind] for kind in share}
    if balance:
        assert min(growth["position"], growth["recognition"]) > 1.5 > 1 > growth["all landforms"]
        for kind in ("main_landform", "all_landforms", "regional_landform"):
            rare, *_, common = sorted((number, expected[group]) for group, number in come.items() if group[0] == kind)
            assert rare[1] / rare[0] > 1.2 * common[1] / common[0], "rare answers more often"
    else:
        assert list(growth.values()) == pytest.approx([1.0] * 6, abs=0.02)


def test_examples_without_types_are_balanced_over_answers() -> None:
    asked = [Example(f"t{n:02d}", f"question {at}?", "no" if n else "yes") for n in range(20) for at in range(9)]
    asking = QuestionSampler(asked, 1.0, 5.0, 6)
    assert asking.weights[0] == pytest.approx(5)
    answers = asking.asked(asking.weights)
    assert answers["", "yes"] == pytest.approx(5 * 6)
    assert answers["", "no"] < 15 * 6
    asking = QuestionSampler(asked, 0.0, 5.0, 6)
    assert by_type(asking.asked(asking.weights)) == pytest.approx({"questions": 20 * 6})
    for turn, questions in asking.draw(np.arange(20), np.random.default_rng(0), AugmentConfig()):
        assert turn == Turn()
        assert len(set(questions)) == 6
    other = QuestionSampler([*asked[:-1], Example("t19", "question 8?", "maybe")], 1.0, 5.0, 6)
    assert other.key() != asking.key() == QuestionSampler(asked, 0.0, 5.0, 6).key()


def rows_of(part: Any, tokenizer: TextTokenizer) -> list[tuple[bytes, int, list[tuple[list[int], list[int]]]]]:
    """Pixels, seed and questions with answers of each image."""
    found: list[tuple[bytes, int, list[tuple[list[int], list[int]]]]] = [
        (pixels.numpy().tobytes(), int(seed), []) for pixels, seed in zip(part.pixels_BSS, part.seed_B)
    ]
    for at, owner in enumerate(part.asked.image_Q.tolist()):
        pair = [ids[at][keep[at]].tolist() for ids, keep in (part.asked.question, part.asked.answer)]
        found[owner][2].append((pair[0], pair[1]))
    return found


def test_batches_turn_pixels_with_words_and_are_dealt_to_processes() -> None:
    truths = {f"t{seed}": truth_of(seed) for seed in range(12)}
    tokenizer = TextTokenizer.train([*sentences(), *sentences()], 400)
    config = FinetuneConfig(dataset=Path("d"), model=Path("m"), out=Path("o"), batch_size=8, balance=0.5, augment=TURNS)
    asking = QuestionSampler(examples(truths), config.balance, config.repeats, config.questions_per_image)
    pixels = np.random.default_rng(0).integers(0, 255, (12, 6, 6)).astype(np.uint8)
    text = SimpleNamespace(text=SimpleNamespace(max_length=40))
    task = SimpleNamespace(
        config=config,
        asking=asking,
        model=SimpleNamespace(tokenizer=tokenizer, config=text),
        pixels=pixels,
        width_m_N=np.full(12, 256.0, np.float32),
        scale=GreyScale(torch.ones(12, dtype=torch.bool), torch.ones(12), torch.ones(12), True),
        order=Order(12, 8, 0, weights=asking.weights),
    )
    whole = QuestionBatches(cast(Answering, task), 0, 1)
    met = set()
    for step in range(12):
        rows = rows_of(whole.at(step, 0), tokenizer)
        ranks = [rows_of(QuestionBatches(cast(Answering, task), rank, 2).at(step, 0), tokenizer) for rank in (0, 1)]
        assert [row for both in zip(*ranks) for row in both] == rows
        for tile, (image, _, pairs) in zip(task.order.rows(step), rows):
            turn = next(Turn.of(n) for n in range(8) if Turn.of(n).pixels(pixels[tile]).tobytes() == image)
            met.add(turn)
            turned = examples({tile_id: turned_truth(truth, turn) for tile_id, truth in truths.items()})
            known = [
                (tokenizer.frame(tokenizer.ids(one.question), 40, grounded=True), tokenizer.ids(one.answer))
                for one in posed([one for one in turned if one.tile_id == asking.tile_ids[tile]])
            ]
            assert pairs
            assert all((question, answer[1:-1]) in known for question, answer in pairs)
    assert len(met) == 8


def test_settings_that_cannot_work_are_refused() -> None:
    for changes in ({"balance": 1.5}, {"repeats": 0.0}, {"questions_per_image": 0}):
        with pytest.raises(ValueError, match=next(iter(changes))):
            FinetuneConfig(dataset=Path("d"), model=Path("m"), out=Path("o"), **changes)  # type: ignore[arg-type]
