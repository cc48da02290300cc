"""Radiometry: the bilinear look-up table by hand, noise, refusals; and units, which never give -inf."""

import numpy as np
import pytest
from rasterio.windows import Window

from knowlip.scenes.calibration import Constant, Radiometry, Table
from knowlip.scenes.errors import NotCalibrated
from knowlip.scenes.raster import to_power


def test_a_table_of_four_nodes_by_hand():
    """Nodes at pixel centres (0, 0), (0, 10), (20, 0), (20, 10) hold 1, 3, 5, 11."""
    table = Table(np.array([0.0, 20]), np.array([0.0, 10]), np.array([[1.0, 3], [5, 11]]))
    values = table.over(Window(0, 0, 11, 21))
    assert values.shape == (21, 11)
    assert values.dtype == np.float32
    for (row, column), value in {
        (0, 0): 1,
        (0, 10): 3,
        (20, 0): 5,
        (20, 10): 11,
        (0, 5): 2,
        (10, 0): 3,
        (10, 10): 7,
        (10, 5): 5,
        (5, 2): 2.6,
    }.items():
        assert values[row, column] == pytest.approx(value)


def test_windows_are_cut_from_one_surface():
    rng = np.random.default_rng(0)
    table = Table(np.array([-3.0, 7, 40, 90]), np.array([0.0, 33, 80]), rng.uniform(1, 2, (4, 3)))
    whole = table.over(Window(0, 0, 100, 120))
    np.testing.assert_array_equal(table.over(Window(13, 29, 50, 60)), whole[29:89, 13:63])
    np.testing.assert_array_equal(whole[90:], np.broadcast_to(whole[90], (30, 100)))  # constant beyond the last node


def test_scipy_agrees():
    from scipy.interpolate import RegularGridInterpolator

    rng = np.random.default_rng(1)
    rows, columns = np.array([0.0, 11, 29, 64]), np.array([0.0, 5, 50])
    values = rng.uniform(1, 9, (4, 3))
    theirs = RegularGridInterpolator((rows, columns), values)(np.stack(np.mgrid[0:60, 0:50], axis=-1))
    np.testing.assert_allclose(Table(rows, columns, values).over(Window(0, 0, 50, 60)), theirs, rtol=1e-6)


def test_a_single_row_of_nodes():
    table = Table(np.array([5.0]), np.array([0.0, 4]), np.array([[1.0, 5]]))
    np.testing.assert_allclose(np.broadcast_to(table.over(Window(0, 0, 5, 3)), (3, 5))[2], [1, 2, 3, 4, 5])


def test_noise_is_taken_off_before_the_gain_and_never_goes_below_zero():
    calibration = Radiometry("sigma0", Constant(0.5), Table(np.array([0.0]), np.array([0.0, 2]), np.array([[1.0, 3]])))
    power = calibration.apply(np.full((2, 3), 2, np.float32), Window(0, 0, 3, 2))
    np.testing.assert_allclose(power, [[0.5, 0, 0], [0.5, 0, 0]])


def test_sentinel_1_by_hand():
    """sigma0 = (DN^2 - noise) / A^2: DN 500, noise 90,000, A 400 give one."""
    table = Table(np.array([0.0, 1]), np.array([0.0, 1]), np.full((2, 2), 1 / 400**2))
    calibration = Radiometry("sigma0", table, Constant(90_000.0))
    assert calibration.apply(np.full((2, 2), 500.0**2, np.float32), Window(0, 0, 2, 2))[0, 0] == pytest.approx(1)


@pytest.mark.parametrize("gain", [Constant(0.0), Constant(-1.0), Constant(np.nan), Constant(np.inf)])
def test_factors_that_cannot_be_are_refused(gain):
    with pytest.raises(NotCalibrated, match="calibrate false"):
        Radiometry("sigma0", gain)
    with pytest.raises(NotCalibrated):
        Radiometry("sigma0", Table(np.array([0.0, 1]), np.array([0.0]), np.array([[1.0], [gain.value]])))


def test_nodes_that_do_not_rise_are_refused():
    with pytest.raises(ValueError, match="rise"):
        Table(np.array([0.0, 0]), np.array([0.0]), np.ones((2, 1)))
    with pytest.raises(ValueError, match="as many rows"):
        Table(np.array([0.0, 1]), np.array([0.0]), np.ones((1, 2)))
    with pytest.raises(ValueError, match="quantity"):
        Radiometry("rcs", Constant(1.0))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32, np.float64])
def test_units_round_trip(dtype):
    """20 log10(amplitude) = 10 log10(intensity), in every data type."""
    amplitude = np.arange(1, 101).astype(dtype)
    power = to_power(amplitude, "amplitude")
    assert power.dtype == np.float32
    np.testing.assert_allclose(power, np.arange(1.0, 101) ** 2, rtol=1e-6)
    db = 20 * np.log10(amplitude.astype(float))
    np.testing.assert_allclose(to_power(db, "db"), power, rtol=2e-6)
    np.testing.assert_allclose(to_power(power, "intensity"), power)
    np.testing.assert_allclose(10 * np.log10(power), db, atol=1e-5)


def test_complex_data_types_agree():
    parts = np.random.default_rng(0).integers(-3000, 3000, (2, 50, 60)).astype(np.int16)
    z = parts[0] + 1j * parts[1].astype(np.float64)
    expected = (parts.astype(np.float64) ** 2).sum(0)
    for values in (z.astype(np.complex64), z.astype(np.complex128)):
        np.testing.assert_allclose(to_power(values, "complex"), expected, rtol=1e-6)


def test_zero_is_never_minus_infinity(tmp_path):
    """An interior zero is data of no power; a declared zero is no data; neither gives -inf or NaN anywhere."""
    from knowlip.scenes import SceneOverrides, open_scene
    from knowlip.scenes.info import SceneInfoConfig, scene_info
    from tests.tiles.rasters import write_scene

    values = np.full((80, 80), 4, np.float32)
    values[40, 40] = 0
    for nodata, fraction in ((None, 1), (0, 1 - 1 / 6400)):
        path = write_scene(tmp_path / f"{nodata}.tif", values, nodata=nodata)
        for units in ("amplitude", "intensity", "dn"):
            power, valid = open_scene(path, SceneOverrides(units=units)).read()
            assert np.isfinite(power).all()
            assert power[40, 40] == 0
            assert valid.mean() == pytest.approx(fraction)
        facts = scene_info(SceneInfoConfig([path]))["scenes"][0]
        assert all(np.isfinite(level) for level in facts["power_db"].values())
    values[40, 40] = -np.inf
    power, valid = open_scene(write_scene(tmp_path / "db.tif", values), SceneOverrides(units="db")).read()
    assert not valid[40, 40]
    assert power[40, 40] == 0
