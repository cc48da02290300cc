"""Updates of the conversion to ground range against a swath in closed form."""

import numpy as np
import pytest
from affine import Affine
from pyproj import Transformer

from knowlip.scenes import SceneOverrides, open_scenes
from knowlip.scenes.ground_range import updates_of
from knowlip.scenes.scene import Scene
from tests.scenes.products import sentinel1
from tests.scenes.products.swath import Swath
from tests.scenes.products.tiffs import write_tiff

SHAPE = (130, 150)
UPDATES = tuple((row, 3 * np.sin(row / 3.0)) for row in np.arange(-12.0, 150.0, 7.0))
"""Rows and columns; the grid has a line every 16 rows, so it shows few of them."""


def moved(rows: np.ndarray) -> np.ndarray:
    return np.interp(rows, *np.array(UPDATES).T)


def found(scene: Scene, height: float) -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows that the scene finds, and those at which places really lie."""
    random = np.random.default_rng(0)
    steady, rows = random.uniform(15, 135, 200), random.uniform(5, 125, 200)
    lons, lats = Swath(SHAPE, 10.0, 10.0).place(steady, rows, height)
    x, y = Transformer.from_crs(4326, scene.crs, always_xy=True).transform(lons, lats)
    back = scene.to_lonlat(*scene.geometry.inverse(x, y))
    assert np.allclose(back, (lons, lats), atol=1e-6)
    return np.array(scene.geometry.inverse(x, y)), np.array([steady - moved(rows), rows])


def test_columns_follow_the_updates_between_the_lines_of_the_grid(tmp_path):
    path = sentinel1.make(tmp_path / "a", polarisations=("VV",), updates=UPDATES).path
    columns, expected = found(open_scenes(path, SceneOverrides(height_m=0.0))[0], 0.0)
    assert np.abs(columns - expected).max() < 0.1
    # The grid alone is pixels off between its lines, which is what a product without height model or height gets.
    assert np.abs(found(open_scenes(path)[0], 0.0)[0] - expected).max() > 2


def test_a_height_model_is_met_between_the_lines_of_the_grid(tmp_path):
    path = sentinel1.make(tmp_path / "a", polarisations=("VV",), updates=UPDATES).path
    heights = np.full((80, 80), 200.0, np.float32)
    dem = tmp_path / "dem.tif"
    write_tiff(dem, heights[None], crs="EPSG:4326", transform=Affine(0.001, 0, 11.36, 0, -0.001, 48.24))
    (scene,) = open_scenes(path, SceneOverrides(dem=str(dem)))
    columns, expected = found(scene, 200.0)
    assert np.abs(columns - expected).max() < 0.2
    assert not any("geolocation grid alone" in note for note in scene.notes)
    plain = sentinel1.make(tmp_path / "b", polarisations=("VV",)).path
    assert any("geolocation grid alone" in note for note in open_scenes(plain, SceneOverrides(dem=str(dem)))[0].notes)


def test_numbers_that_are_no_updates_of_one_image_are_not_used():
    line = [8e5, 0.5, 1e-7]
    rows, origins = np.array([0.0, 100.0]), np.zeros(2)

    def updates(one: list[float], rows: np.ndarray = rows, spacing: float = 10.0):
        return updates_of(rows, origins, [np.array(line), np.array(one)], spacing, 1000)

    assert updates(line) is not None
    assert updates([8e5 + 20, 0.5, 1e-7]).shifts[0] == pytest.approx(-4, abs=0.02)  # 20 m are 40 m on the ground
    assert updates([8e5 + 9e3, 0.5, 1e-7]) is None
    assert updates([8e5, -0.5]) is None
    assert updates([np.nan, 0.5]) is None
    assert updates(line, rows=np.zeros(2)) is None
    assert updates(line, spacing=0.0) is None
