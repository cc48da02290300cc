"""Real samples: each family opens, and what is known of it independently of this package is found."""

import os
from pathlib import Path

import numpy as np
import pytest
import yaml
from pyproj import Geod, Transformer
from rasterio.features import rasterize
from shapely.geometry import Polygon

from knowlip.scenes import SceneOverrides, find_scenes, open_scene, open_scenes
from knowlip.scenes.errors import NoData, NoLocation
from knowlip.scenes.readers import opensarship

DATA = Path(os.environ.get("KNOWLIP_DATA", Path(__file__).parents[3] / "shared" / "data"))
GEOD = Geod(ellps="WGS84")


def sample(name):
    if not (DATA / name).exists():
        pytest.skip(f"{DATA / name} is not there (set KNOWLIP_DATA)")
    return DATA / name


@pytest.mark.parametrize(("name", "chips"), [("2D00", 13), ("84AB", 25), ("AB15", 40), ("E792", 124), ("2DC9", 56)])
def test_opensarship(name, chips):
    path = next(sample("opensarship").glob(f"*_{name}.zip"))
    scenes = open_scenes(path)
    assert len(scenes) == chips
    residual = scenes[0].geometry.residual_m
    assert residual < 25  # places are rounded to 1e-4 degrees, and interpolated at terrain height
    # Every chip stands where Ship.xml has its middle, to the rounding and twice the residual.
    ships = opensarship._ships(opensarship._open_archive(path).ships)
    misses = []
    for scene in scenes:
        x, y = (int(text[1:]) for text in scene.scene_id.split("-")[-2:])
        misses.append(GEOD.inv(*scene.center, ships[x, y]["Center_longitude"], ships[x, y]["Center_latitude"])[2])
        assert scene.quantity == "sigma0"
        assert scene.incidence_deg == ships[x, y]["Incidence"]
    assert np.sqrt(np.mean(np.square(misses))) < residual + 5
    # The true spacing of IW products: 10 m, or 2.33 m in slant range by 13.9 m.
    width, height = scenes[0].pixel_size_m
    if "SLC" in path.name:
        assert width * np.sin(np.radians(scenes[0].incidence_deg)) == pytest.approx(2.33, rel=0.01)
        assert height == pytest.approx(13.94, rel=0.01)
    else:
        assert (width, height) == pytest.approx((10, 10), rel=0.02)


def test_opensarship_labels_lie_on_the_ships():
    """Outlines are far brighter than their surroundings, and point along the heading that AIS tells."""
    bright, turned, total = [], [], 0
    for scene in open_scenes(next(sample("opensarship").glob("*_AB15.zip"))):
        own = "-".join(scene.scene_id.split("-")[-2:])
        assert not scene.unlabelled
        for label in (one for one in scene.labels if one.identity.endswith(own)):
            total += 1
            corners = np.array(label.outline)
            to_scene = Transformer.from_crs(4326, scene.crs, always_xy=True)
            pixels = scene.geometry.inverse(*map(np.array, to_scene.transform(*corners.T)))
            inside = rasterize([Polygon(np.column_stack(pixels))], scene.shape, all_touched=True) > 0
            power = scene.read()[0]
            bright.append(power[inside].mean() / np.median(power))
            if np.isfinite(label.heading_deg):
                ends = corners[2:].mean(axis=0), corners[:2].mean(axis=0)
                turned.append(abs((GEOD.inv(*ends[0], *ends[1])[0] - label.heading_deg + 90) % 180 - 90))
    assert total == 40
    assert np.median(bright) > 50
    assert min(bright) > 10
    assert np.median(turned) < 10


