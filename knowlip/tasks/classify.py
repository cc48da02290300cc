"""What a tile shows, as one of some classes: an encoder's nearest neighbours, a linear probe on it, or all of it
fine-tuned.

The class of a tile is the one category of its annotations, e.g. the class folder of an imported set. The head is one
linear layer on the encoder's summary, the loss cross-entropy with label smoothing (Szegedy et al., CVPR 2016).
Beside the result stands the highest floor on the same tiles (:mod:`knowlip.tasks.class_floors`).

Shapes: B rows, T tiles, C classes, D width of the encoder.
"""

from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Final, TypedDict, cast

import numpy as np
import torch
from torch import Tensor

from knowlip.base.documents import read_yaml
from knowlip.base.files import sha256, whole_file
from knowlip.base.progress import say
from knowlip.base.rows import Json, Results, Row, row_from
from knowlip.dataset import Dataset
from knowlip.language.directions import Turn, draw_turns
from knowlip.models.encoders import UnsuitedEncoder, encoder_sha256, open_encoder
from knowlip.tasks.chips import ChipWindow, chip_roots, load_chips
from knowlip.tasks.class_floors import known_floors
from knowlip.tasks.class_rows import (
    class_rows,
    confusion,
    draw_confusion,
    predictions,
    voted,
)
from knowlip.tasks.classifier import (
    TOLD,
    Classifier,
    LabelledImages,
    Mode,
    kept_summaries,
    load_classifier,
    predict,
    save_classifier,
)
from knowlip.tasks.classify_settings import ClassifyConfig
from knowlip.tasks.finetuned import FinetunedTask
from knowlip.tasks.labelled import LabelledTiles, labels
from knowlip.tasks.protocols import divide
from knowlip.tasks.runs import (
    FLOOR,
    FREE_MEASURED,
    METRICS,
    PICTURES,
    BenchTask,
    notes_of,
    read_predictions,
    write_division,
    write_predictions,
)
from knowlip.tasks.taught_on import taught_on
from knowlip.tasks.unseen import check_unseen
from knowlip.training.augment import GreyScale, augment, resized_crop
from knowlip.training.ema import Averaged
from knowlip.training.engine import Engine
from knowlip.training.layers import set_drop_path
from knowlip.training.loop import train
from knowlip.training.order import Order, dealt
from knowlip.training.state import whole_state
from knowlip.training.task import prefetched

_SMALL_VIEW: Final = 0.5
"""Share of a chip that a window should show at least, of the typical chip; less is warned of."""


class Classified(TypedDict):
    """What was reached."""

    model: str
    """Its folder."""
    steps: int
    classes: Mapping[str, Json]
    """Class -> training tiles."""
    train_tiles: int
    left_out: int
    """Tiles with no class, or several."""
    rows: Sequence[Mapping[str, Json]]


def classify(config: ClassifyConfig) -> Classified:
    """Train, measure on what was kept aside, and write `out/model`, `out/metrics.json`, `out/predictions.parquet` and
    `out/pictures`.

    Raises:
        ValueError: too few classes or tiles, an encoder that cannot learn or saw the tiles to be measured.
        ChildProcessError: one of several processes was killed or failed.
    """
    # Some encoders hold weights that the summary does not pass.
    return cast(Classified, train(Classification, config, unused=config.mode == "full"))


# ---- the task -------------------------------------------------------------------------------------------------------


