"""Measure a model on places it never saw: retrieval, captions, six kinds of questions, and SCIO against truth.

Every key of the result is explained in `docs/evaluation.md`.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from knowlip import models
from knowlip.base.files import write_json
from knowlip.base.progress import facts, say
from knowlip.benchmark.table import print_table
from knowlip.dataset import Dataset
from knowlip.dataset.texts import ancestry
from knowlip.language.captions import compose_texts
from knowlip.language.truth import judge
from knowlip.models.encoders.knowlip import card_of
from knowlip.tasks import caption, retrieve, screening
from knowlip.tasks import vqa_measure as vqa
from knowlip.tasks.images import EncodedImages, VisionLanguageModel
from knowlip.tasks.metrics import typical_text
from knowlip.tasks.metrics.intervals import MIN_CLUSTERS
from knowlip.tasks.questions import questions_about
from knowlip.tasks.unseen import check_unseen

_BASELINE_TEXTS = 1500
"""Training texts among which the most typical one is sought."""
_ANNOTATOR_REASON = "No truth: the share of answers equal to the annotator's claims is an agreement, not an accuracy."


@dataclass
class Limits:
    """How much is measured; every choice is random with a fixed seed."""

    tiles: int = 0
    """At most this many test tiles; 0 = all."""
    rerank_queries: int = 96
    """Retrieval queries a direction that image-text matching re-ranks; 0 = none."""
    questions_per_type: int = 200
    """Questions of each of the six types."""
    captions: int = 80
    """Images that get a caption; 0 = none."""
    max_new_tokens: int = 192
    """Longest caption in tokens."""
    examples: int = 6
    """Retrieval and caption examples kept for the report; of each question type, two thirds of that."""


@dataclass
class EvaluateConfig:
    """Settings of :func:`evaluate`."""

    dataset: Path
    """Folder of the annotated data set."""
    model: Path
    """Folder of the pre-trained model."""
    out: Path
    """JSON file to write; `examples.json` goes beside it."""
    vqa_model: Path | None = None
    """Folder of a model fine-tuned on questions; by default `model` answers them."""
    split: str = "test"
    """Which tiles are measured. None of their places may have been trained on."""
    k_test: int = 16
    """How many candidates image-text matching re-ranks."""
    vqa_mode: str = "rank"
    """"rank" chooses among the answers seen in training, "generate" writes freely."""
    limits: Limits = field(default_factory=Limits)
    seed: int = 0
    """Of wordings, regions asked about, and every random choice."""


def evaluate(
    config: EvaluateConfig, model: VisionLanguageModel | None = None, vqa_model: VisionLanguageModel | None = None
) -> dict[str, Any]:
    """Measure, write `config.out` and `examples.json`, and return what was written.

    Args:
        config: what to measure and how much of it.
        model: use this instead of loading `config.model`. Its `card` says what it was trained on.
        vqa_model: the same for `config.vqa_model`.

    Raises:
        ValueError: no such split, no texts, or places that training saw.
    """
    started = time.monotonic()
    data = Dataset(config.dataset)
    tiles, texts = _test_tiles(data, config)
    model = model if model is not None else models.load_model(config.model)
    if vqa_model is None:
        vqa_model = models.load_model(config.vqa_model) if config.vqa_model else model
    everything = data.tiles()
    notes = {  # of each model once: both are the same where none was fine-tuned
        check_unseen(card_of(getattr(chosen, "card", {})), data.fingerprint, everything, tiles, str(name)).note
        for chosen, name in ((model, config.model), (vqa_model, config.vqa_model or config.model))
    }
    truths = data.truth()
    windows = dict(zip(everything["tile_id"], everything["window_m"].astype(float)))
    unit = "block" if tiles["block"].nunique() >= MIN_CLUSTERS else "root_id"
    clusters = dict(zip(everything["tile_id"], everything[unit].astype(str)))
    tile_ids = list(tiles["tile_id"])
    say(f"Measure {len(tile_ids)} {config.split} tiles of {tiles['block'].nunique()} blocks that training never saw")

    images = EncodedImages(model, data, tile_ids)
    result: dict[str, Any] = {}
    examples: dict[str, Any] = {}
    result["retrieval"], examples["retrieval"] = _retrieval(model, images, texts, clusters, config)
    result["caption"], examples["caption"] = _captions(model, images, data, texts, truths, windows, clusters, config)
    vqa_images = images if vqa_model is model else None
    result["vqa"], examples["vqa"] = _questions(vqa_model, vqa_images, data, tile_ids, truths, clusters, config)
    card = getattr(model, "card", {})
    result["scio"], result["text_accuracy"] = score_texts(data, card, truths, windows, clusters)
    result["setup"] = {
        "dataset_fingerprint": data.fingerprint,
        "split": config.split,
        "tiles": len(tile_ids),
        "blocks": int(tiles["block"].nunique()),
        "clusters": {"block": "geographic blocks", "root_id": "families of tiles that share ground"}[unit],
        "places": int(tiles["scene_id"].nunique()),
        "limits": asdict(config.limits),
        "k_test": config.k_test,
        "vqa_mode": config.vqa_mode,
        "vqa_fine_tuned": vqa_model is not model,
        "revision": card.get("revision"),
        "seed": config.seed,
        "notes": sorted(notes - {""}),
    }
    result["seconds"] = {"evaluate": round(time.monotonic() - started, 1)}
    write_json(config.out, result)
    write_json(config.out.with_name("examples.json"), examples)
    return result


def show(result: dict[str, Any]) -> str:
    """The table to the terminal, and the plain facts."""
    print_table(result)
    return facts(result)


def _test_tiles(data: Dataset, config: EvaluateConfig) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tiles to measure, and their rows of the annotator's text (revision 0)."""
    tiles = data.tiles(config.split)
    if tiles.empty:
        raise ValueError(f"{config.dataset} has no accepted tile in the split {config.split!r}.")
    texts = data.texts(0)
    tiles = tiles[tiles["tile_id"].isin(set(texts["tile_id"]))]
    if tiles.empty:
        raise ValueError(f"No tile of the split {config.split!r} of {config.dataset} has texts: annotate it first.")
    if 0 < config.limits.tiles < len(tiles):
        chosen = np.random.default_rng(config.seed).permutation(len(tiles))[: config.limits.tiles]
        tiles = tiles.iloc[np.sort(chosen)]
    return tiles, texts[texts["tile_id"].isin(set(tiles["tile_id"]))]


