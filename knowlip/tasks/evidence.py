"""Which evidence finds the errors in texts of tiles that the model never saw, and what of it is left without looking.

Natural errors are those that truth finds in the annotator's texts. Beside each kind of evidence stand its twins: the
same with the image of another tile of the same instruction set; the error rate of the dimension alone; the claims of
the tile's relatives alone. Evidence that does not beat these has not looked. What combines the evidence was fitted on
noise injected into training texts; mistakes of a generator that it never saw are measured besides.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from knowlip.dataset.families import relatives
from knowlip.dataset.others import others_of
from knowlip.language.dimensions import SLOTS
from knowlip.language.mistakes import mistakes
from knowlip.language.truth import judge
from knowlip.models.knowlip import KnowLIP
from knowlip.scio.config import ScioConfig
from knowlip.scio.evidence import Scorer, evidence
from knowlip.scio.kinds import FEATURES, Evidence
from knowlip.scio.screening import clean_evidence, draw_sample, injected_evidence, scorer_of
from knowlip.scio.thresholds import NoiseModel, fit, noise_score, standardisation
from knowlip.tasks.bench import Bench
from knowlip.tasks.metrics.error_detection import NATURAL, auroc_of_dimension, detection
from knowlip.tasks.verdicts import verdicts
from knowlip.training.corpus import Corpus
from knowlip.training.tiles import open_pixels

TILES: Final = 200
"""Tiles that are measured, and as many that the combination is fitted on."""
TOGETHER: Final = "all"
"""Name of all evidence together."""
BLIND: Final = ", other image"
"""Behind the name of evidence: its twin."""
_FEWEST: Final = 20
"""Training tiles without which nothing is fitted."""


def unseen_evidence(bench: Bench, model: KnowLIP, tiles: int = TILES) -> dict[str, Any]:
    """Score all evidence of a model on the tiles to measure.

    Args:
        bench: its tiles are measured, its training tiles calibrate.
        model: judges, in evaluation mode.
        tiles: most tiles of each.

    Returns:
        `natural`: a :func:`detection` of the features, each alone and together ("all"), and of their twins ("all, other
        image"), over the sub-texts that truth can verify and the image can judge; `mistakes`: the same for mistakes
        planted into true sub-texts; `auroc`, `auroc_other_image`, `auroc_dimension_rate`, `auroc_neighbours`: natural
        errors by all evidence, and its twins; `tiles`, `not_judged` (sub-texts that truth can verify and the image
        cannot judge). With `reason` alone where it cannot be had.
    """
    # A fit on other tiles than those that are measured; relatives are sought among all tiles of a split.
    config, rng = ScioConfig(evidence=TOGETHER, calibration_tiles=tiles), np.random.default_rng([bench.seed, 0])
    if not bench.truths:
        return {"reason": "The data set has no truth."}
    train = sorted(set(bench.data.tiles("train")["tile_id"]) & set(bench.data.texts(0)["tile_id"]))
    if len(train) < _FEWEST:
        return {"reason": f"{len(train)} training tiles with texts are too few to fit anything on."}
    with tempfile.TemporaryDirectory() as folder:
        taught = _corpus(bench, model, train, Path(folder))
        scorer = scorer_of(model, taught, config, rng)
        sample = draw_sample(taught, config, rng)
        if not sample.injected:
            return {"reason": "No noise could be injected into the training texts."}
        clean = clean_evidence(scorer, taught, config, sample.rows)
        injected = injected_evidence(scorer, taught, sample.injected)
        place, sets = {row: at for at, row in enumerate(sample.rows)}, [taught.sets[row] for row in sample.rows]
        places = [(place[one.row], one.slot) for one in sample.injected]
        kinds = [one.kind for one in sample.injected]
        fitted = fit(
            clean,
            sets,
            injected,
            places,
            kinds,
            TOGETHER,
            config.precision,
            blocks=[taught.blocks[row] for row in sample.rows],
        )
        single = standardisation(clean, sets, TOGETHER)
        corpus = _corpus(bench, model, sorted(bench.tile_ids), Path(folder))
        rows = np.sort(rng.permutation(len(corpus.texts))[:tiles]).tolist()
        return _measured(bench, scorer_of(model, corpus, config, rng), corpus, rows, fitted, single)


def _corpus(bench: Bench, model: KnowLIP, tile_ids: list[str], cache: Path) -> Corpus:
    """Tiles with the annotator's texts; pixels are read when they are asked for."""
    pixels = open_pixels(bench.data, tile_ids, model.config.vision.image_size, cache, "stream")
    return Corpus(bench.data, model.tokenizer, tile_ids, pixels, model.config.text)


def _measured(
    bench: Bench, scorer: Scorer, corpus: Corpus, rows: list[int], fitted: NoiseModel, single: NoiseModel
) -> dict[str, Any]:
    """Natural errors of some tiles, and mistakes planted into their true sub-texts."""
    rng, sets = np.random.default_rng([bench.seed, 1]), [corpus.sets[row] for row in rows]
    texts, views = [corpus.texts[row] for row in rows], scorer.views
    assert views is not None
    said = [views.said(row) for row in rows]
    position = others_of(corpus.tiles, corpus.sets, bench.seed).position_T  # itself where no tile lies elsewhere
    others = [int(position[row]) if position[row] >= 0 else row for row in rows]
    real = evidence(scorer, texts, rows, title="evidence")
    twin = evidence(scorer, texts, others, title="evidence of other images", said=said)
    twin.neighbours = real.neighbours  # of texts, not of images
    true = verdicts(corpus.table, bench.truths, bench.windows, judge).reshape(-1, SLOTS)[rows]
    known = np.array([[value is not None for value in of_tile] for of_tile in true])
    wrong = np.array([[value is False for value in of_tile] for of_tile in true])
    judged = np.isfinite(real.nll)
    names = corpus.table["instruction_set"] + " " + corpus.table["dimension"]
    groups = names.to_numpy(dtype=str).reshape(-1, SLOTS)[rows]
    cluster = np.array([bench.clusters[corpus.tile_ids[row]] for row in rows])
    clusters = np.repeat(cluster, SLOTS).reshape(-1, SLOTS)
    use = known & judged
    found: dict[str, Any] = {"tiles": len(rows), "not_judged": int((known & ~judged).sum())}
    if not wrong[use].any() or wrong[use].all():
        return found | {"reason": "None of the sub-texts is wrong, or all are."}
    scores = _scores(real, twin, sets, fitted, single)
    natural = _detected(scores, wrong, use, groups, clusters, NATURAL, bench.seed)
    figures = natural["evidence"]
    found |= {
        "natural": natural,
        "auroc": figures[TOGETHER]["auroc"],
        "auroc_other_image": figures[TOGETHER + BLIND]["auroc"],
        "auroc_neighbours": figures.get("neighbours", {}).get("auroc"),
        "auroc_dimension_rate": auroc_of_dimension(wrong[use], groups[use], clusters[use]),
    }
    # Planted into sub-texts that truth bears out, so that natural errors are no false positives.
    family = relatives(corpus.tiles)
    near = {row: [other.row for other in family[row]] for row in rows}
    at = {row: number for number, row in enumerate(rows)}
    planted = [one for one in mistakes(corpus.table, rows, rng, nearby=near) if true[at[one.row], one.slot] is True]
    if len(planted) < _FEWEST:
        return found
    where, slots = [at[one.row] for one in planted], [one.slot for one in planted]
    mixed = real.injected(where, slots, injected_evidence(scorer, corpus, planted))
    blind = twin.injected(where, slots, injected_evidence(scorer, corpus, planted, images=[others[n] for n in where]))
    blind.neighbours = mixed.neighbours
    bad = np.zeros((len(planted), SLOTS), bool)
    bad[np.arange(len(planted)), slots] = True
    scores = _scores(mixed, blind, [sets[n] for n in where], fitted, single)
    right = use[where] & ~wrong[where]
    found["mistakes"] = _detected(scores, bad, right, groups[where], clusters[where], "mistake", bench.seed)
    return found


def _scores(
    real: Evidence, twin: Evidence, sets: Sequence[str], fitted: NoiseModel, single: NoiseModel
) -> dict[str, np.ndarray]:
    """Name -> (N, 8): each feature that is known of anything, all together, and their twins."""
    scores: dict[str, np.ndarray] = {}
    for found, ending in ((real, ""), (twin, BLIND)):
        features = single.features(found, sets)
        for number, name in enumerate(FEATURES):
            if np.isfinite(features[..., number]).any() and not (ending and name == "neighbours"):
                one = features[..., number]
                scores[name + ending] = np.where(
                    np.isnan(one), single.usual[number], one
                )  # speaks neither way, as in scores of many
        scores[TOGETHER + ending] = noise_score(fitted, found, sets)
    return scores


def _detected(
    scores: Mapping[str, np.ndarray],
    wrong: np.ndarray,
    use: np.ndarray,
    groups: np.ndarray,
    clusters: np.ndarray,
    kind: str,
    seed: int,
) -> dict[str, Any]:
    """A detection over the sub-texts to use; differences are taken from all evidence on other images."""
    chosen = {name: score[use] for name, score in scores.items()}
    kinds = np.full(int(use.sum()), kind)
    return detection(chosen, wrong[use], kinds, groups[use], clusters[use], TOGETHER + BLIND, seed=seed)
