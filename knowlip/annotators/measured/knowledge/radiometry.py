"""Measured brightness and texture of a tile, each figure in six levels with a word of its own.

Tiles that look alike get the same words, so that texts are neighbours where images are. Levels are those of equal
frequency over the 2,268 tiles of the demo's simulated scenes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from knowlip.language.statements import Layer, Statement
from knowlip.tiles.quality import STATISTICS, measure


@dataclass(frozen=True)
class Scale:
    """A figure and what its levels are called."""

    slot: str
    figure: str
    """Name in `quality.STATISTICS`."""
    limits: tuple[float, ...]
    """A level begins at each of them; one less than there are words."""
    words: tuple[str, ...]
    """Of the levels, lowest first; no word stands in two of them."""

    def word(self, value: float) -> str:
        """What a value is called."""
        return self.words[int(np.searchsorted(self.limits, value, side="right"))]


def _six(words: str) -> tuple[str, ...]:
    return tuple(words.split())


SCALES: Final[Sequence[Scale]] = (
    Scale("brightness", "q_mean", (95.0, 112.0, 121.5, 130.0, 141.0), _six("dark dim subdued medium bright brilliant")),
    Scale("contrast", "q_std", (27.5, 33.0, 37.4, 42.6, 48.2), _six("minimal weak modest fair strong extreme")),
    Scale("range", "q_entropy", (6.55, 6.86, 7.07, 7.24, 7.44), _six("narrow restricted ordinary broad ample full")),
    Scale(
        "peaks",
        "q_saturated",
        (0.00005, 0.0004, 0.0014, 0.0031, 0.0052),
        _six("no rare infrequent occasional frequent plentiful"),
    ),
    Scale(
        "floor",
        "q_dark",
        (0.0003, 0.0017, 0.0036, 0.006, 0.0105),
        _six("scarce sparse scattered common numerous abundant"),
    ),
    Scale("grain", "g_contrast", (2.6, 4.3, 6.8, 13.0, 16.2), _six("smooth fine mottled granular coarse rugged")),
    Scale(
        "correlation", "g_correlation", (0.61, 0.74, 0.82, 0.89, 0.935), _six("poor loose middling good high excellent")
    ),
    Scale("edges", "q_edge", (9.8, 11.5, 13.0, 14.6, 17.0), _six("soft gentle moderate distinct sharp harsh")),
    Scale("pattern", "g_entropy", (4.3, 4.66, 4.96, 5.25, 5.54), _six("calm simple varied busy restless chaotic")),
    Scale(
        "lines",
        "q_stripe",
        (0.011, 0.03, 0.064, 0.16, 0.235),
        _six("trifling faint slight noticeable pronounced dominant"),
    ),
)
"""What is measured, in the order in which it is told."""

TOPICS: Final[Mapping[str, tuple[str, ...]]] = {
    "radiometry-tone": ("brightness", "contrast", "range", "peaks", "floor"),
    "radiometry-texture": ("grain", "correlation", "edges", "pattern", "lines"),
}
"""Sentence -> the scales whose levels it tells."""


def statements(image: NDArray[np.uint8]) -> list[Statement]:
    """What the levels of a tile (H, W) 8 bit, 0 = nodata, say; nothing where there is no valid pixel."""
    numbers = measure(image)
    if numbers is None:
        return []
    figures = dict(zip(STATISTICS, numbers.tolist()))
    levels = {scale.slot: scale.word(figures[scale.figure]) for scale in SCALES}
    return [
        Statement(topic, {slot: levels[slot] for slot in slots}, "visual", Layer.RADAR)
        for topic, slots in TOPICS.items()
    ]
