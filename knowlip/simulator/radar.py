"""From a world to a radar image: clutter, shadow, layover, point scatterers with side lobes, speckle.

Ground-range geometry with one look direction u (unit vector, away from the radar) and incidence t:
a point at height z is imaged at its ground position minus u * z / tan(t); behind a point of height h the ground lies in
shadow for h * tan(t). Powers of everything that falls into a pixel add up; strong points add up coherently.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rasterio.features import rasterize
from rasterio.transform import Affine, from_origin
from scipy import fft

from knowlip.simulator import kernels
from knowlip.simulator.sensors import IMPULSE_WIDTH, NOISE_FLOOR_DB, TAPER, Sensor
from knowlip.simulator.shapes import Ring, direction
from knowlip.simulator.world import CODE, World

PAD_M = 30.0
"""Ground drawn around the scene so that neighbours cast their layover and shadow into it."""

SIGMA0_DB: dict[str, tuple[float, float, float, float]] = {
    # mean at 40 degrees in C band (HH), and texture (dB, one sigma) at about 2.5 m, 7 m and 110 m
    "nodata": (-30.0, 0.0, 0.0, 0.0),
    "water": (-22.0, 0.2, 0.4, 0.9),
    "field": (-13.5, 0.6, 0.5, 0.7),
    "wood": (-8.5, 1.2, 0.5, 0.6),
    "built-up": (-12.5, 1.3, 0.9, 0.6),
    "road": (-18.5, 0.6, 0.4, 0.2),
    "runway": (-23.0, 0.2, 0.2, 0.3),
    "apron": (-20.0, 0.4, 0.4, 0.3),
    "grass": (-14.5, 0.7, 0.7, 0.6),
    "bridge": (-11.0, 0.8, 0.4, 0.0),
    "quay": (-15.0, 0.8, 0.7, 0.5),
}
VEGETATION = ("field", "wood", "grass")


@dataclass(frozen=True)
class RadarImage:
    """`amplitude` (H, W) float32, square root of sigma0; `cover` (H, W) uint8 land-cover codes; row 0 in the north."""

    amplitude: NDArray[np.float32]
    cover: NDArray[np.uint8]


def clutter_db(cover: str, sensor: Sensor, incidence: float) -> float:
    """Mean sigma0 of a land cover in dB for a sensor and an incidence in degrees."""
    level = SIGMA0_DB[cover][0] - (0.3 if cover == "water" else 0.1) * (incidence - 40.0)
    return level + (sensor.vegetation_db if cover in VEGETATION else 0.5 * sensor.vegetation_db)


def image(world: World, sensor: Sensor, rng: np.random.Generator) -> RadarImage:
    """Draw a world as the sensor sees it."""
    res = sensor.resolution_m
    side = round(world.size / res)
    pad = int(np.ceil(PAD_M / res))
    n = fft.next_fast_len(side + 2 * pad)
    corner = np.array([-world.size / 2 - pad * res, world.size / 2 + pad * res])  # of the upper-left pixel
    transform = from_origin(corner[0], corner[1], res, res)
    look = direction(world.look_azimuth)
    step = np.array([-look[1], look[0]])  # rows, columns per pixel along the look direction
    tangent = float(np.tan(np.deg2rad(world.incidence)))

    areas = _burn([a.ring for a in world.areas], n, transform)
    solids = _burn([s.ring for s in world.solids], n, transform)
    covers = np.array([0] + [a.cover for a in world.areas], dtype=np.uint8)
    canopy = np.array([0.0] + [a.height for a in world.areas], dtype=np.float32)
    solid_height = np.array([0.0] + [s.height for s in world.solids], dtype=np.float32)
    table = np.array([SIGMA0_DB[name] for name in CODE], dtype=np.float32)
    table[:, 0] = [clutter_db(name, sensor, world.incidence) for name in CODE]
    table[:, 1:] *= 1.5  # interpolation between noise samples takes a third of their deviation
    pitches = max(2.5, 1.5 * res), max(7.0, 1.5 * res), 110.0
    grids = [rng.standard_normal((int(n * res / pitch) + 3,) * 2, dtype=np.float32) for pitch in pitches]
    noise = grids[0], grids[1], grids[2]
    height = kernels.heights(areas, solids, canopy, solid_height, noise[1])
    geometry = float(step[0]), float(step[1]), tangent, res
    shadow = kernels.shadows(height, geometry)
    level = np.array([0.0] + [a.level_db for a in world.areas], dtype=np.float32)
    roof = np.array([0.0] + [s.roof_db for s in world.solids], dtype=np.float32)
    wall = np.array([0.0] + [s.wall_db for s in world.solids], dtype=np.float32)
    wind = rng.uniform(0, 2 * np.pi)
    swells = (wind, 2 * np.pi / 52.0), (wind + 0.35, 2 * np.pi / 31.0)
    waves = np.array([[np.cos(w) * k, np.sin(w) * k] for w, k in swells], dtype=np.float32)
    drawn, facts = (areas, solids, height, shadow), (covers, level, table, roof, wall)
    power = kernels.surfaces(drawn, facts, noise, waves, geometry, CODE["water"], CODE["wood"])
    cover = covers[areas[pad : pad + side, pad : pad + side]]
    del areas, solids, drawn

    points = _lit(_points(world, res, rng), shadow, corner, res)
    del shadow, height
    points[:, :2] -= look * (points[:, 2] / tangent)[:, None]
    field = _focus(points, n, corner, res, step, rng)
    return RadarImage(_finish(power, field, side, pad, sensor, rng), cover)


def _burn(rings: list[Ring], n: int, transform: Affine) -> NDArray[np.uint16]:
    """(n, n) number, from 1, of the last ring that covers each pixel centre; 0 where none does."""
    out = np.zeros((n, n), dtype=np.uint16)
    if len(rings) >= 2**16:
        raise ValueError("The simulated world holds too many objects for one scene: choose a smaller scene_size_m.")
    half = n * transform.a / 2
    middle = np.array([transform.c + half, transform.f - half])
    shapes = [
        ({"type": "Polygon", "coordinates": [[*ring.tolist(), ring[0].tolist()]]}, i + 1)
        for i, ring in enumerate(rings)
        if (np.abs(ring.min(axis=0) + ring.max(axis=0) - 2 * middle) / 2 < half + np.ptp(ring, axis=0) / 2).all()
    ]
    return rasterize(shapes, out=out, transform=transform) if shapes else out


def _points(world: World, res: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """(N, 4) all point scatterers: those of objects, and wall-ground corners as rows of points."""
    parts = list(world.scatterers)
    if world.walls:
        walls = np.array(world.walls)
        span = walls[:, 2:4] - walls[:, :2]
        length = np.hypot(*span.T)
        outside = np.stack([-span[:, 1], span[:, 0]], axis=1) / np.maximum(length, 1e-6)[:, None]
        facing = -(outside @ direction(world.look_azimuth))
        keep = facing > 0.02
        walls, span, length, facing = walls[keep], span[keep], length[keep], facing[keep]
        pitch = max(0.5, res / 1.5)
        count = np.maximum(1, np.rint(length / pitch).astype(np.intp))
        which = np.repeat(np.arange(len(walls)), count)
        along = (np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count) + 0.5) / count[which]
        rows = np.empty((len(which), 4))
        rows[:, :2] = walls[which, :2] + along[:, None] * span[which]
        rows[:, 2] = 0.0
        # a corner line shines when the wall stands square to the look direction
        per_metre = walls[:, 4] * (0.05 + 0.95 * facing**10)
        rows[:, 3] = (per_metre * length / count)[which] * rng.lognormal(0.0, 0.6, len(which))
        parts.append(rows)
    return np.concatenate(parts) if parts else np.zeros((0, 4))


def _lit(points: NDArray[np.float64], shadow: NDArray[np.uint8], corner: Ring, res: float) -> NDArray[np.float64]:
    """The points on the drawn ground that no taller object hides."""
    col = np.floor((points[:, 0] - corner[0]) / res).astype(np.intp)
    row = np.floor((corner[1] - points[:, 1]) / res).astype(np.intp)
    inside = (col >= 0) & (row >= 0) & (col < shadow.shape[1]) & (row < shadow.shape[0])
    points, row, col = points[inside], row[inside], col[inside]
    return points[shadow[row, col] <= kernels.QUARTERS * points[:, 2] + 1]


def _focus(
    points: NDArray[np.float64], n: int, corner: Ring, res: float, step: Ring, rng: np.random.Generator
) -> NDArray[np.complex64]:
    """(n, n) complex field of the points: each a weighted sinc along range and azimuth, with a random phase.

    The peak power of a point is its cross-section over the resolution cell's area.
    """
    field = np.zeros((n, n), dtype=np.complex64)
    if not len(points):
        return field
    amplitude = np.sqrt(points[:, 3]) / (IMPULSE_WIDTH * res)
    values = (amplitude * np.exp(2j * np.pi * rng.random(len(points)))).astype(np.complex64)
    rows = (corner[1] - points[:, 1]) / res - 0.5
    cols = (points[:, 0] - corner[0]) / res - 0.5
    kernels.deposit(field, rows, cols, values)
    spectrum = fft.fft2(field, overwrite_x=True)
    kernels.weight(spectrum, step[0], step[1], 1.0 / IMPULSE_WIDTH, TAPER)
    return fft.ifft2(spectrum, overwrite_x=True)


def _finish(
    power: kernels.F32, field: NDArray[np.complex64], side: int, pad: int, sensor: Sensor, rng: np.random.Generator
) -> kernels.F32:
    """(side, side) amplitude: gamma speckle on clutter and noise, plus the power of the points."""
    floor = np.float32(10 ** (NOISE_FLOOR_DB / 10))
    out = np.empty((side, side), dtype=np.float32)
    for top in range(0, side, 512):
        rows = slice(top, min(side, top + 512))
        drawn = (slice(pad + rows.start, pad + rows.stop), slice(pad, pad + side))
        block = rng.standard_gamma(sensor.looks, size=out[rows].shape, dtype=np.float32)
        block *= (power[drawn] + floor) / np.float32(sensor.looks)
        spot = field[drawn]
        block += spot.real**2 + spot.imag**2
        np.sqrt(block, out=out[rows])
    return out
