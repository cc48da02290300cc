"""Cascade R-CNN (Cai & Vasconcelos, CVPR 2018): three heads one behind the other, each on the boxes of the one before.

A head that is taught at an overlap of 0.7 needs proposals that overlap by so much: those of the second head do, those
of the proposal network hardly ever.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection._utils import BoxCoder, Matcher
from torchvision.models.detection.roi_heads import fastrcnn_loss
from torchvision.ops import clip_boxes_to_image

from knowlip.models.detection.regions import RegionHeads, Targets

OVERLAPS = (0.5, 0.6, 0.7)
"""Of each head, from which a region is an object."""
_WEIGHTS = ((10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0), (30.0, 30.0, 15.0, 15.0))
"""Of each head, by which offsets of boxes are multiplied: they get smaller."""


class _ScaledGradient(torch.autograd.Function):
    """Passes features on and divides their gradient: three heads teach the backbone no more than one."""

    @staticmethod
    def forward(context: Any, x: Tensor, scale: float) -> Tensor:
        context.scale = scale
        return x

    @staticmethod
    def backward(context: Any, *gradient: Tensor) -> tuple[Tensor, None]:
        return gradient[0] * context.scale, None


class CascadeHeads(RegionHeads):
    """Box heads and predictors of three stages; scores are the mean of all.

    Args:
        heads, predictors: one a stage; predictors give one box for all classes.
        rest: of :class:`torchvision.models.detection.roi_heads.RoIHeads`, for the first stage.
    """

    def __init__(self, heads: Sequence[nn.Module], predictors: Sequence[nn.Module], **rest: Any) -> None:
        super().__init__(box_head=None, box_predictor=None, bbox_reg_weights=_WEIGHTS[0], **rest)
        self.heads, self.predictors = nn.ModuleList(heads), nn.ModuleList(predictors)
        self.coders = [BoxCoder(weights) for weights in _WEIGHTS]
        self.matchers = [Matcher(at, at, allow_low_quality_matches=False) for at in OVERLAPS]

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: Targets | None = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        losses: dict[str, Tensor] = {}
        all_scores, last = [], proposals
        regression = proposals[0].new_zeros(0)
        sampled: tuple[list[Tensor], list[Tensor], list[Tensor]] | None = None
        if self.training and targets is not None:
            proposals, _, labels, offsets = self.select_training_samples(proposals, targets)
            sampled = proposals, labels, offsets
        for stage, (head, predict) in enumerate(zip(self.heads, self.predictors)):
            if stage:  # what the stage before made of its regions
                boxes = self.coders[stage - 1].decode(regression.detach(), proposals)[:, 0]
                parts = boxes.split([len(one) for one in proposals])
                proposals = [clip_boxes_to_image(one, shape) for one, shape in zip(parts, image_shapes)]
                if targets is not None and self.training:
                    proposals, sampled = self._next(proposals, targets, stage)
            pooled = self.box_roi_pool(features, proposals, image_shapes)
            logits, regression = predict(head(_ScaledGradient.apply(pooled, 1 / len(self.heads))))
            last = proposals
            if sampled is not None:
                classes, box = fastrcnn_loss(logits, regression, sampled[1], sampled[2])
                for name, value in (("loss_classifier", classes), ("loss_box_reg", box)):
                    losses[name] = losses[name] + value if stage else value
            else:
                all_scores.append(logits.softmax(-1))
        if sampled is not None:
            return [], losses
        self.box_coder = self.coders[-1]
        mean = torch.stack(all_scores).mean(0).clamp(min=1e-12).log()  # whose softmax is the mean itself
        found = self.postprocess_detections(mean, regression, last, image_shapes)
        names = ("boxes", "scores", "labels")
        self.box_coder = self.coders[0]
        return [dict(zip(names, one)) for one in zip(*found)], losses

    def _next(
        self, proposals: list[Tensor], targets: Targets, stage: int
    ) -> tuple[list[Tensor], tuple[list[Tensor], list[Tensor], list[Tensor]]]:
        """Regions of a later stage with their labels and offsets: all of them, none is drawn anew."""
        # A box that the stage before made empty has no offset to learn.
        kept = [one[((one[:, 2:] - one[:, :2]) > 1e-2).all(1)] for one in proposals]
        truth = [target["boxes"] for target in targets]
        self.proposal_matcher = self.matchers[stage]
        matched, labels = self.assign_targets_to_proposals(kept, truth, [target["labels"] for target in targets])
        self.proposal_matcher = self.matchers[0]
        labels = [label.clamp(min=0) if bool((label >= 0).all()) else label for label in labels]
        kept = [one[label >= 0] for one, label in zip(kept, labels)]
        matched = [one[label >= 0] for one, label in zip(matched, labels)]
        labels = [label[label >= 0] for label in labels]
        boxes = [box[at] if len(box) else one for box, at, one in zip(truth, matched, kept)]
        return kept, (kept, labels, list(self.coders[stage].encode(boxes, kept)))
