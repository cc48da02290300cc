"""Whole simulated scenes that no training saw, real images put together, a scene of 30,000 px, and killed commands.

    knowlip simulate --out runs/train-scenes --cities 24
    knowlip simulate --out runs/test-scenes --cities 9 --first_city 90 --seed 2
    knowlip simulate --out runs/counting-scenes --cities 10 --first_city 104 --seed 3
    knowlip build --recipe demo --scenes runs/counting-scenes --out runs/counting
    knowlip build --recipe demo --scenes runs/train-scenes --out runs/train
    knowlip dataset overlay runs/train --masks 'runs/train-scenes/*.landcover.tif' --mask_classes \
        '[1=water,2=field,3=wood,4=built-up,5=road,6=runway,7=apron,8=grass,9=bridge,10=quay]'
    (docs/whole-scenes.md has the trainings)
    python -m benchmarks.whole_scenes --train runs/train --scenes runs/test-scenes --detector runs/detect \
        --segmenter runs/segment --work runs/whole --counting runs/counting [--mosaic runs/ssdd] \
        [--parts simulated killed mosaic large]

simulated: AP50 of each sensor (upright boxes on the map, IoU 0.5) beside CFAR through the same windows, ships counted a
scene, mIoU of land cover beside the majority, seconds for 100 km2. killed: SIGKILL at five moments, then the
same bytes. mosaic: images of a labelled set beside one another in one scene, against the same images one by one. large:
a scene of 30,000 x 30,000 px through both; memory, and windows a second against windows that lie in memory already.
"""

import argparse
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import geopandas
import numpy as np
import pandas as pd
import rasterio
import rasterio.warp
import shapely
from affine import Affine
from rasterio.windows import Window

from benchmarks.large_scene import write_large_scene
from knowlip.base.documents import read_json
from knowlip.base.files import write_json
from knowlip.base.provenance import commit, machine
from knowlip.base.vocabulary import LAND_COVER
from knowlip.dataset import Dataset
from knowlip.inference import predict_detect
from knowlip.inference.predict import predict_scenes
from knowlip.inference.predict_detect import ScenesDetector
from knowlip.inference.predict_segment import ScenesSegmenter
from knowlip.inference.scene_grid import SceneGrid, levels_for
from knowlip.inference.scene_settings import PredictDetectConfig, PredictSegmentConfig
from knowlip.scenes import open_scene
from knowlip.tasks.cfar import Cfar, cfar_detections
from knowlip.tasks.detect import settle_counts
from knowlip.tasks.metrics.boxes import CORNERS, Detections, matched
from knowlip.tasks.metrics.intervals import over_clusters
from knowlip.tasks.metrics.segmentation import class_iou, mean_iou, overall_accuracy
from knowlip.tiles.ground import Ground
from knowlip.tiles.quantise import QuantiseConfig

RESULT: Final = Path(__file__).parent / "results" / "use.json"
PARTS: Final = ("simulated", "killed", "mosaic", "large")
_LEAST: Final = 0.05
"""Score from which boxes count for AP."""
_LARGE_PX: Final = 30_000
_CALIBRATION: Final = 200
"""Training tiles that settle what CFAR takes for bright."""
_KILLS: Final = 5
_PICTURES: Final = 144


# ---- simulated scenes -----------------------------------------------------------------------------------------------


