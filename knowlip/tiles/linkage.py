"""Which places on the ground hang together, found without a list of all pairs: a frame of Sentinel-1 has 40,000
windows, and each of them has 6,000 within 50 km.

Groups are given as labels, (N,) integers from 0 on: what has the same label hangs together.
"""

import math

import numpy as np
import shapely

_NO_OVERLAP = 1e-10
"""Square degrees (about 1 square metre) up to which two outlines share no more than a border."""
_AT_ONCE = 4096


def joined(count: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Labels of `count` members, given pairs of members that hang together (P,), (P,)."""
    # Late, as in `chains`: a fifth of what a process that cuts scenes would import, and it makes no plans.
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    links = coo_matrix((np.ones(len(first), bool), (first, second)), shape=(count, count))
    return np.asarray(connected_components(links, directed=False)[1])


def chains(points: np.ndarray, reach: float) -> np.ndarray:
    """Labels (N,) of points (N, D) that are at most `reach` apart, also in a chain.

    The points are laid into cells whose own points are all within reach of each other; what remains is which cells
    hang together, and of those only neighbours can.
    """
    from scipy.spatial import cKDTree

    side = reach / math.sqrt(points.shape[1]) * (1 - 1e-9)
    rows = np.floor((points - points.min(axis=0)) / side).astype(np.int64)
    cells, first, cell = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    cell = cell.ravel()
    near = math.ceil(reach / side)
    a, b = cKDTree(cells).query_pairs(near + 0.5, p=math.inf, output_type="ndarray").T
    # Most neighbours show by one point of each that they hang together.
    shown = np.sum((points[first[a]] - points[first[b]]) ** 2, axis=1) <= reach**2
    labels = joined(len(cells), a[shown], b[shown])
    counts = np.bincount(cell, minlength=len(cells))
    open_ = ~shown & (labels[a] != labels[b]) & (counts[a] * counts[b] > 1)
    members = np.split(np.argsort(cell, kind="stable"), np.cumsum(counts)[:-1])
    groups = Groups(labels)
    for one, other in zip(a[open_].tolist(), b[open_].tolist()):
        if groups.find(labels[one]) == groups.find(labels[other]):
            continue
        few, many = sorted((members[one], members[other]), key=len)
        if cKDTree(points[many]).query(points[few], distance_upper_bound=reach * (1 + 1e-12))[0].min() <= reach:
            groups.join(labels[one], labels[other])
    return np.asarray(np.unique(groups.of(labels), return_inverse=True)[1]).ravel()[cell]


def overlaps(shapes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Labels (N,) of outlines (N,) that hang together by `labels` (N,) or share more than a border, also in a chain.

    Only outlines near one of another label are compared, and of two groups no more than it takes to join them.
    """
    two = shapely.get_num_geometries(shapes) > 1  # outlines on both sides of 180 degrees
    parts, owner = shapely.get_parts(shapes[two], return_index=True)
    parts = np.concatenate([shapes[~two], parts])
    owner = np.concatenate([np.flatnonzero(~two), np.flatnonzero(two)[owner]])
    boxes = shapely.bounds(parts)
    some = _mixed(boxes, labels[owner])
    parts, owner, boxes = parts[some], owner[some], boxes[some]
    if not len(parts):
        return labels
    tree, groups = shapely.STRtree(parts), Groups(labels)
    for start in range(0, len(parts), _AT_ONCE):
        i, j = tree.query(parts[start : start + _AT_ONCE])
        i = i + start
        keep = i < j
        i, j = i[keep], j[keep]
        keep = (_common(boxes[i], boxes[j]) > _NO_OVERLAP) & (labels[owner[i]] != labels[owner[j]])
        i, j = i[keep], j[keep]
        for few in range(0, len(i), _AT_ONCE):
            a, b = i[few : few + _AT_ONCE], j[few : few + _AT_ONCE]
            apart = groups.of(labels[owner[a]]) != groups.of(labels[owner[b]])
            a, b = a[apart], b[apart]
            shared = shapely.area(shapely.intersection(parts[a], parts[b])) > _NO_OVERLAP
            for one, other in zip(labels[owner[a[shared]]].tolist(), labels[owner[b[shared]]].tolist()):
                groups.join(one, other)
    return groups.of(labels)


class Groups:
    """Union-find over the labels 0..n-1 of some members."""

    def __init__(self, labels: np.ndarray):
        self._parent = list(range(int(labels.max(initial=-1)) + 1))

    def find(self, i: int) -> int:
        """The label that leads the group of a label."""
        while self._parent[i] != i:
            self._parent[i] = self._parent[self._parent[i]]
            i = self._parent[i]
        return i

    def join(self, i: int, j: int) -> None:
        """Make one group of those of two labels."""
        i, j = sorted((self.find(i), self.find(j)))
        self._parent[j] = i

    def of(self, labels: np.ndarray) -> np.ndarray:
        """Leading label of each label (N,)."""
        some, which = np.unique(labels, return_inverse=True)
        return np.array([self.find(i) for i in some.tolist()], np.int64)[which.ravel()]


def _mixed(boxes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Which boxes (N, 4) may meet one of another label: those that touch a cell of a grid where several labels are."""
    side = np.maximum((boxes[:, 2:] - boxes[:, :2]).max(axis=0, initial=0), 1e-12)
    low = np.floor((boxes[:, :2] - boxes[:, :2].min(axis=0)) / side).astype(np.int64)
    width = int(low[:, 0].max(initial=0)) + 2
    # No box is longer than a cell, so that it touches at most 2 x 2 of them.
    cells = [(low[:, 1] + down) * width + low[:, 0] + across for down in (0, 1) for across in (0, 1)]
    known, which = np.unique(np.concatenate(cells), return_inverse=True)
    least, most = np.full(len(known), labels.max(initial=0)), np.zeros(len(known), labels.dtype)
    np.minimum.at(least, which.ravel(), np.tile(labels, 4))
    np.maximum.at(most, which.ravel(), np.tile(labels, 4))
    found: np.ndarray = (least != most)[which.reshape(4, len(boxes))].any(axis=0)
    return found


def _common(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Area (P,) that pairs of boxes (P, 4) share."""
    size = np.minimum(one[:, 2:], other[:, 2:]) - np.maximum(one[:, :2], other[:, :2])
    found: np.ndarray = np.maximum(size, 0).prod(axis=1)
    return found
