"""Questions about real images: right answers come from labels, floors from signal processing, and a model that looks is
told from one that does not."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import zero_shot_sets
from benchmarks.zero_shot import TEACHER, measure, measured
from benchmarks.zero_shot_floors import fullest_region, said_count, water_masks
from benchmarks.zero_shot_sets import OTHER, WATER, Asked, Trial, sar_acd, sen1floods11, ssdd
from knowlip.base.rows import Results, read_results
from knowlip.inference.images import TakenImage
from knowlip.models import KnowLIP
from knowlip.tasks.cfar import Cfar, fitted
from tests.tiles.rasters import write_scene

DARK_SEA = 60


def sea(ships: Sequence[tuple[int, int]], seed: int = 0, side: int = 180) -> np.ndarray:
    """Single-look sea in 45 dB of grey levels, with ships of 12 x 5 bright pixels at (row, column)."""
    power = np.random.default_rng(seed).exponential(1.0, (side, side))
    levels = DARK_SEA + 10 * np.log10(np.maximum(power, 1e-3)) * 254 / 45
    for row, column in ships:
        levels[row - 2 : row + 3, column - 6 : column + 6] = 240
    return np.clip(levels, 1, 255).astype(np.uint8)


def test_cfar_finds_what_was_planted() -> None:
    images = [sea([(30, 40), (90, 90), (150, 30)][:count], seed=count) for count in (0, 1, 2, 3)]
    detector = fitted(images, [0, 1, 2, 3]).exact
    for count, image in enumerate(images):
        centres = detector.centres(image)
        assert said_count(centres) == str(count)
        assert fullest_region(centres) == (0 if count else None)
    x, y = detector.centres(images[1])[0]
    assert (x * 180, y * 180) == (pytest.approx(40, abs=1), pytest.approx(30.5, abs=1))
    crowd = sea([(row, column) for row in range(10, 175, 34) for column in range(12, 170, 30)])
    assert said_count(Cfar(1e-4, 9).centres(crowd)) == "20"


def test_thresholds_find_dark_water() -> None:
    power = np.random.default_rng(0).gamma(4, 1 / 4, (64, 64)) * 0.1
    power[:, :32] *= 0.05  # -23 dB
    truth, valid = np.zeros((64, 64), bool), np.ones((64, 64), bool)
    truth[:, :32], valid[:4] = True, False
    for name, mask in water_masks(power, valid).items():
        assert (mask[valid] == truth[valid]).mean() > 0.93, name
        assert not mask[~valid].any()


class Stub:
    """A model that knows nothing but the mean grey level of its image: it answers the nearest number, or "water"."""

    card: dict[str, Any] = {"windows_m": [640.0], "usual_answers": {"count": {"ship": "1"}}}  # noqa: RUF012

    def prepare(self, images: Sequence[np.ndarray]) -> torch.Tensor:
        return torch.tensor([float(image.mean()) for image in images])

    def encode_images(self, pixels: torch.Tensor, width_m_B: torch.Tensor) -> tuple[torch.Tensor, None]:
        return pixels, None

    def rank(self, tokens: torch.Tensor, prompts: Sequence[str], answers: Sequence[str]) -> torch.Tensor:
        values = [float(answer) if answer.isdigit() else 0.0 if answer == "water" else 200.0 for answer in answers]
        return -(tokens[:, None] - torch.tensor(values)[None]).abs()

    def generate(self, tokens: torch.Tensor, prompts: Sequence[str], longest: int) -> list[str]:
        return ["There is no water." if value > 100 else "Water covers all of the area." for value in tokens]


MODEL = cast(KnowLIP, Stub())


def test_a_model_that_looks_loses_by_the_image_of_another() -> None:
    asked = Asked("sea", "count accuracy", [str(n) for n in range(21)])
    for n in range(1, 13):
        image = TakenImage(np.full((8, 8), n, np.uint8), 3.0)
        asked.trials.append(Trial(image, "how many?", str(n), str(n), "1" if n < 4 else "", {"blind": "1"}))
    (own, other, teacher), details = measured(MODEL, "stub", asked)
    assert (own.encoder, own.value, own.n) == ("stub", 1.0, 12)
    assert (teacher.encoder, teacher.value) == (TEACHER, 1 / 12)
    assert "It says nothing of 9 of 12" in teacher.note
    assert (other.encoder, other.value) == ("other-image:stub", 0.0)
    assert details["floors"] == {"blind": 1 / 12, "most frequent answer here": 1 / 12}
    assert own.floor == 1 / 12
    assert own.ci is not None
    assert own.ci[0] < 1.0
    empty, _ = measured(MODEL, "stub", Asked("sea", "position accuracy"))
    assert empty[0].value is None
    assert "no image" in empty[0].note.lower()


def test_ships_are_asked_of_the_half_that_nobody_was_fitted_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {"Count": "Two ships are visible.", "Location": "The ships are in the upper left."}
    monkeypatch.setattr(zero_shot_sets, "_texts", lambda *_: ("marine", texts))
    for folder in ("images", "annotations"):
        (tmp_path / folder).mkdir()
    ships = {"000001": [(30, 40)], "000002": [(30, 40), (150, 150)], "000101": [(30, 40)], "000203": []}
    for seed, (name, places) in enumerate(ships.items()):
        Image.fromarray(sea(places, seed)).save(tmp_path / "images" / f"{name}.jpg", quality=95)
        boxes = "".join(
            f"<bndbox><xmin>{x - 6}</xmin><xmax>{x + 6}</xmax><ymin>{y - 2}</ymin><ymax>{y + 2}</ymax></bndbox>"
            for y, x in places
        )
        size = "<size><width>180</width><height>180</height></size>"
        (tmp_path / "annotations" / f"{name}.xml").write_text(f"<annotation>{size}{boxes}</annotation>")
    (tmp_path / "images" / "000004.jpg").write_bytes((tmp_path / "images" / "000001.jpg").read_bytes())
    count, near, place = ssdd(tmp_path, Stub.card["usual_answers"], 100)
    assert [(trial.cluster, trial.truth) for trial in count.trials] == [
        ("000001", "1"),
        ("000002", "2"),
        ("000203", "0"),
    ]
    assert near.trials is count.trials
    assert [trial.floors["CFAR"] for trial in count.trials] == ["1", "2", "0"]
    assert {trial.floors["blind"] for trial in count.trials} == {"1"}
    assert {trial.teacher for trial in count.trials} == {"2"}
    assert [(trial.cluster, trial.truth, trial.teacher) for trial in place.trials] == [
        ("000001", "upper left", "upper left")
    ]
    assert count.skipped["the same file again"] == 1
    assert place.skipped["no region holds most ships"] == 2
    assert near.right("9", "10")
    assert not near.right("3", "2")
    assert not near.right("", "2")


def test_water_is_asked_of_windows_with_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scene whose left half is dark water, in four windows of 640 m; labels miss in one of them."""
    monkeypatch.setattr(zero_shot_sets, "_texts", lambda *_: ("terrain", {"Water": "Water covers 90% of the area."}))
    values = np.full((128, 128), -5.0, np.float32) + np.random.default_rng(0).normal(0, 1, (128, 128)).astype(
        np.float32
    )
    values[:, :64] -= 18
    write_scene(tmp_path / "S1" / "X_1_S1Hand.tif", values, pixel=10.0, tags={"KNOWLIP_UNITS": "db"})
    label = np.zeros((128, 128), np.int16)
    label[:, :64] = 1
    label[64:, 64:] = -1
    write_scene(tmp_path / "Labels" / "X_1_LabelHand.tif", label, pixel=10.0)
    found = {asked.metric: asked for asked in sen1floods11(tmp_path, {}, 640.0, 100)}
    there, share = found["water present"], found["share of water within 15 points"]
    assert [trial.truth for trial in there.trials] == [WATER, OTHER, WATER]
    assert there.skipped["a window with labels in less than 90 %"] == 1
    assert [trial.floors["threshold of -16 dB"] for trial in there.trials] == [WATER, OTHER, WATER]
    assert [float(trial.truth) for trial in share.trials] == [1.0, 0.0, 1.0]
    assert [share.right(trial.teacher, trial.truth) for trial in share.trials] == [True, False, True]
    assert share.read("There is no water.") == "0.0"
    assert there.read("field, water") == WATER
    assert {len(asked.trials) for asked in found.values()} == {3}
    (row, *_), _ = measured(MODEL, "stub", there)
    assert row.value == 1.0  # dark is water


