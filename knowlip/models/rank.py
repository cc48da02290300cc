"""How probable given answers are as the content of a question's hole."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from knowlip.models.pooled import with_readout
from knowlip.models.text import KeyValue
from knowlip.models.tokenizer import pad
from knowlip.models.towers import Towers

_TOKENS_AT_ONCE = 4096
"""Answer tokens, padding included, decoded in one pass; bounds memory (logits are vocabulary times as many)."""


@torch.inference_mode()
def rank(
    model: Towers,
    tokens_BNV: Tensor,
    questions: Sequence[str],
    answers: Sequence[str],
    score: Literal["sum", "mean"] = "sum",
) -> Tensor:
    """Log-probability (B, A) of each answer, its [SEP] included, as the content of each question's hole.

    Every question is read with its image once; all answers share that. Answers go in chunks of similar length. Where
    the model has a readout and a question asks for landforms or types, what the readout says counts as much as the
    words, see :mod:`knowlip.models.pooled`.

    Args:
        model: in evaluation mode.
        tokens_BNV: image tokens, one row a question.
        questions: texts with one [MASK], or questions.
        answers: the list, the same for all questions.
        score: "sum" of the tokens' log-probabilities, or their "mean", which does not favour short answers.
    """
    if not answers:
        raise ValueError("rank needs at least one answer.")
    if score not in ("sum", "mean"):
        raise ValueError(f'A score of answers is "sum" or "mean", not {score!r}.')
    if len(tokens_BNV) != len(questions):
        raise ValueError(f"There are {len(tokens_BNV)} images but {len(questions)} questions.")
    tokenizer, longest = model.tokenizer, model.config.text.max_length
    framed = [[tokenizer.dec, *tokenizer.ids(answer), tokenizer.sep] for answer in answers]
    if too_long := [answer for answer, ids in zip(answers, framed) if len(ids) > longest + 1]:
        raise ValueError(f"The answer {too_long[0]!r} is longer than the model's {longest} tokens.")
    by_length = sorted(range(len(framed)), key=lambda i: len(framed[i]))  # neighbours share a chunk: little padding
    scores = torch.empty(len(questions), len(answers), device=model.device)
    most = max(1, min(len(questions), _TOKENS_AT_ONCE // len(framed[by_length[-1]])))
    for start in range(0, len(questions), most):
        rows = slice(start, min(start + most, len(questions)))
        memory, keep, hole = model.read(tokens_BNV[rows], questions[rows])
        for chunk in _chunks(by_length, framed, len(keep)):
            count = len(chunk)
            ids_AT, real_AT = pad([framed[i] for i in chunk], model.device)
            ids, real = ids_AT.repeat(len(keep), 1), real_AT.repeat(len(keep), 1)
            shared = [(k.repeat_interleave(count, 0), v.repeat_interleave(count, 0)) for k, v in memory]
            holes = hole.repeat_interleave(count, 0) if hole is not None else None
            value = log_p_of(model, ids, real, shared, keep.repeat_interleave(count, 0), holes)
            if score == "mean":
                value = value / real[:, 1:].sum(-1)
            scores[rows, torch.tensor(chunk, device=model.device)] = value.view(-1, count)
    return scores if score == "mean" else with_readout(model, tokens_BNV, questions, answers, scores)


def log_p_of(
    model: Towers,
    ids_RT: Tensor,
    real_RT: Tensor,
    memory: Sequence[KeyValue],
    keep_RM: Tensor,
    hole_RD: Tensor | None,
) -> Tensor:
    """Log-probability (R,) of answers as the content of holes: the sum over their tokens, [SEP] included.

    Args:
        model: in evaluation mode.
        ids_RT, real_RT: answers framed by [DEC] and [SEP], and mask of real tokens.
        memory, keep_RM, hole_RD: of :meth:`Towers.read`, one row an answer.
    """
    states, _ = model.text_decoder(ids_RT[:, :-1], memory, keep_RM, hole_BD=hole_RD)
    logits = model.text_decoder.cls(states).float()
    token_log_p = logits.gather(-1, ids_RT[:, 1:, None])[..., 0] - logits.logsumexp(-1)
    return (token_log_p * real_RT[:, 1:]).sum(-1)


def _chunks(order: Sequence[int], framed: Sequence[Sequence[int]], questions: int) -> list[list[int]]:
    """Answers in rising length, so many at once that all questions with them stay within the limit of tokens."""
    chunks: list[list[int]] = [[]]
    for answer in order:
        if chunks[-1] and (len(chunks[-1]) + 1) * len(framed[answer]) * questions > _TOKENS_AT_ONCE:
            chunks.append([])
        chunks[-1].append(answer)
    return chunks
