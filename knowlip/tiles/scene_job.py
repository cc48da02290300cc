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

from knowlip.base.memory import lean
from knowlip.base.progress import lines
from knowlip.dataset.writer import SceneWriter
from knowlip.scenes import Scene
from knowlip.tiles.cog import CogFolder
from knowlip.tiles.cut import Family, cut, metadata
from knowlip.tiles.gazetteers import forget
from knowlip.tiles.ground import Ground
from knowlip.tiles.labelled import LabelledScene
from knowlip.tiles.places import UNKNOWN_PLACE, NearbyPlaces, describe_places
from knowlip.tiles.plan import BuildConfig, PlannedScene
from knowlip.tiles.quantise import Quantiser
from knowlip.tiles.screen import draw_map, thumbnail_px
from knowlip.tiles.truth import SceneTruth, truth_path
from knowlip.tiles.windows import Window, centers, family, footprints

_ROOTS_AT_ONCE = 256
_NAMES = ("country", "region", "city", "airport", "port")
_DISTANCES = ("city_km", "airport_km", "port_km")
MAPS = "maps"
"""Folder of the data set with a picture of every scene's large windows and their scores."""


class PlacesOfWindows:
    """What lies near each window of a scene: names once each, for a frame of Sentinel-1 has 900,000 windows."""

    def __init__(self) -> None:
        self._names: list[NearbyPlaces] = []
        self._number: dict[tuple[str, ...], int] = {}
        self._which: list[np.ndarray] = []
        self._km: list[np.ndarray] = []

    def extend(self, places: list[NearbyPlaces]) -> None:
        """Add those of the next windows."""
        which = np.empty(len(places), np.int32)
        for i, place in enumerate(places):
            key = tuple(str(place[name]) for name in _NAMES)  # type: ignore[literal-required]
            which[i] = self._number.setdefault(key, len(self._names))
            if which[i] == len(self._names):
                self._names.append(place)
        self._which.append(which)
        km = [[place[name] for name in _DISTANCES] for place in places]  # type: ignore[literal-required]
        self._km.append(np.array(km, float).reshape(len(places), len(_DISTANCES)))

    def __iter__(self) -> Iterator[NearbyPlaces]:
        """Window by window, in the order in which they were added."""
        for which, km in zip(self._which, self._km):
            for number, distances in zip(which.tolist(), km.tolist()):
                place = self._names[number].copy()
                for name, distance in zip(_DISTANCES, distances):
                    place[name] = _known(distance)
                yield place


@dataclass(frozen=True)
class CutJob:
    """What a worker needs to cut one scene."""

    config: BuildConfig
    planned: PlannedScene
    places: PlacesOfWindows | None
    """Of every window, family by family; None: looked up while the scene is read for the first time."""
    threads: int = 1
    """Cores that the scene may use."""


def places_of(item: PlannedScene) -> PlacesOfWindows:
    """The place of every window of a scene, family by family."""
    crs, found = Ground(item.scene).crs, PlacesOfWindows()
    for roots in _runs(item.roots):
        windows = [window for root in roots for window in family(root)]
        located = item.scene.located
        found.extend(describe_places(*centers(crs, windows)) if located else [UNKNOWN_PLACE] * len(windows))
    return found


def _runs(roots: list[Window]) -> Iterator[list[Window]]:
    """Large windows, so many at a time that what is worked out of their families at once stays small."""
    for start in range(0, len(roots), _ROOTS_AT_ONCE):
        yield roots[start : start + _ROOTS_AT_ONCE]


def cut_scene(job: CutJob) -> str:
    """Cut one scene and write its shards and done marker. Returns "" or the reason why the scene cannot be used.

    Raises:
        OSError: the disk is full or not writable: that is no fault of the scene.
    """
    config, planned, scene = job.config, job.planned, job.planned.scene
    cogs = CogFolder(config.out, scene) if config.cog else None
    try:
        ground = Ground(scene)
        with lean(), SceneWriter(config.out, scene.scene_id) as writer:
            store = (lambda root: cogs.write(ground, root)) if cogs is not None else None
            with ThreadPoolExecutor(1) as aside:
                lookup = aside.submit(places_of, planned) if job.places is None else None
                quantiser, families = cut(ground, planned.roots, config, job.threads, store)
                places = lookup.result() if lookup is not None else job.places or PlacesOfWindows()
            if lookup is not None:
                forget()
            with closing(families):  # type: ignore[type-var]  # a generator: closing it ends its threads
                scores, thumbnails, named = _write_rows(writer, job, places, ground, quantiser, families)
            picture = config.out / MAPS / f"{scene.scene_id}.png"
            draw_map(picture, ground, planned.roots, scores, config.screen.threshold, thumbnails)
            facts = {"scene": _facts(scene), "quantiser": _of_quantiser(quantiser)}
            writer.finish({**facts, **({"named": named} if named else {})})
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
    places: PlacesOfWindows,
    ground: Ground,
    quantiser: Quantiser,
    families: Iterator[Family],
) -> tuple[list[float], list[np.ndarray], list[dict[str, str]]]:
    """Add the tiles of a scene to its shards, family by family. Returns score and thumbnail of each large window, and
    what became of the objects that the product names."""
    scores, thumbnails = [], []
    planned, tile_px = job.planned, job.config.tile_px
    path = planned.scene.path
    truth_of = SceneTruth(path, ground.crs) if truth_path(path).exists() else None
    shared, labels = _scene_columns(planned.scene), LabelledScene(planned.scene, ground)
    about = zip(places, _outlines(ground, planned.roots))  # in the order in which the tiles come
    title, small = f"{planned.scene.scene_id}: large windows cut", thumbnail_px(planned.roots)
    for number, group in enumerate(lines(families, title, len(planned.roots))):
        scores.append(group.score)
        thumbnails.append(_smaller(group.thumbnail, small))
        codes = truth_of.root_codes(group.root) if truth_of else None
        for tile in group.tiles:
            place, (outline, lon, lat) = next(about)
            row = {
                **shared,
                **metadata(tile, group, ground, quantiser, tile_px),
                **place,
                "split": planned.splits[number],
                "block": planned.blocks[number],
                "geometry": outline,
                "lon": _known(lon),
                "lat": _known(lat),
            }
            truth = truth_of.of(tile.window, group.root, codes) if truth_of is not None and codes is not None else None
            writer.add(row, tile.png, truth, labels.on(row))
    return scores, thumbnails, labels.told()


def _smaller(thumbnail: np.ndarray, side: int) -> np.ndarray:
    """Mean power of blocks of a thumbnail, (side, side)."""
    block = len(thumbnail) // side
    return thumbnail if block == 1 else thumbnail.reshape(side, block, side, block).mean(axis=(1, 3), dtype=np.float32)


def _outlines(ground: Ground, roots: list[Window]) -> Iterator[tuple[str, float, float]]:
    """Outline (WKB in hexadecimal, "" where the place is unknown) and longitude and latitude of the middle of every
    window, family by family; worked out for many at once, which is far quicker than one by one."""
    for some in _runs(roots):
        windows = [window for root in some for window in family(root)]
        outlines = [""] * len(windows)
        if ground.located:
            shapes = np.array(footprints(ground.crs, windows), object)
            outlines = [str(text) for text in shapely.to_wkb(shapes, hex=True, byte_order=1)]
        lons, lats = centers(ground.crs, windows)
        yield from zip(outlines, lons.tolist(), lats.tolist())


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
