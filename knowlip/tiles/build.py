"""The build stage: scenes -> data set. Plans first, cuts scene by scene in a process pool, writes the index."""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely

from knowlip.dataset.layout import INFO, PLAN
from knowlip.dataset.shards import encode_png
from knowlip.dataset.writer import finish, scene_marker, write_scene
from knowlip.files import read_json, write_json
from knowlip.progress import say, track
from knowlip.scenes import Scene, find_scenes
from knowlip.tiles.cut import cut, metadata
from knowlip.tiles.ground import Ground
from knowlip.tiles.places import describe_places
from knowlip.tiles.plan import BuildConfig, Plan, PlannedScene, centers, footprints, make_plan
from knowlip.tiles.truth import SceneTruth, truth_path
from knowlip.tiles.windows import family

__all__ = ["BuildConfig", "build"]


def build(config: BuildConfig) -> dict[str, Any]:
    """Build a data set, or finish one that was interrupted; the bytes written do not depend on interruptions.

    Returns:
        {"dataset", "tiles", "accepted", "rejected": {reason: n}, "splits", "scales", "blocks", "scenes",
        "skipped": [{"path", "reason"}], "fingerprint", "seconds"}

    Raises:
        ValueError: no usable scene, settings that cannot work, `out` holding something else, or a full disk.
    """
    started = time.monotonic()
    config.check()
    paths = find_scenes(config.scenes)
    record = config.record(paths)
    stored = _stored_plan(config.out, record)
    if stored is not None and (config.out / INFO).exists():
        say(f"{config.out} is finished already.")
        return _result(config.out, read_json(config.out / INFO), started)
    plan = make_plan(config, paths)
    if stored is not None and stored != plan.document:
        raise ValueError(f"The scene files changed since {config.out} was begun; build into a new folder.")
    try:
        config.out.mkdir(parents=True, exist_ok=True)
        with _alone(config.out):
            for leftover in config.out.rglob(".*.part"):
                leftover.unlink()
            if stored is None:
                write_json(config.out / PLAN, plan.document)
            failed = _cut_all(config, plan)
            for item in failed:
                say(f"  skipped: {item['reason']}")
            bad = {item["path"] for item in failed}
            done = [item.scene.scene_id for item in plan.scenes if str(item.scene.path) not in bad]
            if not done:
                raise ValueError(failed[0]["reason"])
            info = {"config": record, "block_km": plan.document["block_km"], "skipped": plan.skipped + failed}
            return _result(config.out, finish(config.out, done, {**info, "versions": _versions()}), started)
    except OSError as error:
        raise ValueError(
            f"Cannot write to {config.out}: {error.strerror or error}. What is finished is kept; "
            "run the same command again when there is room."
        ) from error


def _stored_plan(out: Path, record: dict[str, Any]) -> dict[str, Any] | None:
    """The plan of an earlier build in `out`, None where there is none. Refuses a folder with anything else in it."""
    if not out.exists():
        return None
    if not out.is_dir():
        raise ValueError(f"{out} is a file; give a folder for the data set.")
    if not (out / PLAN).exists():
        if any(not path.name.startswith(".") for path in out.iterdir()):
            raise ValueError(f"{out} is not empty and holds no data set; give a new folder.")
        return None
    stored: dict[str, Any] = read_json(out / PLAN)
    old = stored.get("config", {})
    different = sorted(key for key in record.keys() | old.keys() if record.get(key) != old.get(key))
    if different:
        what = "; ".join(f"{key}: {_short(old.get(key))} there, {_short(record.get(key))} now" for key in different)
        raise ValueError(f"{out} was begun with other settings ({what}). Build into a new folder.")
    return stored


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Refuse a second build in the same folder at the same time."""
    handle = os.open(out, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"Another build is writing to {out}.") from None
        yield
    finally:
        os.close(handle)


@dataclass(frozen=True)
class _Job:
    """What a worker needs to cut one scene."""

    config: BuildConfig
    planned: PlannedScene
    places: list[dict[str, Any]]
    """Of every window, family by family."""


def _cut_all(config: BuildConfig, plan: Plan) -> list[dict[str, str]]:
    """Cut the scenes that are not done. Returns {"path", "reason"} of those that failed."""
    todo = [item for item in plan.scenes if not scene_marker(config.out, item.scene.scene_id).exists()]
    if len(todo) < len(plan.scenes):
        say(f"  {len(plan.scenes) - len(todo)} of {len(plan.scenes)} scenes are done already")
    todo.sort(key=lambda item: -len(item.roots) * item.scene.shape[0] * item.scene.shape[1])
    jobs = [_Job(config, item, _places_of(item)) for item in todo]
    failed: dict[str, str] = {}
    workers = min(config.workers, len(jobs))
    if workers <= 1:
        for job in track(jobs, "cut tiles"):
            _note(failed, job, cut_scene(job))
    else:
        with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_die_with_parent) as pool:
            futures: dict[Future[str], _Job] = {pool.submit(cut_scene, job): job for job in jobs}
            try:
                for future in track(as_completed(futures), "cut tiles", total=len(futures)):
                    _note(failed, futures[future], future.result())
            except BrokenProcessPool as error:
                raise ValueError(
                    "A worker was killed, most likely for lack of memory. What is finished is kept: run the same "
                    "command again, with fewer workers."
                ) from error
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
    return [{"path": str(item.scene.path), "reason": failed[item.scene.scene_id]}
            for item in plan.scenes if item.scene.scene_id in failed]  # fmt: skip


def _note(failed: dict[str, str], job: _Job, reason: str) -> None:
    if reason:
        failed[job.planned.scene.scene_id] = reason


def _die_with_parent() -> None:
    """End a worker when the build itself is killed, so that nothing writes behind a later run's back."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _places_of(item: PlannedScene) -> list[dict[str, Any]]:
    crs = Ground(item.scene).crs
    windows = [window for root in item.roots for window in family(root)]
    return describe_places(*centers(crs, windows))


