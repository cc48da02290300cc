"""What a model's folder says to people and to the hub: its README.md with a YAML head."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from knowlip.base.rows import MARKS, MARKS_TOLD, Results, Row

_HUB_TASKS = {"retrieve": "image-text-retrieval", "caption": "image-to-text", "vqa": "visual-question-answering"}
"""The hub's words for tasks; others are "other" there."""


def rows_of_model(results: Results, weights: str) -> tuple[Row, ...]:
    """The measured rows of one model.

    Args:
        results: of `knowlip evaluate`.
        weights: SHA-256 of the model's weights.

    Raises:
        ValueError: there are none of these weights.
    """
    names = {name for name, known in results.encoders.items() if known == weights}
    rows = tuple(row for row in results.rows if row.encoder in names and row.value is not None)
    if not rows:
        others = ", ".join(sorted(results.encoders)) or "no model"
        raise ValueError(f"The results are of {others}, not of these weights: run `knowlip evaluate` on this model.")
    return rows


def model_readme(
    config: Mapping[str, Any],
    card: Mapping[str, Any],
    parameters: int,
    license: str = "",
    repo: str = "",
    measured: Sequence[Row] = (),
) -> str:
    """The model card in Markdown.

    Args:
        config: of the model, as in `knowlip.json`.
        card: facts beside the weights; what is missing is left out.
        parameters: how many.
        license: identifier of the hub, e.g. "apache-2.0"; empty: it is not stated.
        repo: "user/repo" on the hub; empty: the folder is local.
        measured: see :func:`rows_of_model`.
    """
    from huggingface_hub import ModelCardData

    title, place = repo.rpartition("/")[2] or "KnowLIP model", repo or "FOLDER"
    head = ModelCardData(
        library_name="knowlip",
        tags=["sar", "remote-sensing", "vision-language"],
        pipeline_tag="image-to-text",
        language="en",
        license=license or None,
        model_name=title if measured else None,
        eval_results=_hub_results(measured) or None,
    )
    facts = "\n".join(f"| {name} | {value} |" for name, value in _facts(config, card, parameters))
    text = _CARD.format(head=head.to_yaml().strip(), title=title, facts=facts, place=place)
    if measured:
        lines = "\n".join(f"| {' | '.join(map(_cell, _cells(row)))} |" for row in measured)
        text += _MEASURED.format(marks=MARKS_TOLD, lines=lines)
    return text + _LIMITS


_CARD = """---
{head}
---

# {title}

A vision-language model for SAR images: it compares images with texts, describes them, fills holes in descriptions and answers questions.

| | |
|---|---|
{facts}

## Use

```python
import knowlip

model = knowlip.load("{place}")
pixels = model.prepare([tile])  # uint8 (H, W)
tokens, embedding = model.encode_images(pixels)  # width_m_B=torch.tensor([256.0]): width on the ground, where known
model.generate(tokens, [""])  # a description
```

Or in a shell: `knowlip caption IMAGE --model {place}`.

"""  # noqa: E501 (a paragraph of Markdown is one line)
_MEASURED = """## Measured

By `knowlip evaluate`, on places that training never saw: {marks}.

| task | measure | value | 95 % | highest floor | n |
|---|---|---|---|---|---|
{lines}

"""
_LIMITS = """## Limits

The model knows windows and sensors as in the table above; others are guesses. It was taught by texts that were written and corrected by machines: check what it says before anybody relies on it.
"""  # noqa: E501


def _cells(row: Row) -> tuple[str, ...]:
    """Task, measure, value with its mark, interval, highest floor, trials."""
    floor = "" if row.floor is None else f"{row.shown(row.floor)} {row.floor_name}"
    return row.task, row.metric, f"{row.shown(row.value)} {MARKS[row.standing]}", row.shown_ci, floor, f"{row.n:,}"


def _cell(text: str) -> str:
    """Words of somebody's file as a cell of Markdown: one line, no bars, no HTML."""
    return escape(" ".join(text.split()).replace("|", "/"), quote=False)


def _facts(config: Mapping[str, Any], card: Mapping[str, Any], parameters: int) -> Iterator[tuple[str, str]]:
    """Rows of the table."""
    vision, text = config["vision"], config["text"]
    yield "Parameters", f"{parameters / 1e6:.1f} million"
    size = vision["image_size"]
    yield "Image tower", f"timm `{vision['name']}`, {size} x {size} pixels, one channel"
    yield "Text tower", f"{text['layers']} layers, width {text['width']}, {text['vocab_size']} word pieces"
    yield from _origins(card.get("weights") or {})
    if "tiles" in card:
        yield "Trained on", f"{card['tiles']} tiles, texts of revision {card.get('revision', 0)}"
    if finer_coarser := card.get("metres_per_pixel"):
        yield "Metres per pixel", " to ".join(f"{metres:.3g}" for metres in finer_coarser)
    for name, key, unit in (("Windows", "windows_m", " m"), ("Sensors", "sensors", ""), ("Pixels", "quantiser", "")):
        if card.get(key):
            values = (f"{value:g}" if isinstance(value, int | float) else str(value) for value in card[key])
            yield name, ", ".join(values) + unit
    if "finetuned_on" in card:
        yield "Fine-tuned on", f"{card.get('questions', '')} {card['finetuned_on']}".strip()
    for one in card.get("other_sets", ()):
        fingerprint, _, name = str(one).partition(" ")
        yield "Learned from, too", f"{_cell(name)} fingerprint `{_cell(fingerprint[:16])}`".strip()
    if "dataset_fingerprint" in card:
        yield "Data set", f"fingerprint `{card['dataset_fingerprint'][:16]}`"


def _origins(weights: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Rows on the files that the weights come from: one report, or one for each part that was started from a file."""
    converted = "layout" in weights
    for part, report in ({"": weights} if converted else weights).items():
        texts = [f"{report.get('layout', '')} weights of {report.get('source', '')}", *report.get("notes", ())]
        yield "Converted from" if converted else f"Started from ({part})", "; ".join(_cell(str(text)) for text in texts)


def _hub_results(measured: Sequence[Row]) -> list[Any]:
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type=_HUB_TASKS.get(row.task, "other"),
            dataset_type="knowlip",
            dataset_name=f"{row.data}, {row.split}",
            metric_type=row.metric,
            metric_name=f"{row.task}: {row.metric}",
            metric_value=row.value,
        )
        for row in measured
    ]