class Classification(FinetunedTask[LabelledImages]):
    """Tiles with classes for the training loop."""

    free: ClassVar = ("workers", *FREE_MEASURED)
    pairs: ClassVar = "images"
    config: ClassifyConfig
    module: "Classifier | Averaged[Classifier]"

    def __init__(self, config: ClassifyConfig, engine: Engine) -> None:
        self.config, self.engine = config, engine
        self.dataset, self.cache = Dataset(config.dataset), config.cache or config.out / "cache"
        own = config.protocol == "own"
        tiles = self.tiles = LabelledTiles.of(self.dataset, ("train", config.split) if own else None, config.label)
        if len({*tiles.classes}) < 2:
            raise ValueError(
                f"Tiles have {len({*tiles.classes})} classes in the {config.label} of their annotations: give 2."
            )
        self.division = divide(
            self.dataset,
            tiles.tile_ids,
            tiles.classes,
            config.protocol,
            config.fold,
            config.folds,
            config.split_seed,
            split=config.split,
            cache=self.cache,
        )
        place = {tile_id: number for number, tile_id in enumerate(tiles.tile_ids)}
        # Numbers of tiles, to learn from and to measure.
        self.learn, self.ask = (
            np.array([place[one] for one in some], int) for some in (self.division.train, self.division.test)
        )
        self.names = np.array(tiles.classes, dtype=object)
        self.classes = sorted({*self.names[self.learn]})
        self._check()
        # A frozen encoder is opened again by its name, which knows no seed.
        drawn = config.seed if config.mode == "full" else 0
        self.encoder = open_encoder(config.encoder, engine.device, config.size, drawn)
        self.encoder_sha256 = encoder_sha256(self.encoder)  # before it learns
        index = self.dataset.tiles()
        aside = index[index["tile_id"].isin({*self.division.test})]
        # Before anything is computed: an encoder that saw these tiles need not learn from others.
        self.unseen = check_unseen(self.encoder.card, self.dataset.fingerprint, index, aside, config.encoder)
        if config.mode == "full" and not any(True for _ in self.encoder.module.parameters()):
            raise UnsuitedEncoder(f"{config.encoder} has no weights to fine-tune: use mode linear or knn.")
        self.window = ChipWindow.of(self.dataset, tiles.tile_ids, config.hide_size, config.window)
        self.scale = GreyScale.of(index.set_index("tile_id").loc[list(self.division.train)])
        if config.contrast == "chip" and config.augment.changes_power:
            roots = chip_roots(self.dataset, tiles.tile_ids, self.window, self.cache)
            self.scale.root_B2 = torch.from_numpy(roots[self.learn])
        self.label_T = labels(self.names[self.learn], self.classes)
        size = self.encoder.pixels.size
        self.pixels = load_chips(self.dataset, tiles.tile_ids, self.window, size, self.cache, config.contrast)
        self.order = Order(len(self.learn), min(config.batch_size, len(self.learn)), config.seed)
        self.set_length(self.order.steps_per_epoch)
        if config.mode == "knn":
            self.ends = [0]
        self.module = self._module()

    def _module(self) -> "Classifier | Averaged[Classifier]":
        config = self.config
        known, views = len(self.learn), config.views
        head = Classifier(self.encoder, self.classes, config.mode, config.dropout, config.neighbours, known, views)
        self.summaries: Tensor | None = None
        if config.mode != "full" or config.head == "probe":
            self.said = self._summaries()
            before = self.said[self.learn]
            head.standardise(before)
            if config.mode == "full":
                head.fit(before, self.label_T)
            else:
                self.summaries = before
        if config.mode == "knn":
            head.remember(before, self.label_T)
        if config.mode == "full":
            set_drop_path(self.encoder.module, config.drop_path)
            self.encoder.module.to(memory_format=torch.channels_last)  # a layout that convolutions are faster in
            if config.checkpoint_activations:
                self.encoder.module.set_grad_checkpointing(True)  # type: ignore[operator]
        return Averaged(head, config.ema) if config.ema and config.mode != "knn" else head

    def _summaries(self) -> Tensor:
        """What the encoder says of all tiles before anything is learned."""
        config, window = self.config, self.window.side_T
        sides = "" if window is None else str(window.tolist())
        given = [self.dataset.fingerprint, *self.tiles.tile_ids, sides, config.contrast]
        name = sha256("\n".join(given).encode())
        return kept_summaries(self.encoder, self.pixels, self.cache, name, self.engine.device)

    def _check(self) -> None:
        config, count = self.config, len(self.learn)
        if len(self.classes) < 2:
            raise ValueError(
                f"Training tiles have {len(self.classes)} classes in the {config.label} of their annotations: give 2."
            )
        if not len(self.ask):
            raise ValueError(f"No tile of the split {config.split!r} of {config.dataset} has one class.")
        if count < config.batch_size and config.mode != "knn":  # where neighbours vote there are no batches
            raise ValueError(
                f"{count} training tiles have a class, fewer than one batch of {config.batch_size}: give --batch_size "
                f"{count} or less."
            )
        if config.mode == "knn" and count < config.neighbours:
            raise ValueError(f"{count} training tiles have a class, fewer than {config.neighbours} neighbours.")

    def cautions(self) -> list[str]:
        found = []
        if self.window.shown < _SMALL_VIEW:
            found.append(
                f"The window shows {self.window.shown:.0%} of the typical chip ({self.window.told}): a larger one "
                "(--window) shows more of the target, and of its size what the floor 'chip size in the window' says."
            )
        return found + ([self._unknown] if self._unknown else [])

    @property
    def _unknown(self) -> str:
        """What every figure must say of measured classes that nobody learned; "" where all were."""
        names = sorted({*self.names[self.ask].astype(str)} - {*self.classes})
        told = f"{self._strange} measured tiles are of classes without a training tile ({', '.join(names)}): none"
        return f"{told} can be right." if names else ""

    @property
    def _strange(self) -> int:
        """Measured tiles of classes that nobody learned."""
        return int((~np.isin(self.names[self.ask].astype(str), self.classes)).sum())

    def batches(self, rank: int, world: int) -> "ClassBatches":
        return ClassBatches(self, rank, world)

    def arguments(self, step: int) -> tuple[float]:
        return (self.config.label_smoothing,)

    def identity(self) -> list[str]:
        pairs = zip(self.division.train, self.names[self.learn])
        learned = sha256("\n".join(f"{tile}|{name}" for tile, name in pairs).encode())[:16]
        return [self.dataset.fingerprint, self.dataset.labels_sha256, learned, self.encoder_sha256]

    # ---- what was reached -------------------------------------------------------------------------------------------

    def finish(self, step: int, seconds: float) -> dict[str, Any]:
        """Save the classifier, open it again as anyone would, and measure that."""
        config, out, state = self.config, self.config.out, whole_state(self.module)
        result: dict[str, Any] = {}
        if self.engine.first:
            head = self.module
            if isinstance(head, Averaged):  # what learned is left behind
                head = head.average
                state = {
                    name.removeprefix("average."): one for name, one in state.items() if name.startswith("average")
                }
            taught = taught_on(self.dataset, self.division.train)
            if self.window.side_T is not None:  # what it saw of them
                taught["tile_px"] = int(np.median(self.window.side_T[self.learn]))
            shown, contrast = self.window.told, config.contrast
            save_classifier(head, state, out / "model", config.encoder, config.size, shown, contrast, taught)
            table = self.measure(load_classifier(out / "model", self.engine.device))
            write_predictions(table, out)
            found = confusion(table)
            with whole_file(out / PICTURES / "confusion.png") as part:
                part.write_bytes(draw_confusion(found, f"{config.encoder}, {TOLD[config.mode]}"))
            details: dict[str, Json] = {
                "classes": dict(Counter(self.names[self.learn].tolist())),
                "train_tiles": len(self.learn),
                "left_out": self.tiles.left_out,
                "left_out_by_reason": {"no class": self.tiles.no_class, "several classes": self.tiles.several},
                "measured_of_unknown_classes": self._strange,
                "input": self.window.told,
                "mirrored": self.window.mirrored,
                "confusion": found,
                "note": self._note,
                "floor_note": self.division.note,
            }
            setup: dict[str, Json] = {"dataset_fingerprint": self.dataset.fingerprint, "seed": config.seed}
            data, split, how = config.dataset.resolve().name, config.split_name, TOLD[config.mode]
            rows = class_rows(table, data, split, config.encoder, how, self._note, self.division.note)
            results = Results(rows, {"classify": details}, setup, {"train": seconds})
            write_division(out, self.division)
            results.write(out / METRICS)
            result = {"model": str(out / "model"), "steps": step, **details, "rows": results.plain()["rows"]}
        return dict(self.engine.fabric.broadcast(result))

    @property
    def _note(self) -> str:
        """What must be said beside every figure."""
        hidden = "" if self.window.side_T is None else f"Chip size is hidden ({self.window.told})."
        return " ".join(one for one in (self.division.note, hidden, self._unknown, self.unseen.note) if one)

    def measure(self, classifier: Classifier) -> Any:
        """What is said of every tile that was kept aside, see :mod:`knowlip.tasks.class_rows`."""
        seen = self.pixels[self.ask] if self.config.mode == "full" else self.said[self.ask].numpy()
        said = predict(classifier, seen).numpy()
        test = self.division.test
        tiles, names = self.tiles, self.names[self.ask].tolist()
        floors = known_floors(
            self.dataset, tiles.tile_ids, tiles.classes, self.window, self.learn, self.ask, self.cache
        )
        return predictions(test, self.division.clusters(test), names, self.classes, said, floors)


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
            seed_B = part.seed_B.to(device)
            images = augment(images, seed_B, part.scale.to(device), self.config.augment)
            if self.config.crop_area < 1:
                images = resized_crop(images, seed_B, self.config.crop_area)
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
            turned = [
                Turn.of(int(turn)).pixels(tile) for turn, tile in zip(turns[mine], task.pixels[task.learn[chosen]])
            ]
            images, seed_B = torch.from_numpy(np.stack(turned)), torch.from_numpy(seeds[mine])
            parts.append(LabelledImages(images, task.label_T[chosen], task.scale.rows(chosen), seed_B))
        return parts


