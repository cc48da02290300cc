"""What numbers on real sets are worth: their audits in one file.

    knowlip dataset import ../shared/data/sar-acd --format folder --out runs/sar-acd
    python -m benchmarks.audit runs/sar-acd [MORE DATA SETS]

Writes benchmarks/results/audit.json: for each set the groups of near copies and the floors by protocol; `value` is the
1-NN's top-1 of the first set at random, `baseline` the same with copies apart.
"""

import argparse
import time
from pathlib import Path

from benchmarks.record import record
from knowlip.benchmark.audit import DatasetAuditConfig, dataset_audit
from knowlip.tasks.protocols import APART, RANDOM

OUT = Path(__file__).parent / "results" / "audit.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    found = {}
    for path in options.datasets:
        started, wall = time.process_time(), time.monotonic()
        facts = dataset_audit(DatasetAuditConfig(path))
        copies = {key: value for key, value in facts["groups"].items() if key not in ("across_splits", "conflicts")}
        for key in ("across_splits", "conflicts"):
            copies[key] = {name: facts["groups"][key][name] for name in ("groups", "tiles")}
        found[path.resolve().name] = {
            "tiles": facts["tiles"],
            "copies": copies,
            "held_out": facts["held_out"],
            "kept_together": facts["kept_together"],
            "floors": facts["floors"],
            "detection": facts["detection"],
            "segmentation": facts["segmentation"],
            "questions": facts["questions"],
            "reasons": facts["reasons"],
            "cpu_seconds": round(time.process_time() - started, 1),
            "seconds": round(time.monotonic() - wall, 1),
        }
    floors = next(iter(found.values()))["floors"]
    values = (floors.get(name, {}).get("pixels, 1-NN", {}).get("top1") for name in (RANDOM, APART))
    record(options.out, *values, "top-1 of the nearest pixels; baseline: copies apart", {"sets": found}, "one process")


if __name__ == "__main__":
    main()
