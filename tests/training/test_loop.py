"""The loop with a task of a few lines: it learns, logs, keeps, resumes to the same bytes, and says what is wrong."""

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from knowlip.training.engine import Engine
from knowlip.training.loop import train
from knowlip.training.resume import read_checkpoint
from knowlip.training.settings import TrainingConfig
from knowlip.training.task import Task, prefetched


@dataclass(kw_only=True)
class LineConfig(TrainingConfig):
    """Fit a line."""

    steps: int = 12
    stop_at: int = 0
    """Raise KeyboardInterrupt when this step is asked for, as a person would."""
    broken_at: int = -1
    """This step's targets are not finite."""


@dataclass
class Points:
    x_B1: Tensor
    y_B1: Tensor


class LineBatches:
    def __init__(self, config: LineConfig, rank: int, world: int) -> None:
        self.config, self.mine = config, slice(rank, None, world)

    def stream(self, start: int, stop: int) -> Generator[list[Points], None, None]:
        return prefetched(self._step, start, stop, workers=1, ahead=2)

    def _step(self, step: int) -> list[Points]:
        if step == self.config.stop_at > 0:
            raise KeyboardInterrupt
        x = torch.randn(self.config.batch_size, 1, generator=torch.Generator().manual_seed(step))
        y = 3 * x + 1 if step != self.config.broken_at else x / 0
        return [
            Points(a[self.mine], b[self.mine])
            for a, b in zip(x.chunk(self.config.accumulate), y.chunk(self.config.accumulate))
        ]

    def deliver(self, part: Points, step: int, micro: int, device: torch.device | str) -> Points:
        return Points(part.x_B1.to(device), part.y_B1.to(device))


class LineModule(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(1, 1)

    def forward(self, part: Points) -> tuple[dict[str, Tensor], int]:
        error = self.line(part.x_B1) - part.y_B1
        return {"loss": error.square().mean(), "bias": error.mean().abs()}, len(error)


class LineTask(Task[Points]):
    losses: ClassVar = ("loss", "bias")
    free: ClassVar = ("stop_at",)
    pairs: ClassVar = "points"

    def __init__(self, config: LineConfig, engine: Engine, name: str = "line", data: str = "data") -> None:
        self.config, self.engine, self.name, self.data = config, engine, name, data
        self.module, self.steps_per_epoch, self.ends = LineModule(), 4, [config.steps // 2, config.steps]
        self.entered: list[int] = []
        self.seen = 0

    def batches(self, rank: int, world: int) -> LineBatches:
        return LineBatches(self.config, rank, world)

    def enter(self, number: int, step: int) -> None:
        self.entered.append(number)

    def after_step(self, given: list[Any]) -> None:
        self.seen += sum(given)

    def identity(self) -> list[str]:
        return [self.data]

    def state(self) -> dict[str, Any]:
        return {"name": self.name}

    def load_state(self, state: Mapping[str, Any]) -> None:
        if state["name"] != self.name:
            raise ValueError(f"This run is of {state['name']}.")

    def finish(self, step: int, seconds: float) -> dict[str, Any]:
        weights = {name: value.tolist() for name, value in self.module.state_dict().items()}
        return {"step": step, "entered": self.entered, "seen": self.seen, "weights": weights}


def config(out: Path, **changes: Any) -> LineConfig:
    settings = {"batch_size": 8, "learning_rate": 0.1, "log_every": 2, "checkpoint_every": 3, "accelerator": "cpu"}
    return LineConfig(out=out, **{**settings, **changes})


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_a_task_of_a_few_lines_trains_logs_and_keeps(tmp_path: Path) -> None:
    result = train(LineTask, config(tmp_path / "run", steps=60, accumulate=2, keep_steps=(7,), learning_rate=0.2))
    assert result["step"] == 60
    assert result["entered"] == [0, 1]
    assert result["seen"] == 60 * 8
    assert result["weights"]["line.weight"][0][0] == pytest.approx(3, abs=0.3)
    log = lines(tmp_path / "run")
    assert [line["step"] for line in log] == list(range(2, 61, 2))
    assert log[-1].keys() >= {"loss", "bias", "lr", "gradient_norm", "points_per_s", "data_wait", "epoch"}
    assert log[0]["lr"] < max(line["lr"] for line in log), "a twentieth of the steps warms up"
    assert list((tmp_path / "run" / "tensorboard").iterdir())
    kept = read_checkpoint(tmp_path / "run" / "checkpoint-7.pt")
    assert kept is not None
    assert kept["step"] == 7


def test_a_run_with_sgd_goes_on_with_its_momentum(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"optimizer": "sgd", "decay": "poly", "learning_rate": 0.02}
    whole = train(LineTask, config(tmp_path / "whole", **settings))
    with pytest.raises(KeyboardInterrupt):
        train(LineTask, config(tmp_path / "cut", stop_at=8, **settings))
    assert train(LineTask, config(tmp_path / "cut", **settings))["weights"] == whole["weights"]
    assert train(LineTask, config(tmp_path / "adam", learning_rate=0.02))["weights"] != whole["weights"]


def test_a_stopped_run_ends_with_the_same_weights_and_log(tmp_path: Path) -> None:
    whole = train(LineTask, config(tmp_path / "whole"))
    for stop_at in (5, 8):  # within the first part, and within the second
        with pytest.raises(KeyboardInterrupt):
            train(LineTask, config(tmp_path / "cut", stop_at=stop_at))
    ended = train(LineTask, config(tmp_path / "cut"))
    assert ended["weights"] == whole["weights"]
    same = ("step", "loss", "bias", "lr", "gradient_norm")
    assert [[line[name] for name in same] for line in lines(tmp_path / "cut")] == [
        [line[name] for name in same] for line in lines(tmp_path / "whole")
    ]
    assert train(LineTask, config(tmp_path / "cut"))["weights"] == whole["weights"], "a finished run is reported"


def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    train(LineTask, config(tmp_path / "run"))
    with pytest.raises(ValueError, match=r"learning_rate = 0\.1, now it is 0\.2"):
        train(LineTask, config(tmp_path / "run", learning_rate=0.2))
    with pytest.raises(ValueError, match="This run is of line"):
        train(LineTask, config(tmp_path / "run"), "curve")
    with pytest.raises(ValueError, match="trained on other data"):
        train(LineTask, config(tmp_path / "run"), "line", "other data")
    with pytest.raises(ValueError, match="log_every and checkpoint_every"):
        train(LineTask, config(tmp_path / "other", log_every=0))
    assert not (tmp_path / "other").exists()


def test_a_batch_that_is_not_finite_is_kept_and_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"not finite at step 4 .*nonfinite-step-4\.pt"):
        train(LineTask, config(tmp_path / "run", broken_at=4, log_every=1))
    kept = torch.load(tmp_path / "run" / "nonfinite-step-4.pt", weights_only=True)
    assert kept["step"] == 4
    assert not torch.isfinite(kept["batches"][0]["y_B1"]).all()
    state = read_checkpoint(tmp_path / "run" / "checkpoint.pt")
    assert state is not None
    assert state["step"] == 3, "the last checkpoint is as it was"
