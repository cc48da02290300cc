"""Pictures of a data set in the manner of the paper's figures 4 and 5: where it lies, what it holds, examples."""

from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from knowlip.base.vocabulary import SCALES
from knowlip.dataset.reader import Dataset
from knowlip.dataset.stats_charts import bars, columns, per_tile, sizes, stacked
from knowlip.dataset.stats_numbers import UNKNOWN, scene_types
from knowlip.pages.charts import COLOURS, MUTED, SCREEN, SHADES, SPLIT_COLOURS, panel, png, style, svg
from knowlip.pages.maps import MapMark, land, ring, world_map
from knowlip.pages.render import picture_uri, render

_MOST_SENSORS = 4


@style()
def draw(data: Dataset, numbers: dict[str, Any], folder: Path, title: str) -> None:
    """Write overview.png, map.png, distribution.png, targets.png and examples.png; those that make sense.

    For papers; the page has its own charts (:func:`page`).
    """
    figures = {"overview": overview(data, numbers, title), "distribution": distribution(numbers)}
    if numbers["located"]:
        figures["map"] = Figure((10, 5), layout="constrained")
        world(figures["map"].subplots(), data, numbers)
    if numbers["targets"]["objects"]:
        figures["targets"] = target_figure(numbers["targets"])
    figures["examples"] = examples(data, numbers)
    for name, figure in figures.items():
        (folder / f"{name}.png").write_bytes(png(figure))


def page(data: Dataset, numbers: dict[str, Any], title: str) -> str:
    """One self-contained HTML page with charts that take their colours and size from it."""
    # Numbers as cards, charts by section, and every count again as a table.
    facts = {
        "tiles": f"{numbers['tiles']:,}",
        "accepted": f"{numbers['accepted']:,}",
        "scenes": f"{numbers['scenes']:,}",
        "objects": f"{numbers['targets']['objects']:,}",
        "text revisions": len(numbers["texts"]["revisions"]),
    }
    if numbers["area_km2"]:
        facts["km²"] = f"{numbers['area_km2']:,.1f}"
    tables = {**numbers["by"], "Rejected, by reason": numbers["rejected"]}
    tables["Class of masks"] = {name: f"{100 * share:.1f} %" for name, share in numbers["mask_shares"].items()}
    for category, entry in numbers["targets"]["categories"].items():
        rows: dict[str, Any] = {"count": entry["count"]}
        for name, key in (("length", "length_m"), ("width", "width_m")):
            if entry[key]["count"]:
                rows[f"{name}, median"] = f"{entry[key]['median']:g} m"
                rows[f"{name}, 5 to 95 %"] = f"{entry[key]['low']:g} to {entry[key]['high']:g} m"
        tables[f"Target: {category}"] = {**rows, **entry["types"]}
    told = {
        name: [(key, f"{value:,}" if isinstance(value, int) else value) for key, value in counts.items()]
        for name, counts in tables.items()
        if counts
    }
    shown = {"title": title, "numbers": numbers, "facts": facts, "tables": told, "charts": _charts(numbers)}
    sensors = _sensor_colours(numbers)
    place_map = world_map(_marks(data, numbers), sensors, numbered=False) if numbers["located"] else ""
    return render("dataset_stats.html", **shown, map=place_map, sensors=sensors, examples=_cards(data, numbers))


