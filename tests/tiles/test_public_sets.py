"""Public sets by name: a tiny invented copy of each layout comes in, and what a folder lacks is named."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from knowlip.base.parsing import parse_command
from knowlip.cli import main
from knowlip.dataset import Dataset
from knowlip.tiles.imports import ImportConfig, import_dataset, show
from knowlip.tiles.imports import public as public_sets
from knowlip.tiles.imports.crop import parted
from knowlip.tiles.imports.formats import NAMES
from knowlip.tiles.imports.phoenix import read_phoenix
from knowlip.tiles.imports.public import SetsConfig, list_sets, public_set
from knowlip.tiles.imports.sets import SETS, PublicSet
from tests.tiles.test_imports import picture, real, voc

DOCS = Path(__file__).parents[2] / "docs" / "datasets.md"


def chips(folder: Path, *places: str, size: tuple[int, int] = (40, 40)) -> Path:
    for seed, place in enumerate(places):
        picture(folder / place, 100 + seed, size)
    return folder


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def coco(path: Path, *names: str, category: str = "ship") -> None:
    images = [{"id": i, "file_name": name, "width": 40, "height": 40} for i, name in enumerate(names)]
    objects = [{"id": i, "image_id": i, "category_id": 1, "bbox": [4, 4, 20, 10 + i]} for i in range(len(names))]
    found = {"images": images, "annotations": objects, "categories": [{"id": 1, "name": category}]}
    text(path, json.dumps(found))


def voc_pairs(folder: Path, images: str, labels: str, *names: str, ending: str = "jpg") -> Path:
    for name in names:
        picture(folder / images / f"{name}.{ending}", sum(map(ord, name)), (40, 40))
        voc(folder / labels / f"{name}.xml", (40, 40), (5, 5, 20, 20))
    return folder


def phoenix(path: Path, seed: int, target: str, depression: int, size: tuple[int, int] = (12, 16)) -> np.ndarray:
    """Write a chip with a Phoenix header and return its magnitude."""
    rows, columns = size
    lines = [
        *("[PhoenixHeaderVer01.04]", "PhoenixHeaderLength= 00400", "native_header_length= 0"),
        *(f"NumberOfColumns= {columns}", f"NumberOfRows= {rows}", f"TargetType= {target}"),
        *(f"DesiredDepression= {depression}", "RangePixelSpacing= 0.2", "CrossRangePixelSpacing= 0.4"),
        "[EndofPhoenixHeader]",
    ]
    random = np.random.default_rng(seed)
    magnitude = random.gamma(1.5, 0.1, (rows, columns)).astype(">f4")
    phase = random.uniform(-3, 3, (rows, columns)).astype(">f4")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("\n".join(lines).encode().ljust(400, b"\n") + magnitude.tobytes() + phase.tobytes())
    return magnitude.astype(np.float32)


def colours(path: Path, *values: tuple[int, int, int], size: int = 40) -> None:
    """A mask of stripes of these colours."""
    mask = np.zeros((size, size, 3), np.uint8)
    for i, value in enumerate(values):
        mask[:, i * size // len(values) : (i + 1) * size // len(values)] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)


# ---- a tiny copy of each layout -------------------------------------------------------------------------------------


def fusar_ship(folder: Path) -> Path:
    names = [f"Ship_C0{c}S0{s}N000{n}.tiff" for c, s, n in ((1, 1, 1), (1, 2, 2), (2, 1, 3))]
    places = ("Cargo/BulkCarrier", "Cargo/Container", "Tanker/Oil")
    return chips(folder, *(f"{place}/{name}" for place, name in zip(places, names)))


def sar_acd(folder: Path) -> Path:
    return chips(folder, *(f"{name}/001.jpg" for name in public_set("sar-acd").classes), "A330/002.jpg")


def mstar(folder: Path) -> Path:
    phoenix(folder / "TARGETS/TRAIN/17_DEG/BMP2/SN_9563/HB03787.000", 1, "bmp2_tank", 17)
    phoenix(folder / "TARGETS/TEST/15_DEG/T72/SN_132/HB03788.015", 2, "t72_tank", 15)
    phoenix(folder / "TARGETS/TEST/15_DEG/SLICY/HB03789.015", 3, "slicy", 15)
    return folder


def mstar_pictures(folder: Path) -> Path:
    return chips(folder, "train/2S1/a.png", "train/T62/b.png", "test/2S1/c.png")


def opensarship(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for number, top in ((1, ""), (2, "S1A_2/")):
        with zipfile.ZipFile(folder / f"S1A_{number}.zip", "w") as archive:
            for kind in ("Cargo", "Other Type"):
                path = folder.parent / "chip.tif"
                picture(path, number * 10 + len(kind), (30, 30))
                for polarisation in ("vv", "vh"):
                    name = f"{top}Patch_Uint8/Visual_{kind}_x{number}_y7_{polarisation}.tif"
                    archive.writestr(name, path.read_bytes())
            archive.writestr(f"{top}Ship.xml", "<ShipList><ship></ShipList>")
    return folder


def sample(folder: Path) -> Path:
    places = [f"{kind}/{name}/{name}_{kind}.png" for kind in ("real", "synth") for name in ("2s1", "bmp2")]
    return chips(folder / "repository", *(f"png_images/qpm/{place}" for place in places)).parent


def atrnet(folder: Path) -> Path:
    return chips(folder / "SOC_40classes", "train/Buick/X_HH_15_0_1.tif", "test/Buick/X_HH_15_5_2.tif").parent


def sense(folder: Path) -> Path:
    return voc_pairs(folder, "JPEGImages", "Annotations", "1", "2")


def sar_aircraft(folder: Path) -> Path:
    names = [f"{number:07d}" for number in range(1, 14)]
    for seed, name in enumerate(names):
        picture(folder / "images" / f"{name}.jpg", seed, (40, 40))
        text(folder / "labels_dota" / f"{name}.txt", "4 4 20 4 20 20 4 20 A320/321 0\n")
    for split, some in (("train", names[:10]), ("val", names[10:11]), ("test", names[11:])):
        text(folder / "splits" / f"{split}.txt", "\n".join(some))
    return folder


def ssdd(folder: Path) -> Path:
    return voc_pairs(folder, "BBox_SSDD/voc_style/JPEGImages", "BBox_SSDD/voc_style/Annotations", "001", "002", "009")


def ssdd_parts(folder: Path) -> Path:
    for split, names in (("train", ("002", "003")), ("test", ("001",))):
        voc_pairs(folder, f"JPEGImages_{split}", f"Annotations_{split}", *names)
    picture(folder / "JPEGImages_test_inshore" / "001.jpg", 0, (40, 40))
    return folder


def hrsid(folder: Path) -> Path:
    chips(folder, *(f"HRSID_JPG/JPEGImages/P000{number}.jpg" for number in (1, 2, 3)))
    coco(folder / "HRSID_JPG/annotations/train2017.json", "P0001.jpg", "P0002.jpg")
    coco(folder / "HRSID_JPG/annotations/test2017.json", "P0003.jpg")
    return folder


def ls_ssdd(folder: Path) -> Path:
    return voc_pairs(folder, "JPEGImages_sub", "Annotations_sub", "01_1_1", "10_1_1", "11_1_1", "15_20_30")


def side_by_side(folder: Path) -> Path:
    for seed in range(4):
        picture(folder / f"ship{seed}.jpg", seed, (40, 40))
        text(folder / f"ship{seed}.txt", "0 0.5 0.5 0.25 0.5\n")
    return folder


def air_sarship(folder: Path) -> Path:
    chips(folder, "AIR-SARShip-2.0-data/1.tiff", "AIR-SARShip-2.0-data/2.tiff")
    points = "".join(f"<point>{x}, {y}</point>" for x, y in ((5, 6), (15, 6), (15, 26), (5, 26), (5, 6)))
    one = f"<object><possibleresult><name>ship</name></possibleresult><points>{points}</points></object>"
    for number in (1, 2):
        place = folder / "AIR-SARShip-2.0-xml" / f"{number}.xml"
        text(place, f"<annotation><objects>{one}</objects></annotation>")
    return folder


def sardet(folder: Path) -> Path:
    for seed, split in enumerate(("train", "val", "test")):
        picture(folder / "SARDet_100K/JPEGImages" / split / f"000{seed}.png", seed, (40, 40))
        coco(folder / "SARDet_100K/Annotations" / f"{split}.json", f"000{seed}.png")
    return folder


def mix(folder: Path) -> Path:
    return chips(folder, "SSDD/1.png", "HRSID/a/2.png")


RED, GREEN, BLUE, YELLOW, CYAN = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255)


def fusar_map(folder: Path) -> Path:
    for number in ("001", "002"):
        picture(folder / f"SAR_1024/XiaMen_01_SAR_{number}.tif", int(number), (40, 40))
        colours(folder / f"LAB_1024/XiaMen_01_Label_{number}.tif", (0, 0, 0), RED, GREEN, YELLOW)
    return folder


def air_polsar_seg(folder: Path) -> Path:
    for seed, split in enumerate(("train_set", "test_set")):
        for polarisation in ("HH", "HV", "VH", "VV"):
            picture(folder / split / f"AIR-PolarSAR-Seg-{seed}_{polarisation}.tiff", seed, (40, 40))
        colours(folder / split / f"AIR-PolarSAR-Seg-{seed}_gt.png", BLUE, GREEN, CYAN, (255, 255, 255))
    return folder


def floods(folder: Path) -> Path:
    data = folder / "v1.1/data/flood_events/HandLabeled"
    names = ("Ghana_1", "Ghana_2", "India_3", "Bolivia_4")
    for seed, name in enumerate(names):
        picture(data / "S1Hand" / f"{name}_S1Hand.tif", seed, (40, 40))
        Image.fromarray(np.full((40, 40), seed % 2, np.uint8)).save(_made(data / "LabelHand" / f"{name}_LabelHand.tif"))
    for split, name in zip(("train", "valid", "test"), names):
        line = f"{name}_S1Hand.tif,{name}_LabelHand.tif\n"
        text(folder / "v1.1/splits/flood_handlabeled" / f"flood_{split}_data.csv", line)
    return folder


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def polsf(folder: Path) -> Path:
    picture(folder / "SF-AIRSAR-Pauli.bmp", 1, (660, 300))
    mask = np.random.default_rng(0).integers(0, 6, (300, 660)).astype(np.uint8)
    Image.fromarray(mask).save(folder / "SF-AIRSAR-label2d.png")
    return folder


COPIES: list[tuple[str, Callable[[Path], Path], dict[str, int], set[str]]] = [
    ("fusar-ship", fusar_ship, {}, {"Cargo", "Tanker"}),
    ("fusar-air", mix, {}, {"SSDD"}),
    ("sar-acd", sar_acd, {}, {"A220", "A320321", "A330", "ARJ21", "Boeing737", "Boeing787"}),
    ("mstar", mstar, {"train": 1, "test": 1}, {"bmp2_tank", "t72_tank"}),
    ("mstar", mstar_pictures, {"train": 2, "test": 1}, {"2S1", "T62"}),
    ("opensarship", opensarship, {}, {"Cargo", "Other Type"}),
    ("sample", sample, {"train": 2, "test": 2}, {"2s1", "bmp2"}),
    ("atrnet-star", atrnet, {"train": 1, "test": 1}, {"Buick"}),
    ("fusar-ship-sense", sense, {}, {"ship"}),
    ("fusar-air-sense", sense, {}, {"ship"}),
    ("sar-aircraft-1.0", sar_aircraft, {"train": 10, "val": 1, "test": 2}, {"A320/321"}),
    ("sar-aircraft-1.0-few-shot", sar_aircraft, {"train": 2, "val": 1, "test": 2}, {"A320/321"}),
    ("ssdd", ssdd, {"train": 1, "test": 2}, {"ship"}),
    ("ssdd", ssdd_parts, {"train": 2, "test": 1}, {"ship"}),
    ("hrsid", hrsid, {"train": 2, "test": 1}, {"ship"}),
    ("ls-ssdd", ls_ssdd, {"train": 2, "test": 2}, {"ship"}),
    ("sar-ship-dataset", side_by_side, {}, {"ship"}),
    ("msar", sense, {}, {"ship"}),
    ("sadd", side_by_side, {}, {"aircraft"}),
    ("air-sarship", air_sarship, {}, {"ship"}),
    ("sardet-100k", sardet, {"train": 1, "val": 1, "test": 1}, {"ship"}),
    ("saratr-x-mix", mix, {}, {"SSDD", "HRSID"}),
    ("fusar-map", fusar_map, {}, set()),
    ("air-polsar-seg", air_polsar_seg, {"train": 1, "test": 1}, set()),
    ("sen1floods11", floods, {"train": 1, "val": 1, "test": 1}, set()),
    ("polsf", polsf, {"train": 6, "test": 2}, set()),
]


def test_every_set_has_a_copy_here() -> None:
    assert {name for name, *_ in COPIES} == {one.name for one in SETS}
    assert len({one.name for one in SETS}) == len(SETS)
    assert not {one.name for one in SETS} & set(NAMES), "a format of that name would hide the set"
    for one in SETS:
        assert one.confirmed == (not one.doubt), one.name
        assert one.classes or one.about_classes, one.name


@pytest.mark.parametrize(("name", "make", "splits", "classes"), COPIES, ids=[f"{c[0]}-{c[1].__name__}" for c in COPIES])
def test_a_tiny_copy_comes_in_by_name(name, make, splits, classes, tmp_path):
    """Splits and classes are the set's, the data set passes `verify` (an import does), and the facts are kept."""
    result = import_dataset(ImportConfig(make(tmp_path / "some folder"), name, tmp_path / "out"))
    told, one = show(result), public_set(name)
    data = Dataset(tmp_path / "out")
    counts = data.tiles()["split"].value_counts().to_dict()
    if splits:
        assert counts == splits
    else:
        assert "val" not in counts, "4:1 has no val"
    if classes != {"SSDD"}:  # of fusar-air's copy any folder
        assert set(result["categories"]) == classes
    assert (result["masks"] > 0) == (one.task == "segmentation")
    info = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert info["public_set"]["name"] == name
    assert info["public_set"]["licence"] == one.licence
    assert ("not confirmed" in told) == (not one.confirmed), "doubt is told"
    assert (" are here" in told) == (one.images > 1), "an incomplete set is told"
    assert all(tile.startswith(public_name(one)) for tile in data.tiles()["tile_id"])


