"""The page of `knowlip scio report`: one file, nothing loaded from elsewhere."""

# ruff: noqa: E501 (markup is easier to read in one line)

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from knowlip.pages.plain import COLOURS, MUTED, figure_html, figures, page_of, write_png
from knowlip.scio.history import number, word_changes

_SIDE = 192
_CSS = """
td,th{text-align:left}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}td small{color:var(--muted)}
.facts{display:flex;flex-wrap:wrap;gap:.6rem;padding:0;list-style:none}.facts li{background:var(--soft);border-radius:6px;padding:.5rem .9rem}
.facts b{display:block;font-size:1.25rem}code{font-size:.8rem;overflow-wrap:anywhere}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(300px,1fr));gap:1rem}
.card{background:var(--soft);border-radius:6px;padding:.7rem;display:grid;grid-template-columns:96px 1fr;gap:.7rem;font-size:.87rem}
.card img{width:96px;border-radius:4px}.card p{margin:.15rem 0}
del{color:#b5485d}ins{color:#3d8f6a;text-decoration:none;font-weight:600}
"""
_HEADS = {
    "rewritten": ("Written anew", "The model's sentence took the place of the old one."),
    "rejected": ("Not replaced", "The model's sentence was not clearly better: the old one stays, and stays out of the infilling targets."),
    "screened": ("Called noise", "Not yet written anew."),
}  # fmt: skip
_WHAT = {"screening": "called noise", "reconstruction": "accepted"}


def page(numbers: dict[str, Any], images: Mapping[str, np.ndarray], title: str) -> str:
    """The page as HTML.

    Args:
        numbers: of `knowlip.scio.report.scio_report`.
        images: pixels (H, W) uint8 of the tiles among the examples.
        title: name of the data set.
    """
    passes = [entry for entry in numbers["revisions"] if entry["kind"] != "annotation"]
    facts = {"tiles": f"{numbers['tiles']:,}", "sub-texts": f"{numbers['sub_texts']:,}"}
    for entry in passes:
        facts[f"{_WHAT[entry['kind']]}, revision {entry['revision']}"] = f"{entry['share']:.1%}"
    items = "".join(f"<li><b>{value}</b>{escape(name)}</li>" for name, value in facts.items())
    body = [
        f'<h1>SCIO on {escape(title)}</h1><p class="muted">What screening called noise and what reconstruction wrote anew. '
        f"Fingerprint <code>{numbers['fingerprint']}</code></p>",
        f'<ul class="facts">{items}</ul>',
        _chart(passes, title),
        *(_section(entry) for entry in passes),
        *_examples(numbers["examples"], images),
    ]
    return page_of(f"SCIO on {title}", _CSS, "".join(body))


def _chart(passes: Sequence[dict[str, Any]], title: str) -> str:
    """Shares of every dimension with their intervals: noise on the left, acceptance on the right."""
    kinds = [kind for kind in _WHAT if any(entry["kind"] == kind for entry in passes)]
    with figures() as figure_of, TemporaryDirectory() as folder:
        rows = max(len({_name(row) for entry in passes for row in entry["by_dimension"]}), 4)
        figure = figure_of(figsize=(8.4, 0.6 + 0.24 * rows), layout="constrained")
        for axes, kind in zip(np.atleast_1d(figure.subplots(1, len(kinds))), kinds):
            entries = [entry for entry in passes if entry["kind"] == kind]
            names = list(dict.fromkeys(_name(row) for entry in entries for row in entry["by_dimension"]))
            for number, entry in enumerate(entries):
                shift = 0.22 * (number - (len(entries) - 1) / 2)
                for row in entry["by_dimension"]:
                    y = names.index(_name(row)) + shift
                    colour = COLOURS[number % len(COLOURS)]
                    axes.plot([100 * row["low"], 100 * row["high"]], [y, y], color=colour, alpha=0.5, linewidth=1.5)
                    axes.plot([100 * row["share"]], [y], "o", color=colour, markersize=4)
                axes.plot([], [], "o", color=COLOURS[number % len(COLOURS)], label=f"revision {entry['revision']}")
            axes.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.4, -0.6), xlabel="%")
            axes.set_title("Called noise" if kind == "screening" else "Accepted of what was written anew")
            axes.set_xlim(left=0)
            axes.grid(axis="x", color=MUTED, alpha=0.15)
            if len(entries) > 1:
                axes.legend(loc="lower right", fontsize=7)
        path = Path(folder) / "shares.png"
        write_png(figure, path)
        note = "Share of the sub-texts of a dimension with the 95 % interval of Wilson's score; sub-texts of neighbouring tiles resemble each other, so the true intervals are wider."
        return figure_html(path, "By dimension", note, title)


