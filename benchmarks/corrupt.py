"""A copy of a data set whose texts hold known errors: a worse annotator.

    python -m benchmarks.corrupt DATASET --wrong 1 --out COPY

`--wrong` sub-texts of each training tile are replaced by wrong ones (`knowlip/benchmark/corrupt.py`); COPY/wrong.json
says which. Shards are hard links.
"""

import argparse
from pathlib import Path

from knowlip.base.documents import read_json
from knowlip.benchmark.copies import dataset_with


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--wrong", type=float, default=1.0, help="sub-texts a training tile")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    copy = dataset_with(options.dataset, "annotator", options.out, options.wrong)
    print(f"{copy}: {len(read_json(copy / 'wrong.json'))} sub-texts are wrong on purpose")


if __name__ == "__main__":
    main()
