"""Any plain ViT of Hugging Face (`ViTModel` and what has one, `ViTMAEModel`): its folder, with config.json."""

import re

import torch

from knowlip.models.encoders.foreign import Foreign, Settings, open_file
from knowlip.models.encoders.plain import PlainFacts, read_plain
from knowlip.models.encoders.protocol import UNKNOWN, Encoder, EncoderCard
from knowlip.models.weights.shape import Named
from knowlip.models.weights.source import Source

USAGE = "hf_vit:FOLDER"
FACTS = PlainFacts(
    UNKNOWN,
    EncoderCard((UNKNOWN,), note="Nobody says whose weights these are."),
    "config.json",
    mean=None,
    std=None,
    heads={},
)
_PATCH = "embeddings.patch_embeddings.projection.weight"
_NAMES = (
    (r"embeddings\.cls_token", "cls_token"),
    (r"embeddings\.position_embeddings", "pos_embed"),
    (r"embeddings\.patch_embeddings\.projection\.(weight|bias)", r"patch_embed.proj.\1"),
    (r"encoder\.layer\.(\d+)\.layernorm_before\.(weight|bias)", r"blocks.\1.norm1.\2"),
    (r"encoder\.layer\.(\d+)\.layernorm_after\.(weight|bias)", r"blocks.\1.norm2.\2"),
    (r"encoder\.layer\.(\d+)\.attention\.output\.dense\.(weight|bias)", r"blocks.\1.attn.proj.\2"),
    (r"encoder\.layer\.(\d+)\.intermediate\.dense\.(weight|bias)", r"blocks.\1.mlp.fc1.\2"),
    (r"encoder\.layer\.(\d+)\.output\.dense\.(weight|bias)", r"blocks.\1.mlp.fc2.\2"),
    (r"layernorm\.(weight|bias)", r"norm.\1"),
)
_THIRD = re.compile(r"encoder\.layer\.(\d+)\.attention\.attention\.(query|key|value)\.(weight|bias)")


def load(name: str, device: str | torch.device, size: int | None = None) -> Encoder:
    """Open `hf_vit:FOLDER`, with `config.json` and `preprocessor_config.json`.

    Raises:
        ValueError: another layout, a config that is missing, or tensors without a place.
    """
    return open_file("hf_vit", name, device, size, read)


def read(source: Source, settings: Settings, size: int | None = None) -> Foreign:
    """The ViT; see :data:`knowlip.models.encoders.foreign.Read`."""
    prefix = next((key.removesuffix(_PATCH) for key in source.state if key.endswith(_PATCH)), None)
    if prefix is None or not any("layernorm_before" in key for key in source.state):
        raise ValueError(f"{source.path} holds no ViT of Hugging Face (no {_PATCH} and layernorm_before).")
    named = Named()
    # What no name of ours fits keeps its own, for which the ViT has no place: so it is refused by name.
    for key in source.state:
        short = key.removeprefix(prefix)
        if short.startswith(("pooler.", "classifier.", "decoder.")) or key.startswith(("classifier.", "decoder.")):
            named.drop(key, "head or decoder of the former task")
        elif third := _THIRD.fullmatch(short):
            place = f"{prefix}encoder.layer.{third[1]}.attention.attention."
            thirds = tuple(f"{place}{one}.{third[3]}" for one in ("query", "key", "value"))
            if lacking := [one for one in thirds if one not in source.state]:
                raise ValueError(f"{source.path} lacks {lacking[0]}, a third of an attention's weights.")
            named.parts[f"blocks.{third[1]}.attn.qkv.{third[3]}"] = thirds
        else:
            name = next((re.sub(old, new, short) for old, new in _NAMES if re.fullmatch(old, short)), key)
            named.parts[name] = (key,)
    if source.config.get("layer_norm_eps") is None or source.config.get("hidden_act") is None:
        raise ValueError(f"{source.path} needs config.json beside it: no shape tells layer_norm_eps and hidden_act.")
    return read_plain(source, settings, size, named, FACTS, "Hugging Face's ViT")
