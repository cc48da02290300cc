"""Both towers as ONNX files that run without PyTorch, checked against it before anything is written.

The image tower takes 8-bit pixels: conversion, normalisation, projection and unit length are inside. The text tower
takes token ids of the `tokenizer.json` beside it. What stands between a picture and the first, and between two
embeddings and a similarity, is written in `export.json`.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from knowlip.inference.export.graph import write_graph
from knowlip.models.knowlip import KnowLIP
from knowlip.models.tokenizer import framed_tokenizer

IMAGE, TEXT, TOKENIZER = "image.onnx", "text.onnx", "tokenizer.json"


class ImageTower(nn.Module):
    """Pixels (B, S, S) uint8 -> embedding (B, E) of unit length, tokens (B, N, V).

    A model that is told the width on the ground is told here that it is not known.
    """

    def __init__(self, model: KnowLIP) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        tokens, embedding = self.model.encode_images(self.model.normalise(pixels))
        return embedding, tokens


class TextTower(nn.Module):
    """Token ids and mask (B, T) int64, 1 on real tokens -> embedding (B, E) of unit length."""

    def __init__(self, model: KnowLIP) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.model.embed_ids(ids, mask != 0)


def write_towers(part: Path, model: KnowLIP) -> dict[str, Any]:
    """Write `image.onnx`, `text.onnx` and `tokenizer.json`; what `export.json` says of them.

    Raises:
        ValueError: the towers differ from PyTorch by more than the tolerance.
    """
    size, longest = model.config.vision.image_size, model.config.text.max_length
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length", max=longest)
    pixels = torch.zeros(2, size, size, dtype=torch.uint8)
    ids = torch.ones(2, min(8, longest), dtype=torch.long)
    mask = ids.clone()  # one tensor given twice would become one input
    both = {0: batch, 1: length}
    towers = {
        "image": write_graph(
            part / IMAGE,
            ImageTower(model),
            {"pixels": pixels},
            {"pixels": {0: batch}},
            ["image_embedding", "image_tokens"],
            [{"pixels": image} for image in _images(size)],
        ),
        "text": write_graph(
            part / TEXT,
            TextTower(model),
            {"ids": ids, "mask": mask},
            {"ids": both, "mask": both},
            ["text_embedding"],
            _texts(model),
        ),
    }
    framed_tokenizer(model.tokenizer, longest).save(str(part / TOKENIZER))
    return {**towers, **_use(model)}


def _images(size: int) -> list[Tensor]:
    """Test images: speckle in batches of one and three, no data, saturation."""
    chance = torch.Generator().manual_seed(0)
    speckle = [torch.randint(0, 256, (n, size, size), generator=chance, dtype=torch.uint8) for n in (1, 3)]
    return [*speckle, torch.zeros(1, size, size, dtype=torch.uint8), torch.full((2, size, size), 255).byte()]


def _texts(model: KnowLIP) -> list[dict[str, Tensor]]:
    """Test texts: random words of all lengths up to the model's, alone and padded in a batch."""
    chance, tokenizer = np.random.default_rng(0), model.tokenizer
    longest = model.config.text.max_length
    tests = []
    for lengths in ([1], [longest - 2], [longest - 2, 3, longest // 2], [0, 4]):
        words = [chance.integers(tokenizer.mask + 1, tokenizer.dec, length).tolist() for length in lengths]
        framed = [tokenizer.frame(ids, longest) for ids in words]
        width = max(map(len, framed))
        ids = torch.tensor([ids + [tokenizer.pad] * (width - len(ids)) for ids in framed])
        mask = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids in framed])
        tests.append({"ids": ids, "mask": mask})
    return tests


_WIDTH: Final = {"ground_sampling": "not told: the exported tower takes the metres of a pixel as unknown"}


def _use(model: KnowLIP) -> dict[str, Any]:
    """What one must know to feed the towers and to read what they give."""
    vision = model.config.vision
    return {
        "preprocessing": {
            "image_size": vision.image_size,
            "channels": 1,
            "resize": "bilinear, antialiased (Pillow's BILINEAR), where the image is not of image_size",
            "no_data": 0,
            **(_WIDTH if vision.ground_sampling else {}),
            "normalisation": "inside image.onnx: (pixels / 255 - mean) / std",
            "mean": vision.mean,
            "std": vision.std,
        },
        "tokenizer": {
            "file": "tokenizer.json",
            "frame": "[CLS] text [SEP], by the file",
            "max_length": model.config.text.max_length,
        },
        "similarity": "dot product of the embeddings; divided by temperature it is a logit",
        "temperature": float(model.temp.detach()),
    }
