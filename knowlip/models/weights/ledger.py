"""Double entry for weights: every tensor of the file is used or dropped for a stated reason, every tensor of the model
is filled or new for a stated reason. What is left over on either side is an error.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

import torch
from torch import Tensor, nn

from knowlip.models.layout import check_not_zero
from knowlip.models.weights.source import Source


class WeightsReport(TypedDict):
    """A :class:`Report` for JSON and for people: counts, and names with `*` for the number of a layer."""

    source: str
    sha256: str
    layout: str
    notes: list[str]
    loaded: int
    resized: dict[str, str]
    folded: dict[str, str]
    dropped: dict[str, list[str]]
    new: dict[str, list[str]]


@dataclass
class Report:
    """What became of a file's tensors and where the model's came from."""

    source: str
    layout: str
    """Whose file it is."""
    notes: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    """Tensors of the model that were filled; shared ones under their first name."""
    resized: dict[str, str] = field(default_factory=dict)
    """Tensor of the model -> from what to what."""
    folded: dict[str, str] = field(default_factory=dict)
    """Tensor of the model -> what was added to it without changing the output."""
    dropped: dict[str, list[str]] = field(default_factory=dict)
    """Reason -> tensors of the file."""
    new: dict[str, list[str]] = field(default_factory=dict)
    """Reason -> tensors of the model that keep their random values."""
    sha256: str = ""
    """Of the file."""

    def as_dict(self) -> WeightsReport:
        """Short, for JSON and for people."""
        return {
            "source": self.source,
            "sha256": self.sha256,
            "layout": self.layout,
            "notes": self.notes,
            "loaded": len(self.loaded),
            "resized": self.resized,
            "folded": self.folded,
            "dropped": {reason: _short(names) for reason, names in self.dropped.items()},
            "new": {reason: _short(names) for reason, names in self.new.items()},
        }


@dataclass
class Conversion:
    """Tensors under the model's names, ready to be copied into it, and where they came from."""

    state: dict[str, Tensor]
    report: Report

    @torch.no_grad()
    def apply(self, model: nn.Module) -> None:
        """Copy into the model, whatever its device and type."""
        own = model.state_dict(keep_vars=True)
        for name, tensor in self.state.items():
            own[name].copy_(tensor)


class WeightLedger:
    """Fills the tensors of a model from those of a file.

    Args:
        source: the file.
        model: what is to be filled; it is only read.
        scope: beginnings of the names of the model that the file should fill.
        layout: whose file it is.
    """

    def __init__(self, source: Source, model: nn.Module, scope: Sequence[str], layout: str) -> None:
        self.source = source.state
        self.report = Report(source.path, layout, list(source.notes), sha256=source.sha256)
        if source.beside:
            self.report.dropped["beside the weights"] = source.beside
        self.first: dict[str, str] = {}
        """Every name of the model -> the first name of the same tensor."""
        self.wanted: dict[str, Tensor] = {}
        """Tensors to fill, by their first names."""
        seen: dict[int, str] = {}
        for name, tensor in model.state_dict(keep_vars=True).items():
            self.first[name] = seen.setdefault(id(tensor), name)
            if self.first[name] == name and name.startswith(tuple(scope)):
                self.wanted[name] = tensor.detach()
        self.state: dict[str, Tensor] = {}
        self._used: set[str] = set()

    def put(self, ours: str, tensor: Tensor, *theirs: str) -> None:
        """Fill a tensor of the model with one made of tensors of the file."""
        shape = tuple(self.wanted[ours].shape)
        if tuple(tensor.shape) != shape:
            raise ValueError(
                f"{self.report.source}: {theirs[0]} has shape {tuple(tensor.shape)}, the model's {ours} {shape}: "
                "set the model's sizes to those of the file."
            )
        if self.wanted[ours].is_floating_point() and not tensor.is_floating_point():
            raise ValueError(
                f"{self.report.source}: {theirs[0]} holds {str(tensor.dtype).removeprefix('torch.')}, no weights: what "
                "was quantised must be saved as floating-point numbers."
            )
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ValueError(f"{self.report.source}: {theirs[0]} holds numbers that are not finite.")
        self.state[ours] = tensor.detach().to(torch.float32) if tensor.is_floating_point() else tensor.detach()
        self._used.update(theirs)

    def copy(self, ours: str, theirs: str) -> None:
        """Fill a tensor of the model with one of the file."""
        if theirs not in self.source:
            raise ValueError(f"{self.report.source} lacks {theirs}, which the model needs for {ours}.")
        self.put(ours, self.source[theirs], theirs)

    def use(self, *theirs: str) -> None:
        """Say that tensors of the file have gone into others."""
        self._used.update(theirs)

    def drop(self, theirs: Iterable[str], reason: str) -> None:
        """Leave tensors of the file aside."""
        names = [name for name in theirs if name in self.source and name not in self._used]
        if names:
            self.report.dropped.setdefault(reason, []).extend(names)
            self._used.update(names)

    def keep_new(self, ours: Iterable[str], reason: str) -> None:
        """Leave tensors of the model as they are."""
        names = [name for name in ours if name not in self.state]
        if names:
            self.report.new.setdefault(reason, []).extend(names)

    def left(self) -> list[str]:
        """Tensors of the file not accounted for so far."""
        return [name for name in self.source if name not in self._used]

    def close(self) -> Conversion:
        """The result, when both sides are accounted for.

        Raises:
            ValueError: a tensor of the model or of the file is left over (the sentence names the first), or all that
                was found is zero.
        """
        settled = self.state.keys() | {name for names in self.report.new.values() for name in names}
        if missing := [name for name in self.wanted if name not in settled]:
            raise ValueError(f"{self.report.source} has nothing for {len(missing)} tensors, first {missing[0]}.")
        if unknown := self.left():
            raise ValueError(
                f"{self.report.source} has {len(unknown)} tensors that the model has no place for, first {unknown[0]} "
                f"{tuple(self.source[unknown[0]].shape)}: set the model's sizes to those of the file, or take the "
                "file's own kind of model."
            )
        check_not_zero(self.state, self.report.source)
        self.report.loaded = list(self.state)
        return Conversion(self.state, self.report)


def describe(report: WeightsReport) -> str:
    """A report as lines for people."""
    lines = [f"{report['layout']} weights of {report['source']}: {report['loaded']} tensors loaded", *report["notes"]]
    for verb, changed in (("resized", report["resized"]), ("folded", report["folded"])):
        lines += [f"  {verb} {name}: {how}" for name, how in changed.items()]
    for verb, left in (("dropped", report["dropped"]), ("new", report["new"])):
        for reason, names in left.items():
            more = f" and {len(names) - 2} more" if len(names) > 2 else ""
            lines.append(f"  {verb} ({reason}): {', '.join(names[:2])}{more}")
    return "\n".join(lines)


def for_card(reports: Mapping[str, WeightsReport]) -> dict[str, WeightsReport]:
    """Reports as a model's card keeps them: a file by its name, because folders are of one machine."""
    return {part: {**report, "source": Path(report["source"]).name} for part, report in reports.items()}


def _short(names: Iterable[str]) -> list[str]:
    """Names with `*` for numbers between dots, each once."""
    return list(dict.fromkeys(re.sub(r"(?<=\.)\d+(?=\.)", "*", name) for name in names))
