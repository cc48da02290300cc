"""The annotate stage: eight sub-texts for every accepted tile, in three waves, large before medium before small.

A tile's request carries the annotation of its direct parent and of no other (paper, HCoT-MIS: T_M = f(S_M, T_L),
T_S = f(S_S, T_M)). The waves are cut into chunks; a finished chunk is a file in DATASET/.annotate, whole or absent, so
that a killed run goes on where it was and ends with the same bytes.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from knowlip.annotators.chunks import ChunkStore, Outcome, Outcomes
from knowlip.annotators.measured.compose import TextOptions, text_settings
from knowlip.annotators.offline import offline_annotators
from knowlip.annotators.openai.ledger import RequestLedger
from knowlip.annotators.openai.options import OpenAIOptions
from knowlip.annotators.openai.prompt import prompt_hash
from knowlip.annotators.types import Annotation
from knowlip.annotators.waves import Piece, Wave, outcomes_of, waves_of
from knowlip.annotators.workers import Asking, Labelling, Measuring, Waiting
from knowlip.base.progress import say, track
from knowlip.base.vocabulary import Decision
from knowlip.dataset import Dataset
from knowlip.dataset.mentions import mention
from knowlip.dataset.texts import newest_runs
from knowlip.jobs.run import Run, runner
from knowlip.jobs.store import alone
from knowlip.jobs.work import Processes, Threads

MEASURED_CHUNK, OPENAI_CHUNK = 16, 4
"""Tiles per chunk: what a kill may cost of measuring, and of bookkeeping (paid answers are kept one by one)."""

GIVE_UP = 32
"""So many tiles without a single success end the run."""


@dataclass
class AnnotateConfig:
    """What to annotate and how."""

    dataset: Path
    """Folder of a built data set."""
    annotator: str = "measured"
    """"measured" measures offline (its first name, "rules", is understood, and stands in data sets of its first texts);
    "openai" asks a model behind an OpenAI-compatible endpoint; "labels" fills templates from truth, boxes and masks."""
    model: str = ""
    """openai: name of the model as the endpoint knows it."""
    base_url: str = ""
    """openai: address that ends in /v1; empty = environment variable OPENAI_BASE_URL, else OpenAI's own."""
    workers: int = 2
    """measured: processes; 1 works in this process."""
    detail: str = "tiles"
    """measured: what large and medium tiles are looked at in besides their own pixels: "tiles" puts the small tiles cut
    from them side by side; "none" adds nothing."""
    concurrency: int = 8
    """openai: requests in flight."""
    retry_quarantined: bool = False
    """Try tiles again that an earlier run gave up; no answer on disk, usable or not, is asked for again. Their children
    keep the texts that they got without a parent."""
    dry_run: bool = False
    """openai: only estimate requests, tokens and cost; nothing is asked, paid or written."""
    max_cost: float = 0.0
    """openai: stop before all runs on this data set together could cost more; needs openai.price_in and price_out."""
    batch: bool = False
    """openai: send each wave through the endpoint's Batch API: about half the price, answers within a day."""
    texts: TextOptions = field(default_factory=TextOptions)
    """measured: which layers speak, how much, and in which words."""
    openai: OpenAIOptions = field(default_factory=OpenAIOptions)
    """openai: prompt, image and request settings."""

    def __post_init__(self) -> None:
        if self.annotator == "rules":
            object.__setattr__(self, "annotator", "measured")
        known = ["openai", "labels", *offline_annotators()]
        if self.annotator not in known:
            raise ValueError(
                f"There is no annotator {self.annotator!r}; use {', '.join(known)}, or register or install the plug-in "
                "that has it."
            )
        if self.annotator == "openai" and not self.model:
            raise ValueError("The openai annotator needs the name of a model (--model).")
        if self.workers < 1 or self.concurrency < 1:
            raise ValueError("workers and concurrency must be 1 or more.")
        if self.annotator != "measured" and self.texts != TextOptions():
            raise ValueError("texts.* belong to the measured annotator (--annotator measured).")
        if self.annotator != "openai" and (self.dry_run or self.max_cost or self.batch):
            raise ValueError("dry_run, max_cost and batch belong to the openai annotator (--annotator openai).")
        if self.detail not in ("tiles", "none"):
            raise ValueError(f"detail is {self.detail!r}; use tiles or none.")
        if self.max_cost < 0:
            raise ValueError("max_cost must not be negative.")


