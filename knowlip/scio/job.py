"""The two passes as jobs in chunks: calibrate on planted noise, then decide about tiles, a chunk at a time."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from knowlip.config import plain
from knowlip.dataset import Dataset
from knowlip.files import sha256
from knowlip.scio.scorer_model import fingerprint, scoring_model
from knowlip.training.corpus import Corpus
from knowlip.training.margin import NoiseModel
from knowlip.training.reconstruction import Acceptance, Rewrite, calibrate_rewrites, reconstruct
from knowlip.training.revise import rewriting_rows, screening_rows
from knowlip.training.scio import ScioConfig
from knowlip.training.scoring import KINDS, Evidence, Scorer
from knowlip.training.screening import Screening, calibrate, scorer_of, screen
from knowlip.training.texts import SLOTS
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
        self._scorer: Scorer | None = None

    def settings(self) -> dict[str, Any]:
        """All that the decisions depend on."""
        values = pd.util.hash_pandas_object(self.corpus.table, index=False).to_numpy().tobytes()
        ours = {name: getattr(self.config, name) for name in ("split", "seed", "chunk")}
        return {
            "action": self.plan.action, "dataset": self.fingerprint, "model": self.model,
            "revision": self.plan.revision, "texts": sha256(values), "scio": plain(self.config.scio), **ours,
        }  # fmt: skip

    def counts(self) -> dict[str, int]:
        """Phases and the number of their items: the calibration, then tiles."""
        tiles = len(self.corpus.texts) if self.plan.action == "screen" else len(self.noisy)
        return {"calibration": 1, self.plan.action: tiles}

    def work(self, phase: str, items: range, before: dict[str, pa.Table]) -> pa.Table:
        """Calibrate, or decide about some tiles."""
        scorer, corpus, scio = self.scorer, self.corpus, self.config.scio
        if phase == "calibration":
            calibration = calibrate(scorer, corpus, scio, np.random.default_rng([self.config.seed, _PLANTS]))
            if self.plan.action == "screen":
                return _kept(calibration.noise.plain())
            return _kept(asdict(calibrate_rewrites(scorer, corpus, calibration, scio)))
        if phase == "screen":
            return _screening_table(screen(scorer, corpus, NoiseModel(**_calibration(before)), items))
        noisy = [
            (row, slot) for row in self.noisy[items.start : items.stop] for slot in sorted(corpus.texts[row].hidden)
        ]
        rewrites = reconstruct(scorer, corpus, noisy, Acceptance(**_calibration(before)), scio)
        return pa.Table.from_pylist([asdict(rewrite) for rewrite in rewrites], _REWRITES)

    def decide(self, tables: dict[str, pa.Table]) -> tuple[pd.DataFrame, Figures]:
        """Rows of the new revision and the figures of the pass."""
        if self.plan.action == "screen":
            noise = NoiseModel(**_calibration(tables))
            return screening_rows(self.corpus, _screening(tables["screen"], noise), noise)
        rewrites = [Rewrite(**row) for row in tables["reconstruct"].to_pylist()]
        return rewriting_rows(self.corpus, rewrites, Acceptance(**_calibration(tables)))

    @property
    def on_gpu(self) -> bool:
        """Whether the model is on a GPU."""
        return bool(self._model.device.type == "cuda")

    @property
    def scorer(self) -> Scorer:
        """Made when it is first needed: its negatives cost a pass over some hundred tiles."""
        if self._scorer is None:
            rng = np.random.default_rng([self.config.seed, _NEGATIVES])
            self._scorer = scorer_of(self._model, self.corpus, self.config.scio, rng)
        return self._scorer


def _kept(values: dict[str, Any]) -> pa.Table:
    """A calibration as a table of one row."""
    return pa.table({"json": [json.dumps(values)]})


def _calibration(tables: dict[str, pa.Table]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(tables["calibration"]["json"][0].as_py())
    return found


def _screening_table(screening: Screening) -> pa.Table:
    """A row for each tile and slot."""
    figures = {kind: getattr(screening.evidence, kind).ravel() for kind in KINDS}
    row = np.repeat(np.array(screening.rows, np.int64), SLOTS)
    return pa.table({"row": row, **figures, "score": screening.score.ravel()})


def _screening(table: pa.Table, noise: NoiseModel) -> Screening:
    """The reverse of :func:`_screening_table`."""
    values = {name: table[name].to_numpy().reshape(-1, SLOTS) for name in table.column_names}
    rows: Sequence[int] = values["row"][:, 0].tolist()
    score = values["score"]
    return Screening(list(rows), Evidence(*(values[kind].copy() for kind in KINDS)), score, score > noise.margin)


def planned(plan: PassPlan, job: ScioJob) -> PassPlan:
    """The plan with the model's fingerprint: who opens it must find the same one."""
    return replace(plan, model=job.model)
