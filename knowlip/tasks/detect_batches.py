"""Batches of a detector: tiles of any size at another scale, turned, cropped and filled up, their boxes with them.

Shapes: B images, H and W of the batch, N objects.
"""

import threading
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from skimage.draw import polygon
from torch import Tensor

from knowlip.dataset import Dataset
from knowlip.language.directions import Turn, draw_turns
from knowlip.models.detection import BoxTargets
from knowlip.tasks.objects import TileObjects
from knowlip.training.augment import AugmentConfig, GreyScale, augment
from knowlip.training.order import Order, dealt
from knowlip.training.task import prefetched

_SEEN = 0.3
"""Share of a box that a crop has to show for it to be an object; less is neither object nor background."""


@dataclass
class BoxedImages:
    """A process's share of a pass."""

    images: Tensor
    """(B, H, W) uint8."""
    sizes: list[tuple[int, int]]
    """Height and width of each without what it was filled up with."""
    targets: list[BoxTargets]
    scale: GreyScale | None = None
    seed_B: Tensor | None = None
    """Chance of the augmentation of each image."""


@dataclass(frozen=True)
class View:
    """How a tile is shown: turned, its longer side brought to some pixels, and cropped."""

    turn: Turn
    longest: float
    crop: tuple[float, float]
    """Chance of where a side that is too long is cropped, from 0 to 1."""
    side: int
    """Longest side after that."""

    def of(self, pixels: np.ndarray, objects: TileObjects) -> tuple[np.ndarray, TileObjects, np.ndarray]:
        """Pixels, objects in their pixels, and the share (N,) of each box that is to be seen."""
        height, width = pixels.shape
        pixels = self.turn.pixels(pixels)
        rows, columns = pixels.shape
        scale = self.longest / max(rows, columns)
        h, w = max(1, round(rows * scale)), max(1, round(columns * scale))
        image = Image.fromarray(np.ascontiguousarray(pixels)).resize((w, h), Image.Resampling.BILINEAR)
        top, left = (int(chance * max(0, length - self.side) + 0.5) for chance, length in zip(self.crop, (h, w)))
        shown = np.asarray(image)[top : top + self.side, left : left + self.side]

        def placed(points: np.ndarray) -> np.ndarray:
            flat = points.reshape(-1, 2) / (width, height)
            x, y = self.turn.place(flat[:, 0], flat[:, 1])  # type: ignore[arg-type]
            return np.stack([x * w - left, y * h - top], -1)

        corners = tuple(placed(points) for points in objects.corners)
        outlines = tuple(placed(points) for points in objects.outlines)
        both = placed(objects.boxes).reshape(-1, 2, 2)
        boxes = np.concatenate([both.min(1), both.max(1)], 1).reshape(-1, 4)
        inside = np.clip(boxes, 0, np.tile([shown.shape[1], shown.shape[0]], 2))
        area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
        share = (inside[:, 2:] - inside[:, :2]).prod(1) / np.maximum(area, 1e-9)
        found = replace(objects, size=shown.shape, boxes=inside, corners=corners, outlines=outlines)
        return shown, found, share


