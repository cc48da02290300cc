"""What the sentences of a corpus rest on, and which of the five layers of thought they put into words."""

import re
from functools import cache
from typing import Any, Final

import pandas as pd

from knowlip.annotators.stats.lexical import mtld, words
from knowlip.language.grammar import Grammar
from knowlip.language.marks import sentences_of
from knowlip.language.statements import EVIDENCE, Layer

LAYER_NAMES: Final[dict[int, str]] = {
    Layer.EARTH: "1 earth cognition",
    Layer.SOCIAL: "2 social prior",
    Layer.RADAR: "3 SAR theory",
    Layer.INSTANCE: "4 instances",
    Layer.CALIBRATION: "5 calibration",
    0: "not stated",
}
"""Number of a layer -> how tables call it; 0: sentences without a topic."""
_STATED: Final = re.compile(r"layer-([1-5])$")


def layer_of(topic: str) -> int:
    """The layer of a sentence by its topic: "layer-3" of a language model, or a topic of the grammar; 0 for others."""
    if stated := _STATED.match(topic):
        return int(stated[1])
    return int(_grammar().layer_of(topic)) if topic in _topics() else 0


@cache
def _grammar() -> Grammar:
    return Grammar.standard()


@cache
def _topics() -> frozenset[str]:
    return frozenset(_grammar().topics)


def sentences_table(rows: pd.DataFrame) -> pd.DataFrame:
    """The sentences of sub-texts, one a row: record, text, evidence, layer, words.

    Args:
        rows: with the columns record, text, evidence, marks; sub-texts whose evidence is "" are left out.
    """
    found = []
    columns = (rows[name] for name in ("record", "text", "evidence", "marks"))
    for record, text, evidence, marks in zip(*columns):
        if evidence:
            found += [
                (record, one.text, one.evidence, layer_of(one.topic) if one.topic else 0)
                for one in sentences_of(text, marks, evidence)
            ]
    table = pd.DataFrame(found, columns=["record", "text", "evidence", "layer"])
    return table.assign(words=table["text"].map(words))


def measure_layers(rows: pd.DataFrame) -> dict[str, Any]:
    """Numbers by what sentences rest on, and by layer.

    Args:
        rows: sub-texts, see :func:`sentences_table`.

    Returns:
        {"by_evidence": {kind: numbers}, "by_layer": {number: numbers}}, each with what occurs only; {} where no
        evidence is stated. Numbers: `sentences`, `words`, `share` (of all words), `captions` (share of captions that
        have any), `words_a_caption` (over all captions), `vocabulary`, `mtld` (0 where too few), `different` (share of
        sentences that no earlier one says word for word).
    """
    # Over sentences, not sub-texts: one sub-text may rest on the image and on the place.
    table = sentences_table(rows)
    if table.empty:
        return {}
    captions = table["record"].nunique()
    total = int(table["words"].map(len).sum())

    def numbers(part: pd.DataFrame) -> dict[str, Any]:
        said = [word for found in part["words"] for word in found]
        return {
            "sentences": len(part),
            "words": len(said),
            "share": round(len(said) / max(1, total), 4),
            "captions": round(part["record"].nunique() / captions, 4),
            "words_a_caption": round(len(said) / captions, 4),
            "vocabulary": len(set(said)),
            "mtld": round(mtld(said), 4),
            "different": round(part["text"].str.lower().nunique() / len(part), 4),
        }

    by_evidence = {kind: table[table["evidence"] == kind] for kind in EVIDENCE}
    by_layer = {number: table[table["layer"] == number] for number in LAYER_NAMES}
    return {
        "by_evidence": {kind: numbers(part) for kind, part in by_evidence.items() if len(part)},
        "by_layer": {str(number): numbers(part) for number, part in by_layer.items() if len(part)},
    }
