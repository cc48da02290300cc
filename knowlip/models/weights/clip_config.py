"""What the files beside a CLIP's weights say: open_clip's `open_clip_config.json`, Hugging Face's `config.json`.

Only what is read as the config means it is taken: a switch that changes what the model computes and that no shape shows
(pooling, masks of attention, another activation) is refused by its name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from knowlip.base.documents import read_json
from knowlip.models.weights.said_sizes import said_sizes, sound_eps, whole
from knowlip.models.weights.shape import Activation
from knowlip.models.weights.source import Source
from knowlip.models.weights.vit import stated_normalisation

OPEN_CLIP: Final = "open_clip_config.json"
_HUGGING_FACE: Final = "config.json"
_MODELS: Final = ("clip", "clip_vision_model")
_HEAD_WIDTH: Final = 64
"""Of open_clip's ViTs where their config does not say."""
_SWITCHES: Final[Mapping[str, Mapping[str, Any]]] = {
    "vision": {
        "no_ln_pre": False,
        "pos_embed_type": "learnable",
        "final_ln_after_pool": False,
        "pool_type": "tok",
        "act_kwargs": None,
        "scaled_cosine_attn": False,
        "timm_model_name": None,
    },
    "text": {
        "no_causal_mask": False,
        "pool_type": "argmax",
        "final_ln_after_pool": False,
        "act_kwargs": None,
        "proj_type": "linear",
        "scaled_cosine_attn": False,
        "hf_model_name": None,
    },
}
"""open_clip's settings that change what is computed -> the one value that is read."""
_WORDS: Final[Mapping[str, Activation]] = {
    "gelu": "gelu",
    "quick_gelu": "quick_gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
}
"""Hugging Face's activations."""


@dataclass(frozen=True)
class TowerSaid:
    """Of one tower; None where it says nothing."""

    heads: int | None = None
    activation: Activation | None = None
    eps: float = 1e-5
    pool_heads: int | None = None
    """Of CoCa's pooling."""
    sizes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ClipSaid:
    """Of both."""

    who: str = _HUGGING_FACE
    """The file that says it."""
    vision: TowerSaid = field(default_factory=TowerSaid)
    text: TowerSaid = field(default_factory=TowerSaid)
    embed: int | None = None
    """Width of the space of images and texts."""
    pixels: tuple[tuple[float, ...], tuple[float, ...], str] | None = None
    """Mean, deviation, and who says them."""


def clip_said(source: Source) -> ClipSaid:
    """What lies beside a file.

    Raises:
        ValueError: it says something that is not sound, or not read.
    """
    beside = Path(source.path).with_name(OPEN_CLIP)
    if beside.is_file():
        return _open_clip(read_json(beside), beside, source.path)
    vision = source.config.get("vision_config", source.config)
    # Newer configs leave out what is CLIPConfig's default.
    if isinstance(vision, dict) and ("hidden_act" in vision or source.config.get("model_type") in _MODELS):
        return _hugging_face(source)
    return ClipSaid()


def _open_clip(content: Any, path: Path, weights: str) -> ClipSaid:
    model = content.get("model_cfg", content) if isinstance(content, dict) else None
    model = model if isinstance(model, dict) else {}
    parts = {part: model.get(f"{part}_cfg") for part in ("vision", "text")}
    if not all(isinstance(one, dict) for one in parts.values()) or "width" not in parts["vision"]:  # type: ignore[operator]
        raise ValueError(f"{path} names no ViT and text tower of open_clip.")
    for part, switches in _SWITCHES.items():
        for key, needed in switches.items():
            told = cast(dict[str, Any], parts[part]).get(key, needed)
            if (told or None) != (needed or None):
                raise ValueError(f"{path} says {part}_cfg.{key} {told!s:.60}, which is read only as {needed}.")
    vision, text = (cast(dict[str, Any], parts[part]) for part in ("vision", "text"))
    width = whole(vision["width"], "width", path.name, weights)
    head = whole(vision.get("head_width", _HEAD_WIDTH), "head_width", path.name, weights)
    if width % head:
        raise ValueError(f"{path} says heads of {head} channels, which do not divide its width of {width}.")
    activation: Activation = "quick_gelu" if model.get("quick_gelu") else "gelu"
    pooled = vision.get("attn_pooler_heads")
    told, pixels = content.get("preprocess_cfg"), None
    if isinstance(told, dict) and "mean" in told and "std" in told:
        pixels = _channels(told["mean"], path), _channels(told["std"], path), f"as {path.name} says"
    return ClipSaid(
        path.name,
        TowerSaid(
            width // head,
            activation,
            _norm(vision, path, weights),
            None if pooled is None else whole(pooled, "attn_pooler_heads", path.name, weights),
            said_sizes(vision, path.name, weights),
        ),
        TowerSaid(
            None if text.get("heads") is None else whole(text["heads"], "heads", path.name, weights),
            activation,
            _norm(text, path, weights),
            None,
            said_sizes(text, path.name, weights),
        ),
        None if model.get("embed_dim") is None else whole(model["embed_dim"], "embed_dim", path.name, weights),
        pixels,
    )


def _norm(tower: Mapping[str, Any], path: Path, weights: str) -> float:
    """The norms' epsilon of open_clip's `norm_kwargs`, which say nothing else that is read."""
    told = tower.get("norm_kwargs") or {}
    if not isinstance(told, dict) or set(told) - {"eps"}:
        raise ValueError(f"{path} says norm_kwargs {told!s:.60}, of which only eps is read.")
    return sound_eps(told.get("eps", TowerSaid.eps), path.name, weights)


def _hugging_face(source: Source) -> ClipSaid:
    found: dict[str, TowerSaid] = {}
    for part, heads in (("vision", 12), ("text", 8)):
        one = source.config.get(f"{part}_config", source.config if part == "vision" else {})
        if not isinstance(one, dict) or not one:
            continue
        word = one.get("hidden_act", "quick_gelu")  # these defaults are CLIPConfig's
        if word not in _WORDS:
            raise ValueError(f"{source.path} has the activation {word!s:.40}, which is not read.")
        number = whole(one.get("num_attention_heads", heads), "num_attention_heads", _HUGGING_FACE, source.path)
        eps = sound_eps(one.get("layer_norm_eps", TowerSaid.eps), _HUGGING_FACE, source.path)
        sizes = said_sizes(one, _HUGGING_FACE, source.path)
        found[part] = TowerSaid(number, _WORDS[word], eps, None, sizes)
    stated, who = stated_normalisation(source)
    pixels = None
    if stated is not None:
        path = Path(source.path).with_name("preprocessor_config.json")
        pixels = _channels(stated[0], path), _channels(stated[1], path), who.rstrip(".")
    embed = source.config.get("projection_dim")
    return ClipSaid(
        _HUGGING_FACE,
        found.get("vision", TowerSaid()),
        found.get("text", TowerSaid()),
        None if embed is None else whole(embed, "projection_dim", _HUGGING_FACE, source.path),
        pixels,
    )


def _channels(values: Any, path: Path) -> tuple[float, ...]:
    numbers = list(values) if isinstance(values, list | tuple) else []
    sound = all(isinstance(one, int | float) and not isinstance(one, bool) and abs(one) < 1e6 for one in numbers)
    if len(numbers) not in (1, 3) or not sound:
        raise ValueError(f"{path} has no sound mean and deviation of pixels.")
    return tuple(float(one) for one in values)
