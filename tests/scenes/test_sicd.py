"""SICD and SIDD: pixel types, scale factor polynomials, places by the standard's projection, refusals."""

import pickle
import sys
import warnings

import numpy as np
import pytest
from rasterio.windows import Window

from knowlip.scenes import SceneOverrides, find_scenes
from knowlip.scenes.errors import DamagedProduct, NotCalibrated, UnknownFormat
from knowlip.scenes.find import open_scenes
from knowlip.scenes.nitf import NitfRaster, contents
from knowlip.tiles.build import build
from knowlip.tiles.plan import BuildConfig
from tests.scenes.products.sicd import HEIGHT, SHAPE, SIGMA, SPACING, make
from tests.scenes.products.sidd import make as make_sidd
from tests.scenes.test_gaofen3 import GEOD, miss_m


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pixel": "RE16I_IM16I"},
        {"pixel": "AMP8I_PHS8I"},
        {"side": "left"},
        {"segments": 4},
    ],
)
def test_power_and_place(tmp_path, options):
    product = make(tmp_path, factors={"SigmaZeroSFPoly": SIGMA}, **options)
    scene = open_scenes(product.path)[0]
    power, valid = scene.read()
    assert valid.mean() > 0.999
    np.testing.assert_allclose(power[valid], product.power[valid], rtol=1e-5)
    assert miss_m(scene, product) < 0.1 * product.pixel_m
    assert (scene.radiometry, scene.quantity) == ("calibrated", "sigma0")
    window = Window(37, 61, 200, 190)
    np.testing.assert_array_equal(scene.read(window)[0], power[61:251, 37:237])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(scene)).read(window)[0], power[61:251, 37:237])


