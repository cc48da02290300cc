"""Free-text answers: many layouts back without loss, on published records where they are at hand."""

import json
import os
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from knowlip.annotators.openai.annotator import OpenAIAnnotator
from knowlip.annotators.openai.answer import parse_answer
from knowlip.annotators.openai.free_form import MAX_CONTENT, parse_free_form
from knowlip.annotators.openai.options import OpenAIOptions
from knowlip.annotators.types import TileRequest
from knowlip.language.dimensions import DIMENSIONS
from tests.annotators.openai_stub import Stub, completion

RECORDS = (
    Path(os.environ.get("KNOWLIP_DATA", Path(__file__).parents[3] / "shared" / "data"))
    / "paper-captions"
    / "caption_part1.json"
)
TARGET_SYNONYMS = (
    "Number of targets",
    "Position",
    "Target features",
    "Dimensions",
    "Type",
    "Arrangement",
    "Area",
    "Surroundings",
)
TERRAIN_SYNONYMS = (
    "Landform",
    "Land use",
    "Location",
    "Spatial layout",
    "Boundaries",
    "Building presence",
    "Road network",
    "Water bodies",
)
EXAMPLES = {
    "ground": (
        "three aircraft",
        "center and upper right area",
        "symmetrical linear strong scattering points, possibly aircraft wings; a bright centre",
        "about 30 meters",
        'might be a "Boeing 737"',
        "in a straight line: 40 m apart, near the apron",
        "on the apron (20 % runway, 60 % grass)",
        "the terminal's north side, fields",
    ),
    "marine": (
        "at least 12 ships",
        "lower left, along the quay",
        "elongated bright hulls; wakes: none",
        "from 80 to 120 m long and 15 m wide",
        "cargo vessels - likely bulk carriers",
        "moored in a row",
        "water covers 70 %, land 30 %",
        "Location of tanks: behind the quay",
    ),
    "terrain": (
        "The terrain is classified as Plain (river network/coastal plain)",
        "The area functionality is described as Urban and industrial area",
        "Functional distribution: Upper part: urban; lower part: water",
        "Spatial layout: Grid-like",
        "Boundary features: Sharp, linear; formed by roads",
        "Building presence: Many buildings, especially concentrated in the upper-left and central areas",
        "Road presence: Clear roads",
        "Water presence: No significant water bodies visible",
    ),
}

