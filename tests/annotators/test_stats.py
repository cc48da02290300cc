"""Numbers of texts against examples counted by hand, the package lexicalrichness and the paper's own captions."""

import json
import os
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from knowlip.annotators.stats import TextStatsConfig, show, text_stats
from knowlip.annotators.stats.compared import agreeing
from knowlip.annotators.stats.corpus import TextCorpus, load
from knowlip.annotators.stats.layers import layer_of
from knowlip.annotators.stats.lexical import HEDGES, STOP_WORDS, lead_in, mtld, words
from knowlip.annotators.stats.measure import duplicate_rate, measure, summary
from knowlip.annotators.stats.projection import (
    image_features,
    neighbours_shared,
    read_features,
    template_texts,
    text_features,
)
from knowlip.annotators.stats.published import PUBLISHED
from knowlip.annotators.tokens import TokenizerFile
from knowlip.base.files import write_json
from knowlip.cli import main
from knowlip.dataset import Dataset
from knowlip.language.captions import compose_text
from knowlip.language.dimensions import DIMENSIONS
from knowlip.language.grammar import Grammar
from knowlip.language.marks import Sentence, joined
from knowlip.tiles.imports import ImportConfig, import_dataset
from tests.annotators.tiny_dataset import build_tiny_dataset
from tests.tiles.test_imports import voc_set