def simulated(options: argparse.Namespace) -> dict[str, Any]:
    """Figures of each sensor."""
    scenes = sorted(path for path in options.scenes.glob("*.tif") if not path.name.endswith(".landcover.tif"))
    work = options.work / "simulated"
    if options.counting is not None:
        settle_counts(options.detector, Dataset(options.counting))
    detect = PredictDetectConfig(scenes=scenes, model=options.detector, out=work / "detect", min_score=_LEAST)
    count = replace(detect, out=work / "count", min_score=None)  # from the detector's own scores
    segment = PredictSegmentConfig(scenes=scenes, model=options.segmenter, out=work / "segment")
    spent: dict[str, float] = {}
    for name, config, kind in (("detect", detect, ScenesDetector), ("segment", segment, ScenesSegmenter)):
        predictor: Any = kind(config)  # type: ignore[arg-type]
        fresh, started = not config.out.exists(), time.process_time()
        predict_scenes(config, predictor)
        if fresh:  # maps that were there already cost nothing
            spent[name] = time.process_time() - started
    predict_scenes(count, ScenesDetector(count))
    floor = replace(detect, out=work / "cfar")
    _predict_cfar(floor, _fitted_cfar(Dataset(options.train)))
    result: dict[str, Any] = {}
    for sensor in sorted({path.stem.rsplit("-", 1)[1] for path in scenes}):
        of_it = [path for path in scenes if path.stem.endswith(f"-{sensor}")]
        truth = [_truth(path) for path in of_it]
        result[f"sim-{sensor}"] = {
            **_detection(of_it, truth, detect.out, floor.out),
            **_counts(of_it, truth, count.out),
            **_cover(of_it, segment.out, options),
        }
    area = sum(_km2(path) for path in scenes)
    result["cpu_s_per_100_km2"] = {name: round(100 * seconds / area, 1) for name, seconds in spent.items()}
    result["km2"] = round(area, 1)
    return result


def _km2(path: Path) -> float:
    with rasterio.open(path) as file:
        return float(file.width * file.height * abs(file.transform.determinant) / 1e6)


def _detection(scenes: Sequence[Path], truth: Sequence[pd.DataFrame], found: Path, floor: Path) -> dict[str, Any]:
    said, bright = ([_said(folder, path, there) for path, there in zip(scenes, truth)] for folder in (found, floor))
    categories = sorted({name for one in truth for name in one["category"]})
    values: dict[str, Any] = {"scenes": len(scenes)}
    by_class = {name: _matches(said, truth, name) for name in categories}
    precisions = {name: found.average_precision() for name, found in by_class.items()}
    any_class = {"ap50_any_class": _matches(said, truth, ""), "cfar_ap50": _matches(bright, truth, "")}
    values["ap50"] = round(float(np.mean(list(precisions.values()))), 4)
    values["ap50_by_class"] = {name: round(value, 4) for name, value in precisions.items()}
    for name, one in any_class.items():
        estimate = over_clusters(one.average_precision, [path.stem for path in scenes], int(one.there.sum()))
        values |= {name: round(estimate.value, 4), f"{name}_ci": _rounded(estimate.ci)}
    return values


def _counts(scenes: Sequence[Path], truth: Sequence[pd.DataFrame], found: Path) -> dict[str, Any]:
    """Ships called in each scene, from the scores from which the detector counts, beside calling none."""
    ships = np.array([int((one["category"] == "ship").sum()) for one in truth])
    called = [_said(found, path, there) for path, there in zip(scenes, truth)]
    counted = np.array([int((one["category"] == "ship").sum()) for one in called])
    errors, names = np.abs(counted - ships), [path.stem for path in scenes]
    mean = over_clusters(lambda times: float((times * errors).sum() / times.sum()), names, len(scenes))
    zero = over_clusters(lambda times: float((times * ships).sum() / times.sum()), names, len(scenes))
    return {
        "ships": int(ships.sum()),
        "ships_counted": int(counted.sum()),
        "count_error_a_scene": round(mean.value, 3),
        "count_ci": _rounded(mean.ci),
        "count_error_of_always_none": round(zero.value, 3),
    }


