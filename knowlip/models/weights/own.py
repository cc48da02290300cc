"""A model of KnowLIP's own as the start of another training."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from knowlip.base.files import file_sha256
from knowlip.models.checkpoint import load_model
from knowlip.models.default import SHIPPED, shipped_model
from knowlip.models.hub import WEIGHTS, find_model
from knowlip.models.knowlip import KnowLIP
from knowlip.models.weights.ledger import Conversion, Report

_FEWER: Final = "readout_questions"


def find_start(name: str) -> Path:
    """The folder of a model to start from: "shipped" for the one that comes with KnowLIP, a folder, or USER/REPO.

    Raises:
        ValueError: there is no such model.
    """
    return shipped_model() if name == SHIPPED else find_model(name)


def open_start(name: str) -> KnowLIP:
    """The model of :func:`find_start`, on the CPU."""
    return load_model(find_start(name))


def convert_own(start: KnowLIP, name: str, model: KnowLIP) -> Conversion:
    """All weights of a model of KnowLIP for another of the same sizes and the same tokenizer; its readout may answer
    fewer closed questions.

    Raises:
        ValueError: sizes or tokenizer differ.
    """
    if start.tokenizer.to_json() != model.tokenizer.to_json():
        raise ValueError(f"init.model {name} has another vocabulary: leave out `vocabulary`, its own is taken.")
    theirs, ours = (_without(_flat(asdict(one.config))) for one in (start, model))
    fewer = _FEWER in theirs and 0 < theirs[_FEWER] < ours.get(_FEWER, 0)
    if fewer:
        theirs[_FEWER] = ours[_FEWER]
    different = sorted(key for key in theirs.keys() | ours.keys() if theirs.get(key) != ours.get(key))
    if different:
        key = different[0]
        raise ValueError(
            f"init.model {name} is a model of other sizes: its model.{key} is {theirs.get(key)}, not {ours.get(key)}"
            + (f", and {len(different) - 1} more differ" if len(different) > 1 else "")
            + "; set model.* to what its knowlip.json says."
        )
    state = {
        key: tensor.detach().float() if tensor.is_floating_point() else tensor.detach()
        for key, tensor in start.state_dict().items()
    }
    report = Report(name, "KnowLIP", loaded=list(state), sha256=file_sha256(find_start(name) / WEIGHTS))
    if fewer:
        _add_questions(state, start, model, report)
    return Conversion(state, report)


def _add_questions(state: dict[str, Tensor], start: KnowLIP, model: KnowLIP, report: Report) -> None:
    """Make tensors of a readout larger: what is new in them is the model's own, and changes no embedding yet."""
    assert start.readout is not None
    assert model.readout is not None
    ours = model.state_dict()
    answers = start.readout.real_QK.numel()
    for key in (name for name in state if state[name].shape != ours[name].shape):
        grown, known = ours[key].detach().clone(), state[key]
        if key == "readout_proj.weight":  # columns: answers of closed questions, then regions
            grown.zero_()
            grown[:, :answers] = known[:, :answers]
            grown[:, grown.shape[1] - (known.shape[1] - answers) :] = known[:, answers:]
        else:
            grown[: len(known)] = known
        state[key] = grown
        report.resized[key] = f"{tuple(known.shape)} to {tuple(grown.shape)}"
    more = [f'"{name}"' for name in model.readout.names[len(start.readout.names) :]]
    report.notes.append(f"closed questions that its readout did not answer, and that are new: {', '.join(more)}")


def _without(sizes: dict[str, Any]) -> dict[str, Any]:
    """Without what changes no tensor: dropout, and the temperature before training."""
    return {key: value for key, value in sizes.items() if key not in ("text.dropout", "temperature")}


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings under dotted names."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found
