"""Boxes that were found against boxes that are there: pycocotools and shapely are the oracles."""

import contextlib
import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
import shapely
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from knowlip.tasks.metrics.boxes import CORNERS, OVERLAPS, ap_estimate, coco_scores, overlaps
from knowlip.tasks.metrics.rotated import POINTS, rotated_overlaps


def tables(seed: int, images: int = 24, classes: int = 3) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Objects of all sizes, some ignored, and detections that are moved, doubled, of another class or nothing."""
    rng = np.random.default_rng(seed)
    found: list[dict[str, Any]] = []
    truth: list[dict[str, Any]] = []
    for number in range(images):
        tile_id = f"tile-{number:02d}"
        for _ in range(int(rng.integers(0, 7))):
            corner, sides = rng.uniform(0, 300, 2), np.exp(rng.uniform(1.5, 5.5, 2))
            box, category = np.concatenate([corner, corner + sides]), f"class-{rng.integers(classes)}"
            hidden = bool(rng.random() < 0.15)
            truth.append({"tile_id": tile_id, "category": category, "ignored": hidden, **dict(zip(CORNERS, box))})
            for _ in range(int(rng.integers(0, 3))):
                moved = box + np.tile(sides, 2) * rng.normal(0, 0.08, 4)
                said = category if rng.random() < 0.9 else f"class-{rng.integers(classes)}"
                found.append({"tile_id": tile_id, "category": said, "score": rng.random(), **dict(zip(CORNERS, moved))})
        for _ in range(int(rng.integers(0, 3))):
            corner = rng.uniform(0, 300, 2)
            box = np.concatenate([corner, corner + np.exp(rng.uniform(1.5, 5.5, 2))])
            found.append({"tile_id": tile_id, "category": "class-0", "score": rng.random(), **dict(zip(CORNERS, box))})
    return pd.DataFrame(found), pd.DataFrame(truth)


def of_pycocotools(found: pd.DataFrame, truth: pd.DataFrame) -> tuple[list[float], np.ndarray]:
    """The twelve figures and the precisions at an overlap of 0.5."""
    number = {tile_id: at for at, tile_id in enumerate(dict.fromkeys(truth["tile_id"]), 1)}
    code = {name: at for at, name in enumerate(sorted({*truth["category"]}), 1)}

    def boxes(table: pd.DataFrame) -> list[dict[str, Any]]:
        return [
            {
                "id": at,
                "image_id": number[row["tile_id"]],
                "category_id": code[row["category"]],
                "bbox": [row["left"], row["top"], row["right"] - row["left"], row["bottom"] - row["top"]],
                "area": (row["right"] - row["left"]) * (row["bottom"] - row["top"]),
                "iscrowd": int(row.get("ignored", False)),
                "score": row.get("score", 1.0),
            }
            for at, row in enumerate(table.to_dict("records"), 1)
        ]

    with contextlib.redirect_stdout(io.StringIO()):
        there = COCO()
        there.dataset = {
            "images": [{"id": at} for at in number.values()],
            "categories": [{"id": at} for at in code.values()],
            "annotations": boxes(truth),
        }
        there.createIndex()
        judged = COCOeval(there, there.loadRes(boxes(found[found["tile_id"].isin(number)])), "bbox")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    precision = judged.eval["precision"][0, :, :, 0, -1]
    return [float(value) for value in judged.stats], np.asarray(precision)


@pytest.mark.parametrize("seed", range(6))
def test_figures_are_pycocotools(seed: int) -> None:
    found, truth = tables(seed)
    ours = coco_scores(found, truth)
    theirs, precision = of_pycocotools(found, truth)
    names = ("AP", "AP50", "AP75", "AP small", "AP medium", "AP large")
    assert [ours[name] for name in names] == pytest.approx(theirs[:6], abs=1e-6)
    assert ours["AR"] == pytest.approx(theirs[8], abs=1e-6)
    assert ours.precision == pytest.approx(precision.mean(1), abs=1e-6), "the precision-recall curve"


@pytest.mark.parametrize("seed", range(6))
def test_the_figure_under_the_interval_is_pycocotools(seed: int) -> None:
    """What is resampled is what is printed: all overlaps, classes and crowds."""
    found, truth = tables(seed)
    groups = {tile_id: f"group-{int(tile_id[-2:]) // 2}" for tile_id in dict.fromkeys(truth["tile_id"])}
    theirs, _ = of_pycocotools(found, truth)
    assert ap_estimate(found, truth, groups).value == pytest.approx(theirs[1], abs=1e-6)
    both = ap_estimate(found, truth, groups, OVERLAPS)
    assert both.value == pytest.approx(theirs[0], abs=1e-6)
    assert both.ci is not None
    assert both.ci[0] < both.value < both.ci[1]
    assert both.n == int((~truth["ignored"]).sum())


def test_nothing_found_and_nothing_there() -> None:
    found, truth = tables(1)
    assert coco_scores(found[:0], truth)["AP"] == 0.0
    assert np.isnan(coco_scores(found, truth.assign(ignored=True))["AP50"])
    empty = {**dict.fromkeys(truth["tile_id"], "a"), "elsewhere": "b"}
    alone = ap_estimate(found, truth, empty)
    more = pd.DataFrame(
        [{"tile_id": "elsewhere", "category": "class-0", "score": 2.0, **dict(zip(CORNERS, (0, 0, 9, 9)))}]
    )
    worse = ap_estimate(pd.concat([found, more]), truth, empty)
    assert worse.value < alone.value, "a false alarm on a tile without objects counts"
    assert coco_scores(pd.concat([found, more]), truth, list(empty))["AP50"] == pytest.approx(worse.value, abs=1e-6)


def quadrangles(rng: np.random.Generator, count: int) -> np.ndarray:
    """Rotated rectangles of all shapes, some of the same place, both ways around."""
    angle, middle = rng.uniform(0, np.pi, count), rng.uniform(0, 60, (count, 2))
    half = np.exp(rng.uniform(0.5, 3.5, (count, 2))) / 2
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])[None] * half[:, None]
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], -1).reshape(-1, 2, 2)
    found = np.einsum("nij,npj->npi", turn, corners) + middle[:, None]
    found[::3] = found[::3, ::-1]
    return np.asarray(found.reshape(-1, 8))


@pytest.mark.parametrize("seed", range(3))
def test_rotated_overlaps_are_shapelys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = quadrangles(rng, 60), quadrangles(rng, 50)
    other[:10] = one[:10]
    ours, inside = rotated_overlaps(one, other), rotated_overlaps(one, other, True)
    for i, a in enumerate(shapely.Polygon(box.reshape(4, 2)) for box in one):
        for j, b in enumerate(shapely.Polygon(box.reshape(4, 2)) for box in other):
            shared = a.intersection(b).area
            assert ours[i, j] == pytest.approx(shared / a.union(b).area, abs=1e-6)
            assert inside[i, j] == pytest.approx(shared / a.area, abs=1e-6)
    assert (ours > 0.1).sum() > 50


def test_upright_boxes_overlap_alike_in_both_ways() -> None:
    rng = np.random.default_rng(3)
    corner = rng.uniform(0, 40, (30, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(1, 20, (30, 2))], 1)
    left, top, right, bottom = boxes.T
    corners = np.stack([left, top, right, top, right, bottom, left, bottom], 1)
    assert rotated_overlaps(corners, corners) == pytest.approx(overlaps(boxes, boxes), abs=1e-9)
    table = pd.DataFrame({"tile_id": "a", "category": "ship", "score": rng.random(30), "ignored": False})
    table = table.assign(**dict(zip(CORNERS, boxes.T)), **dict(zip(POINTS, corners.T)))
    moved = table.assign(**{name: table[name] + 1.0 for name in (*CORNERS, *POINTS)})
    upright = ap_estimate(moved, table, {"a": "a"})
    turned = ap_estimate(moved, table, {"a": "a"}, columns=POINTS, measure=rotated_overlaps)
    assert turned.value == pytest.approx(upright.value)
    assert 0 < upright.value <= 1