@style(**SCREEN)
def _charts(numbers: dict[str, Any]) -> dict[str, list[Markup]]:
    """The charts of the page by section, each as wide as a phone."""
    # Bars lie down: names stand beside them whole, where upright ones would have to be cut on a phone.
    by, targets = numbers["by"], numbers["targets"]
    splits = ("train", "val", "test")
    found: dict[str, list[Markup]] = {"distribution": [], "targets": []}
    for title, table, order, shades in (
        ("Sensor and scale", numbers["sensor_scale"], SCALES, SHADES),
        ("Sensor and split", numbers["sensor_split"], splits, tuple(SPLIT_COLOURS.values())),
    ):
        figure, axes = panel(70 + 26 * max(4, min(12, len(table))))
        stacked(axes, table, order, shades, title)
        found["distribution"].append(svg(figure, title))
    metres = {name if name == UNKNOWN else f"{name} m": count for name, count in by["resolution_m"].items()}
    for title, counts in (
        *(("Native resolution", metres), ("Band", by["band"]), ("Polarisation", by["polarisation"])),
        *(
            ("Scene types", by["scene_type"]),
            ("Nearest cities", by["city"]),
            ("Rejected, by reason", numbers["rejected"]),
        ),
    ):
        figure, axes = panel(40 + 22 * max(5, min(12, len(counts))))
        bars(axes, counts, title, COLOURS[3] if title.startswith("Rejected") else COLOURS[0])
        found["distribution"].append(svg(figure, title))
    if targets["objects"]:
        types = {kind: count for entry in targets["categories"].values() for kind, count in entry["types"].items()}
        classes = {name: entry["count"] for name, entry in targets["categories"].items()}
        figure, axes = panel(40 + 22 * max(5, min(12, len(types or classes))))
        bars(axes, types or classes, "Target types" if types else "Target classes")
        found["targets"].append(svg(figure, "Targets"))
        for title, fill in (("Target sizes", sizes), ("Objects a tile", per_tile)):
            figure, axes = panel(220)
            fill(axes, targets)
            found["targets"].append(svg(figure, title))
    return found


def _sensor_colours(numbers: dict[str, Any]) -> dict[str, str]:
    """Sensor -> colour; those behind the eighth share one."""
    return {sensor: (*COLOURS, MUTED)[min(at, len(COLOURS))] for at, sensor in enumerate(numbers["sensor_scale"])}


def _marks(data: Dataset, numbers: dict[str, Any]) -> list[MapMark]:
    """Places by their tiles of each sensor. Places are rounded to a degree: a thousand tiles around one city are one
    mark, not a blot."""
    rows = data.tiles()
    rows = rows[np.isfinite(rows["lon"])]
    rows = rows.assign(sensor=rows["platform"].replace("", UNKNOWN))
    marks = []
    for _, here in rows.groupby([rows["lon"].round(0), rows["lat"].round(0)]):
        counts = here["sensor"].value_counts()
        parts = {sensor: int(counts[sensor]) for sensor in numbers["sensor_scale"] if sensor in counts}
        name = next((str(city) for city in here["city"] if city), "")
        marks.append(MapMark(name, float(here["lon"].mean()), float(here["lat"].mean()), parts))
    return marks


def _cards(data: Dataset, numbers: dict[str, Any]) -> list[dict[str, Any]]:
    """The examples of every sensor as pictures."""
    return [
        {
            "sensor": sensor,
            "tiles": [(caption, tile, picture_uri(_stretched(data.image(tile)), 320)) for caption, tile in tiles],
        }
        for sensor, tiles in chosen_examples(data, numbers)
    ]


def _stretched(image: np.ndarray) -> np.ndarray:
    """A tile with its grey levels from the first to the last per cent over the whole range."""
    levels = image[image > 0]
    low, high = np.percentile(levels, (1, 99.7)) if len(levels) else (0, 255)
    return np.asarray(np.clip((image - low) / max(high - low, 1) * 255, 0, 255), np.uint8)


