"""ICEYE: one sine in complex images and none in ground-range ones; places by control points, orbit and corners."""

import pickle
import threading

import h5py
import numpy as np
import pytest
import rasterio
from rasterio.windows import Window

from knowlip.scenes import SceneOverrides, find_scenes
from knowlip.scenes.errors import DamagedProduct, NotCalibrated, SlantRange, UnknownFormat
from knowlip.scenes.find import open_scenes
from knowlip.scenes.xml import read_xml
from tests.scenes.products.iceye import FACTOR, angles, make
from tests.scenes.test_gaofen3 import miss_m


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"side": "left"},
        {"kind": "SLC"},
        {"kind": "SLC", "side": "left"},
        {"kind": "SLC", "dtype": "float32"},
        {"kind": "COG"},
    ],
)
def test_power_and_place(tmp_path, options):
    product = make(tmp_path, **options)
    scene = open_scenes(product.path)[0]
    power, valid = scene.read()
    assert valid.mean() > 0.995
    np.testing.assert_allclose(power[valid], product.power[valid], rtol=1e-4)
    assert miss_m(scene, product) < 0.1 * product.pixel_m
    assert (scene.radiometry, scene.quantity, scene.sensor, scene.band) == ("calibrated", "sigma0", "iceye", "X")
    assert scene.product_type == ("GRD" if options.get("kind", "GRD") == "GRD" else "SLC")


def test_both_branches_of_the_formula(tmp_path):
    """sigma0 = K DN^2 sin(theta) of complex pixels, K DN^2 of ground-range ones; beta0 the other way round."""
    theta = np.radians(angles(260))
    slc = make(tmp_path / "slc", kind="SLC")
    with h5py.File(slc.path) as file:
        number = file["s_i"][()].astype(float) ** 2 + file["s_q"][()].astype(float) ** 2
    for quantity, factor in (("sigma0", np.sin(theta)), ("beta0", 1.0), ("gamma0", np.tan(theta))):
        scene = open_scenes(slc.path, SceneOverrides(quantity=quantity))[0]
        np.testing.assert_allclose(scene.read()[0], FACTOR * number * factor, rtol=1e-4)
    grd = make(tmp_path / "grd")
    theta = np.radians(np.interp(np.arange(320), [0, 159.5, 319], [28, 30.5, 33]))
    for quantity, factor in (("sigma0", 1.0), ("beta0", 1 / np.sin(theta)), ("gamma0", 1 / np.cos(theta))):
        scene = open_scenes(grd.path, SceneOverrides(quantity=quantity))[0]
        np.testing.assert_allclose(scene.read()[0], grd.power * factor, rtol=1e-4)
    mirrored = open_scenes(make(tmp_path / "left", side="left").path, SceneOverrides(quantity="beta0"))[0]
    gain = mirrored.raster.calibration.gain.over(Window(0, 0, 320, 1))[0]
    assert gain[0] < gain[-1]  # near range is on the right


def test_what_the_metadata_say(tmp_path):
    scene = open_scenes(make(tmp_path / "a").path)[0]
    assert (scene.polarisation, scene.mode, scene.orbit, scene.look_side) == ("VV", "stripmap", "ascending", "right")
    assert (scene.date, scene.looks, scene.frequency_ghz) == ("2021-10-26T06:09:46Z", 2, 9.65)
    assert scene.incidence_deg == pytest.approx(30.5, abs=0.05)
    assert scene.look_azimuth_deg == pytest.approx(74.3, abs=0.2)  # 347 + 90 on the grid, its convergence, the curve
    assert scene.projection == "ground"
    cog = open_scenes(make(tmp_path / "b", kind="COG").path)[0]
    assert (cog.mode, cog.orbit, cog.projection) == ("spotlight", "descending", "slant")
    assert cog.look_azimuth_deg == pytest.approx(100.78)


def test_without_factor_nothing_is_invented(tmp_path):
    product = make(tmp_path, factor=None)
    scene = open_scenes(product.path)[0]
    assert (scene.radiometry, scene.quantity) == ("relative", "none")
    assert "calibration_factor" in scene.notes[0]
    np.testing.assert_allclose(scene.read()[0], product.power)
    with pytest.raises(NotCalibrated):
        open_scenes(product.path, SceneOverrides(quantity="gamma0"))