DATA = Path(os.environ.get("KNOWLIP_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
TERRAIN = DIMENSIONS["terrain"]


def record(**fields: str) -> dict[str, str]:
    """A terrain record whose fields say "x" where nothing else is given."""
    return {name: fields.get(name, "x") for name in TERRAIN}


def captions(folder: Path, value: object, name: str = "captions.json") -> str:
    (folder / name).write_text(value if isinstance(value, str) else json.dumps(value))
    return str(folder / name)


def measured(corpus: TextCorpus, **options: object) -> dict:
    return measure(corpus, options.get("tokens"), options.get("token_length", 64), 0)


@pytest.fixture
def tiles(tmp_path: Path) -> Path:
    """A data set with texts: two small groups of tiles, ships in some."""
    folder = build_tiny_dataset(tmp_path / "data")
    data, rows = Dataset(folder), []
    for number, tile in enumerate(data.tiles()["tile_id"]):
        for slot, dimension in enumerate(TERRAIN, 1):
            text = f"The terrain is plain {number % 5}" if slot == 1 else f"Possibly {dimension.lower()} {number % 3}!"
            rows.append((tile, slot, dimension, text))
    frame = pd.DataFrame(rows, columns=["tile_id", "slot", "dimension", "text"])
    fixed = {
        "revision": 0,
        "parent": -1,
        "run": "annotate",
        "instruction_set": "terrain",
        "annotator": "rules",
        "confidence": 0.5,
        "evidence": "visual",
        "decision": "annotated",
        "delta_itc": 0.0,
        "delta_itm": 0.0,
        "margin": 0.0,
        "reason": "",
    }
    data.write_texts(frame.assign(**fixed))
    return folder


# ---- words, richness ------------------------------------------------------------------------------------------------


def test_words() -> None:
    assert words("Urban/built-up: 3 of the Ship's (grid-like) blocks.") == [
        "urban",
        "built-up",
        "3",
        "of",
        "the",
        "ship's",
        "grid-like",
        "blocks",
    ]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [1, 3, 30, 400, 5000])
@pytest.mark.parametrize("different", [2, 40, 100000])
def test_mtld_is_that_of_lexicalrichness(seed: int, size: int, different: int) -> None:
    oracle = pytest.importorskip("lexicalrichness").LexicalRichness
    rng = random.Random(seed)
    tokens = [f"w{min(rng.randrange(different), rng.randrange(different))}" for _ in range(size)]
    expected = oracle(tokens, preprocessor=None, tokenizer=None).mtld(threshold=0.72)
    assert mtld(tokens) == pytest.approx(expected, rel=1e-12)


def test_mtld_by_hand() -> None:
    # a b a: ratios 1, 1, 2/3 end a run; both ways two runs of three words
    assert mtld(["a", "b", "a", "c", "d", "c"]) == 3.0
    assert mtld([]) == 0.0
    assert mtld(["a", "b"]) == 2.0


def test_lead_in_is_what_nearly_all_texts_begin_with() -> None:
    texts = [["road", "presence", word] for word in "abcdefghi"]
    assert lead_in([*texts, ["no", "roads"]]) == ("road", "presence")
    assert lead_in([*texts[:5], *[["no", "roads"]] * 5]) == ()
    assert lead_in(texts[:2]) == ()
    assert lead_in([["flat"]] * 5) == ("flat",)


# ---- numbers --------------------------------------------------------------------------------------------------------


def test_numbers_by_hand(tmp_path: Path) -> None:
    values = [
        record(Terrain="Flat, possible POSSIBLE marsh", Water="likely river"),
        record(Terrain="Flat, possible POSSIBLE marsh", Water="Likely river."),
        record(Terrain="Hilly", Water="impossible"),
    ]
    found = measured(load(f"mine={captions(tmp_path, values)}"))
    assert found["name"] == "mine"
    assert (found["captions"], found["sub_texts"]) == (3, 24)
    assert found["length"]["words"]["histogram"] == {12: 2, 8: 1}
    assert found["length"]["words"]["mean"] == pytest.approx(32 / 3, abs=1e-4)
    assert found["length"]["characters"]["min"] == len("Hilly") + len("impossible") + 6
    assert found["words"] == 32
    assert found["vocabulary"] == len({"flat", "possible", "marsh", "likely", "river", "hilly", "impossible", "x"})
    assert found["hedging"]["captions_with"] == {"likely": 2, "possible": 2}
    assert found["hedging"]["captions"] == pytest.approx(2 / 3, abs=1e-4)
    assert found["hedging"]["sub_texts"] == pytest.approx(4 / 24, abs=1e-4)
    assert found["hedging"]["per_1000_words"] == pytest.approx(1000 * 6 / 32, abs=1e-4)
    # the second caption is the first but for a capital and a full stop
    assert found["duplicates"]["captions"] == 0.0
    assert found["duplicates"]["captions_normalised"] == pytest.approx(1 / 3, abs=1e-4)
    # Terrain: 1 of 3 repeated; six dimensions "x": 2 of 3 each; Water: none exactly, one normalised
    assert found["duplicates"]["sub_texts"] == pytest.approx((1 + 12) / 24, abs=1e-4)
    assert found["duplicates"]["sub_texts_normalised"] == pytest.approx((1 + 12 + 1) / 24, abs=1e-4)
    terrain = found["dimensions"][0]
    assert (terrain["instruction_set"], terrain["dimension"]) == ("terrain", "Terrain")
    assert terrain["frequency"]["words"] == {"possible": 4, "flat": 2, "marsh": 2, "hilly": 1}
    json.dumps(found, allow_nan=False)


def test_summary_and_duplicate_rate() -> None:
    found = summary([1, 2, 2, 3, 12])
    assert (found["mean"], found["median"], found["min"], found["max"]) == (4.0, 2.0, 1, 12)
    assert found["histogram"] == {1: 1, 2: 2, 3: 1, 12: 1}
    assert duplicate_rate(["a", "b", "a", "a"]) == 0.5
    assert duplicate_rate([]) == 0.0


def test_frequencies_leave_out_stop_words_numbers_and_lead_ins(tmp_path: Path) -> None:
    values = [record(Roads=f"Road presence: the {word} roads, 25 of them") for word in ("main", "main", "minor")]
    roads = measured(load(captions(tmp_path, values)))["dimensions"][6]["frequency"]
    assert roads["words"] == {"roads": 3, "main": 2, "minor": 1}
    assert roads["lead_in"] == "road presence the"
    assert not STOP_WORDS & set(HEDGES)


def test_tokens_and_truncation(tmp_path: Path) -> None:
    vocabulary = tmp_path / "vocab.txt"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ":", ".", "x", "flat", "##ter", *map(str.lower, TERRAIN)]
    vocabulary.write_text("\n".join(pieces))
    corpus = load(captions(tmp_path, [record(), record(Water="Flatter flat flat.")]))
    found = measured(corpus, tokens=TokenizerFile(vocabulary), token_length=34)
    # "Terrain: x." is four tokens, so eight are 32; "flatter flat flat." is five for two, its full stop included
    assert found["length"]["tokens"]["histogram"] == {8: 1, 12: 1}
    cut = found["truncation"]
    assert (cut["captions"]["min"], cut["captions"]["max"]) == (34, 37)
    assert cut["truncated"] == 0.5
    assert cut["tokens_lost"] == pytest.approx(3 / 67, abs=1e-4)
    assert cut["cut"] == {"terrain": {**dict.fromkeys(TERRAIN, 0.0), "Water": 0.5}}
    with pytest.raises(ValueError, match="does not exist"):
        TokenizerFile(tmp_path / "no.txt")
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(ValueError, match="tokenizer"):
        TokenizerFile(tmp_path / "bad.json")


