"""One rank's part of a batch, as a pre-training step computes it."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

HoleGroup = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
"""Holes of about equal length, cut to it. Row of each in the batch (R,); ids and mask of the contexts (R, C); place of
the hole's [MASK] there (R,); what the decoder reads (R, L); places of real targets in the flattened (R, L), and the
targets there (M,)."""


def group_holes(context: tuple[Tensor, Tensor], hole_R: Tensor, content: tuple[Tensor, Tensor]) -> list[HoleGroup]:
    """Share holes out to one or two groups, where that saves at least a fifth of the tokens to be computed.

    A long hole leaves a short context, and the reverse: padded together, captions and single words cost as if all
    contexts and all contents were long. Widths stay multiples of 32 where the batch's are.
    """
    # One split by rising length is tried at every place; more groups cost more launches than they save padding.
    context_length, content_length = context[1].sum(1), content[1].sum(1) - 1
    order = content_length.argsort(stable=True)
    multiple = 32 if context[0].shape[1] % 32 == 0 else 1

    def up(length: Tensor, limit: int) -> Tensor:
        return (-(-length // multiple) * multiple).clamp(max=limit)

    def widths(rows: Tensor) -> Tensor:
        """Of a group of the first 1, 2, ... of these rows: (R, 2)."""
        read, write = context_length[rows].cummax(0).values, content_length[rows].cummax(0).values
        return torch.stack([up(read, context[0].shape[1]), up(write, content[0].shape[1] - 1)], 1)

    count = torch.arange(1, len(order) + 1)
    short, long = widths(order).sum(1) * count, widths(order.flip(0)).sum(1) * count
    cost = short[:-1] + long[:-1].flip(0)
    parts = [order]
    if len(cost) and cost.min() <= 0.8 * short[-1]:
        first = int(cost.argmin()) + 1
        parts = [order[:first], order[first:]]
    groups = []
    for rows in parts:
        read, write = widths(rows)[-1].tolist()
        real = content[1][rows, 1 : write + 1]
        place = real.flatten().nonzero()[:, 0]
        target = content[0][rows, 1 : write + 1].flatten()[place]
        groups.append(
            (
                rows,
                context[0][rows, :read],
                context[1][rows, :read],
                hole_R[rows],
                content[0][rows, :write],
                place,
                target,
            )
        )
    return groups


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
    """[ENC]-framed text with a hole, ids and mask, for the first rows of the batch (infill_share)."""
    hole_R: Tensor
    """Place of the hole's [MASK] in each context; other [MASK] there are sub-texts that are not shown."""
    content: tuple[Tensor, Tensor]
    """[DEC] content [SEP], ids and mask, of these holes."""
    uniform_B2: Tensor
    """The chance by which negatives are drawn: uniform in [0, 1), one number for the image's wrong text and one for the
    text's wrong image. From (seed, step, global row), so that no draw depends on the number of ranks."""
    grounded: tuple[Tensor, Tensor] | None = None
    """As `text`, what matching reads (and a plain language model writes); None where that is `text`."""
    grounded_hash_B: Tensor | None = None
    """As `text_hash_B`, of these."""
    holes: list[HoleGroup] = field(init=False)
    """`context` and `content` as they are computed, see :func:`group_holes`."""
    text_place_M: Tensor = field(init=False)
    """Places of real targets in the flattened `matched[0][:rows, 1:]`, `rows` being those of `context`: of the plain
    language model."""

    def __post_init__(self) -> None:
        self.holes = group_holes(self.context, self.hole_R, self.content)
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
        def of(value: Any) -> Any:
            if value is None:
                return None
            return type(value)(map(of, value)) if isinstance(value, tuple | list) else change(value)

        result = copy.copy(self)
        vars(result).update({name: of(value) for name, value in vars(self).items()})
        return result
