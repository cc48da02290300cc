"""Every encoder keeps the Protocol: shapes, repeatability, gradients, its card, and sentences for bad names."""

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from knowlip.benchmark.evaluate import weights_of
from knowlip.models import encoders, load_model
from knowlip.models.encoders import Encoder, PixelSpec, TextImageEncoder, WritingEncoder, open_encoder, prepare
from knowlip.models.encoders.timm import trained_on
from tests.inference.tiny_model import SENTENCES, tiny_model

NAMES = ("pixels", "pixels:8", "random:test_vit", "random:test_resnet", "timm", "knowlip")
TAGGED = "test_vit.r160_in1k"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("encoders")


@pytest.fixture(scope="module")
def weights(folder: Path) -> Path:
    """A file as the hub of timm holds it: three channels, with a head."""
    torch.manual_seed(1)
    save_file(timm.create_model("test_vit", pretrained=False).state_dict(), folder / "w.safetensors")
    return folder / "w.safetensors"


def opened(name: str, folder: Path, weights: Path) -> Encoder:
    if name == "knowlip":
        ours = folder / "ours"
        return open_encoder(ours if ours.exists() else tiny_model(ours))
    if name == "timm":
        return open_encoder(f"timm:{TAGGED}@{weights}", size=64)
    return open_encoder(name, size=64 if name.startswith("random") else None)


@pytest.fixture(params=NAMES)
def encoder(request: pytest.FixtureRequest, folder: Path, weights: Path) -> Encoder:
    return opened(request.param, folder, weights)


