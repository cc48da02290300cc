"""What a classification reaches without a model.

majority class           the most frequent class of the training images
chip size                width and height of the chip alone, a logistic regression: what a chip was cut to tells its
                         class
chip size in the window  the same as far as the input shows it (:mod:`knowlip.tasks.chips`)
pixels, 1-NN             the class of the training image whose thumbnail (32 x 32) correlates most: memory
HOG                      histograms of oriented gradients of the thumbnail (Dalal & Triggs 2005), a logistic regression
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from skimage.feature import hog
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from knowlip.base.documents import read_json
from knowlip.base.files import sha256, write_json
from knowlip.dataset import Dataset
from knowlip.dataset.near_duplicates import thumbnail
from knowlip.tasks.chips import ChipWindow
from knowlip.tasks.protocols import Split

_AT_ONCE: Final = 1024


@dataclass
class Chips:
    """Images with one class each, ready to be classified without a model."""

    thumbnails: np.ndarray
    """(N, 32, 32) float32, mean 0 and norm 1."""
    sizes: np.ndarray
    """(N, 2): width and height in pixels."""
    classes: np.ndarray
    """(N,) names."""
    groups: np.ndarray
    """(N,) number of the group of images that show the same."""
    visible: np.ndarray | None = None
    """(N, 2): as `sizes`, of what a model is shown of each; None where that is the whole chip."""

    def __len__(self) -> int:
        return len(self.classes)

    @cached_property
    def gradients(self) -> np.ndarray:
        """(N, D) histograms of oriented gradients."""
        return np.stack([hog(one, 9, (8, 8), (2, 2)) for one in self.thumbnails])


def _majority(chips: Chips, learn: np.ndarray, ask: np.ndarray) -> np.ndarray:
    counts = Counter(chips.classes[learn].tolist())
    return np.tile([float(counts[name]) for name in sorted(counts)], (len(ask), 1))


def _by_extent(extent: np.ndarray, chips: Chips, learn: np.ndarray, ask: np.ndarray) -> np.ndarray:
    found = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return np.asarray(found.fit(extent[learn], chips.classes[learn]).predict_proba(extent[ask]))


def _size(chips: Chips, learn: np.ndarray, ask: np.ndarray) -> np.ndarray:
    return _by_extent(chips.sizes, chips, learn, ask)


def _visible(chips: Chips, learn: np.ndarray, ask: np.ndarray) -> np.ndarray:
    return _by_extent(chips.sizes if chips.visible is None else chips.visible, chips, learn, ask)


def _pixels(chips: Chips, learn: np.ndarray, ask: np.ndarray) -> np.ndarray:
    flat = chips.thumbnails.reshape(len(chips), -1)
    names = sorted({*chips.classes[learn].tolist()})
    known = [flat[learn[chips.classes[learn] == name]].T for name in names]
    chunks = np.split(ask, range(_AT_ONCE, len(ask), _AT_ONCE))
    return np.concatenate([np.stack([(flat[part] @ one).max(1) for one in known], 1) for part in chunks])


def _hog(chips: Chips, learn: np.ndarray, ask: np.ndarray) -> np.ndarray:
    found = LogisticRegression(C=0.1, max_iter=1000).fit(chips.gradients[learn], chips.classes[learn])
    return np.asarray(found.predict_proba(chips.gradients[ask]))


Guess = Callable[[Chips, np.ndarray, np.ndarray], np.ndarray]
"""Scores (asked, classes of the learned ones in order of their names); of equal ones the first counts."""
CLASS_FLOORS: Final[Mapping[str, Guess]] = {
    "majority class": _majority,
    "chip size": _size,
    "pixels, 1-NN": _pixels,
    "HOG": _hog,
}
VISIBLE: Final = "chip size in the window"
"""Floor besides, where chips are seen through a window."""


def ranked(chips: Chips, learn: np.ndarray, ask: np.ndarray, most: int = 3) -> dict[str, np.ndarray]:
    """Floor -> the classes that it says of each asked image, the likeliest first (A, at most `most`)."""
    names = np.array(sorted({*chips.classes[learn].tolist()}), dtype=object)
    guesses = dict(CLASS_FLOORS) | ({} if chips.visible is None else {VISIBLE: _visible})
    return {
        name: names[np.argsort(-guess(chips, learn, ask), axis=1, kind="stable")[:, :most]]
        for name, guess in guesses.items()
    }


def known_floors(
    data: Dataset,
    tile_ids: Sequence[str],
    names: Sequence[str],
    window: ChipWindow,
    learn: np.ndarray,
    ask: np.ndarray,
    cache: Path,
) -> dict[str, np.ndarray]:
    """:func:`ranked` of a data set's tiles, kept in a folder for all encoders that are measured on the same.

    Args:
        data: the data set.
        tile_ids: all tiles that are learned from or measured.
        names: class of each.
        window: what a model is shown of each.
        learn, ask: numbers of the tiles to learn from and to measure.
        cache: the folder.
    """
    visible = None if window.side_T is None else window.visible_T2[:, ::-1]
    given = [data.fingerprint, *tile_ids, *names, *(str(some.tolist()) for some in (learn, ask))]
    given.append("" if visible is None else str(visible.tolist()))
    path = cache / f"floors-{sha256(chr(10).join(given).encode())[:16]}.json"
    if not path.is_file():
        # Whole chips, not what the window shows: what their size tells is a floor also where a model is not shown it.
        small = np.stack([thumbnail(pixels) for pixels in data.images(tile_ids)])
        labels = np.array(names, dtype=object)
        chips = Chips(small, window.sides_T2[:, ::-1], labels, np.arange(len(labels)), visible)
        write_json(path, {name: said.tolist() for name, said in ranked(chips, learn, ask).items()})
    return {name: np.array(said, dtype=object) for name, said in cast(dict[str, Any], read_json(path)).items()}


def answers(chips: Chips, splits: Sequence[Split]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Which images were asked about, in order, and whether each floor was right (bool).

    Args:
        chips: of at least two classes.
        splits: whose parts are asked about.
    """
    asked = np.concatenate([ask for _, ask in splits])
    said = [ranked(chips, learn, ask, 1) for learn, ask in splits]
    return asked, {
        name: np.concatenate([one[name][:, 0] == chips.classes[ask] for one, (_, ask) in zip(said, splits)])
        for name in said[0]
    }
