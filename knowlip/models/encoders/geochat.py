"""GeoChat: the ViT of a LLaVA, the patches of its last but one block."""

from dataclasses import replace

import torch

from knowlip.models.encoders.foreign import Foreign, Settings, open_file
from knowlip.models.encoders.plain import PlainFacts, layers_of, read_plain
from knowlip.models.encoders.protocol import UNKNOWN, Encoder, EncoderCard
from knowlip.models.weights.clip import HF_VISION, hf_tower
from knowlip.models.weights.shape import Named
from knowlip.models.weights.source import Source
from knowlip.models.weights.vit import CLIP

USAGE = "geochat:FILE"
FACTS = PlainFacts(
    UNKNOWN,
    EncoderCard(
        ("OpenAI's 400 million image-text pairs",),
        note="GeoChat keeps CLIP's ViT frozen and resizes its positions to 504 px.",
    ),
    "GeoChat's code",
    activation="quick_gelu",
    eps=1e-5,
    mean=CLIP[0],  # type: ignore[arg-type]
    std=CLIP[1],  # type: ignore[arg-type]
    needs=("cls_token", "pos_embed", "norm_pre", "qkv_bias"),
    align_corners=True,
    side=504,
)
_TOWER = "vision_tower.vision_model."


def load(name: str, device: str | torch.device, size: int | None = None) -> Encoder:
    """Open `geochat:FILE`.

    Raises:
        ValueError: another layout, or tensors without a place.
    """
    return open_file("geochat", name, device, size, read)


def read(source: Source, settings: Settings, size: int | None = None) -> Foreign:
    """The ViT; see :data:`knowlip.models.encoders.foreign.Read`."""
    found = next((key.partition(_TOWER)[0] for key in source.state if _TOWER in key), None)
    if found is None:
        raise ValueError(
            f"{source.path} holds no vision tower: of GeoChat's files give the one that holds model.vision_tower, or "
            "clip-vit-large-patch14-336 as hf_clip:FOLDER, which GeoChat keeps frozen."
        )
    prefix = f"{found}{_TOWER}"
    named = Named()
    hf_tower(source.state, prefix, HF_VISION, named)
    for key in source.state:
        if not key.startswith(prefix):
            named.drop(key, "language model and projector")
    kernel = source.state.get(f"{prefix}embeddings.patch_embedding.weight")
    facts = FACTS if kernel is not None and kernel.shape[-1] == 14 else replace(FACTS, side=None)
    plain = replace(source, config={}, state=source.state)  # config.json beside it is the language model's
    return read_plain(plain, settings, size, named, facts, "GeoChat", layers=layers_of(settings, (-2,)))
