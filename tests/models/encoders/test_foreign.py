"""Every encoder of another project, against a tiny reference in the official envelope.

Equal to 1e-5; every tensor of a file used or dropped for a stated reason; every used one matters; what does not fit is
refused. `test_official.py` holds the same encoders against the official code where there is a checkout of it.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from knowlip.models.encoders import Encoder, open_encoder
from tests.models.encoders.official import randomise
from tests.models.encoders.reference import SIDE, Reference, pixels_of, timm_state


@dataclass
class Case:
    """A file of random weights, and what its model computes."""

    kind: str
    state: dict[str, Tensor]
    """As the official file names them."""
    tokens: Callable[[Tensor], Tensor]
    """Tiles (B, S, S) uint8 -> tokens."""
    summary: Callable[[Tensor], Tensor]
    envelope: Callable[[dict[str, Tensor]], Any] = lambda state: state
    settings: str = ""
    unused: str = "(?!)"
    """Names of what is dropped for a reason."""
    beside: dict[str, Any] = field(default_factory=dict)
    """JSON files beside the weights."""
    file: str = "weights.pth"

    def write(self, folder: Path, state: dict[str, Tensor] | None = None) -> str:
        """The encoder's name, with its file in a folder."""
        torch.save(self.envelope(self.state if state is None else state), folder / self.file)
        for name, content in self.beside.items():
            (folder / name).write_text(json.dumps(content))
        return f"{self.kind}:{folder / self.file}{self.settings}"


def sar_jepa() -> Case:
    model = randomise(Reference(1, positions=False, relative=True))
    state = timm_state(model) | {"mask_token": torch.randn(1, 1, 64), "encoder_pred.weight": torch.randn(32, 64)}
    state |= {"decoder_blocks.0.norm1.weight": torch.randn(32), "sarfeature1.weight_x1": torch.randn(1, 1, 11, 11)}

    def tokens(images: Tensor) -> Tensor:
        return model(pixels_of(images, channels=1))

    return Case(
        "sar_jepa",
        state,
        tokens,
        lambda images: tokens(images)[:, 0],
        lambda state: {"model": {f"module.{key}": value for key, value in state.items()}, "epoch": 199},
        unused="pos_embed|mask_token|encoder_pred|decoder|sarfeature",
    )


CASES = {case.__name__: case for case in (sar_jepa,)}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    torch.manual_seed(0)
    made: Case = CASES[request.param]()
    return made


def tiles(side: int = SIDE) -> Tensor:
    return torch.randint(0, 256, (2, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def all_of(encoder: Encoder) -> Tensor:
    """Everything that an encoder computes, as one vector."""
    found = [encoder.tokens(tiles()), encoder.summary(tiles())]
    return torch.cat([part.flatten() for part in found])


@torch.no_grad()
def test_it_computes_what_the_reference_does(case: Case, tmp_path: Path) -> None:
    encoder = open_encoder(case.write(tmp_path))
    images = tiles()
    torch.testing.assert_close(encoder.tokens(images), case.tokens(images), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(encoder.summary(images), case.summary(images), rtol=1e-5, atol=1e-5)
    assert encoder.tokens(images).shape[2] == encoder.summary(images).shape[1] == encoder.width
    assert encoder.licence
    assert encoder.card.trained_on
    assert encoder.name.startswith(f"{case.kind}:")


@torch.no_grad()
def test_every_tensor_matters_or_is_dropped_for_a_reason(case: Case, tmp_path: Path) -> None:
    before = all_of(open_encoder(case.write(tmp_path)))
    for key, value in case.state.items():
        if not value.is_floating_point():
            continue
        changed = case.state | {key: value + torch.randn(value.shape) * 0.5}
        after = all_of(open_encoder(case.write(tmp_path, changed)))
        assert torch.equal(before, after) == bool(re.search(case.unused, key)), key


def test_a_tensor_too_many_or_too_few_is_refused(case: Case, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mystery") as error:
        open_encoder(case.write(tmp_path, case.state | {"blocks.0.mystery.weight": torch.randn(3)}))
    assert "\n" not in str(error.value)
    used = [key for key in case.state if not re.search(case.unused, key)]
    for key in (used[0], used[len(used) // 2], used[-1]):
        with pytest.raises(ValueError, match=r"lacks|has no|holds no|nothing for|does not say|missing") as error:
            open_encoder(case.write(tmp_path, {name: value for name, value in case.state.items() if name != key}))
        assert "\n" not in str(error.value)


def test_another_side(case: Case, tmp_path: Path) -> None:
    encoder = open_encoder(case.write(tmp_path), size=2 * SIDE)
    assert encoder.pixels.size == 2 * SIDE
    assert encoder.tokens(tiles()).shape[1] - encoder.prefix == 4 * (SIDE // 8) ** 2
    with pytest.raises(ValueError, match="multiple of the patches"):
        open_encoder(case.write(tmp_path), size=SIDE + 1)


def test_settings_are_asked_for_by_name(case: Case, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"{case.kind} has no setting 'colour'"):
        open_encoder(f"{case.write(tmp_path)},colour=red")
    with pytest.raises(ValueError, match=r"does not exist"):
        open_encoder(f"{case.kind}:{tmp_path / 'none.pth'}")
    with pytest.raises(ValueError, match="needs its file"):
        open_encoder(f"{case.kind}:")


def test_gradients_reach_every_weight(case: Case, tmp_path: Path) -> None:
    encoder = open_encoder(case.write(tmp_path))
    encoder.summary(tiles()).square().sum().backward()
    assert [name for name, value in encoder.module.named_parameters() if value.grad is None] == []
