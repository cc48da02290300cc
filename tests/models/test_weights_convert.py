"""`knowlip convert`: a folder that `knowlip.load` opens, with sizes read from the checkpoint."""

import json
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel, BlipConfig, BlipForConditionalGeneration, BlipForQuestionAnswering

import knowlip
from knowlip.cli import main
from knowlip.models import TextTokenizer
from knowlip.models.weights.source import read_source
from knowlip.models.weights.vit import plain_vit

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "ship", "##s", "water", "quay", "a"]


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(WORDS) + "\n")
    return path


def blip_config() -> BlipConfig:
    text = {
        "vocab_size": len(WORDS) + 2,
        "hidden_size": 32,
        "encoder_hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 20,
        "bos_token_id": 10,
        "eos_token_id": 3,
        "sep_token_id": 3,
        "pad_token_id": 0,
    }
    vision = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "image_size": 48,
        "patch_size": 12,
        "num_attention_heads": 8,
    }
    return BlipConfig(text_config=text, vision_config=vision)


@pytest.mark.parametrize(
    ("kind", "tie", "reads"), [(BlipForConditionalGeneration, True, "image"), (BlipForQuestionAnswering, False, "text")]
)
def test_blip_folder_of_the_hub(
    tmp_path: Path, vocabulary: Path, capsys: pytest.CaptureFixture[str], kind: type, tie: bool, reads: str
) -> None:
    kind(blip_config()).save_pretrained(tmp_path / "hub")
    line = ["convert", str(tmp_path / "hub"), "--out", str(tmp_path / "m"), "--vocabulary", str(vocabulary)]
    assert main([*line, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    model = knowlip.load(tmp_path / "m")
    text, vision = model.config.text, model.config.vision
    assert (text.width, text.layers, text.heads, text.mlp_width, text.max_length) == (32, 2, 4, 64, 20)
    assert (text.tie_decoder, text.decoder_reads, text.start_at_hole) == (tie, reads, False)
    assert vision.image_size == 48
    assert vision.changes == {"embed_dim": 32, "depth": 3, "num_heads": 8, "patch_size": 12, "mlp_ratio": 2.0}
    assert model.card["weights"] == result["weights"]
    assert result["weights"]["source"] == "hub"
    tokens, _ = model.encode_images(torch.randn(1, 1, 48, 48))
    assert len(model.generate(tokens, [""], max_new_tokens=3)) == 1
    smaller = ["--image-size", "36", "--max-length", "9", "--out", str(tmp_path / "s")]
    assert main([*line[:2], *smaller, "--vocabulary", str(vocabulary)]) == 0
    assert "grid of 4 x 4 -> 3 x 3" in capsys.readouterr().out
    reads_text = [*line, "--decoder-reads", "text", "--out", str(tmp_path / "t")]
    assert main(reads_text) == 0
    assert knowlip.load(tmp_path / "t").config.text.decoder_reads == "text"
    assert knowlip.load(tmp_path / "s").config.text.max_length == 9


def test_a_bert_and_a_vit_leave_the_other_tower_random(
    tmp_path: Path, vocabulary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = {"vocab_size": len(WORDS), "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 1}
    BertModel(BertConfig(**sizes, intermediate_size=64, max_position_embeddings=16)).save_pretrained(tmp_path / "bert")
    (tmp_path / "bert" / "vocab.txt").write_text(vocabulary.read_text())
    tower = ["--vision", "test_vit"]
    assert main(["convert", str(tmp_path / "bert"), "--out", str(tmp_path / "b"), *tower]) == 0
    assert "BERT weights of bert" in capsys.readouterr().out
    assert knowlip.load(tmp_path / "b").config.text.width == 64
    source = knowlip.load(tmp_path / "b").visual_encoder
    torch.save({"model": source.state_dict()}, tmp_path / "vit.pth")
    assert main(["convert", str(tmp_path / "vit.pth"), "--out", str(tmp_path / "v"), *tower]) == 2  # one channel
    assert "reads one channel" in capsys.readouterr().err
    asked = ["--vision_mean", "[0.45]", "--vision_std", "[0.25]"]
    assert main(["convert", str(tmp_path / "vit.pth"), "--out", str(tmp_path / "v"), *tower, *asked]) == 0
    pixels = torch.randn(2, 1, 224, 224)
    again = knowlip.load(tmp_path / "v").visual_encoder
    torch.testing.assert_close(again(pixels), source(pixels), rtol=1e-4, atol=1e-4)


def test_plain_sizes_are_recognised(tmp_path: Path) -> None:
    state = {
        "cls_token": torch.zeros(1, 1, 384),
        "pos_embed": torch.zeros(1, 1 + 18 * 18, 384),
        "patch_embed.proj.weight": torch.zeros(384, 3, 14, 14),
        "blocks.0.mlp.fc1.weight": torch.zeros(1536, 384),
    } | {f"blocks.{i}.norm1.weight": torch.zeros(384) for i in range(12)}
    torch.save(state, tmp_path / "vit.pth")
    found = plain_vit(read_source(tmp_path / "vit.pth"), {name: name for name in state})
    assert (found.name, found.image_size, found.changes) == ("vit_small_patch16_224", 252, {"patch_size": 14})
    del state["pos_embed"]
    with pytest.raises(ValueError, match="no pos_embed"):
        plain_vit(read_source(tmp_path / "vit.pth"), {name: name for name in state})


def test_bad_input_is_one_sentence(tmp_path: Path, vocabulary: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "m")]
    assert main(["convert", str(tmp_path / "none.pth"), *out]) == 2
    assert "none.pth does not exist" in capsys.readouterr().err
    torch.save({"conv1.weight": torch.zeros(3)}, tmp_path / "cnn.pth")
    assert main(["convert", str(tmp_path / "cnn.pth"), *out]) == 2
    assert "holds no ViT" in capsys.readouterr().err
    (tmp_path / "alone").mkdir()
    torch.save({"conv1.weight": torch.zeros(3)}, tmp_path / "alone" / "cnn.pth")
    assert main(["convert", str(tmp_path / "alone" / "cnn.pth"), *out]) == 2
    assert "vocab.txt of a BERT" in capsys.readouterr().err
    assert TextTokenizer.from_vocabulary(vocabulary).dec == len(WORDS)
    assert not (tmp_path / "m").exists()