def test_whole_numbers_name_pixel_centres(tmp_path):
    """The scene centre pixel's centre lies at the scene centre point, which sarkit states."""
    import lxml.etree
    import sarkit.sicd as sksicd
    import sarkit.wgs84

    product = make(tmp_path)
    scene = open_scenes(product.path)[0]
    with product.path.open("rb") as file, sksicd.NitfReader(file) as reader:
        tree: lxml.etree.ElementTree = reader.metadata.xmltree
        place = np.array([[17.0, 230.0], [SHAPE[0] // 2, SHAPE[1] // 2]])
        points, _, _ = sksicd.image_to_constant_hae_surface(tree, sksicd.rowcol_to_xrowycol(tree, place), HEIGHT)
    lats, lons, _ = sarkit.wgs84.cartesian_to_geodetic(points).T
    found = scene.to_lonlat(place[:, 1] + 0.5, place[:, 0] + 0.5)
    assert GEOD.inv(lons, lats, *found)[2] == pytest.approx(0, abs=0.02)


def test_an_image_cut_from_a_larger_one_keeps_its_place_and_calibration(tmp_path):
    import sarkit.sicd as sksicd

    product = make(tmp_path, factors={"SigmaZeroSFPoly": SIGMA})
    whole = open_scenes(product.path)[0]
    with product.path.open("rb") as file, sksicd.NitfReader(file) as reader:
        pixels, tree = reader.read_sub_image(40, 70, 240, 300)
        reader.metadata.xmltree = tree
    path = tmp_path / "cut.nitf"
    with path.open("wb") as file, warnings.catch_warnings(action="ignore"):
        sksicd.NitfWriter(file, reader.metadata).write_image(pixels.astype(np.complex64))
    cut = open_scenes(path)[0]
    assert cut.shape == (200, 230)
    np.testing.assert_allclose(cut.read()[0], whole.read(Window(70, 40, 230, 200))[0], rtol=1e-5)
    column, row = np.array([0.0, 115.0, 230.0]), np.array([200.0, 90.0, 0.0])
    here, there = cut.to_lonlat(column, row), whole.to_lonlat(column + 70, row + 40)
    assert GEOD.inv(*here, *there)[2] == pytest.approx(0, abs=0.02)


def test_what_the_metadata_say(tmp_path):
    scene = open_scenes(make(tmp_path).path)[0]
    assert (scene.sensor, scene.band, scene.polarisation, scene.mode) == ("umbra", "X", "VV", "spotlight")
    assert (scene.look_side, scene.date, scene.product_type) == ("right", "2023-07-18T02:30:33Z", "SICD")
    assert (scene.incidence_deg, scene.look_azimuth_deg, scene.frequency_ghz) == (35, 75, 9.6)
    assert (scene.orbit, scene.looks, scene.projection) == ("ascending", 1, "slant")
    with pytest.raises(UnknownFormat, match="HV"):
        open_scenes(scene.path, SceneOverrides(polarisation="HV"))


def test_without_radiometric_pixels_are_relative(tmp_path):
    product = make(tmp_path)
    scene = open_scenes(product.path)[0]
    assert (scene.radiometry, scene.quantity) == ("relative", "none")
    assert "no Radiometric" in scene.notes[0]
    np.testing.assert_allclose(scene.read()[0], product.power, rtol=1e-5)
    for quantity in ("beta0", "gamma0"):
        with pytest.raises(NotCalibrated, match=quantity):
            open_scenes(product.path, SceneOverrides(quantity=quantity))
        assert open_scenes(product.path, SceneOverrides(quantity=quantity, calibrate=False))


def test_quantities_and_noise(tmp_path):
    beta = np.array([[3.0e-4]])
    product = make(tmp_path / "both", factors={"SigmaZeroSFPoly": SIGMA, "BetaZeroSFPoly": beta}, noise_db=25.0)
    raw = open_scenes(product.path, SceneOverrides(calibrate=False))[0].read()[0]
    scene = open_scenes(product.path, SceneOverrides(quantity="beta0"))[0]
    np.testing.assert_allclose(scene.read()[0], raw * 3.0e-4, rtol=1e-5)
    quiet = open_scenes(product.path, SceneOverrides(quantity="beta0", denoise=True))[0]
    expected = np.maximum(raw - 10**2.5, 0) * 3.0e-4
    np.testing.assert_allclose(quiet.read()[0], expected, rtol=1e-4, atol=1e-6)
    gamma = open_scenes(product.path, SceneOverrides(quantity="gamma0"))[0]
    np.testing.assert_allclose(gamma.read()[0], product.power / np.sin(np.radians(55)), rtol=1e-4)
    assert "from sigma0 to gamma0" in gamma.notes[0]
    alone = make(tmp_path / "beta", factors={"BetaZeroSFPoly": beta})
    sigma = open_scenes(alone.path)[0]
    np.testing.assert_allclose(sigma.read()[0], raw * 3.0e-4 * np.cos(np.radians(56)), rtol=1e-4)
    negative = make(tmp_path / "bad", factors={"SigmaZeroSFPoly": np.array([[1e-4, 0], [-1e-6, 0]])})
    with pytest.raises(NotCalibrated, match="not positive"):
        open_scenes(negative.path)


def test_height_moves_the_image(tmp_path):
    product = make(tmp_path)
    scene = open_scenes(product.path, SceneOverrides(height_m=HEIGHT + 100))[0]
    assert 100 < miss_m(scene, product) < 250


@pytest.mark.parametrize("options", [{}, {"kind": "Geographic"}, {"pixel": "MONO16I"}])
def test_sidd(tmp_path, options):
    product = make_sidd(tmp_path, **options)
    scene = open_scenes(product.path)[0]
    np.testing.assert_allclose(scene.read()[0], product.power, rtol=1e-6)
    assert miss_m(scene, product) < 0.02 * product.pixel_m
    assert (scene.radiometry, scene.product_type, scene.sensor, scene.polarisation) == (
        "relative",
        "SIDD",
        "umbra",
        "VV",
    )
    assert (scene.incidence_deg, scene.look_azimuth_deg, scene.date) == (38, 280, "2025-09-23T15:58:33Z")
    with pytest.raises(NotCalibrated):
        open_scenes(product.path, SceneOverrides(quantity="beta0"))


def test_colours_are_no_radar_image(tmp_path):
    with pytest.raises(UnknownFormat, match="RGB24I"):
        open_scenes(make_sidd(tmp_path, pixel="RGB24I").path)


def test_files_are_found_by_what_they_hold(tmp_path):
    sicd = make(tmp_path / "scenes").path
    sidd = make_sidd(tmp_path / "scenes").path
    (tmp_path / "scenes" / "other.ntf").write_bytes(b"NITF02.10" + b"0" * 600)
    (tmp_path / "scenes" / "text.nitf").write_text("no image")
    assert find_scenes([tmp_path / "scenes"]) == sorted([sicd, sidd])


def test_phase_history_has_to_be_formed_first(tmp_path):
    path = tmp_path / "a.cphd"
    path.write_bytes(b"CPHD/1.0.1\nXML_BLOCK_SIZE := 10\n")
    with pytest.raises(UnknownFormat, match="phase history"):
        open_scenes(path)


def test_cut_off_files_are_refused(tmp_path):
    product = make(tmp_path)
    content = product.path.read_bytes()
    for size in (len(content) - 2000, 300_000, 1500):
        product.path.write_bytes(content[:size])
        with pytest.raises(DamagedProduct, match=r"complete|cut off"):
            open_scenes(product.path)


def test_compressed_files_are_refused(tmp_path):
    path = make(tmp_path).path
    segment = contents(path).segments[0]
    assert segment.plain
    with pytest.raises(UnknownFormat, match="compressed"):
        NitfRaster(path, "complex", SHAPE, "", None, segments=(segment._replace(plain=False),), pixel=">c8")
    with pytest.raises(DamagedProduct, match="301 rows"):
        NitfRaster(path, "complex", (301, 340), "", None, segments=(segment,), pixel=">c8")
    with pytest.raises(DamagedProduct, match="341 columns"):
        NitfRaster(path, "complex", (300, 341), "", None, segments=(segment,), pixel=">c8")


def test_without_sarkit_the_extra_is_named(tmp_path, monkeypatch):
    product = make(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "sarkit"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sarkit", None)
    with pytest.raises(ValueError, match=r"knowlip\[sicd\]"):
        open_scenes(product.path)


def test_data_set_of_a_sicd(tmp_path):
    product = make(tmp_path / "scenes", factors={"SigmaZeroSFPoly": SIGMA})
    out = tmp_path / "out"
    build(BuildConfig(scenes=[tmp_path / "scenes"], out=out, windows_m=(128, 64, 32), tile_px=32, workers=1))
    import geopandas

    tiles = geopandas.read_parquet(next(out.rglob("*.parquet")))
    assert len(tiles) >= 21
    assert set(tiles["quantity"]) == {"sigma0"}
    assert set(tiles["geolocation"]) == {"control-points"}
    assert tiles["geolocation_rms_m"].max() < 0.05 * min(SPACING)
    lons, lats = product.truth(np.array([SHAPE[1] / 2]), np.array([SHAPE[0] / 2]))
    assert GEOD.inv(tiles["lon"].mean(), tiles["lat"].mean(), lons[0], lats[0])[2] < 150
