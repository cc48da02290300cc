"""What one reaches without a model: floors of a classification, on the set's own split, at random, and with copies
apart.

    majority    the most frequent class of the training images
    size        width and height of the chip alone, a logistic regression: what a chip was cut to tells its class
    pixels      the class of the training image whose thumbnail (32 x 32) correlates most: memory
    hog         histograms of oriented gradients of the thumbnail (Dalal & Triggs 2005), a logistic regression
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from skimage.feature import hog
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from knowlip.tasks.protocols import Protocol, Split

OWN: Final = "own split"
RANDOM: Final = "random 4:1"
APART: Final = "copies apart 4:1"
"""Names of protocols for people."""
PROTOCOL_NAMES: Final[Mapping[Protocol, str]] = {"own": OWN, "random": RANDOM, "groups": APART}
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

    def __len__(self) -> int:
        return len(self.classes)

    @cached_property
    def gradients(self) -> np.ndarray:
        """(N, D) histograms of oriented gradients."""
        return np.stack([hog(one, 9, (8, 8), (2, 2)) for one in self.thumbnails])


def _majority(chips: Chips, learn: np.ndarray, ask: np.ndarray) -> np.ndarray:
    counts = Counter(chips.classes[learn].tolist())
    return np.full(len(ask), min(counts, key=lambda name: (-counts[name], name)))


def _size(chips: Chips, learn: np.ndarray, ask: np.ndarray) -> np.ndarray:
    found = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return np.asarray(found.fit(chips.sizes[learn], chips.classes[learn]).predict(chips.sizes[ask]))


def _pixels(chips: Chips, learn: np.ndarray, ask: np.ndarray) -> np.ndarray:
    flat = chips.thumbnails.reshape(len(chips), -1)
    nearest = [(flat[part] @ flat[learn].T).argmax(1) for part in np.split(ask, range(_AT_ONCE, len(ask), _AT_ONCE))]
    return np.asarray(chips.classes[learn][np.concatenate(nearest)])


def _hog(chips: Chips, learn: np.ndarray, ask: np.ndarray) -> np.ndarray:
    found = LogisticRegression(C=0.1, max_iter=1000).fit(chips.gradients[learn], chips.classes[learn])
    return np.asarray(found.predict(chips.gradients[ask]))


Guess = Callable[[Chips, np.ndarray, np.ndarray], np.ndarray]
CLASS_FLOORS: Final[Mapping[str, Guess]] = {
    "majority class": _majority,
    "chip size": _size,
    "pixels, 1-NN": _pixels,
    "HOG": _hog,
}
"""Name -> classes that it answers."""


def answers(chips: Chips, splits: Sequence[Split]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Which images were asked about, in order, and whether each floor was right (bool).

    Args:
        chips: of at least two classes.
        splits: whose parts are asked about.
    """
    asked = np.concatenate([ask for _, ask in splits])
    return asked, {
        name: np.concatenate([guess(chips, learn, ask) == chips.classes[ask] for learn, ask in splits])
        for name, guess in CLASS_FLOORS.items()
    }
