"""Ledger, rate limits, token counts, estimates and the cost limit."""

import re
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from knowlip.annotators.openai.cost import (
    Budget,
    Prices,
    estimate_wave,
    prices_of,
    typical_annotation,
)
from knowlip.annotators.openai.endpoint import CostLimit
from knowlip.annotators.openai.ledger import RequestLedger
from knowlip.annotators.openai.limits import Bucket, RateLimits
from knowlip.annotators.openai.options import OpenAIOptions
from knowlip.annotators.tokens import count_tokens
from knowlip.annotators.types import TileRequest


class Clock:
    """Time that passes only where it is waited for."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


# ---- ledger ---------------------------------------------------------------------------------------------------------


def test_a_request_from_sending_to_answer(tmp_path: Path) -> None:
    ledger = RequestLedger(tmp_path / "deep" / "ledger.sqlite")
    ledger.plan(["a", "b"])
    assert ledger.summary()["tiles"] == {"planned": 2}
    ledger.sent("k", "a", 0, reserved=0.5)
    assert ledger.spent(1.0, 1.0) == 0.5  # in flight
    ledger.failed("k", "no answer within 1 s", in_doubt=True)
    assert ledger.spent(1.0, 1.0) == 0.5  # may have been paid
    ledger.sent("k", "a", 0, reserved=0.5)
    assert ledger.spent(1.0, 1.0) == 1.0
    ledger.answered("k", "a", 0, (1000, 100), 0.01, 2.0)
    ledger.tile("a", "answered")
    row = ledger.request("k")
    assert row is not None
    assert (row["state"], row["attempts"], row["input_tokens"], row["cost"], row["doubt"]) == (
        "answered",
        2,
        1000,
        0.01,
        0.5,
    )
    assert ledger.spent(1.0, 1.0) == pytest.approx(0.51)
    assert ledger.summary() == {
        "tiles": {"answered": 1, "planned": 1},
        "requests": {"answered": 1},
        "input_tokens": 1000,
        "output_tokens": 100,
        "cost": 0.01,
        "estimated": 0,
        "in_doubt": 0.5,
    }
    ledger.plan(["a"])  # a resumed run plans again
    assert ledger.summary()["tiles"] == {"answered": 1, "planned": 1}


def test_what_a_killed_process_had_in_flight_is_in_doubt(tmp_path: Path) -> None:
    RequestLedger(tmp_path / "l").sent("k", "a", 0, reserved=0.5)  # and nothing more
    again = RequestLedger(tmp_path / "l")
    assert again.spent(0, 0) == 0.5
    again.sent("k", "a", 0, reserved=0.5)
    again.answered("k", "a", 0, (1, 1), 0.1, 1.0)
    assert again.spent(0, 0) == pytest.approx(0.6)


def test_answers_without_prices_cost_what_prices_say_later(tmp_path: Path) -> None:
    ledger = RequestLedger()
    ledger.answered("k", "a", 0, (1_000_000, 500_000), None, 1.0)
    assert ledger.spent(2.0, 8.0) == 6.0


def test_the_ledger_is_a_wal_database_that_threads_share(tmp_path: Path) -> None:
    ledger = RequestLedger(tmp_path / "l.sqlite")
    with ThreadPoolExecutor(8) as pool:
        for n in range(8):
            pool.submit(lambda n=n: [ledger.answered(f"{n}-{i}", f"t{n}", 0, (1, 2), 0.5, 0.0) for i in range(25)])
    with sqlite3.connect(tmp_path / "l.sqlite") as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert other.execute("SELECT COUNT(*), SUM(cost) FROM requests").fetchone() == (200, 100.0)
    assert ledger.summary()["output_tokens"] == 400


def test_a_file_that_is_no_ledger_is_named(tmp_path: Path) -> None:
    (tmp_path / "l").write_bytes(b"no database at all, " * 100)
    with pytest.raises(ValueError, match="not a ledger"):
        RequestLedger(tmp_path / "l")


# ---- limits ---------------------------------------------------------------------------------------------------------


def test_requests_pass_at_the_rate_and_no_faster() -> None:
    clock = Clock()
    limits = RateLimits(requests_per_minute=60, clock=clock, sleep=clock.sleep)
    for _ in range(126):
        limits.wait(10)
    assert clock.now - 100.0 == pytest.approx(120.0)  # 6 at once, then one a second


def test_tokens_pass_at_the_rate_of_what_was_really_used() -> None:
    clock = Clock()
    limits = RateLimits(tokens_per_minute=6000, clock=clock, sleep=clock.sleep)
    for _ in range(60):
        limits.wait(1000)
        limits.settle(1000, 200)
    used_per_s = 60 * 200 / (clock.now - 100.0)
    assert 80 < used_per_s < 125  # 100 tokens a second, and a burst of 6 s
    clock.now += 60
    limits.wait(50_000)  # larger than the bucket: waits, and passes
    assert clock.now < 100 + 60 * 20 + 600


def test_a_pause_holds_everybody() -> None:
    clock = Clock()
    limits = RateLimits(clock=clock, sleep=clock.sleep)
    limits.wait(5)
    assert clock.now == 100.0
    limits.pause(7)
    limits.wait(5)
    assert clock.now == 107.0
    assert Bucket(0, clock).take(1e9) == 0


def test_threads_share_one_limit() -> None:
    limits = RateLimits(requests_per_minute=6000)  # 100 a second, 600 of them at once

    started = time.perf_counter()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: limits.wait(0), range(640)))
    assert 0.38 < time.perf_counter() - started < 2


# ---- cost -----------------------------------------------------------------------------------------------------------


def test_budget_waits_for_what_is_in_flight_and_never_passes_the_limit() -> None:
    budget, most, worst = Budget(1.0), 0.0, threading.Lock()
    spent = stopped = 0.0

    def work(_: int) -> None:
        nonlocal spent, stopped, most
        try:
            budget.reserve(0.3)
        except CostLimit:
            with worst:
                stopped += 1
            return
        with worst:
            spent += 0.1
        budget.settle(0.3, 0.1)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(30)))
    assert spent == pytest.approx(0.8)  # 0.7 + 0.3 still fits, 0.8 + 0.3 does not
    assert stopped == 22
    with pytest.raises(CostLimit, match=r"spent 0\.8000 .* may cost 0\.3000, .* max_cost 1 leaves"):
        budget.reserve(0.3)
    Budget(0.0).reserve(1e9)  # no limit
    assert not Budget(1.0, spent=0.9).try_reserve(0.2)


def test_prices() -> None:
    options = OpenAIOptions(price_in=2.0, price_out=8.0, batch_discount=0.5)
    assert prices_of(options, False).of(1_000_000, 100_000) == pytest.approx(2.8)
    assert prices_of(options, True).of(1_000_000, 100_000) == pytest.approx(1.4)
    assert not Prices().known


def test_token_rule_and_tokenizer_file(tmp_path: Path) -> None:
    assert count_tokens("") == 0
    assert count_tokens("three bright ships at the quay") == 6
    tokenizers = pytest.importorskip("tokenizers")
    model = tokenizers.models.WordLevel({"ship": 0, "[UNK]": 1}, "[UNK]")
    made = tokenizers.Tokenizer(model)
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.save(str(tmp_path / "tokenizer.json"))
    assert count_tokens("ship ship sea", str(tmp_path / "tokenizer.json")) == 3
    with pytest.raises(ValueError, match="cannot be read as a tokenizer"):
        count_tokens("x", str(tmp_path / "none.json"))


def test_estimate_is_the_sum_of_its_prompts() -> None:
    image = np.ones((300, 600), np.uint8)
    request = TileRequest("t", image, 1.0, "small", "s", "C", 4.0, 52.0, parent=typical_annotation("marine"))
    plain = OpenAIOptions(image_side=300, repair_share=0.0, typical_output_tokens=400, image_tokens=50)
    one = estimate_wave([request], 1, plain)
    many = estimate_wave([request, request], 1000, plain)
    assert (one.tiles, one.requests, one.output_tokens, one.image_tokens) == (1, 1, 400, 50)
    assert many.input_tokens == pytest.approx(1000 * one.input_tokens)
    alone_ = estimate_wave([TileRequest("t", image, 1.0, "small", "s", "C", 4.0, 52.0)], 1, plain)
    assert one.input_tokens - alone_.input_tokens > 8 * 13  # the parent's eight texts
    again = OpenAIOptions(image_side=300, repair_share=1.0, typical_output_tokens=400, image_tokens=50)
    repaired = estimate_wave([request], 1, again)
    assert repaired.input_tokens > 2 * one.input_tokens + 400  # a repair turn sends everything again, and the answer
    words = re.findall(r"\w+", " ".join(sub.text for sub in typical_annotation().sub_texts))
    assert len(words) == 104  # the paper's texts have 101.6
