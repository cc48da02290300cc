"""DINO with iBOT: a student says of small views, and of patches that it does not see, what its average says of all."""

import math
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from knowlip.jobs.ranks import sum_over_ranks, world
from knowlip.models.distillation import Prototypes
from knowlip.models.vision_model import VisionModel
from knowlip.models.vit_tokens import patch_tokens, patchify, placed, through_blocks
from knowlip.objectives.dino import dino_loss, moved_center, sharpened
from knowlip.objectives.ibot import ibot_loss
from knowlip.tasks.selfsup.settings import DinoConfig
from knowlip.tasks.selfsup.spread import spread
from knowlip.tasks.selfsup.task import SelfSupervision, TileViews, known_pixels
from knowlip.training.ema import momentum_copy, update_momentum
from knowlip.training.schedule import cosine
from knowlip.training.views import ViewMaker

_GLOBAL = 2
"""Large views of an image."""
_ENOUGH = 0.5
"""Share of a patch that must have data to be a target."""
_TRIES = 10
"""Blocks that are tried before no more patches are hidden."""
_SMALLEST_BLOCK = 1 / 3
"""Side of the smallest block, in sides of the grid."""
_ASPECT = math.log(1 / 0.3)
"""Logarithm of the longest block's aspect."""


class DinoModule(nn.Module):
    """Student and teacher.

    Args:
        model: the tower, which is the student's.
        config: sizes and temperatures.
    """

    center_K: Tensor
    patch_center_K: Tensor

    def __init__(self, model: VisionModel, config: DinoConfig) -> None:
        super().__init__()
        tower, self.config, self.normalise = model.visual_encoder, config, model.normalise
        self.side, self.prefix = int(tower.patch_embed.patch_size[0]), int(tower.num_prefix_tokens)
        patches = config.patch_prototypes if config.patch_weight else 0
        head = Prototypes(int(tower.embed_dim), config.hidden, config.bottleneck, config.prototypes, patches)
        of_patches = patches or config.prototypes
        self.student = nn.ModuleDict({"visual_encoder": tower, "head": head})
        self.ema = momentum_copy(self.student)
        if config.patch_weight:
            self.mask_token = nn.Parameter(torch.zeros(int(tower.embed_dim)))
        self.register_buffer("center_K", torch.zeros(config.prototypes))
        self.register_buffer("patch_center_K", torch.zeros(of_patches))

    def forward(
        self, part: TileViews, frozen: bool, temperature: float, patch_temperature: float
    ) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor]]:
        """The losses of a pass, how the teacher is, and the means of its logits.

        Args:
            part: two large views first.
            frozen: whether prototypes learn nothing.
            temperature, patch_temperature: of the teacher.
        """
        config, batch = self.config, len(part.images[0])
        large = torch.cat(part.images[:_GLOBAL])
        with torch.no_grad():
            seen = self._tokens(self.ema, large)
            teacher = self.ema["head"].of_images(seen[:, 0]).unflatten(0, (_GLOBAL, batch))  # type: ignore[operator]
        hidden = None if part.hidden_GBN is None else part.hidden_GBN.flatten(0, 1)
        if hidden is not None:  # what has no data is hidden from nobody, and is no target
            share = patchify(known_pixels(large), self.side).float().mean(-1)
            hidden = hidden & (share >= _ENOUGH)
        tokens, head = self._tokens(self.student, large, hidden), self.student["head"]
        said = [head.of_images(tokens[:, 0], frozen).unflatten(0, (_GLOBAL, batch))]  # type: ignore[operator]
        if small := part.images[_GLOBAL:]:
            of_small = self._tokens(self.student, torch.cat(small))[:, 0]
            said.append(head.of_images(of_small, frozen).unflatten(0, (len(small), batch)))  # type: ignore[operator]
        student_t = config.student_temperature
        losses = {"dino": dino_loss(torch.cat(said), teacher, self.center_K, student_t, temperature)}
        patch_mean = self.patch_center_K
        if hidden is not None:
            view_M, place_M = hidden.nonzero(as_tuple=True)
            mine = head.of_patches(tokens[view_M, self.prefix + place_M], frozen)  # type: ignore[operator]
            with torch.no_grad():
                theirs = self.ema["head"].of_patches(seen[:, self.prefix :])  # type: ignore[operator]
            patch_mean = theirs.mean((0, 1))
            losses["ibot"] = ibot_loss(
                mine, theirs[view_M, place_M], view_M, len(large), self.patch_center_K, student_t, patch_temperature
            )
        total = losses["dino"] + config.patch_weight * losses.setdefault("ibot", teacher.new_zeros(()))
        health = _teacher_figures(sharpened(teacher, self.center_K, temperature))
        return {"loss": total, **losses, **health, "spread": spread(seen[:, 0])}, (teacher.mean((0, 1)), patch_mean)

    def _tokens(self, towers: nn.ModuleDict, images: Tensor, hidden_BN: Tensor | None = None) -> Tensor:
        """(B, S, S) uint8 -> (B, P + N, D); hidden patches are replaced by a learned token before they get their
        position."""
        tower: Any = towers["visual_encoder"]
        patches, grid = patch_tokens(tower, self.normalise(images))
        if hidden_BN is not None:
            patches = torch.where(hidden_BN[..., None], self.mask_token.to(patches.dtype), patches)
        return through_blocks(tower, placed(tower, patches, grid))


