"""GeoTIFF: every kind of location against its truth, data types, several bands and polarisations, half a pixel."""

import numpy as np
import pytest
import rasterio
from affine import Affine
from pyproj import Geod

from knowlip.scenes import SceneOverrides, open_scene, open_scenes
from knowlip.scenes.errors import NoLocation, PoorGeolocation, UnknownFormat
from tests.scenes.products.geotiff import KINDS, make

GEOD = Geod(ellps="WGS84")
WORLD = {"crs": "EPSG:32631", "transform": Affine(10, 0, 5e5, 0, -10, 5e6)}


def write(path, values, descriptions=(), **options):
    values = np.asarray(values)
    values = values if values.ndim == 3 else values[None]
    count, height, width = values.shape
    profile = {**WORLD, "dtype": values.dtype, **options}
    with rasterio.open(path, "w", driver="GTiff", height=height, width=width, count=count, **profile) as file:
        file.write(values)
        if descriptions:
            file.descriptions = descriptions
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_location(tmp_path, kind):
    product = make(tmp_path, kind)
    scene = open_scene(product.path)
    rows, columns = scene.shape
    x, y = np.meshgrid(np.linspace(0, columns, 9), np.linspace(0, rows, 7))
    miss = GEOD.inv(*scene.to_lonlat(x, y), *product.truth(x, y))[2].max()
    assert miss < 0.02 * product.pixel_m
    power, valid = scene.read()
    np.testing.assert_allclose(power, product.power, rtol=1e-6)
    assert valid.all()
    if kind == "antimeridian":
        assert scene.footprint.geom_type == "MultiPolygon"
    if kind == "polar":
        assert 84.5 < scene.center[1] < 85.5


def test_a_whole_swath_of_250_km(tmp_path):
    product = make(tmp_path, "swath")
    scene = open_scene(product.path)
    x, y = np.meshgrid(np.linspace(0, 25_000, 31), np.linspace(0, 17_000, 31))
    assert GEOD.inv(*scene.to_lonlat(x, y), *product.truth(x, y))[2].max() < 0.1 * product.pixel_m
    assert scene.geometry.residual_m < 1


def test_the_grid_on_the_ground_follows_the_truth(tmp_path):
    """A bright spot stands on the ground grid where the truth has it, for every kind of location."""
    from pyproj import Transformer

    from knowlip.tiles.ground import Ground

    rows, columns = np.indices((60, 80)) + 0.5
    values = (0.01 + 1000 * np.exp(-((rows - 37.5) ** 2 + (columns - 21.5) ** 2) / 8)).astype(np.float32)
    for kind in KINDS:
        product = make(tmp_path, kind, values)
        ground = Ground(open_scene(product.path))
        power, _ = ground.read(rasterio.windows.Window(0, 0, ground.shape[1], ground.shape[0]))
        weight = np.where(power > 1, power, 0)
        rows, columns = np.indices(power.shape) + 0.5
        at = ground.transform @ ((weight * columns).sum() / weight.sum(), (weight * rows).sum() / weight.sum())
        lon, lat = Transformer.from_crs(ground.crs, 4326, always_xy=True).transform(*at)
        true_lon, true_lat = product.truth(np.array([21.5]), np.array([37.5]))
        assert GEOD.inv(lon, lat, float(true_lon[0]), float(true_lat[0]))[2] < 0.1 * product.pixel_m, kind


def test_half_a_pixel(tmp_path):
    """The transform names outer corners; a product that names centres (HDF5 axes, netCDF) must give the same places."""
    scene = open_scene(make(tmp_path).path)
    rows, columns = scene.shape
    lons, lats = scene.to_lonlat(np.arange(columns) + 0.5, np.full(columns, 0.5))
    # Axes of centres, as xarray or HDF5 hold them.
    transform = scene.transform
    xs = transform.c + transform.a * (np.arange(columns) + 0.5)
    ys = transform.f + transform.e * (np.arange(rows) + 0.5)
    from pyproj import Transformer

    their_lons, their_lats = Transformer.from_crs(32650, 4326, always_xy=True).transform(xs, np.full(columns, ys[0]))
    np.testing.assert_allclose(lons, their_lons, atol=1e-9)
    np.testing.assert_allclose(lats, their_lats, atol=1e-9)
    with rasterio.open(scene.path) as file:
        assert file.xy(0, 0) == pytest.approx((xs[0], ys[0]))


