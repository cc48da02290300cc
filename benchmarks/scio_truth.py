"""Screening and reconstruction against the exact truth of simulated scenes.

    python -m benchmarks.scio_truth DATASET --model MODEL_OR_RUN [--tiles 600] [--iterations 1] [--split test]
    python -m benchmarks.scio_truth DATASET --model MODEL_OR_RUN --passes-only --wrong 0.2 [--other-images]
    python -m benchmarks.scio_truth DATASET --model MODEL_OR_RUN --passes-only --method paper

Natural errors are those that the annotator made by itself and truth refutes; injected ones are made on purpose in true
sub-texts, of four kinds (`knowlip/language/corruption.py`). Evidence: the paper's two tests (`deltas`), the infilling
decoder's negative log-likelihood (`nll`), everything (`all`), and each single figure. The noise models are fitted on
injected errors in one half of the tiles and measured on the other half; halves share no root tile. Then the texts are
screened and reconstructed as often as told, by the same model without training between the passes, and judged before
and after each pass. Intervals are bootstraps over root tiles. DATASET is only read. `--other-images` gives every text
the image of another tile of its instruction set: what is repaired then was repaired without looking.
"""

import argparse
import ast
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.record import record
from benchmarks.scio_scores import Calibrated, calibrated, cell, corpus_of, lines, roots_of, truth_of_texts
from knowlip.base.vocabulary import DISTRUSTED
from knowlip.benchmark.ablation_arms import Arm, level
from knowlip.benchmark.ablation_texts import ArmTexts
from knowlip.benchmark.copies import dataset_with
from knowlip.dataset import Dataset
from knowlip.dataset.others import others_of
from knowlip.language.corruption import corrupt
from knowlip.language.dimensions import SLOTS
from knowlip.models import KnowLIP
from knowlip.scio.evidence import Scorer, evidence
from knowlip.scio.kinds import Evidence
from knowlip.scio.passes import ScioConfig, decide
from knowlip.scio.scorer_model import scoring_model
from knowlip.scio.screening import injected_evidence, scorer_of
from knowlip.tasks.metrics.error_detection import NATURAL, accuracy_change, auroc_of_dimension, detection
from knowlip.training.corpus import Corpus


