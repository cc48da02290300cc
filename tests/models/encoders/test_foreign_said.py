"""What no shape tells is read, asked for or refused: heads, activation, depth, patches, vocabularies; never guessed."""

import gzip
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from knowlip.models.bpe import build_bpe, read_bpe
from knowlip.models.encoders import encoder_kinds, open_encoder
from knowlip.models.encoders.dual import DualEncoder
from knowlip.models.encoders.foreign import Foreign, Settings, split_name
from knowlip.models.weights.shape import Named, build_vit, straight, vit_shape
from knowlip.models.weights.source import Source
from tests.models.encoders.official import randomise
from tests.models.encoders.reference import OPENAI, Reference, pixels_of, quick_gelu, rename, vocabulary
from tests.models.encoders.test_foreign import CASES, CLIP, SENTENCE, Case, spoken, tiles


def read(case: Case, state: dict[str, Tensor] | None = None, **settings: str) -> Foreign:
    given = dict(part.split("=") for part in case.settings.split(",") if part) | settings
    source = Source("weights.pth", case.state if state is None else state, config=case.beside.get("config.json", {}))
    found: Foreign = encoder_kinds()[case.kind].read(source, Settings(given), case.size)
    return found


def wide(width: int) -> dict[str, Tensor]:
    """A ViT of OpenAI's layout, of one block of zeros; but for its kernel, as weights that are all zero are refused."""
    vector, square = torch.zeros(width), torch.zeros(width, width)
    block = {f"ln_{n}.{part}": vector for n in (1, 2) for part in ("weight", "bias")}
    block |= {"attn.in_proj_weight": torch.zeros(3 * width, width), "attn.in_proj_bias": torch.zeros(3 * width)}
    block |= {"attn.out_proj.weight": square, "attn.out_proj.bias": vector, "mlp.c_fc.bias": torch.zeros(4 * width)}
    block |= {"mlp.c_fc.weight": torch.zeros(4 * width, width), "mlp.c_proj.weight": torch.zeros(width, 4 * width)}
    state = {f"transformer.resblocks.0.{key}": value for key, value in (block | {"mlp.c_proj.bias": vector}).items()}
    state |= {f"ln_{word}.{part}": vector for word in ("pre", "post") for part in ("weight", "bias")}
    state |= {"conv1.weight": torch.ones(width, 3, 14, 14), "class_embedding": vector}
    state["positional_embedding"] = torch.zeros(5, width)
    return {f"visual.{key}": value for key, value in state.items()}


def test_a_huge_clip_has_sixteen_heads_of_eighty_channels() -> None:
    found = read(Case("georsclip", wide(1280), torch.relu, torch.relu))
    assert found.whole.visual.blocks[0].attn.num_heads == 16  # type: ignore[index, union-attr]
    assert any("16 heads, as every published CLIP's tower of width 1280" in said for said in found.said)
    assert any("gelu: GeoRSCLIP's H/14" in said for said in found.said)
    with pytest.raises(ValueError, match="does not say how many heads its tower of width 896"):
        read(Case("georsclip", wide(896), torch.relu, torch.relu))
    with pytest.raises(ValueError, match="give activation=gelu or quick_gelu"):
        read(Case("georsclip", wide(1024), torch.relu, torch.relu))


def test_a_config_is_believed_and_not_contradicted(tmp_path: Path) -> None:
    name = CASES["open_clip"]().write(tmp_path)
    with pytest.raises(ValueError, match=r"has 4 heads, as open_clip_config.json says, not 2"):
        open_encoder(f"{name},heads=2")
    with pytest.raises(ValueError, match=r"has quick_gelu, as open_clip_config.json says, not gelu"):
        open_encoder(f"{name},activation=gelu")
    (tmp_path / "open_clip_config.json").unlink()
    with pytest.raises(ValueError, match="give heads=NUMBER"):
        open_encoder(name)
    with pytest.raises(ValueError, match="does not say its activation"):
        open_encoder(f"{name},heads=4,text_heads=4")


