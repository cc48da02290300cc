"""Cross-fitted screening: every tile is judged by a model that has not seen its place, or the pass is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from knowlip.cli import main
from knowlip.dataset import Dataset
from knowlip.dataset.figures import figures_path
from knowlip.dataset.layout import INDEX
from knowlip.models import load_model, save_model
from knowlip.scio.commands import scio_reconstruct, scio_screen
from knowlip.scio.crossfit import shared_out, trained_blocks
from knowlip.scio.job import CrossFittedJob, PassPlan
from knowlip.scio.tables import value_table
from tests.scio.test_offline import model, settings
from tests.training.runs import annotated, dataset

__all__ = ["annotated", "dataset", "model"]


def test_tiles_go_to_models_that_have_not_seen_their_place() -> None:
    blocks = {f"t{number:02}": f"b{number % 4}" for number in range(24)}
    seen = [frozenset({"b0", "b1"}), frozenset({"b2", "b3"})]
    first, second = shared_out(blocks, seen, ["A", "B"])
    assert {blocks[tile] for tile in first} == {"b2", "b3"}
    assert {blocks[tile] for tile in second} == {"b0", "b1"}
    assert sorted(first + second) == sorted(blocks)
    both = shared_out(blocks, [frozenset({"b0"}), frozenset({"b1"})], ["A", "B"])
    assert [len(mine) for mine in both] == [12, 12], "what both may judge is shared"
    with pytest.raises(ValueError, match="Every model has seen b1, the place of tile t01"):
        shared_out(blocks, [frozenset({"b0", "b1"}), frozenset({"b1", "b2"})], ["A", "B"])
    with pytest.raises(ValueError, match="B would judge 0 tiles"):
        shared_out(blocks, [frozenset(), frozenset(blocks.values())], ["A", "B"])


@pytest.fixture
def two(dataset: Path, model: Path, tmp_path: Path) -> tuple[list[Path], dict[str, str]]:
    """Two models, alike but for their cards: each has seen half of the places."""
    index = pq.read_table(dataset / INDEX)
    places = pa.array([f"place{row % 4}" for row in range(len(index))])
    pq.write_table(index.set_column(index.schema.get_field_index("block"), "block", places), dataset / INDEX)
    tiles = Dataset(dataset).tiles()
    blocks = dict(zip(tiles["tile_id"], tiles["block"].astype(str)))
    names, folders = sorted(set(blocks.values())), []
    for number in range(2):
        folders.append(tmp_path / f"model{number}")
        save_model(load_model(model), folders[-1], {"train_blocks": names[number::2]})
    return folders, blocks


def test_each_model_decides_on_the_places_that_it_has_not_seen(
    dataset: Path, model: Path, two: tuple[list[Path], dict[str, str]]
) -> None:
    folders, blocks = two
    names = sorted(set(blocks.values()))
    config = settings(dataset, folders[0], models=[folders[1]])
    result = scio_screen(config)
    rows = Dataset(dataset).texts(1)
    assert len(rows) == 168
    assert result["screened"] == (rows["decision"] == "screened").sum()
    assert len(result["models"]) == 2
    figures = json.loads(figures_path(dataset, 1).read_text())
    assert sum(one["sub_texts"] for one in figures["models"]) == figures["sub_texts"] == 168
    job = PassPlan("screen", config, 0).open()
    assert isinstance(job, CrossFittedJob)
    for number, one in enumerate(job.jobs):
        assert {blocks[tile] for tile in one.corpus.tile_ids} == set(names[1 - number :: 2])
        learned = {"noise-model": one_model(figures, number)}
        alone = one.work("screen", range(len(one.corpus.texts)), learned)
        mine = rows[rows["tile_id"].isin(set(one.corpus.tile_ids))]
        np.testing.assert_allclose(mine["delta_itc"], alone["itc"].to_numpy(), rtol=1e-4, atol=1e-5)
    assert scio_screen(config)["revision"] == 1, "the same command finds its revision"
    assert scio_reconstruct(config)["revision"] == 2
    assert set(Dataset(dataset).texts(2)["decision"]) <= {"kept", "rewritten", "rejected", "screened"}


def one_model(figures: dict[str, Any], number: int) -> pa.Table:
    noise = {**figures["models"][number]["noise_model"], "figures": {}}
    return value_table({"noise": noise, "true_positives": [], "false_positives": []})


def test_a_model_without_a_card_is_refused(dataset: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["scio", "screen", str(dataset), "--checkpoint", str(model), "--models", str(model), "--device", "cpu"]
    assert main(arguments) == 2
    assert "does not tell which places it was trained on" in capsys.readouterr().err.strip().splitlines()[-1]
    assert not (dataset / "revisions").exists()


@pytest.mark.parametrize("blocks", [[], "b1", None, {}])
def test_a_card_that_names_no_place_may_have_seen_any(blocks: Any, tmp_path: Path) -> None:
    (tmp_path / "knowlip.json").write_text(json.dumps({"card": {"train_blocks": blocks}}))
    with pytest.raises(ValueError, match="does not tell which places"):
        trained_blocks(tmp_path)
    (tmp_path / "knowlip.json").write_text(json.dumps({"card": {"train_blocks": ["b1", "b2"]}}))
    assert trained_blocks(tmp_path) == {"b1", "b2"}
