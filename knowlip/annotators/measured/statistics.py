"""Numbers on the targets of a tile as a whole: what `overall.py` decides count, length, type and pattern on."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from knowlip.annotators.measured.cover import Cover
from knowlip.annotators.measured.evidence import Target
from knowlip.annotators.measured.locate import KINDS, number_of
from knowlip.annotators.measured.targets import Blob, table_distances
from knowlip.language.definitions import spread_of

Array = NDArray[np.float32]
STATISTICS: Final = 82
"""Numbers of a tile."""
_COVERS: Final = ("water", "quay", "built-up", "apron", "runway", "grass", "bridge")
_POINT_STEP: Final = 45.0
"""Grey levels above the ground from which a local maximum counts as a point."""
_POINT_M: Final = (7.0, 14.0)
"""Half sides of the squares in which a point is the brightest."""
_NEAR_M: Final = 40.0


def points_of(pixels: Array, ground: NDArray[np.bool_], metres_per_pixel: float) -> Array:
    """Bright points on and beside the ground that targets stand on: boats in a marina touch, their masts do not.

    Args:
        pixels: (H, W) grey levels.
        ground: (H, W) water, or apron and runway.
        metres_per_pixel: of `pixels`.

    Returns:
        (6,): points told apart by 7 m and by 14 m, bright area, their number and area on the ground itself, all as
        log(1 + x), area in 100 square metres.
    """
    if not ground.any():
        return np.zeros(6, np.float32)
    soft = ndimage.gaussian_filter(pixels, max(0.7, 1.5 / metres_per_pixel))
    limit = float(np.median(soft[ground])) + _POINT_STEP
    reach = max(1, int(_NEAR_M / metres_per_pixel))
    near = ndimage.maximum_filter(ground, 2 * reach + 1)
    bright = near & (soft > limit)
    area = metres_per_pixel**2 / 100.0
    sides = [2 * max(1, round(half_m / metres_per_pixel)) + 1 for half_m in _POINT_M]
    tops = [bright & (soft >= ndimage.maximum_filter(soft, side)) for side in sides]
    values = [tops[0].sum(), tops[1].sum(), bright.sum() * area]
    values += [(tops[0] & ground).sum(), (tops[1] & ground).sum(), (bright & ground).sum() * area]
    return np.log1p(np.array(values, np.float32))


def describe(
    cover: Cover,
    category: str,
    blobs: Sequence[Blob],
    targets: Sequence[Target],
    points: Array,
    metres_per_pixel: float,
    noise: float,
) -> Array:
    """All numbers of a tile, (STATISTICS,).

    Args:
        cover: what the network sees.
        category: "ship" or "aircraft".
        blobs: of the CFAR detector.
        targets: of `locate.targets_of`, at least one.
        points: of :func:`points_of`.
        metres_per_pixel: of the image that was measured.
        noise: `Cells.noise`.
    """
    scale = np.log2(metres_per_pixel)
    covers = [float(cover.posterior[name].mean()) for name in _COVERS]
    seen = (_density(cover, category), _blobs(blobs, cover, category), _targets(targets, category))
    parts = [[scale, abs(scale - 1.0), noise], covers, points, *seen]
    values = np.concatenate([np.asarray(part, np.float32) for part in parts])
    return np.nan_to_num(values, nan=0.0, posinf=20.0, neginf=-20.0)


def _density(cover: Cover, category: str) -> list[float]:
    """The network's density: how much, how peaked, how near the edge, how spread, and the sizes and types under it."""
    # `w` spreads one unit over the cells: what follows are means over a target that is drawn from the density.
    channel, kinds, _ = KINDS[category]
    rates = cover.rates[..., channel].astype(np.float64)
    rows, cols = rates.shape
    total = float(rates.sum())
    other = float(cover.rates.sum()) - total
    sums = ndimage.uniform_filter(rates, 3, mode="constant") * 9.0
    tops = rates >= ndimage.maximum_filter(rates, 3)
    peaks = [float((tops & (sums > level)).sum()) for level in (0.2, 0.4, 0.7)]
    best = np.sort(rates.ravel())[::-1][:6]
    best = np.pad(best, (0, 6 - len(best)))
    edge = 1.0 - float(rates[1:-1, 1:-1].sum()) / (total + 1e-9)
    edge_two = 1.0 - float(rates[2:-2, 2:-2].sum()) / (total + 1e-9)
    w = rates / (total + 1e-9)
    size = np.clip(cover.sizes.astype(np.float64), -2.5, 2.5)
    mean = (w[..., None] * size).sum(axis=(0, 1))
    spread = np.sqrt((w * (size[..., 0] - mean[0]) ** 2).sum())
    order = np.argsort(size[..., 0].ravel())
    at = np.searchsorted(np.cumsum(w.ravel()[order]), (0.25, 0.5, 0.75))
    quartiles = size[..., 0].ravel()[order][np.minimum(at, len(order) - 1)].tolist()
    types = (w[..., None] * cover.types[..., kinds]).sum(axis=(0, 1))
    y, x = (np.mgrid[:rows, :cols] + 0.5) / np.array([rows, cols])[:, None, None]
    cx, cy = float((w * x).sum()), float((w * y).sum())
    xx, yy, xy = (float((w * part).sum()) for part in ((x - cx) ** 2, (y - cy) ** 2, (x - cx) * (y - cy)))
    half, root = (xx + yy) / 2, float(np.hypot((xx - yy) / 2, xy))
    along, across = np.sqrt(max(half + root, 0.0)), np.sqrt(max(half - root, 0.0))
    amounts = [np.log(total + 0.05), np.log(other + 0.05), *np.log1p(peaks), *np.log(best + 1e-3), edge, edge_two]
    sizes = [*mean[:2], float(np.hypot(mean[2], mean[3])), float(spread), *quartiles]
    extent = [float(along), float(across), float(across / (along + 0.02))]
    densest = float(cover.rates[..., channel].max())
    return [*amounts, *sizes, *types, abs(cx - 0.5), abs(cy - 0.5), *extent, densest]


