"""Which images show the same: thumbnails of all pairs are correlated, in all eight orientations.

No pair is passed over. Of two unit vectors u and v with low and high frequencies, u v = uL vL + uH vH, and by Cauchy
and Schwarz that is at most uL vL + |uH| |vH|: one product of short vectors (16 x 16 block means and the length of the
rest) bounds the correlation of the long ones (32 x 32) from above, and the long ones are compared only where the bound
allows it. Turning an image turns its block means and leaves the length of the rest as it is.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SIDE = 32
"""Of a thumbnail."""
CORRELATION = 0.9
"""Thumbnails that correlate by more, in some orientation, show the same."""
_COARSE = SIDE // 2
_AT_ONCE = 1024
_LARGE = 50_000_000


def means(pixels: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Block means (rows, columns) float64 of an image (H, W); averaging takes the speckle away."""
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    if pixels.size > _LARGE:  # a whole scene in floating point would take gigabytes
        picture = picture.reduce(math.ceil(math.sqrt(pixels.size / _LARGE)))
    small = picture.convert("F").resize((columns, rows), Image.Resampling.BOX)
    return np.asarray(small, np.float64)


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    """(32, 32) float32 block means of mean 0 and norm 1; zeros where the image is flat."""
    values = means(pixels, SIDE, SIDE)
    values = values - values.mean()
    norm = float(np.linalg.norm(values))
    return (values / norm if norm > 1e-6 else np.zeros_like(values)).astype(np.float32)


def turned(thumbnails_NSS: np.ndarray) -> Iterator[np.ndarray]:
    """The eight orientations of square images (N, S, S)."""
    for quarters in range(4):
        here = np.rot90(thumbnails_NSS, quarters, (1, 2))
        yield from (here, here[:, :, ::-1])


def _bounds(thumbnails_NSS: np.ndarray) -> np.ndarray:
    """(N, 257): products of two rows are at least the correlation of the two thumbnails."""
    coarse = thumbnails_NSS.reshape(-1, _COARSE, 2, _COARSE, 2).mean((2, 4)).reshape(-1, _COARSE**2) * 2
    rest = np.sqrt(np.clip((thumbnails_NSS**2).sum((1, 2)) - (coarse**2).sum(1), 0, None))
    return np.hstack([coarse, rest[:, None]])


class NearDuplicateFinder:
    """Thumbnails of many images (4 KB an image), to find those that show the same."""

    def __init__(self) -> None:
        self._thumbnails: list[np.ndarray] = []
        self._first: dict[bytes, int] = {}
        self._same: list[int] = []
        """Of each image, the first with the very same pixels: flat ones correlate with nothing."""

    def __len__(self) -> int:
        return len(self._thumbnails)

    def add(self, pixels: np.ndarray) -> None:
        """Remember an image (H, W)."""
        self._thumbnails.append(thumbnail(pixels))
        key = hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).digest()
        self._same.append(self._first.setdefault(key, len(self._same)))

    def thumbnails(self) -> np.ndarray:
        """(N, 32, 32) float32, in the order they were added."""
        return np.array(self._thumbnails, np.float32).reshape(-1, SIDE, SIDE)

    def pairs(self, first: Sequence[int], second: Sequence[int]) -> Iterator[tuple[int, int, float]]:
        """(number in `first`, number in `second`, correlation) of images that show the same; all pairs are looked at.

        Args:
            first: numbers of images, in the order they were added.
            second: likewise; a pair of an image with itself is left out.
        """
        a, b = np.asarray(first, int), np.asarray(second, int)
        for start in range(0, len(a), _AT_ONCE):
            rows = a[start : start + _AT_ONCE]
            for other in range(0, len(b), _AT_ONCE):
                columns = b[other : other + _AT_ONCE]
                for i, j, correlation in zip(*self._alike(rows, columns)):
                    if rows[i] != columns[j]:
                        yield int(rows[i]), int(columns[j]), float(correlation)

    def groups(self) -> np.ndarray:
        """(N,) number of each image's group: images that show the same are in one, also in a chain. Numbered by first
        member."""
        everything = np.arange(len(self))
        label = np.array(self._same, int)
        for start in range(0, len(label), _AT_ONCE):
            rows = everything[start : start + _AT_ONCE]
            for other in range(start, len(label), _AT_ONCE):
                columns = everything[other : other + _AT_ONCE]
                i, j, _ = self._alike(rows, columns)
                one, two = label[rows[i]], label[columns[j]]
                joined = one != two
                if joined.any():  # only what joins is kept, so that memory does not grow with the pairs
                    ones = np.ones(int(joined.sum()), bool)
                    graph = coo_array((ones, (one[joined], two[joined])), (len(label), len(label)))
                    label = connected_components(graph, directed=False)[1][label]
        return _by_first(label)

    def _alike(self, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Places in `rows` and `columns` of images that show the same, and their correlation, row by row."""
        one, two = (np.array([self._thumbnails[i] for i in which]) for which in (rows, columns))
        best = np.zeros((len(rows), len(columns)), np.float32)
        bounds = _bounds(two).T
        for turn in turned(one):
            i, j = np.nonzero(_bounds(turn) @ bounds > CORRELATION)
            correlation = np.einsum("nab,nab->n", turn[i], two[j])
            best[i, j] = np.maximum(best[i, j], correlation)
        i, j = np.nonzero(best > CORRELATION)
        return i, j, best[i, j]


def _by_first(label: np.ndarray) -> np.ndarray:
    """Labels numbered in the order in which they first occur."""
    _, first, number = np.unique(label, return_index=True, return_inverse=True)
    order = np.empty(len(first), int)
    order[np.argsort(first)] = np.arange(len(first))
    return np.asarray(order[number])
