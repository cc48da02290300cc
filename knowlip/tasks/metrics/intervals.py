"""95 % intervals of what is measured on tiles that are alike: a bootstrap over clusters, not over trials.

Tiles of one place look alike, so a model that knows one tends to know its neighbours, and an interval that takes them
for independent trials is too narrow. An interval therefore comes from resampling whole clusters (geographic blocks,
families of tiles that share ground, groups of near copies). Where they are fewer than `MIN_CLUSTERS`, or every draw of
them comes out the same, resampling says nothing: a share then has Wilson's interval of as many trials as there are
clusters, anything else has none. What a row must say of that is :attr:`Estimate.note`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from knowlip.base.statistics import wilson
from knowlip.tasks.metrics.resampled import cluster_weights, interval

MIN_CLUSTERS: Final = 8
NO_INTERVAL: Final = f"Fewer than {MIN_CLUSTERS} clusters were measured: no interval."
ALL_ALIKE: Final = "Every draw of clusters comes out the same: no interval."
_FEW_DRAWS: Final = "Most draws of clusters have no value: no interval."
_SCORE: Final = "Wilson's score"
_REPLICATES: Final = 1000


def cluster_bootstrap(
    values: Sequence[float] | np.ndarray, clusters: Sequence[str] | np.ndarray, seed: int = 0
) -> tuple[float, float]:
    """95 % percentile interval of the mean of `values` when whole clusters are drawn with replacement.

    Args:
        values: one number a trial (a hit is 1.0).
        clusters: the cluster of each trial.
        seed: of the resampling; the same seed gives the same interval.
    """
    _, number = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.bincount(number, weights=np.asarray(values, dtype=float))
    sizes = np.bincount(number).astype(float)
    draws = np.random.default_rng(seed).integers(0, len(sums), size=(_REPLICATES, len(sums)))
    means = sums[draws].sum(1) / sizes[draws].sum(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval and number of trials."""

    value: float
    """The figure."""
    ci: tuple[float, float] | None
    """95 % interval; None where there is none, `method` says why."""
    n: int
    """Trials behind it."""
    method: str = ""
    """How the interval was had, or why there is none."""

    @property
    def note(self) -> str:
        """What a row says of the interval: why there is none, or that it is not drawn over clusters; else ""."""
        return self.method if self.ci is None else f"Interval: {self.method}." if _SCORE in self.method else ""

    @property
    def ends(self) -> list[float] | None:
        """The interval as JSON holds it."""
        return None if self.ci is None else list(self.ci)


def proportion(hits: Sequence[bool] | np.ndarray, clusters: Sequence[str] | np.ndarray | None = None) -> Estimate:
    """Share of hits with its interval.

    Args:
        hits: one truth value a trial, at least one.
        clusters: the cluster of each trial; without them all trials are independent.
    """
    values = np.asarray(hits, dtype=float)
    if not len(values):
        raise ValueError("A share needs at least one trial.")
    share = float(values.mean())
    if clusters is None:
        return Estimate(share, wilson(int(values.sum()), len(values)), len(values), _SCORE)
    _, sizes = np.unique(np.asarray(clusters, dtype=str), return_counts=True)
    if len(sizes) >= MIN_CLUSTERS:
        low, high = cluster_bootstrap(values, clusters)
        if low < high:
            return Estimate(share, (low, high), len(values), f"bootstrap over {len(sizes)} clusters")
    # As if all trials of a cluster were one. Clusters of unequal size count as fewer (Kish's effective number).
    trials = float(len(values) ** 2 / np.square(sizes, dtype=float).sum())
    unequal = f" that count as {trials:.1f} equal ones" if trials < len(sizes) - 0.05 else ""
    method = f"{_SCORE} over {len(sizes)} cluster{'s' * (len(sizes) > 1)}{unequal}"
    return Estimate(share, wilson(share * trials, trials), len(values), method)


def mean(values: Sequence[float] | np.ndarray, clusters: Sequence[str] | np.ndarray) -> Estimate:
    """Mean of numbers with its interval over clusters, none where there are fewer than `MIN_CLUSTERS` of them.

    Args:
        values: one number a trial, at least one.
        clusters: the cluster of each trial.
    """
    return mean_of_means([values], [clusters])


def mean_of_means(
    groups: Sequence[Sequence[float] | np.ndarray], clusters: Sequence[Sequence[str] | np.ndarray]
) -> Estimate:
    """Mean of the means of groups (types of questions, dimensions), each counting the same, with its interval over
    clusters, none where there are fewer than `MIN_CLUSTERS` of them.

    Args:
        groups: numbers of the trials of each group, at least one each.
        clusters: the cluster of each trial. The same clusters are drawn for all groups.
    """
    values = [np.asarray(one, dtype=float) for one in groups]
    if not values or not all(len(one) for one in values):
        raise ValueError("A mean needs at least one trial of each group.")
    value, n = float(np.mean([one.mean() for one in values])), sum(map(len, values))
    of = np.concatenate([np.asarray(one, dtype=str) for one in clusters])
    number = len(np.unique(of))
    if number < MIN_CLUSTERS:
        return Estimate(value, None, n, NO_INTERVAL)
    weights, means, start = cluster_weights(of, replicates=_REPLICATES), [], 0
    for one in values:
        part = weights[:, start : start + len(one)]
        means.append(np.divide(part @ one, part.sum(1), out=np.full(len(part), np.nan), where=part.sum(1) > 0))
        start += len(one)
    # A replicate may hold no trial of a small group: the mean is then that of the others.
    return drawn(value, np.nanmean(means, axis=0), n, number)


def over_clusters(figure: Callable[[np.ndarray], float], clusters: Sequence[str], n: int) -> Estimate:
    """Any figure of items that count so often each, once and in a bootstrap over their clusters (no interval where they
    are fewer than `MIN_CLUSTERS`).

    Args:
        figure: of the times (N,) that each item counts.
        clusters: of each item.
        n: trials to state.
    """
    value, number = figure(np.ones(len(clusters))), len({*clusters})
    if number < MIN_CLUSTERS:
        return Estimate(value, None, n, NO_INTERVAL)
    return drawn(value, np.array([figure(times) for times in cluster_weights(clusters)]), n, number)


def drawn(value: float, draws: np.ndarray, n: int, number: int) -> Estimate:
    """A figure with the interval of its draws over so many clusters; none where they say nothing."""
    ends = interval(draws)
    if ends is None or ends[0] == ends[1]:
        return Estimate(value, None, n, ALL_ALIKE if ends else _FEW_DRAWS)
    return Estimate(value, (ends[0], ends[1]), n, f"bootstrap over {number} clusters")
