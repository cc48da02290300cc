"""How alike two images are: a difference hash to find candidates, thumbnails to decide."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

HASH_SIDE, THUMB_SIDE = 8, 16
BITS = 6
"""Hashes of 64 bits that differ in more say that the images do."""
CORRELATION = 0.95
"""Thumbnails that correlate by this or more show the same."""
_ROWS_AT_ONCE = 512
_LARGE = 50_000_000


def means(pixels: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Block means (rows, columns) float64 of an image (H, W); averaging takes the speckle away."""
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    if pixels.size > _LARGE:  # a whole scene in floating point would take gigabytes
        picture = picture.reduce(math.ceil(math.sqrt(pixels.size / _LARGE)))
    small = picture.convert("F").resize((columns, rows), Image.Resampling.BOX)
    return np.asarray(small, np.float64)


def difference_hash(pixels: np.ndarray) -> int:
    """64-bit hash: whether each of 8 x 9 block means is darker than its right neighbour. Equal for rescaled copies."""
    blocks = means(pixels, HASH_SIDE, HASH_SIDE + 1)
    return int.from_bytes(np.packbits(blocks[:, :-1] < blocks[:, 1:]).tobytes(), "big")


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    """(256,) float32 of mean 0 and norm 1 from 16 x 16 block means; zeros where the image is flat."""
    values = means(pixels, THUMB_SIDE, THUMB_SIDE).ravel()
    values = values - values.mean()
    norm = float(np.linalg.norm(values))
    return (values / norm if norm > 1e-6 else np.zeros_like(values)).astype(np.float32)


class NearDuplicateFinder:
    """Hashes and thumbnails of many images (1 KB an image), to find those that show the same."""

    def __init__(self) -> None:
        self._hashes: list[int] = []
        self._thumbnails: list[np.ndarray] = []

    def __len__(self) -> int:
        return len(self._hashes)

    def add(self, pixels: np.ndarray) -> None:
        """Remember an image (H, W)."""
        self._hashes.append(difference_hash(pixels))
        self._thumbnails.append(thumbnail(pixels))

    def pairs(self, first: Sequence[int], second: Sequence[int]) -> Iterator[tuple[int, int, float]]:
        """(number in `first`, number in `second`, correlation) of images that show the same; all pairs are looked at.

        Args:
            first: numbers of images, in the order they were added.
            second: likewise; a pair of an image with itself is left out.
        """
        hashes = np.array(self._hashes, np.uint64)
        a, b = np.asarray(first, int), np.asarray(second, int)
        for start in range(0, len(a), _ROWS_AT_ONCE):
            rows = a[start : start + _ROWS_AT_ONCE]
            bits = np.bitwise_count(hashes[rows, None] ^ hashes[None, b])
            for i, j in np.argwhere(bits <= BITS):
                one, other = int(rows[i]), int(b[j])
                correlation = float(self._thumbnails[one] @ self._thumbnails[other])
                if one != other and correlation >= CORRELATION:
                    yield one, other, correlation
