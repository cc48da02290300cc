"""Whether a training is well: figures of each log line, and plain warnings when they are not as they should be."""

import resource
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

import torch
from torch import Tensor

from knowlip.models.flops import peak_flops
from knowlip.objectives import PRIOR_LOSS

Item = TypeVar("Item")
TAU = (0.001, 0.5)
"""Between these the step clamps the temperature."""
_ALIKE, _UNDECIDED, _FEW = 0.05, 0.98, 1.5
"""Below, above and below these a self-supervised training has collapsed."""
_WINDOW = 5
"""Log lines over which losses must be bad before somebody is warned."""
FLOORS = {"patch_mean": "mean of the patch", "image_mean": "mean of the image", "chance": "guess"}
"""Figure of a self-supervised training's log -> what it knows who has that loss."""
LEARNED = 0.99
"""Share of such a floor below which a loss says that something was learned: batches differ by less."""


class FirstBad:
    """The first step whose loss or gradient norm was not finite, remembered on the device: asking costs a wait, noting
    does not.

    Args:
        device: of the training.
        skipping: gradients that are not finite are expected now and then and skipped (fp16).
    """

    def __init__(self, device: torch.device, skipping: bool) -> None:
        self._none = torch.iinfo(torch.int64).max
        self._step = torch.full((), self._none, dtype=torch.int64, device=device)
        self._skipped = torch.zeros((), dtype=torch.int64, device=device)
        self._skipping = skipping

    def note(self, step: int, loss: Tensor, norm: Tensor) -> None:
        """Look at a step."""
        norm_is_bad = ~torch.isfinite(norm)
        bad = ~torch.isfinite(loss.detach())
        if self._skipping:
            self._skipped += norm_is_bad
        else:
            bad = bad | norm_is_bad
        self._step = torch.where(bad, self._step.clamp(max=step), self._step)

    def read(self) -> tuple[int | None, int]:
        """The first bad step of this process (None: there was none), and how many steps were skipped."""
        first, skipped = int(self._step), int(self._skipped)
        return (None if first == self._none else first), skipped


