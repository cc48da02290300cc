"""The data set: other people's tools open it, texts are revisions, and every defect is found."""

import hashlib
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely

from knowlip.dataset import TEXT_SCHEMA, Dataset, layout, publish_texts, verify
from knowlip.dataset.layout import INDEX_SCHEMA
from knowlip.dataset.png import encode_png
from knowlip.dataset.shards import ShardSample, read_shard, write_shard
from knowlip.dataset.writer import index_table
from knowlip.language.captions import compose_text
from knowlip.language.marks import Sentence, joined
from knowlip.tiles.build import BuildConfig, build
from tests.dataset.text_rows import text_rows
from tests.tiles.rasters import four_places


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    scenes = four_places(folder / "scenes")
    build(BuildConfig([scenes], folder / "out", windows_m=(256.0, 128.0, 64.0), tile_px=64, workers=1))
    return folder / "out"


@pytest.fixture
def copy(original, tmp_path) -> Path:
    shutil.copytree(original, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize(
    ("footprints", "expected"),
    [
        ([(10, 1, 11, 2), (-20, 0, -19, 1)], [-20, 0, 11, 2]),
        ([(179.9, 1, 180, 2), (-180, 0, -179.8, 1)], [-180, 0, 180, 2]),  # on both sides, nothing cut in two
        (
            [(179.7, 1, 179.8, 2), [(179.9, 1, 180, 2), (-180, 1, -179.8, 2)], (-179.8, 0, -179.5, 1)],
            [179.7, 0, -179.5, 2],
        ),
        ([[(179.9, 1, 180, 2), (-180, 1, -179.8, 2)], (-90, 0, -89, 1), (140, 0, 141, 1)], [140, 0, -89, 2]),
        ([[(179.9, 1, 180, 2), (-180, 1, -90, 2)], (-95, 0, 20, 1), (10, 0, 180, 1)], [-180, 0, 180, 2]),
    ],
    ids=["two places", "touching", "across the date line", "and far from it", "all around"],
)
def test_the_box_of_all_footprints(footprints: list, expected: list[float]) -> None:
    """GeoParquet's bbox: west > east where footprints cross the date line, never a box around the globe for them."""
    shapes = [
        shapely.MultiPolygon([shapely.box(*part) for part in one]) if isinstance(one, list) else shapely.box(*one)
        for one in footprints
    ]
    row: dict = {field.name: "" for field in INDEX_SCHEMA}
    for field in INDEX_SCHEMA:
        if pa.types.is_list(field.type):
            row[field.name] = []
        elif field.type in (pa.float64(), pa.int32()):
            row[field.name] = 0
        elif field.type == pa.bool_():
            row[field.name] = False
    table = index_table([row | {"geometry": shapely.to_wkb(shape, hex=True)} for shape in shapes])
    bbox = json.loads(table.schema.metadata[b"geo"])["columns"]["geometry"]["bbox"]
    assert bbox == pytest.approx(expected)


def texts_of(dataset: Dataset, words: str = "text") -> pd.DataFrame:
    tiles = dataset.tiles()["tile_id"]
    return text_rows(tiles, "ground", lambda tile, slot, _: f"{words} {slot} of {tile}")


def test_webdataset_opens_it(original):
    import webdataset

    dataset = Dataset(original)
    urls = [str(path) for path in sorted((original / "shards").glob("train-*.tar"))]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False).decode("l8"))
    tiles = dataset.tiles("train")
    assert sorted(sample["__key__"] for sample in samples) == list(tiles["tile_id"])
    for sample in samples[:5]:
        np.testing.assert_array_equal(sample["png"], dataset.image(sample["__key__"]))
        assert sample["json"]["tile_id"] == sample["__key__"]
        assert sample["txt"] == ""
    kinds = {tuple((key, type(value).__name__) for key, value in sorted(s["json"].items())) for s in samples}
    assert len(kinds) == 1, "constant keys and types"


