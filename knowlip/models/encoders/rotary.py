"""What the encoders of DINOv3's layout share: rotary positions, registers, the masked bias of keys."""

import re
from dataclasses import dataclass

from torch import Tensor

from knowlip.models.encoders.foreign import Foreign, ForeignEncoder, Settings
from knowlip.models.encoders.protocol import EncoderCard, PixelSpec
from knowlip.models.meta import without_memory
from knowlip.models.rope import RopeViT
from knowlip.models.weights.ledger import WeightLedger
from knowlip.models.weights.source import Source

_MASK = re.compile(r"blocks\.\d+\.attn\.qkv\.bias_mask")
_DROPPED = {
    "mask_token": "stands for masked patches in the former training",
    "local_cls_norm": "norm of small crops in the former training",
    "head": "head of the former training",
}
_WIDEST, _DEEPEST = 8192, 128
_NEEDS = ("patch_embed.proj.weight", "cls_token", "storage_tokens", "rope_embed.periods", "blocks.0.mlp.fc1.weight")
"""All published models have registers: without them the same tensors are another model."""


@dataclass(frozen=True)
class RotaryFacts:
    """What is known of a project's models and stands in none of their files."""

    licence: str
    card: EncoderCard
    who: str
    eps: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    side: int
    """Of the input: rotary positions do not tell."""


def read_rotary(source: Source, settings: Settings, size: int | None, facts: RotaryFacts, layout: str) -> Foreign:
    """A ViT of DINOv3's layout: its tensors alone, under `backbone.`, or the teacher of a training.

    Raises:
        ValueError: another layout, or tensors without a place.
    """
    prefixes = [key.removesuffix("rope_embed.periods") for key in source.state if key.endswith("rope_embed.periods")]
    teacher = [one for one in prefixes if one.startswith("teacher.")] or prefixes
    if len(teacher) != 1:
        why = "no rope_embed.periods" if not prefixes else f"{len(prefixes)} of them"
        raise ValueError(f"{source.path} holds no ViT of {layout}'s layout ({why}).")
    (prefix,) = teacher
    state = {key.removeprefix(prefix): value for key, value in source.state.items() if key.startswith(prefix)}
    sizes = _sizes(source, state)
    width, channels, patch = sizes["width"], sizes["channels"], sizes["patch"]
    side = size or facts.side
    if side % patch:
        raise ValueError(f"A side of {side} px is no multiple of the patches' {patch} px.")
    with without_memory():
        tower = RopeViT(
            width,
            sizes["depth"],
            sizes["heads"],
            sizes["hidden"],
            patch,
            channels,
            sizes["registers"],
            "blocks.0.ls1.gamma" in state,
            "cls_norm.weight" in state,
            facts.eps,
        )
    ledger = WeightLedger(source, tower, [""], layout)
    for name in state:
        if reason := _DROPPED.get(name.split(".")[0]):
            ledger.drop([prefix + name], reason)
    ledger.drop([key for key in source.state if not key.startswith(prefix)], "not the teacher's backbone")
    for ours in ledger.wanted:
        mask = f"{ours}_mask"
        if mask in state and _MASK.fullmatch(mask) and ours in state and state[mask].shape == state[ours].shape:
            # The bias of keys is multiplied by 0 in every forward pass: the product is loaded.
            ledger.put(ours, state[ours].float() * state[mask].float(), prefix + ours, prefix + mask)
            ledger.report.folded[ours] = "its mask: the bias of keys is 0"
        else:
            ledger.copy(ours, prefix + ours)
    mean, std = settings.pixels() or (facts.mean, facts.std)
    pixels = PixelSpec(channels, mean, std, side)
    what = (
        f"ViT of width {width}, depth {sizes['depth']}, {sizes['heads']} heads, patches of {patch} px, {channels} "
        f"channel{'s' if channels > 1 else ''}, {sizes['registers']} registers, rotary positions"
    )
    said = [
        f"{sizes['heads']} heads, as the number of its rotary periods says.",
        f"GELU and an epsilon of {facts.eps:g}, as {facts.who} says.",
        f"Pixels: mean {mean}, deviation {std}, {'as mean= and std= say' if 'mean' in settings.given else facts.who}.",
        f"{side} px: rotary positions suit any side; {facts.side} px, as {facts.who} says.",
    ]
    return Foreign(ForeignEncoder(tower, pixels, facts.licence, facts.card), tower, ledger.close(), what, said)


def _sizes(source: Source, state: dict[str, Tensor]) -> dict[str, int]:
    """Sizes from the shapes; the rotary periods tell how wide a head is.

    Raises:
        ValueError: a part is missing, or sizes do not fit.
    """
    for needed in _NEEDS:
        if needed not in state:
            gated = "blocks.0.mlp.w1.weight" in state
            why = "its feed-forward networks are gated, which is not read" if gated else f"it has no {needed}"
            raise ValueError(f"{source.path} holds no plain ViT with rotary positions: {why}.")
    kernel = state["patch_embed.proj.weight"]
    if kernel.ndim != 4 or kernel.shape[2] != kernel.shape[3]:
        raise ValueError(f"{source.path} has patch kernels of shape {tuple(kernel.shape)}: only square ones are read.")
    width, channels, patch, _ = kernel.shape
    # A quarter of a head's channels turns with rows, a quarter with columns; sine and cosine make it a half each.
    head = 4 * len(state["rope_embed.periods"])
    depth = len({name.split(".")[1] for name in state if re.match(r"blocks\.\d+\.", name)})
    hidden = len(state["blocks.0.mlp.fc1.weight"])
    if head < 4 or width % head or width > _WIDEST or depth > _DEEPEST or hidden > 8 * _WIDEST:
        raise ValueError(f"{source.path} has width {width}, depth {depth} and heads of {head}: no such ViT is read.")
    registers = state["storage_tokens"].shape[1]
    masks = sum(f"blocks.{block}.attn.qkv.bias_mask" in state for block in range(depth))
    if masks not in (0, depth):
        raise ValueError(f"{source.path} lacks the mask of the keys' bias in {depth - masks} of {depth} blocks.")
    return {
        "width": width,
        "channels": channels,
        "patch": patch,
        "depth": depth,
        "heads": width // head,
        "hidden": hidden,
        "registers": registers,
    }