def annotate(config: AnnotateConfig) -> dict[str, Any]:
    """Write the eight sub-texts of all accepted tiles as revision 0 of the data set.

    Returns:
        `tiles` (accepted), `annotated`, `resumed` (taken over from an earlier run), `quarantined`, `quarantine_reasons`
        (reason -> tiles, the ten most frequent), `instruction_sets` (name -> tiles), `seconds`, `tiles_per_second` (of
        the tiles done now), and for "openai" `usage` (requests, cached answers, retries, repairs, tokens) and
        `ledger` (the same and the cost over all runs). With `dry_run` only what `openai.cost.estimate` gives.

    Raises:
        ValueError: no data set or no accepted tile there; a run with other settings was begun, or there are
            texts from elsewhere; the endpoint cannot be used; not one tile could be annotated.
    """
    started = time.perf_counter()
    dataset = Dataset(config.dataset)
    store = ChunkStore(config.dataset / ".annotate")
    waves = waves_of(dataset, store, OPENAI_CHUNK if config.annotator == "openai" else MEASURED_CHUNK)
    if not any(map(len, waves)):
        raise ValueError(f"{config.dataset} has no accepted tile to annotate.")
    if config.dry_run:
        from knowlip.annotators.openai.cost import estimate

        finished = store.finished(config.retry_quarantined)
        if differ := store.differences(_settings(config, dataset)):
            finished = set()
            say(
                f"{config.dataset} holds another run (other {', '.join(differ)}), which this one cannot go on with: "
                "the estimate is that of a fresh data set with the same tiles."
            )
        return estimate(dataset, config.openai, config.batch, finished)
    with alone(store.folder / "lock", f"Another process annotates in {store.folder}; let one of them end."):
        return _annotate(config, dataset, store, waves, started)


def _annotate(
    config: AnnotateConfig,
    dataset: Dataset,
    store: ChunkStore,
    waves: Sequence[Wave],
    started: float,
) -> dict[str, Any]:
    if not store.begun and dataset.revisions():
        raise ValueError(f"{config.dataset} has texts already and they are never overwritten; build a fresh data set.")
    settings = _settings(config, dataset)
    store.agree(settings)
    those, annotator = _who(config, store, dataset)
    tally = _Tally(sum(map(len, waves)), store)
    retry, one_by_one = config.retry_quarantined, config.annotator == "openai" and not config.batch
    with those as run:
        # Not before the endpoint was asked for its models, and labels were read: a slip leaves nothing to go on with.
        store.begin(settings)
        for wave in waves:
            todo = []
            for piece in wave.pieces():
                old = store.kept(piece.name, retry)
                tally.resumed += len(old)
                for tile, outcome in old.items():
                    tally.add(tile, outcome)
                names = wave.names(piece.at)
                left = [at for at, tile in zip(piece.at, names) if tile not in old]
                if left:
                    todo.append(Piece(wave, left if len(left) < len(names) else piece.at))
            if annotator is not None:
                annotator.ledger.plan(tile for piece in todo for tile in wave.names(piece.at))
            new = _run(run, store, todo, retry, one_by_one)
            for tile, outcome in track(new, f"annotate {wave.scale} tiles", sum(len(piece.at) for piece in todo)):
                tally.add(tile, outcome)
    _keep(dataset, lambda: (_rows(notes, config.annotator) for notes in _notes(waves, store)))
    mentions = (
        mention(note.tile_id, config.annotator, note.counts, note.boxes)
        for notes in _notes(waves, store)
        for note in notes
    )
    dataset.write_mentions(mentions)
    store.write_quarantine(tally.quarantined)
    if tally.quarantined:
        why, often = tally.reasons()[0]
        say(
            f"  {len(tally.quarantined)} of {tally.total} tiles were quarantined, see {store.quarantine_path}; {often} "
            f"of them: {why[:300]}"
        )
    result = tally.summary(time.perf_counter() - started)
    if annotator is not None:
        result |= {"usage": annotator.usage.as_dict(), "ledger": annotator.ledger.summary()}
        annotator.ledger.close()
    return result


class _Tally:
    """How the tiles fared."""

    def __init__(self, total: int, store: ChunkStore) -> None:
        self.total, self._store = total, store
        self.done, self.resumed = 0, 0
        self.quarantined: dict[str, str] = {}
        self._sets: Counter[str] = Counter()

    def add(self, tile: str, outcome: Outcome) -> None:
        """Raises ValueError where the run gets nowhere."""
        if isinstance(outcome, Annotation):
            self.done += 1
            self._sets[outcome.instruction_set] += 1
            return
        self.quarantined[tile] = outcome
        if not self.done and len(self.quarantined) >= min(self.total, GIVE_UP):
            self._store.clear()  # a run that got nowhere leaves nothing to resume
            raise ValueError(f"Not one of {len(self.quarantined)} tiles could be annotated; {tile}: {outcome}")

    def reasons(self) -> list[tuple[str, int]]:
        """Why tiles were quarantined and how many, the most frequent first."""
        return Counter(self.quarantined[tile] for tile in sorted(self.quarantined)).most_common()

    def summary(self, seconds: float) -> dict[str, Any]:
        """As :func:`annotate` gives it."""
        return {
            "tiles": self.total,
            "annotated": self.done,
            "resumed": self.resumed,
            "quarantined": len(self.quarantined),
            "quarantine_reasons": dict(self.reasons()[:10]),
            "instruction_sets": dict(sorted(self._sets.items())),
            "seconds": round(seconds, 3),
            "tiles_per_second": round((self.total - self.resumed) / seconds, 3),
        }


