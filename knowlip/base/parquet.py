"""Parquet files: read with a sentence that names them, written whole or not at all."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from knowlip.base.files import whole_file


def write_table(path: Path, table: pa.Table) -> None:
    """Write a parquet file, whole or not at all."""
    with whole_file(path) as part:
        pq.write_table(table, part, compression="zstd")


def read_parquet(path: Path, schema: pa.Schema | None = None) -> pa.Table:
    """Read a parquet file; a `ValueError` names it when it is missing, broken, or lacks columns of `schema`."""
    if not path.exists():
        raise ValueError(f"{path} does not exist.")
    try:
        table = pq.ParquetFile(path).read()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ValueError(f"{path} is not a readable parquet file ({str(error).splitlines()[0]}).") from error
    if schema is not None:
        check_schema(table.schema, schema, path)
        table = table.select(schema.names)
    return table


def check_schema(found: pa.Schema, wanted: pa.Schema, path: Path) -> None:
    """Raise `ValueError` unless `found` has every column of `wanted` with its type."""
    for field in wanted:
        if field.name not in found.names:
            raise ValueError(f"{path} has no column {field.name!r}.")
        if found.field(field.name).type != field.type:
            raise ValueError(f"{path}: column {field.name!r} is {found.field(field.name).type}, not {field.type}.")
