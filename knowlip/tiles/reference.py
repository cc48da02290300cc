"""Tiles of known quality, as features only: the set whose nearest neighbours vote on a new tile."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from knowlip.base.documents import read_json
from knowlip.base.files import write_json

FORMAT, VERSION = "knowlip-quality-reference", 1
_VOTED = """q_std q_entropy q_edge q_saturated q_dark q_stripe
g_contrast g_dissimilarity g_homogeneity g_energy g_correlation g_entropy"""
VOTED = tuple(_VOTED.split())
"""The features that count. The mean grey level does not: water is dark and towns are bright, and both are good."""
DEFAULT = Path(__file__).parent / "data" / "reference.json"

_LONG_TAILED = np.array([name in ("q_std", "q_edge", "g_contrast", "g_dissimilarity") for name in VOTED])
_MOST_SAMPLES = 100_000


@dataclass(frozen=True)
class Reference:
    """Samples (N, 12) float64 in the order of `VOTED`, whether each is good (N,) bool, and where each comes from.

    Rows are put into one order on creation, so that the order of a file never decides between equal distances.
    """

    features: np.ndarray
    good: np.ndarray
    sources: tuple[str, ...]

    def __post_init__(self) -> None:
        features, good = np.asarray(self.features, float), np.asarray(self.good, bool)
        if features.ndim != 2 or features.shape != (len(good), len(VOTED)) or len(self.sources) != len(good):
            raise ValueError(f"A quality reference needs {len(VOTED)} features, a label and a source for each sample.")
        if not np.isfinite(features).all() or (features[:, _LONG_TAILED] < 0).any():
            raise ValueError("A quality reference holds a feature that is no number or is negative.")
        if good.all() or not good.any():
            raise ValueError("A quality reference needs both good and bad samples.")
        order = np.lexsort([good, *features.T[::-1]])
        object.__setattr__(self, "features", features[order])
        object.__setattr__(self, "good", good[order])
        object.__setattr__(self, "sources", tuple(self.sources[i] for i in order))

    @cached_property
    def _scale(self) -> tuple[np.ndarray, np.ndarray]:
        shaped = _shaped(self.features)
        deviation = shaped.std(axis=0)
        return shaped.mean(axis=0), np.where(deviation > 1e-9, deviation, 1.0)

    @cached_property
    def _standard(self) -> np.ndarray:
        mean, deviation = self._scale
        return np.ascontiguousarray((_shaped(self.features) - mean) / deviation)

    def nearest(self, features: np.ndarray, neighbours: int) -> np.ndarray:
        """Rows of the nearest samples, nearest first; equal distances in the order of the rows.

        Args:
            features: (12,) in the order of `VOTED`.
            neighbours: how many, at most N.
        """
        mean, deviation = self._scale
        point = (_shaped(np.asarray(features, float)) - mean) / deviation
        rows: np.ndarray = _nearest(self._standard, point, min(neighbours, len(self.good)))
        return rows

    def vote(self, features: np.ndarray, neighbours: int) -> float:
        """Share of good ones among the nearest samples."""
        return float(self.good[self.nearest(features, neighbours)].mean())

    def without(self, rows: np.ndarray) -> "Reference":
        """The same without some rows (N,) bool, for evaluation."""
        kept = ~rows
        return Reference(self.features[kept], self.good[kept], tuple(s for s, keep in zip(self.sources, kept) if keep))


def _shaped(features: np.ndarray) -> np.ndarray:
    """Features with long tails by their logarithm."""
    return np.where(_LONG_TAILED, np.log1p(np.where(_LONG_TAILED, features, 0.0)), features)


@lru_cache(maxsize=8)
def load_reference(path: str = "") -> Reference:
    """Read a reference set; empty path: the one that comes with the package. Read once in a process.

    Raises:
        ValueError: the file is missing or is no reference set.
    """
    return read_reference(Path(path) if path else DEFAULT)


def read_reference(path: Path) -> Reference:
    """Read a reference set from a JSON file.

    Raises:
        ValueError: the file is missing, too large or is no reference set.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist: quality.reference names a file of labelled tiles.")
    document = read_json(path)
    try:
        if document["format"] != FORMAT or document["version"] != VERSION or document["features"] != list(VOTED):
            raise ValueError("another format or version")
        samples = document["samples"]
        if len(samples) > _MOST_SAMPLES:
            raise ValueError(f"more than {_MOST_SAMPLES} samples")
        if any(sample["label"] not in ("good", "bad") for sample in samples):
            raise ValueError("a label is neither good nor bad")
        features = np.array([sample["values"] for sample in samples], float).reshape(len(samples), -1)
        good = np.array([sample["label"] == "good" for sample in samples], bool)
        return Reference(features, good, tuple(str(sample["source"]) for sample in samples))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path} is not a quality reference ({error}).") from error


def write_reference(path: Path, reference: Reference, about: dict[str, Any]) -> None:
    """Write a reference set as JSON, whole or not at all. `about` says how it was made (quantiser, licence notes)."""
    samples = [
        {"label": "good" if good else "bad", "source": source, "values": [round(float(v), 6) for v in values]}
        for values, good, source in zip(reference.features, reference.good, reference.sources)
    ]
    document = {"format": FORMAT, "version": VERSION, "about": about, "features": list(VOTED), "samples": samples}
    write_json(path, document, indent=None)


@njit(nogil=True, cache=True)
def _nearest(samples, point, count):  # type: ignore[no-untyped-def]
    rows, distances = np.zeros(count, np.int64), np.full(count, np.inf)
    for row in range(samples.shape[0]):
        distance = 0.0
        for i in range(point.size):
            gap = samples[row, i] - point[i]
            distance += gap * gap
        if distance < distances[count - 1]:
            at = count - 1
            while at > 0 and distance < distances[at - 1]:
                distances[at], rows[at] = distances[at - 1], rows[at - 1]
                at -= 1
            distances[at], rows[at] = distance, row
    return rows
