"""Scores of a detector of wrong texts: precision, recall, F1, and the area under the ROC curve."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from knowlip.base.statistics import auroc
from knowlip.tasks.metrics.intervals import wilson


def precision_recall(flagged: np.ndarray, wrong: np.ndarray) -> dict[str, Any]:
    """Precision and recall of flags beside the base rate, which is the precision of flagging at random.

    Args:
        flagged: (N,) bool, what the detector flagged.
        wrong: (N,) bool, what really is wrong.

    Returns:
        `precision` (None when nothing was flagged), `recall` (None when nothing is wrong), `f1`, `base_rate`,
        `flag_rate`, `n`, and Wilson intervals `precision_ci`, `recall_ci`.
    """
    flagged, wrong = np.asarray(flagged, dtype=bool), np.asarray(wrong, dtype=bool)
    if not len(flagged):
        raise ValueError("Precision and recall need at least one decision.")
    hits, flags, wrongs = int((flagged & wrong).sum()), int(flagged.sum()), int(wrong.sum())
    return {
        "precision": hits / flags if flags else None,
        "precision_ci": list(wilson(hits, flags)) if flags else None,
        "recall": hits / wrongs if wrongs else None,
        "recall_ci": list(wilson(hits, wrongs)) if wrongs else None,
        "f1": 2 * hits / (flags + wrongs) if flags + wrongs else None,
        "base_rate": float(wrong.mean()),
        "flag_rate": float(flagged.mean()),
        "n": len(flagged),
        "n_flagged": flags,
        "n_wrong": wrongs,
    }


def grouped_auroc(score: np.ndarray, wrong: np.ndarray, groups: Sequence[str] | np.ndarray) -> float | None:
    """Mean AUROC within groups, weighted by their pairs of right and wrong items.

    It cannot be raised by knowing which group errs more often, only by telling wrong from right inside a group.
    """
    total, weight = 0.0, 0.0
    groups = np.asarray(groups)
    for group in np.unique(groups):
        chosen = groups == group
        value = auroc(score[chosen], wrong[chosen])
        if value is not None:
            pairs = float(wrong[chosen].sum()) * float((~wrong[chosen]).sum())
            total, weight = total + pairs * value, weight + pairs
    return total / weight if weight else None
