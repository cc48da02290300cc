"""What the readout of a model is taught for each tile, whatever way it is turned."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from knowlip.base.vocabulary import TARGET_CATEGORIES
from knowlip.dataset.mentions import Box, Mention
from knowlip.language.closed import TYPES
from knowlip.language.definitions import TileTruth, TrueObject
from knowlip.language.directions import Turn
from knowlip.language.groundings import Grounding


@dataclass
class GroundingTargets:
    """Targets of B tiles, see :mod:`knowlip.objectives.grounding`."""

    agree_BQK: Tensor
    held_BM9: Tensor
    number_BLGG: Tensor
    known_BL: Tensor
    log_size_B2GG: Tensor
    """Logarithm of width and height in fractions of the tile where a centre lies, NaN elsewhere."""
    type_BGG: Tensor
    """Number of the type of the target whose centre lies in a cell, ships before aircraft; -1 elsewhere, and wherever
    no truth tells it."""


_UNKNOWN: Final = (np.zeros(len(TARGET_CATEGORIES), bool), np.zeros((0, 5)))


def boxes_of(mention: Mention | None) -> tuple[np.ndarray, np.ndarray]:
    """Of which categories an annotator points at as many as it counts, (L,) bool; and its boxes, rows of category, x,
    y of the centre, width and height in fractions of the tile."""
    if mention is None:
        return _UNKNOWN
    boxes = Counter(box.category for box in mention.boxes)
    known = np.array([mention.counts.get(name) == boxes[name] for name in TARGET_CATEGORIES])
    rows = [
        (TARGET_CATEGORIES.index(box.category), box.x + box.width / 2, box.y + box.height / 2, box.width, box.height)
        for box in mention.boxes
        if box.category in TARGET_CATEGORIES
    ]
    return known, np.array(rows, float).reshape(-1, 5)


def true_mention(tile_id: str, truth: TileTruth) -> Mention:
    """The targets of a tile's truth, as an annotator that never errs would count and point at them; of those that reach
    over an edge the part inside."""
    counts = Counter(one["category"] for one in truth["objects"])
    boxes = []
    for one in truth["objects"]:
        low, high = _inside(one)
        if (high > low).all():
            boxes.append(Box(one["category"], *low.tolist(), *(high - low).tolist()))
    return Mention(tile_id, "truth", {name: counts[name] for name in TARGET_CATEGORIES}, tuple(boxes))


def _inside(one: TrueObject) -> tuple[np.ndarray, np.ndarray]:
    """Corners (x, y) of the upright box around the part of a target that lies in its tile."""
    outline = np.clip(np.asarray(one["polygon"], float), 0, 1)
    return outline.min(0), outline.max(0)


def _cells(places: np.ndarray, side: int) -> np.ndarray:
    """Column and row of the cells that places (..., x and y in fractions of the tile) lie in."""
    return np.clip((places * side).astype(int), 0, side - 1)


def targets_of(
    groundings: Sequence[Grounding],
    mentions: Sequence[Mention | None],
    turns: Sequence[int],
    side: int,
    truths: Sequence[TileTruth | None] = (),
) -> GroundingTargets:
    """Targets of some tiles.

    Args:
        groundings: of the texts, turned as the pixels are.
        mentions: of the tiles as they lie in the data set, of their annotator or :func:`true_mention`.
        turns: number of each tile's turn.
        side: G, cells of the map along each side.
        truths: of the tiles as they lie in the data set, where truth tells what each target is; an annotator tells it
            of all targets of a tile together only.
    """
    number = np.zeros((len(turns), len(TARGET_CATEGORIES), side, side), np.float32)
    known = np.zeros(number.shape[:2], bool)
    sizes = np.zeros((len(turns), 2, side, side), np.float32)
    for row, (mention, turn) in enumerate(zip(mentions, turns, strict=True)):
        known[row], boxes = boxes_of(mention)
        of_row, size = np.zeros(number.shape[1:], np.float32), np.full((2, side, side), np.nan, np.float32)
        if len(boxes):
            category = boxes[:, 0].astype(int)
            x, y = _cells(boxes[:, 1:3], side).T
            np.add.at(of_row, (category, y, x), 1)
            size[:, y, x] = np.log(boxes[:, 3:].T)
            if Turn.of(turn).swaps_axes:
                size = size[::-1]
        number[row], sizes[row] = Turn.of(turn).pixels(of_row), Turn.of(turn).pixels(size)
    return GroundingTargets(
        torch.from_numpy(np.stack([grounding.answers_QK for grounding in groundings])),
        torch.from_numpy(np.stack([grounding.regions_M9 for grounding in groundings])),
        torch.from_numpy(number),
        torch.from_numpy(known),
        torch.from_numpy(sizes),
        torch.from_numpy(_types(truths or [None] * len(turns), turns, side)),
    )


def _types(truths: Sequence[TileTruth | None], turns: Sequence[int], side: int) -> np.ndarray:
    """Type of the target in each cell (B, G, G), where its box has its centre; unknown where two of a cell differ."""
    types = np.full((len(turns), side, side), -1, np.int64)
    for row, (truth, turn) in enumerate(zip(truths, turns, strict=True)):
        plain = np.full((side, side), -1, np.int64)
        told: dict[tuple[int, int], set[str]] = {}
        for one in truth["objects"] if truth else ():
            low, high = _inside(one)
            if (high > low).all():
                x, y = _cells((low + high) / 2, side).tolist()
                told.setdefault((y, x), set()).add(one["type"])
        for at, names in told.items():
            if len(names) == 1 and names <= {*TYPES}:
                plain[at] = TYPES.index(next(iter(names)))
        types[row] = Turn.of(turn).pixels(plain)
    return types
