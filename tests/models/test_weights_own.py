"""A model of KnowLIP's own as a start: with more closed questions than it was taught, and other sizes refused."""

import json
from pathlib import Path

import pytest
import torch

from knowlip.language.closed import CLOSED
from knowlip.models import KnowLIP, ModelConfig, TextConfig, TextTokenizer, VisionConfig, load_model, save_model
from knowlip.models.weights.own import convert_own


def model(questions: int, width: int = 48) -> KnowLIP:
    changes = {"embed_dim": width, "depth": 1, "num_heads": 2, "patch_size": 16}
    tokenizer = TextTokenizer.train(["How many ships are visible?", "There are two"] * 3, vocab_size=80)
    text = TextConfig(len(tokenizer), width=32, layers=1, heads=2, mlp_width=64, max_length=40, dropout=0.0)
    vision = VisionConfig("vit_tiny_patch16_224", 48, changes)
    config = ModelConfig(vision, text, embed_dim=16, readout=True, readout_questions=questions)
    return KnowLIP(config, tokenizer).eval()


def test_a_start_of_fewer_closed_questions_says_what_it_said_and_gets_the_new_ones(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_model(model(20), tmp_path / "start", {})
    document = json.loads((tmp_path / "start" / "knowlip.json").read_text())
    del document["model"]["readout_questions"]  # as former versions wrote it
    (tmp_path / "start" / "knowlip.json").write_text(json.dumps(document))
    start, grown = load_model(tmp_path / "start"), model(0)
    assert (start.config.readout_questions, grown.config.readout_questions) == (20, len(CLOSED))
    conversion = convert_own(start, str(tmp_path / "start"), grown)
    conversion.apply(grown)
    assert set(conversion.report.resized) == {
        "readout.answer_tokens",
        "readout.question_tokens",
        "readout.whole.2.weight",
        "readout.whole.2.bias",
        "readout_proj.weight",
    }
    assert '"holds water"' in conversion.report.notes[0]
    pixels = torch.randn(2, 1, 48, 48)
    with torch.inference_mode():
        (_, before, said), (tokens, after, answers) = start.look(pixels), grown.look(pixels)
    torch.testing.assert_close(after, before)
    assert said is not None
    assert answers is not None
    torch.testing.assert_close(answers.closed_BQK[:, :20], said.closed_BQK)
    torch.testing.assert_close(answers.regions_BM9, said.regions_BM9)
    assert answers.closed_BQK.shape[1] == len(CLOSED)
    assert tokens.shape[1] == start.encode_images(pixels)[0].shape[1] + len(CLOSED) - 20
    with pytest.raises(ValueError, match=r"its model\.readout_questions is 26, not 20"):
        convert_own(grown, str(tmp_path / "start"), model(20))


def test_other_sizes_are_refused(tmp_path: Path) -> None:
    save_model(model(20), tmp_path / "start", {})
    with pytest.raises(ValueError, match=r"its model\.vision\.changes\.embed_dim is 48, not 64"):
        convert_own(load_model(tmp_path / "start"), str(tmp_path / "start"), model(0, width=64))
