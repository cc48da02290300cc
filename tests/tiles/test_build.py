"""The build stage: the same bytes whatever happens on the way, and one clear sentence when it cannot work."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from knowlip.base import memory
from knowlip.dataset import Dataset, verify, writer
from knowlip.tiles import scene_job
from knowlip.tiles.build import BuildConfig, build
from knowlip.tiles.quality import QualityConfig
from knowlip.tiles.quantise import QuantiseConfig
from knowlip.tiles.reference import DEFAULT
from tests.tiles.builds import config, hashes
from tests.tiles.rasters import four_places, speckle, write_scene


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("build")
    scenes = four_places(folder / "scenes")
    result = build(config(scenes, folder / "out"))
    return scenes, folder / "out", result


def test_result_and_contents(built):
    _, out, result = built
    assert result["scenes"] == 4
    assert result["tiles"] == result["accepted"] == 4 * 21
    assert result["splits"]["train"] >= 21
    assert result["splits"]["test"] >= 21
    assert verify(out)["accepted"] == 84
    rows = Dataset(out).index
    small = rows[rows["scale"] == "small"].iloc[0]
    assert small["metres_per_pixel"] == 1.0
    assert small["platform"] == "sim-c"
    assert small["sar:frequency_band"] == "C"
    assert str(small["datetime"])[:10] == "2025-06-01"
    assert small["country"]
    assert np.isnan(small["look_azimuth_deg"])
    assert not [path for path in out.rglob(".*") if path.is_file()]


@pytest.mark.parametrize("fails", [False, True])
def test_what_is_set_for_the_memory_of_the_process_ends_with_the_build(built, tmp_path, monkeypatch, fails):
    """Pages of their own for arrays of 1 MB cost a training that follows in the same process a fifth of its speed;
    that the last limits are those of a process without a build is measured in tests/base/test_memory.py."""
    limits: list[tuple[int, int]] = []
    monkeypatch.setattr(memory, "_set", lambda *values: limits.append(values))
    if fails:
        monkeypatch.setattr(scene_job, "draw_map", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
        with pytest.raises(ValueError, match="No space left"):
            build(config(built[0], tmp_path / "out"))
    else:
        build(config(built[0], tmp_path / "out"))
    assert limits[0] == (1 << 20, 1 << 20)
    assert limits[-1] == (32 << 20, 64 << 20)
    assert memory._users == 0


def test_a_reference_that_changed_is_not_mixed_in(tmp_path):
    reference = tmp_path / "reference.json"
    reference.write_bytes(DEFAULT.read_bytes())
    settings = config(
        four_places(tmp_path / "scenes"), tmp_path / "out", quality=QualityConfig(reference=str(reference))
    )
    result = build(settings)
    assert build(settings)["fingerprint"] == result["fingerprint"]
    reference.write_bytes(DEFAULT.read_bytes() + b" ")
    with pytest.raises(ValueError, match="reference_sha256"):
        build(settings)


def test_stored_transform_is_where_the_pixels_are(built):
    """A tile read back equals the scene's pixels at the place that its own transform names (4 m scene and tile)."""
    import rasterio

    scenes, out, _ = built
    dataset = Dataset(out)
    row = dataset.tiles(scale="large").set_index("scene_id").loc["alpha"]
    a, _, left, _, e, top = row["proj:transform"]
    assert (a, e) == (4.0, -4.0)
    with rasterio.open(scenes / "alpha.tif") as source:
        column, line = round((left - source.transform.c) / 4), round((source.transform.f - top) / 4)
        values = source.read(1)[line : line + 64, column : column + 64].astype(float)
    decibel = np.clip(20 * np.log10(values), row["quantiser_lo"], row["quantiser_hi"])
    expected = 1 + np.round((decibel - row["quantiser_lo"]) / (row["quantiser_hi"] - row["quantiser_lo"]) * 254)
    assert np.abs(dataset.image(row["tile_id"]) - expected).max() <= 1


def test_processes_do_not_change_a_byte(built, tmp_path):
    scenes, out, _ = built
    build(config(scenes, tmp_path / "out", workers=2))
    assert hashes(tmp_path / "out") == hashes(out)


