"""SCIO: screening of noisy sub-texts and their reconstruction from image and context.

Source: arXiv 2509.23927 Eqs. 8-15 and Algorithm 1, as resolved in the project's design: a text t is eight sub-texts
p_j.

    screening (Eqs. 8-11)        dITC_j = L_ITC(v, t without p_j) - L_ITC(v, t) < -margin * scale   suspects p_j,
                                 dITM_j = s(v, t without p_j) - s(v, t)         >  margin * scale   confirms it as noise
    reconstruction (Eqs. 12-15)  p_j is replaced by [MASK], written anew from context and image, and accepted when L_ITC
                                 falls and the matching score s rises against the current text

L_ITC of a single pair needs fixed negatives: features of training pairs drawn once a pass, from the very model that
scores (a snapshot of the training queue would mix features of many past states of the model). Scores come from the
momentum model in evaluation mode. Scales are the robust spread of each dimension's differences; the margin is
calibrated on planted noise.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from knowlip.models.knowlip import KnowLIP
from knowlip.models.tokenizer import pad
from knowlip.progress import track
from knowlip.statistics import auroc
from knowlip.training.texts import SLOTS, TileText
from knowlip.training.tiles import Pixels


@dataclass
class Scores:
    """Figures of V texts against their images."""

    itc: np.ndarray
    """L_ITC(v, t): mean of both directions against the frozen queue, (V,)."""
    itm: np.ndarray
    """s(v, t): matching logit minus non-matching logit, (V,)."""


class Scorer:
    """Scores texts against images with a frozen model and frozen negatives. Image features are computed once a tile.

    Args:
        model: evaluation mode; usually the momentum model.
        pixels: uint8 (tiles, S, S), indexed by tile row.
        texts: the text of each tile row; with the images, the source of negatives.
        negatives: tile rows whose features are the negatives; those of the same image or the same text do not count.
        tiles_at_once: images in one pass.
    """

    def __init__(
        self,
        model: KnowLIP,
        pixels: Pixels,
        texts: Sequence[TileText],
        negatives: Sequence[int],
        tiles_at_once: int = 32,
    ) -> None:
        if len(negatives) < 2:
            raise ValueError("SCIO scores need at least two training tiles as negatives.")
        self.model, self.pixels, self.tiles_at_once = model, pixels, tiles_at_once
        images, features = [], []
        with torch.inference_mode():
            for start in range(0, len(negatives), 8 * tiles_at_once):
                rows = list(negatives[start : start + 8 * tiles_at_once])
                images.append(self.encode(rows)[1])
                features.append(self._pass([texts[row].ids() for row in rows], grounded=False, memory=None))
        self.negatives = (
            torch.cat(images), torch.cat(features),
            torch.tensor(list(negatives), device=model.device),
            torch.tensor([texts[row].hash for row in negatives], device=model.device),
        )  # fmt: skip

    @torch.inference_mode()
    def score(
        self, rows: Sequence[int], variants: Sequence[Sequence[list[int]]], hashes: Sequence[int]
    ) -> list[Scores]:
        """Score several texts for each of some tiles.

        Args:
            rows: tile rows.
            variants: for each tile, the token ids (unframed) of its texts.
            hashes: for each tile, the hash of its current text (negatives with this text are left out).

        Returns:
            One `Scores` a tile.
        """
        tokens, image = self.encode(rows)
        counts = [len(texts) for texts in variants]
        owner = torch.repeat_interleave(torch.arange(len(rows)), torch.tensor(counts)).to(self.model.device)
        flat = [ids for texts in variants for ids in texts]
        text = self._pass(flat, grounded=False, memory=None)
        itc = self._itc(image[owner], text, torch.tensor(rows)[owner.cpu()], torch.tensor(hashes)[owner.cpu()])
        memory = [(k[owner], v[owner]) for k, v in self.model.text_encoder.image_memory(tokens)]
        logits = self._pass(flat, grounded=True, memory=memory)
        itm = logits[:, 1] - logits[:, 0]
        ends = np.cumsum(counts)[:-1]
        return [
            Scores(a, b)
            for a, b in zip(np.split(itc.double().cpu().numpy(), ends), np.split(itm.double().cpu().numpy(), ends))
        ]

    def encode(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Image tokens and embeddings of tile rows."""
        pixels = torch.from_numpy(np.ascontiguousarray(self.pixels[list(rows)])).to(self.model.device)
        return self.model.encode_images(self.model.normalise(pixels))

    def _pass(self, texts: list[list[int]], grounded: bool, memory: list | None) -> Tensor:
        tokenizer, longest = self.model.tokenizer, self.model.config.text.max_length
        ids, keep = pad([tokenizer.frame(text, longest, grounded) for text in texts], self.model.device)
        return self.model.match_ids(ids, keep, memory) if memory is not None else self.model.embed_ids(ids, keep)

    def _itc(self, image: Tensor, text: Tensor, ids: Tensor, hashes: Tensor) -> Tensor:
        """Per-pair contrastive loss, both directions averaged: (V,)."""
        other_image, other_text, other_id, other_hash = self.negatives
        ids, hashes = ids.to(image.device), hashes.to(image.device)
        positive = (ids[:, None] == other_id[None]) | (hashes[:, None] == other_hash[None])
        own = (image * text).sum(1, keepdim=True)

        def loss(query: Tensor, negatives: Tensor) -> Tensor:
            others = (query @ negatives.T).masked_fill(positive, float("-inf"))
            return -F.log_softmax(torch.cat([own, others], 1) / self.model.temp, 1)[:, 0]

        return (loss(image, other_text) + loss(text, other_image)) / 2


