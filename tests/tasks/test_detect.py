"""Detection on tiny invented tiles: what is learned from, measured, kept, drawn, refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from knowlip.base.documents import read_json
from knowlip.base.rows import read_results
from knowlip.dataset import Dataset
from knowlip.language.directions import Turn
from knowlip.models.detection import Detector, DetectorConfig
from knowlip.models.encoders import open_encoder
from knowlip.tasks.count_scores import ENTRY
from knowlip.tasks.detect import BENCH, DetectConfig, Detection, detect, predictions, settle_counts, show
from knowlip.tasks.detect_batches import View, batched
from knowlip.tasks.detect_curve import read_curve
from knowlip.tasks.detect_folder import Learned, check_learned, detector_count_scores, load_detector, read_weights
from knowlip.tasks.detect_pictures import FALSE_ALARM, MISSED, RIGHT, draw_boxes
from knowlip.tasks.detect_rows import (
    FOUND_SCHEMA,
    TILES,
    TRUTH,
    DetectionTables,
    floor_table,
    found_table,
    read_tables,
    rows_of,
    table_rows,
    tiles_table,
    truth_table,
    write_tables,
)
from knowlip.tasks.detect_sides import check_named, other_pixels
from knowlip.tasks.metrics.boxes import CORNERS, coco_scores
from knowlip.tasks.metrics.intervals import ALL_ALIKE
from knowlip.tasks.objects import ClassMap, TileObjects, inshore_tiles, read_objects
from knowlip.tasks.runs import PREDICTIONS
from knowlip.tiles.imports import ImportConfig, import_dataset
from knowlip.training.engine import Engine

HEAD: dict[str, Any] = {
    **{"width": 24, "window": 0, "anchor_scale": 3.0, "rpn_convs": 1, "proposals": 60, "samples": 32},
    **{"box_convs": 0, "box_width": 64, "least_score": 0.01, "drop_path": 0.0},
}
SMALL: dict[str, Any] = {
    "encoder": "random:vit_tiny_patch16_224",
    "size": 64,
    "steps": 4,
    "batch_size": 4,
    "workers": 0,
    "accelerator": "cpu",
    "loggers": (),
    "log_every": 2,
    "checkpoint_every": 2,
    "validate_every": 2,
    "layer_decay": 0.8,
    "validation_share": 0.2,
}


def bars(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, list[list[int]]]:
    """Speckle with bars that are to be found, and squares as bright that are not."""
    power = rng.exponential(1.0, (height, width))
    taken, boxes = np.zeros((height, width), bool), []
    for number in range(int(rng.integers(4, 8))):
        w, h = ((16, 5) if rng.random() < 0.5 else (5, 16)) if number % 2 else (7, 7)
        x, y = int(rng.integers(2, width - w - 2)), int(rng.integers(2, height - h - 2))
        if taken[y - 2 : y + h + 2, x - 2 : x + w + 2].any():
            continue
        taken[y : y + h, x : x + w] = True
        power[y : y + h, x : x + w] += rng.exponential(40.0, (h, w)) + 10
        if number % 2:
            boxes.append([x, y, w, h])
    return np.clip(10 * np.log10(power + 1e-3) / 30 * 180 + 60, 1, 255).astype(np.uint8), boxes


def coco_set(folder: Path, count: int, seed: int, size: tuple[int, int] = (48, 64)) -> Path:
    """An imported set of such images, bars as `bar` with their outline, every fourth in test, one tile empty."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    images, objects = [], []
    for number in range(count):
        pixels, boxes = bars(rng, *size)
        if number == 1:
            pixels, boxes = rng.integers(40, 90, size).astype(np.uint8), []
        name = f"{'test' if number % 4 == 3 else 'train'}-{number:03d}.png"
        Image.fromarray(pixels).save(folder / "images" / name)
        images.append({"id": number, "file_name": name, "width": size[1], "height": size[0]})
        for x, y, w, h in boxes:
            outline = [[x, y, x + w, y, x + w, y + h, x, y + h]]
            entry = {"id": len(objects) + 1, "image_id": number, "category_id": 1, "bbox": [x, y, w, h]}
            objects.append({**entry, "area": w * h, "iscrowd": 0, "segmentation": outline})
    content = {"images": images, "categories": [{"id": 1, "name": "bar"}], "annotations": objects}
    (folder / "annotations.json").write_text(json.dumps(content))
    labels = {"images": Path("images"), "labels": Path("annotations.json"), "test_names": "test"}
    import_dataset(ImportConfig(folder, "coco", folder / "set", **labels))  # type: ignore[arg-type]
    return folder / "set"


