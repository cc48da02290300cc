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
            "sombre, dark and shadowy",
            "dusky, dim and dull",
            "subdued, muted and quiet",
            "medium, neutral and balanced",
            "luminous, light and bright",
            "brilliant, radiant and intense",
        ),
    ),
    Scale(
        "radiometry-contrast",
        "q_std",
        (27.5, 33.0, 37.4, 42.6, 48.2),
        (
            "flat, bland and faint",
            "soft, weak and pale",
            "gentle, modest and mild",
            "fair, tangible and lively",
            "strong, marked and vivid",
            "stark, extreme and dramatic",
        ),
    ),
    Scale(
        "radiometry-grain",
        "g_contrast",
        (2.6, 4.3, 6.8, 13.0, 16.2),
        (
            "silky, smooth and glassy",
            "fine, even and sleek",
            "velvety, mottled and dappled",
            "peppery, granular and sandy",
            "coarse, uneven and gritty",
            "harsh, rugged and jagged",
        ),
    ),
    Scale(
        "radiometry-peaks",
        "q_saturated",
        (0.00005, 0.0004, 0.0014, 0.0031, 0.0052),
        (
            "absent, entirely lacking",
            "exceptional, exceedingly rare",
            "infrequent, solitary and stray",
            "occasional, sporadic and spotty",
            "recurrent, repeated and frequent",
            "plentiful, copious and swarming",
        ),
    ),
    Scale(
        "radiometry-coherence",
        "g_correlation",
        (0.61, 0.74, 0.82, 0.89, 0.935),
        (
            "erratic, random and unrelated",
            "loose, restless and fickle",
            "wavering, partly akin",
            "orderly, fairly consistent",
            "steady, closely linked",
            "flowing, tightly bound",
        ),
    ),
    Scale(
        "radiometry-floor",
        "q_dark",
        (0.0003, 0.0017, 0.0036, 0.006, 0.0105),
        (
            "missing, blank or nil",
            "negligible, trifling and minute",
            "scanty, meagre and slight",
            "limited, moderate and restrained",
            "sizeable, substantial and obvious",
            "considerable, ample and heavy",
        ),
    ),
    Scale(
        "radiometry-lines",
        "q_stripe",
        (0.011, 0.03, 0.064, 0.16, 0.235),
        (
            "nonexistent and directionless",
            "ghostly, barely hinted",
            "subtle and understated",
            "discernible and emerging",
            "pronounced and ribbed",
            "dominant and emphatic",
        ),
    ),
    Scale(
        "radiometry-edges",
        "q_edge",
        (9.8, 11.5, 13.0, 14.6, 17.0),
        (
            "scarce, isolated and feeble",
            "sparse and spaced",
            "middling and average",
            "numerous and busy",
            "abundant and intricate",
            "profuse and teeming",
        ),
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
