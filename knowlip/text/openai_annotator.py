"""The `openai` annotator: any vision-language model behind an OpenAI-compatible endpoint (hosted, vLLM, llama.cpp).

Every answer is stored before it is used, under the hash of all that was asked: an interrupted run pays nothing twice.
"""

import base64
import io
import json
import os
import random
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from openai import APIConnectionError, APIStatusError, APITimeoutError, OpenAI
from PIL import Image

from knowlip.files import read_json, sha256, write_json
from knowlip.text.answer import parse_answer
from knowlip.text.openai_options import OpenAIOptions
from knowlip.text.prompt import compose_prompt, repair_request
from knowlip.text.types import Annotation, TileRequest

REPAIR_TURNS = 2
_ENCODERS = {"jpeg": ("JPEG", {"quality": 85}), "webp": ("WEBP", {"quality": 80, "method": 4})}


class EndpointError(ValueError):
    """The endpoint cannot serve any tile: no key, wrong key, unreachable, unknown model, no credit. Stops the run."""


class TileFailed(ValueError):
    """This one tile could not be annotated; the message is the reason it is quarantined with."""


@dataclass
class Usage:
    """What was asked of the endpoint, counted over all threads."""

    requests: int = 0
    """Requests that returned an answer."""
    cached: int = 0
    """Answers that were already on disk."""
    retries: int = 0
    repairs: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, **counts: int) -> None:
        """Add to some of the counts."""
        with self._lock:
            for name, count in counts.items():
                setattr(self, name, getattr(self, name) + count)

    def as_dict(self) -> dict[str, int]:
        """The counts, for a result."""
        names = ("requests", "cached", "retries", "repairs", "input_tokens", "output_tokens")
        return {name: int(getattr(self, name)) for name in names}


