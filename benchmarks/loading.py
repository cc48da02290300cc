"""From shards of 256 px tiles to training batches of 224 px, beside webdataset with Pillow and torchvision.

    python -m benchmarks.loading [--cores 2] [--scenes 4] [--side 8192] [--repetitions 5] [--folder /tmp]

Four generated scenes are built into a data set by `knowlip build` (one shard a scene, 256 px, tiles of all scales).
Both loaders then give batches of 256 tiles, uint8 (256, 224, 224), in random order, on the same cores:

- ours: `TileReader`, every epoch a permutation of all tiles, `--cores` threads in one process;
- baseline: the shards as they are in webdataset (shuffle buffer of 1,000), Pillow to grey, torchvision's antialiased
  resize, in as many worker processes as cores, with webdataset's own loader.

Each counts from its first batch to its last, so that the start of processes and compiling do not count. The repetitions
alternate, every one in a process of its own; the median of tiles a second is reported, and how much the pixels of the
two differ.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.large_scene import write_large_scene
from benchmarks.record import record
from knowlip.base.progress import say
from knowlip.dataset import Dataset
from knowlip.dataset.pixels import TileReader
from knowlip.dataset.shards import ShardReader
from knowlip.tiles.build import BuildConfig, build
from knowlip.training.order import Order

BATCH, SIZE = 256, 224
REQUIRED = 1000


def ours(dataset: Dataset, cores: int) -> Iterator[torch.Tensor]:
    """One epoch; the next batch is read while the last is used."""
    from concurrent.futures import ThreadPoolExecutor

    tile_ids = dataset.tiles()["tile_id"].to_list()
    reader = TileReader(dataset, tile_ids, dataset.path / "cache", cores)
    order = Order(len(tile_ids), BATCH, seed=0)
    with ThreadPoolExecutor(2) as pool:
        ahead = [pool.submit(reader.read, order.rows(step), SIZE) for step in range(min(2, order.steps_per_epoch))]
        for step in range(order.steps_per_epoch):
            batch = ahead.pop(0).result()
            if step + 2 < order.steps_per_epoch:
                ahead.append(pool.submit(reader.read, order.rows(step + 2), SIZE))
            yield torch.from_numpy(batch)


def theirs(dataset: Dataset, cores: int) -> Iterator[torch.Tensor]:
    """The same by webdataset."""
    import webdataset

    shards = sorted(str(path) for path in (dataset.path / "shards").glob("*.tar"))
    samples = (
        webdataset.WebDataset(shards, shardshuffle=len(shards), seed=0)
        .shuffle(1000)
        .to_tuple("png")
        .map_tuple(decode)
        .batched(BATCH, partial=False)
    )
    for (batch,) in webdataset.WebLoader(samples, batch_size=None, num_workers=cores):
        yield torch.as_tensor(batch)


def decode(png: bytes) -> np.ndarray:
    """Pillow and torchvision, as most loaders do it."""
    import io

    from PIL import Image
    from torchvision.transforms.v2 import functional

    with Image.open(io.BytesIO(png)) as image:
        resized = functional.resize(functional.pil_to_tensor(image.convert("L")), [SIZE, SIZE], antialias=True)
    return resized[0].numpy()


def one_run(kind: str, folder: Path, cores: int) -> dict[str, Any]:
    """Tiles a second of one epoch, in this process."""
    torch.set_num_threads(1)
    batches = {"ours": ours, "baseline": theirs}[kind](Dataset(folder), cores)
    if next(batches, None) is None:
        raise SystemExit(f"The scenes are too small: a worker needs at least {BATCH} tiles of its shards for a batch.")
    started, tiles = time.perf_counter(), 0
    for batch in batches:
        assert batch.shape[1:] == (SIZE, SIZE)
        tiles += len(batch)
    return {"tiles": tiles, "tiles_per_s": tiles / (time.perf_counter() - started)}


def measure(folder: Path, cores: int, repetitions: int) -> dict[str, list[float]]:
    """Tiles a second of each repetition."""
    found: dict[str, list[float]] = {"ours": [], "baseline": []}
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for number in range(repetitions):
        for kind, values in found.items():
            command = [
                sys.executable,
                "-m",
                "benchmarks.loading",
                "--run",
                kind,
                "--folder",
                str(folder),
                "--cores",
                str(cores),
            ]
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            values.append(json.loads(done.stdout.splitlines()[-1])["tiles_per_s"])
        say(f"  {number + 1}/{repetitions}: " + ", ".join(f"{kind} {v[-1]:.0f} tiles/s" for kind, v in found.items()))
    return found


def difference(dataset: Dataset) -> dict[str, float]:
    """How much the pixels of the two differ, in grey levels: Pillow rounds between the two axes, torchvision does not
    in the same way."""
    tile_ids = dataset.tiles()["tile_id"].to_list()[:200]
    reader = TileReader(dataset, tile_ids, dataset.path / "cache", 1)
    mine = reader.read(range(len(tile_ids)), SIZE).astype(int)
    shards = dict(zip(dataset.tiles()["tile_id"], dataset.tiles()["shard"]))
    reader_of_shards = ShardReader(dataset.path / "shards")
    other = np.stack([decode(reader_of_shards.png(shards[tile_id], tile_id)) for tile_id in tile_ids]).astype(int)
    return {"mean": round(float(abs(mine - other).mean()), 4), "largest": float(abs(mine - other).max())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--scenes", type=int, default=4)
    parser.add_argument("--side", type=int, default=8192, help="of each scene in pixels")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("/tmp"), help="where scenes and the data set are put")
    parser.add_argument("--run", choices=("ours", "baseline"), help="one repetition, on the data set in --folder")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/loading.json"))
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.cores])
    if arguments.run:
        print(json.dumps(one_run(arguments.run, arguments.folder, arguments.cores)))
        return
    folder = arguments.folder / f"knowlip-loading-{os.getpid()}"
    folder.mkdir(parents=True)
    try:
        scenes = [folder / f"scene-{number}.tif" for number in range(arguments.scenes)]
        for number, scene in enumerate(scenes):
            write_large_scene(scene, arguments.side, "uint16", seed=number)
        build(BuildConfig(scenes, folder / "dataset", workers=arguments.cores))
        dataset = Dataset(folder / "dataset")
        found = measure(dataset.path, arguments.cores, arguments.repetitions)
        tiles = dataset.tiles()
        rest = {
            "tiles": len(tiles),
            "tile_px": sorted({int(shape[0]) for shape in tiles["proj:shape"]}),
            "png_bytes": round(sum(p.stat().st_size for p in (dataset.path / "shards").iterdir()) / len(tiles)),
            "tiles_per_s": {kind: [round(value) for value in values] for kind, values in found.items()},
            "required": REQUIRED,
            "difference_in_grey_levels": difference(dataset),
        }
    finally:
        shutil.rmtree(folder)
    value, baseline = (round(statistics.median(found[kind])) for kind in ("ours", "baseline"))
    unit = (
        f"tiles a second from shards to uint8 batches of {BATCH} at {SIZE} px; baseline: webdataset, Pillow and "
        "torchvision in as many worker processes; ratio: our speed over its speed"
    )
    record(arguments.out, value, baseline, unit, rest, f"{arguments.cores} used")
    say(f"ours {value} tiles/s ({'at least' if value >= REQUIRED else 'BELOW'} {REQUIRED}), baseline {baseline}")


if __name__ == "__main__":
    main()
