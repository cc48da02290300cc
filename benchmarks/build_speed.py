"""A whole scene to tiles, everything included, against the bare work on the same cores.

    python -m benchmarks.build_speed [--side 20000] [--repetitions 3] [--folder /tmp] [--compress deflate]

The scene is generated (1 m pixels, uint16, tiled; not compressed unless --compress says so). Ours is `knowlip build`
with its defaults: opening, collar mask, histogram and quantiser, three scales, statistics, GLCM and nearest-neighbour
filter, region score and its map, places, hashes, shards and index; one process, --cores threads.

The bare work is what nobody can do without, done as fast as the same libraries allow: as many processes as cores, each
reads the same large windows with rasterio and encodes the same tiles (taken from a first build, held in memory) as PNG.
Nothing is computed, nothing is written. It is measured twice: with Pillow at the encoder settings that ours uses
(level 1, run lengths; "baseline"), and with the encoder of KnowLIP itself ("baseline_own_encoder"), which is faster.

Both start from fresh processes with modules imported and code compiled; the repetitions alternate.
"""

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from PIL import Image
from rasterio.windows import Window

from benchmarks.large_scene import write_large_scene
from benchmarks.memory import measured
from knowlip.base.files import write_json
from knowlip.base.progress import say
from knowlip.base.provenance import commit, machine

