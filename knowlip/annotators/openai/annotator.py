"""The `openai` annotator: any vision-language model behind an OpenAI-compatible endpoint (hosted, vLLM, llama.cpp).

Every answer is stored before it is used, under the hash of all that was asked, and every request stands in the ledger
before it is sent: an interrupted run pays no answer twice.
"""

import base64
import io
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from knowlip.annotators.openai.answer import parse_answer
from knowlip.annotators.openai.cost import Budget, input_tokens, prices_of
from knowlip.annotators.openai.endpoint import ChatAnswer, CostLimit, Endpoint, EndpointError, TileFailed, plain_answer
from knowlip.annotators.openai.ledger import RequestLedger
from knowlip.annotators.openai.options import OpenAIOptions
from knowlip.annotators.openai.prompt import repair_request
from knowlip.annotators.types import Annotation, TileRequest
from knowlip.base.files import read_json, sha256, write_json

__all__ = ["ChatRequest", "CostLimit", "EndpointError", "OpenAIAnnotator", "TileFailed", "Usage", "image_url"]

REPAIR_TURNS = 2
_ENCODERS = {"jpeg": ("JPEG", {"quality": 85}), "webp": ("WEBP", {"quality": 80, "method": 4})}


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


@dataclass(frozen=True)
class ChatRequest:
    """One request: the first of a tile, or a repair turn."""

    key: str
    """SHA-256 of the body, which holds the image and the parent's text."""
    body: dict[str, Any]
    tile_id: str
    turn: int
    tokens: int
    """Expected input tokens; 0 where no limit and no price needs them."""


class _Unanswered(Exception):
    def __init__(self, question: ChatRequest) -> None:
        self.question = question


