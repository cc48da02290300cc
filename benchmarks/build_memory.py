"""Peak memory of a build: one 30,000 x 30,000 complex64 scene (7.2 GB), and one of 20,000 x 20,000 uint16 pixels.

    python -m benchmarks.build_memory [--complex-side 30000] [--side 20000] [--folder /tmp]

Resident memory (RSS) of the build's process and all it starts, added up and sampled every 50 ms; the scene is read from
disk window by window and never held.
"""

import argparse
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.build_speed import ours
from benchmarks.large_scene import write_large_scene
from knowlip.base.files import write_json
from knowlip.base.progress import say
from knowlip.base.provenance import commit, machine

LIMIT_MB = 512


def peak_of(folder: Path, side: int, dtype: str, cores: int) -> dict[str, Any]:
    """Write a scene, build it, remove both."""
    folder.mkdir(parents=True)
    try:
        scene = folder / "scene.tif"
        write_large_scene(scene, side, dtype)
        size = scene.stat().st_size
        result, peak = ours(scene, folder / "dataset", cores)
    finally:
        shutil.rmtree(folder)
    row = {
        "scene": f"{side} x {side} {dtype}",
        "scene_mb": round(size / 1e6),
        "peak_mb": round(peak),
        "tiles": result["tiles"],
        "accepted": result["accepted"],
        "seconds": round(result["seconds"], 1),
    }
    say(f"  {row}")
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--complex-side", type=int, default=30000)
    parser.add_argument("--side", type=int, default=20000)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("/tmp"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/build_memory.json"))
    arguments = parser.parse_args()
    folder = arguments.folder / f"knowlip-build-memory-{os.getpid()}"
    rows = [
        peak_of(folder, side, dtype, arguments.cores)
        for side, dtype in ((arguments.complex_side, "complex64"), (arguments.side, "uint16"))
    ]
    value = max(row["peak_mb"] for row in rows)
    write_json(
        arguments.out,
        {
            "value": value,
            "baseline": LIMIT_MB,
            "ratio": round(value / LIMIT_MB, 3),
            "unit": "largest sum of resident memory (RSS) over all processes of the build, in MB; baseline: the limit",
            "scenes": rows,
            "machine": f"{machine()}, {arguments.cores} used",
            "commit": commit(),
            "date": datetime.now(UTC).date().isoformat(),
        },
    )
    say(f"{value} MB at most (limit {LIMIT_MB} MB)")


if __name__ == "__main__":
    main()
