"""Captions are composed of eight sub-texts, and come apart again."""

import pandas as pd

from knowlip.language.captions import compose_text, compose_texts, split_caption


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
