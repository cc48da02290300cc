"""Texts that are being written, one token a step: cached keys and values, forbidden tokens, rows that come and go.

Shapes: R rows (texts being written), L tokens written so far, V vocabulary, D text width.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from knowlip.base.generation import GenerationConfig
from knowlip.models.text import KeyValue, rows_of
from knowlip.models.towers import Towers

NEVER = float("-inf")


class Decoding:
    """The decoder's side of R rows.

    Args:
        model: in evaluation mode.
        read: what the decoder attends to, of :meth:`Towers.read`.
        config: `start` is read first; `min_new_tokens` and `no_repeat_ngram` forbid tokens.
    """

    def __init__(
        self, model: Towers, read: tuple[Sequence[KeyValue], Tensor, Tensor | None], config: GenerationConfig
    ) -> None:
        self.model, self.config = model, config
        self.memory, self.keep, self.hole = read
        self.past: list[KeyValue] | None = None
        tokenizer = model.tokenizer
        self.start = [tokenizer.dec, *tokenizer.ids(config.start)]
        self.frame_ids = [tokenizer.pad, tokenizer.mask, tokenizer.cls, tokenizer.enc, tokenizer.dec]

    def __len__(self) -> int:
        return len(self.keep)

    def step(self, written_RL: Tensor) -> Tensor:
        """Log-probabilities (R, V), float32, of the token behind `written_RL`; forbidden ones are -inf.

        The distribution is the model's own: what is forbidden keeps its share, so that a text's sum is what
        :func:`knowlip.models.rank.rank` gives it.
        """
        length = written_RL.shape[1]
        if length:
            newest = written_RL[:, -1:]
        else:
            newest = torch.tensor([self.start], device=self.model.device).expand(len(self), -1)
        decoder = self.model.text_decoder
        states, self.past = decoder(newest, self.memory, self.keep, self.past, self.hole)
        log_p = F.log_softmax(decoder.cls(states[:, -1]).float(), -1)
        log_p[:, self.frame_ids] = NEVER
        if self.config.no_repeat_ngram:
            start = torch.tensor(self.start, device=self.model.device).expand(len(self), -1)
            forbid_repeats(log_p, torch.cat([start, written_RL], 1), self.config.no_repeat_ngram)
        if length < self.config.min_new_tokens:  # a row that may write nothing else may end early
            sep = self.model.tokenizer.sep
            longer = log_p.clone()
            longer[:, sep] = NEVER
            log_p = torch.where(longer.isneginf().all(1, keepdim=True), log_p, longer)
        return log_p

    def take(self, rows: Tensor) -> None:
        """Keep these rows, in this order; a row may be taken more than once."""
        self.memory = rows_of(self.memory, rows)
        self.past = rows_of(self.past, rows) if self.past is not None else None
        self.keep = self.keep[rows]
        self.hole = self.hole[rows] if self.hole is not None else None

    def reorder(self, rows: Tensor) -> None:
        """The same for rows that read the same memory as those whose place they take (the beams of one text)."""
        assert self.past is not None
        self.past = rows_of(self.past, rows)


def forbid_repeats(log_p_RV: Tensor, written_RL: Tensor, size: int) -> None:
    """Set to -inf, in place, every token that would complete a run of `size` tokens that the row has written before."""
    length = written_RL.shape[1]
    if length < size:
        return
    runs = written_RL.unfold(1, size, 1)
    newest = written_RL[:, length - size + 1 :]
    row, place = (runs[..., :-1] == newest[:, None]).all(-1).nonzero(as_tuple=True)
    log_p_RV[row, runs[row, place, -1]] = NEVER


def without_end(ids: list[int], sep: int) -> list[int]:
    """Token ids before the first [SEP]."""
    return ids[: ids.index(sep)] if sep in ids else ids
