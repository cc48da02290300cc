"""From pixels to evidence: land cover on cells, ships and aircraft."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from knowlip.annotators.measured.cover import Cover, classify
from knowlip.annotators.measured.evidence import Overall, TileEvidence
from knowlip.annotators.measured.lines import axis_of
from knowlip.annotators.measured.locate import Located, expected, locate
from knowlip.annotators.measured.mentions import DOUBT
from knowlip.annotators.measured.network import CELL, run
from knowlip.annotators.measured.overall import overall_of
from knowlip.annotators.measured.statistics import describe
from knowlip.annotators.types import TileFrame, TileWindow

Layer = NDArray[np.float32]
_LARGEST_SIDE: Final = 1024
"""Larger images are averaged down before anything is measured."""
_FINEST_M: Final = 0.7
"""So are images with smaller pixels: the network was fitted on pixels from 1 m."""
_CANDIDATE_FROM: Final = 0.25
"""Expected number of targets from which a tile is looked at for them."""
_BOX_FROM: Final = 0.3
"""Certainty from which a place is pointed at."""
_SPAN_DB: Final = 30.0
"""What the grey levels 1 to 255 are taken to span where pixels are averaged."""


class Look(NamedTuple):
    """What the network sees of a tile."""

    cover: Cover
    expected: dict[str, float]
    """ "ship" and "aircraft" -> expected number."""
    category: str
    """The likelier of both."""
    located: list[Located]
    """Places of its targets, likeliest first; empty where hardly any is expected."""
    values: NDArray[np.float32] | None
    """Of `statistics.describe`; None without targets."""
    window_m: float


def measure(
    image: NDArray[np.uint8],
    metres_per_pixel: float,
    detail: NDArray[np.uint8] | None = None,
    within: TileWindow | None = None,
) -> TileEvidence:
    """Measure a tile.

    Args:
        image: (H, W) 8 bit, 0 = nodata, logarithmic brightness, north up.
        metres_per_pixel: of `image`.
        detail: (H', W') the same window in finer pixels; None where there are none.
        within: the same window in the large tile around it, which tells what is cut at its edges; None where there is
            none.

    Raises:
        ValueError: not 8-bit 2-D images, no valid pixel, or no positive pixel size.
    """
    seen = look(image, metres_per_pixel, detail, within)
    located, overall, numbers = seen.located, None, dict(seen.expected)
    if seen.values is not None:
        none, overall = overall_of(seen.category, seen.values, seen.located)
        if none > DOUBT:
            located, overall, numbers[seen.category] = [], None, 1.0 - none
        else:
            located = located[: overall.number]
    return evidence_of(seen, located, numbers, overall)


def evidence_of(seen: Look, located: list[Located], numbers: dict[str, float], overall: Overall | None) -> TileEvidence:
    """The evidence of a tile whose targets are decided on."""
    posterior, valid = seen.cover.posterior, seen.cover.codes > 0
    axes = {name: axis for name in ("runway", "road") if (axis := axis_of(np.where(valid, posterior[name], 0.0)))}
    return TileEvidence(
        window_m=seen.window_m,
        targets=tuple(
            place.target for at, place in enumerate(located) if at == 0 or place.target.certainty >= _BOX_FROM
        ),
        shares=_shares(posterior, valid),
        grid=_grid(posterior, valid),
        certainty=seen.cover.certainty,
        expected=numbers,
        axes=axes,
        overall=overall,
        metres_per_pixel=seen.cover.metres_per_pixel,
    )


def look(
    image: NDArray[np.uint8],
    metres_per_pixel: float,
    detail: NDArray[np.uint8] | None = None,
    within: TileWindow | None = None,
) -> Look:
    """Run the network on a tile; arguments and errors as of :func:`measure`."""
    for pixels in (image, detail):
        if pixels is not None and (pixels.ndim != 2 or pixels.dtype != np.uint8):
            raise ValueError(
                f"A tile must be a two-dimensional 8-bit image, not {pixels.dtype} of shape {pixels.shape}."
            )
    if not metres_per_pixel > 0:
        raise ValueError(f"metres_per_pixel must be positive, not {metres_per_pixel}.")
    if not image.any():
        raise ValueError("The tile holds no valid pixel (0 is nodata), so there is nothing to describe.")
    window_m = max(image.shape) * metres_per_pixel
    if within is not None and _fits_cells(within):
        seen = _seen(within.frame)
        rows, columns = (slice(side.start // CELL, side.stop // CELL) for side in (within.rows, within.columns))
        outputs = {name: values[rows, columns] for name, values in seen.items()}
        cover = classify(within.pixels, within.frame.metres_per_pixel, outputs)
    else:
        finest = image if detail is None or max(detail.shape) <= max(image.shape) else detail
        cover = classify(*_reduced(finest, window_m / max(finest.shape)))
    numbers = {name: expected(cover, name) for name in ("ship", "aircraft")}
    category = max(numbers, key=lambda name: numbers[name])
    located = locate(cover, category) if numbers[category] >= _CANDIDATE_FROM else []
    values = describe(cover, category, located) if located else None
    return Look(cover, numbers, category, located, values, window_m)


def _fits_cells(within: TileWindow) -> bool:
    """Whether a window is made of whole cells, in pixels that the network knows."""
    ends = (within.rows.start, within.rows.stop, within.columns.start, within.columns.stop)
    return within.frame.metres_per_pixel >= _FINEST_M and not any(end % CELL for end in ends)


def _seen(frame: TileFrame) -> dict[str, Layer]:
    """The network's outputs on a frame, computed once."""
    if "network" not in frame.seen:
        frame.seen["network"] = run(frame.pixels, frame.metres_per_pixel)
    found: dict[str, Layer] = frame.seen["network"]
    return found


