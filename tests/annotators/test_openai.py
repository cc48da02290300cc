"""The openai annotator against a real local HTTP server: what is sent, what is kept, how every fault ends."""

import base64
import io
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from knowlip.annotators.openai.annotator import EndpointError, OpenAIAnnotator, TileFailed, image_url
from knowlip.annotators.openai.answer import answer_schema, parse_answer
from knowlip.annotators.openai.options import OpenAIOptions
from knowlip.annotators.types import Annotation, SubText, TileRequest
from knowlip.language.dimensions import DIMENSIONS
from tests.annotators.openai_stub import Reply, Stub, answer, completion, failure, user_text

KEY = "sk-secret-of-the-test"
IMAGE = np.random.default_rng(0).integers(1, 255, (200, 200)).astype(np.uint8)
PARENT = Annotation(
    "p", "terrain", tuple(SubText(name, f"parent says {name}", 0.5, "geo") for name in DIMENSIONS["terrain"])
)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def request(tile_id: str = "t", **changes: Any) -> TileRequest:
    values: dict[str, Any] = {
        "tile_id": tile_id,
        "image": IMAGE,
        "metres_per_pixel": 1.28,
        "scale": "small",
        "sensor": "sim-c",
        "band": "C",
        "lon": 4.0,
        "lat": 52.0,
        "place": {"country": "Netherlands"},
        "look_azimuth_deg": None,
        "parent": PARENT,
    }
    return TileRequest(**{**values, **changes})


def annotator(stub: Stub, folder: Path, **options: Any) -> OpenAIAnnotator:
    fast = {"backoff_s": 0.001, "retries": 3, "image_side": 100, **options}
    return OpenAIAnnotator("stub", OpenAIOptions(**fast), folder, stub.url)


def script(*replies: Reply) -> Any:
    """Replies in turn, the last one for ever."""
    return lambda body, number: replies[min(number, len(replies) - 1)]


def test_request_carries_image_parent_schema_and_key(tmp_path: Path) -> None:
    with Stub(script(completion(answer("marine", Count="three ships.")))) as stub:
        note = annotator(stub, tmp_path).annotate(request())
    assert note.tile_id == "t"
    assert note.instruction_set == "marine"
    assert note.text_of("Count") == "three ships"  # the full stop is ours to set
    assert note.sub_texts[0].confidence == 0.8
    body = stub.bodies[0]
    assert "parent says Terrain" in user_text(body)
    assert "100 x 100 pixels of 2.56 m" in user_text(body)
    url = body["messages"][1]["content"][1]["image_url"]["url"]
    head, data = url.split(",")
    assert head == "data:image/jpeg;base64"
    sent = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))), float)
    averaged = IMAGE.reshape(100, 2, 100, 2).mean((1, 3))
    assert sent.shape == (100, 100)
    assert np.abs(sent - averaged).mean() < 6  # JPEG noise only
    assert body["response_format"]["json_schema"]["strict"] is True
    assert (body["temperature"], body["max_tokens"], body["seed"]) == (0.0, 1500, 0)
    assert stub.keys == {f"Bearer {KEY}"}


def test_key_is_stored_nowhere(tmp_path: Path) -> None:
    with Stub(script(completion(answer()))) as stub:
        annotator(stub, tmp_path).annotate(request())
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written
    assert not any(KEY.encode() in path.read_bytes() for path in written)
    with (
        Stub(script(failure(400, f"bad header {KEY}"))) as stub,
        pytest.raises(TileFailed, match=r"HTTP 400: .*\[OPENAI_API_KEY\]"),
    ):
        annotator(stub, tmp_path).annotate(request("u", lon=5.0))


def test_options_reach_the_request(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "image_format": "webp",
        "response_format": "json_object",
        "layers": ("sar",),
        "instruction_set": "terrain",
        "geographic_hint": False,
        "parent_text": False,
        "extra": {"temperature": None, "top_k": 5},
    }
    with Stub(script(completion(answer("terrain")))) as stub:
        assert annotator(stub, tmp_path, **options).annotate(request()).instruction_set == "terrain"
    body = stub.bodies[0]
    assert body["messages"][1]["content"][1]["image_url"]["url"].startswith("data:image/webp;base64,UklGR")
    assert body["response_format"] == {"type": "json_object"}
    assert "temperature" not in body
    assert body["top_k"] == 5
    assert re.findall(r"Layer \d", body["messages"][0]["content"]) == ["Layer 3"]
    assert "Netherlands" not in user_text(body)
    assert "parent says" not in user_text(body)


