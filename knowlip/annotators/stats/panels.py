"""Charts of the page about texts, each as wide as a phone: what is drawn with axes takes its colours from the page;
maps of many points and word clouds are pictures."""

from collections.abc import Sequence
from itertools import cycle
from typing import Any, Final, NamedTuple

import numpy as np
from markupsafe import Markup
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from knowlip.annotators.stats.clouds import cloud
from knowlip.annotators.stats.corpus import TextCorpus
from knowlip.annotators.stats.figures import (
    MAPS,
    dimension_bars,
    groups_of,
    histogram,
    map_colours,
    ranges,
    spread_points,
    word_bars,
)
from knowlip.annotators.stats.measure import word_counts
from knowlip.pages.charts import COLOURS, SCREEN, panel, shortened, style, svg
from knowlip.pages.render import picture_uri

_CLOUD: Final = (480, 300)
_SAID: Final = 12
"""Words of a cloud that are told to those who do not see it."""


class PagePanel(NamedTuple):
    """A chart or a picture with its title."""

    title: str
    chart: Markup | None = None
    picture: str = ""
    alt: str = ""
    keys: Sequence[tuple[str, str]] = ()
    """Names and their colours."""


@style(**SCREEN)
def panels(
    corpora: Sequence[TextCorpus],
    numbers: dict[str, Any],
    projected: dict[str, Any] | None,
    seed: int,
    clouds: bool,
) -> dict[str, list[PagePanel]]:
    """The charts by section: lengths, richness, words, maps, clouds."""
    # One chart a panel, so that a phone stacks them; the page gives titles and keys, which are as long as they like.
    measured, found = numbers["corpora"], {}
    keys = [(entry["name"], colour) for entry, colour in zip(measured, cycle(COLOURS))]
    found["lengths"] = [
        _drawn(f"{unit.capitalize()} a caption", 230, histogram, measured, unit, keys=keys)
        for unit in ("words", "characters", "tokens")
        if any(unit in entry["length"] for entry in measured)
    ]
    found["richness"] = []
    for name, entries in groups_of(measured).items():
        rows = max(3, len(entries))
        found["lengths"].append(_drawn(f"Words a sub-text: {name}", 60 + 22 * rows, ranges, entries, rows))
        for label in ("MTLD", "% duplicates"):
            title = f"{'Richness' if label == 'MTLD' else 'Repetition'}: {name}"
            found["richness"].append(_drawn(title, 60 + 22 * rows, dimension_bars, entries, label, rows))
    found["words"] = [
        _drawn(entry["name"], 440, word_bars, entry, colour) for entry, (_, colour) in zip(measured, keys)
    ]
    shown = projected["maps"] if projected else {}
    found["maps"] = [_map(projected or {}, name) for name in MAPS if name in shown]
    found["clouds"] = []
    for corpus in corpora if clouds else ():
        for (kind, _, dimension), texts in corpus.rows.groupby(["instruction_set", "slot", "dimension"]):
            title = " ".join(one for one in (corpus.name, str(kind), str(dimension)) if one)
            if counts := word_counts(texts)[0]:
                seen = cloud(counts, *_CLOUD, seed + len(found["clouds"]), least=14)
                words = ", ".join(sorted(counts, key=lambda word: (-counts[word], word))[:_SAID])
                picture = picture_uri(Image.fromarray(seen), _CLOUD[0], 80)
                found["clouds"].append(PagePanel(title, None, picture, f"Word cloud; most frequent: {words}"))
    return found


def _drawn(title: str, height: float, fill: Any, *values: Any, keys: Sequence[tuple[str, str]] = ()) -> PagePanel:
    figure, axes = panel(height)
    fill(axes, *values)
    axes.set_title("")
    # Names of sources are as long as they like: they stand in the page, not in the chart.
    if axes.get_legend() is not None:
        axes.get_legend().remove()
    axes.set_yticks(axes.get_yticks(), [shortened(one.get_text(), 150) for one in axes.get_yticklabels()])
    return PagePanel(title, svg(figure, title), keys=keys)


def _map(projected: dict[str, Any], name: str) -> PagePanel:
    """Points as a picture without a ground of its own, so that it stands on light and dark pages."""
    figure = Figure((3.6, 3.2), 200, layout="constrained")
    axes = figure.subplots()
    spread_points(axes, projected, name)
    figure.patch.set_visible(False)
    axes.patch.set_visible(False)
    axes.set(xticks=[], yticks=[])
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = picture_uri(Image.fromarray(np.asarray(canvas.buffer_rgba())), 720, 80)
    colours = map_colours(projected, name)
    return PagePanel(
        MAPS[name], None, picture, f"Map: {MAPS[name]}", [(label or "all", c) for label, c in colours.items()]
    )
