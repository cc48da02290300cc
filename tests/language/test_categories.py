"""Words for targets and for land cover, in labels, masks and models' answers."""

import pytest

from knowlip.language.categories import category_of, cover_of, is_kind_of, unknown, untyped
from knowlip.language.phrases import plural


def test_names_of_classes() -> None:
    names = ("Sea", "flooded", "Land", "urban land", "High-Density Urban", "unlabeled")
    assert [cover_of(name) for name in names] == ["water", "water", "land", "built-up", "built-up", None]
    assert cover_of("mountain") == "mountain"
    assert [category_of(name) for name in ("Ship", "airplane", "storage_tank")] == ["ship", "aircraft", "storage tank"]


@pytest.mark.parametrize(
    ("name", "stored"),
    [("Vessels", "ship"), ("AIRPLANE", "aircraft"), ("aircraft", "aircraft"), ("storage_tank ", "storage tank")],
)
def test_one_word_for_a_category(name: str, stored: str) -> None:
    assert category_of(name) == stored


@pytest.mark.parametrize(
    ("name", "cover"),
    [
        ("non-flooded", "land"),
        ("Road non-flooded", "road"),
        ("building_flooded", "water"),
        ("not water", "land"),
        ("non forest", "non forest"),
        ("not built-up", "not built up"),
        ("urban", "built-up"),
    ],
)
def test_a_class_is_not_what_its_name_denies(name: str, cover: str) -> None:
    assert cover_of(name) == cover


@pytest.mark.parametrize(
    ("name", "other", "wanted"),
    [
        ("warship", "ship", True),
        ("fishing ship", "ship", True),
        ("tanker", "ship", True),
        ("fighter", "aircraft", True),
        ("car ferry", "ship", True),
        ("helicopter", "aircraft", True),
        ("helicopter", "ship", False),
        ("aircraft carrier", "ship", True),
        ("aircraft carrier", "aircraft", False),
        ("ship", "ship", False),
        ("ship", "warship", False),
        ("harbor", "ship", False),
    ],
)
def test_kinds_of_a_category(name: str, other: str, wanted: bool) -> None:
    assert is_kind_of(name, other) is wanted


def test_plurals_are_english() -> None:
    said = {"ship": "ships", "ferry": "ferries", "bus": "buses", "quay": "quays", "glass": "glasses", "box": "boxes"}
    said |= {"hovercraft": "hovercraft", "buildings": "buildings", "A320": "A320", "": "", "Boeing": "Boeing"}
    assert {name: plural(name) for name in said} == said


def test_names_that_do_not_say_what_a_thing_is() -> None:
    names = ["", "other", "Other_Ship", "other types", "Unspecified", "unknown vessel", "ignored regions", "misc"]
    assert all(map(untyped, names))
    assert [name for name in names if unknown(name)] == ["", "Unspecified", "unknown vessel"]
    assert not any(map(untyped, ("ship", "other cargo", "motherships", "another ship")))
    assert [cover_of(name) for name in ("other", "Unclassified", "other land")] == [None] * 3
