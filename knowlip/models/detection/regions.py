"""Parts of an R-CNN that know the real strides of the pyramid: anchors, pooling, heads.

torchvision's anchors and pooling take strides from the ratio of whole sides, rounded to a whole number and to a power
of two; with patches of 14 pixels (strides of 3.5, 7, 14, ...) every box would then be off without a word.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import roi_align

from knowlip.models.detection.backbone import LayerNorm2d

CANONICAL_CELLS = 14.0
"""An object of so many cells along a side is pooled from the level of these cells (224 pixels at 16 a cell)."""
_COVERED = 0.5
"""Share of a region in what nobody need find from which it teaches nothing."""

Targets = list[dict[str, Tensor]]
"""Of each image: boxes (N, 4) left, top, right, bottom in pixels of the input; labels (N,) from 1; ignored (M, 4); and
masks (N, H, W) where masks are taught."""


class Anchors(nn.Module):
    """Anchors around the middle of every cell.

    Args:
        strides: pixels a cell of each level.
        scale: side of an anchor in cells.
        ratios: height over width.
    """

    def __init__(self, strides: Sequence[float], scale: float, ratios: Sequence[float]) -> None:
        super().__init__()
        self.strides, self.scale, self.ratios = tuple(strides), scale, tuple(ratios)

    def forward(self, images: ImageList, maps: list[Tensor]) -> list[Tensor]:
        """(A, 4) float32 of each image; all levels, rows, columns, ratios."""
        found = []
        for level, stride in zip(maps, self.strides, strict=True):
            side, device = self.scale * stride, level.device
            half = torch.tensor(
                [(side / math.sqrt(ratio) / 2, side * math.sqrt(ratio) / 2) for ratio in self.ratios], device=device
            )
            y, x = (torch.arange(count, device=device) * stride + stride / 2 for count in level.shape[-2:])
            middle = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1)[:, :, None]
            found.append(torch.cat([middle - half, middle + half], -1).reshape(-1, 4))
        anchors = torch.cat(found)
        return [anchors for _ in images.image_sizes]


class RegionPool(nn.Module):
    """Regions of one size from the level of the pyramid that fits theirs (Lin et al., CVPR 2017, eq. 1).

    Args:
        strides: pixels a cell of each level that is pooled from.
        side: of the result in cells.
    """

    def __init__(self, strides: Sequence[float], side: int) -> None:
        super().__init__()
        self.strides, self.side = tuple(strides), side
        self.output_size = (side, side)

    def forward(self, maps: dict[str, Tensor], boxes: list[Tensor], shapes: list[tuple[int, int]]) -> Tensor:
        """(regions, C, side, side) float32."""
        of_image = torch.cat([box.new_full((len(box), 1), number) for number, box in enumerate(boxes)])
        regions = torch.cat([of_image, torch.cat(boxes)], 1)
        areas = (regions[:, 3] - regions[:, 1]).clamp(min=0) * (regions[:, 4] - regions[:, 2]).clamp(min=0)
        cells = areas.sqrt() / (CANONICAL_CELLS * self.strides[0])
        level = torch.floor(torch.log2(cells.clamp(min=1e-6)) + 1e-6).clamp(0, len(self.strides) - 1)
        first = next(iter(maps.values()))
        pooled = torch.zeros(len(regions), first.shape[1], self.side, self.side, device=first.device)
        with torch.autocast(first.device.type, enabled=False):
            for number, (stride, one) in enumerate(zip(self.strides, maps.values())):
                at = torch.where(level == number)[0]
                if len(at):
                    part = roi_align(one.float(), regions[at], self.side, 1 / stride, 2, aligned=True)
                    pooled = pooled.index_put((at,), part)
        return pooled


def covered(boxes: Tensor, ignored: Tensor) -> Tensor:
    """(N,) whether more than half of a box (N, 4) lies in one of those that nobody need find (M, 4)."""
    if not len(ignored):
        return boxes.new_zeros(len(boxes), dtype=torch.bool)
    low, high = torch.maximum(boxes[:, None, :2], ignored[:, :2]), torch.minimum(boxes[:, None, 2:], ignored[:, 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(-1).clamp(min=1e-6)
    return (shared / area[:, None]).amax(1) > _COVERED


class RegionProposals(RegionProposalNetwork):
    """torchvision's, but anchors in what nobody need find are no background."""

    def assign_targets_to_anchors(self, anchors: list[Tensor], targets: Targets) -> tuple[list[Tensor], list[Tensor]]:
        labels, matched = super().assign_targets_to_anchors(anchors, targets)
        for label, anchor, target in zip(labels, anchors, targets):
            label[(label == 0) & covered(anchor, target["ignored"])] = -1.0
        return labels, matched


