"""Exports open in other people's readers, hold the same boxes and texts, and come back through the import unchanged."""

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from knowlip.dataset import Dataset
from knowlip.dataset.export import FORMATS, DatasetExportConfig, export_dataset, show
from knowlip.tiles.imports import ImportConfig, import_dataset
from tests.dataset.text_rows import text_rows

SIZES = [(60, 40), (64, 64), (80, 50), (50, 90), (60, 60), (70, 40), (64, 48), (40, 40)]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory) -> Path:
    """Eight images of different sizes: ships and tanks as upright boxes and outlines; two images empty."""
    folder = tmp_path_factory.mktemp("export")
    random = np.random.default_rng(0)
    images, objects = [], []
    for number, (width, height) in enumerate(SIZES):
        path = folder / "set" / "images" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(1, 255, (height, width)).astype(np.uint8)).save(path)
        images.append({"id": number, "file_name": path.name, "width": width, "height": height})
        for _ in range(number % 4):
            x, y = random.uniform(0, [width / 2, height / 2])
            w, h = random.uniform(5, [width / 2, height / 2])
            outline = [x, y, x + w, y, x + w, y + h, x + w / 2, y + h] if number % 2 else []
            objects.append(
                {
                    "id": len(objects),
                    "image_id": number,
                    "category_id": 1 + len(objects) % 2,
                    "bbox": [x, y, w, h],
                    "segmentation": [outline] if outline else [],
                    "iscrowd": int(number == 7),
                }
            )
    classes = [{"id": 1, "name": "ship"}, {"id": 2, "name": "storage tank"}]
    (folder / "set" / "annotations").mkdir()
    (folder / "set" / "annotations" / "instances.json").write_text(
        json.dumps({"images": images, "annotations": objects, "categories": classes})
    )
    (folder / "set" / "train.txt").write_text("0\n1\n2\n3\n")
    (folder / "set" / "test.txt").write_text("4\n5\n6\n7\n")
    files = [Path("train.txt"), Path("test.txt")]
    import_dataset(ImportConfig(folder / "set", "coco", folder / "data", split_files=files, metres_per_pixel=3.0))
    data = Dataset(folder / "data")
    tiles = data.tiles()["tile_id"][1:]
    rows = text_rows(tiles, "marine", lambda tile, _, name: f'{name} of "{tile}",\ttwo\nlines')
    data.write_texts(rows)
    data.append_revision(rows.iloc[:1].assign(text="corrected"), "run")
    return folder / "data"


def export(dataset: Path, out: Path, kind: str, **options) -> dict:
    result = export_dataset(DatasetExportConfig(dataset, kind, out, **options))
    assert show(result)
    return result


def boxes(data: Dataset) -> pd.DataFrame:
    """Boxes in pixels by the number of the image, in a stable order."""
    rows = data.annotations().merge(data.tiles()[["tile_id", "proj:shape", "split"]], on="tile_id")
    size = np.array([list(shape)[::-1] for shape in rows["proj:shape"]], float)
    rows["image"] = rows["tile_id"].str.extract(r"(\d+)$", expand=False).astype(int)
    rows[["left", "top"]] = rows[["x", "y"]].to_numpy() * size
    rows[["right", "bottom"]] = rows[["left", "top"]].to_numpy() + rows[["width", "height"]].to_numpy() * size
    return rows.sort_values(["image", "annotation_id"]).reset_index(drop=True)


def same_boxes(one: Dataset, other: Dataset, tolerance: float) -> None:
    a, b = boxes(one), boxes(other)
    assert list(a["image"]) == list(b["image"])
    assert list(a["split"]) == list(b["split"])
    assert list(a["category"].str.replace(" ", "-")) == list(b["category"].str.replace(" ", "-"))
    sides = ["left", "top", "right", "bottom"]
    np.testing.assert_allclose(a[sides], b[sides], atol=tolerance)