def test_pixels_that_lie_beside_the_weights_count(tmp_path: Path) -> None:
    case = CASES["hf_vit"]()
    name, beside = case.write(tmp_path), tmp_path / "preprocessor_config.json"
    assert open_encoder(name).pixels.mean == (0.5, 0.5, 0.5)
    beside.write_text(json.dumps({"do_normalize": False, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}))
    assert (open_encoder(name).pixels.mean, open_encoder(name).pixels.std) == ((0.0,) * 3, (1.0,) * 3)
    for more in ({"do_rescale": False}, {"rescale_factor": 1 / 127.5}):
        beside.write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.25] * 3, **more}))
        with pytest.raises(ValueError, match=r"does not bring pixels to 0\.\.1"):
            open_encoder(name)
        assert open_encoder(f"{name},mean=0.1/0.1/0.1,std=1/1/1").pixels.mean == (0.1,) * 3
    beside.unlink()
    with pytest.raises(ValueError, match="nobody says how its pixels were normalised"):
        open_encoder(name)


def sharded(folder: Path, state: dict[str, Tensor]) -> Path:
    """A state in two files and their index."""
    names = sorted(state)
    halves = {"model-1-of-2.safetensors": names[::2], "model-2-of-2.safetensors": names[1::2]}
    for file, keys in halves.items():
        save_file({key: state[key].contiguous() for key in keys}, folder / file)
    places = {key: file for file, keys in halves.items() for key in keys}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))
    return index


@torch.no_grad()
def test_weights_in_several_files_are_read_by_their_index(tmp_path: Path) -> None:
    case = CASES["hf_vit"]()
    whole = open_encoder(case.write(tmp_path))
    (tmp_path / "pytorch_model.bin").unlink()
    index = sharded(tmp_path, case.state)
    encoder = open_encoder(f"hf_vit:{tmp_path}")
    assert torch.equal(encoder.tokens(tiles()), whole.tokens(tiles()))
    with pytest.raises(ValueError, match="give the folder"):
        open_encoder(f"hf_vit:{index}")


@pytest.mark.parametrize(
    ("file", "why"),
    [
        ("../outside.safetensors", "no file beside it"),
        ("/etc/passwd", "no file beside it"),
        ("..", "no file beside it"),
        ("none.safetensors", "does not exist"),
        ("model-2-of-2.safetensors", "holds other tensors"),
        (3, "no file beside it"),
    ],
)
def test_an_index_leads_to_files_beside_it_alone(file: object, why: str, tmp_path: Path) -> None:
    case = CASES["hf_vit"]()
    (tmp_path / "in").mkdir()
    case.write(tmp_path / "in")
    (tmp_path / "in" / "pytorch_model.bin").unlink()
    save_file({"layernorm.weight": torch.zeros(64)}, tmp_path / "outside.safetensors")
    index = sharded(tmp_path / "in", case.state)
    told = json.loads(index.read_text())
    first = next(key for key, place in told["weight_map"].items() if place == "model-1-of-2.safetensors")
    told["weight_map"][first] = file
    index.write_text(json.dumps(told))
    with pytest.raises(ValueError, match=why) as error:
        open_encoder(f"hf_vit:{tmp_path / 'in'}")
    assert "\n" not in str(error.value)


def test_dinov3_of_hugging_face_needs_its_config(tmp_path: Path) -> None:
    case = CASES["dinov3_hf"]()
    name, config = case.write(tmp_path), tmp_path / "config.json"
    told = json.loads(config.read_text())
    assert open_encoder(name.partition(",")[0]).card.trained_on == ("unknown",), "nobody says which"
    for change, why in (
        ({"num_attention_heads": None}, "needs config.json"),
        ({"use_gated_mlp": True}, "not read"),
        ({"layer_norm_eps": "x"}, "needs config.json"),
    ):
        config.write_text(json.dumps(told | change))
        with pytest.raises(ValueError, match=why):
            open_encoder(name)


@pytest.mark.parametrize("kind", ["mae", "clip", "sar_jepa", "moco_v3", "dinosar"])
def test_a_block_that_is_missing_is_no_shallower_model(kind: str) -> None:
    case = CASES[kind]()
    state = {key: value for key, value in case.state.items() if "blocks.0." not in key}
    with pytest.raises(ValueError, match=r"missing|lacks|has no|no plain ViT"):
        read(case, state)
    other = {key: value for key, value in case.state.items() if ".1.mlp" not in key}
    with pytest.raises(ValueError, match=r"lacks|nothing for"):
        read(case, other)


