"""Downsampling is the area average of power; validity is carried; position is kept."""

import numpy as np
import pytest
from affine import Affine
from pyproj import Transformer
from scipy.ndimage import map_coordinates

from knowlip.scenes import open_scene
from knowlip.tiles.ground import Ground
from knowlip.tiles.resample import levels_of
from knowlip.tiles.windows import plan_roots
from tests.tiles.rasters import speckle, write_scene


def levels(path, windows, tile_px):
    ground = Ground(open_scene(path))
    root = plan_roots(ground, "a", windows)[0]
    return ground, root, levels_of(ground, root, tile_px)


def test_integer_ratio_is_the_mean_of_power(tmp_path):
    amplitude = speckle((512, 512))
    path = write_scene(tmp_path / "a.tif", amplitude, pixel=1.0, tags={"KNOWLIP_UNITS": "amplitude"})
    _, _, (large, medium, small) = levels(path, (512, 256, 128), 32)
    power = amplitude.astype(np.float64) ** 2
    for level, factor in ((large, 16), (medium, 8), (small, 4)):
        side = 512 // factor
        expected = power.reshape(side, factor, side, factor).mean(axis=(1, 3))
        np.testing.assert_allclose(level.power, expected, rtol=1e-5)
        assert level.averaged
        assert level.valid.all()
    of_amplitude = amplitude.reshape(128, 4, 128, 4).mean(axis=(1, 3)) ** 2
    assert abs(of_amplitude.mean() / small.power.mean() - 1) > 0.1, "averaging amplitudes loses power of speckle"


def test_multilooking_gives_the_stated_number_of_looks(tmp_path):
    """Single-look speckle averaged over 16 pixels has an equivalent number of looks of 16."""
    path = write_scene(
        tmp_path / "a.tif", speckle((512, 512), texture=False), pixel=1.0, tags={"KNOWLIP_UNITS": "amplitude"}
    )
    _, _, (_, _, small) = levels(path, (512, 256, 128), 32)
    assert small.power.mean() ** 2 / small.power.var() == pytest.approx(16, rel=0.05)


def test_any_ratio_conserves_power_and_position(tmp_path):
    """A 3 m sensor: cells of 341.33 / 64 pixels. Checked against a brute-force area average."""
    power = np.random.default_rng(1).exponential(1, (345, 345)).astype(np.float32)
    path = write_scene(tmp_path / "a.tif", power, pixel=3.0, tags={"KNOWLIP_UNITS": "intensity"})
    ground, root, (large, _, _) = levels(path, (1024, 512, 256), 64)
    x0, y0 = ~ground.transform @ (root.left, root.top)
    cumulative = np.zeros((346, 346))
    cumulative[1:, 1:] = power.astype(np.float64).cumsum(0).cumsum(1)
    axis = np.arange(346)

    def integral(x, y):
        return np.interp(y, axis, [np.interp(x, axis, row) for row in cumulative])

    step = 1024 / 3 / 64
    for row, column in ((0, 0), (10, 50), (63, 63)):
        x, y = x0 + column * step, y0 + row * step
        area = integral(x + step, y + step) - integral(x, y + step) - integral(x + step, y) + integral(x, y)
        assert large.power[row, column] == pytest.approx(area / step**2, rel=1e-3)


def test_coarse_sensor_is_interpolated_at_the_right_place(tmp_path):
    """A linear ramp survives linear interpolation exactly, whatever the pixel sizes."""
    ramp = (np.arange(66)[None, :] * 2.0 + np.arange(66)[:, None] * 5.0 + 10).astype(np.float32)
    path = write_scene(tmp_path / "a.tif", ramp, pixel=8.0, tags={"KNOWLIP_UNITS": "intensity"})
    _, root, (large, medium, small) = levels(path, (512, 256, 128), 64)
    assert not small.averaged
    for level in (large, medium, small):
        side = level.power.shape[0]
        x = (root.left - 600000 + (np.arange(side) + 0.5) * 512 / side) / 8 - 0.5
        y = (5750000 - root.top + (np.arange(side) + 0.5) * 512 / side) / 8 - 0.5
        np.testing.assert_allclose(level.power, x[None, :] * 2 + y[:, None] * 5 + 10, rtol=1e-4)


