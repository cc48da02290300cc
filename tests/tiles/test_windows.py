"""Windows are metre-true, subdivide exactly, and are the same for every sensor."""

import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import Geod, Transformer

from knowlip.scenes import open_scene
from knowlip.tiles.ground import Ground, utm_crs
from knowlip.tiles.windows import children, family, plan_roots
from tests.tiles.rasters import speckle, write_scene

GEOD = Geod(ellps="WGS84")


def edges(ground, window):
    """Geodesic lengths of the four sides in metres."""
    left, bottom, right, top = window.bounds
    lons, lats = Transformer.from_crs(ground.crs, 4326, always_xy=True).transform(
        [left, right, right, left, left], [top, top, bottom, bottom, top]
    )
    return GEOD.inv(lons[:-1], lats[:-1], lons[1:], lats[1:])[2]


@pytest.mark.parametrize(
    ("lon", "lat"),
    [(0.1, 0.2), (3.0, 0.0), (31.0, 31.0), (5.99, 60.0), (-179.99, -52.0), (25.0, 78.0), (100.0, 87.5), (-60.0, -84.0)],
)
def test_edges_are_true_within_0_2_percent_at_all_latitudes(tmp_path, lon, lat):
    """A scene in degrees, where pixels are anisotropic, still gives true metres."""
    step_y = 10 / 111320
    step_x = step_y / np.cos(np.radians(lat))
    transform = Affine(step_x, 0, lon - 150 * step_x, 0, -step_y, lat + 150 * step_y)
    scene = open_scene(write_scene(tmp_path / "a.tif", speckle((300, 300)), crs="EPSG:4326", transform=transform))
    ground = Ground(scene)
    roots = plan_roots(ground, "a", (1024, 512, 256))
    assert len(roots) >= 4
    for root in (roots[0], roots[-1]):
        for window in family(root):
            nominal = {"large": 1024, "medium": 512, "small": 256}[window.scale]
            np.testing.assert_allclose(edges(ground, window), nominal, rtol=0.002)


def test_children_tile_their_parent_exactly(tmp_path):
    ground = Ground(open_scene(write_scene(tmp_path / "a.tif", speckle((300, 300)))))
    roots = plan_roots(ground, "a", (512, 256, 128))
    assert len(roots) == 4
    names = [window.tile_id for root in roots for window in family(root)]
    assert len(set(names)) == len(names) == 4 * 21
    for root in roots:
        for parent in [root, *children(root)]:
            kids = children(parent)
            assert [kid.parent_id for kid in kids] == [parent.tile_id] * 4
            assert {kid.root_id for kid in kids} == {root.tile_id}
            assert min(kid.bounds[0] for kid in kids) == parent.bounds[0]
            assert min(kid.bounds[1] for kid in kids) == parent.bounds[1]
            assert max(kid.bounds[2] for kid in kids) == parent.bounds[2]
            assert max(kid.bounds[3] for kid in kids) == parent.bounds[3]
            assert sum(kid.side**2 for kid in kids) == pytest.approx(parent.side**2)
            assert len({kid.bounds for kid in kids}) == 4


def test_two_sensors_get_the_same_windows(tmp_path):
    """Anchored to UTM the windows are identical; anchored to the scene they agree within a coarse pixel and 0.2 %."""
    fine = Ground(open_scene(write_scene(tmp_path / "fine.tif", speckle((1100, 1100)), pixel=1.0)))
    coarse = Ground(open_scene(write_scene(tmp_path / "coarse.tif", speckle((367, 367)), pixel=3.0)))
    sizes = (512, 256, 128)
    same = [[w.bounds for w in plan_roots(g, "a", sizes, anchor="utm")] for g in (fine, coarse)]
    assert same[0] == same[1]
    assert same[0]
    centered = [plan_roots(g, "a", sizes) for g in (fine, coarse)]
    for a, b in zip(*centered, strict=True):
        assert a.side == pytest.approx(b.side, rel=0.002)
        np.testing.assert_allclose(a.bounds, b.bounds, atol=3.0)


def test_non_integer_windows_do_not_drift(tmp_path):
    """1024 m at 3 m is 341.33 pixels: the tenth window still starts at ten times 1024 m."""
    ground = Ground(open_scene(write_scene(tmp_path / "a.tif", np.ones((350, 3500), np.float32), pixel=3.0)))
    roots = plan_roots(ground, "a", (1024, 512, 256))
    assert len(roots) == 10
    np.testing.assert_allclose([root.left - roots[0].left for root in roots], np.arange(10) * 1024.0, atol=1e-6)


def test_overlap_and_slightly_small_scenes(tmp_path):
    ground = Ground(open_scene(write_scene(tmp_path / "a.tif", speckle((256, 256)), pixel=3.99)))
    assert len(plan_roots(ground, "a", (1024, 512, 256))) == 1, "1021 m hold a 1024 m window within min_valid"
    assert len(plan_roots(ground, "a", (512, 256, 128), overlap=0.5)) == 9


def test_unusable_sizes_name_the_recipe_key(tmp_path):
    ground = Ground(open_scene(write_scene(tmp_path / "a.tif", speckle((64, 64)), pixel=30.0)))
    with pytest.raises(ValueError, match=r"8.5 pixels of 30 m.*--windows_m 2048 1024 512"):
        plan_roots(ground, "a", (1024, 512, 256))
    with pytest.raises(ValueError, match=r"holds no window of 8192 m; set windows_m"):
        plan_roots(ground, "a", (8192, 4096, 2048))
    with pytest.raises(ValueError, match="windows_m must halve"):
        plan_roots(ground, "a", (1024, 500, 250))
    with pytest.raises(ValueError, match="windows_m needs three positive"):
        plan_roots(ground, "a", (0, 0, 0))


def test_utm_zone_of_the_place():
    assert utm_crs(4.4, 51.9).to_epsg() == 32631
    assert utm_crs(-118.2, 33.7).to_epsg() == 32611
    assert utm_crs(28.0, -26.0).to_epsg() == 32735
    assert utm_crs(180.0, 0.0).to_epsg() == 32601
    assert utm_crs(0.0, 86.0).to_epsg() == 32661


def test_windows_beside_a_scene_that_lies_askew_are_not_planned(tmp_path):
    """Each window that is planned shows some of the image, and each that shows some is planned."""
    turned = Affine.translation(600000, 5750000) @ Affine.rotation(30) @ Affine.scale(10, -10)
    scene = open_scene(write_scene(tmp_path / "a.tif", speckle((400, 500)), transform=turned))
    ground = Ground(scene)
    roots = plan_roots(ground, "a", (256, 128, 64), fewest_px=1)
    left, bottom, right, top = ground.bounds
    everything = round((right - left) / 256) * round((top - bottom) / 256)
    shown = shapely.Polygon([turned @ corner for corner in ((0, 0), (500, 0), (500, 400), (0, 400))])
    squares = [shapely.box(*root.bounds) for root in roots]
    assert len(roots) < 0.75 * everything
    assert max(shown.distance(square) for square in squares) < 30, "two pixels and a little"
    reached = shapely.union_all(squares).buffer(1e-6)
    inside = shown.intersection(shapely.box(*reached.bounds))
    assert inside.difference(reached).area < 1, "no part of the image within the grid is left out"