def halves(roots: np.ndarray, rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """Rows of the two halves of the roots."""
    names = np.unique(roots)
    first = set(rng.permutation(names)[: len(names) // 2].tolist())
    inside = np.array([root in first for root in roots])
    return np.flatnonzero(inside).tolist(), np.flatnonzero(~inside).tolist()


def measure(dataset: Dataset, model: KnowLIP, corpus: Corpus, config: ScioConfig, seed: int) -> dict[str, Any]:
    """Natural and injected errors, as far as evidence finds them."""
    rng = np.random.default_rng([seed, 0])
    roots, scorer = roots_of(dataset, corpus), scorer_of(model, corpus, config, rng)
    taught, rest = halves(roots, rng)
    noise = calibrated(scorer, corpus, rng.permutation(taught)[: config.calibration_tiles].tolist(), config, rng)
    clean = evidence(scorer, [corpus.texts[row] for row in rest], rest, title="score texts")
    true = truth_of_texts(dataset, corpus.table).reshape(-1, SLOTS)
    sets = [corpus.sets[row] for row in rest]
    groups = _groups(corpus)
    scores = noise.scores(clean, sets, clean, sets)
    known = np.array([[value is not None for value in true[row]] for row in rest])
    wrong = np.array([[value is False for value in true[row]] for row in rest])
    natural = detection(
        {name: score[known] for name, score in scores.items()},
        wrong[known],
        np.full(int(known.sum()), NATURAL),
        groups[rest][known],
        np.repeat(roots[rest], SLOTS).reshape(-1, SLOTS)[known],
        thresholds=noise.thresholds,
        seed=seed,
    )
    natural["auroc_of_dimension"] = auroc_of_dimension(
        wrong[known], groups[rest][known], np.repeat(roots[rest], SLOTS).reshape(-1, SLOTS)[known]
    )
    injected = _injected(scorer, corpus, rest, clean, true, roots, groups, noise, seed)
    fitted = {
        name: one.figures | {"threshold": one.threshold, "weights": one.weights} for name, one in noise.models.items()
    }
    return {"natural": natural, "injected": injected, "fitted": fitted}


def _injected(
    scorer: Scorer,
    corpus: Corpus,
    rest: list[int],
    clean: Evidence,
    true: np.ndarray,
    roots: np.ndarray,
    groups: np.ndarray,
    noise: Calibrated,
    seed: int,
) -> dict[str, Any]:
    """Errors injected into tiles that the noise models never saw, among the sub-texts of these tiles that are not
    known to be wrong by themselves."""
    errors = corrupt(corpus.table, rest, np.random.default_rng([seed, 1]))
    errors = [one for one in errors if true[one.row, one.slot] is not False]
    found = injected_evidence(scorer, corpus, errors)
    place = {row: at for at, row in enumerate(rest)}
    slots, at = [one.slot for one in errors], np.arange(len(errors))
    mixed = clean.injected([place[one.row] for one in errors], slots, found)
    scores = noise.scores(mixed, [corpus.sets[one.row] for one in errors], clean, [corpus.sets[row] for row in rest])
    wrong = np.zeros((len(errors), SLOTS), bool)
    wrong[at, slots] = True
    used = wrong | np.array([[value is not False for value in true[one.row]] for one in errors])
    kinds = np.repeat([one.kind for one in errors], SLOTS).reshape(-1, SLOTS)
    rows = [one.row for one in errors]
    return detection(
        {name: score[used] for name, score in scores.items()},
        wrong[used],
        kinds[used],
        groups[rows][used],
        np.repeat(roots[rows], SLOTS).reshape(-1, SLOTS)[used],
        thresholds=noise.thresholds,
        seed=seed,
    )


def _groups(corpus: Corpus) -> np.ndarray:
    names = corpus.table["instruction_set"] + " " + corpus.table["dimension"]
    return names.to_numpy(dtype=str).reshape(-1, SLOTS)


def passes(
    dataset: Dataset, model: KnowLIP, corpus: Corpus, config: ScioConfig, iterations: int, seed: int
) -> list[dict[str, Any]]:
    """Screen and reconstruct; truth of the texts before and after each pass, against revision 0. Where truth teaches
    (`scio.errors`), it does so on half of the roots, and the other half is measured."""
    roots = roots_of(dataset, corpus)
    taught, measured = halves(roots, np.random.default_rng([seed, 3]))
    if config.errors == "truth":
        known = {corpus.tile_ids[row] for row in taught}
        corpus.truths = {tile_id: truth for tile_id, truth in corpus.truths.items() if tile_id in known}
    else:
        measured = list(range(len(roots)))
    kept, asked = np.zeros((len(roots), SLOTS), bool), {corpus.tile_ids[row] for row in measured}
    kept[measured] = True

    def truth_of(table: pd.DataFrame) -> np.ndarray:
        return np.asarray(truth_of_texts(dataset, table)[kept.ravel()])

    clusters, original = np.repeat(roots[measured], SLOTS), corpus.table
    groups, before = _groups(corpus)[measured].ravel(), truth_of(original)
    history, revision = [], 0
    for number in range(iterations):
        for action in ("screen", "reconstruct"):
            rows, figures = decide(action, model, corpus, config, np.random.default_rng([seed, 2, number]))
            words = corpus.table.set_index(["tile_id", "slot"])["text"]
            rows = rows.assign(was=[words[key] for key in zip(rows["tile_id"], rows["slot"])])
            if len(rows):
                revision = dataset.append_revision(rows, f"truth-{number}-{action}", parent=revision)
                corpus.read_texts(dataset, revision)
            after = truth_of(corpus.table)
            change = accuracy_change(before, after, groups, clusters)
            rows = rows[rows["tile_id"].isin(asked)]
            tried = {"proposals": proposals(dataset, rows)} if action == "reconstruct" and len(rows) else {}
            hidden = corpus.table["decision"].isin(DISTRUSTED).to_numpy()[kept.ravel()]
            changed = (corpus.table["text"] != original["text"]).to_numpy()[kept.ravel()]
            used = after.copy()
            used[hidden] = None
            history.append(
                {
                    "iteration": number + 1,
                    "pass": action,
                    "figures": figures,
                    **change,
                    **tried,
                    "trained_on": accuracy_change(before, used, groups, clusters)["overall"]["after"],
                    "rewritten": {
                        "n": int(changed.sum()),
                        "corrected": int(sum(a is False and b is True for a, b in zip(before, after))),
                        "broken": int(sum(a is True and b is False for a, b in zip(before, after))),
                    },
                }
            )
    return history


_PROPOSED = re.compile(r"^(not sure|not better|sure)\b[^:]*(?:: (.+))?$")


def proposals(dataset: Dataset, rows: pd.DataFrame) -> dict[str, Any]:
    """Truth of all rewrites that claim something else, taken or not, and of those that passed the gate, before the two
    scores were asked; beside that of the old words. The words stand in the reason where they were not taken."""
    found = [_PROPOSED.match(reason) for reason in rows["reason"]]
    other = np.array([match is not None for match in found])
    rows, found = rows[other], [match for match in found if match]
    old, new = rows.assign(text=rows["was"]), rows.copy()
    new["text"] = [ast.literal_eval(match[2]) if match[2] else text for match, text in zip(found, rows["text"])]
    was, now = truth_of_texts(dataset, old), truth_of_texts(dataset, new)
    known = np.array([a is not None and b is not None for a, b in zip(was, now)], bool)
    result: dict[str, Any] = {}
    for name, group in (("all", known), ("passed_the_gate", known & [match[1] != "not sure" for match in found])):
        result[name] = {
            "n": int(group.sum()),
            "true_before": float(np.mean(was[group] == True)) if group.any() else None,  # noqa: E712
            "true_after": float(np.mean(now[group] == True)) if group.any() else None,  # noqa: E712
        }
    return result


def lend_images(dataset: Dataset, corpus: Corpus, seed: int) -> int:
    """Give each text the image of a tile of another place and the same instruction set; how many have none."""
    index = dataset.tiles().set_index("tile_id", drop=False).loc[list(corpus.tile_ids)]
    other = others_of(index, [str(one) for one in corpus.sets], seed).position_T
    corpus.pixels = np.array(corpus.pixels)[np.where(other < 0, np.arange(len(other)), other)]
    return int((other < 0).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--tiles", type=int, default=0, help="this many training tiles, chosen by chance (0: all)")
    parser.add_argument("--iterations", type=int, default=1)
    parser.add_argument("--precision", type=float, default=ScioConfig.precision, help="scio.precision")
    parser.add_argument("--passes-only", action="store_true", help="no comparison of kinds of evidence")
    parser.add_argument(
        "--accept-precision", type=float, default=ScioConfig.accept_precision, help="scio.accept_precision"
    )
    parser.add_argument(
        "--method", choices=("calibrated", "paper"), default="calibrated", help="scio.method of the passes"
    )
    parser.add_argument("--evidence", default="nll", help="scio.evidence of the passes")
    parser.add_argument("--errors", default="injected", help="scio.errors of the passes")
    parser.add_argument("--calibration-tiles", type=int, default=512, help="scio.calibration_tiles")
    parser.add_argument("--split", default="train", help="whose texts are judged")
    parser.add_argument("--wrong", type=float, default=0.0, help="share of sub-texts that an unseen generator errs in")
    parser.add_argument("--other-images", action="store_true", help="texts stand beside images of other tiles")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/scio_truth.json"))
    options = parser.parse_args()
    if options.method == "paper" and not options.passes_only:
        raise SystemExit("The comparison of kinds of evidence has the paper's two tests already: add --passes-only.")
    config = ScioConfig(
        precision=options.precision,
        accept_precision=options.accept_precision,
        evidence=options.evidence,
        errors=options.errors,
        calibration_tiles=options.calibration_tiles,
    )
    if options.method == "paper":
        config = ScioConfig(method="paper")
    model = scoring_model(options.model, "cpu")
    with tempfile.TemporaryDirectory() as folder:
        if not Dataset(options.dataset).truth():
            raise SystemExit(f"{options.dataset} has no truth: simulate scenes and build a data set of them.")
        source = options.dataset
        if options.wrong:
            shares = (0.0, options.wrong)
            texts = ArmTexts(source, Path(folder) / "wrong", shares, "mistakes", options.seed, options.split)
            arm = Arm(level(options.wrong))
            texts.make(arm)
            source = texts.of(arm)
        dataset = Dataset(dataset_with(source, "annotator", Path(folder) / "dataset"))
        corpus = corpus_of(dataset, model, Path(folder) / "cache", options.tiles, options.seed, options.split)
        if options.other_images:
            alone = lend_images(dataset, corpus, options.seed)
            print(f"images of other tiles; {alone} of {len(corpus.tile_ids)} tiles have no other and keep theirs")
        found = {} if options.passes_only else measure(dataset, model, corpus, config, options.seed)
        for name in ("natural", "injected")[: len(found)]:
            print(f"\n{name} errors:", *lines(found[name]), sep="\n")
        found["passes"] = passes(dataset, model, corpus, config, options.iterations, options.seed)
    for row in found["passes"]:
        before, after = (cell(row["overall"][name]) for name in ("before", "after"))
        print(
            f"\niteration {row['iteration']}, {row['pass']}: true {before} -> {after}; "
            f"trained on {cell(row['trained_on'])}; {row['rewritten']}; "
            f"difference {cell(row['overall']['difference'])}; "
            f"dimensions that fell: {', '.join(row['falls']) or 'none'}"
        )
        for name, part in row.get("proposals", {}).items():
            print(f"  rewrites, {name}: {part['n']}, true {part['true_before']} before, {part['true_after']} after")
    if options.passes_only:
        change = found["passes"][-1]["overall"]
        values = change["after"]["value"], change["before"]["value"]
        unit = "share of true sub-texts after the passes; baseline: before"
    else:
        values = tuple(found["natural"]["evidence"][name]["auroc"]["value"] for name in ("nll", "deltas"))
        unit = "AUROC of finding the annotator's own errors by likelihood; baseline: the paper's two tests"
    decided = (
        f"--precision {options.precision} --evidence {options.evidence} --errors {options.errors} "
        f"--calibration-tiles {options.calibration_tiles} --accept-precision {options.accept_precision}"
    )
    rest = found | {
        "tiles": len(corpus.tile_ids),
        "seed": options.seed,
        "command": f"python -m benchmarks.scio_truth DATASET --model MODEL --tiles {options.tiles} "
        f"--iterations {options.iterations} {'--method paper' if options.method == 'paper' else decided} "
        f"--split {options.split} --wrong {options.wrong}{' --passes-only' * options.passes_only}"
        f"{' --other-images' * options.other_images}",
    }
    record(options.out, *values, unit, rest, "one process")


if __name__ == "__main__":
    main()