@dataclass
class Differences:
    """Effect of leaving out each sub-text of each tile, (tiles, 8)."""

    itc: np.ndarray
    itm: np.ndarray


def differences(scorer: Scorer, texts: Sequence[TileText], title: str = "screen texts") -> Differences:
    """dITC and dITM of every sub-text of every tile (Eqs. 9-10). Row i of the pixels belongs to `texts[i]`."""
    itc, itm = np.zeros((len(texts), SLOTS)), np.zeros((len(texts), SLOTS))
    for rows in track(_chunks(len(texts), scorer.tiles_at_once), title):
        variants = [[texts[row].ids(), *(texts[row].ids(without=slot) for slot in range(SLOTS))] for row in rows]
        for row, scores in zip(rows, scorer.score(rows, variants, [texts[row].hash for row in rows])):
            itc[row], itm[row] = scores.itc[1:] - scores.itc[0], scores.itm[1:] - scores.itm[0]
    return Differences(itc, itm)


@dataclass
class Margin:
    """When a difference is large enough to act on."""

    scale_itc: dict[tuple[str, int], float]
    """Robust spread of dITC for each (instruction set, position)."""
    scale_itm: dict[tuple[str, int], float]
    value: float
    """In units of the scales."""
    planted: dict[str, float | None]
    """How screening did on planted noise: precision, recall, auroc, base_rate, n."""

    def noise_score(self, sets: Sequence[str], found: Differences) -> np.ndarray:
        """min(-dITC / scale, dITM / scale), (tiles, 8): both tests pass where it exceeds the margin."""
        scale_itc = np.array([[self.scale_itc[name, slot] for slot in range(SLOTS)] for name in sets])
        scale_itm = np.array([[self.scale_itm[name, slot] for slot in range(SLOTS)] for name in sets])
        return np.minimum(-found.itc / scale_itc, found.itm / scale_itm)


def calibrate(
    scorer: Scorer, texts: Sequence[TileText], sets: Sequence[str], found: Differences,
    tiles: int, rng: np.random.Generator, beta: float,
) -> Margin:  # fmt: skip
    """Plant noise (sub-texts of other tiles, same instruction set and dimension) and choose the margin that finds it
    best.

    Args:
        scorer, texts, found: as in :func:`differences`.
        sets: instruction set of each tile.
        tiles: how many tiles get one planted sub-text.
        rng: source of chance.
        beta: the margin maximises F-beta on the plant; below 1 it favours precision.
    """
    scale_itc = _scales(found.itc, sets)
    scale_itm = _scales(found.itm, sets)
    chosen = rng.permutation(len(texts))[:tiles]
    planted_rows, planted_slots, planted_texts = [], [], []
    by_set = {name: np.flatnonzero(np.array(sets) == name) for name in set(sets)}
    for row in chosen:
        slot, donor = int(rng.integers(SLOTS)), int(rng.choice(by_set[sets[row]]))
        own = texts[row].parts[slot]
        if texts[donor].parts[slot].content == own.content:
            continue
        parts = list(texts[row].parts)
        parts[slot] = texts[donor].parts[slot]
        planted_rows.append(int(row))
        planted_slots.append(slot)
        planted_texts.append(TileText(parts, hash=texts[row].hash))
    margin = Margin(scale_itc, scale_itm, 0.0, {})
    if not planted_rows:
        return margin
    itc, itm = found.itc[planted_rows].copy(), found.itm[planted_rows].copy()
    for part in track(_chunks(len(planted_rows), scorer.tiles_at_once), "calibrate on planted noise"):
        rows = [planted_rows[i] for i in part]
        variants = [[planted_texts[i].ids(), planted_texts[i].ids(without=planted_slots[i])] for i in part]
        for i, scores in zip(part, scorer.score(rows, variants, [texts[row].hash for row in rows])):
            itc[i, planted_slots[i]] = scores.itc[1] - scores.itc[0]
            itm[i, planted_slots[i]] = scores.itm[1] - scores.itm[0]
    score = margin.noise_score([sets[row] for row in planted_rows], Differences(itc, itm))
    is_planted = np.zeros_like(score, bool)
    is_planted[np.arange(len(planted_rows)), planted_slots] = True
    margin.value, margin.planted = best_margin(score.ravel(), is_planted.ravel(), beta)
    return margin


