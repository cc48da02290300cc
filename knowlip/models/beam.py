"""Beam search: the K most probable unfinished texts of every row are followed at once.

Exact with respect to the beam: a row stops only when no unfinished text can score better than those that ended,
unless `early_stop` says otherwise. With K large enough it finds the best of all texts (the tests list them).

Shapes: R rows, K beams, V vocabulary, L longest text.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from knowlip.models.decode import NEVER, Decoding, without_end


@dataclass
class _Beams:
    """The state of R rows that are still being searched."""

    written_RKL: Tensor
    log_p_RK: Tensor
    """-inf where there is no such beam."""
    ended_RKL: Tensor
    ended_log_p_RK: Tensor
    score_RK: Tensor
    """Of the texts that ended, best first; -inf where there is none."""

    def take(self, rows: Tensor) -> None:
        for name, value in vars(self).items():
            setattr(self, name, value[rows])


def beam_search(decoding: Decoding, limit: int) -> list[list[tuple[list[int], float]]]:
    """The best texts of every row.

    Args:
        decoding: one row a prompt, nothing written yet.
        limit: longest text in tokens; a text that meets it counts as ended.

    Returns:
        For each row up to `num` pairs of token ids (without [SEP]) and log-probability, best score first.
    """
    config, device, sep = decoding.config, decoding.model.device, decoding.model.tokenizer.sep
    rows, width = len(decoding), config.beams
    texts = torch.full((rows, width, limit), sep, device=device)
    log_p_RK = torch.full((rows, width), NEVER, device=device)
    log_p_RK[:, 0] = 0
    beams = _Beams(texts, log_p_RK, texts.clone(), log_p_RK.clone(), torch.full_like(log_p_RK, NEVER))
    decoding.take(torch.arange(rows, device=device).repeat_interleave(width))
    found: list[list[tuple[list[int], float]]] = [[] for _ in range(rows)]
    live = torch.arange(rows, device=device)
    for place in range(limit):
        step = decoding.step(beams.written_RKL[:, :, :place].flatten(0, 1))
        reached = beams.log_p_RK[:, :, None] + step.unflatten(0, (-1, width))
        vocabulary = reached.shape[-1]
        log_p, which = reached.flatten(1).topk(min(2 * width, width * vocabulary))
        beam, token = which // vocabulary, which % vocabulary
        written = beams.written_RKL.gather(1, beam[..., None].expand(-1, -1, limit))
        written[:, :, place] = token
        ends = token == sep
        length = place + 1
        first = slice(0, width)  # a text ends only where it is among the K best, as in the searches of BLIP and others
        ended = log_p[:, first].masked_fill(~ends[:, first], NEVER)
        _keep_ended(beams, written[:, first], ended, length**config.length_penalty)
        beams.log_p_RK, going = log_p.masked_fill(ends, NEVER).topk(width)
        beams.written_RKL = written.gather(1, going[..., None].expand(-1, -1, limit))
        if length == limit:
            _keep_ended(beams, beams.written_RKL, beams.log_p_RK, length**config.length_penalty)
        if config.early_stop:
            done = (beams.score_RK > NEVER).all(1)
        else:  # a log-probability only falls, so this is the best that an unfinished text can still reach
            best = beams.log_p_RK[:, 0] / max(limit**config.length_penalty, (length + 1) ** config.length_penalty)
            done = best <= beams.score_RK[:, config.num - 1]
        done |= beams.log_p_RK[:, 0].isneginf() | (length == limit)
        for row in done.nonzero()[:, 0].tolist():
            ids, scores = beams.ended_RKL[row].tolist(), beams.score_RK[row].tolist()
            totals = beams.ended_log_p_RK[row].tolist()
            found[int(live[row])] = [
                (without_end(text, sep), total)
                for text, total, score in zip(ids[: config.num], totals, scores)
                if score > NEVER
            ]
        rest = (~done).nonzero()[:, 0]
        if len(rest) == 0:
            break
        parent = beam.gather(1, going) + width * torch.arange(len(live), device=device)[:, None]
        decoding.reorder(parent.flatten())
        if len(rest) < len(live):
            live = live[rest]
            beams.take(rest)
            decoding.take((rest[:, None] * width + torch.arange(width, device=device)).flatten())
    return found


def _keep_ended(beams: _Beams, written: Tensor, log_p: Tensor, divisor: float) -> None:
    """Keep the K best of the texts that ended before and of `written` (R, C, L); -inf in `log_p` (R, C) is no text."""
    scores = torch.cat([beams.score_RK, log_p / divisor], 1)
    beams.score_RK, best = scores.topk(beams.score_RK.shape[1])
    beams.ended_log_p_RK = torch.cat([beams.ended_log_p_RK, log_p], 1).gather(1, best)
    texts = torch.cat([beams.ended_RKL, written], 1)
    beams.ended_RKL = texts.gather(1, best[..., None].expand(-1, -1, texts.shape[-1]))