def test_geopandas_opens_it(original):
    import geopandas

    frame = geopandas.read_parquet(original / "index.parquet")
    assert frame.crs.to_epsg() == 4326
    assert frame.geometry.is_valid.all()
    assert len(frame) == 84
    root = frame[frame["scale"] == "large"].iloc[0]
    kids = frame[frame["parent_id"] == root["tile_id"]]
    union = kids.geometry.union_all()
    assert union.symmetric_difference(root.geometry).area < 1e-3 * root.geometry.area
    assert root.geometry.contains(geopandas.points_from_xy([root["lon"]], [root["lat"]])[0])
    assert not frame.select_dtypes(["object", "str"]).drop(columns="datetime", errors="ignore").isna().any().any()


def test_duckdb_opens_it(original):
    import duckdb

    query = (
        f"SELECT split, scale, count(*) FROM '{original / 'index.parquet'}' WHERE accepted GROUP BY ALL ORDER BY ALL"
    )
    rows = duckdb.sql(query).fetchall()
    expected = Dataset(original).tiles().groupby(["split", "scale"]).size()
    assert {(split, scale): n for split, scale, n in rows} == expected.to_dict()
    everything = duckdb.sql(f"SELECT * FROM '{original / 'index.parquet'}'").df()
    assert len(everything) == 84
    assert everything["proj:transform"].map(len).eq(6).all()


def test_reader(original):
    dataset = Dataset(original)
    assert dataset.fingerprint == dataset.info["fingerprint"]
    assert len(dataset.index) == 84
    tiles = dataset.tiles()
    assert list(tiles["tile_id"]) == sorted(tiles["tile_id"])
    assert "geometry" not in tiles
    assert set(dataset.tiles("test", "small")["scale"]) == {"small"}
    some = list(tiles["tile_id"][[5, 0, 3]])
    for name, image in zip(some, dataset.images(some), strict=True):
        assert (image.shape, image.dtype) == ((64, 64), np.uint8)
        np.testing.assert_array_equal(image, dataset.image(name))
    assert dataset.truth() == {}
    assert dataset.revisions() == []
    assert dataset.texts().empty
    for call in (lambda: dataset.tiles("holdout"), lambda: dataset.tiles(scale="huge"), lambda: dataset.image("x")):
        with pytest.raises(ValueError, match=r"holdout|huge|no accepted tile"):
            call()


def test_texts_are_revisions(copy):
    dataset = Dataset(copy)
    first = texts_of(dataset)
    dataset.write_texts(first.sample(frac=1, random_state=0))
    dataset.write_texts(first)  # the same again is no change
    pd.testing.assert_frame_equal(dataset.texts(), first, check_dtype=False)
    with pytest.raises(ValueError, match="never overwritten"):
        dataset.write_texts(texts_of(dataset, "other"))
    decided = first.iloc[[9, 2]].assign(text="better", decision="rewritten", delta_itc=0.25)
    assert dataset.append_revision(decided, "run-a") == 1
    assert dataset.append_revision(decided, "run-a") == 1, "a repeated step does not double"
    assert dataset.append_revision(first.iloc[[2]].assign(text="best"), "run-a") == 2
    assert dataset.revisions() == [0, 1, 2]
    assert list(dataset.texts()["text"].iloc[[2, 9]]) == ["best", "better"]
    assert list(dataset.texts(1)["text"].iloc[[2, 9]]) == ["better", "better"]
    assert list(dataset.texts(0)["text"]) == list(first["text"])
    assert set(dataset.texts(1)["run"]) == {"annotate", "run-a"}
    with pytest.raises(ValueError, match="no text revision 7"):
        dataset.texts(7)
    verify(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.drop(columns="margin"), "lack the column 'margin'"),
        (lambda rows: rows.assign(tile_id="nobody"), "name tile 'nobody'"),
        (lambda rows: pd.concat([rows, rows]), "same tile and slot twice"),
        (lambda rows: rows.assign(slot=rows["slot"] + 1), "slot that is not 1 to 8"),
        (lambda rows: rows.assign(reason=None), "null string"),
        (lambda rows: rows.assign(confidence="high"), "wrong type"),
        (lambda rows: rows.assign(marks="3 visual count"), "marks that do not fit: sub-text 1 of"),
        (lambda rows: rows.assign(marks=[f"{len(text)} geo" for text in rows["text"]]), "its first sentence on 'geo'"),
    ],
)
def test_texts_that_do_not_fit_are_refused(copy, change, message):
    dataset = Dataset(copy)
    with pytest.raises(ValueError, match=message):
        dataset.write_texts(change(texts_of(dataset)))
    assert dataset.revisions() == []
    with pytest.raises(ValueError, match="annotate it before"):
        dataset.append_revision(texts_of(dataset), "run")


