"""What a radar may change without changing the scene: gain, speckle, looks, a shift by a few pixels.

All of it happens in power, behind the quantiser of the tile: gain and speckle multiply power, so on a scale that is
linear in dB they add. No data (0) stays no data. Chance comes from one seed a row by a counter-based generator, in
tensor operations that give the same numbers on every device, however rows are shared out among processes.

Flips and rotations are not here but in :mod:`knowlip.language.directions`: they change the words too.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from knowlip.training.settings import AugmentConfig


@dataclass
class GreyScale:
    """How grey levels 1 to 255 of B tiles mean power.

    Up to constants, which do not matter here: power in dB = level / 254 * span where the scale is linear in dB;
    amplitude = level - 1 + offset where it is linear in amplitude.
    """

    is_db_B: Tensor
    span_db_B: Tensor
    """Width of the scale where it is linear in dB."""
    offset_B: Tensor
    """Amplitude of level 1 in steps of a level, where it is linear in amplitude."""
    all_db: bool
    """Whether all are linear in dB: then the other way need not be computed. Known here, as asking a GPU would wait."""
    root_B2: Tensor | None = None
    """Slope and intercept of the square root of the stored level in the level that is shown, where tiles are shown
    otherwise than they are stored (:func:`knowlip.tasks.chips.evened`): root = slope * level + intercept."""

    @classmethod
    def of(cls, tiles: pd.DataFrame) -> "GreyScale":
        """From the columns `quantiser`, `quantiser_lo` and `quantiser_hi` of the index; 8-bit images that were imported
        as they are (no limits known) count as linear in amplitude from 0."""
        names = tiles["quantiser"].astype(str)
        low, high = tiles["quantiser_lo"].to_numpy(float), tiles["quantiser_hi"].to_numpy(float)
        known = np.isfinite(low) & np.isfinite(high) & (high > low)
        is_sqrt = names.str.startswith("sqrt-").to_numpy()
        with np.errstate(invalid="ignore", over="ignore"):
            ratio = 10 ** ((high - low) / 20)
            offset = np.where(known & is_sqrt, 254 / (ratio - 1), 1.0)
        is_db = known & ~is_sqrt
        return cls(
            torch.from_numpy(is_db),
            torch.from_numpy(np.where(is_db, high - low, 1.0).astype(np.float32)),
            torch.from_numpy(offset.astype(np.float32)),
            bool(is_db.all()),
        )

    def rows(self, rows: np.ndarray) -> "GreyScale":
        """Those of some tiles (on the CPU)."""
        index = torch.from_numpy(np.asarray(rows, np.int64))
        is_db_B = self.is_db_B[index]
        root_B2 = None if self.root_B2 is None else self.root_B2[index]
        return GreyScale(is_db_B, self.span_db_B[index], self.offset_B[index], bool(is_db_B.all()), root_B2)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "GreyScale":
        """The same on another device."""
        return GreyScale(
            self.is_db_B.to(device, non_blocking=non_blocking),
            self.span_db_B.to(device, non_blocking=non_blocking),
            self.offset_B.to(device, non_blocking=non_blocking),
            self.all_db,
            None if self.root_B2 is None else self.root_B2.to(device, non_blocking=non_blocking),
        )

    def to_db(self, level_BSS: Tensor) -> Tensor:
        """Grey levels -> dB up to a constant of each tile."""
        is_db, span, offset = (value[:, None, None] for value in (self.is_db_B, self.span_db_B, self.offset_B))
        level_BSS = level_BSS.float()
        if self.root_B2 is not None:
            slope, intercept = self.root_B2.T[:, :, None, None]
            level_BSS = (slope * level_BSS + intercept).clamp_(min=0).square_()
        step = level_BSS.sub_(1)
        if self.all_db:
            return step.mul_(span / 254)
        return torch.where(is_db, step * (span / 254), 20 * (step + offset).clamp(min=1e-3).log10())

    def to_level(self, db_BSS: Tensor) -> Tensor:
        """The inverse: levels 1 to 255, uint8."""
        is_db, span, offset = (value[:, None, None] for value in (self.is_db_B, self.span_db_B, self.offset_B))
        step = db_BSS * (254 / span)
        if not self.all_db:
            step = torch.where(is_db, step, 10 ** (db_BSS / 20) - offset)
        level_BSS = step.add_(1)
        if self.root_B2 is not None:
            slope, intercept = self.root_B2.T[:, :, None, None]
            level_BSS = (level_BSS.clamp_(min=0).sqrt_() - intercept) / slope
        return level_BSS.round_().clamp_(1, 255).to(torch.uint8)


def augment(pixels_BSS: Tensor, seed_B: Tensor, scale: GreyScale, config: AugmentConfig) -> Tensor:
    """Change gain, speckle, looks and place of tiles; same seeds, same result.

    Args:
        pixels_BSS: uint8; 0 (no data) stays 0.
        seed_B: int64, one random number a row.
        scale: of each row, on the same device.
        config: how much.
    """
    batch, side = len(pixels_BSS), pixels_BSS.shape[-1]
    of_row_B4 = uniforms(seed_B, 4)
    if config.shift_px:
        pixels_BSS = _shifted(pixels_BSS, of_row_B4[:, :2], config.shift_px)
    if not config.changes_power:
        return pixels_BSS
    is_data = pixels_BSS != 0
    db = scale.to_db(pixels_BSS)
    if config.multilook:
        averaged = _averaged(db, is_data, config.multilook_px)
        db = torch.where((of_row_B4[:, 2] < config.multilook)[:, None, None], averaged, db)
    if config.gain_db:
        db = db + config.gain_db * normals(seed_B + 1, 1)[:, :, None]
    if config.speckle_looks:
        db = db + gamma_db(normals(seed_B + 2, side * side), config.speckle_looks).view(batch, side, side)
    return torch.where(is_data, scale.to_level(db), pixels_BSS)


def resized_crop(pixels_BSS: Tensor, seed_B: Tensor, smallest: float) -> Tensor:
    """A part of each image, brought to the side of all (bilinear); same seeds, same part.

    Args:
        pixels_BSS: uint8.
        seed_B: int64, one random number a row; chance is drawn apart from that of :func:`augment`.
        smallest: of the area, the share that a part has at least. Its sides are as 3:4 to 4:3, cut to the image.
    """
    chance_B4 = uniforms(seed_B + 3, 4)
    area = smallest + (1 - smallest) * chance_B4[:, 0]
    aspect = ((2 * chance_B4[:, 1] - 1) * math.log(4 / 3)).exp()
    wide, high = (area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)
    zero = torch.zeros_like(wide)
    x, y = (2 * chance_B4[:, 2] - 1) * (1 - wide), (2 * chance_B4[:, 3] - 1) * (1 - high)
    theta_B23 = torch.stack([torch.stack([wide, zero, x], 1), torch.stack([zero, high, y], 1)], 1)
    grid = F.affine_grid(theta_B23, [len(pixels_BSS), 1, *pixels_BSS.shape[1:]], align_corners=False)
    part = F.grid_sample(pixels_BSS[:, None].float(), grid, padding_mode="border", align_corners=False)
    return part[:, 0].round_().clamp_(0, 255).to(torch.uint8)


def uniforms(seed_B: Tensor, number: int) -> Tensor:
    """(B, number) float32 in (0, 1) from int64 seeds: a counter and the seed through an integer hash."""
    low, high = _to_int32(seed_B), _to_int32(seed_B >> 32)
    count = torch.arange(number, dtype=torch.int32, device=seed_B.device)
    bits = _hash(_hash(count[None] ^ _hash(low)[:, None]) + high[:, None])
    return ((bits >> 8) & 0xFFFFFF).float().add_(0.5).mul_(2.0**-24)


def normals(seed_B: Tensor, number: int) -> Tensor:
    """(B, number) standard normal float32 (Box and Muller)."""
    half = (number + 1) // 2
    chance = uniforms(seed_B, 2 * half)
    radius = chance[:, :half].log().mul_(-2).sqrt_()
    angle = chance[:, half:].mul_(2 * math.pi)
    return torch.cat([radius * angle.cos(), radius * angle.sin()], 1)[:, :number]


def gamma_db(normal: Tensor, looks: float) -> Tensor:
    """A gamma variable of mean 1 and variance 1 / looks, in dB, from a standard normal one.

    Wilson and Hilferty (PNAS 17, 1931): the cube root of a gamma variable is nearly normal; the distribution function
    is off by less than 0.01 at one look and 0.001 from five on.
    """
    root = normal * (1 / (3 * math.sqrt(looks))) + (1 - 1 / (9 * looks))
    return root.clamp_(min=0.05).log_().mul_(30 / math.log(10))


def _averaged(db: Tensor, is_data: Tensor, side: int) -> Tensor:
    """Mean power over a box, of the pixels that have data."""
    weight = is_data.float()[:, None]
    power = torch.pow(10.0, db / 10)[:, None] * weight
    total = F.avg_pool2d(power, side, 1, side // 2)
    share = F.avg_pool2d(weight, side, 1, side // 2)
    return 10 * (total / share.clamp(min=1e-6)).clamp(min=1e-12).log10()[:, 0]


def _shifted(pixels_BSS: Tensor, chance_B2: Tensor, most: int) -> Tensor:
    """Each image moved by up to `most` pixels along both axes, mirrored at the edges."""
    side = pixels_BSS.shape[-1]
    offset_B2 = (chance_B2 * (2 * most + 1)).long() - most
    place = torch.arange(side, device=pixels_BSS.device)
    rows, columns = ((place[None] + offset_B2[:, axis, None]).abs() for axis in (0, 1))
    rows, columns = ((side - 1) - ((side - 1) - axis).abs() for axis in (rows, columns))
    image = torch.arange(len(pixels_BSS), device=pixels_BSS.device)
    return pixels_BSS[image[:, None, None], rows[:, :, None], columns[:, None, :]]


def _to_int32(x: Tensor) -> Tensor:
    """The low 32 bits."""
    x = x & 0xFFFFFFFF
    return torch.where(x >= 2**31, x - 2**32, x).to(torch.int32)


def _hash(x: Tensor) -> Tensor:
    """A well-mixing permutation of int32 (Wellons' "lowbias32"); multiplication wraps."""
    x = (x ^ ((x >> 16) & 0xFFFF)).mul_(0x7FEB352D)
    x = x.bitwise_xor_((x >> 15) & 0x1FFFF).mul_(-2073254261)  # 0x846CA68B
    return x.bitwise_xor_((x >> 16) & 0xFFFF)
