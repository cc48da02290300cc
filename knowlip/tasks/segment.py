"""A class for every pixel: Segmenter's mask transformer on the tokens of any encoder (docs/segmentation.md).

Training crops squares of one side from tiles of any size, turns them with their masks, and takes the cross-entropy of
pixels that have a class. Tiles are measured by a sliding window whose probabilities are averaged. Two floors stand
beside the result, on the same pixels: the most frequent class, and what most training pixels of a grey level are.

Shapes: B crops, S side of a crop, C classes, H x W pixels of a tile.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, TypedDict, cast

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from knowlip.base.files import write_json
from knowlip.base.progress import say, track
from knowlip.base.rows import Json, Results, row_from
from knowlip.dataset import Dataset
from knowlip.dataset.annotations import IGNORE
from knowlip.language.directions import Turn, draw_turns
from knowlip.models.encoders import UnsuitedEncoder, encoder_sha256, open_encoder
from knowlip.tasks.masked import read_masked
from knowlip.tasks.metrics.segmentation import FLOORS, confusion_of, floor_confusion
from knowlip.tasks.protocols import Division, divide
from knowlip.tasks.runs import FREE_MEASURED, METRICS, PICTURES, BenchTask, write_division
from knowlip.tasks.segment_settings import SegmentConfig
from knowlip.tasks.segmented import FACTS, MODEL, Counted, picture, rows_of, save_png, write_counted
from knowlip.tasks.segmenter import Segmenter, load_segmenter, predict, save_segmenter
from knowlip.tasks.taught_on import taught_on
from knowlip.tasks.unseen import check_unseen
from knowlip.training.augment import GreyScale, augment
from knowlip.training.engine import Engine
from knowlip.training.loop import train
from knowlip.training.order import Order, dealt
from knowlip.training.state import whole_state
from knowlip.training.task import Task, prefetched

_STANDARD: Final = 64
"""Crops whose tokens say how large each channel of a frozen encoder is."""


class Segmented(TypedDict):
    """What was reached."""

    model: str
    """Its folder."""
    steps: int
    classes: Mapping[str, Json]
    """Class -> training pixels."""
    train_tiles: int
    test_tiles: int
    notes: Sequence[str]
    rows: Sequence[Mapping[str, Json]]


def segment(config: SegmentConfig) -> Segmented:
    """Train, measure on the tiles that were kept aside, and write `out/model`, predictions, pictures and metrics.json.

    Raises:
        ValueError: a set without masks, too few tiles, an encoder that cannot learn or saw the tiles to be measured.
        ChildProcessError: one of several processes was killed or failed.
    """
    # Some encoders hold weights that the tokens do not pass.
    return cast(Segmented, train(Segmentation, config, unused=config.mode == "full"))


# ---- loss -----------------------------------------------------------------------------------------------------------


@dataclass
class MaskedCrops:
    """A process's share of a pass."""

    images: Tensor
    """(B, S, S) uint8."""
    mask_BSS: Tensor
    """Class numbers (B, S, S) uint8."""
    scale: GreyScale
    seed_B: Tensor
    """Chance of the augmentation of each crop."""
    known: float
    """Pixels with a class of a pass, mean over all passes and processes of the step; at least 1."""


class SegmentLoss(nn.Module):
    """Cross-entropy of the pixels that have a class."""

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        self.segmenter = segmenter

    def forward(self, part: MaskedCrops) -> tuple[dict[str, Tensor], None]:
        """The loss of a pass; 0 where no pixel of it has a class. Passes and processes are averaged, so that each is
        divided by the same number: a pixel counts as much whatever the pass that it came in."""
        target = part.mask_BSS.long()
        loss = F.cross_entropy(self.segmenter(part.images), target, ignore_index=IGNORE, reduction="sum")
        return {"loss": loss / part.known}, None


# ---- the task -------------------------------------------------------------------------------------------------------


