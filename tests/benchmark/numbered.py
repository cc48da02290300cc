"""A small data set by the real writer: tile "t7" spells 7 in its first pixels; ships, truth, texts, two revisions."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import shapely

from knowlip.base.vocabulary import REGIONS, SHIP_TYPES
from knowlip.dataset import Dataset, writer
from knowlip.dataset.png import encode_png
from tests.dataset.text_rows import text_rows
from tests.language.test_questions import truth_of

TRAIN, VAL, COUNT = 24, 30, 54
SIDE = 12
NUMBERS = ("no", "one", "two", "three")


def split_of(number: int) -> str:
    return "train" if number < TRAIN else "val" if number < VAL else "test"


def facts_of(number: int) -> tuple[int, str, int]:
    """How many ships, of which type, in which region."""
    return number % 3 + 1, SHIP_TYPES[number % 5].name, number % 9


def text_of(number: int, dimension: str) -> str:
    """What the annotator says: true but for the count of every fourth tile."""
    ships, kind, region = facts_of(number)
    ships = ships % 3 + 1 if number % 4 == 0 else ships
    length = {"container ship": 260, "tanker": 200, "bulk carrier": 180, "cargo ship": 100, "fishing boat": 30}[kind]
    return {
        "Count": f"{NUMBERS[ships]} ships are visible in the scene",
        "Location": f"the ships lie in the {REGIONS[region]}",
        "Feature": f"bright points, group {number}",
        "Size": f"the ships are about {length} meters long",
        "Category": f"the ships are {kind}s",
        "Distribution": "the ships are clustered close together",
        "Region": "water covers about 60 percent of the scene",
        "Environment": "water and quays",
    }[dimension]


def build(folder: Path, truth: bool = True, revisions: bool = True, uneven: bool = False) -> Dataset:
    """Write the data set to `folder`. With `uneven` every second tile is half as high as wide, and the spacing of every
    third is not known."""
    rows: list[dict[str, Any]] = []
    pngs, truths = {}, {}
    for number in range(COUNT + 1):
        tile_id, lon = f"t{number}", 4.0 + 0.015 * number
        height = SIDE // 2 if uneven and number % 2 == 0 else SIDE
        spacing = None if uneven and number % 3 == 0 else 1024 / SIDE
        image = np.full((height, SIDE), 90, np.uint8)
        image[0, :2] = number // 256, number % 256
        pngs[tile_id] = encode_png(image)
        ships, kind, region = facts_of(number)
        spot = ((region % 3 + 0.5) / 3, (region // 3 + 0.5) / 3)
        truths[tile_id] = truth_of([(kind, *spot)] * ships)
        for item in truths[tile_id]["objects"]:
            item |= {"polygon": [[0.4, 0.4], [0.6, 0.4], [0.6, 0.6]], "width_m": 10.0, "heading_deg": 0.0}
        accepted = number < COUNT
        rows.append(
            {
                "tile_id": tile_id,
                "id": tile_id,
                "scene_id": f"place{number // 12}",
                "root_id": tile_id,
                "parent_id": "",
                "scale": "large",
                "window_m": spacing and 1024.0,
                "split": split_of(number),
                "block": f"b{number // 2}",
                "datetime": "2025-06-01T00:00:00Z",
                "geometry": shapely.box(lon, 52.0, lon + 0.01, 52.01).wkb_hex,
                "proj:code": "EPSG:32631",
                "proj:transform": [1024 / SIDE, 0.0, 1024.0 * number, 0.0, -1024 / SIDE, 5e6],
                "proj:shape": [height, SIDE],
                "platform": "sim-c",
                "sar:frequency_band": "C",
                "sar:polarizations": ["HH"],
                "sar:looks_equivalent_number": 3.0,
                "view:incidence_angle": 35.0,
                "look_azimuth_deg": None,
                "view:azimuth": None,
                "sar:center_frequency": None,
                "sar:instrument_mode": "",
                "sar:product_type": "",
                "sar:observation_direction": "",
                "sat:orbit_state": "",
                "units": "amplitude",
                "radiometry": "simulated",
                "quantity": "none",
                "geolocation": "affine",
                "geolocation_rms_m": 0.0,
                "native_px": 256.0,
                "resolution_m": 1.0,
                "metres_per_pixel": spacing,
                "lon": lon,
                "lat": 52.0,
                "country": "Netherlands",
                "region": "South Holland",
                "city": "Delft",
                "city_km": 4.0,
                "airport": "",
                "airport_km": None,
                "port": "",
                "port_km": None,
                "quantiser": "log",
                "quantiser_lo": -20.0,
                "quantiser_hi": 10.0,
                "lut_sha256": "",
                "screen_score": None,
                "cog": "",
                "valid_fraction": 1.0,
                "q_mean": 0.0,
                "q_std": 0.0,
                "q_entropy": 0.0,
                "q_edge": 0.0,
                "q_saturated": 0.0,
                "q_dark": 0.0,
                "q_stripe": 0.0,
                "g_contrast": 0.0,
                "g_dissimilarity": 0.0,
                "g_homogeneity": 0.0,
                "g_energy": 0.0,
                "g_correlation": 0.0,
                "g_entropy": 0.0,
                "q_good": 1.0,
                "accepted": accepted,
                "reject_reason": "" if accepted else "too <dark>",
            }
        )
    for place in sorted({row["scene_id"] for row in rows}):
        mine = [row for row in rows if row["scene_id"] == place]
        ids = {row["tile_id"] for row in mine if row["accepted"]}
        writer.write_scene(
            folder, place, mine, {i: pngs[i] for i in ids}, {i: truths[i] for i in ids} if truth else {}, {}
        )
    writer.finish(folder, sorted({row["scene_id"] for row in rows}), {})
    data = Dataset(folder)
    tiles = [f"t{number}" for number in range(COUNT)]
    texts = text_rows(tiles, "marine", lambda tile, _, name: text_of(int(tile[1:]), name))
    texts = texts.assign(annotator="rules", confidence=0.9)
    data.write_texts(texts)
    if revisions:
        _add_revisions(data, texts)
    return data


def _add_revisions(data: Dataset, texts: pd.DataFrame) -> None:
    """SCIO finds exactly the wrong counts of the training tiles, and mends every second one."""
    rows = texts[texts["tile_id"].isin({f"t{n}" for n in range(TRAIN)})].copy()
    wrong = (rows["dimension"] == "Count") & (rows["tile_id"].str[1:].astype(int) % 4 == 0)
    rows["decision"] = np.where(wrong, "screened", "kept")
    rows["delta_itc"] = np.where(wrong, -1.0, 0.5)
    rows["delta_itm"] = np.where(wrong, 1.0, -0.5)
    data.append_revision(rows, "demo-stage2")
    again = rows[wrong].copy()
    number = again["tile_id"].str[1:].astype(int)
    mended = (number % 8 == 0).to_numpy()
    again["text"] = [
        f"{NUMBERS[facts_of(n)[0]]} ships are visible" if good else text
        for n, good, text in zip(number, mended, again["text"])
    ]
    again["decision"] = np.where(mended, "rewritten", "rejected")
    data.append_revision(again, "demo-stage3")
