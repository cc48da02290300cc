"""`knowlip index`: scenes and data sets into an archive, and out of it."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pandas as pd
import pyarrow as pa
import shapely
import torch
from PIL import Image

from knowlip.base.documents import read_json
from knowlip.base.files import sha256, whole_file, write_json
from knowlip.base.parquet import write_table
from knowlip.base.progress import say, track
from knowlip.base.rows import Json
from knowlip.dataset import Dataset
from knowlip.dataset.layout import INFO
from knowlip.inference.archive.parts import PASS, ROWS_A_GROUP, SCHEMA, SceneArchive, begin
from knowlip.inference.archive.settings import IndexConfig
from knowlip.inference.images import TakenImage, taken_tiles
from knowlip.inference.opened import encode
from knowlip.inference.predict import WORK, SceneWork, predict_scenes
from knowlip.inference.predict_words import ScenesWords
from knowlip.jobs.store import TABLES, Store, alone
from knowlip.models import KnowLIP
from knowlip.scenes import Scene
from knowlip.tiles.plan import content_mark
from knowlip.tiles.windows import centers, footprints

_CHUNK = 1024
"""Tiles of a data set that are embedded before they are kept."""


class Indexed(TypedDict):
    """What an archive holds."""

    out: str
    sources: Mapping[str, int]
    """Name -> windows or tiles."""
    failed: Sequence[Mapping[str, str]]
    """{"path", "reason"} of what could not be added."""


def index(config: IndexConfig) -> Indexed:
    """Add sources to an archive, remove some, and tell what it holds.

    Raises:
        ValueError: no such model, an archive of another model, no such source, or nothing that could be added.
    """
    out = config.out
    failed: list[Mapping[str, str]] = []
    if config.remove:
        with alone(out / WORK / "lock", f"Another process writes to {out}."):
            known = {part.path.name: part for part in SceneArchive(out).parts}
            if missing := sorted({*config.remove} - {*known}):
                raise ValueError(f"{out} has no source {missing[0]!r}; it has {', '.join(known) or 'none'}.")
            for name in config.remove:
                # Without its JSON file a source is not there: it goes first.
                for suffix in (".json", ".npy", ".parquet"):
                    known[name].path.with_name(name + suffix).unlink(missing_ok=True)
    if config.scenes:
        sets = [path for path in config.scenes if (path / INFO).is_file()]
        scenes = [path for path in config.scenes if path not in sets]
        indexer = SceneIndexer(config)
        with alone(out / WORK / "lock", f"Another process writes to {out}."):
            begin(out, indexer.weights, str(config.model or "shipped"))
            for path in sets:
                _add_dataset(path, indexer, out)
        if scenes:
            try:
                failed += predict_scenes(replace(config, scenes=scenes), indexer)["failed"]
            except ValueError as error:
                if not sets:
                    raise
                failed.append({"path": ", ".join(map(str, scenes)), "reason": str(error)})
    archive = SceneArchive(out)
    return {"out": str(out), "sources": {part.path.name: len(part.vectors) for part in archive.parts}, "failed": failed}


class SceneIndexer(ScenesWords):
    """Embeddings, pictures and facts of windows."""

    kind = "index"
    columns = (("embedding", pa.list_(pa.float32())), ("picture", pa.binary()))

    def name_of(self, scene: Scene) -> str:
        """Two scenes of one file name are two sources."""
        return f"{scene.scene_id}-{sha256(content_mark(scene).encode())[:8]}"

    def say(self, work: SceneWork, images: list[np.ndarray]) -> list[dict[str, Any]]:
        """Of each window its vector and its picture."""
        vectors, pictures = embedded(self.model, self.taken(work, images))
        return [{"embedding": vector.tolist(), "picture": picture} for vector, picture in zip(vectors, pictures)]

    def _write(self, work: SceneWork, table: pd.DataFrame) -> None:
        grid, scene = work.grid, work.scene
        cells = list(zip(table["row"], table["column"]))
        windows = [grid.ground_window(row, column) for row, column in cells]
        lons, lats = centers(grid.ground.crs, windows)
        shapes = footprints(grid.ground.crs, windows)
        rows = {
            "item": [f"{scene.scene_id} {row}x{column}" for row, column in cells],
            "scene_id": [scene.scene_id] * len(cells),
            "lon": lons,
            "lat": lats,
            **_facts(len(cells), grid.window * grid.metres, grid.metres, scene.resolution_m),
            **_words(len(cells), scene.sensor, scene.band, scene.polarisation, scene.date),
            "orbit": [scene.orbit] * len(cells),
            "look_side": [scene.look_side] * len(cells),
            "footprint": [None if shape is None else shapely.to_wkb(shape) for shape in shapes],
            "picture": table["picture"].tolist(),
        }
        write_part(work.out / scene.scene_id, rows, np.array(table["embedding"].tolist(), np.float32))


def _facts(count: int, *numbers: float) -> dict[str, list[float]]:
    names = ("window_m", "metres_per_pixel", "resolution_m")
    return {name: [float(value)] * count for name, value in zip(names, numbers)}


def _words(count: int, *words: str) -> dict[str, list[str]]:
    names = ("sensor", "band", "polarisation", "date")
    return {name: ["" if value == "unknown" else value] * count for name, value in zip(names, words)}


def embedded(model: KnowLIP, images: list[TakenImage]) -> tuple[np.ndarray, list[bytes]]:
    """Vectors (N, E) float32 of unit length, and the pictures as PNG at the side of the model's input."""
    with torch.inference_mode():
        _, feature = encode(model, images)
    side = model.config.vision.image_size
    pictures = []
    for image in images:
        stream = io.BytesIO()
        Image.fromarray(image.pixels).resize((side, side), Image.Resampling.BILINEAR).save(stream, "PNG")
        pictures.append(stream.getvalue())
    return feature.float().cpu().numpy(), pictures


