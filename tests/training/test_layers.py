"""Layer decay counts blocks from the top, drop path rises with depth, and the average is the formula's."""

import pytest
import timm
import torch
from timm.layers import DropPath
from torch import nn

from knowlip.training.ema import Averaged
from knowlip.training.engine import Engine, EngineConfig
from knowlip.training.layers import layer_shares, set_drop_path


class Tower(nn.Module):
    """A vision transformer of timm under a head, as tasks hold one."""

    def __init__(self) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(()))
        self.visual_encoder = timm.create_model("test_vit", num_classes=0)
        self.head = nn.Linear(self.visual_encoder.num_features, 3)


def names(module: nn.Module) -> list[str]:
    return [name for name, _ in module.named_parameters()]


def test_rates_fall_block_by_block() -> None:
    tower = Tower()
    depth = len(tower.visual_encoder.blocks)
    shares = layer_shares(names(tower), 0.5)
    assert [*shares] == names(tower)
    for name, share in shares.items():
        if ".blocks." in name:
            assert share == 0.5 ** (depth - int(name.split(".blocks.")[1].split(".")[0])), name
        elif "patch_embed" in name or "pos_embed" in name or "cls_token" in name:
            assert share == 0.5 ** (depth + 1), name
        else:
            assert share == 1.0, name
    assert {*layer_shares(names(tower), 1.0).values()} == {1.0}


def test_what_has_no_one_row_of_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match="none that learns: set it to 1"):
        layer_shares(["layer1.0.weight", "head.weight"], 0.7)
    with pytest.raises(ValueError, match="here are 2 of them"):
        layer_shares(["layers.0.blocks.0.weight", "layers.1.blocks.0.weight"], 0.7)
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        layer_shares(["blocks.0.weight"], 0.0)


def test_the_engine_steps_with_the_shares() -> None:
    """A step of plain SGD moves each weight by rate, share and gradient."""
    tower = Tower()
    engine = Engine(EngineConfig(accelerator="cpu", layer_decay=0.5, optimizer="sgd", momentum=0.0, clip_gradient=0))
    engine.setup(tower, 1.0, 0.0)
    shares = layer_shares(names(tower), 0.5)
    before = {name: one.detach().clone() for name, one in tower.named_parameters()}
    for parameter in tower.parameters():
        parameter.grad = torch.ones_like(parameter)
    engine.step(0.1)
    for name, parameter in tower.named_parameters():
        torch.testing.assert_close(before[name] - parameter, torch.full_like(parameter, 0.1 * shares[name]))


def test_drop_path_rises_with_depth_and_goes_again() -> None:
    tower = timm.create_model("test_vit", num_classes=0)
    set_drop_path(tower, 0.4)
    rates = [getattr(block.drop_path1, "drop_prob", 0.0) for block in tower.blocks]
    last = len(rates) - 1
    assert rates == pytest.approx([0.4 * place / last for place in range(last + 1)])
    set_drop_path(tower, 0.0)
    assert not any(isinstance(one, DropPath) for one in tower.modules())
    with pytest.raises(ValueError, match="this encoder has none"):
        set_drop_path(nn.Linear(2, 2), 0.1)
    with pytest.raises(ValueError, match="from 0 up to"):
        set_drop_path(tower, 1.0)


def test_the_average_of_a_short_training_is_of_what_it_learned() -> None:
    found = Averaged(nn.Linear(1, 1, bias=False), 0.999)
    found.average.weight.fill_(0.0)
    with torch.no_grad():
        found.model.weight.fill_(1.0)
    for _ in range(20):
        found.update()
    assert float(found.average.weight) > 0.99, "without a warm-up it would be 1 - 0.999 ** 20, which is 0.02"


def test_the_average_is_the_formulas() -> None:
    found = Averaged(nn.Sequential(nn.Linear(2, 1), nn.BatchNorm1d(1)), 0.75)
    weight = found.model[0].weight.detach().clone()
    expected = weight.clone()
    for step in range(40):
        with torch.no_grad():
            found.model[0].weight.copy_(weight + step + 1)
        found.train()(torch.randn(4, 2))
        found.update()
        kept = min(0.75, (1 + step) / (10 + step))
        expected = kept * expected + (1 - kept) * (weight + step + 1)
    torch.testing.assert_close(found.average[0].weight, expected)
    assert torch.equal(found.average[1].running_mean, found.model[1].running_mean)
    assert found.model.training
    assert not found.average.training
    assert not any(one.requires_grad for one in found.average.parameters())
    with pytest.raises(ValueError, match="ema must be"):
        Averaged(nn.Linear(1, 1), 1.0)
