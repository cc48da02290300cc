"""Tiles of any size with a class for every pixel, as a segmentation reads them: mapped from two flat files, so that
memory does not grow with the set.

Shapes: T tiles, C classes, H x W pixels of a tile.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from knowlip.base.files import file_sha256, sha256, whole_file
from knowlip.base.progress import track
from knowlip.dataset import Dataset
from knowlip.dataset.annotations import IGNORE
from knowlip.dataset.layout import AS_IS
from knowlip.tasks.metrics.segmentation import grey_counts, smoothed


@dataclass(frozen=True)
class MaskedTiles:
    """Pixels and class numbers of some tiles."""

    tile_ids: list[str]
    shapes: list[tuple[int, int]]
    """Height and width of each."""
    classes: list[str]
    """Names; the class of a pixel is its place here, `IGNORE` where it has none."""
    key: str
    """Hash of all pixels and masks."""
    _pixels: np.ndarray
    _masks: np.ndarray
    _starts: np.ndarray

    def pixels(self, number: int) -> np.ndarray:
        """(H, W) uint8."""
        return self._of(self._pixels, number)

    def mask(self, number: int) -> np.ndarray:
        """(H, W) uint8: class numbers."""
        return self._of(self._masks, number)

    def _of(self, flat: np.ndarray, number: int) -> np.ndarray:
        start = self._starts[number]
        return flat[start : start + np.prod(self.shapes[number])].reshape(self.shapes[number])

    def crop(self, number: int, top: int, left: int, side: int) -> tuple[np.ndarray, np.ndarray]:
        """A square of a tile and its mask; what lies outside is 0 and of no class."""
        part = np.s_[top : top + side, left : left + side]
        return padded(self.pixels(number)[part], side, 0), padded(self.mask(number)[part], side, IGNORE)

    def counts(self, number: int) -> np.ndarray:
        """(C, 256): pixels of each class and grey level."""
        return grey_counts(smoothed(self.pixels(number)), self.mask(number), len(self.classes))

    def numbers(self, tile_ids: Sequence[str]) -> list[int]:
        """Numbers of some tiles."""
        place = {name: number for number, name in enumerate(self.tile_ids)}
        return [place[name] for name in tile_ids]


def padded(values: np.ndarray, side: int, fill: int) -> np.ndarray:
    """(side, side) with values in the upper left."""
    if values.shape == (side, side):
        return values
    whole = np.full((side, side), fill, values.dtype)
    whole[: values.shape[0], : values.shape[1]] = values
    return whole


class ClassMasks:
    """Tiles of a data set with their masks, as everything that learns or measures classes of pixels counts them.

    Raises:
        ValueError: the set has no masks or no classes.
    """

    def __init__(self, data: Dataset) -> None:
        self._data, tiles = data, data.tiles()
        with_mask = tiles[tiles["tile_id"].isin(set(data.masks.places))]
        names = data.mask_classes
        if not names or with_mask.empty:
            raise ValueError(
                f"{data.path} has no masks of classes: segmentation needs a set with them (docs/segmentation.md)."
            )
        self.classes = list(names.values())
        self.shape_of: dict[str, tuple[int, int]] = {
            name: (int(shape[0]), int(shape[1])) for name, shape in zip(with_mask["tile_id"], with_mask["proj:shape"])
        }
        """Height and width of each accepted tile with a mask."""
        self._number_of = np.full(256, IGNORE, np.uint8)
        self._number_of[list(names)] = np.arange(len(names))
        self._as_is = dict(zip(with_mask["tile_id"], with_mask["quantiser"].astype(str) == AS_IS))

    def read(self, tile_id: str) -> tuple[np.ndarray, np.ndarray]:
        """Pixels of a tile, and the place of each one's class among `classes` (both (H, W) uint8); pixels without data
        are `IGNORE`, whatever the mask says.

        Raises:
            ValueError: the mask is of another size than its tile.
        """
        pixels, mask = self._data.image(tile_id), self._number_of[self._data.masks.mask(tile_id)]
        if pixels.shape != self.shape_of[tile_id] or mask.shape != pixels.shape:
            raise ValueError(f"The mask of {tile_id} is {mask.shape}, its tile {pixels.shape}.")
        return pixels, np.where((pixels == 0) & (not self._as_is[tile_id]), IGNORE, mask).astype(np.uint8)


@dataclass(frozen=True)
class LeftOut:
    """What no segmentation uses, by reason."""

    without_mask: int = 0
    """Accepted tiles without a mask."""
    without_class: int = 0
    """Tiles whose mask has no pixel of any class."""


def read_masked(data: Dataset, cache: Path) -> tuple[MaskedTiles, LeftOut]:
    """All accepted tiles with a mask that has a class somewhere.

    Args:
        data: the data set.
        cache: folder for the two files; their names hold the data's fingerprint and that of the masks.

    Raises:
        ValueError: the set has no masks or no classes, or a mask is of another size than its tile.
    """
    # One pass writes pixels and masks one behind the other, so that crops of any tile are reads of a mapped file.
    reader = ClassMasks(data)
    shape_of, names = reader.shape_of, data.mask_classes
    key = sha256(f"{data.fingerprint} {file_sha256(data.masks.path)} {sorted(names.items())}".encode())[:16]
    files = [cache / f"{kind}-{key}.bin" for kind in ("areas", "classes")]
    if not all(path.is_file() for path in files):
        with whole_file(files[0]) as one, whole_file(files[1]) as other, one.open("wb") as a, other.open("wb") as b:
            for name in track(list(shape_of), f"read {len(shape_of)} tiles with masks"):
                pixels, mask = reader.read(name)
                a.write(pixels.tobytes())
                b.write(mask.tobytes())
    areas, classes = (np.memmap(path, np.uint8, "r") for path in files)
    starts = np.cumsum([0, *(height * width for height, width in shape_of.values())])
    kept = [at for at in range(len(shape_of)) if (classes[starts[at] : starts[at + 1]] != IGNORE).any()]
    tile_ids = list(shape_of)
    found = MaskedTiles(
        [tile_ids[at] for at in kept],
        [shape_of[tile_ids[at]] for at in kept],
        reader.classes,
        key,
        areas,
        classes,
        starts[kept],
    )
    return found, LeftOut(len(data.tiles()) - len(shape_of), len(shape_of) - len(kept))
