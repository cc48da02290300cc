"""Charts as inline SVG. Colours come from the page's style sheet, so every chart follows light and dark."""

# ruff: noqa: E501 (markup is easier to read in one line)

import json
import math
from collections.abc import Sequence
from html import escape
from typing import Any

_MOST_POINTS = 400


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers (1, 2, 2.5 or 5 times a power of ten) that cover `low` to `high` inside."""
    span = high - low
    if span <= 0 or not math.isfinite(span):
        return [low]
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(f * power for f in (1, 2, 2.5, 5, 10) if f * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def number(value: float) -> str:
    """A number for an axis: "0.05", "1,200", "0.00025"."""
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    if 0 < size < 0.001:
        return f"{value:.2g}"
    return f"{value:.4g}"


def thin(points: Sequence[tuple[float, float]], most: int = _MOST_POINTS) -> list[tuple[float, float]]:
    """At most `most` points: means of equal runs of neighbours."""
    if len(points) <= most:
        return list(points)
    size = math.ceil(len(points) / most)
    runs = [points[i : i + size] for i in range(0, len(points), size)]
    return [(sum(x for x, _ in run) / len(run), sum(y for _, y in run) / len(run)) for run in runs]


def smooth(values: Sequence[float], window: int) -> list[float]:
    """Running mean over `window` neighbours, narrower at the ends."""
    half, result = window // 2, []
    for i in range(len(values)):
        part = values[max(0, i - half) : i + half + 1]
        result.append(sum(part) / len(part))
    return result


def line_chart(
    title: str,
    points: Sequence[tuple[float, float]],
    bands: Sequence[tuple[float, float, str]] = (),
    reference: tuple[float, str] | None = None,
    log: bool = False,
    note: str = "",
) -> str:
    """One curve over training steps: faint as logged, strong as running mean.

    Args:
        title: of the chart.
        points: (step, value), any length; not finite values are left out.
        bands: (first step, last step, label) of the stages, shaded in turn.
        reference: a horizontal line with its label.
        log: logarithmic value axis (values must be positive).
        note: small text beside the title.
    """
    points = thin([(x, y) for x, y in points if math.isfinite(y) and (y > 0 or not log)])
    if len(points) < 2:
        return f'<figure class="chart"><figcaption>{escape(title)}</figcaption><p class="muted">Too few points.</p></figure>'
    width, height, left, right, top, bottom = 360, 200, 54, 10, 12, 26
    scale = math.log10 if log else float
    xs, ys = [p[0] for p in points], [scale(p[1]) for p in points]
    means = smooth(ys, max(1, len(ys) // 24))
    # The first few values of a loss are far off; the axis follows the running mean and what matters beside it.
    shown = sorted(ys)[: max(2, math.ceil(len(ys) * 0.99))]
    extra = [scale(reference[0])] if reference else []
    low, high = min([*shown, *means, *extra]), max([*means, *shown, *extra])
    pad = (high - low) * 0.07 or abs(high) * 0.05 or 1.0
    low, high = low - pad, high + pad
    x0, x1 = xs[0], xs[-1]

    def px(x: float) -> float:
        return left + (x - x0) / (x1 - x0 or 1) * (width - left - right)

    def py(y: float) -> float:
        return height - bottom - (min(high, max(low, y)) - low) / (high - low) * (height - top - bottom)

    parts = []
    for i, (start, end, label) in enumerate(bands):
        a, b = px(max(start, x0)), px(min(end, x1))
        parts.append(
            f'<rect class="band{i % 2}" x="{a:.1f}" y="{top}" width="{max(0, b - a):.1f}" height="{height - top - bottom}"/>'
        )
        if b - a > 30:
            parts.append(
                f'<text class="bandlabel" x="{(a + b) / 2:.1f}" y="{height - bottom - 5}" text-anchor="middle">{escape(label)}</text>'
            )
    for y in ticks(low, high, 5):
        if not low <= y <= high:
            continue
        value = 10**y if log else y
        parts.append(f'<line class="grid" x1="{left}" x2="{width - right}" y1="{py(y):.1f}" y2="{py(y):.1f}"/>')
        parts.append(
            f'<text class="tick" x="{left - 5}" y="{py(y) + 3.5:.1f}" text-anchor="end">{number(value)}</text>'
        )
    for x in ticks(x0, x1):
        parts.append(f'<text class="tick" x="{px(x):.1f}" y="{height - 10}" text-anchor="middle">{number(x)}</text>')
    if reference:
        y = py(scale(reference[0]))
        parts.append(f'<line class="reference" x1="{left}" x2="{width - right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(
            f'<text class="referencelabel" x="{width - right - 2}" y="{y - 4:.1f}" text-anchor="end">{escape(reference[1])}</text>'
        )
    raw = " ".join(f"{px(x):.1f},{py(y):.1f}" for x, y in zip(xs, ys))
    mean = " ".join(f"{px(x):.1f},{py(y):.1f}" for x, y in zip(xs, means))
    parts.append(f'<polyline class="raw" points="{raw}"/><polyline class="mean" points="{mean}"/>')
    parts.append(
        '<line class="cursor" y1="12" y2="174" x1="-9" x2="-9"/><circle class="cursor" r="3" cx="-9" cy="-9"/>'
    )
    data = json.dumps([[round(px(x), 1), round(py(m), 1), x, 10**m if log else m] for x, m in zip(xs, means)])
    last = 10 ** means[-1] if log else means[-1]
    return (
        f'<figure class="chart" data-points="{escape(data)}"><figcaption>{escape(title)} '
        f'<output class="muted" data-last="last {number(last)}">last {number(last)}</output>'
        f"{f'<small>{escape(note)}</small>' if note else ''}</figcaption>"
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)} over training steps, ends at {number(last)}">'
        f"{''.join(parts)}</svg></figure>"
    )


def dot_chart(rows: Sequence[dict[str, Any]], label: str) -> str:
    """Values with their 95 % intervals beside a reference, one row each.

    Args:
        rows: `{"name", "value", "ci", "reference", "second"}` as shares 0 to 1; ci, reference and second may be None.
            The reference is a bar across the row, `second` a thinner, dashed one.
        label: what a screen reader says of the chart.
    """
    if not rows:
        return ""
    width, row_height, left, right, top = 560, 30, 168, 56, 8
    height = top + row_height * len(rows) + 24
    reach = max(
        [v for row in rows for v in (row["value"], row.get("reference"), (row.get("ci") or [0, 0])[1]) if v is not None]
    )
    high = min(1.0, max(0.05, reach * 1.08))

    def px(x: float) -> float:
        return left + min(high, x) / high * (width - left - right)

    parts = []
    for x in ticks(0, high, 5):
        parts.append(f'<line class="grid" x1="{px(x):.1f}" x2="{px(x):.1f}" y1="{top}" y2="{height - 22}"/>')
        parts.append(f'<text class="tick" x="{px(x):.1f}" y="{height - 8}" text-anchor="middle">{100 * x:.4g} %</text>')
    for i, row in enumerate(rows):
        y = top + row_height * (i + 0.5)
        parts.append(
            f'<text class="rowname" x="{left - 10}" y="{y + 4:.1f}" text-anchor="end">{escape(row["name"])}</text>'
        )
        if row["value"] is None:
            parts.append(f'<text class="tick" x="{left + 4}" y="{y + 4:.1f}">not measured</text>')
            continue
        reference = row.get("reference")
        better = reference is None or row["value"] > reference
        tone = "better" if better else "worse"
        parts.append(
            f'<line class="stem {tone}" x1="{px(reference or 0):.1f}" x2="{px(row["value"]):.1f}" y1="{y}" y2="{y}"/>'
        )
        if row.get("ci"):
            a, b = row["ci"]
            parts.append(f'<line class="whisker {tone}" x1="{px(a):.1f}" x2="{px(b):.1f}" y1="{y}" y2="{y}"/>')
        if row.get("second") is not None:
            x = px(row["second"])
            parts.append(f'<line class="second" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 9}" y2="{y + 9}"/>')
        if reference is not None:
            x = px(reference)
            parts.append(f'<line class="baseline" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 9}" y2="{y + 9}"/>')
        parts.append(f'<circle class="dot {tone}" cx="{px(row["value"]):.1f}" cy="{y}" r="5"/>')
        parts.append(f'<text class="value" x="{width - right + 8}" y="{y + 4:.1f}">{100 * row["value"]:.1f} %</text>')
    return f'<svg class="wide" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'


def change_chart(rows: Sequence[tuple[str, float | None, float | None, int]], label: str) -> str:
    """Before -> after on a common scale, one row each: (name, before, after, n). Rows without both values are left out."""
    kept = [(name, a, b, n) for name, a, b, n in rows if a is not None and b is not None]
    if not kept:
        return '<p class="muted">Nothing can be verified.</p>'
    width, row_height, left, right, top = 560, 24, 168, 112, 8
    height = top + row_height * len(kept) + 24

    def px(x: float) -> float:
        return left + x * (width - left - right)

    parts = []
    for x in (0, 0.25, 0.5, 0.75, 1.0):
        parts.append(f'<line class="grid" x1="{px(x):.1f}" x2="{px(x):.1f}" y1="{top}" y2="{height - 22}"/>')
        parts.append(f'<text class="tick" x="{px(x):.1f}" y="{height - 8}" text-anchor="middle">{100 * x:.0f} %</text>')
    for i, (name, before, after, count) in enumerate(kept):
        y = top + row_height * (i + 0.5)
        tone = "same" if abs(after - before) < 0.0005 else "better" if after > before else "worse"
        parts.append(f'<text class="rowname" x="{left - 10}" y="{y + 4:.1f}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<line class="stem {tone}" x1="{px(before):.1f}" x2="{px(after):.1f}" y1="{y}" y2="{y}"/>')
        parts.append(
            f'<circle class="before" cx="{px(before):.1f}" cy="{y}" r="4"><title>before {100 * before:.1f} %</title></circle>'
        )
        parts.append(
            f'<circle class="dot {tone}" cx="{px(after):.1f}" cy="{y}" r="4.5"><title>after {100 * after:.1f} %</title></circle>'
        )
        sign = "±0.0" if tone == "same" else f"{100 * (after - before):+.1f}".replace("-", "−")
        parts.append(f'<text class="value {tone}" x="{width - right + 10}" y="{y + 4:.1f}">{sign}</text>')
        parts.append(f'<text class="tick" x="{width - 2}" y="{y + 4:.1f}" text-anchor="end">n {count}</text>')
    return f'<svg class="wide" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
