"""Land cover of cells by the network on brightness and texture, with place and parent among its inputs."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from knowlip.annotators.measured.features import FEATURES, Cells
from knowlip.annotators.measured.network import condition_vector, run
from knowlip.base.vocabulary import LAND_COVER

Array = NDArray[np.float32]
_NAMES: Final = tuple(LAND_COVER[code] for code in range(1, 11))
_RESOLVES_M: Final = 7.0
"""With larger pixels, what is a few tens of metres wide is not told from its surroundings."""
_NARROW: Final = ("runway", "apron", "grass", "road", "bridge", "quay")


_ONE_LEVEL: Final = 45.0
"""Grey levels (some 6 dB) that smooth water stays within in one tile."""


@dataclass(frozen=True)
class Context:
    """What place and parent make likely."""

    airport: bool = False
    """An airport is near the place."""
    port: bool = False
    """A port is near the place."""
    parent_airport: bool | None = None
    """The larger tile's text speaks of an airport; None unknown."""
    parent_port: bool | None = None
    """The larger tile's text speaks of a port; None unknown."""


@dataclass(frozen=True)
class Cover:
    """What the network sees, on its grid of cells."""

    codes: NDArray[np.uint8]
    """(rows, columns) land-cover code, 0 = nodata."""
    posterior: dict[str, Array]
    """Cover -> (rows, columns) probability."""
    certainty: dict[str, float]
    """Cover -> mean posterior of its cells."""
    cell_px: int
    rates: Array
    """(rows, columns, 2) expected ships and aircraft with their centre in a cell."""
    sizes: Array
    """(rows, columns, 4) see `network.HEADS`."""
    types: Array
    """(rows, columns, 10) probability of each type, ships first."""


def classify(cells: Cells, metres_per_pixel: float, context: Context) -> Cover:
    """Posterior and most likely cover of each cell of twice the side of `cells`, and where targets may be."""
    near = (float(context.airport), float(context.port))
    parent = (_sign(context.parent_airport), _sign(context.parent_port))
    out = run(cells, condition_vector(cells.cell_px * metres_per_pixel, cells.noise, *near, *parent))
    scores = out["cover"]
    # The network was fitted on pixels that resolve roads and runways; where none can be seen it must not guess them.
    if metres_per_pixel > _RESOLVES_M:
        scores = scores - 12.0 * np.isin(_NAMES, _NARROW)
    layers = _softmax(scores)
    rows, cols = layers.shape[:2]
    padded = np.zeros((2 * rows, 2 * cols), dtype=np.bool_)
    padded[: cells.valid.shape[0], : cells.valid.shape[1]] = cells.valid
    valid = padded.reshape(rows, 2, cols, 2).mean(axis=(1, 3)) >= 0.5
    layers = _water_is_dark(layers, cells)
    winner = layers.argmax(axis=-1)
    best = layers.max(axis=-1)
    certainty = {
        name: float(best[winner == number].mean()) for number, name in enumerate(_NAMES) if (winner == number).any()
    }
    return Cover(
        codes=np.where(valid, winner + 1, 0).astype(np.uint8),
        posterior={name: layers[..., number] for number, name in enumerate(_NAMES)},
        certainty=certainty,
        cell_px=2 * cells.cell_px,
        rates=np.logaddexp(0.0, out["rate"]) * valid[..., None],
        sizes=out["size"],
        types=_softmax(out["type"]),
    )


def _water_is_dark(layers: Array, cells: Cells) -> Array:
    """Water in one tile has one level: smooth cells far above the darkest water are something else."""
    rows, cols = layers.shape[:2]
    level = cells.values[..., FEATURES.index("mean_wide")][::2, ::2][:rows, :cols]
    lowest = cells.values[..., [FEATURES.index(name) for name in ("mean", "mean_wide", "mean_far")]].min(axis=-1)
    lowest = lowest[::2, ::2][:rows, :cols]
    water = layers[..., _NAMES.index("water")]
    seen = water > 0.5
    if seen.mean() < 0.02:
        return layers
    above = float(np.percentile(level[seen], 15)) + _ONE_LEVEL
    factor = np.ones_like(layers)
    factor[..., _NAMES.index("water")] = np.where(lowest > above, 0.01, 1.0)
    layers = layers * factor
    return np.asarray(layers / layers.sum(axis=-1, keepdims=True))


def _sign(known: bool | None) -> float:
    return 0.0 if known is None else 1.0 if known else -1.0


def _softmax(scores: Array) -> Array:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