def test_threads_do_not_change_a_byte(tmp_path):
    """One scene alone: all workers are threads of this process."""
    write_scene(tmp_path / "scenes" / "a.tif", speckle((300, 260)))
    for workers in (1, 3):
        build(config(tmp_path / "scenes", tmp_path / f"out-{workers}", workers=workers))
    assert len(hashes(tmp_path / "out-1")) > 4
    assert hashes(tmp_path / "out-3") == hashes(tmp_path / "out-1")


def test_running_again_changes_nothing(built):
    scenes, out, result = built
    before = hashes(out)
    again = build(config(scenes, out))
    assert {**again, "seconds": 0} == {**result, "seconds": 0}
    assert hashes(out) == before


def test_other_settings_are_refused(built):
    scenes, out, _ = built
    with pytest.raises(ValueError, match=r"other settings \(tile_px: 64 there, 32 now\)"):
        build(config(scenes, out, tile_px=32))


def test_changed_scene_is_refused(tmp_path):
    scenes = four_places(tmp_path / "scenes")
    build(config(scenes, tmp_path / "out"))
    (tmp_path / "out" / "dataset.json").unlink()
    write_scene(scenes / "alpha.tif", speckle((80, 80)))
    with pytest.raises(ValueError, match="changed since"):
        build(config(scenes, tmp_path / "out"))


def test_a_folder_with_other_things_is_refused(tmp_path):
    scenes = four_places(tmp_path / "scenes")
    with pytest.raises(ValueError, match="not empty and holds no data set"):
        build(config(scenes, tmp_path))
    with pytest.raises(ValueError, match="is a file"):
        build(config(scenes, scenes / "alpha.tif"))


def test_bad_scenes_are_skipped_with_a_reason(tmp_path):
    scenes = four_places(tmp_path / "scenes")
    (scenes / "broken.tif").write_bytes(b"this is no raster")
    write_scene(scenes / "empty.tif", np.full((70, 70), np.nan, np.float32))
    write_scene(scenes / "tiny.tif", speckle((10, 10)))
    cut_off = scenes / "cut-off.tif"
    write_scene(cut_off, speckle((70, 70)), left=500000)
    cut_off.write_bytes(cut_off.read_bytes()[:-6000])
    result = build(config(scenes, tmp_path / "out"))
    reasons = {Path(item["path"]).name: item["reason"] for item in result["skipped"]}
    assert result["scenes"] == 4
    assert "not a raster" in reasons["broken.tif"]
    assert "all of it is nodata" in reasons["empty.tif"]
    assert "windows_m" in reasons["tiny.tif"]
    assert "not a raster that can be opened" in reasons["cut-off.tif"]
    verify(tmp_path / "out")


def test_only_bad_scenes_write_nothing(tmp_path):
    write_scene(tmp_path / "scenes" / "a.tif", np.zeros((70, 70), np.uint16))
    with pytest.raises(ValueError, match="no valid pixel"):
        build(config(tmp_path / "scenes", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"windows_m": (0.0, 0.0, 0.0)}, "windows_m"),
        ({"tile_px": 0}, "tile_px"),
        ({"overlap": 1.0}, "overlap"),
        ({"min_valid": 0.0}, "min_valid"),
        ({"quantise": lambda: QuantiseConfig(percentiles=(99.0, 1.0))}, "percentiles"),
        ({"split": (0.5, 0.1, 0.1)}, "split"),
        ({"block_km": -1.0}, "block_km"),
        ({"anchor": "moon"}, "anchor"),
        ({"workers": 0}, "workers"),
    ],
)
def test_settings_that_cannot_work_name_their_key(tmp_path, change, message):
    def built() -> None:
        made = {name: value() if callable(value) else value for name, value in change.items()}
        build(config(tmp_path, tmp_path / "out", **made))

    with pytest.raises(ValueError, match=message):
        built()


def test_tiles_of_different_splits_never_overlap(tmp_path):
    """Scenes of one place, half overlapping each other, in two projections: all in one split."""
    folder = tmp_path / "scenes"
    for i in range(4):
        write_scene(folder / f"east-{i}.tif", speckle((70, 70), i), left=600000 + 140 * i)
    write_scene(folder / "west.tif", speckle((70, 70), 9), left=200000)
    result = build(config(folder, tmp_path / "out", block_km=1.0))
    verify(tmp_path / "out")
    rows = Dataset(tmp_path / "out").index
    assert rows[rows["scene_id"].str.startswith("east")]["split"].nunique() == 1
    assert result["splits"]["test"] > 0


