"""The commands about texts as people type them: dashes in names, switches without a value, help for every setting."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from knowlip.annotators.annotate import AnnotateConfig, annotate
from knowlip.base.recipes import SECTIONS
from knowlip.cli import main
from knowlip.commands import COMMANDS
from tests.annotators.tiny_dataset import build_tiny_dataset

ASK = ["annotate", "--annotator", "openai", "--model", "m", "--dataset"]


def test_dashes_and_switches_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = build_tiny_dataset(tmp_path / "dataset")
    prices = ["--openai.price-in", "0.4", "--openai.price_out=1.6"]
    results = []
    for spelt in (
        ["--dry-run"],
        ["--dry_run", "true"],
        ["--dry-run=true", "--max-cost", "5"],
        ["--batch", "--dry-run"],
    ):
        assert main([*ASK, str(folder), *spelt, *prices, "--json"]) == 0
        results.append(json.loads(capsys.readouterr().out))
    assert results[0] == results[1] == results[2]
    assert results[0]["waves"]["all"]["tiles"] == 21
    assert results[3]["waves"]["all"]["cost"] == pytest.approx(results[0]["waves"]["all"]["cost"] / 2, rel=0.01)
    assert main([*ASK, str(folder), "--dry-runs"]) == 2
    assert main([*ASK, str(folder), "--max-cost"]) == 2  # not a switch
    assert not (folder / ".annotate").exists()


def test_an_estimate_beside_another_run_is_that_of_a_fresh_data_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = build_tiny_dataset(tmp_path / "dataset")
    annotate(AnnotateConfig(folder, workers=1))
    capsys.readouterr()
    assert main([*ASK, str(folder), "--dry-run", "--json"]) == 0
    out, said = capsys.readouterr()
    assert json.loads(out)["waves"]["all"]["tiles"] == 21
    assert "annotator" in said
    assert "fresh data set" in said


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in SECTIONS])
def test_every_setting_of_a_tool_is_explained(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    kind = COMMANDS[command].kind()
    with pytest.raises(SystemExit):
        main([*command.split(), "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for field in dataclasses.fields(kind):
        shown = field.name.upper() if field.name in getattr(kind, "POSITIONAL", ()) else field.name
        assert shown.lower() in text.lower(), field.name
    bare = re.findall(r"(\S*[A-Z\]}]) \((?:required|type)", text)  # a name, and then no words about it
    assert not bare
