"""Where in an image the evidence of an answer lies, as a picture and an array."""

from pathlib import Path
from typing import Final, NotRequired, TypedDict

import matplotlib
import numpy as np
import torch
from PIL import Image
from scipy import ndimage

from knowlip.base.files import whole_file
from knowlip.base.progress import say
from knowlip.inference.images import TakenImage
from knowlip.inference.opened import width_m
from knowlip.models import KnowLIP
from knowlip.models.evidence import EvidenceKind, evidence_maps

_STRONGEST: Final = 0.75
"""How much of the picture is colour where the evidence is strongest."""
_HALF: Final = 0.5
"""Share of the highest evidence that counts as part of it."""
_LEAST_SIDE: Final = 512
"""A smaller picture is drawn larger."""


class DrawnEvidence(TypedDict):
    """A heat map that was written."""

    of: str
    """Words."""
    by: str
    """"gradient" or "attention"."""
    picture: str
    array: str
    """float32 (H, W) of the image, 0 to 1."""
    box: list[float] | None
    """Around the evidence: left, top, right, bottom in pixels of the image; None where there is none."""
    box_lonlat: NotRequired[list[float] | None]
    """The same as west, south, east, north in degrees; None where the place is not known."""
    window: NotRequired[dict[str, int]]
    """Of a scene: row and column of the window that it is drawn for."""


def draw_evidence(
    model: KnowLIP, image: TakenImage, question: str, words: str, kind: EvidenceKind, path: Path
) -> DrawnEvidence:
    """Write the heat map of an answer over its image, and beside it the array.

    Args:
        model: in evaluation mode.
        image: that was asked about.
        question: or a text with one [MASK].
        words: whose evidence is drawn.
        kind: how it is found.
        path: of the picture, ends in .png; the array is there with .npy.

    Raises:
        ValueError: no evidence can be drawn of these words; see :func:`knowlip.models.evidence.evidence_maps`.
    """
    pixels = model.prepare([image.pixels])
    width = torch.tensor([width_m(image)], device=pixels.device)
    (square,) = evidence_maps(model, pixels, width, [question], [words], kind)
    if not square.any():
        say(f"Nothing in the image changes the probability of {words!r}: the map is empty.")
    height, wide = image.pixels.shape
    shown = np.asarray(Image.fromarray(square).resize((wide, height), Image.Resampling.BILINEAR), np.float32)
    array = path.with_suffix(".npy")
    with whole_file(array) as part, part.open("wb") as stream:
        np.save(stream, shown)
    with whole_file(path) as part:
        overlay(image.pixels, shown).save(part, format="png")
    return {"of": words, "by": kind, "picture": str(path), "array": str(array), "box": evidence_box(shown)}


def evidence_box(heat: np.ndarray) -> list[float] | None:
    """The box around the evidence: around the peak, as far as the map holds together at half of its height.

    Args:
        heat: (H, W), at least 0.

    Returns:
        Left, top, right, bottom in pixels; None of an empty map.
    """
    highest = float(heat.max())
    if not highest > 0:
        return None
    peak = np.unravel_index(int(heat.argmax()), heat.shape)
    parts, _ = ndimage.label(heat >= _HALF * highest, np.ones((3, 3), int))
    rows, columns = np.nonzero(parts == parts[peak])
    return [float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1)]


def overlay(pixels: np.ndarray, heat: np.ndarray) -> Image.Image:
    """A grey image with a heat map over it.

    Args:
        pixels: (H, W) uint8.
        heat: (H, W), 0 to 1.
    """
    grey = np.repeat(pixels[..., None].astype(np.float32), 3, axis=2)
    seen = np.sqrt(heat)  # weak evidence is seen too
    colour = matplotlib.colormaps["inferno"](seen)[..., :3] * 255
    share = _STRONGEST * seen[..., None]
    picture = Image.fromarray((grey * (1 - share) + colour * share).clip(0, 255).astype(np.uint8))
    larger = max(1, -(-_LEAST_SIDE // max(pixels.shape)))
    return picture.resize((picture.width * larger, picture.height * larger), Image.Resampling.NEAREST)
