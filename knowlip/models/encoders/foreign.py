"""What the encoders of other projects share: names KIND:FILE,setting=value, a file understood before it is opened.

A kind's `read` recognises a file, says what it is and fills a module from it, every tensor accounted for; `open_file`
opens what it found, `knowlip weights inspect` tells it.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast, get_args

import torch
from torch import Tensor, nn

from knowlip.models.encoders.protocol import Encoder, EncoderCard, PixelSpec, prepare
from knowlip.models.weights.ledger import Conversion
from knowlip.models.weights.shape import Activation
from knowlip.models.weights.source import Source, read_source

_SETTING = re.compile(r"([a-z_]+)=([^,=]*)")


@dataclass
class Settings:
    """What stands behind the file in an encoder's name: what the user says of it. What nobody asks for is refused."""

    given: dict[str, str] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)

    def text(self, name: str, choices: Sequence[str] = ()) -> str | None:
        """A word, one of `choices` where there are any."""
        self.asked.add(name)
        value = self.given.get(name)
        if value is not None and choices and value not in choices:
            raise ValueError(f"{name} must be {', '.join(choices[:-1])} or {choices[-1]}, not {value!r:.60}.")
        return value

    def integer(self, name: str) -> int | None:
        """A positive number."""
        value = self.text(name)
        if value is None:
            return None
        if not re.fullmatch(r"[1-9]\d{0,5}", value):
            raise ValueError(f"{name} must be a positive whole number, not {value!r:.60}.")
        return int(value)

    def numbers(self, name: str) -> tuple[float, ...] | None:
        """Numbers with / between them: `0.5` or `0.4/0.5/0.6`."""
        value = self.text(name)
        if value is None:
            return None
        if not re.fullmatch(r"-?\d+(\.\d+)?(/-?\d+(\.\d+)?)*", value):
            raise ValueError(f"{name} must be numbers with / between them, not {value!r:.60}.")
        return tuple(float(part) for part in value.split("/"))

    def pixels(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """`mean=` and `std=` of pixels in 0..1: both or none."""
        mean, std = self.numbers("mean"), self.numbers("std")
        if (mean is None) != (std is None):
            raise ValueError("Give mean and std together.")
        return None if mean is None or std is None else (mean, std)

    def activation(self) -> Activation | None:
        """`activation=` of the feed-forward networks."""
        return cast(Activation | None, self.text("activation", get_args(Activation)))

    def close(self, kind: str) -> None:
        """Refuse what no one asked for.

        Raises:
            ValueError: the sentence names the settings that there are.
        """
        if unknown := sorted(self.given.keys() - self.asked):
            known = ", ".join(sorted(self.asked)) or "none"
            raise ValueError(f"{kind} has no setting {unknown[0]!r}: there are {known}.")


@dataclass
class Foreign:
    """A file as an encoder: not filled in yet."""

    encoder: Encoder
    whole: nn.Module
    """All modules of it, text tower and all, without memory so far."""
    conversion: Conversion
    """Weights for `whole`."""
    what: str
    """The sizes, for people."""
    said: list[str] = field(default_factory=list)
    """What no shape tells, and who says it: heads, activation, normalisation."""

    def fill(self) -> Encoder:
        """The encoder with its weights, on the CPU, in evaluation mode."""
        self.whole.to_empty(device="cpu")
        self.conversion.apply(self.whole)
        self.whole.eval()
        return self.encoder


Read = Callable[[Source, Settings, int | None], Foreign]
"""Source, settings and side of the input in pixels -> what it is; ValueError where it is something else."""


def split_name(rest: str) -> tuple[Path, Settings]:
    """`FILE,setting=value,...` -> the file and the settings.

    Raises:
        ValueError: there is no file, or a setting stands twice.
    """
    parts = rest.split(",")
    given: dict[str, str] = {}
    while len(parts) > 1 and (found := _SETTING.fullmatch(parts[-1])):
        if found[1] in given:
            raise ValueError(f"{found[1]} stands twice in {rest:.120}.")
        given[found[1]] = found[2]
        parts.pop()
    if not (file := ",".join(parts)):
        raise ValueError("An encoder of another project needs its file: KIND:FILE.")
    return Path(file), Settings(given)


def read_as(kind: str, read: Read, source: Source, settings: Settings, size: int | None) -> Foreign:
    """What a kind makes of a file, whose tensors may have any shapes.

    Raises:
        ValueError: another layout, or a tensor of a shape that the kind has none of.
    """
    try:
        return read(source, settings, size)
    except (IndexError, KeyError, RuntimeError, TypeError) as error:  # of a number where a matrix is read
        raise ValueError(
            f"{source.path} is no file of {kind}: a tensor has a shape that none of its has "
            f"({' '.join(str(error).split())[:120]})."
        ) from error


def open_file(kind: str, rest: str, device: str | torch.device, size: int | None, read: Read) -> Encoder:
    """Open `KIND:FILE,setting=value`.

    Args:
        kind: as in the name.
        rest: what stands behind `KIND:`.
        device: where the weights go.
        size: side of the input in pixels, where it should not be the file's own.
        read: of the kind.

    Raises:
        ValueError: no such file, another kind of file, or tensors without a place.
    """
    path, settings = split_name(rest)
    found = read_as(kind, read, read_source(path), settings, size)
    settings.close(kind)
    encoder = found.fill()
    found.whole.to(device)
    encoder.name = f"{kind}:{rest}"
    return encoder


class ForeignEncoder:
    """A ViT of timm with somebody's weights: its tokens, and as summary the class token or what `pool` says."""

    def __init__(
        self, module: nn.Module, pixels: PixelSpec, licence: str, card: EncoderCard, pool: str = "class"
    ) -> None:
        self.name, self.module, self.pixels, self.licence, self.card = "", module, pixels, licence, card
        self.width = int(module.num_features)  # type: ignore[arg-type]
        self.prefix = int(module.num_prefix_tokens)  # type: ignore[arg-type]
        self.pool = pool

    def tokens(self, images: Tensor) -> Tensor:
        """(B, N, D), behind the last norm."""
        found: Tensor = self.module.forward_features(prepare(images, self.pixels))  # type: ignore[operator]
        return found

    def summary(self, images: Tensor) -> Tensor:
        """(B, D)."""
        tokens = self.tokens(images)
        if self.pool == "class":
            return tokens[:, 0]
        pooled: Tensor = self.module.fc_norm(tokens[:, self.prefix :].mean(1))  # type: ignore[operator]
        return pooled
