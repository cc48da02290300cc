"""Places on the terrain of a height model against a circular orbit over an analytic hill, solved point by point."""

import os
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio
from affine import Affine
from pyproj import Transformer
from rasterio.windows import Window
from scipy.optimize import brentq

from knowlip.scenes import SceneOverrides, open_scenes
from knowlip.scenes.errors import NoLocation
from knowlip.scenes.geometry import GEOD
from knowlip.scenes.readers import sentinel1_annotation
from knowlip.scenes.readers.sentinel1_bursts import read_bursts
from knowlip.scenes.xml import read_xml
from knowlip.tiles.ground import Ground
from tests.scenes import test_nisar_slc as nisar
from tests.scenes.products import radarsat
from tests.scenes.products.orbits import Circle
from tests.scenes.products.tiffs import write_tiff

UTM = Transformer.from_crs(4326, 32611, always_xy=True)
STEP = 10.0
VENDOR = Path(os.environ.get("KNOWLIP_VENDOR", "/nowhere"))


def hill(x, y, base=100.0, top=700.0):
    """Metres above the ellipsoid at places of the map."""
    x_0, y_0 = UTM.transform(nisar.LON, nisar.LAT)
    return base + top * np.exp(-((x - x_0) ** 2 + (y - y_0) ** 2) / (2 * 900.0**2))


def model(path, height=hill, hole=False, shift=0.0, extent=400, crs="EPSG:32611"):
    x_0, y_0 = UTM.transform(nisar.LON, nisar.LAT)
    left, top = x_0 - extent * STEP, y_0 + extent * STEP
    x, y = np.meshgrid(left + STEP * (np.arange(2 * extent) + 0.5), top - STEP * (np.arange(2 * extent) + 0.5))
    values = (height(x, y) + shift).astype(np.float32)
    if hole:
        values[390:400, 390:400] = -9999
    write_tiff(path, values[None], crs=crs, transform=Affine(STEP, 0, left, 0, -STEP, top), nodata=-9999)
    return str(path)


def radar_pixel(side, lon, lat, height):
    """Column and row at which the orbit of the test product sees a place."""
    circle = Circle(nisar.LON, nisar.LAT, side=side)
    time = 0.0
    for _ in range(12):
        time += circle.range_and_rate(time, nisar.LON, nisar.LAT, 0.0)[1] / 97.0
    first, near = (
        time - (nisar.SHAPE[0] - 1) / 2 * nisar.LINE,
        circle.range_and_rate(time, nisar.LON, nisar.LAT, 0.0)[0] - 400.0,
    )
    at = brentq(lambda t: circle.range_and_rate(t, lon, lat, height)[1], time - 2, time + 2, xtol=1e-12)
    distance = circle.range_and_rate(at, lon, lat, height)[0]
    return (distance - near) / nisar.SPACING + 0.5, (at - first) / nisar.LINE + 0.5


@pytest.mark.parametrize("side", ["left", "right"])
def test_ground_is_seen_where_the_orbit_sees_it(tmp_path, side):
    path, _ = nisar.make(tmp_path, side=side)
    dem = model(tmp_path / "dem.tif")
    plain = open_scenes(path)[0]
    (scene,) = open_scenes(path, SceneOverrides(dem=dem))
    assert scene.geometry.kind == "terrain"
    random = np.random.default_rng(0)
    x_0, y_0 = UTM.transform(nisar.LON, nisar.LAT)
    x, y = x_0 + random.uniform(-500, 500, 12), y_0 + random.uniform(-200, 200, 12)
    lons, lats = UTM.transform(x, y, direction="INVERSE")
    expected = np.array([radar_pixel(side, *place) for place in zip(lons, lats, hill(x, y))])
    to_local = Transformer.from_crs(4326, scene.crs, always_xy=True)
    columns, rows = scene.geometry.inverse(*to_local.transform(lons, lats))
    # Within a fifth of a pixel of the closed form; as stated, at the height of the ellipsoid, by many pixels.
    assert np.abs(np.column_stack([columns, rows]) - expected).max() < 0.2
    wrong = plain.geometry.inverse(*Transformer.from_crs(4326, plain.crs, always_xy=True).transform(lons, lats))
    assert np.abs(wrong[0] - expected[:, 0]).min() > 20
    # And back again, where no layover makes several places of one pixel.
    back = scene.to_lonlat(columns, rows)
    assert np.max(GEOD.inv(*back, lons, lats)[2]) < 0.5
    assert any("places move by" in note for note in scene.notes)
    assert any("as above the ellipsoid" in note for note in scene.notes)
    assert any("says nothing of the model's own error" in note for note in scene.notes)
    assert tmp_path / "dem.tif" in scene.sources


