"""Tile truth from the files that the simulator writes beside a scene: NAME.truth.geojson and NAME.landcover.tif."""

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from pyproj import CRS, Transformer
from rasterio.errors import RasterioError
from rasterio.windows import Window as PixelWindow

from knowlip.base.documents import read_json
from knowlip.base.vocabulary import LAND_COVER, TARGET_CATEGORIES
from knowlip.scenes.opening import GDAL_OPTIONS, open_raster
from knowlip.tiles.windows import Window

_ROOT_PX = 768
"""Land cover is sampled (nearest) at this many points a side of a large window: divisible by 4 scales and 3 regions."""
_COUNTED = {"building": "buildings", "bridge": "bridges", "tank": "tanks"}


def truth_path(scene: Path) -> Path:
    """Where the truth of a scene file stands, if it has any."""
    return scene.with_name(f"{scene.stem}.truth.geojson")


def land_cover_path(scene: Path) -> Path:
    """Where the land-cover raster of a scene file stands, if it has any."""
    return scene.with_name(f"{scene.stem}.landcover.tif")


class SceneTruth:
    """Objects and land cover of one scene, ready to be asked for any window."""

    def __init__(self, scene: Path, crs: CRS):
        """Args:
            scene: path of the scene file; truth is looked for beside it.
            crs: metric CRS of the windows that will be asked for.

        Raises:
            ValueError: a truth file is broken.
        """
        document = read_json(truth_path(scene))
        self.info: dict[str, Any] = document.get("scene", {})
        self.land_cover = land_cover_path(scene)
        to_crs = Transformer.from_crs(4326, crs, always_xy=True)
        self.crs = crs
        self.properties: list[dict[str, Any]] = []
        self.polygons: list[np.ndarray] = []
        try:
            for feature in document["features"]:
                ring = np.array(feature["geometry"]["coordinates"][0][:-1], float)
                self.properties.append(feature["properties"])
                self.polygons.append(np.column_stack(to_crs.transform(ring[:, 0], ring[:, 1])))
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ValueError(f"{truth_path(scene)} is not the truth of a scene ({error!r}).") from error
        self.centers = np.array([polygon.mean(axis=0) for polygon in self.polygons]).reshape(-1, 2)

    def root_codes(self, root: Window) -> np.ndarray:
        """Land-cover codes (768, 768) uint8 over a large window; 0 where unknown."""
        if not self.land_cover.exists():
            return np.zeros((_ROOT_PX, _ROOT_PX), np.uint8)
        try:
            with rasterio.Env(**GDAL_OPTIONS), open_raster(self.land_cover) as source:
                if source.crs is None or CRS.from_user_input(source.crs.to_wkt()).to_epsg() != self.crs.to_epsg():
                    raise ValueError(f"{self.land_cover} is not in EPSG:{self.crs.to_epsg()}, the CRS of its tiles.")
                return _sample(source, root)
        except RasterioError as error:
            raise ValueError(f"{self.land_cover} cannot be read ({error}).") from error

    def of(self, window: Window, root: Window, codes: np.ndarray) -> dict[str, Any]:
        """Truth of a window: objects and counts by centre, land-cover shares of the whole and of the 3 x 3 regions.

        Args:
            window: any window of the root's family.
            root: its large window.
            codes: `root_codes(root)`.
        """
        x = (self.centers[:, 0] - window.left) / window.side
        y = (window.top - self.centers[:, 1]) / window.side
        inside = np.flatnonzero((x >= 0) & (x < 1) & (y >= 0) & (y < 1))
        truth: dict[str, Any] = {"objects": [], **dict.fromkeys(_COUNTED.values(), 0)}
        for i in inside:
            properties = self.properties[i]
            category = properties["category"]
            if category in _COUNTED:
                truth[_COUNTED[category]] += 1
            elif category in TARGET_CATEGORIES:
                corners = self.polygons[i]
                px = (corners[:, 0] - window.left) / window.side
                py = (window.top - corners[:, 1]) / window.side
                sizes = {name: round(float(properties[name]), 2) for name in ("length_m", "width_m", "heading_deg")}
                place = {"x": round(float(x[i]), 5), "y": round(float(y[i]), 5)}
                polygon = [[round(float(a), 5), round(float(b), 5)] for a, b in zip(px, py)]
                named = {"category": category, "type": properties["type"]}
                truth["objects"].append({**named, **sizes, **place, "polygon": polygon})
        # Codes are sampled once a root and sliced here, so that a tile's shares are those of its four children.
        side = round(_ROOT_PX * window.side / root.side)
        row = round((root.top - window.top) / root.side * _ROOT_PX)
        column = round((window.left - root.left) / root.side * _ROOT_PX)
        here = codes[row : row + side, column : column + side]
        third = side // 3
        parts = [slice(i * third, (i + 1) * third) for i in range(3)]
        return {**truth, "shares": shares_of(here), "grid": [shares_of(here[y, x]) for y in parts for x in parts]}


def _sample(source: rasterio.DatasetReader, root: Window) -> np.ndarray:
    """Nearest codes at the centres of a (768, 768) grid over a window; 0 outside the raster."""
    steps = (np.arange(_ROOT_PX) + 0.5) * root.side / _ROOT_PX
    inverse = ~source.transform
    columns = np.floor(inverse.a * (root.left + steps) + inverse.c + 1e-6).astype(int)
    rows = np.floor(inverse.e * (root.top - steps) + inverse.f + 1e-6).astype(int)
    inside_x = (columns >= 0) & (columns < source.width)
    inside_y = (rows >= 0) & (rows < source.height)
    codes = np.zeros((_ROOT_PX, _ROOT_PX), np.uint8)
    if inside_x.any() and inside_y.any():
        x, y = columns[inside_x], rows[inside_y]
        here = PixelWindow(x[0], y[0], x[-1] - x[0] + 1, y[-1] - y[0] + 1)
        codes[np.ix_(inside_y, inside_x)] = source.read(1, window=here)[np.ix_(y - y[0], x - x[0])]
    return codes


def shares_of(codes: np.ndarray) -> dict[str, float]:
    """Name -> share of the valid area, for the land covers that occur; {} without valid area."""
    counts = np.bincount(codes.ravel(), minlength=max(LAND_COVER) + 1)
    unknown = [code for code in np.flatnonzero(counts) if code not in LAND_COVER]
    if unknown:
        raise ValueError(f"Land-cover code {unknown[0]} is not in the vocabulary.")
    total = counts[1:].sum()
    return {LAND_COVER[code]: round(int(counts[code]) / int(total), 4) for code in LAND_COVER if code and counts[code]}
