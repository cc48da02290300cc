"""Annotations and masks: read and written whole, derived from truth, every defect found."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from knowlip.dataset import Dataset, verify
from knowlip.dataset.annotations import (
    annotation,
    annotations_of,
    rotated_box,
    table_sha256,
    write_annotations,
    write_masks,
)
from knowlip.dataset.layout import ANNOTATION_SCHEMA
from knowlip.dataset.png import encode_png
from tests.annotators.tiny_dataset import SIDE, build_tiny_dataset


def set_info(folder: Path, **entries) -> None:
    info = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps({**info, **entries}))


def with_labels(folder: Path) -> Path:
    build_tiny_dataset(folder)
    rows = [
        annotation("l0", 1, "ship", (0.1, 0.2, 0.3, 0.4), source="test"),
        annotation("l0", 0, "ship", (0.5, 0.5, 0.5, 0.5), corners=[0.5, 0.5, 1, 0.5, 1, 1, 0.5, 1], difficult=True),
    ]
    codes = np.zeros((SIDE, SIDE), np.uint8)
    codes[5:] = 1
    codes[0] = 255
    masks = write_masks(folder, [("l0", encode_png(codes)), ("l0-m1", encode_png(1 - codes % 2))])
    set_info(folder, annotations=write_annotations(folder, rows), masks=masks, mask_classes={"0": "sea", "1": "land"})
    return folder


def test_written_and_read(tmp_path):
    data = Dataset(with_labels(tmp_path / "data"))
    rows = data.annotations()
    assert list(rows.columns) == ANNOTATION_SCHEMA.names
    assert list(rows["annotation_id"]) == ["l0-0000", "l0-0001"]
    assert list(rows["difficult"]) == [True, False]
    assert rows["length_m"].isna().all()
    assert data.mask_classes == {0: "sea", 1: "land"}
    assert sorted(data.masks.places) == ["l0", "l0-m1"]
    assert (data.masks.mask("l0")[5:] == 1).all()
    with pytest.raises(ValueError, match="no mask of l0-m2"):
        data.masks.mask("l0-m2")
    result = verify(data.path)
    assert (result["annotations"], result["masks"]) == (2, 2)


def test_none_is_an_empty_table(tmp_path):
    data = Dataset(build_tiny_dataset(tmp_path / "data"))
    assert data.annotations().empty
    assert list(data.annotations().columns) == ANNOTATION_SCHEMA.names
    assert data.masks.places == {}
    assert (verify(data.path)["annotations"], verify(data.path)["masks"]) == (0, 0)


def test_from_truth():
    ship = {
        "category": "ship",
        "type": "tanker",
        "length_m": 100.0,
        "width_m": 20.0,
        "heading_deg": 30.0,
        "x": 0.5,
        "y": 0.5,
    }
    turned = [[0.4, 0.5], [0.5, 0.4], [0.6, 0.5], [0.5, 0.6]]
    hull = [[0.9, 0.2], [1.1, 0.2], [1.15, 0.25], [1.1, 0.3], [0.9, 0.3]]
    truth = {"b": {"objects": [{**ship, "polygon": hull}]}, "a": {"objects": [{**ship, "polygon": turned}]}, "c": {}}
    first, second = annotations_of(truth)
    assert (first["tile_id"], second["tile_id"]) == ("a", "b")
    assert [first[key] for key in ("x", "y", "width", "height")] == pytest.approx([0.4, 0.4, 0.2, 0.2])
    assert first["corners"] == pytest.approx(np.ravel(turned))
    assert (first["type"], first["length_m"], first["heading_deg"]) == ("tanker", 100.0, 30.0)
    assert [second[key] for key in ("x", "width")] == pytest.approx([0.9, 0.1]), "the box ends with the tile"
    corners = np.reshape(second["corners"], (4, 2))
    assert [corners.min(axis=0).tolist(), corners.max(axis=0).tolist()] == [
        pytest.approx([0.9, 0.2]),
        pytest.approx([1.15, 0.3]),
    ]


def test_rotated_box_of_a_turned_rectangle():
    angle = np.radians(30)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    grid = np.stack(np.meshgrid(np.linspace(0, 6, 7), np.linspace(0, 2, 3)), axis=-1).reshape(-1, 2) @ turn.T
    corners = rotated_box(grid)
    sides = sorted(np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1))
    assert sides == pytest.approx([2, 2, 6, 6])
    assert rotated_box(np.array([[0.0, 0.0], [2.0, 0.0]])).tolist() == [[0, 0], [2, 0], [2, 0], [0, 0]]


def test_hash_is_of_the_values(tmp_path):
    folder = with_labels(tmp_path / "data")
    table = pq.read_table(folder / "annotations.parquet")
    pq.write_table(table, folder / "annotations.parquet", compression="none", row_group_size=1)
    verify(folder)
    assert table_sha256(table) == Dataset(folder).info["annotations"]["sha256"]


def change(column: str, value) -> object:
    def damage(folder: Path) -> None:
        rows = pq.read_table(folder / "annotations.parquet").to_pandas()
        rows[column] = pd.Series([value, *rows[column].iloc[1:]])
        table = pq.read_table(folder / "annotations.parquet").from_pandas(rows, ANNOTATION_SCHEMA, preserve_index=False)
        pq.write_table(table, folder / "annotations.parquet")

    return damage


def masks_of(*masks: tuple[str, np.ndarray]) -> object:
    return lambda folder: write_masks(folder, [(name, encode_png(codes)) for name, codes in masks])


def spoil_mask(folder: Path) -> None:
    rows = pq.read_table(folder / "masks.parquet").to_pylist()
    rows[0]["png"] = rows[1]["png"]
    table = pq.read_table(folder / "masks.parquet")
    pq.write_table(table.from_pylist(rows, table.schema), folder / "masks.parquet")


PLAIN = np.ones((SIDE, SIDE), np.uint8)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (change("tile_id", "nobody"), "names nobody, which is not an accepted tile"),
        (change("annotation_id", "l0-0001"), "l0-0001 comes twice"),
        (change("category", ""), "has no category"),
        (change("x", 0.6), "outside its tile"),
        (change("height", 0.0), "an empty box"),
        (change("corners", [0.1, 0.2]), "not four points"),
        (change("polygon", [0.1, 0.2, 0.3]), "no outline of points"),
        (change("polygon", [0.1, 0.2, 0.3, 0.4, 0.5, float("nan")]), "not numbers"),
        (change("type", "tanker"), "its hash differs"),
        (change("source", None), "a null in column 'source'"),
        (lambda folder: (folder / "annotations.parquet").unlink(), "annotations.parquet is missing"),
        (lambda folder: (folder / "masks.parquet").write_bytes(b"no"), "masks.parquet is not a readable parquet"),
        (spoil_mask, "the mask of l0 differs from its hash"),
        (masks_of(("l0", PLAIN), ("l0", PLAIN)), "holds l0 twice"),
        (masks_of(("x", PLAIN)), "not an accepted tile"),
        (masks_of(("l0", PLAIN[1:])), "has not the size of its tile"),
        (masks_of(("l0", PLAIN * 7)), "the code 7, which names no class"),
        (masks_of(("l0", PLAIN)), "holds 1 masks, but dataset.json says 2"),
    ],
)
def test_verify_names_every_defect(tmp_path, damage, message):
    folder = with_labels(tmp_path / "data")
    damage(folder)
    with pytest.raises(ValueError, match=message):
        verify(folder)
