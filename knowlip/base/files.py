"""Files that are either whole or absent: everything KnowLIP writes goes to a temporary name first.

A temporary name is `.NAME.OWNER.part`; a folder that is being replaced where two names cannot change places in one step
is `.NAME.OWNER.old`. OWNER says which process of which machine or container writes there, so that what a killed process
left is told from what a living one writes, also where several of one host name share the folder.
"""

import ctypes
import errno
import glob
import hashlib
import json
import os
import re
import shutil
import socket
import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import IO, Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_OWNER = re.compile(r"([0-9a-f]{12})-(\d+)-(\d+)-[0-9a-f]{8}")
"""Where the process numbers count, the process, when it started, and a token that is drawn for each file."""
_ABANDONED_S = 7 * 86400.0
"""After so long nobody writes to a file any more, whoever has begun it."""
_FULL = 65536
"""Bytes: a disk with less room than this is full."""
_HERE, _EXCHANGE = -100, 2
"""AT_FDCWD and RENAME_EXCHANGE of Linux."""


@contextmanager
def whole_file(path: Path, keep: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends well, delete it when it does not.

    The file is flushed to disk before the rename, so that a reader, or a run after a power cut, never sees half of it.

    Args:
        path: the file.
        keep: one that is there already stays.

    Raises:
        OSError: the disk is full, whatever the library that wrote the file made of it.
        FileExistsError: with `keep`, there is one by the time the block ends.
    """
    temporary = temporary_path(path)
    try:
        with _full_disk_named(path):
            yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        if keep:
            _place_new(temporary, path)
        else:
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """The same for a folder; an existing folder at `path` is replaced when the block ends well.

    A process that is killed leaves the old folder or the new one: they change places in one step where the file system
    can do that, and where it cannot (NFS), :func:`recover` brings the old one back.
    """
    recover(path)
    temporary = temporary_path(path)
    temporary.mkdir()
    try:
        with _full_disk_named(path):
            yield temporary
        _replace(temporary, path)
    finally:
        _remove(temporary)  # by now the old folder, if there was one


def check_replaceable(path: Path, mark: str, written: Collection[str]) -> None:
    """Before a folder is written anew: refuse one that holds anything but an older result of the same command.

    Args:
        path: the folder; it need not be there.
        mark: a file that an older result has.
        written: names of all files that the command writes, as patterns of `fnmatch`.

    Raises:
        ValueError: it is a file, or a folder that holds something else.
    """
    if not path.exists():
        return
    found = sorted(entry.name + "/" * entry.is_dir() for entry in path.iterdir()) if path.is_dir() else [path.name]
    strangers = [name for name in found if not any(fnmatch(name, pattern) for pattern in (mark, *written))]
    if path.is_file() or strangers or (found and mark not in found):
        raise ValueError(f"{path} holds something else ({(strangers or found)[0]}); give a new folder.")


def recover(path: Path) -> None:
    """Bring back the folder `path` where a process was killed after it had moved it aside for a newer one.

    Whoever reads a folder that :func:`whole_folder` writes calls this first; it does nothing where `path` is there.
    """
    if not os.path.lexists(path):
        aside = [left for left in _leftovers(path) if left.suffix == ".old"]
        with suppress(OSError):  # somebody else was faster, or this user may not write here
            for left in sorted(aside, key=lambda left: left.stat().st_mtime)[-1:]:
                left.rename(path)


def temporary_path(path: Path) -> Path:
    """A new name beside `path`. What killed processes left under such names is removed.

    A file of a process of this machine (or container) is removed when that process is gone; of one elsewhere, of which
    nobody can tell, after a week.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in _leftovers(path):
        with suppress(OSError):
            # A folder that was moved aside for one that never came is all there is of it.
            only_copy = left.suffix == ".old" and not os.path.lexists(path)
            if not only_copy and _abandoned(left):
                _remove(left)
    process = os.getpid()
    owner = f"{_machine()}-{process}-{_started(process)}-{uuid.uuid4().hex[:8]}"
    return path.with_name(f".{path.name}.{owner}.part")


def _replace(new: Path, path: Path) -> None:
    """Put a folder in the place of what is there, which gets the temporary name of the new one or is removed."""
    for _ in range(100):
        try:
            if not os.path.lexists(path):
                new.rename(path)
            elif not _exchange(new, path):
                old = new.with_suffix(".old")
                path.rename(old)
                new.rename(path)
                _remove(old)
            return
        except OSError as error:
            recover(path)
            # A reader has recovered what was moved aside, or another process was faster: once more.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT) or not new.exists():
                raise
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(path))


def _exchange(one: Path, other: Path) -> bool:
    """Let two names change places in one step; False where the system or this file system cannot."""
    try:
        swap = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    if swap(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
        return False
    raise OSError(number, os.strerror(number), str(other))


def _leftovers(path: Path) -> list[Path]:
    """What lies beside `path` under its temporary names."""
    start = f".{path.name}."
    found = path.parent.glob(f"{glob.escape(start)}*.*")
    return [left for left in found if left.suffix in (".part", ".old") and "." not in left.stem.removeprefix(start)]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _abandoned(left: Path) -> bool:
    """Whether it is certain that nobody writes under a temporary name any more."""
    owner = _OWNER.fullmatch(left.stem.rpartition(".")[2])
    if owner is not None and owner[1] == _machine():
        return _started(int(owner[2])) not in (owner[3], "unknown")
    newest = max(part.lstat().st_mtime for part in (left, *left.rglob("*")))
    return time.time() - newest > _ABANDONED_S


@cache
def _machine() -> str:
    """Names where process numbers count: a kernel since it was booted, and the namespace of a container in it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # not Linux
        boot, space = socket.gethostname(), f"{uuid.getnode():x}"
    return sha256(f"{boot} {space}".encode())[:12]


def _started(process: int) -> str:
    """When a process of this machine has started (a number is used again); "" where it is gone."""
    try:
        os.kill(process, 0)
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except ProcessLookupError:
        return ""
    except PermissionError:  # another user's
        return "unknown"
    except OSError:  # no /proc here
        return "0"
    return "" if fields[0] == "Z" else fields[19]


@contextmanager
def exclusive(stream: IO[Any]) -> Iterator[None]:
    """Let one process after the other work on an open file; no more than that where the file system has no locks."""
    if fcntl is not None:
        with suppress(OSError):
            fcntl.flock(stream, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if fcntl is not None:
            with suppress(OSError):
                fcntl.flock(stream, fcntl.LOCK_UN)


def _place_new(temporary: Path, path: Path) -> None:
    """Give a file its name where no other has it."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        temporary.replace(path)


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


def regular_file(path: Path) -> Path:
    """The path itself, where a file of bytes or nothing lies there: to open a pipe that stands in the place of a file
    would wait for ever for somebody to write into it.

    Raises:
        ValueError: a folder, a pipe or a device is there.
    """
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is no file.")
    return path


def sha256(data: bytes) -> str:
    """SHA-256 of bytes in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file in hexadecimal, however large it is."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
