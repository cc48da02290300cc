"""Gaofen-3: calibration by the handbook's formula, RPCs as GDAL sees them, files of one product together."""

import numpy as np
import pytest
from pyproj import Geod

from knowlip.scenes import SceneOverrides, find_scenes
from knowlip.scenes.errors import DamagedProduct, NoLocation, NotCalibrated, UnknownFormat
from knowlip.scenes.find import open_scenes
from knowlip.scenes.rpcfile import read_rpc
from knowlip.tiles.build import build
from knowlip.tiles.plan import BuildConfig
from tests.scenes.products import Product
from tests.scenes.products.gaofen3 import SHAPE, make, rpb_text, rpc00b_text, rpcs
from tests.scenes.products.tiffs import write_tiff

GEOD = Geod(ellps="WGS84")


def miss_m(scene, product: Product) -> float:
    """Largest distance between the scene's and the true place of pixels all over the image, both ways."""
    rows, columns = scene.shape
    column, row = (a.ravel() for a in np.meshgrid(np.linspace(0, columns, 9), np.linspace(0, rows, 9)))
    lons, lats = product.truth(column, row)
    found = scene.to_lonlat(column, row)
    return float(np.max(GEOD.inv(lons, lats, *found)[2]))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rpc": "rpb"},
        {"level": "L1B"},
        {"level": "L2"},
        {"dtype": "float32"},
        {"polarisations": ("HH", "HV", "VH", "VV")},
    ],
)
def test_power_and_place(tmp_path, options):
    product = make(tmp_path / "p", **options)
    scene = open_scenes(product.path, SceneOverrides(polarisation="HH"))[0]
    power, valid = scene.read()
    assert valid.mean() > 0.999
    np.testing.assert_allclose(power[valid], product.power[valid], rtol=2e-5)
    assert miss_m(scene, product) < 0.05 * product.pixel_m
    assert (scene.radiometry, scene.quantity, scene.sensor, scene.band) == ("calibrated", "sigma0", "gaofen-3", "C")
    assert scene.units == ("complex" if options.get("level", "L1A") == "L1A" else "dn")


def test_what_the_metadata_say(tmp_path):
    scene = open_scenes(make(tmp_path / "p").path)[0]
    assert (scene.mode, scene.product_type, scene.projection, scene.product) == ("FSI", "L1A", "slant", "Gaofen-3")
    assert (scene.look_side, scene.orbit, scene.date) == ("right", "ascending", "2017-02-06T10:16:51Z")
    assert (scene.looks, scene.frequency_ghz) == (1, 5.400012)
    assert scene.incidence_deg == pytest.approx(31, abs=0.01)
    assert scene.look_azimuth_deg == pytest.approx(78, abs=1.5)
    assert scene.located
    assert scene.geometry.kind == "rpc"


def test_polarisations_become_scenes(tmp_path):
    path = make(tmp_path / "p", polarisations=("HH", "HV", "VH", "VV")).path
    assert [scene.polarisation for scene in open_scenes(path)] == ["VV"]
    scenes = open_scenes(path, SceneOverrides(polarisation="all"))
    assert [scene.polarisation for scene in scenes] == ["HH", "HV", "VH", "VV"]
    assert len({scene.scene_id for scene in scenes}) == 4
    gains = {scene.polarisation: scene.raster.calibration.gain.value for scene in scenes}
    assert gains["HV"] == pytest.approx((812.25 / 32767) ** 2 / 10**1.9125)
    assert gains["VV"] == pytest.approx((1400.5 / 32767) ** 2 / 10**2.125)
    with pytest.raises(UnknownFormat, match="RH"):
        open_scenes(path, SceneOverrides(polarisation="RH"))


def test_null_constants_are_not_invented(tmp_path):
    product = make(tmp_path / "p", constants={"HH": ("1521.7", "NULL"), "HV": ("812.25", "19.1")})
    scene = open_scenes(product.path)[0]
    assert (scene.radiometry, scene.quantity, scene.raster.calibration) == ("relative", "none", None)
    assert "CalibrationConst for HH" in scene.notes[0]
    other = open_scenes(product.path, SceneOverrides(polarisation="HV"))[0]
    assert other.radiometry == "calibrated"
    with pytest.raises(NotCalibrated, match="gamma0"):
        open_scenes(product.path, SceneOverrides(quantity="gamma0"))


def test_numbers_as_they_are(tmp_path):
    product = make(tmp_path / "p")
    scene = open_scenes(product.path, SceneOverrides(calibrate=False))[0]
    assert (scene.radiometry, scene.quantity) == ("relative", "none")
    stored = product.power / ((1521.7 / 32767) ** 2 / 10**2.05)
    np.testing.assert_allclose(scene.read()[0], stored, rtol=1e-6)


def test_other_quantities_follow_the_incidence_angle(tmp_path):
    product = make(tmp_path / "p")
    theta = np.radians(np.linspace(30, 32, SHAPE[1]))
    for quantity, factor in (("beta0", 1 / np.sin(theta)), ("gamma0", 1 / np.cos(theta))):
        scene = open_scenes(product.path, SceneOverrides(quantity=quantity))[0]
        assert scene.quantity == quantity
        np.testing.assert_allclose(scene.read()[0], product.power * factor, rtol=1e-4)
    bare = make(tmp_path / "q", incidence=False)
    with pytest.raises(NotCalibrated, match="incidence"):
        open_scenes(bare.path, SceneOverrides(quantity="beta0"))


def test_height_moves_the_image(tmp_path):
    product = make(tmp_path / "p")
    scene = open_scenes(product.path, SceneOverrides(height_m=512.0))[0]
    assert 20 < miss_m(scene, product) < 200


