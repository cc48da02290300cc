"""The job of one scene: cut it, and write its shards and done marker. The same function runs in this process, in a
pool, and on a cluster; doing it again writes the same bytes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely

from knowlip.dataset.shards import encode_png
from knowlip.dataset.writer import write_scene
from knowlip.scenes import Scene
from knowlip.tiles.cut import cut, metadata
from knowlip.tiles.ground import Ground
from knowlip.tiles.places import UNKNOWN_PLACE, describe_places
from knowlip.tiles.plan import BuildConfig, PlannedScene, centers, footprints
from knowlip.tiles.truth import SceneTruth, truth_path
from knowlip.tiles.windows import family


@dataclass(frozen=True)
class Job:
    """What a worker needs to cut one scene."""

    config: BuildConfig
    planned: PlannedScene
    places: list[dict[str, Any]]
    """Of every window, family by family."""
    threads: int = 1
    """Cores that the scene may use."""


def places_of(item: PlannedScene) -> list[dict[str, Any]]:
    """The place of every window of a scene, family by family."""
    crs = Ground(item.scene).crs
    windows = [window for root in item.roots for window in family(root)]
    if not item.scene.located:
        return [UNKNOWN_PLACE] * len(windows)
    return describe_places(*centers(crs, windows))


def cut_scene(job: Job) -> str:
    """Cut one scene and write its shards and done marker. Returns "" or the reason why the scene cannot be used.

    Raises:
        OSError: the disk is full or not writable: that is no fault of the scene.
    """
    config, planned, scene = job.config, job.planned, job.planned.scene
    try:
        ground = Ground(scene)
        quantiser, families = cut(
            ground, planned.roots, config.tile_px, config.quantise, config.min_valid, config.quality
        )
        truth_of = SceneTruth(scene.path, ground.crs) if truth_path(scene.path).exists() else None
        shared = _scene_columns(scene)
        rows: list[dict[str, Any]] = []
        pngs: dict[str, bytes] = {}
        truth: dict[str, dict[str, Any]] = {}
        for number, (root, tiles) in enumerate(families):
            windows = [tile.window for tile in tiles]
            shapes = footprints(ground.crs, windows)
            outlines = shapely.to_wkb(np.array(shapes, object), hex=True, byte_order=1) if ground.located else [""] * 21
            lons, lats = centers(ground.crs, windows)
            codes = truth_of.root_codes(root) if truth_of else None
            for i, tile in enumerate(tiles):
                place = job.places[number * len(tiles) + i]
                rows.append({
                    **shared,
                    **metadata(tile, ground, quantiser, config.tile_px),
                    **place,
                    "split": planned.splits[number],
                    "block": planned.blocks[number],
                    "geometry": str(outlines[i]),
                    "lon": _known(lons[i]),
                    "lat": _known(lats[i]),
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
        "notes": list(scene.notes),
    }
