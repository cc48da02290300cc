"""An image as a model looks at it: whole where the model knows so much ground, else in the windows that it knows.

What is cut is cut as whole scenes are (:mod:`knowlip.inference.scene_grid`): squares of the side that the model learned
from, at a pixel size that it learned on, straight from disk. Where the pixels are larger than any that the model
learned on, nothing is shown to it.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from affine import Affine
from pyproj import Transformer
from shapely.geometry.base import BaseGeometry

from knowlip.base.progress import say
from knowlip.inference.images import TakenImage, is_raster, read_image, taken_scene
from knowlip.inference.opened import BEYOND
from knowlip.inference.scene_grid import Cell, Levels, SceneGrid, ScenePixels, levels_for, metres_for
from knowlip.models import KnowLIP
from knowlip.scenes import Scene, open_scene
from knowlip.scenes.find import PassedOver, passed_over_line, search
from knowlip.scenes.pictures import FORMATS, kind_of
from knowlip.scenes.scene import lonlat_polygon
from knowlip.tasks.segmenter import window_starts
from knowlip.tasks.taught_on import TaughtOn
from knowlip.tiles.ground import Ground
from knowlip.tiles.windows import Window, footprints

WINDOW_PX: Final = 256
"""Side of the tiles that our models learn from, before they are brought to the side of the input."""
WIDER: Final = 1.1
"""By so much may an image be wider than the widest window that a model learned from, and be shown whole: wider ones
would lose pixels that the model can see, and are cut."""
_SHRUNK: Final = 4
"""So many times the side of a model's input may an image have that is shown whole because no window is known."""
LEAST_VALID: Final = 0.5
"""Share of an image, or of a window, that must hold data."""
_AGREE: Final = 0.05
"""Share by which a pixel size that is given may differ from the one of the georeferencing and be the same."""


class CoarsePixels(ValueError):
    """Pixels that are larger on the ground than any that the model learned on."""


@dataclass(frozen=True)
class ViewPart:
    """A square part of an image."""

    row: int
    column: int
    top: float
    left: float
    side: float
    """In pixels of the view."""


