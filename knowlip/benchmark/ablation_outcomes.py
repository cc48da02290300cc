"""What the ablation measures of a model, on tiles whose places no training saw; every figure beside its blind twin, the
same with the image of another tile of the same instruction set.

    chosen     of two sub-texts, one true of the tile and one false, both in the words of other tiles, the true one is
               the likelier
    written    what the model writes into the hole of a sub-text, all others hidden, is true; silence is not
    questions  answers after fine-tuning on a few tiles

The first two need no fine-tuning, which would make all arms alike. A trial is one sub-text of one tile, or a question;
all arms answer the same trials.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypedDict, TypeVar, get_args

import numpy as np
import torch

from knowlip.base.generation import GenerationConfig
from knowlip.base.progress import track
from knowlip.base.rows import highest_floor
from knowlip.dataset import Dataset
from knowlip.language.claims import parse_claims
from knowlip.language.dimensions import DIMENSIONS, SLOTS
from knowlip.language.marks import sentences_of
from knowlip.language.questions import QUESTION_TYPES
from knowlip.language.statements import SEEN
from knowlip.language.truth import judge
from knowlip.models.encoders import Encoder
from knowlip.models.encoders.knowlip import KnowLIPEncoder
from knowlip.models.generate import generate
from knowlip.models.knowlip import KnowLIP
from knowlip.models.tokenizer import pad
from knowlip.tasks.answers import ask, floors_of
from knowlip.tasks.bench import Bench, balanced

Value = TypeVar("Value")
OutcomeName = Literal["chosen", "written", "questions"]
OUTCOMES: Final[tuple[OutcomeName, ...]] = get_args(OutcomeName)
_BATCH: Final = 32
_TRIES: Final = 400
"""Sub-texts of other tiles among which a true and a false one are sought."""


class Outcome(TypedDict, total=False):
    """Trials by kind: instruction set and dimension, or type of question."""

    right: dict[str, list[int]]
    """Whether each trial came out right, 0 or 1."""
    blind: dict[str, list[int]]
    """The same with the image of another tile; absent where it was not measured."""
    clusters: dict[str, list[str]]
    """Place of each trial, for intervals."""
    verifiable: dict[str, float]
    """written: share of what was written that makes a claim which truth can verify."""
    floors: dict[str, list[Any]]
    """questions: the highest accuracy without looking, and its name."""


@dataclass(frozen=True)
class ClaimPair:
    """Two sub-texts for one place in a text."""

    position: int
    """Of the tile among those of the bench."""
    slot: int
    """0 to 7."""
    true: str
    false: str


def claim_pairs(bench: Bench) -> list[ClaimPair]:
    """For each sub-text of each tile that is measured, what a training tile says in this dimension that is true here,
    and what another one says that is false; none where training has no such words.

    Only sentences that claim something are taken: what a sentence says of grey levels is of its own tile.
    """
    # Both come from one pool, so that neither style nor length nor frequency of words tells which is the true one.
    donors = claim_sentences(bench.data)
    found = []
    for position, tile_id in enumerate(bench.tile_ids):
        truth, name = bench.truths.get(tile_id), bench.sets[tile_id]
        if truth is None:
            continue
        rng = np.random.default_rng([bench.seed, 8, position])
        for slot, dimension in enumerate(DIMENSIONS[name]):
            pool = donors.get((name, slot), [])
            said: dict[bool, str] = {}
            for at in rng.permutation(len(pool))[:_TRIES]:
                true = judge(name, dimension, pool[at], truth, bench.windows[tile_id])
                if true is not None:
                    said.setdefault(true, pool[at])
                if len(said) == 2:
                    found.append(ClaimPair(position, slot, said[True], said[False]))
                    break
    return found


def claim_sentences(data: Dataset) -> dict[tuple[str, int], list[str]]:
    """(Instruction set, slot from 0) -> what the annotator claims of the image in each training tile."""
    texts = data.texts(0)
    texts = texts[texts["tile_id"].isin(set(data.tiles("train")["tile_id"]))]
    columns = (texts[name] for name in ("instruction_set", "slot", "dimension", "text", "marks", "evidence"))
    found: dict[tuple[str, int], list[str]] = {}
    for instruction_set, slot, dimension, text, marks, evidence in zip(*columns):
        sentences = [one.text for one in sentences_of(text, marks, evidence) if one.evidence in SEEN]
        claims = [words for words in sentences if parse_claims(instruction_set, dimension, words)]
        if claims:
            found.setdefault((instruction_set, int(slot) - 1), []).append(". ".join(claims))
    return found


def chosen(bench: Bench, encoder: Encoder, pairs: Sequence[ClaimPair]) -> Outcome:
    """In which pairs the true sub-text has the higher mean log-probability a token, all others hidden."""
    model, images = _model(encoder), bench.images(encoder)
    kinds = [_kind(bench, pair.position, pair.slot) for pair in pairs]
    hits = {}
    for name, position_of in (("right", None), ("blind", _other_positions(bench))):
        value = np.zeros(len(pairs), int)
        rows = [i for i, pair in enumerate(pairs) if position_of is None or pair.position in position_of]
        for start in track(range(0, len(rows), _BATCH), "choose between two sub-texts"):
            part = rows[start : start + _BATCH]
            shown = [pairs[i].position if position_of is None else position_of[pairs[i].position] for i in part]
            prompts = [all_hidden(bench.sets[bench.tile_ids[pairs[i].position]]) for i in part]
            words = [(pairs[i].true, pairs[i].false) for i in part]
            log_p = mean_log_p(model, images.tokens(shown), prompts, [pairs[i].slot for i in part], words)
            value[part] = log_p[:, 0] > log_p[:, 1]
        hits[name] = _by_kind([kinds[i] for i in rows], value[rows].tolist())
    places = _by_kind(kinds, [bench.clusters[bench.tile_ids[pair.position]] for pair in pairs])
    return {"right": hits["right"], "blind": hits["blind"], "clusters": places}


def written(bench: Bench, encoder: Encoder, tiles: int, config: GenerationConfig) -> Outcome:
    """Whether what the model writes into each hole of some tiles is true.

    Args:
        bench: tiles to measure.
        encoder: a KnowLIP model.
        tiles: how many tiles at most, of each instruction set alike.
        config: how it writes.
    """
    model, images = _model(encoder), bench.images(encoder)
    others = _other_positions(bench)
    order = balanced([bench.sets[tile_id] for tile_id in bench.tile_ids], tiles, bench.seed)
    trials = [(int(position), slot) for position in order for slot in range(SLOTS)]
    trials = [one for one in trials if one[0] in others and bench.tile_ids[one[0]] in bench.truths]
    kinds = [_kind(bench, *one) for one in trials]
    true: dict[str, list[bool | None]] = {"right": [], "blind": []}
    for name, said in true.items():
        for start in track(range(0, len(trials), _BATCH), "write into holes"):
            part = trials[start : start + _BATCH]
            shown = [position if name == "right" else others[position] for position, _ in part]
            prompts = [all_hidden(bench.sets[bench.tile_ids[position]]) for position, _ in part]
            numbers = [position * SLOTS + slot for position, slot in part]
            texts = generate(model, images.tokens(shown), prompts, config, numbers, [slot for _, slot in part])
            said += [_judged(bench, *one, model.tokenizer.text(told[0].ids)) for one, told in zip(part, texts)]
    known = _by_kind(kinds, [float(one is not None) for one in true["right"]])
    return {
        "right": _by_kind(kinds, [int(one is True) for one in true["right"]]),
        "blind": _by_kind(kinds, [int(one is True) for one in true["blind"]]),
        "clusters": _by_kind(kinds, [bench.clusters[bench.tile_ids[position]] for position, _ in trials]),
        "verifiable": {kind: float(np.mean(values)) for kind, values in known.items()},
    }


def answered(bench: Bench, encoder: Encoder) -> Outcome:
    """Whether each question is answered rightly."""
    asked = ask(bench, encoder)
    kinds = [kind for kind in QUESTION_TYPES if asked.rows_of(kind)]
    return {
        "right": {kind: [int(hit) for hit in asked.hits(kind)] for kind in kinds},
        "clusters": {kind: [bench.clusters[asked.questions[i].tile_id] for i in asked.rows_of(kind)] for kind in kinds},
        "floors": {kind: list(highest_floor(floors_of(asked, kind))) for kind in kinds},
    }


# ---- holes -----------------------------------------------------------------------------------------------------------


def all_hidden(instruction_set: str) -> str:
    """A text of which nothing is shown but the labels of its sub-texts."""
    return " ".join(f"{dimension}: [MASK]" for dimension in DIMENSIONS[instruction_set])


@torch.inference_mode()
def mean_log_p(
    model: KnowLIP,
    tokens_BNV: torch.Tensor,
    prompts: Sequence[str],
    holes: Sequence[int],
    contents: Sequence[Sequence[str]],
) -> np.ndarray:
    """Mean log-probability a token, the [SEP] included, of several contents of each prompt's hole: (B, A).

    Args:
        model: in evaluation mode.
        tokens_BNV: image tokens, one row a prompt.
        prompts: texts with [MASK].
        holes: which [MASK] of each is meant, from 0.
        contents: A for each prompt, as sub-texts are written.
    """
    tokenizer, count = model.tokenizer, len(contents[0])
    longest = model.config.text.max_length - 1
    words = [tokenizer.ids(text.rstrip(". ") + ".")[:longest] for row in contents for text in row]
    ids, real = pad([[tokenizer.dec, *one, tokenizer.sep] for one in words], model.device)
    memory, keep, hole = model.read(tokens_BNV, prompts, holes)
    shared = [(k.repeat_interleave(count, 0), v.repeat_interleave(count, 0)) for k, v in memory]
    start = hole.repeat_interleave(count, 0) if hole is not None else None
    states, _ = model.text_decoder(ids[:, :-1], shared, keep.repeat_interleave(count, 0), hole_BD=start)
    logits = model.text_decoder.cls(states).float()
    log_p = logits.gather(-1, ids[:, 1:, None])[..., 0] - logits.logsumexp(-1)
    mean = (log_p * real[:, 1:]).sum(-1) / real[:, 1:].sum(-1)
    return mean.view(-1, count).double().cpu().numpy()


def _model(encoder: Encoder) -> KnowLIP:
    assert isinstance(encoder, KnowLIPEncoder), "the ablation measures models that it has trained"
    return encoder.model


def _kind(bench: Bench, position: int, slot: int) -> str:
    name = bench.sets[bench.tile_ids[position]]
    return f"{name} {DIMENSIONS[name][slot]}"


def _judged(bench: Bench, position: int, slot: int, text: str) -> bool | None:
    tile_id = bench.tile_ids[position]
    name = bench.sets[tile_id]
    return judge(name, DIMENSIONS[name][slot], text, bench.truths[tile_id], bench.windows[tile_id])


def _other_positions(bench: Bench) -> Mapping[int, int]:
    """Position of a tile -> that of the one which lends it the wrong image."""
    place = {tile_id: position for position, tile_id in enumerate(bench.tile_ids)}
    return {place[one]: place[other] for one, other in bench.others.items()}


def _by_kind(kinds: Sequence[str], values: Sequence[Value]) -> dict[str, list[Value]]:
    found: dict[str, list[Value]] = {}
    for kind, value in zip(kinds, values):
        found.setdefault(kind, []).append(value)
    return {kind: found[kind] for kind in sorted(found)}
