"""The client of an endpoint: its address and key, its patience, and batches of any shape."""

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from knowlip.annotators.openai.annotator import OpenAIAnnotator
from knowlip.annotators.openai.batch import BatchRequests
from knowlip.annotators.openai.cached import CachedEndpoint
from knowlip.annotators.openai.endpoint import GIVEN_UP_IN_A_ROW, Endpoint, EndpointError, TileFailed
from knowlip.annotators.openai.http import Reply
from knowlip.annotators.openai.ledger import RequestLedger
from knowlip.annotators.openai.options import OpenAIOptions
from knowlip.annotators.openai.work import EndpointWork
from knowlip.annotators.paraphrase import Wanted, _reworded
from tests.annotators.hostile_server import KEY
from tests.annotators.openai_stub import Stub, completion, failure

FAST = OpenAIOptions(backoff_s=0.0, retries=0, timeout_s=5.0)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("localhost:8000/v1", "must begin with http:// or https://"),
        ("file:///etc/passwd", "must begin with"),
        ("http://", "must begin with"),
        ("http://[::1", "cannot be read"),
        (f"https://user:{KEY}@host/v1", "must hold no key, user, password or query"),
        (f"https://host/v1?api-key={KEY}", "must hold no key"),
        (f"https://host/{KEY}/v1", "must hold no key"),
    ],
)
def test_addresses_that_are_none(address: str, said: str) -> None:
    with pytest.raises(EndpointError, match=said) as raised:
        Endpoint("stub", FAST, address)
    assert KEY not in str(raised.value)


