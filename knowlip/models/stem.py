"""A convolutional stem: small targets are seen before pixels are put together to patches.

A 15-m aircraft is 4 pixels long at 4 m a pixel; a linear patch embedding of 16 pixels mixes it with what stands around.
Early convolutions also make small Vision Transformers learn faster (Xiao et al., NeurIPS 2021, "Early convolutions help
transformers see better").
"""

import torch
from torch import Tensor, nn

_FINEST, _COARSEST = -3, 8
"""Binary logarithm of the metres a pixel between which scales are told apart."""


class Stem(nn.Module):
    """Pixels (B, 1, S, S) -> a map (B, C, S / 8, S / 8).

    Args:
        channels: C; the first two convolutions have a quarter and a half of it.
        blocks: how many residual blocks stand behind them.
        told: whether it is told how many metres a pixel is.
    """

    STRIDE = 8

    def __init__(self, channels: int, blocks: int = 2, told: bool = False) -> None:
        super().__init__()
        first, second = channels // 4, channels // 2
        self.down = nn.Sequential(
            nn.Conv2d(1, first, 5, 2, 2),
            nn.ReLU(),
            nn.Conv2d(first, second, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(second, channels, 3, 2, 1),
        )
        self.blocks = nn.ModuleList([_Block(channels) for _ in range(blocks)])
        self.scales = nn.Embedding(_COARSEST - _FINEST + 2, channels) if told else None
        """One vector for each doubling of the metres a pixel, and one where they are not known."""
        if self.scales is not None:
            nn.init.normal_(self.scales.weight, std=0.1)
        for module in self.down:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        self.to(memory_format=torch.channels_last)  # a third less time on CPUs

    def forward(self, pixels: Tensor, metres_B: Tensor | None = None) -> Tensor:
        """
        Args:
            pixels: (B, 1, S, S).
            metres_B: metres a pixel; NaN, or None for all, where they are not known.
        """
        x = self.down(pixels.contiguous(memory_format=torch.channels_last))
        if self.scales is not None:
            x = x + self._scale(x.shape[0], metres_B, self.scales)[:, :, None, None]
        for block in self.blocks:
            x = block(x)
        return x

    @staticmethod
    def _scale(batch: int, metres_B: Tensor | None, scales: nn.Embedding) -> Tensor:
        """A vector (B, C) between those of the two nearest doublings."""
        table, last = scales.weight, scales.num_embeddings - 1
        if metres_B is None:
            return table[last].expand(batch, -1)
        known = torch.isfinite(metres_B) & (metres_B > 0)
        place = torch.where(known, metres_B, 1.0).float().log2().clamp(_FINEST, _COARSEST) - _FINEST
        below = place.floor().clamp(max=last - 2).long()
        share = (place - below)[:, None]
        between = torch.lerp(table[below], table[below + 1], share.to(table.dtype))
        return torch.where(known[:, None], between, table[last])


class _Block(nn.Module):
    """Depth-wise 5 x 5, then two 1 x 1 convolutions (as ConvNeXt), added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.around = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.norm = nn.GroupNorm(1, channels)
        self.up = nn.Conv2d(channels, 2 * channels, 1)
        self.down = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(nn.functional.relu(self.up(self.norm(self.around(x)))))
