"""No model is measured on what it learned from, whatever the data set is called there."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from knowlip.dataset import Dataset
from knowlip.models import load_model
from knowlip.models.encoders.knowlip import card_of
from knowlip.models.encoders.protocol import UNKNOWN, EncoderCard
from knowlip.tasks.answering import VqaConfig, answer_questions
from knowlip.tasks.detect_settings import DetectConfig
from knowlip.tasks.detect_sides import DetectSides
from knowlip.tasks.objects import ClassMap
from knowlip.tasks.pretrain import _grown
from knowlip.tasks.unseen import also_seen, check_unseen, other_sets
from knowlip.tiles.imports import ImportConfig, import_dataset
from tests.inference.tiny_model import tiny_model
from tests.tasks.test_items import ships  # noqa: F401

A, B = "0123456789abcdef", "fedcba9876543210"


def tiles_of(*blocks: str) -> pd.DataFrame:
    names = [f"t{number}" for number in range(len(blocks))]
    return pd.DataFrame({"tile_id": names, "root_id": names, "split": "test", "block": blocks})


@pytest.mark.parametrize(
    ("seen", "measured", "refused"),
    [
        (f"ssdd-{A}", f"again-{A}", "images of another set"),
        (f"ssdd-{A}-train", f"again-{A}-test", "images of another set"),
        (f"ssdd-{A}", f"ssdd-{A}", "blocks to be measured"),
        (f"ssdd-{A}-train", f"ssdd-{A}-test", ""),  # two parts of one image
        (f"ssdd-{A}", f"again-{B}", ""),
        ("block+01.0000+002.0000", "block+01.0000+003.0000", ""),
    ],
)
def test_an_image_is_the_same_place_in_every_set(seen: str, measured: str, refused: str) -> None:
    tiles = tiles_of(measured)
    card = EncoderCard(("a",), "1" * 64, (seen,))
    if refused:
        with pytest.raises(ValueError, match=refused):
            check_unseen(card, "2" * 64, tiles, tiles, "me")
    else:
        note = check_unseen(card, "2" * 64, tiles, tiles, "me").note
        assert "me learned from other data sets than this one (11111111)" in note


def test_what_a_card_has_of_other_sets_is_said_and_that_of_the_measured_one_is_not() -> None:
    tiles = tiles_of("x")
    for own, others, said in (
        ("1", (), ""),
        ("1", ("2 ssdd",), "ssdd (2)"),
        ("2", ("1 ssdd", "3 polsf"), "(2, polsf (3))"),
        ("", ("1 ssdd",), ""),
    ):
        note = check_unseen(EncoderCard(("a",), own, ("y",), other_sets=others), "1", tiles, tiles, "me").note
        assert said in note
        assert ("learned from other" in note) == bool(said)


def test_cards_of_old_have_no_other_sets_and_a_start_hands_its_own_on() -> None:
    assert card_of({}) == EncoderCard((UNKNOWN,))
    assert card_of({"dataset_fingerprint": "1", "train_blocks": ["a"]}).other_sets == ()
    assert other_sets({"dataset_fingerprint": "1", "other_sets": ["2 b"]}, "3") == ["1", "2 b"]
    new: Any = {"dataset_fingerprint": "3", "train_blocks": ["a"], "quantiser": [], "windows_m": []}
    new |= {"sensors": [], "metres_per_pixel": []}
    assert "other_sets" not in _grown(new, {})
    assert _grown(new, {"other_sets": ["1", "3 c"]})["other_sets"] == ["1"]


def test_what_a_model_was_fine_tuned_on_is_refused_under_another_name(
    ships: Dataset,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Of a model of which nobody knows what it had learned from before."""
    import_dataset(
        ImportConfig(
            ships.path.parent / "in",
            out=tmp_path / "b",
            name="again",
            format="voc",
            test_endings="1",
            voc_corners="edges",
        )
    )
    small: Any = {"loggers": (), "workers": 0, "written": False, "batch_size": 4, "steps": 0}
    answer_questions(VqaConfig(dataset=ships.path, encoder=str(tiny_model(tmp_path / "m")), out=tmp_path, **small))
    saved = load_model(tmp_path / "model").card
    assert saved["other_sets"] == [f"{ships.fingerprint} {ships.path.name}"]
    again: Any = {"dataset": tmp_path / "b", "encoder": str(tmp_path / "model"), "out": tmp_path / "again", **small}
    with pytest.raises(ValueError, match=r"images of another set \(first: again-"):
        answer_questions(VqaConfig(**again))
    detect = DetectConfig(
        dataset=ships.path, encoder="pixels:32", out=tmp_path / "detect", test_on=tmp_path / "b", split="test"
    )
    sides = DetectSides.of(detect, ships, Dataset(tmp_path / "b"), ClassMap())
    number = {one: one.rpartition("-")[2] for one in (*sides.train, *sides.test)}
    assert not {number[one] for one in sides.train} & {number[one] for one in sides.test}
    assert sides.left["training tiles that are images to be measured"] > 0
    assert also_seen(saved, ships, ["z"])["other_sets"] == saved["other_sets"]
    assert (tmp_path / "model" / "README.md").read_text().count("Learned from, too") == 1
