"""Counts and boxes of an annotator: written whole, never changed, verified."""

import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from knowlip.dataset import Dataset, verify
from knowlip.dataset.mentions import MENTION_SCHEMA, MENTIONS, Box, Mention, by_tile, mention
from tests.annotators.tiny_dataset import build_tiny_dataset

SHIP = Box("ship", 0.1, 0.2, 0.05, 0.02)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Dataset(build_tiny_dataset(tmp_path / "dataset"))


def test_come_back_as_written_and_grow_without_change(dataset: Dataset) -> None:
    assert dataset.mentions().empty
    assert list(dataset.mentions().columns) == MENTION_SCHEMA.names
    first = [mention("l0-m1", "rules", {"ship": 2, "aircraft": 0}, [SHIP]), mention("l0", "rules", {}, [])]
    dataset.write_mentions(first)
    assert by_tile(dataset.mentions()) == {"l0-m1": Mention("l0-m1", "rules", {"ship": 2, "aircraft": 0}, (SHIP,))}
    before = (dataset.path / MENTIONS).read_bytes()
    dataset.write_mentions(first)
    assert (dataset.path / MENTIONS).read_bytes() == before
    dataset.write_mentions([mention("l0", "rules", {"ship": 5}, [])])
    assert list(dataset.mentions()["tile_id"]) == ["l0", "l0-m1"]
    with pytest.raises(ValueError, match="other counts or boxes of l0 already"):
        dataset.write_mentions([mention("l0", "rules", {"ship": 6}, [])])
    with pytest.raises(ValueError, match="'stranger', which"):
        dataset.write_mentions([mention("stranger", "rules", {"ship": 6}, [])])
    verify(dataset.path)


def test_no_file_where_nothing_is_mentioned(dataset: Dataset) -> None:
    dataset.write_mentions([mention("l0", "rules", {}, [])])
    assert not (dataset.path / MENTIONS).exists()


@pytest.mark.parametrize("counts", [{"ship": -1}, {"ship": True}, {"ship": 1.5}, {"": 2}])
def test_impossible_counts(counts: dict) -> None:
    with pytest.raises(ValueError, match="counts are whole numbers"):
        mention("t", "rules", counts, [])


@pytest.mark.parametrize(
    "box",
    [
        Box("ship", -0.1, 0, 0.5, 0.5),
        Box("ship", 0.9, 0, 0.5, 0.5),
        Box("ship", 0, 0, 0, 0.5),
        Box("", 0, 0, 0.5, 0.5),
        Box("ship", 12, 30, 40, 50),
        Box("ship", math.nan, 0, 0.1, 0.1),
    ],
)
def test_impossible_boxes(box: Box) -> None:
    with pytest.raises(ValueError, match="fractions of the tile"):
        mention("t", "rules", {}, [box])


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("l0", "a", "{}", "[]"), ("l0", "a", "{}", "[]")], "twice"),
        ([("nobody", "a", "{}", "[]")], "'nobody', which is no accepted tile"),
        ([("l0", "a", '{"ship": -3}', "[]")], "whole numbers"),
        ([("l0", "a", "{}", '[["ship", 0.5]]')], "cannot be read"),
        ([("l0", "a", "ship", "[]")], "cannot be read"),
        ([("l0", "a", "{}", None)], "null"),
    ],
)
def test_verify_names_the_defect(dataset: Dataset, rows: list, said: str) -> None:
    table = pa.Table.from_pylist([dict(zip(MENTION_SCHEMA.names, row)) for row in rows], MENTION_SCHEMA)
    pq.write_table(table, dataset.path / MENTIONS)
    with pytest.raises(ValueError, match=said):
        verify(dataset.path)
