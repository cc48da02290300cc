"""Training samples for the measured annotator's network, from simulated scenes with truth.

    python -m benchmarks.measured_samples DATASET SCENES OUT

DATASET is built from SCENES (a folder with `NAME.landcover.tif`). Each large window becomes one sample in the pixels of
its small tiles. OUT is a folder of arrays. Use scenes and seeds that nothing is measured on.
"""

import argparse
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from PIL import Image

from benchmarks.ssdd_measured import in_fit_half
from knowlip.annotators.detail import Details
from knowlip.base.vocabulary import AIRCRAFT_TYPES, SHIP_TYPES
from knowlip.dataset import Dataset
from knowlip.scenes.xml import read_xml

TYPES = tuple(kind.name for kind in (*SHIP_TYPES, *AIRCRAFT_TYPES))


def pixel_codes(raster: np.ndarray, transform: Any, row: dict[str, Any], side: int) -> np.ndarray:
    """(side, side) land-cover code at the pixel centres of a large window, 0 outside."""
    left, top, window = row["proj:transform"][2], row["proj:transform"][5], row["window_m"]
    inverse = ~transform
    x = left + (np.arange(side) + 0.5) / side * window
    y = top - (np.arange(side) + 0.5) / side * window
    cols = np.floor(inverse.a * x + inverse.c).astype(int)
    rows = np.floor(inverse.e * y + inverse.f).astype(int)
    good_r, good_c = (rows >= 0) & (rows < raster.shape[0]), (cols >= 0) & (cols < raster.shape[1])
    out = np.zeros((side, side), np.uint8)
    out[np.ix_(good_r, good_c)] = raster[np.ix_(rows[good_r], cols[good_c])]
    return out


def targets_of(truth: dict[str, Any]) -> np.ndarray:
    """(N, 7) x, y (fractions), length_m, width_m, heading_deg, type number, 0 ship or 1 aircraft."""
    names = ("x", "y", "length_m", "width_m", "heading_deg")
    rows = [
        [*(item[name] for name in names), TYPES.index(item["type"]), float(item["category"] == "aircraft")]
        for item in truth["objects"]
    ]
    return np.array(rows, np.float32).reshape(-1, 7)


def real_samples(folder: Path) -> dict[str, Any]:
    """The fit half of SSDD in the form of the samples: squares with the image in one corner, no land cover.

    An image that stands, byte for byte, in the other half too is left out. A ship's size is that of its box in pixels
    of 3 m; only its place is used.
    """
    images, targets = [], []
    paths = sorted((folder / "images").glob("*.jpg"))
    digests = {path: hashlib.sha256(path.read_bytes()).digest() for path in paths}
    judged = {digests[path] for path in paths if not in_fit_half(path.stem)}
    for path in paths:
        if digests[path] in judged:
            continue
        judged.add(digests[path])
        image = np.maximum(np.asarray(Image.open(path).convert("L")), 1)
        side = -(-max(image.shape) // 64) * 64
        square = np.zeros((side, side), np.uint8)
        square[: image.shape[0], : image.shape[1]] = image
        for box in read_xml(folder / "annotations" / f"{path.stem}.xml", path.name).iter("bndbox"):
            x0, y0, x1, y1 = (float(box.findtext(name, "")) for name in ("xmin", "ymin", "xmax", "ymax"))
            length = 3.0 * max(x1 - x0, y1 - y0, 1.0)
            targets.append([(x0 + x1) / 2 / side, (y0 + y1) / 2 / side, length, length / 4, 0, 0, 0, len(images)])
        images.append(square)
    codes = [np.zeros_like(image) for image in images]
    rows = np.array(targets, np.float32).reshape(-1, 8)
    return {"images": images, "codes": codes, "targets": rows, "decibels": np.full(len(images), 30.0, np.float32)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("scenes", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    dataset = Dataset(arguments.dataset)
    truths, details = dataset.truth(), Details(dataset)
    images, codes, targets, owner, decibels = [], [], [], [], []
    scene, raster, transform = "", np.zeros((0, 0), np.uint8), None
    for row in dataset.tiles(scale="large").sort_values("scene_id", kind="stable").to_dict("records"):
        image = details.of({str(key): value for key, value in row.items()}, dataset.image(row["tile_id"]))
        if image is None:
            continue
        if row["scene_id"] != scene:
            scene = row["scene_id"]
            with rasterio.open(arguments.scenes / f"{scene}.landcover.tif") as source:
                raster, transform = source.read(1), source.transform
        found = targets_of(truths[row["tile_id"]])
        targets.append(found)
        owner += [len(images)] * len(found)
        images.append(image)
        codes.append(pixel_codes(raster, transform, row, len(image)))
        decibels.append(row["quantiser_hi"] - row["quantiser_lo"])
    arguments.out.mkdir(parents=True, exist_ok=True)
    arrays = {"images": np.stack(images), "codes": np.stack(codes), "targets": np.concatenate(targets)}
    arrays |= {"owner": np.array(owner), "decibels": np.array(decibels, np.float32)}
    for name, array in arrays.items():
        np.save(arguments.out / f"{name}.npy", array)
    print(f"{len(images)} windows, {len(owner)} targets", flush=True)


if __name__ == "__main__":
    main()
