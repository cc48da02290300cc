"""Terrain-corrected Sentinel-1 of four producers: power as stored, quantity by name, two scenes a folder."""

import numpy as np
import pytest
from affine import Affine

from knowlip.scenes import SceneOverrides, open_scenes
from knowlip.scenes.errors import NotCalibrated
from knowlip.scenes.find import search
from tests.scenes.products.tiffs import write_tiff

UTM = {"crs": "EPSG:32617", "transform": Affine(20, 0, 399960, 0, -20, 2900040)}
POWER = np.random.default_rng(0).gamma(4.4, 0.02, (1, 60, 70)).astype(np.float32)
HYP3 = "S1A_IW_20210719T070125_DVP_RTC30_G_{code}_0A5B"
LAYERS = ("dem", "inc_map", "ls_map", "area", "rgb")


@pytest.mark.parametrize(
    ("code", "quantity", "stored"),
    [
        ("gpuned", "gamma0", POWER),
        ("gduned", "gamma0", 10 * np.log10(POWER)),
        ("gauned", "gamma0", np.sqrt(POWER)),
        ("spuned", "sigma0", POWER),
    ],
)
def test_a_folder_of_hyp3_is_two_scenes(tmp_path, code, quantity, stored):
    folder = tmp_path / HYP3.format(code=code)
    folder.mkdir()
    for layer in ("VV", "VH", *LAYERS):
        write_tiff(folder / f"{folder.name}_{layer}.tif", stored, **UTM, nodata=0)
    write_tiff(folder / f"{folder.name}_inc_map_ell.tif", np.full_like(POWER, np.radians(38.5)), **UTM, nodata=0)
    classes = np.full(POWER.shape, 1, np.uint8)
    classes[0, :3], classes[0, 3:6, :35], classes[0, 6:9] = 0, 5, 17
    write_tiff(folder / f"{folder.name}_ls_map.tif", classes, **UTM)
    found = search([tmp_path])
    assert len(found.scenes) == 2
    (scene,) = open_scenes(next(path for path in found.scenes if "_VV" in path.name))
    np.testing.assert_allclose(scene.read()[0], POWER[0], rtol=1e-4)
    assert (scene.quantity, scene.radiometry, scene.product_type) == (quantity, "calibrated", "RTC")
    assert (scene.sensor, scene.unit, scene.band, scene.polarisation) == ("sentinel-1", "S1A", "C", "VV")
    assert (scene.date, scene.mode, scene.look_side) == ("2021-07-19T07:01:25Z", "IW", "right")
    assert scene.incidence_deg == pytest.approx(38.5, abs=1e-4)
    share = (3 * 35 + 3 * 70) / (57 * 70)
    assert scene.notes == (
        f"Layover and shadow are {share:.1%} of the ground by {folder.name}_ls_map.tif; they are kept, not masked.",
        "Layers beside it are not used: area, dem, inc_map, rgb.",
    )
    with pytest.raises(NotCalibrated, match="relief taken out"):
        open_scenes(found.scenes[0], SceneOverrides(quantity="beta0"))


def test_opera(tmp_path):
    stem = "OPERA_L2_RTC-S1_T069-147178-IW1_20180504T104507Z_20230101T100506Z_S1B_30_v1.0"
    for layer in ("VV", "VH"):
        write_tiff(
            tmp_path / f"{stem}_{layer}.tif",
            POWER,
            {"ORBIT_PASS_DIRECTION": "Descending"},
            **UTM,
            nodata=float("nan"),
        )
    classes = np.zeros(POWER.shape, np.uint8)
    classes[0, :6], classes[0, -5:] = 2, 255
    write_tiff(tmp_path / f"{stem}_mask.tif", classes, **UTM, nodata=255)
    static = "OPERA_L2_RTC-S1-STATIC_T069-147178-IW1_20140403_S1B_30_v1.0_incidence_angle.tif"
    write_tiff(tmp_path / static, np.full_like(POWER, 33.25), **UTM, nodata=float("nan"))
    found = search([tmp_path])
    assert [path.stem[-2:] for path in found.scenes] == ["VH", "VV"]
    (scene,) = open_scenes(found.scenes[1])
    assert scene.incidence_deg == 33.25
    assert (scene.unit, scene.date, scene.quantity) == ("S1B", "2018-05-04T10:45:07Z", "gamma0")
    assert scene.mode == "IW"  # not S1, a beam of stripmap that the family's name looks like
    # What the product calls fill is no data, whatever the image holds there; layover is kept and told.
    power, valid = scene.read()
    np.testing.assert_array_equal(power[:-5], POWER[0, :-5])
    assert valid[:-5].all()
    assert not valid[-5:].any()
    assert f"Layover and shadow are {6 / 55:.1%} of the ground" in scene.notes[0]
    assert scene.orbit == "descending"
    assert tmp_path / f"{stem}_mask.tif" in scene.sources
    write_tiff(tmp_path / f"{stem}_mask.tif", classes[:, :-1], **UTM, nodata=255)
    (scene,) = open_scenes(found.scenes[1])
    assert scene.read()[1].all()
    assert "is not used: it has 70 x 59 pixels" in scene.notes[0]