class ImageView(ABC):
    """An image of which squares can be looked at."""

    path: Path
    metres: float | None
    """Side of a pixel of the view on the ground; None where nobody says it."""
    resolution_m: float | None
    """Of the image itself: a view may show finer pixels than that."""
    shape: tuple[int, int]
    looks: Sequence[ViewPart]
    """What a model is shown: one look where it is shown the whole image."""
    notes: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether the model is shown the whole image at once."""
        return len(self.looks) == 1

    @abstractmethod
    def read(self, look: ViewPart) -> ScenePixels:
        """Levels (H, W) uint8 of a part, and which are valid."""

    @abstractmethod
    def outline(self, left: float, top: float, right: float, bottom: float) -> BaseGeometry | None:
        """A box in pixels of the view, in longitude and latitude; None where the place is not known."""

    @abstractmethod
    def pixel_at(self, lon: float, lat: float) -> tuple[float, float] | None:
        """Column and row of a place; None where the view does not know where it lies."""

    def taken(self, pixels: ScenePixels, look: ViewPart) -> TakenImage:
        """A part as a model takes it."""
        return TakenImage(pixels.levels, self.metres)

    def shares(self) -> np.ndarray:
        """(N,) share of the ground of each look that no look before it showed: looks at the far edges are moved inwards
        and overlap."""
        ends: dict[tuple[str, int], float] = {}
        found = []
        for look in self.looks:
            left = max(look.left, ends.get(("column", look.column - 1), look.left))
            top = max(look.top, ends.get(("row", look.row - 1), look.top))
            ends["column", look.column], ends["row", look.row] = look.left + look.side, look.top + look.side
            right = min(look.left + look.side, self.shape[1])
            bottom = min(look.top + look.side, self.shape[0])
            whole = (right - look.left) * (bottom - look.top)
            found.append((right - left) * (bottom - top) / whole if self.looks[1:] else 1.0)
        return np.array(found)


class PictureView(ImageView):
    """Pixels in memory.

    Args:
        path: where they come from.
        image: the pixels.
        side: of the squares in pixels that it is cut into; None: it is shown whole.
        scene: of a raster, tells its place.
    """

    def __init__(
        self,
        path: Path,
        image: TakenImage,
        side: int | None = None,
        scene: Scene | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self.path, self.image, self.metres = path, image, image.metres_per_pixel
        self.resolution_m = image.metres_per_pixel
        self.scene, self.notes = scene, tuple(notes)
        self.shape = (image.pixels.shape[0], image.pixels.shape[1])
        if side is None:
            self.looks = [ViewPart(0, 0, 0, 0, max(self.shape))]
            return
        tops, lefts = (window_starts(extent, side, side) for extent in self.shape)
        self.looks = [ViewPart(r, c, top, left, side) for r, top in enumerate(tops) for c, left in enumerate(lefts)]

    def read(self, look: ViewPart) -> ScenePixels:
        rows, columns = self.shape
        top, left = max(0, round(look.top)), max(0, round(look.left))
        bottom, right = min(rows, round(look.top + look.side)), min(columns, round(look.left + look.side))
        found = self.image.pixels[top:bottom, left:right]
        # Of a picture nobody says where it holds no data but where it holds nothing at all.
        return ScenePixels(found, np.full(found.shape, bool(found.any())))

    def outline(self, left: float, top: float, right: float, bottom: float) -> BaseGeometry | None:
        if self.scene is None or not self.scene.located:
            return None
        xs, ys = self.scene.geometry.forward(np.array([left, right, right, left]), np.array([top, top, bottom, bottom]))
        lons, lats = Transformer.from_crs(self.scene.crs, 4326, always_xy=True).transform(xs, ys)
        return lonlat_polygon(np.asarray(lons), np.asarray(lats))

    def pixel_at(self, lon: float, lat: float) -> tuple[float, float] | None:
        if self.scene is None or not self.scene.located:
            return None
        x, y = Transformer.from_crs(4326, self.scene.crs, always_xy=True).transform(lon, lat)
        column, row = self.scene.geometry.inverse(np.array([x]), np.array([y]))
        return float(column[0]), float(row[0])


class SceneView(ImageView):
    """A scene, window by window from disk.

    Args:
        grid: the scene at the pixel size that is shown.
        levels: how power becomes 8 bit.
        notes: what the asker should know.
    """

    def __init__(self, grid: SceneGrid, levels: Levels, notes: Sequence[str]) -> None:
        self.grid, self.levels, self.notes = grid, levels, tuple(notes)
        self.path, self.metres, self.shape = grid.ground.scene.path, grid.metres, grid.shape
        self.resolution_m = max(grid.ground.scene.resolution_m, grid.metres)
        self.looks = [
            ViewPart(cell.row, cell.column, cell.top, cell.left, grid.window) for cells in grid.rows() for cell in cells
        ]

    def read(self, look: ViewPart) -> ScenePixels:
        if look.side == self.grid.window:
            return self.grid.read(Cell(look.row, look.column, int(look.top), int(look.left)), self.levels)
        return self.levels.of(self.grid.ground, self._window(look.left, look.top, look.side), WINDOW_PX)

    def outline(self, left: float, top: float, right: float, bottom: float) -> BaseGeometry | None:
        if not self.grid.ground.located:
            return None
        if right - left == bottom - top:
            (shape,) = footprints(self.grid.ground.crs, [self._window(left, top, right - left)])
            return shape
        xs, ys = self.grid.transform @ np.array([[left, right, right, left], [top, top, bottom, bottom]], float)
        lons, lats = Transformer.from_crs(self.grid.ground.crs, 4326, always_xy=True).transform(xs, ys)
        return lonlat_polygon(np.asarray(lons), np.asarray(lats))

    def pixel_at(self, lon: float, lat: float) -> tuple[float, float] | None:
        if not self.grid.ground.located:
            return None
        x, y = Transformer.from_crs(4326, self.grid.ground.crs, always_xy=True).transform(lon, lat)
        back: Affine = ~self.grid.transform
        column, row = back @ (x, y)
        return float(column), float(row)

    def taken(self, pixels: ScenePixels, look: ViewPart) -> TakenImage:
        metres = self.metres
        if metres is not None and not self.whole:  # it may have been read at another size
            metres = metres * look.side / pixels.levels.shape[1]
        return TakenImage(pixels.levels, metres)

    def _window(self, left: float, top: float, side: float) -> Window:
        x, y = self.grid.transform @ (left, top)
        return Window("", "", "", "large", 0, 0, x, y, side * self.grid.step)


def taught_of(model: KnowLIP) -> TaughtOn:
    """What one of our models learned on, as its card says it."""
    card = model.card
    metres = card.get("metres_per_pixel")
    known = (float(metres[0]), float(metres[1])) if metres else None
    return TaughtOn(known, WINDOW_PX, tuple(card.get("quantiser") or ()), tuple(card.get("sensors") or ()))


def scales_of(model: KnowLIP) -> list[float]:
    """Sides of the windows that a model was taught on in metres, the widest first; empty where its card is silent."""
    return sorted({float(side) for side in model.card.get("windows_m") or ()}, reverse=True)


def known_scales(model: KnowLIP) -> str:
    """The windows and pixels that a model was taught on, for a sentence."""
    sides, metres = scales_of(model), model.card.get("metres_per_pixel")
    pixels = f" at {min(metres):g} to {max(metres):g} m a pixel" if metres else ""
    return f"windows of {sides[-1]:g} to {sides[0]:g} m{pixels}" if sides else f"images{pixels}"


def view_of(path: Path, model: KnowLIP, metres_per_pixel: float | None = None, strict: bool = True) -> ImageView:
    """An image as a model may look at it.

    Args:
        path: 8-bit picture or SAR raster.
        model: whose card says which ground it knows.
        metres_per_pixel: as the user says it.
        strict: whether pixels that are larger than any of the training are refused; else they are shown, with a note.

    Raises:
        CoarsePixels: they are.
        ValueError: the image cannot be read, or shows nobody knows how much ground and is large.
    """
    # A raster is opened before it is read: a scene of 30,000 pixels a side never is in memory.
    scene = open_scene(path) if is_raster(path) else None
    if scene is not None and not 0 < scene.resolution_m < math.inf:
        raise ValueError(f"{path} lies where its pixels have no size on the ground: check its CRS and its transform.")
    given = metres_per_pixel is not None and scene is not None
    agrees = not given or abs((metres_per_pixel or 0.0) - scene.resolution_m) <= _AGREE * scene.resolution_m  # type: ignore[union-attr]
    sides = scales_of(model)
    if scene is not None and agrees and _beyond(scene.shape, scene.resolution_m, sides):
        return _scene_view(scene, model, strict)
    image = read_image(path, metres_per_pixel) if scene is None else taken_scene(scene, metres_per_pixel)
    return view_of_image(path, image, model, strict, scene)


def _check_shows(path: Path, image: TakenImage, scene: Scene | None) -> None:
    """Refuse what shows nothing: a model answers about a black or an even picture as about any other.

    Raises:
        ValueError: all pixels are the same, or most of a raster holds no data.
    """
    pixels = image.pixels
    if pixels.size == 0 or pixels.min() == pixels.max():
        raise ValueError(f"{path} shows nothing: all of its pixels are the same.")
    # Of a raster 0 is no data; of a picture it may be a dark pixel.
    if scene is not None and (share := float((pixels > 0).mean())) < LEAST_VALID:
        raise ValueError(
            f"{path} holds data in {share:.0%} of its pixels: give an image that holds it in half of them."
        )


def view_of_image(
    path: Path, image: TakenImage, model: KnowLIP, strict: bool = True, scene: Scene | None = None
) -> PictureView:
    """The same of pixels in memory.

    Args:
        path: what they are called.
        image: pixels and their size on the ground.
        model: whose card says which ground it knows.
        strict: whether pixels that are larger than any of the training are refused.
        scene: of a raster, tells its place.

    Raises:
        CoarsePixels: they are.
        ValueError: an image that shows nothing, or a large one that nobody knows the ground of.
    """
    _check_shows(path, image, scene)
    # Shown whole, an image has as many pixels as one window, whatever its own: what is wider is cut, or refused where
    # nobody says how wide it is.
    sides = scales_of(model)
    metres, notes = image.metres_per_pixel, list[str]()
    if metres is None:
        most = int(WIDER * sides[0] / min(model.card["metres_per_pixel"])) if _says_all(model) else 0
        if most and max(image.pixels.shape) > most:
            height, width = image.pixels.shape
            raise ValueError(
                f"{path} has {width} x {height} pixels and does not say how large they are on the ground; the model "
                f"knows {known_scales(model)}: give --metres_per_pixel, and it is cut into such windows."
            )
        notes += [] if most else _squeezed(image, model, path)
        return PictureView(path, image, None, scene, [*notes, *(scene.notes if scene is not None else ())])
    shown, more = _shown(metres, model, path, strict)
    notes += more
    notes += scene.notes if scene is not None else ()
    shape = (image.pixels.shape[0], image.pixels.shape[1])
    if not _beyond(shape, metres, sides):
        if not sides:
            notes += _squeezed(image, model, path)
        elif (wide := max(shape) * metres) > sides[0]:
            notes.append(
                f"{path.name} shows {wide:.0f} m, a little more than the {sides[0]:g} m that the model knows: it is "
                "shown whole."
            )
        return PictureView(path, image, None, scene, notes)
    view = PictureView(path, image, max(1, round(WINDOW_PX * shown / metres)), scene, notes)
    view.notes += _cut(view, sides)
    return view


def _cut(view: ImageView, sides: Sequence[float]) -> tuple[str, ...]:
    """That an image is cut, and into what; nothing of one that a single window holds, whose pixels are large."""
    if view.whole:
        return ()
    metres = view.metres or math.nan
    height, width = (extent * metres for extent in view.shape)
    return (
        f"{view.path.name} shows {width:.0f} x {height:.0f} m, more than the {sides[0]:g} m that the model knows: it "
        f"is cut into {len(view.looks)} windows of {view.looks[0].side * metres:.0f} m.",
    )


def _squeezed(image: TakenImage, model: KnowLIP, path: Path) -> list[str]:
    """That a large image is shown whole, where a model does not say which windows it knows."""
    (height, width), side = image.pixels.shape, model.config.vision.image_size
    if max(height, width) <= _SHRUNK * side:
        return []
    return [
        f"{path.name} is shown whole, its {width} x {height} pixels as {side} x {side}: the model does not say which "
        "windows it knows. Cut it into such as it was trained on."
    ]


def _says_all(model: KnowLIP) -> bool:
    return bool(model.card.get("windows_m") and model.card.get("metres_per_pixel"))


def _beyond(shape: tuple[int, int], metres: float, sides: Sequence[float]) -> bool:
    """Whether an image shows more ground than a model was taught on, and is cut."""
    return bool(sides) and max(shape) * metres > sides[0] * WIDER


def _shown(metres: float, model: KnowLIP, path: Path, strict: bool) -> tuple[float, list[str]]:
    """The pixel size at which a model is shown an image, and notes on it."""
    taught = taught_of(model)
    if taught.metres_per_pixel is None:
        return metres, []
    try:
        return metres_for(metres, taught, None, path.name)
    except ValueError as error:
        if strict:
            raise CoarsePixels(str(error)) from None
        low, high = taught.metres_per_pixel
        return high, [f"{path.name} has pixels of {metres:.3g} m; the model learned on {low:.3g} to {high:.3g} m."]


def _scene_view(scene: Scene, model: KnowLIP, strict: bool) -> SceneView:
    shown, notes = _shown(scene.resolution_m, model, scene.path, strict)
    grid = SceneGrid(Ground(scene), shown, WINDOW_PX, 0.0)
    sides, side = scales_of(model), grid.window * grid.metres
    # A model of few scales may know no window of 256 pixels at this size: it is shown the nearest that it knows.
    if not sides[-1] / BEYOND <= side <= sides[0] * BEYOND:
        near = min(sides, key=lambda one: abs(math.log(one / side)))
        grid = SceneGrid(grid.ground, shown, max(1, round(near / shown)), 0.0)
    levels, more = levels_for(grid, taught_of(model), None)
    view = SceneView(grid, levels, [*notes, *more, *scene.notes])
    view.notes += _cut(view, sides)
    return view


def windows_of(view: ImageView, least: float) -> Iterator[tuple[ViewPart, ScenePixels]]:
    """What a model is shown of a view: of several looks those of which at least a share holds data."""
    for look in view.looks:
        pixels = view.read(look)
        if view.whole or pixels.valid.mean() >= least:
            yield look, pixels


def looked_at(view: ImageView, row: int, column: int, side_m: float) -> ViewPart:
    """The square of a side in metres around a pixel, moved into the image where it reaches over its edge."""
    assert view.metres is not None
    side = side_m / view.metres
    left, top = (
        min(max(at - side / 2, 0.0), max(0.0, extent - side))
        for at, extent in ((column, view.shape[1]), (row, view.shape[0]))
    )
    return ViewPart(0, 0, top, left, side)


def images_in(paths: Sequence[Path]) -> list[Path]:
    """Images that were named, and those of folders: scenes, and pictures; in the order given.

    Raises:
        ValueError: a folder without any.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        try:
            inside = search([path])
            scenes, others = inside.scenes, inside.passed_over
        except ValueError:  # no scene at all: then nothing of it belongs to a product
            scenes, others = [], [PassedOver(one, "") for one in sorted(path.rglob("[!.]*")) if one.is_file()]
        pictures = [one.path for one in others if kind_of(one.path) not in ("", "GTiff")]
        more = [one for one in others if one.path not in {*pictures} and one.reason]
        if more:
            say(f"  {path}: {passed_over_line(more)}")
        if not scenes and not pictures:
            raise ValueError(f"{path} is a folder without a scene or a picture ({FORMATS}).")
        found += sorted([*scenes, *pictures])
    # An image that is named beside its folder would stand twice in a table, and count twice in what is made of it.
    once: dict[Path, Path] = {}
    for path in found:
        once.setdefault(path.resolve(), path)
    kept = list(once.values())
    if again := len(found) - len(kept):
        say(f"  {again:,} images named again: each is taken once.")
    return kept


def chunks(windows: Iterator[tuple[ViewPart, ScenePixels]], count: int) -> Iterator[list[tuple[ViewPart, ScenePixels]]]:
    """Windows, some at once."""
    while some := list(islice(windows, count)):
        yield some
