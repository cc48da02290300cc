"""Tar shards: written byte for byte reproducibly, read with random access."""

import os
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from knowlip.base.files import regular_file, temporary_path
from knowlip.dataset.png import decode_png

PARTS = ("png", "txt", "json")
_BUFFER = 1 << 20
_TAR_BLOCK, _TAR_RECORD, _TAR_NAME = 512, 10240, 100


class ShardSample(NamedTuple):
    """One tile of a shard."""

    key: str
    png: bytes
    txt: bytes
    json: bytes


class ShardWriter:
    """Writes one tar of KEY.png, KEY.txt, KEY.json as samples come, under a temporary name.

    Times, owners and modes are fixed, so the same samples always give the same bytes. `commit` gives the file its name;
    without it, `discard` leaves nothing.
    """

    def __init__(self, path: Path):
        self.path = path
        self.count = 0
        self._part = temporary_path(path)
        self._stream = self._part.open("wb", buffering=_BUFFER)

    def add(self, sample: ShardSample) -> None:
        """Append the three files of a sample."""
        for extension, data in zip(PARTS, sample[1:]):
            self._stream.write(_tar_header(f"{sample.key}.{extension}", len(data)))
            self._stream.write(data)
            self._stream.write(bytes(-len(data) % _TAR_BLOCK))
        self.count += 1

    def close(self) -> None:
        """End the archive and flush it to disk; it keeps its temporary name."""
        if not self._stream.closed:
            size = self._stream.tell() + 2 * _TAR_BLOCK
            self._stream.write(bytes(2 * _TAR_BLOCK + -size % _TAR_RECORD))
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()

    def commit(self) -> None:
        """Close the file and give it its name."""
        self.close()
        self._part.replace(self.path)

    def discard(self) -> None:
        """Leave nothing, unless committed."""
        self._stream.close()
        self._part.unlink(missing_ok=True)


def write_shard(path: Path, samples: Iterable[ShardSample]) -> int:
    """Write a shard in the order given, whole or not at all. Returns the sample count."""
    shard = ShardWriter(path)
    try:
        for sample in samples:
            shard.add(sample)
        shard.commit()
    finally:
        shard.discard()
    return shard.count


def _tar_header(name: str, size: int) -> bytes:
    """USTAR header of a regular file, mode 0644, owner 0, time 0: what `tarfile` writes, thirty times as fast.

    Raises:
        ValueError: the name is too long for the archive.
    """
    encoded = name.encode()
    if len(encoded) > _TAR_NAME:
        raise ValueError(f"{name} is too long for the name of a file in a shard ({_TAR_NAME} bytes).")
    head = encoded.ljust(_TAR_NAME, b"\0") + b"0000644\0" + b"0000000\0" * 2 + b"%011o\0" % size + b"%011o\0" % 0
    tail = (b"0" + bytes(100) + b"ustar\x0000").ljust(_TAR_BLOCK - len(head) - 8, b"\0")
    checksum = sum(head) + 8 * 32 + sum(tail)
    return head + b"%06o\0 " % checksum + tail


def read_shard(path: Path) -> Iterator[ShardSample]:
    """Every sample of a shard in order.

    Raises:
        ValueError: the shard is missing, damaged, or a tile's parts are not all there and next to each other.
    """
    places = shard_places(path)
    with path.open("rb") as stream:
        for key, parts in places.items():
            data = []
            for offset, size in parts:
                stream.seek(offset)
                data.append(stream.read(size))
            yield ShardSample(key, *data)


def shard_places(path: Path) -> dict[str, list[tuple[int, int]]]:
    """Key -> (offset, size) of its png, txt and json in the shard."""
    places: dict[str, list[tuple[int, int]]] = {}
    try:
        end = path.stat().st_size
        with tarfile.open(regular_file(path), "r:") as tar:
            names = []
            for member in tar:
                if member.offset_data + member.size > end:
                    raise tarfile.ReadError(f"{member.name} is cut off")
                key, _, extension = member.name.partition(".")
                names.append((key, extension))
                places.setdefault(key, []).append((member.offset_data, member.size))
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist.") from None
    except (tarfile.TarError, OSError) as error:
        raise ValueError(f"{path} is a damaged shard ({error}).") from error
    if names != [(key, extension) for key in places for extension in PARTS]:
        raise ValueError(f"{path} is a damaged shard: the .png, .txt and .json of every tile must stand together.")
    return places


class ShardReader:
    """Random access to PNGs. Knows a shard's places after the first look; looks again when the file was replaced."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._places: dict[str, tuple[tuple[int, int, int], dict[str, list[tuple[int, int]]]]] = {}

    def png(self, shard: str, key: str) -> bytes:
        """PNG bytes of a tile."""
        path = self.folder / shard
        if shard not in self._places:
            regular_file(path)
        try:
            with path.open("rb") as stream:
                status = os.fstat(stream.fileno())
                mark = (status.st_ino, status.st_size, status.st_mtime_ns)
                known = self._places.get(shard)
                if known is None or known[0] != mark:
                    known = (mark, shard_places(path))
                    self._places[shard] = known
                if key not in known[1]:
                    raise ValueError(f"{path} does not hold tile {key}.")
                offset, size = known[1][key][0]
                stream.seek(offset)
                return stream.read(size)
        except OSError as error:
            raise ValueError(f"{path} cannot be read ({error.strerror}).") from error

    def image(self, shard: str, key: str) -> np.ndarray:
        """(H, W) uint8 tile."""
        try:
            return decode_png(self.png(shard, key))
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise ValueError(f"{self.folder / shard} is damaged: tile {key} is no PNG ({error}).") from error
