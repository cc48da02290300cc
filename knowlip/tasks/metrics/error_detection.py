"""How well evidence finds wrong sub-texts: by kind of error and by dimension, one kind of evidence beside another."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from knowlip.base.statistics import auroc
from knowlip.tasks.metrics.resampled import (
    cluster_weights,
    interval,
    weighted_auroc,
    weighted_auroc_within,
    weighted_precision,
    with_interval,
)

NATURAL: Final = "natural"
"""Kind of an error that nobody injected."""
_TOP: Final = 0.05
_LOOKED_AT: Final = 0.01


def detection(
    scores: Mapping[str, np.ndarray],
    wrong: np.ndarray,
    kinds: Sequence[str] | np.ndarray,
    groups: Sequence[str] | np.ndarray,
    clusters: Sequence[str] | np.ndarray,
    baseline: str = "deltas",
    thresholds: Mapping[str, float] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Score several kinds of evidence on the same sub-texts.

    Args:
        scores: name of the evidence -> (N,) noise score, the higher, the more suspect.
        wrong: (N,) bool, what really is wrong.
        kinds: (N,) kind of each wrong item ("swap", "count", ..., "natural"); of right items it is not read.
        groups: (N,) instruction set and dimension.
        clusters: (N,) root tile, for the intervals.
        baseline: the evidence from which differences are taken, where it is there.
        thresholds: name -> threshold, where a decision is to be scored as well.
        seed: of the resampling.

    Returns:
        `n`, `n_wrong`, `base_rate`, `roots`, and `evidence`: name -> `auroc`, `auroc_within_dimension`,
        `minus_baseline` and `minus_baseline_within_dimension` (differences of these, same draws), `precision_top_1`
        and `precision_top_5` (of the 1 % and 5 % most suspect), `per_kind` and `per_dimension` (right items are those
        of the same dimensions), and with a threshold `precision`, `recall`, `flag_rate`. Each figure is
        `{"value", "ci"}`.
    """
    # All evidence is scored on the same draws of roots, so that a difference has an interval of its own, far narrower.
    wrong, kinds, groups = np.asarray(wrong, bool), np.asarray(kinds), np.asarray(groups)
    if not len(wrong) or wrong.all() or not wrong.any():
        raise ValueError("Evidence can only be scored on sub-texts of which some are right and some are wrong.")
    for name, score in scores.items():
        if len(score) != len(wrong) or not np.isfinite(score).all():
            raise ValueError(f"The evidence {name!r} must be one finite number for each of {len(wrong)} sub-texts.")
    all_draws = _draws(clusters, seed)
    pooled = {name: weighted_auroc(score, wrong, all_draws) for name, score in scores.items()}
    within = {name: weighted_auroc_within(score, wrong, groups, all_draws) for name, score in scores.items()}
    found: dict[str, Any] = {
        "n": len(wrong),
        "n_wrong": int(wrong.sum()),
        "base_rate": float(wrong.mean()),
        "roots": len(np.unique(np.asarray(clusters))),
        "evidence": {},
    }
    for name, score in scores.items():
        row: dict[str, Any] = {"auroc": _figure(pooled[name]), "auroc_within_dimension": _figure(within[name])}
        if baseline in scores and name != baseline:
            row["minus_baseline"] = _figure(pooled[name] - pooled[baseline])
            row["minus_baseline_within_dimension"] = _figure(within[name] - within[baseline])
        for share in (_LOOKED_AT, _TOP):
            most = np.zeros(len(wrong), bool)
            most[np.argsort(-score, kind="stable")[: max(1, round(share * len(wrong)))]] = True
            row[f"precision_top_{share:.0%}".replace("%", "")] = _figure(weighted_precision(most, wrong, all_draws))
        row["per_kind"] = {}
        for kind in np.unique(kinds[wrong]):
            of_kind = wrong & (kinds == kind)
            at = np.isin(groups, groups[of_kind]) & (~wrong | of_kind)
            row["per_kind"][str(kind)] = _part(score, wrong, at, all_draws)
        row["per_dimension"] = {
            str(group): _part(score, wrong, groups == group, all_draws) for group in np.unique(groups)
        }
        if thresholds is not None and name in thresholds:
            row |= _decisions(score > thresholds[name], wrong, kinds, all_draws)
            row["threshold"] = float(thresholds[name])
        found["evidence"][name] = row
    return found


