"""An OpenAI-compatible endpoint, asked patiently where waiting can help and not at all where it cannot."""

import json
import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import httpx

from knowlip import __version__
from knowlip.annotators.openai.http import REPLY_BYTES, Http, NoReply, Reply
from knowlip.annotators.openai.limits import RateLimits
from knowlip.annotators.openai.options import OpenAIOptions
from knowlip.annotators.openai.reply import objects, plain, read_object, words
from knowlip.annotators.openai.secret import Secret
from knowlip.base.progress import say

T = TypeVar("T")
GIVEN_UP_IN_A_ROW: Final = 32
"""Requests that are given up one after the other, with no answer between them: the endpoint is out of order."""
_MOST_WAIT_S: Final = 300.0
"""Longest wait that an endpoint is granted when it names one."""


class EndpointError(ValueError):
    """The endpoint cannot serve any tile: no key, wrong key, unreachable, unknown model, no credit. Stops the run."""


class CostLimit(EndpointError):
    """The next request could pass the limit that was set for the cost. Stops the run; nothing is lost."""


class TileFailed(ValueError):
    """This one tile could not be annotated; the message is the reason it is quarantined with."""


class Unusable(TileFailed):
    """The same for a reply that was paid and that another attempt would only pay again."""


class StatusError(Exception):
    """The endpoint replied with an error."""

    def __init__(self, reply: Reply, said: str, code: str) -> None:
        super().__init__(f"HTTP {reply.status}: {said}")
        self.status, self.headers, self.said, self.code = reply.status, reply.headers, said, code


