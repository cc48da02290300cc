"""Captioning: the model writes the whole text of an image; compared with the annotator's text and with truth."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from knowlip.base.progress import track
from knowlip.language.captions import split_caption
from knowlip.language.definitions import TileTruth
from knowlip.tasks.images import EncodedImages, VisionLanguageModel
from knowlip.tasks.metrics import caption_scores, proportion
from knowlip.tasks.metrics.captions import TOKENISATION

Judge = Callable[[str, str, str, TileTruth, float], bool | None]
"""(instruction_set, dimension, text, truth, window_m) -> True, False, or None where nothing can be verified."""

_BATCH = 32


def judged_claims(
    text: str, instruction_set: str, truth: TileTruth | None, window_m: float, judge: Judge
) -> list[dict[str, Any]]:
    """Each sub-text of a composed text with its verdict: `[{"dimension", "text", "true": bool | None}]`."""
    found, parts = split_caption(text, instruction_set)
    return [
        {
            "dimension": name,
            "text": part,
            "true": judge(found, name, part, truth, window_m) if truth is not None else None,
        }
        for name, part in parts.items()
    ]


def write_captions(
    model: VisionLanguageModel, images: EncodedImages, chosen: Sequence[int], max_new_tokens: int
) -> list[str]:
    """The whole text of the images at the positions `chosen`, from one hole that stands for all of it."""
    texts: list[str] = []
    with torch.inference_mode():
        for start in track(range(0, len(chosen), _BATCH), "write captions"):
            part = list(chosen[start : start + _BATCH])
            texts += model.generate(images.tokens(part), [""] * len(part), max_new_tokens)
    return texts


def score_captions(
    generated: Sequence[str], references: Sequence[str], baseline: str, clusters: Sequence[str]
) -> dict[str, Any]:
    """BLEU-4 and CIDEr of the generated texts, and of one fixed `baseline` text said of every image."""
    result: dict[str, Any] = caption_scores(generated, [[text] for text in references])
    fixed = caption_scores([baseline] * len(references), [[text] for text in references])
    result |= {f"baseline_{name}": value for name, value in fixed.items()}
    exact = proportion([a.strip().lower() == b.strip().lower() for a, b in zip(generated, references)], clusters)
    result |= {
        "exact": exact.value,
        "distinct": len(set(generated)) / len(generated),
        "words": float(np.mean([len(text.split()) for text in generated])),
        "reference_words": float(np.mean([len(text.split()) for text in references])),
        "tokenisation": TOKENISATION,
        "n": len(generated),
    }
    return result


def score_claims(claims: Sequence[Sequence[Mapping[str, Any]]], clusters: Sequence[str]) -> dict[str, Any]:
    """Share of verifiable claims that are true, over all texts: `true`, `ci`, `n`, `per_text`, `per_dimension`."""
    verdicts = [
        (claim["dimension"], bool(claim["true"]), cluster)
        for row, cluster in zip(claims, clusters)
        for claim in row
        if claim["true"] is not None
    ]
    if not verdicts:
        return {"true": None, "n": 0, "reason": "No generated claim can be verified against truth."}
    share = proportion([true for _, true, _ in verdicts], [cluster for _, _, cluster in verdicts])
    names = sorted({name for name, _, _ in verdicts})
    return {
        "true": share.value,
        "ci": list(share.ci or ()),
        "ci_method": share.method,
        "n": share.n,
        "per_text": share.n / len(claims),
        "per_dimension": {
            name: {
                "true": float(np.mean([true for other, true, _ in verdicts if other == name])),
                "n": sum(other == name for other, _, _ in verdicts),
            }
            for name in names
        },
    }
