"""Data sets that anybody may have written: refused with one sentence at open, and nothing lands elsewhere."""

import json
import multiprocessing
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from knowlip.base.parquet import read_parquet
from knowlip.dataset import Dataset
from knowlip.dataset.export.run import FORMATS, DatasetExportConfig, export_dataset
from tests.benchmark import numbered


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbered.build(tmp_path_factory.mktemp("hostile") / "ds").path


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original, tmp_path / "ds")
    return tmp_path / "ds"


def change(path: Path, name: str, value: Any) -> None:
    """Put a value into the first row of a column."""
    table = pq.read_table(path)
    at = table.schema.get_field_index(name)
    values = [value, *table[name].to_pylist()[1:]]
    pq.write_table(table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type)), path)


OUTSIDE = ("../../../gone", "/tmp/gone", "a/b", "a\\b", "a\x00b", "..", "A b", "x" * 300)


@pytest.mark.parametrize("value", OUTSIDE)
@pytest.mark.parametrize("column", ["tile_id", "split", "shard", "cog", "scene_id", "root_id", "block", "png_sha256"])
def test_what_becomes_a_path_is_a_plain_name(copy: Path, tmp_path: Path, column: str, value: str) -> None:
    if column in ("scene_id", "root_id", "block") and value in ("..", "A b"):
        pytest.skip("names that become no path of their own may hold these")
    change(copy / "index.parquet", column, value)
    with pytest.raises(ValueError, match=f"index.parquet.*{column}"):
        Dataset(copy).tiles()
    for format in FORMATS:
        with pytest.raises(ValueError, match=column):
            export_dataset(DatasetExportConfig(copy, format, tmp_path / "out" / "export"))
    assert sorted(path.name for path in tmp_path.iterdir()) in (["ds"], ["ds", "out"])


@pytest.mark.parametrize(
    ("column", "value"),
    [("scale", "huge"), ("proj:shape", []), ("proj:shape", [0, 4]), ("proj:shape", [1 << 40, 4]), ("tile_id", None)],
)
def test_values_that_cannot_be(copy: Path, column: str, value: Any) -> None:
    change(copy / "index.parquet", column, value)
    with pytest.raises(ValueError, match=column):
        Dataset(copy).tiles()


def test_an_index_of_other_rows(copy: Path) -> None:
    table = pq.read_table(copy / "index.parquet")
    for rows, why in ((table.slice(0, 0), "no tile"), (pa.concat_tables([table, table.slice(0, 1)]), "twice")):
        pq.write_table(rows, copy / "index.parquet")
        with pytest.raises(ValueError, match=why):
            Dataset(copy).tiles()
    for data in (b"", b"PAR1", b"PAR1" * 9):
        (copy / "index.parquet").write_bytes(data)
        with pytest.raises(ValueError, match=r"index\.parquet is not a readable parquet file"):
            Dataset(copy).tiles()


@pytest.mark.parametrize(
    "change",
    [
        lambda info: [],
        lambda info: None,
        lambda info: {},
        lambda info: {**info, "format_version": "2"},
        lambda info: {**info, "fingerprint": "<script>"},
        lambda info: {**info, "fingerprint": None},
        lambda info: {**info, "counts": []},
        lambda info: {**info, "counts": {"tiles": -1}},
        lambda info: {**info, "published_revision": "0"},
        lambda info: {**info, "mask_classes": ["a"]},
        lambda info: {**info, "mask_classes": {"../1": "a"}},
        lambda info: {**info, "mask_classes": {"1": 2}},
        lambda info: {**info, "masks": 1.5},
        lambda info: {**info, "annotations": {"rows": "1"}},
        lambda info: {name: value for name, value in info.items() if name != "counts"},
    ],
)
def test_facts_of_another_shape(copy: Path, change: Callable[[Any], Any]) -> None:
    path = copy / "dataset.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(ValueError, match=r"dataset\.json|format version"):
        Dataset(copy)


