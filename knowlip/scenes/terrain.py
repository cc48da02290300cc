"""Places corrected for relief by a height model (DEM): where the pixels of a radar image lie on the terrain.

A pixel is a time and a distance; on higher ground it lies further from the radar. A product is opened at three heights,
which gives the place of its pixels at any height: pixel = polynomial(x, y, height), as RPCs are, but fitted to what the
reader of the product knows (orbit, geolocation grid, RPCs). The model gives the height of each place.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from pyproj import CRS, Transformer
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.windows import Window

from knowlip.scenes.control import ControlPoints
from knowlip.scenes.errors import NoLocation
from knowlip.scenes.geometry import AffineGeometry, Geometry, apply, is_located
from knowlip.scenes.ground_range import GroundRangeUpdates
from knowlip.scenes.opening import GDAL_OPTIONS, open_raster
from knowlip.scenes.scene import Scene, SceneOverrides

Array = np.ndarray
_SIDE = 25
"""Points along each side of an image to which the polynomial is fitted, at each of three heights."""
_ORDER = 5
_MOST_PIXELS = 16_000_000
"""Of the part of a height model that is kept; a larger one is read at a lower resolution."""
_MARGIN = 0.02
_STEPS = 20
_SETTLED_M = 0.05
_GEOID_M = 5.0
"""Heights that would fit the product's own points better by more than this are told: a geoid's undulation shows so."""
_ONE_HEIGHT_M = 10.0
_SANE_M = (-600.0, 10_000.0)
"""Heights of land and of the sea's surface; lower ones are depths of water, or numbers that stand for no height."""
_METRES = {"": 1.0, "m": 1.0, "metre": 1.0, "meter": 1.0, "ft": 0.3048, "foot": 0.3048, "us-ft": 1200 / 3937}
_METRES |= {"metres": 1.0, "meters": 1.0, "feet": 0.3048, "us survey foot": 1200 / 3937, "ftus": 1200 / 3937}
"""Units of heights, in metres."""


@dataclass(frozen=True)
class HeightModel:
    """The part of a height model that a scene needs. Picklable: heights are read where they are used."""

    path: Path
    window: tuple[int, int, int, int]  # Column, row, width and height in the file.
    shape: tuple[int, int]  # Rows and columns that are kept of it.
    transform: Affine  # Of what is kept.
    crs: CRS
    offset_m: float = 0.0  # Added to its heights.
    vertical: str = ""  # Name of the surface that its CRS says they count from; "": it says none.

    @property
    def heights(self) -> Array:
        """(rows, columns) float32 in metres, holes filled with the height of their nearest neighbour."""
        return _heights(self.path, self.path.stat().st_mtime_ns, self.window, self.shape)[0]

    @property
    def filled(self) -> float:
        """Share of what is kept that is a hole."""
        return _heights(self.path, self.path.stat().st_mtime_ns, self.window, self.shape)[1]

    def at(self, x: Array, y: Array, crs: CRS) -> Array:
        """Heights in metres at places in `crs`, bilinear; beyond the model's border that of the border."""
        x, y = Transformer.from_crs(crs, self.crs, always_xy=True).transform(x, y)
        columns, rows = apply(~self.transform, np.asarray(x, float), np.asarray(y, float))
        heights = self.heights
        if not (np.all(np.isfinite(columns)) and np.all(np.isfinite(rows))):
            raise NoLocation(f"{self.path} does not reach where the scene lies.")
        c = np.clip(columns - 0.5, 0, heights.shape[1] - 1)
        r = np.clip(rows - 0.5, 0, heights.shape[0] - 1)
        left, top = np.floor(c).astype(int), np.floor(r).astype(int)
        right, low = np.minimum(left + 1, heights.shape[1] - 1), np.minimum(top + 1, heights.shape[0] - 1)
        u, v = c - left, r - top
        upper = heights[top, left] * (1 - u) + heights[top, right] * u
        lower = heights[low, left] * (1 - u) + heights[low, right] * u
        return np.asarray(upper * (1 - v) + lower * v + self.offset_m)


