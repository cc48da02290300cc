"""Screening: which sub-texts of a corpus are noise (Eqs. 8-11, and what the infilling decoder says)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from knowlip.language.corruption import Plant, plant
from knowlip.language.dimensions import SLOTS
from knowlip.models.knowlip import KnowLIP
from knowlip.scio.config import ScioConfig
from knowlip.scio.evidence import KINDS, PAPER, Evidence, Scorer, evidence
from knowlip.scio.thresholds import USED, NoiseModel, fit, noise_probability
from knowlip.training.corpus import Corpus
from knowlip.training.texts import TileText


def scorer_of(model: KnowLIP, corpus: Corpus, config: ScioConfig, rng: np.random.Generator) -> Scorer:
    """A scorer whose frozen negatives are drawn from the corpus."""
    negatives = rng.permutation(len(corpus.texts))[: config.negatives].tolist()
    return Scorer(model, corpus.pixels, corpus.texts, negatives, config.tiles_at_once, config.holes_at_once)


def applied(plant: Plant, corpus: Corpus) -> TileText:
    """The tile's text with a planted sub-text; the hash stays that of the tile's own text, so that scores have the same
    negatives."""
    text = corpus.with_text(plant.row, plant.slot, plant.text)
    return TileText(text.parts, text.hidden, corpus.texts[plant.row].hash)


@dataclass
class Calibration:
    """What planted noise taught."""

    noise: NoiseModel
    """Score and margin."""
    caught: list[Plant]
    """Plants that score above the margin."""
    alarms: list[tuple[int, int]]
    """(tile row, position) of unplanted sub-texts of the same tiles that score above the margin."""

    @property
    def own(self) -> float:
        """Unplanted sub-texts for each plant that are noise like it."""
        return float(self.noise.figures.get("own", 0.0)) * SLOTS


@dataclass
class Sample:
    """Tiles for the calibration, and the noise planted in them."""

    rows: list[int]
    plants: list[Plant]


def draw_sample(corpus: Corpus, config: ScioConfig, rng: np.random.Generator) -> Sample:
    """Plant noise in `config.calibration_tiles` tiles of the corpus."""
    rows = np.sort(rng.permutation(len(corpus.texts))[: config.calibration_tiles]).tolist()
    return Sample(rows, plant(corpus.table, rows, rng))


def clean_evidence(scorer: Scorer, corpus: Corpus, config: ScioConfig, rows: Sequence[int]) -> Evidence:
    """Evidence of all sub-texts of some tiles of the sample as they are."""
    texts = [corpus.texts[row] for row in rows]
    return evidence(scorer, texts, rows, kinds=USED[config.evidence], title="score a sample")


def planted_evidence(
    scorer: Scorer, corpus: Corpus, plants: Sequence[Plant], kinds: Collection[str] = KINDS
) -> Evidence:
    """Evidence of some planted sub-texts; NaN at all other positions."""
    texts, rows, slots = (
        zip(*((applied(one, corpus), one.row, {one.slot}) for one in plants)) if plants else ((), (), ())
    )
    return evidence(scorer, texts, rows, slots, kinds, "score planted noise")


def learn(corpus: Corpus, config: ScioConfig, sample: Sample, clean: Evidence, planted: Evidence) -> Calibration:
    """Fit the noise score on a sample's evidence and choose its margin.

    Raises:
        ValueError: no noise could be planted.
    """
    rows, plants = sample.rows, sample.plants
    sets, place = [corpus.sets[row] for row in rows], {row: at for at, row in enumerate(rows)}
    noise = fit(
        clean, sets, planted, [(place[one.row], one.slot) for one in plants], [one.kind for one in plants],
        config.evidence, config.precision, config.margin,
    )  # fmt: skip
    planted_score = noise_probability(noise, planted, [corpus.sets[one.row] for one in plants])
    caught = [one for one, score in zip(plants, planted_score) if score[one.slot] > noise.margin]
    alarms = np.argwhere(noise_probability(noise, clean, sets) > noise.margin).tolist()
    return Calibration(noise, caught, [(rows[at], slot) for at, slot in alarms])


@dataclass
class Screening:
    """Decisions about the sub-texts of N tiles."""

    rows: list[int]
    """Tile rows of the corpus."""
    evidence: Evidence
    """Figures (N, 8). NaN are with `evidence: paper` what the decoder says, and dITM where dITC raised no suspicion;
    with `evidence: surprise` both differences where there is no noise."""
    score: np.ndarray
    """Noise score (N, 8), see :func:`noise_probability`."""
    noisy: np.ndarray
    """Which score above the margin (N, 8)."""


def screen(scorer: Scorer, corpus: Corpus, noise: NoiseModel, rows: Sequence[int] | None = None) -> Screening:
    """Decide on every sub-text of some tiles (all where not given).

    The paper's two tests must both hold, so matching is asked only about sub-texts that contrast suspects (Eq. 9, then
    Eq. 11). Where `evidence: surprise` says noise, the paper's differences are asked for too, for the record.
    """
    rows = list(range(len(corpus.texts)) if rows is None else rows)
    texts, sets = [corpus.texts[row] for row in rows], [corpus.sets[row] for row in rows]
    paper = noise.evidence == "paper"
    first = ("itc",) if paper else USED[noise.evidence]
    found = evidence(scorer, texts, rows, kinds=first, title="screen: contrast" if paper else "screen")
    score = noise_probability(noise, found, sets)
    if paper:
        _ask(scorer, texts, rows, score > noise.margin, ("itm",), found, "screen: matching")
        score = noise_probability(noise, found, sets)
    noisy = score > noise.margin
    if noise.evidence == "surprise":
        _ask(scorer, texts, rows, noisy, PAPER, found, "differences of the noise")
    return Screening(rows, found, score, noisy)


def _ask(
    scorer: Scorer, texts: Sequence[TileText], rows: Sequence[int], about: np.ndarray, kinds: Sequence[str],
    found: Evidence, title: str,
) -> None:  # fmt: skip
    """Fill in more evidence of the sub-texts that are True in `about` (N, 8)."""
    some = np.flatnonzero(about.any(1)).tolist()
    slots = [np.flatnonzero(about[at]).tolist() for at in some]
    more = evidence(scorer, [texts[at] for at in some], [rows[at] for at in some], slots, kinds, title)
    for kind in kinds:
        getattr(found, kind)[some] = getattr(more, kind)