@pytest.fixture(scope="module")
def boxed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return coco_set(tmp_path_factory.mktemp("boxed") / "bars", 40, 0)


def config(dataset: Path, out: Path, **changes: Any) -> DetectConfig:
    head = DetectorConfig(**HEAD | changes.pop("detector", {}))
    return DetectConfig(dataset=dataset, out=out, detector=head, **{**SMALL, **changes})


# ---- views and batches ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(8))
def test_boxes_turn_and_scale_with_their_pixels(number: int) -> None:
    pixels = np.full((40, 60), 10, np.uint8)
    pixels[8:16, 30:50] = 250
    corners = np.array([[30, 8], [50, 8], [50, 16], [30, 16]], float)
    tile = TileObjects((40, 60), np.array([[30, 8, 50, 16]], float), ("a",), np.zeros(1, bool), (corners,), (corners,))
    view = View(Turn.of(number), 120.0, (0.0, 0.0), 120)
    shown, objects, share = view.of(pixels, tile)
    rows, columns = np.nonzero(shown > 130)
    box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert objects.boxes[0] == pytest.approx(box, abs=1)
    assert share[0] == pytest.approx(1)
    around = objects.corners[0]
    assert [*around.min(0), *around.max(0)] == pytest.approx(objects.boxes[0])
    assert max(shown.shape) == 120


def test_what_a_crop_hardly_shows_is_neither_object_nor_background() -> None:
    pixels = np.full((100, 100), 10, np.uint8)
    boxes = np.array([[10, 10, 30, 30], [70, 10, 90, 30], [44, 40, 64, 60]], float)
    tile = TileObjects(
        (100, 100), boxes, ("a",) * 3, np.zeros(3, bool), (boxes[0].reshape(2, 2),) * 3, (boxes[0].reshape(2, 2),) * 3
    )
    shown, objects, share = View(Turn(), 100.0, (0.0, 0.0), 48).of(pixels, tile)
    assert shown.shape == (48, 48)
    assert share == pytest.approx([1, 0, (4 * 8) / 400])
    part = batched([(shown, objects, share)], {"a": 1}, 16)
    assert part.images.shape == (1, 48, 48)
    assert part.targets[0].boxes.tolist() == [[10, 10, 30, 30]]
    assert part.targets[0].ignored.tolist() == [[44, 40, 48, 48]]


def test_a_batch_is_filled_up_to_whole_patches_with_masks_of_outlines() -> None:
    outline = np.array([[2, 2], [10, 2], [2, 10]], float)
    tile = TileObjects((20, 30), np.array([[2, 2, 10, 10]], float), ("a",), np.zeros(1, bool), (outline,), (outline,))
    pixels = np.full((20, 30), 7, np.uint8)
    part = batched([View(Turn(), 30.0, (0, 0), 30).of(pixels, tile)], {"a": 1}, 14, masks=True)
    assert part.images.shape == (1, 28, 42)
    assert part.sizes == [(20, 30)]
    assert not part.images[0, 20:].any()
    masks = part.targets[0].masks
    assert masks is not None
    assert int(masks.sum()) == pytest.approx(32, abs=4), "half of 8 x 8 pixels"


def test_batches_are_functions_of_the_step(boxed: Path, tmp_path: Path) -> None:
    settings = config(boxed, tmp_path / "run", scale=(0.6, 1.4))
    one, other = (Detection(settings, Engine(settings)).batches(0, 1) for _ in range(2))
    first = list(one.stream(0, 4))
    (again,) = other.stream(3, 4)
    assert torch.equal(first[3][0].images, again[0].images)
    assert torch.equal(first[3][0].targets[2].boxes, again[0].targets[2].boxes)
    assert not torch.equal(first[2][0].images, again[0].images)


# ---- objects --------------------------------------------------------------------------------------------------------


def test_objects_are_read_and_what_is_left_out_is_counted(boxed: Path) -> None:
    data = Dataset(boxed)
    names = data.tiles()["tile_id"].to_list()
    found, left = read_objects(data, names)
    assert sum(map(len, found.values())) == len(data.annotations())
    assert not left
    assert {name for tile in found.values() for name in tile.classes} == {"bar"}
    single, left = read_objects(data, names, "category", ClassMap({"ship": "ship"}))
    assert not sum(map(len, single.values()))
    assert left["of a class that is not asked for"] == len(data.annotations())
    mapped, _ = read_objects(data, names, "category", ClassMap({"bar": "ship"}, "object"))
    assert {name for tile in mapped.values() for name in tile.classes} == {"object"}
    assert inshore_tiles(data, names) is None, "without masks nobody knows"