@dataclass(frozen=True, eq=False)
class TerrainGeometry:
    """Pixels <-> places on the terrain of a height model."""

    crs: CRS
    model: HeightModel
    center: Array  # (3,) of x, y and height, and `scale` (3,): what brings them to -1 to 1.
    scale: Array
    pixel_center: Array  # (2,) of column and row, and `pixel_scale` (2,).
    pixel_scale: Array
    to_pixel: Array  # (terms, 2)
    to_ground: Array  # (terms, 2)
    left_pixel: Array  # (25, 25, 2) column and row that the polynomial leaves over the image, and
    left_ground: Array  # (25, 25, 2) x and y: conversions to ground range change from line to line.
    residual_m: float
    mesh_px: int = 8  # Target pixels between which a resampler may interpolate places.
    updates: GroundRangeUpdates | None = None  # Where given, the polynomials are of steady columns.

    kind = "terrain"

    def pixel_of(self, x: Array, y: Array, height: Array) -> tuple[Array, Array]:
        """Column and row of places at given heights."""
        unit = (np.stack([x, y, height], axis=-1) - self.center) / self.scale
        found = _terms(unit) @ self.to_pixel * self.pixel_scale + self.pixel_center
        found = found + _bilinear(self.left_pixel, (found - self.pixel_center) / self.pixel_scale)
        columns, rows = found[..., 0], found[..., 1]
        return (columns if self.updates is None else self.updates.stored(columns, rows)), rows

    def ground_of(self, columns: Array, rows: Array, height: Array) -> tuple[Array, Array]:
        """x and y of pixels on ground of given heights."""
        if self.updates is not None:
            columns = self.updates.steady(columns, rows)
        pixel = (np.stack([columns, rows], axis=-1) - self.pixel_center) / self.pixel_scale
        level = (height - self.center[2]) / self.scale[2]
        found = _terms(np.concatenate([pixel, level[..., None]], axis=-1)) @ self.to_ground
        found = found * self.scale[:2] + self.center[:2] + _bilinear(self.left_ground, pixel)
        return found[..., 0], found[..., 1]

    def inverse(self, x: Array, y: Array) -> tuple[Array, Array]:
        x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
        return self.pixel_of(x, y, self.model.at(x, y, self.crs))

    def forward(self, columns: Array, rows: Array) -> tuple[Array, Array]:
        """Places that agree with the height of the model there; where several do (layover), one of them."""
        columns, rows = np.broadcast_arrays(np.asarray(columns, float), np.asarray(rows, float))
        height = np.full(columns.shape, self.center[2])
        share = 1.0
        for step in range(_STEPS):
            x, y = self.ground_of(columns, rows, height)
            found = self.model.at(x, y, self.crs)
            if np.all(np.abs(found - height) < _SETTLED_M):
                break
            # On slopes that face the radar full steps may swing: smaller ones settle.
            share = 1.0 if step < _STEPS // 2 else 0.5
            height = height + share * (found - height)
        return self.ground_of(columns, rows, height)


def _terms(unit: Array) -> Array:
    """(..., terms) monomials of the first two values up to `_ORDER` together, times the third up to its square."""
    x, y, h = unit[..., 0], unit[..., 1], unit[..., 2]
    flat = [x**i * y**j for i in range(_ORDER + 1) for j in range(_ORDER + 1 - i)]
    return np.stack([term * h**k for k in range(3) for term in flat], axis=-1)


def _bilinear(table: Array, at: Array) -> Array:
    """Values (..., 2) of a table (rows, columns, 2) over the image at places (..., 2) of column and row from -1 to 1;
    beyond it those of its border."""
    share = (np.clip(at, -1, 1) + 1) / 2 * (_SIDE - 1)
    low = np.minimum(np.floor(share).astype(int), _SIDE - 2)
    (column, row), (u, v) = np.moveaxis(low, -1, 0), np.moveaxis(share - low, -1, 0)
    u, v = u[..., None], v[..., None]
    upper = table[row, column] * (1 - u) + table[row, column + 1] * u
    lower = table[row + 1, column] * (1 - u) + table[row + 1, column + 1] * u
    return np.asarray(upper * (1 - v) + lower * v)


