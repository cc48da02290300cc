"""Learning rate as a function of the step, never of the epoch alone; and which schedules cannot work."""

import math
from collections.abc import Sequence
from typing import Literal

Decay = Literal["cosine", "paper", "poly", "steps"]
_POWER = 0.9
"""Of poly."""


def warmup_of(asked: int | None, total: int) -> int:
    """Steps of warm-up: a twentieth of the training, at least one, where not given."""
    return max(1, total // 20) if asked is None else asked


def check_rates(highest: float, lowest: float) -> None:
    """Raise `ValueError` where the learning rate would fall while it warms up and rise at the end."""
    if not (math.isfinite(highest) and math.isfinite(lowest) and 0 <= lowest <= highest):
        raise ValueError(
            f"learning_rate {highest:g} must not lie below min_learning_rate {lowest:g}, nor that below 0: the warm-up "
            "begins and the decay ends there."
        )


def check_warmup(asked: int | None, total: int) -> list[str]:
    """Whether the learning rate has time to rise, and to fall again.

    Args:
        asked: steps of warm-up, None for a share of the training.
        total: steps of the whole training.

    Returns:
        Sentences to warn with.

    Raises:
        ValueError: negative, or the warm-up ends when the training does, so that the rate never falls.
    """
    if asked is None:
        return []
    half = max(0, (total - 1) // 2)
    if asked < 0:
        raise ValueError(f"warmup_steps must be at least 0, or null for a twentieth of the training, not {asked}.")
    if asked and asked >= total:
        raise ValueError(
            f"The learning rate would rise for {asked:,} steps (warmup_steps), but the training has only {total:,}: "
            f"set warmup_steps to at most {half:,}, or null for a twentieth of the training, or train longer."
        )
    if 2 * asked > total:
        return [
            f"The learning rate rises for {asked:,} of all {total:,} steps (warmup_steps), more than half: at most "
            f"{half:,} is usual; null takes a twentieth."
        ]
    return []


def check_contrast(queue: int, tiles: int, alpha: float, ramp: int, total: int) -> list[str]:
    """Whether queue and soft targets of the contrastive loss fit the training.

    Args:
        queue: entries of the momentum queue.
        tiles: tiles of the data set, one pair each.
        alpha: largest weight of soft targets.
        ramp: steps over which it rises from 0.
        total: steps of the whole training.

    Returns:
        Sentences to warn with.
    """
    found = []
    if queue > tiles:
        found.append(
            f"The queue holds {queue:,} pairs (objectives.queue), but there are only {tiles:,} tiles: every tile is in "
            f"it more than once, as the model saw it epochs ago. At most {tiles // 2:,} is better, and 0 on small data."
        )
    if alpha and ramp > total:
        found.append(
            f"Soft targets rise over {ramp:,} steps (objectives.alpha_epochs), longer than the training of {total:,}: "
            f"they end at {alpha * total / ramp:.2f} instead of {alpha} (objectives.alpha)."
        )
    return found


def learning_rate(
    step: int,
    total: int,
    warmup: int,
    peak: float,
    floor: float,
    decay: Decay,
    steps_per_epoch: int,
    decay_at: Sequence[float] = (),
) -> float:
    """Linear warm-up from `floor`, then decay to `floor`.

    Args:
        step: 0-based step.
        total: steps of the whole training.
        warmup: steps of warm-up.
        peak, floor: highest and lowest learning rate.
        decay: "cosine" (ALBEF); "paper": peak * 0.9 ** epoch as BLIP and the paper have it, with a fractional epoch;
            "poly": the share of the training that is left, to the power of 0.9 (DeepLab), as segmentation has it;
            "steps": a tenth from each of `decay_at` on, as detection has it.
        steps_per_epoch: used by "paper".
        decay_at: used by "steps": shares of the whole training.
    """
    if step < warmup:
        return floor + (peak - floor) * (step + 1) / warmup
    if decay == "paper":
        return max(floor, peak * 0.9 ** (step / max(1, steps_per_epoch)))
    if decay == "steps":
        return max(floor, peak * 0.1 ** sum(step >= share * total for share in decay_at))
    progress = (step - warmup) / max(1, total - warmup)
    if decay == "poly":
        return floor + (peak - floor) * max(0.0, 1 - progress) ** _POWER
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def cosine(step: int, total: int, start: float, end: float) -> float:
    """Half a cosine from `start` at step 0 to `end` at the end: weight decay and momentum as DINO and MoCo v3 have
    them."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, total))))


def soft_target_share(step: int, ramp: int, alpha: float) -> float:
    """Weight of the momentum model's own similarities in ITC's targets: linear from 0 to `alpha` over `ramp` steps."""
    return alpha * min(1.0, step / ramp) if ramp else alpha