def test_image_is_never_enlarged() -> None:
    data = base64.b64decode(image_url(IMAGE, 4096, "jpeg").split(",")[1])
    assert Image.open(io.BytesIO(data)).size == (200, 200)


def test_same_question_is_paid_once(tmp_path: Path) -> None:
    with Stub(script(completion(answer()))) as stub:
        first = annotator(stub, tmp_path)
        notes = [first.annotate(request()), annotator(stub, tmp_path).annotate(request())]
        assert notes[0] == notes[1]
        assert len(stub.bodies) == 1
        # whatever the answer depends on is part of the question
        other = np.array(IMAGE)
        other[:50] = 255
        again = annotator(stub, tmp_path)
        for changed in (request(image=other), request(parent=None), request(lon=4.1)):
            again.annotate(changed)
        annotator(stub, tmp_path, temperature=0.5).annotate(request())
        assert len(stub.bodies) == 5
    assert first.usage.as_dict() == {
        "requests": 1,
        "cached": 0,
        "retries": 0,
        "repairs": 0,
        "input_tokens": 100,
        "output_tokens": 10,
    }


@pytest.mark.parametrize("fault", [failure(429, retry_after="0"), failure(500), failure(503), (200, "<html>", {})])
def test_passing_faults_are_retried(tmp_path: Path, fault: Reply) -> None:
    with Stub(script(fault, fault, completion(answer()))) as stub:
        asked = annotator(stub, tmp_path)
        asked.annotate(request())
        assert len(stub.bodies) == 3
    assert asked.usage.retries == 2


def test_retry_after_is_obeyed(tmp_path: Path) -> None:
    with Stub(script(failure(429, retry_after="0.4"), completion(answer()))) as stub:
        started = time.perf_counter()
        annotator(stub, tmp_path).annotate(request())
        assert time.perf_counter() - started >= 0.4


def test_lasting_fault_fails_the_tile_and_is_not_remembered(tmp_path: Path) -> None:
    with Stub(script(failure(500, "out of order"))) as stub:
        with pytest.raises(TileFailed, match="HTTP 500: out of order, after 3 retries"):
            annotator(stub, tmp_path).annotate(request())
        assert len(stub.bodies) == 4
    with Stub(script(completion(answer()))) as stub:
        annotator(stub, tmp_path).annotate(request())
        assert len(stub.bodies) == 1


def test_slow_answers_time_out_and_are_retried(tmp_path: Path) -> None:
    gone = threading.Event()

    def reply(body: dict[str, Any], number: int) -> Reply:
        if number == 0:
            gone.wait(5)
        return completion(answer())

    with Stub(reply) as stub:
        asked = annotator(stub, tmp_path, timeout_s=1.0)
        asked.annotate(request())
        gone.set()
    assert asked.usage.retries == 1


def test_refusal_is_never_asked_again(tmp_path: Path) -> None:
    for number, refused in enumerate((completion(None, refusal="I cannot"), completion("", "content_filter"))):
        with Stub(script(refused)) as stub:
            for _ in range(2):
                with pytest.raises(TileFailed, match="refused"):
                    annotator(stub, tmp_path / str(number)).annotate(request())
            assert len(stub.bodies) == 1


def test_bad_request_is_not_repeated(tmp_path: Path) -> None:
    with Stub(script(failure(400, "image input is not supported"))) as stub:
        with pytest.raises(TileFailed, match="image input is not supported"):
            annotator(stub, tmp_path).annotate(request())
        assert len(stub.bodies) == 1


BROKEN = {
    "truncated": completion(answer()[:300], "length"),
    "not JSON": completion("I see three ships."),
    "field missing": completion(answer("marine").replace('"Size"', '"Length"')),
    "wrong set": completion(answer("terrain").replace('"terrain"', '"marine"')),
    "confidence": completion(answer().replace("0.8", "80")),
    "evidence": completion(answer(evidence="guess")),
    "empty text": completion(answer(Count=" . ")),
    "long text": completion(answer(Count="ship " * 200)),
    "empty": completion(None),
}


@pytest.mark.parametrize("name", list(BROKEN))
def test_unusable_answer_is_repaired(tmp_path: Path, name: str) -> None:
    with Stub(script(BROKEN[name], completion(answer()))) as stub:
        asked = annotator(stub, tmp_path)
        asked.annotate(request())
        assert len(stub.bodies) == 2
        first, second = stub.bodies
        assert second["messages"][:2] == first["messages"]  # the image and the parent stay in view
        assert second["messages"][2]["role"] == "assistant"
        assert "could not be used" in second["messages"][3]["content"]
        assert ("cut off" in second["messages"][3]["content"]) == (name == "truncated")
    assert asked.usage.repairs == 1


