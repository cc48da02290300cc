"""KnowLIP in Python, by a dozen names: `import knowlip`, then `knowlip.ask(...)`.

Nothing of this is loaded by `import knowlip` alone. What is said here comes back as plain records (dicts),
GeoDataFrames and NumPy arrays; every setting of a command is a keyword of the function of its name. The examples of all
docstrings are one story that tests run from :func:`simulate` on.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias, cast

import numpy as np

from knowlip.base.parsing import stage_config
from knowlip.base.progress import say
from knowlip.base.recipes import load_recipe
from knowlip.commands import COMMANDS
from knowlip.dataset import Dataset
from knowlip.inference.archive import SceneArchive
from knowlip.inference.archive.parts import HEAD
from knowlip.inference.settings import AskConfig, CaptionConfig
from knowlip.models.default import shipped_model
from knowlip.models.hub import ANSWERS, WEIGHTS, find_model
from knowlip.scenes import Scene, SceneOverrides
from knowlip.scenes import open_scene as _open_scene

if TYPE_CHECKING:
    from geopandas import GeoDataFrame
    from pandas import DataFrame

    from knowlip.inference.ask import AnsweredQuestion
    from knowlip.inference.caption import CaptionedImage
    from knowlip.inference.images import TakenImage
    from knowlip.models import KnowLIP

PathLike: TypeAlias = str | Path
Named: TypeAlias = "KnowLIP | str | Path | None"
"""A model that is open, its folder, USER/REPO of the hub, or None for the one that comes with KnowLIP."""
Pictured: TypeAlias = str | Path | np.ndarray
"""An image: a file, or 8-bit pixels (H, W) with 0 where there is no data."""
Told = Literal["detect", "segment", "classify", "caption", "ask", "embed"]
_HEADS: Final = ("detect", "segment", "classify")
"""Kinds whose model is trained by the user; the others have one that comes along."""
_MEMORY: Final = Path("the image")
_BATCH: Final = 32


# ---- scenes and data sets -------------------------------------------------------------------------------------------


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
    run("build", scenes=_listed(scenes), out=out, **settings)
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


# ---- a model in use -------------------------------------------------------------------------------------------------


def embed(
    images: Sequence[Pictured] | None = None,
    texts: Sequence[str] | None = None,
    model: Named = None,
    metres_per_pixel: float | None = None,
    device: str = "auto",
) -> np.ndarray:
    """Embeddings of images or of texts (N, E) float32, of unit length, in one space.

    Args:
        images: files or 8-bit pixels, each shown whole.
        texts: in their place.
        model: whose space it is.
        metres_per_pixel: side of a pixel on the ground where files do not say it.
        device: cpu, cuda, or auto.

    Raises:
        ValueError: both or neither, or an image that cannot be read.

    >>> tiles = list(data.images(data.tiles(scale="medium")["tile_id"]))
    >>> images = knowlip.embed(tiles, metres_per_pixel=2)
    >>> texts = knowlip.embed(texts=["a port with ships", "fields"])
    >>> (images @ texts.T).shape
    (4, 2)
    """
    from knowlip.inference.opened import width_m

    if (images is None) == (texts is None):
        raise ValueError("Give images or texts: embed(images) or embed(texts=[...]).")
    if isinstance(images, str | Path) or isinstance(texts, str):
        raise ValueError("Give a list of images or of texts.")
    opened = _opened(model, device)
    if texts is not None:
        return np.asarray(opened.embed_texts(list(texts)).float().cpu())
    found = []
    taken = [_taken(one, metres_per_pixel) for one in images or ()]
    for start in range(0, len(taken), _BATCH):
        some = taken[start : start + _BATCH]
        metres = [width_m(image) / image.pixels.size**0.5 for image in some]
        found.append(np.asarray(opened.embed_images([image.pixels for image in some], metres).float().cpu()))
    if not found:
        raise ValueError("There is no image to embed.")
    return np.concatenate(found)


def caption(
    image: Pictured, model: Named = None, metres_per_pixel: float | None = None, device: str = "auto", **settings: Any
) -> "CaptionedImage":
    """Describe an image; a scene that shows more ground than the model knows, window by window.

    Args:
        image: file or 8-bit pixels.
        model: that describes it.
        metres_per_pixel: side of a pixel on the ground where the image does not say it.
        device: cpu, cuda, or auto.
        settings: of `knowlip caption`, e.g. `generation={"num": 3}`.

    Raises:
        ValueError: an image that cannot be read or shows pixels that the model cannot use.

    >>> said = knowlip.caption(tiles[0], metres_per_pixel=2)
    >>> sorted(said)
    ['caption', 'image', 'metres_per_pixel', 'probability', 'token_probability']
    >>> isinstance(said["caption"], str)
    True
    """
    from knowlip.inference.caption import described_view
    from knowlip.inference.opened import say_unknown_sizes

    given = _without(settings, ("images", "out"), "caption")
    config = stage_config(CaptionConfig, {**given, "images": [str(_path(image))], **_metres(metres_per_pixel)})
    opened, unknown = _opened(model, device), list[Path]()
    found, _ = described_view(opened, _view(image, opened, metres_per_pixel, config.refuse), config, unknown)
    say_unknown_sizes(unknown)
    return found


def ask(
    image: Pictured,
    question: str,
    model: Named = None,
    metres_per_pixel: float | None = None,
    device: str = "auto",
    **settings: Any,
) -> "AnsweredQuestion":
    """The answer to a question about an image, or about a scene and its windows: how sure it is, or why it is refused.

    Args:
        image: file or 8-bit pixels.
        question: in words.
        model: that answers.
        metres_per_pixel: side of a pixel on the ground where the image does not say it.
        device: cpu, cuda, or auto.
        settings: of `knowlip ask`, e.g. `evidence="map.png"`, `refuse=False`.

    Raises:
        ValueError: an image that cannot be read, or a question that the model cannot.

    >>> found = knowlip.ask("scenes/rotterdam-c.tif", "How many ships are visible?")
    >>> found["kind"], found["answer"].isdigit() or found["refused"]
    ('count', True)
    >>> knowlip.ask(tiles[0], "How many ships are visible?", metres_per_pixel=200)["refused"]
    'resolution'
    """
    from knowlip.inference.ask import ask_view
    from knowlip.inference.opened import say_unknown_sizes
    from knowlip.inference.replies import asker_of, coarse, refusing
    from knowlip.inference.views import CoarsePixels
    from knowlip.inference.written import unknown_words

    given = {**_without(settings, ("image", "also", "out", "tile", "questions"), "ask"), "image": str(_path(image))}
    config = stage_config(AskConfig, {**given, "question": question, **_metres(metres_per_pixel)})
    opened = _opened(model, device)
    asker, notes = asker_of(opened, _calibrated(opened), question, config.refuse, config.generation)
    for note in (*notes, unknown_words(opened, question)):
        if note:
            say(f"  note: {note}")
    try:
        view = _view(image, opened, metres_per_pixel, config.refuse)
    except CoarsePixels as error:
        from knowlip.inference.ask import refused_image

        return refused_image(_path(image), asker, refusing(coarse(error)), metres_per_pixel)
    found = ask_view(asker, view, config)
    say_unknown_sizes(found.unknown)
    return found.result


# ---- whole scenes and archives --------------------------------------------------------------------------------------


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
    named = None if model is None and kind in _HEADS else _named(model)
    given = {**settings, "scenes": _listed(scenes), "out": out, **({} if named is None else {"model": named})}
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

        given = _without(settings, ("dataset", "out"), "search") | self._with_model()
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "hits.parquet"
            run("search", dataset=self.path, text=text, out=file, **given)
            return cast("GeoDataFrame", geopandas.read_parquet(file))

    def _with_model(self) -> dict[str, Any]:
        return {"model": _named(self.model)}


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
    given = _without(settings, ("dataset", "out"), "search") | {"model": _named(model)}
    found = run("search", dataset=path, text=text, **given)
    import geopandas
    import pandas as pd

    hits = pd.DataFrame(found["hits"])
    shapes = Dataset(path).index.set_index("tile_id").geometry
    return geopandas.GeoDataFrame(hits, geometry=[shapes[tile] for tile in hits["tile_id"]], crs=4326)


# ---- any command ----------------------------------------------------------------------------------------------------


def run(command: str, recipe: PathLike | None = None, **settings: Any) -> Any:
    """Any command of `knowlip`, with its settings as keywords; what it returns, plain facts.

    Args:
        command: as on the command line, e.g. "finetune", "bench run", "dataset audit".
        recipe: its settings by name, or from a YAML file; `settings` go before them.
        settings: groups of settings are dicts.

    Raises:
        ValueError: no such command, a setting that is unknown or cannot work, or what the command says.

    >>> knowlip.run("dataset verify", dataset="dataset")["tiles"]
    21
    >>> knowlip.run("bild")
    Traceback (most recent call last):
    ValueError: There is no command 'bild': did you mean build?
    """
    from difflib import get_close_matches

    if command not in COMMANDS:
        near = get_close_matches(command, COMMANDS, 1)
        more = f"did you mean {near[0]}?" if near else f"choose from {', '.join(COMMANDS)}."
        raise ValueError(f"There is no command {command!r}: {more}")
    begun: dict[str, Any] = {}
    if recipe is not None:
        sections = load_recipe(recipe)
        if command not in sections:
            there = ", ".join(name for name in sections if name in COMMANDS)
            raise ValueError(f"The recipe {recipe} has no settings of {command!r}; it has those of {there or 'none'}.")
        begun = dict(sections[command])
    known = COMMANDS[command]
    return known.run(stage_config(known.kind(), _joined(begun, _plain(settings))))


def _joined(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of which the second go before the first, group by group."""
    found = dict(under)
    for name, value in over.items():
        both = isinstance(value, Mapping) and isinstance(found.get(name), Mapping)
        found[name] = _joined(found[name], value) if both else value
    return found


