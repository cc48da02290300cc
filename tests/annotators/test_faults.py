"""Runs against a server that fails in every way: each tile ends annotated or quarantined, none lost or paid twice."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from knowlip.annotators.annotate import AnnotateConfig, annotate
from knowlip.annotators.openai.options import OpenAIOptions
from knowlip.base.documents import read_json
from knowlip.dataset import Dataset
from knowlip.jobs.store import alone
from tests.annotators.fault_server import KEY, FaultServer
from tests.annotators.tiny_dataset import build_tiny_dataset


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return build_tiny_dataset(tmp_path / "dataset")


OPTIONS: dict[str, Any] = {"backoff_s": 0.001, "retries": 3, "image_side": 64, "timeout_s": 0.5, "poll_s": 0.01}


def config(dataset: Path, server: FaultServer, **changes: Any) -> AnnotateConfig:
    options = {**OPTIONS, **changes.pop("options", {})}
    return AnnotateConfig(
        dataset, "openai", "stub", server.url, **{"concurrency": 4, "openai": OpenAIOptions(**options), **changes}
    )


def places(dataset: Path) -> dict[str, str]:
    """place -> tile."""
    return {f"{row.lon:.4f}/{row.lat:.4f}": str(row.tile_id) for row in Dataset(dataset).tiles().itertuples()}


def ledger_rows(dataset: Path, statement: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(dataset / ".annotate" / "ledger.sqlite") as base:
        return base.execute(statement).fetchall()


def check_books(dataset: Path, server: FaultServer, in_doubt: int = 0) -> None:
    """Every tile annotated or quarantined with a reason; the ledger agrees; no answer was charged twice."""
    tiles = set(Dataset(dataset).tiles()["tile_id"])
    texts = set(Dataset(dataset).texts()["tile_id"])
    reasons = read_json(dataset / ".annotate" / "quarantine.json")
    assert texts | set(reasons) == tiles
    assert not texts & set(reasons)
    assert all(reasons.values())
    states = dict(ledger_rows(dataset, "SELECT tile_id, state FROM tiles"))
    assert {tile for tile, state in states.items() if state == "quarantined"} == set(reasons)
    assert {tile for tile, state in states.items() if state in ("answered", "repaired")} == texts
    assert dict(ledger_rows(dataset, "SELECT tile_id, reason FROM tiles WHERE state = 'quarantined'")) == reasons
    assert sum(count - 1 for count in server.charged.values()) <= in_doubt
    # Each text is the one that was written about its tile.
    rows = Dataset(dataset).texts().query("slot == 1 and evidence == 'visual'")
    where = {tile: place for place, tile in places(dataset).items()}
    for tile, text in zip(rows["tile_id"], rows["text"]):
        assert text in (f"plain at {where[tile]}", "statement about terrain")


# One large, four medium, sixteen small tiles; the tile with this number, in the order of the waves, meets this fault.
PASSING = {1: "429", 2: "500", 5: "timeout", 6: "early disconnect", 7: "disconnect", 8: "half a body", 9: "html"}
REPAIRED = {3: "truncated", 10: "schema", 11: "prose"}
LASTING = {12: "429", 13: "500", 14: "400", 15: "timeout", 16: "disconnect", 17: "refusal", 18: "filter", 19: "schema"}


def scripted(dataset: Path) -> Any:
    tiles = Dataset(dataset).tiles()
    order = [f"{row.lon:.4f}/{row.lat:.4f}" for row in tiles.sort_values("window_m", ascending=False).itertuples()]
    number = {place: n for n, place in enumerate(order)}

    def fault(place: str, times: int, body: dict[str, Any]) -> str:
        n = number[place]
        if n in PASSING:
            return PASSING[n] if times < 2 else ""
        if n in REPAIRED:
            return REPAIRED[n] if len(body["messages"]) == 2 else ""
        return LASTING.get(n, "")

    return fault


def test_every_fault_ends_annotated_or_quarantined_and_is_paid_once(
    dataset: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with FaultServer(scripted(dataset)) as server:
        result = annotate(config(dataset, server))
        assert result["annotated"] == 21 - len(LASTING)
        assert result["quarantined"] == len(LASTING)
        assert set(server.faults) - {""} == {*PASSING.values(), *REPAIRED.values(), *LASTING.values()}
        reasons = " ".join(read_json(dataset / ".annotate" / "quarantine.json").values())
        for said in (
            "HTTP 429: slow down, after 3 retries",
            "HTTP 500",
            "HTTP 400: bad image",
            "no answer within 0.5 s",
            "connection failed",
            "refused: I cannot help with that",
            "refused: content filter",
            "unusable after 2 repair turns",
        ):
            assert said in reasons
        check_books(dataset, server)
        assert result["ledger"]["tiles"] == {"answered": 10, "quarantined": 8, "repaired": 3}
        asked = sum(server.asked.values())
        assert annotate(config(dataset, server))["resumed"] == 21
        assert sum(server.asked.values()) == asked  # a second run asks nothing
    # The key stands in no file and no message, not even where the server repeated it.
    kept = [path for path in (dataset / ".annotate").rglob("*") if path.is_file()]
    assert any(path.name == "ledger.sqlite" for path in kept)
    assert not [path for path in kept if KEY.encode() in path.read_bytes()]
    said_out, said_err = capfd.readouterr()
    assert KEY not in said_out + said_err


def test_without_idempotency_only_lost_answers_are_in_doubt(dataset: Path) -> None:
    """Most endpoints charge again for an answer that was lost on its way: the ledger holds it as doubtful cost."""
    with FaultServer(scripted(dataset)) as server:
        server._replies = type("Forgetful", (dict,), {"__contains__": lambda self, key: False})()
        annotate(config(dataset, server, options={"price_in": 1.0, "price_out": 10.0}))
        again = {mark: count for mark, count in server.charged.items() if count > 1}
        lossy = {"timeout", "disconnect", "half a body", "html"}
        assert {server.fault(server.places[mark], 0, {"messages": [0, 0]}) for mark in again} <= lossy
        # a row in doubt for every place that was charged more than once, and its doubt covers the charges
        doubtful = {row[0] for row in ledger_rows(dataset, "SELECT tile_id FROM requests WHERE doubt > 0")}
        where = places(dataset)
        assert {where[server.places[mark]] for mark in again} <= doubtful


def run_and_kill(dataset: Path, server: FaultServer, when: Any, **changes: Any) -> None:
    """Start a run in a process of its own and kill it as soon as `when()` holds."""
    code = (
        "import sys; from pathlib import Path\n"
        "from knowlip.annotators.annotate import AnnotateConfig, annotate\n"
        "from knowlip.annotators.openai.options import OpenAIOptions\n"
        f"o = OpenAIOptions(**{OPTIONS!r})\n"
        f"annotate(AnnotateConfig(Path({str(dataset)!r}), 'openai', 'stub', {server.url!r}, concurrency=4, openai=o, "
        f"**{changes!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        deadline = time.monotonic() + 60
        while not when():
            assert process.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_killed_runs_resume_and_pay_nothing_twice(dataset: Path, tmp_path: Path) -> None:
    whole = build_tiny_dataset(tmp_path / "whole")
    with FaultServer() as server:
        annotate(config(whole, server))
    with FaultServer() as server:
        server.delay = 0.02
        for goal in (6,):
            run_and_kill(dataset, server, lambda goal=goal: sum(server.received.values()) >= goal)
        server.delay = 0.0
        result = annotate(config(dataset, server))
        assert result["annotated"] == 21
        check_books(dataset, server)
        assert sum(server.charged.values()) == 21
        # Twice asked was only what a kill had in flight: at most four requests.
        assert sum(count - 1 for count in server.asked.values()) <= 4
    assert (dataset / "texts.parquet").read_bytes() == (whole / "texts.parquet").read_bytes()


def test_every_attempt_after_an_error_is_a_new_one_and_after_a_loss_the_same(dataset: Path) -> None:
    seen: dict[str, list[str]] = {}
    with FaultServer(scripted(dataset)) as server:
        answer = server.answer

        def watch(body: dict[str, Any], idempotency: str = "") -> Any:
            given = answer(body, idempotency)
            seen.setdefault(given[0], []).append(idempotency)
            return given

        server.answer = watch  # type: ignore[method-assign]
        annotate(config(dataset, server))
    assert len(set(seen["500"])) == len(seen["500"])
    assert len(set(seen["disconnect"])) < len(seen["disconnect"])


def test_a_second_process_is_refused(dataset: Path) -> None:
    with FaultServer() as server:
        with alone(dataset / ".annotate" / "lock", ""), pytest.raises(ValueError, match="Another process annotates"):
            annotate(config(dataset, server))
        assert not server.asked


# ---- cost -----------------------------------------------------------------------------------------------------------

PRICED: dict[str, Any] = {"price_in": 2.0, "price_out": 10.0, "image_tokens": 100}


def test_dry_run_asks_and_writes_nothing(
    dataset: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    before = sorted(path for path in dataset.rglob("*"))
    with FaultServer() as server:
        found = annotate(config(dataset, server, dry_run=True, options=PRICED))
        halved = annotate(config(dataset, server, dry_run=True, batch=True, options=PRICED))
        assert not server.asked
    assert sorted(path for path in dataset.rglob("*")) == before
    waves = found["waves"]
    assert [waves[scale]["tiles"] for scale in ("large", "medium", "small", "all")] == [1, 4, 16, 21]
    assert waves["medium"]["input_tokens"] / 4 > waves["large"]["input_tokens"]  # they are told their parent's text
    total = waves["all"]
    assert total["cost"] == pytest.approx((2 * total["input_tokens"] + 10 * total["output_tokens"]) / 1e6, rel=1e-3)
    assert halved["waves"]["all"]["cost"] == pytest.approx(total["cost"] / 2, rel=1e-3)
    assert "input_tokens" in capfd.readouterr().err


def test_max_cost_stops_hard_and_goes_on_with_more(dataset: Path) -> None:
    # The server charges 100 tokens in and 10 out: 0.0003; the most a request may cost is about 0.024.
    with FaultServer() as server:
        with pytest.raises(ValueError, match="max_cost needs prices"):
            annotate(config(dataset, server, max_cost=1.0))
        with pytest.raises(ValueError, match=r"higher --max_cost goes on"):
            annotate(config(dataset, server, max_cost=0.01, options=PRICED))
        assert not server.charged  # one request could pass the limit
        with pytest.raises(ValueError, match=r"higher --max_cost goes on"):
            annotate(config(dataset, server, max_cost=0.027, options=PRICED))
        paid = sum(server.charged.values())
        assert 0 < paid < 21
        assert 0.0003 * paid <= 0.027
        result = annotate(config(dataset, server, max_cost=5.0, options=PRICED))
        assert result["annotated"] == 21
        assert sum(server.charged.values()) == 21
        assert result["ledger"]["cost"] == pytest.approx(21 * 0.0003)
        check_books(dataset, server)


# ---- limits ---------------------------------------------------------------------------------------------------------


def test_requests_a_minute_are_kept(dataset: Path) -> None:
    with FaultServer() as server:
        started = time.perf_counter()
        annotate(config(dataset, server, options={"requests_per_minute": 600}))  # all 21 within the burst of 60
        assert time.perf_counter() - started < 10
        assert sum(server.charged.values()) == 21
