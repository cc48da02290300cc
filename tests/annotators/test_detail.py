"""Large and medium tiles in the pixels of their small tiles."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from knowlip.annotators.detail import Details

SIDE = 8


class Tiles:
    """A data set of one large window at (100, 500), 4 medium and 16 small tiles, of which some may be missing."""

    def __init__(self, missing: set[str]) -> None:
        self.pixels: dict[str, np.ndarray] = {}
        rows: list[dict[str, Any]] = []
        for number, (scale, window) in enumerate((("large", 64.0), ("medium", 32.0), ("small", 16.0))):
            for line in range(2**number):
                for column in range(2**number):
                    name = f"{scale}{line}{column}"
                    value = 100 * number + 10 * line + column + 1
                    self.pixels[name] = np.full((SIDE, SIDE), value, np.uint8)
                    place = [window / SIDE, 0.0, 100 + column * window, 0.0, -window / SIDE, 500 - line * window]
                    rows.append(
                        {
                            "tile_id": name,
                            "root_id": "large00",
                            "scale": scale,
                            "window_m": window,
                            "proj:transform": np.array(place),
                        }
                    )
        self.rows = [row for row in rows if row["tile_id"] not in missing]

    def tiles(self, scale: str, columns: Sequence[str]) -> pd.DataFrame:
        return pd.DataFrame([row for row in self.rows if row["scale"] == scale], columns=list(columns))

    def images(self, tile_ids: Any) -> Any:
        return (self.pixels[tile] for tile in tile_ids)

    def detail(self, tile: str) -> np.ndarray | None:
        row = next(row for row in self.rows if row["tile_id"] == tile)
        return Details(self).of(row, self.pixels[tile])  # type: ignore[arg-type]


def test_small_tiles_stand_where_they_were_cut() -> None:
    tiles = Tiles(set())
    large, medium = tiles.detail("large00"), tiles.detail("medium10")
    assert large is not None
    assert large.shape == (4 * SIDE, 4 * SIDE)
    assert [[int(large[SIDE * j, SIDE * i]) for i in range(4)] for j in range(4)] == [
        [200 + 10 * j + i + 1 for i in range(4)] for j in range(4)
    ]
    assert medium is not None
    assert medium.shape == (2 * SIDE, 2 * SIDE)
    assert [[int(medium[SIDE * j, SIDE * i]) for i in range(2)] for j in range(2)] == [[221, 222], [231, 232]]
    assert tiles.detail("small00") is None


def test_own_pixels_stand_in_for_what_was_rejected() -> None:
    tiles = Tiles({"small00", "small02", "small03", "small13"})
    large = tiles.detail("large00")
    assert large is not None
    assert (large[:SIDE, :SIDE] == 1).all()
    assert (large[SIDE : 2 * SIDE, :SIDE] == 211).all()
    assert tiles.detail("medium01") is None  # one of four is left


def test_a_tile_lies_in_its_large_tile_where_it_was_cut() -> None:
    tiles = Tiles({"small33"})
    details = Details(tiles)  # type: ignore[arg-type]
    for name, pixels in tiles.pixels.items():
        if name == "small33":
            continue
        row = next(row for row in tiles.rows if row["tile_id"] == name)
        within = details.within(row)
        assert within is not None
        assert within.frame is details.within(tiles.rows[0]).frame, "the frame is made once"  # type: ignore[union-attr]
        if name.startswith("small"):
            assert (within.pixels == pixels).all(), name
        else:
            assert within.pixels.shape == ((4, 2)[name.startswith("medium")] * SIDE,) * 2


def test_without_its_large_tile_a_tile_stands_alone() -> None:
    tiles = Tiles({"large00"})
    assert Details(tiles).within(tiles.rows[0]) is None  # type: ignore[arg-type]
    few = Tiles({f"small{j}{i}" for j in range(4) for i in range(4) if (j, i) > (0, 2)})
    assert Details(few).within(few.rows[0]) is None  # type: ignore[arg-type]


def test_a_medium_tile_without_its_small_ones_is_seen_in_its_own_pixels() -> None:
    tiles = Tiles({"small00", "small01", "small10"})
    details = Details(tiles)  # type: ignore[arg-type]
    medium = next(row for row in tiles.rows if row["tile_id"] == "medium00")
    other = next(row for row in tiles.rows if row["tile_id"] == "medium11")
    assert details.within(medium) is None, "the frame holds the large tile's pixels there"
    assert details.within(other) is not None
