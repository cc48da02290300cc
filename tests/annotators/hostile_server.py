"""A server on this machine that speaks chat completions and means harm: to one tile in one way, to others none."""

import base64
import gzip
import json
import socket
import struct
import time
import zlib
from collections import Counter
from collections.abc import Callable
from functools import cache
from http.server import BaseHTTPRequestHandler
from typing import Any, Final

from tests.annotators.fault_server import place_of
from tests.annotators.local_server import LocalServer
from tests.annotators.openai_stub import answer, completion

KEY = "sk-proj-9xQ4vT7bLm2Zr8Kd5Wn3Hc6Yf1Ja0Pe"
GOOD: Final = answer("terrain")
_CHUNK = b"x" * 65536
Send = Callable[[BaseHTTPRequestHandler, int], None]
"""Sends a reply to a question that was asked so many times."""


class Hostile(LocalServer):
    """Use with `with`.

    Args:
        kind: name in `KINDS`, `MODELS` or `STATUS`.
        everywhere: for all tiles, not for the large one alone.
    """

    def __init__(self, kind: str, everywhere: bool = False) -> None:
        super().__init__("HTTP/1.1")
        self.kind, self.everywhere = kind, everywhere
        self.asked: Counter[str] = Counter()
        """Place -> questions, whatever came of them."""
        self.elsewhere = 0
        """Requests that reached where a redirect points to."""
        self.place = "4.0000/52.0000"
        """Of the tile that is treated badly."""

    def get(self, handler: BaseHTTPRequestHandler) -> None:
        if handler.path.startswith("/elsewhere"):
            self.elsewhere += 1
        if self.kind == "redirect of GET":
            return redirect(handler)
        listed = {"object": "list", "data": [{"id": "stub", "object": "model"}]}
        return send(handler, MODELS.get(self.kind, json.dumps(listed).encode()))

    def post(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["content-length"])))
        if handler.path.startswith("/elsewhere"):
            self.elsewhere += 1
            return send(handler, reply())
        place = place_of(body)
        self.asked[place] += 1
        if place != self.place and not self.everywhere:
            return send(handler, reply())
        if self.kind in STATUS:
            return STATUS[self.kind](handler, self.asked[place])
        return send(handler, KINDS.get(self.kind, reply()))


# ---- how it is sent -------------------------------------------------------------------------------------------------


