"""Pictures of what is said of hidden patches."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image
from torch import Tensor

_GAP = 2
"""White pixels between images."""


def grid_of_images(columns: Sequence[Tensor]) -> bytes:
    """A PNG with a row for each image and a column for each of several ways to show it.

    Args:
        columns: each (B, S, S), from 0 (black) to 1 (white); what lies beyond is cut.
    """
    ways = [(one.float().clamp(0, 1) * 255).round().cpu().numpy().astype(np.uint8) for one in columns]
    count, side = ways[0].shape[:2]
    step = side + _GAP
    canvas = np.full((count * step - _GAP, len(ways) * step - _GAP), 255, np.uint8)
    for column, way in enumerate(ways):
        for row, image in enumerate(way):
            canvas[row * step : row * step + side, column * step : column * step + side] = image
    stream = io.BytesIO()
    Image.fromarray(canvas).save(stream, "PNG")
    return stream.getvalue()