@pytest.mark.parametrize("text", ["", "[" * 20_000, '{"a":' * 20_000, "nonsense", '{"format_version": 2, "a": 1e999}'])
def test_facts_that_are_no_json(copy: Path, text: str) -> None:
    (copy / "dataset.json").write_text(text)
    with pytest.raises(ValueError, match=r"dataset\.json"):
        Dataset(copy)


@pytest.mark.parametrize(
    "truth",
    [
        "",
        "[]",
        "null",
        "[" * 5000,
        '{"objects": 3}',
        '{"objects": [1]}',
        '{"objects": [{"category": "ship", "type": "x", "heading_deg": 1, "length_m": 2, "width_m": 3}]}',
        '{"objects": [{"category": 1, "polygon": [[0, 0], [0, 1], [1, 1]]}]}',
        '{"shares": []}',
        '{"shares": {"water": "all"}}',
        '{"grid": {}}',
        '{"grid": [1]}',
        '{"tanks": -1}',
        '{"tanks": 1e999}',
    ],
)
def test_truth_of_another_shape(copy: Path, truth: str) -> None:
    tile = Dataset(copy).tiles()["tile_id"][0]
    pq.write_table(pa.table({"tile_id": [tile], "truth": [truth]}), copy / "truth.parquet")
    with pytest.raises(ValueError, match=f"truth of {tile}"):
        Dataset(copy).truth()


@pytest.mark.parametrize(("column", "value"), [("slot", 0), ("slot", 99), ("text", None), ("tile_id", None)])
def test_texts_of_another_shape(copy: Path, column: str, value: Any) -> None:
    change(copy / "texts.parquet", column, value)
    with pytest.raises(ValueError, match=r"texts\.parquet"):
        Dataset(copy).texts(0)


@pytest.mark.parametrize("kind", ["word", "words in lists", "nothing"])
def test_a_small_table_does_not_grow_without_end(tmp_path: Path, kind: str) -> None:
    path, count = tmp_path / "bomb.parquet", 3_000_000
    if kind == "nothing":
        column = pa.nulls(200_000_000 // 4, pa.float64())
    else:
        column = pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), pa.array(["x" * 100_000]))
        if kind == "words in lists":
            column = pa.ListArray.from_arrays(pa.array(range(0, count + 1, 1000), pa.int32()), column)
    pq.write_table(pa.table({"a": column}), path, store_schema=False, compression="zstd")
    assert path.stat().st_size < 1 << 20
    with pytest.raises(ValueError, match="times the file"):
        read_parquet(path)


def test_words_that_repeat_are_read_as_they_are(tmp_path: Path) -> None:
    words = [f"{'long ' * 2000}{number % 9}" for number in range(20_000)]
    table = pa.table({"a": words, "b": [["HH", "VV"]] * len(words), "c": [None, *range(len(words) - 1)]})
    pq.write_table(table, tmp_path / "sound.parquet", compression="none", row_group_size=500)
    assert read_parquet(tmp_path / "sound.parquet").equals(table)


def append_many(path: Path, run: str, count: int) -> None:
    data = Dataset(path)
    rows = data.texts(0).iloc[:2]
    for number in range(count):
        data.append_revision(rows.assign(text=f"{run} {number}"), f"{run}-{number}", parent=0)


def test_processes_append_revisions_at_once(copy: Path) -> None:
    before = Dataset(copy).revisions()
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=append_many, args=(copy, name, 5)) for name in ("ada", "bob", "cyd")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    data = Dataset(copy)
    assert data.revisions() == list(range(len(before) + 15))
    runs = {data.find_revision(f"{name}-{number}") for name in ("ada", "bob", "cyd") for number in range(5)}
    assert runs == set(range(len(before), len(before) + 15))
    assert not [path for path in (copy / "revisions").iterdir() if path.name.startswith(".")]
