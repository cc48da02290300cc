"""The endpoint answers as the commands do, and refuses what it cannot do."""

import base64
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from knowlip.cli import main
from knowlip.inference import replies
from knowlip.inference import serve as module
from knowlip.inference.ask import ask
from knowlip.inference.caption import caption
from knowlip.inference.serve import make_endpoint
from knowlip.inference.settings import AskConfig, CaptionConfig, ServeConfig
from knowlip.models import load_model
from tests.inference.test_replies import calibrated
from tests.inference.tiny_model import tiny_model

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from tests.inference.served import served

KEY = "a-key-of-sixteen-letters"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model") / "model")


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("picture") / "tile.png"
    Image.fromarray(np.random.default_rng(3).integers(0, 255, (40, 40), dtype=np.uint8)).save(path)
    return path


def client(model: Path, key: str = "", folder: Path | None = None, **changes: Any) -> Any:
    from fastapi.testclient import TestClient

    app = make_endpoint(load_model(model), ServeConfig(openai=True, **changes), key, folder=folder)
    return TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)


def url_of(data: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def body(picture: Path, *words: str, **changes: Any) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"type": "text", "text": text} for text in words]
    parts.append({"type": "image_url", "image_url": {"url": url_of(picture.read_bytes())}})
    return {"model": "knowlip", "messages": [{"role": "user", "content": parts}], **changes}


def said(reply: Any) -> str:
    """The sentence of a refusal, which is in OpenAI's form."""
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return str(error["message"])


