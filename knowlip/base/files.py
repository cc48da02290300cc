"""Files that are either whole or absent: everything KnowLIP writes goes to a temporary name first."""

import errno
import glob
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
"""Machines that share a disk count processes each on their own."""
_FULL = 65536
"""Bytes: a disk with less room than this is full."""


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends well, delete it when it does not.

    The file is flushed to disk before the rename, so that a reader, or a run after a power cut, never sees half of it.

    Raises:
        OSError: the disk is full, whatever the library that wrote the file made of it.
    """
    temporary = temporary_path(path)
    try:
        with _full_disk_named(path):
            yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """The same for a folder; an existing folder at `path` is replaced when the block ends well."""
    temporary = temporary_path(path)
    temporary.mkdir()
    try:
        with _full_disk_named(path):
            yield temporary
        old = path.with_name(f".{path.name}.{_HOST}-{os.getpid()}.old")
        if path.exists():
            path.rename(old)
        temporary.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def temporary_path(path: Path) -> Path:
    """A name beside `path` for this process. What killed processes of this machine left under such names is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.*"):
        owner, kind = left.name.split(".")[-2:]
        host, _, process = owner.rpartition("-")
        if kind not in ("part", "old") or host != _HOST or not process.isdigit():
            continue
        if int(process) == os.getpid() or not _runs(int(process)):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)
    return path.with_name(f".{path.name}.{_HOST}-{os.getpid()}.part")


def _runs(process: int) -> bool:
    """Whether a process of this number is alive on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def _full_disk_named(path: Path) -> Iterator[None]:
    """Turn what a library makes of a full disk (torch and safetensors raise errors of their own) into an `OSError`."""
    try:
        yield
    except Exception as error:
        known = isinstance(error, OSError) and error.errno not in (None, errno.ENOSPC)
        if not known and ("No space left" in str(error) or shutil.disk_usage(path.parent).free < _FULL):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise


def write_json(path: Path, value: Any, indent: int | None = 1) -> None:
    """Write `value` as JSON with stable key order, whole or not at all. NaN is refused: JSON has none.

    Args:
        path: the file.
        value: a JSON value.
        indent: spaces a level; None writes one line, ten times as fast, for files that nobody reads.
    """
    with whole_file(path) as part:
        part.write_text(json.dumps(value, indent=indent, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file, with a `ValueError` that names the file when it is missing or broken."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}).") from None


def sha256(data: bytes) -> str:
    """SHA-256 of bytes in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