def _draws(clusters: Sequence[str] | np.ndarray, seed: int = 0) -> np.ndarray:
    """Weights of the data itself, then of the replicates; without these, and so without intervals, for one cluster."""
    once = np.ones((1, len(clusters)), np.float32)
    return once if len(np.unique(clusters)) < 2 else np.concatenate([once, cluster_weights(clusters, seed=seed)])


def _figure(draws: np.ndarray) -> dict[str, Any]:
    """Value (first draw) and interval (the others)."""
    return with_interval(float(draws[0]), draws[1:])


def _part(score: np.ndarray, wrong: np.ndarray, at: np.ndarray, draws: np.ndarray) -> dict[str, Any]:
    """AUROC over some of the items."""
    count = int(wrong[at].sum())
    if not count or count == int(at.sum()):
        reason = "Every one of them is wrong." if count else "None of them is wrong."
        return {"value": None, "ci": None, "n": int(at.sum()), "n_wrong": count, "reason": reason}
    return {**_figure(weighted_auroc(score[at], wrong[at], draws[:, at])), "n": int(at.sum()), "n_wrong": count}


def _decisions(flagged: np.ndarray, wrong: np.ndarray, kinds: np.ndarray, draws: np.ndarray) -> dict[str, Any]:
    """Precision and recall of flags, recall of each kind of error too."""
    recall = {"recall": _figure(weighted_precision(wrong, flagged, draws))}
    by_kind = {
        str(kind): _figure(weighted_precision(wrong & (kinds == kind), flagged, draws))
        for kind in np.unique(kinds[wrong])
    }
    precision = _figure(weighted_precision(flagged, wrong, draws))
    return {"precision": precision, **recall, "recall_per_kind": by_kind, "flag_rate": float(flagged.mean())}


def accuracy_change(
    before: np.ndarray, after: np.ndarray, groups: Sequence[str] | np.ndarray, clusters: Sequence[str] | np.ndarray
) -> dict[str, Any]:
    """Share of true sub-texts in each dimension before and after, and whether it fell.

    Args:
        before: (N,) objects True, False or None (cannot be verified) of the same sub-texts before.
        after: (N,) the same after.
        groups: (N,) instruction set and dimension.
        clusters: (N,) root tile, for the intervals.

    Returns:
        `per_dimension`: group -> `before`, `after` (`{"value", "ci"}`, each over its own verifiable sub-texts),
        `difference` (over those that can be verified both times, same draws), `n`; `falls`: groups whose difference
        lies below 0 with its whole interval; `overall`: the same for all groups together.
    """
    groups = np.asarray(groups)
    draws = _draws(clusters)
    rows = {str(group): _change(before, after, groups == group, draws) for group in np.unique(groups)}
    falls = [
        group
        for group, row in rows.items()
        if row["difference"]["value"] is not None
        and row["difference"]["value"] < 0
        and (row["difference"]["ci"] is None or row["difference"]["ci"][1] < 0)
    ]
    return {"overall": _change(before, after, np.ones(len(groups), bool), draws), "per_dimension": rows, "falls": falls}


def _change(before: np.ndarray, after: np.ndarray, at: np.ndarray, draws: np.ndarray) -> dict[str, Any]:
    known_before, known_after = _known(before) & at, _known(after) & at
    both = known_before & known_after
    true_before, true_after = before == True, after == True  # noqa: E712 (objects, None among them)
    difference = weighted_precision(both, true_after, draws) - weighted_precision(both, true_before, draws)
    return {
        "before": _figure(weighted_precision(known_before, true_before, draws)),
        "after": _figure(weighted_precision(known_after, true_after, draws)),
        "difference": {"value": _figure(difference)["value"], "ci": interval(difference[1:])},
        "n": int(both.sum()),
    }


def _known(values: np.ndarray) -> np.ndarray:
    return np.array([value is not None for value in values], bool)


def auroc_of_dimension(wrong: np.ndarray, groups: np.ndarray, clusters: np.ndarray) -> float | None:
    """AUROC of knowing a sub-text's dimension alone: its score is the dimension's error rate in the other half of the
    roots, so that no sub-text tells about itself."""
    half = np.unique(clusters, return_inverse=True)[1] % 2
    score = np.full(len(wrong), float(wrong.mean()))
    for group in np.unique(groups):
        for side in (0, 1):
            here, there = ((groups == group) & (half == part) for part in (side, 1 - side))
            if there.any():
                score[here] = wrong[there].mean()
    return auroc(score, wrong)
