"""Words follow the pixels: what annotators write of a turned scene is the turned text of the scene."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from knowlip.annotators.labels.target_texts import target_texts
from knowlip.annotators.labels.terrain_texts import terrain_texts
from knowlip.annotators.measured.compose import TextOptions, compose
from knowlip.annotators.measured.evidence import Target, TileEvidence
from knowlip.annotators.measured.target_statements import target_statements
from knowlip.annotators.measured.terrain_statements import terrain_statements
from knowlip.base.vocabulary import LAND_COVER, REGIONS, region_of
from knowlip.dataset import Dataset
from knowlip.language.claims import parse_claims
from knowlip.language.dimensions import InstructionSet
from knowlip.language.direction_words import turn_words
from knowlip.language.directions import Turn, draw_turns
from knowlip.language.grammar import Grammar
from knowlip.language.phrases import axis_word, in_regions, region_phrase
from knowlip.language.truth import judge
from knowlip.simulator.stage import SimulateConfig, simulate
from knowlip.tiles.build import BuildConfig, build
from tests.annotators.test_labels import facts_of

GRAMMAR = Grammar.standard()
TURNS = [Turn.of(number) for number in range(8)]
MIRROR, QUARTER, HALF = Turn(True, 0), Turn(False, 1), Turn(False, 2)


# ---- the group ------------------------------------------------------------------------------------------------------


def test_pixels_places_steps_and_regions_turn_together() -> None:
    tile = np.zeros((9, 9), np.uint8)
    for turn, row, column in itertools.product(TURNS, range(9), range(9)):
        tile[:] = 0
        tile[row, column] = 1
        x, y = turn.place((column + 0.5) / 9, (row + 0.5) / 9)
        assert turn.pixels(tile)[int(y * 9), int(x * 9)] == 1
        assert region_of(x, y) == turn.region(region_of((column + 0.5) / 9, (row + 0.5) / 9))
        assert turn.step((column - 4, row - 4)) == (int(x * 9) - 4, int(y * 9) - 4)


def test_azimuths_turn_with_the_steps() -> None:
    for turn, degrees in itertools.product(TURNS, range(0, 360, 15)):
        x, y = np.sin(np.deg2rad(degrees)), -np.cos(np.deg2rad(degrees))
        to_x, to_y = turn.place(0.5 + x / 2, 0.5 + y / 2)
        expected = np.rad2deg(np.arctan2(to_x - 0.5, -(to_y - 0.5))) % 360
        assert abs((turn.azimuth(degrees) - expected + 180) % 360 - 180) < 1e-9


def test_the_turns_are_the_dihedral_group() -> None:
    tile = np.arange(16).reshape(4, 4)
    pictures = {turn.pixels(tile).tobytes(): turn for turn in TURNS}
    assert len(pictures) == 8, "all different"
    for one, other in itertools.product(TURNS, TURNS):
        both = one.then(other)
        assert pictures[other.pixels(one.pixels(tile)).tobytes()] == both
        assert both.step((1, 2)) == other.step(one.step((1, 2)))
    for turn in TURNS:
        assert turn.then(turn.inverse) == turn.inverse.then(turn) == Turn()
    np.testing.assert_array_equal(MIRROR.pixels(tile), np.fliplr(tile))
    np.testing.assert_array_equal(QUARTER.pixels(tile), np.rot90(tile, -1))


def test_turns_are_drawn_in_their_shares() -> None:
    chance = np.random.default_rng(0).random((40000, 2))
    assert set(draw_turns(chance, 0, 0).tolist()) == {0}
    counts = np.bincount(draw_turns(chance, 0.5, 0.75), minlength=8) / 40000
    np.testing.assert_allclose(counts, 1 / 8, atol=0.01)
    assert set(draw_turns(chance, 0.3, 0).tolist()) == {0, 4}


# ---- words of the annotators -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("turn", TURNS)
def test_region_phrases_are_those_of_the_turned_regions(turn: Turn) -> None:
    for size in (1, 2, 3, 9):
        for regions in itertools.combinations(range(9), size):
            turned = [turn.region(region) for region in regions]
            assert turn_words(region_phrase(regions), turn) == region_phrase(turned)
            text = f"water covers about 40 percent of the scene, {in_regions(regions)}"
            assert turn_words(text, turn) == f"water covers about 40 percent of the scene, {in_regions(turned)}"


@pytest.mark.parametrize("turn", TURNS)
def test_axes_are_those_of_the_turned_heading(turn: Turn) -> None:
    for heading in range(5, 360, 10):
        text = f"elongated bright hull with strong points, pointing {axis_word(heading)}"
        assert turn_words(text, turn) == text.replace(axis_word(heading), axis_word(turn.azimuth(heading)))


def scene(rng: np.random.Generator, targets: int) -> TileEvidence:
    """A made-up tile with boxes and covers."""
    names = [name for name in LAND_COVER.values() if name != "nodata"]
    grid = tuple(dict(zip(names, rng.dirichlet(np.full(len(names), 0.15)).tolist())) for _ in range(9))
    shares = {name: float(np.mean([cell[name] for cell in grid])) for name in names}
    found = tuple(
        Target(
            "ship",
            rng.random(),
            rng.random(),
            rng.uniform(60, 200),
            rng.uniform(12, 40),
            rng.uniform(0, 180),
            "cargo ship",
            0.9,
        )
        for _ in range(targets)
    )
    return TileEvidence(1024.0, found, shares, grid)


def turned_scene(evidence: TileEvidence, turn: Turn) -> TileEvidence:
    targets = []
    for target in evidence.targets:
        x, y = turn.place(target.x, target.y)
        targets.append(replace(target, x=x, y=y, heading_deg=turn.azimuth(target.heading_deg) % 180))
    grid = [evidence.grid[turn.inverse.region(region)] for region in range(9)]
    return replace(evidence, targets=tuple(targets), grid=tuple(grid))


def written(evidence: TileEvidence) -> dict[tuple[InstructionSet, str], str]:
    """The main sentences on targets and on terrain."""
    texts = {}
    for kind, mains in (
        (InstructionSet.MARINE, target_statements(evidence)),
        (InstructionSet.TERRAIN, terrain_statements(evidence, None)),
    ):
        for sub in compose("tile", "large", kind, mains, [], None, TextOptions(words=0), GRAMMAR):
            texts[kind, sub.dimension] = sub.text
    return texts


def claimed(kind: InstructionSet, dimension: str, text: str) -> dict[str, object]:
    """What a text claims; in which order it names regions is no claim."""
    claims: dict[str, object] = dict(parse_claims(kind, dimension, text))
    if "regions" in claims:
        claims["regions"] = set(claims["regions"])
    if "where" in claims:
        claims["where"] = {cover: set(regions) for cover, regions in claims["where"].items()}
    return claims


@pytest.mark.parametrize("turn", TURNS)
def test_turned_texts_claim_what_is_seen_in_turned_pixels(turn: Turn) -> None:
    """All eight sentences, of targets and of terrain, of scenes with known boxes and covers."""
    rng = np.random.default_rng(7)
    compared = changed = 0
    for _ in range(150):
        evidence = scene(rng, int(rng.integers(1, 5)))
        now = written(turned_scene(evidence, turn))
        for (kind, dimension), text in written(evidence).items():
            if dimension == "Location" and not _one_choice(evidence):
                continue  # of regions with equally many targets the first in the order of rows is named
            if dimension == "Feature" and len(evidence.targets) > 2:
                continue  # whether the mean heading or that of the longest is told depends on where north is
            turned = turn_words(text, turn)
            assert turned is not None, text
            claims = claimed(kind, dimension, turned)
            assert claims == claimed(kind, dimension, now[kind, dimension]), (text, turned)
            compared += 1
            changed += claims != claimed(kind, dimension, text)
    assert compared > 2000
    assert changed > (400 if turn != Turn() else -1)


def _one_choice(evidence: TileEvidence) -> bool:
    """Whether the regions that hold two thirds of the targets are the same in whatever order regions are counted."""
    held = np.bincount([region_of(target.x, target.y) for target in evidence.targets], minlength=9)
    counts = sorted((int(count) for count in held if count), reverse=True)
    covered = number = 0
    while covered * 3 < len(evidence.targets) * 2:
        covered, number = covered + counts[number], number + 1
    return number == len(counts) or counts[number - 1] > counts[number]


# ---- free words -----------------------------------------------------------------------------------------------------

PHRASES = [  # text, mirrored, turned by a quarter clockwise
    ("Houses in the upper-left corner", "Houses in the upper-right corner", "Houses in the upper-right corner"),
    ("top right and bottom-left", "top left and bottom-right", "bottom right and top-left"),
    (
        "the left-hand side and the lower part",
        "the right-hand side and the lower part",
        "the upper part and the left side",
    ),
    ("lower center; center left", "lower center; center right", "center left; upper center"),
    ("left-central area", "right-central area", "central-upper area"),
    (
        "in the northwest, north-east and south-western parts",
        "in the northeast, north-west and south-eastern parts",
        "in the northeast, south-east and north-western parts",
    ),
    ("a road from west to east", "a road from east to west", "a road from north to south"),
    ("running north-south", "running north-south", "running east-west"),
    ("running NW-SE near the NE corner", "running NE-SW near the NW corner", "running NE-SW near the SE corner"),
    ("towards the south-southeast", "towards the south-southwest", "towards the west-southwest"),
    ("from left to right", "from right to left", "from top to bottom"),
    ("water to the left of the quay", "water to the right of the quay", "water above the quay"),
    (
        "fields above the river, houses below",
        "fields above the river, houses below",
        "fields to the right of the river, houses to the left",
    ),
    (
        "dense on the left, open at the bottom",
        "dense on the right, open at the bottom",
        "dense at the top, open on the left",
    ),
    ("upper and right portions", "upper and left portions", "right and lower portions"),
    (
        "a horizontal road, trees vertically aligned",
        "a horizontal road, trees vertically aligned",
        "a vertical road, trees horizontally aligned",
    ),
    ("heading of 30 degrees", "heading of 330 degrees", "heading of 120 degrees"),
    ("oriented at about 170.5°", "oriented at about 9.5°", "oriented at about 80.5°"),
    (
        "azimuth 45 degrees clockwise from north",
        "azimuth 315 degrees clockwise from north",
        "azimuth 135 degrees clockwise from north",
    ),
    ("targets in regions 1, 2 and 6", "targets in regions 3, 2 and 4", "targets in regions 3, 6 and 8"),
    ("a clockwise bend", "a counterclockwise bend", "a clockwise bend"),
    ("the leftmost ship", "the rightmost ship", "the topmost ship"),
    (
        "lower backscatter than the field; streets at right angles",
        "lower backscatter than the field; streets at right angles",
        "lower backscatter than the field; streets at right angles",
    ),
    (
        "incidence angle of 35 degrees, 12 ships, diagonal wake",
        "incidence angle of 35 degrees, 12 ships, diagonal wake",
        "incidence angle of 35 degrees, 12 ships, diagonal wake",
    ),
    ("tall vertical towers", "tall vertical towers", None),
    ("two columns of tanks", "two columns of tanks", None),
    ("an S-shaped river", None, "an S-shaped river"),
]


@pytest.mark.parametrize(("text", "mirrored", "quarter"), PHRASES)
def test_free_words_are_turned(text: str, mirrored: str | None, quarter: str | None) -> None:
    assert turn_words(text, MIRROR) == mirrored
    assert turn_words(text, QUARTER) == quarter
    assert turn_words(text, Turn()) == text


@pytest.mark.parametrize(
    "text",
    [
        "the coast of South Holland",
        "North Sea wind farm",
        "the port of West Haven",
        "30 km north of the city",
        "fields east of Kiel",
        "near the middle east",
        "in the north sea",
        "the right conditions",
        "lower valleys",
        "what was left behind",
        "ships turned to starboard",
        "at 3 o'clock",
        "tilted by 20 degrees",
        "52.3° N",
        "region 0",
        "a bottom of sand",
        "the westernised town",
        "the main diagonal",
        "WNW of the pier",
    ],
)
def test_texts_with_directions_that_are_not_understood_are_refused(text: str) -> None:
    for turn in TURNS[1:]:
        assert turn_words(text, turn) is None
    assert turn_words(text, Turn()) == text


@pytest.mark.parametrize("turn", TURNS)
def test_turning_back_gives_the_text_back(turn: Turn) -> None:
    """Word for word where rows stay rows; else the same claims (rows and columns have different words)."""
    rng = np.random.default_rng(1)
    texts = [text for text, *_ in PHRASES[:24]] + [f"ships {in_regions(rng.permutation(9)[:2])}" for _ in range(30)]
    for text in texts:
        turned = turn_words(text, turn)
        assert turned is not None
        back = turn_words(turned, turn.inverse)
        assert back is not None
        if not turn.swaps_axes:
            assert back == text
        assert turn_words(back, turn) == turned
        where = [parse_claims("marine", "Location", each).get("regions") for each in (text, back)]
        assert sorted(where[0] or []) == sorted(where[1] or [])


def test_turns_of_words_compose() -> None:
    for one, other in itertools.product(TURNS, TURNS):
        for regions in itertools.combinations(range(9), 2):
            text = f"ships {in_regions(regions)}, pointing {axis_word(20.0 * regions[0])}"
            once = turn_words(text, one)
            assert once is not None
            assert turn_words(once, other) == turn_words(text, one.then(other))


def test_claims_of_turned_words_are_the_turned_claims() -> None:
    """The reader of claims is written independently of this module."""
    for turn, name in itertools.product(TURNS, [*REGIONS, "left side", "lower part", "north", "southeast", "top"]):
        text = f"most ships lie in the {name} of the image"
        turned = turn_words(text, turn)
        assert turned is not None
        before, after = (parse_claims("marine", "Location", each)["regions"] for each in (text, turned))
        assert sorted(turn.region(region) for region in before) == sorted(after)


# ---- simulated scenes -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Truth of the tiles of a simulated port: objects with places, sizes and headings, and land cover."""
    folder = tmp_path_factory.mktemp("simulated")
    simulate(
        SimulateConfig(
            folder / "scenes",
            cities=1,
            sensors=("sim-c",),
            themes=("port",),
            scene_size_m={"sim-c": 1024.0},
            seed=5,
            workers=1,
        )
    )
    build(BuildConfig([folder / "scenes"], folder / "dataset", tile_px=256, workers=1))
    return Dataset(folder / "dataset").truth()


