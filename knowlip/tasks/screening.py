"""SCIO against truth: did screening find the sub-texts that really are wrong, and did rewriting make texts truer?"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from knowlip.base.vocabulary import DISTRUSTED, Decision
from knowlip.language.definitions import TileTruth
from knowlip.tasks.caption import Judge
from knowlip.tasks.metrics import auroc, grouped_auroc, precision_recall, proportion
from knowlip.tasks.metrics.error_detection import NATURAL, accuracy_change, detection

_EVIDENCE = ("delta_itc", "delta_itm", "noise", "nll", "gap", "max_nll")
FLAGS = (Decision.SCREENED, Decision.REWRITTEN, Decision.REJECTED)
"""Decisions that say "this sub-text was held to be noise" (`rejected`: its rewriting was not accepted)."""


def verdicts(
    texts: pd.DataFrame, truths: Mapping[str, TileTruth], windows: Mapping[str, float], judge: Judge
) -> np.ndarray:
    """Truth of each row: (N,) objects True, False, or None where nothing can be verified.

    Args:
        texts: columns tile_id, instruction_set, dimension, text.
        truths: tile_id -> truth; tiles without one are None.
        windows: tile_id -> side of the tile in metres.
        judge: see :func:`knowlip.language.truth.judge`.
    """
    result = np.empty(len(texts), dtype=object)
    columns = (texts[name] for name in ("tile_id", "instruction_set", "dimension", "text"))
    for i, (tile_id, instruction_set, dimension, text) in enumerate(zip(*columns)):
        truth = truths.get(tile_id)
        result[i] = None if truth is None else judge(instruction_set, dimension, text, truth, windows[tile_id])
    return result


def screening(
    original: pd.DataFrame,
    decisions: pd.DataFrame,
    truths: Mapping[str, TileTruth],
    windows: Mapping[str, float],
    judge: Judge,
    roots: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Score the first decision about each sub-text, the only one that surely looked at the original text.

    Args:
        original: revision 0 (tile_id, slot, instruction_set, dimension, text).
        decisions: rows of revisions >= 1 (tile_id, slot, revision, decision, delta_itc, delta_itm, and where the
            revision has them noise, nll, gap, max_nll).
        truths: tile_id -> truth.
        windows: tile_id -> side in metres.
        judge: the verdict on one sub-text.
        roots: tile_id -> root tile; with it each kind of evidence is scored with intervals over roots.

    Returns:
        Precision, recall, base rate and the like over verifiable sub-texts, with `auroc` of the noise score (where a
        revision has none: the smaller of -delta_itc and delta_itm, each in units of its dimension's median size, since
        the paper asks for both; the higher, the more noise), `auroc_itc`, `auroc_itm` (where each sub-text has both
        differences), `auroc_within_dimension`,
        `per_dimension`, and with `roots` `evidence` (see :func:`detection`). Values are None with a `reason` where they
        cannot be had.
    """
    nothing = {"precision": None, "recall": None, "auroc": None, "base_rate": None, "n": 0}
    if decisions.empty:
        return nothing | {"reason": "No revision after 0: SCIO has not decided about any sub-text."}
    if not truths:
        return nothing | {"reason": "The data set has no truth, so no decision can be scored."}
    first = decisions.sort_values("revision", kind="stable").drop_duplicates(["tile_id", "slot"], keep="first")
    later = decisions[decisions["decision"].isin(FLAGS)][["tile_id", "slot"]].drop_duplicates().assign(ever=True)
    columns = ["tile_id", "slot", "decision", *(name for name in _EVIDENCE if name in first)]
    bare = original.drop(columns=[name for name in _EVIDENCE if name in original and name not in first])
    rows = bare.merge(first[columns], on=["tile_id", "slot"], suffixes=("_0", "")).merge(
        later, on=["tile_id", "slot"], how="left"
    )
    true = verdicts(rows, truths, windows, judge)
    rows = rows.assign(true=true)[pd.notna(true)]
    if rows.empty:
        return nothing | {"reason": "None of the sub-texts SCIO decided about makes a claim that truth can verify."}
    wrong = ~rows["true"].to_numpy(dtype=bool)
    flagged = rows["decision"].isin(FLAGS).to_numpy()
    evidence_itc = -rows["delta_itc"].to_numpy(dtype=float)
    evidence_itm = rows["delta_itm"].to_numpy(dtype=float)
    group = (rows["instruction_set"] + " " + rows["dimension"]).to_numpy(dtype=str)
    both = np.isfinite(evidence_itc).all() and np.isfinite(evidence_itm).all()
    scores = {"noise score": rows["noise"].to_numpy(dtype=float)} if "noise" in rows else {}
    if both:
        deltas = np.minimum(_in_scales(evidence_itc, group), _in_scales(evidence_itm, group))
        scores |= {"deltas": deltas, "itc": evidence_itc, "itm": evidence_itm}
    scores |= {name: rows[name].to_numpy(dtype=float) for name in ("nll", "gap", "max_nll") if name in rows}
    scores = {name: values for name, values in scores.items() if np.isfinite(values).all()}
    if not {"noise score", "deltas"} & scores.keys():
        raise ValueError("A revision holds decisions without a noise score whose delta_itc or delta_itm is no number.")
    score = scores.get("noise score", scores.get("deltas"))
    assert score is not None
    result = precision_recall(flagged, wrong)
    result |= {
        "auroc": auroc(score, wrong),
        **({"auroc_itc": auroc(evidence_itc, wrong), "auroc_itm": auroc(evidence_itm, wrong)} if both else {}),
        "auroc_within_dimension": grouped_auroc(score, wrong, group),
        "recall_ever": float(rows["ever"].eq(True).to_numpy()[wrong].mean()) if wrong.any() else None,
        "decided": len(first),
        "per_dimension": {},
    }
    if roots is not None and wrong.any() and not wrong.all():
        clusters = rows["tile_id"].map(roots).to_numpy(dtype=str)
        result["evidence"] = detection(scores, wrong, np.full(len(wrong), NATURAL), group, clusters)["evidence"]
    for name in sorted(set(group)):
        at = group == name
        part = precision_recall(flagged[at], wrong[at])
        result["per_dimension"][name] = {
            key: part[key] for key in ("precision", "recall", "base_rate", "flag_rate", "n")
        }
        result["per_dimension"][name]["auroc"] = auroc(score[at], wrong[at])
        if wrong[at].all() or not wrong[at].any():
            every = "Every" if wrong[at].all() else "No"
            result["per_dimension"][name]["reason"] = f"{every} sub-text of this dimension is wrong."
        elif not flagged[at].any():
            result["per_dimension"][name]["reason"] = "No sub-text of this dimension was flagged."
    return result