def best_margin(score: np.ndarray, is_noise: np.ndarray, beta: float) -> tuple[float, dict[str, float | None]]:
    """The threshold >= 0 on `score` with the best F-beta, and how it does."""
    thresholds = np.unique(np.concatenate([[0.0], score[score > 0]]))
    if len(thresholds) > 256:
        thresholds = np.quantile(thresholds, np.linspace(0, 1, 256))
    best, figures = -1.0, (0.0, 0.0, 0.0)
    for threshold in thresholds:
        flagged = score > threshold
        hits = float((flagged & is_noise).sum())
        precision, recall = hits / max(1, flagged.sum()), hits / max(1, is_noise.sum())
        f = (1 + beta**2) * precision * recall / max(1e-12, beta**2 * precision + recall)
        if f > best:
            best, figures = f, (float(threshold), precision, recall)
    return figures[0], {
        "precision": figures[1], "recall": figures[2], "auroc": auroc(score, is_noise),
        "base_rate": float(is_noise.mean()), "n": float(len(score)),
    }  # fmt: skip


@dataclass
class Rewrite:
    """A new sub-text and whether it is better than the current one."""

    row: int
    slot: int
    text: str
    delta_itc: float
    """L_ITC(v, new text) - L_ITC(v, current text): below 0 is better."""
    delta_itm: float
    """s(v, new text) - s(v, current text): above 0 is better."""

    @property
    def accepted(self) -> bool:
        return self.delta_itc < 0 < self.delta_itm


def reconstruct(
    scorer: Scorer,
    texts: Sequence[TileText],
    noisy: Sequence[tuple[int, int]],
    prompt: Callable[[int, int], str],
    with_text: Callable[[int, int, str], TileText],
    max_new_tokens: int,
) -> list[Rewrite]:
    """Write noisy sub-texts anew (Eqs. 12-15), each judged by itself against the current text (policy `fragment`).

    Args:
        scorer: frozen model and negatives.
        texts: current texts.
        noisy: (tile row, position) of what to write.
        prompt: the tile's text with [MASK] for that position.
        with_text: the tile's text with a new sub-text at that position.
        max_new_tokens: longest new sub-text.
    """
    result = []
    for part in track(_chunks(len(noisy), scorer.tiles_at_once * 2), "rewrite noisy texts"):
        places = [noisy[i] for i in part]
        rows = [row for row, _ in places]
        with torch.inference_mode():
            tokens, _ = scorer.encode(rows)
            written = scorer.model.generate(tokens, [prompt(*place) for place in places], max_new_tokens)
        new = [with_text(row, slot, text) if text else texts[row] for (row, slot), text in zip(places, written)]
        variants = [[texts[row].ids(), text.ids()] for (row, _), text in zip(places, new)]
        for (row, slot), text, scores in zip(
            places, written, scorer.score(rows, variants, [texts[row].hash for row in rows])
        ):
            delta_itc, delta_itm = float(np.diff(scores.itc)[0]), float(np.diff(scores.itm)[0])
            result.append(Rewrite(row, slot, text, delta_itc, delta_itm))
    return result


def _scales(values: np.ndarray, sets: Sequence[str]) -> dict[tuple[str, int], float]:
    """Median absolute difference from zero of each (instruction set, position), never zero."""
    names = np.array(sets)
    floor = max(1e-6, 0.05 * float(np.median(np.abs(values))))
    return {
        (name, slot): max(floor, float(np.median(np.abs(values[names == name, slot]))))
        for name in sorted(set(sets))
        for slot in range(SLOTS)
    }


def _chunks(count: int, size: int) -> list[list[int]]:
    return [list(range(start, min(count, start + size))) for start in range(0, count, size)]
