"""Raw pixels as an encoder: no model at all, the floor of every table."""

import torch
from torch import Tensor, nn

from knowlip.models.encoders.protocol import EncoderCard, PixelSpec, prepare

USAGE = "pixels[:SIDE]"
_SIDE, _LARGEST = 32, 256


class PixelEncoder:
    """A tile shrunk to SIDE x SIDE as one vector of SIDE² numbers in 0..1."""

    licence = "none needed"
    prefix = 0

    def __init__(self, side: int = _SIDE) -> None:
        self.name = f"pixels:{side}"
        self.pixels = PixelSpec(1, (0.0,), (1.0,), side)
        self.module: nn.Module = nn.Identity()
        self.width = side * side
        self.card = EncoderCard()

    def tokens(self, images: Tensor) -> Tensor:
        """The whole tile is one token (B, 1, D)."""
        return self.summary(images)[:, None]

    def summary(self, images: Tensor) -> Tensor:
        """(B, D)."""
        return self.module(prepare(images, self.pixels).flatten(1))


def load(name: str, device: str | torch.device, size: int | None = None) -> PixelEncoder:
    """Open `pixels` or `pixels:SIDE`; tiles are on whatever device they come from.

    Raises:
        ValueError: not a side from 1 to 256.
    """
    side = name or str(size or _SIDE)
    if not side.isdigit() or not 1 <= int(side) <= _LARGEST or size not in (None, int(side)):
        raise ValueError(f"pixels:SIDE needs one side from 1 to {_LARGEST} pixels, not {side!r}.")
    return PixelEncoder(int(side))
