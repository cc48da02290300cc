"""`knowlip predict`: whole scenes, window by window from disk, to maps.

    OUT/SCENE.geojson, SCENE.gpkg, SCENE.csv   what a detector found (:mod:`~.predict_detect`)
    OUT/SCENE.tif                              what a segmenter says (:mod:`~.predict_segment`)
    OUT/SCENE.json                             how it was made, counts and notes; where it is, the scene is finished
    OUT/.predict/SCENE/                        finished rows of windows of a scene that is not

A scene that cannot be read, or shows what the model cannot see, is told and the others go on. A killed command goes on
when it is given again, row of windows by row of windows, and ends with the same bytes.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple, TypedDict, cast

from knowlip.base.documents import read_json
from knowlip.base.files import write_json
from knowlip.base.progress import say
from knowlip.base.provenance import provenance
from knowlip.base.rows import Json
from knowlip.base.settings import plain
from knowlip.inference.scene_grid import Cell, Levels, SceneGrid, ScenePixels, levels_for, metres_for
from knowlip.inference.scene_settings import PredictConfig
from knowlip.jobs.run import runner
from knowlip.jobs.store import alone
from knowlip.jobs.work import Processes, Ray, Where, Work
from knowlip.models.device import device_of
from knowlip.scenes import Scene, open_scenes, unique_ids
from knowlip.scenes.find import passed_over_line, search
from knowlip.tasks.taught_on import TaughtOn
from knowlip.tiles.ground import Ground
from knowlip.tiles.plan import content_mark

WORK: Final = ".predict"
"""Folder of OUT for what is under way."""
_FREE: Final = ("scenes", "out", "device", "batch_size", "where", "workers", "address", "gpu")
"""Settings that do not decide what a scene comes to."""
_DECIDE: Final = ("knowlip", "torch", "torchvision", "timm", "numpy", "rasterio", "pyproj", "pyarrow")
"""Packages that decide what a scene comes to."""


@dataclass(frozen=True)
class SceneWork:
    """One scene on its way."""

    scene: Scene
    grid: SceneGrid
    levels: Levels
    folder: Path
    """For what is under way."""
    out: Path
    made_with: Mapping[str, Json]
    """All that the result depends on."""

    def file(self, suffix: str) -> Path:
        """A file of the result."""
        return self.out / f"{self.scene.scene_id}{suffix}"

    def windows(self, row: int, count: int, least: float = 0.0) -> Iterator[list[tuple[Cell, ScenePixels]]]:
        """The windows of a row of which more than nothing, and at least a share, is valid, `count` at once.

        Args:
            row: of windows.
            count: how many at once, at most.
            least: share of a window that must be valid.
        """
        pixels = ((cell, self.grid.read(cell, self.levels)) for cell in self.grid.row(row))
        seen = (one for one in pixels if one[1].valid.any() and one[1].valid.mean() >= least)
        while some := list(islice(seen, count)):
            yield some


class ScenePredictor(ABC):
    """What looks at the windows of a scene."""

    kind: str
    """The command's second word."""
    taught: TaughtOn | None
    """What the model learned on."""
    window: int
    """Side of its windows in pixels."""
    weights: str
    """Hash of its weights."""

    @abstractmethod
    def run(self, work: SceneWork) -> dict[str, Json]:
        """Look at a scene and write its files; returns what is to be told of it."""

    def name_of(self, scene: Scene) -> str:
        """What the files of a scene are called; those of one command are told apart anyway."""
        return scene.scene_id

    def files(self) -> Sequence[Path]:
        """Files and folders that are read of the model, where it is none of KnowLIP's own."""
        return ()

    def settings(self) -> dict[str, Json]:
        """What besides the common settings decides the result."""
        return {}


class Predicted(TypedDict):
    """What came of scenes."""

    out: str
    scenes: Sequence[Mapping[str, Json]]
    """Of each finished scene what its SCENE.json says."""
    failed: Sequence[Mapping[str, str]]
    """{"path", "reason"} of those that could not be used."""


