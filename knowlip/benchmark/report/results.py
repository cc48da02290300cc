"""What the report says of the model, from metrics.json: the only place of the report that knows its format."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from knowlip.benchmark.table import VQA_TITLES, interval, percent, rows, shown
from knowlip.language.captions import split_caption
from knowlip.language.dimensions import DIMENSIONS
from knowlip.pages.charts import Dot, change_chart, dot_chart
from knowlip.pages.render import decimals

_SCREENING: Final = {
    "paper": "Screening leaves out one sub-text at a time; where image and text then agree better in contrast and in "
    "matching, it is held to be noise.",
    "surprise": "Screening hides each sub-text and asks the decoder, which sees the image and other sub-texts, how "
    "probable its words are; the least expected are held to be noise.",
    "all": "Screening leaves out one sub-text at a time, asks whether image and text then agree better and how "
    "probable its words were, and weighs all of it.",
}
"""What is said of each kind of evidence."""
_DIRECTIONS: Final = {"image_to_text": "Image → text", "text_to_image": "Text → image"}


@dataclass(frozen=True)
class Card:
    """A headline number with a note; shares are drawn as a bar that also shows what they are compared with."""

    name: str
    value: str
    note: str
    share: float | None = None
    reference: float | None = None


def headline(metrics: Mapping[str, Any]) -> list[Card]:
    """The numbers at the top."""
    cards = []

    def share(name: str, value: float, note: str, reference: float | None) -> None:
        cards.append(
            Card(name, percent(value), note, min(1.0, value), None if reference is None else min(1.0, reference))
        )

    for key, title in _DIRECTIONS.items():
        if part := metrics.get("retrieval", {}).get(key):
            times = part["r1"] / part["chance_r1"]
            note = f"{times:,.{1 if times < 9.95 else 0}f} × chance ({percent(part['chance_r1'], 2)})"
            share(f"{title}, R@1", part["r1"], f"{note}; R@10 {percent(part['r10'])}", part["chance_r1"])
    asked = [metrics.get("vqa", {}).get(key) or {} for key in VQA_TITLES]
    asked = [row for row in asked if row.get("accuracy") is not None and row.get("majority") is not None]
    if asked:
        majority = sum(row["majority"] for row in asked) / len(asked)
        above = sum(row["accuracy"] > row["majority"] for row in asked)
        share(
            "Questions, agreement" if asked[0].get("source") == "annotator" else "Questions, mean accuracy",
            sum(row["accuracy"] for row in asked) / len(asked),
            f"majority answer {percent(majority)}; above it on {above} of {len(asked)} types",
            majority,
        )
    captions = metrics.get("caption", {})
    claims = captions.get("claims", {})
    if claims.get("true") is not None:
        fixed = claims.get("baseline_true")
        note = f"one fixed text {percent(fixed)}; CIDEr {captions['cider']:.2f}"
        share("Written claims that are true", claims["true"], note, fixed)
    elif captions.get("cider") is not None:
        note = f"one fixed text {captions['baseline_cider']:.2f}"
        cards.append(Card("Captions, CIDEr", f"{captions['cider']:.2f}", note))
    scio = metrics.get("scio", {})
    if scio.get("precision") is not None:
        note = f"base rate {percent(scio['base_rate'])}; finds {percent(scio['recall'])} of the wrong texts"
        share("Screening, precision", scio["precision"], note, scio["base_rate"])
    texts = metrics.get("text_accuracy", {})
    if texts.get("before") is not None:
        note = f"before {percent(texts['before'])}; among trained on {percent(texts['after_without_screened'])}"
        share("True sub-texts after SCIO", texts["after"], note, texts["before"])
    return cards


@dataclass(frozen=True)
class Result:
    """A row of the table of results."""

    group: str
    name: str
    value: str
    reference: str
    tone: str
    """ "better", "worse" or "same" as what it is compared with, or "" where that is not known."""
    interval: list[float] | None
    share: float | None
    """Length of the bar; None for what is no share."""
    floor: float | None
    """What it is compared with, as a share."""
    n: int


def results(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Every number beside what it is compared with."""
    return {
        "rows": [_result(row) for row in rows(metrics)],
        "clusters": metrics.get("setup", {}).get("clusters", "clusters of tiles"),
    }


def _result(row: Mapping[str, Any]) -> Result:
    value, reference = row["value"], row["reference"]
    told, floor = shown(row, "value"), shown(row, "reference")
    known = value is not None and reference is not None
    tone = "" if not known else "same" if told == floor else "better" if value > reference else "worse"
    bar = value is not None and not (row.get("plain") and value > 1)
    return Result(
        row["group"],
        row["name"],
        told,
        f"{row['reference_name']} {floor}",
        tone,
        row.get("ci"),
        value if bar else None,
        None if reference is None else min(1.0, reference),
        row["n"],
    )


