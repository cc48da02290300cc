"""TerraSAR-X Level 1b against closed forms and pyproj."""

import re

import numpy as np
import pytest
import rasterio

from knowlip.scenes import SceneOverrides, find_scenes, open_scenes
from knowlip.scenes.errors import DamagedProduct, NoLocation, NotCalibrated, PoorGeolocation, SceneError, UnknownFormat
from knowlip.tiles.build import BuildConfig, build
from tests.scenes.products import terrasar
from tests.scenes.products.scramble import scramble
from tests.scenes.products.swath import GEOD

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def off_by(product, scene):
    """Largest distance in metres between the scene's geolocation and the truth."""
    rows, columns = scene.shape
    y, x = np.meshgrid(np.linspace(0, rows, 7), np.linspace(0, columns, 7))
    expected = product.truth(x.ravel(), y.ravel())
    return float(np.max(GEOD.inv(*scene.to_lonlat(x.ravel(), y.ravel()), *expected)[2]))


def main_of(product):
    return next(product.path.glob("*.xml"))


def edit(path, pattern, replacement):
    text, count = re.subn(pattern, replacement, path.read_text(), flags=re.DOTALL)
    assert count
    path.write_text(text)


@pytest.mark.parametrize(
    "options",
    [
        {"variant": "SSC"},
        {"variant": "SSC", "counted_from": 0},
        {"variant": "SSC", "heading": 350.0, "left": True},
        {"variant": "SSC", "georef": False},
        {"variant": "MGD"},
        {"variant": "MGD", "flipped": True},
        {"variant": "MGD", "projection": False},
        {"variant": "MGD", "georef": False, "heading": 10.0},
        {"variant": "MGD", "height": 1250.0},
        {"variant": "GEC"},
        {"variant": "EEC", "georef": False},
    ],
)
def test_places_are_within_a_pixel_of_the_truth(tmp_path, options):
    product = terrasar.make(tmp_path, **options)
    (scene,) = open_scenes(product.path)
    assert off_by(product, scene) < 0.1 * product.pixel_m


@pytest.mark.parametrize("georef", [True, False])
def test_geocoded_products_need_no_pixels_of_their_corners(tmp_path, georef):
    """DLR's schema makes refRow and refColumn optional, and no real EEC names them."""
    product = terrasar.make(tmp_path, "EEC", georef=georef)
    edit(main_of(product), r"<ref(Row|Column)>.*?</ref\1>", "")
    (scene,) = open_scenes(product.path)
    assert off_by(product, scene) < 0.1 * product.pixel_m
    power = scene.read()[0]
    np.testing.assert_allclose(power[1:-1, 1:-1], product.power[1:-1, 1:-1], rtol=1e-3, atol=1e-5)


def test_a_ground_image_without_pixels_is_refused(tmp_path):
    product = terrasar.make(tmp_path, "MGD", georef=False)
    edit(main_of(product), r"<ref(Row|Column)>.*?</ref\1>", "")
    with pytest.raises(NoLocation, match="refColumn"):
        open_scenes(product.path)


@pytest.mark.parametrize("variant", ["SSC", "MGD", "GEC"])
@pytest.mark.parametrize("quantity", ["beta0", "sigma0", "gamma0"])
@pytest.mark.parametrize("denoise", [False, True])
def test_calibration_is_the_closed_form(tmp_path, variant, quantity, denoise):
    product = terrasar.make(tmp_path, variant, quantity=quantity, denoise=denoise)
    (scene,) = open_scenes(product.path, SceneOverrides(quantity=quantity, denoise=denoise))
    power, valid = scene.read()
    assert (scene.radiometry, scene.quantity) == ("calibrated", quantity)
    inner = (slice(1, -1), slice(1, -1))
    assert valid[inner].all()
    np.testing.assert_allclose(power[inner], product.power[inner], rtol=2e-4, atol=2e-4 * 400 * 2.5e-5)


@pytest.mark.parametrize("variant", ["SSC", "MGD", "GEC"])
def test_incidence_from_centre_and_corners_alone(tmp_path, variant):
    product = terrasar.make(tmp_path, variant, georef=False, denoise=True)
    power = open_scenes(product.path, SceneOverrides(denoise=True))[0].read()[0]
    np.testing.assert_allclose(power[1:-1, 1:-1], product.power[1:-1, 1:-1], rtol=1e-3, atol=1e-5)


