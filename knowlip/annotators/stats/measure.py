"""Numbers of a corpus: frequencies, lengths, tokens, richness, hedging, duplicates; in all, by dimension, by group."""

from collections import Counter
from collections.abc import Sequence
from sys import intern
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from knowlip.annotators.stats.corpus import CAPTION, TextCorpus, sentence
from knowlip.annotators.stats.layers import measure_layers
from knowlip.annotators.stats.lexical import HEDGES, STOP_WORDS, lead_in, mtld, words
from knowlip.annotators.tokens import FRAME, TokenizerFile
from knowlip.base.progress import track

_TOP_WORDS, _SHUFFLES = 30, 3
_HEDGES = frozenset(HEDGES)


def measure(corpus: TextCorpus, tokens: TokenizerFile | None, token_length: int, seed: int) -> dict[str, Any]:
    """All numbers of one corpus as JSON values.

    Words of a length are what stands between spaces; words of a frequency, of MTLD and of a normalised text are
    :func:`lexical.words`. Rates are shares, 0 to 1.

    Args:
        corpus: the texts.
        tokens: counts tokens; None leaves these numbers out.
        token_length: places for tokens in the model that reads the captions, frame included.
        seed: of the orders in which MTLD is taken again.
    """
    rows = _prepared(corpus, tokens)
    records = rows["record"].drop_duplicates()
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(len(records)) for _ in range(_SHUFFLES)]
    total = _numbers(rows)
    result = dict(total)
    # as the records stand, neighbours in the image are neighbours in the text; shuffled, they are not
    per_record = rows.groupby("record", sort=False)["words"].agg(lambda lists: [w for words_ in lists for w in words_])
    shuffled = [
        mtld([word for at in order for word in per_record.iloc[at]])
        for order in track(orders, f"vocabulary of {corpus.name}")
    ]
    result["mtld_shuffled"] = _round(float(np.mean(shuffled)))
    result["name"], result["revision"] = corpus.name, corpus.revision
    parts = rows.groupby(["instruction_set", "slot", "dimension"])
    result["dimensions"] = [
        {"instruction_set": str(group), "dimension": str(dimension), **_numbers(part), "frequency": _frequency(part)}
        for (group, _, dimension), part in track(parts, f"dimensions of {corpus.name}", parts.ngroups)
    ]
    result["frequency"] = _frequency(rows)
    result["groups"] = {
        column: {str(value): _numbers(part) if len(part) < len(rows) else total for value, part in rows.groupby(column)}
        for column in ("annotator", "instruction_set", "scale")
        if rows[column].nunique() > 1 or (rows[column] != "").all()
    }
    result |= measure_layers(rows)
    if tokens is not None:
        result["truncation"] = _truncation(corpus, rows, tokens, token_length)
    return result


def _prepared(corpus: TextCorpus, tokens: TokenizerFile | None) -> pd.DataFrame:
    """The rows with what is counted of each text, counted once."""
    rows = corpus.rows.copy()
    # texts repeat, so each different one is split once and its words are shared: 120,000 captions fit in memory
    different = list(rows["text"].unique())
    known = {text: [intern(word) for word in words(text)] for text in track(different, f"split texts of {corpus.name}")}
    rows["words"] = rows["text"].map(known)
    rows["word_count"] = [len(text.split()) for text in rows["text"]]
    rows["characters"] = rows["text"].str.len()
    rows["normal"] = [" ".join(found) for found in rows["words"]]
    rows["hedges"] = [" ".join(sorted(_HEDGES.intersection(found))) for found in rows["words"]]
    if tokens is not None:
        rows["tokens"] = rows["text"].map(dict(zip(different, tokens.counts(different))))
    return rows


