"""What the audit finds in sets whose copies, leaks and floors are known."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from knowlip.benchmark.audit import APART, OWN, RANDOM, DatasetAuditConfig, dataset_audit, show
from knowlip.benchmark.floors import Chips, answers, grouped_splits, random_splits
from knowlip.cli import main
from knowlip.dataset.near_duplicates import CORRELATION, NearDuplicateFinder, thumbnail, turned

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
    for _ in range(3):
        finder.add(np.full((20, 20), 7, np.uint8))
    assert finder.groups().tolist() == [0, 1, 2]


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
    asked, right = answers(found, list(random_splits(found)))
    assert sorted(asked.tolist()) == list(range(240)), "each once"
    assert right["pixels, 1-NN"].mean() > 0.95
    asked, apart = answers(found, splits := list(grouped_splits(found)))
    assert sorted(asked.tolist()) == list(range(240))
    for learn, ask in splits:
        assert not {*found.groups[learn].tolist()} & {*found.groups[ask].tolist()}
    assert apart["pixels, 1-NN"].mean() < 0.7
    assert apart["chip size"].mean() > 0.9 < right["chip size"].mean()
    assert apart["majority class"].mean() == pytest.approx(0.5, abs=0.1)


def imported(folder: Path, leak: bool) -> Path:
    """A set of two classes with an official split; with `leak` copies of train stand in test, and one in both
    classes."""
    rng = np.random.default_rng(3)
    for split, count in (("train", 14), ("test", 8)):
        for name in RNG_CLASSES:
            for number in range(count):
                path = folder / "set" / split / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(blocks(rng, 40 + 8 * (name == "tank"))).save(path)
    if leak:
        for number in range(3):
            source = np.asarray(Image.open(folder / "set" / "train" / "ship" / f"{number}.png"))
            Image.fromarray(copy_of(source, rng)).save(folder / "set" / "test" / "ship" / f"copy{number}.png")
        Image.fromarray(copy_of(source, rng)).save(folder / "set" / "train" / "tank" / "wrong.png")
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
    kept = json.loads((tmp_path / "audit" / "audit.json").read_text())
    assert len(kept["rows"]) == 12
    own = next(row for row in kept["rows"] if row["split"] == OWN and row["encoder"] == "floor:pixels, 1-NN")
    assert own["value"] == pytest.approx(found["floors"][OWN]["pixels, 1-NN"]["top1"])
    page = (tmp_path / "audit" / "audit.html").read_text()
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
