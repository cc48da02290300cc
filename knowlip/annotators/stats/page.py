"""One self-contained HTML page about texts."""

# ruff: noqa: E501 (markup is easier to read in one line)

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from knowlip.annotators.stats.published import PUBLISHED
from knowlip.pages.plain import figure_html, page_of

_TITLES = {
    "lengths.png": ("Lengths", "Above: captions. Below: sub-texts; a bar is the range from 5 to 95 %, a dot the mean."),
    "richness.png": (
        "Richness and repetition",
        "MTLD of the sub-texts of a dimension one after another, and the share of sub-texts that occur earlier in the same dimension.",
    ),
    "words.png": (
        "Frequent words",
        "Stop words, numbers, and words that every text of a dimension begins with are left out.",
    ),
    "maps.png": ("Maps", "Near points are like each other; distances between far points mean nothing."),
}
_CSS = """
.wide{overflow-x:auto}
td,th{text-align:right;font-variant-numeric:tabular-nums;vertical-align:top}
td{white-space:nowrap}td.text,th.text{text-align:left;white-space:normal}details{margin:.8rem 0}summary{cursor:pointer;font-weight:600}
"""


def page(numbers: dict[str, Any], pictures: Sequence[Path], title: str) -> str:
    """The page as HTML; pictures are part of it."""
    corpora, settings = numbers["corpora"], numbers["settings"]
    figures = {path.name: figure_html(path, *_TITLES.get(path.name, ("", "")), title) for path in pictures}
    clouds = "".join(html for name, html in figures.items() if name.startswith("clouds-"))
    maps = figures.get("maps.png", "") + _maps_note(numbers.get("projection"))
    return page_of(
        f"{title}: texts", _CSS,
        f"<h1>{escape(title)}: texts</h1>"
        f'<p class="muted">What the texts are like. {_sources(corpora)}</p>'
        f"{_main(corpora)}{figures.get('lengths.png', '')}{figures.get('richness.png', '')}{_mtld_note()}"
        f"{figures.get('words.png', '')}{'<h2>Word clouds</h2>' * bool(clouds)}{clouds}{maps}"
        f"<h2>By dimension</h2>{''.join(_dimensions(entry) for entry in corpora)}"
        f"<h2>By annotator, instruction set and scale</h2>{''.join(_by_group(entry) for entry in corpora)}"
        f"{_how(settings)}",
    )  # fmt: skip


def _sources(corpora: list[dict[str, Any]]) -> str:
    parts = [
        f"{escape(entry['name'])}: {entry['captions']:,} captions"
        + (f", text revision {entry['revision']}" if entry["revision"] >= 0 else "")
        for entry in corpora
    ]
    return "; ".join(parts) + "."