@pytest.mark.parametrize("kind", ["mae", "clip", "sar_jepa"])
def test_patches_that_are_no_squares_are_refused(kind: str) -> None:
    case = CASES[kind]()
    key = next(key for key in case.state if key.endswith(("patch_embed.proj.weight", "visual.conv1.weight")))
    with pytest.raises(ValueError, match=r"only square ones|no multiple"):
        read(case, case.state | {key: torch.randn(64, case.state[key].shape[1], 8, 4)})


def test_another_activation_is_another_model_and_said() -> None:
    case = CASES["remoteclip"]()
    usual, other = read(case), read(case, activation="quick_gelu")
    assert any("not stated what it was trained with" in said for said in usual.said)
    assert "quick_gelu, as activation= says." in other.said
    with torch.no_grad():
        assert not torch.equal(usual.fill().summary(tiles()), other.fill().summary(tiles()))


@torch.no_grad()
def test_ban_takes_the_rest_from_its_clip(tmp_path: Path) -> None:
    case = CASES["ban"]()
    with pytest.raises(ValueError, match=r"first 2 blocks of its frozen CLIP alone: give clip=FILE.*or blocks=2"):
        read(case, heads="4", blocks="3")
    whole = randomise(Reference(act=quick_gelu, eps=1e-5, patch_bias=False, pre=True, depth=3), 5)
    clip = {f"visual.{key}": value for key, value in rename(whole, OPENAI).items()}
    torch.save(clip, tmp_path / "clip.pt")
    settings = {"heads": "4", "clip": str(tmp_path / "clip.pt")}
    source = Source("ban.pth", case.state)
    with pytest.raises(ValueError, match="is not the CLIP that"):
        encoder_kinds()["ban"].read(source, Settings(dict(settings)), None)
    ours = dict(case.state)
    for key, value in rename(whole, OPENAI).items():
        short = key.replace("transformer.resblocks.", "layers.").replace("ln_1", "ln1").replace("ln_2", "ln2")
        short = short.replace("attn.", "attn.attn.").replace("mlp.c_fc", "ffn.layers.0.0")
        short = short.replace("mlp.c_proj", "ffn.layers.1").replace("conv1", "patch_embed.projection")
        short = short.replace("class_embedding", "cls_token").replace("positional_embedding", "pos_embed")
        if f"image_encoder.{short}" in ours:
            ours[f"image_encoder.{short}"] = value.reshape(ours[f"image_encoder.{short}"].shape)
    found = encoder_kinds()["ban"].read(Source("ban.pth", ours), Settings(dict(settings)), None)
    torch.testing.assert_close(found.fill().tokens(tiles()), whole(pixels_of(tiles(), *CLIP)), rtol=1e-5, atol=1e-5)


