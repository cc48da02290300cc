"""What a foreign file says is believed, what it does not say is noted or asked for, and what lies is refused."""

import argparse
import json
import pickle
import random
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from knowlip.models import KnowLIP, ModelConfig, TextConfig, TextTokenizer, VisionConfig
from knowlip.models.tokenizer import read_casing, read_vocabulary
from knowlip.models.weights.bert import bert_names
from knowlip.models.weights.heads import find_heads, said_heads
from knowlip.models.weights.source import Source, read_source
from knowlip.models.weights.vit import convert_vit, find_tower, plain_vit, timm_config

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def vit() -> State:
    torch.manual_seed(0)
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 1, "num_heads": 2, "num_classes": 0}
    return dict(VisionTransformer(**sizes).state_dict())


def kept(path: Path, content: object) -> Source:
    torch.save(content, path / "vit.pth")
    return read_source(path / "vit.pth")


def under(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    ("wrap", "said"),
    [
        (lambda s: under("module.", s), "`module.`"),
        (lambda s: under("_orig_mod.", s), "`_orig_mod.`"),
        (lambda s: under("module._orig_mod.", s), "`_orig_mod.`, `module.`"),
        (lambda s: {"state_dict": under("module.", s), "epoch": 3}, "`module.`"),
        (lambda s: {"state_dict": under("model.", s), "pytorch-lightning_version": "2"}, "`model.`"),
        (lambda s: {"model_state_dict": s, "epoch": 1}, "`model_state_dict`"),
        (lambda s: {"module": s, "ds_version": "0.16"}, "`module`"),
        (lambda s: {"model": {"name": "vit"}, "state_dict": s}, "`state_dict`"),
        (lambda s: {"weights of ours": s}, "`weights of ours`"),
        (lambda s: {"state_dict": {"model": s}}, "`model`"),
        (lambda s: under("encoder.", s), "`encoder.`"),
        (lambda s: under("model.encoder.", s) | {"model.loss.weight": torch.ones(2)}, "`encoder.`"),
        (lambda s: under("net.vision.", s) | {"criterion.weight": torch.ones(2)}, "`net.vision.`"),
        (lambda s: {"student": under("module.backbone.", s), "teacher": under("backbone.", s)}, "`backbone.`"),
    ],
)
def test_wrappers_are_taken_off_and_reported(
    vit: State, tmp_path: Path, tokenizer: TextTokenizer, wrap: Callable[[State], object], said: str
) -> None:
    source = kept(tmp_path, wrap(vit))
    vision = VisionConfig("vit_tiny_patch16_224", 32, {"patch_size": 8, "embed_dim": 24, "depth": 1, "num_heads": 2})
    text = TextConfig(len(tokenizer), width=16, layers=1, heads=2, mlp_width=16, max_length=8)
    model = KnowLIP(ModelConfig(vision, text, embed_dim=8), tokenizer)
    report = convert_vit(source, model, ((0.5,) * 3, (0.5,) * 3)).report
    assert len(report.loaded) == len(vit)
    assert any(said in note for note in report.notes), report.notes


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"a": {"x.weight": torch.ones(2)}, "b": {"x.weight": torch.ones(2)}}, "holds weights under a, b"),
        ({"epoch": 3, "note": "none"}, "holds no named tensors, only epoch, note"),
        ({"module.x": torch.ones(2), "module._orig_mod.x": torch.ones(2)}, "tensors twice"),
        ({"x": torch.ones(1).expand(10**9)}, "claims more numbers"),
        ({"x": torch.ones(3).to_sparse()}, "no plain tensor"),
        ({"x": torch.ones(3, device="meta")}, "no plain tensor"),
        ([torch.ones(3)], "holds no named tensors"),
    ],
)
def test_what_is_unclear_or_lies_is_refused(tmp_path: Path, content: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        kept(tmp_path, content)


def test_two_encoders_are_not_chosen_between(vit: State, tmp_path: Path) -> None:
    source = kept(tmp_path, under("left.", vit) | under("right.", vit))
    with pytest.raises(ValueError, match=r"holds 2 ViTs \(left\., right\.\)"):
        find_tower(source, "vit_tiny_patch16_224")


def test_a_pickle_that_holds_itself_ends(tmp_path: Path) -> None:
    content: dict[str, Any] = {"x": torch.ones(2)}
    content["model"] = content
    assert list(kept(tmp_path, content).state) == ["x"]


def test_an_archive_that_unpacks_to_more_than_itself_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "vit.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("vit/data.pkl", pickle.dumps({}))
        archive.writestr("vit/data/0", bytes(10**7))
    with pytest.raises(ValueError, match="unpacks to more than itself"):
        read_source(tmp_path / "vit.pth")


def test_a_file_that_is_mostly_not_there_is_refused(tmp_path: Path) -> None:
    header = json.dumps({"x": {"dtype": "F32", "shape": [2**38], "data_offsets": [0, 2**40]}}).encode()
    with (tmp_path / "vit.safetensors").open("wb") as stream:
        stream.write(struct.pack("<Q", len(header)) + header)
        stream.truncate(8 + len(header) + 2**40)
    with pytest.raises(ValueError, match="not on the disk"):
        read_source(tmp_path / "vit.safetensors")


def test_code_in_a_file_does_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
            return Path.touch, (tmp_path / "ran",)

    for content in ({"x": torch.ones(2), "args": Trap()}, Trap()):
        with pytest.raises(ValueError, match="save its tensors alone"):
            kept(tmp_path, content)
    assert not (tmp_path / "ran").exists()


def source_of(width: int = 24, **known: Any) -> Source:
    return Source("vit.pth", {"x": torch.ones(width)}, **known)


def test_heads_are_read_then_asked_for_then_noted() -> None:
    assert find_heads(source_of(config={"num_attention_heads": 16}), "vision", 1280, None) == 16
    assert find_heads(source_of(config={"vision_config": {"num_attention_heads": 8}}), "vision", 64, None) == 8
    assert find_heads(source_of(facts={"num_heads": 12}), "vision", 192, None) == 12
    with pytest.raises(ValueError, match=r"has 16 heads, as config\.json beside the file says, not 20"):
        find_heads(source_of(config={"num_attention_heads": 16}), "vision", 1280, 20)
    for width, heads in {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16, 1536: 24}.items():
        source = source_of()
        assert find_heads(source, "vision", width, None) == heads
        assert f"of width {width} have" in source.heads_from["vision"]
    asked = source_of()
    assert find_heads(asked, "vision", 192, 12) == 12
    assert asked.heads_from == {"vision": "as vision_heads says"}
    assert find_heads(source_of(), "vision", 384, None, "MoCo v3") == 12
    for part, width in (("vision", 640), ("text", 384), ("text", 512)):
        with pytest.raises(ValueError, match=f"does not say how many heads .* give --{part}_heads"):
            find_heads(source_of(), part, width, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("heads", [0, -3, "12", [3, 6], True, 10**9])
def test_odd_heads_are_refused(heads: object) -> None:
    with pytest.raises(ValueError, match="no sound number of heads"):
        said_heads(source_of(config={"num_attention_heads": heads}), "text")


def test_settings_of_a_training_are_read(vit: State, tmp_path: Path) -> None:
    source = kept(tmp_path, {"model": vit, "args": argparse.Namespace(num_heads=2, lr=0.1), "epoch": 3})
    assert (source.facts["num_heads"], source.facts["epoch"]) == (2, 3)
    found = plain_vit(source, find_tower(source, "vit_tiny_patch16_224").names)
    assert found.changes["num_heads"] == 2
    assert not source.heads_from


def test_a_folder_of_timm_says_everything(vit: State, tmp_path: Path) -> None:
    mean, std = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
    known = {"input_size": [3, 32, 32], "mean": mean, "std": std}
    args = {"embed_dim": 24, "depth": 1, "num_heads": 2, "patch_size": 8, "img_size": 32}
    config = {"architecture": "vit_tiny_patch16_224", "pretrained_cfg": known, "model_args": args}
    (tmp_path / "config.json").write_text(json.dumps(config))
    source = kept(tmp_path, vit)
    found, tower = timm_config(source), find_tower(source, "vit_tiny_patch16_224")
    assert found is not None
    assert (found.name, found.image_size, found.changes["num_heads"]) == ("vit_tiny_patch16_224", 32, 2)
    assert (tower.mean, tower.std) == (mean, std)
    assert "config.json" in tower.notes[0]
    for change, sentence in (
        ({"architecture": "hf-hub:a/b"}, "names no model of timm"),
        ({"model_args": {"checkpoint_path": "x"}}, "cannot hold 'checkpoint_path'"),
        ({"pretrained_cfg": {"mean": [0.1], "std": [0]}}, "no sound mean and std"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(config | change))
        source = read_source(tmp_path / "vit.pth")
        with pytest.raises(ValueError, match=sentence):
            timm_config(source), find_tower(source, "vit_tiny_patch16_224")
    (tmp_path / "config.json").unlink()
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_mean": mean, "image_std": std}))
    assert find_tower(read_source(tmp_path / "vit.pth"), "vit_tiny_patch16_224").std == std


def test_one_channel_asks_for_its_normalisation(vit: State, tmp_path: Path) -> None:
    one = vit | {"patch_embed.proj.weight": vit["patch_embed.proj.weight"][:, :1]}
    source = kept(tmp_path, one)
    with pytest.raises(ValueError, match=r"reads one channel .* give vision_mean and vision_std"):
        find_tower(source, "vit_tiny_patch16_224")
    assert find_tower(source, "vit_tiny_patch16_224", ((0.0,), (1.0,))).mean == (0.0,)


def test_positions_lie_as_they_are_said_to(vit: State, tmp_path: Path, model: KnowLIP) -> None:
    """Four by four patches of the model, from positions of 2 x 8 that change along the columns alone."""
    columns = torch.arange(8.0).repeat(2)[None, :, None].expand(1, 16, 24)
    state = vit | {"pos_embed": torch.cat([torch.zeros(1, 1, 24), columns], 1)}
    model.visual_encoder.blocks = model.visual_encoder.blocks[:1]
    conversion = convert_vit(kept(tmp_path, state), model, ((0.5,) * 3, (0.5,) * 3), grid=[2, 8])
    placed = conversion.state["visual_encoder.pos_embed"][0, 1:, 0].reshape(4, 4)
    assert float(placed.std(0).max()) < 1e-5
    assert (placed[0].diff() > 0).all()
    assert "grid of 2 x 8 -> 4 x 4" in conversion.report.resized["visual_encoder.pos_embed"]
    said = convert_vit(kept(tmp_path, state), model, ((0.5,) * 3, (0.5,) * 3)).report.notes
    assert any("16 positions are read as 4 x 4 patches" in note for note in said)
    with pytest.raises(ValueError, match="do not lie as vision_grid"):
        convert_vit(kept(tmp_path, state), model, ((0.5,) * 3, (0.5,) * 3), grid=[3, 5])


def test_numbers_that_are_none_are_refused(vit: State, tmp_path: Path, model: KnowLIP) -> None:
    source = kept(tmp_path, vit | {"norm.bias": torch.full((24,), float("nan"))})
    model.visual_encoder.blocks = model.visual_encoder.blocks[:1]
    with pytest.raises(ValueError, match=r"norm\.bias holds numbers that are not finite"):
        convert_vit(source, model, ((0.5,) * 3, (0.5,) * 3))
    source = kept(tmp_path, {name: torch.zeros_like(one) for name, one in vit.items()})
    with pytest.raises(ValueError, match="holds nothing but zeros"):
        convert_vit(source, model, ((0.5,) * 3, (0.5,) * 3))


WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "ship", "port"]


@pytest.mark.parametrize(
    ("words", "files", "lowercase"),
    [
        (WORDS, {}, True),
        ([*WORDS, "SAR"], {}, False),
        ([*WORDS, "SAR"], {"tokenizer_config.json": {"do_lower_case": True}}, True),
        (WORDS, {"tokenizer_config.json": {"do_lower_case": False}}, False),
        (WORDS, {"tokenizer.json": {"normalizer": {"lowercase": False}}}, False),
        (WORDS, {"tokenizer.json": {"normalizer": None}}, True),
    ],
)
def test_casing_is_read(tmp_path: Path, words: list[str], files: dict[str, Any], lowercase: bool) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    casing, said = read_casing(tmp_path, words)
    assert casing.lowercase is lowercase
    assert ("uncased" in said) is lowercase
    tokenizer = TextTokenizer.from_vocabulary(tmp_path / "vocab.txt")
    assert (tokenizer.ids("SHIP") == [5]) is lowercase
    assert TextTokenizer.from_json(tokenizer.to_json()).ids("Ship port") == tokenizer.ids("Ship port")


@pytest.mark.parametrize(("start", "end", "last"), [("", "\n", "\n"), ("\ufeff", "\n", ""), ("\ufeff", "\r\n", "\r\n")])
def test_vocabularies_of_any_editor_hold_the_same_words(tmp_path: Path, start: str, end: str, last: str) -> None:
    words = [*WORDS, "\u2028", "\u3000"]
    (tmp_path / "vocab.txt").write_bytes((start + end.join(words) + last).encode())
    assert read_vocabulary(tmp_path / "vocab.txt") == words
    assert TextTokenizer.from_vocabulary(tmp_path / "vocab.txt").ids("port ship") == [6, 5]


@pytest.mark.parametrize(("content", "sentence"), [(b"\xff\xfe\x00", "UTF-8"), (b"a\nb\na\n", "'a' more than once")])
def test_broken_vocabularies_are_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "vocab.txt").write_bytes(content)
    with pytest.raises(ValueError, match=sentence):
        TextTokenizer.from_vocabulary(tmp_path / "vocab.txt")


def test_kin_of_bert_with_other_positions_is_refused() -> None:
    words, kinds = "embeddings.word_embeddings.weight", "embeddings.token_type_embeddings.weight"
    state = {words: torch.ones(3, 2), kinds: torch.ones(2, 2)}
    assert (
        bert_names(Source("a", under("model.bert.", state) | {"loss.w": torch.ones(1)}))[words] == f"model.bert.{words}"
    )
    for source in (
        Source("a", under("roberta.", state)),
        Source("a", state, config={"model_type": "xlm-roberta"}),
        Source("a", state | {kinds: torch.ones(1, 2)}),
    ):
        with pytest.raises(ValueError, match="holds no BERT but a RoBERTa"):
            bert_names(source)
    with pytest.raises(ValueError, match="2 text towers"):
        bert_names(Source("a", under("query.", state) | under("passage.", state)))


def test_damaged_files_are_one_sentence_or_weights(vit: State, tmp_path: Path) -> None:
    rng = random.Random(0)
    small = OrderedDict(list(vit.items())[:4])
    torch.save({"model": small, "epoch": 1}, tmp_path / "a.pth")
    torch.save(small, tmp_path / "b.pth", _use_new_zipfile_serialization=False)
    save_file({name: tensor.clone() for name, tensor in small.items()}, tmp_path / "c.safetensors")
    for path in sorted(tmp_path.iterdir()):
        sound = path.read_bytes()
        for _ in range(60):
            data = bytearray(sound)
            for _ in range(rng.choice((1, 3, 20))):
                data[rng.randrange(min(len(data), rng.choice((64, 1024, len(data)))))] = rng.randrange(256)
            path.write_bytes(data[: rng.choice((len(data), len(data), rng.randrange(len(data))))])
            try:
                read_source(path)
            except ValueError as error:
                assert "\n" not in str(error)  # noqa: PT017
