"""BAN: the frozen CLIP of its change detector, of which its checkpoint keeps the first three quarters of the blocks."""

import re
from dataclasses import replace
from pathlib import Path

import torch

from knowlip.models.encoders.foreign import Foreign, Settings, open_file
from knowlip.models.encoders.plain import PlainFacts, read_plain
from knowlip.models.encoders.protocol import Encoder, EncoderCard
from knowlip.models.weights.clip import openai_visual
from knowlip.models.weights.shape import Named
from knowlip.models.weights.source import Source, read_source
from knowlip.models.weights.vit import CLIP

USAGE = "ban:FILE,clip=CLIP (or ban:FILE,blocks=9)"
FACTS = PlainFacts(
    "Apache-2.0 (of its repository)",
    EncoderCard(("OpenAI's 400 million image-text pairs",), note="BAN keeps CLIP frozen: it is CLIP, cut."),
    "BAN's code",
    activation="quick_gelu",
    eps=1e-5,
    mean=CLIP[0],  # type: ignore[arg-type]
    std=CLIP[1],  # type: ignore[arg-type]
    needs=("cls_token", "pos_embed", "norm_pre", "qkv_bias"),
)
_PREFIX, _CLIP = "image_encoder.", "clip:visual."
_NAMES = (
    (r"(cls_token|pos_embed)", r"\1"),
    (r"patch_embed\.projection\.(weight|bias)", r"patch_embed.proj.\1"),
    (r"ln_pre\.(weight|bias)", r"norm_pre.\1"),
    (r"layers\.(\d+)\.ln([12])\.(weight|bias)", r"blocks.\1.norm\2.\3"),
    (r"layers\.(\d+)\.attn\.attn\.in_proj_(weight|bias)", r"blocks.\1.attn.qkv.\2"),
    (r"layers\.(\d+)\.attn\.attn\.out_proj\.(weight|bias)", r"blocks.\1.attn.proj.\2"),
    (r"layers\.(\d+)\.ffn\.layers\.0\.0\.(weight|bias)", r"blocks.\1.mlp.fc1.\2"),
    (r"layers\.(\d+)\.ffn\.layers\.1\.(weight|bias)", r"blocks.\1.mlp.fc2.\2"),
)


def load(name: str, device: str | torch.device, size: int | None = None) -> Encoder:
    """Open `ban:FILE,clip=CLIP`, the blocks that BAN's file lacks from OpenAI's, or `ban:FILE,blocks=9`, without them.

    Raises:
        ValueError: another layout, another CLIP, or tensors without a place.
    """
    return open_file("ban", name, device, size, read)


def read(source: Source, settings: Settings, size: int | None = None) -> Foreign:
    """The ViT; see :data:`knowlip.models.encoders.foreign.Read`."""
    if f"{_PREFIX}patch_embed.projection.weight" not in source.state:
        raise ValueError(f"{source.path} holds no BAN: it has no {_PREFIX}patch_embed.projection.weight.")
    named = Named()
    for key in source.state:
        short = key.removeprefix(_PREFIX)
        if not key.startswith(_PREFIX):
            named.drop(key, "the change detector beside CLIP")
        else:
            name = next((re.sub(old, new, short) for old, new in _NAMES if re.fullmatch(old, short)), key)
            named.parts[name] = (key,)
    # A ViT cut off in the middle is another model: the rest is asked for, or that it is meant.
    depth = len({name.split(".")[1] for name in named.parts if name.startswith("blocks.")})
    clip, blocks = settings.text("clip"), settings.integer("blocks")
    if clip is None and blocks != depth:
        raise ValueError(
            f"{source.path} holds the first {depth} blocks of its frozen CLIP alone: give clip=FILE of that CLIP for "
            f"the rest, or blocks={depth} to take what those compute."
        )
    if clip is None:
        found = read_plain(source, settings, size, named, FACTS, "BAN")
        found.said.append(f"The first {depth} blocks of its CLIP alone, without the last norm.")
        return found
    whole = _with_rest(source, read_source(Path(clip)), named, depth)
    facts = replace(FACTS, needs=(*FACTS.needs, "norm"))
    found = read_plain(whole, settings, size, named, facts, "BAN")
    found.said.append(f"Blocks from {depth + 1} on and the last norm are those of {Path(clip).name}.")
    return found


def _with_rest(source: Source, clip: Source, named: Named, depth: int) -> Source:
    """Both files' tensors; `named` is filled with what BAN's lacks.

    Raises:
        ValueError: it is not the CLIP that BAN kept frozen.
    """
    rest = Named()
    prefix = "visual." if "visual.conv1.weight" in clip.state else ""
    openai_visual(clip.state, prefix, rest)
    # Frozen weights are equal in both files, but for the positions, which BAN's code excludes from freezing.
    for name, parts in rest.parts.items():
        if name in named.parts and name not in ("pos_embed", "cls_token"):
            one, two = named.value(source.state, name), clip.state[parts[0]]
            if one.shape != two.shape or not torch.allclose(one.float(), two.float(), atol=1e-3):
                raise ValueError(f"{clip.path} is not the CLIP that {source.path} kept frozen: {parts[0]} differs.")
    state = dict(source.state)
    for name, parts in rest.parts.items():
        block = re.match(r"blocks\.(\d+)\.", name)
        if name.startswith("norm.") or (block and int(block[1]) >= depth):
            key = _CLIP + parts[0]
            state[key] = clip.state[parts[0]]
            named.parts[name] = (key,)
    return replace(source, state=state)