def over_terrain(scene: Scene, overrides: SceneOverrides, reopen: Callable[[float], Scene]) -> Scene:
    """The scene with its places on the terrain of `overrides.dem`.

    Args:
        scene: as the product states its places.
        overrides: names the height model.
        reopen: height above the ellipsoid -> the same scene, placed on ground of that height.

    Raises:
        NoLocation: the model cannot be used, or does not cover the scene.
    """
    path = Path(overrides.dem)
    if not is_located(scene.geometry):
        return _told(scene, f"{path.name} is not used: the place of the scene is unknown.")
    if isinstance(scene.geometry, AffineGeometry):
        return _told(scene, f"{path.name} is not used: the product lies on a map grid already.")
    rows, columns = scene.shape
    side = np.linspace(0, 1, _SIDE)
    across, down = (axis.ravel() for axis in np.meshgrid(side * columns, side * rows))
    lons, lats = scene.to_lonlat(across, down)
    model = open_model(path, lons, lats, overrides.dem_offset_m)
    local = CRS.from_proj4(
        f"+proj=aeqd +lat_0={scene.center[1]:.4f} +lon_0={scene.center[0]:.4f} +datum=WGS84 +units=m"
    )
    heights = model.heights + model.offset_m
    low, high = float(heights.min()), float(heights.max())
    levels = np.array([low, (low + high) / 2, high]) if high - low > 10 else np.array([low - 50, low, low + 50])
    flat = [reopen(float(level)) for level in levels]
    points = flat[0].geometry
    updates = points.updates if isinstance(points, ControlPoints) else None
    # The lattice is one of columns in which places are smooth.
    stored = across if updates is None else updates.stored(across, down)
    placed = [_places(one, stored, down, local) for one in flat]
    if max(np.abs(placed[0] - placed[2]).max(axis=1)) < 1e-3:
        return _told(scene, f"{path.name} is not used: the product states its places at no height but its own.")
    geometry = _fitted(across, down, levels, placed, local, model, scene, updates)
    return _with_residual(scene, geometry, stored, down)


def open_model(path: Path, lons: Array, lats: Array, offset_m: float) -> HeightModel:
    """The part of a height model around given places (N,).

    Raises:
        NoLocation: it is no raster on a map, or does not reach all places.
    """
    try:
        with rasterio.Env(**GDAL_OPTIONS), open_raster(path) as file:
            if file.crs is None or file.transform.is_identity:
                raise NoLocation(f"{path} has no coordinate reference system, so it is no height model of a place.")
            full, transform = CRS.from_user_input(file.crs.to_wkt()), file.transform
            width, height = file.width, file.height
            if file.count != 1 or np.dtype(file.dtypes[0]).kind not in "iuf":
                raise NoLocation(
                    f"{path} has {file.count} bands of {file.dtypes[0]}; a height model is one band of heights in "
                    "metres (gdal_translate -b 1)."
                )
            _to_metres(file, full, path)
    except (RasterioError, OSError) as error:
        raise NoLocation(f"{path} cannot be opened as a height model ({error}).") from error
    vertical = full.sub_crs_list[1].name if full.is_compound else ""
    crs = full.to_2d()
    x, y = Transformer.from_crs(4326, crs, always_xy=True).transform(lons, lats)
    columns, rows = apply(~transform, np.asarray(x, float), np.asarray(y, float))
    inside = (columns >= 0) & (columns <= width) & (rows >= 0) & (rows <= height)
    if not inside.all():
        raise NoLocation(
            f"{path} covers {inside.mean():.0%} of the scene; it must cover all of it: merge its tiles first."
        )
    # Relief moves places, so a margin is kept around them.
    edge = _MARGIN * max(float(np.ptp(columns)), float(np.ptp(rows))) + 50
    left, top = max(math.floor(columns.min() - edge), 0), max(math.floor(rows.min() - edge), 0)
    right, bottom = min(math.ceil(columns.max() + edge), width), min(math.ceil(rows.max() + edge), height)
    step = max(1.0, math.sqrt((right - left) * (bottom - top) / _MOST_PIXELS))
    shape = max(1, round((bottom - top) / step)), max(1, round((right - left) / step))
    part = transform @ Affine.translation(left, top)
    part = part @ Affine.scale((right - left) / shape[1], (bottom - top) / shape[0])
    return HeightModel(path, (left, top, right - left, bottom - top), shape, part, crs, offset_m, vertical)