def test_a_vocabulary_is_the_users_and_the_models(tmp_path: Path) -> None:
    case = CASES["clip"]()
    encoder = open_encoder(case.write(tmp_path))
    assert isinstance(encoder, DualEncoder)
    (tmp_path / "vocab.json").unlink()
    with pytest.raises(ValueError, match=r"put bpe_simple_vocab_16e6.txt.gz, tokenizer.json or vocab.json and merges"):
        encoder.text([SENTENCE])
    words, merges = vocabulary()
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "vocab.json").write_text(json.dumps(words))
    with pytest.raises(ValueError, match=r"needs merges.txt beside it"):
        read_bpe(tmp_path / "own" / "vocab.json", 540)
    (tmp_path / "own" / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    given = open_encoder(f"clip:{tmp_path / 'weights.pth'}{case.settings},vocabulary={tmp_path / 'own' / 'vocab.json'}")
    assert isinstance(given, DualEncoder)
    assert given.text([SENTENCE]).shape == (1, 32)
    with pytest.raises(ValueError, match="has 540 words, the model 541"):
        read_bpe(tmp_path / "own" / "vocab.json", 541)


def test_every_form_of_a_vocabulary_reads_the_same(tmp_path: Path) -> None:
    words, merges = vocabulary()
    pairs = [(first, second) for first, second in (merge.split() for merge in merges)]
    build_bpe(words, pairs).save(str(tmp_path / "tokenizer.json"))
    found, end = read_bpe(tmp_path / "tokenizer.json", 540)([SENTENCE], 12)
    assert found[0, : len(spoken())].tolist() == spoken().tolist()
    assert int(end[0]) == len(spoken()) - 1
    packed = gzip.compress("\n".join(["version", *merges]).encode())
    (tmp_path / "bpe_simple_vocab_16e6.txt.gz").write_bytes(packed)
    count = 512 + len(merges) + 2
    other, _ = read_bpe(tmp_path / "bpe_simple_vocab_16e6.txt.gz", count)([SENTENCE], 12)
    assert other[0, 1 : len(spoken()) - 1].tolist() == found[0, 1 : len(spoken()) - 1].tolist()
    assert other[0, 0] == count - 2


def test_the_tokens_are_those_of_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    words, merges = vocabulary()
    (tmp_path / "vocab.json").write_text(json.dumps(words))
    (tmp_path / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    theirs = transformers.CLIPTokenizer.from_pretrained(tmp_path)
    ours = read_bpe(tmp_path / "vocab.json", 540)
    for text in (SENTENCE, "don't ship 42 ships, über   the\tport!", "THE", "a-b_c", ""):
        found, end = ours([text], 64)
        assert found[0, : int(end[0]) + 1].tolist() == theirs(text)["input_ids"]


def test_a_long_text_loses_its_tail_and_is_counted(tmp_path: Path) -> None:
    encoder = open_encoder(CASES["clip"]().write(tmp_path))
    assert isinstance(encoder, DualEncoder)
    tokens, ends = encoder.tokenizer()([" ".join(["ship"] * 30), "ship"], 12)
    assert ends.tolist() == [11, 2]
    assert tokens[0, 11] == tokens[1, 2] == 539
    assert encoder.tokenizer().cut == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"not gzip", "no vocabulary packed by gzip"),
        (gzip.compress(b"version\none two three", mtime=0), "two parts of a word"),
        (gzip.compress(b"version\nq\xff w", mtime=0), "no vocabulary packed"),
    ],
)
def test_a_broken_vocabulary_is_one_sentence(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "bpe_simple_vocab_16e6.txt.gz").write_bytes(content)
    with pytest.raises(ValueError, match=words) as error:
        read_bpe(tmp_path / "bpe_simple_vocab_16e6.txt.gz", 540)
    assert "\n" not in str(error.value)


def test_names_and_settings() -> None:
    path, settings = split_name("folder,with/comma.pt,heads=12,mean=0.4/0.5")
    assert str(path) == "folder,with/comma.pt"
    assert settings.integer("heads") == 12
    assert settings.numbers("mean") == (0.4, 0.5)
    settings.close("mae")
    with pytest.raises(ValueError, match="heads stands twice"):
        split_name("a.pt,heads=1,heads=2")
    for wrong in ("heads=0", "heads=many", "heads="):
        with pytest.raises(ValueError, match="positive whole number"):
            split_name(f"a.pt,{wrong}")[1].integer("heads")
    with pytest.raises(ValueError, match="gelu, quick_gelu or gelu_tanh"):
        split_name("a.pt,activation=relu")[1].activation()


def test_sizes_of_a_vit_are_bounded() -> None:
    state = {"patch_embed.proj.weight": torch.empty(9000, 3, 2, 2, device="meta")}
    state |= {"blocks.0.mlp.fc1.weight": torch.empty(64, 9000, device="meta")}
    with pytest.raises(ValueError, match="none is so large"):
        vit_shape("x", state, Named(straight(list(state))), 1, "gelu", 1e-6, 224)
    small = {"patch_embed.proj.weight": torch.empty(8, 3, 2, 2), "blocks.0.mlp.fc1.weight": torch.empty(8, 8)}
    shape = vit_shape("x", small, Named(straight(list(small))), 2, "gelu", 1e-6, 8)
    assert build_vit(shape).patch_embed.grid_size == (4, 4)
    with pytest.raises(ValueError, match="no multiple of the patches"):
        build_vit(shape, 7)
