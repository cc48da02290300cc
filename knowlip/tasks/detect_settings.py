"""Settings of a detection."""

from dataclasses import dataclass, field
from pathlib import Path

from knowlip.models.detection import DetectorConfig
from knowlip.tasks.settings import FinetunedConfig
from knowlip.training.settings import AugmentConfig


@dataclass(kw_only=True)
class DetectConfig(FinetunedConfig):
    """Everything that decides the result of a detection."""

    size: int | None = 800
    """Longest side of a tile in pixels when it is looked at; a multiple of the encoder's patch."""
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    classes: dict[str, str] = field(default_factory=dict)
    """Name in the data -> class of the detector, where they should not be the same; names that are not given are then
    left out. The same holds for the set that is measured."""
    single_class: bool = False
    """All (named) objects are of one class, "object"."""
    smallest_px: float = 0.0
    """Objects whose longer side has fewer pixels in their own tile are left out of the training (never of the
    measurement)."""
    keep_empty: bool = True
    """Tiles without objects are learned from: they teach what is background."""
    shots: int = 0
    """Learn from so many tiles with objects, drawn by `split_seed`; 0: from all."""
    init_from: Path | None = None
    """Run folder (or model folder) of a detector with the same settings to go on from, e.g. one that was trained on
    simulated scenes."""
    test_on: Path | None = None
    """Another data set whose tiles are measured; `protocol` and `fold` then hold for it, and `dataset` is learned from
    as its own split says."""
    epochs: int = 36
    batch_size: int = 4
    learning_rate: float = 1e-4
    weight_decay: float = 0.1
    layer_decay: float = 0.7
    scale: tuple[float, float] = (0.8, 1.2)
    """Smallest and largest share of `size` to which the longer side is brought in training; what is longer than `size`
    is cropped."""
    augment: AugmentConfig = field(default_factory=lambda: AugmentConfig(gain_db=0, speckle_looks=0, flips=0.5))
    """Boxes turn with their tiles."""
    validation_share: float = 0.1
    """Part of the groups of the training tiles on which the curve over the training is measured; they are not learned
    from. 0: no curve."""
    validate_every: int = 500
    """Steps between points of the curve, a multiple of `log_every`."""
    workers: int = 2
    """Threads that prepare batches."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.layer_decay <= 1 or not 0 <= self.validation_share < 1:
            raise ValueError("layer_decay must lie above 0 up to 1, validation_share from 0 below 1.")
        if not 0 < self.scale[0] <= self.scale[1] or self.shots < 0 or self.smallest_px < 0:
            raise ValueError("scale must be two rising positive numbers; shots and smallest_px must not be negative.")
        if self.strategy == "fsdp" and self.validation_share:
            raise ValueError("With strategy fsdp no process holds the whole model: set validation_share to 0.")
        if self.validation_share and (self.validate_every < 1 or self.validate_every % self.log_every):
            raise ValueError(f"validate_every must be a multiple of log_every ({self.log_every}).")
