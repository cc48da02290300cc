"""Writing the content of a hole: greedy decoding with cached keys and values, and ranking of given answers."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from knowlip.models.knowlip import KnowLIP
from knowlip.models.tokenizer import pad

_ROWS_AT_ONCE = 1024
"""Answers decoded in one pass; bounds the memory of :func:`rank`."""


@torch.inference_mode()
def greedy(model: KnowLIP, tokens_BNV: Tensor, prompts: Sequence[str], max_new_tokens: int) -> list[list[int]]:
    """The most probable next token, again and again, until [SEP].

    Returns:
        Token ids of each hole's content, without [DEC] and [SEP]. A sequence that meets the limit ends there.
    """
    memory, keep, hole = model.read(tokens_BNV, prompts)
    tokenizer, count = model.tokenizer, len(prompts)
    newest = torch.full((count, 1), tokenizer.dec, device=model.device)
    written = torch.empty(count, 0, dtype=torch.long, device=model.device)
    ended = torch.zeros(count, dtype=torch.bool, device=model.device)
    past = None
    for _ in range(min(max_new_tokens, model.config.text.max_length - 1)):
        states, past = model.text_decoder(newest, memory, keep, past, hole)
        logits = model.text_decoder.cls(states[:, -1])
        logits[:, [tokenizer.pad, tokenizer.mask, tokenizer.cls, tokenizer.enc, tokenizer.dec]] = float("-inf")
        newest = logits.argmax(-1, keepdim=True).masked_fill(ended[:, None], tokenizer.sep)
        written = torch.cat([written, newest], 1)
        ended |= newest[:, 0] == tokenizer.sep
        if bool(ended.all()):
            break
    rows = [row.tolist() for row in written]
    return [row[: row.index(tokenizer.sep)] if tokenizer.sep in row else row for row in rows]


@torch.inference_mode()
def rank(model: KnowLIP, tokens_BNV: Tensor, questions: Sequence[str], answers: Sequence[str]) -> Tensor:
    """Sum of token log-probabilities of each answer (its [SEP] included) as the hole's content: (B, A).

    Every question is read once; its memory is shared by all answers.
    """
    if not answers:
        raise ValueError("rank needs at least one answer.")
    tokenizer, count = model.tokenizer, len(answers)
    framed = [[tokenizer.dec, *tokenizer.ids(answer), tokenizer.sep] for answer in answers]
    ids_AT, real_AT = pad(framed, model.device)
    together = max(1, _ROWS_AT_ONCE // count)
    scores = []
    for start in range(0, len(questions), together):
        rows = slice(start, start + together)
        memory, keep, hole = model.read(tokens_BNV[rows], questions[rows])
        repeated = [(k.repeat_interleave(count, 0), v.repeat_interleave(count, 0)) for k, v in memory]
        ids, real = ids_AT.repeat(len(keep), 1), real_AT.repeat(len(keep), 1)
        holes = hole.repeat_interleave(count, 0) if hole is not None else None
        states, _ = model.text_decoder(ids[:, :-1], repeated, keep.repeat_interleave(count, 0), hole_BD=holes)
        log_p = F.log_softmax(model.text_decoder.cls(states).float(), -1)
        token_log_p = log_p.gather(-1, ids[:, 1:, None])[..., 0]
        scores.append((token_log_p * real[:, 1:]).sum(-1).view(-1, count))
    return torch.cat(scores)