def batched(
    shown: Sequence[tuple[np.ndarray, TileObjects, np.ndarray]],
    classes: Mapping[str, int],
    multiple: int,
    masks: bool = False,
) -> BoxedImages:
    """Views as a batch, filled up to the right and below to sides that are multiples of a patch.

    Args:
        shown: what :meth:`View.of` gives.
        classes: class -> number, from 1.
        multiple: pixels of a patch.
        masks: make masks of the outlines.
    """
    sizes = [(pixels.shape[0], pixels.shape[1]) for pixels, _, _ in shown]
    height, width = (-(-max(side) // multiple) * multiple for side in zip(*sizes))
    images = np.zeros((len(shown), height, width), np.uint8)
    targets = []
    for row, (pixels, objects, share) in enumerate(shown):
        images[row, : pixels.shape[0], : pixels.shape[1]] = pixels
        there = (objects.boxes[:, 2:] - objects.boxes[:, :2] >= 1).all(1) & (share > 0)
        free = objects.ignored | (share < _SEEN)
        known = objects.chosen(there & ~free)
        targets.append(
            BoxTargets(
                torch.from_numpy(known.boxes.astype(np.float32)),
                torch.tensor([classes[name] for name in known.classes], dtype=torch.int64),
                torch.from_numpy(objects.boxes[there & free].astype(np.float32)),
                torch.from_numpy(_masks(known, height, width)) if masks else None,
            )
        )
    return BoxedImages(torch.from_numpy(images), sizes, targets)


def _masks(objects: TileObjects, height: int, width: int) -> np.ndarray:
    """(N, H, W) uint8 of outlines; one that covers no pixel's middle is its box."""
    found = np.zeros((len(objects), height, width), np.uint8)
    for mask, outline, box in zip(found, objects.outlines, objects.boxes):
        # Pillow's polygons are half a pixel wider on every side: a ship of 8 pixels would grow by a third.
        mask[polygon(outline[:, 1] - 0.5, outline[:, 0] - 0.5, (height, width))] = 1
        if not mask.any():
            left, top, right, bottom = (int(value) for value in np.rint(box))
            mask[top : max(bottom, top + 1), left : max(right, left + 1)] = 1
    return found


class BoxBatches:
    """Batches by number of step and pass; each process gets its rows of the global batch.

    Args:
        data: where the pixels are.
        tile_ids: training tiles.
        objects: of each of them.
        order: which rows make a batch.
        config: settings (:class:`knowlip.tasks.detect.DetectConfig`).
        shape: classes by number, pixels of a patch, longest side, whether masks are taught.
        rank, world: this process of how many.
    """

    def __init__(
        self,
        data: Dataset,
        tile_ids: Sequence[str],
        objects: Mapping[str, TileObjects],
        order: Order,
        config: "BoxBatchSettings",
        rank: int,
        world: int,
    ) -> None:
        self.data, self.tile_ids, self.objects, self.order = data, tile_ids, objects, order
        self.config, self.rank, self.world = config, rank, world
        self.scale = GreyScale.of(data.tiles().set_index("tile_id").loc[list(tile_ids)])
        self._lock = threading.Lock()

    def stream(self, start: int, stop: int) -> Generator[list[BoxedImages], None, None]:
        return prefetched(self._step, start, stop, self.config.workers, 2)

    def deliver(self, part: BoxedImages, step: int, micro: int, device: torch.device | str) -> BoxedImages:
        """To the device, augmented there."""
        images, wanted = part.images.to(device), self.config.augment
        if part.scale is not None and part.seed_B is not None and (wanted.gain_db or wanted.speckle_looks):
            # Chance is drawn for squares: what was filled up stays 0 whatever is drawn for it.
            side = max(images.shape[-2:])
            square = images.new_zeros(len(images), side, side)
            square[:, : images.shape[1], : images.shape[2]] = images
            changed = augment(square, part.seed_B.to(device), part.scale.to(device), wanted)
            images = changed[:, : images.shape[1], : images.shape[2]]
        return replace(part, images=images, targets=[target.to(device) for target in part.targets])

    def _step(self, step: int) -> list[BoxedImages]:
        """This process's passes of a step, on the CPU. Chance is drawn for the whole batch, whoever holds which row."""
        config, rows = self.config, self.order.rows(step)
        chance = np.random.default_rng([config.seed, 2, step])
        seeds = chance.integers(2**62, size=len(rows))
        turns = draw_turns(chance.random((len(rows), 2)), config.augment.flips, config.augment.rotations)
        low, high = config.scale
        longest = config.side * (low + (high - low) * chance.random(len(rows)))
        crops = chance.random((len(rows), 2))
        # Long sides of a batch lie along one axis, so that little is filled up.
        upright = bool(chance.random() < 0.5) if config.augment.rotations else False
        parts = []
        for micro in range(config.accumulate):
            mine = dealt(len(rows), micro, config.accumulate, self.rank, self.world)
            shown = []
            for at in mine:
                tile_id = self.tile_ids[rows[at]]
                with self._lock:
                    pixels = self.data.image(tile_id)
                turn = Turn.of(int(turns[at]))
                if config.augment.rotations and pixels.shape[0] != pixels.shape[1]:
                    tall = (pixels.shape[0] > pixels.shape[1]) != turn.swaps_axes
                    turn = turn if tall == upright else turn.then(Turn(quarters=1))
                view = View(turn, float(longest[at]), (float(crops[at, 0]), float(crops[at, 1])), config.side)
                shown.append(view.of(pixels, self.objects[tile_id]))
            part = batched(shown, config.classes, config.multiple, config.masks)
            parts.append(replace(part, scale=self.scale.rows(rows[mine]), seed_B=torch.from_numpy(seeds[mine])))
        return parts


@dataclass(frozen=True)
class BoxBatchSettings:
    """What batches depend on."""

    classes: Mapping[str, int]
    """Class -> number, from 1."""
    side: int
    """Longest side in pixels."""
    multiple: int
    """Pixels of a patch."""
    masks: bool
    scale: tuple[float, float]
    augment: AugmentConfig
    seed: int
    accumulate: int
    workers: int
