"""Detectors and segmenters as ONNX files, post-processing and all, and how images are brought to them and read back.

Shapes: B crops, S side of a crop, C classes, H x W the input of a detector, D boxes found.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from knowlip.inference.export.graph import Arrays, speckled, write_graph
from knowlip.language.directions import Turn
from knowlip.models.detection import Detector, FoundBoxes
from knowlip.models.detection.portable import MASKS, OUTPUTS, PortableDetector
from knowlip.tasks.detect_batches import View, batched
from knowlip.tasks.detect_rows import found_table
from knowlip.tasks.masked import padded
from knowlip.tasks.metrics.boxes import overlaps
from knowlip.tasks.objects import TileObjects
from knowlip.tasks.segmenter import Segmenter

DETECTOR, SEGMENTER = "detector.onnx", "segmenter.onnx"
_FEW = 0.01
"""Share of the boxes that may be found by PyTorch alone, or by ONNX Runtime alone: those whose score is the least that
counts up to rounding."""
_SAME = 0.5
"""Intersection over union from which two boxes are the same object."""


# ---- detectors ------------------------------------------------------------------------------------------------------


def input_sides(detector: Detector, height: int, width: int) -> tuple[int, int]:
    """Sides of the input: as asked for, else what the detector learned with."""
    return height or detector.backbone.side, width or detector.backbone.side


def write_detector(part: Path, detector: Detector, sides: tuple[int, int]) -> dict[str, Any]:
    """Write `detector.onnx`; what `export.json` says of it.

    Raises:
        ValueError: a detector that no graph can hold, or the graph finds something else.
    """
    # Compared on whole images and on ones that are filled up: what is padding must never be found.
    height, width = sides
    outputs = [*OUTPUTS, MASKS] if detector.config.kind == "mask" else list(OUTPUTS)
    module = PortableDetector(detector, height, width)
    pixels = torch.from_numpy(speckled(sides, 4))
    whole, less = torch.tensor([height, width]), torch.tensor([max(1, height - 5), max(1, width * 2 // 3)])
    tests = [{"pixels": one[None], "size": size} for one, size in zip(pixels, (whole, whole, less, less))]
    tests.append({"pixels": torch.zeros_like(pixels[:1]), "size": whole.clone()})
    longest = max(sides)

    def compare(got: Arrays, want: Arrays) -> dict[str, float]:
        return paired_differences(got, want, longest)

    graph = write_graph(part / DETECTOR, module, tests[1], {"pixels": None, "size": None}, outputs, tests, compare)
    return {
        "detector": graph,
        "classes": detector.classes,
        "preprocessing": {
            "resize": f"as large as fits into {height} x {width} px, bilinear (Pillow's BILINEAR), sides in proportion",
            "pad": "with 0 to the right and below",
            "size": "height and width without the padding",
            "no_data": 0,
            "normalisation": "inside",
        },
        "reading": {
            "boxes": "left, top, right, bottom in pixels of the input: times side of the image / side without padding",
            "labels": "1 is the first of `classes`",
            "masks": "of each box 28 x 28 probabilities; from 0.5 on a part of the box is object",
            "scores": f"from {detector.config.least_score:g} on, at most {detector.config.most} boxes, best first",
        },
    }


def paired_differences(got: Arrays, want: Arrays, longest: int) -> dict[str, float]:
    """Largest differences between boxes that are each other's, as shares: of the longest side, of 1.

    Boxes of equal score may come in another order, and one whose score is the least that counts may be there or not:
    pairs are made by overlap among equal labels.

    Raises:
        ValueError: more than 1 % of the boxes have no other one.
    """
    names = [*OUTPUTS, MASKS][: len(want)]
    found = dict.fromkeys((name for name in names if name != "labels"), 0.0)
    pairs = _pairs(got, want)
    alone = max(len(got[0]), len(want[0])) - len(pairs)
    if alone > max(1, _FEW * len(want[0])):
        raise ValueError(
            f"{DETECTOR} finds {len(got[0])} boxes and PyTorch {len(want[0])} in a test image, of which {len(pairs)} "
            "are the same. Nothing was written; try another version of onnxscript or onnxruntime."
        )
    if pairs:
        mine, theirs = (list(side) for side in zip(*pairs))
        for name, one, other in zip(names, got, want):
            if name in found:
                scale = longest if name == "boxes" else 1.0
                found[name] = float(np.abs(one[mine].astype(float) - other[theirs]).max() / scale)
    return found


def _pairs(got: Arrays, want: Arrays) -> list[tuple[int, int]]:
    """Numbers of boxes that are the same object, best score first, each once."""
    if not len(got[0]) or not len(want[0]):
        return []
    shared = overlaps(np.asarray(got[0], float), np.asarray(want[0], float))
    near = 1 - np.abs(np.asarray(got[1], float)[:, None] - np.asarray(want[1], float)[None])
    # Of two of one place the one with the nearer score.
    worth = np.where((np.asarray(got[2])[:, None] == np.asarray(want[2])[None]) & (shared >= _SAME), shared + near, -1)
    pairs, taken = [], np.zeros(len(want[0]), bool)
    for at in np.argsort(-np.asarray(got[1]), kind="stable"):
        best = int(np.where(taken, -1, worth[at]).argmax())
        if worth[at, best] >= 0 and not taken[best]:
            taken[best] = True
            pairs.append((int(at), best))
    return pairs


def found_again(got: Arrays, want: Arrays, least: float) -> tuple[int, int]:
    """How many boxes of `want` with a score from `least` on `got` has too, and how many there are."""
    sure = np.flatnonzero(np.asarray(want[1]) >= least)
    there = [np.asarray(part)[sure] for part in want]
    return len(_pairs(got, there)), len(sure)


def shown_to_detector(pixels: np.ndarray, sides: tuple[int, int]) -> dict[str, np.ndarray]:
    """An image (H, W) uint8 as the graph takes it."""
    height, width = sides
    scale = min(height / pixels.shape[0], width / pixels.shape[1])
    none = TileObjects((1, 1), np.zeros((0, 4)), (), np.zeros(0, bool), (), ())
    view = View(Turn(), max(pixels.shape) * scale, (0, 0), max(sides))
    batch = batched([view.of(pixels, none)], {}, 1)
    found = np.zeros((1, height, width), np.uint8)
    found[0, : batch.images.shape[1], : batch.images.shape[2]] = batch.images[0].numpy()[:height, :width]
    return {"pixels": found, "size": np.array([min(batch.sizes[0][0], height), min(batch.sizes[0][1], width)])}


def read_detector(
    name: str, outputs: Arrays, inputs: dict[str, np.ndarray], own: np.ndarray, classes: Sequence[str]
) -> pd.DataFrame:
    """What a graph found in an image, in the image's own pixels: a row a box."""
    tensors = [torch.from_numpy(np.asarray(one)) for one in outputs]
    height, width = (int(side) for side in inputs["size"])
    scale = np.array([own.shape[1] / width, own.shape[0] / height])
    return found_table(name, FoundBoxes(*tensors), scale, classes)


