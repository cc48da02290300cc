"""Plan a build before cutting anything: which scenes, which large windows, which split."""

import dataclasses
import hashlib
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from knowlip.base.documents import read_json
from knowlip.base.files import sha256
from knowlip.base.progress import say, track
from knowlip.base.settings import plain
from knowlip.scenes import Scene, SceneOverrides, open_scenes, unique_ids
from knowlip.tiles.blocks import WindowPlace, assign_splits, choose_block_km
from knowlip.tiles.ground import Ground
from knowlip.tiles.quality import QualityConfig
from knowlip.tiles.quantise import QuantiseConfig
from knowlip.tiles.reference import DEFAULT
from knowlip.tiles.screen import ScreenConfig, select_roots
from knowlip.tiles.truth import truth_path
from knowlip.tiles.windows import FEWEST_PIXELS, Window, centers, check_sizes, footprints, plan_roots

_EDGE_BYTES = 65536
_TOLD = 8
"""Skipped scenes that are told one by one; archives of chips may hold hundreds."""


@dataclass(frozen=True)
class BuildConfig:
    """How scenes become a data set."""

    scenes: list[Path]
    """Scene files, or folders that are searched for them."""
    out: Path
    """Folder of the data set. An unfinished build in it is resumed."""
    windows_m: tuple[float, float, float] = (1024.0, 512.0, 256.0)
    """Sides of large, medium and small windows in metres, each half of the one before. 10 m sensors: 2560 1280 640."""
    tile_px: int = 256
    """Side of a stored tile in pixels, at every scale."""
    overlap: float = 0.0
    """Share of a large window that its neighbour repeats."""
    anchor: str = "scene"
    """"scene": grid centred on each scene; "utm": one grid for all sensors, at multiples of the window step."""
    fewest_px: float = FEWEST_PIXELS
    """Native pixels that a small window must be wide. Lower it for chips of single ships."""
    min_valid: float = 0.9
    """Smallest share of valid ground in a tile."""
    quantise: QuantiseConfig = field(default_factory=QuantiseConfig)
    """Dynamic range compression."""
    quality: QualityConfig = field(default_factory=QualityConfig)
    """The quality filter."""
    screen: ScreenConfig = field(default_factory=ScreenConfig)
    """Region screening, and where to look at all."""
    cog: bool = False
    """Also store every accepted large window as a COG of power at native resolution."""
    block_km: float = 50.0
    """Windows nearer to each other than this share a split. Halved, with a notice, where that gives a single block."""
    split: tuple[float, float, float] = (0.7, 0.1, 0.2)
    """Shares of train, val and test."""
    read: SceneOverrides = field(default_factory=SceneOverrides)
    """What is known better than the files say, and how products are read."""
    seed: int = 0
    """Decides between equally good splits."""
    workers: int = 2
    """Cores to use; 1 works in this process. Does not change a byte of the result."""
    ray: str = ""
    """Address of a Ray cluster ("auto", "host:port") that cuts the scenes; all its machines must see `scenes` and `out`
    under the same paths. Empty: this machine alone."""

    def __post_init__(self) -> None:
        check_sizes(self.windows_m)
        if not 32 <= self.tile_px <= 4096:
            raise ValueError(f"tile_px must be 32 to 4096, not {self.tile_px}.")
        if not 0 <= self.overlap < 1:
            raise ValueError(f"overlap must be at least 0 and below 1, not {self.overlap}.")
        if self.anchor not in ("scene", "utm"):
            raise ValueError(f'anchor must be "scene" or "utm", not {self.anchor!r}.')
        if not (math.isfinite(self.fewest_px) and self.fewest_px >= 1):
            raise ValueError(f"fewest_px must be 1 or more, not {self.fewest_px}.")
        if not 0 < self.min_valid <= 1:
            raise ValueError(f"min_valid must be above 0 and at most 1, not {self.min_valid}.")
        if not (math.isfinite(self.block_km) and self.block_km > 0):
            raise ValueError(f"block_km must be positive, not {self.block_km}.")
        if min(self.split) < 0 or not math.isclose(sum(self.split), 1, abs_tol=1e-6) or self.split[0] <= 0:
            raise ValueError(f"split must be three shares that add up to 1, with some of train, not {self.split}.")
        if self.workers < 1:
            raise ValueError(f"workers must be at least 1, not {self.workers}.")

    def record(self, paths: list[Path]) -> dict[str, Any]:
        """The part of the config that decides the result, as a JSON value."""
        values = dataclasses.asdict(self)
        del values["out"], values["workers"], values["ray"]
        values["scenes"] = [path.resolve() for path in paths]
        # The reference by its content: a file that changed must not judge the rest of a build.
        values["reference_sha256"] = sha256(Path(self.quality.reference or DEFAULT).read_bytes())
        record: dict[str, Any] = plain(values)
        return record


@dataclass(frozen=True)
class PlannedScene:
    """A scene with its large windows, and the split and block of each."""

    scene: Scene
    roots: list[Window]
    splits: list[str]
    blocks: list[str]