def _settings(config: AnnotateConfig, dataset: Dataset) -> dict[str, Any]:
    """All that the texts depend on; an interrupted run goes on only under the same."""
    settings: dict[str, Any] = {"annotator": config.annotator, "dataset": dataset.fingerprint}
    if config.annotator == "measured":
        settings |= {"texts": text_settings(config.texts)}
    if config.annotator == "openai":
        settings |= {"model": config.model, "prompts": prompt_hash(), **config.openai.answer_settings()}
    elif config.annotator != "labels":
        settings["detail"] = config.detail
    return settings


def _who(
    config: AnnotateConfig, store: ChunkStore, dataset: Dataset
) -> tuple[AbstractContextManager[Run[Waiting, Outcomes]], Any]:
    """Who works on chunks, and the openai annotator (None for the others)."""
    if config.annotator == "labels":
        return runner(Labelling(dataset), Processes(1)), None
    if config.annotator != "openai":
        own = str(text_settings(config.texts)) if config.annotator == "measured" else ""
        measuring = Measuring(config.dataset, config.annotator, config.texts, config.detail == "tiles", own)
        return runner(measuring, Processes(config.workers)), None
    # The client library takes a second to import.
    from knowlip.annotators.openai.annotator import EndpointError, OpenAIAnnotator

    ledger = RequestLedger(store.folder / "ledger.sqlite")
    answers = store.folder / "answers"
    annotator = OpenAIAnnotator(
        config.model, config.openai, answers, config.base_url, ledger, config.max_cost, config.batch
    )
    annotator.check()
    if not config.batch and ledger.open_batches():
        raise ValueError("Batches of this data set are under way and will be paid: go on with --batch true.")
    if config.retry_quarantined:
        ledger.forgive()
    if config.batch:
        from knowlip.annotators.openai.batch import BatchRequests

        return nullcontext(BatchRequests(dataset, annotator, store.folder / "batches").run), annotator
    return runner(Asking(dataset, annotator, EndpointError), Threads(config.concurrency)), annotator


def _run(
    run: Run[Waiting, Outcomes], store: ChunkStore, todo: list[Piece], retry: bool, one_by_one: bool
) -> Iterator[tuple[str, Outcome]]:
    """Do pieces, whole or `one_by_one` of their tiles; yield the new outcomes, and store each chunk (with what was kept
    of it) when it is whole."""
    pieces = [Piece(piece.wave, (at,)) for piece in todo for at in piece.at] if one_by_one else todo
    left = {piece.name: len(piece.at) for piece in todo}
    found: dict[str, Outcomes] = {}
    for piece, outcomes in run(pieces):
        found.setdefault(piece.name, {}).update(outcomes)
        left[piece.name] -= len(outcomes)
        if not left[piece.name]:
            store.write(piece.name, {**store.kept(piece.name, retry), **found.pop(piece.name)})
        yield from outcomes.items()


def _notes(waves: Sequence[Wave], store: ChunkStore) -> Iterator[list[Annotation]]:
    """All annotations in the order of their tiles' names, some at a time."""
    for outcomes in outcomes_of(waves, store):
        yield [outcome for _, outcome in outcomes if isinstance(outcome, Annotation)]


def _keep(dataset: Dataset, rows: Callable[[], Iterator[pd.DataFrame]]) -> None:
    """Write revision 0, or append the tiles that it lacks (annotated on a retry), and publish into the shards.

    Where a training has revised the texts since, the shards keep what was published: that is the user's decision.
    """
    if not dataset.revisions():
        dataset.write_texts(rows)
    else:
        known = set(dataset.texts()["tile_id"])
        missing = pd.concat([part[~part["tile_id"].isin(known)] for part in rows()], ignore_index=True)
        if len(missing):
            dataset.append_revision(missing, "annotate")
    if dataset.info["published_revision"] < 0 or newest_runs(dataset.path) <= {"annotate"}:
        dataset.publish_texts()


def _rows(annotations: Iterable[Annotation], annotator: str) -> pd.DataFrame:
    """Rows of texts.parquet, ordered by tile and slot."""
    # Column by column: a row of 17 values as a dict takes as much as its texts five times over.
    pairs = [
        (note, slot, sub)
        for note in sorted(annotations, key=lambda note: note.tile_id)
        for slot, sub in enumerate(note.sub_texts, start=1)
    ]
    count = len(pairs)
    columns = {
        "tile_id": [note.tile_id for note, _, _ in pairs],
        "revision": np.zeros(count, np.int32),
        "run": ["annotate"] * count,
        "instruction_set": [note.instruction_set for note, _, _ in pairs],
        "slot": np.array([slot for _, slot, _ in pairs], np.int32),
        "dimension": [sub.dimension for _, _, sub in pairs],
        "text": [sub.text for _, _, sub in pairs],
        "annotator": [annotator] * count,
        "confidence": np.array([float(sub.confidence) for _, _, sub in pairs], float),
        "evidence": [sub.evidence for _, _, sub in pairs],
        "marks": [sub.marks for _, _, sub in pairs],
        "decision": [Decision.ANNOTATED] * count,
        **{name: np.zeros(count) for name in ("delta_itc", "delta_itm", "margin")},
        "reason": [""] * count,
    }
    return pd.DataFrame(columns)
