"""`knowlip predict detect`: objects in whole scenes, as GeoJSON (RFC 7946), GeoPackage and a table."""

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import geopandas
import numpy as np
import pandas as pd
import pyarrow as pa
import shapely
from pyproj import Transformer

from knowlip.base.files import whole_file
from knowlip.base.progress import track
from knowlip.base.rows import Json
from knowlip.inference.geojson import write_geojson
from knowlip.inference.predict import Predicted, ScenePredictor, SceneWork, facts_of, predict_scenes, show_scenes
from knowlip.inference.scene_boxes import FOUND, Merged, merged, placed, scaled
from knowlip.inference.scene_grid import SceneGrid
from knowlip.inference.scene_settings import PredictDetectConfig
from knowlip.jobs.store import TABLES, Store
from knowlip.models.detection import Detector
from knowlip.models.device import chosen
from knowlip.scenes.scene import lonlat_polygon
from knowlip.tasks.detect import found_in
from knowlip.tasks.detect_folder import (
    detector_count_scores,
    detector_taught_on,
    load_detector,
    model_folder,
    weights_sha256,
)
from knowlip.tasks.metrics.boxes import CORNERS

_COLUMNS: Final = (
    *("category", "score", "x", "y", "east_west_m", "north_south_m", "length_m", "width_m", "heading_deg"),
)
_ROWS: Final = 1_000_000
"""More rows of windows than a scene has: tells those of one pixel size from those of the next."""
_NEAR: Final = 1.01
_FROM: Final = {
    (True, True): "counts of its validation scenes err least so",
    (True, False): "its card says none: counts may be far off",
    (False, True): "as asked",
}
"""Whether the score is by default, whether the card has it -> for people."""
_DIGITS: Final = 7
"""Of degrees: a centimetre."""


def predict_detect(config: PredictDetectConfig) -> Predicted:
    """Find objects in whole scenes.

    Raises:
        ValueError: no detector, no scene that can be used, or results of other settings in `out`.
    """
    return predict_scenes(config, ScenesDetector(config))


class ScenesDetector(ScenePredictor):
    """A detector that looks at windows."""

    kind = "detect"

    def __init__(self, config: PredictDetectConfig) -> None:
        folder = model_folder(config.model)
        self.config = config
        self.taught = detector_taught_on(folder)
        self.detector: Detector = load_detector(folder, chosen(config.device))
        self.window = config.window_px or (self.taught.tile_px if self.taught else self.detector.backbone.side)
        self.weights = weights_sha256(folder)
        self.scores = detector_count_scores(folder, config.min_score)

    def files(self) -> Sequence[Path]:
        """The folder of the detector."""
        return (self.config.model.resolve(),)

    def run(self, work: SceneWork) -> dict[str, Json]:
        """Boxes of each row of windows at each pixel size, then of the scene."""
        store = Store(work.folder, TABLES)
        store.begin(dict(work.made_with))
        grids = [work.grid, *(self._coarser(work) if self.config.octaves else ())]
        names = {
            f"{octave}-{row:05d}": (octave, row) for octave, grid in enumerate(grids) for row in range(len(grid.tops))
        }
        for name in track(store.todo(names), f"detect in {work.scene.scene_id}"):
            octave, row = names[name]
            store.write(name, self._row(replace(work, grid=grids[octave]), row))
        tables = [store.read(name) for name in names]
        # Boxes of coarser pixels are brought to those of the first grid; windows of another size are other windows.
        parts = [
            scaled(table.to_pandas(), grids[octave].step / work.grid.step, octave * _ROWS)
            for table, (octave, _) in zip(tables, names.values(), strict=True)
        ]
        found = merged(parts)
        empty, broken = (
            sum(int(table.schema.metadata.get(name, 0)) for table in tables)
            for name in (b"without_data", b"without_number")
        )
        write_found(work, found)
        return {
            "objects": _counts(found.boxes),
            "looked_at_metres": [round(grid.metres, 6) for grid in grids],
            "windows": sum(len(grid.tops) * len(grid.lefts) for grid in grids),
            "seen_by_two_windows": found.doubled,
            "cut_by_their_window": found.cut,
            "left_out_without_data": empty,
            "left_out_without_number": broken,
            "min_score": self.scores_said([grid.metres for grid in grids]),
            "min_score_from": self._from(),
        }

    def settings(self) -> dict[str, Json]:
        """The scores that boxes count from: they can change in the card while the weights stay."""
        return {"count_scores": [list(one) for one in self.scores.known] if self.config.min_score is None else []}

    def scores_said(self, sizes: Sequence[float]) -> str | float:
        """The scores that boxes count from, for people: of each pixel size that was looked at, where they differ."""
        said = [(metres, self.scores.said(self.detector.classes, metres)) for metres in sizes]
        if len({str(one) for _, one in said}) == 1:
            return said[0][1]
        return "; ".join(f"{one} at {metres:g} m a pixel" for metres, one in said)

    def _from(self) -> str:
        """Where the scores come from, for people."""
        lacking = self.scores.unmeasured(self.detector.classes)
        said = _FROM[self.config.min_score is None, len(lacking) < len(self.detector.classes)]
        if lacking and len(lacking) < len(self.detector.classes):
            return f"{said}; its card says none for {', '.join(lacking)}: such counts may be far off"
        return said

    def _coarser(self, work: SceneWork) -> Iterator[SceneGrid]:
        """The scene at twice, four times, ... its pixel size, as far as the model learned on such, and until one window
        holds it all."""
        known, grid = self.taught.metres_per_pixel if self.taught else None, work.grid
        while known and 2 * grid.metres <= known[1] * _NEAR and max(grid.shape) > grid.window:
            grid = SceneGrid(grid.ground, 2 * grid.metres, grid.window, self.config.overlap)
            yield grid

    def _row(self, work: SceneWork, row: int) -> pa.Table:
        parts: list[pd.DataFrame] = []
        empty = broken = 0
        for some in work.windows(row, self.config.batch_size):
            found = found_in(self.detector, [pixels.levels for _, pixels in some])
            for (cell, pixels), one in zip(some, found):
                kept, left = placed(self.scores.counted(one, work.grid.metres), cell, work.grid, pixels.valid)
                parts.append(kept)
                empty += left
                broken += int(one.attrs.get("without_number", 0))
        rows = [part for part in parts if len(part)]
        table = pa.Table.from_pandas(pd.concat(rows), FOUND, preserve_index=False) if rows else FOUND.empty_table()
        return table.replace_schema_metadata({"without_data": str(empty), "without_number": str(broken)})


