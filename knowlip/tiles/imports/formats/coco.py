"""COCO: a JSON file a split, with images, boxes and outlines."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from knowlip.base.documents import read_json
from knowlip.tiles.imports.files import ImageFinder, LookedFor, files_under, place_of, split_in, split_word
from knowlip.tiles.imports.labels import BadLabel, Label, LabelledImage, Problems, check_pixels
from knowlip.tiles.imports.settings import ImportConfig

ABOUT = "JSON with images, annotations and categories"
MOST_BYTES, MOST_VALUES = 2 << 30, 50_000_000
"""Of one file: the largest public sets have a fifth of that."""
_PARTS = {"images", "annotations", "categories"}


def read(config: ImportConfig, finder: ImageFinder, problems: Problems) -> list[LabelledImage]:
    """Read every JSON file that has images, annotations and categories. The split is in its name (instances_val.json)
    or in that of its folder.

    An object in several parts keeps its box and its largest part; run-length masks are left out, their boxes stay.
    """
    folder = place_of(config.source, config.labels, ("annotations",), "labels")
    documents: list[_Document] = []
    for path in files_under(folder, (".json",), finder.hidden):
        content = read_json(path, most_bytes=MOST_BYTES, most_values=MOST_VALUES)
        if isinstance(content, dict) and set(content) >= _PARTS:
            documents.append(_Document(path, content, config.source, folder, problems))
        elif isinstance(content, dict) and "images" in content:
            absent = ", ".join(sorted(_PARTS - set(content)))
            problems.notes.append(f"{path.name} is left out: it has no {absent}.")
    if not documents:
        raise ValueError(f"{folder} holds no COCO file (JSON with images, annotations and categories).")
    problems.label_files = len(documents)
    # All files look for their images together: a name in one must not take the image that another names by its path.
    wanted = [one for document in documents for one in document.wanted]
    places = iter(finder.match(wanted))
    found: list[LabelledImage] = []
    for document in documents:
        before = len(found)
        for number, one in enumerate(document.wanted):
            image = next(places)
            if isinstance(image, str):
                problems.note(image)
            if not isinstance(image, Path):
                problems.missing.append(one.name)
                document.drop(number, problems)
                continue
            found.append(document.labelled(number, image, finder))
        problems.used_files += len(found) > before
    problems.unlabelled.extend(finder.unused())
    return found


class _Document:
    """One COCO file: its images in order, and the objects of each."""

    def __init__(self, path: Path, content: dict[str, Any], source: Path, folder: Path, problems: Problems):
        self.path = path
        # trainval.json says less than train.json and val.json beside it, and never that an image is for testing.
        word = split_word(path.stem)
        self.split = ("" if word == "trainval" else word) or split_in(path, source)
        self.otherwise = "train" if word == "trainval" else ""
        near = path.parent.relative_to(folder).as_posix() if path != folder else ""
        try:
            self.images: list[dict[str, Any]] = content["images"]
            names = [str(image["file_name"]) for image in self.images]
            said = str(path)
            self.wanted = [LookedFor(name, self.split, near, f"{name} of {said}") for name in names]
            ids = [id_of(image["id"]) for image in self.images]
            self.things: dict[str, list[Label]] = {one: [] for one in ids}
            self._refuse_twice("image", Counter(ids))
            categories = {id_of(entry["id"]): str(entry["name"]) for entry in content["categories"]}
            self._refuse_twice("category", Counter(id_of(entry["id"]) for entry in content["categories"]))
            for number, entry in enumerate(content["annotations"]):
                self._add(entry, f"{path}: annotation {entry.get('id', f'number {number}')}", categories, problems)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is not the COCO file that it should be ({error!r}).") from error

    def _refuse_twice(self, what: str, counts: Counter[str]) -> None:
        twice = next((one for one, count in counts.items() if count > 1), None)
        if twice is not None:
            raise ValueError(f"{self.path} gives the {what} id {twice} twice: nothing says which one objects mean.")

    def _add(self, entry: dict[str, Any], where: str, categories: dict[str, str], problems: Problems) -> None:
        image = id_of(entry["image_id"])
        if image not in self.things:
            problems.read += 1
            problems.drop("orphan", f"{where} is of image {image}, which is not listed.")
            return
        thing = problems.take(where, _thing, entry, categories)
        if thing is not None:
            self.things[image].append(thing)
        outline, area = entry.get("segmentation"), entry.get("area")
        if thing is not None and not outline and isinstance(area, int | float) and area > 0:
            left, top, right, bottom = thing.box
            if not 0.9 < area / ((right - left) * (bottom - top)) < 1.1:
                problems.remark("boxes are not as large as their area says: is bbox x, y, width, height?", where)
        if isinstance(outline, dict):
            problems.remark("outlines are run lengths and left out; their boxes stay", where)
        elif outline and thing is not None and thing.polygon is None:
            problems.remark("outlines are no lists of three points or more and left out; their boxes stay", where)

    def drop(self, number: int, problems: Problems) -> None:
        """Count the objects of an image that is not there."""
        things = self.things[id_of(self.images[number]["id"])]
        problems.drop("orphan", f"{self.path}: image {self.wanted[number].name} is not there.", len(things))

    def labelled(self, number: int, image: Path, finder: ImageFinder) -> LabelledImage:
        """The image with its objects."""
        entry = self.images[number]
        things = tuple(self.things[id_of(entry["id"])])
        split = self.split or split_in(image, finder.folder) or self.otherwise
        return LabelledImage(image, finder.name_of(image), things, self.path.name, None, split, self._size(entry))

    def _size(self, entry: dict[str, Any]) -> tuple[int, int] | None:
        sides = (entry.get("width"), entry.get("height"))
        if None in sides:
            return None
        try:
            width, height = (int(side) for side in sides if side is not None)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"{self.path} says that {entry['file_name']} is {sides[0]} x {sides[1]} pixels.") from None
        return (width, height) if width or height else None


def id_of(value: Any) -> str:
    """An id as text: some tools write "1" in one list and 1, or 1.0, in another.

    Raises:
        TypeError: it is neither text nor a number.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError(f"{str(value)[:40]!r} is no id")
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _thing(entry: dict[str, Any], names: dict[str, str]) -> Label:
    category = names.get(id_of(entry.get("category_id", "")))
    if category is None:
        raise BadLabel(f"has the category {entry.get('category_id')!r}, which is not defined.", "unknown class")
    polygon = None
    parts = entry.get("segmentation")
    if isinstance(parts, list) and parts:
        polygon = max(map(_points, parts), key=_area)
    if entry.get("bbox") is None and polygon is not None and len(polygon):
        (left, top), (right, bottom) = polygon.min(axis=0), polygon.max(axis=0)
        box = [left, top, right - left, bottom - top]
    else:
        box = entry.get("bbox") or []
    if not isinstance(box, list) or len(box) != 4:
        raise BadLabel(f"has {box!r:.80} for bbox, not x, y, width, height.")
    x, y, width, height = map(_number, box)
    if not (width > 0 and height > 0):
        raise BadLabel(f"has an empty box ({x:g}, {y:g}, {width:g}, {height:g}).", "empty")
    check_pixels((x, y, x + width, y + height))
    polygon = polygon if polygon is not None and len(polygon) else None
    return Label(category, (x, y, x + width, y + height), None, polygon, bool(entry.get("iscrowd")))


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise BadLabel(f"holds {str(value)[:40]!r}, which is not a number.") from None


def _points(part: Any) -> np.ndarray:
    """(N, 2) of one part of an outline; (0, 2) where it is none, which tools write for parts of one or two points."""
    if not isinstance(part, list) or len(part) < 6 or len(part) % 2:
        return np.zeros((0, 2))
    points = np.array([_number(value) for value in part]).reshape(-1, 2)
    return points if np.isfinite(points).all() else np.zeros((0, 2))


def _area(points: np.ndarray) -> float:
    if not len(points):
        return -math.inf
    x, y = points.T
    return float(abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2)
