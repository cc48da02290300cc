"""Where things are: a detector on any Vision Transformer of the benchmark, fine-tuned and measured by COCO's protocol.

The detector is ViTDet's pyramid under Faster, Mask or Cascade R-CNN (:mod:`knowlip.models.detection`). What is measured
is average precision on tiles kept aside, with intervals over groups of near copies, tiles with land apart where masks
tell it, and beside it CFAR, which no training taught.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
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
from knowlip.models.detection import Detector
from knowlip.models.detection.detector import LOSSES
from knowlip.models.encoders import check_whole_patches, encoder_sha256, open_encoder
from knowlip.tasks.cfar import cfar_boxes
from knowlip.tasks.count_scores import CountScores, count_scores
from knowlip.tasks.detect_batches import BoxBatches, BoxBatchSettings, BoxedImages, View, batched
from knowlip.tasks.detect_curve import draw_curve
from knowlip.tasks.detect_folder import (
    Learned,
    check_learned,
    detector_count_scores,
    learned_by,
    load_detector,
    model_folder,
    read_weights,
    save_detector,
    weights_sha256,
    write_count_scores,
)
from knowlip.tasks.detect_pictures import draw_pictures
from knowlip.tasks.detect_rows import (
    DetectionTables,
    floor_table,
    found_table,
    read_tables,
    rows_of,
    table_rows,
    tiles_table,
    truth_table,
    write_tables,
)
from knowlip.tasks.detect_settings import DetectConfig
from knowlip.tasks.detect_sides import DetectSides, check_named, other_pixels
from knowlip.tasks.finetuned import FinetunedTask
from knowlip.tasks.metrics.boxes import coco_scores
from knowlip.tasks.objects import ClassMap, TileObjects, inshore_tiles, read_objects
from knowlip.tasks.runs import FREE_MEASURED, METRICS, PICTURES, BenchTask, write_division
from knowlip.tasks.taught_on import taught_on
from knowlip.tasks.unseen import check_unseen
from knowlip.training.ema import Averaged
from knowlip.training.engine import Engine
from knowlip.training.loop import train
from knowlip.training.order import Order
from knowlip.training.state import whole_state

_AT_ONCE = 4
"""Tiles that are looked at together."""


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


class Detection(FinetunedTask[BoxedImages]):
    """Tiles with boxes for the training loop."""

    losses: ClassVar = LOSSES
    free: ClassVar = ("workers", *FREE_MEASURED)
    pairs: ClassVar = "images"
    config: DetectConfig
    module: "DetectorModule | Averaged[DetectorModule]"

    def __init__(self, config: DetectConfig, engine: Engine) -> None:
        self.config, self.engine = config, engine
        self.data = Dataset(config.dataset)
        self.measured = Dataset(config.test_on) if config.test_on else self.data
        names = ClassMap(config.classes, "object" if config.single_class else "")
        self.unnamed = check_named(config, self.data, self.measured)
        self.sides = DetectSides.of(config, self.data, self.measured, names)
        self.objects, self.truth = self.sides.objects, self.sides.truth
        classes = sorted({name for tile in self.sides.train for name in self.objects[tile].classes})
        if not classes:
            raise ValueError(f"No object of {config.dataset} is left to learn from.")
        strange = Counter(name for one in self.truth.values() for name in {*one.classes} - {*classes})
        self._strange = " ".join(
            f"{count} measured tiles have objects of the class {name}, which no training tile has: none can be found."
            for name, count in sorted(strange.items())
        )
        encoder = open_encoder(config.encoder, engine.device, config.size, config.seed)
        self.encoder_sha256 = encoder_sha256(encoder)  # before it learns
        index = self.measured.tiles()
        aside = index[index["tile_id"].isin(set(self.sides.test))]
        self.unseen = check_unseen(encoder.card, self.measured.fingerprint, index, aside, config.encoder)
        detector = Detector(encoder, classes, config.detector)
        # A side between two multiples would be rounded down, and positions with it.
        check_whole_patches(encoder.pixels.size, detector.backbone.patch_px, config.encoder)
        detector.backbone.checkpointing = config.checkpoint_activations
        own = self.data.tiles()
        block = dict(zip(own["tile_id"], own["block"].astype(str)))
        blocks = sorted({block[tile] for tile in self.sides.train})
        self.learned, self._begun = [Learned(self.data.fingerprint, self.sides.train, blocks)], ""
        if config.init_from is not None:
            before = read_weights(detector, config.init_from)
            test = dict(zip(aside["tile_id"].astype(str), aside["block"].astype(str)))
            self._begun = check_learned(
                before, self.measured.fingerprint, self.sides.division.group_of, test, config.init_from
            )
            self.learned += before
        self._pixels = other_pixels(self.data, self.sides.train, self.measured, self.sides.test)
        module = DetectorModule(detector.to(engine.device))
        self.module = Averaged(module, config.ema) if config.ema else module
        self.order = Order(len(self.sides.train), min(config.batch_size, len(self.sides.train)), config.seed)
        self.set_length(self.order.steps_per_epoch)
        self.cpu_before, self.cpu_started = 0.0, time.process_time()

    @property
    def kept(self) -> Detector:
        """What is measured and saved: the average of the weights where there is one."""
        return (self.module.average if isinstance(self.module, Averaged) else self.module).detector

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

    def identity(self) -> list[str]:
        objects = "\n".join(f"{tile}|{self.objects[tile].boxes.tolist()}" for tile in self.sides.train)
        weights = [] if self.config.init_from is None else [weights_sha256(self.config.init_from)]
        sets = [name for one in (self.data, self.measured) for name in (one.fingerprint, one.labels_sha256)]
        return [*sets, sha256(objects.encode())[:16], self.encoder_sha256, *weights]

    def begin(self) -> None:
        say(f"{len(self.sides.train)} tiles to learn from, {len(self.sides.test)} to measure, {self.sides.left or ''}")

    def cautions(self) -> list[str]:
        empty = all(one.ignored.all() for one in self.truth.values())
        none = "No measured tile of this part has an object that is to be found: it has no figures of its own."
        return [one for one in (self.unnamed, self._strange, self._pixels, self._begun, none if empty else "") if one]

    def state(self) -> dict[str, Any]:
        return {"cpu_seconds": self.cpu_seconds}

    def load_state(self, state: Mapping[str, Any]) -> None:
        super().load_state(state)
        self.cpu_before, self.cpu_started = float(state["cpu_seconds"]), time.process_time()

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
            taught = taught_on(self.data, self.sides.train)
            save_detector(self.kept, state, out / "model", self.config, self.learned, taught, self._count_scores())
            draw_curve(out / "log.jsonl", out / "curve.png")
            # What is measured is what is on disk; the rows of several folds read their notes from here.
            rows = self.measure(load_detector(out / "model", self.engine.device))
            details: dict[str, Json] = {
                "train_tiles": len(self.sides.train),
                "test_tiles": len(self.sides.test),
                "left_out": dict(self.sides.left),
                "cpu_seconds": self.cpu_seconds,
                "note": self._note,
                "floor_note": self.sides.division.note,
            }
            setup: dict[str, Json] = {
                "dataset_fingerprint": self.data.fingerprint,
                "measured_fingerprint": self.measured.fingerprint,
                "seed": self.config.seed,
            }
            results = Results(rows, {"detect": details}, setup, {"train": seconds})
            write_division(out, self.sides.division)
            results.write(out / METRICS)
            result = {"model": str(out / "model"), "steps": step, **details, "rows": results.plain()["rows"]}
        return dict(self.engine.fabric.broadcast(result))

    def _count_scores(self) -> list[dict[str, Json]]:
        """From which scores boxes count, of the validation tiles; none without them."""
        tiles = self.sides.validation
        if not tiles:
            say("No validation tiles: the detector's card will not say from which score boxes are to be counted.")
            return []
        truth = {tile_id: self.objects[tile_id] for tile_id in tiles}
        return _counts_of(self.kept, self.data, truth, self.config.precision)

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
            tiles_table(self.truth, sides.division.group_of, inshore_tiles(self.measured, sides.test)),
        )
        write_tables(config.out, tables)
        draw_pictures(config.out / PICTURES, self.measured, found, tables.truth, sides.test)
        data = (config.test_on or config.dataset).resolve().name
        read = read_tables([config.out])
        return table_rows(read, data, config.split_name, config.encoder, self._note, sides.division.note)

    @property
    def _note(self) -> str:
        """What must be said beside every figure of the model."""
        said = (self.sides.division.note, self._strange, self._pixels, self._begun, self.unseen.note)
        return " ".join(one for one in said if one)


def settle_counts(folder: Path, data: Dataset, label: str = "category", precision: str = "bf16") -> CountScores:
    """Measure anew, on all accepted tiles of a labelled data set, from which scores the boxes of a saved detector
    count, and write it into the detector's card.

    Args:
        folder: of the detector, or of its run.
        data: tiles with boxes, those without objects among them, of places that the detector has not learned from.
        label: column that names the class.
        precision: fp32, bf16 or fp16.

    Raises:
        ValueError: no detector, it has learned from this data set, or no object of its classes is there.
    """
    detector = load_detector(folder := model_folder(folder))
    tiles = data.tiles()
    known = [str(tile) for tile in tiles[tiles["accepted"]]["tile_id"]]
    block = dict(zip(tiles["tile_id"].astype(str), tiles["block"].astype(str)))
    said = check_learned(
        learned_by(folder), data.fingerprint, {one: one for one in known}, {one: block[one] for one in known}, folder
    )
    if said:
        say(f"note: {said}")
    truth, _ = read_objects(data, known, label, ClassMap({name: name for name in detector.classes}, ""))
    if not any(len(one) for one in truth.values()):
        raise ValueError(f"{data.path} has no {' and no '.join(detector.classes)} to count.")
    write_count_scores(folder, _counts_of(detector, data, truth, precision))
    return detector_count_scores(folder)


def _counts_of(
    detector: Detector, data: Dataset, truth: Mapping[str, TileObjects], precision: str
) -> list[dict[str, Json]]:
    table = data.tiles()
    metres = dict(zip(table["tile_id"], table["metres_per_pixel"].astype(float)))
    scene_of = dict(zip(table["tile_id"], table["scene_id"].astype(str)))
    found = predictions(detector, data, list(truth), precision)
    return count_scores(found, truth_table(truth), metres, scene_of)


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
    rows = []
    # Tiles of one shape together: little is filled up.
    shapes = dict(zip(data.tiles()["tile_id"], data.tiles()["proj:shape"]))
    ordered = sorted(tile_ids, key=lambda tile_id: (tuple(shapes[tile_id]), tile_id))
    parts = [ordered[start : start + _AT_ONCE] for start in range(0, len(ordered), _AT_ONCE)]
    for part in track(parts, "detect"):
        rows += found_in(detector, [data.image(tile_id) for tile_id in part], part, precision)
    return pd.concat(rows, ignore_index=True)


@torch.no_grad()
def found_in(
    detector: Detector, images: Sequence[np.ndarray], names: Sequence[str] = (), precision: str = "fp32"
) -> list[pd.DataFrame]:
    """What a detector finds in each of some images, in their own pixels: a row a box.

    Args:
        detector: in evaluation mode.
        images: (H, W) uint8, brought to the side that it was opened with.
        names: of the images, for the column `tile_id`.
        precision: fp32, bf16 or fp16.
    """
    backbone, device = detector.backbone, next(detector.parameters()).device
    low = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
    none = TileObjects((1, 1), np.zeros((0, 4)), (), np.zeros(0, bool), (), ())
    view = View(turn=Turn(), longest=backbone.side, crop=(0, 0), side=backbone.side)
    batch = batched([view.of(one, none) for one in images], {}, backbone.patch_px)
    with torch.autocast(device.type, low) if low is not None else nullcontext():
        found = detector.detect(batch.images.to(device), batch.sizes)
    rows = []
    for name, one, shown, own in zip(names or [""] * len(images), found, batch.sizes, images):
        scale = np.array([own.shape[1] / shown[1], own.shape[0] / shown[0]])
        rows.append(found_table(name, one, scale, detector.classes))
    if lost := sum(one.attrs["without_number"] for one in rows):
        say(
            f"  {lost:,} boxes are left out: their score or place is no number, so the weights or the image are broken."
        )
    return rows


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
