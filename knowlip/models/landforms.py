"""Questions about landforms, answered by the words and by the readout together.

The text side reads the readout's tokens beside those of patches, and of what they say about regions it loses a part:
on cities that no training saw the readout alone names the landform of a region in 89 of 100 questions, the words in 83
(`benchmarks/oracle_steps.py`). So the two are pooled: the mean of the log-probabilities that words and readout give to
an answer (a logarithmic opinion pool, Genest and Zidek, Statistical Science 1, 1986). Their sum would name the same
answers, and be too sure of them: both look at the same tokens.
"""

from collections.abc import Sequence
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from knowlip.base.vocabulary import LANDFORMS, REGIONS
from knowlip.language.asked import read_question
from knowlip.language.groundings import MAPPED
from knowlip.language.questions import QuestionType
from knowlip.models.attention import readout_tokens
from knowlip.models.towers import Towers

_FORMS: Final = [MAPPED.index(name) for name in LANDFORMS]
_LEAST: Final = 1e-3
"""Probability below which the readout says no more than "hardly"."""


def with_landforms(
    model: Towers, tokens_BNV: Tensor, questions: Sequence[str], answers: Sequence[str], scores_BA: Tensor
) -> Tensor:
    """Log-probabilities of answers with what the readout says of them, where it can say anything: of the landform of
    one region, and of all landforms. All others stay as they are.

    The answers of a question together stay as probable as they were.

    Args:
        tokens_BNV: image tokens, one row a question.
        questions, answers: as the model reads them; nothing is said where an answer is no landform or list of them.
        scores_BA: of the words.
    """
    named = [set(answer.split(", ")) for answer in answers]
    if model.readout is None or not model.readout.reads_back or not all(names <= {*LANDFORMS} for names in named):
        return scores_BA
    asked = [read_question(question) for question in questions]
    rows = [
        i for i, one in enumerate(asked) if one.type in (QuestionType.REGIONAL_LANDFORM, QuestionType.ALL_LANDFORMS)
    ]
    if not rows:
        return scores_BA
    held = model.readout.regions_said(tokens_BNV[rows, readout_tokens(model)])[:, _FORMS].to(scores_BA.device)
    logits_RL9 = torch.logit(held, eps=_LEAST)
    has_AL = torch.tensor([[name in names for name in LANDFORMS] for names in named], device=scores_BA.device)
    result = scores_BA.clone()
    for row, logits_L9 in zip(rows, logits_RL9, strict=True):
        if asked[row].type == QuestionType.REGIONAL_LANDFORM:
            if (has_AL.sum(1) > 1).any():
                continue  # a list of landforms is no answer about one region
            said = has_AL.float() @ logits_L9[:, REGIONS.index(asked[row].subject)].log_softmax(0)
        else:
            # It is there where some region holds it.
            there_L = logits_L9.amax(1)
            said = torch.where(has_AL, F.logsigmoid(there_L), F.logsigmoid(-there_L)).sum(1)
        both = (scores_BA[row] + said.to(scores_BA.dtype)) / 2
        result[row] = both - both.logsumexp(0) + scores_BA[row].logsumexp(0)
    return result
