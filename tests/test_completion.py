"""Completion: bash itself is asked what it would offer."""

import shutil
import subprocess
from pathlib import Path

import pytest

from knowlip.cli import main
from knowlip.commands import COMMANDS


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from knowlip.completion import CompletionConfig, completion

    path = tmp_path_factory.mktemp("completion") / "knowlip"
    path.write_text(completion(CompletionConfig("bash"))["script"])
    return path


def offered(script: Path, *words: str) -> set[str]:
    """What bash offers for the last of these words."""
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    line = " ".join(f"'{word}'" for word in ("knowlip", *words))
    ask = f'source {script}; COMP_WORDS=({line}); COMP_CWORD={len(words)}; _knowlip; printf "%s\\n" "${{COMPREPLY[@]}}"'
    return set(subprocess.check_output(["bash", "-c", ask], text=True).split())


def test_commands_and_groups(script: Path) -> None:
    assert offered(script, "") == {name.split()[0] for name in COMMANDS}
    assert offered(script, "dataset", "") == {name.split()[1] for name in COMMANDS if name.startswith("dataset ")}
    assert offered(script, "pre") >= {"pretrain", "predict"}


def test_flags_and_values(script: Path) -> None:
    assert "--model.vision.image_size" in offered(script, "pretrain", "--model.v")
    assert offered(script, "pretrain", "--optimizer", "") == {"adamw", "sgd"}
    assert offered(script, "dataset", "stats", "--js") == {"--json"}
    assert "demo" in offered(script, "build", "--recipe", "")


def test_zsh_reads_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "zsh"]) == 0
    assert "bashcompinit" in capsys.readouterr().out
    assert main(["completion", "csh"]) == 2
