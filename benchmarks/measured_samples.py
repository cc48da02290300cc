"""Training samples for the measured annotator's network, from simulated scenes with truth.

    python -m benchmarks.measured_samples DATASET SCENES OUT.npz

DATASET is built from SCENES (a folder with `NAME.landcover.tif`). Use scenes and seeds that nothing is measured on.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from knowlip.base.vocabulary import AIRCRAFT_TYPES, SHIP_TYPES
from knowlip.dataset import Dataset

SIDE = 256
CELL = 4
COVERS = ("water", "field", "wood", "built-up", "road", "runway", "apron", "grass", "bridge", "quay")
"""Land-cover codes 1 to 10 in order."""
TYPES = tuple(kind.name for kind in (*SHIP_TYPES, *AIRCRAFT_TYPES))


def pixel_codes(raster: np.ndarray, transform: Any, row: dict[str, Any]) -> np.ndarray:
    """(SIDE, SIDE) land-cover code at the pixel centres of a tile, 0 outside."""
    a, _, left, _, e, top = row["proj:transform"][:6]
    height, width = row["proj:shape"]
    inverse = ~transform
    x = left + (np.arange(SIDE) + 0.5) / SIDE * width * a
    y = top + (np.arange(SIDE) + 0.5) / SIDE * height * e
    cols = np.floor(inverse.a * x + inverse.c).astype(int)
    rows = np.floor(inverse.e * y + inverse.f).astype(int)
    good_r, good_c = (rows >= 0) & (rows < raster.shape[0]), (cols >= 0) & (cols < raster.shape[1])
    out = np.zeros((SIDE, SIDE), np.uint8)
    out[np.ix_(good_r, good_c)] = raster[np.ix_(rows[good_r], cols[good_c])]
    return out


def targets_of(truth: dict[str, Any]) -> np.ndarray:
    """(N, 7) x, y (fractions), length_m, width_m, heading_deg, type number, 0 ship or 1 aircraft."""
    return np.array(
        [
            [
                item["x"],
                item["y"],
                item["length_m"],
                item["width_m"],
                item["heading_deg"],
                TYPES.index(item["type"]),
                float(item["category"] == "aircraft"),
            ]
            for item in truth["objects"]
        ],
        np.float32,
    ).reshape(-1, 7)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("scenes", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    dataset = Dataset(arguments.dataset)
    tiles, truths = dataset.tiles(), dataset.truth()
    images, codes, targets, owner, about = [], [], [], [], []
    rasters: dict[str, tuple[np.ndarray, Any]] = {}
    for number, (row, image) in enumerate(zip(tiles.to_dict("records"), dataset.images(list(tiles["tile_id"])))):
        scene = row["scene_id"]
        if scene not in rasters:
            with rasterio.open(arguments.scenes / f"{scene}.landcover.tif") as source:
                rasters[scene] = (source.read(1), source.transform)
        truth = truths[row["tile_id"]]
        images.append(image)
        codes.append(pixel_codes(*rasters[scene], row))
        found = targets_of(truth)
        targets.append(found)
        owner += [number] * len(found)
        parent = truths.get(row["parent_id"])
        about.append(
            [
                row["metres_per_pixel"],
                float(bool(row["airport"]) and row["airport_km"] <= 8.0),
                float(bool(row["port"]) and row["port_km"] <= 8.0),
                0.0 if parent is None else 1.0 if _airport(parent) else -1.0,
                0.0 if parent is None else 1.0 if _port(parent) else -1.0,
            ]
        )
    np.savez_compressed(
        arguments.out,
        images=np.stack(images),
        codes=np.stack(codes),
        targets=np.concatenate(targets),
        owner=np.array(owner),
        about=np.array(about, np.float32),
        tile_id=np.array(list(tiles["tile_id"])),
    )


def _airport(truth: dict[str, Any]) -> bool:
    return truth["shares"].get("runway", 0.0) + truth["shares"].get("apron", 0.0) >= 0.02


def _port(truth: dict[str, Any]) -> bool:
    return truth["shares"].get("quay", 0.0) >= 0.02


if __name__ == "__main__":
    main()
