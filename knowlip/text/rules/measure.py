"""From pixels to evidence: land cover on cells, ships on water, aircraft on aprons and runways."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from knowlip.text.rules.cover import Context, Cover, classify
from knowlip.text.rules.evidence import Evidence, Target
from knowlip.text.rules.features import cell_features
from knowlip.text.rules.locate import expected, targets_of
from knowlip.text.rules.mentions import SEEN_FROM
from knowlip.text.rules.targets import AIRCRAFT, SHIPS, Blob, detect
from knowlip.vocabulary import LAND_COVER

Layer = NDArray[np.float32]
_LARGEST_SIDE = 512
"""Larger images are averaged down before anything is measured, to at most `_REDUCED_SIDE`."""
_REDUCED_SIDE = 352
_CODE = {name: code for code, name in LAND_COVER.items()}


def measure(image: NDArray[np.uint8], metres_per_pixel: float, context: Context) -> Evidence:
    """Measure a tile.

    Args:
        image: (H, W) 8 bit, 0 = nodata, logarithmic brightness, north up.
        metres_per_pixel: of `image`.
        context: what place and parent make likely.

    Raises:
        ValueError: not an 8-bit 2-D image, no valid pixel, or no positive pixel size.
    """
    if image.ndim != 2 or image.dtype != np.uint8:
        raise ValueError(f"A tile must be a two-dimensional 8-bit image, not {image.dtype} of shape {image.shape}.")
    if not metres_per_pixel > 0:
        raise ValueError(f"metres_per_pixel must be positive, not {metres_per_pixel}.")
    if not image.any():
        raise ValueError("The tile holds no valid pixel (0 is nodata), so there is nothing to describe.")
    window_m = max(image.shape) * metres_per_pixel
    factor = 1 if max(image.shape) <= _LARGEST_SIDE else -(-max(image.shape) // _REDUCED_SIDE)
    if factor > 1:
        rows, cols = image.shape[0] // factor, image.shape[1] // factor
        blocks = image[: rows * factor, : cols * factor].reshape(rows, factor, cols, factor)
        image = np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)
        metres_per_pixel *= factor
    cells = cell_features(image, metres_per_pixel)
    cover = classify(cells, metres_per_pixel, context)
    pixels = image.astype(np.float32)
    numbers = {category: expected(cover, category) for category in ("ship", "aircraft")}
    category = max(numbers, key=lambda name: numbers[name])
    targets: list[Target] = []
    if numbers[category] >= SEEN_FROM:
        targets = targets_of(cover, category, _blobs(pixels, cover, category, metres_per_pixel), window_m)
    posterior = dict(cover.posterior)
    valid = cover.codes > 0
    return Evidence(
        window_m, tuple(targets), _shares(posterior, valid), _grid(posterior, valid), cover.certainty, numbers
    )


def _blobs(pixels: NDArray[np.float32], cover: Cover, category: str, metres_per_pixel: float) -> list[Blob]:
    """Bright blobs on the ground that targets of a category stand on."""
    grounds = ("water",) if category == "ship" else ("runway", "apron")
    ground = np.isin(cover.codes, [_CODE[name] for name in grounds])
    if not ground.any():
        return []
    height, width = pixels.shape
    big: NDArray[np.bool_] = ground.repeat(cover.cell_px, axis=0).repeat(cover.cell_px, axis=1)[:height, :width]
    mask: NDArray[np.bool_] = np.zeros((height, width), dtype=np.bool_)
    mask[: len(big), : len(big[0])] = big
    mask &= pixels > 0
    if category == "ship":
        mask = _open_water(mask, metres_per_pixel)
    mask = _dark_near(pixels, mask, metres_per_pixel)
    return detect(pixels, mask, metres_per_pixel, SHIPS if category == "ship" else AIRCRAFT)


def _dark_near(pixels: NDArray[np.float32], ground: NDArray[np.bool_], metres_per_pixel: float) -> NDArray[np.bool_]:
    """Pixels as dark as the ground, on it or within 40 m of it: also the gaps between targets that cells miss."""
    if not ground.any():
        return ground
    soft = ndimage.gaussian_filter(pixels, max(0.8, 2.0 / metres_per_pixel))
    level = float(np.median(soft[ground]))
    spread = 1.5 * float(np.median(abs(soft[ground] - level)))
    near = ndimage.distance_transform_edt(~ground) * metres_per_pixel <= 40.0
    return np.asarray(near & (soft <= level + max(2.5 * spread, 22.0)) & (pixels > 0))


def _open_water(water: NDArray[np.bool_], metres_per_pixel: float) -> NDArray[np.bool_]:
    """Water without what is too narrow or too small to float ships: shadows, ditches, ponds."""
    distance = ndimage.distance_transform_edt(np.pad(water, 1, mode="edge"))[1:-1, 1:-1]
    wide = ndimage.binary_dilation(distance > 11.0 / metres_per_pixel, iterations=max(1, int(10.0 / metres_per_pixel)))
    labels, count = ndimage.label(water & wide)
    if not count:
        return water & wide
    large = np.bincount(labels.ravel()) * metres_per_pixel**2 >= 4000.0
    large[0] = False
    return np.asarray(large[labels])


def _shares(posterior: dict[str, Layer], valid: NDArray[np.bool_]) -> dict[str, float]:
    """Expected shares of the valid cells."""
    total = max(1, int(valid.sum()))
    return {name: float(layer[valid].sum() / total) for name, layer in posterior.items()}


def _grid(posterior: dict[str, Layer], valid: NDArray[np.bool_]) -> tuple[dict[str, float], ...]:
    rows, cols = (np.linspace(0, size, 4).astype(int) for size in valid.shape)
    cells = [(slice(*rows[j : j + 2]), slice(*cols[i : i + 2])) for j in range(3) for i in range(3)]
    return tuple(_shares({name: layer[cell] for name, layer in posterior.items()}, valid[cell]) for cell in cells)
