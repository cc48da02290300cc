"""DINOv2 in Meta's layout or Hugging Face's, with registers or without; of timm's there is `timm:NAME@FILE`."""

import torch

from knowlip.models.encoders.foreign import Foreign, Settings, open_file
from knowlip.models.encoders.plain import PlainFacts, read_plain, timm_names
from knowlip.models.encoders.protocol import Encoder, EncoderCard
from knowlip.models.weights.dinov2 import dinov2_names, dinov2_prefix
from knowlip.models.weights.shape import Named
from knowlip.models.weights.source import Source

USAGE = "dinov2:FILE"
FACTS = PlainFacts(
    "Apache-2.0",
    EncoderCard(("LVD-142M",), note="Meta's weights; somebody else's of this layout saw something else."),
    "DINOv2's code",
    heads={384: 6, 768: 12, 1024: 16, 1536: 24},
    needs=("cls_token", "pos_embed", "norm", "patch_bias", "qkv_bias", "ls1"),
)
_MASK = "stands for masked patches in the former training"


def load(name: str, device: str | torch.device, size: int | None = None) -> Encoder:
    """Open `dinov2:FILE`.

    Raises:
        ValueError: another layout, or tensors without a place.
    """
    return open_file("dinov2", name, device, size, read)


def read(source: Source, settings: Settings, size: int | None = None) -> Foreign:
    """The ViT; see :data:`knowlip.models.encoders.foreign.Read`."""
    if (prefix := dinov2_prefix(source)) is not None:
        names, stacked = dinov2_names(source, prefix)
        named = Named({name: (key,) for name, key in names.items()} | stacked)
        for name in [one for one in named.parts if one.endswith("mask_token")]:
            named.drop(named.parts.pop(name)[0], _MASK)
        if "embeddings.register_tokens" in named.parts:
            named.parts["reg_token"] = named.parts.pop("embeddings.register_tokens")
    elif "blocks.0.ls1.gamma" in source.state:
        named = timm_names(source, "", {"mask_token": _MASK, "head": "head of the former training"})
        if "register_tokens" in named.parts:
            named.parts["reg_token"] = named.parts.pop("register_tokens")
    else:
        raise ValueError(f"{source.path} holds no DINOv2, neither in Meta's layout nor in Hugging Face's.")
    found = named.value(source.state, "reg_token").shape[1] if "reg_token" in named.parts else 0
    told = source.config.get("num_register_tokens", found)
    if told != found:
        raise ValueError(f"{source.path} lacks registers: config.json says {told!s:.20}, the file holds {found}.")
    positions = named.parts.get("pos_embed")
    if "reg_token" in named.parts and positions is not None and "cls_token" in named.parts:
        # Registers stand between class token and patches and have no position: the class token takes its own along.
        whole, token = named.value(source.state, "pos_embed"), named.value(source.state, "cls_token")
        if whole.ndim != 3 or token.shape[-1] != whole.shape[-1]:
            raise ValueError(f"{source.path} has position embeddings of shape {tuple(whole.shape)}.")
        named.made["cls_token"] = token.reshape(1, 1, -1).float() + whole[:, :1].float()
        named.made["pos_embed"] = whole[:, 1:]
        named.parts["cls_token"] = (*named.parts["cls_token"], *positions)
        named.folded["cls_token"] = "its position"
    return read_plain(source, settings, size, named, FACTS, "DINOv2")
