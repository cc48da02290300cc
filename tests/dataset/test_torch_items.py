"""Tiles, texts and questions in PyTorch's own loader, by number and as a stream."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from knowlip.dataset import Dataset
from knowlip.language.captions import compose_texts
from tests.annotators.tiny_dataset import build_tiny_dataset


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    from knowlip.annotators.annotate import AnnotateConfig, annotate

    folder = build_tiny_dataset(tmp_path_factory.mktemp("torch") / "dataset")
    annotate(AnnotateConfig(folder, workers=1))
    return Dataset(folder)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_gives_every_tile_with_its_text(data: Dataset, workers: int) -> None:
    tiles = data.torch(scale="small", transform=lambda image: image.float() / 255) if not workers else data.torch()
    texts = compose_texts(data.texts())
    seen = []
    for batch in DataLoader(tiles, batch_size=3, num_workers=workers):
        for image, tile, text in zip(batch["image"], batch["tile_id"], batch["text"]):
            scale = 255 if image.dtype == torch.float32 else 1
            np.testing.assert_allclose(image[0].numpy() * scale, data.image(tile), atol=1e-3)
            assert text == texts[tile]
            seen.append(tile)
    assert seen == list(data.tiles(scale="small" if not workers else None)["tile_id"])


@pytest.mark.parametrize("workers", [0, 3])
def test_a_stream_gives_each_tile_once_in_another_order_each_epoch(data: Dataset, workers: int) -> None:
    stream = data.torch_stream(seed=1)
    orders = []
    for epoch in range(2):
        stream.set_epoch(epoch)
        loader = DataLoader(stream, batch_size=None, num_workers=workers)
        orders.append([item["tile_id"] for item in loader])
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(data.tiles()["tile_id"])
    assert orders[0] != orders[1]
    assert len(stream) == len(orders[0])
    assert [item["tile_id"] for item in data.torch_stream()] == list(data.tiles()["tile_id"])


def test_workers_that_stay_get_the_order_of_the_next_pass(data: Dataset) -> None:
    stream = data.torch_stream(seed=1)
    loader = DataLoader(stream, batch_size=None, num_workers=1, persistent_workers=True)
    orders = []
    for epoch in range(2):
        stream.set_epoch(epoch)
        orders.append([item["tile_id"] for item in loader])
    assert orders[0] != orders[1]
    fresh = data.torch_stream(seed=1)
    fresh.set_epoch(1)
    assert orders[1] == [item["tile_id"] for item in fresh]


def test_questions_are_items(data: Dataset) -> None:
    tiles = list(data.tiles()["tile_id"])
    asked = [{"tile_id": tiles[at], "question": f"q{at}?", "answer": str(at)} for at in (2, 0, 2)]
    items = data.torch(questions=asked)
    assert [(item["tile_id"], item["question"], item["answer"]) for item in items] == [
        (row["tile_id"], row["question"], row["answer"]) for row in asked
    ]
    assert items[-1]["answer"] == "2"
    with pytest.raises(IndexError):
        _ = items[3]


def test_what_is_not_there_is_one_sentence(data: Dataset) -> None:
    for match, settings in (
        ("split must be one of", {"split": "tset"}),
        ("no text revision 7", {"revision": 7}),
        ("which .* does not hold", {"questions": [{"tile_id": "x", "question": "?", "answer": ""}]}),
        ("needs tile_id, question and answer", {"questions": [{"tile_id": "x"}]}),
    ):
        with pytest.raises(ValueError, match=match):
            data.torch(**settings)  # type: ignore[arg-type]


def test_a_data_set_without_texts_has_none(tmp_path: Path) -> None:
    item = Dataset(build_tiny_dataset(tmp_path / "bare")).torch()[0]
    assert sorted(item) == ["image", "metres_per_pixel", "tile_id"]
    assert item["image"].dtype == torch.uint8
