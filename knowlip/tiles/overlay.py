"""`knowlip dataset overlay`: labels of one's own maps on the tiles of a built data set.

Class rasters become masks of the tiles, outlines of objects become their boxes; both are found by their coordinates, in
whatever CRS they are. What falls on no tile is counted. Then detectors and segmenters can be trained on one's scenes.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import rasterio
import shapely
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.transform import Affine
from rasterio.warp import reproject, transform_bounds

from knowlip.base.files import write_json
from knowlip.base.progress import track
from knowlip.dataset import Dataset
from knowlip.dataset.annotations import write_annotations, write_masks
from knowlip.dataset.layout import ANNOTATIONS, INFO, MASKS
from knowlip.dataset.png import encode_png
from knowlip.dataset.records import AnnotationRow
from knowlip.jobs.store import alone
from knowlip.scenes.opening import GDAL_OPTIONS, open_raster
from knowlip.tiles.boxes import TilePlace, box_on, in_crs
from knowlip.tiles.imports.masks import MaskCodes
from knowlip.tiles.vectors import MapObjects, read_objects

if TYPE_CHECKING:
    import pandas as pd

_OUTSIDE: Final = -(2**31)
"""In an int32 mask on its way: no raster says anything."""
_MOST_OPEN: Final = 64
"""Rasters that are open at once."""
_MODE_FROM: Final = 2.0
"""A raster whose pixels are smaller than those of the tile by this factor is brought to them by the commonest value."""


@dataclass(frozen=True, kw_only=True)
class OverlayConfig:
    """Which labels come onto which tiles."""

    POSITIONAL: ClassVar = ("dataset",)

    dataset: Path
    """Folder of a data set of scenes with known places."""
    masks: list[Path] = field(default_factory=list)
    """Rasters of classes (GeoTIFF, ...) with coordinates, in any CRS; where several have data the first counts. A
    pattern in quotation marks ('maps/*.tif') stands for the files that fit it, by name."""
    mask_classes: list[str] = field(default_factory=list)
    """VALUE=NAME for each value of the rasters that is a class; other values become "no class" (255). Without it the
    values stay as they are."""
    objects: list[Path] = field(default_factory=list)
    """GeoJSON or GeoPackage files, or patterns, with the outlines of objects (polygons)."""
    category: str = "category"
    """Field of the objects that says what they are."""
    category_is: str = ""
    """What all the objects are, where no field says it, e.g. ship."""
    min_visible: float = 0.5
    """Objects of which a tile shows a smaller share of the area are left out of it."""
    replace: bool = False
    """Take the place of masks (or boxes) that the data set has already."""

    def __post_init__(self) -> None:
        if not self.masks and not self.objects:
            raise ValueError("Give --masks (rasters of classes), --objects (outlines of objects), or both.")
        if not 0 < self.min_visible <= 1:
            raise ValueError(f"min_visible must lie above 0 and at most at 1, not {self.min_visible:g}.")
        if any(entry.lstrip().startswith("#") for entry in self.mask_classes):
            raise ValueError("mask_classes of maps are VALUE=NAME; coloured maps are not read.")
        MaskCodes(self.mask_classes)


def overlay(config: OverlayConfig) -> dict[str, Any]:
    """Write `masks.parquet` and `annotations.parquet` of a data set from maps.

    Returns:
        `masks`: {"tiles", "without": tiles that no raster covers, "classes", "notes"}; `objects`: {"objects": read,
        "kept": those that at least one tile shows, "boxes", "categories", "dropped": {reason: count}}.

    Raises:
        ValueError: a map that cannot be read, none that touches a tile, or labels that are there already.
    """
    config = replace(config, masks=_matched(config.masks), objects=_matched(config.objects))
    with alone(config.dataset / ".overlay.lock", f"Another process writes labels of {config.dataset}."):
        dataset = Dataset(config.dataset)
        for name, given, flag in ((MASKS, config.masks, "masks"), (ANNOTATIONS, config.objects, "annotations")):
            # A file that dataset.json does not know was left behind by a command that was killed.
            if given and (dataset.path / name).exists() and dataset.info.get(flag) and not config.replace:
                raise ValueError(f"{dataset.path} has {flag} already: --replace true puts these in their place.")
        places = tile_places(dataset.table.to_pandas())
        info, told = dict(dataset.info), {}
        if config.masks:
            told["masks"] = _lay_masks(config, places, info)
        if config.objects:
            told["objects"] = _lay_objects(config, places, info)
        write_json(dataset.path / INFO, info)
    return {"dataset": str(config.dataset), **told}


def _matched(paths: Sequence[Path]) -> list[Path]:
    """Files as they are, and those that patterns stand for."""
    found: list[Path] = []
    for path in paths:
        if path.exists() or not any(sign in path.name for sign in "*?["):
            found.append(path)
        elif matched := sorted(path.parent.glob(path.name)):
            found += matched
        else:
            raise ValueError(f"No file fits {path}.")
    return found


def show(result: Mapping[str, Any]) -> str:
    """The result for people."""
    lines = []
    if masks := result.get("masks"):
        classes = ", ".join(masks["classes"].values())
        lines.append(f"masks: {masks['tiles']:,} tiles ({classes}); {masks['without']:,} tiles lie on no raster")
        lines += [f"  {note}" for note in masks["notes"]]
    if objects := result.get("objects"):
        named = ", ".join(f"{name} {count:,}" for name, count in objects["categories"].items())
        lines.append(f"objects: {objects['kept']:,} of {objects['objects']:,} in {objects['boxes']:,} boxes ({named})")
        lines += [f"  left out, {reason}: {count:,}" for reason, count in objects["dropped"].items()]
    return "\n".join([*lines, str(result["dataset"])])


def tile_places(index: "pd.DataFrame") -> list[TilePlace]:
    """The accepted tiles with their places, in order of tile_id.

    Raises:
        ValueError: none has a place.
    """
    rows = index[index["accepted"] & (index["proj:code"].fillna("") != "")].sort_values("tile_id")
    places = [
        TilePlace(str(name), str(code), Affine(*map(float, step)), (int(size[0]), int(size[1])))
        for name, code, step, size in zip(
            rows["tile_id"], rows["proj:code"], rows["proj:transform"], rows["proj:shape"], strict=True
        )
    ]
    if not places:
        raise ValueError("No accepted tile of the data set has a known place: labels of maps cannot be laid on it.")
    return places


# ---- masks ----------------------------------------------------------------------------------------------------------


def _lay_masks(config: OverlayConfig, places: Sequence[TilePlace], info: dict[str, Any]) -> dict[str, Any]:
    codes, count, opened = MaskCodes(config.mask_classes), Counter[str](), _OpenRasters()

    def pngs() -> Iterator[tuple[str, bytes]]:
        for place in track(places, "lay masks on tiles"):
            values = _values_on(rasters, place, opened)
            mask = codes.of(values, values != _OUTSIDE, "A raster")
            if (values == _OUTSIDE).all():
                count["without"] += 1
            else:
                yield place.tile_id, encode_png(mask)

    with rasterio.Env(**GDAL_OPTIONS):
        rasters = [_ClassRaster(path) for path in config.masks]
        if not any(raster.touches(place) for place in places for raster in rasters):
            raise ValueError(f"None of the {len(rasters)} rasters of --masks touches a tile of {config.dataset}.")
        try:
            written = write_masks(config.dataset, pngs())
        finally:
            opened.close()
    names = {str(code): word for code, word in codes.names().items()}
    info |= {"masks": written, "mask_classes": names}
    return {"tiles": written, "without": count["without"], "classes": names, "notes": codes.notes()}


class _OpenRasters:
    """Rasters that stay open from tile to tile, of many the `_MOST_OPEN` that were used last."""

    def __init__(self) -> None:
        self._sources: OrderedDict[Path, Any] = OrderedDict()

    def source(self, path: Path) -> Any:
        """The raster, opened once while it is in use."""
        if path not in self._sources:
            while len(self._sources) >= _MOST_OPEN:
                self._sources.popitem(last=False)[1].close()
            self._sources[path] = open_raster(path)
        self._sources.move_to_end(path)
        return self._sources[path]

    def close(self) -> None:
        """Close all of them."""
        while self._sources:
            self._sources.popitem()[1].close()


class _ClassRaster:
    """A raster of classes that can be asked about any tile."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with open_raster(path) as source:
                self.crs, self.nodata, self.kind = source.crs, source.nodata, source.dtypes[0]
                self.bounds, self.step = source.bounds, abs(source.transform.determinant) ** 0.5
                bands = source.count
        except RasterioError as error:
            raise ValueError(f"{path} cannot be read ({error}).") from error
        if self.crs is None:
            raise ValueError(f"{path} does not say where it lies: give rasters with a CRS.")
        if bands != 1 or not np.issubdtype(np.dtype(self.kind), np.integer):
            raise ValueError(
                f"{path} has {bands} bands of {self.kind}; a raster of classes has one band of whole numbers."
            )
        self._boxes: dict[str, tuple[float, float, float, float]] = {}

    def touches(self, place: TilePlace) -> bool:
        if place.crs not in self._boxes:
            # 21 points a side: an edge that is straight in one CRS is bent in the other.
            self._boxes[place.crs] = transform_bounds(self.crs, place.crs, *self.bounds, densify_pts=21)
        left, bottom, right, top = self._boxes[place.crs]
        west, south, east, north = place.bounds
        return left < east and west < right and bottom < north and south < top

    def on(self, place: TilePlace, opened: _OpenRasters) -> np.ndarray:
        """Values (H, W) int32 at the pixels of a tile."""
        found = np.full(place.shape, _OUTSIDE, np.int32)
        own = self.step
        if self.crs.is_geographic:  # degrees: what a pixel of the tile is in them does not matter to 10 %
            own *= 111_320.0
        fine = place.transform.a / own >= _MODE_FROM
        try:
            reproject(
                rasterio.band(opened.source(self.path), 1),
                found,
                src_nodata=self.nodata,
                dst_transform=place.transform,
                dst_crs=place.crs,
                dst_nodata=_OUTSIDE,
                resampling=Resampling.mode if fine else Resampling.nearest,
            )
        except RasterioError as error:
            raise ValueError(f"{self.path} cannot be read ({error}).") from error
        return found


