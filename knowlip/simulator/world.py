"""The world that a radar will look at: painted ground, solids with heights, point scatterers, and the truth about them.

Everything is vector data in metres around the scene's centre. A coarse sketch (2 m grid) of land cover and of taken
ground answers, while the world is being laid out, whether an object fits somewhere.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from knowlip.base.vocabulary import LAND_COVER
from knowlip.simulator import sketch
from knowlip.simulator.shapes import Frame, Ring, rectangle

CODE = {name: code for code, name in LAND_COVER.items()}
Covers = tuple[str, ...]
SKETCH_M = 2.0
MARGIN_M = 150.0
"""The world goes this far beyond the scene on each side."""


@dataclass(frozen=True)
class Area:
    """Painted ground: later areas cover earlier ones."""

    ring: Ring
    cover: int
    level_db: float
    height: float = 0.0  # Of the canopy where the cover is wood.


@dataclass(frozen=True)
class Solid:
    """A prism on the ground (heights in metres, backscatter of roof and walls in dB)."""

    ring: Ring
    height: float
    roof_db: float
    wall_db: float


@dataclass(frozen=True)
class SceneObject:
    """One object of the truth: an oriented box on the ground."""

    category: str
    type: str
    x: float
    y: float
    length: float
    width: float
    height: float
    heading: float

    @property
    def ring(self) -> Ring:
        """(4, 2) corners of the footprint."""
        return rectangle(self.x, self.y, self.length, self.width, self.heading)


@dataclass
class World:
    """A scene's contents, laid out by the theme modules and drawn by `radar.image`."""

    size: float
    resolution: float
    look_azimuth: float
    incidence: float
    rng: np.random.Generator
    areas: list[Area] = field(default_factory=list)
    solids: list[Solid] = field(default_factory=list)
    things: list[SceneObject] = field(default_factory=list)
    scatterers: list[NDArray[np.float64]] = field(default_factory=list)
    """(N, 4) arrays: x, y, height above ground, radar cross-section in m2."""
    walls: list[tuple[float, float, float, float, float]] = field(default_factory=list)
    """x0, y0, x1, y1 and cross-section per metre: wall-ground corner lines, outside on the left of p0 -> p1."""
    sea_db: float = 0.0  # How much brighter the wind makes the sea of this world.
    later: list[Callable[[], None]] = field(default_factory=list)  # What to place once all ground is painted.

    @property
    def reach(self) -> float:
        """Half the side of the world including its margin."""
        return self.size / 2 + MARGIN_M

    @cached_property
    def sketch(self) -> NDArray[np.uint8]:
        """Land cover on the sketch grid, row 0 in the south."""
        n = int(2 * self.reach / SKETCH_M) + 1
        return np.full((n, n), CODE["field"], dtype=np.uint8)

    @cached_property
    def taken(self) -> NDArray[np.uint8]:
        """Sketch cells that an object stands on (1) or not (0)."""
        return np.zeros_like(self.sketch)

    def _cells(self, ring: Ring) -> Ring:
        return (ring + self.reach) / SKETCH_M

    def inside(self, x: float, y: float, margin: float = 0.0) -> bool:
        """Whether a point lies in the scene, `margin` metres from its border or farther."""
        return max(abs(x), abs(y)) <= self.size / 2 - margin

    def cover_at(self, points: Ring) -> NDArray[np.uint8]:
        """(N,) land cover under (N, 2) points; 0 outside the world."""
        cells = np.floor(self._cells(points)).astype(np.intp)
        good = ((cells >= 0) & (cells < self.sketch.shape[0])).all(axis=1)
        codes = np.zeros(len(points), dtype=np.uint8)
        codes[good] = self.sketch[cells[good, 1], cells[good, 0]]
        return codes

    def paint(self, ring: Ring, cover: str, level_db: float = 0.0) -> None:
        """Cover the ground inside `ring`, `level_db` brighter than the class usually is."""
        if sketch.fill(self.sketch, self._cells(ring), CODE[cover]):
            height = float(self.rng.uniform(6.0, 14.0)) if cover == "wood" else 0.0
            self.areas.append(Area(ring, CODE[cover], level_db, height))

    def fits(self, ring: Ring, covers: Covers) -> bool:
        """Whether the ground inside `ring` is free and of these covers only (False outside the world)."""
        allowed = np.zeros(len(CODE), dtype=np.bool_)
        allowed[[CODE[name] for name in covers]] = True
        return bool(sketch.fits(self.sketch, self.taken, self._cells(ring), allowed))

    def take(self, ring: Ring) -> None:
        """Mark the ground inside `ring` as occupied."""
        sketch.fill(self.taken, self._cells(ring), 1)

    def is_taken(self, points: Ring) -> NDArray[np.bool_]:
        """(N,) whether an object stands at (N, 2) points; True outside the world."""
        cells = np.floor(self._cells(points)).astype(np.intp)
        good = ((cells >= 0) & (cells < self.taken.shape[0])).all(axis=1)
        taken = np.ones(len(points), dtype=np.bool_)
        taken[good] = self.taken[cells[good, 1], cells[good, 0]] != 0
        return taken

    def solid(self, ring: Ring, height: float, roof_db: float, wall_db: float) -> None:
        """Add a prism; where prisms overlap, the later one wins."""
        self.solids.append(Solid(ring, height, roof_db, wall_db))

    def scatter(self, xy: Ring, z: float | NDArray[np.float64], rcs: float | NDArray[np.float64]) -> None:
        """Add point scatterers at (N, 2) world points."""
        rows = np.empty((len(xy), 4))
        rows[:, :2], rows[:, 2], rows[:, 3] = xy, z, rcs
        self.scatterers.append(rows)

    def scatter_unevenly(self, xy: Ring, z: float | NDArray[np.float64], level: float, deviation: float) -> None:
        """Add point scatterers whose cross-sections are log-normal, by mean and deviation of their logarithm."""
        self.scatter(xy, z, self.rng.lognormal(level, deviation, len(xy)))

    def corner_lines(self, ring: Ring, per_metre: float) -> None:
        """Add the wall-ground corner lines of a footprint (cross-section per metre of wall that faces the radar)."""
        x, y = ring.T
        clockwise = float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) < 0
        points = ring if clockwise else ring[::-1]
        for p, q in zip(points, np.roll(points, -1, axis=0)):
            self.walls.append((p[0], p[1], q[0], q[1], per_metre))

    def frame(self, heading: float) -> Frame:
        """A frame at the scene's centre."""
        return Frame(0.0, 0.0, heading)
