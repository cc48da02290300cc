"""COCO: one JSON a split with images, boxes and outlines; what pycocotools and most detectors read."""

import json
from typing import Any

import numpy as np

from knowlip.dataset.export.job import Export, ExportTile, image_place, points_px

_DIGITS = 4


def write(job: Export) -> None:
    """annotations/instances_SPLIT.json and images/SPLIT/TILE.png. Boxes are x, y, width, height in pixels. The outline
    is the segmentation, the rotated box where there is no outline, the upright box where there is neither."""
    job.write_images(image_place)
    folder = job.out / "annotations"
    folder.mkdir()
    for split, tiles in job.splits():
        images: list[dict[str, Any]] = []
        objects: list[dict[str, Any]] = []
        for number, tile in enumerate(tiles, 1):
            size = {"width": tile.width, "height": tile.height}
            images.append({"id": number, "file_name": f"{tile.tile_id}.png", **size})
            objects += [_object(job, tile, item, number, len(objects) + i) for i, item in enumerate(tile.objects, 1)]
        document = {
            "info": {"description": f"{job.data.path.resolve().name}, {split}", "version": job.data.fingerprint},
            "licenses": [],
            "categories": [{"id": i, "name": name, "supercategory": ""} for i, name in enumerate(job.labels, 1)],
            "images": images,
            "annotations": objects,
        }
        (folder / f"instances_{split}.json").write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")


def _object(job: Export, tile: ExportTile, item: dict[str, Any], image_id: int, number: int) -> dict[str, Any]:
    box = [item["x"] * tile.width, item["y"] * tile.height, item["width"] * tile.width, item["height"] * tile.height]
    left, top, right, bottom = box[0], box[1], box[0] + box[2], box[1] + box[3]
    outline = item["polygon"] if len(item["polygon"]) else item["corners"]
    points = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    if len(outline):
        points = points_px(tile, outline)
    x, y = points.T
    area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    return {
        "id": number,
        "image_id": image_id,
        "category_id": job.labels.index(item["label"]) + 1,
        "bbox": [round(float(value), _DIGITS) for value in box],
        "segmentation": [[round(float(value), _DIGITS) for value in points.ravel()]],
        "area": round(float(area), _DIGITS),
        "iscrowd": 0,
        "attributes": {"type": item["type"], "difficult": bool(item["difficult"])},
    }
