"""Random access to tiles: what Pillow and `tarfile` give, in any order, by any number of threads."""

import io
import pickle
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from knowlip.dataset import Dataset
from knowlip.dataset.decode import decode_grey, resize_grey
from knowlip.dataset.pixels import TileReader, png_places
from knowlip.dataset.png import encode_png
from knowlip.dataset.shards import ShardSample, write_shard
from tests.annotators.tiny_dataset import build_tiny_dataset


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return Dataset(build_tiny_dataset(tmp_path / "dataset"))


def png(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def pictures() -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    for shape in ((64, 64), (96, 96), (33, 17), (1, 1), (2, 200)):
        noise = rng.integers(0, 256, shape).astype(np.uint8)
        yield noise
        yield np.sort(noise)  # smooth: encoders choose other filters


def test_decoding_gives_what_pillow_gives() -> None:
    filters = set()
    for picture in pictures():
        for data in (encode_png(picture), png(Image.fromarray(picture)), png(Image.fromarray(picture), optimize=True)):
            np.testing.assert_array_equal(decode_grey(data), np.array(Image.open(io.BytesIO(data))))
    for kind in range(5):  # rows with each of the five filters, as the specification defines them
        data, picture = filtered(kind)
        np.testing.assert_array_equal(decode_grey(data), picture)
        np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(data))), picture)
        filters.add(kind)