class Segmentation(Task[MaskedCrops]):
    """Crops with masks for the training loop."""

    free: ClassVar = ("workers", "pictures", *FREE_MEASURED)
    pairs: ClassVar = "crops"
    module: SegmentLoss

    def __init__(self, config: SegmentConfig, engine: Engine) -> None:
        self.config, self.engine = config, engine
        self.dataset = Dataset(config.dataset)
        cache = config.cache or config.out / "cache"
        self.tiles, self.left_out = read_masked(self.dataset, cache)
        self.division: Division = divide(
            self.dataset,
            self.tiles.tile_ids,
            None,
            config.protocol,
            config.fold,
            config.folds,
            config.split_seed,
            split=config.split,
            cache=cache,
        )
        self.learn, self.ask = (self.tiles.numbers(some) for some in (self.division.train, self.division.test))
        for some, what in ((self.learn, "to learn from"), (self.ask, "to measure")):
            if not some:
                raise ValueError(f"{config.dataset} has no tile {what} with a mask, by the protocol {config.protocol}.")
        # A frozen encoder is opened again by its name, which knows no seed.
        drawn = config.seed if config.mode == "full" else 0
        self.encoder = open_encoder(config.encoder, engine.device, config.size, drawn)
        self.encoder_sha256 = encoder_sha256(self.encoder)  # before it learns
        index = self.dataset.tiles()
        aside = index[index["tile_id"].isin(set(self.division.test))]
        # Before anything is computed: an encoder that saw these tiles need not learn from others.
        self.unseen = check_unseen(self.encoder.card, self.dataset.fingerprint, index, aside, config.encoder)
        if config.mode == "full" and not any(True for _ in self.encoder.module.parameters()):
            raise UnsuitedEncoder(f"{config.encoder} has no weights to fine-tune: use mode frozen.")
        if config.mode == "full" and config.checkpoint_activations:
            self.encoder.module.set_grad_checkpointing(True)  # type: ignore[operator]
        self.scale = GreyScale.of(index.set_index("tile_id").loc[list(self.division.train)])
        self.known = np.stack([self.tiles.counts(number) for number in self.learn])
        self.module = SegmentLoss(Segmenter(self.encoder, self.tiles.classes, config.mode, config.head))
        self.crops = crops_of([self.tiles.shapes[number] for number in self.learn], config.crop, config.batch_size)
        self.order = Order(len(self.crops), config.batch_size, config.seed)
        self.steps_per_epoch = self.order.steps_per_epoch
        self.ends = [config.steps]
        if config.mode == "frozen":
            self._standardise()

    def _standardise(self) -> None:
        """Of tokens of the first crops, the same in every process."""
        steps, whole = range(-(-_STANDARD // self.config.batch_size)), CropBatches(self, 0, 1)
        segmenter = self.module.segmenter
        images = torch.cat([part.images for step in steps for part in whole._step(step)]).to(self.engine.device)
        segmenter.head.to(self.engine.device)
        with torch.no_grad():
            tokens = torch.cat([segmenter.tokens(some) for some in images.split(self.config.batch_size)])
        segmenter.head.standardise(tokens.flatten(0, 1).float())

    def batches(self, rank: int, world: int) -> "CropBatches":
        return CropBatches(self, rank, world)

    def identity(self) -> list[str]:
        sides = [f"{len(some)} {some[0]}" for some in (self.division.train, self.division.test)]
        return [self.tiles.key, *sides, self.encoder_sha256]

    def begin(self) -> None:
        for note in self.notes():
            say(f"note: {note}")

    def notes(self) -> list[str]:
        """What a reader of the numbers must know."""
        found = [note for note in (self.division.note, self.unseen.note) if note]
        config = self.dataset.info.get("config", {})
        if isinstance(config, dict) and config.get("test_part") and self.config.protocol == "own":
            guard = config.get("guard_px", 0)
            found.append(f"Train and test are parts of the same images with {guard} pixels between them.")
        learned = self.known.sum((0, 2))
        if never := [name for name, count in zip(self.tiles.classes, learned) if not count]:
            found.append(f"No training pixel is {', '.join(never)}.")
        if self.left_out.without_mask or self.left_out.without_class:
            found.append(
                f"Left out: {self.left_out.without_mask} tiles without a mask, {self.left_out.without_class} without a "
                "pixel of any class."
            )
        return found

    def finish(self, step: int, seconds: float) -> dict[str, Any]:
        """Save the segmenter, open it again as anyone would, and measure that."""
        out, state = self.config.out, whole_state(self.module)
        result: dict[str, Any] = {}
        if self.engine.first:
            # What is measured is what is on disk, not what is in memory.
            config, own = self.config, {name.removeprefix("segmenter."): value for name, value in state.items()}
            save_segmenter(
                self.module.segmenter,
                own,
                out / MODEL,
                config.size,
                config.head,
                config.crop,
                taught_on(self.dataset, self.division.train),
            )
            self.measure(load_segmenter(out / MODEL, self.engine.device))
            name = self.config.dataset.resolve().name
            rows = rows_of([out], name, config.split_name, config.encoder)
            details: dict[str, Json] = {
                "classes": dict(zip(self.tiles.classes, self.known.sum((0, 2)).tolist())),
                "train_tiles": len(self.learn),
                "test_tiles": len(self.ask),
                "notes": self.notes(),
            }
            setup: dict[str, Json] = {"dataset_fingerprint": self.dataset.fingerprint, "seed": self.config.seed}
            results = Results(rows, {"segment": details}, setup, {"train": seconds})
            write_division(out, self.division)
            results.write(out / METRICS)
            result = {"model": str(out / MODEL), "steps": step, **details, "rows": results.plain()["rows"]}
        return dict(self.engine.fabric.broadcast(result))

    def measure(self, segmenter: Segmenter) -> None:
        """Write predictions (masks as PNG, confusion of each as a table) and pictures of measured tiles."""
        out, classes, counted = self.config.out, self.tiles.classes, list[Counted]()
        drawn = set(np.linspace(0, len(self.ask) - 1, min(self.config.pictures, len(self.ask))).round().astype(int))
        known = self.known.sum(0)
        for folder in ("predictions", PICTURES):
            (out / folder).mkdir(exist_ok=True)
        for place, number in enumerate(track(self.ask, f"segment {len(self.ask)} tiles")):
            name, pixels, mask = self.tiles.tile_ids[number], self.tiles.pixels(number), self.tiles.mask(number)
            said = predict(segmenter, pixels, self.config.crop, self.config.stride)
            group = self.division.group_of[name]
            asked = self.tiles.counts(number)[None]
            by = {"model": confusion_of(mask, said, len(classes))}
            by |= {floor: floor_confusion(known, asked, grey)[0] for floor, grey in FLOORS.items()}
            counted += [Counted(name, group, who, one) for who, one in by.items()]
            save_png(out / "predictions" / f"{name}.png", Image.fromarray(said))
            if place in drawn:
                save_png(out / PICTURES / f"{name}.png", picture(pixels, mask, said, classes))
        write_counted(out, counted)
        write_json(out / FACTS, {"classes": classes, "notes": self.notes()})


def crops_of(shapes: Sequence[tuple[int, int]], side: int, batch: int) -> np.ndarray:
    """Tile (by place) of each crop of an epoch: as many of a tile as it has room for, and at least a batch in all."""
    times = np.array([max(1, round(height * width / side**2)) for height, width in shapes])
    times *= -(-batch // int(times.sum()))
    return np.repeat(np.arange(len(shapes)), times)


class CropBatches:
    """Batches by number of step and pass; each process gets its rows of the global batch."""

    def __init__(self, task: Segmentation, rank: int, world: int) -> None:
        self.task, self.config, self.rank, self.world = task, task.config, rank, world

    def stream(self, start: int, stop: int) -> Generator[list[MaskedCrops], None, None]:
        return prefetched(self._step, start, stop, self.config.workers, 2)

    def deliver(self, part: MaskedCrops, step: int, micro: int, device: torch.device | str) -> MaskedCrops:
        """To the device, augmented there."""
        scale = part.scale.to(device)
        images = augment(part.images.to(device), part.seed_B.to(device), scale, self.config.augment)
        return replace(part, images=images, mask_BSS=part.mask_BSS.to(device))

    def _step(self, step: int) -> list[MaskedCrops]:
        """This process's passes of a step, on the CPU. Chance is drawn for the whole batch, whoever holds which row."""
        config, task, side = self.config, self.task, self.config.crop
        rows = task.crops[task.order.rows(step)]
        chance = np.random.default_rng([config.seed, 2, step])
        seeds, where = chance.integers(2**62, size=len(rows)), chance.random((len(rows), 2))
        turns = draw_turns(chance.random((len(rows), 2)), config.augment.flips, config.augment.rotations)
        places, known = [], 0
        for number, shares in zip([task.learn[row] for row in rows], where):
            room = [max(0, extent - side) for extent in task.tiles.shapes[number]]
            top, left = (int(share * (most + 1)) for share, most in zip(shares, room))
            places.append((number, top, left))
            # Every process counts the whole batch.
            known += int((task.tiles.crop(number, top, left, side)[1] != IGNORE).sum())
        passes = []
        for micro in range(config.accumulate):
            mine = dealt(len(rows), micro, config.accumulate, self.rank, self.world)
            crops = []
            for at in mine:
                number, top, left = places[at]
                turn = Turn.of(int(turns[at]))
                crops.append([turn.pixels(one) for one in task.tiles.crop(number, top, left, side)])
            images, masks = (torch.from_numpy(np.stack(some)) for some in zip(*crops))
            of_pass = max(1.0, known / (config.accumulate * self.world))
            scale, chances = task.scale.rows(rows[mine]), torch.from_numpy(seeds[mine])
            passes.append(MaskedCrops(images, masks, scale, chances, of_pass))
        return passes


def show(result: Segmented) -> str:
    """The result for people."""
    lines = [f"{result['model']}: {result['train_tiles']} training tiles, {result['test_tiles']} measured"]
    for row in (row_from(plain) for plain in result["rows"]):
        floor = f"; {row.floor_name} {row.shown(row.floor)}" if row.floor is not None else ""
        if not row.encoder.startswith("floor:"):
            lines.append(f"{row.metric}: {row.shown(row.value)} ({row.shown_ci}){floor}")
    return "\n".join([*lines, *result["notes"]])


BENCH = BenchTask(config=SegmentConfig, run=segment, rows=rows_of)
