"""Real images, zero shot: what the model that comes with KnowLIP, or another, answers about images unlike its own.

    python -m benchmarks.zero_shot [--data FOLDER] [--model MODEL] [--sets ssdd sen1floods11 sar-acd] [--limit 1000]

The model's answers are compared with the labels, beside the highest floor: the usual answer of its training ("blind"),
the most frequent answer here, and what signal processing says (CFAR, thresholds, the size of a chip). The measured
annotator answers the same questions from its sentences; where it is silent it is wrong. Rows of `other-image:MODEL` are
the model's answers when it is shown the image of another trial. `details` hold every floor, and what was left out.

SSDD: how many ships, and which region holds most, on the half that nobody was fitted on; CFAR is fitted on the other
half; pixels are taken for 3 m. Sen1Floods11: windows as wide as the widest of the training: is there water (10 %), is
it the main landform, is it in a region, what share. SAR-ACD: wide- or narrow-body airliner, one chip of each group of
near copies.
"""

import argparse
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.record import record
from benchmarks.zero_shot_sets import Asked, Usual, sar_acd, sen1floods11, ssdd
from knowlip.base.files import file_sha256
from knowlip.base.progress import track
from knowlip.base.rows import ANNOTATOR, OTHER_IMAGE, Json, Results, Row, highest_floor
from knowlip.benchmark.evaluate import short_name
from knowlip.inference.opened import encode, open_model
from knowlip.models import KnowLIP
from knowlip.models.hub import WEIGHTS
from knowlip.tasks.metrics import proportion

SETS = ("ssdd", "sen1floods11", "sar-acd")
TEACHER = f"{ANNOTATOR}measured"
_BATCH = 16


def answers(model: KnowLIP, asked: Asked, order: Sequence[int] | None = None) -> list[str]:
    """What the model answers to each trial; `order` gives it the images of other trials."""
    trials = asked.trials
    order = range(len(trials)) if order is None else order
    said: list[str] = []
    for start in track(range(0, len(trials), _BATCH), f"{asked.data}: {asked.metric}"):
        rows = range(start, min(start + _BATCH, len(trials)))
        prompts = [trials[row].prompt for row in rows]
        with torch.inference_mode():
            tokens, _ = encode(model, [trials[order[row]].image for row in rows])
            if asked.candidates:
                choice = model.rank(tokens, prompts, list(asked.candidates)).argmax(1).tolist()
                said += [asked.candidates[one] for one in choice]
            else:
                said += model.generate(tokens, prompts, 24)
    return [asked.read(answer) for answer in said]


def measured(model: KnowLIP, name: str, asked: Asked) -> tuple[list[Row], dict[str, Json]]:
    """The rows of the model, of itself with other images and of the annotator on the same trials, and details."""
    # Every floor is a list of answers to the same trials; the highest stands in the row, all in the details.
    trials = asked.trials
    truth = [trial.truth for trial in trials]
    told = {key: [trial.floors[key] for trial in trials] for key in (trials[0].floors if trials else ())}
    if asked.candidates and trials:
        told["most frequent answer here"] = [Counter(truth).most_common(1)[0][0]] * len(trials)
    if not trials:
        return [skipped(asked.data, asked.metric, name, "No image has a clear label.")], {}
    floors = {key: float(np.mean(_hits(asked, said))) for key, said in told.items()}
    floor, floor_name = highest_floor(floors)
    other = np.roll(np.arange(len(trials)), len(trials) // 2).tolist()
    ours, blind = _hits(asked, answers(model, asked)), _hits(asked, answers(model, asked, other))
    teacher = _hits(asked, [trial.teacher for trial in trials])
    clusters = [trial.cluster for trial in trials]
    rows = []
    for encoder, hits in ((name, ours), (OTHER_IMAGE + name, blind), (TEACHER, teacher)):
        silent = sum(not trial.teacher for trial in trials) if encoder == TEACHER else 0
        if silent == len(trials):
            continue
        note = f"It says nothing of {silent} of {len(trials)}; silence counts as wrong." if silent else ""
        share = proportion(hits, clusters)
        rows.append(
            Row(
                asked.data,
                "real images",
                "zero shot",
                encoder,
                asked.metric,
                share.value,
                share.ci,
                share.n,
                floor,
                floor_name,
                f"{note} {share.note}".strip(),
            )
        )
    return rows, {
        "floors": floors,
        "answers": dict(Counter(truth).most_common(8)),
        "skipped": dict(asked.skipped),
    }


def _hits(asked: Asked, said: Sequence[str]) -> list[bool]:
    return [asked.right(answer, trial.truth) for answer, trial in zip(said, asked.trials, strict=True)]


def skipped(data: str, metric: str, name: str, why: str) -> Row:
    """A row without a figure."""
    return Row(data, "real images", "zero shot", name, metric, None, None, 0, None, "", why)


def measure(model: KnowLIP, name: str, data: Path, sets: Sequence[str], limit: int) -> Results:
    """All rows of the sets; a row without a value where a set is not there.

    Args:
        model: what answers.
        name: of the model in rows.
        data: folder with a folder of each set.
        sets: of `SETS`.
        limit: most trials of a figure.
    """
    usual: Usual = model.card.get("usual_answers", {})
    windows = model.card.get("windows_m") or [1024.0]
    made: dict[str, Callable[[Path], list[Asked]]] = {
        "ssdd": lambda folder: ssdd(folder, usual, limit),
        "sen1floods11": lambda folder: sen1floods11(folder, usual, max(windows), limit),
        "sar-acd": lambda folder: sar_acd(folder, usual, limit),
    }
    rows: list[Row] = []
    details: dict[str, dict[str, Json]] = {}
    for one in sets:
        folder = data / one
        if not folder.is_dir():
            rows.append(skipped(one, "all", name, f"There is no folder {one} in the data."))
            continue
        details[one] = {}
        for asked in made[one](folder):
            found, more = measured(model, name, asked)
            rows += found
            details[one][asked.metric] = more
    return Results(tuple(rows), details)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("KNOWLIP_DATA", "../shared/data")))
    parser.add_argument("--model", type=Path, help="by default the model that comes with KnowLIP")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--limit", type=int, default=1000, help="most trials of a figure")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/zero_shot.json"))
    options = parser.parse_args()
    started = time.process_time()
    model, folder = open_model(options.model, "cpu")
    name = short_name(str(folder))
    found = measure(model, name, options.data, options.sets, options.limit)
    for row in found.rows:
        print(
            row.encoder, row.data, row.metric, row.shown(row.value), row.shown_ci, row.shown(row.floor), row.floor_name
        )
    setup = {"encoders": {name: file_sha256(folder / WEIGHTS)}, "limit": options.limit}
    if not (known := [row for row in found.rows if row.value is not None]):
        raise SystemExit("Nothing was measured: give --data FOLDER with ssdd, sen1floods11 or sar-acd.")
    rest = Results(found.rows, found.details, setup, {"cpu": round(time.process_time() - started, 1)}).plain()
    unit = f"{known[0].metric} on {known[0].data}, zero shot; baseline: {known[0].floor_name}"
    command = f"python -m benchmarks.zero_shot --sets {' '.join(options.sets)} --limit {options.limit}"
    record(options.out, known[0].value or 0.0, known[0].floor or 0.0, unit, {**rest, "command": command}, "one process")


if __name__ == "__main__":
    main()
