"""Both towers in open_clip's layout: against open_clip itself in an environment of its own, and without one against
transformers' BERT and PyTorch's own attention."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from knowlip.inference.export.command import export_model, show
from knowlip.inference.export.settings import ExportConfig
from knowlip.models import KnowLIP, ModelConfig, TextConfig, TextTokenizer, VisionConfig, save_model
from knowlip.models.default import shipped_model
from tests.inference.tiny_model import SENTENCES

PYTHON = os.environ.get("KNOWLIP_OPEN_CLIP_PYTHON", "")
"""Python of an environment with open_clip_torch, transformers and a CPU build of PyTorch."""
IMAGES = [np.random.default_rng(at).integers(0, 256, (40, 50), dtype=np.uint8) for at in range(3)]
TEXTS = [*SENTENCES, "ship " * 100, "A  PORT, (two) quays!"]
TOLD = {
    "plain": {},
    "layer scale": {"init_values": 0.5},
    "norm before": {"pre_norm": True},
    "quick gelu": {"act_layer": "quick_gelu"},
    "tanh gelu": {"act_layer": "gelu_tanh"},
    "class token without a place": {"no_embed_class": True},
}

# In the other environment: what stands in the folder, through open_clip's own three calls.
SCRIPT = """
import json, sys, numpy, open_clip, torch
from PIL import Image
folder = sys.argv[1]
model, shown = open_clip.create_model_from_pretrained("local-dir:" + folder)
tokenizer = open_clip.get_tokenizer("local-dir:" + folder)
given = json.load(open(sys.argv[2]))
model.eval()
with torch.no_grad():
    pixels = torch.stack([shown(Image.fromarray(numpy.array(one, numpy.uint8))) for one in given["images"]])
    found = {
        "image": model.encode_image(pixels, normalize=True).tolist(),
        "text": model.encode_text(tokenizer(given["texts"]), normalize=True).tolist(),
        "scale": float(model.logit_scale.exp()),
    }
