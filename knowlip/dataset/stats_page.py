"""One self-contained HTML page of a data set's numbers and pictures."""

# ruff: noqa: E501 (markup is easier to read in one line)

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from knowlip.pages.plain import figure_html, page_of

_TITLES = {
    "map.png": (
        "Places",
        "A dot is a place and sensor, larger where there are more tiles; dots of one place stand side by side. Coastline: Natural Earth.",
    ),
    "distribution.png": ("Distributions", "Accepted tiles; the last panel counts the rejected ones."),
    "targets.png": ("Targets", "Objects of the large tiles; smaller scales show the same ones again."),
    "examples.png": ("Examples", "For each sensor a family of tiles with much to see."),
}
_NAMES = {
    "sensor": "Sensor", "band": "Band", "polarisation": "Polarisation", "resolution_m": "Native resolution in m",
    "country": "Country", "city": "Nearest city", "scene_type": "Scene type", "scale": "Scale", "split": "Split",
}  # fmt: skip
_CSS = """
.facts{display:flex;flex-wrap:wrap;gap:.6rem;padding:0;list-style:none}.facts li{background:var(--soft);border-radius:6px;padding:.5rem .9rem}
.facts b{display:block;font-size:1.25rem}.tables{display:grid;grid-template-columns:repeat(auto-fill,minmax(230px,1fr));gap:1.2rem;align-items:start}
td,th{text-align:left}td:last-child,th:last-child{text-align:right;font-variant-numeric:tabular-nums}
code{font-size:.8rem;overflow-wrap:anywhere}
"""
_MOST_ROWS = 25


def page(numbers: dict[str, Any], pictures: Sequence[Path], title: str) -> str:
    """The page as HTML; pictures are part of it."""
    facts = {
        "tiles": f"{numbers['tiles']:,}", "accepted": f"{numbers['accepted']:,}", "scenes": f"{numbers['scenes']:,}",
        "objects": f"{numbers['targets']['objects']:,}", "text revisions": str(len(numbers["texts"]["revisions"])),
    }  # fmt: skip
    if numbers["area_km2"]:
        facts["km²"] = f"{numbers['area_km2']:,.1f}"
    items = "".join(f"<li><b>{value}</b>{escape(name)}</li>" for name, value in facts.items())
    figures = [figure_html(path, *_TITLES[path.name], title) for path in pictures if path.name in _TITLES]
    tables = [_table(_NAMES[name], counts) for name, counts in numbers["by"].items() if counts]
    if numbers["rejected"]:
        tables.append(_table("Rejected, by reason", numbers["rejected"]))
    if numbers["mask_shares"]:
        tables.append(_table("Class of masks", {n: f"{100 * v:.1f} %" for n, v in numbers["mask_shares"].items()}))
    for category, entry in numbers["targets"]["categories"].items():
        rows: dict[str, Any] = {"count": f"{entry['count']:,}"}
        for name, key in (("length", "length_m"), ("width", "width_m")):
            if entry[key]["count"]:
                rows[f"{name}, median"] = f"{entry[key]['median']:g} m"
                rows[f"{name}, 5 to 95 %"] = f"{entry[key]['low']:g} to {entry[key]['high']:g} m"
        tables.append(_table(f"Target: {category}", {**rows, **entry["types"]}))
    return page_of(
        title, _CSS,
        f'<h1>{escape(title)}</h1><p class="muted">What the data set holds. Fingerprint <code>{numbers["fingerprint"]}</code></p>'
        f'<ul class="facts">{items}</ul>{"".join(figures)}<h2>Numbers</h2><div class="tables">{"".join(tables)}</div>',
    )  # fmt: skip


def _table(title: str, counts: Mapping[str, Any]) -> str:
    rows = [(str(name), f"{value:,}" if isinstance(value, int) else str(value)) for name, value in counts.items()]
    more = f"<tr><td>{len(rows) - _MOST_ROWS} more</td><td></td></tr>" if len(rows) > _MOST_ROWS else ""
    body = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in rows[:_MOST_ROWS])
    return f"<table><caption>{escape(title)}</caption><tbody>{body}{more}</tbody></table>"
