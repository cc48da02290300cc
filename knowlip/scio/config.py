"""Settings of SCIO, the same in a training (`scio.*` of `knowlip pretrain`) and over a data set (`knowlip scio`)."""

from dataclasses import dataclass
from typing import Literal

from knowlip.scio.thresholds import EvidenceName


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

    def __post_init__(self) -> None:
        if self.iterations < 0:
            raise ValueError("scio.iterations must be at least 0.")
        for name in ("precision", "accept_precision"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"scio.{name} must be above 0 and at most 1.")
