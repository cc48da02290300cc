"""Questions that words and readout answer together: landforms, and types of targets.

The text side reads the readout's tokens beside those of patches, and of what they say it loses a part: on cities that
no training saw the readout alone names the landform of a region in 89 of 100 questions, the words in 83
(`benchmarks/oracle_steps.py`). So the two are pooled: the mean of the log-probabilities that words and readout give to
an answer (a logarithmic opinion pool, Genest and Zidek, Statistical Science 1, 1986). Their sum would name the same
answers, and be too sure of them: both look at the same tokens.
"""

from collections.abc import Iterator, Sequence, Set
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from knowlip.base.vocabulary import LANDFORMS, REGIONS, SHIP_TYPES
from knowlip.language.asked import ReadQuestion, read_question
from knowlip.language.closed import HOLDS, MAPPED, TYPES
from knowlip.language.questions import QuestionType
from knowlip.models.attention import readout_tokens
from knowlip.models.readout import Readout
from knowlip.models.towers import Towers

_FORMS: Final = [MAPPED.index(name) for name in LANDFORMS]
_OF_SHIPS: Final = torch.tensor([name in {one.name for one in SHIP_TYPES} for name in TYPES])
_LEAST: Final = 1e-3
"""Probability below which the readout says no more than "hardly"."""


def with_readout(
    model: Towers, tokens_BNV: Tensor, questions: Sequence[str], answers: Sequence[str], scores_BA: Tensor
) -> Tensor:
    """Log-probabilities of answers with what the readout says of them, where it can say anything: of the landform of
    one region, of all landforms, and of the type of the targets. All others stay as they are.

    The answers of a question together stay as probable as they were.

    Args:
        tokens_BNV: image tokens, one row a question.
        questions, answers: as the model reads them; nothing is said where an answer is none of the readout's.
        scores_BA: of the words.
    """
    readout = model.readout
    if readout is None or not readout.reads_back:
        return scores_BA
    says = _of_types if {*answers} <= {*TYPES} else _of_landforms
    untaught = {*model.card.get("untaught", ())}
    asked = [read_question(question) for question in questions]
    result = scores_BA.clone()
    for row, said in says(readout, untaught, tokens_BNV[:, readout_tokens(model)], asked, answers):
        both = (scores_BA[row] + said.to(scores_BA)) / 2
        result[row] = both - both.logsumexp(0) + scores_BA[row].logsumexp(0)
    return result


_Said = Iterator[tuple[int, Tensor]]
"""Row of a question, and log-probabilities of the answers up to a constant."""


def _of_types(
    readout: Readout, untaught: Set[str], memory_BFV: Tensor, asked: Sequence[ReadQuestion], answers: Sequence[str]
) -> _Said:
    """The readout names the type of the category that has more targets: of the other it says nothing."""
    rows = [row for row, one in enumerate(asked) if one.type == QuestionType.RECOGNITION]
    if not rows or "type" in untaught or not readout.reads_back_closed("type"):
        return
    p_RT = readout.closed_said(memory_BFV[rows], "type")
    at = [TYPES.index(answer) for answer in answers]
    for row, p_T in zip(rows, p_RT, strict=True):
        of_asked = _OF_SHIPS if asked[row].subject == "ship" else ~_OF_SHIPS
        if p_T[of_asked.to(p_T.device)].sum() > 0.5:
            yield row, p_T[at].clamp(min=_LEAST).log()


def _of_landforms(
    readout: Readout, untaught: Set[str], memory_BFV: Tensor, asked: Sequence[ReadQuestion], answers: Sequence[str]
) -> _Said:
    named = [set(answer.split(", ")) for answer in answers]
    wanted = (QuestionType.REGIONAL_LANDFORM, QuestionType.ALL_LANDFORMS)
    rows = [row for row, one in enumerate(asked) if one.type in wanted]
    if not rows or not all(names <= {*LANDFORMS} for names in named):
        return
    memory_RFV = memory_BFV[rows]
    logits_RL9 = torch.logit(readout.regions_said(memory_RFV)[:, _FORMS], eps=_LEAST)
    # Of a readout that is not asked for a tenth of the tile, or was not taught it: what some region holds is there.
    asks = all(readout.reads_back_closed(name) for name in HOLDS.values()) and not untaught & {*HOLDS.values()}
    there_RL = _there(readout, memory_RFV) if asks else logits_RL9.amax(2)
    has_AL = torch.tensor([[name in names for name in LANDFORMS] for names in named], device=logits_RL9.device)
    for row, logits_L9, there_L in zip(rows, logits_RL9, there_RL, strict=True):
        if asked[row].type == QuestionType.ALL_LANDFORMS:
            yield row, torch.where(has_AL, F.logsigmoid(there_L), F.logsigmoid(-there_L)).sum(1)
        elif (has_AL.sum(1) <= 1).all():  # a list of landforms is no answer about one region
            yield row, has_AL.float() @ logits_L9[:, REGIONS.index(asked[row].subject)].log_softmax(0)


def _there(readout: Readout, memory_RFV: Tensor) -> Tensor:
    """Logits (R, landforms) that a tile holds them."""
    yes_RL = torch.stack([readout.closed_said(memory_RFV, name)[:, 1] for name in HOLDS.values()], 1)
    return torch.logit(yes_RL, eps=_LEAST)
