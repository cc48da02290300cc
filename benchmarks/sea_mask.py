"""Make `knowlip/tiles/data/sea.png`: sea, mainland and islands in cells of 1/30 degree.

    pip install global-land-mask
    python -m benchmarks.sea_mask

Source: the package `global-land-mask` 1.0 (MIT), which holds the ocean flag of the GLOBE elevation model of NOAA
(public domain) in cells of 1/120 degree. A cell of ours is land from a quarter of land on. Land that is connected over
its edges and smaller than a million square kilometres is an island.
"""

import importlib.util
import math
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

OUT = Path(__file__).parents[1] / "knowlip" / "tiles" / "data" / "sea.png"
_BLOCK, _ISLAND_KM2 = 4, 1.0e6


def main() -> None:
    """Write the picture: 0 sea, 1 mainland, 2 island."""
    spec = importlib.util.find_spec("global_land_mask")
    if spec is None or spec.origin is None:
        raise SystemExit("Install the package global-land-mask.")
    with np.load(Path(spec.origin).parent / "globe_combined_mask_compressed.npz") as file:
        land = ~file["mask"]
    rows, columns = land.shape[0] // _BLOCK, land.shape[1] // _BLOCK
    some = land.reshape(rows, _BLOCK, columns, _BLOCK).sum((1, 3), dtype=np.uint8) >= _BLOCK**2 // 4
    labels, count = ndimage.label(some)
    for left, right in {(a, b) for a, b in zip(labels[:, 0].tolist(), labels[:, -1].tolist()) if a and b and a != b}:
        labels[labels == right] = left  # one piece of land on both sides of the antimeridian
    area = (
        np.cos(np.radians(90.0 - (np.arange(rows) + 0.5) * 180.0 / rows)) * (math.radians(180.0 / rows) * 6371.0) ** 2
    )
    km2 = np.bincount(labels.ravel(), np.broadcast_to(area[:, None], labels.shape).ravel(), count + 1)
    picture = np.where(some, np.where(km2[labels] < _ISLAND_KM2, 2, 1), 0).astype(np.uint8)
    image = Image.fromarray(picture, "P")
    image.putpalette([0, 40, 90, 210, 200, 160, 120, 180, 90, 255, 255, 255])
    image.save(OUT, optimize=True, bits=2)
    print(OUT, OUT.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
