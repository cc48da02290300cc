"""ViTDet on encoders, and what its heads do with real strides."""

import math

import pytest
import torch
from timm.models.vision_transformer import Block
from torch import Tensor
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import MultiScaleRoIAlign

from knowlip.models.default import shipped_model
from knowlip.models.detection import BoxTargets, Detector, DetectorConfig, ViTDet
from knowlip.models.detection.regions import Anchors, RegionPool, covered, softened
from knowlip.models.encoders import open_encoder

TINY = "random:vit_tiny_patch16_224"
SMALL = {
    **{"width": 16, "rpn_convs": 1, "proposals": 20, "samples": 16, "box_convs": 0, "box_width": 32},
    **{"least_score": 0.0, "anchor_scale": 4.0, "drop_path": 0.0},
}


def tiles(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    return torch.randint(
        0, 256, (count, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )


def targets(count: int, side: int, masks: bool = False) -> list[BoxTargets]:
    boxes = torch.tensor([[4.0, 6.0, 20.0, 16.0], [30.0, 30.0, 44.0, 60.0]])
    one = torch.zeros(2, side, side, dtype=torch.uint8)
    one[0, 6:16, 4:20] = 1
    one[1, 30:60, 30:44] = 1
    return [BoxTargets(boxes, torch.tensor([1, 2]), torch.zeros(0, 4), one if masks else None) for _ in range(count)]


@pytest.mark.parametrize("name", [TINY, "random:vit_small_patch14_reg4_dinov2", "random:deit3_small_patch16_224"])
def test_without_windows_the_last_map_is_the_encoders(name: str) -> None:
    """Class and register tokens, positions with and without them: the pyramid stands on what the encoder gives."""
    encoder = open_encoder(name, size=112)
    backbone = ViTDet(encoder, DetectorConfig(width=16, window=0, drop_path=0.0)).eval()
    images = tiles(2, 112, 112)
    with torch.no_grad():
        found, fine = backbone.last_map(backbone.normalised(images, [(112, 112)] * 2))
        tokens = encoder.tokens(images)[:, encoder.prefix :]
    assert fine is None
    torch.testing.assert_close(found.flatten(2).mT, tokens, rtol=1e-4, atol=1e-4)


def test_our_own_tower_gives_its_map_and_its_stems() -> None:
    encoder = open_encoder(shipped_model())
    backbone = ViTDet(encoder, DetectorConfig(width=16, window=0, drop_path=0.0)).eval()
    assert backbone.patch_px == 32
    assert backbone.strides == (8, 16, 32, 64, 128), "a stem of 8 pixels under patches of 4 cells"
    assert backbone.lateral_level == 0
    images = tiles(1, 256, 256)
    with torch.no_grad():
        found, fine = backbone.last_map(backbone.normalised(images, [(256, 256)]))
        tokens = encoder.tokens(images)[:, encoder.prefix :]
    torch.testing.assert_close(found.flatten(2).mT, tokens, rtol=1e-4, atol=1e-4)
    assert fine is not None
    assert fine.shape[-1] == 32


def test_windows_are_attention_among_their_own_patches() -> None:
    """A windowed block against attention with a mask that forbids every pair of two windows."""
    backbone = ViTDet(open_encoder(TINY, size=128), DetectorConfig(width=16, window=4, drop_path=0.0)).eval()
    block, h, w = backbone.visual_encoder.blocks[0], 8, 8
    assert isinstance(block, Block)
    x = torch.randn(2, 1 + h * w, 192, generator=torch.Generator().manual_seed(1))
    place = torch.arange(h * w)
    window = (place // w // 4) * 2 + place % w // 4
    mask = torch.where(window[:, None] == window[None], 0.0, -math.inf)
    with torch.no_grad():
        ours = backbone._block(block, x, h, w, windowed=True)
        inside = x[:, 1:]
        plain = inside + block.attn(block.norm1(inside), attn_mask=mask)
        plain = plain + block.mlp(block.norm2(plain))
    torch.testing.assert_close(ours[:, 1:], plain, rtol=1e-4, atol=1e-5)
    assert torch.equal(ours[:, :1], x[:, :1]), "the class token waits for a block that sees everything"


def test_global_blocks_are_vitdets() -> None:
    assert ViTDet(open_encoder(TINY, size=64), DetectorConfig()).whole == {2, 5, 8, 11}


def test_smaller_images_see_the_upper_left_of_the_positions() -> None:
    backbone = ViTDet(open_encoder(TINY, size=128), DetectorConfig(width=16, window=0, drop_path=0.0)).eval()
    pixels = backbone.normalised(tiles(1, 64, 96), [(64, 96)])
    x, h, w = backbone._embedded(pixels)
    tower = backbone.visual_encoder
    patches = tower.patch_embed.proj(pixels).flatten(2).mT
    positions = tower.pos_embed[:, 1:].reshape(8, 8, -1)[:4, :6].reshape(24, -1)
    assert (h, w) == (4, 6)
    torch.testing.assert_close(x[:, 1:], patches + positions)


def test_what_is_filled_up_changes_nothing_that_a_box_is_made_of() -> None:
    """The fill is the mean of the pixels, whatever stands there."""
    backbone = ViTDet(open_encoder(TINY, size=64), DetectorConfig(width=16)).eval()
    one, other = tiles(1, 64, 64), tiles(1, 64, 64)
    other[:, 40:] = 255
    with torch.no_grad():
        a, b = (backbone(images, [(40, 64)]) for images in (one, other))
    for x, y in zip(a, b):
        torch.testing.assert_close(x, y)


def test_what_is_no_vit_is_refused() -> None:
    with pytest.raises(ValueError, match="no plain Vision Transformer"):
        ViTDet(open_encoder("random:resnet10t"), DetectorConfig())
    backbone = ViTDet(open_encoder(TINY, size=64), DetectorConfig())
    with pytest.raises(ValueError, match="multiples of 16 up to 64"):
        backbone(tiles(1, 64, 72), [(64, 72)])
    with pytest.raises(ValueError, match=r"detector\.kind"):
        DetectorConfig(kind="yolo")  # type: ignore[arg-type]


# ---- strides --------------------------------------------------------------------------------------------------------


def test_anchors_stand_where_the_cells_do() -> None:
    """Equal to torchvision's where strides are whole, but for its corner instead of the middle of a cell; right where
    they are not."""
    images = ImageList(torch.zeros(2, 1, 64, 96), [(64, 96)] * 2)
    maps = [torch.zeros(2, 4, 64 // s, 96 // s) for s in (4, 8)]
    ours = Anchors((4, 8), 8, (1.0,))(images, maps)
    theirs = AnchorGenerator(((32,), (64,)), ((1.0,), (1.0,)))(images, maps)
    shift = torch.cat([torch.full((16 * 24, 4), 2.0), torch.full((8 * 12, 4), 4.0)])
    assert len(ours) == 2
    torch.testing.assert_close(ours[0], theirs[0] + shift)
    (odd,) = Anchors((3.5,), 4, (0.5, 2.0))(
        ImageList(torch.zeros(1, 1, 392, 392), [(392, 392)]), [torch.zeros(1, 4, 112, 112)]
    )
    middle = (odd[:, :2] + odd[:, 2:]) / 2
    torch.testing.assert_close(middle[-1], torch.tensor([111.5 * 3.5, 111.5 * 3.5]))
    sides = odd[:, 2:] - odd[:, :2]
    torch.testing.assert_close(sides.prod(1), torch.full((len(sides),), 14.0**2), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(sides[0, 1] / sides[0, 0], torch.tensor(0.5))


def test_regions_are_pooled_as_torchvision_does_where_strides_are_whole() -> None:
    generator = torch.Generator().manual_seed(2)
    maps = {str(n): torch.randn(2, 8, 256 // s, 256 // s, generator=generator) for n, s in enumerate((4, 8, 16, 32))}
    corner = torch.rand(40, 2, generator=generator) * 120
    boxes = torch.cat([corner, corner + 4 + torch.rand(40, 2, generator=generator) ** 3 * 130], 1)
    theirs = MultiScaleRoIAlign(list(maps), 7, 2)
    expected = theirs(maps, [boxes[:25], boxes[25:]], [(256, 256)] * 2)
    ours = RegionPool((4, 8, 16, 32), 7)(maps, [boxes[:25], boxes[25:]], [(256, 256)] * 2)
    # torchvision's pooling is not aligned: it reads half a cell further.
    shifted = RegionPool((4, 8, 16, 32), 7)
    assert ours.shape == expected.shape
    level = torch.floor(4 + torch.log2((boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt() / 224) + 1e-6).clamp(2, 5)
    half = 0.5 * 2 ** level[:, None]
    moved = shifted(maps, [(boxes + half)[:25], (boxes + half)[25:]], [(256, 256)] * 2)
    torch.testing.assert_close(moved, expected, rtol=1e-4, atol=1e-4)


def test_a_ramp_is_read_at_its_place_with_patches_of_14() -> None:
    """Maps whose value is the place in the image: a region gives the place of its middle, at any level."""
    strides = (3.5, 7.0, 14.0, 28.0)
    maps = {}
    for number, stride in enumerate(strides):
        count = round(392 / stride)
        maps[str(number)] = ((torch.arange(count) + 0.5) * stride).expand(1, 1, count, count)
    for side in (10.0, 40.0, 90.0, 150.0, 260.0):
        box = torch.tensor([[60.0, 60.0, 60.0 + side, 60.0 + side]])
        pooled = RegionPool(strides, 7)(maps, [box], [(392, 392)])
        assert float(pooled.mean()) == pytest.approx(60 + side / 2, abs=0.01)


# ---- learning and finding -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["faster", "mask", "cascade"])
def test_every_kind_learns_two_objects_by_heart(kind: str) -> None:
    torch.manual_seed(0)
    config = DetectorConfig(kind=kind, **SMALL)  # type: ignore[arg-type]
    detector = Detector(open_encoder(TINY, size=64), ["ship", "plane"], config).train()
    images = torch.full((2, 64, 64), 60, dtype=torch.uint8)
    images[:, 6:16, 4:20] = 250
    images[:, 30:60, 30:44] = 160
    optimizer = torch.optim.AdamW(detector.parameters(), 1e-3)
    for step in range(140):
        optimizer.param_groups[0]["lr"] = 1e-3 if step < 110 else 1e-4
        losses = detector(images, [(64, 64)] * 2, targets(2, 64, kind == "mask"))
        optimizer.zero_grad()
        losses["loss"].backward()
        torch.nn.utils.clip_grad_norm_(detector.parameters(), 1.0)
        optimizer.step()
    assert (float(losses["masks"].detach()) > 0) == (kind == "mask")
    (found, _) = detector.eval().detect(images, [(64, 64)] * 2)
    truth = targets(1, 64)[0]
    for box, label in zip(truth.boxes, truth.labels):
        best = found.boxes[found.labels == label][0]
        low, high = torch.maximum(best[:2], box[:2]), torch.minimum(best[2:], box[2:])
        shared = (high - low).clamp(min=0).prod()
        union = (best[2:] - best[:2]).prod() + (box[2:] - box[:2]).prod() - shared
        assert float(shared / union) > 0.5
    assert (found.masks is not None) == (kind == "mask")


def test_what_nobody_need_find_is_no_background() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [8, 0, 18, 10], [50, 50, 60, 60]])
    assert covered(boxes, torch.tensor([[0.0, 0, 12, 10]])).tolist() == [True, False, False]
    assert not covered(boxes, torch.zeros(0, 4)).any()
    torch.manual_seed(0)
    detector = Detector(open_encoder(TINY, size=64), ["ship"], DetectorConfig(**SMALL)).train()  # type: ignore[arg-type]
    everything = torch.tensor([[-100.0, -100.0, 200.0, 200.0]])
    none = BoxTargets(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), everything)
    anchors = [torch.tensor([[0.0, 0, 14, 14], [30, 30, 44, 44]])]
    labels, _ = detector.rpn.assign_targets_to_anchors(anchors, [none.plain()])
    assert labels[0].tolist() == [-1.0, -1.0]


def test_soft_nms_lowers_the_scores_of_what_overlaps() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10], [20, 0, 30, 10], [0, 0, 10, 10]])
    scores, labels = torch.tensor([0.9, 0.8, 0.7, 0.6]), torch.tensor([1, 1, 1, 2])
    order, found = softened(boxes, scores, labels, 0.01)
    assert order.tolist() == [0, 2, 3, 1]
    torch.testing.assert_close(found, torch.tensor([0.9, 0.7, 0.6, 0.8 * math.exp(-2)]))


def test_an_empty_image_teaches_and_is_looked_at() -> None:
    torch.manual_seed(0)
    for kind in ("faster", "cascade"):
        detector = Detector(open_encoder(TINY, size=64), ["ship"], DetectorConfig(kind=kind, **SMALL)).train()  # type: ignore[arg-type]
        none = BoxTargets(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0, 4))
        loss = detector(tiles(1, 64, 64), [(64, 64)], [none])["loss"]
        loss.backward()
        assert bool(torch.isfinite(loss))


def test_reduced_precision_gives_boxes_in_full() -> None:
    torch.manual_seed(0)
    detector = Detector(open_encoder(TINY, size=64), ["ship"], DetectorConfig(**SMALL)).eval()  # type: ignore[arg-type]
    with torch.autocast("cpu", torch.bfloat16):
        (found,) = detector.detect(tiles(1, 64, 64), [(64, 64)])
    assert found.boxes.dtype == torch.float32
    assert found.scores.dtype == torch.float32
