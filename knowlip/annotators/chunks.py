"""Finished parts of an annotation run on disk: one whole-or-absent JSON file a chunk, and their settings."""

import shutil
from pathlib import Path
from typing import Any

from knowlip.annotators.types import Annotation, Box, SubText
from knowlip.base.files import read_json, write_json

Outcome = Annotation | str
"""An annotation, or the reason why a tile has none."""


class ChunkStore:
    """The folder DATASET/.annotate.

    settings.json     what the run was begun with
    chunks/NAME.json  outcomes of a finished chunk
    answers/          answers of an endpoint, kept by the openai annotator
    quarantine.json   tile_id -> reason, after the run
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.quarantine_path = folder / "quarantine.json"
        self._settings = folder / "settings.json"
        self._chunks = folder / "chunks"

    @property
    def begun(self) -> bool:
        """Whether a run was begun here."""
        return self._settings.exists()

    def begin(self, settings: dict[str, Any]) -> None:
        """Begin a run, or go on with one of the same settings (see :meth:`agree`)."""
        self.agree(settings)
        if not self.begun:
            write_json(self._settings, settings)

    def agree(self, settings: dict[str, Any]) -> None:
        """Raises ValueError where a run with other settings was begun here."""
        if differ := self.differences(settings):
            raise ValueError(
                f"An annotation with other settings was begun in {self.folder} ({', '.join(differ)}); "
                "use the same settings, or delete that folder to begin anew."
            )

    def differences(self, settings: dict[str, Any]) -> list[str]:
        """Names of the settings that the run here, if one was begun, has otherwise."""
        before = read_json(self._settings) if self.begun else settings
        return sorted(name for name in {*before, *settings} if before.get(name) != settings.get(name))

    def write(self, name: str, outcomes: dict[str, Outcome]) -> None:
        """Keep the outcomes of a chunk, by tile_id."""
        rows = [
            {"tile_id": tile, "quarantined": outcome}
            if isinstance(outcome, str)
            else {
                "tile_id": tile,
                "instruction_set": outcome.instruction_set,
                "sub_texts": [[sub.dimension, sub.text, sub.confidence, sub.evidence] for sub in outcome.sub_texts],
                # Only where there are some: chunks of runs from before there were any stay as they are.
                **({"counts": outcome.counts} if outcome.counts else {}),
                **({"boxes": [list(box) for box in outcome.boxes]} if outcome.boxes else {}),
            }
            for tile, outcome in sorted(outcomes.items(), key=lambda item: item[0])
        ]
        write_json(self._path(name), rows)

    def read(self, name: str, retry: bool = False) -> dict[str, Outcome]:
        """Outcomes of a chunk by tile_id, {} when it is not finished; with `retry` those of annotated tiles only."""
        if not self._path(name).exists():
            return {}
        outcomes: dict[str, Outcome] = {}
        for row in read_json(self._path(name)):
            tile = row["tile_id"]
            if "quarantined" not in row:
                sub_texts = tuple(SubText(*fields) for fields in row["sub_texts"])
                boxes = tuple(Box(*fields) for fields in row.get("boxes", []))
                outcomes[tile] = Annotation(tile, row["instruction_set"], sub_texts, row.get("counts", {}), boxes)
            elif not retry:
                outcomes[tile] = row["quarantined"]
        return outcomes

    def finished(self, retry: bool = False) -> set[str]:
        """Tiles that have an outcome; with `retry` those that are annotated."""
        names = sorted(path.stem for path in self._chunks.glob("*.json"))
        return {tile for name in names for tile in self.read(name, retry)}

    def clear(self) -> None:
        """Forget the finished chunks, not the answers: what was paid for is not asked for again."""
        shutil.rmtree(self._chunks, ignore_errors=True)

    def write_quarantine(self, reasons: dict[str, str]) -> None:
        """Keep the reasons of the tiles without an annotation."""
        write_json(self.quarantine_path, reasons)

    def _path(self, name: str) -> Path:
        return self._chunks / f"{name}.json"
