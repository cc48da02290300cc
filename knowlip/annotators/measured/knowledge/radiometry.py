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


SCALES: Final[Sequence[Scale]] = (
    Scale(
        "brightness",
        "q_mean",
        (95.0, 112.0, 121.5, 130.0, 141.0),
        (
            "sombre",
            "dusky",
            "subdued",
            "medium",
            "luminous",
            "brilliant",
        ),
    ),
    Scale(
        "contrast",
        "q_std",
        (27.5, 33.0, 37.4, 42.6, 48.2),
        (
            "flat",
            "soft",
            "gentle",
            "fair",
            "strong",
            "stark",
        ),
    ),
    Scale(
        "grain",
        "g_contrast",
        (2.6, 4.3, 6.8, 13.0, 16.2),
        (
            "silky",
            "fine",
            "velvety",
            "peppery",
            "coarse",
            "harsh",
        ),
    ),
    Scale(
        "peaks",
        "q_saturated",
        (0.00005, 0.0004, 0.0014, 0.0031, 0.0052),
        (
            "absent",
            "exceptional",
            "infrequent",
            "occasional",
            "recurrent",
            "plentiful",
        ),
    ),
    Scale(
        "coherence",
        "g_correlation",
        (0.61, 0.74, 0.82, 0.89, 0.935),
        (
            "erratic",
            "loose",
            "wavering",
            "orderly",
            "steady",
            "flowing",
        ),
    ),
    Scale(
        "floor",
        "q_dark",
        (0.0003, 0.0017, 0.0036, 0.006, 0.0105),
        (
            "missing",
            "negligible",
            "scanty",
            "limited",
            "sizeable",
            "considerable",
        ),
    ),
    Scale(
        "lines",
        "q_stripe",
        (0.011, 0.03, 0.064, 0.16, 0.235),
        (
            "nonexistent",
            "ghostly",
            "subtle",
            "discernible",
            "pronounced",
            "dominant",
        ),
    ),
    Scale(
        "edges",
        "q_edge",
        (9.8, 11.5, 13.0, 14.6, 17.0),
        (
            "scarce",
            "sparse",
            "middling",
            "numerous",
            "abundant",
            "profuse",
        ),
    ),
)
"""What is measured, what tells tiles apart best first."""

TOPICS: Final[Mapping[str, tuple[str, ...]]] = {
    "radiometry-tone": ("brightness", "contrast", "peaks", "floor"),
    "radiometry-texture": ("grain", "coherence", "lines", "edges"),
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
