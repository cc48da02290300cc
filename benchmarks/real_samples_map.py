"""Draw where the real samples lie and how their tiles look: a world map, a region with its splits, and mosaics."""

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from PIL import Image

from knowlip.base.files import whole_file
from knowlip.dataset import Dataset
from knowlip.tiles.gazetteers import towns

matplotlib.use("Agg")
INK, SOFT, PAPER, DOT = "#1c2226", "#5a656c", "#f7f7f4", "#c3c9c6"
SPLITS = {"train": "#2f6fb0", "val": "#d99000", "test": "#c2410c"}
COLOURS = {
    "sen1floods11": "#0b6e8f",
    "s1-utm": "#7a4fb0",
    "s1-tiles": "#c2410c",
    "opensarship": "#1a7a3c",
    "opensarship-slc": "#8a9a12",
    "gaofen-3": "#5a656c",
    "dsn-ships": "#5a656c",
    "dsn-land": "#5a656c",
}
GREYS = 40
"""Grey levels kept of the tiles: speckle does not compress."""


@dataclass(frozen=True)
class Panel:
    """A mosaic of one scene, or of several chips side by side."""

    family: str
    scene: str
    """Start of the scene identifier; "" takes chips of several scenes."""
    title: str
    chips: int = 0
    """Chips a side; 0: a mosaic of one scene."""


PANELS = (
    Panel("s1-utm", "losangeles", "Los Angeles, 30 m, dB (float64)"),
    Panel("s1-tiles", "s1-losangeles-tiles-014", "Los Angeles, 10 m, 8 bit"),
    Panel("s1-utm", "s1a", "Camargue, 20 m, dB"),
    Panel("sen1floods11", "nigeria", "Nigeria, 10 m, dB, from EPSG:4326"),
    Panel("gaofen-3", "gf3-quadpol-5-hh", "Gaofen-3, 8 m, 16 bit, place unknown"),
    Panel("opensarship", "", "OpenSARShip, sigma0, 10 m", 3),
    Panel("opensarship-slc", "", "OpenSARShip SLC, complex", 3),
    Panel("dsn-land", "", "Complex chips (.npy)", 4),
)


def draw(folder: Path, titles: dict[str, str], out: Path) -> None:
    """Draw the picture.

    Args:
        folder: holds the data sets.
        titles: data set -> title in the legend.
        out: PNG to write.
    """
    sets = {name: Dataset(folder / name) for name in titles}
    plt.rcParams.update({"font.family": "DejaVu Sans", "font.size": 8, "text.color": INK, "axes.edgecolor": SOFT})
    figure = plt.figure(figsize=(12, 10.2), dpi=110, facecolor=PAPER)
    _world(figure.add_axes((0.015, 0.545, 0.615, 0.40)), sets, titles)
    _region(figure.add_axes((0.66, 0.565, 0.32, 0.365)), sets["opensarship-slc"], sets["opensarship"])
    for number, panel in enumerate(PANELS):
        row, column = divmod(number, 4)
        axes = figure.add_axes((0.015 + 0.246 * column, 0.271 - 0.262 * row, 0.232, 0.235))
        _mosaic(axes, sets[panel.family], panel)
    count = sum(len(dataset.tiles()) for dataset in sets.values())
    figure.text(0.015, 0.968, f"Real samples as data sets: {count:,} tiles", fontsize=14, fontweight="bold")
    picture = io.BytesIO()
    figure.savefig(picture, facecolor=PAPER)
    plt.close(figure)
    small = (
        Image.open(picture).convert("RGB").quantize(160, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    )
    with whole_file(out) as part:
        small.save(part, format="PNG", optimize=True)


def _world(axes: Axes, sets: dict[str, Dataset], titles: dict[str, str]) -> None:
    lons, lats = towns().lons, towns().lats
    axes.set_facecolor("#ffffff")
    axes.scatter(lons[::2], lats[::2], s=0.12, c=DOT, linewidths=0)
    seen: list[tuple[float, float]] = []
    names: set[str] = set()
    for name, dataset in sets.items():
        tiles = dataset.tiles(scale="large").dropna(subset=["lon"])
        if not len(tiles):
            continue
        places = tiles.groupby("scene_id")[["lon", "lat"]].mean().round(1).drop_duplicates().to_numpy()
        axes.scatter(
            places[:, 0],
            places[:, 1],
            s=34,
            c=COLOURS[name],
            edgecolors="white",
            linewidths=0.8,
            zorder=3,
            label=f"{titles[name]}: {len(dataset.tiles()):,} tiles",
        )
        for row in tiles.drop_duplicates("country").to_dict("records"):
            at = row["lon"], row["lat"]
            if all(math.hypot(at[0] - x, at[1] - y) > 9 for x, y in seen):
                seen.append(at)
                if row["country"] in names:
                    continue
                names.add(row["country"])
                axes.annotate(
                    row["country"], at, xytext=(5, 4), textcoords="offset points", fontsize=7, color=INK, zorder=4
                )
    axes.set(xlim=(-170, 180), ylim=(-58, 76), xticks=range(-120, 180, 60), yticks=range(-30, 76, 30))
    axes.tick_params(length=0, labelsize=6, labelcolor=SOFT, pad=2)
    axes.grid(color="#e7e9e7", linewidth=0.5)
    axes.set_aspect("auto")
    axes.legend(loc="lower left", fontsize=7, frameon=True, framealpha=0.92, edgecolor="#dfe2e0", handletextpad=0.2)
    axes.set_title("Scenes of known place; dots: towns (GeoNames)", loc="left", fontsize=8, color=SOFT, pad=4)


def _region(axes: Axes, *sets: Dataset) -> None:
    """Footprints of large tiles around Tokyo Bay, by split."""
    left, bottom, right, top = 139.42, 34.93, 140.38, 35.75
    lons, lats = towns().lons, towns().lats
    axes.set_facecolor("#ffffff")
    axes.scatter(lons, lats, s=9, c=DOT, linewidths=0)
    for dataset in sets:
        tiles = dataset.tiles(scale="large")
        for split, colour in SPLITS.items():
            some = tiles[tiles["split"] == split].dropna(subset=["lon"])
            axes.scatter(some["lon"], some["lat"], s=13, marker="s", c=colour, linewidths=0, label=split, alpha=0.85)
    axes.set(xlim=(left, right), ylim=(bottom, top))
    axes.set_aspect(1 / math.cos(math.radians(35.4)))
    axes.tick_params(length=0, labelsize=6, labelcolor=SOFT, pad=2)
    axes.grid(color="#e7e9e7", linewidth=0.5)
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles))
    axes.legend(unique.values(), unique.keys(), loc="lower right", fontsize=7, framealpha=0.92, edgecolor="#dfe2e0")
    axes.set_title("Tokyo Bay: ships of OpenSARShip, split by block", loc="left", fontsize=8, color=SOFT, pad=4)
    _scale_bar(axes, 20_000, 1 / (111_320 * math.cos(math.radians(35.4))), "20 km")