class Endpoint:
    """The client of an endpoint. Safe from threads.

    Args:
        model: name of the model as the endpoint knows it.
        options: patience and pace: timeout, retries, waiting times, rate limits.
        base_url: address that ends in /v1; empty = environment variable OPENAI_BASE_URL, else OpenAI's own.

    Raises:
        EndpointError: no key in the environment, or none that can be sent; no address.
    """

    def __init__(self, model: str, options: OpenAIOptions, base_url: str = "") -> None:
        key = os.environ.get("OPENAI_API_KEY", "").strip()
        if not key:
            raise EndpointError(
                "The openai annotator needs a key in the environment variable OPENAI_API_KEY "
                "(any word for a server of your own that asks for none)."
            )
        if not key.isascii() or not key.isprintable() or " " in key:
            raise EndpointError("The key in OPENAI_API_KEY holds a space, line break or letter that no key has.")
        self.secret = Secret(key)
        self.model, self._options = model, options
        address = base_url or os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
        self.base_url = self._checked(address)
        self._over, self._why = threading.Event(), "The run has ended."
        self._in_a_row, self._lock = 0, threading.Lock()
        self.limits = RateLimits(options.requests_per_minute, options.tokens_per_minute, sleep=self._rest)
        headers = {"authorization": f"Bearer {key}", "user-agent": f"knowlip/{__version__}"}
        for name, variable in (("organization", "OPENAI_ORG_ID"), ("project", "OPENAI_PROJECT_ID")):
            if (value := os.environ.get(variable, "").strip()) and value.isascii() and value.isprintable():
                headers[f"openai-{name}"] = value
        self._http = Http(self.base_url, headers, options.timeout_s)

    def _checked(self, address: str) -> str:
        wanted = "give one such as http://localhost:8000/v1 (--base_url)"
        try:
            parts = urlsplit(address)
            hidden = parts.username or parts.password or parts.query or parts.fragment
            httpx.URL(address)
        except (ValueError, httpx.InvalidURL):
            raise EndpointError(f"The address of the endpoint cannot be read: {wanted}.") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise EndpointError(f"The address of the endpoint must begin with http:// or https://: {wanted}.")
        if hidden or self.secret.hide(address) != address:
            raise EndpointError(
                f"The address of the endpoint must hold no key, user, password or query: {wanted}, and put the key "
                "into OPENAI_API_KEY."
            )
        return address.rstrip("/") + "/"

    # ---- single requests --------------------------------------------------------------------------------------------

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        file: tuple[str, bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        limit: int = REPLY_BYTES,
    ) -> bytes:
        """One request, and the content of its reply. Arguments are those of :meth:`Http.send`, but for `body`: JSON.

        Raises:
            NoReply: the endpoint cannot be reached, broke off, took too long or sent too much.
            StatusError: it replied with an error.
        """
        data = json.dumps(body).encode() if body is not None else b""
        reply = self._http.send(method, path, data, file, headers, limit)
        if 200 <= reply.status < 300:
            return reply.content
        said, code = self._said(reply)
        raise StatusError(reply, said, code)

    def ask_object(self, method: str, path: str, body: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """The same for a reply that is a JSON object; {} where it is other JSON.

        Raises:
            json.JSONDecodeError: it is no JSON.
        """
        return read_object(self.ask(method, path, body, **more))

    def check(self) -> None:
        """Ask the endpoint for its models before anything is paid for.

        Raises:
            EndpointError: it cannot be reached, refuses the key, or does not know the model.
        """
        try:
            listed = self.ask_object("GET", "models").get("data")
        except NoReply as error:
            if not error.again:
                listed = None
            else:
                raise self._unreachable(error) from None
        except StatusError as error:
            if error.status in (401, 403):
                raise self._refused_key(error) from None
            if 300 <= error.status < 400:
                raise self._redirected(error) from None
            return  # some servers have no list of models: the first answer will tell
        except json.JSONDecodeError:
            listed = None
        entries = listed if isinstance(listed, list) else []
        names = sorted({name for entry in entries if (name := words(objects(entry).get("id")))})
        if not names:
            say(f"  {self.base_url} gives no list of models that can be read; the first answer will tell.")
        elif self.model not in names:
            known = self.clean(", ".join(names[:8]) + (", ..." if len(names) > 8 else ""))
            raise EndpointError(f"{self.base_url} does not serve the model {self.model!r}; it serves {known}.")

    # ---- patience ---------------------------------------------------------------------------------------------------

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
            TileFailed: the request is at fault, or all retries or `patience_s` are used up.
            EndpointError: no request can be answered.
        """
        try:
            return self._call(ask, before, lost)
        except EndpointError as error:  # those who wait for another attempt need not wait any longer
            self._why = str(error)
            self._over.set()
            raise

    def _call(self, ask: Callable[[], T], before: Callable[[], None], lost: Callable[[str, bool], None]) -> T:
        reason, began = "", time.monotonic()
        for attempt in range(1 + self._options.retries):
            before()
            last, asked_wait = attempt == self._options.retries, 0.0
            try:
                answer = ask()
                self._in_a_row = 0
                return answer
            except NoReply as error:
                reason = self.clean(str(error))
                lost(reason, error.reached)
                if not error.again:
                    raise Unusable(reason) from None
                if last and not error.reached:
                    raise self._unreachable(error) from None
            except StatusError as error:
                reason = str(error)
                lost(reason, False)
                self._raise_if_hopeless(error)
                if error.status not in (408, 409, 429) and error.status < 500:
                    raise TileFailed(reason) from None
                asked_wait = _retry_after(error.headers.get("retry-after", ""))
                if error.status in (429, 503):  # it is meant for all requests, not for the one that met it
                    self.limits.pause(min(asked_wait, self._options.patience_s))
            except json.JSONDecodeError as error:
                reason = f"the endpoint's response is not JSON ({error.msg})"
                lost(reason, True)
            if last:
                break
            wait = min(60.0, self._options.backoff_s * 2.0**attempt) * random.uniform(0.5, 1.0)
            wait = max(wait, asked_wait)
            taken = time.monotonic() - began
            if taken + wait > self._options.patience_s:
                raise self._given_up(f"{reason}, given up after {taken:.0f} s: to wait {wait:.0f} s more is too long")
            self._rest(wait)
        raise self._given_up(f"{reason}, after {self._options.retries} retries")

    def _given_up(self, reason: str) -> ValueError:
        """What a request is given up with: as its own fault, until none is answered any more."""
        with self._lock:
            self._in_a_row += 1
            if self._in_a_row < GIVEN_UP_IN_A_ROW:
                return TileFailed(reason)
        return EndpointError(
            f"{self.base_url} has answered none of {GIVEN_UP_IN_A_ROW} requests in a row ({reason}); "
            "the same command goes on from here when it does."
        )

    def _rest(self, seconds: float) -> None:
        if self._over.wait(seconds):
            raise EndpointError(self._why)

    def _raise_if_hopeless(self, error: StatusError) -> None:
        if error.status in (401, 403):
            raise self._refused_key(error) from None
        if 300 <= error.status < 400:
            raise self._redirected(error) from None
        if error.status == 404:
            raise EndpointError(
                f"{self.base_url} does not serve the model {self.model!r}, "
                f"or the address does not end in /v1 ({error.said})."
            ) from None
        if error.status == 402 or error.code == "insufficient_quota":
            raise EndpointError(f"{self.base_url} has no credit left for this key ({error.said}).") from None

    # ---- words ------------------------------------------------------------------------------------------------------

    def _said(self, reply: Reply) -> tuple[str, str]:
        """An error in the endpoint's own words, and its code."""
        try:
            body = read_object(reply.content)
        except json.JSONDecodeError:
            return self.clean(reply.content[:2000].decode("utf-8", "replace")) or "no reason given", ""
        error = body.get("error", body)
        found = error if isinstance(error, str) else objects(error).get("message") or json.dumps(error)[:2000]
        return self.clean(found if isinstance(found, str) else json.dumps(found)), words(objects(error).get("code"))

    def clean(self, text: str, length: int = 200) -> str:
        """Words of the endpoint as they may be stored: short, on one line, without the key should it be repeated."""
        return " ".join(plain(self.secret.hide(text[: 50 * length])).split())[:length]

    def _unreachable(self, error: Exception) -> EndpointError:
        return EndpointError(f"The endpoint {self.base_url} cannot be reached ({self.clean(str(error))}).")

    def _refused_key(self, error: StatusError) -> EndpointError:
        # The endpoint's own words may repeat the key, so they are not passed on.
        return EndpointError(f"{self.base_url} refuses the key in OPENAI_API_KEY (HTTP {error.status}).")

    def _redirected(self, error: StatusError) -> EndpointError:
        # What is asked, and the key with it, goes where the user has sent it and nowhere else.
        there = self.clean(error.headers.get("location", "")) or "nowhere"
        return EndpointError(
            f"{self.base_url} sends requests on to {there} (HTTP {error.status}), which is not followed: name the "
            "right address with --base_url."
        )


def _retry_after(value: str) -> float:
    """Seconds that the endpoint asks to wait, as a number or a date, at most 300; 0 when it does not say so."""
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):  # the latter for a date without a zone
            return 0.0
    return min(_MOST_WAIT_S, max(0.0, seconds))