class OpenAIAnnotator:
    """Annotates tiles through an OpenAI-compatible endpoint. Safe to call from several threads.

    Args:
        model: name of the model as the endpoint knows it.
        options: how to ask.
        cache: folder that holds the answers; created on first use.
        base_url: address that ends in /v1; empty = environment variable OPENAI_BASE_URL, else OpenAI's own.

    Raises:
        EndpointError: no model, or no key in the environment.
    """

    name = "openai"

    def __init__(self, model: str, options: OpenAIOptions, cache: Path, base_url: str = "") -> None:
        if not model:
            raise EndpointError("The openai annotator needs the name of a model (--model).")
        key = os.environ.get("OPENAI_API_KEY", "")
        if not key:
            raise EndpointError(
                "The openai annotator needs a key in the environment variable OPENAI_API_KEY "
                "(any word for a server of your own that asks for none)."
            )
        self.model = model
        self.options = options
        self.usage = Usage()
        self._cache = cache
        self._write_lock = threading.Lock()
        address = base_url or os.environ.get("OPENAI_BASE_URL") or None
        self._client = OpenAI(api_key=key, base_url=address, timeout=options.timeout_s, max_retries=0)
        self.base_url = str(self._client.base_url)

    def check(self) -> None:
        """Ask the endpoint for its models before anything is paid for.

        Raises:
            EndpointError: it cannot be reached, refuses the key, or does not know the model.
        """
        try:
            names = sorted(model.id for model in self._client.models.list())
        except APIConnectionError as error:  # timeouts too
            raise self._unreachable(error) from None
        except APIStatusError as error:
            if error.status_code in (401, 403):
                raise self._refused_key(error) from None
            return  # some servers have no list of models: the first answer will tell
        if names and self.model not in names:
            known = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
            raise EndpointError(f"{self.base_url} does not serve the model {self.model!r}; it serves {known}.")

    def annotate(self, request: TileRequest) -> Annotation:
        """Write the eight sub-texts of one tile.

        Raises:
            TileFailed: refused, still unusable after two repair turns, or no answer after all retries.
            EndpointError: no tile can be answered.
        """
        options = self.options
        chosen = options.instruction_set or None
        prompt = compose_prompt(
            request,
            options.layers,
            chosen,
            geographic_hint=options.geographic_hint,
            parent_text=options.parent_text,
            guided=options.guided,
            image_side=options.image_side,
        )
        has_parent = options.guided and options.parent_text and request.parent is not None
        messages = prompt.messages(image_url(request.image, options.image_side, options.image_format))
        problem = ""
        for turn in range(1 + REPAIR_TURNS):
            answer = self._ask(messages)
            if answer["refusal"] or answer["finish_reason"] == "content_filter":
                raise TileFailed(f"refused: {answer['refusal'] or 'content filter'}")
            content = answer["content"] or ""
            try:
                return parse_answer(content, request.tile_id, chosen, has_parent, options.response_format)
            except ValueError as error:
                problem = "it was cut off, be briefer" if answer["finish_reason"] == "length" else str(error)
            if turn < REPAIR_TURNS:
                self.usage.add(repairs=1)
                messages = [
                    *messages,
                    {"role": "assistant", "content": content},
                    {"role": "user", "content": repair_request(problem)},
                ]
        raise TileFailed(f"unusable after {REPAIR_TURNS} repair turns: {problem}")

    def _ask(self, messages: list[dict[str, Any]]) -> dict[str, Any]:
        """One answer, from disk or from the endpoint: content, refusal, finish_reason, input_tokens, output_tokens."""
        # The image and the parent's text are inside the messages, so the hash covers them.
        body = {**self.options.parameters(self.model), "messages": messages}
        key = sha256(json.dumps(body, sort_keys=True).encode())
        path = self._cache / key[:2] / f"{key}.json"
        if path.exists():
            self.usage.add(cached=1)
            answer: dict[str, Any] = read_json(path)
            return answer
        answer = self._send(body)
        with self._write_lock:  # two threads may have asked the same of two equal tiles
            write_json(path, answer)
        self.usage.add(requests=1, input_tokens=answer["input_tokens"], output_tokens=answer["output_tokens"])
        return answer

    def _send(self, body: dict[str, Any]) -> dict[str, Any]:
        """Ask the endpoint, patiently where waiting can help and not at all where it cannot."""
        reason = ""
        for attempt in range(1 + self.options.retries):
            asked_wait = 0.0
            try:
                known = {name: body[name] for name in ("model", "messages")}
                rest = {name: value for name, value in body.items() if name not in known}
                return _plain(self._client.chat.completions.create(**known, extra_body=rest))
            except APITimeoutError:
                reason = f"no answer within {self.options.timeout_s:g} s"
            except APIConnectionError as error:
                reason = f"connection failed ({error.__cause__ or error})"
                if attempt == self.options.retries:
                    raise self._unreachable(error) from None
            except APIStatusError as error:
                reason = f"HTTP {error.status_code}: {self._message(error)}"
                self._raise_if_hopeless(error)
                if error.status_code not in (408, 409, 429) and error.status_code < 500:
                    raise TileFailed(reason) from None
                asked_wait = _retry_after(error)
            except (json.JSONDecodeError, UnicodeDecodeError) as error:
                reason = f"the endpoint's response is not JSON ({error})"
            if attempt < self.options.retries:
                self.usage.add(retries=1)
                wait = min(60.0, self.options.backoff_s * 2.0**attempt) * random.uniform(0.5, 1.0)
                time.sleep(max(wait, asked_wait))
        raise TileFailed(f"{reason}, after {self.options.retries} retries")

    def _raise_if_hopeless(self, error: APIStatusError) -> None:
        if error.status_code in (401, 403):
            raise self._refused_key(error) from None
        if error.status_code == 404:
            raise EndpointError(
                f"{self.base_url} does not serve the model {self.model!r}, "
                f"or the address does not end in /v1 ({self._message(error)})."
            ) from None
        if error.status_code == 402 or error.code == "insufficient_quota":
            raise EndpointError(f"{self.base_url} has no credit left for this key ({self._message(error)}).") from None

    def _message(self, error: APIStatusError) -> str:
        """The endpoint's own words, short, on one line, and without the key should a proxy repeat it."""
        body = error.body
        text = str(body.get("message", body)) if isinstance(body, dict) else str(body or error.message)
        return " ".join(text.replace(self._client.api_key, "(key)").split())[:200]

    def _unreachable(self, error: Exception) -> EndpointError:
        return EndpointError(f"The endpoint {self.base_url} cannot be reached ({error.__cause__ or error}).")

    def _refused_key(self, error: APIStatusError) -> EndpointError:
        # The endpoint's own words may repeat the key, so they are not passed on.
        return EndpointError(f"{self.base_url} refuses the key in OPENAI_API_KEY (HTTP {error.status_code}).")


def image_url(image: NDArray[np.uint8], side: int, image_format: str) -> str:
    """Encode a tile as a data URL.

    Args:
        image: (H, W) grey values.
        side: longest side in pixels; a larger image is averaged down (no ringing at bright points), a smaller one kept.
        image_format: "jpeg" or "webp".
    """
    picture = Image.fromarray(image)
    longest = max(picture.size)
    if longest > side:
        width, height = (max(1, round(length * side / longest)) for length in picture.size)
        picture = picture.resize((width, height), Image.Resampling.BOX)
    name, options = _ENCODERS[image_format]
    stream = io.BytesIO()
    picture.save(stream, name, **options)
    return f"data:image/{image_format};base64,{base64.b64encode(stream.getvalue()).decode()}"


def _plain(completion: Any) -> dict[str, Any]:
    """What is kept of an answer; raises `TileFailed` where the server's reply holds none."""
    choices = getattr(completion, "choices", None)
    if not choices or choices[0].message is None:
        raise TileFailed("the endpoint's response holds no answer")
    message, usage = choices[0].message, completion.usage
    return {
        "content": message.content,
        "refusal": getattr(message, "refusal", None),
        "finish_reason": choices[0].finish_reason,
        "input_tokens": int(usage.prompt_tokens or 0) if usage else 0,
        "output_tokens": int(usage.completion_tokens or 0) if usage else 0,
    }


def _retry_after(error: APIStatusError) -> float:
    """Seconds that the endpoint asks to wait, at most 300; 0 when it does not say so in seconds."""
    try:
        return min(300.0, max(0.0, float(error.response.headers.get("retry-after", "0"))))
    except ValueError:
        return 0.0
