"""Resampling against GDAL's bilinear warp, and what the mask does to it; multilook keeps the statistics of speckle."""

import numpy as np
import pytest
from affine import Affine
from rasterio.enums import Resampling
from rasterio.warp import reproject

from knowlip.scenes.warp import multilook, sample


def mesh(to_source, shape, step=16):
    """Source positions of the target's pixel corners 0, step, ... under an affine."""
    down, across = np.arange(-(-shape[0] // step) + 1) * step, np.arange(-(-shape[1] // step) + 1) * step
    grid_x, grid_y = np.meshgrid(across.astype(float), down.astype(float))
    return to_source @ (grid_x, grid_y)


@pytest.mark.parametrize(
    "to_source",
    [
        Affine.translation(3.3, 5.7),
        Affine.translation(40, 10) @ Affine.rotation(27),
        Affine.translation(20, 20) @ Affine.scale(0.8, 0.7),
        Affine.translation(10, 150) @ Affine.rotation(-40) @ Affine.scale(0.9, 0.6),
        Affine.translation(200, 8) @ Affine.scale(-1, 1),
    ],
)
def test_gdal_agrees(to_source):
    rng = np.random.default_rng(0)
    power = rng.exponential(1, (180, 220)).astype(np.float32)
    shape = 120, 130
    ours, known = sample(power, np.ones(power.shape, bool), mesh(to_source, shape), 16, shape)
    theirs = np.full(shape, np.nan, np.float32)
    world = Affine(10, 0, 5e5, 0, -10, 5e6)
    reproject(
        power,
        theirs,
        src_transform=world,
        dst_transform=world @ to_source,
        src_crs="EPSG:32631",
        dst_crs="EPSG:32631",
        resampling=Resampling.bilinear,
        init_dest_nodata=True,
        dst_nodata=np.nan,
        tolerance=0,
        src_nodata=-1,
        SOURCE_EXTRA=5,
        XSCALE=1,
        YSCALE=1,
    )
    columns, rows = np.meshgrid(np.arange(130) + 0.5, np.arange(120) + 0.5)
    x, y = to_source @ (columns, rows)
    inside = (x > 1) & (x < 219) & (y > 1) & (y < 179)
    assert inside.mean() > 0.3
    assert known[inside].all()
    np.testing.assert_allclose(ours[inside], theirs[inside], rtol=1e-3)


def test_no_value_leaks_from_what_is_not_valid():
    power = np.ones((20, 20), np.float32)
    valid = np.ones((20, 20), bool)
    valid[:, 10:] = False
    power[:, 10:] = 1e9
    out, known = sample(power, valid, mesh(Affine.translation(0.3, 0.3), (19, 19)), 16, (19, 19))
    np.testing.assert_allclose(out[known], 1)
    assert known[:, :9].all()  # at column 9 the weight of what is valid is 0.7
    assert known[:, 9].all()
    assert not known[:, 10:].any()
    assert not out[:, 10:].any()


def test_half_of_the_weight_decides():
    power, valid = np.ones((1, 2), np.float32), np.array([[True, False]])
    for shift, expected in ((0.4, True), (0.6, False)):
        _, known = sample(power, valid, mesh(Affine.translation(shift, 0), (1, 1)), 16, (1, 1))
        assert known[0, 0] == expected


def test_beyond_the_edge_nothing_is_known():
    power, valid = np.ones((10, 10), np.float32), np.ones((10, 10), bool)
    out, known = sample(power, valid, mesh(Affine.translation(-5, -5), (20, 20)), 16, (20, 20))
    expected = np.zeros((20, 20), bool)
    expected[5:15, 5:15] = True
    np.testing.assert_array_equal(known, expected)
    np.testing.assert_array_equal(out > 0, expected)


def test_a_window_equals_the_whole():
    rng = np.random.default_rng(0)
    power, valid = rng.exponential(1, (90, 90)).astype(np.float32), rng.random((90, 90)) > 0.1
    nodes = mesh(Affine.translation(5, 5) @ Affine.rotation(5), (64, 64))
    whole, known = sample(power, valid, nodes, 16, (64, 64))
    part, part_known = sample(power, valid, nodes, 16, (20, 30), (17, 9))
    np.testing.assert_array_equal(part, whole[17:37, 9:39])
    np.testing.assert_array_equal(part_known, known[17:37, 9:39])


@pytest.mark.parametrize("looks", [(1, 4), (3, 3), (5, 1)])
def test_multilook_in_power_has_the_looks_of_theory(looks):
    """Single-look speckle averaged over N pixels has N looks; averaging amplitudes has other statistics."""
    rng = np.random.default_rng(4)
    power = rng.exponential(1, (600, 600)).astype(np.float32)
    out, known = multilook(power, np.ones(power.shape, bool), *looks)
    number = looks[0] * looks[1]
    assert known.all()
    assert out.mean() ** 2 / out.var() == pytest.approx(number, rel=0.05)
    assert out.mean() == pytest.approx(1, rel=0.01)
    amplitudes, _ = multilook(np.sqrt(power), np.ones(power.shape, bool), *looks)
    wrong = amplitudes**2
    assert wrong.mean() != pytest.approx(1, rel=0.05)  # power is lost: E[A]^2 = pi / 4


def test_speckle_of_one_look():
    """Coefficient of variation: 1 / sqrt(looks) for power, 0.5227 for the amplitude of one look."""
    rng = np.random.default_rng(5)
    for looks in (1, 4, 9):
        power = rng.gamma(looks, 1 / looks, 200_000)
        assert power.std() / power.mean() == pytest.approx(looks**-0.5, rel=0.02)
    amplitude = np.sqrt(rng.exponential(1, 400_000))
    assert amplitude.std() / amplitude.mean() == pytest.approx(0.5227, rel=0.01)


def test_multilook_with_a_mask():
    power = np.arange(16, dtype=np.float32).reshape(4, 4)
    valid = np.ones((4, 4), bool)
    valid[0, 0] = False
    valid[2:, 2:] = False
    valid[3, 3] = True
    out, known = multilook(power, valid, 2, 2)
    np.testing.assert_allclose(out, [[(1 + 4 + 5) / 3, 4.5], [10.5, 0]])
    np.testing.assert_array_equal(known, [[True, True], [True, False]])