def _teacher_figures(p_GBK: Tensor) -> dict[str, Tensor]:
    """How undecided the teacher is about an image (1: it says everything of each), and how many prototypes it uses over
    all images (1: it says the same of all)."""
    p = p_GBK.flatten(0, 1)
    mean = p.mean(0)
    row = -(p * (p + 1e-12).log()).sum(-1).mean() / math.log(max(2, p.shape[-1]))
    return {"teacher_entropy": row, "prototypes": (-(mean * (mean + 1e-12).log()).sum()).exp()}


class SelfDistillation(SelfSupervision[DinoModule]):
    """DINO with iBOT on the tiles of a data set."""

    losses: ClassVar = ("loss", "dino", "ibot", "teacher_entropy", "prototypes", "spread")
    tower_names: ClassVar = "ema.visual_encoder."

    def make(self) -> DinoModule:
        config, tower = self.config, self.model.visual_encoder
        side = int(tower.patch_embed.patch_size[0])
        if tower.cls_token is None:
            raise ValueError(f"{config.vision.name} has no class token, which dino learns with.")
        if config.dino.local_views and config.dino.local_px % side:
            raise ValueError(f"dino.local_px must be a multiple of the patch of {side} px, not {config.dino.local_px}.")
        rows, columns = tower.patch_embed.grid_size
        self.grid = int(rows), int(columns)
        module = DinoModule(self.model, config.dino)
        # What is measured on the way and kept is the teacher.
        self.teacher = VisionModel(config.vision, self.model.pool, self.model.positions)
        self.teacher.visual_encoder = module.ema["visual_encoder"]  # type: ignore[assignment]
        return module

    @property
    def tower(self) -> VisionModel:
        return self.teacher

    def views(self, part: TileViews, maker: ViewMaker) -> list[Tensor]:
        config, side = self.config.dino, self.config.vision.image_size
        large = [maker.view(number, side) for number in range(_GLOBAL)]
        small = range(_GLOBAL, _GLOBAL + config.local_views)
        return large + [maker.view(number, config.local_px, config.local_area) for number in small]

    def hide(self, rows: np.ndarray, seeds: np.ndarray) -> np.ndarray | None:
        config = self.config.dino
        if not config.patch_weight:
            return None
        masks = np.zeros((len(rows), _GLOBAL, math.prod(self.grid)), bool)
        for row, seed in enumerate(seeds.tolist()):
            chance = np.random.default_rng([seed, 9])
            for view in range(_GLOBAL):
                if chance.random() < config.masked:
                    masks[row, view] = block_mask(chance, *self.grid, chance.uniform(*config.mask)).ravel()
        return masks

    def arguments(self, step: int) -> tuple[Any, ...]:
        super().arguments(step)
        config = self.config.dino
        risen = min(1.0, step / max(1.0, config.teacher_warmup * self.total)) if config.teacher_warmup else 1.0
        now = [
            config.first_temperature + (last - config.first_temperature) * risen
            for last in (config.teacher_temperature, config.patch_temperature)
        ]
        return step < config.freeze_prototypes * self.total, *now

    def after_step(self, given: list[Any]) -> None:
        """The teacher follows, and the centres move to the mean of what it said, over passes and processes."""
        module, config = self.module, self.config.dino
        for center, means in zip((module.center_K, module.patch_center_K), zip(*given)):
            mean = sum_over_ranks(torch.stack(means).mean(0)) / world()
            center.copy_(moved_center(center, mean, config.center_momentum))
        update_momentum(module.ema, module.student, cosine(self.step, self.total, config.momentum, 1.0))


def block_mask(chance: np.random.Generator, rows: int, columns: int, share: float) -> np.ndarray:
    """Hide patches in rectangles, as BEiT and iBOT do (Bao et al. 2022, Algorithm 1).

    Args:
        chance: source of chance.
        rows, columns: of the grid.
        share: of the patches, at most.

    Returns:
        (rows, columns) bool: at most that share, as near to it as blocks come.
    """
    mask, most = np.zeros((rows, columns), bool), share * rows * columns
    least = (min(rows, columns) * _SMALLEST_BLOCK) ** 2
    tries = 0
    while mask.sum() < most and tries < _TRIES:
        left = most - mask.sum()
        area, aspect = chance.uniform(min(least, left), left), math.exp(chance.uniform(-_ASPECT, _ASPECT))
        height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        tries += 1
        if 0 < height < rows and 0 < width < columns:
            top, first = chance.integers(rows - height + 1), chance.integers(columns - width + 1)
            block = mask[top : top + height, first : first + width]
            new = block.size - block.sum()
            if 0 < new <= left:
                block[:], tries = True, 0
    return mask
