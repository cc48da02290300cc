"""Any image model of timm, with weights from a file."""

from typing import Any

import timm
import torch
from timm.models import PretrainedCfg
from torch import Tensor, nn

from knowlip.models.encoders.foreign import split_name
from knowlip.models.encoders.protocol import UNKNOWN, EncoderCard, PixelSpec, prepare
from knowlip.models.weights.source import Source, read_source
from knowlip.models.weights.vit import said_normalisation

USAGE = "timm:NAME@WEIGHTS,mean=NUMBERS,std=NUMBERS"
_FREE = ("img_size", "num_classes", "in_chans", "drop_rate", "drop_path_rate")
"""What timm's config.json may say of a model that decides nothing of what an encoder computes here, or is said by
shapes."""
Numbers = tuple[float, ...]
_DATA = {
    "in1k": "ImageNet-1k",
    "in12k": "ImageNet-12k",
    "in21k": "ImageNet-21k",
    "in22k": "ImageNet-22k",
    "lvd142m": "LVD-142M",
    "lvd1689m": "LVD-1689M",
    "sat493m": "SAT-493M",
    "openai": "OpenAI's 400 million image-text pairs",
    "laion400m": "LAION-400M",
    "laion2b": "LAION-2B",
    "webli": "WebLI",
    "merged2b": "Merged-2B",
}
"""Words of timm's tags -> the data set that they name."""


class TimmEncoder:
    """A model of timm without its head.

    A feature map counts as tokens row by row. The summary is what timm's head would classify; where the head first
    widens it (MobileNetV3, VGG), it is the mean of the tokens.
    """

    def __init__(self, name: str, module: nn.Module, pixels: PixelSpec, licence: str, card: EncoderCard) -> None:
        self.name, self.module, self.pixels, self.licence, self.card = name, module, pixels, licence, card
        self.width = int(module.num_features)  # type: ignore[arg-type]
        self.prefix = int(getattr(module, "num_prefix_tokens", 0))

    def tokens(self, images: Tensor) -> Tensor:
        """(B, N, D)."""
        features = self._features(images)
        if features.ndim == 4:
            channels_last = getattr(self.module, "output_fmt", "NCHW") == "NHWC"
            return features.flatten(1, 2) if channels_last else features.flatten(2).mT
        return features

    def summary(self, images: Tensor) -> Tensor:
        """(B, D)."""
        if self.module.head_hidden_size != self.width:
            return self.tokens(images).mean(1)
        pooled: Tensor = self.module.forward_head(self._features(images), pre_logits=True)  # type: ignore[operator]
        return pooled

    def _features(self, images: Tensor) -> Tensor:
        features: Tensor = self.module.forward_features(prepare(images, self.pixels))  # type: ignore[operator]
        return features


def load(name: str, device: str | torch.device, size: int | None = None) -> TimmEncoder:
    """Open `timm:NAME@WEIGHTS`.

    Where NAME carries timm's tag (`vit_small_patch14_dinov2.lvd142m`), the weights are taken to be those of the tag:
    its normalisation, licence and training data hold. Without a tag they may be anyone's, and the card says so.
    `timm:NAME@FILE,mean=0.5,std=0.25` says the normalisation, and a `config.json` of timm beside the file does; weights
    of another number of channels than timm's are taken as they are, and need one of both.

    Args:
        name: behind `timm:`; WEIGHTS is safetensors or a PyTorch file, its tensors named as timm names them.
        device: where the weights go.
        size: side of the input in pixels; by default timm's for NAME. Position embeddings are resized.

    Raises:
        ValueError: no such model, no weights, or weights that do not fit.
    """
    name, _, file = name.partition("@")
    config = find_config(name)
    if not file:
        raise ValueError(f"timm:{name} needs a file of weights: timm:{name}@FILE, or random:{name} for random ones.")
    path, settings = split_name(file)
    mean, std = settings.numbers("mean"), settings.numbers("std")
    settings.close("timm")
    source = read_source(path)
    _check_config(source, name)
    native = config.input_size[1]
    channels = _channels(source, config)
    module = build(name, channels)
    _fill(module, source, config)
    if size not in (None, native) and config.fixed_input_size:
        if not hasattr(module, "set_input_size"):
            raise ValueError(f"{name} takes {native} x {native} pixels only, not {size}.")
        module.set_input_size(img_size=size)  # type: ignore[operator]
    mean, std, told = _normalised(source, config, channels, mean, std)
    pixels = PixelSpec(channels, mean, std, size or native)
    card, licence = EncoderCard(trained_on(config.tag or "")), config.license or UNKNOWN
    if "." not in name:
        note = f"{name} names no training of timm: pixels are normalised {told}."
        card, licence = EncoderCard((UNKNOWN,), note=note), UNKNOWN
    return TimmEncoder(f"timm:{name}@{file}", module.eval().to(device), pixels, licence, card)


