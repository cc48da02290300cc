"""Fit the class statistics of the rules annotator on simulated calibration scenes.

    python -m benchmarks.fit_cover_statistics DATASET SCENES [--out knowlip/text/rules/cover_statistics.py]

DATASET is built from SCENES (a folder of simulated scenes with `NAME.landcover.tif`). Use scenes and seeds that no
experiment is measured on. Every tile gives its cells' features and the land cover at the cells' centres; each class
becomes a mixture of Gaussians (diagonally loaded, so that the tables stay wide enough for other sensors).
"""

import argparse
from pathlib import Path

import numpy as np
import rasterio
from sklearn.mixture import GaussianMixture

from knowlip.dataset import Dataset
from knowlip.text.rules.cover import GROUPS, group_of, inputs
from knowlip.text.rules.features import cell_features
from knowlip.vocabulary import LAND_COVER

COMPONENTS = 3
MOST_CELLS = 12_000
LOADING = 0.15
"""Added to the variances, as a share of the variance over all classes."""
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


def fit(features: np.ndarray, codes: np.ndarray) -> dict[str, list]:
    """Class -> [(weight, mean, lower triangle of the covariance)]."""
    rng = np.random.default_rng(0)
    load = LOADING * features.var(axis=0)
    table = {}
    for name in CLASSES:
        code = next(number for number, cover in LAND_COVER.items() if cover == name)
        chosen = np.flatnonzero(codes == code)
        if len(chosen) < 60:
            continue
        chosen = rng.permutation(chosen)[:MOST_CELLS]
        count = COMPONENTS if len(chosen) > 1000 else 1
        mixture = GaussianMixture(count, random_state=0, reg_covar=1e-3, max_iter=60).fit(features[chosen])
        table[name] = []
        for weight, mean, covariance in zip(mixture.weights_, mixture.means_, mixture.covariances_):
            covariance = covariance + np.diag(load)
            lower = covariance[np.tril_indices(len(mean))]
            table[name].append((round(float(weight), 4), [round(float(v), 3) for v in mean], [float(f"{v:.4g}") for v in lower]))
    return table


def write(tables: dict[str, dict[str, list]], path: Path) -> None:
    lines = [
        '"""Class statistics for `cover.classify`, written by `python -m benchmarks.fit_cover_statistics`.',
        "",
        "Table -> land cover -> components (weight, mean of each feature, lower triangle of the covariance).",
        '"""',
        "",
        "# fmt: off",
        "# ruff: noqa: E501",
        "from typing import Final",
        "",
        "STATISTICS: Final[dict[str, dict[str, list[tuple[float, list[float], list[float]]]]]] = {",
    ]
    for group, table in tables.items():
        lines.append(f'    "{group}": {{')
        for name, components in table.items():
            lines.append(f'        "{name}": [')
            lines += [f"            {component!r}," for component in components]
            lines.append("        ],")
        lines.append("    },")
    lines.append("}")
    path.write_text("\n".join(lines) + "\n")


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
            tables[group] = fit(np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts]))
    write(tables, arguments.out)


if __name__ == "__main__":
    main()
