"""Our model behind an OpenAI-compatible endpoint: any client of chat completions can ask it about an image.

The answers are those of `knowlip ask` and `knowlip caption`. Nothing of a request is kept, nothing is fetched from
elsewhere, and a client learns of a fault no more than that there was one.
"""

import hmac
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from knowlip.base.documents import check_text
from knowlip.base.progress import say
from knowlip.inference.chat import ChatQuestion, chunks_of, completion_body, error_body, read_chat
from knowlip.inference.images import TakenImage, read_image
from knowlip.inference.opened import what_is_unknown
from knowlip.inference.settings import ServeConfig
from knowlip.inference.written import UnfitQuestion, question_tokens, unknown_words, write
from knowlip.models import KnowLIP
from knowlip.models.attention import patch_tokens
from knowlip.pages.server import Refused, application, json_body
from knowlip.scenes.pictures import kind_of, size_of

_PICTURES: Final = ("PNG", "JPEG", "BMP", "WEBP")
_MOST_WAITING: Final = 16
"""Requests that wait for their turn; more are told to come back."""


class Answerer:
    """Answers one request after the other. Safe from threads.

    Args:
        model: in evaluation mode.
        config: names and limits.
        lock: held while the model works, where others ask it too.
    """

    def __init__(self, model: KnowLIP, config: ServeConfig, lock: AbstractContextManager[object] | None = None) -> None:
        self.model, self.config = model, config
        self._one, self._waiting = lock or threading.Lock(), threading.BoundedSemaphore(_MOST_WAITING)

    def answer(self, asked: ChatQuestion) -> dict[str, Any]:
        """A chat completion.

        Raises:
            Refused: the image or the question cannot be read, or too many others wait.
        """
        if not self._waiting.acquire(blocking=False):
            raise Refused("Too many requests wait for an answer: ask again.", 503, {"Retry-After": "2"})
        try:
            with self._one:  # also bounds what decoded images take of the memory
                return self._answer(asked)
        except (Refused, UnfitQuestion) as error:
            raise Refused(str(error), getattr(error, "status", 400)) from None
        except Exception as error:  # it tells of files and code of this machine
            say(f"  A request could not be answered ({type(error).__name__}).")
            raise Refused("The model failed on this request.", 500) from None
        finally:
            self._waiting.release()

    def _answer(self, asked: ChatQuestion) -> dict[str, Any]:
        image, notes = self._read(asked), list(asked.notes)
        try:
            check_text(asked.question, "The question")
        except ValueError as error:
            raise Refused(str(error)) from None
        tokens = question_tokens(self.model, asked.question)
        if unknown := unknown_words(self.model, asked.question):
            notes.append(unknown)
        if asked.question and self.model.config.text.decoder_reads == "image":
            raise Refused("This model only writes captions: send the image without a question.")
        notes += what_is_unknown(self.model, [("The image", image)], "metres_per_pixel in the request")
        texts = write(self.model, [image], [asked.question], asked.generation)[0]
        prompt = patch_tokens(self.model)[0].stop + tokens + 2
        return completion_body(self.config.name, texts, prompt, image.metres_per_pixel, notes)

    def _read(self, asked: ChatQuestion) -> TakenImage:
        """The picture of a request, by the one way in which images are read: from a file."""
        metres = asked.metres_per_pixel if asked.metres_per_pixel is not None else self.config.metres_per_pixel
        with tempfile.TemporaryDirectory(prefix="knowlip-serve-") as folder:
            path = Path(folder) / "image"
            path.write_bytes(asked.image)
            try:
                if kind_of(path) not in _PICTURES:
                    raise Refused("The image is no PNG, JPEG, WebP or BMP.")
                width, height = size_of(path)
                if width * height > self.config.max_megapixels * 1e6:
                    most = f"{self.config.max_megapixels:g} megapixels"
                    raise Refused(f"The image has {width} x {height} pixels: at most {most} are read.", 413)
                return read_image(path, metres)
            except Refused:
                raise
            except ValueError as error:
                raise Refused(str(error).replace(str(path), "The image")) from None


def make_endpoint(
    model: KnowLIP,
    config: ServeConfig,
    key: str = "",
    under: str = "/v1",
    lock: AbstractContextManager[object] | None = None,
) -> Any:
    """The endpoint as an ASGI application.

    Args:
        model: in evaluation mode.
        config: names and limits.
        key: that clients must send; "" = none.
        under: what its paths begin with.
        lock: held while the model works, where others ask it too.

    Raises:
        ValueError: the extra `serve` is not installed.
    """
    # The key is asked for before a byte of the body is read; only its digest is kept.
    app = application(config.host, error_body)
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response, StreamingResponse

    answerer, wanted = Answerer(model, config, lock), sha256(key.encode()).digest()
    entry = {"id": config.name, "object": "model", "created": int(time.time()), "owned_by": "knowlip"}

    def check(request: Request) -> None:
        if not key:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        same = hmac.compare_digest(sha256(given.strip().encode("utf-8", "replace")).digest(), wanted)
        if scheme.lower() != "bearer" or not same:
            raise Refused("The key is missing or wrong.", 401, {"WWW-Authenticate": "Bearer"})

    async def models(request: Request) -> Response:
        check(request)
        return JSONResponse({"object": "list", "data": [entry]})

    async def one_model(request: Request) -> Response:
        check(request)
        if request.path_params["name"] != config.name:
            raise Refused(f"There is no model of that name here; there is {config.name!r}.", 404)
        return JSONResponse(entry)

    async def complete(request: Request) -> Response:
        check(request)
        body = await json_body(request, int(config.max_body_mb * 1e6))
        asked = read_chat(body, config.name, config.max_new_tokens)
        found = await run_in_threadpool(answerer.answer, asked)
        if asked.stream:
            return StreamingResponse(_events(found, asked.usage), media_type="text/event-stream")
        return JSONResponse(found)

    app.add_route(f"{under}/models", models, methods=["GET"])
    app.add_route(under + "/models/{name:path}", one_model, methods=["GET"])
    app.add_route(f"{under}/chat/completions", complete, methods=["POST"])
    return app


def _events(completion: dict[str, Any], usage: bool) -> Iterator[str]:
    """Server-sent events."""
    for chunk in chunks_of(completion, usage):
        yield f"data: {json.dumps(chunk)}\n\n"
    yield "data: [DONE]\n\n"
