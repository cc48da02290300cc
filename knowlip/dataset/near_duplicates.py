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

SIDE = 32
"""Of a thumbnail."""
CORRELATION = 0.9
"""Thumbnails that correlate by more, in some orientation, show the same."""
_COARSE = SIDE // 2
_AT_ONCE = 1024
_LARGE = 50_000_000
_DENSE = 1 / 64
"""Of all pairs of a block: where more are to be compared, their thumbnails would take gigabytes one by one."""


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
        self._flat: dict[bytes, int] = {}
        self._same: list[int] = []
        """Of each image itself, of a flat one the first with the very same pixels: it correlates with nothing."""

    def __len__(self) -> int:
        return len(self._thumbnails)

    def add(self, pixels: np.ndarray) -> None:
        """Remember an image (H, W)."""
        small, number = thumbnail(pixels), len(self)
        if not small.any():
            key = hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).digest()
            number = self._flat.setdefault(key, number)
        self._thumbnails.append(small)
        self._same.append(number)

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
        small = self.thumbnails()
        bounds = _bounds(small[b])
        for start in range(0, len(a), _AT_ONCE):
            rows = a[start : start + _AT_ONCE]
            views = _views(small[rows])
            for other in range(0, len(b), _AT_ONCE):
                columns = b[other : other + _AT_ONCE]
                for i, j, correlation in zip(*_alike(views, small[columns], bounds[other : other + _AT_ONCE])):
                    if rows[i] != columns[j]:
                        yield int(rows[i]), int(columns[j]), float(correlation)

    def groups(self) -> np.ndarray:
        """(N,) number of each image's group: images that show the same are in one, also in a chain. Numbered by first
        member."""
        # Late: a build imports this module and compares nothing, and these are a fifth of its imports.
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        label = np.array(self._same, int)
        small = self.thumbnails()
        bounds = _bounds(small)
        for start in range(0, len(label), _AT_ONCE):
            views = _views(small[start : start + _AT_ONCE])
            for other in range(start, len(label), _AT_ONCE):
                columns = slice(other, other + _AT_ONCE)
                i, j, _ = _alike(views, small[columns], bounds[columns])
                one, two = label[start + i], label[other + j]
                joined = one != two
                if joined.any():  # only what joins is kept, so that memory does not grow with the pairs
                    ones = np.ones(int(joined.sum()), bool)
                    graph = coo_array((ones, (one[joined], two[joined])), (len(label), len(label)))
                    label = connected_components(graph, directed=False)[1][label]
        return _by_first(label)


def _views(thumbnails_NSS: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The eight orientations, each with its bounds."""
    return [(turn, _bounds(turn)) for turn in turned(thumbnails_NSS)]


def _alike(
    views: list[tuple[np.ndarray, np.ndarray]], others: np.ndarray, bounds: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places of images that show the same, and their correlation, row by row.

    Args:
        views: of N images, see :func:`_views`.
        others: thumbnails of M images (M, 32, 32).
        bounds: of these.
    """
    best = np.zeros((len(views[0][0]), len(others)), np.float32)
    for turn, bound in views:
        i, j = np.nonzero(bound @ bounds.T > CORRELATION)
        if len(i) > _DENSE * best.size:  # noise and stripes, which the bound tells little of: the whole product at once
            correlation = (turn.reshape(len(turn), -1) @ others.reshape(len(others), -1).T)[i, j]
        else:
            correlation = np.einsum("nab,nab->n", turn[i], others[j])
        best[i, j] = np.maximum(best[i, j], correlation)
    i, j = np.nonzero(best > CORRELATION)
    return i, j, best[i, j]


def _by_first(label: np.ndarray) -> np.ndarray:
    """Labels numbered in the order in which they first occur."""
    _, first, number = np.unique(label, return_index=True, return_inverse=True)
    order = np.empty(len(first), int)
    order[np.argsort(first)] = np.arange(len(first))
    return np.asarray(order[number])
