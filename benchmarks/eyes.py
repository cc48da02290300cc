"""Does the model look? The figures of its evaluation, screening, rewriting and ablation in one file.

    python -m benchmarks.eyes --metrics metrics.json [--texts scio_truth.json] [--noisy scio_truth_noisy.json]
        [--texts_other scio_truth_other.json] [--questions oracle_steps.json] [--ablation ablation.json]
        [--cpu_seconds N] [--paper_metrics ...] [--paper_texts ...] [--paper_noisy ...]

`metrics.json` is what `knowlip evaluate` wrote about the model; `--texts` and `--noisy` are results of `python -m
benchmarks.scio_truth` on the measured annotator's texts and on texts with errors (`--wrong`), `--texts_other` the first
with the images of other tiles (`--other-images`); `--questions` are rows of `python -m benchmarks.oracle_steps`, which
stand in place of the questions of `--metrics`; `--places` is the data set among them, by default the first;
`--ablation` is the file of `knowlip ablation`. The same of the paper's loop (`scio.method: paper`) goes to `paper`.

Nothing is measured here, and nothing is made up: what no file holds is null, and `reasons` says why.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.record import record
from knowlip.base.documents import read_json
from knowlip.base.rows import ANNOTATOR, Results, Row, read_results
from knowlip.benchmark.leaderboard.sources import read_sources
from knowlip.language.dimensions import DIMENSIONS
from knowlip.language.questions import QUESTION_TYPES

OUT = Path(__file__).parent / "results" / "eyes.json"


class Collected:
    """Figures by dotted name, and why some are not there."""

    def __init__(self) -> None:
        self.figures: dict[str, Any] = {}
        self.reasons: dict[str, str] = {}

    def put(self, name: str, value: Any, reason: str) -> None:
        """Keep a figure under a dotted name; `reason` says why where it is None."""
        place = self.figures
        *groups, last = name.split(".")
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = value
        if value is None:
            self.reasons[name] = reason

    def plain(self) -> dict[str, Any]:
        return {**self.figures, "reasons": self.reasons}


def at(value: Any, *names: str) -> Any:
    """What nested objects hold under some names; None where one of them is missing."""
    for name in names:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def collected(
    metrics: Results | None,
    texts: Mapping[str, Any] | None,
    noisy: Mapping[str, Any] | None,
    other: Mapping[str, Any] | None,
    ablation: Mapping[str, Any] | None,
    evidence: Sequence[str],
    cpu_seconds: float | None,
    questions: Sequence[Row] = (),
) -> Collected:
    """All figures of one model.

    Args:
        metrics: of `knowlip evaluate`.
        texts, noisy: of `benchmarks.scio_truth`.
        other: the same as `texts` with the images of other tiles.
        ablation: of `knowlip ablation`.
        evidence: names of evidence; the first one that was measured gives the AUROC.
        cpu_seconds: of the training.
        questions: of `benchmarks.oracle_steps`, in place of those of `metrics`.
    """
    found = Collected()
    _gains(found, metrics)
    _questions(found, metrics, questions)
    _retrieval(found, metrics)
    _scio(found, metrics, texts, other, evidence)
    for name, file in (("own_texts", texts), ("noisy_texts", noisy)):
        _rewriting(found, name, file)
    _ablation(found, ablation)
    found.put("cpu_seconds", cpu_seconds, "It was not given.")
    return found


def _why(file: object, what: str) -> str:
    return f"{what} is not in the file." if file is not None else "No file was given."


def _gains(found: Collected, metrics: Results | None) -> None:
    """`image_gain.SET.DIMENSION` in nats a token, all other sub-texts hidden."""
    gains = at(metrics.details, "looking", "image_gain") if metrics else None
    for name, dimensions in DIMENSIONS.items():
        for dimension in dimensions:
            value = at(gains, f"{name} {dimension}", "gain")
            reason = _why(metrics, f"Image gain of {name} {dimension}") if gains is None else "No test tile has it."
            found.put(f"image_gain.{name}.{dimension}", value, reason)


def _row(metrics: Results | None, task: str, metric: str, teacher: bool = False) -> Row | None:
    """The model's row of a figure, or its annotator's."""
    rows = metrics.rows if metrics else ()
    return next(
        (
            row
            for row in rows
            if (row.task, row.metric) == (task, metric)
            and (
                row.encoder.startswith(ANNOTATOR)
                if teacher
                else metrics is not None and row.encoder in metrics.encoders
            )
        ),
        None,
    )


def _questions(found: Collected, metrics: Results | None, rows: Sequence[Row]) -> None:
    """`questions.TYPE`: `blind` is the highest accuracy without looking, whatever guesses it."""
    for kind in QUESTION_TYPES:
        metric = f"{kind.replace('_', ' ')} accuracy"
        own, teacher = _row(metrics, "vqa", metric), _row(metrics, "vqa", metric, teacher=True)
        if rows:
            mine = {row.encoder: row for row in rows if row.metric == metric}
            own, teacher = mine.get("model"), mine.get("annotator", teacher)
        reason = own.note if own is not None and own.note else _why(metrics, metric)
        name = f"questions.{kind}"
        found.put(f"{name}.accuracy", own and own.value, reason)
        found.put(f"{name}.blind", own and own.floor, reason)
        found.put(f"{name}.annotator", teacher and teacher.value, _why(metrics, f"The annotator's {metric}"))
        found.put(f"{name}.ci", list(own.ci) if own is not None and own.ci else None, reason)
        found.put(f"{name}.n", own and own.n, reason)


def _retrieval(found: Collected, metrics: Results | None) -> None:
    for name, metric in (
        ("image_to_text_r1", "image to text R@1"),
        ("text_to_image_r1", "text to image R@1"),
        ("reranked_image_to_text_r1", "image to text R@1 re-ranked"),
    ):
        row = _row(metrics, "retrieve", metric)
        found.put(f"retrieval.{name}", row and row.value, _why(metrics, metric))


def _scio(
    found: Collected,
    metrics: Results | None,
    texts: Mapping[str, Any] | None,
    other: Mapping[str, Any] | None,
    evidence: Sequence[str],
) -> None:
    """AUROC on the annotator's own errors: of the evidence, of its twin with another image, of the dimension alone."""
    of_texts = at(texts, "natural", "evidence") or {}
    decisions = at(metrics.details, "screening", "decisions") if metrics else None
    used = next((name for name in evidence if name in of_texts), None)
    value = at(of_texts, used, "auroc", "value") if used else at(decisions, "auroc")
    found.put("scio.auroc", value, _why(texts or metrics, f"AUROC of {' or '.join(evidence)}"))
    blind = (
        at(other, "natural", "evidence", used, "auroc", "value")
        if used
        else at(decisions, "evidence", "blind", "auroc", "value")
    )
    found.put("scio.auroc_other_image", blind, _why(texts or metrics, "AUROC with the image of another tile"))
    rate = at(texts, "natural", "auroc_of_dimension") or at(decisions, "auroc_of_dimension")
    found.put("scio.auroc_dimension_rate", rate, _why(texts or metrics, "AUROC of the dimension's error rate"))
    found.put("scio.evidence", used or (at(decisions, "auroc") and "noise score"), "No evidence was measured.")


