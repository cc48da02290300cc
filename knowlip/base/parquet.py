"""Parquet files: read within limits and with a sentence that names them, written whole or not at all.

A few kilobytes of parquet can stand for terabytes: runs of one value, and words that are stored once. What a table
takes in memory may be at most :data:`MOST_GROWTH` times its file, or :data:`ALWAYS`.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from knowlip.base.files import regular_file, whole_file

MOST_GROWTH, ALWAYS = 200, 256 << 20
"""Memory of a table over the bytes of its file, and the bytes that every table may take."""
_ROWS_AT_ONCE = 65536
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 8}


def write_table(path: Path, table: pa.Table, group: int | None = None) -> None:
    """Write a parquet file, whole or not at all; `group`: how many rows can be read alone."""
    with whole_file(path) as part:
        pq.write_table(table, part, compression="zstd", row_group_size=group)


def write_new_table(path: Path, table: pa.Table) -> bool:
    """Write a parquet file, whole or not at all; False, and nothing is written, where another one is there by then."""
    return write_new_parts(path, iter([table]))


def write_new_parts(path: Path, parts: Iterator[pa.Table]) -> bool:
    """:func:`write_new_table` of rows that come in parts, one at least, all of the same columns."""
    try:
        with whole_file(path, keep=True) as file:
            first = next(parts)
            with pq.ParquetWriter(file, first.schema, compression="zstd") as writer:
                for part in chain([first], parts):
                    writer.write_table(part)
    except FileExistsError:
        return False
    return True


def read_parquet(path: Path, schema: pa.Schema | None = None) -> pa.Table:
    """Read a parquet file; a `ValueError` names it when it is missing, broken, beyond the limits of this module, or
    lacks columns of `schema`."""
    if not regular_file(path).exists():
        raise ValueError(f"{path} does not exist.")
    try:
        table = _read(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ValueError(f"{path} is not a readable parquet file ({str(error).splitlines()[0]}).") from error
    if schema is not None:
        check_schema(table.schema, schema, path)
        table = table.select(schema.names)
    return table


def open_parquet(path: Path, schema: pa.Schema, columns: Sequence[str] | None = None) -> pq.ParquetFile:
    """A parquet file whose groups of rows are read when they are wanted; the limits are those of :func:`read_parquet`.

    Args:
        path: the file.
        schema: columns that it must have.
        columns: the only ones that will be read, None for all; the limits are for what they take.

    Raises:
        ValueError: it is missing, broken, beyond the limits of this module, or lacks columns of `schema`.
    """
    if not regular_file(path).exists():
        raise ValueError(f"{path} does not exist.")
    try:
        _check_growth(path, columns)
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ValueError(f"{path} is not a readable parquet file ({str(error).splitlines()[0]}).") from error
    check_schema(file.schema_arrow, schema, path)
    return file


def read_in_parts(path: Path, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Some columns of a parquet file, some rows at a time; the limits are those of :func:`read_parquet`.

    Raises:
        ValueError: it is missing, broken, beyond the limits of this module, or lacks columns of `schema`.
    """
    with open_parquet(path, schema, columns) as file:
        try:
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=list(columns)):
                yield pa.Table.from_batches([batch]).select(columns)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{path} is not a readable parquet file ({str(error).splitlines()[0]}).") from error


def check_schema(found: pa.Schema, wanted: pa.Schema, path: Path) -> None:
    """Raise `ValueError` unless `found` has every column of `wanted` with its type."""
    for field in wanted:
        if field.name not in found.names:
            raise ValueError(f"{path} has no column {field.name!r}.")
        if found.field(field.name).type != field.type:
            raise ValueError(f"{path}: column {field.name!r} is {found.field(field.name).type}, not {field.type}.")


def _read(path: Path) -> pa.Table:
    _check_growth(path)
    with pq.ParquetFile(path) as file:
        return file.read()


def _check_growth(path: Path, columns: Sequence[str] | None = None) -> None:
    """Raise `ValueError` where the values (of some columns) take more memory than a file of this size may."""
    allowed = max(ALWAYS, MOST_GROWTH * path.stat().st_size)
    with pq.ParquetFile(path) as file:
        least, words = _sizes(file.metadata, columns)
    _check(least, allowed)
    if sum(words.values()) > allowed:
        _check(_bytes_of_words(path, list(words)), allowed)


def _bytes_of_words(path: Path, columns: list[str]) -> int:
    """Bytes of columns of words when each is written out, known without doing so: they are read as numbers of words."""
    total = 0
    with pq.ParquetFile(path, read_dictionary=columns) as file:
        for group in range(file.num_row_groups):  # one by one: Arrow cannot put lists of several dictionaries together
            for name in columns:
                column = file.read_row_group(group, [name]).column(0)
                while pa.types.is_nested(column.type):
                    column = pc.list_flatten(column)
                total += _bytes_of(column)
    return total


def _sizes(metadata: pq.FileMetaData, columns: Sequence[str] | None = None) -> tuple[int, dict[str, int]]:
    """The least bytes that the values take in memory, and by column of words the most, were each the longest."""
    least, words = 0, dict[str, int]()
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for column in map(group.column, range(group.num_columns)):
            if columns is not None and column.path_in_schema.partition(".")[0] not in columns:
                continue
            count, size = max(column.num_values, group.num_rows), column.total_uncompressed_size
            width = _WIDTHS.get(column.physical_type)
            least += count * (width or 4)
            if width is None:
                longest = size * count if column.has_dictionary_page else size
                words[column.path_in_schema] = words.get(column.path_in_schema, 0) + longest
    return least, words


def _bytes_of(column: pa.ChunkedArray) -> int:
    """Bytes of words that are given by their numbers in a dictionary."""
    total = 0
    for part in column.chunks:
        if not pa.types.is_dictionary(part.type):
            total += part.nbytes
            continue
        counts = pc.value_counts(part.indices.drop_null())
        lengths = pc.binary_length(part.dictionary).cast(pa.int64()).take(counts.field("values"))
        total += pc.sum(pc.multiply(lengths, counts.field("counts"))).as_py() or 0
    return total


def _check(size: int, allowed: int) -> None:
    if size > allowed:
        raise ValueError(f"its values take {size >> 20:,} MiB, more than {MOST_GROWTH} times the file")
