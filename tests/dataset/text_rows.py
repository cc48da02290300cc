"""Eight sub-texts a tile as an annotator writes them, for tests of data sets and of exports."""

from collections.abc import Callable, Iterable

import pandas as pd

from knowlip.dataset import TEXT_SCHEMA
from knowlip.language.dimensions import DIMENSIONS


def text_rows(tiles: Iterable[str], instruction_set: str, text: Callable[[str, int, str], str]) -> pd.DataFrame:
    """Rows of revision 0; `text` gives the sub-text of a tile, a slot and a dimension."""
    rows = [
        {
            "tile_id": tile,
            "revision": 0,
            "parent": -1,
            "run": "annotate",
            "instruction_set": instruction_set,
            "slot": slot,
            "dimension": name,
            "text": text(tile, slot, name),
            "annotator": "test",
            "confidence": 0.5,
            "evidence": "visual",
            "marks": "",
            "decision": "annotated",
            "delta_itc": 0.0,
            "delta_itm": 0.0,
            "margin": 0.0,
            "reason": "",
        }
        for tile in tiles
        for slot, name in enumerate(DIMENSIONS[instruction_set], 1)
    ]
    return pd.DataFrame(rows)[TEXT_SCHEMA.names]