def overview(data: Dataset, numbers: dict[str, Any], title: str) -> Figure:
    """The picture for a paper: map, distributions, sizes, examples."""
    figure = Figure((12, 8.1), layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.08))
    head = f"{title}: {numbers['accepted']:,} tiles of {numbers['scenes']:,} scene{'s' * (numbers['scenes'] != 1)}"
    if numbers["area_km2"]:
        head += f", {numbers['area_km2']:,.0f} km²"
    figure.suptitle(head, x=0.012, ha="left", fontsize=12.5, fontweight="bold")
    rows: Any = figure.subfigures(3, 1, height_ratios=(1.42, 1, 0.72))
    top, middle, bottom = rows
    if numbers["located"]:
        left, right = top.subplots(1, 2, width_ratios=(2.35, 1))
        world(left, data, numbers)
    else:
        left, right = top.subplots(1, 2, width_ratios=(1.6, 1))
        _contents(left, numbers)
    stacked(right, numbers["sensor_scale"], SCALES, SHADES, "Tiles by sensor and scale")
    third, fourth, fifth, sixth = middle.subplots(1, 4, width_ratios=(0.8, 1, 1.15, 1.35))
    columns(third, numbers["by"]["resolution_m"], "Native resolution", "m")
    bars(fourth, numbers["by"]["scene_type"], "Scene types")
    places = numbers["by"]["country"] if numbers["located"] else numbers["by"]["split"]
    bars(fifth, places, "Countries" if numbers["located"] else "Splits")
    sizes(sixth, numbers["targets"])
    _examples(bottom, data, numbers, rows=1)
    return figure


def world(axes: Any, data: Dataset, numbers: dict[str, Any]) -> None:
    """Tiles on the outline of the world (Natural Earth, equirectangular): a ring a place, larger where there are more
    tiles, its parts the sensors."""
    land(axes, edgecolor="#cbd2d9", linewidth=0.4, zorder=1)
    colours, marks = _sensor_colours(numbers), _marks(data, numbers)
    most = max((sum(mark.parts.values()) for mark in marks), default=1)
    for mark in sorted(marks, key=lambda one: -sum(one.parts.values())):
        radius = 1.6 + 2.4 * (sum(mark.parts.values()) / most) ** 0.5
        ring(axes, (mark.lon, mark.lat), radius, mark.parts, colours, "")
    for sensor, colour in list(colours.items())[: len(COLOURS)]:
        axes.scatter([], [], s=30, color=colour, label=sensor)
    axes.set(xlim=(-180, 180), ylim=(-60, 84), xticks=range(-120, 121, 60), yticks=range(-30, 61, 30))
    axes.xaxis.set_major_formatter(lambda x, _: f"{abs(x):.0f}°{'W' if x < 0 else 'E' if x > 0 else ''}")
    axes.yaxis.set_major_formatter(lambda y, _: f"{abs(y):.0f}°{'S' if y < 0 else 'N' if y > 0 else ''}")
    axes.grid(linewidth=0.5, zorder=0)
    axes.tick_params(labelsize=7, labelcolor=MUTED)
    axes.set_title("Places")
    axes.legend(loc="lower left", fontsize=8, handletextpad=0.2, borderaxespad=0.4, markerscale=0.8)


def distribution(numbers: dict[str, Any]) -> Any:
    """All distributions on one sheet."""
    figure = Figure((12, 6.2), layout="constrained")
    axes = figure.subplots(2, 4)
    by = numbers["by"]
    stacked(axes[0, 0], numbers["sensor_scale"], SCALES, SHADES, "Sensor and scale")
    stacked(axes[0, 1], numbers["sensor_split"], ("train", "val", "test"), COLOURS[:3], "Sensor and split")
    columns(axes[0, 2], by["resolution_m"], "Native resolution", "m")
    columns(axes[0, 3], {f"{b}": n for b, n in by["band"].items()}, "Band", "")
    columns(axes[1, 0], by["polarisation"], "Polarisation", "")
    bars(axes[1, 1], by["scene_type"], "Scene types")
    bars(axes[1, 2], by["city"], "Nearest cities")
    bars(axes[1, 3], numbers["rejected"], "Rejected, by reason", COLOURS[3])
    return figure


def target_figure(targets: dict[str, Any]) -> Any:
    """Counts of classes and types, sizes, objects a tile."""
    figure = Figure((12, 3.6), layout="constrained")
    axes = figure.subplots(1, 3)
    types = {f"{kind}": count for entry in targets["categories"].values() for kind, count in entry["types"].items()}
    classes = {name: entry["count"] for name, entry in targets["categories"].items()}
    bars(axes[0], types or classes, "Target types" if types else "Target classes")
    sizes(axes[1], targets)
    per_tile(axes[2], targets)
    return figure