def _rewriting(found: Collected, name: str, texts: Mapping[str, Any] | None) -> None:
    """Share of true sub-texts before the first pass and after the last."""
    passes = at(texts, "passes") or []
    overall = passes[-1].get("overall") if passes else None
    for key, place in (
        ("before", ("before", "value")),
        ("after", ("after", "value")),
        ("difference_ci", ("difference", "ci")),
    ):
        found.put(f"rewriting.{name}.{key}", at(overall, *place), _why(texts, "A pass of screening and rewriting"))


def _ablation(found: Collected, ablation: Mapping[str, Any] | None) -> None:
    """`ablation.ARM`: of the truth of what a model writes on unseen places where it was measured, else of questions."""
    arms = at(ablation, "arms")
    if not arms:
        found.put("ablation", None, _why(ablation, "An arm of the ablation"))
        return
    for arm, row in arms.items():
        outcome = next((name for name in ("written", "chosen", "questions") if name in row), None)
        figure = at(row, outcome, "all") if outcome else None
        found.put(f"ablation.{arm}.mean", at(figure, "value"), "No outcome was measured.")
        found.put(f"ablation.{arm}.ci", at(figure, "ci"), "One seed, or one place.")
        found.put(f"ablation.{arm}.n_seeds", at(row, "n_seeds"), "The file does not say it.")
        found.put(f"ablation.{arm}.outcome", outcome, "No outcome was measured.")


