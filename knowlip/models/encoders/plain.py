"""What the encoders with one plain ViT share: facts of a project, and a file's tower read by them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from knowlip.models.encoders.foreign import Foreign, ForeignEncoder, Settings
from knowlip.models.encoders.protocol import EncoderCard, PixelSpec, prepare
from knowlip.models.weights.heads import said_heads
from knowlip.models.weights.ledger import WeightLedger
from knowlip.models.weights.said_sizes import said_sizes, same_sizes, sound_eps
from knowlip.models.weights.shape import ACTIVATIONS, KERNEL, Activation, Named, build_vit, fill_vit, vit_shape
from knowlip.models.weights.source import Source
from knowlip.models.weights.vit import IMAGENET, said_normalisation

VIT_HEADS: Mapping[int, int] = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16}
"""Width -> heads of the published plain ViTs: tiny, small, base, large, huge."""


@dataclass(frozen=True)
class PlainFacts:
    """What is known of a project's ViT and stands in none of its files."""

    licence: str
    card: EncoderCard
    who: str
    """Who says activation, epsilon and normalisation, e.g. "MAE's code"."""
    activation: Activation = "gelu"
    eps: float = 1e-6
    mean: tuple[float, ...] | None = IMAGENET[0]  # type: ignore[assignment]
    std: tuple[float, ...] | None = IMAGENET[1]  # type: ignore[assignment]
    """None: nobody says; then `mean` and `std` are asked for."""
    heads: Mapping[int, int] | None = None
    """Of each published width; None where it must be asked for."""
    needs: Sequence[str] = ("cls_token", "pos_embed", "norm", "patch_bias", "qkv_bias")
    align_corners: bool = False
    """Of the interpolation of position embeddings."""
    side: int | None = None
    """Of the input in pixels, instead of the positions' own."""


class LayersEncoder:
    """Patches of chosen blocks side by side, before the last norm; the summary is their mean."""

    def __init__(
        self, module: VisionTransformer, layers: Sequence[int], pixels: PixelSpec, licence: str, card: EncoderCard
    ) -> None:
        self.name, self.pixels, self.licence, self.card = "", pixels, licence, card
        self.module: nn.Module = module
        self.layers = tuple(layers)
        self.width, self.prefix = module.num_features * len(self.layers), 0

    def tokens(self, images: Tensor) -> Tensor:
        """(B, N, D)."""
        tower = self.module
        x = tower.norm_pre(tower._pos_embed(tower.patch_embed(prepare(images, self.pixels))))  # type: ignore[operator]
        found = []
        for number, block in enumerate(tower.blocks, 1):  # type: ignore[arg-type]
            x = block(x)
            found += [x[:, tower.num_prefix_tokens :]] if number in self.layers else []
        return torch.cat(found, -1)

    def summary(self, images: Tensor) -> Tensor:
        """(B, D)."""
        return self.tokens(images).mean(1)


def read_plain(
    source: Source,
    settings: Settings,
    size: int | None,
    named: Named,
    facts: PlainFacts,
    layout: str,
    pool: str = "class",
    layers: Sequence[int] = (),
) -> Foreign:
    """A plain ViT of a file.

    Args:
        source: the file.
        settings: what the user says of it.
        size: side of the input in pixels, instead of its own.
        named: its tensors under timm's names.
        facts: of the project.
        layout: whose file it is, for the report.
        pool: "class" or "mean" of the patches, as summary.
        layers: blocks whose patches are the tokens, counted from 1, negative from the end; () for the last norm's.

    Raises:
        ValueError: other sizes than it says, or tensors without a place.
    """
    said = []
    if KERNEL not in named.parts:
        raise ValueError(f"{source.path} lacks {KERNEL} of its ViT.")
    width = named.value(source.state, KERNEL).shape[0]
    heads, who = _heads(source, settings.integer("heads"), facts, width, layout)
    said.append(who)
    activation, given = settings.activation() or facts.activation, f"{facts.who} says"
    if "activation" in settings.given:
        given = "activation= says"
    told = {"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh"}.get(str(source.config.get("hidden_act")))
    told = told or source.config.get("hidden_act")
    if told is not None and told not in ACTIVATIONS:
        raise ValueError(f"{source.path} has the activation {told!s:.40}, as config.json says, which is not read.")
    if told is not None:
        if "activation" in settings.given and told != activation:
            raise ValueError(f"{source.path} has {told}, as config.json says, not {activation}: leave out activation.")
        activation, given = cast(Activation, told), "config.json says"
    eps, who = _eps(source, facts)
    said.append(f"{activation}, as {given}; norm's epsilon {eps:g}, as {who} says.")
    depth = len({name.split(".")[1] for name in named.parts if name.startswith("blocks.")})
    chosen = [layer if layer > 0 else depth + 1 + layer for layer in layers]
    if chosen:
        if not 1 <= min(chosen) <= max(chosen) <= depth:
            raise ValueError(f"{source.path} has {depth} blocks: layers {list(layers)} are not all among them.")
        # What stands behind the last block that is read has no part in what the encoder computes.
        for name in list(named.parts):
            behind = name.startswith("blocks.") and int(name.split(".")[1]) >= max(chosen)
            if behind or name.startswith(("norm.", "fc_norm.")):
                for part in named.parts.pop(name):
                    named.drop(part, "behind the last layer that is read")
        said.append(f"Tokens are the patches behind block {', '.join(map(str, chosen))} of {depth}, without a norm.")
    needs = [part for part in facts.needs if not (chosen and part == "norm")]
    shape = vit_shape(source.path, source.state, named, heads, activation, eps, needs=needs)
    config = source.config.get("vision_config", source.config)
    same_sizes(
        source.path, "config.json", said_sizes(config, "config.json", source.path), shape.sizes() | {"depth": depth}
    )
    if source.config.get("qkv_bias") is False and "qkv_bias" in shape.parts:
        raise ValueError(f"{source.path} has biases of q, k and v, and config.json beside it says qkv_bias false.")
    mean, std, who = _pixels(source, settings, facts, shape.channels)
    said.append(f"Pixels: mean {_numbers(mean)}, deviation {_numbers(std)}, as {who}.")
    side = size or facts.side or shape.side
    tower = build_vit(shape, side)
    ledger = WeightLedger(source, tower, [""], layout)
    fill_vit(ledger, named, shape, "", side, facts.align_corners)
    pixels = PixelSpec(shape.channels, mean, std, side)
    if chosen:
        encoder = LayersEncoder(tower, chosen, pixels, facts.licence, facts.card)
        return Foreign(encoder, tower, ledger.close(), shape.describe(), said)
    pool = "mean" if "fc_norm" in shape.parts else pool
    plain = ForeignEncoder(tower, pixels, facts.licence, facts.card, pool)
    return Foreign(plain, tower, ledger.close(), shape.describe(), said)


