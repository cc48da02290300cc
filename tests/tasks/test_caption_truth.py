"""True statements of captions: all of the labels' own, few of another tile's, none of what cannot be verified."""

from pathlib import Path
from typing import Any

import pandas as pd

from knowlip.annotators.labels.captions import captions
from knowlip.annotators.labels.facts import LabelSource
from knowlip.dataset import Dataset
from knowlip.tasks.caption_truth import METRIC, CaptionTruth, judged
from knowlip.tasks.captioning import caption_rows
from tests.annotators.tiny_dataset import build_tiny_dataset
from tests.tasks.test_items import ships  # noqa: F401
from tests.tiles.test_imports import picture, voc


def test_captions_of_the_labels_are_true_of_their_own_image(ships: Dataset) -> None:  # noqa: F811
    truth, source, count = CaptionTruth(ships), LabelSource(ships), 0
    for tile_id in ships.tiles()["tile_id"]:
        for text in captions(source.facts(tile_id)):
            verdicts = truth.verdicts(tile_id, text)
            assert all(verdicts), (tile_id, text)
            count += len(verdicts)
    assert count > 50


def test_nothing_is_verified_where_there_are_no_labels(tmp_path: Path) -> None:
    data = Dataset(build_tiny_dataset(tmp_path / "dataset"))
    assert CaptionTruth(data).verdicts(data.tiles()["tile_id"].iloc[0], "There are 2 ships.") == []


def test_a_wrong_number_and_a_wrong_place_are_false(ships: Dataset) -> None:  # noqa: F811
    truth, source = CaptionTruth(ships), LabelSource(ships)
    two = next(tile for tile in ships.tiles()["tile_id"] if source.facts(tile).counts.get("ship") == 2)
    none = next(tile for tile in ships.tiles()["tile_id"] if not source.facts(tile).targets)
    assert truth.verdicts(two, "There are 2 ships.") == [True]
    assert truth.verdicts(two, "there are 3 ships .") == [False]
    assert truth.verdicts(none, "There are 2 ships.") == [False]
    assert truth.verdicts(two, "It is a fine day. 船") == []
    # Of a ship that is hard to see nobody knows whether it counts.
    hard = ships.annotations()[ships.annotations()["difficult"]]["tile_id"].iloc[0]
    assert truth.verdicts(hard, "There are 9 ships.") == []


def test_sentences_on_other_categories_are_not_read_as_ones_on_ships(tmp_path: Path) -> None:
    from knowlip.tiles.imports import ImportConfig, import_dataset

    for number in range(6):
        for name in ("bridge", "tank"):
            picture(tmp_path / "in" / name / f"{number}.png", number + 10 * (name == "tank"), (64, 64))
    import_dataset(ImportConfig(tmp_path / "in", out=tmp_path / "out", format="folder"))
    data = Dataset(tmp_path / "out")
    truth = CaptionTruth(data)
    assert truth.targets == ()
    assert truth.verdicts(data.tiles()["tile_id"].iloc[0], "There are 2 bridges.") == []


def test_a_category_is_a_ship_however_it_is_written(tmp_path: Path) -> None:
    from knowlip.tiles.imports import ImportConfig, import_dataset

    (tmp_path / "in" / "labels").mkdir(parents=True)
    for number in range(4):
        picture(tmp_path / "in" / "images" / f"{number}.png", number, (64, 64))
        boxes = [(10 + 9 * n, 20, 16 + 9 * n, 26) for n in range(number)]
        voc(tmp_path / "in" / "labels" / f"{number}.xml", (64, 64), *boxes)
        text = (tmp_path / "in" / "labels" / f"{number}.xml").read_text()
        (tmp_path / "in" / "labels" / f"{number}.xml").write_text(
            text.replace(">ship<", ">Vessel<").replace("<difficult>1", "<difficult>0")
        )
    import_dataset(ImportConfig(tmp_path / "in", out=tmp_path / "out", format="voc"))
    data = Dataset(tmp_path / "out")
    assert {*data.annotations()["category"]} == {"Vessel"}
    truth = CaptionTruth(data)
    two = next(tile for tile, rows in data.annotations().groupby("tile_id") if len(rows) == 2)
    assert truth.verdicts(str(two), "There are 2 ships.") == [True]
    assert truth.verdicts(str(two), "There are 3 ships.") == [False]


def test_rows_stand_beside_the_twin_and_one_text_for_all(ships: Dataset) -> None:  # noqa: F811
    source = LabelSource(ships)
    tiles = [tile for tile in ships.tiles()["tile_id"] if captions(source.facts(tile))]
    own = [captions(source.facts(tile))[0] for tile in tiles]
    table = pd.DataFrame({"tile_id": tiles, "group": tiles, "said": own, "perfect": own})
    table["other"] = [*own[1:], None]
    table["references"] = [[text] for text in own]
    table["floor:frequent text"] = own[0]
    rows = {row.encoder: row for row in caption_rows(judged(ships, table), "d", "test", "m") if row.metric == METRIC}
    assert rows["m"].value == 1.0
    assert rows["the data set's own captions"].value == 1.0
    twin, fixed = rows["other-image:m"].value, rows["floor:frequent text"].value
    assert twin is not None
    assert fixed is not None
    assert max(twin, fixed) < 0.8
    assert rows["m"].floor == max(twin, fixed)
    silent: dict[str, Any] = {"said": ["Fine."] * len(tiles)}
    rows_ = caption_rows(judged(ships, table.assign(**silent)), "d", "test", "m")
    (empty,) = [row for row in rows_ if row.metric == METRIC and row.encoder == "m"]
    assert empty.value is None
    assert "can be verified" in empty.note
