"""Finished parts of an annotation run on disk: one whole-or-absent JSON file a chunk, and their settings."""

import shutil
from pathlib import Path

from knowlip.annotators.types import Annotation, Box, SubText
from knowlip.base.documents import read_json
from knowlip.base.files import write_json
from knowlip.jobs.store import Format, Store

Outcome = Annotation | str
"""An annotation, or the reason why a tile has none."""
Outcomes = dict[str, Outcome]
"""By tile_id."""


class ChunkStore(Store[Outcomes]):
    """The folder DATASET/.annotate.

    settings.json     what the run was begun with
    chunks/NAME.json  outcomes of a finished chunk
    answers/          answers of an endpoint, kept by the openai annotator
    quarantine.json   tile_id -> reason, after the run
    lock              while a run is under way
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, Format(".json", _write, _read), "chunks")
        self.quarantine_path = folder / "quarantine.json"

    def kept(self, name: str, retry: bool = False) -> Outcomes:
        """Outcomes of a chunk, {} when it is not finished; with `retry` those of annotated tiles only."""
        found = {} if self.todo([name]) else self.read(name)
        return {tile: outcome for tile, outcome in found.items() if not (retry and isinstance(outcome, str))}

    def finished(self, retry: bool = False) -> set[str]:
        """Tiles that have an outcome; with `retry` those that are annotated."""
        return {tile for name in self.names() for tile in self.kept(name, retry)}

    def clear(self) -> None:
        """Forget the finished chunks and the settings, not the answers: what was paid for is not asked for again."""
        shutil.rmtree(self.folder / "chunks", ignore_errors=True)
        self.forget()

    def write_quarantine(self, reasons: dict[str, str]) -> None:
        """Keep the reasons of the tiles without an annotation."""
        write_json(self.quarantine_path, reasons)


def _write(path: Path, outcomes: Outcomes) -> None:
    rows = [
        {"tile_id": tile, "quarantined": outcome}
        if isinstance(outcome, str)
        else {
            "tile_id": tile,
            "instruction_set": outcome.instruction_set,
            "sub_texts": [
                [sub.dimension, sub.text, sub.confidence, sub.evidence, *([sub.marks] if sub.marks else [])]
                for sub in outcome.sub_texts
            ],
            # Only where there are some: chunks of runs from before there were any stay as they are.
            **({"counts": outcome.counts} if outcome.counts else {}),
            **({"boxes": [list(box) for box in outcome.boxes]} if outcome.boxes else {}),
        }
        for tile, outcome in sorted(outcomes.items(), key=lambda item: item[0])
    ]
    write_json(path, rows)


def _read(path: Path) -> Outcomes:
    outcomes: Outcomes = {}
    for row in read_json(path):
        tile = row["tile_id"]
        if "quarantined" in row:
            outcomes[tile] = row["quarantined"]
            continue
        sub_texts = tuple(SubText(*fields) for fields in row["sub_texts"])
        boxes = tuple(Box(*fields) for fields in row.get("boxes", []))
        outcomes[tile] = Annotation(tile, row["instruction_set"], sub_texts, row.get("counts", {}), boxes)
    return outcomes
