"""NISAR GCOV against pyproj, GDAL's HDF5 driver and the values written."""

import builtins
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from rasterio.windows import Window

from knowlip.scenes import SceneOverrides, find_scenes, open_scenes
from knowlip.scenes.errors import DamagedProduct, NoData, NoLocation, SceneError, UnknownFormat
from knowlip.tiles.build import BuildConfig, build
from tests.scenes.products import nisar
from tests.scenes.products.swath import GEOD

h5py = pytest.importorskip("h5py")


def off_by(product, scene):
    """Largest distance in metres between the scene's geolocation and the truth."""
    rows, columns = scene.shape
    y, x = np.meshgrid(np.linspace(0, rows, 7), np.linspace(0, columns, 7))
    expected = product.truth(x.ravel(), y.ravel())
    return float(np.max(GEOD.inv(*scene.to_lonlat(x.ravel(), y.ravel()), *expected)[2]))


@pytest.mark.parametrize(
    "options",
    [{}, {"epsg": 3031, "left_m": -1.2e6, "top_m": 3e5}, {"radar": "SSAR", "epsg": 32644}],
)
def test_coordinates_are_those_of_pixel_centres(tmp_path, options):
    product = nisar.make(tmp_path, **options)
    (scene,) = open_scenes(product.path)
    assert off_by(product, scene) < 0.01


def test_power_mask_and_metadata(tmp_path):
    product = nisar.make(tmp_path)
    (scene,) = open_scenes(product.path)
    power, valid = scene.read()
    np.testing.assert_array_equal(power, product.power)
    assert not valid[:15].any()
    assert not valid[75, :5].any()
    assert not valid[:, -3:].any()
    assert valid[93, 20]
    assert power[93, 20] == 0
    assert valid.sum() == (150 - 15) * 167 - 5
    assert (scene.sensor, scene.band, scene.polarisation, scene.units) == ("nisar", "L", "HH", "intensity")
    assert (scene.radiometry, scene.quantity, scene.projection, scene.product_type) == (
        "calibrated",
        "gamma0",
        "map",
        "GCOV",
    )
    assert (scene.look_side, scene.orbit, scene.date) == ("left", "descending", "2025-10-12T18:25:08Z")
    assert scene.incidence_deg == pytest.approx(37)
    assert scene.look_azimuth_deg == pytest.approx(260)
    assert (scene.looks, scene.frequency_ghz) == (11.5, 1.2575)


def test_without_mask_only_nan_is_missing(tmp_path):
    product = nisar.make(tmp_path, with_mask=False, quantity="sigma0")
    (scene,) = open_scenes(product.path)
    power, valid = scene.read()
    np.testing.assert_array_equal(power, product.power)
    assert valid.sum() == 150 * 167
    assert scene.quantity == "sigma0"


def test_parity_with_gdal(tmp_path):
    import rasterio

    product = nisar.make(tmp_path, with_mask=False)
    name = f'HDF5:"{product.path}"://science/LSAR/GCOV/grids/frequencyA/HVHV'
    try:
        with rasterio.open(name) as file:
            expected = file.read(1)
    except rasterio.errors.RasterioIOError:
        pytest.skip("this GDAL has no HDF5 driver")
    (scene,) = open_scenes(product.path, SceneOverrides(polarisation="HV"))
    np.testing.assert_array_equal(scene.read()[0], np.nan_to_num(expected))


def test_polarisations_of_both_frequencies(tmp_path):
    product = nisar.make(tmp_path, side_band=("VV", "HH"))
    assert open_scenes(product.path)[0].polarisation == "VV"
    scenes = open_scenes(product.path, SceneOverrides(polarisation="all"))
    assert [(s.polarisation, s.resolution_m > 20) for s in scenes] == [("VV", True), ("HH", False), ("HV", False)]
    assert len({scene.scene_id for scene in scenes}) == 3
    with pytest.raises(UnknownFormat, match="not VH"):
        open_scenes(product.path, SceneOverrides(polarisation="VH"))


def test_numbers_as_they_are(tmp_path):
    (scene,) = open_scenes(nisar.make(tmp_path).path, SceneOverrides(calibrate=False))
    assert (scene.radiometry, scene.quantity) == ("relative", "none")


