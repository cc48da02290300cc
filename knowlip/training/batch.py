"""One rank's part of a batch, as a pre-training step computes it."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, is_dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from knowlip.language.questions import Posed
from knowlip.models.tokenizer import TextTokenizer
from knowlip.training.groundings import GroundingTargets

Width = Callable[[Sequence[int]], int]
"""Lengths of sequences -> what they are padded to."""
HoleGroup = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""Holes of about equal length, cut to it. Row of each hole's context (R,); place of its [MASK] there (R,); what the
decoder reads (R, L); places of real targets in the flattened (R, L), and the targets there (M,)."""

_GROUPS = 3
"""Most groups of holes: more cost more launches than they save padding."""


def group_holes(owner_R: Tensor, place_R: Tensor, content: tuple[Tensor, Tensor], multiple: int = 1) -> list[HoleGroup]:
    """Share holes out by length, where that saves at least a fifth of the tokens to be computed.

    A caption is ten times as long as a sub-text, and a sub-text than a word: padded together all cost as if they were
    long. Each cut is made where it saves most.

    Args:
        owner_R, place_R: context of each hole and its place there.
        content: [DEC] content [SEP], ids and mask.
        multiple: widths that the decoder reads are multiples of it.
    """
    length_R = content[1].sum(1) - 1
    order = length_R.argsort(stable=True)
    widest = content[0].shape[1] - 1
    width_R = (-(-length_R[order] // multiple) * multiple).clamp(max=widest)
    parts = [(0, len(order))]
    while len(parts) < _GROUPS:
        best = (0, 0, 0)  # tokens saved, which part, where it is cut
        for number, (start, stop) in enumerate(parts):
            count = torch.arange(1, stop - start)
            if not len(count):
                continue
            whole = int(width_R[stop - 1]) * (stop - start)
            split = width_R[start : stop - 1] * count + int(width_R[stop - 1]) * (stop - start - count)
            saved, at = (whole - split).max(0)
            if int(saved) >= 0.2 * whole and int(saved) > best[0]:
                best = (int(saved), number, start + int(at) + 1)
        if not best[0]:
            break
        start, stop = parts[best[1]]
        parts[best[1] : best[1] + 1] = [(start, best[2]), (best[2], stop)]
    groups = []
    for start, stop in parts:
        rows, write = order[start:stop], int(width_R[stop - 1])
        real = content[1][rows, 1 : write + 1]
        place_M = real.flatten().nonzero()[:, 0]
        target_M = content[0][rows, 1 : write + 1].flatten()[place_M]
        groups.append((owner_R[rows], place_R[rows], content[0][rows, :write], place_M, target_M))
    return groups


@dataclass
class AskedQuestions:
    """Questions about the images of a batch."""

    image_Q: Tensor
    """Row of the image that each is about."""
    question: tuple[Tensor, Tensor]
    """[ENC]-framed ids and mask."""
    answer: tuple[Tensor, Tensor]
    """[DEC] answer [SEP], ids and mask."""
    holes: list[HoleGroup] = field(init=False)
    """The answers as they are computed, see :func:`group_holes`."""

    def __post_init__(self) -> None:
        every = torch.arange(len(self.image_Q))
        self.holes = group_holes(every, torch.zeros_like(every), self.answer, _multiple(self.question[0]))

    @classmethod
    def framed(
        cls, tokenizer: TextTokenizer, longest: int, posed: Sequence[tuple[int, Posed]], width: Width = max
    ) -> "AskedQuestions":
        """From words.

        Args:
            tokenizer, longest: of the model.
            posed: row of the image and question, at least one.
            width: padded length of sequences of given lengths; that of the longest by default.
        """
        questions = [tokenizer.frame(tokenizer.ids(one.question), longest, grounded=True) for _, one in posed]
        answers = [tokenizer.ids(one.answer)[: longest - 2] for _, one in posed]
        framed = [[tokenizer.dec, *ids, tokenizer.sep] for ids in answers]
        # What the decoder reads is all but the last column, so that is what has a width.
        return cls(
            torch.tensor([row for row, _ in posed]),
            padded(questions, width([len(ids) for ids in questions])),
            padded(framed, width([len(ids) - 1 for ids in framed]) + 1),
        )


@dataclass
class Phrases:
    """Words for what regions of the images hold."""

    image_R: Tensor
    """Row of the image that each region is of."""
    region_R: Tensor
    """Number of the region, 0 to 8."""
    which_R: Tensor
    """Which of the phrases says what it holds."""
    ids: tuple[Tensor, Tensor]
    """[CLS]-framed ids and mask of the phrases (U, T)."""


def _multiple(ids_BT: Tensor) -> int:
    """Of which widths are multiples where those of these are."""
    return 32 if ids_BT.shape[1] % 32 == 0 else 1


@dataclass
class Batch:
    """Pixels and padded token ids of B pairs: one rank's rows of a global batch, dealt as :mod:`~.ranks` says.

    T, the padded length of `text` (and of `grounded`), is the same on all ranks where matching draws negatives from all
    of them (`objectives.itm_negatives: all`). Make a batch on the CPU and move it with :meth:`to`: the places of
    targets are found once, where that costs no synchronisation.
    """

    pixels_BSS: Tensor
    """uint8."""
    image_id_B: Tensor
    text_hash_B: Tensor
    text: tuple[Tensor, Tensor]
    """[CLS]-framed ids and mask of real tokens, both (B, T)."""
    context: tuple[Tensor, Tensor]
    """[ENC]-framed text with holes, ids and mask, for the first rows of the batch (infill_share)."""
    hole_R: Tensor
    """Place of each hole's [MASK] in its context; other [MASK] there are sub-texts that are not shown."""
    content: tuple[Tensor, Tensor]
    """[DEC] content [SEP], ids and mask, of these holes."""
    uniform_B2: Tensor
    """The chance by which negatives are drawn: uniform in [0, 1), one number for the image's wrong text and one for the
    text's wrong image. From (seed, step, global row), so that no draw depends on the number of ranks."""
    grounded: tuple[Tensor, Tensor] | None = None
    """As `text`, what matching reads (and a plain language model writes); None where that is `text`."""
    grounded_hash_B: Tensor | None = None
    """As `text_hash_B`, of these."""
    owner_R: Tensor | None = None
    """Which context each of R holes is in, in order of the contexts; each context has one by default."""
    width_m_B: Tensor | None = None
    """Width of each image on the ground in metres, NaN where it is not known."""
    true_BM: Tensor | None = None
    """Hashes of all texts that are known to be true of each image, -1 for none: they are no wrong texts of it though it
    has another. M is the same on all ranks. None where each image has one text."""
    altered: tuple[Tensor, Tensor] | None = None
    """As `grounded`, of the first rows (itm_share), with the words of another tile in place of one sub-text; None where
    matching is not asked about such texts."""
    altered_B: Tensor | None = None
    """Whether a text was altered: other words for it were found."""
    grounding: GroundingTargets | None = None
    """What the readout is taught; None where there is none."""
    phrases: Phrases | None = None
    """What regions hold; None where they are not contrasted."""
    asked: AskedQuestions | None = None
    """Questions with answers; None where none are asked."""
    holes: list[HoleGroup] = field(init=False)
    """The holes as they are computed, see :func:`group_holes`."""
    text_place_M: Tensor = field(init=False)
    """Places of real targets in the flattened `matched[0][:rows, 1:]`, `rows` being those of `context`: of the plain
    language model."""

    def __post_init__(self) -> None:
        if self.owner_R is None:
            self.owner_R = torch.arange(len(self.context[0]))
        none = not len(self.hole_R)  # where questions alone are asked
        self.holes = [] if none else group_holes(self.owner_R, self.hole_R, self.content, _multiple(self.context[0]))
        self.text_place_M = self.matched[1][: len(self.context[0]), 1:].flatten().nonzero()[:, 0]

    @property
    def matched(self) -> tuple[Tensor, Tensor]:
        """What matching reads: `grounded`, or `text`."""
        return self.text if self.grounded is None else self.grounded

    @property
    def matched_hash_B(self) -> Tensor:
        """The hash of these."""
        return self.text_hash_B if self.grounded_hash_B is None else self.grounded_hash_B

    def __len__(self) -> int:
        return len(self.pixels_BSS)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Batch":
        """The same batch on another device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin(self) -> "Batch":
        """The same batch in page-locked memory, from which a GPU copies without waiting."""
        return self._each(lambda tensor: tensor.pin_memory())

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        result: Batch = each_tensor(self, change)
        return result


def each_tensor(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same with every tensor in it changed: in tuples, lists and dataclasses, however deep."""
    if value is None:
        return None
    if is_dataclass(value):
        result = copy.copy(value)
        vars(result).update({name: each_tensor(inner, change) for name, inner in vars(value).items()})
        return result
    if isinstance(value, tuple | list):
        return type(value)(each_tensor(inner, change) for inner in value)
    return change(value)


def padded(sequences: Sequence[Sequence[int]], width: int) -> tuple[Tensor, Tensor]:
    """Right-pad token ids with 0: ids (B, width) int64 and the mask of real tokens (B, width) bool."""
    lengths = np.array([len(sequence) for sequence in sequences])
    keep = np.arange(width) < lengths[:, None]
    ids = np.zeros(keep.shape, np.int64)
    ids[keep] = np.fromiter(chain.from_iterable(sequences), np.int64, int(lengths.sum()))
    return torch.from_numpy(ids), torch.from_numpy(keep)
