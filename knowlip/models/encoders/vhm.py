"""VHM: its tuned ViT (`vhm_7b_pretrain_vit`), patches of blocks 8, 16 and 24 side by side."""

import torch

from knowlip.models.encoders.foreign import Foreign, Settings, open_file
from knowlip.models.encoders.plain import PlainFacts, layers_of, read_plain
from knowlip.models.encoders.protocol import Encoder, EncoderCard
from knowlip.models.weights.clip import HF_VISION, hf_tower
from knowlip.models.weights.shape import Named
from knowlip.models.weights.source import Source
from knowlip.models.weights.vit import CLIP

USAGE = "vhm:FOLDER"
FACTS = PlainFacts(
    "Apache-2.0 (of its repository)",
    EncoderCard(("VersaD", "OpenAI's 400 million image-text pairs")),
    "VHM's code",
    activation="quick_gelu",
    eps=1e-5,
    mean=CLIP[0],  # type: ignore[arg-type]
    std=CLIP[1],  # type: ignore[arg-type]
    needs=("cls_token", "pos_embed", "norm_pre", "qkv_bias"),
)


def load(name: str, device: str | torch.device, size: int | None = None) -> Encoder:
    """Open `vhm:FOLDER`.

    Raises:
        ValueError: another layout, or tensors without a place.
    """
    return open_file("vhm", name, device, size, read)


def read(source: Source, settings: Settings, size: int | None = None) -> Foreign:
    """The ViT; see :data:`knowlip.models.encoders.foreign.Read`."""
    kernel = "vision_model.embeddings.patch_embedding.weight"
    if kernel not in source.state:
        raise ValueError(f"{source.path} holds no ViT of VHM: it has no {kernel}.")
    named = Named()
    hf_tower(source.state, "vision_model.", HF_VISION, named)
    return read_plain(source, settings, size, named, FACTS, "VHM", layers=layers_of(settings, (8, 16, 24)))