def send(handler: BaseHTTPRequestHandler, data: bytes, status: int = 200, **headers: str) -> None:
    """A reply of the right length."""
    handler.send_response(status)
    for name, value in {"content-type": "application/json", "content-length": str(len(data)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(data)


def redirect(handler: BaseHTTPRequestHandler) -> None:
    port = handler.server.server_address[1]  # another name of this machine: another host to a client
    send(handler, b"", 307, location=f"http://localhost:{port}/elsewhere/{KEY}")


def _reset(handler: BaseHTTPRequestHandler, asked: int) -> None:
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.rfile.close()
    handler.connection.close()
    handler.close_connection = True


def _half(handler: BaseHTTPRequestHandler, asked: int) -> None:
    data = reply()
    handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(data) + data[: len(data) // 2])
    handler.connection.shutdown(socket.SHUT_RDWR)


def _length(more: int, close: bool) -> Send:
    def sent(handler: BaseHTTPRequestHandler, asked: int) -> None:
        data = reply()
        handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (len(data) + more) + data)
        if close:
            handler.connection.shutdown(socket.SHUT_RDWR)
        else:
            time.sleep(3)

    return sent


def _packed(data: bytes) -> Send:
    return lambda handler, asked: send(handler, data, content_encoding="gzip")


@cache
def _bomb() -> bytes:
    """64 MB in 64 KB."""
    packer = zlib.compressobj(9, wbits=31)
    return b"".join([*(packer.compress(b"[" * 1_000_000) for _ in range(64)), packer.flush()])


def _drip(handler: BaseHTTPRequestHandler, asked: int) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    for _ in range(60):
        handler.wfile.write(b" ")
        time.sleep(0.1)


def _drip_headers(handler: BaseHTTPRequestHandler, asked: int) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nx-slow: ")
    for _ in range(60):
        handler.wfile.write(b"x")
        time.sleep(0.1)


def _endless(handler: BaseHTTPRequestHandler, asked: int) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(2**16):
        handler.wfile.write(b"%x\r\n" % len(_CHUNK) + _CHUNK + b"\r\n")


def _says(status: int, data: bytes, times: int = 10**9, **headers: str) -> Send:
    """An error so many times, then the truth."""

    def sent(handler: BaseHTTPRequestHandler, asked: int) -> None:
        send(handler, data, status, **headers) if asked <= times else send(handler, reply())

    return sent


# ---- what is sent ---------------------------------------------------------------------------------------------------


def reply(content: Any = GOOD, **changes: Any) -> bytes:
    """A completion with this content; `changes` of the body, `message_...` of the message."""
    body: dict[str, Any] = completion(GOOD)[1]  # type: ignore[assignment]
    message = body["choices"][0]["message"]
    message["content"] = content
    message |= {name.removeprefix("message_"): value for name, value in changes.items() if name.startswith("message_")}
    body |= {name: value for name, value in changes.items() if not name.startswith("message_")}
    return json.dumps(body).encode()


def usage(**numbers: Any) -> bytes:
    return reply(usage=numbers)


def _with(old: str, new: str) -> bytes:
    """The right answer with a change in its JSON."""
    assert old in GOOD
    return reply(GOOD.replace(old, new, 1))


def _mentions(**lists: str) -> bytes:
    """The right answer with counts or boxes, given as JSON."""
    return reply(GOOD[:-1] + "".join(f', "{name}": {value}' for name, value in lists.items()) + "}")


_CODED = base64.b64encode(f"Authorization: Bearer {KEY}".encode()).decode()
_PLAIN = "statement about terrain"
_DEEP = 100_000
_CHOICE = json.loads(reply())["choices"][0]
_BOX = '[{"category": "ship", "x": 1e308, "y": 1e308, "width": 1e308, "height": 1e308}]'

KINDS: Final[dict[str, bytes]] = {
    "usage text": reply(usage="many"),
    "usage list": reply(usage=[1, 2]),
    "usage null": reply(usage=None),
    "usage missing": reply(usage={}),
    "usage zero": usage(prompt_tokens=0, completion_tokens=0),
    "usage negative": usage(prompt_tokens=-100, completion_tokens=-10),
    "usage huge": usage(prompt_tokens=10**400, completion_tokens=10**18),
    "usage 1e999": reply().replace(b'"prompt_tokens": 100', b'"prompt_tokens": 1e999'),
    "usage NaN": reply().replace(b'"prompt_tokens": 100', b'"prompt_tokens": NaN'),
    "usage of thousands of digits": reply().replace(b'"prompt_tokens": 100', b'"prompt_tokens": ' + b"9" * 5000),
    "usage bool": usage(prompt_tokens=True, completion_tokens=True),
    "usage words": usage(prompt_tokens="a few", completion_tokens={"n": 10}),
    "usage digits": usage(prompt_tokens="100", completion_tokens=10.0),
    "choices object": reply(choices={"0": 1}),
    "choices text": reply(choices="none"),
    "choices empty": reply(choices=[]),
    "choices null": reply(choices=None),
    "choices of numbers": reply(choices=[1, 2]),
    "choices of text": reply(choices=[{"text": GOOD}]),
    "the same index three times": reply(choices=[_CHOICE] * 3),
    "content parts": reply([{"type": "text", "text": GOOD[:99]}, {"type": "text", "text": GOOD[99:]}]),
    "content words in a list": reply([GOOD]),
    "content refused in parts": reply([{"type": "refusal", "refusal": "no"}]),
    "content object": reply(json.loads(GOOD)),
    "content number": reply(17),
    "content bool": reply(True),
    "content null": reply(None),
    "content nested": reply([[[[["x"]]]]]),
    "content 30 MB": reply("x" * 30_000_000),
    "a lone surrogate": reply("\ud800" + GOOD),
    "a lone surrogate in a text": _with(_PLAIN, "plain \ud800 land"),
    "a lone surrogate in escapes": _with(_PLAIN, "plain \\ud800 land"),
    "control characters": _with(_PLAIN, "plain \x00\x1b[2J land"),
    "control characters in escapes": _with(_PLAIN, "plain \\u0000\\u001b[2J land"),
    "refusal object": reply(None, message_refusal={"why": ["no"]}),
    "refusal true": reply(GOOD, message_refusal=True),
    "finish reason list": reply(choices=[{**_CHOICE, "finish_reason": ["stop"]}]),
    "body list": b"[1, 2]",
    "body null": b"null",
    "body number": b"17",
    "body deep": b"[" * _DEEP + b"]" * _DEEP,
    "body deep in content": reply("[" * _DEEP),
    "body an error": b'{"error": {"message": "upstream is gone, \x07", "code": 502}}',
    "body html": b"<html>gateway</html>",
    "body empty": b"",
    "body utf-16": json.dumps(json.loads(reply())).encode("utf-16"),
    "body with a byte order mark": b"\xef\xbb\xbf" + reply(),
    "body no utf-8": reply("@@@").replace(b"@@@", b"\xff\xfe\xfa"),
    "key in the content": _with(_PLAIN, f"plain {KEY} land"),
    "key in part": _with(_PLAIN, f"plain {KEY[5:20]} land"),
    "key in base64": _with(_PLAIN, f"plain {_CODED} land"),
    "key in hexadecimal": _with(_PLAIN, f"plain {KEY.encode().hex()} land"),
    "key in escapes": _with(_PLAIN, "plain " + "".join(f"\\u{ord(letter):04x}" for letter in KEY)),
    "key beside the content": reply(GOOD, system_fingerprint=KEY, headers={"authorization": _CODED}),
    "key starred out": reply(GOOD, note=f"key {KEY[:7]}****{KEY[-4:]}"),
    "confidence NaN": reply(GOOD.replace("0.8", "NaN")),
    "confidence 1e400": reply(GOOD.replace("0.8", "1e400")),
    "boxes of 1e308": _mentions(boxes=_BOX),
    "a count of 1e30": _mentions(counts='[{"category": "ship", "number": 1' + "0" * 30 + "}]"),
    "a thousand counts": _mentions(
        counts=json.dumps([{"category": f"thing {chr(97 + n % 26)}{n}", "number": 1} for n in range(1000)])
    ),
    "script in texts": _with(_PLAIN, "<script>alert(1)</script> <img src=x onerror=alert(1)>"),
}
"""Replies with status 200 and the right length."""

STATUS: Final[dict[str, Send]] = {
    "half a body": _half,
    "reset": _reset,
    "a length too large": _length(50, close=True),
    "a length too large, not closed": _length(50, close=False),
    "packed": _packed(gzip.compress(reply())),
    "packed badly": _packed(reply()),
    "gzip bomb": lambda handler, asked: send(handler, _bomb(), content_encoding="gzip"),
    "drip": _drip,
    "drip of headers": _drip_headers,
    "endless": _endless,
    "redirect of POST": lambda handler, asked: redirect(handler),
    "429 once": _says(429, b'{"error": {"message": "slow down"}}', 1, retry_after="0.01"),
    "429 for ever": _says(429, b'{"error": {"message": "slow down"}}'),
    "429 with years to wait": _says(429, b'{"error": "later"}', retry_after="1e9"),
    "429 with NaN to wait": _says(429, b"[[[", 1, retry_after="nan"),
    "500 for ever": _says(500, b'{"error": {"message": ["odd"], "code": {}}}'),
    "503 of binary": _says(503, bytes(range(256))),
    "400 with the key": _says(400, json.dumps({"error": {"message": f"bad {KEY} \ud800 {_CODED}"}}).encode()),
    "401 with the key": _says(401, json.dumps({"error": KEY}).encode()),
    "418 deep": _says(418, b"[" * _DEEP),
}
"""Replies that are sent in another way."""

MODELS: Final[dict[str, bytes]] = {
    "models html": b"<html>welcome</html>",
    "models text": b"stub",
    "models empty": b"",
    "models odd entries": json.dumps({"data": [1, None, "x", {"id": 5}, {"id": ["a"]}, {"id": "stub"}]}).encode(),
    "models deep": b"[" * _DEEP,
    "models others with the key": json.dumps({"data": [{"id": f"of {KEY} \ud800"}]}).encode(),
}
"""Lists of models."""
