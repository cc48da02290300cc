"""Files of a labelled set: what lies in its folders, and which label belongs to which image. An image is its path."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from knowlip.base.files import regular_file
from knowlip.dataset.layout import SPLITS

IMAGES = (".npy", ".tif", ".tiff", ".png", ".bmp", ".jpg", ".jpeg")
"""Of one picture in several formats the first is the image: the others are quicklooks."""
_LISTED = (*IMAGES, ".xml", ".txt", ".json")
"""Ends of names in lists and labels that are no part of the name; whatever else stands behind a dot is."""
_HOLDERS = re.compile(
    r"(?:jpeg|png|tiff?)?images?|imgs?|labels?|labeltxt|labels_dota|annfiles|ann(?:otation)?s?|masks?", re.IGNORECASE
)
"""Folders that say what kind of file they hold: train/images/a and train/labels/a are one picture and its label."""
_NOBODYS = ("__MACOSX", "__pycache__", "@eaDir")
_LARGEST_TEXT = 256 * 2**20
_SPLIT_WORDS = {
    **{split: split for split in SPLITS},
    **{"training": "train", "trainset": "train", "trainval": "trainval"},
    **{"valid": "val", "validation": "val", "valset": "val", "testing": "test", "testset": "test"},
}
_NO_NAMES = {"set", "data", "split", "images", "image", "imgs", "img", "jpegimages", "labels", "annotations"}
_NO_NAMES |= {"inshore", "offshore", "instances"}
"""Words that stand beside a split in the name of its folder: test_images, test_inshore."""


def files_under(folder: Path, suffixes: Iterable[str], hidden: list[Path] | None = None) -> list[Path]:
    """Regular files with these suffixes in a folder and below, in order of their names; the file itself where it is
    one. Links are followed; hidden files and folders, and those of notebooks and archives, are passed over.

    Args:
        folder: where to look.
        suffixes: in lower case.
        hidden: takes what was passed over.

    Raises:
        ValueError: a link leads back to a folder above it.
    """
    wanted = tuple(suffixes)
    if folder.is_file():
        return [folder]
    found: list[Path] = []
    waiting: list[tuple[Path, frozenset[tuple[int, int]]]] = [(folder, frozenset())]
    while waiting:
        here, above = waiting.pop()
        status = here.stat()
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            raise ValueError(f"{here} is a link to a folder above it: remove it, or name the folders below it.")
        for entry in os.scandir(here):
            path = here / entry.name
            is_folder = entry.is_dir()
            if not is_folder and not entry.name.lower().endswith(wanted):
                continue
            if entry.name.startswith(".") or entry.name in _NOBODYS:
                if hidden is not None:
                    hidden.append(path)
            elif is_folder:
                waiting.append((path, above | {identity}))
            elif path.suffix.lower() in wanted and entry.is_file():
                found.append(path)
    return sorted(found)


def empty_folders(folder: Path, suffixes: Iterable[str]) -> tuple[list[Path], Counter[str]]:
    """Folders without folders of their own in which no file has one of the suffixes, in order of their names; and how
    many of all files below `folder` have another ending, by ending. Hidden ones are passed over as in
    :func:`files_under`, which has refused links that lead back."""
    wanted, empty, others = tuple(suffixes), [], Counter[str]()
    for here, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _NOBODYS]
        shown = [name for name in files if not name.startswith(".")]
        found = [name for name in shown if Path(name).suffix.lower() in wanted]
        if not found and not folders and Path(here) != folder:
            empty.append(Path(here))
        others.update(Path(name).suffix.lower() for name in shown if Path(name).suffix.lower() not in wanted)
    return sorted(empty), others


def read_lines(path: Path) -> list[str]:
    """Lines of a text file in UTF-8 (or UTF-16 with a byte order mark), without the mark.

    Raises:
        ValueError: it is something else, too large or unreadable.
    """
    try:
        if regular_file(path).stat().st_size > _LARGEST_TEXT:
            raise ValueError(f"{path} is larger than {_LARGEST_TEXT >> 20} MB, which no list and no label file is.")
        content = path.read_bytes()
        utf16 = content[:2] in (b"\xff\xfe", b"\xfe\xff")
        return content.decode("utf-16" if utf16 else "utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not text in UTF-8: convert it.") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror or error}).") from error


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


# ---- splits in names ------------------------------------------------------------------------------------------------


def split_word(name: str) -> str:
    """The split (train, val, test; trainval) that a file is named after: val2017, test_inshore, instances_val; "" where
    there is none, or more than one."""
    words = [word for word in re.findall(r"[a-z]+", name.lower()) if word not in _NO_NAMES]
    found = {_SPLIT_WORDS[word] for word in words if word in _SPLIT_WORDS}
    return "trainval" if found == {"train", "val"} else found.pop() if len(found) == 1 else ""


def folder_split(name: str) -> str:
    """The split that a folder is named after and after nothing else: test2017 is one, test_site is none."""
    words = [word for word in re.findall(r"[a-z]+", name.lower()) if word not in _NO_NAMES]
    split = _SPLIT_WORDS.get(words[0], "") if len(words) == 1 else ""
    return "train" if split == "trainval" else split


def split_in(path: Path, root: Path) -> str:
    """The split that a folder of the path below `root` is named after; "" where none is."""
    parts = path.relative_to(root).parts[:-1] if path.is_relative_to(root) else ()
    return next((split for split in map(folder_split, parts) if split), "")


# ---- which label belongs to which image -----------------------------------------------------------------------------


def bare(name: str) -> str:
    """A file name without its ending, where that is one of images, labels or lists (1.5m_a keeps its dot)."""
    return name[: name.rfind(".")] if name.lower().endswith(_LISTED) else name


def key_of(name: str) -> tuple[str, ...]:
    """Parts of a path as labels and images share them: without the ending, the drive, and folders that only say that
    they hold images or labels."""
    parts = [part for part in re.split(r"[\\/]+", name.strip()) if part not in ("", ".", "..")]
    if not parts:
        return ("",)
    return (*(part for part in parts[:-1] if not _HOLDERS.fullmatch(part) and part[1:] != ":"), bare(parts[-1]))


@dataclass(frozen=True)
class LookedFor:
    """A label or a line of a list that looks for its image."""

    name: str  # Path of the image as the label says it, with or without ending.
    split: str = ""  # The split it stands for: an image in another split's folder is another one.
    near: str = ""  # Folder in which the label lies: of several the image is the one that lies there.
    said_by: str = ""  # For messages.


class PathIndex:
    """Finds items by the path that something says, by name alone only where no other could be meant.

    Args:
        names: path of each item under the common folder, without ending.
        splits: split of each item by its folder, "" where it has none.
        suffix: end of the items' names that labels do not share.
    """

    def __init__(self, names: Sequence[str], splits: Sequence[str], suffix: str = ""):
        self.names, self.splits, self.suffix = names, splits, suffix
        self._keys = [key_of(f"{name}.png") for name in names]
        self._named: dict[str, list[int]] = {}
        self._short: dict[str, list[int]] = {}
        for i, key in enumerate(self._keys):
            self._named.setdefault(key[-1], []).append(i)
            if suffix and key[-1].endswith(suffix):
                self._short.setdefault(key[-1].removesuffix(suffix), []).append(i)

    def match(self, wanted: Sequence[LookedFor]) -> list[int | str | None]:
        """For each that looks for an item its number; None: there is none; a sentence: it could be several."""
        # Paths come first, so that a label which says only a name never takes an item that another one says in full.
        found: list[int | str | None] = [None] * len(wanted)
        keys = [key_of(one.name) for one in wanted]
        rest: dict[str, list[int]] = {}
        taken: set[int] = set()
        for number, (one, key) in enumerate(zip(wanted, keys)):
            here = self._by_path(one, key)
            if not here:
                rest.setdefault(key[-1], []).append(number)
                continue
            found[number] = here[0] if len(here) == 1 else self._several(one, here)
            taken.update(here)
        for name, numbers in rest.items():
            said = {keys[number] for number in numbers}
            for number in numbers:
                fitting = self._fitting(name, wanted[number].split)
                if not fitting and len({wanted[i].split for i in numbers}) == 1:
                    fitting = self._all(name)  # a list of one split may draw on another one's folder
                free = [i for i in fitting if i not in taken]
                if len(free) == 1 and len(said) == 1:
                    found[number] = free[0]
                elif len(free) > 1:
                    found[number] = self._several(wanted[number], free)
                elif free:
                    labels = sorted({wanted[i].said_by or wanted[i].name for i in numbers})
                    found[number] = f"{' and '.join(labels[:2])} could both be of {self.names[free[0]]}: keep one."
        return found

    def _all(self, name: str) -> list[int]:
        return self._named.get(name) or self._short.get(name, [])

    def _fitting(self, name: str, split: str) -> list[int]:
        """Items of this name that are not in another split's folder; where the split's own folder has some, those."""
        named = [i for i in self._all(name) if not (split and self.splits[i]) or self.splits[i] == split]
        return [i for i in named if split and self.splits[i] == split] or named

    def _by_path(self, one: LookedFor, key: tuple[str, ...]) -> list[int]:
        # What a path says in full counts more than the split of the list that says it.
        named, fitting = self._all(key[-1]), self._fitting(key[-1], one.split)
        keys = {i: (*self._keys[i][:-1], key[-1]) for i in named}
        for path in dict.fromkeys((key_of(f"{one.near}/{one.name}"), key)):
            if whole := [i for i in (named if len(path) > 1 else fitting) if keys[i] == path]:
                return whole
        return [i for i in fitting if _ends_alike(keys[i], key)]

    def _several(self, one: LookedFor, here: Sequence[int]) -> str:
        names = " or ".join(self.names[i] for i in here[:2])
        return f"{one.said_by or one.name} could be of {names}: its path has to say which."


def _ends_alike(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether one path is the end of the other, by more than its name."""
    shared = min(len(one), len(other))
    return shared > 1 and one[-shared:] == other[-shared:]


