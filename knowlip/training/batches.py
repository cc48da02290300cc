"""Batches by number: what a training reads at (step, micro-step, rank), made ahead of time by other threads.

A batch is a function of the seed, the step and the rows of the global batch alone. So a run goes on, or is repeated,
with any number of processes and workers.
"""

from collections.abc import Generator, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from knowlip.language.directions import Turn, draw_turns
from knowlip.models.config import ModelConfig
from knowlip.models.tokenizer import around_hole
from knowlip.models.vision import map_side
from knowlip.training.augment import AugmentConfig, augment
from knowlip.training.balance import balanced
from knowlip.training.batch import AskedQuestions, Batch, Phrases, padded
from knowlip.training.corpus import Corpus
from knowlip.training.groundings import GroundingTargets, targets_of
from knowlip.training.holes import DRAWS, HoleConfig, HolePlan, cut, plan_holes
from knowlip.training.losses import ObjectiveConfig
from knowlip.training.order import Order
from knowlip.training.settings import DataConfig
from knowlip.training.task import prefetched
from knowlip.training.texts import TextLengths, TileText, kept_parts


class BatchSettings(Protocol):
    """What of a training's settings decides its batches."""

    @property
    def batch_size(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def view_drop(self) -> float: ...
    @property
    def model(self) -> ModelConfig: ...
    @property
    def objectives(self) -> ObjectiveConfig: ...
    @property
    def holes(self) -> HoleConfig: ...
    @property
    def data(self) -> DataConfig: ...
    @property
    def augment(self) -> AugmentConfig: ...


_VIEW, _NEGATIVE, _TURN, _HOLE = slice(0, 8), slice(8, 10), slice(10, 12), slice(12, 12 + DRAWS)
_ALTER, _UNTOLD = slice(12 + DRAWS, 14 + DRAWS), 14 + DRAWS
_DRAWS = 15 + DRAWS
_OF_TARGETS = 3.0
"""How much likelier a question of targets is drawn than one of land."""
_NOT_TOLD = 0.1
"""Share of pairs whose width on the ground is not told, so that images of which it is not known can be read."""
"""Uniform numbers of each row, and the columns of each use."""


class Batches:
    """The batches of one process.

    The global batch of a step is cut into `accumulate` micro-batches, one behind the other; rank r of W holds the rows
    r, r + W, r + 2 W, ... of each (see :mod:`knowlip.jobs.ranks`).

    Args:
        corpus: tiles and texts. When its texts change, end the stream and start another.
        config: settings, e.g. a `PretrainConfig`.
        rank, world: number of this process, and how many there are.
        accumulate: micro-steps a step.

    Raises:
        ValueError: the batch cannot be shared out equally, or a setting is out of range.
    """

    def __init__(
        self, corpus: Corpus, config: BatchSettings, rank: int = 0, world: int = 1, accumulate: int = 1
    ) -> None:
        if config.batch_size % (world * accumulate):
            raise ValueError(
                f"A batch of {config.batch_size} pairs cannot be shared by {world} processes in {accumulate} "
                f"micro-steps: make it a multiple of {world * accumulate}."
            )
        self.corpus, self.config = corpus, config
        self.rank, self.world, self.accumulate = rank, world, accumulate
        data = config.data
        self.order = Order(
            len(corpus.tile_ids),
            config.batch_size,
            config.seed,
            lengths=corpus.order_length_N,
            bucket_batches=data.bucket_batches,
            shards=corpus.shard_N if data.order == "shard" else None,
            weights=balanced(corpus.groups, data.balance, data.repeats) if data.balance else None,
        )

    @property
    def steps_per_epoch(self) -> int:
        return self.order.steps_per_epoch

    def at(self, step: int, micro: int = 0) -> Batch:
        """This process's part of a micro-batch, on the CPU, before :meth:`deliver`."""
        # Chance of the whole batch is drawn before a rank takes its rows: no draw depends on the number of ranks.
        config, corpus = self.config, self.corpus
        size = config.batch_size // self.accumulate
        of_micro = slice(micro * size, (micro + 1) * size)
        rows = self.order.rows(step)[of_micro]
        draws = np.random.default_rng([config.seed, 2, step]).random((config.batch_size, _DRAWS))[of_micro]
        texts, turns = self._texts(rows, draws[:, _TURN])
        lengths = TextLengths.of(texts) if any(turns) else corpus.lengths.rows(rows)
        keep = kept_parts(np.where(lengths.part_N8 > 0, draws[:, _VIEW], -1.0), config.view_drop)
        # Matching and infilling may read less than contrast; all ranks find so, for they look at the whole batch.
        apart = any(text.seen is not None for text in texts)
        grounded, grounded_keep = lengths, keep
        if apart:
            turned = any(turns)
            grounded = TextLengths.of([t.grounded for t in texts]) if turned else corpus.grounded_lengths.rows(rows)
            grounded_keep = kept_parts(np.where(grounded.part_N8 > 0, draws[:, _VIEW], -1.0), config.view_drop)
        infilled = max(self.world, round(size * config.objectives.infill_share))
        infilled -= infilled % self.world
        first = grounded.rows(np.arange(infilled))
        plan = plan_holes(first.content_N8, first.hidden_N8, draws[:infilled, _HOLE], config.holes)
        context_width, content_width = self._hole_widths(first, plan)

        mine = slice(self.rank, None, self.world)
        texts = texts[mine]
        read_texts = [text.grounded for text in texts]
        pixels = corpus.pixels[rows[mine]]
        for row, turn in enumerate(turns[mine]):
            if turn:
                pixels[row] = Turn.of(turn).pixels(pixels[row]).copy()
        untold = draws[mine, _UNTOLD] < _NOT_TOLD
        context, owner, hole, content = self._holes(read_texts, plan, mine)
        return Batch(
            pixels_BSS=torch.from_numpy(pixels),
            image_id_B=torch.from_numpy(rows[mine].astype(np.int64)),
            text_hash_B=torch.tensor([text.hash for text in texts]),
            width_m_B=torch.from_numpy(np.where(untold, np.float32(np.nan), corpus.width_m_N[rows[mine]])),
            text=padded(self._framed(texts, keep[mine]), self._text_width(lengths, keep)),
            context=padded(context, context_width),
            owner_R=torch.tensor(owner),
            hole_R=torch.tensor(hole),
            content=padded(content, content_width),
            uniform_B2=torch.from_numpy(draws[mine, _NEGATIVE].copy()),
            grounding=self._grounding(rows[mine], turns[mine]),
            phrases=self._phrases(rows[mine], turns[mine]),
            asked=self._asked(rows[mine], turns[mine], step),
            **self._grounded(read_texts, grounded_keep[mine], self._text_width(grounded, grounded_keep), apart),
            **self._altered(rows[mine], read_texts, turns[mine], grounded_keep[mine], draws[mine, _ALTER]),
        )

    def stream(self, start: int, stop: int) -> Generator[list[Batch], None, None]:
        """The micro-batches of each step from `start` to `stop` - 1, prepared ahead by threads. Ending the iteration
        early ends the threads."""
        data = self.config.data
        return prefetched(self._step, start, stop, data.workers, data.prefetch)

    def deliver(self, batch: Batch, step: int, micro: int, device: torch.device | str) -> Batch:
        """Move what :meth:`at` or :meth:`stream` gave to the training device and augment the pixels there."""
        rows = batch.image_id_B.numpy()
        size = self.config.batch_size // self.accumulate
        all_seeds = np.random.default_rng([self.config.seed, 4, step]).integers(2**62, size=self.config.batch_size)
        seeds = all_seeds[micro * size : (micro + 1) * size][self.rank :: self.world]
        scale = self.corpus.scale.rows(rows).to(device, non_blocking=True)
        moved = batch.to(device, non_blocking=True)
        seed_B = torch.from_numpy(seeds.copy()).to(device, non_blocking=True)
        moved.pixels_BSS = augment(moved.pixels_BSS, seed_B, scale, self.config.augment)
        return moved

    def _step(self, step: int) -> list[Batch]:
        batches = [self.at(step, micro) for micro in range(self.accumulate)]
        return [batch.pin() for batch in batches] if self.config.data.pin else batches

    def _texts(self, rows: np.ndarray, uniform_B2: np.ndarray) -> tuple[list[TileText], list[int]]:
        """The text of each row, and the number of the turn of its tile: 0 where the words could not follow."""
        corpus, shares = self.corpus, self.config.augment
        texts = [corpus.seen[row] for row in rows]
        turns = draw_turns(uniform_B2, shares.flips, shares.rotations).tolist()
        for at, number in enumerate(turns):
            if number:
                text = corpus.turned(int(rows[at]), Turn.of(number))
                texts[at], turns[at] = (texts[at], 0) if text is None else (text, number)
        return texts, turns

    def _framed(self, texts: Sequence[TileText], keep: np.ndarray) -> list[list[int]]:
        """Token ids of the kept sub-texts with frames."""
        frame, longest = self.corpus.tokenizer.frame, self.config.model.text.max_length
        return [frame(text.ids_of(kept), longest) for text, kept in zip(texts, keep.tolist())]

    def _grounded(self, texts: Sequence[TileText], keep: np.ndarray, width: int, apart: bool) -> dict[str, Any]:
        """The columns of a batch whose matching reads other texts than its contrast."""
        if not apart:
            return {}
        hashes = torch.tensor([text.hash for text in texts])
        return {"grounded": padded(self._framed(texts, keep), width), "grounded_hash_B": hashes}

    def _grounding(self, rows: np.ndarray, turns: Sequence[int]) -> GroundingTargets | None:
        """What the readout is taught, for pixels that are turned as `turns` says."""
        config, corpus = self.config, self.corpus
        if not (config.objectives.ground or config.objectives.attend):
            return None
        claimed = [corpus.grounding(int(row), turn) for row, turn in zip(rows, turns)]
        mentions = [corpus.mention(int(row)) for row in rows]
        truths = [corpus.teacher(int(row)) for row in rows]
        return targets_of(claimed, mentions, turns, map_side(config.model.vision), truths)

    def _phrases(self, rows: np.ndarray, turns: Sequence[int]) -> Phrases | None:
        """Words for what the regions of each image hold, as the annotator claims."""
        if not self.config.objectives.regions:
            return None
        tokenizer, longest = self.corpus.tokenizer, self.config.model.text.max_length
        place: dict[str, int] = {}
        found = []
        for at, (row, turn) in enumerate(zip(rows.tolist(), turns)):
            for region, phrase in enumerate(self.corpus.grounding(row, turn).phrases()):
                if phrase:
                    found.append((at, region, place.setdefault(phrase, len(place))))
        if not found:
            return None
        ids = [tokenizer.frame(tokenizer.ids(phrase), longest) for phrase in place]
        image, region, which = torch.tensor(found).T
        return Phrases(image, region, which, padded(ids, self._width(np.array([len(one) - 2 for one in ids]))))

    def _asked(self, rows: np.ndarray, turns: Sequence[int], step: int) -> AskedQuestions | None:
        """Some questions about each image, other ones in each step."""
        number, corpus = self.config.objectives.questions, self.corpus
        if not number:
            return None
        posed = []
        for at, (row, turn) in enumerate(zip(rows.tolist(), turns)):
            possible = corpus.questions_about(row, turn)
            chance = np.random.default_rng([self.config.seed, 6, step, row])
            # Questions of targets, which few tiles have, are drawn more often than those of land.
            weights = np.array([_OF_TARGETS if of_targets else 1.0 for _, of_targets in possible])
            drawn = np.argsort(-(chance.random(len(possible)) ** (1 / weights)), kind="stable")
            posed += [(at, possible[which][0]) for which in drawn[:number].tolist()]
        if not posed:
            return None
        longest = self.config.model.text.max_length
        return AskedQuestions.framed(corpus.tokenizer, longest, posed, lambda lengths: self._up(max(lengths)))

    def _altered(
        self, rows: np.ndarray, texts: Sequence[TileText], turns: Sequence[int], keep: np.ndarray, uniform: np.ndarray
    ) -> dict[str, Any]:
        """The columns of a batch whose matching is asked about texts with one wrong sub-text."""
        config = self.config.objectives
        if not (config.wrong_subtext and config.itm):
            return {}
        count = max(1, round(len(texts) * config.itm_share))
        altered, found, kept = [], [], keep[:count].copy()
        for at in range(count):
            text, slot = self.corpus.altered(int(rows[at]), turns[at], texts[at], uniform[at])
            found.append(slot is not None)
            if slot is not None:
                kept[at, slot] = True
            altered.append(text)
        ids = self._framed(altered, kept)
        width = self._width(np.array([len(one) - 2 for one in ids]))
        return {"altered": padded(ids, width), "altered_B": torch.tensor(found)}

    def _holes(
        self, texts: Sequence[TileText], plan: HolePlan, mine: slice
    ) -> tuple[list[list[int]], list[int], list[int], list[list[int]]]:
        """Token ids with frames: contexts; for each hole its context, its place there and its content."""
        tokenizer, longest = self.corpus.tokenizer, self.config.model.text.max_length
        places = zip(plan.slot_B[mine].tolist(), plan.start_B[mine].tolist(), plan.stop_B[mine].tolist())
        others, also = (
            [np.flatnonzero(row).tolist() for row in which[mine]] for which in (plan.others_B8, plan.also_B8)
        )
        contexts: list[list[int]] = []
        owner: list[int] = []
        hole: list[int] = []
        content: list[list[int]] = []
        for text, place, other, more in zip(texts, places, others, also):
            found = cut(text, tokenizer.mask, *place, other, more)
            ids, at = around_hole(found.context, found.place, longest - 2)
            shift = at - found.place  # of a text that is too long, the part around its first hole is read
            for where, words in [(found.place, found.content), *found.more]:
                if 0 <= where + shift < len(ids):
                    owner.append(len(contexts))
                    hole.append(1 + where + shift)
                    content.append([tokenizer.dec, *words[: longest - 2], tokenizer.sep])
            contexts.append(tokenizer.frame(ids, longest, grounded=True))
        return contexts, owner, hole, content

    def _text_width(self, lengths: TextLengths, keep: np.ndarray) -> int:
        """Padded length of texts: the same for all ranks, because it is that of all rows."""
        return self._width((lengths.part_N8 * keep).sum(1))

    def _hole_widths(self, first: TextLengths, plan: HolePlan) -> tuple[int, int]:
        """Padded lengths of context and content, of all rows too."""
        everything = plan.slot_B < 0
        hole = plan.stop_B - plan.start_B
        shown = np.where(first.hidden_N8.all(1, keepdims=True), True, ~first.hidden_N8)
        unseen = ((first.content_N8 - 1) * plan.others_B8).sum(1)
        context = np.where(everything, 1, first.part_N8.sum(1) - hole + 1 - unseen)
        content = np.where(everything, (first.part_N8 * shown).sum(1), hole)
        content = np.maximum(content, (first.content_N8 * plan.also_B8).max(1))
        return self._width(context), self._width(content, 1)  # the decoder reads all of `content` but its last column

    def _width(self, length_B: np.ndarray, extra: int = 0) -> int:
        """Of sequences with their frames, rounded up but for `extra` columns."""
        return self._up(min(self.config.model.text.max_length, int(length_B.max()) + 2) - extra) + extra

    def _up(self, width: int) -> int:
        """Rounded up to a multiple of `data.pad_multiple`, at most the longest text."""
        multiple = self.config.data.pad_multiple
        return min(self.config.model.text.max_length, -(-width // multiple * multiple))