def test_pixel_is_point_and_pixel_is_area_give_the_same_place(tmp_path):
    values = np.ones((5, 5), np.float32)
    area, point = write(tmp_path / "area.tif", values), tmp_path / "point.tif"
    write(point, values)
    with rasterio.open(point, "r+") as file:
        file.update_tags(AREA_OR_POINT="Point")
    assert open_scene(area).transform == open_scene(point).transform


def test_complex_data_types_agree(tmp_path):
    rng = np.random.default_rng(0)
    parts = rng.integers(-2000, 2000, (2, 40, 50)).astype(np.int16)
    z = (parts[0] + 1j * parts[1]).astype(np.complex64)
    pair = write(tmp_path / "pair.tif", parts, ("real", "imag"))
    single = write(tmp_path / "single.tif", z)
    whole = write(tmp_path / "cint16.tif", z, dtype="complex_int16")
    expected = (parts.astype(np.float64) ** 2).sum(0)
    for path in (pair, single, whole):
        scene = open_scene(path)
        assert scene.units == "complex", path
        power, valid = scene.read()
        np.testing.assert_allclose(power, expected, rtol=1e-6)
        assert valid.all()
    unnamed = open_scene(write(tmp_path / "iq.tif", parts), SceneOverrides(units="complex"))
    np.testing.assert_allclose(unnamed.read()[0], expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"])
def test_every_data_type(tmp_path, dtype):
    values = np.random.default_rng(0).integers(1, 100, (30, 30)).astype(dtype)
    scene = open_scene(write(tmp_path / "a.tif", values), SceneOverrides(units="amplitude"))
    np.testing.assert_allclose(scene.read()[0], values.astype(float) ** 2, rtol=1e-6)


def test_polarisations(tmp_path):
    values = np.random.default_rng(0).exponential(1, (3, 20, 20)).astype(np.float32)
    path = write(tmp_path / "a.tif", values, ("Sigma0_VH", "Sigma0_VV", "angle"))
    (scene,) = open_scenes(path)
    assert (scene.polarisation, scene.scene_id) == ("VV", "a")
    np.testing.assert_array_equal(scene.read()[0], values[1])
    both = open_scenes(path, SceneOverrides(polarisation="all"))
    assert [(s.polarisation, s.scene_id) for s in both] == [("VH", "a-vh"), ("VV", "a-vv")]
    np.testing.assert_array_equal(both[0].read()[0], values[0])
    assert open_scene(path, SceneOverrides(polarisation="vh")).polarisation == "VH"
    np.testing.assert_array_equal(open_scene(path, SceneOverrides(raster_band=3)).read()[0], values[2])
    with pytest.raises(UnknownFormat, match="not HH"):
        open_scenes(path, SceneOverrides(polarisation="HH"))
    with pytest.raises(ValueError, match="raster_band: 4 does not exist"):
        open_scenes(path, SceneOverrides(raster_band=4))


def test_control_points_in_a_projected_crs(tmp_path):
    from rasterio.control import GroundControlPoint

    gcps = [GroundControlPoint(r, c, 5e5 + 10 * c, 5e6 - 10 * r) for r in (0, 15, 30) for c in (0, 20, 40)]
    values = np.ones((30, 40), np.float32)
    path = tmp_path / "a.tif"
    with rasterio.open(
        path, "w", driver="GTiff", height=30, width=40, count=1, dtype="float32", gcps=gcps, crs="EPSG:32631"
    ) as file:
        file.write(values, 1)
    plain = open_scene(write(tmp_path / "b.tif", values))
    x, y = np.meshgrid(np.linspace(0, 40, 5), np.linspace(0, 30, 5))
    assert GEOD.inv(*open_scene(path).to_lonlat(x, y), *plain.to_lonlat(x, y))[2].max() < 0.01
    gcps[4].x += 400
    with rasterio.open(
        path, "w", driver="GTiff", height=30, width=40, count=1, dtype="float32", gcps=gcps, crs="EPSG:32631"
    ) as file:
        file.write(values, 1)
    with pytest.raises(PoorGeolocation):
        open_scene(path)


def test_no_location_says_what_to_do(tmp_path):
    path = write(tmp_path / "a.tif", np.ones((9, 9), np.float32), crs=None, transform=None)
    with pytest.raises(NoLocation, match=r"a\.scene\.yaml"):
        open_scene(path)