def test_answers_are_those_of_the_commands(folder: Path, picture: Path) -> None:
    served = client(folder)
    for question in ("How many ships are visible?", "Count: [MASK]"):
        found = served.post("/v1/chat/completions", json=body(picture, question, metres_per_pixel=3)).json()
        want = ask(AskConfig(picture, question, folder, metres_per_pixel=3.0, device="cpu"))
        assert found["choices"][0]["message"]["content"] == want["answer"]
        told = found["knowlip"]
        assert (told["metres_per_pixel"], told["confidence"], told["refused"]) == (3.0, None, None)
        assert told["probability"] == pytest.approx(want["probability"], abs=1e-4)
    want_caption = caption(CaptionConfig([picture], folder, device="cpu"))[0]["caption"]
    for words in ((), ("Describe this image.",), ("please describe the SAR image",)):
        found = served.post("/v1/chat/completions", json=body(picture, *words)).json()
        assert found["choices"][0]["message"]["content"] == want_caption
        assert any("how large a pixel" in note for note in found["knowlip"]["notes"])
    usage = found["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 16  # the image has 16 patches


def test_refusals_and_confidences_are_those_of_the_command(tmp_path: Path) -> None:
    """A small picture, one of too large pixels, one that is cut, and one of which nobody knows the ground."""
    model, rng = calibrated(tmp_path / "model"), np.random.default_rng(0)
    for name, side in (("small", 64), ("large", 600), ("huge", 3000)):
        pixels = rng.integers(1, 255, (side, side), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    served = client(model, folder=model)
    how_many, types = "How many ships are visible?", "What type of aircraft is most common here?"
    cases = [
        ("small", how_many, 4.0),
        ("small", types, 4.0),
        ("small", "Is it raining?", 4.0),
        ("small", how_many, 8.0),
    ]
    cases += [("small", how_many, 40.0), ("large", how_many, 4.0), ("small", "Where is my dog?", None)]
    seen = set()
    for name, question, metres in cases:
        more = {} if metres is None else {"metres_per_pixel": metres}
        found = served.post("/v1/chat/completions", json=body(tmp_path / f"{name}.png", question, **more)).json()
        want = ask(AskConfig(tmp_path / f"{name}.png", question, model, metres_per_pixel=metres, device="cpu"))
        told, message = found["knowlip"], found["choices"][0]["message"]
        for key in ("probability", "confidence", "refused"):
            assert told[key] == want[key], (name, question, key)  # type: ignore[literal-required]
        if want["refused"]:
            assert message["content"] == f"No answer: {told['reason']}"
            assert message["refusal"] == told["reason"]
            assert "image.png" not in told["reason"]
            assert "--" not in told["reason"]
        else:
            assert (message["content"], message["refusal"]) == (want["answer"], None)
        seen.add(want["refused"])
    assert seen == {None, "question", "resolution"}
    cut = served.post("/v1/chat/completions", json=body(tmp_path / "large.png", how_many, metres_per_pixel=4)).json()
    assert any("cut into 9 windows" in note for note in cut["knowlip"]["notes"])
    assert served.post("/v1/chat/completions", json=body(tmp_path / "large.png", metres_per_pixel=4)).status_code == 400
    lost = served.post("/v1/chat/completions", json=body(tmp_path / "huge.png", how_many))
    assert lost.status_code == 400
    assert "give metres_per_pixel in the request" in said(lost)
    anyway = body(tmp_path / "small.png", "Is it raining?", metres_per_pixel=4, refuse=False)
    assert served.post("/v1/chat/completions", json=anyway).json()["knowlip"]["refused"] is None
    never = client(model, folder=model, refuse=False)
    asked = body(tmp_path / "small.png", "Is it raining?", metres_per_pixel=4)
    assert never.post("/v1/chat/completions", json=asked).json()["knowlip"]["refused"] is None


def test_lengths_draws_and_several_answers(folder: Path, picture: Path) -> None:
    served = client(folder, max_new_tokens=4)
    short = served.post("/v1/chat/completions", json=body(picture, "how many?", max_tokens=1)).json()["choices"][0]
    assert short["finish_reason"] == "length"
    capped = served.post("/v1/chat/completions", json=body(picture, max_tokens=100)).json()
    assert capped["usage"]["completion_tokens"] <= 4
    drawn = body(picture, "how many?", temperature=1.5, n=4, seed=-7)
    first, again = (served.post("/v1/chat/completions", json=drawn).json()["choices"] for _ in range(2))
    assert first == again
    assert len({choice["message"]["content"] for choice in first}) > 1
    assert [choice["index"] for choice in first] == [0, 1, 2, 3]


def test_a_stream_says_the_same(folder: Path, picture: Path) -> None:
    served = client(folder)
    whole = served.post("/v1/chat/completions", json=body(picture, "how many?")).json()
    asked = body(picture, "how many?", stream=True, stream_options={"include_usage": True})
    with served.stream("POST", "/v1/chat/completions", json=asked) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        lines = [line.removeprefix("data: ") for line in reply.iter_lines() if line]
    assert lines.pop() == "[DONE]"
    chunks = [json.loads(line) for line in lines]
    text = "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"])
    assert text == whole["choices"][0]["message"]["content"]
    assert chunks[0]["choices"][0]["delta"]["refusal"] is None
    assert chunks[0]["knowlip"]["refused"] is None
    assert chunks[-2]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert chunks[-1]["usage"] == whole["usage"]


def test_what_is_not_read_is_told(folder: Path, picture: Path) -> None:
    served = client(folder)
    one = body(picture, "how many ships?")
    talk = {
        **one,
        "messages": [
            {"role": "system", "content": "Answer in French."},
            one["messages"][0],
            {"role": "assistant", "content": "three"},
            {"role": "user", "content": "Where \u732b are they?"},
        ],
    }
    found = served.post("/v1/chat/completions", json=talk).json()
    want = ask(AskConfig(picture, "Where \u732b are they?", folder, device="cpu"))
    assert found["choices"][0]["message"]["content"] == want["answer"]
    notes = " ".join(found["knowlip"]["notes"])
    for sentence in ("system message was not read", "Earlier turns were not read", "does not know"):
        assert sentence in notes