def _numbers(rows: pd.DataFrame) -> dict[str, Any]:
    """Numbers of some rows. Of captions, a sub-text that is not among the rows is no part."""
    # Of a caption the sub-texts count that are among the rows, so that a dimension is measured like a whole.
    grouped = rows.groupby("record", sort=False)
    text = [word for found in rows["words"] for word in found]
    measures = {"words": "word_count", "characters": "characters"}
    if "tokens" in rows:
        measures["tokens"] = "tokens"
    hedged = rows["hedges"] != ""
    each = Counter(word for found in grouped["hedges"].agg(" ".join) for word in set(found.split()))
    captions = len(grouped)
    by_record = hedged.groupby(rows["record"], sort=False).any()
    return {
        "captions": captions,
        "sub_texts": len(rows),
        "words": len(text),
        "vocabulary": len(set(text)),
        "length": {name: summary(grouped[column].sum()) for name, column in measures.items()},
        "mtld": _round(mtld(text)),
        "hedging": {
            "captions": _round(float(by_record.mean())),
            "sub_texts": _round(float(hedged.mean())),
            "captions_with": dict(sorted(each.items(), key=lambda item: (-item[1], item[0]))),
            "per_1000_words": _round(1000 * sum(word in _HEDGES for word in text) / max(1, len(text))),
        },
        "duplicates": {
            "captions": duplicate_rate(grouped["text"].agg(tuple)),
            "captions_normalised": duplicate_rate(grouped["normal"].agg(tuple)),
            "sub_texts": duplicate_rate(_with_dimension(rows, "text")),
            "sub_texts_normalised": duplicate_rate(_with_dimension(rows, "normal")),
        },
    }


def _with_dimension(rows: pd.DataFrame, column: str) -> list[tuple[str, str]]:
    """ "None" as Roads and "None" as Water are two texts."""
    return list(zip(rows["dimension"], rows[column]))


def duplicate_rate(texts: Sequence[Any] | pd.Series) -> float:
    """Share of texts that stand earlier in the list already: 1 - different texts / texts."""
    texts = list(texts)
    return _round(1 - len(set(texts)) / len(texts)) if texts else 0.0


def summary(values: ArrayLike) -> dict[str, Any]:
    """Mean, spread, quantiles and the histogram {value: how many} of whole numbers."""
    numbers = np.asarray(values, np.int64)
    low, median, high = np.percentile(numbers, [5, 50, 95])
    found, counts = np.unique(numbers, return_counts=True)
    spread = {"mean": numbers.mean(), "std": numbers.std(), "p5": low, "median": median, "p95": high}
    histogram = {int(value): int(count) for value, count in zip(found, counts)}
    ends = {"min": int(numbers.min()), "max": int(numbers.max())}
    return {**{name: _round(float(value)) for name, value in spread.items()}, **ends, "histogram": histogram}


def _frequency(rows: pd.DataFrame) -> dict[str, Any]:
    """Most frequent words without stop words, numbers and what (almost) every text of a dimension begins with."""
    counts, leads = word_counts(rows)
    top = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_TOP_WORDS]
    return {"words": dict(top), "different": len(counts), "lead_in": " / ".join(leads)}


def word_counts(rows: pd.DataFrame) -> tuple[Counter[str], list[str]]:
    """How often each word stands in the texts, and the lead-ins that were not counted.

    Args:
        rows: rows with the column `text`, and `words` where it is there already.
    """
    if "words" not in rows:
        rows = rows.assign(words=rows["text"].map(words))
    counts: Counter[str] = Counter()
    leads: list[str] = []
    for (_, _, dimension), part in rows.groupby(["instruction_set", "slot", "dimension"]):
        lead = () if dimension == CAPTION else lead_in(part["words"])
        if lead:
            leads.append(" ".join(lead))
        for found in part["words"]:
            body = found[len(lead) :] if tuple(found[: len(lead)]) == lead else found
            counts.update(word for word in body if word not in STOP_WORDS and not word[0].isdigit() and len(word) > 1)
    return counts, leads


def _truncation(corpus: TextCorpus, rows: pd.DataFrame, tokens: TokenizerFile, token_length: int) -> dict[str, Any]:
    """What a model with `token_length` places does not read of the captions as stored."""
    captions = corpus.captions()
    lengths = np.array(tokens.counts(list(captions.values())), np.int64)
    places = token_length - FRAME
    headed = [sentence(dimension, text) for dimension, text in zip(rows["dimension"], rows["text"])]
    ends = pd.Series(tokens.counts(headed), rows.index).groupby(rows["record"], sort=False).cumsum()
    cut = ends > places
    return {
        "token_length": token_length,
        "vocabulary": tokens.vocabulary,
        "captions": summary(lengths + FRAME),
        "truncated": _round(float((lengths > places).mean())),
        "tokens_lost": _round(float(np.maximum(0, lengths - places).sum() / max(1, lengths.sum()))),
        "cut": {
            str(group): {
                str(d): _round(float(cut[part.index].mean())) for (_, d), part in of.groupby(["slot", "dimension"])
            }
            for group, of in rows.groupby("instruction_set")
        },
    }


def _round(value: float) -> float:
    return round(value, 4)