def test_the_formula_by_hand(tmp_path):
    """sigma0 = (k DN^2 - NEBN) sin(theta) at the first estimate's line, in the middle column."""
    product = terrasar.make(tmp_path, "SSC")
    clean = open_scenes(product.path, SceneOverrides(calibrate=False))[0].read()[0]
    (scene,) = open_scenes(product.path, SceneOverrides(denoise=True))
    k, nebn = 2.5e-5, 2.5e-5 * 400
    expected = max(k * clean[0, 140] - nebn, 0) * np.sin(np.radians(36))
    assert scene.read()[0][0, 140] == pytest.approx(expected, rel=1e-3)
    assert clean[0, 140] > 10


@pytest.mark.parametrize("variant", ["SSC", "MGD"])
def test_gdal_sees_the_same_product(tmp_path, variant):
    """Pixels, and where the grid names pixels the grid, by GDAL's own driver."""
    product = terrasar.make(tmp_path, variant)
    (scene,) = open_scenes(product.path, SceneOverrides(calibrate=False))
    try:
        file = rasterio.open(main_of(product))
    except rasterio.errors.RasterioIOError:
        pytest.skip("this GDAL has no TSX driver")
    with file:
        values, points = file.read(1), file.gcps[0]
    inner = (slice(1, -1), slice(1, -1))
    np.testing.assert_allclose(scene.read()[0][inner], (np.abs(values.astype(complex)) ** 2)[inner], rtol=1e-6)
    if variant == "SSC":
        # GDAL takes the numbers of pixels, which count from 1, as they are.
        theirs = np.array([(p.col - 0.5, p.row - 0.5, p.x, p.y) for p in points])
        mine = scene.geometry
        np.testing.assert_allclose(np.column_stack([mine.columns, mine.rows, mine.lons, mine.lats]), theirs)


def test_metadata_and_polarisations(tmp_path):
    product = terrasar.make(tmp_path, "SSC", polarisations=("HH", "VV"), mission="TDX")
    assert find_scenes([tmp_path]) == [product.path]
    (scene,) = open_scenes(product.path)
    assert (scene.sensor, scene.polarisation, scene.band) == ("tandem-x", "VV", "X")
    assert (scene.mode, scene.product_type, scene.projection, scene.looks) == ("stripmap", "SSC", "slant", 1)
    assert (scene.orbit, scene.look_side, scene.date) == ("descending", "right", "2011-01-01T05:12:34Z")
    assert scene.incidence_deg == pytest.approx(36)
    assert scene.look_azimuth_deg == pytest.approx(280)
    assert scene.frequency_ghz == pytest.approx(9.65)
    both = open_scenes(main_of(product), SceneOverrides(polarisation="all"))
    assert [(s.polarisation, s.scene_id[-3:]) for s in both] == [("HH", "-hh"), ("VV", "-vv")]
    with pytest.raises(UnknownFormat, match="HH, VV, not HV"):
        open_scenes(product.path, SceneOverrides(polarisation="HV"))
    mgd = open_scenes(terrasar.make(tmp_path, "MGD", left=True, mission="PAZ").path)[0]
    assert (mgd.sensor, mgd.looks, mgd.look_side, mgd.look_azimuth_deg) == ("paz", pytest.approx(2.4), "left", 100)


def test_relief_does_not_refuse_a_product_but_is_told(tmp_path):
    product = terrasar.make(tmp_path, "SSC", relief=300.0)
    (scene,) = open_scenes(product.path)
    assert "Relief" in scene.notes[0]
    (level,) = open_scenes(product.path, SceneOverrides(height_m=0.0))
    assert off_by(product, level) < product.pixel_m


