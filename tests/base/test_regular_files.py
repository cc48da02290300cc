"""A pipe in the place of a file: what reads files of others says so at once, where opening it would wait for ever."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from knowlip.annotators.stats.corpus import load
from knowlip.base.documents import read_json, read_yaml
from knowlip.base.files import regular_file
from knowlip.base.parquet import read_parquet
from knowlip.dataset.shards import ShardReader, read_shard
from knowlip.language.wordings import topics_of
from knowlip.models.layout import shapes_of
from knowlip.models.tokenizer import read_vocabulary
from knowlip.models.weights.source import read_source
from knowlip.scenes.opening import open_raster
from knowlip.scenes.pictures import kind_of
from knowlip.scenes.rpcfile import read_rpc
from knowlip.tasks.saved import SavedKind
from knowlip.tiles.imports.files import read_lines
from knowlip.tiles.imports.labels import label_xml

READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "JSON": ("a.json", read_json),
    "YAML": ("a.yaml", read_yaml),
    "parquet": ("a.parquet", read_parquet),
    "tar, all of it": ("a.tar", lambda path: list(read_shard(path))),
    "tar, one tile": ("a.tar", lambda path: ShardReader(path.parent).png(path.name, "t")),
    "wordings": ("a.yaml", topics_of),
    "weights of a model": ("a.safetensors", shapes_of),
    "weights of a head": ("a.safetensors", lambda path: SavedKind("a", {}).read_weights(path.parent)),
    "safetensors of others": ("b.safetensors", read_source),
    "PyTorch's file": ("a.pt", read_source),
    "ONNX": ("a.onnx", read_source),
    "vocabulary": ("vocab.txt", read_vocabulary),
    "raster": ("a.tif", open_raster),
    "picture": ("a.png", kind_of),
    "RPC": ("a_RPC.TXT", read_rpc),
    "list of names": ("a.txt", read_lines),
    "label": ("a.xml", label_xml),
    "captions, table": ("a.csv", lambda path: load(str(path))),
    "captions, lines": ("a.jsonl", lambda path: load(str(path))),
}


@pytest.fixture(autouse=True)
def impatient() -> Iterator[None]:
    """A test that waits fails after some seconds."""

    def over(number: int, frame: object) -> None:
        raise TimeoutError("it waits for the pipe")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("what", READERS)
def test_a_pipe_is_refused(what: str, tmp_path: Path) -> None:
    name, read = READERS[what]
    os.mkfifo(tmp_path / name)
    with pytest.raises(ValueError, match=name):
        read(tmp_path / name)


def test_files_and_what_is_not_there_pass(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    for name in ("a", "none"):
        assert regular_file(tmp_path / name) == tmp_path / name
    with pytest.raises(ValueError, match="is no file"):
        regular_file(tmp_path)