def test_corners_are_the_last_resort(tmp_path):
    product = make(tmp_path / "p", rpc="")
    scene = open_scenes(product.path)[0]
    assert scene.geometry.kind == "control-points"
    assert miss_m(scene, product) < 4 * product.pixel_m
    assert "four corners" in " ".join(scene.notes)
    text = product.path.read_text()
    product.path.write_text(text.replace("<topLeft>", "<elsewhere>").replace("</topLeft>", "</elsewhere>"))
    with pytest.raises(NoLocation, match=r"\.rpc"):
        open_scenes(product.path)


def test_a_product_is_found_once(tmp_path):
    one = make(tmp_path / "scenes" / "one")
    make(tmp_path / "scenes" / "both", level="L1A")
    make(tmp_path / "scenes" / "both", level="L2", polarisations=("HH",))
    found = find_scenes([tmp_path / "scenes"])
    assert [path.name for path in found][-1] == "one"
    assert len(found) == 3
    assert len(open_scenes(one.path.parent, SceneOverrides(polarisation="all"))) == 2
    detected = next(path for path in found if "_L2_" in path.name)
    assert open_scenes(detected)[0].projection == "map"


def test_a_folder_with_other_scenes_is_no_single_product(tmp_path):
    """Nothing beside a product, and nothing below it, is passed over."""
    make(tmp_path / "a")
    write_tiff(tmp_path / "a" / "another.tif", np.ones((1, 9, 9), np.uint8))
    assert [path.name for path in find_scenes([tmp_path / "a"])][-1] == "another.tif"
    assert len(find_scenes([tmp_path / "a"])) == 2
    make(tmp_path / "b")
    make(tmp_path / "b" / "below", level="L2")
    assert len(find_scenes([tmp_path / "b"])) == 2


def test_renamed_files_are_told_by_their_polarisation(tmp_path):
    product = make(tmp_path)
    for file in list(product.path.parent.iterdir()):
        if file.suffix in (".tiff", ".rpc"):
            file.rename(file.with_name(f"scene_{'HH' if '_HH_' in file.name else 'HV'}{file.suffix}"))
    write_tiff(tmp_path / "map.tif", np.ones((1, 9, 9), np.uint8))
    scene = open_scenes(product.path)[0]
    np.testing.assert_allclose(scene.read()[0], product.power, rtol=2e-5)
    assert miss_m(scene, product) < 0.05 * product.pixel_m


def test_cut_images_are_refused(tmp_path):
    product = make(tmp_path)
    tiff = next(product.path.parent.glob("*_HH_*.tiff"))
    write_tiff(tiff, np.ones((2, 100, 100), np.int16))
    with pytest.raises(DamagedProduct, match="was it cut"):
        open_scenes(product.path)
    write_tiff(tiff, np.ones((2, *SHAPE), np.uint16))
    with pytest.raises(UnknownFormat, match="uint16"):
        open_scenes(product.path)


def test_three_ways_to_write_an_rpc(tmp_path):
    values = rpcs()
    (tmp_path / "a.rpc").write_text(rpb_text(values))
    (tmp_path / "b.txt").write_text(rpc00b_text(values))
    inner = "".join(
        f"<{name.replace('_COEFF', 'COEF').replace('_OFF', 'OFFSET').replace('_', '')}>"
        + " ".join(repr(float(number)) for number in np.ravel(value))
        + f"</{name.replace('_COEFF', 'COEF').replace('_OFF', 'OFFSET').replace('_', '')}>"
        for name, value in values.items()
    )
    (tmp_path / "c.xml").write_text(f"<isd><RPB><IMAGE>{inner}</IMAGE></RPB></isd>")
    for name in ("a.rpc", "b.txt", "c.xml"):
        rpc = read_rpc(tmp_path / name)
        assert rpc.samp_scale == values["SAMP_SCALE"]
        for part in ("line_num_coeff", "line_den_coeff", "samp_num_coeff", "samp_den_coeff"):
            np.testing.assert_allclose(getattr(rpc, part), values[part.upper()], rtol=1e-14, err_msg=name)


def test_incomplete_products_are_refused(tmp_path):
    product = make(tmp_path / "p")
    for tiff in product.path.parent.glob("*.tiff"):
        tiff.unlink()
    with pytest.raises(DamagedProduct, match="no TIFF"):
        open_scenes(product.path)
    product = make(tmp_path / "q")
    rpc = next(product.path.parent.glob("*_HH_*.rpc"))
    rpc.write_text(rpc.read_text().replace("sampScale", "nothing"))
    with pytest.raises(DamagedProduct, match="SAMP_SCALE"):
        open_scenes(product.path)
    product.path.write_text("<!DOCTYPE x [<!ENTITY a 'b'>]>" + product.path.read_text().partition("?>")[2])
    with pytest.raises(DamagedProduct, match="DOCTYPE"):
        open_scenes(product.path)


def test_data_set_of_a_complex_product(tmp_path):
    product = make(tmp_path / "scenes" / "p", polarisations=("HH",))
    out = tmp_path / "out"
    build(
        BuildConfig(
            scenes=[product.path.parent],
            out=out,
            windows_m=(512, 256, 128),
            tile_px=32,
            workers=1,
        )
    )
    import geopandas

    tiles = geopandas.read_parquet(next(out.rglob("*.parquet")))
    assert len(tiles) >= 21
    assert set(tiles["quantity"]) == {"sigma0"}
    assert tiles["geolocation"].iloc[0] == "rpc"
    lons, lats = product.truth(np.array([SHAPE[1] / 2]), np.array([SHAPE[0] / 2]))
    assert GEOD.inv(tiles["lon"].mean(), tiles["lat"].mean(), lons[0], lats[0])[2] < 600
