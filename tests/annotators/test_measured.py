"""The measured annotator on drawn tiles: known ships, known water, empty land, real chips, bad input."""

import os
import re
import time
from pathlib import Path

import numpy as np
import pytest

from knowlip.annotators.measured import MeasuredAnnotator
from knowlip.annotators.measured.annotator import parent_function
from knowlip.annotators.measured.kinds import distances
from knowlip.annotators.types import Annotation, SubText, TileRequest
from knowlip.base.vocabulary import AIRCRAFT_TYPES, SHIP_TYPES
from knowlip.language.definitions import arrangement
from knowlip.language.dimensions import DIMENSIONS
from knowlip.language.truth import judge

DATA = Path(os.environ.get("KNOWLIP_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))


def speckled(level: np.ndarray, seed: int = 0) -> np.ndarray:
    """Grey levels with the logarithm of 8-look gamma speckle on a 36 dB scale."""
    noise_db = 10 * np.log10(np.random.default_rng(seed).gamma(8.0, 1 / 8.0, level.shape))
    return np.clip(level + noise_db * 254 / 36, 1, 255).astype(np.uint8)


def request(image: np.ndarray, metres_per_pixel: float, parent: Annotation | None = None) -> TileRequest:
    place = {"country": "Italy", "port": "Genoa", "port_km": 2.0, "airport": "", "airport_km": 99.0}
    return TileRequest("tile", image, metres_per_pixel, "medium", "sim-c", "C", 8.9, 44.4, place, 90.0, parent)


def sea_with_ships(ships: list[tuple[float, float, float]], metres_per_pixel: float = 2.0) -> np.ndarray:
    """Sea at level 55; each ship is an 80 %-bright box: x and y in pixels, heading in degrees, 120 m x 18 m."""
    level = np.full((256, 256), 55.0)
    y, x = np.mgrid[:256, :256]
    for cx, cy, heading in ships:
        angle = np.deg2rad(heading)
        along = ((x - cx) * np.sin(angle) - (y - cy) * np.cos(angle)) * metres_per_pixel
        across = ((x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)) * metres_per_pixel
        level[(abs(along) <= 60) & (abs(across) <= 9)] = 225.0
    return speckled(level)


def test_ships_at_sea() -> None:
    ships = [(50.0, 50.0, 0.0), (200.0, 60.0, 45.0), (130.0, 200.0, 90.0)]
    annotation = MeasuredAnnotator().annotate(request(sea_with_ships(ships), 2.0))
    assert annotation.instruction_set == "marine"
    truth = {
        "objects": [
            {
                "category": "ship",
                "type": "cargo ship",
                "length_m": 120.0,
                "width_m": 18.0,
                "heading_deg": heading,
                "x": x / 256,
                "y": y / 256,
            }
            for x, y, heading in ships
        ],
        "buildings": 0,
        "shares": {"water": 1.0},
        "grid": [{"water": 1.0}] * 9,
    }
    verdicts = {
        text.dimension: judge("marine", text.dimension, text.text, truth, 512.0) for text in annotation.sub_texts
    }
    verdicts.pop("Category")  # 120 m fits three types
    assert all(verdicts.values()), (verdicts, annotation)


def test_sides_need_not_fit_the_cells() -> None:
    image = sea_with_ships([(50.0, 50.0, 0.0), (200.0, 60.0, 45.0), (130.0, 180.0, 90.0)])[:229, :251]
    annotation = MeasuredAnnotator().annotate(request(image, 2.0))
    assert annotation.instruction_set == "marine"
    assert annotation.counts["ship"] == 3


def test_empty_sea_is_terrain_and_all_water() -> None:
    annotation = MeasuredAnnotator().annotate(request(speckled(np.full((256, 256), 55.0)), 2.0))
    assert annotation.instruction_set == "terrain"
    truth = {"objects": [], "buildings": 0, "shares": {"water": 1.0}, "grid": [{"water": 1.0}] * 9}
    for dimension in ("Terrain", "Distribution", "Buildings", "Water"):
        assert judge("terrain", dimension, annotation.text_of(dimension), truth, 512.0), annotation.text_of(dimension)


def test_a_tile_half_water_half_field() -> None:
    parcels = np.random.default_rng(3).uniform(95.0, 145.0, (8, 8))  # a flat plain would be an airfield's grass
    level = parcels.repeat(32, axis=0).repeat(32, axis=1)
    level[:, :128] = 45.0
    annotation = MeasuredAnnotator().annotate(request(speckled(level), 4.0))
    half = {"water": 0.5, "field": 0.5}
    truth = {"objects": [], "buildings": 0, "shares": half, "grid": [{"water": 1.0}, half, {"field": 1.0}] * 3}
    for dimension in ("Distribution", "Boundary", "Water"):
        assert judge("terrain", dimension, annotation.text_of(dimension), truth, 1024.0), annotation.text_of(dimension)


def test_texts_are_complete_short_and_deterministic() -> None:
    for image in (
        sea_with_ships([(128.0, 128.0, 30.0)]),
        speckled(np.full((100, 256), 120.0)),
        np.full((40, 40), 7, np.uint8),
    ):
        annotation = MeasuredAnnotator().annotate(request(image, 2.0))
        assert annotation == MeasuredAnnotator().annotate(request(image, 2.0))
        assert tuple(text.dimension for text in annotation.sub_texts) == DIMENSIONS[annotation.instruction_set]
        for text in annotation.sub_texts:
            assert 3 <= len(text.text.split()) <= 60
            assert not text.text.endswith(".")
            assert 0.0 <= text.confidence <= 1.0


def parent_with(function: str) -> Annotation:
    texts = {"Functionality": function}
    return Annotation(
        "parent",
        "terrain",
        tuple(SubText(name, texts.get(name, "x"), 0.5, "visual") for name in DIMENSIONS["terrain"]),
    )


def test_parent_tells_the_function() -> None:
    assert parent_function(parent_with("port area for shipping and cargo, near a port")) == "port"
    assert parent_function(parent_with("agricultural area with farmland")) == "farmland"
    assert parent_function(None) is None


@pytest.mark.parametrize("kind", [*SHIP_TYPES, *AIRCRAFT_TYPES], ids=lambda kind: kind.name)
def test_typical_sizes_give_their_type(kind: object) -> None:
    category = "ship" if kind in SHIP_TYPES else "aircraft"
    (low, high), (narrow, wide) = kind.length_m, kind.width_m  # type: ignore[attr-defined]
    far = distances((low * high) ** 0.5, (narrow * wide) ** 0.5, category)
    table = SHIP_TYPES if category == "ship" else AIRCRAFT_TYPES
    assert table[int(np.argmin(far))].name == kind.name  # type: ignore[attr-defined]
    assert min(far) >= 0


@pytest.mark.parametrize(
    ("points", "pattern"),
    [
        ([], "none"),
        ([(0.3, 0.3)], "single"),
        ([(0.1, 0.1), (0.4, 0.41), (0.8, 0.79)], "row"),
        ([(0.1, 0.1), (0.2, 0.1), (0.1, 0.2), (0.2, 0.2)], "cluster"),
        ([(0.1, 0.1), (0.9, 0.2), (0.2, 0.8)], "scattered"),
        ([(0.1, 0.1), (0.9, 0.9)], "scattered"),
    ],
)
def test_arrangement(points: list[tuple[float, float]], pattern: str) -> None:
    assert arrangement(points) == pattern


@pytest.mark.parametrize(
    ("image", "metres_per_pixel", "message"),
    [
        (np.zeros((64, 64), np.uint8), 2.0, "no valid pixel"),
        (np.ones((64, 64), np.float32), 2.0, "8-bit"),
        (np.ones((64, 64, 3), np.uint8), 2.0, "two-dimensional"),
        (np.ones((64, 64), np.uint8), 0.0, "positive"),
    ],
)
def test_bad_tiles_are_refused(image: np.ndarray, metres_per_pixel: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MeasuredAnnotator().annotate(request(image, metres_per_pixel))


def test_nodata_is_left_out_of_shares() -> None:
    image = speckled(np.full((256, 256), 50.0))
    image[:, :100] = 0
    annotation = MeasuredAnnotator().annotate(request(image, 4.0))
    said = re.search(r"(\d+) percent|view", annotation.text_of("Water") + annotation.text_of("Region"))
    assert said is not None
    assert int(said[1] or 100) >= 90  # of the whole tile it would be 61


def test_speed() -> None:
    image = sea_with_ships([(50.0, 50.0, 0.0), (200.0, 60.0, 45.0)])
    annotator = MeasuredAnnotator()
    annotator.annotate(request(image, 2.0))
    started = time.process_time()
    for _ in range(10):
        annotator.annotate(request(image, 2.0))
    assert (time.process_time() - started) / 10 < 0.1  # a quarter of the speed of an idle core: loaded machines pass


def test_real_sentinel1_chips() -> None:
    folder = DATA / "s1-losangeles-tiles"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there: no real Sentinel-1 chips")
    from PIL import Image

    for path in sorted(folder.glob("*.png"))[:4]:
        image = np.asarray(Image.open(path).convert("L"))
        annotation = MeasuredAnnotator().annotate(request(image, 10.0))
        assert len(annotation.sub_texts) == 8
