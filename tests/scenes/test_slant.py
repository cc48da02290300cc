"""Slant range on the ground: a target of 30 m has its true size at every incidence angle."""

import math

import numpy as np
import pytest
import yaml
from rasterio.windows import Window

from knowlip.scenes import open_scene
from knowlip.tiles.ground import Ground

AZIMUTH_M, SLANT_M, TARGET_M = 1.0, 0.5, 30.0


def slant_image(folder, incidence, **place):
    """A complex slant-range image with a bright square of 30 m on the ground."""
    rng = np.random.default_rng(0)
    rows, columns = 160, 300
    ground_m = SLANT_M / math.sin(math.radians(incidence))
    y = (np.arange(rows) + 0.5 - rows / 2) * AZIMUTH_M
    x = (np.arange(columns) + 0.5 - columns / 2) * ground_m
    target = (np.abs(y)[:, None] < TARGET_M / 2) & (np.abs(x)[None] < TARGET_M / 2)
    z = (rng.normal(size=(rows, columns)) + 1j * rng.normal(size=(rows, columns))) * np.where(target, 100, 0.1)
    np.save(folder / "a.npy", z.astype(np.complex64))
    (folder / "a.scene.yaml").write_text(
        yaml.safe_dump(
            {
                "projection": "slant",
                "spacing_m": [AZIMUTH_M, SLANT_M],
                "incidence_deg": incidence,
                **place,
            }
        )
    )
    return open_scene(folder / "a.scene.yaml")


@pytest.mark.parametrize("incidence", [20.0, 45.0])
@pytest.mark.parametrize("place", [{"unlocated": True}, {"center": [121.6, 31.3], "heading_deg": 0.0}])
def test_a_target_of_30_m(tmp_path, incidence, place):
    scene = slant_image(tmp_path, incidence, **place)
    ground_m = SLANT_M / math.sin(math.radians(incidence))
    assert scene.pixel_size_m == pytest.approx((ground_m, AZIMUTH_M), rel=1e-4)
    power, _ = scene.read()
    bright = power > 300
    # In the stored pixels: fewer across at a steep angle.
    assert np.ptp(np.flatnonzero(bright.any(axis=0))) + 1 == pytest.approx(TARGET_M / ground_m, abs=1.01)
    assert np.ptp(np.flatnonzero(bright.any(axis=1))) + 1 == pytest.approx(TARGET_M / AZIMUTH_M, abs=1.01)
    if place == {"unlocated": True}:
        return
    ground = Ground(scene)
    power, _ = ground.read(Window(0, 0, ground.shape[1], ground.shape[0]))
    side = ground.transform.a / ground.unit_per_metre
    assert ground.transform.e == -ground.transform.a
    area = np.count_nonzero(power > 300) * side**2
    assert area == pytest.approx(TARGET_M**2, rel=0.12)
    middle = power > 300
    assert (np.ptp(np.flatnonzero(middle.any(axis=0))) + 1) * side == pytest.approx(TARGET_M, abs=2.5 * side)
    assert (np.ptp(np.flatnonzero(middle.any(axis=1))) + 1) * side == pytest.approx(TARGET_M, abs=2.5 * side)


def test_slant_as_it_is_would_be_wrong(tmp_path):
    """Without the projection the target would have the same width at both angles."""
    widths = [
        np.ptp(np.flatnonzero((slant_image(tmp_path, angle, unlocated=True).read()[0] > 300).any(0))) + 1
        for angle in (20, 45)
    ]
    assert widths[0] / widths[1] == pytest.approx(math.sin(math.radians(20)) / math.sin(math.radians(45)), rel=0.1)


def test_unequal_pixels_are_averaged_in_power(tmp_path):
    """Single-look pixels of 1 x 14 m become looks, not gaps: mean power stays, variance falls."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(60, 900)) + 1j * rng.normal(size=(60, 900))
    np.save(tmp_path / "a.npy", z.astype(np.complex64))
    (tmp_path / "a.scene.yaml").write_text(
        yaml.safe_dump(
            {
                "spacing_m": [14.0, 1.0],
                "center": [121.6, 31.3],
                "heading_deg": 0.0,
            }
        )
    )
    ground = Ground(open_scene(tmp_path / "a.scene.yaml"))
    power, valid = ground.read(Window(0, 0, ground.shape[1], ground.shape[0]))
    inside = power[4:-4, 4:-4]
    assert valid[4:-4, 4:-4].all()
    assert inside.mean() == pytest.approx(2, rel=0.03)
    assert inside.mean() ** 2 / inside.var() > 12
