"""Fine-tuning on captions or questions with the losses of pre-training: what retrieval, captioning and question
answering share on the one loop (arXiv 2509.23927, Table 5).

What is said of a tile turns with its pixels. A text that is true of another image too (the same labels, the same
answer) is no wrong text of it: contrast and matching know all texts that are true of each image.
"""

from abc import abstractmethod
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from knowlip.base.files import sha256
from knowlip.base.progress import say
from knowlip.base.provenance import provenance
from knowlip.base.rows import Json, Results, Row
from knowlip.dataset import Dataset
from knowlip.dataset.reader import widths_m
from knowlip.language.directions import Turn
from knowlip.language.questions import Posed
from knowlip.models import KnowLIP, save_model
from knowlip.models.encoders import UnsuitedEncoder, encoder_sha256, open_encoder
from knowlip.models.encoders.knowlip import KnowLIPEncoder
from knowlip.tasks.items import Items, read_items
from knowlip.tasks.items.make import MakeConfig, items_of
from knowlip.tasks.protocols import divide
from knowlip.tasks.runs import FREE_MEASURED, METRICS, MeasuredConfig, write_division
from knowlip.tasks.unseen import also_seen, check_unseen
from knowlip.training.augment import AugmentConfig, GreyScale, augment
from knowlip.training.batch import AskedQuestions, Batch, padded
from knowlip.training.engine import Engine
from knowlip.training.losses import JointLoss, ObjectiveConfig
from knowlip.training.order import Order, dealt
from knowlip.training.state import whole_model
from knowlip.training.task import Task, prefetched
from knowlip.training.texts import text_hash
from knowlip.training.tiles import load_pixels


@dataclass(kw_only=True)
class LanguageConfig(MeasuredConfig):
    """Settings of a fine-tuning on what is said or asked of tiles."""

    items: Path | None = None
    """File of captions and questions (`knowlip questions make`); where not given they are made of the data set's labels
    with that command's own settings."""
    epochs: int = 12
    """Passes over the training tiles."""
    steps: int | None = None
    """The same in steps, instead of epochs; 0 measures the model as it is."""
    batch_size: int = 32
    learning_rate: float = 1e-5
    min_learning_rate: float = 1e-7
    max_tokens: int | None = None
    """Texts are cut behind so many tokens, frame included; the model's own limit where not given. What is cut is
    counted and said."""
    itc: float = 1.0
    """Weight of the contrastive loss."""
    itm: float = 1.0
    """Weight of the matching loss."""
    infill: float = 1.0
    """Weight of the loss of writing: the caption, or the answer."""
    queue: int = 0
    """Entries of the queue of contrast; 0 compares within the batch."""
    alpha: float = 0.0
    """Weight of soft targets in the contrastive loss."""
    label_smoothing: float = 0.1
    """Share of each token's target that is spread over the vocabulary."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    workers: int = 2
    """Threads that prepare batches."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epochs < 1 or self.batch_size < 2 or (self.steps is not None and self.steps < 0):
            raise ValueError("epochs must be at least 1, batch_size at least 2 and steps at least 0.")
        if min(self.itc, self.itm, self.infill) < 0 or not self.itc + self.itm + self.infill:
            raise ValueError("itc, itm and infill must not be negative, and one of them must be above 0.")
        if self.max_tokens is not None and self.max_tokens < 8:
            raise ValueError(f"max_tokens must be at least 8, not {self.max_tokens}.")
        if self.queue < 0 or not 0 <= self.alpha <= 1 or not 0 <= self.label_smoothing < 1:
            raise ValueError("queue must not be negative; alpha and label_smoothing are shares.")

    @property
    def objectives(self) -> ObjectiveConfig:
        """The same as pre-training has them."""
        return ObjectiveConfig(
            itc=self.itc,
            itm=self.itm,
            infill=self.infill,
            queue=self.queue,
            alpha=self.alpha,
            label_smoothing=self.label_smoothing,
        )


@dataclass(frozen=True)
class Drawn:
    """What is said of a tile when it is met."""

    turn: Turn
    text: str
    """What contrast and matching read."""
    true: tuple[str, ...]
    """All texts that are true of the turned tile."""
    posed: tuple[Posed, ...] = ()
    """Questions and their answers; where there are none the text itself is written."""