def _counts(boxes: pd.DataFrame) -> dict[str, Json]:
    return {str(name): int(count) for name, count in sorted(boxes["category"].value_counts().items())}


# ---- files ----------------------------------------------------------------------------------------------------------


def write_found(work: SceneWork, found: Merged) -> None:
    """Write the table of a scene, and its maps where its place is known."""
    boxes: list[dict[str, Any]] = [
        dict(zip(FOUND.names, one)) for one in found.boxes[FOUND.names].itertuples(index=False)
    ]
    rows = [_row_of(work, one) for one in boxes]
    outlines = [_outline(work, one) for one in boxes]
    with whole_file(work.file(".csv")) as part:
        pd.DataFrame(rows, columns=_COLUMNS).to_csv(part, index=False)
    if not work.scene.located:
        return
    about = {**facts_of(work.scene), "scene_id": work.scene.scene_id, "resolution_m": round(work.scene.resolution_m, 4)}
    to_lonlat = Transformer.from_crs(work.grid.ground.crs, 4326, always_xy=True)
    shapes = []
    for outline in outlines:
        shape = shapely.set_precision(lonlat_polygon(*to_lonlat.transform(*outline.T)), 10.0**-_DIGITS)
        shapes.append(shapely.orient_polygons(shape))
    said = [{name: value for name, value in {**row, **about}.items() if name not in ("x", "y")} for row in rows]
    write_geojson(work.file(".geojson"), shapes, said)
    squares = [shapely.Polygon(outline) for outline in outlines]
    table = geopandas.GeoDataFrame(pd.DataFrame(said), geometry=squares, crs=work.grid.ground.crs)
    with whole_file(work.file(".gpkg")) as part:
        # GDAL warns of a name that does not end in .gpkg: written to memory, the file has none.
        stream = io.BytesIO()
        table.to_file(stream, driver="GPKG", layer="objects", engine="pyogrio")
        part.write_bytes(stream.getvalue())


def _outline(work: SceneWork, one: dict[str, Any]) -> np.ndarray:
    """Corners (4, 2) of a box in the CRS of the grid."""
    left, top, right, bottom = (one[name] for name in CORNERS)
    flat = list(one["corners"]) or [left, top, right, top, right, bottom, left, bottom]
    x, y = work.grid.transform @ np.asarray(flat, float).reshape(-1, 2).T
    return np.column_stack([x, y])


def _row_of(work: SceneWork, one: dict[str, Any]) -> dict[str, Any]:
    """What is said of an object. The length, width and heading of an upright box are not those of what lies in it: they
    are left open."""
    metres, rotated = work.grid.metres, len(one["corners"]) == 8
    length = width = heading = math.nan
    if rotated:
        points = np.asarray(one["corners"], float).reshape(4, 2)
        sides = np.diff(np.vstack([points, points[:1]]), axis=0)
        lengths = np.linalg.norm(sides, axis=1) * metres
        length, width = float(lengths[:2].max()), float(lengths[:2].min())
        x, y = sides[int(np.argmax(lengths[:2]))]
        heading = math.degrees(math.atan2(x, -y)) % 180
    left, top, right, bottom = (one[name] for name in CORNERS)
    return {
        "category": one["category"],
        "score": round(float(one["score"]), 4),
        "x": round((left + right) / 2, 2),
        "y": round((top + bottom) / 2, 2),
        "east_west_m": round((right - left) * metres, 2),
        "north_south_m": round((bottom - top) * metres, 2),
        "length_m": round(length, 2),
        "width_m": round(width, 2),
        "heading_deg": round(heading, 1),
    }


def show(result: Predicted) -> str:
    """The result for people."""

    def line(one: Any) -> str:
        objects = ", ".join(f"{name} {count:,}" for name, count in one["objects"].items()) or "nothing"
        told = f"{objects} from a score of {one['min_score']} ({one['min_score_from']}) in {one['windows']:,} windows"
        if broken := one.get("left_out_without_number"):
            told += f"; {broken:,} boxes without a number are left out"
        cut = one["cut_by_their_window"]
        return f"{told}; {cut:,} end at an edge of their window: give a larger --overlap" if cut else told

    return show_scenes(result, line)
