"""OpenAI's chat completions, as far as a model that reads one image and one question can hold them.

What is asked and cannot be done is refused with a sentence; what is sent and not read is told in the answer's notes.
Nothing is fetched: an image comes within its request.
"""

import base64
import binascii
import math
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from knowlip.base.generation import GenerationConfig
from knowlip.inference.settings import ANSWER_TOKENS, CAPTION_TOKENS
from knowlip.inference.written import ModelText
from knowlip.pages.server import Refused

MOST_MESSAGES: Final = 200
MOST_TEXTS: Final = 8
"""Answers to one request (`n`)."""
_CAPTION: Final = re.compile(
    r"(please )?(describe|caption)( (the|this)( sar)?( radar)? (image|picture|scene|tile))?( in detail)?[.!]?",
    re.IGNORECASE,
)
"""Words that ask for a caption: what the model writes without a question. It was taught no question for it."""
_READ: Final = frozenset(
    [
        *("model", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "n", "seed"),
        *("stream", "stream_options", "metres_per_pixel", "refuse"),
    ]
)
_CHANGES_NOTHING: Final = frozenset(
    ["user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"]
)
"""Parameters of the account, not of the answer."""
_NEUTRAL: Final[dict[str, tuple[Any, ...]]] = {
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "parallel_tool_calls": (True, False),
    "stop": ([], ""),
    "modalities": (["text"],),
    "response_format": ({"type": "text"},),
}
"""Parameters that the model cannot follow, and the values with which they ask nothing of it."""


class ChatQuestion(NamedTuple):
    """What a request asks."""

    image: bytes
    """A file as it was sent."""
    question: str
    """ "" asks for a caption."""
    metres_per_pixel: float | None
    generation: GenerationConfig
    stream: bool
    usage: bool
    """Whether a stream ends with the numbers of tokens."""
    refuse: bool | None
    """Whether the question may be refused; None: as the server does."""
    notes: tuple[str, ...]
    """What of the request was not read."""


def read_chat(body: dict[str, Any], name: str, most_tokens: int) -> ChatQuestion:
    """What the body of a request to `/v1/chat/completions` asks.

    Args:
        body: any JSON object.
        name: of the model that is served.
        most_tokens: longest text, whatever is asked for.

    Raises:
        Refused: it is no such request, or asks what cannot be done.
    """
    if body.get("model") != name:
        raise Refused(f"There is no model of that name here; ask for {name!r}.", 404)
    for key, value in body.items():
        neutral = value is None or any(type(value) is type(one) and value == one for one in _NEUTRAL.get(key, ()))
        if key not in _READ and key not in _CHANGES_NOTHING and not neutral:
            raise Refused(f"This model cannot follow {key[:40]!r} with this value: leave it out.")
    image, question, notes = _read_messages(body.get("messages"))
    if _CAPTION.fullmatch(" ".join(question.split())):
        question = ""
    metres = _number(body, "metres_per_pixel", 0.0, 1e6)
    if metres == 0:
        raise Refused("metres_per_pixel is 0: give the size of a pixel on the ground, e.g. 3.")
    options = body.get("stream_options")
    usage = isinstance(options, dict) and options.get("include_usage") is True
    stream = body.get("stream") or False
    if not isinstance(stream, bool):
        raise Refused("stream is true or false.")
    refuse = body.get("refuse")
    if not (refuse is None or isinstance(refuse, bool)):
        raise Refused("refuse is true or false.")
    generation = _generation(body, question, most_tokens)
    return ChatQuestion(image, question, metres, generation, stream, usage, refuse, notes)


def _generation(body: dict[str, Any], question: str, most_tokens: int) -> GenerationConfig:
    """How the answer is written: as the commands do it, unless the request says otherwise."""
    wanted = [_whole(body, key, 1, 1 << 31) for key in ("max_completion_tokens", "max_tokens")]
    asked = next((value for value in wanted if value is not None), ANSWER_TOKENS if question else CAPTION_TOKENS)
    temperature = _number(body, "temperature", 0.0, 2.0) or 0.0
    top_p = _number(body, "top_p", 0.0, 1.0)
    count = _whole(body, "n", 1, MOST_TEXTS) or 1
    seed = _whole(body, "seed", -(1 << 63), (1 << 63) - 1) or 0
    if count > 1 and not temperature:
        raise Refused("Several answers (n) differ only where they are drawn: give a temperature above 0.")
    if top_p == 0:
        raise Refused("top_p is 0, which leaves no word: give more, or temperature 0 for the likeliest words.")
    # Without a temperature nothing is drawn, and top_p has nothing to choose from.
    top_p = top_p if temperature and top_p is not None else 1.0
    return GenerationConfig(
        min(asked, most_tokens), temperature=temperature, top_p=top_p, seed=seed % (1 << 63), num=count
    )


