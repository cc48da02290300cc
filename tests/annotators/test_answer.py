"""Answers: the strict schema with counts and boxes, what is tolerated, what is refused and in which words."""

import json
from typing import Any

import pytest

from knowlip.annotators.chunks import ChunkStore
from knowlip.annotators.openai.answer import MAX_BOXES, MAX_COUNT, answer_schema, parse_answer
from knowlip.annotators.openai.options import OpenAIOptions
from knowlip.annotators.types import Annotation, Box
from knowlip.language.dimensions import DIMENSIONS
from tests.annotators.openai_stub import answer

BOX = {"category": "ship", "x": 0.25, "y": 0.5, "width": 0.125, "height": 0.25}


def full(instruction_set: str = "marine", **parts: Any) -> str:
    """A right answer with counts and boxes."""
    body = {"counts": [{"category": "ship", "number": 3}], "boxes": [BOX], **parts}
    return json.dumps({**json.loads(answer(instruction_set)), **body})


def objects(node: Any) -> Any:
    """All objects in a schema."""
    if isinstance(node, dict):
        if node.get("type") == "object":
            yield node
        for value in node.values():
            yield from objects(value)
    elif isinstance(node, list):
        for value in node:
            yield from objects(value)


@pytest.mark.parametrize("name", [None, *DIMENSIONS])
def test_schema_is_of_the_strict_dialect(name: str | None) -> None:
    schema = answer_schema(name)
    assert schema["type"] == "object"
    assert schema["required"] == ["instruction_set", "sub_texts", "counts", "boxes"]
    found = list(objects(schema))
    assert len(found) >= 5
    for node in found:
        assert node["additionalProperties"] is False
        assert set(node["required"]) == set(node["properties"])
    text = json.dumps(schema)
    assert not any(
        f'"{word}"' in text for word in ("default", "minimum", "maxLength", "pattern", "oneOf", "prefixItems")
    )


def test_the_baseline_asks_for_one_sentence_and_all_others_for_several() -> None:
    layered, baseline = (answer_schema("marine", layered)["$defs"] for layered in (True, False))
    assert layered["SentenceAnswer"]["properties"]["layer"]["enum"] == [1, 2, 3, 4, 5]
    assert layered["SentenceAnswer"]["properties"]["evidence"]["enum"] == ["visual", "geo", "prior", "parent"]
    assert "SentenceAnswer" not in baseline
    assert list(baseline["SubTextAnswer"]["properties"]) == ["text", "confidence", "evidence"]
    asked = [OpenAIOptions(guided=guided).parameters("m")["response_format"]["json_schema"] for guided in (True, False)]
    assert [form["schema"] for form in asked] == [answer_schema(None, layered) for layered in (True, False)]


SAID = [
    {"text": "three ships lie at the quay.", "evidence": "visual", "layer": 4},
    {"text": "Rotterdam is  2 km away", "evidence": "geo", "layer": 1},
]


def with_sentences(sentences: Any, dimension: str = "Count") -> str:
    body = json.loads(full())
    body["sub_texts"][dimension] = {"sentences": sentences, "confidence": 0.7}
    return json.dumps(body)


def test_sentences_keep_what_they_rest_on_and_their_layer() -> None:
    note = parse_answer(with_sentences(SAID), "t")
    count, location = note.sub_texts[:2]
    assert (count.text, count.confidence, count.evidence) == (
        "Three ships lie at the quay. Rotterdam is 2 km away",
        0.7,
        "visual",
    )
    assert [one[1:] for one in count.sentences] == [("visual", "layer-4"), ("geo", "layer-1")]
    assert (location.text, location.marks) == ("statement about location", "")  # fields of the older form are read too


