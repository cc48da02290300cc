"""What hangs together is what a list of all pairs says, the old way of finding it."""

import math
import subprocess
import sys

import numpy as np
import pytest
import shapely
from scipy.spatial import cKDTree

from knowlip.scenes.scene import lonlat_polygon
from knowlip.tiles.blocks import WindowPlace, block_names
from knowlip.tiles.linkage import chains, overlaps

KM = 1 / 111.195


def same(one, other):
    """Whether two labellings part the members in the same way."""
    return len(set(zip(one.tolist(), other.tolist()))) == len(set(one.tolist())) == len(set(other.tolist()))


def by_pairs(count, pairs):
    """Labels from all pairs, one by one."""
    label = list(range(count))

    def find(i):
        while label[i] != i:
            i = label[i]
        return i

    for i, j in pairs:
        a, b = sorted((find(i), find(j)))
        label[b] = a
    return np.array([find(i) for i in range(count)])


def names_by_pairs(places, block_km):
    """Blocks by all pairs of near windows, and all pairs of outlines."""
    lons, lats = np.radians([p.lon for p in places]), np.radians([p.lat for p in places])
    units = np.column_stack([np.cos(lats) * np.cos(lons), np.cos(lats) * np.sin(lons), np.sin(lats)])
    chain = by_pairs(len(places), cKDTree(units).query_pairs(2 * math.sin(block_km / 6371 / 2)))
    height, keys = block_km * KM, []
    for lead, place in zip(chain.tolist(), places):
        mine = [p for p, other in zip(places, chain) if other == lead]
        lon = np.unwrap([p.lon for p in mine], period=360)
        lat = np.array([p.lat for p in mine])
        if max(np.ptp(lon) * math.cos(math.radians(lat.mean())), np.ptp(lat)) / KM <= 2 * block_km:
            keys.append((lead,))
            continue
        row = math.floor(place.lat / height)
        middle = min(abs((row + 0.5) * height), 89.0)
        around = max(1, round(360 * math.cos(math.radians(middle)) / height))
        keys.append((lead, row, math.floor((place.lon % 360) / 360 * around) % around))
    pairs = [(i, keys.index(key)) for i, key in enumerate(keys)]
    shapes = [p.footprint for p in places]
    pairs += [
        (i, j)
        for i in range(len(shapes))
        for j in range(i)
        if shapes[i].intersects(shapes[j]) and shapes[i].intersection(shapes[j]).area > 1e-10
    ]
    blocks = by_pairs(len(places), pairs)
    return [f"block{places[i].lat:+09.4f}{places[i].lon:+010.4f}" for i in blocks]


def window(lon, lat, half_km):
    wide = half_km * KM / max(0.02, math.cos(math.radians(lat)))
    lons = np.array([lon - wide, lon + wide, lon + wide, lon - wide])
    lats = np.array([lat - half_km * KM] * 2 + [lat + half_km * KM] * 2)
    return WindowPlace("a", lon, lat, lonlat_polygon((lons + 180) % 360 - 180, lats), "s")


@pytest.mark.parametrize("middle", [(10, 0), (179.9, 60), (-180, -85), (0, 88.5), (100, 45)])
@pytest.mark.parametrize(("span", "half_km"), [(20, 3), (100, 0.5), (400, 5), (2000, 0.5)])
@pytest.mark.parametrize("block_km", [5.0, 50.0])
def test_blocks_are_those_of_all_pairs(middle, span, half_km, block_km):
    random = np.random.default_rng(span)
    x, y = random.uniform(-span, span, (2, 70)) * KM
    lats = np.clip(middle[1] + y, -89.5, 89.5)
    lons = (middle[0] + x / max(0.02, math.cos(math.radians(middle[1]))) + 180) % 360 - 180
    places = [window(float(lon), float(lat), half_km) for lon, lat in zip(lons, lats)]
    assert block_names(places, block_km) == names_by_pairs(places, block_km)


def test_blocks_of_a_grid_are_those_of_all_pairs():
    """Windows side by side, which share borders, and two dates of them, which overlap."""
    one = [window(10 + i * KM, j * KM, 0.5) for j in range(6) for i in range(30)]
    assert block_names(one, 5.0) == names_by_pairs(one, 5.0)
    assert len(set(block_names(one, 5.0))) > 5
    two = [*one, *(window(10 + (i + 0.3) * KM, (j + 0.2) * KM, 0.5) for j in range(6) for i in range(8))]
    assert block_names(two, 5.0) == names_by_pairs(two, 5.0)
    assert len(set(block_names(two, 5.0))) > 1


@pytest.mark.parametrize("size", [1, 2, 1000])
@pytest.mark.parametrize("reach", [0.001, 0.02, 0.1, 3.0])
def test_chains_are_those_of_all_pairs(size, reach):
    points = np.random.default_rng(size).random((size, 3)) ** 2
    assert same(chains(points, reach), by_pairs(size, cKDTree(points).query_pairs(reach)))


def test_blocks_wider_than_the_earth_are_one():
    places = [window(float(lon), 0.0, 0.5) for lon in range(-180, 180, 30)]
    assert len(set(block_names(places, 50_000.0))) == 1
    assert block_names([], 50.0) == []


def test_outlines_that_touch_stay_apart():
    shapes = np.array([shapely.box(0, 0, 1, 1), shapely.box(1, 0, 2, 1), shapely.box(1.9, 0, 3, 1)], object)
    found = overlaps(shapes, np.arange(3))
    assert found[0] != found[1] == found[2]
    assert overlaps(shapes, np.zeros(3, int)).tolist() == [0, 0, 0]


def test_many_windows_cost_no_pairs():
    """A frame of 40,000 windows: a list of its pairs within 50 km would take 2 GB."""
    x, y = np.meshgrid(np.arange(250) * KM, np.arange(160) * KM)
    angles = np.radians(np.column_stack([x.ravel(), y.ravel()]))
    points = np.column_stack(
        [np.cos(angles[:, 1]) * np.cos(angles[:, 0]), np.cos(angles[:, 1]) * np.sin(angles[:, 0]), np.sin(angles[:, 1])]
    )
    assert not chains(points, 50 / 6371).any()


def test_a_process_that_cuts_scenes_imports_little():
    """Each worker of a build pays for what it imports before it begins."""
    heavy = ("pandas", "geopandas", "torch", "sklearn", "skimage", "matplotlib", "scipy.spatial", "scipy.interpolate")
    code = f"import sys, knowlip.tiles.cutting; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
