"""A copy of a simulated data set whose training texts are right: a better annotator.

    python -m benchmarks.right_texts DATASET --out FOLDER

Sub-texts that truth denies get right words: those of another tile in the same dimension that are true here, so that
they are in the annotator's own style, else a template's. The copy is FOLDER/datasets/wrong-0 (shards are hard links);
FOLDER/datasets/wrong-0.json says how many training texts are true, and `wrong.json` in the copy what was changed.
"""

import argparse
from pathlib import Path

from knowlip.benchmark.ablation_arms import Arm, level
from knowlip.benchmark.ablation_texts import ArmTexts, figures_of
from knowlip.benchmark.corrupt import GENERATORS
from knowlip.dataset import Dataset
from knowlip.dataset.layout import INFO


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    if not (options.dataset / INFO).is_file():
        raise SystemExit(f"{options.dataset} is no data set.")
    if (options.out / "datasets").exists():
        raise SystemExit(f"{options.out} holds texts of an earlier call: give another folder, or delete it.")
    if not Dataset(options.dataset).truth():
        raise SystemExit(f"{options.dataset} has no truth: give a data set that was built from simulated scenes.")
    arm, texts = Arm(level(0.0)), ArmTexts(options.dataset, options.out, [0.0], next(iter(GENERATORS)), options.seed)
    texts.make(arm)
    print(f"{texts.of(arm)}: {figures_of(texts.of(arm))}")


if __name__ == "__main__":
    main()
