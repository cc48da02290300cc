"""Texts of tiles: revision 0 from the annotator, later revisions as appended decisions, never overwritten."""

import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter, lt
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from knowlip.base.documents import read_json
from knowlip.base.files import write_json
from knowlip.base.parquet import check_schema, read_in_parts, read_parquet, write_new_parts
from knowlip.base.progress import track
from knowlip.dataset.checks import checked_info, checked_texts
from knowlip.dataset.layout import INFO, REVISIONS, SHARDS, TEXTS, schema
from knowlip.dataset.shards import read_shard, write_shard
from knowlip.language.captions import compose_texts, headed
from knowlip.language.marks import joined, sentences_of
from knowlip.language.statements import Evidence

if TYPE_CHECKING:
    import pandas as pd

TEXT_SCHEMA = schema("""
tile_id revision=int parent=int run instruction_set slot=int dimension text annotator confidence=real evidence marks
decision delta_itc=real delta_itm=real margin=real reason
""")
"""Columns of texts.parquet and of every revision file. A row is one of the eight sub-texts (slot 1 to 8) of a tile.
`parent` is the revision that a revision was decided on (-1 for revision 0), `margin` the threshold of the decision.
`evidence` is what the first sentence rests on, `marks` where each sentence ends and what it rests on
(:mod:`knowlip.language.marks`); "" is one sentence. Files of former versions have no `marks` and are read as "", and so
are rows where it is null."""
_EVIDENCE = ("noise", "nll", "gap", "max_nll", "blind", "turned", "speckled", "neighbours", "claims")
EVIDENCE_SCHEMA = pa.schema([(name, pa.float64()) for name in _EVIDENCE])
"""Columns that revisions of SCIO may hold besides: the noise score, and the evidence that it was made of
(:mod:`knowlip.scio.kinds`)."""
_FORMER = {"surprise": "nll", "worst": "max_nll"}
"""Names of such columns in revisions of former versions."""


def revision_path(dataset: Path, revision: int) -> Path:
    """File of a revision."""
    return dataset / TEXTS if revision == 0 else dataset / REVISIONS / f"{revision:06d}.parquet"


def list_revisions(dataset: Path) -> list[int]:
    """Revisions on disk in order; [] before annotation.

    Raises:
        ValueError: one is missing between others, so the texts cannot be merged.
    """
    found = [0] if (dataset / TEXTS).exists() else []
    found += sorted(int(path.stem) for path in (dataset / REVISIONS).glob("*.parquet") if path.stem.isdigit())
    if found != list(range(len(found))):
        raise ValueError(f"{dataset / REVISIONS} is incomplete: revisions {found} are there.")
    return found


def read_revision(dataset: Path, number: int) -> pa.Table:
    """The rows of one revision: columns of `TEXT_SCHEMA`, and those of `EVIDENCE_SCHEMA` that it has."""
    path = revision_path(dataset, number)
    table = read_parquet(path)
    table = table.rename_columns([_FORMER.get(name, name) for name in table.column_names])
    if "marks" not in table.column_names:
        table = table.append_column("marks", pa.array([""] * len(table), pa.string()))
    elif table["marks"].null_count and pa.types.is_string(table["marks"].type):  # rows written without them
        table = table.set_column(table.column_names.index("marks"), "marks", pc.fill_null(table["marks"], ""))
    columns = pa.schema([*TEXT_SCHEMA, *(field for field in EVIDENCE_SCHEMA if field.name in table.column_names)])
    check_schema(table.schema, columns, path)
    return checked_texts(table.select(columns.names), path)


def read_texts(dataset: Path, revision: int | None = None) -> "pd.DataFrame":
    """The latest row of every (tile, slot) in a revision and its ancestors (default: of the newest), sorted.

    Two trainings on one data set make two lines of revisions from 0; the texts of one hold no decisions of the other.
    """
    no_texts = revision is None and not list_revisions(dataset)
    tables = [TEXT_SCHEMA.empty_table()] if no_texts else [table for _, table in ancestry(dataset, revision)]
    rows = pa.concat_tables(tables, promote_options="default")
    frame = rows.to_pandas().sort_values(["tile_id", "slot", "revision"], kind="stable")
    return frame.drop_duplicates(["tile_id", "slot"], keep="last").reset_index(drop=True)


def ancestry(dataset: Path, revision: int | None = None) -> list[tuple[int, pa.Table]]:
    """A revision (default: the newest) and its ancestors with their rows, from 0 on.

    Raises:
        ValueError: there are no texts, or no such revision, or a revision is its own ancestor.
    """
    there = list_revisions(dataset)
    if not there:
        raise ValueError(f"{dataset} has no texts yet: annotate it first.")
    number, found = there[-1] if revision is None else revision, []
    if number not in there:
        raise ValueError(f"{dataset} has no text revision {number}; it has {there[0]} to {there[-1]}.")
    while number >= 0:
        table = read_revision(dataset, number)
        found.append((number, table))
        parent = table["parent"][0].as_py() if len(table) else number - 1
        if parent >= number:
            raise ValueError(f"{revision_path(dataset, number)} names revision {parent} as its parent.")
        number = parent
    return found[::-1]


