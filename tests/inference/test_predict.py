"""Whole scenes: every planted object once, maps equal to those of one pass in memory, killed runs that end the same."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio
import torch
from affine import Affine
from scipy import ndimage

from knowlip.inference import predict_detect as module
from knowlip.inference.predict import OtherSettingsError, ScenePredictor, predict_scenes
from knowlip.inference.predict_detect import ScenesDetector
from knowlip.inference.predict_segment import ScenesSegmenter
from knowlip.inference.scene_grid import SceneGrid, metres_for
from knowlip.inference.scene_settings import PredictDetectConfig, PredictSegmentConfig
from knowlip.models.detection.detector import FoundBoxes
from knowlip.tasks.count_scores import read_count_scores
from knowlip.tasks.detect_rows import found_table
from knowlip.tasks.taught_on import TaughtOn
from knowlip.tiles.ground import Ground

METRES = 3.0
WINDOW, OVERLAP = 256, 0.25
SHIP = (8, 5)
"""Columns and rows of a planted ship."""
TAUGHT = TaughtOn((METRES, METRES), WINDOW, ("db-percentile-v1(0.5,99.8)",), ("umbra",))


def write(path: Path, values: np.ndarray, metres: float = METRES, crs: str | None = "EPSG:32631") -> Path:
    """An amplitude scene with its upper left corner in the Netherlands."""
    place = {"crs": crs, "transform": Affine(metres, 0, 600000, 0, -metres, 5700000)} if crs else {}
    shape = {"height": values.shape[0], "width": values.shape[1], "count": 1, "dtype": values.dtype}
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", driver="GTiff", tiled=True, blockxsize=256, blockysize=256, **shape, **place) as file:
        file.write(values, 1)
    return path


def planted(rows: int, columns: int, ships: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A scene with ships (and a row of them a pixel apart), a third of them on borders of the windows' cores; and their
    upper left corners (N, 2) row, column."""
    rng = np.random.default_rng(seed)
    values = rng.integers(90, 111, (rows, columns)).astype(np.uint16)
    step = WINDOW - int(OVERLAP * WINDOW)
    taken, places = np.zeros((rows, columns), bool), []

    def plant(top: int, left: int, room: int = 4) -> None:
        height, width = SHIP[1], SHIP[0]
        around = slice(max(top - room, 0), top + height + room), slice(max(left - room, 0), left + width + room)
        inside = 0 <= top <= rows - height and 0 <= left <= columns - width
        if inside and not taken[around].any():
            taken[top : top + height, left : left + width] = True
            values[top : top + height, left : left + width] = 4000
            places.append((top, left))

    for number in range(12):  # at a quay, across the border of a core
        plant(700 + 6 * number, step + (WINDOW - step) // 2 - 4, 1)
    while len(places) < ships:
        top, left = int(rng.integers(0, rows - 8)), int(rng.integers(0, columns - 8))
        if len(places) % 3 == 0:
            left = int(rng.integers(1, max(2, columns // step))) * step + (WINDOW - step) // 2 - int(rng.integers(0, 9))
        plant(top, left)
    return values, np.array(places)


def blobs(detector: Any, images: Sequence[np.ndarray]) -> list[pd.DataFrame]:
    """A detector that finds what is bright, to the pixel."""
    found = []
    for pixels in images:
        boxes = [
            (s[1].start, s[0].start, s[1].stop, s[0].stop) for s in ndimage.find_objects(ndimage.label(pixels > 250)[0])
        ]
        table = pd.DataFrame(boxes, columns=["left", "top", "right", "bottom"], dtype=float)
        found.append(table.assign(tile_id="", category="ship", score=0.9, corners=[[] for _ in boxes]))
    return found


def scene_detector(config: PredictDetectConfig, card: dict[str, Any] | None = None) -> ScenesDetector:
    """One that has no detector: :func:`blobs` finds instead; `card`: what its own would say."""
    one = object.__new__(ScenesDetector)
    one.config, one.taught, one.window, one.weights = config, TAUGHT, config.window_px or WINDOW, "w"
    one.detector = SimpleNamespace(classes=["ship"])  # type: ignore[assignment]
    one.scores = read_count_scores(card or {}, config.min_score)
    return one


@pytest.fixture
def detector(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A scene detector around :func:`blobs`."""
    monkeypatch.setattr(module, "found_in", blobs)
    return scene_detector


def test_every_planted_ship_is_found_once(tmp_path: Path, detector: Any) -> None:
    values, places = planted(1500, 1900, 400)
    config = PredictDetectConfig(
        scenes=[write(tmp_path / "sea.tif", values)], model=tmp_path, out=tmp_path / "out", overlap=OVERLAP
    )
    result = predict_scenes(config, detector(config))
    (told,) = result["scenes"]
    assert told["objects"] == {"ship": 400}
    assert told["seen_by_two_windows"] > 50
    found = pd.read_csv(tmp_path / "out" / "sea.csv")
    right = {(left + SHIP[0] / 2, top + SHIP[1] / 2) for top, left in places}
    assert {(x, y) for x, y in zip(found["x"], found["y"])} == right
    assert (found["east_west_m"] == SHIP[0] * METRES).all()
    assert found["length_m"].isna().all()
    map_ = json.loads((tmp_path / "out" / "sea.geojson").read_text())
    assert len(map_["features"]) == 400
    ring = np.array(map_["features"][0]["geometry"]["coordinates"][0])
    x, y = ring[:, 0], ring[:, 1]
    assert np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) > 0  # counter-clockwise, as RFC 7946 wants
    assert map_["features"][0]["properties"]["length_m"] is None
    table = geopandas.read_file(tmp_path / "out" / "sea.gpkg")
    assert table.crs.to_epsg() == 32631
    centres = sorted((round(p.x, 3), round(p.y, 3)) for p in table.geometry.centroid)
    assert centres == sorted((round(600000 + METRES * x, 3), round(5700000 - METRES * y, 3)) for x, y in right)


def test_a_killed_detection_ends_with_the_same_bytes(
    tmp_path: Path, detector: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, _ = planted(900, 700, 60)
    scene = write(tmp_path / "sea.tif", values)
    whole = PredictDetectConfig(scenes=[scene], model=tmp_path, out=tmp_path / "whole")
    predict_scenes(whole, detector(whole))
    killed = PredictDetectConfig(scenes=[scene], model=tmp_path, out=tmp_path / "killed")
    seen = []

    def dies(one: Any, images: Sequence[np.ndarray]) -> list[pd.DataFrame]:
        seen.append(len(images))
        if len(seen) == 3:
            raise KeyboardInterrupt
        return blobs(one, images)

    monkeypatch.setattr(module, "found_in", dies)
    with pytest.raises(KeyboardInterrupt):
        predict_scenes(killed, detector(killed))
    assert not (tmp_path / "killed" / "sea.json").exists()
    monkeypatch.setattr(module, "found_in", blobs)
    predict_scenes(killed, detector(killed))
    for name in ("sea.geojson", "sea.csv"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not list((tmp_path / "killed" / ".predict").glob("*/*"))
    other = PredictDetectConfig(scenes=[scene], model=tmp_path, out=tmp_path / "killed", min_score=0.2)
    with pytest.raises(OtherSettingsError, match="another output folder"):
        predict_scenes(other, detector(other))


def test_boxes_that_count_from_other_scores_are_another_result(tmp_path: Path, detector: Any) -> None:
    values, _ = planted(300, 300, 5)
    config = PredictDetectConfig(scenes=[write(tmp_path / "sea.tif", values)], model=tmp_path, out=tmp_path / "out")
    score = {"category": "ship", "octave": None, "score": 0.95, "there": 20}
    (told,) = predict_scenes(config, detector(config, {"count_scores": [score]}))["scenes"]
    assert told["objects"] == {}
    assert told["min_score_from"] == "counts of its validation scenes err least so"
    changed = detector(config, {"count_scores": [{**score, "score": 0.3}]})
    with pytest.raises(OtherSettingsError, match="another output folder"):
        predict_scenes(config, changed)
    changed.detector.classes = ["ship", "aircraft"]
    assert changed._from().endswith("none for aircraft: such counts may be far off")


def test_nothing_is_found_where_there_is_no_data(tmp_path: Path, detector: Any) -> None:
    values, places = planted(600, 600, 40)
    values[:, 300:] = 0
    values[100:105, 400:408] = 4000
    path = write(tmp_path / "half.tif", values)
    with rasterio.open(path, "r+") as file:
        file.nodata = 0
        mask = np.ones((600, 600), np.uint16) * values
        mask[100:105, 400:408] = 0
        file.write(mask, 1)
    config = PredictDetectConfig(scenes=[path], model=tmp_path, out=tmp_path / "out")
    (told,) = predict_scenes(config, detector(config))["scenes"]
    inside = ((places[:, 1] + SHIP[0]) <= 300).sum()
    assert told["objects"]["ship"] >= inside
    assert pd.read_csv(tmp_path / "out" / "half.csv")["x"].max() < 300


def test_a_scene_that_cannot_be_used_does_not_take_the_others_with_it(tmp_path: Path, detector: Any) -> None:
    values, _ = planted(300, 300, 14)
    good, coarse = write(tmp_path / "good.tif", values), write(tmp_path / "coarse.tif", values, 30.0)
    (tmp_path / "broken.tif").write_bytes(b"II*\0 no picture")
    config = PredictDetectConfig(scenes=[good, coarse, tmp_path / "broken.tif"], model=tmp_path, out=tmp_path / "out")
    result = predict_scenes(config, detector(config))
    assert [one["scene_id"] for one in result["scenes"]] == ["good"]
    assert len(result["failed"]) == 2
    assert any("pixels of 30 m; the model learned on 3 to 3 m" in one["reason"] for one in result["failed"])
    alone = PredictDetectConfig(scenes=[coarse], model=tmp_path, out=tmp_path / "none")
    with pytest.raises(ValueError, match="cannot see"):
        predict_scenes(alone, detector(alone))


def test_a_scene_of_unknown_place_has_a_table_and_no_map(tmp_path: Path, detector: Any) -> None:
    values, places = planted(300, 280, 14)
    write(tmp_path / "in" / "chip.tif", values, crs=None)
    (tmp_path / "in" / "chip.scene.yaml").write_text("unlocated: true\nspacing_m: [3, 3]\nunits: amplitude\n")
    config = PredictDetectConfig(scenes=[tmp_path / "in"], model=tmp_path, out=tmp_path / "out")
    (told,) = predict_scenes(config, detector(config))["scenes"]
    assert told["objects"] == {"ship": len(places)}
    assert {one.name for one in (tmp_path / "out").glob("chip*")} == {"chip.csv", "chip.json"}


@pytest.mark.parametrize(("own", "asked", "shown"), [(3, None, 3), (1, None, 2), (5, None, 4), (3, 2.5, 2.5)])
def test_a_model_is_shown_pixels_of_sizes_that_it_knows(own: float, asked: float | None, shown: float) -> None:
    taught = TaughtOn((2.0, 4.0), 256, ("q",), ("s",))
    assert metres_for(own, taught, asked, "x")[0] == shown
    with pytest.raises(ValueError, match="cannot see"):
        metres_for(7.0, taught, asked, "x")
    with pytest.raises(ValueError, match="--metres_per_pixel"):
        metres_for(own, None, None, "x")


# ---- segmentation ---------------------------------------------------------------------------------------------------


class Shades:
    """A segmenter that tells three shades from each other, softly, and from where in its window a pixel lies."""

    classes = ("dark", "grey", "bright")

    def scores(self, images: Any) -> Any:
        import torch

        side = images.shape[-1]
        drift = torch.linspace(-0.5, 0.5, side)[None, None, :, None]
        middle = torch.tensor([40.0, 128.0, 220.0])[None, :, None, None]
        return -(((images[:, None].float() - middle) / 40) ** 2) + drift * middle / 128


def segmenter(config: PredictSegmentConfig) -> ScenePredictor:
    one = object.__new__(ScenesSegmenter)
    one.config, one.taught, one.window, one.weights = config, TAUGHT, config.window_px or 64, "w"
    one.segmenter, one.device = Shades(), "cpu"  # type: ignore[assignment]
    return one


def shades(rows: int, columns: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    smooth = ndimage.gaussian_filter(rng.normal(size=(rows, columns)), 9)
    return (200 * 10 ** (smooth / smooth.std() / 2)).astype(np.uint16) + 1


@pytest.mark.parametrize("shape", [(200, 170), (64, 64), (50, 300), (65, 129)])
def test_a_map_equals_the_blend_of_all_windows_in_memory(shape: tuple[int, int], tmp_path: Path) -> None:
    import torch

    values = shades(*shape)
    values[:20, :30] = 0
    path = write(tmp_path / "land.tif", values)
    with rasterio.open(path, "r+") as file:
        file.nodata = 0
    config = PredictSegmentConfig(scenes=[path], model=tmp_path, out=tmp_path / "out", overlap=0.4, confidence=True)
    one = segmenter(config)
    (told,) = predict_scenes(config, one)["scenes"]
    with rasterio.open(tmp_path / "out" / "land.tif") as file:
        said, nodata = file.read(1), file.nodata
        assert file.overviews(1) or max(shape) < 512
        assert file.crs.to_epsg() == 32631
        assert tuple(file.transform)[:6] == pytest.approx((3, 0, 600000, 0, -3, 5700000))
        assert file.colormap(1)[1][3] == 255
    assert nodata == 255
    # By hand: all windows at once.
    from knowlip.inference.scene_grid import levels_for
    from knowlip.scenes import open_scene

    grid = SceneGrid(Ground(open_scene(path)), METRES, 64, 0.4)
    levels, _ = levels_for(grid, TAUGHT, None)
    total = np.zeros((3, max(shape[0], 64), max(shape[1], 64)))
    weight = np.zeros(total.shape[1:])
    ramp = np.sin(np.pi * (np.arange(64) + 0.5) / 64) ** 2
    window = np.maximum(np.outer(ramp, ramp), 1e-3)
    for cells in grid.rows():
        for cell in cells:
            scores = one.segmenter.scores(torch.from_numpy(grid.read(cell, levels).levels[None])).softmax(1)[0].numpy()  # type: ignore[attr-defined]
            total[:, cell.top : cell.top + 64, cell.left : cell.left + 64] += scores * window
            weight[cell.top : cell.top + 64, cell.left : cell.left + 64] += window
    total = total[:, : shape[0], : shape[1]]
    expected = np.where(values == 0, 255, total.argmax(0))
    close = np.sort(total, axis=0)
    unclear = (close[-1] - close[-2]) < 1e-5 * close[-1]
    assert ((said == expected) | unclear).all()
    assert (said[:20, :30] == 255).all()
    with rasterio.open(tmp_path / "out" / "land-confidence.tif") as file:
        sure = file.read(1)
    assert (
        np.abs(sure.astype(float) - np.rint(100 * total.max(0) / weight[: shape[0], : shape[1]]))[values > 0].max() <= 1
    )
    assert sum(told["km2"].values()) + told["km2_without_data"] == pytest.approx(values.size * 9e-6, rel=1e-5)


def test_a_killed_segmentation_ends_with_the_same_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "land.tif", shades(330, 150))
    whole = PredictSegmentConfig(scenes=[path], model=tmp_path, out=tmp_path / "whole", overlap=0.5)
    predict_scenes(whole, segmenter(whole))
    for after in (1, 4, 7):
        killed = PredictSegmentConfig(scenes=[path], model=tmp_path, out=tmp_path / f"killed{after}", overlap=0.5)
        one = segmenter(killed)
        look, seen = one._look, []  # type: ignore[attr-defined]

        def dies(work: Any, row: int, blend: Any, look: Any = look, seen: list[int] = seen, after: int = after) -> None:
            seen.append(row)
            if len(seen) > after:
                raise KeyboardInterrupt
            look(work, row, blend)

        one._look = dies  # type: ignore[attr-defined]
        with pytest.raises(KeyboardInterrupt):
            predict_scenes(killed, one)
        predict_scenes(killed, segmenter(killed))
        assert (killed.out / "land.tif").read_bytes() == (whole.out / "land.tif").read_bytes()


# ---- words ----------------------------------------------------------------------------------------------------------


def test_every_window_is_described_asked_about_and_embedded(tmp_path: Path) -> None:
    from knowlip.inference.predict_words import predict_ask, predict_caption, predict_embed, show
    from knowlip.inference.scene_settings import PredictAskConfig, PredictCaptionConfig, PredictEmbedConfig
    from tests.inference.tiny_model import tiny_model

    model = tiny_model(tmp_path / "model")
    values = shades(300, 520)
    values[:, :120] = 0  # the first window has less than half of its pixels
    path = write(tmp_path / "land.tif", values, 4.0)
    with rasterio.open(path, "r+") as file:
        file.nodata = 0
    same: dict[str, Any] = {
        "scenes": [path],
        "model": model,
        "device": "cpu",
        "metres_per_pixel": 4.0,
        "min_valid": 0.7,
    }
    said = predict_caption(PredictCaptionConfig(**same, out=tmp_path / "captions"))
    assert "4 windows" in show(said)
    table = geopandas.read_parquet(tmp_path / "captions" / "land.parquet")
    assert len(table) == 4
    assert table.crs.to_epsg() == 4326
    assert table["caption"].str.len().min() >= 0
    assert table["token_probability"].between(0, 1).all()
    assert (table["window_m"] == 1024).all()
    assert table.to_crs(32631).area.to_numpy() == pytest.approx(1024**2, rel=1e-6)
    assert table["valid_fraction"].min() >= 0.7
    answers = predict_ask(PredictAskConfig(**same, out=tmp_path / "answers", question="How many ships are there?"))
    assert answers["scenes"][0]["left_out_without_data"] == 2
    found = json.loads((tmp_path / "answers" / "land.geojson").read_text())["features"]
    assert all(0 <= one["properties"]["probability"] <= 1 for one in found)
    predict_embed(PredictEmbedConfig(**same, out=tmp_path / "vectors"))
    vectors = np.stack(geopandas.read_parquet(tmp_path / "vectors" / "land.parquet")["embedding"].to_list())
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert not (tmp_path / "vectors" / "land.geojson").exists()
    with pytest.raises(ValueError, match="--min_valid lower"):
        predict_embed(PredictEmbedConfig(**{**same, "window_px": 1024}, out=tmp_path / "none"))
    told = tiny_model(tmp_path / "told", card={"metres_per_pixel": [4.0, 4.0], "windows_m": [2048.0]})
    with pytest.raises(ValueError, match="windows of 2048 to 2048 m"):
        predict_embed(PredictEmbedConfig(**{**same, "model": told}, out=tmp_path / "other"))
    with pytest.raises(ValueError, match="question is empty"):
        PredictAskConfig(**same, out=tmp_path, question=" ")


def test_scenes_in_processes_come_to_what_they_come_to_one_after_the_other(tmp_path: Path) -> None:
    from knowlip.inference.predict_words import predict_embed
    from knowlip.inference.scene_settings import PredictEmbedConfig
    from tests.inference.tiny_model import tiny_model

    model, paths = tiny_model(tmp_path / "model"), []
    for number in range(3):
        paths.append(write(tmp_path / str(number) / "land.tif", shades(300, 260 + 20 * number), 4.0))
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "broken.tif").write_bytes(b"II*\0 no picture")
    same: dict[str, Any] = {"scenes": [*paths, tmp_path / "3" / "broken.tif"], "model": model, "device": "cpu"}
    same |= {"metres_per_pixel": 4.0}
    here = predict_embed(PredictEmbedConfig(**same, out=tmp_path / "here"))
    spread = predict_embed(PredictEmbedConfig(**same, out=tmp_path / "spread", where="processes", workers=2))
    names = [one["scene_id"] for one in here["scenes"]]
    assert [one["scene_id"] for one in spread["scenes"]] == names
    assert len({*names}) == 3
    assert [one["path"] for one in spread["failed"]] == [str(tmp_path / "3" / "broken.tif")]
    for name in names:
        assert (tmp_path / "spread" / f"{name}.parquet").read_bytes() == (
            tmp_path / "here" / f"{name}.parquet"
        ).read_bytes()
    # Where it was done is not part of what it came to.
    again = predict_embed(PredictEmbedConfig(**same, out=tmp_path / "spread"))
    assert [one["scene_id"] for one in again["scenes"]] == names


@pytest.mark.slow
def test_scenes_on_a_cluster_come_to_what_they_come_to_here(tmp_path: Path) -> None:
    from knowlip.inference.predict_words import predict_embed
    from knowlip.inference.scene_settings import PredictEmbedConfig
    from tests.inference.tiny_model import tiny_model
    from tests.jobs.local_ray import local_cluster

    cluster = local_cluster()
    model = tiny_model(tmp_path / "model")
    paths = [write(tmp_path / str(number) / "land.tif", shades(300, 260), 4.0) for number in range(2)]
    same: dict[str, Any] = {"scenes": paths, "model": model, "device": "cpu", "metres_per_pixel": 4.0}
    here = predict_embed(PredictEmbedConfig(**same, out=tmp_path / "here"))
    there = predict_embed(PredictEmbedConfig(**same, out=tmp_path / "there", where="ray", address=cluster.address))
    assert [one["scene_id"] for one in there["scenes"]] == [one["scene_id"] for one in here["scenes"]]
    for path in sorted((tmp_path / "here").glob("*.parquet")):
        assert (tmp_path / "there" / path.name).read_bytes() == path.read_bytes()


# ---- several pixel sizes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("octaves", [True, False])
def test_an_object_that_no_window_holds_is_whole_in_coarser_pixels(
    tmp_path: Path, detector: Any, octaves: bool
) -> None:
    rng = np.random.default_rng(3)
    values = rng.integers(90, 111, (900, 1100)).astype(np.uint16)
    small = [(60 + 130 * (n // 6), 40 + 170 * (n % 6)) for n in range(36) if 60 + 130 * (n // 6) not in (450,)]
    for top, left in small:
        values[top : top + 8, left : left + 12] = 4000
    values[420:480, 200:720] = 4000  # 520 px: twice a window
    scene = write(tmp_path / "sea.tif", values)
    config = PredictDetectConfig(scenes=[scene], model=tmp_path, out=tmp_path / "out", overlap=OVERLAP, octaves=octaves)
    one = detector(config)
    one.taught = TaughtOn((METRES, 4 * METRES), WINDOW, ("db-percentile-v1(0.5,99.8)",), ("umbra",))
    (told,) = predict_scenes(config, one)["scenes"]
    assert told["looked_at_metres"] == ([3.0, 6.0, 12.0] if octaves else [3.0])
    table = pd.read_csv(tmp_path / "out" / "sea.csv")
    long = table[table["east_west_m"] > 400]
    outside = (np.abs(table["y"] - 450) > 40) | (np.abs(table["x"] - 460) > 280)
    found = {(round(x), round(y)) for x, y in table[outside][["x", "y"]].to_numpy()}
    assert len(table[outside]) == len(small)  # each once, whatever its pixels were
    assert all(min(abs(x - (left + 6)) + abs(y - (top + 4)) for x, y in found) <= 4 for top, left in small)
    whole = long[(long["east_west_m"] - 520 * METRES).abs() < 40]
    assert len(whole) == (1 if octaves else 0)
    if octaves:
        assert len(table) == len(small) + 1


def test_the_score_of_every_pixel_size_is_told(tmp_path: Path, detector: Any) -> None:
    config = PredictDetectConfig(scenes=[tmp_path], model=tmp_path, out=tmp_path)
    scores = [
        {"category": "ship", "octave": octave, "score": score, "there": 20}
        for octave, score in ((None, 0.5), (2, 0.3), (3, 0.7))
    ]
    one = detector(config, {"count_scores": scores})
    assert one.scores_said([3.0, 6.0]) == "0.3 at 3 m a pixel; 0.7 at 6 m a pixel"
    assert one.scores_said([3.0]) == 0.3
    assert one.scores_said([48.0, 96.0]) == 0.5
    assert (
        detector(PredictDetectConfig(scenes=[], model=tmp_path, out=tmp_path, min_score=0.4)).scores_said([3, 6]) == 0.4
    )


def test_boxes_whose_score_is_no_number_are_counted(tmp_path: Path, detector: Any, monkeypatch: Any) -> None:
    values, _ = planted(300, 300, 20)

    def broken(_: Any, images: Sequence[np.ndarray]) -> list[pd.DataFrame]:
        return [found_table("", boxes_found(), np.ones(2), ["ship"]) for _ in images]

    monkeypatch.setattr(module, "found_in", broken)
    scene = write(tmp_path / "sea.tif", values)
    config = PredictDetectConfig(scenes=[scene], model=tmp_path, out=tmp_path / "out", overlap=0.0)
    result = predict_scenes(config, detector(config))
    (told,) = result["scenes"]
    windows = told["windows"]
    assert told["left_out_without_number"] == 2 * windows
    assert told["objects"]["ship"] >= 1
    assert f"{2 * windows} boxes without a number are left out" in module.show(result)


def boxes_found() -> FoundBoxes:
    """Three boxes: of a sound one, one without a score, one without a place."""
    boxes = torch.tensor([[20.0, 20, 30, 30], [60, 60, 70, 70], [float("nan"), 60, 70, 70]])
    return FoundBoxes(boxes, torch.tensor([0.9, float("nan"), 0.9]), torch.tensor([1, 1, 1]), None)
