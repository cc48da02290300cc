"""Template texts: true by construction, five wordings each, and silent on what labels do not say."""

import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from knowlip.annotators.annotate import AnnotateConfig, annotate
from knowlip.annotators.labels.facts import LabelFacts, LabelSource, LabelTarget, mask_shares, true_target
from knowlip.annotators.labels.target_texts import target_texts
from knowlip.annotators.labels.templates import TEMPLATES, choose
from knowlip.annotators.labels.terrain_texts import terrain_texts
from knowlip.base.vocabulary import LAND_COVER
from knowlip.dataset import Dataset
from knowlip.language.claims import parse_claims
from knowlip.language.dimensions import DIMENSIONS
from knowlip.language.phrases import UNKNOWN
from knowlip.language.truth import judge
from knowlip.tiles.imports import ImportConfig, import_dataset
from tests.annotators.tiny_dataset import build_tiny_dataset
from tests.language.test_truth import make_truth
from tests.tiles.test_imports import picture, voc, voc_set


def facts_of(truth: dict, tile_id: str) -> LabelFacts:
    fields = ("category", "type", "x", "y")
    targets = tuple(
        LabelTarget(
            *(item[name] for name in fields),
            item["length_m"],
            item["length_m"],
            item["length_m"] / item["width_m"],
            item["heading_deg"],
        )
        for item in truth["objects"]
    )
    known = frozenset(LAND_COVER.values())
    return LabelFacts(
        tile_id, targets, True, "ship", truth["shares"], tuple(truth["grid"]), known, truth["buildings"], ()
    )


@pytest.mark.parametrize("kind", ["marine", "ground", "terrain"])
def test_texts_are_judged_true_and_those_of_other_tiles_are_not(kind: str) -> None:
    rng = np.random.default_rng(3)
    truths = [make_truth(rng, kind) for _ in range(150)]
    write = terrain_texts if kind == "terrain" else target_texts
    texts = [write(facts_of(truth, f"tile-{number}")) for number, truth in enumerate(truths)]

    def verdicts(shift: int) -> dict[str, list[bool]]:
        found = defaultdict(list)
        for number, eight in enumerate(texts):
            for dimension, text in eight.items():
                verdict = judge(kind, dimension, text, truths[(number + shift) % len(truths)], 1024.0)
                assert (verdict is None) == (text == UNKNOWN), f"{dimension}: {text}"
                if verdict is not None:
                    found[dimension].append(verdict)
        return found

    own, swapped = verdicts(0), verdicts(1)
    assert set(own) == set(DIMENSIONS[kind]), "every dimension is told somewhere"
    for dimension, values in own.items():
        assert np.mean(values) > 0.98, dimension
    everything = [value for values in own.values() for value in values]
    assert np.mean(everything) > 0.995, "the upper bound of what texts can reach under the judge"
    assert np.mean([value for values in swapped.values() for value in values]) < 0.7


def test_five_different_wordings_chosen_by_the_tiles_name() -> None:
    for name, wordings in TEMPLATES.items():
        assert len(set(wordings)) == 5, name
    words = {"number": "two", "noun": "ships", "is": "are"}
    chosen = [choose("count", f"tile-{number}", **words) for number in range(300)]
    assert chosen == [choose("count", f"tile-{number}", **words) for number in range(300)]
    shares = [chosen.count(text) / 300 for text in set(chosen)]
    assert len(shares) == 5
    assert max(shares) < 0.3


def test_unknown_makes_no_claim_in_any_dimension() -> None:
    for kind, dimensions in DIMENSIONS.items():
        for dimension in dimensions:
            assert parse_claims(kind, dimension, UNKNOWN) == {}


def test_a_box_without_metres_gives_pixels_and_claims_no_cover() -> None:
    target = LabelTarget("ship", "", 0.1, 0.1, math.nan, 31.6, math.nan, math.nan)
    texts = target_texts(LabelFacts("t", (target,), True, "ship", {}, (), frozenset(), None, ()))
    assert "32 pixels" in texts["Size"]
    assert parse_claims("marine", "Size", texts["Size"]) == {}
    assert parse_claims("marine", "Count", texts["Count"])["count"] == 1
    assert parse_claims("marine", "Location", texts["Location"])["regions"] == [0]
    assert [texts[name] for name in ("Feature", "Region", "Environment")] == [UNKNOWN] * 3


def test_types_by_number_and_none_for_other() -> None:
    def category(*types: str) -> str:
        targets = tuple(LabelTarget("aircraft", name, 0.5, 0.5, 40.0, 40.0, 1.0, math.nan) for name in types)
        return target_texts(LabelFacts("t", targets, True, "aircraft", {}, (), frozenset(), None, ()))["Category"]

    assert "an A220 and a fighter" in category("fighter", "A220", "other")
    assert "business jets and a fighter" in category("fighter", "business jet", "business jet")
    assert "other" not in category("other", "other")
    assert parse_claims("ground", "Category", category("fighter", "business jet"))["types"] == [
        "business jet",
        "fighter",
    ]


