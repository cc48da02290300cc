"""A whole scene as a model takes it: 8-bit pixels of one size on the ground, window by window, straight from disk.

Windows are squares of the model's own side that overlap. Each point of the scene belongs to one window, whose border is
farthest away; what a window says of the others' points is a second opinion. Nothing but the window asked for is in
memory.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from affine import Affine

from knowlip.base.progress import track
from knowlip.dataset.layout import AS_IS
from knowlip.tasks.segmenter import window_starts
from knowlip.tasks.taught_on import TaughtOn
from knowlip.tiles.ground import Ground
from knowlip.tiles.quantise import PowerHistogram, QuantiseConfig, Quantiser, make_quantiser
from knowlip.tiles.resample import level_of
from knowlip.tiles.windows import Window

_NEAR: Final = 0.01
"""A pixel size that is this near to the scene's own is the scene's own: nothing is resampled."""
_COUNT_PX: Final = 1024
"""Side of the squares whose power is counted at once."""


class ScenePixels(NamedTuple):
    """A window of a scene."""

    levels: np.ndarray
    """(T, T) uint8, 0 where nothing is valid."""
    valid: np.ndarray
    """(T, T) bool."""


@dataclass(frozen=True)
class Cell:
    """A window: its place among the others, and in pixels of the grid."""

    row: int
    column: int
    top: int
    left: int


class SceneGrid:
    """A scene on a grid of square pixels, and the windows over it.

    Args:
        ground: the scene in its metric CRS.
        metres: side of a pixel on the ground; within 1 % of the scene's own it is the scene's own.
        window: side T of a window in pixels.
        overlap: share of a window that its neighbour repeats, at most a half.
    """

    def __init__(self, ground: Ground, metres: float, window: int, overlap: float) -> None:
        self.ground, self.window = ground, window
        own = ground.scene.resolution_m
        left, bottom, right, top = ground.bounds
        unit = ground.unit_per_metre
        native = abs(metres / own - 1) <= _NEAR
        # Pixels of a scene that is taken as it is are those of its file: nothing between them has to be averaged.
        self.step = math.sqrt(-ground.transform.a * ground.transform.e) if native else metres * unit
        self.metres = self.step / unit
        self.shape = max(1, round((top - bottom) / self.step)), max(1, round((right - left) / self.step))
        self.transform = Affine(self.step, 0, left, 0, -self.step, top)
        self.overlap = int(overlap * window)
        self.tops, self.lefts = (window_starts(extent, window, window - self.overlap) for extent in self.shape)

    def ground_window(self, row: int, column: int) -> Window:
        """A window in the CRS of the ground."""
        return self._window(self.tops[row], self.lefts[column], self.window)

    def rows(self) -> Iterator[list[Cell]]:
        """The windows, row by row."""
        for row in range(len(self.tops)):
            yield self.row(row)

    def row(self, row: int) -> list[Cell]:
        """The windows of one row."""
        return [Cell(row, column, self.tops[row], left) for column, left in enumerate(self.lefts)]

    def read(self, cell: Cell, levels: "Levels") -> ScenePixels:
        """Pixels of a window; what lies outside of the scene is not valid."""
        return levels.of(self.ground, self._window(cell.top, cell.left, self.window), self.window)

    def _window(self, top: int, left: int, side: int) -> Window:
        x, y = self.transform @ (left, top)
        return Window("", "", "", "large", 0, 0, x, y, side * self.step)

    @cached_property
    def cores(self) -> tuple[np.ndarray, np.ndarray]:
        """Where the cores of the rows and of the columns of windows begin (R + 1,), (C + 1,), in pixels: in the middle
        of what two windows share; at the scene's edges they reach on for ever."""
        return self._cores(self.tops), self._cores(self.lefts)

    def _cores(self, starts: list[int]) -> np.ndarray:
        inner = [(after + before + self.window) / 2 for before, after in pairwise(starts)]
        return np.array([-np.inf, *inner, np.inf])

    def histogram(self) -> PowerHistogram:
        """How often each power stands in the valid pixels of the scene at this pixel size."""
        found, side = PowerHistogram(), _COUNT_PX
        places = [(top, left) for top in range(0, self.shape[0], side) for left in range(0, self.shape[1], side)]
        for top, left in track(places, f"count power of {self.ground.scene.scene_id}"):
            level = level_of(self.ground, self._window(top, left, side), side)
            found.add(level.power, None if level.whole else level.valid)
        return found


