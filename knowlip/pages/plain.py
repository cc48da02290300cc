"""How the project's pages and pictures look: colours, style sheet, and figures without a display."""

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

COLOURS: Final = ("#2f6690", "#e08e45", "#5b9279", "#b5485d", "#7d6b9e", "#8d8741", "#4aa3a2", "#a0725b")
INK, MUTED, GRID = "#1f2933", "#6b7785", "#e3e7eb"
FigureOf = Callable[..., Any]
"""Makes a matplotlib figure from the figure's own options."""

CSS: Final = """
:root{color-scheme:light dark;--ink:#1f2933;--muted:#6b7785;--line:#e3e7eb;--back:#fff;--soft:#f6f8fa}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ec;--muted:#9aa5b1;--line:#323f4b;--back:#14181c;--soft:#1d2329}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back);max-width:1080px;margin:2rem auto;
padding:0 1rem}h1{font-size:1.6rem;margin-bottom:.2rem}h2{font-size:1.15rem;margin-top:2.2rem}
p.muted,figcaption{color:var(--muted)}figure{margin:1rem 0}figure img{width:100%;background:#fff;border-radius:6px}
table{border-collapse:collapse;width:100%;font-size:.87rem}
caption{text-align:left;font-weight:600;padding:.4rem 0 .3rem}
td,th{border-bottom:1px solid var(--line);padding:.2rem .4rem}
"""
"""Of every page; a page adds its own."""


@contextmanager
def figures() -> Iterator[FigureOf]:
    """Makes figures in the project's style, without a display and without pyplot's global state."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # A context of its own: pyplot's settings are global, and a notebook's must stay what they are.
    settings: dict[Any, Any] = {
        "font.family": "DejaVu Sans",
        "font.size": 8.5,
        "axes.titlesize": 9.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.edgecolor": GRID,
        "axes.labelcolor": MUTED,
        "axes.titlecolor": INK,
        "text.color": INK,
        "xtick.color": MUTED,
        "ytick.color": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.dpi": 130,
        "legend.frameon": False,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
    }

    def figure_of(**options: Any) -> Any:
        made = Figure(**options)
        FigureCanvasAgg(made)
        return made

    with matplotlib.rc_context(settings):
        yield figure_of


def write_png(figure: Any, path: Path) -> None:
    """Draw a figure into a file of at most 256 colours, and free it."""
    figure.canvas.draw()
    pixels = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3])
    pixels.quantize(256, dither=Image.Dither.NONE).save(path, "PNG", optimize=True)
    figure.clear()


def page_of(title: str, css: str, body: str) -> str:
    """A self-contained HTML page: `css` on top of `CSS`, `body` as it is."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{CSS}{css}</style></head><body>{body}</body></html>\n"
    )


def figure_html(path: Path, head: str, note: str, title: str) -> str:
    """A picture as part of a page, with its heading above and a note below."""
    uri = "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
    top = f"<h2>{head}</h2>" if head else ""
    return (
        f'{top}<figure><img src="{uri}" alt="{escape(head or path.stem)} of {escape(title)}">'
        f"<figcaption>{note}</figcaption></figure>"
    )
