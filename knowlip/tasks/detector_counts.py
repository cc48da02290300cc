"""What a detector counts on the images about which a model is asked how many targets there are: so that the answer of
a sentence stands beside that of boxes.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from knowlip.base.documents import read_yaml
from knowlip.base.files import sha256
from knowlip.base.rows import read_results
from knowlip.dataset import Dataset
from knowlip.language.categories import category_of
from knowlip.language.questions import Question
from knowlip.tasks.detect_rows import CFAR, read_tables
from knowlip.tasks.runs import METRICS, check_folds

DETECTOR: Final = "detector:"
"""What the encoder of a detector's own row begins with."""
_SCORES: Final = np.arange(0.05, 1.0, 0.05)


class DetectorCounts(NamedTuple):
    """Numbers by a detector."""

    name: str
    """Of its encoder, without folders."""
    answers: list[str | None]
    """Of each question, None where the detector has not measured the tile or knows no such category."""
    told: str
    """From which score boxes count, and of how many questions there is no number."""
    note: str
    """What the detection says beside its own figures."""


def detection_runs(folder: Path) -> list[Path]:
    """The run folders of a detection that count: the folder itself, or the folds of its seed 0."""
    return [folder] if (folder / METRICS).is_file() else sorted(folder.glob("seed-0/fold-*"))


def finished_detection(folder: Path, data: Dataset) -> list[Path]:
    """The run folders of a detection.

    Args:
        folder: of `knowlip bench run --task detect` (all folds of its seed 0), or a run folder of it.
        data: the data set that is asked about.

    Raises:
        ValueError: it is none, not all of it is there, or it measured another data set.
    """
    runs = detection_runs(folder)
    if not runs or not all((run / name).is_file() for run in runs for name in (METRICS, CFAR, "config.yaml")):
        raise ValueError(f"{folder} holds no finished detection: give the folder of `knowlip bench run --task detect`.")
    settings = read_yaml(runs[0] / "config.yaml")
    wanted = settings.get("folds", 1) if isinstance(settings, dict) and settings.get("protocol", "own") != "own" else 1
    if runs[0] != folder and len(runs) != wanted:
        raise ValueError(f"{folder} holds {len(runs)} of the {wanted} folds of a detection: let it end.")
    check_folds(runs, whole=False)
    for run in runs:
        setup = read_results(run / METRICS).setup
        if setup.get("measured_fingerprint", setup.get("dataset_fingerprint")) != data.fingerprint:
            raise ValueError(f"{run} measured other tiles than {data.path} holds.")
    return runs


def detector_counts(
    folder: Path, data: Dataset, asked: Sequence[Question], group_of: Mapping[str, str]
) -> DetectorCounts:
    """How many boxes of the asked category a finished detection found in each tile that it measured (none of which it
    learned from). Boxes count from the score that comes nearest to the right numbers on the other half of the groups
    of copies.

    Args:
        folder: of `knowlip bench run --task detect` (its seed 0), or a run folder of it.
        data: the data set that is asked about; the detection must have measured the same.
        asked: questions for numbers.
        group_of: tile -> its group of copies.

    Raises:
        ValueError: no finished detection, or one of another data set.
    """
    runs = finished_detection(folder, data)
    # A threshold that were chosen on the tiles that it is measured on would know their answers.
    tables = read_tables(runs)
    measured = {*tables.tiles["tile_id"]}
    known = {category_of(str(name)) for name in (*tables.found["category"], *tables.truth["category"])}
    scores: dict[tuple[str, str], list[float]] = {}
    for tile, category, score in zip(tables.found["tile_id"], tables.found["category"], tables.found["score"]):
        scores.setdefault((str(tile), category_of(str(category))), []).append(float(score))
    there = [at for at, one in enumerate(asked) if one.tile_id in measured and one.subject in known]
    there = [at for at in there if re.fullmatch(r"\d{1,6}", asked[at].answer)]
    name, note = _name_and_note(runs)
    if not there:
        told = "It measured no tile, or no category, that is asked about by number."
        return DetectorCounts(name, [None] * len(asked), told, note)
    number = np.array(
        [
            [sum(score >= least for score in scores.get((asked[at].tile_id, asked[at].subject), [])) for at in there]
            for least in _SCORES
        ]
    )
    true = np.array([int(asked[at].answer) for at in there])
    names = sorted({group_of[asked[at].tile_id] for at in there}, key=lambda name: sha256(name.encode()))
    half = {name: place % 2 for place, name in enumerate(names)}
    part = np.array([half[group_of[asked[at].tile_id]] for at in there])
    answers: list[str | None] = [None] * len(asked)
    chosen = []
    for side in sorted({*half.values()}):
        fit = part != side if len({*half.values()}) > 1 else np.zeros(len(part), bool)
        error = np.abs(number[:, fit] - true[fit]).sum(1)
        best = int(np.argmin(error)) if fit.any() else len(_SCORES) // 2
        chosen.append(f"{_SCORES[best]:.2f}")
        for place in np.flatnonzero(part == side):
            answers[there[place]] = str(number[best, place])
    alone = "the middle of all: there is no other group to choose on"
    how = "chosen on the other half of the groups" if len(chosen) > 1 else alone
    told = f"Boxes count from a score of {' and '.join(chosen)}, {how}"
    if missing := len(asked) - len(there):
        told += f"; of {missing} questions the detector has not measured the tile or knows no such category"
    return DetectorCounts(name, answers, f"{told}.", note)


def _name_and_note(runs: Sequence[Path]) -> tuple[str, str]:
    """Name of the encoder, without folders, and what must be said beside its figures."""
    settings = read_yaml(runs[0] / "config.yaml")
    encoder = str(settings.get("encoder", "") if isinstance(settings, dict) else "")
    kind, at, file = encoder.rpartition("@")
    name = kind + at + Path(file).name
    details = [read_results(run / METRICS).details.get("detect", {}) for run in runs]
    notes = dict.fromkeys(str(one.get("note", "")).replace(encoder, name) if encoder else "" for one in details)
    return name, " ".join(one for one in notes if one)