def _mosaic(axes: Axes, dataset: Dataset, panel: Panel) -> None:
    tiles = dataset.tiles(scale="large")
    picture, metres = _chips(dataset, tiles, panel.chips) if panel.chips else _one_scene(dataset, tiles, panel.scene)
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="none")
    axes.set(xticks=[], yticks=[], anchor="SW")
    for spine in axes.spines.values():
        spine.set(color=COLOURS[panel.family], linewidth=1.6)
    axes.set_title(panel.title, loc="left", fontsize=8, pad=4)
    width = picture.shape[1] * metres
    length = max(value for value in (20, 50, 100, 200, 500, 1000, 2000, 5000) if value <= 0.35 * width)
    _scale_bar(axes, length, 1 / metres, f"{length / 1000:g} km" if length >= 1000 else f"{length} m", on_dark=True)


def _one_scene(dataset: Dataset, tiles: Any, start: str) -> tuple[np.ndarray, float]:
    """Accepted large tiles of a scene side by side, at most 260 pixels a side."""
    mine = tiles[tiles["scene_id"].str.startswith(start)]
    origins = np.array([[t[2], t[5]] for t in mine["proj:transform"]])
    side = float(mine["window_m"].iloc[0])
    columns = np.round((origins[:, 0] - origins[:, 0].min()) / side).astype(int)
    rows = np.round((origins[:, 1].max() - origins[:, 1]) / side).astype(int)
    most = max(1, min(columns.max(), rows.max()) + 1)
    px = max(24, 264 // most)
    keep = (columns < most) & (rows < most)
    canvas = np.zeros((most * px, most * px), np.uint8)
    for image, row, column in zip(dataset.images(mine["tile_id"][keep]), rows[keep], columns[keep]):
        canvas[row * px : (row + 1) * px, column * px : (column + 1) * px] = _shrunk(image, px)
    return canvas, side / px


def _chips(dataset: Dataset, tiles: Any, number: int) -> tuple[np.ndarray, float]:
    """Large tiles of different scenes side by side, those with most contrast first."""
    best = tiles.sort_values("q_std", ascending=False).drop_duplicates("scene_id")
    whole = best[best["valid_fraction"] > 0.98]
    best = whole if len(whole) >= number**2 else best
    best = best.iloc[:: 2 if len(best) >= 2 * number**2 else 1][: number**2]
    px = 264 // number
    canvas = np.zeros((number * px, number * px), np.uint8)
    for place, image in enumerate(dataset.images(best["tile_id"])):
        row, column = divmod(place, number)
        inside = slice(row * px, (row + 1) * px - 2), slice(column * px, (column + 1) * px - 2)
        canvas[inside] = _shrunk(image, px - 2)
    return canvas, float(best["window_m"].iloc[0]) / px


def _shrunk(image: np.ndarray, px: int) -> np.ndarray:
    small = np.asarray(Image.fromarray(image).resize((px, px), Image.Resampling.BOX), np.float32)
    return (np.round(small / 255 * (GREYS - 1)) * (255 / (GREYS - 1))).astype(np.uint8)


def _scale_bar(axes: Axes, metres: float, unit: float, text: str, on_dark: bool = False) -> None:
    """A bar of so many metres in the lower left corner; `unit` is axis units a metre."""
    (x_0, x_1), (y_0, y_1) = axes.get_xlim(), axes.get_ylim()
    x, y = x_0 + 0.045 * (x_1 - x_0), y_0 + 0.05 * (y_1 - y_0)
    colour = "white" if on_dark else INK
    if on_dark:
        axes.plot([x, x + metres * unit], [y, y], color="black", linewidth=4.5, solid_capstyle="butt")
    axes.plot([x, x + metres * unit], [y, y], color=colour, linewidth=2.2, solid_capstyle="butt")
    axes.annotate(
        text,
        (x, y),
        xytext=(0, 4),
        textcoords="offset points",
        color=colour,
        fontsize=7,
        fontweight="bold",
        bbox={"boxstyle": "square,pad=0.15", "facecolor": "black", "alpha": 0.55, "linewidth": 0} if on_dark else None,
    )
    axes.set(xlim=(x_0, x_1), ylim=(y_0, y_1))