def test_coco_by_pycocotools(labelled, tmp_path):
    from pycocotools.coco import COCO

    result = export(labelled, tmp_path / "out", "coco")
    data = Dataset(labelled)
    expected = boxes(data)
    seen = 0
    for split in ("train", "test"):
        coco = COCO(str(tmp_path / "out" / "annotations" / f"instances_{split}.json"))
        assert [entry["name"] for entry in coco.loadCats(coco.getCatIds())] == ["ship", "storage tank"]
        tiles = data.tiles(split)
        assert len(coco.getImgIds()) == len(tiles) == 4
        for image in coco.loadImgs(coco.getImgIds()):
            with Image.open(tmp_path / "out" / "images" / split / image["file_name"]) as picture:
                assert picture.size == (image["width"], image["height"])
            items = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
            rows = expected[expected["tile_id"] == Path(image["file_name"]).stem]
            assert len(items) == len(rows)
            for item, (_, row) in zip(items, rows.iterrows()):
                x, y, w, h = item["bbox"]
                assert [x, y, x + w, y + h] == pytest.approx(row[["left", "top", "right", "bottom"]].tolist(), abs=1e-3)
                mask = coco.annToMask(item)
                assert mask.sum() == pytest.approx(item["area"], rel=0.35)
            seen += len(items)
    assert seen == result["objects"] == len(expected) == 12


@pytest.mark.parametrize(("kind", "source"), [("coco", "coco"), ("yolo", "yolo"), ("yolo-obb", "yolo")])
def test_round_trip(labelled, tmp_path, kind, source):
    export(labelled, tmp_path / "out", kind)
    import_dataset(ImportConfig(tmp_path / "out", source, tmp_path / "back", name="back"))
    same_boxes(Dataset(labelled), Dataset(tmp_path / "back"), 1e-3)
    one, other = Dataset(labelled), Dataset(tmp_path / "back")
    for a, b in zip(one.tiles()["tile_id"], other.tiles().sort_values("tile_id", key=lambda n: n.str[-1])["tile_id"]):
        np.testing.assert_array_equal(one.image(a), other.image(b))


def test_round_trip_dota(labelled, tmp_path):
    export(labelled, tmp_path / "out", "dota")
    import_dataset(ImportConfig(tmp_path / "out", "dota", tmp_path / "back", name="back"))
    same_boxes(Dataset(labelled), Dataset(tmp_path / "back"), 1e-3)
    assert list(boxes(Dataset(tmp_path / "back"))["difficult"]) == list(boxes(Dataset(labelled))["difficult"])
    assert set(Dataset(tmp_path / "back").tiles()["metres_per_pixel"]) == {3.0}


def test_yolo_by_the_rules_of_ultralytics(labelled, tmp_path):
    for kind, columns in (("yolo", 5), ("yolo-obb", 9)):
        out = tmp_path / kind
        export(labelled, out, kind)
        document = yaml.safe_load((out / "data.yaml").read_text())
        assert document["names"] == {0: "ship", 1: "storage tank"}
        assert {"train", "val", "test"} & document.keys() == {"train", "test"}, "a set without val names none"
        for key in ("train", "test"):
            for image in (out / document[key]).iterdir():
                label = Path(str(image).replace("/images/", "/labels/")).with_suffix(".txt")
                values = np.array([line.split() for line in label.read_text().splitlines()], float).reshape(-1, columns)
                assert ((values[:, 1:] >= 0) & (values[:, 1:] <= 1)).all()
                assert set(values[:, 0]) <= {0, 1}
        assert (out / "labels" / "train" / "set-0.txt").read_text() == "", "an empty image has an empty label file"


