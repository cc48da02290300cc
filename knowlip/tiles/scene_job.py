"""The job of one scene: cut it, and write its shards and done marker. The same function runs in this process, in a
pool, and on a cluster; doing it again writes the same bytes."""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely

from knowlip.base.memory import release_freed_memory
from knowlip.dataset.writer import SceneWriter
from knowlip.scenes import Scene
from knowlip.tiles.cog import CogFolder
from knowlip.tiles.cut import Family, cut, metadata
from knowlip.tiles.gazetteers import forget
from knowlip.tiles.ground import Ground
from knowlip.tiles.places import UNKNOWN_PLACE, NearbyPlaces, describe_places
from knowlip.tiles.plan import BuildConfig, PlannedScene
from knowlip.tiles.quantise import Quantiser
from knowlip.tiles.screen import draw_map
from knowlip.tiles.truth import SceneTruth, truth_path
from knowlip.tiles.windows import centers, family, footprints

MAPS = "maps"
"""Folder of the data set with a picture of every scene's large windows and their scores."""


@dataclass(frozen=True)
class CutJob:
    """What a worker needs to cut one scene."""

    config: BuildConfig
    planned: PlannedScene
    places: list[NearbyPlaces] | None
    """Of every window, family by family; None: looked up while the scene is read for the first time."""
    threads: int = 1
    """Cores that the scene may use."""


def places_of(item: PlannedScene) -> list[NearbyPlaces]:
    """The place of every window of a scene, family by family."""
    crs = Ground(item.scene).crs
    windows = [window for root in item.roots for window in family(root)]
    if not item.scene.located:
        return [UNKNOWN_PLACE] * len(windows)
    return describe_places(*centers(crs, windows))


def cut_scene(job: CutJob) -> str:
    """Cut one scene and write its shards and done marker. Returns "" or the reason why the scene cannot be used.

    Raises:
        OSError: the disk is full or not writable: that is no fault of the scene.
    """
    config, planned, scene = job.config, job.planned, job.planned.scene
    cogs = CogFolder(config.out, scene) if config.cog else None
    release_freed_memory()
    try:
        ground = Ground(scene)
        with SceneWriter(config.out, scene.scene_id) as writer:
            store = (lambda root: cogs.write(ground, root)) if cogs is not None else None
            with ThreadPoolExecutor(1) as aside:
                lookup = aside.submit(places_of, planned) if job.places is None else None
                quantiser, families = cut(ground, planned.roots, config, job.threads, store)
                places = lookup.result() if lookup is not None else job.places or []
            if lookup is not None:
                forget()
            with closing(families):  # type: ignore[type-var]  # a generator: closing it ends its threads
                scores, thumbnails = _write_rows(writer, job, places, ground, quantiser, families)
            picture = config.out / MAPS / f"{scene.scene_id}.png"
            draw_map(picture, ground, planned.roots, scores, config.screen.threshold, thumbnails)
            writer.finish({"scene": _facts(scene), "quantiser": _of_quantiser(quantiser)})
    except ValueError as error:
        if cogs is not None:
            cogs.remove(planned.roots)
        return str(error)
    finally:
        scene.raster.close()
    return ""


def _write_rows(
    writer: SceneWriter,
    job: CutJob,
    places: list[NearbyPlaces],
    ground: Ground,
    quantiser: Quantiser,
    families: Iterator[Family],
) -> tuple[list[float], list[np.ndarray]]:
    """Add the tiles of a scene to its shards, family by family. Returns score and thumbnail of each large window."""
    # Places and outlines of all windows are worked out at once, which is far quicker than one by one; pixels are not,
    # for a scene's tiles together would fill the memory.
    scores, thumbnails = [], []
    planned, tile_px = job.planned, job.config.tile_px
    path = planned.scene.path
    truth_of = SceneTruth(path, ground.crs) if truth_path(path).exists() else None
    windows = [window for root in planned.roots for window in family(root)]
    outlines = [""] * len(windows)
    if ground.located:
        shapes = np.array(footprints(ground.crs, windows), object)
        outlines = [str(text) for text in shapely.to_wkb(shapes, hex=True, byte_order=1)]
        del shapes
    lons, lats = (values.tolist() for values in centers(ground.crs, windows))
    del windows
    shared = _scene_columns(planned.scene)
    at = 0  # places, outlines and centres stand in the order in which the tiles come
    for number, group in enumerate(families):
        scores.append(group.score)
        thumbnails.append(group.thumbnail)
        codes = truth_of.root_codes(group.root) if truth_of else None
        for tile in group.tiles:
            row = {
                **shared,
                **metadata(tile, group, ground, quantiser, tile_px),
                **places[at],
                "split": planned.splits[number],
                "block": planned.blocks[number],
                "geometry": outlines[at],
                "lon": _known(lons[at]),
                "lat": _known(lats[at]),
            }
            at += 1
            truth = truth_of.of(tile.window, group.root, codes) if truth_of is not None and codes is not None else None
            writer.add(row, tile.png, truth)
    return scores, thumbnails


def _of_quantiser(quantiser: Quantiser) -> dict[str, Any]:
    return {name: getattr(quantiser, name) for name in ("name", "lo_db", "hi_db", "lut_sha256")}


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


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
        "view:azimuth": _known((scene.look_azimuth_deg + 180) % 360),
        "sar:center_frequency": _known(scene.frequency_ghz),
        "sar:instrument_mode": scene.mode,
        "sar:product_type": scene.product_type,
        "sar:observation_direction": scene.look_side,
        "sat:orbit_state": scene.orbit,
        "units": scene.units,
        "radiometry": scene.radiometry,
        "quantity": scene.quantity,
        "geolocation": scene.geometry.kind,
        "geolocation_rms_m": round(scene.geometry.residual_m, 3),
        "resolution_m": round(scene.resolution_m, 4),
    }


def _facts(scene: Scene) -> dict[str, Any]:
    return {
        "path": str(scene.path.resolve()),
        "units": scene.units,
        "radiometry": scene.radiometry,
        "dtype": scene.dtype,
        "shape": list(scene.shape),
        "crs": scene.crs.to_string() if scene.located else "",
        "geolocation": scene.geometry.kind,
        "geolocation_rms_m": scene.geometry.residual_m,
        "transform": [float(value) for value in scene.transform[:6]] if scene.transform is not None else [],
        "quantity": scene.quantity,
        "product": scene.product,
        "unit": scene.unit,
        "notes": list(scene.notes),
    }
