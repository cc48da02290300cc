"""Measure encoders on places they never saw: tasks found by name write rows.

Every key of the result is explained in `docs/evaluation.md`.
"""

import time
from dataclasses import asdict, replace
from pathlib import Path

from knowlip.base.examples import ShownExample, write_examples
from knowlip.base.files import file_sha256
from knowlip.base.progress import say
from knowlip.base.rows import Json, Results, Row, merged
from knowlip.benchmark.settings import EvaluateConfig
from knowlip.benchmark.table import print_table
from knowlip.models.encoders import Encoder, open_encoder
from knowlip.models.hub import WEIGHTS
from knowlip.tasks.bench import CLUSTERS, Bench, find_measure
from knowlip.tasks.unseen import check_unseen

EXAMPLES = "examples.json"
"""Written beside the results."""


def evaluate(config: EvaluateConfig, model: Encoder | None = None, vqa_model: Encoder | None = None) -> Results:
    """Measure, write `config.out` and `examples.json`, and return what was written.

    Args:
        config: what to measure and how much of it.
        model: use this instead of opening `config.model`.
        vqa_model: the same for `config.vqa_model`.

    Raises:
        ValueError: no such split, task or encoder, no texts, or places that training saw.
    """
    started = time.monotonic()
    measures = {task: find_measure(task) for task in config.tasks}
    bench = Bench(config.dataset, config.split, config.limits, config.seed, config.k_test, config.vqa_mode, config.name)
    default = model or _opened(config.model)
    if vqa_model is None and config.vqa_model is not None:
        vqa_model = _opened(config.vqa_model)
    own = {"vqa": vqa_model} if vqa_model else {}
    encoders = {task: own.get(task, default) for task in measures}
    notes = {}
    for encoder in encoders.values():
        unseen = check_unseen(encoder.card, bench.data.fingerprint, bench.everything, bench.tiles, encoder.name)
        notes[encoder.name] = unseen.note
    blocks = int(bench.tiles["block"].nunique())
    unseen_by = "" if any(notes.values()) else " that training never saw"  # else each row says what is not known
    say(f"Measure {len(bench.tiles)} {config.split} tiles of {blocks} blocks{unseen_by}")
    rows: list[Row] = []
    examples: list[ShownExample] = []
    details: dict[str, dict[str, Json]] = {}
    for task, measure in measures.items():
        found = measure(bench, encoders[task])
        # What is not known of an encoder's training stands at each of its figures.
        rows += [replace(row, note=f"{row.note} {notes.get(row.encoder, '')}".strip()) for row in found.rows]
        examples += found.examples
        details[task] = dict(found.details)
    files = {default.name: config.model} | ({vqa_model.name: config.vqa_model} if vqa_model else {})
    setup: dict[str, Json] = {
        "dataset_fingerprint": bench.data.fingerprint,
        "split": config.split,
        "tiles": len(bench.tiles),
        "tiles_without_texts": bench.without_texts,
        "blocks": blocks,
        "clusters": CLUSTERS[bench.unit],
        "places": int(bench.tiles["scene_id"].nunique()),
        "limits": asdict(config.limits),
        "k_test": config.k_test,
        "vqa_mode": config.vqa_mode,
        "encoders": {name: _fingerprint(str(file)) for name, file in files.items()},
        "revision": default.card.revision,
        "seed": config.seed,
    }
    results = Results(merged(rows), details, setup, {"evaluate": round(time.monotonic() - started, 1)})
    results.write(config.out)
    write_examples(config.out.with_name(EXAMPLES), examples)
    return results


def show(results: Results) -> str:
    """What a person sees: the table, on the terminal."""
    print_table(results)
    return ""


def _opened(name: str) -> Encoder:
    """An encoder under the name that rows carry: without the path, which says something of this machine only."""
    encoder = open_encoder(name)
    encoder.name = short_name(name)
    return encoder


def weights_of(name: str) -> Path | None:
    """The file or folder of weights in an encoder's name (`FOLDER`, `timm:NAME@FILE`, `KIND:FILE,setting=value`); None
    where there is none."""
    bare = name.removeprefix("knowlip:")
    kind, colon, rest = bare.partition(":")
    behind = rest.partition(",")[0] if colon and kind != "random" else ""
    of_timm = bare.rpartition("@")[2]
    found = (Path(text) for text in (bare, of_timm, of_timm.partition(",")[0], behind) if text)
    return next((path for path in found if path.exists()), None)


def short_name(name: str) -> str:
    """ "runs/large/model" -> "large", "timm:NAME@weights/file.pth" -> "timm:NAME@file.pth", "mae:weights/file.pth" ->
    "mae:file.pth"; others stay."""
    kind, at, file = name.removeprefix("knowlip:").rpartition("@")
    path = Path(file)
    if at:
        return f"{kind}@{path.name}"
    if not path.exists() and (weights := weights_of(name)) is not None:
        return name.replace(str(weights), weights.name, 1)
    if not path.exists():
        return name
    whole = path.resolve()
    return whole.parent.name if whole.name == "model" else whole.name


def _fingerprint(name: str) -> str:
    """SHA-256 of the weights of a model folder; "" where the encoder is none."""
    path = Path(name.removeprefix("knowlip:")) / WEIGHTS
    return file_sha256(path) if path.is_file() else ""
