"""Settings on disk: saved, compared, and with what is needed to repeat a run."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest
import yaml

from knowlip.base.parsing import parse_command, stage_config
from knowlip.base.provenance import machine, provenance
from knowlip.base.settings import plain, same_or_refuse, save_config
from knowlip.cli import main


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


def test_a_setting_that_is_new_counts_as_its_default(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("out: here\ninner: {size: 3}\nchanges: {}\n")
    same_or_refuse(path, Outer())
    with pytest.raises(ValueError, match=r"rate = 0\.0001, now it is 0\.1"):
        same_or_refuse(path, Outer(rate=0.1))
    with pytest.raises(ValueError, match=r"inner\.names = \['a', 'b'\], now it is \['c'\]"):
        same_or_refuse(path, Outer(inner=Inner(names=("c",))))
    # A whole group, and an entry of a mapping that was there without it.
    path.write_text("out: here\nchanges: {}\nrate: 0.0001\n")
    same_or_refuse(path, Outer())
    with pytest.raises(ValueError, match=r"inner\.size = 3, now it is 4"):
        same_or_refuse(path, Outer(inner=Inner(4)))
    with pytest.raises(ValueError, match=r"changes\.depth = None, now it is 2"):
        same_or_refuse(path, Outer(changes={"depth": 2}))


@dataclass(frozen=True)
class Words:
    POSITIONAL: ClassVar = ("text",)
    text: str
    sizes: tuple[int, ...] = ()
    names: list[str] = field(default_factory=list)
    loud: bool = False


def test_lists_are_words_or_brackets() -> None:
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


_LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize("text", ["[" * 20_000, _LAUGHS, "tuning: &a {rate: *a}", '"' + "[" * 9000 + "]" * 9000 + '"'])
def test_settings_beyond_the_limits_are_refused(text: str, tmp_path: Path) -> None:
    """As a file, in a file that a file names, as a group, as a flag, and as the words of a number."""
    (tmp_path / "bad.yaml").write_text(text)
    (tmp_path / "config.yaml").write_text(f"config: {tmp_path}/bad.yaml\n")
    (tmp_path / "number.yaml").write_text(f"tuning: {{rate: {text if text[0] == chr(34) else chr(34) * 2}}}\n")
    for arguments in (
        ["--config", str(tmp_path / "bad.yaml")],
        ["--config", str(tmp_path / "config.yaml")],
        ["--config", str(tmp_path / "number.yaml")],
        ["--tuning", str(tmp_path / "bad.yaml")],
        ["--tuning", text],
        ["--tuning.rate", text],
    ):
        with pytest.raises(ValueError, match=r"levels deep|200,000 values|within what|does not fit") as found:
            parse_command("x", "", Training, ["--out", "o", *arguments])
        assert len(str(found.value)) < 1500


def test_a_list_is_no_group_of_settings(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("tuning: [1]\n")
    for arguments in (["--config", str(tmp_path / "config.yaml")], ["--tuning", "[1]"], ["--tuning", "[]"]):
        with pytest.raises(ValueError, match=r"group|load config"):
            parse_command("x", "", Training, ["--out", "o", *arguments])


def test_words_of_a_question_may_look_like_yaml() -> None:
    for words in ("[" * 60, "a: 1\na: 2", "9" * 100, "*b", "{[", "- - -", "caf\u00e9 \U0001f6f0"):
        assert parse_command("x", "", Words, [words])[0].text == words
    with pytest.raises(ValueError, match="text is not valid Unicode"):
        parse_command("x", "", Words, ["\ud800"])


def test_a_pipe_or_a_hole_is_no_file_of_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "hole.yaml").touch()
    os.truncate(tmp_path / "hole.yaml", 1 << 36)
    for name, said in (("pipe", "pipe.yaml"), ("hole", "larger than")):
        out = ["--out", str(tmp_path / "out")]
        assert main(["build", "--config", str(tmp_path / f"{name}.yaml"), "--scenes", str(tmp_path), *out]) == 2
        assert said in capsys.readouterr().err


def test_a_setting_that_is_newer_than_a_folder_counts_as_its_default(tmp_path: Path) -> None:
    same_or_refuse(tmp_path / "c.yaml", {"task_settings": {"out": "here"}})
    for size, fits in ((3, True), (4, False)):
        now = {"task_settings": plain(Outer(inner=Inner(size=size)))}
        if fits:
            same_or_refuse(tmp_path / "c.yaml", now, groups={"task_settings": Outer})
        else:
            with pytest.raises(ValueError, match=r"task_settings.inner.size = 3"):
                same_or_refuse(tmp_path / "c.yaml", now, groups={"task_settings": Outer})
    with pytest.raises(ValueError, match="was made with"):
        same_or_refuse(tmp_path / "c.yaml", now)


@pytest.mark.parametrize("line", ["tile_px: null", "tile_px: true", "out: null", "overlap: x1", "tile_px: 1e9998"])
def test_a_file_cannot_set_a_number_to_nothing(line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "build.yaml").write_text(f"{line}\n")
    out = [] if line.startswith("out") else ["--out", str(tmp_path / "out")]
    assert main(["build", "--config", str(tmp_path / "build.yaml"), "--scenes", str(tmp_path), *out]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_recipe_cannot_set_a_number_to_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.yaml").write_text("base: demo\npretrain: {batch_size: 1e9998}\n")
    recipe = ["--recipe", str(tmp_path / "mine.yaml")]
    assert main(["pretrain", *recipe, "--dataset", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "batch_size must be a whole number, not '1e9998'" in capsys.readouterr().err
