"""The masked autoencoder: the pixels of hidden patches, from those that are seen."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from knowlip.models.patch_decoder import PatchDecoder
from knowlip.models.vision_model import Pool, VisionModel
from knowlip.models.vit_tokens import chosen, patch_tokens, patchify, placed, through_blocks, unpatchify
from knowlip.objectives.mae import mae_loss, patch_mean_loss
from knowlip.tasks.selfsup.pictures import grid_of_images
from knowlip.tasks.selfsup.settings import MaeConfig
from knowlip.tasks.selfsup.task import SelfSupervision, TileViews, known_pixels
from knowlip.training.augment import uniforms
from knowlip.training.views import ViewMaker

_MASK = 8
"""Added to a seed: chance of what is hidden."""


class MaeModule(nn.Module):
    """Tower and decoder.

    Args:
        model: the tower.
        config: what is hidden, and the decoder.
    """

    def __init__(self, model: VisionModel, config: MaeConfig) -> None:
        super().__init__()
        tower = self.visual_encoder = model.visual_encoder
        self.config, self.normalise = config, model.normalise
        self.side = int(tower.patch_embed.patch_size[0])
        rows, columns = tower.patch_embed.grid_size
        self.grid, self.prefix = (int(rows), int(columns)), int(tower.num_prefix_tokens)
        self.decoder = PatchDecoder(
            int(tower.embed_dim), self.prefix, config.width, config.depth, config.heads, self.side**2, self.grid
        )

    def forward(self, part: TileViews) -> tuple[dict[str, Tensor], None]:
        """The loss of a pass, and what it would be if the mean of each patch were all that is known."""
        images = part.images[0]
        known = patchify(known_pixels(images), self.side)
        said, hidden = self.reconstruct(images, uniforms(part.seed_B + _MASK, known.shape[1]))
        pixels, norm = patchify(self.normalise(images)[:, 0], self.side), self.config.norm_pixels
        floor = patch_mean_loss(pixels, hidden, known, norm)
        return {"loss": mae_loss(said, pixels, hidden, known, norm), "patch_mean": floor}, None

    def reconstruct(self, images: Tensor, noise_BN: Tensor) -> tuple[Tensor, Tensor]:
        """What is said of all patches (B, N, P), and which were hidden (B, N).

        Args:
            images: (B, S, S) uint8.
            noise_BN: the patches of the lowest are seen.
        """
        order_BN = noise_BN.argsort(1)
        seen = int(noise_BN.shape[1] * (1 - self.config.mask))
        patches, grid = patch_tokens(self.visual_encoder, self.normalise(images))
        tokens = placed(self.visual_encoder, patches, grid)
        visible = chosen(tokens[:, self.prefix :], order_BN[:, :seen])
        encoded = through_blocks(self.visual_encoder, torch.cat([tokens[:, : self.prefix], visible], 1))
        hidden = torch.ones_like(noise_BN, dtype=torch.bool).scatter(1, order_BN[:, :seen], False)
        return self.decoder(encoded, order_BN), hidden


class MaskedAutoencoding(SelfSupervision[MaeModule]):
    """MAE on the tiles of a data set."""

    losses: ClassVar = ("loss", "patch_mean")
    pool: ClassVar[Pool] = "avg"

    def make(self) -> MaeModule:
        return MaeModule(self.model, self.config.mae)

    def views(self, part: TileViews, maker: ViewMaker) -> list[Tensor]:
        return [maker.view(0, self.config.vision.image_size)]

    @torch.no_grad()
    def picture(self, images: Tensor) -> bytes:
        """Columns: what was seen, what was said, the tile."""
        module = self.module.eval()
        images = resized(images, self.config.vision.image_size)
        seeds = torch.arange(len(images), device=images.device)
        said, hidden = module.reconstruct(images, uniforms(seeds + _MASK, module.grid[0] * module.grid[1]))
        pixels = patchify(module.normalise(images)[:, 0], module.side)
        if self.config.mae.norm_pixels:  # what is said is relative to mean and deviation: the picture lends them
            said = said * pixels.std(-1, keepdim=True) + pixels.mean(-1, keepdim=True)
        said = torch.where(hidden[..., None], said, pixels)
        seen = pixels.masked_fill(hidden[..., None], 0)
        vision = self.config.vision
        shown = [unpatchify(one.float(), module.grid) * vision.std + vision.mean for one in (seen, said, pixels)]
        return grid_of_images(shown)


def resized(images: Tensor, side: int) -> Tensor:
    """Tiles (B, P, P) uint8 at another side."""
    if images.shape[-1] == side:
        return images
    small = nn.functional.interpolate(
        images[:, None].float(), (side, side), mode="bilinear", antialias=True, align_corners=False
    )
    return small[:, 0].round().clamp(0, 255).to(torch.uint8)
