"""Where things are: a detector on any Vision Transformer of the benchmark, fine-tuned and measured by COCO's protocol.

The detector is ViTDet's pyramid under Faster, Mask or Cascade R-CNN (:mod:`knowlip.models.detection`). What is measured
is average precision on tiles kept aside, with intervals over groups of near copies, tiles with land apart where masks
tell it, and beside it CFAR, which no training taught.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypedDict, cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from knowlip.base.files import sha256
from knowlip.base.progress import say, track
from knowlip.base.rows import Json, Results, Row, row_from
from knowlip.dataset import Dataset
from knowlip.language.directions import Turn
from knowlip.models.detection import Detector, DetectorConfig
from knowlip.models.detection.detector import LOSSES
from knowlip.models.encoders import encoder_sha256, open_encoder
from knowlip.tasks.cfar import cfar_boxes
from knowlip.tasks.detect_batches import BoxBatches, BoxBatchSettings, BoxedImages, View, batched
from knowlip.tasks.detect_curve import draw_curve
from knowlip.tasks.detect_folder import (
    Learned,
    check_learned,
    load_detector,
    read_weights,
    save_detector,
    weights_sha256,
)
from knowlip.tasks.detect_pictures import draw_pictures
from knowlip.tasks.detect_rows import (
    DetectionTables,
    floor_table,
    found_table,
    rows_of,
    tiles_table,
    truth_table,
    write_tables,
)
from knowlip.tasks.metrics.boxes import coco_scores
from knowlip.tasks.objects import ClassMap, TileObjects, inshore_tiles, read_objects
from knowlip.tasks.protocols import Division, divide
from knowlip.tasks.runs import FREE_MEASURED, METRICS, PICTURES, BenchTask, MeasuredConfig, write_division
from knowlip.tasks.unseen import check_unseen
from knowlip.training.augment import AugmentConfig
from knowlip.training.ema import Averaged
from knowlip.training.engine import Engine
from knowlip.training.loop import train
from knowlip.training.order import Order
from knowlip.training.state import whole_state
from knowlip.training.task import Task

_AT_ONCE = 4
"""Tiles that are looked at together."""


@dataclass(kw_only=True)
class DetectConfig(MeasuredConfig):
    """Everything that decides the result of a detection."""

    size: int | None = 800
    """Longest side of a tile in pixels when it is looked at; a multiple of the encoder's patch."""
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    label: str = "category"
    """Column of the annotations that names the class: category or type."""
    classes: dict[str, str] = field(default_factory=dict)
    """Name in the data -> class of the detector, where they should not be the same; names that are not given are then
    left out. The same holds for the set that is measured."""
    single_class: bool = False
    """All (named) objects are of one class, "object"."""
    smallest_px: float = 0.0
    """Objects whose longer side has fewer pixels in their own tile are left out of the training (never of the
    measurement)."""
    keep_empty: bool = True
    """Tiles without objects are learned from: they teach what is background."""
    shots: int = 0
    """Learn from so many tiles with objects, drawn by `split_seed`; 0: from all."""
    init_from: Path | None = None
    """Run folder (or model folder) of a detector with the same settings to go on from, e.g. one that was trained on
    simulated scenes."""
    test_on: Path | None = None
    """Another data set whose tiles are measured; `protocol` and `fold` then hold for it, and `dataset` is learned from
    as its own split says."""
    epochs: int = 36
    """Passes over the training tiles."""
    steps: int | None = None
    """The same in steps, instead of epochs."""
    batch_size: int = 4
    learning_rate: float = 1e-4
    weight_decay: float = 0.1
    layer_decay: float = 0.7
    ema: float = 0.0
    """Momentum of an average of the weights that is measured and saved in their place, less in the first steps
    ((1 + step) / (10 + step)); 0 for none."""
    warmup_epochs: float | None = None
    """Passes in which the learning rate rises, instead of `warmup_steps`."""
    scale: tuple[float, float] = (0.8, 1.2)
    """Smallest and largest share of `size` to which the longer side is brought in training; what is longer than `size`
    is cropped."""
    augment: AugmentConfig = field(default_factory=lambda: AugmentConfig(gain_db=0, speckle_looks=0, flips=0.5))
    """Boxes turn with their tiles."""
    validation_share: float = 0.1
    """Part of the groups of the training tiles on which the curve over the training is measured; they are not learned
    from. 0: no curve."""
    validate_every: int = 500
    """Steps between points of the curve, a multiple of `log_every`."""
    workers: int = 2
    """Threads that prepare batches."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.label not in ("category", "type"):
            raise ValueError(f"label must be category or type, not {self.label!r}.")
        if self.epochs < 1 or (self.steps is not None and self.steps < 1):
            raise ValueError("epochs and steps must be at least 1.")
        if not 0 < self.layer_decay <= 1 or not 0 <= self.validation_share < 1:
            raise ValueError("layer_decay must lie above 0 up to 1, validation_share from 0 below 1.")
        if not 0 < self.scale[0] <= self.scale[1] or self.shots < 0 or self.smallest_px < 0:
            raise ValueError("scale must be two rising positive numbers; shots and smallest_px must not be negative.")
        if self.strategy == "fsdp" and self.validation_share:
            raise ValueError("With strategy fsdp no process holds the whole model: set validation_share to 0.")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema must lie from 0 up to but below 1, not {self.ema}.")
        if self.warmup_epochs is not None and (self.warmup_steps is not None or self.warmup_epochs < 0):
            raise ValueError("Give warmup_epochs (at least 0) or warmup_steps, not both.")
        if self.validation_share and (self.validate_every < 1 or self.validate_every % self.log_every):
            raise ValueError(f"validate_every must be a multiple of log_every ({self.log_every}).")


class Detected(TypedDict):
    """What was reached."""

    model: str
    """Its folder."""
    steps: int
    train_tiles: int
    test_tiles: int
    left_out: Mapping[str, Json]
    """Reason -> objects or tiles that were not learned from."""
    rows: Sequence[Mapping[str, Json]]


def detect(config: DetectConfig) -> Detected:
    """Train, measure on the tiles that were kept aside, and write `out/model`, `out/predictions.parquet`,
    `out/pictures` and `out/metrics.json`.

    Raises:
        ValueError: settings that cannot work, no boxes, an encoder that is no Vision Transformer or saw the tiles to
            be measured.
        ChildProcessError: one of several processes was killed or failed.
    """
    return cast(Detected, train(Detection, config, unused=True))


class DetectorModule(nn.Module):
    """A detector as the loop trains it."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, part: BoxedImages) -> tuple[dict[str, Tensor], None]:
        """The losses of a pass."""
        return self.detector(part.images, part.sizes, part.targets), None


