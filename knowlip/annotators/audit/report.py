"""The report of an audit: audit.json, audit.html (one file, nothing loaded) and audit.png, a chart like the paper's."""

from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from knowlip.annotators.audit.numbers import figures
from knowlip.annotators.audit.page import Sheets
from knowlip.annotators.audit.sampling import AuditSample
from knowlip.annotators.audit.store import Unit, Verdicts
from knowlip.base.files import whole_file, write_json
from knowlip.dataset import Dataset
from knowlip.language.dimensions import SLOTS
from knowlip.language.truth import judge
from knowlip.pages.charts import ACCENT, CARD, COLOURS, INK, MUTED, SCREEN, panel, png, style, svg
from knowlip.pages.render import render

_RESTS = {
    "visual": "the image",
    "geo": "where the tile lies",
    "prior": "general knowledge",
    "parent": "the larger tile's text",
}
_TARGETS = {"ground": "ground targets", "marine": "marine targets", "terrain": "terrain"}


def write_report(
    folder: Path, dataset: Dataset, sample: AuditSample, sheets: Sheets, verdicts: Verdicts, by_truth: bool = False
) -> dict[str, Any]:
    """Write the three files and return what audit.json holds; `by_truth` puts what truth says beside the verdicts.

    Raises:
        ValueError: nobody has judged anything yet.
    """
    # Verdicts on sub-texts that are not of this sample are left out: one file may hold those of several samples.
    given: dict[str, dict[Unit, str]] = {}
    for rater in verdicts.raters():
        of = {unit: v for unit, v in verdicts.of(rater).items() if unit[1] in sheets.slots.get(unit[0], ())}
        if of:
            given[rater] = of
    if not given:
        raise ValueError(f"{verdicts.path} holds no verdicts on this sample yet: judge some texts first.")
    scale_of = {tile: sheets.facts(tile)["scale"] for tile in sample.tiles}
    says = _truth_says(dataset, sheets) if by_truth else {}
    numbers = figures(sample, given, sheets.instruction_set, scale_of, says, sheets.rests_on)
    notes = [
        {"tile_id": tile, "rater": rater, "note": note}
        for rater in verdicts.raters()
        for tile, note in sorted(verdicts.notes(rater).items())
    ]
    report = {
        "dataset": dataset.path.name,
        "fingerprint": sample.fingerprint,
        "revision": sample.revision,
        "seed": sample.seed,
        "share": sample.share,
        "at_least": sample.at_least,
        "tiles": len(sample.tiles),
        "strata": [vars(stratum) for stratum in sample.strata],
        **numbers,
        "notes": notes,
    }
    write_json(folder / "audit.json", report)
    with whole_file(folder / "audit.png") as part:
        part.write_bytes(_chart(report))
    with whole_file(folder / "audit.html") as part:
        part.write_text(_page(report), encoding="utf-8")
    return report


def _truth_says(dataset: Dataset, sheets: Sheets) -> dict[Unit, bool]:
    truth, says = dataset.truth(), {}
    for tile in sheets.tiles:
        if tile not in truth:
            continue
        kind, window_m = sheets.instruction_set[tile], float(sheets.facts(tile)["window_m"])
        for text in sheets.texts[tile]:
            if text["slot"] > SLOTS:
                continue
            verdict = judge(kind, text["dimension"], text["text"], truth[tile], window_m)
            if verdict is not None:
                says[tile, text["slot"]] = verdict
    return says


@style()
def _chart(report: dict[str, Any]) -> bytes:
    """Accuracy of the eight dimensions of each instruction set, with intervals, beside the paper's experts: PNG."""
    kinds = list(report["sets"])
    figure = Figure((4.4 * len(kinds) + 0.6, 3.9), layout="constrained")
    for axes, kind in zip(figure.subplots(1, len(kinds), squeeze=False).flat, kinds):
        _bars(axes, report, kind)
    return png(figure)


def _bars(axes: Any, report: dict[str, Any], kind: str) -> None:
    """One instruction set: bars with Wilson's interval, diamonds for the paper."""
    rows = report["sets"][kind]["dimensions"]
    for position, row in enumerate(rows):
        if row["accuracy"] is None:
            axes.text(position, 2, "none", rotation=90, ha="center", va="bottom", fontsize="small", color=MUTED)
            continue
        axes.bar(position, 100 * row["accuracy"], width=0.62, color=ACCENT, alpha=0.75)
        # On dark pages the ink is as light as the bar: what lies on it is cased in the colour of the page.
        ends = [100 * end for end in row["interval"]]
        axes.vlines(position, *ends, color=CARD, linewidth=5)
        axes.vlines(position, *ends, color=INK, linewidth=1.5)
    look: dict[str, Any] = {
        "color": COLOURS[1],
        "markersize": 7,
        "markeredgecolor": CARD,
        "label": "experts of the paper",
    }
    axes.plot([100 * row["paper"] for row in rows], "D", **look)
    axes.set_xticks(range(len(rows)), [row["dimension"] for row in rows], rotation=40, ha="right", color=INK)
    axes.set(ylim=(0, 104), ylabel="found right, % (95 % Wilson)")
    axes.grid(axis="y")
    tiles = sum(stratum["drawn"] for stratum in report["strata"] if stratum["instruction_set"] == kind)
    axes.set_title(f"{_TARGETS[kind]} ({tiles} tiles)")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.34), handletextpad=0.2)


@style(**SCREEN)
def _single(report: dict[str, Any], kind: str) -> Markup:
    figure, axes = panel(300)
    _bars(axes, report, kind)
    return svg(figure, f"Accuracy by dimension, {_TARGETS[kind]}")


def _page(report: dict[str, Any]) -> str:
    charts = [_single(report, kind) for kind in report["sets"]]
    names = {"targets": _TARGETS, "rests": _RESTS}
    return render("audit_report.html", title="Audit of texts", report=report, charts=charts, **names)
