"""Sections about the model: training curves, retrieval, questions, captions, SCIO, all results, how to repeat them."""

# ruff: noqa: E501 (markup is easier to read in one line)

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

from knowlip.benchmark.report.marks import claim_list, long_text, missing, picture, table
from knowlip.benchmark.report.pictures import Pictures
from knowlip.benchmark.report.svg import change_chart, dot_chart, line_chart
from knowlip.benchmark.table import VQA_TITLES, interval, percent, rows, shown
from knowlip.language.captions import split_caption
from knowlip.language.dimensions import DIMENSIONS

_CURVES = (
    ("itc", "Contrast (ITC)", "image and text of one tile against all others"),
    ("itm", "Matching (ITM)", "does this text belong to this image?"),
    ("infill", "Infilling", "write the missing piece of text"),
    ("tau", "Temperature", ""),
    ("lr", "Learning rate", ""),
    ("pairs_per_s", "Pairs a second", ""),
)


def training_section(log: Sequence[Mapping[str, Any]]) -> str:
    """Loss curves with the three SCIO stages shaded."""
    if not log:
        return missing("The run folder has no log.jsonl, so there are no curves.")
    bands: list[tuple[float, float, str]] = []
    for line in log:
        stage, step = line.get("stage"), float(line["step"])
        if bands and bands[-1][2] == f"stage {stage}":
            bands[-1] = (bands[-1][0], step, bands[-1][2])
        else:
            start = bands[-1][1] if bands else step
            bands.append((start, step, f"stage {stage}"))
    charts = []
    for key, title, note in _CURVES:
        points = [(float(line["step"]), float(line[key])) for line in log if line.get(key) is not None]
        if points:
            prior = float(log[-1].get("itm_prior", 0.6365))
            reference = (prior, f"prior {prior:.4f}") if key == "itm" else None
            charts.append(line_chart(title, points, bands, reference, note=note))
    return (
        "<p>Faint: as logged; strong: running mean. Stage 1 trains on all texts, stage 2 without the screened ones as "
        "targets, stage 3 on rewritten ones. A matching loss at its prior of 0.6365 has learned nothing but the 1 : 2 "
        f'ratio of right to wrong pairs.</p><div class="charts">{"".join(charts)}</div>'
    )


def retrieval_section(metrics: Mapping[str, Any], examples: Mapping[str, Any], pictures: Pictures) -> str:
    """Recall with intervals beside chance, then queries with their best candidates."""
    scores = metrics.get("retrieval")
    if not scores:
        return missing("Retrieval was not measured.")
    bars = []
    for key, title in (("image_to_text", "Image → text"), ("text_to_image", "Text → image")):
        part = scores[key]
        bars += [
            {
                "name": f"{title} R@{k}",
                "value": part[f"r{k}"],
                "ci": part["ci"][f"r{k}"],
                "reference": part[f"chance_r{k}"],
            }
            for k in (1, 5, 10)
        ]
    one, two = scores["image_to_text"], scores["text_to_image"]
    words = (
        f"{one['n']:,} images look for their text among {one['gallery']:,} different ones, and {two['n']:,} texts for an "
        f"image that carries them among {two['gallery']:,}. Every tile is of a place that training never saw. "
        f"The median rank of the right answer is {one['median_rank']:.0f} and {two['median_rank']:.0f}."
    )
    again = []
    for key, title in (("image_to_text", "image → text"), ("text_to_image", "text → image")):
        if part := scores[key].get("reranked"):
            same = part["cosine_same_queries"]["r1"]
            again.append(f"{title} R@1 {percent(same)} → {percent(part['r1'])} (n {part['n']})")
    if again:
        k_test = one["reranked"]["k_test"]
        words += f" Re-ranking the best {k_test} with the matching head, on a random subset: {'; '.join(again)}."
    html = (
        f"<p>{words}</p>{dot_chart(bars, 'Recall of retrieval with 95 % intervals beside chance')}{_legend('chance')}"
    )
    for key, title in (
        ("image_to_text", "An image looks for its text"),
        ("text_to_image", "A text looks for its image"),
    ):
        shown_rows = examples.get("retrieval", {}).get(key, [])
        if shown_rows:
            draw = _image_query if key == "image_to_text" else _text_query
            cards = "".join(draw(row, pictures) for row in shown_rows)
            html += f'<h3>{title}</h3><p class="muted">Random queries, not chosen for their result.</p><div class="queries">{cards}</div>'
    return html


