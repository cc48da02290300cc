"""Store a trained model in half precision as the one that comes with KnowLIP, with its card.

    python -m benchmarks.ship_model RUN --recipe NAME [--out knowlip/models/shipped]
    knowlip evaluate --dataset RUN/dataset --model knowlip/models/shipped --out metrics.json
    python -m benchmarks.zero_shot --out benchmarks/results/zero_shot.json
    python -m benchmarks.ship_model RUN --recipe NAME --metrics metrics.json benchmarks/results/zero_shot.json

RUN is a folder of `knowlip demo`, or of one training (`config.yaml`, `log.jsonl`, `model/`). What the training was, is
read from there and from its data set. Figures go to the card only when they were measured with these very weights, or
with the ones in full precision that they were rounded from. Nothing is replaced when the folder would exceed 12 MB.
`docs/model-card.md` is written from the card (`--page`).
"""

import argparse
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import yaml

from benchmarks.ship_card import card_text, page_text
from knowlip.base.documents import read_json
from knowlip.base.files import file_sha256, whole_file, whole_folder
from knowlip.base.rows import Results, read_results
from knowlip.dataset import Dataset
from knowlip.language.questions import QUESTION_TYPES, TEMPLATES
from knowlip.models import KnowLIP, load_model, save_model
from knowlip.models.card import ModelCard
from knowlip.models.default import MOST_BYTES, SHIPPED
from knowlip.models.hub import CARD, README, WEIGHTS
from knowlip.tasks.metrics import majority_answers
from knowlip.tasks.questions import questions_of
from knowlip.training.resume import read_log

ROOT = Path(__file__).parents[1]
_SAMPLES = 64
"""Tiles on which the model in half precision is compared with the one in full."""


def halved(model: KnowLIP) -> dict[str, torch.Tensor]:
    """The state of a model with its floating point numbers in half precision.

    Raises:
        ValueError: a weight that half precision cannot hold.
    """
    state = {}
    for name, tensor in model.state_dict().items():
        half = tensor.half() if tensor.is_floating_point() else tensor
        if not bool(torch.isfinite(half.float()).all()):
            raise ValueError(f"The weight {name} holds numbers that half precision cannot hold.")
        state[name] = half
    return state


def difference(full: KnowLIP, half: KnowLIP, images: Sequence[np.ndarray]) -> dict[str, float]:
    """What rounding changed: of the weights, of embeddings, and of the answers to one question of each type."""
    pairs = list(zip(full.state_dict().values(), half.state_dict().values(), strict=True))
    largest = max(float((one - other).abs().max()) for one, other in pairs if one.numel())
    moved = sum(float(((one - other) ** 2).sum()) for one, other in pairs)
    whole = sum(float((one**2).sum()) for one, _ in pairs)
    questions = [TEMPLATES[kind][0].format(singular="ship", plural="ships", region="center") for kind in QUESTION_TYPES]
    answers = ["0", "1", "3", "fishing boat", "center", "upper left", "water", "field", "built-up", "water, field"]
    features, scores = [], []
    with torch.inference_mode():
        for model in (full, half):
            tokens, feature = model.encode_images(model.prepare(list(images)))
            features.append(feature)
            asked = [(row, question) for row in range(len(tokens)) for question in questions]
            scores.append(model.rank(tokens[[row for row, _ in asked]], [question for _, question in asked], answers))
    return {
        "largest_weight_difference": largest,
        "relative_weight_difference": (moved / whole) ** 0.5,
        "smallest_cosine_of_image_embeddings": float((features[0] * features[1]).sum(-1).min()),
        "largest_log_probability_difference": float((scores[0] - scores[1]).abs().max()),
        "same_answers": float((scores[0].argmax(1) == scores[1].argmax(1)).float().mean()),
        "images": len(images),
    }


