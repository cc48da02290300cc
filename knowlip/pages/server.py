"""What the pages that people work on in the browser have in common: who may ask, how much, and a file of answers.

The pages listen on this machine, need no password and load nothing from elsewhere. Nothing that is sent is evaluated.
"""

import asyncio
import json
import os
import re
import secrets
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from knowlip.base.documents import parse_json
from knowlip.base.files import exclusive
from knowlip.base.progress import say
from knowlip.pages.render import render

_POLICY = (
    "default-src 'none'; img-src 'self' data:; connect-src 'self'; style-src 'unsafe-inline'; "
    "script-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy of a page that is whole in itself: only its own script runs."""
_RATER = re.compile(r"[\w .-]{1,40}")
_LAST_SECONDS = 2
"""How long requests that are under way may take once the server is told to end."""
_BODY_SECONDS = 60
"""How long a request may take to arrive."""
_NEEDED = "The page needs more packages: pip install 'knowlip[serve]'."


class Refused(ValueError):
    """A request that is answered with an error: `status` is the HTTP code, `headers` go with it."""

    def __init__(self, why: str, status: int = 400, headers: dict[str, str] | None = None):
        super().__init__(why)
        self.status, self.headers = status, headers


def rater_name(value: object) -> str:
    """A rater's name, checked: letters, digits, spaces, `_`, `.` and `-`, 1 to 40 of them."""
    if not isinstance(value, str) or not _RATER.fullmatch(value) or value != value.strip():
        raise Refused("Give a name of 1 to 40 letters.")
    return value


def application(
    host: str,
    told: Callable[[str, int], dict[str, Any]] = lambda why, status: {"error": why},
    **options: Any,
) -> Any:
    """A FastAPI application that answers only to its own names, and every `ValueError` with its sentence: a
    :class:`Refused` with its status, what the server cannot do with 500. Other faults tell a client nothing.

    Args:
        host: its address.
        told: sentence and status of an error -> the JSON that tells it.
        options: of FastAPI; without them there is no schema.

    Raises:
        ValueError: the extra `serve` is not installed.
    """
    try:
        from fastapi import FastAPI
        from starlette.exceptions import HTTPException
        from starlette.middleware.trustedhost import TrustedHostMiddleware
        from starlette.requests import Request
        from starlette.responses import JSONResponse, Response
    except ImportError as error:
        raise ValueError(_NEEDED) from error
    app = FastAPI(**{"docs_url": None, "redoc_url": None, "openapi_url": None} | options)
    # Another site must not reach a page on this machine under a name of its own.
    hosts = ["*"] if host in ("0.0.0.0", "::") else [host, "127.0.0.1", "localhost"]
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts)

    async def refuse(request: Request, error: Exception) -> Response:
        status = getattr(error, "status", 500)
        return JSONResponse(told(str(error), status), status, getattr(error, "headers", None))

    async def no_such_path(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return JSONResponse(told(f"{error.detail}.", error.status_code), error.status_code, error.headers)

    async def hide(request: Request, error: Exception) -> Response:
        return JSONResponse(told("The server has failed.", 500), 500)

    app.add_exception_handler(ValueError, refuse)
    app.add_exception_handler(HTTPException, no_such_path)
    app.add_exception_handler(Exception, hide)
    return app


def html_page(template: str) -> Any:
    """The response that shows a page of pages/templates, whose script has this response's own nonce."""
    from starlette.responses import HTMLResponse

    nonce = secrets.token_urlsafe(16)
    headers = {"Content-Security-Policy": _POLICY.format(nonce=nonce), "X-Content-Type-Options": "nosniff"}
    return HTMLResponse(render(template, nonce=nonce), headers=headers)


async def json_body(request: Any, most: int) -> dict[str, Any]:
    """The JSON object that a request brings.

    Raises:
        Refused: more than `most` bytes, another content type (a form of another site could send those), or no object.
    """
    if request.headers.get("content-type", "").split(";")[0] != "application/json":
        raise Refused("Send application/json.", 415)
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > most:
                    raise Refused(f"The request is too long: at most {most:,} bytes are read.", 413)
    except TimeoutError:
        raise Refused("The request did not come in time.", 408) from None
    try:
        value = parse_json(bytes(body), "The request")
    except ValueError as error:
        raise Refused(str(error)) from None
    if not isinstance(value, dict):
        raise Refused("The request is no JSON object.")
    return value


def serve(app: Any, host: str, port: int, what: str, kept: str = "; everything entered is kept at once") -> None:
    """Serve `app` until it is stopped."""
    try:
        import uvicorn
    except ImportError as error:
        raise ValueError(_NEEDED) from error
    say(f"{what} at http://{host}:{port} (Ctrl+C ends{kept}).")
    # A browser keeps its connection open; without a limit the server would wait for it.
    uvicorn.run(app, host=host, port=port, log_level="warning", timeout_graceful_shutdown=_LAST_SECONDS)


class Journal:
    """A file of JSON lines that only grows and that several processes may write: each takes in what the others wrote
    before it adds its own. A last line cut short by a crash is left out, and cut off when the next one is written.

    Args:
        path: the file; it need not be there.
        apply: takes in a record; KeyError, TypeError, IndexError or ValueError say that it is none.
        what: what a line is then said not to be.

    Raises:
        ValueError: a line is no JSON object, or no such record.
    """

    def __init__(self, path: Path, apply: Callable[[dict[str, Any]], None], what: str):
        self.path, self._apply, self._what = path, apply, what
        self._lock = threading.RLock()
        self._taken, self._lines = 0, 0
        self.refresh()

    def refresh(self) -> None:
        """Take in the whole lines that were written since."""
        with self._lock:
            if not self.path.exists():
                return
            with self.path.open("rb") as stream:
                if stream.seek(0, os.SEEK_END) < self._taken:
                    raise ValueError(f"{self.path} was cut while it was in use: start again.")
                stream.seek(self._taken)
                data = stream.read()
            for line in data.split(b"\n")[:-1]:
                self._lines += 1
                self._taken += len(line) + 1
                if line.strip():
                    self._take(line)

    def append(self, make: Callable[[], dict[str, Any] | None]) -> None:
        """Add a record; it is on the disk when this returns.

        Args:
            make: gives the record once everything that was written before is taken in; None: there is none to add.
        """
        with self._lock:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as stream, exclusive(stream):
                self.refresh()
                if (record := make()) is None:
                    return
                line = json.dumps(record, sort_keys=True, allow_nan=False).encode() + b"\n"
                stream.truncate(self._taken)
                stream.write(line)
                stream.flush()
                os.fsync(stream.fileno())
                self._taken += len(line)
                self._lines += 1
                self._apply(record)

    def _take(self, line: bytes) -> None:
        try:
            record = parse_json(line, "It", lenient=True)  # older ones may hold half a surrogate pair
        except ValueError as error:
            raise ValueError(f"Line {self._lines} of {self.path} is broken.") from error
        if not isinstance(record, dict):
            raise ValueError(f"Line {self._lines} of {self.path} is broken.")
        try:
            self._apply(record)
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise ValueError(f"Line {self._lines} of {self.path} is no {self._what}.") from error