@pytest.mark.parametrize(
    ("changes", "status", "sentence"),
    [
        ({"refuse": "no"}, 400, "true or false"),
        ({"model": "gpt-4o"}, 404, "ask for 'knowlip'"),
        ({"messages": []}, 400, "1 to 200 messages"),
        ({"messages": [{"role": "user", "content": "how many?"}]}, 400, "no image"),
        ({"messages": [{"role": "tool", "content": "x"}]}, 400, "role"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, 400, "must be the user's"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, 400, "text or an image_url"),
        ({"max_tokens": 0}, 400, "max_tokens is a whole number"),
        ({"temperature": 9}, 400, "between 0 and 2"),
        ({"n": 2}, 400, "temperature above 0"),
        ({"tools": [{"type": "function"}]}, 400, "cannot follow 'tools'"),
        ({"response_format": {"type": "json_object"}}, 400, "cannot follow 'response_format'"),
        ({"frequency_penalty": False}, 400, "cannot follow"),
        ({"something_new": 1}, 400, "cannot follow 'something_new'"),
        ({"stream": "yes"}, 400, "true or false"),
        ({"metres_per_pixel": 0}, 400, "metres_per_pixel is 0"),
    ],
)
def test_what_cannot_be_done_is_refused(
    folder: Path, picture: Path, changes: dict[str, Any], status: int, sentence: str
) -> None:
    reply = client(folder).post("/v1/chat/completions", json=body(picture, "how many?") | changes)
    assert reply.status_code == status
    assert sentence in said(reply)


def test_parameters_without_effect_pass(folder: Path, picture: Path) -> None:
    harmless = {"stop": None, "presence_penalty": 0, "tools": [], "user": "me", "response_format": {"type": "text"}}
    reply = client(folder).post("/v1/chat/completions", json=body(picture, "how many?", top_p=0.1, **harmless))
    assert reply.status_code == 200


@pytest.mark.parametrize(
    "url", ["https://example.org/a.png", "http://127.0.0.1/x", "file:///etc/passwd", "data:,x", ""]
)
def test_nothing_is_fetched(folder: Path, picture: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    served = client(folder)
    asked = body(picture, "how many?")
    asked["messages"][0]["content"][-1]["image_url"]["url"] = url
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: pytest.fail("a name was looked up"))
    reply = served.post("/v1/chat/completions", json=asked)
    assert reply.status_code == 400
    assert "not fetched" in said(reply)