def logged_seconds(log: Sequence[Mapping[str, Any]], batch_size: int) -> float | None:
    """Wall clock of the steps of a training, from the rates that its log says; None where it says none.

    A training that was stopped has its steps once, and the time between is not counted.
    """
    rates = {int(row["step"]): row.get("pairs_per_s") or row.get("images_per_s") for row in log}
    known = sorted((step, rate) for step, rate in rates.items() if rate)
    steps = [0, *(step for step, _ in known)]
    spent = sum((step - before) * batch_size / rate for before, (step, rate) in zip(steps, known))
    return round(spent, 1) if known else None


def stages_of(run: Path) -> list[dict[str, Any]]:
    """What each training of a run was, in the order in which they were begun.

    Raises:
        ValueError: the folder holds no training.
    """
    folders = [run] if (run / "config.yaml").is_file() else [file.parent for file in run.glob("*/config.yaml")]
    folders = sorted(
        (one for one in folders if (one / "log.jsonl").is_file()), key=lambda one: (one / "config.yaml").stat().st_mtime
    )
    if not folders:
        raise ValueError(f"{run} holds no training: it needs config.yaml and log.jsonl, itself or in a folder.")
    times = read_json(run / "seconds.json") if (run / "seconds.json").is_file() else {}
    stages = []
    for folder in folders:
        config = yaml.safe_load((folder / "config.yaml").read_text())
        made = read_json(folder / "provenance.json") if (folder / "provenance.json").is_file() else {}
        log = read_log(folder / "log.jsonl")
        stages.append(
            {
                "stage": folder.name,
                "steps": int(log[-1]["step"]) if log else 0,
                "batch_size": config.get("batch_size"),
                "learning_rate": config.get("learning_rate"),
                "seed": config.get("seed"),
                "seconds": times.get(folder.name) or logged_seconds(log, int(config.get("batch_size") or 0)),
                "machine": made.get("machine", ""),
                "commit": made.get("commit", ""),
                "dataset": config.get("dataset", ""),
            }
        )
    return stages


def scenes_of(dataset: Dataset) -> dict[str, Any]:
    """What a data set was cut from: scenes by sensor, the simulator's seeds, places by split, tiles by split."""
    index = dataset.tiles()
    seeds: set[int] = set()
    for path in sorted((dataset.path / "scenes").glob("*.json")):
        source = Path(read_json(path).get("scene", {}).get("path") or path)
        truth = source.with_name(f"{source.stem}.truth.geojson")
        if truth.is_file():
            seeds.add(int(read_json(truth).get("scene", {}).get("seed", 0)))
    places = {
        split: sorted({re.sub(r"-(ku|c|x)$", "", scene) for scene in rows["scene_id"]})
        for split, rows in index.groupby("split")
    }
    first = index.drop_duplicates("scene_id")
    return {
        "scenes": len(first),
        "sensors": dict(sorted(Counter(first["platform"]).items())),
        "simulator_seeds": sorted(seeds),
        "places": places,
        "tiles": {str(split): int(number) for split, number in index["split"].value_counts().sort_index().items()},
        "annotators": sorted(set(dataset.texts(0)["annotator"])),
    }


def usual_answers(dataset: Dataset, seed: int) -> dict[str, dict[str, str]]:
    """What one would answer without looking: type -> subject ("" is any) -> the most frequent training answer."""
    asked = questions_of(dataset, "train", seed)
    found = {}
    for kind in QUESTION_TYPES:
        ours = [one for one in asked if one.type == kind]
        if ours:
            pairs = [*(("", one.answer) for one in ours), *((one.subject, one.answer) for one in ours if one.subject)]
            found[str(kind)] = majority_answers(pairs)
    return found


