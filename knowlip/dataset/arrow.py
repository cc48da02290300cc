"""Lists of JSON values -> Arrow arrays from buffers; `pyarrow.array` imports pandas first: half a second and 50 MB."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa


def arrow_array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """An array of `kind` (float64, int64, bool, string, binary, timestamp as whole numbers, or a list of these).

    None is null; in float64 it is NaN.
    """
    count = len(values)
    known = np.array([value is not None for value in values], bool)
    if kind == pa.float64():
        numbers = np.array([np.nan if value is None else value for value in values], np.float64)
        return pa.Array.from_buffers(kind, count, [None, pa.py_buffer(numbers)])
    mask = None if known.all() else pa.py_buffer(np.packbits(known, bitorder="little"))
    if kind == pa.int64() or pa.types.is_timestamp(kind):
        whole = np.array([0 if value is None else value for value in values], np.int64)
        return pa.Array.from_buffers(kind, count, [mask, pa.py_buffer(whole)])
    if kind == pa.bool_():
        bits = np.packbits(np.array([bool(value) for value in values], bool), bitorder="little")
        return pa.Array.from_buffers(kind, count, [mask, pa.py_buffer(bits)])
    if kind in (pa.string(), pa.binary()):
        data = [b"" if value is None else value.encode() if isinstance(value, str) else value for value in values]
        return pa.Array.from_buffers(kind, count, [mask, _offsets(data), pa.py_buffer(b"".join(data))])
    if pa.types.is_list(kind):
        items = [value or [] for value in values]
        child = arrow_array([item for value in items for item in value], kind.value_type)
        return pa.Array.from_buffers(kind, count, [mask, _offsets(items)], children=[child])
    raise TypeError(f"no way to make {kind}")


def _offsets(parts: Sequence[Any]) -> pa.Buffer:
    """Where each part begins, and the end of the last."""
    ends = np.cumsum([0, *(len(part) for part in parts)], dtype=np.int64)
    if ends[-1] > np.iinfo(np.int32).max:
        raise ValueError(
            "One scene has more tiles than an index can hold: cut it into scenes, or set windows_m larger."
        )
    return pa.py_buffer(ends.astype(np.int32))