Fields = list[tuple[str, str]]
LAYOUTS: dict[str, Callable[[Fields], str]] = {
    "one line, semicolons": lambda f: "; ".join(f"{n}: {t}" for n, t in f),
    "one line, full stops": lambda f: " ".join(f"{n}: {t}." for n, t in f),
    "one line, nothing between": lambda f: " ".join(f"{n}: {t}" for n, t in f),
    "one line, numbers": lambda f: " ".join(f"({i}) {n}: {t};" for i, (n, t) in enumerate(f, 1)),
    "one line, quoted": lambda f: (
        ", ".join(f'{n}: "{t}"' for n, t in f if '"' not in t) + "".join(f", {n}: {t}" for n, t in f if '"' in t)
    ),
    "lines": lambda f: "\n".join(f"{n}: {t}" for n, t in f),
    "lines, windows, blank": lambda f: "\r\n\r\n".join(f"{n} : {t}" for n, t in f),
    "upper case": lambda f: "\n".join(f"{n.upper()}: {t}" for n, t in f),
    "other order": lambda f: "\n".join(f"{n}: {t}" for n, t in reversed(f)),
    "other order on one line": lambda f: "; ".join(f"{n}: {t}" for n, t in reversed(f)),
    "numbered": lambda f: "\n".join(f"{i}. {n}: {t}" for i, (n, t) in enumerate(f, 1)),
    "numbered bold, talk around": lambda f: (
        "Here is the description:\n\n"
        + "\n".join(f"{i}) **{n}**: {t}" for i, (n, t) in enumerate(f, 1))
        + "\n\nOverall, the tile is typical."
    ),
    "bold with colon inside": lambda f: "\n\n".join(f"**{n}:** {t}" for n, t in f),
    "bullets and dashes": lambda f: "\n".join(f"- {n} - {t}" for n, t in f),
    "stars, equals signs": lambda f: "\n".join(f"* {n} = {t}" for n, t in f),
    "headings": lambda f: "\n\n".join(f"### {i}. {n}\n\n{t}" for i, (n, t) in enumerate(f, 1)),
    "table": lambda f: "| Dimension | Text |\n|---|---|\n" + "\n".join(f"| {n} | {t} |" for n, t in f),
    "JSON": lambda f: json.dumps(dict(f)),
    "JSON in a fence, nested": lambda f: (
        f"```json\n{json.dumps({'texts': {n: {'text': t} for n, t in f}}, indent=1)}\n```"
    ),
    "JSON without commas": lambda f: json.dumps(dict(f), indent=1).replace('",\n', '"\n'),
    "JSON cut off at the end": lambda f: json.dumps(dict(f))[:-2],
    "JSON list, talk around": lambda f: (
        "Sure:\n" + json.dumps([{"dimension": n, "text": t} for n, t in f]) + "\nAsk me {if} needed."
    ),
    "names alone, text below": lambda f: "\n".join(f"{i}. {n}\n   - {t}" for i, (n, t) in enumerate(f, 1)),
    "tags": lambda f: "<think>Count: 3? Water: none?</think>" + "\n".join(f"<{n}>{t}</{n}>" for n, t in f),
    "HTML": lambda f: "<ul>" + "".join(f"<li><b>{n}:</b> {t}</li>" for n, t in f) + "</ul>",
    "arrows": lambda f: "\n".join(f"{n} -> {t}" for n, t in f),
    "brackets": lambda f: "\n".join(f"[{n}] {t}" for n, t in f),
    "bold without colon": lambda f: " ".join(f"**{n}** {t}" for n, t in f),
    "sub-texts": lambda f: "\n".join(f"Sub-text {i} ({n}): {t}" for i, (n, t) in enumerate(f, 1)),
    "articles": lambda f: "\n".join(f"The {n.lower()}: {t}" for n, t in f),
    "tabs": lambda f: "\n".join(f"{n}\t{t}" for n, t in f),
    "wrapped": lambda f: "\n".join(textwrap.fill(f"1.{i} {n}: {t}", 60) for i, (n, t) in enumerate(f, 1)),
    "table of three columns": lambda f: (
        "| # | Field | Text |\n|---|---|---|\n" + "\n".join(f"| {i} | **{n}** | {t} |" for i, (n, t) in enumerate(f, 1))
    ),
    "with confidence": lambda f: "\n".join(f"{n}: {t} (0.8, visual)" for n, t in f),
}


def same(read: str, written: str) -> bool:
    return read.rstrip(".") == written.rstrip(".")


@pytest.mark.parametrize("instruction_set", list(EXAMPLES))
@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_layouts(layout: str, instruction_set: str) -> None:
    wanted = dict(zip(DIMENSIONS[instruction_set], EXAMPLES[instruction_set]))
    read = parse_free_form(LAYOUTS[layout](list(wanted.items())))
    assert read.instruction_set == instruction_set
    assert read.missing == ()
    assert list(read.texts) == list(wanted)
    for name, text in wanted.items():
        assert same(read.texts[name], text), name
    assert read.confidences == (dict.fromkeys(wanted, 0.8) if layout == "with confidence" else {})


@pytest.mark.parametrize(
    ("instruction_set", "names"),
    [("marine", TARGET_SYNONYMS), ("ground", TARGET_SYNONYMS), ("terrain", TERRAIN_SYNONYMS)],
)
@pytest.mark.parametrize("layout", ["lines", "numbered", "one line, semicolons", "JSON"])
def test_synonyms(layout: str, instruction_set: str, names: tuple[str, ...]) -> None:
    read = parse_free_form(LAYOUTS[layout](list(zip(names, EXAMPLES[instruction_set]))))
    assert read.instruction_set == instruction_set
    assert [same(*pair) for pair in zip(read.texts.values(), EXAMPLES[instruction_set])] == [True] * 8


def test_sentences_without_labels() -> None:
    read = parse_free_form(". ".join(EXAMPLES["terrain"]) + ".")
    assert read.instruction_set == "terrain"
    assert read.missing == ()
    assert same(read.texts["Terrain"], EXAMPLES["terrain"][0])
    assert same(read.texts["Layout"], "Grid-like")


