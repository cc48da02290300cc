"""MoCo v3: two views of a tile are alike to encoder and momentum encoder, more than those of other tiles."""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from knowlip.jobs.ranks import gather, rank, world
from knowlip.models.distillation import projector
from knowlip.models.vision_model import VisionModel
from knowlip.objectives.moco import moco_loss
from knowlip.tasks.selfsup.settings import MocoConfig
from knowlip.tasks.selfsup.spread import spread
from knowlip.tasks.selfsup.task import SelfSupervision, TileViews
from knowlip.training.ema import momentum_copy, update_momentum
from knowlip.training.schedule import cosine
from knowlip.training.views import ViewMaker

_LAYERS = 3
"""Of the projector; the predictor has one less."""


class MocoModule(nn.Module):
    """Encoder with projector and predictor, and the momentum encoder with its projector.

    Args:
        model: the tower.
        config: sizes and temperature.
    """

    def __init__(self, model: VisionModel, config: MocoConfig) -> None:
        super().__init__()
        tower, self.config, self.model = model.visual_encoder, config, _Hidden(model)
        if config.freeze_patches:
            tower.patch_embed.requires_grad_(False)
        width, hidden = int(tower.embed_dim), config.width
        self.base = nn.ModuleDict(
            {"visual_encoder": tower, "projector": projector(width, hidden, config.embed_dim, _LAYERS)}
        )
        self.predictor = projector(config.embed_dim, hidden, config.embed_dim, _LAYERS - 1)
        self.ema = momentum_copy(self.base)

    def embed(self, towers: nn.ModuleDict, images: Tensor) -> Tensor:
        """(B, S, S) uint8 -> (B, E), of the encoder or of the momentum encoder."""
        model = self.model.model
        tokens = towers["visual_encoder"].forward_features(model.normalise(images))  # type: ignore[operator]
        return towers["projector"](model.summary(tokens))

    def forward(self, part: TileViews) -> tuple[dict[str, Tensor], None]:
        """The loss of both directions, that of a guess, and how far embeddings of different tiles are from each
        other."""
        one, two = part.images
        query = [self.predictor(self.embed(self.base, images)) for images in (one, two)]
        with torch.no_grad():
            key = [gather(self.embed(self.ema, images)) for images in (one, two)]
        # Rows of a batch are dealt like cards, and `gather` puts them back in order.
        positive_B = torch.arange(len(one), device=one.device) * world() + rank()
        temperature = self.config.temperature
        loss = moco_loss(query[0], key[1], positive_B, temperature) + moco_loss(
            query[1], key[0], positive_B, temperature
        )
        # Both directions of who takes any key of the pass, in the loss's own unit.
        chance = loss.new_full((), 2 * 2 * temperature * math.log(max(2, len(key[0]))))
        return {"loss": loss, "chance": chance, "spread": spread(key[0])}, None


class _Hidden:
    """Holds a module without making it a part of another."""

    def __init__(self, model: VisionModel) -> None:
        self.model = model


class MomentumContrast(SelfSupervision[MocoModule]):
    """MoCo v3 on the tiles of a data set."""

    losses: ClassVar = ("loss", "chance", "spread")
    tower_names: ClassVar = "base.visual_encoder."

    def make(self) -> MocoModule:
        return MocoModule(self.model, self.config.moco)

    def views(self, part: TileViews, maker: ViewMaker) -> list[Tensor]:
        return [maker.view(number, self.config.vision.image_size) for number in range(2)]

    def after_step(self, given: list[Any]) -> None:
        momentum = cosine(self.step, self.total, self.config.moco.momentum, 1.0)
        update_momentum(self.module.ema, self.module.base, momentum)
