"""Layers that are no backscatter are never scenes, whatever else is called so; what is not read is told; polarisations
and quantities that a file does not state are refused."""

import numpy as np
import pytest

from knowlip.scenes import SceneOverrides, find_scenes, open_scene, open_scenes
from knowlip.scenes.errors import NotCalibrated, NotStated, UnknownFormat
from knowlip.scenes.find import search
from knowlip.scenes.info import SceneInfoConfig, scene_info, show
from knowlip.scenes.layers import layer_of, layer_of_band, quantity_named, sensor_of_family, units_named
from tests.scenes.test_geotiff import write

HYP3 = "S1B_IW_20200607T161201_DVP_RTC30_G_{}_0A1B_{}"
OPERA = "OPERA_L2_RTC-S1_T001-000123-IW1_20230101T010203Z_20230102T010203Z_S1A_30_v1.0_{}"
STATIC = "OPERA_L2_RTC-S1-STATIC_T001-000123-IW1_20140403_S1A_30_v1.0_{}"
KOMPSAT = "K5_20200203040506_000000_12345_A_UH01_HH_GTC_B_L1D"
IMAGES = [
    HYP3.format("gpuned", "VV"),
    HYP3.format("sdmned", "VH"),
    OPERA.format("VV"),
    "AP_12345_FBD_F0670_RT1_HH",
    "N10E020_20_sl_HH_F02DAR",
    "N10E020_10_sl_HV",
    KOMPSAT,
    "Damaskus_20210105_VV",
    "S1A_20210117_VV_masked",
    "unmasked",
    "relabelled_VH",
    "study_area",
    "Demmin_VV",
    "Shadow_Valley_VV",
    "alphabet_S1Hand",
]
LAYERS = [
    *(HYP3.format("gpuned", word) for word in ("dem", "inc_map", "ls_map", "area", "rgb", "water_mask", "scatter")),
    *(OPERA.format(word) for word in ("mask", "VV_rgb")),
    *(
        STATIC.format(word)
        for word in ("incidence_angle", "local_incidence_angle", "number_of_looks", "rtc_anf_gamma0_to_beta0")
    ),
    *(f"AP_12345_FBD_F0670_RT1{word}" for word in (".dem", ".inc_map", "_ls_map")),
    *(f"N10E020_20_{word}_F02DAR" for word in ("linci", "mask", "date")),
    *(f"{KOMPSAT}_{word}" for word in ("GIM", "LUT", "QL")),
    "S1A_20210117_VV_mask",
    "water_mask_2021",
    "Bolivia_1_LabelHand",
    "port_dem",
    "S1A_VV_localIncidenceAngle",
    "S1_rgb",
    "sigma_lut",
]


@pytest.mark.parametrize("name", IMAGES)
def test_images_are_images(name):
    assert layer_of(name) == ""


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_none(tmp_path, name):
    assert layer_of(name)
    path = write(tmp_path / f"{name}.tif", np.ones((8, 8), np.float32))
    with pytest.raises(UnknownFormat, match="no backscatter"):
        open_scenes(path)
    with pytest.raises(ValueError, match="passed over"):
        find_scenes([tmp_path])
    assert open_scene(path, SceneOverrides(raster_band=1)).read()[1].all()  # who says so is believed


def test_what_published_names_state(tmp_path):
    assert (units_named(HYP3.format("gpuned", "VV")), quantity_named(HYP3.format("gpuned", "VV"))) == (
        "intensity",
        "gamma0",
    )
    assert (units_named(HYP3.format("sdmned", "VV")), quantity_named(HYP3.format("sdmned", "VV"))) == ("db", "sigma0")
    assert sensor_of_family("N10E020_20_sl_HH_F02DAR") == ("palsar-2", "L")
    assert sensor_of_family("N10E020_09_sl_HH") == ("palsar", "L")
    scene = open_scene(write(tmp_path / f"{OPERA.format('VH')}.tif", np.full((9, 9), 0.1, np.float32)))
    found = scene.sensor, scene.band, scene.polarisation, scene.quantity, scene.units
    assert found == ("sentinel-1", "C", "VH", "gamma0", "intensity")


