"""What is said of each window of whole scenes by itself, as GeoParquet of their footprints and as GeoJSON."""

from abc import abstractmethod
from typing import Any, Final

import geopandas
import numpy as np
import pandas as pd
import pyarrow as pa

from knowlip.base.files import whole_file
from knowlip.base.progress import track
from knowlip.base.rows import Json
from knowlip.inference.geojson import write_geojson
from knowlip.inference.predict import ScenePredictor, SceneWork, facts_of
from knowlip.inference.scene_settings import PredictConfig
from knowlip.jobs.store import TABLES, Store
from knowlip.tiles.windows import footprints

_PLACE: Final = (("row", pa.int32()), ("column", pa.int32()), ("valid_fraction", pa.float64()))


class ScenesWindows(ScenePredictor):
    """What says something of each window by itself.

    Args:
        config: settings.
    """

    columns: tuple[tuple[str, pa.DataType], ...]
    """What is said of a window."""
    mapped = True
    """Whether it fits into GeoJSON too."""

    def __init__(self, config: PredictConfig, min_valid: float) -> None:
        self.batch_size, self.min_valid = config.batch_size, min_valid

    @property
    def schema(self) -> pa.Schema:
        """Of the rows of a scene under way."""
        return pa.schema([*_PLACE, *self.columns])

    def check(self, work: SceneWork) -> None:
        """Raise `ValueError` where the windows are none that the model knows."""

    def schema_of_said(self) -> pa.Schema:
        """Of what is said alone."""
        return pa.schema(list(self.columns))

    @abstractmethod
    def say(self, work: SceneWork, images: list[np.ndarray]) -> list[dict[str, Any]]:
        """What is said of each of some windows (T, T) uint8."""

    def run(self, work: SceneWork) -> dict[str, Json]:
        """Each row of windows, then the scene.

        Raises:
            ValueError: windows of a size that the model does not know, or none that holds enough data.
        """
        self.check(work)
        store = Store(work.folder, TABLES)
        store.begin(dict(work.made_with))
        names = [f"{row:05d}" for row in range(len(work.grid.tops))]
        for name in track(store.todo(names), f"{self.kind} windows of {work.scene.scene_id}"):
            store.write(name, self._row(work, int(name)))
        table = pa.concat_tables([store.read(name) for name in names]).to_pandas()
        if table.empty:
            rows, columns = work.grid.shape
            raise ValueError(
                f"No window of {work.scene.path} holds data in {self.min_valid:.0%} of its pixels: it has {columns} x "
                f"{rows} pixels of {work.grid.metres:.3g} m, windows have {work.grid.window}. Set --window_px or "
                "--min_valid lower."
            )
        self._write(work, table)
        left = len(work.grid.tops) * len(work.grid.lefts) - len(table)
        return {"said_of": len(table), "left_out_without_data": left, **self.told(table)}

    def told(self, table: pd.DataFrame) -> dict[str, Json]:
        """What is to be told of a scene besides."""
        return {}

    def _row(self, work: SceneWork, row: int) -> pa.Table:
        rows: list[dict[str, Any]] = []
        for some in work.windows(row, self.batch_size, self.min_valid):
            for (cell, pixels), told in zip(some, self.say(work, [pixels.levels for _, pixels in some]), strict=True):
                share = round(float(pixels.valid.mean()), 4)
                rows.append({"row": cell.row, "column": cell.column, "valid_fraction": share, **told})
        return pa.Table.from_pylist(rows, self.schema)

    def _write(self, work: SceneWork, table: pd.DataFrame) -> None:
        """The footprints of the windows with what is said of each; without a place, the table alone."""
        grid, cells = work.grid, list(zip(table["row"], table["column"]))
        shapes = footprints(grid.ground.crs, [grid.ground_window(row, column) for row, column in cells])
        table = table.assign(
            scene_id=work.scene.scene_id,
            window_m=round(grid.window * grid.metres, 3),
            metres_per_pixel=round(grid.metres, 6),
            x=[grid.lefts[column] for _, column in cells],
            y=[grid.tops[row] for row, _ in cells],
            **{name: str(value) for name, value in facts_of(work.scene).items()},
        )
        # A footprint without a place would be a lie on every map.
        if not work.scene.located:
            with whole_file(work.file(".parquet")) as part:
                table.to_parquet(part, index=False)
            return
        frame = geopandas.GeoDataFrame(table, geometry=shapes, crs=4326)
        with whole_file(work.file(".parquet")) as part:
            frame.to_parquet(part, index=False)
        if self.mapped:
            write_geojson(work.file(".geojson"), shapes, table.to_dict("records"))
