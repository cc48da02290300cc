"""A detector: ViTDet's pyramid under the R-CNN of torchvision, or our cascade.

Shapes: B images, H and W their pixels, N objects.
"""

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor

from knowlip.models.detection.backbone import ViTDet
from knowlip.models.detection.cascade import OVERLAPS, CascadeHeads
from knowlip.models.detection.regions import (
    Anchors,
    BoxHead,
    FullPrecision,
    Predictor,
    ProposalHead,
    RegionHeads,
    RegionPool,
    RegionProposals,
    Targets,
)
from knowlip.models.detection.settings import DetectorConfig
from knowlip.models.encoders import Encoder

LOSSES: Final = ("loss", "classes", "boxes", "objectness", "proposals", "masks")
"""Names of the losses, the sum first."""
_THEIRS: Final = {
    "loss_classifier": "classes",
    "loss_box_reg": "boxes",
    "loss_objectness": "objectness",
    "loss_rpn_box_reg": "proposals",
    "loss_mask": "masks",
}
POOLED = 4
"""Levels that regions are pooled from; the coarsest only proposes."""


@dataclass
class BoxTargets:
    """What is in an image, in pixels of the input."""

    boxes: Tensor
    """(N, 4) left, top, right, bottom."""
    labels: Tensor
    """(N,) int64 number of the class, from 1."""
    ignored: Tensor
    """(M, 4) what nobody need find: it is neither an object nor background."""
    masks: Tensor | None = None
    """(N, H, W) uint8, for Mask R-CNN."""

    def to(self, device: torch.device | str) -> "BoxTargets":
        """The same on another device."""
        masks = None if self.masks is None else self.masks.to(device)
        return BoxTargets(self.boxes.to(device), self.labels.to(device), self.ignored.to(device), masks)

    def plain(self) -> dict[str, Tensor]:
        """As torchvision takes it."""
        found = {"boxes": self.boxes, "labels": self.labels, "ignored": self.ignored}
        return found if self.masks is None else {**found, "masks": self.masks}


@dataclass
class FoundBoxes:
    """What was found in an image, best first, in pixels of the input."""

    boxes: Tensor
    """(N, 4)"""
    scores: Tensor
    labels: Tensor
    """(N,) from 1."""
    masks: Tensor | None = None
    """(N, 28, 28): probability that a part of the box is object; None but for Mask R-CNN."""


class Detector(nn.Module):
    """An encoder that finds objects.

    Args:
        encoder: opened with the longest side of the images as `size`; its module is taken, not copied.
        classes: names of the classes.
        config: what stands on it.
    """

    def __init__(self, encoder: Encoder, classes: Sequence[str], config: DetectorConfig) -> None:
        super().__init__()
        if not classes:
            raise ValueError("A detector needs a class to look for.")
        self.classes, self.config = list(classes), config
        self.backbone = ViTDet(encoder, config)
        strides = self.backbone.strides
        count = 2 * config.proposals
        self.rpn = RegionProposals(
            Anchors(strides, config.anchor_scale, config.anchor_ratios),
            ProposalHead(config.width, len(config.anchor_ratios), config.rpn_convs),
            **{"fg_iou_thresh": 0.7, "bg_iou_thresh": 0.3, "batch_size_per_image": 256, "positive_fraction": 0.5},
            pre_nms_top_n={"training": count, "testing": count},
            post_nms_top_n={"training": config.proposals, "testing": config.proposals},
            nms_thresh=0.7,
        )
        self.roi_heads = self._heads(len(classes) + 1, strides[:POOLED])
        self.roi_heads.soft_nms = config.soft_nms

    def _heads(self, classes: int, strides: Sequence[float]) -> RegionHeads:
        config, pool = self.config, RegionPool(strides, 7)
        common: dict[str, Any] = {
            **{"box_roi_pool": pool, "fg_iou_thresh": 0.5, "bg_iou_thresh": 0.5, "positive_fraction": 0.25},
            **{"batch_size_per_image": config.samples, "score_thresh": config.least_score},
            **{"nms_thresh": config.nms, "detections_per_img": config.most},
        }

        def head() -> BoxHead:
            return BoxHead(config.width, config.box_convs, config.box_width)

        if config.kind == "cascade":
            stages = range(len(OVERLAPS))
            predictors = [Predictor(config.box_width, classes, agnostic=True) for _ in stages]
            return CascadeHeads([head() for _ in stages], predictors, **common)
        if config.kind == "mask":
            common |= {
                "mask_roi_pool": RegionPool(strides, 14),
                "mask_head": MaskRCNNHeads(config.width, (config.width,) * 4, 1),
                "mask_predictor": nn.Sequential(
                    MaskRCNNPredictor(config.width, config.width, classes), FullPrecision()
                ),
            }
        predictor = Predictor(config.box_width, classes)
        return RegionHeads(box_head=head(), box_predictor=predictor, bbox_reg_weights=None, **common)

    def forward(self, images: Tensor, sizes: list[tuple[int, int]], targets: Sequence[BoxTargets]) -> dict[str, Tensor]:
        """Losses by name, `loss` their sum.

        Args:
            images: (B, H, W) uint8, filled up to the right and below.
            sizes: height and width of each without what it was filled up with.
            targets: one an image.
        """
        given: Targets = [target.plain() for target in targets]
        found = self._run(images, sizes, given)[1]
        zero = next(iter(found.values())).new_zeros(())
        losses = {name: found.get(theirs, zero) for theirs, name in _THEIRS.items()}
        return {"loss": torch.stack(list(losses.values())).sum(), **losses}

    @torch.no_grad()
    def detect(self, images: Tensor, sizes: list[tuple[int, int]]) -> list[FoundBoxes]:
        """What is in images; the module must be in evaluation mode. Arguments as of :meth:`forward`."""
        return [
            FoundBoxes(one["boxes"], one["scores"], one["labels"], one["masks"][:, 0] if "masks" in one else None)
            for one in self._run(images, sizes, None)[0]
        ]

    def _run(
        self, images: Tensor, sizes: list[tuple[int, int]], targets: Targets | None
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        maps = self.backbone(images, sizes)
        features = OrderedDict((str(number), one) for number, one in enumerate(maps))
        proposals, losses = self.rpn(ImageList(images, sizes), features, targets)
        pooled = OrderedDict(list(features.items())[:POOLED])
        found, more = self.roi_heads(pooled, proposals, sizes, targets)
        return found, {**losses, **more}

    def input_size(self, height: int, width: int, longest: float) -> tuple[int, int]:
        """Height and width at which an image's longer side is `longest` pixels."""
        scale = longest / max(height, width)
        return max(1, round(height * scale)), max(1, round(width * scale))

    def padded(self, side: int) -> int:
        """The next multiple of a patch."""
        return math.ceil(side / self.backbone.patch_px) * self.backbone.patch_px
