"""ChangeCLIP: the image backbone of its change detector, CLIP's ViT tuned."""

import torch

from knowlip.models.encoders.foreign import Foreign, Settings, open_file
from knowlip.models.encoders.plain import PlainFacts, read_plain
from knowlip.models.encoders.protocol import Encoder, EncoderCard
from knowlip.models.weights.clip import openai_visual
from knowlip.models.weights.shape import Named
from knowlip.models.weights.source import Source

USAGE = "changeclip:FILE"
FACTS = PlainFacts(
    "Apache-2.0 (of its repository)",
    EncoderCard(("LEVIR-CD, LEVIR-CD+, WHU-CD, CDD or SYSU-CD", "OpenAI's 400 million image-text pairs")),
    "ChangeCLIP's code",
    activation="quick_gelu",
    eps=1e-5,
    needs=("cls_token", "pos_embed", "norm_pre", "qkv_bias"),
)
_PREFIX = "backbone."


def load(name: str, device: str | torch.device, size: int | None = None) -> Encoder:
    """Open `changeclip:FILE`.

    Raises:
        ValueError: another layout, or tensors without a place.
    """
    return open_file("changeclip", name, device, size, read)


def read(source: Source, settings: Settings, size: int | None = None) -> Foreign:
    """The backbone; see :data:`knowlip.models.encoders.foreign.Read`."""
    if f"{_PREFIX}class_embedding" not in source.state or f"{_PREFIX}conv1.weight" not in source.state:
        raise ValueError(f"{source.path} holds no ChangeCLIP: it has no {_PREFIX}class_embedding or conv1.weight.")
    named = Named()
    for key in openai_visual(source.state, _PREFIX, named):
        name = key.removeprefix(_PREFIX)
        if name.startswith("fpn"):
            named.drop(key, "pyramid of the change detector")
        elif name == "proj":
            named.drop(key, "projection towards the text of the change detector")
        else:
            named.parts[key] = (key,)
    for key in source.state:
        if not key.startswith(_PREFIX):
            named.drop(key, "not the image backbone")
    # Its forward pass adds the class token once as a token and once more with its position.
    named.made["cls_token"] = 2 * source.state[f"{_PREFIX}class_embedding"].float()
    named.folded["cls_token"] = "twice the class token, as ChangeCLIP's forward pass adds it twice"
    return read_plain(source, settings, size, named, FACTS, "ChangeCLIP")
