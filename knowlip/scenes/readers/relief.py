"""Geolocation grids of products: whether they belong to the image, and what relief does to them.

A product's grid gives the place of a pixel on the terrain. Terrain that is higher lies further from the radar at the
same slant range, so over mountains neighbouring points jump by more than pixels. At one height a good grid is smooth.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from knowlip.scenes.errors import DamagedProduct
from knowlip.scenes.geometry import GEOD

Array = np.ndarray


def require_inside(columns: Array, rows: Array, shape: tuple[int, int], path: Path) -> None:
    """Refuse a grid among whose points the middle of the image is not: places would be extrapolated."""
    for places, extent in ((columns, shape[1]), (rows, shape[0])):
        if not places.min() <= extent / 2 <= places.max():
            raise DamagedProduct(f"{path}: the geolocation grid lies beside the image ({extent} pixels).")


@dataclass(frozen=True)
class TerrainPoints:
    """Points of a product whose place on the terrain is known. All arrays (N,)."""

    columns: Array  # Pixel columns, away from the radar or towards it.
    rows: Array  # Pixel rows; points of one row lie on one line of sight.
    lons: Array
    lats: Array
    heights: Array  # Of the terrain above the ellipsoid, metres.
    incidence_deg: Array  # Incidence angles on the ellipsoid.
    slant_range_m: Array  # Distances from the radar.


def to_height(points: TerrainPoints, look_azimuth_deg: float, height_m: float) -> tuple[Array, Array]:
    """Longitudes and latitudes (N,) at which the pixels would be seen on a surface of constant height, by a radar that
    looks towards `look_azimuth_deg`."""
    lons, lats, rows, slant_range_m = points.lons, points.lats, points.rows, points.slant_range_m
    angle = np.radians(points.incidence_deg)
    above = slant_range_m * np.cos(angle) + points.heights - height_m
    shift = np.sqrt(np.maximum(slant_range_m**2 - above**2, 0)) - slant_range_m * np.sin(angle)
    azimuth = np.full(len(lons), look_azimuth_deg)
    for row in np.unique(rows):
        line = np.flatnonzero(rows == row)
        line = line[np.argsort(points.columns[line])]
        if len(line) > 1:
            # Shifts go along the line of sight, so its direction is seen in spite of them.
            before, after = line[np.maximum(np.arange(len(line)) - 1, 0)], np.append(line[1:], line[-1])
            azimuth[line] = GEOD.inv(lons[before], lats[before], lons[after], lats[after])[0]
    azimuth = np.where(np.cos(np.radians(azimuth - look_azimuth_deg)) < 0, azimuth + 180, azimuth)
    moved_lons, moved_lats, _ = GEOD.fwd(lons, lats, azimuth, shift)
    return np.asarray(moved_lons), np.asarray(moved_lats)


def relief_note(heights: np.ndarray, residual_m: float, pixel_m: float) -> tuple[str, ...]:
    """A sentence where relief displaces pixels by more than one of them, else nothing."""
    if residual_m <= pixel_m or np.ptp(heights) < 1:
        return ()
    where = f"Relief between the points of the geolocation grid ({heights.min():.0f} to {heights.max():.0f} m)"
    return (f"{where} displaces pixels by {residual_m:.0f} m (RMS).",)