def test_rows_without_marks_have_none(copy):
    dataset = Dataset(copy)
    dataset.write_texts(texts_of(dataset))
    table = pq.read_table(copy / "texts.parquet").drop_columns("marks")
    pq.write_table(table.append_column("marks", pa.nulls(len(table), pa.string())), copy / "texts.parquet")
    assert (dataset.texts()["marks"] == "").all()
    verify(copy)


def test_marks_follow_their_texts(copy):
    dataset = Dataset(copy)
    text, marks = joined([Sentence("three ships", "visual", "count"), Sentence("Rotterdam lies near", "geo", "city")])
    dataset.write_texts(texts_of(dataset).assign(text=text, marks=marks))
    rows = dataset.texts()
    assert set(rows["marks"]) == {marks} == {"11 visual count; 32 geo city"}
    with pytest.raises(ValueError, match="The rows of run 'a' hold marks that do not fit"):
        dataset.append_revision(rows.iloc[:1].assign(text="four ships"), "a")
    assert dataset.append_revision(rows.iloc[:1].assign(text="four ships", marks=""), "a") == 1
    assert dataset.append_revision(rows.iloc[:1].drop(columns="marks").assign(text="five ships"), "b") == 2
    assert dataset.texts()["marks"].to_list()[:2] == ["", marks]
    verify(copy)


def test_texts_of_former_versions_have_no_marks(copy):
    dataset = Dataset(copy)
    rows = texts_of(dataset)
    dataset.write_texts(rows)
    path = copy / "texts.parquet"
    pq.write_table(pq.read_table(path).drop_columns("marks"), path)
    before = path.read_bytes()
    assert (dataset.texts()["marks"] == "").all()
    assert dataset.texts().columns.to_list() == TEXT_SCHEMA.names
    dataset.write_texts(rows)  # the same again is no change
    assert dataset.append_revision(rows.iloc[:1].assign(text="new"), "run") == 1
    assert dataset.texts()["text"].to_list()[0] == "new"
    verify(copy)
    assert path.read_bytes() == before


def test_texts_in_parts_are_those_at_once(copy, tmp_path):
    shutil.copytree(copy, tmp_path / "other")
    whole, parts = Dataset(copy), Dataset(tmp_path / "other")
    rows = texts_of(whole)
    cut = [rows.iloc[: 8 * 5], rows.iloc[8 * 5 : 8 * 6], rows.iloc[8 * 6 :]]
    whole.write_texts(rows)
    with pytest.raises(ValueError, match="in the order of their names"):
        parts.write_texts(lambda: iter(cut[::-1]))
    with pytest.raises(ValueError, match="in the order of their names"):
        parts.write_texts(lambda: iter([rows.iloc[:4], rows.iloc[4:]]))
    assert not parts.revisions()
    parts.write_texts(lambda: iter(cut))
    pd.testing.assert_frame_equal(whole.texts(), parts.texts())
    parts.write_texts(lambda: iter(cut[:1] + cut[1:]))  # the same again is no change
    parts.write_texts(rows)
    for other in (cut[:-1], [*cut[:-1], cut[-1].assign(text="other")]):
        with pytest.raises(ValueError, match="other texts already"):
            parts.write_texts(lambda other=other: iter(other))


@pytest.mark.parametrize("order", ["as written", "shuffled", "a row twice"])
def test_captions_are_composed_from_rows_in_any_order(copy, order):
    """A file of other hands: rows that are not by tile and slot; of two of one slot the last counts."""
    dataset = Dataset(copy)
    rows = texts_of(dataset)
    dataset.write_texts(rows)
    table = pq.read_table(copy / "texts.parquet")
    expected = {tile: compose_text(mine) for tile, mine in dataset.texts().groupby("tile_id")}
    if order == "shuffled":
        table = table.take(pa.array(np.random.default_rng(0).permutation(len(table))))
    if order == "a row twice":
        former = table.slice(0, 1).set_column(table.column_names.index("text"), "text", pa.array(["former"]))
        table = pa.concat_tables([former.cast(table.schema), table])
    pq.write_table(table, copy / "texts.parquet")
    dataset.publish_texts()
    found = {sample.key: sample.txt.decode() for path in (copy / "shards").glob("*.tar") for sample in read_shard(path)}
    assert found == expected