def tiles(count: int = 3, side: int = 48) -> torch.Tensor:
    return torch.randint(0, 256, (count, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_shapes_and_rows_do_not_depend_on_each_other(encoder: Encoder) -> None:
    tokens, summary = encoder.tokens(tiles()), encoder.summary(tiles())
    assert tokens.ndim == 3
    assert (tokens.shape[0], tokens.shape[2]) == tuple(summary.shape) == (3, encoder.width)
    places = tokens.shape[1] - encoder.prefix
    assert round(places**0.5) ** 2 == places
    assert tokens.dtype == summary.dtype == torch.float32
    torch.testing.assert_close(encoder.summary(tiles()[1:2])[0], summary[1], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(summary[0], summary[1])


def test_the_same_every_time_and_in_evaluation_mode(encoder: Encoder, folder: Path, weights: Path) -> None:
    assert not any(module.training for module in encoder.module.modules() if module.__class__ is not torch.nn.Identity)
    name = encoder.name if ":" in encoder.name else "knowlip"
    again = opened("timm" if name.startswith("timm") else name, folder, weights)
    assert torch.equal(again.summary(tiles()), encoder.summary(tiles()))


def test_gradients_reach_every_weight_or_there_is_none(encoder: Encoder) -> None:
    if not (parameters := list(encoder.module.parameters())):
        assert encoder.name.startswith("pixels")
        return
    encoder.summary(tiles()).square().sum().backward()
    assert all(parameter.grad is not None for parameter in parameters)
    assert parameters[0].grad is not None  # of the first layer
    assert float(parameters[0].grad.abs().sum()) > 0


def test_name_licence_and_card(encoder: Encoder) -> None:
    assert encoder.name
    assert encoder.licence
    card = encoder.card
    if encoder.name.startswith(("pixels", "random")):
        assert card == encoders.EncoderCard()
    elif encoder.name.startswith("timm"):
        assert card.trained_on == ("ImageNet-1k",)
        assert encoder.licence == "apache-2.0"
    else:
        assert card.trained_on == ("unknown",)


def test_only_ours_reads_and_writes_texts(encoder: Encoder) -> None:
    ours = hasattr(encoder, "model")
    assert isinstance(encoder, TextImageEncoder) == isinstance(encoder, WritingEncoder) == ours
    if isinstance(encoder, TextImageEncoder) and isinstance(encoder, WritingEncoder):
        images, texts = encoder.embed(tiles()), encoder.text(SENTENCES)
        assert images.shape == texts.shape == (3, 16)
        torch.testing.assert_close(images.norm(dim=1), torch.ones(3))
        tokens = encoder.tokens(tiles())
        assert encoder.match(tokens, SENTENCES).shape == (3,)
        assert len(encoder.generate(tokens, [""] * 3, 4)) == 3
        assert encoder.rank(tokens, ["Count: [MASK]."] * 3, ["two", "three"]).shape == (3, 2)


def test_ours_computes_what_the_model_does(folder: Path) -> None:
    card = {"dataset_fingerprint": "f" * 64, "train_blocks": ["b0"], "license": "MIT"}
    path = tiny_model(folder / "same", card=card)
    encoder, model = open_encoder(path), load_model(path)
    images = tiles(side=32)
    tokens, embedding = model.encode_images(model.prepare([image.numpy() for image in images]))
    assert torch.equal(encoder.tokens(images), tokens)
    assert torch.equal(encoder.summary(images), tokens[:, 0])
    assert isinstance(encoder, TextImageEncoder)
    assert torch.equal(encoder.embed(images), embedding)
    assert encoder.licence == "MIT"
    assert (encoder.card.dataset_fingerprint, encoder.card.train_blocks) == ("f" * 64, ("b0",))
    larger = open_encoder(path, size=64)
    assert larger.tokens(images).shape[1] == 1 + 64
    assert larger.pixels.size == 64


def test_an_input_that_ends_within_a_patch_is_refused() -> None:
    """timm leaves the last pixels out without a word, and a segmentation is stretched over them."""
    with pytest.raises(ValueError, match=r"size 60 is no multiple of the patches of .* \(16 px\): take 48 or 64"):
        open_encoder("random:vit_tiny_patch16_224", size=60)
    with pytest.raises(ValueError, match="take 16"):
        open_encoder("random:vit_tiny_patch16_224", size=8)
    assert open_encoder("random:vit_tiny_patch16_224", size=64).pixels.size == 64


@pytest.mark.parametrize(
    ("tag", "saw"),
    [
        ("augreg_in21k_ft_in1k", ("ImageNet-21k", "ImageNet-1k")),
        ("lvd142m", ("LVD-142M",)),
        ("", ("unknown",)),
        ("mystery", ("unknown",)),
    ],
)
def test_a_tag_of_timm_names_its_data(tag: str, saw: tuple[str, ...]) -> None:
    assert trained_on(tag) == saw


def test_a_file_of_weights_is_used_whole(folder: Path, weights: Path) -> None:
    encoder = open_encoder(f"timm:{TAGGED}@{weights}")
    torch.manual_seed(1)
    model = timm.create_model("test_vit", pretrained=False).eval()
    images = tiles(side=160)
    assert encoder.pixels == PixelSpec(3, (0.5,) * 3, (0.5,) * 3, 160)
    pixels = ((images[:, None].float() / 255 - 0.5) / 0.5).expand(-1, 3, -1, -1)
    torch.testing.assert_close(encoder.tokens(images), model.forward_features(pixels))
    torch.testing.assert_close(encoder.summary(images), model.forward_features(pixels)[:, 0])
    unknown = open_encoder(f"timm:test_vit@{weights}")
    assert unknown.card.trained_on == (unknown.licence,) == ("unknown",)
    assert "names no training" in unknown.card.note


@torch.no_grad()
def test_weights_of_one_channel_are_taken_as_they_are(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = timm.create_model("test_vit", pretrained=False, in_chans=1).eval()
    save_file(model.state_dict(), tmp_path / "grey.safetensors")
    name = f"timm:test_vit@{tmp_path / 'grey.safetensors'}"
    with pytest.raises(ValueError, match="nobody says how its pixels were normalised"):
        open_encoder(name)
    with pytest.raises(ValueError, match="mean and std together"):
        open_encoder(f"{name},mean=0.3")
    with pytest.raises(ValueError, match="timm has no setting 'heads'"):
        open_encoder(f"{name},heads=3")
    encoder, images = open_encoder(f"{name},mean=0.3,std=0.2"), tiles(side=160)
    pixels = (images[:, None].float() / 255 - 0.3) / 0.2
    torch.testing.assert_close(encoder.tokens(images), model.forward_features(pixels))
    assert weights_of(encoder.name) == tmp_path / "grey.safetensors"


def test_a_config_of_timm_beside_the_file_is_believed_or_refused(tmp_path: Path, weights: Path) -> None:
    file, config = tmp_path / "model.safetensors", tmp_path / "config.json"
    file.write_bytes(weights.read_bytes())
    told = {"architecture": "test_vit", "pretrained_cfg": {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}}
    config.write_text(json.dumps(told | {"model_args": {"img_size": 160}}))
    for name in (file, tmp_path):
        assert open_encoder(f"timm:test_vit@{name}").pixels.mean == (0.1, 0.2, 0.3)
    assert open_encoder(f"timm:test_vit@{file},mean=0/0/0,std=1/1/1").pixels.mean == (0.0, 0.0, 0.0)
    for change, why in (
        ({"architecture": "test_vit2"}, "is test_vit2, as config.json beside it says"),
        ({"model_args": {"num_heads": 4}}, "changes num_heads of test_vit"),
        ({"model_args": [1]}, "changes model_args"),
        ({"pretrained_cfg": {"mean": "x", "std": [1.0]}}, "no sound mean and std"),
    ):
        config.write_text(json.dumps(told | change))
        with pytest.raises(ValueError, match=why):
            open_encoder(f"timm:test_vit@{file}")


def test_prepare_resizes_as_pillow_does_and_repeats_channels() -> None:
    spec = PixelSpec(3, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 20)
    images = tiles(2, 48)
    found = prepare(images, spec)
    for image, pixels in zip(images.numpy(), found):
        small = np.asarray(Image.fromarray(image).resize((20, 20), Image.Resampling.BILINEAR), float) / 255
        for channel in range(3):
            expected = (small - spec.mean[channel]) / spec.std[channel]
            assert np.abs(pixels[channel].numpy() - expected).max() < 1.01 / 255 / spec.std[channel]
    with pytest.raises(ValueError, match="uint8"):
        prepare(images.float(), spec)
    with pytest.raises(ValueError, match="as many means"):
        PixelSpec(3, (0.5,), (0.5,), 8)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing", r"no encoder 'nothing'.*KIND is .*pixels, .*random, .*timm"),
        ("klip:vit_b", "no encoder 'klip:vit_b'"),
        ("pixels:0", "side from 1"),
        ("pixels:many", "side from 1"),
        ("random:vit_nosuch", "timm has no model 'vit_nosuch'.*vit_"),
        ("random:", "timm has no model ''"),
        ("timm:test_vit", "needs a file of weights.*random:test_vit"),
        ("timm:test_vit.nosuch@x.safetensors", "timm knows no training 'nosuch'"),
        ("timm:test_vit@none.safetensors", "none.safetensors does not exist"),
        ("knowlip:none", "not a KnowLIP model"),
    ],
)
def test_bad_names_are_one_sentence(name: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as error:
        open_encoder(name)
    assert "\n" not in str(error.value)


def test_weights_of_another_model_are_refused(weights: Path, folder: Path) -> None:
    with pytest.raises(ValueError, match=r"lacks .* tensors of test_resnet"):
        open_encoder(f"timm:test_resnet@{weights}")
    with pytest.raises(ValueError, match=r"lacks .* tensors of vit_tiny|has shape"):
        open_encoder(f"timm:vit_tiny_patch16_224@{weights}")
    with pytest.raises(ValueError, match="at least 1"):
        open_encoder("random:test_vit", size=0)


def test_a_new_encoder_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        "from knowlip.models.encoders.pixels import PixelEncoder",
        "USAGE = 'toy:NUMBER'",
        "def load(name, device, size=None):",
        "    return PixelEncoder(int(name))",
    ]
    (tmp_path / "toy.py").write_text("\n".join(lines))
    monkeypatch.setattr(encoders, "__path__", [*encoders.__path__, str(tmp_path)])
    assert open_encoder("toy:4").width == 16
    with pytest.raises(ValueError, match=r"\btoy\b"):
        open_encoder("nothing")