# ---- sources --------------------------------------------------------------------------------------------------------


def test_caption_files(tmp_path: Path) -> None:
    rsicd = {
        "images": [{"sentences": [{"raw": "many planes"}, {"raw": "an airport"}]}, {"sentences": [{"raw": "sea"}]}]
    }
    assert load(captions(tmp_path, rsicd)).rows["text"].tolist() == ["many planes", "an airport", "sea"]
    assert load(captions(tmp_path, ["one", "two"])).records == 2
    assert load(captions(tmp_path, [{"caption": "one"}, {"captions": ["two", "three"]}])).records == 3
    assert load(captions(tmp_path, "one\n\ntwo\n", "a.txt")).records == 2
    assert load(captions(tmp_path, '{"text": "one"}\n{"text": "two"}\n', "a.jsonl")).records == 2
    targets = load(captions(tmp_path, [dict.fromkeys(DIMENSIONS["marine"], "x")]))
    assert targets.rows["instruction_set"].unique().tolist() == ["targets"]
    assert targets.rows["dimension"].tolist() == list(DIMENSIONS["marine"])


def test_files_as_public_sets_have_them(tmp_path: Path) -> None:
    nwpu = {
        "airport": [{"raw": "one", "raw_1": "two", "raw_2": "three", "filename": "a.jpg", "split": "train"}],
        "sea": [{"raw": "four", "raw_1": "five", "filename": "b.jpg"}],
    }
    assert load(captions(tmp_path, nwpu)).rows["text"].tolist() == ["one", "two", "three", "four", "five"]
    coco = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": [{"image_id": 1, "caption": "a port"}]}
    assert load(captions(tmp_path, coco)).rows["text"].tolist() == ["a port"]
    asked = [{"from": "human", "value": "What?"}, {"from": "gpt", "value": "a port"}, {"from": "gpt", "value": "x"}]
    assert load(captions(tmp_path, [{"conversations": asked}])).rows["text"].tolist() == ["a port", "x"]
    table = load(captions(tmp_path, 'filepath,title\na.jpg,"a port, with ships"\nb.jpg,\nc.jpg,NA\n', "a.csv"))
    assert table.rows["text"].tolist() == ["a port, with ships", "NA"]
    named = load(captions(tmp_path, "tile_id\tCaption\nt1\ta port\nt2\tthe sea\n", "a.tsv"))
    assert named.captions() == {"t1": "a port", "t2": "the sea"}
    for value, message in (("a,b\n1,2\n", "no column caption"), ("", "cannot be read"), ("text\n", "no captions")):
        with pytest.raises(ValueError, match=message):
            load(captions(tmp_path, value, "bad.csv"))


