"""Tile truth: what lies in a tile by its centre, in fractions of the tile, with land-cover shares."""

import json

import numpy as np
import pytest
from pyproj import Transformer

from knowlip.dataset import Dataset
from knowlip.scenes import open_scene
from knowlip.tiles.build import BuildConfig, build
from knowlip.tiles.ground import Ground
from knowlip.tiles.truth import SceneTruth
from knowlip.tiles.windows import family, plan_roots
from tests.tiles.rasters import speckle, write_scene

LEFT, TOP = 600000.0, 5750000.0
TO_LONLAT = Transformer.from_crs(32631, 4326, always_xy=True)


def feature(category, kind, x, y, length, width):
    """An axis-parallel rectangle, its centre x and y metres right of and below the scene's upper left corner."""
    corners = [
        (x - width / 2, y - length / 2),
        (x + width / 2, y - length / 2),
        (x + width / 2, y + length / 2),
        (x - width / 2, y + length / 2),
    ]
    ring = [list(TO_LONLAT.transform(LEFT + a, TOP - b)) for a, b in [*corners, corners[0]]]
    properties = {
        "category": category,
        "type": kind,
        "length_m": length,
        "width_m": width,
        "height_m": 10,
        "heading_deg": 0.0,
    }
    return {"type": "Feature", "properties": properties, "geometry": {"type": "Polygon", "coordinates": [ring]}}


@pytest.fixture
def scene(tmp_path):
    path = write_scene(tmp_path / "scenes" / "port.tif", speckle((256, 256)), pixel=1.0)
    cover = np.full((128, 128), 1, np.uint8)  # 2 m land cover: water, fields in the lower half, a strip unknown
    cover[64:] = 2
    cover[:, :16] = 0
    write_scene(tmp_path / "scenes" / "port.landcover.tif", cover, pixel=2.0)
    features = [
        feature("ship", "tanker", 100, 40, 60, 20),
        feature("ship", "fishing boat", 200, 200, 20, 6),
        feature("building", "house", 130, 130, 10, 10),
        feature("building", "house", 10, 10, 10, 10),
        feature("bridge", "road bridge", 250, 250, 30, 8),
        feature("aircraft", "fighter", 400, 40, 15, 10),
    ]
    document = {"type": "FeatureCollection", "scene": {"name": "port", "theme": "port"}, "features": features}
    (tmp_path / "scenes" / "port.truth.geojson").write_text(json.dumps(document))
    return path


def test_objects_counts_and_shares(scene):
    ground = Ground(open_scene(scene))
    root = plan_roots(ground, "port", (256, 128, 64))[0]
    truth = SceneTruth(scene, ground.crs)
    codes = truth.root_codes(root)
    of = {window.tile_id: truth.of(window, root, codes) for window in family(root)}
    large = of["port-l000x000"]
    assert [thing["type"] for thing in large["objects"]] == ["tanker", "fishing boat"]
    tanker = large["objects"][0]
    assert (tanker["x"], tanker["y"]) == pytest.approx((100 / 256, 40 / 256), abs=1e-5)
    assert tanker["polygon"][2] == pytest.approx([110 / 256, 70 / 256], abs=1e-5)
    assert (tanker["length_m"], tanker["width_m"], tanker["heading_deg"]) == (60, 20, 0)
    assert (large["buildings"], large["bridges"], large["tanks"]) == (2, 1, 0)
    assert large["shares"] == {"water": 0.5, "field": 0.5}, "of the known area"
    upper_right = of["port-m000x001"]
    assert upper_right["objects"] == []
    assert upper_right["shares"] == {"water": 1.0}
    lower_right = of["port-m001x001"]
    ship = lower_right["objects"][0]
    assert (ship["x"], ship["y"]) == pytest.approx((72 / 128, 72 / 128), abs=1e-5)
    assert lower_right["buildings"] == 1
    assert len(large["grid"]) == 9
    assert large["grid"][1] == {"water": 1.0}
    assert large["grid"][4] == pytest.approx({"water": 0.5, "field": 0.5}, abs=0.01)
    for mediums in ("buildings", "bridges", "tanks"):
        assert sum(value[mediums] for name, value in of.items() if "-m0" in name) == large[mediums]


def test_truth_reaches_the_data_set(scene, tmp_path):
    build(BuildConfig([scene.parent], tmp_path / "out", windows_m=(256.0, 128.0, 64.0), tile_px=64, workers=1))
    truth = Dataset(tmp_path / "out").truth()
    assert len(truth) == 21
    assert truth["port-l000x000"]["buildings"] == 2


@pytest.mark.parametrize("text", ["{", '{"features": [{}]}', '{"features": [{"geometry": null}]}'])
def test_broken_truth_names_its_file(scene, text):
    path = scene.with_name("port.truth.geojson")
    path.write_text(text)
    with pytest.raises(ValueError, match=r"port\.truth\.geojson"):
        SceneTruth(scene, Ground(open_scene(scene)).crs)
