"""What the encoders of CLIP's kind share: two towers, one space, a tokenizer from the user's files."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from knowlip.models.bpe import FILES, BpeTokenizer, find_bpe, read_bpe
from knowlip.models.clip import ClipModel, ClipText, CocaPool
from knowlip.models.encoders.foreign import Foreign, ForeignEncoder, Settings
from knowlip.models.encoders.protocol import EncoderCard, PixelSpec
from knowlip.models.meta import without_memory
from knowlip.models.weights.clip import ClipNames
from knowlip.models.weights.clip_config import OPEN_CLIP, TowerSaid, clip_said
from knowlip.models.weights.ledger import WeightLedger
from knowlip.models.weights.said_sizes import same_sizes
from knowlip.models.weights.shape import Activation, VitShape, build_vit, fill_vit, vit_shape
from knowlip.models.weights.source import Source
from knowlip.models.weights.vit import CLIP

_HEADS = {768: 12, 1024: 16, 1280: 16, 1408: 16, 1664: 16}
"""Width -> heads of the published CLIPs' ViTs: B, L, H, g, bigG. H has 80 channels a head, not 64."""
_TEXT_HEADS = {512: 8, 640: 10, 768: 12, 1024: 16, 1280: 20}
_NEEDS = ("cls_token", "pos_embed", "norm_pre", "norm")
_POOL_HEADS = 8


@dataclass(frozen=True)
class DualFacts:
    """What is known of a project's models and stands in none of their files."""

    licence: str
    card: EncoderCard
    activation: Callable[[int, int], tuple[Activation | None, str]]
    """Width and patch of the ViT -> its activation (None where nobody says) and who says so."""


def always(activation: Activation, who: str) -> Callable[[int, int], tuple[Activation | None, str]]:
    """The same activation for every size."""
    return lambda width, patch: (activation, who)


class DualEncoder(ForeignEncoder):
    """A ViT and a text tower of one space. The summary is the class token before its projection; CoCa's, whose
    class token stands for nothing, the mean of its patches."""

    def __init__(
        self, model: ClipModel, pixels: PixelSpec, licence: str, card: EncoderCard, path: Path, vocabulary: str | None
    ) -> None:
        super().__init__(model.visual, pixels, licence, card, "class" if model.pool is None else "mean")
        self.model = model
        self._path, self._vocabulary = path, vocabulary
        self._tokenizer: BpeTokenizer | None = None

    @property
    def temperature(self) -> float:
        """tau, by which contrast divides cosines; 1 where the file does not say."""
        scale = self.model.logit_scale
        return 1.0 if scale is None else float(scale.detach().neg().exp())

    def embed(self, images: Tensor) -> Tensor:
        """Unit-length embeddings (B, E)."""
        assert self.model.projection is not None
        pool = self.model.pool
        pooled = self.summary(images) if pool is None else pool(self.tokens(images))
        return F.normalize(self.model.projection(pooled), dim=-1)

    def text(self, texts: Sequence[str]) -> Tensor:
        """Unit-length embeddings (B, E).

        Raises:
            ValueError: there is no vocabulary beside the weights, or it is not the model's.
        """
        tower = self.model.text
        assert tower is not None
        tokens, ends = self.tokenizer()(texts, tower.length)
        device = tower.positions.device
        return F.normalize(tower(tokens.to(device), ends.to(device)), dim=-1)

    def tokenizer(self) -> BpeTokenizer:
        """Of the user's file, read when the first text comes."""
        if self._tokenizer is None:
            assert self.model.text is not None
            path = Path(self._vocabulary) if self._vocabulary else find_bpe(self._path)
            if path is None:
                raise ValueError(
                    f"{self._path} reads texts with a vocabulary that is not in it: put {', '.join(FILES[:2])} or "
                    f"{FILES[2]} and merges.txt beside it, or give vocabulary=FILE."
                )
            self._tokenizer = read_bpe(path, self.model.text.embedding.num_embeddings)
        return self._tokenizer


