"""What a tile shows, as one of some classes: a linear probe on a frozen encoder, or the whole encoder fine-tuned.

The class of a tile is the one category of its annotations, e.g. the class folder of an imported set. The head is one
linear layer on the encoder's summary, the loss cross-entropy with label smoothing (Szegedy et al., CVPR 2016).
Two floors stand beside the result: the most frequent classes, and the class of the most similar training tile by raw
pixels, which on sets with near copies measures how many copies lie on both sides.

Shapes: B rows, T tiles, C classes, D width of the encoder.
"""

from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, TypedDict, cast

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from knowlip.base.documents import read_json
from knowlip.base.files import sha256, whole_folder, write_json
from knowlip.base.provenance import provenance
from knowlip.base.rows import Json, Results, Row, highest_floor, row_from
from knowlip.dataset import Dataset
from knowlip.language.directions import Turn, draw_turns
from knowlip.models.encoders import Encoder, open_encoder
from knowlip.models.encoders.pixels import PixelEncoder
from knowlip.tasks.metrics import proportion
from knowlip.tasks.metrics.classification import hits, nearest_classes
from knowlip.tasks.metrics.intervals import MIN_CLUSTERS
from knowlip.tasks.unseen import check_unseen
from knowlip.training.augment import AugmentConfig, GreyScale, augment
from knowlip.training.engine import Engine
from knowlip.training.loop import train
from knowlip.training.order import Order, dealt
from knowlip.training.state import whole_state
from knowlip.training.task import Task, TrainingConfig, prefetched
from knowlip.training.tiles import load_pixels

Mode = Literal["linear", "full"]
TOP = (1, 3)
"""Right is a class among the first k."""
_CARD, _WEIGHTS, _FORMAT = "classifier.json", "classifier.safetensors", 1
_AT_ONCE = 256


@dataclass(kw_only=True)
class ClassifyConfig(TrainingConfig):
    """Everything that decides the result of a classification."""

    dataset: Path
    """Data set with annotations (imported, or built from scenes with truth)."""
    encoder: str
    """Name of the encoder, see docs/encoders.md."""
    mode: Mode = "linear"
    """linear: the encoder stays as it is, a linear head learns; full: both learn."""
    size: int | None = None
    """Side of the encoder's input in pixels, where it should not be its own."""
    label: Literal["category", "type"] = "category"
    """Column of the annotations that names the class. Tiles with none or several classes are left out."""
    split: str = "test"
    """Which tiles are measured in the end; those of the split train are learned from."""
    epochs: int = 100
    """Passes over the training tiles."""
    steps: int | None = None
    """The same in steps, instead of epochs."""
    batch_size: int = 64
    learning_rate: float = 1e-3
    """A pre-trained encoder wants less (1e-4) in mode full."""
    label_smoothing: float = 0.1
    """Share of the target that is spread over all classes."""
    augment: AugmentConfig = field(default_factory=lambda: AugmentConfig(gain_db=0, speckle_looks=0))
    """In mode full only: a frozen encoder sees every tile once. A turned tile keeps its class."""
    workers: int = 2
    """Threads that prepare batches."""


class Classified(TypedDict):
    """What was reached."""

    model: str
    """Its folder."""
    steps: int
    classes: Mapping[str, Json]
    """Class -> training tiles."""
    train_tiles: int
    left_out: int
    """Tiles of both splits with no class, or several."""
    rows: Sequence[Mapping[str, Json]]


def classify(config: ClassifyConfig) -> Classified:
    """Train, measure on the split that was kept aside, and write `out/model` and `out/metrics.json`.

    Raises:
        ValueError: too few classes or tiles, an encoder that cannot learn or saw the tiles to be measured.
        ChildProcessError: one of several processes was killed or failed.
    """
    if config.mode not in ("linear", "full"):
        raise ValueError(f"mode must be linear or full, not {config.mode!r}.")
    if config.epochs < 1 or not 0 <= config.label_smoothing < 1:
        raise ValueError("epochs must be at least 1, and label_smoothing from 0 up to but below 1.")
    if config.mode == "linear" and config.augment != AugmentConfig(gain_db=0, speckle_looks=0):
        raise ValueError("augment is for mode full: in mode linear the encoder sees every tile once.")
    # Some encoders hold weights that the summary does not pass.
    return cast(Classified, train(Classification, config, unused=config.mode == "full"))


def tile_classes(dataset: Dataset, label: str) -> dict[str, str]:
    """Tile -> the one name in the column `label` of its annotations; tiles with none or several are absent."""
    annotations = dataset.annotations()
    named = annotations[annotations[label] != ""].groupby("tile_id")[label]
    return {str(tile_id): names.iloc[0] for tile_id, names in named if names.nunique() == 1}


