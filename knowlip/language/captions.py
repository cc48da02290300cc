"""A caption is the eight sub-texts of a tile one after another: how it is composed, and how it is taken apart."""

import re
from typing import TYPE_CHECKING, Final

from knowlip.language.categories import category_in
from knowlip.language.dimensions import DIMENSIONS, InstructionSet
from knowlip.language.silent import sentences_in
from knowlip.language.words import normalise

if TYPE_CHECKING:
    import pandas as pd

_NAMES: Final = tuple(dict.fromkeys(name for names in DIMENSIONS.values() for name in names))
_HEAD: Final = re.compile(r"(?:(?<=[.;!?])|^)\s*(" + "|".join(_NAMES) + r")\s*:\s*", re.IGNORECASE)
_TERRAIN_ONLY: Final = set(DIMENSIONS[InstructionSet.TERRAIN]) - set(DIMENSIONS[InstructionSet.MARINE])


def sentence(text: str) -> str:
    """A sub-text on one line that ends with a full stop."""
    text = " ".join(str(text).split())
    return text if text.endswith((".", "!", "?")) else f"{text}."


def headed(dimension: str, text: str) -> str:
    """A sub-text as it stands in a caption: "Dimension: text."."""
    return f"{dimension}: {sentence(text)}"


def compose_text(rows: "pd.DataFrame") -> str:
    """The caption of one tile: its sub-texts in slot order, each as "Dimension: text.", joined by spaces.

    Args:
        rows: rows of one tile with columns slot, dimension, text.
    """
    rows = rows.sort_values("slot", kind="stable")
    return " ".join(map(headed, rows["dimension"], rows["text"]))


def compose_texts(texts: "pd.DataFrame") -> dict[str, str]:
    """tile_id -> caption of all tiles in a table of sub-texts (tile_id, slot, dimension, text)."""
    return {str(tile_id): compose_text(rows) for tile_id, rows in texts.groupby("tile_id", sort=False)}


def split_caption(text: str, instruction_set: str) -> tuple[InstructionSet, dict[str, str]]:
    """Take a caption apart: "Count: two ships. Location: ..." -> the instruction set and dimension -> sub-text.

    Args:
        text: as :func:`compose_text` writes it or a model generates it, any case.
        instruction_set: of the tile; the generated text may be of another one, which its dimensions give away.
            Ground and marine share their dimensions and are told apart by what their sentences count, place and name,
            "ship" or "aircraft"; what they say of the country around does not matter.

    Returns:
        The set the text follows, and the sub-texts under their proper names; {} when no dimension is named.
    """
    heads = list(_HEAD.finditer(text))
    proper = {name.lower(): name for name in _NAMES}
    parts: dict[str, str] = {}
    for head, after in zip(heads, [*heads[1:], None]):
        content = text[head.end() : after.start() if after else len(text)].strip()
        if content:
            parts.setdefault(proper[head.group(1).lower()], content)
    found = InstructionSet(instruction_set)
    if _TERRAIN_ONLY & parts.keys():
        found = InstructionSet.TERRAIN
    elif not found.of_targets:
        found = InstructionSet.MARINE if _of_ships(text, parts) else InstructionSet.GROUND
    return found, parts


def _of_ships(text: str, parts: dict[str, str]) -> bool:
    for dimension in ("Count", "Category", "Location", "Distribution", "Size"):
        main = next(iter(sentences_in(parts.get(dimension, ""))), "")
        if category := category_in(normalise(main)):
            return category == "ship"
    return re.search(r"\b(ship|vessel|boat)", text, re.IGNORECASE) is not None