class OpenAIAnnotator:
    """Annotates tiles through an OpenAI-compatible endpoint. Safe to call from several threads.

    Args:
        model: name of the model as the endpoint knows it.
        options: how to ask.
        cache: folder that holds the answers; created on first use.
        base_url: address that ends in /v1; empty = environment variable OPENAI_BASE_URL, else OpenAI's own.
        ledger: where requests are accounted for; None = in memory.
        max_cost: what may be spent in all runs of the ledger; 0 = no limit.
        batch: whether the prices are those of batches.

    Raises:
        EndpointError: no model, or no key in the environment.
    """

    name = "openai"

    def __init__(
        self,
        model: str,
        options: OpenAIOptions,
        cache: Path,
        base_url: str = "",
        ledger: RequestLedger | None = None,
        max_cost: float = 0.0,
        batch: bool = False,
    ) -> None:
        if not model:
            raise EndpointError("The openai annotator needs the name of a model (--model).")
        self.model, self.options, self.usage = model, options, Usage()
        self.prices = prices_of(options, batch)
        if max_cost and not self.prices.known:
            raise EndpointError("max_cost needs prices: give openai.price_in and openai.price_out per million tokens.")
        self.endpoint = Endpoint(model, options, base_url)
        self.base_url = self.endpoint.base_url
        self.ledger = ledger or RequestLedger()
        in_flight = self.ledger.recover()
        spent = self.ledger.spent(self.prices.input, self.prices.output) - in_flight
        self.budget = Budget(max_cost, spent, in_flight)
        self._parameters = options.parameters(model)
        self._counts_tokens = self.prices.known or options.tokens_per_minute > 0
        self._cache = cache
        self._asking: set[str] = set()
        self._asked = threading.Condition()

    def check(self) -> None:
        """Ask the endpoint for its models before anything is paid for.

        Raises:
            EndpointError: it cannot be reached, refuses the key, or does not know the model.
        """
        self.endpoint.check()

    def annotate(self, request: TileRequest) -> Annotation:
        """Write the eight sub-texts of one tile.

        Raises:
            TileFailed: refused, still unusable after two repair turns, or no answer after all retries.
            EndpointError: no tile can be answered, or the next request could pass the cost limit.
        """
        return self._annotate(request, self._ask)

    def annotate_stored(self, request: TileRequest) -> Annotation:
        """The same from answers on disk alone; `TileFailed` also for a tile whose request was given up."""
        return self._annotate(request, self._stored)

    def next_question(self, request: TileRequest) -> ChatRequest | None:
        """What has to be asked next for a tile; None where it is annotated or given up."""
        try:
            self._converse(request, self._stored)
        except _Unanswered as unanswered:
            return unanswered.question
        except TileFailed:
            pass
        return None

    def _annotate(self, request: TileRequest, ask: Callable[[ChatRequest], ChatAnswer]) -> Annotation:
        try:
            note, turns = self._converse(request, ask)
        except TileFailed as error:
            self.ledger.tile(request.tile_id, "quarantined", str(error))
            raise
        self.ledger.tile(request.tile_id, "repaired" if turns else "answered")
        return note

    def _converse(self, request: TileRequest, ask: Callable[[ChatRequest], ChatAnswer]) -> tuple[Annotation, int]:
        """Lead the conversation about a tile; gives the annotation and the repair turns that it took."""
        options = self.options
        chosen = options.instruction_set or None
        prompt = options.prompt(request)
        has_parent = options.guided and options.parent_text and request.parent is not None
        messages = prompt.messages(image_url(request.image, options.image_side, options.image_format))
        problem = ""
        for turn in range(1 + REPAIR_TURNS):
            answer = ask(self._question(messages, request, turn))
            if answer["refusal"] or answer["finish_reason"] == "content_filter":
                raise TileFailed(self.endpoint.clean(f"refused: {answer['refusal'] or 'content filter'}"))
            content = answer["content"] or ""
            try:
                return parse_answer(content, request.tile_id, chosen, has_parent, options.response_format), turn
            except ValueError as error:
                problem = "it was cut off, be briefer" if answer["finish_reason"] == "length" else str(error)
            if turn < REPAIR_TURNS:
                messages = [
                    *messages,
                    {"role": "assistant", "content": content},
                    {"role": "user", "content": repair_request(problem, options.answer_form)},
                ]
        raise TileFailed(f"unusable after {REPAIR_TURNS} repair turns: {problem}")

    def _question(self, messages: list[dict[str, Any]], request: TileRequest, turn: int) -> ChatRequest:
        # The image and the parent's text are inside the messages, so the hash covers them.
        body = {**self._parameters, "messages": messages}
        key = sha256(json.dumps(body, sort_keys=True).encode())
        tokens = input_tokens(body, self.options) if self._counts_tokens else 0
        return ChatRequest(key, body, request.tile_id, turn, tokens)

    def most(self, question: ChatRequest) -> float:
        """The most that a request may cost: its input, and an answer of the greatest length."""
        lengths = [question.body.get(name, 0) for name in ("max_tokens", "max_completion_tokens")]
        return self.prices.of(question.tokens, max(lengths))

    def on_disk(self, question: ChatRequest) -> ChatAnswer | None:
        """The answer to a question that was asked before."""
        path = self._path(question.key)
        if not path.exists():
            return None
        answer: ChatAnswer = read_json(path)
        known = self.ledger.request(question.key)
        if known is None or known["state"] != "answered":  # killed between the two, or older than the ledger
            self._account(question, answer, 0.0)
        return answer

    def keep(self, question: ChatRequest, answer: ChatAnswer, seconds: float) -> float:
        """Store a new answer, then account for it. Returns what it cost."""
        write_json(self._path(question.key), answer)
        cost = self._account(question, answer, seconds)
        self.usage.add(
            requests=1,
            repairs=1 if question.turn else 0,
            input_tokens=answer["input_tokens"],
            output_tokens=answer["output_tokens"],
        )
        return cost

    def _account(self, question: ChatRequest, answer: ChatAnswer, seconds: float) -> float:
        tokens = answer["input_tokens"], answer["output_tokens"]
        cost = self.prices.of(*tokens) if self.prices.known else None
        self.ledger.answered(question.key, question.tile_id, question.turn, tokens, cost, seconds)
        return cost or 0.0

    def _path(self, key: str) -> Path:
        return self._cache / key[:2] / f"{key}.json"

    def _stored(self, question: ChatRequest) -> ChatAnswer:
        answer = self.on_disk(question)
        if answer is not None:
            return answer
        known = self.ledger.request(question.key)
        if known is not None and known["state"] == "failed":
            raise TileFailed(known["reason"])
        raise _Unanswered(question)

    def _ask(self, question: ChatRequest) -> ChatAnswer:
        """One answer, from disk or from the endpoint."""
        with self._asked:  # two equal tiles ask the same: the second waits for the first one's answer
            while question.key in self._asking:
                self._asked.wait()
            self._asking.add(question.key)
        try:
            answer = self.on_disk(question)
            if answer is not None:
                self.usage.add(cached=1)
                return answer
            return self._send(question)
        finally:
            with self._asked:
                self._asking.discard(question.key)
                self._asked.notify_all()

    def _send(self, question: ChatRequest) -> ChatAnswer:
        most, limits, body = self.most(question), self.endpoint.limits, question.body
        expected = question.tokens + self.options.typical_output_tokens
        attempts, refused, started, reserved = 0, 0, 0.0, False

        def before() -> None:
            nonlocal attempts, started, reserved
            self.usage.add(retries=1 if attempts else 0)
            attempts += 1
            self.budget.reserve(most)
            reserved = True
            limits.wait(expected)
            self.ledger.sent(question.key, question.tile_id, question.turn, most)
            started = time.perf_counter()

        def lost(reason: str, in_doubt: bool) -> None:
            nonlocal refused, reserved
            refused += 0 if in_doubt else 1
            self.ledger.failed(question.key, reason, in_doubt)
            self.budget.settle(most, most if in_doubt else 0.0)
            reserved = False

        def ask() -> ChatAnswer:
            known = {name: body[name] for name in ("model", "messages")}
            rest = {name: value for name, value in body.items() if name not in known}
            # Endpoints that know the header give a lost answer again instead of charging for another. After an error
            # that did arrive the key is another one, for some of them would repeat the error too.
            headers = {"Idempotency-Key": f"{question.key}-{refused}"}
            completion = self.endpoint.client.chat.completions.create(**known, extra_body=rest, extra_headers=headers)
            if not hasattr(completion, "model_dump"):
                raise json.JSONDecodeError("text in its place", str(completion)[:80], 0)
            return plain_answer(completion.model_dump())

        try:
            answer = self.endpoint.call(ask, before, lost)
        except TileFailed as error:
            if reserved:  # answered, but with nothing in it
                lost(str(error), True)
            raise
        cost = self.keep(question, answer, time.perf_counter() - started)
        self.budget.settle(most, cost)
        limits.settle(expected, answer["input_tokens"] + answer["output_tokens"])
        return answer


def image_url(image: NDArray[np.uint8], side: int, image_format: str) -> str:
    """Encode a tile as a data URL.

    Args:
        image: (H, W) grey values.
        side: longest side in pixels; a larger image is averaged down (no ringing at bright points), a smaller one kept.
        image_format: "jpeg" or "webp".
    """
    picture = Image.fromarray(image)
    shrink = min(1.0, side / max(image.shape))
    height, width = (max(1, round(length * shrink)) for length in image.shape)
    size = (width, height)
    if size != picture.size:
        picture = picture.resize(size, Image.Resampling.BOX)
    name, options = _ENCODERS[image_format]
    stream = io.BytesIO()
    picture.save(stream, name, **options)
    return f"data:image/{image_format};base64,{base64.b64encode(stream.getvalue()).decode()}"