def _table(caption: str, head: Sequence[str], rows: Sequence[Sequence[Any]], text_columns: Sequence[int] = (0,)) -> str:
    def cells(values: Sequence[Any], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=text' if column in text_columns else ''}>{escape(str(value))}</{tag}>"
            for column, value in enumerate(values)
        )

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return (
        f'<div class="wide"><table><caption>{escape(caption)}</caption><tr>{cells(head, "th")}</tr>{body}</table></div>'
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _length(value: dict[str, Any]) -> str:
    return f"{value['mean']:.1f} ({value['min']} to {value['max']})"


def _main(corpora: list[dict[str, Any]]) -> str:
    rows: dict[str, list[str]] = {}

    def put(name: str, value: str) -> None:
        rows.setdefault(name, []).append(value)

    for entry in corpora:
        hedging, duplicates, cut = entry["hedging"], entry["duplicates"], entry.get("truncation")
        put("captions", f"{entry['captions']:,}")
        put("sub-texts", f"{entry['sub_texts']:,}")
        put("words a caption, mean (range)", _length(entry["length"]["words"]))
        put("characters a caption", _length(entry["length"]["characters"]))
        if cut:
            put("tokens a caption, headings and frame included", _length(cut["captions"]))
            put(f"captions cut at {cut['token_length']} tokens", _percent(cut["truncated"]))
            put("tokens lost by the cut", _percent(cut["tokens_lost"]))
        put("vocabulary (different words)", f"{entry['vocabulary']:,}")
        put("MTLD, captions as they stand", f"{entry['mtld']:.1f}")
        put("MTLD, captions shuffled", f"{entry['mtld_shuffled']:.1f}")
        put("captions that hedge", _percent(hedging["captions"]))
        put("sub-texts that hedge", _percent(hedging["sub_texts"]))
        top = list(hedging["captions_with"].items())[:5]
        put("captions with", ", ".join(f"{word} {number:,}" for word, number in top) or "none")
        put(
            "duplicate captions, exact / normalised",
            f"{_percent(duplicates['captions'])} / {_percent(duplicates['captions_normalised'])}",
        )
        put(
            "duplicate sub-texts, exact / normalised",
            f"{_percent(duplicates['sub_texts'])} / {_percent(duplicates['sub_texts_normalised'])}",
        )
    return _table(
        "In all", ["", *(entry["name"] for entry in corpora)], [[name, *values] for name, values in rows.items()]
    )


def _mtld_note() -> str:
    return (
        "<p>MTLD is the mean length of a run of words in which more than 72 % differ; it depends on the order of the captions, so it is given "
        "as they stand and shuffled (mean of three orders). Below are published captions that were measured by this program. Values that others have published "
        "are not cited: other ways to split words, or another order, give other values. For a fair comparison give the caption files themselves with "
        "<code>--compare NAME=FILE</code> (those of RSICD, RSITMD, UCM, Sydney and NWPU captions and tables with a column of captions are read as they are).</p>"
        + _table(
            "Published captions, measured in the same way",
            ["", "Captions", "Words a caption", "Vocabulary", "MTLD", "shuffled"],
            [
                [
                    row["name"],
                    f"{row['captions']:,}",
                    f"{row['words']:.1f}",
                    f"{row['vocabulary']:,}",
                    f"{row['mtld']:.1f}",
                    f"{row['mtld_shuffled']:.1f}",
                ]
                for row in PUBLISHED
            ],
        )
    )


def _maps_note(facts: dict[str, Any] | None) -> str:
    if not facts:
        return ""
    parts = []
    if "tiles" in facts:
        parts.append(
            f"{facts['method']}. {facts['tiles']:,} tiles; images by {escape(facts['image_features'])}; texts by {escape(facts['text_features'])}."
        )
        parts.append(
            f"Different texts: {facts['different_texts']:,}"
            + (f", different templates: {facts['different_templates']:,}." if "different_templates" in facts else ".")
        )
    if "text_neighbours_shared" in facts:
        shared = f"Of a tile's {facts['neighbours']} nearest neighbours by image, {_percent(facts['text_neighbours_shared'])} are among the nearest by text"
        if "template_neighbours_shared" in facts:
            shared += f", {_percent(facts['template_neighbours_shared'])} by template"
        parts.append(
            f"{shared}; {_percent(facts['neighbours_by_chance'])} by chance (all before {facts['method']}; ties fall by lot)."
        )
    return f'<p class="muted">{" ".join([*parts, *(escape(text) for text in facts["left_out"])])}</p>'


def _dimensions(entry: dict[str, Any]) -> str:
    cut = entry.get("truncation", {}).get("cut")
    rows = []
    for part in entry["dimensions"]:
        frequency = part["frequency"]
        row = [
            part["instruction_set"], part["dimension"], f"{part['sub_texts']:,}", _length(part["length"]["words"]),
            f"{part['length']['tokens']['mean']:.1f}" if "tokens" in part["length"] else "–", f"{part['mtld']:.1f}",
            _percent(part["hedging"]["sub_texts"]), _percent(part["duplicates"]["sub_texts"]),
            _percent(part["duplicates"]["sub_texts_normalised"]), _percent(cut[part["instruction_set"]][part["dimension"]]) if cut else "–",
        ]  # fmt: skip
        rows.append([*row, ", ".join(list(frequency["words"])[:8]), frequency["lead_in"]])
    head = [
        "Set",
        "Dimension",
        "Texts",
        "Words",
        "Tokens",
        "MTLD",
        "Hedged",
        "Duplicates",
        "normalised",
        "Cut",
        "Frequent words",
        "Nearly all begin with",
    ]
    return _table(entry["name"], head, rows, (0, 1, 10, 11))


def _by_group(entry: dict[str, Any]) -> str:
    rows = [
        [
            column.replace("_", " "), value or "–", f"{part['captions']:,}", _length(part["length"]["words"]), f"{part['vocabulary']:,}",
            f"{part['mtld']:.1f}", _percent(part["hedging"]["captions"]), _percent(part["duplicates"]["captions"]),
            _percent(part["duplicates"]["sub_texts"]),
        ]
        for column, groups in entry["groups"].items()
        for value, part in groups.items()
    ]  # fmt: skip
    head = ["", "", "Captions", "Words", "Vocabulary", "MTLD", "Hedged", "Duplicate captions", "Duplicate sub-texts"]
    return _table(entry["name"], head, rows, (0, 1)) if rows else ""


def _how(settings: dict[str, Any]) -> str:
    return (
        "<h2>How it was counted</h2><p>Lengths in words count what stands between spaces, without the headings of the dimensions. Frequencies, MTLD, "
        "hedges and normalised duplicates take words in lower case, of letters and digits, joined by hyphens and apostrophes. A caption is a duplicate where "
        "all its sub-texts stand in an earlier one; normalised, case, spaces and punctuation do not count. "
        f"MTLD: threshold {settings['mtld_threshold']}, forwards and backwards, as <code>lexicalrichness</code> 0.5.1 with a list of words. "
        f"Tokenizer: {escape(settings['tokenizer'] or 'none given, so no token counts')}. Seed {settings['seed']}.</p>"
        f"<details><summary>Hedges ({len(settings['hedges'])})</summary><p>{', '.join(settings['hedges'])}</p></details>"
        f"<details><summary>Stop words ({len(settings['stop_words'])})</summary><p>{', '.join(settings['stop_words'])}</p></details>"
    )