def _legend(reference: str, second: str = "") -> str:
    more = f' <span><i class="lk second"></i> {second}</span>' if second else ""
    return (
        f'<p class="legend"><span><i class="lk dot"></i> model with 95 % interval</span> '
        f'<span><i class="lk baseline"></i> {reference}</span>{more}</p>'
    )


def _rank(row: Mapping[str, Any]) -> str:
    good = row["rank"] == 1
    return f'<span class="rank {"true" if good else "wrong"}">{"✓" if good else "✗"} right answer at rank {row["rank"]}</span>'


def _image_query(row: Mapping[str, Any], pictures: Pictures) -> str:
    right = row["right"][0] if row["right"] else ""
    items = "".join(
        f'<li class="{"true" if c["right"] else "other"}"><span class="score">{_likeness(c["item"], right, c["right"])}'
        f"<br>cos {c['cosine']:.2f}</span>{long_text(c['item'], 110)}</li>"
        for c in row["top"]
    )
    below = (
        ""
        if any(c["right"] for c in row["top"])
        else f'<div class="below"><b>right text</b>{long_text(right, 110)}</div>'
    )
    return (
        f'<article class="query">{picture(pictures.uri(row["query"], 160), "query tile " + row["query"])}<div>{_rank(row)}'
        f'<ol class="candidates">{items}</ol>{below}</div></article>'
    )


def _likeness(text: str, right: str, same: bool) -> str:
    """How many of the right text's sub-texts a candidate shares: near misses are not far off."""
    if same:
        return "<b>✓ right</b>"
    ours, theirs = (split_caption(t, "terrain")[1] for t in (text, right))
    equal = sum(ours.get(name) == part for name, part in theirs.items())
    return f"{equal} of {len(theirs)} same" if theirs else ""


def _text_query(row: Mapping[str, Any], pictures: Pictures) -> str:
    items = "".join(
        f'<figure class="{"true" if c["right"] else "other"}">{picture(pictures.uri(c["item"], 112), "candidate " + c["item"])}'
        f"<figcaption>{i}. {'✓ right' if c['right'] else ''} {c['cosine']:.2f}</figcaption></figure>"
        for i, c in enumerate(row["top"], 1)
    )
    if not any(c["right"] for c in row["top"]) and row["right"]:
        tile_id = row["right"][0]
        items += (
            f'<figure class="missed">{picture(pictures.uri(tile_id, 112), "right tile " + tile_id)}'
            f"<figcaption>right: rank {row['rank']}</figcaption></figure>"
        )
    return f'<article class="query text"><div>{_rank(row)}{long_text(row["query"], 220)}<div class="strip">{items}</div></div></article>'


