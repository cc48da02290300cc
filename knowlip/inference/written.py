"""What a model writes about images: the one way in which `ask`, `caption` and the endpoint come to their texts."""

from collections.abc import Sequence
from typing import NamedTuple, TypedDict

import torch
from torch import Tensor

from knowlip.base.generation import GenerationConfig
from knowlip.inference.images import TakenImage
from knowlip.inference.opened import encode
from knowlip.models import KnowLIP
from knowlip.models.generate import generate


class WrittenText(TypedDict):
    """One of several texts that were asked for."""

    text: str
    log_p: float


class ModelText(NamedTuple):
    """One text that a model wrote."""

    text: str
    log_p: float
    """Sum of its tokens' log-probabilities, its end included where it has one."""
    tokens: int
    """Tokens of the text, without its end."""
    cut: bool
    """Whether it met the limit of its length and may not be whole."""


class UnfitQuestion(ValueError):
    """A question that the model would read as another one."""


class TooLong(UnfitQuestion):
    """A question of more tokens than the model reads."""


def question_tokens(model: KnowLIP, question: str) -> int:
    """Tokens of a question.

    Raises:
        TooLong: the model does not read so many; cut, it would be another question.
        UnfitQuestion: it has several holes, or words that stand for the ends of texts.
    """
    ids, tokenizer = model.tokenizer.ids(question), model.tokenizer
    tokens, most = len(ids), model.config.text.max_length - 2
    if ids.count(tokenizer.mask) > 1:
        raise UnfitQuestion("The question has several [MASK], and one is filled: ask for one at a time.")
    _check_words(model, question, "The question")
    if tokens > most:
        raise TooLong(f"The question has {tokens} tokens and the model reads {most}: ask a shorter one.")
    return tokens


def _check_words(model: KnowLIP, text: str, what: str) -> None:
    """Raise `UnfitQuestion` where a text holds words that the model reads as the frame of a text."""
    tokenizer, ids = model.tokenizer, model.tokenizer.ids(text)
    frame = {"[PAD]": tokenizer.pad, "[CLS]": tokenizer.cls, "[SEP]": tokenizer.sep}
    frame |= {"[DEC]": tokenizer.dec, "[ENC]": tokenizer.enc}
    if held := [name for name, one in frame.items() if one in ids]:
        raise UnfitQuestion(f"{what} has {held[0]}, which the model reads as the frame of a text: leave it out.")


def unknown_words(model: KnowLIP, question: str) -> str:
    """A note on words that the model's vocabulary cannot spell (of another script, say); "" where it knows all."""
    unknown = model.tokenizer.ids(question).count(model.tokenizer.unk)
    return f"The model does not know {unknown} of the words of the question." if unknown else ""


def write(
    model: KnowLIP, images: Sequence[TakenImage], prompts: Sequence[str], config: GenerationConfig
) -> list[list[ModelText]]:
    """For each image with its prompt ("" is a caption) `config.num` texts, as :func:`knowlip.models.generate.generate`
    orders them.

    Raises:
        UnfitQuestion: a prompt that :func:`question_tokens` refuses, or a start that holds the frame of a text.
    """
    for prompt in prompts:
        question_tokens(model, prompt)
    with torch.inference_mode():
        tokens, _ = encode(model, images)
    return write_from(model, tokens, prompts, config)


def write_from(
    model: KnowLIP, tokens: Tensor, prompts: Sequence[str], config: GenerationConfig
) -> list[list[ModelText]]:
    """:func:`write` for images whose tokens (B, N, V) are known.

    Raises:
        UnfitQuestion: a prompt that :func:`question_tokens` refuses, or a start that holds the frame of a text.
    """
    for prompt in prompts:
        question_tokens(model, prompt)
    _check_words(model, config.start, "generation.start")
    tokenizer = model.tokenizer
    limit = min(config.max_new_tokens, model.config.text.max_length - len(tokenizer.ids(config.start)) - 1)
    return [
        [ModelText(tokenizer.text(one.ids), one.log_p, len(one.ids), len(one.ids) >= limit) for one in texts]
        for texts in generate(model, tokens, prompts, config)
    ]


def as_listed(texts: Sequence[ModelText]) -> list[WrittenText]:
    """Texts as results of commands list them."""
    return [{"text": one.text, "log_p": one.log_p} for one in texts]
