"""The `openai` annotator: any vision-language model behind an OpenAI-compatible endpoint (hosted, vLLM, llama.cpp).

Every answer is stored before it is used, under the hash of all that was asked, and every request stands in the ledger
before it is sent: an interrupted run pays no answer twice.
"""

import base64
import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from knowlip.annotators.openai.answer import parse_answer
from knowlip.annotators.openai.cached import CachedEndpoint, ChatRequest, Usage
from knowlip.annotators.openai.endpoint import CostLimit, EndpointError, TileFailed
from knowlip.annotators.openai.prompt import repair_request
from knowlip.annotators.openai.reply import ChatAnswer
from knowlip.annotators.openai.secret import HIDDEN
from knowlip.annotators.types import Annotation, TileRequest

__all__ = ["ChatRequest", "CostLimit", "EndpointError", "OpenAIAnnotator", "TileFailed", "Usage", "image_url"]

REPAIR_TURNS = 2
MAX_ANSWER = 200_000
"""Characters of an answer, with what a model thinks aloud before it; a longer one is no annotation."""
_ENCODERS = {"jpeg": ("JPEG", {"quality": 85}), "webp": ("WEBP", {"quality": 80, "method": 4}), "png": ("PNG", {})}


class _Unanswered(Exception):
    def __init__(self, question: ChatRequest) -> None:
        self.question = question


class OpenAIAnnotator(CachedEndpoint):
    """Annotates tiles through an OpenAI-compatible endpoint. Safe to call from several threads.

    Its arguments are those of :class:`CachedEndpoint`.
    """

    name = "openai"

    def annotate(self, request: TileRequest) -> Annotation:
        """Write the eight sub-texts of one tile.

        Raises:
            TileFailed: refused, still unusable after two repair turns, or no answer after all retries.
            EndpointError: no tile can be answered, or the next request could pass the cost limit.
        """
        return self._annotate(request, self.ask)

    def annotate_stored(self, request: TileRequest) -> Annotation:
        """The same from answers on disk alone; `TileFailed` also for a tile whose request was given up."""
        return self._annotate(request, self._stored)

    def next_question(self, request: TileRequest) -> ChatRequest | None:
        """What has to be asked next for a tile; None where it is annotated or given up."""
        try:
            self._converse(request, self._stored)
        except _Unanswered as unanswered:
            return unanswered.question
        except TileFailed:
            pass
        return None

    def _annotate(self, request: TileRequest, ask: Callable[[ChatRequest], ChatAnswer]) -> Annotation:
        try:
            note, turns = self._converse(request, ask)
        except TileFailed as error:
            self.ledger.tile(request.tile_id, "quarantined", str(error))
            raise
        self.ledger.tile(request.tile_id, "repaired" if turns else "answered")
        return note

    def _converse(self, request: TileRequest, ask: Callable[[ChatRequest], ChatAnswer]) -> tuple[Annotation, int]:
        """Lead the conversation about a tile; gives the annotation and the repair turns that it took."""
        options = self.options
        chosen = options.instruction_set or None
        prompt = options.prompt(request)
        has_parent = options.guided and options.parent_text and request.parent is not None
        messages = prompt.messages(image_url(request.image, options.image_side, options.image_format))
        problem = ""
        for turn in range(1 + REPAIR_TURNS):
            answer = ask(self.question(messages, request.tile_id, turn))
            if answer["refusal"] or answer["finish_reason"] == "content_filter":
                raise TileFailed(self.endpoint.clean(f"refused: {answer['refusal'] or 'content filter'}"))
            content = answer["content"]
            if len(content) > MAX_ANSWER:  # a repair turn would send all of it back
                raise TileFailed(f"the answer has {len(content):,} characters, at most {MAX_ANSWER:,} are read")
            try:
                note = parse_answer(content, request.tile_id, chosen, has_parent, options.response_format)
            except ValueError as error:
                problem = "it was cut off, be briefer" if answer["finish_reason"] == "length" else str(error)[:2000]
            else:
                self._refuse_key(note)
                return note, turn
            if turn < REPAIR_TURNS:
                messages = [
                    *messages,
                    {"role": "assistant", "content": content},
                    {"role": "user", "content": repair_request(problem, options.answer_form)},
                ]
        raise TileFailed(self.endpoint.clean(f"unusable after {REPAIR_TURNS} repair turns: {problem}", 1000))

    def _stored(self, question: ChatRequest) -> ChatAnswer:
        answer = self.stored(question)
        if answer is None:
            raise _Unanswered(question)
        return answer

    def _refuse_key(self, note: Annotation) -> None:
        """No text holds the endpoint's key, however often it was written in escapes."""
        said = "\n".join([*(sub.text for sub in note.sub_texts), *note.counts, *(box.category for box in note.boxes)])
        if HIDDEN in said or self.endpoint.secret.hide(said) != said:
            raise TileFailed("the answer repeats the endpoint's key")


def image_url(image: NDArray[np.uint8], side: int, image_format: str) -> str:
    """Encode a tile as a data URL.

    Args:
        image: (H, W) grey values.
        side: longest side in pixels; a larger image is averaged down (no ringing at bright points), a smaller one kept.
        image_format: one of `IMAGE_FORMATS`.
    """
    picture = Image.fromarray(image)
    shrink = min(1.0, side / max(image.shape))
    height, width = (max(1, round(length * shrink)) for length in image.shape)
    size = (width, height)
    if size != picture.size:
        picture = picture.resize(size, Image.Resampling.BOX)
    name, options = _ENCODERS[image_format]
    stream = io.BytesIO()
    picture.save(stream, name, **options)
    return f"data:image/{image_format};base64,{base64.b64encode(stream.getvalue()).decode()}"
