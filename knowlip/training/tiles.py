"""Tiles as training sees them: 8-bit pixels at the model's input size in one memory-mapped array, and SAR-legal
jitter."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from knowlip.dataset import Dataset
from knowlip.files import sha256, whole_file
from knowlip.models.knowlip import resize
from knowlip.progress import track


class Pixels(Protocol):
    """Tiles at one size, wherever they are kept: a memory-mapped array, or the shards."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(tiles, S, S)"""

    def __getitem__(self, rows: np.ndarray | list[int]) -> np.ndarray:
        """uint8 (rows, S, S)."""


def load_pixels(dataset: Dataset, tile_ids: Sequence[str], size: int, cache: Path) -> np.ndarray:
    """Decode and resize tiles once; later runs map the cached file.

    Args:
        dataset: where the tiles are.
        tile_ids: which, in the order of the result.
        size: side in pixels.
        cache: folder for the array; its name holds the data's fingerprint, so that other data never meets it.

    Returns:
        uint8 (tiles, size, size), memory-mapped read-only.
    """
    key = sha256("\n".join([dataset.fingerprint, str(size), *tile_ids]).encode())[:16]
    path = cache / f"pixels-{size}-{key}.npy"
    if not path.is_file():
        with whole_file(path) as part, part.open("wb") as stream:
            shape = (len(tile_ids), size, size)
            np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
            images = dataset.images(list(tile_ids))
            for image in track(images, f"decode tiles at {size} px", len(tile_ids)):
                stream.write(resize(image, size).tobytes())
    return np.load(path, mmap_mode="r")


def jitter(pixels_BSS: Tensor, rng: np.random.Generator, gain: float, speckle: float) -> Tensor:
    """Change what a radar may change: the gain of the whole image and the speckle of each pixel.

    Tiles are 8-bit on a logarithmic scale, so both are additive. Nothing moves: flips and rotations would make
    direction words false.

    Args:
        pixels_BSS: uint8; 0 (no data) stays 0.
        rng: source of chance.
        gain: standard deviation of the offset of an image, in grey levels.
        speckle: standard deviation of the noise of a pixel, in grey levels.
    """
    if gain == 0 and speckle == 0:
        return pixels_BSS
    batch = len(pixels_BSS)
    offset = torch.from_numpy(rng.normal(0, gain, (batch, 1, 1)).astype(np.float32))
    noise = torch.from_numpy(rng.standard_normal(tuple(pixels_BSS.shape), dtype=np.float32) * speckle)
    changed = (pixels_BSS.float() + offset + noise).round().clamp(1, 255).to(torch.uint8)
    return torch.where(pixels_BSS == 0, pixels_BSS, changed)
