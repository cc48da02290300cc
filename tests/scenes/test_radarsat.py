"""RADARSAT-2 and RCM against the formulas of their format definitions and positions on a circular orbit."""

import os
from pathlib import Path

import numpy as np
import pytest

from knowlip.scenes import SceneOverrides, find_scenes, open_scenes
from knowlip.scenes.errors import DamagedProduct, NotCalibrated, SceneError, UnknownFormat
from knowlip.scenes.geometry import GEOD
from knowlip.scenes.xml import read_xml
from tests.scenes.products import radarsat
from tests.scenes.products.scramble import scramble

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
VENDOR = Path(os.environ.get("KNOWLIP_VENDOR", "/nowhere"))


def off_by(product, scene, heights=None):
    rows, columns = scene.shape
    y, x = np.meshgrid(np.linspace(2, rows - 2, 5), np.linspace(2, columns - 2, 5))
    expected = product.truth(x.ravel(), y.ravel(), heights if heights is None else np.full(x.size, heights))
    return float(np.max(GEOD.inv(*scene.to_lonlat(x.ravel(), y.ravel()), *expected)[2]))


@pytest.mark.parametrize("rcm", [True, False])
@pytest.mark.parametrize("complex_pixels", [False, True])
@pytest.mark.parametrize("quantity", ["sigma0", "beta0", "gamma0"])
@pytest.mark.parametrize("denoise", [False, True])
def test_power_is_the_formula(tmp_path, rcm, complex_pixels, quantity, denoise):
    product = radarsat.make(tmp_path, rcm, complex_pixels=complex_pixels, quantity=quantity, denoise=denoise)
    (scene,) = open_scenes(product.path, SceneOverrides(quantity=quantity, denoise=denoise))
    power, valid = scene.read()
    assert (scene.radiometry, scene.quantity, scene.polarisation) == ("calibrated", quantity, "HH")
    np.testing.assert_allclose(power[valid], product.power[valid], rtol=1e-4, atol=1e-4 * np.median(product.power))
    assert valid[1:-1, 1:-1].all()


@pytest.mark.parametrize("rcm", [True, False])
@pytest.mark.parametrize("side", ["right", "left"])
def test_every_pixel_is_where_the_orbit_saw_it(tmp_path, rcm, side):
    product = radarsat.make(tmp_path, rcm, side=side)
    (scene,) = open_scenes(product.path)
    assert off_by(product, scene) < 0.1
    (high,) = open_scenes(product.path, SceneOverrides(height_m=600.0))
    assert off_by(product, high, 600.0) < 0.1
    assert scene.look_side == side
    expected = 345.0 + (90 if side == "right" else -90)
    assert abs((scene.look_azimuth_deg - expected + 180) % 360 - 180) < 5


def test_relief_is_told_and_one_height_judges_the_grid(tmp_path):
    product = radarsat.make(tmp_path, relief=400.0)
    (scene,) = open_scenes(product.path)
    assert any("Relief between the points" in note for note in scene.notes)
    (flat,) = open_scenes(product.path, SceneOverrides(height_m=radarsat.HEIGHT))
    assert off_by(product, flat) < 0.5


def test_what_the_metadata_say(tmp_path):
    product = radarsat.make(tmp_path, poles=("CH", "CV"))
    scenes = open_scenes(product.path, SceneOverrides(polarisation="all"))
    assert [scene.polarisation for scene in scenes] == ["CH", "CV"]
    scene = scenes[0]
    assert (scene.sensor, scene.unit, scene.band, scene.mode) == ("rcm", "RCM-2", "C", "16M5")
    assert (scene.product_type, scene.projection, scene.orbit, scene.looks) == ("GRD", "ground", "ascending", 4)
    assert scene.date.startswith("2022-06-05T07:03:")
    assert scene.incidence_deg == pytest.approx(29.5, abs=0.01)
    assert scene.frequency_ghz == pytest.approx(5.405)
    assert find_scenes([tmp_path]) == [product.path]
    assert open_scenes(product.path / "metadata" / "product.xml")[0].scene_id == open_scenes(product.path)[0].scene_id


def test_geocoded_products_without_tables_are_relative(tmp_path):
    product = radarsat.make(tmp_path, mapped=True, tables=False)
    (scene,) = open_scenes(product.path)
    assert (scene.radiometry, scene.quantity, scene.projection) == ("relative", "none", "map")
    assert any("no look-up table" in note for note in scene.notes)
    np.testing.assert_allclose(scene.read()[0], product.power, rtol=1e-6)
    with pytest.raises(NotCalibrated, match="beta0"):
        open_scenes(product.path, SceneOverrides(quantity="beta0"))


def test_refusals(tmp_path):
    product = radarsat.make(tmp_path / "a", rcm=False)
    (product.path / "lutGamma.xml").unlink()
    with pytest.raises(NotCalibrated, match="lutGamma"):
        open_scenes(product.path, SceneOverrides(quantity="gamma0"))
    xml = product.path / "product.xml"
    good = xml.read_text()
    xml.write_text(good.replace(">imagery_HH.tif", ">../../secret.tif"))
    with pytest.raises(DamagedProduct, match="outside the product"):
        open_scenes(product.path)
    xml.write_text(good.replace("<numberOfLines>180", "<numberOfLines>181"))
    with pytest.raises(DamagedProduct, match="its annotation says"):
        open_scenes(product.path)
    xml.write_text(good)
    with pytest.raises(UnknownFormat, match="not VV"):
        open_scenes(product.path, SceneOverrides(polarisation="VV"))
    table = product.path / "lutSigma.xml"
    table.write_text(table.read_text().replace("<gains>", "<gains>1 "))
    with pytest.raises(DamagedProduct, match="do not stand for"):
        open_scenes(product.path)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_nonsense_is_refused_in_words(tmp_path):
    product = radarsat.make(tmp_path, poles=("HH",))
    refused = 0
    for what in scramble(product.path, 25):
        try:
            (scene,) = open_scenes(product.path)
            assert np.isfinite(scene.read()[0]).all(), what
        except SceneError:
            refused += 1
    assert refused > 3


@pytest.mark.skipif(not VENDOR.is_dir(), reason="KNOWLIP_VENDOR does not name a folder with real metadata")
def test_real_tie_points_are_met():
    """Of every real RCM product with a raster of the stated size beside its metadata."""
    found = sorted(VENDOR.rglob("metadata/product.xml"))
    assert found
    for xml in found:
        for scene in open_scenes(xml, SceneOverrides(polarisation="all")):
            ties = read_xml(xml).findall(".//imageTiePoint")
            names = ("imageCoordinate/pixel", "imageCoordinate/line")
            names += ("geodeticCoordinate/longitude", "geodeticCoordinate/latitude")
            values = np.array([[float(tie.findtext(name)) for name in names] for tie in ties]).reshape(-1, 4).T
            if values.size:
                lons, lats = scene.to_lonlat(values[0] + 0.5, values[1] + 0.5)
                assert np.max(GEOD.inv(lons, lats, values[2], values[3])[2]) < 1.0, xml