@pytest.mark.parametrize("kind", ["coco", "yolo", "yolo-obb"])
def test_a_class_has_one_number_in_the_exports_of_all_parts(tmp_path, kind):
    """The test images show the second class alone; their export numbers it as the others do."""
    random = np.random.default_rng(0)
    for split, classes in (("train", ("aircraft", "ship")), ("test", ("ship",))):
        for name in classes:
            path = tmp_path / "set" / split / name / f"{split}-{name}.png"
            path.parent.mkdir(parents=True)
            Image.fromarray(random.integers(1, 255, (32, 32)).astype(np.uint8)).save(path)
    import_dataset(ImportConfig(tmp_path / "set", "folder", tmp_path / "data"))
    found = []
    for options in ({"split": "train"}, {"split": "test"}, {}):
        out = tmp_path / "-".join(["out", *options.values()])
        result = export(tmp_path / "data", out, kind, **options)
        assert result["classes"] == ["aircraft", "ship"]
        if kind == "coco":
            for path in (out / "annotations").iterdir():
                found.append({entry["name"]: entry["id"] for entry in json.loads(path.read_text())["categories"]})
        else:
            document = yaml.safe_load((out / "data.yaml").read_text())
            assert set(document) - {"path", "names"} == set(result["splits"])
            found.append({name: number for number, name in document["names"].items()})
            if options == {"split": "test"}:
                assert (out / "labels" / "test").iterdir().__next__().read_text().startswith("1 ")
                assert "names no train and no val" in show(result)
    assert len(found) >= 3
    assert all(numbers == found[0] for numbers in found)


def test_rotated_boxes_outside_are_drawn_in(tmp_path):
    from knowlip.dataset.annotations import annotation, write_annotations
    from tests.annotators.tiny_dataset import build_tiny_dataset

    folder = build_tiny_dataset(tmp_path / "data")
    corners = [0.9, 0.4, 1.1, 0.6, 1.0, 0.7, 0.8, 0.5]
    info = json.loads((folder / "dataset.json").read_text())
    info["annotations"] = write_annotations(
        folder, [annotation("l0", 0, "ship", (0.8, 0.4, 0.2, 0.3), corners=corners)]
    )
    (folder / "dataset.json").write_text(json.dumps(info))
    export(folder, tmp_path / "obb", "yolo-obb", scale="large")
    values = np.array((tmp_path / "obb" / "labels" / "train" / "l0.txt").read_text().split()[1:], float).reshape(4, 2)
    assert values.min() >= 0
    assert values.max() <= 1
    assert [values[:, 0].min(), values[:, 0].max()] == pytest.approx([0.8, 1.0], abs=0.02)


def test_openclip_by_pandas(labelled, tmp_path):
    export(labelled, tmp_path / "out", "openclip")
    frame = pd.read_csv(tmp_path / "out" / "train.csv", sep="\t")
    assert list(frame.columns) == ["filepath", "title"], "open_clip's --csv-img-key and --csv-caption-key"
    assert len(frame) == 3, "the tile without texts is left out"
    assert frame["title"][0].startswith('corrected. Location of "set-1", two lines.')
    for path in frame["filepath"]:
        Image.open(tmp_path / "out" / path).verify()
    export(labelled, tmp_path / "old", "openclip", revision=0, split="train")
    assert pd.read_csv(tmp_path / "old" / "train.csv", sep="\t")["title"][0].startswith("Count of")
    assert not (tmp_path / "old" / "test.csv").exists()
    with (tmp_path / "out" / "train.csv").open() as stream:
        assert all(len(row) == 2 for row in csv.reader(stream, delimiter="\t"))


