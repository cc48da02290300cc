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
from knowlip.annotators.stats.drawings import TextDrawing, drawings
from knowlip.annotators.stats.figures import MAPS, map_colours, spread_points
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
    for section, parts in drawings(measured).items():
        found[section] = [_drawn(one, keys if one.by_source else ()) for one in parts]
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


def _drawn(one: TextDrawing, keys: Sequence[tuple[str, str]]) -> PagePanel:
    figure, axes = panel(one.height)
    one.fill(axes)
    # Names of sources are as long as they like: they stand in the page, not in the chart.
    if axes.get_legend() is not None:
        axes.get_legend().remove()
    axes.set_yticks(axes.get_yticks(), [shortened(label.get_text(), 150) for label in axes.get_yticklabels()])
    return PagePanel(one.title, svg(figure, one.title), keys=keys)


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
