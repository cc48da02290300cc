"""What an encoder costs: parameters, operations an image, and images a second beside a baseline in the same run.

Speed is a ratio: each round times the baseline and the encoder one after the other on the same tiles, so that other
work of the machine slows both, and the median of the rounds' ratios counts.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from knowlip.base.progress import say
from knowlip.base.provenance import machine
from knowlip.models.device import chosen
from knowlip.models.encoders import Encoder, open_encoder

_BATCH: Final = 8
_ROUNDS: Final = 5
_LEAST_SECONDS: Final = 0.05
"""Of a timing; shorter ones are repeated until they last."""


@dataclass(frozen=True)
class Efficiency:
    """Figures of one encoder."""

    identity: str
    """Which weights and input were measured."""
    parameters: int
    flops: float | None
    """Of one image forward, a multiply-add as two (:mod:`knowlip.models.flops`); None where it cannot be counted."""
    size: int
    """Side of the input in pixels."""
    images_per_second: float
    ratio: float
    """Images a second over those of the baseline, the median of the rounds; 1 for the baseline itself."""
    spread: tuple[float, float]
    """Smallest and largest ratio of a round."""
    baseline: str
    machine: str
    note: str = ""


def efficiencies(
    encoders: Mapping[str, tuple[str, int | None, str]], baseline: tuple[str, str, int | None]
) -> dict[str, Efficiency]:
    """Measure encoders; one that cannot be opened is left out and told.

    Args:
        encoders: label -> name of the encoder, side of its input, identity to keep.
        baseline: label, name and side of what speed is measured beside.
    """
    device = str(chosen("auto"))
    label, name, side = baseline
    base = open_encoder(name, device, side)
    found = {}
    for one, (encoder, size, identity) in encoders.items():
        try:
            opened = open_encoder(encoder, device, size)
        except ValueError as error:
            say(f"  the speed of {one} is not measured: {error}")
            continue
        found[one] = measured(opened, base, label, identity, device)
    return found


def measured(encoder: Encoder, base: Encoder, label: str, identity: str, device: str) -> Efficiency:
    """Figures of an opened encoder beside an opened baseline."""
    # Tiles have the encoder's own side: resizing is no part of what is compared.
    own, theirs = (_tiles(one.pixels.size, device) for one in (encoder, base))
    flops, note = operations(encoder)
    ratios, speeds = [], []
    with torch.inference_mode():
        encoder.tokens(own), base.tokens(theirs)
        for _ in range(_ROUNDS):
            before = _seconds(base, theirs, device)
            mine = _seconds(encoder, own, device)
            ratios.append(before / mine)
            speeds.append(_BATCH / mine)
    same = identity and encoder.name == base.name and encoder.pixels == base.pixels
    return Efficiency(
        identity,
        sum(parameter.numel() for parameter in encoder.module.parameters()),
        flops,
        encoder.pixels.size,
        float(np.median(speeds)),
        1.0 if same else float(np.median(ratios)),
        (float(min(ratios)), float(max(ratios))),
        label,
        machine(),
        note,
    )


def operations(encoder: Encoder) -> tuple[float | None, str]:
    """Floating-point operations of one image, as PyTorch counts them, and what must be said of the number."""
    device = next((str(one.device) for one in encoder.module.parameters()), "cpu")
    # Fused attention is counted on every device only where its kernel is the plain one.
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        encoder.tokens(_tiles(encoder.pixels.size, device)[:1])
    total = float(counter.get_total_flops())
    if total:
        return total, ""
    has_weights = any(True for _ in encoder.module.parameters())
    return (None, "PyTorch counts no operation of it.") if has_weights else (0.0, "")


def _tiles(side: int, device: str) -> torch.Tensor:
    drawn = torch.randint(0, 256, (_BATCH, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return drawn.to(device)


def _seconds(encoder: Encoder, tiles: torch.Tensor, device: str) -> float:
    """Seconds of a batch."""
    times, started = 0, time.perf_counter()
    while True:
        encoder.tokens(tiles)
        if device == "cuda":
            torch.cuda.synchronize()
        times += 1
        if (passed := time.perf_counter() - started) >= _LEAST_SECONDS:
            return passed / times
