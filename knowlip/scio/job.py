"""A pass over a data set, opened in one process: its model, texts and pixels."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from knowlip.base.settings import plain
from knowlip.dataset import Dataset
from knowlip.models.device import device_of
from knowlip.scio.config import PassConfig
from knowlip.scio.crossfit import CrossFitted, shared_out, trained_blocks
from knowlip.scio.passes import Pass
from knowlip.scio.scorer_model import fingerprint, scoring_model
from knowlip.training.corpus import Corpus
from knowlip.training.tiles import open_pixels

Action = Literal["screen", "reconstruct"]
_NEGATIVES, _INJECTED = 4, 5
"""Sources of chance: the frozen negatives, and the injected noise."""


@dataclass(frozen=True)
class PassPlan:
    """A pass on the texts of one revision."""

    action: Action
    config: PassConfig
    revision: int
    model: str = ""
    """Fingerprint of the model; where it is given, another one is refused."""

    def open(self, number: int = 0) -> "ScioJob | CrossFittedJob":
        """Read models, texts and pixels.

        Args:
            number: of this process on its machine: several take a GPU each.

        Raises:
            ValueError: no texts or model there, or another model than the one that was planned with.
        """
        plan = replace(self, config=replace(self.config, device=device_of(self.config.device, number)))
        return CrossFittedJob(plan) if plan.config.models else ScioJob(plan)


class ScioJob(Pass):
    """A pass in one process; what it does, and in which order, stands in :class:`knowlip.scio.passes.Pass`.

    Args:
        plan: of the pass.
        only: the tiles to judge; all of the split where not given.
    """

    def __init__(self, plan: PassPlan, only: Collection[str] | None = None) -> None:
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
        if only is not None:
            tile_ids = [tile_id for tile_id in tile_ids if tile_id in only]
        if len(tile_ids) < 2:
            raise ValueError(f"{config.dataset} has {len(tile_ids)} annotated tiles to judge (split {config.split}).")
        cache = config.dataset / ".scio" / "cache"
        size = model.config.vision.image_size
        pixels = open_pixels(dataset, tile_ids, size, cache, "stream", config.workers)
        corpus = Corpus(dataset, model.tokenizer, tile_ids, pixels, model.config.text)
        corpus.read_texts(dataset, plan.revision)
        self.fingerprint, self.on_gpu = dataset.fingerprint, model.device.type == "cuda"
        negatives, injected = (np.random.default_rng([config.seed, source]) for source in (_NEGATIVES, _INJECTED))
        super().__init__(plan.action, model, corpus, config.scio, negatives, injected)

    def settings(self) -> dict[str, Any]:
        """All that the decisions depend on."""
        return {
            "action": self.plan.action,
            "dataset": self.fingerprint,
            "model": self.model,
            "revision": self.plan.revision,
            "texts": self.corpus.texts_hash(),
            "scio": plain(self.config.scio),
            **{name: getattr(self.config, name) for name in ("split", "seed", "chunk")},
        }


class CrossFittedJob(CrossFitted):
    """A pass by several models in one process."""

    def __init__(self, plan: PassPlan) -> None:
        config = plan.config
        paths = [config.checkpoint, *config.models]
        self.plan, self.config = plan, config
        dataset = Dataset(config.dataset)
        tiles = dataset.tiles(split=None if config.split == "all" else config.split)
        told = tiles[tiles["tile_id"].isin(set(dataset.texts(plan.revision)["tile_id"]))]
        blocks = dict(zip(told["tile_id"], told["block"].astype(str)))
        shares = shared_out(blocks, [trained_blocks(path) for path in paths], [str(path) for path in paths])
        jobs = [
            ScioJob(replace(plan, model="", config=replace(config, checkpoint=path, models=[])), {*mine})
            for path, mine in zip(paths, shares)
        ]
        self.model = "+".join(job.model for job in jobs)
        if plan.model not in ("", self.model):
            raise ValueError("There are other models here than where the pass was begun.")
        self.fingerprint, self.on_gpu = dataset.fingerprint, jobs[0].on_gpu
        self.jobs = jobs
        super().__init__(jobs)

    def settings(self) -> dict[str, Any]:
        """All that the decisions depend on."""
        texts = "+".join(job.corpus.texts_hash() for job in self.jobs)
        return self.jobs[0].settings() | {"model": self.model, "texts": texts}


AnyJob = ScioJob | CrossFittedJob


def planned(plan: PassPlan, job: AnyJob) -> PassPlan:
    """The plan with the model's fingerprint: who opens it must find the same one."""
    return replace(plan, model=job.model)
