"""Land cover and target density of a tile as the network sees them, on grids of cells."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from knowlip.annotators.measured.network import CELL, run
from knowlip.base.vocabulary import LAND_COVER, SHIP_TYPES

Array = NDArray[np.float32]
_NAMES: Final = tuple(LAND_COVER[code] for code in range(1, 11))
_GRID: Final = 64
"""Largest side of the grid of covers in cells."""
_RESOLVES_M: Final = 7.0
"""With larger pixels, what is a few tens of metres wide is not told from its surroundings."""
_NARROW: Final = ("runway", "apron", "grass", "road", "bridge", "quay")
_ONE_LEVEL: Final = 45.0
"""Grey levels (some 6 dB) that smooth water stays within in one tile."""
_WIDE_M, _FAR_M = 60.0, 180.0
_USUAL: Final = (0.115, 0.351, 0.132, 0.110, 0.041, 0.022, 0.029, 0.142, 0.001, 0.058)
"""Mean share of each cover over many tiles."""
_ALIKE: Final = 0.6
"""How far a tile's own mean shares, against the usual ones, weigh in each of its cells."""


@dataclass(frozen=True)
class Cover:
    """What the network sees."""

    codes: NDArray[np.uint8]
    """(rows, columns) land-cover code, 0 = nodata."""
    posterior: dict[str, Array]
    """Cover -> (rows, columns) probability."""
    certainty: dict[str, float]
    """Cover -> mean posterior of its cells."""
    cell_m: float
    """Side of a cell of `rates`, `sizes` and `types` in metres; those of `codes` are whole multiples."""
    rates: Array
    """(fine rows, fine columns, 2) expected ships and aircraft with their centre in a cell."""
    sizes: Array
    """(fine rows, fine columns, 4) see `network.HEADS`."""
    types: Array
    """(fine rows, fine columns, 10) probability of each type among those of its category, ships first."""
    metres_per_pixel: float
    """Of the image that was looked at."""

    @property
    def height_m(self) -> float:
        """North to south."""
        return self.rates.shape[0] * self.cell_m

    @property
    def width_m(self) -> float:
        """West to east."""
        return self.rates.shape[1] * self.cell_m


def classify(image: NDArray[np.uint8], metres_per_pixel: float, outputs: dict[str, Array] | None = None) -> Cover:
    """Land cover of each cell, and where targets may be.

    Args:
        image: (H, W) 8 bit, 0 = nodata, logarithmic brightness.
        metres_per_pixel: of `image`.
        outputs: of :func:`network.run` on the image, where it was run on more than the image.
    """
    out = run(image, metres_per_pixel) if outputs is None else outputs
    scores = out["cover"]
    # The network was fitted on pixels that resolve roads and runways; where none can be seen it must not guess them.
    if metres_per_pixel > _RESOLVES_M:
        scores = scores - 12.0 * np.isin(_NAMES, _NARROW).astype(np.float32)
    rows, cols = scores.shape[:2]
    height, width = image.shape
    filled = np.zeros((rows * CELL, cols * CELL), np.float32)
    filled[:height, :width] = image
    weight = _cell_means((filled > 0).astype(np.float32))
    level: Array = np.asarray(_cell_means(filled) / np.maximum(weight, 1e-3), np.float32)
    factor = -(-max(rows, cols) // _GRID)
    total: Array = np.maximum(_pooled(weight, factor), np.float32(1e-6))
    shares: Array = _pooled(_of_one_tile(_softmax(scores), weight) * weight[..., None], factor) / total[..., None]
    level = (_pooled(level * weight, factor) / total).astype(np.float32)
    valid = total >= 0.5
    shares = _water_is_dark(
        shares,
        np.where(valid, level, np.median(level[valid]) if valid.any() else 0.0),
        factor * CELL * metres_per_pixel,
    )
    winner, best = shares.argmax(axis=-1), shares.max(axis=-1)
    certainty = {
        name: float(best[winner == number].mean()) for number, name in enumerate(_NAMES) if (winner == number).any()
    }
    ships = len(SHIP_TYPES)
    types = np.concatenate([_softmax(out["type"][..., :ships]), _softmax(out["type"][..., ships:])], axis=-1)
    rates = np.logaddexp(np.float32(0.0), out["rate"]) * weight[..., None].astype(bool)
    return Cover(
        codes=np.where(valid, winner + 1, 0).astype(np.uint8),
        posterior={name: shares[..., number] for number, name in enumerate(_NAMES)},
        certainty=certainty,
        cell_m=CELL * metres_per_pixel,
        rates=np.asarray(rates, np.float32),
        sizes=np.clip(out["size"], -2.5, 2.5),
        types=types,
        metres_per_pixel=metres_per_pixel,
    )


def _cell_means(pixels: Array) -> Array:
    """Means of blocks of `CELL` x `CELL` pixels."""
    lines = sum((pixels[row::CELL] for row in range(1, CELL)), pixels[::CELL])
    cells = sum((lines[:, col::CELL] for col in range(1, CELL)), lines[:, ::CELL])
    return np.asarray(cells / CELL**2, np.float32)


def _pooled(values: Array, factor: int) -> Array:
    """Means over blocks of `factor` x `factor`; what is missing at the lower and right edge counts as zero."""
    if factor == 1:
        return values
    rows, cols = (-(-side // factor) for side in values.shape[:2])
    margins = [(0, rows * factor - values.shape[0]), (0, cols * factor - values.shape[1])]
    padded = np.pad(values, [*margins, *[(0, 0)] * (values.ndim - 2)])
    return np.asarray(padded.reshape(rows, factor, cols, factor, *values.shape[2:]).mean(axis=(1, 3)))


def _of_one_tile(shares: Array, weight: Array) -> Array:
    """Cells of one tile belong together: what is seen of a cover elsewhere makes it likelier where there is doubt.

    One step of the estimation of prior shares by Saerens et al. (2002), with part of its weight.
    """
    mean = (shares * weight[..., None]).sum(axis=(0, 1)) / max(1.0, float(weight.sum()))
    shares = shares * (((mean + 0.003) / (np.array(_USUAL, np.float32) + 0.003)) ** _ALIKE).astype(np.float32)
    return np.asarray(shares / shares.sum(axis=-1, keepdims=True))


def _water_is_dark(layers: Array, level: Array, cell_m: float) -> Array:
    """Water in one tile has one level: smooth cells far above the darkest water are something else."""
    water = layers[..., _NAMES.index("water")]
    seen = water > 0.5
    if seen.mean() < 0.02:
        return layers
    wide, far = (
        ndimage.uniform_filter(level, max(3, 2 * int(m / cell_m / 2) + 1), mode="nearest") for m in (_WIDE_M, _FAR_M)
    )
    above = float(np.percentile(wide[seen], 15)) + _ONE_LEVEL
    factor = np.ones_like(layers)
    factor[..., _NAMES.index("water")] = np.where(np.minimum(np.minimum(level, wide), far) > above, 0.01, 1.0)
    layers = layers * factor
    return np.asarray(layers / np.maximum(layers.sum(axis=-1, keepdims=True), 1e-9))


def _softmax(scores: Array) -> Array:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
