"""Numbers of a report on SCIO's decisions: how much was called noise where, and how much of it was written anew."""

from typing import TYPE_CHECKING, Any, Final

from knowlip.base.statistics import wilson
from knowlip.base.vocabulary import Decision
from knowlip.dataset import Dataset
from knowlip.dataset.figures import read_figures
from knowlip.scio.history import decisions, lineage

if TYPE_CHECKING:
    import pandas as pd

SCREENING: Final = (Decision.KEPT, Decision.SCREENED)
RECONSTRUCTION: Final = (Decision.REWRITTEN, Decision.REJECTED)
_YES: Final = {"screening": Decision.SCREENED, "reconstruction": Decision.REWRITTEN}


def measure(dataset: Dataset, revision: int | None = None) -> tuple[dict[str, Any], "pd.DataFrame"]:
    """Count the decisions of a line of revisions.

    Args:
        dataset: annotated data set.
        revision: end of the line; the newest where not given.

    Returns:
        Numbers: `fingerprint`, `tiles`, `sub_texts`, `revisions`: for each of the line its `revision`, `run`, `kind`
        ("annotation", "screening" or "reconstruction"), `rows`, `share` (of what was judged: called noise, or
        accepted), `by` (a list of {"instruction_set", "dimension", "annotator", "count", "hits", "share", "low",
        "high"}, intervals of Wilson's score at 95 %), `by_dimension` (the same over all annotators), `reasons` (the
        most frequent, without what they quote) and `figures` of the pass.
        And the rows of :func:`decisions` with two columns more: `was` (the text before) and `by` (who had written it).
    """
    rows = decisions(dataset, revision)
    before = rows.groupby(["tile_id", "slot"], sort=False)[["text", "annotator"]].shift()
    rows["was"], rows["by"] = before["text"].fillna(rows["text"]), before["annotator"].fillna(rows["annotator"])
    line = [_of_revision(dataset, number, rows[rows["revision"] == number]) for number in lineage(dataset, revision)]
    numbers = {
        "fingerprint": dataset.fingerprint,
        "tiles": int(rows["tile_id"].nunique()),
        "sub_texts": int((rows["revision"] == rows.groupby(["tile_id", "slot"])["revision"].transform("min")).sum()),
        "revisions": line,
    }
    return numbers, rows


def _of_revision(dataset: Dataset, number: int, rows: "pd.DataFrame") -> dict[str, Any]:
    made, figures = set(rows["decision"]), read_figures(dataset.path, number)
    kind = "annotation"
    if number and (made & set(RECONSTRUCTION) or "candidates" in figures):
        kind = "reconstruction"
    elif number and made & set(SCREENING):
        kind = "screening"
    entry: dict[str, Any] = {
        "revision": number,
        "run": ", ".join(sorted(set(rows["run"]))),
        "kind": kind,
        "rows": len(rows),
        "figures": figures,
    }
    if kind == "annotation":
        return entry
    hit = rows["decision"] == _YES[kind]
    reasons = rows["reason"][~hit] if kind == "reconstruction" else rows["reason"][:0]
    plain = reasons.str.split(":").str[0].str.replace(r" *\([^)]*\)", "", regex=True)  # without words and numbers
    return entry | {
        **_share(hit),
        "by": _shares(rows, hit, ["instruction_set", "dimension", "by"]),
        "by_dimension": _shares(rows, hit, ["instruction_set", "dimension"]),
        "by_annotator": _shares(rows, hit, ["by"]),
        "reasons": {str(k): int(v) for k, v in plain.value_counts().head(10).items()},
    }


def _shares(rows: "pd.DataFrame", hit: "pd.Series", columns: list[str]) -> list[dict[str, Any]]:
    """The share of hits in every group; groups in order of instruction set and slot."""
    result = []
    order = [name for name in ("instruction_set", "slot") if name in (*columns, "slot") and "dimension" in columns]
    for keys, part in rows.sort_values([*order, "by"], kind="stable").groupby(columns, sort=False):
        names = ["annotator" if name == "by" else name for name in columns]
        result.append(dict(zip(names, map(str, keys))) | _share(hit[part.index]))
    return result


def _share(hit: "pd.Series") -> dict[str, Any]:
    low, high = wilson(int(hit.sum()), len(hit))
    return {
        "count": len(hit),
        "hits": int(hit.sum()),
        "share": float(hit.mean()),
        "low": low,
        "high": high,
    }
