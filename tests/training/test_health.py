"""Warnings come when something is wrong, once; curves go to every logger that is asked for."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from knowlip.objectives import PRIOR_LOSS
from knowlip.training.health import Health
from knowlip.training.loggers import check_loggers, open_loggers

WELL = {
    "tau": 0.07,
    "itm": 0.5,
    "gradient_norm": 1.0,
    "queue_duplicates": 0.1,
    "data_wait": 0.01,
    "skipped_steps": 0,
}


def warned(changes: list[dict[str, float]], warmup: int = 0) -> list[list[str]]:
    health = Health(warmup, clip=1.0)
    return [health.warnings({**WELL, "step": 10 * (i + 1), **change}) for i, change in enumerate(changes)]


def test_a_healthy_training_is_left_alone() -> None:
    assert warned([{}] * 20) == [[]] * 20


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"tau": 0.001}, "temperature stands at its limit"),
        ({"tau": 0.5}, "temperature stands at its limit"),
        ({"queue_duplicates": 0.75}, "75% of the queue"),
        ({"spread": 0.01}, "COLLAPSED: the embeddings of different images are alike"),
        ({"teacher_entropy": 0.99}, "COLLAPSED: the teacher says every prototype"),
        ({"prototypes": 1.1}, "COLLAPSED: the teacher says one prototype"),
        ({"data_wait": 0.4}, "40% of the time"),
        ({"gradient_norm": 50.0}, "gradient norm rose to 50 from about 1"),
        ({"skipped_steps": 4}, "4 of 10 steps were skipped"),
    ],
)
def test_each_illness_is_named_once(bad: dict[str, float], words: str) -> None:
    lines = warned([{}] * 6 + [bad, bad])
    assert lines[:6] == [[]] * 6
    assert len(lines[6]) == 1
    assert words in lines[6][0]
    assert lines[7] == []


def test_matching_at_its_prior_takes_several_lines_after_the_warm_up() -> None:
    lines = warned([{"itm": PRIOR_LOSS + 0.002}] * 12, warmup=80)
    assert [bool(line) for line in lines] == [False] * 8 + [True] + [False] * 3
    assert "how many of the pairs are true" in lines[8][0]


@pytest.mark.parametrize("floor", ["patch_mean", "image_mean", "chance"])
def test_a_loss_at_its_floor_is_named_after_several_lines(floor: str) -> None:
    for share in (1.01, 0.998):
        found = warned([{"loss": share, floor: 1.0}] * 6)
        assert [bool(one) for one in found] == [False] * 4 + [True, False]
        assert "Hardly more is learned so far than the" in found[4][0]
    swinging = warned([{"loss": 0.997 + 0.006 * (number % 2), floor: 1.0} for number in range(6)])
    assert any(swinging), "batches that lie now above and now below it hide nothing"
    assert warned([{"loss": 0.97, floor: 1.0}] * 6) == [[]] * 6


def test_an_illness_that_comes_again_is_named_again() -> None:
    lines = warned([{"tau": 0.001}, {}, {"tau": 0.001}])
    assert [len(line) for line in lines] == [1, 0, 1]


# ---- loggers --------------------------------------------------------------------------------------------------------


class Calls(list[tuple[Any, ...]]):
    """Notes what is called on a package that is not there."""

    def note(self, name: str, answer: Any = None) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            self.append((name, arguments, named))
            return answer

        return call


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Calls:
    calls = Calls()
    run = SimpleNamespace(log=calls.note("wandb.log"), finish=calls.note("wandb.finish"))
    wandb, mlflow = ModuleType("wandb"), ModuleType("mlflow")
    wandb.init = calls.note("wandb.init", run)  # type: ignore[attr-defined]
    mlflow.start_run = calls.note("mlflow.start_run", SimpleNamespace(info=SimpleNamespace(run_id="r1")))  # type: ignore[attr-defined]
    for name in ("log_dict", "log_metrics", "end_run"):
        setattr(mlflow, name, calls.note(f"mlflow.{name}"))
    for module in (wandb, mlflow):
        module.__spec__ = SimpleNamespace(name=module.__name__)  # type: ignore[assignment]
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return calls


def test_curves_go_to_all_loggers_and_go_on(fakes: Calls, tmp_path: Path) -> None:
    names = ("tensorboard", "wandb", "mlflow")
    check_loggers(names)
    for step in (10, 20):
        opened = open_loggers(names, tmp_path, "run-1", {"seed": 0}, step)  # type: ignore[arg-type]
        for logger in opened:
            logger.log({"loss": 1.5 * step}, step)
            logger.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(10, 15.0), (20, 30.0)]
    of_wandb = [(name, named) for name, _, named in fakes if name == "wandb.init"]
    assert (
        of_wandb
        == [
            (
                "wandb.init",
                {"id": "run-1", "name": "run-1", "resume": "allow", "dir": str(tmp_path), "config": {"seed": 0}},
            )
        ]
        * 2
    )
    assert ("wandb.log", ({"loss": 15.0},), {"step": 10}) in fakes
    starts = [named for name, _, named in fakes if name == "mlflow.start_run"]
    assert starts == [{"run_name": "run-1"}, {"run_id": "r1"}]
    assert ("mlflow.log_metrics", ({"loss": 30.0},), {"step": 20}) in fakes
    assert [name for name, _, _ in fakes][-1] == "mlflow.end_run"


def test_a_logger_that_is_not_installed_is_refused() -> None:
    with pytest.raises(ValueError, match="pip install no_such_logger"):
        check_loggers(("no_such_logger",))
