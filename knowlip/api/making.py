"""Scenes to a data set with texts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from knowlip.api.running import PathLike, listed, run
from knowlip.base.parsing import stage_config
from knowlip.dataset import Dataset
from knowlip.scenes import Scene, SceneOverrides
from knowlip.scenes import open_scene as _open_scene


def simulate(out: PathLike, **settings: Any) -> list[Path]:
    """Draw SAR scenes with exact truth; paths of the scenes.

    Args:
        out: folder for them.
        settings: of `knowlip simulate`.

    Raises:
        ValueError: a setting that is unknown or cannot work.

    >>> scenes = knowlip.simulate("scenes", cities=1, sensors=["sim-c"], scene_size_m={"sim-c": 1024}, workers=1)
    >>> scenes[0].name
    'rotterdam-c.tif'
    """
    return [Path(path) for path in run("simulate", out=out, **settings)["paths"]]


def open_scene(path: PathLike, **known: Any) -> Scene:
    """Open a SAR product of any format that `knowlip scene info` reads; only headers are read.

    Args:
        path: file, or folder of a product.
        known: what you know better than the file says: fields of :class:`knowlip.scenes.SceneOverrides`.

    Raises:
        ValueError: it cannot be read, or a field is unknown.

    >>> scene = knowlip.open_scene("scenes/rotterdam-c.tif")
    >>> scene.sensor, round(scene.resolution_m, 1), scene.polarisation
    ('sim-c', 1.0, 'HH')
    >>> power, valid = scene.read()
    >>> power.shape == scene.shape, power.dtype, valid.dtype
    (True, dtype('float32'), dtype('bool'))
    """
    return _open_scene(Path(path), stage_config(SceneOverrides, known))


def build(scenes: PathLike | Sequence[PathLike], out: PathLike, **settings: Any) -> Dataset:
    """Cut scenes into a data set of georeferenced tiles; a build that was stopped goes on.

    Args:
        scenes: files, or folders that are searched for them.
        out: folder of the data set.
        settings: of `knowlip build`.

    Raises:
        ValueError: no usable scene, or settings that cannot work.

    >>> data = knowlip.build("scenes", "dataset", workers=1)
    >>> data.tiles(scale="medium")[["tile_id", "metres_per_pixel"]].shape
    (4, 2)
    """
    run("build", scenes=listed(scenes), out=out, **settings)
    return Dataset(out)


def annotate(dataset: Dataset | PathLike, annotator: str = "measured", **settings: Any) -> Dataset:
    """Write the eight sub-texts of every tile as revision 0.

    Args:
        dataset: the data set, or its folder.
        annotator: "measured" (offline), "labels", "openai", or the name of one of a plug-in.
        settings: of `knowlip annotate`.

    Raises:
        ValueError: no such annotator, or other texts are there.

    >>> data = knowlip.annotate("dataset", workers=1)
    >>> data.texts(revision=0).groupby("tile_id").size().unique().tolist()
    [8]
    """
    path = dataset.path if isinstance(dataset, Dataset) else Path(dataset)
    run("annotate", dataset=path, annotator=annotator, **settings)
    return Dataset(path)