# ---- several folds --------------------------------------------------------------------------------------------------


def rows_of(folders: Sequence[Path], data: str, split: str, encoder: str) -> tuple[Row, ...]:
    """Figures over finished run folders, the folds of one seed: every tile counts once."""
    mode = cast(Mode, read_yaml(folders[0] / "config.yaml")["mode"])
    note, floor_note = notes_of(folders, "classify", encoder)
    table = read_predictions(folders, ["tile_id"])
    return class_rows(table, data, split, encoder, TOLD[mode], note, floor_note)


def rows_together(seeds: Sequence[Sequence[Path]], data: str, split: str, encoder: str) -> tuple[Row, ...]:
    """Figures of all seeds as one classifier: their probabilities averaged; no rows where the mode knows no seeds."""
    mode = cast(Mode, read_yaml(seeds[0][0] / "config.yaml")["mode"])
    if mode == "knn":
        return ()
    tables = [read_predictions(folders, ["tile_id"]) for folders in seeds]
    if not all({"classes", "probabilities"} <= {*table.columns} for table in tables):
        say("seeds together: no rows, an older version measured some of them without the probabilities of all classes")
        return ()
    table = voted(tables)
    note, _ = notes_of(seeds[0], "classify", encoder)
    note = f"{note} Probabilities of {len(seeds)} trainings averaged.".strip()
    what = f"{TOLD[mode]}, {len(seeds)} seeds together"
    rows = class_rows(table, data, split, encoder, what, note)
    return tuple(row for row in rows if not row.encoder.startswith(FLOOR))


BENCH: Final = BenchTask(config=ClassifyConfig, run=classify, rows=rows_of, together=rows_together)


def show(result: Classified) -> str:
    """The result for people."""
    lines = [f"{result['model']}: {result['train_tiles']} training tiles, {len(result['classes'])} classes"]
    rows = [row_from(plain) for plain in result["rows"]]
    for row in rows:
        if not row.encoder.startswith(FLOOR):
            note = f". {row.note}" if row.note and row is rows[0] else ""
            lines.append(
                f"{row.metric}: {row.shown(row.value)} ({row.shown_ci}, {row.n} tiles); "
                f"{row.floor_name} {row.shown(row.floor)}{note}"
            )
    return "\n".join(lines)