def rows_of(path: Path, data: str) -> list[Row]:
    """Rows of a data set in a file; of its first one where none is named."""
    rows = [told.row for told in read_sources([path]).rows]
    found = [row for row in rows if row.data == (data or rows[0].data)]
    if not found:
        raise SystemExit(f"{path} has no rows of {data!r}; it has {', '.join(sorted({row.data for row in rows}))}.")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for prefix in ("", "paper_"):
        whose = "the paper's loop" if prefix else "the model"
        parser.add_argument(f"--{prefix}metrics", type=Path, help=f"results of knowlip evaluate, {whose}")
        parser.add_argument(f"--{prefix}texts", type=Path, help=f"results of benchmarks.scio_truth, {whose}")
        parser.add_argument(f"--{prefix}texts_other", type=Path, help=f"the same with other images, {whose}")
        parser.add_argument(f"--{prefix}noisy", type=Path, help=f"the same on texts with errors, {whose}")
    parser.add_argument("--questions", type=Path, help="rows of benchmarks.oracle_steps")
    parser.add_argument("--places", default="", help="data set of those rows that counts")
    parser.add_argument("--ablation", type=Path, help="ablation.json of knowlip ablation")
    parser.add_argument("--evidence", nargs="+", default=["all", "nll"], help="the first that was measured counts")
    parser.add_argument("--cpu_seconds", type=float, help="of the training of the model")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()

    def read(path: Path | None) -> Any:
        return None if path is None else read_json(path)

    metrics = read_results(options.metrics) if options.metrics else None
    ours = collected(
        metrics,
        read(options.texts),
        read(options.noisy),
        read(options.texts_other),
        read(options.ablation),
        options.evidence,
        options.cpu_seconds,
        rows_of(options.questions, options.places) if options.questions else (),
    )
    paper_metrics = read_results(options.paper_metrics) if options.paper_metrics else None
    paper = collected(
        paper_metrics,
        read(options.paper_texts),
        read(options.paper_noisy),
        read(options.paper_texts_other),
        None,
        ["deltas"],
        None,
    )
    for name in ("ablation", "cpu_seconds"):  # stated once, of all arms and of the model
        paper.figures.pop(name, None)
        paper.reasons.pop(name, None)
    figures = [at(ours.figures, "questions", kind) for kind in QUESTION_TYPES]
    known = [one for one in figures if one["accuracy"] is not None and one["blind"] is not None]
    if not known:
        raise SystemExit("Nothing to put together: give --metrics with answers to questions.")
    value, blind = (sum(one[name] for one in known) / len(known) for name in ("accuracy", "blind"))
    rest = {**ours.plain(), "paper": paper.plain(), "model": sorted(metrics.encoders) if metrics else []}
    unit = f"mean accuracy of {len(known)} types of questions on unseen places; baseline: without looking"
    record(options.out, value, blind, unit, {**rest, "command": "python -m benchmarks.eyes"})
    print(
        f"{options.out}: {len(ours.reasons)} figures of the model are missing, {len(paper.reasons)} of the paper's loop"
    )
    for name, reason in ours.reasons.items():
        print(f"  {name}: {reason}")


if __name__ == "__main__":
    main()
