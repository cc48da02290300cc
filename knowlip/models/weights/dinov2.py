"""DINOv2 in Hugging Face's layout: names of timm for it. Queries, keys and values are three tensors there, one here."""

import re

from knowlip.models.weights.source import Source

_PATCH = "embeddings.patch_embeddings.projection.weight"
_SCALE = "encoder.layer.0.layer_scale1.lambda1"
"""Only DINOv2 has both."""
_NAMES = (
    (r"embeddings\.cls_token", "cls_token"),
    (r"embeddings\.position_embeddings", "pos_embed"),
    (r"embeddings\.patch_embeddings\.projection\.(weight|bias)", r"patch_embed.proj.\1"),
    (r"encoder\.layer\.(\d+)\.norm([12])\.(weight|bias)", r"blocks.\1.norm\2.\3"),
    (r"encoder\.layer\.(\d+)\.attention\.(?:output\.dense|o_proj)\.(weight|bias)", r"blocks.\1.attn.proj.\2"),
    (r"encoder\.layer\.(\d+)\.layer_scale([12])\.lambda1", r"blocks.\1.ls\2.gamma"),
    (r"encoder\.layer\.(\d+)\.mlp\.fc([12])\.(weight|bias)", r"blocks.\1.mlp.fc\2.\3"),
    (r"layernorm\.(weight|bias)", r"norm.\1"),
)
_THIRDS = (("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj"))


def dinov2_prefix(source: Source) -> str | None:
    """What stands before the names of a DINOv2 (`dinov2.`, `backbone.`, or nothing); None where there is none."""
    for key in source.state:
        if key.endswith(_PATCH) and f"{key.removesuffix(_PATCH)}{_SCALE}" in source.state:
            return key.removesuffix(_PATCH)
    return None


def dinov2_names(source: Source, prefix: str) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """timm's names -> the file's; and, of what is several tensors of the file stacked, all of them in order.

    What timm has no name for keeps the file's (the mask token of the training; a gated feed-forward network, registers:
    other models).
    """
    names, stacked = {}, {}
    for key in source.state:
        if not key.startswith(prefix):
            continue
        theirs = key.removeprefix(prefix)
        name = next((re.sub(old, new, theirs) for old, new in _NAMES if re.fullmatch(old, theirs)), theirs)
        names[name] = key
    for name in list(names):
        found = re.fullmatch(
            r"(encoder\.layer\.(\d+)\.attention\.(?:attention\.)?)(?:query|q_proj)\.(weight|bias)", name
        )
        if found is None:
            continue
        before, layer, part = found.groups()
        thirds = [
            next((f"{before}{word}.{part}" for word in words if f"{before}{word}.{part}" in names), "")
            for words in _THIRDS
        ]
        if all(thirds):
            stacked[f"blocks.{layer}.attn.qkv.{part}"] = tuple(names.pop(third) for third in thirds)
    return names, stacked
