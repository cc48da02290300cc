"""Geolocation grids of products: whether they belong to the image, and what relief does to them.

A product's grid gives the place of a pixel on the terrain. Terrain that is higher lies further from the radar at the
same slant range, so over mountains neighbouring points jump by more than pixels. At one height a good grid is smooth.
"""

from pathlib import Path

import numpy as np
from pyproj import Geod

from knowlip.scenes.errors import DamagedProduct

_GEOD = Geod(ellps="WGS84")


def require_inside(columns: np.ndarray, rows: np.ndarray, shape: tuple[int, int], path: Path) -> None:
    """Raises:
    DamagedProduct: the middle of the image is not among the points of its grid, so that places would be extrapolated.
    """
    for places, extent in ((columns, shape[1]), (rows, shape[0])):
        if not places.min() <= extent / 2 <= places.max():
            raise DamagedProduct(f"{path}: the geolocation grid lies beside the image ({extent} pixels).")


def to_height(
    columns: np.ndarray, rows: np.ndarray, lons: np.ndarray, lats: np.ndarray, heights: np.ndarray,
    incidence_deg: np.ndarray, slant_range_m: np.ndarray, look_azimuth_deg: float, height_m: float,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Longitudes and latitudes at which the pixels would be seen on a surface of constant height.

    Args:
        columns: (N,) pixel columns of the points, away from the radar or towards it.
        rows: (N,) pixel rows; points of one row lie on one line of sight.
        lons: (N,) degrees.
        lats: (N,) degrees.
        heights: (N,) of the terrain above the ellipsoid.
        incidence_deg: (N,) incidence angles on the ellipsoid.
        slant_range_m: (N,) distances from the radar.
        look_azimuth_deg: direction the radar looks towards.
        height_m: of the surface.
    """
    angle = np.radians(incidence_deg)
    above = slant_range_m * np.cos(angle) + heights - height_m
    shift = np.sqrt(np.maximum(slant_range_m**2 - above**2, 0)) - slant_range_m * np.sin(angle)
    azimuth = np.full(len(lons), look_azimuth_deg)
    for row in np.unique(rows):
        line = np.flatnonzero(rows == row)
        line = line[np.argsort(columns[line])]
        if len(line) > 1:
            # Shifts go along the line of sight, so its direction is seen in spite of them.
            before, after = line[np.maximum(np.arange(len(line)) - 1, 0)], np.append(line[1:], line[-1])
            azimuth[line] = _GEOD.inv(lons[before], lats[before], lons[after], lats[after])[0]
    azimuth = np.where(np.cos(np.radians(azimuth - look_azimuth_deg)) < 0, azimuth + 180, azimuth)
    moved_lons, moved_lats, _ = _GEOD.fwd(lons, lats, azimuth, shift)
    return np.asarray(moved_lons), np.asarray(moved_lats)


def relief_note(heights: np.ndarray, residual_m: float, pixel_m: float) -> tuple[str, ...]:
    """A sentence where relief displaces pixels by more than one of them, else nothing."""
    if residual_m <= pixel_m or np.ptp(heights) < 1:
        return ()
    return (
        f"Relief between the points of the geolocation grid ({heights.min():.0f} to {heights.max():.0f} m) displaces "
        f"pixels by {residual_m:.0f} m (RMS).",
    )
