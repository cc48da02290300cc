"""Captions and questions from labels, and those that a user brings."""

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from knowlip.annotators.labels.captions import captions, unsaid
from knowlip.annotators.labels.facts import LabelFacts, LabelTarget
from knowlip.base.vocabulary import LAND_COVER, REGIONS, region_of
from knowlip.cli import main
from knowlip.dataset import Dataset
from knowlip.dataset.layout import ANNOTATIONS
from knowlip.jobs.store import alone
from knowlip.language.claims import parse_claims
from knowlip.language.clear import ALSO_OTHERS, MAY_BE_ONE, Clearness, clear_facts
from knowlip.language.direction_words import turn_words
from knowlip.language.directions import Turn
from knowlip.language.questions import QuestionType
from knowlip.tasks.items import Caption, Items, read_items, write_items
from knowlip.tasks.items.foreign import ImportItemsConfig, import_items
from knowlip.tasks.items.make import ITEMS, PAGE, MakeConfig, items_of, labelled, make, show
from knowlip.tasks.items.records import question_of
from knowlip.tiles.imports import ImportConfig, import_dataset
from tests.annotators.tiny_dataset import build_tiny_dataset
from tests.tiles.test_imports import picture, voc

NAN = float("nan")


def facts_of(*spots: tuple[str, float, float]) -> LabelFacts:
    targets = tuple(LabelTarget(name, "", x, y, NAN, NAN, NAN, NAN) for name, x, y in spots)
    return LabelFacts("t", targets, True, "ship", {}, (), frozenset(), None, ())


