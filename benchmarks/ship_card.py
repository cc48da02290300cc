"""The words of the shipped model's card: README.md in its folder and docs/model-card.md, from its facts and figures."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from knowlip.base.rows import ANNOTATOR, MARKS, MARKS_TOLD, OTHER_IMAGE, Results, Row
from knowlip.base.vocabulary import AIRCRAFT_TYPES, LANDFORMS, SHIP_TYPES
from knowlip.language.questions import MAX_COUNT

START, END = "<!-- the card begins -->", "<!-- the card ends -->"
"""What `page_text` replaces stands between."""


def card_text(
    config: Mapping[str, Any], card: Mapping[str, Any], parameters: int, measured: Sequence[Results] = ()
) -> str:
    """The card in Markdown with a YAML head.

    Args:
        config: of the model, as in `knowlip.json`.
        card: facts beside the weights, with `origin` of :mod:`benchmarks.ship_model`.
        parameters: how many.
        measured: results of these weights.
    """
    origin = card["origin"]
    parts = [
        _HEAD.format(license=card["license"]),
        "\n".join(["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in _facts(config, card, parameters))]),
        _USE,
        "## What it was trained on\n\n" + "\n".join(f"- {line}" for line in _trained_on(origin)),
        "## What it scores\n\n" + _scores(measured),
        "## What it cannot do\n\n" + "\n".join(f"- {line}" for line in _limits(config, card, measured)),
        "## Half precision\n\n" + _rounding(origin["half_precision"]),
        _LICENCE.format(license=card["license"]),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def page_text(page: str, card: str) -> str:
    """The page of the documentation with a card in it.

    Args:
        page: the page as it is, with the two marks.
        card: of :func:`card_text`.

    Raises:
        ValueError: the page lacks the marks.
    """
    before, start, rest = page.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"The page needs the lines {START} and {END}.")
    body = card.split("---\n", 2)[2].strip().replace("# The model that comes with KnowLIP", "", 1).strip()
    body = body.replace("\n## ", "\n### ")  # the page has a heading of its own for the card
    return f"{before}{START}\n\n{body}\n\n{END}{after}"


_HEAD = """---
language: en
library_name: knowlip
license: {license}
pipeline_tag: image-to-text
tags:
- sar
- remote-sensing
- vision-language
---

# The model that comes with KnowLIP

One small model that compares SAR images with texts, describes them and answers questions about them. `knowlip ask`,
`caption` and `search` use it where no other is named."""
_USE = """## Use

    knowlip ask IMAGE "How many ships are visible?" --metres_per_pixel 3
    knowlip caption IMAGE
    knowlip search DATASET "two ships at a quay"

In Python: `model = knowlip.load()`."""
_LICENCE = """## Licence

