"""A detector as one graph of tensors that ONNX can hold, with all its post-processing.

torchvision's code asks how many boxes there are before it goes on; here every list has a fixed length and a mark on
what counts, but for the last step, so that the exporter need not know. The results are those of
:class:`Detector.detect`.

Shapes: P proposals that are compared, N that the box head looks at, C classes with the background, D boxes found.
"""

from typing import Any, Final, cast

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import nms, roi_align

from knowlip.models.detection.cascade import CascadeHeads
from knowlip.models.detection.detector import POOLED, Detector
from knowlip.models.detection.regions import CANONICAL_CELLS, RegionPool

_LEAST_PROPOSAL, _LEAST_BOX = 1e-3, 1e-2
"""Sides below which torchvision drops a proposal, and a box."""
OUTPUTS: Final = ("boxes", "scores", "labels")
MASKS: Final = "masks"
"""The fourth output of a Mask R-CNN."""


class PortableDetector(nn.Module):
    """An image -> its objects, best first, as a graph.

    Args:
        detector: in evaluation mode; its modules are taken.
        height, width: of the input in pixels, multiples of a patch up to the detector's side.

    Raises:
        ValueError: a detector that re-scores overlapping boxes (soft-NMS), or sides that it cannot take.
    """

    size_H: Tensor
    size_W: Tensor

    def __init__(self, detector: Detector, height: int, width: int) -> None:
        super().__init__()
        backbone = detector.backbone
        if detector.config.soft_nms:
            raise ValueError(
                "This detector lowers the scores of overlapping boxes (soft_nms), for which ONNX has no operator: set "
                "soft_nms to false in its detector.json, measure it again, and export it."
            )
        patch, side = backbone.patch_px, backbone.side
        if height % patch or width % patch or not (0 < height <= side and 0 < width <= side):
            raise ValueError(f"Sides must be multiples of {patch} up to {side} px, not {height} x {width}.")
        self.detector, self.heads = detector, detector.roi_heads
        self.height, self.width = height, width
        self.register_buffer("size_H", torch.arange(height)[:, None], persistent=False)
        self.register_buffer("size_W", torch.arange(width)[None, :], persistent=False)

    def forward(self, pixels: Tensor, size: Tensor) -> tuple[Tensor, ...]:
        """What is in an image.

        Args:
            pixels: (1, height, width) uint8, filled up to the right and below.
            size: (2,) int64, height and width without what it was filled up with.

        Returns:
            Boxes (D, 4) left, top, right, bottom in pixels of the input; scores (D,); labels (D,) from 1; of a Mask
            R-CNN also masks (D, 28, 28), the probability that a part of the box is object.
        """
        maps = self._maps(pixels, size)
        limit = torch.stack([size[1], size[0], size[1], size[0]]).to(torch.float32)
        proposals, real = self._proposals(maps, pixels, limit)
        maps = maps[:POOLED]
        if isinstance(self.heads, CascadeHeads):
            scores, boxes = self._cascade(self.heads, maps, proposals, limit)
        else:
            logits, offsets = self.heads.box_predictor(self.heads.box_head(self._pooled(maps, proposals)))
            scores, boxes = logits.softmax(-1), self._decoded(self.heads.box_coder, offsets, proposals, limit)
        found, score, label, there = self._chosen(scores, boxes, real)
        parts = [found, score, label]
        if self.heads.has_mask():
            seen = self.heads.mask_head(self._pooled(maps, found, self.heads.mask_roi_pool))
            every = self.heads.mask_predictor(seen).sigmoid()
            parts.append(every[torch.arange(len(label), device=label.device), label])
        kept = torch.nonzero(there)[:, 0]
        return tuple(part[kept] for part in parts)

    def _maps(self, pixels: Tensor, size: Tensor) -> list[Tensor]:
        """The pyramid, as :meth:`ViTDet.forward`; what lies outside the image is 0, its mean."""
        backbone = self.detector.backbone
        whole = backbone.normalised(pixels, [])
        inside = (self.size_H < size[0]) & (self.size_W < size[1])
        return backbone.pyramid(whole * inside)

    def _proposals(self, maps: list[Tensor], pixels: Tensor, limit: Tensor) -> tuple[Tensor, Tensor]:
        """Regions to look at (N, 4), and which of them there are (N,)."""
        rpn = self.detector.rpn
        logits, offsets = rpn.head(maps)
        anchors = rpn.anchor_generator(ImageList(pixels, [(self.height, self.width)]), maps)[0]
        boxes, scores, levels, first = [], [], [], 0
        for level, (logit, offset) in enumerate(zip(logits, offsets)):
            # (1, A, h, w) -> in the order of the anchors: rows, columns, ratios.
            logit = logit[0].permute(1, 2, 0).reshape(-1)
            offset = offset[0].unflatten(0, (-1, 4)).permute(2, 3, 0, 1).reshape(-1, 4)
            count = len(logit)
            logit, at = logit.topk(min(rpn.pre_nms_top_n(), count))
            boxes.append(self._decoded(rpn.box_coder, offset[at], anchors[first : first + count][at], limit)[:, 0])
            scores.append(logit.sigmoid())
            levels.append(torch.full_like(logit, float(level)))
            first += count
        box, score, level_of = torch.cat(boxes), torch.cat(scores), torch.cat(levels)
        large = ((box[:, 2:] - box[:, :2]) >= _LEAST_PROPOSAL).all(1)
        score = torch.where(large, score, -1.0)
        kept, real = self._best(box, score, level_of, rpn.nms_thresh, rpn.post_nms_top_n())
        return box[kept], real & (score[kept] >= 0)

    def _best(self, box: Tensor, score: Tensor, group: Tensor, overlap: float, count: int) -> tuple[Tensor, Tensor]:
        """Numbers (count,) of the best boxes of which none overlaps a better one of its group, and which of these
        numbers there are."""
        # Groups are moved apart, as torchvision does it, so that boxes of two never overlap.
        apart = group[:, None] * (max(self.height, self.width) + 1.0)
        kept = nms(box + apart, score, overlap)
        filled = torch.cat([kept, torch.zeros(count, dtype=torch.long, device=kept.device)])[:count]
        return filled, torch.arange(count, device=kept.device) < kept.shape[0]

    def _pooled(self, maps: list[Tensor], boxes: Tensor, pool: RegionPool | None = None) -> Tensor:
        """As :meth:`RegionPool.forward`, without asking whether a level has any region."""
        pool = pool or cast(RegionPool, self.heads.box_roi_pool)
        regions = torch.cat([boxes.new_zeros(len(boxes), 1), boxes], 1)
        areas = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)
        cells = areas.sqrt() / (CANONICAL_CELLS * pool.strides[0])
        level = torch.floor(torch.log2(cells.clamp(min=1e-6)) + 1e-6).clamp(0, len(pool.strides) - 1)
        pooled = boxes.new_zeros(len(boxes), maps[0].shape[1], pool.side, pool.side)
        for number, (stride, one) in enumerate(zip(pool.strides, maps)):
            at = torch.nonzero(level == number)[:, 0]
            part = roi_align(one.float(), regions[at], pool.side, 1 / stride, 2, aligned=True)
            pooled = pooled.index_put((at,), part)
        return pooled

    def _decoded(self, coder: Any, offsets: Tensor, boxes: Tensor, limit: Tensor) -> Tensor:
        """Offsets (N, 4 C) of boxes (N, 4) -> boxes (N, C, 4) inside the image."""
        found = coder.decode_single(offsets, boxes).reshape(len(boxes), -1, 4)
        return torch.minimum(found.clamp(min=0), limit)

    def _cascade(
        self, heads: CascadeHeads, maps: list[Tensor], proposals: Tensor, limit: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Scores (N, C), the mean of the stages, and the boxes (N, C, 4) of the last."""
        scores, offsets = [], proposals
        for stage, (head, predict) in enumerate(zip(heads.heads, heads.predictors)):
            if stage:
                proposals = self._decoded(heads.coders[stage - 1], offsets, proposals, limit)[:, 0]
            logits, offsets = predict(head(self._pooled(maps, proposals)))
            scores.append(logits.softmax(-1))
        return torch.stack(scores).mean(0), self._decoded(heads.coders[-1], offsets, proposals, limit)

    def _chosen(self, scores: Tensor, boxes: Tensor, real: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Boxes, scores and labels of the best, and which of them there are: (most,) each."""
        heads, classes = self.heads, scores.shape[1]
        label = torch.arange(1, classes, device=scores.device).expand(len(scores), -1).reshape(-1)
        score, box = scores[:, 1:].reshape(-1), boxes[:, 1:].reshape(-1, 4)
        large = ((box[:, 2:] - box[:, :2]) >= _LEAST_BOX).all(1)
        wanted = real[:, None].expand(-1, classes - 1).reshape(-1) & large & (score > heads.score_thresh)
        # What is not wanted comes last and stands in nobody's way: its score is below all others.
        score = torch.where(wanted, score, -1.0)
        kept, there = self._best(box, score, label.to(box.dtype), heads.nms_thresh, heads.detections_per_img)
        return box[kept], score[kept], label[kept], there & (score[kept] >= 0)