def _rounded(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else [round(value, 4) for value in interval]


def _truth(scene: Path) -> pd.DataFrame:
    """Upright boxes of ships and aircraft on the map, in metres, as far as they lie in the scene."""
    frame = geopandas.read_file(scene.with_name(f"{scene.stem}.truth.geojson"))
    with rasterio.open(scene) as file:
        crs, bounds = file.crs, shapely.box(*file.bounds)
    frame = frame[frame["category"].isin(("ship", "aircraft"))].to_crs(crs)
    shown = frame.geometry.intersection(bounds)
    inside = shown.area >= 0.5 * frame.geometry.area
    boxes = shown[inside].bounds.to_numpy().reshape(-1, 4)
    table = pd.DataFrame(boxes, columns=list(CORNERS))
    table.attrs["crs"] = crs
    return table.assign(category=frame["category"][inside].tolist())


def _said(folder: Path, scene: Path, truth: pd.DataFrame) -> pd.DataFrame:
    frame = geopandas.read_file(folder / f"{scene.stem}.gpkg")
    columns = [*CORNERS, "category", "score"]
    if frame.empty:
        return pd.DataFrame(columns=columns)
    boxes = frame.to_crs(truth.attrs["crs"]).geometry.bounds.to_numpy()
    table = pd.DataFrame(boxes, columns=list(CORNERS))
    return table.assign(category=frame["category"].tolist(), score=frame["score"].to_numpy(float))[columns]


def _matches(said: Sequence[pd.DataFrame], truth: Sequence[pd.DataFrame], category: str) -> Detections:
    def of(table: pd.DataFrame) -> pd.DataFrame:
        return table[table["category"] == category] if category else table

    found = [(of(one)[list(CORNERS)].to_numpy(float).reshape(-1, 4), of(one)["score"].to_numpy(float)) for one in said]
    return matched(found, [of(one)[list(CORNERS)].to_numpy(float).reshape(-1, 4) for one in truth])


def _cover(scenes: Sequence[Path], maps: Path, options: argparse.Namespace) -> dict[str, Any]:
    """mIoU of land cover over the pixels of all scenes of a sensor, beside calling everything the commonest class."""
    data = Dataset(options.train)
    names = list(data.mask_classes.values())
    confusion = np.zeros((len(names), len(names)), np.int64)
    for path in scenes:
        with rasterio.open(maps / f"{path.stem}.tif") as file:
            said, transform, crs = file.read(1), file.transform, file.crs
            words = [file.tags()[f"CLASS_{at}"] for at in range(len(names))]
        there = np.zeros(said.shape, np.uint8)
        with rasterio.open(path.with_name(f"{path.stem}.landcover.tif")) as file:
            rasterio.warp.reproject(rasterio.band(file, 1), there, dst_transform=transform, dst_crs=crs)
        asked = (there > 0) & (said != 255)
        right = np.array(
            [names.index(LAND_COVER[code]) if LAND_COVER.get(code) in names else 0 for code in range(256)]
        )[there[asked]]
        called = np.array([names.index(word) for word in words])[said[asked]]
        confusion += np.bincount(len(names) * right + called, minlength=confusion.size).reshape(confusion.shape)
    commonest = np.zeros_like(confusion)
    commonest[:, int(confusion.sum(1).argmax())] = confusion.sum(1)
    return {
        "miou": round(mean_iou(confusion), 4),
        "miou_majority": round(mean_iou(commonest), 4),
        "overall_accuracy": round(overall_accuracy(confusion), 4),
        "share_of_majority": round(float(confusion.sum(1).max() / confusion.sum()), 4),
        "iou": {
            name: round(float(value), 4)
            for name, value in zip(names, class_iou(confusion), strict=True)
            if np.isfinite(value)
        },
    }


# ---- CFAR through the same windows ----------------------------------------------------------------------------------


def _fitted_cfar(data: Dataset) -> Cfar:
    """Settings that find most in training tiles with targets."""
    rows = data.annotations()
    index = data.table.to_pandas()
    learn = set(index[index["accepted"] & (index["split"] == "train")]["tile_id"])
    by_tile = {str(tile): part for tile, part in rows.groupby("tile_id") if tile in learn}
    chosen = sorted(by_tile)[:: max(1, len(by_tile) // _CALIBRATION)]
    images = {at: data.image(tile) for at, tile in enumerate(chosen)}
    there = []
    for at, tile in enumerate(chosen):
        part, side = by_tile[tile], images[at].shape[0]
        left, top = part["x"].to_numpy(float), part["y"].to_numpy(float)
        right, bottom = left + part["width"].to_numpy(float), top + part["height"].to_numpy(float)
        there.append(side * np.column_stack([left, top, right, bottom]))
    return cfar_detections(images, there, list(images), [])[1]


def _predict_cfar(config: PredictDetectConfig, settings: Cfar) -> None:
    """Let CFAR look in the detector's place: windows, merging and maps stay."""

    def bright(_: Any, images: Sequence[np.ndarray]) -> list[pd.DataFrame]:
        tables = []
        for pixels in images:
            found = settings.targets(pixels)
            table = pd.DataFrame([one.box for one in found], columns=list(CORNERS), dtype=float)
            # Scores are to lie from 0 to 1, in the order of the contrasts.
            scores = [1 - 1 / (1 + one.contrast) for one in found]
            tables.append(
                table.assign(
                    tile_id="",
                    category="ship",
                    score=scores,
                    corners=pd.Series([[] for _ in found], table.index, object),
                )
            )
        return tables

    before, predict_detect.found_in = predict_detect.found_in, bright  # type: ignore[assignment]
    try:
        predict_scenes(config, ScenesDetector(config))
    finally:
        predict_detect.found_in = before


# ---- killed ---------------------------------------------------------------------------------------------------------


def killed(options: argparse.Namespace) -> dict[str, Any]:
    """Both commands on a scene, killed at five moments each, against one that was left alone."""
    scene = max(options.scenes.glob("*-c.tif"), key=lambda path: path.stat().st_size)
    result: dict[str, Any] = {"scene_px": int(np.sqrt(scene.stat().st_size / 4))}
    for kind, model, suffixes in (
        ("detect", options.detector, ("geojson", "csv")),
        ("segment", options.segmenter, ("tif",)),
    ):
        whole, broken = (options.work / "killed" / kind / name for name in ("whole", "broken"))
        command = [sys.executable, "-m", "knowlip.cli", "predict", kind, str(scene), "--model", str(model)]
        started = time.perf_counter()
        subprocess.run([*command, "--out", str(whole)], check=True, capture_output=True)
        length, kills = time.perf_counter() - started, 0
        for moment in np.linspace(0.5, 0.95, _KILLS):
            process = subprocess.Popen(
                [*command, "--out", str(broken)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
            try:
                process.wait(float(moment * length))
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                kills += 1
        subprocess.run([*command, "--out", str(broken)], check=True, capture_output=True)
        same = all(
            (whole / f"{scene.stem}.{suffix}").read_bytes() == (broken / f"{scene.stem}.{suffix}").read_bytes()
            for suffix in suffixes
        )
        result[kind] = {"kills": kills, "same_bytes": same}
    return result


# ---- images put together --------------------------------------------------------------------------------------------


def mosaic(options: argparse.Namespace) -> dict[str, Any]:
    """Images of a labelled set in one large scene, and the same images cut by themselves into the same windows."""
    data, side = Dataset(options.mosaic), 512
    rows, index = data.annotations(), data.table.to_pandas()
    unseen = set(index[index["accepted"]]["tile_id"])
    # A detector that learned from this set is asked about the images that its run kept apart.
    division = options.detector / "division.json"
    apart = unseen & set(read_json(division)["measured"]) if division.is_file() else set()
    own, unseen = bool(apart), apart or unseen
    tiles = sorted(unseen)[:_PICTURES]
    across = int(np.ceil(np.sqrt(len(tiles))))
    whole = np.zeros((side * -(-len(tiles) // across), side * across), np.uint8)
    truth, single_truth, singles = [], [], []
    by_tile = {str(tile): part for tile, part in rows.groupby("tile_id")}
    for number, tile in enumerate(tiles):
        image, part = data.image(tile), by_tile.get(tile)
        height, width = (min(side, extent) for extent in image.shape)
        top, left = side * (number // across), side * (number % across)
        whole[top : top + height, left : left + width] = np.maximum(image[:height, :width], 1)
        boxes = np.zeros((0, 4))
        if part is not None:
            x, y = part["x"].to_numpy(float) * image.shape[1], part["y"].to_numpy(float) * image.shape[0]
            right = x + part["width"].to_numpy(float) * image.shape[1]
            bottom = y + part["height"].to_numpy(float) * image.shape[0]
            boxes = np.column_stack([x, y, np.minimum(right, width), np.minimum(bottom, height)])
            boxes = boxes[(boxes[:, 0] < width - 2) & (boxes[:, 1] < height - 2)]
        singles.append(whole[top : top + side, left : left + side])
        single_truth.append(boxes)
        truth.append(boxes + np.array([left, top, left, top]))
    work = options.work / "mosaic"
    # One stretch of grey levels and one pixel size: only where windows lie differs.
    levels = None if own else QuantiseConfig(method="window", window_db=(0.0, 48.0))
    same: dict[str, Any] = {"model": options.detector, "min_score": _LEAST, "quantise": levels, "octaves": False}
    # Windows are as large as the images here: ships of the larger half would be cut at the usual quarter.
    same |= {"metres_per_pixel": 1.0, "overlap": 0.5} if own else {}
    names = [f"image-{number:03d}" for number in range(len(tiles))]
    alone = [_write_picture(work / "alone" / f"{name}.tif", one) for name, one in zip(names, singles)]
    for name, scenes in (("whole", [_write_picture(work / "whole.tif", whole)]), ("single", alone)):
        config = PredictDetectConfig(scenes=scenes, out=work / name, **same)
        predict_scenes(config, ScenesDetector(config))
    said, scores = _table(work / "whole" / "whole.csv")
    # Cells of the mosaic are the images: both are asked about the same boxes.
    column, row = ((said[:, at] + said[:, at + 2]) / 2 // side for at in (0, 1))
    place = (row * across + column).astype(int)
    as_one = matched([(said[place == at], scores[place == at]) for at in range(len(tiles))], truth)
    by_image = matched([_table(work / "single" / f"{name}.csv") for name in names], single_truth)
    return {
        "images": len(tiles),
        "learned_from_the_set": own,
        "ships": int(as_one.there.sum()),
        "scene_px": list(whole.shape),
        "ap50_as_one_scene": round(as_one.average_precision(), 4),
        "ap50_image_by_image": round(by_image.average_precision(), 4),
    }


def _table(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Boxes and scores of a table of `predict detect` with pixels of 1 m."""
    table = pd.read_csv(path)
    half, middle = table[["east_west_m", "north_south_m"]].to_numpy(float) / 2, table[["x", "y"]].to_numpy(float)
    return np.column_stack([middle - half, middle + half]), table["score"].to_numpy(float)


def _write_picture(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    place = {"crs": "EPSG:32631", "transform": Affine(1, 0, 500_000, 0, -1, 5_700_000)}
    size: dict[str, Any] = {"height": values.shape[0], "width": values.shape[1], "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", tiled=True, **size, **place) as file:
        file.write(values, 1)
        file.update_tags(KNOWLIP_UNITS="amplitude")
    return path


# ---- a large scene --------------------------------------------------------------------------------------------------


def large(options: argparse.Namespace) -> dict[str, Any]:
    """Both commands on a scene of 30,000 x 30,000 px, with light models where some are given: their time is short, so
    that reading weighs most. The ratio is measured with the others too."""
    work = options.work / "large"
    work.mkdir(parents=True, exist_ok=True)
    scene = work / "large.tif"
    if not scene.is_file():
        write_large_scene(scene, options.side, "uint16")
    strip = work / f"strip-{options.detect_rows}.tif"
    if options.detect_rows and not strip.is_file():
        with rasterio.open(scene) as source:
            profile = source.profile | {"height": options.detect_rows}
            with rasterio.open(strip, "w", **profile) as target:
                target.update_tags(**source.tags())
                target.write(source.read(1, window=Window(0, 0, options.side, options.detect_rows)), 1)
    scenes = {"detect": strip if options.detect_rows else scene, "segment": scene}
    result: dict[str, Any] = {}
    models = {"detect": options.light_detector or options.detector}
    models["segment"] = options.light_segmenter or options.segmenter
    for kind in options.kinds:
        model, scene = models[kind], scenes[kind]
        code = (
            f"from benchmarks.whole_scenes import look; look({kind!r}, {str(scene)!r}, {str(model)!r}, {str(work)!r})"
        )
        started = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        peak = float(done.stdout.strip().splitlines()[-1])
        with rasterio.open(scene) as source:
            result[kind] = {"scene_px": [source.height, source.width]}
        result[kind] |= {"seconds": round(time.perf_counter() - started), "peak_gb": round(peak, 3)}
        result[kind]["ratio_to_memory_fed_light"] = _against_memory(kind, scene, model)
        own = options.detector if kind == "detect" else options.segmenter
        result[kind]["ratio_to_memory_fed"] = _against_memory(kind, scene, own)
    return result


def look(kind: str, scene: str, model: str, work: str) -> None:
    """One command in a process of its own, whose largest memory is printed."""
    kinds: Mapping[str, Any] = {
        "detect": (PredictDetectConfig, ScenesDetector),
        "segment": (PredictSegmentConfig, ScenesSegmenter),
    }
    settings, predictor = kinds[kind]
    config = settings(scenes=[Path(scene)], model=Path(model), out=Path(work) / kind)
    predict_scenes(config, predictor(config))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


def _against_memory(kind: str, path: Path, model: Path, rows: int = 5) -> float:
    """Seconds that windows take when they lie in memory over seconds that they take from disk, of the same windows in
    turns: 1 means that reading costs nothing."""
    config: Any
    predictor: Any
    if kind == "detect":
        config = PredictDetectConfig(scenes=[path], model=model, out=path.parent)
        predictor = ScenesDetector(config)
    else:
        config = PredictSegmentConfig(scenes=[path], model=model, out=path.parent)
        predictor = ScenesSegmenter(config)
    scene = open_scene(path)
    grid = SceneGrid(Ground(scene), scene.resolution_m, predictor.window, config.overlap)
    part = SceneGrid(Ground(scene), scene.resolution_m, predictor.window, config.overlap)
    part.shape = (8192, 8192)
    levels, _ = levels_for(part, predictor.taught, config.quantise)

    def shown(images: list[np.ndarray]) -> None:
        if kind == "detect":
            predict_detect.found_in(predictor.detector, images)
        else:
            import torch

            with torch.inference_mode():
                predictor.segmenter.scores(torch.from_numpy(np.stack(images))).softmax(1).numpy()

    fed, streamed = 0.0, 0.0
    for row in range(10, 10 + rows):
        cells, size = grid.row(row), config.batch_size
        in_memory = [grid.read(cell, levels).levels for cell in cells]
        started = time.perf_counter()
        for first in range(0, len(cells), size):
            shown(in_memory[first : first + size])
        middle = time.perf_counter()
        for first in range(0, len(cells), size):
            shown([grid.read(cell, levels).levels for cell in cells[first : first + size]])
        fed, streamed = fed + middle - started, streamed + time.perf_counter() - middle
    return round(fed / streamed, 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given = ("train", "scenes", "detector", "segmenter", "light-detector", "light-segmenter", "work", "mosaic")
    parser.add_argument("--counting", type=Path, help="labelled tiles of other cities: from which scores boxes count")
    for name in given:
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=["simulated", "killed"])
    parser.add_argument("--side", type=int, default=_LARGE_PX)
    parser.add_argument("--kinds", nargs="+", choices=("detect", "segment"), default=["detect", "segment"])
    parser.add_argument("--detect-rows", type=int, default=0, help="rows of the scene that the detector sees; 0: all")
    options = parser.parse_args()
    parts = {"simulated": simulated, "killed": killed, "mosaic": mosaic, "large": large}
    keys = {"simulated": "whole_scene", "killed": "killed", "mosaic": "mosaic", "large": f"scene_{options.side}"}
    for name in options.parts:
        found = {**parts[name](options), "machine": machine(), "date": datetime.now(UTC).date().isoformat()}
        print(name, found)
        known = read_json(RESULT) if RESULT.is_file() else {}
        # The two commands of the large scene may be measured one after the other.
        before = known.get(keys[name], {}) if name == "large" else {}
        write_json(RESULT, {**known, keys[name]: {**before, **found, "commit": commit()}})


if __name__ == "__main__":
    main()
