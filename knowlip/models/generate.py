"""Writing the content of a hole: the most probable words, the best of several beams, or a draw.

What a row says does not depend on the rows beside it, their order or their padding: chance is seeded per row, and
padding is never attended to. (In bfloat16 a sum's rounding may depend on the batch's shape; two tokens of nearly equal
probability may then change places.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from knowlip.models.beam import beam_search
from knowlip.models.decode import Decoding, without_end
from knowlip.models.knowlip import KnowLIP


@dataclass(frozen=True)
class GenerationConfig:
    """How the content of a hole is written. As it stands: the most probable next token, again and again (greedy)."""

    max_new_tokens: int = 160
    """Longest text; one that meets this limit ends there."""
    min_new_tokens: int = 0
    """Shortest text."""
    beams: int = 1
    """Unfinished texts that are followed at once."""
    length_penalty: float = 1.0
    """Beams: a text's score is its log-probability divided by (tokens, the end included) ** length_penalty. 0 is the
    plain sum and favours short texts."""
    early_stop: bool = False
    """Beams: stop as soon as `beams` texts have ended, instead of when no unfinished one can still win."""
    temperature: float = 0.0
    """Above 0: draw tokens, from probabilities sharpened (below 1) or flattened (above 1)."""
    top_k: int = 0
    """Draw from the k most probable tokens only; 0: from all."""
    top_p: float = 1.0
    """Draw from the fewest most probable tokens that hold this probability."""
    seed: int = 0
    """Of the draws."""
    num: int = 1
    """Texts a prompt: the best beams (no more than `beams`), or this many draws."""
    start: str = ""
    """Words that every text begins with; they are not part of what is returned (BLIP's captions: "a picture of")."""
    no_repeat_ngram: int = 0
    """No run of this many tokens is written twice in a text; 0: anything may be repeated."""

    def __post_init__(self) -> None:
        for name, least in (("max_new_tokens", 1), ("min_new_tokens", 0), ("beams", 1), ("top_k", 0), ("num", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"generation.{name} must be at least {least}.")
        if self.no_repeat_ngram < 0 or self.temperature < 0:
            raise ValueError("generation.no_repeat_ngram and generation.temperature must not be negative.")
        if not 0 < self.top_p <= 1:
            raise ValueError("generation.top_p must be above 0 and at most 1.")
        if self.min_new_tokens > self.max_new_tokens:
            raise ValueError("generation.min_new_tokens must not exceed max_new_tokens.")
        if self.temperature and self.beams > 1:
            raise ValueError("Set generation.beams or generation.temperature, not both: beams are not drawn.")
        if not self.temperature and (self.top_k or self.top_p < 1):
            raise ValueError("generation.top_k and top_p need a temperature above 0: without one nothing is drawn.")
        if not self.temperature and self.num > self.beams:
            raise ValueError("generation.num must not exceed beams; draws (a temperature above 0) have no such limit.")


class Written(NamedTuple):
    """One text that was written."""

    ids: list[int]
    """Tokens without [DEC] and [SEP]."""
    log_p: float
    """Sum of the tokens' log-probabilities under the model, [SEP] included where it was written."""


@torch.inference_mode()
def generate(
    model: KnowLIP,
    tokens_BNV: Tensor,
    prompts: Sequence[str],
    config: GenerationConfig,
    row_ids: Sequence[int] | None = None,
) -> list[list[Written]]:
    """Fill the hole of each prompt ("" is one hole: a caption).

    Args:
        model: in evaluation mode.
        tokens_BNV: image tokens of :meth:`KnowLIP.encode_images`, one row a prompt.
        prompts: texts with one [MASK], questions, or "".
        config: how to write.
        row_ids: a number (>= 0) of each row from which its draws come, e.g. the tile's place in the data set; without
            it all rows use the same chance.

    Returns:
        For each prompt `config.num` texts: of beams the best first (fewer where there are fewer), of draws in the
        order of drawing.
    """
    if len(tokens_BNV) != len(prompts):
        raise ValueError(f"There are {len(tokens_BNV)} images but {len(prompts)} prompts: give one prompt an image.")
    if not prompts:
        return []
    decoding = Decoding(model, model.read(tokens_BNV, prompts), config)
    limit = min(config.max_new_tokens, model.config.text.max_length - len(decoding.start))
    if limit < 1:
        raise ValueError(f"generation.start leaves no room: the model reads {model.config.text.max_length} tokens.")
    if config.beams > 1:
        found = beam_search(decoding, limit)
        return [[Written(ids, log_p) for ids, log_p in row] for row in found]
    count = len(prompts)
    uniform = None
    if config.temperature:
        decoding.take(torch.arange(count, device=model.device).repeat_interleave(config.num))
        uniform = _chance(config, row_ids or [0] * count, limit).to(model.device)
    flat = _write(decoding, limit, uniform)
    return [flat[start : start + config.num] for start in range(0, len(flat), config.num)]


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