def write_first(dataset: Path, parts: Callable[[], Iterator[pa.Table]]) -> None:
    """Write revision 0 from tables of :func:`to_table`, whole tiles in the order of their names.

    Raises:
        ValueError: other texts are there already, or the parts are not in order.
    """
    path = revision_path(dataset, 0)
    if not path.exists() and write_new_parts(path, _rising(parts())):
        return
    known, at = read_revision(dataset, 0), 0
    for table in _rising(parts()):
        if not known.slice(at, len(table)).equals(table):
            break
        at += len(table)
    else:
        if at == len(known):
            return
    raise ValueError(f"{path} holds other texts already; texts are never overwritten: use another data set.")


def _rising(parts: Iterator[pa.Table]) -> Iterator[pa.Table]:
    last = ""
    for table in parts:
        if len(table):
            if table["tile_id"][0].as_py() <= last:
                raise ValueError("Parts of texts must hold whole tiles in the order of their names.")
            last = table["tile_id"][-1].as_py()
        yield table


def newest_runs(dataset: Path) -> set[str]:
    """Names of the runs that wrote the rows of the newest revision."""
    path, field = revision_path(dataset, list_revisions(dataset)[-1]), pa.schema([TEXT_SCHEMA.field("run")])
    parts = read_in_parts(path, field, field.names)
    return {run for part in parts for run in part["run"].unique().to_pylist()}


def resting_rows(rows: "pd.DataFrame", kinds: Collection[Evidence]) -> "pd.DataFrame":
    """Sub-texts with only those sentences that rest on some kinds of evidence; rows of which nothing is left are left
    out.

    Args:
        rows: with the columns text, evidence, marks.
        kinds: some of :data:`knowlip.language.statements.EVIDENCE`.
    """
    kept = []
    for at, (text, marks, evidence) in enumerate(zip(rows["text"], rows["marks"], rows["evidence"])):
        sentences = [one for one in sentences_of(text, marks, evidence) if one.evidence in kinds]
        if sentences:
            new = joined(sentences) if marks else (text, "")
            kept.append((at, *new, sentences[0].evidence))
    places, texts, marked, evidences = zip(*kept) if kept else ((), (), (), ())
    return rows.iloc[list(places)].assign(text=texts, marks=marked, evidence=evidences)


def to_table(rows: "pd.DataFrame", what: str) -> pa.Table:
    """Rows as a table of `TEXT_SCHEMA` (and what they have of `EVIDENCE_SCHEMA`), sorted by tile_id and slot, with a
    clear refusal of what does not fit. Rows without the column `marks` are sub-texts of one sentence."""
    if "marks" not in rows.columns:
        rows = rows.assign(marks="")
    missing = [name for name in TEXT_SCHEMA.names if name not in rows.columns]
    if missing:
        raise ValueError(f"{what} lack the column {missing[0]!r}.")
    columns = pa.schema([*TEXT_SCHEMA, *(field for field in EVIDENCE_SCHEMA if field.name in rows.columns)])
    rows = rows[columns.names].sort_values(["tile_id", "slot"], kind="stable")
    if rows.duplicated(["tile_id", "slot"]).any():
        raise ValueError(f"{what} hold the same tile and slot twice.")
    if len(rows) and not rows["slot"].between(1, 8).all():
        raise ValueError(f"{what} hold a slot that is not 1 to 8.")
    text_columns = [field.name for field in TEXT_SCHEMA if field.type == pa.string()]
    if rows[text_columns].isna().to_numpy().any():
        raise ValueError(f'{what} hold a null string; use "".')
    if fault := marks_fault(rows):
        raise ValueError(f"{what} hold marks that do not fit: {fault}")
    try:
        return pa.Table.from_pandas(rows, columns, preserve_index=False).replace_schema_metadata(None)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise ValueError(f"{what} hold values of the wrong type ({error}).") from error


def marks_fault(rows: "pd.DataFrame") -> str:
    """The first row whose marks do not fit its text, as a sentence; "" where all fit.

    A text that was changed needs new marks: "" for one sentence that rests on the row's `evidence`.

    Args:
        rows: with the columns tile_id, slot, text, evidence, marks.
    """
    marked = rows[rows["marks"] != ""]
    columns = (marked[name] for name in ("tile_id", "slot", "text", "evidence", "marks"))
    for tile_id, slot, text, evidence, marks in zip(*columns):
        try:
            first = sentences_of(text, marks, evidence)[0]
        except ValueError as error:
            return f"sub-text {slot} of {tile_id}. {error}"
        if first.evidence != evidence:
            return f"sub-text {slot} of {tile_id} rests on {evidence!r}, its first sentence on {first.evidence!r}."
    return ""


