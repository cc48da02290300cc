"""COCO: a JSON file a split, with images, boxes and outlines."""

from pathlib import Path
from typing import Any

import numpy as np

from knowlip.base.documents import read_json
from knowlip.tiles.imports.labels import ImageFinder, Label, LabelledImage, Problems, files_under, place_of, split_in
from knowlip.tiles.imports.settings import ImportConfig

ABOUT = "JSON with images, annotations and categories"
MOST_BYTES, MOST_VALUES = 2 << 30, 50_000_000
"""Of one file: the largest public sets have a fifth of that."""


def read(config: ImportConfig, finder: ImageFinder, problems: Problems) -> list[LabelledImage]:
    """Read every JSON file that has images, annotations and categories. The split is in its name (instances_val.json).

    An object in several parts keeps its box and its largest part; run-length masks are left out.
    """
    folder = place_of(config.source, config.labels, ("annotations",), "labels")
    found: list[LabelledImage] = []
    files = 0
    for path in files_under(folder, (".json",)):
        document = read_json(path, most_bytes=MOST_BYTES, most_values=MOST_VALUES)
        if not (isinstance(document, dict) and {"images", "annotations", "categories"} <= set(document)):
            continue
        files += 1
        found += _images(path, document, finder, problems)
    if not files:
        raise ValueError(f"{folder} holds no COCO file (JSON with images, annotations and categories).")
    problems.unlabelled.extend(finder.unused())
    return found


def _images(path: Path, document: dict[str, Any], finder: ImageFinder, problems: Problems) -> list[LabelledImage]:
    split = next((name for name in ("train", "val", "test") if name in path.stem.lower()), "")
    things: dict[Any, list[Label]] = {}
    try:
        names = {category["id"]: str(category["name"]) for category in document["categories"]}
        for entry in document["annotations"]:
            try:
                things.setdefault(entry["image_id"], []).append(_thing(entry, names))
            except (KeyError, TypeError, ValueError) as error:
                what = f"has no {error}" if isinstance(error, KeyError) else str(error)
                problems.note(f"{path}: annotation {entry.get('id')} {what}.")
        found = []
        for image in document["images"]:
            name = Path(str(image["file_name"]))
            file = finder.find(name.stem, split)
            if file is None:
                problems.missing.append(str(name))
                continue
            size = (int(image["width"]), int(image["height"])) if "width" in image and "height" in image else None
            mine, where = tuple(things.get(image["id"], [])), split or split_in(file, finder.folder)
            found.append(LabelledImage(file, finder.name_of(file), mine, path.name, split=where, size=size))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not the COCO file that it should be ({error!r}).") from error
    return found


def _thing(entry: dict[str, Any], names: dict[Any, str]) -> Label:
    x, y, width, height = (float(value) for value in entry["bbox"])
    if not (width > 0 and height > 0):
        raise ValueError(f"has an empty box ({x:g}, {y:g}, {width:g}, {height:g})")
    polygon = None
    parts = entry.get("segmentation")
    if isinstance(parts, list) and parts:
        arrays = [np.array(part, float).reshape(-1, 2) for part in parts if len(part) >= 6 and len(part) % 2 == 0]
        polygon = max(arrays, key=_area, default=None)
    return Label(names[entry["category_id"]], (x, y, x + width, y + height), None, polygon, bool(entry.get("iscrowd")))


def _area(points: np.ndarray) -> float:
    x, y = points.T
    return float(abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2)