def test_one_large_scene_is_divided_by_ground(tmp_path):
    write_scene(tmp_path / "scenes" / "a.tif", speckle((400, 400)))
    build(config(tmp_path / "scenes", tmp_path / "out"))
    verify(tmp_path / "out")
    rows = Dataset(tmp_path / "out").tiles(scale="large")
    assert {"train", "test"} <= set(rows["split"])
    info = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert info["block_km"] < 50


def test_nodata_tiles_stay_in_the_index(tmp_path):
    values = speckle((70, 70)).astype(np.float32)
    values[:35, :35] = np.nan
    write_scene(tmp_path / "scenes" / "a.tif", values)
    build(config(tmp_path / "scenes", tmp_path / "out"))
    rows = Dataset(tmp_path / "out").index
    assert set(rows["reject_reason"]) == {"", "nodata"}
    assert len(rows) == 21
    assert (rows.loc[~rows["accepted"], "shard"] == "").all()


def test_every_tile_rejected_says_why(tmp_path):
    write_scene(tmp_path / "scenes" / "a.tif", np.full((70, 70), 7, np.uint16))
    with pytest.raises(ValueError, match=r"No tile passed the quality filter \(21 "):
        build(config(tmp_path / "scenes", tmp_path / "out"))


DATA = Path(os.environ.get("KNOWLIP_DATA", Path(__file__).parents[3] / "shared" / "data"))


@pytest.mark.slow
def test_real_scenes_of_three_origins(tmp_path):
    folders = [DATA / name for name in ("s1-geotiff", "sen1floods11", "s1-losangeles-tiles")]
    missing = [str(folder) for folder in folders if not folder.is_dir()]
    if missing:
        pytest.skip(f"real scenes are not there: {', '.join(missing)}")
    result = build(BuildConfig(folders, tmp_path / "out", windows_m=(2560.0, 1280.0, 640.0), tile_px=64, workers=1))
    assert result["scenes"] == 17
    assert [Path(item["path"]).name for item in result["skipped"]] == ["Paraguay_34417_S1Hand.tif"]
    assert "nodata" in result["skipped"][0]["reason"]
    assert min(result["splits"]["train"], result["splits"]["test"]) > 0
    assert verify(tmp_path / "out")["tiles"] == result["tiles"]
    rows = Dataset(tmp_path / "out").tiles()
    assert set(rows.loc[rows["scene_id"].str.startswith("s1-losangeles"), "platform"]) == {"sentinel-1"}
    assert set(rows.loc[rows["scene_id"].str.startswith("losangeles-port"), "country"]) == {"United States"}


def test_how_many_rows_go_to_disk_at_once_changes_no_tile(tmp_path, monkeypatch):
    scene = write_scene(tmp_path / "a.tif", speckle((600, 700)))
    one = build(config(scene, tmp_path / "one"))
    monkeypatch.setattr(writer, "_ROWS_AT_ONCE", 10)
    monkeypatch.setattr(scene_job, "_ROOTS_AT_ONCE", 2)
    two = build(config(scene, tmp_path / "two"))
    assert one["fingerprint"] == two["fingerprint"]
    one, two = hashes(tmp_path / "one"), hashes(tmp_path / "two")
    assert [name for name in one if one[name] != two[name]] == ["scenes/a.parquet"], "in other parts"


def test_a_scene_that_is_left_unfinished_leaves_no_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "_ROWS_AT_ONCE", 1)
    build(config(write_scene(tmp_path / "a.tif", speckle((300, 300))), tmp_path / "made"))
    row = json.loads(
        json.dumps(Dataset(tmp_path / "made").table.drop_columns(["geometry"]).to_pylist()[0], default=str)
    )
    for name in ("scenes", "shards"):
        (tmp_path / "out" / name).mkdir(parents=True)
    with writer.SceneWriter(tmp_path / "out", "c") as scene:
        scene.add({**row, "geometry": "", "datetime": ""}, b"png")
        assert any(path.name.startswith(".") for path in (tmp_path / "out" / "scenes").iterdir())
    assert not hashes(tmp_path / "out")
