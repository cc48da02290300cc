"""Record what `knowlip ablation` has found.

    python -m benchmarks.ablation DIR [--outcome written]

DIR/ablation.json becomes `benchmarks/results/ablation.json`, with `mean`, `ci` and `n_seeds` of each arm for one
outcome, and as value and baseline the arms with the fewest errors and with the most.
"""

import argparse
from pathlib import Path
from typing import Any

from benchmarks.record import record
from knowlip.base.documents import read_json
from knowlip.benchmark.ablation_outcomes import OUTCOMES
from knowlip.benchmark.ablation_table import ALL

RESULT = Path(__file__).parent / "results" / "ablation.json"


def recorded(found: dict[str, Any], outcome: str) -> dict[str, Any]:
    """The figures of an ablation with those of one outcome in front."""
    arms = {}
    for name, row in found["arms"].items():
        figure = row[outcome][ALL]
        arms[name] = {"mean": figure["value"], "ci": figure["ci"], **row}
    return {**found, "outcome": outcome, "arms": arms}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--outcome", choices=OUTCOMES, default="written")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    found = recorded(read_json(options.folder / "ablation.json"), options.outcome)
    levels = [name for name in found["arms"] if name.startswith("wrong-") and "+" not in name]
    value, baseline = (found["arms"][name]["mean"] for name in (levels[0], levels[-1]))
    unit = f"share of trials that come out right ({options.outcome}): texts without errors, and with the most"
    record(options.out, value, baseline, unit, found, "low priority")
    print(f"{options.out}: {value:.3f} and {baseline:.3f}")


if __name__ == "__main__":
    main()
