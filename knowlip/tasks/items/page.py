"""A page of random tiles with their captions and questions, as figure 13 of the paper."""

import hashlib
from collections import Counter
from pathlib import Path
from typing import Final

from knowlip.base.files import whole_file
from knowlip.dataset import Dataset
from knowlip.pages.render import picture_uri, render
from knowlip.tasks.items.records import Items

_EACH: Final = 4
"""Tiles that show each type of question, and as many for captions."""
_SIDE: Final = 320
_LISTED: Final = 40
"""Answers of a type that are counted on the page."""


def write_page(path: Path, items: Items, data: Dataset) -> None:
    """Write the page; tiles are drawn by the hash of their names, never chosen by what they show."""
    # Every type of question is shown, also one that few tiles have.
    by_kind: dict[str, set[str]] = {str(kind): set() for kind in items.types}
    for question in items.questions:
        by_kind[str(question.type)].add(question.tile_id)
    by_kind["captions"] = {one.tile_id for one in items.captions}
    chosen: dict[str, None] = {}
    for tiles in by_kind.values():
        chosen |= dict.fromkeys(sorted(tiles, key=_chance)[:_EACH])
    split = dict(zip(data.tiles()["tile_id"], data.tiles()["split"]))
    cards = [
        {
            "tile_id": tile_id,
            "split": split[tile_id],
            "picture": picture_uri(data.image(tile_id), _SIDE),
            "captions": [one.caption for one in items.captions if one.tile_id == tile_id],
            "questions": [one for one in items.questions if one.tile_id == tile_id],
        }
        for tile_id in chosen
    ]
    answers = {
        str(kind): Counter(one.answer for one in items.questions if one.type == kind).most_common()
        for kind in items.types
    }
    with whole_file(path) as part:
        part.write_text(
            render(
                "items.html",
                title=f"Captions and questions of {data.path.resolve().name}",
                items=items,
                cards=cards,
                answers={kind: (found[:_LISTED], len(found)) for kind, found in answers.items()},
                numbers={
                    kind: Counter(split[one.tile_id] for one in items.questions if one.type == kind)
                    for kind in items.types
                },
                tiles=len(items.tile_ids),
            ),
            encoding="utf-8",
        )


def _chance(tile_id: str) -> str:
    return hashlib.sha256(f"shown/{tile_id}".encode()).hexdigest()
