"""Requests to an OpenAI-compatible endpoint that are never paid twice.

Every reply is stored as it came before anything is done with it, under the hash of all that was asked, and every
request stands in the ledger before it is sent.
"""

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from knowlip.annotators.openai.cost import Budget, input_tokens, output_tokens, prices_of
from knowlip.annotators.openai.endpoint import Endpoint, EndpointError, TileFailed, Unusable
from knowlip.annotators.openai.ledger import RequestLedger
from knowlip.annotators.openai.options import OpenAIOptions
from knowlip.annotators.openai.reply import ChatAnswer, read_answer
from knowlip.base.files import sha256, whole_file
from knowlip.base.progress import say


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
        self._parameters = options.parameters(model) if parameters is None else parameters
        if max_cost and not self._longest(self._parameters):
            raise EndpointError("max_cost needs a limit of the answers: give openai.max_tokens.")
        self.endpoint = Endpoint(model, options, base_url)
        self.base_url = self.endpoint.base_url
        self.ledger = ledger or RequestLedger()
        in_flight = self.ledger.recover()
        spent = self.ledger.spent(self.prices.input, self.prices.output) - in_flight
        self.budget = Budget(max_cost, spent, in_flight)
        self._counts_tokens = self.prices.known or options.tokens_per_minute > 0
        self._cache = cache
        self._asking: set[str] = set()
        self._asked = threading.Condition()
        self._told = False

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
        return self.prices.of(question.tokens, self._longest(question.body))

    def _longest(self, body: Mapping[str, Any]) -> int:
        return max(int(body.get(name) or 0) for name in ("max_tokens", "max_completion_tokens"))

    def on_disk(self, question: ChatRequest) -> ChatAnswer | None:
        """The answer to a question that was asked before; one without content has a `problem`.

        None where there is none, or where one with a problem may be asked for again (`--retry_quarantined`).
        """
        path = self._path(question.key)
        answer = read_answer(path.read_bytes()) if path.exists() else None
        if answer is None:
            return None
        known = self.ledger.request(question.key)
        if answer["problem"]:
            forgiven = known is not None and known["state"] == "planned" and not known["attempts"]
            return None if forgiven else answer
        if known is None or known["state"] != "answered":  # killed between the two, or older than the ledger
            self._account(question, answer, 0.0, self.most(question))
        return answer

    def store(self, key: str, reply: bytes) -> ChatAnswer | None:
        """Store a reply as it came, but for the endpoint's key; gives what is understood of it, None if it is no JSON.

        Raises:
            OSError: it cannot be written.
        """
        text = reply.decode(json.detect_encoding(reply), "replace").removeprefix("\ufeff")
        kept = self.endpoint.secret.hide(text).encode()
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as part:
            part.write_bytes(kept)
        return read_answer(kept)

    def keep(self, question: ChatRequest, answer: ChatAnswer, seconds: float, most: float) -> float:
        """Account for an answer that is stored. Returns what it cost.

        Args:
            question: what was asked; without a body where it is not at hand.
            answer: of :meth:`store`.
            seconds: from sending to the answer.
            most: what it may have cost at most.
        """
        cost = self._account(question, answer, seconds, most)
        self.usage.add(
            requests=1,
            repairs=1 if question.turn else 0,
            input_tokens=answer["input_tokens"] or 0,
            output_tokens=answer["output_tokens"] or 0,
        )
        return cost

    def _account(self, question: ChatRequest, answer: ChatAnswer, seconds: float, most: float) -> float:
        """Enter an answer. What it cost is told by the tokens that the endpoint states, and where it states none that
        can be, by those that are counted here."""
        estimated = answer["input_tokens"] is None or answer["output_tokens"] is None
        cost = None
        read, written = answer["input_tokens"], answer["output_tokens"]
        if written is None:
            longest = self._longest(question.body) if answer["finish_reason"] == "length" or answer["problem"] else 0
            written = longest or output_tokens(answer, self.options)
        if read is None:
            read = question.tokens
            if question.body and not question.tokens:
                read = input_tokens(question.body, self.options)
        answer["input_tokens"], answer["output_tokens"] = read, written
        if self.prices.known:
            # Of a question that is not at hand (in a batch) only the most is known.
            known = question.body or not estimated
            cost = self.prices.of(read, written) if known else most
        if estimated and not self._told:
            self._told = True
            say("  The endpoint states no numbers of tokens that can be: they and the cost are estimated here.")
        self.ledger.answered(question.key, question.tile_id, question.turn, (read, written), cost, seconds, estimated)
        if answer["problem"]:
            self.ledger.failed(question.key, answer["problem"], in_doubt=False, final=True)
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
            answer = self.stored(question)
            if answer is not None:
                self.usage.add(cached=1)
                return answer
            return self._send(question)
        finally:
            with self._asked:
                self._asking.discard(question.key)
                self._asked.notify_all()

    def stored(self, question: ChatRequest) -> ChatAnswer | None:
        """The answer to a question that was asked before, None where there is none.

        Raises:
            TileFailed: it was asked, and given up for good.
        """
        answer = self.on_disk(question)
        if answer is not None and answer["problem"]:
            raise TileFailed(answer["problem"])
        if answer is None:
            known = self.ledger.request(question.key)
            if known is not None and known["state"] == "failed":
                raise TileFailed(known["reason"])
        return answer

    def _send(self, question: ChatRequest) -> ChatAnswer:
        most, limits = self.most(question), self.endpoint.limits
        expected = question.tokens + self.options.typical_output_tokens
        attempts, refused, started = 0, 0, 0.0
        reserved = sent = False

        def before() -> None:
            nonlocal attempts, started, reserved, sent
            self.usage.add(retries=1 if attempts else 0)
            attempts += 1
            self.budget.reserve(most)
            reserved = True
            limits.wait(expected)
            self.ledger.sent(question.key, question.tile_id, question.turn, most)
            sent, started = True, time.perf_counter()

        def lost(reason: str, in_doubt: bool, final: bool = False) -> None:
            nonlocal refused, reserved, sent
            refused += 0 if in_doubt else 1
            if reserved:  # first of all, for others may be waiting for it
                self.budget.settle(most, most if in_doubt else 0.0)
            if sent:
                self.ledger.failed(question.key, reason, in_doubt, final)
            reserved = sent = False

        def ask() -> ChatAnswer:
            # Endpoints that know the header give a lost answer again instead of charging for another. After an error
            # that did arrive the key is another one, for some of them would repeat the error too.
            headers = {"Idempotency-Key": f"{question.key}-{refused}"}
            reply = self.endpoint.ask("POST", "chat/completions", question.body, headers=headers)
            answer = self.store(question.key, reply)
            if answer is None:
                begins = self.endpoint.clean(reply[:60].decode("utf-8", "replace"))
                raise json.JSONDecodeError(f"it begins with {begins!r}", "", 0)
            return answer

        try:
            answer = self.endpoint.call(ask, before, lost)
            cost = self.keep(question, answer, time.perf_counter() - started, most)
            self.budget.settle(most, cost)
            reserved = sent = False
        except Unusable as error:
            self.ledger.failed(question.key, str(error), in_doubt=False, final=True)
            raise
        finally:  # whatever happened: what is set aside is given back, or another thread waits for it for ever
            lost("the run stopped before the answer was kept", sent)
        limits.settle(expected, (answer["input_tokens"] or 0) + (answer["output_tokens"] or 0))
        if answer["problem"]:
            raise TileFailed(answer["problem"])
        return answer
