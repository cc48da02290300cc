"""What a suite compares, read from a YAML file: models x tasks x data x protocols.

about: what it is for
seeds: 3
baseline: dinov2                     # speed is measured beside this model's; none without it
data:
  sar-acd: runs/sar-acd              # a folder, or {path, settings}
models:
  dinov2: timm:NAME@FILE             # an encoder, or {encoder, tasks, settings}
  gpt: {llm: NAME, base_url: URL}    # a language model behind an endpoint
tasks:
  classify: {protocols: [groups, random], recipe: classify-tuned, settings: {epochs: 30}}
  zero-shot: {evaluate: [retrieve, vqa]}
  asked: {ask: true}
skip:
  - {model: pixels, task: classify, data: sar-acd, why: a floor of the task already}
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from knowlip.base.documents import read_yaml
from knowlip.base.parsing import stage_config
from knowlip.tasks.protocols import FOLDS, Protocol

Kind = Literal["train", "evaluate", "ask"]
_PARTS: Final = ("about", "seeds", "baseline", "data", "models", "tasks", "skip")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._()+,-]{0,79}")
"""Names become folders and stand in rows."""
_MOST: Final = 1000
"""Entries of a part."""


@dataclass(frozen=True)
class SuiteData:
    """A data set."""

    path: str
    """Its folder."""
    settings: dict[str, Any] = field(default_factory=dict)
    """More settings of every training on it."""


@dataclass(frozen=True)
class SuiteModel:
    """An encoder, or a language model behind an endpoint."""

    encoder: str = ""
    """As docs/encoders.md names it."""
    llm: str = ""
    """Name of a model as an endpoint knows it."""
    base_url: str = ""
    """Of the endpoint; see `knowlip bench llm`."""
    tasks: tuple[str, ...] = ()
    """Labels of the tasks that it takes part in; none named: all."""
    size: int | None = None
    """Side of the encoder's input in pixels, where it should not be its own."""
    settings: dict[str, Any] = field(default_factory=dict)
    """More settings of every training with it; of an llm, of every asking."""

    def __post_init__(self) -> None:
        if bool(self.encoder) == bool(self.llm):
            raise ValueError("A model is an encoder or an llm: give one of them.")
        if self.size is not None and (self.llm or self.size < 1):
            raise ValueError(f"size is the side of an encoder's input, at least 1 pixel, not {self.size}.")


@dataclass(frozen=True)
class SuiteTask:
    """What is measured, and how."""

    task: str = ""
    """Of `knowlip bench run`; by default the entry's own label."""
    evaluate: tuple[str, ...] = ()
    """Tasks of `knowlip evaluate`: nothing learns."""
    ask: bool = False
    """The questions of `knowlip bench llm`."""
    protocols: tuple[Protocol, ...] = ("own",)
    folds: int = FOLDS
    recipe: str = ""
    seeds: int | None = None
    """Trainings; by default as many as the suite's."""
    data: tuple[str, ...] = ()
    """Names of the data sets that it is measured on; none named: all."""
    label: str | None = None
    """What rows say of it behind their split, e.g. "10 shots". By default its name in the recipe, where two entries
    measure the same."""
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if bool(self.task) + bool(self.evaluate) + self.ask > 1:
            raise ValueError("An entry has one of task, evaluate and ask.")
        if not self.protocols or len({*self.protocols}) < len(self.protocols):
            raise ValueError("protocols must be one or more different ones.")

    @property
    def kind(self) -> Kind:
        return "ask" if self.ask else "evaluate" if self.evaluate else "train"


@dataclass(frozen=True)
class SuiteSkip:
    """Cells that are left out on purpose. What is not named is meant as a whole."""

    why: str
    model: str = ""
    task: str = ""
    data: str = ""


@dataclass(frozen=True)
class SuiteRecipe:
    """All of it."""

    data: Mapping[str, SuiteData]
    models: Mapping[str, SuiteModel]
    tasks: Mapping[str, SuiteTask]
    about: str = ""
    seeds: int = 1
    baseline: str = ""
    skip: tuple[SuiteSkip, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.seeds, int) or isinstance(self.seeds, bool) or self.seeds < 1:
            raise ValueError(f"seeds must be a whole number of at least 1, not {self.seeds!r}.")
        if self.baseline and not (self.baseline in self.models and self.models[self.baseline].encoder):
            raise ValueError(f"The baseline {self.baseline!r} is none of the models with an encoder.")
        named = (
            *((name, self.tasks, "task") for model in self.models.values() for name in model.tasks),
            *((name, self.data, "data set") for task in self.tasks.values() for name in task.data),
            *((one.model, self.models, "model") for one in self.skip if one.model),
            *((one.task, self.tasks, "task") for one in self.skip if one.task),
            *((one.data, self.data, "data set") for one in self.skip if one.data),
        )
        for name, known, what in named:
            if name not in known:
                raise ValueError(f"There is no {what} {name!r} in the suite: it has {', '.join(known)}.")

    def left_out(self, task: str, data: str, model: str) -> str:
        """Why a cell is left out by the recipe; "" where it is not."""
        for one in self.skip:
            if one.model in ("", model) and one.task in ("", task) and one.data in ("", data):
                return one.why
        return ""


def read_suite(path: Path) -> SuiteRecipe:
    """Read the recipe of a suite.

    Raises:
        ValueError: there is none, or something in it is unknown or does not fit; the sentence says where.
    """
    found = read_yaml(path, f"There is no recipe {path}: give a YAML file, see docs/bench.md.")
    if not isinstance(found, dict) or not {"data", "models", "tasks"} <= found.keys():
        raise ValueError(f"{path} must hold data, models and tasks, see docs/bench.md.")
    if strangers := sorted(str(key) for key in found.keys() - {*_PARTS}):
        raise ValueError(f"{path} holds {strangers[0]!r}; a suite has {', '.join(_PARTS)}.")
    try:
        return SuiteRecipe(
            _entries(found["data"], "data", SuiteData, "path"),
            _entries(found["models"], "models", SuiteModel, "encoder"),
            _entries(found["tasks"], "tasks", SuiteTask, "task"),
            str(found.get("about", "")),
            found.get("seeds", 1),
            str(found.get("baseline") or ""),
            tuple(
                _entry(one, f"skip {number}", SuiteSkip, "why") for number, one in enumerate(found.get("skip") or ())
            ),
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _entries(found: Any, part: str, kind: Any, short: str) -> dict[str, Any]:
    """Entries by name; one that is a word alone is its setting `short`."""
    if not isinstance(found, dict) or not 0 < len(found) <= _MOST:
        raise ValueError(f"{part} must hold one to {_MOST:,} entries by name.")
    names = [str(name) for name in found]
    for name in names:
        if not _NAME.fullmatch(name) or name.endswith((".", " ")):
            raise ValueError(f"{part} has a name {name[:90]!r}: letters, digits, blanks and ._()+,- make one.")
    if len({name.casefold() for name in names}) < len(names):
        raise ValueError(f"Two names in {part} differ in capitals alone: they would be one folder.")
    return {str(name): _entry(value, f"{part} {name}", kind, short) for name, value in found.items()}


def _entry(value: Any, where: str, kind: Any, short: str) -> Any:
    value = {} if value is None else {short: value} if isinstance(value, str) else value
    if not isinstance(value, dict):
        raise ValueError(f"{where} must hold settings, not {value!r}.")
    try:
        return stage_config(kind, value)
    except ValueError as error:
        raise ValueError(f"{where}: {str(error).removeprefix(f'{kind.__name__}: ')}") from None