def test_found_once_under_any_name(tmp_path):
    product = nisar.make(tmp_path / "in", name="mine.h5")
    with h5py.File(tmp_path / "in" / "other.h5", "w") as file:
        file["a"] = 1
    assert find_scenes([tmp_path]) == [product.path]


def test_readers_in_other_processes_and_threads_see_the_same(tmp_path):
    (scene,) = open_scenes(nisar.make(tmp_path).path)
    power = scene.read()[0]
    copy = pickle.loads(pickle.dumps(scene))
    windows = [Window(7 * k, 5 * k, 40, 30) for k in range(12)]
    with ThreadPoolExecutor(4) as pool:
        for window, (found, _) in zip(windows, pool.map(copy.read, windows)):
            np.testing.assert_array_equal(found, power[window.row_off :, window.col_off :][:30, :40])
    copy.raster.close()
    np.testing.assert_array_equal(copy.read()[0], power)


def _edit(path, change):
    with h5py.File(path, "r+") as file:
        change(file["science/LSAR/GCOV/grids/frequencyA"])


def _replace(grid, name, value):
    del grid[name]
    if value is not None:
        grid[name] = value


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda grid: _replace(grid, "xCoordinates", np.arange(9.0)), DamagedProduct),
        (lambda grid: _replace(grid, "yCoordinates", np.arange(150.0) ** 2), DamagedProduct),
        (lambda grid: _replace(grid, "xCoordinates", None), NoLocation),
        (lambda grid: _replace(grid, "projection", 7), NoLocation),
        (lambda grid: grid["HHHH"].write_direct(np.full((150, 170), np.nan, np.float32)), NoData),
        (lambda grid: [_replace(grid, name, None) for name in ("HHHH", "HVHV")], UnknownFormat),
    ],
)
def test_refusals(tmp_path, change, error):
    product = nisar.make(tmp_path)
    _edit(product.path, change)
    with pytest.raises(error, match="NISAR_L2"):
        open_scenes(product.path)


def test_anything_in_place_of_anything_is_refused_in_words(tmp_path):
    """Every dataset and group in turn is absent, a text, an array or a group; bytes are flipped."""
    product = nisar.make(tmp_path, shape=(40, 50))
    whole = product.path.read_bytes()
    names = []
    with h5py.File(product.path) as file:
        file.visit(names.append)
    rng = np.random.default_rng(0)
    broken = []
    for name in names:
        value = (None, np.bytes_("x"), np.zeros((2, 2)), ())[rng.integers(4)]
        product.path.write_bytes(whole)
        with h5py.File(product.path, "r+") as file:
            del file[name]
            if isinstance(value, tuple):
                file.create_group(name)
            elif value is not None:
                file[name] = value
        broken.append(product.path.read_bytes())
    for _ in range(60):
        content = np.frombuffer(whole, np.uint8).copy()
        content[rng.integers(0, len(content), 20)] = rng.integers(0, 256, 20)
        broken.append(content.tobytes())
    refused = 0
    for content in broken:
        product.path.write_bytes(content)
        try:
            for scene in open_scenes(product.path, SceneOverrides(polarisation="all")):
                assert np.isfinite(scene.read()[0]).all()
        except SceneError:
            refused += 1
    assert refused > 20


def test_truncated_and_other_products(tmp_path):
    product = nisar.make(tmp_path)
    whole = product.path.read_bytes()
    product.path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DamagedProduct, match="is it complete"):
        open_scenes(product.path)
    product.path.write_bytes(b"")
    with pytest.raises(DamagedProduct, match="is it complete"):
        open_scenes(product.path)
    other = tmp_path / "NISAR_L1_PR_RSLC_002.h5"
    with h5py.File(other, "w") as file:
        file["science/LSAR/RSLC/x"] = 1
    with pytest.raises(UnknownFormat, match="no NISAR product of complex pixels"):
        open_scenes(other)


def test_without_h5py_the_extra_is_named(tmp_path, monkeypatch):
    product = nisar.make(tmp_path)
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "h5py":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=r"knowlip\[sicd\]"):
        open_scenes(product.path)


def test_build(tmp_path):
    product = nisar.make(tmp_path, shape=(220, 230))
    result = build(BuildConfig(scenes=[product.path], out=tmp_path / "dataset", tile_px=64))
    assert result["scenes"] == 1
    assert result["accepted"] > 0
    assert not result["skipped"]