@pytest.fixture(scope="module")
def ships(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """40 images of 0 to 4 ships; the last is the first, a little darker, in the other split."""
    folder = tmp_path_factory.mktemp("ships")
    rng = np.random.default_rng(5)
    for number in range(40):
        path = folder / "in" / "images" / f"{number:03d}.png"
        pixels = picture(path, 0 if number == 39 else number, (90, 90))
        if number == 39:
            Image.fromarray((pixels * 0.95).astype(np.uint8)).save(path)
        boxes = [(x, y, x + 8, y + 6) for x, y in rng.uniform(1, 80, (number % 5, 2)).tolist()]
        labels = folder / "in" / "labels" / f"{number:03d}.xml"
        voc(labels, (90, 90), *boxes)
        if number % 5 < 4:  # of four the second and fourth are difficult
            labels.write_text(labels.read_text().replace("<difficult>1", "<difficult>0"))
    config = ImportConfig(folder / "in", out=folder / "out", format="voc", test_endings="3,6,9", voc_corners="edges")
    import_dataset(config)
    return Dataset(folder / "out")


# ---- captions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_captions_say_what_the_labels_say_and_turn_with_the_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    places = rng.random((rng.integers(1, 6), 2))
    facts = facts_of(*(("ship", float(x), float(y)) for x, y in places))
    texts = captions(facts)
    assert len({*texts}) == 5
    for number in range(8):
        turn = Turn.of(number)
        regions = sorted({region_of(*turn.place(float(x), float(y))) for x, y in places})
        for text in texts:
            turned = turn_words(text, turn)
            assert turned is not None
            count, where = turned.split(". ", 1)
            claims = parse_claims("marine", "Count", count)
            assert (claims["count"], claims["category"]) == (len(places), "ship")
            assert sorted(parse_claims("marine", "Location", where)["regions"]) == regions


def test_captions_name_every_category_and_none_where_there_is_none() -> None:
    text = captions(facts_of(("ship", 0.1, 0.1), ("bridge", 0.5, 0.5), ("ship", 0.2, 0.1), ("other", 0.9, 0.9)), 1)[0]
    assert text == (
        "Two ships are visible in the scene. The ships lie in the upper left. "
        "One bridge is visible in the scene. The bridge lies in the center."
    )
    assert captions(facts_of(), 2) == ("No ships are visible in the scene.", "There are no ships in the image.")
    nothing = LabelFacts("t", (), False, "", {}, (), frozenset(), None, ())
    assert captions(nothing) == unsaid(nothing) == ()
    with pytest.raises(ValueError, match="1 to 5"):
        captions(nothing, 6)


def test_captions_pass_over_what_the_labels_leave_open() -> None:
    hard = LabelTarget("ship", "", 0.1, 0.1, NAN, NAN, NAN, NAN, difficult=True)
    bridge = LabelTarget("bridge", "", 0.5, 0.5, NAN, NAN, NAN, NAN)
    facts = replace(facts_of(), targets=(hard, bridge))
    assert captions(facts, 1) == ("One bridge is visible in the scene. The bridge lies in the center.",)
    assert unsaid(facts) == ("a target is marked as difficult",)
    assert captions(replace(facts, targets=(hard,))) == ()
    cut = replace(hard, difficult=False, outside=0.2)
    facts = replace(facts, targets=(cut, bridge))
    assert unsaid(facts) == ("a target is cut by the edge",)
    assert "ship" not in captions(facts, 1)[0]
    assert captions(facts, 1, cut=1.0)[0].startswith("One bridge is visible in the scene.")
    assert "One ship is visible" in captions(facts, 1, cut=0.2)[0]
    assert unsaid(replace(facts, targets=(replace(cut, outside=NAN),))) == ("a target is cut by the edge",)
    ignored = LabelTarget("ignored regions", "", 0.1, 0.1, NAN, NAN, NAN, NAN)
    facts = replace(facts, targets=(bridge, ignored))
    assert (captions(facts), unsaid(facts)) == ((), ("a part of the image is marked as ignored",))
    land = {"shares": {"water": 0.7, "land": 0.3}, "known": frozenset({"water", "land"}), "labelled": False}
    seen = LabelFacts("t", (), usual="", grid=({"water": 0.7, "land": 0.3},) * 9, buildings=None, boxes=(), **land)  # type: ignore[arg-type]
    assert captions(replace(seen, unlabelled=0.1), 1) == captions(seen, 1) != ()
    few = replace(seen, unlabelled=0.995)
    assert (captions(few), unsaid(few)) == ((), ("more than 10% of the image has no class of land",))


# ---- made -----------------------------------------------------------------------------------------------------------


def test_items_of_an_imported_set(ships: Dataset, tmp_path: Path) -> None:
    config = MakeConfig(ships.path, tmp_path, copies="anywhere")
    result = make(config)
    items = read_items(tmp_path / ITEMS, ships)
    true = Counter(ships.annotations()["tile_id"])
    split = dict(zip(ships.tiles()["tile_id"], ships.tiles()["split"]))
    hard = {*ships.annotations()[ships.annotations()["difficult"]]["tile_id"]}
    assert len(items.captions) == 5 * (40 - len(hard)) == result["captions"] < 200
    assert not {one.tile_id for one in items.captions} & hard
    assert items.left_out["captions"] == {"a target is marked as difficult": len(hard)}
    counts = [one for one in items.questions if one.type == "count"]
    assert all(one.answer == str(true[one.tile_id]) for one in counts)
    assert not {one.tile_id for one in counts} & hard
    assert items.left_out["questions"]["count: a target is marked as difficult"] == len(hard)
    # Never more zeros than the most frequent other number, in each split by itself.
    for name in ("train", "test"):
        numbers = Counter(one.answer for one in counts if split[one.tile_id] == name)
        assert numbers["0"] <= max(number for answer, number in numbers.items() if answer != "0")
    boxes = ships.annotations().set_index("tile_id")
    for one in items.questions:
        if one.type == "position":
            rows = boxes.loc[[one.tile_id]]
            where = Counter(
                region_of(x + w / 2, y + h / 2)
                for x, y, w, h in rows[["x", "y", "width", "height"]].itertuples(index=False)
            )
            assert REGIONS[where.most_common(1)[0][0]] == one.answer
    assert "no questions, recognition: the labels know one category and no types: 40" in show(result)
    assert {one.answer for one in counts} == {"0", "1", "2", "3"}
    page = (tmp_path / "examples.html").read_text()
    assert page.count('class="card item"') >= 4
    assert any(one.question in page for one in counts)


@pytest.mark.parametrize("category", ["aircraft", ""])
def test_labels_of_whole_images_name_and_neither_count_nor_place(category: str, tmp_path: Path) -> None:
    for number, kind in enumerate(("A220", "A330", "Boeing787") * 2):
        picture(tmp_path / "chips" / kind / f"{number}.png", number, (64, 64))
    import_dataset(ImportConfig(tmp_path / "chips", out=tmp_path / "out", format="folder", category=category))
    items = items_of(Dataset(tmp_path / "out"), MakeConfig(tmp_path / "out", tmp_path, copies="anywhere"))
    assert items.types == ("recognition",)
    assert len(items.questions) == 6
    for kind in ("count", "position"):
        assert items.left_out["questions"][f"{kind}: the label is of the whole image"] == 6
    assert len(items.captions) == 5 * 6
    assert {one.caption for one in items.captions if "330" in one.caption} == (
        {
            "The aircraft is labelled an A330.",
            "Category an A330.",
            "The labels name an A330.",
            "By type the aircraft is an A330.",
            "An A330 as labelled.",
        }
        if category
        else {
            "The image shows an a330.",
            "An a330 can be seen.",
            "The image is of an a330.",
            "The target is an a330.",
            "What the image shows is an a330.",
        }
    )


def test_what_is_asked_depends_on_seed_and_tile_alone(ships: Dataset, tmp_path: Path) -> None:
    first, again = (items_of(ships, MakeConfig(ships.path, tmp_path, copies="anywhere")) for _ in range(2))
    other = items_of(ships, MakeConfig(ships.path, tmp_path, copies="anywhere", seed=1))
    assert first == again != other
    key = {(one.tile_id, one.type): one.answer for one in first.questions if one.type == "position"}
    assert key == {(one.tile_id, one.type): one.answer for one in other.questions if one.type == "position"}


def test_copies_of_what_is_held_out_are_not_learned_from(ships: Dataset, tmp_path: Path) -> None:
    items = items_of(ships, MakeConfig(ships.path, tmp_path))
    tiles = sorted(ships.tiles()["tile_id"])
    spoken = {one.tile_id for one in (*items.captions, *items.questions)}
    hard = {*ships.annotations()[ships.annotations()["difficult"]]["tile_id"]}
    assert {*tiles} - spoken - hard == {next(tile for tile in tiles if tile.endswith("-000"))}
    assert items.left_out["captions"]["a near copy of the tile is held out"] == 1


def test_balance_cuts_frequent_answers_to_the_median(ships: Dataset, tmp_path: Path) -> None:
    def numbers(balance: float) -> dict[str, Counter[str]]:
        items = items_of(ships, MakeConfig(ships.path, tmp_path, copies="anywhere", balance=balance))
        split = dict(zip(ships.tiles()["tile_id"], ships.tiles()["split"]))
        train = [one for one in items.questions if split[one.tile_id] == "train"]
        return {kind: Counter(one.answer for one in train if one.type == kind) for kind in items.types}

    free, even = numbers(0.0), numbers(1.0)
    for kind in even:
        median = np.median([*free[kind].values()])
        assert all(number <= min(median, free[kind][answer]) for answer, number in even[kind].items())
    assert sum(map(sum, (found.values() for found in even.values()))) < sum(
        map(sum, (found.values() for found in free.values()))
    )


def test_regions_by_number(ships: Dataset, tmp_path: Path) -> None:
    both, number, name = (
        items_of(ships, MakeConfig(ships.path, tmp_path, copies="anywhere", positions=how))
        for how in ("both", "number", "name")  # type: ignore[arg-type]
    )
    assert {*number.questions} | {*name.questions} == {*both.questions}
    told = {one.tile_id: one.answer for one in name.questions if one.type == "position"}
    found = {one.tile_id: one.answer for one in number.questions if one.type == "position"}
    assert found == {tile: f"region {REGIONS.index(region) + 1}" for tile, region in told.items()} != {}


def test_a_set_without_labels_is_refused_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build_tiny_dataset(tmp_path / "bare")
    assert main(["questions", "make", str(tmp_path / "bare"), "--out", str(tmp_path / "out")]) == 2
    assert "has no labels" in capsys.readouterr().err
    for wrong in (["--captions", "6"], ["--balance", "2"], ["--regions", "10"], ["--clear.border", "0.5"]):
        assert main(["questions", "make", str(tmp_path / "bare"), "--out", str(tmp_path / "out"), *wrong]) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1


# ---- the file -------------------------------------------------------------------------------------------------------


def changed(path: Path, **changes: Any) -> Path:
    found = json.loads(path.read_text())
    path.write_text(json.dumps(found | changes))
    return path


def test_a_file_comes_back_as_it_was_and_wrong_ones_are_refused(ships: Dataset, tmp_path: Path) -> None:
    tile, other = ships.tiles()["tile_id"][:2]
    items = Items(
        (Caption(tile, "Two ships.", "me"),),
        (question_of(tile, "How many?", "2", "count", "ship", "me"), question_of(other, "Why?", "because", "Reason 1")),
        {"captions": {}, "questions": {"count: too many": 3}},
        {"seed": 1},
    )
    path = tmp_path / "items.json"
    write_items(path, items, ships)
    assert read_items(path, ships) == items
    assert items.types == ("count", "reason_1")
    entry = {"tile_id": tile, "question": "How many?", "answer": "3"}
    for wrong, said in (
        ({"format": "other"}, "questions import"),
        ({"dataset": {"fingerprint": "0"}}, "other tiles"),
        ({"captions": [{"tile_id": tile}]}, "no caption"),
        ({"captions": [{"tile_id": "nowhere", "caption": "a"}]}, "nowhere"),
        ({"captions": {}}, "must be a list"),
        ({"left_out": {"questions": 3}}, "must hold objects"),
        ({"questions": [entry, entry | {"answer": "4"}]}, "with '4' and with '3'"),
        ({"questions": [entry | {"split": "val"}]}, "of the split 'val'"),
        ({"questions": [entry | {"answer": " "}]}, "no answer"),
    ):
        write_items(path, items, ships)
        with pytest.raises(ValueError, match=said):
            read_items(changed(path, **wrong), ships)


def test_items_do_not_outlive_the_labels_that_they_were_made_from(ships: Dataset, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(ships.path, tmp_path / "copy"))
    make(MakeConfig(copy, tmp_path / "made", copies="anywhere"))
    mine = Items((Caption(ships.tiles()["tile_id"][0], "Sea.", "me"),))
    write_items(tmp_path / "mine.json", mine, Dataset(copy))
    table = pq.read_table(copy / ANNOTATIONS)
    pq.write_table(table.slice(1), copy / ANNOTATIONS)
    changed_labels = Dataset(copy)
    assert changed_labels.fingerprint == ships.fingerprint
    with pytest.raises(ValueError, match="other labels"):
        read_items(tmp_path / "made" / ITEMS, changed_labels)
    assert read_items(tmp_path / "mine.json", changed_labels) == mine, "what others say does not rest on the labels"


# ---- those of others ------------------------------------------------------------------------------------------------


def test_captions_and_questions_of_others(ships: Dataset, tmp_path: Path) -> None:
    coco = {
        "images": [{"id": 7, "file_name": "images/000.png"}, {"id": 8, "file_name": "elsewhere.png"}],
        "annotations": [{"image_id": 7, "caption": " A\nship. "}, {"image_id": 8, "caption": "Nothing."}],
    }
    files = {
        "coco.json": json.dumps(coco),
        "vqa.csv": "image_name,question,answer,type\n001.png,How many ships?,Two,Instance Counting\n"
        "001.png,How many ships?,Two,Instance Counting\n002.jpg,Where?,,position\n",
        "lines.jsonl": '{"image": "003", "caption": "Sea."}\n\n{"image": "004.tif", "caption": "Sea."}\n',
        "llava.json": json.dumps(
            [
                {
                    "image": "005.png",
                    "conversations": [
                        {"from": "human", "value": "<image>\nIs there a ship?"},
                        {"from": "gpt", "value": "Yes"},
                    ],
                }
            ]
        ),
    }
    paths = []
    for name, content in files.items():
        paths.append(tmp_path / name)
        paths[-1].write_text(content)
    result = import_items(ImportItemsConfig(ships.path, paths, tmp_path / "out"))
    items = read_items(tmp_path / "out" / ITEMS, ships)
    number = {one: one.rpartition("-")[2] for one in ships.tiles()["tile_id"]}
    assert [(number[one.tile_id], one.caption) for one in items.captions] == [
        ("000", "A ship."),
        ("003", "Sea."),
        ("004", "Sea."),
    ]
    assert [(number[one.tile_id], one.type, one.question, one.answer) for one in items.questions] == [
        ("001", "instance_counting", "How many ships?", "Two"),
        ("005", "other", "Is there a ship?", "Yes"),
    ]
    assert result["left_out"] == {
        "captions": {"no accepted tile has the name of the image": 1},
        "questions": {"it has no answer": 1, "the same question about the same tile stands there twice": 1},
    }
    # What was written is a file of ours, and comes in again as it is.
    again = import_items(ImportItemsConfig(ships.path, [tmp_path / "out" / ITEMS], tmp_path / "again"))
    assert read_items(Path(again["items"]), ships).questions == items.questions


def imported(ships: Dataset, folder: Path, name: str, content: str) -> tuple[Items, Any]:
    """What an import makes of one file, and what it tells."""
    (folder / name).write_text(content)
    told = import_items(ImportItemsConfig(ships.path, [folder / name], folder / "out"))
    return read_items(folder / "out" / ITEMS, ships), told


def test_a_record_gives_its_caption_and_its_question_and_a_class_is_no_caption(ships: Dataset, tmp_path: Path) -> None:
    items, told = imported(ships, tmp_path, "both.csv", "image,caption,question,answer\n001.png,A ship.,How many?,1\n")
    assert [one.caption for one in items.captions] == ["A ship."]
    assert [(one.question, one.answer) for one in items.questions] == [("How many?", "1")]
    assert told["captions"] == 1
    with pytest.raises(ValueError, match="neither a caption nor a question"):
        imported(ships, tmp_path, "classes.csv", "image,label\n001.png,ship\n")


def test_turns_that_a_model_begins_are_refused_not_swapped(ships: Dataset, tmp_path: Path) -> None:
    turns = [{"from": "gpt", "value": "A ship."}, {"from": "human", "value": "What is it?"}]
    with pytest.raises(ValueError, match=r"record 1 of .* is from 'gpt'"):
        imported(ships, tmp_path, "a.json", json.dumps([{"image": "001.png", "conversations": turns}]))
    items, _ = imported(ships, tmp_path, "b.json", json.dumps([{"image": "001.png", "conversations": turns[::-1]}]))
    assert [(one.question, one.answer) for one in items.questions] == [("What is it?", "A ship.")]


def test_an_import_writes_only_what_can_be_read(ships: Dataset, tmp_path: Path) -> None:
    lines = [
        {"image": "001.png", "caption": "a" * 30_000},
        {"image": "001.png", "caption": "b" * 20_000},
        {"image": "002.png", "question": "Why?", "answer": "c" * 30_000},
    ]
    items, told = imported(ships, tmp_path, "long.jsonl", "\n".join(map(json.dumps, lines)))
    assert [len(one.caption) for one in items.captions] == [20_000]
    assert told["left_out"] == {kind: {"it has a text of more than 20,000 letters": 1} for kind in told["left_out"]}
    coco = {"images": [{"id": 1, "file_name": "001.png"}], "annotations": [{"image_id": 1, "caption": " "}] * 2}
    coco["annotations"].append({"image_id": 1, "caption": "A ship."})
    items, told = imported(ships, tmp_path, "coco.json", json.dumps(coco))
    assert [one.caption for one in items.captions] == ["A ship."]
    assert told["left_out"]["captions"] == {"it says nothing": 2}


def test_a_question_of_two_types_or_sources_is_asked_once(ships: Dataset, tmp_path: Path) -> None:
    rows = (
        "image,question,answer,type\n001.png,How many?,2,count\n001.png,How many?,2,number\n002.png,How many?,2,count\n"
    )
    items, told = imported(ships, tmp_path, "types.csv", rows)
    again = "the same question about the same tile stands there twice"
    assert [one.type for one in items.questions] == ["count", "count"]
    assert told["left_out"]["questions"] == {again: 1}
    one = items.questions[0]
    both = (one, question_of(one.tile_id, one.question, one.answer, "number", source="elsewhere"))
    write_items(tmp_path / "twice.json", Items(questions=both), ships)
    found = read_items(tmp_path / "twice.json", ships)
    assert (found.questions, found.left_out) == ((one,), {"questions": {again: 1}})


def test_a_caption_that_stands_twice_in_a_file_of_ours_is_read_once(ships: Dataset, tmp_path: Path) -> None:
    tile, other = ships.tiles()["tile_id"][:2]
    same = (Caption(tile, "A ship.", "me"), Caption(other, "A ship.", "me"), Caption(tile, "A ship.", "you"))
    write_items(tmp_path / "twice.json", Items(same), ships)
    found = read_items(tmp_path / "twice.json", ships)
    assert found.captions == same[:2]
    assert found.left_out == {"captions": {"the same caption of the same tile stands there twice": 1}}


def test_a_table_loses_no_row_or_column_without_a_word(ships: Dataset, tmp_path: Path) -> None:
    head = "image,question,answer\n"
    with pytest.raises(ValueError, match=r"no readable CSV file \(row "):
        imported(ships, tmp_path, "open.csv", head + '001.png,"How many?,1\n002.png,How many?,2\n003.png,Why?,no\n')
    with pytest.raises(ValueError, match="several columns 'answer'"):
        imported(ships, tmp_path, "two.csv", "image,question,answer,Answer\n001.png,How many?,1,2\n")
    items, _ = imported(ships, tmp_path, "gaps.csv", head + "001.png,How many?,2.0\n002.png,How long?,2.5\n")
    assert [one.answer for one in items.questions] == ["2", "2.5"]


SEVERAL = "several images of the file have the name of one tile"


@pytest.mark.parametrize(
    ("images", "kept"),
    [
        (("SSDD/001.png", "HRSID/001.jpg"), ()),
        (("train/001.png", "test/001.png"), ()),
        (("001.png", "001.jpg"), ()),
        (("\u8239001.png", "\u6d77001.png"), ()),
        (("train/001.png", "test/001.png", "train/002.png", "003.png"), ("003",)),  # whose folder is the set's?
        (("images/001.png", "001.png", "001", "a/images/001"), ("001",) * 4),
        (("in/001.png", "other/001.png"), ("001",)),  # the set's own folder
    ],
)
def test_two_images_do_not_become_one_tile(
    images: tuple[str, ...], kept: tuple[str, ...], ships: Dataset, tmp_path: Path
) -> None:
    lines = [{"image": image, "caption": f"Text {number}."} for number, image in enumerate(images)]
    lines.append({"image": "030.png", "caption": "Last."})
    items, told = imported(ships, tmp_path, "a.jsonl", "\n".join(map(json.dumps, lines)))
    assert tuple(one.tile_id.rpartition("-")[2] for one in items.captions) == (*kept, "030")
    left = len(images) - len(kept)
    assert told["left_out"]["captions"] == ({SEVERAL: left} if left else {})


def test_a_file_name_counts_before_an_id_and_columns_that_differ_are_left_out(ships: Dataset, tmp_path: Path) -> None:
    lines = [
        {"image_id": "003", "file_name": "012.png", "caption": "Of 12."},
        {"image_id": "004", "caption": "Of 4."},
        {"image": "005.png", "file_name": "006.png", "caption": "Of 5 or 6."},
        {"image": 7, "file_name": "images/007.png", "caption": "Of 7."},
    ]
    items, told = imported(ships, tmp_path, "a.jsonl", "\n".join(map(json.dumps, lines)))
    assert [(one.tile_id[-3:], one.caption) for one in items.captions] == [
        ("012", "Of 12."),
        ("004", "Of 4."),
        ("007", "Of 7."),
    ]
    assert told["left_out"]["captions"] == {"its columns name several images": 1}


def test_coco_images_of_one_id_are_refused(ships: Dataset, tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "001.png"}, {"id": 1, "file_name": "002.png"}]
    said = [{"image_id": 1, "caption": "A ship."}]
    with pytest.raises(ValueError, match=r"two images 1: 001\.png and 002\.png"):
        imported(ships, tmp_path, "a.json", json.dumps({"images": images, "annotations": said}))
    again = [images[0], images[0]]
    assert imported(ships, tmp_path, "a.json", json.dumps({"images": again, "annotations": said}))[0].captions