def test_corners_are_the_last_resort(tmp_path):
    for kind in ("SLC", "GRD"):
        product = make(tmp_path / kind, kind=kind, orbit=False, gcps=False)
        scene = open_scenes(product.path)[0]
        assert "four corners" in " ".join(scene.notes)
        assert miss_m(scene, product) < 5 * product.pixel_m
    product = make(tmp_path / "none", kind="SLC", orbit=False)
    with h5py.File(product.path, "r+") as file:
        del file["coord_first_far"]
    with pytest.raises(SlantRange, match="corners"):
        open_scenes(product.path)


def test_threads_and_processes_read_the_same(tmp_path):
    product = make(tmp_path, kind="SLC")
    raster = open_scenes(product.path)[0].raster
    expected = raster.read(Window(0, 0, 260, 300))[0]
    assert np.array_equal(pickle.loads(pickle.dumps(raster)).read(Window(0, 0, 260, 300))[0], expected)
    found = {}

    def read(row: int) -> None:
        found[row] = raster.read(Window(0, row, 260, 50))[0]

    threads = [threading.Thread(target=read, args=(row,)) for row in range(0, 300, 50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert np.array_equal(np.vstack([found[row] for row in range(0, 300, 50)]), expected)


def test_a_product_is_found_once(tmp_path):
    make(tmp_path / "scenes" / "grd")
    make(tmp_path / "scenes" / "both", kind="SLC")
    make(tmp_path / "scenes" / "both")
    (tmp_path / "scenes" / "grd" / "ICEYE_X6_QUICKLOOK_SM_153426_20211026T060946.tif").write_bytes(b"II")
    assert find_scenes([tmp_path / "scenes" / "grd"]) == [tmp_path / "scenes" / "grd"]
    assert len(find_scenes([tmp_path / "scenes"])) == 3
    beside = next((tmp_path / "scenes" / "both").glob("*_GRD_*.tif"))
    beside.with_name(beside.name.replace("_GRD_", "_QUICKLOOK_")).write_bytes(b"II")
    assert len(find_scenes([tmp_path / "scenes"])) == 3


def test_metadata_in_the_tags_of_the_file_suffice(tmp_path):
    product = make(tmp_path)
    xml = product.path.with_suffix(".xml")
    facts = {element.tag.upper(): element.text for element in read_xml(xml) if element.text}
    xml.unlink()
    with rasterio.open(product.path, "r+") as file:
        file.update_tags(**facts)
    scene = open_scenes(product.path)[0]
    np.testing.assert_allclose(scene.read()[0], product.power, rtol=1e-5)
    assert scene.polarisation == "VV"


def test_refusals(tmp_path):
    product = make(tmp_path / "a")
    product.path.with_suffix(".xml").unlink()
    with pytest.raises(DamagedProduct, match="metadata"):
        open_scenes(product.path)
    product = make(tmp_path / "b", kind="SLC")
    with pytest.raises(UnknownFormat, match="HH"):
        open_scenes(product.path, SceneOverrides(polarisation="HH"))
    product.path.write_bytes(product.path.read_bytes()[:3000])
    with pytest.raises((UnknownFormat, DamagedProduct)):
        open_scenes(product.path)
    product = make(tmp_path / "c", kind="SLC")
    with h5py.File(product.path, "r+") as file:
        del file["s_q"]
    with pytest.raises(DamagedProduct, match="s_q"):
        open_scenes(product.path)


def test_numbers_in_other_files_are_not_opened(tmp_path):
    """External storage would put any file of the system into a data set, an external link any other HDF5 file."""
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(4 * 64 * 64))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["s_i"] = np.ones((64, 64), np.float32)
    with h5py.File(tmp_path / "ICEYE_a.h5", "w") as file:
        file.create_dataset("s_i", (64, 64), "f4", external=[(str(secret), 0, secret.stat().st_size)])
        file["s_q"] = np.ones((64, 64), np.float32)
    with h5py.File(tmp_path / "ICEYE_b.h5", "w") as file:
        file["s_i"] = h5py.ExternalLink("other.h5", "/s_i")
        file["s_q"] = np.ones((64, 64), np.float32)
    for name, words in (("ICEYE_a.h5", "in other files"), ("ICEYE_b.h5", "link to another file")):
        with pytest.raises(DamagedProduct, match=words):
            open_scenes(tmp_path / name)