def test_files_to_compare_with_stand_on_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = captions(tmp_path, ["many ships at a long quay"] * 4, "mine.json")
    other = captions(tmp_path, "filepath,title\na.jpg,dark water and two bright bridges\n", "other.csv")
    out = tmp_path / "out"
    command = ["text", "stats", mine, "--compare", f"rs5m={other}", "--out", str(out), "--projection", "none"]
    assert main([*command, "--clouds", "false"]) == 0
    assert "rs5m: 1 captions of 6.0 words" in capsys.readouterr().out
    html = (out / "text-stats.html").read_text()
    assert all(row["name"] in html and f"{row['mtld']:.1f}" in html for row in PUBLISHED)
    assert "rs5m" in html


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{", "is not valid JSON"),
        ("3", "no list"),
        ("[]", "no captions"),
        ('[{"id": 3}]', "there is no caption"),
        ('[{"Terrain": 3, "Layout": "", "Roads": "", "Water": ""}]', "Terrain is not a text"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, value: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load(captions(tmp_path, value))


def test_missing_sources(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="neither"):
        load(str(tmp_path / "nothing"))
    with pytest.raises(ValueError, match="no texts yet"):
        load(str(build_tiny_dataset(tmp_path / "data")))
    path = captions(tmp_path, ["one"])
    with pytest.raises(ValueError, match="only a data set"):
        load(path, revision=0)
    with pytest.raises(ValueError, match="same name"):
        text_stats(TextStatsConfig(path, compare=[path]))


def test_data_set(tiles: Path) -> None:
    corpus = load(str(tiles))
    frame = Dataset(tiles).texts()
    expected = {str(tile): compose_text(part) for tile, part in frame.groupby("tile_id")}
    assert corpus.captions() == expected
    found = measured(corpus)
    assert found["captions"] == 21
    assert found["duplicates"]["captions"] == pytest.approx(6 / 21, abs=1e-4)  # 15 pairs of number % 5 and % 3
    assert list(found["groups"]) == ["annotator", "instruction_set", "scale"]
    assert {name: part["captions"] for name, part in found["groups"]["scale"].items()} == {
        "large": 1,
        "medium": 4,
        "small": 16,
    }


# ---- maps -----------------------------------------------------------------------------------------------------------


def test_text_features_put_like_texts_together() -> None:
    texts = [f"water and ships {n}" for n in range(8)] + [f"fields with farm houses {n}" for n in range(8)]
    features = text_features(texts, 0)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1)
    likeness = features @ features.T
    assert likeness[:8, :8].min() > likeness[:8, 8:].max()
    np.testing.assert_array_equal(features, text_features(texts, 0))


def test_image_features_leave_out_what_is_unknown_or_constant() -> None:
    frame = pd.DataFrame({"q_mean": [1.0, 3.0], "q_std": [1.0, np.nan], "g_energy": [2.0, 2.0], "lon": [0.0, 1.0]})
    values, names = image_features(frame)
    assert names == ["q_mean"]
    np.testing.assert_allclose(values, [[-1], [1]])


def test_neighbours_shared() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(400, 3))
    assert neighbours_shared(a, 2 * a + 1, 0) == 1.0
    assert neighbours_shared(a, rng.normal(size=(400, 3)), 0) == pytest.approx(10 / 399, abs=0.01)
    # where all texts are the same, neighbours fall by lot
    assert neighbours_shared(a, np.zeros((400, 2)), 0) == pytest.approx(10 / 399, abs=0.02)


def test_features_from_a_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", tile_id=np.array(["b", "a"]), feature=np.array([[1.0, 2.0], [3.0, 4.0]]))
    np.testing.assert_array_equal(read_features(tmp_path / "f.npz", ["a", "b"]), [[3, 4], [1, 2]])
    with pytest.raises(ValueError, match=r"no features of 1 tiles, e\.g\. c"):
        read_features(tmp_path / "f.npz", ["a", "c"])


def test_templates(tiles: Path, tmp_path: Path) -> None:
    records = [{"tile_id": tile, "caption": f"A SAR image of {tile}."} for tile in Dataset(tiles).tiles()["tile_id"]]
    texts = template_texts(Dataset(tiles), captions(tmp_path, records))
    assert texts["l0-m1"] == "A SAR image of l0-m1."
    assert len(texts) == 21
    assert template_texts(Dataset(tiles), "") == {}
    with pytest.raises(ValueError, match="tile_id twice"):
        template_texts(Dataset(tiles), captions(tmp_path, [*records, records[0]]))


def test_templates_from_labels(tmp_path: Path) -> None:
    import_dataset(ImportConfig(voc_set(tmp_path / "set"), out=tmp_path / "out", format="voc"))
    texts = template_texts(Dataset(tmp_path / "out"), "")
    assert len(texts) == len(Dataset(tmp_path / "out").tiles())
    assert all(text.startswith("Count: ") for text in texts.values())


# ---- the command ----------------------------------------------------------------------------------------------------


