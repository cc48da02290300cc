"""Relative positions against the published code where there is a checkout, against loops over pairs everywhere."""

import math

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from knowlip.models.irpe import (
    BUCKETS,
    RelativeAttention,
    buckets,
    piecewise_index,
    relative_vit,
    with_relative_positions,
)
from tests.models.encoders.official import checkout, modules_of, randomise


class Easy(dict):
    __getattr__, __setattr__ = dict.__getitem__, dict.__setitem__  # type: ignore[assignment]


def one(offset: int) -> int:
    """Eq. 18 for one offset, as the published code rounds it."""
    if abs(offset) <= 1.9:
        return offset
    value = min(round(1.9 + math.log(abs(offset) / 1.9) / math.log(8) * 1.9), 3.8)
    return int(math.copysign(int(value), offset))


def test_buckets_of_every_pair() -> None:
    assert piecewise_index(torch.arange(-30, 31)).tolist() == [one(offset) for offset in range(-30, 31)]
    found = buckets(3, 5)
    assert found.shape == (16, 16)
    assert set(found[0].tolist()) == set(found[:, 0].tolist()) == {BUCKETS - 1} == {49}
    for query in range(15):
        for key in range(15):
            rows, columns = query // 5 - key // 5, query % 5 - key % 5
            assert found[query + 1, key + 1] == (one(rows) + 3) * 7 + one(columns) + 3


def test_attention_adds_what_every_query_reads() -> None:
    torch.manual_seed(0)
    layer = randomise(RelativeAttention(16, 2))
    assert isinstance(layer, RelativeAttention)
    x = torch.randn(2, 10, 16)
    found, index = layer(x), buckets(3, 3)
    query, key, value = (part.unflatten(-1, (2, 8)).transpose(1, 2) for part in layer.qkv(x).chunk(3, -1))
    logits = query @ key.mT / 8**0.5
    table = layer.rpe_k.lookup_table_weight[0]
    for row in range(10):
        for column in range(10):
            logits[..., row, column] += query[..., row, :] @ table[:, index[row, column]]
    expected: Tensor = layer.proj((logits.softmax(-1) @ value).transpose(1, 2).flatten(2))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="square of patches, not 9 tokens"):
        layer(x[:, :9])


def test_without_a_table_it_is_the_vit_without_positions() -> None:
    torch.manual_seed(0)
    sizes = {"img_size": 32, "patch_size": 8, "in_chans": 1, "embed_dim": 32, "depth": 2, "num_heads": 2}
    plain = VisionTransformer(**sizes, num_classes=0, pos_embed="none").eval()
    images = torch.rand(2, 1, 32, 32)
    expected = plain.forward_features(images)
    torch.testing.assert_close(with_relative_positions(plain).forward_features(images), expected)
    assert plain.blocks[0].attn.rpe_k.lookup_table_weight.shape == (1, 16, BUCKETS)
    with pytest.raises(ValueError, match="class token"):
        with_relative_positions(VisionTransformer(**sizes, class_token=False, global_pool="avg"))


def test_windows_of_an_image_are_read_as_images_are() -> None:
    tower = randomise(relative_vit(32, 2, 2, 8, 32))
    windows = torch.randn(3, 1 + 9, 32)  # tokens of windows of 3 x 3 patches
    assert tower.blocks(windows).shape == windows.shape  # type: ignore[operator]


def test_the_published_code_computes_the_same() -> None:
    folder = checkout("SAR-JEPA") / "Pretraining"
    timm_old = {"load_pretrained": None, "register_model": lambda function: function}
    layers = {"resnet26d": None, "resnet50d": None}
    stubs = {"easydict": {"EasyDict": Easy}, "timm.models.helpers": timm_old, "timm.models.registry": timm_old}
    with modules_of(folder, stubs | {"timm.models.resnet": layers}) as official:
        theirs = official.get("models_vit_rp").VisionTransformer(
            img_size=48,
            patch_size=4,
            in_chans=1,
            embed_dim=64,
            depth=2,
            num_heads=2,
            qkv_bias=True,
            num_classes=0,
            norm_layer=lambda width: torch.nn.LayerNorm(width, eps=1e-6),
        )
    theirs = randomise(theirs)
    ours = relative_vit(64, 2, 2, 4, 48)
    ours.load_state_dict(theirs.state_dict())
    images = torch.rand(2, 1, 48, 48)
    torch.testing.assert_close(ours.eval().forward_features(images)[:, 0], theirs(images), rtol=1e-5, atol=1e-5)
