"""Put the report together: read what there is, say what there is not, write one HTML file."""

# ruff: noqa: E501 (markup is easier to read in one line)

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from knowlip.base.files import read_json, whole_file
from knowlip.benchmark.report import sections_data, sections_results
from knowlip.benchmark.report.pictures import Pictures
from knowlip.benchmark.table import VQA_TITLES, percent
from knowlip.dataset import Dataset

MOST_BYTES = 8_000_000
_QUALITIES = (72, 50, 30, 15)


@dataclass
class ReportConfig:
    """Settings of :func:`report`."""

    dataset: Path
    """Folder of the data set."""
    out: Path
    """HTML file to write."""
    run: Path | None = None
    """Folder of the pre-training run, with log.jsonl and config.yaml."""
    metrics: Path | None = None
    """JSON written by `evaluate`."""
    examples: Path | None = None
    """Its examples; by default `examples.json` beside `metrics`."""
    title: str = "KnowLIP report"
    """Headline."""
    samples: int = 8
    """Sample tiles shown with all their sub-texts."""
    seed: int = 0
    """Of the choice of sample tiles."""


def report(config: ReportConfig) -> dict[str, Any]:
    """Write the report; parts that are missing are named as missing.

    Returns:
        `{"report": path, "bytes": size, "missing": [parts], "seconds": {"report": s}}`.

    Raises:
        ValueError: no data set, a file that was named but is not there, or a page above 8 MB even with small pictures.
    """
    started = time.monotonic()
    data = Dataset(config.dataset)
    metrics = read_json(config.metrics) if config.metrics else {}
    beside = config.metrics.with_name("examples.json") if config.metrics else None
    chosen = config.examples or (beside if beside and beside.exists() else None)
    examples = read_json(chosen) if chosen else {}
    log = read_log(config.run / "log.jsonl") if config.run else []
    for quality in _QUALITIES:
        page = _page(config, data, metrics, examples, log, Pictures(data, quality))
        size = len(page.encode())
        if size <= MOST_BYTES:
            break
    else:
        raise ValueError(f"The report would have {size / 1e6:.1f} MB; ask for fewer samples than {config.samples}.")
    with whole_file(config.out) as part:
        part.write_text(page)
    absent = [
        name
        for name, there in (
            ("metrics", metrics), ("examples", examples), ("log", log), ("truth", data.truth()), ("texts", data.revisions()),
        )
        if not there
    ]  # fmt: skip
    return {
        "report": str(config.out), "bytes": size, "missing": absent,
        "seconds": {"report": round(time.monotonic() - started, 1)},
    }  # fmt: skip