def read_dual(source: Source, settings: Settings, size: int | None, names: ClipNames, facts: DualFacts) -> Foreign:
    """Two towers of a file, or the ViT alone where it has no text.

    Raises:
        ValueError: other sizes than it says, or tensors without a place.
    """
    said_by = clip_said(source)
    vision, texts, who_config = said_by.vision, said_by.text, said_by.who
    if "patch_embed.proj.weight" not in names.visual.parts:
        raise ValueError(f"{source.path} lacks the patch kernel of its ViT.")
    kernel = names.visual.value(source.state, "patch_embed.proj.weight")
    if kernel.ndim != 4:
        raise ValueError(f"{source.path} has a patch kernel of shape {tuple(kernel.shape)}.")
    width, patch = kernel.shape[0], kernel.shape[-1]
    heads, said = _heads(source, "heads", width, settings.integer("heads"), vision.heads, _HEADS, who_config)
    known, who = facts.activation(width, patch)
    activation, acts = _activation(source, settings.activation(), vision.activation, known, who, who_config)
    needs = _NEEDS if not names.pool.parts else _NEEDS[:3]  # CoCa's last norm stands behind its pooling
    shape = vit_shape(source.path, source.state, names.visual, heads, activation, vision.eps, needs=needs)
    same_sizes(source.path, who_config, vision.sizes, shape.sizes())
    mean, std, whose = _pixels(source, settings, said_by.pixels, shape)
    notes = [said, acts, f"Pixels: mean {mean}, deviation {std} ({whose})."]

    # Half a pair of towers would be another model in silence: either all parts of both are there, or the ViT alone.
    text, asked = None, settings.integer("text_heads")
    vocabulary = settings.text("vocabulary")
    if names.text.parts and not names.scale:
        raise ValueError(f"{source.path} lacks logit_scale, which every CLIP of two towers has.")
    if names.text.parts and not names.projection:
        raise ValueError(f"{source.path} lacks the projection of its images, which every CLIP of two towers has.")
    if names.text.parts:
        table = names.text.parts.get("embedding.weight")
        wide = source.state[table[0]].shape[-1] if table else 0
        number, said = _heads(source, "text_heads", wide, asked, texts.heads, _TEXT_HEADS, who_config)
        spoken = activation if "activation" in settings.given else texts.activation or activation
        text = _text_tower(source, names, number, spoken, texts, who_config)
        notes.append(said if spoken == activation else f"{said[:-1]}; {spoken}, as {who_config} says.")
    embed = None
    if names.projection:
        projection = source.state[names.projection]
        embed = projection.shape[1 if names.transposed else 0] if projection.ndim == 2 else 0
        same_sizes(source.path, who_config, {"embed": said_by.embed or embed}, {"embed": embed}, "projection")
    tower = build_vit(shape, size)
    with without_memory():
        pool = (
            _pool(source, names, settings.integer("pool_heads"), vision.pool_heads, notes) if names.pool.parts else None
        )
        model = ClipModel(tower, embed, text, bool(names.scale), pool)
    ledger = WeightLedger(source, model, [""], "CLIP")
    for reason, keys in names.dropped.items():
        ledger.drop(keys, reason)
    fill_vit(ledger, names.visual, shape, "visual.", size)
    if names.projection:
        value = source.state[names.projection]
        ledger.put("projection.weight", value.mT if names.transposed else value, names.projection)
    if text is not None:
        for reason, keys in names.text.dropped.items():
            ledger.drop(keys, reason)
        for name, parts in names.text.parts.items():
            if f"text.{name}" in ledger.wanted:
                ledger.put(f"text.{name}", names.text.value(source.state, name), *parts)
    for name, parts in names.pool.parts.items():
        if f"pool.{name}" in ledger.wanted:
            ledger.put(f"pool.{name}", names.pool.value(source.state, name), *parts)
    if names.scale:
        scale = source.state[names.scale]
        if scale.numel() != 1:
            raise ValueError(f"{source.path} has a {names.scale} of shape {tuple(scale.shape)}, not one number.")
        ledger.put("logit_scale", scale.reshape(()), names.scale)
    pixels = PixelSpec(shape.channels, mean, std, size or shape.side)
    path = Path(source.path)
    encoder: ForeignEncoder
    if text is not None and embed:
        encoder = DualEncoder(model, pixels, facts.licence, facts.card, path, vocabulary)
    else:
        encoder = ForeignEncoder(model.visual, pixels, facts.licence, facts.card)
        notes.append("No text tower with a projection of both: it reads no texts.")
    what = shape.describe() + (f"; text tower of width {text.positions.shape[1]}" if text is not None else "")
    return Foreign(encoder, model, ledger.close(), what, notes)