def text_accuracy(
    original: pd.DataFrame,
    latest: pd.DataFrame,
    truths: Mapping[str, TileTruth],
    windows: Mapping[str, float],
    judge: Judge,
    clusters: Mapping[str, str],
) -> dict[str, Any]:
    """Share of verifiable sub-texts that are true, in revision 0 and in the latest revision.

    Args:
        original: revision 0 of the tiles to look at (those SCIO decided about).
        latest: the latest revision of the same (tile, slot) rows.
        truths: tile_id -> truth.
        windows: tile_id -> side in metres.
        judge: the verdict on one sub-text.
        clusters: tile_id -> cluster, for the intervals.

    Returns:
        `before`, `after` (each over its own verifiable rows, with `before_ci`, `after_ci`, `n_before`, `n_after`);
        `after_without_screened`: leaving out the sub-texts that stand screened or rejected, which is what the text loss
        trains on; `rewritten`: how many, and how many turned from wrong to right (`mended`), from right
        to wrong (`spoiled`), and from verifiable to not (`blurred`);
        `per_dimension`: before and after of each with intervals, and their `difference` over the sub-texts that can be
        verified both times; `falls`: dimensions whose difference lies below 0 with its whole interval.
    """
    if not truths:
        return {"before": None, "after": None, "reason": "The data set has no truth."}
    columns = ["tile_id", "slot"]
    both = original.merge(latest, on=columns, suffixes=("", "_late"), validate="one_to_one")
    if both.empty:
        return {"before": None, "after": None, "reason": "There are no texts to judge."}
    before = verdicts(both, truths, windows, judge)
    late = both[["tile_id"]].assign(
        instruction_set=both["instruction_set_late"], dimension=both["dimension_late"], text=both["text_late"]
    )
    changed = (both["text"] != both["text_late"]).to_numpy()
    after = before.copy()
    if changed.any():
        after[changed] = verdicts(late[changed], truths, windows, judge)
    cluster = both["tile_id"].map(clusters).to_numpy(dtype=str)
    result: dict[str, Any] = {}
    for name, values in (("before", before), ("after", after)):
        known = pd.notna(values)
        if not known.any():
            return {"before": None, "after": None, "reason": "No sub-text makes a claim that truth can verify."}
        share = proportion(values[known].astype(bool), cluster[known])
        result |= {
            name: share.value,
            f"{name}_ci": list(share.ci or ()),
            f"n_{name}": share.n,
            "ci_method": share.method,
        }
    trusted = pd.notna(after) & ~both["decision_late"].isin(DISTRUSTED).to_numpy()
    result["after_without_screened"] = float(after[trusted].astype(bool).mean()) if trusted.any() else None
    if not trusted.any():
        result["reason"] = "Every sub-text that truth can verify stands screened or rejected."
    result["n_without_screened"] = int(trusted.sum())
    result["rewritten"] = {
        "n": int(changed.sum()),
        "mended": int(((before == False) & (after == True) & changed).sum()),  # noqa: E712 (objects, None among them)
        "spoiled": int(((before == True) & (after == False) & changed).sum()),  # noqa: E712
        "blurred": int((pd.notna(before) & pd.isna(after) & changed).sum()),
    }
    group = (both["instruction_set"] + " " + both["dimension"]).to_numpy(dtype=str)
    change = accuracy_change(before, after, group, cluster)
    result["per_dimension"] = {
        name: {
            "before": row["before"]["value"],
            "before_ci": row["before"]["ci"],
            "after": row["after"]["value"],
            "after_ci": row["after"]["ci"],
            "difference": row["difference"]["value"],
            "difference_ci": row["difference"]["ci"],
            "n": int(pd.notna(before[group == name]).sum()),
        }
        for name, row in change["per_dimension"].items()
    }
    result["falls"] = change["falls"]
    return result


def _in_scales(evidence: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Evidence divided by the median size it has in its group (instruction set and dimension)."""
    result = evidence.copy()
    floor = max(1e-12, 0.05 * float(np.median(np.abs(evidence))))
    for group in np.unique(groups):
        at = groups == group
        result[at] /= max(floor, float(np.median(np.abs(evidence[at]))))
    return result
