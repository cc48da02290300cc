"""The results as a small table in the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from knowlip.base.progress import console

VQA_TITLES = {
    "count": "VQA: target count",
    "recognition": "VQA: target type",
    "position": "VQA: target position",
    "main_landform": "VQA: main landform",
    "all_landforms": "VQA: all landforms",
    "regional_landform": "VQA: landform of a region",
}


def percent(value: float | None, digits: int = 1) -> str:
    """0.1234 -> "12.3 %"; None -> "-"."""
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def interval(ci: list[float] | None) -> str:
    """[0.1, 0.2] -> "10.0–20.0"; None -> "-"."""
    return "–" if ci is None else f"{100 * ci[0]:.1f}–{100 * ci[1]:.1f}"


def rows(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The results as rows `{"group", "name", "value", "reference", "reference_name", "ci", "n"}`, numbers as shares.

    `value` of CIDEr and of areas under a curve are not shares; their rows carry `plain: True`.
    """
    table: list[dict[str, Any]] = []

    def add(group: str, name: str, value: Any, reference: Any, reference_name: str, **more: Any) -> None:
        table.append(
            {"group": group, "name": name, "value": value, "reference": reference, "reference_name": reference_name}
            | more
        )

    for key, title in (("image_to_text", "Image → text"), ("text_to_image", "Text → image")):
        scores = metrics.get("retrieval", {}).get(key)
        if not scores:
            continue
        for k in (1, 5, 10):
            add(
                "Retrieval", f"{title} R@{k}", scores[f"r{k}"], scores[f"chance_r{k}"], "chance",
                ci=scores["ci"][f"r{k}"], n=scores["n"],
            )  # fmt: skip
        if again := scores.get("reranked"):
            add(
                "Retrieval", f"{title} R@1, top {again['k_test']} re-ranked by matching", again["r1"],
                again["chance_r1"], "chance", ci=again["ci"]["r1"], n=again["n"],
            )  # fmt: skip
    for key, title in VQA_TITLES.items():
        scores = metrics.get("vqa", {}).get(key)
        if scores:
            source = " (agreement with the annotator)" if scores.get("source") == "annotator" else ""
            add("Questions", title + source, scores["accuracy"], scores["majority"], "majority",
                ci=scores.get("ci"), n=scores["n"])  # fmt: skip
    scores = metrics.get("caption", {})
    if scores.get("bleu4") is not None:
        add(
            "Captions", "BLEU-4", scores["bleu4"], scores["baseline_bleu4"], "one fixed text", n=scores["n"], plain=True
        )
        add("Captions", "CIDEr", scores["cider"], scores["baseline_cider"], "one fixed text", n=scores["n"], plain=True)
        claims = scores.get("claims", {})
        if claims.get("true") is not None:
            add("Captions", "Claims that are true", claims["true"], claims.get("baseline_true"), "one fixed text",
                ci=claims["ci"], n=claims["n"])  # fmt: skip
    scores = metrics.get("scio", {})
    if scores.get("base_rate") is not None:
        add("Screening", "Precision", scores["precision"], scores["base_rate"], "base rate",
            ci=scores["precision_ci"], n=scores["n_flagged"])  # fmt: skip
        add(
            "Screening",
            "Recall",
            scores["recall"],
            scores["flag_rate"],
            "flagged",
            ci=scores["recall_ci"],
            n=scores["n_wrong"],
        )
        add("Screening", "AUROC", scores["auroc"], 0.5, "chance", n=scores["n"], plain=True)
    scores = metrics.get("text_accuracy", {})
    if scores.get("before") is not None:
        add("Texts", "True sub-texts after SCIO", scores["after"], scores["before"], "before",
            ci=scores["after_ci"], n=scores["n_after"])  # fmt: skip
        add("Texts", "True among those trained on", scores["after_without_screened"], scores["before"], "before",
            n=scores["n_without_screened"])  # fmt: skip
    return table


def shown(row: Mapping[str, Any], key: str) -> str:
    """A value of a row as text: a share in per cent, or a plain number."""
    value = row[key]
    return "–" if value is None else f"{value:.3f}" if row.get("plain") else percent(value)


def print_table(metrics: Mapping[str, Any]) -> None:
    """Print the results beside chance, majority or baseline to the terminal."""
    table = Table(title="Results on places that training never saw")
    for name in ("measure", "value", "95 % interval", "compared with", "n"):
        table.add_column(name, justify="left" if name in ("measure", "compared with") else "right")
    group = ""
    for row in rows(metrics):
        if group and row["group"] != group:
            table.add_section()
        group = row["group"]
        better = row["value"] is not None and row["reference"] is not None and row["value"] > row["reference"]
        style = "bold green" if better else "" if row["value"] is None or row["reference"] is None else "yellow"
        table.add_row(
            row["name"],
            f"[{style}]{shown(row, 'value')}[/]" if style else shown(row, "value"),
            interval(row.get("ci")),
            f"{row['reference_name']} {shown(row, 'reference')}",
            str(row["n"]),
        )
    console.print(table)