def public_name(one: PublicSet) -> str:
    return one.name.replace(".", "-")


@pytest.mark.parametrize("one", SETS, ids=[one.name for one in SETS])
def test_what_a_folder_lacks_is_named(one, tmp_path, capsys):
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "README.md").write_text("nothing")
    assert main(["dataset", "import", one.name, str(tmp_path / "wrong"), "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert one.title in told
    assert "missing" in told
    assert one.expects in told
    assert len(told.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_half_a_set_is_told_what_is_missing(tmp_path):
    source = sar_aircraft(tmp_path / "set")
    (source / "splits" / "val.txt").unlink()
    with pytest.raises(ValueError, match=r"splits/val\.txt is missing; expected"):
        import_dataset(ImportConfig(source, "sar-aircraft-1.0", tmp_path / "out"))
    result = import_dataset(ImportConfig(source, "sar-aircraft-1.0", tmp_path / "out", ignore_splits=True))
    assert result["accepted"] == 13, "who splits by hash needs no lists"


def test_what_the_user_says_counts_more(tmp_path):
    source = ssdd(tmp_path / "set")
    settings = {"metres_per_pixel": 3.0, "name": "mine", "test_endings": "2"}
    import_dataset(ImportConfig(source, "SSDD", tmp_path / "out", **settings))
    tiles = Dataset(tmp_path / "out").tiles().set_index("tile_id")
    assert tiles["split"].to_dict() == {"mine-001": "train", "mine-002": "test", "mine-009": "train"}
    assert set(tiles["metres_per_pixel"]) == {3.0}


def test_an_unknown_name_and_two_names_for_one_thing(tmp_path):
    with pytest.raises(ValueError, match=r"format must be one of .* or a set .* not 'sdd'"):
        import_dataset(ImportConfig(tmp_path, "sdd", tmp_path / "out"))
    with pytest.raises(ValueError, match="ssdd before folder is the format: leave out --format"):
        parse_command("dataset import", "", ImportConfig, ["ssdd", "folder", "--format", "voc", "--out", "x"])


@pytest.mark.parametrize(
    "line",
    [
        "ssdd folder --out x",
        "--out x ssdd folder",
        "--json --overlap_px 0 ssdd folder --out x",
        "folder --format ssdd --out x",
        "--out=x --format ssdd folder",
        "--format=ssdd --skip_bad false folder --out x",
    ],
)
def test_a_name_stands_before_its_folder(line):
    found, _ = parse_command("dataset import", "", ImportConfig, line.split())
    assert (found.format, found.source, found.out) == ("ssdd", Path("folder"), Path("x"))


def test_sets_are_listed():
    everything = public_sets.show(list_sets(SetsConfig()))
    assert all(one.title in everything for one in SETS)
    found, _ = parse_command("dataset sets", "", SetsConfig, ["SAR-ACD"])
    assert "94 % of the chips" in public_sets.show(list_sets(found))


def row(one: PublicSet) -> str:
    """A set as a row of the docs."""
    classes = ", ".join(one.classes) or one.about_classes
    known = " ".join(one.defects)
    confirmed = "yes" if one.confirmed else f"no: {one.doubt}"
    cells = (f"`{one.name}`", one.title, one.expects, classes, one.split, one.metres, one.licence, known, confirmed)
    return "| " + " | ".join([*cells, f"<{one.source}>" if one.source.startswith("http") else one.source]) + " |"


def test_the_docs_say_what_the_table_says():
    assert [one.name for one in SETS if row(one) not in DOCS.read_text()] == []


# ---- parts ----------------------------------------------------------------------------------------------------------


def test_phoenix_chips_are_read(tmp_path):
    path = tmp_path / "HB03787.004"
    magnitude = phoenix(path, 1, "btr70_transport", 17)
    chip = read_phoenix(path)
    np.testing.assert_array_equal(chip.magnitude, magnitude)
    assert chip.header["TargetType"] == "btr70_transport"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ValueError, match="is it complete"):
        read_phoenix(path)
    path.write_bytes(b"[PhoenixHeaderVer01.04]\nNumberOfRows= 3\n")
    with pytest.raises(ValueError, match="no Phoenix header"):
        read_phoenix(path)


def test_mstar_believes_its_headers(tmp_path):
    source = mstar(tmp_path / "set")
    phoenix(source / "elsewhere" / "HB1.001", 9, "2s1_gun", 30)
    result = import_dataset(ImportConfig(source, "mstar", tmp_path / "out"))
    assert result["import"]["not_in_split_files"] == 1, "30 degrees are in no split"
    tiles = Dataset(tmp_path / "out").tiles()
    assert set(tiles["quantiser"]) == {"db-percentile-v1(0.5,99.8)"}
    assert set(tiles["metres_per_pixel"].round(3)) == {0.3}
    assert set(tiles["units"]) <= {"", "amplitude"}


def test_colours_of_masks_become_classes(tmp_path):
    result = import_dataset(ImportConfig(fusar_map(tmp_path / "set"), "fusar-map", tmp_path / "out"))
    data = Dataset(tmp_path / "out")
    mask = data.masks.mask(data.tiles()["tile_id"].iloc[0])
    assert [int(mask[0, x]) for x in (5, 15, 25, 35)] == [255, 0, 1, 3]
    assert data.mask_classes == {0: "building", 1: "vegetation", 2: "water", 3: "road"}
    assert any("25.00% of the pixels of the masks" in note for note in result["import"]["notes"])


@pytest.mark.parametrize("part", ["top", "bottom", "left", "right"])
def test_parts_of_an_image_share_no_pixel(part):
    pairs = parted((300, 220), 64, 16, part, 0.3)
    seen = {split: np.zeros((220, 300), bool) for split in ("train", "test")}
    for (x, y, width, height), split in pairs:
        seen[split][y : y + height, x : x + width] = True
    assert not (seen["train"] & seen["test"]).any()
    assert (seen["train"] | seen["test"]).all()
    assert 0.1 < seen["test"].mean() < 0.5
    with pytest.raises(ValueError, match="no two parts"):
        parted((64, 64), 64, 0, part, 0.5)


@pytest.mark.parametrize("part", ["top", "bottom", "left", "right"])
def test_a_guard_lies_between_the_parts(part):
    pairs = parted((300, 260), 64, 0, part, 0.5, 20)
    seen = {split: np.zeros((260, 300), bool) for split in ("train", "test")}
    for (x, y, width, height), split in pairs:
        seen[split][y : y + height, x : x + width] = True
    axis = 0 if part in ("top", "bottom") else 1
    places = {split: np.flatnonzero(count.any(1 - axis)) for split, count in seen.items()}
    apart = min(abs(places["test"][[0, -1]][:, None] - places["train"][[0, -1]][None]).ravel())
    assert apart == 21, "20 pixels lie between"
    assert len(places["test"]) % 64 == 0
    with pytest.raises(ValueError, match="no two parts of tiles of 64 pixels and 20 between them"):
        parted((140, 140), 64, 0, part, 0.5, 20)
    with pytest.raises(ValueError, match="guard_px lies between"):
        ImportConfig(Path("x"), "mask", Path("y"), guard_px=3)


def test_another_seed_is_another_fifth(tmp_path):
    source = sar_aircraft(tmp_path / "set")
    chosen = []
    for seed in (0, 1, 2):
        config = ImportConfig(source, "sar-aircraft-1.0-few-shot", tmp_path / str(seed), seed=seed)
        tiles = Dataset(Path(import_dataset(config)["dataset"])).tiles()
        chosen.append(frozenset(tiles.loc[tiles["split"] == "train", "tile_id"]))
    assert {len(one) for one in chosen} == {2}
    assert len(set(chosen)) > 1


def test_archives_are_written_under_names_of_their_own(tmp_path):
    source = tmp_path / "set"
    source.mkdir()
    picture(tmp_path / "chip.tif", 1, (20, 20))
    with zipfile.ZipFile(source / "S1A.zip", "w") as archive:
        for number in (1, 2):
            name = f"../../../Patch_Uint8/Visual_Tug_x{number}_y1_vv.tif"
            picture(tmp_path / "chip.tif", number, (20, 20))
            archive.writestr(name, (tmp_path / "chip.tif").read_bytes())
    result = import_dataset(ImportConfig(source, "opensarship", tmp_path / "out"))
    assert result["categories"] == {"Tug": 2}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chip.tif", "out", "set"]


@pytest.mark.parametrize("name", ["polsf", "sen1floods11", "ls-ssdd", "opensarship", "sar-aircraft-1.0"])
def test_real_parts_come_in_by_name(name, tmp_path):
    result = import_dataset(ImportConfig(real(name), name, tmp_path / "out"))
    assert result["accepted"] > 5
