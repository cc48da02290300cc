"""What a task gives the training loop: batches, a module that computes losses, and what to do beside the steps.

A task is one file in `knowlip/tasks`: a dataclass of its own settings on top of :class:`TrainingConfig`, and a subclass
of :class:`Task`. Everything that trainings have in common (resume, logs, health, several processes, precision) is
:mod:`knowlip.training.loop`, which knows no task.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import torch
from torch import nn

Part = TypeVar("Part")
"""One process's share of one pass over a batch, of a type of the task's own."""
Given = TypeVar("Given")


class BatchSource(Protocol[Part]):
    """The batches of one process: functions of the step's number alone, so that a run goes on, or is repeated, with any
    number of processes and workers."""

    def stream(self, start: int, stop: int) -> Generator[list[Part], None, None]:
        """The passes of each step from `start` to `stop` - 1, on the CPU, made ahead."""
        ...

    def deliver(self, part: Part, step: int, micro: int, device: torch.device | str) -> Part:
        """Move a pass of a step to the training device, and augment it there."""
        ...


class Task(ABC, Generic[Part]):
    """A training, opened in one process. Subclasses set what is declared here; what they leave out has a default."""

    losses: ClassVar[tuple[str, ...]] = ("loss",)
    """Names of what `module` computes, the sum that is trained on first."""
    free: ClassVar[tuple[str, ...]] = ()
    """Settings of the task's own that may differ between a run and its continuation."""
    pairs: ClassVar[str] = "pairs"
    """What a batch holds, for people."""

    module: nn.Module
    """Holds all weights, also those without gradient (a momentum model); `forward(part, *arguments(step))` gives losses
    by name and anything that :meth:`after_step` wants."""
    warmup_steps: int | None = None
    """Steps of warm-up that follow from the task's own settings, in place of those of the config."""
    steps_per_epoch: int
    """Steps in which every item is seen once."""
    ends: list[int]
    """Steps at which parts of the training end; the last is the end of it."""

    @property
    def total(self) -> int:
        """Steps of the whole training."""
        return self.ends[-1]

    @abstractmethod
    def batches(self, rank: int, world: int) -> BatchSource[Part]:
        """The batches of one process of several."""

    @abstractmethod
    def finish(self, step: int, seconds: float) -> dict[str, Any]:
        """Save what was trained and say what was reached, {} in all processes but the first. Every process calls it."""

    def arguments(self, step: int) -> tuple[Any, ...]:
        """What `module.forward` is given beside the batch."""
        return ()

    def before_step(self) -> None:
        """Called when the module was set to training mode."""

    def after_step(self, given: list[Any]) -> None:
        """Called after the optimiser's step with what `forward` gave beside the losses, once a pass."""

    def enter(self, number: int, step: int) -> None:
        """Called between two parts of the training, before part `number` (from 0), if its first step is to come."""

    def state(self) -> dict[str, Any]:
        """Plain values to keep in a checkpoint beside weights and optimiser."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """The reverse of :meth:`state`, on a whole checkpoint; `ValueError` where it belongs to something else."""

    def identity(self) -> list[str]:
        """What, beside the settings, decides the result: the data's fingerprints."""
        return []

    def cautions(self) -> list[str]:
        """What to warn of before the first step: settings that work, but hardly as they are meant."""
        return []

    def begin(self) -> None:
        """Called in the first process when nothing can fail any more, before the first step."""

    def figures(self, step: int) -> dict[str, Any]:
        """More numbers of a log line."""
        return {}

    def told(self, line: Mapping[str, Any]) -> str:
        """The losses of a log line for people."""
        return "  ".join(f"{name} {line[name]:.3f}" for name in self.losses)

    def flops(self, part: Part) -> float | None:
        """Floating-point operations of a pass; None where nobody counts them."""
        return None


def prefetched(
    make: Callable[[int], Given], start: int, stop: int, workers: int, ahead: int
) -> Generator[Given, None, None]:
    """`make(start)` to `make(stop - 1)` in order, made ahead by threads. Ending the iteration early ends the threads.

    Args:
        make: thread-safe.
        start, stop: numbers.
        workers: threads; 0 makes each when it is asked for.
        ahead: how many are made ahead, at least 1.
    """
    if not workers:
        yield from map(make, range(start, stop))
        return
    pool = ThreadPoolExecutor(workers, "batches")
    queued: deque[Future[Given]] = deque()
    try:
        following = start
        while following < stop or queued:
            while following < stop and len(queued) < ahead:
                queued.append(pool.submit(make, following))
                following += 1
            yield queued.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


Opener = Callable[..., Task[Any]]
"""Opens a task in one process: (config, engine, *arguments) -> task. Must be importable by name."""