def test_page_pictures_and_the_same_again(tiles: Path, tmp_path: Path) -> None:
    other = captions(tmp_path, [record(Water=f"river {n}") for n in range(15)])
    np.savez(tmp_path / "f.npz", tile_id=np.array(Dataset(tiles).tiles()["tile_id"], str), feature=np.eye(21))
    outputs = []
    for name in ("one", "two"):
        result = text_stats(
            TextStatsConfig(
                str(tiles),
                tmp_path / name,
                compare=[f"others={other}"],
                image_features=tmp_path / "f.npz",
                title="Tiles",
            )
        )
        outputs.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert outputs[0] == outputs[1]
    assert sorted(outputs[0]) == [
        "clouds-data-terrain.png",
        "clouds-others-terrain.png",
        "lengths.png",
        "maps.png",
        "overview.png",
        "richness.png",
        "stats.json",
        "text-stats.html",
        "words.png",
    ]
    html = outputs[0]["text-stats.html"].decode()
    assert html.count("<svg") >= 5
    assert html.count("<img") == html.count("data:image/webp;base64,") > 0  # maps and clouds
    assert "http" not in html.replace("https://www.w3.org", "")
    assert all(word in html for word in (*HEDGES, *STOP_WORDS, "others", "captions shuffled"))
    assert "captions of" in show(result)
    assert json.loads(outputs[0]["stats.json"])["projection"]["tiles"] == 21


def test_a_name_cannot_break_the_page(tmp_path: Path) -> None:
    path = captions(tmp_path, ["<b>one</b> two"] * 3)
    text_stats(TextStatsConfig(f"<i>={path}", tmp_path / "out", clouds=False))
    html = (tmp_path / "out" / "text-stats.html").read_text()
    assert "<i>" not in html
    assert "<b>" not in html


def test_names_that_look_alike_keep_their_pictures(tmp_path: Path) -> None:
    path = captions(tmp_path, ["one two", "two three"])
    sources = [f"{name}={path}" for name in ("a b", "a-b", "??")]
    result = text_stats(TextStatsConfig(sources[0], tmp_path / "out", compare=sources[1:], projection="none"))
    assert {"clouds-a-b.png", "clouds-a-b-2.png", "clouds-source.png"} <= set(result["files"])


def test_another_folder_is_not_overwritten(tmp_path: Path) -> None:
    path = captions(tmp_path, ["one"])
    (tmp_path / "out").mkdir()
    write_json(tmp_path / "out" / "mine.json", {})
    with pytest.raises(ValueError, match="something else"):
        text_stats(TextStatsConfig(path, tmp_path / "out"))
    with pytest.raises(ValueError, match="token length"):
        text_stats(TextStatsConfig(path, token_length=2))


# ---- the paper's captions -------------------------------------------------------------------------------------------


def test_the_papers_captions() -> None:
    path = DATA / "paper-captions" / "caption_part1.json"
    if not path.exists():
        pytest.skip(f"the paper's captions are not at {path}")
    found = measured(load(f"paper={path}"))
    assert found["captions"] == 1000
    length = found["length"]["words"]
    assert round(length["mean"], 1) == 101.6
    assert (length["min"], length["max"]) == (54, 157)
    row = PUBLISHED[0]
    for name, value in row.items():
        if name != "name":
            here = length["mean"] if name == "words" else found[name]
            assert round(here, 1) == value, name
    assert found["hedging"]["captions_with"]["possible"] == 389
    assert found["hedging"]["captions_with"]["likely"] == 225
    assert all(9 <= part["length"]["words"]["mean"] <= 23 for part in found["dimensions"])


# ---- evidence, layers, two annotators -------------------------------------------------------------------------------


def said(folder: Path, sentences: dict[int, list[Sentence]]) -> None:
    """Give a data set without texts the same eight sub-texts for each tile; slots that are not given say "x"."""
    data = Dataset(folder)
    rows = []
    for tile in data.tiles()["tile_id"]:
        for slot, dimension in enumerate(DIMENSIONS["marine"], 1):
            of_slot = sentences.get(slot, [Sentence("x", "visual")])
            text, marks = joined(of_slot)
            row = {"tile_id": tile, "slot": slot, "dimension": dimension, "text": text, "marks": marks}
            rows.append({**row, "evidence": of_slot[0].evidence})
    fixed = {"revision": 0, "parent": -1, "run": "a", "instruction_set": "marine", "annotator": "a", "confidence": 0.5}
    more = {"decision": "annotated", "delta_itc": 0.0, "delta_itm": 0.0, "margin": 0.0, "reason": ""}
    data.write_texts(pd.DataFrame(rows).assign(**fixed, **more))


