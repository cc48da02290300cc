"""The page of `knowlip scio report`: one file, nothing loaded from elsewhere."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from knowlip.base.vocabulary import Decision
from knowlip.pages.charts import COLOURS, SCREEN, panel, shortened, style, svg
from knowlip.pages.render import picture_uri, render
from knowlip.scio.history import number, word_changes

_SIDE = 192
_WHAT = {"screening": "called noise", "reconstruction": "accepted"}
_TITLES = {"screening": "Called noise", "reconstruction": "Accepted of what was written anew"}


def page(numbers: dict[str, Any], images: Mapping[str, np.ndarray], title: str) -> str:
    """The page as HTML.

    Args:
        numbers: of `knowlip.scio.report.scio_report`.
        images: pixels (H, W) uint8 of the tiles among the examples.
        title: name of the data set.
    """
    passes = [_pass(entry) for entry in numbers["revisions"] if entry["kind"] != "annotation"]
    facts = {"tiles": f"{numbers['tiles']:,}", "sub-texts": f"{numbers['sub_texts']:,}"}
    facts |= {f"{entry['what']}, revision {entry['revision']}": f"{entry['share']:.1%}" for entry in passes}
    examples: dict[str, list[dict[str, Any]]] = {str(decision): [] for decision in Decision}
    for example in numbers["examples"]:
        examples[example["decision"]].append(
            {
                **example,
                "picture": picture_uri(images[example["tile_id"]], _SIDE),
                "changes": word_changes(example["was"], example["text"]),
                "dITC": number(example["delta_itc"]),
                "dITM": number(example["delta_itm"]),
            }
        )
    by_kind = {kind: [entry for entry in passes if entry["kind"] == kind] for kind in _WHAT}
    return render(
        "scio.html",
        title=f"SCIO on {title}",
        numbers=numbers,
        facts=facts,
        charts=[_chart(kind, entries) for kind, entries in by_kind.items() if entries],
        passes=passes,
        examples=examples,
    )


def _pass(entry: dict[str, Any]) -> dict[str, Any]:
    """A revision with what its tables need: a column an annotator where there are several, all figures in rows."""
    annotators = list(dict.fromkeys(row["annotator"] for row in entry["by"]))
    return {
        **entry,
        "what": _WHAT[entry["kind"]],
        "annotators": annotators if len(annotators) > 1 else [],
        "cells": {(row["instruction_set"], row["dimension"], row["annotator"]): row for row in entry["by"]},
        "flat": list(_flat(entry["figures"])) if entry["figures"] else [],
    }


@style(**SCREEN)
def _chart(kind: str, passes: Sequence[dict[str, Any]]) -> Markup:
    """Share of every dimension with its interval, a dot a revision."""
    names = list(dict.fromkeys(_name(row) for entry in passes for row in entry["by_dimension"]))
    figure, axes = panel(70 + 21 * max(4, len(names)))
    for column, entry in enumerate(passes):
        shift = 0.22 * (column - (len(passes) - 1) / 2)
        rows, colour = entry["by_dimension"], COLOURS[column % len(COLOURS)]
        places = [names.index(_name(row)) + shift for row in rows]
        low, share, high = (100 * np.array([row[key] for row in rows]) for key in ("low", "share", "high"))
        axes.hlines(places, low, high, color=colour, linewidth=1.4)
        axes.plot(share, places, "o", color=colour, markersize=5.5, label=f"revision {entry['revision']}")
    axes.set(
        yticks=range(len(names)),
        yticklabels=[shortened(name, 190) for name in names],
        ylim=(len(names) - 0.4, -0.6),
        xlabel="%",
    )
    axes.set_title(_TITLES[kind])
    axes.set_xlim(left=0)
    axes.grid(axis="x")
    if len(passes) > 1:
        axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.2 * 4 / max(4, len(names))), ncols=2)
    return svg(figure, _TITLES[kind])


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Figures as rows; names of groups go before the names in them."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}, {key}" if name else str(key))
    elif isinstance(value, list | tuple):
        yield name, ", ".join(text for item in value for _, text in _flat(item))
    else:
        yield name, f"{value:.4g}" if isinstance(value, float) else str(value)


def _name(row: Mapping[str, Any]) -> str:
    return f"{row['instruction_set']}: {row['dimension']}"
