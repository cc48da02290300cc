"""Which differences are any: each model of a column against the best one, and against the second.

Where predictions of both are at hand the difference is drawn anew over groups of near copies, both on the same draws
(paired bootstrap); elsewhere it is judged from the two intervals as if they were independent, which on the same trials
finds too little rather than too much. All comparisons of a board are corrected together (Holm 1979).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from knowlip.base.statistics import Z95
from knowlip.benchmark.leaderboard.boards import Board, Column, Entry
from knowlip.benchmark.leaderboard.trials import KeptTrials, NoTrials, mean_of_seeds
from knowlip.tasks.metrics.intervals import MIN_CLUSTERS
from knowlip.tasks.metrics.resampled import cluster_weights

LEVEL: Final = 0.05
PAIRED: Final = "paired bootstrap"
INTERVALS: Final = "intervals as if independent"
METHOD: Final = (
    f"Differences: {PAIRED} over groups of near copies where predictions of both are at hand, else from both "
    f"{INTERVALS} (too cautious on the same trials); p by Holm over all comparisons of a board, {LEVEL:g} counts"
)


@dataclass(frozen=True)
class Comparison:
    """Two models of a column."""

    column: str
    better: str
    """Line of the one with the better value."""
    other: str
    difference: float
    """Value of the better minus that of the other, or the reverse where lower is better: never negative."""
    ci: tuple[float, float] | None
    p: float | None
    """Two-sided, not corrected; None where nothing tells."""
    method: str
    """How, or why there is none."""
    corrected: float | None = None
    """p by Holm over the board."""

    @property
    def apart(self) -> bool:
        """Whether there is a difference, as far as these trials tell."""
        return self.corrected is not None and self.corrected < LEVEL


@dataclass(frozen=True)
class Standings:
    """What a column's figures come to."""

    best: str = ""
    """Line that is apart from all others; "" where none is."""
    second: str = ""
    """Line that is apart from the best and from all behind it."""
    level: tuple[str, ...] = ()
    """Lines that cannot be told from the leading one, the leading one first; () where there is a best."""
    alone: bool = False
    """Whether there is nothing to compare with."""


def compared(board: Board) -> tuple[dict[str, Standings], list[Comparison]]:
    """Standings of each column of a board, and the comparisons behind them."""
    found: list[Comparison] = []
    # Predictions are read once for all comparisons of a column.
    for column in board.columns:
        ranked = column.ranked
        trials: dict[str, KeptTrials | str] = {}
        for place in (0, 1):
            for line, entry in ranked[place + 1 :]:
                found.append(_comparison(column, ranked[place], (line, entry), trials))
    corrected = holm([one.p for one in found])
    found = [replace(one, corrected=p) for one, p in zip(found, corrected)]
    of: dict[str, dict[tuple[str, str], Comparison]] = {column.metric: {} for column in board.columns}
    for one in found:
        of[one.column][one.better, one.other] = one
    return {column.metric: _standings(column, of[column.metric]) for column in board.columns}, found


def holm(p: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down correction: rising in p, never above 1; None stays and counts for nothing.

    Example:
        >>> holm([0.01, None, 0.04, 0.03])
        [0.03, None, 0.06, 0.06]
    """
    known = sorted((value, place) for place, value in enumerate(p) if value is not None)
    found: list[float | None] = [None] * len(p)
    highest = 0.0
    for rank, (value, place) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * value))
        found[place] = round(highest, 12)
    return found


def _comparison(
    column: Column, one: tuple[str, Entry], other: tuple[str, Entry], trials: dict[str, KeptTrials | str]
) -> Comparison:
    first, second = (_of(pair, trials) for pair in (one, other))
    sign = 1.0 if column.better == "higher" else -1.0
    values = [pair[1].row.value or 0.0 for pair in (one, other)]
    made = Comparison(column.metric, one[0], other[0], sign * (values[0] - values[1]), None, None, "")
    if isinstance(first, KeptTrials) and isinstance(second, KeptTrials):
        if (first.ids, first.groups) != (second.ids, second.groups):
            return replace(made, method="they were measured on other trials, so they are not compared")
        if len({*first.groups}) >= MIN_CLUSTERS:
            ci, p = paired(first.figure, second.figure, first.groups, min(first.draws, second.draws))
            low, high = sorted((sign * ci[0], sign * ci[1]))
            return replace(made, ci=(low, high), p=p, method=PAIRED)
        return replace(made, method=f"fewer than {MIN_CLUSTERS} groups were measured")
    why = first if isinstance(first, str) else second
    ends = [pair[1].row.ci for pair in (one, other)]
    if ends[0] is None or ends[1] is None:
        return replace(made, method=f"one of them has no interval, and {why}")
    if min(ends[0][1] - ends[0][0], ends[1][1] - ends[1][0]) <= 0:
        # All right or all wrong in every draw: that is no certainty about other trials.
        return replace(made, method=f"one of them has an interval of no width, and {why}")
    p, half = from_intervals(made.difference, ends[0], ends[1])
    return replace(made, ci=(made.difference - half, made.difference + half), p=p, method=f"{INTERVALS}: {why}")


def _of(pair: tuple[str, Entry], known: dict[str, KeptTrials | str]) -> "KeptTrials | str":
    """KeptTrials of an entry, or why there are none."""
    line, entry = pair
    if line not in known:
        try:
            known[line] = mean_of_seeds(entry.row, entry.told.runs)
        except NoTrials as error:
            known[line] = str(error)
    return known[line]


def paired(
    one: Callable[[np.ndarray], np.ndarray],
    other: Callable[[np.ndarray], np.ndarray],
    groups: Sequence[str],
    draws: int,
    seed: int = 0,
) -> tuple[tuple[float, float], float]:
    """95 % interval of the difference of two figures of the same trials, and its two-sided p: twice the smaller share
    of draws on one side of 0, with one draw more on each side (Davison and Hinkley 1997, section 4.2.3).

    Args:
        one, other: weights of trials (R, N) -> figures (R,).
        groups: group of each trial; whole groups are drawn.
        draws: how many.
        seed: of the draws.
    """
    weights = cluster_weights(groups, draws, seed)
    differences = one(weights) - other(weights)
    differences = differences[np.isfinite(differences)]
    if not len(differences):
        return (math.nan, math.nan), 1.0
    low, high = np.quantile(differences, [0.025, 0.975])
    below, above = int((differences <= 0).sum()), int((differences >= 0).sum())
    return (float(low), float(high)), min(1.0, 2 * (1 + min(below, above)) / (len(differences) + 1))


def from_intervals(difference: float, one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """Two-sided p of a difference of two independent figures with 95 % intervals of some width, and half the width of
    its own: by the normal distribution, standard errors from the widths."""
    errors = [(ends[1] - ends[0]) / (2 * Z95) for ends in (one, other)]
    error = math.hypot(*errors)
    return math.erfc(abs(difference) / error / math.sqrt(2)), Z95 * error


def _standings(column: Column, of: Mapping[tuple[str, str], Comparison]) -> Standings:
    ranked = [line for line, _ in column.ranked]
    if len(ranked) < 2:
        return Standings(alone=True)
    level = tuple(line for line in ranked[1:] if not of[ranked[0], line].apart)
    if level:
        return Standings(level=(ranked[0], *level))
    behind = ranked[2:]
    second = ranked[1] if all(of[ranked[1], line].apart for line in behind) else ""
    return Standings(best=ranked[0], second=second)
