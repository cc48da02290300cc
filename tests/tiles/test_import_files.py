"""Files of labelled sets: an image is its path, labels find theirs by it, official splits stay, nothing goes unsaid."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from knowlip.dataset import Dataset
from knowlip.tiles.imports import ImportConfig, import_dataset, show
from knowlip.tiles.imports.files import LookedFor, PathIndex, files_under, folder_split, key_of, read_lines, split_word
from knowlip.tiles.imports.labels import LabelledImage, Problems
from knowlip.tiles.imports.run import read_labels
from knowlip.tiles.imports.splits import official

BOX = "0 .5 .5 .25 .25\n"
CORNERS = "5 5 15 5 15 15 5 15 {} 0\n"


def image(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(20, 200, (48, 48)).astype(np.uint8)).save(path)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def labelled(source: Path, problems: Problems | None = None, **settings) -> dict[str, LabelledImage]:
    config = ImportConfig(source, out=source / "out", **settings)
    problems = problems or Problems(config.skip_bad)
    images, _ = official(read_labels(config, problems), config, problems)
    return {one.name: one for one in images}


# ---- walking --------------------------------------------------------------------------------------------------------


def test_links_are_followed_hidden_files_passed_over_and_circles_refused(tmp_path):
    write(tmp_path / "set" / "a.txt", "")
    write(tmp_path / "disk" / "b.TXT", "")
    for hidden in (".ipynb_checkpoints/c.txt", "__MACOSX/d.txt", "._a.txt"):
        write(tmp_path / "set" / hidden, "")
    write(tmp_path / "set" / "image.png", "")
    (tmp_path / "set" / "part").symlink_to(tmp_path / "disk")
    (tmp_path / "set" / "null.txt").symlink_to("/dev/null")
    hidden: list[Path] = []
    found = files_under(tmp_path / "set", (".txt",), hidden)
    assert [path.name for path in found] == ["a.txt", "b.TXT"], "a device is no file"
    assert sorted(path.name for path in hidden) == ["._a.txt", ".ipynb_checkpoints", "__MACOSX"]
    (tmp_path / "disk" / "circle").symlink_to(tmp_path / "set")
    with pytest.raises(ValueError, match="circle is a link to a folder above it"):
        files_under(tmp_path / "set", (".txt",))


def test_texts_of_windows_editors(tmp_path):
    path = tmp_path / "list.txt"
    for content in (b"\xef\xbb\xbfship\r\ndock\r\n", "ship\r\ndock".encode("utf-16"), b"ship\ndock"):
        path.write_bytes(content)
        assert read_lines(path) == ["ship", "dock"]
    path.write_bytes("舰船".encode("gbk"))
    with pytest.raises(ValueError, match="not text in UTF-8"):
        read_lines(path)


# ---- which label belongs to which image -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "labels", "found"),
    [
        (["areaA/1", "areaB/1"], ["areaA/1.txt", "areaB/1.txt"], ["areaA/1", "areaB/1"]),
        (["train/images/1", "val/images/1"], ["train/labels/1.txt", "val/labelTxt/1.TXT"], [*"ab"]),
        (["areaA/1"], ["C:\\sets\\images\\areaA\\1.tif"], ["areaA/1"]),
        (["areaA/1"], ["areaA/1.xml", "areaB/1.xml"], ["areaA/1", None]),  # B's image is not there: A's is not taken
        (["areaA/1"], ["1.png"], ["areaA/1"]),
        (["areaA/1"], ["other/1.png"], ["areaA/1"]),  # by its name alone: no other could be meant
        (["1.5m_a", "1.5m_b"], ["1.5m_b", "1.5m_a"], ["1.5m_b", "1.5m_a"]),  # dots that end no name
        (["areaA/1", "areaB/1"], ["1.png"], ["!areaA/1 or areaB/1"]),
        (["1"], ["areaA/1.txt", "areaB/1.txt"], ["!areaA/1.txt and areaB/1.txt could both be of 1"] * 2),
    ],
)
def test_a_label_finds_its_image_by_path_then_by_a_unique_name(images, labels, found):
    index = PathIndex(images, [""] * len(images))
    for number, want in zip(index.match([LookedFor(name) for name in labels]), found, strict=True):
        if want in ("a", "b"):
            assert number == "ab".index(want)
        elif want is not None and want.startswith("!"):
            assert want[1:] in str(number)
        else:
            assert (None if number is None else images[number]) == want


def test_a_list_of_a_split_means_the_images_of_its_folder():
    index = PathIndex(["train/1", "val/1", "val/2"], ["train", "val", "val"])
    assert index.match([LookedFor("1.png", "val"), LookedFor("1.png", "train")]) == [1, 0]
    assert index.match([LookedFor("val/2.png", "train"), LookedFor("2.png", "train")]) == [2, None], (
        "said in full, and not"
    )
    assert index.match([LookedFor("2.png", "train")]) == [2], "a list of a split may draw on another one's folder"
    assert PathIndex(["a_sar", "b_sar"], ["", ""], "_sar").match([LookedFor("b.txt"), LookedFor("a_sar.txt")]) == [1, 0]
    assert key_of("../data/images/train/1.5m.PNG") == ("data", "train", "1.5m")


LAYOUTS = {
    "ultralytics": [("images/train/a", "labels/train/a.txt"), ("images/val/a", "labels/val/a.txt")],
    "roboflow": [("train/images/a", "train/labels/a.txt"), ("valid/images/a", "valid/labels/a.txt")],
    "darknet": [("data/a", "data/a.txt"), ("data/b", "data/b.txt")],
    "splits of images alone": [("images/train/a", "labels/a.txt"), ("images/val/b", "labels/b.txt")],
    "splits of labels alone": [("images/a", "labels/train/a.txt"), ("images/b", "labels/val/b.txt")],
    "upper case": [("JPEGImages/a", "labels/a.TXT"), ("JPEGImages/b", "labels/b.TXT")],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_yolo(tmp_path, layout):
    for number, (path, label) in enumerate(LAYOUTS[layout]):
        image(tmp_path / f"{path}.png", number)
        write(tmp_path / label, BOX * (number + 1))
    write(tmp_path / "data.yaml", "names: [ship]\n")
    write(tmp_path / "README.roboflow.txt", "About this set: 2 images.\n")
    problems = Problems(False)
    found = labelled(tmp_path, problems, format="yolo")
    assert [len(one.things) for one in found.values()] == [1, 2]
    assert (problems.label_files, problems.used_files, problems.missing) == (2, 2, [])
    if "split" in layout or layout in ("ultralytics", "roboflow"):
        assert [one.split for one in found.values()] == ["train", "val"]


def test_splits_that_data_yaml_names(tmp_path):
    for number, part in enumerate(("one", "two", "two/deep")):
        image(tmp_path / "images" / part / f"{number}.png", number)
        write(tmp_path / "labels" / part / f"{number}.txt", BOX)
    write(tmp_path / "data.yaml", "path: .\ntrain: images/one\nval: [images/two]\nnames: [ship]\n")
    assert [one.split for one in labelled(tmp_path, format="yolo").values()] == ["train", "val", "val"]
    write(tmp_path / "data.yaml", "train: images\nval: images\nnames: [ship]\n")
    assert {one.split for one in labelled(tmp_path, format="yolo").values()} == {""}


def test_lists_that_data_yaml_names(tmp_path):
    for number in range(3):
        image(tmp_path / "images" / f"{number}.png", number)
        write(tmp_path / "labels" / f"{number}.txt", BOX)
    write(tmp_path / "data.yaml", "train: lists/tr.txt\nval: ../lists/va.txt\nnames: [ship]\n")
    write(tmp_path / "lists" / "tr.txt", "./images/0.png\n./images/1.png\n")
    with pytest.raises(ValueError, match=r"data\.yaml says val: '../lists/va.txt', which is no folder and no list"):
        labelled(tmp_path, format="yolo")
    assert {one.split for one in labelled(tmp_path, format="yolo", ignore_splits=True).values()} == {""}
    write(tmp_path / "lists" / "va.txt", "images/2.png\n")
    assert [one.split for one in labelled(tmp_path, format="yolo").values()] == ["train", "train", "val"]
    write(tmp_path / "lists" / "va.txt", "./images/1.png\n")
    with pytest.raises(ValueError, match="1 is in train and in val"):
        labelled(tmp_path, format="yolo")


def test_a_list_alone_is_a_split(tmp_path):
    for number in range(3):
        image(tmp_path / "images" / f"{number}.png", number)
        write(tmp_path / "labels" / f"{number}.txt", BOX)
    write(tmp_path / "classes.txt", "ship\n")
    write(tmp_path / "test.txt", "0\n")
    with pytest.raises(ValueError, match=r"1 images are in a split of the set .* 2 are in none"):
        labelled(tmp_path, format="yolo")
    write(tmp_path / "test.txt", "0\n1\n2\n")
    assert {one.split for one in labelled(tmp_path, format="yolo").values()} == {"test"}
    write(tmp_path / "test.txt", "how the set is to be tested\n")
    assert {one.split for one in labelled(tmp_path, format="yolo").values()} == {""}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"classes.txt": "ship\nplane\n\n", "data.yaml": "names: {0: ship, 1: plane}\nnc: 2\n"}, ""),
        ({"classes.txt": "plane\nship\n", "data.yaml": "names: [ship, plane]\n"}, "name the classes differently"),
        ({"a.yaml": "names: [plane, ship]\n", "data.yaml": "names: [ship, plane]\n"}, "name the classes differently"),
        ({"classes.txt": "ship\n\nplane\n"}, r"classes\.txt, line 2 is blank"),
        ({"data.yaml": "names: [ship, plane]\nnc: 5\n"}, "says nc: 5, and has 2 names"),
        ({"data.yaml": "names: [ship, NO]\n"}, "the class name False, .* put it into quotes"),
        ({"data.yaml": "names: {1: ship}\n"}, "number them from 0"),
    ],
)
def test_names_of_classes_are_one_list(tmp_path, files, message):
    image(tmp_path / "images" / "a.png")
    write(tmp_path / "labels" / "a.txt", BOX)
    for name, text in files.items():
        write(tmp_path / name, text)
    if message:
        with pytest.raises(ValueError, match=message):
            labelled(tmp_path, format="yolo")
    assert labelled(tmp_path, format="yolo", classes=["ship", "plane"])["a"].things[0].category == "ship"


def test_keypoints_follow_the_box(tmp_path):
    image(tmp_path / "images" / "a.png")
    write(tmp_path / "labels" / "a.txt", "0 .5 .5 .25 .25 .1 .1 .9 .9\n")
    write(tmp_path / "data.yaml", "names: [ship]\nkpt_shape: [2, 2]\n")
    problems = Problems(False)
    (thing,) = labelled(tmp_path, problems, format="yolo")["a"].things
    assert (thing.box, thing.corners) == ((18, 18, 30, 30), None)
    assert "keypoints" in problems.notes[0]
    write(tmp_path / "data.yaml", "names: [ship]\nkpt_shape: [3, 3]\n")
    with pytest.raises(ValueError, match="has 9 numbers, not 14 as kpt_shape says"):
        labelled(tmp_path, format="yolo")


def test_labels_of_no_image_are_no_empty_images(tmp_path):
    for name in "ab":
        image(tmp_path / "images" / f"{name}_sar.png")
        write(tmp_path / "labels" / f"{name}.txt", BOX)
    write(tmp_path / "classes.txt", "ship\n")
    with pytest.raises(ValueError, match=r"None of the 2 label files .* first: a\.txt"):
        labelled(tmp_path, format="yolo")
    assert [len(one.things) for one in labelled(tmp_path, format="yolo", image_suffix="_sar").values()] == [1, 1]
    with pytest.raises(ValueError, match="holds no label file"):
        labelled(tmp_path, format="yolo", labels=Path("images"))


@pytest.mark.parametrize("kind", ["voc", "dota", "coco", "mask"])
def test_two_images_of_one_name_keep_their_own_labels(tmp_path, kind):
    areas, listed = ("areaA", "areaB"), []
    for number, area in enumerate(areas):
        image(tmp_path / "images" / area / "1.png", number)
        name = f"ship{number}"
        if kind == "voc":
            box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
            write(
                tmp_path / "annotations" / area / "1.xml",
                f"<annotation><object><name>{name}</name>{box}</object></annotation>",
            )
        elif kind == "dota":
            write(tmp_path / "labelTxt" / area / "1.txt", CORNERS.format(name))
        elif kind == "mask":
            (tmp_path / "masks" / area).mkdir(parents=True)
            Image.fromarray(np.full((48, 48), number, np.uint8)).save(tmp_path / "masks" / area / "1.png")
        listed.append({"id": number, "file_name": f"{area}/1.png"})
    things = [{"id": n, "image_id": n, "category_id": n, "bbox": [1, 1, 9, 9]} for n in (0, 1)]
    names = [{"id": n, "name": f"ship{n}"} for n in (0, 1)]
    document = {"images": listed, "annotations": things, "categories": names}
    if kind == "coco":
        write(tmp_path / "annotations" / "all.json", json.dumps(document))
    found = labelled(tmp_path, format=kind)
    assert sorted(found) == ["areaA/1", "areaB/1"]
    for number, area in enumerate(areas):
        one = found[f"{area}/1"]
        if kind == "mask":
            assert one.mask == tmp_path / "masks" / area / "1.png"
        else:
            assert [thing.category for thing in one.things] == [f"ship{number}"]


def test_two_labels_of_one_image_are_refused_with_both_names(tmp_path):
    image(tmp_path / "images" / "1.png")
    for area in ("areaA", "areaB"):
        write(tmp_path / "labelTxt" / area / "1.txt", CORNERS.format("ship"))
    with pytest.raises(ValueError, match=r"areaA/1\.txt and .*areaB/1\.txt could both be of 1"):
        labelled(tmp_path, format="dota")
    write(tmp_path / "labelTxt" / "1.txt", CORNERS.format("ship"))
    write(tmp_path / "labelTxt" / "labels" / "1.txt", CORNERS.format("tank"))
    with pytest.raises(ValueError, match=r"1\.txt and .*1\.txt are both labels of"):
        labelled(tmp_path, format="dota")


def test_a_quicklook_is_no_second_image(tmp_path):
    for ending in ("png", "tif"):
        image(tmp_path / "images" / f"a.{ending}", 1)
    write(tmp_path / "labelTxt" / "a.txt", CORNERS.format("ship"))
    problems = Problems(False)
    found = labelled(tmp_path, problems, format="dota")
    assert [one.path.name for one in found.values()] == ["a.tif"]
    assert "1 images stand there in several formats" in problems.notes[0]
    document = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": [], "categories": []}
    write(tmp_path / "annotations" / "x.json", json.dumps(document))
    assert [one.path.name for one in labelled(tmp_path, format="coco").values()] == ["a.png"], "the list says which"


def test_no_image_is_its_own_mask(tmp_path):
    image(tmp_path / "set" / "a.png")
    with pytest.raises(ValueError, match="Nothing tells the masks"):
        labelled(tmp_path / "set", format="mask")
    with pytest.raises(ValueError, match="Nothing tells the masks"):
        labelled(tmp_path / "set", format="mask", images=Path(), masks=Path())
    image(tmp_path / "set" / "a_mask.png")
    found = labelled(tmp_path / "set", format="mask", mask_suffix="_mask")
    assert [(one.name, one.mask.name) for one in found.values()] == [("a", "a_mask.png")]
    image(tmp_path / "nested" / "masks" / "a.png")
    image(tmp_path / "nested" / "a.png")
    found = labelled(tmp_path / "nested", format="mask")
    assert list(found) == ["a"], "masks below the images are no images"


# ---- splits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "of_file", "of_folder"),
    [
        ("instances_val2017", "val", "val"),
        ("valid", "val", "val"),
        ("test_inshore", "test", "test"),
        ("JPEGImages_train", "train", "train"),
        ("trainval", "trainval", "train"),
        ("train_val", "trainval", ""),
        ("contest", "", ""),
        ("test_site", "test", ""),
        ("train_test", "", ""),
    ],
)
def test_names_of_splits(name, of_file, of_folder):
    assert (split_word(name), folder_split(name)) == (of_file, of_folder)


def test_official_splits_stay(tmp_path):
    for number, split in enumerate(("train2017", "test")):
        for name in "abc":
            image(tmp_path / split / "ship" / f"{split}{name}.png", ord(name) + 9 * number)
    image(tmp_path / "extra" / "ship" / "x.png", 99)
    problems = Problems(False)
    found = labelled(tmp_path, problems, format="folder")
    assert {one.split for one in found.values()} == {"train", "test"}
    assert "extra/ship/x" not in found
    assert "1 images are in no split of the set and left out, first: extra/ship/x" in " ".join(problems.notes)
    assert problems.counts == {"in no split": 1}
    assert len(labelled(tmp_path, format="folder", ignore_splits=True)) == 7
    for name in "abcdefg":
        image(tmp_path / "more" / "ship" / f"{name}.png", ord(name))
    with pytest.raises(ValueError, match=r"6 images are in a split of the set .* 8 are in none"):
        labelled(tmp_path, format="folder")


def test_class_folders_are_no_splits(tmp_path):
    image(tmp_path / "train" / "a.png")
    image(tmp_path / "test" / "b.png")
    with pytest.raises(ValueError, match="stands in the folder of a split, not of a class"):
        labelled(tmp_path, format="folder")
    image(tmp_path / "ship" / "c.png")
    found = labelled(tmp_path, format="folder")
    assert [(one.things[0].category, one.split) for one in found.values()] == [
        ("ship", ""),
        ("test", ""),
        ("train", ""),
    ]


def test_lists_of_the_set_are_its_split(tmp_path):
    for name in ("S1A_1.5m_a", "S1A_1.5m_b", "S1A_1.5m_c"):
        image(tmp_path / "images" / f"{name}.png")
        write(tmp_path / "labelTxt" / f"{name}.txt", CORNERS.format("ship"))
    lists = tmp_path / "ImageSets" / "Main"
    write(lists / "train.txt", "\ufeffS1A_1.5m_a\r\n")
    write(lists / "test.txt", "./images/S1A_1.5m_b.png\nS1A_1.5m_z\n")
    problems = Problems(False)
    found = labelled(tmp_path, problems, format="dota")
    assert {name[-1]: one.split for name, one in found.items()} == {"a": "train", "b": "test"}
    assert any(
        "1 names in the split files have no labelled image, first: S1A_1.5m_z" in note for note in problems.notes
    )
    assert any("The split is that of ImageSets/Main/train.txt" in note for note in problems.notes)
    assert len(labelled(tmp_path, format="dota", ignore_splits=True)) == 3
    write(lists / "trainval.txt", "S1A_1.5m_a\nS1A_1.5m_b\nS1A_1.5m_c\n")
    found = labelled(tmp_path, format="dota")
    assert {name[-1]: one.split for name, one in found.items()} == {"a": "train", "b": "test", "c": "train"}
    write(lists / "test.txt", "images/S1A_1.5m_a\n")
    with pytest.raises(ValueError, match=r"S1A_1\.5m_a is in train and in test"):
        labelled(tmp_path, format="dota")


def test_the_result_counts_what_went_in(tmp_path):
    for name in "abc":
        image(tmp_path / "set" / "images" / f"{name}.png", ord(name))
    image(tmp_path / "set" / "images" / ".hidden.png")
    write(tmp_path / "set" / "labelTxt" / "a.txt", CORNERS.format("ship") + "60 5 70 5 70 15 60 15 ship 0\n")
    write(tmp_path / "set" / "labelTxt" / "b.txt", CORNERS.format("ship") * 2 + "5 5 5 5 5 5 5 5 ship 0\n")
    write(tmp_path / "set" / "labelTxt" / "z.txt", CORNERS.format("ship"))
    options = {"format": "dota", "skip_bad": True}
    result = import_dataset(ImportConfig(tmp_path / "set", out=tmp_path / "out", **options))
    record, text = result["import"], show(result)
    assert record["label_files"] == {"found": 3, "used": 2}
    objects = record["objects"]
    assert (objects["read"], objects["kept"]) == (5, 3)
    assert {reason: entry["count"] for reason, entry in objects["dropped"].items()} == {"outside": 1, "empty": 1}
    assert "label files: 2 of 3 used" in text
    assert "objects: 5 read, 3 kept, 1 empty, 1 outside" in text
    assert "1 hidden files or folders are passed over" in text
    assert Dataset(tmp_path / "out").info["import"] == record
    for name in "ab":
        write(tmp_path / "set" / "labelTxt" / f"{name}.txt", "60 5 70 5 70 15 60 15 ship 0\n")
    with pytest.raises(ValueError, match=r"None of the 2 objects of .* is kept: 2 outside"):
        import_dataset(ImportConfig(tmp_path / "set", out=tmp_path / "none", **options))
    assert not (tmp_path / "none").exists()


def test_objects_of_rejected_and_cut_images_are_counted(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        image(tmp_path / "set" / "images" / f"{name}.png", seed)
        write(tmp_path / "set" / "labelTxt" / f"{name}.txt", "14 14 34 14 34 34 14 34 ship 0\n")
    options = {"format": "dota", "drop_duplicates": True, "ignore_splits": True}
    result = import_dataset(ImportConfig(tmp_path / "set", out=tmp_path / "out", **options))
    dropped = result["import"]["objects"]["dropped"]
    assert {reason: entry["count"] for reason, entry in dropped.items()} == {"duplicate": 1}
    options |= {"tile_px": 24, "min_visible": 0.5}
    with pytest.raises(ValueError, match=r"None of the 3 objects .* 2 cut, 1 duplicate"):
        import_dataset(ImportConfig(tmp_path / "set", out=tmp_path / "cut", **options))
