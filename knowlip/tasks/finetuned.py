"""What trainings that fine-tune on annotations share: their length, their warm-up, an average of the weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from knowlip.tasks.runs import MeasuredConfig
from knowlip.training.ema import Averaged
from knowlip.training.task import Task

Part = TypeVar("Part")


@dataclass(kw_only=True)
class FinetunedConfig(MeasuredConfig):
    """Settings of a training that passes over annotated tiles."""

    label: Literal["category", "type"] = "category"
    """Column of the annotations that names the class."""
    epochs: int = 100
    """Passes over the training tiles."""
    steps: int | None = None
    """The same in steps, instead of epochs."""
    warmup_epochs: float | None = None
    """Passes in which the learning rate rises, instead of `warmup_steps`."""
    ema: float = 0.0
    """Momentum of an average of the weights that is measured and saved in their place, less in the first steps
    ((1 + step) / (10 + step)); 0 for none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.label not in ("category", "type"):
            raise ValueError(f"label must be category or type, not {self.label!r}.")
        if self.epochs < 1 or (self.steps is not None and self.steps < 1):
            raise ValueError("epochs and steps must be at least 1.")
        if not 0 <= self.ema < 1:
            raise ValueError(f"Give ema from 0 up to but below 1, not {self.ema}.")
        if self.warmup_epochs is not None and (self.warmup_steps is not None or self.warmup_epochs < 0):
            raise ValueError("Give warmup_epochs (at least 0) or warmup_steps, not both.")


class FinetunedTask(Task[Part]):
    """A training whose `module` may be an :class:`~knowlip.training.ema.Averaged`."""

    config: FinetunedConfig

    def set_length(self, steps_per_epoch: int) -> None:
        """Set when the training and its warm-up end."""
        config, self.steps_per_epoch = self.config, steps_per_epoch
        self.ends = [config.epochs * steps_per_epoch if config.steps is None else config.steps]
        if config.warmup_epochs is not None:
            self.warmup_steps = round(config.warmup_epochs * steps_per_epoch)

    def after_step(self, given: list[Any]) -> None:
        if isinstance(self.module, Averaged):
            self.module.update()

    def load_state(self, state: Mapping[str, Any]) -> None:
        if isinstance(self.module, Averaged):
            self.module.updates = int(state["step"])