class ImageFinder:
    """The images of a set.

    Args:
        folder: of the images, or one image.
        suffix: end of image names that labels do not share.
        without: folder below it whose files are no images (masks).
        without_suffix: end of the names of files that are no images.
        only: regular expression that paths of images match, under the folder and with their ending.
        endings: of image files; of one picture in several formats the first is the image.
    """

    def __init__(
        self,
        folder: Path,
        suffix: str = "",
        without: Path | None = None,
        without_suffix: str = "",
        only: str = "",
        endings: tuple[str, ...] = IMAGES,
    ):
        self.folder = folder if folder.is_dir() else folder.parent
        self.hidden: list[Path] = []
        found = files_under(folder, endings, self.hidden)
        files = len(found)
        if only:
            found = [path for path in found if re.search(only, path.relative_to(self.folder).as_posix())]
        self.passed_over = files - len(found)
        if without is not None:
            found = [path for path in found if not path.is_relative_to(without)]
        if without_suffix:
            found = [path for path in found if not path.stem.endswith(without_suffix)]
        forms: dict[str, list[Path]] = {}
        for path in found:
            forms.setdefault(self.name_of(path), []).append(path)
        self._forms = [sorted(one, key=lambda path: endings.index(path.suffix.lower())) for one in forms.values()]
        self.paths = [one[0] for one in self._forms]
        self.quicklooks = [path for one in self._forms for path in one[1:]]
        self.splits = [split_in(path, self.folder) for path in self.paths]
        self.index = PathIndex([self.name_of(path) for path in self.paths], self.splits, suffix)
        self.used: set[Path] = set()

    def match(self, wanted: Sequence[LookedFor], forms: bool = True) -> list[Path | str | None]:
        """For each label its image; None: there is none; a sentence: it could be several. Of a picture in several
        formats the one whose ending the label says (with `forms`), else the first in the order of `IMAGES`."""
        found: list[Path | str | None] = []
        for one, number in zip(wanted, self.index.match(wanted)):
            if not isinstance(number, int):
                found.append(number)
                continue
            same, ending = self._forms[number], PurePosixPath(one.name).suffix.lower() if forms else ""
            image = next((path for path in same if path.suffix.lower() == ending), same[0])
            self.used.update((image, same[0]))
            found.append(image)
        return found

    def name_of(self, path: Path) -> str:
        """Path under the folder, without ending."""
        return path.relative_to(self.folder).with_suffix("").as_posix()

    def unused(self) -> Iterator[str]:
        """Names of images that nothing asked for."""
        return (self.name_of(path) for path in self.paths if path not in self.used)
