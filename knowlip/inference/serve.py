"""Our model behind an OpenAI-compatible endpoint: any client of chat completions can ask it about an image.

The answers, refusals and confidences are those of `knowlip ask` and `knowlip caption`, by the same code. Nothing of a
request is kept, nothing is fetched from elsewhere, and a client learns of a fault no more than that there was one.
"""

import hmac
import json
import math
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

from knowlip.base.documents import check_text
from knowlip.base.progress import say
from knowlip.inference.ask import answer_view
from knowlip.inference.chat import ChatQuestion, chunks_of, completion_body, error_body, read_chat
from knowlip.inference.images import TakenImage
from knowlip.inference.opened import what_is_unknown
from knowlip.inference.replies import ModelReply, Refusal, asker_of, coarse, refusing, said
from knowlip.inference.settings import ServeConfig
from knowlip.inference.views import CoarsePixels, ImageView, view_of
from knowlip.inference.written import ModelText, UnfitQuestion, question_tokens, unknown_words, write
from knowlip.models import KnowLIP
from knowlip.models.attention import patch_tokens
from knowlip.pages.server import Refused, application, json_body
from knowlip.scenes.pictures import kind_of, size_of

_PICTURES: Final = ("PNG", "JPEG", "BMP", "WEBP")
_MOST_WAITING: Final = 16
"""Requests that wait for their turn; more are told to come back."""
_MOST_WINDOWS: Final = 64
"""Windows that an image may be cut into."""


class ChatReply(NamedTuple):
    """What is said of the image of a request."""

    texts: Sequence[ModelText]
    told: dict[str, Any]
    """The answer with its probabilities, or why there is none, as `ask` tells it."""