def _retrieval(
    model: VisionLanguageModel,
    images: EncodedImages,
    texts: pd.DataFrame,
    clusters: Mapping[str, str],
    config: EvaluateConfig,
) -> tuple[dict[str, Any], dict[str, Any]]:
    composed = compose_texts(texts)
    directions, gallery = retrieve.retrieval(
        model,
        images,
        [composed[tile_id] for tile_id in images.tile_ids],
        [clusters[tile_id] for tile_id in images.tile_ids],
        config.k_test,
        config.limits.rerank_queries,
        config.seed,
    )
    scores = {name: retrieve.summary(direction, config.k_test) for name, direction in directions.items()}
    shown = retrieve.examples(directions, gallery, images.tile_ids, config.limits.examples, seed=config.seed)
    return scores, shown


def _captions(
    model: VisionLanguageModel,
    images: EncodedImages,
    data: Dataset,
    texts: pd.DataFrame,
    truths: Mapping[str, Any],
    windows: Mapping[str, float],
    clusters: Mapping[str, str],
    config: EvaluateConfig,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    count = min(config.limits.captions, len(images.tile_ids))
    if count == 0:
        return {"bleu4": None, "cider": None, "n": 0, "reason": "Captions were turned off."}, []
    order = np.random.default_rng(config.seed).permutation(len(images.tile_ids))[:count]
    tile_ids = [images.tile_ids[i] for i in order]
    generated = caption.write_captions(model, images, [int(i) for i in order], config.limits.max_new_tokens)
    composed = compose_texts(texts[texts["tile_id"].isin(set(tile_ids))])
    instruction = dict(zip(texts["tile_id"], texts["instruction_set"]))
    references = [composed[tile_id] for tile_id in tile_ids]
    # The baseline is fitted where the model was: on what training saw, never on the measured tiles.
    known = data.texts(0)
    train_ids = data.tiles("train")["tile_id"].to_numpy()
    train_ids = np.random.default_rng(config.seed).permutation(train_ids)[:_BASELINE_TEXTS]
    train = known[known["tile_id"].isin(set(train_ids))]
    baseline = typical_text(list(compose_texts(train).values())) if len(train) else ""
    at = [clusters[tile_id] for tile_id in tile_ids]
    result = caption.score_captions(generated, references, baseline, at)

    def claims(said: Sequence[str]) -> list[list[dict[str, Any]]]:
        return [
            caption.judged_claims(text, instruction[tile_id], truths.get(tile_id), windows[tile_id], judge)
            for text, tile_id in zip(said, tile_ids)
        ]

    written = claims(generated)
    if truths:
        result["claims"] = caption.score_claims(written, at)
        result["claims"]["annotator_true"] = caption.score_claims(claims(references), at)["true"]
        result["claims"]["baseline_true"] = caption.score_claims(claims([baseline] * count), at)["true"]
    else:
        result["claims"] = {"true": None, "n": 0, "reason": "The data set has no truth."}
    examples = [
        {"tile_id": tile_id, "generated": text, "reference": reference, "claims": row}
        for tile_id, text, reference, row in zip(tile_ids, generated, references, written)
    ]
    return result, examples[: config.limits.examples]


def _questions(
    model: VisionLanguageModel,
    images: EncodedImages | None,
    data: Dataset,
    tile_ids: Sequence[str],
    truths: Mapping[str, Any],
    clusters: Mapping[str, str],
    config: EvaluateConfig,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    train_ids = list(data.tiles("train")["tile_id"])
    test, train = (questions_about(data, ids, config.seed) for ids in (tile_ids, train_ids))
    answers = vqa.candidates(train)
    asked = vqa.choose_questions([q for q in test if q.type in answers], config.limits.questions_per_type, config.seed)
    if images is None:
        needed = {q.tile_id for q in asked}
        images = EncodedImages(model, data, [tile_id for tile_id in tile_ids if tile_id in needed])
    given = vqa.answer(model, images, asked, answers, config.vqa_mode)
    result = vqa.score(asked, given, train, clusters)
    if not truths:
        result["reason"] = _ANNOTATOR_REASON
    each = max(1, config.limits.examples * 2 // 3)
    shown = set(vqa.choose_questions(asked, each, config.seed + 1))
    examples = [asdict(q) | {"given": a, "right": q.answer == a} for q, a in zip(asked, given) if q in shown]
    return result, examples


def score_texts(
    data: Dataset,
    card: Mapping[str, Any],
    truths: Mapping[str, Any],
    windows: Mapping[str, float],
    clusters: Mapping[str, str],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Score the decisions on the line of revisions that ends with the model's texts (with the newest where the model
    names none)."""
    newest = card.get("revision")
    original, latest = data.texts(0), data.texts(newest)
    decided = [table.to_pandas() for _, table in ancestry(data.path, newest)[1:]]
    decisions = pd.concat(decided, ignore_index=True) if decided else latest.iloc[:0]
    # Without decisions the texts of the training tiles are judged: "before" and "after" are then the same.
    looked_at = set(decisions["tile_id"]) or set(data.tiles("train")["tile_id"])
    before, after = (rows[rows["tile_id"].isin(looked_at)] for rows in (original, latest))
    accuracy = screening.text_accuracy(before, after, truths, windows, judge, clusters)
    accuracy["tiles"] = len(set(before["tile_id"]))
    accuracy["passes"] = []
    for rows in decided:
        if len(rows):
            texts = data.texts(int(rows["revision"].iloc[0]))
            then = texts[texts["tile_id"].isin(looked_at)]
            step = screening.text_accuracy(before, then, truths, windows, judge, clusters)
            kept = ("after", "after_ci", "after_without_screened", "rewritten", "falls", "reason")
            accuracy["passes"].append(
                {"revision": int(rows["revision"].iloc[0]), "run": str(rows["run"].iloc[0])}
                | {name: step[name] for name in kept if name in step}
            )
    tiles = data.tiles()
    roots = dict(zip(tiles["tile_id"], tiles["root_id"].astype(str)))
    return screening.screening(original, decisions, truths, windows, judge, roots), accuracy