def test_chips_are_one_of_each_group_of_near_copies(tmp_path: Path) -> None:
    folder, lines = tmp_path / "sar-acd", ["path\tgroup\tclasses"]
    for number in range(8):
        kind, side = ("A330", 60) if number % 4 < 2 else ("A220", 30)
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for copy in "ab":
            Image.fromarray(np.full((side, side), 9, np.uint8)).save(folder / kind / f"{number}{copy}.jpg")
            lines.append(f"{kind}/{number}{copy}.jpg\t{number}\t{2 if number == 7 else 1}")
    (tmp_path / "sar-acd-groups.tsv").write_text("\n".join(lines))
    (asked,) = sar_acd(folder, {}, 100)
    assert sorted((trial.cluster, trial.truth) for trial in asked.trials) == [
        ("1a", "wide-body airliner"),
        ("3a", "narrow-body airliner"),
        ("5a", "wide-body airliner"),
    ]
    assert all(trial.floors["size of the chip"] == trial.truth for trial in asked.trials)
    assert asked.skipped == {"a chip whose near copies are of several classes": 2, "a near copy": 7}


def test_a_set_that_is_not_there_is_a_row_with_a_reason(tmp_path: Path) -> None:
    found = measure(MODEL, "stub", tmp_path, ["ssdd", "sar-acd"], 10)
    assert [row.value for row in found.rows] == [None, None]
    assert "There is no folder ssdd" in found.rows[0].note
    Results(found.rows, found.details).write(tmp_path / "out.json")
    assert read_results(tmp_path / "out.json").rows == found.rows