def _break(product, what):
    main = main_of(product)
    raster = next(product.path.glob("IMAGEDATA/*"))
    if what == "raster missing":
        raster.unlink()
    elif what == "raster truncated":
        raster.write_bytes(raster.read_bytes()[: raster.stat().st_size // 2])
    elif what == "raster is no raster":
        raster.write_bytes(b"nothing")
    elif what == "other XML":
        main.write_text("<product/>")
    elif what == "main truncated":
        main.write_bytes(main.read_bytes()[:2000])
    elif what == "doctype":
        edit(main, "<level1Product ", '<!DOCTYPE a [<!ENTITY b "c">]><level1Product ')
    elif what == "other size":
        edit(main, "<numberOfRows>260<", "<numberOfRows>261<")
    elif what == "outside":
        edit(main, "<path>IMAGEDATA</path>", "<path>../../IMAGEDATA</path>")
    elif what == "no factor":
        edit(main, "<calFactor>[^<]*</calFactor>", "")
    elif what == "factor negative":
        edit(main, "<calFactor>[^<]*</calFactor>", "<calFactor>-1e-5</calFactor>")
    elif what == "another satellite":
        edit(main, "<mission>TSX-1</mission>", "<mission>LT-1</mission>")
    elif what == "no corners":
        edit(main, "<sceneCornerCoord>.*</sceneCornerCoord>", "")
    elif what == "ScanSAR":
        edit(main, "<imagingMode>SM<", "<imagingMode>SC<")
    elif what == "grid torn":
        edit(product.path / "ANNOTATION" / "GEOREF.xml", "<lat>[^<]*</lat>", "<lat>x</lat>")
    elif what == "grid shuffled":
        georef = product.path / "ANNOTATION" / "GEOREF.xml"
        places = re.findall("<lat>([^<]*)</lat>", georef.read_text())
        turned = iter(np.random.default_rng(0).permutation(places))
        georef.write_text(re.sub("<lat>[^<]*</lat>", lambda _: f"<lat>{next(turned)}</lat>", georef.read_text()))


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("raster missing", DamagedProduct),
        ("raster truncated", DamagedProduct),
        ("raster is no raster", DamagedProduct),
        ("other XML", UnknownFormat),
        ("main truncated", DamagedProduct),
        ("doctype", DamagedProduct),
        ("other size", DamagedProduct),
        ("outside", DamagedProduct),
        ("no factor", NotCalibrated),
        ("factor negative", NotCalibrated),
        ("another satellite", UnknownFormat),
        ("no corners", DamagedProduct),
        ("ScanSAR", UnknownFormat),
        ("grid torn", DamagedProduct),
        ("grid shuffled", PoorGeolocation),
    ],
)
@pytest.mark.parametrize("variant", ["SSC", "MGD"])
def test_refusals(tmp_path, variant, what, error):
    product = terrasar.make(tmp_path, variant)
    _break(product, what)
    if (variant, what) == ("MGD", "ScanSAR"):
        assert open_scenes(product.path)[0].mode == "scansar"
        return
    with pytest.raises(error, match="TSX1_SAR__"):
        open_scenes(product.path)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("variant", ["SSC", "MGD", "GEC"])
def test_nonsense_is_refused_in_words(tmp_path, variant):
    product = terrasar.make(tmp_path, variant, shape=(40, 50))
    refused = 0
    for what in scramble(product.path, 30):
        try:
            (scene,) = open_scenes(product.path, SceneOverrides(denoise=True))
            assert np.isfinite(scene.read()[0]).all(), what
        except SceneError:
            refused += 1
    assert refused > 5


def test_noise_that_is_not_described(tmp_path):
    product = terrasar.make(tmp_path, "MGD")
    edit(main_of(product), "<noise .*</noise>", "")
    open_scenes(product.path)
    with pytest.raises(NotCalibrated, match="noise"):
        open_scenes(product.path, SceneOverrides(denoise=True))


@pytest.mark.parametrize("variant", ["SSC", "GEC"])
def test_build(tmp_path, variant):
    product = terrasar.make(tmp_path, variant, shape=(400, 420))
    config = BuildConfig(
        scenes=[tmp_path], out=tmp_path / "dataset", windows_m=(512, 256, 128), tile_px=64, min_valid=0.5
    )
    result = build(config)
    assert result["scenes"] == 1
    assert result["accepted"] > 0
    assert not result["skipped"]
    assert product.path.exists()
