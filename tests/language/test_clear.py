"""What is asked is what stays the answer when labels are off by a little; what is not asked has its reason."""

from typing import Any

import numpy as np
import pytest

from knowlip.base.vocabulary import LANDFORMS, REGIONS, TARGET_CATEGORIES, landform_shares
from knowlip.language.clear import ANY_TARGET, Clearness, ImageLabels, Spot, clear_facts, clear_region
from knowlip.language.directions import Turn
from knowlip.language.questions import Posed, QuestionType, tile_askables
from knowlip.language.tile_facts import facts_from_truth
from tests.tasks.test_asking import truth_of, turned_truth

EXACT = Clearness(border=0, presence=0)
LAND = (QuestionType.MAIN_LANDFORM, QuestionType.ALL_LANDFORMS, QuestionType.REGIONAL_LANDFORM)


def labelled(truth: Any) -> ImageLabels:
    spots = tuple(Spot(one["category"], one["type"], one["x"], one["y"]) for one in truth["objects"])
    grid = [landform_shares(cell) for cell in truth["grid"]]
    return ImageLabels(spots, TARGET_CATEGORIES, True, landform_shares(truth["shares"]), grid)


@pytest.mark.parametrize("seed", range(60))
def test_without_margins_the_answers_are_those_of_truth(seed: int) -> None:
    truth = truth_of(seed, most=24)
    known, expected = clear_facts(labelled(truth), EXACT)[0], facts_from_truth(truth)
    asked, wanted = (list(tile_askables("t", facts)) for facts in (known, expected))
    assert asked == wanted


def mode(points: np.ndarray) -> int | None:
    """The region of most points, counted on a grid; None of a tie."""
    numbers = np.histogram2d(points[:, 1], points[:, 0], bins=[[-1, 1 / 3, 2 / 3, 2]] * 2)[0].ravel()
    return int(numbers.argmax()) if (numbers == numbers.max()).sum() == 1 else None


@pytest.mark.parametrize("seed", range(40))
def test_a_clear_region_stays_the_answer_wherever_the_targets_are_within_the_margin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.random((rng.integers(1, 6), 2)) * 0.8 + 0.1
    border = 0.06
    region, why = clear_region([(float(x), float(y)) for x, y in points], border)
    steps = [rng.uniform(-border, border, points.shape) for _ in range(300)]
    steps += [rng.choice([-border, border], points.shape) * 0.999 for _ in range(300)]
    others = {mode(points + step) for step in steps}
    if region is not None:
        assert others == {region}
    else:
        assert mode(points) is None or "border" in why


def test_what_is_not_asked_has_its_reason() -> None:
    two = [Spot("ship", "", 0.34, 0.5), Spot("bridge", "", 0.8, 0.8)]
    known, why = clear_facts(ImageLabels(tuple(two), ("bridge", "ship"), False), Clearness())
    assert known.counts == {"bridge": 1, "ship": 1}
    assert known.regions == {"bridge": 8}
    assert why[QuestionType.POSITION] == "a target lies on a border of regions"
    assert why[QuestionType.RECOGNITION] == "no category has more than half of the targets"
    assert why[QuestionType.MAIN_LANDFORM] == "no land is labelled in the image"
    known, why = clear_facts(ImageLabels((*two, two[1]), ("bridge", "ship"), False), Clearness())
    assert known.types == {ANY_TARGET: "bridge"}
    doubtful = Spot("ship", "", 0.1, 0.1, doubtful=True)
    known, why = clear_facts(ImageLabels((doubtful,), ("bridge", "ship"), True), Clearness())
    assert not known.counts
    assert why[QuestionType.COUNT] == "a target is marked as difficult"
    known, why = clear_facts(ImageLabels((), ("ship",), True), Clearness())
    assert known.counts == {"ship": 0}
    assert why[QuestionType.POSITION] == "no target in the image"
    many = tuple(Spot("ship", "", 0.1, 0.1) for _ in range(21))
    known, why = clear_facts(ImageLabels(many, ("ship", "aircraft"), False), Clearness())
    assert not known.counts
    assert why[QuestionType.COUNT] == "more than 20 targets"
    assert known.regions == {"ship": 0}


def test_land_near_a_threshold_is_not_asked_about() -> None:
    def of(**shares: float) -> tuple[Any, Any]:
        cells = [landform_shares(shares)] * 9
        return clear_facts(ImageLabels((), (), False, landform_shares(shares), cells), Clearness())

    known, why = of(water=0.6, field=0.29, wood=0.11)
    assert (known.main, known.landforms) == ("water", None)
    assert why[QuestionType.ALL_LANDFORMS] == "a landform has about 10% of the area"
    known, why = of(water=0.47, field=0.45, wood=0.08 - 1e-9)
    assert known.main is None
    assert known.landforms == ("water", "field")
    assert why[QuestionType.MAIN_LANDFORM] == "two landforms have about the same share"
    assert why[QuestionType.REGIONAL_LANDFORM] == "no region has a clear landform"
    own = {"mountain": 0.7, **dict.fromkeys(LANDFORMS, 0.0), "water": 0.3}
    known, _ = clear_facts(ImageLabels((), (), False, own, [own] * 9), Clearness())
    assert (known.main, known.landforms, known.grid) == ("mountain", ("water", "mountain"), ("mountain",) * 9)


def land_of(unlabelled: float, grid: tuple[float, ...] = (), clear: Clearness = EXACT, **shares: float) -> Any:
    forms = landform_shares(shares)
    return clear_facts(ImageLabels((), (), False, forms, [forms] * 9, unlabelled, grid), clear)


