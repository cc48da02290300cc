"""SCIO on real images: texts from the labels of SSDD, some of them made wrong on purpose.

    python -m benchmarks.scio_ssdd SSDD_FOLDER --work DIR [--share 0.8] [--set pretrain.stage_steps=[300,0,0]]

SSDD is imported and described from its boxes and sea-land masks in template sentences (the `labels` annotator). A share
of the training tiles gets one wrong sub-text each (`knowlip/language/corruption.py`). A model is pre-trained on these
noisy texts and never told which are wrong; then it screens and rewrites them. Measured: how well evidence finds the
injected errors, which of them are flagged, how many rewrites restore the claim, and how many true texts were broken.
DIR keeps data and training, and a stopped command goes on there.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import record
from benchmarks.scio_scores import calibrated, corpus_of, lines, roots_of
from knowlip.annotators.annotate import AnnotateConfig, annotate
from knowlip.base.documents import read_json
from knowlip.base.parsing import stage_config
from knowlip.base.recipes import load_recipe, with_changes
from knowlip.base.vocabulary import DISTRUSTED, Decision
from knowlip.benchmark.copies import dataset_with
from knowlip.dataset import Dataset
from knowlip.dataset.layout import INFO
from knowlip.language.dimensions import SLOTS
from knowlip.models import KnowLIP, load_model
from knowlip.scio.evidence import evidence
from knowlip.scio.passes import ScioConfig, decide
from knowlip.scio.reconstruction import same_claims
from knowlip.scio.screening import scorer_of
from knowlip.tasks.metrics.error_detection import detection
from knowlip.tasks.pretrain import PretrainConfig, pretrain
from knowlip.tiles.imports import ImportConfig, import_dataset
from knowlip.training.corpus import Corpus


def described(folder: Path, work: Path) -> Dataset:
    """SSDD as a data set with template texts."""
    out = work / "described"
    if not (out / INFO).is_file():
        import_dataset(
            ImportConfig(
                folder,
                "voc",
                out,
                name="ssdd",
                masks=Path("sea_land_masks"),
                mask_classes=["0=land", "255=sea"],
                test_endings="1,9",
            )
        )
    if not Dataset(out).revisions():
        annotate(AnnotateConfig(out, annotator="labels"))
    return Dataset(out)


def with_errors(clean: Dataset, work: Path, share: float, seed: int) -> tuple[Dataset, list[dict[str, Any]]]:
    """The data set with wrong sub-texts in a share of its training tiles, and what was injected."""
    noisy = dataset_with(clean.path, "annotator", work / "noisy", share, seed)
    return Dataset(noisy), read_json(noisy / "wrong.json")


def trained(noisy: Dataset, work: Path, changes: list[str], seed: int) -> KnowLIP:
    """A model of the recipe `tiny` that learned from the noisy texts, without SCIO."""
    recipe = with_changes(
        load_recipe("tiny"), ["pretrain.stage_steps=[300,0,0]", "pretrain.scio.iterations=0", *changes]
    )
    settings = {**recipe["pretrain"], "dataset": str(noisy.path), "out": str(work / "pretrain"), "seed": seed}
    return load_model(Path(pretrain(stage_config(PretrainConfig, settings))["model"]))


def measure(
    noisy: Dataset, model: KnowLIP, corpus: Corpus, errors: list[dict[str, Any]], config: ScioConfig, seed: int
) -> dict[str, Any]:
    """How well the injected errors are found, and what becomes of them."""
    rng = np.random.default_rng([seed, 1])
    place = {tile: row for row, tile in enumerate(corpus.tile_ids)}
    wrong = np.zeros((len(corpus.texts), SLOTS), bool)
    kinds = np.full(wrong.shape, "", dtype="<U16")
    for one in errors:
        wrong[place[one["tile_id"]], one["slot"]] = True
        kinds[place[one["tile_id"]], one["slot"]] = one["kind"]
    scorer = scorer_of(model, corpus, config, rng)
    sample = rng.permutation(len(corpus.texts))[: config.calibration_tiles].tolist()
    noise = calibrated(scorer, corpus, sample, config, rng)
    found = evidence(scorer, corpus.texts, title="score texts")
    scores = {name: score.ravel() for name, score in noise.scores(found, corpus.sets, found, corpus.sets).items()}
    names = (corpus.table["instruction_set"] + " " + corpus.table["dimension"]).to_numpy(dtype=str)
    clusters = np.repeat(roots_of(noisy, corpus), SLOTS)
    result = {
        "injected": detection(
            scores, wrong.ravel(), kinds.ravel(), names, clusters, thresholds=noise.thresholds, seed=seed
        ),
        "fitted": {name: one.figures | {"threshold": one.threshold} for name, one in noise.models.items()},
    }
    return result | _corrected(noisy, model, corpus, errors, config, wrong, seed)


def _corrected(
    noisy: Dataset,
    model: KnowLIP,
    corpus: Corpus,
    errors: list[dict[str, Any]],
    config: ScioConfig,
    wrong: np.ndarray,
    seed: int,
) -> dict[str, Any]:
    """Screen and reconstruct once; claims of the texts against those that stood there before the errors."""
    was = corpus.table["text"].to_list()
    place = {tile: row for row, tile in enumerate(corpus.tile_ids)}
    for one in errors:
        was[corpus.row(place[one["tile_id"]], one["slot"])] = one["was"]
    revision, figures = 0, {}
    for action in ("screen", "reconstruct"):
        rows, figures[action] = decide(action, model, corpus, config, np.random.default_rng([seed, 2]))
        if len(rows):
            revision = noisy.append_revision(rows, f"ssdd-{action}-{seed}", parent=revision)
            corpus.read_texts(noisy, revision)
    now = corpus.table["text"].to_list()
    taken = (corpus.table["decision"] == Decision.REWRITTEN).to_numpy()
    right = np.array(
        [same_claims(corpus, at // SLOTS, at % SLOTS, now[at], was[at]) for at in np.flatnonzero(taken).tolist()],
        np.bool_,
    )
    injected = wrong.ravel()[taken]
    hidden = corpus.table["decision"].isin(DISTRUSTED).to_numpy()
    still = wrong.ravel().copy()
    still[np.flatnonzero(taken)] = ~right
    return {
        "figures": figures,
        "rewritten": {
            "n": int(taken.sum()),
            "restored": int((right & injected).sum()),
            "still_wrong": int((~right & injected).sum()),
            "broken": int((~right & ~injected).sum()),
        },
        "wrong_before": float(wrong.mean()),
        "wrong_after": float(still.mean()),
        "wrong_trained_on": float(still[~hidden].mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="SSDD: images/, annotations/, sea_land_masks/")
    parser.add_argument("--work", type=Path, required=True, help="folder for the data set and the training")
    parser.add_argument("--share", type=float, default=0.8, help="of training tiles that get one wrong sub-text")
    parser.add_argument("--precision", type=float, default=0.5, help="scio.precision")
    parser.add_argument("--set", nargs="+", default=[], metavar="STAGE.KEY=VALUE", help="changes of the recipe tiny")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/scio_ssdd.json"))
    options = parser.parse_args()
    clean = described(options.folder, options.work)
    noisy, errors = with_errors(clean, options.work, options.share, options.seed)
    model = trained(noisy, options.work, options.set, options.seed)
    corpus = corpus_of(noisy, model, options.work / "cache", 0, options.seed)
    found = measure(noisy, model, corpus, errors, ScioConfig(precision=options.precision), options.seed)
    print("injected errors:", *lines(found["injected"]), sep="\n")
    print(
        f"wrong sub-texts: {found['wrong_before']:.1%} before, {found['wrong_after']:.1%} after, "
        f"{found['wrong_trained_on']:.1%} of those that infilling learns from; rewritten: {found['rewritten']}"
    )
    best, paper = (found["injected"]["evidence"][name]["auroc"]["value"] for name in ("nll", "deltas"))
    rest = found | {
        "tiles": len(corpus.tile_ids),
        "share": options.share,
        "seed": options.seed,
        "set": options.set,
        "command": f"python -m benchmarks.scio_ssdd SSDD --work DIR --share {options.share} "
        f"--set {' '.join(options.set)}",
    }
    unit = "AUROC of finding injected errors in texts of real images, by likelihood; baseline: the paper's two tests"
    record(options.out, best, paper, unit, rest, "one process")


if __name__ == "__main__":
    main()
