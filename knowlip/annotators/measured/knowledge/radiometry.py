"""Measured brightness and texture of a tile, each figure in six levels with words of their own.

Tiles that look alike get the same words, so that texts are neighbours where images are. Levels are those of equal
frequency over the 2,268 tiles of the demo's simulated scenes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from knowlip.language.statements import Layer, Statement
from knowlip.tiles.quality import STATISTICS, measure


@dataclass(frozen=True)
class Scale:
    """A figure and what its levels are called."""

    topic: str
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
        "radiometry-brightness",
        "q_mean",
        (95.0, 112.0, 121.5, 130.0, 141.0),
        (
            "sombre, distinctly dark",
            "dusky, fairly dim",
            "subdued, slightly muted",
            "intermediate, neutrally grey",
            "luminous, fairly bright",
            "brilliant, markedly radiant",
        ),
    ),
    Scale(
        "radiometry-contrast",
        "q_std",
        (27.5, 33.0, 37.4, 42.6, 48.2),
        (
            "flat, very faint",
            "soft, rather weak",
            "gentle, modest",
            "tangible, fair",
            "marked, strong",
            "stark, extreme",
        ),
    ),
    Scale(
        "radiometry-grain",
        "g_contrast",
        (2.6, 4.3, 6.8, 13.0, 16.2),
        (
            "silky and smooth",
            "fine and even",
            "velvety, lightly mottled",
            "peppery and granular",
            "coarse and uneven",
            "harsh and rugged",
        ),
    ),
    Scale(
        "radiometry-peaks",
        "q_saturated",
        (0.00005, 0.0004, 0.0014, 0.0031, 0.0052),
        ("absent", "exceedingly rare", "infrequent", "occasional", "recurrent", "plentiful"),
    ),
    Scale(
        "radiometry-coherence",
        "g_correlation",
        (0.61, 0.74, 0.82, 0.89, 0.935),
        ("erratic", "loosely tied", "partly related", "fairly consistent", "closely linked", "tightly bound"),
    ),
    Scale(
        "radiometry-floor",
        "q_dark",
        (0.0003, 0.0017, 0.0036, 0.006, 0.0105),
        ("missing", "negligible", "scanty", "limited", "sizeable", "considerable"),
    ),
    Scale(
        "radiometry-lines",
        "q_stripe",
        (0.011, 0.03, 0.064, 0.16, 0.235),
        ("nonexistent", "barely hinted", "subtle", "discernible", "pronounced", "dominant"),
    ),
    Scale(
        "radiometry-edges",
        "q_edge",
        (9.8, 11.5, 13.0, 14.6, 17.0),
        ("scarce", "sparse", "middling", "numerous", "abundant", "profuse"),
    ),
)
"""What is measured, what tells tiles apart best first."""


def statements(image: NDArray[np.uint8]) -> list[Statement]:
    """The levels of a tile (H, W) 8 bit, 0 = nodata, in the order of `SCALES`; none where there is no valid pixel."""
    numbers = measure(image)
    if numbers is None:
        return []
    figures = dict(zip(STATISTICS, numbers.tolist()))
    return [
        Statement(scale.topic, {"level": scale.word(figures[scale.figure])}, "visual", Layer.RADAR) for scale in SCALES
    ]