json.dump(found, open(sys.argv[3], "w"))
"""


def made(folder: Path, vision: VisionConfig | None = None, embed: int = 16, **changes: Any) -> tuple[KnowLIP, Path]:
    """A small model with weights and biases that all matter, and its folder."""
    torch.manual_seed(0)
    tokenizer = TextTokenizer.train(SENTENCES * 3, vocab_size=200)
    sizes = {"patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2, **changes}
    vision = vision or VisionConfig("vit_tiny_patch16_224", 32, sizes)
    text = TextConfig(len(tokenizer), width=32, layers=2, heads=2, mlp_width=64, max_length=24)
    model = KnowLIP(ModelConfig(vision, text, embed_dim=embed), tokenizer).eval()
    for parameter in model.parameters():
        if parameter.ndim:
            torch.nn.init.normal_(parameter, std=0.2)
    save_model(model, folder, {})
    return model, folder


def exported(model: Path, out: Path, **settings: Any) -> Path:
    assert "open_clip" in show(export_model(ExportConfig(model, out, "open_clip", **settings)))
    return out


@pytest.mark.skipif(not PYTHON, reason="KNOWLIP_OPEN_CLIP_PYTHON names no Python with open_clip")
@pytest.mark.parametrize("changes", TOLD.values(), ids=TOLD)
def test_open_clip_gives_our_features(changes: dict[str, Any], tmp_path: Path) -> None:
    model, folder = made(tmp_path / "model", **changes)
    out = exported(folder, tmp_path / "out")
    given, found = tmp_path / "given.json", tmp_path / "found.json"
    given.write_text(json.dumps({"images": [one.tolist() for one in IMAGES], "texts": TEXTS}))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [PYTHON, "-c", SCRIPT, str(out), str(given), str(found)]
    done = subprocess.run(command, env={**clean, "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    theirs = json.loads(found.read_text())
    np.testing.assert_allclose(theirs["image"], model.embed_images(IMAGES), atol=1e-5)
    np.testing.assert_allclose(theirs["text"], model.embed_texts(TEXTS), atol=1e-5)
    assert theirs["scale"] == pytest.approx(1 / model.temp.item(), rel=1e-5)


# ---- the same without open_clip: its layout said anew ---------------------------------------------------------------


def image_features(weights: dict[str, torch.Tensor], told: dict[str, Any], pixels: torch.Tensor) -> torch.Tensor:
    """open_clip's Vision Transformer in PyTorch's functions."""
    w = {name.removeprefix("visual."): one for name, one in weights.items() if name.startswith("visual.")}
    width, eps, heads = told["width"], told["norm_kwargs"]["eps"], told["width"] // told["head_width"]

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.layer_norm(x, (width,), w[f"{name}.weight"], w[f"{name}.bias"], eps)

    x = F.conv2d(pixels, w["conv1.weight"], stride=told["patch_size"]).flatten(2).mT
    x = torch.cat([w["class_embedding"].expand(len(x), 1, -1), x], 1) + w["positional_embedding"]
    x = x if told["no_ln_pre"] else norm(x, "ln_pre")
    for at in range(told["layers"]):
        part = f"transformer.resblocks.{at}"
        attention = torch.nn.MultiheadAttention(width, heads, batch_first=True).eval()
        start = f"{part}.attn."
        attention.load_state_dict({k.removeprefix(start): v for k, v in w.items() if k.startswith(start)})
        seen = norm(x, f"{part}.ln_1")
        x = x + attention(seen, seen, seen, need_weights=False)[0] * w.get(f"{part}.ls_1.gamma", torch.tensor(1.0))
        hidden = F.linear(norm(x, f"{part}.ln_2"), w[f"{part}.mlp.c_fc.weight"], w[f"{part}.mlp.c_fc.bias"])
        hidden = F.gelu(hidden, **told.get("act_kwargs", {}))
        hidden = F.linear(hidden, w[f"{part}.mlp.c_proj.weight"], w[f"{part}.mlp.c_proj.bias"])
        x = x + hidden * w.get(f"{part}.ls_2.gamma", torch.tensor(1.0))
    return F.normalize(norm(x, "ln_post")[:, 0] @ w["proj"], dim=-1)


@pytest.mark.parametrize("name", [name for name in TOLD if name != "quick gelu"])
def test_the_layout_gives_our_features(name: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    model, folder = made(tmp_path / "model", **TOLD[name])
    out = exported(folder, tmp_path / "out")
    config, weights = (
        json.loads((out / "open_clip_config.json").read_text()),
        load_file(out / "open_clip_model.safetensors"),
    )
    shown, towers = config["preprocess_cfg"], config["model_cfg"]
    pixels = (model.prepare(IMAGES) * model.config.vision.std + model.config.vision.mean).expand(-1, 3, -1, -1)
    mean, std = (torch.tensor(shown[one])[:, None, None] for one in ("mean", "std"))
    found = image_features(weights, towers["vision_cfg"], (pixels - mean) / std)
    torch.testing.assert_close(found, model.embed_images(IMAGES), atol=1e-5, rtol=0)

    assert towers["text_cfg"]["hf_model_name"] == str(out.resolve())
    bert = transformers.AutoModel.from_config(transformers.AutoConfig.from_pretrained(out), add_pooling_layer=False)
    start = "text.transformer."
    bert.load_state_dict({k.removeprefix(start): v for k, v in weights.items() if k.startswith(start)})
    tokenizer = transformers.AutoTokenizer.from_pretrained(out)
    given = tokenizer(TEXTS, padding="max_length", truncation=True, max_length=24, return_tensors="pt")
    ids = given["input_ids"]
    first = bert.eval()(ids, attention_mask=(ids != 0).long()).last_hidden_state[:, 0]
    found = F.normalize(first @ weights["text.proj.weight"].T, dim=-1)
    torch.testing.assert_close(found, model.embed_texts(TEXTS), atol=1e-5, rtol=0)
    assert weights["logit_scale"].exp().item() == pytest.approx(1 / model.temp.item(), rel=1e-6)


def test_a_folder_for_the_hub_names_its_repository(tmp_path: Path) -> None:
    out = exported(made(tmp_path / "model")[1], tmp_path / "out", repo="me/sar-clip")
    told = json.loads((out / "open_clip_config.json").read_text())["model_cfg"]["text_cfg"]
    assert told["hf_model_name"] == told["hf_tokenizer_name"] == "me/sar-clip"
    assert str(tmp_path) not in (out / "open_clip_config.json").read_text()


@pytest.mark.parametrize(
    ("vision", "changes", "sentence"),
    [
        (None, {"reg_tokens": 2}, "has no register tokens"),
        (None, {"qkv_bias": False}, "has biases everywhere"),
        (None, {"qk_norm": True}, "has plain attention"),
        (None, {"act_layer": "relu"}, "has GELU and QuickGELU alone"),
        (None, {"class_token": False}, "has a class token"),
        (VisionConfig("eva02_tiny_patch14_224", 28, {"depth": 1}), {}, "has no Eva whose sizes can be set"),
    ],
)
def test_what_open_clip_cannot_say_is_refused(
    vision: VisionConfig | None, changes: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    _, folder = made(tmp_path / "model", vision, **changes)
    with pytest.raises(ValueError, match=f"{sentence}.*: export it as ONNX or for transformers instead"):
        export_model(ExportConfig(folder, tmp_path / "out", "open_clip"))
    assert not (tmp_path / "out").exists()


def test_a_stem_and_an_embedding_wider_than_a_tower_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no place for a convolutional stem \(model\.vision\.stem\)"):
        export_model(ExportConfig(shipped_model(), tmp_path / "out", "open_clip"))
    _, folder = made(tmp_path / "model", embed=64)
    with pytest.raises(ValueError, match=r"that of text_proj \(32 to 64 numbers\)|that of vision_proj \(24 to 64"):
        export_model(ExportConfig(folder, tmp_path / "out", "open_clip"))


def test_settings_of_other_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="belong to --format onnx, not open_clip"):
        ExportConfig(tmp_path, tmp_path / "out", "open_clip", height=64)
    for settings in ({"format": "onnx", "repo": "me/x"}, {"format": "open_clip", "repo": "../x/y"}):
        with pytest.raises(ValueError, match="--repo is USER/REPO"):
            ExportConfig(tmp_path, tmp_path / "out", **settings)  # type: ignore[arg-type]
