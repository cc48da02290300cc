"""Towers in parts, decoders and heads: against timm as a whole, the official code where it lies beside
(tests/objectives/test_selfsup.py), and torch's own layers."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from timm.layers import PatchEmbed
from timm.models.vision_transformer import Block
from torch import nn

from knowlip.models.config import VisionConfig
from knowlip.models.distillation import BatchNorm, Prototypes, projector
from knowlip.models.irpe import RelativeAttention
from knowlip.models.vision_model import VisionModel, sincos_positions
from knowlip.models.vit_tokens import chosen, patch_tokens, patchify, placed, through_blocks, unpatchify
from knowlip.objectives import jepa_loss, mae_loss
from knowlip.tasks.selfsup.dino import block_mask
from knowlip.tasks.selfsup.jepa import JepaModule
from knowlip.tasks.selfsup.mae import MaeModule
from knowlip.tasks.selfsup.settings import JepaConfig, MaeConfig
from tests.objectives.test_selfsup import official

SIZES = {"patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 4}


def model(name: str = "vit_tiny_patch16_224", **changes: object) -> VisionModel:
    torch.manual_seed(0)
    found = VisionModel(VisionConfig(name, 32, {**SIZES, **changes}))
    for parameter in found.parameters():
        nn.init.normal_(parameter, std=0.2)
    return found.eval()


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("vit_tiny_patch16_224", {}),
        ("vit_small_patch14_reg4_dinov2", {"init_values": 1e-1}),
        ("vit_base_patch16_clip_224", {}),
    ],
)
def test_the_parts_are_the_whole(name: str, changes: dict[str, object]) -> None:
    tower = model(name, **changes).visual_encoder
    pixels = torch.randn(2, 1, 32, 32)
    patches, grid = patch_tokens(tower, pixels)
    torch.testing.assert_close(through_blocks(tower, placed(tower, patches, grid)), tower.forward_features(pixels))


def test_another_size_is_that_of_a_tower_that_was_resized() -> None:
    small = model().visual_encoder
    pixels = torch.randn(2, 1, 48, 48)
    patches, grid = patch_tokens(small, pixels)
    found = through_blocks(small, placed(small, patches, grid))
    small.set_input_size(img_size=48)  # type: ignore[arg-type]
    torch.testing.assert_close(found, small.forward_features(pixels))
    with pytest.raises(ValueError, match="hold no whole number of patches of 8 px"):
        patch_tokens(small, torch.randn(1, 1, 20, 20))


def test_patches_are_cut_and_put_together() -> None:
    images = torch.randn(2, 12, 8)
    patches = patchify(images, 4)
    assert torch.equal(patches[1, 3].view(4, 4), images[1, 4:8, 4:])
    assert torch.equal(unpatchify(patches, (3, 2)), images)


def test_the_autoencoder_is_the_official_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def sincos(width: int, side: int, cls_token: bool) -> object:
        return torch.cat([torch.zeros(1, width), sincos_positions(width, side, side)]).numpy()

    def block(*sizes: int, qk_scale: None = None, **changes: object) -> Block:
        return Block(*sizes, **changes)  # type: ignore[arg-type]

    theirs = official(
        "mae/models_mae.py",
        "MaskedAutoencoderViT",
        PatchEmbed=PatchEmbed,
        Block=block,
        get_2d_sincos_pos_embed=sincos,
    ).MaskedAutoencoderViT(32, 8, 1, 32, 2, 4, 16, 1, 2, norm_layer=partial(nn.LayerNorm, eps=1e-6), norm_pix_loss=True)
    ours = MaeModule(model(), MaeConfig(mask=0.75, width=16, depth=1, heads=2))
    ours.visual_encoder.pos_embed.data.copy_(theirs.pos_embed)  # type: ignore[union-attr]
    theirs.load_state_dict(
        {
            **{f"{name}": one for name, one in ours.visual_encoder.state_dict().items()},
            **{
                name.replace("embed.", "decoder_embed.")
                .replace("head.", "decoder_pred.")
                .replace("blocks.", "decoder_blocks."): one
                for name, one in ours.decoder.state_dict().items()
                if not name.startswith(("norm.", "mask_token"))
            },
            **{f"decoder_norm.{part}": getattr(ours.decoder.norm, part) for part in ("weight", "bias")},
            "mask_token": ours.decoder.mask_token,
            "decoder_pos_embed": theirs.decoder_pos_embed,
        }
    )
    images, noise = torch.randint(1, 256, (3, 32, 32), dtype=torch.uint8), torch.rand(3, 16)
    monkeypatch.setattr(torch, "rand", lambda *shape, **kwargs: noise)
    theirs.patchify = lambda given: patchify(given[:, 0], 8)  # theirs reads three channels
    loss, said, mask = theirs(ours.normalise(images), 0.75)
    mine, hidden = ours.reconstruct(images, noise)
    torch.testing.assert_close(mine, said, rtol=1e-4, atol=1e-5)
    assert torch.equal(hidden, mask.bool())
    known = torch.ones(3, 16, 64, dtype=torch.bool)
    pixels = patchify(ours.normalise(images)[:, 0], 8)
    torch.testing.assert_close(mae_loss(mine, pixels, hidden, known), loss, rtol=1e-4, atol=1e-5)


def test_the_predictor_of_gradients_is_the_official_one() -> None:
    """With windows and hidden patches as the published code draws them; its attention is held to ours by itself
    (tests/models/test_irpe.py)."""

    def block(width: int, heads: int, mlp_ratio: float, qkv_bias: bool, qk_scale: None = None, **rest: Any) -> Block:
        found = Block(width, heads, mlp_ratio, qkv_bias=qkv_bias, **rest)
        found.attn = RelativeAttention(width, heads)
        return found

    names = ("MaskedAutoencoderViT", "GF")
    sincos = {"get_2d_sincos_pos_embed": lambda width, side, cls_token: np.zeros((1 + side * side, width))}
    given = {"PatchEmbed": PatchEmbed, "Block": block, "Tuple": tuple, "Union": Any, **sincos}
    file = "SAR-JEPA/Pretraining/models_lomar.py"
    theirs = official(file, *names, **given).MaskedAutoencoderViT(
        48, 16, 1, 32, 2, 4, 16, 1, 2, norm_layer=partial(nn.LayerNorm, eps=1e-6)
    )
    torch.manual_seed(0)
    tower = VisionModel(VisionConfig("vit_tiny_patch16_224", 48, {**SIZES, "patch_size": 16}), positions="relative")
    ours = JepaModule(
        tower, JepaConfig(window=2, windows=2, mask=0.5, scales=(5, 9, 13, 17), width=16, depth=1, heads=2)
    )
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.2)
    state = theirs.state_dict()
    renamed = {
        "embed.": "encoder_pred.",
        "norm.": "decoder_norm.",
        "head.": "decoder_pred.",
        "blocks.": "decoder_blocks.",
    }
    for part, prefixes in ((ours.visual_encoder, {"": ""}), (ours.decoder, renamed)):
        found = {}
        for name in part.state_dict():
            old = next(old for old in prefixes if name.startswith(old))
            found[name] = state[prefixes[old] + name.removeprefix(old)]
        part.load_state_dict(found)
    ours.mask_token.data.copy_(state["mask_token"].flatten())
    ours.normalise = lambda images: images[:, None].float() / 255  # theirs reads pixels in 0..1
    images = torch.randint(1, 256, (3, 48, 48), dtype=torch.uint8)
    said, hidden, place = theirs.forward_encoder(images[:, None] / 255, 2, 2, 0.5)
    loss = theirs.forward_loss(images[:, None] / 255, said, hidden, 2, place)
    repeated = images[torch.arange(len(said)) % 3]  # theirs has all images once for each window
    mine = ours.predict(repeated, place[:, None], hidden[:, None])
    torch.testing.assert_close(mine, said, rtol=1e-4, atol=1e-4)
    target, known = ours.targets(repeated)
    found = jepa_loss(mine, chosen(target, place), hidden, chosen(known, place))
    torch.testing.assert_close(found, loss, rtol=1e-4, atol=1e-4)


def test_windows_lie_inside_and_hide_their_share() -> None:
    tower = VisionModel(VisionConfig("vit_tiny_patch16_224", 40, SIZES))
    module = JepaModule(tower, JepaConfig(window=3, windows=4, mask=0.8, scales=(2,), width=16, depth=1, heads=2))
    place, hidden = module.windows(torch.arange(50))
    assert place.shape == hidden.shape == (50, 4, 9)
    assert (hidden.sum(-1) == 7).all()
    row, column = place // 5, place % 5
    assert ((row - row[..., :1]) == torch.arange(3).repeat_interleave(3)).all()
    assert ((column - column[..., :1]) == torch.arange(3).repeat(3)).all()
    assert set(place[..., 0].flatten().tolist()) == {0, 1, 2, 5, 6, 7, 10, 11, 12}
    assert hidden.float().mean((0, 1)).min() > 0.6, "any patch of a window may be hidden"


def test_sines_are_those_of_the_official_code() -> None:
    theirs = official(
        "mae/util/pos_embed.py",
        "get_2d_sincos_pos_embed",
        "get_2d_sincos_pos_embed_from_grid",
        "get_1d_sincos_pos_embed_from_grid",
    )
    space = theirs.get_2d_sincos_pos_embed.__globals__
    space["np"].float = float  # a name that numpy took away
    found = torch.from_numpy(theirs.get_2d_sincos_pos_embed(16, 5)).float()
    del space["np"].float
    torch.testing.assert_close(sincos_positions(16, 5, 5), found)


def test_batch_norm_is_that_of_torch() -> None:
    ours, theirs, x = BatchNorm(6), nn.BatchNorm1d(6), 3 + 2 * torch.randn(10, 6)
    one, two = (x.clone().requires_grad_() for _ in range(2))
    torch.testing.assert_close(ours(one), theirs(two))
    ours(one).pow(3).sum().backward()
    theirs(two).pow(3).sum().backward()
    torch.testing.assert_close(one.grad, two.grad, rtol=1e-4, atol=1e-4)
    assert [type(part).__name__ for part in projector(8, 6, 4, 3)] == [
        *("Linear", "BatchNorm", "ReLU") * 2,
        "Linear",
        "BatchNorm",
    ]


def test_the_head_is_the_official_one() -> None:
    theirs = official(
        "ibot/models/head.py", "DINOHead", "iBOTHead", "CustomSequential", trunc_normal_=nn.init.trunc_normal_
    )
    head = theirs.iBOTHead(8, 5, patch_out_dim=7, hidden_dim=6, bottleneck_dim=4)
    ours = Prototypes(8, 6, 4, 5, 7)
    ours.mlp.load_state_dict(head.mlp.state_dict())
    with torch.no_grad():
        ours.images.copy_(head.last_layer.weight_v)
        ours.patches.copy_(head.last_layer2.weight_v)  # type: ignore[union-attr]
    x = torch.randn(3, 9, 8)
    images, patches = head(x)
    torch.testing.assert_close(ours.of_images(x[:, 0]), images)
    torch.testing.assert_close(ours.of_patches(x[:, 1:]), patches)


def test_frozen_prototypes_get_a_gradient_of_nothing() -> None:
    head, x = Prototypes(8, 6, 4, 5, 0), torch.randn(3, 8)
    torch.testing.assert_close(head.of_images(x, True), head.of_images(x, False))
    head.of_images(x, True).square().sum().backward()
    assert head.images.grad is not None
    assert not head.images.grad.any()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in head.mlp.parameters())


def test_blocks_hide_at_most_their_share() -> None:
    chance = np.random.default_rng(0)
    shares = [block_mask(chance, 8, 8, 0.4).mean() for _ in range(200)]
    assert max(shares) <= 0.4
    assert np.mean(shares) > 0.32
    mask = block_mask(chance, 14, 14, 0.5)
    neighbours = (mask[1:] & mask[:-1]).sum() + (mask[:, 1:] & mask[:, :-1]).sum()
    assert neighbours > 1.2 * mask.sum(), "patches are hidden side by side"
    assert not block_mask(chance, 8, 8, 0.0).any()


def test_a_tower_that_cannot_be_read_in_parts_is_refused() -> None:
    with pytest.raises(ValueError, match="choose a VisionTransformer of timm"):
        VisionModel(VisionConfig("eva02_tiny_patch14_224", 56, {}))
    with pytest.raises(ValueError, match=r"set vision\.stem to 0"):
        VisionModel(VisionConfig("vit_tiny_patch16_224", 64, {}, stem=32))
    fixed = VisionModel(VisionConfig("vit_tiny_patch16_224", 32, SIZES), positions="sincos").visual_encoder
    assert fixed.pos_embed is not None
    assert not fixed.pos_embed.requires_grad
    torch.testing.assert_close(F.normalize(fixed.pos_embed[0, 1:], dim=-1).norm(dim=-1), torch.ones(16))
