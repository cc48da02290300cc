"""The index: rows of scenes in order, however they lie on disk, and the same fingerprint in parts as at once."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from knowlip.base import parquet
from knowlip.dataset import Dataset, index
from knowlip.dataset.layout import INDEX_SCHEMA, fingerprint, fingerprint_of_file
from knowlip.dataset.writer import index_table


def rows_of(names: list[str]) -> pa.Table:
    """Rows whose every value tells which tile it is of."""
    rows = []
    for name in names:
        number = int(name.split("-")[1])
        row: dict = {}
        for field in INDEX_SCHEMA:
            kind = field.type
            if pa.types.is_list(kind):
                row[field.name] = [str(number)] * (number % 3) if kind.value_type == pa.string() else [number + 1, 2]
            else:
                row[field.name] = {"double": number / 3, "bool": number % 2 == 0}.get(str(kind), f"{number % 4}")
        row |= {"scale": "small", "shard": "train-a-000000.tar", "cog": "", "png_sha256": ""}
        row |= {"tile_id": name, "datetime": f"2025-01-{1 + number % 28:02d}" if number % 5 else "", "split": "train"}
        box = shapely.box(number / 100, 0, number / 100 + 0.1, 0.1)
        row |= {
            "geometry": shapely.to_wkb(box, hex=True) if number % 7 else "",
            "lon": None if number % 7 == 0 else 1.0,
        }
        rows.append(row)
    return index_table(rows)


@pytest.mark.parametrize("scenes", [1, 4])
def test_rows_come_in_order_wherever_they_lie(scenes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "GROUP", 31)
    monkeypatch.setattr(index, "_KEPT", 2)
    names = [f"t-{number:04d}" for number in np.random.default_rng(0).permutation(300)]
    everything = rows_of(names)
    paths = []
    for scene in range(scenes):
        paths.append(tmp_path / f"{scene}.parquet")
        pq.write_table(everything.take(list(range(scene, 300, scenes))), paths[-1], row_group_size=17)
    sources = index.IndexSources(paths)
    index.write_index(tmp_path / "index.parquet", sources)
    found, expected = pq.read_table(tmp_path / "index.parquet"), everything.sort_by("tile_id")
    without = found.drop_columns(["lon"])  # Arrow holds no NaN for equal; the fingerprint is of all columns
    assert without.equals(expected.drop_columns(["lon"]))
    assert pq.ParquetFile(tmp_path / "index.parquet").num_row_groups == 10
    assert json.loads(found.schema.metadata[b"geo"]) == json.loads(expected.schema.metadata[b"geo"])
    assert fingerprint_of_file(tmp_path / "index.parquet") == fingerprint(everything) == fingerprint(found)
    assert sources.counts == index.count(expected)
    assert (sources.counts["tiles"], sources.counts["accepted"]) == (300, 150)


def test_a_file_out_of_order_has_the_fingerprint_of_its_rows(tmp_path: Path) -> None:
    table = rows_of(["t-0002", "t-0001", "t-0003"])
    pq.write_table(table, tmp_path / "index.parquet", row_group_size=2)
    assert fingerprint_of_file(tmp_path / "index.parquet") == fingerprint(table)


def test_no_rows_at_all(tmp_path: Path) -> None:
    pq.write_table(INDEX_SCHEMA.empty_table(), tmp_path / "scene.parquet")
    sources = index.IndexSources([tmp_path / "scene.parquet"])
    assert sources.counts["tiles"] == 0
    index.write_index(tmp_path / "index.parquet", sources)
    assert len(pq.read_table(tmp_path / "index.parquet")) == 0
    assert fingerprint_of_file(tmp_path / "index.parquet") == fingerprint(INDEX_SCHEMA.empty_table())


def test_columns_are_read_alone_in_order_and_checked(tmp_path: Path) -> None:
    table = rows_of([f"t-{number:04d}" for number in np.random.default_rng(1).permutation(90)])
    data = placed(table, tmp_path / "data")
    whole = table.sort_by("tile_id")
    some = data.columns(("block", "tile_id"))
    assert some.column_names == ["block", "tile_id"]
    assert some.equals(whole.select(["block", "tile_id"]))
    kept = data.columns(("tile_id", "proj:shape"), accepted=True)
    assert kept.equals(whole.filter(whole["accepted"]).select(["tile_id", "proj:shape"]))
    few = data.tiles("train", "small", columns=("tile_id", "lon"))
    assert "_accepted" not in data.__dict__, "the whole table was read"
    every = Dataset(data.path).tiles("train", "small")
    pd.testing.assert_frame_equal(few, every[["tile_id", "lon"]])
    assert list(every.columns) == [name for name in INDEX_SCHEMA.names if name != "geometry"]
    assert every["tile_id"].is_monotonic_increasing
    assert len(every) == 45
    data.tiles()
    pd.testing.assert_frame_equal(data.tiles("train", "small", columns=("tile_id", "lon")), few)
    with pytest.raises(ValueError, match="no geometry"):
        data.tiles(columns=["geometry"])
    for wrong in (["lom"], "lon"):
        with pytest.raises(ValueError, match="The index has no column 'l"):
            data.tiles(columns=wrong)
    with pytest.raises(ValueError, match="The index has no column 'lom'"):
        data.columns(["lom"])


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [("block", None, "row 70 has a null in column 'block'"), ("shard", "../x", "the 'shard' of row 70 cannot be")],
)
def test_what_is_wrong_is_told_by_its_row(
    column: str, value: str | None, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "_ROWS_AT_ONCE", 32)
    table = rows_of([f"t-{number:04d}" for number in range(90)])
    values = table[column].to_pylist()
    values[70] = value
    at = table.column_names.index(column)
    data = placed(table.set_column(at, table.schema.field(at), pa.array(values, pa.string())), tmp_path / "data")
    with pytest.raises(ValueError, match=sentence):
        data.tiles(columns=[column])
    with pytest.raises(ValueError, match=sentence):
        data.tiles()


def test_a_column_that_grows_beyond_all_bounds_is_refused_where_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One word repeated costs nothing on disk; the columns beside it can be read."""
    monkeypatch.setattr(parquet, "ALWAYS", 1 << 16)
    monkeypatch.setattr(parquet, "MOST_GROWTH", 1)
    table = rows_of([f"t-{number:04d}" for number in range(90)])
    at = table.column_names.index("city")
    data = placed(table.set_column(at, table.schema.field(at), pa.array(["x" * 10_000] * 90)), tmp_path / "data")
    assert len(data.tiles(columns=["lon"])) == 45
    with pytest.raises(ValueError, match="its values take"):
        data.tiles(columns=["lon", "city"])


def test_a_tile_that_is_there_twice_is_refused_whatever_is_read(tmp_path: Path) -> None:
    table = rows_of(["t-0001", "t-0002", "t-0001"])
    with pytest.raises(ValueError, match="twice"):
        placed(table, tmp_path / "data").tiles(columns=["lon"])


def placed(table: pa.Table, folder: Path) -> Dataset:
    """A data set of this index alone, its rows in the order given."""
    folder.mkdir()
    pq.write_table(table, folder / "index.parquet", row_group_size=40)
    info = {"format_version": 2, "fingerprint": "0" * 64, "counts": {}, "published_revision": -1}
    (folder / "dataset.json").write_text(json.dumps(info))
    return Dataset(folder)


def test_an_index_is_made_without_pandas(tmp_path: Path) -> None:
    """Every process that cuts a scene would import it: half a second and 50 MB."""
    pq.write_table(rows_of(["t-0002", "t-0001"]), tmp_path / "scene.parquet")
    script = (
        "import sys; from pathlib import Path; from knowlip.dataset import index, layout\n"
        "index.write_index(Path('index.parquet'), index.IndexSources([Path('scene.parquet')]))\n"
        "layout.fingerprint_of_file(Path('index.parquet')); print('pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