def _plain(value: Any) -> Any:
    """Settings as a file of them would hold them: paths as texts, tuples as lists."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        return value.item()
    return str(value) if isinstance(value, Path) else value


def _without(settings: Mapping[str, Any], names: Sequence[str], what: str) -> dict[str, Any]:
    """Settings as they go on, but for those that are no keyword here."""
    for name in names:
        if name in settings:
            raise ValueError(f"{name} is no keyword of knowlip.{what}: use knowlip.run({what!r}, {name}=...).")
    found: dict[str, Any] = _plain(settings)
    return found


def _metres(metres_per_pixel: float | None) -> dict[str, Any]:
    return {} if metres_per_pixel is None else {"metres_per_pixel": float(metres_per_pixel)}


def _listed(paths: PathLike | Sequence[PathLike]) -> list[str]:
    return [str(one) for one in ([paths] if isinstance(paths, str | Path) else paths)]


# ---- models and images ----------------------------------------------------------------------------------------------

_LAST: dict[tuple[str, int, str], "KnowLIP"] = {}
"""The model that was opened last: a loop of questions opens it once."""


def _opened(model: Named, device: str) -> "KnowLIP":
    """A model for use; one that is open is taken as it is."""
    from knowlip.models import KnowLIP, load_model

    if isinstance(model, KnowLIP):
        return model.eval()
    folder = shipped_model() if model is None else find_model(model)
    weights = folder / WEIGHTS
    key = (str(folder.resolve()), weights.stat().st_mtime_ns if weights.is_file() else 0, device)
    if key not in _LAST:
        found = load_model(folder, device)
        _LAST.clear()
        _LAST[key] = found
    return _LAST[key]


def _calibrated(model: "KnowLIP") -> Path | None:
    """Where a model lies, beside which its calibration may be; None where it has been trained on since, or was never
    saved: what was measured is not of these weights then."""
    from knowlip.models.stored import holds_weights

    if model.folder is None or not (model.folder / ANSWERS).is_file():
        return model.folder
    if holds_weights(model.folder, model):
        return model.folder
    say(f"  note: The weights of the model are not those of {model.folder}: nothing is calibrated or refused.")
    return None


def _named(model: Named) -> str:
    """A model for a command, which opens it itself.

    Raises:
        ValueError: a model that was made and not loaded, or whose weights have changed since.
    """
    from knowlip.models import KnowLIP
    from knowlip.models.stored import holds_weights

    if not isinstance(model, KnowLIP):
        return str(shipped_model() if model is None else model)
    if model.folder is None:
        raise ValueError("This model was not loaded from a folder: save it (model.save_pretrained), and name that.")
    if not holds_weights(model.folder, model):
        raise ValueError(
            f"The weights of this model are not those of {model.folder} any more: save it (model.save_pretrained), and "
            "name that."
        )
    return str(model.folder)


def _path(image: Pictured) -> Path:
    return _MEMORY if isinstance(image, np.ndarray) else Path(image)


def _taken(image: Pictured, metres_per_pixel: float | None) -> "TakenImage":
    from knowlip.inference.images import TakenImage, read_image

    if not isinstance(image, np.ndarray):
        return read_image(Path(image), metres_per_pixel)
    if image.ndim != 2 or image.dtype != np.uint8 or not image.size:
        raise ValueError(f"Pixels must be uint8 of shape (H, W), not {image.dtype} of shape {image.shape}.")
    return TakenImage(image, metres_per_pixel)


def _view(image: Pictured, model: "KnowLIP", metres_per_pixel: float | None, strict: bool) -> Any:
    from knowlip.inference.views import view_of, view_of_image

    if isinstance(image, np.ndarray):
        return view_of_image(_MEMORY, _taken(image, metres_per_pixel), model, strict)
    return view_of(Path(image), model, metres_per_pixel, strict)
