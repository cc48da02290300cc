"""The build stage: scenes -> data set. Plans first, cuts scene by scene, writes the index."""

import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import rasterio

from knowlip.base.documents import read_json
from knowlip.base.files import write_json
from knowlip.base.progress import say
from knowlip.dataset.layout import INFO, PLAN
from knowlip.dataset.writer import finish
from knowlip.jobs.store import alone
from knowlip.scenes.find import passed_over_line, search
from knowlip.tiles.cutting import cut_all, sweep
from knowlip.tiles.plan import BuildConfig, make_plan

__all__ = ["BuildConfig", "build"]
LOCK = ".lock"
"""A file of the data set that is there while it is built."""


def build(config: BuildConfig) -> dict[str, Any]:
    """Build a data set, or finish one that was interrupted; the bytes written do not depend on interruptions.

    Returns:
        {"dataset", "tiles", "accepted", "rejected": {reason: n}, "splits", "scales", "blocks", "scenes",
        "skipped": [{"path", "reason"}], "passed_over": [{"path", "reason"}], "notes": {scene_id: [sentence]},
        "fingerprint", "seconds"}

    Raises:
        ValueError: no usable scene, settings that cannot work, `out` holding something else, or a full disk.
    """
    # The plan is made again on every start and compared with the stored one: a build goes on only with the same files.
    started = time.monotonic()
    config.quality.check_files()
    config.screen.check_files()
    found = search(config.scenes)
    paths, passed = found.scenes, [item.record() for item in found.passed_over]
    if passed:
        say(f"  {passed_over_line(found.passed_over)}; dataset.json lists them all")
    record = config.record(paths)
    stored = _stored_plan(config.out, record)
    if stored is not None and (config.out / INFO).exists():
        info = read_json(config.out / INFO)
        more = f" Remove its {INFO} to try again what was skipped." if info["skipped"] else ""
        say(f"{config.out} is finished already.{more}")
        return _result(config.out, info, started)
    plan = make_plan(config, paths)
    if stored is not None and stored != plan.document:
        raise ValueError(f"The scene files changed since {config.out} was begun; build into a new folder.")
    try:
        config.out.mkdir(parents=True, exist_ok=True)
        # dataset.json comes last: a build without it is unfinished, and the same command cuts what has no done marker.
        with alone(config.out / LOCK, f"Another build is writing to {config.out}."):
            # Another build may have begun, and ended, while this one was planning.
            stored = _stored_plan(config.out, record)
            if stored is not None and stored != plan.document:
                raise ValueError(f"Another build has used {config.out} meanwhile; build into a new folder.")
            sweep(config.out)
            if stored is None:
                write_json(config.out / PLAN, plan.document)
            try:
                failed = cut_all(config, plan)
            finally:
                sweep(config.out)
            scenes = [item.scene for item in plan.scenes]
            done = [scene.scene_id for scene in scenes if scene.scene_id not in failed]
            if not done:
                raise ValueError(failed[scenes[0].scene_id])
            given_up = [scene for scene in scenes if scene.scene_id in failed]
            skipped = [{"path": str(scene.path), "reason": failed[scene.scene_id]} for scene in given_up]
            info = {"config": record, "block_km": plan.document["block_km"], "skipped": plan.skipped + skipped}
            info |= {"passed_over": passed, "notes": {scene.scene_id: scene.notes for scene in scenes if scene.notes}}
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


def _versions() -> dict[str, str]:
    """Versions that decide the bytes of a data set."""
    names = ("numpy", "rasterio", "pyproj", "pillow", "pyarrow")
    return {**{name: version(name) for name in names}, "gdal": rasterio.__gdal_version__}


def _result(out: Path, info: dict[str, Any], started: float) -> dict[str, Any]:
    return {
        "dataset": str(out),
        **info["counts"],
        "skipped": info["skipped"],
        "passed_over": info.get("passed_over", []),
        "notes": info.get("notes", {}),
        "fingerprint": info["fingerprint"],
        "seconds": round(time.monotonic() - started, 2),
    }