def test_nodata_neither_counts_nor_bleeds(tmp_path):
    values = np.full((256, 256), 3.0, np.float32)
    values[:, :100] = np.nan
    path = write_scene(tmp_path / "a.tif", values, pixel=2.0, tags={"KNOWLIP_UNITS": "amplitude"})
    _, _, (large, _, _) = levels(path, (512, 256, 128), 32)
    assert np.all(large.power[large.valid] == 9)
    np.testing.assert_array_equal(large.valid.sum(axis=1), 32 - 12)
    assert large.coverage.mean() == pytest.approx(156 / 256)


def test_interpolation_weighs_valid_pixels_alone_and_a_hole_changes_its_surroundings_only(tmp_path):
    power = np.random.default_rng(2).exponential(1, (90, 90)).astype(np.float32)
    holes = power.copy()
    holes[40, 50] = holes[41, 50] = np.nan
    found = []
    for name, values in (("whole", power), ("holes", holes)):
        path = write_scene(tmp_path / f"{name}.tif", values, pixel=7.9, tags={"KNOWLIP_UNITS": "intensity"})
        _, root, three = levels(path, (512, 256, 128), 96)
        found.append(three)
        for level in three:
            side = len(level.power)
            at = (np.arange(side) + 0.5) * 512 / side / 7.9 - 0.5
            y, x = np.meshgrid(at + (5750000 - root.top) / 7.9, at + (root.left - 600000) / 7.9, indexing="ij")
            known = np.isfinite(values)
            weight = map_coordinates(known.astype(float), [y, x], order=1)
            total = map_coordinates(np.where(known, values, 0).astype(float), [y, x], order=1)
            np.testing.assert_array_equal(level.valid, weight >= 0.5)
            mean = total / np.maximum(weight, 0.5)
            np.testing.assert_allclose(level.power[level.valid], mean[level.valid], rtol=1e-4)
            np.testing.assert_allclose(level.coverage, weight, atol=1e-5)
            assert not level.power[~level.valid].any()
    for whole, holed in zip(*found):
        assert whole.whole
        assert not holed.whole
        untouched = holed.coverage > 0.9999
        assert 0.5 < untouched.mean() < 1
        np.testing.assert_array_equal(whole.power[untouched], holed.power[untouched])


@pytest.mark.parametrize("crs", [4326, 3395, 32630])
def test_other_projections_land_on_the_right_place(tmp_path, crs):
    """A bright point at a known longitude and latitude is found in the tile pixel that holds it."""
    lon, lat = 4.5, 52.0
    x, y = Transformer.from_crs(4326, crs, always_xy=True).transform(lon, lat)
    east = Transformer.from_crs(4326, crs, always_xy=True).transform(lon + 0.001, lat)[0] - x
    step = east / 68.68 * 8
    step_y = 8 / 111267 if crs == 4326 else step
    values = np.ones((200, 200), np.float32)
    values[99:101, 99:101] = 1000
    transform = Affine(step, 0, x - 100 * step, 0, -step_y, y + 100 * step_y)
    path = write_scene(tmp_path / "a.tif", values, crs=f"EPSG:{crs}", transform=transform)
    ground, root, (large, _, _) = levels(path, (1536, 768, 384), 192)
    assert not ground.native
    center_x, center_y = Transformer.from_crs(4326, ground.crs, always_xy=True).transform(lon, lat)
    weight = np.maximum(large.power - 2, 0)
    grid = (np.arange(192) + 0.5) * root.side / 192
    found_x = root.left + (weight * grid[None, :]).sum() / weight.sum()
    found_y = root.top - (weight * grid[:, None]).sum() / weight.sum()
    assert np.hypot(found_x - center_x, found_y - center_y) < 1.0, "within an eighth of a pixel"
