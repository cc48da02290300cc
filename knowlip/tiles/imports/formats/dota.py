"""DOTA: a text file an image, a line an object: eight corner coordinates in pixels, class, difficult."""

import re
from pathlib import Path

import numpy as np

from knowlip.tiles.imports.files import ImageFinder, files_under, place_of, read_lines
from knowlip.tiles.imports.labels import BadLabel, Label, LabelledImage, Problems, is_axis_parallel, outline_thing, pair
from knowlip.tiles.imports.settings import ImportConfig

ABOUT = "a text file an image, corners a line"
_HEADER = re.compile(r"\s*[A-Za-z][\w .-]*:")
"""imagesource:GoogleEarth, gsd:0.14, acquisition dates:2013-05-01: a name, a colon, and no object."""


def read(config: ImportConfig, finder: ImageFinder, problems: Problems) -> list[LabelledImage]:
    """Read every text file whose image is there. Upright corners become a plain box."""
    folder = place_of(config.source, config.labels, ("labelTxt", "labels_dota", "labels", "annfiles"), "labels")
    files = files_under(folder, (".txt",), finder.hidden)
    found = []
    for path, image, split in pair(files, folder, config.source, finder, problems, _is_label):
        things: list[Label] = []
        spacing = None
        try:
            lines = read_lines(path)
        except ValueError as error:
            problems.note(str(error))
            continue
        for number, line in enumerate(lines, 1):
            if line.startswith("gsd:"):
                spacing = _spacing(line)
            elif line.strip() and not _HEADER.match(line):
                thing = problems.take(f"{path}, line {number}:", _thing, line, problems)
                things += [thing] if thing is not None else []
        name = finder.name_of(image)
        found.append(LabelledImage(image, name, tuple(things), path.name, split=split, metres_per_pixel=spacing))
    return found


def _is_label(path: Path) -> bool:
    """Whether a text file looks like labels: a header or an object stands first, or nothing at all."""
    try:
        first = next((line for line in read_lines(path) if line.strip()), "")
    except ValueError:
        return False
    return not first or first.startswith(("imagesource:", "gsd:")) or len(re.findall(r"[\d.]+[\s,]+", first)) >= 8


def _spacing(line: str) -> float | None:
    try:
        value = float(line.partition(":")[2])
    except ValueError:
        return None
    return value if 0 < value < 1e6 else None


def _thing(line: str, problems: Problems) -> Label:
    # Class names may hold spaces and numbers (Boeing 737): behind the corners all but a last 0, 1 or 2 is the name.
    words = re.split(r"\s*,\s*|\s+", line.strip().strip(","))
    try:
        points = np.array([float(word) for word in words[:8]]).reshape(4, 2)
    except ValueError:
        points = np.zeros((0, 2))
    rest = words[8:]
    mark = rest.pop() if len(rest) > 1 and re.fullmatch(r"[012](?:\.0+)?", rest[-1]) else "0"
    if len(points) != 4 or not rest or re.fullmatch(r"-?[\d.]+", rest[0]):
        raise BadLabel(f"{line[:60]!r} has not the form x1 y1 x2 y2 x3 y3 x4 y4 class difficult.")
    if not np.isfinite(points).all() or (np.ptp(points, axis=0) <= 0).any():
        raise BadLabel(f"{line[:60]!r} encloses no area.", "empty")
    if points.min() >= 0 and points.max() <= 1:
        raise BadLabel(f"{line[:60]!r} has fractions of the image for corners (--format yolo?), not pixels.")
    points = problems.in_order(points, line)
    category, difficult = " ".join(rest), float(mark) > 0
    thing = outline_thing(category, points, True, difficult)
    return Label(category, thing.box, difficult=difficult) if is_axis_parallel(points) else thing
