"""Put the report together: read what there is, say what there is not, write one HTML file."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from knowlip.base.files import read_json, whole_file
from knowlip.benchmark.report import results
from knowlip.benchmark.report.data import facts, samples
from knowlip.benchmark.report.places import Pictures, places
from knowlip.dataset import Dataset
from knowlip.pages.charts import Curve, line_chart
from knowlip.pages.render import render

MOST_BYTES = 8_000_000
_QUALITIES = (72, 50, 30, 15)
_SECTIONS = (
    ("results", "Results"),
    ("places", "Places"),
    ("data", "Data set"),
    ("texts", "Tiles and their texts"),
    ("training", "Training"),
    ("retrieval", "Retrieval"),
    ("questions", "Questions"),
    ("captions", "Captions"),
    ("scio", "Self-correction"),
    ("repeat", "How to repeat this"),
)
"""Anchor, which is also the name of its template, and heading."""
_CURVES = (
    ("itc", "Contrast (ITC)", "image and text of one tile against all others"),
    ("itm", "Matching (ITM)", "does this text belong to this image?"),
    ("infill", "Infilling", "write the missing piece of text"),
    ("tau", "Temperature", ""),
    ("lr", "Learning rate", ""),
    ("pairs_per_s", "Pairs a second", ""),
)
"""Name in the log, title and note."""


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
    truths = data.truth()
    values = {
        "title": config.title,
        "sections": _SECTIONS,
        "subtitle": _subtitle(data, metrics),
        "cards": results.headline(metrics),
        "results": results.results(metrics),
        "places": places(data),
        "facts": facts(data),
        "samples": samples(data, truths, metrics.get("setup", {}).get("revision"), config.samples, config.seed),
        "with_truth": bool(truths),
        "curves": curves(log),
        "examples": examples,
        "retrieval": results.retrieval(metrics),
        "same_parts": results.same_parts,
        "questions": results.questions(metrics),
        "captions": results.captions(metrics),
        "scio": results.scio(metrics, _run_json(config, "scio-stage2.json")),
        "repeat": _repeat(config, data, metrics),
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    for quality in _QUALITIES:
        page = render("report/report.html", **values, picture=Pictures(data, quality).uri)
        size = len(page.encode())
        if size <= MOST_BYTES:
            break
    else:
        raise ValueError(f"The report would have {size / 1e6:.1f} MB; ask for fewer samples than {config.samples}.")
    with whole_file(config.out) as part:
        part.write_text(page)
    parts = {"metrics": metrics, "examples": examples, "log": log, "truth": truths, "texts": data.revisions()}
    return {
        "report": str(config.out),
        "bytes": size,
        "missing": [name for name, there in parts.items() if not there],
        "seconds": {"report": round(time.monotonic() - started, 1)},
    }


def read_log(path: Path) -> list[dict[str, Any]]:
    """Lines of a run's log, in order of steps; [] when there is none. After a resumed run a step's later line counts.

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


def curves(log: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, Curve | None]]:
    """(title, note, drawn curve) of what the log holds, with the stages of SCIO shaded; None under two points."""
    bands: list[tuple[float, float, str]] = []
    for line in log:
        label, step = f"stage {line.get('stage')}", float(line["step"])
        if bands and bands[-1][2] == label:
            bands[-1] = (bands[-1][0], step, label)
        else:
            bands.append((bands[-1][1] if bands else step, step, label))
    result = []
    for key, title, note in _CURVES:
        points = [(float(line["step"]), float(line[key])) for line in log if line.get(key) is not None]
        if points:
            prior = float(log[-1].get("itm_prior", 0.6365))
            reference = (prior, f"prior {prior:.4f}") if key == "itm" else None
            result.append((title, note, line_chart(title, points, bands, reference)))
    return result


def _subtitle(data: Dataset, metrics: Mapping[str, Any]) -> str:
    tiles, setup = data.tiles(), metrics.get("setup")
    sensors = tiles["platform"].nunique()
    words = (
        f"{len(tiles):,} SAR tiles of {tiles['scene_id'].nunique()} places and {sensors} sensor{'s' * (sensors != 1)}"
    )
    if setup:
        blocks = f"{setup['blocks']} geographic blocks that training never saw"
        words += f"; measured on {setup['tiles']:,} tiles in {blocks}"
    return f"{words}."


def _run_json(config: ReportConfig, name: str) -> dict[str, Any]:
    path = config.run / name if config.run else None
    return dict(read_json(path)) if path and path.exists() else {}


def _repeat(config: ReportConfig, data: Dataset, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Commands, versions, seconds and settings."""
    provenance = _run_json(config, "provenance.json")
    commands = [str(provenance["command"])] if provenance.get("command") else []
    last = f"knowlip report --dataset {config.dataset} --out {config.out}"
    if config.run:
        last += f" --run {config.run}"
    if config.metrics:
        model = f"{config.run or 'RUN'}/model"
        commands.append(f"knowlip evaluate --dataset {config.dataset} --model {model} --out {config.metrics}")
        last += f" --metrics {config.metrics}"
    fingerprint = (provenance.get("data") or [""])[0] or metrics.get("setup", {}).get("dataset_fingerprint")
    facts = {
        "data set fingerprint": fingerprint,
        "commit": provenance.get("commit"),
        "machine": provenance.get("machine"),
        "Python": provenance.get("python"),
        **provenance.get("versions", {}),
    }
    settings = config.run / "config.yaml" if config.run else None
    info = {key: data.info[key] for key in ("config", "versions", "seeds", "counts") if key in data.info}
    return {
        "commands": [*commands, last],
        "facts": [(name, value) for name, value in facts.items() if value],
        "seconds": [(name, f"{seconds:,.0f}") for name, seconds in metrics.get("seconds", {}).items()],
        "config": settings.read_text() if settings and settings.exists() else "",
        "info": json.dumps(info, indent=1),
        "metrics": json.dumps(metrics, indent=1),
    }