def test_opensarship_chips_overlap_as_their_places_say():
    """Two chips of one product that show the same ground hold the same pixels there."""
    path = next(sample("opensarship").glob("*_AB15.zip"))
    scenes = open_scenes(path, SceneOverrides(calibrate=False))
    shared = 0
    for i, a in enumerate(scenes):
        for b in scenes[i + 1 :]:
            # Where b's upper left pixel lies in a, by the ground.
            column, row = a.geometry.inverse(*b.geometry.forward(np.array([0.5]), np.array([0.5])))
            c, r = int(np.floor(column[0])), int(np.floor(row[0]))
            rows = slice(max(r, 0), min(r + b.shape[0], a.shape[0]))
            columns = slice(max(c, 0), min(c + b.shape[1], a.shape[1]))
            if rows.stop - rows.start < 3 or columns.stop - columns.start < 3:
                continue
            there = b.read()[0][rows.start - r : rows.stop - r, columns.start - c : columns.stop - c]
            np.testing.assert_array_equal(a.read()[0][rows, columns], there)
            shared += 1
    assert shared == 2


def test_opensarship_calibration_is_that_of_sentinel_1():
    """DN^2 / sigma0 * sin(incidence) is the constant beta0 factor, 474^2 (237^2 for SLC)."""
    for name, factor in (("E792", 474), ("2DC9", 237)):
        path = next(sample("opensarship").glob(f"*_{name}.zip"))
        for scene, raw in list(zip(open_scenes(path), open_scenes(path, SceneOverrides(calibrate=False))))[:3]:
            sigma0, power = scene.read()[0], raw.read()[0]
            ratio = np.median(power[sigma0 > 0] / sigma0[sigma0 > 0])
            assert np.sqrt(ratio * np.sin(np.radians(scene.incidence_deg))) == pytest.approx(factor, rel=2e-3)


def test_sen1floods11():
    paths = find_scenes([sample("sen1floods11")])
    assert len(paths) == 8  # labels are passed over
    for path in paths:
        if "Paraguay" in path.name:
            with pytest.raises(NoData):
                open_scene(path)
            continue
        scene = open_scene(path)
        assert (scene.sensor, scene.polarisation, scene.units) == ("sentinel-1", "VV", "db")
        # Square in degrees: as wide as 10 m at the equator.
        assert scene.resolution_m == pytest.approx(10 * np.cos(np.radians(scene.center[1])) ** 0.5, rel=0.01)
        power, valid = scene.read()
        assert -20 < 10 * np.log10(np.median(power[valid])) < 0


def test_geotiffs_in_utm():
    scenes = [open_scene(path) for path in find_scenes([sample("s1-geotiff")])]
    assert [scene.crs.to_epsg() for scene in scenes] == [32631, 32611]
    assert [scene.dtype for scene in scenes] == ["float32", "float64"]
    assert [round(scene.resolution_m) for scene in scenes] == [20, 30]
    assert {scene.units for scene in scenes} == {"db"}


def test_chips_with_corners():
    scenes = [open_scene(path) for path in find_scenes([sample("s1-losangeles-tiles")])]
    assert len(scenes) == 8
    for scene in scenes:
        assert scene.crs.to_epsg() == 3395
        assert -119.5 < scene.center[0] < -117
        # World Mercator at 34 N: 10 m of the projection are 8.3 m of the ground.
        assert scene.resolution_m == pytest.approx(8.3, rel=0.02)


def test_gaofen_3_needs_a_description(tmp_path):
    folder = sample("gf3-quadpol")
    with pytest.raises(NoLocation, match=r"scene\.yaml"):
        open_scene(folder / "1_HH.tiff")
    path = tmp_path / "gf3.scene.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "files": str(folder / "*.tiff"),
                "sensor": "gaofen-3",
                "band": "C",
                "spacing_m": 8,
                "unlocated": True,
            }
        )
    )
    scenes = open_scenes(path, SceneOverrides(polarisation="all"))
    assert [scene.polarisation for scene in scenes] == ["HH", "HV", "VH", "VV"] * 2
    assert {scene.dtype for scene in scenes} == {"uint16"}


def test_complex_chips(tmp_path):
    path = tmp_path / "chips.scene.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "files": str(sample("dsn-slc") / "**" / "*.npy"),
                "unlocated": True,
                "spacing_m": 1,
                "group": "{parent}",
            }
        )
    )
    scenes = open_scenes(path)
    assert len(scenes) == 300
    assert len({scene.group for scene in scenes}) == 13
    values = np.load(scenes[7].path)
    np.testing.assert_allclose(scenes[7].read()[0], np.abs(values) ** 2, rtol=1e-5)