def test_a_water_mask_says_nothing_of_roads_and_buildings() -> None:
    mask = np.zeros((30, 60), np.uint8)
    mask[:, 40:] = 7
    mask[0, 0] = 255
    shares, grid, unlabelled, parts = mask_shares(mask, {0: "land", 7: "permanent water", 9: "background"})
    assert (unlabelled, parts) == (pytest.approx(1 / 1800), pytest.approx((1 / 200, *[0] * 8)))
    assert shares["water"] == pytest.approx(600 / 1799)
    assert [cell["water"] for cell in grid] == [0, 0, 1] * 3
    texts = terrain_texts(LabelFacts("t", (), False, "", shares, grid, frozenset(shares), None, ()))
    assert texts["Roads"] == texts["Buildings"] == texts["Functionality"] == UNKNOWN
    water = parse_claims("terrain", "Water", texts["Water"])
    assert water == {"water": True, "shares": {"water": 0.33}, "regions": [2, 5, 8]}
    assert "land" in texts["Terrain"]
    assert "water" in texts["Boundary"]


def test_imported_set_is_annotated_without_known_metres(tmp_path: Path) -> None:
    source = voc_set(tmp_path / "set")
    voc(source / "annotations" / "0003.xml", (60, 40), (6, 4, 16, 10), (40, 20, 58, 36))
    import_dataset(ImportConfig(source, out=tmp_path / "out", format="voc"))
    result = annotate(AnnotateConfig(tmp_path / "out", "labels"))
    assert (result["annotated"], result["quarantined"]) == (6, 0)
    data = Dataset(tmp_path / "out")
    texts = data.texts().set_index(["tile_id", "dimension"])["text"]
    assert set(data.texts()["annotator"]) == {"labels"}
    assert parse_claims("marine", "Count", texts["set-0001", "Count"])["count"] == 0
    assert texts["set-0001", "Size"] == UNKNOWN
    assert parse_claims("marine", "Count", texts["set-0003", "Count"])["count"] == 2
    assert "pixels" in texts["set-0003", "Size"]
    counts = data.mentions().set_index("tile_id")["counts"]
    assert counts["set-0001"] == '{"ship": 0}'
    assert counts["set-0003"] == '{"ship": 2}'


def test_class_folders_name_the_type_and_no_size(tmp_path: Path) -> None:
    for number, kind in enumerate(("A330", "Boeing787")):
        picture(tmp_path / "chips" / kind / f"{number}.png", number, (64, 64))
    options = {"format": "folder", "category": "aircraft", "metres_per_pixel": 1.0}
    import_dataset(ImportConfig(tmp_path / "chips", out=tmp_path / "out", **options))
    annotate(AnnotateConfig(tmp_path / "out", "labels"))
    texts = Dataset(tmp_path / "out").texts()
    assert set(texts["instruction_set"]) == {"ground"}
    assert sorted("A330" in text for text in texts[texts["dimension"] == "Category"]["text"]) == [False, True]
    assert set(texts[texts["dimension"] == "Size"]["text"]) == {UNKNOWN}, "the box is the image, not the aircraft"


def test_a_data_set_without_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no labels"):
        annotate(AnnotateConfig(build_tiny_dataset(tmp_path / "dataset"), "labels"))


def test_targets_at_the_edge_tell_how_much_of_them_is_outside(tmp_path: Path) -> None:
    source = voc_set(tmp_path / "set")
    voc(source / "annotations" / "0002.xml", (60, 40), (0, 4, 20, 16), (6, 4, 16, 10), (40, 20, 50, 40))
    import_dataset(ImportConfig(source, out=tmp_path / "out", format="voc", voc_corners="edges"))
    targets = LabelSource(Dataset(tmp_path / "out")).facts("set-0002").targets
    assert [math.isnan(target.outside) for target in targets] == [True, False, True]
    assert [target.difficult for target in targets] == [False, True, False]
    assert not any(target.whole for target in targets)


def test_the_share_of_a_true_outline_beyond_the_edge() -> None:
    def outside(*polygon: tuple[float, float]) -> float:
        item = {"category": "ship", "type": "tanker", "x": 0.1, "y": 0.5, "length_m": 9.0, "width_m": 3.0}
        return true_target({**item, "heading_deg": 0.0, "polygon": polygon}, 1.0, (64, 64)).outside

    assert outside((-0.1, 0.4), (0.3, 0.4), (0.3, 0.6), (-0.1, 0.6)) == pytest.approx(0.25)
    assert outside((0.1, 0.4), (0.3, 0.4), (0.3, 0.6), (0.1, 0.6)) == 0
    assert outside((-0.2, -0.2), (0.2, -0.2), (0.2, 0.2), (-0.2, 0.2)) == pytest.approx(0.75)
