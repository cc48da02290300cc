"""Where the image-grounded text encoder looks: the weights of its cross-attention.

Training and use run scaled-dot-product attention, which keeps no weights; here they are computed beside it, to be
measured or guided (:mod:`knowlip.objectives.attend`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from knowlip.models.text import Heads, KeyValue
from knowlip.models.towers import Towers
from knowlip.models.vision import grid_of


@torch.inference_mode()
def image_attention(
    model: Towers, ids_BT: Tensor, keep_BT: Tensor, memory: list[KeyValue], row_R: Tensor, place_R: Tensor
) -> Tensor:
    """Weights (R, L, H, N) that R tokens give the N image tokens in each layer and head; they sum to 1 over N.

    Args:
        model: in evaluation mode.
        ids_BT, keep_BT: [ENC]-framed texts and mask of real tokens.
        memory: image keys and values of :meth:`TextEncoder.image_key_values`, one row a text.
        row_R, place_R: the text of each token, and its place there.
    """
    with watched_attention(model, row_R, place_R) as caught:
        model.text_encoder(ids_BT, keep_BT, memory)
    return torch.stack(caught, 1)


@contextmanager
def watched_attention(model: Towers, row_R: Tensor, place_R: Tensor) -> Iterator[list[Tensor]]:
    """While it lasts, each layer of the image-grounded encoder adds the weights (R, H, N) of these tokens to the list,
    with their gradients."""
    caught: list[Tensor] = []

    def weigh(heads: Heads, inputs: tuple[Any, ...]) -> None:
        x_BTD, (key_BHNC, _), mask = inputs[:3]
        query_RHC = heads.split(heads.query(x_BTD[row_R, place_R][:, None]))[:, :, 0]
        scores_RHN = (key_BHNC[row_R] @ query_RHC[..., None])[..., 0].float() / query_RHC.shape[-1] ** 0.5
        if mask is not None:
            scores_RHN = scores_RHN.masked_fill(~mask.expand(len(x_BTD), 1, 1, -1)[row_R, 0], float("-inf"))
        caught.append(scores_RHN.softmax(-1))

    layers: Any = model.text_encoder.encoder.layer
    hooks = [layer.crossattention.self.register_forward_pre_hook(weigh) for layer in layers]
    try:
        yield caught
    finally:
        for hook in hooks:
            hook.remove()


def patch_tokens(model: Towers) -> tuple[slice, tuple[int, int]]:
    """Which of the image tokens stand for patches, row by row, and how many (rows, columns) of them there are."""
    _, (rows, columns), _ = grid_of(model.visual_encoder)
    first = readout_tokens(model).stop
    return slice(first, first + rows * columns), (rows, columns)


def readout_tokens(model: Towers) -> slice:
    """Which of the image tokens are answers of the readout (:mod:`knowlip.models.readout`): none where the model has
    none. Those before them stand for no place."""
    first = int(getattr(model.visual_encoder, "num_prefix_tokens", 0))
    return slice(first, first + (model.readout.tokens if model.readout is not None else 0))
