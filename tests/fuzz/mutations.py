"""How a sound input is spoilt: bytes, values of JSON and YAML, cells of tables, kinds of files.

All chance is a `Random`, so that a number repeats it."""

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

MARKUP = "<img src=x onerror=alert(1)>"
WORDS = (
    "",
    "../../../outside",
    "/outside",
    "a/b",
    "a\\b",
    "..",
    MARKUP,
    "=cmd|' /C calc'!A0",
    "%s%n{0}${7*7}{{7*7}}",
    "x" * 5000,
    "\u202e\u0000\ufeff",
    "-1",
    "1e999",
    "nan",
    "0",
    "99999999999999999999",
    "\udcff".encode("utf-8", "surrogateescape").decode("latin-1"),
)
"""Strings that have broken programs."""
NUMBERS = (0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**30, 0.5, -0.0, 1e308, 1e-320, 255, 65536)
TOKENS = (
    b"",
    b"\x00",
    b"\xff" * 8,
    b"[" * 3000,
    b'{"a":' * 3000,
    b"1e999",
    b"NaN",
    b"\\ud800",
    b"&a [*a, *a]",
    b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]>",
    b"<a>" * 2000,
    b"\n" * 2000,
    b"9" * 5000,
    b"\xef\xbb\xbf",
    b"../../../outside",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\xff",
    b"PK\x03\x04",
    b"PAR1",
)


def odd_value(chance: random.Random) -> Any:
    """A JSON value that is probably not what is expected."""
    kind = chance.randrange(6)
    if kind == 0:
        return chance.choice(NUMBERS)
    if kind == 1:
        return chance.choice(WORDS)
    if kind == 2:
        return chance.choice((None, True, False, [], {}, [[]], {"": None}, [None] * 50))
    if kind == 3:
        return [odd_value(chance) for _ in range(chance.randrange(4))]
    if kind == 4:
        return {chance.choice(WORDS): odd_value(chance) for _ in range(chance.randrange(3))}
    value: Any = 1
    for _ in range(chance.choice((5, 70, 250))):
        value = [value] if chance.randrange(2) else {"a": value}
    return value


def spoil_value(value: Any, chance: random.Random) -> Any:
    """The same JSON value but for one place in it."""
    if chance.randrange(4) == 0 or not isinstance(value, dict | list) or not value:
        return odd_value(chance)
    if isinstance(value, list):
        changed = list(value)
        at = chance.randrange(len(changed))
        kind = chance.randrange(5)
        if kind == 0:
            del changed[at]
        elif kind == 1:
            changed.append(changed[at])
        else:
            changed[at] = spoil_value(changed[at], chance)
        return changed
    mapping = dict(value)
    key = chance.choice(sorted(mapping, key=str))
    kind = chance.randrange(6)
    if kind == 0:
        del mapping[key]
    elif kind == 1:
        mapping[chance.choice(WORDS)] = mapping.pop(key)
    else:
        mapping[key] = spoil_value(mapping[key], chance)
    return mapping


def spoil_bytes(data: bytes, chance: random.Random) -> bytes:
    """The same bytes but for a few places."""
    for _ in range(chance.choice((1, 1, 1, 3, 20))):
        at, end = sorted((chance.randrange(len(data) + 1), chance.randrange(len(data) + 1)))
        end = min(end, at + chance.choice((1, 4, 100, 1 << 30)))
        kind = chance.randrange(6)
        if kind == 0:
            data = data[:at] + bytes(chance.randrange(256) for _ in range(min(end - at, 8))) + data[at + 8 :]
        elif kind == 1:
            data = data[:at] + data[end:]
        elif kind == 2:
            data = data[:end] + data[at:end] + data[end:]
        elif kind == 3:
            data = data[:at]
        elif kind == 4:
            data = data[:at] + chance.choice(TOKENS) + data[at:]
        elif at < len(data):
            data = data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]
    return data


def spoil_table(path: Path, chance: random.Random) -> None:
    """Change a cell, a column or the rows of a parquet file."""
    table = pq.read_table(path)
    at = chance.randrange(table.num_columns)
    field, values = table.schema.field(at), table.column(at).to_pylist()
    kind = chance.randrange(6)
    if kind == 0:
        table = table.remove_column(at)
    elif kind == 1:
        table = table.slice(0, chance.choice((0, 1)))
    elif kind == 2:
        table = pa.concat_tables([table, table.slice(0, 1)])
    elif kind == 3:
        table = table.set_column(at, field.name, pa.array([str(odd_value(chance))[:200]] * len(table)))
    elif values:
        values[chance.randrange(len(values))] = _cell(field.type, chance)
        table = table.set_column(at, field, pa.array(values, field.type))
    pq.write_table(table, path)


def _cell(kind: pa.DataType, chance: random.Random) -> Any:
    if chance.randrange(4) == 0:
        return None
    if pa.types.is_string(kind):
        return chance.choice(WORDS) if chance.randrange(2) else json.dumps(odd_value(chance))
    if pa.types.is_binary(kind):
        return chance.choice(TOKENS)
    if pa.types.is_boolean(kind):
        return bool(chance.randrange(2))
    if pa.types.is_floating(kind):
        return float(chance.choice((0, -1, 1e308, float("nan"), float("inf"), 1e-300)))
    if pa.types.is_integer(kind):
        return chance.choice((0, -1, 2**31 - 1, 7))
    if pa.types.is_list(kind):
        return [_cell(kind.value_type, chance) for _ in range(chance.randrange(4))]
    return None


def spoil_kind(path: Path, chance: random.Random) -> str:
    """Put something else in the place of a file."""
    kind = chance.choice(("empty", "gone", "folder", "pipe", "loop", "system file", "hole"))
    path.unlink()
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "system file":
        path.symlink_to("/etc/passwd")
    elif kind == "hole":
        path.write_bytes(b"")
        os.truncate(path, 1 << 36)
    return kind


def spoil(path: Path, chance: random.Random) -> str:
    """Spoil a file in a way that suits it, and say how."""
    choice = chance.randrange(10)
    if path.stat().st_size > 1 << 28:  # a hole that an earlier choice has left
        return f"{path.name}: as it is"
    try:
        if choice == 0:
            return f"{path.name}: {spoil_kind(path, chance)}"
        if choice < 6 and path.suffix in (".json", ".geojson"):
            path.write_text(json.dumps(spoil_value(json.loads(path.read_text()), chance)))
            return f"{path.name}: a value"
        if choice < 6 and path.suffix in (".yaml", ".yml"):
            path.write_text(yaml.safe_dump(spoil_value(yaml.safe_load(path.read_text()), chance)))
            return f"{path.name}: a value"
        if choice < 7 and path.suffix == ".parquet":
            spoil_table(path, chance)
            return f"{path.name}: a cell"
    except (ValueError, UnicodeError, OverflowError, RecursionError, pa.ArrowException, yaml.YAMLError):
        pass  # such a value cannot be written: bytes then
    path.write_bytes(spoil_bytes(path.read_bytes(), chance))
    return f"{path.name}: bytes"


def spoil_one_of(folder: Path, chance: random.Random, times: int = 2) -> str:
    """Spoil one file below a folder, sometimes more."""
    told = []
    for _ in range(chance.choice((1,) * 3 + (times,))):
        files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
        if not files:
            break
        if chance.randrange(20) == 0:
            moved = chance.choice(files)
            shutil.move(moved, moved.with_name(chance.choice(("a b", "x.part", "\u00fc.png", "._x.png", "x" * 200))))
            told.append(f"{moved.name}: moved")
            continue
        told.append(spoil(chance.choice(files), chance))
    return ", ".join(told)
