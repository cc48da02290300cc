"""`*.scene.yaml`: every statement of place against its truth, every key checked, many files, refusals by type."""

import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from pyproj import Geod

from knowlip.scenes import SceneOverrides, find_scenes, open_scene, open_scenes
from knowlip.scenes.errors import DamagedProduct, NoLocation, NotCalibrated, PoorGeolocation, SlantRange
from tests.scenes.products import geotiff
from tests.scenes.products.sidecar import KINDS, SHAPE, make

GEOD = Geod(ellps="WGS84")


def describe(folder, name="a", **keys):
    path = folder / f"{name}.scene.yaml"
    path.write_text(yaml.safe_dump(keys))
    return path


def chip(folder, name="a.npy", shape=(40, 50), dtype=np.complex64):
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, shape) + 1j * rng.normal(0, 1, shape)
    np.save(folder / name, (values if np.dtype(dtype).kind == "c" else np.abs(values)).astype(dtype))
    return values


@pytest.mark.parametrize("kind", KINDS)
def test_every_statement_of_place(tmp_path, kind):
    product = make(tmp_path, kind)
    assert find_scenes([tmp_path]) == [product.path]
    scene = open_scene(product.path)
    assert (scene.sensor, scene.band, scene.polarisation, scene.date) == ("qilu-1", "Ku", "VV", "2023-05-06")
    assert (scene.radiometry, scene.quantity, scene.product) == ("calibrated", "sigma0", "sidecar")
    x, y = np.meshgrid(np.linspace(0, SHAPE[1], 7), np.linspace(0, SHAPE[0], 6))
    miss = GEOD.inv(*scene.to_lonlat(x, y), *product.truth(x, y))[2].max()
    assert miss < 0.05 * product.pixel_m
    assert scene.resolution_m == pytest.approx(product.pixel_m, rel=0.2)
    power, valid = scene.read()
    np.testing.assert_allclose(power, product.power, rtol=1e-5)
    assert valid.all()


def test_complex_chips_of_unknown_place(tmp_path):
    (tmp_path / "port").mkdir()
    values = [chip(tmp_path / "port", f"c{i}.npy") for i in range(3)]
    path = describe(
        tmp_path,
        "chips",
        files="**/*.npy",
        unlocated=True,
        spacing_m=[14.0, 2.3],
        projection="slant",
        incidence_deg=35,
        sensor="sentinel-1",
        band="C",
        looks=1,
        group="{parent}",
    )
    assert find_scenes([tmp_path]) == [path]
    scenes = open_scenes(path)
    assert [scene.scene_id for scene in scenes] == ["port-c0", "port-c1", "port-c2"]
    assert {scene.group for scene in scenes} == {"port"}
    scene = scenes[0]
    assert (scene.units, scene.located, scene.dtype, scene.looks) == ("complex", False, "complex64", 1)
    assert scene.pixel_size_m == pytest.approx((2.3 / math.sin(math.radians(35)), 14.0))
    np.testing.assert_allclose(scene.read()[0], np.abs(values[0]) ** 2, rtol=1e-5)


def test_slant_range_without_incidence_is_refused(tmp_path):
    chip(tmp_path)
    path = describe(tmp_path, unlocated=True, spacing_m=[1.0, 1.0], projection="slant")
    with pytest.raises(SlantRange, match="incidence_deg"):
        open_scenes(path)


def test_a_file_keeps_its_own_place_and_units(tmp_path):
    product = geotiff.make(tmp_path, "rotated")
    path = describe(tmp_path, "rotated", sensor="Hongtu-1", units="intensity", band="x", nodata=-1)
    assert find_scenes([tmp_path]) == [path]
    scene = open_scene(path)
    assert (scene.sensor, scene.band, scene.units, scene.nodata) == ("hongtu-1", "X", "intensity", -1)
    x, y = np.meshgrid(np.arange(5.0), np.arange(5.0))
    assert GEOD.inv(*scene.to_lonlat(x, y), *product.truth(x, y))[2].max() < 1e-3


def test_plain_images(tmp_path):
    Image.fromarray(np.full((40, 50), 9, np.uint8)).save(tmp_path / "a.png")
    scene = open_scene(describe(tmp_path, center=[10.0, 50.0], spacing_m=1.0, heading_deg=0))
    assert (scene.units, scene.shape) == ("dn", (40, 50))
    assert scene.center == pytest.approx((10.0, 50.0))
    with pytest.raises(NoLocation, match="place on the ground is unknown"):
        open_scene(describe(tmp_path, sensor="airborne"))


def test_two_bands_are_real_and_imaginary(tmp_path):
    import rasterio

    parts = np.random.default_rng(0).normal(0, 100, (2, 30, 40)).astype(np.int16)
    with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", height=30, width=40, count=2, dtype="int16") as file:
        file.write(parts)
    scene = open_scene(describe(tmp_path, units="complex", unlocated=True, spacing_m=1.0))
    np.testing.assert_allclose(scene.read()[0], (parts.astype(float) ** 2).sum(0), rtol=1e-6)


def test_polarisations_from_names(tmp_path):
    for name in ("1_HH", "1_HV"):
        Image.fromarray(np.full((20, 20), 7, np.uint8)).save(tmp_path / f"{name}.png")
    path = describe(tmp_path, "gf3", files=["*.png"], unlocated=True, spacing_m=8.0, group="{stem}")
    assert [scene.polarisation for scene in open_scenes(path)] == ["HH", "HV"]
    assert [s.polarisation for s in open_scenes(path, SceneOverrides(polarisation="hv"))] == ["HV"]
    with pytest.raises(DamagedProduct, match="no file of polarisation VV"):
        open_scenes(path, SceneOverrides(polarisation="VV"))