# ---- the whole ------------------------------------------------------------------------------------------------------


def test_a_run_is_measured_kept_drawn_and_goes_on(boxed: Path, tmp_path: Path) -> None:
    result = detect(config(boxed, tmp_path / "run", ema=0.5))
    out = tmp_path / "run"
    assert (result["train_tiles"], result["test_tiles"]) == (24, 10)
    rows = {(row.encoder, row.metric): row for row in read_results(out / "metrics.json").rows}
    mine = rows[SMALL["encoder"], "AP50"]
    assert mine.floor_name == "CFAR"
    assert mine.floor == rows["floor:CFAR", "AP50"].value
    assert mine.n == int((~read_tables([out]).truth["ignored"]).sum())
    assert {"AP", "AP75", "AR"} <= {metric for _, metric in rows}
    assert [point.step for point in read_curve(out / "log.jsonl")] == [2, 4]
    assert (out / "curve.png").is_file()
    assert len(list((out / "pictures").glob("*.png"))) == 10
    assert "CFAR" in show(result)
    again = load_detector(out / "model")
    names = read_tables([out]).tiles["tile_id"].to_list()
    found = predictions(again, Dataset(boxed), names)
    saved = read_tables([out]).found
    pd.testing.assert_frame_equal(found[list(CORNERS)], saved[list(CORNERS)], rtol=1e-4)
    # From which score boxes count was measured on the validation tiles, and can be measured on tiles of others.
    card = read_json(out / "model" / "detector.json")
    assert {one["category"] for one in card[ENTRY]} <= {*again.classes}
    assert detector_count_scores(out).measured == bool(card[ENTRY])
    with pytest.raises(ValueError, match="has learned from"):
        settle_counts(out, Dataset(boxed))
    settled = settle_counts(out, Dataset(coco_set(tmp_path / "others", 12, 5, (64, 48))), precision="fp32")
    assert settled.known == detector_count_scores(out).known
    assert {one.octave for one in settled.known} >= {None}
    assert not detector_count_scores(out, 0.3).measured
    # A detector goes on from its weights, with fewer images.
    more = detect(config(boxed, tmp_path / "shots", init_from=out, shots=3, steps=2, batch_size=2))
    assert more["train_tiles"] == 3
    assert more["left_out"]["tiles beyond the shots"] > 10
    # And on larger images: the places of its patches are interpolated, all else stays.
    larger = Detector(
        open_encoder(SMALL["encoder"], "cpu", 2 * again.backbone.side), again.classes, DetectorConfig(**HEAD)
    )
    read_weights(larger, out)
    here, there = larger.backbone.visual_encoder.pos_embed, again.backbone.visual_encoder.pos_embed
    prefix, sides = again.backbone.visual_encoder.num_prefix_tokens, (larger.backbone.grid, again.backbone.grid)
    wanted = F.interpolate(
        there[:, prefix:].mT.unflatten(-1, sides[1]), sides[0], mode="bicubic", antialias=True, align_corners=False
    )
    torch.testing.assert_close(here[:, prefix:], wanted.flatten(2).mT, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(here[:, :prefix], there[:, :prefix])
    with pytest.raises(ValueError, match=r"has learned from .* of the tiles to be measured"):
        detect(config(boxed, tmp_path / "leak", init_from=out, protocol="groups"))
    # The very same images, imported under another name, have another fingerprint.
    with pytest.raises(ValueError, match=r"has learned, in another data set, from \d+ of the images"):
        detect(config(coco_set(tmp_path / "again", 40, 0), tmp_path / "leak", init_from=out, protocol="groups"))
    with pytest.raises(ValueError, match="another encoder, size or head"):
        detect(config(boxed, tmp_path / "other", init_from=out, detector={"width": 32}))
    (out / "model" / "detector.json").write_text("{}")
    with pytest.raises(ValueError, match="of no format"):
        load_detector(out / "model")


def test_a_stopped_run_ends_the_same(boxed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detect(config(boxed, tmp_path / "whole"))
    begin = Detection.figures

    def stops(self: Detection, step: int) -> dict[str, Any]:
        if step == 4:
            raise KeyboardInterrupt
        return begin(self, step)

    monkeypatch.setattr(Detection, "figures", stops)
    with pytest.raises(KeyboardInterrupt):
        detect(config(boxed, tmp_path / "cut"))
    monkeypatch.undo()
    detect(config(boxed, tmp_path / "cut"))
    one, other = (read_tables([tmp_path / name]).found for name in ("whole", "cut"))
    pd.testing.assert_frame_equal(one, other)


def test_folds_are_pooled_and_masks_give_rotated_boxes(boxed: Path, tmp_path: Path) -> None:
    folders = [tmp_path / f"fold-{fold}" for fold in range(2)]
    for fold, folder in enumerate(folders):
        detect(config(boxed, folder, protocol="groups", fold=fold, folds=2, steps=2, detector={"kind": "mask"}))
    tables = read_tables(folders)
    assert sorted(tables.tiles["tile_id"]) == sorted(Dataset(boxed).tiles()["tile_id"])
    rows = {(row.encoder, row.metric): row for row in BENCH.rows(folders, "bars", "groups", "mine")}
    pooled = coco_scores(tables.found, tables.truth, tables.tiles["tile_id"].to_list())
    assert rows["mine", "AP50"].value == pytest.approx(pooled["AP50"])
    drawn = rows["mine", "AP50"]
    assert drawn.ci is not None or (drawn.value == 0 and ALL_ALIKE in drawn.note)
    assert (tables.found["corners"].map(len) == 8).all()
    with pytest.raises(ValueError, match="measured the tile"):
        rows_of([folders[0], folders[0]], "bars", "groups", "mine")
    for name in (PREDICTIONS, TRUTH, TILES):
        assert (folders[0] / name).is_file()


def test_rows_of_folds_say_what_those_of_a_fold_say(boxed: Path, tmp_path: Path) -> None:
    folders = [tmp_path / f"fold-{fold}" for fold in range(2)]
    single = [
        detect(config(boxed, folder, protocol="random", fold=fold, folds=2, steps=2))
        for fold, folder in enumerate(folders)
    ]
    rows = BENCH.rows(folders, "bars", "random", "mine")
    assert all("Copies stand on both sides." in row.note for row in rows if row.value is not None)
    assert all("Copies stand on both sides." in str(row["note"]) for row in single[0]["rows"] if row["value"])
    assert {row.metric for row in rows if row.encoder == "floor:CFAR"} == {row.metric for row in rows}
    assert all(row.floor_name == "CFAR" for row in rows if row.value is not None), "no figure without its floor"


def test_a_class_that_nobody_learned_is_told_in_every_row(
    boxed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Dataset(boxed)
    test, read = {*data.tiles("test")["tile_id"]}, Dataset.annotations

    def other(self: Dataset) -> pd.DataFrame:
        table = read(self)
        return table.assign(category=["boat" if tile in test else "bar" for tile in table["tile_id"]])

    there = len(test & {*data.annotations()["tile_id"]})
    monkeypatch.setattr(Dataset, "annotations", other)
    result = detect(config(boxed, tmp_path / "run", steps=2))
    told = f"{there} measured tiles have objects of the class boat, which no training tile has"
    known = [row for row in result["rows"] if row["value"] is not None and row["encoder"] != "floor:CFAR"]
    assert known
    assert all(told in str(row["note"]) for row in known)


def test_upright_floors_of_rotated_boxes_are_measured_as_rotated(tmp_path: Path) -> None:
    """A detector that finds nothing has a row of 0, and CFAR's upright box of an upright object is right."""
    corners = np.array([[10.0, 10], [30, 10], [30, 20], [10, 20]])
    truth = {
        name: TileObjects(
            (64, 64), np.array([[10.0, 10, 30, 20]]), ("a",), np.zeros(1, bool), (corners,), (corners,), True
        )
        for name in ("one", "two")
    }
    box = np.array([[10.0, 10, 30, 20]])
    tables = DetectionTables(
        pd.DataFrame(columns=FOUND_SCHEMA.names),
        floor_table(["one", "two"], [(box, np.ones(1)), (box + 20, np.ones(1))]),
        truth_table(truth),
        tiles_table(truth, {name: name for name in truth}, None),
    )
    write_tables(tmp_path, tables)
    rows = {(row.encoder, row.metric): row for row in table_rows(read_tables([tmp_path]), "d", "test", "mine")}
    assert rows["mine", "AP50, rotated boxes"].value == 0
    # One of two is found by the first of two boxes of one score: 51 of 101 recalls, at a precision of 1.
    assert rows["mine", "AP50, rotated boxes"].floor == pytest.approx(51 / 101)


def test_another_set_is_measured_with_its_classes_mapped(boxed: Path, tmp_path: Path) -> None:
    """From one world to another: learned on one set alone, measured on tiles of the other."""
    other = coco_set(tmp_path / "real", 12, 5, (64, 48))
    settings = {"test_on": other, "protocol": "groups", "folds": 3, "single_class": True, "steps": 2}
    result = detect(config(boxed, tmp_path / "run", **settings))
    assert result["train_tiles"] + round(0.2 * 30) == pytest.approx(30, abs=2)
    tables = read_tables([tmp_path / "run"])
    assert {*tables.tiles["tile_id"]} <= {*Dataset(other).tiles()["tile_id"]}
    assert {*tables.truth["category"]} == {"object"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"label": "name"}, "label must be"),
        ({"scale": (1.2, 0.8)}, "two rising positive numbers"),
        ({"shots": 99}, "only .* training tiles have objects"),
        ({"classes": {"ship": "ship"}}, "No object of .* is called 'ship', as classes says: there are bar"),
        ({"classes": {"bar": "bar", "Bar": "other"}}, "No object of .* is called 'Bar'"),
        ({"encoder": "random:resnet10t"}, "no plain Vision Transformer"),
        ({"size": 60}, r"size 60 is no multiple of .* take 48 or 64"),
    ],
)
def test_what_cannot_work_is_one_sentence(changes: dict[str, Any], words: str, boxed: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=words):
        detect(config(boxed, tmp_path / "run", **changes))


