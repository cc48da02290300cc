"""Two small perceptrons over cells: land cover, target density and target size from features at several distances.

The first looks at the features of a cell and its surroundings, the second also at what the first saw around it
(auto-context). Their weights (`weights.npy`, 16-bit floats) were fitted on calibration scenes of the simulator by
`python -m benchmarks.fit_measured_network`, see docs/measured-annotator.md.
"""

from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from knowlip.annotators.measured.features import FEATURES, Cells

Array = NDArray[np.float32]

HEADS: Final = {"cover": 10, "rate": 2, "size": 4, "type": 10}
"""Output -> channels. Rates are ships and aircraft a cell (before softplus); sizes are log(length / 50 m),
log(width / 20 m) and the cosine and sine of twice the heading."""
CONDITIONS: Final = 7
_BASE: Final = len(FEATURES) + 1
INPUTS: Final = 4 * _BASE + 6 * _BASE + 2 * _BASE + CONDITIONS
"""Channels of :func:`surroundings`."""
SEEN: Final = 12
"""Channels of the first perceptron that the second looks at around each cell: covers and log-rates."""
HIDDEN: Final = (128, 64)
LAYERS: Final[dict[str, tuple[int, int]]] = {
    "first1": (INPUTS, HIDDEN[0]),
    "first2": HIDDEN,
    "first3": (HIDDEN[1], SEEN),
    "second1": (INPUTS + 5 * SEEN, HIDDEN[0]),
    "second2": HIDDEN,
    "second3": (HIDDEN[1], sum(HEADS.values())),
}
"""Layer -> inputs, outputs."""
CENTRE: Final = (117.0, 117.0, 117.0, 4.6, 5.4, 5.7, 80.0, 85.0, 3.7, 0.24, 0.25, 35.0, 12.0, 3.7)
SCALE: Final = (39.0, 25.0, 20.0, 0.85, 0.6, 0.5, 30.0, 34.0, 1.07, 0.12, 0.2, 28.0, 33.0, 1.0)
"""Standard levels of the features in `features.FEATURES`."""


def condition_vector(
    cell_m: float, noise: float, airport: float, port: float, parent_airport: float, parent_port: float
) -> Array:
    """What is known besides the cells, (CONDITIONS,).

    Args:
        cell_m: side of a cell of `Cells` in metres.
        noise: `Cells.noise`.
        airport: 1 with an airport nearby, else 0.
        port: the same of a port.
        parent_airport: 1 when the larger tile is said to show an airport, -1 when not, 0 unknown.
        parent_port: the same of a port.
    """
    scale = float(np.log2(np.clip(cell_m, 3.0, 24.0))) - 3.0
    return np.array([scale, abs(scale), noise - 4.0, airport, port, parent_airport, parent_port], np.float32)


def surroundings(cells: Cells) -> Array:
    """What the perceptrons see of each block of 2 x 2 cells, without the conditions.

    Returns:
        (ceil(rows / 2), ceil(columns / 2), INPUTS - CONDITIONS): standardised features of the four cells; mean and
        largest of 3 x 3 and 7 x 7 blocks; mean and smallest of 15 x 15; mean and spread of the tile.
    """
    x = np.clip((cells.values - np.array(CENTRE, np.float32)) / np.array(SCALE, np.float32), -4.0, 4.0)
    x = np.concatenate([x, cells.valid[..., None]], axis=-1).astype(np.float32)
    x = np.pad(x, ((0, x.shape[0] % 2), (0, x.shape[1] % 2), (0, 0)), mode="edge")
    rows, cols = x.shape[0] // 2, x.shape[1] // 2
    blocks = x.reshape(rows, 2, cols, 2, -1)
    own = blocks.transpose(0, 2, 4, 1, 3).reshape(rows, cols, -1)
    mean, high, low = blocks.mean(axis=(1, 3)), blocks.max(axis=(1, 3)), blocks.min(axis=(1, 3))
    parts: list[Any] = [own]
    for size in (3, 7):
        parts += [_mean(mean, size), ndimage.maximum_filter(high, (size, size, 1), mode="nearest")]
    parts += [_mean(mean, 15), ndimage.minimum_filter(low, (15, 15, 1), mode="nearest")]
    for values in (mean.mean(axis=(0, 1)), mean.std(axis=(0, 1))):
        parts.append(np.broadcast_to(values, mean.shape))
    return np.concatenate(parts, axis=-1, dtype=np.float32)


def seen_around(seen: Array) -> Array:
    """(rows, columns, 5 * SEEN): the first perceptron's view of the cell, of 3 x 3, 7 x 7 and 15 x 15, of the tile."""
    parts: list[Array] = [seen, _mean(seen, 3), _mean(seen, 7), _mean(seen, 15)]
    parts.append(np.broadcast_to(seen.mean(axis=(0, 1)), seen.shape))
    return np.concatenate(parts, axis=-1, dtype=np.float32)


def run(cells: Cells, condition: Array) -> dict[str, Array]:
    """Evaluate both perceptrons.

    Args:
        cells: the features.
        condition: from :func:`condition_vector`.

    Returns:
        The outputs named in `HEADS`, each (ceil(rows / 2), ceil(columns / 2), channels).
    """
    x = surroundings(cells)
    x = np.concatenate([x, np.broadcast_to(condition, (*x.shape[:2], CONDITIONS))], axis=-1)
    seen = squeeze(_layers(x, "first"))
    out = _layers(np.concatenate([x, seen_around(seen)], axis=-1), "second")
    return dict(zip(HEADS, np.split(out, np.cumsum(list(HEADS.values()))[:-1], axis=-1)))


def squeeze(out: Array) -> Array:
    """First perceptron's outputs as the second sees them: probabilities of the covers, rates to the power of 1/4."""
    powers = np.exp(out[..., :10] - out[..., :10].max(axis=-1, keepdims=True))
    rates = np.logaddexp(np.float32(0.0), out[..., 10:12]) ** 0.25
    return np.concatenate([powers / powers.sum(axis=-1, keepdims=True), rates], axis=-1, dtype=np.float32)


def _mean(x: Array, size: int) -> Array:
    return np.asarray(ndimage.uniform_filter(x, (size, size, 1), mode="nearest"))


def _layers(x: Array, prefix: str) -> Array:
    weights = _weights()
    x = x.reshape(-1, x.shape[-1]).reshape(x.shape)
    for number in (1, 2):
        matrix, bias = weights[f"{prefix}{number}"]
        x = x @ matrix
        x += bias
        np.maximum(x, 0.0, out=x)
    matrix, bias = weights[f"{prefix}3"]
    return np.asarray(x @ matrix + bias)


@cache
def _weights() -> dict[str, tuple[Array, Array]]:
    """Layer -> (inputs, outputs) matrix and (outputs,) bias."""
    flat = np.load(Path(__file__).with_name("weights.npy"), allow_pickle=False).astype(np.float32)
    out, at = {}, 0
    for name, (inputs, outputs) in LAYERS.items():
        number = outputs * inputs
        out[name] = (flat[at : at + number].reshape(inputs, outputs), flat[at + number : at + number + outputs])
        at += number + outputs
    return out
