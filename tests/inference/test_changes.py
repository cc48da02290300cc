"""Places of an archive that two dates show otherwise: pairs of the same ground, and what unchanged ground comes to."""

import json
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely

from knowlip.base.files import file_sha256
from knowlip.cli import main
from knowlip.inference.archive.adding import IndexConfig, index
from knowlip.inference.archive.changes import paired, search_changes, show_changes
from knowlip.inference.calibration import FORMAT
from knowlip.inference.settings import SearchConfig
from knowlip.models.hub import ANSWERS
from knowlip.scenes import SceneOverrides
from tests.inference.test_predict import shades, write
from tests.inference.tiny_model import tiny_model


def test_each_window_is_held_against_the_next_day_that_shares_its_ground() -> None:
    """Against looking at all pairs."""
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 4, (120, 2)) + rng.choice([0.0, 0.05, 0.3], (120, 2))
    sides = rng.choice([1.0, 0.5], 120)
    shapes = np.array([shapely.box(x, y, x + side, y + side) for (x, y), side in zip(corners, sides)], object)
    shapes[5] = None
    table = pd.DataFrame(
        {
            "date": rng.choice(["2024-01-01", "2024-01-01T10:00:00", "2024-02-01", "2024-03-01", ""], 120),
            "window_m": 1000 * sides,
            "sensor": rng.choice(["sim-x", "sim-c"], 120),
            "polarisation": rng.choice(["VV", "VH"], 120),
        }
    )
    pairs, left = paired(table, shapes, 0.8)
    assert pairs
    expected = {}
    for one in range(120):
        best: tuple[str, float, int] | None = None
        for other in range(120):
            if shapes[one] is None or shapes[other] is None:
                continue
            same = sides[one] == sides[other]
            same &= all(table[name][one] == table[name][other] for name in ("sensor", "polarisation"))
            days = table["date"][one][:10], table["date"][other][:10]
            share = shapes[one].intersection(shapes[other]).area / shapes[one].union(shapes[other]).area
            if same and all(days) and days[1] > days[0] and share >= 0.8:
                better = best is None or (days[1], -share) < best[:2]
                best = (days[1], -share, other) if better else best
        if best is not None:
            expected[one] = (best[0], round(-best[1], 4))
    found = {pair.earlier: (table["date"][pair.later][:10], pair.overlap) for pair in pairs}
    assert found == expected
    assert left["without a place"] == 1
    assert left["without a date"] == int((table["date"].eq("") & pd.Series([one is not None for one in shapes])).sum())


def test_what_nobody_knows_is_not_the_same_and_each_window_is_counted_once() -> None:
    """Unknown polarisations are no pair; the later window of a pair is not counted among those left out, and neither
    is the one that an earlier window shares too little with left for 'no other day'."""
    box = shapely.box
    shapes = np.array([box(0, 0, 1, 1)] * 2 + [box(5, 0, 6, 1)] * 2 + [box(5.5, 0, 6.5, 1), box(9, 9, 10, 10)], object)
    table = pd.DataFrame(
        {
            "date": ["2024-01-01", "2024-02-01", "2024-01-01", "2024-02-01", "2024-03-01", "2024-01-01"],
            "window_m": 1000.0,
            "sensor": "sim-x",
            "polarisation": ["", "", "VV", "VV", "VV", "VV"],
        }
    )
    pairs, left = paired(table, shapes, 0.8)
    assert [tuple(pair[:2]) for pair in pairs] == [(2, 3)]
    assert left == {
        "of which nobody knows sensor and polarisation": 2,
        "that share less than 80% of their ground with another day": 1,
        "whose ground no other day shows at this scale with this sensor, polarisation and orbit": 1,
    }
    assert sum(left.values()) + 2 * len(pairs) == len(table)
    # From opposite directions of the orbit the ground looks different without a change; unknown ones may pair.
    for later, count in (("descending", 0), ("ascending", 1), ("", 1)):
        passes = table.assign(orbit=["", "", "ascending", later, later, ""])
        assert len(paired(passes, shapes, 0.8)[0]) == count
    nothing, left = paired(table.assign(sensor=""), shapes, 0.8)
    assert (nothing, left) == ([], {"of which nobody knows sensor and polarisation": 6})
    nothing, left = paired(table.assign(window_m=np.nan, polarisation="VV"), shapes, 0.8)
    assert (nothing, left) == ([], {"without a size on the ground": 6})


def measure(model: Path, high: float) -> None:
    """What unchanged ground comes to, beside the weights."""
    changes = {"high": high, "median": high / 4, "level": 0.95, "places": 40, "windows": 160}
    said = {
        "format": FORMAT,
        "weights_sha256": file_sha256(model / "model.safetensors"),
        **{"kinds": {}, "absent": {}, "let_through": 0},
        "changes": {**changes, "other_answers": {"count": {"ship": 0.25}}},
    }
    (model / ANSWERS).write_text(json.dumps(said))


