"""The eight flips and quarter turns of a square tile, on pixels and on places; what they do to words is in
:mod:`knowlip.language.direction_words`.

Directions are steps (x to the right, y downwards): left is (-1, 0), north and up (0, -1). Tiles are north-up.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

Step = tuple[int, int]

COMPASS: Final = ("north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest")
"""Clockwise from north, 45 degrees apart."""
COMPASS_STEPS: Final[tuple[Step, ...]] = ((0, -1), (1, -1), (1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1))
"""The same as steps."""
AXES: Final[dict[str, float]] = {
    "north-south": 0.0,
    "northeast-southwest": 45.0,
    "east-west": 90.0,
    "northwest-southeast": 135.0,
}
"""Orientation in compass words -> degrees clockwise from north, modulo 180."""


@dataclass(frozen=True)
class Turn:
    """A mirror image (left and right exchanged) or not, then so many quarter turns clockwise."""

    mirrored: bool = False
    quarters: int = 0

    @classmethod
    def of(cls, number: int) -> "Turn":
        """Turn 0 to 7; 0 changes nothing, 4 to 7 mirror."""
        return cls(number >= 4, number % 4)

    @property
    def swaps_axes(self) -> bool:
        """Whether rows become columns."""
        return self.quarters % 2 == 1

    @property
    def inverse(self) -> "Turn":
        """What undoes it (a mirrored turn undoes itself)."""
        return self if self.mirrored else Turn(False, -self.quarters % 4)

    def then(self, other: "Turn") -> "Turn":
        """This turn, then another: mirroring turns the sense of earlier quarter turns."""
        sign = -1 if other.mirrored else 1
        return Turn(self.mirrored != other.mirrored, (other.quarters + sign * self.quarters) % 4)

    def pixels(self, tile: np.ndarray) -> np.ndarray:
        """(..., S, S) turned; a view."""
        return np.rot90(tile[..., ::-1] if self.mirrored else tile, -self.quarters, (-2, -1))

    def step(self, step: Step) -> Step:
        """A direction (x, y) turned."""
        x, y = step
        x = -x if self.mirrored else x
        for _ in range(self.quarters):
            x, y = -y, x
        return x, y

    def place(self, x: float, y: float) -> tuple[float, float]:
        """A point in fractions of the tile (0, 0 = upper left) turned."""
        x = 1 - x if self.mirrored else x
        for _ in range(self.quarters):
            x, y = 1 - y, x
        return x, y

    def azimuth(self, degrees: float) -> float:
        """A heading clockwise from north, turned: 0 to 360."""
        return ((-degrees if self.mirrored else degrees) + 90 * self.quarters) % 360

    def region(self, number: int) -> int:
        """A region of the 3 x 3 grid (0 to 8, row by row) turned."""
        x, y = self.step((number % 3 - 1, number // 3 - 1))
        return (y + 1) * 3 + x + 1


def possible_turns(flips: float, rotations: float) -> list["Turn"]:
    """The turns that :func:`draw_turns` may draw."""
    quarters, mirrored = (range(4) if rotations else (0,)), ((0, 1) if flips else (0,))
    return [Turn.of(quarter + 4 * mirror) for quarter in quarters for mirror in mirrored]


def draw_turns(uniform_B2: np.ndarray, flips: float, rotations: float) -> np.ndarray:
    """Numbers of turns for B pairs: mirrored with probability `flips`, turned by 90, 180 or 270 degrees with
    probability `rotations`.

    Args:
        uniform_B2: the chance, in [0, 1).
        flips, rotations: shares, 0 to 1.
    """
    mirrored = uniform_B2[:, 0] < flips
    turned = uniform_B2[:, 1] < rotations
    quarters = np.where(turned, 1 + np.minimum(2, uniform_B2[:, 1] / max(rotations, 1e-12) * 3).astype(np.int64), 0)
    return np.asarray(quarters + 4 * mirrored)
