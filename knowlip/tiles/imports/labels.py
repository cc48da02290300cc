"""What all label formats become: images with outlined objects in pixels, and a record of what was wrong."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from knowlip.dataset.layout import SPLITS

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".npy")
_SHOWN = 20


@dataclass(frozen=True)
class Label:
    """A labelled object; coordinates in pixels from the outer corner of the upper left pixel."""

    category: str
    box: tuple[float, float, float, float]  # Left, top, right, bottom.
    corners: np.ndarray | None = None  # (4, 2) of a rotated box.
    polygon: np.ndarray | None = None  # (N, 2) outline.
    difficult: bool = False
    whole_image: bool = False  # A label of the image as such.


@dataclass(frozen=True)
class LabelledImage:
    """An image and its labels."""

    path: Path
    name: str  # Path under the images' folder, without extension.
    things: tuple[Label, ...] = ()
    labels: str = ""  # Name of the label file, "" where there is none.
    mask: Path | None = None
    split: str = ""  # As the set's folders say; "" where they do not.
    size: tuple[int, int] | None = None  # Width and height as the labels say.
    metres_per_pixel: float | None = None


@dataclass
class Problems:
    """What was wrong with a set. A bad label ends the import, or is noted and left out (`skip`)."""

    skip: bool
    bad: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # Label files whose image is not there.
    unlabelled: list[str] = field(default_factory=list)
    """Images without labels, of formats that have a label file for every image."""

    def note(self, sentence: str) -> None:
        """Record a bad label.

        Raises:
            ValueError: bad labels are not to be skipped.
        """
        if not self.skip:
            raise ValueError(f"{sentence} --skip_bad true leaves such labels out.")
        self.bad.append(sentence)

    def record(self) -> dict[str, object]:
        """Counts and the first few of each kind."""
        kinds = {"bad": self.bad, "missing_images": self.missing, "unlabelled_images": self.unlabelled}
        return {kind: {"count": len(items), "first": items[:_SHOWN]} for kind, items in kinds.items()}


def files_under(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    """Files with these suffixes in a folder and below, in order of their names; the file itself where it is one."""
    wanted = tuple(suffixes)
    if folder.is_file():
        return [folder]
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in wanted and p.is_file())


def place_of(source: Path, given: Path | None, names: Iterable[str], what: str) -> Path:
    """A folder or file of a set: the one given (under the source, or anywhere), else the first usual name there is,
    else the source itself."""
    if given is not None:
        path = source / given
        if not path.exists():
            raise ValueError(f"{path}, given as the set's {what}, does not exist.")
        return path
    return next((source / name for name in names if (source / name).exists()), source)


def image_folder(source: Path, given: Path | None) -> Path:
    """Where the images of a set are."""
    return place_of(source, given, ("images", "JPEGImages", "Images"), "images")


class ImageFinder:
    """Images by path without extension, or by name alone where that is enough."""

    def __init__(self, folder: Path, suffixes: Iterable[str] = IMAGES):
        self.folder = folder if folder.is_dir() else folder.parent
        self.paths = files_under(folder, suffixes)
        self._by_name: dict[str, list[Path]] = {}
        for path in self.paths:
            self._by_name.setdefault(path.stem, []).append(path)
        self.used: set[Path] = set()

    def find(self, name: str, hint: str = "") -> Path | None:
        """The image of a label file named `name` (no extension); among several, the one in a folder that `hint` (the
        label's folder or a split) names."""
        found = self._by_name.get(name, [])
        if len(found) > 1 and hint:
            found = [path for path in found if hint in path.parts] or found
        if not found:
            return None
        self.used.add(found[0])
        return found[0]

    def name_of(self, path: Path) -> str:
        """Path under the folder, without extension."""
        return path.relative_to(self.folder).with_suffix("").as_posix()

    def unused(self) -> Iterator[str]:
        """Names of images that nothing asked for."""
        return (self.name_of(path) for path in self.paths if path not in self.used)


def split_in(path: Path, root: Path) -> str:
    """The split that a folder of the path below `root` is named after; "" where none is."""
    parts = path.relative_to(root).parts[:-1] if path.is_relative_to(root) else ()
    named = {**{split: split for split in SPLITS}, "validation": "val", "valid": "val"}
    return next((named[part.lower()] for part in parts if part.lower() in named), "")


def outline_thing(category: str, points: np.ndarray, rotated: bool, difficult: bool = False) -> Label:
    """An object from its rotated box (4, 2) or outline (N, 2)."""
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    box = (float(left), float(top), float(right), float(bottom))
    return Label(category, box, points if rotated else None, None if rotated else points, difficult)


def is_axis_parallel(points: np.ndarray) -> bool:
    """Whether four corners are those of an upright box, so that they say no more than the box."""
    return len(np.unique(points[:, 0])) == 2 and len(np.unique(points[:, 1])) == 2