def test_a_name_that_no_annotation_has_beside_others_of_its_class_is_told(boxed: Path, tmp_path: Path) -> None:
    """A mapping that several sets share names more than one of them holds."""
    data = Dataset(boxed)
    told = check_named(config(boxed, tmp_path, classes={"bar": "bar", "Bar": "bar"}), data)
    assert "is called 'Bar', as classes says: there are bar" in told
    assert check_named(config(boxed, tmp_path, classes={"bar": "ship"}), data) == ""


def test_measured_tiles_without_an_object_are_refused_before_training(
    boxed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hours of training would end in no figure and no word."""
    test, read = {*Dataset(boxed).tiles("test")["tile_id"]}, Dataset.annotations
    monkeypatch.setattr(Dataset, "annotations", lambda self: (table := read(self))[~table["tile_id"].isin(test)])
    settings = config(boxed, tmp_path / "run")
    with pytest.raises(ValueError, match=f"None of the {len(test)} tiles to measure .* nothing can be measured"):
        Detection(settings, Engine(settings))


def test_pixels_of_another_size_are_told_in_every_row(boxed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, tiles = Dataset(boxed), Dataset(boxed).tiles()
    train, test = tiles["tile_id"][:20].tolist(), tiles["tile_id"][20:].tolist()
    assert other_pixels(data, train, data, test) == "", "this set does not say them"
    sizes = np.where(np.arange(len(tiles)) < 20, 1.0, 3.0)
    monkeypatch.setattr(data, "tiles", lambda: tiles.assign(metres_per_pixel=sizes))
    assert "Pixels are 1 m in training and 3 m in what is measured" in other_pixels(data, train, data, test)
    monkeypatch.setattr(data, "tiles", lambda: tiles.assign(metres_per_pixel=np.where(sizes > 1, 1.2, 1.0)))
    assert other_pixels(data, train, data, test) == ""


def test_what_former_detectors_do_not_say_of_their_images_is_told(tmp_path: Path) -> None:
    group, test = {"a": "g", "b": "h"}, {"a": "set-0123456789abcdef"}
    before = [Learned("other", ["x"], None)]
    assert "cannot be assured" in check_learned(before, "this", group, test, tmp_path)
    assert check_learned([Learned("other", ["x"], ["city-1"])], "this", group, test, tmp_path) == ""
    assert check_learned([Learned("this", ["b"], None)], "this", group, test, tmp_path) == ""
    with pytest.raises(ValueError, match="in another data set"):
        check_learned([Learned("other", ["x"], ["mix-0123456789abcdef"])], "this", group, test, tmp_path)


def test_small_and_empty_are_left_out_only_where_asked_for(boxed: Path, tmp_path: Path) -> None:
    settings = config(boxed, tmp_path / "run", smallest_px=20, keep_empty=False, validation_share=0.0)
    with pytest.raises(ValueError, match="No object of"):
        Detection(settings, Engine(settings))
    settings = config(boxed, tmp_path / "run", smallest_px=10, keep_empty=False, validation_share=0.0)
    task = Detection(settings, Engine(settings))
    there = {*Dataset(boxed).annotations()["tile_id"]}
    empty = [tile_id for tile_id in Dataset(boxed).tiles("train")["tile_id"] if tile_id not in there]
    assert task.sides.left["tiles without objects"] == len(empty) > 0
    assert task.sides.left["objects shorter than 10 px"] == 0


# ---- pictures and tables --------------------------------------------------------------------------------------------


def test_right_false_and_missed_have_their_colours() -> None:
    def table(boxes: list[tuple[int, ...]], **more: Any) -> pd.DataFrame:
        columns = dict(zip(CORNERS, np.array(boxes, float).T))
        return pd.DataFrame({"category": "a", "corners": [[] for _ in boxes], **columns, **more})

    found = table([(10, 10, 30, 30), (100, 100, 130, 130)], score=[0.9, 0.8])
    truth = table([(11, 10, 31, 30), (60, 60, 90, 80)], ignored=[False, False])
    picture = np.asarray(draw_boxes(np.full((320, 320), 50, np.uint8), found, truth))
    assert tuple(picture[20, 40]) == RIGHT
    assert tuple(picture[200, 220]) == FALSE_ALARM
    assert tuple(picture[120, 150]) == MISSED


def test_a_mask_becomes_the_smallest_rotated_box_around_it() -> None:
    from knowlip.models.detection import FoundBoxes

    size = 28
    y, x = np.mgrid[:size, :size] + 0.5
    along, across = (x - 14) + (y - 14), (x - 14) - (y - 14)
    mask = torch.from_numpy(((np.abs(along) < 18) & (np.abs(across) < 6)).astype(np.float32))
    box = torch.tensor([[100.0, 50.0, 156.0, 106.0]])
    found = FoundBoxes(box, torch.tensor([0.9]), torch.tensor([1]), mask[None])
    table = found_table("tile", found, np.array([0.5, 0.5]), ["ship"])
    corners = np.array(table["corners"][0]).reshape(4, 2)
    assert corners.mean(0) == pytest.approx([64, 39], abs=0.6), "the middle of the box, in pixels of the tile"
    sides = np.linalg.norm(corners - np.roll(corners, 1, 0), axis=1)
    assert max(sides) / min(sides) == pytest.approx(3, abs=0.5)
    assert sides[:2].prod() == pytest.approx(36 / 2**0.5 * 12 / 2**0.5, rel=0.25)


def test_a_box_without_a_number_is_left_out_before_its_mask_is_looked_at() -> None:
    from knowlip.models.detection import FoundBoxes

    boxes = torch.tensor([[1.0, 2.0, 9.0, 6.0], [float("nan"), 0, 1, 1], [0, 0, float("inf"), 1]])
    found = FoundBoxes(boxes, torch.tensor([0.9, 0.8, 0.7]), torch.tensor([1, 1, 1]), torch.ones(3, 28, 28))
    table = found_table("tile", found, np.array([1.0, 1.0]), ["ship"])
    assert table["score"].tolist() == pytest.approx([0.9])
    assert table.attrs["without_number"] == 2


def test_bars_are_found_and_squares_are_not(tmp_path: Path) -> None:
    """From random weights in minutes: far above CFAR, for which all that is bright is a target."""
    data = coco_set(tmp_path / "many", 200, 1)
    changes = {"size": 96, "steps": 240, "batch_size": 8, "learning_rate": 1e-3, "layer_decay": 1.0, "ema": 0.95}
    timing = {"validation_share": 0.1, "log_every": 20, "checkpoint_every": 200, "validate_every": 60}
    model = {"scale": (0.9, 1.1)}
    detect(config(data, tmp_path / "run", **changes, **timing, **model, detector={"width": 48}))
    rows = {(row.encoder, row.metric): row.value for row in read_results(tmp_path / "run" / "metrics.json").rows}
    mine, floor = rows[SMALL["encoder"], "AP50"], rows["floor:CFAR", "AP50"]
    assert mine is not None
    assert floor is not None
    assert mine > 0.75, "88.9 % were measured"
    assert mine > floor + 0.4
    shutil.rmtree(tmp_path / "run")
