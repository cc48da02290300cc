"""Units that nothing states, by the distribution of the pixels; numbers that stand for no data; scale and offset."""

import numpy as np
import pytest

from knowlip.scenes import SceneOverrides, open_scene
from knowlip.scenes.errors import NotStated
from knowlip.scenes.raster import ArrayFile
from knowlip.scenes.units import settle
from tests.scenes.test_geotiff import write

RNG = np.random.default_rng(0)
POWER = (0.05 * RNG.uniform(0.3, 1.7, (10, 10)).repeat(16, 0).repeat(16, 1) * RNG.gamma(4, 0.25, (160, 160))).astype(
    np.float32
)
DB = 10 * np.log10(POWER)


def settled(values, **known):
    values = np.asarray(values)
    units = "complex" if values.dtype.kind == "c" else "dn"
    raster = ArrayFile("a", units, values.shape, str(values.dtype), known.get("nodata"), _array=values)
    return raster, settle(raster, known.get("stated", ""))


def few_negative(share):
    values = POWER.copy()
    values[np.random.default_rng(1).random(values.shape) < share] = -0.0005
    return values


@pytest.mark.parametrize(
    ("values", "units"),
    [
        (POWER, "intensity"),
        (few_negative(0.01), "intensity"),
        (few_negative(0.3), "intensity"),
        (POWER * 1e6 - 1000, "intensity"),  # squared numbers less their noise
        (np.random.default_rng(2).normal(0, 0.002, (100, 100)), "intensity"),  # calm water less its noise
        (DB, "db"),
        (DB + 12, "db"),  # a town: the median is not negative
        (DB.astype(np.float64), "db"),
        (np.arange(1, 101, dtype=np.uint16).reshape(10, 10), "dn"),
    ],
)
def test_units_by_the_distribution(values, units):
    raster, notes = settled(values)
    assert raster.units == units
    assert "not stated" in " ".join(notes)


def test_one_pixel_decides_nothing():
    values = POWER.copy()
    values[3, 3] = -1e-6
    assert settled(values)[0].units == "intensity"
    levels = DB.copy()
    levels[5, 5] = 40
    assert settled(levels)[0].units == "db"


def test_what_fits_both_is_asked_for():
    with pytest.raises(NotStated, match="fit power and dB alike"):
        settled(np.linspace(-3, 30, 10_000).reshape(100, 100))
    with pytest.raises(NotStated, match="whole numbers are negative"):
        settled(np.round(DB).astype(np.int16))
    assert settled(np.round(DB).astype(np.int16), stated="db")[0].units == "db"


@pytest.mark.parametrize("fill", [-9999, -999, -99, -3.4028235e38])
@pytest.mark.parametrize("values", [POWER, DB])
def test_numbers_that_stand_for_no_data(values, fill):
    filled = values.copy()
    filled[:, :40] = fill
    raster, notes = settled(filled)
    assert raster.units == ("db" if values is DB else "intensity")
    assert raster.valid_fraction() == pytest.approx(0.75)
    assert fill < -1e30 or f"{fill:g}" in " ".join(notes)


def test_zeros_of_levels_in_decibels():
    collar, holes, rounded = DB.copy(), DB.copy(), np.round(DB + 12)
    collar[:, :40] = 0
    holes[50:60, 50:150] = 0
    raster, _ = settled(collar, stated="db")
    assert raster.valid_fraction() == pytest.approx(0.75, abs=0.01)
    raster, notes = settled(holes, stated="db")
    assert raster.valid_fraction() == pytest.approx(1 - 1000 / 160**2)
    assert "exactly 0 dB" in " ".join(notes)
    assert settled(rounded, stated="db")[0].valid_fraction() > 0.99  # 0 dB is a level where all are whole


def test_an_interior_zero_of_power_is_data():
    values = POWER.copy()
    values[50:60, 50:150] = 0
    assert settled(values)[0].valid_fraction() == 1


def test_scale_and_offset(tmp_path):
    import rasterio

    stored = {
        "level.tif": (np.round(DB * 100).astype(np.int16), 0.01, 0.0, -32768),
        "power.tif": (np.round(POWER * 1e5).astype(np.uint16), 1e-5, 0.0, 0),
        "shifted.tif": (np.clip(np.round((DB + 40) * 5), 1, 255).astype(np.uint8), 0.2, -40.0, 0),
    }
    for name, (values, scale, offset, nodata) in stored.items():
        values = values.copy()
        values[:, :10] = nodata
        path = write(tmp_path / name, values, nodata=nodata)
        with rasterio.open(path, "r+") as file:
            file.scales, file.offsets = (scale,), (offset,)
        scene = open_scene(path, SceneOverrides(units="db" if name == "shifted.tif" else ""))
        power, valid = scene.read()
        assert not valid[:, :10].any()
        assert valid[:, 10:].all()
        np.testing.assert_allclose(10 * np.log10(power[:, 10:]), DB[:, 10:], atol=0.11)
        assert scene.units == ("intensity" if name == "power.tif" else "db")


