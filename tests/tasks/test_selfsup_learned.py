"""A training that learned next to nothing says so in its result."""

from typing import Any

import pytest

from knowlip.tasks.selfsup.learned import cautions
from knowlip.tasks.selfsup.run import SelfSupervised, show


def lines(share: float, floor: str = "patch_mean", count: int = 6) -> list[dict[str, Any]]:
    return [{"step": number, "loss": share * 2.0, floor: 2.0} for number in range(count)]


def curve(end: float | None, began: float = 0.3, pixels: float = 0.2) -> dict[str, Any]:
    floors = {"majority class": 0.1, "pixels, 1-NN": pixels}
    return {"knn": end, "asked": 600, "random_init": {"knn": began}, "floors": floors}


@pytest.mark.parametrize("floor", ["patch_mean", "image_mean", "chance"])
def test_a_loss_at_its_floor_is_said(floor: str) -> None:
    (said,) = cautions(lines(0.997, floor), {})
    assert "99.7% of that of the" in said
    assert cautions(lines(0.8, floor), {}) == []
    assert len(cautions(lines(1.0, floor, 2), {})) == 1, "of a short log too"


def test_what_has_no_floor_is_not_compared() -> None:
    assert cautions([], {}) == []
    assert cautions([{"step": 1, "loss": 5.0}], {"knn": None, "note": "no classes"}) == []
    assert cautions([{"step": 1, "loss": 0.0, "patch_mean": 0.0}], {}) == []


def test_a_curve_that_did_not_rise_is_said() -> None:
    assert cautions([], curve(0.5)) == []
    assert "before the training" in cautions([], curve(0.3))[0]
    below = cautions([], curve(0.4, pixels=0.5))
    assert below == ["Without the tower, pixels, 1-NN is right about 50.0% of the same tiles."]


def test_the_result_shows_them() -> None:
    result: SelfSupervised = {
        "model": "run/model",
        "method": "mae",
        "steps": 250,
        "tiles": 9,
        "seconds": 1.0,
        "images_per_s": 2.0,
        "last": {"loss": 0.98},
        "curve": curve(0.28),
        "cautions": cautions(lines(1.0), curve(0.28)),
    }
    assert show(result).count("Caution: ") == 2
