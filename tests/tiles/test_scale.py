"""Scale is true: the same ground seen by two sensors gives the same window, non-integer windows keep their transform,
and windows stay square metres at the antimeridian and near the poles."""

import numpy as np
import pytest
from affine import Affine
from pyproj import Geod, Transformer
from shapely import from_wkb

from knowlip.dataset import Dataset
from knowlip.scenes import open_scene
from knowlip.tiles.build import BuildConfig, build
from knowlip.tiles.ground import Ground
from knowlip.tiles.quality import QualityConfig
from knowlip.tiles.resample import levels_of
from knowlip.tiles.windows import plan_roots
from tests.tiles.rasters import speckle, write_scene

GEOD = Geod(ellps="WGS84")
EVERYTHING = QualityConfig(min_std=0.0, min_entropy=0.0, min_edge=0.0, min_good=0.0)


def built(path, out, **changes):
    config = BuildConfig([path], out, tile_px=64, workers=1, quality=EVERYTHING, **changes)
    build(config)
    return Dataset(out)


def ground_edges(row):
    """Geodesic lengths in metres of the four sides of a tile, from its transform and CRS alone."""
    step, _, left, _, _, top = row["proj:transform"]
    side = step * row["proj:shape"][0]
    x, y = [left, left + side, left + side, left, left], [top, top, top - side, top - side, top]
    lons, lats = Transformer.from_crs(row["proj:code"], 4326, always_xy=True).transform(x, y)
    return GEOD.inv(lons[:-1], lats[:-1], lons[1:], lats[1:])[2]


@pytest.mark.parametrize(("lon", "lat"), [(0.2, 0.5), (31.0, 31.0), (10.0, 60.0), (-179.999, 12.0), (40.0, 85.0)])
def test_tiles_are_square_metres_wherever_they_lie(tmp_path, lon, lat):
    """A scene in degrees, whose pixels are anything but square: sides within 0.2 % of nominal, also across the
    antimeridian and 5 degrees from the pole."""
    step_y = 10 / 111320
    step_x = step_y / np.cos(np.radians(lat))
    transform = Affine(step_x, 0, lon - 80 * step_x, 0, -step_y, lat + 80 * step_y)
    path = write_scene(tmp_path / "a.tif", speckle((160, 160)), crs="EPSG:4326", transform=transform)
    rows = built(path, tmp_path / "out").index.to_dict("records")
    assert len(rows) >= 21
    for row in rows:
        np.testing.assert_allclose(ground_edges(row), row["window_m"], rtol=0.002)
        assert row["metres_per_pixel"] == row["window_m"] / 64


def test_footprints_across_the_antimeridian(tmp_path):
    """A tile on both sides of 180 degrees is two polygons that together have its area."""
    step = 1e-4
    transform = Affine(step, 0, 179.985, 0, -step, 1.015)
    path = write_scene(tmp_path / "a.tif", speckle((300, 300)), crs="EPSG:4326", transform=transform)
    rows = built(path, tmp_path / "out").table.to_pylist()
    shapes = {row["tile_id"]: from_wkb(row["geometry"]) for row in rows}
    split = [name for name, shape in shapes.items() if shape.geom_type == "MultiPolygon"]
    assert split, "some tile lies on both sides"
    for row in rows:
        shape = shapes[row["tile_id"]]
        area = abs(GEOD.geometry_area_perimeter(shape)[0])
        assert area == pytest.approx(row["window_m"] ** 2, rel=0.004)
        west, _, east, _ = shape.bounds
        assert -180 <= west <= east <= 180
        assert (east - west > 359) == (row["tile_id"] in split)
        assert -180 <= row["lon"] <= 180


@pytest.mark.parametrize("pixels", [(1.0, 3.0), (0.7, 2.5), (10.0, 30.0)])
def test_two_sensors_show_the_same_ground(tmp_path, pixels):
    """Two sensors of different pixel spacing, grids shifted by parts of a pixel: windows of the same sides and place,
    and in them the same ground: a smooth surface known in closed form."""
    scale = max(pixels)
    sizes = (341.0 * scale / 3 * 2, 341.0 * scale / 3, 341.0 * scale / 6)
    found = []
    for number, pixel in enumerate(pixels):
        side = round(1.3 * 2 * sizes[0] / pixel)
        left, top = 600000 + 0.31 * pixel, 5750000 - 0.77 * pixel
        x = left + (np.arange(side) + 0.5) * pixel
        y = top - (np.arange(side) + 0.5) * pixel
        wave = np.sin((x[None, :] - 600000) / sizes[0] * 7) * np.cos((5750000 - y[:, None]) / sizes[0] * 5)
        power = (10 + 8 * wave).astype(np.float32)
        tags = {"KNOWLIP_UNITS": "intensity"}
        path = write_scene(tmp_path / f"{number}.tif", power, pixel=pixel, left=left, top=top, tags=tags)
        ground = Ground(open_scene(path))
        roots = plan_roots(ground, "a", sizes, anchor="utm")
        found.append({(root.left, root.top): (root, levels_of(ground, root, 32)) for root in roots})
    fine, coarse = found
    assert set(fine) & set(coarse)
    for place in set(fine) & set(coarse):
        (one, of_fine), (other, of_coarse) = fine[place], coarse[place]
        assert one.side == pytest.approx(other.side, rel=0.002)
        for a, b in zip(of_fine, of_coarse):
            both = a.valid & b.valid
            assert both.mean() > 0.85
            assert np.abs(a.power - b.power)[both].max() < 0.12, "power runs from 2 to 18"


def test_non_integer_windows_keep_their_transform(tmp_path):
    """1024 m at 3 m are 341.33 pixels: stored as such, and the last tile of a row lies where its transform says."""
    values = np.ones((350, 3500), np.float32) + np.arange(3500, dtype=np.float32)[None, :] / 100
    path = write_scene(tmp_path / "a.tif", values, pixel=3.0, tags={"KNOWLIP_UNITS": "intensity"})
    rows = built(path, tmp_path / "out").index.sort_values("tile_id")
    large = rows[rows["scale"] == "large"]
    assert set(large["native_px"]) == {round(1024 / 3, 4)}
    lefts = np.array([transform[2] for transform in large["proj:transform"]])
    np.testing.assert_array_equal(np.diff(lefts), 1024.0)
    ground = Ground(open_scene(path))
    last = plan_roots(ground, "a", (1024.0, 512.0, 256.0))[-1]
    assert last.left == lefts[-1]
    level = levels_of(ground, last, 64)[0]
    x = (last.left + (np.arange(64) + 0.5) * 16 - 600000) / 3
    np.testing.assert_allclose(level.power.mean(axis=0), 1 + (x - 0.5) / 100, rtol=1e-5)


@pytest.mark.parametrize("overlap", [0.25, 0.5])
def test_overlapping_windows(tmp_path, overlap):
    path = write_scene(tmp_path / "a.tif", speckle((512, 768)), pixel=1.0)
    rows = built(path, tmp_path / "out", windows_m=(256.0, 128.0, 64.0), overlap=overlap).index
    large = rows[rows["scale"] == "large"]
    lefts = sorted({transform[2] for transform in large["proj:transform"]})
    np.testing.assert_array_equal(np.diff(lefts), 256 * (1 - overlap))
    assert len(rows) == 21 * len(large) == len(set(rows["tile_id"]))
    assert rows["split"].nunique() == 1, "tiles that overlap are never parted"
