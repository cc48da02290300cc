"""Native pixels as COG: exact place, calibrated power, readable as a scene again."""

import numpy as np
import pytest
import rasterio

from knowlip.dataset import Dataset, verify
from knowlip.scenes import open_scene
from knowlip.tiles.build import BuildConfig, build
from knowlip.tiles.quality import QualityConfig
from tests.tiles.rasters import speckle, write_scene

SIZES = (256.0, 128.0, 64.0)
LENIENT = QualityConfig(min_good=0.0)


def config(path, out, **changes):
    return BuildConfig(
        [path], out, **{"windows_m": SIZES, "tile_px": 64, "workers": 2, "cog": True, "quality": LENIENT, **changes}
    )


def test_native_pixels_are_stored_where_they_are(tmp_path):
    values = speckle((700, 540))
    values[:, :3] = np.nan
    tags = {"KNOWLIP_UNITS": "amplitude", "KNOWLIP_SENSOR": "sim-x", "KNOWLIP_BAND": "X", "KNOWLIP_DATE": "2025-06-01"}
    path = write_scene(tmp_path / "a.tif", values, pixel=0.9, tags=tags)
    build(config(path, tmp_path / "out"))
    verify(tmp_path / "out")
    rows = Dataset(tmp_path / "out").index
    assert set(rows["cog"]) == {f"cog/{name}.tif" for name in rows["root_id"]}
    for row in rows[rows["scale"] == "large"].to_dict("records"):
        with rasterio.open(tmp_path / "out" / row["cog"]) as file:
            power = file.read(1)
            assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            assert (file.crs.to_epsg(), file.dtypes[0], np.isnan(file.nodata)) == (32631, "float32", True)
            place, bounds = file.transform, file.bounds
        assert (place.a, place.e) == (0.9, -0.9)
        column, line = (place.c - 600000) / 0.9, (5750000 - place.f) / 0.9
        assert (column, line) == pytest.approx((round(column), round(line)), abs=1e-6)
        column, line = round(column), round(line)
        expected = values[line : line + power.shape[0], column : column + power.shape[1]] ** 2
        np.testing.assert_allclose(power, expected, rtol=1e-6)
        _, _, left, _, _, top = row["proj:transform"]
        assert 0 <= left - bounds.left < 0.9
        assert 0 <= bounds.top - top < 0.9
        assert 0 <= bounds.right - left - 256 < 0.9
        assert 0 <= top - 256 - bounds.bottom < 0.9


def test_a_cog_is_a_scene_again(tmp_path):
    tags = {"KNOWLIP_UNITS": "amplitude", "KNOWLIP_SENSOR": "sim-x", "KNOWLIP_POLARISATION": "HH"}
    path = write_scene(tmp_path / "a.tif", speckle((300, 300)), pixel=1.0, tags=tags)
    build(config(path, tmp_path / "out"))
    cog = next((tmp_path / "out" / "cog").iterdir())
    scene = open_scene(cog)
    assert (scene.units, scene.sensor, scene.polarisation) == ("intensity", "sim-x", "HH")
    result = build(config(cog, tmp_path / "again", cog=False))
    assert result["accepted"] == 21
    first, again = Dataset(tmp_path / "out"), Dataset(tmp_path / "again")
    one = first.tiles(scale="large").iloc[0]
    other = again.tiles(scale="large").iloc[0]
    assert list(one["proj:transform"]) == list(other["proj:transform"])
    np.testing.assert_array_equal(first.image(one["tile_id"]), again.image(other["tile_id"]))


def test_rejected_windows_have_none_and_nothing_is_left_of_a_failed_scene(tmp_path):
    values = np.full((512, 512), np.nan, np.float32)
    values[:, :256] = speckle((512, 256))
    path = write_scene(tmp_path / "scenes" / "a.tif", values, pixel=1.0)
    write_scene(tmp_path / "scenes" / "b.tif", speckle((512, 512), 1), pixel=1.0, left=300000)
    broken = tmp_path / "scenes" / "b.tif"
    with rasterio.open(broken) as source:
        profile, pixels = source.profile, source.read()
    with rasterio.open(broken, "w", **{**profile, "compress": "deflate"}) as target:
        target.write(pixels)
    data = bytearray(broken.read_bytes())
    data[-30000:-20000] = bytes(10000)
    broken.write_bytes(data)
    result = build(config(path.parent, tmp_path / "out"))
    assert [item["path"] for item in result["skipped"]] == [str(broken)]
    rows = Dataset(tmp_path / "out").index
    stored = {path.stem for path in (tmp_path / "out" / "cog").iterdir()}
    assert stored == set(rows[rows["accepted"]]["root_id"]) == {name[4:-4] for name in rows["cog"] if name}
    assert all(name.startswith("a-") for name in stored)
    assert (rows["cog"] == "").sum() == 42
