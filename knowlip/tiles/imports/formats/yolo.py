"""YOLO in the layouts of ultralytics, Roboflow and darknet: a text file an image, fractions, names in data.yaml."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from knowlip.base.documents import read_yaml
from knowlip.tiles.imports.files import ImageFinder, files_under, key_of, place_of, read_lines
from knowlip.tiles.imports.labels import BadLabel, Label, LabelledImage, Problems, outline_thing, pair
from knowlip.tiles.imports.pixels import size_of
from knowlip.tiles.imports.settings import ImportConfig
from knowlip.tiles.imports.splits import listed

ABOUT = "a text file an image, fractions a line"
_FARTHEST = 2
"""Fractions of the image that a place can be: outlines may reach over its edge, but not as far as this."""


def read(config: ImportConfig, finder: ImageFinder, problems: Problems) -> list[LabelledImage]:
    """Read the label file of every image: 5 numbers a line are a box, 9 a rotated box, more an outline. An image
    without a label file shows no object, as ultralytics has it; a set without any label file is refused.

    Raises:
        ValueError: nothing names the classes, or there is no label file.
    """
    folder = place_of(config.source, config.labels, ("labels",), "labels")
    names, keypoints = classes_of(config.source, config.classes), keypoints_of(config.source)
    files = [path for path in files_under(folder, (".txt",), finder.hidden) if path.name != "classes.txt"]
    pairs = pair(files, folder, config.source, finder, problems, _is_label)
    if finder.paths and not problems.label_files:
        raise ValueError(f"{folder} holds no label file (.txt); give their folder with --labels.")
    # An empty file and no file mean the same here: files that found no image must not pass as images without objects.
    found, labelled = [], set()
    for path, image, split in pairs:
        labelled.add(finder.name_of(image))
        try:
            lines = [(number, line) for number, line in enumerate(read_lines(path), 1) if line.strip()]
        except ValueError as error:
            problems.note(str(error))
            continue
        size = size_of(image) if lines else (0, 0)
        things = []
        for number, line in lines:
            thing = problems.take(f"{path}, line {number}:", _thing, line, names, size, keypoints, problems)
            things += [thing] if thing is not None else []
        found.append(LabelledImage(image, finder.name_of(image), tuple(things), path.name, split=split))
    found += [
        LabelledImage(path, finder.name_of(path), split=split)
        for path, split in zip(finder.paths, finder.splits)
        if finder.name_of(path) not in labelled
    ]
    without = [finder.name_of(path) for path in finder.paths if finder.name_of(path) not in labelled]
    if without:
        problems.notes.append(
            f"{len(without)} images have no label file and are taken to show no object, first: {without[0]}."
        )
    if keypoints:
        problems.notes.append("The keypoints of kpt_shape are left out: boxes are read.")
    ours = config.split_files or config.splits_by_rule
    return found if ours or any(image.split for image in found) else _with_splits(found, config.source, problems)


def _with_splits(found: list[LabelledImage], source: Path, problems: Problems) -> list[LabelledImage]:
    """The images with the splits that a data.yaml gives them, by folders or by lists."""
    folders, lists = splits_of(source)
    by_folder = [_split_of(image.path, folders) for image in found]
    if not lists:
        return [replace(image, split=split) for image, split in zip(found, by_folder)]
    images = listed(found, lists, problems)
    for image, split in zip(images, by_folder):
        if image.split and split and image.split != split:
            raise ValueError(f"{image.name} is in {image.split} and in {split}, as data.yaml says.")
    return [replace(image, split=image.split or split) for image, split in zip(images, by_folder)]


def splits_of(source: Path) -> tuple[dict[Path, str], dict[str, str]]:
    """What a data.yaml says of splits: folders of images -> split, where a folder that it gives to two splits is in
    neither; and the names in its lists -> split.

    Raises:
        ValueError: an entry is no folder and no list, or two lists name one image.
    """
    folders: dict[Path, str] = {}
    lists: dict[str, str] = {}
    # A folder that stands for two splits says nothing; an image in two lists is a mistake.
    for path, document in _documents(source):
        for split in ("train", "val", "test") if "names" in document else ():
            places = document.get(split)
            for place in places if isinstance(places, list) else [places] if places else []:
                found = _place(source, document, place)
                if found is None:
                    raise ValueError(
                        f"{path} says {split}: {place!r:.80}, which is no folder and no list (.txt): mend it, "
                        "or give the split with --split_files, or --ignore_splits true."
                    )
                if found.is_dir():
                    folders[found] = split if folders.get(found, split) == split else ""
                    continue
                for line in read_lines(found):
                    name = "/".join(key_of(line.strip()))
                    if name and lists.setdefault(name, split) != split:
                        raise ValueError(f"{name} is in {lists[name]} and in {split}, says {found}.")
    return folders, lists


def _place(source: Path, document: dict[str, Any], place: object) -> Path | None:
    """The folder or list that an entry of a data.yaml means; ../train/images is beside it, as Roboflow has it."""
    if not isinstance(place, str) or not place:
        return None
    for base in (source, source / str(document.get("path") or "")):
        for name in (place, re.sub(r"^(?:\.\./)+", "", place)):
            path = base / name
            if path.is_dir() or (path.suffix.lower() == ".txt" and path.is_file()):
                return path.resolve()
    return None


def _split_of(path: Path, folders: dict[Path, str]) -> str:
    above = path.parent.resolve()
    return next((folders[folder] for folder in (above, *above.parents) if folder in folders), "")


def _documents(source: Path) -> list[tuple[Path, dict[str, Any]]]:
    found = [(path, read_yaml(path)) for path in sorted(source.glob("*.y*ml"))]
    return [(path, document) for path, document in found if isinstance(document, dict)]


def classes_of(source: Path, given: list[str]) -> list[str]:
    """Class names by number.

    Raises:
        ValueError: nothing names them, files name them differently, or in a way that leaves numbers open.
    """
    if given:
        return given
    lists = [source / name for name in ("classes.txt", "labels/classes.txt", "obj.names")]
    found = [(path, _names_in_list(path)) for path in lists if path.is_file()]
    found += [(path, _names_in(path, document)) for path, document in _documents(source) if "names" in document]
    if not found:
        raise ValueError(f"Nothing in {source} names the classes: give them with --classes, or write a data.yaml.")
    first, names = found[0]
    for path, others in found[1:]:
        if others != names:
            raise ValueError(f"{first} and {path} name the classes differently ({names} and {others}): give --classes.")
    return names


def _names_in_list(path: Path) -> list[str]:
    names = "\n".join(line.strip() for line in read_lines(path)).rstrip("\n").split("\n")
    if not all(names):
        blank = names.index("") + 1
        raise ValueError(f"{path}, line {blank} is blank, and a line is a class number: name it or remove it.")
    return names


def _names_in(path: Path, document: dict[str, Any]) -> list[str]:
    names = document["names"]
    if isinstance(names, dict) and set(names) == set(range(len(names))):
        names = [names[number] for number in sorted(names)]
    if not isinstance(names, list):
        raise ValueError(f"{path} must list its names, or number them from 0 without a gap, not {str(names)[:60]}.")
    odd = [name for name in names if not isinstance(name, str)]
    if odd:
        raise ValueError(f"{path} has the class name {odd[0]!r}, which YAML does not read as text: put it into quotes.")
    if document.get("nc", len(names)) != len(names):
        raise ValueError(f"{path} says nc: {document['nc']}, and has {len(names)} names: mend it, or give --classes.")
    return names


def keypoints_of(source: Path) -> int:
    """Numbers of keypoints that follow the box of every object (`kpt_shape` of a data.yaml); 0: none.

    Raises:
        ValueError: it is not [keypoints, 2 or 3], or files differ.
    """
    shapes = [(path, document["kpt_shape"]) for path, document in _documents(source) if "kpt_shape" in document]
    for path, shape in shapes:
        sound = isinstance(shape, list) and len(shape) == 2 and all(type(side) is int and side > 0 for side in shape)
        if not sound or shape != shapes[0][1]:
            raise ValueError(
                f"{path} says kpt_shape: {str(shape)[:60]}, not how many keypoints of 2 or 3 numbers each."
            )
    return shapes[0][1][0] * shapes[0][1][1] if shapes else 0


def _is_label(path: Path) -> bool:
    """Whether a text file looks like labels: numbers stand in its first line, or there is none."""
    try:
        first = next((line for line in read_lines(path) if line.strip()), "")
    except ValueError:
        return False
    return all(re.fullmatch(r"[-+.\deE]+", word) for word in first.split()) and len(first.split()) != 1


def _thing(line: str, names: list[str], size: tuple[int, int], keypoints: int, problems: Problems) -> Label:
    words = line.split()
    try:
        number, *numbers = [float(word) for word in words]
    except ValueError:
        raise BadLabel(f"{line[:60]!r} holds words that are not numbers.") from None
    if not number.is_integer() or not 0 <= number < len(names):
        raise BadLabel(f"class {words[0][:20]} is not one of the {len(names)} classes.", "unknown class")
    category = names[int(number)]
    if not np.isfinite(numbers).all():
        raise BadLabel(f"{line[:60]!r} holds numbers that are not finite.")
    if keypoints:
        if len(numbers) != 4 + keypoints:
            raise BadLabel(f"{line[:60]!r} has {len(numbers) + 1} numbers, not {5 + keypoints} as kpt_shape says.")
        numbers = numbers[:4]
    if len(numbers) == 5:
        raise BadLabel(f"{line[:60]!r} has 6 numbers: predictions with a confidence are no labels.")
    if numbers and max(map(abs, numbers)) > _FARTHEST:
        raise BadLabel(f"{line[:60]!r} has pixels, not fractions of the image: divide by its width and height.")
    return _outlined(category, numbers, size, line, problems)


def _outlined(category: str, numbers: list[float], size: tuple[int, int], line: str, problems: Problems) -> Label:
    width, height = size
    if len(numbers) == 4:
        x, y, w, h = numbers
        if w <= 0 or h <= 0:
            raise BadLabel(f"{line[:60]!r} is an empty box.", "empty")
        return Label(category, ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height))
    if len(numbers) < 6 or len(numbers) % 2:
        raise BadLabel(f"{line[:60]!r} has {len(numbers) + 1} numbers, not 5, 9, or a class and an outline.")
    points: Any = np.array(numbers).reshape(-1, 2) * (width, height)
    if (np.ptp(points, axis=0) <= 0).any():
        raise BadLabel(f"{line[:60]!r} encloses no area.", "empty")
    if len(points) == 4:
        points = problems.in_order(points, line)
    return outline_thing(category, points, rotated=len(points) == 4)