def test_bands_that_are_layers(tmp_path):
    assert layer_of_band("incidenceAngleFromEllipsoid")
    assert layer_of_band("height", "m")
    assert not layer_of_band("Sigma0_VV", "intensity")
    values = np.random.default_rng(0).exponential(1, (2, 20, 20)).astype(np.float32)
    path = write(tmp_path / "a.tif", values, ("elevation", "backscatter"))
    np.testing.assert_array_equal(open_scene(path).read()[0], values[1])
    with pytest.raises(UnknownFormat, match=r"no backscatter .* elevations"):
        open_scene(write(tmp_path / "b.tif", values[0], ("elevation",)))


def test_a_colour_picture_is_no_scene(tmp_path):
    values = np.random.default_rng(0).integers(1, 255, (3, 20, 20)).astype(np.uint8)
    path = write(tmp_path / "a.tif", values, photometric="RGB")
    with pytest.raises(UnknownFormat, match="colour picture"):
        open_scene(path)
    assert open_scene(path, SceneOverrides(raster_band=2)).shape == (20, 20)


def test_what_is_passed_over_is_told(tmp_path):
    values = np.ones((8, 8), np.float32)
    (tmp_path / "Masks").mkdir()
    (tmp_path / "masked").mkdir()
    for name in ("S1_VV", "S1_VV_mask", "masked/S1_VV_2", "Masks/S1_VV_3", "S1_VV.landcover"):
        write(tmp_path / f"{name}.tif", values)
    (tmp_path / "picture.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("")
    found = search([tmp_path])
    assert found.scenes == [tmp_path / "S1_VV.tif", tmp_path / "masked" / "S1_VV_2.tif"]
    told = {item.path.name: item.reason for item in found.passed_over}
    assert told == {
        "S1_VV_mask.tif": "holds a mask",
        "S1_VV_3.tif": "lies in a folder Masks",
        "picture.png": "nothing describes it",
    }
    result = scene_info(SceneInfoConfig([tmp_path], pixels=False))
    assert len(result["passed_over"]) == 3
    assert "passed over holds a mask" in show(result)


def test_linked_folders_are_searched_once(tmp_path):
    values = np.ones((8, 8), np.float32)
    (tmp_path / "disk").mkdir()
    (tmp_path / "set").mkdir()
    write(tmp_path / "disk" / "a.tif", values)
    (tmp_path / "set" / "link").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "back").symlink_to(tmp_path / "set")
    assert find_scenes([tmp_path / "set"]) == [tmp_path / "set" / "link" / "a.tif"]


# ---- polarisations and quantities ------------------------------------------------------------------------------------


def test_a_polarisation_that_is_not_stated(tmp_path):
    values = np.random.default_rng(0).exponential(1, (2, 20, 20)).astype(np.float32)
    path = write(tmp_path / "S1A_VV_VH.tif", values)
    scene = open_scene(path)
    assert scene.polarisation == ""
    assert "Band 1 of 2" in " ".join(scene.notes)
    for asked in ("VV", "VH", "HH"):
        with pytest.raises(NotStated, match=f"so {asked} cannot be chosen"):
            open_scene(path, SceneOverrides(polarisation=asked))
    told = open_scene(path, SceneOverrides(polarisation="VH", raster_band=2))
    assert told.polarisation == "VH"
    np.testing.assert_array_equal(told.read()[0], values[1])
    assert open_scenes(path, SceneOverrides(polarisation="all"))[0].polarisation == ""


def test_a_polarisation_that_is_stated_otherwise(tmp_path):
    path = write(tmp_path / "S1A_VV.tif", np.ones((8, 8), np.float32))
    assert open_scene(path, SceneOverrides(polarisation="vv")).polarisation == "VV"
    for more in ({}, {"raster_band": 1}):
        with pytest.raises(UnknownFormat, match="holds VV, not VH"):
            open_scene(path, SceneOverrides(polarisation="VH", **more))


