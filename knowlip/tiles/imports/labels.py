"""What all label formats become: images with outlined objects in pixels, and a count of all that went in."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from knowlip.base.files import regular_file
from knowlip.scenes.xml import read_xml
from knowlip.tiles.imports.files import ImageFinder, LookedFor, split_in

_SHOWN = 20
_ENCODINGS = ("gb2312", "gbk", "gb18030", "big5", "shift_jis", "shift-jis", "euc-jp", "euc-kr", "koi8-r")
"""Of XML files, beside those that every parser knows: what annotation tools of East Asia and Russia write."""


@dataclass(frozen=True)
class Label:
    """A labelled object; coordinates in pixels from the outer corner of the upper left pixel."""

    category: str
    box: tuple[float, float, float, float]  # Left, top, right, bottom.
    corners: np.ndarray | None = None  # (4, 2) of a rotated box.
    polygon: np.ndarray | None = None  # (N, 2) outline.
    difficult: bool = False
    whole_image: bool = False  # A label of the image as such.

    def same_as(self) -> tuple[Any, ...]:
        """What is equal for one object that several lists name."""
        points = (None if array is None else array.tobytes() for array in (self.corners, self.polygon))
        return (self.category, self.box, *points, self.difficult, self.whole_image)


@dataclass(frozen=True)
class LabelledImage:
    """An image and its labels."""

    path: Path
    name: str  # Path under the images' folder, without extension.
    things: tuple[Label, ...] = ()
    labels: str = ""  # Name of the label file, "" where there is none.
    mask: Path | None = None
    split: str = ""  # As the set's folders or lists say; "" where they do not.
    size: tuple[int, int] | None = None  # Width and height as the labels say.
    metres_per_pixel: float | None = None


class BadLabel(ValueError):
    """A label that cannot be used, and the reason that it is counted under."""

    def __init__(self, sentence: str, reason: str = "unreadable"):
        super().__init__(sentence)
        self.reason = reason


@dataclass
class Problems:
    """What went into an import and what became of it. A bad label ends the import, or is counted and left out
    (`skip`): what was read is what is kept and what was dropped, by reason."""

    skip: bool
    bad: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # Label files (COCO: entries) whose image is not there.
    unlabelled: list[str] = field(default_factory=list)
    """Images without labels, of formats that have a label file for every image."""
    empty_folders: list[str] = field(default_factory=list)  # Of classes, in which no image is.
    label_files: int = 0
    used_files: int = 0
    mask_files: int = 0
    used_masks: int = 0
    read: int = 0
    dropped: dict[str, list[str]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    remarks: dict[str, tuple[int, str]] = field(default_factory=dict)
    """What was found of many objects or images -> how many, and the first."""
    guesses: dict[str, tuple[int, str]] = field(default_factory=dict)
    """What was guessed of images, by kind -> how many, and the first sentence."""
    notes: list[str] = field(default_factory=list)
    """What was decided where the files do not say it, one sentence each."""

    def note(self, sentence: str) -> None:
        """Record a bad label file or image.

        Raises:
            ValueError: bad labels are not to be skipped.
        """
        if not self.skip:
            raise ValueError(f"{sentence} --skip_bad true leaves such labels out.")
        self.bad.append(sentence)

    def remark(self, what: str, where: str) -> None:
        """Count what becomes one note: "3 outlines are ..., first: ..."."""
        count, first = self.remarks.get(what, (0, where))
        self.remarks[what] = (count + 1, first)

    def guess(self, name: str, sentence: str) -> None:
        """Count what was guessed of an image: sentences that differ in numbers alone are one note, of the first."""
        kind = re.sub(r"[-+]?\d[\d.e+-]*", "", sentence)
        count, first = self.guesses.get(kind, (0, f"{name}: {sentence}"))
        self.guesses[kind] = (count + 1, first)

    def in_order(self, corners: np.ndarray, where: str) -> np.ndarray:
        """Corners (4, 2) in their order around; counted where two sides cross in the order that the label has."""
        a, b, c, d = corners
        if not (_cross(a, b, c, d) or _cross(b, c, d, a)):
            return corners
        self.remark("rotated boxes had sides that cross; their corners are put in order", where)
        x, y = (corners - corners.mean(axis=0)).T
        ordered: np.ndarray = corners[np.argsort(np.arctan2(y, x))]
        return ordered

    def take(self, where: str, make: Callable[..., Label], *arguments: Any) -> Label | None:
        """Count an object and make its label; None where it is bad.

        Args:
            where: file and line, for the message.
            make: gives the label, or raises `ValueError` or :class:`BadLabel`.
            arguments: of `make`.

        Raises:
            ValueError: it is bad, and bad labels are not to be skipped.
        """
        self.read += 1
        try:
            label = make(*arguments)
            if not label.whole_image and not all(map(math.isfinite, label.box)):
                raise ValueError("has coordinates that are not finite.")
            if not label.category.strip():
                raise ValueError("names no class.")
            if _stand_apart(label):
                self.remark("outlines or rotated boxes lie elsewhere than the boxes of their objects", where)
            return label
        except ValueError as error:
            sentence = f"{where} {str(error).strip()}"
            self.note(sentence)
            self.drop(getattr(error, "reason", "unreadable"), sentence)
            return None

    def drop(self, reason: str, sentence: str, number: int = 1) -> None:
        """Count objects that were read and are left out."""
        if number:
            self.counts[reason] += number
            self.dropped.setdefault(reason, [])
            if len(self.dropped[reason]) < _SHOWN:
                self.dropped[reason].append(sentence)

    def check_used(self, source: Path) -> None:
        """Raise `ValueError` where there are label files (or masks), and none is of any image."""
        for what, found, used in (
            ("label files", self.label_files, self.used_files),
            ("masks", self.mask_files, self.used_masks),
        ):
            if found and not used:
                first = f", first: {self.missing[0]}" if self.missing else ""
                raise ValueError(
                    f"None of the {found} {what} of {source} is of an image of the set{first}. Their names have to be "
                    "those of the images (--image_suffix names an end that images alone have)."
                )

    def check_read(self) -> None:
        """Note where label files are of images and hold no object."""
        if self.used_files and not self.read:
            self.notes.append(f"The {self.used_files} label files hold no object: are they of this format?")

    def check_kept(self, source: Path, kept: int) -> None:
        """Raise `ValueError` where objects were read and none is kept."""
        if self.read and not kept:
            reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(self.counts.items()))
            first = next((sentences[0] for sentences in self.dropped.values()), "")
            raise ValueError(f"None of the {self.read} objects of {source} is kept: {reasons}. First: {first}")

    def record(self, source: Path, kept: int) -> dict[str, Any]:
        """Counts and the first few of each kind, files as they lie under `source`."""

        def shown(items: list[str]) -> list[str]:
            return [item.replace(f"{source}/", "") for item in items[:_SHOWN]]

        kinds = {"bad": self.bad, "missing_images": self.missing, "unlabelled_images": self.unlabelled}
        kinds["empty_class_folders"] = self.empty_folders
        found: dict[str, Any] = {kind: {"count": len(items), "first": shown(items)} for kind, items in kinds.items()}
        dropped = {
            reason: {"count": self.counts[reason], "first": shown(self.dropped[reason])}
            for reason in sorted(self.counts)
        }
        found["label_files"] = {"found": self.label_files, "used": self.used_files}
        found["mask_files"] = {"found": self.mask_files, "used": self.used_masks}
        found["objects"] = {"read": self.read, "kept": kept, "dropped": dropped}
        counted = [f"{count} {what}, first: {first}." for what, (count, first) in self.remarks.items()]
        counted += [first if count == 1 else f"{count} images, {first}" for count, first in self.guesses.values()]
        return {**found, "notes": [note.replace(f"{source}/", "") for note in (*self.notes, *counted)]}


def pair(
    files: Iterable[Path],
    folder: Path,
    source: Path,
    finder: ImageFinder,
    problems: Problems,
    is_label: Callable[[Path], bool] = Path.is_file,
) -> list[tuple[Path, Path, str]]:
    """Label file, image and split of every label file that has an image: by path, by name only where that is unique.

    Files without image, and those that could be of several, are recorded. Two files of one image are an error.

    Args:
        files: label files.
        folder: of the labels.
        source: of the set; folders below it may name the split.
        finder: the images.
        problems: takes the counts.
        is_label: whether a file that has no image is a label file at all; README.txt and lists of splits are none.
    """
    # Labels may stand in a split's folder and images all in one, or the other way round: either may name the split.
    paths = list(files)
    problems.label_files += len(paths)
    wanted = [
        LookedFor(
            (path.relative_to(folder) if path != folder else Path(path.name)).as_posix(),
            split_in(path, source),
            "",
            str(path),
        )
        for path in paths
    ]
    found: dict[Path, tuple[Path, str]] = {}
    for path, one, image in zip(paths, wanted, finder.match(wanted)):
        if image is None and not is_label(path):
            problems.label_files -= 1
        elif image is None:
            problems.missing.append(one.name)
        elif isinstance(image, str):
            problems.note(image)
        elif image in found:
            problems.note(
                f"{found[image][0]} and {path} are both labels of {image}: name the folder of one with --labels."
            )
        else:
            found[image] = (path, one.split or split_in(image, finder.folder))
            problems.used_files += 1
    problems.unlabelled.extend(finder.unused())
    return [(path, image, split) for image, (path, split) in found.items()]


def merge(images: Iterable[LabelledImage], problems: Problems) -> list[LabelledImage]:
    """One entry an image, in order of their names: what several lists say of it is put together, an object that several
    of them name once. It is in the most protected of the splits they say (test, val, train)."""
    found: dict[Path, LabelledImage] = {}
    lists: Counter[Path] = Counter()
    for image in images:
        lists[image.path] += 1
        before = found.setdefault(image.path, image)
        if before is image:
            continue
        if before.size and image.size and before.size != image.size:
            problems.note(f"{before.labels} and {image.labels} say different sizes of {image.path}.")
        # Two equal boxes in one list are two objects; the same box in two lists is one.
        known = Counter(thing.same_as() for thing in before.things)
        more = []
        for thing in image.things:
            if known[thing.same_as()]:
                known[thing.same_as()] -= 1
                problems.drop("listed twice", f"{image.labels}: {image.name}, {thing.category}")
            else:
                more.append(thing)
        split = next((split for split in ("test", "val", "train") if split in (before.split, image.split)), "")
        spacing = before.metres_per_pixel or image.metres_per_pixel
        found[image.path] = replace(
            before,
            things=(*before.things, *more),
            split=split,
            size=before.size or image.size,
            metres_per_pixel=spacing,
        )
    for image in found.values():
        places = Counter((thing.category, thing.box) for thing in image.things if not thing.whole_image)
        for (category, _), number in places.items():
            for _ in range(number - 1):
                problems.remark("objects stand twice at one place and are both kept", f"{category} of {image.name}")
    twice = [found[path].name for path, number in lists.items() if number > 1]
    if twice:
        problems.notes.append(f"{len(twice)} images are listed more than once and merged, first: {twice[0]}.")
    return sorted(found.values(), key=lambda image: (image.name, image.path))


def names_alike(images: Iterable[LabelledImage]) -> list[str]:
    """Classes whose names are one but for case, spaces, hyphens and underscores; and a single class of images as such,
    which is what a folder above that of the classes gives. A sentence each."""
    images = list(images)
    spellings: dict[str, set[str]] = {}
    for name in {thing.category for image in images for thing in image.things}:
        spellings.setdefault(re.sub(r"[\s_-]+", "", name.casefold()), set()).add(name)
    found = [
        f"{' and '.join(sorted(names))} are taken for different classes: rename those that are one."
        for _, names in sorted(spellings.items())
        if len(names) > 1
    ]
    whole = sum(any(thing.whole_image for thing in image.things) for image in images)
    if whole > 1 and [len(names) for names in spellings.values()] == [1]:
        (name,) = {thing.category for image in images for thing in image.things}
        found.append(f"All {whole} images are of one class, {name}: is that the folder of the classes?")
    return found


def label_xml(path: Path) -> Element:
    """An XML label file, in any encoding that it declares.

    Raises:
        ValueError: it is broken, or declares entities.
    """
    try:
        with regular_file(path).open("rb") as stream:
            declared = re.search(rb"^<\?xml[^>]*?encoding\s*=\s*[\"']([\w.:-]+)[\"'][^>]*>", stream.read(200).lstrip())
        if declared is None or declared[1].decode().lower() not in _ENCODINGS:
            return read_xml(path)
        text = path.read_bytes().decode(declared[1].decode())
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror or error}).") from error
    except UnicodeError as error:
        raise ValueError(f"{path} is not in the encoding that it declares ({error}).") from error
    return read_xml(text.partition("?>")[2].encode(), str(path))


def outline_thing(category: str, points: np.ndarray, rotated: bool, difficult: bool = False) -> Label:
    """An object from its rotated box (4, 2) or outline (N, 2)."""
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    box = (float(left), float(top), float(right), float(bottom))
    return Label(category, box, points if rotated else None, None if rotated else points, difficult)


def check_pixels(box: tuple[float, float, float, float]) -> None:
    """Raise `BadLabel` where a box (left, top, right, bottom) must be meant as fractions of the image."""
    if min(box) >= 0 and max(box) <= 1 and any(value % 1 for value in box):
        raise BadLabel(f"has fractions of the image for its box {box}, not pixels.")


def _stand_apart(label: Label) -> bool:
    """Whether the extent of an outline or rotated box shares less than 30 % of the area that it and the box take
    together: x and y swapped, or width and height taken for corners, in one of them."""
    points = label.polygon if label.corners is None else label.corners
    if points is None:
        return False
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    a, b, c, d = label.box
    shared = max(0.0, min(c, right) - max(a, left)) * max(0.0, min(d, bottom) - max(b, top))
    both = (c - a) * (d - b) + float((right - left) * (bottom - top)) - shared
    return both > 0 and shared < 0.3 * both


def _cross(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> bool:
    """Whether the lines from a to b and from c to d cross."""

    def side(p: np.ndarray, q: np.ndarray, r: np.ndarray) -> float:
        return float((q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0]))

    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0


def is_axis_parallel(points: np.ndarray) -> bool:
    """Whether four corners are those of an upright box, so that they say no more than the box."""
    return len(np.unique(points[:, 0])) == 2 and len(np.unique(points[:, 1])) == 2
