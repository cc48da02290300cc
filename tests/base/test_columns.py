"""Rows of a terminal stand below their head."""

from knowlip.base.columns import in_columns


def test_every_cell_starts_or_ends_where_its_head_does() -> None:
    lines = in_columns(["", "match", "tile"], [["1", "0.25", "a"], ["10", "-0.125", "longer"]], right=(0, 1))
    assert lines == [
        "     match  tile",
        " 1    0.25  a",
        "10  -0.125  longer",
    ]


def test_no_rows_have_no_head() -> None:
    assert in_columns(["a", "b"], []) == []