def test_sentences_are_counted_by_what_they_rest_on_and_by_layer(tmp_path: Path) -> None:
    folder = build_tiny_dataset(tmp_path / "data")
    town = Sentence("Rotterdam lies two km away", "geo", "layer-1")
    said(
        folder, {1: [Sentence("three ships", "visual", "layer-4"), town], 2: [Sentence("steel shines", "prior", "own")]}
    )
    found = measured(load(str(folder)))
    tiles = len(Dataset(folder).tiles())
    evidence, layers = found["by_evidence"], found["by_layer"]
    assert list(evidence) == ["visual", "geo", "prior"]
    assert evidence["visual"]["sentences"] == 7 * tiles
    assert evidence["geo"]["words"] == 5 * tiles
    assert evidence["geo"]["share"] == pytest.approx(5 / 15, abs=1e-4)
    assert (evidence["geo"]["captions"], evidence["geo"]["vocabulary"]) == (1.0, 5)
    assert evidence["geo"]["different"] == pytest.approx(1 / tiles, abs=1e-4)
    assert {name: part["sentences"] // tiles for name, part in layers.items()} == {"1": 1, "4": 1, "0": 7}
    assert "by_evidence" not in measured(load(captions(tmp_path, [record()])))


def test_topics_of_the_grammar_know_their_layer() -> None:
    grammar = Grammar.standard()
    for topic in grammar.topics:
        assert layer_of(topic) == grammar.layer_of(topic)
    assert (layer_of("layer-3"), layer_of("layer-6"), layer_of("something")) == (3, 0, 0)


@pytest.mark.parametrize(
    ("one", "other", "verdict"),
    [
        ({"count": 20}, {"count": 22}, True),
        ({"count": 3}, {"count": 4}, False),
        ({"count": 3, "category": "ship"}, {"category": "ship"}, True),
        ({"regions": [1]}, {"where": 2}, None),
        ({"regions": [1], "shape": "cross"}, {"regions": [1], "length_m": 3}, True),
        ({}, {}, None),
    ],
)
def test_claims_agree_where_both_claim(one: dict, other: dict, verdict: bool | None) -> None:
    assert agreeing(one, other) is verdict


def test_two_annotators_of_the_same_tiles_stand_side_by_side(tmp_path: Path) -> None:
    ours, theirs = (build_tiny_dataset(tmp_path / name) for name in ("ours", "theirs"))
    said(ours, {1: [Sentence("three ships are visible", "visual", "layer-4")]})
    town = Sentence("Rotterdam lies two km away", "geo", "layer-1")
    said(theirs, {1: [Sentence("4 ships are visible", "visual", "layer-4"), town]})
    numbers = text_stats(
        TextStatsConfig(str(ours), tmp_path / "out", compare=[f"llm={theirs}"], clouds=False, projection="none")
    )
    (pair,) = numbers["compared"]
    tiles = len(Dataset(ours).tiles())
    assert (pair["names"], pair["records"], pair["same_set"]) == (["ours", "llm"], tiles, 1.0)
    count, location = pair["dimensions"][:2]
    assert (count["dimension"], count["texts"]) == ("Count", tiles)
    assert [side["words"] for side in count["sides"]] == [4.0, 9.0]
    assert count["sides"][1]["evidence"] == {
        "geo": pytest.approx(5 / 9, abs=1e-4),
        "visual": pytest.approx(4 / 9, abs=1e-4),
    }
    assert (count["claims"]["both"], count["claims"]["agree"], count["claims"]["share"]) == (tiles, 0, 0.0)
    assert location["claims"]["both"] == 0
    assert location["claims"]["share"] is None
    html = (tmp_path / "out" / "text-stats.html").read_text()
    assert "Side by side on the same tiles" in html
    assert "1 earth cognition" in html
    assert f"0 of {tiles}" in show(numbers)