# ---- segmenters -----------------------------------------------------------------------------------------------------


class PortableSegmenter(nn.Module):
    """Crops (B, S, S) uint8 -> probabilities (B, C, S, S) float32."""

    def __init__(self, segmenter: Segmenter) -> None:
        super().__init__()
        self.segmenter = segmenter
        # A frozen encoder's weights are not the segmenter's own, and are the graph's.
        self.tower = segmenter.encoder.module

    def forward(self, pixels: Tensor) -> Tensor:
        return self.segmenter.scores(pixels).softmax(1)


def write_segmenter(part: Path, segmenter: Segmenter, crop: int) -> dict[str, Any]:
    """Write `segmenter.onnx`; what `export.json` says of it.

    Raises:
        ValueError: an encoder that PyTorch cannot export, or the graph computes something else.
    """
    pixels = torch.from_numpy(speckled((crop, crop), 3))
    tests = [{"pixels": one} for one in (pixels, pixels[1:2], torch.zeros_like(pixels[:2]))]
    for parameter in segmenter.encoder.module.parameters():
        parameter.requires_grad_(False)
    sizes = {"pixels": {0: torch.export.Dim("batch")}}
    graph = write_graph(part / SEGMENTER, PortableSegmenter(segmenter), tests[0], sizes, ["probabilities"], tests)
    return {
        "segmenter": graph,
        "classes": segmenter.classes,
        "preprocessing": {
            "crop": f"windows of {crop} x {crop} px of the image as it is, at its borders filled up with 0",
            "no_data": 0,
            "normalisation": "inside",
        },
        "reading": {"probabilities": "of each of `classes` at each pixel; where windows overlap their mean counts"},
    }


def shown_to_segmenter(pixels: np.ndarray, crop: int) -> dict[str, np.ndarray]:
    """The crop in the middle of an image (H, W) uint8 as the graph takes it."""
    top, left = (max(0, (side - crop) // 2) for side in pixels.shape)
    return {"pixels": padded(pixels[top : top + crop, left : left + crop], crop, 0)[None]}
