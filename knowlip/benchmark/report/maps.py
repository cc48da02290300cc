"""Where the tiles lie: an outline of the world, and one picture a place with its tiles coloured by split."""

# ruff: noqa: E501 (markup is easier to read in one line)

import json
import math
from collections import Counter
from html import escape
from importlib.resources import files
from typing import Final

import pandas as pd

from knowlip.benchmark.report.pictures import bounds, mosaic
from knowlip.dataset import Dataset

SPLITS: Final = ("train", "val", "test")
_MOST_PLACES = 24
_MOST_NUMBERED = 60
_MOST_MOSAIC_TILES = 48


def _wedge(x: float, y: float, radius: float, start: float, share: float, kind: str) -> str:
    if share >= 0.999:
        return f'<circle class="fill-{kind}" cx="{x:.2f}" cy="{y:.2f}" r="{radius}"/>'
    a, b = 2 * math.pi * start - math.pi / 2, 2 * math.pi * (start + share) - math.pi / 2
    large = int(share > 0.5)
    return (
        f'<path class="fill-{kind}" d="M{x:.2f},{y:.2f} L{x + radius * math.cos(a):.2f},{y + radius * math.sin(a):.2f} '
        f'A{radius},{radius} 0 {large} 1 {x + radius * math.cos(b):.2f},{y + radius * math.sin(b):.2f} Z"/>'
    )


def places_of(index: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Accepted tiles by scene, scenes in the order of their names."""
    return [(str(name), rows) for name, rows in index[index["accepted"]].groupby("scene_id", sort=True)]


def world_map(index: pd.DataFrame) -> str:
    """Outline of the world with one numbered pie a place: how its tiles are split. Equirectangular projection."""
    rings = json.loads((files("knowlip.pages") / "coastline.json").read_text())["rings"]
    land = " ".join("M" + " ".join(f"{x},{-y}" for x, y in ring) + "Z" for ring in rings)
    parts = [f'<path class="land" d="{land}"/>']
    for lon in range(-150, 180, 30):
        parts.append(f'<line class="graticule" x1="{lon}" x2="{lon}" y1="-84" y2="60"/>')
    for lat in range(-60, 85, 30):
        parts.append(f'<line class="graticule" x1="-180" x2="180" y1="{-lat}" y2="{-lat}"/>')
        side = "N" if lat > 0 else "S" if lat < 0 else ""
        parts.append(f'<text class="latlon" x="-179" y="{-lat - 1}">{abs(lat)}°{side}</text>')
    taken: list[tuple[float, float]] = []
    places = places_of(index)
    numbered = len(places) <= _MOST_NUMBERED
    for number, (name, rows) in enumerate(places, 1):
        x, y = float(rows["lon"].mean()), -float(rows["lat"].mean())
        if math.isnan(x):
            continue
        counts = Counter(rows["split"])
        start, radius = 0.0, 3.0 if numbered else 1.2
        # Places that lie close together fan out along a spiral, tied to their true position by a thin line.
        px, py, turn = x, y, 0
        while numbered and any(math.hypot(px - a, py - b) < 2 * radius + 0.6 for a, b in taken):
            turn += 1
            angle, reach = turn * 2.4, 3.4 + 0.55 * turn
            px, py = x + reach * math.cos(angle), y + reach * math.sin(angle)
        taken.append((px, py))
        marks = [] if turn == 0 else [f'<line class="tie" x1="{x:.2f}" y1="{y:.2f}" x2="{px:.2f}" y2="{py:.2f}"/>']
        for split in SPLITS:
            share = counts[split] / len(rows)
            if share:
                marks.append(_wedge(px, py, radius, start, share, split))
                start += share
        label = (
            f'<text class="placenumber" x="{px:.2f}" y="{py + 1.1:.2f}" text-anchor="middle">{number}</text>'
            if numbered
            else ""
        )
        summary = ", ".join(f"{counts[split]} {split}" for split in SPLITS if counts[split])
        parts.append(
            f'<g class="place">{"".join(marks)}<circle class="ring" cx="{px:.2f}" cy="{py:.2f}" r="{radius}"/>'
            f"{label}<title>{number} {escape(name)}: {summary}</title></g>"
        )
    return (
        '<svg class="world" viewBox="-180 -84 360 144" role="img" '
        f'aria-label="World map with {len(taken)} places">{"".join(parts)}</svg>'
    )


def _scale_bar(width_m: float) -> float:
    """A round length of about a fifth to a third of the width."""
    power = 10 ** math.floor(math.log10(width_m / 4))
    return max(f * power for f in (1, 2, 5) if f * power <= width_m / 3.2)


def place_panels(data: Dataset, side: int = 300) -> tuple[str, int]:
    """One panel a place: its tiles in position, outlined by split. Returns the HTML and the number of places left out."""
    index = data.index
    panels = []
    everything = places_of(index)
    for number, (name, rows) in enumerate(everything[:_MOST_PLACES], 1):
        # A scene cut in several UTM zones is shown in its main one.
        zone = rows["proj:code"].mode().iloc[0]
        rows = rows[rows["proj:code"] == zone]
        largest = rows[rows["window_m"] == rows["window_m"].max()]
        pictured = pd.concat([largest, rows.drop(largest.index)]).head(_MOST_MOSAIC_TILES)
        uri, (left, bottom, right, top) = mosaic(data, pictured, side)
        width, height = right - left, top - bottom
        boxes = bounds(largest)
        line = max(width, height) / 170
        shapes = [
            f'<rect class="tile-{escape(split)}" x="{a - left + line:.0f}" y="{top - d + line:.0f}" '
            f'width="{c - a - 2 * line:.0f}" height="{d - b - 2 * line:.0f}" stroke-width="{line:.0f}">'
            f"<title>{escape(tile_id)} ({escape(split)})</title></rect>"
            for tile_id, split, (a, b, c, d) in zip(largest["tile_id"], largest["split"], boxes)
        ]
        bar = _scale_bar(width)
        counts = Counter(rows["split"])
        first = rows.iloc[0]
        where = ", ".join(str(v) for v in (first["city"], first["country"]) if v)
        dots = " ".join(
            f'<span class="key key-{split}">{counts[split]} {split}</span>' for split in SPLITS if counts[split]
        )
        label = f"{bar / 1000:g} km" if bar >= 1000 else f"{bar:g} m"
        panels.append(
            f'<figure class="placepanel"><svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
            f'aria-label="Tiles of {escape(name)}"><image href="{uri}" width="{width:.0f}" height="{height:.0f}" '
            f'preserveAspectRatio="none"/>{"".join(shapes)}</svg>'
            f'<div class="scalebar" style="width:{100 * bar / width:.1f}%"><span>{label}</span></div>'
            f"<figcaption><b>{number} {escape(name)}</b> <span>{escape(where)}</span>"
            f'<span class="muted">{_degrees(rows)} · {escape(str(first["platform"]))} · {first["resolution_m"]:.3g} m</span>'
            f"<span>{dots}</span></figcaption></figure>"
        )
    return "".join(panels), max(0, len(everything) - _MOST_PLACES)


def _degrees(rows: pd.DataFrame) -> str:
    if rows["lon"].isna().all():
        return "place unknown"
    lat, lon = float(rows["lat"].mean()), float(rows["lon"].mean())
    return f"{abs(lat):.2f}°{'N' if lat >= 0 else 'S'} {abs(lon):.2f}°{'E' if lon >= 0 else 'W'}"
