"""Chips: small images around one target, and what their size gives away.

A chip was cut to its target, so its width and height tell the class before any pixel is looked at, and a chip that is
stretched to the input still tells them: by how smooth it is. So chips are seen through one window: a centred square of
the same number of pixels (the same ground, where pixels have one size), at native resolution. What is larger is cut,
what is smaller goes on as its mirror image beyond its edges; a border of zeros would show the size.

With the smallest side of all chips as window nothing is mirrored, and every input is the same crop whatever the chip's
size was. With a larger one, a model that finds the mirror lines knows the size as far as the window shows it: the floor
"chip size in the window" is what that is worth at most.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np

from knowlip.base.files import sha256, whole_file
from knowlip.base.progress import track
from knowlip.dataset import Dataset
from knowlip.dataset.decode import resize_grey

HideSize = Literal["auto", "yes", "no"]
HIDE_SIZE: Final = ("auto", "yes", "no")
Contrast = Literal["stored", "chip"]
CONTRAST: Final = ("stored", "chip")
_MEAN, _STD = 0.45, 0.25
"""Of all grey levels (of 1) that encoders of SAR tiles expect: those of :class:`knowlip.models.config.VisionConfig`."""
_FLAT: Final = 0.1
"""Deviation of the square roots of a chip's levels below which it is flat: any change of its power would be all of its
contrast."""


@dataclass(frozen=True)
class ChipWindow:
    """How the tiles of a set are brought to one input."""

    sides_T2: np.ndarray
    """Height and width of each tile in pixels."""
    side_T: np.ndarray | None
    """Side of the window on each tile in pixels; None where tiles are stretched to the input."""
    told: str
    """In words, for results."""

    @classmethod
    def of(cls, dataset: Dataset, tile_ids: Sequence[str], hide: HideSize, window: float | None) -> "ChipWindow":
        """The window of a data set.

        Args:
            dataset: the data set.
            tile_ids: all tiles that are learned from or measured.
            hide: "auto" hides the size where it differs among tiles.
            window: its side, in metres where every tile says the size of its pixels, else in pixels; None for the
                smallest side of all tiles.

        Raises:
            ValueError: not one of these, a window where the size is not hidden, or one without a pixel.
        """
        if hide not in HIDE_SIZE:
            raise ValueError(f"hide_size must be one of {', '.join(HIDE_SIZE)}, not {hide!r}.")
        index = dataset.tiles().set_index("tile_id").loc[list(tile_ids)]
        sides = np.array([list(shape) for shape in index["proj:shape"]], int).reshape(-1, 2)
        differ = len(np.unique(sides, axis=0)) > 1 or bool((sides[:, 0] != sides[:, 1]).any())
        if hide == "no" or (hide == "auto" and not differ and window is None):
            if window is not None:
                raise ValueError("A window hides the size of chips: give hide_size yes, or no window.")
            return cls(sides, None, "stretched to the input" if differ else "whole tiles")
        metres = index["metres_per_pixel"].to_numpy(float)
        said = np.isfinite(metres) & (metres > 0)
        known = bool(said.all())
        metres = metres if known else np.ones(len(sides))
        ground = float((sides.min(1) * metres).min()) if window is None else window
        if not ground > 0 or (side := np.rint(ground / metres).astype(int)).min() < 1:
            raise ValueError(f"A window of {ground:g} {'m' if known else 'px'} holds no pixel of some tile.")
        # Pixels in place of the metres that most tiles say would be a window of another size without a word.
        why = f", as {int((~said).sum())} of {len(said)} tiles do not say the size of their pixels"
        return cls(
            sides,
            side,
            f"one window of {ground:g} {'m' if known else 'px'} on all{why if 0 < said.sum() < len(said) else ''}",
        )

    @property
    def visible_T2(self) -> np.ndarray:
        """(T, 2): height and width of what the input shows of each tile: all that a model could know of its size."""
        return self.sides_T2 if self.side_T is None else np.minimum(self.sides_T2, self.side_T[:, None])

    @property
    def mirrored(self) -> int:
        """Tiles that are smaller than the window along an axis."""
        return 0 if self.side_T is None else int((self.sides_T2 < self.side_T[:, None]).any(1).sum())

    @property
    def shown(self) -> float:
        """Share of the tiles' area that inputs show: its median."""
        return float(np.median(self.visible_T2.prod(1) / self.sides_T2.prod(1)))

    def cut(self, pixels: np.ndarray, number: int) -> np.ndarray:
        """What is seen of tile `number` (H, W), at native resolution."""
        return pixels if self.side_T is None else seen_through(pixels, int(self.side_T[number]))


