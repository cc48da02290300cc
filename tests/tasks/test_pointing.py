"""Evidence held against true boxes, with maps that are known."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knowlip.base.rows import Row
from knowlip.dataset import Dataset
from knowlip.models.encoders.knowlip import load
from knowlip.tasks import pointing
from knowlip.tasks.bench import Bench, Measured, MeasureLimits, find_measure
from tests.benchmark.fakes import Oracle
from tests.benchmark.numbered import build
from tests.inference.tiny_model import tiny_model

LIMITS = MeasureLimits(questions_per_type=3)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return build(tmp_path_factory.mktemp("numbered") / "ds")


def measured(data: Dataset, tmp_path: Path) -> Measured:
    encoder = load(str(tiny_model(tmp_path / "model")), "cpu")
    encoder.name = "tiny"
    return find_measure("pointing")(Bench(data.path, limits=LIMITS), encoder)


def row(found: Measured, metric: str, encoder: str = "tiny") -> Row:
    (one,) = (one for one in found.rows if (one.metric, one.encoder) == (metric, encoder))
    return one


def maps_with(box: slice) -> Any:
    """In place of the model's: all evidence in one square."""

    def known(model: Any, pixels: Any, width: Any, prompts: Sequence[str], answers: Any, kind: str) -> np.ndarray:
        maps = np.zeros((len(prompts), 32, 32), np.float32)
        maps[:, box, box] = 1
        return maps

    return known


def test_a_map_of_the_true_boxes_is_perfect(data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Every outline of the data set lies between 0.4 and 0.6 of the tile.
    monkeypatch.setattr(pointing, "BLANKED", 2)
    monkeypatch.setattr(pointing, "evidence_maps", maps_with(slice(14, 18)))
    found = measured(data, tmp_path)
    for kind in ("gradient", "attention"):
        assert row(found, f"pointing, {kind}").value == 1.0
        assert row(found, f"energy in boxes, {kind}").value == pytest.approx(1.0)
    centre = row(found, "pointing, gradient")
    assert (centre.floor, centre.floor_name) == (1.0, "image centre")
    # All pixels of these tiles but the first row's are as bright as each other: a twentieth of them lies in boxes.
    missed = row(found, "pointing where most of the brightest pixels miss, gradient")
    assert (missed.value, missed.n) == (1.0, centre.n)
    bright = found.details["evidence"]["all"]["pointing"]["brightest pixels"]  # type: ignore[index, call-overload]
    assert 0.05 < bright < 0.07
    times = row(found, "hits / hits of the better of centre and brightest pixels")
    assert (times.value, times.floor) == (1.0, 1.0)  # as often as the centre
    details = found.details["evidence"]
    assert details["questions"] == details["all"]["n"] == centre.n  # type: ignore[index, call-overload]
    assert row(found, "deletion, gradient").better == "lower"
    assert row(found, "insertion, gradient").n == 2


def test_a_map_beside_the_boxes_is_wrong(data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pointing, "BLANKED", 1)
    monkeypatch.setattr(pointing, "evidence_maps", maps_with(slice(0, 4)))
    found = measured(data, tmp_path)
    assert row(found, "pointing, gradient").value == 0.0
    assert row(found, "energy in boxes, gradient").value == 0.0
    assert row(found, "pointing, gradient", "other-image:tiny").value == 0.0


def test_the_models_own_maps(data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pointing, "BLANKED", 1)
    found = measured(data, tmp_path)
    names = {"image centre", "brightest pixels", "brightest 8 x 8 pixels"}
    assert all(one.value is not None and one.floor_name for one in found.rows if one.encoder == "tiny")
    assert names <= set(found.details["evidence"]["all"]["pointing"])  # type: ignore[index, call-overload, arg-type]
    again = measured(data, tmp_path)
    assert again.rows == found.rows


def test_every_question_has_a_random_order_of_its_own(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders: list[bytes] = []

    def curves(image: np.ndarray, heat: np.ndarray, probability: Any) -> tuple[float, float]:
        if len(np.unique(heat)) == heat.size:  # brightness, distance and the known map have equal places
            orders.append(heat.tobytes())
        return 0.0, 0.0

    monkeypatch.setattr(pointing, "evidence_maps", maps_with(slice(14, 18)))
    monkeypatch.setattr(pointing, "deletion_and_insertion", curves)
    found = measured(data, tmp_path)
    assert 3 < len(orders) == len(set(orders)) == row(found, "deletion, gradient").n
    before = list(orders)
    orders.clear()
    measured(data, tmp_path)
    assert orders == before


def test_what_cannot_be_measured_says_why(data: Dataset, tmp_path: Path) -> None:
    (one,) = pointing.measure(Bench(data.path, limits=LIMITS), Oracle([])).rows
    assert (one.value, one.note) == (None, "Evidence is drawn of the answers of our own models.")
    blind = build(tmp_path / "without", truth=False)
    encoder = load(str(tiny_model(tmp_path / "model")), "cpu")
    (one,) = pointing.measure(Bench(blind.path, limits=LIMITS), encoder).rows
    assert one.value is None
    assert "no truth" in one.note