def publish_texts(dataset: Path, revision: int | None = None) -> dict[str, Any]:
    """Write the captions of a revision (default: the newest) into the shards' `.txt`, each shard whole or untouched.

    Shards that already hold these texts stay as they are, so that a second call, or one after a kill, only finishes
    the work. Tiles without texts get an empty `.txt`.

    Returns:
        A record of `revision` (its number, -1 for none), `shards` (how many there are) and `rewritten` (how many
        changed).
    """
    dataset = Path(dataset)
    info = checked_info(read_json(dataset / INFO), dataset / INFO)
    there = list_revisions(dataset)
    number = revision if revision is not None else (there[-1] if there else -1)
    with _spilled(_captions(dataset, number), dataset) as caption_of:
        return _publish(dataset, info, number, caption_of)


def _publish(dataset: Path, info: dict[str, Any], number: int, caption_of: Callable[[str], bytes]) -> dict[str, Any]:
    if info["published_revision"] not in (-1, number):
        write_json(dataset / INFO, {**info, "published_revision": -1})
    shards = sorted((dataset / SHARDS).glob("*.tar"))
    rewritten = 0
    for path in track(shards, "publish texts"):
        samples = list(read_shard(path))
        if all(sample.txt == caption_of(sample.key) for sample in samples):
            continue
        write_shard(path, (sample._replace(txt=caption_of(sample.key)) for sample in samples))
        rewritten += 1
    if info["published_revision"] != number:
        write_json(dataset / INFO, {**info, "published_revision": number})
    return {"revision": number, "shards": len(shards), "rewritten": rewritten}


@contextmanager
def _spilled(captions: Iterable[tuple[str, str]], folder: Path) -> Iterator[Callable[[str], bytes]]:
    """Captions by tile (b"" of tiles that have none) from a temporary file in `folder`: a million take a gigabyte."""
    places: dict[str, tuple[int, int]] = {}
    with tempfile.TemporaryFile(dir=folder) as file:
        at = 0
        for tile, text in captions:
            data = text.encode()
            file.write(data)
            places[tile] = at, len(data)
            at += len(data)

        def of(tile: str) -> bytes:
            if tile not in places:
                return b""
            start, size = places[tile]
            file.seek(start)
            return file.read(size)

        yield of


def _captions(dataset: Path, number: int) -> Iterator[tuple[str, str]]:
    """Every tile's caption in a revision; number -1: there is none."""
    if number == 0 and _in_order(dataset):
        yield from _captions_in_order(dataset)
    else:
        yield from compose_texts(read_texts(dataset, number) if number >= 0 else read_texts(dataset)).items()


def _parts_of_first(dataset: Path, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Some columns of revision 0, some rows at a time."""
    wanted = pa.schema([field for field in TEXT_SCHEMA if field.name != "marks"])
    path = revision_path(dataset, 0)
    for part in read_in_parts(path, wanted, columns):
        yield checked_texts(part, path)


def _in_order(dataset: Path) -> bool:
    """Whether revision 0 is as :func:`to_table` puts it: by tile and slot, nothing twice, nothing before it."""
    before = ("", 0)
    for part in _parts_of_first(dataset, ("tile_id", "slot", "parent")):
        places = list(zip(part["tile_id"].to_pylist(), part["slot"].to_pylist()))
        if not all(map(lt, [before, *places], places)) or pc.any(pc.not_equal(part["parent"], -1)).as_py():
            return False
        before = places[-1] if places else before
    return True


def _captions_in_order(dataset: Path) -> Iterator[tuple[str, str]]:
    """Captions of revision 0, whose rows are in order."""
    parts = _parts_of_first(dataset, ("tile_id", "slot", "dimension", "text"))
    rows = (
        row for part in parts for row in zip(*(part[name].to_pylist() for name in ("tile_id", "dimension", "text")))
    )
    for tile, mine in groupby(rows, itemgetter(0)):
        yield tile, " ".join(headed(dimension, text) for _, dimension, text in mine)


@dataclass(frozen=True)
class PublishConfig:
    """Which texts to publish."""

    POSITIONAL: ClassVar = ("dataset",)

    dataset: Path
    """Folder of the data set."""
    revision: int | None = None
    """Number of the revision; null: the newest."""


def publish_dataset(config: PublishConfig) -> dict[str, Any]:
    """:func:`publish_texts` as a command."""
    return publish_texts(config.dataset, config.revision)