def seen_through(pixels: np.ndarray, side: int) -> np.ndarray:
    """(side, side) around the centre of an image (H, W), mirrored at its edges where it is smaller."""
    return pixels[np.ix_(*(_places(length, side) for length in pixels.shape))]


def _places(length: int, side: int) -> np.ndarray:
    """Which of `length` pixels each of `side` pixels around the centre shows."""
    if length == 1:
        return np.zeros(side, int)
    place = (np.arange(side) + (length - side) // 2) % (2 * length - 2)
    return np.minimum(place, 2 * length - 2 - place)


def evened(pixels: np.ndarray) -> np.ndarray:
    """An image (H, W) uint8 whose brightness and contrast tell nothing: the square roots of its levels, brought to the
    mean and deviation that encoders expect. Chips of one radar can be nearly black; copies differ by brightness."""
    root = np.sqrt(pixels.astype(np.float32))
    level = (root - root.mean()) / max(float(root.std()), 1e-6) * _STD + _MEAN
    return np.rint(level * 255).clip(1, 255).astype(np.uint8)


def chip_roots(dataset: Dataset, tile_ids: Sequence[str], window: ChipWindow, cache: Path) -> np.ndarray:
    """Slope and intercept (tiles, 2) float32 by which the levels of :func:`evened` chips are square roots of stored
    levels again, so that what happens in power happens there; made once and kept. Arguments as of :func:`load_chips`.
    """
    sides = "" if window.side_T is None else ",".join(map(str, window.side_T))
    path = cache / f"roots-{sha256(chr(10).join([dataset.fingerprint, sides, *tile_ids]).encode())[:16]}.npy"
    if not path.is_file():
        images = track(dataset.images(tile_ids), "contrast of chips", total=len(tile_ids))
        roots = [np.sqrt(window.cut(pixels, number).astype(np.float32)) for number, pixels in enumerate(images)]
        mean, std = (np.array([f(root) for root in roots], np.float32) for f in (np.mean, np.std))
        std = np.maximum(std, _FLAT)
        with whole_file(path) as part, part.open("wb") as stream:
            np.save(stream, np.stack([std / (_STD * 255), mean - _MEAN / _STD * std], 1))
    return np.asarray(np.load(path))


def load_chips(
    dataset: Dataset,
    tile_ids: Sequence[str],
    window: ChipWindow,
    size: int,
    cache: Path,
    contrast: Contrast = "stored",
) -> np.ndarray:
    """Chips as seen through the window, at the encoder's size; made once and kept.

    Args:
        dataset: where they are.
        tile_ids: which, as the window has them.
        window: what is seen.
        size: side of the result in pixels.
        cache: folder for the file.
        contrast: "stored", or "chip" (:func:`evened`).

    Returns:
        uint8 (tiles, size, size), memory-mapped read-only.
    """
    sides = "" if window.side_T is None else ",".join(map(str, window.side_T))
    key = sha256("\n".join([dataset.fingerprint, str(size), sides, contrast, *tile_ids]).encode())[:16]
    path = cache / f"chips-{size}-{key}.npy"
    if not path.is_file():
        with whole_file(path) as part, part.open("wb") as stream:
            shape = (len(tile_ids), size, size)
            np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
            images = track(dataset.images(tile_ids), f"chips at {size} px", total=len(tile_ids))
            for number, pixels in enumerate(images):
                seen = window.cut(pixels, number)
                seen = evened(seen) if contrast == "chip" else seen
                stream.write(np.ascontiguousarray(resize_grey(seen, size)).tobytes())
    return np.asarray(np.load(path, mmap_mode="r"))
