"""The report of an audit: audit.json, audit.html (one file, nothing loaded) and audit.png, a chart like the paper's."""

import base64
from html import escape
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from knowlip.annotators.audit.numbers import figures
from knowlip.annotators.audit.sampling import AuditSample
from knowlip.annotators.audit.store import Unit, Verdicts
from knowlip.base.files import whole_file, write_json
from knowlip.dataset import Dataset
from knowlip.pages.plain import page_of

if TYPE_CHECKING:
    from knowlip.annotators.audit.page import Sheets

_TARGETS = {"ground": "ground targets", "marine": "marine targets", "terrain": "terrain"}
_STYLE = """th,td{text-align:right;font-variant-numeric:tabular-nums}th:first-child,td:first-child{text-align:left}
th{font-weight:600;background:var(--soft)}img{max-width:100%;background:#fff}
p{max-width:75ch}.sum td{font-weight:600}"""


def write_report(
    folder: Path, dataset: Dataset, sample: AuditSample, sheets: "Sheets", verdicts: Verdicts, by_truth: bool = False
) -> dict[str, Any]:
    """Write the three files and return what audit.json holds; `by_truth` puts what truth says beside the verdicts.

    Raises:
        ValueError: nobody has judged anything yet.
    """
    given: dict[str, dict[Unit, str]] = {}
    for rater in verdicts.raters():
        of = {unit: v for unit, v in verdicts.of(rater).items() if unit[1] in sheets.slots.get(unit[0], ())}
        if of:
            given[rater] = of
    if not given:
        raise ValueError(f"{verdicts.path} holds no verdicts on this sample yet: judge some texts first.")
    scale_of = {tile: sheets.facts(tile)["scale"] for tile in sample.tiles}
    says = _truth_says(dataset, sheets) if by_truth else {}
    numbers = figures(sample, given, sheets.instruction_set, scale_of, says)
    notes = [
        {"tile_id": tile, "rater": rater, "note": note}
        for rater in verdicts.raters() for tile, note in sorted(verdicts.notes(rater).items())
    ]  # fmt: skip
    report = {
        "dataset": dataset.path.name, "fingerprint": sample.fingerprint, "revision": sample.revision,
        "seed": sample.seed, "share": sample.share, "at_least": sample.at_least, "tiles": len(sample.tiles),
        "strata": [vars(stratum) for stratum in sample.strata], **numbers, "notes": notes,
    }  # fmt: skip
    chart = _chart(report)
    write_json(folder / "audit.json", report)
    with whole_file(folder / "audit.png") as part:
        part.write_bytes(chart)
    with whole_file(folder / "audit.html") as part:
        part.write_text(_page(report, chart), encoding="utf-8")
    return report


def _truth_says(dataset: Dataset, sheets: "Sheets") -> dict[Unit, bool]:
    from knowlip.language.truth import judge

    truth, says = dataset.truth(), {}
    for tile in sheets.tiles:
        if tile not in truth:
            continue
        kind, window_m = sheets.instruction_set[tile], float(sheets.facts(tile)["window_m"])
        for text in sheets.texts[tile]:
            verdict = judge(kind, text["dimension"], text["text"], truth[tile], window_m)
            if verdict is not None:
                says[tile, text["slot"]] = verdict
    return says


