"""SAR-JEPA: a ViT on one channel whose positions live in its attention (:mod:`knowlip.models.irpe`)."""

import math

import torch

from knowlip.models.encoders.foreign import Foreign, ForeignEncoder, Settings, open_file
from knowlip.models.encoders.protocol import Encoder, EncoderCard, PixelSpec
from knowlip.models.irpe import BUCKETS, relative_vit
from knowlip.models.meta import without_memory
from knowlip.models.weights.ledger import WeightLedger
from knowlip.models.weights.shape import KERNEL, Named, vit_shape
from knowlip.models.weights.source import Source

USAGE = "sar_jepa:FILE"
LICENCE = "CC BY-NC 4.0"
CARD = EncoderCard(("MSAR", "SAR-Ship", "SARSim", "SAMPLE"), note="SAR-JEPA's pre-training saw chips of these sets.")
_TABLE = "blocks.0.attn.rpe_k.lookup_table_weight"
_SIDE = 224
_DROPPED = {
    "pos_embed": "saved, but SAR-JEPA's forward pass never adds it",
    "mask_token": "stands for masked patches in the former training",
    "encoder_pred": "predictor of the former training",
    "decoder_blocks": "predictor of the former training",
    "decoder_norm": "predictor of the former training",
    "decoder_pred": "predictor of the former training",
    "sarfeature1": "gradient features of the former training",
    "sarfeature2": "gradient features of the former training",
    "sarfeature3": "gradient features of the former training",
    "sarfeature4": "gradient features of the former training",
    "head": "head of the former task",
}


def load(name: str, device: str | torch.device, size: int | None = None) -> Encoder:
    """Open `sar_jepa:FILE`: the official checkpoint (`{"model": ...}`), or an encoder of the same layout.

    Raises:
        ValueError: another layout, or tensors without a place.
    """
    return open_file("sar_jepa", name, device, size, read)


def read(source: Source, settings: Settings, size: int | None = None) -> Foreign:
    """SAR-JEPA's ViT in a file; see :data:`knowlip.models.encoders.foreign.Read`."""
    named = Named()
    for key in source.state:
        if reason := _DROPPED.get(key.split(".")[0]):
            named.drop(key, reason)
        else:
            named.parts[key] = (key,)
    for needed in (_TABLE, "cls_token", KERNEL):
        if needed not in named.parts:
            raise ValueError(f"{source.path} holds no SAR-JEPA: it has no {needed}.")
    table, width = source.state[_TABLE], source.state["cls_token"].shape[-1]
    if table.ndim != 3 or table.shape[0] != 1 or table.shape[2] != BUCKETS or width % max(table.shape[1], 1):
        raise ValueError(f"{source.path} has relative positions of shape {tuple(table.shape)}, not (1, D, {BUCKETS}).")
    # Position embeddings are not used, but they say for which side the training was.
    positions = source.state.get("pos_embed")
    own = math.isqrt(max(1, positions.shape[-2] - 1)) if positions is not None else None
    patch = source.state[KERNEL].shape[-1]
    side = own * patch if own else _SIDE
    shape = vit_shape(source.path, source.state, named, width // table.shape[1], "gelu", 1e-6, side)
    size = size or side
    if size % patch:
        raise ValueError(f"A side of {size} px is no multiple of the patches' {patch} px.")
    with without_memory():
        tower = relative_vit(
            shape.width, shape.depth, shape.heads, patch, size, shape.channels, shape.mlp_width / shape.width
        )
    ledger = WeightLedger(source, tower, [""], "SAR-JEPA")
    for reason, keys in named.dropped.items():
        ledger.drop(keys, reason)
    for ours in ledger.wanted:
        ledger.copy(ours, ours)
    pixels = PixelSpec(shape.channels, (0.0,) * shape.channels, (1.0,) * shape.channels, size)
    said = [
        f"{shape.heads} heads, as the width of its tables says ({table.shape[1]}).",
        "GELU and an epsilon of 1e-6, as SAR-JEPA's code says.",
        "Pixels in 0..1 as they are, as SAR-JEPA's pre-training read them.",
    ]
    return Foreign(ForeignEncoder(tower, pixels, LICENCE, CARD), tower, ledger.close(), shape.describe(), said)
