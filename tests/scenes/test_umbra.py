"""Umbra open data: relative amplitudes stay relative, a rotated grid keeps its place."""

import numpy as np
import pytest

from knowlip.scenes import SceneOverrides, find_scenes
from knowlip.scenes.errors import DamagedProduct, NotCalibrated, UnknownFormat
from knowlip.scenes.find import open_scenes
from tests.scenes.products.sicd import make as make_sicd
from tests.scenes.products.umbra import make
from tests.scenes.test_gaofen3 import miss_m


@pytest.mark.parametrize("rotation", [0, 37])
def test_power_and_place(tmp_path, rotation):
    product = make(tmp_path, rotation_deg=rotation)
    scene = open_scenes(product.path)[0]
    np.testing.assert_allclose(scene.read()[0], product.power)
    assert miss_m(scene, product) < 0.01 * product.pixel_m
    assert scene.resolution_m == pytest.approx(0.35, rel=1e-3)


def test_radiometry_is_relative_and_never_invented(tmp_path):
    path = make(tmp_path).path
    scene = open_scenes(path)[0]
    assert (scene.radiometry, scene.quantity, scene.units) == ("relative", "none", "amplitude")
    assert "relative amplitudes" in scene.notes[0]
    for quantity in ("beta0", "gamma0"):
        with pytest.raises(NotCalibrated, match=quantity):
            open_scenes(path, SceneOverrides(quantity=quantity))
    assert open_scenes(path, SceneOverrides(quantity="beta0", calibrate=False))[0].radiometry == "relative"


def test_what_the_metadata_say(tmp_path):
    scene = open_scenes(make(tmp_path).path)[0]
    assert (scene.sensor, scene.band, scene.polarisation, scene.product_type) == ("umbra", "X", "VV", "GEC")
    assert (scene.look_side, scene.orbit, scene.mode) == ("left", "ascending", "spotlight")
    assert (scene.date, scene.incidence_deg) == ("2023-07-18T02:30:33Z", 47.4)
    assert scene.look_azimuth_deg == pytest.approx(302.1)
    with pytest.raises(UnknownFormat, match="HH"):
        open_scenes(scene.path, SceneOverrides(polarisation="HH"))


def test_a_product_is_found_once(tmp_path):
    make(tmp_path / "scenes" / "a", siblings=True)
    product = make(tmp_path / "scenes" / "b", siblings=True)
    assert find_scenes([tmp_path / "scenes"]) == [tmp_path / "scenes" / "a", tmp_path / "scenes" / "b"]
    assert find_scenes([product.path]) == [product.path]
    (tmp_path / "loose").mkdir()
    for entry in product.path.parent.iterdir():
        entry.rename(tmp_path / "loose" / entry.name)
    for entry in list((tmp_path / "loose").iterdir()):
        copy = entry.name.replace("UMBRA-04", "UMBRA-05")
        (tmp_path / "loose" / copy).write_bytes(entry.read_bytes())
    assert [path.name[-7:] for path in find_scenes([tmp_path / "loose"])] == ["GEC.tif", "GEC.tif"]


def test_complex_forms_of_the_same_collect_count_with_it(tmp_path):
    product = make(tmp_path / "scenes")
    sicd = make_sicd(tmp_path / "scenes").path
    assert sicd.name.startswith(product.path.name.removesuffix("_GEC.tif"))
    assert find_scenes([tmp_path / "scenes"]) == [tmp_path / "scenes"]
    assert find_scenes([sicd]) == [sicd]
    assert open_scenes(sicd)[0].product == "SICD"
    assert open_scenes(tmp_path / "scenes")[0].product == "Umbra"


def test_metadata_missing_or_broken(tmp_path):
    product = make(tmp_path / "a", metadata=False)
    scene = open_scenes(product.path)[0]
    assert (scene.sensor, scene.polarisation, scene.date) == ("umbra", "", "2023-07-18")
    product = make(tmp_path / "b")
    next(product.path.parent.glob("*.json")).write_text('{"collects": []}')
    with pytest.raises(DamagedProduct, match="collects"):
        open_scenes(product.path)