def write_part(path: Path, rows: Mapping[str, Any], vectors: np.ndarray) -> None:
    """Write rows and vectors of a source; its JSON file, which makes it one, comes after. Of passes of which nothing is
    known no column need be given."""
    rows = {name: [""] * len(vectors) for name in PASS} | dict(rows)
    with whole_file(path.with_name(f"{path.name}.npy")) as part, part.open("wb") as stream:
        np.save(stream, vectors)
    write_table(path.with_name(f"{path.name}.parquet"), pa.Table.from_pydict(dict(rows), SCHEMA), ROWS_A_GROUP)


def _add_dataset(path: Path, indexer: SceneIndexer, out: Path) -> None:
    """The accepted tiles of a data set, a chunk at a time."""
    data = Dataset(path)
    tiles = data.tiles()
    name = f"{path.resolve().name}-{data.fingerprint[:8]}"
    made_with: dict[str, Json] = {"fingerprint": data.fingerprint, "model_sha256": indexer.weights}
    if (out / f"{name}.json").is_file():
        before = read_json(out / f"{name}.json")
        if isinstance(before, dict) and before.get("made_with") == made_with:
            say(f"{path} is in {out} already.")
            return
    if tiles.empty:
        raise ValueError(f"{path} has no accepted tile.")
    # A chunk is kept as soon as it is embedded: a killed command goes on behind it.
    store = Store(out / WORK / name, TABLES)
    store.begin(made_with)
    starts = {f"{start:08d}": start for start in range(0, len(tiles), _CHUNK)}
    for chunk in track(store.todo(starts), f"embed tiles of {path}"):
        some = tiles.iloc[starts[chunk] : starts[chunk] + _CHUNK]
        vectors: list[np.ndarray] = []
        pictures: list[bytes] = []
        for start in range(0, len(some), indexer.batch_size):
            part = some.iloc[start : start + indexer.batch_size]
            found, drawn = embedded(indexer.model, taken_tiles(data, part))
            vectors += list(found)
            pictures += drawn
        table = {"embedding": [one.tolist() for one in vectors], "picture": pictures}
        store.write(chunk, pa.Table.from_pydict(table, indexer.schema_of_said()))
    tables = [store.read(chunk) for chunk in starts]
    said = pa.concat_tables(tables)
    shapes = data.index.set_index("tile_id").geometry.loc[tiles["tile_id"]]
    dates = [value.isoformat() if value == value and value is not None else "" for value in tiles["datetime"]]
    rows = {
        "item": tiles["tile_id"].tolist(),
        "scene_id": tiles["scene_id"].tolist(),
        **{key: tiles[key].to_numpy(float) for key in ("lon", "lat", "window_m", "metres_per_pixel", "resolution_m")},
        "sensor": ["" if value == "unknown" else value for value in tiles["platform"]],
        "band": tiles["sar:frequency_band"].tolist(),
        "polarisation": [" ".join(value) for value in tiles["sar:polarizations"]],
        "date": dates,
        "orbit": tiles["sat:orbit_state"].fillna("").tolist(),
        "look_side": tiles["sar:observation_direction"].fillna("").tolist(),
        "footprint": [None if shape is None else shapely.to_wkb(shape) for shape in shapes],
        "picture": said["picture"].to_pylist(),
    }
    write_part(out / name, rows, np.array(said["embedding"].to_pylist(), np.float32))
    write_json(out / f"{name}.json", {"path": str(path.resolve()), "said_of": len(tiles), "made_with": made_with})
    store.remove()


def show(result: Indexed) -> str:
    """The result for people."""
    lines = [f"{name}: {count:,}" for name, count in result["sources"].items()]
    lines += [f"left out: {one['path']}: {one['reason']}" for one in result["failed"]]
    return "\n".join([*lines, f"{result['out']}: {sum(result['sources'].values()):,} windows"])