def timm_names(source: Source, prefix: str, dropped: Mapping[str, str], outside: str | Mapping[str, str] = "") -> Named:
    """A tower that is named as timm names it, behind a prefix.

    Args:
        source: the file.
        prefix: before the names of the tower.
        dropped: first part of a name behind the prefix -> why it is dropped.
        outside: why everything without the prefix is dropped, or why what begins with a word is; what has no reason
            is left to be refused.
    """
    named = Named()
    for key in source.state:
        name = key.removeprefix(prefix)
        if not key.startswith(prefix):
            if why := outside if isinstance(outside, str) else outside.get(key.split(".")[0], ""):
                named.drop(key, why)
        elif reason := next((why for start, why in dropped.items() if name.split(".")[0].startswith(start)), ""):
            named.drop(key, reason)
        else:
            named.parts[name] = (key,)
    return named


def _heads(source: Source, asked: int | None, facts: PlainFacts, width: int, layout: str) -> tuple[int, str]:
    """The number of heads and who says it: config, settings of the training, the user, the project."""
    said = said_heads(source, "vision", layout, width)
    if said is not None:
        if asked not in (None, said.number):
            raise ValueError(f"{source.path} has {said.number} heads, {said.who}, not {asked}: leave out heads.")
        return said.number, f"{said.number} heads, {said.who}."
    if asked is not None:
        return asked, f"{asked} heads, as heads= says."
    known = (facts.heads if facts.heads is not None else VIT_HEADS).get(width)
    if known is None:
        raise ValueError(f"{source.path} does not say how many heads its ViT of width {width} has: give heads=NUMBER.")
    return known, f"{known} heads, as every published model of this project of width {width} has (heads=)."


def _eps(source: Source, facts: PlainFacts) -> tuple[float, str]:
    """The epsilon of the norms and who says it."""
    told = source.config.get("layer_norm_eps")
    return (facts.eps, facts.who) if told is None else (sound_eps(told, "config.json", source.path), "config.json")


def _pixels(
    source: Source, settings: Settings, facts: PlainFacts, channels: int
) -> tuple[tuple[float, ...], tuple[float, ...], str]:
    """Mean and deviation of pixels and who says them: the user, what lies beside the file, the project."""
    said = said_normalisation(source, settings.numbers("mean"), settings.numbers("std"))
    if said is not None:
        return said
    if facts.mean is None or facts.std is None or len(facts.mean) != channels:
        raise ValueError(
            f"{source.path} reads {channels} channels and nobody says how its pixels were normalised: give "
            "mean=NUMBERS and std=NUMBERS, with / between channels (0 and 1 for pixels in 0..1 as they are)."
        )
    return facts.mean, facts.std, f"{facts.who} says"


def _numbers(values: Sequence[float]) -> str:
    return "/".join(f"{value:.4g}" for value in values)


def layers_of(settings: Settings, usual: tuple[int, ...]) -> tuple[int, ...]:
    """`layers=8/16/24`, counted from 1; negative from the end."""
    given = settings.numbers("layers")
    if given is None:
        return usual
    if any(layer != int(layer) or layer == 0 for layer in given):
        raise ValueError(f"layers must be whole numbers from 1 (or from -1 backwards), not {settings.given['layers']}.")
    return tuple(int(layer) for layer in given)
