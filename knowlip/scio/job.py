"""The two passes as jobs in chunks: calibrate on planted noise, then decide about tiles, a chunk at a time."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from knowlip.base.files import sha256
from knowlip.base.settings import plain
from knowlip.dataset import Dataset
from knowlip.language.dimensions import SLOTS
from knowlip.scio.evidence import KINDS, Evidence, Scorer
from knowlip.scio.passes import ScioConfig
from knowlip.scio.reconstruction import (
    Acceptance,
    Rewrite,
    Trial,
    learn_rewrites,
    reconstruct,
    trials_of,
    try_rewrites,
)
from knowlip.scio.revise import rewriting_rows, screening_rows
from knowlip.scio.scorer_model import fingerprint, scoring_model
from knowlip.scio.screening import (
    Calibration,
    Sample,
    Screening,
    clean_evidence,
    draw_sample,
    learn,
    planted_evidence,
    scorer_of,
    screen,
)
from knowlip.scio.thresholds import USED, NoiseModel
from knowlip.training.corpus import Corpus
from knowlip.training.tiles import open_pixels

Action = Literal["screen", "reconstruct"]
Figures = dict[str, Any]
_NEGATIVES, _PLANTS = 4, 5
"""Sources of chance: the frozen negatives, and the planted noise."""
_ARROW: Final[dict[Any, pa.DataType]] = {int: pa.int64(), float: pa.float64(), str: pa.string()}
_REWRITES: Final = pa.schema([(entry.name, _ARROW[entry.type]) for entry in fields(Rewrite)])


@dataclass(frozen=True)
class PassConfig:
    """Whose texts to judge, by which model, and who does it."""

    POSITIONAL: ClassVar = ("dataset",)

    dataset: Path
    """Folder of an annotated data set."""
    checkpoint: Path
    """A model folder (used as it is), or a run of `knowlip pretrain` (its momentum model)."""
    revision: int | None = None
    """Texts to decide on; the newest where not given."""
    split: Literal["all", "train", "val", "test"] = "all"
    """Whose texts are judged; negatives and planted noise are drawn from the same tiles."""
    scio: ScioConfig = field(default_factory=ScioConfig)
    """As in a training. What only matters there (`iterations`, `noise`) is not read."""
    seed: int = 0
    """Of frozen negatives and planted noise."""
    chunk: int = 256
    """Tiles a chunk: what a kill may cost."""
    device: str = "auto"
    """cpu, cuda, or auto; with several processes each takes a GPU of its own."""
    processes: int = 1
    """Processes on this machine; torchrun's --nproc-per-node replaces it."""
    ray: str = ""
    """Ray cluster that does the chunks: "auto", or host:port. The data set and the checkpoint must be visible to all of
    its machines."""
    workers: int = 2
    """Threads that read tiles."""


@dataclass(frozen=True)
class PassPlan:
    """A pass on the texts of one revision."""

    action: Action
    config: PassConfig
    revision: int
    model: str = ""
    """Fingerprint of the model; where it is given, another one is refused."""

    def open(self) -> "ScioJob":
        """Read model, texts and pixels.

        Raises:
            ValueError: no texts or model there, or another model than the one that was planned with.
        """
        return ScioJob(self)