def vqa_section(metrics: Mapping[str, Any], examples: Mapping[str, Any], pictures: Pictures) -> str:
    """Accuracy of six types beside the majority answer, then questions with right and wrong answers."""
    scores = metrics.get("vqa")
    if not scores:
        return missing("Questions were not asked.")
    agreement = any(scores.get(key, {}).get("source") == "annotator" for key in VQA_TITLES)
    bars = [
        {
            "name": title.removeprefix("VQA: "), "value": scores[key]["accuracy"], "ci": scores[key].get("ci"),
            "reference": scores[key].get("majority"), "second": scores[key].get("blind"),
        }
        for key, title in VQA_TITLES.items()
        if key in scores
    ]  # fmt: skip
    what = "agreement with the annotator (there is no truth)" if agreement else "accuracy against truth"
    html = (
        f"<p>Six types of questions with closed answers: {what}. The majority answer is the most frequent one of the training "
        "tiles; the blind answer also reads the question (ship or aircraft, which region) but never looks at the image.</p>"
        f"{dot_chart(bars, 'Accuracy of six question types beside the majority answer')}"
        f"{_legend('majority answer', 'blind answer')}"
    )
    cards = []
    for row in examples.get("vqa", []):
        good = row["right"]
        answer = (
            f'<span class="answer {"true" if good else "wrong"}">{"✓" if good else "✗"} {escape(row["given"])}</span>'
        )
        truth = "" if good else f'<span class="rightanswer">right: {escape(row["answer"])}</span>'
        cards.append(
            f'<article class="qa">{picture(pictures.uri(row["tile_id"], 160), "tile " + row["tile_id"])}'
            f"<p>{escape(row['question'])}</p>{answer}{truth}</article>"
        )
    return html + (f'<h3>Random questions</h3><div class="qas">{"".join(cards)}</div>' if cards else "")


def caption_section(metrics: Mapping[str, Any], examples: Mapping[str, Any], pictures: Pictures) -> str:
    """Scores against the annotator's text and against truth, then written texts claim by claim."""
    scores = metrics.get("caption", {})
    if scores.get("bleu4") is None:
        return missing(scores.get("reason", "Captions were not written."))
    rows_ = [
        ["BLEU-4 (against the annotator)", f"{scores['bleu4']:.3f}", f"{scores['baseline_bleu4']:.3f}", ""],
        ["CIDEr (against the annotator)", f"{scores['cider']:.3f}", f"{scores['baseline_cider']:.3f}", ""],
    ]
    claims = scores.get("claims", {})
    if claims.get("true") is not None:
        rows_.append(
            [
                f"claims that are true ({claims['per_text']:.1f} a text)", f"{percent(claims['true'])} <small>{interval(claims['ci'])}</small>",
                percent(claims.get("baseline_true")), percent(claims.get("annotator_true")),
            ]
        )  # fmt: skip
    html = (
        f"<p>The model writes the whole text of {scores['n']} images from one hole. "
        f"{percent(scores['distinct'], 0)} of its texts differ from each other; they have {scores['words']:.0f} words on "
        f"average, the annotator's {scores['reference_words']:.0f}.</p>"
        + table(["", "model", "one fixed training text", "annotator"], rows_, numeric=(1, 2, 3), kind="narrow")
    )
    if claims.get("true") is None:
        html += missing(claims.get("reason", "No claim can be verified."))
    cards = "".join(
        f'<article class="query">{picture(pictures.uri(row["tile_id"], 160), "tile " + row["tile_id"])}<div>'
        + (claim_list(row["claims"]) if row["claims"] else f"<p>{escape(row['generated'])}</p>")
        + f"<details><summary>what the annotator wrote</summary><p>{escape(row['reference'])}</p></details></div></article>"
        for row in examples.get("caption", [])
    )
    return html + (f'<h3>Texts of random images</h3><div class="queries wide">{cards}</div>' if cards else "")


_SCREENING: Final = {
    "paper": "Screening leaves out one sub-text at a time; where image and text then agree better in contrast and in "
    "matching, it is held to be noise.",
    "surprise": "Screening hides each sub-text and asks the decoder, which sees the image and other sub-texts, how "
    "probable its words are; the least expected are held to be noise.",
    "all": "Screening leaves out one sub-text at a time, asks whether image and text then agree better and how probable "
    "its words were, and weighs all of it.",
}
"""What is said of each kind of evidence."""