def test_one_question_is_told_whatever_its_capitals_and_blanks(ships: Dataset, tmp_path: Path) -> None:
    tile = ships.tiles()["tile_id"][0]
    one, same, other = (
        question_of(tile, *words)
        for words in (("How many ships?", "Two"), ("how many  ships ?", "two."), ("HOW MANY SHIPS ?", "3"))
    )
    path = tmp_path / "items.json"
    write_items(path, Items(questions=(one, same)), ships)
    assert read_items(path, ships).questions == (one,)
    write_items(path, Items(questions=(one, other)), ships)
    with pytest.raises(ValueError, match="with '3' and with 'Two'"):
        read_items(path, ships)


def test_answers_keep_their_capitals_and_signs_of_the_model_are_left_out(ships: Dataset, tmp_path: Path) -> None:
    lines = [
        {"image": "001.png", "question": "Which way does it head?", "answer": "NE"},
        {"image": "002.png", "question": "What is it? [SEP]", "answer": "a ship"},
        {"image": "003.png", "caption": "A [MASK] ship."},
    ]
    items, told = imported(ships, tmp_path, "a.jsonl", "\n".join(map(json.dumps, lines)))
    assert [one.answer for one in items.questions] == ["NE"]
    assert told["left_out"] == {kind: {"it holds a sign of the model's own, as [SEP]": 1} for kind in told["left_out"]}
    write_items(tmp_path / "mine.json", Items((Caption(items.questions[0].tile_id, "A [PAD]."),)), ships)
    with pytest.raises(ValueError, match=r"holds \[PAD\]"):
        read_items(tmp_path / "mine.json", ships)