def test_publish_writes_captions_and_nothing_else(copy):
    dataset = Dataset(copy)
    before = {sample.key: sample for path in (copy / "shards").iterdir() for sample in read_shard(path)}
    image = dataset.image(next(iter(before)))
    rows = texts_of(dataset, "a much longer text than before")
    dataset.write_texts(rows)
    result = dataset.publish_texts()
    assert result == {"revision": 0, "shards": 4, "rewritten": 4}
    for path in (copy / "shards").iterdir():
        for sample in read_shard(path):
            assert (sample.png, sample.json) == (before[sample.key].png, before[sample.key].json)
            assert sample.txt.decode() == compose_text(rows[rows["tile_id"] == sample.key])
    np.testing.assert_array_equal(dataset.image(next(iter(before))), image)
    assert publish_texts(copy)["rewritten"] == 0, "idempotent"
    marks = {path: path.stat().st_mtime_ns for path in (copy / "shards").iterdir()}
    dataset.append_revision(rows.iloc[:1].assign(text="new"), "run")
    assert publish_texts(copy, 1)["rewritten"] == 1
    assert sum(path.stat().st_mtime_ns != mark for path, mark in marks.items()) == 1
    verify(copy)
    assert publish_texts(copy, 0)["rewritten"] == 1
    verify(copy)


def test_publish_after_an_interruption_finishes(copy, monkeypatch):
    dataset = Dataset(copy)
    dataset.write_texts(texts_of(dataset))
    calls = []

    def failing(path, samples):
        calls.append(path)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return write_shard(path, samples)

    monkeypatch.setattr("knowlip.dataset.texts.write_shard", failing)
    with pytest.raises(KeyboardInterrupt):
        publish_texts(copy)
    monkeypatch.undo()
    verify(copy)
    assert publish_texts(copy)["rewritten"] == 2
    verify(copy)


def test_shards_are_reproducible(tmp_path):
    png = encode_png(np.arange(4096, dtype=np.uint8).reshape(64, 64))
    samples = [ShardSample("a-l000x000", png, b"text", b"{}"), ShardSample("b", png, b"", b"{}")]
    assert write_shard(tmp_path / "1.tar", samples) == 2
    write_shard(tmp_path / "2.tar", iter(samples))
    assert (tmp_path / "1.tar").read_bytes() == (tmp_path / "2.tar").read_bytes()
    assert list(read_shard(tmp_path / "1.tar")) == samples


def rewrite_index(folder: Path, change) -> None:
    table = pq.read_table(folder / "index.parquet")
    frame = table.to_pandas()
    change(frame)
    pq.write_table(table.from_pandas(frame, table.schema, preserve_index=False), folder / "index.parquet")


def set_value(column, row, value):
    def change(frame):
        frame.loc[row, column] = value

    return change


def first_shard(folder: Path) -> Path:
    return sorted((folder / "shards").iterdir())[0]