def test_llava_conversations(labelled, tmp_path):
    export(labelled, tmp_path / "out", "llava")
    entries = json.loads((tmp_path / "out" / "test.json").read_text())
    assert [entry["id"] for entry in entries] == ["set-4", "set-5", "set-6", "set-7"]
    for entry in entries:
        assert (tmp_path / "out" / entry["image"]).is_file()
        turns = entry["conversations"]
        assert [turn["from"] for turn in turns] == ["human", "gpt"] * (len(turns) // 2)
        assert turns[0]["value"].startswith("<image>\n")
        assert sum("<image>" in turn["value"] for turn in turns) == 1
        assert len(turns) == 2 * (1 + 8 + 2)
    rows = boxes(Dataset(labelled))
    counts = rows[rows["tile_id"] == "set-7"]["category"].value_counts()
    assert [turn["value"] for turn in entries[3]["conversations"][-3::2]] == [
        str(counts.get(name, 0)) for name in ("ship", "storage tank")
    ]


def test_imagefolder(labelled, tmp_path):
    export(labelled, tmp_path / "out", "imagefolder")
    kinds = set()
    for split in ("train", "test"):
        lines = [json.loads(line) for line in (tmp_path / "out" / split / "metadata.jsonl").open()]
        assert sorted(line["file_name"] for line in lines) == sorted(
            path.name for path in (tmp_path / "out" / split).glob("*.png")
        )
        kinds |= {tuple((key, type(value).__name__) for key, value in sorted(line.items())) for line in lines}
        rows = boxes(Dataset(labelled)).groupby("tile_id")
        for line in lines:
            count = len(rows.get_group(line["tile_id"])) if line["tile_id"] in rows.groups else 0
            assert len(line["objects"]["bbox"]) == len(line["objects"]["category"]) == count
    assert len(kinds) == 1, "constant keys and types"


def test_imagefolder_by_hugging_face(labelled, tmp_path):
    datasets = pytest.importorskip("datasets", reason="the package datasets is not installed")
    export(labelled, tmp_path / "out", "imagefolder")
    loaded = datasets.load_dataset("imagefolder", data_dir=str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 4, "test": 4}
    for row in loaded["train"]:
        np.testing.assert_array_equal(np.array(row["image"]), Dataset(labelled).image(row["tile_id"]))


def test_class_labels_of_whole_images(tmp_path):
    for name, number in (("A220", 1), ("A330", 2)):
        (tmp_path / "set" / name).mkdir(parents=True)
        values = np.random.default_rng(number).integers(1, 255, (40, 40)).astype(np.uint8)
        Image.fromarray(values).save(tmp_path / "set" / name / "1.png")
    import_dataset(
        ImportConfig(tmp_path / "set", "folder", tmp_path / "data", category="aircraft", shares=(1.0, 0.0, 0.0))
    )
    result = export(tmp_path / "data", tmp_path / "out", "imagefolder", label="type")
    assert result["classes"] == ["A220", "A330"]
    lines = [json.loads(line) for line in (tmp_path / "out" / "train" / "metadata.jsonl").open()]
    assert [line["label"] for line in lines] == ["A220", "A330"]


def test_same_data_same_bytes(labelled, tmp_path):
    for kind in FORMATS:
        if kind in ("geojson", "gpkg", "stac"):
            continue  # maps, of which this set of unknown place has none: test_export_places
        export(labelled, tmp_path / "1" / kind, kind)
        export(labelled, tmp_path / "2" / kind, kind)
    files = sorted(path for path in (tmp_path / "1").rglob("*") if path.is_file())
    for path in files:
        assert path.read_bytes() == (tmp_path / "2" / path.relative_to(tmp_path / "1")).read_bytes(), path


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "pascal"}, "format must be one of"),
        ({"format": "coco", "label": "colour"}, "label must be category or type"),
        ({"format": "coco", "split": "val"}, "no accepted tile of split 'val'"),
        ({"format": "coco", "split": "all"}, "split must be one of"),
        ({"format": "openclip", "revision": 9}, "no text revision 9"),
    ],
)
def test_refusals_leave_nothing(labelled, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        export_dataset(DatasetExportConfig(labelled, out=tmp_path / "out", **options))
    assert not list(tmp_path.iterdir())


def test_data_without_texts_or_objects(tmp_path):
    from tests.annotators.tiny_dataset import build_tiny_dataset

    folder = build_tiny_dataset(tmp_path / "data")
    for kind, message in (
        ("coco", "no annotations"),
        ("openclip", "annotate it first"),
        ("llava", "annotate it first"),
    ):
        with pytest.raises(ValueError, match=message):
            export_dataset(DatasetExportConfig(folder, kind, tmp_path / "out"))
        assert not (tmp_path / "out").exists()
