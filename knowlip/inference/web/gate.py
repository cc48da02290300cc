"""What every request passes first: whose site it comes from, the key, how many there are, how long its body is.

Pure ASGI, before anything is read or parsed.
"""

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from hashlib import sha256
from typing import Any, Final
from urllib.parse import urlsplit

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Scope = MutableMapping[str, Any]

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy: the page can load nothing, and tell nobody anything, but here."""
_HEADERS: Final = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
_BODY_S: Final = 60
"""How long a body may take, but for uploads."""
_OPEN: Final = ("/", "/openapi.json")
_OPEN_UNDER: Final = ("/static/",)
"""What has nothing of the archive in it."""


class Gate:
    """ASGI middleware.

    Args:
        app: what it protects.
        key: that clients send as "Authorization: Bearer KEY"; "" = none. Only its digest is kept.
        most_body: bytes of a body.
        unbounded: paths that look after their bodies, and after the key, themselves or let others do so.
        most_open: requests at once; more are told to come back.
        before: what is done when the first request comes.
    """

    def __init__(
        self,
        app: Any,
        key: str,
        most_body: int,
        unbounded: tuple[str, ...],
        most_open: int = 256,
        before: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._before = before
        self.app, self._most_body, self._unbounded = app, most_body, unbounded
        self._wanted = sha256(key.encode()).digest() if key else None
        self._open, self._most_open = 0, most_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the start and end of the server."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":  # nothing here speaks it
                return
            await self.app(scope, receive, send)
            return
        if self._before is not None:
            before, self._before = self._before, None
            await before()
        path, headers = scope["path"], {name.lower(): value for name, value in scope["headers"]}

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)

        refused = self._refused(path, scope["method"], headers)
        if refused is None and self._open >= self._most_open:
            refused = (503, "Too many requests at once: ask again.", [(b"retry-after", b"2")])
        if refused is not None:
            await _tell(with_headers, *refused)
            return
        bounded = receive
        if not path.startswith(self._unbounded):
            body = await self._body(receive)
            if isinstance(body, tuple):
                await _tell(with_headers, *body)
                return
            bounded = _again(body, receive)
        self._open += 1
        try:
            await self.app(scope, bounded, with_headers)
        finally:
            self._open -= 1

    def _refused(self, path: str, method: str, headers: dict[bytes, bytes]) -> Any:
        """Why a request is not let in: status, sentence, headers; None where it is."""
        origin = headers.get(b"origin", b"").decode("latin-1")
        if (
            origin
            and method not in ("GET", "HEAD")
            and urlsplit(origin).netloc != headers.get(b"host", b"").decode("latin-1")
        ):
            return 403, "Requests of other sites are not answered.", []
        own = path in _OPEN or path.startswith((*_OPEN_UNDER, "/v1/"))  # /v1 asks for the key in its own way
        if self._wanted is None or own:
            return None
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(sha256(given.strip()).digest(), self._wanted):
            return 401, "The key is missing or wrong.", [(b"www-authenticate", b"Bearer")]
        return None

    async def _body(self, receive: Receive) -> Any:
        """The body, or why it is refused."""
        body = bytearray()
        try:
            async with asyncio.timeout(_BODY_S):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return 400, "The request was not sent whole.", []
                    body += message.get("body", b"")
                    if len(body) > self._most_body:
                        return 413, f"The request is too long: at most {self._most_body:,} bytes are read.", []
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            return 408, "The request did not come in time.", []


def _again(body: bytes, receive: Receive) -> Receive:
    """A body that was read, once more; then what comes."""
    told = False

    async def first() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return first


async def _tell(send: Send, status: int, why: str, headers: list[tuple[bytes, bytes]]) -> None:
    body = json.dumps({"error": why}).encode()
    kind = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": [*kind, *headers]})
    await send({"type": "http.response.body", "body": body})
