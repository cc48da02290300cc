"""Folding and resizing, against the RGB computation that they replace."""

import pytest
import torch
import torch.nn.functional as F

from knowlip.models.patch import fold_channels, resize_patch, resize_positions

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.mark.parametrize("with_bias", [True, False])
def test_one_channel_computes_what_three_grey_ones_did(with_bias: bool) -> None:
    torch.manual_seed(0)
    weight, bias = torch.randn(5, 3, 4, 4), torch.randn(5) if with_bias else None
    pixels = torch.rand(2, 1, 12, 12)
    channels = (pixels.expand(-1, 3, -1, -1) - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    want = F.conv2d(channels, weight, bias, stride=4)
    folded, shift = fold_channels(weight, bias, MEAN, STD, 0.45, 0.25)
    torch.testing.assert_close(F.conv2d((pixels - 0.45) / 0.25, folded, shift, stride=4), want, rtol=1e-5, atol=1e-5)


def test_one_channel_of_another_normalisation_and_a_wrong_count() -> None:
    weight, pixels = torch.randn(5, 1, 4, 4), torch.rand(1, 1, 8, 8)
    folded, shift = fold_channels(weight, None, [0.3], [2.0], 0.45, 0.25)
    want = F.conv2d((pixels - 0.3) / 2.0, weight, stride=4)
    torch.testing.assert_close(F.conv2d((pixels - 0.45) / 0.25, folded, shift, stride=4), want, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="1 input channels: give 1 means"):
        fold_channels(weight, None, MEAN, STD, 0.45, 0.25)


def test_a_larger_patch_of_a_larger_image_sees_the_same() -> None:
    """What FlexiViT's resizing promises: exact where the image is resized by the same interpolation."""
    weight, pixels = torch.randn(3, 1, 4, 4), torch.rand(1, 1, 4, 4)
    larger = F.interpolate(pixels, (8, 8), mode="bicubic", antialias=True)
    got = F.conv2d(larger, resize_patch(weight, (8, 8)))
    torch.testing.assert_close(got, F.conv2d(pixels, weight), rtol=1e-3, atol=1e-4)
    assert resize_patch(weight, (4, 4)) is weight


@pytest.mark.parametrize("antialias", [False, True])
def test_positions_are_interpolated_and_prefix_tokens_stay(antialias: bool) -> None:
    positions = torch.randn(1, 2 + 36, 8)
    got = resize_positions(positions, (3, 4), 2, antialias)
    grid = positions[:, 2:].reshape(1, 6, 6, 8).permute(0, 3, 1, 2)
    want = F.interpolate(grid, (3, 4), mode="bicubic", align_corners=False, antialias=antialias)
    torch.testing.assert_close(got, torch.cat([positions[:, :2], want.flatten(2).transpose(1, 2)], 1))
    assert torch.equal(resize_positions(positions, (6, 6), 2), positions)
    with pytest.raises(ValueError, match="not 1 and a square grid"):
        resize_positions(positions, (3, 3), 1)