@dataclass(frozen=True)
class LabelledTiles:
    """Tiles of one split with one class each, in order of tile_id."""

    tile_ids: list[str]
    classes: list[str]
    left_out: int
    """Tiles of the split with no class, or several."""

    @classmethod
    def of(cls, dataset: Dataset, split: str, label: str) -> "LabelledTiles":
        """Read them from the data set's annotations."""
        found = tile_classes(dataset, label)
        tile_ids = dataset.tiles(split)["tile_id"].to_list()
        known = {tile_id: found[tile_id] for tile_id in tile_ids if tile_id in found}
        return cls(list(known), list(known.values()), len(tile_ids) - len(known))


# ---- head and loss --------------------------------------------------------------------------------------------------


@dataclass
class LabelledImages:
    """A process's share of a pass."""

    images: Tensor
    """Tiles (B, S, S) uint8; summaries (B, D) of a frozen encoder."""
    label_B: Tensor
    scale: GreyScale | None = None
    seed_B: Tensor | None = None
    """Chance of the augmentation of each image."""


class Classifier(nn.Module):
    """A linear head on an encoder's summary.

    Args:
        encoder: gives the summary. In mode "full" its weights are part of this module.
        classes: their names.
        mode: what learns.
    """

    mean_D: Tensor
    std_D: Tensor

    def __init__(self, encoder: Encoder, classes: Sequence[str], mode: Mode) -> None:
        super().__init__()
        self.encoder, self.classes, self.mode = encoder, list(classes), mode
        if mode == "full":
            self.visual_encoder = encoder.module
        self.register_buffer("mean_D", torch.zeros(encoder.width))
        self.register_buffer("std_D", torch.ones(encoder.width))
        self.head = nn.Linear(encoder.width, len(classes))

    def standardise(self, summary_TD: Tensor) -> None:
        """Bring the summaries of a frozen encoder to mean 0 and deviation 1: one learning rate then serves all."""
        self.mean_D.copy_(summary_TD.mean(0))
        deviation = summary_TD.std(0)
        self.std_D.copy_(torch.where(deviation > 1e-6, deviation, 1.0))

    def logits(self, images: Tensor) -> Tensor:
        """Tiles (B, S, S) uint8, or their summaries (B, D) -> (B, C)."""
        summary_BD = self.encoder.summary(images) if images.dtype == torch.uint8 else images
        return cast(Tensor, self.head((summary_BD - self.mean_D) / self.std_D)).float()

    def forward(self, part: LabelledImages, label_smoothing: float) -> tuple[dict[str, Tensor], None]:
        """The loss of a pass."""
        return {"loss": F.cross_entropy(self.logits(part.images), part.label_B, label_smoothing=label_smoothing)}, None


@torch.inference_mode()
def predict(classifier: Classifier, images: np.ndarray) -> Tensor:
    """Probabilities (T, C) on the CPU of tiles (T, S, S) uint8; the classifier must be in evaluation mode."""
    device = classifier.mean_D.device
    return torch.cat([classifier.logits(part.to(device)).softmax(-1).cpu() for part in _parts(images)])


