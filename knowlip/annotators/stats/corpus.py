"""Captions from a data set or a file as one table: what all the numbers are taken from."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from knowlip.base.documents import MOST_BYTES, parse_json, read_limited
from knowlip.base.files import regular_file
from knowlip.language.captions import headed
from knowlip.language.dimensions import DIMENSIONS, InstructionSet

if TYPE_CHECKING:
    from knowlip.dataset import Dataset

CAPTION = "Caption"
"""Dimension of a text that is not split into eight."""
_READ = ("record", "instruction_set", "scale", "annotator", "slot", "dimension", "text")
COLUMNS = (*_READ, "evidence", "marks")
"""Columns of a corpus; files with captions tell no evidence, "" in both of the last."""
_KEYS = ("caption", "text", "raw", "description", "sentence")
_COLUMNS = (*_KEYS, "title", "captions")
"""Columns of tables; open_clip's training files call the caption a title."""


@dataclass(frozen=True, eq=False)
class TextCorpus:
    """Texts of one source."""

    name: str
    rows: pd.DataFrame
    """One sub-text a row with the columns of `COLUMNS`, the sub-texts of a record one after another in slot order."""
    data: "Dataset | None" = None
    """The data set, where the source is one."""
    revision: int = -1

    @property
    def records(self) -> int:
        """How many captions there are."""
        return int(self.rows["record"].nunique())

    def captions(self) -> dict[str, str]:
        """Record -> its caption as it is stored in the shards: "Dimension: text." joined by spaces."""
        result: dict[str, list[str]] = {}
        for record, dimension, text in zip(self.rows["record"], self.rows["dimension"], self.rows["text"]):
            result.setdefault(record, []).append(sentence(dimension, text))
        return {record: " ".join(parts) for record, parts in result.items()}


def sentence(dimension: str, text: str) -> str:
    """A sub-text as it stands in a caption; a caption of one piece as it is."""
    return " ".join(text.split()) if dimension == CAPTION else headed(dimension, text)


def load(source: str, revision: int | None = None) -> TextCorpus:
    """Texts of a data set's folder or of a caption file, optionally with a name of its own: "paper=captions.json".

    Files: a JSON list of records with the fields of an instruction set, with one caption each (`caption`, `text`,
    `raw`, `description` or `sentence`; several in a list, or numbered as `raw_1`, `raw_2`), with the answers of
    `conversations`, or of bare texts; such a list under `images` (with `sentences`: RSICD, RSITMD, UCM and Sydney
    captions), `annotations` (COCO) or `data`, or one for each class (NWPU-Captions); JSON lines of the same; tables
    (.csv, .tsv) with a column `caption`, `text`, `title`, ...; .txt with one caption a line. A record may have a
    `tile_id`.

    Raises:
        ValueError: nothing there, no texts in it, or a form that is none of these.
    """
    name, _, path_text = source.rpartition("=") if not Path(source).exists() else ("", "", source)
    path = Path(path_text)
    name = name or path.resolve().stem
    if path.is_dir():
        return _from_dataset(name, path, revision)
    if not path.is_file():
        raise ValueError(f"{path} is neither a data set nor a file with captions.")
    if revision is not None:
        raise ValueError(f"{path} is a file with captions; only a data set has revisions.")
    rows = [row for number, value in enumerate(_read(path)) for row in _record(value, number, path)]
    frame = pd.DataFrame(rows, columns=list(_READ)).assign(evidence="", marks="")
    frame = frame[frame["text"].str.strip() != ""].reset_index(drop=True)
    if frame.empty:
        raise ValueError(f"{path} holds no captions.")
    if frame.duplicated(["record", "dimension"]).any():
        raise ValueError(f"{path} names a tile_id twice.")
    return TextCorpus(name, frame)


def _from_dataset(name: str, path: Path, revision: int | None) -> TextCorpus:
    from knowlip.dataset import Dataset

    data = Dataset(path)
    texts = data.texts(revision)
    if texts.empty:
        raise ValueError(f"{path} has no texts yet: run `knowlip annotate --dataset {path}` first.")
    tiles = data.tiles()
    scales = dict(zip(tiles["tile_id"], tiles["scale"]))
    texts = texts[texts["tile_id"].isin(scales)]
    rows = texts.rename(columns={"tile_id": "record"}).assign(scale=texts["tile_id"].map(scales))
    rows = rows[list(COLUMNS)].astype({name: object for name in COLUMNS if name != "slot"})
    rows = rows.sort_values(["record", "slot"], kind="stable").reset_index(drop=True)
    number = data.revisions()[-1] if revision is None else revision
    return TextCorpus(name, rows, data, number)


