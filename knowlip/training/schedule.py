"""Learning rate as a function of the step, never of the epoch alone."""

import math
from typing import Literal

Decay = Literal["cosine", "paper"]


def learning_rate(
    step: int, total: int, warmup: int, peak: float, floor: float, decay: Decay, steps_per_epoch: int
) -> float:
    """Linear warm-up from `floor`, then decay to `floor`.

    Args:
        step: 0-based step.
        total: steps of the whole training.
        warmup: steps of warm-up.
        peak, floor: highest and lowest learning rate.
        decay: "cosine" (ALBEF), or "paper": peak * 0.9 ** epoch as BLIP and the paper have it, with a fractional epoch.
        steps_per_epoch: used by "paper".
    """
    if step < warmup:
        return floor + (peak - floor) * (step + 1) / warmup
    if decay == "paper":
        return max(floor, peak * 0.9 ** (step / max(1, steps_per_epoch)))
    progress = (step - warmup) / max(1, total - warmup)
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def soft_target_share(step: int, ramp: int, alpha: float) -> float:
    """Weight of the momentum model's own similarities in ITC's targets: linear from 0 to `alpha` over `ramp` steps."""
    return alpha * min(1.0, step / ramp) if ramp else alpha
