"""What lets a stopped training go on exactly: the rows of a step by number, a checkpoint that is whole or absent."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from knowlip.files import whole_file


def rows_of_step(step: int, batch_size: int, count: int, seed: int) -> np.ndarray:
    """Which of `count` items make the batch of a step: each epoch is a permutation of its own, known from the seed."""
    epoch, place = divmod(step, max(1, count // batch_size))
    order = np.random.default_rng([seed, 1, epoch]).permutation(count)
    return order[place * batch_size : (place + 1) * batch_size]


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Save the state of a training, whole or not at all."""
    with whole_file(path) as part:
        torch.save(state, part)


def read_checkpoint(path: Path, device: torch.device) -> dict[str, Any] | None:
    """The state that :func:`write_checkpoint` saved; None where there is none.

    Raises:
        ValueError: the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:
        raise ValueError(f"{path} cannot be read ({error}): delete it to train again.") from error
    return state
