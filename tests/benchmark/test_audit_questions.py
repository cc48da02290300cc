"""The audit's floors of questions, and an audit that is killed, doubled, or given hostile names."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from knowlip.benchmark import audit
from knowlip.benchmark.audit import PAGE, ROWS, DatasetAuditConfig, dataset_audit, show
from knowlip.benchmark.audit_places import Places
from knowlip.benchmark.audit_questions import question_floors
from knowlip.dataset import Dataset
from knowlip.language.questions import Question, QuestionType
from knowlip.tasks.answers import blind_answers
from knowlip.tasks.protocols import APART, OWN
from knowlip.tiles.imports import ImportConfig, import_dataset


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 255, (12, 12)).astype(np.uint8)
    Image.fromarray(np.kron(values, np.ones((5, 5), np.uint8))).save(path)


def boxed(folder: Path) -> Path:
    """30 training images: 20 with two ships upper left, 10 with three lower right; 10 test images: 6 with two upper
    left, 4 with five in the centre."""
    images, annotations = [], []
    for number in range(40):
        split = "train" if number < 30 else "test"
        name = f"{split}-{number:02d}.png"
        picture(folder / "images" / name, number)
        few = number < 20 or 30 <= number < 36
        count, place = (2, 4) if few else (3, 44) if number < 30 else (5, 26)
        images.append({"id": number, "file_name": name, "width": 60, "height": 60})
        for one in range(count):
            box = [place + one, place, 6, 6]
            annotations.append(
                {"id": len(annotations), "image_id": number, "category_id": 1, "bbox": box, "area": 36, "iscrowd": 0}
            )
    categories = [{"id": 1, "name": "ship"}]
    labels = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "labels.json").write_text(json.dumps(labels))
    import_dataset(ImportConfig(folder, "coco", folder / "ds", test_names="test"))
    return folder / "ds"


def test_boxes_ask_how_many_and_where(tmp_path: Path) -> None:
    found = dataset_audit(DatasetAuditConfig(boxed(tmp_path), out=tmp_path / "audit"))
    assert found["questions_from"] == "boxes"
    own = found["questions"][OWN]
    assert set(own) == {"count", "position"}, "nothing tells types or landforms"
    assert own["count"]["majority answer"]["value"] == pytest.approx(0.6)
    assert own["position"]["majority answer"]["value"] == pytest.approx(0.6)
    assert own["count"]["majority answer"]["n"] == 10
    apart = found["questions"][APART]["count"]["majority answer"]
    assert apart["n"] == 40
    assert apart["value"] == pytest.approx(26 / 40)
    assert "count questions without an image, own split: majority answer 60.0%" in show(found)
    rows = json.loads((tmp_path / "audit" / ROWS).read_text())["rows"]
    mine = [row for row in rows if row["task"] == "vqa" and row["split"] == OWN and row["metric"] == "count accuracy"]
    assert {row["encoder"] for row in mine} >= {"floor:majority answer", "floor:blind, by wording"}
    assert "Questions without an image" in (tmp_path / "audit" / PAGE).read_text()


def test_blind_answers_know_what_the_wording_gives_away() -> None:
    def one(number: int, text: str, subject: str, answer: str) -> Question:
        return Question(f"t{number}", QuestionType.COUNT, text, answer, subject)

    train = [one(i, "How many ships?", "ship", "3") for i in range(4)]
    train += [one(i, "Count the aircraft.", "aircraft", "1") for i in range(3)]
    train += [one(i, "How many aircraft?", "aircraft", "7") for i in range(2)]
    asked = [
        one(0, "How many aircraft?", "aircraft", "7"),
        one(1, "Name the number of aircraft.", "aircraft", "1"),
        one(2, "How many tanks?", "tank", "3"),
    ]
    said = blind_answers(train, asked)
    assert said["majority answer"] == ["3", "3", "3"]
    assert said["blind, by subject"] == ["1", "1", "3"]
    assert said["blind, by wording"] == ["7", "1", "3"]


def test_a_set_without_answers_says_so(tmp_path: Path) -> None:
    for number in range(8):
        picture(tmp_path / "set" / ("a", "b")[number % 2] / f"{number}.png", number)
    import_dataset(ImportConfig(tmp_path / "set", "folder", tmp_path / "ds"))
    found = dataset_audit(DatasetAuditConfig(tmp_path / "ds"))
    assert found["questions"] == {}
    assert "neither truth, texts nor boxes" in found["reasons"]["questions"]
    data = Dataset(tmp_path / "ds")
    names = data.tiles()["tile_id"].to_list()
    places = Places(data, names, np.arange(8), data.tiles()["split"].to_numpy(str), 0)
    assert question_floors(places, 0) == ({}, "")


def test_hostile_names_are_words_on_the_page(tmp_path: Path) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    for number in range(24):
        picture(tmp_path / "set" / (hostile, "b")[number % 2] / f"{number}.png", number)
    import_dataset(ImportConfig(tmp_path / "set", "folder", tmp_path / "ds"))
    dataset_audit(DatasetAuditConfig(tmp_path / "ds", out=tmp_path / "audit"))
    page = (tmp_path / "audit" / PAGE).read_text()
    assert hostile not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    masked = tmp_path / "masked"
    for number in range(12):
        picture(masked / "images" / f"{number}.png", number)
        mask = np.kron(np.arange(4).reshape(2, 2) % 2, np.ones((30, 30))).astype(np.uint8)
        (masked / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(masked / "masks" / f"{number}.png")
    classes = [f"0={hostile}", "1={{ 7 * 7 }}"]
    more: dict[str, Any] = {"images": Path("images"), "masks": Path("masks"), "mask_classes": classes}
    import_dataset(ImportConfig(masked, "mask", tmp_path / "ds2", **more))
    found = dataset_audit(DatasetAuditConfig(tmp_path / "ds2", out=tmp_path / "audit2"))
    assert found["segmentation"]
    assert hostile not in (tmp_path / "audit2" / PAGE).read_text()


def test_an_audit_that_stops_while_it_writes_leaves_the_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = boxed(tmp_path), tmp_path / "audit"
    dataset_audit(DatasetAuditConfig(data, out=out))
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def stop(*_: Any, **__: Any) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("knowlip.pages.render.render", stop)
    with pytest.raises(KeyboardInterrupt):
        dataset_audit(DatasetAuditConfig(data, out=out, seed=1))
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert not list(tmp_path.glob(".audit.*"))
    assert audit.dataset_audit(DatasetAuditConfig(data, out=out))["out"] == str(out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before, "the same set, the same bytes"


def test_two_audits_at_once_leave_one_whole_folder(tmp_path: Path) -> None:
    data, out = boxed(tmp_path), tmp_path / "audit"
    configs = [DatasetAuditConfig(data, out=out, seed=seed) for seed in (0, 1, 0, 1)]
    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(dataset_audit, configs))) == 4
    assert {path.name for path in out.iterdir()} == {ROWS, PAGE}
    assert json.loads((out / ROWS).read_text())["setup"]["seed"] in (0, 1)
    assert not list(tmp_path.glob(".audit.*"))


def test_a_killed_audit_begins_again(tmp_path: Path) -> None:
    data, out = boxed(tmp_path), tmp_path / "audit"
    command = [sys.executable, "-m", "knowlip.cli", "dataset", "audit", str(data), "--out", str(out)]
    for wait in (4.0, 7.0):  # at other places, wherever the machine has come to by then
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ) as process:
            time.sleep(wait)
            process.send_signal(signal.SIGKILL)
        assert not out.exists() or {path.name for path in out.iterdir()} == {ROWS, PAGE}, "whole or absent"
    dataset_audit(DatasetAuditConfig(data, out=out))
    assert {path.name for path in out.iterdir()} == {ROWS, PAGE}
    assert not list(tmp_path.glob(".audit.*")), "what killed ones left is gone"
