"""What a model's folder says to people and to the hub: its README.md with a YAML head."""

from collections.abc import Iterator, Mapping
from typing import Any

_HEADLINES = ("r1", "r5", "r10", "bleu4", "cider", "accuracy")
_TASKS = {"retrieval": "image-text-retrieval", "caption": "image-to-text", "vqa": "visual-question-answering"}


def model_readme(
    config: Mapping[str, Any], card: Mapping[str, Any], parameters: int, license: str = "", repo: str = ""
) -> str:
    """The model card in Markdown.

    Args:
        config: of the model, as in `knowlip.json`.
        card: facts beside the weights; what is missing is left out. `metrics` maps names such as
            "retrieval.text_to_image.r5" to numbers, `metrics_dataset` is the fingerprint of what they were measured on.
        parameters: how many.
        license: identifier of the hub, e.g. "apache-2.0"; empty: it is not stated.
        repo: "user/repo" on the hub; empty: the folder is local.
    """
    from huggingface_hub import ModelCardData

    metrics: Mapping[str, float] = card.get("metrics") or {}
    head = ModelCardData(
        library_name="knowlip", tags=["sar", "remote-sensing", "vision-language"], pipeline_tag="image-to-text",
        language="en", license=license or None, model_name=_title(repo) if metrics else None,
        eval_results=_results(metrics) or None,
    )  # fmt: skip
    place = repo or "FOLDER"
    text = [
        "---", head.to_yaml().strip(), "---", "", f"# {_title(repo)}", "",
        "A vision-language model for SAR images: it compares images with texts, describes them, fills holes in "
        "descriptions and answers questions.", "",
        "| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in _facts(config, card, parameters)), "",
        "## Use", "", "```python", "import knowlip", "",
        f'model = knowlip.load("{place}")', "pixels = model.prepare([tile])  # uint8 (H, W)",
        "tokens, embedding = model.encode_images(pixels)", 'model.generate(tokens, [""])  # a description', "```", "",
        f"Or in a shell: `knowlip caption IMAGE --model {place}`.", "",
    ]  # fmt: skip
    if metrics:
        text += ["## Measured", "", "By `knowlip evaluate`, on places that training never saw"]
        text[-1] += f" (data set `{card['metrics_dataset'][:16]}`)." if card.get("metrics_dataset") else "."
        text += ["", "| | |", "|---|---|"]
        text += [f"| {name} | {value:.4g} |" for name, value in metrics.items()] + [""]
    text += [
        "## Limits", "",
        "The model knows windows and sensors as in the table above; others are guesses. It was taught by texts that "
        "were written and corrected by machines: check what it says before anybody relies on it.", "",
    ]  # fmt: skip
    return "\n".join(text)


def headline_metrics(evaluation: Mapping[str, Any], answers: bool = False) -> dict[str, float]:
    """Names and numbers for a model card from what `knowlip evaluate` wrote.

    Args:
        evaluation: its JSON. Where it measured two models, each gets its own results only.
        answers: the card is that of a model fine-tuned on questions.
    """
    tasks = list(_TASKS)
    if evaluation.get("setup", {}).get("vqa_fine_tuned"):
        tasks = ["vqa"] if answers else [task for task in tasks if task != "vqa"]
    return {name: value for task in tasks for name, value in _leaves(evaluation.get(task), task)}


def _leaves(value: Any, path: str) -> Iterator[tuple[str, float]]:
    if not isinstance(value, Mapping):
        return
    for name, inner in value.items():
        if name in _HEADLINES and isinstance(inner, int | float):
            yield f"{path}.{name}", float(inner)
        elif name not in ("ci", "cosine_same_queries"):
            yield from _leaves(inner, f"{path}.{name}")


def _title(repo: str) -> str:
    return repo.rpartition("/")[2] or "KnowLIP model"


def _facts(config: Mapping[str, Any], card: Mapping[str, Any], parameters: int) -> Iterator[tuple[str, str]]:
    """Rows of the table."""
    vision, text = config["vision"], config["text"]
    yield "Parameters", f"{parameters / 1e6:.1f} million"
    size = vision["image_size"]
    yield "Image tower", f"timm `{vision['name']}`, {size} x {size} pixels, one channel"
    yield "Text tower", f"{text['layers']} layers, width {text['width']}, {text['vocab_size']} word pieces"
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
    if "dataset_fingerprint" in card:
        yield "Data set", f"fingerprint `{card['dataset_fingerprint'][:16]}`"


def _results(metrics: Mapping[str, float]) -> list[Any]:
    from huggingface_hub import EvalResult

    def result(name: str, value: float) -> Any:
        return EvalResult(
            task_type=_TASKS.get(name.partition(".")[0], "other"), dataset_type="knowlip",
            dataset_name="held-out places", metric_type=name.rpartition(".")[2], metric_name=name, metric_value=value,
        )  # fmt: skip

    return [result(name, value) for name, value in metrics.items()]