@pytest.fixture
def archive(tmp_path: Path) -> dict[str, Any]:
    """Two days of one place: the first window of the second day shows other ground."""
    model, out = tiny_model(tmp_path / "model"), tmp_path / "archive"
    rng = np.random.default_rng(1)
    ground = shades(512, 768).astype(float)
    first = (ground * rng.gamma(40, 1 / 40, ground.shape)).astype(np.uint16) + 1
    second = first.copy()
    second[:256, :256] = np.sort(first[:256, :256].ravel()).reshape(256, 256)  # as bright, and nothing is where it was
    scenes = [
        write(tmp_path / "scenes" / "port_20240101.tif", first, 4.0),
        write(tmp_path / "scenes" / "port_20240601.tif", second, 4.0),
    ]
    same: dict[str, Any] = {"model": model, "device": "cpu"}
    read = SceneOverrides(sensor="sim-x", polarisation="VV", raster_band=1)
    index(IndexConfig(scenes=scenes, out=out, metres_per_pixel=4.0, read=read, **same))
    return {"dataset": out, "changed": True, **same}


def test_what_changed_is_found_and_the_rest_is_noise(archive: dict[str, Any], tmp_path: Path) -> None:
    found = search_changes(SearchConfig(**archive, top=10))
    assert found["pairs"] == 6
    assert found["windows"] == 12
    assert (found["noise"]["places"], found["noise"]["high"], found["noise"]["other_answers"]) == (0, None, None)
    assert found["differ"] == 6  # all are listed, none is called changed
    assert all(one["above_noise"] is None for one in found["changes"])
    assert "was not measured for this model" in show_changes(found)
    measure(archive["model"], high=max(one["distance"] for one in found["changes"]) / 2)
    found = search_changes(SearchConfig(**archive, top=10))
    assert (found["noise"]["places"], found["noise"]["windows"], found["noise"]["above"]) == (40, 160, 1)
    assert found["differ"] == 1
    first = found["changes"][0]
    assert first["later"].endswith("0x0")
    assert first["above_noise"]
    assert first["earlier_date"][:10] == "2024-01-01"
    assert first["later_date"][:10] == "2024-06-01"
    assert first["overlap"] == pytest.approx(1)
    assert first["earlier_answer"] is None
    shown = show_changes(found)
    assert shown.split("\n")[0].split()[:3] == ["distance", "noise", "answers"]
    assert shown.split("\n")[1].split()[2] == "above"
    assert "1 of 6 places seen on two days differ by more than unchanged ground" in shown
    assert "160 windows of 40 places on two days" in shown
    assert "above that line" not in shown
    many: Any = {**found, "noise": {**found["noise"], "above": 4}}
    assert "4 of 6 places lie above that line" in show_changes(many)
    measure(archive["model"], high=first["distance"] / 2)
    for ending in ("geojson", "csv", "parquet", "html"):
        search_changes(SearchConfig(**archive, top=10, out=tmp_path / f"changes.{ending}"))
    features = json.loads((tmp_path / "changes.geojson").read_text())["features"]
    assert len(features) == len(found["changes"]) == found["differ"]
    assert len(geopandas.read_parquet(tmp_path / "changes.parquet")) == len(pd.read_csv(tmp_path / "changes.csv"))
    page = (tmp_path / "changes.html").read_text()
    assert page.count("data:image/png;base64,") == 2 * len(features)
    assert "http" not in page.replace("http://www.w3.org", "")


def test_answers_of_two_days_are_compared(archive: dict[str, Any]) -> None:
    found = search_changes(SearchConfig(**archive, question="How many ships are visible?", top=10))
    assert found["noise"]["other_answers"] is None
    assert "What unchanged ground comes to was not measured" in show_changes(found)
    measure(archive["model"], high=0.1)
    found = search_changes(SearchConfig(**archive, question="How many ships are visible?", top=10))
    assert found["noise"]["other_answers"] == 0.25
    assert "another answer in 25%" in show_changes(found)
    other = search_changes(SearchConfig(**archive, question="What is the main landform?", top=10))
    assert "was not measured for this question" in show_changes(other)
    assert all(one["earlier_answer"] != one["later_answer"] for one in found["changes"])
    assert found["differ"] <= found["pairs"] == 6


def test_filters_hold_and_what_cannot_be_compared_is_told(
    archive: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="was seen on two days"):
        search_changes(SearchConfig(**archive, after="2024-02-01"))
    with pytest.raises(ValueError, match="ends in"):
        search_changes(SearchConfig(**archive, out=tmp_path / "changes.xls"))
    for wrong in ({"text": "ships"}, {"overlap": 0.0}):
        with pytest.raises(ValueError, match=r"--changed|--overlap"):
            SearchConfig(**{**archive, **wrong})
    for swapped in ("2024-02-01", "2024-06-01"):
        with pytest.raises(ValueError, match="nothing lies between"):
            SearchConfig(dataset=tmp_path, text="ships", after="2024-06-01", before=swapped)
    with pytest.raises(ValueError, match="--question"):
        SearchConfig(dataset=tmp_path, text="ships", question="how many?")
    line = ["search", str(archive["dataset"]), "--changed", "--model", str(archive["model"]), "--device", "cpu"]
    assert main(line) == 0
    assert "no place is called changed" in capsys.readouterr().out
    assert main(["search", str(tmp_path), "--changed"]) == 2
    assert "is no archive" in capsys.readouterr().err
