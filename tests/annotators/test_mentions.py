"""Counts and boxes of a model's answers reach the data set, and a run that goes on writes the same bytes."""

import json
from pathlib import Path
from typing import Any

import pytest

from knowlip.annotators.annotate import AnnotateConfig, annotate
from knowlip.annotators.openai.options import OpenAIOptions
from knowlip.dataset import Dataset, verify
from knowlip.dataset.mentions import MENTIONS, Box, by_tile
from tests.annotators.openai_stub import Reply, Stub, answer, completion, failure, user_text
from tests.annotators.tiny_dataset import build_tiny_dataset


def counts_by_scale(body: dict[str, Any], number: int) -> Reply:
    """Large tiles count and point, medium ones only count, small ones do neither."""
    parts: dict[str, Any] = {"counts": [], "boxes": []}
    scale = user_text(body).split()[3]
    if scale != "small":
        parts["counts"] = [{"category": "vessels", "number": 7 if scale == "large" else 0}]
    if scale == "large":
        parts["boxes"] = [{"category": "ship", "x": 0.5, "y": 0.25, "width": 0.125, "height": 0.25}]
    return completion(json.dumps({**json.loads(answer("marine")), **parts}))


def asks(dataset: Path, stub: Stub, **changes: Any) -> AnnotateConfig:
    options = OpenAIOptions(backoff_s=0.001, retries=0, image_side=64)
    return AnnotateConfig(dataset, "openai", "stub", stub.url, **{"concurrency": 3, "openai": options, **changes})


def test_counts_and_boxes_reach_the_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "word")
    folder = build_tiny_dataset(tmp_path / "dataset")
    down = {"l0-m2": True}
    at = f"[{Dataset(folder).tiles().set_index('tile_id').loc['l0-m2', 'lon']:.4f}"  # the place tells the tile

    def reply(body: dict[str, Any], number: int) -> Reply:
        return failure(400, "down") if at in user_text(body) and down["l0-m2"] else counts_by_scale(body, number)

    with Stub(reply) as stub:
        annotate(asks(folder, stub))
        first = by_tile(Dataset(folder).mentions())
        assert set(first) == {"l0", "l0-m0", "l0-m1", "l0-m3"}
        assert first["l0"].counts == {"ship": 7}
        assert first["l0"].boxes == (Box("ship", 0.5, 0.25, 0.125, 0.25),)
        assert (first["l0-m1"].counts, first["l0-m1"].boxes, first["l0-m1"].annotator) == ({"ship": 0}, (), "openai")
        before = (folder / MENTIONS).read_bytes()
        paid = len(stub.bodies)
        (folder / MENTIONS).unlink()  # as after a kill between texts and mentions
        annotate(asks(folder, stub))
        assert (folder / MENTIONS).read_bytes() == before
        assert len(stub.bodies) == paid
        down["l0-m2"] = False
        annotate(asks(folder, stub, retry_quarantined=True))
    assert by_tile(Dataset(folder).mentions())["l0-m2"].counts == {"ship": 0}
    verify(folder)
