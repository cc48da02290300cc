"""Counts and boxes of the measured annotator: their form, and how far they are true on a simulated port."""

from pathlib import Path

import numpy as np
import pytest

from knowlip.annotators.annotate import AnnotateConfig, annotate
from knowlip.annotators.measured import MeasuredAnnotator
from knowlip.annotators.measured.evidence import Target, TileEvidence
from knowlip.annotators.measured.mentions import boxes_of, counts_of
from knowlip.annotators.types import Box
from knowlip.dataset import Dataset
from knowlip.dataset.mentions import by_tile
from knowlip.simulator.stage import SimulateConfig, simulate
from knowlip.tiles.build import build
from knowlip.tiles.plan import BuildConfig
from tests.annotators.test_measured import request, sea_with_ships, speckled


def evidence(targets: list[Target], **expected: float) -> TileEvidence:
    return TileEvidence(512.0, tuple(targets), {"water": 1.0}, ({"water": 1.0},) * 9, expected=expected)


def ship(x: float, y: float, length_m: float, width_m: float, heading_deg: float) -> Target:
    return Target("ship", x, y, length_m, width_m, heading_deg, "cargo ship")


def upright(x: float, y: float, length: float, width: float, heading_deg: float) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of a turned rectangle by its four corners; lengths as fractions of a square tile."""
    along = np.array([np.sin(np.deg2rad(heading_deg)), -np.cos(np.deg2rad(heading_deg))])
    across = np.array([-along[1], along[0]])
    corners = [np.array([x, y]) + i * along * length / 2 + j * across * width / 2 for i in (-1, 1) for j in (-1, 1)]
    return (*np.min(corners, axis=0), *np.max(corners, axis=0))


@pytest.mark.parametrize("heading", [0.0, 30.0, 90.0, 135.0, 179.0])
def test_a_box_holds_the_turned_outline(heading: float) -> None:
    (box,) = boxes_of(evidence([ship(0.4, 0.6, 100.0, 20.0, heading)], ship=1.0), 500.0, 500.0)
    left, top, right, bottom = upright(0.4, 0.6, 0.2, 0.04, heading)
    np.testing.assert_allclose(box[1:], (left, top, right - left, bottom - top), atol=1e-12)


def test_width_and_height_of_the_tile_are_told_apart_and_its_edge_cuts() -> None:
    seen = evidence([ship(0.5, 0.5, 100.0, 20.0, 0.0), ship(0.0, 1.0, 100.0, 20.0, 90.0)], ship=2.0)
    upright_ship, cut = boxes_of(seen, 1000.0, 500.0)
    np.testing.assert_allclose(upright_ship[1:], (0.49, 0.4, 0.02, 0.2))
    np.testing.assert_allclose(cut[1:], (0.0, 0.98, 0.05, 0.02))


def test_counts_are_zero_unknown_or_counted() -> None:
    assert counts_of(evidence([])) == {"ship": 0, "aircraft": 0}
    assert counts_of(evidence([ship(0.5, 0.5, 99.0, 15.0, 0.0)], ship=0.9, aircraft=0.1)) == {"ship": 1, "aircraft": 0}
    assert counts_of(evidence([ship(0.5, 0.5, 99.0, 15.0, 0.0)], ship=0.9, aircraft=0.6)) == {"ship": 1}


def test_drawn_ships_are_counted_and_boxed() -> None:
    places = [(50.0, 50.0, 0.0), (200.0, 60.0, 45.0), (130.0, 200.0, 90.0)]
    note = MeasuredAnnotator().annotate(request(sea_with_ships(places), 2.0))
    assert note.counts == {"ship": 3, "aircraft": 0}
    assert len(note.boxes) == 3
    for x, y, heading in places:
        true = upright(x / 256, y / 256, 120 / 512, 18 / 512, heading)
        assert max(overlap(true, box) for box in note.boxes) >= 0.4


def test_empty_sea_counts_nothing() -> None:
    note = MeasuredAnnotator().annotate(request(speckled(np.full((256, 256), 55.0)), 2.0))
    assert (note.counts, note.boxes) == ({"ship": 0, "aircraft": 0}, ())


def overlap(true: tuple[float, float, float, float], box: Box) -> float:
    """Intersection over union."""
    width = min(true[2], box.x + box.width) - max(true[0], box.x)
    height = min(true[3], box.y + box.height) - max(true[1], box.y)
    both = max(0.0, width) * max(0.0, height)
    return both / ((true[2] - true[0]) * (true[3] - true[1]) + box.width * box.height - both)


def test_mentions_of_a_simulated_port_are_mostly_true(tmp_path: Path) -> None:
    simulate(
        SimulateConfig(
            tmp_path / "scenes",
            cities=1,
            sensors=("sim-c",),
            themes=("port",),
            scene_size_m={"sim-c": 1024.0},
            seed=5,
            workers=1,
        )
    )
    build(
        BuildConfig(
            [tmp_path / "scenes"], tmp_path / "dataset", windows_m=(1024.0, 512.0, 256.0), tile_px=256, workers=1
        )
    )
    dataset = Dataset(tmp_path / "dataset")
    annotate(AnnotateConfig(tmp_path / "dataset", workers=1))
    truths = dataset.truth()
    windows = dict(zip(dataset.tiles()["tile_id"], dataset.tiles()["window_m"]))
    mentions = by_tile(dataset.mentions())
    assert set(mentions) == set(truths)
    hits = boxes = right = 0
    for tile, said in mentions.items():
        ships = [item for item in truths[tile]["objects"] if item["category"] == "ship"]
        right += ("ship" in said.counts) and (said.counts["ship"] > 0) == bool(ships)
        ends = [
            upright(
                item["x"],
                item["y"],
                item["length_m"] / windows[tile],
                item["width_m"] / windows[tile],
                item["heading_deg"],
            )
            for item in ships
        ]
        for box in said.boxes:
            boxes += 1
            hits += any(overlap(end, box) >= 0.1 for end in ends)
    assert right >= 0.7 * len(truths)
    assert hits >= 0.5 * boxes > 0
