"""Ships that a product names become annotations of the tiles that are built of it."""

import re

import numpy as np
import pytest
from affine import Affine
from pyproj import Transformer

import knowlip
from knowlip.dataset.verify import verify
from knowlip.dataset.writer import labels_told
from knowlip.scenes import open_scenes
from knowlip.tiles.build import BuildConfig, build
from knowlip.tiles.labelled import UNSEEN
from tests.scenes.products.opensarship import make


def chips_of(folder, numbers):
    """Chips of the ships that stand at these places of Ship.xml."""
    blocks = (folder / "Ship.xml").read_text("latin-1").split("<ship>")[1:]
    centres = [re.findall(r"<Center_[xy]>(\d+)<", blocks[number]) for number in numbers]
    return [folder / "Patch" / f"Cargo_x{x}_y{y}.tif" for x, y in centres]


def test_the_boxes_of_tiles_are_those_of_the_ships(tmp_path):
    product = make(tmp_path / "in", ships=9, size=121, unpacked=True)
    chips = {path.name for path in (product.path / "Patch").iterdir()}
    kept = {path.name for path in chips_of(product.path, (0, 2))}
    for name in chips - kept:  # the places of all the ships make the fit; two of them are built
        (product.path / "Patch" / name).unlink()
        (product.path / "Patch_Cal" / name).unlink()
    config = BuildConfig(scenes=[product.path], out=tmp_path / "out", windows_m=(1024.0, 512.0, 256.0), tile_px=128)
    build(config)
    dataset = knowlip.Dataset(tmp_path / "out")
    told = dataset.info["labels"]
    labels = {label.identity: label for scene in open_scenes(product.path) for label in scene.labels}
    assert told["objects"] == 2
    assert told["types"] == {"Bulk Carrier": "bulk carrier"}
    assert told["dropped"] == {"no width by AIS or MarineTraffic": 1}
    assert told["shown"] == 1
    boxes = dataset.annotations()
    assert len(boxes) == dataset.info["annotations"]["rows"] > 0
    assert dataset.info["categories"] == {"ship": len(boxes)}
    assert set(boxes["source"]) == {"OpenSARShip, AIS"}
    tiles = dataset.tiles().set_index("tile_id")
    for box in boxes.itertuples():
        tile = tiles.loc[box.tile_id]
        to_lonlat = Transformer.from_crs(tile["proj:code"], 4326, always_xy=True)
        side = tile["proj:shape"][0]
        columns, rows = np.array(box.polygon).reshape(-1, 2).T * side
        lons, lats = to_lonlat.transform(*(Affine(*tile["proj:transform"]) @ (columns, rows)))
        # Each outline is that of one of the labels, whichever tile shows it.
        far = min(np.abs(np.array(label.outline) - np.column_stack([lons, lats])).max() for label in labels.values())
        assert far < 1e-6
        assert 0 <= box.x <= box.x + box.width <= 1 + 1e-9
        assert 0 <= box.y <= box.y + box.height <= 1 + 1e-9
    assert verify(tmp_path / "out")["accepted"] > 0
    assert build(config)["fingerprint"] == dataset.info["fingerprint"]


def test_an_object_of_several_scenes_counts_once_and_as_shown_if_one_shows_it():
    one = {"id": "a", "stated": "Tug", "type": "tug"}
    told = labels_told([{**one, "reason": UNSEEN}, {**one, "reason": ""}, {**one, "id": "b", "reason": UNSEEN}])
    assert told == {"objects": 2, "shown": 1, "types": {"Tug": "tug"}, "dropped": {UNSEEN: 1}}


@pytest.mark.parametrize("side", [0, 1])
def test_an_outline_that_a_tile_cuts_in_half_is_kept_by_one_side_alone(side):
    from knowlip.scenes.labels import SceneLabel
    from knowlip.tiles.labelled import LabelledScene

    to_lonlat = Transformer.from_crs(32631, 4326, always_xy=True)
    corners = [(499_990, 5_000_100), (500_040, 5_000_100), (500_040, 5_000_110), (499_990, 5_000_110)]
    outline = tuple(to_lonlat.transform(*corner) for corner in corners)
    label = SceneLabel("a", "ship", "tug", "Tug", outline, 50.0, 10.0, 90.0, "here")
    scene = type("Scene", (), {"labels": (label,), "unlabelled": ()})()
    ground = type("Ground", (), {"code": "EPSG:32631"})()
    left = 500_000 - 256 * (1 - side)
    row = {"tile_id": "t", "proj:code": "EPSG:32631", "proj:shape": [64, 64], "accepted": True}
    row["proj:transform"] = [4.0, 0, left, 0, -4.0, 5_000_200]
    labelled = LabelledScene(scene, ground)
    boxes = labelled.on(row)
    assert len(boxes) == side  # four fifths lie on the right tile
    assert labelled.on({**row, "accepted": False}) == []
    if boxes:
        assert (boxes[0]["x"], boxes[0]["width"]) == pytest.approx((0.0, 40 / 256), abs=1e-6)
        assert (boxes[0]["length_m"], boxes[0]["heading_deg"]) == (50.0, 90.0)
    assert [one["reason"] for one in labelled.told()] == ["" if side else UNSEEN]
