"""What lets a stopped training go on exactly: a checkpoint that is whole or absent, and a log without broken lines."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import Tensor

from knowlip.base.documents import parse_json
from knowlip.base.files import whole_file

FORMAT = 2
"""Of checkpoints: 1 was the state of one process."""


class Checkpoint(TypedDict, total=False):
    """The state of a training. `revision` and `key` are of tasks that keep them."""

    format: int
    step: int
    seconds: float
    weights: dict[str, Tensor]
    """By name, whole tensors on the CPU, whatever processes trained them."""
    optimizer: dict[str, dict[str, Tensor]]
    precision: dict[str, Any]
    revision: int
    key: str
    identity: list[str]
    """Of the data, and of the model that the training began with."""


LogLine = Mapping[str, Any]
"""`step` and figures by name."""


def write_checkpoint(path: Path, state: Checkpoint) -> None:
    """Save the state of a training, whole or not at all."""
    with whole_file(path) as part:
        torch.save({"format": FORMAT, **state}, part)


def read_checkpoint(path: Path) -> Checkpoint | None:
    """The state that :func:`write_checkpoint` saved, on the CPU (read from disk as it is used); None where there is
    none.

    Raises:
        ValueError: the file is damaged or of another format.
    """
    if not path.is_file():
        return None
    try:
        state: Checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        raise ValueError(f"{path} cannot be read ({error}): delete it to train again.") from error
    if state.get("format") != FORMAT:
        raise ValueError(f"{path} was written by another version of KnowLIP: delete it to train again.")
    # The momentum model's first name.
    state["weights"] = {re.sub(r"^twin\.", "ema.", name): weight for name, weight in state["weights"].items()}
    return state


def read_log(path: Path) -> list[LogLine]:
    """The lines of a training's log; one that was cut by a kill is left out."""
    lines: list[LogLine] = []
    for text in path.read_text().splitlines() if path.is_file() else ():
        try:
            line = parse_json(text, str(path), lenient=True)
        except ValueError:
            continue
        if isinstance(line, dict) and "step" in line:
            lines.append(line)
    return lines
