"""What whole frames and large data sets cost: CPU seconds and peak memory of one process each.

    python -m benchmarks.scale [--only windows dates frame pixels sets million] [--folder /tmp]

- `windows`: planning a full Sentinel-1 GRD frame (250 x 170 km, 16,700 x 25,400 pixels, made by the tests' generator:
  geolocation grid of 189 points on hills, look-up tables every second, most of its TIFF empty) as 1, 10 and 100
  thousand large windows: opening, windows, blocks, splits.
- `dates`: ten dates of that frame at windows of 1,024 m, on each date's own grid and on one grid (`--anchor utm`).
- `frame`: two strips of it along a parallel, of two and four rows of windows, which cross 5,900 of its lines, built to
  their end (`knowlip build`, one process) at windows of 1,024 m, beside an affine scene of as many windows as the
  smaller one. `value` is the ratio of CPU seconds a megapixel.
- `whole`: the whole frame at 1,024 m, built to its end but for its pixels, which are neither read nor encoded: the
  steps with the places, outlines, rows, map and index of all of its tiles; then its index verified and opened.
- `pixels`: that frame with all of its pixels, built to its end: read, interpolated, judged, encoded, written to shards.
  What is encoded takes some 20 GB, so of the shards that are full one in eight stays; those are read back, and each of
  their tiles is held against its hash in the index.
- `bare`: scenes of 4,096 and 20,000 pixels built beside the bare work, see `benchmarks.build_speed`.
- `sets`: synthetic data sets of 10 and 100 thousand tiles of 16 x 16 pixels with eight texts each: opened, some
  columns of it, verified, texts read, exported. `million`: an index of a million tiles without shards, with a million
  texts; its verification is that of the index. `annotate`: such tiles annotated offline, in this process.
- `search`: archives of 10, 100 thousand and a million vectors opened and searched. `retrieve`: recall in both
  directions among 10 and 100 thousand random images and as many texts, and of the very pairs.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import rasterio
import shapely
from affine import Affine

from benchmarks.build_speed import beside_bare
from benchmarks.memory import forget_peak, spent
from benchmarks.record import record
from benchmarks.scale_sets import TEXTS_A_TILE, make_archive, make_set, of_set, retrieve, search
from knowlip.base.documents import read_json
from knowlip.base.files import sha256, write_json
from knowlip.base.progress import say
from knowlip.dataset import Dataset
from knowlip.dataset.shards import ShardWriter
from knowlip.dataset.writer import SceneWriter
from tests.scenes.products.sentinel1_frame import FRAME, write_frame

OUT = Path(__file__).parent / "results" / "scale.json"
LIMIT = 3.0
"""CPU seconds a megapixel of a frame over those of an affine scene."""
_FRAME_LINES = (4700, 12000)
"""Lines of the frame that hold pixels for the strip."""
_ROWS = 2
"""Rows of windows of the strip."""
_MORE_ROWS = 4
"""Of the larger strip: what grows with its size would show beside the smaller one."""
_SIDES = ((4096, 4), (20000, 2))
"""Sides in pixels of scenes that are built beside the bare work, and how often."""
_AFFINE_WINDOWS = 400
"""Of the affine scene beside a whole frame."""
_KEPT_SHARDS = 8
"""One in so many of a whole frame's shards stays on disk."""
_ANNOTATED = (1000, 8000)
"""Tiles of the sets that are annotated."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=list(PARTS), default=list(PARTS))
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
    """Build a strip of a frame, or an affine scene of as many windows: "frame ROWS" or "affine WINDOWS"."""
    import knowlip.tiles.build as stage
    from knowlip.tiles.screen import ScreenConfig

    kind, number, screen = argument.split()[0], int(argument.split()[1]), ScreenConfig()
    if kind == "frame":
        path = _product(folder, "strip", lines=_FRAME_LINES)
        half = (number - 1.5) * 1024 / 111_195 / 2
        area = folder / "area.json"
        write_json(area, json.loads(shapely.to_geojson(shapely.box(8, 48.2 - half, 15, 48.2 + half))))
        screen = ScreenConfig(area=area)
    else:
        path = _affine(folder / "affine.tif", number)
    config = stage.BuildConfig([path], folder / f"out-{kind}-{number}", screen=screen, workers=1)
    steps = stepwise(stage)
    result = spent(lambda: stage.build(config))
    windows = result["tiles"] // 21
    megapixels = windows * (1024 / 10) ** 2 / 1e6
    kept = {name: result[name] for name in ("tiles", "accepted", "cpu_s", "seconds")}
    found = {"windows": windows, **kept, "cpu_s_per_megapixel": round(result["cpu_s"] / megapixels, 2)}
    return {**found, "peak_gb": max(step["peak_gb"] for step in steps.values()), "steps": steps}


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


def whole(folder: Path, _: str) -> dict[str, Any]:
    """Build the whole frame to its end but for its pixels: places, outlines, rows, map and index of all its tiles."""
    import knowlip.tiles.build as stage
    from knowlip.tiles import scene_job

    path = _product(folder, "whole", lines=(8200, 8500))
    scene_job.cut = _without_pixels
    scene_job.SceneWriter = WithoutShards  # type: ignore[misc]
    steps = stepwise(stage)
    result = spent(lambda: stage.build(stage.BuildConfig([path], folder / "set-frame", workers=1)))
    (folder / "set-frame" / "shards").mkdir(exist_ok=True)
    return {"windows": result["tiles"] // 21, "tiles": result["tiles"], "steps": steps, "cpu_s": result["cpu_s"]}


def pixels(folder: Path, _: str) -> dict[str, Any]:
    """Build the whole frame with all of its pixels, and read back the shards that stay."""
    import knowlip.tiles.build as stage
    from knowlip.tiles import scene_job

    path, out = _product(folder, "pixels", lines=(0, FRAME[0])), folder / "set-pixels"
    scene_job.SceneWriter = WithFewShards  # type: ignore[misc]
    steps = stepwise(stage)
    result = spent(lambda: stage.build(stage.BuildConfig([path], out, workers=1)))
    windows = result["tiles"] // 21
    megapixels = windows * (1024 / 10) ** 2 / 1e6
    kept = {name: result[name] for name in ("tiles", "accepted", "rejected", "cpu_s", "seconds")}
    found = {"windows": windows, **kept, "cpu_s_per_megapixel": round(result["cpu_s"] / megapixels, 2)}
    found |= {"peak_gb": max(step["peak_gb"] for step in steps.values()), "steps": steps}
    return {
        **found,
        "shards": WithFewShards.closed,
        "shards_gb": round(WithFewShards.bytes / 1e9, 2),
        **_read_back(out),
    }


def _read_back(out: Path) -> dict[str, int]:
    """Read every tile of the shards that stayed.

    Raises:
        ValueError: a tile is not what the index says.
    """
    from knowlip.dataset.shards import read_shard

    table = Dataset(out).tiles(columns=("tile_id", "shard", "png_sha256"))
    hashes = dict(zip(table["tile_id"], table["png_sha256"]))
    names = sorted(name for name in table["shard"].unique() if (out / "shards" / name).stat().st_size)
    read = 0
    for name in names:
        for sample in read_shard(out / "shards" / name):
            if sha256(sample.png) != hashes[sample.key]:
                raise ValueError(f"{sample.key} in {name} is not what the index says.")
            read += 1
    if read != int(table["shard"].isin(names).sum()):
        raise ValueError(f"{out} has shards without all of their tiles.")
    return {"shards_read_back": len(names), "tiles_read_back": read}


def stepwise(stage: Any) -> dict[str, dict[str, Any]]:
    """CPU seconds and peak memory of the steps of the next build, filled in as they end."""
    steps: dict[str, dict[str, Any]] = {}

    def measured(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            forget_peak()
            kept: list[Any] = []

            def work() -> dict[str, Any]:
                kept.append(step(*arguments))
                return {}

            steps[name] = spent(work)
            return kept[0]

        return run

    for name, function in (("plan", "make_plan"), ("cut", "cut_all"), ("index", "finish")):
        setattr(stage, function, measured(name, getattr(stage, function)))
    return steps


class WithFewShards(SceneWriter):
    """Writes all shards; of those that are full it empties all but one in eight once they are on disk."""

    closed, bytes = 0, 0

    def _shard(self, split: str) -> Any:
        before = self._open.get(split)
        shard = super()._shard(split)
        if before is not None and before is not shard:
            self._count(before)
        return shard

    def finish(self, facts: dict[str, Any]) -> None:
        for shard in self._open.values():
            shard.close()
            self._count(shard)
        super().finish(facts)

    @classmethod
    def _count(cls, shard: ShardWriter) -> None:
        """A shard that is closed."""
        cls.closed, cls.bytes = cls.closed + 1, cls.bytes + shard._part.stat().st_size
        if cls.closed % _KEPT_SHARDS != 1:
            os.truncate(shard._part, 0)


class WithoutShards(SceneWriter):
    """Writes the rows of the index, and no shard."""

    def _shard(self, split: str) -> Any:
        name = f"{split}-{self.scene_id}-000000.tar"
        return SimpleNamespace(add=lambda sample: None, path=self.dataset / "shards" / name)


def _without_pixels(ground: Any, roots: list[Any], config: Any, *_: Any) -> tuple[Any, Iterator[Any]]:
    """Families of accepted tiles whose numbers are drawn: what `cut` gives, without reading or encoding a pixel."""
    from knowlip.tiles import cut
    from knowlip.tiles.quality import STATISTICS
    from knowlip.tiles.windows import family

    middle = len(roots) // 2
    quantiser, some = cut.cut(ground, roots[middle - 4 : middle + 4], config)
    thumbnail, random = next(some).thumbnail, np.random.default_rng(0)

    def families() -> Iterator[Any]:
        for root in roots:
            windows = family(root)
            drawn = random.uniform(0, 1, (len(windows), len(STATISTICS))).round(4).tolist()
            hashes = [sha256(window.tile_id.encode()) for window in windows]
            tiles = [
                cut.CutTile(window, b"", name, 1.0, dict(zip(STATISTICS, numbers)), "")
                for window, name, numbers in zip(windows, hashes, drawn)
            ]
            yield cut.Family(root, tiles, 0.9, thumbnail, "")

    return quantiser, families()


def _windows(folder: Path) -> dict[str, Any]:
    return {"windows": [apart(folder, "plan", f"1 {side} scene") for side in (6600.0, 2100.0, 1024.0, 665.0)]}


def _dates(folder: Path) -> dict[str, Any]:
    return {"dates": {anchor: apart(folder, "plan", f"10 1024 {anchor}") for anchor in ("scene", "utm")}}


def _frame(folder: Path) -> dict[str, Any]:
    small = apart(folder, "strip", f"frame {_ROWS}")
    affine = apart(folder, "strip", f"affine {small['windows']}")
    large = apart(folder, "strip", f"frame {_MORE_ROWS}")
    ratio = large["cpu_s_per_megapixel"] / affine["cpu_s_per_megapixel"]
    return {"frame": {"strip": small, "frame": large, "affine": affine, "ratio": round(ratio, 3)}}


def _whole(folder: Path) -> dict[str, Any]:
    built = apart(folder, "whole", "")
    return {
        "whole": {**built, "verify": apart(folder, "set", "verify frame"), "open": apart(folder, "set", "open frame")}
    }


def _pixels(folder: Path) -> dict[str, Any]:
    built = apart(folder, "pixels", "")
    affine = apart(folder, "strip", f"affine {_AFFINE_WINDOWS}")
    ratio = built["cpu_s_per_megapixel"] / affine["cpu_s_per_megapixel"]
    return {"pixels": {**built, "affine": affine, "ratio": round(ratio, 3)}}


def _bare(folder: Path) -> dict[str, Any]:
    return {"bare": {str(side): beside_bare(folder, side, repetitions) for side, repetitions in _SIDES}}


def _sets(folder: Path) -> dict[str, Any]:
    return {"sets": [_one_set(folder, tiles, tiles * TEXTS_A_TILE, True) for tiles in (10_000, 100_000)]}


def _million(folder: Path) -> dict[str, Any]:
    return {"million": _one_set(folder, 1_000_000, 1_000_000, False)}


def _one_set(folder: Path, tiles: int, texts: int, shards: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"finish": apart(folder, "make", f"{tiles} {texts} {int(shards)}")}
    for what in ("open", "choose", "verify", "texts", *(("export",) if shards else ())):
        found[what] = apart(folder, "set", f"{what} {tiles}")
    shutil.rmtree(folder / f"set-{tiles}")
    shutil.rmtree(folder / "exported", ignore_errors=True)
    return {**found, "tiles": tiles, "shards": shards}


def _annotate(folder: Path) -> dict[str, Any]:
    found = []
    for tiles in _ANNOTATED:
        apart(folder, "make", f"{tiles} 0 1")
        found.append(apart(folder, "set", f"annotate {tiles}"))
        shutil.rmtree(folder / f"set-{tiles}")
    return {"annotate": found}


def _search(folder: Path) -> dict[str, Any]:
    found = []
    for vectors in (10_000, 100_000, 1_000_000):
        apart(folder, "archive", vectors)
        found.append(apart(folder, "search", vectors))
    return {"search": found}


def _retrieve(folder: Path) -> dict[str, Any]:
    return {"retrieve": [apart(folder, "retrieve", items) for items in (10_000, 100_000)]}


MEASURES: dict[str, Callable[[Path, str], dict[str, Any]]] = {
    "plan": plan,
    "strip": strip,
    "whole": whole,
    "pixels": pixels,
    "make": make_set,
    "set": of_set,
    "archive": make_archive,
    "search": search,
    "retrieve": retrieve,
}
PARTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "windows": _windows,
    "dates": _dates,
    "frame": _frame,
    "whole": _whole,
    "pixels": _pixels,
    "bare": _bare,
    "sets": _sets,
    "million": _million,
    "annotate": _annotate,
    "search": _search,
    "retrieve": _retrieve,
}


if __name__ == "__main__":
    main()