def _read_messages(messages: object) -> tuple[bytes, str, tuple[str, ...]]:
    """Image and question, and what was not read.

    The question is the last message; the image is in it, or in the last message of the user before it that has one.
    """
    if not isinstance(messages, list) or not 0 < len(messages) <= MOST_MESSAGES:
        raise Refused(f"messages is a list of 1 to {MOST_MESSAGES} messages.")
    roles = [one.get("role") if isinstance(one, dict) else None for one in messages]
    if any(role not in ("system", "developer", "user", "assistant") for role in roles):
        raise Refused("A message is of the role system, developer, user or assistant.")
    if roles[-1] != "user":
        raise Refused("The last message must be the user's question.")
    *before, last = [_parts(one.get("content")) for one, role in zip(messages, roles) if role == "user"]
    question = " ".join(text for text in last[0] if text)
    urls = last[1] or next((found for _, found in reversed(before) if found), [])
    if not urls:
        raise Refused(
            "There is no image in the request: send one as {'type': 'image_url', 'image_url': {'url': "
            "'data:image/png;base64,...'}}."
        )
    if len(urls) > 1:
        raise Refused("The model reads one image a question: send one.")
    notes = []
    if {"system", "developer"} & set(roles):
        notes.append("The system message was not read: the model reads one image and one question.")
    if before or "assistant" in roles:
        notes.append("Earlier turns were not read, but for the image where the question came without one.")
    return _image(urls[0]), question, tuple(notes)


def _parts(content: object) -> tuple[list[str], list[str]]:
    """Texts and addresses of images of a message."""
    if isinstance(content, str):
        return [content.strip()], []
    if not isinstance(content, list):
        raise Refused("The content of a message is a text, or a list of parts.")
    texts, urls = [], []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"].strip())
        elif kind == "image_url":
            inner = part.get("image_url")
            url = inner.get("url") if isinstance(inner, dict) else inner
            if not isinstance(url, str):
                raise Refused("An image_url holds the url of an image.")
            urls.append(url)
        else:
            raise Refused("A part of a message is a text or an image_url.")
    return texts, urls


def _image(url: str) -> bytes:
    """The bytes of a data URL."""
    head, comma, data = url.partition(",")
    if not head[:5].lower() == "data:" or not comma or not head.lower().endswith(";base64"):
        raise Refused(
            "Images are not fetched from an address: send the image itself as a data URL, data:image/png;base64,..."
        )
    try:
        return base64.b64decode(data.encode(), validate=True)
    except (binascii.Error, ValueError):
        raise Refused("The image's data URL is no base64.") from None


def _number(body: dict[str, Any], key: str, low: float, high: float) -> float | None:
    value = body.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Refused(f"{key} is a number.")
    if not low <= value <= high:
        raise Refused(f"{key} lies between {low:g} and {high:g}.")
    return float(value)


def _whole(body: dict[str, Any], key: str, low: int, high: int) -> int | None:
    value = body.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise Refused(f"{key} is a whole number from {low} to {high}.")
    return value


# ---- what is sent back ----------------------------------------------------------------------------------------------


def error_body(why: str, status: int) -> dict[str, Any]:
    """An error in OpenAI's form."""
    kinds = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
    kind = kinds.get(status, "server_error" if status >= 500 else "invalid_request_error")
    code = {401: "invalid_api_key", 413: "request_too_large"}.get(status)
    return {"error": {"message": why, "type": kind, "param": None, "code": code}}


def completion_body(
    name: str,
    texts: Sequence[ModelText],
    prompt_tokens: int,
    metres_per_pixel: float | None,
    notes: Sequence[str],
    told: Mapping[str, Any],
) -> dict[str, Any]:
    """A chat completion.

    Args:
        name: of the model.
        texts: the answers.
        prompt_tokens: of image and question.
        metres_per_pixel: that the model was told of the image.
        notes: what the asker should know; they stand under `knowlip`, which other clients pass over.
        told: of the first answer its probability, confidence, and why it is refused; there too.
    """
    # The reason of a refusal is the content too: most clients show nothing else.
    written = sum(one.tokens for one in texts)
    choices = [
        {
            "index": number,
            "message": {"role": "assistant", "content": one.text, "refusal": told["reason"]},
            "logprobs": None,
            "finish_reason": "length" if one.cut else "stop",
        }
        for number, one in enumerate(texts)
    ]
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": name,
        "choices": choices,
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": written,
            "total_tokens": prompt_tokens + written,
        },
        "knowlip": {
            **{name: told[name] for name in ("probability", "confidence", "refused", "reason")},
            "metres_per_pixel": metres_per_pixel,
            "notes": list(notes),
        },
    }


def chunks_of(completion: dict[str, Any], usage: bool) -> list[dict[str, Any]]:
    """The same completion as the chunks of a stream: each answer whole in one of them, then how it ended.

    The text is written before the first chunk is sent: on a small model that takes a fraction of a second.
    """
    shared = {key: completion[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    chunks = []
    for choice in completion["choices"]:
        delta = choice["message"]
        for content, reason in ((delta, None), ({}, choice["finish_reason"])):
            ended = {"index": choice["index"], "delta": content, "logprobs": None, "finish_reason": reason}
            chunks.append(shared | {"choices": [ended]})
    chunks[0]["knowlip"] = completion["knowlip"]
    if usage:
        chunks.append(shared | {"choices": [], "usage": completion["usage"]})
    return chunks
