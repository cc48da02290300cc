"""Pictures of a data set in the manner of the paper's figures 4 and 5: where it lies, what it holds, examples."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from knowlip.base.vocabulary import SCALES
from knowlip.dataset.reader import Dataset
from knowlip.dataset.stats_charts import bars, columns, per_tile, sizes, stacked
from knowlip.dataset.stats_numbers import UNKNOWN, scene_types
from knowlip.pages.charts import COLOURS, MUTED, png, style
from knowlip.pages.maps import land
from knowlip.pages.render import data_uri, render

_SHADES = ("#16425b", "#4f8fba", "#b6d3e7")
"""Large, medium, small."""
_MOST_SENSORS = 4


@style()
def draw(data: Dataset, numbers: dict[str, Any], folder: Path, title: str) -> dict[str, str]:
    """Write overview.png, map.png, distribution.png, targets.png and examples.png; those that make sense.

    Returns:
        Name -> picture as data URI.
    """
    figures = {"overview": overview(data, numbers, title), "distribution": distribution(numbers)}
    if numbers["located"]:
        figures["map"] = Figure((10, 5), layout="constrained")
        world(figures["map"].subplots(), data, numbers)
    if numbers["targets"]["objects"]:
        figures["targets"] = target_figure(numbers["targets"])
    figures["examples"] = examples(data, numbers)
    pictures = {name: png(figure) for name, figure in figures.items()}
    for name, picture in pictures.items():
        (folder / f"{name}.png").write_bytes(picture)
    return {name: data_uri(picture, "png") for name, picture in pictures.items()}


def page(numbers: dict[str, Any], pictures: dict[str, str], title: str) -> str:
    """One self-contained HTML page; `pictures` are those of :func:`draw`."""
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
    return render("dataset_stats.html", title=title, numbers=numbers, facts=facts, pictures=pictures, tables=told)


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
    stacked(right, numbers["sensor_scale"], SCALES, _SHADES, "Tiles by sensor and scale")
    third, fourth, fifth, sixth = middle.subplots(1, 4, width_ratios=(0.8, 1, 1.15, 1.35))
    columns(third, numbers["by"]["resolution_m"], "Native resolution", "m")
    bars(fourth, numbers["by"]["scene_type"], "Scene types")
    places = numbers["by"]["country"] if numbers["located"] else numbers["by"]["split"]
    bars(fifth, places, "Countries" if numbers["located"] else "Splits")
    sizes(sixth, numbers["targets"])
    _examples(bottom, data, numbers, rows=1)
    return figure


def world(axes: Any, data: Dataset, numbers: dict[str, Any]) -> None:
    """Tiles on the outline of the world (Natural Earth, equirectangular), a dot a place and sensor, larger
    where there are more tiles. Dots of one place stand side by side."""
    land(axes, edgecolor="#cbd2d9", linewidth=0.4, zorder=1)
    # Places are rounded to a degree: a thousand tiles around one city are one dot, not a blot.
    rows = data.tiles()
    rows = rows[np.isfinite(rows["lon"])]
    sensors = list(numbers["sensor_scale"])
    for number, sensor in enumerate(sensors[: len(COLOURS)]):
        here = rows[rows["platform"].replace("", UNKNOWN) == sensor]
        places = here.groupby([here["lon"].round(0), here["lat"].round(0)])[["lon", "lat"]].agg(["mean", "size"])
        areas = 16 + 60 * np.sqrt(places[("lon", "size")] / max(1, len(rows)))
        aside = 3.4 * (number - (min(len(sensors), len(COLOURS)) - 1) / 2)
        axes.scatter(
            places[("lon", "mean")] + aside,
            places[("lat", "mean")],
            s=areas,
            zorder=3,
            facecolor=COLOURS[number],
            edgecolor="white",
            linewidth=0.6,
            label=sensor,
        )
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
    stacked(axes[0, 0], numbers["sensor_scale"], SCALES, _SHADES, "Sensor and scale")
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
            levels = image[image > 0]
            low, high = np.percentile(levels, (1, 99.7)) if len(levels) else (0, 255)
            here.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1), interpolation="antialiased")
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
