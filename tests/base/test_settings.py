"""Settings on disk: saved, compared, and with what is needed to repeat a run."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest
import yaml

from knowlip.base.parsing import parse_command, stage_config
from knowlip.base.provenance import machine, provenance
from knowlip.base.settings import plain, same_or_refuse, save_config


@dataclass
class Inner:
    size: int = 3
    names: tuple[str, ...] = ("a", "b")


@dataclass
class Outer:
    out: Path = Path("here")
    inner: Inner = field(default_factory=Inner)
    changes: dict[str, int] = field(default_factory=dict)
    rate: float = 1e-4


def test_saved_settings_are_plain_yaml(tmp_path: Path) -> None:
    save_config(tmp_path / "config.yaml", Outer())
    saved = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert saved == {"out": "here", "inner": {"size": 3, "names": ["a", "b"]}, "changes": {}, "rate": 1e-4}
    assert saved == plain(Outer())


def test_another_setting_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "run" / "config.yaml"
    same_or_refuse(path, Outer())
    same_or_refuse(path, Outer())
    same_or_refuse(path, Outer(out=Path("elsewhere")), free=("out",))
    with pytest.raises(ValueError, match=r"inner\.size = 3, now it is 4"):
        same_or_refuse(path, Outer(inner=Inner(4)))
    with pytest.raises(ValueError, match=r"changes\.depth = None, now it is 2"):
        same_or_refuse(path, Outer(changes={"depth": 2}))
    same_or_refuse(path, Outer())


@dataclass(frozen=True)
class Tuning:
    RENAMED: ClassVar = {"speed": "rate"}
    rate: float = 1.0


@dataclass(frozen=True)
class Training:
    out: Path
    tuning: Tuning = field(default_factory=Tuning)


def test_an_old_name_is_told_the_new_one_and_folders_made_with_it_go_on(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"The setting tuning\.speed is now called tuning\.rate\."):
        parse_command("x", "", Training, ["--out", "o", "--tuning.speed", "2"])
    with pytest.raises(ValueError, match=r"The setting tuning\.speed is now called tuning\.rate\."):
        stage_config(Training, {"out": "o", "tuning": {"speed": 2.0}})
    (tmp_path / "config.yaml").write_text("out: o\ntuning: {speed: 2.0}\n")
    same_or_refuse(tmp_path / "config.yaml", Training(Path("o"), Tuning(2.0)))
    with pytest.raises(ValueError, match=r"tuning\.rate = 2\.0, now it is 3\.0"):
        same_or_refuse(tmp_path / "config.yaml", Training(Path("o"), Tuning(3.0)))


def test_lists_are_words_or_brackets() -> None:
    @dataclass(frozen=True)
    class Words:
        POSITIONAL: ClassVar = ("text",)
        text: str
        sizes: tuple[int, ...] = ()
        names: list[str] = field(default_factory=list)
        loud: bool = False

    for flags in (["--sizes", "1", "2", "--names", "a: b", "yes"], ["--sizes=[1,2]", '--names=["a: b","yes"]']):
        found, as_json = parse_command("x", "", Words, ["why: this", *flags, "--loud", "--json"])
        assert found == Words("why: this", (1, 2), ["a: b", "yes"], loud=True)
        assert as_json


@pytest.mark.parametrize("content", ["[1", "- a list", "", "\x00"])
def test_damaged_settings_are_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"config\.yaml"):
        same_or_refuse(path, Outer())


def test_provenance_names_versions_but_not_the_machine() -> None:
    import platform

    facts = provenance()
    assert facts["versions"]["numpy"].split(".")[0].isdigit()
    assert facts["command"].startswith("knowlip")
    assert "CPU" in machine()
    assert platform.node() not in str(facts) or len(platform.node()) < 4
