"""The radar's physics against closed forms."""

import numpy as np
import pytest
from rasterio.features import rasterize
from rasterio.transform import Affine
from shapely import MultiPoint, Polygon

from knowlip.base.vocabulary import AIRCRAFT_TYPES, SHIP_TYPES
from knowlip.simulator import aircraft, radar, ships, sketch
from knowlip.simulator.aircraft import PLANS
from knowlip.simulator.sensors import IMPULSE_WIDTH, NOISE_FLOOR_DB, SENSORS, TAPER
from knowlip.simulator.shapes import blob, direction, rectangle
from knowlip.simulator.world import World

C = SENSORS["sim-c"]


def bare(size: float, cover: str = "field", azimuth: float = 90.0, incidence: float = 45.0, sensor=C) -> World:
    world = World(size, sensor.resolution_m, azimuth, incidence, np.random.default_rng(1))
    world.paint(rectangle(0, 0, 2 * world.reach, 2 * world.reach, 0.0), cover)
    return world


@pytest.fixture
def smooth(monkeypatch):
    """No texture: clutter is speckle alone."""
    for name, (mean, *_) in radar.SIGMA0_DB.items():
        monkeypatch.setitem(radar.SIGMA0_DB, name, (mean, 0.0, 0.0, 0.0))


def linear(db: float) -> float:
    return 10 ** (db / 10)


@pytest.mark.parametrize("name", list(SENSORS))
def test_speckle_has_the_stated_looks_and_mean(smooth, name):
    sensor = SENSORS[name]
    world = bare(400 * sensor.resolution_m, sensor=sensor)
    intensity = radar.image(world, sensor, np.random.default_rng(2)).amplitude.astype(np.float64) ** 2
    assert intensity.mean() ** 2 / intensity.var() == pytest.approx(sensor.looks, rel=0.05)
    expected = linear(radar.clutter_db("field", sensor, 45.0)) + linear(NOISE_FLOOR_DB)
    assert intensity.mean() == pytest.approx(expected, rel=0.02)


def test_averaging_amplitudes_would_fail_the_look_test(smooth):
    amplitude = radar.image(bare(400.0), C, np.random.default_rng(2)).amplitude.astype(np.float64)
    assert amplitude.mean() ** 2 / amplitude.var() > 1.5 * C.looks


@pytest.mark.parametrize(("azimuth", "incidence"), [(90.0, 45.0), (0.0, 30.0), (270.0, 50.0)])
def test_building_casts_shadow_away_from_and_layover_towards_the_radar(smooth, azimuth, incidence):
    height, half = 24.0, 12.0
    world = bare(240.0, azimuth=azimuth, incidence=incidence)
    world.solid(rectangle(0, 0, 2 * half, 60.0, azimuth), height, -5.0, 0.0)
    power = radar.image(world, C, np.random.default_rng(3)).amplitude.astype(np.float64) ** 2
    look = direction(azimuth)
    # mean profile along the look direction, over the middle 40 m of the building
    x, y = np.meshgrid(np.arange(240) - 119.5, 119.5 - np.arange(240))
    along, across = x * look[0] + y * look[1], x * look[1] - y * look[0]
    bins = np.floor(along[np.abs(across) < 20]).astype(int) + 120
    profile = np.bincount(bins, power[np.abs(across) < 20], minlength=240) / np.bincount(bins, minlength=240)
    metres = np.arange(240) - 119.5
    clutter = linear(radar.clutter_db("field", C, incidence))
    tangent = np.tan(np.deg2rad(incidence))
    dark = metres[profile < 0.35 * clutter]
    bright = metres[profile > 2.0 * clutter]
    # nothing is imaged between whichever lies farther, the wall's foot or the roof's far edge, and the shadow's end
    assert dark.max() == pytest.approx(half + height * tangent, abs=2.0)
    assert dark.min() == pytest.approx(max(-half, half - height / tangent), abs=2.0)
    assert bright.min() == pytest.approx(-half - height / tangent, abs=2.0)
    assert bright.max() < dark.min()


