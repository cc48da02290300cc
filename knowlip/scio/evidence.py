"""What a frozen model says about texts and their images: the evidence on which SCIO decides.

Of a sub-text p_j of a text t and its image v (arXiv 2509.23927, Eqs. 10-11, and what our decoder says):

    dITC     L_ITC(v, t without p_j) - L_ITC(v, t); below 0: noise (Eq. 10)
    dITM     s(v, t without p_j) - s(v, t), s the matching logit minus the other; above 0: noise (Eq. 11)
    nll      -log p(p_j | v, the others that are shown) of the infilling decoder, mean over its tokens

All kinds of evidence stand in :mod:`knowlip.scio.kinds`.

Cost: an image is encoded once, and its keys and values are computed once for all its variants; texts are read in
batches of about equal length; the texts that the contrastive loss reads without an image once for each content; of
`holes_at_once` sub-texts that are not shown together, the rest of the text is read once. The other images of `blind`
are few and encoded once for a scorer; each of the other views costs what `nll` does, `turned` and `speckled` an image
besides.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cached_property, partial
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from knowlip.base.progress import track
from knowlip.language.claims import Claims
from knowlip.language.dimensions import DIMENSIONS, SLOTS
from knowlip.language.groundings import grounding_of_claims
from knowlip.models.knowlip import KnowLIP
from knowlip.models.readout import Answers, claim_scores
from knowlip.models.text import KeyValue
from knowlip.models.tokenizer import pad
from knowlip.scio.filled import FilledHole, contexts_of, filled_holes
from knowlip.scio.kinds import DECODER, DELTAS, KINDS, VIEWS, Evidence
from knowlip.scio.views import BLIND, SPECKLED, TURNS, Said, Views
from knowlip.training.texts import TileText
from knowlip.training.tiles import Pixels

_TOKENS_A_TILE: Final = 128
"""Tokens, padding included, that one pass reads for each of the `tiles_at_once` images."""
_WINDOW: Final = 16
"""Texts are compared for equal content over so many times `tiles_at_once` tiles."""


class Scorer:
    """A frozen model with frozen negatives. A contrastive loss of a single pair needs negatives that stay the same:
    features of training pairs drawn once, computed by the very model that scores.

    Args:
        model: evaluation mode; usually the momentum model.
        pixels: uint8 (tiles, S, S), indexed by tile row.
        texts: the text of each tile row; with the images, the source of negatives.
        negatives: tile rows whose features are the negatives; those of the same image or the same text do not count.
        tiles_at_once: images in one pass.
        holes_at_once: 1, 2, 4 or 8 sub-texts that are not shown together when the decoder is asked for them.
        width_m: width of each tile on the ground in metres (NaN: unknown), for models that are told it.
        views: other views of the tiles, for the kinds `blind`, `turned`, `speckled`, `neighbours` and `claims`.

    Raises:
        ValueError: fewer than two negatives.
    """

    def __init__(
        self,
        model: KnowLIP,
        pixels: Pixels,
        texts: Sequence[TileText],
        negatives: Sequence[int],
        tiles_at_once: int = 32,
        holes_at_once: int = 1,
        width_m: np.ndarray | None = None,
        views: Views | None = None,
    ) -> None:
        if len(negatives) < 2:
            raise ValueError("SCIO scores need at least two training tiles as negatives.")
        self.model, self.pixels, self.views = model, pixels, views
        self.tiles_at_once, self.holes_at_once = tiles_at_once, holes_at_once
        self._width_m = width_m
        self._texts, self._negative_rows = texts, list(negatives)

    @cached_property
    @torch.inference_mode()
    def negatives(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Image and text features (K, E), tile rows and text hashes (K,); made when the contrast is first asked for."""
        rows, size = self._negative_rows, self.tiles_at_once
        image = torch.cat([self.encode(rows[first : first + size])[1] for first in range(0, len(rows), size)])
        text = self.embed([self._texts[row].ids() for row in rows])
        hashes = torch.tensor([self._texts[row].hash for row in rows], device=self.model.device)
        return image, text, torch.tensor(rows, device=self.model.device), hashes

    @torch.inference_mode()
    def encode(
        self, rows: Sequence[int], change: Callable[[np.ndarray], np.ndarray] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Image tokens (B, N, V) and embeddings (B, E) of tile rows: the image encoder (Eq. 8).

        Args:
            rows: tiles.
            change: of the pixels (B, S, S), where others than the tiles' own are asked for.
        """
        return self.look(rows, change)[:2]

    @torch.inference_mode()
    def look(
        self, rows: Sequence[int], change: Callable[[np.ndarray], np.ndarray] | None = None
    ) -> tuple[Tensor, Tensor, Answers | None]:
        """The same, and what the model's readout answers; None where it has no readout."""
        own = self.pixels[list(rows)]
        pixels = torch.from_numpy(np.ascontiguousarray(own if change is None else change(own))).to(self.model.device)
        width = None if self._width_m is None else torch.from_numpy(self._width_m[list(rows)]).to(pixels.device)
        return self.model.look(self.model.normalise(pixels), width)

    @cached_property
    @torch.inference_mode()
    def pool(self) -> list[KeyValue]:
        """Keys and values of the images of :attr:`Views.pool`; made when `blind` is first asked for."""
        assert self.views is not None
        rows, size = self.views.pool, self.tiles_at_once
        tokens = torch.cat([self.encode(rows[first : first + size])[0] for first in range(0, len(rows), size)])
        return list(self.model.image_key_values(tokens))

    @torch.inference_mode()
    def embed(self, texts: Sequence[list[int]]) -> Tensor:
        """Text embeddings (V, E) of unframed token ids: the text encoder (Eq. 9). Equal texts are read once."""
        place: dict[tuple[int, ...], int] = {}
        which = [place.setdefault(tuple(ids), len(place)) for ids in texts]
        framed = self._framed(list(place), grounded=False)
        unique = torch.empty(len(framed), self.model.config.embed_dim, device=self.model.device)
        for group in self._groups([len(ids) for ids in framed]):
            unique[group] = self.model.embed_ids(*pad([framed[i] for i in group], self.model.device))
        return unique[which]

    @torch.inference_mode()
    def match(self, memory: Sequence[KeyValue], owner: Sequence[int], texts: Sequence[list[int]]) -> np.ndarray:
        """s(v, t), the matching logit minus the other, (V,), of unframed texts.

        Args:
            memory: image keys and values of :meth:`TextEncoder.image_key_values`.
            owner: for each text, its image's place in `memory`.
            texts: token ids.
        """
        framed, result = self._framed(texts, grounded=True), np.empty(len(texts))
        for group in self._groups([len(ids) for ids in framed]):
            ids, keep = pad([framed[i] for i in group], self.model.device)
            logits = self.model.match_ids(ids, keep, _of(memory, [owner[i] for i in group])).double()
            result[group] = (logits[:, 1] - logits[:, 0]).cpu().numpy()
        return result

    @torch.inference_mode()
    def contrast(self, image_VE: Tensor, text_VE: Tensor, rows: Sequence[int], hashes: Sequence[int]) -> np.ndarray:
        """L_ITC(v, t) against the frozen negatives, both directions averaged, (V,).

        Args:
            image_VE, text_VE: features of the pairs.
            rows: tile row of each image; no negative of itself.
            hashes: of each tile's text; negatives with the same text do not count.
        """
        other_image, other_text, other_row, other_hash = self.negatives
        row, text_hash = (torch.tensor(list(values), device=image_VE.device) for values in (rows, hashes))
        positive = (row[:, None] == other_row[None]) | (text_hash[:, None] == other_hash[None])
        similarity = (image_VE * text_VE).sum(1, keepdim=True)

        def loss(query: Tensor, negatives: Tensor) -> Tensor:
            others = (query @ negatives.T).masked_fill(positive, float("-inf"))
            return -F.log_softmax(torch.cat([similarity, others], 1).double() / self.model.temp.double(), 1)[:, 0]

        return ((loss(image_VE, other_text) + loss(text_VE, other_image)) / 2).cpu().numpy()

    @torch.inference_mode()
    def infill(self, memory: Sequence[KeyValue], asked: Sequence[FilledHole]) -> np.ndarray:
        """nll, gap and max_nll, (V, 3), of what is written into holes.

        Args:
            memory: image keys and values of :meth:`TextEncoder.image_key_values`.
            asked: V holes. Those of one context stand together, and the context is read once.
        """
        # A context is read once for all its holes (R rows of states below), because reading costs more than writing.
        model, tokenizer = self.model, self.model.tokenizer
        longest = model.config.text.max_length
        contexts, read, places = contexts_of(asked, longest - 2)
        framed = self._framed(contexts, grounded=True)
        written = [[tokenizer.dec, *one.content[: longest - 2], tokenizer.sep] for one in asked]
        holders: list[list[int]] = [[] for _ in framed]
        for at, context in enumerate(read):
            holders[context].append(at)
        owner = [asked[holes[0]].owner for holes in holders]
        result = np.empty((len(asked), 3))
        for group in self._groups([len(ids) for ids in framed]):
            ids, keep = pad([framed[i] for i in group], model.device)
            holes = [at for i in group for at in holders[i]]
            row_R = torch.tensor([row for row, i in enumerate(group) for _ in holders[i]], device=model.device)
            place_R = torch.tensor([1 + places[at] for at in holes], device=model.device)
            images = _of(memory, [owner[i] for i in group])
            states, kept, hole = model.decoder_input(ids, keep, images, (row_R, place_R))
            target, real = pad([written[at] for at in holes], model.device)
            hidden, _ = model.text_decoder(target[:, :-1], states, kept, hole_BD=hole)
            real = real[:, 1:]
            log_p = model.text_decoder.cls(hidden[real]).float().log_softmax(-1)
            nll, best = hidden.new_zeros(2, *real.shape, dtype=torch.float32)
            nll[real] = -log_p.gather(-1, target[:, 1:][real][:, None])[:, 0]
            best[real] = -log_p.amax(-1)
            count = real.sum(1)
            figures = torch.stack([nll.sum(1) / count, (nll - best).sum(1) / count, nll.amax(1)], 1).clamp(min=0)
            result[holes] = figures.double().cpu().numpy()
        return result

    def _framed(self, texts: Sequence[Sequence[int]], grounded: bool) -> list[list[int]]:
        longest = self.model.config.text.max_length
        return [self.model.tokenizer.frame(list(ids), longest, grounded) for ids in texts]

    def _groups(self, lengths: Sequence[int]) -> list[list[int]]:
        """Places of texts of about equal length, so many that padding included they fill a pass."""
        most, groups = self.tiles_at_once * _TOKENS_A_TILE, []
        group: list[int] = []
        for place in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
            if group and lengths[group[0]] * (len(group) + 1) > most:
                groups.append(group)
                group = []
            group.append(place)
        return [*groups, group] if group else groups


def evidence(
    scorer: Scorer,
    texts: Sequence[TileText],
    rows: Sequence[int] | None = None,
    slots: Sequence[Collection[int]] | None = None,
    kinds: Collection[str] = KINDS,
    title: str = "score texts",
    said: Sequence[Sequence[Said]] | None = None,
) -> Evidence:
    """Evidence of sub-texts; a pure function of each text and its image (up to rounding, which depends on the batch).

    Args:
        scorer: frozen model and negatives.
        texts: N texts; the hash of each is that of the tile's own text, also where a sub-text was changed for a test.
        rows: the tile row of each text in the scorer's pixels; 0 to N - 1 where not given.
        slots: positions (0-7) asked for in each text; all where not given. Those at which matching and infilling read
            nothing cannot be judged by the image and stay NaN.
        kinds: which of :data:`KINDS`; nll, gap and max_nll come together. Without views, only what needs none.
        title: of the progress bar.
        said: the words of each text, for the kinds that need views; the tile's own where not given.

    Returns:
        Figures (N, 8).
    """
    rows = range(len(texts)) if rows is None else rows
    if scorer.views is not None and said is None:
        said = [scorer.views.said(row) for row in rows]
    asked = [
        [slot for slot in sorted(range(SLOTS) if slots is None else slots[i]) if text.grounded.parts[slot].ids]
        for i, text in enumerate(texts)
    ]
    result, size = Evidence.empty(len(texts)), scorer.tiles_at_once
    for first in track(range(0, len(texts), size * _WINDOW), title):
        window = range(first, min(first + size * _WINDOW, len(texts)))
        _window(scorer, texts, rows, asked, kinds, window, result, said)
    if scorer.views is not None and said is not None and "neighbours" in kinds:
        for i, slots_of in enumerate(asked):
            for slot in slots_of:
                result.neighbours[i, slot] = scorer.views.neighbours(rows[i], slot, said[i])
    return result


@torch.inference_mode()
def _window(
    scorer: Scorer,
    texts: Sequence[TileText],
    rows: Sequence[int],
    asked: Sequence[Sequence[int]],
    kinds: Collection[str],
    window: range,
    result: Evidence,
    said: Sequence[Sequence[Said]] | None,
) -> None:
    """Fill in the figures of a window of texts: for each image the whole text, then the text without each sub-text."""
    # Texts are embedded over the whole window, since equal ones are frequent; images stay `tiles_at_once` at a time,
    # since their keys and values fill the memory.
    removing = not {*DELTAS}.isdisjoint(kinds)

    def variants_of(text: TileText, slots: Sequence[int]) -> list[list[int]]:
        return [text.ids(), *(text.ids(without=slot) for slot in slots)] if removing else []

    variants = {i: variants_of(texts[i], asked[i]) for i in window}
    if "itc" in kinds:
        features = scorer.embed([ids for i in window for ids in variants[i]])
        ends = np.cumsum([len(variants[i]) for i in window])
    for first in range(0, len(window), scorer.tiles_at_once):
        part = window[first : first + scorer.tiles_at_once]
        tokens, image, answers = scorer.look([rows[i] for i in part])
        reading = "itm" in kinds or not {*DECODER}.isdisjoint(kinds)  # contrast alone needs no keys and values
        memory = scorer.model.image_key_values(tokens) if reading else []
        owner = [at for at, i in enumerate(part) for _ in variants[i]]
        place = [(i, slot) for i in part for slot in asked[i]]
        at = tuple(np.array(place, int).reshape(-1, 2).T)
        if "itc" in kinds:
            start = 0 if part[0] == window[0] else ends[part[0] - window[0] - 1]
            mine = features[start : ends[part[-1] - window[0]]]
            of = [part[number] for number in owner]
            loss = scorer.contrast(image[owner], mine, [rows[i] for i in of], [texts[i].hash for i in of])
            result.itc[at] = _effects(loss, [len(variants[i]) for i in part])
        if "itm" in kinds:
            read = {i: variants[i] if texts[i].seen is None else variants_of(texts[i].grounded, asked[i]) for i in part}
            scores = scorer.match(memory, owner, [ids for i in part for ids in read[i]])
            result.itm[at] = _effects(scores, [len(variants[i]) for i in part])
        if place and not {*DECODER}.isdisjoint(kinds):
            mask, holes = scorer.model.tokenizer.mask, []
            for number, i in enumerate(part):
                holes += filled_holes(texts[i].grounded, number, asked[i], mask, scorer.holes_at_once)
            at = tuple(np.array([(part[one.owner], one.slot) for one in holes]).T)
            result.nll[at], result.gap[at], result.max_nll[at] = scorer.infill(memory, holes).T
        if scorer.views is not None and said is not None and place:
            for kind in VIEWS:
                if kind in kinds:
                    getattr(result, kind)[part.start : part.stop] = _on_views(
                        kind, scorer, texts, rows, asked, part, said
                    )
            if "claims" in kinds and answers is not None:
                _claims(scorer.views, answers, rows, place, part, said, result)


def _on_views(
    kind: str,
    scorer: Scorer,
    texts: Sequence[TileText],
    rows: Sequence[int],
    asked: Sequence[Sequence[int]],
    part: range,
    said: Sequence[Sequence[Said]],
) -> np.ndarray:
    """nll (len(part), 8) on other views than the image itself, mean over those that there are."""
    total, count = np.zeros((2, len(part), SLOTS))
    for memory, owners, seen in _views(kind, scorer, texts, rows, part, said):
        holes, at = [], []
        for number, (i, owner, text) in enumerate(zip(part, owners, seen)):
            if owner is not None and text is not None:
                mine = filled_holes(text.grounded, owner, asked[i], scorer.model.tokenizer.mask, scorer.holes_at_once)
                holes += mine
                at += [(number, one.slot) for one in mine]
        if holes:
            place = tuple(np.array(at).T)
            total[place] += scorer.infill(memory, holes)[:, 0]
            count[place] += 1
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _views(
    kind: str,
    scorer: Scorer,
    texts: Sequence[TileText],
    rows: Sequence[int],
    part: range,
    said: Sequence[Sequence[Said]],
) -> Iterator[tuple[Sequence[KeyValue], Sequence[int | None], Sequence[TileText | None]]]:
    """Keys and values of images; for each text of the part its place among these, and what is read with it. None where
    there is no such image or text."""
    views, mine = scorer.views, [rows[i] for i in part]
    assert views is not None
    own = [texts[i] for i in part]
    if kind == "blind":
        others = [views.others(row) for row in mine]
        for number in range(BLIND):
            yield scorer.pool, [found[number] if number < len(found) else None for found in others], own
        return
    changes: list[tuple[Callable[[np.ndarray], np.ndarray], Sequence[TileText | None]]]
    if kind == "turned":
        changes = [(turn.pixels, [views.turned(rows[i], said[i], turn) for i in part]) for turn in TURNS]
    else:
        changes = [(partial(views.speckled, mine, draw=draw), own) for draw in range(SPECKLED)]
    for change, seen in changes:
        tokens = scorer.encode(mine, change)[0]
        yield scorer.model.image_key_values(tokens), list(range(len(mine))), seen


def _claims(
    views: Views,
    answers: Answers,
    rows: Sequence[int],
    place: Sequence[tuple[int, int]],
    part: range,
    said: Sequence[Sequence[Said]],
    result: Evidence,
) -> None:
    """Fill in how much less likely the claims of sub-texts (text, position) are than others, by the model's readout."""
    asked = [(i - part.start, views.sets[rows[i]], slot, views.claims(rows[i], slot, said[i])) for i, slot in place]
    result.claims[tuple(np.array(place).T)] = claim_surprise(answers, asked)


@torch.inference_mode()
def claim_surprise(answers: Answers, asked: Sequence[tuple[int, str, int, Claims]]) -> np.ndarray:
    """How much less likely claims are than what is likeliest, by the model's readout.

    Args:
        answers: of B images.
        asked: R times the place of an image, its instruction set, the position of a sub-text (0-7), and its claims.

    Returns:
        (R,) at least 0; NaN where the readout knows nothing of what is claimed.
    """
    surprise = np.full(len(asked), np.nan)
    known = [at for at, (_, _, _, claims) in enumerate(asked) if claims]
    if known:
        grounded = [
            grounding_of_claims(kind, {DIMENSIONS[kind][slot]: claims})
            for _, kind, slot, claims in (asked[at] for at in known)
        ]
        device = answers.closed_BQK.device
        agree, held = (
            torch.from_numpy(np.stack([getattr(one, name) for one in grounded])).to(device)
            for name in ("answers_QK", "regions_M9")
        )
        image = torch.tensor([asked[at][0] for at in known], device=device)
        surprise[known] = -claim_scores(answers, agree, held, image).float().cpu().numpy()
    return surprise


def _effects(values: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """For each image's values, all but the first minus the first; one behind the other."""
    parts = np.split(values, np.cumsum(counts)[:-1])
    return np.concatenate([part[1:] - part[0] for part in parts])


def _of(memory: Sequence[KeyValue], owner: Sequence[int]) -> list[KeyValue]:
    return [(key[owner], value[owner]) for key, value in memory]