def _section(entry: dict[str, Any]) -> str:
    """The numbers of one revision as tables."""
    annotators = list(dict.fromkeys(row["annotator"] for row in entry["by"]))
    cells = {(_name(row), row["annotator"]): row for row in entry["by"]}
    head = "".join(f'<th class="n">{escape(name)}</th>' for name in (annotators if len(annotators) > 1 else []))
    rows = []
    for row in entry["by_dimension"]:
        own = "".join(_cell(cells.get((_name(row), name))) for name in (annotators if len(annotators) > 1 else []))
        rows.append(f"<tr><td>{escape(_name(row))}</td>{own}{_cell(row)}</tr>")
    if len(annotators) > 1:
        total = {row["annotator"]: row for row in entry["by_annotator"]}
        rows.append(f"<tr><th>all</th>{''.join(_cell(total[name]) for name in annotators)}{_cell(entry)}</tr>")
    else:
        rows.append(f"<tr><th>all, written by {escape(annotators[0])}</th>{_cell(entry)}</tr>")
    title = f"Revision {entry['revision']}: {entry['kind']}"
    parts = [
        f'<h2>{title}</h2><p class="muted">{escape(entry["run"])}; {entry["hits"]:,} of {entry["count"]:,} {_WHAT[entry["kind"]]}</p>',
        f'<table><thead><tr><th>dimension</th>{head}<th class="n">{_WHAT[entry["kind"]]}</th></tr></thead><tbody>{"".join(rows)}</tbody></table>',
    ]
    if entry["reasons"]:
        parts.append(_table("Why not", ((name, f"{count:,}") for name, count in entry["reasons"].items())))
    if entry["figures"]:
        parts.append(_table("Figures of the pass, planted errors among them", _flat(entry["figures"])))
    return "".join(parts)


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return '<td class="n"></td>'
    return f'<td class="n">{row["share"]:.1%} <small>{row["hits"]:,} of {row["count"]:,}</small></td>'


def _table(title: str, rows: Iterator[tuple[str, str]]) -> str:
    body = "".join(f'<tr><td>{escape(name)}</td><td class="n">{escape(value)}</td></tr>' for name, value in rows)
    return f"<details><summary>{escape(title)}</summary><table><tbody>{body}</tbody></table></details>"


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Figures as rows; names of groups go before the names in them."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}, {key}" if name else str(key))
    elif isinstance(value, list | tuple):
        yield name, ", ".join(text for item in value for _, text in _flat(item))
    else:
        yield name, f"{value:.4g}" if isinstance(value, float) else str(value)


def _examples(examples: Sequence[dict[str, Any]], images: Mapping[str, np.ndarray]) -> Iterator[str]:
    for decision, (head, note) in _HEADS.items():
        cards = [_card(example, images[example["tile_id"]]) for example in examples if example["decision"] == decision]
        if cards:
            yield f'<h2>{head}</h2><p class="muted">{note} Drawn by lot.</p><div class="cards">{"".join(cards)}</div>'


def _card(example: dict[str, Any], image: np.ndarray) -> str:
    marks = {"same": "{}", "gone": "<del>{}</del>", "new": "<ins>{}</ins>"}
    words = " ".join(marks[kind].format(escape(text)) for kind, text in word_changes(example["was"], example["text"]))
    figures_ = f"dITC {number(example['delta_itc'])}, dITM {number(example['delta_itm'])}; {escape(example['reason'])}"
    return (
        f'<div class="card"><img src="{_uri(image)}" alt="tile {escape(example["tile_id"])}"><div>'
        f"<p><b>{escape(example['dimension'])}</b>: {words}</p><p><small>{figures_}</small></p>"
        f"<p><small><code>{escape(example['tile_id'])}</code></small></p></div></div>"
    )


def _uri(image: np.ndarray) -> str:
    picture = Image.fromarray(image)
    picture.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def _name(row: Mapping[str, Any]) -> str:
    return f"{row['instruction_set']}: {row['dimension']}"
