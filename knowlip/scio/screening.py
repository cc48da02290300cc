"""Screening: which sub-texts of a corpus are noise, by the paper's two tests (Eqs. 10-11) or a calibrated score."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from knowlip.language.corruption import Corruption, corrupt
from knowlip.language.dimensions import SLOTS
from knowlip.models.knowlip import KnowLIP
from knowlip.scio.config import ScioConfig
from knowlip.scio.evidence import Scorer, evidence
from knowlip.scio.kinds import DELTAS, KINDS, Evidence, kinds_of
from knowlip.scio.thresholds import NoiseModel, fit, fit_on_truth, noise_score
from knowlip.scio.views import Views
from knowlip.training.corpus import Corpus
from knowlip.training.texts import TileText


def scorer_of(model: KnowLIP, corpus: Corpus, config: ScioConfig, rng: np.random.Generator) -> Scorer:
    """A scorer whose frozen negatives are drawn from the corpus."""
    negatives = rng.permutation(len(corpus.texts))[: config.negatives].tolist()
    sizes = config.tiles_at_once, config.holes_at_once
    return Scorer(model, corpus.pixels, corpus.texts, negatives, *sizes, corpus.width_m_N, Views(corpus))


# ---- calibration on injected noise ----------------------------------------------------------------------------------


class WrongSubText(Protocol):
    """A sub-text that is wrong on purpose, by whatever generator."""

    @property
    def row(self) -> int: ...
    @property
    def slot(self) -> int: ...
    @property
    def text(self) -> str: ...
    @property
    def marks(self) -> str: ...


@dataclass
class CalibrationSample:
    """Tiles for the calibration, and the noise injected into them."""

    rows: list[int]
    injected: list[Corruption]


@dataclass
class NoiseCalibration:
    """What injected noise taught."""

    noise: NoiseModel
    """Score and threshold."""
    true_positives: list[Corruption]
    """Injected noise that scores above the threshold."""
    false_positives: list[tuple[int, int]]
    """(tile row, position) of other sub-texts of the same tiles that score above the threshold; where truth taught
    (`errors: truth`), of all that do, errors of the annotator among them."""

    @property
    def natural(self) -> float:
        """Sub-texts that are noise of their own, for each injected one. Not read where truth taught."""
        return float(self.noise.figures.get("natural_noise_rate", 0.0)) * SLOTS


def draw_sample(corpus: Corpus, config: ScioConfig, rng: np.random.Generator) -> CalibrationSample:
    """Inject noise into `config.calibration_tiles` tiles of the corpus, or take as many whose truth is known.

    Raises:
        ValueError: `config.errors` is truth, and no tile has any.
    """
    if config.errors == "truth":
        able = [row for row, tile_id in enumerate(corpus.tile_ids) if tile_id in corpus.truths]
        if not able:
            raise ValueError("scio.errors is truth, but no tile that is judged has any: leave it at injected.")
        return CalibrationSample(sorted(rng.permutation(able)[: config.calibration_tiles].tolist()), [])
    rows = np.sort(rng.permutation(len(corpus.texts))[: config.calibration_tiles]).tolist()
    only_seen = corpus.reading.grounded_on == "visual"
    return CalibrationSample(rows, corrupt(corpus.table, rows, rng, only_seen=only_seen))


def corrupted(one: WrongSubText, corpus: Corpus) -> TileText:
    """The tile's text with injected noise; the hash stays that of the tile's own text, so that scores have the same
    negatives."""
    text = corpus.with_text(one.row, one.slot, one.text, one.marks)
    return replace(text, hash=corpus.texts[one.row].hash)


def clean_evidence(scorer: Scorer, corpus: Corpus, config: ScioConfig, rows: Sequence[int]) -> Evidence:
    """Evidence of all sub-texts of some tiles of the sample as they are."""
    texts = [corpus.texts[row] for row in rows]
    return evidence(scorer, texts, rows, kinds=kinds_of(config.evidence), title="score a sample")


def injected_evidence(
    scorer: Scorer,
    corpus: Corpus,
    injected: Sequence[WrongSubText],
    kinds: Collection[str] = KINDS,
    images: Sequence[int] | None = None,
) -> Evidence:
    """Evidence of some injected noise, on the images of their own tiles or of others; NaN at all other positions."""
    texts = [corrupted(one, corpus) for one in injected]
    rows, slots = [one.row for one in injected] if images is None else images, [{one.slot} for one in injected]
    views = scorer.views
    said = None if views is None else [views.said(one.row, one.slot, one.text, one.marks) for one in injected]
    return evidence(scorer, texts, rows, slots, kinds, "score injected noise", said)


def learn(
    corpus: Corpus, config: ScioConfig, sample: CalibrationSample, clean: Evidence, injected: Evidence
) -> NoiseCalibration:
    """Fit the noise score on a sample's evidence and choose its threshold.

    Raises:
        ValueError: no noise could be injected, or truth knows too few errors.
    """
    if config.errors == "truth":
        return _learn_from_truth(corpus, config, sample.rows, clean)
    sets, place = [corpus.sets[row] for row in sample.rows], {row: at for at, row in enumerate(sample.rows)}
    places, kinds = [(place[one.row], one.slot) for one in sample.injected], [one.kind for one in sample.injected]
    blocks = [corpus.blocks[row] for row in sample.rows]
    noise = fit(clean, sets, injected, places, kinds, config.evidence, config.precision, config.threshold, blocks)
    score = noise_score(noise, injected, [corpus.sets[one.row] for one in sample.injected])
    limits = noise.limits(sets)
    found = [one for one, scores in zip(sample.injected, score) if scores[one.slot] > limits[place[one.row], one.slot]]
    wrongly = np.argwhere(noise_score(noise, clean, sets) > limits).tolist()
    return NoiseCalibration(noise, found, [(sample.rows[at], slot) for at, slot in wrongly])


def _learn_from_truth(corpus: Corpus, config: ScioConfig, rows: Sequence[int], clean: Evidence) -> NoiseCalibration:
    """The same on the annotator's own errors; what screening flags of them are rewriting's examples, right or not."""
    sets, true = [corpus.sets[row] for row in rows], np.empty((len(rows), SLOTS), dtype=object)
    for at, row in enumerate(rows):
        true[at] = [corpus.verdict(row, slot, corpus.words(row, slot)) for slot in range(SLOTS)]
    blocks = [corpus.blocks[row] for row in rows]
    noise = fit_on_truth(clean, sets, true, config.evidence, config.precision, config.threshold, blocks)
    flagged = np.argwhere(noise_score(noise, clean, sets) > noise.limits(sets)).tolist()
    return NoiseCalibration(noise, [], [(rows[at], slot) for at, slot in flagged])


# ---- decisions ------------------------------------------------------------------------------------------------------


def paper_tests() -> NoiseModel:
    """`method: paper` as a noise score: min(-dITC, dITM), noise above 0. A suspect has dITC < 0 (Eq. 10), and dITM > 0
    confirms it (Eq. 11)."""
    return NoiseModel("deltas", {"": [[0.0, 0.0]] * SLOTS}, {"": [[1.0, 1.0]] * SLOTS}, threshold=0.0)


@dataclass
class Screening:
    """Decisions about the sub-texts of N tiles."""

    rows: list[int]
    """Tile rows of the corpus."""
    evidence: Evidence
    """Figures (N, 8). NaN are sub-texts of which the image says nothing (`model.text.grounded_on`); with `evidence:
    deltas` what the decoder says, and dITM where dITC raised no suspicion; with other evidence that does not hold them
    both differences where there is no noise."""
    score: np.ndarray
    """Noise score (N, 8), see :func:`noise_score`."""
    noisy: np.ndarray
    """Which score above the threshold (N, 8)."""


def screen(scorer: Scorer, corpus: Corpus, noise: NoiseModel, rows: Sequence[int] | None = None) -> Screening:
    """Decide on every sub-text of some tiles (all where not given).

    The paper's two tests must both hold, so matching is asked only about sub-texts that contrast suspects (Eq. 10, then
    Eq. 11). Where other evidence says noise, the paper's differences are asked for too, for the record.
    """
    rows = list(range(len(corpus.texts)) if rows is None else rows)
    texts, sets = [corpus.texts[row] for row in rows], [corpus.sets[row] for row in rows]
    deltas = noise.evidence == "deltas"
    first = ("itc",) if deltas else kinds_of(noise.evidence)
    found = evidence(scorer, texts, rows, kinds=first, title="screen: contrast" if deltas else "screen")
    score, limits = noise_score(noise, found, sets), noise.limits(sets)
    if deltas:
        _ask(scorer, texts, rows, score > limits, ("itm",), found, "screen: matching")
        score = noise_score(noise, found, sets)
    noisy = score > limits
    if missing := [kind for kind in DELTAS if kind not in first and not deltas]:
        _ask(scorer, texts, rows, noisy, missing, found, "differences of the noise")
    return Screening(rows, found, score, noisy)


def _ask(
    scorer: Scorer,
    texts: Sequence[TileText],
    rows: Sequence[int],
    about: np.ndarray,
    kinds: Sequence[str],
    found: Evidence,
    title: str,
) -> None:
    """Fill in more evidence of the sub-texts that are True in `about` (N, 8)."""
    some = np.flatnonzero(about.any(1)).tolist()
    slots = [np.flatnonzero(about[at]).tolist() for at in some]
    more = evidence(scorer, [texts[at] for at in some], [rows[at] for at in some], slots, kinds, title)
    for kind in kinds:
        getattr(found, kind)[some] = getattr(more, kind)