class ScioJob:
    """A pass in one process."""

    def __init__(self, plan: PassPlan) -> None:
        config = plan.config
        self.plan, self.config = plan, config
        model = scoring_model(config.checkpoint, config.device)
        self.model = fingerprint(model)
        if plan.model not in ("", self.model):
            raise ValueError(f"{config.checkpoint} holds another model here than where the pass was begun.")
        dataset = Dataset(config.dataset)
        texts = dataset.texts(plan.revision)
        split = None if config.split == "all" else config.split
        tile_ids = sorted(set(dataset.tiles(split=split)["tile_id"]) & set(texts["tile_id"]))
        if len(tile_ids) < 2:
            raise ValueError(f"{config.dataset} has {len(tile_ids)} annotated tiles to judge (split {config.split}).")
        cache = config.dataset / ".scio" / "cache"
        size = model.config.vision.image_size
        pixels = open_pixels(dataset, tile_ids, size, cache, "stream", config.workers)
        self.corpus = Corpus(dataset, model.tokenizer, tile_ids, pixels)
        self.corpus.read_texts(dataset, plan.revision)
        self.fingerprint = dataset.fingerprint
        self.noisy = [row for row, text in enumerate(self.corpus.texts) if text.hidden]
        """Tile rows with something to write anew."""
        self._model = model

    def settings(self) -> dict[str, Any]:
        """All that the decisions depend on."""
        values = pd.util.hash_pandas_object(self.corpus.table, index=False).to_numpy().tobytes()
        ours = {name: getattr(self.config, name) for name in ("split", "seed", "chunk")}
        return {
            "action": self.plan.action, "dataset": self.fingerprint, "model": self.model,
            "revision": self.plan.revision, "texts": sha256(values), "scio": plain(self.config.scio), **ours,
        }  # fmt: skip

    @property
    def phases(self) -> tuple[str, ...]:
        """Score a sample with and without planted noise and learn from it; try rewrites on it and learn from these;
        then the tiles themselves."""
        if self.plan.action == "screen":
            return "sample", "planted", "noise-model", "screen"
        return "sample", "planted", "noise-model", "trials", "acceptance", "reconstruct"

    def count(self, phase: str, before: dict[str, pa.Table]) -> int:
        """Tiles, plants, trials; what learns is one item."""
        if phase == "trials":
            return len(self._trials(before))
        sizes = {
            "sample": len(self.sample.rows), "planted": len(self.sample.plants), "screen": len(self.corpus.texts),
            "reconstruct": len(self.noisy),
        }  # fmt: skip
        return sizes.get(phase, 1)

    def work(self, phase: str, items: range, before: dict[str, pa.Table]) -> pa.Table:
        """Do some tiles, plants or trials, or learn from those."""
        corpus, scio, part = self.corpus, self.config.scio, slice(items.start, items.stop)
        if phase == "sample":
            return _evidence_table(clean_evidence(self.scorer, corpus, scio, self.sample.rows[part]))
        if phase == "planted":
            return _evidence_table(planted_evidence(self.scorer, corpus, self.sample.plants[part], USED[scio.evidence]))
        if phase == "noise-model":
            learned = learn(corpus, scio, self.sample, _evidence(before["sample"]), _evidence(before["planted"]))
            caught = [self.sample.plants.index(plant) for plant in learned.caught]
            return _kept({"noise": learned.noise.plain(), "caught": caught, "alarms": learned.alarms})
        if phase == "screen":
            screening = screen(self.scorer, corpus, self._calibration(before).noise, items)
            row = pa.array(np.repeat(np.array(screening.rows, np.int64), SLOTS))
            return _evidence_table(screening.evidence).append_column("row", row).append_column(
                "score", pa.array(screening.score.ravel())
            )  # fmt: skip
        if phase == "trials":
            return _rewrite_table(try_rewrites(self.scorer, corpus, self._trials(before)[part], scio))
        if phase == "acceptance":
            trials, tried = self._trials(before), _rewrites(before["trials"])
            return _kept(asdict(learn_rewrites(corpus, trials, tried, self._calibration(before).own, scio)))
        noisy = [(row, slot) for row in self.noisy[part] for slot in sorted(corpus.texts[row].hidden)]
        return _rewrite_table(reconstruct(self.scorer, corpus, noisy, Acceptance(**_value(before["acceptance"])), scio))

    def decide(self, tables: dict[str, pa.Table]) -> tuple[pd.DataFrame, Figures]:
        """Rows of the new revision and the figures of the pass."""
        if self.plan.action == "screen":
            table, noise = tables["screen"], self._calibration(tables).noise
            score = table["score"].to_numpy().reshape(-1, SLOTS)
            rows = table["row"].to_numpy()[::SLOTS].tolist()
            screening = Screening(rows, _evidence(table), score, score > noise.margin)
            return screening_rows(self.corpus, screening, noise)
        acceptance = Acceptance(**_value(tables["acceptance"]))
        return rewriting_rows(self.corpus, _rewrites(tables["reconstruct"]), acceptance)

    @cached_property
    def sample(self) -> Sample:
        """The same in every process."""
        return draw_sample(self.corpus, self.config.scio, np.random.default_rng([self.config.seed, _PLANTS]))

    def _calibration(self, tables: dict[str, pa.Table]) -> Calibration:
        value = _value(tables["noise-model"])
        caught = [self.sample.plants[number] for number in value["caught"]]
        return Calibration(NoiseModel(**value["noise"]), caught, [(row, slot) for row, slot in value["alarms"]])

    def _trials(self, tables: dict[str, pa.Table]) -> list[Trial]:
        return trials_of(self.corpus, self._calibration(tables))

    @property
    def on_gpu(self) -> bool:
        """Whether the model is on a GPU."""
        return bool(self._model.device.type == "cuda")

    @cached_property
    def scorer(self) -> Scorer:
        """Made when it is first needed: its negatives cost a pass over some hundred tiles."""
        return scorer_of(
            self._model, self.corpus, self.config.scio, np.random.default_rng([self.config.seed, _NEGATIVES])
        )


def _kept(value: dict[str, Any]) -> pa.Table:
    """What was learned as a table of one row."""
    return pa.table({"json": [json.dumps(value)]})


def _value(table: pa.Table) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(table["json"][0].as_py())
    return found


def _evidence_table(found: Evidence) -> pa.Table:
    """A row for each text and slot."""
    return pa.table({kind: getattr(found, kind).ravel() for kind in KINDS})


def _evidence(table: pa.Table) -> Evidence:
    """The reverse of :func:`_evidence_table`."""
    if not table.num_columns:
        return Evidence.empty(0)
    return Evidence(*(table[kind].to_numpy().reshape(-1, SLOTS).copy() for kind in KINDS))


def _rewrite_table(rewrites: Sequence[Rewrite]) -> pa.Table:
    return pa.Table.from_pylist([asdict(rewrite) for rewrite in rewrites], _REWRITES)


def _rewrites(table: pa.Table) -> list[Rewrite]:
    return [Rewrite(**row) for row in table.to_pylist()]


def planned(plan: PassPlan, job: ScioJob) -> PassPlan:
    """The plan with the model's fingerprint: who opens it must find the same one."""
    return replace(plan, model=job.model)
