"""One pre-training step: the three losses of a batch, and the momentum and queue updates behind it."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from knowlip.models.knowlip import KnowLIP
from knowlip.objectives import hard_negatives, infill_loss, itc_loss, itm_loss, same
from knowlip.training.momentum import momentum_copy, update_momentum
from knowlip.training.queue import FeatureQueue


@dataclass
class ObjectiveConfig:
    """Weights and shares of the three objectives."""

    itc: float = 1.0
    """Weight of the contrastive loss."""
    itm: float = 1.0
    """Weight of the matching loss."""
    infill: float = 1.0
    """Weight of the infilling loss."""
    itm_share: float = 1.0
    """Share of each batch on which matching is trained (it costs three image-grounded text passes)."""
    infill_share: float = 1.0
    """Share of each batch on which infilling is trained."""
    negative_floor: float = 1e-4
    """Of the weights by which hard negatives are drawn, see :func:`knowlip.objectives.itm.hard_negatives`."""
    alpha: float = 0.4
    """Weight of soft targets in the contrastive loss."""
    alpha_epochs: float = 2.0
    """Epochs over which alpha rises from 0."""
    label_smoothing: float = 0.1
    """Of the infilling loss."""
    queue: int = 20000
    """Entries of the feature queue; 0 for none. Short trainings want few: old features are those of another model."""
    momentum: float = 0.995
    """Of the momentum model."""


@dataclass
class Batch:
    """Pixels and padded token ids of B pairs: one rank's rows of a global batch, dealt as :mod:`~.ranks` says.

    T, the padded length of `text`, is the same on all ranks where matching draws negatives from all of them
    (`objectives.itm_negatives: all`). Make a batch on the CPU and move it with :meth:`to`: the places of targets are
    found once, where that costs no synchronisation.
    """

    pixels_BSS: Tensor
    """uint8."""
    image_id_B: Tensor
    text_hash_B: Tensor
    text: tuple[Tensor, Tensor]
    """[CLS]-framed ids and mask of real tokens, both (B, T)."""
    context: tuple[Tensor, Tensor]
    """[ENC]-framed text with one hole, ids and mask, for the first rows of the batch (infill_share)."""
    content: tuple[Tensor, Tensor]
    """[DEC] content [SEP], ids and mask, of these holes."""
    uniform_B2: Tensor
    """The chance by which negatives are drawn: uniform in [0, 1), one number for the image's wrong text and one for the
    text's wrong image. From (seed, step, global row), so that no draw depends on the number of ranks."""
    content_place_M: Tensor = field(init=False)
    """Places of real targets in the flattened `content[0][:, 1:]`."""
    text_place_M: Tensor = field(init=False)
    """Places of real targets in the flattened `text[0][:rows, 1:]`, `rows` being those of `context`: of the plain
    language model."""

    def __post_init__(self) -> None:
        self.content_place_M = self.content[1][:, 1:].flatten().nonzero()[:, 0]
        self.text_place_M = self.text[1][: len(self.context[0]), 1:].flatten().nonzero()[:, 0]

    def __len__(self) -> int:
        return len(self.pixels_BSS)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Batch":
        """The same batch on another device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin(self) -> "Batch":
        """The same batch in page-locked memory, from which a GPU copies without waiting."""
        return self._each(lambda tensor: tensor.pin_memory())

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        result = copy.copy(self)
        for name, value in vars(self).items():
            setattr(result, name, tuple(map(change, value)) if isinstance(value, tuple) else change(value))
        return result


class PretrainStep(nn.Module):
    """Model, momentum model and queue together: everything whose state a checkpoint must hold."""

    def __init__(self, model: KnowLIP, config: ObjectiveConfig) -> None:
        super().__init__()
        self.config, self.model = config, model
        self.twin = momentum_copy(model)
        self.queue = FeatureQueue(config.queue, model.config.embed_dim)

    def forward(self, batch: Batch, alpha: float) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor]]:
        """Losses by name (`itc`, `itm`, `infill`, `loss`), and the momentum features (B, E) for :meth:`finish`."""
        model, config = self.model, self.config
        pixels = model.normalise(batch.pixels_BSS)
        tokens, image = model.encode_images(pixels)
        text = model.embed_ids(*batch.text)
        with torch.no_grad():
            _, image_m = self.twin.encode_images(pixels)
            text_m = self.twin.embed_ids(*batch.text)
            queue_image, queue_text, queue_id, queue_hash = self.queue.entries()
        positive = same(
            batch.image_id_B, torch.cat([batch.image_id_B, queue_id]),
            batch.text_hash_B, torch.cat([batch.text_hash_B, queue_hash]),
        )  # fmt: skip
        losses = {
            "itc": itc_loss(
                image, text, torch.cat([image_m, queue_image]), torch.cat([text_m, queue_text]),
                positive, model.temp, alpha,
            )
        }  # fmt: skip
        memory = model.text_encoder.image_memory(tokens)
        losses["itm"] = self._match(batch, memory, image, text, positive[:, : len(image)])
        losses["infill"] = self._infill(batch, memory)
        losses["loss"] = (
            config.itc * losses["itc"] + config.itm * losses["itm"] + config.infill * losses["infill"]
        )  # fmt: skip
        return losses, (image_m, text_m)

    def _match(self, batch: Batch, memory: list, image: Tensor, text: Tensor, positive: Tensor) -> Tensor:
        """Matching on the first rows: each true pair, its image with a wrong text, its text with a wrong image."""
        model = self.model
        rows = max(1, round(len(image) * self.config.itm_share))
        with torch.no_grad():
            similarity = image @ text.T / model.temp
        wrong_text, wrong_image = hard_negatives(similarity, positive, self.config.negative_floor)
        own = torch.arange(rows, device=image.device)
        has_text, has_image = own[wrong_text[:rows] >= 0], own[wrong_image[:rows] >= 0]
        image_row = torch.cat([own, has_text, wrong_image[has_image]])
        text_row = torch.cat([own, wrong_text[has_text], has_image])
        ids, keep = batch.text
        ids = ids[text_row]
        ids[:, 0] = model.tokenizer.enc
        logits = model.match_ids(ids, keep[text_row], [(k[image_row], v[image_row]) for k, v in memory])
        is_match = torch.arange(len(image_row), device=image.device) < rows
        return itm_loss(logits, is_match)

    def _infill(self, batch: Batch, memory: list) -> Tensor:
        """The hole's tokens from the image-grounded context; logits only where there is a target."""
        model = self.model
        context_ids, context_keep = batch.context
        rows = len(context_ids)
        images = [(k[:rows], v[:rows]) for k, v in memory]
        states, hole = model.decoder_input(context_ids, context_keep, images)
        ids, keep = batch.content
        written, _ = model.text_decoder(ids[:, :-1], states, context_keep, hole_BD=hole)
        real = keep[:, 1:]
        return infill_loss(model.text_decoder.cls(written[real]), ids[:, 1:][real], self.config.label_smoothing)

    @torch.no_grad()
    def finish(self, batch: Batch, momentum_features: tuple[Tensor, Tensor], momentum: float) -> None:
        """After the optimiser's step: clamp tau to [0.001, 0.5], move the momentum model, fill the queue."""
        self.model.temp.clamp_(0.001, 0.5)
        update_momentum(self.twin, self.model, momentum)
        self.queue.push(*momentum_features, batch.image_id_B, batch.text_hash_B)
