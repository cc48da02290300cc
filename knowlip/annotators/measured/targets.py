"""Point-like and elongated bright targets: CFAR detection, size and orientation in metres, type by size."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from knowlip.base.vocabulary import AIRCRAFT_TYPES, SHIP_TYPES, TargetType

Mask = NDArray[np.bool_]
Image = NDArray[np.float32]


_MARGIN_PX: Final = 4
"""How far around a blob its surroundings are looked at."""
_BROAD: Final = 2.4
"""Shorter than this many widths is more than one ship, side by side."""
_THIN: Final = 9.0
"""Longer than this many widths is a crane's boom, a jetty or a bridge."""


@dataclass(frozen=True)
class Blob:
    """A connected group of bright pixels."""

    x: float
    """Centre as a fraction of the width."""
    y: float
    length_m: float
    width_m: float
    heading_deg: float
    """Long axis clockwise from north (rows run southwards), modulo 180."""
    contrast: float
    """Mean excess over the local background in its standard deviations."""
    on_ground: float
    """Share of the ring around the blob that is ground of the wanted kind."""


@dataclass(frozen=True)
class Detector:
    """Parameters of one kind of target."""

    window_m: float
    """Side of the square that background statistics are taken from."""
    threshold: float
    """Standard deviations above the background."""
    step: float
    """Grey levels above the background, at least."""
    peak: float
    """Grey level that the brightest part of a target reaches, at least."""
    join_m: float
    """Gaps up to this length between bright points belong to one target."""
    join_large_m: float
    """The same between parts wider than about 8 m: decks are dark between stacks and hatches."""
    length_m: tuple[float, float]
    """Accepted lengths."""
    width_m: tuple[float, float]
    """Accepted widths."""
    least_on_ground: float
    """Smallest accepted `Blob.on_ground`."""
    faint_step: float
    """Grey levels above the background that outline a hull around bright parts; 0 = do not look for outlines."""
    slenderness: float
    """A blob cut by the tile's edge is taken when it shows this ratio of length to width: its centre is inside then."""
    free_end: bool
    """Whether one end at least must face open ground (ships do, bridges do not)."""


SHIPS: Final = Detector(260.0, 4.0, 70.0, 200.0, 3.0, 14.0, (12.0, 400.0), (2.0, 75.0), 0.30, 28.0, 3.3, True)
AIRCRAFT: Final = Detector(160.0, 3.5, 55.0, 190.0, 3.0, 3.0, (9.0, 90.0), (5.0, 80.0), 0.28, 0.0, 9.0, False)


def detect(image: Image, ground: Mask, metres_per_pixel: float, detector: Detector) -> list[Blob]:
    """Find bright blobs that stand on `ground`.

    Two passes of cell-averaging CFAR in the logarithmic domain: the background (mean and standard deviation over the
    ground pixels in a window) is estimated again without the pixels that the first pass found.

    Args:
        image: (H, W) logarithmic brightness.
        ground: (H, W) where targets of this kind can be (water, or apron and runway), without the targets themselves.
        metres_per_pixel: of `image`.
        detector: the kind of target.

    Returns:
        The accepted blobs, largest first.
    """
    if ground.mean() < 0.01:
        return []
    # Outlines first: a hull whose deck is darker than its ends would else fall into several bright blobs.
    size = max(9, int(detector.window_m / metres_per_pixel) | 1)
    smooth = ndimage.gaussian_filter(image, max(0.6, 1.2 / metres_per_pixel))
    background, mean, deviation = ground, smooth, smooth
    bright = np.zeros_like(ground)
    for _ in range(2):
        mean, deviation = _statistics(smooth, background, size)
        bright = smooth > mean + np.maximum(detector.threshold * deviation, detector.step)
        background = ground & ~ndimage.binary_dilation(bright, iterations=1)
    near = ndimage.binary_dilation(ground, iterations=max(1, int(8.0 / metres_per_pixel)))
    scene = _Scene(smooth, (smooth - mean) / deviation, bright, background, near, metres_per_pixel)
    taken = np.zeros_like(ground)
    blobs = []
    if detector.faint_step > 0:
        faint = smooth > mean + np.maximum(2.5 * deviation, detector.faint_step)
        faint = ndimage.binary_opening(faint, iterations=max(1, int(1.5 / metres_per_pixel)))
        for found, where, own in _found(
            ndimage.label(faint | bright, structure=np.ones((3, 3)))[0], scene, faint | bright
        ):
            if _accepted(found, detector) and _hull(found):
                blobs.append(found.blob)
                taken[where] |= ndimage.binary_dilation(own, iterations=2)
    for found, where, own in _found(_joined(bright & ~taken, detector, metres_per_pixel), scene, bright):
        parts = _parts(found, where, own, scene, detector)
        if len(parts) > 1:
            blobs.extend(parts)
        elif _accepted(found, detector):
            blobs.append(found.blob)
    return sorted(blobs, key=lambda blob: -blob.length_m)