def _to_metres(file: Any, crs: CRS, path: Path) -> tuple[float, float]:
    """Factor and summand that make metres of the stored heights: the band's scale, offset and unit, or that of the CRS.

    Raises:
        NoLocation: it states another unit than metres and feet.
    """
    stated = (file.units[0] or "").strip().lower()
    unit = _METRES.get(stated, math.nan)
    if not stated and crs.is_compound:
        unit = crs.sub_crs_list[1].axis_info[0].unit_conversion_factor
    if not math.isfinite(unit * file.scales[0] * file.offsets[0]):
        raise NoLocation(f"{path} states its heights in {stated or 'numbers without a scale'}; metres are needed.")
    return unit * file.scales[0], unit * file.offsets[0]


@lru_cache(maxsize=2)
def _heights(
    path: Path, changed: int, window: tuple[int, int, int, int], shape: tuple[int, int]
) -> tuple[Array, float]:
    """Heights of a window, and the share of it that held none. `changed`: time of the file's last change."""
    try:
        with rasterio.Env(**GDAL_OPTIONS), open_raster(path) as file:
            values = file.read(1, window=Window(*window), out_shape=shape, masked=True, resampling=Resampling.bilinear)
            factor, summand = _to_metres(file, CRS.from_user_input(file.crs.to_wkt()), path)
    except (RasterioError, OSError) as error:
        raise NoLocation(f"{path} cannot be read as a height model ({error}).") from error
    heights = np.asarray(
        values.filled(np.nan) if values.dtype.kind == "f" else values.astype("f4").filled(np.nan), "f4"
    )
    heights = heights * np.float32(factor) + np.float32(summand)
    holes = ~np.isfinite(heights) | (heights < _SANE_M[0]) | (heights > _SANE_M[1])
    if holes.all():
        raise NoLocation(f"{path} holds no height where the scene lies.")
    if holes.any():
        from scipy.ndimage import distance_transform_edt

        nearest = distance_transform_edt(holes, return_distances=False, return_indices=True)
        heights = heights[tuple(nearest)]
    heights.setflags(write=False)
    return heights, float(holes.mean())


def _places(scene: Scene, columns: Array, rows: Array, crs: CRS) -> Array:
    """(N, 2) x and y in `crs` of pixels."""
    to_local = Transformer.from_crs(scene.crs, crs, always_xy=True)
    places = np.column_stack(to_local.transform(*scene.geometry.forward(columns, rows)))
    if not np.all(np.isfinite(places)):
        raise NoLocation(f"{scene.path} cannot be placed at the heights of the height model.")
    return places


def _fitted(
    columns: Array,
    rows: Array,
    levels: Array,
    placed: list[Array],
    crs: CRS,
    model: HeightModel,
    scene: Scene,
    updates: GroundRangeUpdates | None,
) -> TerrainGeometry:
    """Polynomials through the places at three heights; `columns` are steady ones where there are updates."""
    ground = np.concatenate([np.column_stack([xy, np.full(len(xy), h)]) for xy, h in zip(placed, levels)])
    pixels = np.tile(np.column_stack([columns, rows]), (3, 1))
    center, scale = (ground.max(axis=0) + ground.min(axis=0)) / 2, np.ptp(ground, axis=0) / 2
    pixel_center, pixel_scale = pixels.mean(axis=0), np.ptp(pixels, axis=0) / 2
    unit, pixel_unit = (ground - center) / scale, (pixels - pixel_center) / pixel_scale
    to_pixel = np.linalg.lstsq(_terms(unit), pixel_unit, rcond=None)[0]
    both = np.column_stack([pixel_unit, unit[:, 2]])
    to_ground = np.linalg.lstsq(_terms(both), unit[:, :2], rcond=None)[0]
    missed = (_terms(both) @ to_ground - unit[:, :2]) * scale[:2]
    # What the polynomials leave at all heights alike is kept as a table; the rest is their residual.
    left_ground = -missed.reshape(3, _SIDE, _SIDE, 2).mean(axis=0)
    missed = missed + np.tile(left_ground.reshape(-1, 2), (3, 1))
    left = (pixel_unit - _terms(unit) @ to_pixel) * pixel_scale
    left_pixel = left.reshape(3, _SIDE, _SIDE, 2).mean(axis=0)
    fit_m = float(np.sqrt(np.mean(np.sum(missed**2, axis=1))))
    own = scene.pixel_size_m
    step = abs(model.transform.determinant) ** 0.5 * (111_000.0 if model.crs.is_geographic else 1.0)
    mesh = 2 ** int(np.clip(round(math.log2(max(step / max(own), 1))), 2, 6))
    tables = to_pixel, to_ground, left_pixel, left_ground
    return TerrainGeometry(
        crs, model, center, scale, pixel_center, pixel_scale, *tables, residual_m=fit_m, mesh_px=mesh, updates=updates
    )