def scio_section(metrics: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    """Did screening find wrong texts, did rewriting mend them, dimension by dimension."""
    scio, accuracy = metrics.get("scio", {}), metrics.get("text_accuracy", {})
    evidence = figures.get("noise_model", {}).get("evidence", "paper")
    html = (
        f"<p>{_SCREENING.get(evidence, _SCREENING['all'])} Noise is no longer a target of the text loss, and the model "
        "writes it anew.</p>"
    )
    if scio.get("base_rate") is None:
        html += missing(scio.get("reason", "Screening was not scored."))
    else:
        html += '<div class="cards small">' + "".join(
            f'<div class="card"><span>{name}</span><strong>{value}</strong><small>{note}</small></div>'
            for name, value, note in (
                ("Precision", percent(scio["precision"]), f"base rate of wrong texts {percent(scio['base_rate'])}"),
                ("Recall", percent(scio["recall"]), f"flagged {percent(scio['flag_rate'])} of all"),
                ("AUROC", _plain(scio["auroc"]), f"within dimensions {_plain(scio['auroc_within_dimension'])}, chance 0.5"),
                ("Decisions scored", f"{scio['n']:,}", f"of {scio['decided']:,} sub-texts; the rest cannot be verified"),
            )
        )  # fmt: skip
        html += "</div>"
    planted = figures.get("planted")
    if planted:
        margin = (
            "no margin reached the wanted precision there, so nothing is flagged"
            if planted.get("reached") is False
            else f"its margin was calibrated there: {figures.get('margin', 0):.2f}"
        )
        html += (
            f"<p>On planted noise (one wrong sub-text in eight, held out from the fit) the same test has precision {percent(planted.get('precision'))}, "
            f"recall {percent(planted.get('recall'))}, AUROC {_plain(planted.get('auroc'))} at a base rate of "
            f"{percent(planted.get('base_rate'))}; {margin}.</p>"
        )
    if accuracy.get("before") is None:
        return html + missing(accuracy.get("reason", "The truth of texts was not measured."))
    rewritten = accuracy["rewritten"]
    html += (
        f"<h3>Are the texts truer afterwards?</h3><p>Of the verifiable sub-texts of {accuracy['tiles']:,} tiles "
        f"<b>{percent(accuracy['before'])}</b> were true before SCIO and <b>{percent(accuracy['after'])}</b> after; of those that "
        f"still serve as targets, <b>{percent(accuracy['after_without_screened'])}</b>. {rewritten['n']:,} sub-texts were rewritten: "
        f"{rewritten['mended']:,} turned from wrong to true, {rewritten['spoiled']:,} from true to wrong, {rewritten['blurred']:,} can no longer be verified.</p>"
    )
    per_dimension = accuracy["per_dimension"]
    changes = [
        (name, per_dimension[name]["before"], per_dimension[name]["after"], per_dimension[name]["n"])
        for name in _in_order(per_dimension)
    ]
    html += change_chart(changes, "Share of true sub-texts before and after SCIO, by dimension")
    html += (
        '<p class="legend"><span><i class="lk before"></i> before</span> <span><i class="lk dot"></i> after</span> '
        "<span>right: change in points</span></p>"
    )
    if scio.get("per_dimension"):
        body = [
            [escape(name), f"{d['n']:,}", percent(d["base_rate"]), percent(d["flag_rate"]), percent(d["precision"]),
             percent(d["recall"]), _plain(d["auroc"])]
            for name, d in ((name, scio["per_dimension"][name]) for name in _in_order(scio["per_dimension"]))
        ]  # fmt: skip
        head = ["dimension", "n", "wrong", "flagged", "precision", "recall", "AUROC"]
        html += f"<details><summary>Screening by dimension</summary>{table(head, body, numeric=range(1, 7))}</details>"
    return html


def _in_order(names: Iterable[str]) -> list[str]:
    """ "marine Count" and the like in the order of instruction sets and their sub-texts."""
    order = [f"{kind} {name}" for kind, dimensions in DIMENSIONS.items() for name in dimensions]
    return sorted(names, key=lambda name: (order.index(name) if name in order else len(order), name))


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def results_section(metrics: Mapping[str, Any]) -> str:
    """Every number beside what it is compared with, with its interval drawn."""
    found = rows(metrics)
    if not found:
        return missing("There are no measured results.")
    body, group = [], ""
    clusters = metrics.get("setup", {}).get("clusters", "clusters of tiles")
    for row in found:
        head = escape(row["group"]) if row["group"] != group else ""
        group = row["group"]
        value, reference = row["value"], row["reference"]
        better = "" if value is None or reference is None else " better" if value > reference else " worse"
        sign = {" better": "▲", " worse": "▼"}.get(better, "")
        body.append(
            [
                f"<b>{head}</b>", escape(row["name"]), f'<span class="figure{better}">{shown(row, "value")} {sign}</span>',
                interval(row.get("ci")), _bar(row), f"{escape(row['reference_name'])} {shown(row, 'reference')}",
                f"{row['n']:,}",
            ]
        )  # fmt: skip
    return (
        "<p>▲ above, ▼ not above what it is compared with; the upright tick in a bar is that value, the thin line the interval. "
        f"Intervals are at 95 %, from resampling {escape(clusters)} where there are enough of them, else Wilson's.</p>"
        + table(["", "measure", "value", "95 %", "", "compared with", "n"], body, numeric=(2, 3, 6), kind="results")
    )


def _bar(row: Mapping[str, Any]) -> str:
    """A bar of 0 to 1 with the interval as a whisker and the reference as a tick."""
    if row["value"] is None or (row.get("plain") and row["value"] > 1):
        return ""
    parts = f'<rect class="barfill" x="0" y="3" width="{100 * row["value"]:.2f}" height="8"/>'
    if row.get("ci"):
        low, high = row["ci"]
        parts += f'<line class="whisker" x1="{100 * low:.2f}" x2="{100 * high:.2f}" y1="7" y2="7"/>'
    if row["reference"] is not None:
        x = 100 * min(1.0, row["reference"])
        parts += f'<line class="baseline" x1="{x:.2f}" x2="{x:.2f}" y1="0" y2="14"/>'
    return f'<svg class="spark" viewBox="0 0 100 14" preserveAspectRatio="none" aria-hidden="true">{parts}</svg>'


def repeat_section(
    metrics: Mapping[str, Any],
    config_text: str,
    provenance: Mapping[str, Any],
    info: Mapping[str, Any],
    commands: Sequence[str],
) -> str:
    """Commands, versions, seconds and config."""
    facts = [
        (
            "data set fingerprint",
            (provenance.get("data") or [""])[0] or metrics.get("setup", {}).get("dataset_fingerprint", ""),
        ),
        ("commit", provenance.get("commit", "")),
        ("machine", provenance.get("machine", "")),
        ("Python", provenance.get("python", "")),
    ]
    facts += [(name, version) for name, version in provenance.get("versions", {}).items()]
    known = [[escape(name), f"<code>{escape(str(value))}</code>"] for name, value in facts if value]
    seconds = metrics.get("seconds", {})
    times = table(
        ["stage", "seconds"], [[escape(k), f"{v:,.0f}"] for k, v in seconds.items()], numeric=(1,), kind="narrow"
    )  # fmt: skip
    return (
        f"<h3>Commands</h3><pre>{escape(chr(10).join(commands))}</pre>"
        f'<div class="columns"><div><h3>Versions</h3>{table(["", ""], known)}</div><div><h3>Time</h3>{times}</div></div>'
        f"<details><summary>Configuration of the run</summary><pre>{escape(config_text) or 'not saved'}</pre></details>"
        f"<details><summary>Configuration of the data set</summary><pre>{escape(json.dumps(info, indent=1))}</pre></details>"
        f"<details><summary>All figures (metrics.json)</summary><pre>{escape(json.dumps(metrics, indent=1))}</pre></details>"
    )
