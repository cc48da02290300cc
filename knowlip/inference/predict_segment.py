"""`knowlip predict segment`: a class for every pixel of whole scenes, as cloud-optimised GeoTIFF with colours."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import rasterio
import rasterio.shutil
import torch
from rasterio.windows import Window as PixelWindow

from knowlip.base.files import whole_file
from knowlip.base.progress import track
from knowlip.base.rows import Json
from knowlip.inference.predict import Predicted, ScenePredictor, SceneWork, facts_of, predict_scenes, show_scenes
from knowlip.inference.scene_blend import Blend, reaching
from knowlip.inference.scene_settings import PredictSegmentConfig
from knowlip.jobs.store import Format, Store
from knowlip.models.device import chosen
from knowlip.scenes.opening import WRITE_OPTIONS
from knowlip.tasks.segmented import palette
from knowlip.tasks.segmenter import Segmenter, load_segmenter, model_folder, segmenter_taught_on, weights_sha256

NODATA: Final = 255
_LAYOUT: Final = {"driver": "GTiff", "tiled": True, "blockxsize": 512, "blockysize": 512, "count": 1, "dtype": "uint8"}
_STORED: Final = {"compress": "DEFLATE", "zlevel": 1, "bigtiff": "IF_SAFER", "nodata": NODATA}


def predict_segment(config: PredictSegmentConfig) -> Predicted:
    """Give every pixel of whole scenes a class.

    Raises:
        ValueError: no segmenter, no scene that can be used, or results of other settings in `out`.
    """
    return predict_scenes(config, ScenesSegmenter(config))


def _write_rows(path: Path, rows: np.ndarray) -> None:
    with whole_file(path) as part, part.open("wb") as stream:
        np.savez_compressed(stream, rows=rows)


def _read_rows(path: Path) -> np.ndarray:
    with np.load(path, allow_pickle=False) as file:
        return np.asarray(file["rows"])


ROWS: Final[Format[np.ndarray]] = Format(".npz", _write_rows, _read_rows)
"""Classes and percent (2, rows, W) uint8."""


class ScenesSegmenter(ScenePredictor):
    """A segmenter that looks at windows."""

    kind = "segment"

    def __init__(self, config: PredictSegmentConfig) -> None:
        folder = model_folder(config.model)
        self.config, self.device = config, chosen(config.device)
        self.taught, crop = segmenter_taught_on(folder)
        self.segmenter: Segmenter = load_segmenter(folder, self.device)
        self.window = config.window_px or crop
        self.weights = weights_sha256(folder)

    def files(self) -> Sequence[Path]:
        """The folder of the segmenter."""
        return (self.config.model.resolve(),)

    def run(self, work: SceneWork) -> dict[str, Json]:
        """Rows of windows from top to bottom; what is finished is kept on disk until the map is written."""
        store, grid = Store(work.folder, ROWS), work.grid
        store.begin(dict(work.made_with))
        names = [f"{row:05d}" for row in range(len(grid.tops))]
        todo = store.todo(names)
        if todo:
            first = int(todo[0])
            blend = Blend(grid, len(self.segmenter.classes), grid.tops[first])
            # Windows above that reach into what is not finished were looked at before the command was killed.
            for row in reaching(grid, first):
                self._look(work, row, blend)
            for row in track(range(first, len(names)), f"segment {work.scene.scene_id}"):
                self._look(work, row, blend)
                stop = grid.tops[row + 1] if row + 1 < len(grid.tops) else grid.shape[0]
                store.write(names[row], np.stack(blend.finish(stop, NODATA)))
        counts = np.zeros(256, np.int64)
        for name in names:
            counts += np.bincount(store.read(name)[0].ravel(), minlength=256)
        self._map(work, (store.read(name)[0] for name in names), ".tif", legend=True)
        if self.config.confidence:
            self._map(work, (store.read(name)[1] for name in names), "-confidence.tif", legend=False)
        area = grid.metres**2 / 1e6
        return {
            "km2": {name: round(float(counts[at]) * area, 6) for at, name in enumerate(self.segmenter.classes)},
            "km2_without_data": round(float(counts[NODATA]) * area, 6),
        }

    @torch.inference_mode()
    def _look(self, work: SceneWork, row: int, blend: Blend) -> None:
        for some in work.windows(row, self.config.batch_size):
            images = torch.from_numpy(np.stack([pixels.levels for _, pixels in some])).to(self.device)
            found = self.segmenter.scores(images).softmax(1).cpu().numpy()
            for (cell, pixels), one in zip(some, found):
                blend.add(cell.top, cell.left, one, pixels.valid)

    def _map(self, work: SceneWork, strips: Iterator[np.ndarray], suffix: str, legend: bool) -> None:
        """Write a map, strip by strip, and make it cloud-optimised."""
        grid = work.grid
        crs = grid.ground.crs.to_wkt() if work.scene.located else None
        place = {"height": grid.shape[0], "width": grid.shape[1], "crs": crs, "transform": grid.transform}
        with tempfile.TemporaryDirectory(dir=work.folder) as folder, rasterio.Env(**WRITE_OPTIONS):
            plain = Path(folder) / "plain.tif"
            with rasterio.open(plain, "w", **_LAYOUT, **_STORED, **place) as target:
                top = 0
                for strip in strips:
                    target.write(strip, 1, window=PixelWindow(0, top, grid.shape[1], len(strip)))
                    top += len(strip)
                tags = {f"KNOWLIP_{name.upper()}": str(value) for name, value in facts_of(work.scene).items()}
                if legend:
                    names = self.segmenter.classes
                    colours = palette(len(names))
                    target.write_colormap(1, {at: (*map(int, colours[at]), 255) for at in range(len(names))})
                    tags |= {f"CLASS_{at}": name for at, name in enumerate(names)}
                target.update_tags(**tags)
            with whole_file(work.file(suffix)) as part:
                options = {"compress": "DEFLATE", "level": "6", "blocksize": "512", "overview_resampling": "MODE"}
                rasterio.shutil.copy(plain, part, driver="COG", **options)


def show(result: Predicted) -> str:
    """The result for people."""

    def line(one: Any) -> str:
        return ", ".join(f"{name} {area:,.3f} km2" for name, area in one["km2"].items())

    return show_scenes(result, line)
