"""Which mask belongs to which image, and its values -> class codes 0 to 254; 255 where there is no class."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from knowlip.dataset.annotations import IGNORE
from knowlip.tiles.imports.files import IMAGES, ImageFinder, LookedFor, files_under, place_of, split_in
from knowlip.tiles.imports.labels import Problems
from knowlip.tiles.imports.pixels import read_codes
from knowlip.tiles.imports.settings import ImportConfig

_USUAL = ("masks", "labels", "Labels")


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
    root = place if place.is_dir() else place.parent
    names = [path.relative_to(root).with_suffix("").as_posix().removesuffix(config.mask_suffix) for path in masks]
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
    return found


class MaskCodes:
    """Translates mask values and remembers which classes occurred.

    Args:
        classes: VALUE=NAME; the position in this list becomes the code. Empty: values stay as they are.

    Raises:
        ValueError: an entry has another form, or a value comes twice.
    """

    def __init__(self, classes: Sequence[str]):
        self.values: list[int] = []
        self.words: list[str] = []
        for entry in classes:
            value, _, word = entry.partition("=")
            if not word or not value.strip().lstrip("-").isdigit() or int(value) in self.values:
                raise ValueError(f"mask_classes must be VALUE=NAME with different whole values, not {entry!r}.")
            self.values.append(int(value))
            self.words.append(word.strip())
        if len(self.values) > IGNORE:
            raise ValueError(f"A mask has room for {IGNORE} classes, not {len(self.values)}.")
        self._seen: set[int] = set()

    def read(self, path: Path, size: tuple[int, int]) -> np.ndarray:
        """Class codes (H, W) uint8 of a mask file.

        Raises:
            ValueError: its size is not that of the image (width, height), or a value has no room.
        """
        values = read_codes(path)
        if values.shape != (size[1], size[0]):
            raise ValueError(
                f"{path} has {values.shape[1]} x {values.shape[0]} pixels, its image {size[0]} x {size[1]}."
            )
        codes = np.full(values.shape, IGNORE, np.uint8)
        if self.values:
            for code, value in enumerate(self.values):
                codes[values == value] = code
            return codes
        if values.max() >= IGNORE:
            raise ValueError(f"{path} holds the value {values.max()}: name the classes with --mask_classes VALUE=NAME.")
        known = values >= 0
        codes[known] = values[known]
        self._seen.update(int(value) for value in np.unique(values[known]))
        return codes

    def names(self) -> dict[int, str]:
        """Code -> name of the class."""
        if self.values:
            return dict(enumerate(self.words))
        return {value: f"class-{value}" for value in sorted(self._seen)}
