"""`knowlip text check`: every rule finds its planted defect and only it, and is quiet on clean texts."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from knowlip.annotators.annotate import AnnotateConfig, annotate
from knowlip.annotators.check.report import RULES, CheckConfig, Checker, show, text_check
from knowlip.annotators.check.rules import place_names, place_pattern
from knowlip.annotators.check.tile import CheckedText, Labelled, TileTexts
from knowlip.cli import main
from knowlip.dataset.mentions import Box, Mention
from knowlip.language.dimensions import DIMENSIONS
from knowlip.language.marks import Sentence, joined
from knowlip.language.phrases import UNKNOWN
from tests.annotators.tiny_dataset import build_tiny_dataset

MARINE = {
    "Count": "two ships are visible in the scene",
    "Location": "the ships lie in the upper left and center",
    "Feature": "elongated bright hulls with strong points, pointing east-west",
    "Size": "the ships are typically about 200 meters long",
    "Category": "the ships are most likely tankers",
    "Distribution": "the ships are scattered over the scene",
    "Region": "water covers about 70 percent of the scene, land about 30 percent",
    "Environment": "water bordered by quays in the lower left, near a port",
}
TERRAIN = {
    "Terrain": "mainly flat farmland with fields, with some water",
    "Functionality": "agricultural area with farmland, in Netherlands",
    "Distribution": "fields over most of the scene, water in the left side, built-up land in the lower right",
    "Layout": "split into two parts, fields and water",
    "Boundary": "shoreline between water and fields, water to the left",
    "Buildings": "few scattered buildings, mostly in the lower right",
    "Roads": "a road crosses the lower part",
    "Water": "water covers about 20 percent of the scene, in the left side",
}
ROW: dict[str, Any] = {
    "window_m": 1024.0,
    "resolution_m": 1.0,
    "metres_per_pixel": 4.0,
    "proj:shape": [256, 256],
    "city": "Rotterdam",
    "country": "Netherlands",
    "region": "South Holland",
    "airport": "Rotterdam The Hague Airport",
    "port": "Europoort",
}


def tile(kind: str = "marine", name: str = "tile", mention: Any = None, labels: Any = None, **texts: str) -> TileTexts:
    given = (MARINE if kind == "marine" else TERRAIN) | texts
    sentences = tuple(
        CheckedText(slot, dim, given[dim]) for slot, dim in enumerate(DIMENSIONS[kind], 1) if dim in given
    )
    return TileTexts(name, kind, sentences, ROW, mention, labels)


def found(*tiles: TileTexts, limit: int = 30, caption_limit: int = 0) -> list[tuple[str, str]]:
    places = place_pattern(place_names([ROW]))
    checker = Checker(places, lambda text: len(text.split()), limit, caption_limit)
    return [(finding.rule, finding.dimension) for each in tiles for finding in checker.findings(each)]


def two_boxes(*more: Box, count: int = 2) -> Mention:
    boxes = (Box("ship", 0.1, 0.1, 0.1, 0.1), Box("ship", 0.5, 0.5, 0.1, 0.1), *more)
    return Mention("tile", "rules", {"ship": count}, boxes)


ELSEWHERE = (Labelled("ship", 0.9, 0.9), Labelled("ship", 0.9, 0.1))


def test_clean_texts_have_no_findings() -> None:
    labels = (Labelled("ship", 0.15, 0.15), Labelled("ship", 0.55, 0.55))
    assert found(tile("marine", "a", two_boxes(), labels), tile("terrain", "b", None, ())) == []
    unknown = dict.fromkeys(DIMENSIONS["terrain"], UNKNOWN)
    assert found(tile("terrain", "c", **unknown), tile("terrain", "d", **unknown)) == [], "no claim, no repetition"


@pytest.mark.parametrize(
    ("rule", "dimension", "planted"),
    [
        ("count-distribution", "Distribution", {"Distribution": "a single ship stands alone"}),
        (
            "count-distribution",
            "Distribution",
            {"Count": "one ship is visible", "Location": "the ship is in the center"},
        ),
        (
            "count-category",
            "Category",
            {"Category": "the aircraft are narrow-body airliners", "Size": "about 40 m long"},
        ),
        (
            "count-category",
            "Category",
            {"Count": "one ship", "Location": "center", "Distribution": "alone", "Category": "a tanker and a bulker"},
        ),
        ("count-location", "Location", {"Count": "no ships", "Category": "?x", "Size": "?y", "Distribution": "?z"}),
        (
            "direction-conflict",
            "Location",
            {
                "Count": "one ship",
                "Distribution": "alone",
                "Location": "the ship lies in the upper left and lower right",
            },
        ),
        ("water-environment", "Environment", {"Region": "water 20 %, land 80 %", "Environment": "open water around"}),
        ("shares-over-100", "Region", {"Region": "water covers 70 % of the scene, land 60 %"}),
        ("shares-over-100", "Region", {"Region": "water covers 130 % of the scene"}),
        ("count-mention", "Count", {"mention": two_boxes(count=4)}),
        ("count-boxes", "Count", {"mention": two_boxes(Box("ship", 0.2, 0.2, 0.1, 0.1))}),
        ("count-labels", "Count", {"labels": (Labelled("ship", 0.1, 0.1),)}),
        ("direction-labels", "Location", {"labels": ELSEWHERE}),
        (
            "direction-boxes",
            "Location",
            {"mention": Mention("tile", "", {"ship": 2}, tuple(Box("ship", x, 0.8, 0.1, 0.1) for x in (0.7, 0.9)))},
        ),
        ("size-window", "Size", {"Size": "about 400 pixels long"}),
        ("size-resolution", "Size", {"Size": "about 3 meters long", "Category": "boats"}),
        ("size-category", "Size", {"Size": "about 500 meters long"}),
        ("size-type", "Size", {"Size": "about 40 meters long"}),
        ("place-only", "Environment", {"Environment": "this is Rotterdam"}),
        ("place-only", "Environment", {"Environment": "near the Changi International Airport"}),
        ("empty", "Feature", {"Feature": " . "}),
        ("duplicate-sentence", "Distribution", {"Distribution": "Two ships are visible in the scene."}),
        ("cut-off", "Feature", {"Feature": "elongated bright hulls with"}),
        ("too-long", "Feature", {"Feature": "bright hulls " * 16}),
    ],
)
def test_each_rule_finds_its_own(rule: str, dimension: str, planted: dict[str, Any]) -> None:
    assert found(tile("marine", **planted)) == [(rule, dimension)]


@pytest.mark.parametrize(
    "text", ["small waves decide how bright water is.", "wind changes how rough a water surface is"]
)
def test_an_indirect_question_may_end_with_its_verb(text: str) -> None:
    assert "cut-off" not in {rule for rule, _ in found(tile("marine", Feature=text))}
    assert ("cut-off", "Feature") in found(tile("marine", Feature="the surface of the water is"))


@pytest.mark.parametrize(
    ("rule", "dimension", "planted"),
    [
        ("no-buildings", "Distribution", {"Buildings": "no buildings are visible"}),
        ("direction-conflict", "Buildings", {"Buildings": "some buildings in the upper left"}),
        ("direction-conflict", "Water", {"Water": "water covers about 20 percent, in the right side"}),
        ("water-share", "Terrain", {"Water": "water covers about 90 percent of the scene"}),
        ("missing", "Roads", {}),
    ],
)
def test_each_terrain_rule_finds_its_own(rule: str, dimension: str, planted: dict[str, Any]) -> None:
    one = tile("terrain", **planted)
    if rule == "missing":
        one = TileTexts("tile", "terrain", tuple(s for s in one.sentences if s.dimension != "Roads"), ROW, None, None)
    assert found(one) == [(rule, dimension)]


def test_no_water_contradicts_every_sentence_with_water() -> None:
    assert found(tile("terrain", Water="no open water is visible")) == [
        ("no-water", name) for name in ("Terrain", "Distribution", "Layout", "Boundary")
    ]


def test_size_in_metres_against_a_small_window() -> None:
    small = tile(Size="about 200 meters long")
    small = TileTexts("tile", "marine", small.sentences, ROW | {"window_m": 128.0}, None, None)
    assert found(small) == [("size-window", "Size")]
    unknown = ROW | {"window_m": float("nan"), "resolution_m": None, "metres_per_pixel": float("nan")}
    assert found(TileTexts("tile", "marine", small.sentences, unknown, None, None)) == []


def test_same_texts_of_two_tiles_and_captions_that_are_cut() -> None:
    assert found(tile(name="a"), tile(name="b")) == [("duplicate-tile", "Count")]
    words = [len(text.split()) for text in MARINE.values()]
    assert found(tile(), caption_limit=sum(words)) == []
    assert found(tile(), caption_limit=sum(words[:5])) == [("caption-cut", "Distribution")]


def test_a_place_with_something_seen_is_no_leak() -> None:
    for text in ("a port of Rotterdam with bright quays", "Europoort, ships along piers", "Reading the image is hard"):
        assert found(tile(Environment=text)) == [], text


def test_every_rule_is_planted_above() -> None:
    source = Path(__file__).read_text()
    assert [rule for rule in RULES if f'"{rule}"' not in source] == []


def test_command_writes_findings_and_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = build_tiny_dataset(tmp_path / "dataset")
    with pytest.raises(ValueError, match="no texts"):
        text_check(CheckConfig(folder))
    annotate(AnnotateConfig(folder, "measured", workers=1))

    def state() -> dict[str, str]:
        return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}

    before = state()
    assert main(["text", "check", str(folder), "--out", str(tmp_path / "check.json"), "--limit", "3"]) == 0
    printed = capsys.readouterr().out
    assert state() == before
    result = json.loads((tmp_path / "check.json").read_text())
    assert result["tiles"] == 21
    assert result["rules"]["too-long"]["tiles"] == 21
    assert result["findings"] == len(result["list"]) == sum(rule["findings"] for rule in result["rules"].values())
    assert "too-long" in printed
    assert show(result) == printed.rstrip("\n")
    assert {"tile_id", "slot", "rule", "sentence", "dimension", "detail", "against"} == set(result["list"][0])


def test_tokens_of_a_tokenizer_file(tmp_path: Path) -> None:
    from knowlip.models.tokenizer import TextTokenizer

    folder = build_tiny_dataset(tmp_path / "dataset")
    annotate(AnnotateConfig(folder, "measured", workers=1))
    (tmp_path / "tokenizer.json").write_text(TextTokenizer.train(["a b c d e f g h i j k l m n o p"] * 3, 60).to_json())
    words = text_check(CheckConfig(folder, limit=20))
    tokens = text_check(CheckConfig(folder, limit=20, tokenizer=tmp_path / "tokenizer.json"))
    assert tokens["rules"]["too-long"]["findings"] > words["rules"]["too-long"]["findings"]
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(ValueError, match="tokenizer"):
        text_check(CheckConfig(folder, tokenizer=tmp_path / "broken.json"))


def test_marks_tell_what_is_claimed_of_the_image() -> None:
    def marked(*sentences: Sentence) -> list[tuple[str, str]]:
        text, marks = joined(sentences)
        whole = tile()
        others = [one for one in whole.sentences if one.dimension != "Environment"]
        mine = CheckedText(8, "Environment", text, marks, sentences[0].evidence)
        return found(replace(whole, sentences=(*others, mine)))

    sight = Sentence(MARINE["Environment"], "visual")
    assert marked(sight, Sentence("Rotterdam lies 3 km away", "geo")) == []
    assert marked(Sentence("this is Rotterdam", "geo"), sight) == []
    assert marked(Sentence("this is Rotterdam", "visual")) == [("place-only", "Environment")]
    bright = Sentence("bright quays of Rotterdam", "visual")
    assert marked(bright) == [("place-as-seen", "Environment")]
    assert marked(sight, Sentence("many ships in open water all around", "prior")) == []
