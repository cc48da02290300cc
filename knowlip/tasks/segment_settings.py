"""Settings of `knowlip segment`."""

from dataclasses import dataclass, field
from typing import Final, Literal

from knowlip.tasks.settings import MeasuredConfig
from knowlip.training.settings import AugmentConfig

Mode = Literal["full", "frozen"]
_MOST: Final = 64
"""Layers or heads of a decoder."""


@dataclass
class HeadConfig:
    """The decoder."""

    layers: int = 2
    """Transformer blocks."""
    heads: int = 0
    """Of their attention; 0: one for each 64 of the encoder's width."""
    dropout: float = 0.1
    """In the blocks."""

    def __post_init__(self) -> None:
        if not 1 <= self.layers <= _MOST or not 0 <= self.heads <= _MOST or not 0 <= self.dropout < 1:
            raise ValueError(
                f"head.layers lies in 1 to {_MOST}, head.heads in 0 to {_MOST}, head.dropout in 0 up to but below 1."
            )


@dataclass(kw_only=True)
class SegmentConfig(MeasuredConfig):
    """Everything that decides the result of a segmentation."""

    mode: Mode = "full"
    """full: encoder and decoder learn; frozen: the encoder stays as it is."""
    crop: int = 256
    """Side of training crops and of the window, in pixels of the tiles; the encoder gets it at its own size."""
    stride: float = 2 / 3
    """Step of the window as a share of it, above 0 and at most 1; where windows overlap, their probabilities are
    averaged."""
    head: HeadConfig = field(default_factory=HeadConfig)
    """The decoder."""
    steps: int = 2000
    """Steps of the training."""
    batch_size: int = 16
    learning_rate: float = 3e-4
    augment: AugmentConfig = field(
        default_factory=lambda: AugmentConfig(gain_db=0, speckle_looks=0, flips=0.5, rotations=0.75)
    )
    """How crops are changed; masks turn with them, and are not shifted."""
    pictures: int = 6
    """Measured tiles that are drawn beside their truth."""
    workers: int = 2
    """Threads that prepare batches."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mode not in ("full", "frozen"):
            raise ValueError(f"mode must be full or frozen, not {self.mode!r}.")
        if self.steps < 1 or self.crop < 8 or self.pictures < 0:
            raise ValueError("steps must be at least 1, crop at least 8, pictures not negative.")
        if not 0 < self.stride <= 1:
            raise ValueError(f"stride is a share of the window above 0 and at most 1, not {self.stride}.")
        if self.augment.shift_px:
            raise ValueError(
                "augment.shift_px moves pixels without their mask: crops lie anywhere already, set it to 0."
            )