def retrieval(metrics: Mapping[str, Any]) -> dict[str, Any] | None:
    """Recall with intervals beside chance."""
    scores = metrics.get("retrieval")
    if not scores:
        return None
    dots, again = [], []
    for key, title in _DIRECTIONS.items():
        part = scores[key]
        dots += [Dot(f"{title} R@{k}", part[f"r{k}"], part["ci"][f"r{k}"], part[f"chance_r{k}"]) for k in (1, 5, 10)]
        if better := part.get("reranked"):
            before = percent(better["cosine_same_queries"]["r1"])
            again.append(f"{title.lower()} R@1 {before} → {percent(better['r1'])} (n {better['n']})")
    return {
        **scores,
        "chart": dot_chart(dots, "Recall of retrieval with 95 % intervals beside chance"),
        "reranked": again,
        "k_test": scores["image_to_text"]["reranked"]["k_test"] if again else 0,
    }


def same_parts(text: str, right: str) -> str:
    """How many of the right text's sub-texts a candidate shares: near misses are not far off."""
    ours, theirs = (split_caption(t, "terrain")[1] for t in (text, right))
    equal = sum(ours.get(name) == part for name, part in theirs.items())
    return f"{equal} of {len(theirs)} same" if theirs else ""


def questions(metrics: Mapping[str, Any]) -> dict[str, Any] | None:
    """Accuracy of six types beside the majority and the blind answer."""
    scores = metrics.get("vqa")
    if not scores:
        return None
    parts = {title.removeprefix("VQA: "): scores[key] for key, title in VQA_TITLES.items() if key in scores}
    dots = [
        Dot(name, part["accuracy"], part.get("ci"), part.get("majority"), part.get("blind"))
        for name, part in parts.items()
    ]
    return {
        "agreement": any(part.get("source") == "annotator" for part in parts.values()),
        "chart": dot_chart(dots, "Accuracy of six question types beside the majority answer"),
    }


def captions(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Scores against the annotator's text and against truth."""
    scores = metrics.get("caption", {})
    if scores.get("bleu4") is None:
        return {"measured": False, "reason": scores.get("reason", "Captions were not written.")}
    table = [
        (f"{name} (against the annotator)", f"{scores[key]:.3f}", f"{scores[f'baseline_{key}']:.3f}", "")
        for name, key in (("BLEU-4", "bleu4"), ("CIDEr", "cider"))
    ]
    claims = scores.get("claims", {})
    known = claims.get("true") is not None
    if known:
        table.append(
            (
                f"claims that are true ({claims['per_text']:.1f} a text)",
                f"{percent(claims['true'])} ({interval(claims['ci'])})",
                percent(claims.get("baseline_true")),
                percent(claims.get("annotator_true")),
            )
        )
    reason = "" if known else claims.get("reason", "No claim can be verified.")
    return {**scores, "measured": True, "rows": table, "reason": reason}


def scio(metrics: Mapping[str, Any], figures: Mapping[str, Any]) -> dict[str, Any]:
    """Did screening find wrong texts, did rewriting mend them, dimension by dimension. `figures`: of the last pass."""
    scores, texts = metrics.get("scio", {}), metrics.get("text_accuracy", {})
    evidence = figures.get("noise_model", {}).get("evidence", "paper")
    result = {
        "how": _SCREENING.get(evidence, _SCREENING["all"]),
        "cards": _screening_cards(scores) if scores.get("base_rate") is not None else [],
        "not_scored": scores.get("reason", "Screening was not scored."),
        "planted": figures.get("planted"),
        "margin": figures.get("margin", 0.0),
        "texts": texts if texts.get("before") is not None else None,
        "not_measured": texts.get("reason", "The truth of texts was not measured."),
    }
    if result["texts"]:
        parts = {name: texts["per_dimension"][name] for name in _in_order(texts["per_dimension"])}
        changes = [
            (name, part["before"], part["after"], part["n"])
            for name, part in parts.items()
            if part["before"] is not None and part["after"] is not None
        ]
        title = "Share of true sub-texts before and after SCIO, by dimension"
        result["chart"] = change_chart(changes, title) if changes else None
        screened = scores.get("per_dimension", {})
        result["dimensions"] = [
            (
                name,
                f"{part['n']:,}",
                *(percent(part[key]) for key in ("base_rate", "flag_rate", "precision", "recall")),
                decimals(part["auroc"]),
            )
            for name, part in ((name, screened[name]) for name in _in_order(screened))
        ]
    return result


def _screening_cards(scores: Mapping[str, Any]) -> list[Card]:
    within = decimals(scores["auroc_within_dimension"])
    return [
        Card("Precision", percent(scores["precision"]), f"base rate of wrong texts {percent(scores['base_rate'])}"),
        Card("Recall", percent(scores["recall"]), f"flagged {percent(scores['flag_rate'])} of all"),
        Card("AUROC", decimals(scores["auroc"]), f"within dimensions {within}, chance 0.5"),
        Card(
            "Decisions scored", f"{scores['n']:,}", f"of {scores['decided']:,} sub-texts; the rest cannot be verified"
        ),
    ]


def _in_order(names: Iterable[str]) -> list[str]:
    """ "marine Count" and the like in the order of instruction sets and their sub-texts."""
    order = [f"{kind} {name}" for kind, dimensions in DIMENSIONS.items() for name in dimensions]
    return sorted(names, key=lambda name: (order.index(name) if name in order else len(order), name))