def cut_scene(job: _Job) -> str:
    """Cut one scene and write its shards and done marker. Returns "" or the reason why the scene cannot be used.

    Raises:
        OSError: the disk is full or not writable: that is no fault of the scene.
    """
    config, planned, scene = job.config, job.planned, job.planned.scene
    try:
        ground = Ground(scene)
        quantiser, families = cut(
            ground, planned.roots, config.tile_px, config.percentiles, config.min_valid, config.quality
        )
        truth_of = SceneTruth(scene.path, ground.crs) if truth_path(scene.path).exists() else None
        shared = _scene_columns(scene)
        rows: list[dict[str, Any]] = []
        pngs: dict[str, bytes] = {}
        truth: dict[str, dict[str, Any]] = {}
        for number, (root, tiles) in enumerate(families):
            windows = [tile.window for tile in tiles]
            shapes = shapely.to_wkb(np.array(footprints(ground.crs, windows), object), hex=True, byte_order=1)
            lons, lats = centers(ground.crs, windows)
            codes = truth_of.root_codes(root) if truth_of else None
            for i, tile in enumerate(tiles):
                place = job.places[number * len(tiles) + i]
                rows.append({
                    **shared,
                    **metadata(tile, ground, quantiser, config.tile_px),
                    **{key: round(value, 3) if isinstance(value, float) else value for key, value in place.items()},
                    "split": planned.splits[number],
                    "block": planned.blocks[number],
                    "geometry": str(shapes[i]),
                    "lon": float(lons[i]),
                    "lat": float(lats[i]),
                })  # fmt: skip
                name = tile.window.tile_id
                if not tile.reject_reason:
                    pngs[name] = encode_png(tile.pixels)
                if truth_of is not None and codes is not None:
                    truth[name] = truth_of.of(tile.window, root, codes)
    except ValueError as error:
        return str(error)
    finally:
        scene.raster.close()
    facts = {"scene": _facts(scene), "quantiser": {
        "name": quantiser.name, "lo_db": quantiser.lo_db, "hi_db": quantiser.hi_db, "lut_sha256": quantiser.lut_sha256,
    }}  # fmt: skip
    write_scene(config.out, scene.scene_id, rows, pngs, truth, facts)
    return ""


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _scene_columns(scene: Scene) -> dict[str, Any]:
    """The columns of the index that all tiles of a scene share."""
    return {
        "scene_id": scene.scene_id,
        "datetime": scene.date,
        "platform": scene.sensor,
        "sar:frequency_band": scene.band,
        "sar:polarizations": [scene.polarisation] if scene.polarisation else [],
        "sar:looks_equivalent_number": scene.looks,
        "view:incidence_angle": _known(scene.incidence_deg),
        "look_azimuth_deg": _known(scene.look_azimuth_deg),
        "resolution_m": round(scene.resolution_m, 4),
    }


def _facts(scene: Scene) -> dict[str, Any]:
    return {
        "path": str(scene.path.resolve()),
        "units": scene.units,
        "radiometry": scene.radiometry,
        "dtype": scene.dtype,
        "shape": list(scene.shape),
        "crs": scene.crs.to_string(),
        "transform": [float(value) for value in scene.transform[:6]],
    }


def _versions() -> dict[str, str]:
    """Versions that decide the bytes of a data set."""
    names = ("numpy", "rasterio", "pyproj", "pillow", "pyarrow")
    return {**{name: version(name) for name in names}, "gdal": rasterio.__gdal_version__}


def _result(out: Path, info: dict[str, Any], started: float) -> dict[str, Any]:
    return {
        "dataset": str(out),
        **info["counts"],
        "skipped": info["skipped"],
        "fingerprint": info["fingerprint"],
        "seconds": round(time.monotonic() - started, 2),
    }
