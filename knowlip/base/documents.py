"""JSON and YAML that somebody else wrote: one bounded way to read each, used wherever a document comes from outside.

What is refused, always as a `ValueError` with one sentence: a file that is no regular file (a pipe would wait for ever)
or is larger than its limit; nesting deeper than :data:`JSON_DEPTH` and :data:`YAML_DEPTH`; more values than the limit,
in YAML after its aliases are written out; an alias within what it names; a key that stands twice; numbers that are not
finite or do not fit into 64 bits; text that is no Unicode (half a surrogate pair). A byte order mark is passed over.
"""

import gc
import math
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jiter
import yaml

JSON_DEPTH, YAML_DEPTH = 201, 64
"""Levels of lists and mappings in one another; the first is that of `jiter`."""
MOST_BYTES = 64 << 20
"""Size of a document unless its reader allows another one."""
MOST_VALUES = 5_000_000
"""Lists, mappings and what stands in them, of a JSON document: a bound on its memory of about 1 GB."""
YAML_BYTES, YAML_VALUES = 8 << 20, 200_000
"""The same of YAML, whose reading is slow."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_LARGE_NUMBER = re.compile(rb"[eE]\+?\d{3}|\d{19}")
"""What every number beyond 64 bits has; only documents with such a place are searched for one."""
_LONG_NUMBER = re.compile(r"[-+]?(?:[\d_:]{20,}|0x[\da-fA-F_]{17,}|0o[0-7_]{22,}|0b[01_]{65,})")
"""The same in YAML; as keys of one mapping, many of them would take quadratic time. A hash that begins with 0b is none:
its other digits are not those of a binary number."""
_ESCAPES = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
"""Escapes in JSON that must not be taken apart, and (group 1) halves of a surrogate pair."""
_SMALL = 1 << 16
"""Bytes: below, pausing the collector of garbage gains nothing."""


class BeyondLimit(ValueError):
    """A document that is nested too deeply or has too many values, written out."""


def read_limited(path: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """The bytes of a regular file that is no larger than `most_bytes`.

    Raises:
        ValueError: there is no such file, it is a folder, a pipe or a device, or it is larger.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist.") from None
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{path} is no file.")
    too_large = f"{path} is larger than {_size(most_bytes)}, the limit for such a file."
    if found.st_size > most_bytes:  # before as much is read as the limit allows: of COCO gigabytes
        raise ValueError(too_large)
    with path.open("rb") as stream:
        data = stream.read(most_bytes + 1)
    if len(data) > most_bytes:  # it grew meanwhile
        raise ValueError(too_large)
    return data


def read_json(path: Path, *, most_bytes: int = MOST_BYTES, most_values: int = MOST_VALUES) -> Any:
    """Read a JSON file within the limits of this module.

    Raises:
        ValueError: it is missing, broken, or beyond a limit; the sentence names it.
    """
    return parse_json(read_limited(path, most_bytes), str(path), most_values=most_values)


def parse_json(data: bytes | str, what: str, *, most_values: int = MOST_VALUES, lenient: bool = False) -> Any:
    """A JSON value within the limits of this module.

    Args:
        data: UTF-8, with or without a byte order mark.
        what: what it is, for the sentence.
        most_values: how many lists, mappings and values it may have.
        lenient: for what must not be lost (paid answers, journals): numbers may be NaN, infinite or huge, of a key that
            stands twice the last one counts, and what is no Unicode becomes U+FFFD. The limits of size and depth stay.

    Raises:
        ValueError: it is broken or beyond a limit; the sentence begins with `what`.
    """
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogatepass")
    data = data.removeprefix(b"\xef\xbb\xbf")
    if lenient:
        data = _mended(data)
    # Each value but the first stands behind one of these: no document has more values than it has of them.
    if sum(map(data.count, (b",", b":", b"[", b"{"))) > most_values:
        raise BeyondLimit(f"{what} holds more than {most_values:,} values, the limit for such a document.")
    try:
        with _collector_paused(len(data) > _SMALL):
            value = jiter.from_json(data, allow_inf_nan=lenient, catch_duplicate_keys=not lenient)
    except ValueError as error:
        if "recursion limit" in str(error):
            raise BeyondLimit(f"{what} is nested more than {JSON_DEPTH} levels deep.") from None
        raise ValueError(f"{what} is not valid JSON ({error}).") from None
    if not lenient and _LARGE_NUMBER.search(data):
        _check_numbers(value, what)
    return value


def read_yaml(path: Path, missing: str = "") -> Any:
    """Read a YAML file within the limits of this module.

    Raises:
        ValueError: it is missing (`missing` says what to do then), broken, or beyond a limit.
    """
    if missing and not path.exists():
        raise ValueError(missing)
    return parse_yaml(read_limited(path, YAML_BYTES), str(path))


def parse_yaml(data: bytes | str, what: str) -> Any:
    """A YAML value within the limits of this module, as `yaml.safe_load` gives it.

    Raises:
        ValueError: it is broken or beyond a limit; the sentence begins with `what`.
    """
    try:
        text = data if isinstance(data, str) else data.decode("utf-8-sig")
        check_yaml(text, what)
    except (yaml.YAMLError, UnicodeError) as error:
        raise ValueError(f"{what} is not valid YAML ({_problem(error)}).") from None
    try:
        value = yaml.load(text, _LOADER)
    except (yaml.YAMLError, ValueError, ArithmeticError, LookupError, TypeError, AttributeError) as error:
        # Beside its own errors the loader lets out those of dates and numbers that there are not.
        raise ValueError(f"{what} is not valid YAML ({_problem(error)}).") from None
    _check_numbers(value, what)
    return value


