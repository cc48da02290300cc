"""Lists and flags as people write them, read alike for every command."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import pytest

from knowlip.base.parsing import parse_command


@dataclass(frozen=True)
class Listed:
    """Lists of every kind."""

    sensors: tuple[str, ...] = ()
    sides: list[float] | None = None
    three: tuple[int, int, int] = (1, 2, 3)
    ends: tuple[Literal["a", "b"], ...] = ()
    files: tuple[Path, ...] = ()
    questions_per_type: int = 1


def read(*arguments: str) -> Listed:
    return parse_command("x", "", Listed, arguments)[0]


@pytest.mark.parametrize("words", [["A-1", "b.2"], ["A-1,b.2"], ["[A-1,b.2]"], ["A-1,", "b.2"], ['["A-1", "b.2"]']])
def test_every_way_to_write_a_list_means_the_same(words: list[str]) -> None:
    assert tuple(read("--sensors", *words).sensors) == ("A-1", "b.2")


@pytest.mark.parametrize("words", [["1", "2.5"], ["1,2.5"], ["[1,2.5]"]])
def test_numbers_too(words: list[str]) -> None:
    assert read("--sides", *words).sides == [1, 2.5]


def test_lists_of_a_length_and_of_few_values() -> None:
    assert tuple(read("--three", "4,5,6").three) == (4, 5, 6)
    assert tuple(read("--ends=a,b").ends) == ("a", "b")
    with pytest.raises(ValueError, match="ends"):
        read("--ends=a,c")


@pytest.mark.parametrize("text", ["a=1,b=2", "port, with ships", "[1,2],[3]", "x=[1,2]"])
def test_texts_keep_their_commas(text: str) -> None:
    assert tuple(read("--sensors", text, "other").sensors) == (text, "other")


def test_a_name_with_a_comma_is_given_as_yaml() -> None:
    assert tuple(read("--sensors", '["a,b", c]').sensors) == ("a,b", "c")


def test_paths_are_parted_only_where_the_parts_are_files(tmp_path: Path) -> None:
    one, two, both = tmp_path / "one", tmp_path / "two", tmp_path / "one,two"
    one.touch()
    two.touch()
    assert tuple(read("--files", f"{one},{two}").files) == (one, two)
    both.touch()
    assert tuple(read("--files", str(both)).files) == (both,)
    assert tuple(read("--files", "none,here").files) == (Path("none,here"),)


@pytest.mark.parametrize("flag", ["--questions", "--questions_per", "--question", "--sens"])
def test_parts_of_a_flag_are_refused(flag: str) -> None:
    with pytest.raises(ValueError, match=flag.removeprefix("--")):
        read(flag, "3")


def test_a_list_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="given twice"):
        read("--sensors", "a", "--sensors", "b")


@dataclass(frozen=True)
class _Asked:
    """An image and a question that may be left out."""

    POSITIONAL: ClassVar = ("image", "question")

    image: Path
    question: str = ""
    scale: float | None = None
    refuse: bool = True


@pytest.mark.parametrize(
    "line",
    [
        ["a.png", "how many?", "--scale", "3"],
        ["a.png", "--scale", "3", "how many?"],
        ["--scale", "3", "a.png", "--json", "how many?"],
        ["--scale=3", "a.png", "--refuse", "true", "how many?"],
    ],
)
def test_words_may_stand_anywhere_among_the_flags(line: list[str]) -> None:
    """A word that may be left out is not taken for absent where a flag stands before it."""
    found, _ = parse_command("x", "", _Asked, line)
    assert (found.image, found.question, found.scale) == (Path("a.png"), "how many?", 3.0)