@pytest.mark.parametrize(
    ("sentences", "said"),
    [
        ([], r"sub_texts\.Count\.sentences: .*0 sentences, 1 to 3"),
        (SAID * 2, r"sub_texts\.Count\.sentences: .*4 sentences"),
        ([{**SAID[0], "layer": 6}], r"sub_texts\.Count\.sentences\.0\.layer"),
        ([{**SAID[0], "text": " . "}], r"sub_texts\.Count\.sentences\.0\.text: .*empty"),
        ([{**SAID[0], "text": "ship " * 50}] * 2, "500 characters"),
        ([{**SAID[0], "mood": "sure"}], r"sentences\.0\.mood: Extra inputs"),
        ([SAID[0], {**SAID[1], "evidence": "parent"}], "Count.evidence: no larger tile"),
    ],
)
def test_refusals_name_the_sentence(sentences: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_answer(with_sentences(sentences), "t", has_parent=False)


def test_counts_and_boxes_are_read() -> None:
    note = parse_answer(full(counts=[{"category": "Ships", "number": 3}, {"category": "bridge", "number": 0}]), "t")
    assert note.counts == {"ship": 3, "bridge": 0}
    assert note.boxes == (Box("ship", 0.25, 0.5, 0.125, 0.25),)


def test_empty_and_absent_lists_are_unknown() -> None:
    for content in (full(counts=[], boxes=[]), answer("marine")):  # the second is an answer of the older form
        note = parse_answer(content, "t")
        assert (note.counts, note.boxes) == ({}, ())


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"counts": [{"category": "ship", "number": -1}]}, r"counts\.0\.number: .*0 or more"),
        ({"counts": [{"category": "ship", "number": 10**30}]}, r"counts\.0\.number"),
        ({"counts": [{"category": "ship", "number": MAX_COUNT + 1}]}, r"counts\.0\.number: .*at most 100000"),
        ({"counts": [{"category": f"thing {n}", "number": 1} for n in range(MAX_BOXES + 1)]}, "101 categories"),
        ({"counts": [{"category": "ship", "number": 2.5}]}, r"counts\.0\.number"),
        ({"counts": [{"category": "", "number": 2}]}, r"counts\.0\.category: .*short name"),
        ({"counts": [{"category": "ship"}]}, r"counts\.0\.number: Field required"),
        ({"counts": [{"category": "ship", "number": 2}, {"category": "vessel", "number": 3}]}, "ship is counted twice"),
        ({"counts": {"ship": 3}}, "counts: Input should be a valid array"),
        ({"boxes": [{**BOX, "x": 120}]}, r"boxes\.0: .*fractions"),
        ({"boxes": [{**BOX, "width": 0.9}]}, r"boxes\.0: .*within the image"),
        ({"boxes": [{**BOX, "height": 0}]}, r"boxes\.0: .*more than 0"),
        ({"boxes": [{**BOX, "angle": 3}]}, r"boxes\.0\.angle: Extra inputs"),
        ({"boxes": [{**BOX, "x": 0.001 * n} for n in range(MAX_BOXES + 1)]}, "too many"),
        ({"scores": []}, "scores: Extra inputs"),
    ],
)
def test_refusals_name_the_field(parts: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_answer(full(**parts), "t")


def test_boxes_a_little_outside_are_cut_and_doubles_dropped() -> None:
    note = parse_answer(full(boxes=[{**BOX, "x": -0.01}, {**BOX, "x": 0.885}, {**BOX, "x": 0.885}]), "t")
    assert [box.x for box in note.boxes] == [0.0, 0.885]
    assert note.boxes[0].width == pytest.approx(0.115)
    assert note.boxes[1].x + note.boxes[1].width == pytest.approx(1.0)


def test_resumed_chunks_keep_counts_and_boxes(tmp_path) -> None:
    store = ChunkStore(tmp_path)
    notes: dict[str, Any] = {"a": parse_answer(full(), "a"), "b": parse_answer(answer("terrain"), "b"), "c": "refused"}
    store.write("large-000000", notes)
    assert store.read("large-000000") == notes
    assert '"counts": {}' not in (tmp_path / "chunks" / "large-000000.json").read_text()


FREE = "\n".join(f"{name}: two ships, {name.lower()}" for name in DIMENSIONS["marine"])


def test_free_text_only_where_text_was_asked_for() -> None:
    with pytest.raises(ValueError, match="Invalid JSON"):
        parse_answer(FREE, "t")
    note = parse_answer(FREE, "t", response_format="text")
    assert isinstance(note, Annotation)
    assert note.instruction_set == "marine"
    assert note.text_of("Size") == "two ships, size"
    assert {(sub.confidence, sub.evidence) for sub in note.sub_texts} == {(0.5, "visual")}
    assert parse_answer(f"Here it is:\n{full()}\nDone.", "t", response_format="text").counts == {"ship": 3}
    with pytest.raises(ValueError, match="instruction_set"):  # JSON in the asked form keeps its own problems
        parse_answer(full("ground"), "t", "marine", response_format="text")


@pytest.mark.parametrize(
    ("kind", "text", "counts"),
    [
        ("marine", "three ships are visible", {"ship": 3}),
        ("marine", "12 vessels", {"ship": 12}),
        ("ground", "A single airliner stands on the apron", {"aircraft": 1}),
        ("ground", "two bright targets", {"aircraft": 2}),
        ("marine", "no ships visible", {"ship": 0}),
        ("marine", "none visible", {"ship": 0}),
        ("marine", "about 20 ships", {}),
        ("marine", "at least three ships", {}),
        ("marine", "2-3 boats", {}),
        ("marine", "two or three boats", {}),
        ("marine", "3 to 5 boats", {}),
        ("marine", "several ships", {}),
        ("marine", "three ships and two boats", {}),
        ("marine", "~15 ships", {}),
        ("marine", "possibly two ships", {}),
        ("ground", "ships", {}),
    ],
)
def test_free_text_brings_the_count_that_it_states(kind: str, text: str, counts: dict) -> None:
    content = "\n".join(
        f"{name}: {text if name == 'Count' else 'statement of ' + name.lower()} (0.8, visual)"
        for name in DIMENSIONS["marine"]
    )
    note = parse_answer(f"Instruction set: {kind}\n{content}", "t", response_format="text")
    assert (note.instruction_set, note.counts, note.boxes) == (kind, counts, ())
    assert {(sub.confidence, sub.evidence) for sub in note.sub_texts} == {(0.8, "visual")}


def test_terrain_in_free_text_counts_nothing() -> None:
    content = "\n".join(f"{name}: three of {name.lower()}" for name in DIMENSIONS["terrain"])
    assert parse_answer(content, "t", response_format="text").counts == {}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("I see three ships.", "No field was found"),
        (FREE.replace("Size", "Extent"), "The fields Size are missing"),
        (FREE.replace("ships", "things"), "begin with `Instruction set"),
        (FREE + " (0.8, parent)", "Environment.evidence: no larger tile"),
        (FREE.replace("two ships", "ship " * 100), "Count: .* characters"),
    ],
)
def test_free_text_refusals(content: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_answer(content, "t", has_parent=False, response_format="text")


def test_free_text_is_read_as_the_set_that_was_asked_for() -> None:
    assert parse_answer(FREE, "t", "ground", response_format="text").instruction_set == "ground"
    with pytest.raises(ValueError, match="Terrain, Functionality"):
        parse_answer(FREE, "t", "terrain", response_format="text")