def _values_on(rasters: Sequence[_ClassRaster], place: TilePlace, opened: _OpenRasters) -> np.ndarray:
    values = np.full(place.shape, _OUTSIDE, np.int32)
    for raster in rasters:
        if (values == _OUTSIDE).any() and raster.touches(place):
            values = np.where(values == _OUTSIDE, raster.on(place, opened), values)
    return values


# ---- objects --------------------------------------------------------------------------------------------------------


_AGAIN: Final = "the same outline and category again"


def _once(
    read: MapObjects, known: set[tuple[str, bytes, str]], dropped: Counter[str]
) -> list[tuple[shapely.Polygon, str]]:
    """Objects of a file that no file before held, nor it itself: else one ship would be counted as two."""
    kept = []
    for outline, name in read.objects:
        key = (read.crs.to_string(), shapely.normalize(outline).wkb, name)
        if key in known:
            dropped[_AGAIN] += 1
        else:
            known.add(key)
            kept.append((outline, name))
    return kept


def _lay_objects(config: OverlayConfig, places: Sequence[TilePlace], info: dict[str, Any]) -> dict[str, Any]:
    dropped, rows, shown, kept = Counter[str](), list[AnnotationRow](), set[int](), set[int]()
    numbers = Counter[str]()
    files = [read_objects(path, config.category, config.category_is) for path in config.objects]
    known = set[tuple[str, bytes, str]]()
    files = [replace(read, objects=_once(read, known, dropped)) for read in files]
    for read in files:
        dropped.update(read.dropped)
    found = [(outline, name, path.name) for path, read in zip(config.objects, files) for outline, name in read.objects]
    # All outlines are brought to the CRS of a zone once, not once a tile.
    by_crs: dict[str, list[TilePlace]] = {}
    for place in places:
        by_crs.setdefault(place.crs, []).append(place)
    for code, tiles in by_crs.items():
        moved = [one for read in files for one in in_crs([outline for outline, _ in read.objects], read.crs, code)]
        tree = shapely.STRtree(moved)
        for place in track(tiles, f"lay objects on tiles in {code}"):
            window = shapely.box(*place.bounds)
            for at in sorted(map(int, tree.query(window, predicate="intersects"))):
                shown.add(at)
                seen = shapely.intersection(moved[at], window)
                if seen.area >= config.min_visible * moved[at].area:
                    kept.add(at)
                    _, name, source = found[at]
                    rows.append(box_on(place, numbers[place.tile_id], moved[at], seen, name, f"map:{source}"))
                    numbers[place.tile_id] += 1
    dropped["on no tile"] = len(found) - len(shown)
    dropped[f"no tile shows {config.min_visible:.0%} of it"] = len(shown - kept)
    told = {reason: count for reason, count in sorted(dropped.items()) if count}
    if not rows:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in told.items()) or "there are none"
        raise ValueError(f"No tile of {config.dataset} shows any of the objects ({reasons}).")
    categories = dict(sorted(Counter(row["category"] for row in rows).items()))
    info |= {"annotations": write_annotations(config.dataset, rows), "categories": categories}
    total = sum(len(read.objects) + sum(read.dropped.values()) for read in files) + told.get(_AGAIN, 0)
    return {"objects": total, "kept": len(kept), "boxes": len(rows), "categories": categories, "dropped": told}