@dataclass(frozen=True)
class _Sides:
    """Tiles to learn from, to follow the training by, and to measure."""

    train: list[str]
    validation: list[str]
    test: list[str]
    group_of: Mapping[str, str]
    """Tile of the set that is measured -> group of near copies."""
    left: dict[str, int]


class Detection(Task[BoxedImages]):
    """Tiles with boxes for the training loop."""

    losses: ClassVar = LOSSES
    free: ClassVar = ("workers", *FREE_MEASURED)
    pairs: ClassVar = "images"
    module: "DetectorModule | Averaged[DetectorModule]"

    def __init__(self, config: DetectConfig, engine: Engine) -> None:
        self.config, self.engine = config, engine
        self.data = Dataset(config.dataset)
        self.measured = Dataset(config.test_on) if config.test_on else self.data
        self.names = ClassMap(config.classes, "object" if config.single_class else "")
        self.sides = self._divide()
        classes = sorted({name for tile in self.sides.train for name in self.objects[tile].classes})
        if not classes:
            raise ValueError(f"No object of {config.dataset} is left to learn from.")
        for tile in self.sides.test:
            for name in {*self.truth[tile].classes} - {*classes}:
                key = f"measured tiles with objects of the class {name}, which no training tile has"
                self.sides.left[key] = self.sides.left.get(key, 0) + 1
        encoder = open_encoder(config.encoder, engine.device, config.size, config.seed)
        self.encoder_sha256 = encoder_sha256(encoder)  # before it learns
        index = self.measured.tiles()
        aside = index[index["tile_id"].isin(set(self.sides.test))]
        self.unseen = check_unseen(encoder.card, self.measured.fingerprint, index, aside, config.encoder)
        detector = Detector(encoder, classes, config.detector)
        # A side between two multiples would be rounded down, and positions with it.
        patch, asked = detector.backbone.patch_px, encoder.pixels.size
        if asked % patch:
            below = asked // patch * patch
            raise ValueError(
                f"size {asked} is no multiple of the patches of {config.encoder} ({patch} px): take {below} or "
                f"{below + patch}."
            )
        detector.backbone.checkpointing = config.checkpoint_activations
        self.learned = [Learned(self.data.fingerprint, self.sides.train)]
        if config.init_from is not None:
            before = read_weights(detector, config.init_from)
            check_learned(before, self.measured.fingerprint, self.sides.group_of, self.sides.test, config.init_from)
            self.learned += before
        module = DetectorModule(detector.to(engine.device))
        self.module = Averaged(module, config.ema) if config.ema else module
        self.order = Order(len(self.sides.train), min(config.batch_size, len(self.sides.train)), config.seed)
        self.steps_per_epoch = self.order.steps_per_epoch
        self.ends = [config.epochs * self.steps_per_epoch if config.steps is None else config.steps]
        if config.warmup_epochs is not None:
            self.warmup_steps = round(config.warmup_epochs * self.steps_per_epoch)
        self.cpu_before, self.cpu_started = 0.0, time.process_time()

    @property
    def kept(self) -> Detector:
        """What is measured and saved: the average of the weights where there is one."""
        return (self.module.average if isinstance(self.module, Averaged) else self.module).detector

    # ---- what is learned from, and what is measured -----------------------------------------------------------------

    def _divide(self) -> _Sides:
        """Divide tiles, and read their objects into `objects` (training and validation) and `truth` (test)."""
        # Counted on the way: what is left out of the training, and why.
        config = self.config
        cache = config.cache or config.out / "cache"
        both = config.test_on is not None
        tile_ids = self.measured.tiles()["tile_id"].to_list()
        aside = self.division = divide(
            *(self.measured, tile_ids, None, config.protocol, config.fold, config.folds, config.split_seed),
            split=config.split,
            cache=cache,
        )
        own = self.data.tiles("train")["tile_id"].to_list() if both else list(aside.train)
        if not own or not aside.test:
            raise ValueError(
                f"There are {len(own)} tiles to learn from and {len(aside.test)} to measure: both need some."
            )
        everything, left = read_objects(self.data, own, config.label, self.names)
        self.truth, unasked = read_objects(self.measured, aside.test, config.label, self.names)
        counted = {f"objects {reason}": count for reason, count in left.items()}
        counted |= {f"measured objects {reason}": count for reason, count in unasked.items()}
        self.objects: dict[str, TileObjects] = {}
        small = hidden = 0
        for tile_id, objects in everything.items():
            longer = (objects.boxes[:, 2:] - objects.boxes[:, :2]).max(1, initial=0)
            small += int((longer < config.smallest_px).sum())
            hidden += int(objects.ignored.sum())
            self.objects[tile_id] = objects.chosen(longer >= config.smallest_px)
        full = {tile_id for tile_id in own if (~self.objects[tile_id].ignored).any()}
        kept = [tile_id for tile_id in own if config.keep_empty or tile_id in full]
        counted |= {f"objects shorter than {config.smallest_px:g} px": small} if config.smallest_px else {}
        counted |= {"objects that nobody need find (neither object nor background)": hidden} if hidden else {}
        counted |= {"tiles without objects": len(own) - len(kept)} if len(kept) < len(own) else {}
        kept, validation = self._followed(kept, full, aside, cache)
        if config.shots:
            there = [tile_id for tile_id in kept if tile_id in full]
            if len(there) < config.shots:
                raise ValueError(f"shots {config.shots}: only {len(there)} training tiles have objects.")
            drawn = np.random.default_rng([config.split_seed, 7]).permutation(len(there))[: config.shots]
            counted["tiles beyond the shots"] = len(kept) - config.shots
            kept = [there[at] for at in sorted(drawn.tolist())]
        return _Sides(kept, validation, list(aside.test), aside.group_of, counted)

    def _followed(
        self, tile_ids: list[str], full: set[str], aside: Division, cache: Path
    ) -> tuple[list[str], list[str]]:
        """Training tiles, and those of them on which the curve is measured instead: whole groups of copies."""
        config = self.config
        if not config.validation_share or not full:
            return tile_ids, []
        group_of = aside.group_of
        if config.test_on is not None:
            group_of = divide(self.data, tile_ids, None, "own", cache=cache).group_of
        groups = sorted({group_of[tile_id] for tile_id in full})
        if len(groups) < 2:
            say(
                "warning: all training tiles are of one group of copies or place: no curve is measured on some of them."
            )
            return tile_ids, []
        count = max(1, round(len(groups) * config.validation_share))
        drawn = np.random.default_rng([config.split_seed, 5]).permutation(len(groups))[:count]
        chosen = {groups[at] for at in drawn}
        held = [tile_id for tile_id in tile_ids if group_of[tile_id] in chosen]
        return [tile_id for tile_id in tile_ids if group_of[tile_id] not in chosen], held

    # ---- training ---------------------------------------------------------------------------------------------------

    def batches(self, rank: int, world: int) -> BoxBatches:
        config, detector = self.config, self.kept
        settings = BoxBatchSettings(
            {name: number for number, name in enumerate(detector.classes, 1)},
            detector.backbone.side,
            detector.backbone.patch_px,
            config.detector.kind == "mask",
            config.scale,
            config.augment,
            config.seed,
            config.accumulate,
            config.workers,
        )
        return BoxBatches(self.data, self.sides.train, self.objects, self.order, settings, rank, world)

    def after_step(self, given: list[Any]) -> None:
        if isinstance(self.module, Averaged):
            self.module.update()

    def identity(self) -> list[str]:
        objects = "\n".join(f"{tile}|{self.objects[tile].boxes.tolist()}" for tile in self.sides.train)
        weights = [] if self.config.init_from is None else [weights_sha256(self.config.init_from)]
        sets = [name for one in (self.data, self.measured) for name in (one.fingerprint, one.labels_sha256)]
        return [*sets, sha256(objects.encode())[:16], self.encoder_sha256, *weights]

    def begin(self) -> None:
        say(f"{len(self.sides.train)} tiles to learn from, {len(self.sides.test)} to measure, {self.sides.left or ''}")

    def state(self) -> dict[str, Any]:
        return {"cpu_seconds": self.cpu_seconds}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.cpu_before, self.cpu_started = float(state["cpu_seconds"]), time.process_time()
        if isinstance(self.module, Averaged):
            self.module.updates = int(state["step"])

    @property
    def cpu_seconds(self) -> float:
        """Of this process, over all its lives."""
        return self.cpu_before + time.process_time() - self.cpu_started

    def figures(self, step: int) -> dict[str, Any]:
        """CPU seconds, and now and then a point of the curve."""
        config, spent = self.config, self.cpu_seconds
        if not self.sides.validation or (step % config.validate_every and step != self.total):
            return {"cpu_seconds": spent}
        began = time.process_time()
        found = predictions(self.kept, self.data, self.sides.validation, config.precision)
        truth = {tile_id: self.objects[tile_id] for tile_id in self.sides.validation}
        scores = coco_scores(found, truth_table(truth))
        self.module.train()
        self.cpu_started += time.process_time() - began  # measuring is no training
        return {"cpu_seconds": spent, "val_ap50": scores["AP50"], "val_ap": scores["AP"]}

    def told(self, line: Mapping[str, Any]) -> str:
        curve = f"  AP50 {line['val_ap50']:.3f}" if line.get("val_ap50") is not None else ""
        return "  ".join(f"{name} {line[name]:.3f}" for name in self.losses[:4]) + curve

    # ---- the end ----------------------------------------------------------------------------------------------------

    def finish(self, step: int, seconds: float) -> dict[str, Any]:
        """Save the detector, open it again as anyone would, and measure that."""
        out, state = self.config.out, whole_state(self.kept)
        result: dict[str, Any] = {}
        if self.engine.first:
            save_detector(self.kept, state, out / "model", self.config, self.learned)
            draw_curve(out / "log.jsonl", out / "curve.png")
            rows = self.measure(load_detector(out / "model", self.engine.device))
            details: dict[str, Json] = {
                "train_tiles": len(self.sides.train),
                "test_tiles": len(self.sides.test),
                "left_out": dict(self.sides.left),
                "cpu_seconds": self.cpu_seconds,
            }
            setup: dict[str, Json] = {"dataset_fingerprint": self.data.fingerprint, "seed": self.config.seed}
            results = Results(rows, {"detect": details}, setup, {"train": seconds})
            write_division(out, self.division)
            results.write(out / METRICS)
            result = {"model": str(out / "model"), "steps": step, **details, "rows": results.plain()["rows"]}
        return dict(self.engine.fabric.broadcast(result))

    def measure(self, detector: Detector) -> tuple[Row, ...]:
        """Write predictions, truth and pictures of the test tiles, and read the rows from them."""
        config, sides = self.config, self.sides
        found = predictions(detector, self.measured, sides.test, config.precision)
        boxed = {
            tile_id: np.column_stack([self.objects[tile_id].boxes, self.objects[tile_id].ignored])
            for tile_id in sides.train
        }
        boxes, settings = cfar_boxes(self.data, sides.train, boxed, self.measured, sides.test)
        say(f"CFAR: false alarms {settings.false_alarm:g}, {settings.smallest_px} px and more (chosen on train)")
        tables = DetectionTables(
            found,
            floor_table(sides.test, boxes),
            truth_table(self.truth),
            tiles_table(self.truth, sides.group_of, inshore_tiles(self.measured, sides.test)),
        )
        write_tables(config.out, tables)
        draw_pictures(config.out / PICTURES, self.measured, found, tables.truth, sides.test)
        data = (config.test_on or config.dataset).resolve().name
        return rows_of([config.out], data, config.split_name, config.encoder, self.unseen.note)


