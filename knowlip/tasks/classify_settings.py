"""Settings of `knowlip classify`."""

from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from knowlip.tasks.chips import CONTRAST, HIDE_SIZE, Contrast, HideSize
from knowlip.tasks.settings import FinetunedConfig
from knowlip.training.settings import AugmentConfig

Mode = Literal["linear", "full", "knn"]
MODES: Final[tuple[Mode, ...]] = get_args(Mode)
HeadStart = Literal["random", "probe"]
HEADS: Final[tuple[HeadStart, ...]] = get_args(HeadStart)
VIEWS: Final = (1, 2, 4, 8)
_STILL: Final = AugmentConfig(gain_db=0, speckle_looks=0)
"""No augmentation."""


@dataclass(kw_only=True)
class ClassifyConfig(FinetunedConfig):
    """Everything that decides the result of a classification."""

    mode: Mode = "linear"
    """linear: the encoder stays as it is, a linear head learns; full: both learn; knn: nothing learns, the nearest
    training tiles vote."""
    label: Literal["category", "type"] = "category"
    """Column of the annotations that names the class. Tiles with none or several classes are left out."""
    hide_size: HideSize = "auto"
    """yes: all tiles are seen through one window, so that the size of a chip does not tell its class; no: each is
    stretched to the input; auto: yes where tiles differ in size."""
    window: float | None = None
    """Side of that window, in metres where the set says the size of its pixels, else in pixels; the smallest side of
    all tiles where not given. Tiles are cut at it, and mirrored at their edges where they are smaller."""
    contrast: Contrast = "stored"
    """Grey levels as they are stored, or "chip": the square roots of what is seen of each tile, brought to one mean and
    deviation, so that its brightness tells nothing and a dark chip is not black to a pre-trained encoder."""
    neighbours: int = 20
    """How many training tiles vote in mode knn."""
    batch_size: int = 64
    learning_rate: float = 1e-3
    """A pre-trained encoder wants less (1e-4) in mode full."""
    label_smoothing: float = 0.1
    """Share of the target that is spread over all classes."""
    head: HeadStart = "random"
    """Mode full: how the head begins. random; probe: as a logistic regression on what the encoder says before it learns
    (Kumar et al., ICLR 2022), so that a pre-trained one is not spoilt by the gradients of a random head."""
    dropout: float = 0.0
    """Share of the summary that the head does not see in a step."""
    drop_path: float = 0.0
    """Mode full: how often the branches of the highest block are skipped; those below in proportion to their height."""
    crop_area: float = 1.0
    """Mode full: smallest share of the input's area that a random-resized crop shows, sides 3:4 to 4:3; 1 for none."""
    views: int = 1
    """Mode full: over how many orientations of a measured tile (1; 2: turned by 180 degrees too; 4: by 90; 8: mirrored
    too) what is said of it is averaged."""
    augment: AugmentConfig = field(default_factory=lambda: AugmentConfig(gain_db=0, speckle_looks=0))
    """In mode full only: a frozen encoder sees every tile once. A turned tile keeps its class."""
    workers: int = 2
    """Threads that prepare batches."""

    def __post_init__(self) -> None:
        # All of it here: settings that exist are sound, and bench run keeps none that the task would refuse.
        super().__post_init__()
        if self.mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, not {self.mode!r}.")
        if not 0 <= self.label_smoothing < 1 or not 0 <= self.dropout < 1:
            raise ValueError("label_smoothing and dropout must lie from 0 up to but below 1.")
        if not 0 < self.crop_area <= 1 or self.neighbours < 1:
            raise ValueError("crop_area must be above 0 and at most 1, neighbours at least 1.")
        if self.hide_size not in HIDE_SIZE or (self.hide_size == "no" and self.window is not None):
            raise ValueError("hide_size must be auto, yes or no. A window hides the size of chips: then it is not no.")
        if self.contrast not in CONTRAST:
            raise ValueError(f"contrast must be stored or chip, not {self.contrast!r}.")
        if self.head not in HEADS or (self.mode != "full" and self.head != "random"):
            raise ValueError(f"head must be random, or probe in mode full, not {self.head!r} in mode {self.mode}.")
        if self.views not in VIEWS or (self.mode != "full" and self.views != 1):
            raise ValueError(f"views must be 1, 2, 4 or 8, and is for mode full; not {self.views} in mode {self.mode}.")
        if self.mode != "full" and self.augment != _STILL:
            raise ValueError(f"augment is for mode full: in mode {self.mode} the encoder sees every tile once.")
        if self.mode != "full" and (self.drop_path, self.crop_area, self.layer_decay) != (0, 1, 1):
            raise ValueError(
                f"drop_path, crop_area and layer_decay are for mode full: in mode {self.mode} no block learns."
            )
