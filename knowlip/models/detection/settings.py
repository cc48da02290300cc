"""Settings of a detector. The defaults are ViTDet's (Li et al., ECCV 2022)."""

from dataclasses import dataclass
from typing import Literal, get_args

DetectorKind = Literal["faster", "mask", "cascade"]


@dataclass
class DetectorConfig:
    """What stands on the encoder."""

    kind: DetectorKind = "faster"
    """faster: boxes (Faster R-CNN); mask: boxes and masks, from which rotated boxes are made (Mask R-CNN); cascade:
    three box heads one behind the other, taught at overlaps 0.5, 0.6 and 0.7 (Cascade R-CNN)."""
    width: int = 256
    """Channels of the pyramid."""
    window: int = 14
    """Side of the windows, in patches, in which most blocks of the encoder attend; 0: all attend to the whole image."""
    global_blocks: int = 4
    """Blocks that attend to the whole image all the same, evenly spaced, the last among them."""
    drop_path: float = 0.1
    """Share of samples that pass the last block of the encoder by in training; less in earlier ones."""
    anchor_scale: float = 8.0
    """Side of an anchor in cells of its level of the pyramid: 8 cells of 4 pixels are anchors of 32 pixels."""
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    """Height over width of the anchors of a cell."""
    rpn_convs: int = 2
    """3 x 3 convolutions before a proposal is made."""
    proposals: int = 1000
    """Regions an image that the box head looks at; of each level of the pyramid twice as many are compared first."""
    samples: int = 512
    """Regions an image that the box head learns from, at most a quarter of them with an object."""
    box_convs: int = 4
    """3 x 3 convolutions (with layer norm) on a region of 7 x 7; 0: two linear layers instead."""
    box_width: int = 1024
    """Of the linear layer behind them."""
    nms: float = 0.5
    """Of two boxes of a class that overlap by more, the better one stays."""
    soft_nms: bool = False
    """Overlapping boxes lose score instead (Bodla et al., ICCV 2017, Gaussian with 0.5)."""
    least_score: float = 0.05
    """Boxes of a lower score are not given."""
    most: int = 100
    """Boxes an image, the best."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(DetectorKind):
            raise ValueError(f"detector.kind must be one of {', '.join(get_args(DetectorKind))}, not {self.kind!r}.")
        if self.width < 8 or self.width % 4:
            raise ValueError(f"detector.width must be a multiple of 4 and at least 8, not {self.width}.")
        if self.window < 0 or self.global_blocks < 0 or self.box_convs < 0:
            raise ValueError("detector.window, global_blocks and box_convs must not be negative.")
        if min(self.proposals, self.samples, self.box_width, self.rpn_convs, self.most) < 1:
            raise ValueError("detector.proposals, samples, box_width, rpn_convs and most must be at least 1.")
        if not (0 <= self.drop_path < 1 and 0 <= self.least_score < 1 and 0 < self.nms <= 1):
            raise ValueError("detector.drop_path and least_score lie from 0 up to but below 1, nms above 0 up to 1.")
        if not self.anchor_ratios or min(self.anchor_ratios) <= 0 or self.anchor_scale <= 0:
            raise ValueError("detector.anchor_ratios and anchor_scale must be positive.")
