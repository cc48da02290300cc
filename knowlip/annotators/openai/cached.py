"""Requests to an OpenAI-compatible endpoint that are never paid twice.

Every answer is stored before it is used, under the hash of all that was asked, and every request stands in the ledger
before it is sent.
"""

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from knowlip.annotators.openai.cost import Budget, input_tokens, prices_of
from knowlip.annotators.openai.endpoint import ChatAnswer, Endpoint, EndpointError, TileFailed, plain_answer
from knowlip.annotators.openai.ledger import RequestLedger
from knowlip.annotators.openai.options import OpenAIOptions
from knowlip.base.documents import read_json
from knowlip.base.files import sha256, write_json


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


class CachedEndpoint:
    """An endpoint with a store of answers, a ledger and a budget. Safe to call from several threads.

    Args:
        model: name of the model as the endpoint knows it.
        options: how to ask.
        cache: folder that holds the answers; created on first use.
        base_url: address that ends in /v1; empty = environment variable OPENAI_BASE_URL, else OpenAI's own.
        ledger: where requests are accounted for; None = in memory.
        max_cost: what may be spent in all runs of the ledger; 0 = no limit.
        batch: whether the prices are those of batches.
        parameters: everything of a request but its messages; None: those of an annotation.

    Raises:
        EndpointError: no model, or no key in the environment.
    """

    def __init__(
        self,
        model: str,
        options: OpenAIOptions,
        cache: Path,
        base_url: str = "",
        ledger: RequestLedger | None = None,
        max_cost: float = 0.0,
        batch: bool = False,
        parameters: dict[str, Any] | None = None,
    ) -> None:
        if not model:
            raise EndpointError("The endpoint needs the name of a model (--model).")
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
        self._parameters = options.parameters(model) if parameters is None else parameters
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

    def question(
        self, messages: list[dict[str, Any]], tile_id: str, turn: int, changes: Mapping[str, Any] | None = None
    ) -> ChatRequest:
        """A request, for :meth:`ask`.

        Args:
            messages: of the chat; images are inside them, so the hash covers all that is asked.
            tile_id: what it is about, for the ledger.
            turn: 0 the question, 1 and more repair turns.
            changes: parameters that are this request's own.
        """
        body = {**self._parameters, **(changes or {}), "messages": messages}
        key = sha256(json.dumps(body, sort_keys=True).encode())
        tokens = input_tokens(body, self.options) if self._counts_tokens else 0
        return ChatRequest(key, body, tile_id, turn, tokens)

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

    def ask(self, question: ChatRequest) -> ChatAnswer:
        """One answer, from disk or from the endpoint.

        Raises:
            TileFailed: no answer after all retries, or the request is at fault.
            EndpointError: no request can be answered, or this one could pass the cost limit.
        """
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