def _check_config(source: Source, name: str) -> None:
    """Refuse a file whose `config.json` says that it is another model, or one that was changed."""
    told, settings = source.config.get("architecture"), source.config.get("model_args") or {}
    if told is not None and told != name.partition(".")[0]:
        raise ValueError(f"{source.path} is {told!s:.60}, as config.json beside it says, not {name}.")
    changed = sorted(str(key) for key in settings if key not in _FREE) if isinstance(settings, dict) else ["model_args"]
    if told is not None and changed:
        raise ValueError(
            f"config.json beside {source.path} changes {changed[0]:.60} of {told}, which timm's model of that name has "
            "otherwise: open it by the kind of its layout (`knowlip weights inspect` names them)."
        )


def _channels(source: Source, config: PretrainedCfg) -> int:
    """Channels of the first convolution, as the weights have them; timm's where there is none to look at."""
    usual = int(config.input_size[0])
    kernel = source.state.get(f"{config.first_conv}.weight") if isinstance(config.first_conv, str) else None
    return int(kernel.shape[1]) if kernel is not None and kernel.ndim == 4 else usual


def _normalised(
    source: Source, config: PretrainedCfg, channels: int, mean: Numbers | None, std: Numbers | None
) -> tuple[Numbers, Numbers, str]:
    """Mean and deviation of pixels and who says them: the user, what lies beside the file, timm.

    Raises:
        ValueError: one of both is given, or none is known of so many channels.
    """
    said = said_normalisation(source, mean, std)
    if said is not None:
        return said[0], said[1], f"as {said[2]}"
    if channels != config.input_size[0]:
        raise ValueError(
            f"{source.path} reads {channels} channels, timm's {config.architecture} {config.input_size[0]}: nobody "
            "says how its pixels were normalised: give mean=NUMBERS,std=NUMBERS behind the file, / between channels."
        )
    return tuple(config.mean), tuple(config.std), "as by timm's default of that name"


def find_config(name: str) -> PretrainedCfg:
    """What timm knows about a model.

    Raises:
        ValueError: timm has no model of that name, or none with that tag.
    """
    architecture, _, tag = name.partition(".")
    if timm.is_model(architecture):
        try:
            config = timm.get_pretrained_cfg(name)
        except RuntimeError:
            raise ValueError(f"timm knows no training {tag!r} of {architecture}.") from None
        if config is not None:
            return config
    near = timm.list_models(f"*{architecture.partition('_')[0]}*")[:3] if name else []
    hint = f", e.g. {', '.join(near)}" if near else ""
    raise ValueError(f"timm has no model {name!r}: see timm.list_models(){hint}.")


def build(name: str, channels: int, side: int | None = None) -> nn.Module:
    """A model of timm with random weights and without a head; `side` of its input where positions depend on it.

    Raises:
        ValueError: timm refuses the side, or the model gives no features of an image.
    """
    options: Any = {"img_size": side} if side is not None else {}
    try:
        module: nn.Module = timm.create_model(name, pretrained=False, in_chans=channels, num_classes=0, **options)
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:
        raise ValueError(f"timm cannot build {name}: {error}") from error
    if not all(hasattr(module, part) for part in ("forward_features", "forward_head", "head_hidden_size")):
        raise ValueError(f"{name} of timm has no features apart from its head: choose another model.")
    return module


def _fill(module: nn.Module, source: Source, config: PretrainedCfg) -> None:
    """Load weights; all must have a place, but for those of the head that was left out."""
    heads = (config.classifier,) if isinstance(config.classifier, str) else tuple(config.classifier or ())
    own = module.state_dict()
    state = {key: value for key, value in source.state.items() if key in own or key.rpartition(".")[0] not in heads}
    if missing := sorted(own.keys() - state.keys()):
        raise ValueError(f"{source.path} lacks {len(missing)} tensors of {config.architecture}, first {missing[0]}.")
    if unknown := sorted(state.keys() - own.keys()):
        raise ValueError(
            f"{source.path} has {len(unknown)} tensors that {config.architecture} has no place for, first {unknown[0]}."
        )
    for key, value in state.items():
        if value.shape != own[key].shape:
            raise ValueError(
                f"{source.path}: {key} has shape {tuple(value.shape)}, {config.architecture} {tuple(own[key].shape)}."
            )
    module.load_state_dict(state)


def trained_on(tag: str) -> tuple[str, ...]:
    """Data sets that a tag of timm names, in its order."""
    return tuple(_DATA[word] for word in tag.split("_") if word in _DATA) or (UNKNOWN,)
