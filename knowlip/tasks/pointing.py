"""Whether the evidence of an answer lies where the target is: heat maps of answers about ships and aircraft, scored.

*Pointing*: how often the highest place of the map lies in a true box. *Energy*: the share of the map in true boxes.
*Deletion* and *insertion*: the mean probability of the answer while the pixels of most evidence are blanked, or shown.

Beside each stand maps that need no model (image centre, brightness), and the model's map of another tile's image, which
knows where such targets usually lie and not where these do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from PIL import Image

from knowlip.base.files import sha256
from knowlip.base.progress import track
from knowlip.base.rows import OTHER_IMAGE, Better, Json, Row
from knowlip.language.questions import OF_TARGETS, Question
from knowlip.models.encoders import Encoder
from knowlip.models.encoders.knowlip import KnowLIPEncoder
from knowlip.models.evidence import EvidenceKind, evidence_maps
from knowlip.models.knowlip import KnowLIP
from knowlip.models.rank import log_p_of
from knowlip.models.tokenizer import pad
from knowlip.tasks.answers import answer, posed
from knowlip.tasks.bench import Bench, Measured
from knowlip.tasks.metrics import NO_INTERVAL, Estimate, mean
from knowlip.tasks.metrics.heat import (
    deletion_and_insertion,
    energy_inside,
    inside_boxes,
    plain_maps,
    points_inside,
)
from knowlip.tasks.metrics.intervals import MIN_CLUSTERS
from knowlip.tasks.metrics.resampled import cluster_weights, interval

KINDS: Final[tuple[EvidenceKind, ...]] = ("gradient", "attention")
BLANKED: Final = 48
"""Questions of which pixels are blanked and shown: each costs eighty passes."""
_BATCH: Final = 8
_RANDOM: Final = "random order"
_NAMED: Final = ("image centre", "brightest pixels")
"""Maps that evidence is usually held against."""


@dataclass(frozen=True)
class Pointed:
    """Maps of one answer, held against the boxes of the targets that were asked about."""

    question: Question
    right: bool
    """Whether the answer is."""
    area: float
    """Share of the tile in true boxes."""
    hits: Mapping[str, float]
    """Map -> whether it points into one; of several equal highest places the share that does."""
    energy: Mapping[str, float]
    deletion: Mapping[str, float]
    """Map -> area under the curve; empty where nothing was blanked."""
    insertion: Mapping[str, float]


def measure(bench: Bench, encoder: Encoder) -> Measured:
    """Pointing, energy, deletion and insertion of the evidence of answers about ships and aircraft."""
    questions = _questions(bench)
    why = ""
    if not isinstance(encoder, KnowLIPEncoder) or encoder.model.config.text.decoder_reads == "image":
        why = "Evidence is drawn of the answers of our own models."
    elif not bench.truths:
        why = "The data set has no truth that tells where targets are."
    elif not questions:
        why = "No clear question can be asked about ships or aircraft of these tiles."
    if why or not isinstance(encoder, KnowLIPEncoder):
        return Measured((bench.row("pointing", encoder.name, "pointing, gradient", None, note=why),))
    pointed = pointed_at(bench, encoder, questions)
    return Measured(_rows(bench, encoder.name, pointed), details={"evidence": _details(pointed)})


def _questions(bench: Bench) -> list[Question]:
    """Questions about ships and aircraft, on tiles that hold some."""
    return [one for one in posed(bench).questions if one.type in OF_TARGETS and _outlines(bench, one)]


def _outlines(bench: Bench, question: Question) -> list[list[list[float]]]:
    truth = bench.truths.get(question.tile_id)
    return [] if truth is None else [one["polygon"] for one in truth["objects"] if one["category"] == question.subject]


def pointed_at(bench: Bench, encoder: KnowLIPEncoder, questions: Sequence[Question]) -> list[Pointed]:
    """The maps of the answers that the model itself gives to questions, and what they point at."""
    # All of a batch at once; what is blanked afterwards goes question by question.
    model, found = encoder.model, []
    images = bench.images(encoder, only={one.tile_id for one in questions})
    given = answer(encoder, images, questions, posed(bench).candidates, bench.vqa_mode)
    blank = set(np.random.default_rng(bench.seed).permutation(len(questions))[:BLANKED].tolist())
    for start in track(range(0, len(questions), _BATCH), "draw evidence"):
        part, said = questions[start : start + _BATCH], given[start : start + _BATCH]
        maps = {kind: _maps(bench, model, part, said, kind) for kind in KINDS}
        elsewhere = [replace(one, tile_id=bench.others.get(one.tile_id, one.tile_id)) for one in part]
        others = _maps(bench, model, elsewhere, said, KINDS[0])
        for at, (question, words) in enumerate(zip(part, said)):
            image = bench.data.image(question.tile_id)
            own: dict[str, np.ndarray] = {kind: maps[kind][at] for kind in KINDS}
            own |= plain_maps(_square(image, others.shape[-1]))
            if question.tile_id in bench.others:
                own[OTHER_IMAGE] = others[at]
            found.append(_pointed(bench, model, question, words, own, image, start + at in blank))
    return found


def _maps(
    bench: Bench, model: KnowLIP, questions: Sequence[Question], answers: Sequence[str], kind: EvidenceKind
) -> np.ndarray:
    """(B, S, S)."""
    tile_ids = [one.tile_id for one in questions]
    pixels = model.prepare(list(bench.data.images(tile_ids)))
    width_m_B = torch.from_numpy(bench.data.widths_m(tile_ids)).to(pixels.device)
    return evidence_maps(model, pixels, width_m_B, [one.question for one in questions], answers, kind)


def _square(image: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR))


def _pointed(
    bench: Bench,
    model: KnowLIP,
    question: Question,
    words: str,
    maps: Mapping[str, np.ndarray],
    image: np.ndarray,
    blank: bool,
) -> Pointed:
    side = maps[KINDS[0]].shape[-1]
    inside = inside_boxes(_outlines(bench, question), (side, side))
    curves = {}
    if blank:
        seen = _square(image, side)
        width_m = float(bench.data.widths_m([question.tile_id])[0])
        mark = sha256(f"{question.tile_id}\n{question.question}".encode())  # another order for every question
        random = np.random.default_rng([bench.seed, int(mark, 16)]).random((side, side))
        for name, heat in {**maps, _RANDOM: random}.items():
            curves[name] = deletion_and_insertion(
                seen, heat, lambda images: _probability(model, images, width_m, question.question, words)
            )
    return Pointed(
        question,
        words == question.answer,
        float(inside.mean()),
        {name: points_inside(heat, inside) for name, heat in maps.items()},
        {name: energy_inside(heat, inside) for name, heat in maps.items()},
        {name: pair[0] for name, pair in curves.items()},
        {name: pair[1] for name, pair in curves.items()},
    )


@torch.inference_mode()
def _probability(model: KnowLIP, images: Sequence[np.ndarray], width_m: float, question: str, words: str) -> np.ndarray:
    """Probability (B,) of an answer to a question about each of some images of one tile."""
    pixels, tokenizer = model.prepare(images), model.tokenizer
    tokens, _ = model.encode_images(pixels, torch.full((len(images),), width_m, device=pixels.device))
    ids, real = pad([[tokenizer.dec, *tokenizer.ids(words), tokenizer.sep]] * len(images), model.device)
    log_p = log_p_of(model, ids, real, *model.read(tokens, [question] * len(images)))
    return log_p.exp().double().cpu().numpy()


# ---- rows -----------------------------------------------------------------------------------------------------------


def _rows(bench: Bench, encoder: str, pointed: Sequence[Pointed]) -> tuple[Row, ...]:
    """The most telling first; floors are the best of the maps that need no model."""
    # The map of another image is a row and no floor: it is the model's own, and knows where such targets usually lie.
    plain = [name for name in pointed[0].hits if name not in (*KINDS, OTHER_IMAGE)]
    clusters = np.array([bench.clusters[one.question.tile_id] for one in pointed])
    rows = []

    def share(hit_N: np.ndarray, at: np.ndarray, who: str, metric: str, floors: Mapping[str, float], note: str) -> None:
        figure = mean(hit_N[at], clusters[at]) if at.any() else None
        told = note if at.any() else "There is no such tile."
        rows.append(bench.row("pointing", who, metric, figure, floors if at.any() else None, told))

    hits = {name: np.array([one.hits.get(name, 0.0) for one in pointed]) for name in (*KINDS, OTHER_IMAGE, *plain)}
    every = np.ones(len(pointed), bool)
    there = np.array([OTHER_IMAGE in one.hits for one in pointed])
    floors = {name: float(hits[name].mean()) for name in plain}
    for kind in KINDS:
        share(hits[kind], every, encoder, f"pointing, {kind}", floors, "")
    share(hits[OTHER_IMAGE], there, OTHER_IMAGE + encoder, f"pointing, {KINDS[0]}", floors, "")
    for who, few in (("the better of centre and brightest pixels", _NAMED), ("the best map without a model", plain)):
        times = _times(hits[KINDS[0]], np.stack([hits[name] for name in few]), clusters)
        note = "" if times else f"None of {', '.join(few)} points into a box."
        at_least = {"as often": 1.0} if times else None
        rows.append(bench.row("pointing", encoder, f"hits / hits of {who}", times, at_least, note, unit="number"))
    missed = hits["brightest pixels"] < 0.5
    rest = {name: float(hits[name][missed].mean()) for name in plain} if missed.any() else {}
    share(hits[KINDS[0]], missed, encoder, f"pointing where most of the brightest pixels miss, {KINDS[0]}", rest, "")
    energy = {name: np.array([one.energy.get(name, np.nan) for one in pointed]) for name in hits}
    outside = {"uniform": float(np.mean([one.area for one in pointed]))}
    floors = outside | {name: float(energy[name].mean()) for name in plain}
    for kind in KINDS:
        rows.append(bench.row("pointing", encoder, f"energy in boxes, {kind}", mean(energy[kind], clusters), floors))
    if there.any():
        figure = mean(energy[OTHER_IMAGE][there], clusters[there])
        rows.append(bench.row("pointing", OTHER_IMAGE + encoder, f"energy in boxes, {KINDS[0]}", figure, floors))
    return (*rows, *_curves(bench, encoder, pointed, plain))


def _times(hits: np.ndarray, others_KN: np.ndarray, clusters: np.ndarray) -> Estimate | None:
    """How many times as often as the best of K others; None where these never hit."""
    best = float(others_KN.mean(1).max())
    if not best:
        return None
    value = float(hits.mean()) / best
    if len(np.unique(clusters)) < MIN_CLUSTERS:
        return Estimate(value, None, len(hits), NO_INTERVAL)
    weights_RN = cluster_weights(clusters)
    with np.errstate(divide="ignore", invalid="ignore"):
        draws = weights_RN @ hits / np.stack([weights_RN @ one for one in others_KN]).max(0)
    ends = interval(np.where(np.isfinite(draws), draws, np.nan))
    return Estimate(value, None if ends is None else (ends[0], ends[1]), len(hits), "" if ends else NO_INTERVAL)


def _curves(bench: Bench, encoder: str, pointed: Sequence[Pointed], plain: Sequence[str]) -> list[Row]:
    """Rows of deletion and insertion."""
    some, rows = [one for one in pointed if one.deletion], []
    clusters = [bench.clusters[one.question.tile_id] for one in some]
    measures: tuple[tuple[str, Better], ...] = (("deletion", "lower"), ("insertion", "higher"))
    for metric, better in measures:
        values: dict[str, list[float]] = {
            name: [getattr(one, metric)[name] for one in some] for name in (*KINDS, *plain, _RANDOM)
        }
        floors = {name: float(np.mean(values[name])) for name in (*plain, _RANDOM)}
        for kind in KINDS:
            figure = mean(values[kind], clusters)
            rows.append(
                bench.row(*("pointing", encoder, f"{metric}, {kind}", figure, floors), unit="number", better=better)
            )
    return rows


def _details(pointed: Sequence[Pointed]) -> dict[str, Json]:
    """Every map by kind of target, and of right and wrong answers."""
    found: dict[str, Json] = {"questions": len(pointed), "right_answers": sum(one.right for one in pointed)}
    for subject in ("all", *sorted({one.question.subject for one in pointed})):
        some = [one for one in pointed if subject in ("all", one.question.subject)]
        hits = {name: float(np.mean([one.hits[name] for one in some if name in one.hits])) for name in some[0].hits}
        found[subject] = {
            "n": len(some),
            "area_of_boxes": float(np.mean([one.area for one in some])),
            "pointing": hits,
            "energy": {
                name: float(np.mean([one.energy[name] for one in some if name in one.energy]))
                for name in some[0].energy
            },
            "of_right_answers": _mean_hits([one for one in some if one.right]),
            "of_wrong_answers": _mean_hits([one for one in some if not one.right]),
        }
    return found


def _mean_hits(some: Sequence[Pointed]) -> float | None:
    return float(np.mean([one.hits[KINDS[0]] for one in some])) if some else None