class _Scene(NamedTuple):
    """The tile as the blobs are measured in it; all (H, W)."""

    smooth: Image
    excess: Image
    """Standard deviations above the background."""
    bright: Mask
    background: Mask
    near: Mask
    metres_per_pixel: float


def _parts(found: "_Found", where: tuple[slice, slice], own: Mask, scene: _Scene, detector: Detector) -> list[Blob]:
    """Ships moored side by side: the brighter parts of a blob that is too broad to be one of them."""
    if detector.faint_step == 0 or found.blob.length_m < 25.0 or found.blob.length_m >= _BROAD * found.blob.width_m:
        return []
    inner = np.zeros(scene.bright.shape, dtype=np.bool_)
    inner[where] = own & (scene.smooth[where] > detector.peak)
    inner[where] = ndimage.binary_erosion(inner[where], iterations=1) if scene.metres_per_pixel <= 1.5 else inner[where]
    labels, _ = ndimage.label(inner)
    found_parts = [part for part, _, _ in _found(labels, scene, inner)]
    return [part.blob for part in found_parts if _accepted(part, detector) and part.blob.length_m < 60.0]


def _hull(found: "_Found") -> bool:
    """Whether a faint outline with bright parts inside is one slender ship rather than a quay with things on it."""
    ratio = found.blob.length_m / found.blob.width_m
    return found.blob.length_m >= 50.0 and 3.0 <= ratio <= 9.0 and found.bright_share >= 0.15 and found.fill >= 0.6


def _found(labels: NDArray[np.int32], scene: _Scene, lit: Mask) -> Iterator[tuple["_Found", tuple[slice, slice], Mask]]:
    for number, where in enumerate(ndimage.find_objects(labels), start=1):
        margin = _MARGIN_PX
        height, width = labels.shape
        rows = slice(max(0, where[0].start - margin), min(height, where[0].stop + margin))
        cols = slice(max(0, where[1].start - margin), min(width, where[1].stop + margin))
        own = labels[rows, cols] == number
        found = _measure(own, (rows, cols), scene, lit)
        if found is not None:
            yield found, (rows, cols), own


def _joined(bright: Mask, detector: Detector, metres_per_pixel: float) -> NDArray[np.int32]:
    """Label groups of bright pixels: small gaps close everywhere, larger ones between large parts."""
    joined = _closed(bright, detector.join_m / metres_per_pixel)
    if detector.join_large_m > detector.join_m:
        labels, count = ndimage.label(joined, structure=np.ones((3, 3)))
        if count:
            core = ndimage.binary_erosion(joined, iterations=max(1, int(4.0 / metres_per_pixel)))
            large = np.zeros(count + 1, dtype=np.bool_)
            large[np.unique(labels[core])] = True
            large[0] = False
            joined = joined | _closed(large[labels], detector.join_large_m / metres_per_pixel)
    labels, _ = ndimage.label(joined, structure=np.ones((3, 3)))
    return np.asarray(labels)


def _closed(mask: Mask, gap_px: float) -> Mask:
    """Close gaps up to `gap_px` between bright pixels."""
    reach = int(gap_px / 2 + 0.5)
    if reach < 1 or not mask.any():
        return mask
    inside = ndimage.distance_transform_edt(~np.pad(mask, reach)) <= reach
    eroded = ndimage.distance_transform_edt(inside) > reach
    return np.asarray(eroded[reach:-reach, reach:-reach] | mask)


def _statistics(image: Image, mask: Mask, size: int) -> tuple[Image, Image]:
    """Local mean and standard deviation over masked pixels; the tile's own where a window holds few of them."""
    weight = mask.astype(np.float32)
    total = image[mask]
    overall_mean = float(total.mean()) if total.size else float(image.mean())
    overall_deviation = max(2.0, float(total.std()) if total.size else float(image.std()))
    n = ndimage.uniform_filter(weight, size, mode="constant")
    first = ndimage.uniform_filter(image * weight, size, mode="constant")
    second = ndimage.uniform_filter(image * image * weight, size, mode="constant")
    safe = np.maximum(n, 1e-6)
    mean = np.where(n > 0.05, first / safe, overall_mean)
    variance = np.maximum(second / safe - (first / safe) ** 2, 0.0)
    deviation = np.where(n > 0.05, np.sqrt(variance), overall_deviation)
    return mean.astype(np.float32), np.maximum(deviation, 0.5 * overall_deviation).astype(np.float32)


class _Found(NamedTuple):
    blob: Blob
    peak: float
    cut: bool
    """Touches the tile's edge."""
    free_ends: int
    """Ends (0 to 2) beyond which there is background ground."""
    bright_share: float
    """Share of the blob above the detector's full threshold."""
    fill: float
    """Share of its oriented box that the blob fills."""