def test_two_repair_turns_then_quarantine_paid_once(tmp_path: Path) -> None:
    with Stub(script(completion("no"))) as stub:
        for _ in range(2):
            with pytest.raises(TileFailed, match="unusable after 2 repair turns"):
                annotator(stub, tmp_path).annotate(request())
        assert len(stub.bodies) == 3


def test_nothing_rests_on_a_parent_that_was_not_sent(tmp_path: Path) -> None:
    with Stub(script(completion(answer(evidence="parent")))) as stub:
        annotator(stub, tmp_path).annotate(request())
        with pytest.raises(TileFailed, match="no larger tile"):
            annotator(stub, tmp_path).annotate(request(parent=None))


def test_endpoint_that_can_serve_nobody_stops_the_run(tmp_path: Path) -> None:
    for reply, said in (
        (failure(401, f"wrong key {KEY}"), "refuses the key"),
        (failure(404, "no such model"), "does not serve the model 'stub'"),
        (failure(429, "pay first", "insufficient_quota"), "no credit"),
    ):
        with Stub(script(reply)) as stub:
            with pytest.raises(EndpointError, match=said) as raised:
                annotator(stub, tmp_path).annotate(request())
            assert len(stub.bodies) == 1
            assert KEY not in str(raised.value)


def test_check_before_anything_is_paid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Stub(script(failure(500)), models=("qwen", "llava")) as stub:
        with pytest.raises(EndpointError, match="does not serve the model 'stub'; it serves llava, qwen"):
            annotator(stub, tmp_path).check()
        assert not stub.bodies
    with pytest.raises(EndpointError, match="cannot be reached"):
        annotator(stub, tmp_path).check()  # closed
    with Stub(script(failure(500)), models=None) as stub:
        annotator(stub, tmp_path).check()  # a server without a list of models
        monkeypatch.setenv("OPENAI_BASE_URL", stub.url)
        OpenAIAnnotator("stub", OpenAIOptions(), tmp_path).check()
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(EndpointError, match="key in the environment variable OPENAI_API_KEY"):
        annotator(stub, tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(EndpointError, match="name of a model"):
        OpenAIAnnotator("", OpenAIOptions(), tmp_path)


def test_many_threads_share_one_annotator(tmp_path: Path) -> None:
    def reply(body: dict[str, Any], number: int) -> Reply:
        lon = re.search(r"\[([\d.]+), 52", user_text(body))
        assert lon
        return failure(429) if number % 5 == 4 else completion(answer("marine", Count=f"ships at {lon[1]}"))

    with Stub(reply) as stub, ThreadPoolExecutor(8) as pool:
        asked = annotator(stub, tmp_path, retries=10)
        notes = list(pool.map(lambda i: asked.annotate(request(f"t{i}", lon=float(i))), range(24)))
    assert [note.text_of("Count") for note in notes] == [f"ships at {i:.4f}" for i in range(24)]
    assert [note.tile_id for note in notes] == [f"t{i}" for i in range(24)]
    assert asked.usage.requests == 24


def test_schema_is_of_the_strict_kind() -> None:
    def objects(node: Any) -> Any:
        if isinstance(node, dict):
            if node.get("type") == "object":
                yield node
            for value in node.values():
                yield from objects(value)
        elif isinstance(node, list):
            for value in node:
                yield from objects(value)

    for name in (None, *DIMENSIONS):
        found = list(objects(answer_schema(name)))
        assert found
        for node in found:
            assert node["additionalProperties"] is False
            assert set(node["required"]) == set(node["properties"])


def test_parse_tolerates_a_fence_and_checks_the_set() -> None:
    assert parse_answer(f"```json\n{answer('ground')}\n```", "t").instruction_set == "ground"
    with pytest.raises(ValueError, match="instruction_set"):
        parse_answer(answer("ground"), "t", "marine")
    with pytest.raises(ValueError, match=r"sub_texts\.Size: Field required"):
        parse_answer(json.dumps({"instruction_set": "marine", "sub_texts": {}}), "t")


def test_options_are_checked() -> None:
    for options, said in (
        ({"layers": ("magic",)}, "prompt layer"),
        ({"instruction_set": "sea"}, "instruction set"),
        ({"image_side": 4}, "image_side"),
        ({"image_format": "gif"}, "image format"),
        ({"response_format": "xml"}, "response format"),
        ({"retries": -1}, "retries"),
    ):
        with pytest.raises(ValueError, match=said):
            OpenAIOptions(**options)