def test_missing_fields_are_reported_in_order() -> None:
    read = parse_free_form("Terrain: plain\nWater: a river\nRoads: \nLayout: grid")
    assert read.instruction_set == "terrain"
    assert read.missing == ("Functionality", "Distribution", "Boundary", "Buildings", "Roads")
    cut = parse_free_form(LAYOUTS["lines"](list(zip(DIMENSIONS["marine"], EXAMPLES["marine"])))[:150])
    assert "Environment" in cut.missing


def test_targets_of_no_kind_stay_open() -> None:
    text = "Count: two\nLocation: left\nSize: 30 m"
    assert parse_free_form(text).instruction_set == ""
    assert parse_free_form(f"Instruction set: marine\n{text}").instruction_set == "marine"
    assert parse_free_form(text, "ground").instruction_set == "ground"


def test_confidence_and_evidence() -> None:
    read = parse_free_form(
        "Count: 3 ships [geo; 40%]\nSize: 30 m (confidence: 0.7, evidence: prior).\nRegion: (5, visual)"
    )
    assert read.confidences == {"Count": 0.4, "Size": 0.7}
    assert read.evidence == {"Count": "geo", "Size": "prior"}
    assert read.texts == {"Count": "3 ships", "Size": "30 m", "Region": "(5, visual)"}


def test_the_annotator_reads_free_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "word")
    request = TileRequest("t", np.full((64, 64), 90, np.uint8), 1.0, "large", "sim", "C", 4.0, 52.0)
    text = LAYOUTS["numbered"](list(zip(DIMENSIONS["marine"], EXAMPLES["marine"])))
    replies = [completion(text.replace("Size", "Extent")), completion(text)]
    with Stub(lambda body, number: replies[number]) as stub:
        options = OpenAIOptions(response_format="text", image_side=64)
        note = OpenAIAnnotator("stub", options, tmp_path, stub.url).annotate(request)
    assert "response_format" not in stub.bodies[0]
    first, again = (body["messages"] for body in stub.bodies)
    assert "nine lines" in first[0]["content"]
    assert "nine lines" in again[-1]["content"]
    assert "JSON object" not in first[0]["content"] + again[-1]["content"]
    assert "The fields Size are missing" in stub.bodies[1]["messages"][-1]["content"]
    assert note.instruction_set == "marine"
    assert note.text_of("Size") == "from 80 to 120 m long and 15 m wide"


@pytest.mark.parametrize("content", ["", "I see three ships.", "{}", "[1, 2]", "no: fields", '{"a": {"b": 1}}'])
def test_nothing_found_is_said(content: str) -> None:
    with pytest.raises(ValueError, match="No field was found"):
        parse_free_form(content)


def test_long_nonsense_takes_no_time() -> None:
    for piece in (
        "Size: ",
        "a ",
        "  ",
        "**",
        "1. ",
        "Count",
        "((",
        "\n- ",
        '"',
        "<",
        "| ",
        "1.1 ",
        "sub-text 1 ",
        "[Size] ",
        "- - ",
        "Size: " + "- " * 9000,
        "Size: " + '"' * 19_000,
    ):
        try:
            parse_free_form((piece * 6000)[:MAX_CONTENT])
        except ValueError as error:
            assert "No field" in str(error)  # noqa: PT017
    with pytest.raises(ValueError, match="has 20001 characters"):
        parse_free_form("a" * (MAX_CONTENT + 1))


@pytest.mark.skipif(not RECORDS.exists(), reason="the published caption records are not at hand (KNOWLIP_DATA)")
@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_published_records(layout: str) -> None:
    records = json.loads(RECORDS.read_text())
    assert len(records) == 1000
    # Two layouts see all records, the others every fourth, each beginning at another one.
    step = 1 if layout in ("one line, semicolons", "numbered bold, talk around") else 4
    for record in records[list(LAYOUTS).index(layout) % step :: step]:
        wanted = [(name, record[name]) for name in DIMENSIONS["terrain"]]
        note = parse_answer(LAYOUTS[layout](wanted), "t", response_format="text")
        assert note.instruction_set == "terrain"
        for name, text in wanted:
            assert note.text_of(name) == text.rstrip(". "), record["image_id"]
