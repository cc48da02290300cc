"""The learning rate over a training, and schedules that cannot work."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from knowlip.base.parsing import stage_config
from knowlip.base.recipes import load_recipe
from knowlip.scio.passes import stages
from knowlip.tasks.pretrain import PretrainConfig, Pretraining, pretrain
from knowlip.training.schedule import check_contrast, check_rates, check_warmup, learning_rate, warmup_of
from knowlip.training.settings import HoleConfig, ObjectiveConfig
from tests.training.runs import annotated, tiny

__all__ = ["annotated"]


def test_the_rate_rises_to_its_peak_and_falls_to_its_floor() -> None:
    rates = [learning_rate(step, 100, 10, 1.0, 0.1, "cosine", 25) for step in range(100)]
    assert rates[:2] == pytest.approx([0.19, 0.28])
    assert max(rates) == rates[9] == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.55)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert learning_rate(50, 100, 10, 1.0, 0.1, "paper", 25) == pytest.approx(0.81)
    assert learning_rate(55, 100, 10, 1.0, 0.1, "poly", 25) == pytest.approx(0.1 + 0.9 * 0.5**0.9)
    assert learning_rate(100, 100, 0, 1.0, 0.1, "poly", 25) == pytest.approx(0.1)
    stepped = [learning_rate(step, 36, 5, 1.0, 1e-6, "steps", 1, (24 / 36, 33 / 36)) for step in (5, 23, 24, 32, 33)]
    assert stepped == pytest.approx([1.0, 1.0, 0.1, 0.1, 0.01])


def test_the_papers_recipe_says_on_how_few_tiles_it_never_leaves_its_warm_up() -> None:
    recipe = stage_config(PretrainConfig, load_recipe("paper-vit-b")["pretrain"] | {"dataset": "d", "out": "o"})
    asked, epochs = recipe.warmup_steps, sum(recipe.stage_epochs)
    with pytest.raises(ValueError, match=r"rise for 3,000 steps .* only 2,988: set warmup_steps to at most 1,493"):
        check_warmup(asked, epochs * (21_300 // recipe.batch_size))
    assert len(check_warmup(asked, epochs * (40_000 // recipe.batch_size))) == 1
    assert check_warmup(asked, epochs * (60_000 // recipe.batch_size)) == []


@pytest.mark.parametrize("total", [1, 2, 3, 10, 3000])
def test_what_a_refusal_advises_is_not_warned_of(total: int) -> None:
    with pytest.raises(ValueError, match=f"at most {max(0, (total - 1) // 2):,},"):
        check_warmup(total, total)
    assert check_warmup(max(0, (total - 1) // 2), total) == []
    assert check_warmup(None, total) == []
    assert warmup_of(None, total) == max(1, total // 20)
    with pytest.raises(ValueError, match="at least 0"):
        check_warmup(-1, total)


@pytest.mark.parametrize(("highest", "lowest"), [(1e-7, 1e-6), (-1.0, -2.0), (1.0, -0.1), (float("nan"), 0.0)])
def test_a_rate_that_would_fall_and_then_rise_is_refused(highest: float, lowest: float) -> None:
    with pytest.raises(ValueError, match="must not lie below min_learning_rate"):
        check_rates(highest, lowest)
    check_rates(1e-6, 1e-6)
    check_rates(1.0, 0.0)


@pytest.mark.parametrize(("lengths", "said"), [((4, 4, 4), 1), ((5, 4, 3), 0), ((4, 0, 0), 0)])
def test_screening_by_a_model_that_still_warms_up_is_warned_of(lengths: tuple[int, int, int], said: int) -> None:
    objectives = ObjectiveConfig(queue=0, alpha=0.0)
    config = SimpleNamespace(objectives=objectives, warmup_steps=5)
    parts = stages(lengths, 1)
    told = Pretraining.cautions(
        SimpleNamespace(  # type: ignore[arg-type]
            config=config,
            corpus=SimpleNamespace(tile_ids=[], truth_teaches=False),
            alpha_ramp=0,
            total=parts[-1].end,
            stages=parts,
        )
    )
    assert ["screened at step 4" in one for one in told] == [True] * said


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        (ObjectiveConfig, {"itc": -1.0}, r"objectives\.itc must be at least 0"),
        (ObjectiveConfig, {"ground": float("nan")}, r"objectives\.ground must be at least 0"),
        (ObjectiveConfig, {"added": {"margin": -0.1}}, r"objectives\.added\.margin"),
        (ObjectiveConfig, {"itm_share": 2.0}, "from 0 to 1"),
        (ObjectiveConfig, {"momentum": 1.5}, "from 0 to 1"),
        (ObjectiveConfig, {"queue": -1}, "queue"),
        (HoleConfig, {"span": -0.1}, r"holes\.span must be at least 0"),
        (HoleConfig, {"span": 0.0, "subtext": 0.0, "everything": 0.0}, "One of holes"),
        (HoleConfig, {"at_once": 0}, "at_once"),
    ],
)
def test_weights_and_shares_that_teach_something_else_are_refused(kind: Any, values: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        kind(**values)


def test_a_queue_of_more_than_the_data_and_an_endless_ramp_are_warned_of() -> None:
    assert check_contrast(queue=0, tiles=10, alpha=0.0, ramp=20, total=10) == []
    assert check_contrast(queue=10, tiles=10, alpha=0.4, ramp=10, total=10) == []
    queue, ramp = check_contrast(queue=20_000, tiles=1_508, alpha=0.4, ramp=40, total=10)
    assert "20,000 pairs" in queue
    assert "1,508 tiles" in queue
    assert "end at 0.10 instead of 0.4" in ramp


def test_a_run_is_refused_before_it_starts_and_a_begun_one_goes_on(
    annotated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    with pytest.raises(ValueError, match="rise for 4 steps"):
        pretrain(tiny(annotated, run, stage_steps=(4, 0, 0), warmup_steps=4))
    with pytest.raises(ValueError, match="below min_learning_rate"):
        pretrain(tiny(annotated, run, stage_steps=(4, 0, 0), learning_rate=1e-9))
    assert not (run / "config.yaml").exists()
    config = tiny(annotated, run, stage_steps=(4, 0, 0), warmup_steps=3)
    config.objectives.queue, config.objectives.alpha_epochs = 40, 3.0
    pretrain(config)
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert len(said) == 3
    assert "more than half" in said[0]
    assert "holds 40 pairs" in said[1]
    assert "over 6 steps" in said[2]
    pretrain(config)
    assert "\nwarning: " not in capsys.readouterr().err