class Pairing(Task[Batch]):
    """Training tiles with what is said or asked of them, and the losses of pre-training on it."""

    losses = ("loss", "itc", "itm", "infill")
    free: ClassVar[tuple[str, ...]] = ("workers", *FREE_MEASURED)
    pairs: ClassVar = "images"
    config: LanguageConfig
    name: ClassVar[str]
    """Of the task, in rows."""

    def __init__(self, config: LanguageConfig, engine: Engine) -> None:
        # What is wrong with items, division or model is said before pixels are decoded.
        encoder = open_encoder(config.encoder, engine.device, config.size)
        if not isinstance(encoder, KnowLIPEncoder):
            raise UnsuitedEncoder(f"{config.encoder} reads and writes no texts: give a model of ours (knowlip:FOLDER).")
        self.config, self.engine = config, engine
        self.dataset, self.cache = Dataset(config.dataset), config.cache or config.out / "cache"
        index, self.labels_sha256 = self.dataset.tiles(), self.dataset.labels_sha256
        # Between the parts of other protocols than the set's own no copies stand, or are wanted.
        made = MakeConfig(config.dataset, config.out, copies="apart" if config.protocol == "own" else "anywhere")
        every = read_items(config.items, self.dataset) if config.items else items_of(self.dataset, made, self.cache)
        self.items = self.usable(every, encoder.model)
        there = self.about(self.items)
        own = index["split"].isin(("train", config.split)) if config.protocol == "own" else index["split"] != ""
        tile_ids = [tile_id for tile_id in index["tile_id"][own].astype(str) if tile_id in there]
        what = (config.protocol, config.fold, config.folds, config.split_seed)
        if not tile_ids:
            raise ValueError(f"Nothing for the task {self.name} is said or asked about a tile of {config.dataset}.")
        self.division = divide(self.dataset, tile_ids, None, *what, split=config.split, cache=self.cache)
        self.copies = 0
        """Training tiles that show the same as a measured one, and are left out: items of others may have such."""
        if config.protocol == "own":
            measured = {*self.division.clusters(self.division.test)}
            apart = tuple(one for one in self.division.train if self.division.group_of[one] not in measured)
            self.copies = len(self.division.train) - len(apart)
            self.division = replace(self.division, train=apart)
        if len(self.division.train) < config.batch_size or not self.division.test:
            raise ValueError(
                f"There are captions or questions for {len(self.division.train)} training tiles and "
                f"{len(self.division.test)} tiles to measure: {config.batch_size} (a batch) and 1 are needed."
            )
        self.encoder, self.encoder_sha256 = encoder, encoder_sha256(encoder)
        aside = index[index["tile_id"].isin({*self.division.test})]
        self.unseen = check_unseen(encoder.card, self.dataset.fingerprint, index, aside, config.encoder)
        self.model: KnowLIP = encoder.model
        if self.model.config.text.decoder_reads == "image" and config.infill:
            raise UnsuitedEncoder(f"{config.encoder} writes from the image alone: set infill to 0.")
        self.longest = min(self.model.config.text.max_length, config.max_tokens or self.model.config.text.max_length)
        learn = list(self.division.train)
        self.prepare(self.items.of({*learn}), learn)
        rows = index.set_index("tile_id").loc[learn]
        self.scale, self.width_m_N = GreyScale.of(rows), widths_m(rows)
        self.pixels = load_pixels(self.dataset, learn, self.model.config.vision.image_size, self.cache)
        self.order = self.ordered(len(learn))
        self.steps_per_epoch = self.order.steps_per_epoch
        self.ends = [config.epochs * self.steps_per_epoch if config.steps is None else config.steps]
        self.model.checkpoint_activations(config.checkpoint_activations)
        self.module = JointLoss(self.model, config.objectives)

    # ---- what a task adds -------------------------------------------------------------------------------------------

    def usable(self, items: Items, model: KnowLIP) -> Items:
        """The items without what a model cannot take, which is counted among what is left out."""
        return items

    @abstractmethod
    def about(self, items: Items) -> set[str]:
        """Tiles that can be learned from or measured."""

    @abstractmethod
    def prepare(self, items: Items, tile_ids: Sequence[str]) -> None:
        """Take what is said or asked of the training tiles, in their order."""

    @abstractmethod
    def draw(self, rows: np.ndarray, rng: np.random.Generator) -> list[Drawn]:
        """What is said of the tiles of a batch."""

    @abstractmethod
    def most_true(self, rows: np.ndarray) -> int:
        """Most texts that are true of one of them."""

    @abstractmethod
    def measure(self, encoder: KnowLIPEncoder) -> tuple[tuple[Row, ...], dict[str, Json]]:
        """Measure on the tiles of the division's `test`, write predictions and pictures; rows and details."""

    @abstractmethod
    def texts(self) -> set[str]:
        """All that contrast and matching may read."""

    def ordered(self, count: int) -> Order:
        """The order in which tiles are met."""
        return Order(count, self.config.batch_size, self.config.seed)

    # ---- the loop ---------------------------------------------------------------------------------------------------

    def arguments(self, step: int) -> tuple[float]:
        return (self.config.alpha,)

    def after_step(self, given: list[Any]) -> None:
        self.module.finish(given, self.module.config.momentum)  # type: ignore[operator, union-attr]

    def batches(self, rank: int, world: int) -> "PairBatches":
        return PairBatches(self, rank, world)

    def identity(self) -> list[str]:
        return [self.dataset.fingerprint, self.dataset.labels_sha256, self.key, self.encoder_sha256]

    @cached_property
    def key(self) -> str:
        """Identifies what is said and asked, and of which tiles it is learned."""
        said = [repr(self.items.captions), repr(self.items.questions), repr(self.division.train)]
        return sha256("\n".join(said).encode())[:16]

    @property
    def said(self) -> str:
        """Identifies what is said and asked of all tiles, learned from or not."""
        return sha256("\n".join([repr(self.items.captions), repr(self.items.questions)]).encode())

    def state(self) -> dict[str, Any]:
        return {"said": self.key}

    def load_state(self, state: Mapping[str, Any]) -> None:
        if state.get("said") != self.key:
            raise ValueError(
                f"{self.config.out} was trained on other captions or questions: use another folder, or delete it."
            )

    def begin(self) -> None:
        said, tokenizer = self.texts(), self.model.tokenizer
        if unknown := sum(tokenizer.unk in tokenizer.ids(text) for text in said):
            say(
                f"warning: {unknown:,} of {len(said):,} texts have words that the model's vocabulary cannot spell: it "
                "reads and writes them as unknown."
            )
        if self.copies:
            say(f"{self.copies:,} training tiles show the same as a measured one and are left out.")
        if self.cut:
            say(f"warning: {self.cut:,} of {len(said):,} texts are longer than {self.longest} tokens and are cut.")

    def finish(self, step: int, seconds: float) -> dict[str, Any]:
        """Save the model with its card, open it again as anyone would, and measure that."""
        # What is measured is the file: a weight that was not saved would show.
        config, out, whole = self.config, self.config.out, whole_model(self.model)
        result: dict[str, Any] = {}
        if whole is not None:
            index = self.dataset.tiles().set_index("tile_id").loc[list(self.division.train)]
            card = self.model.card | {"finetuned_on": self.name} | provenance()
            card |= also_seen(card, self.dataset, index["block"])
            save_model(whole, out / "model", card)
            encoder = open_encoder(out / "model", self.engine.device)
            assert isinstance(encoder, KnowLIPEncoder)
            rows, details = self.measure(encoder)
            details |= {
                "train_tiles": len(self.division.train),
                "measured_tiles": len(self.division.test),
                "note": self.note,
                "floor_note": self.division.note,
                "left_out": self.items.left_out,
                "training_tiles_that_are_copies_of_measured_ones": self.copies,
            }
            setup: dict[str, Json] = {"dataset_fingerprint": self.dataset.fingerprint, "seed": config.seed}
            setup |= {"labels_sha256": self.labels_sha256, "said_sha256": self.said}
            write_division(out, self.division)
            results = Results(rows, {self.name: details}, setup, {"train": seconds})
            results.write(out / METRICS)
            result = {"model": str(out / "model"), "steps": step, **details, "rows": results.plain()["rows"]}
        return dict(self.engine.fabric.broadcast(result))

    @cached_property
    def _lengths(self) -> list[int]:
        """Of all texts, in tokens without their frame."""
        return [len(self.model.tokenizer.ids(text)) for text in self.texts()]

    @cached_property
    def cut(self) -> int:
        """How many texts are longer than training reads."""
        return sum(length > self.longest - 2 for length in self._lengths)

    @property
    def note(self) -> str:
        """What must be said beside every figure."""
        own = self.model.config.text.max_length
        shorter = (
            f"Trained on texts cut behind {self.longest} tokens ({self.cut:,} were), measured with up to {own} tokens."
            if self.longest < own and self.cut
            else ""
        )
        beyond = sum(length > own - 2 for length in self._lengths)
        never = f"{beyond:,} of {len(self._lengths):,} texts are longer than the {own} tokens that the model reads."
        return " ".join(one for one in (self.division.note, self.unseen.note, shorter, never * bool(beyond)) if one)


