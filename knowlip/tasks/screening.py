"""SCIO against truth: did screening find the sub-texts that really are wrong, and did rewriting make texts truer?"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from knowlip.base.rows import Row, Unit
from knowlip.base.vocabulary import DISTRUSTED, Decision
from knowlip.dataset import Dataset
from knowlip.dataset.texts import ancestry
from knowlip.language.definitions import TileTruth
from knowlip.language.truth import judge as judge_claim
from knowlip.models.encoders import Encoder
from knowlip.models.encoders.knowlip import KnowLIPEncoder
from knowlip.tasks.bench import Bench, Measured
from knowlip.tasks.caption import Judge
from knowlip.tasks.evidence import BLIND, TOGETHER, unseen_evidence
from knowlip.tasks.metrics import Estimate, auroc, grouped_auroc, precision_recall, proportion
from knowlip.tasks.metrics.error_detection import (
    NATURAL,
    accuracy_change,
    auroc_of_dimension,
    detection,
)
from knowlip.tasks.verdicts import verdicts

_MORE = ("nll", "gap", "max_nll", "blind", "turned", "speckled", "neighbours", "claims")
_EVIDENCE = ("delta_itc", "delta_itm", "noise", *_MORE)
UNSEEN = "AUROC on unseen texts"
FLAGS = (Decision.SCREENED, Decision.REWRITTEN, Decision.REJECTED)
"""Decisions that say "this sub-text was held to be noise" (`rejected`: its rewriting was not accepted)."""


def measure(bench: Bench, encoder: Encoder) -> Measured:
    """The decisions that led to the model's texts, and these texts, against truth; and what its evidence finds on the
    tiles to measure, which it never saw."""
    # Decisions are scored where they were made, on texts of training; evidence on tiles that no training saw.
    card = encoder.card
    unseen = unseen_evidence(bench, encoder.model) if isinstance(encoder, KnowLIPEncoder) else {}
    rows = _unseen_rows(bench, encoder, unseen)
    if card.dataset_fingerprint != bench.data.fingerprint:
        note = "It was not taught by the texts of this data set."
        return Measured(
            (bench.row("screening", encoder.name, "precision", None, note=note), *rows), (), {"unseen": unseen}
        )
    found, texts = score_texts(bench.data, card.revision, bench.truths, bench.windows, bench.clusters)
    evidence = found.get("evidence", {})
    if auroc_ci := evidence.get("noise score", evidence.get("deltas", {})).get("auroc", {}).get("ci"):
        found["auroc_ci"] = auroc_ci
    before = {"before": texts["before"]}
    figures = (
        (found, "precision", "precision", "n_flagged", {"base rate": found["base_rate"]}),
        (found, "recall", "recall", "n_wrong", {"share flagged": found.get("flag_rate")}),
        (found, "AUROC", "auroc", "n", {"chance": 0.5, "dimension alone": found.get("auroc_of_dimension")}),
        (texts, "true sub-texts", "after", "n_after", before),
        (texts, "true sub-texts among those trained on", "after_without_screened", "n_without_screened", before),
    )
    told: list[Row] = []
    for part, metric, key, n, floors in figures:
        value, ci = part.get(key), part.get(f"{key}_ci")
        figure = None if value is None else Estimate(value, (ci[0], ci[1]) if ci else None, part[n])
        note = part.get("reason", "Nothing was flagged, or nothing of it is wrong.") if value is None else ""
        unit: Unit = "number" if key == "auroc" else "share"
        told.append(bench.row("screening", encoder.name, metric, figure, floors, note, unit))
    return Measured((*told, *rows), details={"decisions": found, "texts": texts, "unseen": unseen})


def _unseen_rows(bench: Bench, encoder: Encoder, unseen: Mapping[str, Any]) -> list[Row]:
    """AUROC of natural errors in unseen texts, by all evidence and by some of it, beside what does not look."""
    if "natural" not in unseen:
        note = str(unseen.get("reason", ""))
        return [bench.row("screening", encoder.name, UNSEEN, None, note=note, unit="number")] if note else []
    figures, n = unseen["natural"]["evidence"], unseen["natural"]["n"]
    rate, neighbours = unseen["auroc_dimension_rate"], (unseen["auroc_neighbours"] or {}).get("value")
    rows = []
    for name, metric in ((TOGETHER, UNSEEN), ("nll", f"{UNSEEN}, nll alone"), ("gain", f"{UNSEEN}, gain alone")):
        value, ci = figures[name]["auroc"]["value"], figures[name]["auroc"]["ci"]
        floors = {
            "chance": 0.5,
            "other image": figures[name + BLIND]["auroc"]["value"],
            "dimension alone": rate,
            "claims of relatives": neighbours,
        }
        figure = Estimate(value, (ci[0], ci[1]) if ci else None, n)
        rows.append(bench.row("screening", encoder.name, metric, figure, floors, unit="number"))
    return rows


def score_texts(
    data: Dataset,
    newest: int | None,
    truths: Mapping[str, Any],
    windows: Mapping[str, float],
    clusters: Mapping[str, str],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Score the decisions on the line of revisions that ends with `newest` (None: the newest there is), and its texts:
    results of :func:`screening` and :func:`text_accuracy`."""
    original, latest = data.texts(0), data.texts(newest)
    # Other words for the same are no decision about it.
    tables = (table.to_pandas() for _, table in ancestry(data.path, newest)[1:])
    decided = [rows[rows["decision"] != Decision.PARAPHRASED] for rows in tables]
    decisions = pd.concat(decided, ignore_index=True) if decided else latest.iloc[:0]
    # Without decisions the texts of the training tiles are judged: "before" and "after" are then the same.
    looked_at = set(decisions["tile_id"]) or set(data.tiles("train")["tile_id"])
    before, after = (rows[rows["tile_id"].isin(looked_at)] for rows in (original, latest))
    accuracy = text_accuracy(before, after, truths, windows, judge_claim, clusters)
    accuracy["tiles"] = len(set(before["tile_id"]))
    accuracy["passes"] = []
    for rows in decided:
        if len(rows):
            texts = data.texts(int(rows["revision"].iloc[0]))
            then = texts[texts["tile_id"].isin(looked_at)]
            step = text_accuracy(before, then, truths, windows, judge_claim, clusters)
            kept = ("after", "after_ci", "after_without_screened", "rewritten", "falls", "reason")
            accuracy["passes"].append(
                {"revision": int(rows["revision"].iloc[0]), "run": str(rows["run"].iloc[0])}
                | {name: step[name] for name in kept if name in step}
            )
    tiles = data.tiles()
    roots = dict(zip(tiles["tile_id"], tiles["root_id"].astype(str)))
    return screening(original, decisions, truths, windows, judge_claim, roots), accuracy


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
    # Only the first decision about a sub-text is scored: later ones look at words that SCIO itself has written.
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
    scores |= {name: rows[name].to_numpy(dtype=float) for name in _MORE if name in rows}
    if {"nll", "blind"} <= scores.keys():
        scores["gain"] = scores["nll"] - scores["blind"]
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
        result["auroc_of_dimension"] = auroc_of_dimension(wrong, group, clusters)
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
        trains on; `rewritten`: how many, and how many turned from wrong to right (`corrected`), from right
        to wrong (`broken`), and from verifiable to not (`unverifiable`);
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
    kept = proportion(after[trusted].astype(bool), cluster[trusted]) if trusted.any() else None
    result["after_without_screened"] = kept.value if kept else None
    result["after_without_screened_ci"] = list(kept.ci or ()) if kept else None
    if not trusted.any():
        result["reason"] = "Every sub-text that truth can verify stands screened or rejected."
    result["n_without_screened"] = int(trusted.sum())
    result["rewritten"] = {
        "n": int(changed.sum()),
        "corrected": int(((before == False) & (after == True) & changed).sum()),  # noqa: E712 (objects, None among them)
        "broken": int(((before == True) & (after == False) & changed).sum()),  # noqa: E712
        "unverifiable": int((pd.notna(before) & pd.isna(after) & changed).sum()),
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