@torch.inference_mode()
def summaries(encoder: Encoder, images: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """Summaries (T, D) float32 on the CPU of tiles (T, S, S) uint8."""
    return torch.cat([encoder.summary(part.to(device)).float().cpu() for part in _parts(images)])


def _parts(images: np.ndarray) -> Iterator[Tensor]:
    for start in range(0, len(images), _AT_ONCE):
        yield torch.from_numpy(np.array(images[start : start + _AT_ONCE]))


# ---- the task -------------------------------------------------------------------------------------------------------


class Classification(Task[LabelledImages]):
    """Tiles with classes for the training loop."""

    free: ClassVar = ("workers",)
    pairs: ClassVar = "images"
    module: Classifier

    def __init__(self, config: ClassifyConfig, engine: Engine) -> None:
        self.config, self.engine = config, engine
        self.dataset = Dataset(config.dataset)
        self.tiles = LabelledTiles.of(self.dataset, "train", config.label)
        self.measured = LabelledTiles.of(self.dataset, config.split, config.label)
        self.classes = sorted(set(self.tiles.classes))
        self._check()
        self.encoder = open_encoder(config.encoder, engine.device, config.size)
        index = self.dataset.tiles()
        aside = index[index["tile_id"].isin(set(self.measured.tile_ids))]
        # Before anything is computed: an encoder that saw these tiles need not learn from others.
        self.unseen = check_unseen(self.encoder.card, self.dataset.fingerprint, index, aside, config.encoder)
        if config.mode == "full" and not any(True for _ in self.encoder.module.parameters()):
            raise ValueError(f"{config.encoder} has no weights to fine-tune: use mode linear.")
        self.scale = GreyScale.of(index.set_index("tile_id").loc[self.tiles.tile_ids])
        self.label_T = labels(self.tiles.classes, self.classes)
        self.pixels = self._pixels(self.tiles, self.encoder)
        self.module = Classifier(self.encoder, self.classes, config.mode)
        self.summaries: Tensor | None = None
        if config.mode == "linear":
            self.summaries = summaries(self.encoder, self.pixels, engine.device)
            self.module.standardise(self.summaries)
        elif config.checkpoint_activations:
            self.encoder.module.set_grad_checkpointing(True)  # type: ignore[operator]
        self.order = Order(len(self.tiles.tile_ids), config.batch_size, config.seed)
        self.steps_per_epoch = self.order.steps_per_epoch
        self.ends = [config.steps or config.epochs * self.steps_per_epoch]

    def _check(self) -> None:
        config, count, classes = self.config, len(self.tiles.tile_ids), len(self.classes)
        if classes < 2:
            raise ValueError(
                f"Training tiles have {classes} classes in the {config.label} of their annotations: give 2."
            )
        if count < config.batch_size:
            raise ValueError(f"{count} training tiles have a class, fewer than one batch of {config.batch_size}.")
        if not self.measured.tile_ids:
            raise ValueError(f"No tile of the split {config.split!r} of {config.dataset} has one class.")
        if config.split == "train":
            raise ValueError("split must not be train: those tiles are learned from.")

    def _pixels(self, tiles: LabelledTiles, encoder: Encoder) -> np.ndarray:
        return load_pixels(self.dataset, tiles.tile_ids, encoder.pixels.size, self.config.out / "cache")

    def batches(self, rank: int, world: int) -> "ClassBatches":
        return ClassBatches(self, rank, world)

    def arguments(self, step: int) -> tuple[float]:
        return (self.config.label_smoothing,)

    def identity(self) -> list[str]:
        pairs = zip(self.tiles.tile_ids, self.tiles.classes)
        return [self.dataset.fingerprint, sha256("\n".join(f"{tile}|{name}" for tile, name in pairs).encode())[:16]]

    def finish(self, step: int, seconds: float) -> dict[str, Any]:
        """Save the classifier, open it again as anyone would, and measure that."""
        out, state = self.config.out, whole_state(self.module)
        result: dict[str, Any] = {}
        if self.engine.first:
            save_classifier(self.module, state, out / "model", self.config)
            rows = self.measure(load_classifier(out / "model", self.engine.device))
            details: dict[str, Json] = {
                "classes": dict(Counter(self.tiles.classes)),
                "train_tiles": len(self.tiles.tile_ids),
                "left_out": self.tiles.left_out + self.measured.left_out,
            }
            setup: dict[str, Json] = {"dataset_fingerprint": self.dataset.fingerprint, "seed": self.config.seed}
            results = Results(rows, {"classify": details}, setup, {"train": seconds})
            results.write(out / "metrics.json")
            result = {
                "model": str(out / "model"),
                "steps": step,
                **details,
                "rows": results.plain()["rows"],
            }
        return dict(self.engine.fabric.broadcast(result))

    def measure(self, classifier: Classifier) -> tuple[Row, ...]:
        """Top-1 and top-3 on the tiles kept aside, with what needs no model beside them."""
        config, tiles = self.config, self.measured
        label_T = labels(tiles.classes, self.classes)
        scores = predict(classifier, self._pixels(tiles, self.encoder))
        index = self.dataset.tiles().set_index("tile_id").loc[tiles.tile_ids]
        # Tiles of one block may be copies of each other: an interval that takes them for independent is too narrow.
        unit = "block" if index["block"].nunique() >= MIN_CLUSTERS else "root_id"
        clusters = index[unit].astype(str).to_list()
        raw = PixelEncoder()
        known, asked = (summaries(raw, self._pixels(some, raw)) for some in (self.tiles, tiles))
        floors = {
            "most frequent class": self.label_T.bincount().expand(len(label_T), -1),
            "raw pixels 1-NN": nearest_classes(known, self.label_T, asked, len(self.classes)),
        }
        what = "linear probe" if config.mode == "linear" else "fine-tuned"
        data, note = config.dataset.resolve().name, self.unseen.note
        rows = []
        for k in TOP:
            figure = proportion(hits(scores, label_T, k), clusters)
            floor, name = highest_floor({name: float(hits(of, label_T, k).mean()) for name, of in floors.items()})
            metric, n = f"top-{k}, {what}", figure.n
            rows.append(
                Row(
                    data,
                    config.split,
                    "classify",
                    config.encoder,
                    metric,
                    figure.value,
                    figure.ci,
                    n,
                    floor,
                    name,
                    note,
                )
            )
        return tuple(rows)


def labels(names: Sequence[str], classes: Sequence[str]) -> Tensor:
    """Numbers (T,) int64 of class names; -1 where it is none of the classes."""
    number = {name: i for i, name in enumerate(classes)}
    return torch.tensor([number.get(name, -1) for name in names])


class ClassBatches:
    """Batches by number of step and pass; each process gets its rows of the global batch."""

    def __init__(self, task: Classification, rank: int, world: int) -> None:
        self.task, self.config, self.rank, self.world = task, task.config, rank, world

    def stream(self, start: int, stop: int) -> Generator[list[LabelledImages], None, None]:
        return prefetched(self._step, start, stop, self.config.workers, 2)

    def deliver(self, part: LabelledImages, step: int, micro: int, device: torch.device | str) -> LabelledImages:
        """To the device, augmented there."""
        images = part.images.to(device)
        if part.scale is not None and part.seed_B is not None:
            images = augment(images, part.seed_B.to(device), part.scale.to(device), self.config.augment)
        return replace(part, images=images, label_B=part.label_B.to(device))

    def _step(self, step: int) -> list[LabelledImages]:
        """This process's passes of a step, on the CPU. Chance is drawn for the whole batch, whoever holds which row."""
        config, task = self.config, self.task
        rows = task.order.rows(step)
        chance = np.random.default_rng([config.seed, 2, step])
        seeds = chance.integers(2**62, size=len(rows))
        turns = draw_turns(chance.random((len(rows), 2)), config.augment.flips, config.augment.rotations)
        parts = []
        for micro in range(config.accumulate):
            mine = dealt(len(rows), micro, config.accumulate, self.rank, self.world)
            chosen = rows[mine]
            if task.summaries is not None:
                parts.append(LabelledImages(task.summaries[chosen], task.label_T[chosen]))
                continue
            turned = [Turn.of(int(turn)).pixels(tile) for turn, tile in zip(turns[mine], task.pixels[chosen])]
            images, seed_B = torch.from_numpy(np.stack(turned)), torch.from_numpy(seeds[mine])
            parts.append(LabelledImages(images, task.label_T[chosen], task.scale.rows(chosen), seed_B))
        return parts


# ---- on disk --------------------------------------------------------------------------------------------------------


def save_classifier(classifier: Classifier, state: dict[str, Tensor], folder: Path, config: ClassifyConfig) -> None:
    """Write `classifier.json` and `classifier.safetensors`, whole or not at all. A frozen encoder is not copied."""
    card = {
        "format": _FORMAT,
        "encoder": config.encoder,
        "size": config.size,
        "mode": classifier.mode,
        "classes": classifier.classes,
        "card": provenance(),
    }
    with whole_folder(folder) as part:
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, part / _WEIGHTS)
        write_json(part / _CARD, card)


