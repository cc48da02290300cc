"""Words for targets and for land cover, in labels, masks and models' answers."""

import pytest

from knowlip.language.categories import category_of, cover_of


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
