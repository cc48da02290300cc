"""A real HTTP server on this machine that speaks OpenAI's chat completions, with faults on demand."""

import contextlib
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from knowlip.language.dimensions import DIMENSIONS

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


class Stub:
    """The server: `reply(body, number)` decides what the request with that number (from 0) gets. Use with `with`."""

    def __init__(
        self, reply: Callable[[dict[str, Any], int], Reply], models: tuple[str, ...] | None = ("stub",)
    ) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        lock, stub = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if models is None:
                    self.send(failure(404, "no list of models"))
                else:
                    self.send((200, {"object": "list", "data": [{"id": m, "object": "model"} for m in models]}, {}))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with lock:
                    number = len(stub.bodies)
                    stub.bodies.append(body)
                    stub.keys.add(self.headers["authorization"])
                self.send(reply(body, number))

            def send(self, answered: Reply) -> None:
                status, body, headers = answered
                data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in {"content-type": "application/json", **headers}.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def handle(self) -> None:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # a client that has given up waiting
                    super().handle()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> "Stub":
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def user_text(body: dict[str, Any]) -> str:
    """The text of the first user message of a request."""
    return str(body["messages"][1]["content"][0]["text"])
