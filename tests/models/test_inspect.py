"""`knowlip weights inspect`: what it tells of a file, and how it refuses one that is none."""

import json
from pathlib import Path

import pytest
import torch

from knowlip.cli import main
from knowlip.models.inspect import InspectConfig, inspect_weights, show
from tests.models.encoders.test_foreign import CASES


def test_a_layout_of_one_project_is_told_in_full(tmp_path: Path) -> None:
    CASES["sar_jepa"]().write(tmp_path)
    found = inspect_weights(InspectConfig(tmp_path / "weights.pth"))
    assert set(found["opens_as"]) == {"sar_jepa"}
    opened = found["opens_as"]["sar_jepa"]
    assert (opened["channels"], opened["side"], opened["mean"], opened["std"]) == (1, 32, [0.0], [1.0])
    assert not opened["reads_texts"]
    assert "saved, but SAR-JEPA's forward pass never adds it" in opened["weights"]["dropped"]
    assert found["beside"] == ["epoch"]
    assert any("`module.`" in note for note in found["notes"])
    assert "4 heads, as the width of its tables says" in show(found)


def test_a_shared_layout_names_all_who_have_it(tmp_path: Path) -> None:
    case = CASES["open_clip"]()
    case.write(tmp_path)
    found = inspect_weights(InspectConfig(tmp_path / "weights.pth"))
    assert {"clip", "remoteclip", "open_clip"} <= set(found["opens_as"])
    assert "whose weights they are stands nowhere in the file" in show(found)
    assert "4 heads, as open_clip_config.json says." in found["opens_as"]["remoteclip"]["said"]
    one = inspect_weights(InspectConfig(tmp_path / "weights.pth", "open_clip", 64))
    assert set(one["opens_as"]) == {"open_clip"}
    assert "visual.pos_embed" in one["opens_as"]["open_clip"]["weights"]["resized"]


def test_what_a_file_does_not_say_is_asked_for(tmp_path: Path) -> None:
    case = CASES["clip"]()
    case.write(tmp_path)
    found = inspect_weights(InspectConfig(tmp_path / "weights.pth"))
    assert "give heads=NUMBER" in found["asks"]["clip"]
    assert found["opens_as"] == {}
    told = inspect_weights(InspectConfig(tmp_path / "weights.pth", f"clip{case.settings}"))
    assert told["opens_as"]["clip"]["reads_texts"]
    with pytest.raises(ValueError, match="no setting 'colour'"):
        inspect_weights(InspectConfig(tmp_path / "weights.pth", f"clip{case.settings},colour=red"))


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04broken", b"\x80\x05K\x01."])
def test_what_is_no_checkpoint_ends_with_one_sentence(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.pth").write_bytes(content)
    assert main(["weights", "inspect", str(tmp_path / "x.pth")]) == 2
    told = capsys.readouterr().err.strip()
    assert "x.pth" in told
    assert "\n" not in told


def test_sizes_of_a_hostile_file_take_no_memory(tmp_path: Path) -> None:
    case = CASES["open_clip"]()
    case.state["visual.positional_embedding"] = torch.zeros(1, 64).expand(1 + 2000**2, 64)
    case.write(tmp_path)
    with pytest.raises(ValueError, match=r"claims more numbers|none is so large"):
        inspect_weights(InspectConfig(tmp_path / "weights.pth", "open_clip"))
    CASES["sar_jepa"]().write(tmp_path)
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": 3}))
    with pytest.raises(ValueError, match=r"names no ViT|holds no"):
        inspect_weights(InspectConfig(tmp_path / "weights.pth", "open_clip"))
