"""DOTA: a text file an image, a line an object: eight corner coordinates in pixels, class, difficult."""

from pathlib import Path

import numpy as np

from knowlip.tiles.imports.labels import (
    ImageFinder,
    Label,
    LabelledImage,
    Problems,
    files_under,
    is_axis_parallel,
    outline_thing,
    place_of,
    split_in,
)
from knowlip.tiles.imports.settings import ImportConfig

ABOUT = "a text file an image, corners a line"


def read(config: ImportConfig, finder: ImageFinder, problems: Problems) -> list[LabelledImage]:
    """Read every text file whose image is there. Upright corners become a plain box."""
    # Labels may stand in a split's folder and images all in one, or the other way round: either may name the split.
    folder = place_of(config.source, config.labels, ("labelTxt", "labels_dota", "labels", "annfiles"), "labels")
    found = []
    for path in files_under(folder, (".txt",)):
        if "split" in path.parent.name:
            continue
        split = split_in(path, config.source)
        image = finder.find(path.stem, split)
        if image is None:
            problems.missing.append(path.name)
            continue
        things: list[Label] = []
        spacing = None
        for number, line in enumerate(_lines(path, problems), 1):
            if line.startswith("imagesource:") or not line.strip():
                continue
            if line.startswith("gsd:"):
                spacing = _spacing(line)
                continue
            try:
                things.append(_thing(line))
            except ValueError as error:
                problems.note(f"{path}, line {number}: {error}")
        split = split or split_in(image, finder.folder)
        found.append(
            LabelledImage(image, finder.name_of(image), tuple(things), path.name, split=split, metres_per_pixel=spacing)
        )
    problems.unlabelled.extend(finder.unused())
    return found


def _lines(path: Path, problems: Problems) -> list[str]:
    try:
        return path.read_text().splitlines()
    except UnicodeDecodeError:
        problems.note(f"{path} is not text.")
        return []


def _spacing(line: str) -> float | None:
    try:
        value = float(line.partition(":")[2])
    except ValueError:
        return None
    return value if value > 0 else None


def _thing(line: str) -> Label:
    words = line.split()
    if len(words) not in (9, 10):
        raise ValueError(f"{line[:60]!r} has not the form x1 y1 x2 y2 x3 y3 x4 y4 class difficult.")
    points = np.array([float(word) for word in words[:8]]).reshape(4, 2)
    if not np.isfinite(points).all() or (np.ptp(points, axis=0) <= 0).any():
        raise ValueError(f"{line[:60]!r} encloses no area.")
    difficult = len(words) == 10 and words[9] not in ("0", "0.0")
    thing = outline_thing(words[8], points, True, difficult)
    return Label(words[8], thing.box, difficult=difficult) if is_axis_parallel(points) else thing
