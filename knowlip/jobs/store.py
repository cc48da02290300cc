"""Finished chunks on disk, the settings that they belong to, and a lock that keeps a second process out."""

import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

import pyarrow as pa

from knowlip.base.documents import read_json
from knowlip.base.files import write_json
from knowlip.base.parquet import read_parquet, write_table
from knowlip.base.progress import say

Chunk = TypeVar("Chunk")


@dataclass(frozen=True)
class Format(Generic[Chunk]):
    """How a chunk is kept in a file, whole or absent."""

    suffix: str
    write: Callable[[Path, Chunk], None]
    read: Callable[[Path], Chunk]


TABLES: Format[pa.Table] = Format(".parquet", write_table, read_parquet)


class Store(Generic[Chunk]):
    """The folder of a piece of work under way; the same command goes on with what is finished in it.

    settings.json     all that its chunks depend on
    NAME.parquet      a finished chunk, in a folder of their own where `chunks` names one

    Args:
        folder: the folder; it need not be there.
        format: of the chunks.
        chunks: their folder in this one.
    """

    def __init__(self, folder: Path, format: Format[Chunk], chunks: str = "") -> None:
        self.folder, self._format, self._chunks = folder, format, folder / chunks
        self._settings = folder / "settings.json"

    @property
    def begun(self) -> bool:
        """Whether work was begun here."""
        return self._settings.exists()

    def begin(self, settings: dict[str, Any]) -> None:
        """Begin, or go on with work of the same settings, see :meth:`agree`."""
        self.agree(settings)
        if not self.begun:
            write_json(self._settings, settings)

    def agree(self, settings: dict[str, Any]) -> None:
        """Raises ValueError where work with other settings was begun here."""
        if differ := self.differences(settings):
            raise ValueError(
                f"Work with other settings was begun in {self.folder} ({', '.join(differ)}); "
                "use the same settings, or delete that folder to begin anew."
            )

    def differences(self, settings: dict[str, Any]) -> list[str]:
        """Names of the settings that the work here, if some was begun, has otherwise."""
        before = read_json(self._settings) if self.begun else settings
        return sorted(name for name in {*before, *settings} if before.get(name) != settings.get(name))

    def todo(self, names: Iterable[str]) -> list[str]:
        """Which of these chunks are not finished."""
        return [name for name in names if not self._path(name).exists()]

    def names(self) -> list[str]:
        """The finished chunks."""
        return sorted(path.stem for path in self._chunks.glob(f"[!.]*{self._format.suffix}"))

    def write(self, name: str, chunk: Chunk) -> None:
        """Keep a finished chunk."""
        self._format.write(self._path(name), chunk)

    def read(self, name: str) -> Chunk:
        """A finished chunk.

        Raises:
            ValueError: it is missing or damaged.
        """
        return self._format.read(self._path(name))

    def forget(self) -> None:
        """Forget the settings, so that work with others may begin here."""
        self._settings.unlink(missing_ok=True)

    def remove(self) -> None:
        """Forget everything."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, name: str) -> Path:
        return self._chunks / f"{name}{self._format.suffix}"


@contextmanager
def alone(path: Path, refusal: str) -> Iterator[None]:
    """Keep a second process out while the block lasts; the lock of a killed process is gone with it.

    Args:
        path: a file that is there while somebody works, and may be left by a killed process.
        refusal: the sentence for the second one.

    Raises:
        ValueError: another process is in such a block.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        stream = path.open("a")
        if not _locked(stream, path):
            stream.close()
            raise ValueError(refusal)
        with suppress(FileNotFoundError):  # removed by the one who has just left
            if os.path.samestat(os.fstat(stream.fileno()), path.stat()):
                break
        stream.close()
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is still ours
        stream.close()


def _locked(stream: IO[str], path: Path) -> bool:
    """Take the lock; False where somebody has it."""
    try:
        import fcntl

        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except (ImportError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        say(f"  {path.parent} cannot be locked: see to it that no second process works there")
    return True