RUN = """
import json, sys, time
from pathlib import Path
import knowlip.tiles.build as stage
started = time.perf_counter()
result = stage.build(stage.BuildConfig([Path(sys.argv[1])], Path(sys.argv[2]), workers=int(sys.argv[3])))
print(json.dumps({**result, "seconds": time.perf_counter() - started}))
"""
_RUN_LENGTHS = 3
_GDAL = {"GDAL_CACHEMAX": 64, "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}


def ours(scene: Path, out: Path, cores: int) -> tuple[dict[str, Any], float]:
    """Build in a new process. Returns its result with the seconds of the build, and the peak memory in MB."""
    shutil.rmtree(out, ignore_errors=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPYCACHEPREFIX"] = str(scene.parent / "bytecode")
    command = [sys.executable, "-c", RUN, str(scene), str(out), str(cores)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
    peak = measured(process)
    if process.returncode:
        raise SystemExit("The build failed.")
    assert process.stdout is not None
    result: dict[str, Any] = json.loads(process.stdout.read().splitlines()[-1])
    return result, peak


class Bare:
    """The bare work, shared out among processes."""

    def __init__(self, scene: Path, out: Path, cores: int):
        from knowlip.base.parquet import read_parquet

        plan = json.loads((out / "plan.json").read_text())["scenes"][0]
        table = read_parquet(out / "index.parquet")
        accepted = table.filter(table["accepted"])
        self.places = list(zip(accepted["shard"].to_pylist(), accepted["tile_id"].to_pylist()))
        self.roots = [(root["left"], root["top"]) for root in plan["roots"]]
        self.scene, self.out, self.cores = scene, out, cores

    def seconds(self, own: bool) -> float:
        """Wall time of all parts, from the moment that every process is ready."""
        start = time.time() + 10 + len(self.places) / 500
        jobs = [
            (self.scene, self.out, self.roots[i :: self.cores], self.places[i :: self.cores], own, start)
            for i in range(self.cores)
        ]
        with ProcessPoolExecutor(self.cores, get_context("spawn")) as pool:
            ends = list(pool.map(_bare_part, jobs))
        return max(ends) - start


def _bare_part(job: tuple[Path, Path, list[Any], list[Any], bool, float]) -> float:
    """Read windows and encode tiles once all is ready. Returns when it ended."""
    from knowlip.dataset.png import encode_png
    from knowlip.dataset.shards import ShardReader

    scene, out, roots, places, own, start = job
    shards = ShardReader(out / "shards")
    tiles = [shards.image(*place) for place in places]
    encode_png(tiles[0])
    _pillow(tiles[0])
    with rasterio.Env(**_GDAL), rasterio.open(scene) as source:
        inverse = ~source.transform
        if time.time() > start:
            raise SystemExit("The machine is too busy to measure: tiles were not ready in time.")
        time.sleep(start - time.time())
        each = iter(tiles)
        share = -(-len(tiles) // len(roots))
        for left, top in roots:
            x, y = inverse @ (left, top)
            source.read(1, window=Window(round(x), round(y), 1024, 1024))
            for _ in range(share):
                tile = next(each, None)
                if tile is not None:
                    encode_png(tile) if own else _pillow(tile)
    return time.time()


def _pillow(tile: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(tile).save(buffer, "PNG", compress_level=1, compress_type=_RUN_LENGTHS)
    return buffer.getvalue()


CPU_RUN = """
import json, sys, time
from pathlib import Path
import knowlip.tiles.build as stage
begun = time.process_time()
result = stage.build(stage.BuildConfig([Path(sys.argv[1])], Path(sys.argv[2]), workers=1))
print(json.dumps({"tiles": result["tiles"], "build": time.process_time() - begun, "whole": time.process_time()}))
"""
BARE_RUN = """
import json, sys, time
from pathlib import Path
from benchmarks.build_speed import bare_work
print(json.dumps({"work": bare_work(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))}))
"""


def beside_bare(folder: Path, side: int, repetitions: int) -> dict[str, Any]:
    """CPU seconds of a build by one process beside those of the bare work by one process, in turns.

    The bare work reads the same large windows with rasterio, encodes the same accepted tiles with Pillow and writes
    them as files. "build" begins when modules are imported, "whole" with the process.
    """
    work = folder / f"bare-{side}"
    work.mkdir(parents=True)
    scene, out = work / "scene.tif", work / "dataset"
    write_large_scene(scene, side, "uint16")
    found = _cpu(CPU_RUN, scene, out)
    names = ("build", "whole", "bare")
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(repetitions):
        bare = _cpu(BARE_RUN, scene, out, work / "files")
        shutil.rmtree(work / "files")
        ours = _cpu(CPU_RUN, scene, work / "again")
        shutil.rmtree(work / "again")
        for name, value in zip(names, (ours["build"], ours["whole"], bare["work"])):
            times[name].append(round(value, 2))
        say(f"  {side} px: ours {ours['build']:.2f} s, bare {bare['work']:.2f} s")
    shutil.rmtree(work)
    middle = {name: statistics.median(values) for name, values in times.items()}
    pairs = [bare / ours for bare, ours in zip(times["bare"], times["build"])]
    return {
        "tiles": found["tiles"],
        "cpu_s": times,
        "imports_cpu_s": round(middle["whole"] - middle["build"], 2),
        "bare_over_ours": round(statistics.median(pairs), 3),
        "bare_over_ours_with_imports": round(middle["bare"] / middle["whole"], 3),
    }


def _cpu(script: str, *arguments: Path) -> dict[str, float]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def bare_work(scene: Path, out: Path, files: Path) -> float:
    """Read the large windows of a finished build, encode and write its accepted tiles. Returns its CPU seconds."""
    from knowlip.dataset.shards import ShardReader

    bare, shards = Bare(scene, out, 1), ShardReader(out / "shards")
    tiles = [shards.image(*place) for place in bare.places]
    files.mkdir()
    begun = time.process_time()
    with rasterio.Env(**_GDAL), rasterio.open(scene) as source:
        inverse = ~source.transform
        for left, top in bare.roots:
            x, y = inverse @ (left, top)
            source.read(1, window=Window(round(x), round(y), 1024, 1024))
    for number, tile in enumerate(tiles):
        (files / f"{number}.png").write_bytes(_pillow(tile))
    return time.process_time() - begun


def measure(scene: Path, side: int, compress: str, repetitions: int, cores: int) -> dict[str, Any]:
    """Alternate ours and the bare work."""
    out = scene.parent / "dataset"
    say("first build, for compiled code and the tiles of the bare work")
    ours(scene, out, cores)
    bare = Bare(scene, out, cores)
    times: dict[str, list[float]] = {"ours": [], "pillow": [], "own": []}
    peaks: list[float] = []
    result: dict[str, Any] = {}
    for number in range(repetitions):
        times["pillow"].append(bare.seconds(own=False))
        times["own"].append(bare.seconds(own=True))
        result, peak = ours(scene, scene.parent / "again", cores)
        times["ours"].append(result["seconds"])
        peaks.append(peak)
        say(f"  {number + 1}/{repetitions}: " + ", ".join(f"{k} {v[-1]:.2f} s" for k, v in times.items()))
    middle = {name: statistics.median(values) for name, values in times.items()}
    return {
        "value": round(middle["ours"], 2),
        "baseline": round(middle["pillow"], 2),
        "baseline_own_encoder": round(middle["own"], 2),
        "ratio": round(middle["pillow"] / middle["ours"], 3),
        "ratio_own_encoder": round(middle["own"] / middle["ours"], 3),
        "unit": "seconds for one scene; baseline: the same windows read with rasterio and the same tiles encoded "
        "as PNG by Pillow at the same settings, one process per core, nothing else; ratio: our speed over its speed",
        "seconds": {name: [round(value, 3) for value in values] for name, values in times.items()},
        "peak_mb": round(max(peaks)),
        "peak_unit": "largest sum of resident memory (RSS) over all processes of the build, in MB",
        "scene": f"{side} x {side} uint16, 1 m, tiled 512, {compress or 'not compressed'}",
        "tiles": result["tiles"],
        "accepted": result["accepted"],
        "fingerprint": result["fingerprint"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=20000)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--compress", default="")
    parser.add_argument("--folder", type=Path, default=Path("/tmp"), help="where the scene and the data set are put")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/build_speed.json"))
    arguments = parser.parse_args()
    folder = arguments.folder / f"knowlip-build-speed-{os.getpid()}"
    folder.mkdir(parents=True)
    try:
        scene = folder / "scene.tif"
        write_large_scene(scene, arguments.side, "uint16", compress=arguments.compress)
        result = measure(scene, arguments.side, arguments.compress, arguments.repetitions, arguments.cores)
    finally:
        shutil.rmtree(folder)
    result["machine"] = f"{machine()}, {arguments.cores} used"
    result["commit"] = commit()
    result["date"] = datetime.now(UTC).date().isoformat()
    write_json(arguments.out, result)
    say(
        f"ours {result['value']} s, bare {result['baseline']} s: {result['ratio']} of its speed "
        f"({result['ratio_own_encoder']} with our encoder in it), {result['peak_mb']} MB"
    )


if __name__ == "__main__":
    main()
