"""SCIO, the loop in which a model repairs the texts it learns from, as a state machine over text revisions.

Source: arXiv 2509.23927, section 3.4, Eqs. 8-15 and Algorithm 1.

    stage 1              train on all texts
    stage 2, 4, ...      screen: a revision says of every sub-text `kept` or `screened`; then train on
    stage 3, 5, ...      reconstruct: a revision says of every screened one `rewritten`, `rejected` or `kept`; train on

The first stage begins on revision 0, and every later one on the revision that the stage's own pass has just appended.
A pass never changes a revision; scores come from the momentum model in evaluation mode, against frozen negatives.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from knowlip.models.knowlip import KnowLIP
from knowlip.scio.reconstruction import calibrate_rewrites, reconstruct
from knowlip.scio.revise import rewriting_rows, screening_rows
from knowlip.scio.screening import calibrate, scorer_of, screen
from knowlip.scio.thresholds import EvidenceName
from knowlip.training.corpus import Corpus

Action = Literal["train", "screen", "reconstruct"]
Figures = dict[str, Any]


@dataclass
class ScioConfig:
    """Settings of screening and reconstruction."""

    iterations: int = 1
    """How often texts are screened and then reconstructed; each time trains the lengths of stages 2 and 3."""
    evidence: EvidenceName = "surprise"
    """What decides about a sub-text: "paper" (dITC and dITM), "surprise" (of the decoder), or "all". Errors that the
    annotator makes by itself are found best by surprise alone (docs/scio.md)."""
    precision: float = 0.35
    """The margin of screening is the lowest that reaches this share of noise among what is flagged, on planted noise
    with one wrong sub-text in eight."""
    margin: float | None = None
    """The margin itself, instead of a calibrated one: a probability, or for "paper" a number of spreads."""
    calibration_tiles: int = 512
    """Tiles that get one planted wrong sub-text for the calibration."""
    noise: Literal["targets", "all"] = "targets"
    """From what noise is hidden: from infilling targets only, or from the texts of all objectives."""
    policy: Literal["fragment", "whole"] = "fragment"
    """Rewrites are tested one by one, or once for a text with all its rewrites (Algorithm 1)."""
    baseline: Literal["current", "without"] = "current"
    """What a rewrite must beat: the current text, or the text without the noisy sub-texts."""
    accept_precision: float = 0.8
    """Share of accepted rewrites that must restore the claim, on planted noise; where it cannot be reached, nothing is
    rewritten."""
    rewrite_margin: float = 0.1
    """By how much both scores must be better, in units of the median change by a rewrite."""
    max_new_tokens: int = 48
    """Longest rewritten sub-text."""
    holes_at_once: Literal[1, 2, 4, 8] = 4
    """Sub-texts that are not shown together when the decoder is asked for them: a text is read 8 / this many times. For
    models trained with `holes.others` 0: 1."""
    tiles_at_once: int = 32
    """Images scored in one pass."""
    negatives: int = 512
    """Training pairs against which the contrastive loss of a single pair is taken."""

    def check(self) -> None:
        """Raise `ValueError` for values that make no sense."""
        if self.iterations < 0:
            raise ValueError("scio.iterations must be at least 0.")
        for name in ("precision", "accept_precision"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"scio.{name} must be above 0 and at most 1.")


class Stage(NamedTuple):
    """A part of the training, from one pass over the texts to the next."""

    number: int
    """From 1."""
    action: Action
    """What happens before its first step."""
    end: int
    """The step at which it ends."""


def stages(lengths: tuple[int, int, int] | list[int], iterations: int) -> list[Stage]:
    """The stages of a training.

    Args:
        lengths: steps before the first screening, after each screening, and after each reconstruction.
        iterations: see :class:`ScioConfig`.
    """
    actions: list[Action] = ["train", *(["screen", "reconstruct"] * iterations)]  # type: ignore[list-item]
    steps = [lengths[0], *([lengths[1], lengths[2]] * iterations)]
    ends = np.cumsum(steps).tolist()
    return [Stage(number, action, end) for number, (action, end) in enumerate(zip(actions, ends), 1)]


def decide(
    action: Action, model: KnowLIP, corpus: Corpus, config: ScioConfig, rng: np.random.Generator
) -> tuple[pd.DataFrame, Figures]:
    """One pass over the texts of a corpus.

    Args:
        action: "screen" or "reconstruct".
        model: the momentum model, in evaluation mode.
        corpus: tiles with the texts of the revision to decide on.
        config: settings.
        rng: source of chance.

    Returns:
        Rows for a new revision of the texts (none where nothing was to decide), and the figures of the pass.
    """
    scorer = scorer_of(model, corpus, config, rng)
    if action == "screen":
        calibration = calibrate(scorer, corpus, config, rng)
        return screening_rows(corpus, screen(scorer, corpus, calibration.noise), calibration.noise)
    noisy = [(tile, slot) for tile, text in enumerate(corpus.texts) for slot in sorted(text.hidden)]
    if not noisy:
        return corpus.table.iloc[:0], {"candidates": 0}
    acceptance = calibrate_rewrites(scorer, corpus, calibrate(scorer, corpus, config, rng), config)
    return rewriting_rows(corpus, reconstruct(scorer, corpus, noisy, acceptance, config), acceptance)