{license}, as the code. Its texts name towns, airports and ports of the gazetteers that NOTICE.md lists."""


def _facts(config: Mapping[str, Any], card: Mapping[str, Any], parameters: int) -> Iterator[tuple[str, str]]:
    """Rows of the first table."""
    vision, text = config["vision"], config["text"]
    yield "Parameters", f"{parameters / 1e6:.1f} million"
    stem = f", behind a convolutional stem of {vision['stem']} channels" if vision.get("stem") else ""
    told = ", told the metres a pixel" if vision.get("ground_sampling") else ""
    size = vision["image_size"]
    yield "Image tower", f"timm `{vision['name']}`, {size} x {size} pixels, one channel{stem}{told}"
    if config.get("readout"):
        yield "Readout", "closed questions answered from the image and handed to the text side as tokens"
    yield "Text tower", f"{text['layers']} layers, width {text['width']}, {text['vocab_size']} word pieces"
    if windows := card.get("windows_m"):
        yield "Windows", ", ".join(f"{window:g}" for window in windows) + " m"
    if metres := card.get("metres_per_pixel"):
        yield "Metres a pixel of its input", " to ".join(f"{one:.3g}" for one in metres)
    if sensors := card.get("sensors"):
        yield "Sensors", ", ".join(sensors)
    yield "Recipe", f"`{card['origin']['recipe']}`"
    if commit := card.get("commit"):
        yield "Commit of the training", f"`{commit[:12]}`"
    yield "Data set", f"fingerprint `{card.get('dataset_fingerprint', '')[:16]}`"


def _simulated(data: Mapping[str, Any]) -> bool:
    return all(name.startswith("sim-") for name in data["sensors"])


def _trained_on(origin: Mapping[str, Any]) -> Iterator[str]:
    data = origin["data"]
    sensors = ", ".join(f"{number} of {name}" for name, number in data["sensors"].items())
    seeds = ", ".join(map(str, data["simulator_seeds"]))
    drawn = f", drawn by the simulator with seed {seeds}" if seeds else ""
    yield f"{data['scenes']} scenes ({sensors}){drawn}{'; no real image' if _simulated(data) else ''}."
    tiles, annotators = data["tiles"].get("train", 0), _names(data["annotators"])
    yield f"{tiles:,} tiles of training, their texts by the annotator {annotators}."
    if "measured" in data["annotators"]:
        yield (
            "That annotator's own network was fitted on simulated scenes and on 444 images of SSDD, those with odd "
            "hundreds in their number: what is measured on SSDD is the other half."
        )
    for split, name in (("train", "Places of training"), ("val", "For validation"), ("test", "For the test")):
        if places := data["places"].get(split):
            yield f"{name}: {_names([place.replace('-', ' ').title() for place in places])}."
    for stage in origin["stages"]:
        took = "time not recorded" if stage["seconds"] is None else f"{stage['seconds'] / 60:.0f} minutes"
        where = stage["machine"] or "machine not recorded"
        yield (
            f"{stage['stage']}: {stage['steps']:,} steps of {stage['batch_size']}, learning rate "
            f"{stage['learning_rate']:g}, seed {stage['seed']}, {took}, {where}."
        )
    if origin.get("note"):
        yield str(origin["note"])


def _names(names: Sequence[str]) -> str:
    return ", ".join(names)


def _scores(measured: Sequence[Results]) -> str:
    """A table for each file of results, every row of the model in it."""
    if not measured:
        return "Nothing has been measured with these weights yet."
    tables = []
    for results in measured:
        beside = {
            (row.data, row.split, row.task, row.metric, kind): row.shown(row.value)
            for row in results.rows
            for kind in (ANNOTATOR, OTHER_IMAGE)
            if row.encoder.startswith(kind)
        }
        lines = []
        for row in _own(results):
            floor = "–" if row.floor is None else f"{row.shown(row.floor)} {row.floor_name}"
            value = f"{row.shown(row.value)} {MARKS[row.standing]}" if row.value is not None else f"– {row.note}"
            others = (beside.get((*row.key[:3], row.metric, kind), "–") for kind in (OTHER_IMAGE, ANNOTATOR))
            cells = (row.data, row.task, row.metric, value.strip(), row.shown_ci, floor, *others, f"{row.n:,}")
            lines.append(f"| {' | '.join(cells)} |")
        head = "| data | task | measure | value | 95 % | highest floor | with another image | measured annotator | n |"
        tables.append("\n".join([head, "|---" * 9 + "|", *lines]))
        if notes := [row for row in _own(results) if row.note and row.value is not None]:
            tables.append("\n".join(f"- {row.metric} ({row.data}): {row.note}" for row in notes))
    told = (
        f"{MARKS_TOLD[0].upper()}{MARKS_TOLD[1:]}. A floor is reached without the model; with the image of another "
        "tile the model must guess."
    )
    return f"{told}\n\n" + "\n\n".join(tables)


def _own(results: Results) -> list[Row]:
    """Rows of the model itself."""
    return [row for row in results.rows if row.encoder in results.encoders]


def _limits(config: Mapping[str, Any], card: Mapping[str, Any], measured: Sequence[Results]) -> Iterator[str]:
    """What to expect nothing of: by its making, and by its figures."""
    windows = card.get("windows_m") or []
    rows = [row for results in measured for row in _own(results)]
    weak = [f"{row.metric} on {row.data}" for row in rows if row.standing in ("level", "below")]
    if _simulated(card["origin"]["data"]):
        yield (
            "It has seen simulated images alone. On real ones it answers in the same voice and is right less often: "
            "see the rows of real images above where they were measured, and trust nothing where they were not."
        )
    if weak:
        yield f"Not clearly better than what one reaches without it: {'; '.join(weak)}."
    elif not rows:
        yield "Nothing is known yet of how often it is right."
    if config["vision"].get("ground_sampling"):
        yield "Without the metres a pixel (`--metres_per_pixel`, or georeferencing) sizes and kinds are guesses."
    if windows:
        yield (
            f"It sees a square window at once, of {min(windows):g} to {max(windows):g} m: larger scenes must be cut "
            "(`knowlip build`), and what is smaller than a few pixels of its input is not seen."
        )
    ships, aircraft = (", ".join(kind.name for kind in kinds) for kinds in (SHIP_TYPES, AIRCRAFT_TYPES))
    yield f"It knows no other targets than ships ({ships}) and aircraft ({aircraft}), and counts to {MAX_COUNT}."
    yield f"It knows no other land than {', '.join(LANDFORMS)} and roads: no ice, desert, swamp, relief, or flood."
    yield (
        "It was taught six kinds of questions: others are refused where the commands can tell (docs/evidence.md), and "
        "answered all the same by the model itself. A name of a town or a country in its words is a guess from pixels."
    )
    yield "It reads and writes short English sentences of one grammar, of one image at a time; it does not converse."
    yield "It demonstrates a method: decide nothing by its words that a person has not checked."


def _rounding(change: Mapping[str, Any]) -> str:
    return (
        "The weights are stored in 16-bit floats and load as 32-bit ones. Against the model as it was trained: weights "
        f"differ by at most {change['largest_weight_difference']:.2g}, all together by "
        f"{change['relative_weight_difference']:.2g} of their norm; on {change['images']} test tiles the cosine of the "
        f"image embeddings is at least {change['smallest_cosine_of_image_embeddings']:.6f}, log-probabilities of "
        f"answers differ by at most {change['largest_log_probability_difference']:.2g}, and "
        f"{100 * change['same_answers']:.1f} % of the answers stay the same."
    )
