"""SAR-JEPA: the gradients of hidden patches, from the few that are seen around them in a small window.

Windows are drawn for each image by itself; the published code draws them once for a batch. Everything else is as there
(`models_lomar.py`): hidden patches are learned tokens of the encoder, every window is read by itself, and a decoder
with relative positions says the gradients of all scales.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from knowlip.models.patch_decoder import PatchDecoder
from knowlip.models.vision_model import Pool, VisionModel
from knowlip.models.vit_tokens import chosen, patch_tokens, patchify, placed, through_blocks, unpatchify
from knowlip.objectives.jepa import gradient_targets, jepa_loss
from knowlip.tasks.selfsup.mae import resized
from knowlip.tasks.selfsup.pictures import grid_of_images
from knowlip.tasks.selfsup.settings import JepaConfig
from knowlip.tasks.selfsup.task import SelfSupervision, TileViews, known_pixels
from knowlip.training.augment import uniforms
from knowlip.training.views import ViewMaker

_MASK = 8
"""Added to a seed: chance of windows and of what is hidden."""


class JepaModule(nn.Module):
    """Tower, mask token and decoder.

    Args:
        model: the tower.
        config: windows, scales, decoder.
    """

    def __init__(self, model: VisionModel, config: JepaConfig) -> None:
        super().__init__()
        tower = self.visual_encoder = model.visual_encoder
        self.config, self.normalise = config, model.normalise
        self.side, self.prefix = int(tower.patch_embed.patch_size[0]), int(tower.num_prefix_tokens)
        rows, columns = tower.patch_embed.grid_size
        self.grid, width = (int(rows), int(columns)), int(tower.embed_dim)
        outputs = len(config.scales) * self.side**2
        self.decoder = PatchDecoder(width, self.prefix, config.width, config.depth, config.heads, outputs, None)
        self.mask_token = nn.Parameter(torch.zeros(width))
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(self, part: TileViews) -> tuple[dict[str, Tensor], None]:
        """The loss of a pass, and what it would be if the mean gradient of each image were all that is known."""
        images, config = part.images[0], self.config
        target, known = self.targets(images)
        place_BWK, hidden_BWK = self.windows(part.seed_B)
        said = self.predict(images, place_BWK, hidden_BWK)
        # Windows of an image are one row of patches: its mean is over all that is hidden in any of them.
        place_BK, hidden_BK = place_BWK.flatten(1), hidden_BWK.flatten(1)
        asked, sure = chosen(target, place_BK), chosen(known, place_BK)
        said = said.unflatten(0, (len(images), config.windows)).flatten(1, 2)
        # One number a scale and image: what is hidden counts alone.
        counts = (sure & hidden_BK[..., None]).unflatten(-1, (len(config.scales), -1))
        scales = asked.unflatten(-1, (len(config.scales), -1))
        mean = (scales * counts).sum((1, 3), keepdim=True) / counts.sum((1, 3), keepdim=True).clamp(min=1)
        floor = jepa_loss(mean.expand_as(scales).flatten(-2), asked, hidden_BK, sure)
        return {"loss": jepa_loss(said, asked, hidden_BK, sure), "image_mean": floor}, None

    def targets(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of all patches (B, N, F), scale by scale, and which are known."""
        value, known = gradient_targets(images.float() / 255, known_pixels(images), self.config.scales)
        return tuple(torch.cat([patchify(one, self.side) for one in part.unbind(1)], -1) for part in (value, known))  # type: ignore[return-value]

    def windows(self, seed_B: Tensor) -> tuple[Tensor, Tensor]:
        """Windows of each image: numbers of their patches row by row (B, W, K), and which are hidden."""
        config, (rows, columns) = self.config, self.grid
        side, count = config.window, config.windows
        corner = uniforms(seed_B + _MASK, 2 * count).unflatten(1, (count, 2))
        top = (corner[..., 0] * (rows - side + 1)).long().clamp(max=rows - side)
        left = (corner[..., 1] * (columns - side + 1)).long().clamp(max=columns - side)
        inside = torch.arange(side, device=seed_B.device)
        row, column = top[..., None] + inside, left[..., None] + inside
        place = (row[..., :, None] * columns + column[..., None, :]).flatten(2)
        noise = uniforms(seed_B + _MASK + 1, count * side * side).unflatten(1, (count, side * side))
        hidden = noise.argsort(-1).argsort(-1) < int(side * side * config.mask)
        return place, hidden

    def predict(self, images: Tensor, place_BWK: Tensor, hidden_BWK: Tensor) -> Tensor:
        """What is said of every patch of every window (B * W, K, F)."""
        tower, windows = self.visual_encoder, place_BWK.shape[1]
        patches, grid = patch_tokens(tower, self.normalise(images))
        # A patch may be hidden in one window and seen in another, so each window has tokens of its own.
        within = chosen(patches, place_BWK.flatten(1)).unflatten(1, (windows, -1))
        within = torch.where(hidden_BWK[..., None], self.mask_token.to(within.dtype), within).flatten(0, 1)
        nothing = placed(tower, torch.zeros_like(patches), grid)  # positions, where the tower has absolute ones
        prefix = nothing[:, : self.prefix].repeat_interleave(windows, 0)
        position = chosen(nothing[:, self.prefix :], place_BWK.flatten(1)).unflatten(1, (windows, -1)).flatten(0, 1)
        return self.decoder(through_blocks(tower, torch.cat([prefix, within + position], 1)))


