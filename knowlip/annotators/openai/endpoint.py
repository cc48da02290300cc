"""An OpenAI-compatible endpoint, asked patiently where waiting can help and not at all where it cannot."""

import json
import os
import random
import time
from collections.abc import Callable, Mapping
from typing import Any, TypedDict, TypeVar

from openai import APIConnectionError, APIStatusError, APITimeoutError, OpenAI

from knowlip.annotators.openai.limits import RateLimits
from knowlip.annotators.openai.options import OpenAIOptions

T = TypeVar("T")


class EndpointError(ValueError):
    """The endpoint cannot serve any tile: no key, wrong key, unreachable, unknown model, no credit. Stops the run."""


class CostLimit(EndpointError):
    """The next request could pass the limit that was set for the cost. Stops the run; nothing is lost."""


class TileFailed(ValueError):
    """This one tile could not be annotated; the message is the reason it is quarantined with."""


class Endpoint:
    """The client of an endpoint. Safe from threads.

    Args:
        model: name of the model as the endpoint knows it.
        options: patience and pace: timeout, retries, waiting times, rate limits.
        base_url: address that ends in /v1; empty = environment variable OPENAI_BASE_URL, else OpenAI's own.

    Raises:
        EndpointError: no key in the environment.
    """

    def __init__(self, model: str, options: OpenAIOptions, base_url: str = "") -> None:
        key = os.environ.get("OPENAI_API_KEY", "")
        if not key:
            raise EndpointError(
                "The openai annotator needs a key in the environment variable OPENAI_API_KEY "
                "(any word for a server of your own that asks for none)."
            )
        self.model, self._options = model, options
        self.limits = RateLimits(options.requests_per_minute, options.tokens_per_minute)
        address = base_url or os.environ.get("OPENAI_BASE_URL") or None
        self.client = OpenAI(api_key=key, base_url=address, timeout=options.timeout_s, max_retries=0)
        self.base_url = str(self.client.base_url)

    def check(self) -> None:
        """Ask the endpoint for its models before anything is paid for.

        Raises:
            EndpointError: it cannot be reached, refuses the key, or does not know the model.
        """
        try:
            names = sorted(model.id for model in self.client.models.list())
        except APIConnectionError as error:  # timeouts too
            raise self._unreachable(error) from None
        except APIStatusError as error:
            if error.status_code in (401, 403):
                raise self._refused_key(error) from None
            return  # some servers have no list of models: the first answer will tell
        if names and self.model not in names:
            known = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
            raise EndpointError(f"{self.base_url} does not serve the model {self.model!r}; it serves {known}.")

    def call(
        self,
        ask: Callable[[], T],
        before: Callable[[], None] = lambda: None,
        lost: Callable[[str, bool], None] = lambda reason, in_doubt: None,
    ) -> T:
        """Ask until there is an answer or no hope for one.

        Args:
            ask: makes the request.
            before: called before each attempt.
            lost: called with the reason of an attempt that brought no answer and that is repeated or given up, and
                whether the endpoint may have charged for it.

        Raises:
            TileFailed: the request is at fault, or all retries are used up.
            EndpointError: no request can be answered.
        """
        reason = ""
        for attempt in range(1 + self._options.retries):
            before()
            asked_wait, in_doubt = 0.0, True
            try:
                return ask()
            except APITimeoutError:
                reason = f"no answer within {self._options.timeout_s:g} s"
            except APIConnectionError as error:
                reason = f"connection failed ({error.__cause__ or error})"
                in_doubt = type(error.__cause__).__name__ != "ConnectError"  # never reached, so never charged
                if attempt == self._options.retries and not in_doubt:
                    lost(reason, in_doubt)
                    raise self._unreachable(error) from None
            except APIStatusError as error:
                reason, in_doubt = f"HTTP {error.status_code}: {self.words_of(error)}", False
                lost(reason, in_doubt)
                self._raise_if_hopeless(error)
                if error.status_code not in (408, 409, 429) and error.status_code < 500:
                    raise TileFailed(reason) from None
                asked_wait = _retry_after(error)
                if error.status_code in (429, 503):
                    self.limits.pause(asked_wait)
                if attempt < self._options.retries:
                    self._sleep(attempt, asked_wait)
                continue
            except (json.JSONDecodeError, UnicodeDecodeError) as error:
                reason = f"the endpoint's response is not JSON ({error})"
            lost(reason, in_doubt)
            if attempt < self._options.retries:
                self._sleep(attempt, asked_wait)
        raise TileFailed(f"{reason}, after {self._options.retries} retries")

    def _sleep(self, attempt: int, asked: float) -> None:
        wait = min(60.0, self._options.backoff_s * 2.0**attempt) * random.uniform(0.5, 1.0)
        time.sleep(max(wait, asked))

    def _raise_if_hopeless(self, error: APIStatusError) -> None:
        if error.status_code in (401, 403):
            raise self._refused_key(error) from None
        if error.status_code == 404:
            raise EndpointError(
                f"{self.base_url} does not serve the model {self.model!r}, "
                f"or the address does not end in /v1 ({self.words_of(error)})."
            ) from None
        if error.status_code == 402 or error.code == "insufficient_quota":
            raise EndpointError(f"{self.base_url} has no credit left for this key ({self.words_of(error)}).") from None

    def words_of(self, error: APIStatusError) -> str:
        """The endpoint's own words, short, on one line, and without the key should a proxy repeat it."""
        body = error.body
        return self.clean(str(body.get("message", body)) if isinstance(body, dict) else str(body or error.message))

    def clean(self, text: str) -> str:
        """Words of the endpoint as they may be stored: short, on one line, without the key."""
        return " ".join(text.replace(self.client.api_key, "(key)").split())[:200]

    def _unreachable(self, error: Exception) -> EndpointError:
        return EndpointError(f"The endpoint {self.base_url} cannot be reached ({error.__cause__ or error}).")

    def _refused_key(self, error: APIStatusError) -> EndpointError:
        # The endpoint's own words may repeat the key, so they are not passed on.
        return EndpointError(f"{self.base_url} refuses the key in OPENAI_API_KEY (HTTP {error.status_code}).")


def _retry_after(error: APIStatusError) -> float:
    """Seconds that the endpoint asks to wait, at most 300; 0 when it does not say so in seconds."""
    try:
        return min(300.0, max(0.0, float(error.response.headers.get("retry-after", "0"))))
    except ValueError:
        return 0.0


class ChatAnswer(TypedDict):
    """What is kept of a chat completion."""

    content: str | None
    refusal: str | None
    finish_reason: str | None
    input_tokens: int
    output_tokens: int


def plain_answer(body: Mapping[str, Any]) -> ChatAnswer:
    """What is kept of a chat completion.

    Raises:
        TileFailed: the server's reply holds no answer.
    """
    choices = body.get("choices") or []
    message = choices[0].get("message") if choices and isinstance(choices[0], dict) else None
    if not isinstance(message, dict):
        raise TileFailed("the endpoint's response holds no answer")
    usage = body.get("usage") or {}
    return {
        "content": message.get("content"),
        "refusal": message.get("refusal"),
        "finish_reason": choices[0].get("finish_reason"),
        "input_tokens": int(usage.get("prompt_tokens") or 0),
        "output_tokens": int(usage.get("completion_tokens") or 0),
    }