def _reduced(image: NDArray[np.uint8], metres_per_pixel: float) -> tuple[NDArray[np.uint8], float]:
    """An image that is too large, or finer than the network knows, averaged down (in power), and its pixels' size."""
    factor = max(
        -(-max(image.shape) // _LARGEST_SIDE), round(1.0 / metres_per_pixel) if metres_per_pixel < _FINEST_M else 1
    )
    factor = min(factor, max(1, min(image.shape) // 8))
    if factor <= 1:
        return image, metres_per_pixel
    rows, cols = image.shape[0] // factor, image.shape[1] // factor
    blocks = image[: rows * factor, : cols * factor].reshape(rows, factor, cols, factor)
    weight = (blocks > 0).mean(axis=(1, 3))
    power = _POWER[blocks].mean(axis=(1, 3)) / np.maximum(weight, 1e-6)
    grey = np.clip(np.rint(1 + 254 / _SPAN_DB * 10 * np.log10(np.maximum(power, 1.0))), 1, 255)
    return np.where(weight >= 0.5, grey, 0).astype(np.uint8), metres_per_pixel * factor


_POWER: Final = np.where(np.arange(256) > 0, 10 ** ((np.arange(256) - 1) / 254 * _SPAN_DB / 10), 0.0).astype(np.float32)
"""Grey level -> power."""


def _shares(posterior: dict[str, Layer], valid: NDArray[np.bool_]) -> dict[str, float]:
    """Expected shares of the valid cells."""
    total = max(1, int(valid.sum()))
    return {name: float(layer[valid].sum() / total) for name, layer in posterior.items()}


def _grid(posterior: dict[str, Layer], valid: NDArray[np.bool_]) -> tuple[dict[str, float], ...]:
    rows, cols = (np.linspace(0, size, 4).astype(int) for size in valid.shape)
    cells = [(slice(*rows[j : j + 2]), slice(*cols[i : i + 2])) for j in range(3) for i in range(3)]
    return tuple(_shares({name: layer[cell] for name, layer in posterior.items()}, valid[cell]) for cell in cells)