def _with_residual(scene: Scene, geometry: TerrainGeometry, columns: Array, rows: Array) -> Scene:
    """The scene with its new geometry, and what is known of its error: how far the places as stated were from the
    terrain, and how the product's own points, where it has some on the terrain, are met now."""
    before = _places(scene, columns, rows, geometry.crs)
    after = np.column_stack(geometry.forward(columns, rows))
    moved = np.linalg.norm(before - after, axis=1)
    # What the model changes is told first, then whether the product itself agrees with it.
    notes = [
        f"Relief by {geometry.model.path.name} ({geometry.model.heights.min() + geometry.model.offset_m:.0f} to "
        f"{geometry.model.heights.max() + geometry.model.offset_m:.0f} m above the ellipsoid): places move by "
        f"{math.sqrt(float(np.mean(moved**2))):.1f} m (RMS), {moved.max():.0f} m at most."
    ]
    met = _met(scene.geometry, geometry)
    residual = geometry.residual_m
    if met is None:
        notes.append("The product has no points on the terrain, so its residual says nothing of the model's own error.")
    else:
        missed, higher = met
        residual = max(residual, missed)
        stated = f"Its own points on the terrain, which missed each other by {scene.geometry.residual_m:.1f} m"
        notes.append(f"{stated}, are met within {missed:.1f} m (RMS).")
        if abs(higher) > _GEOID_M:
            notes.append(
                f"They would be met best with heights {higher:+.0f} m: where the model counts from the geoid, say its "
                f"undulation by --read.dem_offset_m {higher + geometry.model.offset_m:.0f}."
            )
    if geometry.model.filled > 0:
        notes.append(f"{geometry.model.filled:.1%} of the height model held none: the nearest height is taken there.")
    if geometry.model.offset_m == 0 and geometry.model.vertical:
        notes.append(
            f"By its CRS its heights count from {geometry.model.vertical}: where that is a geoid, say its undulation "
            "by --read.dem_offset_m; they are taken as above the ellipsoid."
        )
    elif geometry.model.offset_m == 0 and not any("dem_offset_m" in note for note in notes):
        notes.append("Its heights are taken as above the ellipsoid (--read.dem_offset_m 0).")
    kept = tuple(note for note in scene.notes if not note.startswith(("Relief between", "Placed by its orbit at one")))
    sources = (*(scene.sources or (scene.path,)), geometry.model.path)
    return replace(scene, geometry=replace(geometry, residual_m=residual), notes=kept + tuple(notes), sources=sources)


def _met(points: Geometry, geometry: TerrainGeometry) -> tuple[float, float] | None:
    """How closely the product's own points on the terrain are met (RMS, metres), and how much higher the ground would
    have to be for them to be met best; None where it has none: points at one height say nothing of the terrain."""
    if not isinstance(points, ControlPoints):
        return None
    to_local = Transformer.from_crs(4326, geometry.crs, always_xy=True)
    x, y = (np.asarray(axis) for axis in to_local.transform(points.lons, points.lats))
    height = geometry.model.at(x, y, geometry.crs)
    columns, rows = points.columns, points.rows
    if geometry.updates is not None:
        columns = geometry.updates.stored(geometry.updates.at_updates(columns, rows), rows)
    found, other = (np.column_stack(geometry.ground_of(columns, rows, height + d)) for d in (0.0, 1.0))
    left, slope = np.column_stack([x, y]) - found, other - found
    along = np.sum(left * slope, axis=1) / np.maximum(np.sum(slope**2, axis=1), 1e-12)
    if np.ptp(height + along) < _ONE_HEIGHT_M:
        return None
    missed = math.sqrt(float(np.mean(np.sum(left**2, axis=1))))
    return missed, float(np.median(along))


def _told(scene: Scene, note: str) -> Scene:
    return replace(scene, notes=(*scene.notes, note))


def geometry_mesh(geometry: Geometry, most: int) -> int:
    """Target pixels between which places may be interpolated: fewer where they follow relief."""
    return min(most, geometry.mesh_px) if isinstance(geometry, TerrainGeometry) else most