def test_palsar_rtc_is_gamma0_power(tmp_path):
    for layer in ("_HH", "_HV", ".dem", ".inc_map", "_ls_map"):
        write_tiff(tmp_path / f"AP_12345_FBD_F0670_RT1{layer}.tif", POWER, **UTM, nodata=0)
    found = search([tmp_path])
    assert [path.stem[-2:] for path in found.scenes] == ["HH", "HV"]
    (scene,) = open_scenes(found.scenes[0])
    assert (scene.sensor, scene.band, scene.quantity, scene.units) == ("palsar", "L", "gamma0", "intensity")
    np.testing.assert_array_equal(scene.read()[0], POWER[0])


def test_planetary_computer_is_dated_by_its_folder(tmp_path):
    folder = tmp_path / "S1A_IW_GRDH_1SDV_20220801T061518_20220801T061543_044360_054B3F_rtc" / "measurement"
    folder.mkdir(parents=True)
    for polarisation in ("vv", "vh"):
        write_tiff(folder / f"iw-{polarisation}.rtc.tiff", POWER, **UTM, nodata=-32768)
    found = search([tmp_path])
    assert len(found.scenes) == 2
    (scene,) = open_scenes(found.scenes[1])
    assert (scene.unit, scene.date, scene.quantity) == ("S1A", "2022-08-01T06:15:18Z", "gamma0")
    bare = tmp_path / "x" / "y" / "z" / "w" / "iw-vv.rtc.tiff"
    bare.parent.mkdir(parents=True)
    write_tiff(bare, POWER, **UTM, nodata=-32768)
    (scene,) = open_scenes(bare)
    assert (scene.unit, scene.date) == ("", "")
    assert "Neither name, folder nor tags say its date and satellite." in scene.notes


def test_a_folder_of_downloads_does_not_date_a_scene(tmp_path):
    for folder, date, mode in (
        ("downloads_2024-05-01", "", ""),
        ("S1A_S3_GRDH_1SDV_20220801T061518", "2022-08-01T06:15:18Z", "S3"),
    ):
        path = tmp_path / folder / "Gamma0_VV.tif"
        path.parent.mkdir()
        write_tiff(path, POWER, **UTM, nodata=0)
        (scene,) = open_scenes(path)
        assert (scene.date, scene.mode) == (date, mode)
        # Without a word of Sentinel-1 in folder or tags it is a file of that name, of a sensor that nothing says.
        assert (scene.sensor, scene.product) == (("sentinel-1", "Sentinel-1 RTC") if date else ("unknown", "GeoTIFF"))


def test_open_data_of_aws_is_described_by_its_tags(tmp_path):
    """Tags of a real file (S1A_20200103_17RMJ_ASC)."""
    tags = {"MISSION_ID": "S1A", "DATE": "2020-01-03", "ORBIT_DIRECTION": "ascending", "TILE_ID": "17RMJ"}
    for name in ("Gamma0_VV", "Gamma0_VH", "local_incident_angle"):
        write_tiff(tmp_path / f"{name}.tif", POWER, tags, **UTM, nodata=0)
    found = search([tmp_path])
    assert [path.stem for path in found.scenes] == ["Gamma0_VH", "Gamma0_VV"]
    (scene,) = open_scenes(found.scenes[1])
    assert (scene.unit, scene.date, scene.orbit, scene.quantity) == ("S1A", "2020-01-03", "ascending", "gamma0")
