"""A file of questions: each answer is that of the question alone, and what cannot be asked is told and counted."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from knowlip.cli import main
from knowlip.inference.ask import ask
from knowlip.inference.ask_many import ask_all, read_questions
from knowlip.inference.settings import AskConfig
from knowlip.inference.views import images_in
from knowlip.models.default import shipped_model

QUESTIONS = ["How many ships are visible?", "What is the main landform?"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two pictures and a file of two questions and one that no model reads."""
    for at in range(2):
        pixels = np.kron(np.random.default_rng(at).integers(20, 235, (8, 8)), np.ones((16, 16)))
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"{at}.png")
    lines = ["# mine", "", QUESTIONS[0], f"  {QUESTIONS[1]}", "ship " * 400]
    (tmp_path / "questions.txt").write_text("\n".join(lines), encoding="utf-8-sig")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_of_questions_gives_the_answers_of_each(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["ask", "0.png", "--questions", "questions.txt", "--also", "1.png", "--metres_per_pixel", "3"]
    assert main([*line, "--model", str(shipped_model()), "--out", "answers.csv", "--json"]) == 1, "one was left out"
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert [(one["image"], one["question"]) for one in found["images"]] == [
        (image, question) for image in ("0.png", "1.png") for question in QUESTIONS
    ]
    for one in found["images"]:
        alone = AskConfig(Path(one["image"]), one["question"], model=shipped_model(), metres_per_pixel=3)
        assert one == json.loads(json.dumps(ask(alone)))
    (left,) = found["failed"]
    assert left["reason"].startswith("ship ship")
    assert "left out" in err
    table = pd.read_csv("answers.csv")
    assert table["question"].tolist()[:4] == QUESTIONS * 2
    assert len(table) == 5
    assert main([*line, "--model", str(shipped_model())]) == 1
    shown = capsys.readouterr().out
    assert f"0.png: {QUESTIONS[0]} " in shown
    assert f"1.png: {QUESTIONS[1]} " in shown


def test_what_cannot_be_asked_is_one_sentence(here: Path) -> None:
    for content, sentence in (
        (b"\n# nothing\n", "holds no question"),
        (b"\xff\xfe\x00", "no text in UTF-8"),
        (b"a?\nb?\na?\n", r"twice: a\?"),
        (b"\n".join(b"%d?" % at for at in range(1001)), "1,001 questions"),
    ):
        (here / "bad.txt").write_bytes(content)
        with pytest.raises(ValueError, match=sentence):
            read_questions(here / "bad.txt")
    with pytest.raises(ValueError, match=r"none\.txt"):
        read_questions(here / "none.txt")
    (here / "long.txt").write_text("ship " * 400)
    with pytest.raises(ValueError, match="ship ship"):
        ask_all(AskConfig(here / "0.png", questions=here / "long.txt", model=shipped_model()))
    for settings, sentence in (
        ({}, "question is empty"),
        ({"question": "a?", "questions": Path("b")}, "not both"),
        ({"questions": Path("b"), "chain": True}, "belong to one question"),
    ):
        with pytest.raises(ValueError, match=sentence):
            AskConfig(here / "0.png", **settings)  # type: ignore[arg-type]


def test_an_image_that_is_named_twice_is_taken_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        Image.fromarray(np.random.default_rng(len(name)).integers(1, 255, (32, 32), np.uint8)).save(
            tmp_path / f"{name}.png"
        )
    assert images_in([tmp_path / "b.png", tmp_path, tmp_path / "x" / ".." / "b.png"]) == [
        tmp_path / f"{one}.png" for one in "ba"
    ]
    assert "2 images named again: each is taken once" in capsys.readouterr().err