def load_classifier(folder: Path, device: torch.device | str = "cpu") -> Classifier:
    """Open what :func:`save_classifier` wrote, in evaluation mode; the encoder is opened by its name.

    Raises:
        ValueError: no classifier, a broken one, or its encoder is not there.
    """
    if not (folder / _CARD).is_file():
        raise ValueError(f"{folder} is not a classifier: it needs {_CARD} and {_WEIGHTS}.")
    card = read_json(folder / _CARD)
    if not isinstance(card, dict) or card.get("format") != _FORMAT:
        raise ValueError(f"{folder / _CARD} is of no format that this version reads ({_FORMAT}).")
    kinds = {"encoder": str, "size": int | None, "mode": str, "classes": list}
    sound = all(isinstance(card.get(name, 0.0), kind) for name, kind in kinds.items())
    if not sound or card["mode"] not in ("linear", "full") or not all(isinstance(n, str) for n in card["classes"]):
        raise ValueError(f"{folder / _CARD} lacks a sound encoder, size, mode or list of classes.")
    classifier = Classifier(open_encoder(card["encoder"], device, card["size"]), card["classes"], card["mode"])
    try:
        classifier.load_state_dict(load_file(folder / _WEIGHTS))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ValueError(f"{folder / _WEIGHTS} does not fit its encoder ({str(error).splitlines()[0]}).") from None
    return classifier.eval().to(device)


def show(result: Classified) -> str:
    """The result for people."""
    lines = [f"{result['model']}: {result['train_tiles']} training tiles, {len(result['classes'])} classes"]
    for row in (row_from(plain) for plain in result["rows"]):
        lines.append(
            f"{row.metric}: {row.shown(row.value)} ({row.shown_ci}, {row.n} tiles); "
            f"{row.floor_name} {row.shown(row.floor)}{'. ' + row.note if row.note else ''}"
        )
    return "\n".join(lines)
