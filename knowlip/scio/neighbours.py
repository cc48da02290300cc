"""What the texts of a tile's relatives make of its claims, without any image.

The facts that a tile's parent, siblings and children claim predict its own: a ridge regression from the facts of the
relatives (the mean over those of one kinship) to each fact of each dimension, fitted on the texts themselves, errors
and all. A family's own prediction comes from a fit on the other families. A claim is surprising where its facts are
improbable so: because the relatives speak against it, or because it is seldom made.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from knowlip.dataset.families import Relative, relatives
from knowlip.language.claims import parse_claims
from knowlip.language.dimensions import DIMENSIONS, SLOTS
from knowlip.language.facts import facts_of

_FEATURES: Final = 512
"""So many facts of relatives are read, the most frequent ones: the fit costs their square, whatever the data set."""
_RIDGE: Final = 100.0
_FOLDS: Final = 5
_LEAST: Final = 0.02
"""No fact is taken for less probable (or for surer) than this."""


class RelativeClaims:
    """Surprise of claims, given those of the relatives.

    Args:
        tiles: rows of the index (tile_id, parent_id, root_id).
        sets: instruction set of each tile.
        words: for each tile, what each of its eight sub-texts says of the image.
    """

    def __init__(self, tiles: pd.DataFrame, sets: Sequence[str], words: Sequence[Sequence[str]]) -> None:
        self.sets = list(sets)
        facts = [
            [facts_of(parse_claims(kind, name, text)) for name, text in zip(DIMENSIONS[kind], said, strict=True)]
            for kind, said in zip(sets, words, strict=True)
        ]
        family = relatives(tiles.reset_index(drop=True))
        self.known = np.array([bool(some) for some in family], bool)
        """Which tiles have relatives."""
        features = _features(family, self.sets, facts)
        fold = np.unique(tiles["root_id"].to_numpy(str), return_inverse=True)[1] % _FOLDS
        self._place: dict[tuple[str, int, str], int] = {}
        """(Instruction set, slot, fact) -> column of the set's predictions."""
        self._row = np.zeros(len(self.sets), int)
        self._probability: dict[str, np.ndarray] = {}
        for kind in sorted({*self.sets}):
            at = np.array([row for row, name in enumerate(self.sets) if name == kind])
            self._row[at] = np.arange(len(at))
            target = self._targets(kind, [facts[row] for row in at])
            self._probability[kind] = _predicted(features[at], target, fold[at])

    def surprise(self, row: int, slot: int, words: str) -> float:
        """-log p of the facts of a sub-text, mean over these, in nats; NaN where it claims nothing, or the tile has no
        relatives.

        Args:
            row: tile.
            slot: position, 0 to 7.
            words: what the sub-text says of the image, the tile's own words or others.
        """
        kind = self.sets[row]
        facts = facts_of(parse_claims(kind, DIMENSIONS[kind][slot], words)) if self.known[row] else []
        if not facts:
            return float("nan")
        places = [self._place.get((kind, slot, fact)) for fact in facts]
        probability = self._probability[kind][self._row[row]]
        found = [_LEAST if place is None else probability[place] for place in places]
        return float(-np.mean(np.log(np.clip(found, _LEAST, 1 - _LEAST))))

    def _targets(self, kind: str, facts: Sequence[Sequence[Sequence[str]]]) -> np.ndarray:
        """(tiles, facts) 1 where the fact is claimed."""
        columns: dict[tuple[str, int, str], int] = {}
        pairs = [
            (row, columns.setdefault((kind, slot, fact), len(columns)))
            for row, of_tile in enumerate(facts)
            for slot in range(SLOTS)
            for fact in of_tile[slot]
        ]
        self._place |= columns
        target = np.zeros((len(facts), len(columns)), np.float32)
        if pairs:
            target[tuple(np.array(pairs).T)] = 1
        return target


_Facts = Sequence[Sequence[Sequence[str]]]
"""Of each tile, of each of its eight sub-texts."""


def _features(family: Sequence[Sequence[Relative]], sets: Sequence[str], facts: _Facts) -> np.ndarray:
    """(tiles, F): share of a tile's relatives of one kinship that claim a fact."""
    named = [
        [f"{kind} {slot} {fact}" for slot in range(SLOTS) for fact in some[slot]] for kind, some in zip(sets, facts)
    ]
    shares: list[dict[str, float]] = []
    for some in family:
        number = Counter(kinship for _, kinship in some)
        mine: dict[str, float] = {}
        for other, kinship in some:
            for fact in named[other]:
                mine[f"{kinship} {fact}"] = mine.get(f"{kinship} {fact}", 0.0) + 1 / number[kinship]
        shares.append(mine)
    often = Counter(name for mine in shares for name in mine)
    frequent = sorted(often, key=lambda name: (-often[name], name))[:_FEATURES]
    column = {name: at for at, name in enumerate(frequent)}
    result = np.zeros((len(family), len(column)), np.float32)
    for row, mine in enumerate(shares):
        for name, share in mine.items():
            if name in column:
                result[row, column[name]] = share
    return result


def _predicted(features: np.ndarray, target: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Probability of each fact in each tile, from the tiles of the other folds; where these are none, from all."""
    result = np.empty_like(target)
    for number in np.unique(fold):
        here = fold == number
        there = ~here if not here.all() else here
        middle, mean = target[there].mean(0), features[there].mean(0)
        centred = features[there] - mean
        gram = centred.T @ centred + _RIDGE * np.eye(centred.shape[1], dtype=np.float32)
        slope = np.linalg.solve(gram, centred.T @ (target[there] - middle))
        result[here] = middle + (features[here] - mean) @ slope
    return result
