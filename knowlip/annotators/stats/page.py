"""One self-contained HTML page about texts."""

from collections.abc import Mapping, Sequence
from typing import Any

from knowlip.annotators.stats.layers import LAYER_NAMES
from knowlip.annotators.stats.panels import PagePanel
from knowlip.annotators.stats.published import PUBLISHED
from knowlip.pages.render import decimals, percent, render

Row = list[str]


def page(numbers: dict[str, Any], charts: Mapping[str, Sequence[PagePanel]], title: str) -> str:
    """The page as HTML; `charts` are those of :func:`.panels.panels`."""
    corpora = numbers["corpora"]
    return render(
        "text_stats.html",
        title=f"{title}: texts",
        source=title,
        corpora=corpora,
        charts=charts,
        total=_total(corpora),
        published=[_published(row) for row in PUBLISHED],
        facts=numbers.get("projection"),
        dimensions={entry["name"]: _dimensions(entry) for entry in corpora},
        groups={entry["name"]: _groups(entry) for entry in corpora},
        evidence={entry["name"]: _parts(entry, "by_evidence") for entry in corpora},
        layers={entry["name"]: _parts(entry, "by_layer") for entry in corpora},
        compared=[{**pair, "rows": _compared(pair)} for pair in numbers.get("compared", [])],
        settings=numbers["settings"],
    )


def _length(value: dict[str, Any]) -> str:
    return f"{value['mean']:.1f} ({value['min']} to {value['max']})"


def _total(corpora: list[dict[str, Any]]) -> list[Row]:
    """What is counted, and a column a source; a row that only some have is short."""
    # Built source by source and turned: a figure that some sources lack must not shift the columns of the others.
    rows: dict[str, Row] = {}
    for entry in corpora:
        hedging, duplicates, cut = entry["hedging"], entry["duplicates"], entry.get("truncation")
        top = list(hedging["captions_with"].items())[:5]
        values = {
            "captions": decimals(entry["captions"], 0),
            "sub-texts": decimals(entry["sub_texts"], 0),
            "words a caption, mean (range)": _length(entry["length"]["words"]),
            "characters a caption": _length(entry["length"]["characters"]),
        }
        if cut:
            values["tokens a caption, headings and frame included"] = _length(cut["captions"])
            values[f"captions cut at {cut['token_length']} tokens"] = percent(cut["truncated"])
            values["tokens lost by the cut"] = percent(cut["tokens_lost"])
        values |= {
            "vocabulary (different words)": decimals(entry["vocabulary"], 0),
            "MTLD, captions as they stand": decimals(entry["mtld"], 1),
            "MTLD, captions shuffled": decimals(entry["mtld_shuffled"], 1),
            "captions that hedge": percent(hedging["captions"]),
            "sub-texts that hedge": percent(hedging["sub_texts"]),
            "captions with": ", ".join(f"{word} {number:,}" for word, number in top) or "none",
        }
        for what in ("captions", "sub_texts"):
            shares = f"{percent(duplicates[what])} / {percent(duplicates[f'{what}_normalised'])}"
            values[f"duplicate {what.replace('_', '-')}, exact / normalised"] = shares
        for name, value in values.items():
            rows.setdefault(name, [name]).append(value)
    return list(rows.values())


def _published(row: dict[str, Any]) -> Row:
    counts = (decimals(row["captions"], 0), decimals(row["words"], 1), decimals(row["vocabulary"], 0))
    return [row["name"], *counts, decimals(row["mtld"], 1), decimals(row["mtld_shuffled"], 1)]


def _dimensions(entry: dict[str, Any]) -> list[Row]:
    cut = entry.get("truncation", {}).get("cut")
    rows = []
    for part in entry["dimensions"]:
        length, duplicates = part["length"], part["duplicates"]
        rows.append(
            [
                part["instruction_set"],
                part["dimension"],
                decimals(part["sub_texts"], 0),
                _length(length["words"]),
                decimals(length["tokens"]["mean"] if "tokens" in length else None, 1),
                decimals(part["mtld"], 1),
                percent(part["hedging"]["sub_texts"]),
                percent(duplicates["sub_texts"]),
                percent(duplicates["sub_texts_normalised"]),
                percent(cut[part["instruction_set"]][part["dimension"]] if cut else None),
                ", ".join(list(part["frequency"]["words"])[:8]),
                part["frequency"]["lead_in"],
            ]
        )
    return rows


def _parts(entry: dict[str, Any], key: str) -> list[Row]:
    return [
        [
            LAYER_NAMES[int(name)] if key == "by_layer" else name,
            decimals(part["sentences"], 0),
            percent(part["share"]),
            percent(part["captions"]),
            decimals(part["words_a_caption"], 1),
            decimals(part["vocabulary"], 0),
            decimals(part["mtld"], 1),
            percent(part["different"]),
        ]
        for name, part in entry.get(key, {}).items()
    ]


def _compared(pair: dict[str, Any]) -> list[Row]:
    """A row a dimension; of each figure the two sources beside each other."""
    rows = []
    for part in pair["dimensions"]:
        one, other = part["sides"]
        claims = part["claims"]
        agreement = percent(claims["share"])
        if claims["both"]:
            agreement += f" ({percent(claims['low'])} to {percent(claims['high'])}; {claims['both']:,})"
        rows.append(
            [
                part["instruction_set"],
                part["dimension"],
                decimals(part["texts"], 0),
                f"{one['words']:.1f} / {other['words']:.1f}",
                f"{one['mtld']:.1f} / {other['mtld']:.1f}",
                f"{percent(one['duplicates'])} / {percent(other['duplicates'])}",
                f"{_seen(one)} / {_seen(other)}",
                agreement,
            ]
        )
    return rows


def _seen(side: dict[str, Any]) -> str:
    return percent(side["evidence"].get("visual", 0.0) if side["evidence"] else None)


def _groups(entry: dict[str, Any]) -> list[Row]:
    return [
        [
            column.replace("_", " "),
            value or "–",
            decimals(part["captions"], 0),
            _length(part["length"]["words"]),
            decimals(part["vocabulary"], 0),
            decimals(part["mtld"], 1),
            percent(part["hedging"]["captions"]),
            percent(part["duplicates"]["captions"]),
            percent(part["duplicates"]["sub_texts"]),
        ]
        for column, groups in entry["groups"].items()
        for value, part in groups.items()
    ]
