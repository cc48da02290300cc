"""Spoilt inputs through all doors of tests/fuzz for as long as is given: what came of them, and each fault once.

    python -m benchmarks.fuzz --seconds 600 [--doors raster picture] [--first 0] [--result FILE]

Every door gets as much time. An input is known by its door and number: `--doors DOOR --first NUMBER --count 1` repeats
it.
"""

import argparse
import gc
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from knowlip.base.files import write_json
from tests.fuzz.doors import DOORS
from tests.fuzz.frame import enter_several

AT_ONCE = 20
"""Inputs that a child takes, one after the other."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--doors", nargs="*", default=[door.name for door in DOORS])
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=1 << 60, help="most inputs")
    parser.add_argument("--result", type=Path)
    options = parser.parse_args()
    doors = [door for door in DOORS if door.name in options.doors]
    end, tried = time.monotonic() + options.seconds, 0
    outcomes: dict[str, Counter[str]] = {door.name: Counter() for door in doors}
    slowest: dict[str, float] = {door.name: 0.0 for door in doors}
    largest: dict[str, int] = {door.name: 0 for door in doors}
    faults: list[dict[str, Any]] = []

    def keep() -> None:
        kept = {"inputs": tried, "outcomes": outcomes, "seconds": slowest, "mebibytes": largest, "faults": faults}
        if options.result:
            write_json(options.result, kept)

    with tempfile.TemporaryDirectory() as folder:
        for number, door in enumerate(doors):
            (Path(folder) / str(number)).mkdir()
            door.prepare(Path(folder) / str(number))
        work = Path(folder) / "work"
        work.mkdir()
        gc.collect()
        gc.freeze()  # a child that collects garbage would copy all of this process's memory
        spent = [0.0] * len(doors)
        seeds = [options.first] * len(doors)
        while tried < options.count and time.monotonic() < end:
            # The door that has had the least time: thousands of label files cost what hundreds of weights do.
            number = min(range(len(doors)), key=lambda one: spent[one])
            door, began = doors[number], time.monotonic()
            numbers = range(seeds[number], seeds[number] + min(AT_ONCE, options.count - tried))
            found = enter_several(door, Path(folder) / str(number), numbers, work)
            spent[number] += time.monotonic() - began
            seeds[number] += len(numbers)
            for seed, outcome in zip(numbers, found):
                tried += 1
                outcomes[door.name][f"exit {outcome.code}" if not outcome.fault else "fault"] += 1
                slowest[door.name] = max(slowest[door.name], outcome.seconds)
                largest[door.name] = max(largest[door.name], outcome.grown >> 20)
                if outcome.fault:
                    faults.append({"door": door.name, "number": seed, "how": outcome.how, "fault": outcome.fault})
                    print(f"{door.name} {seed}: {outcome.how}: {outcome.fault}", flush=True)
                if tried % 500 == 0:
                    print(f"{tried} inputs", flush=True)
                    keep()
        gc.unfreeze()
    print(f"{tried} inputs, {len(faults)} faults")
    for name, counts in outcomes.items():
        told = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
        print(f"  {name}: {told}; at most {slowest[name]:.1f} s and {largest[name]} MiB")
    keep()
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
