"""Who shares ground with whom: the larger and smaller windows of a tile, and those beside it in the same larger one."""

from collections import defaultdict
from typing import Final, Literal, NamedTuple

import pandas as pd

Kinship = Literal["parent", "grandparent", "child", "grandchild", "sibling"]
KINSHIPS: Final[tuple[Kinship, ...]] = ("parent", "grandparent", "child", "grandchild", "sibling")


class Relative(NamedTuple):
    """Another tile that shares ground with a tile, or borders on it within the same larger tile."""

    row: int
    """Of the table."""
    kinship: Kinship


def relatives(tiles: pd.DataFrame) -> list[list[Relative]]:
    """The relatives of each tile that are in the table too.

    Args:
        tiles: rows of the index in any order (tile_id, parent_id: "" for none).
    """
    place = {name: row for row, name in enumerate(tiles["tile_id"])}
    parent = [place.get(name) for name in tiles["parent_id"]]
    children: dict[int, list[int]] = defaultdict(list)
    for row, above in enumerate(parent):
        if above is not None:
            children[above].append(row)
    found: list[list[Relative]] = [[] for _ in parent]
    for row, above in enumerate(parent):
        if above is None:
            continue
        found[row].append(Relative(above, "parent"))
        found[above].append(Relative(row, "child"))
        found[row] += [Relative(other, "sibling") for other in children[above] if other != row]
        if (highest := parent[above]) is not None:
            found[row].append(Relative(highest, "grandparent"))
            found[highest].append(Relative(row, "grandchild"))
    return found