def test_point_scatterer_has_side_lobes_along_range_and_azimuth():
    azimuth, rcs = 30.0, 1e6
    world = bare(256.0, "water", azimuth=azimuth)
    world.scatter(np.array([[0.5, 0.5]]), 0.0, rcs)  # the centre of a pixel
    power = radar.image(world, C, np.random.default_rng(4)).amplitude.astype(np.float64) ** 2
    row, col = np.unravel_index(power.argmax(), power.shape)
    assert (row, col) == (127, 128)
    assert power.max() == pytest.approx(rcs / (IMPULSE_WIDTH * C.resolution_m) ** 2, rel=0.02)

    def response(metres):
        """One-dimensional impulse response by summing the weighted band."""
        f = np.linspace(-0.5, 0.5, 2001) / IMPULSE_WIDTH
        weight = TAPER + (1 - TAPER) * np.cos(2 * np.pi * f * IMPULSE_WIDTH)
        return np.sum(weight * np.cos(2 * np.pi * f * metres)) / np.sum(weight)

    rows, cols = np.indices(power.shape)
    x, y = cols - col, row - rows
    look = direction(azimuth)
    p, q = x * look[0] + y * look[1], x * look[1] - y * look[0]
    for i, j in ((r, c) for r in range(115, 140) for c in range(116, 141)):
        expected = (response(p[i, j]) * response(q[i, j])) ** 2 * power.max()
        if expected > linear(-30.0) * power.max():
            assert power[i, j] == pytest.approx(expected, rel=0.1)
    ring = (np.hypot(p, q) > 4) & (np.hypot(p, q) < 14)
    on_axes = power[ring & ((np.abs(p) < 0.5) | (np.abs(q) < 0.5))].mean()
    off_axes = power[ring & (np.abs(np.abs(p) - np.abs(q)) < 2)].mean()
    assert on_axes > 20 * off_axes


def test_a_taller_object_hides_what_stands_in_its_shadow():
    world = bare(128.0, azimuth=90.0, incidence=45.0)
    world.solid(rectangle(0, 0, 20, 20, 0.0), 20.0, -10.0, -5.0)
    world.scatter(np.array([[20.0, 0.0]]), 0.0, 1e5)  # 10 m behind a wall whose shadow reaches 20 m
    world.scatter(np.array([[-40.0, -30.0]]), 0.0, 1e5)
    amplitude = radar.image(world, C, np.random.default_rng(5)).amplitude
    assert amplitude[62:66, 82:86].max() < 1.0
    assert amplitude[92:96, 22:26].max() > 50.0


@pytest.mark.parametrize("kind", SHIP_TYPES, ids=lambda kind: kind.name)
def test_ship_is_bright_inside_its_box(kind):
    sensor = SENSORS["sim-c"]
    world = bare(512.0, "water", azimuth=60.0, incidence=40.0)
    length, width = ships.dimensions(np.random.default_rng(0), kind.name)
    assert ships.ship(world, kind.name, (length, width), (0.0, 0.0), 100.0)
    power = radar.image(world, sensor, np.random.default_rng(6)).amplitude.astype(np.float64) ** 2
    transform = (1.0, 0.0, -256.0, 0.0, -1.0, 256.0)
    ring = world.things[0].ring
    leaned = ring - direction(60.0) * (kind.height_m + 8.0) / np.tan(np.deg2rad(40.0))
    inside = rasterize([(Polygon(ring), 1)], power.shape, transform=Affine(*transform)).astype(bool)
    swept = MultiPoint(np.concatenate([ring, leaned])).convex_hull.buffer(3.0)
    around = ~rasterize([(swept.buffer(30.0), 1)], power.shape, transform=Affine(*transform)).astype(bool)
    reached = rasterize([(swept, 1)], power.shape, transform=Affine(*transform)).astype(bool)
    assert power[inside].mean() > 30 * power[around].mean()
    bright = power > 30 * power[around].mean()
    assert bright[reached].sum() > 0.85 * bright.sum()


@pytest.mark.parametrize("category", ["ship", "aircraft"])
def test_types_differ_in_size_as_the_vocabulary_says(category):
    module, kinds = (ships, SHIP_TYPES) if category == "ship" else (aircraft, AIRCRAFT_TYPES)
    rng = np.random.default_rng(0)
    for kind in kinds:
        for _ in range(50):
            length, width = module.dimensions(rng, kind.name)
            assert kind.length_m[0] <= length <= kind.length_m[1]
            assert kind.width_m[0] <= width <= kind.width_m[1]


def test_every_aircraft_type_parks_only_on_free_apron():
    world = bare(512.0, "apron")
    for i, name in enumerate(PLANS):
        assert aircraft.aircraft(world, name, (-200.0 + 100.0 * i, 0.0), 20.0)
    assert not aircraft.aircraft(world, "fighter", (0.0, 0.0), 0.0)  # taken
    world.paint(rectangle(0, 150, 100, 100, 0.0), "grass")
    assert not aircraft.aircraft(world, "fighter", (0.0, 150.0), 0.0)  # not paved
    assert [thing.type for thing in world.things] == list(PLANS)


def test_sketch_fills_what_gdal_fills():
    rng = np.random.default_rng(7)
    for _ in range(20):
        ring = blob(rng, *rng.uniform(20, 80, 2), float(rng.uniform(5, 40)), 0.4)
        ours = np.zeros((100, 100), np.uint8)
        sketch.fill(ours, ring, 1)
        theirs = rasterize([({"type": "Polygon", "coordinates": [[*ring.tolist(), ring[0].tolist()]]}, 1)], (100, 100))
        assert np.mean(ours != theirs) < 0.001