def read_log(path: Path) -> list[dict[str, Any]]:
    """Lines of a run's log, in order of steps; [] when there is none. After a resumed run the later line of a step counts.

    Raises:
        ValueError: a line in the middle is not JSON. A broken last line (a killed run) is left out.
    """
    if not path.exists():
        return []
    lines = path.read_text().splitlines()
    steps: dict[int, dict[str, Any]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            if number == len(lines):
                continue
            raise ValueError(f"Line {number} of {path} is not valid JSON ({error}).") from None
        if "step" in entry:
            steps[int(entry["step"])] = entry
    return [steps[step] for step in sorted(steps)]


def _page(
    config: ReportConfig,
    data: Dataset,
    metrics: Mapping[str, Any],
    examples: Mapping[str, Any],
    log: Sequence[Mapping[str, Any]],
    pictures: Pictures,
) -> str:
    truths = data.truth()
    revision = metrics.get("setup", {}).get("revision")
    sections = [
        ("results", "Results", sections_results.results_section(metrics)),
        ("places", "Places", sections_data.map_section(data)),
        ("data", "Data set", sections_data.facts_section(data)),
        ("texts", "Tiles and their texts",
         sections_data.samples_section(data, truths, pictures, revision, config.samples, config.seed)),
        ("training", "Training", sections_results.training_section(log)),
        ("retrieval", "Retrieval", sections_results.retrieval_section(metrics, examples, pictures)),
        ("questions", "Questions", sections_results.vqa_section(metrics, examples, pictures)),
        ("captions", "Captions", sections_results.caption_section(metrics, examples, pictures)),
        ("scio", "Self-correction", sections_results.scio_section(metrics, _run_json(config, "scio-stage2.json"))),
        ("repeat", "How to repeat this",
         sections_results.repeat_section(metrics, _config_text(config), _run_json(config, "provenance.json"),
                                         _config_of(data), _commands(config, data))),
    ]  # fmt: skip
    here = files("knowlip.benchmark.report")
    body = "".join(f'<section id="{key}"><h2>{title}</h2>{html}</section>' for key, title, html in sections)
    links = "".join(f'<a href="#{key}">{title}</a>' for key, title, _ in sections)
    return Template((here / "page.html").read_text()).substitute(
        title=escape(config.title),
        css=(here / "page.css").read_text(),
        script=(here / "page.js").read_text(),
        subtitle=_subtitle(data, metrics),
        cards=_headline(metrics),
        links=links,
        sections=body,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _subtitle(data: Dataset, metrics: Mapping[str, Any]) -> str:
    tiles = data.tiles()
    words = (
        f"{len(tiles):,} SAR tiles of {tiles['scene_id'].nunique()} places and {tiles['platform'].nunique()} "
        f"sensor{'s' if tiles['platform'].nunique() != 1 else ''}"
    )
    setup = metrics.get("setup")
    if setup:
        words += (
            f"; measured on {setup['tiles']:,} tiles in {setup['blocks']} geographic blocks that training never saw"
        )
    return escape(words + ".")


def _card(name: str, value: str, note: str, share: float | None = None, reference: float | None = None) -> str:
    """A headline number with a bar that also shows what it is compared with."""
    bar = ""
    if share is not None:
        tick = f'<b style="left:{100 * min(1.0, reference):.2f}%"></b>' if reference is not None else ""
        bar = f'<div class="meter" aria-hidden="true"><i style="width:{100 * min(1.0, share):.2f}%"></i>{tick}</div>'
    return f'<div class="card"><span>{name}</span><strong>{value}</strong>{bar}<small>{note}</small></div>'


def _headline(metrics: Mapping[str, Any]) -> str:
    cards = []
    for key, title in (("image_to_text", "Image → text, R@1"), ("text_to_image", "Text → image, R@1")):
        part = metrics.get("retrieval", {}).get(key)
        if part:
            times = part["r1"] / part["chance_r1"]
            note = f"{times:,.{1 if times < 9.95 else 0}f} × chance ({percent(part['chance_r1'], 2)}); R@10 {percent(part['r10'])}"
            cards.append(_card(title, percent(part["r1"]), note, part["r1"], part["chance_r1"]))
    asked = [metrics.get("vqa", {}).get(key) or {} for key in VQA_TITLES]
    asked = [row for row in asked if row.get("accuracy") is not None and row.get("majority") is not None]
    if asked:
        mean = sum(row["accuracy"] for row in asked) / len(asked)
        majority = sum(row["majority"] for row in asked) / len(asked)
        above = sum(row["accuracy"] > row["majority"] for row in asked)
        note = f"majority answer {percent(majority)}; above it on {above} of {len(asked)} types"
        title = "Questions, agreement" if asked[0].get("source") == "annotator" else "Questions, mean accuracy"
        cards.append(_card(title, percent(mean), note, mean, majority))
    captions = metrics.get("caption", {})
    claims = captions.get("claims", {})
    if claims.get("true") is not None:
        note = f"one fixed text {percent(claims.get('baseline_true'))}; CIDEr {captions['cider']:.2f}"
        cards.append(
            _card(
                "Written claims that are true",
                percent(claims["true"]),
                note,
                claims["true"],
                claims.get("baseline_true"),
            )
        )
    elif captions.get("cider") is not None:
        cards.append(
            _card("Captions, CIDEr", f"{captions['cider']:.2f}", f"one fixed text {captions['baseline_cider']:.2f}")
        )
    scio = metrics.get("scio", {})
    if scio.get("precision") is not None:
        note = f"base rate {percent(scio['base_rate'])}; finds {percent(scio['recall'])} of the wrong texts"
        cards.append(
            _card("Screening, precision", percent(scio["precision"]), note, scio["precision"], scio["base_rate"])
        )
    accuracy = metrics.get("text_accuracy", {})
    if accuracy.get("before") is not None:
        note = f"before {percent(accuracy['before'])}; among trained on {percent(accuracy['after_without_screened'])}"
        cards.append(
            _card("True sub-texts after SCIO", percent(accuracy["after"]), note, accuracy["after"], accuracy["before"])
        )
    return "".join(cards) or '<p class="missing">Nothing was measured yet.</p>'


def _run_json(config: ReportConfig, name: str) -> dict[str, Any]:
    path = config.run / name if config.run else None
    return dict(read_json(path)) if path and path.exists() else {}


def _config_text(config: ReportConfig) -> str:
    path = config.run / "config.yaml" if config.run else None
    return path.read_text() if path and path.exists() else ""


def _config_of(data: Dataset) -> dict[str, Any]:
    return {key: data.info[key] for key in ("config", "versions", "seeds", "counts") if key in data.info}


def _commands(config: ReportConfig, data: Dataset) -> list[str]:
    provenance = _run_json(config, "provenance.json")
    lines = [str(provenance["command"])] if provenance.get("command") else []
    report_line = f"knowlip report --dataset {config.dataset} --out {config.out}"
    if config.run:
        report_line += f" --run {config.run}"
    if config.metrics:
        lines.append(
            f"knowlip evaluate --dataset {config.dataset} --model {config.run or 'RUN'}/model --out {config.metrics}"
        )
        report_line += f" --metrics {config.metrics}"
    return [*lines, report_line]