def predict_scenes(config: PredictConfig, predictor: ScenePredictor) -> Predicted:
    """Look at scenes with a model and write maps, here or wherever `config.where` says.

    Args:
        config: which scenes, and who looks at them.
        predictor: what looks at them; other processes make their own by calling its class with `config`.

    Raises:
        ValueError: no scene, none that can be used, or a folder with results of other settings.
    """
    found = search(config.scenes)
    if found.passed_over:
        say(f"  {passed_over_line(found.passed_over)}")
    failed: list[dict[str, str]] = []
    opened: list[tuple[SceneItem, Scene]] = []
    for path in found.scenes:
        try:
            opened += [(SceneItem(path, at), scene) for at, scene in enumerate(open_scenes(path, config.read))]
        except ValueError as error:
            failed.append({"path": str(path), "reason": str(error)})
    names = unique_ids(predictor.name_of(scene) for _, scene in opened)
    items = [replace(item, path=item.path.resolve(), name=name) for (item, _), name in zip(opened, names)]
    known = {item: scene for item, (_, scene) in zip(items, opened, strict=True)}
    config.out.mkdir(parents=True, exist_ok=True)
    # One refused scene must not take with it what the others have cost: it is told, and counted in the result.
    ends: dict[SceneItem, SceneEnd] = {}
    with (
        alone(config.out / WORK / "lock", f"Another process writes to {config.out}."),
        runner(ScenesWork(config, predictor, known), _where(config, predictor, items)) as run,
    ):
        for number, (item, end) in enumerate(run(items), 1):
            say(f"scene {number} of {len(items)}, {item.path}: {end.reason or 'finished'}")
            ends[item] = end
    if other := next((end for end in ends.values() if end.other_settings), None):
        raise OtherSettingsError(other.reason)
    done = [ends[item].told for item in items if not ends[item].reason]
    failed += [
        {"path": str(scene.path), "reason": ends[at].reason} for at, (_, scene) in zip(items, opened) if ends[at].reason
    ]
    for one in failed:
        say(f"  left out: {one['reason']}")
    if not done:
        more = f" ({len(failed)} scenes fail; this is the first.)" if len(failed) > 1 else ""
        raise ValueError((failed[0]["reason"] if failed else "No scene was found.") + more)
    return {"out": str(config.out), "scenes": done, "failed": failed}


@dataclass(frozen=True)
class SceneItem:
    """One scene to be looked at."""

    path: Path
    member: int
    """Of the scenes of the file or folder."""
    name: str = ""
    """Of its results."""


class SceneEnd(NamedTuple):
    """What came of a scene."""

    told: Mapping[str, Json]
    """What its SCENE.json says."""
    reason: str = ""
    """Why there is nothing."""
    other_settings: bool = False


class ScenesWork(Work[SceneItem, SceneEnd]):
    """Scenes to be looked at, here or elsewhere.

    Args:
        config: settings of the command.
        predictor: of this process.
        scenes: as this process has opened them. Neither is sent to other processes, which open model and scenes
            themselves.
    """

    def __init__(self, config: PredictConfig, predictor: ScenePredictor, scenes: Mapping[SceneItem, Scene]) -> None:
        self.config = replace(config, out=config.out.resolve())
        # Every predictor is made from the settings of its command alone.
        self.make: Callable[[PredictConfig], ScenePredictor] = cast(Any, type(predictor))
        self._mine: ScenePredictor | None = predictor
        self._scenes = scenes

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_mine": None, "_scenes": {}}

    def open(self, number: int) -> Callable[[SceneItem], SceneEnd]:
        """The model, on the GPU of this process where several have one each."""
        predictor = self._mine
        config = self.config if predictor else replace(self.config, device=device_of(self.config.device, number))
        here = predictor or self.make(config)
        return lambda item: self._end(config, here, item)

    def _end(self, config: PredictConfig, predictor: ScenePredictor, item: SceneItem) -> SceneEnd:
        try:
            scene = self._scenes.get(item) or open_scenes(item.path, config.read)[item.member]
            return SceneEnd(_one(config, predictor, replace(scene, scene_id=item.name)))
        except ValueError as error:
            return SceneEnd({}, str(error), isinstance(error, OtherSettingsError))

    def name(self, item: SceneItem) -> str:
        """Its path."""
        return str(item.path)

    def given_up(self, item: SceneItem) -> SceneEnd:
        """The others go on without it."""
        return SceneEnd(
            {},
            f"{item.path} was given up: the process that looked at it was killed each time, most likely for lack of "
            "memory. Run the same command again with fewer --workers.",
        )