class Answerer:
    """Answers one request after the other. Safe from threads.

    Args:
        model: in evaluation mode.
        config: names and limits.
        lock: held while the model works, where others ask it too.
        folder: of the model, which tells what is known of its answers; None: nothing is refused or calibrated.
    """

    def __init__(
        self,
        model: KnowLIP,
        config: ServeConfig,
        lock: AbstractContextManager[object] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.model, self.config, self.folder = model, config, folder
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
        notes = list(asked.notes)
        try:
            check_text(asked.question, "The question")
        except ValueError as error:
            raise Refused(str(error)) from None
        tokens = question_tokens(self.model, asked.question)
        if unknown := unknown_words(self.model, asked.question):
            notes.append(unknown)
        if asked.question and self.model.config.text.decoder_reads == "image":
            raise Refused("This model only writes captions: send the image without a question.")
        metres = asked.metres_per_pixel if asked.metres_per_pixel is not None else self.config.metres_per_pixel
        refuse = self.config.refuse if asked.refuse is None else asked.refuse
        with tempfile.TemporaryDirectory(prefix="knowlip-serve-") as folder:
            path = self._written(asked, Path(folder))
            try:
                # A picture that shows more ground than the model knows is cut, one of larger pixels refused, as for
                # the commands.
                view = view_of(path, self.model, metres, refuse)
                metres = view.metres
                reply = self._of_view(asked, view, refuse, notes)
            except CoarsePixels as error:
                reply = self._refused(coarse(error))
            except (Refused, UnfitQuestion):
                raise
            except ValueError as error:
                raise Refused(_plain(str(error), path)) from None
        told = {key: _plain(value, path) if key == "reason" and value else value for key, value in reply.told.items()}
        if told["reason"]:
            reply = ChatReply([ModelText(f"No answer: {told['reason']}", 0.0, 0, False)], told)
        prompt = patch_tokens(self.model)[0].stop + tokens + 2
        notes = [_plain(note, path) for note in notes]
        return completion_body(self.config.name, reply.texts, prompt, metres, notes, told)

    def _of_view(self, asked: ChatQuestion, view: ImageView, refuse: bool, notes: list[str]) -> ChatReply:
        """What `ask` and `caption` say of a picture; notes are added."""
        # One request holds the model: a caption of many windows would hold it for minutes.
        notes += view.notes
        if not view.whole and (not asked.question or len(view.looks) > _MOST_WINDOWS):
            raise Refused(
                f"The image shows {len(view.looks)} windows of the ground that the model knows: send one of them, or "
                f"at most {_MOST_WINDOWS} with a question."
            )
        image: TakenImage | None = None
        if view.whole:
            (look,) = view.looks
            image = view.taken(view.read(look), look)
            notes += what_is_unknown(self.model, [("The image", image)], "metres_per_pixel in the request")
        if not asked.question:
            assert image is not None
            texts = write(self.model, [image], [""], asked.generation)[0]
            return ChatReply(texts, said(_written_reply(texts)))
        asker, more = asker_of(self.model, self.folder, asked.question, refuse, asked.generation)
        notes += more
        if image is None:
            found = answer_view(asker, view).result
            words = found["answer"] or "There is no answer for the whole image: ask about a part of it."
            notes.append(f"The image was cut into {len(view.looks)} windows.")
            notes += [found["summary"]["how"]] if "summary" in found else []
            told = {name: found[name] for name in ("answer", "probability", "confidence", "refused", "reason")}
            return ChatReply([self._as_text(words, None)], told)
        (reply,) = asker.replies([image], view.resolution_m)
        if reply.refusal is not None:
            return self._refused(reply.refusal)
        return ChatReply(reply.texts or [self._as_text(reply.answer, reply.probability)], said(reply))

    def _refused(self, why: Refusal) -> ChatReply:
        return ChatReply([], said(refusing(why)))

    def _as_text(self, words: str, probability: float | None) -> ModelText:
        """An answer that was chosen, or put together of windows, as a text."""
        sure = math.log(max(probability or 1.0, 1e-30))
        return ModelText(words, sure, len(self.model.tokenizer.ids(words)), False)

    def _written(self, asked: ChatQuestion, folder: Path) -> Path:
        """The picture of a request as a file, for the one way in which images are read."""
        path = folder / "image"
        path.write_bytes(asked.image)
        if kind_of(path) not in _PICTURES:
            raise Refused("The image is no PNG, JPEG, WebP or BMP.")
        try:
            width, height = size_of(path)
        except ValueError as error:
            raise Refused(_plain(str(error), path)) from None
        if width * height > self.config.max_megapixels * 1e6:
            most = f"{self.config.max_megapixels:g} megapixels"
            raise Refused(f"The image has {width} x {height} pixels: at most {most} are read.", 413)
        return path


def _written_reply(texts: Sequence[ModelText]) -> ModelReply:
    """A description as a reply: nobody has measured how often one is right."""
    return ModelReply(texts[0].text, math.exp(min(0.0, texts[0].log_p)), None, None, None, tuple(texts))


def _plain(sentence: str, path: Path) -> str:
    """A sentence without the name of our temporary file, and with the setting as a request calls it."""
    sentence = sentence.replace(str(path), "The image").replace("--metres_per_pixel", "metres_per_pixel in the request")
    if sentence.startswith(f"{path.name} "):
        sentence = f"The image{sentence[len(path.name) :]}"
    return sentence.replace("--refuse false", "refuse false").replace("--", "")


def make_endpoint(
    model: KnowLIP,
    config: ServeConfig,
    key: str = "",
    under: str = "/v1",
    lock: AbstractContextManager[object] | None = None,
    folder: Path | None = None,
) -> Any:
    """The endpoint as an ASGI application.

    Args:
        model: in evaluation mode.
        config: names and limits.
        key: that clients must send; "" = none.
        under: what its paths begin with.
        lock: held while the model works, where others ask it too.
        folder: of the model, which tells what is known of its answers.

    Raises:
        ValueError: the extra `serve` is not installed.
    """
    # The key is asked for before a byte of the body is read; only its digest is kept.
    app = application(config.host, error_body)
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response, StreamingResponse

    answerer, wanted = Answerer(model, config, lock, folder), sha256(key.encode()).digest()
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
