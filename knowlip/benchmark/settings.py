"""Settings of what measures, without what is measured: help and recipes load no PyTorch."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from knowlip.jobs.work import PlaceName, check_place
from knowlip.tasks.protocols import FOLDS, Protocol, check_protocol
from knowlip.tasks.settings import MeasureLimits


@dataclass(frozen=True)
class BenchRunConfig:
    """What is trained and measured on what."""

    task: str
    """Name of the task: classify, detect, segment, retrieve, caption, vqa."""
    data: Path
    """Folder of the data set; a public set on disk becomes one by `knowlip dataset import`."""
    encoder: str
    """Name of the encoder, see docs/encoders.md."""
    out: Path
    """Folder for runs, rows.json and bench.html; the same command goes on in it."""
    recipe: str = ""
    """Recipe, or a YAML file with a section of the task's name; by default the task's own settings."""
    settings: tuple[str, ...] = ()
    """More settings of the task as NAME=VALUE; they overrule the recipe."""
    protocol: Protocol = "own"
    """own: the set's split; random: parts at random, copies stand on both sides; groups: copies on one side."""
    folds: int = FOLDS
    """Parts of the protocols random and groups; each is measured by a model that learned from the others."""
    seeds: int = 1
    """How often all of it is trained, with seeds 0, 1, ...; more may be asked for later."""
    name: str = ""
    """Of the data set in rows; by default its folder's."""
    label: str = ""
    """Of the encoder in rows; by default its own without the path."""
    cache: Path | None = None
    """Folder for what is made of the data once (pixels, groups of copies, floors), OUT/cache where not given; runs on
    one set may share it."""

    def __post_init__(self) -> None:
        check_protocol(self.protocol, 0, self.folds, "test")
        if self.seeds < 1:
            raise ValueError(f"seeds must be at least 1, not {self.seeds}.")


@dataclass(frozen=True)
class EvaluateConfig:
    """Settings of :func:`evaluate`."""

    dataset: Path
    """Folder of the annotated data set."""
    model: str
    """Model folder, USER/REPO of the Hugging Face hub, or another encoder by name (docs/encoders.md)."""
    out: Path
    """JSON file of results to write; `examples.json` goes beside it."""
    tasks: tuple[str, ...] = ("looking", "retrieve", "caption", "vqa", "screening")
    """What is measured: names of modules in `knowlip/tasks`."""
    vqa_model: str | None = None
    """A model fine-tuned on questions; by default `model` answers them."""
    split: str = "test"
    """Which tiles are measured. None of their places may have been trained on."""
    name: str = ""
    """Of the data set in rows; by default its folder's."""
    k_test: int = 16
    """How many candidates image-text matching re-ranks; 0: none."""
    vqa_mode: str = "rank"
    """"rank" chooses among the answers seen in training, "generate" writes freely."""
    limits: MeasureLimits = field(default_factory=MeasureLimits)
    seed: int = 0
    """Of wordings, regions asked about, and every random choice."""

    def __post_init__(self) -> None:
        # What is measured last would be refused after all else was measured.
        if self.k_test < 0:
            raise ValueError(f"k_test must be at least 0 (nothing is re-ranked), not {self.k_test}.")
        if self.vqa_mode not in ("rank", "generate"):
            raise ValueError(f"vqa_mode is rank or generate, not {self.vqa_mode!r}.")
        if not self.tasks or len({*self.tasks}) < len(self.tasks):
            raise ValueError("tasks must name at least one task, and none twice.")


@dataclass(frozen=True)
class DatasetAuditConfig:
    """What to audit, and where to draw it."""

    POSITIONAL: ClassVar = ("dataset",)

    dataset: Path
    """Folder of the data set; a public set on disk becomes one by `knowlip dataset import`."""
    out: Path | None = None
    """Folder for dataset-audit.json (rows and facts) and dataset-audit.html (with the worst pairs); an older one is
    replaced."""
    seed: int = 0
    """Of the random splits."""


@dataclass
class ReportConfig:
    """Settings of :func:`report`."""

    dataset: Path
    """Folder of the data set."""
    out: Path
    """HTML file to write."""
    run: Path | None = None
    """Folder of the pre-training run, with log.jsonl and config.yaml."""
    metrics: Path | None = None
    """JSON written by `evaluate`."""
    examples: Path | None = None
    """Its examples; by default `examples.json` beside `metrics`."""
    title: str = "KnowLIP report"
    """Headline."""
    samples: int = 8
    """Sample tiles shown with all their sub-texts."""
    seed: int = 0
    """Of the choice of sample tiles."""


@dataclass(frozen=True)
class SuiteConfig:
    """What is compared, and where."""

    POSITIONAL: ClassVar = ("recipe",)

    recipe: Path
    """YAML file with data, models and tasks, see docs/bench.md."""
    out: Path
    """Folder for everything; the same command goes on in it, and new entries of the recipe come to those there."""
    dry: bool = False
    """Print the plan with its counts; nothing is trained or written."""
    where: PlaceName = "here"
    """here: one cell after the other in this process; processes: several on this machine; ray: on a cluster."""
    workers: int = 2
    """Cells at a time, with processes."""
    address: str = "auto"
    """Of the Ray cluster: auto, or HOST:PORT."""
    gpu: bool = False
    """With ray: a cell takes a GPU and no core."""

    def __post_init__(self) -> None:
        check_place(self.where, self.workers)


@dataclass(frozen=True)
class LeaderboardConfig:
    """What is read, and where the tables go."""

    POSITIONAL: ClassVar = ("rows",)

    rows: list[Path]
    """Files of results (of evaluate, bench run, bench suite, bench llm, dataset audit, ablation; those in
    benchmarks/results), or folders of bench run, suite and llm."""
    out: Path
    """Folder for leaderboard.html, .md, .csv and .tex."""