def ship(
    model_folder: Path,
    out: Path,
    origin: Mapping[str, Any],
    answers: Mapping[str, Mapping[str, str]],
    images: Sequence[np.ndarray],
    license: str,
    measured: Sequence[Results] = (),
    most_bytes: int = MOST_BYTES,
) -> int:
    """Write the folder of the shipped model, whole or not at all.

    Returns:
        Bytes of all its files.

    Raises:
        ValueError: it would be too large, half precision does not hold its weights, or figures are of other weights.
    """
    # Half precision is all that is lost, so the loss is measured here, on the model as it will be loaded again.
    model = load_model(model_folder)
    card: ModelCard = {**model.card, "license": license, "origin": origin, "usual_answers": answers}  # type: ignore[typeddict-item]
    card.pop("command", None)  # may name folders of the machine
    card["measured"] = reached(measured)
    state = halved(model)
    with TemporaryDirectory() as parent:
        part = Path(parent) / "model"
        save_model(model, part, card, state)
        change = difference(model, load_model(part), images)
        card["origin"] = {**origin, "half_precision": change}
        save_model(model, part, card, state)
        hashes = {file_sha256(part / WEIGHTS): "", file_sha256(model_folder / WEIGHTS): "before rounding"}
        saved = read_json(part / CARD)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        text = card_text(saved["model"], saved["card"], parameters, _of_these_weights(measured, hashes))
        (part / README).write_text(text)
        size = sum(file.stat().st_size for file in part.iterdir())
        if size > most_bytes:
            raise ValueError(
                f"The model would take {size / 1e6:.1f} MB, and at most {most_bytes / 1e6:g} MB come with KnowLIP: "
                "train a smaller one."
            )
        with whole_folder(out) as folder:
            for file in part.iterdir():
                (folder / file.name).write_bytes(file.read_bytes())
    return size


def reached(measured: Sequence[Results]) -> dict[str, float]:
    """Metric -> value, of the model itself on its own test places (results with retrieval or questions)."""
    return {
        row.metric: float(row.value)
        for results in measured
        for row in results.rows
        if row.task in ("looking", "retrieve", "vqa") and row.encoder in results.encoders and row.value is not None
    }


def _of_these_weights(measured: Sequence[Results], hashes: Mapping[str, str]) -> list[Results]:
    """Results whose models are all the one that is shipped.

    Raises:
        ValueError: some are of other weights.
    """
    for results in measured:
        known = {str(value) for value in results.encoders.values()}
        if not known or not known <= hashes.keys():
            raise ValueError(
                f"Results of {', '.join(sorted(results.encoders)) or 'no model'} are of other weights: measure the "
                "shipped folder itself."
            )
    return list(measured)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of knowlip demo, or of one training")
    parser.add_argument("--model", type=Path, help="model folder; by default the one of the last training of the run")
    parser.add_argument("--dataset", type=Path, help="by default the one that the last training names")
    parser.add_argument("--recipe", required=True, help="name of the recipe that trained it")
    parser.add_argument("--note", default="", help="sentences for the card on what the recipe does not say of this run")
    parser.add_argument("--license", default="apache-2.0", help="identifier of the hub")
    parser.add_argument("--metrics", type=Path, nargs="*", default=[], help="results of these weights for the card")
    parser.add_argument("--out", type=Path, default=ROOT / "knowlip" / "models" / SHIPPED)
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "model-card.md", help="page written from the card")
    options = parser.parse_args()
    stages = stages_of(options.run)
    last = options.run if (options.run / "config.yaml").is_file() else options.run / stages[-1]["stage"]
    named = options.dataset or Path(str(stages[-1]["dataset"]))
    dataset = Dataset(options.run / "dataset" if options.dataset is None and not named.is_dir() else named)
    origin = {
        "recipe": options.recipe,
        "stages": [{name: value for name, value in stage.items() if name != "dataset"} for stage in stages],
        "data": scenes_of(dataset),
        "note": options.note,
    }
    test = dataset.tiles("test")["tile_id"].to_list()
    images = list(dataset.images(test[:: max(1, len(test) // _SAMPLES)][:_SAMPLES]))
    model = options.model or last / "model"
    measured = [read_results(path) for path in options.metrics]
    answers = usual_answers(dataset, int(stages[-1]["seed"] or 0))
    size = ship(model, options.out, origin, answers, images, options.license, measured)
    with whole_file(options.page) as part:
        part.write_text(page_text(options.page.read_text(), (options.out / README).read_text()))
    print(f"{options.out}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