class Health:
    """Watches the figures of log lines and says when something is wrong, once until it is well again.

    Args:
        warmup: steps in which losses may be anything.
        clip: largest gradient norm; 0 for no clipping.
    """

    def __init__(self, warmup: int, clip: float) -> None:
        self.warmup, self.clip = warmup, clip
        self.itm: deque[float] = deque(maxlen=_WINDOW)
        self.of_floor: deque[float] = deque(maxlen=_WINDOW)
        self.norms: deque[float] = deque(maxlen=50)
        self.ill: set[str] = set()
        self.last = (0.0, 0.0)

    def warnings(self, line: Mapping[str, float]) -> list[str]:
        """Sentences about a log line that are new.

        Args:
            line: `step`, `gradient_norm`, `data_wait`, `skipped_steps`; where a task has them `tau`, `itm`,
                `queue_duplicates`, `spread`, `teacher_entropy`, `prototypes`, `loss`, `patch_mean`,
                `image_mean` and `chance`.
        """
        found = self._of_any_training(line) | self._of_contrast(line) | self._of_self_supervision(line)
        new = [sentence for name, sentence in found.items() if name not in self.ill]
        self.ill = set(found)
        return new

    def _of_any_training(self, line: Mapping[str, float]) -> dict[str, str]:
        """Gradients, waiting for data, skipped steps. Within the warm-up all of these may be odd."""
        steps, skipped = line["step"] - self.last[0], line["skipped_steps"] - self.last[1]
        self.last = line["step"], line["skipped_steps"]
        usual = median(self.norms) if len(self.norms) >= _WINDOW else None
        self.norms.append(line["gradient_norm"])
        found: dict[str, str] = {}
        if line["step"] <= self.warmup:
            return found
        if usual and line["gradient_norm"] > 20 * usual:
            found["norm"] = (
                f"The gradient norm rose to {line['gradient_norm']:.3g} from about {usual:.3g}"
                f"{'' if self.clip else ' and is not clipped (clip_gradient)'}: lower learning_rate if losses rise too."
            )
        if line["data_wait"] > 0.2:
            found["data"] = (
                f"{line['data_wait']:.0%} of the time is spent waiting for data: raise data.workers, or use "
                "data.pixels=cache."
            )
        if skipped > 0.2 * steps:
            found["fp16"] = (
                f"{skipped:.0f} of {steps:.0f} steps were skipped because fp16 gradients overflowed: use --precision "
                "bf16 where the hardware has it."
            )
        return found

    def _of_contrast(self, line: Mapping[str, float]) -> dict[str, str]:
        """Temperature, matching and queue, of tasks that have them."""
        found: dict[str, str] = {}
        if "tau" in line and not TAU[0] * 1.01 < line["tau"] < TAU[1] * 0.99:
            found["tau"] = (
                f"The temperature stands at its limit ({line['tau']:.4f}): lower learning_rate, or look for texts that "
                "many tiles share."
            )
        if "itm" in line:
            self.itm.append(line["itm"])
            prior = line.get("itm_prior", PRIOR_LOSS)
            at_prior = len(self.itm) == _WINDOW and max(abs(loss - prior) for loss in self.itm) < 0.01
            if at_prior and line["step"] > self.warmup:
                found["itm"] = (
                    f"Matching has learned only how many of the pairs are true (loss {line['itm']:.4f}): raise "
                    "objectives.negative_floor for easier negatives, or train longer."
                )
        if line.get("queue_duplicates", 0.0) > 0.5:
            found["queue"] = (
                f"{line['queue_duplicates']:.0%} of the queue are texts that occur in it more than once: more tiles, "
                "more varied texts or a smaller objectives.queue give better negatives."
            )
        return found

    def _of_self_supervision(self, line: Mapping[str, float]) -> dict[str, str]:
        """Collapse: a tower that says the same of everything, or a teacher that says everything of each; and a loss
        that is hardly below that of a mean or a guess."""
        found: dict[str, str] = {}
        if line["step"] <= self.warmup:
            return found
        # Each is a way to a low loss without having learned anything.
        if line.get("spread", 1.0) < _ALIKE:
            found["spread"] = (
                f"COLLAPSED: the embeddings of different images are alike (spread {line['spread']:.3f}, 1 is as far "
                "apart as can be): lower learning_rate, raise the momentum, or take larger batches."
            )
        if line.get("teacher_entropy", 0.0) > _UNDECIDED:
            found["entropy"] = (
                f"COLLAPSED: the teacher says every prototype of every image (entropy {line['teacher_entropy']:.3f} of "
                "1): lower its temperatures, or center_momentum."
            )
        if line.get("prototypes", 9.0) < _FEW:
            found["prototypes"] = (
                f"COLLAPSED: the teacher says one prototype of all images ({line['prototypes']:.2f} are in use): raise "
                "its temperatures, lower learning_rate, or take larger batches."
            )
        if (name := next((one for one in FLOORS if line.get(one)), None)) is not None:
            self.of_floor.append(line["loss"] / line[name])
            share = sum(self.of_floor) / len(self.of_floor)
            if len(self.of_floor) == _WINDOW and share > LEARNED:
                found["floor"] = (
                    f"Hardly more is learned so far than the {FLOORS[name]}: over {_WINDOW} log lines the loss is "
                    f"{share:.1%} of that of who knows it alone. Train longer, or make the task easier."
                )
        return found


@dataclass
class Steps:
    """How some steps went."""

    seconds: float
    """Of one step."""
    waiting: float
    """Share of the time that was spent waiting for data."""
    flops_per_s: float
    """Of this process."""


class Throughput:
    """How long steps take, how much of that is waiting for data, and how much is computed meanwhile."""

    def __init__(self) -> None:
        self.restart(0)

    def restart(self, step: int) -> None:
        """Begin to count."""
        self._mark, self._step, self._waited, self._flops = time.monotonic(), step, 0.0, 0.0

    def waiting_for(self, stream: Iterator[Item]) -> Iterator[Item]:
        """The stream, with the time it takes counted as waiting."""
        while True:
            asked = time.monotonic()
            try:
                item = next(stream)
            except StopIteration:
                return
            finally:
                self._waited += time.monotonic() - asked
            yield item

    def computed(self, flops: float) -> None:
        """Note floating-point operations."""
        self._flops += flops

    def of_steps(self, step: int) -> Steps:
        """The steps since the last call; counts anew."""
        elapsed = max(1e-9, time.monotonic() - self._mark)
        steps = Steps(elapsed / max(1, step - self._step), self._waited / elapsed, self._flops / elapsed)
        self.restart(step)
        return steps


def peak_of(device: torch.device, precision: str) -> float | None:
    """Operations a second that the device promises, for the model FLOPs utilisation; None where that is not known, or
    would compare with another arithmetic (fp32)."""
    if device.type != "cuda" or precision == "fp32":
        return None
    return peak_flops(torch.cuda.get_device_name(device))


def memory_gb(device: torch.device) -> float:
    """Most memory used so far: of the GPU where there is one, else of this process. In 1e9 bytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9
