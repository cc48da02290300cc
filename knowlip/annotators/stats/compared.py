"""The texts of two annotators on the same tiles, dimension by dimension."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from knowlip.annotators.stats.corpus import TextCorpus
from knowlip.annotators.stats.layers import sentences_table
from knowlip.annotators.stats.lexical import mtld, words
from knowlip.base.statistics import wilson
from knowlip.language.claims import parse_claims
from knowlip.language.definitions import count_holds
from knowlip.language.dimensions import DIMENSIONS
from knowlip.language.marks import resting_on
from knowlip.language.statements import SEEN


def compare(one: TextCorpus, other: TextCorpus) -> dict[str, Any]:
    """Set two corpora side by side where they speak of the same records.

    Args:
        one, other: corpora whose records are tiles.

    Returns:
        {} where they share no record. Else `names`, `records` (in both), `same_set` (share of them with the same
        instruction set in both; only these are compared), `dimensions`: for each its `instruction_set`, `dimension`,
        `texts` (of each corpus), under `sides` for each corpus `words` (mean), `mtld`, `duplicates` (share that stand
        earlier) and `evidence` (kind -> share of the words; {} where none is stated), and under `claims` in how many
        texts both make a claim of the same kind (`both`), in how many of them all of these agree (`agree`), their
        `share` and its interval (`low`, `high`; Wilson, 95 %).
    """
    sides = [_by_record(corpus.rows) for corpus in (one, other)]
    shared = [record for record in sides[0] if record in sides[1]]
    if not shared:
        return {}
    same = {record for record in shared if sides[0][record] == sides[1][record]}
    parts = [corpus.rows[corpus.rows["record"].isin(same)] for corpus in (one, other)]
    return {
        "names": [one.name, other.name],
        "records": len(shared),
        "same_set": round(len(same) / len(shared), 4),
        "dimensions": list(_dimensions(*parts)),
    }


def _by_record(rows: pd.DataFrame) -> dict[str, str]:
    """Tile -> its instruction set; records that are only numbered are no tiles."""
    known = rows[rows["instruction_set"].isin(list(DIMENSIONS)) & ~rows["record"].str.isdigit()]
    return dict(zip(known["record"], known["instruction_set"]))


def _dimensions(one: pd.DataFrame, other: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for kind, names in DIMENSIONS.items():
        for name in names:
            parts = [
                rows[(rows["instruction_set"] == kind) & (rows["dimension"] == name)].sort_values("record")
                for rows in (one, other)
            ]
            if len(parts[0]) and len(parts[1]):
                yield {
                    "instruction_set": str(kind),
                    "dimension": name,
                    "texts": len(parts[0]),
                    "sides": [_side(part) for part in parts],
                    "claims": _agreement(str(kind), name, *parts),
                }


def _side(rows: pd.DataFrame) -> dict[str, Any]:
    sentences = sentences_table(rows)
    counts = sentences["words"].map(len)
    shares = counts.groupby(sentences["evidence"]).sum() / max(1, counts.sum())
    return {
        "words": round(float(rows["text"].str.split().map(len).mean()), 2),
        "mtld": round(mtld([word for text in rows["text"] for word in words(text)]), 2),
        "duplicates": round(1 - rows["text"].nunique() / len(rows), 4),
        "evidence": {str(kind): round(float(share), 4) for kind, share in shares.items()},
    }


def _agreement(kind: str, dimension: str, one: pd.DataFrame, other: pd.DataFrame) -> dict[str, Any]:
    both = agree = 0
    for left, right in zip(_seen(one), _seen(other)):
        claims = [parse_claims(kind, dimension, text) for text in (left, right)]
        verdict = agreeing(*claims)
        both += verdict is not None
        agree += verdict is True
    low, high = wilson(agree, both) if both else (None, None)
    return {"both": both, "agree": agree, "share": round(agree / both, 4) if both else None, "low": low, "high": high}


def _seen(rows: pd.DataFrame) -> list[str]:
    """What texts say of the image; all of those that do not tell."""
    columns = (rows[name] for name in ("text", "marks", "evidence"))
    return [resting_on(text, marks, evidence, SEEN) if marks else text for text, marks, evidence in zip(*columns)]


def agreeing(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool | None:
    """Whether two readings of a tile claim the same where both claim something; None where they claim nothing alike.
    Counts agree where each holds if the other is true."""
    kinds = [name for name in one if name in other and name != "category"] or [name for name in one if name in other]
    if not kinds:
        return None

    def alike(name: str) -> bool:
        a, b = one[name], other[name]
        return count_holds(a, b) and count_holds(b, a) if name == "count" else bool(a == b)

    return all(map(alike, kinds))
