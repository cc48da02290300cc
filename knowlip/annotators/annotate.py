"""The annotate stage: eight sub-texts for every accepted tile, in three waves, large before medium before small.

A tile's request carries the annotation of its direct parent and of no other (paper, HCoT-MIS: T_M = f(S_M, T_L),
T_S = f(S_S, T_M)). The waves are cut into chunks; a finished chunk is a file in DATASET/.annotate, whole or absent, so
that a killed run goes on where it was and ends with the same bytes.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import chain
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
from knowlip.annotators.workers import REQUEST_COLUMNS, Asking, Chunk, Labelling, Measuring
from knowlip.base.progress import say, track
from knowlip.base.vocabulary import SCALES, Decision
from knowlip.dataset import Dataset
from knowlip.dataset.mentions import mention
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
            raise ValueError(f"There is no annotator {self.annotator!r}; use {', '.join(known)}.")
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
    waves = [(scale, dataset.tiles(scale=scale, columns=REQUEST_COLUMNS)) for scale in SCALES]
    total = sum(len(tiles) for _, tiles in waves)
    if not total:
        raise ValueError(f"{config.dataset} has no accepted tile to annotate.")
    store = ChunkStore(config.dataset / ".annotate")
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
    waves: Sequence[tuple[str, pd.DataFrame]],
    started: float,
) -> dict[str, Any]:
    total = sum(len(tiles) for _, tiles in waves)
    if not store.begun and dataset.revisions():
        raise ValueError(f"{config.dataset} has texts already and they are never overwritten; build a fresh data set.")
    settings = _settings(config, dataset)
    store.agree(settings)
    those, annotator = _who(config, store, dataset)
    done: dict[str, Annotation] = {}
    quarantined: dict[str, str] = {}
    resumed = 0
    paid = config.annotator == "openai"
    with those as run:
        # Not before the endpoint was asked for its models, and labels were read: a slip leaves nothing to go on with.
        store.begin(settings)
        for scale, tiles in waves:
            kept: dict[str, Outcomes] = {}
            todo = []
            for chunk in _chunks(scale, tiles, OPENAI_CHUNK if paid else MEASURED_CHUNK, done):
                kept[chunk.name] = store.kept(chunk.name, retry=config.retry_quarantined)
                left = [row for row in chunk.tiles if row["tile_id"] not in kept[chunk.name]]
                if left:
                    todo.append(replace(chunk, tiles=left))
            old = [pair for outcomes in kept.values() for pair in outcomes.items()]
            resumed += len(old)
            if annotator is not None:
                annotator.ledger.plan(row["tile_id"] for chunk in todo for row in chunk.tiles)
            new = _run(run, store, todo, kept, one_by_one=paid and not config.batch)
            new = track(new, f"annotate {scale} tiles", sum(len(chunk.tiles) for chunk in todo))
            for tile, outcome in chain(old, new):
                if isinstance(outcome, Annotation):
                    done[tile] = outcome
                    continue
                quarantined[tile] = outcome
                if not done and len(quarantined) >= min(total, GIVE_UP):
                    store.clear()  # a run that got nowhere leaves nothing to resume
                    raise ValueError(f"Not one of {len(quarantined)} tiles could be annotated; {tile}: {outcome}")
    notes = [done[tile] for tile in sorted(done)]  # they came in the order in which they were done
    _keep(dataset, _rows(notes, config.annotator))
    dataset.write_mentions(mention(note.tile_id, config.annotator, note.counts, note.boxes) for note in notes)
    store.write_quarantine(quarantined)
    if quarantined:
        (why, often), *_ = Counter(quarantined[tile] for tile in sorted(quarantined)).most_common(1)
        say(
            f"  {len(quarantined)} of {total} tiles were quarantined, see {store.quarantine_path}; {often} of them: "
            f"{why[:300]}"
        )
    seconds = time.perf_counter() - started
    result: dict[str, Any] = {
        "tiles": total,
        "annotated": len(done),
        "resumed": resumed,
        "quarantined": len(quarantined),
        "quarantine_reasons": dict(Counter(quarantined[tile] for tile in sorted(quarantined)).most_common(10)),
        "instruction_sets": dict(sorted(Counter(note.instruction_set for note in done.values()).items())),
        "seconds": round(seconds, 3),
        "tiles_per_second": round((total - resumed) / seconds, 3),
    }
    if annotator is not None:
        result |= {"usage": annotator.usage.as_dict(), "ledger": annotator.ledger.summary()}
        annotator.ledger.close()
    return result


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
) -> tuple[AbstractContextManager[Run[Chunk, Outcomes]], Any]:
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


def _chunks(scale: str, tiles: pd.DataFrame, size: int, done: dict[str, Annotation]) -> list[Chunk]:
    """Cut a wave, large tile by large tile, into chunks with the parents' annotations that they need."""
    ordered = tiles.sort_values(["root_id", "tile_id"], kind="stable")
    rows = [{str(key): value for key, value in row.items()} for row in ordered.to_dict("records")]
    chunks = []
    for number, start in enumerate(range(0, len(rows), size)):
        part = rows[start : start + size]
        parents = {row["parent_id"]: done[row["parent_id"]] for row in part if row["parent_id"] in done}
        chunks.append(Chunk(f"{scale}-{number:06d}", part, parents))
    return chunks


def _run(
    run: Run[Chunk, Outcomes], store: ChunkStore, todo: list[Chunk], kept: dict[str, Outcomes], one_by_one: bool
) -> Iterator[tuple[str, Outcome]]:
    """Do chunks, whole or `one_by_one` of their tiles; yield the new outcomes, and store each chunk (with what was
    `kept` of it) when it is whole."""
    pieces = [replace(chunk, tiles=[row]) for chunk in todo for row in chunk.tiles] if one_by_one else todo
    left = {chunk.name: len(chunk.tiles) for chunk in todo}
    for piece, outcomes in run(pieces):
        kept[piece.name] |= outcomes
        left[piece.name] -= len(outcomes)
        if not left[piece.name]:
            store.write(piece.name, kept[piece.name])
        yield from outcomes.items()


def _keep(dataset: Dataset, rows: pd.DataFrame) -> None:
    """Write revision 0, or append the tiles that it lacks (annotated on a retry), and publish into the shards.

    Where a training has revised the texts since, the shards keep what was published: that is the user's decision.
    """
    if not dataset.revisions():
        dataset.write_texts(rows)
    else:
        missing = rows[~rows["tile_id"].isin(dataset.texts()["tile_id"])]
        if len(missing):
            dataset.append_revision(missing, "annotate")
    texts = dataset.texts()
    newest = texts[texts["revision"] == texts["revision"].max()]
    if (newest["run"] == "annotate").all() or dataset.info["published_revision"] < 0:
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
