"""How well the decoder's likelihood (`nll`) finds wrong sub-texts: over the steps of a training, and by how many
sub-texts are hidden at once.

    python -m benchmarks.scio_steps DATASET --models RUN_AT_STEP_A RUN_AT_STEP_B ... [--tiles 1000] [--holes 1 2 4 8]

MODELS are model folders or runs, the most trained last. All are asked with as many sub-texts hidden at once as
`scio.holes_at_once` says by default, the last one with each number of `--holes`. Natural errors are those that the
truth of simulated scenes refutes; injected ones are made on purpose in sub-texts that are not known to be wrong.
Intervals are bootstraps over root tiles. DATASET is only read.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import record
from benchmarks.scio_scores import cell, corpus_of, roots_of, truth_of_texts
from knowlip.dataset import Dataset
from knowlip.language.corruption import corrupt
from knowlip.language.dimensions import SLOTS
from knowlip.scio.evidence import evidence
from knowlip.scio.passes import ScioConfig
from knowlip.scio.scorer_model import scoring_model
from knowlip.scio.screening import injected_evidence, scorer_of
from knowlip.tasks.metrics.error_detection import NATURAL, detection

DEFAULT = ScioConfig().holes_at_once


def measure(dataset: Dataset, path: Path, tiles: int, holes: list[int], seed: int) -> dict[int, dict[str, Any]]:
    """Number of holes at once -> how well the likelihood of one model finds natural and injected errors."""
    model, found = scoring_model(path, "cpu"), {}
    with tempfile.TemporaryDirectory() as cache:
        corpus = corpus_of(dataset, model, Path(cache), tiles, seed)
        scorer = scorer_of(model, corpus, ScioConfig(), np.random.default_rng([seed, 0]))
        names = (corpus.table["instruction_set"] + " " + corpus.table["dimension"]).to_numpy(dtype=str)
        roots = np.repeat(roots_of(dataset, corpus), SLOTS)
        true = truth_of_texts(dataset, corpus.table)
        known, wrong = np.array([value is not None for value in true]), np.array([value is False for value in true])
        errors = corrupt(corpus.table, range(len(corpus.texts)), np.random.default_rng([seed, 1]))
        errors = [one for one in errors if true[one.row * SLOTS + one.slot] is not False]
        for number in holes:
            scorer.holes_at_once = number
            clean = evidence(scorer, corpus.texts, kinds=("nll",), title=f"{path.name}, {number} at once")
            injected = injected_evidence(scorer, corpus, errors, ("nll",))
            natural = detection(
                {"nll": clean.nll.ravel()[known]},
                wrong[known],
                np.full(int(known.sum()), NATURAL),
                names[known],
                roots[known],
                seed=seed,
            )
            at = np.array([one.row for one in errors])
            slots = [one.slot for one in errors]
            score = clean.injected(at, slots, injected).nll
            is_wrong = np.zeros(score.shape, bool)
            is_wrong[np.arange(len(at)), slots] = True
            used = (is_wrong | ~wrong.reshape(-1, SLOTS)[at]).ravel()
            kinds = np.repeat([one.kind for one in errors], SLOTS)
            of_injected = detection(
                {"nll": score.ravel()[used]},
                is_wrong.ravel()[used],
                kinds[used],
                names.reshape(-1, SLOTS)[at].ravel()[used],
                roots.reshape(-1, SLOTS)[at].ravel()[used],
                seed=seed,
            )
            found[number] = {"natural": natural, "injected": of_injected}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--models", type=Path, nargs="+", required=True)
    parser.add_argument("--holes", type=int, nargs="+", default=[1, 2, DEFAULT, 8], choices=[1, 2, 4, 8])
    parser.add_argument("--tiles", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/scio_steps.json"))
    options = parser.parse_args()
    dataset = Dataset(options.dataset)
    if not dataset.truth():
        raise SystemExit(f"{options.dataset} has no truth: simulate scenes and build a data set of them.")
    found: dict[str, Any] = {}
    for path in options.models:
        holes = sorted({DEFAULT, *options.holes}) if path == options.models[-1] else [DEFAULT]
        for number, row in measure(dataset, path, options.tiles, holes, options.seed).items():
            found[f"{path.name}, {number} at once"] = row
            figures = {name: part["evidence"]["nll"] for name, part in row.items()}
            kinds = {kind: round(part["value"], 3) for kind, part in figures["injected"]["per_kind"].items()}
            print(
                f"{path.name}, {number} at once: natural {cell(figures['natural']['auroc'])}, "
                f"within dimensions {cell(figures['natural']['auroc_within_dimension'])}; "
                f"injected {cell(figures['injected']['auroc'])} {kinds}"
            )
    names = [f"{path.name}, {DEFAULT} at once" for path in (options.models[-1], options.models[0])]
    auroc = [found[name]["injected"]["evidence"]["nll"]["auroc"]["value"] for name in names]
    rest = {
        "rows": found,
        "tiles": options.tiles,
        "seed": options.seed,
        "command": f"python -m benchmarks.scio_steps DATASET --models ... --tiles {options.tiles}",
    }
    unit = "AUROC of finding injected errors by the likelihood of the most trained model; baseline: of the first one"
    record(options.out, auroc[0], auroc[1], unit, rest, "one process")


if __name__ == "__main__":
    main()
