"""The whole examples of the pages on readers and annotators, and plug-ins that fail in use."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import knowlip
from knowlip.base import plugins
from tests.annotators.tiny_dataset import build_tiny_dataset
from tests.documented import ROOT


def example(page: str, sign: str) -> dict[str, Any]:
    """Names of the page's block in which `sign` stands."""
    text = (ROOT / "docs" / "contributing" / f"{page}.md").read_text()
    (code,) = [part.split("```", 1)[0] for part in text.split("```python\n")[1:] if sign in part.split("```", 1)[0]]
    names: dict[str, Any] = {}
    exec(compile(code, page, "exec"), names)
    return names


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    for kind, name in (("readers", "sarj"), ("annotators", "bright"), ("annotators", "bad")):
        plugins.unregister(kind, name)  # type: ignore[arg-type]


def test_the_reader_of_the_page_opens_its_format(tmp_path: Path) -> None:
    plugins.register("readers", "sarj", SimpleNamespace(**example("reader", "def open_product")))
    power = np.random.default_rng(0).gamma(4, 0.25, (60, 80)).astype(np.float32)
    np.save(tmp_path / "Port 1.npy", power)
    head = {"crs": "EPSG:32631", "transform": [2, 0, 590000, 0, -2, 5750000], "sensor": "sarz-1", "polarisation": "VV"}
    (tmp_path / "Port 1.sarj").write_text(json.dumps(head))
    scene = knowlip.open_scene(tmp_path / "Port 1.sarj")
    assert (scene.scene_id, scene.sensor, scene.polarisation, scene.units) == ("port-1", "sarz-1", "VV", "intensity")
    np.testing.assert_array_equal(scene.read()[0], power)
    assert scene.resolution_m == pytest.approx(2, rel=1e-3)
    (tmp_path / "Port 1.sarj").write_text("{}")
    with pytest.raises(ValueError, match="is no sarj file that can be read"):
        knowlip.open_scene(tmp_path / "Port 1.sarj")


def test_a_reader_that_fails_is_told_with_its_name_and_the_file(tmp_path: Path) -> None:
    def failing(path: Path, overrides: Any) -> list[Any]:
        return [{}["power"]]

    matches = {"NAME": "sarj", "ORDER": 10, "matches": lambda path: path.suffix == ".sarj"}
    plugins.register("readers", "sarj", SimpleNamespace(**matches, open_product=failing))
    (tmp_path / "a.sarj").write_text("x")
    with pytest.raises(ValueError, match=r"a.sarj: the reader sarj of a plug-in fails on it \(KeyError: 'power'\)"):
        knowlip.open_scene(tmp_path / "a.sarj")


def test_the_annotator_of_the_page_reads_pixels(tmp_path: Path) -> None:
    build_tiny_dataset(tmp_path / "dataset")
    plugins.register("annotators", "bright", example("annotator", "class BrightAnnotator")["BrightAnnotator"])
    texts = knowlip.annotate(tmp_path / "dataset", "bright", workers=1).texts()
    assert texts["text"].str.contains(r"level \d+ in the middle, \d+ on average").all()


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (lambda request: request.pixels, r"fails on tile \S+ \(AttributeError: 'TileRequest' object has no"),
        (lambda request: None, r"must give an Annotation of the tile \S+, it gave a NoneType"),
    ],
)
def test_an_annotator_that_fails_is_told_with_its_name_and_the_tile(answer: Any, sentence: str, tmp_path: Path) -> None:
    build_tiny_dataset(tmp_path / "dataset")
    plugins.register("annotators", "bad", lambda: SimpleNamespace(name="bad", annotate=answer))
    with pytest.raises(ValueError, match=f"The annotator bad of a plug-in {sentence}"):
        knowlip.annotate(tmp_path / "dataset", "bad", workers=1)


def test_the_page_names_all_fields_of_a_request() -> None:
    from dataclasses import fields

    from knowlip.annotators.types import TileRequest

    text = (ROOT / "docs" / "contributing" / "annotator.md").read_text()
    assert all(f"`{field.name}`" in text for field in fields(TileRequest))
