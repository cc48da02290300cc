"""YOLO in the layouts of ultralytics, Roboflow and darknet: a text file an image, fractions, names in data.yaml."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from knowlip.base.documents import read_yaml
from knowlip.tiles.imports.files import ImageFinder, files_under, place_of, read_lines
from knowlip.tiles.imports.labels import BadLabel, Label, LabelledImage, Problems, outline_thing, pair
from knowlip.tiles.imports.pixels import size_of
from knowlip.tiles.imports.settings import ImportConfig

ABOUT = "a text file an image, fractions a line"


def read(config: ImportConfig, finder: ImageFinder, problems: Problems) -> list[LabelledImage]:
    """Read the label file of every image: 5 numbers a line are a box, 9 a rotated box, more an outline. An image
    without a label file shows no object, as ultralytics has it; a set without any label file is refused.

    Raises:
        ValueError: nothing names the classes, or there is no label file.
    """
    folder = place_of(config.source, config.labels, ("labels",), "labels")
    names = classes_of(config.source, config.classes)
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
            thing = problems.take(f"{path}, line {number}:", _thing, line, names, size)
            things += [thing] if thing is not None else []
        found.append(LabelledImage(image, finder.name_of(image), tuple(things), path.name, split=split))
    found += [
        LabelledImage(path, finder.name_of(path), split=split)
        for path, split in zip(finder.paths, finder.splits)
        if finder.name_of(path) not in labelled
    ]
    if not any(image.split for image in found):
        folders = splits_of(config.source)
        found = [replace(image, split=_split_of(image.path, folders)) for image in found]
    return found


def splits_of(source: Path) -> dict[Path, str]:
    """Folders of images -> split, as a data.yaml says it; a folder that it gives to two splits is in neither."""
    found: dict[Path, str] = {}
    for path in sorted(source.glob("*.y*ml")):
        document = read_yaml(path)
        for split in ("train", "val", "test") if isinstance(document, dict) else ():
            places = document.get(split)
            for place in places if isinstance(places, list) else [places]:
                for base in (source, source / str(document.get("path", ""))):
                    if isinstance(place, str) and place and (base / place).is_dir():
                        folder = (base / place).resolve()
                        found[folder] = split if found.get(folder, split) == split else ""
    return found


def _split_of(path: Path, folders: dict[Path, str]) -> str:
    above = path.parent.resolve()
    return next((folders[folder] for folder in (above, *above.parents) if folder in folders), "")


def classes_of(source: Path, given: list[str]) -> list[str]:
    """Class names by number.

    Raises:
        ValueError: nothing names them.
    """
    if given:
        return given
    for listing in ("classes.txt", "labels/classes.txt", "obj.names"):
        if (source / listing).is_file():
            return [line.strip() for line in read_lines(source / listing) if line.strip()]
    for path in sorted(source.glob("*.y*ml")):
        document = read_yaml(path)
        names = document.get("names") if isinstance(document, dict) else None
        if isinstance(names, dict) and set(names) == set(range(len(names))):
            return [str(names[number]) for number in sorted(names)]
        if isinstance(names, list):
            return [str(name) for name in names]
    raise ValueError(f"Nothing in {source} names the classes: give them with --classes, or write a data.yaml.")


def _is_label(path: Path) -> bool:
    """Whether a text file looks like labels: numbers stand in its first line, or there is none."""
    try:
        first = next((line for line in read_lines(path) if line.strip()), "")
    except ValueError:
        return False
    return all(re.fullmatch(r"[-+.\deE]+", word) for word in first.split()) and len(first.split()) != 1


def _thing(line: str, names: list[str], size: tuple[int, int]) -> Label:
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
    if len(numbers) == 5:
        raise BadLabel(f"{line[:60]!r} has 6 numbers: predictions with a confidence are no labels.")
    return _outlined(category, numbers, size, line)


def _outlined(category: str, numbers: list[float], size: tuple[int, int], line: str) -> Label:
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
    return outline_thing(category, points, rotated=len(points) == 4)
