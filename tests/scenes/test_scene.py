"""Scenes: what is understood of a file, what is data, and one clear sentence for what cannot be used."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image
from pyproj import Geod
from rasterio.windows import Window
from scipy import ndimage

from knowlip.scenes import SceneOverrides, find_scenes, open_scene, unique_ids
from knowlip.scenes.errors import NotStated
from knowlip.scenes.names import date_of, polarisation_of, scene_id_of, second_of, sensor_of
from tests.tiles.rasters import speckle, write_scene


def test_tags_of_the_simulator(tmp_path):
    tags = {
        "KNOWLIP_SENSOR": "sim-ku",
        "KNOWLIP_BAND": "Ku",
        "KNOWLIP_POLARISATION": "HH",
        "KNOWLIP_UNITS": "amplitude",
        "KNOWLIP_LOOKS": "4.0",
        "KNOWLIP_INCIDENCE_DEG": "35",
        "KNOWLIP_LOOK_AZIMUTH_DEG": "90",
        "KNOWLIP_DATE": "2025-06-01",
        "KNOWLIP_RADIOMETRY": "simulated",
    }
    scene = open_scene(write_scene(tmp_path / "rotterdam-ku.tif", speckle((40, 50)), pixel=0.2, nodata=0, tags=tags))
    assert (scene.scene_id, scene.sensor, scene.band, scene.polarisation) == ("rotterdam-ku", "sim-ku", "Ku", "HH")
    assert (scene.units, scene.looks, scene.incidence_deg, scene.look_azimuth_deg) == ("amplitude", 4, 35, 90)
    assert (scene.date, scene.radiometry, scene.nodata, scene.dtype) == ("2025-06-01", "simulated", 0, "float32")
    assert scene.shape == (40, 50)
    assert scene.crs.to_epsg() == 32631
    assert scene.resolution_m == pytest.approx(0.2, rel=0.001)


def test_geometry_is_geodesic(tmp_path):
    """Degrees are anisotropic: 60 degrees north, a pixel as wide as high in degrees is half as wide in metres."""
    step = 1e-4
    transform = Affine(step, 0, 10.0, 0, -step, 60.0)
    scene = open_scene(write_scene(tmp_path / "a.tif", speckle((100, 200)), crs="EPSG:4326", transform=transform))
    width, height = scene.pixel_size_m
    geod = Geod(ellps="WGS84")
    assert width == pytest.approx(geod.inv(10.01, 59.995, 10.01 + step, 59.995)[2], rel=1e-6)
    assert height == pytest.approx(geod.inv(10.01, 59.995, 10.01, 59.995 + step)[2], rel=1e-6)
    assert scene.resolution_m == pytest.approx((width * height) ** 0.5)
    np.testing.assert_allclose(scene.footprint.bounds, (10.0, 59.99, 10.02, 60.0), atol=1e-9)
    assert scene.center == pytest.approx((10.01, 59.995))


def test_footprint_across_the_antimeridian(tmp_path):
    transform = Affine(0.01, 0, 179.5, 0, -0.01, 1.0)
    scene = open_scene(write_scene(tmp_path / "a.tif", speckle((100, 100)), crs="EPSG:4326", transform=transform))
    assert scene.footprint.geom_type == "MultiPolygon"
    assert scene.footprint.area == pytest.approx(1.0)
    assert scene.footprint.bounds[0] == -180
    assert scene.footprint.bounds[2] == 180


@pytest.mark.parametrize("units", ["amplitude", "intensity", "db", "dn"])
def test_units_give_the_same_power(tmp_path, units):
    """20 log10(A) = 10 log10(I)."""
    power = np.random.default_rng(0).exponential(2, (30, 30)).astype(np.float32) + 0.01
    stored = {"amplitude": np.sqrt(power), "intensity": power, "db": 10 * np.log10(power), "dn": np.sqrt(power)}[units]
    path = write_scene(tmp_path / "a.tif", stored.astype(np.float32))
    read, valid = open_scene(path, SceneOverrides(units=units)).read()
    np.testing.assert_allclose(read, power, rtol=1e-5)
    assert valid.all()


def test_units_are_detected(tmp_path):
    decibel = write_scene(tmp_path / "a.tif", np.linspace(-30, 5, 400, dtype=np.float32).reshape(20, 20))
    assert open_scene(decibel).units == "db"
    with pytest.raises(NotStated, match="cannot hold intensity"):
        open_scene(decibel, SceneOverrides(units="intensity"))
    assert open_scene(write_scene(tmp_path / "b.tif", speckle((20, 20)))).units == "intensity"
    assert open_scene(write_scene(tmp_path / "c.tif", np.full((20, 20), 9, np.uint16))).units == "dn"


def test_nan_and_declared_nodata_are_not_data(tmp_path):
    values = speckle((20, 20))
    values[:5] = np.nan
    values[5:8] = -99
    power, valid = open_scene(write_scene(tmp_path / "a.tif", values, nodata=-99)).read()
    np.testing.assert_array_equal(valid, np.arange(20)[:, None].repeat(20, 1) >= 8)
    assert np.all(power[~valid] == 0)


def test_a_black_collar_is_not_data_but_an_interior_zero_is(tmp_path):
    values = np.full((60, 80), 100, np.uint16)
    rows, columns = np.indices(values.shape)
    inside = (columns > 5 + rows // 4) & (columns < 60 + rows // 4) & (rows > 3)
    values[~inside] = 0
    values[30:33, 40:43] = 0
    scene = open_scene(write_scene(tmp_path / "a.tif", values))
    _, valid = scene.read()
    rim = inside & ~ndimage.binary_erosion(inside, border_value=1)
    np.testing.assert_array_equal(valid & ~rim, inside & ~rim)
    assert not valid[rim & (columns < 70)].any()  # the collar's inner edge is eroded
    _, part = scene.read(Window(20, 10, 33, 21))
    np.testing.assert_array_equal(part, valid[10:31, 20:53])


def test_windows(tmp_path):
    values = speckle((50, 60))
    scene = open_scene(write_scene(tmp_path / "a.tif", values))
    power, _ = scene.read(Window(7, 11, 20, 30))
    np.testing.assert_array_equal(power, values[11:41, 7:27])
    with pytest.raises(ValueError, match="empty window"):
        scene.read(Window(0, 0, 0, 5))
    with pytest.raises(ValueError, match="not inside"):
        scene.read(Window(50, 0, 20, 5))


def test_a_scene_travels_to_another_process(tmp_path):
    scene = open_scene(write_scene(tmp_path / "a.tif", speckle((20, 20))))
    expected = scene.read()[0]
    copy = pickle.loads(pickle.dumps(scene))
    np.testing.assert_array_equal(copy.read()[0], expected)


def test_a_chosen_band(tmp_path):
    path = tmp_path / "two.tif"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=8,
        height=8,
        count=2,
        dtype="float32",
        crs="EPSG:32631",
        transform=Affine(10, 0, 5e5, 0, -10, 5e6),
    ) as target:
        target.write(np.stack([np.full((8, 8), 2.0), np.full((8, 8), 3.0)]).astype(np.float32))
        target.set_band_description(1, "VV")
        target.set_band_description(2, "VH")
    assert open_scene(path).polarisation == "VV"
    second = open_scene(path, SceneOverrides(raster_band=2))
    assert second.polarisation == "VH"
    assert second.read()[0].max() == 3
    with pytest.raises(ValueError, match="raster_band: 3 does not exist"):
        open_scene(path, SceneOverrides(raster_band=3))


def chips(folder: Path, corners=None) -> Path:
    folder.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(5, 250, (64, 64, 3), dtype=np.uint8)).save(folder / "001.png")
    Image.fromarray(np.ones((64, 64), np.uint8)).save(folder / "unlisted.png")
    x, y = -13234943.6, 4048140.8
    entry = {
        "fragment_filename": "001.png",
        "sar_tile_name": "S1A_IW_GRDH_1SDV_20201107T135241_20201107T135306_035143_041A16_322B.SAFE",
        "sar_tile_sensing_date": "07.11.2020",
        "corners_EPSG:3395": corners or [[x, y], [x + 640, y], [x + 640, y - 640], [x, y - 640]],
    }
    (folder / "metadata.json").write_text(json.dumps([entry]))
    return folder


def test_chips_with_corners(tmp_path):
    folder = chips(tmp_path / "chips")
    assert find_scenes([folder]) == [folder / "001.png"]
    scene = open_scene(folder / "001.png")
    assert (scene.sensor, scene.band, scene.units, scene.date) == ("sentinel-1", "C", "dn", "2020-11-07T13:52:41Z")
    assert scene.crs.to_epsg() == 3395
    assert scene.transform @ (64, 64) == pytest.approx((-13234943.6 + 640, 4048140.8 - 640))
    assert scene.resolution_m == pytest.approx(8.27, abs=0.02), "Mercator metres are shorter on the ground"
    assert scene.scene_id == "chips-001"


def test_chips_with_bad_corners(tmp_path):
    with pytest.raises(ValueError, match="no four corners"):
        open_scene(chips(tmp_path / "a", [[0, 0]]) / "001.png")
    with pytest.raises(ValueError, match="enclose no area"):
        open_scene(chips(tmp_path / "b", [[0, 0]] * 4) / "001.png")
    with pytest.raises(ValueError, match="cannot be understood"):
        open_scene(chips(tmp_path / "c", ["a", "b", "c", "d"]) / "001.png")
    with pytest.raises(ValueError, match="no coordinate reference system"):
        open_scene(tmp_path / "a" / "unlisted.png")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path, "does not exist"),
        (lambda path: (path.write_bytes(b""), path)[1], "not a raster"),
        (lambda path: (path.write_text("hello"), path)[1], "not a raster"),
        (lambda path: (path.mkdir(), path)[1], "is a folder"),
        (lambda path: write_scene(path, speckle((8, 8)), crs=None), "no coordinate reference system"),
        (lambda path: write_scene(path, np.full((8, 8), np.nan, np.float32)), "no valid pixel"),
        (lambda path: write_scene(path, np.zeros((8, 8), np.uint16)), "no valid pixel"),
        (lambda path: write_scene(path, np.full((8, 8), 5, np.uint8), nodata=5), "no valid pixel"),
    ],
)
def test_bad_input_is_one_clear_sentence(tmp_path, make, message):
    path = make(tmp_path / "bad.tif")
    with pytest.raises(ValueError, match=message) as caught:
        open_scene(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_pixels_are_one_clear_sentence(tmp_path):
    path = write_scene(tmp_path / "a.tif", speckle((512, 512)))
    with (
        rasterio.open(path) as source,
        rasterio.open(tmp_path / "b.tif", "w", **{**source.profile, "compress": "deflate"}) as target,
    ):
        target.write(source.read())
    data = bytearray((tmp_path / "b.tif").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    (tmp_path / "b.tif").write_bytes(data)
    with pytest.raises(ValueError, match=r"b.tif cannot be read, is it complete\?"):
        open_scene(tmp_path / "b.tif").read()


def test_ground_control_points_only(tmp_path):
    from rasterio.control import GroundControlPoint

    path = write_scene(tmp_path / "a.tif", speckle((8, 8)), crs=None)
    points = [GroundControlPoint(row=r, col=c, x=10 + c / 1e4, y=50 - r / 1e4) for r in (0, 8) for c in (0, 8)]
    with rasterio.open(path, "r+") as target:
        target.gcps = (points, rasterio.crs.CRS.from_epsg(4326))
    scene = open_scene(path)
    assert scene.geometry.kind == "control-points"
    assert scene.to_lonlat(np.array([4.0]), np.array([2.0])) == pytest.approx((10.0004, 49.9998), abs=1e-6)


def test_find_scenes_passes_over_what_is_no_scene(tmp_path):
    wanted = [write_scene(tmp_path / name, speckle((8, 8))) for name in ("a.tif", "sub/b.TIF", "c.tiff")]
    for name in ("a.landcover.tif", "x_LabelHand.tif", "Labels/y.tif", ".hidden.tif"):
        write_scene(tmp_path / name, speckle((8, 8)))
    (tmp_path / "a.truth.geojson").write_text("{}")
    assert find_scenes([tmp_path]) == sorted(wanted)
    assert find_scenes([tmp_path / "a.tif", tmp_path]) == sorted(wanted), "each once"
    assert find_scenes([tmp_path / "Labels" / "y.tif"]) == [tmp_path / "Labels" / "y.tif"], "named by the user"
    with pytest.raises(ValueError, match="does not exist"):
        find_scenes([tmp_path / "nowhere"])
    (tmp_path / "nothing").mkdir()
    with pytest.raises(ValueError, match="No scene found"):
        find_scenes([tmp_path / "nothing"])


def test_names():
    assert scene_id_of(Path("Ghana_53713 S1Hand.v2.tif")) == "ghana-53713-s1hand-v2"
    assert unique_ids(["a", "a", "a-2", "b", "a"]) == ["a", "a-3", "a-2", "b", "a-4"]
    assert sensor_of("S1A_IW_GRDH_1SDV_20201107T135241.SAFE") == ("sentinel-1", "C")
    assert sensor_of("Ghana_53713_S1Hand.tif") == ("sentinel-1", "C")
    assert sensor_of("paris1a_x.tif") == ("", "")
    assert date_of("S1A__IW___A_20150309T173017_VV") == "2015-03-09T17:30:17Z"
    assert date_of("losangeles_port_2021-01-05") == "2021-01-05"
    assert date_of("tile_20219999") == ""
    assert polarisation_of("S1A_20150309T173017_VV_grd") == "VV"
    assert polarisation_of("vv_vh") == ""


DATA = Path(os.environ.get("KNOWLIP_DATA", Path(__file__).parents[3] / "shared" / "data"))


def test_real_scenes_are_understood():
    if not (DATA / "s1-geotiff").is_dir():
        pytest.skip(f"no real scenes in {DATA}")
    port = open_scene(DATA / "s1-geotiff" / "losangeles_port_2021-01-05.tif")
    assert (port.units, port.dtype, port.date) == ("db", "float64", "2021-01-05")
    assert port.resolution_m == pytest.approx(30, rel=0.001)
    radar = open_scene(DATA / "s1-geotiff" / "S1A__IW___A_20150309T173017_VV_grd_mli_geo_norm_db.tif")
    assert (radar.sensor, radar.band, radar.polarisation, radar.units) == ("sentinel-1", "C", "VV", "db")
    assert radar.resolution_m == pytest.approx(20, rel=0.001)


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        ("2021-01-05T05:33:11.123456Z", "2021-01-05T05:33:11Z"),
        ("2021-01-05 05:33:11.5", "2021-01-05T05:33:11Z"),
        ("2021-01-05", "2021-01-05"),
        ("2021-01-05T01:33:11.5+05:30", "2021-01-04T20:03:11Z"),
        ("2021-12-31T22:00:00-0300", "2022-01-01T01:00:00Z"),
        ("2021-01-05T05:33:11+99:00", ""),
        ("05-JAN-2021", ""),
    ],
)
def test_times_with_an_offset_are_brought_to_utc(stamp, expected):
    assert second_of(stamp) == expected