def _pixels(
    source: Source, settings: Settings, said: tuple[tuple[float, ...], tuple[float, ...], str] | None, shape: VitShape
) -> tuple[tuple[float, ...], tuple[float, ...], str]:
    """Mean and deviation of pixels and who says them: the user, what lies beside the file, CLIP's code.

    Raises:
        ValueError: CLIP's are of three channels, and the file reads another number.
    """
    given = settings.pixels()
    if given is not None:
        return (*given, "as mean= and std= say")
    if said is not None:
        return said
    if shape.channels != len(CLIP[0]):
        raise ValueError(
            f"{source.path} reads {shape.channels} channel{'s' if shape.channels > 1 else ''} and nobody says how its "
            "pixels were normalised: give mean=NUMBERS and std=NUMBERS, with / between channels."
        )
    return tuple(CLIP[0]), tuple(CLIP[1]), "CLIP's mean and deviation, as the project's code says"


def _text_tower(
    source: Source, names: ClipNames, heads: int, activation: Activation, said: TowerSaid, who: str
) -> ClipText:
    """A text tower of the file's sizes.

    Raises:
        ValueError: a part is missing.
    """
    named, state = names.text, source.state
    for needed in ("embedding.weight", "positions", "blocks.0.mlp.fc1.weight", "projection.weight"):
        if needed not in named.parts:
            raise ValueError(f"{source.path} has a text tower that lacks {needed}.")
    words, width = named.value(state, "embedding.weight").shape
    own = "own_token" in named.parts
    depth = len({name.split(".")[1] for name in named.parts if name.startswith("blocks.")})
    hidden, length = len(named.value(state, "blocks.0.mlp.fc1.weight")), len(named.value(state, "positions")) - own
    embed = named.value(state, "projection.weight").shape[0]
    if max(words, width * 64, hidden, length * 16, embed, depth * 1024) > 1 << 20:
        raise ValueError(f"{source.path} has a text tower of {words} words, width {width}, depth {depth}: none has.")
    found = {"words": words, "length": length, "width": width, "depth": depth, "mlp_width": hidden}
    same_sizes(source.path, who, said.sizes, found, "text tower")
    bias = "projection.bias" in named.parts
    with without_memory():
        return ClipText(words, length, width, depth, heads, hidden, embed, activation, said.eps, own, bias)


def _pool(source: Source, names: ClipNames, asked: int | None, told: int | None, notes: list[str]) -> CocaPool:
    """CoCa's pooling of the file's sizes."""
    parts = {name: names.pool.value(source.state, name) for name in names.pool.parts}
    if lacking := [name for name in ("query", "k.weight") if name not in parts]:
        raise ValueError(f"{source.path} has a pooling of CoCa that lacks {lacking[0]}.")
    if told is not None and asked not in (None, told):
        raise ValueError(f"{source.path} has {told} heads of its pooling, as {OPEN_CLIP} says, not {asked}.")
    heads = told or asked or _POOL_HEADS
    who = f"{OPEN_CLIP} says" if told else "pool_heads says" if asked else "every CoCa of open_clip has (pool_heads=)"
    notes.append(f"{heads} heads of the pooling, as {who}.")
    (queries, embed), width = parts["query"].shape, parts["k.weight"].shape[-1]
    return CocaPool(width, embed, heads, queries, 1e-5)


def _heads(
    source: Source, setting: str, width: int, asked: int | None, config: int | None, known: Mapping[int, int], who: str
) -> tuple[int, str]:
    """The number of heads and who says it: the config, the user, or the published models of that width."""
    if config is not None:
        if asked not in (None, config):
            raise ValueError(f"{source.path} has {config} heads, as {who} says, not {asked}: leave out {setting}.")
        return config, f"{config} heads, as {who} says."
    if asked is not None:
        return asked, f"{asked} heads, as {setting} says."
    if width not in known:
        raise ValueError(
            f"{source.path} does not say how many heads its tower of width {width} has: give {setting}=NUMBER, or keep "
            f"{OPEN_CLIP} beside it."
        )
    return known[width], f"{known[width]} heads, as every published CLIP's tower of width {width} has ({setting}=)."


def _activation(
    source: Source,
    asked: Activation | None,
    config: Activation | None,
    known: Activation | None,
    who: str,
    who_config: str,
) -> tuple[Activation, str]:
    """The activation and who says it."""
    if config is not None:
        if asked not in (None, config):
            raise ValueError(f"{source.path} has {config}, as {who_config} says, not {asked}: leave out activation.")
        return config, f"{config}, as {who_config} says."
    if asked is not None:
        return asked, f"{asked}, as activation= says."
    if known is None:
        raise ValueError(f"{source.path} does not say its activation ({who}): give activation=gelu or quick_gelu.")
    return known, f"{known}: {who} (activation= takes another)."
