"""`knowlip scene info`: facts of a scene, measured looks, refusals as refusals, JSON."""

import json

import numpy as np
import pytest
import rasterio
from shapely.geometry import shape

from knowlip.cli import main
from knowlip.scenes import SceneOverrides
from knowlip.scenes.info import SceneInfoConfig, scene_info, show
from tests.scenes.products import geotiff, sidecar
from tests.tiles.rasters import write_scene


def test_facts_of_a_scene(tmp_path):
    rng = np.random.default_rng(0)
    power = rng.gamma(4, 1 / 4, (300, 400)).astype(np.float32)
    power[:30] = np.nan
    tags = {"KNOWLIP_SENSOR": "sim-c", "KNOWLIP_BAND": "C", "KNOWLIP_RADIOMETRY": "simulated"}
    path = write_scene(tmp_path / "a.tif", power, pixel=5.0, tags=tags)
    result = scene_info(SceneInfoConfig([path]))
    assert result["refused"] == []
    (facts,) = result["scenes"]
    assert (facts["sensor"], facts["band"], facts["radiometry"], facts["quantity"]) == (
        "sim-c",
        "C",
        "simulated",
        "none",
    )
    assert facts["size_px"] == [400, 300]
    assert facts["size_km"] == pytest.approx([2.0, 1.5], rel=2e-3)
    assert (facts["geometry"], facts["crs"], facts["geometry_residual_m"]) == ("affine", "EPSG:32631", 0)
    assert facts["valid_fraction"] == pytest.approx(0.9)
    assert facts["looks_measured"] == pytest.approx(4, rel=0.15)
    valid = power[np.isfinite(power)]
    for percent, level in facts["power_db"].items():
        assert level == pytest.approx(10 * np.log10(np.percentile(valid, int(percent))), abs=0.1)
    outline = shape(facts["footprint"])
    assert outline.covers(shape({"type": "Point", "coordinates": facts["center"]}))
    json.dumps(facts, allow_nan=False)
    text = show(result)
    for word in ("sim-c", "simulated", "90.00% of the pixels valid", "400 x 300 pixels", "EPSG:32631"):
        assert word in text


def test_headers_only(tmp_path):
    (facts,) = scene_info(SceneInfoConfig([geotiff.make(tmp_path).path], pixels=False))["scenes"]
    assert "valid_fraction" not in facts


def test_control_points_name_their_model_and_residual(tmp_path):
    (facts,) = scene_info(SceneInfoConfig([sidecar.make(tmp_path, "gcps").path]))["scenes"]
    assert (facts["geometry"], facts["geometry_model"]) == ("control-points", "thin-plate spline")
    assert 0 <= facts["geometry_residual_m"] < 1


def test_every_polarisation_unless_one_is_named(tmp_path):
    with rasterio.open(
        tmp_path / "a.tif",
        "w",
        driver="GTiff",
        height=70,
        width=70,
        count=2,
        dtype="float32",
        crs="EPSG:32631",
        transform=rasterio.Affine(10, 0, 5e5, 0, -10, 5e6),
        nodata=0,
    ) as file:
        file.write(np.random.default_rng(0).exponential(1, (2, 70, 70)).astype(np.float32))
        file.descriptions = ("VV", "VH")
    both = scene_info(SceneInfoConfig([tmp_path]))["scenes"]
    assert [facts["polarisation"] for facts in both] == ["VV", "VH"]
    one = scene_info(SceneInfoConfig([tmp_path], SceneOverrides(polarisation="VH")))["scenes"]
    assert [facts["polarisation"] for facts in one] == ["VH"]


def test_a_refusal_is_shown_beside_what_is_understood(tmp_path):
    geotiff.make(tmp_path)
    (tmp_path / "b.tif").write_bytes(b"II*\0")
    result = scene_info(SceneInfoConfig([tmp_path]))
    assert len(result["scenes"]) == 1
    (refused,) = result["refused"]
    assert refused["kind"] == "unknown-format"
    assert refused["path"].endswith("b.tif")
    assert "refused     unknown-format" in show(result)


def test_the_command(tmp_path, capsys):
    geotiff.make(tmp_path / "good")
    assert main(["scene", "info", str(tmp_path / "good"), "--json", "--read.sensor", "hongtu-1"]) == 0
    assert json.loads(capsys.readouterr().out)["scenes"][0]["sensor"] == "hongtu-1"
    for name in "abcd":
        (tmp_path / f"{name}.tif").write_bytes(b"no raster")
    paths = [str(tmp_path / f"{name}.tif") for name in "abcd"]
    assert main(["scene", "info", *paths]) == 2
    error = capsys.readouterr().err
    assert "[unknown-format]" in error
    assert "(1 more are refused.)" in error
    assert main(["scene", "info", str(tmp_path / "none.tif")]) == 2
