"""Captions are composed of eight sub-texts, and come apart again."""

import random
import re

import pandas as pd

from knowlip.language.captions import compose_text, compose_texts, split_caption
from knowlip.language.dimensions import DIMENSIONS
from knowlip.language.grammar import Grammar
from knowlip.language.grammar.meaning import dimension_of
from knowlip.language.grammar.samples import sampled
from knowlip.language.statements import Statement
from knowlip.language.topics import CLAIMING

CATEGORY = {"marine": "ship", "ground": "aircraft"}
TYPES = {"marine": "tanker", "ground": "fighter"}


def test_compose_text() -> None:
    rows = pd.DataFrame({"slot": [2, 1], "dimension": ["Location", "Count"], "text": ["upper left.", " two\nships "]})
    assert compose_text(rows) == "Count: two ships. Location: upper left."
    assert compose_texts(rows.assign(tile_id="t")) == {"t": "Count: two ships. Location: upper left."}


def test_captions_come_apart() -> None:
    text = "count : two ships are visible . location : in the upper left . Environment: open water."
    assert split_caption(text, "marine") == (
        "marine",
        {"Count": "two ships are visible .", "Location": "in the upper left .", "Environment": "open water."},
    )
    assert split_caption("Terrain: water. Water: a river.", "marine")[0] == "terrain"
    assert split_caption("Count: one vessel.", "terrain")[0] == "marine"


def test_sub_texts_of_several_sentences() -> None:
    parts = {
        "Count": "Three aircraft are visible. The vessels of the port of St Louis lie 12 km away",
        "Location": "Found in the upper left. 3.5 km to the nearest town, Two Rivers",
        "Environment": "Nearby, grass. Part of the United States of America",
    }
    rows = pd.DataFrame({"slot": range(1, 4), "dimension": list(parts), "text": list(parts.values())})
    caption = compose_text(rows)
    assert split_caption(caption, "terrain") == ("ground", {name: f"{text}." for name, text in parts.items()})
    spaced = " ".join(re.findall(r"\w+|[^\w\s]", caption.lower()))
    found, read = split_caption(spaced, "terrain")
    assert found == "ground"
    assert read["Location"] == "found in the upper left . 3 . 5 km to the nearest town , two rivers ."


def test_every_generated_wording_comes_apart() -> None:
    grammar, chance = Grammar.standard(), random.Random(0)
    for kind in ("marine", "ground", "terrain"):
        topics = {dimension: [] for dimension in DIMENSIONS[kind]}
        for topic in CLAIMING:
            if dimension := dimension_of(topic, kind):
                topics[dimension].append(topic)
        for key in range(30):
            said = {}
            for dimension, names in topics.items():
                statement = sampled(chance.choice(names), chance)
                slots = statement.slots | ({"category": CATEGORY[kind]} if kind != "terrain" else {})
                types = {"types": [TYPES[kind]]} if "types" in slots else {}
                said[dimension] = grammar.say(Statement(statement.topic, slots | types), str(key)) + "."
            caption = " ".join(f"{dimension}: {text}" for dimension, text in said.items())
            assert split_caption(caption, "terrain") == (kind, said), caption
