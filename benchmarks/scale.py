"""What whole frames and large data sets cost: CPU seconds and peak memory of one process each.

    python -m benchmarks.scale [--only windows dates frame sets million] [--folder /tmp]

- `windows`: planning a full Sentinel-1 GRD frame (250 x 170 km, 16,700 x 25,400 pixels, made by the tests' generator:
  geolocation grid of 189 points on hills, look-up tables every second, most of its TIFF empty) as 1, 10 and 100
  thousand large windows: opening, windows, blocks, splits.
- `dates`: ten dates of that frame at windows of 1,024 m, on each date's own grid and on one grid (`--anchor utm`).
- `frame`: a strip of it along a parallel, which crosses 5,900 of its lines, built whole (`knowlip build`, one process)
  at windows of 1,024 m, beside an affine scene of as many windows. `value` is the ratio of CPU seconds a megapixel.
- `sets`: synthetic data sets of 10 and 100 thousand tiles of 16 x 16 pixels with eight texts each: opened, verified,
  texts read, exported. `million`: an index of a million tiles without shards, with a million texts; its verification is
  that of the index.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from affine import Affine

from benchmarks.memory import resident_peak_mb
from benchmarks.record import record
from knowlip.base.documents import read_json
from knowlip.base.files import write_json
from knowlip.base.progress import say
from tests.scenes.products.sentinel1_frame import write_frame

OUT = Path(__file__).parent / "results" / "scale.json"
LIMIT = 3.0
"""CPU seconds a megapixel of a frame over those of an affine scene."""
_FRAME_LINES = (4700, 12000)
"""Lines of the frame that hold pixels for the strip."""
_ROWS = 2
"""Rows of windows of the strip."""
_TEXTS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=["windows", "dates", "frame", "sets", "million"])
    parser.add_argument("--folder", type=Path, default=Path("/tmp"))
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--measure", nargs=2, metavar=("WHAT", "ARGUMENT"), help="in a process of its own")
    arguments = parser.parse_args()
    if arguments.measure:
        what, argument = arguments.measure
        print(json.dumps(MEASURES[what](arguments.folder, argument)))
        return
    folder = arguments.folder / f"knowlip-scale-{os.getpid()}"
    folder.mkdir(parents=True)
    found = read_json(arguments.out) if arguments.out.is_file() else {}
    try:
        for part in arguments.only:
            found |= PARTS[part](folder)
    finally:
        shutil.rmtree(folder)
    ratio = found.get("frame", {}).get("ratio", 0.0)
    unit = "CPU seconds a megapixel of a whole frame's strip over those of an affine scene; baseline: the limit"
    head = ("value", "baseline", "ratio", "unit", "machine", "date", "commit")
    rest = {name: value for name, value in found.items() if name not in head}
    record(arguments.out, ratio, LIMIT, unit, rest, "one process")


def apart(folder: Path, what: str, argument: object) -> dict[str, Any]:
    """Measure in a process of its own, so that its peak is nobody else's."""
    command = [sys.executable, "-m", "benchmarks.scale", "--folder", str(folder), "--measure", what, str(argument)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    say(f"  {what} {argument}: {result}")
    return result


def spent(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a piece of work gives, the CPU seconds it took, and the peak memory of this process in GB (10^9 bytes)."""
    begun, started = time.process_time(), time.perf_counter()
    before = _children()
    result = work()
    cpu = time.process_time() - begun + _children() - before
    seconds = time.perf_counter() - started
    peak = resident_peak_mb() / 1000
    return {**result, "cpu_s": round(cpu, 2), "seconds": round(seconds, 1), "peak_gb": round(peak, 3)}


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _product(folder: Path, name: str, **options: Any) -> Path:
    """The frame of this name, made when it is first asked for."""
    if not (folder / name).exists():
        (folder / name).mkdir()
        write_frame(folder / name, **options)
    return next((folder / name).glob("*.SAFE"))


def plan(folder: Path, argument: str) -> dict[str, Any]:
    """Plan dates of a frame: "DATES SIDE ANCHOR"."""
    from knowlip.tiles.plan import BuildConfig, make_plan

    dates, side, anchor = int(argument.split()[0]), float(argument.split()[1]), argument.split()[2]
    paths = [_product(folder, f"date-{date}", date=date, lines=(8000, 8100)) for date in range(dates)]
    config = BuildConfig(paths, folder / "out", windows_m=(side, side / 2, side / 4), anchor=anchor)

    def work() -> dict[str, Any]:
        made = make_plan(config, paths)
        blocks = {block for scene in made.scenes for block in scene.blocks}
        return {"windows": sum(len(scene.roots) for scene in made.scenes), "blocks": len(blocks)}

    return spent(work)


def strip(folder: Path, argument: str) -> dict[str, Any]:
    """Build a strip of a frame, or an affine scene of as many windows: "frame WINDOWS" or "affine WINDOWS"."""
    from knowlip.tiles.build import build
    from knowlip.tiles.plan import BuildConfig
    from knowlip.tiles.screen import ScreenConfig

    kind, screen = argument.split()[0], ScreenConfig()
    if kind == "frame":
        path = _product(folder, "strip", lines=_FRAME_LINES)
        half = (_ROWS - 1.5) * 1024 / 111_195 / 2
        area = folder / "area.json"
        write_json(area, json.loads(shapely.to_geojson(shapely.box(8, 48.2 - half, 15, 48.2 + half))))
        screen = ScreenConfig(area=area)
    else:
        path = _affine(folder / "affine.tif", int(argument.split()[1]))
    result = spent(lambda: build(BuildConfig([path], folder / f"out-{kind}", screen=screen, workers=1)))
    windows = result["tiles"] // 21
    megapixels = windows * (1024 / 10) ** 2 / 1e6
    kept = {name: result[name] for name in ("tiles", "accepted", "cpu_s", "seconds", "peak_gb")}
    return {"windows": windows, **kept, "cpu_s_per_megapixel": round(result["cpu_s"] / megapixels, 2)}


def _affine(path: Path, windows: int) -> Path:
    """A scene in UTM of 10 m pixels that holds `windows` windows of 1,024 m in `_ROWS` rows, stored like the frame."""
    columns, rows = round(windows / _ROWS * 102.4) + 2, round(_ROWS * 102.4) + 2
    ground = 90 + 60 * np.sin(np.arange(rows)[:, None] / 37) * np.cos(np.arange(columns) / 53)
    speckle = np.sqrt(np.random.default_rng(0).standard_gamma(4.4, ground.shape) / 4.4)
    values = np.clip(np.round(ground * speckle), 1, 65535).astype(np.uint16)
    place = {"crs": "EPSG:32632", "transform": Affine(10, 0, 5e5, 0, -10, 5.4e6)}
    size = {"width": columns, "height": rows, "count": 1, "dtype": "uint16", "blockysize": 1}
    with rasterio.open(path, "w", driver="GTiff", **size, **place) as target:
        target.update_tags(KNOWLIP_UNITS="amplitude")
        target.write(values, 1)
    return path


def make_set(folder: Path, argument: str) -> dict[str, Any]:
    """Write a synthetic data set: "TILES TEXTS SHARDS"."""
    import pandas as pd

    from knowlip.dataset import Dataset
    from knowlip.dataset.png import encode_png
    from knowlip.dataset.texts import TEXT_SCHEMA
    from knowlip.dataset.writer import SceneWriter, finish

    tiles, texts, shards = (int(number) for number in argument.split())
    out = folder / f"set-{tiles}"
    for name in ("scenes", "shards"):
        (out / name).mkdir(parents=True)
    scenes: list[str] = []
    for scene, rows in _scenes(tiles):
        with SceneWriter(out, scene) as writer:
            for number, row in rows:
                pixels = np.full((16, 16), 9, np.uint8)
                pixels[0, :4] = np.frombuffer(np.uint32(number).tobytes(), np.uint8) | 1
                pixels[1, :4] = np.frombuffer(np.uint32(number).tobytes(), np.uint8) % 2 + 1
                writer.add(
                    {**row, "accepted": bool(shards), "reject_reason": "" if shards else "poor"},
                    encode_png(pixels) if shards else b"",
                )
            writer.finish({})
        scenes.append(scene)
    if not shards:
        return _index_alone(out, scenes, texts)
    result = spent(lambda: finish(out, scenes, {"config": {}, "block_km": 50.0, "skipped": [], "passed_over": []}))
    data = Dataset(out)
    names = data.tiles()["tile_id"].to_numpy()[: texts // _TEXTS]
    data.write_texts(_texts_of(names, pd, TEXT_SCHEMA.names))
    return {name: result[name] for name in ("cpu_s", "peak_gb")}


def _index_alone(out: Path, scenes: list[str], texts: int) -> dict[str, Any]:
    """Index, texts and dataset.json of tiles that are accepted, but whose shards are not there."""
    import pandas as pd
    import pyarrow as pa

    from knowlip.base.parquet import read_parquet, write_table
    from knowlip.dataset.index import count
    from knowlip.dataset.layout import INDEX, INDEX_SCHEMA, INFO, TEXTS, fingerprint
    from knowlip.dataset.texts import TEXT_SCHEMA, to_table
    from knowlip.dataset.writer import scene_rows

    index = pa.concat_tables([read_parquet(scene_rows(out, scene)) for scene in scenes]).sort_by("tile_id")
    names = index["tile_id"].to_pylist()
    filled = {
        "accepted": pa.array([True] * len(index)),
        "reject_reason": pa.array([""] * len(index)),
        "shard": pa.array([f"train-{name[:5]}-000000.tar" for name in names]),
        "png_sha256": pa.array([f"{number:064x}" for number in range(len(index))]),
    }
    for name, values in filled.items():
        index = index.set_column(INDEX_SCHEMA.get_field_index(name), INDEX_SCHEMA.field(name), values)
    write_table(out / INDEX, index)
    counts = {**count(index), "scenes": len(scenes)}
    head = {"format_version": 2, "counts": counts, "fingerprint": fingerprint(index), "published_revision": -1}
    write_json(out / INFO, head)
    rows = _texts_of(np.array(names[: texts // _TEXTS]), pd, TEXT_SCHEMA.names)
    write_table(out / TEXTS, to_table(rows, "The texts"))
    return {}


def _texts_of(names: np.ndarray, pandas: Any, columns: list[str]) -> Any:
    """Eight texts a tile; no two of two tiles are the same."""
    rows = pandas.DataFrame(
        {"tile_id": np.repeat(names, _TEXTS), "slot": np.tile(np.arange(1, _TEXTS + 1), len(names))}
    )
    rows["text"] = "Around " + rows["tile_id"] + " lie fields, some woods and a road that leads to a village."
    for name in columns:
        if name not in rows:
            rows[name] = np.nan if name.startswith("delta") or name in ("confidence", "margin") else ""
    return rows.assign(revision=0, parent=-1)


def _scenes(tiles: int) -> Iterator[tuple[str, Iterator[tuple[int, dict[str, Any]]]]]:
    """Scenes of up to 480 families of 21 tiles, two degrees apart, and the rows of each."""
    families = -(-tiles // 21)
    for number, first in enumerate(range(0, families, 480)):
        yield f"s{number:04d}", _rows_of(number, first, min(480, families - first))


def _rows_of(number: int, first: int, families: int) -> Iterator[tuple[int, dict[str, Any]]]:
    from knowlip.dataset.layout import INDEX_SCHEMA

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
                    yield at, {**empty, **facts, **ids, **place, "proj:transform": [10.0, 0.0, west, 0.0, -10.0, north]}
                    at += 1


def of_set(folder: Path, argument: str) -> dict[str, Any]:
    """Open, verify, read the texts of, or export a data set: "WHAT TILES"."""
    from knowlip.dataset import Dataset, verify

    what, path = argument.split()[0], folder / f"set-{argument.split()[1]}"

    def work() -> dict[str, Any]:
        if what == "open":
            return {"tiles": len(Dataset(path).tiles())}
        if what == "texts":
            return {"texts": len(Dataset(path).texts())}
        if what == "export":
            from knowlip.dataset.export.run import DatasetExportConfig, export_dataset

            return {"images": export_dataset(DatasetExportConfig(path, "openclip", folder / "exported"))["images"]}
        if (path / "shards").is_dir() and any((path / "shards").iterdir()):
            return {"tiles": verify(path)["tiles"]}
        from knowlip.dataset.verify import check_index

        return {"tiles": check_index(Dataset(path))["tiles"]}

    return spent(work)


def _windows(folder: Path) -> dict[str, Any]:
    return {"windows": [apart(folder, "plan", f"1 {side} scene") for side in (6600.0, 2100.0, 665.0)]}


def _dates(folder: Path) -> dict[str, Any]:
    return {"dates": {anchor: apart(folder, "plan", f"10 1024 {anchor}") for anchor in ("scene", "utm")}}


def _frame(folder: Path) -> dict[str, Any]:
    frame = apart(folder, "strip", "frame 0")
    affine = apart(folder, "strip", f"affine {frame['windows']}")
    ratio = frame["cpu_s_per_megapixel"] / affine["cpu_s_per_megapixel"]
    return {"frame": {"frame": frame, "affine": affine, "ratio": round(ratio, 3)}}


def _sets(folder: Path) -> dict[str, Any]:
    return {"sets": [_one_set(folder, tiles, tiles * _TEXTS, True) for tiles in (10_000, 100_000)]}


def _million(folder: Path) -> dict[str, Any]:
    return {"million": _one_set(folder, 1_000_000, 1_000_000, False)}


def _one_set(folder: Path, tiles: int, texts: int, shards: bool) -> dict[str, Any]:
    made = apart(folder, "make", f"{tiles} {texts} {int(shards)}")
    found: dict[str, Any] = {"finish": made} if shards else {}
    for what in ("open", "verify", "texts", *(("export",) if shards else ())):
        found[what] = apart(folder, "set", f"{what} {tiles}")
    shutil.rmtree(folder / f"set-{tiles}")
    shutil.rmtree(folder / "exported", ignore_errors=True)
    return {**found, "tiles": tiles, "shards": shards}


MEASURES: dict[str, Callable[[Path, str], dict[str, Any]]] = {
    "plan": plan,
    "strip": strip,
    "make": make_set,
    "set": of_set,
}
PARTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "windows": _windows,
    "dates": _dates,
    "frame": _frame,
    "sets": _sets,
    "million": _million,
}


if __name__ == "__main__":
    main()