class Levels:
    """How power becomes 8-bit levels: with one quantiser for the whole scene, as tiles of a data set; or, for 8-bit
    pixels that a model took as they came, as they come (None)."""

    def __init__(self, quantiser: Quantiser | None) -> None:
        self.quantiser = quantiser

    @property
    def name(self) -> str:
        """As an index names it."""
        return AS_IS if self.quantiser is None else self.quantiser.name

    def of(self, ground: Ground, window: Window, side: int) -> ScenePixels:
        """Levels of a window at `side` pixels."""
        level = level_of(ground, window, side)
        if self.quantiser is not None:
            return ScenePixels(self.quantiser(level.power, None if level.whole else level.valid), level.valid)
        # Such pixels count as amplitudes: their power is their square, also where it was averaged.
        stored = np.clip(np.rint(np.sqrt(level.power)), 0, 255).astype(np.uint8)
        return ScenePixels(np.where(level.valid, stored, 0), level.valid)


def levels_for(grid: SceneGrid, taught: TaughtOn | None, config: QuantiseConfig | None) -> tuple[Levels, list[str]]:
    """How levels are made of a scene for a model, and notes on it.

    Args:
        grid: the scene.
        taught: what the model learned on.
        config: what the user asks for; None: as the model's own tiles were made.

    Raises:
        ValueError: the scene holds no power.
    """
    scene, notes = grid.ground.scene, []
    as_is = taught is not None and set(taught.quantisers) == {AS_IS}
    if config is None and as_is and scene.dtype == "uint8":
        return Levels(None), []
    if config is None and as_is:
        notes.append(
            f"The model learned on 8-bit pixels as they came; {scene.path.name} holds {scene.dtype}, which is "
            "compressed by its own percentiles: scores are worth less. Say how with --quantise."
        )
    histogram = grid.histogram()
    if not histogram.total:
        raise ValueError(f"{scene.path} holds no power above zero.")
    return Levels(make_quantiser(histogram, config or QuantiseConfig())), notes


def metres_for(own: float, taught: TaughtOn | None, asked: float | None, name: str) -> tuple[float, list[str]]:
    """The pixel size at which a model is shown a scene, and notes on it: the scene's own where the model learned on
    such, else the nearest that it learned on.

    Args:
        own: pixel size of the scene in metres.
        taught: what the model learned on.
        asked: what the user asks for.
        name: of the scene, for messages.

    Raises:
        ValueError: the scene's pixels are much larger than any the model learned on, or nobody says what it learned on.
    """
    known = taught.metres_per_pixel if taught is not None else None
    if known is None:
        if asked is None:
            raise ValueError(
                f"The model does not say how large its training pixels were on the ground, and those of {name} are "
                f"{own:.3g} m: say with --metres_per_pixel how large pixels are to be shown to it."
            )
        return asked, ["The model does not say how large its training pixels were on the ground: nothing is checked."]
    low, high = known
    if own > high * _COARSEST:
        raise ValueError(
            f"{name} has pixels of {own:.3g} m; the model learned on {low:.3g} to {high:.3g} m and cannot see what "
            "such pixels do not show: give a finer scene, or a model that learned on coarser ones."
        )
    chosen = min(max(own, low), high) if asked is None else asked
    notes = []
    if not low / _COARSEST <= chosen <= high * _COARSEST:
        notes.append(f"Shown at {chosen:.3g} m a pixel; the model learned on {low:.3g} to {high:.3g} m.")
    if own > chosen * (1 + _NEAR):
        notes.append(f"{name} has pixels of {own:.3g} m, which are interpolated to {chosen:.3g} m.")
    return chosen, notes


_COARSEST: Final = 1.5
"""By so much may a scene's pixels be larger than the largest that a model learned on."""
