"""What the phases of a pass hand on to each other, as tables: chunks of them can be kept on disk."""

import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any, Final

import pyarrow as pa

from knowlip.language.dimensions import SLOTS
from knowlip.scio.kinds import KINDS, Evidence
from knowlip.scio.reconstruction import Rewrite

_ARROW: Final[dict[Any, pa.DataType]] = {int: pa.int64(), float: pa.float64(), str: pa.string()}
_REWRITES: Final = pa.schema([(entry.name, _ARROW[entry.type]) for entry in fields(Rewrite)])


def value_table(value: dict[str, Any]) -> pa.Table:
    """What was learned (JSON values) as a table of one row."""
    return pa.table({"json": [json.dumps(value)]})


def value_of(table: pa.Table) -> dict[str, Any]:
    """The reverse of :func:`value_table`."""
    found: dict[str, Any] = json.loads(table["json"][0].as_py())
    return found


def evidence_table(found: Evidence) -> pa.Table:
    """A row for each text and slot."""
    return pa.table({kind: getattr(found, kind).ravel() for kind in KINDS})


def evidence_of(table: pa.Table) -> Evidence:
    """The reverse of :func:`evidence_table`."""
    if not table.num_columns:  # no chunks
        return Evidence.empty(0)
    found = {kind: table[kind].to_numpy().reshape(-1, SLOTS).copy() for kind in KINDS}
    return Evidence(**found)


def rewrite_table(rewrites: Sequence[Rewrite]) -> pa.Table:
    """A row for each."""
    return pa.Table.from_pylist([asdict(rewrite) for rewrite in rewrites], _REWRITES)


def rewrites_of(table: pa.Table) -> list[Rewrite]:
    """The reverse of :func:`rewrite_table`."""
    return [Rewrite(**row) for row in table.to_pylist()]
