"""From which score a detector's boxes are counted: where the counts of scenes err least.

AP looks at the order of scores alone. Who counts ships needs a score to count from, and a fixed one is wrong by a
factor where a detector is shy or bold, which differs from class to class and from pixel size to pixel size. So it is
measured on the validation tiles, for each class and octave of pixel sizes with enough objects, and kept in the card.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from knowlip.base.progress import say
from knowlip.base.rows import Json

ENTRY: Final = "count_scores"
"""Of a card."""
UNKNOWN: Final = 0.5
"""Score of a detector that does not say."""
_LEAST: Final = 10
"""Objects from which the score of an octave is its own; with fewer that of the class stands."""


class CountScore(NamedTuple):
    """Of a class, at some pixel sizes."""

    category: str
    octave: int | None
    """Rounded log2 of the metres a pixel; None: of all sizes together."""
    score: float
    there: int
    """Objects that it rests on."""


@dataclass(frozen=True)
class CountScores:
    """Scores from which boxes count."""

    known: Sequence[CountScore] = ()
    asked: float | None = None
    """What a user asks for instead, for all."""

    @property
    def measured(self) -> bool:
        """Whether they are the detector's own."""
        return self.asked is None and bool(self.known)

    def unmeasured(self, categories: Sequence[str]) -> list[str]:
        """Classes that no score of the card is for: a class without objects in the validation tiles has none."""
        known = {one.category for one in self.known}
        return [name for name in categories if name not in known] if self.asked is None else []

    def least(self, category: str, metres: float | None) -> float:
        """The score of a class.

        Args:
            category: the class.
            metres: side of a pixel; None: not known.
        """
        if self.asked is not None:
            return self.asked
        asked = _octave(metres)
        of_it = {one.octave: one.score for one in self.known if one.category == category}
        return of_it.get(asked, of_it.get(None, UNKNOWN))

    def counted(self, found: pd.DataFrame, metres: float | None) -> pd.DataFrame:
        """The rows of a table of boxes (columns category, score) that count."""
        least = {name: self.least(str(name), metres) for name in found["category"].unique()}
        return found[found["score"].to_numpy(float) >= found["category"].map(least).to_numpy(float)]

    def said(self, categories: Sequence[str], metres: float | None) -> str | float:
        """For people: one score, or those of the classes."""
        scores = {name: round(self.least(name, metres), 3) for name in categories}
        if self.asked is not None or len({*scores.values()}) == 1:
            return next(iter(scores.values()), UNKNOWN if self.asked is None else self.asked)
        return ", ".join(f"{name} {score:g}" for name, score in scores.items())


def count_scores(
    found: pd.DataFrame, truth: pd.DataFrame, metres: Mapping[str, float], scene_of: Mapping[str, str]
) -> list[dict[str, Json]]:
    """The scores of a detector, as a card keeps them.

    Args:
        found: boxes in tiles: columns tile_id, category, score.
        truth: the objects of the same tiles: columns tile_id, category, ignored.
        metres: tile -> side of a pixel on the ground, NaN where it is not known.
        scene_of: tile -> the scene that it is of. Tiles without objects are among them: what is called there is wrong.
    """
    scored = np.isfinite(found["score"].to_numpy(float))
    if not scored.all():
        say(f"  {int((~scored).sum()):,} boxes have no number for a score, and no count rests on them.")
        found = found[scored]
    there = truth[~truth["ignored"].to_numpy(bool)]
    result: list[dict[str, Json]] = []
    for category in sorted({*there["category"]}):
        called, real = (table[table["category"] == category] for table in (found, there))
        octaves = {_octave(metres[tile]) for tile in real["tile_id"]} - {None}
        for octave in (None, *sorted(octaves, key=lambda at: at or 0)):
            objects, boxes = (
                table if octave is None else table[[_octave(metres[tile]) == octave for tile in table["tile_id"]]]
                for table in (real, called)
            )
            if octave is None or len(objects) >= _LEAST:
                in_scene = objects["tile_id"].map(scene_of).value_counts()
                score = _least_error(
                    boxes["score"].to_numpy(float), boxes["tile_id"].map(scene_of).to_numpy(str), in_scene.to_dict()
                )
                result.append(
                    {"category": str(category), "octave": octave, "score": round(score, 4), "there": len(objects)}
                )
    return result


def read_count_scores(card: Mapping[str, Any], asked: float | None) -> CountScores:
    """What a card says; nothing of one from before they were kept.

    Args:
        card: of a detector.
        asked: what a user asks for instead.

    Raises:
        ValueError: they are there and not sound.
    """
    said = card.get(ENTRY, [])
    try:
        known = tuple(
            CountScore(
                str(one["category"]),
                None if one["octave"] is None else int(one["octave"]),
                float(one["score"]),
                int(one["there"]),
            )
            for one in said
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        raise ValueError(f"{ENTRY} of the detector's card is not sound.") from None
    if not all(0 <= one.score <= 1 for one in known):
        raise ValueError(f"{ENTRY} of the detector's card is not sound.")
    return CountScores(known, asked)


def _octave(metres: float | None) -> int | None:
    return round(math.log2(metres)) if metres is not None and math.isfinite(metres) and metres > 0 else None


def _least_error(scores: np.ndarray, scenes: np.ndarray, there: Mapping[str, int]) -> float:
    """The score from which the sum over scenes of |boxes - objects| is least: the middle between the last box that
    counts and the next."""
    order = np.argsort(-scores, kind="stable")
    if not len(order):
        return UNKNOWN
    missing = dict(there)
    # Each box that is added brings its scene nearer to its count, or farther from it.
    error = [sum(missing.values())]
    for at in order:
        scene = str(scenes[at])
        missing[scene] = missing.get(scene, 0) - 1
        error.append(error[-1] + (-1 if missing[scene] >= 0 else 1))
    best = int(np.argmin(error))
    ordered = scores[order]
    above = float(ordered[best - 1]) if best else 1.0
    return (above + float(ordered[best])) / 2 if best < len(ordered) else above
