"""From pixels to evidence: land cover on cells, ships on water, aircraft on aprons and runways."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from knowlip.annotators.measured.cover import Context, Cover, classify
from knowlip.annotators.measured.evidence import Overall, Target, TileEvidence
from knowlip.annotators.measured.features import cell_features
from knowlip.annotators.measured.lines import axis_of
from knowlip.annotators.measured.locate import expected, limits_of, number_of, targets_of
from knowlip.annotators.measured.mentions import SEEN_FROM
from knowlip.annotators.measured.overall import overall_of
from knowlip.annotators.measured.statistics import describe, points_of
from knowlip.annotators.measured.targets import AIRCRAFT, SHIPS, Blob, detect
from knowlip.base.vocabulary import LAND_COVER, region_of

Layer = NDArray[np.float32]
_LARGEST_SIDE = 512
"""Larger images are averaged down before anything is measured, to at most `_REDUCED_SIDE`."""
_REDUCED_SIDE = 352
_CANDIDATE_FROM: Final = 0.25
"""Expected number of targets from which a tile is looked at for them."""
_CODE = {name: code for code, name in LAND_COVER.items()}


class Look(NamedTuple):
    """What the detectors see of a tile."""

    cover: Cover
    expected: dict[str, float]
    """ "ship" and "aircraft" -> expected number."""
    category: str
    """The likelier of both."""
    blobs: list[Blob]
    targets: list[Target]
    """As many as the detectors by themselves take for likely; empty where hardly any is expected."""
    values: NDArray[np.float32] | None
    """Of `statistics.describe`; None without targets."""
    window_m: float
    metres_per_pixel: float


def measure(image: NDArray[np.uint8], metres_per_pixel: float, context: Context) -> TileEvidence:
    """Measure a tile.

    Args:
        image: (H, W) 8 bit, 0 = nodata, logarithmic brightness, north up.
        metres_per_pixel: of `image`.
        context: what place and parent make likely.

    Raises:
        ValueError: not an 8-bit 2-D image, no valid pixel, or no positive pixel size.
    """
    seen = look(image, metres_per_pixel, context)
    targets, overall, expected = seen.targets, None, dict(seen.expected)
    if seen.values is not None:
        between = limits_of(seen.cover, seen.category, seen.blobs)
        none, overall = overall_of(seen.category, seen.values, between)
        if none >= SEEN_FROM:
            targets, overall, expected[seen.category] = [], None, 1.0 - none
        else:
            targets = targets_of(seen.cover, seen.category, seen.blobs, seen.window_m, overall.number)
            certainty = float(np.mean([target.certainty for target in targets]))
            overall = replace(
                overall, regions=_regions(targets), sure={**overall.sure, "Location": (1.0 - none) * certainty}
            )
    return evidence_of(seen, targets, expected, overall)


def _regions(targets: Sequence[Target]) -> tuple[int, ...]:
    """The regions with most targets, until they hold two thirds of them."""
    chosen: list[int] = []
    covered = 0
    for region, number in Counter(region_of(target.x, target.y) for target in targets).most_common():
        if covered * 3 >= len(targets) * 2:
            break
        chosen.append(region)
        covered += number
    return tuple(chosen)


def evidence_of(
    seen: Look, targets: Sequence[Target], expected: Mapping[str, float], overall: Overall | None
) -> TileEvidence:
    """The evidence of a tile whose targets are decided on."""
    posterior, valid = seen.cover.posterior, seen.cover.codes > 0
    shares, grid = _shares(posterior, valid), _grid(posterior, valid)
    axes = {name: axis for name in ("runway", "road") if (axis := axis_of(np.where(valid, posterior[name], 0.0)))}
    return TileEvidence(
        seen.window_m,
        tuple(targets),
        shares,
        grid,
        seen.cover.certainty,
        expected,
        axes,
        overall,
        seen.metres_per_pixel,
    )


def look(image: NDArray[np.uint8], metres_per_pixel: float, context: Context) -> Look:
    """Run the detectors on a tile; arguments and errors as of :func:`measure`."""
    if image.ndim != 2 or image.dtype != np.uint8:
        raise ValueError(f"A tile must be a two-dimensional 8-bit image, not {image.dtype} of shape {image.shape}.")
    if not metres_per_pixel > 0:
        raise ValueError(f"metres_per_pixel must be positive, not {metres_per_pixel}.")
    if not image.any():
        raise ValueError("The tile holds no valid pixel (0 is nodata), so there is nothing to describe.")
    # Detectors are slow on large images and gain nothing below their smallest window: those are averaged down first.
    window_m = max(image.shape) * metres_per_pixel
    factor = 1 if max(image.shape) <= _LARGEST_SIDE else -(-max(image.shape) // _REDUCED_SIDE)
    if factor > 1:
        rows, cols = image.shape[0] // factor, image.shape[1] // factor
        blocks = image[: rows * factor, : cols * factor].reshape(rows, factor, cols, factor)
        image = np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)
        metres_per_pixel *= factor
    cells = cell_features(image, metres_per_pixel)
    cover = classify(cells, metres_per_pixel, context)
    numbers = {name: expected(cover, name) for name in ("ship", "aircraft")}
    category = max(numbers, key=lambda name: numbers[name])
    if numbers[category] < _CANDIDATE_FROM:
        return Look(cover, numbers, category, [], [], None, window_m, metres_per_pixel)
    pixels = image.astype(np.float32)
    ground = _ground(pixels, cover, category, metres_per_pixel)
    blobs = _blobs(pixels, ground, category, metres_per_pixel)
    targets = targets_of(cover, category, blobs, window_m, number_of(cover, category, blobs))
    points = points_of(pixels, ground, metres_per_pixel)
    values = describe(cover, category, blobs, targets, points, metres_per_pixel, cells.noise)
    return Look(cover, numbers, category, blobs, targets, values, window_m, metres_per_pixel)


def _ground(pixels: NDArray[np.float32], cover: Cover, category: str, metres_per_pixel: float) -> NDArray[np.bool_]:
    """Pixels of the ground that targets of a category stand on."""
    grounds = ("water",) if category == "ship" else ("runway", "apron")
    ground = np.isin(cover.codes, [_CODE[name] for name in grounds])
    mask: NDArray[np.bool_] = np.zeros(pixels.shape, dtype=np.bool_)
    if not ground.any():
        return mask
    height, width = pixels.shape
    big: NDArray[np.bool_] = ground.repeat(cover.cell_px, axis=0).repeat(cover.cell_px, axis=1)[:height, :width]
    mask[: len(big), : len(big[0])] = big
    mask &= pixels > 0
    return _open_water(mask, metres_per_pixel) if category == "ship" else mask


def _blobs(
    pixels: NDArray[np.float32], ground: NDArray[np.bool_], category: str, metres_per_pixel: float
) -> list[Blob]:
    """Bright blobs on the ground that targets of a category stand on."""
    if not ground.any():
        return []
    dark = _dark_near(pixels, ground, metres_per_pixel)
    return detect(pixels, dark, metres_per_pixel, SHIPS if category == "ship" else AIRCRAFT)


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
