"""Synthetic data sets of many small tiles, and what opening, verifying, annotating, exporting and searching cost."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely

from benchmarks.memory import spent
from knowlip.base.files import write_json
from knowlip.base.parquet import write_table
from knowlip.dataset import Dataset
from knowlip.dataset.layout import INDEX_SCHEMA, TEXTS
from knowlip.dataset.png import encode_png
from knowlip.dataset.texts import TEXT_SCHEMA, to_table
from knowlip.dataset.writer import SceneWriter, finish, index_table, scene_marker, scene_rows

if TYPE_CHECKING:
    import pandas as pd

TEXTS_A_TILE = 8
_FAMILIES = 480
"""Families of 21 tiles a scene."""
_WIDTH, _SOURCE = 256, 100_000
"""Of vectors, and how many of them a source of the archive has."""


def make_set(folder: Path, argument: str) -> dict[str, Any]:
    """Write a synthetic data set: "TILES TEXTS SHARDS"; what is measured is the index, made of the scenes' rows."""
    tiles, texts, shards = (int(number) for number in argument.split())
    out = folder / f"set-{tiles}"
    for name in ("scenes", "shards"):
        (out / name).mkdir(parents=True)
    scenes = _with_shards(out, tiles) if shards else _rows_alone(out, tiles)
    info = {"config": {}, "block_km": 50.0, "skipped": [], "passed_over": []}
    result = spent(lambda: {"index_mb": _size(finish(out, scenes, info), out)})
    names = Dataset(out).tiles(columns=["tile_id"])["tile_id"].to_numpy()[: texts // TEXTS_A_TILE]
    if texts:
        write_table(out / TEXTS, to_table(_texts_of(names), "The texts"))
    return {name: result[name] for name in ("cpu_s", "peak_gb", "index_mb")}


def _with_shards(out: Path, tiles: int) -> list[str]:
    """Write scenes as a build does. Returns their names."""
    scenes = []
    for scene, rows in _scenes(tiles):
        with SceneWriter(out, scene) as writer:
            for number, row in rows:
                writer.add(row, encode_png(_pixels(number)))
            writer.finish({})
        scenes.append(scene)
    return scenes


def _rows_alone(out: Path, tiles: int) -> list[str]:
    """Write the rows of accepted tiles and no shards: those of the first scene, moved and named anew for each other."""
    scene, rows = next(_scenes(tiles))
    known = [{**row, "shard": f"{row['split']}-{scene}-000000.tar", "png_sha256": "0" * 64} for _, row in rows]
    first, scenes = index_table(known), list[str]()
    while (left := tiles - len(scenes) * len(first)) > 0:
        scenes.append(f"s{len(scenes):04d}")
        table = first.slice(0, -(-min(left, len(first)) // 21) * 21)
        write_table(scene_rows(out, scenes[-1]), _moved(table, scene, len(scenes) - 1), group=16384)
        write_json(scene_marker(out, scenes[-1]), {"scene_id": scenes[-1], "truth": {}})
    return scenes


def _moved(table: pa.Table, scene: str, number: int) -> pa.Table:
    """The rows of a scene as those of another one, 2 degrees away for each."""
    east, north = moved = 2.0 * (number % 160), 2.0 * (number // 160)
    shapes = shapely.transform(shapely.from_wkb(table["geometry"].to_pylist()), lambda at: at + moved)
    hashes = [f"{number * len(table) + row:064x}" for row in range(len(table))]
    new: dict[str, Any] = {"geometry": shapely.to_wkb(shapes).tolist(), "png_sha256": hashes}
    new |= {"lon": np.array(table["lon"]) + east, "lat": np.array(table["lat"]) + north}
    split = ("train", "test", "train", "val", "train")[number % 5]
    new |= {"split": [split] * len(table), "shard": [f"{split}-s{number:04d}-000000.tar"] * len(table)}
    for name in ("tile_id", "id", "root_id", "parent_id", "scene_id", "block"):
        new[name] = pc.replace_substring(table[name], scene, f"s{number:04d}")
    for name, values in new.items():
        at, kind = table.column_names.index(name), table.schema.field(name)
        column = values if isinstance(values, pa.ChunkedArray) else pa.array(values, kind.type)
        table = table.set_column(at, kind, column)
    return table


def _size(_: dict[str, Any], out: Path) -> float:
    return round((out / "index.parquet").stat().st_size / 1e6, 1)


def _pixels(number: int) -> np.ndarray:
    """A tile of 16 x 16 pixels that no other one equals: speckle on two fields."""
    random = np.random.default_rng(number)
    ground = np.full((16, 16), 60.0)
    ground[:, 4 + number % 9 :] = 140.0
    return np.clip(ground * np.sqrt(random.standard_gamma(4.0, ground.shape) / 4), 1, 255).astype(np.uint8)


def _texts_of(names: np.ndarray) -> "pd.DataFrame":
    """Eight texts a tile; no two of two tiles are the same."""
    import pandas as pd  # here, for what is measured without it

    rows = pd.DataFrame(
        {
            "tile_id": np.repeat(names, TEXTS_A_TILE),
            "slot": np.tile(np.arange(1, TEXTS_A_TILE + 1), len(names)),
        }
    )
    rows["text"] = "Around " + rows["tile_id"] + " lie fields, some woods and a road that leads to a village."
    for name in TEXT_SCHEMA.names:
        if name not in rows:
            rows[name] = np.nan if name.startswith("delta") or name in ("confidence", "margin") else ""
    return rows.assign(revision=0, parent=-1)


def _scenes(tiles: int) -> Iterator[tuple[str, Iterator[tuple[int, dict[str, Any]]]]]:
    """Scenes of up to 480 families of 21 tiles, two degrees apart, and the rows of each."""
    families = -(-tiles // 21)
    for number, first in enumerate(range(0, families, _FAMILIES)):
        yield f"s{number:04d}", _rows_of(number, first, min(_FAMILIES, families - first))


def _rows_of(number: int, first: int, families: int) -> Iterator[tuple[int, dict[str, Any]]]:
    scene, split = f"s{number:04d}", ("train", "test", "train", "val", "train")[number % 5]
    empty: dict[str, Any] = {
        field.name: {"string": "", "double": 1.0, "bool": False}.get(str(field.type), []) for field in INDEX_SCHEMA
    }
    lon, lat = -170 + 2.0 * (number % 160), -60 + 2.0 * (number // 160)
    facts = {
        "scene_id": scene,
        "split": split,
        "block": scene,
        "datetime": "2025-06-01T00:00:00Z",
        "proj:shape": [16, 16],
        "accepted": True,
    }
    facts |= {"quantiser": "db-percentile-v1", "quantiser_lo": -25.0, "quantiser_hi": 5.0}
    at = first * 21
    for family in range(families):
        row, column = divmod(family, 24)
        root = f"{scene}-l{row:03d}x{column:03d}"
        for scale, times in (("large", 1), ("medium", 2), ("small", 4)):
            for down in range(times):
                for across in range(times):
                    y, x = row * times + down, column * times + across
                    west, north, side = lon + x * 0.01 / times, lat - y * 0.01 / times, 0.01 / times
                    name = f"{scene}-{scale[0]}{y:03d}x{x:03d}"
                    above = "" if times == 1 else f"{scene}-{'lm'[times // 4]}{y // 2:03d}x{x // 2:03d}"
                    shape = shapely.to_wkb(shapely.box(west, north - side, west + side, north), hex=True)
                    ids = {"tile_id": name, "id": name, "root_id": root, "parent_id": above, "scale": scale}
                    place = {"geometry": shape, "lon": west + side / 2, "lat": north - side / 2}
                    size = {"window_m": 1024.0 / times, "metres_per_pixel": 64.0 / times}
                    corner = [64.0 / times, 0.0, x * 1024.0 / times, 0.0, -64.0 / times, -y * 1024.0 / times]
                    yield at, {**empty, **facts, **ids, **place, **size, "proj:transform": corner}
                    at += 1


def of_set(folder: Path, argument: str) -> dict[str, Any]:
    """What one thing costs that is done with a data set: "WHAT TILES"."""
    what, tiles = argument.split()
    path, out = folder / f"set-{tiles}", folder / "exported"
    return spent(lambda: _USES[what](path, out))


def _open(path: Path, _: Path) -> dict[str, Any]:
    return {"tiles": len(Dataset(path).tiles())}


def _choose(path: Path, _: Path) -> dict[str, Any]:
    return {"tiles": len(Dataset(path).tiles(columns=("tile_id", "split", "block", "lon", "lat")))}


def _texts(path: Path, _: Path) -> dict[str, Any]:
    return {"texts": len(Dataset(path).texts())}


def _verify(path: Path, _: Path) -> dict[str, Any]:
    """All of it; of one without shards the index."""
    from knowlip.dataset import verify
    from knowlip.dataset.verify import check_index

    whole = any((path / "shards").iterdir())
    return {"tiles": verify(path)["tiles"] if whole else check_index(Dataset(path))["tiles"]}


def _export(path: Path, out: Path) -> dict[str, Any]:
    from knowlip.dataset.export.run import DatasetExportConfig, export_dataset

    return {"images": export_dataset(DatasetExportConfig(path, "openclip", out))["images"]}


def _annotate(path: Path, _: Path) -> dict[str, Any]:
    from knowlip.annotators.annotate import AnnotateConfig, annotate

    found = annotate(AnnotateConfig(path, workers=1))
    return {name: found[name] for name in ("annotated", "quarantined")}


_USES = {
    "open": _open,
    "choose": _choose,
    "texts": _texts,
    "verify": _verify,
    "export": _export,
    "annotate": _annotate,
}


def make_archive(folder: Path, argument: str) -> dict[str, Any]:
    """Write an archive of so many random vectors, a source for each hundred thousand."""
    from knowlip.inference.archive.adding import write_part
    from knowlip.inference.archive.parts import begin

    count, random, out = int(argument), np.random.default_rng(0), folder / f"archive-{argument}"
    begin(out, "random", "random")
    for first in range(0, count, _SOURCE):
        size = min(_SOURCE, count - first)
        vectors = random.standard_normal((size, _WIDTH), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        rows: dict[str, Any] = {
            "item": [str(first + at) for at in range(size)],
            "lon": random.uniform(0, 10, size),
            "lat": random.uniform(45, 55, size),
            "date": ["2024-06-01"] * size,
            "footprint": [None] * size,
            "picture": [b""] * size,
        }
        rows |= {name: [""] * size for name in ("scene_id", "sensor", "band", "polarisation")}
        rows |= {name: np.full(size, 3.0) for name in ("window_m", "metres_per_pixel", "resolution_m")}
        write_part(out / f"part-{first}", rows, vectors)
        (out / f"part-{first}.json").write_text(json.dumps({}))
    return {}


def search(folder: Path, argument: str) -> dict[str, Any]:
    """Open an archive and look for the ten nearest within 300 km of a place."""
    from knowlip.inference.archive import Filters, SceneArchive

    query = np.random.default_rng(1).standard_normal(_WIDTH).astype(np.float32)

    def work() -> dict[str, Any]:
        archive = SceneArchive(folder / f"archive-{argument}")
        hits = archive.nearest(query / np.linalg.norm(query), 10, Filters(near=(5.0, 50.0), km=300.0))
        return {"vectors": int(argument), "hits": len(hits)}

    return spent(work)


def retrieve(folder: Path, argument: str) -> dict[str, Any]:
    """Score retrieval among so many random images and as many texts."""
    from benchmarks.retrieval_memory import directions, score

    ways = directions(int(argument), int(argument), _WIDTH)
    return {"width": _WIDTH, **spent(lambda: score(ways))}
