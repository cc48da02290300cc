"""Land cover of cells by a quadratic discriminant on brightness and texture, with the context as prior.

The discriminant's weights (`cover_statistics.py`) were fitted once on calibration scenes of the simulator, see
docs/rules-annotator.md. The place and the larger tile's text only shift what needs an airport or a port.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final

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

_SHARPNESS: Final = 2.0
"""Power of the posterior: traces of a cover in many cells must not add up to a share that is nowhere to be seen."""


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
    posterior: dict[str, NDArray[np.float32]]
    """Cover -> (rows, columns) probability."""
    certainty: dict[str, float]
    """Cover -> mean posterior of its cells."""
    cell_px: int


@cache
def _table(group: str) -> tuple[list[str], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Names of the covers, mean and scale of the inputs, (terms, covers) weights."""
    table = STATISTICS[group]
    weights = np.array(list(table["weights"].values()), np.float32).T
    return list(table["weights"]), np.array(table["mean"], np.float32), np.array(table["scale"], np.float32), weights


def group_of(metres_per_pixel: float) -> str:
    """Statistics table for a pixel size."""
    return next(name for name, limit in GROUPS if metres_per_pixel <= limit)


def inputs(cells: Cells) -> NDArray[np.float32]:
    """(cells, F + 1) the features that the statistics speak of: those of the cell and the tile's speckle."""
    flat = cells.values.reshape(-1, cells.values.shape[-1])
    return np.concatenate([flat, np.full((len(flat), 1), cells.noise, np.float32)], axis=1)


def terms(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, 1 + F + F (F + 1) / 2) constant, linear and quadratic terms of standardised inputs (N, F), clipped at 4."""
    x = np.clip(x, -4.0, 4.0)
    first, second = np.triu_indices(x.shape[1])
    return np.concatenate([np.ones((len(x), 1), x.dtype), x, x[:, first] * x[:, second]], axis=1)


def classify(cells: Cells, metres_per_pixel: float, context: Context) -> Cover:
    """Posterior and most likely cover of each cell, after averaging the evidence of 3 x 3 cells."""
    names, mean, scale, weights = _table(group_of(metres_per_pixel))
    scores = terms((inputs(cells) - mean) / scale) @ weights
    scores -= scores.max(axis=1, keepdims=True)
    grid = np.maximum(scores, _FAR).T.reshape(len(names), *cells.valid.shape)
    grid = ndimage.uniform_filter(grid, (1, 3, 3), mode="nearest")
    grid += np.array([_log_odds(name, context, metres_per_pixel) for name in names], np.float32)[:, None, None]
    posterior = np.exp(_SHARPNESS * (grid - grid.max(axis=0)))
    posterior /= posterior.sum(axis=0)
    winner = posterior.argmax(axis=0)
    codes = np.where(cells.valid, np.array([_CODE[name] for name in names], np.uint8)[winner], np.uint8(0))
    best = posterior.max(axis=0)
    certainty = {
        name: float(best[winner == number].mean()) for number, name in enumerate(names) if (winner == number).any()
    }
    return Cover(codes, dict(zip(names, posterior)), certainty, cells.cell_px)


_RESOLVES_M: Final = 7.0
"""With larger pixels, what is a few tens of metres wide is not told from its surroundings."""
_NARROW: Final = ("runway", "apron", "grass", "road", "quay")
_AIRFIELD: Final = ("runway", "apron")


def _log_odds(name: str, context: Context, metres_per_pixel: float) -> float:
    """How the context shifts what the image says: airports and ports are likelier near one and rarer elsewhere."""
    if metres_per_pixel > _RESOLVES_M and name in _NARROW:
        return -12.0
    if name in _AIRFIELD:
        return 1.0 if context.airport else -2.0
    if name == "water":
        return -1.5 if context.airport and not context.port else 0.0
    if name == "grass":
        return 1.5 if context.airport else -2.0
    if name == "quay":
        return 0.7 if context.port else -1.5
    return 0.0