def _chart(report: dict[str, Any]) -> bytes:
    """Accuracy of the eight dimensions of each instruction set, with intervals, beside the paper's experts: PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sets = report["sets"]
    figure = Figure(figsize=(4.4 * len(sets) + 0.6, 3.9), layout="constrained")
    FigureCanvasAgg(figure)
    for number, (kind, found) in enumerate(sets.items(), 1):
        axes = figure.add_subplot(1, len(sets), number)
        rows = found["dimensions"]
        for position, row in enumerate(rows):
            if row["accuracy"] is None:
                axes.text(position, 2, "none", rotation=90, ha="center", va="bottom", fontsize=7, color="#777777")
                continue
            value, (low, high) = 100 * row["accuracy"], (100 * end for end in row["interval"])
            axes.bar(position, value, width=0.62, color="#4f86c6")
            axes.errorbar(
                position, value, yerr=[[max(0.0, value - low)], [max(0.0, high - value)]], color="#1c2430", capsize=3
            )
        paper = [100 * row["paper"] for row in rows]
        axes.plot(range(len(rows)), paper, "D", color="#d9822b", markersize=5, label="experts of the paper")
        axes.set_xticks(range(len(rows)), [row["dimension"] for row in rows], rotation=40, ha="right", fontsize=8)
        axes.set_ylim(0, 104)
        axes.grid(axis="y", color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        tiles = sum(stratum["drawn"] for stratum in report["strata"] if stratum["instruction_set"] == kind)
        axes.set_title(f"{_TARGETS[kind]} ({tiles} tiles)", fontsize=10)
        if number == 1:
            axes.set_ylabel("sub-texts found right, %\n(bars: 95 % Wilson)", fontsize=9)
            axes.legend(fontsize=7, loc="lower right")
    stream = BytesIO()
    figure.savefig(stream, format="png", dpi=110, metadata={"Software": None})
    return stream.getvalue()


def _page(report: dict[str, Any], chart: bytes) -> str:
    parts = [
        f"<h1>Audit of the texts of {escape(report['dataset'])}</h1>",
        f"<p>Text revision {report['revision']}. {report['tiles']} tiles were drawn with seed {report['seed']}: "
        f"{100 * report['share']:g} % of every instruction set and scale, at least {report['at_least']}. Accuracy is "
        "the share right of the sub-texts that most raters call right or wrong, with Wilson's 95 % interval; sub-texts "
        "on which all are unsure, or as many say right as wrong, are counted apart. "
        "Sub-texts of one tile are not independent of each other: the intervals over several dimensions are therefore "
        "rather too narrow. &ldquo;Paper&rdquo; is what its experts found on other images and texts.</p>",
        f'<img alt="Accuracy by dimension" src="data:image/png;base64,{base64.b64encode(chart).decode()}">',
    ]
    for kind, found in report["sets"].items():
        head = ["dimension", "right", "wrong", "unsure", "divided", "accuracy", "95 %", "paper"]
        with_truth = any("truth" in row for row in found["dimensions"])
        rows = [_row(row["dimension"], row, row["paper"], with_truth) for row in found["dimensions"]]
        rows.append(_row("all", found["overall"], found["paper"], with_truth).replace("<tr>", '<tr class="sum">'))
        head += ["truth", "truth agrees"] if with_truth else []
        parts += [f"<h2>{escape(_TARGETS[kind])}</h2>", _table(head, rows)]
        if found["weighted"] is not None:
            parts.append(f"<p>Weighted by the tiles of each scale in the data set: {_percent(found['weighted'])}.</p>")
    parts.append("<h2>Raters</h2>")
    head = ["rater", "right", "wrong", "unsure", "accuracy", "95 %"]
    parts.append(
        _table(
            head,
            [
                _cells(name, c["right"], c["wrong"], c["unsure"], _percent(c["accuracy"]), _interval(c["interval"]))
                for name, c in report["raters"].items()
            ],
        )
    )
    agreement = report["agreement"]
    if agreement["pairs"]:
        pairs = [
            _cells(" and ".join(p["raters"]), p["both"], _percent(p["same"]), _share(p["kappa"]))
            for p in agreement["pairs"]
        ]
        parts.append(_table(["pair", "sub-texts both judged", "same verdict", "Cohen's kappa"], pairs))
        parts.append(
            f"<p>Krippendorff's alpha (nominal) over {agreement['judged_twice']} sub-texts with two raters or more: "
            f"{_share(agreement['alpha'])}. 1 is full agreement, 0 what chance gives.</p>"
        )
    strata = [_cells(s["instruction_set"], s["scale"], s["tiles"], s["drawn"]) for s in report["strata"]]
    parts += ["<h2>AuditSample</h2>", _table(["instruction set", "scale", "tiles", "drawn"], strata)]
    if report["notes"]:
        notes = [_cells(n["tile_id"], n["rater"], n["note"]) for n in report["notes"]]
        parts += ["<h2>Notes</h2>", _table(["tile", "rater", "note"], notes)]
    return page_of("Audit of texts", _STYLE, "".join(parts))


def _row(name: str, found: dict[str, Any], paper: float, with_truth: bool) -> str:
    values = [name, found["right"], found["wrong"], found["unsure"], found["divided"], _percent(found["accuracy"])]
    values += [_interval(found["interval"]), _percent(paper, 0)]
    if with_truth:
        truth = found.get("truth", {"accuracy": None, "agrees": None})
        values += [_percent(truth["accuracy"]), _percent(truth["agrees"])]
    return _cells(*values)


def _table(head: list[str], rows: list[str]) -> str:
    return f"<table><tr>{''.join(f'<th>{escape(name)}</th>' for name in head)}</tr>{''.join(rows)}</table>"


def _cells(*values: object) -> str:
    return f"<tr>{''.join(f'<td>{escape(str(value))}</td>' for value in values)}</tr>"


def _percent(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{100 * value:.{digits}f} %"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _interval(ends: list[float] | None) -> str:
    return "-" if ends is None else f"{100 * ends[0]:.0f} to {100 * ends[1]:.0f} %"