def cut_shard(folder):
    data = first_shard(folder).read_bytes()
    first_shard(folder).write_bytes(data[: len(data) // 2])


def flip_pixel(folder):
    samples = list(read_shard(first_shard(folder)))
    samples[0] = samples[0]._replace(png=encode_png(np.zeros((64, 64), np.uint8)))
    write_shard(first_shard(folder), samples)


def drop_part(folder):
    with tarfile.open(first_shard(folder)) as tar:
        members = [(member, tar.extractfile(member)) for member in tar.getmembers()]
        with tarfile.open(folder / "new.tar", "w") as new:
            for member, stream in members[1:]:
                new.addfile(member, stream)
    (folder / "new.tar").replace(first_shard(folder))


def change_key(folder):
    samples = list(read_shard(first_shard(folder)))
    record = json.loads(samples[0].json)
    record["extra"] = 1
    samples[0] = samples[0]._replace(json=json.dumps(record).encode())
    write_shard(first_shard(folder), samples)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_shard, r"alpha.*\.tar is a damaged shard|\.tar is a damaged shard"),
        (lambda f: first_shard(f).write_bytes(b"x" * 2000), "damaged shard"),
        (lambda f: first_shard(f).unlink(), r"\.tar is missing"),
        (lambda f: shutil.copy(first_shard(f), f / "shards" / "train-x-000000.tar"), "belongs to no tile"),
        (flip_pixel, "differs from its hash"),
        (drop_part, "must stand together"),
        (change_key, "other keys"),
        (lambda f: (f / "index.parquet").write_bytes(b"PAR1 nonsense"), "index.parquet is not a readable parquet"),
        (lambda f: (f / "index.parquet").unlink(), "index.parquet does not exist"),
        (lambda f: (f / "dataset.json").write_text("{"), "dataset.json is not valid JSON"),
        (lambda f: (f / "dataset.json").write_text('{"format_version": 99}'), "format version 99"),
        (lambda f: (f / "dataset.json").unlink(), "not a finished data set"),
        (lambda f: rewrite_index(f, set_value("lon", 3, 0.5)), "fingerprint differs"),
        (lambda f: rewrite_index(f, set_value("tile_id", 3, "alpha-l000x000")), "twice"),
        (lambda f: rewrite_index(f, set_value("scale", 3, "tiny")), "cannot be 'tiny'"),
        (lambda f: rewrite_index(f, set_value("parent_id", 3, "bravo-l000x000")), "does not fit its parent"),
        (lambda f: rewrite_index(f, set_value("block", slice(None), "one")), "block one is in more than one split"),
        (lambda f: (f / "texts.parquet").write_bytes(b"no"), "texts.parquet is not a readable parquet"),
    ],
)
def test_verify_names_every_defect(copy, damage, message):
    damage(copy)
    with pytest.raises(ValueError, match=message):
        verify(copy)


def test_verify_finds_ground_in_two_splits(copy):
    def overlap(frame):
        rows = frame.index[frame["scale"] == "large"]
        train = next(row for row in rows if frame.at[row, "split"] == "train")
        test = next(row for row in rows if frame.at[row, "split"] == "test")
        frame.at[test, "geometry"] = frame.at[train, "geometry"]

    rewrite_index(copy, overlap)
    with pytest.raises(ValueError, match="overlap on the ground but are in different splits"):
        verify(copy)


def test_damaged_shards_are_named_when_reading(copy):
    cut_shard(copy)
    dataset = Dataset(copy)
    name = first_shard(copy).name
    tile = dataset.tiles().query("shard == @name")["tile_id"].iloc[-1]
    with pytest.raises(ValueError, match=name):
        dataset.image(tile)


def test_the_fingerprint_is_that_of_whole_columns(original, monkeypatch):
    """Worked out in parts, of an index in any order, it is the hash of whole columns that it is said to be."""
    table = Dataset(original).table
    digest = hashlib.sha256()
    for field in INDEX_SCHEMA:
        values = table.sort_by("tile_id")[field.name]
        digest.update(f"{field.name}\n".encode())
        if field.type == pa.float64():
            numbers = [np.nan if value is None else value for value in values.to_pylist()]
            digest.update(np.where(np.isnan(numbers), np.nan, numbers).astype("<f8").tobytes())
        elif field.type == pa.binary():
            digest.update(b"".join(hashlib.sha256(value or b"").digest() for value in values.to_pylist()))
        else:
            kind = pa.int64() if pa.types.is_timestamp(field.type) else field.type
            digest.update(json.dumps(values.cast(kind).to_pylist()).encode())
    monkeypatch.setattr(layout, "_AT_ONCE", 4)
    mixed = table.take(np.random.default_rng(0).permutation(len(table)))
    assert layout.fingerprint(table) == layout.fingerprint(mixed) == digest.hexdigest() == Dataset(original).fingerprint
    assert layout.fingerprint(table.slice(0, 0)) == layout.fingerprint(INDEX_SCHEMA.empty_table())
