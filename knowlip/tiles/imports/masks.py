"""Which mask belongs to which image, and its values -> class codes 0 to 254; 255 where there is no class."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from knowlip.dataset.annotations import IGNORE
from knowlip.tiles.imports.files import IMAGES, ImageFinder, LookedFor, files_under, place_of, split_in
from knowlip.tiles.imports.labels import Problems
from knowlip.tiles.imports.pixels import read_codes, read_colours
from knowlip.tiles.imports.settings import ImportConfig

_USUAL = ("masks", "labels", "Labels")
_SHOWN = 20
_MOST_COLOURS = 10_000


def mask_place(config: ImportConfig, images: Path) -> Path | None:
    """Folder (or file) of the masks where there is one, None where images and masks stand together.

    Raises:
        ValueError: the masks are nowhere.
    """
    place = place_of(config.source, config.masks, _USUAL, "masks")
    if place.is_file() or not images.resolve().is_relative_to(place.resolve()):
        return place
    if not config.mask_suffix:
        raise ValueError(
            f"Nothing tells the masks of {config.source} from its images: give their folder with --masks, or the end "
            "of their names with --mask_suffix."
        )
    return None


def masks_of(config: ImportConfig, finder: ImageFinder, problems: Problems) -> dict[Path, Path]:
    """The mask of each image that has one, by path, or by name where that is unique. A single mask file belongs to a
    single image, whatever their names. No image is its own mask."""
    place = place_of(config.source, config.masks, _USUAL, "masks")
    if place.is_file() and len(finder.paths) == 1:
        finder.used.add(finder.paths[0])
        problems.mask_files, problems.used_masks = 1, 1
        return {finder.paths[0]: place}
    images = {path.resolve() for path in (*finder.paths, *finder.quicklooks)}
    masks = [path for path in files_under(place, IMAGES, finder.hidden) if path.resolve() not in images]
    if config.mask_suffix and finder.folder.resolve().is_relative_to(place.resolve()):
        masks = [path for path in masks if path.stem.endswith(config.mask_suffix)]  # the others may be other bands
    root = place if place.is_dir() else place.parent
    names = [path.relative_to(root).with_suffix("").as_posix().removesuffix(config.mask_suffix) for path in masks]
    if config.mask_names:
        old, _, new = config.mask_names.partition("=")
        names = [name.replace(old, new) for name in names]
    wanted = [LookedFor(f"{name}.png", split_in(path, root), "", str(path)) for name, path in zip(names, masks)]
    problems.mask_files += len(masks)
    found: dict[Path, Path] = {}
    for path, image in zip(masks, finder.match(wanted, forms=False)):
        if image is None:
            problems.missing.append(path.name)
        elif isinstance(image, str):
            problems.note(image)
        elif image in found:
            problems.note(f"{found[image]} and {path} are both masks of {image}: keep one.")
        else:
            found[image] = path
            problems.used_masks += 1
            if path.suffix.lower() in (".jpg", ".jpeg"):
                problems.remark("masks are JPEG, which changes values at edges: use PNG", path.name)
    return found


class MaskCodes:
    """Translates mask values and remembers which classes occurred.

    Args:
        classes: VALUE=NAME, or #RRGGBB=NAME in all; the position in this list becomes the code. Empty: values stay as
            they are.

    Raises:
        ValueError: an entry has another form, or a value comes twice.
    """

    def __init__(self, classes: Sequence[str]):
        self.values: list[int] = []
        self.words: list[str] = []
        for entry in classes:
            value, _, word = entry.partition("=")
            number = _number(value.strip())
            if not word or number is None or number in self.values:
                raise ValueError(
                    f"mask_classes must be VALUE=NAME with different whole values, or #RRGGBB=NAME, not {entry!r}."
                )
            self.values.append(number)
            self.words.append(word.strip())
        colours = sum(entry.strip().startswith("#") for entry in classes)
        if colours not in (0, len(classes)):
            raise ValueError("mask_classes are all values or all colours (#RRGGBB).")
        self.coloured = colours > 0
        if len(self.values) > IGNORE:
            raise ValueError(f"A mask has room for {IGNORE} classes, not {len(self.values)}.")
        self._seen: set[int] = set()
        self.without, self.all = 0, 0  # Pixels of coloured masks that have no class, and all.
        self._colours = Counter[int]()  # Colours that are no class -> pixels, of the first so many colours.
        self._unnamed: dict[int, tuple[int, int]] = {}  # Value -> pixels, masks.

    def read(self, path: Path, size: tuple[int, int]) -> np.ndarray:
        """Class codes (H, W) uint8 of a mask file.

        Raises:
            ValueError: its size is not that of the image (width, height), or a value has no room.
        """
        values = read_colours(path) if self.coloured else read_codes(path)
        if values.shape != (size[1], size[0]):
            raise ValueError(
                f"{path} has {values.shape[1]} x {values.shape[0]} pixels, its image {size[0]} x {size[1]}."
            )
        return self.of(values, np.ones(values.shape, bool), str(path))

    def of(self, values: np.ndarray, known: np.ndarray, name: str) -> np.ndarray:
        """Class codes (H, W) uint8 of the values of a mask.

        Args:
            values: (H, W) whole numbers.
            known: (H, W) bool; elsewhere nothing is said, and nothing is counted.
            name: of the mask, for the sentence.

        Raises:
            ValueError: a value has no room.
        """
        codes = np.full(values.shape, IGNORE, np.uint8)
        if self.values:
            for code, value in enumerate(self.values):
                codes[known & (values == value)] = code
            self._seen.update(np.unique(codes).tolist())
            if self.coloured:
                self.without += int((codes == IGNORE).sum())
                self.all += codes.size
                self._count_colours(values[codes == IGNORE])
            else:
                self._count_unnamed(values[known & (codes == IGNORE)])
            return codes
        if known.any() and values[known].max() >= IGNORE:
            raise ValueError(
                f"{name} holds the value {values[known].max()}: name the classes with --mask_classes VALUE=NAME."
            )
        named = known & (values >= 0)
        self._count_unnamed(values[known & ~named])
        codes[named] = values[named]
        self._seen.update(int(value) for value in np.unique(values[named]))
        return codes

    def _count_unnamed(self, values: np.ndarray) -> None:
        for value, pixels in zip(*np.unique(values, return_counts=True)) if values.size else ():
            before, masks = self._unnamed.get(int(value), (0, 0))
            self._unnamed[int(value)] = (before + int(pixels), masks + 1)

    def _count_colours(self, values: np.ndarray) -> None:
        # Compression makes many colours of few pixels: the frequent ones of each mask are all that is looked for.
        found, pixels = np.unique(values, return_counts=True)
        for i in np.argsort(-pixels, kind="stable")[:_SHOWN]:
            if found[i] in self._colours or len(self._colours) < _MOST_COLOURS:
                self._colours[int(found[i])] += int(pixels[i])

    def strange(self) -> list[tuple[str, int]]:
        """The most frequent colours that are no class, as #rrggbb, and their pixels."""
        return [(f"#{colour:06x}", pixels) for colour, pixels in self._colours.most_common(3)]

    def notes(self) -> list[str]:
        """Values that became no class, and named classes of which no mask has a pixel."""
        shown = sorted(self._unnamed.items(), key=lambda item: -item[1][0])[:_SHOWN]
        counts = "; ".join(f"{value}: {pixels} pixels of {masks} masks" for value, (pixels, masks) in shown)
        found = [f"Mask values that are no class ({len(self._unnamed)}): {counts}."] if shown else []
        absent = [entry for code, entry in enumerate(self.words) if code not in self._seen]
        return found + ([f"No mask has a pixel of {', '.join(absent)}."] if absent else [])

    def names(self) -> dict[int, str]:
        """Code -> name of the class."""
        if self.values:
            return dict(enumerate(self.words))
        return {value: f"class-{value}" for value in sorted(self._seen)}


def _number(text: str) -> int | None:
    """A value of a mask, of #RRGGBB the number 0xRRGGBB; None where it is neither."""
    if re.fullmatch("#[0-9a-fA-F]{6}", text):
        return int(text[1:], 16)
    return int(text) if re.fullmatch(r"-*\d+", text) else None