@torch.no_grad()
def predictions(
    detector: Detector, data: Dataset, tile_ids: Sequence[str], precision: str = "fp32", progress: bool = True
) -> pd.DataFrame:
    """What a detector finds in tiles, in their own pixels: a row a box, see :mod:`knowlip.tasks.detect_rows`.

    Args:
        detector: is set to evaluation mode.
        data, tile_ids: where to look.
        precision: fp32, bf16 or fp16.
    """
    detector.eval()
    device = next(detector.parameters()).device
    low = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    rows = []
    # Tiles of one shape together: little is filled up.
    shapes = dict(zip(data.tiles()["tile_id"], data.tiles()["proj:shape"]))
    ordered = sorted(tile_ids, key=lambda tile_id: (tuple(shapes[tile_id]), tile_id))
    backbone = detector.backbone
    parts = [ordered[start : start + _AT_ONCE] for start in range(0, len(ordered), _AT_ONCE)]
    for part in track(parts, "detect"):
        pixels = [data.image(tile_id) for tile_id in part]
        none = TileObjects((1, 1), np.zeros((0, 4)), (), np.zeros(0, bool), (), ())
        view = View(turn=Turn(), longest=backbone.side, crop=(0, 0), side=backbone.side)
        batch = batched([view.of(one, none) for one in pixels], {}, backbone.patch_px)
        with torch.autocast(device.type, low) if low is not None else nullcontext():
            found = detector.detect(batch.images.to(device), batch.sizes)
        for tile_id, one, shown, own in zip(part, found, batch.sizes, pixels):
            scale = np.array([own.shape[1] / shown[1], own.shape[0] / shown[0]])
            rows.append(found_table(tile_id, one, scale, detector.classes))
    return pd.concat(rows, ignore_index=True)


def show(result: Detected) -> str:
    """The result for people."""
    lines = [f"{result['model']}: {result['train_tiles']} training tiles, {result['test_tiles']} measured"]
    lines += [f"left out of the training: {count} {reason}" for reason, count in result["left_out"].items()]
    for row in (row_from(plain) for plain in result["rows"]):
        floor = f"; {row.floor_name} {row.shown(row.floor)}" if row.floor_name else ""
        note = f". {row.note}" if row.note else ""
        lines.append(f"{row.encoder} {row.metric}: {row.shown(row.value)} ({row.shown_ci}, n {row.n}){floor}{note}")
    return "\n".join(lines)


BENCH = BenchTask(config=DetectConfig, run=detect, rows=rows_of)
