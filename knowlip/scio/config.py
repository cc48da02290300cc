"""Settings of SCIO, the same in a training (`scio.*` of `knowlip pretrain`) and over a data set (`knowlip scio`)."""

import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import ClassVar, Final, Literal

from knowlip.scio.kinds import features_of

_BOTH: Final = ("method", "iterations", "policy", "max_new_tokens", "tiles_at_once", "negatives")
"""Settings that `method: paper` reads."""


@dataclass(frozen=True)
class ScioConfig:
    """Settings of screening and reconstruction.

    Raises:
        ValueError: a value that makes no sense, or a setting of `method: calibrated` beside `method: paper`.
    """

    RENAMED: ClassVar = {"margin": "threshold", "rewrite_margin": "rewrite_threshold"}

    method: Literal["calibrated", "paper"] = "calibrated"
    """Who decides what is noise and what a better text is. "paper": the tests of Eqs. 10-11 and 14-15 against 0, and
    nothing else. "calibrated": scores with thresholds that are fitted on injected noise, and rules of wording."""
    iterations: int = 1
    """How often texts are screened and then reconstructed; each time trains the lengths of stages 2 and 3."""
    policy: Literal["fragment", "whole"] = "fragment"
    """Rewrites are tested one by one, or once for a text with all its rewrites (Algorithm 1)."""
    evidence: str = "nll"
    """What decides about a sub-text: "deltas" (dITC and dITM, both tests must pass), "nll" (negative log-likelihood, by
    the decoder), "all", or some features joined by "+", as "nll+gain+neighbours" (docs/scio.md)."""
    errors: Literal["injected", "truth"] = "injected"
    """From which errors thresholds are learned: those injected into texts, or the annotator's own in tiles whose truth
    is known, as simulated scenes beside your own are. Figures about tiles that taught are too good: measure others."""
    precision: float = 0.35
    """A threshold of screening is the lowest that reaches this share of noise among what is flagged, on injected noise
    with one wrong sub-text in eight (or on the annotator's own); a dimension has its own where it has enough errors."""
    threshold: float | None = None
    """The threshold itself, instead of a calibrated one: a probability, or for "deltas" a number of scales."""
    calibration_tiles: int = 512
    """Tiles that get one wrong sub-text injected for the calibration, or whose truth is asked."""
    noise: Literal["targets", "all"] = "targets"
    """From what noise is hidden: from infilling targets only (the paper), or from the texts of all objectives."""
    baseline: Literal["current", "without"] = "current"
    """What a rewrite must beat: the current text (the paper), or the text without the noisy sub-texts."""
    accept_precision: float = 0.5
    """Share of accepted rewrites that must restore the claim, on injected noise, or be true; where it cannot be
    reached, nothing is rewritten."""
    rewrite_threshold: float = 0.1
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
        features_of(self.evidence)
        if self.iterations < 0:
            raise ValueError("scio.iterations must be at least 0.")
        for name in ("precision", "accept_precision"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"scio.{name} must be above 0 and at most 1.")
        for name in ("calibration_tiles", "max_new_tokens", "tiles_at_once", "negatives"):
            if getattr(self, name) < 1:  # below 0 it would be all but so many
                raise ValueError(f"scio.{name} must be at least 1, not {getattr(self, name)}.")
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise ValueError("scio.threshold must be a finite number, or null for a calibrated one.")
        if not 0 <= self.rewrite_threshold < math.inf:
            raise ValueError(f"scio.rewrite_threshold must be at least 0, not {self.rewrite_threshold}.")
        changed = [one.name for one in fields(self) if getattr(self, one.name) != one.default]
        if self.method == "paper" and (unread := [name for name in changed if name not in _BOTH]):
            raise ValueError(f"scio.{unread[0]} is a setting of scio.method calibrated; scio.method paper has none.")


@dataclass(frozen=True)
class PassConfig:
    """Whose texts to judge, by which model, and who does it."""

    POSITIONAL: ClassVar = ("dataset",)

    dataset: Path
    """Folder of an annotated data set."""
    checkpoint: Path
    """A model folder (used as it is), or a run of `knowlip pretrain` (its momentum model)."""
    models: list[Path] = field(default_factory=list)
    """More of these, trained on other places: each tile is judged by one that has not seen its place."""
    revision: int | None = None
    """Texts to decide on; the newest where not given."""
    split: Literal["all", "train", "val", "test"] = "all"
    """Whose texts are judged; negatives and injected noise are drawn from the same tiles."""
    scio: ScioConfig = field(default_factory=ScioConfig)
    """As in a training. What only matters there (`iterations`, `noise`) is not read."""
    seed: int = 0
    """Of frozen negatives and injected noise."""
    chunk: int = 256
    """Tiles a chunk: what a kill may cost."""
    device: str = "auto"
    """cpu, cuda, or auto; with several processes each takes a GPU of its own."""
    processes: int = 1
    """Processes on this machine; torchrun's --nproc-per-node replaces it."""
    ray: str = ""
    """Ray cluster that does the chunks: "auto", or host:port. The data set and the checkpoint must be visible to all of
    its machines."""
    workers: int = 2
    """Threads that read tiles."""
