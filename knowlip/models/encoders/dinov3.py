"""DINOv3 in Meta's layout or Hugging Face's; of timm's there is `timm:NAME@FILE`."""

import re
from dataclasses import replace

import torch

from knowlip.models.encoders.foreign import Foreign, Settings, open_file
from knowlip.models.encoders.protocol import UNKNOWN, Encoder, EncoderCard
from knowlip.models.encoders.rotary import RotaryFacts, read_rotary
from knowlip.models.weights.source import Source
from knowlip.models.weights.vit import IMAGENET, stated_normalisation

USAGE = "dinov3:FILE,data=web|satellite"
_WEB = RotaryFacts(
    "DINOv3 License",
    EncoderCard(("LVD-1689M",)),
    "DINOv3's code",
    1e-5,
    tuple(IMAGENET[0]),
    tuple(IMAGENET[1]),
    224,
)
_SATELLITE = replace(_WEB, card=EncoderCard(("SAT-493M",)), mean=(0.43, 0.411, 0.296), std=(0.213, 0.156, 0.143))


_LARGEST = 4096
"""Side in pixels that a config may say."""
_FIRST = "embeddings.patch_embeddings.weight"
_NAMES = (
    (r"embeddings\.cls_token", "cls_token"),
    (r"embeddings\.mask_token", "mask_token"),
    (r"embeddings\.register_tokens", "storage_tokens"),
    (r"embeddings\.patch_embeddings\.(weight|bias)", r"patch_embed.proj.\1"),
    (r"layer\.(\d+)\.norm([12])\.(weight|bias)", r"blocks.\1.norm\2.\3"),
    (r"layer\.(\d+)\.attention\.o_proj\.(weight|bias)", r"blocks.\1.attn.proj.\2"),
    (r"layer\.(\d+)\.layer_scale([12])\.lambda1", r"blocks.\1.ls\2.gamma"),
    (r"layer\.(\d+)\.mlp\.up_proj\.(weight|bias)", r"blocks.\1.mlp.fc1.\2"),
    (r"layer\.(\d+)\.mlp\.down_proj\.(weight|bias)", r"blocks.\1.mlp.fc2.\2"),
    (r"norm\.(weight|bias)", r"norm.\1"),
)
_QUERY = re.compile(r"layer\.(\d+)\.attention\.q_proj\.(weight|bias)")


def load(name: str, device: str | torch.device, size: int | None = None) -> Encoder:
    """Open `dinov3:FILE,data=web` or `data=satellite`: they differ in how pixels are normalised, not in their tensors.

    Raises:
        ValueError: another layout, tensors without a place, or `data` is missing.
    """
    return open_file("dinov3", name, device, size, read)


def read(source: Source, settings: Settings, size: int | None = None) -> Foreign:
    """The ViT; see :data:`knowlip.models.encoders.foreign.Read`."""
    data = settings.text("data", ("web", "satellite"))
    facts = _SATELLITE if data == "satellite" else _WEB
    stated, _ = stated_normalisation(source)
    if stated is not None and data is None:  # whose weights they are is another question
        facts = replace(facts, card=EncoderCard((UNKNOWN,), note="Nobody says which data these weights saw."))
    if _FIRST in source.state:
        source, facts = _of_hugging_face(source, facts)
    if stated is not None:
        facts = replace(facts, mean=tuple(stated[0]), std=tuple(stated[1]), who="the configs beside it")
    found = read_rotary(source, settings, size, facts, "DINOv3")
    if found.encoder.pixels.channels != 3:
        raise ValueError(f"{source.path} reads one channel, DINOv3 three: it may be a DINOSAR (dinosar:FILE).")
    if data is None and stated is None and "mean" not in settings.given:
        raise ValueError(
            f"{source.path} does not say how its pixels were normalised: give data=web (LVD-1689M) or data=satellite "
            "(SAT-493M)."
        )
    return found


def _of_hugging_face(source: Source, facts: RotaryFacts) -> tuple[Source, RotaryFacts]:
    """A file of Hugging Face's layout under Meta's names: queries, keys and values are three tensors there, and the
    periods of its positions are computed from config.json.

    Raises:
        ValueError: config.json is missing, or says what is not read.
    """
    config = source.config
    heads, theta = config.get("num_attention_heads"), config.get("rope_theta", 100.0)
    kernel, eps = source.state[_FIRST], config.get("layer_norm_eps", facts.eps)
    heads = heads if isinstance(heads, int) and 0 < heads <= len(kernel) else 0
    sound = bool(heads) and len(kernel) % (4 * heads) == 0
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (theta, eps))
    if not sound or not numbers or not 0 < float(eps) < 1 or not float(theta) > 0:
        raise ValueError(f"{source.path} needs config.json beside it: no shape tells num_attention_heads.")
    if config.get("hidden_act", "gelu") != "gelu" or config.get("use_gated_mlp"):
        raise ValueError(f"{source.path} has gated feed-forward networks or another activation, which are not read.")
    state = {}
    for key, value in source.state.items():
        short = key.removeprefix("model.")
        if found := _QUERY.fullmatch(short):
            state[f"blocks.{found[1]}.attn.qkv.{found[2]}"] = _stacked(source, key, found[2])
        elif not re.fullmatch(r"layer\.\d+\.attention\.[kv]_proj\.(weight|bias)", short):
            # What no name fits keeps its own, for which the ViT has no place: so it is refused by name.
            state[next((re.sub(old, new, short) for old, new in _NAMES if re.fullmatch(old, short)), key)] = value
    quarter = len(kernel) // heads // 4
    state["rope_embed.periods"] = float(theta) ** (torch.arange(quarter, dtype=torch.float32) / quarter)
    source.notes.append("Names and positions of Hugging Face's layout are brought to Meta's.")
    side = config.get("image_size", facts.side)
    side = side if isinstance(side, int) and 0 < side <= _LARGEST else facts.side
    return replace(source, state=state), replace(facts, who="config.json", eps=float(eps), side=side)


def _stacked(source: Source, query: str, part: str) -> torch.Tensor:
    """Queries, keys and values of a block as one; keys have no bias."""
    thirds = []
    for word in ("q_proj", "k_proj", "v_proj"):
        name = query.replace("q_proj", word)
        if name not in source.state and (word, part) != ("k_proj", "bias"):
            raise ValueError(f"{source.path} lacks {name}, a third of an attention's weights.")
        thirds.append(source.state.get(name, torch.zeros_like(source.state[query])))
    return torch.cat(thirds)