def turned_truth(truth: dict[str, Any], turn: Turn) -> dict[str, Any]:
    objects = []
    for item in truth["objects"]:
        x, y = turn.place(item["x"], item["y"])
        objects.append({**item, "x": x, "y": y, "heading_deg": turn.azimuth(item["heading_deg"])})
    return {**truth, "objects": objects, "grid": [truth["grid"][turn.inverse.region(region)] for region in range(9)]}


def test_words_for_places_of_simulated_boxes(simulated: dict[str, dict[str, Any]]) -> None:
    """The annotators' words for the places and axes of objects, from their turned boxes and from the turned words."""
    compared = 0
    for truth, turn in itertools.product(simulated.values(), TURNS):
        before, after = truth["objects"], turned_truth(truth, turn)["objects"]
        for one, other in zip(before, after):
            if abs(one["heading_deg"] % 45 - 22.5) < 1e-6:
                continue  # between two axes
            texts = [
                f"the {item['type']} lies {in_regions([region_of(item['x'], item['y'])])}, pointing "
                f"{axis_word(item['heading_deg'])}"
                for item in (one, other)
            ]
            assert turn_words(texts[0], turn) == texts[1]
            compared += 1
        if before:
            places = [in_regions({region_of(item["x"], item["y"]) for item in items}) for items in (before, after)]
            assert turn_words(f"ships {places[0]}", turn) == f"ships {places[1]}"
    assert compared > 200


def test_turned_texts_are_as_true_of_turned_simulated_scenes(simulated: dict[str, dict[str, Any]]) -> None:
    """The judge of texts knows nothing of turning: its verdict on a label text stays what it was, and what it says of
    the unturned text on the turned scene is often "false"."""
    stale = 0
    for (tile, truth), turn in itertools.product(simulated.items(), TURNS):
        kind = "marine" if truth["objects"] else "terrain"
        write = target_texts if truth["objects"] else terrain_texts
        for dimension, text in write(facts_of(truth, tile)).items():
            turned = turn_words(text, turn)
            assert turned is not None
            after = turned_truth(truth, turn)
            assert judge(kind, dimension, turned, after, 256.0) == judge(kind, dimension, text, truth, 256.0), text
            stale += judge(kind, dimension, text, after, 256.0) != judge(kind, dimension, text, truth, 256.0)
    assert stale > 30
