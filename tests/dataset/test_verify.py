"""Verify finds copies across splits, nulls and broken lines of text revisions, and tells near copies."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from knowlip.base.files import sha256
from knowlip.dataset import Dataset, verify
from knowlip.dataset.layout import fingerprint
from knowlip.dataset.png import encode_png
from knowlip.dataset.shards import read_shard, write_shard
from knowlip.dataset.texts import TEXT_SCHEMA, revision_path
from knowlip.dataset.verify import VerifyConfig, show, verify_dataset
from knowlip.tiles.build import BuildConfig, build
from tests.dataset.test_dataset import texts_of
from tests.tiles.rasters import four_places


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("verify")
    scenes = four_places(folder / "scenes")
    build(BuildConfig([scenes], folder / "out", windows_m=(256.0, 128.0, 64.0), tile_px=64, workers=1))
    dataset = Dataset(folder / "out")
    first = texts_of(dataset)
    dataset.write_texts(first)
    dataset.append_revision(first.iloc[:3].assign(text="new"), "run-a")
    dataset.append_revision(first.iloc[3:5].assign(text="newer"), "run-b", parent=0)
    return folder / "out"


@pytest.fixture
def copy(original, tmp_path) -> Path:
    shutil.copytree(original, tmp_path / "copy")
    return tmp_path / "copy"


def replace_tile(folder: Path, tile_id: str, pixels: np.ndarray) -> None:
    """Put other pixels in the place of a tile, with all hashes right, as a builder with a fault would."""
    table = pq.read_table(folder / "index.parquet")
    rows = table.to_pandas()
    at = rows.index[rows["tile_id"] == tile_id][0]
    path = folder / "shards" / rows.at[at, "shard"]
    samples = list(read_shard(path))
    number = next(i for i, sample in enumerate(samples) if sample.key == tile_id)
    png = encode_png(pixels)
    record = {**json.loads(samples[number].json), "png_sha256": sha256(png)}
    samples[number] = samples[number]._replace(png=png, json=json.dumps(record).encode())
    write_shard(path, samples)
    rows.at[at, "png_sha256"] = sha256(png)
    changed = table.from_pandas(rows, table.schema, preserve_index=False)
    pq.write_table(changed, folder / "index.parquet")
    info = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps({**info, "fingerprint": fingerprint(changed)}))


def tile_of(folder: Path, split: str, number: int = 0) -> str:
    return str(Dataset(folder).tiles(split)["tile_id"].iloc[number])


def test_what_it_says(original):
    result = verify_dataset(VerifyConfig(original))
    tiles = Dataset(original).tiles()
    assert result["scales"] == tiles["scale"].value_counts().to_dict()
    assert result["splits"] == {split: int((tiles["split"] == split).sum()) for split in ("train", "val", "test")}
    assert sum(result["rejected"].values()) == 84 - len(tiles)
    assert result["duplicates"] == {"groups": 0, "tiles": 0}
    assert [(entry["revision"], entry["parent"], entry["rows"]) for entry in result["lineage"]] == [
        (0, -1, len(tiles) * 8),
        (1, 0, 3),
        (2, 0, 2),
    ]
    text = show(result)
    assert "is sound: 84 tiles" in text
    assert "revision 2 (on revision 0), 2 rows" in text
    assert "near_duplicates" not in result


def test_copies(copy):
    pixels = Dataset(copy).image(tile_of(copy, "train"))
    replace_tile(copy, tile_of(copy, "train", 1), pixels)
    assert verify(copy)["duplicates"] == {"groups": 1, "tiles": 2}
    replace_tile(copy, tile_of(copy, "test"), pixels)
    with pytest.raises(ValueError, match=r"\(t\w+\) are identical: the splits leak, in 1 group"):
        verify(copy)


def test_near_copies(copy):
    assert verify(copy, near=True)["near_duplicates"]["pairs"] == 0
    name, other = tile_of(copy, "train"), tile_of(copy, "test")
    pixels = np.random.default_rng(0).integers(0, 220, (8, 8)).repeat(8, 0).repeat(8, 1).astype(np.uint8) + 10
    replace_tile(copy, name, pixels)
    soft = Image.fromarray(pixels).resize((48, 48), Image.Resampling.BILINEAR).resize((64, 64)).point(lambda v: v + 9)
    replace_tile(copy, other, np.asarray(soft))
    near = verify(copy, near=True)["near_duplicates"]
    assert near["pairs"] == 1
    assert near["between"] == {"train-test": 1}
    assert near["first"][0]["tiles"] == [name, other]
    assert near["first"][0]["correlation"] > 0.98


def change_index(column: str, value) -> object:
    def damage(folder: Path) -> None:
        table = pq.read_table(folder / "index.parquet")
        at = table.schema.get_field_index(column)
        values = [value, *table[column].to_pylist()[1:]]
        pq.write_table(
            table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type)),
            folder / "index.parquet",
        )

    return damage


def change_texts(number: int, **columns) -> object:
    def damage(folder: Path) -> None:
        path = revision_path(folder, number)
        rows = pq.read_table(path).to_pandas()
        for column, value in columns.items():
            rows.loc[rows.index[0], column] = value
        pq.write_table(pa.Table.from_pandas(rows, TEXT_SCHEMA, preserve_index=False), path)

    return damage


def name_cog(folder: Path) -> None:
    change_index("cog", "cog/x.tif")(folder)
    info = json.loads((folder / "dataset.json").read_text())
    mark = fingerprint(pq.read_table(folder / "index.parquet"))
    (folder / "dataset.json").write_text(json.dumps({**info, "fingerprint": mark}))


def set_counts(folder: Path) -> None:
    info = json.loads((folder / "dataset.json").read_text())
    info["counts"]["scales"]["small"] += 1
    (folder / "dataset.json").write_text(json.dumps(info))


def enlarge(folder: Path) -> None:
    replace_tile(folder, tile_of(folder, "train"), np.full((65, 64), 7, np.uint8))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (change_index("city", None), "a null in column 'city'"),
        (change_index("proj:shape", None), "a null in column 'proj:shape'"),
        (change_index("lon", float("nan")), "only one of footprint and place"),
        (change_index("geometry", None), "only one of footprint and place"),
        (name_cog, r"cog/x\.tif is missing"),
        (set_counts, "scales"),
        (enlarge, "has not the size that the index says"),
        (change_texts(1, tile_id="nobody"), "names nobody"),
        (change_texts(1, revision=7), "holds rows of revision 7"),
        (change_texts(1, slot=2), "decides twice on one sub-text"),
        (change_texts(2, parent=1), "a revision has one"),
        (change_texts(1, marks="2 visual"), "holds marks that do not fit"),
        (lambda folder: revision_path(folder, 1).unlink(), "is incomplete"),
    ],
)
def test_every_defect_is_named(copy, damage, message):
    damage(copy)
    with pytest.raises(ValueError, match=message):
        verify(copy)


def test_a_revision_of_texts_that_nobody_wrote(copy):
    path = revision_path(copy, 0)
    rows = pq.read_table(path).to_pandas()
    pq.write_table(pa.Table.from_pandas(rows.iloc[1:], TEXT_SCHEMA, preserve_index=False), path)
    with pytest.raises(ValueError, match="decides on sub-text 1 of"):
        verify(copy)
