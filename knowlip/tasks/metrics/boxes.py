"""Boxes that were found against boxes that are there: average precision as COCO has it.

:func:`coco_scores` is the protocol by `faster-coco-eval`; :class:`Detections` is the same at one overlap and for any
shape, so cheap that an interval over groups of images is drawn by counting images more than once.
"""

import contextlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from faster_coco_eval import COCO, COCOeval_faster

from knowlip.tasks.metrics.intervals import Estimate, over_clusters

CORNERS: Final = ("left", "top", "right", "bottom")
"""Columns of a box in tables."""
OVERLAPS: Final = tuple(float(value) for value in np.linspace(0.5, 0.95, 10))
"""Intersections over union over which COCO's AP is the mean."""
_STATS: Final = ("AP", "AP50", "AP75", "AP small", "AP medium", "AP large", "AR1", "AR10", "AR", "AR small")
OVERLAP: Final = 0.5
"""Intersection over union from which a box is found."""
Boxes = np.ndarray
"""(N, 4): left, top, right, bottom. Of true ones a fifth column may be 1: nobody need find it."""


def overlaps(one: Boxes, other: Boxes, of_one: bool = False) -> np.ndarray:
    """(N, M) intersection over union of boxes, or over the area of the first."""
    low, high = np.maximum(one[:, None, :2], other[None, :, :2]), np.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    area = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(-1) for boxes in (one, other)]
    union = np.broadcast_to(area[0][:, None], shared.shape) if of_one else area[0][:, None] + area[1][None] - shared
    return np.asarray(shared / np.maximum(union, 1e-9))


@dataclass(frozen=True)
class Detections:
    """What was found in some images, against what is there: of all images, best score first in each."""

    image: np.ndarray
    """(D,) number of the image of each detection."""
    score: np.ndarray
    right: np.ndarray
    """(D,) whether it is the best match of a box that no better detection has found. Detections of boxes that nobody
    need find are left out."""
    there: np.ndarray
    """(I,) boxes in each image."""

    def average_precision(self, times: np.ndarray | None = None) -> float:
        """Area under the precision-recall curve at 101 recalls, as COCO has it at one overlap.

        Args:
            times: (I,) how often each image counts; once where not given.
        """
        times = np.ones(len(self.there)) if times is None else times
        order = np.argsort(-self.score, kind="stable")
        weight, right = times[self.image[order]], self.right[order]
        found, all_found = np.cumsum(weight * right), np.cumsum(weight)
        total = float((times * self.there).sum())
        if not total:
            return float("nan")
        if not len(found):
            return 0.0
        precision = np.maximum.accumulate((found / np.maximum(all_found, 1e-9))[::-1])[::-1]
        place = np.searchsorted(found / total, np.linspace(0, 1, 101), side="left")
        return float(np.append(precision, 0.0)[np.minimum(place, len(precision))].mean())


def matched(
    found: Sequence[tuple[Boxes, np.ndarray]],
    there: Sequence[Boxes],
    overlap: float = OVERLAP,
    measure: Callable[[np.ndarray, np.ndarray, bool], np.ndarray] = overlaps,
    numbers: int = 4,
) -> Detections:
    """Detections against boxes, image by image: the best score takes its best free box.

    Args:
        found: boxes and scores of each image.
        there: the true boxes of each image.
        overlap: intersection over union that a match needs.
        measure: overlaps of boxes (N, numbers) with others, and of what nobody need find (its third argument).
        numbers: of a box; 4, or 8 of a rotated one (:func:`knowlip.tasks.metrics.rotated.rotated_overlaps`).
    """
    image, score, right, counts = [], [], [], []
    for number, ((boxes, scores), true) in enumerate(zip(found, there, strict=True)):
        order = np.argsort(-scores, kind="stable")
        free = true[:, numbers] > 0 if true.shape[1] > numbers else np.zeros(len(true), bool)
        shared, taken = measure(boxes[order], true[:, :numbers], False), np.zeros(len(true), bool)
        # As COCO has it of crowds: as much of the detection as lies in what nobody need find.
        inside = measure(boxes[order], true[free, :numbers], True)
        counts.append(int((~free).sum()))
        for at, row in enumerate(shared):
            best = int(np.where(taken | free, -1, row).argmax()) if len(true) else -1
            hit = best >= 0 and not taken[best] and not free[best] and row[best] >= overlap
            if hit:
                taken[best] = True
            elif (inside[at] >= overlap).any():
                continue
            image.append(number)
            score.append(float(scores[order[at]]))
            right.append(hit)
    return Detections(np.array(image, int), np.array(score), np.array(right, bool), np.array(counts, float))


def together(parts: Sequence[Detections]) -> Detections:
    """Detections of several lots of images as one, numbered one behind the other."""
    first = np.cumsum([0, *(len(part.there) for part in parts[:-1])])
    image = [part.image + at for part, at in zip(parts, first)]
    rest = ([getattr(part, name) for part in parts] for name in ("score", "right", "there"))
    return Detections(np.concatenate(image), *map(np.concatenate, rest))


def precision_estimate(found: Detections, clusters: Sequence[str]) -> Estimate:
    """AP with a bootstrap over clusters of images (no interval where they are few)."""
    return over_clusters(found.average_precision, clusters, int(found.there.sum()))


# ---- COCO's protocol ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CocoScores(Mapping[str, float]):
    """COCO's figures by name (AP, AP50, AP75, AP small, ..., AR), NaN where there is nothing to find."""

    figures: Mapping[str, float]
    recall: np.ndarray
    """(101,)"""
    precision: np.ndarray
    """(101,) at these recalls and an overlap of 0.5, mean over the classes."""

    def __getitem__(self, name: str) -> float:
        return self.figures[name]

    def __iter__(self) -> Any:
        return iter(self.figures)

    def __len__(self) -> int:
        return len(self.figures)