class PairBatches:
    """Batches by number of step and pass; each process gets its rows of the global batch."""

    def __init__(self, task: Pairing, rank: int, world: int) -> None:
        self.task, self.config, self.rank, self.world = task, task.config, rank, world
        self._hashes: dict[str, int] = {}

    def stream(self, start: int, stop: int) -> Generator[list[Batch], None, None]:
        return prefetched(self._step, start, stop, self.config.workers, 2)

    def deliver(self, part: Batch, step: int, micro: int, device: torch.device | str) -> Batch:
        """To the device, augmented there."""
        rows = part.image_id_B.numpy()
        seeds = self._seeds(step)[self._mine(micro)]
        scale, moved = self.task.scale.rows(rows).to(device), part.to(device)
        seed_B = torch.from_numpy(seeds.copy()).to(device)
        moved.pixels_BSS = augment(moved.pixels_BSS, seed_B, scale, self.config.augment)
        return moved

    def _seeds(self, step: int) -> np.ndarray:
        chance = np.random.default_rng([self.config.seed, 4, step])
        return chance.integers(2**62, size=self.task.order.batch_size)

    def _mine(self, micro: int) -> np.ndarray:
        return dealt(self.task.order.batch_size, micro, self.config.accumulate, self.rank, self.world)

    def _step(self, step: int) -> list[Batch]:
        return [self.at(step, micro) for micro in range(self.config.accumulate)]

    def at(self, step: int, micro: int) -> Batch:
        """This process's part of a pass of a step, on the CPU."""
        # What is said of the whole batch is drawn, whoever holds which row: no draw depends on the number of processes.
        task, tokenizer, longest = self.task, self.task.model.tokenizer, self.task.longest
        rng = np.random.default_rng([self.config.seed, 2, step])
        rows = task.order.rows(step)
        uniform = rng.random((len(rows), 2))
        drawn, width = task.draw(rows, rng), max(1, task.most_true(rows))
        mine = self._mine(micro)
        said, chosen = [drawn[at] for at in mine], rows[mine]
        true = np.full((len(mine), width), -1, np.int64)
        for at, one in enumerate(said):
            hashes = [self._hashed(text) for text in one.true]
            true[at, : len(hashes)] = hashes
        ids = [tokenizer.ids(one.text)[: longest - 2] for one in said]
        framed = [tokenizer.frame(text, longest) for text in ids]
        posed = [(at, question) for at, one in enumerate(said) for question in one.posed]
        written = [] if posed else ids
        contexts = [tokenizer.frame([tokenizer.mask], longest, grounded=True) for _ in written]
        contents = [[tokenizer.dec, *text, tokenizer.sep] for text in written]
        pixels = [one.turn.pixels(tile) for one, tile in zip(said, task.pixels[chosen])]
        return Batch(
            pixels_BSS=torch.from_numpy(np.stack(pixels)),
            image_id_B=torch.from_numpy(chosen.astype(np.int64)),
            text_hash_B=torch.tensor([self._hashed(one.text) for one in said]),
            text=padded(framed, max(map(len, framed))),
            context=padded(contexts, max(map(len, contexts), default=1)),
            hole_R=torch.ones(len(contexts), dtype=torch.int64),
            content=padded(contents, max(map(len, contents), default=2)),
            uniform_B2=torch.from_numpy(uniform[mine]),
            width_m_B=torch.from_numpy(task.width_m_N[chosen]),
            true_BM=torch.from_numpy(true),
            asked=AskedQuestions.framed(tokenizer, longest, posed) if posed else None,
        )

    def _hashed(self, text: str) -> int:
        """The number that texts share which the model reads as the same, be it because they are cut; not because it
        cannot read them."""
        if text not in self._hashes:
            tokenizer = self.task.model.tokenizer
            ids = tokenizer.ids(text)[: self.task.longest - 2]
            read = " ".join(map(str, ids))
            self._hashes[text] = text_hash(("",), (f"{read} {text}" if tokenizer.unk in ids else read,))
        return self._hashes[text]
