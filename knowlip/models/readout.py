"""What the image tokens know, read out as answers and handed to the text side in words' terms.

Cross-attention from random weights takes very long to learn where in an image to look. So closed questions (how many,
which type, which cover where; :mod:`knowlip.language.groundings`) are answered from the image alone, taught by the
annotator's claims and boxes, and the soft answers become memory tokens that encoder and decoder attend to beside the
patches. What is copied from them is still learned.

Shapes: B batch, V width of image tokens, C channels and G side of the fine map, N patches, Q closed questions, K
longest list of answers, M mapped names, F memory tokens, O objects.
"""

import math
from functools import partial
from typing import Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from knowlip.base.vocabulary import TARGET_CATEGORIES
from knowlip.language.closed import CLOSED, MAPPED, MOST, PLACES, TYPES
from knowlip.objectives import closed_scores

_OBJECTS: Final = 8
_TYPES: Final = len(TYPES)
_COUNT, _REGION, _TYPE = (PLACES[name] for name in ("count", "region", "type"))
_RARE: Final = -6.0
"""Logarithm of the number of targets in a cell before anything is learned."""
_SMALL: Final = -3.0
"""Logarithm of a target's size before anything is learned: a twentieth of the image."""
_NEVER: Final = -1e4


class Answers(NamedTuple):
    """What was read out of B images."""

    log_rates_BLGG: Tensor
    """Logarithm of the expected number of target centres in each cell, by category of `TARGET_CATEGORIES`."""
    log_sizes_B2GG: Tensor
    """Logarithm of width and height of the box around a target with its centre in a cell, in fractions of the image."""
    log_types_BTGG: Tensor
    """Log-probabilities of what a target with its centre in a cell is: types of ships, then of aircraft."""
    closed_BQK: Tensor
    """Log-probabilities of the answers of each closed question; very low where a question has fewer answers."""
    regions_BM9: Tensor
    """Logits that a region holds what `MAPPED` names."""