def _blobs(blobs: Sequence[Blob], cover: Cover, category: str) -> list[float]:
    """Number, sizes and pattern of the CFAR detector's blobs, and how far they are from each type of the table."""
    if not blobs:
        return [0.0] * 22
    lengths, widths = np.array([[blob.length_m, blob.width_m] for blob in blobs]).T
    table = table_distances(float(np.median(lengths)), float(np.median(widths)), category)
    clear = sum(blob.contrast >= 10.0 and blob.on_ground >= 0.95 for blob in blobs)
    logs = np.log(lengths / 50.0)
    ground = [blob.on_ground for blob in blobs]
    numbers = [np.log1p(len(blobs)), np.log1p(clear), np.log(number_of(cover, category, blobs))]
    of_lengths = [float(np.median(logs)), float(logs.max()), float(logs.min()), float(logs.std())]
    of_widths = [float(np.median(np.log(widths / 20.0))), np.log1p(float((lengths * widths).sum()) / 100.0)]
    large = [float((lengths < 40.0).mean()), np.log1p(float((lengths >= 50.0).sum()))]
    surroundings = [float(np.mean(ground)), float(max(ground))]
    contrast = float(np.mean([blob.contrast for blob in blobs])) / 10.0
    pattern = _pattern([(blob.x, blob.y) for blob in blobs])
    near = [min(distance, 2.0) for distance in table]
    return [*numbers, *of_lengths, *of_widths, *large, *surroundings, contrast, *pattern, *near]


def _targets(targets: Sequence[Target], category: str) -> list[float]:
    """What the located targets say: number, median length, pattern, types."""
    names = [kind.name for kind in KINDS[category][2]]
    held = [sum(target.type == name for target in targets) / len(targets) for name in names]
    lengths = [target.length_m for target in targets]
    certain = [target.certainty for target in targets]
    sizes = [np.log(float(np.median(lengths)) / 50.0), np.log(max(lengths) / 50.0)]
    pattern = _pattern([(target.x, target.y) for target in targets])
    return [np.log(len(targets)), *sizes, float(np.mean(certain)), float(max(certain)), *pattern, *held]


def _pattern(points: Sequence[tuple[float, float]]) -> list[float]:
    extent, flatness = spread_of(points)
    return [extent, flatness, float(len(points) >= 3 and flatness <= 0.12)]
