"""Neighbours against scikit-learn, floors in their order, figures of one fold and of several, and the confusion."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import confusion_matrix, top_k_accuracy_score
from sklearn.neighbors import KNeighborsClassifier

from knowlip.base.files import write_json
from knowlip.base.statistics import wilson
from knowlip.models.encoders import open_encoder
from knowlip.tasks.class_floors import Chips, ranked
from knowlip.tasks.class_rows import (
    class_rows,
    confusion,
    draw_confusion,
    predictions,
    right,
    voted,
)
from knowlip.tasks.classifier import Classifier, kept_summaries, summaries
from knowlip.tasks.runs import check_folds, notes_of, read_predictions, write_predictions

NAMES = ["bus", "car", "van"]


def test_the_nearest_neighbour_is_scikit_learns_and_votes_are_dinos() -> None:
    chance = torch.Generator().manual_seed(0)
    known, asked = torch.rand(200, 16, generator=chance), torch.rand(90, 16, generator=chance)
    label = torch.randint(0, 3, (200,), generator=chance)
    encoder = open_encoder("pixels:4")
    for k in (1, 7):
        head = Classifier(encoder, NAMES, "knn", 0.0, k, 200)
        head.standardise(known)
        head.remember(known, label)
        a, b = ((some - known.mean(0)) / known.std(0) for some in (known, asked))
        votes = KNeighborsClassifier(k, metric="cosine", weights=lambda far: np.exp(-far / 0.07)).fit(a, label)
        np.testing.assert_allclose(head.logits(asked).softmax(-1), votes.predict_proba(b), atol=2e-4)


def table(count: int = 60, seed: int = 0) -> tuple[list[str], np.ndarray, np.ndarray]:
    chance = np.random.default_rng(seed)
    truth = chance.integers(0, 3, count)
    scores = chance.dirichlet(np.ones(3), count)
    return [f"tile-{seed}-{number:02d}" for number in range(count)], truth, scores


def test_figures_are_scikit_learns() -> None:
    tile_ids, truth, scores = table()
    groups = [f"g{number // 3}" for number in range(60)]
    floor = np.array([NAMES] * 60, dtype=object)
    found = predictions(tile_ids, groups, [NAMES[one] for one in truth], NAMES, scores, {"majority class": floor})
    assert right(found, "said", 1).mean() == pytest.approx(top_k_accuracy_score(truth, scores, k=1))
    rows = {(row.encoder, row.metric): row for row in class_rows(found, "set", "groups", "e", "k-NN", "note")}
    top = rows["e", "top-1, k-NN"]
    assert (top.value, top.n, top.floor_name, top.note) == (
        pytest.approx(top_k_accuracy_score(truth, scores, k=1)),
        60,
        "majority class",
        "note",
    )
    assert top.floor == pytest.approx((truth == 0).mean())
    assert top.ci is not None
    assert top.ci[0] < float(top.value or 0) < top.ci[1]
    assert rows["e", "top-3, k-NN"].value == 1
    assert rows["e", "top-3, k-NN"].ci == pytest.approx(wilson(20, 20)), "20 groups, not 60 tiles"
    assert rows["e", "top-3, k-NN"].note == "note Interval: Wilson's score over 20 clusters."
    assert rows["floor:majority class", "top-1"].value == top.floor
    matrix = confusion(found)
    assert matrix["classes"] == NAMES
    assert matrix["counts"] == confusion_matrix(truth, scores.argmax(1)).tolist()
    for number, name in enumerate(NAMES):
        of = rows["e", f"top-1 of {name}, k-NN"]
        assert of.n == (truth == number).sum()
        assert of.value == pytest.approx((scores[truth == number].argmax(1) == number).mean())
        assert (of.floor, of.floor_name) == (float(number == 0), "majority class"), "the floor that is highest over all"


def test_seeds_that_answer_together_average_their_probabilities() -> None:
    tile_ids, truth, one = table()
    other = np.random.default_rng(7).dirichlet(np.ones(3), len(truth))
    first = predictions(tile_ids, tile_ids, [NAMES[at] for at in truth], NAMES, one, {})
    second = predictions(tile_ids, tile_ids, [NAMES[at] for at in truth], NAMES, other, {}).sample(
        frac=1, random_state=0
    )
    both = voted([first, second])
    mean = (one.astype(np.float32) + other.astype(np.float32)) / 2
    assert both["said"].str[0].tolist() == [NAMES[at] for at in mean.argmax(1)]
    np.testing.assert_allclose(both["probability"], mean.max(1), rtol=1e-6)
    assert right(both, "said", 1).mean() == pytest.approx(top_k_accuracy_score(truth, mean, k=1))
    assert voted([first])["said"].tolist() == first["said"].tolist()
    with pytest.raises(ValueError, match="other tiles, groups or classes"):
        voted([first, second.iloc[1:]])
    with pytest.raises(ValueError, match="other tiles, groups or classes"):
        voted([first, second.assign(classes=[NAMES[::-1]] * len(second))])
    for broken in ([0.5, 0.5], [0.5, 0.5, np.nan]):
        with pytest.raises(ValueError, match="no probability for each class"):
            voted([first, second.assign(probabilities=[broken] * len(second))])


def test_folds_are_pooled_and_a_tile_counts_once(tmp_path: Path) -> None:
    folders = []
    for seed in (0, 1):
        tile_ids, truth, scores = table(seed=seed)
        found = predictions(tile_ids, tile_ids, [NAMES[one] for one in truth], NAMES, scores, {})
        folders.append(tmp_path / str(seed))
        write_predictions(found, folders[-1])
    pooled = read_predictions(folders, ["tile_id"])
    assert len(pooled) == 120
    assert class_rows(pooled, "set", "groups", "e", "k-NN")[0].n == 120
    with pytest.raises(ValueError, match="measured the same tiles"):
        read_predictions([folders[0], folders[0]], ["tile_id"])


def test_what_is_no_finished_run_is_one_sentence(tmp_path: Path) -> None:
    tile_ids, truth, scores = table()
    found = predictions(tile_ids, tile_ids, [NAMES[one] for one in truth], NAMES, scores, {})
    write_predictions(found, tmp_path)
    write_json(tmp_path / "division.json", {"divided": "", "measured": [*tile_ids]})
    assert len(read_predictions([tmp_path], ["tile_id"])) == len(found)
    write_json(tmp_path / "division.json", {"divided": "", "measured": [*tile_ids, "more"]})
    assert len(read_predictions([tmp_path], ["tile_id"], whole=False)) == len(found)
    with pytest.raises(ValueError, match="not the same"):
        read_predictions([tmp_path], ["tile_id"])
    write_json(tmp_path / "division.json", {"divided": "", "measured": [*tile_ids[1:]]})
    with pytest.raises(ValueError, match="not the same"):
        read_predictions([tmp_path], ["tile_id"], whole=False)
    with pytest.raises(ValueError, match="no column question"):
        read_predictions([tmp_path], ["tile_id", "question"])
    (tmp_path / "config.yaml").write_text("encoder: e\n")
    for broken in ("{}", "[]", '{"details": {}}', '{"details": {"classify": 3}}'):
        (tmp_path / "metrics.json").write_text(broken)
        (tmp_path / "division.json").write_text(broken)
        with pytest.raises(ValueError, match=r"metrics.json is not what a finished run leaves"):
            notes_of([tmp_path], "classify", "e")
        with pytest.raises(ValueError, match=r"division.json is not what a finished run leaves"):
            check_folds([tmp_path], whole=False)


def test_a_class_that_nobody_learned_is_never_right_and_stands_in_the_matrix() -> None:
    found = predictions(["a", "b"], ["a", "b"], ["bus", "tram"], NAMES, np.eye(3)[[0, 1]], {})
    assert right(found, "said", 3).tolist() == [True, False]
    matrix = confusion(found)
    assert matrix["classes"] == ["bus", "car", "tram"]
    assert matrix["counts"] == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_names_of_classes_are_no_formulas() -> None:
    names = [r"$\frac{a$ _b", "$x$", "\u6e2f\u53e3"]
    assert draw_confusion({"classes": names, "counts": np.eye(3, dtype=int).tolist()}, "$y$").startswith(b"\x89PNG")


def test_the_matrix_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "confusion.png"
    path.write_bytes(draw_confusion({"classes": NAMES, "counts": np.eye(3, dtype=int).tolist()}, "title"))
    assert min(Image.open(path).size) > 200


def test_floors_rank_classes_and_the_window_is_one_where_size_is_hidden() -> None:
    chance = np.random.default_rng(0)
    names = np.array(["small", "tall"] * 40, dtype=object)
    sizes = np.stack([chance.integers(40, 60, 80), chance.integers(40, 60, 80) + 60 * (np.arange(80) % 2)], 1)
    thumbnails = chance.normal(size=(80, 32, 32)).astype(np.float32)
    chips = Chips(thumbnails, sizes, names, np.arange(80), np.minimum(sizes, 40))
    said = ranked(chips, np.arange(60), np.arange(60, 80))
    assert all(one.shape == (20, 2) for one in said.values())
    assert (said["chip size"][:, 0] == names[60:]).all()
    assert len({*said["chip size in the window"][:, 0]}) == 1, "it shows 40 pixels of all"
    chips.visible = None
    assert "chip size in the window" not in ranked(chips, np.arange(60), np.arange(60, 80))


def test_summaries_are_made_once_for_the_same_weights_and_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, images = open_encoder("random:test_vit", size=32), np.random.default_rng(0).integers(0, 256, (3, 32, 32))
    found = kept_summaries(encoder, images.astype(np.uint8), tmp_path, "these")
    torch.testing.assert_close(found, summaries(encoder, images.astype(np.uint8)))
    monkeypatch.setattr("knowlip.tasks.classifier.summaries", None)
    assert torch.equal(kept_summaries(encoder, images.astype(np.uint8), tmp_path, "these"), found)
    with pytest.raises(TypeError):
        kept_summaries(encoder, images.astype(np.uint8), tmp_path, "others")
    with torch.no_grad():
        next(encoder.module.parameters()).add_(1)
    with pytest.raises(TypeError):
        kept_summaries(encoder, images.astype(np.uint8), tmp_path, "these")
