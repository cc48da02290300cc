"""Geolocation of every made product against its truth (pyproj, GDAL or a closed form), in pixels.

    python -m benchmarks.geolocation [--out benchmarks/results/geolocation.json]

Two distances are taken over each product: where a pixel is said to lie against where it lies, and where the ground grid
of the tiles takes its power from against where that place lies. The limit is one pixel.
"""

import argparse
import pkgutil
import tempfile
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from pyproj import Geod, Transformer

import tests.scenes.products as products
from knowlip.base.files import write_json
from knowlip.base.provenance import commit, machine
from knowlip.scenes import open_scene
from knowlip.tiles.ground import Ground
from tests.scenes.products import geotiff

GEOD = Geod(ellps="WGS84")
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "sentinel1": [{}, {"kind": "SLC"}],
    "gaofen3": [{}, {"level": "L2"}],
    "capella": [{"kind": "GEO"}, {"kind": "GEC"}, {"kind": "SLC"}],
    "iceye": [{"kind": "GRD"}, {"kind": "SLC"}],
    "terrasar": [{}],
    "umbra": [{}, {"rotation_deg": 20.0}],
    "geotiff": [{"kind": kind} for kind in (*geotiff.KINDS, "swath")],
    "opensarship": [{}, {"double": True, "top": True}, {"slc": True}, {"ships": 9}],
}
"""Options of the generators; what is not named is made once, or once a kind where the module lists `KINDS`."""


def variants() -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """(name, module, options) of every product that can be made."""
    for item in sorted(pkgutil.iter_modules(products.__path__), key=lambda item: item.name):
        module = import_module(f"{products.__name__}.{item.name}")
        if not hasattr(module, "make"):
            continue
        default = [{"kind": kind} for kind in getattr(module, "KINDS", ())] or [{}]
        for options in VARIANTS.get(item.name, default):
            name = " ".join([item.name, *(f"{key}={value}" for key, value in options.items())])
            yield name, module, options


def measure(product: products.Product) -> dict[str, float]:
    """Largest distances over a product in pixels, and the residual that the geometry itself states in metres."""
    scene = open_scene(product.path)
    rows, columns = scene.shape
    x, y = np.meshgrid(np.linspace(0, columns, 41), np.linspace(0, rows, 41))
    forward = GEOD.inv(*scene.to_lonlat(x, y), *product.truth(x, y))[2]
    ground = Ground(scene)
    across, down = np.meshgrid(np.linspace(0, ground.shape[1], 41), np.linspace(0, ground.shape[0], 41))
    at = ground.transform @ (across, down)
    source_x, source_y = scene.geometry.inverse(
        *Transformer.from_crs(ground.crs, scene.crs, always_xy=True).transform(*at)
    )
    inside = (source_x >= 0) & (source_x <= columns) & (source_y >= 0) & (source_y <= rows)
    lons, lats = Transformer.from_crs(ground.crs, 4326, always_xy=True).transform(at[0][inside], at[1][inside])
    backward = GEOD.inv(lons, lats, *product.truth(source_x[inside], source_y[inside]))[2]
    scene.raster.close()
    return {
        "pixels": round(float(forward.max()) / product.pixel_m, 5),
        "pixels_on_grid": round(float(backward.max()) / product.pixel_m, 5),
        "metres": round(float(max(forward.max(), backward.max())), 4),
        "pixel_m": round(product.pixel_m, 3),
        "stated_residual_m": round(scene.geometry.residual_m, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/geolocation.json"))
    arguments = parser.parse_args()
    rows: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
        for number, (name, module, options) in enumerate(variants()):
            rows[name] = measure(module.make(Path(folder) / str(number), **options))
            print(f"{name:40} {rows[name]['pixels']:8.4f} {rows[name]['pixels_on_grid']:8.4f} pixels")
    worst = max(max(row["pixels"], row["pixels_on_grid"]) for row in rows.values())
    write_json(
        arguments.out,
        {
            "value": worst,
            "baseline": 1.0,
            "ratio": round(worst / 1.0, 5),
            "unit": "largest error in pixels over all made products; baseline: the limit of one pixel",
            "products": rows,
            "machine": f"{machine()}, one process",
            "date": datetime.now(UTC).date().isoformat(),
            "commit": commit(),
        },
    )
    print(f"worst: {worst:.4f} pixels (limit 1)")


if __name__ == "__main__":
    main()
