"""Whole scenes, archives of them, and search."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, cast

from knowlip.api.given import Named, named_model
from knowlip.api.running import PathLike, listed, run, without
from knowlip.commands import COMMANDS
from knowlip.dataset import Dataset
from knowlip.inference.archive import SceneArchive
from knowlip.inference.archive.parts import HEAD

if TYPE_CHECKING:
    from geopandas import GeoDataFrame
    from pandas import DataFrame

Told = Literal["detect", "segment", "classify", "caption", "ask", "embed"]
_HEADS: Final = ("detect", "segment", "classify")
"""Kinds whose model is trained by the user; the others have one that comes along."""


class ScenePredictions(NamedTuple):
    """What came of whole scenes."""

    scenes: "Mapping[str, GeoDataFrame | DataFrame | Path]"
    """Scene -> a row an object or window with its outline (a scene whose place nobody knows: a table without outlines,
    of a detector its CSV); of a segmenter the GeoTIFF."""
    failed: Sequence[Mapping[str, str]]
    """{"path", "reason"} of those that could not be used."""


def predict(
    kind: Told, scenes: PathLike | Sequence[PathLike], out: PathLike, model: Named = None, **settings: Any
) -> ScenePredictions:
    """Look at whole scenes window by window, from disk; a run that was stopped goes on.

    Args:
        kind: "detect", "segment" and "classify" (with a head that was trained for it), "caption", "ask", "embed".
        scenes: files, or folders that are searched for them.
        out: folder for maps and tables.
        model: folder of the detector, segmenter or classifier, or a model that has words.
        settings: of `knowlip predict KIND`, e.g. `question="..."`, `metres_per_pixel=3`.

    Raises:
        ValueError: no scene that can be used, no such model, or results of other settings in `out`.

    >>> found = knowlip.predict("embed", "scenes", "vectors", metres_per_pixel=3)
    >>> table = found.scenes["rotterdam-c"]
    >>> table.crs.to_epsg(), "embedding" in table, found.failed
    (4326, True, [])
    """
    import geopandas
    import pandas as pd
    from pyarrow.parquet import read_schema

    if f"predict {kind}" not in COMMANDS:
        raise ValueError(f"kind must be detect, segment, classify, caption, ask or embed, not {kind!r}.")
    named = None if model is None and kind in _HEADS else named_model(model)
    given = {**settings, "scenes": listed(scenes), "out": out, **({} if named is None else {"model": named})}
    result = run(f"predict {kind}", **given)
    tables: dict[str, GeoDataFrame | DataFrame | Path] = {}
    for one in result["scenes"]:
        start = Path(out) / str(one["scene_id"])
        files = [start.with_name(start.name + ending) for ending in (".gpkg", ".parquet", ".tif", ".csv")]
        file = next((file for file in files if file.is_file()), None)
        if file is None:
            raise ValueError(f"{out} tells of {start.name} and holds no result of it: use another output folder.")
        if file.suffix == ".gpkg":
            tables[start.name] = geopandas.read_file(file)
        elif file.suffix == ".parquet":
            located = b"geo" in (read_schema(file).metadata or {})
            tables[start.name] = geopandas.read_parquet(file) if located else pd.read_parquet(file)
        else:  # a map, or a table of a scene whose place nobody knows
            tables[start.name] = file
    return ScenePredictions(tables, list(result["failed"]))


class Index:
    """An archive of scenes and tiles that can be asked.

    Args:
        path: its folder; it is made by the first :meth:`add`.
        model: that embeds and searches; the same for all of an archive.

    >>> archive = knowlip.Index("archive").add("dataset")
    >>> len(archive) == len(data.tiles()) == sum(archive.sources.values())
    True
    >>> hits = archive.search("ships at a quay", near="4.4,51.95", km=60, top=3)
    >>> hits.crs.to_epsg(), list(hits["similarity"]) != [], len(hits)
    (4326, True, 3)
    """

    def __init__(self, path: PathLike, model: Named = None) -> None:
        self.path, self.model = Path(path), model

    def add(self, *sources: PathLike, **settings: Any) -> "Index":
        """Add scenes, folders of them and data sets; returns itself.

        Raises:
            ValueError: none of them could be added (the others are told), or an archive of another model.
        """
        if not sources:
            raise ValueError("Give scenes or data sets to add.")
        run("index", scenes=[Path(one) for one in sources], out=self.path, **self._with_model(), **settings)
        return self

    def remove(self, *names: str) -> "Index":
        """Remove sources by their names; returns itself.

        Raises:
            ValueError: there is none of a name.
        """
        run("index", out=self.path, remove=list(names), **self._with_model())
        return self

    @property
    def sources(self) -> dict[str, int]:
        """Name -> windows or tiles of each."""
        return {part.path.name: len(part.vectors) for part in SceneArchive(self.path).parts}

    def __len__(self) -> int:
        return sum(self.sources.values())

    def search(self, text: str = "", **settings: Any) -> "GeoDataFrame":
        """What is most like a text, an image (`like=FILE`), or both, best first, with outlines.

        Args:
            text: what to look for.
            settings: of `knowlip search`: top, like, near, km, after, before, sensor, resolution.

        Raises:
            ValueError: nothing passes the filters, or the archive is of another model.
        """
        import geopandas

        given = without(settings, ("dataset", "out"), "search") | self._with_model()
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "hits.parquet"
            run("search", dataset=self.path, text=text, out=file, **given)
            return cast("GeoDataFrame", geopandas.read_parquet(file))

    def _with_model(self) -> dict[str, Any]:
        return {"model": named_model(self.model)}


def search(where: "Dataset | Index | PathLike", text: str = "", model: Named = None, **settings: Any) -> "GeoDataFrame":
    """The tiles of a data set, or the windows of an archive, that fit a text best, with outlines.

    Args:
        where: data set, archive, or the folder of one.
        text: what to look for.
        model: that searches; of an archive the one that embedded it.
        settings: of `knowlip search`: `top`, and filters of an archive.

    Raises:
        ValueError: neither, or nothing that passes.

    >>> knowlip.search(data, "a town", top=2)[["tile_id", "similarity", "match"]].shape
    (2, 3)
    """
    if isinstance(where, Index):
        return Index(where.path, where.model if model is None else model).search(text, **settings)
    path = where.path if isinstance(where, Dataset) else Path(where)
    if (path / HEAD).is_file():
        return Index(path, model).search(text, **settings)
    given = without(settings, ("dataset", "out"), "search") | {"model": named_model(model)}
    found = run("search", dataset=path, text=text, **given)
    import geopandas
    import pandas as pd

    hits = pd.DataFrame(found["hits"])
    shapes = Dataset(path).index.set_index("tile_id").geometry
    return geopandas.GeoDataFrame(hits, geometry=[shapes[tile] for tile in hits["tile_id"]], crs=4326)