def test_a_few_labelled_pixels_answer_nothing_about_the_land() -> None:
    known, why = land_of(0.997, (0.997,) * 9, Clearness(), water=1.0)
    assert (known.main, known.landforms, known.grid) == (None, None, (None,) * 9)
    assert {why[kind] for kind in LAND} == {"too much of it is unlabelled"}
    known, why = land_of(1.0, (1.0, *[0.0] * 8), Clearness(), water=1.0)
    assert known.main is None
    assert known.grid == (None, *["water"] * 8)
    known, why = land_of(0.05, (0.05,) * 9, Clearness(), water=0.7, wood=0.3)
    assert (known.main, known.landforms, known.grid) == ("water", ("water", "wood"), ("water",) * 9)


@pytest.mark.parametrize("seed", range(60))
def test_answers_stay_whatever_the_unlabelled_part_is(seed: int) -> None:
    rng = np.random.default_rng(seed)
    unlabelled = float(rng.uniform(0, 0.3))
    shares = dict(zip(("water", "field", "wood"), rng.dirichlet([1, 1, 0.3]).tolist()))
    known, _ = land_of(unlabelled, (unlabelled,) * 9, **shares)
    filled = []
    for name in LANDFORMS:
        true = {form: share * (1 - unlabelled) for form, share in landform_shares(shares).items()}
        true[name] += unlabelled
        filled.append(clear_facts(ImageLabels((), (), False, true, [true] * 9), EXACT)[0])
    answers = [{one.main for one in filled}, {one.landforms for one in filled}, {one.grid for one in filled}]
    # Asked is exactly what has one answer, the same in every case.
    for found, possible, nothing in zip((known.main, known.landforms, known.grid), answers, (None, None, (None,) * 9)):
        assert possible == {found} if found != nothing else len(possible) > 1 or possible == {nothing}


def test_targets_that_the_edge_cuts_are_neither_counted_nor_placed() -> None:
    def of(outside: float, **clear: float) -> tuple[Any, Any]:
        spots = (Spot("ship", "tanker", 0.1, 0.1, outside=outside), Spot("ship", "tanker", 0.2, 0.1))
        return clear_facts(ImageLabels(spots, ("ship",), True), Clearness(**clear))  # type: ignore[arg-type]

    for known, why in (of(0.06), of(float("nan")), of(0.001, cut=0.0)):
        assert (known.counts, known.regions, known.types) == ({}, {}, {"ship": "tanker"})
        assert why[QuestionType.COUNT] == why[QuestionType.POSITION] == "a target is cut by the edge"
    for known, _ in (of(0.04), of(0.9, cut=1.0), of(float("nan"), cut=1.0)):
        assert (known.counts, known.regions) == ({"ship": 2}, {"ship": 0})


def test_a_label_of_the_whole_image_names_and_neither_counts_nor_places() -> None:
    spots = (Spot("aircraft", "A220", 0.5, 0.5, whole=True),)
    known, why = clear_facts(ImageLabels(spots, ("aircraft",), True, boxed=False), Clearness())
    assert (known.counts, known.regions, known.types) == ({}, {}, {"aircraft": "A220"})
    assert why[QuestionType.COUNT] == why[QuestionType.POSITION] == "the label is of the whole image"
    known, why = clear_facts(ImageLabels((), ("aircraft",), True, boxed=False), Clearness())
    assert not known.counts, "an image without a class is not one without aircraft"


@pytest.mark.parametrize("name", ["other", "ignored", "ignored regions", "don't care"])
def test_categories_that_say_nothing_are_no_answer(name: str) -> None:
    spots = (*[Spot(name, "", 0.1, 0.1)] * 2, Spot("ship", "", 0.2, 0.2))
    known, why = clear_facts(ImageLabels(spots, ("bridge", "ship"), False), Clearness())
    assert known.types == {}
    assert "does not say" in why[QuestionType.RECOGNITION]
    if name == "other":
        assert known.counts == {"bridge": 0, "ship": 1}
    else:
        assert not known.counts
        assert why[QuestionType.COUNT] == "a part of the image is marked as ignored"


@pytest.mark.parametrize("number", range(8))
def test_numbered_regions_turn_with_the_pixels(number: int) -> None:
    turn = Turn.of(number)
    for seed in range(20):
        truth = truth_of(seed)
        here, there = (
            {
                Posed(words, form.answer)
                for one in tile_askables("t", facts_from_truth(of))
                if (form := one.by_number()) is not None
                for words in form.wordings
            }
            for of in (truth, turned_truth(truth, turn))
        )
        assert {one.turned(turn) for one in here} == there


def test_region_numbers_are_those_of_the_paper() -> None:
    truth: Any = {**truth_of(0), "objects": [{"category": "ship", "type": "tanker", "x": 0.9, "y": 0.1}]}
    found = {one.by_number() for one in tile_askables("t", facts_from_truth(truth))} - {None}
    position = next(one for one in found if one is not None and one.type is QuestionType.POSITION)
    assert position.answer == "region 3"
    assert REGIONS[2] == "upper right"
    assert not any(name in words for name in REGIONS for words in position.wordings)


@pytest.mark.parametrize(
    "wrong", [{"border": 0.2}, {"lead": 1.0}, {"presence": 0.1}, {"most": 21}, {"most": 0}, {"cut": 1.1}]
)
def test_margins_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="clear"):
        Clearness(**wrong)
