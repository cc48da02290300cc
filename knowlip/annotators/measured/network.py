"""A small convolutional network over pixels: land cover, target density and target size on a grid of 4-pixel cells.

It sees brightness and the size of a pixel, nothing of the place. Its weights (`weights.onnx`, 16-bit floats) were
fitted by `python -m benchmarks.fit_measured_network`, see docs/measured-annotator.md; ONNX Runtime evaluates them on
one thread.
"""

from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

HEADS: Final = {"cover": 10, "rate": 2, "size": 4, "type": 10}
"""Output -> channels. Rates are ships and aircraft a cell (before softplus); sizes are log(length / 50 m),
log(width / 20 m) and the cosine and sine of twice the heading."""
CELL: Final = 4
"""Pixels a side of an output cell."""
MULTIPLE: Final = 64
"""The network takes sides that are multiples of this."""
CHANNELS: Final = 6
"""Of :func:`planes`."""


def planes(image: NDArray[np.uint8], metres_per_pixel: float) -> Array:
    """What the network sees of an image.

    Args:
        image: (H, W) 8 bit, 0 = nodata, even sides.
        metres_per_pixel: of `image`.

    Returns:
        (CHANNELS, H / 2, W / 2): brightness of the four pixels of each 2 x 2 block, share of them that hold data, and
        the size of a pixel.
    """
    height, width = image.shape
    blocks = image.reshape(height // 2, 2, width // 2, 2)
    out: Array = np.empty((CHANNELS, height // 2, width // 2), np.float32)
    count = np.zeros((height // 2, width // 2), np.float32)
    for number, (row, col) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        part = blocks[:, row, :, col]
        out[number] = _LEVELS[part]
        count += part > 0
    out[4] = count / 4
    out[5] = np.log2(np.clip(metres_per_pixel, 0.5, 16.0)) / 2 - 0.5
    return out


_LEVELS: Final = np.where(np.arange(256) > 0, (np.arange(256) - 128.0) / 64.0, 0.0).astype(np.float32)


def run(image: NDArray[np.uint8], metres_per_pixel: float) -> dict[str, Array]:
    """Evaluate the network.

    Args:
        image: (H, W) 8 bit, 0 = nodata.
        metres_per_pixel: of `image`, from 0.5 to 16.

    Returns:
        The outputs named in `HEADS`, each (ceil(H / 4), ceil(W / 4), channels).
    """
    rows, cols = (-(-side // CELL) for side in image.shape)
    margins = [(0, -side % MULTIPLE) for side in image.shape]
    padded = np.pad(image, margins) if any(margin for _, margin in margins) else image
    session = _session()
    (out,) = session.run(None, {"x": planes(padded, metres_per_pixel)[None]})
    parts = np.split(out[0, :, :rows, :cols].transpose(1, 2, 0), np.cumsum(list(HEADS.values()))[:-1], axis=-1)
    return dict(zip(HEADS, parts, strict=True))


@cache
def _session() -> Any:
    """The network, ready to run on one thread."""
    import onnxruntime  # takes half a second

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    path = Path(__file__).with_name("weights.onnx")
    return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