class ProposalHead(RPNHead):
    """torchvision's, in full precision behind the last layer: boxes are decoded from it."""

    def forward(self, x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        logits, deltas = super().forward(x)
        return [one.float() for one in logits], [one.float() for one in deltas]


class RegionHeads(RoIHeads):
    """torchvision's, but regions in what nobody need find are no background, and overlapping boxes may lose score
    instead of being dropped."""

    soft_nms = False
    nms_thresh: float
    detections_per_img: int

    def select_training_samples(
        self, proposals: list[Tensor], targets: Targets
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]]:
        self._ignored = [target["ignored"] for target in targets]
        return super().select_training_samples(proposals, targets)

    def assign_targets_to_proposals(
        self, proposals: list[Tensor], gt_boxes: list[Tensor], gt_labels: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor]]:
        matched, labels = super().assign_targets_to_proposals(proposals, gt_boxes, gt_labels)
        for label, proposal, ignored in zip(labels, proposals, self._ignored):
            label[(label == 0) & covered(proposal, ignored)] = -1
        return matched, labels

    def postprocess_detections(
        self,
        class_logits: Tensor,
        box_regression: Tensor,
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        if not self.soft_nms:
            found = super().postprocess_detections(class_logits, box_regression, proposals, image_shapes)
            return found
        # All boxes pass torchvision's step, and are then re-scored.
        nms, most = self.nms_thresh, self.detections_per_img
        self.nms_thresh, self.detections_per_img = 1.0, 1000
        try:
            boxes, scores, labels = super().postprocess_detections(
                class_logits, box_regression, proposals, image_shapes
            )
        finally:
            self.nms_thresh, self.detections_per_img = nms, most
        for number in range(len(boxes)):
            kept, score = softened(boxes[number], scores[number], labels[number], self.score_thresh)
            kept, score = kept[:most], score[:most]
            boxes[number], scores[number], labels[number] = boxes[number][kept], score, labels[number][kept]
        return boxes, scores, labels


def softened(boxes: Tensor, scores: Tensor, labels: Tensor, least: float, sigma: float = 0.5) -> tuple[Tensor, Tensor]:
    """Soft-NMS (Bodla et al., ICCV 2017, eq. of the Gaussian): the best box lowers the scores of those of its class by
    exp(-overlap^2 / sigma), and so on with the next.

    Returns:
        Numbers of the boxes in order of their new scores, and these; boxes that fall below `least` are left out.
    """
    scores, order, kept = scores.clone(), [], []
    alive = torch.ones_like(scores, dtype=torch.bool)
    area = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(-1)
    while bool(alive.any()):
        best = int(torch.where(alive, scores, -1.0).argmax())
        if float(scores[best]) < least:
            break
        alive[best] = False
        order.append(best)
        kept.append(scores[best].clone())
        low, high = torch.maximum(boxes[:, :2], boxes[best, :2]), torch.minimum(boxes[:, 2:], boxes[best, 2:])
        shared = (high - low).clamp(min=0).prod(-1)
        overlap = shared / (area + area[best] - shared).clamp(min=1e-9)
        scores = torch.where(alive & (labels == labels[best]), scores * torch.exp(-(overlap**2) / sigma), scores)
    return torch.tensor(order, dtype=torch.long, device=boxes.device), (torch.stack(kept) if kept else scores[:0])


class BoxHead(nn.Sequential):
    """Regions (R, C, 7, 7) -> (R, `width`)."""

    def __init__(self, channels: int, convs: int, width: int, side: int = 7) -> None:
        parts: list[nn.Module] = []
        for _ in range(convs):
            parts += [nn.Conv2d(channels, channels, 3, padding=1, bias=False), LayerNorm2d(channels), nn.ReLU()]
        parts += [nn.Flatten(), nn.Linear(channels * side**2, width), nn.ReLU()]
        if not convs:
            parts += [nn.Linear(width, width), nn.ReLU()]
        super().__init__(*parts)


class Predictor(nn.Module):
    """Logits of the classes (background first) and boxes of a region, in full precision.

    Args:
        width: of the region's features.
        classes: how many, with the background.
        agnostic: one box for all classes, as in Cascade R-CNN.
    """

    def __init__(self, width: int, classes: int, agnostic: bool = False) -> None:
        super().__init__()
        self.classes, self.agnostic = classes, agnostic
        self.cls_score = nn.Linear(width, classes)
        self.bbox_pred = nn.Linear(width, 4 * (1 if agnostic else classes))
        for layer, deviation in ((self.cls_score, 0.01), (self.bbox_pred, 0.001)):
            nn.init.normal_(layer.weight, std=deviation)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        boxes = self.bbox_pred(x).float()
        return self.cls_score(x).float(), boxes.repeat(1, self.classes) if self.agnostic else boxes


class FullPrecision(nn.Module):
    """FullPrecision precision behind a layer that may compute in less."""

    def forward(self, x: Tensor) -> Tensor:
        return x.float()