def _line(event: yaml.Event) -> int:
    """Where it begins, from 1."""
    return event.start_mark.line + 1 if event.start_mark is not None else 0


def check_yaml(text: str, what: str) -> None:
    """Refuse YAML that is beyond a limit, without building its values.

    Building recurses in C (deep nesting ends the process) and follows aliases, so that the limits have to hold before.

    Raises:
        BeyondLimit: it is nested too deeply or has too many values.
        ValueError: it has a key twice, or a number of more than 64 bits.
        yaml.YAMLError: it is broken.
    """
    sizes: dict[str, int] = {}
    # What is open at an event, from the outside in; a collection counts for the one around it when it ends.
    above: list[_Branch] = []
    for event in yaml.parse(text, _LOADER):
        if isinstance(event, yaml.CollectionEndEvent):
            branch = above.pop()
            size = branch.size
            if branch.anchor is not None:
                sizes[branch.anchor] = size
        elif isinstance(event, yaml.AliasEvent):
            if any(branch.anchor == event.anchor for branch in above):
                raise BeyondLimit(f"{what} has an alias *{event.anchor} within what it names.")
            size = sizes.get(event.anchor or "", 1)
        elif isinstance(event, yaml.ScalarEvent):
            size = 1
            if event.anchor is not None:
                sizes[event.anchor] = 1
            if event.implicit[0] and _LONG_NUMBER.fullmatch(event.value):
                raise ValueError(f"{what} holds a number of more than 64 bits (line {_line(event)}).")
            if above and above[-1].repeats(event):
                raise ValueError(f"{what} has the key {event.value[:80]!r} twice (line {_line(event)}).")
        elif isinstance(event, yaml.CollectionStartEvent):
            above.append(_Branch(event))
            if len(above) > YAML_DEPTH:
                raise BeyondLimit(f"{what} is nested more than {YAML_DEPTH} levels deep.")
            continue
        else:
            continue
        if above:
            above[-1].add(size)
        if size > YAML_VALUES or (above and above[-1].size > YAML_VALUES):
            raise BeyondLimit(f"{what} holds more than {YAML_VALUES:,} values, the limit for such a document.")


class _Branch:
    """A list or mapping that is being read: how many values it holds so far, aliases written out."""

    def __init__(self, event: yaml.CollectionStartEvent):
        self.anchor: str | None = event.anchor
        self.size = 1
        self._keys: set[tuple[str, bool]] | None = set() if isinstance(event, yaml.MappingStartEvent) else None
        self._parts = 0

    def add(self, size: int) -> None:
        self.size += size
        self._parts += 1

    def repeats(self, event: yaml.ScalarEvent) -> bool:
        """Whether a scalar is a key that this mapping has had before."""
        if self._keys is None or self._parts % 2:
            return False
        key = (event.value, bool(event.implicit[0]))  # 1 and "1" are two keys
        repeated = key in self._keys
        self._keys.add(key)
        return repeated


def check_text(text: str, what: str) -> str:
    """`text` itself; what is no Unicode (half a surrogate pair) could be neither stored nor sent.

    Raises:
        ValueError: it is no Unicode.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{what} is not valid Unicode at character {error.start + 1}.") from None
    return text


def _check_numbers(value: Any, what: str) -> None:
    """Refuse numbers that are not finite or need more than 64 bits."""
    todo, seen = [value], set[int]()
    while todo:
        one = todo.pop()
        if isinstance(one, dict | list):
            if id(one) not in seen:  # aliases of YAML give one object many places
                seen.add(id(one))
                todo.extend(one.values() if isinstance(one, dict) else one)
        elif isinstance(one, float) and not math.isfinite(one):
            raise ValueError(f"{what} holds a number that is not finite.")
        elif isinstance(one, int) and not -(1 << 63) <= one < 1 << 63:
            raise ValueError(f"{what} holds a number of more than 64 bits.")


def _mended(data: bytes) -> bytes:
    """JSON without what is no Unicode: bytes, or escapes of half a surrogate pair."""
    try:
        data.decode()
    except UnicodeDecodeError:
        data = data.decode("utf-8", "replace").encode()
    return _ESCAPES.sub(lambda found: b"\\ufffd" if found[1] else found[0], data) if b"\\u" in data else data


@contextmanager
def _collector_paused(pause: bool) -> Iterator[None]:
    """Reading makes many values and no garbage: looking for some takes three quarters of the time."""
    paused = pause and gc.isenabled()
    if paused:
        gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()


def _problem(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    if isinstance(error, UnicodeError):
        return "not text in UTF-8"
    return f"line {mark.line + 1}: {getattr(error, 'problem', '')}" if mark else " ".join(str(error).split())


def _size(most_bytes: int) -> str:
    return f"{most_bytes >> 20} MiB" if most_bytes >= 1 << 20 else f"{most_bytes:,} bytes"