def coco_scores(found: pd.DataFrame, truth: pd.DataFrame, tile_ids: Sequence[str] | None = None) -> CocoScores:
    """Average precision and recall by COCO's protocol, at most 100 detections an image.

    Args:
        found: tile_id, category, score and `CORNERS`, in pixels.
        truth: tile_id, category, ignored and `CORNERS`. Ignored ones count as crowds: nobody need find them.
        tile_ids: the tiles that were looked at; those of `truth` where not given.
    """
    ids = list(dict.fromkeys(truth["tile_id"] if tile_ids is None else tile_ids))
    number = {tile_id: at for at, tile_id in enumerate(ids, 1)}
    names = sorted({*truth["category"]})
    code = {name: at for at, name in enumerate(names, 1)}
    truth = truth[truth["tile_id"].isin(number)]
    found = found[found["tile_id"].isin(number) & found["category"].isin(code)]
    if not len(truth[~truth["ignored"].astype(bool)]):
        return CocoScores(dict.fromkeys(_STATS, float("nan")), np.linspace(0, 1, 101), np.full(101, np.nan))

    def entries(table: pd.DataFrame) -> list[dict[str, Any]]:
        boxes = table[list(CORNERS)].to_numpy(float).reshape(-1, 4)
        sides = boxes[:, 2:] - boxes[:, :2]
        return [
            {
                "id": at,
                "image_id": number[tile_id],
                "category_id": code[category],
                "bbox": [*map(float, box[:2]), *map(float, side)],
                "area": float(side.prod()),
            }
            for at, (tile_id, category, box, side) in enumerate(
                zip(table["tile_id"], table["category"], boxes, sides), 1
            )
        ]

    there, said = entries(truth), entries(found)
    for entry, ignored in zip(there, truth["ignored"]):
        entry["iscrowd"] = int(ignored)
    for entry, score in zip(said, found["score"]):
        entry["score"] = float(score)
    if not said:
        zeros = dict.fromkeys(_STATS, 0.0)
        return CocoScores(zeros, np.linspace(0, 1, 101), np.zeros(101))
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does
        judge = COCO(
            {
                "images": [{"id": at} for at in number.values()],
                "categories": [{"id": at, "name": name} for name, at in code.items()],
                "annotations": there,
            }
        )
        judged = COCOeval_faster(judge, judge.loadRes(said), "bbox")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    stats = [float(value) if value > -1 else float("nan") for value in judged.stats]
    curve = np.asarray(judged.eval["precision"])[0, :, :, 0, -1]
    known = np.where(curve > -1, curve, np.nan)
    values = dict(zip(_STATS, stats))
    return CocoScores(values, np.linspace(0, 1, 101), np.nanmean(known, axis=1))


def ap_estimate(
    found: pd.DataFrame,
    truth: pd.DataFrame,
    groups: Mapping[str, str],
    at: Sequence[float] = (OVERLAP,),
    columns: Sequence[str] = CORNERS,
    measure: Callable[[np.ndarray, np.ndarray, bool], np.ndarray] = overlaps,
) -> Estimate:
    """AP, mean over overlaps and classes, with a bootstrap over groups of tiles (no interval where they are few).

    Args:
        found, truth: as of :func:`coco_scores`.
        groups: group of near copies of each tile that was looked at.
        at: overlaps.
        columns: of a box in both tables.
        measure: see :func:`matched`.
    """
    figure, asked = _precision(found, truth, list(groups), at, columns, measure)
    return over_clusters(figure, list(groups.values()), asked)


def weighted_precision(
    found: pd.DataFrame, truth: pd.DataFrame, tile_ids: Sequence[str], at: Sequence[float] = (OVERLAP,)
) -> Callable[[np.ndarray], float]:
    """The AP of :func:`ap_estimate` as a function of how often each tile counts (N,)."""
    return _precision(found, truth, tile_ids, at, CORNERS, overlaps)[0]


def _precision(
    found: pd.DataFrame,
    truth: pd.DataFrame,
    tile_ids: Sequence[str],
    at: Sequence[float],
    columns: Sequence[str],
    measure: Callable[[np.ndarray, np.ndarray, bool], np.ndarray],
) -> tuple[Callable[[np.ndarray], float], int]:
    """AP of tiles that count so often each, and how many objects are asked for."""
    # What overlaps what is found once; a draw of tiles only counts it anew.
    parts: list[list[Detections]] = []
    for category in sorted({*truth["category"]}):
        said = _by_tile(found[found["category"] == category], tile_ids, [*columns, "score"])
        true = _by_tile(truth[truth["category"] == category], tile_ids, [*columns, "ignored"])
        split = [(one[:, :-1], one[:, -1]) for one in said]
        parts.append([matched(split, true, overlap, measure, len(columns)) for overlap in at])

    def figure(times: np.ndarray) -> float:
        known = [[one.average_precision(times) for one in part] for part in parts]
        means = [float(np.mean(one)) for one in known if np.isfinite(one).all()]
        return float(np.mean(means)) if means else float("nan")

    return figure, sum(int(part[0].there.sum()) for part in parts)


def _by_tile(table: pd.DataFrame, tile_ids: Sequence[str], columns: list[str]) -> list[np.ndarray]:
    """Rows of each tile as numbers (N, columns)."""
    rows = {name: part[columns].to_numpy(float) for name, part in table.groupby("tile_id")}
    none = np.zeros((0, len(columns)))
    return [rows.get(tile_id, none) for tile_id in tile_ids]