def test_tiles_are_cut_on_the_terrain_in_other_processes_too(tmp_path):
    path, _ = nisar.make(tmp_path)
    (scene,) = open_scenes(path, SceneOverrides(dem=model(tmp_path / "dem.tif")))
    view = Ground(pickle.loads(pickle.dumps(scene)))
    rows, columns = view.shape
    valid = view.read(Window(0, 0, columns, rows))[1]
    assert valid.mean() > 0.3
    # The place of the strongest seen pixel of the grid goes back to the radar pixel that holds it.
    row, column = np.argwhere(valid)[len(np.argwhere(valid)) // 2]
    x, y = view.transform @ (column + 0.5, row + 0.5)
    lon, lat = Transformer.from_crs(view.crs, 4326, always_xy=True).transform(x, y)
    c, r = radar_pixel("left", lon, lat, hill(*UTM.transform(lon, lat)))
    found = scene.geometry.inverse(*Transformer.from_crs(4326, scene.crs, always_xy=True).transform([lon], [lat]))
    assert abs(found[0][0] - c) < 0.3
    assert abs(found[1][0] - r) < 0.3


def test_the_products_own_points_tell_of_a_geoid(tmp_path):
    """Tie points on a hill of 80 m; a model 30 m too low is noticed, and the right one meets them."""
    product = radarsat.make(tmp_path / "p", relief=80.0)
    to_map = Transformer.from_crs(4326, 32620, always_xy=True)
    (plain,) = open_scenes(product.path)
    points = plain.geometry
    rows, columns = np.meshgrid(np.linspace(-20, 200, 60), np.linspace(-20, 240, 60), indexing="ij")
    heights = radarsat.HEIGHT + 80.0 * np.exp(-((rows - 90.5) ** 2 + (columns - 110.5) ** 2) / 30**2)
    lons, lats = product.truth(columns.ravel(), rows.ravel(), heights.ravel())
    x, y = to_map.transform(lons, lats)
    from scipy.interpolate import LinearNDInterpolator

    left, top = x.min(), y.max()
    grid_x, grid_y = np.meshgrid(
        left + 10 * (np.arange(int(np.ptp(x) / 10)) + 0.5), top - 10 * (np.arange(int(np.ptp(y) / 10)) + 0.5)
    )
    surface = LinearNDInterpolator(np.column_stack([x, y]), heights.ravel(), fill_value=radarsat.HEIGHT)(grid_x, grid_y)
    grid = {"crs": "EPSG:32620", "transform": Affine(10, 0, left, 0, -10, top)}
    write_tiff(tmp_path / "right.tif", surface[None].astype(np.float32), **grid)
    write_tiff(tmp_path / "low.tif", surface[None].astype(np.float32) - 30, **grid)
    (right,) = open_scenes(product.path, SceneOverrides(dem=str(tmp_path / "right.tif")))
    (low,) = open_scenes(product.path, SceneOverrides(dem=str(tmp_path / "low.tif")))
    assert right.geometry.residual_m < 0.5 * points.residual_m
    assert low.geometry.residual_m > 25
    assert any("dem_offset_m" in note and "+3" in note for note in low.notes)
    assert not any("best with heights" in note for note in right.notes)
    assert not any("Relief between" in note for note in right.notes)
    mended = SceneOverrides(dem=str(tmp_path / "low.tif"), dem_offset_m=30.0)
    assert open_scenes(product.path, mended)[0].geometry.residual_m == pytest.approx(right.geometry.residual_m, abs=0.1)


def hills_over(scenes, path, base, count):
    """A height model with steep hills up to 2,000 m over scenes: its file, and (rows, columns) lon, lat and heights."""
    bounds = np.array([one.footprint.bounds for one in scenes])
    (west, south), (east, north) = bounds[:, :2].min(axis=0) - 0.15, bounds[:, 2:].max(axis=0) + 0.15
    step, random = 0.001, np.random.default_rng(0)
    x, y = np.meshgrid(np.arange(west, east, step) + step / 2, np.arange(north, south, -step) - step / 2)
    heights = np.full(x.shape, base, np.float32)
    for _ in range(count):
        lon, lat, wide, high = random.uniform([west, south, 0.02, 400], [east, north, 0.06, 2000])
        far = ((x - lon) * np.cos(np.radians(lat))) ** 2 + (y - lat) ** 2
        heights = np.maximum(heights, base + high * np.exp(-far / 2 / wide**2)).astype(np.float32)
    write_tiff(path, heights[None], crs="EPSG:4326", transform=Affine(step, 0, west, 0, -step, north))
    return path, (x, y, heights)


@pytest.mark.skipif(not VENDOR.is_dir(), reason="KNOWLIP_VENDOR does not name a folder with real metadata")
def test_sarsen_finds_ground_in_the_same_pixels(tmp_path):
    """A public terrain correction on the orbit and times of a real Sentinel-1 SLC: of made hills of 2,000 m each
    place lies within a pixel of where sarsen's zero-Doppler solution has it."""
    xr = pytest.importorskip("xarray", reason="xarray is not installed")
    sarsen = pytest.importorskip("sarsen.apps", reason="sarsen is not installed")
    from sarsen import orbit, scene
    from xarray_sentinel import open_sentinel1_dataset

    safe = next(VENDOR.rglob("S1A_IW_SL1__1_SH_20141031T095929*.SAFE"))
    plain = open_scenes(safe)
    dem, (x, y, heights) = hills_over(plain, tmp_path / "dem.tif", 40.0, 100)
    ours = open_scenes(safe, SceneOverrides(dem=str(dem)))[1]
    part = slice(50, -50, 20), slice(50, -50, 20)
    grid = xr.DataArray(heights[part], dims=("y", "x"), coords={"y": y[part][:, 0], "x": x[part][0]})
    vectors = open_sentinel1_dataset(str(safe), group="IW2/HH/orbit")
    found = sarsen.simulate_acquisition(
        scene.convert_to_dem_ecef(grid.rio.write_crs(4326)),
        orbit.OrbitPolyfitInterpolator.from_position(vectors.position),
    )
    root = read_xml(next(safe.glob("annotation/*iw2*.xml")))
    image = sentinel1_annotation.read_image(root, "IW2")
    bursts = read_bursts(root, image.first_line, image.line_seconds, image.shape[0], "IW2")
    after = (found.azimuth_time.values - np.datetime64(image.first_line.replace(tzinfo=None))) / np.timedelta64(1, "ns")
    rows = after * 1e-9 / image.line_seconds - (bursts.offset if bursts else 0) + 0.5
    near = float(root.findtext("imageAnnotation/imageInformation/slantRangeTime") or "nan")
    rate = float(root.findtext("generalAnnotation/productInformation/rangeSamplingRate") or "nan")
    columns = (found.slant_range_time.values - near) * rate + 0.5
    inside = (columns > 50) & (columns < ours.shape[1] - 50) & (rows > 50) & (rows < ours.shape[0] - 50)
    to_local = Transformer.from_crs(4326, ours.crs, always_xy=True)
    at = ours.geometry.inverse(*to_local.transform(x[part][inside], y[part][inside]))
    assert inside.sum() > 5000
    assert np.abs(at[0] - columns[inside]).max() < 1
    assert np.abs(at[1] - rows[inside]).max() < 1
    # Without the model, by hundreds of pixels.
    to_plain = Transformer.from_crs(4326, plain[1].crs, always_xy=True)
    flat = plain[1].geometry.inverse(*to_plain.transform(x[part][inside], y[part][inside]))
    assert np.abs(flat[0] - columns[inside]).max() > 300


@pytest.mark.skipif(not VENDOR.is_dir(), reason="KNOWLIP_VENDOR does not name a folder with real metadata")
def test_sarsen_finds_ground_in_the_same_columns_of_a_ground_range_image(tmp_path):
    """The same for a detected image, whose conversion from slant to ground range changes 22 times in its frame."""
    xr = pytest.importorskip("xarray", reason="xarray is not installed")
    sarsen = pytest.importorskip("sarsen.apps", reason="sarsen is not installed")
    from sarsen import orbit, scene, sentinel1
    from xarray_sentinel import open_sentinel1_dataset

    safe = next(VENDOR.rglob("S1C_S4_GRDH_1SDH_20250118T171404*.SAFE"))
    chosen = SceneOverrides(polarisation="HH")
    (plain,) = open_scenes(safe, chosen)
    dem, (x, y, heights) = hills_over([plain], tmp_path / "dem.tif", 40.0, 60)
    (ours,) = open_scenes(safe, SceneOverrides(polarisation="HH", dem=str(dem)))
    part = slice(50, -50, 20), slice(50, -50, 20)
    grid = xr.DataArray(heights[part], dims=("y", "x"), coords={"y": y[part][:, 0], "x": x[part][0]})
    path = orbit.OrbitPolyfitInterpolator.from_position(open_sentinel1_dataset(str(safe), group="S4/HH/orbit").position)
    found = sarsen.simulate_acquisition(scene.convert_to_dem_ecef(grid.rio.write_crs(4326)), path)
    away = sentinel1.Sentinel1SarProduct(str(safe), "S4/HH").slant_range_time_to_ground_range(
        found.azimuth_time, found.slant_range_time
    )
    root = read_xml(next(safe.glob("annotation/*-hh-*.xml")))
    columns = away.values / float(root.findtext("imageAnnotation/imageInformation/rangePixelSpacing") or "nan") + 0.5
    image = sentinel1_annotation.read_image(root, "S4")
    after = (found.azimuth_time.values - np.datetime64(image.first_line.replace(tzinfo=None))) / np.timedelta64(1, "ns")
    rows = after * 1e-9 / image.line_seconds + 0.5
    inside = (columns > 50) & (columns < ours.shape[1] - 50) & (rows > 50) & (rows < ours.shape[0] - 50)
    to_local = Transformer.from_crs(4326, ours.crs, always_xy=True)
    at = ours.geometry.inverse(*to_local.transform(x[part][inside], y[part][inside]))
    assert inside.sum() > 1000
    assert np.abs(at[0] - columns[inside]).max() < 0.05
    assert np.abs(at[1] - rows[inside]).max() < 0.1


def test_map_products_stay_where_they_are(tmp_path):
    path, _ = nisar.make(tmp_path, "GSLC")
    (scene,) = open_scenes(path, SceneOverrides(dem=model(tmp_path / "dem.tif")))
    assert scene.geometry.kind == "affine"
    assert any("map grid already" in note for note in scene.notes)


def test_holes_are_filled_and_told(tmp_path):
    path, _ = nisar.make(tmp_path)
    (scene,) = open_scenes(path, SceneOverrides(dem=model(tmp_path / "dem.tif", hole=True)))
    assert any("of the height model held none" in note for note in scene.notes)


def test_heights_are_metres_whatever_the_file_keeps(tmp_path):
    """Decimetres with a declared scale, feet, undeclared numbers for no height, and a surface named by the CRS."""
    path, _ = nisar.make(tmp_path)
    dem = model(tmp_path / "dem.tif")
    columns, rows = np.array([20.0, 75.0, 130.0]), np.array([20.0, 60.0, 100.0])
    expected = open_scenes(path, SceneOverrides(dem=dem))[0].to_lonlat(columns, rows)
    with rasterio.open(dem) as file:
        heights, grid = file.read(1), {"crs": file.crs, "transform": file.transform}
    gap = heights.copy()
    gap[345:352, 345:352] = -9999
    cases = [
        ("scaled", np.round(heights * 10).astype(np.int16), {}, 0.1, "", ""),
        ("feet", heights / np.float32(0.3048), {}, 1.0, "ft", ""),
        ("gap", gap, {}, 1.0, "", "of the height model held none"),
        ("geoid", heights, {"crs": "EPSG:32611+5773"}, 1.0, "", "count from EGM96 height"),
    ]
    for name, values, options, scale, unit, note in cases:
        file_name = tmp_path / f"{name}.tif"
        write_tiff(file_name, values[None], **{**grid, **options})
        with rasterio.open(file_name, "r+") as file:
            file.scales = (scale,)
            if unit:
                file.units = (unit,)
        (scene,) = open_scenes(path, SceneOverrides(dem=str(file_name)))
        assert np.max(GEOD.inv(*scene.to_lonlat(columns, rows), *expected)[2]) < 0.5, name
        assert not note or any(note in text for text in scene.notes), name
    write_tiff(tmp_path / "rgb.tif", np.stack([heights] * 3), **grid)
    with pytest.raises(NoLocation, match="3 bands"):
        open_scenes(path, SceneOverrides(dem=str(tmp_path / "rgb.tif")))
    with rasterio.open(tmp_path / "feet.tif", "r+") as file:
        file.units = ("fathom",)
    with pytest.raises(NoLocation, match="fathom"):
        open_scenes(path, SceneOverrides(dem=str(tmp_path / "feet.tif")))


def test_refusals(tmp_path):
    path, _ = nisar.make(tmp_path)
    with pytest.raises(NoLocation, match="it must cover all of it"):
        open_scenes(path, SceneOverrides(dem=model(tmp_path / "small.tif", extent=30)))
    write_tiff(tmp_path / "none.tif", np.ones((1, 50, 50), np.float32))
    with pytest.raises(NoLocation, match="no coordinate reference system"):
        open_scenes(path, SceneOverrides(dem=str(tmp_path / "none.tif")))
    with pytest.raises(ValueError, match="not both"):
        SceneOverrides(dem="a.tif", height_m=3.0)
    with pytest.raises(ValueError, match="cannot be opened"):
        open_scenes(path, SceneOverrides(dem=str(tmp_path / "absent.tif")))
    assert h5py