class Readout(nn.Module):
    """Answers and memory tokens from a fine map and the tokens of patches.

    Args:
        width: V.
        channels: C of the fine map.
        hidden: width of the map on which targets are found.
        questions: Q, how many of `CLOSED` it answers; 0 is all.
    """

    def __init__(self, width: int, channels: int, hidden: int = 64, questions: int = 0) -> None:
        super().__init__()
        self.questions = CLOSED[: questions or len(CLOSED)]
        questions = len(self.questions)
        widest = max(len(question.answers) for question in self.questions)
        categories = len(TARGET_CATEGORIES)
        self.from_fine = nn.Conv2d(channels, hidden, 1)
        self.from_tokens = nn.Linear(width, hidden)
        self.mix = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.rates = nn.Conv2d(hidden, categories, 1)
        self.types = nn.Conv2d(hidden, _TYPES, 1)
        self.sizes = nn.Conv2d(hidden, 2, 1)
        self.whole = nn.Sequential(
            nn.Linear(2 * width + hidden * (2 + categories) + 10 * categories + 4, 2 * width),
            nn.GELU(),
            nn.Linear(2 * width, questions * widest),
        )
        self.by_region = nn.Sequential(
            nn.Linear(2 * hidden + width + 2 * categories, width), nn.GELU(), nn.Linear(width, len(MAPPED))
        )
        self.target_gain = nn.Parameter(torch.ones(3))
        self.answer_tokens = nn.Parameter(torch.randn(questions, widest, width))
        self.question_tokens = nn.Parameter(torch.randn(questions, width) * 0.5)
        self.region_tokens = nn.Parameter(torch.randn(9, width) * 0.5)
        self.of_region = nn.Linear(len(MAPPED) + categories, width)
        self.of_object = nn.Linear(8 + categories + _TYPES, width)
        self.norm = nn.LayerNorm(width)
        nn.init.zeros_(self.rates.weight)
        nn.init.constant_(self.sizes.bias, _SMALL)  # type: ignore[arg-type]
        nn.init.constant_(self.rates.bias, _RARE)  # type: ignore[arg-type]
        real_QK = torch.tensor([[i < len(question.answers) for i in range(widest)] for question in self.questions])
        self.real_QK: Tensor
        self.register_buffer("real_QK", real_QK, persistent=False)
        self.log_factorials: Tensor
        factorials = torch.lgamma(torch.arange(MOST + 1, dtype=torch.float64) + 1).float()
        self.register_buffer("log_factorials", factorials, persistent=False)
        self.summary_width = questions * widest + 9 * (len(MAPPED) + categories)

    @property
    def tokens(self) -> int:
        """F."""
        return len(self.questions) + 9 + _OBJECTS

    def forward(
        self, fine_BCGG: Tensor, tokens_BNV: Tensor, summary_BV: Tensor, width_m_B: Tensor | None = None
    ) -> tuple[Answers, Tensor, Tensor]:
        """Answer, and say it in tokens.

        Args:
            fine_BCGG: map with the finest cells.
            tokens_BNV: of the patches alone, row by row of a square grid.
            summary_BV: of the whole image.
            width_m_B: width of each image on the ground in metres; NaN, or None for all, where it is not known.

        Returns:
            Answers, memory tokens (B, F, V), and all soft answers as one vector (B, `summary_width`).
        """
        side = fine_BCGG.shape[-1]
        grid = round(tokens_BNV.shape[1] ** 0.5)
        coarse = self.from_tokens(tokens_BNV).transpose(1, 2).unflatten(2, (grid, grid))
        known = F.interpolate(coarse, (side, side), mode="bilinear", align_corners=False)
        map_BHGG = F.relu(self.mix(F.relu(self.from_fine(fine_BCGG) + known)))
        log_rates = self.rates(map_BHGG).clamp(max=3.0)
        rates = log_rates.float().exp()
        regional_BL9 = _by_region(rates)
        seen_BL9 = regional_BL9.clamp(min=1e-4).log()
        # What is seen where targets are, weighted by how many there are.
        weight = rates / rates.sum((2, 3), keepdim=True)
        at_targets = torch.einsum("blyx,bhyx->blh", weight, map_BHGG).flatten(1)
        total_BL = rates.sum((2, 3))
        log_sizes = self.sizes(map_BHGG).float()
        log_types = self.types(map_BHGG).float().log_softmax(1)
        both = rates.sum(1, keepdim=True)
        size_B2 = (both * log_sizes).sum((2, 3)) / both.sum((2, 3))
        extent_B2 = _extent(rates.shape[0], width_m_B, rates)
        whole = torch.cat(
            [
                summary_BV,
                tokens_BNV.mean(1),
                map_BHGG.mean((2, 3)),
                map_BHGG.amax((2, 3)),
                at_targets,
                seen_BL9.flatten(1) * 0.3,
                total_BL.clamp(min=1e-4).log() * 0.3,
                size_B2,
                extent_B2,
            ],
            1,
        )
        logits_BQK = self.whole(whole).unflatten(1, self.real_QK.shape).float()
        logits_BQK = self._with_targets(logits_BQK, total_BL, rates, log_types)
        closed = logits_BQK.masked_fill(~self.real_QK, _NEVER).log_softmax(-1)
        nine = _nine(map_BHGG)
        mean9 = torch.stack([part.mean((2, 3)) for part in nine], 2)
        max9 = torch.stack([part.amax((2, 3)) for part in nine], 2)
        patches = tokens_BNV.transpose(1, 2).unflatten(2, (grid, grid))
        token9 = torch.stack([part.mean((2, 3)) for part in _nine(patches)], 2)
        share_BL9 = seen_BL9 - total_BL.clamp(min=1e-4).log()[..., None]
        region = torch.cat([mean9, max9, token9, seen_BL9 * 0.3, share_BL9 * 0.3], 1)
        regions_BM9 = self.by_region(region.transpose(1, 2)).transpose(1, 2).float()
        answers = Answers(log_rates, log_sizes, log_types, closed, regions_BM9)
        memory, said = self.in_tokens(answers, extent_B2)
        return answers, memory.to(tokens_BNV.dtype), said.to(tokens_BNV.dtype)

    def _with_targets(self, logits_BQK: Tensor, total_BL: Tensor, rates: Tensor, log_types: Tensor) -> Tensor:
        """Logits to which what the map says of targets is added: the Poisson probability of each number, the share of
        each region, and the types at the places of targets."""
        total = total_BL.sum(1, keepdim=True).clamp(min=1e-3)
        number = torch.arange(MOST + 1, device=total.device, dtype=total.dtype)
        poisson = number * total.log() - total - self.log_factorials
        weight = rates.sum(1, keepdim=True)
        kind = ((weight * log_types.exp()).sum((2, 3)) / weight.sum((2, 3)) + 1e-3).log()
        more = torch.zeros_like(logits_BQK)
        regional = _by_region(rates).sum(1)
        share = (regional / regional.sum(1, keepdim=True) + 1e-3).log()
        more[:, _COUNT, : MOST + 1] = self.target_gain[0] * poisson.clamp(min=-20)
        more[:, _REGION, :9] = self.target_gain[1] * share
        more[:, _TYPE, :_TYPES] = self.target_gain[2] * kind
        return logits_BQK + more

    def in_tokens(self, answers: Answers, extent_B2: Tensor) -> tuple[Tensor, Tensor]:
        """Soft answers as memory tokens, and as one vector.

        Args:
            answers: what is said: read from the image, or another's.
            extent_B2: logarithm of the width on the ground in kilometres, and whether it is known.
        """
        rates = answers.log_rates_BLGG.float().exp()
        seen_BL9 = _by_region(rates).clamp(min=1e-4).log()
        p_BQK = answers.closed_BQK.exp()
        held_BM9 = answers.regions_BM9.sigmoid()
        said = torch.einsum("bqk,qkv->bqv", p_BQK, self.answer_tokens) + self.question_tokens
        of_region = torch.cat([held_BM9, seen_BL9 * 0.3], 1)
        places = self.of_region(of_region.transpose(1, 2)) + self.region_tokens
        objects = self._objects(rates, answers, extent_B2)
        memory = self.norm(torch.cat([said, places, objects], 1))
        return memory, torch.cat([p_BQK.flatten(1), of_region.flatten(1)], 1)

    @property
    def names(self) -> list[str]:
        """Of the closed questions, in order."""
        return [question.name for question in self.questions]

    @property
    def reads_back(self) -> bool:
        """Whether tokens are wide enough for :meth:`regions_said`."""
        return self.of_region.out_features >= self.of_region.in_features + 2

    def reads_back_closed(self, name: str) -> bool:
        """Whether a closed question is answered, and tokens are wide enough for :meth:`closed_said`."""
        return name in self.names and self.of_region.out_features >= len(CLOSED[PLACES[name]].answers) + 2

    def regions_said(self, memory_BFV: Tensor) -> Tensor:
        """Probability (B, M, 9) that a region holds what `MAPPED` names, read back from memory tokens.

        A region's token is an affine map of its slots under a layer norm, and has many more dimensions than slots: the
        scale and the mean that the norm took away are two more unknowns of a linear least-squares problem.

        Args:
            memory_BFV: what the forward pass handed on.
        """
        slots_9VS = self.of_region.weight.expand(9, -1, -1)
        own_9V, first = self.region_tokens + self.of_region.bias, len(self.questions)
        found = self._before_norm(memory_BFV[:, first : first + 9], torch.cat([slots_9VS, own_9V[..., None]], -1))
        held = found[..., : len(MAPPED)] / found[..., -1:].clamp(min=1e-9)
        return held.clamp(0, 1).transpose(1, 2).to(memory_BFV.device, torch.float32)

    def closed_said(self, memory_BFV: Tensor, name: str) -> Tensor:
        """Probabilities (B, answers) of a closed question, read back from its memory token as
        :meth:`regions_said` reads regions: a token is the mean of its answers' vectors, each with the question's own
        added, under a layer norm.

        Args:
            memory_BFV: what the forward pass handed on.
            name: of a question that it answers.
        """
        place = PLACES[name]
        answers_KV = self.answer_tokens[place, : len(self.questions[place].answers)] + self.question_tokens[place]
        found = self._before_norm(memory_BFV[:, place, None], answers_KV.T[None])[:, 0].clamp(min=0)
        return (found / found.sum(1, keepdim=True).clamp(min=1e-9)).to(memory_BFV.device, torch.float32)

    def _before_norm(self, token_BRV: Tensor, parts_RVC: Tensor) -> Tensor:
        """How much of each part (B, R, C) a token is made of, up to the scale that the layer norm took."""
        # In double precision, which not every accelerator has: a few small systems an image.
        exact = partial(torch.Tensor.to, device="cpu", dtype=torch.float64)
        plain = (exact(token_BRV) - exact(self.norm.bias)) / exact(self.norm.weight)
        parts = exact(parts_RVC)
        mean = torch.ones_like(parts[..., :1])
        return torch.einsum("rcv,brv->brc", torch.linalg.pinv(torch.cat([parts, mean], -1)), plain)[..., :-1]

    def _objects(self, rates: Tensor, answers: Answers, extent_B2: Tensor) -> Tensor:
        """The strongest peaks of the map of targets: (B, O, V)."""
        both = rates.sum(1, keepdim=True)
        side = both.shape[-1]
        peak = torch.where(both == F.max_pool2d(both, 3, 1, 1), both, torch.zeros_like(both)).flatten(1)
        # Of equal peaks, as in an image without any content, the first counts: on every device the same one.
        count = peak.shape[1]
        peak = peak * (1 - 1e-3 * torch.arange(count, device=peak.device, dtype=peak.dtype) / count)
        missing = max(0, _OBJECTS - peak.shape[1])  # of a map with fewer cells: objects without strength
        strength, place = F.pad(peak, (0, missing)).topk(_OBJECTS, 1)
        place = place.clamp(max=side * side - 1)
        y, x = place // side, place % side

        def at(values: Tensor) -> Tensor:
            flat = values.flatten(2)
            return flat.gather(2, place[:, None].expand(-1, flat.shape[1], -1)).transpose(1, 2)

        kinds = at(answers.log_types_BTGG.exp())
        position = torch.stack([(x + 0.5) / side, (y + 0.5) / side], -1).to(rates.dtype)
        log = strength.clamp(min=1e-4).log()[..., None] * 0.3
        size = torch.cat([at(answers.log_sizes_B2GG), extent_B2[:, None].expand(-1, _OBJECTS, -1)], -1)
        present = strength[..., None].clamp(max=1)
        described = torch.cat([log, present, position, at(rates).clamp(max=1), kinds, size], -1)
        region = (y * 3 // side) * 3 + (x * 3 // side)
        return self.of_object(described) + self.region_tokens[region] * present


def _extent(batch: int, width_m_B: Tensor | None, like: Tensor) -> Tensor:
    """Logarithm of the width on the ground in kilometres, and whether it is known: (B, 2)."""
    if width_m_B is None:
        return like.new_zeros(batch, 2)
    known = torch.isfinite(width_m_B) & (width_m_B > 0)
    log = torch.where(known, width_m_B, 1000.0).to(like.dtype).log() - math.log(1000.0)
    return torch.stack([log, known.to(like.dtype)], 1)


def _nine(map_BHGG: Tensor) -> list[Tensor]:
    """The nine regions, row by row; a cell on a border is in both. As adaptive pooling to 3 x 3 cuts them, in
    operations that ONNX has."""
    side = map_BHGG.shape[-1]
    spans = [slice(part * side // 3, -(-(part + 1) * side // 3)) for part in range(3)]
    return [map_BHGG[..., rows, columns] for rows in spans for columns in spans]


def _by_region(rates_BLGG: Tensor) -> Tensor:
    """Sums over the nine regions (B, L, 9); a cell on a border is shared by area."""
    side = rates_BLGG.shape[-1]
    edges = torch.arange(side, device=rates_BLGG.device, dtype=rates_BLGG.dtype)
    start = torch.arange(3, device=edges.device, dtype=edges.dtype)[:, None] * side / 3
    share_3G = (torch.minimum(edges + 1, start + side / 3) - torch.maximum(edges, start)).clamp(0, 1)
    return torch.einsum("ry,blyx,cx->blrc", share_3G, rates_BLGG, share_3G).flatten(2)


def claim_scores(answers: Answers, agree_RQK: Tensor, held_RM9: Tensor, image_R: Tensor) -> Tensor:
    """How likely claims are against what is likeliest, by the readout: (R,) at most 0, NaN for those that it does not
    know.

    The mean over closed questions and mapped names that a claim speaks of. Of a question: the log-probability of the
    answers that agree, minus that of the likeliest answer. Of a name: the same, summed over the nine regions.

    Args:
        answers: of B images.
        agree_RQK, held_RM9: what R claims say, see :mod:`knowlip.language.groundings`.
        image_R: the image of each.
    """
    log_p, logits = answers.closed_BQK[image_R], answers.regions_BM9[image_R]
    agreed, known = closed_scores(log_p, agree_RQK[:, : log_p.shape[1]])
    closed = (agreed - log_p.amax(-1)).clamp(max=0)
    against = torch.where(held_RM9 == 1, -logits, logits).clamp(min=0) * (held_RM9 >= 0)
    regions, mapped = -against.sum(-1), (held_RM9 >= 0).any(-1)
    total = (closed * known).sum(1) + (regions * mapped).sum(1)
    count = known.sum(1) + mapped.sum(1)
    return torch.where(count > 0, total / count.clamp(min=1), torch.nan)
