"""Capella: scale factor and looks, map and slant-range images, squinted and left-looking ones."""

import json

import numpy as np
import pytest
from pyproj import Geod

from knowlip.scenes import SceneOverrides, find_scenes
from knowlip.scenes.errors import DamagedProduct, NotCalibrated, PoorGeolocation, SlantRange, UnknownFormat
from knowlip.scenes.find import open_scenes
from tests.scenes.products.capella import HEIGHT, LAT, LON, SCALE, make
from tests.scenes.products.orbits import Circle
from tests.scenes.test_gaofen3 import miss_m


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"kind": "GEC", "sidecar": False},
        {"kind": "SLC"},
        {"kind": "SLC", "side": "left"},
        {"kind": "SLC", "geometry": "pfa"},
        {"kind": "SLC", "geometry": "pfa", "side": "left", "squint_hz": -4000.0},
        {"kind": "SLC", "squint_hz": 4000.0},
        {"kind": "SLC", "squint_hz": -4000.0, "side": "left", "sidecar": False},
    ],
)
def test_power_and_place(tmp_path, options):
    product = make(tmp_path, **options)
    scene = open_scenes(product.path)[0]
    power, valid = scene.read()
    assert valid.mean() > 0.999
    np.testing.assert_allclose(power[valid], product.power[valid], rtol=1e-5)
    assert miss_m(scene, product) < 0.1 * product.pixel_m
    assert (scene.radiometry, scene.quantity, scene.sensor, scene.band) == ("calibrated", "sigma0", "capella", "X")
    assert scene.projection == ("slant" if options.get("kind") == "SLC" else "map")


def test_equivalent_number_of_looks(tmp_path):
    """mean^2 / variance of power is the number of looks that the metadata state."""
    for looks in (3, 9):
        scene = open_scenes(make(tmp_path / str(looks), looks=looks).path)[0]
        power = scene.read()[0]
        assert scene.looks == looks
        assert power.mean() ** 2 / power.var() == pytest.approx(looks, rel=0.05)
        assert power.mean() == pytest.approx(2.0e6 * SCALE**2, rel=0.01)


def test_what_the_metadata_say(tmp_path):
    scene = open_scenes(make(tmp_path).path)[0]
    assert (scene.polarisation, scene.mode, scene.product_type, scene.orbit) == ("HH", "spotlight", "GEO", "ascending")
    assert (scene.look_side, scene.date, scene.frequency_ghz) == ("right", "2020-11-18T18:51:23Z", 9.65)
    assert scene.incidence_deg == 32.5
    assert scene.look_azimuth_deg == pytest.approx(345 + 90 - 360, abs=5)
    with pytest.raises(UnknownFormat, match="VV"):
        open_scenes(scene.path, SceneOverrides(polarisation="VV"))


def test_quantities(tmp_path):
    product = make(tmp_path / "a", radiometry="beta_nought")
    scene = open_scenes(product.path)[0]
    np.testing.assert_allclose(scene.read()[0], product.power * np.sin(np.radians(32.5)), rtol=1e-5)
    assert "from beta0 to sigma0" in scene.notes[0]
    beta = open_scenes(product.path, SceneOverrides(quantity="beta0"))[0]
    np.testing.assert_allclose(beta.read()[0], product.power, rtol=1e-5)
    gamma = open_scenes(make(tmp_path / "b").path, SceneOverrides(quantity="gamma0"))[0]
    np.testing.assert_allclose(gamma.read()[0], product.power / np.cos(np.radians(32.5)), rtol=1e-5)


@pytest.mark.parametrize("options", [{"calibration": "none"}, {"radiometry": "beta"}])
def test_no_calibration_is_not_invented(tmp_path, options):
    product = make(tmp_path, **options)
    scene = open_scenes(product.path)[0]
    assert (scene.radiometry, scene.quantity) == ("relative", "none")
    assert scene.notes
    with pytest.raises(NotCalibrated):
        open_scenes(product.path, SceneOverrides(quantity="beta0"))


def test_slant_range_without_a_grid_is_refused(tmp_path):
    with pytest.raises(SlantRange, match="GEO or SICD"):
        open_scenes(make(tmp_path / "a", kind="SLC", geometry="polar").path)
    turned = make(tmp_path / "turned", kind="SLC", geometry="pfa")
    sidecar = next(turned.path.parent.glob("*_extended.json"))
    metadata = json.loads(sidecar.read_text())
    metadata["collect"]["image"]["image_geometry"]["polar_angle_polynomial"]["coefficients"][0] += np.pi / 2
    sidecar.write_text(json.dumps(metadata))
    with pytest.raises(SlantRange, match="line of sight"):
        open_scenes(turned.path)
    product = make(tmp_path / "b", kind="SLC")
    sidecar = next(product.path.parent.glob("*_extended.json"))
    metadata = json.loads(sidecar.read_text())
    state = metadata["collect"].pop("state")
    sidecar.write_text(json.dumps(metadata))
    with pytest.raises(SlantRange, match="state"):
        open_scenes(product.path)
    metadata["collect"]["state"] = state
    metadata["collect"]["image"]["center_pixel"]["target_position"][0] += 3000
    sidecar.write_text(json.dumps(metadata))
    with pytest.raises(PoorGeolocation, match="middle"):
        open_scenes(product.path)


def test_higher_ground_lies_farther_from_the_radar(tmp_path):
    product = make(tmp_path, kind="SLC")
    here, there = (open_scenes(product.path, SceneOverrides(height_m=h))[0].center for h in (HEIGHT, HEIGHT + 100))
    azimuth, _, shift = Geod(ellps="WGS84").inv(*here, *there)
    incidence = Circle(LON, LAT).incidence_deg(1.2, LON, LAT, HEIGHT)
    assert shift == pytest.approx(100 / np.tan(np.radians(incidence)), rel=0.02)
    assert azimuth % 360 == pytest.approx(345 + 90 - 360, abs=5)


def test_a_product_is_found_once(tmp_path):
    make(tmp_path / "scenes" / "a")
    make(tmp_path / "scenes" / "b", kind="SLC")
    make(tmp_path / "scenes" / "b")
    found = find_scenes([tmp_path / "scenes"])
    assert len(found) == 3
    assert not any("preview" in path.name for path in found)


def test_without_metadata(tmp_path):
    product = make(tmp_path)
    next(product.path.parent.glob("*_extended.json")).unlink()
    with pytest.raises(DamagedProduct, match=r"_extended\.json"):
        open_scenes(product.path)
