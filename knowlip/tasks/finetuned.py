"""What trainings that fine-tune on annotations share: their length, their warm-up, an average of the weights."""

from collections.abc import Mapping
from typing import Any, TypeVar

from knowlip.tasks.settings import FinetunedConfig
from knowlip.training.ema import Averaged
from knowlip.training.task import Task

Part = TypeVar("Part")


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