def filtered(kind: int) -> tuple[bytes, np.ndarray]:
    """A PNG whose rows all have one filter, with its pixels."""
    picture = np.random.default_rng(kind).integers(0, 256, (9, 13)).astype(int)
    lines = bytearray()
    for row in range(9):
        lines.append(kind)
        for c in range(13):
            a = picture[row, c - 1] if c else 0
            b = picture[row - 1, c] if row else 0
            corner = picture[row - 1, c - 1] if row and c else 0
            paeth = min((a, b, corner), key=lambda value: abs(a + b - corner - value))
            lines.append(int(picture[row, c] - (0, a, b, (a + b) // 2, paeth)[kind]) % 256)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 13, 9, 8, 0, 0, 0, 0)),
        (b"tEXt", b"Title\0x"),
        (b"IDAT", zlib.compress(bytes(lines))[:20]),
        (b"IDAT", zlib.compress(bytes(lines))[20:]),
        (b"IEND", b""),
    ]
    body = b"".join(struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + body, picture.astype(np.uint8)


def test_other_kinds_of_png_are_right_or_refused() -> None:
    picture = next(pictures())
    with pytest.raises(OSError, match="mode RGB"):
        decode_grey(png(Image.fromarray(picture).convert("RGB")))
    with pytest.raises(OSError, match="mode I;16"):
        decode_grey(png(Image.fromarray(picture.astype(np.uint16))))
    transparent = png(Image.fromarray(picture), transparency=5)
    np.testing.assert_array_equal(decode_grey(transparent), picture)


def rebuilt(data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """A PNG of :func:`encode_png` with other compressed pixels and their checksum."""
    stream = change(data[41:-16])
    chunk = b"IDAT" + stream
    return data[:33] + struct.pack(">I", len(stream)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[-12:]


@pytest.mark.parametrize("damage", ["cut", "bit", "body", "header", "stream"])
def test_damage_is_noticed(damage: str) -> None:
    data = bytearray(encode_png(next(pictures())))
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "bit":
        data[len(data) // 2] ^= 4
    elif damage == "body":
        data = data[:60] + data[70:]
    elif damage == "header":
        data[20] ^= 1
    if damage == "stream":  # with a checksum that is right: what is unpacked is too short, or cannot be unpacked
        data = bytearray(rebuilt(bytes(data), lambda stream: stream[:40] + stream[60:]))
        with pytest.raises(OSError, match=r"unpacked|bytes of pixels"):
            decode_grey(bytes(data))
    with pytest.raises((OSError, SyntaxError)):
        decode_grey(bytes(data))


def test_resizing_gives_what_pillow_gives() -> None:
    for picture in pictures():
        for size in (1, 7, 32, 64, 96, 130):
            expected = np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.BILINEAR))
            np.testing.assert_array_equal(resize_grey(picture, size), expected)


def test_reads_any_rows_in_any_order(dataset: Dataset, tmp_path: Path) -> None:
    ids = dataset.tiles()["tile_id"].to_list()[::-1]
    expected = np.stack([np.array(Image.fromarray(dataset.image(tile_id)).resize((40, 40), 2)) for tile_id in ids])
    for workers in (1, 3):
        reader = TileReader(dataset, ids, tmp_path / "cache", workers)
        rows = np.random.default_rng(0).integers(0, len(ids), 50)
        np.testing.assert_array_equal(reader.read(rows, 40), expected[rows])
        np.testing.assert_array_equal(reader.read([3], 96)[0], dataset.image(ids[3]))
        assert reader.read([], 40).shape == (0, 40, 40)
        with ThreadPoolExecutor(4) as pool:
            for got in pool.map(reader.read, [rows] * 8, [40] * 8):
                np.testing.assert_array_equal(got, expected[rows])
        reader.close()
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(reader)).read(rows, 40), expected[rows])
    with pytest.raises(ValueError, match="no accepted tile 'stranger'"):
        TileReader(dataset, ["stranger"], tmp_path / "cache")


def test_places_are_looked_up_once(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from knowlip.dataset import pixels

    ids = dataset.tiles()["tile_id"].to_list()
    looked: list[Path] = []

    def noted(path: Path) -> dict[str, tuple[int, int]]:
        looked.append(path)
        return png_places(path)

    monkeypatch.setattr(pixels, "png_places", noted)
    expected = TileReader(dataset, ids, tmp_path / "cache").read(range(5), 16)
    assert len(looked) == 1
    again = TileReader(dataset, ids[:5], tmp_path / "cache")
    assert len(looked) == 1, "the second reader takes them from the cache"
    np.testing.assert_array_equal(again.read(range(5), 16), expected)
    (cached,) = (tmp_path / "cache").iterdir()
    cached.write_bytes(cached.read_bytes()[:100])
    np.testing.assert_array_equal(TileReader(dataset, ids, tmp_path / "cache").read(range(5), 16), expected)
    assert len(looked) == 2, "a damaged cache is made anew"


def test_a_shard_that_was_replaced_is_looked_through_again(dataset: Dataset, tmp_path: Path) -> None:
    ids = dataset.tiles()["tile_id"].to_list()
    reader = TileReader(dataset, ids, tmp_path / "cache")
    expected = reader.read(range(len(ids)), 32)
    path = reader.folder / reader.shards[0]
    samples = [
        ShardSample(key, encode_png(dataset.image(key)), b"a longer text than before " * 60, b"{}\n")
        for key in png_places(path)
    ]
    write_shard(path, samples)
    np.testing.assert_array_equal(reader.read(range(len(ids)), 32), expected)  # the old file, which is still open
    reader.close()
    np.testing.assert_array_equal(reader.read(range(len(ids)), 32), expected)
    np.testing.assert_array_equal(TileReader(dataset, ids, tmp_path / "cache").read(range(len(ids)), 32), expected)


def test_places_are_those_of_tarfile_also_in_foreign_archives(dataset: Dataset, tmp_path: Path) -> None:
    (path,) = (dataset.path / "shards").glob("*.tar")
    with tarfile.open(path) as tar:
        members = tar.getmembers()
        expected = {
            member.name.removesuffix(".png"): (member.offset_data, member.size)
            for member in members
            if member.name.endswith(".png")
        }
        assert png_places(path) == expected
        foreign = tmp_path / "foreign.tar"
        with tarfile.open(foreign, "w", format=tarfile.PAX_FORMAT) as copy:
            for member in members:
                member.mtime = 1.5  # needs an extended header
                copy.addfile(member, tar.extractfile(member))
    assert {key: size for key, (_, size) in png_places(foreign).items()} == {k: s for k, (_, s) in expected.items()}


def test_a_damaged_tile_is_named(dataset: Dataset, tmp_path: Path) -> None:
    ids = dataset.tiles()["tile_id"].to_list()
    reader = TileReader(dataset, ids, tmp_path / "cache")
    path = reader.folder / reader.shards[0]
    data = bytearray(path.read_bytes())
    data[reader.offset_N[7] + 300] ^= 0xFF
    with path.open("r+b") as stream:
        stream.write(data)
    with pytest.raises(ValueError, match=rf"{path.name} is damaged: tile {ids[7]} is no PNG"):
        reader.read(range(len(ids)), 32)
    assert len(reader.read([6, 8], 32)) == 2
    path.unlink()
    with pytest.raises(ValueError, match="cannot be read"):
        TileReader(dataset, ids, tmp_path / "cache")
