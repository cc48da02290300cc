"""95 % intervals of a share of hits: Wilson's for independent trials, a bootstrap over clusters for neighbouring tiles.

Tiles of one place look alike, so a model that knows one tends to know its neighbours, and an interval that takes them
for independent trials is too narrow. Where at least `MIN_CLUSTERS` clusters (geographic blocks, or families of tiles
that share ground) were measured, the interval therefore comes from resampling whole clusters; with fewer, or when
every trial came out the same, it is Wilson's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from knowlip.base.statistics import wilson
from knowlip.tasks.metrics.resampled import cluster_weights, interval

MIN_CLUSTERS: Final = 8
NO_INTERVAL: Final = f"Fewer than {MIN_CLUSTERS} clusters were measured: no interval."
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
    ci: tuple[float, float] | None
    n: int
    method: str = ""
    """How the interval was had."""

    @property
    def ends(self) -> list[float] | None:
        """The interval as JSON holds it."""
        return None if self.ci is None else list(self.ci)


def proportion(hits: Sequence[bool] | np.ndarray, clusters: Sequence[str] | np.ndarray | None = None) -> Estimate:
    """Share of hits with its interval.

    Args:
        hits: one truth value a trial, at least one.
        clusters: the cluster of each trial, where known.
    """
    values = np.asarray(hits, dtype=float)
    if not len(values):
        raise ValueError("A share needs at least one trial.")
    count = int(values.sum())
    share, number = float(values.mean()), len(set(clusters)) if clusters is not None else 0
    if clusters is None or number < MIN_CLUSTERS or count in (0, len(values)):
        return Estimate(share, wilson(count, len(values)), len(values), "Wilson")
    return Estimate(share, cluster_bootstrap(values, clusters), len(values), f"bootstrap over {number} clusters")


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
        return Estimate(value, None, n)
    weights, means, start = cluster_weights(of, replicates=_REPLICATES), [], 0
    for one in values:
        part = weights[:, start : start + len(one)]
        means.append(np.divide(part @ one, part.sum(1), out=np.full(len(part), np.nan), where=part.sum(1) > 0))
        start += len(one)
    # A replicate may hold no trial of a small group: the mean is then that of the others.
    ends = interval(np.nanmean(means, axis=0))
    return Estimate(value, (ends[0], ends[1]) if ends else None, n, f"bootstrap over {number} clusters")


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
    ends = interval(np.array([figure(times) for times in cluster_weights(clusters)]))
    return Estimate(value, (ends[0], ends[1]) if ends else None, n, f"bootstrap over {number} clusters")
