"""Statistics: numbers against direct counts, pictures and the page are there and whole."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from knowlip.base.parquet import write_table
from knowlip.cli import main
from knowlip.dataset import Dataset
from knowlip.dataset.annotations import annotation, write_annotations, write_masks
from knowlip.dataset.layout import TRUTH, TRUTH_SCHEMA
from knowlip.dataset.png import encode_png
from knowlip.dataset.stats import DatasetStatsConfig, dataset_stats, show
from knowlip.dataset.stats_numbers import EDGES
from tests.annotators.tiny_dataset import SIDE, build_tiny_dataset


def with_truth(folder: Path) -> Path:
    """One family with truth: an airport in the large tile, water in one medium tile, nothing known of the others."""
    import pyarrow as pa

    build_tiny_dataset(folder)
    plane = {
        "category": "aircraft",
        "type": "fighter",
        "heading_deg": 0.0,
        "x": 0.5,
        "y": 0.5,
        "width_m": 12.0,
        "polygon": [[0.5, 0.5], [0.52, 0.5], [0.52, 0.51], [0.5, 0.51]],
    }
    objects = [{**plane, "length_m": length} for length in (16.0, 16.0, 64.0)]
    truth = {
        "l0": {"objects": objects, "shares": {"runway": 0.06, "grass": 0.2, "field": 0.74}},
        "l0-m0": {"objects": objects[:1], "shares": {"water": 0.9, "wood": 0.1}},
    }
    rows = {"tile_id": sorted(truth), "truth": [json.dumps(truth[name]) for name in sorted(truth)]}
    write_table(folder / TRUTH, pa.table(rows, TRUTH_SCHEMA))
    return folder


def test_numbers(tmp_path):
    numbers = dataset_stats(DatasetStatsConfig(with_truth(tmp_path / "data")))
    assert (numbers["tiles"], numbers["accepted"], numbers["scenes"], numbers["located"]) == (21, 21, 1, 21)
    assert numbers["area_km2"] == pytest.approx(1.024**2, abs=1e-3)
    by = numbers["by"]
    assert by["sensor"] == {"sim-c": 21}
    assert by["resolution_m"] == {"1": 21}
    assert by["polarisation"] == {"HH": 21}
    assert by["scale"] == {"large": 1, "medium": 4, "small": 16}
    assert by["country"] == {"Netherlands": 21}
    assert by["scene_type"] == {"unknown": 19, "airport": 1, "water": 1}
    assert numbers["sensor_scale"] == {"sim-c": {"large": 1, "medium": 4, "small": 16}}
    targets = numbers["targets"]
    assert (targets["objects"], targets["tiles_with"], targets["per_tile"]) == (3, 1, {"3": 1})
    plane = targets["categories"]["aircraft"]
    assert plane["types"] == {"fighter": 3}
    assert plane["length_m"] == {"count": 3, "low": 16.0, "median": 16.0, "high": pytest.approx(59.2)}
    assert sum(plane["lengths_m"]) == 3
    assert plane["lengths_m"][int(np.searchsorted(EDGES, 16.5)) - 1] == 2
    assert json.loads(json.dumps(numbers, allow_nan=False)) == numbers


def test_labels_without_metres_and_masks(tmp_path):
    folder = build_tiny_dataset(tmp_path / "data")
    codes = np.full((SIDE, SIDE), 255, np.uint8)
    codes[: SIDE // 2] = 1
    codes[0] = 0
    info = json.loads((folder / "dataset.json").read_text())
    info["annotations"] = write_annotations(folder, [annotation("l0", 0, "ship", (0.25, 0.25, 0.5, 0.25))])
    info |= {"masks": write_masks(folder, [("l0", encode_png(codes))]), "mask_classes": {"0": "land", "1": "sea"}}
    (folder / "dataset.json").write_text(json.dumps(info))
    numbers = dataset_stats(DatasetStatsConfig(folder))
    assert numbers["mask_shares"] == {
        "land": pytest.approx(2 / SIDE, abs=1e-4),
        "sea": pytest.approx(1 - 2 / SIDE, abs=1e-4),
    }
    assert numbers["by"]["scene_type"]["sea"] == 1
    spacing = Dataset(folder).tiles("train", "large")["metres_per_pixel"][0]
    ship = numbers["targets"]["categories"]["ship"]
    assert ship["length_m"]["median"] == pytest.approx(0.5 * SIDE * spacing, abs=0.01)
    assert ship["width_m"]["median"] == pytest.approx(0.25 * SIDE * spacing, abs=0.01)
    assert numbers["targets"]["box_px"]["median"] == pytest.approx(SIDE * np.sqrt(0.125), abs=0.01)


def test_pictures_and_page(tmp_path, capsys):
    folder = with_truth(tmp_path / "data")
    result = dataset_stats(DatasetStatsConfig(folder, tmp_path / "out", "A <title>"))
    pictures = ["distribution.png", "examples.png", "map.png", "overview.png", "targets.png"]
    assert result["files"] == sorted([*pictures, "stats.html", "stats.json"])
    for name in pictures:
        with Image.open(tmp_path / "out" / name) as image:
            assert min(image.size) > 300
            assert image.convert("L").getextrema()[0] < 60, "something is drawn"
    page = (tmp_path / "out" / "stats.html").read_text()
    assert "A &lt;title&gt;" in page
    assert not re.search(r'(src|href)="(?!data:)', page), "nothing is loaded from elsewhere"
    assert page.count("<svg") == 2 + 8 + 3, "two sizes of the map, eight distributions, three charts of targets"
    assert page.count("<img") == page.count("data:image/webp;base64,") == 3, "examples: a family"
    assert json.loads((tmp_path / "out" / "stats.json").read_text())["accepted"] == 21
    assert "aircraft: 3, length 16 to 59 m" in show(result)
    again = tmp_path / "again"
    assert main(["dataset", "stats", str(folder), "--out", str(again), "--title", "A <title>"]) == 0
    assert "21 accepted" in capsys.readouterr().out
    for path in again.iterdir():
        assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes(), "same data, same bytes"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("")
    with pytest.raises(ValueError, match="holds something else"):
        dataset_stats(DatasetStatsConfig(folder, tmp_path / "other"))