def test_absolute_paths_and_yaml_in_another_folder(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "yaml").mkdir()
    chip(tmp_path / "data")
    path = describe(tmp_path / "yaml", files=str(tmp_path / "data" / "*.npy"), unlocated=True, spacing_m=3)
    assert open_scene(path).path == tmp_path / "data" / "a.npy"


def test_one_broken_file_does_not_lose_the_others(tmp_path, capsys):
    chip(tmp_path, "a.npy")
    (tmp_path / "b.npy").write_bytes(b"")
    path = describe(tmp_path, "all", files="*.npy", unlocated=True, spacing_m=3)
    assert [scene.scene_id[-1] for scene in open_scenes(path)] == ["a"]
    assert "b.npy" in capsys.readouterr().err
    (tmp_path / "a.npy").unlink()
    with pytest.raises(DamagedProduct, match=r"b\.npy"):
        open_scenes(path)


def test_calibrate_false_keeps_the_numbers(tmp_path):
    product = make(tmp_path)
    scene = open_scene(product.path, SceneOverrides(calibrate=False))
    assert (scene.radiometry, scene.quantity) == ("relative", "none")
    np.testing.assert_allclose(scene.read()[0], product.power * 1e4, rtol=1e-5)


def test_the_stated_quantity_becomes_the_one_asked_for(tmp_path):
    power = {"quantity": "beta0", "factor": 2.0}
    product = make(tmp_path, calibration=power, incidence_deg=30)
    scene, beta = open_scene(product.path), open_scene(product.path, SceneOverrides(quantity="beta0"))
    assert (scene.quantity, beta.quantity) == ("sigma0", "beta0")
    np.testing.assert_allclose(beta.read()[0], product.power * 2e4, rtol=1e-5)
    np.testing.assert_allclose(scene.read()[0], product.power * 1e4, rtol=1e-5)  # sin 30 = 1/2
    product = make(tmp_path, calibration=power)
    assert open_scene(product.path).quantity == "beta0"
    with pytest.raises(NotCalibrated, match="no incidence angle"):
        open_scene(product.path, SceneOverrides(quantity="gamma0"))


def test_corners_that_are_no_image_are_refused(tmp_path):
    chip(tmp_path)
    corners = [[10.0, 50.001], [10.001, 50.001], [10.0, 50.0], [10.001, 50.0]]  # lower ones swapped
    with pytest.raises(PoorGeolocation):
        open_scene(describe(tmp_path, corners=corners))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"sensr": "x"}, "'sensr' that does not exist"),
        ({"band": "Q"}, "band must be one of P, L"),
        ({"polarisation": "XY"}, "polarisation must be"),
        ({"units": "volts"}, "units must be one of"),
        ({"incidence_deg": 95}, "incidence_deg must lie between 0 and 90"),
        ({"looks": "many"}, "looks must be a number"),
        ({"date": "yesterday"}, "date must be an ISO date"),
        ({"calibration": 3}, "calibration must be {quantity"),
        ({"calibration": {"quantity": "sigma0", "factor": -1}}, "positive factor"),
        ({"calibration": {"quantity": "rcs", "factor": 1}}, "one of beta0, sigma0, gamma0"),
        ({"corners": [[0, 0]]}, "corners must be four pairs"),
        ({"corners": [[0, 0], [0, 0], [0, 0], [0, 99]]}, "corners must be \\[longitude"),
        ({"gcps": [[0, 0, 0, 0]]}, "gcps must be a list of at least four"),
        ({"center": [0, 0]}, "center needs spacing_m"),
        ({"center": [0, 0], "spacing_m": 0, "heading_deg": 0}, "spacing_m must be positive"),
        ({"crs": "EPSG:4326"}, "crs needs transform"),
        ({"crs": "EPSG:1", "transform": [1, 0, 0, 0, 1, 0]}, "crs must be a coordinate"),
        ({"crs": "EPSG:4326", "transform": [0, 0, 0, 0, 1, 0]}, "no area"),
        ({"transform": [1, 0, 0, 0, 1, 0]}, "transform needs crs"),
        ({"spacing_m": 3}, "unlocated: true"),
        ({"unlocated": True}, "unlocated needs spacing_m"),
        ({"unlocated": 1, "spacing_m": 3}, "unlocated must be true or false"),
        ({"rpc": "none.txt"}, "does not exist"),
        ({"rpc": "a.rpc", "center": [0, 0]}, "twice"),
        ({"files": "*.xyz"}, "no file fits"),
        ({"files": []}, "files must be a text"),
    ],
)
def test_a_wrong_key_is_named(tmp_path, keys, words):
    chip(tmp_path)
    with pytest.raises(DamagedProduct, match=words):
        open_scenes(describe(tmp_path, **keys))


def test_broken_yaml(tmp_path):
    path = tmp_path / "a.scene.yaml"
    path.write_text("files: [")
    with pytest.raises(DamagedProduct, match="not valid YAML"):
        open_scenes(path)
    path.write_text("")
    with pytest.raises(DamagedProduct, match="must hold keys"):
        open_scenes(path)


def test_nothing_beside_the_yaml(tmp_path):
    with pytest.raises(DamagedProduct, match="beside no image"):
        open_scenes(describe(tmp_path, unlocated=True, spacing_m=1))


def test_an_array_that_is_no_image(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 3, 4)))
    with pytest.raises(DamagedProduct, match=r"\(rows, columns\)"):
        open_scenes(describe(tmp_path, unlocated=True, spacing_m=1))


def test_a_pickled_array_is_not_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[Path("x")]], object), allow_pickle=True)
    with pytest.raises(DamagedProduct, match="no NumPy array"):
        open_scenes(describe(tmp_path, unlocated=True, spacing_m=1))