def _where(config: PredictConfig, predictor: ScenePredictor, items: Sequence[SceneItem]) -> Where:
    if config.where == "ray":
        reads = {*(item.path for item in items), *predictor.files()}
        return Ray(config.address, config.out.resolve(), tuple(sorted(reads)), _DECIDE, config.gpu)
    return Processes(config.workers if config.where == "processes" else 1)


class OtherSettingsError(ValueError):
    """A folder holds what other settings have come to."""


def _one(config: PredictConfig, predictor: ScenePredictor, scene: Scene) -> dict[str, Json]:
    """What a scene comes to; a finished one is read."""
    ground = Ground(scene)
    metres, notes = metres_for(scene.resolution_m, predictor.taught, config.metres_per_pixel, scene.path.name)
    grid = SceneGrid(ground, metres, predictor.window, config.overlap)
    settings = {name: value for name, value in plain(config).items() if name not in _FREE}
    made_with: dict[str, Json] = {
        **{"kind": predictor.kind, "model_sha256": predictor.weights, "scene": content_mark(scene)},
        **{"polarisation": scene.polarisation, **settings, "model": "", "window": predictor.window},
        **predictor.settings(),
    }
    # The report is written last: where it is, all files of the scene are there, and made with these settings.
    report = config.out / f"{scene.scene_id}.json"
    if report.is_file():
        before = read_json(report)
        if not isinstance(before, dict) or before.get("made_with") != made_with:
            raise OtherSettingsError(
                f"{report} tells of another model, other settings or another scene: use another output folder."
            )
        say(f"{report} is finished already.")
        return before
    levels, more = levels_for(grid, predictor.taught, config.quantise)
    notes += [*more, *scene.notes]
    if not scene.located:
        notes.append("The place of the scene is not known: there is no map of it, only pixels.")
    for note in notes:
        say(f"  note: {note}")
    folder = config.out / WORK / scene.scene_id
    work = SceneWork(scene, grid, levels, folder, config.out, made_with)
    told: dict[str, Any] = {
        "scene_id": scene.scene_id,
        "path": str(scene.path),
        "metres_per_pixel": grid.metres,
        "window_m": grid.window * grid.metres,
        "shape": list(grid.shape),
        "windows": len(grid.tops) * len(grid.lefts),
        "quantiser": levels.name,
        **facts_of(scene),
        **predictor.run(work),
        "notes": notes,
        "made_with": made_with,
        "provenance": provenance(),
    }
    write_json(report, told)
    _forget(folder)
    return told


def facts_of(scene: Scene) -> dict[str, Json]:
    """What a map says of the scene that it is of; what is not known is left out."""
    facts = {"sensor": scene.sensor, "band": scene.band, "polarisation": scene.polarisation, "date": scene.date}
    return {name: value for name, value in facts.items() if value and value != "unknown"}


def _forget(folder: Path) -> None:
    for path in sorted(folder.glob("*")):
        path.unlink()
    if folder.is_dir():
        folder.rmdir()


def show_scenes(result: Predicted, line: Any) -> str:
    """The result for people.

    Args:
        result: of :func:`predict_scenes`.
        line: makes of what is told of a scene its line.
    """
    lines = [f"{one['scene_id']}: {line(one)}" for one in result["scenes"]]
    lines += [f"left out: {one['path']}: {one['reason']}" for one in result["failed"]]
    return "\n".join([*lines, result["out"]])