class JointEmbeddingPrediction(SelfSupervision[JepaModule]):
    """SAR-JEPA on the tiles of a data set."""

    losses: ClassVar = ("loss", "image_mean")
    pool: ClassVar[Pool] = "avg"

    def make(self) -> JepaModule:
        config, tower = self.config, self.model.visual_encoder
        grid, side = min(tower.patch_embed.grid_size), config.vision.image_size
        if config.jepa.window > grid:
            raise ValueError(f"jepa.window of {config.jepa.window} patches is larger than the grid of {grid}.")
        if max(config.jepa.scales) >= side:
            raise ValueError(f"jepa.scales of {max(config.jepa.scales)} px need images of more than {side} px.")
        if tower.num_prefix_tokens != 1:
            raise ValueError(
                f"{config.vision.name} has {tower.num_prefix_tokens} tokens before the patches: jepa needs 1."
            )
        if not isinstance(tower.norm_pre, nn.Identity):
            raise ValueError(f"{config.vision.name} normalises positions with patches: jepa reads them apart.")
        return JepaModule(self.model, config.jepa)

    def views(self, part: TileViews, maker: ViewMaker) -> list[Tensor]:
        return [maker.view(0, self.config.vision.image_size)]

    @torch.no_grad()
    def picture(self, images: Tensor) -> bytes:
        """Columns: the tile with what was seen of its windows, gradients that were said and true ones, at the finest
        scale; outside of the windows and where they are not known, black."""
        module = self.module.eval()
        images = resized(images, self.config.vision.image_size)
        place_BWK, hidden_BWK = module.windows(torch.arange(len(images), device=images.device))
        said = module.predict(images, place_BWK, hidden_BWK)[..., : module.side**2].float()
        target, known = (one[..., : module.side**2] for one in module.targets(images))
        blank, place_BK = torch.zeros_like(target), place_BWK.flatten(1)[..., None].expand(-1, -1, module.side**2)
        hidden = hidden_BWK.flatten(1)[..., None] & chosen(known, place_BWK.flatten(1))
        drawn = blank.scatter(1, place_BK, said.unflatten(0, (len(images), -1)).flatten(1, 2) * hidden)
        true = blank.scatter(1, place_BK, chosen(target, place_BWK.flatten(1)) * hidden)
        seen = patchify(images.float() / 255, module.side)
        covered = torch.zeros_like(seen).scatter(
            1, place_BK, (~hidden_BWK.flatten(1)).float()[..., None].expand_as(place_BK)
        )
        brightest = true.amax().clamp(min=1e-6)
        shown = [seen * covered, drawn / brightest, true / brightest]
        return grid_of_images([unpatchify(one, module.grid) for one in shown])