@dataclass(frozen=True)
class BuildPlan:
    """Everything that is decided before pixels are read."""

    scenes: list[PlannedScene]
    skipped: list[dict[str, str]]  # {"path", "reason"} of scenes that cannot be used.
    document: dict[str, Any]  # The plan as written to plan.json.


def make_plan(config: BuildConfig, paths: list[Path]) -> BuildPlan:
    """Open every scene, lay its windows and divide the ground into splits.

    A scene that cannot be used is skipped with its reason.

    Raises:
        ValueError: no scene can be used.
    """
    # All is decided here, in one process and before a pixel is read: splits look at the ground of every scene, and a
    # build that is resumed must come to the same plan.
    scenes: list[Scene] = []
    roots: list[list[Window]] = []
    skipped: list[dict[str, str]] = []
    opened: list[Scene] = []
    for path in track(paths, "open scenes"):
        try:
            opened += open_scenes(path, config.read)
        except ValueError as error:
            skipped.append({"path": str(path), "reason": str(error)})
    names = unique_ids(scene.scene_id for scene in opened)
    for scene, name in track(zip(opened, names), "lay windows", len(opened)):
        scene = dataclasses.replace(scene, scene_id=name)
        try:
            ground = Ground(scene)
            windows = plan_roots(
                ground, name, config.windows_m, config.overlap, config.min_valid, config.anchor, config.fewest_px
            )
            roots.append(select_roots(config.screen, ground, windows))
            scenes.append(scene)
        except ValueError as error:
            skipped.append({"path": str(scene.path), "reason": str(error)})
    if not scenes:
        more = f" ({len(skipped)} scenes fail; this is the first.)" if len(skipped) > 1 else ""
        raise ValueError(skipped[0]["reason"] + more)
    for item in skipped[:_TOLD]:
        say(f"  skipped: {item['reason']}")
    if len(skipped) > _TOLD:
        say(f"  skipped: {len(skipped) - _TOLD} more; dataset.json lists them all")
    places = [place for scene, windows in zip(scenes, roots) for place in _places(scene, windows)]
    located = [place for place in places if place.footprint is not None]
    block_km, names = choose_block_km(located, config.block_km, config.windows_m[0] / 1000)
    if block_km != config.block_km:
        say(
            f"  one block of {config.block_km:g} km holds everything: blocks of {block_km:g} km are used for the splits"
        )
    known = iter(names)
    blocks = [next(known) if place.footprint is not None else f"unlocated-{place.group}" for place in places]
    split_of = assign_splits(places, blocks, config.split, config.seed)
    if len(split_of) == 1:
        overlap = len(scenes) > 1 and config.anchor == "scene"
        more = ", or anchor to utm, which gives several scenes of one place the same windows" if overlap else ""
        say(
            "  all scenes lie in one block: there is no test split; add scenes of other places or set block_km "
            f"smaller{more}"
        )
    planned, start = [], 0
    for scene, windows in zip(scenes, roots):
        mine = blocks[start : start + len(windows)]
        planned.append(PlannedScene(scene, windows, [split_of[block] for block in mine], mine))
        start += len(windows)
    return BuildPlan(planned, skipped, _document(config, paths, planned, skipped, block_km))


def _document(
    config: BuildConfig, paths: list[Path], planned: list[PlannedScene], skipped: list[dict[str, str]], block_km: float
) -> dict[str, Any]:
    return {
        "config": config.record(paths),
        "block_km": block_km,
        "skipped": skipped,
        "scenes": [
            {
                "scene_id": item.scene.scene_id,
                "path": str(item.scene.path.resolve()),
                "content": content_mark(item.scene),
                "roots": [
                    {"tile_id": root.tile_id, "left": root.left, "top": root.top, "split": split, "block": block}
                    for root, split, block in zip(item.roots, item.splits, item.blocks)
                ],
            }
            for item in planned
        ],
    }


def content_mark(scene: Scene) -> str:
    """Tells changed files from the same ones without reading all of them: sizes, and hash of first and last bytes."""
    total, digest = 0, hashlib.sha256()
    for path in scene.sources or (scene.path,):
        size = path.stat().st_size
        total += size
        with path.open("rb") as stream:
            digest.update(stream.read(_EDGE_BYTES))
            stream.seek(max(0, size - _EDGE_BYTES))
            digest.update(stream.read(_EDGE_BYTES))
    return f"{total}-{digest.hexdigest()[:16]}"


def _places(scene: Scene, windows: list[Window]) -> list[WindowPlace]:
    crs = Ground(scene).crs
    theme = ""
    if truth_path(scene.path).exists():
        theme = str(read_json(truth_path(scene.path)).get("scene", {}).get("theme", ""))
    stratum = f"{scene.sensor} {theme}"
    if not scene.located:
        return [
            WindowPlace(scene.scene_id, math.nan, math.nan, None, stratum, scene.group or scene.scene_id)
            for _ in windows
        ]
    lons, lats = centers(crs, windows)
    return [
        WindowPlace(scene.scene_id, float(lon), float(lat), shape, stratum)
        for lon, lat, shape in zip(lons, lats, footprints(crs, windows))
    ]
