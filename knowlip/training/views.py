"""Views: parts of a tile that a self-supervised training compares, drawn where there is something to see.

A crop is one of several that chance proposes. One that shows too little data (grey level 0 is none) is passed over, and
of the others one is drawn with a probability that rises with what it shows: the mean of the gradient by ratio
(:mod:`knowlip.objectives.jepa`), which speckle and brightness do not move. Without that a crop of a harbour is mostly
water. Chance comes from one seed a row, so that every device and any number of processes draw the same.

Shapes: B tiles of S x S pixels, T crops that are proposed.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from knowlip.objectives.jepa import gradient_targets
from knowlip.training.augment import AugmentConfig, GreyScale, augment, uniforms
from knowlip.training.view_settings import ViewConfig

_SCALE = 3
"""Pixels to each side of the gradient that says where something is to be seen."""
_TURNS, _CROPS = 5, 6
"""Added to a seed: kinds of chance apart from those of :mod:`knowlip.training.augment`."""
_VIEW = 64
"""Between the seeds of two views of a tile."""


class ViewMaker:
    """Makes views of a batch of tiles: what they have in common is computed once.

    Args:
        tiles_BSS: uint8; 0 is no data.
        seed_B: int64, one random number a tile.
        scale: what grey levels mean, on the same device.
        config: how views are drawn.
    """

    def __init__(self, tiles_BSS: Tensor, seed_B: Tensor, scale: GreyScale, config: ViewConfig) -> None:
        self.tiles, self.seed_B, self.scale, self.config = tiles_BSS, seed_B, scale, config
        self.known = tiles_BSS != 0
        self.sums = _integrals(tiles_BSS, self.known, content=bool(config.content))

    def view(self, number: int, side: int, area: tuple[float, float] | None = None) -> Tensor:
        """View `number` of each tile (B, side, side) uint8; 0 is no data.

        Args:
            number: whose chance it has.
            side: in pixels.
            area: shares of the tile's area, in place of the settings'.
        """
        config, seed_B = self.config, self.seed_B + _VIEW * (number + 1)
        box_B4 = self.boxes(seed_B, area or config.area)
        images = _cut(self.tiles, box_B4, side, (area or config.area)[1])
        images = _turned(images, uniforms(seed_B + _TURNS, 2), config.augment)
        return augment(images, seed_B, self.scale, config.augment)

    def boxes(self, seed_B: Tensor, area: tuple[float, float]) -> Tensor:
        """Left, top, width and height of a crop of each tile, as shares of its side (B, 4)."""
        count = self.config.proposals
        chance_BTK = uniforms(seed_B + _CROPS, 4 * count + 1)
        pick_B, chance_BTK = chance_BTK[:, -1], chance_BTK[:, :-1].unflatten(1, (count, 4))
        size = area[0] + (area[1] - area[0]) * chance_BTK[..., 0]
        aspect = ((2 * chance_BTK[..., 1] - 1) * math.log(4 / 3)).exp()
        wide, high = (size * aspect).sqrt().clamp(max=1), (size / aspect).sqrt().clamp(max=1)
        box_BT4 = torch.stack([chance_BTK[..., 2] * (1 - wide), chance_BTK[..., 3] * (1 - high), wide, high], -1)
        share_BT, content_BT = _inside(self.sums, box_BT4)
        # The fullest stands for those that have too little: chance picks among what is full enough, or takes it alone.
        enough_BT = share_BT >= torch.minimum(share_BT.amax(1, keepdim=True), share_BT.new_tensor(self.config.min_data))
        weight_BT = content_BT.clamp(min=1e-6).pow(self.config.content) * enough_BT
        upto_BT = weight_BT.cumsum(1)
        taken_B = (upto_BT < pick_B[:, None] * upto_BT[:, -1:]).sum(1).clamp(max=count - 1)
        return box_BT4[torch.arange(len(box_BT4), device=box_BT4.device), taken_B]


def _integrals(tiles_BSS: Tensor, known_BSS: Tensor, content: bool) -> Tensor:
    """Sums over the rectangle up to each corner (B, 3, S + 1, S + 1): pixels with data, those whose gradient is known,
    and their gradients; of plain ones where content does not matter."""
    seen = known_BSS.double()
    parts = [seen, seen, seen]
    if content and tiles_BSS.shape[-1] > _SCALE:
        value, sure = gradient_targets(tiles_BSS.float() / 255, known_BSS, (_SCALE,))
        parts[1:] = [sure[:, 0].double(), (value * sure)[:, 0].double()]
    return F.pad(torch.stack(parts, 1).cumsum(-1).cumsum(-2), (1, 0, 1, 0))


def _inside(sums_B3SS: Tensor, box_BT4: Tensor) -> tuple[Tensor, Tensor]:
    """Share of each box that has data, and the mean gradient in it, both (B, T)."""
    side = sums_B3SS.shape[-1] - 1
    low = (box_BT4[..., :2] * side).round().long().clamp(0, side - 1)
    high = torch.maximum(((box_BT4[..., :2] + box_BT4[..., 2:]) * side).round().long().clamp(max=side), low + 1)

    def at(row_BT: Tensor, column_BT: Tensor) -> Tensor:
        place_BT = row_BT * (side + 1) + column_BT
        return sums_B3SS.flatten(2).gather(2, place_BT[:, None].expand(-1, 3, -1))

    left, top, right, bottom = low[..., 0], low[..., 1], high[..., 0], high[..., 1]
    total_B3T = at(bottom, right) - at(top, right) - at(bottom, left) + at(top, left)
    area_BT = ((right - left) * (bottom - top)).double()
    mean_BT = total_B3T[:, 2] / total_B3T[:, 1].clamp(min=1)
    return (total_B3T[:, 0] / area_BT).float(), mean_BT.float()


def _cut(tiles_BSS: Tensor, box_B4: Tensor, side: int, largest: float) -> Tensor:
    """The boxes at one side (B, side, side) uint8, bilinear over pixels with data alone: a pixel of which less than
    half has data has none. Where crops shrink, several points of each pixel are averaged."""
    points = max(1, round(math.sqrt(largest) * tiles_BSS.shape[-1] / side))
    left, top, wide, high = box_B4.T
    zero = torch.zeros_like(left)
    rows = [torch.stack([wide, zero, 2 * left + wide - 1], 1), torch.stack([zero, high, 2 * top + high - 1], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), [len(tiles_BSS), 1, side * points, side * points], align_corners=False)
    known = (tiles_BSS != 0).float()
    both = torch.stack([tiles_BSS.float(), known], 1)  # level 0 adds nothing to the sum
    part = F.grid_sample(both, grid, padding_mode="border", align_corners=False)
    part = F.avg_pool2d(part, points) if points > 1 else part
    level = (part[:, 0] / part[:, 1].clamp(min=1e-6)).round_().clamp_(1, 255)
    return torch.where(part[:, 1] >= 0.5, level, 0.0).to(torch.uint8)


def _turned(images_BSS: Tensor, chance_B2: Tensor, config: AugmentConfig) -> Tensor:
    """Mirrored and turned by quarters, as often as the settings say."""
    flip_B, turn_B = chance_B2[:, 0] < config.flips, chance_B2[:, 1] < config.rotations
    images = torch.where(flip_B[:, None, None], images_BSS.flip(-1), images_BSS) if config.flips else images_BSS
    if not config.rotations:
        return images
    # What is left of the second number says by how much.
    quarters_B = 1 + (chance_B2[:, 1] / config.rotations * 3).long().clamp(max=2)
    ways = torch.stack([images.rot90(quarters, (-2, -1)) for quarters in range(4)])
    return ways[torch.where(turn_B, quarters_B, 0), torch.arange(len(images), device=images.device)]
