"""The audit's floors of detection and segmentation: which images may be learned from, and what is measured."""

from collections.abc import Iterator, Mapping
from functools import cached_property

import numpy as np

from knowlip.base.progress import track
from knowlip.dataset import Dataset
from knowlip.tasks.cfar import cfar_detections
from knowlip.tasks.masked import ClassMasks
from knowlip.tasks.metrics import Estimate
from knowlip.tasks.metrics.boxes import Boxes, precision_estimate, together
from knowlip.tasks.metrics.segmentation import (
    FLOORS,
    floor_confusion,
    grey_counts,
    matrix_estimate,
    mean_iou,
    smoothed,
)
from knowlip.tasks.protocols import APART, FOLDS, OWN, Split, own_split, parts, why_not


class Places:
    """Tiles of a data set with boxes or masks, and how they may be split.

    Args:
        data: the data set.
        tile_ids: its accepted tiles.
        groups: number of the group of tiles that stay on one side, of each.
        splits: split of each.
        seed: of nothing but the order of groups.
    """

    def __init__(self, data: Dataset, tile_ids: list[str], groups: np.ndarray, splits: np.ndarray, seed: int) -> None:
        self.data, self.tile_ids, self.groups, self.splits, self._seed = data, tile_ids, groups, splits, seed
        self._not_apart = ""

    def reasons(self, task: str, found: Mapping[str, object]) -> dict[str, str]:
        """Why protocols of a task were not measured, as parts of sentences."""
        if task == "segmentation" and not self.masked:
            return {task: "the set has no masks."}
        if task == "detection" and not self.boxed:
            return {task: "no annotation is a part of its tile."}
        what = "boxes" if task == "detection" else "pixels with a class"
        nothing = f"there are no {what} to learn from or to ask about."
        why = {OWN: nothing, APART: self._not_apart or nothing}
        return {f"{task}, {protocol}": said for protocol, said in why.items() if protocol not in found}

    def protocols(self, numbers: list[int]) -> Iterator[tuple[str, list[Split]]]:
        """Ways to split some tiles into those to learn from and those to measure."""
        chosen = np.array(numbers)
        learn, ask = (chosen[part] for part in own_split(self.splits[chosen]))
        if len(learn) and len(ask):
            yield OWN, [(learn, ask)]
        groups = self.groups[chosen]
        self._not_apart = why_not("groups", None, groups) if len(groups) else ""
        if len(groups) and not self._not_apart:  # as the tasks divide, or refuse to
            yield APART, [(chosen[a], chosen[b]) for a, b in parts("groups", None, groups, FOLDS, self._seed)]

    def clusters(self, numbers: np.ndarray) -> list[str]:
        """Group of each tile, as text."""
        return [str(self.groups[number]) for number in numbers]

    @cached_property
    def boxed(self) -> dict[int, Boxes]:
        """Number of a tile -> its true boxes in pixels; tiles without any have none. {} where no tile has one, or each
        is its whole tile (a class of the tile). Rows: left, top, right, bottom, and 1 for what nobody need find
        (difficult ones, crowds)."""
        annotations, tiles = self.data.annotations(), self.data.tiles()
        if not ((annotations["width"] < 1) | (annotations["height"] < 1)).any():  # each is the class of its tile
            return {}
        shape = dict(zip(tiles["tile_id"], tiles["proj:shape"]))
        rows = dict(list(annotations.groupby("tile_id")))
        found: dict[int, Boxes] = {}
        for number, tile_id in enumerate(self.tile_ids):
            height, width = (float(side) for side in shape[tile_id])
            if tile_id not in rows:
                found[number] = np.zeros((0, 5))
                continue
            x, y, w, h = (rows[tile_id][name].to_numpy(float) for name in ("x", "y", "width", "height"))
            free = rows[tile_id]["difficult"].fillna(False).to_numpy(float)
            found[number] = np.stack([x * width, y * height, (x + w) * width, (y + h) * height, free], 1)
        return found

    @cached_property
    def masked(self) -> list[int]:
        """Numbers of tiles with a mask."""
        there = self.data.masks.places
        return [number for number, tile_id in enumerate(self.tile_ids) if tile_id in there]


class _Pictures(Mapping[int, np.ndarray]):
    """Tiles by number, read when asked for."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def __getitem__(self, number: int) -> np.ndarray:
        return self._places.data.image(self._places.tile_ids[number])

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self)))

    def __len__(self) -> int:
        return len(self._places.tile_ids)


def detection_floors(places: Places) -> dict[str, dict[str, Estimate]]:
    """Protocol -> floor -> AP50 of all classes as one; {} where no tile has boxes."""
    boxed = places.boxed
    if not boxed:
        return {}
    there, found = [boxed[number] for number in range(len(places.tile_ids))], {}
    for protocol, splits in places.protocols(list(boxed)):
        # Settings are chosen fold by fold, so that no image is asked about with settings that it helped to choose.
        asked = [number for _, ask in splits for number in ask.tolist()]
        if not any((there[number][:, 4] == 0).any() for number in asked):
            continue
        parts = [cfar_detections(_Pictures(places), there, learn.tolist(), ask.tolist())[0] for learn, ask in splits]
        clusters = places.clusters(np.concatenate([ask for _, ask in splits]))
        found[protocol] = {"CFAR": precision_estimate(together(parts), clusters)}
    return found


def segmentation_floors(places: Places) -> dict[str, dict[str, Estimate]]:
    """Protocol -> floor -> mIoU, of the very pixels that a segmentation learns from and measures; {} where no tile has
    a mask."""
    if not places.masked or not places.data.mask_classes:
        return {}
    reader, found = ClassMasks(places.data), {}
    table = np.zeros((len(places.tile_ids), len(reader.classes), 256), int)
    for number in track(places.masked, "count grey levels"):
        pixels, mask = reader.read(places.tile_ids[number])
        table[number] = grey_counts(smoothed(pixels), mask, len(reader.classes))
    for protocol, splits in places.protocols([number for number in places.masked if table[number].any()]):
        ask = np.concatenate([part for _, part in splits])
        found[protocol] = {
            name: matrix_estimate(
                mean_iou,
                np.concatenate([floor_confusion(table[learn].sum(0), table[part], by_grey) for learn, part in splits]),
                places.clusters(ask),
            )
            for name, by_grey in FLOORS.items()
        }
    return found