@pytest.mark.parametrize("key", ["a key", "a\nkey", "clé"])
def test_keys_that_cannot_be_sent(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(EndpointError, match="holds a space, line break or letter"):
        Endpoint("stub", FAST, "http://localhost/v1")


def test_an_endpoint_that_is_out_of_order_stops_the_run() -> None:
    with Stub(lambda body, number: failure(500)) as stub:
        endpoint = Endpoint("stub", FAST, stub.url)
        for _ in range(GIVEN_UP_IN_A_ROW - 1):
            with pytest.raises(TileFailed, match="HTTP 500: fault, after 0 retries"):
                endpoint.call(lambda: endpoint.ask("POST", "chat/completions", {}))
        with pytest.raises(EndpointError, match="none of 32 requests in a row"):
            endpoint.call(lambda: endpoint.ask("POST", "chat/completions", {}))


def test_who_waits_for_another_attempt_ends_with_the_run() -> None:
    """A thread in a long wait does not hold up the end of the run."""
    ended: list[str] = []

    def wait(endpoint: Endpoint) -> None:
        try:
            endpoint.call(lambda: endpoint.ask("POST", "chat/completions", {"late": True}))
        except EndpointError as error:
            ended.append(str(error))

    def reply(body: dict[str, Any], number: int) -> Any:
        return failure(500) if body.get("late") else failure(401)

    with Stub(reply) as stub:
        endpoint = Endpoint("stub", OpenAIOptions(backoff_s=60.0, retries=3, timeout_s=5.0), stub.url)
        waiting = threading.Thread(target=wait, args=(endpoint,))
        waiting.start()
        while not stub.bodies:
            time.sleep(0.01)
        with pytest.raises(EndpointError, match="refuses the key"):
            endpoint.call(lambda: endpoint.ask("POST", "chat/completions", {}))
        waiting.join(20)
        assert not waiting.is_alive()
    assert "refuses the key" in ended[0]


def test_max_cost_needs_a_longest_answer(tmp_path: Path) -> None:
    endless = OpenAIOptions(price_in=1.0, price_out=1.0, extra={"max_tokens": None})
    with pytest.raises(EndpointError, match=r"give openai\.max_tokens"):
        CachedEndpoint("stub", endless, tmp_path, "http://localhost/v1", max_cost=1.0)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"timeout_s": float("nan")}, "finite"),
        ({"price_in": float("inf")}, "finite"),
        ({"patience_s": -1.0}, "negative"),
        ({"extra": {"stream": True}}, "'stream'"),
        ({"extra": {"n": 4}}, "'n'"),
        ({"extra": {"model": "other"}}, "'model'"),
        ({"extra": {"messages": [1]}}, "'messages'"),
        ({"extra": {"max_tokens": "many"}}, "whole number"),
        ({"extra": {"max_completion_tokens": 0}}, "whole number"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        OpenAIOptions(**settings)


def test_a_reply_without_an_answer_is_paid_once_and_asked_again_when_it_is_forgiven(tmp_path: Path) -> None:
    replies = [(200, "[1]", {}), completion("yes")]
    with Stub(lambda body, number: replies[number]) as stub:  # type: ignore[index, return-value]
        priced = OpenAIOptions(backoff_s=0.0, price_in=1.0, price_out=1.0, image_tokens=0)
        endpoint = CachedEndpoint("stub", priced, tmp_path, stub.url, RequestLedger(tmp_path / "ledger"), 1.0)
        question = endpoint.question([{"role": "user", "content": "well?"}], "t", 0)
        for _ in range(3):
            with pytest.raises(TileFailed, match="is no object"):
                endpoint.ask(question)
        assert len(stub.bodies) == 1
        paid = endpoint.ledger.summary()["cost"]
        assert paid > 0
        endpoint.ledger.forgive()
        assert endpoint.ask(question)["content"] == "yes"
        summary = endpoint.ledger.summary()
        assert summary["in_doubt"] == paid  # what the first cost is not forgotten
        assert summary["cost"] == pytest.approx(110 / 1e6)


@pytest.mark.parametrize("content", ["x" * 3000, KEY, "9" * 1500, "three\ud800 ships", "\u202e" * 10])
def test_a_rewording_is_whatever_it_is(content: str, tmp_path: Path) -> None:
    with Stub(lambda body, number: completion(content)) as stub:
        endpoint = CachedEndpoint("stub", FAST, tmp_path, stub.url, parameters={"model": "stub", "max_tokens": 9})
        work = EndpointWork(
            endpoint, lambda one: endpoint.question(one.messages, one.tile_id, 0, {"seed": one.variant})
        )
        text = _reworded(work.open(0)(Wanted("three ships", 0, "t")))
    assert KEY not in text
    assert len(text) < 2000
    text.encode()


# ---- batches --------------------------------------------------------------------------------------------------------

ODD: list[Any] = [None, 17, "x", [], [1], {}, {"data": "x"}, {"data": [1, None, {"metadata": "x", "id": 1}]}]


class Answers:
    """Stands in place of the HTTP of an endpoint: replies in turn, the last one for ever."""

    def __init__(self, *replies: Any) -> None:
        self.replies, self.paths = list(replies), list[str]()

    def send(self, method: str, path: str, *_: Any, **__: Any) -> Reply:

        self.paths.append(path)
        value = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        return Reply(200, {}, value if isinstance(value, bytes) else json.dumps(value).encode())


def batches(tmp_path: Path, *replies: Any) -> tuple[BatchRequests, RequestLedger, Answers]:

    priced = OpenAIOptions(backoff_s=0.0, retries=0, price_in=1.0, price_out=1.0, poll_s=0.001)
    ledger = RequestLedger(tmp_path / "ledger")
    annotator = OpenAIAnnotator("stub", priced, tmp_path / "answers", "http://localhost/v1", ledger, batch=True)
    annotator.endpoint._http = answers = Answers(*replies)  # type: ignore[assignment]
    ledger.new_batch("ours", 3, annotator.base_url)
    ledger.sent_all([(key * 64, f"tile {key}", 0, 0.5) for key in "abc"], "ours")
    ledger.batch("ours", state="submitted", batch_id="theirs")
    return BatchRequests(None, annotator, tmp_path), ledger, answers  # type: ignore[arg-type]


@pytest.mark.parametrize("odd", ODD)
def test_a_batch_of_any_shape_ends(odd: Any, tmp_path: Path) -> None:
    ended = {"status": "completed", "output_file_id": "f", "error_file_id": odd, "errors": odd, "request_counts": odd}
    running = {"status": odd, "request_counts": odd}
    lines = [{"custom_id": "a" * 64, "response": odd}, {"custom_id": odd, "response": {"status_code": odd}}, odd]
    lines.append({"custom_id": "b" * 64, "response": {"status_code": 200, "body": odd}})
    lines.append({"custom_id": "c" * 64, "error": odd, "response": {"status_code": "x"}})

    file = b"\n".join([*(json.dumps(line).encode() for line in lines), b"\xff{", b"[" * 100_000])
    does, ledger, _ = batches(tmp_path, running, odd if isinstance(odd, dict) else running, ended, file, b"")
    does._collect(ledger.open_batches()[0])
    assert not ledger.open_batches()
    assert ledger.summary()["requests"].get("sent", 0) == 0
    row = ledger.request("b" * 64)
    assert row is not None
    assert row["cost"] == 0.5  # paid, and without numbers: the most that it may have cost
    assert "holds no answer" in row["reason"] or "is no object" in row["reason"]


def test_an_endless_list_of_batches_ends(tmp_path: Path) -> None:
    number = iter(range(10**6))
    does, _, answers = batches(tmp_path, None)
    pages = type("Pages", (), {"send": lambda self, *a, **k: answers.paths.append(a[1]) or page(next(number))})
    does._endpoint._http = pages()

    def page(at: int) -> Reply:
        return Reply(200, {}, b'{"data": [{"id": "b%d", "metadata": {}}], "has_more": true}' % at)

    assert does._find("ours") is None
    assert len(answers.paths) == 100


@pytest.mark.parametrize("odd", ODD)
def test_a_list_of_batches_of_any_shape(odd: Any, tmp_path: Path) -> None:
    does, _, _ = batches(tmp_path, odd)
    assert does._find("ours") is None
