"""Figures of the ablation: mean of each arm and type over seeds with intervals, beside the rows of the paper."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from scipy.stats import t as student

from knowlip.language.questions import QUESTION_TYPES
from knowlip.tasks.metrics import proportion
from knowlip.tasks.metrics.resampled import cluster_weights, interval


class Arm(NamedTuple):
    """One row of the ablation."""

    what: str
    paper: str
    """Name of the row in Table 8 of arXiv 2509.23927."""
    paper_accuracy: tuple[float, ...]
    """Its six accuracies in percent, in the order of `QUESTION_TYPES`."""
    stages: int
    """How many SCIO stages the arm has."""


ARMS: Final = {
    "templates": Arm("template texts", "SARLANG", (71.12, 86.24, 92.24, 94.54, 83.61, 78.96), 1),
    "annotator": Arm("annotator's texts", "GEOVL", (92.83, 93.86, 93.68, 96.17, 86.34, 85.52), 1),
    "screened": Arm("+ screening", "+ screen", (97.18, 95.80, 94.61, 98.36, 87.43, 88.39), 2),
    "reconstructed": Arm("+ reconstruction", "+ refine", (98.70, 96.43, 97.89, 99.45, 89.07, 93.58), 3),
}
ALL: Final = "mean"
"""Key of the mean of the types."""


def summary(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Put the results of single trainings together.

    Args:
        results: arm -> one result a seed, with `right` and `clusters` (type -> one entry a question), `floors` and
            `texts`.

    Returns:
        `arms`: arm -> type (and "mean") -> `accuracy` (mean over seeds), `ci_seeds` (Student's t over seeds: chance of
        training; None for one seed), `ci_places` (bootstrap over places: choice of test tiles), `seeds`, `n`, `paper`.
        `differences`: arm -> type -> the same minus the row above, seed by seed, on the same questions, with
        both intervals. `texts`: arm -> share of true sub-texts before and after. `floors`: type -> the highest
        accuracy without looking, and its name.
    """
    # Arms in the paper's order: each is compared with the one above it, which it adds a single step to.
    found: dict[str, Any] = {"arms": {}, "differences": {}, "texts": {}, "floors": {}}
    previous: str | None = None
    above: dict[str, list[float]] = {}
    for arm in (arm for arm in ARMS if arm in results):
        rows = results[arm]
        by_type = _by_type(rows)
        found["arms"][arm] = {}
        for kind, values in by_type.items():
            found["arms"][arm][kind] = {
                "accuracy": float(np.mean(values)),
                "ci_seeds": _interval(values),
                "ci_places": _places(rows, kind),
                "seeds": values,
                "n": sum(len(rows[0]["right"][name]) for name in _types(kind, rows)),
                "paper": _paper(arm, kind),
            }
        found["texts"][arm] = [row["texts"] for row in rows]
        if previous is not None:
            found["differences"][arm] = {
                kind: _difference(values, above[kind])
                | {"than": previous, "ci_places": _paired(rows, results[previous], kind)}
                for kind, values in by_type.items()
                if kind in above
            }
        previous, above = arm, by_type
        found["floors"] |= rows[0].get("floors", {})
    return found


def _types(kind: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [name for name in QUESTION_TYPES if name in rows[0]["right"] and kind in (name, ALL)]


def _by_type(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Type -> accuracy of each seed, and the mean of the types."""
    values = {kind: [float(np.mean(row["right"][kind])) for row in rows] for kind in _types(ALL, rows)}
    return values | {ALL: [float(np.mean(seed)) for seed in zip(*values.values())]}


def _interval(values: Sequence[float]) -> list[float] | None:
    """95 % interval of the mean of independent values (Student's t)."""
    if len(values) < 2:
        return None
    half = float(student.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return [float(np.mean(values)) - half, float(np.mean(values)) + half]


def _places(rows: Sequence[Mapping[str, Any]], kind: str) -> list[float] | None:
    """Interval over test places of the mean over seeds; not for the mean of the types, whose questions differ."""
    if kind == ALL:
        return None
    hits = np.concatenate([row["right"][kind] for row in rows])
    ci = proportion(hits, np.concatenate([row["clusters"][kind] for row in rows])).ci
    return list(ci) if ci else None


def _difference(values: Sequence[float], above: Sequence[float]) -> dict[str, Any]:
    each = [a - b for a, b in zip(values, above)]
    return {"difference": float(np.mean(each)), "ci_seeds": _interval(each), "seeds": each}


def _paired(rows: Sequence[Mapping[str, Any]], above: Sequence[Mapping[str, Any]], kind: str) -> list[float] | None:
    """Interval over test places of the difference of two arms that answered the same questions."""
    if kind == ALL:
        return None
    each, other = (np.mean([row["right"][kind] for row in arm], 0) for arm in (rows, above))
    clusters = rows[0]["clusters"][kind]
    if len(set(clusters)) < 2 or len(each) != len(other):
        return None
    weights = cluster_weights(clusters)
    return interval(weights @ (each - other) / np.maximum(weights.sum(1), 1))


def _paper(arm: str, kind: str) -> float:
    row = ARMS[arm].paper_accuracy
    return float(np.mean(row)) if kind == ALL else row[QUESTION_TYPES.index(kind)]


def print_arms(found: Mapping[str, Any]) -> str:
    """A table in percent: ours with half the interval over seeds, then the paper's row."""
    kinds = [kind for kind in (*QUESTION_TYPES, ALL) if any(kind in row for row in found["arms"].values())]
    lines = [f"{'':24}" + "".join(f"{_short(kind):>20}" for kind in kinds) + f"{'true texts':>13}"]
    for arm, row in found["arms"].items():
        cells = "".join(f"{_cell(row[kind]) if kind in row else '-':>20}" for kind in kinds)
        true = [texts["after"] for texts in found["texts"][arm] if texts.get("after") is not None]
        lines.append(f"{ARMS[arm].what:24}{cells}{f'{100 * np.mean(true):.1f}' if true else '-':>13}")
        lines.append(f"{f'  paper: {ARMS[arm].paper}':24}" + "".join(f"{_paper(arm, kind):>20.2f}" for kind in kinds))
    floors = [found["floors"].get(kind, [None])[0] for kind in kinds]
    lines.append(f"{'  never looking':24}" + "".join(f"{'-' if f is None else f'{100 * f:.1f}':>20}" for f in floors))
    for arm, row in found["differences"].items():
        cells = "".join(f"{_signed(row[kind]) if kind in row else '-':>20}" for kind in kinds)
        than = next(iter(row.values()))["than"]
        lines.append(f"{f'{arm} - {than}'[:23]:24}{cells}")
    lines.append(
        f"Percent, mean of {found['seeds']} seed(s) and 95 % interval over seeds (t); with one seed over test places. "
        "The paper's rows are other images and a larger model: compare the order, not the level."
    )
    return "\n".join(lines)


def _short(kind: str) -> str:
    return kind.replace("_landforms", " landf.").replace("_landform", " landf.")


def _cell(value: Mapping[str, Any]) -> str:
    ci = value["ci_seeds"] or value["ci_places"]
    return f"{100 * value['accuracy']:.1f}" + (f" [{100 * ci[0]:.1f}, {100 * ci[1]:.1f}]" if ci else "")


def _signed(value: Mapping[str, Any]) -> str:
    ci = value["ci_seeds"] or value["ci_places"]
    return f"{100 * value['difference']:+.1f}" + (f" [{100 * ci[0]:+.1f}, {100 * ci[1]:+.1f}]" if ci else "")
