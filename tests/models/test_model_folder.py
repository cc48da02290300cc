"""Model folders of others: what they may say, and that nothing of them is run, fetched or allocated unchecked."""

import copy
import json
import random
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from knowlip.cli import main
from knowlip.models import KnowLIP, load_model, save_model
from knowlip.models.config import CHANGES


@pytest.fixture
def folder(model: KnowLIP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sound model, on a machine without any way out."""

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a model folder reached for the network")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    save_model(model, tmp_path / "m", {"tiles": 3})
    return tmp_path / "m"


def said(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "knowlip.json").read_text())
    return found


def put(folder: Path, path: str, value: object) -> None:
    """Change one value of `knowlip.json`; dots lead inwards."""
    whole = said(folder)
    inner, *rest = path.split(".")
    place = whole
    for key in rest:
        place, inner = place[inner], key
    place[inner] = value
    (folder / "knowlip.json").write_text(json.dumps(whole))


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("model.vision.changes.checkpoint_path", "weights.pth", "cannot hold 'checkpoint_path'"),
        ("model.vision.changes.pretrained", True, "cannot hold 'pretrained'"),
        ("model.vision.changes.pretrained_cfg", {"hf_hub_id": "a/b"}, "cannot hold 'pretrained_cfg'"),
        ("model.vision.changes.pretrained_cfg_overlay", {"file": "x.pth"}, "cannot hold"),
        ("model.vision.changes.cache_dir", "/", "cannot hold 'cache_dir'"),
        ("model.vision.changes.scriptable", True, "cannot hold 'scriptable'"),
        ("model.vision.changes.embed_dim", "192", "embed_dim must be a whole number"),
        ("model.vision.changes.embed_dim", -768, "embed_dim must be a whole number from 1"),
        ("model.vision.changes.depth", 10**9, "depth must be a whole number from 1 to 128"),
        ("model.vision.changes.num_heads", 0, "num_heads must be"),
        ("model.vision.changes.num_heads", 7, "model.vision cannot be built"),
        ("model.vision.changes.patch_size", True, "patch_size must be"),
        ("model.vision.changes.act_layer", "os.system", "act_layer must be one of"),
        ("model.vision.changes", None, "model.vision.changes must be settings"),
        ("model.vision.changes", [], "model.vision.changes must be settings"),
        ("model.vision.name", "hf-hub:somebody/weights", "is no model of timm"),
        ("model.vision.name", "local-dir:/etc", "is no model of timm"),
        ("model.vision.name", "resnet18", "which resnet18 does not know"),
        ("model.vision.name", 3, "model.vision.name must be"),
        ("model.vision.image_size", 10**12, "image_size must be a whole number from 1 to 8192"),
        ("model.vision.mean", float("nan"), r"mean must be a number|not valid JSON"),
        ("model.vision.std", 0, "std must be a number"),
        ("model.vision", None, "model.vision must be settings, not null"),
        ("model.text", [1], "model.text must be settings"),
        ("model.text.width", 0, "model.text.width must be a whole number from 1"),
        ("model.text.width", 10**9, "model.text.width must be"),
        ("model.text.heads", 0, "model.text.heads must be"),
        ("model.text.max_length", 10**12, "model.text.max_length must be"),
        ("model.text.layers", 128, "lacks weights for 128 layers"),
        ("model.text.mlp_width", 65536, "shape"),
        ("model.text.dropout", "0.1", "model.text.dropout must be"),
        ("model.text.decoder_reads", "files", "decoder_reads must be one of text, image, both"),
        ("model.embed_dim", 16384, "shape"),
        ("model.temperature", 0, "model.temperature must be"),
        ("model.readout", "yes", "model.readout must be one of true, false"),
        ("model.colour", 1, "unknown setting 'colour'"),
        ("model", 7, "model must be settings"),
        ("tokenizer", None, "broken tokenizer"),
        ("tokenizer.model.type", "BPE", "model is another"),
        ("tokenizer.model.vocab", {"a": 10**9}, "not numbered from 0"),
        ("tokenizer.model.max_input_chars_per_word", 10**9, "model is another"),
        ("tokenizer.pre_tokenizer", {"type": "Split", "pattern": {"Regex": "(a+)+$"}}, "pre_tokenizer is another"),
        (
            "tokenizer.normalizer",
            {"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": ""},
            "broken tokenizer",
        ),
        ("tokenizer.padding", {"strategy": {"Fixed": 10**12}}, "padding is another"),
        ("card", [], "card must be a mapping"),
        ("card.tiles", "many", "card.tiles"),
        ("card.train_blocks", "abc", "card.train_blocks"),
        ("card.usual_answers", {"count": 3}, "card.usual_answers.count"),
        ("format", [1], "model format"),
        ("format", "1" * 10**6, "model format"),
    ],
)
def test_what_a_folder_may_not_say_is_one_sentence(folder: Path, path: str, value: object, sentence: str) -> None:
    put(folder, path, value)
    with pytest.raises(ValueError, match=sentence) as caught:
        load_model(folder)
    assert len(str(caught.value)) < 1500
    assert "\n" not in str(caught.value)


def test_a_folder_that_names_a_pickle_runs_nothing(folder: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"state_dict": Trap()}, folder / "weights.pth")
    put(folder, "model.vision.changes.checkpoint_path", str(folder / "weights.pth"))
    with pytest.raises(ValueError, match="checkpoint_path"):
        load_model(folder)
    assert not (tmp_path / "ran").exists()


def test_what_is_said_is_held_against_the_file_before_it_is_allocated(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forty billion parameters: no machine of a test holds them."""
    for path, value in {"model.text.width": 16384, "model.text.mlp_width": 65536, "model.text.heads": 128}.items():
        put(folder, path, value)
    with pytest.raises(ValueError, match="shape"):
        load_model(folder)


def test_patches_without_end_have_no_relative_positions(folder: Path) -> None:
    put(folder, "model.vision.name", "beit_base_patch16_224")
    put(folder, "model.vision.changes", {"patch_size": 1, "embed_dim": 24, "depth": 1, "num_heads": 2})
    put(folder, "model.vision.image_size", 2048)
    with pytest.raises(ValueError, match=r"too many patches|lacks"):
        load_model(folder)


def _with_header(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    change(header)
    new = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(new)) + new + data[8 + length :])


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header["temp"].update(data_offsets=[0, 2**60]),
        lambda header: header["temp"].update(data_offsets=[8, 4]),
        lambda header: header["temp"].update(shape=[2**62, 2**62]),
        lambda header: header["temp"].update(dtype="I64"),
        lambda header: header["temp"].update(dtype="PICKLE"),
        lambda header: header.update(other=dict(header["temp"])),
        lambda header: header.pop("temp"),
        lambda header: header.update(a="[" * 5000),
    ],
)
def test_headers_that_lie_are_refused(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    _with_header(folder / "model.safetensors", change)
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        load_model(folder)


@pytest.mark.parametrize(
    "data", [b"", b"{}", struct.pack("<Q", 2**63) + b"{}", struct.pack("<Q", 2) + b"[]", b"\x80\x02."]
)
def test_what_is_no_file_of_weights_is_refused(folder: Path, data: bytes) -> None:
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(ValueError, match="cannot be read"):
        load_model(folder)


def test_numbers_that_are_none_are_refused(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["text_proj.bias"][0] = float("nan")
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"text_proj\.bias holds numbers that are not finite"):
        load_model(folder)


def test_weights_that_are_all_zero_are_refused(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    blank = {name: torch.zeros_like(one) for name, one in weights.items()}
    blank["text_proj.bias"] += 1  # biases of a new layer are what they are
    save_file(blank, folder / "model.safetensors")
    with pytest.raises(ValueError, match="holds nothing but zeros"):
        load_model(folder)
    save_file(blank | {"text_proj.weight": weights["text_proj.weight"]}, folder / "model.safetensors")
    load_model(folder)


@pytest.mark.parametrize("text", ["[" * 100_000, "null", "[]", '"x"', "{", "\ufeff{}", '{"format": 1e999}', "\x00"])
def test_json_of_any_shape_is_one_sentence(folder: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "knowlip.json").write_text(text)
    assert main(["caption", str(folder / "none.png"), "--model", str(folder)]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_every_allowed_change_is_a_setting_of_timm(folder: Path) -> None:
    """Against timm's own signatures, so that none of them stands there for something else."""
    import inspect

    from timm.models.beit import Beit
    from timm.models.eva import Eva
    from timm.models.vision_transformer import VisionTransformer

    known = {name for kind in (VisionTransformer, Eva, Beit) for name in inspect.signature(kind.__init__).parameters}
    assert CHANGES.keys() <= known | {"scale_mlp_norm"}
    assert not {name for name in CHANGES if any(word in name for word in ("path", "pretrained", "url", "cfg"))} - {
        "drop_path_rate"
    }


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict) and "vocab" not in path:
        for key, inner in value.items():
            yield (*path, key)
            yield from _places(inner, (*path, key))


ODD = [
    None,
    True,
    -1,
    0,
    3,
    10**30,
    1e308,
    float("inf"),
    float("nan"),
    "",
    "x" * 5000,
    "\ud800",
    [],
    [[]],
    {},
    {"": None},
]


def test_odd_values_anywhere_are_one_sentence_or_a_model(folder: Path) -> None:
    whole, rng = said(folder), random.Random(0)
    places = list(_places(whole))
    for _ in range(120):
        changed = copy.deepcopy(whole)
        *outer, last = rng.choice(places)
        inner = changed
        for key in outer:
            inner = inner[key]
        inner[last] = rng.choice(ODD)
        (folder / "knowlip.json").write_text(json.dumps(changed))
        try:
            load_model(folder)
        except ValueError as error:
            assert "\n" not in str(error)  # noqa: PT017
