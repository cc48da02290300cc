"""Which mask belongs to which image, and its values -> class codes 0 to 254; 255 where there is no class."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from knowlip.dataset.annotations import IGNORE
from knowlip.tiles.imports.labels import IMAGES, ImageFinder, files_under, place_of
from knowlip.tiles.imports.pixels import read_codes
from knowlip.tiles.imports.settings import ImportConfig


def mask_key(path: Path, suffix: str) -> str:
    """What an image and its mask share: the name without extension and without the end that only one of them has."""
    return path.stem.removesuffix(suffix)


def masks_of(config: ImportConfig, finder: ImageFinder) -> dict[str, Path]:
    """The masks of a set by their key. A single mask file belongs to a single image, whatever their names."""
    place = place_of(config.source, config.masks, ("masks", "labels", "Labels"), "masks")
    if place.is_file() and len(finder.paths) == 1:
        return {mask_key(finder.paths[0], ""): place}
    return {mask_key(path, config.mask_suffix): path for path in files_under(place, IMAGES)}


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
