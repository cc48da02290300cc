"""Keep the results of a demo: the rows as JSON, and the table of docs/results.md on standard output.

python -m benchmarks.demo DEMO_FOLDER
"""

import argparse
from pathlib import Path

from benchmarks.record import record
from knowlip.base.rows import MARKS, read_results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "demo.json")
    options = parser.parse_args()
    results = read_results(next(options.demo.rglob("metrics.json")))
    first = next(row for row in results.rows if row.value is not None)
    unit = f"{first.metric} on unseen cities; baseline: {first.floor_name}"
    record(
        options.out, first.value or 0.0, first.floor or 0.0, unit, {"command": "make demo", "metrics": results.plain()}
    )
    print("| task | measure | of | value | 95 % interval | highest floor | n |\n|---|---|---|---|---|---|---|")
    for row in results.rows:
        value = f"{row.shown(row.value)} {MARKS[row.standing]}"
        floor = "" if row.floor is None else f"{row.shown(row.floor)} {row.floor_name}"
        cells = (row.task, row.metric, row.encoder, value, row.shown_ci, floor, f"{row.n:,}")
        print(f"| {' | '.join(cells)} |")
    print({name: round(seconds) for name, seconds in results.seconds.items()})


if __name__ == "__main__":
    main()
