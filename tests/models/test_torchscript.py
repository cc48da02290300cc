"""Archives of TorchScript: the same tensors as PyTorch reads, with nothing of them run."""

import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from knowlip.models.weights.source import read_source
from knowlip.models.weights.torchscript import is_torchscript


class Scripted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
        self.halved = nn.Parameter(torch.randn(2, 2).half(), requires_grad=False)
        self.register_buffer("count", torch.tensor(7))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    torch.jit.save(torch.jit.script(Scripted()), tmp_path / "model.pt")
    return tmp_path / "model.pt"


def test_the_same_tensors_as_pytorch_reads(archive: Path) -> None:
    assert is_torchscript(archive)
    found, expected = read_source(archive).state, torch.jit.load(archive).state_dict()
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.equal(found[key], value)
        assert found[key].dtype == value.dtype


def test_what_is_none_is_read_as_before(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "plain.pt")
    assert not is_torchscript(tmp_path / "plain.pt")
    (tmp_path / "text.pt").write_text("text")
    assert not is_torchscript(tmp_path / "text.pt")


@pytest.mark.parametrize("what", ["code", "short", "name"])
def test_a_hostile_archive_is_refused(what: str, archive: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.pt"
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(other, "w") as new:
        for member in old.infolist():
            content = old.read(member)
            if what == "code" and member.filename.endswith("data.pkl"):
                content = b"cposix\nsystem\n(S'true'\ntR."
            if what == "short" and "/data/0" in member.filename:
                content = content[:4]
            if what == "name" and "/data/" in member.filename:
                continue
            new.writestr(member.filename, content)
    with pytest.raises(ValueError, match="cannot be read") as error:
        read_source(other)
    assert "\n" not in str(error.value)