def _read(path: Path) -> list[Any]:
    """The values of a file, one a record."""
    try:
        text = read_limited(path, MOST_BYTES).decode("utf-8-sig")
        if path.suffix == ".txt":
            return [line for line in text.splitlines() if line.strip()]
        if path.suffix in (".csv", ".tsv"):
            return _table(path)
        if path.suffix == ".jsonl":
            lines = enumerate(text.splitlines(), 1)
            return [parse_json(line, f"Line {number} of {path}") for number, line in lines if line.strip()]
        value = parse_json(text, str(path))
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"{path} cannot be read ({error}).") from None
    if isinstance(value, dict):
        lists = [value[key] for key in ("images", "annotations", "data") if isinstance(value.get(key), list)]
        if not lists and value and all(isinstance(entries, list) for entries in value.values()):  # a list a class
            lists = [[entry for entries in value.values() for entry in entries]]
        # COCO has images without a word beside the captions
        value = next((entries for entries in lists if any(_texts(entries[:1]))), lists[0] if lists else None)
    if not isinstance(value, list):
        raise ValueError(f"{path} holds no list of records with captions.")
    return value


def _table(path: Path) -> list[Any]:
    """The captions of a table, a list of records."""
    mark = "\t" if path.suffix == ".tsv" else ","
    table = pd.read_csv(regular_file(path), sep=mark, dtype=str, keep_default_na=False)
    names = {str(column).strip().lower(): column for column in table.columns}
    column = next((names[name] for name in _COLUMNS if name in names), None)
    if column is None:
        raise ValueError(f"{path} has no column {', '.join(_COLUMNS[:-1])} or {_COLUMNS[-1]}.")
    tiles = table[names["tile_id"]] if "tile_id" in names else [""] * len(table)
    return [{"caption": text, "tile_id": tile} for text, tile in zip(table[column], tiles) if text.strip()]


def _record(value: Any, number: int, path: Path) -> Iterator[tuple[Any, ...]]:
    """Rows of one record."""
    # A record with four of the eight fields is one of ours or of the paper's: the others are empty, not absent.
    record = f"{number:07d}"
    if isinstance(value, dict) and value.get("tile_id"):
        record = str(value["tile_id"])
    if isinstance(value, dict):
        forms = {"terrain": DIMENSIONS[InstructionSet.TERRAIN], "targets": DIMENSIONS[InstructionSet.MARINE]}
        label = next((name for name, fields in forms.items() if sum(field in value for field in fields) >= 4), None)
        if label:
            fields = forms[label]
            label = str(value.get("instruction_set", label))
            scale, who = str(value.get("scale", "")), str(value.get("annotator", ""))
            for slot, field in enumerate(fields, 1):
                text = value.get(field) or ""
                if not isinstance(text, str):
                    raise ValueError(f"{path}, record {number}: {field} is not a text.")
                yield record, label, scale, who, slot, field, text
            return
    texts = list(_texts(value))
    if not texts:
        raise ValueError(
            f"{path}, record {number}: there is no caption in it. A record has the eight fields of an instruction set, "
            f"or one of {', '.join(_KEYS)}."
        )
    for position, text in enumerate(texts):
        yield record if len(texts) == 1 else f"{record}-{position}", "", "", "", 1, CAPTION, text


def _texts(value: Any) -> Iterator[str]:
    """The bare captions in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for key in ("sentences", "captions", *_KEYS):
            if key in value:
                yield from _texts(value[key])
                yield from (value[name] for name in sorted(value) if re.fullmatch(rf"{key}_\d+", name))
                return
        turns = value.get("conversations")
        if isinstance(turns, list):  # a model's questions and answers, as LLaVA is trained with
            yield from (
                str(turn["value"]) for turn in turns if turn.get("from") in ("gpt", "assistant") and turn.get("value")
            )
