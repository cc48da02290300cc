"""The score of a window, areas of interest, places and the map."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import shapely
from PIL import Image

from knowlip.scenes import open_scene
from knowlip.tiles.area import read_area
from knowlip.tiles.cues import window_cues
from knowlip.tiles.ground import Ground
from knowlip.tiles.resample import Level, levels_of
from knowlip.tiles.screen import ScreenConfig, draw_map, select_roots, window_score
from knowlip.tiles.windows import plan_roots
from tests.tiles.rasters import speckle, write_scene

SIDE = 256


def levels(power, valid=None):
    valid = np.ones(power.shape, bool) if valid is None else valid
    return [Level(power.astype(np.float32), valid, valid.astype(np.float32), True)]


def water(seed=0, looks=4.0):
    return np.random.default_rng(seed).gamma(looks, 1 / looks, (SIDE, SIDE))


def town(seed=0):
    """Speckle with streets, roofs and corner reflectors."""
    random = np.random.default_rng(seed)
    blocks = np.kron(10 ** random.uniform(-0.5, 0.8, (32, 32)), np.ones((8, 8)))
    power = water(seed) * blocks
    power[::16], power[:, ::16] = power[::16] * 0.1, power[:, ::16] * 0.1
    y, x = random.integers(0, SIDE, (2, 1500))
    power[y, x] *= 10 ** random.uniform(1, 2.5, 1500)
    return power


@pytest.mark.parametrize("looks", [1.0, 4.0, 16.0])
def test_speckle_alone_is_not_worth_a_look(looks):
    assert window_score(levels(water(looks=looks))) < 0.3


def test_a_town_is_and_calibration_does_not_matter():
    power = town()
    score = window_score(levels(power))
    assert score > 0.8
    for factor in (1e-4, 1e5):
        assert window_score(levels(power * factor)) == pytest.approx(score, abs=2e-4)
    few = water()
    few[50:54, 60:64] *= 100  # one ship
    assert window_score(levels(water())) <= window_score(levels(few)) < score


@pytest.mark.parametrize("corner", [(0, 0), (176, 0), (88, 120), (176, 176)])
def test_a_harbour_in_a_tenth_of_open_water_counts(corner):
    row, column = corner
    power = water()
    power[row : row + 80, column : column + 80] = town()[:80, :80]
    assert window_score(levels(power)) > 0.8


def test_cues_against_numpy():
    power = town(3)
    blocks = power.reshape(64, 4, 64, 4).swapaxes(1, 2).reshape(64, 64, 16)
    means, squares = blocks.mean(axis=-1), (blocks**2).mean(axis=-1)
    variation = squares / means**2 - 1
    calm = np.sort(variation.ravel())[64 * 64 // 4]
    gap = max(np.log(2), 4 * np.sqrt(calm / 8))
    cells = means.reshape(8, 8, 8, 8).swapaxes(1, 2).reshape(8, 8, 64)
    around = np.kron(np.sort(cells, axis=-1)[..., 32], np.ones((8, 8)))[..., None]
    right, below = np.abs(np.diff(np.log(means), axis=1)), np.abs(np.diff(np.log(means), axis=0))
    found = []
    for top in range(0, 64, 16):
        for left in range(0, 64, 16):
            here = slice(top, top + 16), slice(left, left + 16)
            pairs = np.concatenate([right[here].ravel(), below[here].ravel()])
            found.append(
                [
                    (variation[here] > 3 * calm).mean() + 1e-3,
                    (variation[here] / calm).mean(),
                    (pairs > gap).mean() + 1e-3,
                    (blocks > 6 * around)[here].mean() + 1e-4,
                    (blocks > 20 * around)[here].mean() + 1e-4,
                ]
            )
    cues = np.sort(np.log(found), axis=0)
    expected = np.concatenate([cues.mean(axis=0), cues[-2:].mean(axis=0)])
    assert window_cues(power, np.ones((SIDE, SIDE), bool)) == pytest.approx(expected, abs=1e-4)


def test_several_threads_agree():
    windows = [levels(town(seed)) for seed in range(4)] * 4
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(window_score, windows)) == [window_score(window) for window in windows]


def test_ground_without_data_does_not_count():
    power, valid = town(), np.ones((SIDE, SIDE), bool)
    valid[:, 128:] = False
    empty = np.where(valid, power, 0)
    assert window_score(levels(empty, valid)) == pytest.approx(window_score(levels(power)), abs=0.15)
    assert window_score(levels(empty, np.zeros_like(valid))) == 0.0


@pytest.fixture
def scene(tmp_path):
    """A 1120 m scene near Rotterdam and its 16 windows of 280 m."""
    ground = Ground(
        open_scene(write_scene(tmp_path / "a.tif", speckle((280, 280)), tags={"KNOWLIP_UNITS": "amplitude"}))
    )
    return ground, plan_roots(ground, "a", (280.0, 140.0, 70.0))


def geojson(path, geometry):
    path.write_text(json.dumps(geometry))
    return path


def box(west, south, east, north):
    return {
        "type": "Polygon",
        "coordinates": [[[west, south], [east, south], [east, north], [west, north], [west, south]]],
    }


def test_windows_that_touch_an_area(scene, tmp_path):
    ground, roots = scene
    from knowlip.tiles.windows import footprints

    shapes = footprints(ground.crs, roots)
    first = shapely.centroid(shapes[5])
    area = box(first.x - 1e-4, first.y - 1e-4, first.x + 1e-4, first.y + 1e-4)
    feature = {"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {}, "geometry": area}]}
    config = ScreenConfig(area=geojson(tmp_path / "area.json", feature))
    config.check_files()
    assert select_roots(config, ground, roots) == [roots[5]]
    assert select_roots(ScreenConfig(), ground, roots) == roots
    far = ScreenConfig(area=geojson(tmp_path / "far.json", box(10, 10, 11, 11)))
    with pytest.raises(ValueError, match="No large window"):
        select_roots(far, ground, roots)


def test_windows_near_a_place(scene):
    ground, roots = scene
    lon, lat = ground.scene.center
    assert select_roots(ScreenConfig(near=[f"{lon},{lat}"], near_km=2), ground, roots) == roots
    some = select_roots(ScreenConfig(near=[f"{lon},{lat}"], near_km=0.25), ground, roots)
    assert 0 < len(some) < len(roots)
    with pytest.raises(ValueError, match="within 15 km of Tokyo"):
        select_roots(ScreenConfig(near=["Tokyo"]), ground, roots)
    with pytest.raises(ValueError, match="did you mean"):
        ScreenConfig(near=["Roterdam, Netherlands"]).check_files()


@pytest.mark.parametrize(("west", "east"), [(179, 181), (179, -179), (-181, -179)])
def test_areas_across_the_antimeridian(tmp_path, west, east):
    area = read_area(geojson(tmp_path / f"{west}.json", box(west, 0, east, 1)))
    assert area.bounds == (-180, 0, 180, 1)
    assert area.area == pytest.approx(2)
    assert area.contains(shapely.Point(179.5, 0.5))
    assert area.contains(shapely.Point(-179.5, 0.5))
    assert not area.intersects(shapely.Point(0, 0.5))


def test_holes_stay_open(tmp_path):
    outline, hole = box(0, 0, 10, 10)["coordinates"][0], box(4, 4, 6, 6)["coordinates"][0]
    area = read_area(geojson(tmp_path / "h.json", {"type": "Polygon", "coordinates": [outline, hole]}))
    assert area.area == pytest.approx(96)


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"type": "Point", "coordinates": [0, 0]}, "no area"),
        (box(0, 0, 500000, 5750000), "degrees"),
        ({"type": "FeatureCollection", "features": []}, "no polygon"),
        ({"kind": 1}, "GeoJSON"),
        ([1], "GeoJSON"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}, "four points"),
        ("x", "GeoJSON"),
        (box(0, 0, float("nan"), 1), "not valid JSON"),
    ],
)
def test_areas_that_are_refused(tmp_path, document, why):
    with pytest.raises(ValueError, match=why):
        read_area(geojson(tmp_path / "bad.json", document))


def test_map(scene, tmp_path):
    ground, roots = scene
    thumbnails = [levels_of(ground, root, 32)[0].power for root in roots]
    scores = [0.9 if i == 0 else 0.1 for i in range(len(roots))]
    draw_map(tmp_path / "maps" / "a.png", ground, roots, scores, 0.5, thumbnails)
    picture = np.array(Image.open(tmp_path / "maps" / "a.png").convert("RGB")).astype(int)
    gold = (picture == (255, 190, 40)).all(axis=-1)
    assert gold[0, 5]
    assert gold[5, 0]
    assert not gold[100:380, 100:380].any()
    assert picture[20:90, 20:90].mean() > 1.8 * picture[120:190, 120:190].mean()
