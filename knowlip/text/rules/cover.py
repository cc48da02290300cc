"""Land cover of cells by Gaussian maximum likelihood, the classical SAR classifier, with priors from the context.

The class statistics (`cover_statistics.py`) are tables of brightness and texture fitted once on calibration scenes of the
simulator; see docs/rules-annotator.md. The place and the larger tile's text only shift the prior of what needs an
airport or a port.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from knowlip.text.rules.cover_statistics import STATISTICS
from knowlip.text.rules.features import Cells
from knowlip.vocabulary import LAND_COVER

_CODE = {name: code for code, name in LAND_COVER.items()}
GROUPS: Final[tuple[tuple[str, float], ...]] = (("fine", 1.5), ("middle", 3.0), ("coarse", float("inf")))
"""Statistics table -> largest metres per pixel it serves."""
_FAR: Final = -18.0
"""Log-likelihood floor: a cell unlike any class must not decide its neighbours."""


@dataclass(frozen=True)
class Context:
    """What place and parent make likely."""

    airport: bool = False
    port: bool = False
    look_azimuth_deg: float | None = None


@dataclass(frozen=True)
class Cover:
    """Land-cover codes on the cell grid."""

    codes: NDArray[np.uint8]
    """(rows, columns), 0 = nodata."""
    certainty: dict[str, float]
    """Cover -> mean posterior of its cells."""
    cell_px: int


class _Component(NamedTuple):
    offset: float
    """log weight - half log determinant."""
    mean: NDArray[np.float32]
    whitening: NDArray[np.float32]
    """(F, F) such that the squared norm of (x - mean) @ whitening is the Mahalanobis distance."""


@cache
def _table(group: str) -> dict[str, list[_Component]]:
    table = {}
    for name, components in STATISTICS[group].items():
        table[name] = []
        for weight, mean, covariance in components:
            size = len(mean)
            full = np.zeros((size, size))
            full[np.tril_indices(size)] = covariance
            full = full + np.tril(full, -1).T
            whitening = np.linalg.cholesky(np.linalg.inv(full))
            offset = float(np.log(weight) - 0.5 * np.linalg.slogdet(full)[1])
            table[name].append(_Component(offset, np.array(mean, np.float32), whitening.astype(np.float32)))
    return table


def group_of(metres_per_pixel: float) -> str:
    """Statistics table for a pixel size."""
    return next(name for name, limit in GROUPS if metres_per_pixel <= limit)


def inputs(cells: Cells) -> NDArray[np.float32]:
    """(cells, F + 1) the features that the statistics speak of: those of the cell and the tile's speckle."""
    flat = cells.values.reshape(-1, cells.values.shape[-1])
    return np.concatenate([flat, np.full((len(flat), 1), cells.noise, np.float32)], axis=1)


def classify(cells: Cells, metres_per_pixel: float, context: Context) -> Cover:
    """The most likely cover of each cell, after averaging the evidence of 3 x 3 cells."""
    table = _table(group_of(metres_per_pixel))
    names = list(table)
    x = inputs(cells)
    scores = np.empty((len(names), *cells.valid.shape), np.float32)
    for number, name in enumerate(names):
        parts = [part.offset - 0.5 * (((x - part.mean) @ part.whitening) ** 2).sum(axis=1) for part in table[name]]
        scores[number] = np.logaddexp.reduce(parts, axis=0).reshape(cells.valid.shape)
    scores = np.maximum(scores, scores.max(axis=0) + _FAR)
    scores = ndimage.uniform_filter(scores, (1, 3, 3), mode="nearest")
    scores += np.array([_log_prior(name, context) for name in names], np.float32)[:, None, None]
    posterior = np.exp(scores - scores.max(axis=0))
    posterior /= posterior.sum(axis=0)
    winner = posterior.argmax(axis=0)
    codes = np.where(cells.valid, np.array([_CODE[name] for name in names], np.uint8)[winner], np.uint8(0))
    best = posterior.max(axis=0)
    certainty = {name: float(best[winner == number].mean()) for number, name in enumerate(names) if (winner == number).any()}
    return Cover(codes, certainty, cells.cell_px)


_BASE: Final = {"water": 0.25, "field": 0.3, "wood": 0.08, "built-up": 0.2, "road": 0.03, "runway": 0.02, "apron": 0.03,
                "grass": 0.05, "quay": 0.04}  # fmt: skip
_AIRFIELD: Final = ("runway", "apron", "grass")


def _log_prior(name: str, context: Context) -> float:
    prior = _BASE[name]
    if name in _AIRFIELD:
        prior *= 5.0 if context.airport else 0.1
    if name == "quay":
        prior *= 3.0 if context.port else 0.3
    return float(np.log(prior))
