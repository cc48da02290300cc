"""Fit the class statistics of the rules annotator on simulated calibration scenes.

    python -m benchmarks.fit_cover_statistics DATASET SCENES [--out knowlip/text/rules/cover_statistics.py]

DATASET is built from SCENES (a folder of simulated scenes with `NAME.landcover.tif`). Use scenes and seeds that no
experiment is measured on. Every tile gives its cells' features and the land cover at the cells' centres; that
becomes the target of a multinomial logistic regression on linear and quadratic terms.
"""

import argparse
import pprint
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from sklearn.linear_model import LogisticRegression

from knowlip.dataset import Dataset
from knowlip.text.rules.cover import GROUPS, group_of, inputs, terms
from knowlip.text.rules.features import cell_features
from knowlip.vocabulary import LAND_COVER

MOST_CELLS = 60_000
PENALTY = 0.02
"""Inverse strength of the ridge penalty: keeps the surfaces smooth, for other sensors' sake."""
ITERATIONS = 120
CLASSES = ("water", "field", "wood", "built-up", "road", "runway", "apron", "grass", "quay")


def tile_samples(image: np.ndarray, metres_per_pixel: float, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, F) and land-cover codes (N,) of a tile's valid cells; `codes` has the cells' grid."""
    cells = cell_features(image, metres_per_pixel)
    good = (cells.valid & (codes > 0)).ravel()
    return inputs(cells)[good], codes.ravel()[good]


def cell_codes(scenes: Path, row: dict, grid: int) -> np.ndarray:
    """Land cover at the centres of a tile's grid x grid cells."""
    a, _, left, _, e, top = row["proj:transform"][:6]
    height, width = row["proj:shape"]
    x = left + (np.arange(grid) + 0.5) / grid * width * a
    y = top + (np.arange(grid) + 0.5) / grid * height * e
    with rasterio.open(scenes / f"{row['scene_id']}.landcover.tif") as source:
        inverse = ~source.transform
        cols = np.floor(inverse.a * x + inverse.c).astype(int)
        rows = np.floor(inverse.e * y + inverse.f).astype(int)
        raster = source.read(1)
    inside_r, inside_c = (rows >= 0) & (rows < raster.shape[0]), (cols >= 0) & (cols < raster.shape[1])
    out = np.zeros((grid, grid), np.uint8)
    out[np.ix_(inside_r, inside_c)] = raster[np.ix_(rows[inside_r], cols[inside_c])]
    return out


def fit(features: np.ndarray, codes: np.ndarray) -> dict[str, Any]:
    """Mean and scale of the inputs, and for each class the weights of `cover.terms`."""
    number = {name: code for code, name in LAND_COVER.items()}
    keep = np.isin(codes, [number[name] for name in CLASSES])
    features, codes = features[keep], codes[keep]
    chosen = np.random.default_rng(0).permutation(len(codes))[:MOST_CELLS]
    features, codes = features[chosen], codes[chosen]
    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-3
    model = LogisticRegression(C=PENALTY, max_iter=ITERATIONS, fit_intercept=False)
    model.fit(terms((features - mean) / scale), codes)
    return {
        "mean": [round(float(value), 4) for value in mean],
        "scale": [round(float(value), 4) for value in scale],
        "weights": {
            LAND_COVER[code]: [round(float(value), 4) for value in row]
            for code, row in zip(model.classes_, model.coef_)
        },
    }


def write(tables: dict[str, dict[str, Any]], path: Path) -> None:
    """Write the tables as a Python module."""
    text = pprint.pformat(tables, width=118, compact=True, sort_dicts=False)
    path.write_text(
        '"""Weights for `cover.classify`, written by `python -m benchmarks.fit_cover_statistics`.\n\n'
        "Table -> mean and scale of the inputs; land cover -> weights of constant, linear and quadratic terms.\n"
        '"""\n\n# fmt: off\n# ruff: noqa: E501\nfrom typing import Any, Final\n\n'
        f"STATISTICS: Final[dict[str, dict[str, Any]]] = {text}\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("scenes", type=Path)
    parser.add_argument("--out", type=Path, default=Path("knowlip/text/rules/cover_statistics.py"))
    arguments = parser.parse_args()
    dataset = Dataset(arguments.dataset)
    samples: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {name: [] for name, _ in GROUPS}
    tiles = dataset.tiles()
    for row, image in zip(tiles.to_dict("records"), dataset.images(list(tiles["tile_id"]))):
        cells = cell_features(image, row["metres_per_pixel"])
        codes = cell_codes(arguments.scenes, row, cells.valid.shape[0])
        samples[group_of(row["metres_per_pixel"])].append(tile_samples(image, row["metres_per_pixel"], codes))
    tables = {}
    for group, parts in samples.items():
        if parts:
            tables[group] = fit(
                np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
            )
    write(tables, arguments.out)


if __name__ == "__main__":
    main()