def test_a_quantity_is_honoured_or_refused(tmp_path):
    values = np.full((8, 8), 0.2, np.float32)
    gamma = write(tmp_path / "a.tif", values, ("Gamma0_VV",))
    assert open_scene(gamma).quantity == "gamma0"
    assert open_scene(gamma, SceneOverrides(quantity="gamma0")).quantity == "gamma0"
    with pytest.raises(NotCalibrated, match="beta0 cannot be computed"):
        open_scene(gamma, SceneOverrides(quantity="beta0"))
    plain = write(tmp_path / "b.tif", values)
    assert (open_scene(plain).quantity, open_scene(plain).radiometry) == ("none", "")
    with pytest.raises(NotCalibrated, match="cannot be read as gamma0"):
        open_scene(plain, SceneOverrides(quantity="gamma0"))


def test_a_stored_quantity_with_its_angle_is_computed(tmp_path):
    import rasterio

    path = write(tmp_path / "a.tif", np.full((8, 8), 0.2, np.float32))
    with rasterio.open(path, "r+") as file:
        file.update_tags(KNOWLIP_UNITS="intensity", KNOWLIP_QUANTITY="sigma0", KNOWLIP_INCIDENCE_DEG="40")
    scene = open_scene(path, SceneOverrides(quantity="gamma0"))
    assert scene.quantity == "gamma0"
    np.testing.assert_allclose(scene.read()[0], 0.2 / np.cos(np.radians(40)), rtol=1e-5)
    assert open_scene(path).quantity == "sigma0"


# ---- several bands of one polarisation -------------------------------------------------------------------------------


def bands(tmp_path, *names):
    values = np.random.default_rng(0).gamma(4, 0.02, (len(names), 20, 20)).astype(np.float32)
    return write(tmp_path / "a.tif", values, names)


def test_the_calibrated_band_of_a_polarisation_is_read_and_the_others_are_told(tmp_path):
    path = bands(tmp_path, "Amplitude_VV", "Gamma0_VV", "Sigma0_VV", "Sigma0_VH")
    scene = open_scene(path)
    assert (scene.raster.raster_band, scene.quantity) == (3, "sigma0")
    assert "others of its polarisation are not: 2 (Gamma0_VV), 1 (Amplitude_VV)" in " ".join(scene.notes)
    assert open_scene(path, SceneOverrides(quantity="gamma0")).raster.raster_band == 2
    assert "others" not in " ".join(open_scene(path, SceneOverrides(polarisation="VH")).notes)


def test_bands_that_are_not_read_are_told(tmp_path):
    dates = open_scene(bands(tmp_path, "VV_20200101", "VV_20210101"))
    assert (dates.raster.raster_band, dates.date) == (1, "2020-01-01")
    assert "2 (VV_20210101). Choose with --read.raster_band" in " ".join(dates.notes)
    unnamed = open_scene(bands(tmp_path, "VV", ""))
    assert "nothing says of which polarisation: band 2 (without a name)" in " ".join(unnamed.notes)


@pytest.mark.parametrize("name", ["VV_stdDev", "VV_std", "VV_variance", "VV_var", "VV_count", "VV_min", "VV_max_2021"])
def test_statistics_of_many_images_are_no_backscatter(tmp_path, name):
    assert open_scene(bands(tmp_path, name, "VV_mean")).raster.raster_band == 2
    with pytest.raises(UnknownFormat, match="no backscatter"):
        open_scene(bands(tmp_path, name))


@pytest.mark.parametrize("name", ["VV_VH_ratio", "VV/VH", "Sigma0_VV - Sigma0_VH", "VV_difference", "VV_diff"])
def test_ratios_and_differences_are_no_backscatter(tmp_path, name):
    assert layer_of_band(name)
    assert not layer_of_band("Gamma0_VV_mean")
    assert not layer_of_band("S1A-IW-VV")
