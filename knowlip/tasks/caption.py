"""Captioning: the model writes the whole text of an image; compared with the annotator's text and with truth."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from knowlip.base.examples import ShownExample, ShownItem
from knowlip.base.progress import track
from knowlip.base.rows import Json
from knowlip.language.captions import compose_texts, split_caption
from knowlip.language.definitions import TileTruth
from knowlip.language.truth import judge
from knowlip.models.encoders import Encoder, WritingEncoder
from knowlip.tasks.bench import Bench, Measured
from knowlip.tasks.images import EncodedImages
from knowlip.tasks.metrics import Estimate, caption_scores, proportion, typical_text
from knowlip.tasks.metrics.captions import TOKENISATION

Judge = Callable[[str, str, str, TileTruth, float], bool | None]
"""(instruction_set, dimension, text, truth, window_m) -> True, False, or None where nothing can be verified."""

_BATCH = 32
_BASELINE_TEXTS = 1500
"""Training texts among which the most typical one is sought."""


@dataclass(frozen=True)
class JudgedClaim:
    """A sub-text with its verdict."""

    dimension: str
    text: str
    true: bool | None
    """None where nothing can be verified."""


def judged_claims(
    text: str, instruction_set: str, truth: TileTruth | None, window_m: float, judge: Judge
) -> list[JudgedClaim]:
    """Each sub-text of a composed text with its verdict."""
    found, parts = split_caption(text, instruction_set)
    return [
        JudgedClaim(name, part, judge(found, name, part, truth, window_m) if truth is not None else None)
        for name, part in parts.items()
    ]


def write_captions(
    model: WritingEncoder, images: EncodedImages, chosen: Sequence[int], max_new_tokens: int
) -> list[str]:
    """The whole text of the images at the positions `chosen`, from one hole that stands for all of it."""
    texts: list[str] = []
    with torch.inference_mode():
        for start in track(range(0, len(chosen), _BATCH), "write captions"):
            part = list(chosen[start : start + _BATCH])
            texts += model.generate(images.tokens(part), [""] * len(part), max_new_tokens)
    return texts


def measure(bench: Bench, encoder: Encoder) -> Measured:
    """The written texts against the annotator's (BLEU-4, CIDEr) and against truth (share of true claims)."""
    # Scores against the annotator's words say how alike texts are; only truth says whether a caption looked.
    count = min(bench.limits.captions, len(bench.tile_ids))
    if count == 0 or not isinstance(encoder, WritingEncoder):
        note = "It writes no captions." if count else "Captions were turned off."
        return Measured((bench.row("caption", encoder.name, "BLEU-4", None, note=note),))
    order = np.random.default_rng(bench.seed).permutation(len(bench.tile_ids))[:count]
    tile_ids = [bench.tile_ids[i] for i in order]
    generated = write_captions(encoder, bench.images(encoder), [int(i) for i in order], bench.limits.max_new_tokens)
    texts = bench.texts[bench.texts["tile_id"].isin(set(tile_ids))]
    whole, instruction = compose_texts(texts), dict(zip(texts["tile_id"], texts["instruction_set"]))
    references = [whole[tile_id] for tile_id in tile_ids]
    clusters = [bench.clusters[tile_id] for tile_id in tile_ids]
    fixed = _fixed_texts(bench)

    def judged(said: Sequence[str]) -> list[list[JudgedClaim]]:
        return [
            judged_claims(text, instruction[tile_id], bench.truths.get(tile_id), bench.windows[tile_id], judge)
            for text, tile_id in zip(said, tile_ids)
        ]

    claims = judged(generated)
    floors = {name: _value(true_share(judged([text] * count), clusters)) for name, text in fixed.items()}
    note = "No claim can be verified against truth." if bench.truths else "The data set has no truth."
    teacher = [(bench.annotator, judged(references))] if bench.truths else []
    rows = []
    for name, said in [(encoder.name, claims), *teacher]:
        share = true_share(said, clusters)
        rows.append(bench.row("caption", name, "true claims", share, floors, "" if share else note))

    scores = caption_scores(generated, [[text] for text in references], clusters)
    of_fixed = {name: caption_scores([text] * count, [[one] for one in references]) for name, text in fixed.items()}
    for metric, figure in scores.items():
        reached: dict[str, float | None] = {name: found[metric].value for name, found in of_fixed.items()}
        rows.append(bench.row("caption", encoder.name, metric, figure, reached, unit="number"))
    examples = tuple(
        ShownExample(
            "caption",
            "Texts of random images",
            ShownItem(tile_id=tile_id),
            tuple(ShownItem(one.text, right=one.true, note=one.dimension) for one in row) or (ShownItem(text),),
            (ShownItem(reference, note="the annotator"),),
        )
        for tile_id, text, reference, row in zip(tile_ids, generated, references, claims)
    )
    return Measured(tuple(rows), examples[: bench.limits.examples], _details(generated, references, claims))


def _fixed_texts(bench: Bench) -> dict[str, str]:
    """What to say of every image without looking. Fitted where the model was: on what training saw."""
    known = bench.data.texts(0)
    train_ids = bench.data.tiles("train")["tile_id"].to_numpy()
    train_ids = np.random.default_rng(bench.seed).permutation(train_ids)[:_BASELINE_TEXTS]
    texts = list(compose_texts(known[known["tile_id"].isin(set(train_ids))]).values())
    if not texts:
        return {}
    counts = Counter(texts)
    often = min(counts, key=lambda text: (-counts[text], text))
    return {"typical text": typical_text(texts), "frequent text": often}


def true_share(claims: Sequence[Sequence[JudgedClaim]], clusters: Sequence[str]) -> Estimate | None:
    """Share of verifiable claims that are true, over all texts; None where none can be verified."""
    known = [(one.true, cluster) for row, cluster in zip(claims, clusters) for one in row if one.true is not None]
    return proportion([true for true, _ in known], [cluster for _, cluster in known]) if known else None


def _value(figure: Estimate | None) -> float | None:
    return figure.value if figure else None


def _details(
    generated: Sequence[str], references: Sequence[str], claims: Sequence[Sequence[JudgedClaim]]
) -> dict[str, Json]:
    known = [one for row in claims for one in row if one.true is not None]
    by_dimension = {
        name: [bool(one.true) for one in known if one.dimension == name]
        for name in sorted({one.dimension for one in known})
    }
    return {
        "tokenisation": TOKENISATION,
        "exact": float(np.mean([a.strip().lower() == b.strip().lower() for a, b in zip(generated, references)])),
        "distinct": len(set(generated)) / len(generated),
        "words": float(np.mean([len(text.split()) for text in generated])),
        "reference_words": float(np.mean([len(text.split()) for text in references])),
        "claims_per_text": len(known) / len(claims),
        "true_claims": {name: {"true": float(np.mean(true)), "n": len(true)} for name, true in by_dimension.items()},
    }