def examples(data: Dataset, numbers: dict[str, Any]) -> Any:
    """One tile a sensor and scale."""
    sensors = min(_MOST_SENSORS, len(numbers["sensor_scale"]))
    figure = Figure((9, 3.1 * max(1, sensors)), layout="constrained")
    _examples(figure, data, numbers, rows=sensors)
    return figure


def chosen_examples(data: Dataset, numbers: dict[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """(sensor, [(caption, tile_id)]): for each sensor a family of a large, a medium and a small tile with much to see,
    of another scene type than the sensors before; six images of a set without families."""
    # Objects count up to a dozen: beyond that a car park would always beat a port. The name decides between equals.
    rows = data.tiles()
    objects = data.annotations()["tile_id"].value_counts()
    types = scene_types(data, {})
    rows = rows.assign(
        sensor=rows["platform"].replace("", UNKNOWN),
        objects=rows["tile_id"].map(objects).fillna(0).clip(upper=12),
        type=rows["tile_id"].map(types),
    )
    rows = rows.sort_values(["objects", "q_std", "tile_id"], ascending=[False, False, True])
    used: set[str] = set()
    result = []
    for sensor in list(numbers["sensor_scale"])[:_MOST_SENSORS]:
        here = rows[rows["sensor"] == sensor]
        large = here[here["scale"] == "large"]
        if (here["scale"] != "large").any() and len(large):
            fresh = large[~large["type"].isin(used)]
            chosen = [(fresh if len(fresh) else large).head(1)]
            used.add(chosen[0]["type"].iloc[0])
            for scale in SCALES[1:]:
                family = here[(here["scale"] == scale) & (here["parent_id"] == chosen[-1]["tile_id"].iloc[0])]
                if not len(family):
                    break
                chosen.append(family.head(1))
        else:
            chosen = [large.iloc[[i]] for i in sorted({len(large) * k // 6 for k in range(6)}) if len(large)]
        tiles = [
            (f"{scale}, {window:g} m" if np.isfinite(window) else "", tile)
            for frame in chosen
            for tile, scale, window in zip(frame["tile_id"], frame["scale"], frame["window_m"])
        ]
        result.append((sensor, tiles))
    return result


def _examples(figure: Any, data: Dataset, numbers: dict[str, Any], rows: int) -> None:
    chosen = chosen_examples(data, numbers)
    tiles = data.tiles()
    resolution = tiles["resolution_m"].groupby(tiles["platform"].replace("", UNKNOWN)).median()
    across = -(-sum(max(1, len(tiles)) for _, tiles in chosen) // max(1, rows))
    axes = np.atleast_1d(figure.subplots(max(1, rows), max(1, across), squeeze=False)).ravel()
    position = 0
    for sensor, family in chosen:
        for number, (caption, tile) in enumerate(family):
            here = axes[position]
            position += 1
            image = data.image(tile)
            here.imshow(_stretched(image), cmap="gray", vmin=0, vmax=255, interpolation="antialiased")
            known = np.isfinite(resolution[sensor])
            name = (sensor if sensor != UNKNOWN else "") + (f", {resolution[sensor]:.2g} m" if known else "")
            here.set_title(name if number == 0 else "", fontsize=9)
            here.set_xlabel(caption, fontsize=8, labelpad=2)
    for here in axes:
        here.set(xticks=[], yticks=[])
        here.spines[:].set_visible(False)


def _contents(axes: Any, numbers: dict[str, Any]) -> None:
    """What a set without places is about: objects a tile, or shares of classes."""
    targets = numbers["targets"]
    if targets["objects"] and list(targets["per_tile"]) != ["1"]:
        per_tile(axes, targets)
    elif targets["objects"]:
        bars(axes, {name: entry["count"] for name, entry in targets["categories"].items()}, "Classes")
    else:
        bars(
            axes, {name: round(100 * share, 1) for name, share in numbers["mask_shares"].items()}, "Classes, % of area"
        )