def test_labels_that_nobody_knows_stay_unknown_and_a_page_is_of_its_items(
    ships: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "old.json"
    write_items(path, Items((Caption(ships.tiles()["tile_id"][0], "Sea.", "labels"),)), ships)
    changed(path, dataset={"fingerprint": ships.fingerprint})
    import_items(ImportItemsConfig(ships.path, [path], tmp_path / "out"))
    assert "labels_sha256" not in json.loads((tmp_path / "out" / ITEMS).read_text())["dataset"]
    capsys.readouterr()
    read_items(tmp_path / "out" / ITEMS, ships)
    assert "from which labels" in "".join(capsys.readouterr())
    assert (tmp_path / "out" / PAGE).is_file()

    def killed(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("knowlip.tasks.items.make.write_page", killed)
    with pytest.raises(KeyboardInterrupt):
        import_items(ImportItemsConfig(ships.path, [path], tmp_path / "out"))
    assert not (tmp_path / "out" / PAGE).exists()
    with alone(tmp_path / "out" / ".writing", ""), pytest.raises(ValueError, match="Another process writes"):
        import_items(ImportItemsConfig(ships.path, [path], tmp_path / "out"))


def test_columns_of_other_names_and_tables_that_say_nothing(ships: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("picture,ask,say\n001.png,How many?,2\n")
    with pytest.raises(ValueError, match="picture, ask, say"):
        import_items(ImportItemsConfig(ships.path, [path], tmp_path / "out"))
    columns = ("image=picture", "question=ask", "answer=say")
    result = import_items(ImportItemsConfig(ships.path, [path], tmp_path / "out", columns=columns))
    assert sum(map(len, result["questions"].values())) == 1
    path.write_text("picture,ask,say\n999.png,How many?,2\n")
    with pytest.raises(ValueError, match="None of 1 captions and questions"):
        import_items(ImportItemsConfig(ships.path, [path], tmp_path / "out", columns=columns))
    for content in ("a,b\n1,2,3\n", "image,caption\n"):
        path.write_text(content)
        with pytest.raises(ValueError, match=r"table\.csv"):
            import_items(ImportItemsConfig(ships.path, [path], tmp_path / "out"))
    with pytest.raises(ValueError, match="WHAT=NAME"):
        ImportItemsConfig(ships.path, [path], tmp_path / "out", columns=("image",))


NOT_TEXT = "what it says is neither text nor number, as a list or true"


def test_what_is_no_text_is_not_written_as_one(ships: Dataset, tmp_path: Path) -> None:
    """A caption that is null is no caption "None", a list none in brackets."""
    images = [{"id": "a", "file_name": "000.png"}, {"id": "b", "file_name": "001.png"}]
    said = [("a", None), ("b", ["x", "y"]), ("a", "Ein Schiff für Ü."), ("b", "  "), ("b", 3)]
    annotations = [{"image_id": name, "caption": text} for name, text in said]
    items, told = imported(ships, tmp_path, "c.json", json.dumps({"images": images, "annotations": annotations}))
    assert [one.caption for one in items.captions] == ["Ein Schiff für Ü."]
    assert told["left_out"]["captions"] == {"it says nothing": 2, NOT_TEXT: 2}
    bad = {"images": [{"id": 1, "file_name": None}], "annotations": annotations}
    with pytest.raises(ValueError, match="file_name that is no text"):
        imported(ships, tmp_path, "d.json", json.dumps(bad))


def test_empty_cells_of_a_table_are_counted_and_do_not_refuse_it(
    ships: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    items, told = imported(ships, tmp_path, "a.csv", "image,caption,split\n000.png,,test\n001.png,ok,train\n")
    assert [one.caption for one in items.captions] == ["ok"]
    assert told["left_out"]["captions"] == {"it says nothing": 1}
    assert "a.csv: nothing is read from split" in capsys.readouterr().err
    records: list[dict[str, Any]] = [
        {"image": "000.png", "question": "", "answer": "x"},
        {"image": "001.png", "question": "How many?", "answer": ""},
        {"image": "001.png", "question": "Is it?", "answer": True},
        {"image": "002.png", "question": "How many?", "answer": 2.0},
        {"image": "002.png", "question": "Which?", "answer": ["a", "b"]},
        {"image": "003.png", "question": "How long?", "answer": 2.5, "type": ["x"]},
        {"image": "004.png", "caption": "A ship.", "question": "", "answer": None},
    ]
    items, told = imported(ships, tmp_path, "b.json", json.dumps(records))
    assert [(one.question, one.answer, one.type) for one in items.questions] == [
        ("How many?", "2", "other"),
        ("How long?", "2.5", "other"),
    ]
    assert told["left_out"]["questions"] == {NOT_TEXT: 2, "it asks nothing": 1, "it has no answer": 1}
    assert [one.caption for one in items.captions] == ["A ship."]
    assert not told["left_out"]["captions"]


def test_nobody_counts_a_kind_where_the_image_holds_others_of_it() -> None:
    facts = facts_of(("ship", 0.1, 0.1), ("warship", 0.5, 0.5), ("ship", 0.2, 0.1), ("bridge", 0.9, 0.9))
    text = captions(facts, 1)[0]
    assert "warship" in text
    assert "bridge" in text
    assert " ship" not in text
    assert unsaid(facts) == (ALSO_OTHERS,)
    both = clear_facts(labelled(facts, ("bridge", "ship", "warship"), False), Clearness())
    assert both[0].counts == {"warship": 1, "bridge": 1}
    assert "ship" not in (both[0].regions or {})
    assert both[1][QuestionType.COUNT] == ALSO_OTHERS
    alone = facts_of(("ship", 0.1, 0.1), ("bridge", 0.9, 0.9))
    assert unsaid(alone) == ()
    known = clear_facts(labelled(alone, ("bridge", "ship", "warship"), False), Clearness())[0]
    assert known.counts == {"ship": 1, "bridge": 1, "warship": 0}


@pytest.mark.parametrize(("name", "why"), [("unknown", MAY_BE_ONE), ("", MAY_BE_ONE), ("other ship", ALSO_OTHERS)])
def test_what_nobody_has_named_may_be_a_ship(name: str, why: str) -> None:
    """An image of one target of no kind is no image without ships; one of "other" is none of the named kinds."""
    for there in ((), (("ship", 0.1, 0.1),)):
        facts = facts_of((name, 0.5, 0.5), *there)
        known, reasons = clear_facts(labelled(facts, ("bridge", "ship"), False), Clearness())
        assert "ship" not in (known.counts or {})
        assert reasons[QuestionType.COUNT] == why
        assert captions(facts) == ()
    known = clear_facts(labelled(facts_of(("other", 0.5, 0.5)), ("bridge", "ship"), False), Clearness())[0]
    assert known.counts == {"bridge": 0, "ship": 0}


def test_roads_of_a_mask_are_no_part_of_a_landform_beside_them() -> None:
    """Of a region that is half road and half wood nobody says that it is wood; truth's thin roads change nothing."""
    cell = {"wood": 0.45, "road": 0.55}
    grid = ({"wood": 1.0, "road": 0.0}, *[cell] * 8)
    shares = {"wood": 0.45 * 8 / 9 + 1 / 9, "road": 0.55 * 8 / 9}
    masks = LabelFacts("t", (), False, "", shares, grid, frozenset(shares), None, ())
    known, _ = clear_facts(labelled(masks, (), False), Clearness())
    assert known.main is None
    assert known.grid == ("wood", *[None] * 8)
    assert unsaid(masks) != ()
    assert captions(masks) == ()
    truth = replace(masks, known=frozenset(LAND_COVER.values()))
    assert clear_facts(labelled(truth, (), False), Clearness())[0].grid == ("wood",) * 9
    # By hand: 5 % road, 80 % wood, 15 % water stay clear, and the shares of the rest are what is asked.
    few = {"wood": 0.8, "road": 0.05, "water": 0.15}
    thin = labelled(replace(masks, shares=few, grid=(few,) * 9, known=frozenset(few)), (), False)
    assert thin.unlabelled == pytest.approx(0.05)
    assert thin.forms["wood"] == pytest.approx(0.8 / 0.95)
    assert thin.grid_unlabelled == pytest.approx((0.05,) * 9)
    assert clear_facts(thin, Clearness())[0].main == "wood"
