"""Put the report together: read what there is, say what there is not, write one HTML file."""

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from knowlip.base.documents import parse_json, read_json
from knowlip.base.examples import read_examples
from knowlip.base.files import whole_file
from knowlip.base.rows import Results, read_results
from knowlip.benchmark.report import results
from knowlip.benchmark.report.data import facts, samples
from knowlip.benchmark.report.places import Pictures, places
from knowlip.benchmark.settings import ReportConfig
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
)
"""Anchor, which is also the name of its template, and heading; one section a task and how to repeat it all follow."""
_SCREENING: Final = {
    "deltas": "Screening leaves out one sub-text at a time; where image and text then agree better in contrast and in "
    "matching, it is held to be noise.",
    "nll": "Screening hides each sub-text and asks the decoder, which sees the image and other sub-texts, how "
    "probable its words are; the least expected are held to be noise.",
    "all": "Screening leaves out one sub-text at a time, asks whether image and text then agree better and how "
    "probable its words were, and weighs all of it.",
}
"""What is said of each kind of evidence."""
_CURVES = (
    ("itc", "Contrast (ITC)", "image and text of one tile against all others"),
    ("itm", "Matching (ITM)", "does this text belong to this image?"),
    ("infill", "Infilling", "write the missing piece of text"),
    ("gain.terrain", "Image gain, terrain", "nats a token over another tile's image"),
    ("gain.marine", "Image gain, marine", "the same in texts on ships"),
    ("gain.ground", "Image gain, ground", "the same in texts on aircraft and other targets on land"),
    ("attention.target", "Attention on targets", "of holes, times uniform"),
    ("tau", "Temperature", ""),
    ("lr", "Learning rate", ""),
    ("pairs_per_s", "Pairs a second", ""),
)
"""Name in the log, title and note."""


def report(config: ReportConfig) -> dict[str, Any]:
    """Write the report; parts that are missing are named as missing.

    Returns:
        `{"report": path, "bytes": size, "missing": [parts], "seconds": {"report": s}}`.

    Raises:
        ValueError: no data set, a file that was named but is not there, or a page above 8 MB even with small pictures.
    """
    # Everything is read before the folder is touched: a broken file leaves the old report as it was.
    started = time.monotonic()
    data = Dataset(config.dataset)
    found = read_results(config.metrics) if config.metrics else Results(())
    beside = config.metrics.with_name("examples.json") if config.metrics else None
    chosen = config.examples or (beside if beside and beside.exists() else None)
    examples = read_examples(chosen) if chosen else ()
    log = read_log(config.run / "log.jsonl") if config.run else []
    truths = data.truth()
    revision = found.setup.get("revision")
    parts = [(f"task-{part.title}", part.title, part) for part in results.task_parts(found, examples)]
    plain = [(anchor, title, None) for anchor, title in _SECTIONS]
    values = {
        "title": config.title,
        "sections": [*plain, *parts, ("repeat", "How to repeat this", None)],
        "subtitle": _subtitle(data, found),
        "cards": results.headline(found),
        "results": results.table(found),
        "places": places(data),
        "facts": facts(data),
        "samples": samples(data, truths, revision if isinstance(revision, int) else None, config.samples, config.seed),
        "with_truth": bool(truths),
        "curves": curves(log),
        "screening": _screening(_run_json(config, "scio-stage2.json")),
        "repeat": _repeat(config, data, found),
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
    there = {"metrics": found.rows, "examples": examples, "log": log, "truth": truths, "texts": data.revisions()}
    return {
        "report": str(config.out),
        "bytes": size,
        "missing": [name for name, part in there.items() if not part],
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
            entry = parse_json(line, f"Line {number} of {path}", lenient=True)
        except ValueError:
            if number == len(lines):
                continue
            raise
        if isinstance(entry, dict) and "step" in entry:
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


def _screening(figures: Mapping[str, Any]) -> dict[str, Any] | None:
    """How the run screened its texts, and how that did on injected noise; None where it did not."""
    if not figures:
        return None
    evidence = figures.get("noise_model", {}).get("evidence", "deltas")
    return {
        "how": _SCREENING.get(evidence, _SCREENING["all"]),
        "injected": figures.get("injected"),
        "threshold": figures.get("threshold", 0.0),
    }


def _subtitle(data: Dataset, found: Results) -> str:
    tiles, setup = data.tiles(), found.setup
    sensors = tiles["platform"].nunique()
    words = (
        f"{len(tiles):,} SAR tiles of {tiles['scene_id'].nunique()} places and {sensors} sensor{'s' * (sensors != 1)}"
    )
    if {"blocks", "tiles"} <= setup.keys():
        blocks = f"{setup['blocks']} geographic blocks that training never saw"
        words += f"; measured on {setup['tiles']} tiles in {blocks}"
    return f"{words}."


def _run_json(config: ReportConfig, name: str) -> dict[str, Any]:
    path = config.run / name if config.run else None
    return dict(read_json(path)) if path and path.exists() else {}


def _repeat(config: ReportConfig, data: Dataset, found: Results) -> dict[str, Any]:
    """Commands, versions, seconds and settings."""
    # The commands are those that were run, not those that would be: they stand in the run's own provenance.
    provenance = _run_json(config, "provenance.json")
    commands = [str(provenance["command"])] if provenance.get("command") else []
    last = f"knowlip report --dataset {config.dataset} --out {config.out}"
    if config.run:
        last += f" --run {config.run}"
    if config.metrics:
        model = f"{config.run or 'RUN'}/model"
        commands.append(f"knowlip evaluate --dataset {config.dataset} --model {model} --out {config.metrics}")
        last += f" --metrics {config.metrics}"
    fingerprint = (provenance.get("data") or [""])[0] or found.setup.get("dataset_fingerprint")
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
        "seconds": [(name, f"{seconds:,.0f}") for name, seconds in found.seconds.items()],
        "config": settings.read_text() if settings and settings.exists() else "",
        "info": json.dumps(info, indent=1),
        "metrics": json.dumps(found.plain(), indent=1),
    }