def _measure(own: Mask, where: tuple[slice, slice], scene: _Scene, lit_all: Mask) -> _Found | None:
    """Size, orientation and surroundings of one blob, `own` being its mask inside `where`."""
    # Bright parts alone are measured: speckle at a hull's rim would lengthen it and turn its axis.
    height, width = scene.smooth.shape
    rows, cols = where
    metres_per_pixel, background, margin = scene.metres_per_pixel, scene.background, _MARGIN_PX
    lit = own & lit_all[where]
    y, x = np.nonzero(lit)
    if len(y) < 3 or not scene.near[where][lit].any():
        return None
    weight = np.clip(scene.excess[where][lit], 0.0, 12.0)
    ring = ndimage.binary_dilation(own, iterations=margin) & ~ndimage.binary_dilation(own, iterations=margin - 2)
    on_ground = float(background[where][ring].mean()) if ring.any() else 0.0
    points = np.stack([x, y], axis=1).astype(float)
    centre = points.mean(axis=0)
    offset = points - centre
    _, axes = np.linalg.eigh(offset.T @ offset)
    along, across = offset @ axes[:, 1], offset @ axes[:, 0]
    (low, high), (left, right) = np.percentile(along, [0.5, 99.5]), np.percentile(across, [2, 98])
    dx, dy = axes[:, 1]
    middle = centre + 0.5 * (low + high) * axes[:, 1] + 0.5 * (left + right) * axes[:, 0]
    middle += np.array([cols.start, rows.start])
    reach = 0.5 * (high - low) + 6.0 / metres_per_pixel + 2.0
    free = 0
    for sign in (-1.0, 1.0):
        column, row = np.rint(middle + sign * reach * axes[:, 1]).astype(int)
        if 0 <= column < width and 0 <= row < height:
            free += bool(background[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2].any())
    blob = Blob(
        x=float((middle[0] + 0.5) / width),
        y=float((middle[1] + 0.5) / height),
        length_m=float(high - low + 1.0) * metres_per_pixel,
        width_m=float(right - left + 1.0) * metres_per_pixel,
        heading_deg=float(np.rad2deg(np.arctan2(dx, -dy)) % 180.0),
        contrast=float(weight.mean()),
        on_ground=on_ground,
    )
    at = (y + rows.start, x + cols.start)
    cut = at[0].min() == 0 or at[1].min() == 0 or at[0].max() == height - 1 or at[1].max() == width - 1
    box = (high - low + 1.0) * (right - left + 1.0)
    bright_share = float(scene.bright[where][lit].mean())
    return _Found(blob, float(scene.smooth[where][lit].max()), bool(cut), free, bright_share, float(own.sum() / box))


def _accepted(found: _Found, detector: Detector) -> bool:
    blob = found.blob
    return (
        detector.length_m[0] <= blob.length_m <= detector.length_m[1]
        and detector.width_m[0] <= blob.width_m <= detector.width_m[1]
        and blob.on_ground >= detector.least_on_ground
        and found.peak >= detector.peak
        and blob.length_m <= _THIN * blob.width_m
        and not (detector.faint_step > 0 and blob.length_m >= 45.0 and blob.length_m < _BROAD * blob.width_m)
        and not (found.cut and blob.length_m < detector.slenderness * blob.width_m)
        and not (detector.free_end and found.free_ends == 0)
        and 0.0 <= blob.x <= 1.0
        and 0.0 <= blob.y <= 1.0
    )


def type_by_size(length_m: float, width_m: float, category: str) -> tuple[str, float]:
    """The type whose ranges of length and width (beam, wingspan) lie nearest, and how clearly (0 to 1).

    The distance to a range is 0 inside it, plus a small pull to its middle, in relative units.
    """
    table = _table(category)
    distances = sorted(zip(table_distances(length_m, width_m, category), (kind.name for kind in table)))
    gap = distances[1][0] - distances[0][0]
    return distances[0][1], float(min(1.0, 0.4 + 2.0 * gap))


def table_distances(length_m: float, width_m: float, category: str) -> list[float]:
    """Distance of a size to each type of the category, in the order of the table."""
    return [_distance(length_m, kind.length_m) + 0.5 * _distance(width_m, kind.width_m) for kind in _table(category)]


def _table(category: str) -> Sequence[TargetType]:
    return SHIP_TYPES if category == "ship" else AIRCRAFT_TYPES


def _distance(value: float, limits: tuple[float, float]) -> float:
    low, high = limits
    outside = np.log(low / value) if value < low else np.log(value / high) if value > high else 0.0
    return float(outside + 0.2 * abs(np.log(value / np.sqrt(low * high))))
