"""Numbers of boxes beside numbers in sentences, against counting by hand."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from knowlip.base.files import write_json
from knowlip.base.rows import Results, read_results
from knowlip.benchmark.run import _other_sets
from knowlip.dataset import Dataset
from knowlip.language.questions import Question, QuestionType
from knowlip.tasks.answering import ANSWERING, PairedAnswering, VqaConfig, answer_questions
from knowlip.tasks.detect_rows import DetectionTables, floor_table, tiles_table, truth_table, write_tables
from knowlip.tasks.detector_counts import detector_counts, finished_detection
from knowlip.tasks.objects import TileObjects
from knowlip.tasks.runs import METRICS, read_predictions
from tests.tasks.test_items import ships  # noqa: F401
from tests.tasks.test_paired import SMALL, model  # noqa: F401


def detection(folder: Path, fingerprint: str, numbers: dict[str, int]) -> Path:
    """A finished detection that finds the right number of ships with scores of 0.7 and two more with 0.3."""
    folder.mkdir()
    truth, rows = {}, []
    for tile, number in numbers.items():
        boxes = np.tile([1.0, 1.0, 5.0, 5.0], (number, 1))
        truth[tile] = TileObjects(
            (90, 90), boxes, ("ship",) * number, np.zeros(number, bool), (np.zeros((4, 2)),) * number, ()
        )
        for score in [0.7] * number + [0.3] * 2:
            box = {"left": 1.0, "top": 1.0, "right": 5.0, "bottom": 5.0}
            rows.append({"tile_id": tile, "category": "ship", "score": score, **box, "corners": []})
    tables = DetectionTables(
        pd.DataFrame(rows),
        floor_table([], []),
        truth_table(truth),
        tiles_table(truth, {one: one for one in truth}, None),
    )
    write_tables(folder, tables)
    write_json(folder / "division.json", {"divided": "", "measured": list(numbers)})
    (folder / "config.yaml").write_text("encoder: timm:vit@/home/x/ships.pth\n")
    Results((), {}, {"dataset_fingerprint": "trained on", "measured_fingerprint": fingerprint}).write(folder / METRICS)
    return folder


def asked_of(tile_id: str, answer: str, subject: str = "ship") -> Question:
    return Question(tile_id, QuestionType.COUNT, "how many?", answer, subject, "labels")


def test_the_score_is_chosen_on_the_other_half(ships: Dataset, tmp_path: Path) -> None:  # noqa: F811
    tiles = list(ships.tiles()["tile_id"])[:12]
    numbers = {tile: place % 4 for place, tile in enumerate(tiles[:8])}
    folder = detection(tmp_path / "run", ships.fingerprint, numbers)
    asked = [asked_of(tile, str(numbers.get(tile, 1))) for tile in tiles] + [asked_of(tiles[0], "1", "bridge")]
    found = detector_counts(folder, ships, asked, {tile: tile for tile in tiles})
    assert found.name == "timm:vit@ships.pth"
    assert found.answers == [str(numbers[tile]) for tile in tiles[:8]] + [None] * 5
    assert "of 5 questions" in found.told
    # Two questions whose answers were counted with the two more: the other half takes the low score, and is wrong.
    pair = [asked_of(tile, str(numbers[tile] + 2)) for tile in tiles[:2]]
    low = detector_counts(folder, ships, pair, {tile: tile for tile in tiles})
    assert low.answers == [str(numbers[tile] + 2) for tile in tiles[:2]]
    one = detector_counts(folder, ships, pair[:1], {tiles[0]: "alone"})  # nothing to choose on
    assert "score of 0.50, the middle of all" in one.told
    assert "other half" not in one.told


def test_what_is_no_detection_of_this_set_is_refused(ships: Dataset, tmp_path: Path) -> None:  # noqa: F811
    tile = str(ships.tiles()["tile_id"].iloc[0])
    with pytest.raises(ValueError, match="no finished detection"):
        detector_counts(tmp_path, ships, [asked_of(tile, "1")], {tile: tile})
    with pytest.raises(ValueError, match="other tiles"):
        detector_counts(detection(tmp_path / "a", "other", {tile: 1}), ships, [asked_of(tile, "1")], {tile: tile})
    folder = detection(tmp_path / "b", ships.fingerprint, {tile: 1})
    nothing = detector_counts(folder, ships, [asked_of("elsewhere", "1")], {"elsewhere": "g"})
    assert nothing.answers == [None]
    assert "measured no tile" in nothing.told


def test_all_folds_of_a_detection_must_be_there(ships: Dataset, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "run" / "seed-0").mkdir(parents=True)
    for fold, tile in enumerate(ships.tiles()["tile_id"][:2]):
        folder = detection(tmp_path / "run" / "seed-0" / f"fold-{fold}", ships.fingerprint, {str(tile): 1})
        (folder / "config.yaml").write_text("encoder: e\nprotocol: groups\nfolds: 2\n")
        if fold == 0:
            with pytest.raises(ValueError, match="1 of the 2 folds"):
                finished_detection(tmp_path / "run", ships)
    assert len(finished_detection(tmp_path / "run", ships)) == 2
    (folder / METRICS).unlink()
    with pytest.raises(ValueError, match="no finished detection"):
        finished_detection(tmp_path / "run", ships)


def test_the_content_of_a_detection_binds_and_a_wrong_one_is_refused_before_training(
    ships: Dataset,  # noqa: F811
    model: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    tile = str(ships.tiles()["tile_id"].iloc[0])
    folder = detection(tmp_path / "run", ships.fingerprint, {tile: 1})
    config = VqaConfig(dataset=ships.path, encoder=str(model), out=tmp_path / "out", **SMALL, detections=folder)
    before = _other_sets(config)["detections"]
    shutil.rmtree(folder)
    detection(folder, ships.fingerprint, {tile: 2})
    assert before != _other_sets(config)["detections"] != []
    shutil.rmtree(folder)
    with pytest.raises(ValueError, match="no finished detection"):
        answer_questions(config)
    assert not (tmp_path / "out" / "config.yaml").exists()
    assert "detections" in PairedAnswering.free


def test_a_detector_stands_beside_the_model(ships: Dataset, model: Path, tmp_path: Path) -> None:  # noqa: F811
    true = ships.annotations()["tile_id"].value_counts()
    test = ships.tiles("test")["tile_id"]
    folder = detection(tmp_path / "run", ships.fingerprint, {tile: int(true.get(tile, 0)) for tile in test})
    setup = {"dataset_fingerprint": "trained on", "measured_fingerprint": ships.fingerprint}
    Results((), {"detect": {"note": "Copies stand on both sides."}}, setup).write(folder / METRICS)
    config = VqaConfig(
        dataset=ships.path, encoder=str(model), out=tmp_path / "out", **{**SMALL, "steps": 0}, detections=folder
    )
    rows = answer_questions(config)["rows"]
    found = {row["metric"]: row for row in rows if row["encoder"] == "detector:timm:vit@ships.pth"}
    assert found["count accuracy"]["value"] == 1.0
    assert "of the same questions" in found["count accuracy"]["note"]
    for row in found.values():
        assert row["note"].startswith("Copies stand on both sides. Boxes count from a score")
    assert not any("Copies stand" in row["note"] for row in rows if not row["encoder"].startswith("detector"))
    assert ANSWERING.rows([tmp_path / "out"], ships.path.resolve().name, "test", str(model)) == tuple(
        read_results(tmp_path / "out" / METRICS).rows
    )
    assert found["count mean absolute error"]["value"] == 0.0
    table = read_predictions([tmp_path / "out"], ["tile_id", "question"])
    assert table["detector:timm:vit@ships.pth"].notna().sum() == (table["type"] == "count").sum()
