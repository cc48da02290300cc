"""Whole scenes and archives: every planted ship once, and how long a search takes.

    python -m benchmarks.use [--parts planted search] [--work DIR]

planted: 1,000 ships of 8 x 5 px in a scene of 4,000 x 5,000 px, a third of them on borders of windows, twelve a pixel
apart as at a quay, through `knowlip predict detect` with a detector that finds what is bright: what is measured is the
cutting and merging, not the finding. search: 100,000 random vectors of 256 with places, dates and sensors, filters and
ten nearest, against brute force; a million vectors.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from knowlip.base.documents import read_json
from knowlip.base.files import write_json
from knowlip.base.provenance import commit, machine
from knowlip.inference import predict_detect
from knowlip.inference.archive import Filters, SceneArchive
from knowlip.inference.archive.adding import write_part
from knowlip.inference.archive.parts import begin
from knowlip.inference.predict import predict_scenes
from knowlip.inference.scene_settings import PredictDetectConfig
from knowlip.tiles.quantise import QuantiseConfig
from tests.inference.test_predict import SHIP, blobs, planted, scene_detector, write

RESULT: Final = Path(__file__).parent / "results" / "use.json"
PARTS: Final = ("planted", "search")
_WIDTH: Final = 256
_REPEATS: Final = 7


def planted_ships(work: Path) -> dict[str, Any]:
    """How many of the planted ships are found, twice, and not at all."""
    values, places = planted(4000, 5000, 1000)
    # Ships fill a share of this scene that percentiles would clip: fixed levels.
    fixed = QuantiseConfig(method="window", window_db=(30.0, 72.0))
    scene = write(work / "sea.tif", values)
    config = PredictDetectConfig(scenes=[scene], model=work, out=work / "out", quantise=fixed)
    predict_detect.found_in = blobs  # type: ignore[assignment]
    (told,) = predict_scenes(config, scene_detector(config))["scenes"]
    found = pd.read_csv(work / "out" / "sea.csv")
    right = {(left + SHIP[0] / 2, top + SHIP[1] / 2) for top, left in places}
    centres = list(zip(found["x"], found["y"]))
    return {
        "ships": len(right),
        "found": len(right & {*centres}),
        "duplicates": len(centres) - len({*centres}) + len({*centres} - right),
        "lost": len(right - {*centres}),
        "seen_by_two_windows": told["seen_by_two_windows"],
    }


def searches(work: Path) -> dict[str, Any]:
    """Milliseconds of a search (median of repeats), and whether it equals brute force."""
    rng = np.random.default_rng(0)
    archive, vectors = _archive(work / "100k", 100_000, rng)
    queries = rng.normal(size=(_REPEATS, _WIDTH)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    filters = Filters(near=(5.0, 50.0), km=300.0, after="2024-01-01", sensor="c")
    mask = archive.mask(filters)[0]
    equal = True
    for query in queries:
        score = np.where(mask, vectors @ query, -np.inf)
        equal &= [row for _, row, _ in archive.nearest(query, 10, filters)] == np.argsort(-score)[:10].tolist()
    with_filters = _median(lambda query: archive.nearest(query, 10, filters), queries)
    without = _median(lambda query: archive.nearest(query, 10), queries)
    million, _ = _archive(work / "1m", 1_000_000, rng)
    return {
        "tiles_100k_ms": with_filters,
        "tiles_100k_passing": int(mask.sum()),
        "tiles_100k_without_filters_ms": without,
        "vectors_1m_ms": _median(lambda query: million.nearest(query, 10), queries),
        "equal_to_brute_force": equal,
    }


def _median(ask: Callable[[np.ndarray], object], queries: Sequence[np.ndarray] | np.ndarray) -> float:
    ask(queries[0])  # files are mapped and columns read once
    times = []
    for query in queries:
        started = time.perf_counter()
        ask(query)
        times.append(time.perf_counter() - started)
    return round(1000 * float(np.median(times)), 2)


def _archive(folder: Path, size: int, rng: np.random.Generator) -> tuple[SceneArchive, np.ndarray]:
    begin(folder, "random", "random")
    vectors = rng.normal(size=(size, _WIDTH)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = {
        "item": [str(at) for at in range(size)],
        "scene_id": [""] * size,
        "lon": rng.uniform(0, 10, size),
        "lat": rng.uniform(45, 55, size),
        **{name: np.full(size, value) for name, value in (("window_m", 768.0), ("metres_per_pixel", 3.0))},
        "resolution_m": rng.choice([1.0, 3.0, 10.0], size),
        "sensor": rng.choice(["sim-x", "sentinel-1"], size).tolist(),
        "band": rng.choice(["C", "X"], size).tolist(),
        "polarisation": ["VV"] * size,
        "date": rng.choice(["2023-12-31", "2024-01-01T10:00:00", "2024-06-01"], size).tolist(),
        "footprint": [None] * size,
        "picture": [b""] * size,
    }
    write_part(folder / "all", rows, vectors)
    (folder / "all.json").write_text("{}")
    return SceneArchive(folder), vectors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--work", type=Path)
    options = parser.parse_args()
    parts = {"planted": planted_ships, "search": searches}
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        for name in options.parts:
            work = Path(folder) / name
            work.mkdir()
            found = {**parts[name](work), "machine": machine(), "date": datetime.now(UTC).date().isoformat()}
            print(name, found)
            known = read_json(RESULT) if RESULT.is_file() else {}
            write_json(RESULT, {**known, name: {**found, "commit": commit()}})


if __name__ == "__main__":
    main()
