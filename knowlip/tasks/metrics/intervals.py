"""95 % intervals of a share of hits: Wilson's for independent trials, a bootstrap over clusters for neighbouring tiles.

Tiles of one place look alike, so a model that knows one tends to know its neighbours, and an interval that takes them
for independent trials is too narrow. Where at least `MIN_CLUSTERS` clusters (geographic blocks, or families of tiles
that share ground) were measured, the interval therefore comes from resampling whole clusters; with fewer, or when
every trial came out the same, it is Wilson's.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from knowlip.base.statistics import wilson

MIN_CLUSTERS: Final = 8
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


def proportion(hits: Sequence[bool] | np.ndarray, clusters: Sequence[str] | np.ndarray | None = None) -> dict[str, Any]:
    """Share of hits with its interval: `{"value", "n", "ci": [low, high], "ci_method"}`.

    Args:
        hits: one truth value a trial, at least one.
        clusters: the cluster of each trial, where known.
    """
    values = np.asarray(hits, dtype=float)
    if not len(values):
        raise ValueError("A share needs at least one trial.")
    count = int(values.sum())
    number = len(set(clusters)) if clusters is not None else 0
    if clusters is not None and number >= MIN_CLUSTERS and 0 < count < len(values):
        ci, method = cluster_bootstrap(values, clusters), f"bootstrap over {number} clusters"
    else:
        ci, method = wilson(count, len(values)), "Wilson"
    return {"value": float(values.mean()), "n": len(values), "ci": list(ci), "ci_method": method}
