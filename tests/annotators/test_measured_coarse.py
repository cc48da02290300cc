"""What coarse pixels show, on pictures of speckle made for it and on real Sentinel-1 tiles marked by hand."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from knowlip.annotators.measured import MeasuredAnnotator
from knowlip.annotators.measured.coarse import look_coarsely
from knowlip.annotators.measured.coarse_statements import coarse_additions, coarse_statements
from knowlip.annotators.types import TileRequest
from knowlip.language.claims import parse_claims
from knowlip.language.definitions import COARSE
from knowlip.language.dimensions import DIMENSIONS, InstructionSet
from knowlip.language.grammar import Grammar
from knowlip.language.grammar.meaning import claims_of
from knowlip.language.truth import judge

LOW, HIGH = -25.0, 5.0
"""dB of levels 1 and 255."""


def speckled(mean_db: np.ndarray, seed: int = 0, spread: float = 1.6) -> np.ndarray:
    """Levels of a scene of given backscatter, with eight looks; pixels share speckle over `spread` of their size."""
    rng = np.random.default_rng(seed)
    fields = rng.normal(size=(16, *mean_db.shape))
    if spread:
        fields = ndimage.gaussian_filter(fields, (0, spread, spread))
    power = 10 ** (mean_db / 10) * (fields**2).mean(axis=0) / (fields**2).mean()
    return np.clip(1 + (10 * np.log10(power) - LOW) / (HIGH - LOW) * 254, 1, 255).astype(np.uint8)


def request(image: np.ndarray, metres: float = 10.0, calibrated: bool = True, **more) -> TileRequest:
    more = {"levels_db": (LOW, HIGH), "resolution_m": 10.0, **more}
    return TileRequest("t", image, metres, "medium", "s", "C", 0.0, 0.0, calibrated=calibrated, **more)


def shore() -> np.ndarray:
    """Water on the left 40 %, meadow on the right."""
    mean = np.full((128, 128), -10.0)
    mean[:, :51] = -21.0
    return mean


def town(start: int) -> np.ndarray:
    """Meadow, and from a row on houses and their shadows."""
    mean = np.full((128, 128), -10.0)
    chance = np.random.default_rng(1)
    mean[start:] += chance.choice([-3.0, 0.0, 4.0], size=(128 - start, 128), p=[0.25, 0.5, 0.25])
    return mean


@pytest.mark.parametrize("calibrated", [True, False])
def test_water_beside_land_is_found_with_its_share_and_side(calibrated):
    seen = look_coarsely(request(speckled(shore()), calibrated=calibrated))
    assert seen.shares["water"] == pytest.approx(0.4, abs=0.05)
    assert seen.grid[3]["water"] > 0.9
    assert seen.grid[5]["water"] < 0.05
    assert coarse_statements(seen)["Boundary"].slots["side"] == "left"


def test_even_land_is_open_and_not_water_or_town():
    seen = look_coarsely(request(speckled(np.full((128, 128), -10.0))))
    assert seen.ordered[0] == "open land"
    assert seen.shares["open land"] > 0.95
    assert not seen.relief


def test_stronger_speckle_is_not_taken_for_houses():
    assert look_coarsely(request(speckled(np.full((128, 128), -10.0), spread=0.0))).shares["built-up"] < 0.05


def test_even_water_is_water_where_the_scene_is_calibrated():
    assert look_coarsely(request(speckled(np.full((128, 128), -21.0)))).shares["water"] > 0.95


def test_grass_is_not_called_water_without_calibration():
    mean = np.full((128, 128), -10.0)
    mean[40:90, 40:90] -= 6.0
    assert look_coarsely(request(speckled(mean), calibrated=False)).shares["water"] < 0.02


def test_houses_and_shadows_are_built_up_land():
    seen = look_coarsely(request(speckled(town(85))))
    assert seen.grid[7]["built-up"] > 0.9
    assert seen.grid[1]["built-up"] < 0.1


def test_interpolated_pixels_are_told_as_those_of_the_scene():
    image = speckled(town(64))
    fine = image.repeat(2, axis=0).repeat(2, axis=1)
    assert look_coarsely(request(fine, metres=5.0)) == look_coarsely(request(image))


@pytest.mark.parametrize(
    ("side", "tile", "scene", "told"),
    [
        (128, 8.0, 30.0, 30),
        (128, 8.0, 20.0, 20),
        (96, 12.0, 20.0, 20),
        (128, 10.0, 10.0, 10),
        (64, 16.0, 10.0, 16),
        (24, 16.0, 120.0, 120),
        (128, 12.0, None, 12),
    ],
)
def test_the_pixel_size_that_is_told_is_the_scenes_own(side, tile, scene, told):
    mean = np.full((side, side), -10.0)
    seen = request(speckled(mean), metres=tile, resolution_m=scene, polarisations=("VV",))
    note = MeasuredAnnotator().annotate(seen)
    use = note.text_of("Functionality").split(".")[0]
    assert re.findall(r"(\d+) m\b", use) == [str(told)], use
    sensor = [one.text for sub in note.sub_texts for one in sub.sentences if one.topic == "sensor"]
    for text in sensor:  # a scene of 10 m in tiles of 16 m is told with both
        assert ([f"{scene:g}"] if scene else []) + ([f"{told}"] if tile > (scene or tile) else []) == re.findall(
            r"(\d+(?:\.\d+)?(?:e.\d+)?) m\b", text
        )


def test_ships_are_bright_points_and_islands_are_not():
    mean = np.full((128, 128), -21.0)
    for row, column in ((20, 30), (64, 100), (100, 50)):
        mean[row : row + 3, column : column + 8] = 3.0
    mean[40:44, 20:26] = -10.0
    seen = look_coarsely(request(speckled(mean)))
    assert len(seen.points) == 3
    for x, y in ((34, 21.5), (104, 65.5), (54, 101.5)):
        assert min(abs(x - 128 * u) + abs(y - 128 * v) for u, v in seen.points) < 2.0
    assert seen.shares["water"] > 0.97
    topics = [statement.topic for statement, _ in coarse_additions(seen)]
    assert "points-on-water" in topics


def test_slopes_over_tens_of_pixels_are_relief():
    rows = np.arange(128)[:, None] + np.zeros((1, 128))
    hills = look_coarsely(request(speckled(-10.0 + 4.0 * np.sin(rows / 5.0))))
    assert hills.relief
    assert hills.ordered[0] == "open land"


def test_nothing_is_said_of_an_empty_image():
    with pytest.raises(ValueError, match="valid pixel"):
        look_coarsely(request(np.zeros((64, 64), np.uint8)))


def test_nodata_is_left_out_of_the_shares():
    image = speckled(shore())
    image[:, 51:] = 0
    assert look_coarsely(request(image)).shares["water"] > 0.95


def test_without_a_range_in_db_speckle_gives_the_scale():
    seen = look_coarsely(request(speckled(shore()), calibrated=False, levels_db=None))
    assert seen.shares["water"] == pytest.approx(0.4, abs=0.08)


@pytest.mark.parametrize("mean", [shore(), town(60), np.full((128, 128), -21.0), np.full((128, 128), -10.0)])
def test_statements_are_read_back_and_true(mean):
    seen, grammar = look_coarsely(request(speckled(mean))), Grammar.standard()
    wet = mean < -18.0
    thirds = [slice(i * 128 // 3, (i + 1) * 128 // 3) for i in range(3)]
    parts = [(row, column) for row in thirds for column in thirds]
    built = np.zeros_like(wet)
    built[60:] = len(np.unique(mean)) == 3

    def shares(part):
        one, two = float(wet[part].mean()), float(built[part].mean())
        return {"water": one, "built-up": two, "field": 1.0 - one - two}

    truth = {
        "objects": [],
        "buildings": int(built.any()) * 50,
        "bridges": 0,
        "tanks": 0,
        "shares": shares((slice(None), slice(None))),
        "grid": [shares(part) for part in parts],
    }
    statements = coarse_statements(seen)
    assert tuple(statements) == DIMENSIONS[InstructionSet.TERRAIN]
    for dimension, statement in statements.items():
        for seed in range(5):
            text = grammar.say(statement, f"{seed} {dimension}", [], 0)
            assert parse_claims("terrain", dimension, text) == claims_of(statement), text
            assert judge("terrain", dimension, text, truth, 1280.0) is not False, text
    for statement, dimensions in coarse_additions(seen):
        for dimension in dimensions:
            assert not parse_claims("terrain", dimension, grammar.say(statement, dimension, [], 0))


def marked_data() -> Path:
    data = Path(os.environ.get("KNOWLIP_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
    for name in ("sen1floods11", "s1-losangeles-tiles", "s1-geotiff"):
        if not (data / name).exists():
            pytest.skip(f"{data / name} is not there: real Sentinel-1 tiles are third-party data")
    return data


def test_land_cover_of_sixty_tiles_marked_by_hand(tmp_path):
    from benchmarks.real_marks import MARKS, built, marked_requests

    tiles = marked_requests(built(marked_data(), tmp_path / "d"))
    seen = {name: look_coarsely(tile) for name, tile in tiles.items()}
    assert len(MARKS) == 60
    right = [seen[mark.tile_id].ordered[0] in mark.main for mark in MARKS]
    common = max(np.mean([cover in mark.main for mark in MARKS]) for cover in COARSE)
    assert np.mean(right) >= 0.85 > common
    anchored = [mark for mark in MARKS if mark.ships]
    assert sum(bool(seen[mark.tile_id].points) for mark in anchored) >= 2
    none = [mark for mark in MARKS if mark.ships == 0]
    assert sum(bool(seen[mark.tile_id].points) for mark in none) <= 2
