"""YOLO in the layout of ultralytics: images/ and labels/ side by side, lines of fractions, names in data.yaml."""

from pathlib import Path

import numpy as np

from knowlip.base.documents import read_yaml
from knowlip.tiles.imports.labels import ImageFinder, Label, LabelledImage, Problems, outline_thing, place_of, split_in
from knowlip.tiles.imports.pixels import size_of
from knowlip.tiles.imports.settings import ImportConfig

ABOUT = "a text file an image, fractions a line"


def read(config: ImportConfig, finder: ImageFinder, problems: Problems) -> list[LabelledImage]:
    """Read the label file of every image: 5 numbers a line are a box, 9 a rotated box, more an outline. An image
    without a label file shows no object, as ultralytics has it."""
    folder = place_of(config.source, config.labels, ("labels",), "labels")
    names = classes_of(config.source, config.classes)
    found = []
    for image in finder.paths:
        name = finder.name_of(image)
        path = folder / f"{name}.txt"
        things: list[Label] = []
        try:
            lines = path.read_text().splitlines() if path.exists() else []
        except UnicodeDecodeError:
            problems.note(f"{path} is not text.")
            continue
        size = size_of(image) if lines else None
        for number, line in enumerate(lines, 1):
            if not line.strip() or size is None:
                continue
            try:
                things.append(_thing(line, names, size))
            except ValueError as error:
                problems.note(f"{path}, line {number}: {error}")
        split = split_in(image, finder.folder)
        found.append(LabelledImage(image, name, tuple(things), path.name if path.exists() else "", split=split))
    return found


def classes_of(source: Path, given: list[str]) -> list[str]:
    """Class names by number.

    Raises:
        ValueError: nothing names them.
    """
    if given:
        return given
    listing = source / "classes.txt"
    if listing.is_file():
        return [line.strip() for line in listing.read_text().splitlines() if line.strip()]
    for path in sorted(source.glob("*.y*ml")):
        document = read_yaml(path)
        names = document.get("names") if isinstance(document, dict) else None
        if isinstance(names, dict) and sorted(names) == list(range(len(names))):
            return [str(names[number]) for number in sorted(names)]
        if isinstance(names, list):
            return [str(name) for name in names]
    raise ValueError(f"Nothing in {source} names the classes: give them with --classes, or write a data.yaml.")


def _thing(line: str, names: list[str], size: tuple[int, int]) -> Label:
    words = line.split()
    numbers = [float(word) for word in words[1:]]
    if not words[0].isdigit() or int(words[0]) >= len(names):
        raise ValueError(f"class {words[0]!r} is not one of the {len(names)} classes.")
    category = names[int(words[0])]
    if not np.isfinite(numbers).all():
        raise ValueError(f"{line[:60]!r} holds numbers that are not finite.")
    width, height = size
    if len(numbers) == 4:
        x, y, w, h = numbers
        if w <= 0 or h <= 0:
            raise ValueError(f"{line[:60]!r} is an empty box.")
        return Label(category, ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height))
    if len(numbers) < 6 or len(numbers) % 2:
        raise ValueError(f"{line[:60]!r} has {len(words)} numbers, not 5, 9, or a class and an outline.")
    points = np.array(numbers).reshape(-1, 2) * (width, height)
    if (np.ptp(points, axis=0) <= 0).any():
        raise ValueError(f"{line[:60]!r} encloses no area.")
    return outline_thing(category, points, rotated=len(points) == 4)
