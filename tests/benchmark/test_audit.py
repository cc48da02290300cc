"""What the audit finds in sets whose copies, leaks and floors are known."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from knowlip.benchmark.audit import DatasetAuditConfig, _protocols, dataset_audit, show
from knowlip.cli import main
from knowlip.dataset.near_duplicates import CORRELATION, NearDuplicateFinder, thumbnail, turned
from knowlip.tasks.cfar import Cfar, cfar_detections
from knowlip.tasks.class_floors import Chips, answers
from knowlip.tasks.metrics.boxes import matched
from knowlip.tasks.metrics.segmentation import floor_confusion, grey_counts, mean_iou, smoothed
from knowlip.tasks.protocols import APART, OWN, RANDOM, parts

RNG_CLASSES = ("ship", "tank")


def blocks(rng: np.random.Generator, side: int = 48) -> np.ndarray:
    values = np.kron(rng.integers(20, 235, (8, 8)), np.ones((-(-side // 8), -(-side // 8))))
    return np.asarray(values[:side, :side], np.uint8)


def copy_of(pixels: np.ndarray, rng: np.random.Generator, turns: int = 4) -> np.ndarray:
    """Other brightness, noise and orientation: what a set is "expanded" by."""
    changed = pixels * rng.uniform(0.6, 1.0) + rng.normal(0, 6, pixels.shape)
    return np.asarray(np.clip(np.rot90(changed, rng.integers(turns)), 1, 255), np.uint8)


def test_all_pairs_are_found_whatever_the_blocks() -> None:
    """As brute force over thumbnails in eight orientations says, pair by pair."""
    rng = np.random.default_rng(0)
    pictures = [blocks(rng) for _ in range(60)]
    pictures += [copy_of(pictures[n % 60], rng) for n in range(60)]
    pictures += [np.asarray(0.55 * pictures[n] + 0.45 * pictures[n + 1], np.uint8) for n in range(20)]  # near the limit
    finder = NearDuplicateFinder()
    for picture in pictures:
        finder.add(picture)
    thumbs = np.stack([thumbnail(picture) for picture in pictures])
    truth = np.max([np.einsum("iab,jab->ij", turn, thumbs) for turn in turned(thumbs)], 0)
    np.fill_diagonal(truth, 0)
    everything = range(len(pictures))
    found = {(i, j): correlation for i, j, correlation in finder.pairs(everything, everything)}
    assert {*found} == {tuple(pair) for pair in np.argwhere(truth > CORRELATION).tolist()}
    assert all(found[pair] == pytest.approx(truth[pair], abs=1e-5) for pair in found)
    assert len(found) > 100
    label, group = finder.groups(), {n: n for n in everything}
    for i, j in sorted(found):  # chains, the slow way
        low, high = sorted((group[i], group[j]))
        group = {n: low if g == high else g for n, g in group.items()}
    assert (label[:, None] == label[None]).tolist() == [[group[i] == group[j] for j in everything] for i in everything]
    assert (
        label.tolist()
        == np.unique([min(n for n in group if group[n] == g) for g in group.values()], return_inverse=True)[1].tolist()
    )


def test_groups_do_not_depend_on_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    finder = NearDuplicateFinder()
    for _ in range(12):
        picture = blocks(rng)
        for _ in range(3):
            finder.add(copy_of(picture, rng))
    whole = finder.groups()
    monkeypatch.setattr("knowlip.dataset.near_duplicates._AT_ONCE", 5)
    assert (finder.groups() == whole).all()
    assert whole.max() == 11


def test_flat_images_are_alike_to_nothing_and_there_may_be_none() -> None:
    finder = NearDuplicateFinder()
    assert len(finder.groups()) == 0
    for grey in (7, 8, 9, 8):
        finder.add(np.full((20, 20), grey, np.uint8))
    assert finder.groups().tolist() == [0, 1, 2, 1], "but for the very same pixels"


def chips(copies: int, seed: int = 0) -> Chips:
    """Two classes that nothing but copies and size tells: 30 pictures of each, `copies` times."""
    rng = np.random.default_rng(seed)
    finder, sizes, classes = NearDuplicateFinder(), [], []
    for number in range(60):
        picture = blocks(rng)
        for _ in range(copies):
            finder.add(copy_of(picture, rng, turns=1))
            classes.append(RNG_CLASSES[number % 2])
            sizes.append(rng.integers(60, 100, 2) + 60 * (number % 2))
    return Chips(finder.thumbnails(), np.array(sizes), np.array(classes, object), finder.groups())


def test_floors_tell_memory_from_knowledge() -> None:
    """Pixels know a class by its copies alone: no more with copies apart. Size tells it either way."""
    found = chips(copies=4)
    asked, right = answers(found, list(parts("random", found.classes, found.groups)))
    assert sorted(asked.tolist()) == list(range(240)), "each once"
    assert right["pixels, 1-NN"].mean() > 0.95
    asked, apart = answers(found, splits := list(parts("groups", found.classes, found.groups)))
    assert sorted(asked.tolist()) == list(range(240))
    for learn, ask in splits:
        assert not {*found.groups[learn].tolist()} & {*found.groups[ask].tolist()}
    assert apart["pixels, 1-NN"].mean() < 0.7
    assert apart["chip size"].mean() > 0.9 < right["chip size"].mean()
    assert apart["majority class"].mean() == pytest.approx(0.5, abs=0.1)


def imported(folder: Path, leak: bool, names: tuple[str, str] = RNG_CLASSES) -> Path:
    """A set of two classes with an official split; with `leak` copies of train stand in test, and one in both
    classes."""
    rng = np.random.default_rng(3)
    for split, count in (("train", 14), ("test", 8)):
        for name in names:
            for number in range(count):
                path = folder / "set" / split / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(blocks(rng, 40 + 8 * (name == names[1]))).save(path)
    if leak:
        for number in range(3):
            source = np.asarray(Image.open(folder / "set" / "train" / names[0] / f"{number}.png"))
            Image.fromarray(copy_of(source, rng)).save(folder / "set" / "test" / names[0] / f"copy{number}.png")
        Image.fromarray(copy_of(source, rng)).save(folder / "set" / "train" / names[1] / "wrong.png")
    out = folder / "ds"
    assert main(["dataset", "import", str(folder / "set"), "--format", "folder", "--out", str(out)]) == 0
    return out


def test_leaks_and_contradictions_are_counted_and_shown(tmp_path: Path) -> None:
    dataset = imported(tmp_path, leak=True)
    found = dataset_audit(DatasetAuditConfig(dataset, tmp_path / "audit"))
    copies = found["groups"]
    assert copies["across_splits"]["groups"] == 3
    assert copies["held_out_with_a_copy_in_train"] == 3
    assert (copies["conflicts"]["groups"], copies["conflicts"]["tiles"]) == (1, 3)
    assert {*found["floors"]} == {OWN, RANDOM, APART}
    assert found["floors"][OWN]["chip size"]["top1"] == 1.0
    kept = json.loads((tmp_path / "audit" / "dataset-audit.json").read_text())
    assert len(kept["rows"]) == 12
    own = next(row for row in kept["rows"] if row["split"] == OWN and row["encoder"] == "floor:pixels, 1-NN")
    assert own["value"] == pytest.approx(found["floors"][OWN]["pixels, 1-NN"]["top1"])
    page = (tmp_path / "audit" / "dataset-audit.html").read_text()
    assert page.count("<figure>") == 3, "the contradiction, and two other leaks"
    assert "3 tiles of val and test have a copy in train" in show(found)
    assert dataset_audit(DatasetAuditConfig(dataset))["groups"] == copies, "read again, without a page"


def test_a_clean_set_is_called_clean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = imported(tmp_path, leak=False)
    capsys.readouterr()
    assert main(["dataset", "audit", str(dataset)]) == 0
    said = capsys.readouterr().out
    assert "0 tiles of val and test have a copy in train" in said
    assert "44 groups of images that show the same (the largest holds 1)" in said
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").touch()
    assert main(["dataset", "audit", str(dataset), "--out", str(tmp_path / "other")]) == 2
    assert "holds something else" in capsys.readouterr().err


def test_tiles_of_one_image_stand_on_one_side(tmp_path: Path) -> None:
    """Tiles of an image look alike without being copies: apart from each other they would tell its class by heart."""
    rng = np.random.default_rng(10)
    for number in range(24):
        folder = tmp_path / "set" / RNG_CLASSES[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        common = np.tile(rng.normal(0, 30, (32, 32)), (2, 2))
        pixels = np.clip(120 + common + rng.normal(0, 20, (64, 64)), 1, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    line = ["dataset", "import", str(tmp_path / "set"), "--format", "folder", "--tile_px", "32"]
    assert main([*line, "--out", str(tmp_path / "data")]) == 0
    found = dataset_audit(DatasetAuditConfig(tmp_path / "data"))
    assert (found["groups"]["number"], found["kept_together"]) == (96, {"groups": 24, "largest": 4})
    assert found["floors"][RANDOM]["pixels, 1-NN"]["top1"] > 0.95
    assert found["floors"][APART]["pixels, 1-NN"]["top1"] < 0.75


# ---- places -------------------------------------------------------------------------------------------------------


def random_boxes(rng: np.random.Generator, most: int) -> np.ndarray:
    low = rng.uniform(0, 60, (rng.integers(0, most), 2))
    return np.hstack([low, low + rng.uniform(20, 40, low.shape)])


def test_average_precision_is_that_of_pycocotools() -> None:
    coco = pytest.importorskip("pycocotools.coco")
    from pycocotools.cocoeval import COCOeval

    rng = np.random.default_rng(4)
    there = [random_boxes(rng, 6) for _ in range(30)]
    found = []
    for true in there:  # some right, some moved, some twice, some out of nothing
        boxes = np.vstack([true + rng.normal(0, 3, true.shape), true[: len(true) // 2], random_boxes(rng, 4)])
        found.append((boxes, rng.permutation(len(boxes)) + rng.uniform(0, 0.9, len(boxes))))
    ours = matched(found, there)

    def sized(box: np.ndarray) -> list[float]:
        return [*box[:2], *(box[2:] - box[:2])]

    truth = coco.COCO()
    truth.dataset = {
        "images": [{"id": n} for n in range(30)],
        "categories": [{"id": 1}],
        "annotations": [
            {"id": n, "image_id": at, "category_id": 1, "bbox": sized(box), "area": 100.0, "iscrowd": 0}
            for n, (at, box) in enumerate(((at, box) for at, true in enumerate(there) for box in true), 1)
        ],
    }
    truth.createIndex()
    said = truth.loadRes(
        [
            {"image_id": at, "category_id": 1, "bbox": sized(box), "score": float(score)}
            for at, (boxes, scores) in enumerate(found)
            for box, score in zip(boxes, scores)
        ]
    )
    judged = COCOeval(truth, said, "bbox")
    judged.params.iouThrs = np.array([0.5])
    judged.evaluate()
    judged.accumulate()
    assert ours.average_precision() == pytest.approx(float(judged.eval["precision"][0, :, 0, 0, -1].mean()), abs=1e-6)
    assert 0.2 < ours.average_precision() < 0.95
    twice = matched(found + found, there + there)
    times = np.array([1.0] * 30 + [0.0] * 30)
    assert twice.average_precision(times) == pytest.approx(ours.average_precision()), (
        "an image that counts 0 is not there"
    )


def test_cfar_finds_bright_targets_in_speckle() -> None:
    rng = np.random.default_rng(5)
    images, there = {}, []
    for number in range(8):
        power = rng.exponential(1.0, (120, 160))
        boxes = []
        for _ in range(3):
            x, y = (int(value) for value in rng.integers((15, 15), (140, 100)))
            power[y : y + 6, x : x + 14] += 200
            boxes.append((x, y, x + 14, y + 6))
        images[number] = np.clip(10 * np.log10(power) / 45 * 254 + 80, 1, 255).astype(np.uint8)
        there.append(np.array(boxes, float))
    found, settings = cfar_detections(images, there, range(4), range(4, 8))
    assert found.average_precision() > 0.6
    assert len(found.there) == 4
    nothing, _ = cfar_detections({0: np.full((50, 50), 9, np.uint8)}, [np.zeros((0, 4))], [0], [0])
    assert np.isnan(nothing.average_precision()), "where nothing is, precision is no number"
    assert isinstance(settings, Cfar)


def test_grey_levels_tell_water_and_nothing_else() -> None:
    """Two classes that brightness tells, and one that it does not: the floor knows what a threshold knows."""
    rng = np.random.default_rng(6)
    counts = []
    for _ in range(10):
        mask = np.repeat(np.array([0, 1, 2], np.uint8), 20)[:, None].repeat(60, 1)
        pixels = np.where(mask == 0, 40, 160) + rng.normal(0, 8, mask.shape)
        mask[0, 0] = 255
        counts.append(grey_counts(smoothed(pixels.clip(0, 255).astype(np.uint8)), mask, 3))
    table = np.stack(counts)
    assert table.sum() == 10 * (3600 - 1), "a pixel without a class does not count"
    usual, grey = (floor_confusion(table[:5].sum(0), table[5:], by_grey) for by_grey in (False, True))
    assert usual.sum(0).sum(0).tolist().count(0) == 2, "everything is one class"
    # Of three classes one is right, two are mixed half and half: IoU about 1, 1/3, 1/3, or 1, 1/2, 0.
    assert mean_iou(grey.sum(0)) == pytest.approx(0.53, abs=0.06)
    assert mean_iou(usual.sum(0)) == pytest.approx(1 / 9, abs=0.01)


def test_sets_with_boxes_and_masks_have_floors_for_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    for number in range(12):
        split = "train" if number < 8 else "test"
        power, boxes = rng.exponential(1.0, (64, 80)), []
        for _ in range(2):
            x, y = (int(value) for value in rng.integers((4, 4), (60, 50)))
            power[y : y + 5, x : x + 9] += 300
            boxes.append(f"0 {(x + 4.5) / 80} {(y + 2.5) / 64} {9 / 80} {5 / 64}")
        pixels = np.clip(10 * np.log10(power) / 45 * 254 + 80, 1, 255).astype(np.uint8)
        for kind, suffix in (("images", "png"), ("labels", "txt")):
            (tmp_path / "set" / kind / split).mkdir(parents=True, exist_ok=True)
            path = tmp_path / "set" / kind / split / f"{number}.{suffix}"
            if kind == "images":
                Image.fromarray(pixels).save(path)
            else:
                path.write_text("\n".join(boxes))
    (tmp_path / "set" / "classes.txt").write_text("ship\n")
    out = tmp_path / "ds"
    assert main(["dataset", "import", str(tmp_path / "set"), "--format", "yolo", "--out", str(out)]) == 0
    found = dataset_audit(DatasetAuditConfig(out, tmp_path / "audit"))
    assert found["detection"][OWN]["CFAR"]["value"] > 0.4
    assert found["detection"][APART]["CFAR"]["n"] == 24
    assert "segmentation" in found["reasons"]
    assert "classification" in found["reasons"]
    assert "AP50" in (tmp_path / "audit" / "dataset-audit.html").read_text()
    assert f"AP50 without a model, {OWN}: CFAR" in show(found)


def test_what_nobody_need_find_counts_neither_way() -> None:
    """Difficult boxes and crowds, as VOC and COCO have it."""
    true = np.array([[0, 0, 10, 10, 0], [20, 0, 30, 10, 1]], float)
    boxes = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [50, 50, 60, 60]], float)
    found = matched([(boxes, np.array([0.5, 0.9, 0.1]))], [true])
    assert found.there.tolist() == [1]
    assert found.right.tolist() == [True, False], "the false alarm counts, the difficult one does not"
    assert found.average_precision() == pytest.approx(1.0)


def test_one_group_of_half_the_set_is_no_protocol() -> None:
    rng = np.random.default_rng(8)
    finder, one = NearDuplicateFinder(), blocks(rng)
    for number in range(40):
        finder.add(copy_of(one, rng) if number < 25 else blocks(rng))
    names = np.array(["ship" if number < 32 else "tank" for number in range(40)], object)
    given = Chips(finder.thumbnails(), np.full((40, 2), 48), names, finder.groups())
    found, reasons = _protocols(given, np.full(40, "train"), 0)
    assert {*found} == {RANDOM}
    assert "holds 25 of 40" in reasons[APART]


def test_parts_without_anything_to_ask_say_so(tmp_path: Path) -> None:
    """Held-out images without labels, as challenges have them: the copies are audited all the same."""
    rng = np.random.default_rng(9)
    for split, count in (("train", 4), ("test", 3)):
        for kind in ("images", "labels"):
            (tmp_path / "set" / kind / split).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(blocks(rng)).save(tmp_path / "set" / "images" / split / f"{number}.png")
            text = "0 0.5 0.5 0.2 0.2\n" if split == "train" else ""
            (tmp_path / "set" / "labels" / split / f"{number}.txt").write_text(text)
    (tmp_path / "set" / "classes.txt").write_text("ship\n")
    out = tmp_path / "ds"
    assert main(["dataset", "import", str(tmp_path / "set"), "--format", "yolo", "--out", str(out)]) == 0
    found = dataset_audit(DatasetAuditConfig(out))
    assert {*found["detection"]} == {APART}
    assert "no boxes" in found["reasons"][f"detection, {OWN}"]
    assert found["groups"]["number"] == 7


def test_another_folder_with_an_audit_stays(tmp_path: Path) -> None:
    dataset = imported(tmp_path, leak=False)
    mine = tmp_path / "mine"
    mine.mkdir()
    for name in ("dataset-audit.json", "thesis.txt"):
        (mine / name).write_text("{}")
    with pytest.raises(ValueError, match=r"holds something else \(thesis\.txt\)"):
        dataset_audit(DatasetAuditConfig(dataset, mine))
    assert (mine / "thesis.txt").exists()
