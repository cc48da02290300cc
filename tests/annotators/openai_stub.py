"""A real HTTP server on this machine that speaks OpenAI's chat completions, with faults on demand."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from knowlip.language.dimensions import DIMENSIONS
from tests.annotators.local_server import LocalServer, send

Reply = tuple[int, dict[str, Any] | str, dict[str, str]]
"""Status, body (a string is sent as it is), extra headers."""


def answer(instruction_set: str = "marine", evidence: str = "visual", **texts: str) -> str:
    """A right answer; `texts` replaces the text of some dimensions."""
    sub_texts = {
        name: {"text": texts.get(name, f"statement about {name.lower()}"), "confidence": 0.8, "evidence": evidence}
        for name in DIMENSIONS[instruction_set]
    }
    return json.dumps({"instruction_set": instruction_set, "sub_texts": sub_texts})


def completion(content: str | None, finish_reason: str = "stop", refusal: str | None = None) -> Reply:
    """A chat completion with this content."""
    message = {"role": "assistant", "content": content, "refusal": refusal}
    body = {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "stub",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
    }
    return 200, body, {}


def failure(status: int, message: str = "fault", code: str | None = None, **headers: str) -> Reply:
    """An error in OpenAI's form."""
    return status, {"error": {"message": message, "type": "error", "code": code}}, headers


class Stub(LocalServer):
    """The server: `reply(body, number)` decides what the request with that number (from 0) gets. Use with `with`."""

    def __init__(
        self, reply: Callable[[dict[str, Any], int], Reply], models: tuple[str, ...] | None = ("stub",)
    ) -> None:
        super().__init__()
        self.bodies: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self._reply, self._models, self._lock = reply, models, threading.Lock()

    def get(self, handler: BaseHTTPRequestHandler) -> None:
        if self._models is None:
            send(handler, *failure(404, "no list of models"))
        else:
            found = [{"id": name, "object": "model"} for name in self._models]
            send(handler, 200, {"object": "list", "data": found}, {})

    def post(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["content-length"])))
        with self._lock:
            number = len(self.bodies)
            self.bodies.append(body)
            self.keys.add(handler.headers["authorization"])
        send(handler, *self._reply(body, number))


def user_text(body: dict[str, Any]) -> str:
    """The text of the first user message of a request."""
    return str(body["messages"][1]["content"][0]["text"])