def test_limits_of_size(folder: Path, picture: Path, tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    Image.fromarray(np.zeros((1100, 1000), np.uint8)).save(large)
    served = client(folder, max_megapixels=1.0, max_body_mb=0.05)
    reply = served.post("/v1/chat/completions", json=body(large, "how many?"))
    assert reply.status_code == 413
    assert "1000 x 1100 pixels" in said(reply)
    reply = served.post("/v1/chat/completions", json=body(picture, "a" * 60_000))
    assert reply.status_code == 413
    assert "too long" in said(reply)
    reply = served.post("/v1/chat/completions", json=body(picture, "how many " * 30))
    assert reply.status_code == 400
    assert "the model reads 22" in said(reply)


@pytest.mark.parametrize(
    "data", [b"", b"\x89PNG\r\n", b"II*\0" + b"\0" * 40, b"GIF89a", b"\xff\xd8\xff\xe0" + b"x" * 99]
)
def test_what_is_no_picture_is_refused_without_a_path(folder: Path, picture: Path, data: bytes) -> None:
    asked = body(picture, "how many?")
    asked["messages"][0]["content"][-1]["image_url"] = url_of(data)
    reply = client(folder).post("/v1/chat/completions", json=asked)
    assert reply.status_code == 400
    assert "The image" in said(reply)
    assert "/" not in said(reply)


def test_requests_that_are_none(folder: Path) -> None:
    served = client(folder)
    assert served.post("/v1/chat/completions", content=b"{").status_code == 415
    json_type = {"content-type": "application/json"}
    for content in (b"{", b"[]", b'{"a": 1e999}', b"[" * 5000):
        reply = served.post("/v1/chat/completions", content=content, headers=json_type)
        assert reply.status_code == 400
        assert said(reply)
    reply = served.get("/v1/nothing")
    assert reply.status_code == 404
    assert said(reply)
    assert served.get("/v1/models", headers={"host": "evil.example"}).status_code == 400


def test_the_key_is_asked_for_and_never_told(
    folder: Path, picture: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    served = client(folder, KEY)
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": KEY}, {"authorization": f"Basic {KEY}"}):
        for path in ("/v1/models", "/v1/models/knowlip"):
            assert served.get(path, headers=headers).status_code == 401
        reply = served.post("/v1/chat/completions", content=b"x" * 10, headers=headers)
        assert reply.status_code == 401  # before the body is looked at
        assert KEY not in reply.text
    right = {"authorization": f"Bearer {KEY}"}
    assert [one["id"] for one in served.get("/v1/models", headers=right).json()["data"]] == ["knowlip"]
    assert served.get("/v1/models/knowlip", headers=right).json()["id"] == "knowlip"
    assert served.get("/v1/models/other", headers=right).status_code == 404
    assert served.post("/v1/chat/completions", json=body(picture, "how many?"), headers=right).status_code == 200
    told = "".join(capfd.readouterr()) + caplog.text
    assert KEY not in told


def test_a_fault_of_the_server_tells_nothing(folder: Path, picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError(f"secret of {Path(__file__)}")

    monkeypatch.setattr(replies, "write", fail)
    reply = client(folder).post("/v1/chat/completions", json=body(picture, "how many?"))
    assert reply.status_code == 500
    assert said(reply) == "The model failed on this request."
    monkeypatch.setattr(module, "read_chat", fail)
    reply = client(folder).post("/v1/chat/completions", json=body(picture, "how many?"))
    assert reply.status_code == 500
    assert said(reply) == "The server has failed."


def test_who_comes_when_too_many_wait_is_told_to_come_back(
    folder: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_WAITING", 1)
    started, go_on, original = threading.Event(), threading.Event(), replies.write

    def slow(*arguments: Any) -> Any:
        started.set()
        assert go_on.wait(20)
        return original(*arguments)

    monkeypatch.setattr(replies, "write", slow)
    served, codes = client(folder), []
    first = threading.Thread(
        target=lambda: codes.append(served.post("/v1/chat/completions", json=body(picture, "how many?")).status_code)
    )
    first.start()
    assert started.wait(20)
    reply = served.post("/v1/chat/completions", json=body(picture, "how many?"))
    go_on.set()
    first.join()
    assert (reply.status_code, reply.headers["retry-after"], codes) == (503, "2", [200])


@pytest.mark.parametrize(
    ("flags", "key", "sentence"),
    [
        ([], "", "--openai"),
        (["--openai", "--host", "0.0.0.0"], "", "KNOWLIP_SERVE_KEY"),
        (["--openai"], "short", "16 or more"),
        (["--openai", "--port", "0"], "", "--port"),
        (["--openai", "--max_megapixels", "0"], "", "max_megapixels"),
        (["--openai", "--model", "nowhere"], "", "nowhere"),
    ],
)
def test_wrong_settings_are_one_sentence(
    flags: list[str], key: str, sentence: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KNOWLIP_SERVE_KEY", key)
    assert main(["serve", *flags]) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert "Traceback" not in told


# ---- over HTTP, by a client of others -------------------------------------------------------------------------------


@pytest.fixture
def address(folder: Path) -> Iterator[str]:
    with served(folder, KEY) as url:
        yield url


def test_the_openai_package_can_ask(address: str, folder: Path, picture: Path) -> None:
    openai = pytest.importorskip("openai")  # of the extra "dev", so that only a hand-made environment skips
    asking = openai.OpenAI(base_url=address, api_key=KEY, max_retries=0)
    assert [one.id for one in asking.models.list()] == ["knowlip"]
    stream = io.StringIO()
    asked = body(picture, "how many ships?")
    found = asking.chat.completions.create(**asked, extra_body={"metres_per_pixel": 3.0})
    want = ask(AskConfig(picture, "how many ships?", folder, metres_per_pixel=3.0, device="cpu"))["answer"]
    assert found.choices[0].message.content == want
    for chunk in asking.chat.completions.create(**asked, stream=True, extra_body={"metres_per_pixel": 3.0}):
        stream.write(chunk.choices[0].delta.content or "")
    assert stream.getvalue() == want
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=address, api_key="none", max_retries=0).models.list()
    with pytest.raises(openai.BadRequestError, match="no image"):
        asking.chat.completions.create(model="knowlip", messages=[{"role": "user", "content": "how many?"}])
