"""Writing the content of a hole: the most probable words, the best of several beams, or a draw.

What a row says does not depend on the rows beside it, their order or their padding: chance is seeded per row, and
padding is never attended to. (In bfloat16 a sum's rounding may depend on the batch's shape; two tokens of nearly equal
probability may then change places.)
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from knowlip.base.generation import GenerationConfig
from knowlip.models.beam import beam_search
from knowlip.models.decode import Decoding, without_end
from knowlip.models.text import KeyValue
from knowlip.models.towers import Towers


class Written(NamedTuple):
    """One text that was written."""

    ids: list[int]
    """Tokens without [DEC] and [SEP]."""
    log_p: float
    """Sum of the tokens' log-probabilities under the model, [SEP] included where it was written."""


@torch.inference_mode()
def generate(
    model: Towers,
    tokens_BNV: Tensor,
    prompts: Sequence[str],
    config: GenerationConfig,
    row_ids: Sequence[int] | None = None,
    holes: Sequence[int] | None = None,
) -> list[list[Written]]:
    """Fill a hole of each prompt ("" is one hole: a caption).

    Args:
        model: in evaluation mode.
        tokens_BNV: image tokens of :meth:`Towers.encode_images`, one row a prompt.
        prompts: texts with [MASK], questions, or "".
        config: how to write.
        row_ids: a number (>= 0) of each row from which its draws come, e.g. the tile's place in the data set; without
            it all rows use the same chance.
        holes: which [MASK] of each prompt to fill, from 0; the first by default.

    Returns:
        For each prompt `config.num` texts: of beams the best first (fewer where there are fewer), of draws in the
        order of drawing.
    """
    if len(tokens_BNV) != len(prompts):
        raise ValueError(f"There are {len(tokens_BNV)} images but {len(prompts)} prompts: give one prompt an image.")
    if not prompts:
        return []
    return generate_read(model, model.read(tokens_BNV, prompts, holes), config, row_ids)


@torch.inference_mode()
def generate_read(
    model: Towers,
    read: tuple[Sequence[KeyValue], Tensor, Tensor | None],
    config: GenerationConfig,
    row_ids: Sequence[int] | None = None,
) -> list[list[Written]]:
    """The same of what was read already (:meth:`Towers.read`, or :meth:`Towers.decoder_input` of token ids)."""
    decoding = Decoding(model, read, config)
    limit = min(config.max_new_tokens, model.config.text.max_length - len(decoding.start))
    if limit < 1:
        raise ValueError(f"generation.start leaves no room: the model reads {model.config.text.max_length} tokens.")
    if config.beams > 1:
        found = beam_search(decoding, limit)
        return [[Written(ids, log_p) for ids, log_p in row] for row in found]
    count = len(decoding)
    uniform = None
    if config.temperature:
        decoding.take(torch.arange(count, device=model.device).repeat_interleave(config.num))
        uniform = _chance(config, row_ids or [0] * count, limit).to(model.device)
    flat = _write(decoding, limit, uniform)
    return [flat[start : start + config.num] for start in range(0, len(flat), config.num)]


def write_texts(
    model: Towers, tokens_BNV: Tensor, prompts: Sequence[str], config: GenerationConfig
) -> list[list[tuple[str, float]]]:
    """The same as :func:`generate`, in words: for each prompt its texts with their log-probabilities."""
    return [
        [(model.tokenizer.text(text.ids), text.log_p) for text in texts]
        for texts in generate(model, tokens_BNV, prompts, config)
    ]


def _write(decoding: Decoding, limit: int, uniform_RL: Tensor | None) -> list[Written]:
    """One token a step for all rows: the most probable, or drawn by `uniform_RL`. Rows that ended are dropped."""
    device, sep = decoding.model.device, decoding.model.tokenizer.sep
    count = len(decoding)
    result = torch.full((count, limit), sep, device=device)
    total = torch.zeros(count, device=device)
    live = torch.arange(count, device=device)
    for place in range(limit):
        log_p = decoding.step(result[live, :place])
        if uniform_RL is None:
            chosen = log_p.argmax(-1)
        else:
            chosen = draw(log_p, uniform_RL[live, place], decoding.config)
        result[live, place] = chosen
        total[live] += log_p.gather(1, chosen[:, None])[:, 0]
        going = (chosen != sep).nonzero()[:, 0]
        if len(going) == 0:
            break
        if len(going) < len(live):
            live = live[going]
            decoding.take(going)
    return [Written(without_end(ids, sep), log_p) for ids, log_p in zip(result.tolist(), total.tolist())]


def draw(log_p_RV: Tensor, uniform_R: Tensor, config: GenerationConfig) -> Tensor:
    """Token ids (R,) by inverse transform: uniform numbers in [0, 1) looked up in the cumulated probabilities of the
    tokens that `top_k` and `top_p` leave, most probable first."""
    p_RV, order_RV = (log_p_RV / config.temperature).softmax(-1).sort(dim=-1, descending=True, stable=True)
    if config.top_k:
        p_RV[:, config.top_k :] = 0
        p_RV /= p_RV.sum(-1, keepdim=True)
    before_RV = p_RV.cumsum(-1) - p_RV
    p_RV = p_RV.masked_fill(before_RV >= config.top_p, 0)
    up_to_RV = p_RV.cumsum(-1)
    place = (up_to_RV <= uniform_R[:, None] * up_to_RV[:, -1:]).sum(-1, keepdim=True)
    last = (p_RV > 0).sum(-1, keepdim=True) - 1  # rounding must not lead behind the last token that is left
    return order_RV.gather(1, torch.minimum(place, last))[:, 0]


def _chance(config: GenerationConfig, row_ids: Sequence[int], limit: int) -> Tensor:
    """Uniform numbers (rows * num, limit), from (seed, row, draw) alone."""
    numbers = [
        np.random.default_rng([config.seed, row, which]).random(limit, dtype=np.float32)
        for row in row_ids
        for which in range(config.num)
    ]
    return torch.from_numpy(np.stack(numbers))