def test_units_that_names_state(tmp_path):
    shifted = DB - DB.min() + 1
    assert open_scene(write(tmp_path / "a.tif", shifted, ("Sigma0_VV_db",))).units == "db"
    assert open_scene(write(tmp_path / "S1_VV_db.tif", shifted)).units == "db"
    assert open_scene(write(tmp_path / "b.tif", POWER, ("Amplitude_VV",))).units == "amplitude"
    numbers = np.arange(1, 401, dtype=np.uint16).reshape(20, 20)
    assert open_scene(write(tmp_path / "sar_db_0001.tif", numbers)).units == "dn"  # a data base, perhaps


# ---- statements that the numbers, or other statements, contradict ----------------------------------------------------


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (np.round(DB * 100).astype(np.int16), "median"),
        (np.clip((DB + 30) * 8, 0, 255).astype(np.uint8), "median"),
        (np.clip((DB + 30) / 30, 0, 1), "no sampled value is negative"),
        (POWER, "no sampled value is negative"),
        ((DB * 10 - 40).astype(np.float32), "median"),
    ],
)
def test_numbers_that_cannot_be_decibels_are_not_believed(values, why):
    with pytest.raises(NotStated, match=f"cannot hold dB, though that is stated: .*{why}.*--read.units"):
        settled(values, stated="db")


def test_levels_of_all_kinds_are_believed():
    for values in (DB, DB + 12, DB + 60, np.full((20, 20), -12.0), np.where(RNG.random(DB.shape) < 0.6, 1e20, DB)):
        assert settled(values, stated="db")[0].units == "db"
    raster, _ = settled(few_negative(0.3), stated="intensity")
    assert raster.units == "intensity"


def test_numbers_that_cannot_be_power_are_not_believed(tmp_path):
    for units in ("amplitude", "intensity", "dn"):
        with pytest.raises(NotStated, match="most sampled values are negative"):
            settled(DB, stated=units)
    path = write(tmp_path / "a.tif", DB, ("Sigma0_VV_db",))
    with pytest.raises(NotStated, match="cannot hold amplitude"):
        open_scene(path, SceneOverrides(units="amplitude"))


def test_statements_that_contradict_each_other(tmp_path):
    import rasterio

    bright = np.abs(DB + 20) + 1  # neither kind of number is ruled out
    path = write(tmp_path / "a.tif", bright, ("Sigma0_VV_db",))
    with pytest.raises(NotStated, match="states dB, and amplitude is asked for"):
        open_scene(path, SceneOverrides(units="amplitude"))
    assert open_scene(path, SceneOverrides(units="amplitude", raster_band=1)).units == "amplitude"
    with rasterio.open(path, "r+") as file:
        file.units = ("intensity",)
    with pytest.raises(NotStated, match="states intensity and dB, which cannot both be"):
        open_scene(path)
    # Where the numbers tell which is true, that is read and told.
    misnamed = write(tmp_path / "b.tif", POWER, ("Sigma0_VV_db",))
    scene = open_scene(misnamed, SceneOverrides(units="intensity"))
    assert scene.units == "intensity"
    assert "states dB too" in " ".join(scene.notes)
    with rasterio.open(write(tmp_path / "c.tif", DB, ("VV",)), "r+") as file:
        file.units = ("decibel",)
    assert open_scene(tmp_path / "c.tif").notes == ()


@pytest.mark.parametrize("offset", [0.0, -50.0])
def test_a_collar_of_stored_zeros_in_scaled_levels(tmp_path, offset):
    import rasterio

    stored = np.round((DB - offset) * 100).astype(np.int16)
    stored[:, :40] = 0
    path = write(tmp_path / "a.tif", stored, ("Sigma0_VV_db",))
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (0.01,), (offset,)
    scene = open_scene(path)
    power, valid = scene.read()
    assert not valid[:, :40].any()
    assert valid[:, 41:].all()
    np.testing.assert_allclose(10 * np.log10(power[:, 41:]), DB[:, 41:], atol=0.01)
    assert "a stored 0" in " ".join(scene.notes)


def test_each_part_of_a_pair_has_its_own_scale(tmp_path):
    import rasterio

    z = np.random.default_rng(3).normal(0, 1, (2, 40, 40))
    stored = np.stack([np.round(z[0] * 100), np.round((z[1] - 2) * 1000)]).astype(np.int16)
    stored[:, :5] = -32768
    path = write(tmp_path / "a.tif", stored, ("i", "q"), nodata=-32768)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (0.01, 0.001), (0.0, 2.0)
    power, valid = open_scene(path).read()
    assert not valid[:5].any()
    assert valid[5:].all()
    np.testing.assert_allclose(power[5:], (z**2).sum(0)[5:], atol=0.05)
